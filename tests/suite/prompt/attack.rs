//! A thousand who ask at once, over HTTP: what they cost others, and the program itself.
//!
//! `cargo test --test suite prompt::attack -- --nocapture` prints the figures.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use smtptls_exporter::monitor::REST;

use crate::{
    serve::Served,
    world::{
        mail_world::{MailDomain, MailWorld},
        smtp::{Act, SmtpScript},
    },
};

const MANY: usize = 1000;
/// What the text, the sockets and the tasks of a thousand requests may take, in a build that is not optimised.
const MOST_MEMORY: f64 = 96.0 * 1024.0 * 1024.0;

/// What a wave of requests did.
#[derive(Debug)]
struct Wave {
    statuses: BTreeMap<u16, usize>,
    took: Duration,
    memory: f64,
}

async fn memory(served: &Served) -> f64 {
    let (_, metrics) = served.get("/metrics").await;
    let line = metrics.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
    line.unwrap().parse().unwrap()
}

/// All of them at once, each with a scrape timeout of ten seconds.
async fn wave(served: &Served, targets: impl Iterator<Item = String>) -> Wave {
    let before = memory(served).await;
    let began = Instant::now();
    let asked = targets.map(|target| async move {
        let request = format!("GET /probe?target={target}");
        served.ask(&request, &["X-Prometheus-Scrape-Timeout-Seconds: 10"]).await.0
    });
    let mut statuses = BTreeMap::new();
    for status in join_all(asked).await {
        *statuses.entry(status).or_default() += 1;
    }
    Wave { statuses, took: began.elapsed(), memory: memory(served).await - before }
}

fn is_harmless(wave: &Wave) {
    assert_eq!(wave.statuses.values().sum::<usize>(), MANY, "everybody is answered: {wave:?}");
    assert!(wave.statuses.keys().all(|status| matches!(status, 200 | 429)), "{wave:?}");
    assert!(wave.memory < MOST_MEMORY, "{wave:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_scrapes_of_one_target_and_of_many() {
    let world = MailWorld::start().await;
    let names: Vec<&'static str> = (0..30).map(|number| &*format!("d{number}.example").leak()).collect();
    let domains: Vec<MailDomain> = join_all(names.iter().map(|one| world.domain(one))).await;
    let list = names.join(", ");
    let text = world.config_text(&format!("domains: [{list}]\n"));
    let config = world.config_file("");
    std::fs::write(&config, text.replace("probe:\n", "probe:\n  allow_any_target: true\n")).unwrap();
    let served = Served::start(&config).await;
    let all: Vec<String> =
        names.iter().map(|one| format!("smtptls_domain_delivery{{domain=\"{one}\",state=\"protected\"}} 1")).collect();
    served.until(&all.iter().map(String::as_str).collect::<Vec<_>>()).await;
    tokio::time::sleep(REST).await;

    let connections = |domain: &MailDomain| (domain.smtp.connections(), domain.https.connections());
    let allowed = |took: Duration| 1 + usize::try_from(took.as_secs() / REST.as_secs()).unwrap();
    let before: Vec<_> = domains.iter().map(connections).collect();
    let one = wave(&served, (0..MANY).map(|_| "d0.example".to_owned())).await;
    is_harmless(&one);
    let asked = connections(&domains[0]);
    assert!(asked.0 - before[0].0 <= allowed(one.took), "{asked:?} {one:?}");
    assert!(asked.1 - before[0].1 <= allowed(one.took), "{asked:?} {one:?}");
    eprintln!("one target: {one:?}, {} connections to its mail host", asked.0 - before[0].0);

    tokio::time::sleep(REST).await;
    let before: Vec<_> = domains.iter().map(connections).collect();
    let many = wave(&served, (0..MANY).map(|number| names[number % names.len()].to_owned())).await;
    is_harmless(&many);
    let most = domains.iter().zip(&before).map(|(domain, before)| connections(domain).0 - before.0).max().unwrap();
    assert!(most <= allowed(many.took), "{most} {many:?}");
    eprintln!("{} targets: {many:?}, at most {most} connections to a mail host", names.len());

    // Every place is taken by those who wait for a peer that hangs.
    let good = SmtpScript::good(&world.pki.identity(&["mx.d0.example"]));
    domains[0].smtp.set_script(SmtpScript { banner: Act::Hang, ..good });
    tokio::time::sleep(REST).await;
    let before = connections(&domains[0]).0;
    let (slow, healthy) = tokio::join!(wave(&served, (0..MANY).map(|_| "d0.example".to_owned())), async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let began = Instant::now();
        assert_eq!(served.get("/-/healthy").await.0, 200);
        assert_eq!(served.get("/metrics").await.0, 200);
        began.elapsed()
    });
    is_harmless(&slow);
    assert!(slow.statuses[&429] >= MANY / 2, "{slow:?}");
    assert!(connections(&domains[0]).0 - before <= allowed(slow.took), "{slow:?}");
    assert!(healthy < Duration::from_secs(5), "others are served meanwhile: {healthy:?}");
    eprintln!("one that hangs: {slow:?}, meanwhile /metrics within {healthy:?}");

    let strangers = wave(&served, (0..MANY).map(|number| format!("s{number}.example"))).await;
    is_harmless(&strangers);
    let looked = strangers.statuses.get(&200).copied().unwrap_or(0);
    let most = 64 * allowed(strangers.took) + 64;
    assert!(looked <= most, "{looked} of at most {most}: {strangers:?}");
    eprintln!("strangers: {strangers:?}");
}
