//! Which TLSA records are looked up for a mail host, and in which order (RFC 7672 §2.2).

use std::{fs, time::Duration};

use smtptls_exporter::{
    config::{DnssecMode, Settings},
    monitor::{self, Edges},
};

use crate::world::{
    dns::{Behaviour, RecordType},
    mail_world::MailWorld,
    signed::{Role, Signing},
};

/// A mail world with a signed zone and an unsigned one.
async fn world() -> MailWorld {
    let world = MailWorld::start().await;
    world.dns.sign(Role::Validating);
    world.dns.zone_signed("signed.example", Signing::Signed);
    world.dns.zone_signed("plain.example", Signing::Unsigned);
    world.dns.zone_signed("bogus.example", Signing::WrongDs);
    world
}

fn settings(world: &MailWorld, domain: &str, mode: DnssecMode) -> Settings {
    let mut settings = world.settings(&[domain]);
    settings.resolver.dnssec = mode;
    let anchor = world.file("root.key");
    fs::write(&anchor, world.dns.anchor()).unwrap();
    settings.resolver.trust_anchor_file = Some(anchor);
    settings.probe.timeout = Duration::from_secs(3);
    settings
}

/// The names at which TLSA records, and CNAME records by themselves, were asked for during a look at a domain, each question once.
async fn asked(world: &MailWorld, domain: &str, mode: DnssecMode) -> Vec<String> {
    let settings = settings(world, domain, mode);
    let edges = Edges::open(&settings).await.unwrap();
    let before = world.dns.queries().len();
    monitor::check(&settings, &edges, &settings.domains, |_| {}).await;
    let mut asked: Vec<String> = Vec::new();
    for query in world.dns.queries().split_off(before) {
        let question = format!("{} {}", query.kind, query.name);
        if matches!(query.kind, RecordType::TLSA | RecordType::CNAME) && !asked.contains(&question) {
            asked.push(question);
        }
    }
    asked
}

#[tokio::test]
async fn the_names_follow_from_what_the_addresses_showed() {
    let world = world().await;
    let dns = &world.dns;
    let address = world.address().to_string();
    for name in ["mx.signed.example", "end.signed.example", "mx.plain.example", "mx.bogus.example"] {
        dns.a(name, &[&address]);
    }
    dns.cname("alias.signed.example", "end.signed.example");
    dns.cname("out.signed.example", "mx.plain.example");
    dns.cname("in.plain.example", "end.signed.example");
    dns.cname("dangling.signed.example", "absent.signed.example");
    let tlsa: &[(u8, u8, u8, &[u8])] = &[(3, 1, 1, &[7; 32])];
    let cases: [(&str, &[&str]); 8] = [
        ("mx.signed.example", &["TLSA _25._tcp.mx.signed.example"]),
        // The expanded name first, then the original.
        ("alias.signed.example", &["TLSA _25._tcp.end.signed.example", "TLSA _25._tcp.alias.signed.example"]),
        // The end is insecure and the alias alone is not: the original only.
        ("out.signed.example", &["CNAME out.signed.example", "TLSA _25._tcp.out.signed.example"]),
        ("in.plain.example", &["CNAME in.plain.example", "TLSA _25._tcp.in.plain.example"]),
        // Senders do not ask here; we do, to tell of records in vain.
        ("mx.plain.example", &["TLSA _25._tcp.mx.plain.example"]),
        // No address, or none that holds.
        ("absent.signed.example", &[]),
        ("dangling.signed.example", &[]),
        ("mx.bogus.example", &[]),
    ];
    for (host, expected) in cases {
        dns.mx("signed.example", &[(10, host)]);
        for mode in [DnssecMode::TrustAd, DnssecMode::Validate] {
            assert_eq!(asked(&world, "signed.example", mode).await, expected, "{host} {mode:?}");
        }
        assert!(asked(&world, "signed.example", DnssecMode::Off).await.is_empty(), "{host}");
    }
    // Where the expanded name has records the original is not asked.
    dns.tlsa("_25._tcp.end.signed.example", tlsa);
    dns.mx("signed.example", &[(10, "alias.signed.example")]);
    assert_eq!(asked(&world, "signed.example", DnssecMode::Auto).await, ["TLSA _25._tcp.end.signed.example"]);
}

#[tokio::test]
async fn a_failed_tlsa_lookup_is_tried_again_at_once_and_the_next_name_is_not_asked() {
    let world = world().await;
    world.dns.a("end.signed.example", &[&world.address().to_string()]);
    world.dns.cname("alias.signed.example", "end.signed.example");
    world.dns.mx("signed.example", &[(10, "alias.signed.example")]);
    let name = "_25._tcp.end.signed.example";
    world.dns.behave(name, Behaviour::Refused);
    assert_eq!(asked(&world, "signed.example", DnssecMode::TrustAd).await, [format!("TLSA {name}")]);
    assert_eq!(world.dns.count(name), 2);
}
