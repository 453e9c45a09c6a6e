use super::*;
use crate::{
    facts::{ConnectFailure, TlsFailure},
    protocol::tls::read_certificate,
    terms::Octets,
    verdict::suggest::fixture::{Host, ISSUER, LEAF, RENEWED, chain, other, suggested, survey, tls},
};

/// As `openssl x509 -pubkey -noout | openssl pkey -pubin -outform der | sha256sum` prints it.
const LEAF_SPKI: &str = "253032d1334bf5cf6bd9a489538e4118961e4d100b0032022979a094f6579ff5";
/// As `sha256sum leaf.der` prints it.
const LEAF_SHA256: &str = "e666720a1ef06bcd36d7b2dfd0b42a898a7d9fd6dc9b6138566023d7f8569172";
const ISSUER_SPKI: &str = "296447a63003fdbaee43ff4f7a7217aad59401354ddf00d800e5b19a5941e8e4";

fn texts<'a>(records: impl IntoIterator<Item = &'a TlsaRecord>) -> Vec<String> {
    records.into_iter().map(ToString::to_string).collect()
}

#[test]
fn the_record_is_what_openssl_computes() {
    let suggestion = suggested(&Host::signed());
    assert_eq!(texts(&suggestion.records), [format!("3 1 1 {LEAF_SPKI}")]);
    assert_eq!(suggestion.signing, Signing::Signed);
    assert_eq!((suggestion.holds, suggestion.ttl, suggestion.differ), (None, TLSA_TTL, false));
    let mut whole = Host::signed();
    whole.combination = Combination { usage: 3, selector: 0, matching: 1 };
    assert_eq!(texts(&suggested(&whole).records), [format!("3 0 1 {LEAF_SHA256}")]);
}

#[test]
fn the_issuer_is_told_only_where_the_server_sends_it() {
    let suggestion = suggested(&Host::signed());
    let [authority] = &suggestion.authorities[..] else { panic!("{:?}", suggestion.authorities) };
    assert_eq!(authority.record.to_string(), format!("2 1 1 {ISSUER_SPKI}"));
    let mut alone = Host::signed();
    alone.addresses = vec![survey("192.0.2.10", &[LEAF])];
    assert_eq!(suggested(&alone).authorities, []);
    // A name that the certificate does not have: DANE-TA asks for it, DANE-EE does not.
    let mut misnamed = Host::signed();
    misnamed.base = MxHost::parse("mx.example.org").unwrap();
    let suggestion = suggested(&misnamed);
    assert_eq!((suggestion.authorities.len(), suggestion.records.len()), (0, 1));
    // One chain without its issuer: no record of an issuer serves all.
    let mut one = Host::signed();
    one.addresses.push(survey("192.0.2.11", &[RENEWED]));
    assert_eq!(suggested(&one).authorities, []);
    let mut wanted = Host::signed();
    wanted.combination = AUTHORITY;
    assert_eq!(texts(&suggested(&wanted).records), [format!("2 1 1 {ISSUER_SPKI}")]);
}

#[test]
fn every_key_of_every_address_has_its_record() {
    let other = other();
    let record = format!("3 1 1 {}", read_certificate(&other).unwrap().spki_sha256);
    let mut pair = Host::signed();
    pair.addresses[0].rsa = Handshake::Done(tls(chain(&[&other])));
    let suggestion = suggested(&pair);
    assert_eq!(texts(&suggestion.records), [format!("3 1 1 {LEAF_SPKI}"), record.clone()]);
    assert!(!suggestion.differ, "one address with two kinds of key");
    let mut apart = Host::signed();
    apart.addresses.push(survey("192.0.2.11", &[&other]));
    let suggestion = suggested(&apart);
    assert!(suggestion.differ);
    assert_eq!(suggestion.records.len(), 2);
    // Where only one of them is published, mail to the other address stops.
    let suggestion = suggested(&apart.publishing_its_own());
    assert_eq!(suggestion.holds, Some(false));
    assert_eq!(texts(suggestion.missing()), [record]);
}

#[test]
fn a_renewal_with_the_same_key_needs_no_other_record() {
    let mut renewed = Host::signed().publishing_its_own();
    renewed.addresses.push(survey("192.0.2.11", &[RENEWED, ISSUER]));
    let suggestion = suggested(&renewed);
    assert_eq!((suggestion.certificates.len(), suggestion.records.len()), (2, 1));
    assert_eq!((suggestion.holds, suggestion.authorities.len()), (Some(true), 1));
}

