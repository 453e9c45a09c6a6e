//! A resolver that flaps: it answers, says nothing and says SERVFAIL by turns, within one look and from look to look.
//!
//! What could not be looked up is not gone, and is no fault of the domain: what is known stays as it is in every snapshot.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use smtptls_exporter::{
    config::{DnssecMode, ServerSetting, Settings},
    monitor::Snapshot,
    verdict::{Code, Severity, State},
};
use tokio::{
    net::UdpSocket,
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    monitor::{Running, assessment},
    world::{dns::Behaviour, mail_world::MailWorld},
};

const DOMAINS: [&str; 2] = ["one.example", "two.example"];
/// Between two looks, after a failure too.
const INTERVAL: Duration = Duration::from_millis(500);
/// For one lookup, all tries included.
const LOOKUP: Duration = Duration::from_millis(900);
/// Some twenty looks at each domain.
const WATCHED: Duration = Duration::from_secs(12);
/// The most questions of one look: four records, two addresses, where reports go to, and TLSA records that are asked for twice.
const QUESTIONS: usize = 10;
/// How often a question is sent at the most.
const TRIES: usize = 3;

const ANSWERS: Behaviour = Behaviour::Delay(Duration::ZERO);

/// Every lookup but the first of three fails, some after a silence.
const BY_TURNS: &[Behaviour] = &[ANSWERS, Behaviour::Silent, Behaviour::ServFail, Behaviour::ServFail];
/// More failures in a row than any rule lets pass, while other names are answered.
const MOSTLY: &[Behaviour] = &[
    ANSWERS,
    Behaviour::ServFail,
    Behaviour::ServFail,
    Behaviour::ServFail,
    Behaviour::ServFail,
    Behaviour::ServFail,
    Behaviour::ServFail,
];

/// Often, and with answers that nobody keeps.
fn settings(world: &MailWorld) -> Settings {
    world.dns.uncached();
    world.dns.authentic(true);
    let mut settings = world.settings(&DOMAINS);
    settings.resolver.dnssec = DnssecMode::TrustAd;
    settings.resolver.timeout = LOOKUP;
    let probe = &mut settings.probe;
    (probe.interval, probe.retry_interval) = (INTERVAL, INTERVAL);
    settings
}

/// What must be so in every snapshot, whatever the resolver does: all is known that was, and nobody is blamed for more than a look.
fn stands(snapshot: &Snapshot) {
    for domain in DOMAINS {
        let seen = assessment(snapshot, domain);
        assert_eq!(seen.delivery, State::Protected, "{domain}: {:#?}", seen.findings);
        assert_eq!((seen.sts_record.present, seen.tlsrpt.present), (Some(true), Some(true)), "{domain}");
        assert_eq!((seen.mx_records, seen.mx.len()), (Some(1), 1), "{domain}");
        assert_eq!(seen.mx[0].addresses.len(), 1, "{domain}");
        assert!(seen.policy.in_force.is_some(), "{domain}");
        for finding in &seen.findings {
            let of_lookups =
                matches!(finding.code, Code::DnsLookupFailed | Code::DaneLookupFailed | Code::VantageLimited);
            assert!(of_lookups && finding.severity < Severity::Error, "{domain}: {finding:#?}");
        }
    }
}

/// Holds every snapshot to it for so long. Returns how many there were in which a lookup had failed.
async fn watch(snapshots: &mut watch::Receiver<Arc<Snapshot>>, time: Duration, holds: impl Fn(&Snapshot)) -> usize {
    let end = Instant::now() + time;
    let mut failed = 0;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        if timeout(left, snapshots.changed()).await.is_ok_and(|changed| changed.is_ok()) {
            let snapshot = Arc::clone(&snapshots.borrow_and_update());
            holds(&snapshot);
            failed += usize::from(DOMAINS.iter().any(|domain| !assessment(&snapshot, domain).lookups_answered()));
        }
    }
    failed
}

