//! A fleet over real sockets: the peers are another process on loopback, and nothing of the monitor is left out.

use std::{
    fs,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use smtptls_exporter::{
    config::{Bounded, DnssecMode, MetricsLevel, ServerSetting, Settings},
    terms::PolicyDomain,
};
use tokio::time::interval;

use crate::{
    lag::Lag,
    meter::{self, Cpu},
    product::{Product, deliveries},
    prometheus::{Prometheus, parts},
    publications::Publications,
    report::{Bounds, LAG, MOST_SERIES, cost, lag_rows, megabytes, publications_row, row, runtime},
    town::{self, Town},
};

#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// How many domains, each with a policy host of its own.
    #[arg(long, default_value_t = 50)]
    domains: usize,
    /// How many mail hosts; each domain has two of them.
    #[arg(long, default_value_t = 2)]
    hosts: usize,
    /// Seconds between two looks at a domain or an address.
    #[arg(long, default_value_t = 5)]
    interval: u64,
    /// How long to measure, in seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Fail where a bound is missed.
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(options: &Options) -> ExitCode {
    let publications = Publications::listen();
    let town = Town::with_hosts(options.domains, options.hosts);
    let folder = tempfile::tempdir().expect("a folder");
    let settings = settings(options, &town, folder.path());
    println!(
        "{} domains on {} mail hosts, each looked at every {} s; {} s",
        options.domains, options.hosts, options.interval, options.seconds
    );
    let mut bounds = Bounds::default();
    runtime("monitor").block_on(measure(options, settings, &town, folder.path(), &publications, &mut bounds));
    let cycles = options.seconds as f64 / options.interval as f64;
    let (smtp, https) = town.leave();
    row("cycles", cycles);
    row("connections to policy hosts in a cycle", https as f64 / cycles);
    // One a mail host, however many domains share it; the first at once, the others up to a twentieth sooner than the interval.
    let most = options.hosts as f64 * (1.0 + cycles / 0.95) / cycles;
    bounds.hold("connections to mail hosts in a cycle", smtp as f64 / cycles, most);
    bounds.exit(options.check)
}

fn settings(options: &Options, town: &Town, folder: &Path) -> Settings {
    let names = (0..options.domains).map(|number| PolicyDomain::parse(&town::domain(number)).expect("a name"));
    let mut settings = Settings::for_domains(names.collect());
    settings.resolver.servers = vec![ServerSetting::Address(town.dns.parse().expect("an address"))];
    settings.resolver.dnssec = DnssecMode::Off;
    settings.metrics.level = Some(MetricsLevel::Summary.into());
    settings.metrics.max_series = Some(Bounded(MOST_SERIES).into());
    let ca_file = folder.join("root.pem");
    fs::write(&ca_file, &town.root_pem).expect("the root is written");
    let probe = &mut settings.probe;
    probe.interval = Duration::from_secs(options.interval);
    probe.mx_interval = probe.interval;
    probe.ca_file = Some(ca_file);
    probe.smtp_port = town.smtp_port.parse().expect("a port");
    probe.https_port = town.https_port.parse().expect("a port");
    probe.allow_private_addresses = true;
    // Once a day: it would be in a measurement of minutes as if it were always.
    probe.legacy_tls = false;
    settings
}

async fn measure(
    options: &Options,
    settings: Settings,
    town: &Town,
    folder: &Path,
    publications: &Publications,
    bounds: &mut Bounds,
) {
    let state = folder.join("state");
    fs::create_dir_all(&state).expect("a folder for the state");
    let product = Product::start(settings, Some(&state), None).await;
    let (began, cpu_began) = (Instant::now(), Cpu::beside(town.process()));
    let mut memory: Vec<(Duration, u64)> = Vec::new();
    let mut ticks = interval(Duration::from_secs(1));
    let mut prometheus = Prometheus::new(parts(options.domains as u64));
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let (mut most_tasks, mut most_descriptors) = (0, 0);
    while began.elapsed() < Duration::from_secs(options.seconds) {
        ticks.tick().await;
        memory.push((began.elapsed(), meter::resident().0));
        most_tasks = most_tasks.max(tasks());
        most_descriptors = most_descriptors.max(meter::descriptors());
        prometheus.scrape(&product, began.elapsed().as_secs());
    }
    let lag = Lag::of(&product.telemetry);
    // A lag is noted for each look at a domain and at an address.
    cost("looks at domains and addresses", cpu_began, Cpu::beside(town.process()), lag.count);
    lag_rows("", &lag);
    publications_row("", publications.take());
    prometheus.tell(lag.count);
    let half = memory.len() / 2;
    row("RSS slope over the second half, kB a minute", meter::slope(&memory[half..]));
    row("RSS at the end, MB", megabytes(meter::resident().0));
    row("RSS at its peak, MB", megabytes(meter::resident().1));
    row("tasks at the end", tasks() as f64);
    row("… at most", most_tasks as f64);
    row("descriptors at the end", meter::descriptors() as f64);
    row("… at most", most_descriptors as f64);
    row("threads at the end", meter::threads() as f64);
    bounds.hold("looks that began later than a second, share", 1.0 - lag.within(LAG), 0.01);
    let (_, digest) = product.stop().await;
    let protected = deliveries(&digest, "protected") as f64 / options.domains as f64;
    bounds.hold("domains that are not protected, share", 1.0 - protected, 0.0);
}
