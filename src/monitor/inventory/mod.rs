//! Domains from outside of the configuration file, while the monitor runs: files are looked at every few seconds, URLs are fetched
//! by their interval, and what changed is put in force as a difference. Nothing else is touched by it.

mod gauges;
mod kept;
mod lists;
mod urls;

use std::{
    collections::{HashMap, hash_map::Entry},
    path::Path,
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{Mutex, OwnedMutexGuard, mpsc},
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

pub(super) use self::gauges::Gauges;
pub use self::gauges::InventorySource;
use self::{
    kept::KeptLists,
    lists::Lists,
    urls::{Arrival, UrlWatch},
};
use super::Telemetry;
use crate::{
    config::{Change, DomainList, Settings},
    net::now,
};

/// Between two looks at the files. Their metadata are asked, nothing is read, and it works where the system tells nobody of a
/// change: on network shares, bind mounts and the links that Kubernetes swaps.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Lists that wait to be put in force.
const ARRIVALS: usize = 4;

/// All sources of domains of a running monitor. Clones share them.
#[derive(Clone, Debug)]
pub struct Inventory {
    lists: Arc<Mutex<Lists>>,
    kept: KeptLists,
    telemetry: Telemetry,
}

/// A configuration with the domains of all its sources, which is not in force yet. While it exists no list changes.
#[derive(Debug)]
pub struct PreparedInventory {
    guard: OwnedMutexGuard<Lists>,
    lists: Lists,
    telemetry: Telemetry,
}

impl Inventory {
    /// Reads the files that the settings name, and what was kept of the URLs. Returns the settings with the domains of all of them.
    /// `folder` is where the monitor keeps what it knows. Sources that cannot be used are told in the log and by the gauges.
    pub async fn open(settings: Settings, folder: &Path, telemetry: Telemetry) -> (Self, Settings) {
        let kept = KeptLists::in_state(folder);
        let empty = Lists::default();
        let mut lists = configured(empty, settings, kept.clone()).await;
        let merged = lists.settings();
        lists.tell(&telemetry);
        (Self { lists: Arc::new(Mutex::new(lists)), kept, telemetry }, merged)
    }

    /// Reads what new settings name, without an effect so far. The lists of sources that stay are kept.
    pub async fn prepare(&self, settings: Settings) -> PreparedInventory {
        let guard = Arc::clone(&self.lists).lock_owned().await;
        let lists = configured(guard.clone(), settings, self.kept.clone()).await;
        PreparedInventory { guard, lists, telemetry: self.telemetry.clone() }
    }

    /// Follows the sources until it is stopped. `put` puts other domains in force; where it fails it is asked again at the next
    /// look.
    pub async fn follow<F, W>(self, stop: CancellationToken, put: F)
    where
        F: Fn(DomainList) -> W + Send + Sync,
        W: Future<Output = Result<Change, String>> + Send,
    {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (arrivals_in, mut arrivals) = mpsc::channel(ARRIVALS);
        let mut watched = HashMap::new();
        let mut pending = false;
        loop {
            let arrival = tokio::select! {
                () = stop.cancelled() => return,
                Some(arrival) = arrivals.recv() => Some(arrival),
                _ = looks.tick() => None,
            };
            let mut lists = Arc::clone(&self.lists).lock_owned().await;
            self.watch(&lists, &mut watched, &arrivals_in);
            let (next, changed) = looked(lists.clone(), arrival).await;
            if changed || pending {
                let outcome = put(next.domains().clone()).await;
                pending = outcome.is_err();
                match outcome {
                    Ok(change) if !change.is_empty() => tracing::info!(
                        domains = next.domains().len(),
                        added = change.added.len(),
                        removed = change.removed.len(),
                        changed = change.changed.len(),
                        "the lists of domains changed"
                    ),
                    Ok(_) => {}
                    Err(error) => tracing::warn!("other domains could not be put in force: {error}"),
                }
            }
            let before = std::mem::replace(&mut *lists, next);
            // To let go of a million domains takes a while.
            drop(spawn_blocking(move || drop(before)));
            lists.tell(&self.telemetry);
        }
    }

    /// Lets every URL of the configuration be fetched, and no other.
    fn watch(
        &self,
        lists: &Lists,
        watched: &mut HashMap<UrlWatch, AbortOnDropHandle<()>>,
        arrivals: &mpsc::Sender<Arrival>,
    ) {
        let wanted = lists.watches();
        let before = watched.len();
        watched.retain(|watch, _| wanted.contains(watch));
        let mut renewed = watched.len() != before;
        for watch in wanted {
            if let Entry::Vacant(place) = watched.entry(watch) {
                renewed = true;
                let run = place.key().clone().run(self.kept.clone(), arrivals.clone());
                let task = tokio::spawn(self.telemetry.vital("the fetching of a list of domains", run));
                place.insert(AbortOnDropHandle::new(task));
            }
        }
        if renewed {
            self.kept.tidy(lists.urls());
        }
    }
}

impl PreparedInventory {
    /// The settings with the domains of all sources.
    pub fn settings(&self) -> Settings {
        self.lists.settings()
    }

    /// The settings are in force.
    pub fn commit(mut self) {
        self.lists.tell(&self.telemetry);
        *self.guard = self.lists;
    }
}

/// Reading files blocks.
async fn configured(before: Lists, settings: Settings, kept: KeptLists) -> Lists {
    let fallback = before.clone();
    spawn_blocking(move || before.configured(settings, &kept, now())).await.unwrap_or_else(|error| {
        tracing::error!(%error, "the lists of domains could not be read: a fault of this program");
        fallback
    })
}

/// Takes in what arrived, or looks at the files; says whether the domains are other ones now.
async fn looked(mut lists: Lists, arrival: Option<Arrival>) -> (Lists, bool) {
    let fallback = lists.clone();
    let task = spawn_blocking(move || {
        let changed = match arrival {
            Some(arrival) => lists.take(arrival),
            None => lists.look(now()),
        };
        if changed {
            lists.merge();
        }
        (lists, changed)
    });
    task.await.unwrap_or_else(|error| {
        tracing::error!(%error, "the lists of domains could not be read: a fault of this program");
        (fallback, false)
    })
}
