//! The running monitor against a world of peers.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use smtptls_exporter::{
    config::Settings,
    facts::{Handshake, Offer},
    monitor::{DomainState, HostState, Monitor, Snapshot, Telemetry, Unrendered},
    terms::{MxHost, PolicyDomain, PolicyId},
    verdict::{Assessment, Code, PathAssessment, Reach, State},
};
use tokio::{sync::watch, time::timeout};

use super::world::{
    dns::{Behaviour, RecordType},
    https::{AtAccept, HttpsPeer},
    mail_world::MailWorld,
    smtp::{Act, SmtpPeer, SmtpScript},
};

/// Far beyond what anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// A monitor with what it publishes.
pub(crate) struct Running {
    pub(crate) monitor: Monitor,
    telemetry: Telemetry,
    snapshots: watch::Receiver<Arc<Snapshot>>,
}

impl Running {
    pub(crate) async fn start(settings: Settings) -> Self {
        let telemetry = Telemetry::new().unwrap();
        let monitor = Monitor::start(Arc::new(settings), telemetry.clone(), None, Arc::new(Unrendered)).await.unwrap();
        let snapshots = monitor.snapshots();
        Self { monitor, telemetry, snapshots }
    }

    pub(crate) fn now(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshots.borrow())
    }

    /// The first snapshot from now on in which this is so.
    pub(crate) async fn until(&mut self, what: &str, so: impl Fn(&Snapshot) -> bool) -> Arc<Snapshot> {
        let found = timeout(PATIENCE, self.snapshots.wait_for(|snapshot| so(snapshot)))
            .await
            .map(|found| found.unwrap().clone());
        found.unwrap_or_else(|_| panic!("never: {what}: {:#?}", self.now()))
    }

    pub(crate) async fn until_all_are(&mut self, state: State) -> Arc<Snapshot> {
        let all = |snapshot: &Snapshot| {
            snapshot.domains.iter().all(|known| known.summary.as_ref().is_some_and(|seen| seen.delivery == state))
        };
        self.until(state.as_str(), all).await
    }

    pub(crate) async fn apply(&self, settings: Settings) -> Result<smtptls_exporter::config::Change, String> {
        self.monitor.reconfigurer().apply(Arc::new(settings)).await.map_err(|error| error.to_string())
    }

    /// How many probes of this kind have ended.
    pub(crate) fn probes(&self, kind: &str) -> f64 {
        self.counted("smtptls_probes_total", kind)
    }

    /// What a family says of the sample with this label value.
    pub(crate) fn counted(&self, name: &str, kind: &str) -> f64 {
        let families = self.telemetry.gather();
        let family = families.iter().find(|family| family.name() == name).unwrap();
        let of_kind = |metric: &&prometheus::proto::Metric| {
            kind.is_empty() || metric.get_label().iter().any(|label| label.value() == kind)
        };
        family.get_metric().iter().find(of_kind).unwrap().get_counter().get_value()
    }
}

/// Waits until something outside of the snapshots is so.
pub(crate) async fn eventually(what: &str, so: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < end, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn domain(snapshot: &Snapshot, name: &str) -> Arc<DomainState> {
    snapshot.state(&PolicyDomain::parse(name).unwrap()).unwrap()
}

pub(crate) fn assessment(snapshot: &Snapshot, name: &str) -> Arc<Assessment> {
    domain(snapshot, name).assessment.clone().unwrap()
}

fn host<'a>(snapshot: &'a Snapshot, name: &str) -> Option<&'a Arc<HostState>> {
    snapshot.host(&MxHost::parse(name).unwrap())
}

fn names(snapshot: &Snapshot) -> Vec<String> {
    snapshot.domains.sorted().into_iter().map(|known| known.domain().to_string()).collect()
}

fn only_path(snapshot: &Snapshot) -> Option<&PathAssessment> {
    snapshot.host_states().first()?.paths.first().map(|path| &**path)
}

/// Everything once, and then not before the test is over.
pub(crate) fn once(world: &MailWorld, domains: &[&str]) -> Settings {
    let mut settings = world.settings(domains);
    settings.probe.interval = HOUR;
    settings.probe.mx_interval = HOUR;
    settings.probe.retry_interval = HOUR;
    settings.probe.policy_retry_interval = HOUR;
    settings
}

