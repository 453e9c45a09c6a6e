//! What records say of chains (RFC 7672 §3.1, §3.2; RFC 7671 §5).

use rustls_pki_types::{CertificateDer, pem::PemObject};
use smtptls_exporter::{
    facts::TlsaRecord,
    protocol::dane::{ChainFault, DaneResult, MAX_ANCHORS, MAX_RECORDS, RecordSight, verify},
    terms::Timestamp,
};

use super::pki::{
    Authority, HOST, Leaf, MISMATCH, chain, der, intermediate, judge, matched, now, record, root, root_of, stranger,
};

fn year(year: i32) -> Timestamp {
    format!("{year}-01-01T00:00:00Z").parse().unwrap()
}

fn faults(records: &[TlsaRecord], certificates: &[&[u8]]) -> Vec<ChainFault> {
    match judge(records, certificates).result {
        DaneResult::ChainInvalid { fault, further, .. } => std::iter::once(fault).chain(further).collect(),
        other => panic!("no fault of the chain: {other:?}"),
    }
}

/// Root, intermediate and their bytes.
fn authorities() -> (Authority, Authority) {
    let root = root("Root");
    let intermediate = intermediate("Intermediate", &root, (2020, 2030));
    (root, intermediate)
}

/// DAN-10: neither names nor dates nor issuers.
#[test]
fn the_key_of_the_leaf_is_all_that_dane_ee_asks() {
    let (_, issuer) = authorities();
    let version1 = include_bytes!("../../data/certificates/version1.pem");
    for leaf in [
        Leaf::new().by(&issuer),
        Leaf::named("other.example").by(&issuer),
        Leaf::new().years(2020, 2021).by(&issuer),
        Leaf::new().years(2030, 2031).by(&issuer),
        Leaf::new().years(2027, 2026).by(&issuer),
        Leaf::new().client_only().by(&issuer),
        Leaf::new().self_signed(),
        Leaf::new().authority().self_signed(),
        CertificateDer::from_pem_slice(version1).unwrap().to_vec(),
    ] {
        for parameters in [[3, 0, 0], [3, 0, 1], [3, 0, 2], [3, 1, 0], [3, 1, 1], [3, 1, 2]] {
            let record = record(parameters, &leaf);
            assert_eq!(judge(&[record], &[&leaf]).result, matched(0, 0), "{parameters:?}");
            assert_eq!(judge(&[stranger([3, 1, 1])], &[&leaf]).result, MISMATCH);
        }
    }
}

#[test]
fn an_issuer_that_was_sent() {
    let (root, issuer) = authorities();
    let leaf = Leaf::new().by(&issuer);
    let (issuer, root) = (der(&issuer), der(&root));
    for parameters in [[2, 0, 0], [2, 0, 1], [2, 0, 2], [2, 1, 0], [2, 1, 1], [2, 1, 2]] {
        for (depth, named) in [(1, &issuer), (2, &root)] {
            let records = [record(parameters, named)];
            assert_eq!(judge(&records, &[&leaf, &issuer, &root]).result, matched(0, depth), "{parameters:?}");
        }
        let records = [record(parameters, &root)];
        assert_eq!(judge(&records, &[&leaf, &root, &issuer]).result, matched(0, 1), "in any order");
        let below = [record(parameters, &issuer)];
        assert_eq!(judge(&below, &[&leaf, &issuer]).result, matched(0, 1), "the root above is not needed");
    }
}

/// DAN-13, DAN-D15: only a record that brings the issuer itself does without the server.
#[test]
fn an_issuer_that_was_not_sent() {
    let (root, issuer) = authorities();
    let leaf = Leaf::new().by(&issuer);
    let (issuer, root) = (der(&issuer), der(&root));
    for digest in [[2, 0, 1], [2, 0, 2], [2, 1, 1], [2, 1, 2]] {
        assert_eq!(judge(&[record(digest, &root)], &[&leaf, &issuer]).result, MISMATCH, "{digest:?}");
        assert_eq!(judge(&[record(digest, &issuer)], &[&leaf]).result, MISMATCH, "{digest:?}");
    }
    let brought = DaneResult::Match { record: 0, depth: None };
    for full in [[2, 0, 0], [2, 1, 0]] {
        assert_eq!(judge(&[record(full, &root)], &[&leaf, &issuer]).result, brought, "{full:?}");
        assert_eq!(judge(&[record(full, &issuer)], &[&leaf]).result, brought, "{full:?}");
        assert_eq!(judge(&[record(full, &root)], &[&leaf]).result, MISMATCH, "{full:?}: the way there is missing");
        let namesake = der(&super::pki::root("Root"));
        assert_eq!(judge(&[record(full, &namesake)], &[&leaf, &issuer]).result, MISMATCH, "{full:?}: another key");
    }
}

