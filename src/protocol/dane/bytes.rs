//! From raw bytes to a verdict, for those who throw any bytes at it.

use super::{read_tlsa, verify, verify::Verification};
use crate::{
    protocol::tls::{Roots, chain_facts},
    terms::Timestamp,
};

/// Takes the input for length-prefixed pieces (two bytes, big-endian): the first byte says how many of them are TLSA RDATA, the
/// others are a certificate chain, leaf first. Judges the chain by the records for the name `mx.example.com`, as RFC 7672 §3 has
/// it; nothing where the first certificate cannot be read. No bytes may make it panic or take long.
pub fn verify_bytes(input: &[u8], now: Timestamp) -> Option<Verification> {
    let (&count, mut rest) = input.split_first()?;
    let mut pieces = Vec::new();
    while let [high, low, tail @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(tail.len());
        let (piece, after) = tail.split_at(length);
        pieces.push(piece);
        rest = after;
    }
    let (records, chain) = pieces.split_at(usize::from(count).min(pieces.len()));
    let records: Vec<_> = records.iter().filter_map(|rdata| read_tlsa(rdata).ok()).collect();
    let chain = chain_facts(chain, &Roots::default(), now).ok()?;
    Some(verify(&records, &chain, &["mx.example.com"], now))
}
