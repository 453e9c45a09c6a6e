//! A pattern for hosts as the configuration writes it.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

use crate::terms::{MxHost, NameError};

/// One host (`mx.example.com`), or all hosts below a domain at any depth (`*.example.com`).
///
/// Not the pattern of an MTA-STS policy, whose star stands for exactly one label (RFC 8461 §4.1): this one says "ours".
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPattern {
    /// Exactly this name.
    Host(MxHost),
    /// Every name below this one, not the name itself.
    Below(MxHost),
}

impl HostPattern {
    /// Reads `name` or `*.name`.
    ///
    /// # Errors
    /// [`NameError`] says why the name is none; a star anywhere else is no label.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let text = text.trim();
        match text.strip_prefix("*.") {
            Some(rest) => MxHost::parse(rest).map(Self::Below),
            None => MxHost::parse(text).map(Self::Host),
        }
    }

    /// Whether the pattern covers `name`, which is in canonical form (lower case, A-labels, no final dot).
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Host(host) => host.as_str() == name,
            Self::Below(domain) => {
                name.strip_suffix(domain.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            }
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(host) => write!(f, "{host}"),
            Self::Below(domain) => write!(f, "*.{domain}"),
        }
    }
}

impl FromStr for HostPattern {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl Serialize for HostPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_covers_any_depth_and_not_the_domain_itself() {
        let pattern = HostPattern::parse("*.Example.com.").unwrap();
        assert!(pattern.matches("mx.example.com") && pattern.matches("a.b.example.com"));
        assert!(
            !pattern.matches("example.com")
                && !pattern.matches("mx.badexample.com")
                && !pattern.matches(".example.com")
        );
        assert!(HostPattern::parse("mx.example.com").unwrap().matches("mx.example.com"));
        assert_eq!(pattern.to_string(), "*.example.com");
    }

    #[test]
    fn a_star_elsewhere_is_no_pattern() {
        for text in ["mx*.example.com", "mx.*.com", "*", "*."] {
            assert!(HostPattern::parse(text).is_err(), "{text}");
        }
    }
}
