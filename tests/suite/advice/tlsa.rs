//! `tlsa suggest` against a world of peers, in signed zones: the records that it suggests make DANE hold.

use std::{fs, sync::Arc};

use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use rustls::{
    SignatureScheme,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use smtptls_exporter::{
    config::{DnssecMode, Settings},
    facts::TlsaRecord,
    monitor::{self, Edges},
    net::now,
    protocol::tls::read_certificate,
    terms::MxHost,
    verdict::{
        DaneWord, State,
        suggest::{Signing, TlsaFacts, TlsaSuggestion, USUAL, suggest_tlsa},
    },
};

use crate::{
    check::check_one,
    world::{
        mail_world::MailWorld,
        pki::{self, Identity},
        signed::{Role, Signing as Zone},
        smtp::{SmtpScript, TlsAct},
    },
};

async fn signed_world() -> MailWorld {
    let world = MailWorld::start().await;
    world.dns.sign(Role::Validating);
    world.dns.zone_signed("signed.example", Zone::Signed);
    world.dns.zone_signed("plain.example", Zone::Unsigned);
    world
}

fn settings(world: &MailWorld, domains: &[&str]) -> Settings {
    let mut settings = world.settings(domains);
    settings.resolver.dnssec = DnssecMode::Validate;
    let anchor = world.file("root.key");
    fs::write(&anchor, world.dns.anchor()).unwrap();
    settings.resolver.trust_anchor_file = Some(anchor);
    settings
}

async fn suggest(world: &MailWorld, host: &str) -> TlsaSuggestion {
    let settings = settings(world, &[]);
    let edges = Edges::open(&settings).await.unwrap();
    let seen = monitor::see_certificates(&settings, &edges, &MxHost::parse(host).unwrap()).await;
    let facts = TlsaFacts {
        lookup: &seen.lookup,
        base: &seen.base,
        addresses: &seen.addresses,
        skipped: seen.skipped,
        vantage: &seen.vantage,
    };
    suggest_tlsa(&facts, USUAL, None, now())
}

fn publish(world: &MailWorld, suggestion: &TlsaSuggestion, records: &[TlsaRecord]) {
    let records: Vec<(u8, u8, u8, &[u8])> =
        records.iter().map(|record| (record.usage, record.selector, record.matching, record.data.as_bytes())).collect();
    world.dns.tlsa(&format!("_25._tcp.{}", suggestion.base), &records);
}

/// A server with two certificates, as Postfix has them: ECDSA for whoever takes it, else RSA.
#[derive(Debug)]
struct Pair {
    ecdsa: Identity,
    rsa: Identity,
}

impl ResolvesServerCert for Pair {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let takes_ecdsa = hello.signature_schemes().contains(&SignatureScheme::ECDSA_NISTP256_SHA256);
        Some(if takes_ecdsa { self.ecdsa.certified() } else { self.rsa.certified() })
    }
}

fn rsa_identity(name: &str) -> Identity {
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
    Identity::from_pem_key(vec![certificate.der().clone()], &key.serialize_pem())
}

fn spki(identity: &Identity) -> String {
    read_certificate(&identity.certified().cert[0]).unwrap().spki_sha256
}

#[tokio::test]
async fn what_is_suggested_makes_dane_hold() {
    let world = signed_world().await;
    let address = world.address();
    world.mail_host("signed.example", "mx.signed.example", address);
    let _peer = world.good_smtp("mx.signed.example", address).await;
    let suggestion = suggest(&world, "mx.signed.example").await;
    assert_eq!((&suggestion.signing, suggestion.holds), (&Signing::Signed, None), "{suggestion:?}");
    assert_eq!((suggestion.records.len(), suggestion.authorities.len()), (1, 1));
    publish(&world, &suggestion, &suggestion.records);
    let again = suggest(&world, "mx.signed.example").await;
    assert_eq!((again.holds, again.missing().count()), (Some(true), 0), "{again:?}");
    let assessment = check_one(&settings(&world, &["signed.example"])).await;
    assert_eq!(assessment.mx[0].addresses[0].dane_word, Some(DaneWord::Match));
    // The record of the issuer alone does as well.
    let authority = again.authorities[0].record.clone();
    publish(&world, &again, std::slice::from_ref(&authority));
    assert_eq!(suggest(&world, "mx.signed.example").await.holds, Some(true));
    // The near miss: a record of nobody.
    let stranger = TlsaRecord { data: vec![7; 32].into(), ..authority };
    publish(&world, &again, &[stranger]);
    let wrong = suggest(&world, "mx.signed.example").await;
    assert_eq!((wrong.holds, wrong.leftover().count()), (Some(false), 1), "{wrong:?}");
}

#[tokio::test]
async fn both_keys_of_a_server_get_a_record() {
    let world = signed_world().await;
    let address = world.address();
    world.mail_host("signed.example", "mx.signed.example", address);
    let (ecdsa, rsa) = (world.pki.identity(&["mx.signed.example"]), rsa_identity("mx.signed.example"));
    for versions in [&[&TLS13][..], &[&TLS12]] {
        let pair = Arc::new(Pair { ecdsa: ecdsa.clone(), rsa: rsa.clone() });
        let mut script = SmtpScript::good(&ecdsa);
        script.tls = TlsAct::Serve(pki::server(pair, versions));
        let address = world.address();
        world.dns.a("mx.signed.example", &[&address.to_string()]);
        let _peer = world.smtp(address, script).await;
        let suggestion = suggest(&world, "mx.signed.example").await;
        let mut records: Vec<String> = suggestion.records.iter().map(ToString::to_string).collect();
        let mut expected = [&ecdsa, &rsa].map(|identity| format!("3 1 1 {}", spki(identity)));
        records.sort();
        expected.sort();
        assert_eq!(records, expected, "{suggestion:?}");
        assert!(!suggestion.differ && suggestion.unseen.is_empty());
        // A server that is known with one of them only loses the mail of senders that get the other.
        publish(&world, &suggestion, &suggestion.records[..1]);
        assert_eq!(suggest(&world, "mx.signed.example").await.holds, Some(false));
        world.dns.remove("_25._tcp.mx.signed.example");
    }
}

#[tokio::test]
async fn in_a_zone_that_is_not_signed_records_do_nothing() {
    let world = signed_world().await;
    let address = world.address();
    world.mail_host("plain.example", "mx.plain.example", address);
    let _peer = world.good_smtp("mx.plain.example", address).await;
    let suggestion = suggest(&world, "mx.plain.example").await;
    assert_eq!(suggestion.signing, Signing::Unsigned);
    assert_eq!(suggestion.records.len(), 1, "it is told all the same");
    publish(&world, &suggestion, &suggestion.records);
    assert_eq!(suggest(&world, "mx.plain.example").await.holds, None, "nobody asks for it");
    let assessment = check_one(&settings(&world, &["plain.example"])).await;
    assert_eq!(assessment.delivery, State::Unprotected);
}

#[tokio::test]
async fn of_an_alias_the_end_is_the_base() {
    let world = signed_world().await;
    let address = world.address();
    world.dns.a("end.signed.example", &[&address.to_string()]);
    world.dns.cname("mx.signed.example", "end.signed.example");
    let _peer = world.good_smtp("mx.signed.example", address).await;
    let suggestion = suggest(&world, "mx.signed.example").await;
    assert_eq!(suggestion.base.as_str(), "end.signed.example");
    assert_eq!(suggestion.alias.as_deref(), Some("end.signed.example"));
    publish(&world, &suggestion, &suggestion.records);
    assert_eq!(suggest(&world, "mx.signed.example").await.holds, Some(true));
}
