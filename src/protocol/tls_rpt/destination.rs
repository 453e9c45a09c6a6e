//! Where reports go: an item of `rua` (RFC 8460 §3).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    protocol::problems::{is_blank, quoted},
    terms::PolicyDomain,
};

/// How a report is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// As a mail (RFC 8460 §5.3).
    Mailto,
    /// As an HTTPS POST (RFC 8460 §5.4).
    Https,
}

/// A place for reports that senders can use.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Destination {
    /// How a report is sent.
    pub scheme: Scheme,
    /// The whole URI as published, in ASCII.
    pub uri: String,
}

/// What is wrong with an item.
pub(super) enum Fault {
    /// It breaks the grammar, and with it the record.
    Grammar(&'static str, String),
    /// It is a URI, and nobody can send a report there.
    Unusable(String),
}

impl Scheme {
    /// The scheme in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mailto => "mailto",
            Self::Https => "https",
        }
    }
}

impl Destination {
    /// The domain of the mailbox, or the host of the endpoint, in lower case; nothing where there is none that can be read.
    pub fn host(&self) -> Option<String> {
        let rest = self.uri.split_once(':')?.1;
        let host = match self.scheme {
            // RFC 6068 §2: what follows `?` is header fields.
            Scheme::Mailto => rest.split('?').next()?.rsplit_once('@')?.1,
            // RFC 3986 §3.2.
            Scheme::Https => {
                let authority = rest.strip_prefix("//")?.split(['/', '?', '#']).next()?;
                let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
                match host.strip_prefix('[') {
                    Some(ip6) => ip6.split(']').next()?,
                    None => host.split(':').next()?,
                }
            }
        };
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        (!host.is_empty()).then_some(host)
    }
}

impl Destination {
    /// The port of the endpoint, where the URI names one; nothing for a mailbox.
    pub fn port(&self) -> Option<u16> {
        let authority = self.authority()?;
        let behind = authority.rsplit_once(']').map_or(authority, |(_, rest)| rest);
        behind.rsplit_once(':')?.1.parse().ok()
    }

    /// Path and query of the endpoint, at least `/`.
    pub fn path(&self) -> &str {
        let rest = self.authority().and_then(|authority| {
            let start = self.uri.find("//")?.checked_add(2)?.checked_add(authority.len())?;
            self.uri.get(start..)?.split('#').next()
        });
        rest.filter(|rest| rest.starts_with('/')).unwrap_or("/")
    }

    /// RFC 3986 §3.2.
    fn authority(&self) -> Option<&str> {
        match self.scheme {
            Scheme::Mailto => None,
            Scheme::Https => self.uri.split_once("//")?.1.split(['/', '?', '#']).next(),
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.uri)
    }
}

impl Destination {
    /// Reads one item of the list, without the blanks around it.
    pub(super) fn read(item: &[u8]) -> Result<Self, Fault> {
        let seen = quoted(item);
        if item.is_empty() {
            return Err(Fault::Grammar("RPT-06", "the list of destinations has an empty item".to_owned()));
        }
        if item.iter().any(is_blank) {
            let message = format!("{seen} holds a blank; destinations are separated by \",\"");
            return Err(Fault::Grammar("RPT-06", message));
        }
        if item.contains(&b'!') {
            let message =
                format!("{seen} holds \"!\"; \"%21\" was expected, and a size limit as in DMARC does not exist");
            return Err(Fault::Grammar("RPT-07", message));
        }
        if let Some(stray) = item.iter().find(|byte| !is_uri_character(**byte)) {
            let stray = quoted(std::slice::from_ref(stray));
            return Err(Fault::Grammar("RPT-05", format!("{seen} holds {stray}, which a URI does not")));
        }
        let uri = String::from_utf8_lossy(item).into_owned();
        if !percents_are_whole(&uri) {
            return Err(Fault::Grammar("RPT-05", format!("{seen} holds a \"%\" without two hexadecimal digits")));
        }
        let Some((scheme, rest)) = split_scheme(&uri) else {
            let hint = if uri.contains('@') { format!("; \"mailto:{uri}\" was expected") } else { String::new() };
            return Err(Fault::Grammar("RPT-05", format!("{seen} is no URI{hint}")));
        };
        if scheme.eq_ignore_ascii_case("mailto") && is_mailbox(rest) {
            Ok(Self { scheme: Scheme::Mailto, uri })
        } else if scheme.eq_ignore_ascii_case("https") && has_host(rest) {
            Ok(Self { scheme: Scheme::Https, uri })
        } else if scheme.eq_ignore_ascii_case("mailto") {
            Err(Fault::Unusable(format!("{seen} names no mailbox; \"mailto:name@domain\" was expected")))
        } else if scheme.eq_ignore_ascii_case("https") {
            Err(Fault::Unusable(format!("{seen} names no host; \"https://host/path\" was expected")))
        } else {
            Err(Fault::Unusable(format!("{seen} is neither a mailto nor an https URI, so nobody reports there")))
        }
    }
}

/// RFC 3986 §2, without `,` and `;`, which cannot stand in an item, and `!`, which was looked for.
fn is_uri_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/?#[]@$&'()*+=%".contains(&byte)
}

/// RFC 3986 §2.1.
fn percents_are_whole(uri: &str) -> bool {
    let digits = |rest: &str| rest.get(..2).is_some_and(|two| two.bytes().all(|byte| byte.is_ascii_hexdigit()));
    uri.split('%').skip(1).all(digits)
}

/// RFC 3986 §3.1.
fn split_scheme(uri: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = uri.split_once(':')?;
    let follows = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    (scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.bytes().all(follows)).then_some((scheme, rest))
}

/// RFC 6068 §2: one address, then perhaps header fields.
fn is_mailbox(rest: &str) -> bool {
    let address = rest.split(['?', '#']).next().unwrap_or_default();
    let Some((local, domain)) = address.rsplit_once('@') else { return false };
    !local.is_empty() && !local.contains('@') && PolicyDomain::parse(domain).is_ok()
}

/// RFC 9110 §4.2.2: a host is needed.
fn has_host(rest: &str) -> bool {
    let authority = rest.strip_prefix("//").and_then(|rest| rest.split(['/', '?', '#']).next());
    let host = authority.map(|authority| authority.rsplit('@').next().unwrap_or_default());
    host.is_some_and(|host| !host.is_empty() && !host.starts_with(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usable(item: &str) -> bool {
        Destination::read(item.as_bytes()).is_ok()
    }

    #[test]
    fn mailboxes_and_hosts_are_needed() {
        for good in
            ["mailto:a@example.com", "MAILTO:a@example.com?subject=x", "https://example.com", "https://h:8443/?k=v"]
        {
            assert!(usable(good), "{good}");
        }
        for item in [
            "mailto:",
            "mailto:a",
            "mailto:@example.com",
            "mailto:a@",
            "https:",
            "https:///x",
            "ftp://x/",
            "https://:443/",
        ] {
            assert!(matches!(Destination::read(item.as_bytes()), Err(Fault::Unusable(_))), "{item}");
        }
    }

    #[test]
    fn what_is_no_uri_breaks_the_record() {
        for item in [
            "",
            "a@example.com",
            "mailto:a%2@example.com",
            "mailto:<a@example.com>",
            "mailto:a@example.com!10m",
            "://x",
            "a b",
        ] {
            assert!(matches!(Destination::read(item.as_bytes()), Err(Fault::Grammar(..))), "{item}");
        }
    }
}
