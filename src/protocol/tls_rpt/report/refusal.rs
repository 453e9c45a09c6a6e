//! Why something is not taken as a report.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A closed list: each is a value of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalReason {
    /// Beyond a limit of size, depth or count.
    TooLarge,
    /// No report can be unpacked: broken gzip, zip or mail, or none in it.
    BadEncoding,
    /// Not JSON, or no report.
    BadJson,
    /// About no domain that is configured.
    UnknownDomain,
    /// A mail without the proof that is asked for (RFC 8460 §3).
    Unauthenticated,
    /// Too many at a time.
    RateLimited,
}

/// Why, and what a person needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Refusal {
    /// The kind.
    pub reason: RefusalReason,
    /// What, where, and what was expected.
    pub detail: String,
}

impl RefusalReason {
    /// All.
    pub const ALL: [Self; 6] = [
        Self::TooLarge,
        Self::BadEncoding,
        Self::BadJson,
        Self::UnknownDomain,
        Self::Unauthenticated,
        Self::RateLimited,
    ];

    /// The word for metrics and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too-large",
            Self::BadEncoding => "bad-encoding",
            Self::BadJson => "bad-json",
            Self::UnknownDomain => "unknown-domain",
            Self::Unauthenticated => "unauthenticated",
            Self::RateLimited => "rate-limited",
        }
    }
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Refusal {
    /// With its detail.
    pub fn new(reason: RefusalReason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}
