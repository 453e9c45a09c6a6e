//! What the store costs: `cargo bench --bench store`.
//!
//! A year of domains that have a mail host with one address and a policy host each, at the default intervals, with a renewal of
//! each certificate every sixty days: bytes on the disk, CPU time a probe, and what a start takes. The store writes as the monitor
//! does: what shows nothing new four times a day, a survey once a day, what is new at once.
//!
//! Then reports, in batches: how many a second are on the disk and counted, where all are new and where half of them are there
//! already; and what they take on the disk. `cargo bench --bench store -- reports` does that alone.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing)]
#![allow(clippy::panic, clippy::cast_precision_loss, dead_code, reason = "a program for the person at the terminal")]

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use smtptls_exporter::{
    facts::{Authentication, ChainFacts, Handshake, Offer, Provenance, Reporter, TlsSurvey, Transport, Vantage},
    protocol::tls_rpt::{FailureDetail, PolicyType, ReportedPolicy, ResultType, TlsReport},
    store::{
        self, Batch, Bounds, DomainRow, Filed, HostRow, IncomingReport, Packed, ReportBatch, Store, StoredAddress,
        StoredDomain, StoredHost,
    },
    terms::{MxHost, Octets, PolicyDomain, Timestamp},
    verdict::{Change, DomainHistory, HostHistory, Pace},
};

#[path = "../tests/suite/verdict/case.rs"]
mod case;

/// The defaults of the configuration.
const PACE: Pace = Pace { interval: Duration::from_secs(600), retry: Duration::from_secs(60) };
const DOMAINS: usize = 20;
const DAYS: u32 = 365;
/// Writes of what shows nothing new.
const ROUNDS: u32 = 4;
/// A domain and its host every ten minutes, the address every thirty, a survey.
const PROBES_A_DAY: u32 = 144 + 144 + 48 + 1;
/// Reports: in a batch, batches, domains that they are about, and senders.
const BATCH: usize = 500;
const BATCHES: usize = 100;
const REPORT_DOMAINS: usize = 100;
const REPORTERS: usize = 50;
/// Rows in a batch, and the bytes of a domain on shared mail hosts: its state, and what lists and scrapes show of it.
const ROWS: usize = 256;
const STATE: usize = 430;
const FACE: usize = 400;
/// A leaf and an intermediate as they are seen today, and a root on top.
const CHAIN: [usize; 3] = [1300, 1300, 1400];

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a thread");
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(place) = arguments.iter().position(|argument| argument == "shared") {
        let rows = arguments.get(place + 2).map_or(Ok(100_000), |rows| rows.parse());
        runtime.block_on(shared(&arguments[place + 1], rows.expect("a number of rows")));
        return;
    }
    if !std::env::args().any(|argument| argument == "reports") {
        runtime.block_on(year());
    }
    for again in [false, true] {
        runtime.block_on(reports(again));
    }
}

/// Files reports of many senders about many domains, a batch after the other; with `again`, each batch brings half of the one
/// before once more.
async fn reports(again: bool) {
    let folder = tempfile::TempDir::new().expect("a folder");
    let store = store::open(folder.path(), case::NOW).await.expect("a store").store;
    let new = file(&*store, again).await;
    store.close().await;
    let size = fs::metadata(folder.path().join("state.db")).map_or(0, |file| file.len()) as f64;
    println!("bytes on the disk a report          {:8.0}", size / new as f64);
    println!("MB a year of a domain, {REPORTERS} senders   {:8.1}", size / new as f64 * (REPORTERS * 365) as f64 / 1e6);
}

/// Files the reports, and says how many were new.
async fn file(store: &dyn Store, again: bool) -> usize {
    let (mut filing, mut slowest, mut new) = (Duration::ZERO, Duration::ZERO, 0);
    let began = cpu();
    let mut making = Duration::ZERO;
    for batch in 0..BATCHES {
        let begin = cpu();
        let fresh = if again { BATCH / 2 } else { BATCH };
        let numbers = (batch * fresh..(batch + 1) * fresh).chain(if again && batch > 0 {
            (batch - 1) * fresh..batch * fresh
        } else {
            0..0
        });
        let reports = ReportBatch { reports: numbers.map(report).collect(), ..ReportBatch::default() };
        making += cpu() - begin;
        let start = Instant::now();
        let filed = store.file_reports(Arc::new(reports), case::NOW).await.expect("filed");
        filing += start.elapsed();
        slowest = slowest.max(start.elapsed());
        new += filed.outcomes.iter().filter(|outcome| **outcome == Filed::New).count();
        assert!(filed.outcomes.iter().all(|outcome| matches!(outcome, Filed::New | Filed::Duplicate)));
    }
    let worked = cpu() - began - making;
    let handed = if again { BATCHES * BATCH - BATCH / 2 } else { BATCHES * BATCH };
    assert_eq!(new, if again { BATCHES * BATCH / 2 } else { handed });
    println!();
    println!("{handed} reports in batches of {BATCH}, {new} of them new");
    println!("filed a second, each batch durable  {:8.0}", handed as f64 / filing.as_secs_f64());
    println!("CPU a report, microseconds          {:8.1}", worked.as_secs_f64() * 1e6 / handed as f64);
    println!("slowest batch, ms                   {:8.1}", slowest.as_secs_f64() * 1e3);
    new
}

