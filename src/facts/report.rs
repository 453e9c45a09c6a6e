//! How a TLS report came in, and what proves who sent it.

use serde::{Deserialize, Serialize};

use crate::terms::{PolicyDomain, Timestamp};

/// The way in: the label `transport`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// `POST` (RFC 8460 §5.4).
    Https,
    /// A mail: from IMAP, a maildir, or handed in.
    Mail,
    /// A bare report in a file.
    File,
}

/// What proves who sent a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Authentication {
    /// A valid DKIM signature, aligned with the submitter and without `l=` (RFC 8460 §3).
    Dkim,
    /// A trusted Authentication-Results header that says so (RFC 8601).
    Header,
    /// There is no proof.
    None,
    /// There is one, and it fails.
    Failed,
}

/// In whose name a report counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reporter {
    /// The organizational domain of the submitter: proven, or taken on trust where the configuration asks for no proof.
    Verified(PolicyDomain),
    /// Whoever it is.
    Unverified,
}

/// Where a report comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The way in.
    pub transport: Transport,
    /// What proves the sender.
    pub authentication: Authentication,
    /// In whose name it counts.
    pub reporter: Reporter,
    /// When it came in. For a report that waited in a file or mailbox that is when it was read.
    pub arrived_at: Timestamp,
    /// A file name, the id of a message, or the address that posted it: for people.
    pub source: String,
}

impl Transport {
    /// All.
    pub const ALL: [Self; 3] = [Self::Https, Self::Mail, Self::File];

    /// The value of the label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Mail => "mail",
            Self::File => "file",
        }
    }
}

impl Authentication {
    /// The word of the JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dkim => "dkim",
            Self::Header => "header",
            Self::None => "none",
            Self::Failed => "failed",
        }
    }
}

impl Reporter {
    /// Its name in totals and labels: what cannot be a domain is [`Reporter::UNVERIFIED`].
    pub fn as_str(&self) -> &str {
        match self {
            Self::Verified(domain) => domain.as_str(),
            Self::Unverified => Self::UNVERIFIED,
        }
    }

    /// The name of whoever proves nothing.
    pub const UNVERIFIED: &str = "unverified";
    /// The name of all those that are too many to be told apart.
    pub const OTHER: &str = "other";
}
