//! From an observation to what it says about the caches of senders.

use std::{sync::Arc, time::Duration};

use crate::{
    facts::{DomainObservation, PolicyFetch},
    protocol::mta_sts::{Announced, Policy, Sighting, read_sts_records},
    verdict::{
        case::has_no_address,
        policy_view::{FetchView, PolicyView},
    },
};

pub(super) fn sighting(observation: &DomainObservation) -> Sighting {
    let at = observation.started_at;
    let announced = match read_sts_records(observation.sts_record.records()).value {
        _ if !observation.sts_record.answered() => Announced::Unknown,
        Some(record) => Announced::Id { id: record.id, ttl: observation.sts_record.ttl().unwrap_or(0) },
        None => Announced::Nothing,
    };
    let mut sighting = Sighting {
        at,
        announced,
        served: Vec::new(),
        everywhere: false,
        gone: false,
        hidden: true,
        http_cache: Duration::ZERO,
    };
    // What is kept from an earlier observation, as it is too early to ask again, says nothing new.
    if is_kept(observation) {
        return sighting;
    }
    let host = PolicyView::new(&observation.policy, at);
    let answered = observation.policy.addresses.answered();
    let asked: Vec<&FetchView<'_>> = host.fetches.iter().filter(|view| !view.is_own_side()).collect();
    let mut served: Vec<Arc<Policy>> = Vec::new();
    for policy in asked.iter().filter_map(|view| view.usable()) {
        if !served.iter().any(|known| known.same_meaning(policy)) {
            served.push(Arc::new(policy.clone()));
        }
    }
    let missing = |view: &&FetchView<'_>| status(view.fetch).is_some_and(|status| matches!(status, 404 | 410));
    let failed = |view: &&FetchView<'_>| status(view.fetch).is_none_or(|status| status >= 500);
    sighting.everywhere = answered && served.len() == 1 && asked.iter().all(|view| view.usable().is_some());
    sighting.gone = has_no_address(&observation.policy.addresses) || (!asked.is_empty() && asked.iter().all(missing));
    sighting.hidden = !answered || asked.iter().any(failed);
    sighting.http_cache = http_cache(&observation.policy.fetches);
    sighting.served = served;
    sighting
}

/// Whether the fetches were made for an earlier observation.
pub(super) fn is_kept(observation: &DomainObservation) -> bool {
    let fetches = &observation.policy.fetches;
    !fetches.is_empty() && fetches.iter().all(|fetch| fetch.at < observation.started_at)
}

/// The status of a whole answer.
fn status(fetch: &PolicyFetch) -> Option<u16> {
    fetch.response.as_ref().filter(|_| fetch.failure.is_none()).map(|response| response.status)
}

fn http_cache(fetches: &[PolicyFetch]) -> Duration {
    let responses = fetches.iter().filter_map(|fetch| fetch.response.as_ref());
    let seconds = responses.flat_map(|response| [response.age, response.cache_max_age]).flatten().max();
    Duration::from_secs(seconds.unwrap_or(0))
}
