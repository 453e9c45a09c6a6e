//! Whether the places that a TLSRPT record names take reports, asked of real peers.

use std::collections::BTreeSet;

use smtptls_exporter::{
    facts::{Nowhere, RuaOutcome},
    monitor::{self, Edges},
    verdict::{Assessment, Code},
};

use super::{
    check::{check, check_one},
    world::{
        https::{Answer, AtAccept},
        mail_world::{MailWorld, policy_text},
    },
};

const ENDPOINT: &str = "https://reports.example/in?from=here";

fn unreachable(assessment: &Assessment) -> Option<&str> {
    let found = assessment.findings.iter().find(|finding| finding.code == Code::TlsRptRuaUnreachable);
    found.map(|finding| finding.detail.as_str())
}

fn names(world: &MailWorld, domain: &str, rua: &str) {
    world.dns.txt(&format!("_smtp._tls.{domain}"), &[&format!("v=TLSRPTv1; rua={rua}")]);
}

#[tokio::test]
async fn a_mailbox_is_where_its_domain_takes_mail() {
    let world = MailWorld::start().await;
    let _domain = world.domain("example.com").await;
    let settings = world.settings(&["example.com"]);
    world.dns.a("implicit.example", &["127.0.0.9"]);
    world.dns.mx("null.example", &[(0, ".")]);
    world.dns.txt("text.example", &["no mail here"]);
    for (mailbox, expected) in [
        ("mailto:tls@reports.test", None),
        ("mailto:tls@implicit.example?subject=x", None),
        ("mailto:tls@null.example", Some("a null MX")),
        ("mailto:tls@absent.example", Some("does not exist")),
        ("mailto:tls@text.example", Some("neither a mail host nor an address")),
    ] {
        names(&world, "example.com", mailbox);
        let assessment = check_one(&settings).await;
        match (unreachable(&assessment), expected) {
            (Some(detail), Some(words)) => assert!(detail.contains(words) && detail.contains(mailbox), "{detail}"),
            (None, None) => {}
            (found, _) => panic!("{mailbox}: {found:?}"),
        }
    }
    // One of two is enough for most reports; the other is told of.
    names(&world, "example.com", "mailto:tls@reports.test,mailto:tls@null.example");
    let assessment = check_one(&settings).await;
    let detail = unreachable(&assessment).unwrap();
    assert!(detail.contains("null.example") && !detail.contains("reports.test"), "{detail}");
}

#[tokio::test]
async fn an_endpoint_answers_whatever_it_says_and_whoever_signed_its_certificate() {
    let world = MailWorld::start().await;
    let _domain = world.domain("example.com").await;
    names(&world, "example.com", ENDPOINT);
    let address = world.address();
    let peer = world.https(address).await;
    world.dns.a("reports.example", &[&address.to_string()]);
    let stranger = super::world::pki::Pki::new();
    peer.serve("reports.example", &stranger.identity(&["other.example"]), Answer::status("405 No", &[], b""));
    let settings = world.settings(&["example.com"]);
    assert_eq!(unreachable(&check_one(&settings).await), None);
    let requests = peer.requests();
    assert_eq!(requests.len(), 1);
    assert!(requests[0].head.starts_with("HEAD /in?from=here HTTP/1.1\r\n"), "{}", requests[0].head);
    assert_eq!(requests[0].server_name.as_deref(), Some("reports.example"));
    for at_accept in [AtAccept::Close, AtAccept::Reset, AtAccept::ClearText] {
        peer.at_accept(at_accept);
        let assessment = check_one(&settings).await;
        let detail = unreachable(&assessment).unwrap_or_else(|| panic!("{at_accept:?}"));
        assert!(detail.contains("does not answer"), "{detail}");
    }
    drop(peer);
    assert!(unreachable(&check_one(&settings).await).is_some(), "nobody listens");
}

/// The port of the URI counts, else the configured one.
#[tokio::test]
async fn an_endpoint_has_its_port() {
    let world = MailWorld::start().await;
    let _domain = world.domain("example.com").await;
    let peer = super::world::https::HttpsPeer::start().await;
    peer.serve("reports.example", &world.pki.identity(&["reports.example"]), Answer::status("200 OK", &[], b""));
    world.dns.a("reports.example", &[&peer.ip().to_string()]);
    names(&world, "example.com", &format!("https://reports.example:{}/in", peer.port()));
    assert_eq!(unreachable(&check_one(&world.settings(&["example.com"])).await), None);
    assert!(peer.requests()[0].head.contains(&format!("host: reports.example:{}\r\n", peer.port())));
}

