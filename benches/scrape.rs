//! What a scrape costs: `cargo bench --bench scrape`, for another number of series `cargo bench --bench scrape -- 100000`.
//!
//! Domains on shared mail hosts at level summary, a million series unless it is said. One scrape is streamed as the server streams it,
//! and beside it the same frames are copied: into one buffer that is used again and again, and into fresh memory of the size of the
//! whole. Then compressed, first and again; after a change of one domain and of all; a part; and the same series through the crates
//! prometheus and prometheus-client. Medians of several runs in one process, in milliseconds.
//!
//! `-- --check` is for small sizes: what does not depend on the machine is held, and the other crates are left out.
#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a program for the person at the terminal"
)]

use std::{
    collections::BTreeMap,
    env, fs,
    hint::black_box,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Arc, atomic::AtomicU64},
    time::{Duration, Instant},
};

use hyper::body::Bytes;
use prometheus::{Encoder, GaugeVec, Opts, Registry, TextEncoder};
use prometheus_client::metrics::{family, gauge};
use smtptls_exporter::{
    facts::{
        AddressObservation, CertificateFacts, ChainFacts, DnssecSight, KeyFacts, PathToRoot, PhaseTimes, SmtpOutcome,
        TlsFacts, TlsVersion, Vantage,
    },
    metrics::{Blocks, Encoding, Exposition, Level, Part, Wanted},
    monitor::{DomainState, HostState, KnownDomain, KnownHost, Renderer, Snapshot, Telemetry},
    protocol::mta_sts::{Mode, MxPattern, Policy},
    terms::{MaxAge, MxHost, PolicyDomain, PolicyId, Timestamp},
    verdict::{
        AddressAssessment, Assessment, CertificateAssessment, DnssecStates, HistoryAssessment, HostDane, MxAssessment,
        Outcome, PathAssessment, PolicyAssessment, Reach, RecordAssessment, Security, SenderState, Senders,
        StarttlsState, State, TlsRptAssessment,
    },
};