/// DAN-11, DAN-D13.
#[test]
fn dates_count_with_dane_ta() {
    let (root, issuer) = authorities();
    let root_der = der(&root);
    let issuer_der = der(&issuer);
    let subject = |name: &str| format!("CN={name}");
    let expired = |name: &str, end| ChainFault::Expired { subject: subject(name), not_after: year(end) };
    for (anchor, parameters) in [(&issuer_der, [2, 1, 1]), (&root_der, [2, 0, 1]), (&root_der, [2, 0, 0])] {
        let records = [record(parameters, anchor)];
        let leaf = Leaf::new().years(2020, 2021).by(&issuer);
        assert_eq!(faults(&records, &[&leaf, &issuer_der, &root_der]), [expired(HOST, 2021)]);
        let leaf = Leaf::new().years(2027, 2028).by(&issuer);
        let early = ChainFault::NotYetValid { subject: subject(HOST), not_before: year(2027) };
        assert_eq!(faults(&records, &[&leaf, &issuer_der, &root_der]), [early]);
        let leaf = Leaf::named("other.example").years(2020, 2021).by(&issuer);
        let both = [expired("other.example", 2021), ChainFault::Name];
        assert_eq!(faults(&records, &[&leaf, &issuer_der, &root_der]), both);
    }
    let old = intermediate("Old", &root, (2020, 2025));
    let leaf = Leaf::new().by(&old);
    let old_der = der(&old);
    for (anchor, place) in [(&old_der, "it is the one named"), (&root_der, "it is on the way")] {
        let records = [record([2, 0, 1], anchor)];
        assert_eq!(faults(&records, &[&leaf, &old_der, &root_der]), [expired("Old", 2025)], "{place}");
    }
    let bare = [record([2, 1, 0], &old_der)];
    assert_eq!(judge(&bare, &[&leaf]).result, DaneResult::Match { record: 0, depth: None }, "a key has no dates");
}

#[test]
fn an_anchor_from_the_dns_that_has_expired() {
    let old = root_of("Old", (2010, 2020));
    let leaf = Leaf::new().by(&old);
    let records = [record([2, 0, 0], &der(&old))];
    let expired = ChainFault::Expired { subject: "CN=Old".to_owned(), not_after: year(2020) };
    assert_eq!(faults(&records, &[&leaf]), [expired]);
}

/// DAN-12, DAN-D14.
#[test]
fn names_count_with_dane_ta() {
    let (_, issuer) = authorities();
    let issuer_der = der(&issuer);
    let records = [record([2, 1, 1], &issuer_der)];
    let result = |leaf: Leaf, names: &[&str]| {
        let leaf = leaf.by(&issuer);
        verify(&records, &chain(&[&leaf, &issuer_der]), names, now()).result
    };
    let name = DaneResult::ChainInvalid { record: 0, fault: ChainFault::Name, further: Vec::new() };
    let next_hop = || Leaf::named("example.com");
    assert_eq!(result(next_hop(), &[HOST, "example.com"]), matched(0, 1));
    assert_eq!(result(next_hop(), &[HOST]), name, "where the MX records are insecure");
    assert_eq!(result(Leaf::named("*.example.com"), &[HOST]), matched(0, 1));
    assert_eq!(result(Leaf::named("*.com"), &[HOST]), name);
    assert_eq!(result(Leaf::new(), &[]), name);
    assert_eq!(result(Leaf::new().common_name_only(), &[HOST]), matched(0, 1), "there is no dNSName");
    assert_eq!(result(Leaf::named("other.example").common_name(HOST), &[HOST]), name, "there is one");
}