/// Writes and reads the rows of a large fleet, and files reports, in a database of PostgreSQL.
async fn shared(url: &str, rows: usize) {
    let store = store::open_shared(url).await.expect("a store").store;
    let name = |number: usize| PolicyDomain::parse(&format!("d{number:07}.example")).expect("a name");
    let row = |number: usize| DomainRow {
        domain: name(number),
        state: Packed::from_bytes(noise(number as u64, STATE)),
        face: Some(noise(!(number as u64), FACE).into()),
        saved_at: None,
    };
    for round in ["new", "known already"] {
        let (mut writing, mut slowest, began) = (Duration::ZERO, Duration::ZERO, cpu());
        for first in (0..rows).step_by(ROWS) {
            let domains = (first..rows.min(first + ROWS)).map(row).collect();
            let batch = Arc::new(Batch { domains, ..Batch::default() });
            let start = Instant::now();
            store.write(batch, case::NOW).await.expect("written");
            writing += start.elapsed();
            slowest = slowest.max(start.elapsed());
        }
        println!();
        println!("{rows} domains of {STATE} and {FACE} bytes, {round}, {ROWS} a batch");
        println!("written a second, each batch durable {:7.0}", rows as f64 / writing.as_secs_f64());
        println!("CPU a row, microseconds             {:8.1}", (cpu() - began).as_secs_f64() * 1e6 / rows as f64);
        println!("slowest batch, ms                   {:8.1}", slowest.as_secs_f64() * 1e3);
    }
    let names: Vec<PolicyDomain> = (0..rows).map(name).collect();
    let (start, began) = (Instant::now(), cpu());
    let read = store.domains(&names).await.expect("read");
    println!("all of them read, s                 {:8.2}", start.elapsed().as_secs_f64());
    println!("CPU of that, s                      {:8.2}", (cpu() - began).as_secs_f64());
    assert_eq!(read.len(), rows);
    let start = Instant::now();
    assert_eq!(store.domains(&names[..names.len().min(100)]).await.expect("read").len(), rows.min(100));
    println!("a hundred of them, ms               {:8.2}", start.elapsed().as_secs_f64() * 1e3);
    store.trim(bounds(), case::NOW).await.expect("trimmed");
    println!("bytes in the database a domain      {:8.0}", store.size() as f64 / rows as f64);
    let before = store.size();
    let new = file(&*store, false).await;
    store.trim(bounds(), case::NOW).await.expect("trimmed");
    println!("bytes in the database a report      {:8.0}", (store.size() - before) as f64 / new as f64);
    store.close().await;
}

/// A report of one of the senders about one of the domains, a day each: as Google's, with a policy and a failure in one of ten.
fn report(number: usize) -> IncomingReport {
    let (domain, sender) = (number % REPORT_DOMAINS, number / REPORT_DOMAINS % REPORTERS);
    let day = number / REPORT_DOMAINS / REPORTERS;
    let begin = case::NOW - case::DAY * u32::try_from(day).expect("few days");
    let name = format!("d{domain}.example");
    let sessions = noise(number as u64 + 1, 2);
    let failed = if number.is_multiple_of(10) { u64::from(sessions[1] % 5) + 1 } else { 0 };
    let failure = FailureDetail {
        result_type: ResultType::CertificateExpired,
        sessions: failed,
        sending_ip: Some(std::net::Ipv4Addr::new(192, 0, 2, sessions[0]).into()),
        receiving_mx: Some(format!("mx.{name}")),
        ..FailureDetail::default()
    };
    let lines = ["version: STSv1", "mode: enforce", "max_age: 604800"].map(str::to_owned).into_iter();
    let policy = ReportedPolicy {
        policy_type: PolicyType::Sts,
        domain: Some(name.clone()),
        mx: vec![format!("mx.{name}")],
        policy_string: lines.chain([format!("mx: mx.{name}")]).collect(),
        successful: u64::from(sessions[0]),
        failed,
        failures: if failed > 0 { vec![failure] } else { Vec::new() },
    };
    let reporter = PolicyDomain::parse(&format!("s{sender}.example")).unwrap();
    let report = TlsReport {
        organization: Some(format!("Sender {sender} Inc.")),
        contact: Some(format!("smtp-tls-reporting@s{sender}.example")),
        report_id: Some(format!("{begin}_{name}")),
        begin: Some(begin),
        end: Some(begin + case::DAY),
        policies: vec![policy.clone()],
        quirks: Default::default(),
    };
    let provenance = Provenance {
        transport: Transport::Mail,
        authentication: Authentication::Dkim,
        reporter: Reporter::Verified(reporter),
        arrived_at: case::NOW,
        source: format!("<{number}.{sender}@s{sender}.example>"),
    };
    let label = if sender < 20 { format!("s{sender}.example") } else { Reporter::OTHER.to_owned() };
    IncomingReport {
        report,
        provenance,
        label,
        shares: vec![(PolicyDomain::parse(&name).unwrap(), vec![policy])],
        late: false,
    }
}

