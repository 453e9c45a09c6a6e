//! The monitor with its exposition, as `serve` runs them.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use smtptls_exporter::{
    config::Settings,
    metrics::{Blocks, Exposition, Level, Wanted},
    monitor::{Eyes, Monitor, Renderer, Snapshot, Telemetry},
};
use tokio::task::{JoinHandle, spawn_blocking};

/// It runs until it is stopped.
pub(crate) struct Product {
    monitor: Monitor,
    exposition: Arc<Exposition>,
    follower: JoinHandle<()>,
    pub(crate) telemetry: Telemetry,
}

/// What one part of the text cost.
pub(crate) struct Scrape {
    pub(crate) samples: usize,
    pub(crate) bytes: usize,
    pub(crate) took: Duration,
}

/// The samples of each family of domains and hosts: how many, and a sum that is the same for the same samples in any order. Those
/// of deliveries are told apart by their state.
pub(crate) type Digest = BTreeMap<String, (u64, u64)>;

/// Of each domain one sample has the value 1.
const DELIVERY: &str = "smtptls_domain_delivery";

/// How many domains are in this state, in which senders can be.
pub(crate) fn deliveries(digest: &Digest, state: &str) -> u64 {
    digest.get(&format!("{DELIVERY} {state}")).map_or(0, |(count, _)| *count)
}

impl Product {
    /// Starts it, over the edges or with other eyes, and waits until scrapes are answered.
    pub(crate) async fn start(
        settings: Settings,
        level: Level,
        state: Option<&Path>,
        eyes: Option<Arc<dyn Eyes>>,
    ) -> Self {
        let telemetry = Telemetry::new().expect("the counters are sound");
        let settings = Arc::new(settings);
        let blocks = Blocks::new(level);
        let renderer = Arc::clone(&blocks) as Arc<dyn Renderer>;
        let monitor = match eyes {
            Some(eyes) => Monitor::start_with_eyes(settings, telemetry.clone(), state, renderer, eyes).await,
            None => Monitor::start(settings, telemetry.clone(), state, renderer).await,
        };
        let monitor = monitor.expect("the monitor starts");
        let exposition = Arc::new(Exposition::new(blocks));
        let mut snapshots = monitor.snapshots();
        let first = Arc::clone(&snapshots.borrow_and_update());
        show(&exposition, first).await;
        let shown = Arc::clone(&exposition);
        let follower = tokio::spawn(async move {
            while snapshots.changed().await.is_ok() {
                let snapshot = Arc::clone(&snapshots.borrow_and_update());
                show(&shown, snapshot).await;
            }
        });
        Self { monitor, exposition, follower, telemetry }
    }

    /// One scrape of all, as the handler does it.
    pub(crate) fn scrape(&self) -> Scrape {
        let began = Instant::now();
        let mut bytes = 0;
        self.exposition.scrape(&self.telemetry, Wanted::default(), |frame| {
            bytes += frame.len();
            true
        });
        let took = began.elapsed();
        // Counted apart: whoever scrapes has other things to do meanwhile.
        let text = self.exposition.body(&self.telemetry);
        let samples = text.split(|byte| *byte == b'\n').filter(|line| is_of_a_subject(line)).count();
        Scrape { samples, bytes, took }
    }

    /// Ends it; returns how long that took, and what scrapes of domains and hosts showed at last.
    pub(crate) async fn stop(self) -> (Duration, Digest) {
        let began = Instant::now();
        self.monitor.stop().await;
        let took = began.elapsed();
        self.follower.await.expect("it showed the last snapshot");
        (took, digest(&self.exposition.body(&self.telemetry)))
    }

    /// What scrapes of domains and hosts show now.
    pub(crate) fn digest(&self) -> Digest {
        digest(&self.exposition.body(&self.telemetry))
    }
}

/// Rendering is work for a thread that nobody waits for.
async fn show(exposition: &Arc<Exposition>, snapshot: Arc<Snapshot>) {
    let exposition = Arc::clone(exposition);
    spawn_blocking(move || exposition.update(snapshot)).await.expect("it can be shown");
}

fn is_of_a_subject(line: &[u8]) -> bool {
    let labels = line.iter().position(|byte| *byte == b'{').and_then(|begin| line.get(begin + 1..));
    labels.is_some_and(|labels| labels.starts_with(b"domain=") || labels.starts_with(b"mx="))
}

fn digest(text: &[u8]) -> Digest {
    let mut digest = Digest::new();
    for line in text.split(|byte| *byte == b'\n').filter(|line| is_of_a_subject(line)) {
        let end = line.iter().position(|byte| matches!(byte, b'{' | b' ')).unwrap_or(line.len());
        let mut hasher = DefaultHasher::new();
        line.hash(&mut hasher);
        let mut family = String::from_utf8_lossy(&line[..end]).into_owned();
        if family == DELIVERY {
            let text = String::from_utf8_lossy(line);
            family.extend(text.split('"').nth(3).map(|state| format!(" {state}")));
        }
        let (count, sum) = digest.entry(family).or_default();
        *count += 1;
        *sum = sum.wrapping_add(hasher.finish());
    }
    digest
}