#[tokio::test]
async fn a_shared_mail_host_is_probed_once_a_cycle() {
    let world = MailWorld::start().await;
    let address = world.address();
    let shared = world.good_smtp("mx.provider.example", address).await;
    let domains = ["one.example", "two.example", "three.example"];
    let mut policies = Vec::new();
    for domain in domains {
        world.mail_host(domain, "mx.provider.example", address);
        policies.push(world.policy(domain, &["mx.provider.example"]).await);
    }
    let mut settings = once(&world, &domains);
    settings.probe.mx_interval = SECOND;
    settings.probe.interval = SECOND;
    let begun = Instant::now();
    let mut running = Running::start(settings).await;
    assert_eq!(running.now().domains.len(), 3, "the first snapshot has every domain");
    let snapshot = running.until_all_are(State::Protected).await;
    assert_eq!(snapshot.hosts.len(), 1);
    assert_eq!(host(&snapshot, "mx.provider.example").unwrap().domains_enforcing, 3);
    eventually("a third cycle", || shared.connections() >= 3 && policies.iter().all(|peer| peer.connections() >= 3))
        .await;
    // The interval may be up to a twentieth shorter.
    let cycles = begun.elapsed().as_secs_f64() / 0.95 + 1.0;
    for (peer, connections) in policies.iter().map(HttpsPeer::connections).chain([shared.connections()]).enumerate() {
        assert!(f64::from(u32::try_from(connections).unwrap()) <= cycles, "{peer}: {connections} in {cycles}");
    }
    assert!(running.probes("mx-address") >= 2.0 && running.probes("domain") >= 6.0);
    running.monitor.stop().await;
}

#[tokio::test]
async fn a_failure_is_retried_sooner_and_sooner_no_more() {
    let world = MailWorld::start().await;
    let domain = world.domain("example.com").await;
    let good = SmtpScript::good(&world.pki.identity(&["mx.example.com"]));
    domain.smtp.set_script(SmtpScript { banner: Act::Close, ..good.clone() });
    let retry = Duration::from_millis(300);
    let mut running = Running::start(Settings {
        probe: smtptls_exporter::config::ProbeSettings { retry_interval: retry, ..once(&world, &[]).probe },
        ..once(&world, &["example.com"])
    })
    .await;
    eventually("the third retry", || domain.smtp.connections() >= 4).await;
    domain.smtp.set_script(good);
    let came = domain.smtp.accepted_at();
    for (place, pair) in came.windows(2).enumerate() {
        // The peer sees a connection a little after the probe began; the wait counts from its end.
        let least = retry.mul_f64(0.9) * (1 << place);
        assert!(pair[1] - pair[0] >= least, "{place}: {:?}", pair[1] - pair[0]);
    }
    let snapshot = running.until_all_are(State::Protected).await;
    assert_eq!(only_path(&snapshot).unwrap().consecutive_failures, 0);
    let connections = domain.smtp.connections();
    tokio::time::sleep(retry * 4).await;
    assert_eq!(domain.smtp.connections(), connections, "back at the interval of an hour");
    assert_eq!(domain.https.connections(), 1, "the policy was fetched once");
}

#[tokio::test]
async fn a_policy_that_fails_is_fetched_again_no_sooner_than_senders_may() {
    let world = MailWorld::start().await;
    let domain = world.domain("example.com").await;
    domain.https.at_accept(AtAccept::Close);
    let mut settings = once(&world, &["example.com"]);
    // The records are looked up often; the policy host is left alone meanwhile.
    settings.probe.interval = Duration::from_millis(200);
    let mut running = Running::start(settings).await;
    let failed = |snapshot: &Snapshot| {
        snapshot
            .states()
            .iter()
            .all(|domain| domain.assessment.as_ref().is_some_and(|seen| seen.policy.fetch_success == Some(false)))
    };
    running.until("the policy fails", failed).await;
    eventually("several looks at the records", || running.probes("domain") >= 5.0).await;
    assert_eq!(domain.https.connections(), 1);
}

