//! What of the fleet is written to the store, and when.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt::Display,
    mem::{discriminant, take},
    sync::Arc,
    time::Duration,
};

use super::{Address, Fleet, Host, Wanted, opening};
use crate::{
    facts::{AddressObservation, DomainObservation, HostObservation, Lookup, PolicyFetch},
    monitor::{KnownDomain, Roll, face, snapshot::AtRest},
    store::{Batch, DomainRow, FORMER_MOST, HostRow, PackedError, StoredAddress, StoredHost},
    terms::{MxHost, PolicyDomain, Timestamp},
    verdict::Change,
};

/// A subject that shows nothing new is written again after this time, for the sake of "last seen": often enough that a crash
/// leaves only a small gap, seldom enough to cost nothing.
pub(in crate::monitor) const UNCHANGED_REST: Duration = Duration::from_secs(6 * 3600);

/// How many changes wait for the store at most, while it cannot write. Beyond it the oldest are lost, and counted.
pub(in crate::monitor) const CHANGES_WAITING: usize = 10_000;

/// How many subjects are written together at most: one transaction is short.
pub(in crate::monitor) const BATCH: usize = 1024;

/// What is not written yet. It grows with the number of subjects and not with that of probes: only the latest state of each counts.
#[derive(Debug, Default)]
pub(super) struct Unsaved {
    domains: Resting,
    hosts: Waiting<MxHost>,
    changes: VecDeque<Change>,
    /// Subjects that are not in the fleet any more.
    former_domains: Vec<DomainRow>,
    former_hosts: Vec<HostRow>,
    lost: u64,
}

/// Domains that wait for the store. When each was written, and whether it was seen since, stands with the domain itself.
#[derive(Debug, Default)]
struct Resting {
    /// They show something new.
    urgent: BTreeSet<PolicyDomain>,
    /// Those that were never written, and then those that were, by the time at which they were.
    written: VecDeque<(Option<Timestamp>, PolicyDomain)>,
}

#[derive(Debug)]
struct Waiting<K> {
    /// They show something new.
    urgent: BTreeSet<K>,
    /// They were seen again.
    seen: BTreeSet<K>,
    saved_at: BTreeMap<K, Timestamp>,
}

impl<K> Default for Waiting<K> {
    fn default() -> Self {
        Self { urgent: BTreeSet::new(), seen: BTreeSet::new(), saved_at: BTreeMap::new() }
    }
}

impl Resting {
    /// The next that are to be written: what is new first; `all`: also what need not be written yet.
    fn take(&mut self, domains: &Roll<KnownDomain>, most: usize, all: bool, now: Timestamp) -> Vec<Arc<KnownDomain>> {
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some(domain) = self.urgent.pop_first()
        {
            let Some(known) = domains.get(domain.as_str()) else { continue };
            if known.saved_at.get().is_none() {
                self.written.push_back((Some(now), domain));
            }
            known.saved_at.set(now);
            known.unsaved.set(false);
            taken.push(Arc::clone(known));
        }
        let rested = |at: Option<Timestamp>| all || at.is_none_or(|at| now.since(at) >= UNCHANGED_REST);
        // What goes to the end of the line is not looked at again.
        for _ in 0..self.written.len() {
            if taken.len() >= most || !self.written.front().is_some_and(|(at, _)| rested(*at)) {
                break;
            }
            let Some((at, domain)) = self.written.pop_front() else { break };
            let Some(known) = domains.get(domain.as_str()) else { continue };
            let saved_at = known.saved_at.get();
            // One that had news before it was ever written has another place in the line.
            if at.is_none() && saved_at.is_some() {
                continue;
            }
            // One that was written for its news meanwhile rests from then on, behind the others.
            let place = if rested(saved_at) { now } else { saved_at.unwrap_or(now) };
            if known.unsaved.get() && rested(saved_at) {
                known.unsaved.set(false);
                taken.push(Arc::clone(known));
            }
            known.saved_at.set(place);
            self.written.push_back((Some(place), domain));
        }
        taken
    }
}

impl<K: Clone + Ord> Waiting<K> {
    fn note(&mut self, key: &K, news: bool) {
        let waiting = if news { &mut self.urgent } else { &mut self.seen };
        waiting.insert(key.clone());
    }

    fn forget(&mut self, key: &K) {
        self.urgent.remove(key);
        self.seen.remove(key);
        self.saved_at.remove(key);
    }

    /// The next that are to be written: what is new first; `all`: also what need not be written yet.
    fn take(&mut self, most: usize, all: bool, now: Timestamp) -> Vec<K> {
        let rested = |saved: Option<&Timestamp>| saved.is_none_or(|saved| now.since(*saved) >= UNCHANGED_REST);
        let due = self.seen.iter().filter(|key| all || rested(self.saved_at.get(*key)));
        let others = due.filter(|key| !self.urgent.contains(*key));
        let taken: Vec<K> = self.urgent.iter().chain(others).take(most).cloned().collect();
        for key in &taken {
            self.urgent.remove(key);
            self.seen.remove(key);
            self.saved_at.insert(key.clone(), now);
        }
        taken
    }
}

