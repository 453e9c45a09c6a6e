//! Looks at the destinations of reports: once for all domains that name the same place, and not at every probe.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tokio::sync::Mutex as AsyncMutex;

use super::Edges;
use crate::{
    facts::{
        AddressLookup, ConnectFailure, FetchFailure, Lookup, LookupOutcome, MxTarget, Nowhere, RuaObservation,
        RuaOutcome,
    },
    net::{Endpoint, now},
    protocol::tls_rpt::{Destination, Scheme, read_tlsrpt_records},
    terms::{Octets, Timestamp},
};

/// How long a look stands that found a place for reports: they come once a day.
const STANDS: Duration = Duration::from_secs(6 * 3600);
/// … and one that did not: a server that restarts, or a name that is mended, is seen within the hour.
const FAILURE_STANDS: Duration = Duration::from_secs(1800);
/// So many destinations of one record are looked at; RFC 8460 §3 asks for one, and a list of strangers' servers must not be asked
/// in the name of this side.
const DESTINATIONS_MOST: usize = 8;
/// So many addresses of an endpoint are tried until one answers.
const ADDRESSES_MOST: usize = 4;
/// What is no longer needed is swept out after this time.
const SWEEP_EVERY: Duration = Duration::from_secs(600);
/// So many looks are remembered at most: 1 kB each at the very most. Beyond it all are made anew.
const KNOWN_MOST: usize = 100_000;

/// What was found at each place, shared by all domains.
#[derive(Debug)]
pub(crate) struct Destinations {
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    places: HashMap<String, Arc<AsyncMutex<Option<Look>>>>,
    swept_at: Instant,
}

#[derive(Clone, Debug)]
struct Look {
    until: Instant,
    at: Timestamp,
    outcome: RuaOutcome,
}

impl Default for Destinations {
    fn default() -> Self {
        Self { known: Mutex::new(Known { places: HashMap::new(), swept_at: Instant::now() }) }
    }
}

impl Destinations {
    /// The place with what is known of it; whoever holds its lock looks for all.
    fn place(&self, key: String) -> Arc<AsyncMutex<Option<Look>>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let time = Instant::now();
        if time.duration_since(known.swept_at) >= SWEEP_EVERY || known.places.len() >= KNOWN_MOST {
            known.swept_at = time;
            let most = known.places.len() >= KNOWN_MOST;
            known.places.retain(|_, place| {
                let in_use = Arc::strong_count(place) > 1;
                let fresh = place.try_lock().is_ok_and(|look| look.as_ref().is_some_and(|look| look.until > time));
                in_use || (fresh && !most)
            });
        }
        Arc::clone(known.places.entry(key).or_default())
    }
}

/// Looks at the destinations of a record; at none where there is no record that names some.
pub(super) async fn look(edges: &Edges, record: &Lookup<Vec<Octets>>) -> Vec<RuaObservation> {
    let Some(record) = read_tlsrpt_records(record.records()).value else { return Vec::new() };
    join_all(record.rua.iter().take(DESTINATIONS_MOST).map(|destination| look_at(edges, destination))).await
}

async fn look_at(edges: &Edges, destination: &Destination) -> RuaObservation {
    let host = destination.host().unwrap_or_default();
    let key = match destination.scheme {
        Scheme::Mailto => format!("mailto:{host}"),
        Scheme::Https => destination.uri.clone(),
    };
    let place = edges.destinations.place(key);
    let mut known = place.lock().await;
    let believed = |look: &&Look| !edges.anew || look.outcome.reachable() == Some(true);
    let fresh = known.as_ref().filter(|look| look.until > Instant::now()).filter(believed);
    let Look { at, outcome, .. } = match fresh {
        Some(look) => look.clone(),
        None => {
            let outcome = match destination.scheme {
                Scheme::Mailto => mailbox(edges, &host).await,
                Scheme::Https if edges.strange => {
                    RuaOutcome::CouldNotLook("nobody is asked there for a domain that is not configured".to_owned())
                }
                Scheme::Https => endpoint(edges, destination, &host).await,
            };
            let stands = if outcome.reachable() == Some(true) { STANDS } else { FAILURE_STANDS };
            let look = Look { until: Instant::now() + stands, at: now(), outcome };
            known.insert(look).clone()
        }
    };
    RuaObservation { destination: destination.uri.clone(), at, outcome }
}

