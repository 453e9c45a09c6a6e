//! DNSSEC, seen by a resolver that believes the AD bit and by one that validates: the same world, the same verdicts.

use std::time::Duration;

use smtptls_exporter::{
    facts::{DnssecSight, Lookup, LookupFailure, LookupOutcome, Security},
    net::resolver::{DnssecChoice, Families, Resolver, ResolverOptions, TrustAnchors},
};

use crate::world::{
    dns::{Behaviour, DnsPeer, RecordType},
    signed::{Role, Signing},
};

const PATIENT: Duration = Duration::from_secs(20);

/// A signed root and `test`, and below it one zone of every kind, each with the same records.
async fn world(role: Role) -> DnsPeer {
    let peer = DnsPeer::start().await;
    peer.sign(role);
    peer.zone_signed("test", Signing::Signed);
    for (zone, signing) in ZONES {
        peer.zone_signed(zone, signing);
        peer.mx(zone, &[(10, &format!("mx.{zone}"))]);
        peer.a(&format!("mx.{zone}"), &["192.0.2.1"]);
        peer.tlsa(&format!("_25._tcp.mx.{zone}"), &[(3, 1, 1, &[7; 32])]);
    }
    peer
}

const ZONES: [(&str, Signing); 8] = [
    ("good.test", Signing::Signed),
    ("plain.test", Signing::Unsigned),
    ("wrong.test", Signing::WrongDs),
    ("old.test", Signing::Expired),
    ("early.test", Signing::NotYetValid),
    ("bare.test", Signing::NoSignatures),
    ("forged.test", Signing::Tampered),
    ("sha1.test", Signing::Sha1Delegation),
];

fn with(peer: &DnsPeer, dnssec: DnssecChoice) -> Resolver {
    Resolver::new(ResolverOptions { dnssec, ..ResolverOptions::new(vec![peer.address()], PATIENT) })
}

fn anchors(lines: &str) -> TrustAnchors {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("root.key");
    std::fs::write(&path, lines).unwrap();
    TrustAnchors::from_file(&path).unwrap()
}

fn validating(peer: &DnsPeer) -> Resolver {
    with(peer, DnssecChoice::Validate(anchors(&peer.anchor())))
}

/// Each way to judge with an upstream that it works with.
async fn both() -> Vec<(&'static str, DnsPeer, Resolver)> {
    let mut all = Vec::new();
    for role in [Role::Validating, Role::ValidatingTerse] {
        let peer = world(role).await;
        let resolver = with(&peer, DnssecChoice::TrustAd);
        all.push(("trust-ad", peer, resolver));
    }
    for role in [Role::Forwarder, Role::Validating, Role::ValidatingTerse] {
        let peer = world(role).await;
        let resolver = validating(&peer);
        all.push(("validate", peer, resolver));
    }
    all
}

fn why<T>(lookup: &Lookup<T>) -> &str {
    match lookup.failure() {
        Some(LookupFailure::Bogus(why)) => why,
        _ => "",
    }
}

#[tokio::test]
async fn every_kind_of_zone_gets_its_verdict() {
    for (way, _peer, resolver) in both().await {
        assert!(resolver.dnssec_healthy().await, "{way}");
        assert_eq!(resolver.dnssec_sight(), DnssecSight::Validating, "{way}");
        for (zone, signing) in ZONES {
            let mx = resolver.mx(zone).await;
            let addresses = resolver.addresses(&format!("mx.{zone}"), Families::ALL).await;
            let tlsa = resolver.tlsa(&format!("_25._tcp.mx.{zone}")).await;
            let ip4 = addresses.ip4.unwrap();
            let expected = match signing {
                Signing::Signed | Signing::Sha1Delegation => Security::Secure,
                Signing::Unsigned => Security::Insecure,
                _ => Security::Bogus,
            };
            let seen = [mx.security, ip4.security, addresses.ip6.unwrap().security, tlsa.security];
            assert_eq!(seen, [expected; 4], "{way}: {zone}: {mx:?}");
            let there = expected != Security::Bogus;
            assert_eq!([mx.answered(), ip4.answered(), tlsa.answered()], [there; 3], "{way}: {zone}");
            assert_eq!(tlsa.records().len(), usize::from(there));
            if there {
                assert_eq!(tlsa.records()[0].to_string(), format!("3 1 1 {}", "07".repeat(32)));
            }
        }
    }
}

