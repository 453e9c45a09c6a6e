//! Looks at domains that are not configured: each once, over the edges of the monitor, and nothing of it is kept.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Edges, Telemetry,
    engine::GRACE,
    fleet::{Fleet, Target},
    looking::{Known, look},
    prompt::{Awaited, InForce, Progress, PromptError, REST, Stage},
};
use crate::{
    config::{ProbeSettings, Settings},
    facts::Vantage,
    net::now,
    terms::PolicyDomain,
};

/// So many domains that nobody configured are looked at in the time of a rest, whoever asks: strangers' servers must not be asked
/// without bound in the name of this side. It is a dozen a second.
const STRANGERS_MOST: usize = 64;

/// A look that takes longer is given up: whoever waits for a busy provider behind others must not keep its place for ever. It is the
/// longest timeout of a scrape that the documents name; with it a few slow domains do not fill the places for long.
const LOOK_WITHIN: Duration = Duration::from_secs(60);

/// The looks that are under way.
#[derive(Clone, Debug)]
pub(super) struct Strangers {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    looks: Mutex<HashMap<PolicyDomain, watch::Receiver<Progress>>>,
    places: Arc<Semaphore>,
    telemetry: Telemetry,
    /// The monitor waits for them when it stops.
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// The place of one look; it ends when this is dropped, however the look ended.
struct Place {
    shared: Arc<Shared>,
    domain: PolicyDomain,
    progress: watch::Sender<Progress>,
    _permit: OwnedSemaphorePermit,
}

impl Strangers {
    pub(super) fn new(telemetry: Telemetry, tasks: TaskTracker, stop: CancellationToken) -> Self {
        let places = Arc::new(Semaphore::new(STRANGERS_MOST));
        Self { shared: Arc::new(Shared { looks: Mutex::default(), places, telemetry, tasks, stop }) }
    }

    /// Begins a look, or joins the one that is under way. Who comes within the rest after its begin has its result.
    pub(super) fn look(
        &self,
        domain: &PolicyDomain,
        in_force: InForce,
        vantage: Arc<Vantage>,
    ) -> Result<watch::Receiver<Progress>, PromptError> {
        let shared = &self.shared;
        if shared.stop.is_cancelled() {
            return Err(PromptError::Stopping);
        }
        let mut looks = shared.looks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(progress) = looks.get(domain) {
            return Ok(progress.clone());
        }
        let permit = Arc::clone(&shared.places).try_acquire_owned().map_err(|_| PromptError::Busy)?;
        let first = Progress {
            stage: Stage::Looking,
            snapshot: Arc::default(),
            missing: vec![Awaited::Domain(domain.clone())],
        };
        let (progress, heard) = watch::channel(first);
        looks.insert(domain.clone(), heard.clone());
        drop(looks);
        let place = Place { shared: Arc::clone(shared), domain: domain.clone(), progress, _permit: permit };
        shared.tasks.spawn(hold(place, in_force, vantage));
        Ok(heard)
    }

    /// Ends when the monitor is told to stop.
    pub(super) async fn stopped(&self) {
        self.shared.stop.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.looks.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.domain);
        // Where the look broke, whoever waits has what was seen until then.
        self.progress.send_modify(|progress| progress.stage = Stage::Over);
    }
}

/// Looks, and holds the place until the rest is over.
async fn hold(place: Place, in_force: InForce, vantage: Arc<Vantage>) {
    let rested = Instant::now() + REST;
    let fleet = Fleet::for_one_look(Arc::new(settings_for(&in_force.settings, &place.domain)), vantage);
    let stop = &place.shared.stop;
    let edges = Arc::new(in_force.edges.for_stranger());
    let looking = look_at_all(edges, &place.shared.telemetry, fleet, &place.domain, &place.progress);
    tokio::select! {
        ended = timeout(LOOK_WITHIN, looking) => if ended.is_err() {
            tracing::debug!(domain = %place.domain, "a look at a domain that is not configured took too long");
        },
        // Most take leave of their peers in this time.
        () = async { stop.cancelled().await; sleep(GRACE).await } => {}
    }
    place.progress.send_modify(|progress| progress.stage = Stage::Over);
    tokio::select! {
        () = sleep_until(rested) => {}
        () = stop.cancelled() => {}
    }
}

/// The same judgement, without what is configured for other domains. No reports are read for it.
fn settings_for(settings: &Settings, domain: &PolicyDomain) -> Settings {
    Settings {
        resolver: settings.resolver.clone(),
        probe: ProbeSettings { canaries: Vec::new(), ..settings.probe.clone() },
        own_mx: settings.own_mx.clone(),
        thresholds: settings.thresholds.clone(),
        severities: settings.severities.clone(),
        accept: settings.accept.clone(),
        domains: [domain.clone()].into_iter().collect(),
        ..Settings::default()
    }
}

/// Goes from the domain to its mail hosts and on to their addresses; says after each step what is known.
async fn look_at_all(
    edges: Arc<Edges>,
    telemetry: &Telemetry,
    mut fleet: Fleet,
    domain: &PolicyDomain,
    progress: &watch::Sender<Progress>,
) {
    let begin = async |target: Target| {
        let (_, seen) = look(edges.as_ref(), telemetry, &target, Known::Nothing).await;
        (target, seen)
    };
    let first = Target::Domain(domain.clone());
    let mut begun = HashSet::from([first.clone()]);
    let mut under_way = BTreeSet::from([first.clone()]);
    let mut broken = Vec::new();
    let mut looks = FuturesUnordered::new();
    looks.push(begin(first));
    while let Some((target, seen)) = looks.next().await {
        under_way.remove(&target);
        match seen.fold(&mut fleet) {
            Some(wanted) => {
                for target in wanted.now {
                    if begun.insert(target.clone()) {
                        under_way.insert(target.clone());
                        looks.push(begin(target));
                    }
                }
            }
            None => broken.extend(Awaited::of(&target)),
        }
        let snapshot = fleet.refresh(now());
        progress.send_modify(|progress| {
            progress.missing = under_way.iter().filter_map(Awaited::of).chain(broken.iter().cloned()).collect();
            if let Some(snapshot) = snapshot {
                progress.snapshot = snapshot;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Its place is dropped as well where a look breaks.
    #[tokio::test]
    async fn a_look_that_broke_is_over_for_those_who_wait() {
        let strangers = Strangers::new(Telemetry::new().unwrap(), TaskTracker::new(), CancellationToken::new());
        let domain: PolicyDomain = "stranger.example".parse().unwrap();
        let first = Progress { stage: Stage::Looking, snapshot: Arc::default(), missing: Vec::new() };
        let (progress, mut heard) = watch::channel(first);
        let shared = Arc::clone(&strangers.shared);
        shared.looks.lock().unwrap().insert(domain.clone(), heard.clone());
        let permit = Arc::clone(&shared.places).try_acquire_owned().unwrap();
        let place = Place { shared: Arc::clone(&shared), domain, progress, _permit: permit };
        let broken = tokio::spawn(async move {
            let _place = place;
            panic!("the look breaks");
        });
        assert!(heard.wait_for(|progress| progress.stage == Stage::Over).await.is_ok());
        assert!(broken.await.unwrap_err().is_panic());
        assert!(shared.looks.lock().unwrap().is_empty());
        assert_eq!(shared.places.available_permits(), STRANGERS_MOST);
    }
}
