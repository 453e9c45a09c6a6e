//! Situations from the tests of other programs, decided by RFC 7672 and RFC 7671.

use smtptls_exporter::{
    facts::{LookupOutcome, Security},
    protocol::dane::{ChainFault, DaneResult, TlsaStatus, next_question, tlsa_state},
};

use super::{
    base_domain::{EXPANDED, ORIGINAL, alias, first_cname, host, plain, records, seen, tlsa},
    pki::{Leaf, MISMATCH, der, intermediate, judge, matched, record, root, stranger},
};

/// mox: `3 1 2` of the leaf, `2 0 1` of the authority that was sent.
#[test]
fn mox_matches() {
    let root = root("Root");
    let leaf = Leaf::new().by(&root);
    let root = der(&root);
    assert_eq!(judge(&[record([3, 1, 2], &leaf)], &[&leaf, &root]).result, matched(0, 0));
    assert_eq!(judge(&[record([2, 0, 1], &root)], &[&leaf, &root]).result, matched(0, 1));
}

/// mox says "no match" where the only record has an unknown usage; RFC 7672 §2.2: TLS without authentication.
#[test]
fn mox_unknown_usage() {
    let leaf = Leaf::new().self_signed();
    assert_eq!(judge(&[record([10, 1, 1], &leaf)], &[&leaf]).result, DaneResult::EncryptOnly);
}

/// mox: an address behind an insecure CNAME is no DANE.
#[test]
fn mox_insecure_alias() {
    let seen = seen(Some(first_cname(Security::Insecure)), Vec::new());
    let state = tlsa_state(&host(ORIGINAL), &alias(Security::Insecure), Some(&seen)).status();
    assert_eq!(state, TlsaStatus::None);
}

/// mox: the first CNAME secure, a later one not: the original name alone, whatever stands at the expanded one.
#[test]
fn mox_insecure_further_on() {
    let lookups = vec![tlsa(EXPANDED, records(), Security::Secure), tlsa(ORIGINAL, records(), Security::Secure)];
    let seen = seen(Some(first_cname(Security::Secure)), lookups);
    let addresses = alias(Security::Insecure);
    assert_eq!(tlsa_state(&host(ORIGINAL), &addresses, Some(&seen)).base(), Some(&host(ORIGINAL)));
}

/// mox: nothing at the expanded name, so the original one.
#[test]
fn mox_falls_back_to_the_original() {
    let absent = tlsa(EXPANDED, LookupOutcome::NxDomain, Security::Secure);
    let seen = seen(None, vec![absent, tlsa(ORIGINAL, records(), Security::Secure)]);
    let addresses = alias(Security::Secure);
    assert_eq!(tlsa_state(&host(ORIGINAL), &addresses, Some(&seen)).base(), Some(&host(ORIGINAL)));
}

/// postfix-tlspol: insecure addresses, and the secure denial of any, ask for no TLSA. (What that means for a domain with several
/// hosts is no question of one host.)
#[test]
fn tlspol_does_not_ask() {
    let insecure = plain(Security::Insecure);
    let mut absent = plain(Security::Secure);
    absent.ip4.as_mut().unwrap().outcome = LookupOutcome::NoData;
    let mut insecure_absence = plain(Security::Insecure);
    insecure_absence.ip4.as_mut().unwrap().outcome = LookupOutcome::NxDomain;
    for addresses in [insecure, absent, insecure_absence] {
        assert_eq!(next_question(&host(ORIGINAL), &addresses, &seen(None, Vec::new())), None);
        assert_eq!(tlsa_state(&host(ORIGINAL), &addresses, None).status(), TlsaStatus::None);
    }
}

/// Stalwart: names are nothing to DANE-EE; a private intermediate anchors; one matching record is enough.
#[test]
fn stalwart_matches() {
    let root = root("Root");
    let private = intermediate("Private", &root, (2020, 2030));
    let leaf = Leaf::new().by(&private);
    let private_der = der(&private);
    let other = Leaf::named("other.example").by(&private);
    assert_eq!(judge(&[record([3, 1, 1], &other)], &[&other]).result, matched(0, 0));
    let ta = record([2, 1, 1], &private_der);
    assert_eq!(judge(std::slice::from_ref(&ta), &[&leaf, &private_der]).result, matched(0, 1));
    assert_eq!(judge(&[stranger([3, 1, 1]), ta], &[&leaf, &private_der]).result, matched(1, 1));
}

/// Stalwart: an expired intermediate does not anchor.
#[test]
fn stalwart_expired_intermediate() {
    let expired = intermediate("Expired", &root("Root"), (2020, 2025));
    let leaf = Leaf::new().by(&expired);
    let expired = der(&expired);
    let result = judge(&[record([2, 1, 1], &expired)], &[&leaf, &expired]).result;
    assert!(matches!(result, DaneResult::ChainInvalid { fault: ChainFault::Expired { .. }, .. }), "{result:?}");
}

/// Stalwart: `2 1 0` is a bare key, for deep chains too; the wrong key is none.
#[test]
fn stalwart_bare_key() {
    let root = root("Root");
    let first = intermediate("First", &root, (2020, 2030));
    let second = intermediate("Second", &first, (2020, 2030));
    let leaf = Leaf::new().by(&second);
    let (first, second) = (der(&first), der(&second));
    let key = record([2, 1, 0], &der(&root));
    let brought = DaneResult::Match { record: 0, depth: None };
    assert_eq!(judge(&[key], &[&leaf, &second, &first]).result, brought);
    let wrong = record([2, 1, 0], &Leaf::new().self_signed());
    assert_eq!(judge(&[wrong], &[&leaf, &second, &first]).result, MISMATCH);
}
