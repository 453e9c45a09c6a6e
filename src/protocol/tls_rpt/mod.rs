//! TLSRPT (RFC 8460): the record.

mod destination;
mod record;

pub use destination::{Destination, Scheme};
pub use record::{TlsRptRecord, read_tlsrpt_records};