/// Many domains that name one place ask it once.
#[tokio::test]
async fn a_place_that_domains_share_is_asked_once() {
    let world = MailWorld::start().await;
    world.dns.uncached();
    let domains: Vec<String> = (0..12).map(|number| format!("d{number}.example")).collect();
    for domain in &domains {
        names(&world, domain, &format!("{ENDPOINT},mailto:{domain}@reports.test"));
        world.dns.mx(domain, &[(0, ".")]);
    }
    let address = world.address();
    let peer = world.https(address).await;
    world.dns.a("reports.example", &[&address.to_string()]);
    peer.serve("reports.example", &world.pki.identity(&["reports.example"]), Answer::policy(&policy_text(&["a"])));
    let settings = world.settings(&domains.iter().map(String::as_str).collect::<Vec<_>>());
    let edges = Edges::open(&settings).await.unwrap();
    for _ in 0..2 {
        let assessments = monitor::check(&settings, &edges, &settings.domains, |_| {}).await;
        assert_eq!(assessments.iter().filter_map(unreachable).collect::<Vec<_>>(), Vec::<&str>::new());
    }
    assert_eq!(peer.connections(), 1);
    let asked: Vec<_> = world.dns.queries().into_iter().filter(|query| query.name == "reports.test").collect();
    assert_eq!(asked.len(), 1, "the mailboxes differ, and their domain is one");
}

/// A domain's record must not make this program connect to hosts in its own network.
#[tokio::test]
async fn private_addresses_are_not_asked() {
    let world = MailWorld::start().await;
    let _domain = world.domain("example.com").await;
    let address = world.address();
    let peer = world.https(address).await;
    world.dns.a("reports.example", &[&address.to_string()]);
    let literal = format!("https://{address}:{}/in", peer.port());
    names(&world, "example.com", &format!("{ENDPOINT},{literal}"));
    let mut settings = world.settings(&["example.com"]);
    settings.probe.allow_private_addresses = false;
    let assessments = check(&settings).await;
    assert_eq!(peer.connections(), 0);
    assert_eq!(unreachable(&assessments[0]), None, "what was not looked at is not told of");
}

/// A host that asked not to be probed is not asked, and nothing is said of it.
#[tokio::test]
async fn who_opted_out_is_not_asked() {
    let world = MailWorld::start().await;
    let _domain = world.domain("example.com").await;
    let address = world.address();
    let peer = world.https(address).await;
    peer.at_accept(AtAccept::Close);
    world.dns.a("reports.example", &[&address.to_string()]);
    names(&world, "example.com", ENDPOINT);
    let mut settings = world.settings(&["example.com"]);
    assert!(unreachable(&check_one(&settings).await).is_some());
    let asked = peer.connections();
    settings.probe.opt_out = vec![smtptls_exporter::verdict::HostPattern::parse("reports.example").unwrap()];
    assert_eq!(unreachable(&check_one(&settings).await), None);
    assert_eq!(peer.connections(), asked);
}

#[test]
fn what_can_be_reached_is_told_apart_from_what_was_not_looked_at() {
    let outcomes = [
        (RuaOutcome::HasMx, Some(true)),
        (RuaOutcome::HasAddress, Some(true)),
        (RuaOutcome::Answers(500), Some(true)),
        (RuaOutcome::Nowhere(Nowhere::NullMx), Some(false)),
        (RuaOutcome::DoesNotAnswer(String::new()), Some(false)),
        (RuaOutcome::CouldNotLook(String::new()), None),
    ];
    for (outcome, reachable) in &outcomes {
        assert_eq!(outcome.reachable(), *reachable, "{outcome:?}");
    }
    let distinct: BTreeSet<String> =
        outcomes.iter().map(|(outcome, _)| serde_json::to_string(outcome).unwrap()).collect();
    assert_eq!(distinct.len(), outcomes.len());
}
