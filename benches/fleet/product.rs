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
    metrics::{Blocks, Encoding, Exposition, Format, Part, Wanted},
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

/// What one scrape cost.
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
/// The first label of samples of domains and hosts; those of the exporter itself have others.
const SUBJECTS: [&[u8]; 2] = [b"{domain=", b"{mx="];

/// How many domains are in this state, in which senders can be.
pub(crate) fn deliveries(digest: &Digest, state: &str) -> u64 {
    digest.get(&format!("{DELIVERY} {state}")).map_or(0, |(count, _)| *count)
}

impl Product {
    /// Starts it, over the edges or with other eyes, and waits until scrapes are answered.
    pub(crate) async fn start(settings: Settings, state: Option<&Path>, eyes: Option<Arc<dyn Eyes>>) -> Self {
        let telemetry = Telemetry::new().expect("the counters are sound");
        let blocks = Blocks::new(&settings.metrics);
        let renderer: Arc<dyn Renderer> = Arc::<Blocks>::clone(&blocks);
        let settings = Arc::new(settings);
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

    /// One scrape of the first of so many parts, as the handler does it. What is sent is counted in another scrape, which takes no
    /// part in the time.
    pub(crate) fn scrape(&self, parts: u32) -> Scrape {
        let wanted = Wanted { part: Part::new(1, parts).expect("a part"), ..Wanted::default() };
        let mut bytes = 0;
        let began = Instant::now();
        self.exposition.scrape(&self.telemetry, wanted, |frame| {
            bytes += frame.len();
            true
        });
        let took = began.elapsed();
        let mut samples = 0;
        self.lines(wanted, |_| samples += 1);
        Scrape { samples, bytes, took }
    }

    /// One scrape of a part as a Prometheus asks for it: OpenMetrics in gzip, which is kept until something of it changes.
    pub(crate) fn take(&self, part: u32, parts: u32) -> Duration {
        let part = Part::new(part, parts).expect("a part");
        let began = Instant::now();
        let wanted = Wanted { part, format: Format::OpenMetrics, encoding: Encoding::Gzip };
        self.exposition.scrape(&self.telemetry, wanted, |_| true);
        began.elapsed()
    }

    /// Ends it; returns how long that took, and what scrapes of domains and hosts showed at last.
    pub(crate) async fn stop(self) -> (Duration, Digest) {
        let Self { monitor, exposition, follower, telemetry } = self;
        let began = Instant::now();
        monitor.stop().await;
        let took = began.elapsed();
        follower.await.expect("it showed the last snapshot");
        (took, digest(&exposition, &telemetry))
    }

    /// What scrapes of domains and hosts show now.
    pub(crate) fn digest(&self) -> Digest {
        digest(&self.exposition, &self.telemetry)
    }

    fn lines(&self, wanted: Wanted, each: impl FnMut(&[u8])) {
        lines(&self.exposition, &self.telemetry, wanted, each);
    }
}

/// Hands over each sample; a frame may end within one.
fn lines(exposition: &Exposition, telemetry: &Telemetry, wanted: Wanted, mut each: impl FnMut(&[u8])) {
    let mut begun = Vec::new();
    exposition.scrape(telemetry, wanted, |frame| {
        let mut rest = &frame[..];
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            begun.extend_from_slice(&rest[..end]);
            if !begun.is_empty() && !begun.starts_with(b"#") {
                each(&begun);
            }
            begun.clear();
            rest = &rest[end + 1..];
        }
        begun.extend_from_slice(rest);
        true
    });
    assert!(begun.is_empty(), "a scrape ends with the end of a line");
}

/// Putting shelves together is work for a thread that nobody waits for.
async fn show(exposition: &Arc<Exposition>, snapshot: Arc<Snapshot>) {
    let exposition = Arc::clone(exposition);
    spawn_blocking(move || exposition.update(snapshot)).await.expect("it can be shown");
}

fn digest(exposition: &Exposition, telemetry: &Telemetry) -> Digest {
    let mut digest = Digest::new();
    lines(exposition, telemetry, Wanted::default(), |line| {
        let end = line.iter().position(|byte| matches!(byte, b'{' | b' ')).unwrap_or(line.len());
        if !SUBJECTS.iter().any(|label| line[end..].starts_with(label)) {
            return;
        }
        let mut family = String::from_utf8_lossy(&line[..end]).into_owned();
        let mut hasher = DefaultHasher::new();
        line.hash(&mut hasher);
        if family == DELIVERY {
            let text = String::from_utf8_lossy(line);
            family.extend(text.split('"').nth(3).map(|state| format!(" {state}")));
        }
        let (count, sum) = digest.entry(family).or_default();
        *count += 1;
        *sum = sum.wrapping_add(hasher.finish());
    });
    digest
}
