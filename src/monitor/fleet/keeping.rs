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
    store::{Batch, DomainRow, HostRow, PackedError, StoredAddress, StoredHost},
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

/// How many subjects that left wait for the store at most, of domains and of hosts. A whole fleet of the size that this is made for can
/// leave at once, and a row is not larger than the domain was in the fleet. Beyond it what leaves is lost, and counted.
pub(in crate::monitor) const FORMER_WAITING: usize = 1_000_000;

/// So long it takes to go round over all domains for those that have rested: seldom enough to cost nothing, and short beside
/// [`UNCHANGED_REST`], by which much later some may be written.
const ROUND: Duration = Duration::from_secs(600);

/// So many shelves are looked at in any case, some thousand domains: a small fleet is looked through each time.
const SHELVES_LEAST: usize = 32;

/// What each line has of a batch in any case: news of many domains must not keep the hosts that they share from the store, nor the
/// other way round.
const SHARE: usize = BATCH / 4;

/// What is not written yet. It grows with the number of subjects and not with that of probes: only the latest state of each counts.
#[derive(Debug, Default)]
pub(super) struct Unsaved {
    domains: Resting,
    hosts: Waiting<MxHost>,
    changes: VecDeque<Change>,
    /// Subjects that are not in the fleet any more, with what the store has not of them.
    former_domains: BTreeMap<PolicyDomain, DomainRow>,
    former_hosts: BTreeMap<MxHost, HostRow>,
    lost: u64,
}

/// Domains that wait for the store. When each was written, and whether it was seen since, stands with the domain itself: a line of those
/// that were only seen again would be a second list of the whole fleet, so they are found by going round over the shelves.
#[derive(Debug, Default)]
struct Resting {
    /// They show something new.
    urgent: BTreeSet<PolicyDomain>,
    /// The place from which the round goes on.
    next: u64,
    /// Until when it was paced.
    gone_at: Option<Timestamp>,
}

#[derive(Debug)]
struct Waiting<K> {
    /// They show something new.
    urgent: BTreeSet<K>,
    /// They were seen again, by the time at which they were written: a look at who has rested stops at the first that has not.
    seen: BTreeSet<(Option<Timestamp>, K)>,
    saved_at: BTreeMap<K, Timestamp>,
}

impl<K> Default for Waiting<K> {
    fn default() -> Self {
        Self { urgent: BTreeSet::new(), seen: BTreeSet::new(), saved_at: BTreeMap::new() }
    }
}

/// Whether what was written then is to be written again, where it was seen since. What was written by a clock that has been set back
/// since would else rest until that time comes again.
fn rested(at: Option<Timestamp>, now: Timestamp) -> bool {
    at.is_none_or(|at| at > now || now.since(at) >= UNCHANGED_REST)
}

/// Takes out the next that has rested: what was written first; before it, what was written by a clock that has been set back since, and
/// would else rest until that time comes again. `all`: whether it has rested or not.
fn next_rested<K: Ord>(written: &mut BTreeSet<(Option<Timestamp>, K)>, all: bool, now: Timestamp) -> Option<K> {
    let next = match written.last() {
        Some((Some(at), _)) if *at > now => written.pop_last(),
        _ if written.first().is_some_and(|(at, _)| all || rested(*at, now)) => written.pop_first(),
        _ => None,
    };
    next.map(|(_, key)| key)
}

impl Resting {
    /// The next that are to be written: what is new first; `all`: also what need not be written yet.
    fn take(&mut self, domains: &Roll<KnownDomain>, most: usize, all: bool, now: Timestamp) -> Vec<Arc<KnownDomain>> {
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some(domain) = self.urgent.pop_first()
        {
            taken.extend(domains.get(domain.as_str()).map(|known| written(known, now)));
        }
        let mut shelves = self.shelves(domains.shelves().count(), all, now);
        while taken.len() < most
            && shelves > 0
            && let Some(shelf) = domains.shelf_at(self.next)
        {
            let waits = |known: &&Arc<KnownDomain>| known.saved.is_behind() && (all || rested(known.saved.at(), now));
            let room = most - taken.len();
            taken.extend(shelf.entries().iter().filter(waits).take(room).map(|known| written(known, now)));
            // A shelf from which as many were taken as there was room for is looked at again: more may wait there.
            if taken.len() < most {
                self.next = shelf.range().end().checked_add(1).unwrap_or(0);
                shelves -= 1;
            }
        }
        taken
    }