#[tokio::test]
async fn a_failed_lookup_keeps_the_last_known_answer() {
    let world = MailWorld::start().await;
    let _domain = world.domain("example.com").await;
    world.dns.uncached();
    let mut settings = once(&world, &["example.com"]);
    settings.probe.interval = Duration::from_millis(500);
    settings.probe.retry_interval = Duration::from_millis(500);
    settings.resolver.timeout = SECOND;
    let mut running = Running::start(settings).await;
    running.until_all_are(State::Protected).await;
    world.dns.behave("_mta-sts.example.com", Behaviour::ServFail);
    world.dns.behave("_smtp._tls.example.com", Behaviour::ServFail);
    world.dns.behave_for("mx.example.com", RecordType::A, Behaviour::ServFail);
    // SERVFAIL of the MX is what validating senders see, too; silence is not.
    world.dns.behave_for("example.com", RecordType::MX, Behaviour::Silent);
    let snapshot = running
        .until("every lookup fails", |snapshot| {
            let seen = assessment(snapshot, "example.com");
            let lookup = host(snapshot, "mx.example.com").and_then(|host| host.lookup.clone());
            !seen.mx_lookup_success
                && !seen.sts_record.lookup_success
                && !seen.tlsrpt.lookup_success
                && lookup.is_some_and(|lookup| !lookup.addresses.answered())
        })
        .await;
    let seen = assessment(&snapshot, "example.com");
    assert_eq!((seen.mx_records, seen.mx.len(), seen.mx[0].addresses.len()), (Some(1), 1, 1));
    assert_eq!(seen.sts_record.id.as_ref().map(PolicyId::as_str), Some("1"));
    assert_eq!((seen.sts_record.present, seen.tlsrpt.present), (Some(true), Some(true)));
    assert!(seen.policy.in_force.is_some());
    assert_eq!(seen.delivery, State::Protected, "{:#?}", seen.findings);
    assert!(seen.findings.iter().any(|finding| finding.code == Code::DnsLookupFailed));
    assert!(!snapshot.vantage.resolver_failing, "the resolver answers other questions");
    assert_eq!(host(&snapshot, "mx.example.com").unwrap().paths.len(), 1);
    for (name, kind) in [("mx.example.com", RecordType::A), ("example.com", RecordType::MX)] {
        world.dns.behave_for(name, kind, Behaviour::Delay(Duration::ZERO));
    }
    world.dns.behave("_mta-sts.example.com", Behaviour::Delay(Duration::ZERO));
    world.dns.behave("_smtp._tls.example.com", Behaviour::Delay(Duration::ZERO));
    running
        .until("it is well again", |snapshot| {
            let seen = assessment(snapshot, "example.com");
            seen.lookups_answered() && seen.findings.is_empty()
        })
        .await;
}

#[tokio::test]
async fn two_refused_probes_count_and_one_does_not() {
    let world = MailWorld::start().await;
    let domain = world.domain("example.com").await;
    let mut settings = once(&world, &["example.com"]);
    settings.probe.mx_interval = SECOND;
    let mut running = Running::start(settings).await;
    running.until_all_are(State::Protected).await;
    // Nobody listens any more.
    drop(domain.smtp);
    let mut once_failed = false;
    loop {
        timeout(PATIENCE, running.snapshots.changed()).await.unwrap().unwrap();
        let snapshot = running.now();
        let path = only_path(&snapshot).unwrap();
        match path.consecutive_failures {
            0 => {}
            1 => {
                once_failed = true;
                assert_eq!(path.reach, Reach::Up);
                assert_eq!(assessment(&snapshot, "example.com").delivery, State::Protected);
            }
            _ => {
                assert_eq!(path.reach, Reach::Down);
                let seen = assessment(&snapshot, "example.com");
                assert_eq!(seen.delivery, State::Blocked);
                assert!(seen.findings.iter().any(|finding| finding.code == Code::SmtpConnectFailed));
                break;
            }
        }
    }
    assert!(once_failed, "one failure was shown before two");
}

