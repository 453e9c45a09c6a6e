//! The record of MTA-STS (RFC 8461 §3.1).

use std::collections::BTreeSet;

use smtptls_exporter::{
    protocol::{
        mta_sts::{StsRecord, read_sts_records},
        txt::{RecordPresence, RecordReading},
    },
    terms::Octets,
};

use super::{PART_SEPARATOR, SEPARATOR, check_problems, check_verdict, is_extension_name};

/// Records end with [`SEPARATOR`], strings of a record with [`PART_SEPARATOR`].
pub fn sts_record(bytes: &[u8]) {
    let records = records(bytes);
    let reading = read_sts_records(&records);
    check_reading(&records, &reading, b"v=STSv1;");
    let Some(text) = &reading.text else { return };
    let text = text.as_bytes();
    let fits = fits_the_grammar(text);
    assert!(fits || !reading.valid(), "valid, though it breaks the grammar: {reading:?}");
    // Another record can make senders doubt this one; alone it is as good as the grammar says.
    assert!(!fits || records.len() > 1 || reading.valid(), "the grammar allows it: {reading:?}");

    let Some(record) = &reading.value else { return };
    let printed = printed(record);
    let again = read_sts_records(&[vec![Octets::from(printed.as_str())]]);
    assert!(again.valid(), "{printed}: {again:?}");
    assert_eq!(again.value.as_ref(), Some(record), "{printed}");
}

pub(super) fn records(bytes: &[u8]) -> Vec<Vec<Octets>> {
    let strings =
        |record: &[u8]| record.split(|byte| *byte == PART_SEPARATOR).map(|part| Octets(part.to_vec())).collect();
    bytes.split(|byte| *byte == SEPARATOR).map(strings).collect()
}

/// What both records have in common: which one is chosen, and what is said of it.
pub(super) fn check_reading<T>(records: &[Vec<Octets>], reading: &RecordReading<T>, prefix: &[u8]) {
    let joined: Vec<Vec<u8>> =
        records.iter().map(|strings| strings.iter().flat_map(Octets::as_bytes).copied().collect()).collect();
    let prefixed = joined.iter().filter(|text| text.starts_with(prefix)).count();
    // RFC 8461 §3.1, RFC 8460 §3: what does not begin so is dropped; one alone that does not is judged or passed over.
    match reading.presence {
        RecordPresence::Multiple(count) => assert!(count > 1 && count == prefixed),
        RecordPresence::One => assert!(prefixed == 1 || (prefixed == 0 && joined.len() == 1)),
        RecordPresence::Absent => assert_eq!(prefixed, 0),
    }
    let counted = match reading.presence {
        RecordPresence::Multiple(count) => count,
        RecordPresence::One => 1,
        RecordPresence::Absent => 0,
    };
    assert_eq!(counted + reading.unrelated, records.len());
    match &reading.text {
        Some(text) => {
            assert_eq!(reading.presence, RecordPresence::One);
            assert!(joined.iter().any(|one| one == text.as_bytes()));
            check_problems(text.as_bytes().len(), &reading.problems);
            check_verdict(reading.usable(), reading.valid(), &reading.problems);
        }
        None => assert!(reading.value.is_none() && reading.problems.is_empty() && counted != 1),
    }
}

fn printed(record: &StsRecord) -> String {
    let extensions = record.extensions.iter().map(|(name, value)| format!("; {name}={value}"));
    format!("v=STSv1; id={}", record.id) + &extensions.collect::<String>()
}

/// `sts-text-record`, with the prefix in the letter as the choice among records asks for it, and no field twice.
fn fits_the_grammar(text: &[u8]) -> bool {
    let Some(rest) = text.strip_prefix(b"v=STSv1;") else { return false };
    let mut fields: Vec<&[u8]> = rest.split(|byte| *byte == b';').collect();
    // Blanks belong to a delimiter, and behind the last field there may be none.
    let last = fields.len() - 1;
    for (index, field) in fields.iter_mut().enumerate() {
        *field = without_blanks_before(field);
        if index < last || field.is_empty() {
            *field = without_blanks_behind(field);
        }
    }
    if fields.len() > 1 && fields[last].is_empty() {
        fields.pop();
    }
    let mut names = BTreeSet::from([&b"v"[..]]);
    let fits = fields.iter().all(|field| {
        let Some(equals) = field.iter().position(|byte| *byte == b'=') else { return false };
        let (name, value) = (&field[..equals], &field[equals + 1..]);
        let value_fits = match name {
            b"id" => value.len() <= 32 && value.iter().all(u8::is_ascii_alphanumeric),
            _ => value.iter().all(|byte| matches!(byte, 0x21..=0x3a | 0x3c | 0x3e..=0x7e)),
        };
        is_extension_name(name) && !value.is_empty() && value_fits && names.insert(name)
    });
    fits && names.contains(&b"id"[..])
}

fn without_blanks_before(text: &[u8]) -> &[u8] {
    &text[text.iter().take_while(|byte| b" \t".contains(byte)).count()..]
}

fn without_blanks_behind(text: &[u8]) -> &[u8] {
    &text[..text.len() - text.iter().rev().take_while(|byte| b" \t".contains(byte)).count()]
}
