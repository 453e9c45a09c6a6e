//! TLSRPT (RFC 8460): the record and the reports.

mod destination;
mod record;
mod report;

pub use destination::{Destination, Scheme};
pub use record::{TlsRptRecord, read_tlsrpt_records};
pub use report::{
    FailureDetail, PolicyType, Quirk, Quirks, Refusal, RefusalReason, ReportedPolicy, ResultType, TEXT_MOST, TlsReport,
};
