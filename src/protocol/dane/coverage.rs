//! What a set of records owes to the live chain (RFC 7671 §8, §9), and what it prepares.

use std::{collections::BTreeSet, fmt};

use super::{
    tlsa::{DANE_EE, FULL, matching_words, selector_words, usage_words},
    verify::RecordSight,
};
use crate::facts::TlsaRecord;

/// The parameters of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Combination {
    /// Certificate usage.
    pub usage: u8,
    /// Selector.
    pub selector: u8,
    /// Matching type.
    pub matching: u8,
}

impl Combination {
    /// That of a record.
    pub const fn of(record: &TlsaRecord) -> Self {
        Self { usage: record.usage, selector: record.selector, matching: record.matching }
    }

    /// For people: `DANE-EE(3) SPKI(1) SHA-256(1)`.
    pub fn words(self) -> String {
        let parts = [usage_words(self.usage), selector_words(self.selector), matching_words(self.matching)];
        parts.join(" ")
    }
}

/// As in a zone file: `3 1 1`.
impl fmt::Display for Combination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.usage, self.selector, self.matching)
    }
}

/// Whether a client with digest agility passes the record over (RFC 7671 §9): of the digests published for one usage and
/// selector it looks at the strongest that it knows, beside Full(0). SHA-512(2) is stronger than SHA-256(1).
pub(super) fn is_passed_over(record: &TlsaRecord, usable: &[&TlsaRecord]) -> bool {
    let stronger = |other: &&TlsaRecord| {
        (other.usage, other.selector) == (record.usage, record.selector) && other.matching > record.matching
    };
    record.matching != FULL && usable.iter().any(stronger)
}

/// RFC 7671 §8: the published combinations of usable records that have none for the live chain, in their order.
///
/// A DANE-TA(2) record that is the one of an issuer covers its combination even where the path from there has a fault: that
/// is another matter.
pub(super) fn stale(records: &[TlsaRecord], sights: &[RecordSight]) -> Vec<Combination> {
    let (mut published, mut covered) = (BTreeSet::new(), BTreeSet::new());
    for (record, sight) in records.iter().zip(sights) {
        match sight {
            RecordSight::Unusable(_) | RecordSight::Repeats(_) | RecordSight::NotLookedAt => {}
            RecordSight::Match { .. } | RecordSight::Fault { .. } => {
                published.insert(Combination::of(record));
                covered.insert(Combination::of(record));
            }
            RecordSight::WrongUsage { .. } | RecordSight::NoMatch => {
                published.insert(Combination::of(record));
            }
        }
    }
    published.difference(&covered).copied().collect()
}

/// RFC 7671 §8.1: the DANE-EE(3) records that match nothing, beside one of the same combination that matches: they are there
/// for a certificate that is yet to come, or is gone.
///
/// Records of DANE-TA(2) are left out: backups of an authority's keys are published for good.
pub(super) fn rollover(records: &[TlsaRecord], sights: &[RecordSight]) -> Vec<usize> {
    let pairs = || records.iter().zip(sights);
    let live: BTreeSet<Combination> = pairs()
        .filter(|(_, sight)| matches!(sight, RecordSight::Match { .. }))
        .map(|(record, _)| Combination::of(record))
        .collect();
    let other = |(record, sight): (&TlsaRecord, &RecordSight)| {
        record.usage == DANE_EE && *sight == RecordSight::NoMatch && live.contains(&Combination::of(record))
    };
    pairs().enumerate().filter(|(_, pair)| other(*pair)).map(|(place, _)| place).collect()
}
