//! The matrix beside healthy domains, for as long as it lasts, in the program itself.

use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use smtptls_exporter::terms::Timestamp;
use tokio::time::sleep;

use super::{
    cell::{Fault, Names},
    world::{ALONE, DEADLINE, HEALTHY, Matrix},
};
use crate::{misbehaviours::scrape::Scrape, serve::Served};

/// So many domains of each cell that floods are there at once.
const FLOODS: usize = 8;
/// Between two looks at a domain, and at a mail host.
const INTERVAL: Duration = Duration::from_secs(20);
/// In which every domain of the matrix is seen to have its findings; far beyond what that takes.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long the faults go on after that: a round of looks and more.
const ON: Duration = Duration::from_secs(20);
/// What the end of the last looks may be late, on a machine that has more to do.
const LATE: Duration = Duration::from_secs(5);
/// Sockets to the name server that wait for the next question, as many as questions were under way at once (src/net/resolver).
const IDLE_SOCKETS: usize = 256;
/// What the process may need more while the matrix goes on, in bytes.
///
/// At most 256 probes are under way. One holds at most a policy, a header section and a handshake message, each of up to 64 kB, and hardly
/// ever all of them; what is kept of 400 domains is less than 64 kB each. A flood that is taken whole brings a gigabyte.
const GROWTH: usize = 96 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn healthy_domains_are_seen_as_ever_while_all_others_fail() {
    let _alone = ALONE.lock().await;
    let matrix = Matrix::start(|cell| if cell.fault == Fault::Flood { FLOODS } else { 1 }).await;
    let config = configure(&matrix, &HEALTHY.map(str::to_owned));
    let served = Served::start(&config).await;
    let healthy = |seen: &Scrape| HEALTHY.iter().all(|domain| is(seen, &protected(domain), 1.0));
    let end = Instant::now() + PATIENCE;
    while !healthy(&scrape(&served).await) {
        assert!(Instant::now() < end, "the healthy domains are not protected");
        sleep(Duration::from_millis(100)).await;
    }
    let before = Process::of(&served);

    configure(&matrix, &matrix.domains());
    served.signal("HUP");
    let end = Instant::now() + PATIENCE;
    let mut all_seen_at = None;
    let mut took = Vec::new();
    while all_seen_at.is_none_or(|at: Instant| at.elapsed() < ON) {
        let asked = Instant::now();
        let seen = scrape(&served).await;
        took.push(asked.elapsed());
        assert!(healthy(&seen), "a healthy domain suffers: {:#?}", seen.about(HEALTHY[0]));
        for domain in HEALTHY {
            let age = age(&seen, &format!("smtptls_domain_last_probe_timestamp_seconds{{domain=\"{domain}\"}}"));
            // Where the machine is overloaded all intervals get longer alike. Nobody misses a look.
            let most = (2 * INTERVAL + LATE).as_secs_f64();
            assert!(age < most, "{domain} was not looked at for {age} s");
        }
        assert!(is(&seen, "smtptls_task_panics_total", 0.0), "a task ended by a fault of the program");
        let missing = missing(&matrix, &seen);
        if missing.is_empty() {
            all_seen_at.get_or_insert_with(Instant::now);
        }
        assert!(all_seen_at.is_some() || Instant::now() < end, "never found: {missing:#?}");
        sleep(Duration::from_millis(500)).await;
    }
    // A scrape waits for nobody's deadline. Now and then one waits for the machine.
    took.sort_unstable();
    let usual = took[took.len() / 2];
    assert!(usual < DEADLINE / 4, "scrapes took {took:?}");
    let during = Process::of(&served);
    let growth = during.peak.saturating_sub(before.peak);
    eprintln!(
        "{} domains: {growth} bytes more, {} descriptors (before: {})",
        matrix.domains().len(),
        during.descriptors,
        before.descriptors
    );
    assert!(growth < GROWTH, "{growth} bytes more than before, {GROWTH} are the most");

    configure(&matrix, &HEALTHY.map(str::to_owned));
    served.signal("HUP");
    // Whoever is looked at now may still take its time.
    let end = Instant::now() + 3 * DEADLINE + LATE;
    loop {
        let after = Process::of(&served);
        let open: Vec<String> = matrix
            .listening()
            .filter(|(_, listening)| listening.tally.open() > 0)
            .map(|(faulty, _)| faulty.cell.label())
            .collect();
        if open.is_empty() && after.descriptors <= before.descriptors + IDLE_SOCKETS {
            break;
        }
        assert!(Instant::now() < end, "left open: {open:?}; {} descriptors", after.descriptors);
        sleep(Duration::from_millis(100)).await;
    }
    assert!(healthy(&scrape(&served).await));
}