const NOW: Timestamp = Timestamp::from_unix_seconds(1_795_464_000);
const RUNS: usize = 9;
/// Of a domain on two shared hosts at level summary.
const SERIES_A_DOMAIN: usize = 15;
/// Mail hosts that all of them share, two by two.
const HOSTS: usize = 200;
/// What Prometheus takes of one target.
const PART: usize = 800_000;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let check = arguments.iter().any(|argument| argument == "--check");
    let series = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(1_000_000);
    let domains = series / SERIES_A_DOMAIN;
    let telemetry = Telemetry::new().expect("the counters are sound");
    let blocks = Blocks::new(Level::Summary);
    let exposition = Exposition::new(Arc::clone(&blocks));
    let mut snapshot = rendered(snapshot(domains), &blocks);
    let block_bytes: usize = snapshot.domains.iter().map(|known| known.rendered.bytes.len()).sum();
    exposition.update(Arc::new(snapshot.clone()));

    let scrape = |wanted: Wanted| frames(&exposition, &telemetry, wanted);
    let before = resident();
    let first = time(|| scrape(Wanted::default()));
    let held = resident().saturating_sub(before);
    let all = kept(&exposition, &telemetry);
    let bytes: usize = all.iter().map(Bytes::len).sum();
    let samples: usize = all.iter().map(|frame| lines(frame)).sum();
    let most = all.iter().map(Bytes::len).max().unwrap_or(0);
    println!(
        "{domains} domains on {HOSTS} mail hosts: {samples} samples, {:.1} MB of text; blocks of {:.0} bytes a domain; frames of at most {} kB",
        bytes as f64 / 1e6,
        block_bytes as f64 / domains as f64,
        most / 1000
    );
    println!("memory that the first scrape added and the next ones share: {:.1} MB", held as f64 / 1e6);

    let again = median(|| scrape(Wanted::default()));
    let copied = median(|| copy_by_frames(&all));
    let fresh = median(|| copy_whole(&all, bytes));
    row("scrape, the first one", first);
    row("scrape", again);
    row("copy of the same frames, through one buffer", copied);
    row("copy of the same frames, into fresh memory of that size", fresh);
    println!(
        "scrape / copy: {:.2} through one buffer, {:.2} into fresh memory",
        ratio(again, copied),
        ratio(again, fresh)
    );
    drop(all);

    let gzip = Wanted { encoding: Encoding::Gzip, ..Wanted::default() };
    let (packed, first_gzip) = timed(|| scrape(gzip));
    row("gzip, the first one", first_gzip);
    row("gzip, the second one, which is kept", time(|| scrape(gzip)));
    row("gzip again", median(|| scrape(gzip)));
    println!("gzip: {:.2} MB, 1/{:.0} of the text", packed as f64 / 1e6, bytes as f64 / packed as f64);

    snapshot = look(&snapshot, &blocks, 1);
    row("update after a look at one domain", time(|| exposition.update(Arc::new(snapshot.clone()))));
    row("scrape after it", time(|| scrape(Wanted::default())));
    row("gzip after it", time(|| scrape(gzip)));
    // As many as are looked at in a quarter of a second where all are in half an hour, each on another shelf.
    let few = domains.div_ceil(4 * 1800);
    snapshot = look(&snapshot, &blocks, few);
    row(&format!("update after a look at {few} domains"), time(|| exposition.update(Arc::new(snapshot.clone()))));
    row("scrape after it", time(|| scrape(Wanted::default())));
    row("gzip after it", time(|| scrape(gzip)));
    snapshot = look(&snapshot, &blocks, domains);
    row("update after a look at all domains", time(|| exposition.update(Arc::new(snapshot.clone()))));
    row("scrape after it", time(|| scrape(Wanted::default())));
    row("gzip after it", time(|| scrape(gzip)));

    if series > PART {
        // As near to 800,000 of all as parts of an equal size come.
        let parts = u32::try_from(series.div_ceil(PART)).expect("few parts");
        let part = Wanted { part: Part::new(1, parts).expect("a part"), ..Wanted::default() };
        let (bytes, _) = timed(|| scrape(part));
        row(&format!("part 1 of {parts}, {:.1} MB", bytes as f64 / 1e6), median(|| scrape(part)));
    }
    if check {
        assert!(samples >= domains * SERIES_A_DOMAIN, "a domain has fewer series than it should");
        assert!(block_bytes <= 300 * domains, "a block takes more than 300 bytes");
        assert!(most < 512 << 10, "a frame of {most} bytes is not bounded");
        return;
    }
    others(&exposition, &telemetry);
}

/// The same series in the crates that others use.
fn others(exposition: &Exposition, telemetry: &Telemetry) {
    let text: Vec<u8> = kept(exposition, telemetry).concat();
    let text = String::from_utf8(text).expect("text");
    let subjects = text.lines().filter(|line| line.starts_with("smtptls_") && !line.contains("_bucket"));
    let series: Vec<Series<'_>> = subjects.filter_map(Series::read).collect();
    let before = resident();
    let registry = registry(&series);
    let held = resident().saturating_sub(before);
    let mut size = 0;
    let took = median(|| {
        let mut out = Vec::new();
        TextEncoder::new().encode(&registry.gather(), &mut out).expect("it encodes");
        size = out.len();
        out.len()
    });
    println!(
        "{} series in the crate prometheus: {:.0} MB of memory, {:.1} MB of text",
        series.len(),
        held as f64 / 1e6,
        size as f64 / 1e6
    );
    row("gather and encode, prometheus", took);
    drop(registry);
    let before = resident();
    let registry = client_registry(&series);
    let held = resident().saturating_sub(before);
    let took = median(|| {
        let mut out = String::new();
        prometheus_client::encoding::text::encode(&mut out, &registry).expect("it encodes");
        size = out.len();
        out.len()
    });
    println!(
        "{} series in the crate prometheus-client: {:.0} MB of memory, {:.1} MB of text",
        series.len(),
        held as f64 / 1e6,
        size as f64 / 1e6
    );
    row("encode, prometheus-client", took);
}

struct Series<'a> {
    name: &'a str,
    labels: Vec<(&'a str, &'a str)>,
    value: f64,
}

