//! TLSA records (RFC 6698 §2): what is read, what SMTP can use of it, and what a set of them comes to.

use std::collections::BTreeSet;

use smtptls_exporter::{
    facts::TlsaRecord,
    protocol::{
        dane::{Unusable, matching_words, read_record_set, read_tlsa, selector_words, unusable, usage_words},
        tls::{read_certificate, read_public_key_info},
    },
};

use super::{SEPARATOR, check_stored, is_printable};

/// The RDATA of one record; and with a [`SEPARATOR`] after each, those of an RRset.
pub fn tlsa(bytes: &[u8]) {
    if let Some(record) = check_record(bytes) {
        check_use(&record);
    }
    let records: Vec<TlsaRecord> = bytes.split(|byte| *byte == SEPARATOR).filter_map(check_record).collect();
    check_set(&records);
}

fn check_record(rdata: &[u8]) -> Option<TlsaRecord> {
    let record = match read_tlsa(rdata) {
        Ok(record) => record,
        Err(error) => {
            assert!(rdata.len() < 3 && error.0 == rdata.len(), "{error}");
            return None;
        }
    };
    assert_eq!(read_zone_file(&record.to_string()), rdata, "{record}");
    check_stored(&record);
    Some(record)
}

/// RFC 6698 §2.2: three numbers and the data in hexadecimal.
fn read_zone_file(text: &str) -> Vec<u8> {
    let mut fields = text.split(' ');
    let mut rdata: Vec<u8> = fields.by_ref().take(3).map(|number| number.parse().unwrap()).collect();
    let data = fields.next().unwrap();
    rdata.extend((0..data.len()).step_by(2).map(|at| u8::from_str_radix(&data[at..at + 2], 16).unwrap()));
    assert_eq!(fields.next(), None);
    rdata
}

fn check_use(record: &TlsaRecord) {
    let why = unusable(record);
    assert_eq!(why.is_none(), is_usable(record), "{why:?}");
    let Some(why) = why else { return };
    assert!(is_printable(&why.to_string()), "{why}");
    match why {
        Unusable::Usage(usage) => {
            assert!(usage == record.usage && usage_words(usage).ends_with(&format!("({usage})")));
        }
        Unusable::Selector(selector) => {
            assert!(selector == record.selector && selector_words(selector).ends_with(&format!("({selector})")));
        }
        Unusable::Matching(matching) => {
            assert!(matching == record.matching && matching_words(matching).ends_with(&format!("({matching})")));
        }
        Unusable::DigestLength { length, expected, .. } => {
            assert!(length == record.data.as_bytes().len() && length != expected);
        }
        _ => assert_eq!(record.matching, 0, "{why:?}"),
    }
}

/// RFC 7672 §3.1.3 leaves the usages DANE-TA(2) and DANE-EE(3); RFC 6698 §2.1 has two selectors, and three matching types.
pub(super) fn is_usable(record: &TlsaRecord) -> bool {
    let data = record.data.as_bytes();
    let fits = match record.matching {
        // One SEQUENCE and nothing behind it is the least that X.509 asks for.
        0 if data.first() != Some(&0x30) => false,
        0 if record.selector == 0 => read_certificate(data).is_ok(),
        0 => read_public_key_info(data).is_ok(),
        1 => data.len() == 32,
        2 => data.len() == 64,
        _ => false,
    };
    fits && matches!(record.usage, 2 | 3) && matches!(record.selector, 0 | 1)
}

fn check_set(records: &[TlsaRecord]) {
    let set = read_record_set(records);
    let unusable: Vec<usize> = set.unusable.iter().map(|(place, _)| *place).collect();
    for places in [&set.usable, &unusable, &set.repeated] {
        assert!(places.is_sorted_by(|first, second| first < second), "{places:?}");
    }
    let all: BTreeSet<usize> = [&set.usable, &unusable, &set.repeated].into_iter().flatten().copied().collect();
    assert_eq!(set.usable.len() + unusable.len() + set.repeated.len(), records.len(), "each has one place");
    assert_eq!(all, (0..records.len()).collect());

    let usable: BTreeSet<&TlsaRecord> = records.iter().filter(|record| is_usable(record)).collect();
    assert_eq!(set.usable.iter().map(|place| &records[*place]).collect::<BTreeSet<_>>(), usable);
    assert_eq!(set.usable.len(), usable.len(), "each once");
    for place in set.repeated {
        assert!(records[..place].contains(&records[place]));
    }
    assert_eq!(set.full, records.iter().any(|record| record.matching == 0));
    assert_eq!(set.only_authorities, !usable.is_empty() && usable.iter().all(|record| record.usage == 2));
}
