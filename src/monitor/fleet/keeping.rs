//! What of the fleet is written to the store, and when; and what comes back from it at a start.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt::Display,
    mem::{discriminant, take},
    sync::Arc,
    time::Duration,
};

use super::{Address, Domain, Fleet, Host, Target};
use crate::{
    facts::{AddressObservation, DomainObservation, HostObservation, Lookup, PolicyFetch},
    monitor::scribe::readable,
    store::{Batch, DomainRow, FORMER_MOST, HostRow, PackedError, StoredAddress, StoredDomain, StoredHost},
    terms::{MxHost, PolicyDomain, Timestamp},
    verdict::{Assessment, Change, Code, Subject},
};

/// A subject that shows nothing new is written again after this time, for the sake of "last seen": often enough that a crash
/// leaves only a small gap, seldom enough to cost nothing.
pub(in crate::monitor) const UNCHANGED_REST: Duration = Duration::from_secs(6 * 3600);

/// How many changes wait for the store at most, while it cannot write. Beyond it the oldest are lost, and counted.
pub(in crate::monitor) const CHANGES_WAITING: usize = 10_000;

/// How many subjects are written together at most: one transaction is short.
pub(in crate::monitor) const BATCH: usize = 256;

/// What is not written yet. It grows with the number of subjects and not with that of probes: only the latest state of each counts.
#[derive(Debug, Default)]
pub(super) struct Unsaved {
    domains: Waiting<PolicyDomain>,
    hosts: Waiting<MxHost>,
    changes: VecDeque<Change>,
    /// Subjects that are not in the fleet any more.
    former_domains: Vec<DomainRow>,
    former_hosts: Vec<HostRow>,
    lost: u64,
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

/// A target with the time at which it is due; as soon as possible, where there is none.
pub(in crate::monitor) type Due = (Target, Option<Timestamp>);

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
        let domains = unsaved.domains.take(BATCH, all, now);
        let hosts = unsaved.hosts.take(BATCH.saturating_sub(domains.len()), all, now);
        batch.domains.extend(domains.iter().filter_map(|domain| domain_row(self.domains.get(domain)?)));
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
            match self.domains.contains_key(&domain.domain) {
                true => self.unsaved.domains.note(&domain.domain, true),
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
        self.unsaved.domains.urgent.extend(self.domains.keys().cloned());
        self.unsaved.hosts.urgent.extend(self.hosts.keys().cloned());
    }

    /// How many changes were lost since the last time, because too many waited.
    pub(in crate::monitor) fn take_lost(&mut self) -> u64 {
        take(&mut self.unsaved.lost)
    }

    /// Takes over what was kept of domains and mail hosts; those that are not configured, or that were looked at by now, are passed
    /// over. Returns when each is due.
    pub(in crate::monitor) fn restore(&mut self, domains: Vec<DomainRow>, hosts: Vec<HostRow>) -> Vec<Due> {
        let mut due = Vec::new();
        let opened = hosts.into_iter().filter_map(|row| readable(&row.host, row.open()));
        let mut kept: BTreeMap<MxHost, StoredHost> = opened.map(|host| (host.host.clone(), host)).collect();
        for row in domains {
            let name = row.domain.clone();
            let Some(entry) = self.domains.get_mut(&name).filter(|entry| entry.observation.is_none()) else { continue };
            let Some(stored) = readable(&name, row.open()) else { continue };
            entry.history = stored.history;
            entry.observation = stored.observation;
            entry.hosts = stored.hosts;
            entry.skipped_hosts = stored.skipped_hosts;
            entry.dns_failures = stored.dns_failures;
            entry.policy_failures = stored.policy_failures;
            entry.last_success_at = stored.last_success_at;
            let seen = entry.observation.as_ref().map(|seen| seen.started_at + entry.again(&self.settings));
            due.push((Target::Domain(name.clone()), seen));
            for host in entry.hosts.clone() {
                let known = self.hosts.entry(host.clone()).or_insert_with(|| {
                    let mut known = Host::new();
                    match kept.remove(&host) {
                        Some(stored) => known.restore(&host, stored, &self.settings, &mut due),
                        None => due.push((Target::Host(host.clone()), None)),
                    }
                    known
                });
                known.users.insert(name.clone());
                self.changed_hosts.insert(host);
            }
            self.changed_domains.insert(name);
        }
        self.changed = true;
        due
    }

    pub(super) fn note_domain(&mut self, name: &PolicyDomain, news: bool) {
        self.unsaved.domains.note(name, news);
    }

    pub(super) fn note_host(&mut self, name: &MxHost, news: bool) {
        self.unsaved.hosts.note(name, news);
    }

    /// A domain leaves the fleet: what is known of it stays in the store.
    pub(super) fn part_from_domain(&mut self, domain: &Domain) {
        self.unsaved.domains.forget(&domain.settings.domain);
        if domain.observation.is_some() {
            domain_row(domain).into_iter().for_each(|row| push_former(&mut self.unsaved.former_domains, row));
        }
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

impl Host {
    fn restore(&mut self, name: &MxHost, stored: StoredHost, settings: &crate::config::Settings, due: &mut Vec<Due>) {
        self.history = stored.history;
        self.observation = stored.observation;
        self.skipped = stored.skipped;
        let at = self.observation.as_ref().map(|seen| seen.at + self.again(settings));
        due.push((Target::Host(name.clone()), at));
        for (address, stored) in stored.addresses {
            let again =
                self.history.addresses.get(&address).map(|path| {
                    super::address_again(path.failures_in_a_row, stored.latest.as_deref(), &settings.probe)
                });
            if stored.unlisted_since.is_none() {
                let seen = stored.latest.as_ref().zip(again).map(|(latest, again)| latest.at + again);
                due.push((Target::Address(name.clone(), address), seen));
            }
            let mut known =
                Address { latest: stored.latest, unlisted_since: stored.unlisted_since, ..Address::default() };
            if settings.probe.legacy_tls {
                known.surveys.restore(stored.survey, stored.setbacks);
            }
            self.addresses.insert(address, known);
        }
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

fn domain_row(entry: &Domain) -> Option<DomainRow> {
    packed(&entry.settings.domain, DomainRow::of(&stored_domain(entry)))
}

fn host_row(name: &MxHost, host: &Host) -> Option<HostRow> {
    packed(name, HostRow::of(&stored_host(name, host)))
}

fn stored_domain(entry: &Domain) -> StoredDomain {
    StoredDomain {
        domain: entry.settings.domain.clone(),
        history: entry.history.clone(),
        observation: entry.observation.clone(),
        hosts: entry.hosts.clone(),
        skipped_hosts: entry.skipped_hosts,
        dns_failures: entry.dns_failures,
        policy_failures: entry.policy_failures,
        last_success_at: entry.last_success_at,
    }
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

/// Whether two judgements of a domain find the same: since when each stands is remembered with the domain.
pub(super) fn same_findings(before: &Assessment, now: &Assessment) -> bool {
    let findings = |assessment: &'_ Assessment| -> BTreeSet<(Code, Subject)> {
        assessment.findings.iter().map(|finding| (finding.code, finding.subject.clone())).collect()
    };
    findings(before) == findings(now)
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
