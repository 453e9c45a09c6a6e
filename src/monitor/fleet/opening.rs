//! A domain lies packed until it is looked at; then it is opened, and lies packed again once it is judged.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::Fleet;
use crate::{
    config::{DomainSettings, Settings},
    facts::{AddressLookup, ChainFacts, DomainObservation, Lookup},
    monitor::{KnownDomain, schedule::backed_off},
    store::StoredDomain,
    terms::{MxHost, PolicyDomain, Timestamp},
    verdict::discovered_policy,
};

impl Fleet {
    /// Opens a domain until it is judged.
    pub(super) fn open(&mut self, known: &KnownDomain) -> &mut StoredDomain {
        let domain = known.domain();
        let (turn, settings) = (&mut self.turn, &self.settings);
        self.open.entry(domain.clone()).or_insert_with(|| {
            turn.push_back(domain.clone());
            Box::new(known.unpacked(settings))
        })
    }

    /// What is known of a domain, without opening it for longer.
    pub(super) fn look_into(&self, known: &KnownDomain) -> StoredDomain {
        let open = self.open.get(known.domain());
        open.map_or_else(|| known.unpacked(&self.settings), |entry| StoredDomain::clone(entry))
    }

    /// The mail hosts of a domain that are probed; nothing where the domain is not configured.
    pub(super) fn hosts_of(&self, domain: &PolicyDomain) -> Option<Vec<MxHost>> {
        if let Some(entry) = self.open.get(domain) {
            return Some(entry.hosts.clone());
        }
        let known = self.domains.get(domain.as_str())?;
        Some(known.listed().map_or_else(|| known.unpacked(&self.settings).hosts, <[MxHost]>::to_vec))
    }

    /// The name as the fleet holds it already: a million domains that share a host share its name as well.
    pub(super) fn same_name(&self, host: MxHost) -> MxHost {
        self.hosts.get_key_value(&host).map_or(host, |(known, _)| known.clone())
    }
}

/// Each once, those that are not in `others`.
pub(super) fn only_in(hosts: &[MxHost], others: &[MxHost]) -> Vec<MxHost> {
    let mut seen = BTreeSet::new();
    hosts.iter().filter(|host| !others.contains(host) && seen.insert(*host)).cloned().collect()
}

/// Without the bytes of the certificates of the policy host: MTA-STS knows no TLSA records for it (RFC 8461 §3.3), so that nobody compares
/// them, and they are most of what a packed domain would hold.
pub(super) fn thin(mut observation: DomainObservation) -> DomainObservation {
    for tls in observation.policy.fetches.iter_mut().filter_map(|fetch| fetch.tls.as_mut()) {
        if !tls.chain.der.is_empty() {
            tls.chain = Arc::new(ChainFacts { der: Vec::new(), ..ChainFacts::clone(&tls.chain) });
        }
    }
    observation
}

/// When the resolver gave the latest answer that a look tells of; nothing where it tells of none.
pub(super) fn answered_at(observation: &DomainObservation) -> Option<Timestamp> {
    let ended = observation.started_at + observation.duration;
    let txt = [&observation.sts_record, &observation.tlsrpt_record].map(|lookup| when(lookup, ended));
    let addresses = [Some(&observation.policy.addresses), observation.implicit.as_ref()].into_iter().flatten();
    let hosts = addresses.filter_map(|lookup| addresses_answered_at(lookup, ended));
    txt.into_iter().chain([when(&observation.mx, ended)]).chain(hosts).max()
}

/// The same of the addresses of a host. `ended`: when the look did.
pub(super) fn addresses_answered_at(lookup: &AddressLookup, ended: Timestamp) -> Option<Timestamp> {
    lookup.ip4.iter().chain(&lookup.ip6).map(|one| when(one, ended)).max()
}

/// Where a name could not be looked up and the resolver is healthy all the same, it answered another question just then.
fn when<T>(lookup: &Lookup<T>, ended: Timestamp) -> Timestamp {
    if lookup.answered() { lookup.at } else { ended }
}

/// Counts what failed.
pub(super) fn note(entry: &mut StoredDomain, observation: &DomainObservation) {
    let lookups = observation.mx.answered()
        && observation.sts_record.answered()
        && observation.tlsrpt_record.answered()
        && observation.policy.addresses.answered()
        && observation.implicit.as_ref().is_none_or(AddressLookup::answered);
    entry.dns_failures = if lookups { 0 } else { entry.dns_failures.saturating_add(1) };
    if lookups {
        entry.last_success_at = Some(observation.started_at);
    }
    // Only an announced policy is missed.
    let announced = !observation.sts_record.records().is_empty();
    let failed = announced && discovered_policy(observation, observation.started_at).is_none();
    entry.policy_failures = if failed { entry.policy_failures.saturating_add(1) } else { 0 };
}

/// How long until a domain is looked at again.
pub(super) fn again(dns_failures: u32, policy_failures: u32, domain: &DomainSettings, settings: &Settings) -> Duration {
    let interval = settings.interval(domain);
    let probe = &settings.probe;
    let dns = backed_off(probe.retry_interval, dns_failures, interval);
    let policy = backed_off(probe.policy_retry_interval, policy_failures, interval);
    match (dns_failures, policy_failures) {
        (0, 0) => interval,
        (0, _) => policy,
        (_, 0) => dns,
        (_, _) => dns.min(policy),
    }
}
