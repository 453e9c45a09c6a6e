//! "Probe now" of a configured domain.

use std::time::{Duration, Instant};

use smtptls_exporter::{
    monitor::{Awaited, PromptError, REST},
    terms::PolicyDomain,
    verdict::{Assessment, Code, State},
};

use crate::{
    monitor::{PATIENCE, Running, SECOND, assessment, eventually, once},
    world::{
        https::AtAccept,
        mail_world::MailWorld,
        smtp::{Act, SmtpScript},
    },
};

pub(super) fn name(text: &str) -> PolicyDomain {
    PolicyDomain::parse(text).unwrap()
}

fn has(seen: &Assessment, code: Code) -> bool {
    seen.findings.iter().any(|finding| finding.code == code)
}

#[tokio::test]
async fn a_fault_that_was_mended_is_seen_at_once() {
    let world = MailWorld::start().await;
    let domain = world.domain("example.com").await;
    let good = SmtpScript::good(&world.pki.identity(&["mx.example.com"]));
    domain.smtp.set_script(SmtpScript { banner: Act::Close, ..good.clone() });
    domain.https.at_accept(AtAccept::Close);
    // The answers of the DNS may be kept for five minutes, those about names that are not there too.
    world.dns.remove("_smtp._tls.example.com");
    let mut running = Running::start(once(&world, &["example.com"])).await;
    let broken = running
        .until("the faults are seen", |snapshot| {
            let seen = snapshot.states().first().and_then(|state| state.assessment.clone());
            seen.is_some_and(|seen| {
                seen.policy.fetch_success == Some(false)
                    && seen.tlsrpt.present == Some(false)
                    && seen.mx.iter().flat_map(|mx| &mx.addresses).any(|one| one.path.consecutive_failures > 0)
            })
        })
        .await;
    assert_ne!(assessment(&broken, "example.com").delivery, State::Protected);

    domain.smtp.set_script(good);
    domain.https.at_accept(AtAccept::Tls);
    world.dns.txt("_smtp._tls.example.com", &["v=TLSRPTv1; rua=mailto:tls@reports.test"]);
    tokio::time::sleep(REST).await;
    let prompted = running.monitor.prompter().probe(&name("example.com"), PATIENCE).await.unwrap();
    assert_eq!(prompted.missing, []);
    assert!(prompted.took < 10 * SECOND, "{:?}", prompted.took);
    let seen = assessment(&prompted.snapshot, "example.com");
    assert_eq!(seen.delivery, State::Protected, "{:#?}", seen.findings);
    assert_eq!((seen.policy.fetch_success, seen.tlsrpt.present), (Some(true), Some(true)));
    assert!(!has(&seen, Code::TlsRptRecordMissing));
    assert_eq!(domain.smtp.commands().last().map(String::as_str), Some("QUIT"), "leave is taken");
    assert_eq!(domain.smtp.connections(), 2);
    running.monitor.stop().await;
}

#[tokio::test]
async fn those_who_ask_at_the_same_time_share_one_look_and_then_is_rest() {
    let world = MailWorld::start().await;
    let domain = world.domain("example.com").await;
    let mut running = Running::start(once(&world, &["example.com"])).await;
    running.until_all_are(State::Protected).await;
    tokio::time::sleep(REST).await;
    let prompter = running.monitor.prompter();
    let wanted = name("example.com");
    let asked = futures_util::future::join_all((0..50).map(|_| prompter.probe(&wanted, PATIENCE))).await;
    assert!(asked.iter().all(|one| one.as_ref().unwrap().missing.is_empty()));
    assert_eq!((domain.smtp.connections(), domain.https.connections()), (2, 2));
    for _ in 0..20 {
        let again = prompter.probe(&wanted, PATIENCE).await.unwrap();
        assert_eq!(again.missing, []);
        assert!(again.took < SECOND, "there is nothing to wait for: {:?}", again.took);
    }
    assert_eq!((domain.smtp.connections(), domain.https.connections()), (2, 2));
    tokio::time::sleep(REST).await;
    prompter.probe(&wanted, PATIENCE).await.unwrap();
    assert_eq!((domain.smtp.connections(), domain.https.connections()), (3, 3));
    running.monitor.stop().await;
}

