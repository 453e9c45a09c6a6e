//! Whether a destination of reports can take them.

use serde::{Deserialize, Serialize};

use crate::terms::Timestamp;

/// One look at a destination of `rua` (RFC 8460 §3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuaObservation {
    /// The URI as published.
    pub destination: String,
    /// When it was looked at. Domains that name the same place share the look, and it stands for hours.
    pub at: Timestamp,
    /// What came of it.
    pub outcome: RuaOutcome,
}

/// What came of a look at a destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuaOutcome {
    /// `mailto`: the domain of the mailbox has a mail host.
    HasMx,
    /// `mailto`: it has none, and an address of its own, which then takes the mail (RFC 5321 §5.1).
    HasAddress,
    /// The DNS says that nothing can be sent there.
    Nowhere(Nowhere),
    /// `https`: the endpoint answered HTTP, with this status. Its certificate is not judged: reporters need not (RFC 8460 §3).
    Answers(u16),
    /// `https`: it did not; why, in words, escaped.
    DoesNotAnswer(String),
    /// This side could not look; why, in words, escaped.
    CouldNotLook(String),
}

/// Why nothing can be sent to a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Nowhere {
    /// It takes no mail, on purpose (RFC 7505).
    NullMx,
    /// It does not exist.
    Nonexistent,
    /// It has no address, and no mail host where one would do.
    NoAddress,
}

impl RuaOutcome {
    /// Whether reports can be sent there, as far as that shows from outside; nothing where this side could not look.
    pub const fn reachable(&self) -> Option<bool> {
        match self {
            Self::HasMx | Self::HasAddress | Self::Answers(_) => Some(true),
            Self::Nowhere(_) | Self::DoesNotAnswer(_) => Some(false),
            Self::CouldNotLook(_) => None,
        }
    }

    /// Whether one look settles it: the DNS said so. A server that does not answer may be restarting.
    pub const fn is_final(&self) -> bool {
        !matches!(self, Self::DoesNotAnswer(_) | Self::CouldNotLook(_))
    }
}
