//! What reports say, as JSON.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    terms::Timestamp,
    verdict::{Assessment, HeldVersion, OwnView, ReportedFailure, ReporterStanding, ReportsAssessment},
};

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Reported")]
pub(in crate::present) struct ReportsView<'a> {
    /// When the last report came.
    last_arrived_at: Option<Timestamp>,
    /// The latest time that a report is about.
    last_end: Option<Timestamp>,
    /// The last UTC day of which reports are complete.
    complete_until: String,
    /// Of the last seven complete days so many have reports.
    complete_days: usize,
    /// Of the last seven complete days; kinds of policy are never to be added up.
    sessions: Vec<SessionsView>,
    failures: Vec<FailureView<'a>>,
    reporters: Vec<ReporterView<'a>>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ReportedSessions")]
struct SessionsView {
    policy_type: &'static str,
    sessions: u64,
    failed: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ReportedFailure")]
struct FailureView<'a> {
    policy_type: &'static str,
    result_type: &'static str,
    mx: Option<&'a str>,
    sessions: u64,
    reporters: &'a [String],
    first_day: String,
    last_day: String,
    /// Whether this monitor sees it as well.
    own: OwnView,
    /// The same in words.
    own_words: &'a str,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Reporter")]
struct ReporterView<'a> {
    name: &'a str,
    /// It proved itself.
    verified: bool,
    last_day: String,
    sessions: u64,
    failed: u64,
    /// It reports on most days.
    regular: bool,
    /// It did, and stopped.
    silent: bool,
    /// Which version of the policy it applies.
    policy: HeldVersion,
}

/// Nothing where no report source is configured.
pub(in crate::present) fn reports(assessment: &Assessment) -> Option<ReportsView<'_>> {
    let said: &ReportsAssessment = assessment.reports.as_ref()?;
    let sessions = said.sessions.iter().map(|(policy_type, of)| SessionsView {
        policy_type: policy_type.as_str(),
        sessions: of.sessions,
        failed: of.failed,
    });
    Some(ReportsView {
        last_arrived_at: said.last_arrived_at.map(Timestamp::whole_seconds),
        last_end: said.last_end.map(Timestamp::whole_seconds),
        complete_until: day(said.complete_until),
        complete_days: said.complete_days,
        sessions: sessions.collect(),
        failures: said.failures.iter().map(failure).collect(),
        reporters: said.reporters.iter().map(reporter).collect(),
    })
}

fn failure(failure: &ReportedFailure) -> FailureView<'_> {
    FailureView {
        policy_type: failure.policy_type.as_str(),
        result_type: failure.result_type.as_str(),
        mx: failure.mx.as_deref(),
        sessions: failure.sessions,
        reporters: &failure.reporters,
        first_day: day(failure.first_day),
        last_day: day(failure.last_day),
        own: failure.own,
        own_words: &failure.own_words,
    }
}

fn reporter(reporter: &ReporterStanding) -> ReporterView<'_> {
    ReporterView {
        name: &reporter.name,
        verified: reporter.verified,
        last_day: day(reporter.last_day),
        sessions: reporter.sessions.sessions,
        failed: reporter.sessions.failed,
        regular: reporter.regular,
        silent: reporter.silent,
        policy: reporter.policy,
    }
}

/// A UTC day, `2026-11-20`.
fn day(day: i64) -> String {
    let text = Timestamp::from_unix_seconds(day.saturating_mul(86_400)).to_string();
    text.split('T').next().unwrap_or(&text).to_owned()
}
