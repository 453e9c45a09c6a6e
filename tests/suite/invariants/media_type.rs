//! The media type of a policy (RFC 8461 §3.2).

use smtptls_exporter::protocol::mta_sts::{MediaType, media_type as read};

use super::is_printable;

/// The value of `Content-Type`.
pub fn media_type(bytes: &[u8]) {
    let found = read(Some(bytes));
    let text = bytes.trim_ascii();
    let essence = text.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let is_plain = essence.eq_ignore_ascii_case(b"text/plain");
    match &found {
        MediaType::Missing => assert!(text.is_empty()),
        // A quote in the type itself makes it no type, wherever the first semicolon is.
        MediaType::Other => assert!(!text.is_empty() && !is_plain),
        MediaType::TextPlain => assert!(is_plain),
        MediaType::OtherCharset(charset) => {
            assert!(is_plain && is_printable(charset), "{charset:?}");
            assert!(!charset.eq_ignore_ascii_case("utf-8") && !charset.eq_ignore_ascii_case("us-ascii"));
            assert!(text.to_ascii_lowercase().windows(8).any(|part| part == b"charset="));
        }
    }
    // Case matters nowhere but in how a charset is quoted.
    let kind = std::mem::discriminant(&found);
    assert_eq!(std::mem::discriminant(&read(Some(&bytes.to_ascii_uppercase()))), kind);
    assert_eq!(std::mem::discriminant(&read(Some(&[b" ", bytes, b" "].concat()))), kind);
}
