//! How long a scrape takes: `cargo bench --bench scrape`.
//!
//! For 1,000 and 10,000 domains, each with a policy and two mail hosts of its own with two addresses each: the first
//! rendering, the first scrape after it, a later scrape, and both again after one domain changed. The middle of several
//! runs, in milliseconds.
#![allow(clippy::print_stdout, clippy::expect_used, reason = "a program for the person at the terminal")]

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
    time::{Duration, Instant},
};

use smtptls_exporter::{
    facts::{
        AddressObservation, CertificateFacts, ChainFacts, DnssecSight, KeyFacts, PathToRoot, PhaseTimes, SmtpOutcome,
        TlsFacts, TlsVersion,
    },
    metrics::{Exposition, Level},
    monitor::{DomainState, HostState, Snapshot, Telemetry},
    terms::{MxHost, PolicyDomain, PolicyId, Timestamp},
    verdict::{
        AddressAssessment, Assessment, CertificateAssessment, Code, DnssecStates, HistoryAssessment, HostDane,
        MxAssessment, Outcome, PathAssessment, PolicyAssessment, Reach, RecordAssessment, Security, SenderState,
        Senders, StarttlsState, State, TlsRptAssessment,
    },
};

const NOW: Timestamp = Timestamp::from_unix_seconds(1_795_464_000);
const RUNS: usize = 9;

fn main() {
    let telemetry = Telemetry::new().expect("the counters are sound");
    println!("domains  series     MB  render all  first scrape  later scrape  update of one  scrape after it");
    for domains in [1_000, 10_000] {
        let mut runs: Vec<[Duration; 5]> = Vec::new();
        let (mut series, mut bytes) = (0, 0);
        for _ in 0..RUNS {
            let mut snapshot = snapshot(domains);
            let exposition = Exposition::new(Level::Normal);
            let render = time(|| exposition.update(&snapshot));
            let first = time(|| exposition.page(&telemetry));
            let later = time(|| exposition.page(&telemetry));
            let changed = snapshot.domains.iter().nth(domains / 2).map(|known| snapshot.open(known));
            if let Some(changed) = changed {
                snapshot.put(Arc::new((*changed).clone()));
            }
            let update = time(|| exposition.update(&snapshot));
            let after = time(|| exposition.page(&telemetry));
            runs.push([render, first, later, update, after]);
            let page = exposition.page(&telemetry);
            bytes = page.subjects.len() + page.own.len();
            series = page.subjects.split(|byte| *byte == b'\n').filter(|line| !line.starts_with(b"#")).count();
        }
        let middle = |column: usize| {
            let mut times: Vec<_> = runs.iter().filter_map(|run| run.get(column)).collect();
            times.sort();
            times.get(RUNS / 2).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
        };
        println!(
            "{domains:7}  {series:6}  {:5.1}  {:10.2}  {:12.2}  {:12.2}  {:13.2}  {:15.2}",
            bytes as f64 / 1e6,
            middle(0),
            middle(1),
            middle(2),
            middle(3),
            middle(4)
        );
    }
}

fn time<T>(work: impl FnOnce() -> T) -> Duration {
    let began = Instant::now();
    std::hint::black_box(work());
    began.elapsed()
}

fn snapshot(domains: usize) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for number in 0..domains {
        let domain = PolicyDomain::parse(&format!("customer-{number:05}.example")).expect("a name");
        let mut mx = Vec::new();
        for preference in [10, 20] {
            let host = MxHost::parse(&format!("mx{preference}.{domain}")).expect("a name");
            let paths: Vec<_> = addresses(number, preference).map(|address| Arc::new(path(&host, address))).collect();
            mx.push(MxAssessment {
                target: host.to_string(),
                host: Some(host.clone()),
                preference,
                implicit: false,
                in_policy: Some(true),
                lookup: None,
                addresses: paths.iter().map(as_path_of_domain).collect(),
                dane: HostDane::new(None, None, false),
                skipped: 0,
            });
            let state = HostState {
                host: host.clone(),
                domains: 1,
                domains_enforcing: 1,
                findings: BTreeSet::from([Code::CertificateExpiring]),
                lookup: None,
                dane: HostDane::new(None, None, false),
                paths,
                skipped: 0,
            };
            snapshot.put_host(Arc::new(state));
        }
        let state = DomainState {
            domain: domain.clone(),
            group: "customers".to_owned(),
            interval: Duration::from_secs(600),
            due_at: None,
            observation: None,
            assessment: Some(Arc::new(assessment(&domain, mx))),
            last_success_at: Some(NOW),
            reports: None,
            shown: BTreeMap::new(),
        };
        snapshot.put(Arc::new(state));
    }
    snapshot
}

fn addresses(number: usize, preference: u16) -> impl Iterator<Item = IpAddr> {
    let number = u32::try_from(number).unwrap_or(0) * 100 + u32::from(preference);
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

fn assessment(domain: &PolicyDomain, mx: Vec<MxAssessment>) -> Assessment {
    let paths = |outcome| SenderState::from_paths([outcome; 4].into_iter().collect());
    Assessment {
        reports: None,
        history: HistoryAssessment::default(),
        domain: domain.clone(),
        checked_at: NOW,
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
            last_success_at: Some(NOW),
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
