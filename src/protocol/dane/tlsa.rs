//! TLSA records (RFC 6698 §2): reading them, and which of them SMTP can use.

use crate::{
    facts::TlsaRecord,
    protocol::tls::{read_certificate, read_public_key_info},
    terms::Octets,
};

/// Certificate usages that SMTP has a meaning for (RFC 7672 §3.1).
pub(super) const DANE_TA: u8 = 2;
pub(super) const DANE_EE: u8 = 3;

/// Selectors (RFC 6698 §2.1.2).
pub(super) const CERT: u8 = 0;
pub(super) const SPKI: u8 = 1;

/// Matching types (RFC 6698 §2.1.3).
pub(super) const FULL: u8 = 0;
pub(super) const SHA_256: u8 = 1;
pub(super) const SHA_512: u8 = 2;

/// RDATA that has no room for usage, selector and matching type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} bytes of TLSA data where 3 are the least")]
pub struct TlsaTooShort(pub usize);

/// Why a record is unusable for SMTP (RFC 6698 §4.1, RFC 7671 §4.3, RFC 7672 §3.1.3).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unusable {
    /// PKIX-TA(0), PKIX-EE(1) or one that has no meaning.
    #[error("usage {} is not used for SMTP", usage_words(*.0))]
    Usage(u8),
    /// A selector that has no meaning.
    #[error("selector {} is not known", selector_words(*.0))]
    Selector(u8),
    /// A matching type that has no meaning.
    #[error("matching type {} is not known", matching_words(*.0))]
    Matching(u8),
    /// A digest of the wrong length.
    #[error("{length} bytes where {name} has {expected}")]
    DigestLength {
        /// How long it is.
        length: usize,
        /// The digest.
        name: &'static str,
        /// How long it has to be.
        expected: usize,
    },
    /// Full(0) data that is no certificate.
    #[error("the data is no certificate ({0})")]
    Certificate(String),
    /// Full(0) data that is no SubjectPublicKeyInfo.
    #[error("the data is no public key ({0})")]
    PublicKey(String),
}

/// What a set of records is without any chain. Places are those in the list that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordSet {
    /// Those that SMTP can use, each once.
    pub usable: Vec<usize>,
    /// Those that it cannot use, and why.
    pub unusable: Vec<(usize, Unusable)>,
    /// Those that say the same as one before them.
    pub repeated: Vec<usize>,
    /// All usable ones are DANE-TA(2): only keys of certification authorities are pinned.
    pub only_authorities: bool,
    /// One of them, usable or not, holds a whole certificate or key (RFC 7671 §10.1.1 discourages it).
    pub full: bool,
}

/// Reads the RDATA of a TLSA record (RFC 6698 §2.1). Values without a meaning are kept: [`unusable`] judges them.
///
/// # Errors
/// Only where there are fewer than three bytes.
pub fn read_tlsa(rdata: &[u8]) -> Result<TlsaRecord, TlsaTooShort> {
    match *rdata {
        [usage, selector, matching, ref data @ ..] => {
            Ok(TlsaRecord { usage, selector, matching, data: Octets(data.to_vec()) })
        }
        _ => Err(TlsaTooShort(rdata.len())),
    }
}

/// Why SMTP cannot use a record; nothing where it can.
pub fn unusable(record: &TlsaRecord) -> Option<Unusable> {
    if !matches!(record.usage, DANE_TA | DANE_EE) {
        return Some(Unusable::Usage(record.usage));
    }
    if !matches!(record.selector, CERT | SPKI) {
        return Some(Unusable::Selector(record.selector));
    }
    let data = record.data.as_bytes();
    let digest = |name, expected| {
        (data.len() != expected).then_some(Unusable::DigestLength { length: data.len(), name, expected })
    };
    match (record.matching, record.selector) {
        (SHA_256, _) => digest("SHA-256", 32),
        (SHA_512, _) => digest("SHA-512", 64),
        (FULL, CERT) => read_certificate(data).err().map(|error| Unusable::Certificate(escape(&error))),
        (FULL, _) => read_public_key_info(data).err().map(|error| Unusable::PublicKey(escape(&error))),
        (other, _) => Some(Unusable::Matching(other)),
    }
}

/// Sorts the records of one RRset by what they are good for.
pub fn read_record_set(records: &[TlsaRecord]) -> RecordSet {
    let mut set = RecordSet { full: records.iter().any(|record| record.matching == FULL), ..RecordSet::default() };
    for (place, record) in records.iter().enumerate() {
        if records.iter().take(place).any(|earlier| earlier == record) {
            set.repeated.push(place);
        } else if let Some(why) = unusable(record) {
            set.unusable.push((place, why));
        } else {
            set.usable.push(place);
        }
    }
    let usage = |place: &usize| records.get(*place).map(|record| record.usage);
    set.only_authorities = !set.usable.is_empty() && set.usable.iter().all(|place| usage(place) == Some(DANE_TA));
    set
}

/// A certificate usage for people, by RFC 7218 §2.1: `DANE-EE(3)`.
pub fn usage_words(usage: u8) -> String {
    named(usage, &["PKIX-TA", "PKIX-EE", "DANE-TA", "DANE-EE"], "PrivCert")
}

/// A selector for people, by RFC 7218 §2.2: `SPKI(1)`.
pub fn selector_words(selector: u8) -> String {
    named(selector, &["Cert", "SPKI"], "PrivSel")
}

/// A matching type for people: `SHA-256(1)`. RFC 7218 §2.3 writes SHA2-256, which fewer people know.
pub fn matching_words(matching: u8) -> String {
    named(matching, &["Full", "SHA-256", "SHA-512"], "PrivMatch")
}

fn named(value: u8, names: &[&str], private: &str) -> String {
    let known = names.get(usize::from(value)).copied();
    let name = known.unwrap_or(if value == u8::MAX { private } else { "unassigned" });
    format!("{name}({value})")
}

fn escape(text: &str) -> String {
    Octets::from(text).to_string()
}
