//! The record of a certificate, and whether a record is that (RFC 6698 §2.1.2, §2.1.3).

use aws_lc_rs::digest::{SHA256, SHA512, digest};

use super::{
    Combination,
    tlsa::{CERT, FULL, SHA_256, SHA_512, SPKI},
};
use crate::{facts::TlsaRecord, protocol::tls::public_key_info, terms::Octets};

/// The record of a certificate with these parameters; nothing where it is no certificate, or selector or matching type have no
/// meaning.
pub fn record_of(combination: Combination, der: &[u8]) -> Option<TlsaRecord> {
    let selected = match combination.selector {
        CERT => der,
        SPKI => public_key_info(der)?,
        _ => return None,
    };
    record_for(combination, selected)
}

/// The record of what the selector selects: a whole certificate, or a SubjectPublicKeyInfo. It is not looked into.
pub fn record_for(combination: Combination, selected: &[u8]) -> Option<TlsaRecord> {
    let data = match combination.matching {
        FULL => selected.to_vec(),
        SHA_256 => digest(&SHA256, selected).as_ref().to_vec(),
        SHA_512 => digest(&SHA512, selected).as_ref().to_vec(),
        _ => return None,
    };
    let Combination { usage, selector, matching } = combination;
    Some(TlsaRecord { usage, selector, matching, data: Octets(data) })
}

/// Whether the association data of a usable record is that of the certificate; the usage plays no part.
pub(super) fn is_of(record: &TlsaRecord, der: &[u8]) -> bool {
    let selected = match record.selector {
        CERT => Some(der),
        SPKI => public_key_info(der),
        _ => None,
    };
    let Some(selected) = selected else { return false };
    let data = record.data.as_bytes();
    match record.matching {
        FULL => data == selected,
        SHA_256 => data == digest(&SHA256, selected).as_ref(),
        SHA_512 => data == digest(&SHA512, selected).as_ref(),
        _ => false,
    }
}
