//! What bytes are, by what they begin with: names and media types say what the sender meant (REP-07).

/// The kinds of bytes that reports come as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One mail.
    Mail,
    /// Mails one after the other, each behind a line that begins with `From `.
    Mbox,
    /// JSON, or what begins as it does.
    Json,
    /// Gzip (RFC 1952).
    Gzip,
    /// A zip archive.
    Zip,
    /// None of these.
    Unknown,
}

/// A field name in a mail is shorter; a line without a colon within so many bytes is no field.
const FIELD_NAME_MOST: usize = 200;

/// Tells what bytes are. It looks at their beginning only.
pub fn sniff(bytes: &[u8]) -> Shape {
    match bytes {
        [0x1f, 0x8b, ..] => return Shape::Gzip,
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => return Shape::Zip,
        // UTF-16, as its byte order mark says.
        [0xfe, 0xff, ..] | [0xff, 0xfe, ..] => return Shape::Json,
        _ => {}
    }
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    match text {
        [b'{' | b'[', ..] => Shape::Json,
        [b'F', b'r', b'o', b'm', b' ', ..] => Shape::Mbox,
        _ if begins_with_field(text) => Shape::Mail,
        _ => Shape::Unknown,
    }
}

/// RFC 5322 §2.2: printable letters without a blank, and a colon.
fn begins_with_field(text: &[u8]) -> bool {
    let name = text.iter().take(FIELD_NAME_MOST).position(|byte| !matches!(byte, b'!'..=b'9' | b';'..=b'~'));
    name.is_some_and(|end| end > 0 && text.get(end) == Some(&b':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_decides() {
        for (bytes, shape) in [
            (&b"{}"[..], Shape::Json),
            (b"\xef\xbb\xbf \r\n{", Shape::Json),
            (b"\xff\xfe{\0", Shape::Json),
            (b"\x1f\x8b\x08", Shape::Gzip),
            (b"PK\x03\x04", Shape::Zip),
            (b"From a@example.com Mon Jan 12 00:00:00 2026\n", Shape::Mbox),
            (b"From: a@example.com\n", Shape::Mail),
            (b"\r\nReceived: from x\r\n", Shape::Mail),
            (b"", Shape::Unknown),
            (b": x", Shape::Unknown),
            (b"Dear sir: x", Shape::Unknown),
            (b"<?xml version=\"1.0\"?>", Shape::Unknown),
        ] {
            assert_eq!(sniff(bytes), shape, "{}", bytes.escape_ascii());
        }
    }
}
