//! The MX patterns of a policy (RFC 8461 §3.2, §4.1) and the names of certificates (RFC 9525 §6.3), against a host.

use smtptls_exporter::{
    protocol::{
        mta_sts::{MxPattern, read_policy},
        tls::names_match,
    },
    terms::MxHost,
};

use super::check_stored;

/// A pattern, a line feed, a host.
pub fn mx_pattern(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (pattern, host) = text.split_once('\n').unwrap_or((&text, ""));
    check_certificate_name(pattern, host);

    let parsed = MxPattern::parse(pattern);
    // A policy takes the same ones, where they can stand in a line of it.
    if pattern == pattern.trim_matches([' ', '\t', '\r']) && !pattern.contains('\r') {
        let policy = format!("version: STSv1\nmode: enforce\nmax_age: 1\nmx: {pattern}");
        let taken = read_policy(policy.as_bytes()).value.map(|policy| policy.mx);
        assert_eq!(taken, parsed.clone().map(|pattern| vec![pattern]), "{pattern:?}");
    }
    let Some(parsed) = parsed else { return };
    assert_eq!(parsed.as_str(), pattern, "as published");
    check_stored(&parsed);
    let domain = parsed.domain();
    assert!(domain.is_ascii() && !domain.bytes().any(|byte| byte.is_ascii_uppercase()) && !domain.ends_with('.'));
    assert_eq!(MxPattern::parse(&pattern.to_ascii_uppercase()).as_ref(), Some(&parsed), "case does not matter");
    let canonical = if parsed.is_wildcard() { format!("*.{domain}") } else { domain.to_owned() };
    assert_eq!(MxPattern::parse(&canonical).as_ref(), Some(&parsed));

    for host in [host.to_owned(), domain.to_owned(), format!("a.{domain}"), format!("a.b.{domain}")] {
        let Ok(host) = MxHost::parse(&host) else { continue };
        assert_eq!(parsed.matches(&host), matches(&canonical, host.as_str()), "{canonical} {host}");
    }
}

/// A certificate's name differs from a pattern in that a final dot makes it useless, as does an empty label beside a `*`.
fn check_certificate_name(name: &str, written: &str) {
    let host = written.strip_suffix('.').unwrap_or(written);
    let useless =
        name.is_empty() || name.ends_with('.') || host.is_empty() || name.trim_start_matches("*.").contains('*');
    let expected = match name.strip_prefix("*.") {
        _ if useless => false,
        Some(parent) => {
            !parent.is_empty()
                && !parent.contains('*')
                && matches(&name.to_ascii_lowercase(), &host.to_ascii_lowercase())
        }
        None => name.eq_ignore_ascii_case(host),
    };
    assert_eq!(names_match(&[name.to_owned()], written), expected, "{name:?} {host:?}");
}

/// Label by label: `*` stands for exactly one, which is not empty, and only at the left.
fn matches(pattern: &str, host: &str) -> bool {
    let (pattern, host): (Vec<&str>, Vec<&str>) = (pattern.split('.').collect(), host.split('.').collect());
    let first = pattern[0] == host[0] || (pattern[0] == "*" && pattern.len() > 1 && !host[0].is_empty());
    first && pattern[1..] == host[1..]
}