#[tokio::test]
async fn timeouts_count_only_while_somebody_else_answers() {
    let world = MailWorld::start().await;
    let domain = world.domain("example.com").await;
    let other = world.domain("other.example").await;
    let mut settings = once(&world, &["example.com"]);
    settings.probe.mx_interval = Duration::from_millis(300);
    settings.probe.timeout = SECOND;
    let mut running = Running::start(settings.clone()).await;
    running.until_all_are(State::Protected).await;
    let good = SmtpScript::good(&world.pki.identity(&["mx.example.com"]));
    domain.smtp.set_script(SmtpScript { banner: Act::Hang, ..good });
    let failures = |snapshot: &Snapshot| host(snapshot, "mx.example.com").unwrap().paths[0].consecutive_failures;
    let snapshot = running.until("four timeouts", |snapshot| failures(snapshot) >= 4).await;
    assert_eq!(only_path(&snapshot).unwrap().reach, Reach::Up, "nobody else answers");
    assert_eq!(assessment(&snapshot, "example.com").delivery, State::Protected);

    let mut both = world.settings(&["example.com", "other.example"]);
    both.probe = settings.probe;
    running.apply(both).await.unwrap();
    let snapshot = running
        .until("the silence counts", |snapshot| host(snapshot, "mx.example.com").unwrap().paths[0].reach == Reach::Down)
        .await;
    assert!(other.smtp.connections() > 0);
    assert_eq!(assessment(&snapshot, "example.com").delivery, State::Blocked);
}

#[tokio::test]
async fn mail_hosts_and_addresses_come_and_go() {
    let world = MailWorld::start().await;
    let domain = world.domain("example.com").await;
    world.dns.uncached();
    let (second, third) = (world.address(), world.address());
    let mut settings = once(&world, &["example.com"]);
    settings.probe.interval = Duration::from_millis(300);
    settings.probe.mx_interval = Duration::from_millis(300);
    let mut running = Running::start(settings).await;
    running.until_all_are(State::Protected).await;

    // Another address in the place of the first one, which goes on working.
    let replaced = world.good_smtp("mx.example.com", second).await;
    world.dns.a("mx.example.com", &[&second.to_string()]);
    let addresses = |snapshot: &Snapshot| -> Vec<String> {
        let seen = assessment(snapshot, "example.com");
        seen.mx.iter().flat_map(|mx| &mx.addresses).map(|address| address.path.address.to_string()).collect()
    };
    let listed = vec![second.to_string()];
    let snapshot = running
        .until("the new address is judged", |snapshot| {
            addresses(snapshot) == listed && assessment(snapshot, "example.com").delivery == State::Protected
        })
        .await;
    assert_eq!(assessment(&snapshot, "example.com").senders.sts.paths.total(), 1);
    eventually("more probes of the new address", || replaced.connections() >= 2).await;
    // What was under way when the list changed may still have come.
    let before = domain.smtp.connections();
    let seen = replaced.connections();
    eventually("more probes of the new address", || replaced.connections() >= seen + 3).await;
    assert!(domain.smtp.connections() <= before + 1, "an address that is gone is not probed");

    // Another host in the place of the first one.
    let host_peer = world.good_smtp("mx3.example.com", third).await;
    world.mail_host("example.com", "mx3.example.com", third);
    let snapshot = running.until("the host is replaced", |snapshot| host(snapshot, "mx3.example.com").is_some()).await;
    assert!(host(&snapshot, "mx.example.com").is_none());
    assert_eq!(snapshot.hosts.len(), 1);
    eventually("the new host is probed", || host_peer.connections() > 0).await;
    let snapshot = running
        .until("the new host is judged", |snapshot| {
            assessment(snapshot, "example.com").findings.iter().any(|finding| finding.code == Code::MxNotInPolicy)
        })
        .await;
    assert_eq!(snapshot.hosts.len(), 1);
}