#[tokio::test]
async fn a_program_that_asks_again_and_again_leaves_a_broken_policy_host_in_peace() {
    let world = MailWorld::start().await;
    let domain = world.domain("example.com").await;
    domain.https.at_accept(AtAccept::Close);
    let mut running = Running::start(once(&world, &["example.com"])).await;
    let failed = |snapshot: &smtptls_exporter::monitor::Snapshot| {
        let seen = snapshot.states().first().and_then(|state| state.assessment.clone());
        seen.is_some_and(|seen| seen.policy.fetch_success == Some(false))
    };
    running.until("the policy fails", failed).await;
    eventually("its mail host is probed", || domain.smtp.connections() == 1).await;
    tokio::time::sleep(REST).await;
    let queries = world.dns.count("_mta-sts.example.com");
    let prompter = running.monitor.prompter();
    let scraped = prompter.scrape(&name("example.com"), PATIENCE).await.unwrap();
    assert_eq!(scraped.missing, []);
    assert_eq!((domain.https.connections(), domain.smtp.connections()), (1, 2), "RFC 8461 section 3.3");
    assert_eq!(world.dns.count("_mta-sts.example.com"), queries + 1, "a domain's own names are asked for at each look");
    // What was just looked at for the program is not what a person wants to know.
    prompter.probe(&name("example.com"), PATIENCE).await.unwrap();
    assert_eq!((domain.https.connections(), domain.smtp.connections()), (2, 2));
    assert_eq!(world.dns.count("_mta-sts.example.com"), queries + 2);
    running.monitor.stop().await;
}

#[tokio::test]
async fn a_place_for_reports_that_was_mended_is_seen_at_once() {
    let world = MailWorld::start().await;
    let _domain = world.domain("example.com").await;
    // What is known of such a place stands for half an hour otherwise.
    world.dns.remove("reports.test");
    let mut running = Running::start(once(&world, &["example.com"])).await;
    let unreachable = |snapshot: &smtptls_exporter::monitor::Snapshot| {
        let seen = snapshot.states().first().and_then(|state| state.assessment.clone());
        seen.is_some_and(|seen| has(&seen, Code::TlsRptRuaUnreachable))
    };
    running.until("nobody takes the reports", unreachable).await;
    world.dns.mx("reports.test", &[(10, "mx.reports.test")]);
    tokio::time::sleep(REST).await;
    let prompter = running.monitor.prompter();
    let scraped = prompter.scrape(&name("example.com"), PATIENCE).await.unwrap();
    assert!(unreachable(&scraped.snapshot), "a program takes what is known");
    let prompted = prompter.probe(&name("example.com"), PATIENCE).await.unwrap();
    assert!(prompted.missing.is_empty() && !unreachable(&prompted.snapshot));
    running.monitor.stop().await;
}

#[tokio::test]
async fn a_program_does_not_annoy_who_turned_the_monitor_away() {
    let world = MailWorld::start().await;
    let domain = world.domain("example.com").await;
    let good = SmtpScript::good(&world.pki.identity(&["mx.example.com"]));
    domain.smtp.set_script(SmtpScript { banner: Act::say("554 no service for you\r\n"), ..good });
    let running = Running::start(once(&world, &["example.com"])).await;
    let prompter = running.monitor.prompter();
    let first = prompter.scrape(&name("example.com"), PATIENCE).await.unwrap();
    assert_eq!((first.missing, domain.smtp.connections()), (vec![], 1));
    tokio::time::sleep(REST).await;
    let second = prompter.scrape(&name("example.com"), PATIENCE).await.unwrap();
    assert_eq!((second.missing, domain.smtp.connections()), (vec![], 1), "what is known counts");
    let person = prompter.probe(&name("example.com"), PATIENCE).await.unwrap();
    assert_eq!((person.missing, domain.smtp.connections()), (vec![], 2));
    running.monitor.stop().await;
}