/// A configuration with these domains. Many of them share an address here, which they would not outside.
fn configure(matrix: &Matrix, domains: &[String]) -> PathBuf {
    let text = matrix.world.config_text(&format!("domains: [{}]\n", domains.join(", ")));
    let often = format!(
        "timeout: {}s\n  interval: {1}s\n  mx_interval: {1}s\n  retry_interval: {1}s\n  policy_retry_interval: {1}s\n  \
         per_address: {2}\n  per_network: {2}",
        DEADLINE.as_secs(),
        INTERVAL.as_secs(),
        2 * FLOODS,
    );
    let resolver = format!("dnssec: trust-ad, timeout: {}s", DEADLINE.as_secs());
    let text = text.replace("timeout: 20s", &often).replace("dnssec: off, timeout: 1s", &resolver);
    let path = matrix.world.file("matrix.yml");
    fs::write(&path, text).unwrap();
    path
}

async fn scrape(served: &Served) -> Scrape {
    let (status, text) = served.get("/metrics").await;
    assert_eq!(status, 200, "{text}");
    Scrape::read(&text)
}

fn is(scrape: &Scrape, series: &str, value: f64) -> bool {
    scrape.value(series).is_some_and(|seen| (seen - value).abs() < f64::EPSILON)
}

fn protected(domain: &str) -> String {
    format!("smtptls_domain_delivery{{domain=\"{domain}\",state=\"protected\"}}")
}

/// How long ago it was, in seconds.
fn age(scrape: &Scrape, series: &str) -> f64 {
    let now = smtptls_exporter::net::now().since(Timestamp::default()).as_secs_f64();
    now - scrape.value(series).unwrap_or_default()
}

/// The claimed findings that are not there, with their domains.
fn missing(matrix: &Matrix, seen: &Scrape) -> Vec<String> {
    let mut found: BTreeSet<(&str, &str)> = BTreeSet::new();
    for (family, subject) in [("smtptls_finding", "domain"), ("smtptls_mx_finding", "mx")] {
        let samples = seen.families.get(family).map(|family| family.samples.as_slice()).unwrap_or_default();
        found.extend(samples.iter().map(|sample| (sample.labels[subject].as_str(), sample.labels["code"].as_str())));
    }
    let has = |names: &Names, code: &str| {
        let end = format!(".{}", names.domain);
        found.iter().any(|(subject, known)| *known == code && (*subject == names.domain || subject.ends_with(&end)))
    };
    let mut missing = Vec::new();
    for faulty in &matrix.faulty {
        for names in &faulty.names {
            let codes = faulty.cell.findings.iter().filter(|code| !has(names, code));
            missing.extend(codes.map(|code| format!("{}: {code}", names.domain)));
        }
    }
    missing
}

/// What the system says of the running program.
struct Process {
    /// The most that was ever resident, in bytes.
    peak: usize,
    descriptors: usize,
}

impl Process {
    fn of(served: &Served) -> Self {
        let folder = format!("/proc/{}", served.process());
        let status = fs::read_to_string(format!("{folder}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let kilobytes: usize = line.trim().trim_end_matches(" kB").parse().unwrap();
        let descriptors = fs::read_dir(format!("{folder}/fd")).unwrap().count();
        Self { peak: kilobytes << 10, descriptors }
    }
}