#[tokio::test]
async fn a_bogus_answer_says_what_is_wrong() {
    for (way, _peer, resolver) in both().await {
        let said = |zone| {
            let resolver = resolver.clone();
            async move { why(&resolver.mx(zone).await).to_owned() }
        };
        assert_eq!(said("wrong.test").await, "no DNSKEY of wrong.test matches its DS record", "{way}");
        assert!(said("old.test").await.starts_with("the signature of old.test MX ended on 20"), "{way}");
        assert!(said("early.test").await.starts_with("the signature of early.test MX begins only on 20"), "{way}");
        assert_eq!(said("bare.test").await, "bare.test MX has no signature, although bare.test is signed", "{way}");
        assert_eq!(said("forged.test").await, "the signature of forged.test MX does not match the records", "{way}");
    }
}

#[tokio::test]
async fn absence_is_secure_where_it_is_proven_and_insecure_where_nothing_is_signed() {
    for (way, _peer, resolver) in both().await {
        for (name, expected, security) in [
            ("_mta-sts.good.test", LookupOutcome::NxDomain, Security::Secure),
            ("good.test", LookupOutcome::NoData, Security::Secure),
            ("mx.good.test", LookupOutcome::NoData, Security::Secure),
            ("nothing.test", LookupOutcome::NxDomain, Security::Secure),
            ("nothing", LookupOutcome::NxDomain, Security::Secure),
            ("_mta-sts.plain.test", LookupOutcome::NxDomain, Security::Insecure),
            ("plain.test", LookupOutcome::NoData, Security::Insecure),
        ] {
            let lookup = resolver.txt(name).await;
            assert_eq!((lookup.outcome, lookup.security), (expected, security), "{way}: {name}");
        }
        let bogus = resolver.txt("_mta-sts.bare.test").await;
        assert_eq!(bogus.security, Security::Bogus, "{way}: {bogus:?}");
    }
}

#[tokio::test]
async fn one_insecure_link_makes_a_chain_insecure_and_a_bogus_one_bogus() {
    for (way, peer, resolver) in both().await {
        peer.zone_signed("other.test", Signing::Signed);
        peer.a("www.other.test", &["192.0.2.7"]);
        for (alias, target) in [
            ("a.good.test", "www.other.test"),
            ("b.good.test", "mx.plain.test"),
            ("c.plain.test", "www.other.test"),
            ("d.good.test", "mx.wrong.test"),
            ("e.good.test", "absent.other.test"),
            ("f.good.test", "absent.plain.test"),
            ("g.good.test", "other.test"),
        ] {
            peer.cname(alias, target);
        }
        let a = async |name| {
            let only = Families { ip4: true, ip6: false };
            resolver.addresses(name, only).await.ip4.unwrap()
        };
        let seen = a("a.good.test").await;
        assert_eq!((seen.security, &seen.cname[..]), (Security::Secure, &["www.other.test".to_owned()][..]), "{way}");
        assert_eq!(a("b.good.test").await.security, Security::Insecure, "{way}");
        assert_eq!(a("c.plain.test").await.security, Security::Insecure, "{way}");
        assert_eq!(a("d.good.test").await.security, Security::Bogus, "{way}");
        let dangling = a("e.good.test").await;
        assert_eq!((dangling.is_dangling(), dangling.security), (true, Security::Secure), "{way}");
        let dangling = a("f.good.test").await;
        assert_eq!((dangling.is_dangling(), dangling.security), (true, Security::Insecure), "{way}");
        let empty = a("g.good.test").await;
        assert_eq!((empty.outcome, empty.security), (LookupOutcome::NoData, Security::Secure), "{way}");

        // The alias alone is secure although its end is not (RFC 7672 §2.2.3).
        let alias = resolver.cname("b.good.test").await;
        assert_eq!((alias.records(), alias.security), (&["mx.plain.test".to_owned()][..], Security::Secure), "{way}");
        assert!(alias.cname.is_empty(), "not followed");
        let none = resolver.cname("mx.good.test").await;
        assert_eq!((none.outcome, none.security), (LookupOutcome::NoData, Security::Secure), "{way}");
        assert_eq!(resolver.cname("c.plain.test").await.security, Security::Insecure, "{way}");
    }
}