/// When the connections to mail hosts came, of which each is held for about a second: `mx`, as host and address.
async fn arrivals(
    world: &MailWorld,
    mx: &[(&str, std::net::Ipv4Addr)],
    limits: impl Fn(&mut Settings),
) -> Vec<Instant> {
    let mut peers: Vec<(std::net::Ipv4Addr, SmtpPeer)> = Vec::new();
    let identity = world.pki.identity(&["unused.example"]);
    for (_, address) in mx {
        if peers.iter().all(|(known, _)| known != address) {
            let script = SmtpScript { banner: Act::Hang, ..SmtpScript::good(&identity) };
            peers.push((*address, world.smtp(*address, script).await));
        }
    }
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in mx {
        if !names.contains(name) {
            let addresses: Vec<String> =
                mx.iter().filter(|(of, _)| of == name).map(|(_, address)| address.to_string()).collect();
            world.dns.a(name, &addresses.iter().map(String::as_str).collect::<Vec<_>>());
            names.push(name);
        }
    }
    let domain: &'static str = format!("for-{}", names[0]).leak();
    world.dns.mx(domain, &names.iter().map(|name| (10, *name)).collect::<Vec<_>>());
    let mut settings = once(world, &[domain]);
    settings.probe.timeout = SECOND;
    limits(&mut settings);
    let mut running = Running::start(settings).await;
    let all = mx.len();
    let probed = |snapshot: &Snapshot| {
        let paths = snapshot.hosts.iter().flat_map(|host| &host.state.paths);
        paths.filter(|path| path.latest.is_some()).count() == all
    };
    running.until("every address is probed", probed).await;
    let mut came: Vec<Instant> = peers.iter().flat_map(|(_, peer)| peer.accepted_at()).collect();
    came.sort();
    assert_eq!(came.len(), all);
    came
}

/// Whether no more than `most` of the connections were there at a time.
fn at_most(came: &[Instant], most: usize) -> bool {
    came.windows(most + 1).all(|window| window[most] - window[0] >= SECOND / 2)
}

#[tokio::test]
async fn peers_meet_no_more_connections_than_allowed() {
    let world = MailWorld::start().await;
    let far: Vec<_> = (0..6).map(|_| world.address()).collect();
    let near = world.network();
    let one_host: Vec<_> = far[..3].iter().map(|address| ("host.example", *address)).collect();
    let one_address = ["a.example", "b.example", "c.example"].map(|name| (name, near[7]));
    let names = ["n0.example", "n1.example", "n2.example", "n3.example", "n4.example"];
    let one_network: Vec<_> = names.into_iter().zip(near).collect();
    let anywhere: Vec<_> =
        ["f0.example", "f1.example", "f2.example"].into_iter().zip(far[3..].iter().copied()).collect();
    let (host, address, network, all) = tokio::join!(
        arrivals(&world, &one_host, |_| {}),
        arrivals(&world, &one_address, |_| {}),
        arrivals(&world, &one_network, |settings| settings.probe.per_network = 2),
        arrivals(&world, &anywhere, |settings| settings.probe.max_in_flight = 1),
    );
    assert!(at_most(&host, 1), "one host: {host:?}");
    assert!(at_most(&address, 1), "one address: {address:?}");
    assert!(at_most(&network, 2), "one network: {network:?}");
    assert!(!at_most(&network, 1), "two are allowed: {network:?}");
    assert!(at_most(&all, 1), "in all: {all:?}");
}

#[tokio::test]
async fn who_waits_for_one_address_keeps_no_neighbour_waiting() {
    let world = MailWorld::start().await;
    let near = world.network();
    let identity = world.pki.identity(&["mx.neighbour.example"]);
    let slow = world.smtp(near[0], SmtpScript { banner: Act::Hang, ..SmtpScript::good(&identity) }).await;
    let neighbour = world.good_smtp("mx.neighbour.example", near[1]).await;
    // More names of one address than the network may have connections.
    let names: Vec<String> = (0..20).map(|number| format!("mx{number}.crowd.example")).collect();
    for name in &names {
        world.dns.a(name, &[&near[0].to_string()]);
    }
    world.dns.mx("crowd.example", &names.iter().map(|name| (10, name.as_str())).collect::<Vec<_>>());
    world.dns.uncached();
    let mut settings = once(&world, &["crowd.example", "neighbour.example"]);
    settings.probe.interval = Duration::from_millis(300);
    let mut running = Running::start(settings).await;
    running.until("the crowd is known", |snapshot| snapshot.hosts.len() == 20).await;
    eventually("the crowd stands at the door", || slow.connections() > 0 && running.probes("mx") >= 20.0).await;
    world.mail_host("neighbour.example", "mx.neighbour.example", near[1]);
    eventually("the neighbour is probed", || neighbour.connections() > 0).await;
    assert_eq!(slow.connections(), 1, "the first of the crowd still has its connection");
    running.monitor.stop().await;
}

