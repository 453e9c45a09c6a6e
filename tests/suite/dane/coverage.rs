//! What a set of records owes to the live chain (RFC 7671 §8, §9) and prepares for the next.

use smtptls_exporter::protocol::dane::{Combination, DaneResult, RecordSight};

use super::pki::{HOST, Leaf, MISMATCH, der, judge, matched, record, root, stranger};

const EE_SHA256: [u8; 3] = [3, 1, 1];
const EE_SHA512: [u8; 3] = [3, 1, 2];
const TA_SHA256: [u8; 3] = [2, 1, 1];

fn combination([usage, selector, matching]: [u8; 3]) -> Combination {
    Combination { usage, selector, matching }
}

/// DAN-D16: a client that prefers SHA-512 is content, one that knows only SHA-256 is not.
#[test]
fn the_weaker_digest_was_forgotten() {
    let leaf = Leaf::new().self_signed();
    let verdict = judge(&[stranger(EE_SHA256), record(EE_SHA512, &leaf)], &[&leaf]);
    assert_eq!(verdict.result, matched(1, 0));
    assert_eq!(verdict.stale, [combination(EE_SHA256)]);
    assert!(verdict.rollover.is_empty(), "no record of its combination is live");
}

/// OpenSSL and with it Postfix look at the stronger digest only: "no matching DANE TLSA records".
#[test]
fn the_stronger_digest_was_forgotten() {
    let leaf = Leaf::new().self_signed();
    let records = [record(EE_SHA256, &leaf), stranger(EE_SHA512)];
    let verdict = judge(&records, &[&leaf]);
    assert_eq!(verdict.result, DaneResult::Mismatch { passed_over: Some(0) });
    assert_eq!(verdict.stale, [combination(EE_SHA512)]);

    for other in [[3, 0, 2], [2, 1, 2]] {
        let verdict = judge(&[record(EE_SHA256, &leaf), stranger(other)], &[&leaf]);
        assert_eq!(verdict.result, matched(0, 0), "{other:?}: agility is for each usage and selector");
        assert_eq!(verdict.stale, [combination(other)]);
    }
    let full = [record([3, 1, 0], &leaf), stranger(EE_SHA512)];
    assert_eq!(judge(&full, &[&leaf]).result, matched(0, 0), "Full(0) is always looked at");
    let mut short = stranger(EE_SHA512);
    short.data.0.pop();
    let verdict = judge(&[record(EE_SHA256, &leaf), short], &[&leaf]);
    assert_eq!((verdict.result, verdict.stale), (matched(0, 0), vec![]), "an unusable record hides nothing");
}

#[test]
fn everything_covered() {
    let root = root("Root");
    let leaf = Leaf::new().by(&root);
    let root = der(&root);
    let records = [record(EE_SHA256, &leaf), record(EE_SHA512, &leaf), record(TA_SHA256, &root)];
    let verdict = judge(&records, &[&leaf, &root]);
    assert_eq!(verdict.result, matched(1, 0), "by the stronger digest");
    assert_eq!((verdict.stale, verdict.rollover), (vec![], vec![]));
}

/// An issuer that no longer signs is owed a record, one whose leaf has a fault is not.
#[test]
fn issuers_are_covered_by_their_key() {
    let (old, new) = (root("Old"), root("New"));
    let leaf = Leaf::named("other.example").by(&new);
    let new_der = der(&new);
    let records = [record(EE_SHA256, &leaf), record(TA_SHA256, &der(&old))];
    assert_eq!(judge(&records, &[&leaf, &new_der]).stale, [combination(TA_SHA256)]);
    let records = [record(EE_SHA256, &leaf), record(TA_SHA256, &new_der)];
    let verdict = judge(&records, &[&leaf, &new_der]);
    assert_eq!((verdict.result, verdict.stale), (matched(0, 0), vec![]));
    assert!(matches!(verdict.records[1], RecordSight::Fault { .. }), "it does not name {HOST}");
}

/// A rollover record is no mismatch, and what is none is not called one.
#[test]
fn rollover() {
    let root = root("Root");
    let leaf = Leaf::new().by(&root);
    let next = Leaf::new().by(&root);
    let root = der(&root);
    let of = |parameters| record(parameters, &leaf);
    let of_next = |parameters| record(parameters, &next);
    for (records, prepared, name) in [
        (vec![of(EE_SHA256), of_next(EE_SHA256)], vec![1], "current and next"),
        (vec![of_next(EE_SHA256), of(EE_SHA256)], vec![0], "in the other order"),
        (vec![of(EE_SHA256), of(EE_SHA256)], vec![], "two equal records"),
        (vec![of(EE_SHA256), of_next(EE_SHA256), of_next(EE_SHA256)], vec![1], "the next one twice"),
        (vec![of(EE_SHA256), of(EE_SHA512)], vec![], "another matching type"),
        (vec![of(EE_SHA256), of([3, 0, 1])], vec![], "another selector"),
        (vec![of(EE_SHA256), record(TA_SHA256, &root)], vec![], "the issuer of the chain"),
        (vec![of(EE_SHA256), record(EE_SHA256, &root)], vec![], "the issuer under the wrong usage"),
        (vec![of(EE_SHA256), of_next([1, 1, 1])], vec![], "an unusable one"),
        (vec![of(EE_SHA256), of(EE_SHA512), of_next(EE_SHA256), of_next(EE_SHA512)], vec![2, 3], "two digests"),
        (vec![record(TA_SHA256, &root), stranger(TA_SHA256)], vec![], "a spare authority"),
        (vec![of_next(EE_SHA256), stranger(EE_SHA256)], vec![], "nothing is live"),
    ] {
        let verdict = judge(&records, &[&leaf, &root]);
        assert_eq!(verdict.rollover, prepared, "{name}");
        let green = records.iter().any(|record| *record == of(EE_SHA256) || record.usage == 2);
        assert_eq!(matches!(verdict.result, DaneResult::Match { .. }), green, "{name}");
        assert!(!green || verdict.stale.is_empty(), "{name}: {:?}", verdict.stale);
    }
}

#[test]
fn nothing_matches() {
    let leaf = Leaf::new().self_signed();
    let verdict = judge(&[stranger(EE_SHA256), stranger(EE_SHA512), stranger(EE_SHA256)], &[&leaf]);
    assert_eq!(verdict.result, MISMATCH);
    assert_eq!(verdict.stale, [combination(EE_SHA256), combination(EE_SHA512)]);
    assert_eq!(verdict.records, [RecordSight::NoMatch, RecordSight::NoMatch, RecordSight::Repeats(0)]);
    assert_eq!(combination(EE_SHA256).words(), "DANE-EE(3) SPKI(1) SHA-256(1)");
    assert_eq!(combination(EE_SHA256).to_string(), "3 1 1");
}