#[tokio::test]
async fn hosts_that_turn_up_on_the_way_are_waited_for() {
    let world = MailWorld::start().await;
    let domain = world.domain("example.com").await;
    let mut running = Running::start(once(&world, &["example.com"])).await;
    running.until_all_are(State::Protected).await;
    let second = world.address();
    let peer = world.good_smtp("mx2.example.com", second).await;
    world.dns.mx("example.com", &[(10, "mx.example.com"), (20, "mx2.example.com")]);
    world.dns.a("mx2.example.com", &[&second.to_string()]);
    tokio::time::sleep(REST).await;
    let prompted = running.monitor.prompter().probe(&name("example.com"), PATIENCE).await.unwrap();
    assert_eq!(prompted.missing, []);
    let seen = assessment(&prompted.snapshot, "example.com");
    assert!(has(&seen, Code::MxNotInPolicy), "{:#?}", seen.findings);
    assert!(seen.mx.iter().flat_map(|mx| &mx.addresses).all(|one| one.path.latest.is_some()));
    assert_eq!((seen.mx.len(), peer.connections(), domain.smtp.connections()), (2, 1, 2));
    running.monitor.stop().await;
}

#[tokio::test]
async fn a_look_that_began_before_the_wish_does_not_count() {
    let world = MailWorld::start().await;
    let domain = world.domain("example.com").await;
    let good = SmtpScript::good(&world.pki.identity(&["mx.example.com"]));
    domain.smtp.set_script(SmtpScript { banner: Act::Hang, ..good.clone() });
    let mut settings = once(&world, &["example.com"]);
    // Longer than the rest: the look that hangs is no longer a recent one when somebody asks.
    settings.probe.timeout = REST + 3 * SECOND;
    let running = Running::start(settings).await;
    eventually("the first look hangs", || domain.smtp.connections() == 1).await;
    tokio::time::sleep(REST + SECOND).await;
    domain.smtp.set_script(good);
    let prompted = running.monitor.prompter().probe(&name("example.com"), PATIENCE).await.unwrap();
    assert_eq!(prompted.missing, []);
    assert_eq!(domain.smtp.connections(), 2);
    assert_eq!(assessment(&prompted.snapshot, "example.com").delivery, State::Protected);
    running.monitor.stop().await;
}

/// Somebody still waits for a mail host that hangs; whoever asks later must not be told what was seen for the first.
#[tokio::test]
async fn who_asks_after_the_rest_of_another_has_a_later_look() {
    let world = MailWorld::start().await;
    let domain = world.domain("example.com").await;
    let good = SmtpScript::good(&world.pki.identity(&["mx.example.com"]));
    let mut settings = once(&world, &["example.com"]);
    settings.probe.timeout = 3 * REST;
    let mut running = Running::start(settings).await;
    running.until_all_are(State::Protected).await;
    domain.smtp.set_script(SmtpScript { banner: Act::Hang, ..good });
    tokio::time::sleep(REST).await;
    let (prompter, early) = (running.monitor.prompter(), running.monitor.prompter());
    let first = tokio::spawn(async move { early.probe(&name("example.com"), PATIENCE).await });
    eventually("the mail host hangs", || domain.smtp.connections() == 2).await;
    tokio::time::sleep(REST + SECOND).await;
    assert!(!first.is_finished());
    let fetched = domain.https.connections();
    let later = prompter.probe(&name("example.com"), 2 * SECOND).await.unwrap();
    assert!(later.missing.iter().all(|one| matches!(one, Awaited::Address(..))), "{:?}", later.missing);
    assert_eq!(domain.https.connections(), fetched + 1, "the domain was looked at for the second as well");
    first.abort();
    running.monitor.stop().await;
}

#[tokio::test]
async fn at_the_end_of_the_patience_it_is_said_what_is_missing() {
    let world = MailWorld::start().await;
    let domain = world.domain("example.com").await;
    let other = world.domain("other.example").await;
    let mut running = Running::start(once(&world, &["example.com", "other.example"])).await;
    running.until_all_are(State::Protected).await;
    let good = SmtpScript::good(&world.pki.identity(&["mx.example.com"]));
    domain.smtp.set_script(SmtpScript { banner: Act::Hang, ..good });
    tokio::time::sleep(REST).await;
    let prompter = running.monitor.prompter();
    let began = Instant::now();
    let slow = name("example.com");
    let (slow, quick) = tokio::join!(prompter.probe(&slow, 2 * SECOND), async {
        prompter.probe(&name("other.example"), PATIENCE).await
    });
    let slow = slow.unwrap();
    assert!(began.elapsed() < 10 * SECOND, "{:?}", began.elapsed());
    assert!(matches!(&slow.missing[..], [Awaited::Address(host, _)] if host.as_str() == "mx.example.com"), "{slow:?}");
    assert!(slow.took >= 2 * SECOND);
    assert_eq!((slow.snapshot.domains.len(), slow.snapshot.hosts.len()), (1, 1), "no more is held than was asked for");
    let quick = quick.unwrap();
    assert_eq!(quick.missing, [], "no other domain waits");
    assert_eq!(other.smtp.connections(), 2);
    running.monitor.stop().await;
}