/// RFC 5321 §5.1: the MX records of the mailbox's domain, else its addresses.
async fn mailbox(edges: &Edges, domain: &str) -> RuaOutcome {
    let mx = edges.resolver.mx(domain).await;
    match &mx.outcome {
        LookupOutcome::Records { records, .. } if records.iter().all(|record| record.target == MxTarget::Null) => {
            RuaOutcome::Nowhere(Nowhere::NullMx)
        }
        LookupOutcome::Records { .. } => RuaOutcome::HasMx,
        LookupOutcome::NxDomain => RuaOutcome::Nowhere(Nowhere::Nonexistent),
        LookupOutcome::NoData => {
            let addresses = edges.resolver.addresses(domain, edges.families).await;
            located(&addresses).map_or_else(|outcome| outcome, |_| RuaOutcome::HasAddress)
        }
        LookupOutcome::Failed(failure) => RuaOutcome::CouldNotLook(format!("the lookup of its MX records: {failure}")),
    }
}

/// Asks the endpoint at one address after the other until one answers.
async fn endpoint(edges: &Edges, destination: &Destination, host: &str) -> RuaOutcome {
    if edges.is_opted_out(host) {
        return RuaOutcome::CouldNotLook("the configuration says not to ask it".to_owned());
    }
    let addresses = match host.parse::<IpAddr>() {
        Ok(address) => vec![address],
        Err(_) => match located(&edges.resolver.addresses(host, edges.families).await) {
            Ok(addresses) => addresses,
            Err(outcome) => return outcome,
        },
    };
    let endpoint = Endpoint { host, port: destination.port(), path: destination.path() };
    let mut failed = None;
    let mut unseen = None;
    for address in addresses.into_iter().take(ADDRESSES_MOST) {
        let _permit = edges.politeness.permit(host, address).await;
        match edges.policy.answer(endpoint, address).await {
            Ok(status) => return RuaOutcome::Answers(status),
            Err(FetchFailure::Connect(failure))
                if failure.is_own_side() || failure == ConnectFailure::PrivateAddress =>
            {
                unseen.get_or_insert_with(|| failure.to_string());
            }
            Err(failure) => {
                failed.get_or_insert_with(|| failure.to_string());
            }
        }
    }
    // What this side could not try may work for others.
    match (unseen, failed) {
        (Some(why), _) => RuaOutcome::CouldNotLook(why),
        (None, Some(why)) => RuaOutcome::DoesNotAnswer(why),
        (None, None) => RuaOutcome::Nowhere(Nowhere::NoAddress),
    }
}

/// The addresses, or what it means that there are none.
fn located(lookup: &AddressLookup) -> Result<Vec<IpAddr>, RuaOutcome> {
    let addresses: Vec<IpAddr> = lookup.addresses().collect();
    if !addresses.is_empty() {
        return Ok(addresses);
    }
    let both = lookup.ip4.is_some() && lookup.ip6.is_some();
    Err(match lookup.failure() {
        Some(failure) => RuaOutcome::CouldNotLook(format!("the lookup of its addresses: {failure}")),
        None if lookup.lookups().any(|lookup| lookup.outcome == LookupOutcome::NxDomain) => {
            RuaOutcome::Nowhere(Nowhere::Nonexistent)
        }
        None if both => RuaOutcome::Nowhere(Nowhere::NoAddress),
        // It may have one of the family that is not asked for.
        None => RuaOutcome::CouldNotLook("it has no address of the families that are asked for".to_owned()),
    })
}