/// A monitor for which all was well once.
async fn at_rest(settings: Settings) -> (Running, watch::Receiver<Arc<Snapshot>>) {
    let mut running = Running::start(settings).await;
    running.until_all_are(State::Protected).await;
    let snapshots = running.monitor.snapshots();
    (running, snapshots)
}

/// Looks that the resolver has part in.
fn looks(running: &Running) -> usize {
    let ended = running.probes("domain") + running.probes("mx");
    format!("{ended:.0}").parse().unwrap()
}

/// As it was, soon after the resolver is well.
async fn all_is_well(world: &MailWorld, running: &mut Running) {
    world.dns.outage(None);
    running
        .until("all is well", |snapshot| {
            !snapshot.vantage.resolver_failing
                && DOMAINS.iter().all(|domain| {
                    let seen = assessment(snapshot, domain);
                    seen.lookups_answered() && seen.findings.is_empty()
                })
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_flaps_within_a_look_takes_nothing_away() {
    let world = MailWorld::start().await;
    let _domains = [world.domain(DOMAINS[0]).await, world.domain(DOMAINS[1]).await];
    let (mut running, mut snapshots) = at_rest(settings(&world)).await;
    world.dns.outage(Some(Behaviour::Turns(BY_TURNS)));
    let (asked, looked, began) = (world.dns.queries().len(), looks(&running), Instant::now());
    let failed = watch(&mut snapshots, WATCHED, stands).await;
    assert!(failed > 5, "it was not met: {failed}");
    // Of those that are under way some questions are counted, and no look.
    let looked = looks(&running) - looked + 2 * DOMAINS.len();
    let asked = world.dns.queries().len() - asked;
    // The root stands for the health of the resolver, three times a second, and for DNSSEC.
    let of_the_root = 4 * TRIES * usize::try_from(began.elapsed().as_secs() + 1).unwrap();
    let most = looked * QUESTIONS * TRIES + of_the_root;
    assert!(asked <= most, "{asked} questions of {looked} looks");
    all_is_well(&world, &mut running).await;
}

/// While some name is answered at any time, three lookups of the same one fail in a row: it is the resolver's doing all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_mostly_fails_is_no_fault_of_the_domains() {
    let world = MailWorld::start().await;
    let _domains = [world.domain(DOMAINS[0]).await, world.domain(DOMAINS[1]).await];
    let (mut running, mut snapshots) = at_rest(settings(&world)).await;
    world.dns.outage(Some(Behaviour::Turns(MOSTLY)));
    let failed = watch(&mut snapshots, WATCHED, stands).await;
    assert!(failed > 5, "it was not met: {failed}");
    assert!(running.now().vantage.resolver_failing, "and that is told");
    all_is_well(&world, &mut running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_flaps_from_look_to_look_takes_nothing_away() {
    let world = MailWorld::start().await;
    let _domains = [world.domain(DOMAINS[0]).await, world.domain(DOMAINS[1]).await];
    let (mut running, mut snapshots) = at_rest(settings(&world)).await;
    let mut failed = 0;
    for _ in 0..3 {
        for outage in [Behaviour::Silent, Behaviour::ServFail] {
            world.dns.outage(Some(outage));
            // Long enough for a look, and for the question after it whether the resolver works.
            failed += watch(&mut snapshots, 2 * (INTERVAL + LOOKUP), stands).await;
            world.dns.outage(None);
            failed += watch(&mut snapshots, 2 * INTERVAL, stands).await;
        }
    }
    assert!(failed > 5, "it was not met: {failed}");
    all_is_well(&world, &mut running).await;
}

/// Only the names of one domain flap, as those of a name server that does: the other has no part in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_names_of_one_domain_flap_the_neighbour_is_well() {
    let world = MailWorld::start().await;
    let _domains = [world.domain(DOMAINS[0]).await, world.domain(DOMAINS[1]).await];
    let mut settings = settings(&world);
    // Who validates asks again where a name fails, and would meet an answer.
    settings.resolver.dnssec = DnssecMode::Off;
    let (running, mut snapshots) = at_rest(settings).await;
    let name = DOMAINS[0];
    for name in [name.to_owned(), format!("_mta-sts.{name}"), format!("_smtp._tls.{name}"), format!("mx.{name}")] {
        world.dns.behave(&name, Behaviour::Turns(&[ANSWERS, ANSWERS, Behaviour::Silent, Behaviour::ServFail]));
    }
    let before = assessment(&running.now(), DOMAINS[1]).checked_at;
    let failed = watch(&mut snapshots, WATCHED, |snapshot| {
        stands(snapshot);
        let beside = assessment(snapshot, DOMAINS[1]);
        assert!(beside.findings.is_empty() && beside.lookups_answered(), "{:#?}", beside.findings);
        assert!(!snapshot.vantage.resolver_failing, "it answers for everybody else");
    });
    assert!(failed.await > 5, "it was not met");
    let after = assessment(&running.now(), DOMAINS[1]).checked_at;
    assert!(after.since(before) > WATCHED / 2, "the neighbour is looked at meanwhile");
}

/// What stands before the name server: by turns it passes a question on, says nothing, and says SERVFAIL.
struct Flapping {
    address: SocketAddr,
    asked: Arc<std::sync::atomic::AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Flapping {
    async fn before(server: SocketAddr) -> Self {
        let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap());
        let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let (address, count) = (socket.local_addr().unwrap(), Arc::clone(&asked));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut passed_on = JoinSet::new();
            let mut buffer = [0; 4096];
            loop {
                let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
                let mut query = buffer[..length].to_vec();
                match count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) % 3 {
                    0 => {
                        let socket = Arc::clone(&socket);
                        passed_on.spawn(async move {
                            let onward = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
                            onward.send_to(&query, server).await.unwrap();
                            let mut answer = [0; 4096];
                            let length = onward.recv(&mut answer).await.unwrap();
                            socket.send_to(&answer[..length], from).await.unwrap();
                        });
                    }
                    1 => {}
                    _ => {
                        // QR and RD; RA and SERVFAIL (RFC 1035 §4.1.1).
                        query[2] = 0x81;
                        query[3] = 0x82;
                        socket.send_to(&query, from).await.unwrap();
                    }
                }
            }
        });
        Self { address, asked, _tasks: tasks }
    }
}