impl Fleet {
    /// Takes what is to be written next, up to [`BATCH`] subjects; nothing where nothing is. `all`: also what shows nothing new.
    pub(in crate::monitor) fn take_unsaved(&mut self, all: bool, now: Timestamp) -> Option<Batch> {
        let changes = self.take_changes();
        self.add_changes(changes);
        let unsaved = &mut self.unsaved;
        let mut batch = Batch {
            domains: take(&mut unsaved.former_domains),
            hosts: take(&mut unsaved.former_hosts),
            changes: take(&mut unsaved.changes).into(),
            fence: None,
        };
        let domains = unsaved.domains.take(&self.domains, BATCH, all, now);
        let hosts = unsaved.hosts.take(BATCH.saturating_sub(domains.len()), all, now);
        batch.domains.extend(domains.iter().filter_map(|known| self.domain_row(known)));
        batch.hosts.extend(hosts.iter().filter_map(|name| host_row(name, self.hosts.get(name)?)));
        let any = !batch.domains.is_empty() || !batch.hosts.is_empty() || !batch.changes.is_empty();
        any.then_some(batch)
    }

    /// Whether something waits that is to be written at once.
    pub(in crate::monitor) fn has_news(&self) -> bool {
        let unsaved = &self.unsaved;
        let subjects = unsaved.domains.urgent.len() + unsaved.hosts.urgent.len();
        subjects
            + self.changes.len()
            + unsaved.changes.len()
            + unsaved.former_domains.len()
            + unsaved.former_hosts.len()
            > 0
    }

    /// A batch could not be written: it waits again, by what is known by then.
    pub(in crate::monitor) fn give_back(&mut self, batch: &Batch) {
        for domain in &batch.domains {
            match self.domains.contains(domain.domain.as_str()) {
                true => drop(self.unsaved.domains.urgent.insert(domain.domain.clone())),
                false => push_former(&mut self.unsaved.former_domains, domain.clone()),
            }
        }
        for host in &batch.hosts {
            match self.hosts.contains_key(&host.host) {
                true => self.unsaved.hosts.note(&host.host, true),
                false => push_former(&mut self.unsaved.former_hosts, host.clone()),
            }
        }
        let later = take(&mut self.unsaved.changes);
        self.add_changes(batch.changes.iter().cloned().chain(later).collect());
    }

    /// Everything is to be written: what was kept is lost.
    pub(in crate::monitor) fn save_all(&mut self) {
        self.unsaved.domains.urgent.extend(self.domains.iter().map(|known| known.domain().clone()));
        self.unsaved.hosts.urgent.extend(self.hosts.keys().cloned());
    }

    /// How many changes were lost since the last time, because too many waited.
    pub(in crate::monitor) fn take_lost(&mut self) -> u64 {
        take(&mut self.unsaved.lost)
    }

    pub(super) fn note_domain(&mut self, known: &KnownDomain, news: bool) {
        let resting = &mut self.unsaved.domains;
        if news {
            resting.urgent.insert(known.domain().clone());
        } else if !known.unsaved.get() && known.saved_at.get().is_none() {
            resting.written.push_front((None, known.domain().clone()));
        }
        known.unsaved.set(true);
    }

    /// A domain that was read from the store is written again when it has rested.
    pub(super) fn note_restored(&mut self, known: &KnownDomain, now: Timestamp) {
        known.saved_at.set(now);
        self.unsaved.domains.written.push_back((Some(now), known.domain().clone()));
    }

    pub(super) fn note_host(&mut self, name: &MxHost, news: bool) {
        self.unsaved.hosts.note(name, news);
    }

    /// A domain leaves the fleet: what is known of it stays in the store.
    pub(super) fn part_from_domain(&mut self, domain: &PolicyDomain, wanted: &mut Wanted) {
        let Some(known) = self.domains.get(domain.as_str()).cloned() else { return };
        let hosts = self.hosts_of(domain).unwrap_or_default();
        self.unsaved.domains.urgent.remove(domain);
        self.waiting.remove(domain);
        if let Some(row) = self.domain_row(&known) {
            push_former(&mut self.unsaved.former_domains, row);
        }
        self.open.remove(domain);
        self.restand(known.summary.as_ref(), None);
        self.leave_hosts(&opening::only_in(&hosts, &[]), wanted);
    }

    /// The row of a domain as it is known now; nothing where it was never looked at.
    fn domain_row(&self, known: &KnownDomain) -> Option<DomainRow> {
        if let Some(entry) = self.open.get(known.domain()) {
            return entry.observation.as_ref().and_then(|_| packed(known.domain(), DomainRow::of(entry)));
        }
        let AtRest::Packed(state) = &known.state else { return None };
        Some(DomainRow { domain: known.domain().clone(), state: state.clone(), face: face::written(known) })
    }