#[tokio::test]
async fn what_comes_out_of_a_wildcard_is_secure() {
    for (way, peer, resolver) in both().await {
        // Nothing follows the first one in its zone; something does the second.
        peer.txt("*.zz.good.test", &["v=STSv1; id=1;"]);
        peer.txt("*.middle.good.test", &["v=STSv1; id=1;"]);
        peer.cname("*.alias.good.test", "mx.good.test");
        for name in ["_mta-sts.zz.good.test", "_mta-sts.middle.good.test"] {
            let txt = resolver.txt(name).await;
            assert_eq!((txt.records().len(), txt.security), (1, Security::Secure), "{way}: {name}");
            assert_eq!(txt.signatures.unwrap().covers, format!("{name} TXT"));
        }
        let alias = resolver.addresses("any.alias.good.test", Families { ip4: true, ip6: false }).await.ip4.unwrap();
        assert_eq!((alias.records().len(), alias.security), (1, Security::Secure), "{way}");
    }
}

#[tokio::test]
async fn the_signature_that_ends_first_is_found_wherever_it_is() {
    const HOUR: i64 = 3600;
    for (way, peer, resolver) in both().await {
        let covers = async |left: i64| {
            resolver.flush();
            let seen = resolver.mx("good.test").await.signatures.expect("signatures");
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
            let difference = seen.expires.unix_seconds() - i64::try_from(now).unwrap() - left;
            assert!(difference.abs() < 30, "{way}: {seen:?}");
            assert!(seen.inception < seen.expires && seen.weak.is_none());
            seen.covers
        };
        peer.signature_lifetime("good.test", RecordType::MX, -HOUR, 9 * HOUR);
        assert_eq!(covers(9 * HOUR).await, "good.test MX", "{way}");
        peer.signature_lifetime("good.test", RecordType::DS, -HOUR, 8 * HOUR);
        assert_eq!(covers(8 * HOUR).await, "good.test DS", "{way}");
        peer.signature_lifetime("test", RecordType::DNSKEY, -HOUR, 7 * HOUR);
        assert_eq!(covers(7 * HOUR).await, "test DNSKEY", "{way}");
        peer.signature_lifetime(".", RecordType::DNSKEY, -HOUR, 6 * HOUR);
        assert_eq!(covers(6 * HOUR).await, ". DNSKEY", "{way}");

        let weak = resolver.mx("sha1.test").await.signatures.unwrap().weak;
        assert_eq!(weak.as_deref(), Some("sha1.test is delegated with SHA-1 digests only"), "{way}");
        assert_eq!(resolver.mx("plain.test").await.signatures, None);
        assert!(resolver.mx("good.test").await.message_bytes > 100);
    }
}

#[tokio::test]
async fn a_forwarder_that_strips_signatures_makes_blind_and_nothing_is_bogus() {
    let peer = world(Role::Stripping).await;
    let resolver = validating(&peer);
    for (zone, _) in ZONES {
        let mx = resolver.mx(zone).await;
        assert_eq!((mx.records().len(), mx.security), (1, Security::Indeterminate), "{zone}");
    }
    assert!(!resolver.dnssec_healthy().await);
    assert_eq!(resolver.dnssec_sight(), DnssecSight::Blind);
    assert_eq!(peer.count("good.test"), 1, "nothing more is asked for");

    // It becomes one that does not.
    peer.sign(Role::Forwarder);
    tokio::time::sleep(Duration::from_millis(5100)).await;
    assert!(resolver.dnssec_healthy().await);
    assert_eq!(resolver.dnssec_sight(), DnssecSight::Validating);
}

