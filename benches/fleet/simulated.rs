//! A fleet whose peers are not there: what the monitor itself takes.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use clap::ValueEnum as _;
use smtptls_exporter::{
    config::{Bounded, DnssecMode, MetricsLevel, Settings},
    monitor::Eyes,
    net::now,
    terms::{PolicyDomain, Timestamp},
};
use tokio::time::{interval, sleep};

use crate::{
    asleep::Asleep,
    lag::Lag,
    meter::{self, Cpu},
    peers::{Peers, World},
    product::{Digest, Product, deliveries},
    prometheus::{Prometheus, ROUND, SAMPLES_OF_A_PART, parts},
    publications::Publications,
    report::{Bounds, Detail, LAG, MOST_SERIES, cost, lag_rows, megabytes, publications_row, row, runtime},
};

/// One of ten domains tests its policy only; one of a hundred has a fault, and one of a hundred mail hosts, of which each domain has two.
const NOT_PROTECTED: f64 = 0.14;
/// The threads of the peers.
const PEERS: &str = "peers";
const DAY: Duration = Duration::from_secs(86_400);

/// The bounds that a fleet has to keep: a million domains in 2 GB, of which each has a share beside what the program takes for itself.
const OWN_BYTES: f64 = 100e6;
const BYTES_A_DOMAIN: f64 = 1900.0;
/// Seconds from the start to the first scrape.
const READY: f64 = 10.0;
/// Seconds for a scrape of a part.
const SCRAPE: f64 = 0.3;

#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// How many domains.
    #[arg(long, default_value_t = 2000)]
    domains: u64,
    /// Seconds between two looks at a domain.
    #[arg(long, default_value_t = 1800)]
    interval: u64,
    /// How long to measure, in seconds, from the start.
    #[arg(long, default_value_t = 2100)]
    seconds: u64,
    /// How much scrapes tell of each domain.
    #[arg(long, value_enum, default_value_t = Detail::Summary)]
    level: Detail,
    /// Where state is kept; a temporary folder otherwise. What is in it is used.
    #[arg(long)]
    state: Option<PathBuf>,
    /// Servers send the certificate of their authority too.
    #[arg(long)]
    whole_chains: bool,
    /// Fail where a bound is missed.
    #[arg(long)]
    check: bool,
}

/// For the second process, which starts from the state of the first.
#[derive(clap::Args, Debug)]
pub(crate) struct Restart {
    #[arg(long)]
    domains: u64,
    #[arg(long)]
    interval: u64,
    #[arg(long, value_enum)]
    level: Detail,
    #[arg(long)]
    state: PathBuf,
    /// Where the text of all scrapes is told, for the first process to compare.
    #[arg(long)]
    digest: PathBuf,
}

fn settings(domains: Vec<PolicyDomain>, interval: Duration, level: Detail) -> Settings {
    let mut settings = Settings::for_domains(domains);
    // Nothing of the edges is used; this way they ask nobody when they are opened.
    settings.resolver.dnssec = DnssecMode::Off;
    settings.probe.interval = interval;
    settings.probe.mx_interval = interval;
    settings.metrics.level = Some(MetricsLevel::from(level).into());
    settings.metrics.max_series = Some(Bounded(MOST_SERIES).into());
    settings
}

pub(crate) fn run(options: &Options) -> ExitCode {
    let publications = Publications::listen();
    let folder = tempfile::tempdir().expect("a folder");
    let state = options.state.clone().unwrap_or_else(|| folder.path().join("state"));
    fs::create_dir_all(&state).expect("a folder for the state");
    let peers_at = runtime(PEERS);
    let monitor_at = runtime("monitor");
    let world =
        World { epoch: Timestamp::from_unix_seconds(now().unix_seconds()) - 2 * DAY, whole: options.whole_chains };
    let peers = Arc::new(Peers::new(options.domains, world, peers_at.handle().clone()));
    let mut bounds = Bounds::default();

    println!("{} domains, each looked at every {} s; {} s", options.domains, options.interval, options.seconds);
    let before = monitor_at.block_on(measure(options, &state, &peers, &publications, &mut bounds));
    // A figure of a fleet that was not seen, or not found as it is, would be none.
    let protected = deliveries(&before, "protected") as f64 / options.domains as f64;
    bounds.hold("domains that are not protected, share", 1.0 - protected, NOT_PROTECTED);
    let looks = &peers.looks;
    row("looks at mail hosts", looks.hosts.load(Ordering::Relaxed) as f64);
    row("looks at their addresses", looks.addresses.load(Ordering::Relaxed) as f64);
    row("surveys", looks.surveys.load(Ordering::Relaxed) as f64);
    drop(monitor_at);
    drop(peers_at);
    restart_apart(options, &state, &before, &mut bounds);
    bounds.exit(options.check)
}

