//! One look at a domain that is not configured.

use std::time::Instant;

use futures_util::future::join_all;
use smtptls_exporter::{
    config::DomainSettings,
    facts::RuaOutcome,
    monitor::{Awaited, Edges, PromptError, REST, check},
    verdict::{Assessment, Code, State},
};

use super::now::name;
use crate::{
    monitor::{PATIENCE, Running, SECOND, assessment, eventually, once},
    world::{
        https::{Answer, HttpsPeer},
        mail_world::MailWorld,
        smtp::{Act, SmtpScript},
    },
};

#[tokio::test]
async fn it_says_what_check_would_and_nothing_is_kept() {
    let world = MailWorld::start().await;
    let _known = world.domain("known.example").await;
    let stranger = world.domain("stranger.example").await;
    world.dns.mx("stranger.example", &[(10, "mx.stranger.example"), (20, "dead.stranger.example")]);
    world.dns.a("dead.stranger.example", &[&world.address().to_string()]);
    let mut running = Running::start(once(&world, &["known.example"])).await;
    running.until_all_are(State::Protected).await;
    let prompter = running.monitor.prompter();
    let looked = prompter.look_once(&name("stranger.example"), PATIENCE).await.unwrap();
    assert_eq!(looked.missing, []);
    let seen = assessment(&looked.snapshot, "stranger.example");
    let codes: Vec<Code> = seen.findings.iter().map(|finding| finding.code).collect();
    assert!(codes.contains(&Code::SmtpConnectFailed), "one refusal counts, as in check: {codes:?}");
    assert!(codes.contains(&Code::MxNotInPolicy), "{codes:?}");
    assert_eq!((looked.snapshot.domains.len(), looked.snapshot.hosts.len()), (1, 2));
    assert_eq!((stranger.smtp.connections(), stranger.https.connections()), (1, 1), "no survey");
    assert_eq!(stranger.smtp.commands().last().map(String::as_str), Some("QUIT"));
    let now = running.now();
    assert_eq!((now.domains.len(), now.hosts.len()), (1, 1), "the monitor knows nothing of it");

    let settings = once(&world, &[]);
    let edges = Edges::open(&settings).await.unwrap();
    let checked = check(&settings, &edges, &[DomainSettings::new(name("stranger.example"))], |_| {}).await;
    let [checked] = &checked[..] else { panic!("{checked:?}") };
    let findings = |of: &Assessment| -> Vec<_> {
        of.findings.iter().map(|one| (one.code, one.severity, one.subject.clone(), one.detail.clone())).collect()
    };
    assert_eq!((seen.delivery, seen.senders), (checked.delivery, checked.senders));
    assert_eq!(findings(&seen), findings(checked));
    running.monitor.stop().await;
}

#[tokio::test]
async fn those_who_ask_within_a_rest_share_one_look() {
    let world = MailWorld::start().await;
    let _known = world.domain("known.example").await;
    let stranger = world.domain("stranger.example").await;
    let running = Running::start(once(&world, &["known.example"])).await;
    let prompter = running.monitor.prompter();
    let wanted = name("stranger.example");
    let began = Instant::now();
    let asked = join_all((0..100).map(|_| prompter.look_once(&wanted, PATIENCE))).await;
    assert!(asked.iter().all(|one| one.as_ref().unwrap().missing.is_empty()));
    prompter.look_once(&wanted, PATIENCE).await.unwrap();
    assert!(began.elapsed() < REST, "a machine that is too slow for this test: {:?}", began.elapsed());
    assert_eq!((stranger.smtp.connections(), stranger.https.connections()), (1, 1));
    tokio::time::sleep(REST).await;
    prompter.look_once(&wanted, PATIENCE).await.unwrap();
    assert_eq!((stranger.smtp.connections(), stranger.https.connections()), (2, 2));
    running.monitor.stop().await;
}

#[tokio::test]
async fn what_came_in_time_is_told() {
    let world = MailWorld::start().await;
    let _known = world.domain("known.example").await;
    let stranger = world.domain("stranger.example").await;
    let good = SmtpScript::good(&world.pki.identity(&["mx.stranger.example"]));
    stranger.smtp.set_script(SmtpScript { banner: Act::Hang, ..good });
    let running = Running::start(once(&world, &["known.example"])).await;
    let looked = running.monitor.prompter().look_once(&name("stranger.example"), 2 * SECOND).await.unwrap();
    assert!(matches!(&looked.missing[..], [Awaited::Address(..)]), "{:?}", looked.missing);
    assert!(assessment(&looked.snapshot, "stranger.example").policy.in_force.is_some());
    running.monitor.stop().await;
}

