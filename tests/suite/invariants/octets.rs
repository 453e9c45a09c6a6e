//! Bytes of a peer, shown and stored.

use smtptls_exporter::terms::Octets;

use super::{check_stored, is_printable};

/// Bytes of a peer; and the same as the escaped text of a stored observation.
pub fn octets(bytes: &[u8]) {
    let octets = Octets(bytes.to_vec());
    let shown = octets.to_string();
    assert!(is_printable(&shown), "{shown:?}");
    assert_eq!(unescaped(&shown).as_deref(), Some(bytes));
    check_stored(&octets);

    let text = String::from_utf8_lossy(bytes);
    let read = serde_json::from_value::<Octets>(text.as_ref().into()).ok();
    assert_eq!(read.map(|octets| octets.0), unescaped(&text), "{text:?}");
}

/// `\\` and `\xNN`; all else stands for itself.
fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'\\' => match rest.next()? {
                b'\\' => bytes.push(b'\\'),
                b'x' => {
                    let digit = |byte: u8| char::from(byte).to_digit(16);
                    let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
                    bytes.push(u8::try_from(high * 16 + low).unwrap());
                }
                _ => return None,
            },
            _ => bytes.push(byte),
        }
    }
    Some(bytes)
}