async fn measure(
    options: &Options,
    state: &Path,
    peers: &Arc<Peers>,
    publications: &Publications,
    bounds: &mut Bounds,
) -> Digest {
    let settings = settings(peers.names().collect(), Duration::from_secs(options.interval), options.level);
    row("RSS with the configuration alone, MB", megabytes(meter::resident().0));
    let eyes: Arc<dyn Eyes> = Arc::<Peers>::clone(peers);
    let (began, cpu_began) = (Instant::now(), Cpu::now(PEERS));
    let product = Product::start(settings, Some(state), Some(eyes)).await;
    row("first start to the first scrape, s", began.elapsed().as_secs_f64());

    let end = began + Duration::from_secs(options.seconds);
    let mut memory: Vec<(Duration, u64)> = Vec::new();
    let mut first_round = None;
    let mut scrapes = Vec::new();
    let parts = parts(options.domains);
    let mut prometheus = Prometheus::new(parts);
    let mut ticks = interval(Duration::from_secs(1));
    // The plain text of one part, every quarter of a minute, beside what a Prometheus takes.
    const SCRAPE_EVERY: u64 = 15;
    for tick in 1u64.. {
        ticks.tick().await;
        memory.push((began.elapsed(), meter::resident().0));
        if first_round.is_none() && peers.looks.first.load(Ordering::Relaxed) == options.domains {
            row("every domain was seen after, s", began.elapsed().as_secs_f64());
            row("RSS then, MB", megabytes(meter::resident().0));
            let cpu = Cpu::now(PEERS);
            first_round = Some((Lag::of(&product.telemetry), cpu, peers.looks.domains.load(Ordering::Relaxed)));
            publications_row("until then", publications.take());
        }
        if tick % SCRAPE_EVERY == 0 {
            scrapes.push(tokio::task::block_in_place(|| product.scrape(parts)));
        }
        prometheus.scrape(&product, tick);
        if Instant::now() >= end {
            break;
        }
    }
    let cpu = Cpu::now(PEERS);
    let looks = peers.looks.domains.load(Ordering::Relaxed);
    cost("since the start", cpu_began, cpu, looks);
    let lag = Lag::of(&product.telemetry);
    let lag = match &first_round {
        Some((earlier, cpu_then, looks_then)) => {
            cost("since every domain was seen", *cpu_then, cpu, looks - looks_then);
            lag_rows("until every domain was seen", earlier);
            lag.since(earlier)
        }
        None => {
            println!("not every domain was seen: {} of {}", peers.looks.first.load(Ordering::Relaxed), options.domains);
            lag
        }
    };
    lag_rows("from then on", &lag);
    publications_row("from then on", publications.take());
    let half = memory.len() / 2;
    row("RSS slope over the second half, kB a minute", meter::slope(&memory[half..]));
    let (rss, peak) = meter::resident();
    row("RSS at the end, MB", megabytes(rss));
    row("of it the peers', MB", peers.bytes() as f64 / 1e6);
    let ours = rss as f64 * 1024.0 - peers.bytes() as f64;
    row("RSS at the end, all but the peers', bytes a domain", ours / options.domains as f64);
    let begun = memory.first().map_or(0, |(_, kb)| *kb);
    row("of it grown since the first second", rss.saturating_sub(begun) as f64 * 1024.0 / options.domains as f64);
    bounds.hold("RSS at its peak, MB", megabytes(peak), (OWN_BYTES + BYTES_A_DOMAIN * options.domains as f64) / 1e6);
    bounds.hold("looks that began later than that, share", 1.0 - lag.within(LAG), 0.01);
    prometheus.tell(looks);
    if let Some(last) = scrapes.last() {
        row("samples of a part", last.samples as f64);
        row("its size, MB", last.bytes as f64 / 1e6);
        let mut times: Vec<f64> = scrapes.iter().map(|scrape| scrape.took.as_secs_f64()).collect();
        row("scrape at its longest, s", meter::quantile(&mut times, 1.0));
        let middle = meter::quantile(&mut times, 0.5);
        match last.samples <= SAMPLES_OF_A_PART {
            true => bounds.hold("scrape, the middle of all, s", middle, SCRAPE),
            false => row("scrape, the middle of all, s (too large)", middle),
        }
    }
    let (took, digest) = product.stop().await;
    row("stopping, with all that is known written, s", took.as_secs_f64());
    row("state on the disk, bytes a domain", folder_bytes(state) as f64 / options.domains as f64);
    digest
}

