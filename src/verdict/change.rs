//! What became different between two observations, told for people.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::terms::{MxHost, PolicyDomain, Timestamp};

/// One change, with what was before it and what came after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// When the observation that showed it was made: it happened between that and the observation before.
    pub at: Timestamp,
    /// What it is about.
    pub subject: ChangeSubject,
    /// What changed.
    pub kind: ChangeKind,
    /// What was there before, in a few words, peers' bytes escaped; nothing where nothing was.
    pub before: Option<String>,
    /// What is there now, likewise; nothing where it is gone.
    pub after: Option<String>,
}

/// What a change is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeSubject {
    /// A policy domain.
    Domain(PolicyDomain),
    /// A mail host.
    Host(MxHost),
    /// One address of a mail host.
    Address(MxHost, IpAddr),
}

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// The TXT record at `_mta-sts.<domain>` (RFC 8461 §3.1): its presence or its id.
    Record,
    /// The policy by meaning: mode, `max_age`, set of MX patterns (RFC 8461 §3.2).
    Policy,
    /// The set of MX records.
    Mx,
    /// The certificate that an address of a mail host shows.
    Certificate,
    /// The TLSA records of a mail host (RFC 6698).
    Tlsa,
    /// What senders can do with mail for the domain.
    Delivery,
}

impl ChangeKind {
    /// Every kind, in the order of the documents.
    pub const ALL: [Self; 6] = [Self::Record, Self::Policy, Self::Mx, Self::Certificate, Self::Tlsa, Self::Delivery];

    /// A closed word for metrics and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Policy => "policy",
            Self::Mx => "mx",
            Self::Certificate => "certificate",
            Self::Tlsa => "tlsa",
            Self::Delivery => "delivery",
        }
    }
}

impl std::fmt::Display for ChangeKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_of_a_kind_is_that_of_its_json() {
        for kind in ChangeKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }
}