async fn year() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let opened = store::open(folder.path(), case::NOW).await.expect("a store");
    let store = opened.store;
    let mut fleet: Vec<Subject> = (0..DOMAINS).map(Subject::new).collect();
    let size = || fs::metadata(folder.path().join("state.db")).map_or(0, |file| file.len()) as f64;
    let (mut folding, mut slowest) = (Duration::ZERO, Duration::ZERO);
    let began = cpu();
    let mut writes = 0;
    let mut after_a_day = 0.0;
    for day in 0..DAYS {
        for round in 0..ROUNDS {
            let now = case::NOW + case::DAY * day + case::DAY / ROUNDS * round;
            let renewed = round == 0 && day % 60 == 59;
            let fold = Instant::now();
            for subject in &mut fleet {
                subject.see(now, renewed);
            }
            folding += fold.elapsed();
            // The host is written once more a day, for its survey.
            let hosts = fleet.iter().chain(fleet.iter().filter(|_| round == 1));
            let batch = Batch {
                domains: fleet.iter().map(|subject| DomainRow::of(&subject.domain).expect("JSON")).collect(),
                hosts: hosts.map(|subject| HostRow::of(&subject.host).expect("JSON")).collect(),
                changes: fleet.iter_mut().flat_map(|subject| std::mem::take(&mut subject.changes)).collect(),
                fence: None,
            };
            writes += batch.domains.len() + batch.hosts.len();
            let write = Instant::now();
            store.write(Arc::new(batch), now).await.expect("a write");
            slowest = slowest.max(write.elapsed());
        }
        if day == 0 {
            store.trim(bounds(), case::NOW).await.expect("a look at what is too old");
            after_a_day = store.size() as f64;
        }
    }
    let worked = cpu() - began;
    store.trim(bounds(), case::NOW + case::DAY * DAYS).await.expect("a look at what is too old");
    store.close().await;
    let probes = f64::from(PROBES_A_DAY * DAYS) * DOMAINS as f64;
    println!("{DOMAINS} domains, {DAYS} days, {probes} probes, {writes} blobs written");
    println!("bytes a domain after a year         {:8.0}", size() / DOMAINS as f64);
    println!("bytes after a day, log included     {after_a_day:8.0}");
    println!("CPU a probe for store, microseconds {:8.1}", (worked - folding).as_secs_f64() * 1e6 / probes);
    println!("CPU a blob written, microseconds    {:8.1}", (worked - folding).as_secs_f64() * 1e6 / writes as f64);
    println!("slowest write of all domains, ms    {:8.1}", slowest.as_secs_f64() * 1e3);

    let start = Instant::now();
    let store = store::open(folder.path(), case::NOW).await.expect("a store").store;
    let opened = start.elapsed();
    let domains: Vec<PolicyDomain> = fleet.iter().map(|subject| subject.domain.domain.clone()).collect();
    let hosts: Vec<MxHost> = fleet.iter().map(|subject| subject.host.host.clone()).collect();
    let read = store.domains(&domains).await.expect("domains").len() + store.hosts(&hosts).await.expect("hosts").len();
    let loaded = start.elapsed() - opened;
    println!("opening and checking, ms            {:8.1}", opened.as_secs_f64() * 1e3);
    println!("reading a domain and its host, us   {:8.1}", loaded.as_secs_f64() * 1e6 / DOMAINS as f64);
    assert_eq!(read, 2 * DOMAINS);
    store.close().await;
}