#[tokio::test]
async fn a_domain_that_hangs_makes_no_other_late() {
    let world = MailWorld::start().await;
    let healthy = world.domain("healthy.example").await;
    let hanging = world.domain("hanging.example").await;
    world.dns.behave("hanging.example", Behaviour::Silent);
    hanging.https.at_accept(AtAccept::Hang);
    let mut settings = once(&world, &["hanging.example", "healthy.example"]);
    settings.probe.interval = Duration::from_millis(200);
    settings.probe.mx_interval = Duration::from_millis(200);
    settings.resolver.timeout = Duration::from_secs(20);
    let running = Running::start(settings).await;
    eventually("five rounds", || healthy.smtp.connections() >= 5 && healthy.https.connections() >= 5).await;
    assert!(domain(&running.now(), "hanging.example").assessment.is_none(), "its first look goes on");
    running.monitor.stop().await;
}

#[tokio::test]
async fn a_reload_gives_no_second_connection_to_a_busy_host() {
    let world = MailWorld::start().await;
    let address = world.address();
    let identity = world.pki.identity(&["mx.example"]);
    let busy = world.smtp(address, SmtpScript { banner: Act::Hang, ..SmtpScript::good(&identity) }).await;
    let other = world.domain("other.example").await;
    world.mail_host("one.example", "mx1.example", address);
    world.mail_host("two.example", "mx2.example", address);
    let mut running = Running::start(once(&world, &["one.example"])).await;
    eventually("the first probe hangs", || busy.connections() == 1).await;
    running.apply(once(&world, &["one.example", "two.example", "other.example"])).await.unwrap();
    running.until("the second one waits", |snapshot| snapshot.hosts.len() == 3).await;
    eventually("another host is probed", || other.smtp.connections() == 1).await;
    assert_eq!(busy.connections(), 1);
    running.monitor.stop().await;
}

