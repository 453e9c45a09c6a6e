//! DNS as far as mail needs it: address classes, CNAME chains, MX targets.

mod address;
mod chain;
mod target;

pub use address::is_public;
pub use chain::{AnswerRecord, CnameChain, CnameChainError, MAX_CNAME, RecordData};
pub use target::{mx_target, presentation};