const fn bounds() -> Bounds {
    Bounds { retention: Duration::from_secs(2 * 31_557_600), domains: DOMAINS, hosts: DOMAINS }
}

/// A domain with its mail host, as the monitor knows them.
struct Subject {
    domain: StoredDomain,
    host: StoredHost,
    world: smtptls_exporter::facts::Observation,
    changes: Vec<Change>,
    number: usize,
}

impl Subject {
    fn new(number: usize) -> Self {
        let name = PolicyDomain::parse(&format!("d{number}.example")).unwrap();
        let host = MxHost::parse(&format!("mx.d{number}.example")).unwrap();
        let mut subject = Self {
            domain: StoredDomain {
                domain: name,
                history: DomainHistory::default(),
                observation: None,
                hosts: vec![host.clone()],
                skipped_hosts: 0,
                dns_failures: 0,
                policy_failures: 0,
                last_success_at: None,
            },
            host: StoredHost {
                host,
                history: Arc::new(HostHistory::default()),
                observation: None,
                addresses: std::collections::BTreeMap::new(),
                skipped: 0,
            },
            world: case::World::good("enforce").observation(case::NOW),
            changes: Vec::new(),
            number,
        };
        subject.renew(0);
        subject
    }

    /// New certificates of the size of real ones: bytes that do not pack, as keys and signatures do not.
    fn renew(&mut self, serial: u64) {
        let seed = self.number as u64 * 1_000_003 + serial;
        let chain = |seed: u64, chain: &ChainFacts| {
            let mut chain = chain.clone();
            chain.leaf.fingerprint_sha256 = format!("{seed:064x}");
            chain.others = vec![chain.leaf.clone(), chain.leaf.clone()];
            let bytes = |(place, length): (usize, usize)| Octets(noise(seed * 31 + place as u64, length));
            chain.der = CHAIN.into_iter().enumerate().map(bytes).collect();
            Arc::new(chain)
        };
        let domain = Arc::make_mut(&mut self.world.domain);
        for tls in domain.policy.fetches.iter_mut().filter_map(|fetch| fetch.tls.as_mut()) {
            tls.chain = chain(seed * 2, &tls.chain);
        }
        for observation in self.world.hosts.values_mut().flat_map(|host| host.addresses.values_mut()) {
            let observation = Arc::make_mut(observation);
            if let Some(tls) = &mut observation.tls {
                tls.chain = chain(seed * 2 + 1, &tls.chain);
            }
        }
    }

    /// One probe of each kind.
    fn see(&mut self, now: Timestamp, renewed: bool) {
        if renewed {
            self.renew(u64::try_from(now.unix_seconds()).unwrap());
        }
        let mut observation = (*self.world.domain).clone();
        observation.domain = self.domain.domain.clone();
        observation.started_at = now;
        self.changes.extend(self.domain.history.observe(&observation, PACE));
        self.domain.observation = Some(Arc::new(observation));
        self.domain.last_success_at = Some(now);
        let facts = self.world.hosts.values().next().expect("a mail host");
        let mut lookup = (*facts.host).clone();
        lookup.host = self.host.host.clone();
        lookup.at = now;
        let lookup = Arc::new(lookup);
        let history = Arc::make_mut(&mut self.host.history);
        self.changes.extend(history.observe(&lookup, PACE.retry));
        self.host.observation = Some(lookup);
        let (address, latest) = facts.addresses.iter().next().expect("an address");
        let mut latest = (**latest).clone();
        latest.at = now;
        latest.host = self.host.host.clone();
        let tls = latest.tls.clone().expect("a handshake");
        let latest = Arc::new(latest);
        history.compare_tlsa(&latest);
        let path = history.addresses.entry(*address).or_default();
        self.changes.extend(path.observe(&latest, &Vantage::default(), PACE.retry));
        let survey = TlsSurvey {
            host: self.host.host.clone(),
            address: *address,
            at: now,
            duration: None,
            tls10: Offer::Refused,
            tls11: Offer::Refused,
            without_sni: Handshake::Done(tls.clone()),
            unknown_sni: Handshake::Done(tls),
            base_sni: None,
        };
        let known = StoredAddress { latest: Some(latest), survey: Some(Arc::new(survey)), ..StoredAddress::default() };
        self.host.addresses.insert(*address, known);
    }
}

/// Bytes without a pattern.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..length).map(|_| next()).collect()
}

/// The CPU time of this process, all threads, in ticks of a hundredth of a second.
fn cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<u64> = after_name.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
    Duration::from_millis(10 * (fields.get(11).unwrap_or(&0) + fields.get(12).unwrap_or(&0)))
}
