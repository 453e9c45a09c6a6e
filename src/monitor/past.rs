//! A past that nobody watched: looks of today are dated back, and folded, judged and written as the keeper does it.
//!
//! A demonstration has no two months to wait. What it shows of them goes the same way as what is seen: the peers stand as they
//! stood then, they are looked at, and only the time is another one.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;

use super::{Edges, fleet::Fleet, probe};
use crate::{
    config::Settings,
    facts::{AddressLookup, AddressObservation, DomainObservation, HostObservation, Lookup},
    store::Batch,
    terms::{MxHost, PolicyDomain, Timestamp},
};

/// One look at a domain, its mail hosts and their addresses.
#[derive(Clone, Debug)]
pub struct Sight {
    domain: DomainObservation,
    hosts: (Vec<MxHost>, usize),
    seen: Vec<(HostObservation, Vec<AddressObservation>)>,
}

impl Sight {
    /// Looks now.
    pub async fn look(edges: &Edges, domain: &PolicyDomain) -> Self {
        let observation = probe::domain(edges, domain, None).await;
        let hosts = probe::mail_hosts(edges, &observation);
        let seen = join_all(hosts.0.iter().map(async |host| {
            let lookup = probe::host(edges, host).await;
            let addresses: Vec<_> = edges.probed(lookup.addresses.addresses()).collect();
            let probed = join_all(addresses.iter().map(|address| probe::address(edges, host, *address))).await;
            (lookup, probed)
        }))
        .await;
        Self { domain: observation, hosts, seen }
    }

    /// When it began.
    pub const fn at(&self) -> Timestamp {
        self.domain.started_at
    }

    /// The same look, made as much earlier.
    fn earlier(&self, by: Duration) -> Self {
        let mut sight = self.clone();
        let domain = &mut sight.domain;
        domain.started_at = domain.started_at - by;
        date_lookup(&mut domain.sts_record, by);
        date_lookup(&mut domain.tlsrpt_record, by);
        date_lookup(&mut domain.mx, by);
        domain.implicit.iter_mut().for_each(|lookup| date_addresses(lookup, by));
        date_addresses(&mut domain.policy.addresses, by);
        domain.policy.fetches.iter_mut().for_each(|fetch| fetch.at = fetch.at - by);
        domain.rua.iter_mut().for_each(|rua| rua.at = rua.at - by);
        for (host, addresses) in &mut sight.seen {
            host.at = host.at - by;
            date_addresses(&mut host.addresses, by);
            if let Some(tlsa) = &mut host.tlsa {
                tlsa.alias.iter_mut().for_each(|lookup| date_lookup(lookup, by));
                tlsa.lookups.iter_mut().for_each(|one| date_lookup(&mut one.lookup, by));
            }
            addresses.iter_mut().for_each(|address| address.at = address.at - by);
        }
        sight
    }
}

fn date_lookup<T>(lookup: &mut Lookup<T>, by: Duration) {
    lookup.at = lookup.at - by;
}

fn date_addresses(lookup: &mut AddressLookup, by: Duration) {
    lookup.ip4.iter_mut().chain(&mut lookup.ip6).for_each(|lookup| date_lookup(lookup, by));
}

/// What a monitor with these settings would know.
#[derive(Debug)]
pub struct Past {
    fleet: Fleet,
    max_addresses: usize,
}

impl Past {
    /// Nothing was seen yet.
    pub fn new(settings: Arc<Settings>, edges: &Edges) -> Self {
        let max_addresses = edges.max_addresses;
        Self { fleet: Fleet::new(settings, edges.resolver.dnssec_sight()), max_addresses }
    }

    /// Folds a look in as if it had begun at `at`. To be called in the order of the times; a time after the look's own counts as
    /// its own.
    pub fn see(&mut self, sight: &Sight, at: Timestamp) {
        let Sight { domain, hosts, seen } = sight.earlier(sight.at().since(at));
        // What is wanted next is for a schedule, which the past has not.
        let _ = self.fleet.domain_seen(domain, hosts);
        for (host, addresses) in seen {
            let time = host.at;
            let _ = self.fleet.host_seen(host, Some(self.max_addresses), time);
            for address in addresses {
                let _ = self.fleet.address_seen(address);
            }
        }
    }

    /// Judges what changed since the last time.
    pub fn judge(&mut self, at: Timestamp) {
        let _ = self.fleet.refresh(at);
    }

    /// What a store is to keep of all this, in the order in which it is to be written.
    pub fn into_batches(mut self, at: Timestamp) -> Vec<Batch> {
        std::iter::from_fn(|| self.fleet.take_unsaved(true, at)).collect()
    }
}
