//! Where things are on this server: every path below the prefix.

use crate::terms::{MxHost, PolicyDomain};

/// Makes the paths of links.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Links {
    prefix: String,
}

impl Links {
    /// `prefix` begins with a slash and ends with none, or is empty.
    pub(super) const fn new(prefix: String) -> Self {
        Self { prefix }
    }

    /// A path of this server, such as `/hosts`.
    pub(super) fn to(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    /// The page of a domain.
    pub(super) fn domain(&self, domain: &PolicyDomain) -> String {
        self.to(&format!("/domains/{domain}"))
    }

    /// The page of a mail host.
    pub(super) fn host(&self, host: &MxHost) -> String {
        self.to(&format!("/hosts/{host}"))
    }
}
