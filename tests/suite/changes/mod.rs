//! What changed: from the peers through the monitor and the store to those who ask.

mod ask;
mod follow;
mod pages;

use smtptls_exporter::{
    terms::{MxHost, PolicyDomain, Timestamp},
    verdict::{Change, ChangeKind, ChangeSubject},
};

const NOW: Timestamp = Timestamp::from_unix_seconds(1_790_000_000);

fn of_domain(name: &str, number: usize, at: Timestamp) -> Change {
    let subject = ChangeSubject::Domain(PolicyDomain::parse(name).unwrap());
    Change { at, subject, kind: ChangeKind::Record, before: None, after: Some(number.to_string()) }
}

fn of_host(name: &str, number: usize, at: Timestamp) -> Change {
    let subject = ChangeSubject::Host(MxHost::parse(name).unwrap());
    Change { at, subject, kind: ChangeKind::Tlsa, before: Some(number.to_string()), after: None }
}
