//! Many domains on few mail hosts, over real sockets: what a host meets does not grow with the number of domains.

use std::time::{Duration, Instant};

use super::{
    monitor::{Running, SECOND, eventually, once},
    world::{
        mail_world::MailWorld,
        smtp::{Act, SmtpPeer, SmtpScript},
    },
};

const HOSTS: [&str; 2] = ["mx1.provider.example", "mx2.provider.example"];

/// The connections of a survey: TLS 1.0, TLS 1.1, and two without the usual SNI.
const SURVEY: usize = 4;

#[tokio::test]
async fn fifty_domains_on_two_hosts_take_two_connections_a_cycle() {
    let world = MailWorld::start().await;
    let mut peers: Vec<SmtpPeer> = Vec::new();
    for host in HOSTS {
        let address = world.address();
        world.dns.a(host, &[&address.to_string()]);
        peers.push(world.good_smtp(host, address).await);
    }
    let domains: Vec<String> = (0..50).map(|number| format!("customer{number}.example")).collect();
    for domain in &domains {
        world.dns.mx(domain, &[(10, HOSTS[0]), (20, HOSTS[1])]);
    }
    let mut settings = once(&world, &domains.iter().map(String::as_str).collect::<Vec<_>>());
    settings.probe.interval = 2 * SECOND;
    settings.probe.mx_interval = 2 * SECOND;
    settings.probe.legacy_tls = true;
    let begun = Instant::now();
    let mut running = Running::start(settings).await;
    let surveyed = |running: &Running| running.probes("survey") >= 2.0;
    eventually("both hosts are surveyed", || surveyed(&running)).await;
    eventually("three cycles", || peers.iter().all(|peer| peer.connections() >= SURVEY + 3)).await;
    let seen: Vec<usize> = peers.iter().map(SmtpPeer::connections).collect();
    // An interval may be a twentieth shorter; the second look may come sooner, so that all are spread.
    let cycles = begun.elapsed().as_secs_f64() / (2.0 * 0.95) + 2.0;
    for connections in seen {
        let looks = f64::from(u32::try_from(connections - SURVEY).unwrap());
        assert!(looks <= cycles, "{looks} in {cycles} cycles");
    }
    assert!((running.probes("survey") - 2.0).abs() < f64::EPSILON, "what else they offer is looked at once a day");
    assert!(running.probes("domain") >= 100.0, "the domains were looked at again meanwhile");
    let all = |snapshot: &smtptls_exporter::monitor::Snapshot| {
        snapshot.domains.len() == 50 && snapshot.domains.iter().all(|known| known.summary.is_some())
    };
    let snapshot = running.until("all domains are judged by the two", all).await;
    assert_eq!(snapshot.hosts.len(), 2);
    running.monitor.stop().await;
}

#[tokio::test]
async fn a_host_that_asks_for_patience_gets_it_and_its_neighbour_does_not_wait() {
    let world = MailWorld::start().await;
    let identity = world.pki.identity(&["mx.calm.example"]);
    let good = SmtpScript::good(&identity);
    // RFC 5321 §3.8: 421 in the place of a banner.
    let busy = SmtpScript { banner: Act::say("421 4.7.0 try again later\r\n"), ..good.clone() };
    let [one, other] = [world.address(), world.address()];
    let greylisting = world.smtp(one, busy).await;
    let calm = world.smtp(other, good).await;
    world.mail_host("busy.example", "mx.busy.example", one);
    world.mail_host("calm.example", "mx.calm.example", other);
    let mut settings = once(&world, &["busy.example", "calm.example"]);
    settings.probe.mx_interval = Duration::from_millis(300);
    settings.probe.interval = Duration::from_millis(300);
    settings.probe.retry_interval = Duration::from_millis(300);
    let mut running = Running::start(settings).await;
    eventually("ten looks at the neighbour", || calm.connections() >= 10).await;
    assert_eq!(greylisting.connections(), 1, "the next look is at least 15 seconds away");
    assert!((running.counted("smtptls_politeness_slowed_total", "") - 1.0).abs() < f64::EPSILON);
    let patience = |name: &str, snapshot: &smtptls_exporter::monitor::Snapshot| {
        snapshot.host(&name.parse().unwrap()).and_then(|host| host.patient_until)
    };
    let told = |snapshot: &smtptls_exporter::monitor::Snapshot| patience("mx.busy.example", snapshot).is_some();
    let snapshot = running.until("the page can tell it", told).await;
    assert_eq!(patience("mx.calm.example", &snapshot), None);
    running.monitor.stop().await;
}