#[tokio::test]
async fn without_validation_upstream_a_missing_ad_bit_tells_nothing() {
    let peer = world(Role::Forwarder).await;
    let resolver = with(&peer, DnssecChoice::TrustAd);
    assert_eq!(resolver.mx("plain.test").await.security, Security::Indeterminate);
    assert_eq!(resolver.dnssec_sight(), DnssecSight::Blind);
    assert!(!resolver.dnssec_healthy().await);
}

#[tokio::test]
async fn a_resolver_that_is_down_is_not_healthy_and_not_blind() {
    for (way, peer, resolver) in both().await {
        assert!(resolver.dnssec_healthy().await, "{way}");
        peer.outage(Some(Behaviour::ServFail));
        assert!(resolver.dnssec_healthy().await, "{way}: it was within the minute");
        let failed = resolver.mx("good.test").await;
        assert_eq!(
            (failed.failure(), failed.security),
            (Some(&LookupFailure::ServFail), Security::Indeterminate),
            "{way}"
        );
        assert_eq!(resolver.dnssec_sight(), DnssecSight::Validating, "{way}");
    }
    let peer = world(Role::Validating).await;
    peer.outage(Some(Behaviour::ServFail));
    assert!(!validating(&peer).dnssec_healthy().await);
}

#[tokio::test]
async fn switched_off_nothing_is_asked_beside_the_question() {
    let peer = world(Role::Validating).await;
    let resolver = with(&peer, DnssecChoice::Off);
    assert_eq!(resolver.mx("good.test").await.security, Security::Indeterminate);
    assert!(!resolver.dnssec_healthy().await);
    assert_eq!(resolver.dnssec_sight(), DnssecSight::Off);
    let queries = peer.queries();
    assert!(queries.len() == 1 && !queries[0].dnssec_ok, "{queries:?}");
}

#[tokio::test]
async fn auto_believes_a_local_resolver_that_validates_and_no_other() {
    let peer = world(Role::Validating).await;
    let anchor = anchors(&peer.anchor());
    let believing = with(&peer, DnssecChoice::Auto(anchor));
    assert_eq!(believing.mx("good.test").await.security, Security::Secure);
    assert!(
        peer.queries()
            .iter()
            .all(|query| query.name != "good.test" || query.kind != RecordType::MX || !query.checking_disabled)
    );

    let peer = world(Role::Forwarder).await;
    let own = with(&peer, DnssecChoice::Auto(anchors(&peer.anchor())));
    assert_eq!(own.mx("good.test").await.security, Security::Secure);
    assert_eq!(own.mx("old.test").await.security, Security::Bogus);
}

#[tokio::test]
async fn an_anchor_may_be_a_digest() {
    let peer = world(Role::Forwarder).await;
    let resolver = with(&peer, DnssecChoice::Validate(anchors(&format!("; the root\n\n{}\n", peer.anchor_digest()))));
    assert_eq!(resolver.mx("good.test").await.security, Security::Secure);
    assert_eq!(resolver.mx("plain.test").await.security, Security::Insecure);

    // With an anchor for another root nothing validates, and nothing is called bogus for it.
    let stranger = world(Role::Forwarder).await;
    let misled = with(&peer, DnssecChoice::Validate(anchors(&stranger.anchor())));
    assert!(!misled.dnssec_healthy().await);
    let mx = misled.mx("good.test").await;
    assert_eq!((mx.records().len(), mx.security), (1, Security::Indeterminate));
}

#[tokio::test]
async fn a_bad_line_among_the_anchors_is_told_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("root.key");
    let told = |text: &str| {
        std::fs::write(&path, text).unwrap();
        TrustAnchors::from_file(&path).unwrap_err().to_string()
    };
    let shown = path.display().to_string();
    assert!(told("; a comment\n. IN DS 20326 8 2\n").starts_with(&format!("{shown}:2: this is no DS record")));
    assert!(told(". IN DNSKEY 257 3 8 !!\n").starts_with(&format!("{shown}:1: this is no DNSKEY record")));
    assert_eq!(
        told("\n\n. 60 IN A 192.0.2.1\n"),
        format!("{shown}:3: a DNSKEY or a DS record is expected here, not A")
    );
    assert_eq!(told("; nothing\n"), format!("{shown} holds no trust anchor: no DNSKEY and no DS line"));
    let missing = TrustAnchors::from_file(&folder.path().join("absent")).unwrap_err().to_string();
    assert!(missing.contains("absent"), "{missing}");
}

