//! What the judgement of a domain reads of a mail host, as two numbers: while they are the same, a look at the host brings no news for the
//! domains that use it, and they are not judged again.
//!
//! What only time decides is left out: when something was seen last, how long it took. A domain is judged at each of its own looks in
//! any case, so that this too shows within its interval. What a look at the host finds to be out of date is news.

use std::{net::IpAddr, sync::Arc, time::Duration};

use super::Host;
use crate::{
    facts::{
        AddressLookup, AddressObservation, Asked, HostObservation, Lookup, LookupOutcome, ProtocolFault, SmtpOutcome,
        TlsSurvey,
    },
    monitor::HostState,
    terms::{Octets, Timestamp, place},
    verdict::{AddressHistory, HostHistory, Tally, is_told},
};

/// Failures in a row beyond this are one to every rule: the highest threshold of the verdict is three.
const FAILURES_TOLD_APART: u32 = 8;

/// … and good probes in a row beyond this: readiness for enforce asks for three.
const GOOD_TOLD_APART: u32 = 3;

const DAY: u64 = 86_400;

/// What is known of a host, and what follows from it for domains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sight {
    /// For every domain.
    pub(super) shown: u64,
    /// For domains in testing alone: how long all was good, by which they are told whether to enforce. Each healthy host crosses those
    /// thresholds after every start and every fault, and of the domains that share it few are in testing.
    pub(super) held: u64,
}

/// What is known of a host as of `now`. `mx_interval`: how often its addresses are probed.
pub(super) fn sight(host: &Host, state: &HostState, mx_interval: Duration, now: Timestamp) -> Sight {
    let lookup = host.observation.as_deref().map(host_lookup);
    let addresses: Vec<_> = host
        .addresses
        .iter()
        .map(|(address, known)| {
            (address, known.latest.as_deref().map(probe), known.surveys.stored().0.as_deref().map(survey))
        })
        .collect();
    let verdicts: Vec<_> = state
        .paths
        .iter()
        .map(|path| {
            let certificate = path.certificate.as_ref().map(|one| (one.chain_valid, one.name_match, one.in_dates));
            let judged = path.judged.as_deref().map(probe);
            (path.reach, path.another_answered, path.starttls, path.dane_valid, path.result_type, certificate, judged)
        })
        .collect();
    let dane = (state.dane.status, state.dane.failure_counts);
    let shown = format!("{lookup:?}{addresses:?}{verdicts:?}{dane:?}{}{}", history(&host.history), host.skipped);
    // A host that turns this side away shows the same each time, until it has told nothing for too long.
    let held = host.history.addresses.iter().map(|(at, known)| (*at, streaks(known), is_told(known, mx_interval, now)));
    Sight { shown: place(&shown), held: place(&format!("{:?}", held.collect::<Vec<_>>())) }
}

/// Good probes in a row, as far as they are told apart, and the last bad one: of TLS, and of certificates.
fn streaks(known: &AddressHistory) -> [(u32, Option<Timestamp>); 2] {
    [&known.tls, &known.verified].map(|streak| {
        // Each probe that fails is the last bad one: while they all do, that is no news. After a good one it is, as good probes may
        // follow again before anybody looks.
        let bad_at = streak.bad_at.filter(|_| streak.good_in_a_row > 0);
        (streak.good_in_a_row.min(GOOD_TOLD_APART), bad_at)
    })
}

fn host_lookup(seen: &HostObservation) -> HostObservation {
    let mut seen = seen.clone();
    seen.at = Timestamp::default();
    each_family(&mut seen.addresses);
    if let Some(tlsa) = &mut seen.tlsa {
        tlsa.alias.iter_mut().for_each(lookup);
        tlsa.lookups.iter_mut().for_each(|one| lookup(&mut one.lookup));
    }
    seen
}

fn each_family(addresses: &mut AddressLookup) {
    addresses.ip4.iter_mut().chain(&mut addresses.ip6).for_each(lookup::<IpAddr>);
}

/// Times, TTLs and the order of records are no news; how many days a signature has left is.
fn lookup<T: Ord>(seen: &mut Lookup<T>) {
    if let Some(signatures) = &mut seen.signatures {
        let days = signatures.expires.since(seen.at).as_secs() / DAY;
        signatures.expires = Timestamp::default() + Duration::from_secs(days * DAY);
        signatures.inception = Timestamp::default();
        signatures.covers = String::new();
    }
    seen.at = Timestamp::default();
    seen.asked = Asked::default();
    if let LookupOutcome::Records { records, ttl } = &mut seen.outcome {
        records.sort();
        *ttl = 0;
    }
}

/// What a probe showed, as a text. Banners and replies carry the time and the name of a machine, and no rule reads them; a chain is
/// told by the fingerprints of its certificates, by where it leads, and by what of it could not be read.
fn probe(seen: &AddressObservation) -> String {
    let mut capabilities = seen.capabilities.clone();
    if let Some(capabilities) = &mut capabilities {
        capabilities.sort();
    }
    let mut outcome = seen.outcome.clone();
    match &mut outcome {
        SmtpOutcome::Rejected { text, .. } | SmtpOutcome::StarttlsRefused { text, .. } => *text = Octets(Vec::new()),
        SmtpOutcome::ProtocolError { fault: ProtocolFault::NoReply(text) | ProtocolFault::Transport(text), .. } => {
            text.clear();
        }
        _ => {}
    }
    let tls = seen.tls.as_ref().map(|tls| {
        let certificates = std::iter::once(&tls.chain.leaf).chain(&tls.chain.others);
        let fingerprints: Vec<&str> = certificates.map(|one| one.fingerprint_sha256.as_str()).collect();
        (tls.version, &tls.cipher, tls.completed, fingerprints, &tls.chain.path, tls.chain.unreadable)
    });
    format!("{outcome:?}{capabilities:?}{}{tls:?}", seen.cleartext_after_starttls)
}

fn survey(seen: &TlsSurvey) -> TlsSurvey {
    TlsSurvey { at: Timestamp::default(), duration: None, ..seen.clone() }
}

/// What is remembered of the host, as a text.
fn history(known: &HostHistory) -> String {
    let mut known = known.clone();
    known.failures_in_a_row = known.failures_in_a_row.min(FAILURES_TOLD_APART);
    known.failure_counted_at = None;
    known.last_answer = known.last_answer.as_deref().map(|answer| Arc::new(host_lookup(answer)));
    known.tlsa_changes = Tally::default();
    for record in &mut known.tlsa {
        record.last = record.first;
        record.compared_at = record.compared_at.map(|_| record.first);
    }
    let addresses: Vec<_> =
        std::mem::take(&mut known.addresses).iter().map(|(at, one)| (*at, address_history(one))).collect();
    format!("{known:?}{addresses:?}")
}

/// What is remembered of an address, as a text.
fn address_history(known: &AddressHistory) -> String {
    let told_apart = |failures: u32| failures.min(FAILURES_TOLD_APART);
    let failures =
        (told_apart(known.failures_in_a_row), told_apart(known.unreachable_in_a_row), known.unreachable_since);
    // Which of both came last tells what stands while nothing can be told.
    let down_is_later = known.last_down_at > known.last_up.as_ref().map(|seen| seen.at);
    let last_up = known.last_up.as_deref().map(probe);
    let certificates: Vec<_> = known.certificates.iter().map(|one| (&one.fingerprint_sha256, one.first)).collect();
    let succeeded = known.last_success_at.is_some();
    format!("{failures:?}{down_is_later}{last_up:?}{certificates:?}{succeeded}")
}
