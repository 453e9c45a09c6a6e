//! What `report show --format json` writes.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Digest, RejectedReport, ShownReport};
use crate::{
    protocol::tls_rpt::{FailureDetail, Quirk, ReportedPolicy},
    terms::Timestamp,
};

/// A JSON document in the making, so that a thousand reports are written as they are read:
///
/// `{"reports":[{"source","organization","report_id","contact","begin","end","authentication","quirks","policies"}],
/// "rejected":[{"source","reason","detail"}],"duplicates"}`. What is unknown is null and never left out.
#[derive(Debug, Default)]
pub struct Document {
    begun: bool,
}

impl Document {
    /// The next piece: a report.
    ///
    /// # Errors
    /// None is known to happen; the writer of JSON says so all the same.
    pub fn report(&mut self, shown: &ShownReport) -> serde_json::Result<String> {
        let before = if self.begun { ",\n" } else { BEGIN };
        self.begun = true;
        Ok(format!("{before}{}", serde_json::to_string(&ReportView::of(shown))?))
    }

    /// The last piece: what was rejected, and how many duplicates there were.
    ///
    /// # Errors
    /// As of [`Document::report`].
    pub fn end(self, digest: &Digest) -> serde_json::Result<String> {
        let before = if self.begun { "" } else { BEGIN };
        let rejected: Vec<RejectedView<'_>> = digest.rejected.iter().map(RejectedView::of).collect();
        let rejected = serde_json::to_string(&rejected)?;
        Ok(format!("{before}],\n\"rejected\":{rejected},\"duplicates\":{}}}\n", digest.duplicates))
    }
}

const BEGIN: &str = "{\"reports\":[";

#[derive(Serialize)]
struct ReportView<'a> {
    source: &'a str,
    organization: Option<&'a str>,
    report_id: Option<&'a str>,
    contact: Option<&'a str>,
    begin: Option<Timestamp>,
    end: Option<Timestamp>,
    authentication: &'static str,
    quirks: Vec<&'static str>,
    policies: Vec<PolicyView<'a>>,
}

/// A policy of a report, here and in the answers of the server.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PolicyOfReport")]
pub(super) struct PolicyView<'a> {
    #[serde(rename = "type")]
    policy_type: &'static str,
    domain: Option<&'a str>,
    mx: &'a [String],
    policy_string: &'a [String],
    successful_sessions: u64,
    failed_sessions: u64,
    failures: Vec<FailureView<'a>>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "FailureDetail")]
struct FailureView<'a> {
    result_type: &'static str,
    sessions: u64,
    sending_ip: Option<IpAddr>,
    receiving_mx: Option<&'a str>,
    receiving_ip: Option<IpAddr>,
    /// failure-reason-code and what stands beside it, as the reporter wrote it.
    reason: Option<&'a str>,
}

#[derive(Serialize)]
struct RejectedView<'a> {
    source: &'a str,
    reason: &'static str,
    detail: &'a str,
}

impl<'a> ReportView<'a> {
    fn of(shown: &'a ShownReport) -> Self {
        let report = &shown.report;
        Self {
            source: &shown.source,
            organization: report.organization.as_deref(),
            report_id: report.report_id.as_deref(),
            contact: report.contact.as_deref(),
            begin: report.begin,
            end: report.end,
            authentication: shown.authentication.as_str(),
            quirks: report.quirks.iter().copied().map(Quirk::as_str).collect(),
            policies: report.policies.iter().map(PolicyView::of).collect(),
        }
    }
}

impl<'a> PolicyView<'a> {
    pub(super) fn of(policy: &'a ReportedPolicy) -> Self {
        Self {
            policy_type: policy.policy_type.as_str(),
            domain: policy.domain.as_deref(),
            mx: &policy.mx,
            policy_string: &policy.policy_string,
            successful_sessions: policy.successful,
            failed_sessions: policy.failed,
            failures: policy.failures.iter().map(FailureView::of).collect(),
        }
    }
}

impl<'a> FailureView<'a> {
    fn of(detail: &'a FailureDetail) -> Self {
        Self {
            result_type: detail.result_type.as_str(),
            sessions: detail.sessions,
            sending_ip: detail.sending_ip,
            receiving_mx: detail.receiving_mx.as_deref(),
            receiving_ip: detail.receiving_ip,
            reason: detail.reason.as_deref(),
        }
    }
}

impl<'a> RejectedView<'a> {
    fn of(rejected: &'a RejectedReport) -> Self {
        let RejectedReport { source, refusal, .. } = rejected;
        Self { source, reason: refusal.reason.as_str(), detail: &refusal.detail }
    }
}