#[test]
fn a_path_that_does_not_hold() {
    let (root, issuer) = authorities();
    let leaf = Leaf::new().by(&issuer);
    let (issuer_der, root_der) = (der(&issuer), der(&root));
    let of_root = [record([2, 0, 1], &root_der)];
    assert_eq!(faults(&of_root, &[&leaf, &root_der]), [ChainFault::Incomplete], "the intermediate was not sent");
    let other = der(&super::pki::root("Stranger"));
    assert_eq!(faults(&[record([2, 0, 1], &other)], &[&leaf, &other]), [ChainFault::Incomplete], "it signed nothing");
    let namesake = der(&super::pki::root("Intermediate"));
    assert_eq!(faults(&[record([2, 0, 1], &namesake)], &[&leaf, &namesake]), [ChainFault::Incomplete], "nor did it");

    let late = Leaf::new().years(2020, 2021).by(&issuer);
    assert_eq!(faults(&of_root, &[&late, &root_der]), [ChainFault::Incomplete], "dates are not all");

    let wrong_purpose = Leaf::new().client_only().by(&issuer);
    let refused = faults(&[record([2, 1, 1], &issuer_der)], &[&wrong_purpose, &issuer_der]);
    assert!(matches!(refused[..], [ChainFault::Refused(_)]), "{refused:?}");

    let no_authority = Leaf::named("no-ca.example").self_signed();
    let refused = faults(&[record([2, 0, 1], &no_authority)], &[&leaf, &no_authority]);
    assert!(matches!(refused[..], [ChainFault::Refused(_)]), "{refused:?}");
}

/// OpenSSL: "no matching DANE TLSA records" for a leaf as its own issuer, but "signed the certificate" for a bare key.
#[test]
fn a_leaf_that_signed_itself_is_no_issuer() {
    for leaf in [Leaf::new().self_signed(), Leaf::new().authority().self_signed()] {
        for parameters in [[2, 0, 0], [2, 0, 1], [2, 1, 1], [2, 1, 2]] {
            let verdict = judge(&[record(parameters, &leaf)], &[&leaf]);
            assert_eq!(verdict.result, MISMATCH, "{parameters:?}");
            assert_eq!(verdict.records, [RecordSight::WrongUsage { depth: 0 }]);
        }
        let bare = judge(&[record([2, 1, 0], &leaf)], &[&leaf]).result;
        assert_eq!(bare, DaneResult::Match { record: 0, depth: None });
    }
    let (_, issuer) = authorities();
    let leaf = Leaf::new().by(&issuer);
    let verdict = judge(&[record([2, 1, 0], &leaf)], &[&leaf, &der(&issuer)]);
    assert_eq!((verdict.result, verdict.records), (MISMATCH, vec![RecordSight::WrongUsage { depth: 0 }]));
}

/// OpenSSL accepts it, and mail servers have it.
#[test]
fn a_leaf_that_says_it_is_an_authority() {
    let (root, issuer) = authorities();
    let (issuer_der, root_der) = (der(&issuer), der(&root));
    let leaf = Leaf::new().authority().by(&issuer);
    for parameters in [[2, 0, 1], [2, 1, 0], [2, 0, 0]] {
        assert_eq!(judge(&[record(parameters, &issuer_der)], &[&leaf, &issuer_der]).result, matched(0, 1));
        assert_eq!(judge(&[record(parameters, &root_der)], &[&leaf, &issuer_der, &root_der]).result, matched(0, 2));
    }
    let late = Leaf::new().authority().years(2020, 2021).by(&issuer);
    let fault = faults(&[record([2, 0, 1], &issuer_der)], &[&late, &issuer_der]);
    assert!(matches!(fault[..], [ChainFault::Expired { .. }]), "{fault:?}");
    let forged = Leaf::new().authority().by(&super::pki::root("Intermediate"));
    assert_eq!(faults(&[record([2, 0, 1], &issuer_der)], &[&forged, &issuer_der]), [ChainFault::Incomplete]);
}

#[test]
fn a_record_with_the_usage_of_another_certificate() {
    let (_, issuer) = authorities();
    let leaf = Leaf::new().by(&issuer);
    let issuer = der(&issuer);
    let verdict = judge(&[record([3, 1, 1], &issuer), record([2, 1, 1], &leaf)], &[&leaf, &issuer]);
    assert_eq!(verdict.result, MISMATCH);
    let wrong = |depth| RecordSight::WrongUsage { depth };
    assert_eq!(verdict.records, [wrong(1), wrong(0)]);
}

