//! The test vectors of DANE, through the judgement.

use serde::Deserialize;
use smtptls_exporter::{
    facts::{LookupFailure, LookupOutcome, Security, SmtpOutcome, TlsaRecord},
    verdict::{Code, DaneWord, Outcome, Severity},
};

use super::{
    case::{A1, DOMAIN, MX1, World, find, lookup},
    signed::{bogus, issuer, leaf, old_leaf, own, root_of_all, tlsa_name, trusted},
};
use crate::dane::pki::{record, stranger};

const VECTORS: &str = include_str!("../../data/vectors.yaml");

#[derive(Deserialize)]
struct Vectors {
    dane: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    id: String,
    input: Input,
    expect: Expect,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    mx: Option<String>,
    a: Option<String>,
    tlsa: String,
    #[serde(default)]
    rrs: Vec<String>,
    cert: Option<String>,
    chain: Option<String>,
    mx_secure: Option<bool>,
    next_hop: Option<String>,
    starttls: Option<bool>,
}

#[derive(Deserialize)]
struct Expect {
    verdict: String,
    result_type: Option<String>,
}

/// `3 1 1 match`: parameters, and what the data is of.
fn read_record(text: &str) -> TlsaRecord {
    let parts: Vec<&str> = text.split(' ').collect();
    let [usage, selector, matching, data] = parts[..] else { panic!("{text}") };
    let parameters = [usage, selector, matching].map(|number| number.parse().unwrap());
    match data {
        "match" => own(parameters, MX1),
        "match-issuer" => record(parameters, &issuer()),
        "match-root" => record(parameters, &root_of_all()),
        "no-match" => stranger(parameters),
        other => {
            let digits: usize =
                other.strip_prefix('<').and_then(|rest| rest.strip_suffix("hex>")).unwrap().parse().unwrap();
            TlsaRecord { data: vec![0xab; digits / 2].into(), ..stranger(parameters) }
        }
    }
}

fn world(input: &Input) -> World {
    assert!([&input.mx, &input.a].into_iter().flatten().all(|word| word == "secure"));
    assert!(input.mx_secure != Some(false) && input.next_hop.as_deref().is_none_or(|name| name == DOMAIN));
    let records: Vec<TlsaRecord> = input.rrs.iter().map(|text| read_record(text)).collect();
    let world = World::bare().signed();
    let world = match input.tlsa.as_str() {
        "secure" => world.tlsa(MX1, &records),
        "insecure" => world.tlsa(MX1, &records).edit_tlsa(MX1, |lookup| lookup.security = Security::Insecure),
        "secure-nxdomain" => world.tlsa(MX1, &[]),
        "servfail" => world.tlsa_lookup(MX1, lookup(&tlsa_name(MX1), LookupOutcome::Failed(LookupFailure::ServFail))),
        "bogus" => world.tlsa_lookup(MX1, bogus(&tlsa_name(MX1))),
        other => panic!("{other}"),
    };
    let certificate = match input.cert.as_deref() {
        None => leaf(MX1),
        Some("expired") => old_leaf(),
        Some("SAN=example.com only") => leaf(DOMAIN),
        Some(other) => panic!("{other}"),
    };
    assert!(input.chain.as_deref().is_none_or(|chain| chain == "leaf+intermediate, root omitted"));
    let world = world.chain(A1, |_| trusted(&[&certificate, &issuer()]));
    if input.starttls == Some(false) { world.smtp(A1, SmtpOutcome::StarttlsNotOffered) } else { world }
}

#[test]
fn dane() {
    let vectors: Vectors = serde_saphyr::from_str(VECTORS).unwrap();
    assert_eq!(vectors.dane.len(), 11, "the section is there");
    for Vector { id, input, expect } in vectors.dane {
        let seen = world(&input).assess();
        let address = &seen.mx[0].addresses[0];
        let word = address.dane_word;
        let context = format!("{id}: {word:?} {:#?}", seen.findings);
        match expect.verdict.as_str() {
            "authenticate" => {
                assert_eq!((address.dane, word), (Outcome::Secure, Some(DaneWord::Match)), "{context}");
            }
            "encrypt-unauthenticated" => {
                assert_eq!((address.dane, word), (Outcome::Open, Some(DaneWord::EncryptOnly)), "{context}");
                let clear = world(&input).smtp(A1, SmtpOutcome::StarttlsNotOffered).assess();
                assert_eq!(clear.senders.dane.paths.refused, 1, "{id}: TLS is mandatory");
            }
            "opportunistic" => {
                assert_eq!((address.dane, word), (Outcome::Open, Some(DaneWord::NotApplicable)), "{context}");
                let clear = world(&input).smtp(A1, SmtpOutcome::StarttlsNotOffered).assess();
                assert_eq!(clear.senders.dane.paths.open, 1, "{id}: clear text will do");
            }
            "host-unreachable" => {
                assert_eq!(address.dane, Outcome::Refused, "{context}");
                assert!(matches!(word, Some(DaneWord::Mismatch | DaneWord::Failed)), "{context}");
            }
            other => panic!("{id}: a verdict that this test does not know: {other}"),
        }
        let errors: Vec<_> = seen.findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
        match expect.result_type {
            Some(expected) => {
                assert!(!errors.is_empty(), "{context}");
                for error in errors {
                    assert_eq!(error.result_type, Some(expected.as_str()), "{context}");
                }
            }
            None => assert!(errors.is_empty(), "{context}"),
        }
        // What the publisher owes although this sender is content (DAN-D16).
        let stale = input.rrs.len() > 1;
        assert_eq!(find(&seen, Code::DaneCombinationStale).is_some(), stale, "{context}");
    }
}
