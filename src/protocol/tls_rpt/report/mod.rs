//! A TLS report (RFC 8460 §4): what one sender says of its sessions in a time, usually a UTC day.

mod fields;
mod fingerprint;
mod objects;
mod quirk;
mod read;
mod refusal;
mod times;
mod values;
mod words;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub(super) use self::{quirk::Seen, read::read_json, values::clean};
pub use self::{
    quirk::{Quirk, Quirks},
    read::{DETAILS_MOST, JSON_MOST, LINES_MOST, POLICIES_MOST, read_report},
    refusal::{Refusal, RefusalReason},
    words::{PolicyType, ResultType},
};
use crate::terms::Timestamp;

/// A report as it was read. All text in it is the peer's: without control characters and cut at [`TEXT_MOST`], and still to be
/// escaped where markup is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsReport {
    /// `organization-name`.
    pub organization: Option<String>,
    /// `contact-info`.
    pub contact: Option<String>,
    /// `report-id`.
    pub report_id: Option<String>,
    /// `start-datetime`; without a zone it counts as UTC.
    pub begin: Option<Timestamp>,
    /// `end-datetime`, likewise.
    pub end: Option<Timestamp>,
    /// `policies`, in the order of the report.
    pub policies: Vec<ReportedPolicy>,
    /// How it departs from the specification.
    pub quirks: Quirks,
}

/// What a report says about one policy of one domain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedPolicy {
    /// `policy-type`.
    pub policy_type: PolicyType,
    /// `policy-domain` as A-labels in lower case; for `tlsa` it may be an MX host. Nothing where it is missing or no name.
    pub domain: Option<String>,
    /// `mx-host`: patterns.
    pub mx: Vec<String>,
    /// `policy-string`: the lines of the policy, or TLSA records.
    pub policy_string: Vec<String>,
    /// Sessions that succeeded.
    pub successful: u64,
    /// Sessions that failed, by the summary. The details need not add up to it.
    pub failed: u64,
    /// `failure-details`.
    pub failures: Vec<FailureDetail>,
}

/// One way in which sessions failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureDetail {
    /// `result-type`.
    pub result_type: ResultType,
    /// `failed-session-count`. Zero is a notice without a failure.
    pub sessions: u64,
    /// `sending-mta-ip`.
    pub sending_ip: Option<IpAddr>,
    /// `receiving-mx-hostname`, a name in lower case without the final dot.
    pub receiving_mx: Option<String>,
    /// `receiving-mx-helo`.
    pub receiving_helo: Option<String>,
    /// `receiving-ip`.
    pub receiving_ip: Option<IpAddr>,
    /// `failure-reason-code`: free text.
    pub reason: Option<String>,
    /// `additional-information`: a URI, or what should be one.
    pub more: Option<String>,
}

/// So many characters of a text are kept: report ids reach about 100, reasons a line of a TLS library.
pub const TEXT_MOST: usize = 500;

impl ReportedPolicy {
    /// All sessions; saturating.
    pub const fn sessions(&self) -> u64 {
        self.successful.saturating_add(self.failed)
    }
}
