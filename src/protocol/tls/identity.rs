//! Whether a certificate names a host (RFC 9525 §6, RFC 8461 §4.1).

/// Whether one of the dNSName entries of a certificate names `host`.
///
/// - Only dNSName entries count: the common name, addresses and URIs are no reference identifiers (RFC 8461 §4.1).
/// - Letters compare without case; a final dot of `host` is dropped. An entry with a final dot names nothing: RFC 5280
///   §4.2.1.6 has no such form, and TLS libraries ignore it.
/// - `*` has to be the whole leftmost label and covers exactly one label (RFC 9525 §6.3). `m*.example.com`,
///   `*.*.example.com` and a `*` further right name nothing.
/// - `*.com` names `example.com`: RFC 9525 §6.3 has no lower bound and no list of public suffixes. A `*` with nothing to its
///   right names nothing: no part of it would be compared.
pub fn names_match(names: &[String], host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    !host.is_empty() && names.iter().any(|name| name_matches(name, host))
}

fn name_matches(name: &str, host: &str) -> bool {
    if name.ends_with('.') {
        return false;
    }
    let Some(parent) = name.strip_prefix("*.") else {
        return !name.contains('*') && name.eq_ignore_ascii_case(host);
    };
    match host.split_once('.') {
        Some((label, rest)) => {
            !label.is_empty() && !parent.is_empty() && !parent.contains('*') && parent.eq_ignore_ascii_case(rest)
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        let cases: &[(&[&str], &str, bool)] = &[
            (&["mail.example.com"], "mail.example.com", true),
            (&["MAIL.Example.COM"], "mail.example.com", true),
            (&["mail.example.com"], "mail.example.com.", true),
            (&["mail.example.com."], "mail.example.com", false),
            (&["mail.example.com."], "mail.example.com..", false),
            (&["other.example", "mail.example.com"], "mail.example.com", true),
            (&["example.com"], "mail.example.com", false),
            (&["mail.example.com"], "example.com", false),
            (&["mail.example.com"], "notmail.example.com", false),
            (&["mail.example.com"], "mail.example.com.evil.example", false),
            (&[], "mail.example.com", false),
            (&["*.example.com"], "mail.example.com", true),
            (&["*.EXAMPLE.com"], "mail.example.com", true),
            (&["*.example.com"], "a.mail.example.com", false),
            (&["*.example.com"], "example.com", false),
            (&["*.example.com"], ".example.com", false),
            (&["*.example.com"], "xn--bcher-kva.example.com", true),
            (&["mx2.example.com"], "mx1.example.com", false),
            (&["m*.example.com"], "mail.example.com", false),
            (&["*l.example.com"], "mail.example.com", false),
            (&["mail.*.com"], "mail.example.com", false),
            (&["*.*.com"], "mail.example.com", false),
            (&["*"], "localhost", false),
            (&["*"], "mail.example.com", false),
            (&["*."], "localhost", false),
            (&["*."], "a.", false),
            (&["*.com"], "example.com", true),
            (&["*.com"], "mail.example.com", false),
            (&["mx.provider.test"], "mx.example.com", false),
            (&["192.0.2.1"], "mail.example.com", false),
            (&[""], "", false),
            (&["mx_1.example.com"], "mx_1.example.com", true),
            (&["mail.example.com\\x00.evil.example"], "mail.example.com", false),
        ];
        for (names, host, expected) in cases {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            assert_eq!(names_match(&names, host), *expected, "{names:?} for {host:?}");
        }
    }
}
