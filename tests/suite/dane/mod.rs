//! DANE for SMTP: records, base domains, chains, and what other programs test themselves with.

mod base_domain;
mod bytes;
mod chains;
mod corpus;
mod coverage;
mod peers;
pub(crate) mod pki;
mod records;
