//! Domains lie packed: what is opened is what was judged, nothing is lost in slices, and news of a host reach those that use it.

use std::{
    fmt::Write as _,
    sync::atomic::{AtomicUsize, Ordering},
};

use super::*;
use crate::{
    facts::{PathToRoot, PolicyFetch, TlsFacts, TlsVersion},
    metrics::fixture,
    monitor::{DomainState, HostState, KnownDomain, Rendered, snapshot::AtRest},
    verdict::Tally,
};

mod testers;

/// Shows all that a state holds, and counts how many were judged.
#[derive(Debug)]
struct All {
    domains: AtomicUsize,
    layout: u64,
}

impl Renderer for All {
    fn domain(&self, state: &DomainState, _: &Vantage) -> Rendered {
        self.domains.fetch_add(1, Ordering::Relaxed);
        Rendered { bytes: shown(state).into_bytes().into(), series: 1 }
    }

    fn host(&self, state: &HostState, _: &Vantage) -> Rendered {
        Rendered { bytes: format!("{state:?}").into_bytes().into(), series: 1 }
    }

    fn fingerprint(&self) -> u64 {
        self.layout
    }
}

/// All of a state but when it is due, which is told live, and the changes of delivery: the one that a judgement brings is remembered after
/// it.
fn shown(state: &DomainState) -> String {
    let mut state = DomainState { due_at: None, ..state.clone() };
    if let Some(assessment) = &mut state.assessment {
        Arc::make_mut(assessment).history.delivery_changes = Tally::default();
    }
    format!("{state:?}")
}

struct Bench {
    fleet: Fleet,
    all: Arc<All>,
}

impl Bench {
    fn new(text: &str) -> Self {
        Self::written_in(text, 7)
    }

    fn written_in(text: &str, layout: u64) -> Self {
        let all = Arc::new(All { domains: AtomicUsize::new(0), layout });
        let renderer: Arc<dyn Renderer> = Arc::<All>::clone(&all);
        Self { fleet: fleet(text).render_with(renderer), all }
    }

    /// Two domains that share a healthy host, all of it judged.
    fn settled() -> Self {
        let mut bench = Self::new(TWO);
        for name in ["a.example", "b.example"] {
            look(&mut bench.fleet, name, &[MX]);
        }
        look_up(&mut bench.fleet, MX, &[IP], NOW);
        // Good probes in a row are told apart up to the number that readiness asks for.
        for _ in 0..3 {
            bench.fleet.address_seen(healthy(NOW));
        }
        bench.fleet.refresh(NOW);
        bench.judged();
        bench
    }

    /// How many domains were judged since the last time.
    fn judged(&self) -> usize {
        self.all.domains.swap(0, Ordering::Relaxed)
    }

    /// Whether everything that lies is what is judged when it is opened.
    fn is_as_opened(&self) {
        for known in self.fleet.snapshot.domains.iter() {
            assert!(!matches!(known.state, AtRest::Open(_)));
            assert_eq!(text(known), shown(&self.fleet.snapshot.open(known)), "{}", known.domain());
        }
    }
}

fn text(known: &KnownDomain) -> String {
    String::from_utf8(known.rendered.bytes.to_vec()).unwrap()
}

const MX: &str = "mx.p.example";
const IP: &str = "192.0.2.1";

/// A probe that came all the way.
fn healthy(at: Timestamp) -> AddressObservation {
    let chain = fixture::chain("Test CA", NOW + 60 * DAY, PathToRoot::Trusted { not_after: NOW + 60 * DAY });
    let mut chain = (*chain).clone();
    chain.leaf.names = vec![MX.into()];
    chain.leaf.not_before = NOW - 30 * DAY;
    let tls = TlsFacts {
        version: TlsVersion::Tls13,
        cipher: "TLS_AES_128_GCM_SHA256".into(),
        chain: Arc::new(chain),
        completed: true,
    };
    AddressObservation {
        at,
        capabilities: Some(vec!["STARTTLS".into(), "8BITMIME".into()]),
        tls: Some(tls),
        ..bare(at, SmtpOutcome::Done)
    }
}

