//! Which names are asked for TLSA records, and which answer counts (RFC 7672 §2.1, §2.2; RFC 7671 §7).

use std::net::IpAddr;

use smtptls_exporter::{
    facts::{
        AddressLookup, Asked, Lookup, LookupFailure, LookupOutcome, Security, TlsaLookup, TlsaObservation, TlsaRecord,
    },
    protocol::dane::{LookupLink, NotAsked, Question, TlsaState, TlsaStatus, next_question, tlsa_state},
    terms::MxHost,
};

use super::pki::{now, stranger};
use Security::{Bogus, Indeterminate, Insecure, Secure};

pub(super) const ORIGINAL: &str = "mx.example.com";
pub(super) const EXPANDED: &str = "mail.provider.example";

pub(super) fn host(name: &str) -> MxHost {
    MxHost::parse(name).unwrap()
}

pub(super) fn lookup<T>(outcome: LookupOutcome<T>, security: Security) -> Lookup<T> {
    Lookup {
        name: ORIGINAL.to_owned(),
        at: now(),
        outcome,
        cname: Vec::new(),
        security,
        signatures: None,
        message_bytes: 0,
        extended_errors: Vec::new(),
        asked: Asked::default(),
    }
}

fn found<T>(record: T) -> LookupOutcome<T> {
    LookupOutcome::Records { records: vec![record], ttl: 3600 }
}

fn address(text: &str) -> LookupOutcome<IpAddr> {
    found(text.parse().unwrap())
}

/// Addresses of a host that is no alias.
pub(super) fn plain(security: Security) -> AddressLookup {
    AddressLookup { ip4: Some(lookup(address("192.0.2.1"), security)), ip6: None }
}

/// Addresses at the end of two CNAME records.
pub(super) fn alias(security: Security) -> AddressLookup {
    let mut addresses = plain(security);
    addresses.ip4.as_mut().unwrap().cname = vec!["between.example".to_owned(), EXPANDED.to_owned()];
    addresses
}

pub(super) fn first_cname(security: Security) -> Lookup<String> {
    lookup(found("between.example".to_owned()), security)
}

/// The answer to a TLSA query.
pub(super) fn tlsa(base: &str, outcome: LookupOutcome<TlsaRecord>, security: Security) -> TlsaLookup {
    TlsaLookup { base: host(base), lookup: lookup(outcome, security) }
}

pub(super) fn records() -> LookupOutcome<TlsaRecord> {
    found(stranger([3, 1, 1]))
}

fn failed<T>() -> LookupOutcome<T> {
    LookupOutcome::Failed(LookupFailure::ServFail)
}

pub(super) fn seen(alias: Option<Lookup<String>>, lookups: Vec<TlsaLookup>) -> TlsaObservation {
    TlsaObservation { alias, lookups }
}

/// All that is asked, each question answered so; and what is made of it in the end.
fn walk(
    addresses: &AddressLookup,
    alias_security: Security,
    answer: impl Fn(&MxHost) -> (LookupOutcome<TlsaRecord>, Security),
) -> (Vec<String>, TlsaStatus, Option<MxHost>) {
    let mut asked = Vec::new();
    let mut seen = TlsaObservation::default();
    while let Some(question) = next_question(&host(ORIGINAL), addresses, &seen) {
        match question {
            Question::Alias => {
                asked.push("CNAME".to_owned());
                seen.alias = Some(first_cname(alias_security));
            }
            Question::Tlsa(base) => {
                asked.push(base.to_string());
                let (outcome, security) = answer(&base);
                seen.lookups.push(tlsa(base.as_str(), outcome, security));
            }
        }
        assert!(asked.len() < 5, "it ends");
    }
    let state = tlsa_state(&host(ORIGINAL), addresses, Some(&seen));
    (asked, state.status(), state.base().cloned())
}

#[test]
fn what_is_asked_in_which_order() {
    let nothing = |_: &MxHost| (LookupOutcome::NxDomain, Secure);
    for (addresses, alias_security, expected) in [
        (plain(Secure), Secure, vec![ORIGINAL]),
        (plain(Insecure), Secure, vec![]),
        (alias(Secure), Secure, vec![EXPANDED, ORIGINAL]),
        (alias(Insecure), Secure, vec!["CNAME", ORIGINAL]),
        (alias(Insecure), Insecure, vec!["CNAME"]),
    ] {
        let (asked, status, base) = walk(&addresses, alias_security, nothing);
        assert_eq!(asked, expected);
        assert_eq!((status, base), (TlsaStatus::None, None));
    }
}

#[test]
fn the_first_with_secure_records_is_the_base() {
    let (asked, status, base) = walk(&alias(Secure), Secure, |_| (records(), Secure));
    assert_eq!((asked, status, base), (vec![EXPANDED.to_owned()], TlsaStatus::Usable, Some(host(EXPANDED))));

    for (outcome, security) in
        [(LookupOutcome::NoData, Secure), (LookupOutcome::NxDomain, Secure), (records(), Insecure)]
    {
        let (asked, status, base) = walk(&alias(Secure), Secure, |base| match base.as_str() {
            EXPANDED => (outcome.clone(), security),
            _ => (records(), Secure),
        });
        assert_eq!((asked.len(), status, base), (2, TlsaStatus::Usable, Some(host(ORIGINAL))));
    }
}