    /// How many of so many shelves are looked at now: as many as it takes to go round in time; `all`: each once.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number of shelves"
    )]
    fn shelves(&mut self, of: usize, all: bool, now: Timestamp) -> usize {
        let gone = self.gone_at.replace(now).map_or(ROUND, |before| now.since(before));
        let share = gone.as_secs_f64() / ROUND.as_secs_f64();
        let paced = (of as f64 * share).ceil() as usize;
        if all { of } else { paced.max(SHELVES_LEAST).min(of) }
    }

    /// The domain is not in the fleet any more. Says whether the store has not all of it.
    fn forget(&mut self, known: &KnownDomain) -> bool {
        self.urgent.remove(known.domain()) || known.saved.is_behind()
    }
}

/// The domain goes to the store.
fn written(known: &Arc<KnownDomain>, now: Timestamp) -> Arc<KnownDomain> {
    known.saved.note_written(now);
    Arc::clone(known)
}

impl<K: Clone + Ord> Waiting<K> {
    fn note(&mut self, key: &K, news: bool) {
        if news {
            self.urgent.insert(key.clone());
        } else {
            self.seen.insert((self.saved_at.get(key).copied(), key.clone()));
        }
    }

    /// It is not in the fleet any more. Says whether the store has not all of it.
    fn forget(&mut self, key: &K) -> bool {
        let seen = self.seen.remove(&(self.saved_at.remove(key), key.clone()));
        self.urgent.remove(key) || seen
    }

    /// The next that are to be written: what is new first; `all`: also what need not be written yet.
    fn take(&mut self, most: usize, all: bool, now: Timestamp) -> Vec<K> {
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some(key) = self.urgent.pop_first()
        {
            self.seen.remove(&(self.saved_at.insert(key.clone(), now), key.clone()));
            taken.push(key);
        }
        while taken.len() < most
            && let Some(key) = next_rested(&mut self.seen, all, now)
        {
            self.saved_at.insert(key.clone(), now);
            taken.push(key);
        }
        taken
    }
}

impl Fleet {
    /// Takes what is to be written next, up to [`BATCH`] subjects; nothing where nothing is. `all`: also what shows nothing new.
    pub(in crate::monitor) fn take_unsaved(&mut self, all: bool, now: Timestamp) -> Option<Batch> {
        let changes = self.take_changes();
        self.add_changes(changes);
        let mut batch = Batch { changes: take(&mut self.unsaved.changes).into(), ..Batch::default() };
        let (mut domains, mut hosts) = (Vec::new(), Vec::new());
        let mut room = BATCH;
        for share in [SHARE, BATCH] {
            let unsaved = &mut self.unsaved;
            hosts.extend(taken(&mut room, share, |most| unsaved.hosts.take(most, all, now)));
            domains.extend(taken(&mut room, share, |most| unsaved.domains.take(&self.domains, most, all, now)));
            batch.hosts.extend(taken(&mut room, share, |most| next_former(&mut unsaved.former_hosts, most)));
            batch.domains.extend(taken(&mut room, share, |most| next_former(&mut unsaved.former_domains, most)));
        }
        // One that came back may stand in both: what is known of it now goes last, and nothing older after it.
        for known in domains {
            if let Some(row) = self.domain_row(&known) {
                self.unsaved.former_domains.remove(&row.domain);
                batch.domains.push(row);
            }
        }
        for name in hosts {
            if let Some(row) = self.hosts.get(&name).and_then(|host| host_row(&name, host)) {
                self.unsaved.former_hosts.remove(&row.host);
                batch.hosts.push(row);
            }
        }
        let any = !batch.domains.is_empty() || !batch.hosts.is_empty() || !batch.changes.is_empty();
        any.then_some(batch)
    }

    /// Takes mail hosts that wait for the store, up to [`BATCH`], also those that show nothing new; nothing where none waits.
    pub(in crate::monitor) fn take_unsaved_hosts(&mut self, now: Timestamp) -> Option<Batch> {
        let names = self.unsaved.hosts.take(BATCH, true, now);
        let hosts: Vec<HostRow> = names.iter().filter_map(|name| host_row(name, self.hosts.get(name)?)).collect();
        (!hosts.is_empty()).then(|| Batch { hosts, ..Batch::default() })
    }