fn bare(at: Timestamp, outcome: SmtpOutcome) -> AddressObservation {
    AddressObservation {
        host: host(MX),
        address: ip(IP),
        at,
        duration: Duration::from_millis(5),
        times: PhaseTimes::default(),
        outcome,
        banner: None,
        capabilities: None,
        tls: None,
        cleartext_after_starttls: false,
        said: Vec::new(),
    }
}

fn lookup_of(at: Timestamp) -> HostObservation {
    HostObservation {
        host: host(MX),
        at,
        addresses: addresses(MX, &[IP]),
        tlsa: None,
        resolver_healthy: true,
        dnssec_healthy: true,
    }
}

fn timeout<T>() -> LookupOutcome<T> {
    LookupOutcome::Failed(LookupFailure::Timeout)
}

#[test]
fn what_is_opened_is_what_was_judged() {
    let mut bench =
        Bench::new("domains: [a.example, sub.a.example, b.example, new.example, {domain: c.example, group: x}]");
    let txt = |text: &str| found(vec![vec![Octets::from(text)]]);
    look(&mut bench.fleet, "a.example", &[MX]);
    bench.fleet.domain_seen(seen("b.example", timeout(), txt("v=STSv1; id=1;")), (vec![], 0));
    bench.fleet.domain_seen(seen("c.example", LookupOutcome::NxDomain, txt("v=STSv1; id=1; id=2;")), (vec![], 0));
    look(&mut bench.fleet, "sub.a.example", &[MX, "mx.dark.example", "mx.cut.example"]);
    bench.fleet.refresh(NOW);
    bench.is_as_opened();
    look_up(&mut bench.fleet, MX, &[IP, "192.0.2.2"], NOW);
    look_up(&mut bench.fleet, "mx.dark.example", &[], NOW);
    bench.fleet.address_seen(healthy(NOW));
    probe(&mut bench.fleet, MX, "192.0.2.2", SmtpOutcome::ConnectFailed(ConnectFailure::Refused));
    bench.fleet.refresh(NOW);
    bench.is_as_opened();
    let later = NOW + 3 * HOUR;
    for name in ["a.example", "b.example"] {
        let mut again = seen(name, timeout(), timeout());
        again.started_at = later;
        bench.fleet.domain_seen(again, (vec![], 0));
    }
    bench.fleet.refresh(later);
    let snapshot = Arc::clone(&bench.fleet.snapshot);
    // Those that were not judged now are judged anew, as of now, when they are opened: the same but for what time decides.
    for name in ["a.example", "b.example"] {
        let known = snapshot.domains.get(name).unwrap();
        assert_eq!(text(known), shown(&snapshot.open(known)));
    }
    assert!(snapshot.state(&domain("new.example")).unwrap().assessment.is_none());
    assert_eq!(snapshot.state(&domain("c.example")).unwrap().group, "x");
}

#[test]
fn a_state_that_cannot_be_read_behind_a_good_face_counts_its_hosts_once() {
    let mut before = Bench::settled();
    let mut batch = before.fleet.take_unsaved(true, NOW).unwrap();
    for row in &mut batch.domains {
        row.state = crate::store::Packed::from_bytes(vec![2, 1, 0]);
    }
    let lax = "domains: [a.example, b.example]\nseverities: {tlsrpt-record-missing: error}";
    for (what, text) in [("shown by its face", TWO), ("judged before it is looked at", lax)] {
        let mut after = Bench::new(text);
        after.fleet.restore(batch.domains.clone(), batch.hosts.clone(), NOW);
        after.fleet.refresh(NOW);
        assert_eq!(after.fleet.hosts[&host(MX)].users, 2, "{what}");
        look(&mut after.fleet, "a.example", &[MX]);
        after.fleet.refresh(NOW);
        assert_eq!(after.fleet.hosts[&host(MX)].users, 2, "{what}");
        // One was looked at, the other was not: both leave it.
        after.fleet.configure(settings("domains: [c.example]"), DnssecSight::Off);
        assert!(after.fleet.hosts.is_empty(), "{what}");
    }
}

