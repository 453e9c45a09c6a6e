//! Domain names in the only form in which the program compares them: lower case, A-labels, no final dot.

use std::{borrow::Borrow, fmt, net::Ipv4Addr, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// RFC 1035 §2.3.4: 255 octets on the wire are 253 characters as text without the final dot.
const MAX_NAME: usize = 253;
/// RFC 1035 §2.3.4.
const MAX_LABEL: usize = 63;

/// Why a text is no usable domain name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Nothing, or only a dot.
    #[error("a domain name was expected, and there is nothing")]
    Empty,
    /// An address stands where a name belongs.
    #[error("{0:?} is an address; a domain name was expected")]
    Address(String),
    /// A mailbox stands where its domain belongs.
    #[error("{address:?} is an address; the domain is {domain}")]
    Mailbox {
        /// The whole text.
        address: String,
        /// What stands behind the @, in canonical form.
        domain: Arc<str>,
    },
    /// RFC 5890: the Unicode form has no A-label form.
    #[error("{0:?} is no valid internationalised domain name")]
    Idna(String),
    /// A label is empty, too long, or holds a character that host names do not have.
    #[error("{label:?} in {name:?} is no label of a host name (letters, digits and inner hyphens, at most 63)")]
    Label {
        /// The whole text.
        name: String,
        /// The label that is wrong.
        label: String,
    },
    /// Longer than DNS allows.
    #[error("the name is {0} characters long; DNS allows 253")]
    TooLong(usize),
}

/// Brings a name into canonical form, or says why it is none.
///
/// Underscores are let through: they are no host name characters (RFC 952), yet such hosts exist and receive mail.
fn canonical(text: &str) -> Result<Arc<str>, NameError> {
    let trimmed = text.trim();
    let trimmed = trimmed.strip_suffix('.').unwrap_or(trimmed);
    if trimmed.is_empty() {
        return Err(NameError::Empty);
    }
    // What stands behind the last @ has none itself, so this goes one level deep.
    if let Some(domain) = trimmed.rsplit_once('@').and_then(|(_, domain)| canonical(domain).ok()) {
        return Err(NameError::Mailbox { address: trimmed.to_owned(), domain });
    }
    if trimmed.contains([':', '[', ']']) {
        return Err(NameError::Address(trimmed.to_owned()));
    }
    let ascii = if trimmed.is_ascii() {
        trimmed.to_ascii_lowercase()
    } else {
        idna::domain_to_ascii(trimmed).map_err(|_| NameError::Idna(trimmed.to_owned()))?
    };
    // Not before: full-width digits become plain ones (RFC 5895 §2).
    if ascii.parse::<Ipv4Addr>().is_ok() {
        return Err(NameError::Address(trimmed.to_owned()));
    }
    if ascii.len() > MAX_NAME {
        return Err(NameError::TooLong(ascii.len()));
    }
    for label in ascii.split('.') {
        let characters = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        let edges = !label.starts_with('-') && !label.ends_with('-');
        if label.is_empty() || label.len() > MAX_LABEL || !characters || !edges {
            return Err(NameError::Label { name: ascii.clone(), label: label.to_owned() });
        }
    }
    Ok(ascii.into())
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Reads a name in any spelling (upper case, U-labels, final dot).
            ///
            /// # Errors
            /// [`NameError`] says which part is no name.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                canonical(text).map(Self)
            }

            /// The canonical text: lower case, A-labels, no final dot.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Whether this name is `ancestor` or lies below it.
            pub fn is_within(&self, ancestor: &str) -> bool {
                match self.0.strip_suffix(ancestor) {
                    Some(rest) => rest.is_empty() || rest.ends_with('.'),
                    None => false,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        /// As a key of a map it is found by its text.
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::parse(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
            }
        }
    };
}

name! {
    /// The domain behind the `@`: whose policy is looked up (RFC 8461 §1.1, "Policy Domain").
    PolicyDomain
}

name! {
    /// The name of a mail host as an MX record gives it: matched against the policy, sent as SNI, and looked for in the
    /// certificate (RFC 8461 §4.1).
    MxHost
}

impl PolicyDomain {
    /// The names above this one, the nearest first; the root is none.
    pub fn parents(&self) -> impl Iterator<Item = &str> {
        std::iter::successors(self.0.split_once('.'), |(_, rest)| rest.split_once('.')).map(|(_, parent)| parent)
    }

    /// The policy host, `mta-sts.<domain>` (RFC 8461 §3.3).
    pub fn policy_host(&self) -> String {
        format!("mta-sts.{}", self.0)
    }

    /// Where the record of MTA-STS stands, `_mta-sts.<domain>` (RFC 8461 §3.1).
    pub fn sts_record_name(&self) -> String {
        format!("_mta-sts.{}", self.0)
    }

    /// Where the record of TLSRPT stands, `_smtp._tls.<domain>` (RFC 8460 §3).
    pub fn tlsrpt_record_name(&self) -> String {
        format!("_smtp._tls.{}", self.0)
    }

    /// The domain itself as a mail host: without an MX record mail goes to its own addresses (RFC 5321 §5.1).
    pub fn implicit_mx(&self) -> MxHost {
        MxHost(Arc::clone(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_become_one() {
        for text in ["Example.COM", "example.com.", " example.com "] {
            assert_eq!(PolicyDomain::parse(text).as_ref().map(PolicyDomain::as_str), Ok("example.com"));
        }
        assert_eq!(
            PolicyDomain::parse("Bücher.example").as_ref().map(PolicyDomain::as_str),
            Ok("xn--bcher-kva.example")
        );
    }

    #[test]
    fn what_is_no_name_says_why() {
        assert_eq!(MxHost::parse("."), Err(NameError::Empty));
        assert_eq!(MxHost::parse("192.0.2.1"), Err(NameError::Address("192.0.2.1".into())));
        assert!(matches!(MxHost::parse("[2001:db8::1]"), Err(NameError::Address(_))));
        assert!(matches!(MxHost::parse("\u{ff11}\u{ff19}\u{ff12}.0.2.1"), Err(NameError::Address(_))), "full width");
        let mailbox = PolicyDomain::parse(" User@Example.com.").unwrap_err();
        assert_eq!(mailbox.to_string(), "\"User@Example.com\" is an address; the domain is example.com");
        assert!(matches!(PolicyDomain::parse("a@b@c"), Err(NameError::Mailbox { domain, .. }) if &*domain == "c"));
        assert!(matches!(PolicyDomain::parse("user@"), Err(NameError::Label { .. })));
        assert!(matches!(PolicyDomain::parse("user@[192.0.2.1]"), Err(NameError::Address(_))));
        assert!(matches!(MxHost::parse("a..b"), Err(NameError::Label { .. })));
        assert!(matches!(MxHost::parse("*.example.com"), Err(NameError::Label { .. })));
        assert!(matches!(MxHost::parse("$(id).x"), Err(NameError::Label { .. })));
        assert!(matches!(MxHost::parse(&"a.".repeat(200)), Err(NameError::TooLong(_))));
    }

    #[test]
    fn within_is_by_label() {
        let host = MxHost::parse("mx.example.com").ok();
        assert!(host.as_ref().is_some_and(|h| h.is_within("example.com")));
        assert!(host.as_ref().is_some_and(|h| h.is_within("mx.example.com")));
        assert!(!host.as_ref().is_some_and(|h| h.is_within("ample.com")));
    }
}