    /// A host leaves the fleet, likewise.
    pub(super) fn part_from_host(&mut self, name: &MxHost, host: &Host) {
        self.unsaved.hosts.forget(name);
        if host.observation.is_some() {
            host_row(name, host).into_iter().for_each(|row| push_former(&mut self.unsaved.former_hosts, row));
        }
    }

    fn add_changes(&mut self, changes: Vec<Change>) {
        self.unsaved.changes.extend(changes);
        let beyond = self.unsaved.changes.len().saturating_sub(CHANGES_WAITING);
        self.unsaved.changes.drain(..beyond);
        self.unsaved.lost = self.unsaved.lost.saturating_add(u64::try_from(beyond).unwrap_or(u64::MAX));
    }
}

/// Beyond as many as the store keeps, the oldest go.
fn push_former<T>(former: &mut Vec<T>, one: T) {
    if former.len() >= FORMER_MOST {
        former.remove(0);
    }
    former.push(one);
}

/// What goes to the store. What cannot be packed is known to this run alone.
fn packed<T>(name: &impl Display, row: Result<T, PackedError>) -> Option<T> {
    row.inspect_err(|error| tracing::error!(%name, %error, "what is known cannot be kept")).ok()
}

fn host_row(name: &MxHost, host: &Host) -> Option<HostRow> {
    packed(name, HostRow::of(&stored_host(name, host)))
}

fn stored_host(name: &MxHost, host: &Host) -> StoredHost {
    let address = |address: &Address| {
        let (survey, setbacks) = address.surveys.stored();
        StoredAddress { latest: address.latest.clone(), unlisted_since: address.unlisted_since, survey, setbacks }
    };
    StoredHost {
        host: name.clone(),
        history: Arc::clone(&host.history),
        observation: host.observation.clone(),
        addresses: host.addresses.iter().map(|(one, known)| (*one, address(known))).collect(),
        skipped: host.skipped,
    }
}

/// Whether an observation of a domain tells something that the one before did not: times, TTLs and the order of records are no news.
pub(super) fn domain_news(before: Option<&DomainObservation>, now: &DomainObservation) -> bool {
    let Some(before) = before else { return true };
    !same_answer(&before.sts_record, &now.sts_record)
        || !same_answer(&before.tlsrpt_record, &now.tlsrpt_record)
        || !same_answer(&before.mx, &now.mx)
        || served(&before.policy.fetches) != served(&now.policy.fetches)
}

/// Likewise of a mail host. Its addresses may be of a rotating pool: each is a subject of its own.
pub(super) fn host_news(before: Option<&HostObservation>, now: &HostObservation) -> bool {
    let Some(before) = before else { return true };
    let tlsa = |seen: &HostObservation| {
        let lookups = seen.tlsa.as_ref().map_or(&[][..], |tlsa| &tlsa.lookups);
        let answers = lookups.iter().map(|one| {
            (one.base.clone(), one.lookup.answered(), one.lookup.records().iter().cloned().collect::<BTreeSet<_>>())
        });
        answers.collect::<Vec<_>>()
    };
    before.addresses.answered() != now.addresses.answered() || tlsa(before) != tlsa(now)
}

/// Likewise of an address.
pub(super) fn address_news(before: Option<&AddressObservation>, now: &AddressObservation) -> bool {
    let Some(before) = before else { return true };
    discriminant(&before.outcome) != discriminant(&now.outcome)
        || before.starttls_offered() != now.starttls_offered()
        || presented(before) != presented(now)
}

fn presented(seen: &AddressObservation) -> Option<&str> {
    seen.tls.as_ref().map(|tls| tls.chain.leaf.fingerprint_sha256.as_str())
}

fn same_answer<T: Ord>(before: &Lookup<T>, now: &Lookup<T>) -> bool {
    let [old, new] = [before.records(), now.records()].map(|records| records.iter().collect::<BTreeSet<&T>>());
    before.answered() == now.answered() && before.records().len() == now.records().len() && old == new
}

/// The status, the body, the fingerprint of the certificate, and whether the fetch failed.
type Served<'a> = (Option<u16>, &'a [u8], Option<&'a str>, bool);

/// What the addresses of a policy host served, whichever they were.
fn served(fetches: &[PolicyFetch]) -> BTreeSet<Served<'_>> {
    let one = fetches.iter().map(|fetch| {
        let status = fetch.response.as_ref().map(|response| response.status);
        let body = fetch.response.as_ref().map_or(&[][..], |response| response.body.as_bytes());
        let leaf = fetch.tls.as_ref().map(|tls| tls.chain.leaf.fingerprint_sha256.as_str());
        (status, body, leaf, fetch.failure.is_some())
    });
    one.collect()
}