#[tokio::test]
async fn many_strangers_are_bounded() {
    let world = MailWorld::start().await;
    let _known = world.domain("known.example").await;
    let running = Running::start(once(&world, &["known.example"])).await;
    let prompter = running.monitor.prompter();
    let names: Vec<_> = (0..200).map(|number| name(&format!("s{number}.example"))).collect();
    let asked = join_all(names.iter().map(|one| prompter.look_once(one, PATIENCE))).await;
    let (looked, busy): (Vec<_>, Vec<_>) = asked.into_iter().partition(Result::is_ok);
    assert_eq!((looked.len(), busy.len()), (64, 136), "a place is held until its rest is over");
    assert!(busy.iter().all(|one| matches!(one, Err(PromptError::Busy))));
    running.monitor.stop().await;
}

#[tokio::test]
async fn a_stranger_cannot_point_at_the_inside() {
    let world = MailWorld::start().await;
    let _known = world.domain("known.example").await;
    let stranger = world.domain("stranger.example").await;
    let mut settings = once(&world, &["known.example"]);
    settings.probe.allow_private_addresses = false;
    let running = Running::start(settings).await;
    let looked = running.monitor.prompter().look_once(&name("stranger.example"), PATIENCE).await.unwrap();
    assert_eq!(looked.missing, []);
    assert_eq!((stranger.smtp.connections(), stranger.https.connections()), (0, 0));
    running.monitor.stop().await;
}

/// Whoever writes a record would else have any port of any server asked here, and read what it said.
#[tokio::test]
async fn a_stranger_has_no_server_asked_for_reports() {
    let world = MailWorld::start().await;
    let _known = world.domain("known.example").await;
    let _stranger = world.domain("stranger.example").await;
    let victim = HttpsPeer::start().await;
    victim.serve("victim.example", &world.pki.identity(&["victim.example"]), Answer::status("200 OK", &[], b""));
    world.dns.a("victim.example", &[&victim.ip().to_string()]);
    let rua = format!("v=TLSRPTv1; rua=https://victim.example:{}/x,mailto:t@reports.test", victim.port());
    world.dns.txt("_smtp._tls.stranger.example", &[&rua]);
    let running = Running::start(once(&world, &["known.example"])).await;
    let looked = running.monitor.prompter().look_once(&name("stranger.example"), PATIENCE).await.unwrap();
    assert_eq!((looked.missing, victim.connections()), (vec![], 0));
    let state = looked.snapshot.states().remove(0);
    let outcomes: Vec<_> = state.observation.iter().flat_map(|seen| &seen.rua).map(|seen| &seen.outcome).collect();
    assert!(matches!(outcomes[..], [RuaOutcome::CouldNotLook(_), RuaOutcome::HasMx]), "{outcomes:?}");
    running.monitor.stop().await;
}

#[tokio::test]
async fn a_stop_waits_for_a_stranger_no_longer_than_the_grace() {
    let world = MailWorld::start().await;
    let _known = world.domain("known.example").await;
    let stranger = world.domain("stranger.example").await;
    let good = SmtpScript::good(&world.pki.identity(&["mx.stranger.example"]));
    stranger.smtp.set_script(SmtpScript { banner: Act::Hang, ..good });
    let running = Running::start(once(&world, &["known.example"])).await;
    let prompter = running.monitor.prompter();
    let waiting =
        tokio::spawn(async move { (prompter.look_once(&name("stranger.example"), PATIENCE).await, Instant::now()) });
    eventually("its mail host hangs", || stranger.smtp.connections() == 1).await;
    let began = Instant::now();
    running.monitor.stop().await;
    assert!(began.elapsed() < 3 * SECOND, "{:?}", began.elapsed());
    let (ended, at) = waiting.await.unwrap();
    assert_eq!(ended.unwrap_err(), PromptError::Stopping);
    assert!(at - began < SECOND, "at once: {:?}", at - began);
}
