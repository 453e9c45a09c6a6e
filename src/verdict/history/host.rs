//! What is remembered of a mail host.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{AddressHistory, Tally, count, texts};
use crate::{
    facts::{AddressLookup, AddressObservation, HostObservation, Lookup, TlsaRecord},
    protocol::dane::{RecordSight, verify},
    terms::Timestamp,
    verdict::{Change, ChangeKind, ChangeSubject},
};

/// TLSA records that are remembered for a host. Operators are told that more than twelve at a time are too many.
const MOST_TLSA: usize = 24;

/// What is remembered of a mail host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostHistory {
    /// Failed address lookups in a row that came at the pace of the schedule.
    pub failures_in_a_row: u32,
    /// The last of them.
    pub failure_counted_at: Option<Timestamp>,
    /// The last answer of each family that was asked for, the present one where it is an answer.
    pub last_answer: Option<Arc<HostObservation>>,
    /// Its addresses.
    pub addresses: BTreeMap<IpAddr, AddressHistory>,
    /// The TLSA records that were seen, by the time at which each was first seen.
    pub tlsa: Vec<SeenTlsa>,
    /// The TLSA lookups were answered before: what comes first is no change.
    pub tlsa_seen: bool,
    /// Changes of the TLSA records.
    pub tlsa_changes: Tally,
}

/// A TLSA record that was published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenTlsa {
    /// The record.
    pub record: TlsaRecord,
    /// The first answer that held it.
    pub first: Timestamp,
    /// The last one.
    pub last: Timestamp,
    /// The latest answer held it.
    pub published: bool,
    /// Since when no address has shown a certificate that it is of; nothing while one does, or nothing was compared yet.
    #[serde(default)]
    pub unmatched_since: Option<Timestamp>,
    /// The last comparison.
    #[serde(default)]
    pub compared_at: Option<Timestamp>,
}

impl HostHistory {
    /// Folds an address lookup in, with the TLSA lookups that followed. `retry`: as [`Pace::retry`](super::Pace::retry). Returns the
    /// change of the TLSA records, where there is one.
    pub fn observe(&mut self, observation: &Arc<HostObservation>, retry: Duration) -> Vec<Change> {
        let row = (&mut self.failures_in_a_row, &mut self.failure_counted_at);
        count(row, &observation.addresses, observation.resolver_healthy, (observation.at, retry));
        if observation.addresses.answered() {
            self.last_answer = Some(Arc::clone(observation));
        } else if observation.addresses.lookups().any(Lookup::answered) {
            let kept = self.last_answer.as_deref();
            let addresses = last_addresses(&observation.addresses, kept.map(|kept| &kept.addresses));
            // Half an answer is asked no TLSA questions: what was known of the records stands as well.
            let tlsa = observation.tlsa.clone().or_else(|| kept.and_then(|kept| kept.tlsa.clone()));
            self.last_answer = Some(Arc::new(HostObservation { addresses, tlsa, ..(**observation).clone() }));
        }
        self.note_tlsa(observation).into_iter().collect()
    }

    /// Compares the records that are published with what an address showed: which of them match nothing, and since when.
    pub fn compare_tlsa(&mut self, observation: &AddressObservation) {
        let Some(tls) = &observation.tls else { return };
        let Some(seen) = self.last_answer.as_deref() else { return };
        let base = seen.tlsa_base().unwrap_or(&seen.host);
        let published: Vec<TlsaRecord> =
            self.tlsa.iter().filter(|known| known.published).map(|known| known.record.clone()).collect();
        if published.is_empty() {
            return;
        }
        let verification = verify(&published, &tls.chain, &[base.as_str()], observation.at);
        let known = self.tlsa.iter_mut().filter(|known| known.published);
        for (known, sight) in known.zip(&verification.records) {
            match sight {
                RecordSight::Match { .. } | RecordSight::Fault { .. } => known.unmatched_since = None,
                RecordSight::NoMatch | RecordSight::WrongUsage { .. } => {
                    known.unmatched_since.get_or_insert(observation.at);
                }
                RecordSight::Unusable(_) | RecordSight::Repeats(_) | RecordSight::NotLookedAt => continue,
            }
            known.compared_at = Some(observation.at);
        }
    }

    fn note_tlsa(&mut self, observation: &HostObservation) -> Option<Change> {
        let asked = observation.tlsa.as_ref().filter(|tlsa| !tlsa.lookups.is_empty())?;
        // What does not answer takes nothing away.
        if !asked.lookups.iter().all(|tlsa| tlsa.lookup.answered()) {
            return None;
        }
        let at = observation.at;
        let found = asked.lookups.iter().map(|tlsa| tlsa.lookup.records()).find(|records| !records.is_empty());
        let found = found.unwrap_or_default();
        let before = self.published_text();
        let mut changed = false;
        for known in &mut self.tlsa {
            let published = found.contains(&known.record);
            changed |= known.published != published;
            if published && !known.published {
                known.unmatched_since = None;
            }
            known.published = published;
            if published {
                known.last = at;
            }
        }
        for record in found {
            if self.tlsa.len() >= MOST_TLSA {
                match self.tlsa.iter().position(|known| !known.published) {
                    Some(place) => drop(self.tlsa.remove(place)),
                    None => break,
                }
            }
            if !self.tlsa.iter().any(|known| known.record == *record) {
                changed = true;
                self.tlsa.push(SeenTlsa {
                    record: record.clone(),
                    first: at,
                    last: at,
                    published: true,
                    unmatched_since: None,
                    compared_at: None,
                });
            }
        }
        // The first answer is no change.
        let first = !std::mem::replace(&mut self.tlsa_seen, true);
        if !changed || first {
            return None;
        }
        self.tlsa_changes.note(at);
        let after = self.published_text();
        Some(Change {
            at,
            subject: ChangeSubject::Host(observation.host.clone()),
            kind: ChangeKind::Tlsa,
            before,
            after,
        })
    }

    fn published_text(&self) -> Option<String> {
        texts::tlsa(self.tlsa.iter().filter(|known| known.published).map(|known| &known.record))
    }
}

/// The last answer of each family: a family that fails does not take the other one's new answer away.
pub(crate) fn last_addresses(now: &AddressLookup, kept: Option<&AddressLookup>) -> AddressLookup {
    let family = |now: &Option<Lookup<IpAddr>>, kept: Option<&Option<Lookup<IpAddr>>>| match (now, kept) {
        (Some(lookup), Some(Some(kept))) if !lookup.answered() => Some(kept.clone()),
        (now, _) => now.clone(),
    };
    AddressLookup {
        ip4: family(&now.ip4, kept.map(|kept| &kept.ip4)),
        ip6: family(&now.ip6, kept.map(|kept| &kept.ip6)),
    }
}