#[test]
fn what_is_published_is_held_against_what_is_in_use() {
    let suggestion = suggested(&Host::signed().publishing_its_own());
    assert_eq!((suggestion.holds, suggestion.missing().count()), (Some(true), 0));
    assert_eq!(suggestion.published[0].1, PublishedSight::Matches);
    assert_eq!(suggestion.ttl, 7200, "that of the published records");
    let suggestion = suggested(&Host::signed().publishing(&[[7; 32]]));
    assert_eq!(suggestion.holds, Some(false));
    assert_eq!((suggestion.missing().count(), suggestion.leftover().count()), (1, 1));
    let unusable = TlsaRecord { usage: 1, selector: 1, matching: 1, data: Octets(vec![7; 32]) };
    let suggestion = suggested(&Host::signed().with_tlsa(vec![unusable], Security::Secure));
    assert_eq!((suggestion.holds, suggestion.published[0].1), (None, PublishedSight::Unusable));
}

#[test]
fn the_next_key_is_prepared() {
    let own = suggested(&Host::signed()).records[0].clone();
    let next = TlsaRecord { data: Octets(vec![9; 32]), ..own.clone() };
    let ready = Host::signed().with_tlsa(vec![own.clone(), next.clone()], Security::Secure).with_next([9; 32]);
    let suggestion = suggested(&ready);
    assert_eq!(suggestion.records, [own, next]);
    assert_eq!(suggestion.published[1].1, PublishedSight::Next);
    assert_eq!((suggestion.holds, suggestion.missing().count(), suggestion.leftover().count()), (Some(true), 0, 0));
}

#[test]
fn the_record_of_a_key_alone_is_no_record_of_a_certificate() {
    let next = KeyMaterial { public_key_info: vec![1, 2, 3], certificate: None };
    assert_eq!(next_record(USUAL, &next).unwrap().unwrap().data.as_bytes().len(), 32);
    let whole = Combination { usage: 3, selector: 0, matching: 1 };
    assert_eq!(next_record(whole, &next), Err(NeedsCertificate));
    let next = KeyMaterial { certificate: Some(LEAF.to_vec()), ..next };
    assert_eq!(next_record(whole, &next).unwrap().unwrap().to_string(), format!("3 0 1 {LEAF_SHA256}"));
}

#[test]
fn whether_anybody_believes_in_the_records() {
    assert_eq!(suggested(&Host::unsigned()).signing, Signing::Unsigned);
    let insecure = suggested(&Host::signed().with_tlsa(Vec::new(), Security::Insecure));
    assert_eq!(insecure.signing, Signing::Unsigned, "the zone cut lies between the host and _25._tcp");
    let mut blind = Host::signed();
    blind.vantage.dnssec = DnssecSight::Blind;
    assert_eq!(suggested(&blind).signing, Signing::NotSeen);
    let mut off = Host::signed();
    off.vantage.dnssec = DnssecSight::Off;
    off.lookup.tlsa = None;
    assert_eq!(suggested(&off).signing, Signing::NotSeen);
    let bogus = Host::signed().with_tlsa(Vec::new(), Security::Bogus);
    assert!(matches!(suggested(&bogus).signing, Signing::Broken(LookupLink::Tlsa(_))));
    let mut doubtful = bogus;
    doubtful.lookup.dnssec_healthy = false;
    assert_eq!(suggested(&doubtful).signing, Signing::NotSeen, "the fault may be this side's");
}

#[test]
fn what_was_not_seen_is_told_and_is_no_match() {
    let mut half = Host::signed().publishing_its_own();
    half.addresses.push(Host::signed().silent().addresses.remove(0));
    half.addresses[1].usual.address = "192.0.2.11".parse().unwrap();
    let suggestion = suggested(&half);
    assert_eq!(suggestion.holds, None, "one address was not seen");
    assert_eq!(suggestion.unseen.len(), 1);
    assert!(!suggestion.own_side);
    let mut keys = Host::signed();
    keys.addresses[0].rsa = Handshake::NotSeen("no answer".into());
    assert_eq!(suggested(&keys).unseen.len(), 1);
    keys.addresses[0].rsa = Handshake::Failed(TlsFailure::Alert("handshake_failure".into()));
    assert_eq!(suggested(&keys).unseen, [], "a server without such a key says no");
    let mut capped = Host::signed().publishing_its_own();
    capped.skipped = 3;
    assert_eq!((suggested(&capped).holds, suggested(&capped).unseen.len()), (None, 1));
}

#[test]
fn this_side_is_blamed_for_its_own_faults_alone() {
    assert!(!suggested(&Host::signed().silent()).own_side, "the host refuses");
    let mut spared = Host::signed();
    spared.addresses.clear();
    assert!(suggested(&spared).own_side && suggested(&spared).unseen.len() == 1, "the configuration spares it");
    let mut blocked = Host::signed().silent();
    blocked.addresses[0].usual.outcome = SmtpOutcome::ConnectFailed(ConnectFailure::Timeout);
    blocked.vantage.smtp_blocked = true;
    assert!(suggested(&blocked).own_side);
}