#[test]
fn a_restart_takes_what_was_shown_and_judges_nothing() {
    let mut before = Bench::settled();
    let shown = Arc::clone(&before.fleet.snapshot);
    let batch = before.fleet.take_unsaved(true, NOW).unwrap();
    assert!(batch.domains.iter().all(|row| row.face.is_some()));

    let mut after = Bench::new(TWO);
    after.fleet.restore(batch.domains.clone(), batch.hosts.clone(), NOW);
    let again = after.fleet.refresh(NOW).unwrap();
    assert_eq!(after.judged(), 0);
    for known in shown.domains.iter() {
        let restored = again.domains.get(known.domain().as_str()).unwrap();
        assert_eq!((text(known), &known.summary), (text(restored), &restored.summary));
    }
    after.is_as_opened();
    let hosts = |snapshot: &Snapshot| format!("{:?}", snapshot.host_states());
    assert_eq!(hosts(&again), hosts(&shown), "with the domains that use it, and what they say of it");

    // Other settings, another renderer, damage: each is judged, and no one loses its past.
    let lax = "domains: [a.example, b.example]\nseverities: {tlsrpt-record-missing: error}";
    for (what, mut other, spoil) in [
        ("settings", Bench::new(lax), None),
        ("a damaged face", Bench::new(TWO), Some(vec![1, 2, 3])),
        ("a face of another version", Bench::new(TWO), Some(vec![99, 2, 3])),
        ("no face", Bench::new(TWO), Some(vec![])),
    ] {
        let mut rows = batch.domains.clone();
        if let Some(face) = spoil {
            rows[0].face = Some(face.into());
        }
        let expected = if what == "settings" { 2 } else { 1 };
        other.fleet.restore(rows, batch.hosts.clone(), NOW);
        other.fleet.refresh(NOW);
        assert_eq!(other.judged(), expected, "{what}");
        other.is_as_opened();
    }
    // A state that cannot be read begins anew, and the others are there.
    let mut rows = batch.domains;
    rows[0].face = None;
    rows[0].state = crate::store::Packed::from_bytes(vec![2, 1, 0]);
    let mut other = Bench::new(TWO);
    let due = other.fleet.restore(rows, batch.hosts, NOW);
    assert_eq!(due.iter().filter(|(target, _)| matches!(target, Target::Domain(_))).count(), 1);
    let snapshot = other.fleet.refresh(NOW).unwrap();
    let known = ["a.example", "b.example"].map(|name| snapshot.state(&domain(name)).unwrap().assessment.is_some());
    assert_eq!(known, [false, true]);
}

#[test]
fn what_was_judged_otherwise_is_shown_until_it_is_judged_again() {
    let mut before = Bench::settled();
    let shown = Arc::clone(&before.fleet.snapshot);
    let batch = before.fleet.take_unsaved(true, NOW).unwrap();
    let visible = |snapshot: &Snapshot| {
        let with_series = snapshot.domains.iter().filter(|known| known.rendered.series > 0 && known.summary.is_some());
        with_series.count()
    };

    let lax = "domains: [a.example, b.example]\nseverities: {tlsrpt-record-missing: error}";
    let mut after = Bench::new(lax);
    after.fleet.restore(batch.domains.clone(), batch.hosts.clone(), NOW);
    let first = after.fleet.refresh_while(NOW, || false).unwrap();
    assert_eq!((after.judged(), visible(&first)), (1, 2), "one at a time, and both are there");
    let old = first.domains.iter().filter(|known| {
        shown.domains.get(known.domain().as_str()).is_some_and(|before| before.rendered == known.rendered)
    });
    assert_eq!(old.count(), 1, "the other as it was");
    let stale = first.domains.get("b.example").unwrap();
    let face = crate::monitor::face::written(stale);
    assert!(face.is_some());
    let row = batch.domains.iter().find(|row| row.domain == *stale.domain()).unwrap();
    let mut again = Bench::new(lax);
    again.fleet.restore(vec![crate::store::DomainRow { face, ..row.clone() }], batch.hosts.clone(), NOW);
    while again.fleet.is_behind() {
        again.fleet.refresh(NOW);
    }
    assert_eq!(again.judged(), 2, "written before it was judged again, it is judged after the next start");
    while after.fleet.is_behind() {
        after.fleet.refresh(NOW);
    }
    assert_eq!(after.judged(), 1);
    after.is_as_opened();
    assert_eq!(after.fleet.snapshot.host(&host(MX)).unwrap().domains, 2);
    assert_eq!(after.fleet.standing, before.fleet.standing, "nobody was counted twice");

    // What is written in another way cannot be read.
    let mut other = Bench::written_in(TWO, 8);
    other.fleet.restore(batch.domains, batch.hosts, NOW);
    assert_eq!(visible(&other.fleet.refresh_while(NOW, || false).unwrap()), 1);
}

