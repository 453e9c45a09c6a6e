//! The id of an MTA-STS policy.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An `id` that follows the grammar: 1 to 32 letters and digits (RFC 8461 §3.1).
///
/// It is opaque: ids are compared for equality and never ordered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PolicyId(Box<str>);

impl PolicyId {
    /// RFC 8461 §3.1: `sts-id = %s"id" *WSP "=" *WSP 1*32(ALPHA / DIGIT)`.
    pub const MAX_LENGTH: usize = 32;

    /// The id, or nothing where the text breaks the grammar.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=Self::MAX_LENGTH).contains(&text.len());
        (fits && text.bytes().all(|b| b.is_ascii_alphanumeric())).then(|| Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PolicyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for PolicyId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("an id of 1 to 32 letters and digits was expected")
    }
}

impl From<PolicyId> for String {
    fn from(id: PolicyId) -> Self {
        id.0.into()
    }
}
