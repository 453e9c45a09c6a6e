//! DANE for SMTP (RFC 7672, RFC 7671, RFC 6698): which names to ask, which records count, and what they say of a chain.

mod association;
mod base_domain;
mod bytes;
mod coverage;
mod tlsa;
mod verify;

pub use association::{record_for, record_of};
pub use base_domain::{LookupLink, NotAsked, Question, TlsaState, TlsaStatus, next_question, tlsa_state};
pub use bytes::verify_bytes;
pub use coverage::Combination;
pub use tlsa::{
    RecordSet, TlsaTooShort, Unusable, matching_words, read_record_set, read_tlsa, selector_words, unusable,
    usage_words,
};
pub use verify::{ChainFault, DaneResult, MAX_ANCHORS, MAX_RECORDS, RecordSight, Verification, verify};
