//! TLSA records against a chain (RFC 7672 §3, RFC 7671 §5, §8, §9), with keys that signed only what is in
//! `tests/data/certificates/chain`.

use std::{collections::BTreeSet, mem::discriminant};

use aws_lc_rs::digest::{SHA256, SHA512, digest};
use smtptls_exporter::{
    facts::{ChainFacts, TlsaRecord},
    protocol::{
        dane::{
            Combination, DaneResult, MAX_ANCHORS, MAX_RECORDS, RecordSight, Verification, unusable, verify,
            verify_bytes,
        },
        tls::{MAX_CHAIN, Roots, chain_facts, names_match, read_certificate},
    },
    terms::{Octets, Timestamp},
};

use super::{
    certificate::{NOW, SIGNED, holds, signed_part},
    is_printable,
    tlsa::is_usable,
};

/// A time at which none of them is valid but `endless.der`.
const LATER: Timestamp = Timestamp::from_unix_seconds(4_000_000_000);

/// The most records for which every anchor is looked for, so that their order plays no part.
const FEW: usize = 4;

/// Pieces behind their length in two bytes: the first byte says how many of them are records, the others are a chain.
pub fn tlsa_verify(bytes: &[u8]) {
    let (records, sent) = unpacked(bytes);
    let verdict = verify_bytes(bytes, NOW);
    assert_eq!(verify_bytes(bytes, NOW), verdict, "the same bytes, the same verdict");
    let Some(verdict) = verdict else {
        assert!(sent.first().is_none_or(|leaf| read_certificate(leaf).is_err()));
        return;
    };
    let shown = format!("{verdict:?}");
    assert!(is_printable(&shown), "{shown}");

    let chain: Vec<&[u8]> = sent.iter().take(MAX_CHAIN).copied().filter(|der| read_certificate(der).is_ok()).collect();
    let case = Case { records: &records, chain: &chain, verdict: &verdict };
    case.check_sights();
    case.check_result();
    case.check_coverage();
    case.check_by_nature(&chain_facts(&sent, &Roots::default(), NOW).unwrap());
    let later = verify_bytes(bytes, LATER).unwrap();
    assert_eq!(case.end_entity(&later), case.end_entity(&verdict), "RFC 7672 §3.1.1: dates play no part");
}

fn unpacked(bytes: &[u8]) -> (Vec<TlsaRecord>, Vec<&[u8]>) {
    let Some((count, mut rest)) = bytes.split_first() else { return (Vec::new(), Vec::new()) };
    let mut pieces = Vec::new();
    while rest.len() >= 2 {
        let length = usize::from(rest[0]) * 256 + usize::from(rest[1]);
        let end = rest.len().min(2 + length);
        pieces.push(&rest[2..end]);
        rest = &rest[end..];
    }
    let chain = pieces.split_off(pieces.len().min(usize::from(*count)));
    let records = pieces.iter().filter(|rdata| rdata.len() > 2).map(|rdata| TlsaRecord {
        usage: rdata[0],
        selector: rdata[1],
        matching: rdata[2],
        data: Octets(rdata[3..].to_vec()),
    });
    (records.collect(), chain)
}

/// RFC 6698 §2.1.2, §2.1.3, read once more.
fn is_of(record: &TlsaRecord, der: &[u8]) -> bool {
    let selected = if record.selector == 0 { der } else { key(der) };
    let digest = match record.matching {
        0 => selected.to_vec(),
        1 => digest(&SHA256, selected).as_ref().to_vec(),
        _ => digest(&SHA512, selected).as_ref().to_vec(),
    };
    record.data.as_bytes() == digest
}

/// The subjectPublicKeyInfo of a certificate (RFC 5280 §4.1): the field after the subject.
fn key(der: &[u8]) -> &[u8] {
    let (certificate, _) = value(der);
    let mut fields = value(certificate).0;
    // A version, where there is one; then serialNumber, signature, issuer, validity, subject.
    // The parser takes a [0] that is not marked as constructed, which says nothing about the key.
    let before = if matches!(fields[0], 0x80 | 0xa0) { 6 } else { 5 };
    for _ in 0..before {
        fields = value(fields).1;
    }
    assert_eq!((der[0], certificate[0], fields[0]), (0x30, 0x30, 0x30), "each is a SEQUENCE");
    &fields[..fields.len() - value(fields).1.len()]
}

