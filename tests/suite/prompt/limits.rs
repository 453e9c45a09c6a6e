//! What many who ask at once can take, and what they cannot.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use smtptls_exporter::{
    monitor::{PromptError, REST, WAITING_MOST},
    verdict::State,
};

use super::now::name;
use crate::{
    monitor::{PATIENCE, Running, SECOND, eventually, once},
    world::{
        mail_world::MailWorld,
        smtp::{Act, SmtpScript},
    },
};

#[tokio::test]
async fn no_more_wait_than_have_a_place() {
    let world = MailWorld::start().await;
    let domain = world.domain("example.com").await;
    let good = SmtpScript::good(&world.pki.identity(&["mx.example.com"]));
    domain.smtp.set_script(SmtpScript { banner: Act::Hang, ..good.clone() });
    let running = Running::start(once(&world, &["example.com"])).await;
    let prompter = running.monitor.prompter();
    let wanted = name("example.com");
    let asked = join_all((0..WAITING_MOST + 50).map(|_| prompter.probe(&wanted, 3 * SECOND))).await;
    let busy = asked.iter().filter(|one| matches!(one, Err(PromptError::Busy))).count();
    assert_eq!(busy, 50);
    assert!(asked.iter().flatten().all(|one| one.missing.len() == 1));
    assert_eq!(domain.smtp.connections(), 1);
    // The places are free again, and the look that goes on is found again.
    domain.smtp.set_script(good);
    let later = prompter.probe(&wanted, SECOND).await.unwrap();
    assert_eq!(later.missing.len(), 1, "the peer still hangs");
    running.monitor.stop().await;
}

#[tokio::test]
async fn many_domains_on_one_host_ask_it_once_in_a_rest() {
    let world = MailWorld::start().await;
    let address = world.address();
    let shared = world.good_smtp("mx.provider.example", address).await;
    let domains: Vec<String> = (0..40).map(|number| format!("d{number}.example")).collect();
    for domain in &domains {
        world.mail_host(domain, "mx.provider.example", address);
    }
    let names: Vec<&str> = domains.iter().map(String::as_str).collect();
    let mut running = Running::start(once(&world, &names)).await;
    running.until_all_are(State::Unprotected).await;
    tokio::time::sleep(REST).await;
    assert_eq!(shared.connections(), 1);
    let prompter = running.monitor.prompter();
    let began = Instant::now();
    let asked = join_all(names.iter().map(|one| {
        let prompter = prompter.clone();
        async move { prompter.probe(&name(one), PATIENCE).await.unwrap() }
    }))
    .await;
    assert!(asked.iter().all(|one| one.missing.is_empty()));
    let most = 2 + usize::try_from(began.elapsed().as_secs() / REST.as_secs()).unwrap();
    assert!(shared.connections() <= most, "{} in {:?}", shared.connections(), began.elapsed());
    running.monitor.stop().await;
}

#[tokio::test]
async fn an_overloaded_monitor_answers_in_time() {
    let world = MailWorld::start().await;
    let slow = world.domain("slow.example").await;
    let quick = world.domain("quick.example").await;
    let good = SmtpScript::good(&world.pki.identity(&["mx.slow.example"]));
    let mut settings = once(&world, &["slow.example", "quick.example"]);
    settings.probe.max_in_flight = 1;
    let mut running = Running::start(settings).await;
    running.until_all_are(State::Protected).await;
    slow.smtp.set_script(SmtpScript { banner: Act::Hang, ..good.clone() });
    tokio::time::sleep(REST).await;
    let prompter = running.monitor.prompter();
    let first = prompter.probe(&name("slow.example"), SECOND).await.unwrap();
    assert!(!first.missing.is_empty());
    eventually("the only connection hangs", || slow.smtp.connections() == 2).await;
    let began = Instant::now();
    let second = prompter.probe(&name("quick.example"), 2 * SECOND).await.unwrap();
    assert!(!second.missing.is_empty(), "it has no turn");
    assert!(began.elapsed() < 5 * SECOND, "{:?}", began.elapsed());
    // The wish stands although nobody waits any more: the look is made when its turn comes.
    slow.smtp.set_script(good);
    running.apply(once(&world, &["slow.example", "quick.example"])).await.unwrap();
    let third = prompter.probe(&name("quick.example"), PATIENCE).await.unwrap();
    assert_eq!(third.missing, []);
    assert!(quick.smtp.connections() >= 2);
    running.monitor.stop().await;
}

#[tokio::test]
async fn who_goes_away_leaves_nothing_behind() {
    let world = MailWorld::start().await;
    let domain = world.domain("example.com").await;
    let mut running = Running::start(once(&world, &["example.com"])).await;
    running.until_all_are(State::Protected).await;
    let good = SmtpScript::good(&world.pki.identity(&["mx.example.com"]));
    domain.smtp.set_script(SmtpScript { banner: Act::Hang, ..good.clone() });
    tokio::time::sleep(REST).await;
    let prompter = running.monitor.prompter();
    for _ in 0..2 * WAITING_MOST {
        let wanted = name("example.com");
        let dropped = tokio::time::timeout(Duration::from_millis(2), prompter.probe(&wanted, PATIENCE)).await;
        assert!(dropped.is_err());
    }
    assert_eq!(domain.smtp.connections(), 2);
    let all: Vec<_> = (0..WAITING_MOST).map(|_| name("example.com")).collect();
    let places = join_all(all.iter().map(|wanted| prompter.probe(wanted, SECOND))).await;
    assert!(places.iter().all(Result::is_ok), "every place is free again");
    running.monitor.stop().await;
}
