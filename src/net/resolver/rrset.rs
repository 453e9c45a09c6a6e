//! RRsets and their signatures (RFC 4034 §3) in the sections of a message: pure.

use hickory_resolver::proto::{
    dnssec::{
        Algorithm,
        rdata::{DNSKEY, DNSSECRData, DS, RRSIG},
    },
    rr::{Name, RData, Record, RecordType},
};

use crate::{protocol::dns::presentation, terms::Timestamp};

/// When a signature holds, and what it covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) inception: Timestamp,
    pub(super) expires: Timestamp,
    /// For people: `example.com DNSKEY`.
    pub(super) covers: String,
}

/// The DNSKEY records among these.
pub(super) fn keys<'a>(records: &'a [Record], zone: &'a Name) -> impl Iterator<Item = &'a DNSKEY> + Clone {
    records.iter().filter(move |record| record.name == *zone).filter_map(|record| match &record.data {
        RData::DNSSEC(DNSSECRData::DNSKEY(key)) => Some(key),
        _ => None,
    })
}

/// The DS records of a zone among these.
pub(super) fn delegations<'a>(records: &'a [Record], zone: &'a Name) -> impl Iterator<Item = &'a DS> + Clone {
    records.iter().filter(move |record| record.name == *zone).filter_map(|record| match &record.data {
        RData::DNSSEC(DNSSECRData::DS(ds)) => Some(ds),
        _ => None,
    })
}

/// The signatures over one RRset.
pub(super) fn signatures<'a>(
    records: &'a [Record],
    owner: &'a Name,
    kind: RecordType,
) -> impl Iterator<Item = &'a RRSIG> + Clone {
    records.iter().filter(move |record| record.name == *owner).filter_map(move |record| match signature(record) {
        Some(signature) if signature.input().type_covered == kind => Some(signature),
        _ => None,
    })
}

/// The signature that a record is.
pub(super) fn signature(record: &Record) -> Option<&RRSIG> {
    match &record.data {
        RData::DNSSEC(DNSSECRData::RRSIG(signature)) => Some(signature),
        _ => None,
    }
}

/// Whether any record is a signature: the server gives them to those who ask.
pub(super) fn has_signatures(records: &[Record]) -> bool {
    records.iter().any(|record| signature(record).is_some())
}

/// When a signature holds, by the serial number arithmetic of RFC 4034 §3.1.5: the times lie within 68 years of now.
pub(super) fn validity(signature: &RRSIG, owner: &Name, now: Timestamp) -> Validity {
    let input = signature.input();
    Validity {
        inception: unwrapped(input.sig_inception.get(), now),
        expires: unwrapped(input.sig_expiration.get(), now),
        covers: format!("{} {}", shown(owner), input.type_covered),
    }
}

fn unwrapped(serial: u32, now: Timestamp) -> Timestamp {
    let seconds = now.unix_seconds();
    // The low 32 bits are wanted, whatever stands above them.
    let low = u32::try_from(seconds.rem_euclid(1 << 32)).unwrap_or(0);
    let distance = serial.wrapping_sub(low).cast_signed();
    Timestamp::from_unix_seconds(seconds.saturating_add(distance.into()))
}

/// RSA/SHA-1 (algorithms 5 and 7): newer validators no longer check it and treat the zone as insecure.
pub(super) fn is_sha1(algorithm: Algorithm) -> bool {
    matches!(u8::from(algorithm), 5 | 7)
}

/// A name for people: lower case, without the final dot; the root is a dot.
pub(super) fn shown(name: &Name) -> String {
    match name.is_root() {
        true => ".".to_owned(),
        false => presentation(name.iter()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_around_now() {
        let at = Timestamp::from_unix_seconds;
        assert_eq!(unwrapped(1_800_000_000, at(1_799_000_000)), at(1_800_000_000));
        assert_eq!(unwrapped(1_700_000_000, at(1_799_000_000)), at(1_700_000_000));
        // 2106-02-07: the 32 bits begin anew.
        assert_eq!(unwrapped(100, at((1 << 32) - 50)), at((1 << 32) + 100));
        assert_eq!(unwrapped(u32::MAX, at((1 << 32) + 50)), at((1 << 32) - 1));
    }
}
