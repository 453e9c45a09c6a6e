//! The media type of a policy (RFC 8461 §3.2).

use crate::terms::Octets;

/// A `Content-Type`, as far as senders look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MediaType {
    /// `text/plain`, with no charset or with one of UTF-8 and US-ASCII.
    TextPlain,
    /// `text/plain` in another charset, which is here, escaped.
    OtherCharset(String),
    /// Anything else: senders should reject it.
    Other,
    /// The header is missing or empty.
    Missing,
}

/// Judges a `Content-Type` as it was sent. Names compare without regard to case, and parameters other than `charset` do
/// not matter (RFC 8461 §3.2, RFC 9110 §8.3.1).
pub fn media_type(content_type: Option<&[u8]>) -> MediaType {
    let content_type = content_type.unwrap_or_default();
    if content_type.trim_ascii().is_empty() {
        return MediaType::Missing;
    }
    let mut parts = Parameters(content_type);
    let essence = parts.next().unwrap_or_default();
    if !essence.eq_ignore_ascii_case(b"text/plain") {
        return MediaType::Other;
    }
    match parts.find_map(charset) {
        Some(charset) if !is_usual(&charset) => MediaType::OtherCharset(Octets(charset).to_string()),
        _ => MediaType::TextPlain,
    }
}

fn is_usual(charset: &[u8]) -> bool {
    charset.eq_ignore_ascii_case(b"utf-8") || charset.eq_ignore_ascii_case(b"us-ascii")
}

/// The value of a parameter `charset`, without its quotes.
fn charset(parameter: &[u8]) -> Option<Vec<u8>> {
    let equals = parameter.iter().position(|byte| *byte == b'=')?;
    let (name, value) = parameter.split_at_checked(equals)?;
    if !name.eq_ignore_ascii_case(b"charset") {
        return None;
    }
    let value = value.strip_prefix(b"=")?;
    match value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")) {
        // RFC 9110 §5.6.4: a backslash stands before a character that is meant as it is.
        Some(quoted) => Some(quoted.iter().copied().filter(|byte| *byte != b'\\').collect()),
        None => Some(value.to_vec()),
    }
}

/// The parts between semicolons that do not stand in quotes, trimmed.
struct Parameters<'a>(&'a [u8]);

impl<'a> Iterator for Parameters<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let (mut quoted, mut escaped) = (false, false);
        let end = self.0.iter().position(|&byte| {
            let ends = byte == b';' && !quoted;
            quoted ^= byte == b'"' && !escaped;
            escaped = byte == b'\\' && quoted && !escaped;
            ends
        });
        let (part, rest) = self.0.split_at_checked(end.unwrap_or(self.0.len()))?;
        self.0 = rest.get(1..).unwrap_or_default();
        Some(part.trim_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_type_and_the_charset_matter() {
        for good in [
            "text/plain",
            "TEXT/Plain ; CHARSET=\"Utf-8\"",
            "text/plain;charset=us-ascii",
            "text/plain; format=flowed; x=\"charset=latin1; charset=latin1\"",
            "text/plain; x=\"a\\\";charset=latin1\"",
            "text/plain;",
        ] {
            assert_eq!(media_type(Some(good.as_bytes())), MediaType::TextPlain, "{good}");
        }
        for other in [
            "text/html",
            "text/plain+",
            "text/plain, text/html",
            "application/octet-stream",
            "text",
            ";charset=utf-8",
            ";",
        ] {
            assert_eq!(media_type(Some(other.as_bytes())), MediaType::Other, "{other}");
        }
        assert_eq!(
            media_type(Some(b"text/plain; charset=ISO-8859-1")),
            MediaType::OtherCharset("ISO-8859-1".to_owned())
        );
        assert_eq!(media_type(Some(b"text/plain; charset=\xff")), MediaType::OtherCharset("\\xff".to_owned()));
        assert_eq!(media_type(None), MediaType::Missing);
        assert_eq!(media_type(Some(b"")), MediaType::Missing);
        assert_eq!(media_type(Some(b"  ")), MediaType::Missing);
    }
}