#[tokio::test]
async fn the_second_domain_of_a_zone_costs_little() {
    for role in [Role::Forwarder, Role::Validating] {
        let peer = world(role).await;
        let resolver = validating(&peer);
        assert!(resolver.dnssec_healthy().await);
        resolver.mx("good.test").await;
        let before = peer.queries().len();
        peer.mx("a.good.test", &[(10, "mx.good.test")]);
        assert_eq!(resolver.mx("a.good.test").await.security, Security::Secure);
        let cost = peer.queries().len() - before;
        assert_eq!(cost, 1, "{:?}", &peer.queries()[before..]);

        // A second unsigned domain: its own zone cut and the proof that it has no DS record, and nothing of what lies above.
        resolver.mx("plain.test").await;
        peer.zone_signed("plain2.test", Signing::Unsigned);
        peer.mx("plain2.test", &[(10, "mx.plain2.test")]);
        let before = peer.queries().len();
        assert_eq!(resolver.mx("plain2.test").await.security, Security::Insecure);
        let asked: Vec<_> = peer.queries()[before..].iter().map(|query| (query.name.clone(), query.kind)).collect();
        assert_eq!(asked.len(), 3, "{asked:?}");
        assert!(asked.iter().all(|(name, _)| name == "plain2.test"), "{asked:?}");
    }
}

#[tokio::test]
async fn an_unsigned_domain_costs_two_questions_more() {
    let peer = world(Role::Forwarder).await;
    let resolver = validating(&peer);
    assert!(resolver.dnssec_healthy().await);
    resolver.mx("good.test").await;
    let before = peer.queries().len();
    let (sts, tlsrpt, mx, policy) = tokio::join!(
        resolver.txt("_mta-sts.plain.test"),
        resolver.txt("_smtp._tls.plain.test"),
        resolver.mx("plain.test"),
        resolver.addresses("mta-sts.plain.test", Families::ALL),
    );
    let seen = [sts.security, tlsrpt.security, mx.security, policy.ip4.unwrap().security, policy.ip6.unwrap().security];
    assert_eq!(seen, [Security::Insecure; 5]);
    assert_eq!(resolver.addresses("mx.plain.test", Families::ALL).await.ip4.unwrap().security, Security::Insecure);
    let asked: Vec<_> = peer.queries()[before..].iter().map(|query| (query.name.clone(), query.kind)).collect();
    let more: Vec<_> = asked.iter().filter(|(_, kind)| matches!(kind, RecordType::NS | RecordType::DS)).collect();
    assert_eq!(more.len(), 2, "{asked:?}");

    // It is signed: a fresh look sees it.
    peer.zone_signed("plain.test", Signing::Signed);
    resolver.flush();
    assert_eq!(resolver.mx("plain.test").await.security, Security::Secure);
}

#[tokio::test]
async fn a_validating_resolver_that_disagrees_leaves_a_doubt() {
    // It knows nothing of the end of this signature, and gives the answer as secure: so the doubt is on this side.
    let peer = world(Role::Credulous).await;
    let resolver = validating(&peer);
    let mx = resolver.mx("old.test").await;
    assert_eq!((mx.records().len(), mx.security), (1, Security::Indeterminate));
}

