//! TLSRPT (RFC 8460): the record and the reports.

mod authenticity;
mod destination;
mod envelope;
mod record;
mod report;

pub use authenticity::{
    Claim, DkimOutcome, DkimResult, Proof, SignatureClaim, judge_signatures, judge_trusted_header,
    organizational_domain, signature_claims,
};
pub use destination::{Destination, Scheme};
pub use envelope::{
    Declared, MAIL_MOST, MailPart, MailReport, ReportMail, ReportReader, Shape, open_mail, read_mail, sniff, split_mbox,
};
pub use record::{TlsRptRecord, read_tlsrpt_records};
pub use report::{
    DETAILS_MOST, FailureDetail, JSON_MOST, LINES_MOST, POLICIES_MOST, PolicyType, Quirk, Quirks, Refusal,
    RefusalReason, ReportedPolicy, ResultType, TEXT_MOST, TlsReport, read_report,
};
