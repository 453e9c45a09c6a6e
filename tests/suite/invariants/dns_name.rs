//! Names as DNS has them (RFC 1035 §3.1): how they are shown, what an MX record points to, which are host names.

use smtptls_exporter::{
    facts::MxTarget,
    protocol::dns::{mx_target, presentation},
    terms::{MxHost, NameError, PolicyDomain},
};

use super::check_stored;

/// As on the wire: each label behind its length, of which six bits count. The same bytes are read as text too.
pub fn dns_name(bytes: &[u8]) {
    check_labels(&labels(bytes));
    check_text(&String::from_utf8_lossy(bytes));
}

fn labels(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut labels = Vec::new();
    while let Some((length, rest)) = bytes.split_first() {
        let (label, rest) = rest.split_at(usize::from(length & 63).min(rest.len()));
        if label.is_empty() {
            break;
        }
        labels.push(label);
        bytes = rest;
    }
    labels
}

fn check_labels(labels: &[&[u8]]) {
    let text = presentation(labels.iter().copied());
    assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{text:?}");
    let lower: Vec<Vec<u8>> = labels.iter().map(|label| label.to_ascii_lowercase()).collect();
    assert_eq!(read_presentation(&text), lower, "{text}");

    let target = mx_target(labels.iter().copied());
    check_stored(&target);
    match target {
        MxTarget::Null => assert!(labels.is_empty()),
        MxTarget::Host(host) => assert_eq!(host.as_str(), text),
        MxTarget::Address(address) => {
            let inner = text.replace("\\.", ".").to_ascii_lowercase();
            let inner = inner.trim_start_matches('[').trim_end_matches(']').trim_start_matches("ipv6:");
            assert_eq!(inner.parse(), Ok(address), "{text}");
        }
        MxTarget::Invalid(shown) => {
            assert_eq!(shown, text);
            assert!(MxHost::parse(&text).is_err(), "{text} is a host name");
        }
    }
}

/// RFC 1035 §5.1: `\DDD` is an octet, `\X` is X, and a dot ends a label.
fn read_presentation(text: &str) -> Vec<Vec<u8>> {
    if text == "." {
        return Vec::new();
    }
    let mut labels = vec![Vec::new()];
    let mut rest = text.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'.' => labels.push(Vec::new()),
            b'\\' if rest[0].is_ascii_digit() => {
                labels.last_mut().unwrap().push(std::str::from_utf8(&rest[..3]).unwrap().parse().unwrap());
                rest = &rest[3..];
            }
            b'\\' => {
                labels.last_mut().unwrap().push(rest[0]);
                rest = &rest[1..];
            }
            _ => labels.last_mut().unwrap().push(*byte),
        }
    }
    labels
}

fn check_text(text: &str) {
    let parsed = PolicyDomain::parse(text);
    assert_eq!(parsed.is_ok(), MxHost::parse(text).is_ok());
    let name = match parsed {
        Ok(name) => name,
        Err(error) => {
            assert!(!error.to_string().chars().any(char::is_control), "{error:?}");
            assert!(!matches!(error, NameError::Empty) || text.trim().trim_end_matches('.').is_empty());
            return;
        }
    };
    check_stored(&name);
    let canonical = name.as_str();
    assert!(canonical.len() <= 253 && canonical.parse::<std::net::IpAddr>().is_err(), "{canonical}");
    for label in canonical.split('.') {
        let letters = label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_');
        assert!((1..=63).contains(&label.len()) && letters, "{canonical}");
        assert!(!label.starts_with('-') && !label.ends_with('-'), "{canonical}");
    }
    for spelling in [canonical.to_owned(), canonical.to_ascii_uppercase(), format!(" {canonical}. ")] {
        assert_eq!(PolicyDomain::parse(&spelling).as_ref(), Ok(&name), "{spelling:?}");
    }
    assert_eq!(MxTarget::Host(name.implicit_mx()), mx_target(canonical.split('.').map(str::as_bytes)));
    assert!(name.is_within(canonical));
    if let Some((label, parent)) = canonical.split_once('.') {
        assert!(name.is_within(parent) && !name.is_within(&format!("x{parent}")));
        assert!(!PolicyDomain::parse(parent).is_ok_and(|parent| parent.is_within(canonical)), "{label}");
    }
}
