//! Which records are read, and which SMTP can use (RFC 6698 §2.1, RFC 7671 §4.3, RFC 7672 §3.1.3).

use proptest::prelude::*;
use smtptls_exporter::{
    facts::TlsaRecord,
    protocol::dane::{
        DaneResult, RecordSight, TlsaTooShort, Unusable, matching_words, read_record_set, read_tlsa, selector_words,
        unusable, usage_words,
    },
    terms::Octets,
};

use super::pki::{Leaf, judge, matched, record, root, stranger};

fn of(usage: u8, selector: u8, matching: u8, data: Vec<u8>) -> TlsaRecord {
    TlsaRecord { usage, selector, matching, data: Octets(data) }
}

#[test]
fn rdata() {
    for length in 0..3 {
        assert_eq!(read_tlsa(&vec![3; length]), Err(TlsaTooShort(length)));
    }
    assert_eq!(read_tlsa(&[3, 1, 1]), Ok(of(3, 1, 1, Vec::new())));
    assert_eq!(read_tlsa(&[255, 7, 9, 1, 2]), Ok(of(255, 7, 9, vec![1, 2])), "what it means is another matter");
}

/// Each usage, selector and matching type with the data that would be right for it, before a chain that it is of.
#[test]
fn matrix_of_parameters() {
    let root = root("Root");
    let leaf = Leaf::new().by(&root);
    let root_der = root.der().to_vec();
    let mut judged = 0;
    for usage in [0, 1, 2, 3, 4, 255] {
        let target = if usage == 2 { &root_der } else { &leaf };
        for selector in [0, 1, 2, 255] {
            for matching in [0, 1, 2, 3, 255] {
                let mut record = record([usage, u8::from(selector == 1), matching], target);
                record.selector = selector;
                let result = judge(std::slice::from_ref(&record), &[&leaf, &root_der]).result;
                let parameters = (usage, selector, matching);
                match unusable(&record) {
                    None => {
                        let in_range = matches!(usage, 2 | 3) && selector < 2 && matching < 3;
                        assert!(in_range, "{parameters:?}");
                        let depth = usize::from(usage == 2);
                        assert_eq!(result, matched(0, depth), "{parameters:?}");
                        judged += 1;
                    }
                    Some(why) => {
                        let expected = if !matches!(usage, 2 | 3) {
                            Unusable::Usage(usage)
                        } else if selector > 1 {
                            Unusable::Selector(selector)
                        } else {
                            Unusable::Matching(matching)
                        };
                        assert_eq!(why, expected, "{parameters:?}");
                        assert_eq!(result, DaneResult::EncryptOnly, "{parameters:?}");
                    }
                }
            }
        }
    }
    assert_eq!(judged, 12);
}

#[test]
fn data_of_the_wrong_form() {
    let digest = |length, name, expected| Some(Unusable::DigestLength { length, name, expected });
    for (matching, length, why) in [
        (1, 32, None),
        (1, 31, digest(31, "SHA-256", 32)),
        (1, 33, digest(33, "SHA-256", 32)),
        (1, 0, digest(0, "SHA-256", 32)),
        (1, 64, digest(64, "SHA-256", 32)),
        (2, 64, None),
        (2, 32, digest(32, "SHA-512", 64)),
    ] {
        assert_eq!(unusable(&of(3, 1, matching, vec![0; length])), why);
    }
    let leaf = Leaf::new().self_signed();
    let key = record([3, 1, 0], &leaf).data;
    assert_eq!(unusable(&of(2, 0, 0, leaf.clone())), None);
    assert_eq!(unusable(&of(2, 1, 0, key.0.clone())), None);
    for wrong in [Vec::new(), key.0.clone(), [leaf.as_slice(), &[0]].concat(), leaf[..leaf.len() - 1].to_vec()] {
        assert!(matches!(unusable(&of(3, 0, 0, wrong)), Some(Unusable::Certificate(_))));
    }
    for wrong in [Vec::new(), leaf.clone(), [key.as_bytes(), &[0]].concat(), vec![0x30, 0]] {
        assert!(matches!(unusable(&of(3, 1, 0, wrong)), Some(Unusable::PublicKey(_))));
    }
}

#[test]
fn words() {
    let why = |record: &TlsaRecord| unusable(record).map(|why| why.to_string()).unwrap_or_default();
    assert_eq!(why(&stranger([1, 1, 1])), "usage PKIX-EE(1) is not used for SMTP");
    assert_eq!(why(&stranger([10, 1, 1])), "usage unassigned(10) is not used for SMTP");
    assert_eq!(why(&stranger([3, 2, 1])), "selector unassigned(2) is not known");
    assert_eq!(why(&stranger([3, 1, 255])), "matching type PrivMatch(255) is not known");
    assert_eq!(why(&of(3, 1, 1, vec![0; 31])), "31 bytes where SHA-256 has 32");
    assert_eq!(why(&of(3, 0, 0, vec![0x30])).split(" (").next(), Some("the data is no certificate"));
    assert_eq!([usage_words(3), usage_words(0), usage_words(255)], ["DANE-EE(3)", "PKIX-TA(0)", "PrivCert(255)"]);
    assert_eq!([selector_words(1), selector_words(0)], ["SPKI(1)", "Cert(0)"]);
    assert_eq!([matching_words(1), matching_words(2), matching_words(0)], ["SHA-256(1)", "SHA-512(2)", "Full(0)"]);
}

#[test]
fn a_set_without_a_chain() {
    let live = stranger([3, 1, 1]);
    let set = read_record_set(&[live.clone(), stranger([1, 1, 1]), live, stranger([2, 1, 1])]);
    assert_eq!((set.usable, set.repeated), (vec![0, 3], vec![2]));
    assert_eq!(set.unusable, [(1, Unusable::Usage(1))]);
    assert!(!set.only_authorities && !set.full);

    assert!(read_record_set(&[stranger([2, 1, 1]), stranger([1, 1, 1])]).only_authorities, "the other does not count");
    assert!(!read_record_set(&[]).only_authorities);
    assert!(!read_record_set(&[stranger([0, 1, 1])]).only_authorities);
    assert!(read_record_set(&[of(3, 0, 0, vec![1])]).full, "unusable, and large all the same");
}

/// DAN-D02, DAN-D03: TLS is mandatory, authentication is off.
#[test]
fn only_unusable_records() {
    let leaf = Leaf::new().self_signed();
    let short = TlsaRecord { data: Octets(vec![0; 31]), ..stranger([3, 1, 1]) };
    for records in [vec![record([1, 1, 1], &leaf)], vec![short], Vec::new()] {
        assert_eq!(judge(&records, &[&leaf]).result, DaneResult::EncryptOnly);
    }
    let mixed = judge(&[record([1, 1, 1], &leaf), stranger([3, 1, 1])], &[&leaf]);
    assert_ne!(mixed.result, DaneResult::EncryptOnly, "one usable record makes authentication mandatory");
    assert_eq!(mixed.records[0], RecordSight::Unusable(Unusable::Usage(1)));
}

proptest! {
    #[test]
    fn any_rdata_is_read_or_too_short(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        match read_tlsa(&bytes) {
            Ok(record) => {
                prop_assert_eq!([&[record.usage, record.selector, record.matching], record.data.as_bytes()].concat(), bytes);
                if let Some(why) = unusable(&record) {
                    prop_assert!(why.to_string().bytes().all(|b| (b' '..=b'~').contains(&b)));
                }
            }
            Err(short) => prop_assert_eq!((short.0, bytes.len() < 3), (bytes.len(), true)),
        }
    }
}
