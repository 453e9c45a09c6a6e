//! Short texts of what was before and after a change, for people. What peers sent is escaped already.

use std::collections::BTreeSet;

use super::SeenCertificate;
use crate::{
    facts::{MxRecord, TlsaRecord},
    protocol::{mta_sts::Policy, mta_sts::read_sts_records, txt::RecordPresence},
    terms::Octets,
    verdict::words,
};

/// More names than this make a line unreadable.
const MOST: usize = 8;
/// What is longer is cut: names in certificates and records come from strangers.
const LONGEST: usize = 200;
/// Digits of a digest that tell it from others.
const DIGITS: usize = 8;

/// A text of at most [`LONGEST`] characters.
pub(super) fn cut(text: &str) -> String {
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    text.chars().take(LONGEST).chain(['…']).collect()
}

/// `enforce, max_age 604800, mx1.example.com, mx2.example.com`, whatever the order of the file.
pub(super) fn policy(policy: &Policy) -> String {
    let patterns: BTreeSet<String> = policy.mx.iter().map(|pattern| pattern.as_str().to_ascii_lowercase()).collect();
    let mut parts = vec![policy.mode.to_string(), format!("max_age {}", policy.max_age)];
    let more = patterns.len().saturating_sub(MOST);
    parts.extend(patterns.into_iter().take(MOST).map(|pattern| cut(&pattern)));
    if more > 0 {
        parts.push(format!("and {more} more"));
    }
    parts.join(", ")
}

/// The MTA-STS record as it stands; nothing where there is none.
pub(super) fn record(records: &[Vec<Octets>]) -> Option<String> {
    let reading = read_sts_records(records);
    match reading.presence {
        RecordPresence::Absent => None,
        RecordPresence::Multiple(count) => Some(format!("{count} records")),
        RecordPresence::One => reading.text.map(|text| cut(&text.to_string())),
    }
}

/// `10 mx1.example.com, 20 mx2.example.com`, by preference; nothing where there is no MX record.
pub(super) fn mx(records: &[MxRecord]) -> Option<String> {
    let sorted: BTreeSet<&MxRecord> = records.iter().collect();
    let all: Vec<String> =
        sorted.into_iter().map(|record| cut(&format!("{} {}", record.preference, record.target))).collect();
    (!all.is_empty()).then(|| listed(&all))
}

/// `3 1 1 0b9fa5a5…, 3 1 1 77aa01c2…`; nothing where there is no record.
pub(super) fn tlsa<'a>(records: impl Iterator<Item = &'a TlsaRecord>) -> Option<String> {
    let short = |record: &TlsaRecord| {
        let data: String = record.data.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let shown: String = data.chars().take(DIGITS).collect();
        let dots = if shown.len() < data.len() { "…" } else { "" };
        format!("{} {} {} {shown}{dots}", record.usage, record.selector, record.matching)
    };
    let all: BTreeSet<String> = records.map(short).collect();
    let all: Vec<String> = all.into_iter().collect();
    (!all.is_empty()).then(|| listed(&all))
}

/// `CN=mx1.example.com, SHA-256 0b9fa5a5…, until 2026-12-01`.
pub(super) fn certificate(seen: &SeenCertificate) -> String {
    let digest: String = seen.fingerprint_sha256.chars().take(DIGITS).collect();
    format!("{}, SHA-256 {digest}…, until {}", seen.subject, words::day(seen.not_after))
}

fn listed(all: &[String]) -> String {
    let shown: Vec<&str> = all.iter().take(MOST).map(String::as_str).collect();
    match all.len().saturating_sub(MOST) {
        0 => shown.join(", "),
        more => format!("{}, and {more} more", shown.join(", ")),
    }
}