    /// Domains that lie judged and were seen since they were written, where that is all: what they show is not written yet.
    pub(in crate::monitor) fn only_seen(&self) -> Vec<Arc<KnownDomain>> {
        self.domains.iter().filter(|known| known.saved.is_behind() && !self.is_open(known.domain())).cloned().collect()
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

    /// Whether something waits of subjects that are not in the fleet any more.
    pub(in crate::monitor) fn has_former(&self) -> bool {
        !self.unsaved.former_domains.is_empty() || !self.unsaved.former_hosts.is_empty()
    }

    /// A batch could not be written: it waits again, by what is known by then.
    pub(in crate::monitor) fn give_back(&mut self, batch: &Batch) {
        for domain in &batch.domains {
            match self.domains.contains(domain.domain.as_str()) {
                true => drop(self.unsaved.domains.urgent.insert(domain.domain.clone())),
                // One that left meanwhile left with what is newer.
                false if self.unsaved.former_domains.contains_key(&domain.domain) => {}
                false => self.keep_former_domain(domain.clone()),
            }
        }
        for host in &batch.hosts {
            match self.hosts.contains_key(&host.host) {
                true => self.unsaved.hosts.note(&host.host, true),
                false if self.unsaved.former_hosts.contains_key(&host.host) => {}
                false => self.keep_former_host(host.clone()),
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

    /// How many changes, and states of subjects that left, were lost since the last time, because too many waited.
    pub(in crate::monitor) fn take_lost(&mut self) -> u64 {
        take(&mut self.unsaved.lost)
    }

    pub(super) fn note_domain(&mut self, known: &KnownDomain, news: bool) {
        if news {
            self.unsaved.domains.urgent.insert(known.domain().clone());
        }
        known.saved.note_seen();
    }

    pub(super) fn note_host(&mut self, name: &MxHost, news: bool) {
        self.unsaved.hosts.note(name, news);
    }

    /// A domain leaves the fleet: what is known of it stays in the store. What the store has already is not written again, as many may
    /// leave at once.
    pub(super) fn part_from_domain(&mut self, domain: &PolicyDomain, wanted: &mut Wanted) {
        let Some(known) = self.domains.get(domain.as_str()).cloned() else { return };
        let hosts = self.hosts_of(domain).unwrap_or_default();
        let unsaved = self.unsaved.domains.forget(&known) || self.open.contains_key(domain);
        self.waiting.remove(domain);
        if unsaved && let Some(row) = self.domain_row(&known) {
            self.keep_former_domain(row);
        }
        self.open.remove(domain);
        self.restand(known.summary.as_ref(), None);
        // As of the last publication: no later than now.
        self.leave_hosts(&opening::only_in(&hosts, &[]), self.snapshot.at, wanted);
    }

    /// The row of a domain as it is known now; nothing where it was never looked at.
    fn domain_row(&self, known: &KnownDomain) -> Option<DomainRow> {
        if let Some(entry) = self.open.get(known.domain()) {
            return entry.observation.as_ref().and_then(|_| packed(known.domain(), DomainRow::of(entry)));
        }
        let AtRest::Packed(state) = &known.state else { return None };
        Some(DomainRow {
            domain: known.domain().clone(),
            state: state.clone(),
            face: face::written(known),
            saved_at: None,
        })
    }

    /// A host leaves the fleet, likewise.
    pub(super) fn part_from_host(&mut self, name: &MxHost, host: &Host) {
        let unsaved = self.unsaved.hosts.forget(name);
        if unsaved
            && host.observation.is_some()
            && let Some(row) = host_row(name, host)
        {
            self.keep_former_host(row);
        }
    }

    fn keep_former_domain(&mut self, row: DomainRow) {
        let Unsaved { former_domains, lost, .. } = &mut self.unsaved;
        keep_former(former_domains, row.domain.clone(), row, lost);
    }

    fn keep_former_host(&mut self, row: HostRow) {
        let Unsaved { former_hosts, lost, .. } = &mut self.unsaved;
        keep_former(former_hosts, row.host.clone(), row, lost);
    }

    fn add_changes(&mut self, changes: Vec<Change>) {
        self.unsaved.changes.extend(changes);
        let beyond = self.unsaved.changes.len().saturating_sub(CHANGES_WAITING);
        self.unsaved.changes.drain(..beyond);
        self.unsaved.lost = self.unsaved.lost.saturating_add(u64::try_from(beyond).unwrap_or(u64::MAX));
    }
}

/// What is taken of a line, up to its share of the room that is left.
fn taken<T>(room: &mut usize, share: usize, take: impl FnOnce(usize) -> Vec<T>) -> Vec<T> {
    let taken = take(share.min(*room));
    *room = room.saturating_sub(taken.len());
    taken
}

fn next_former<K: Ord, T>(former: &mut BTreeMap<K, T>, most: usize) -> Vec<T> {
    std::iter::from_fn(|| former.pop_first()).take(most).map(|(_, row)| row).collect()
}

/// The latest state of each; beyond the bound the subject's last look is lost.
fn keep_former<K: Ord, T>(former: &mut BTreeMap<K, T>, key: K, row: T, lost: &mut u64) {
    if former.len() < FORMER_WAITING || former.contains_key(&key) {
        former.insert(key, row);
    } else {
        *lost = lost.saturating_add(1);
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DomainSettings;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

    #[test]
    fn the_round_takes_each_that_has_rested_once_and_goes_on_where_it_ended() {
        let names = |number: u32| PolicyDomain::parse(&format!("d{number}.example")).unwrap();
        let all: Vec<PolicyDomain> = (0..3000).map(names).collect();
        let new = |name: &PolicyDomain| Arc::new(KnownDomain::new(DomainSettings::new(name.clone())));
        let domains: Roll<KnownDomain> = all.iter().map(new).collect();
        let shelves = domains.shelves().count();
        assert!(shelves < SHELVES_LEAST, "{shelves}");
        for known in domains.iter() {
            known.saved.note_written(NOW);
            known.saved.note_seen();
        }
        let mut line = Resting::default();
        let rested = NOW + UNCHANGED_REST;
        assert_eq!(line.take(&domains, BATCH, false, rested - Duration::from_secs(1)).len(), 0);
        let mut taken = BTreeSet::new();
        for most in [BATCH, BATCH, 3000 - 2 * BATCH] {
            let next = line.take(&domains, BATCH, false, rested);
            assert_eq!(next.len(), most);
            taken.extend(next.iter().map(|known| known.domain().clone()));
        }
        assert_eq!(taken.len(), 3000, "each once");
        assert_eq!(line.take(&domains, BATCH, true, rested).len(), 0);
        // One is seen again: at the end it is written before it has rested.
        domains.get("d7.example").unwrap().saved.note_seen();
        assert_eq!(line.take(&domains, BATCH, false, rested).len(), 0);
        let last = line.take(&domains, BATCH, true, rested);
        assert_eq!(last.iter().map(|known| known.domain().as_str()).collect::<Vec<_>>(), ["d7.example"]);
    }

    #[test]
    fn the_round_over_a_large_fleet_is_paced() {
        let mut line = Resting::default();
        assert_eq!(line.shelves(6000, false, NOW), 6000, "nobody knows when the last one was");
        assert_eq!(line.shelves(6000, false, NOW + Duration::from_secs(1)), SHELVES_LEAST);
        assert_eq!(line.shelves(6000, false, NOW + Duration::from_secs(61)), 600);
        assert_eq!(line.shelves(6000, false, NOW + ROUND * 3), 6000);
        assert_eq!(line.shelves(6000, true, NOW + ROUND * 3), 6000);
    }

    #[test]
    fn the_look_at_hosts_ends_at_the_first_that_has_not_rested() {
        let mut waiting = Waiting::default();
        let step = Duration::from_secs(60);
        for (key, at) in [(3, NOW), (1, NOW + step), (2, NOW + step * 2)] {
            waiting.note(&key, true);
            assert_eq!(waiting.take(BATCH, false, at), [key]);
            waiting.note(&key, false);
            waiting.note(&key, false);
        }
        assert_eq!(waiting.seen.iter().map(|(_, key)| *key).collect::<Vec<_>>(), [3, 1, 2], "by time, each once");
        assert_eq!(waiting.take(BATCH, false, NOW + UNCHANGED_REST + step), [3, 1]);
        assert!(waiting.forget(&2), "it was seen since");
        assert!(!waiting.forget(&3), "it was not");
        assert_eq!(waiting.take(BATCH, true, NOW + UNCHANGED_REST * 9), [0; 0]);
    }

    #[test]
    fn what_left_is_bounded_and_the_lost_are_counted() {
        let (mut former, mut lost) = (BTreeMap::new(), 0);
        for key in 0..FORMER_WAITING + 2 {
            keep_former(&mut former, key, "seen", &mut lost);
        }
        keep_former(&mut former, 0, "seen later", &mut lost);
        assert_eq!((former.len(), lost, former[&0]), (FORMER_WAITING, 2, "seen later"));
    }
}