#[tokio::test]
async fn hosts_that_are_not_asked_keep_nobody_waiting() {
    let world = MailWorld::start().await;
    let domain = world.domain("example.com").await;
    world.dns.mx("example.com", &[(10, "mx.example.com"), (20, "no.thanks.example"), (30, "mx3.example.com")]);
    let silent = world.address();
    world.dns.a("no.thanks.example", &[&silent.to_string()]);
    world.dns.a("mx3.example.com", &[&silent.to_string()]);
    let peer = world.smtp(silent, SmtpScript::good(&world.pki.identity(&["no.thanks.example"]))).await;
    let mut settings = once(&world, &["example.com"]);
    settings.probe.opt_out = vec!["no.thanks.example".parse().unwrap()];
    settings.probe.max_mx = 2;
    let running = Running::start(settings).await;
    let prompted = running.monitor.prompter().probe(&name("example.com"), PATIENCE).await.unwrap();
    assert_eq!(prompted.missing, []);
    assert_eq!((peer.connections(), domain.smtp.connections()), (0, 1));
    running.monitor.stop().await;
}

#[tokio::test]
async fn a_domain_that_goes_meanwhile_and_one_that_never_was() {
    let world = MailWorld::start().await;
    let domain = world.domain("example.com").await;
    let _other = world.domain("other.example").await;
    let good = SmtpScript::good(&world.pki.identity(&["mx.example.com"]));
    domain.smtp.set_script(SmtpScript { banner: Act::Hang, ..good });
    let running = Running::start(once(&world, &["example.com", "other.example"])).await;
    let prompter = running.monitor.prompter();
    let nobody = prompter.probe(&name("nobody.example"), PATIENCE).await;
    assert_eq!(nobody.unwrap_err(), PromptError::NotConfigured);
    let waiting = tokio::spawn({
        let prompter = prompter.clone();
        async move { prompter.probe(&name("example.com"), PATIENCE).await }
    });
    eventually("its mail host hangs", || domain.smtp.connections() == 1).await;
    let began = Instant::now();
    running.apply(once(&world, &["other.example"])).await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap_err(), PromptError::NotConfigured);
    assert!(began.elapsed() < 10 * SECOND, "{:?}", began.elapsed());
    assert_eq!(prompter.settings().domains.len(), 1, "the settings in force");
    assert_eq!(prompter.probe(&name("other.example"), PATIENCE).await.unwrap().missing, []);
    running.monitor.stop().await;
}

#[tokio::test]
async fn who_waits_when_the_monitor_stops_hears_so() {
    let world = MailWorld::start().await;
    let domain = world.domain("example.com").await;
    let good = SmtpScript::good(&world.pki.identity(&["mx.example.com"]));
    domain.smtp.set_script(SmtpScript { banner: Act::Hang, ..good });
    let running = Running::start(once(&world, &["example.com"])).await;
    let prompter = running.monitor.prompter();
    let waiting = tokio::spawn({
        let prompter = prompter.clone();
        async move { (prompter.probe(&name("example.com"), PATIENCE).await, Instant::now()) }
    });
    eventually("its mail host hangs", || domain.smtp.connections() == 1).await;
    let began = Instant::now();
    running.monitor.stop().await;
    let (ended, at) = waiting.await.unwrap();
    assert_eq!(ended.unwrap_err(), PromptError::Stopping);
    assert!(at - began < SECOND, "before the grace is over: {:?}", at - began);
    let after = prompter.probe(&name("example.com"), PATIENCE).await;
    assert_eq!(after.unwrap_err(), PromptError::Stopping);
    let after = prompter.look_once(&name("example.com"), Duration::from_secs(5)).await;
    assert_eq!(after.unwrap_err(), PromptError::Stopping);
}