#[test]
fn slices_lose_nothing_and_keep_the_order() {
    let names: Vec<String> = (0..700).map(|number| format!("d{number}.example")).collect();
    let mut text = "domains:\n".to_owned();
    names.iter().for_each(|name| writeln!(text, "  - {name}").unwrap());
    let mut bench = Bench::new(&text);
    for name in &names {
        look(&mut bench.fleet, name, &[MX]);
    }
    let mut publications = 0;
    while bench.fleet.is_behind() {
        bench.fleet.refresh_while(NOW, || false).unwrap();
        publications += 1;
        let judged: usize = bench.fleet.snapshot.domains.iter().filter(|known| known.summary.is_some()).count();
        assert_eq!(judged, publications.min(names.len()), "one at a time");
        let turn = publications.min(names.len()) - 1;
        assert!(bench.fleet.snapshot.domains.get(&names[turn]).unwrap().summary.is_some(), "who came first is first");
        assert!(publications < 5_000, "it never ends");
    }
    assert!(bench.fleet.refresh(NOW).is_none());
    bench.judged();
    bench.is_as_opened();
    // What concerns all is judged once for each, whatever comes between.
    bench.fleet.set_dnssec(DnssecSight::Blind);
    for _ in 0..100 {
        bench.fleet.refresh_while(NOW, || false).unwrap();
    }
    assert!(bench.fleet.is_behind());
    look(&mut bench.fleet, &names[5], &[MX]);
    bench.fleet.refresh(NOW);
    assert!((700..=702).contains(&bench.judged()));
    assert!(!bench.fleet.is_behind());
    bench.is_as_opened();
}

#[test]
fn who_is_waited_for_comes_first() {
    let mut bench = Bench::new(TWO);
    look(&mut bench.fleet, "a.example", &[MX]);
    look(&mut bench.fleet, "b.example", &[MX]);
    bench.fleet.prefer(&domain("b.example"));
    let snapshot = bench.fleet.refresh_while(NOW, || false).unwrap();
    assert!(snapshot.domains.get("b.example").unwrap().summary.is_some());
    assert!(bench.fleet.is_open(&domain("a.example")) && !bench.fleet.is_open(&domain("b.example")));
    bench.fleet.refresh(NOW);
    bench.is_as_opened();
}