impl<'a> Series<'a> {
    /// A line of our own text, in which no label needs escaping.
    fn read(line: &'a str) -> Option<Self> {
        let (name, rest) = line.split_once('{')?;
        let (labels, value) = rest.rsplit_once("} ")?;
        let labels = labels.split("\",").map(|label| {
            let (name, value) = label.split_once("=\"")?;
            Some((name, value.trim_end_matches('"')))
        });
        Some(Self { name, labels: labels.collect::<Option<_>>()?, value: value.parse().ok()? })
    }
}

fn registry(series: &[Series<'_>]) -> Registry {
    let registry = Registry::new();
    let mut families: BTreeMap<&str, GaugeVec> = BTreeMap::new();
    for Series { name, labels, value } in series {
        let family = families.entry(*name).or_insert_with(|| {
            let names: Vec<&str> = labels.iter().map(|(name, _)| *name).collect();
            let family = GaugeVec::new(Opts::new(*name, "x"), &names).expect("a family");
            registry.register(Box::new(family.clone())).expect("registered once");
            family
        });
        let values: Vec<&str> = labels.iter().map(|(_, value)| *value).collect();
        family.with_label_values(&values).set(*value);
    }
    registry
}

type ClientFamily = family::Family<Vec<(String, String)>, gauge::Gauge<f64, AtomicU64>>;

fn client_registry(series: &[Series<'_>]) -> prometheus_client::registry::Registry {
    let mut registry = prometheus_client::registry::Registry::default();
    let mut families: BTreeMap<&str, ClientFamily> = BTreeMap::new();
    for Series { name, labels, value } in series {
        let family = families.entry(*name).or_insert_with(|| {
            let family = ClientFamily::default();
            registry.register(*name, "x", family.clone());
            family
        });
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        family.get_or_create(&labels).set(*value);
    }
    registry
}

/// Streams a scrape as the server does: each frame is dropped once it is sent. How many bytes they were.
fn frames(exposition: &Exposition, telemetry: &Telemetry, wanted: Wanted) -> usize {
    let mut bytes = 0;
    exposition.scrape(telemetry, wanted, |frame| {
        bytes += black_box(&frame).len();
        true
    });
    bytes
}

/// The frames of a scrape, kept.
fn kept(exposition: &Exposition, telemetry: &Telemetry) -> Vec<Bytes> {
    let mut all = Vec::new();
    exposition.scrape(telemetry, Wanted::default(), |frame| {
        all.push(Bytes::copy_from_slice(&frame));
        true
    });
    all
}

fn copy_by_frames(all: &[Bytes]) -> usize {
    let mut buffer = Vec::new();
    for frame in all {
        buffer.clear();
        buffer.extend_from_slice(frame);
        black_box(&buffer);
    }
    buffer.len()
}

fn copy_whole(all: &[Bytes], bytes: usize) -> usize {
    let mut whole = Vec::with_capacity(bytes);
    for frame in all {
        whole.extend_from_slice(frame);
    }
    black_box(&whole).len()
}

fn lines(frame: &[u8]) -> usize {
    frame.split(|byte| *byte == b'\n').filter(|line| !line.is_empty() && !line.starts_with(b"#")).count()
}

fn time<T>(work: impl FnOnce() -> T) -> Duration {
    timed(work).1
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    let made = black_box(work());
    (made, began.elapsed())
}

fn median<T>(mut work: impl FnMut() -> T) -> Duration {
    let mut times: Vec<Duration> = (0..RUNS).map(|_| time(&mut work)).collect();
    times.sort();
    times[RUNS / 2]
}

fn row(what: &str, took: Duration) {
    println!("{:9.2} ms  {what}", took.as_secs_f64() * 1000.0);
}

fn ratio(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64()
}

/// Resident memory of this process, in bytes.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<usize>().ok()).unwrap_or(0) * 1024
}

/// The snapshot with what scrapes show of each subject.
fn rendered(snapshot: Snapshot, blocks: &Blocks) -> Snapshot {
    let vantage = Arc::clone(&snapshot.vantage);
    let domain = |known: &Arc<KnownDomain>| {
        let mut known = (**known).clone();
        known.rendered = blocks.domain(&snapshot.open(&known), &vantage);
        Arc::new(known)
    };
    let host = |known: &Arc<KnownHost>| {
        let mut known = (**known).clone();
        known.rendered = blocks.host(&known.state, &vantage);
        Arc::new(known)
    };
    let (domains, hosts) = (snapshot.domains.iter().map(domain).collect(), snapshot.hosts.iter().map(host).collect());
    Snapshot { domains, hosts, ..snapshot }
}

/// The snapshot after a look at so many domains a second later, which lie apart; all was as before.
fn look(snapshot: &Snapshot, blocks: &Blocks, domains: usize) -> Snapshot {
    let apart = snapshot.domains.len().div_ceil(domains.max(1));
    let looked = snapshot.domains.iter().step_by(apart.max(1)).map(|known| {
        let mut state = (*snapshot.open(known)).clone();
        if let Some(assessment) = &mut state.assessment {
            let seen = Arc::make_mut(assessment);
            seen.checked_at = seen.checked_at + Duration::from_millis(1001);
        }
        let mut known = (**known).clone();
        known.rendered = blocks.domain(&state, &snapshot.vantage);
        Arc::new(known)
    });
    Snapshot { domains: snapshot.domains.with(looked.collect::<Vec<_>>(), []), ..snapshot.clone() }
}

fn snapshot(domains: usize) -> Snapshot {
    let vantage = Vantage { dnssec: DnssecSight::Validating, ..Vantage::default() };
    let mut snapshot = Snapshot { vantage: Arc::new(vantage), ..Snapshot::default() };
    let mut hosts = Vec::new();
    for number in 0..HOSTS {
        let host =
            MxHost::parse(&format!("mx{}.cluster{:03}.provider.example", number % 2 + 1, number / 2)).expect("a name");
        let paths: Vec<_> = addresses(number).map(|address| Arc::new(path(&host, address))).collect();
        hosts.push((host.clone(), paths.clone()));
        snapshot.put_host(Arc::new(HostState {
            host,
            domains: domains * 2 / HOSTS,
            domains_enforcing: domains * 2 / HOSTS,
            findings: [].into(),
            lookup: None,
            dane: HostDane::new(None, None, false),
            paths,
            skipped: 0,
            patient_until: None,
        }));
    }
    let policy = Arc::new(Policy {
        mode: Mode::Enforce,
        max_age: MaxAge(604_800),
        mx: vec![MxPattern::parse("*.provider.example").expect("a pattern")],
    });
    for number in 0..domains {
        let domain = PolicyDomain::parse(&format!("customer-{number:06}.example")).expect("a name");
        let pair = number % (HOSTS / 2) * 2;
        let mx = hosts[pair..pair + 2].iter().map(|(host, paths)| MxAssessment {
            target: host.to_string(),
            host: Some(host.clone()),
            preference: 10,
            implicit: false,
            in_policy: Some(true),
            lookup: None,
            addresses: paths.iter().map(as_path_of_domain).collect(),
            dane: HostDane::new(None, None, false),
            skipped: 0,
        });
        // As a schedule spreads them: no two looks begin at the same time.
        let at = NOW + Duration::from_millis(27 * number as u64);
        let state = DomainState {
            domain: domain.clone(),
            group: "customers".to_owned(),
            interval: Duration::from_secs(1800),
            due_at: None,
            observation: None,
            assessment: Some(Arc::new(assessment(&domain, at, &policy, mx.collect()))),
            last_success_at: Some(at),
            reports: None,
            shown: BTreeMap::new(),
        };
        snapshot.put(Arc::new(state));
    }
    snapshot
}

fn addresses(number: usize) -> impl Iterator<Item = IpAddr> {
    let number = u32::try_from(number).unwrap_or(0);
    let ip4 = Ipv4Addr::from_bits(0x0b00_0000 + number);
    let ip6 = Ipv6Addr::from_bits((0x2001_0db8_u128 << 96) + u128::from(number));
    [IpAddr::V4(ip4), IpAddr::V6(ip6)].into_iter()
}

fn as_path_of_domain(path: &Arc<PathAssessment>) -> AddressAssessment {
    AddressAssessment {
        path: Arc::clone(path),
        opportunistic: Outcome::Open,
        sts: Outcome::Secure,
        dane: Outcome::Secure,
        dane_verdict: None,
        dane_word: None,
    }
}

fn assessment(domain: &PolicyDomain, at: Timestamp, policy: &Arc<Policy>, mx: Vec<MxAssessment>) -> Assessment {
    let paths = |outcome| SenderState::from_paths([outcome; 4].into_iter().collect());
    Assessment {
        reports: None,
        history: HistoryAssessment {
            protected_until: Some(at + Duration::from_secs(6 * 86_400)),
            id_stale: Some(false),
            ..HistoryAssessment::default()
        },
        domain: domain.clone(),
        checked_at: at,
        duration: Duration::from_millis(812),
        delivery: State::Protected,
        senders: Senders { opportunistic: paths(Outcome::Open), ..Senders::all(paths(Outcome::Secure)) },
        dnssec_sight: DnssecSight::Validating,
        mx_signatures: None,
        expectations: Vec::new(),
        findings: Vec::new(),
        dnssec: DnssecStates { mx: Security::Secure, sts: Security::Secure, tlsrpt: Security::Secure },
        sts_record: RecordAssessment {
            lookup_success: true,
            present: Some(true),
            valid: Some(true),
            usable: Some(true),
            id: PolicyId::parse("20261123"),
            ttl: Some(3600),
            ..RecordAssessment::default()
        },
        policy: PolicyAssessment {
            deployed: true,
            fetch_success: Some(true),
            last_success_at: Some(at),
            in_force: Some(Arc::clone(policy)),
            http_status: Some(200),
            certificate: Some(certificate()),
            unused_patterns: Some(0),
            ..PolicyAssessment::default()
        },
        mx_lookup_success: true,
        mx_records: Some(mx.len()),
        mx,
        tlsrpt: TlsRptAssessment {
            lookup_success: true,
            present: Some(true),
            valid: Some(true),
            usable: Some(true),
            ..TlsRptAssessment::default()
        },
        own_side: false,
        unseen: Vec::new(),
    }
}

fn path(host: &MxHost, address: IpAddr) -> PathAssessment {
    let certificate = certificate();
    let observation = Arc::new(AddressObservation {
        host: host.clone(),
        address,
        at: NOW,
        duration: Duration::from_millis(61),
        times: PhaseTimes::default(),
        outcome: SmtpOutcome::Done,
        banner: None,
        capabilities: Some(vec!["STARTTLS".to_owned()]),
        tls: Some(TlsFacts {
            version: TlsVersion::Tls13,
            cipher: "TLS13_AES_256_GCM_SHA384".to_owned(),
            chain: Arc::clone(&certificate.chain),
            completed: true,
        }),
        cleartext_after_starttls: false,
        said: Vec::new(),
    });
    PathAssessment {
        survey: None,
        dane: None,
        dane_valid: Some(true),
        another_answered: true,
        address,
        latest: Some(Arc::clone(&observation)),
        reach: Reach::Up,
        judged: Some(observation),
        starttls: Some(StarttlsState::Ok),
        certificate: Some(certificate),
        consecutive_failures: 0,
        last_success_at: Some(NOW),
        result_type: None,
    }
}

fn certificate() -> CertificateAssessment {
    let not_after = NOW + Duration::from_secs(60 * 86_400);
    let leaf = CertificateFacts {
        subject: "CN=mx".to_owned(),
        issuer: "CN=Test CA".to_owned(),
        issuer_cn: "Test CA".to_owned(),
        common_name: None,
        names: Vec::new(),
        serial: "0a1b2c".to_owned(),
        not_before: NOW,
        not_after,
        fingerprint_sha256: "ab".repeat(32),
        spki_sha256: "cd".repeat(32),
        key: KeyFacts { algorithm: "ec".to_owned(), bits: 256 },
        signature_algorithm: "ecdsa-with-SHA256".to_owned(),
        self_issued: false,
        is_ca: false,
    };
    let chain = ChainFacts {
        leaf,
        others: Vec::new(),
        der: Vec::new(),
        unreadable: 0,
        path: PathToRoot::Trusted { not_after },
    };
    CertificateAssessment { chain: Arc::new(chain), chain_valid: true, name_match: true, in_dates: true }
}
