//! One fact about one subject that a person should act on or know.

use std::{fmt, net::IpAddr};

use serde::Serialize;

use super::{Code, Fixer, Severity};
use crate::terms::{MxHost, PolicyDomain, Timestamp};

/// A finding: what was seen, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which row of the catalogue.
    pub code: Code,
    /// How bad it is in the context of this domain, after `severities` of the configuration.
    pub severity: Severity,
    /// What it is about.
    pub subject: Subject,
    /// What was seen, with its values, in one or two sentences. Peers' bytes in it are escaped.
    pub detail: String,
    /// What to do, with the very line to publish where there is one.
    pub fix: String,
    /// Who can do that.
    pub fixer: Fixer,
    /// The TLS-RPT result type that a sender would report for it (RFC 8460 §4.3), where there is such a word.
    pub result_type: Option<&'static str>,
    /// Since when it stands; nothing where there is no history.
    pub since: Option<Timestamp>,
    /// How many times it came within the last month: more than once, and it comes and goes. 0 where there is no history.
    pub times: u32,
    /// The reason of the configuration's `accept` entry that covers it: shown, but in no count and no exit status.
    pub accepted: Option<String>,
}

/// What a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// The policy domain.
    Domain(PolicyDomain),
    /// `mta-sts.<domain>`.
    PolicyHost(String),
    /// A mail host, as the MX record names it; no host name at all for an invalid target.
    Mx(String),
    /// One address of a mail host.
    MxAddress(MxHost, IpAddr),
    /// `_smtp._tls.<domain>`.
    TlsRpt(String),
    /// What reports say of the policy domain.
    Reports(PolicyDomain),
    /// This monitor itself.
    Monitor,
}

impl Subject {
    /// The name of the subject without its address.
    pub fn name(&self) -> &str {
        match self {
            Self::Domain(domain) | Self::Reports(domain) => domain.as_str(),
            Self::PolicyHost(name) | Self::Mx(name) | Self::TlsRpt(name) => name,
            Self::MxAddress(host, _) => host.as_str(),
            Self::Monitor => "monitor",
        }
    }

    /// The address, where the finding is about one.
    pub const fn address(&self) -> Option<IpAddr> {
        match self {
            Self::MxAddress(_, address) => Some(*address),
            _ => None,
        }
    }

    /// The mail host, for findings that stand on a host and not on the domain.
    pub fn mx(&self) -> Option<&str> {
        match self {
            Self::Mx(name) => Some(name),
            Self::MxAddress(host, _) => Some(host.as_str()),
            _ => None,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address() {
            Some(address) => write!(f, "{} [{address}]", self.name()),
            None => f.write_str(self.name()),
        }
    }
}

impl Finding {
    /// Whether it counts: it is not accepted.
    pub const fn is_active(&self) -> bool {
        self.accepted.is_none()
    }
}