/// RFC 7672 §2.1.1, DAN-D09, DAN-D10: a failure is no absence, and nothing is asked after it.
#[test]
fn a_failure_ends_the_walk() {
    for (outcome, security, expected) in [
        (failed(), Indeterminate, TlsaStatus::Failed),
        (LookupOutcome::Failed(LookupFailure::Timeout), Indeterminate, TlsaStatus::Failed),
        (LookupOutcome::Failed(LookupFailure::Bogus("expired".into())), Indeterminate, TlsaStatus::Bogus),
        (failed(), Bogus, TlsaStatus::Bogus),
        (records(), Indeterminate, TlsaStatus::Indeterminate),
    ] {
        let (asked, status, base) = walk(&alias(Secure), Secure, |_| (outcome.clone(), security));
        assert_eq!((asked, status, base), (vec![EXPANDED.to_owned()], expected, None));
    }
    let addresses = alias(Insecure);
    for (outcome, security, expected) in [
        (failed(), Indeterminate, TlsaStatus::Failed),
        (failed(), Bogus, TlsaStatus::Bogus),
        (found(String::new()), Indeterminate, TlsaStatus::Indeterminate),
    ] {
        let seen = seen(Some(lookup(outcome, security)), Vec::new());
        assert_eq!(next_question(&host(ORIGINAL), &addresses, &seen), None);
        assert_eq!(tlsa_state(&host(ORIGINAL), &addresses, Some(&seen)).status(), expected);
    }
}

#[test]
fn addresses_decide_first() {
    let state = |ip4: LookupOutcome<IpAddr>, ip4_security, ip6: LookupOutcome<IpAddr>, ip6_security| {
        let addresses = AddressLookup { ip4: Some(lookup(ip4, ip4_security)), ip6: Some(lookup(ip6, ip6_security)) };
        let seen = seen(None, vec![tlsa(ORIGINAL, records(), Secure)]);
        tlsa_state(&host(ORIGINAL), &addresses, Some(&seen)).status()
    };
    let (ip4, ip6) = (|| address("192.0.2.1"), || address("2001:db8::1"));
    let none = || LookupOutcome::NoData;
    assert_eq!(state(ip4(), Secure, ip6(), Secure), TlsaStatus::Usable);
    assert_eq!(state(ip4(), Secure, none(), Secure), TlsaStatus::Usable);
    assert_eq!(state(none(), Secure, ip6(), Secure), TlsaStatus::Usable);
    assert_eq!(state(ip4(), Insecure, ip6(), Secure), TlsaStatus::Usable, "it binds who dials the secure one");
    assert_eq!(state(ip4(), Secure, failed(), Indeterminate), TlsaStatus::Failed);
    assert_eq!(state(ip4(), Secure, failed(), Bogus), TlsaStatus::Bogus);
    assert_eq!(state(ip4(), Indeterminate, none(), Indeterminate), TlsaStatus::Indeterminate);

    for none in [none(), LookupOutcome::NxDomain] {
        let addresses = AddressLookup { ip4: Some(lookup(none, Secure)), ip6: None };
        assert_eq!(next_question(&host(ORIGINAL), &addresses, &TlsaObservation::default()), None);
        let state = tlsa_state(&host(ORIGINAL), &addresses, None);
        assert_eq!(state, TlsaState::NotAsked(NotAsked::NoAddress));
    }
}

/// The finding about a failing TLSA query is not that about failing addresses.
#[test]
fn where_it_failed() {
    let addresses = AddressLookup { ip4: Some(lookup(failed(), Bogus)), ip6: None };
    let state = tlsa_state(&host(ORIGINAL), &addresses, None);
    assert_eq!(state, TlsaState::Bogus { at: LookupLink::Addresses });
    let addresses = plain(Secure);
    let seen = seen(None, vec![tlsa(ORIGINAL, failed(), Indeterminate)]);
    let state = tlsa_state(&host(ORIGINAL), &addresses, Some(&seen));
    let at = LookupLink::Tlsa(host(ORIGINAL));
    assert_eq!(state, TlsaState::Failed { at, failure: LookupFailure::ServFail });
}

/// DAN-D07: insecure TLSA records are none, and whoever published them wants to know.
#[test]
fn records_that_nobody_heeds() {
    let only_original = seen(None, vec![tlsa(ORIGINAL, records(), Insecure)]);
    let both = seen(None, vec![tlsa(EXPANDED, records(), Insecure), tlsa(ORIGINAL, LookupOutcome::NoData, Secure)]);
    let secure_beside = seen(None, vec![tlsa(ORIGINAL, records(), Secure)]);
    for (addresses, seen) in [
        (plain(Secure), &only_original),
        (plain(Insecure), &only_original),
        (plain(Insecure), &secure_beside),
        (alias(Secure), &both),
    ] {
        let state = tlsa_state(&host(ORIGINAL), &addresses, Some(seen));
        assert!(matches!(state, TlsaState::Insecure { .. }), "{state:?}");
        assert_eq!((state.status().as_str(), state.base()), ("insecure", None));
    }
}

#[test]
fn what_was_not_looked_at_is_not_absent() {
    let not_seen = TlsaState::NotAsked(NotAsked::NotSeen);
    assert_eq!(tlsa_state(&host(ORIGINAL), &plain(Secure), None), not_seen);
    assert_eq!(tlsa_state(&host(ORIGINAL), &alias(Insecure), None), not_seen);
    assert_eq!(not_seen.status(), TlsaStatus::Indeterminate);
    let insecure = tlsa_state(&host(ORIGINAL), &plain(Insecure), None);
    assert_eq!(insecure, TlsaState::NotAsked(NotAsked::Insecure), "the addresses say enough");
}

#[test]
fn records_that_are_all_unusable() {
    let addresses = plain(Secure);
    let seen = seen(None, vec![tlsa(ORIGINAL, found(stranger([1, 1, 1])), Secure)]);
    let state = tlsa_state(&host(ORIGINAL), &addresses, Some(&seen));
    assert_eq!((state.status(), state.base()), (TlsaStatus::Unusable, Some(&host(ORIGINAL))));
}