fn folder_bytes(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).expect("the state folder").flatten();
    files.filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum()
}

/// Starts from the stored state in a process of its own, whose memory holds nothing else, and compares what scrapes show.
fn restart_apart(options: &Options, state: &Path, before: &Digest, bounds: &mut Bounds) {
    let told = tempfile::NamedTempFile::new().expect("a file");
    let mut command = Command::new(env::current_exe().expect("this program"));
    command.arg("restart").arg("--state").arg(state).arg("--digest").arg(told.path());
    let level = options.level.to_possible_value().expect("every level has a word");
    command.args(["--level", level.get_name()]);
    command.args(["--domains", &options.domains.to_string(), "--interval", &options.interval.to_string()]);
    let status = command.status().expect("the second process starts");
    assert!(status.success(), "{command:?} ended with {status}");
    let told = fs::read_to_string(told.path()).expect("what it showed");
    let mut lines = told.lines();
    let ready: f64 = lines.next().and_then(|line| line.parse().ok()).expect("how long it took");
    bounds.hold("start from the stored state to ready, s", ready, READY);
    let after: Digest = lines.map(read_digest).collect();
    let families = before.keys().chain(after.keys()).collect::<std::collections::BTreeSet<_>>();
    let others: Vec<_> = families.into_iter().filter(|family| before.get(*family) != after.get(*family)).collect();
    for family in &others {
        println!("another text of {family}: {:?} before, {:?} after", before.get(*family), after.get(*family));
    }
    bounds.hold("families with another text after a restart", others.len() as f64, 0.0);
}

fn read_digest(line: &str) -> (String, (u64, u64)) {
    let fields: Vec<&str> = line.split('\t').collect();
    let number = |place: usize| fields.get(place).and_then(|field| field.parse().ok()).expect("a number");
    (fields[0].to_owned(), (number(1), number(2)))
}

/// The second process.
pub(crate) fn restart(options: &Restart) -> ExitCode {
    let monitor_at = runtime("monitor");
    let world = World { epoch: now(), whole: false };
    let names = Peers::new(options.domains, world, monitor_at.handle().clone()).names().collect();
    monitor_at.block_on(async {
        let settings = settings(names, Duration::from_secs(options.interval), options.level);
        let began = Instant::now();
        // Nobody answers: what is shown is what was kept.
        let product = Product::start(settings, Some(&options.state), Some(Arc::new(Asleep))).await;
        let ready = began.elapsed().as_secs_f64();
        let (rss, peak) = meter::resident();
        row("RSS after the restart, MB", megabytes(rss));
        row("… at its peak, MB", megabytes(peak));
        // The first time each part is turned whole.
        let parts = parts(options.domains);
        let mut prometheus = Prometheus::new(parts);
        prometheus.scrape(&product, ROUND);
        prometheus.tell(0);
        row("RSS with all parts taken, MB", megabytes(meter::resident().0));
        // What is judged in slices comes within this time.
        sleep(Duration::from_secs(2)).await;
        let digest = tokio::task::block_in_place(|| product.digest());
        let lines: String = digest.iter().map(|(family, (count, sum))| format!("{family}\t{count}\t{sum}\n")).collect();
        fs::write(&options.digest, format!("{ready}\n{lines}")).expect("the first process reads it");
        // Not stopped: nothing was seen that could be written.
    });
    monitor_at.shutdown_background();
    ExitCode::SUCCESS
}