#[test]
fn any_match_is_enough_and_the_leaf_comes_first() {
    let (_, issuer) = authorities();
    let leaf = Leaf::new().by(&issuer);
    let issuer = der(&issuer);
    let certificates: [&[u8]; 2] = [&leaf, &issuer];
    let (ee, ta) = (record([3, 1, 1], &leaf), record([2, 1, 1], &issuer));
    assert_eq!(judge(&[ta.clone(), ee.clone()], &certificates).result, matched(1, 0));
    assert_eq!(judge(&[stranger([3, 1, 1]), ta.clone()], &certificates).result, matched(1, 1));
    assert_eq!(judge(&[stranger([2, 1, 1]), stranger([3, 1, 1]), ee.clone()], &certificates).result, matched(2, 0));

    let leaf = Leaf::named("other.example").years(2020, 2021).by(&root("Other"));
    let certificates: [&[u8]; 2] = [&leaf, &issuer];
    let verdict = judge(&[ta, record([3, 0, 1], &leaf)], &certificates);
    assert_eq!(verdict.result, matched(1, 0), "what is wrong by DANE-TA does not matter");
    assert!(matches!(verdict.records[0], RecordSight::Fault { .. }));
}

/// A cross-signed issuer: one key, two certificates, one of them past its end.
#[test]
fn the_best_of_several_issuers_with_one_key() {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
    let root = root("Root");
    let key = KeyPair::generate().unwrap().serialize_der();
    let signed = |until| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Crossed");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(until, 1, 1));
        CertifiedIssuer::signed_by(params, KeyPair::try_from(key.as_slice()).unwrap(), &root).unwrap()
    };
    let (old, new) = (signed(2025), signed(2030));
    let leaf = Leaf::new().by(&new);
    let records = [record([2, 1, 1], &der(&new))];
    assert_eq!(judge(&records, &[&leaf, &der(&old), &der(&new)]).result, matched(0, 2));
    assert!(matches!(faults(&records, &[&leaf, &der(&old)])[..], [ChainFault::Expired { .. }]));
}

#[test]
fn work_is_bounded() {
    let leaf = Leaf::new().self_signed();
    let mut records: Vec<TlsaRecord> = (0..=MAX_ANCHORS).map(|_| record([2, 0, 0], &der(&root("Stranger")))).collect();
    let verdict = judge(&records, &[&leaf]);
    assert_eq!(verdict.records[MAX_ANCHORS - 1..], [RecordSight::NoMatch, RecordSight::NotLookedAt]);

    records.truncate(1);
    records.resize(MAX_RECORDS, stranger([3, 1, 1]));
    records.push(record([3, 1, 1], &leaf));
    let verdict = judge(&records, &[&leaf]);
    assert_eq!((verdict.records.len(), verdict.records.last()), (MAX_RECORDS + 1, Some(&RecordSight::NotLookedAt)));
    assert_eq!(verdict.result, MISMATCH);
}

/// Many issuers of one name, of which none signed anything here: the verifier gives up, and so do we.
#[test]
fn a_hostile_chain_comes_to_an_end() {
    let issuers: Vec<Vec<u8>> = (0..15).map(|_| der(&root("Same"))).collect();
    let leaf = Leaf::new().years(2020, 2021).by(&root("Same"));
    let certificates: Vec<&[u8]> = std::iter::once(&leaf).chain(&issuers).map(Vec::as_slice).collect();
    let records: Vec<TlsaRecord> =
        issuers.iter().flat_map(|issuer| [record([2, 0, 1], issuer), record([2, 0, 2], issuer)]).collect();
    let verdict = judge(&records, &certificates);
    assert!(matches!(verdict.result, DaneResult::ChainInvalid { .. }), "{:?}", verdict.result);
    let passed = verdict.records.iter().filter(|sight| **sight == RecordSight::NotLookedAt).count();
    assert_eq!(passed, records.len() - 2 * MAX_ANCHORS, "two records of one issuer cost one search");
}
