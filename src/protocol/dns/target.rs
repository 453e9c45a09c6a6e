//! Names as they come in records: what an MX record points to, and how any name is shown.

use std::net::{IpAddr, Ipv4Addr};

use crate::{facts::MxTarget, terms::MxHost};

/// What the exchange of an MX record is, from its labels as they stand on the wire, without the root label.
///
/// An address in the place of a name (RFC 5321 §5.1 asks for a name) is told apart: `192.0.2.1.`, `[192.0.2.1].`, and IPv6
/// addresses that somebody typed into the field. Everything that is no host name is kept escaped.
pub fn mx_target<'a>(labels: impl IntoIterator<Item = &'a [u8]>) -> MxTarget {
    let labels: Vec<&[u8]> = labels.into_iter().collect();
    if labels.is_empty() {
        return MxTarget::Null;
    }
    let plain = labels.iter().all(|label| label.iter().all(|&b| is_host_character(b)));
    let text = presentation(labels.iter().copied());
    if plain {
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return MxTarget::Address(address.into());
        }
        if let Ok(host) = MxHost::parse(&text) {
            return MxTarget::Host(host);
        }
        return MxTarget::Invalid(text);
    }
    match bare_address(&labels) {
        Some(address) => MxTarget::Address(address),
        None => MxTarget::Invalid(text),
    }
}

/// A name in the form of master files (RFC 1035 §5.1, RFC 4343 §2.1), lower case, without the final dot; the root is `.`.
///
/// Octets that are no printable ASCII are `\DDD`; dots and backslashes inside a label have a backslash before them.
pub fn presentation<'a>(labels: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut text = String::with_capacity(32);
    for label in labels {
        if !text.is_empty() {
            text.push('.');
        }
        for &byte in label {
            match byte {
                b'.' | b'\\' => text.extend(['\\', char::from(byte)]),
                b'!'..=b'~' => text.push(char::from(byte.to_ascii_lowercase())),
                _ => text.push_str(&format!("\\{byte:03}")),
            }
        }
    }
    if text.is_empty() {
        text.push('.');
    }
    text
}

fn is_host_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// An address, with or without brackets or the tag of an SMTP address literal (RFC 5321 §4.1.3).
fn bare_address(labels: &[&[u8]]) -> Option<IpAddr> {
    let text = String::from_utf8(labels.join(&b'.')).ok()?;
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&text);
    let inner = match inner.get(..5) {
        Some(tag) if tag.eq_ignore_ascii_case("ipv6:") => inner.get(5..)?,
        _ => inner,
    };
    inner.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn target(labels: &[&str]) -> MxTarget {
        mx_target(labels.iter().map(|label| label.as_bytes()))
    }

    #[test]
    fn names_addresses_and_the_null_mx_are_told_apart() {
        assert_eq!(target(&[]), MxTarget::Null);
        assert_eq!(target(&["MX1", "Example", "COM"]), MxTarget::Host(MxHost::parse("mx1.example.com").unwrap()));
        assert_eq!(target(&["mx_1", "example"]), MxTarget::Host(MxHost::parse("mx_1.example").unwrap()));
        assert_eq!(target(&["192", "0", "2", "1"]), MxTarget::Address("192.0.2.1".parse().unwrap()));
        assert_eq!(target(&["[192", "0", "2", "1]"]), MxTarget::Address("192.0.2.1".parse().unwrap()));
        assert_eq!(target(&["2001:db8::1"]), MxTarget::Address("2001:db8::1".parse().unwrap()));
        assert_eq!(target(&["[IPv6:2001:db8::1]"]), MxTarget::Address("2001:db8::1".parse().unwrap()));
        // An address within a longer name is a name.
        assert_eq!(
            target(&["192", "0", "2", "1", "example"]),
            MxTarget::Host(MxHost::parse("192.0.2.1.example").unwrap())
        );
    }

    #[test]
    fn what_is_no_host_name_is_kept_escaped() {
        for (labels, text) in [
            (&["$(id)", "x"][..], "$(id).x"),
            (&["*", "example"], "*.example"),
            (&["a.b", "example"], "a\\.b.example"),
            (&[" mx", "example"], "\\032mx.example"),
            (&["-mx", "example"], "-mx.example"),
            (&["b\u{fc}cher", "example"], "b\\195\\188cher.example"),
            (&["\u{1b}[31m", "x"], "\\027[31m.x"),
        ] {
            assert_eq!(target(labels), MxTarget::Invalid(text.into()), "{labels:?}");
        }
    }

    proptest! {
        #[test]
        fn any_labels_give_harmless_text(labels in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..64), 0..5)) {
            let text = presentation(labels.iter().map(Vec::as_slice));
            prop_assert!(text.bytes().all(|b| b.is_ascii_graphic()));
            if let MxTarget::Host(host) = mx_target(labels.iter().map(Vec::as_slice)) {
                prop_assert_eq!(host.as_str(), text);
            }
        }
    }
}
