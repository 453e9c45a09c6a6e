//! Whether a record is the one of a certificate (RFC 6698 §2.1.2, §2.1.3).

use aws_lc_rs::digest::{SHA256, SHA512, digest};

use super::tlsa::{CERT, FULL, SHA_256, SHA_512, SPKI};
use crate::{facts::TlsaRecord, protocol::tls::public_key_info};

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