/// What an element holds, and what follows it.
fn value(der: &[u8]) -> (&[u8], &[u8]) {
    let (header, length) = match der[1] {
        short @ ..0x80 => (2, usize::from(short)),
        long => {
            let octets = usize::from(long & 0x7f);
            (2 + octets, der[2..2 + octets].iter().fold(0, |sum, octet| sum * 256 + usize::from(*octet)))
        }
    };
    der[header..].split_at(length)
}

struct Case<'a> {
    records: &'a [TlsaRecord],
    chain: &'a [&'a [u8]],
    verdict: &'a Verification,
}

impl Case<'_> {
    /// Places of the records that count for something: usable, each once, not too many.
    fn usable(&self) -> Vec<usize> {
        let is_first = |place: &usize| !self.records[..*place].contains(&self.records[*place]);
        let looked_at = 0..self.records.len().min(MAX_RECORDS);
        looked_at.filter(|place| is_usable(&self.records[*place])).filter(is_first).collect()
    }

    fn depths(&self, record: &TlsaRecord) -> Vec<usize> {
        (0..self.chain.len()).filter(|depth| is_of(record, self.chain[*depth])).collect()
    }

    fn check_sights(&self) {
        let usable = self.usable();
        assert_eq!(self.verdict.records.len(), self.records.len());
        for (place, (record, sight)) in self.records.iter().zip(&self.verdict.records).enumerate() {
            if place >= MAX_RECORDS {
                assert_eq!(*sight, RecordSight::NotLookedAt);
            } else if let Some(first) = self.records[..place].iter().position(|earlier| earlier == record) {
                assert_eq!(*sight, RecordSight::Repeats(first));
            } else if !usable.contains(&place) {
                assert_eq!(*sight, RecordSight::Unusable(unusable(record).unwrap()));
            } else if record.usage == 3 {
                self.check_end_entity(record, sight);
            } else {
                self.check_authority(record, sight);
            }
        }
    }

    fn check_end_entity(&self, record: &TlsaRecord, sight: &RecordSight) {
        let expected = match self.depths(record).first() {
            Some(0) => RecordSight::Match { depth: Some(0) },
            Some(issuer) => RecordSight::WrongUsage { depth: *issuer },
            None => RecordSight::NoMatch,
        };
        assert_eq!(*sight, expected, "{record}");
    }

    fn check_authority(&self, record: &TlsaRecord, sight: &RecordSight) {
        let depths = self.depths(record);
        let issuers: Vec<usize> = depths.iter().copied().filter(|depth| *depth > 0).collect();
        let depth = match sight {
            RecordSight::Match { depth } => {
                self.check_signed();
                *depth
            }
            RecordSight::Fault { depth, faults } => {
                assert!(!faults.is_empty());
                *depth
            }
            RecordSight::WrongUsage { depth } => {
                assert_eq!((*depth, &depths[..]), (0, &[0][..]), "{record}");
                return;
            }
            RecordSight::NoMatch => {
                assert!(depths.is_empty(), "{record}");
                return;
            }
            RecordSight::NotLookedAt => {
                let searches = self.usable().iter().filter(|place| self.records[**place].usage == 2).count();
                assert!(searches + self.chain.len() > MAX_ANCHORS, "{record}");
                return;
            }
            RecordSight::Unusable(_) | RecordSight::Repeats(_) => panic!("it is usable: {record}"),
        };
        match depth {
            Some(depth) => assert!(issuers.contains(&depth), "{record} is not of the certificate at {depth}"),
            // RFC 7671 §5.2.2, §5.2.3: it brings the anchor itself.
            None => assert!(record.matching == 0 && issuers.is_empty(), "{record}"),
        }
    }

    /// Nobody can sign anew, so a path from an issuer leads to a leaf that was signed; and it is in time, and for the name.
    fn check_signed(&self) {
        let known = SIGNED.iter().any(|der| holds(self.chain[0], signed_part(der)));
        assert!(known, "authentic, though nobody signed it");
        let leaf = read_certificate(self.chain[0]).unwrap();
        assert!(leaf.not_before <= NOW && NOW <= leaf.not_after);
        assert!(names_match(&leaf.names, "mx.example.com"));
    }

    /// RFC 7671 §9: the strongest digest of a usage and selector, and Full(0).
    fn counting(&self) -> Vec<usize> {
        let usable = self.usable();
        let parameters = |place: &usize| Combination::of(&self.records[*place]);
        let counts = |place: &usize| {
            let own = parameters(place);
            let alike = usable
                .iter()
                .map(parameters)
                .filter(|other| (other.usage, other.selector) == (own.usage, own.selector));
            own.matching == 0 || alike.map(|other| other.matching).max() == Some(own.matching)
        };
        usable.iter().copied().filter(counts).collect()
    }

    fn check_result(&self) {
        let sights = &self.verdict.records;
        let counting = self.counting();
        let is_match = |place: &usize| matches!(sights[*place], RecordSight::Match { .. });
        let is_fault = |place: &usize| matches!(sights[*place], RecordSight::Fault { .. });
        let usage = |place: &usize| self.records[*place].usage;
        assert_eq!(self.verdict.result == DaneResult::EncryptOnly, self.usable().is_empty());
        match &self.verdict.result {
            DaneResult::Match { record, depth } => {
                assert!(counting.contains(record));
                assert_eq!(sights[*record], RecordSight::Match { depth: *depth });
                let strongest = counting.iter().filter(|place| is_match(place)).map(usage).max();
                assert_eq!(strongest, Some(usage(record)), "DANE-EE(3) before DANE-TA(2)");
            }
            DaneResult::ChainInvalid { record, fault, further } => {
                assert!(counting.contains(record) && !counting.iter().any(is_match));
                let RecordSight::Fault { faults, .. } = &sights[*record] else { panic!("{record} has no fault") };
                assert_eq!(faults.split_first(), Some((fault, &further[..])));
            }
            DaneResult::Mismatch { passed_over } => {
                assert!(!counting.iter().any(|place| is_match(place) || is_fault(place)));
                let hidden = self.usable().into_iter().filter(|place| !counting.contains(place)).find(is_match);
                assert_eq!(*passed_over, hidden);
            }
            DaneResult::EncryptOnly => {}
        }
    }

    /// RFC 7671 §8: each published combination has a record for this chain, or is stale.
    fn check_coverage(&self) {
        let sights = &self.verdict.records;
        let combination = |place: &usize| Combination::of(&self.records[*place]);
        let published: BTreeSet<Combination> =
            self.usable().iter().filter(|place| sights[**place] != RecordSight::NotLookedAt).map(combination).collect();
        let is_covered = |wanted: &Combination| {
            self.usable().iter().any(|place| {
                let is_there = matches!(sights[*place], RecordSight::Match { .. } | RecordSight::Fault { .. });
                is_there && combination(place) == *wanted
            })
        };
        let stale: Vec<Combination> = published.into_iter().filter(|each| !is_covered(each)).collect();
        assert_eq!(self.verdict.stale, stale);

        assert!(self.verdict.rollover.is_sorted_by(|first, second| first < second));
        for place in &self.verdict.rollover {
            let record = &self.records[*place];
            assert_eq!((record.usage, &sights[*place]), (3, &RecordSight::NoMatch));
            assert!(!is_of(record, self.chain[0]), "it matches: {record}");
            assert!(is_covered(&Combination::of(record)), "nothing of its kind matches: {record}");
        }
    }

    fn end_entity<'a>(&self, verdict: &'a Verification) -> Vec<&'a RecordSight> {
        self.records
            .iter()
            .zip(&verdict.records)
            .filter(|(record, _)| record.usage == 3)
            .map(|(_, sight)| sight)
            .collect()
    }

    /// What must not matter does not: the names for DANE-EE(3), the order of the records for the result.
    fn check_by_nature(&self, facts: &ChainFacts) {
        let nameless = verify(self.records, facts, &[], NOW);
        assert_eq!(self.end_entity(&nameless), self.end_entity(self.verdict), "RFC 7672 §3.1.1: names play no part");
        let authority = |(record, sight): (&TlsaRecord, &RecordSight)| {
            record.usage == 2 && matches!(sight, RecordSight::Match { .. })
        };
        assert!(!self.records.iter().zip(&nameless.records).any(authority), "RFC 7672 §3.1.2: names count");

        if self.records.len() <= FEW && self.chain.len() <= FEW {
            let turned: Vec<TlsaRecord> = self.records.iter().rev().cloned().collect();
            let turned = verify(&turned, facts, &["mx.example.com"], NOW);
            assert_eq!(discriminant(&turned.result), discriminant(&self.verdict.result));
            assert_eq!((&turned.stale, turned.rollover.len()), (&self.verdict.stale, self.verdict.rollover.len()));
        }
    }
}
