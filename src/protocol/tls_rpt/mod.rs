//! TLSRPT (RFC 8460): the record and the reports.

mod authenticity;
mod destination;
mod record;
mod report;

pub use authenticity::{
    Claim, DkimOutcome, DkimResult, Proof, SignatureClaim, judge_signatures, judge_trusted_header,
    organizational_domain, signature_claims,
};
pub use destination::{Destination, Scheme};
pub use record::{TlsRptRecord, read_tlsrpt_records};
pub use report::{
    FailureDetail, PolicyType, Quirk, Quirks, Refusal, RefusalReason, ReportedPolicy, ResultType, TEXT_MOST, TlsReport,
};