#[tokio::test]
async fn stop_waits_no_longer_than_the_grace() {
    let world = MailWorld::start().await;
    let peer = world.domain("example.com").await;
    let good = SmtpScript::good(&world.pki.identity(&["mx.example.com"]));
    peer.smtp.set_script(SmtpScript { banner: Act::Hang, ..good });
    let running = Running::start(once(&world, &["example.com"])).await;
    eventually("the probe hangs", || peer.smtp.connections() == 1).await;
    let asked = Instant::now();
    running.monitor.stop().await;
    assert!(asked.elapsed() < 3 * SECOND, "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_reload_changes_only_what_changed() {
    let world = MailWorld::start().await;
    let stays = world.domain("stays.example").await;
    let goes = world.domain("goes.example").await;
    let comes = world.domain("comes.example").await;
    let mut running = Running::start(once(&world, &["goes.example", "stays.example"])).await;
    let before = running.until_all_are(State::Protected).await;

    // Settings that cannot be put in force leave all as it was.
    let mut broken = once(&world, &["comes.example"]);
    broken.probe.ca_file = Some(world.file("nowhere.pem"));
    let refused = running.apply(broken).await.unwrap_err();
    assert!(refused.contains("nowhere.pem"), "{refused}");
    assert_eq!(names(&running.now()), [goes.name, stays.name]);

    let change = running.apply(once(&world, &["stays.example", "comes.example"])).await.unwrap();
    assert_eq!((change.added.len(), change.removed.len()), (1, 1));
    let shown = running.now();
    assert_eq!(names(&shown), [comes.name, stays.name]);
    assert!(domain(&shown, "comes.example").assessment.is_none());
    assert!(host(&shown, "mx.goes.example").is_none());
    let after = running.until_all_are(State::Protected).await;
    assert_eq!(comes.smtp.connections(), 1);
    assert_eq!(
        assessment(&after, "stays.example").checked_at,
        assessment(&before, "stays.example").checked_at,
        "what is known is kept"
    );
    for peer in [&stays, &goes] {
        assert_eq!((peer.smtp.connections(), peer.https.connections()), (1, 1), "{} is not probed again", peer.name);
    }
    running.monitor.stop().await;
}

#[tokio::test]
async fn an_outage_of_the_resolver_is_told_and_blamed_on_nobody() {
    let world = MailWorld::start().await;
    let _one = world.domain("one.example").await;
    let _two = world.domain("two.example").await;
    world.dns.uncached();
    let mut settings = once(&world, &["one.example", "two.example"]);
    settings.probe.interval = Duration::from_millis(400);
    settings.probe.mx_interval = Duration::from_millis(400);
    settings.probe.retry_interval = Duration::from_millis(400);
    settings.resolver.timeout = SECOND;
    let mut running = Running::start(settings).await;
    let before = running.until_all_are(State::Protected).await;

    for outage in [Behaviour::Silent, Behaviour::ServFail, Behaviour::Refused] {
        world.dns.outage(Some(outage));
        let failing = |snapshot: &Snapshot| {
            let nothing = |domain: &Arc<DomainState>| !domain.assessment.as_ref().unwrap().lookups_answered();
            snapshot.vantage.resolver_failing && snapshot.states().iter().all(nothing)
        };
        let snapshot = running.until("the outage is told", failing).await;
        for state in snapshot.states() {
            let seen = state.assessment.as_ref().unwrap();
            assert_eq!(seen.delivery, State::Protected, "{outage:?}: the last known answers stand");
            let blamed: Vec<_> = seen.findings.iter().filter(|finding| finding.code != Code::VantageLimited).collect();
            assert!(blamed.is_empty(), "{outage:?}: {blamed:#?}");
            assert_eq!((seen.mx_records, seen.sts_record.present), (Some(1), Some(true)));
        }
        assert_eq!(snapshot.hosts.len(), before.hosts.len());
        for state in snapshot.host_states() {
            assert!(state.findings.is_empty(), "{outage:?}: {:?}", state.findings);
            assert_eq!(state.paths.len(), 1);
        }
        world.dns.outage(None);
        let well = |snapshot: &Snapshot| {
            let all = |domain: &Arc<DomainState>| domain.assessment.as_ref().unwrap().lookups_answered();
            !snapshot.vantage.resolver_failing && snapshot.states().iter().all(all)
        };
        running.until("it is over", well).await;
    }
    running.until_all_are(State::Protected).await;
    running.monitor.stop().await;
}

#[tokio::test]
async fn addresses_are_surveyed_beside_their_probes() {
    let world = MailWorld::start().await;
    let domain = world.domain("one.example").await;
    let mut settings = once(&world, &["one.example"]);
    settings.probe.legacy_tls = true;
    let mut running = Running::start(settings.clone()).await;
    let surveyed = |snapshot: &Snapshot| {
        host(snapshot, "mx.one.example").is_some_and(|host| host.paths.iter().any(|path| path.survey.is_some()))
    };
    let snapshot = running.until("a survey", surveyed).await;
    let survey = host(&snapshot, "mx.one.example").unwrap().paths.iter().find_map(|path| path.survey.clone()).unwrap();
    assert_eq!((&survey.tls10, &survey.tls11), (&Offer::Refused, &Offer::Refused));
    assert!(survey.handshakes().all(|handshake| matches!(handshake, Handshake::Done(_))), "{survey:?}");
    assert_eq!(domain.smtp.connections(), 1 + 4);
    assert!((running.probes("survey") - 1.0).abs() < f64::EPSILON);

    settings.probe.legacy_tls = false;
    running.apply(settings).await.unwrap();
    running.until("no survey", |snapshot| !surveyed(snapshot)).await;
    assert_eq!(domain.smtp.connections(), 1 + 4);
}
