//! The program is stopped for longer than its intervals, and goes on: what fell due meanwhile makes no burst, and nobody is blamed.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use super::{
    misbehaviours::scrape::Scrape,
    serve::{PATIENCE, Served},
    world::{
        dns::{Behaviour, RecordType},
        mail_world::MailWorld,
    },
};

/// Domains that do not exist: a look at one is a few questions.
const OTHERS: usize = 400;
/// Between two looks at each.
const INTERVAL: Duration = Duration::from_secs(8);
/// So long nothing goes on: every domain falls due meanwhile.
const STOPPED: Duration = Duration::from_secs(12);

fn asked_for(world: &MailWorld) -> usize {
    world.dns.queries().iter().filter(|query| query.kind == RecordType::MX).count()
}

async fn scrape(served: &Served) -> Scrape {
    let (status, text) = served.get("/metrics").await;
    assert_eq!(status, 200);
    Scrape::read(&text)
}

/// Waits for a question for the record that comes from now on.
async fn asked_again(world: &MailWorld, name: &str) {
    let (before, end) = (world.dns.count(name), Instant::now() + PATIENCE);
    while world.dns.count(name) == before {
        assert!(Instant::now() < end, "{name} is not asked for");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_was_stopped_goes_on_without_a_burst_and_without_blame() {
    let world = MailWorld::start().await;
    let _domain = world.domain("good.example").await;
    world.dns.uncached();
    let others: Vec<String> = (0..OTHERS).map(|number| format!("d{number}.none.example")).collect();
    let text = world.config_text(&format!("domains: [good.example, {}]\n", others.join(", ")));
    let seconds = INTERVAL.as_secs();
    let text = text.replace(
        "probe:\n",
        &format!("probe:\n  interval: {seconds}s\n  mx_interval: {seconds}s\n  retry_interval: 2s\n"),
    );
    let text = text.replace("timeout: 20s", "timeout: 2s");
    let file = world.file("standstill.yml");
    std::fs::write(&file, text).unwrap();
    let served = Served::start(&file).await;
    let protected = "smtptls_domain_delivery{domain=\"good.example\",state=\"protected\"} 1";
    served.until(&[protected]).await;
    // The first round is over, and the second one begins.
    let end = Instant::now() + PATIENCE;
    while asked_for(&world) <= OTHERS + OTHERS / 4 {
        assert!(Instant::now() < end, "not all were looked at");
        sleep(Duration::from_millis(50)).await;
    }

    // A look is under way, and waits for an answer that is lost: a second try would bring it.
    let record = "_mta-sts.good.example";
    world.dns.behave(record, Behaviour::SilentAtFirst(1));
    asked_again(&world, record).await;
    served.signal("STOP");
    sleep(STOPPED).await;
    let before = asked_for(&world);
    served.signal("CONT");
    let began = Instant::now();
    let mut half = None;
    let domains: HashSet<String> = others.into_iter().collect();
    let since = world.dns.queries().len();
    let mut end = None;
    while end.is_none_or(|end| Instant::now() < end) {
        let seen = scrape(&served).await;
        for family in ["smtptls_finding", "smtptls_mx_finding"] {
            let samples = seen.families.get(family).map(|family| family.samples.as_slice()).unwrap_or_default();
            let blamed =
                samples.iter().find(|sample| sample.labels.values().any(|value| value.ends_with("good.example")));
            assert!(blamed.is_none(), "{blamed:?} after {:?}", began.elapsed());
        }
        assert_eq!(seen.value("smtptls_domain_delivery{domain=\"good.example\",state=\"protected\"}"), Some(1.0));
        if half.is_none() && asked_for(&world) - before > OTHERS / 2 {
            half = Some(began.elapsed());
        }
        let queries = world.dns.queries();
        let looked: HashSet<&String> = queries[since..].iter().map(|query| &query.name).collect();
        if end.is_none() && domains.iter().all(|domain| looked.contains(domain)) {
            // What failed would be told by now.
            end = Some(Instant::now() + Duration::from_secs(1));
        }
        assert!(began.elapsed() < PATIENCE, "never looked at again");
        sleep(Duration::from_millis(50)).await;
    }
    // Fifty a second are begun at a start: half of them in four seconds. In a burst it takes as long as the machine needs for them.
    let half = half.unwrap();
    assert!(half > INTERVAL / 4, "half of all looks were begun within {half:?}");
    served.until_said("this process stood still");
    let seen = scrape(&served).await;
    let late = seen.value("smtptls_schedule_lag_seconds_sum").unwrap();
    assert!(late > 1000.0, "the lag tells it: {late} s in all");
    assert_eq!(seen.value("smtptls_task_panics_total"), Some(0.0));
}