/// Of two resolvers one flaps: nothing at all is seen of it, and it is asked no more than the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_one_of_two_resolvers_flaps_all_is_answered() {
    let world = MailWorld::start().await;
    let _domains = [world.domain(DOMAINS[0]).await, world.domain(DOMAINS[1]).await];
    let flapping = Flapping::before(world.dns.address()).await;
    for flapping_first in [true, false] {
        let mut settings = settings(&world);
        let mut servers = vec![flapping.address, world.dns.address()];
        if !flapping_first {
            servers.reverse();
        }
        settings.resolver.servers = servers.into_iter().map(ServerSetting::Address).collect();
        let (running, mut snapshots) = at_rest(settings).await;
        let (asked, looked) = (world.dns.queries().len(), looks(&running));
        let failed = watch(&mut snapshots, WATCHED / 2, |snapshot| {
            stands(snapshot);
            assert!(!snapshot.vantage.resolver_failing);
            for domain in DOMAINS {
                let seen = assessment(snapshot, domain);
                assert!(seen.findings.is_empty(), "{domain}: {:#?}", seen.findings);
            }
        });
        assert_eq!(failed.await, 0, "every lookup was answered by one of them");
        let looked = looks(&running) - looked + 2 * DOMAINS.len();
        let asked = world.dns.queries().len() - asked;
        assert!(asked <= looked * QUESTIONS * 2, "{asked} questions of {looked} looks");
        running.monitor.stop().await;
        // The next one begins with nothing under way.
        sleep(Duration::from_millis(100)).await;
    }
    assert!(flapping.asked.load(std::sync::atomic::Ordering::SeqCst) > 3, "it was asked");
}
