//! A change as the columns of a row.

use crate::{
    terms::{MxHost, PolicyDomain, Timestamp},
    verdict::{Change, ChangeKind, ChangeSubject},
};

/// The words of a row of the log of changes.
#[derive(Debug)]
pub(super) struct ChangeWords<'a> {
    /// Milliseconds since 1970.
    pub(super) at: i64,
    /// `domain`, `host` or `address`.
    pub(super) subject: &'a str,
    /// Of the domain or the mail host.
    pub(super) name: &'a str,
    /// Of the mail host.
    pub(super) address: Option<String>,
    pub(super) kind: &'a str,
    pub(super) before: Option<String>,
    pub(super) after: Option<String>,
}

impl<'a> ChangeWords<'a> {
    pub(super) fn of(change: &'a Change) -> Self {
        let (subject, name, address) = match &change.subject {
            ChangeSubject::Domain(domain) => ("domain", domain.as_str(), None),
            ChangeSubject::Host(host) => ("host", host.as_str(), None),
            ChangeSubject::Address(host, address) => ("address", host.as_str(), Some(address.to_string())),
        };
        Self {
            at: change.at.unix_milliseconds(),
            subject,
            name,
            address,
            kind: change.kind.as_str(),
            before: change.before.clone(),
            after: change.after.clone(),
        }
    }

    /// The change; nothing where a later version may have written the words.
    pub(super) fn read(self) -> Option<Change> {
        let subject = match self.subject {
            "domain" => ChangeSubject::Domain(PolicyDomain::parse(self.name).ok()?),
            "host" => ChangeSubject::Host(MxHost::parse(self.name).ok()?),
            "address" => ChangeSubject::Address(MxHost::parse(self.name).ok()?, self.address?.parse().ok()?),
            _ => return None,
        };
        Some(Change {
            at: Timestamp::from_unix_milliseconds(self.at),
            subject,
            kind: ChangeKind::ALL.into_iter().find(|known| known.as_str() == self.kind)?,
            before: self.before,
            after: self.after,
        })
    }
}
