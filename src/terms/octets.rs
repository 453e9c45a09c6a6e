//! Bytes that a peer sent, kept whole and shown harmlessly.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Bytes from outside: a TXT record, a policy body, a banner.
///
/// Printed and serialised as text in which every byte outside printable ASCII is `\xNN` (and a backslash is `\\`), so no
/// control character reaches a terminal, a log or a page, and no byte is lost.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Octets(pub Vec<u8>);

impl Octets {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text if it is UTF-8; else with `U+FFFD` in the place of what is not. For reading, not for a terminal.
    pub fn to_text(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }

    fn from_escaped(text: &str) -> Option<Self> {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let Some((&first, tail)) = rest.split_first() {
            rest = tail;
            if first != b'\\' {
                bytes.push(first);
                continue;
            }
            let (&kind, tail) = rest.split_first()?;
            rest = tail;
            match kind {
                b'\\' => bytes.push(b'\\'),
                b'x' => {
                    let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
                    // `from_str_radix` takes a sign as well.
                    let byte = u8::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))?;
                    bytes.push(byte);
                    rest = rest.get(2..)?;
                }
                _ => return None,
            }
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for &byte in &self.0 {
            match byte {
                b'\\' => f.write_str("\\\\")?,
                b' '..=b'~' => fmt::Write::write_char(f, char::from(byte))?,
                _ => write!(f, "\\x{byte:02x}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl From<&str> for Octets {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl From<Vec<u8>> for Octets {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl Serialize for Octets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Octets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::from_escaped(&text).ok_or_else(|| de::Error::custom("a broken escape: \\\\ or \\xNN was expected"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_byte_is_lost_and_none_is_dangerous() {
        let all = Octets((0..=255).collect());
        let shown = all.to_string();
        assert!(shown.bytes().all(|b| (b' '..=b'~').contains(&b)));
        assert_eq!(Octets::from_escaped(&shown), Some(all));
        assert_eq!(Octets::from_escaped("\\q"), None);
        assert_eq!(Octets::from_escaped("\\x4"), None);
        assert_eq!(Octets::from_escaped("\\x+f"), None);
    }
}