/// A change that a look at the host brings, and what it is called.
type News = (&'static str, fn(&mut AddressObservation));
type LookupNews = (&'static str, fn(&mut HostObservation));

fn chain_of(seen: &mut AddressObservation) -> &mut crate::facts::ChainFacts {
    Arc::make_mut(&mut seen.tls.as_mut().unwrap().chain)
}

#[test]
fn news_of_an_address_are_judged_and_the_same_again_is_not() {
    let news: [News; 13] = [
        ("the outcome", |seen| *seen = bare(seen.at, SmtpOutcome::StarttlsNotOffered)),
        ("a refused connection", |seen| *seen = bare(seen.at, SmtpOutcome::ConnectFailed(ConnectFailure::Refused))),
        ("a certificate", |seen| chain_of(seen).leaf.fingerprint_sha256 = "ee".repeat(32)),
        ("another certificate of the chain", |seen| {
            let leaf = chain_of(seen).leaf.clone();
            chain_of(seen).others.push(leaf);
        }),
        ("where the chain leads", |seen| chain_of(seen).path = PathToRoot::SelfSigned),
        ("when the path ends", |seen| chain_of(seen).path = PathToRoot::Trusted { not_after: NOW + DAY }),
        ("what could not be read", |seen| chain_of(seen).unreadable = 1),
        ("the version", |seen| seen.tls.as_mut().unwrap().version = TlsVersion::Tls12),
        ("the cipher", |seen| seen.tls.as_mut().unwrap().cipher = "TLS_AES_256_GCM_SHA384".into()),
        ("who holds the key", |seen| seen.tls.as_mut().unwrap().completed = false),
        ("what EHLO offers", |seen| seen.capabilities = Some(vec!["STARTTLS".into(), "REQUIRETLS".into()])),
        ("text after STARTTLS", |seen| seen.cleartext_after_starttls = true),
        ("no TLS", |seen| seen.tls = None),
    ];
    for (what, change) in news {
        let mut bench = Bench::settled();
        let mut now = healthy(NOW + MINUTE);
        change(&mut now);
        bench.fleet.address_seen(now);
        bench.fleet.refresh(NOW + MINUTE);
        assert_eq!(bench.judged(), 2, "{what}");
        bench.is_as_opened();
    }
    let same: [News; 6] = [
        ("the same again", |_| {}),
        ("how long it took", |seen| seen.duration = Duration::from_secs(3)),
        ("its phases", |seen| seen.times.connect = Some(Duration::from_secs(1))),
        ("the banner", |seen| seen.banner = Some(Octets::from("mx ESMTP 1795464000"))),
        ("what was said", |seen| {
            let said = crate::facts::Said {
                phase: crate::facts::Phase::Ehlo,
                command: "EHLO x".into(),
                code: 250,
                text: Octets::from("y"),
                cut: false,
            };
            seen.said = vec![said];
        }),
        ("the order of what is offered", |seen| seen.capabilities.as_mut().unwrap().reverse()),
    ];
    for (what, change) in same {
        let mut bench = Bench::settled();
        let mut now = healthy(NOW + 4 * MINUTE);
        change(&mut now);
        bench.fleet.address_seen(now.clone());
        let snapshot = bench.fleet.refresh(NOW + 4 * MINUTE).unwrap();
        assert_eq!(bench.judged(), 0, "{what}");
        let shown = &snapshot.host(&host(MX)).unwrap().paths[0].latest;
        assert_eq!(shown.as_deref(), Some(&now), "the host shows it all the same");
        let seen = snapshot.state(&domain("a.example")).unwrap().assessment.clone().unwrap();
        assert_eq!(seen.mx[0].addresses[0].path.latest.as_deref(), Some(&now), "and so does who opens a domain");
    }
}

#[test]
fn thresholds_that_a_host_crosses_are_news() {
    let refused = |at| bare(at, SmtpOutcome::ConnectFailed(ConnectFailure::Refused));
    let silent = |at| bare(at, SmtpOutcome::Timeout(crate::facts::Phase::Banner));
    for failing in [refused, silent] as [fn(Timestamp) -> AddressObservation; 2] {
        let mut bench = Bench::settled();
        for round in 1..5 {
            let at = NOW + round * HOUR;
            bench.fleet.address_seen(failing(at));
            bench.fleet.refresh(at);
            assert_eq!(bench.judged(), 2, "failure {round}");
            bench.is_as_opened();
        }
    }
    // A failure that lasts is no news any more, at whatever stage; what ends it is.
    let plain = |at| bare(at, SmtpOutcome::StarttlsNotOffered);
    for failing in [refused, silent, plain] as [fn(Timestamp) -> AddressObservation; 3] {
        let mut bench = Bench::settled();
        let mut judged = Vec::new();
        for round in 1..12 {
            bench.fleet.address_seen(failing(NOW + round * HOUR));
            bench.fleet.refresh(NOW + round * HOUR);
            judged.push(bench.judged());
        }
        assert_eq!(judged[..3], [2; 3], "the thresholds");
        assert_eq!(judged[9..], [0; 2], "the tenth equal failure");
        bench.fleet.address_seen(healthy(NOW + 12 * HOUR));
        bench.fleet.refresh(NOW + 12 * HOUR);
        assert_eq!(bench.judged(), 2);
    }
    // Address lookups that fail, up to where they last.
    let mut bench = Bench::settled();
    for round in 1..4 {
        let mut failed = lookup_of(NOW + round * HOUR);
        failed.addresses.ip4 = Some(lookup(MX, LookupOutcome::Failed(LookupFailure::ServFail)));
        bench.fleet.host_seen(failed, Some(20), NOW + round * HOUR);
        bench.fleet.refresh(NOW + round * HOUR);
        assert_eq!(bench.judged(), 2, "lookup {round}");
    }
}

#[test]
fn news_of_a_lookup_are_judged_and_the_same_again_is_not() {
    fn tlsa(data: &str, security: Security) -> Option<TlsaObservation> {
        let record = TlsaRecord { usage: 3, selector: 1, matching: 1, data: Octets::from(data) };
        let lookup = Lookup { security, ..lookup(MX, found(vec![record])) };
        Some(TlsaObservation { alias: None, lookups: vec![TlsaLookup { base: host(MX), lookup }] })
    }
    let news: [LookupNews; 7] = [
        ("another address", |seen| seen.addresses = addresses(MX, &[IP, "192.0.2.9"])),
        ("no address", |seen| seen.addresses = addresses(MX, &[])),
        ("DNSSEC", |seen| seen.addresses.ip4.as_mut().unwrap().security = Security::Secure),
        ("TLSA records", |seen| seen.tlsa = tlsa("x", Security::Secure)),
        ("an alias", |seen| seen.addresses.ip4.as_mut().unwrap().cname = vec!["other.example".into()]),
        ("whether the resolver is healthy", |seen| seen.resolver_healthy = false),
        ("whether DNSSEC is", |seen| seen.dnssec_healthy = false),
    ];
    for (what, change) in news {
        let mut bench = Bench::settled();
        let mut now = lookup_of(NOW + MINUTE);
        change(&mut now);
        bench.fleet.host_seen(now, Some(20), NOW + MINUTE);
        bench.fleet.refresh(NOW + MINUTE);
        assert!(bench.judged() >= 2, "{what}");
        bench.is_as_opened();
    }
    // What lies beyond the cap, and a survey.
    let mut bench = Bench::settled();
    bench.fleet.host_seen(
        HostObservation { addresses: addresses(MX, &[IP, "192.0.2.9"]), ..lookup_of(NOW) },
        Some(1),
        NOW,
    );
    bench.fleet.refresh(NOW);
    assert_eq!(bench.judged(), 2);
    bench.fleet.survey_seen(survey(MX, IP, Offer::Accepted));
    bench.fleet.refresh(NOW);
    assert_eq!(bench.judged(), 2, "a survey");

    let same: [LookupNews; 4] = [
        ("the same again", |_| {}),
        ("a TTL", |seen| {
            seen.addresses.ip4.as_mut().unwrap().outcome = LookupOutcome::Records { records: vec![ip(IP)], ttl: 7 };
        }),
        ("when it was asked", |seen| seen.addresses.ip4.as_mut().unwrap().at = NOW + MINUTE),
        ("who answered", |seen| {
            seen.addresses.ip4.as_mut().unwrap().asked = Asked::new(Duration::from_millis(9), Some(ip("192.0.2.53")));
        }),
    ];
    for (what, change) in same {
        let mut bench = Bench::settled();
        let mut now = lookup_of(NOW + MINUTE);
        change(&mut now);
        bench.fleet.host_seen(now, Some(20), NOW + MINUTE);
        bench.fleet.refresh(NOW + MINUTE);
        assert_eq!(bench.judged(), 0, "{what}");
    }
    // The order of addresses.
    let mut bench = Bench::settled();
    let both = |one: &str, other: &str| HostObservation { addresses: addresses(MX, &[one, other]), ..lookup_of(NOW) };
    bench.fleet.host_seen(both(IP, "192.0.2.9"), Some(20), NOW);
    bench.fleet.refresh(NOW);
    bench.judged();
    bench.fleet.host_seen(both("192.0.2.9", IP), Some(20), NOW);
    bench.fleet.refresh(NOW);
    assert_eq!(bench.judged(), 0);
}

#[test]
fn what_domains_say_of_a_host_is_counted_as_they_come_and_go() {
    let mut bench = Bench::settled();
    let counted =
        |bench: &Bench| bench.fleet.snapshot.host(&host(MX)).map(|state| (state.domains, state.findings.clone()));
    bench.fleet.address_seen(bare(NOW, SmtpOutcome::StarttlsNotOffered));
    bench.fleet.refresh(NOW);
    let (domains, findings) = counted(&bench).unwrap();
    assert_eq!(domains, 2);
    assert!(findings.contains(&Code::StarttlsNotOffered));
    bench.fleet.configure(settings("domains: [b.example]"), DnssecSight::Off);
    bench.fleet.refresh(NOW);
    assert_eq!(counted(&bench).map(|(domains, _)| domains), Some(1));
    look(&mut bench.fleet, "b.example", &["mx.b.example"]);
    bench.fleet.refresh(NOW);
    assert_eq!(counted(&bench), None, "nobody uses it any more");
    assert!(!bench.fleet.standing.contains_key(&host(MX)));
}

/// What a healthy domain on shared mail hosts takes, by what can be counted: the two pointers of the roll, the shelf's place, the subject
/// with its counters, and what it points to alone.
#[test]
fn a_healthy_domain_on_shared_hosts_lies_in_two_kilobytes() {
    const METRICS: usize = 400;
    let mut bench = Bench::settled();
    let fetch = PolicyFetch {
        address: ip("192.0.2.80"),
        at: NOW,
        ..fixture::healthy().policy.host.unwrap().fetches[0].clone()
    };
    let mut observation = seen(
        "a.example",
        found(vec![MxRecord { preference: 10, target: MxTarget::Host(host(MX)) }]),
        found(vec![vec![Octets::from("v=STSv1; id=20261126000000;")]]),
    );
    observation.tlsrpt_record =
        lookup("_smtp._tls.a.example", found(vec![vec![Octets::from("v=TLSRPTv1; rua=mailto:tlsrpt@a.example")]]));
    observation.policy.addresses = addresses("mta-sts.a.example", &["192.0.2.80"]);
    observation.policy.fetches = vec![fetch];
    bench.fleet.domain_seen(observation, (vec![host(MX)], 0));
    bench.fleet.refresh(NOW);
    let known = bench.fleet.snapshot.domains.get("a.example").unwrap();
    let AtRest::Packed(packed) = &known.state else { panic!("it lies packed") };
    let summary = known.summary.as_ref().unwrap();
    assert_eq!(known.probed, None, "the hosts are not held twice");
    let lists = size_of_val(&*summary.hosts) + size_of_val(&*summary.active);
    // The name is held once for settings, schedule and fleet; the line for the store holds a pointer to it.
    let name = "some-domain-of-a-customer.example".len() + 16;
    let fixed = size_of::<KnownDomain>() + 2 * size_of::<usize>() + 8 + 8 + 32;
    let bytes = fixed + packed.as_bytes().len() + lists + name + METRICS;
    eprintln!(
        "{bytes} bytes: {fixed} fixed, {} packed, {lists} lists, {name} name, {METRICS} metrics",
        packed.as_bytes().len()
    );
    assert!(bytes <= 2_000, "{bytes}");
}
