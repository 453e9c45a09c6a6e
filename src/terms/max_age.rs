//! `max_age` of an MTA-STS policy.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// The lifetime of a policy in a sender's cache, in seconds (RFC 8461 §3.2).
///
/// The grammar allows ten digits; what lies above [`MaxAge::CAP`] is kept as written because some senders do not clamp it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MaxAge(pub u64);

impl MaxAge {
    /// The largest value that RFC 8461 §3.2 allows: a Julian year.
    pub const CAP: Self = Self(31_557_600);

    /// Below a day a policy hardly protects: a sender that mails weekly never has it in its cache.
    pub const SHORT: Self = Self(86_400);

    /// As a duration.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0)
    }
}

impl fmt::Display for MaxAge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