#[tokio::test]
async fn a_zone_that_makes_validators_ask_without_end_is_left() {
    let peer = world(Role::Forwarder).await;
    peer.zone_signed("maze.test", Signing::Maze);
    for number in 0..10 {
        peer.zone_signed(&format!("c{number}.maze.test"), Signing::Unsigned);
    }
    peer.mx("c0.maze.test", &[(10, "mx.good.test")]);
    let resolver = validating(&peer);
    let mx =
        tokio::time::timeout(Duration::from_secs(10), resolver.mx("c0.maze.test")).await.expect("it comes to an end");
    assert_eq!((mx.records().len(), mx.security), (1, Security::Indeterminate));
    assert_eq!(resolver.mx("good.test").await.security, Security::Secure);
}

#[tokio::test]
async fn a_zone_signed_with_sha1_only_is_named_for_all_below_it() {
    let peer = world(Role::Validating).await;
    peer.zone_signed("weak.test", Signing::Sha1Signed);
    peer.zone_signed("below.weak.test", Signing::Signed);
    peer.mx("below.weak.test", &[(10, "mx.good.test")]);
    let resolver = with(&peer, DnssecChoice::TrustAd);
    let seen = resolver.mx("below.weak.test").await;
    let weak = seen.signatures.unwrap().weak;
    assert_eq!(weak.as_deref(), Some("weak.test is signed with RSA/SHA-1 only"));
    assert_eq!(resolver.mx("good.test").await.signatures.unwrap().weak, None);
}

#[tokio::test]
async fn a_passing_servfail_is_no_failed_validation() {
    // The first question fails, and the same question a moment later does not.
    let peer = world(Role::Validating).await;
    let resolver = with(&peer, DnssecChoice::TrustAd);
    assert!(resolver.dnssec_healthy().await);
    peer.behave("good.test", Behaviour::ServFailAtFirst(1));
    let mx = resolver.mx("good.test").await;
    assert_eq!((mx.records().len(), mx.security), (1, Security::Secure), "{mx:?}");
    // A server that is down for the name is no validator that refuses it.
    peer.behave("mx.good.test", Behaviour::ServFail);
    let a = resolver.addresses("mx.good.test", Families { ip4: true, ip6: false }).await.ip4.unwrap();
    assert_eq!((a.failure(), a.security), (Some(&LookupFailure::ServFail), Security::Indeterminate));
}

#[tokio::test]
async fn one_that_flaps_is_not_taken_for_one_that_refuses() {
    const BY_TURNS: Behaviour =
        Behaviour::Turns(&[Behaviour::ServFail, Behaviour::Delay(Duration::ZERO), Behaviour::ServFail]);
    let peer = world(Role::ValidatingTerse).await;
    // For one name alone it answers the second of three questions, in which it is told not to check.
    peer.behave("good.test", BY_TURNS);
    let mx = with(&peer, DnssecChoice::TrustAd).mx("good.test").await;
    assert_eq!(why(&mx), "the resolver answers only where it is told not to check");
    // It answers so whatever it is asked.
    peer.outage(Some(BY_TURNS));
    let resolver = with(&peer, DnssecChoice::TrustAd);
    let mx = resolver.mx("plain.test").await;
    assert_eq!((mx.failure(), mx.security), (Some(&LookupFailure::ServFail), Security::Indeterminate));
    assert!(!resolver.healthy().await);
}

#[tokio::test]
async fn a_denial_without_proof_is_bogus_unless_the_forwarder_drops_proofs() {
    for (way, peer, resolver) in both().await {
        peer.zone_signed("careless.test", Signing::NoDenial);
        peer.mx("careless.test", &[(10, "mx.good.test")]);
        assert_eq!(resolver.mx("careless.test").await.security, Security::Secure, "{way}");
        let absent = resolver.tlsa("_25._tcp.careless.test").await;
        assert_eq!(absent.security, Security::Bogus, "{way}");
        assert_eq!(why(&absent), "nothing in the answer proves that _25._tcp.careless.test TLSA is absent", "{way}");
    }
    let peer = world(Role::NoAuthority).await;
    let resolver = validating(&peer);
    assert_eq!(resolver.mx("good.test").await.security, Security::Secure);
    let absent = resolver.tlsa("_25._tcp.good.test").await;
    assert_eq!((absent.outcome, absent.security), (LookupOutcome::NxDomain, Security::Indeterminate));
}
