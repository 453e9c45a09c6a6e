//! What is kept of TLS reports: each as it came, the sessions by day, and the counters of the metrics.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    facts::{Provenance, Transport},
    protocol::tls_rpt::{PolicyType, Quirk, RefusalReason, ReportedPolicy, ResultType, TlsReport},
    terms::{PolicyDomain, Timestamp},
    verdict::{Contribution, CounterKey, Counters, Measure, ReporterDay},
};

/// A report, ready to be filed.
#[derive(Clone, Debug)]
pub struct IncomingReport {
    /// The report.
    pub report: TlsReport,
    /// Where it comes from.
    pub provenance: Provenance,
    /// The label under which its reporter counts: its name, `unverified` or `other`.
    pub label: String,
    /// The configured domains that it is about, with the policies that belong to each. Never empty.
    pub shares: Vec<(PolicyDomain, Vec<ReportedPolicy>)>,
    /// Its day ended too long before it came: it is kept, and is in no counter of sessions.
    pub late: bool,
}

/// What is filed together: all of it, or nothing.
#[derive(Clone, Debug, Default)]
pub struct ReportBatch {
    /// The reports. Two of them may be the same.
    pub reports: Vec<IncomingReport>,
    /// What was refused meanwhile, by reason.
    pub refused: BTreeMap<RefusalReason, u64>,
    /// Policies about domains that are not configured, in reports that were taken.
    pub foreign_policies: u64,
    /// Reporters that have a label of their own from now on.
    pub labels: BTreeSet<String>,
}

/// What became of one report of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filed {
    /// It is new, at least for one of its domains.
    New,
    /// The same sender sent another report under the same id before: what this one has more was added.
    Corrected,
    /// It was there already.
    Duplicate,
    /// Nothing of it was filed: there are too many of its kind.
    Refused(RefusalReason),
}

/// What a batch changed.
#[derive(Clone, Debug, Default)]
pub struct Filing {
    /// One for each report, in the order of the batch.
    pub outcomes: Vec<Filed>,
    /// What is new, to be added to what is known of the domains.
    pub contributions: Vec<Contribution>,
    /// Days in which sessions went over from `unverified` to a reporter that proved itself later: each as it stands now, with
    /// the contributions in it, to take the place of what is known of the day.
    pub moved: Vec<MovedDay>,
    /// The counters of the domains that changed, as they stand now.
    pub counters: BTreeMap<PolicyDomain, Counters>,
    /// The counters of the intake, as they stand now.
    pub intake: IntakeCounters,
}

/// A place in the order in which reports are filed: behind a domain of a filing.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct NewsCursor {
    /// The number of the filing.
    pub(super) filing: i64,
    /// The domain; before all of the filing, where it is empty.
    pub(super) domain: String,
}

/// Domains of which reports were filed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewsOfReports {
    /// Which. Those of which this instance itself filed are among them.
    pub domains: BTreeSet<PolicyDomain>,
    /// The place behind them.
    pub next: NewsCursor,
    /// There are more now.
    pub more: bool,
}

/// A day of a domain in which sessions changed their reporter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedDay {
    /// Which domain.
    pub domain: PolicyDomain,
    /// Days since 1970.
    pub day: i64,
    /// All that is known of it.
    pub reporters: BTreeMap<String, ReporterDay>,
}

/// What the intake counted since the state folder was new.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IntakeCounters {
    /// Reports that were taken, duplicates not among them.
    pub reports: BTreeMap<Transport, u64>,
    /// What was refused.
    pub refused: BTreeMap<RefusalReason, u64>,
    /// Reports that were there already.
    pub duplicates: u64,
    /// Reports that came too late for the counters of sessions.
    pub late: u64,
    /// Departures from the specification, once a report.
    pub quirks: BTreeMap<Quirk, u64>,
    /// Policies about domains that are not configured, in reports that were taken.
    pub foreign_policies: u64,
}

/// A report about one domain as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredReport {
    /// The number: the later it was filed, the larger.
    pub id: i64,
    /// Which domain.
    pub domain: PolicyDomain,
    /// Where it comes from.
    pub provenance: Provenance,
    /// The report; its policies are only those that belong to the domain.
    pub report: TlsReport,
    /// It came too late for the counters.
    pub late: bool,
}

/// Which reports are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportsWanted {
    /// About which domain.
    pub domain: PolicyDomain,
    /// Only those whose time begins at this time or later.
    pub since: Option<Timestamp>,
    /// Only those with failed sessions.
    pub failing: bool,
    /// Only those with a smaller number: where the page before ended.
    pub before: Option<i64>,
    /// How many at most.
    pub most: usize,
}

/// Sessions of one day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DayTotal {
    /// Days since 1970.
    pub day: i64,
    /// Who reported.
    pub reporter: String,
    /// Under which kind of policy.
    pub policy_type: PolicyType,
    /// Which number.
    pub measure: Measure,
    /// The number.
    pub sessions: u64,
}

/// A counter as it is written down.
pub(super) fn counter_words(key: &CounterKey) -> [&str; 3] {
    match key {
        CounterKey::Sessions(policy_type) => ["sessions", policy_type.as_str(), ""],
        CounterKey::Failed(policy_type) => ["failed", policy_type.as_str(), ""],
        CounterKey::Detail(policy_type, result_type) => ["detail", policy_type.as_str(), result_type.as_str()],
        CounterKey::ReporterSessions(reporter) => ["reporter-sessions", reporter, ""],
        CounterKey::ReporterFailed(reporter) => ["reporter-failed", reporter, ""],
    }
}

/// The other way of [`counter_words`]; nothing for a family of a later version.
pub(super) fn counter_key([family, first, second]: [&str; 3]) -> Option<CounterKey> {
    Some(match family {
        "sessions" => CounterKey::Sessions(PolicyType::parse(first)),
        "failed" => CounterKey::Failed(PolicyType::parse(first)),
        "detail" => CounterKey::Detail(PolicyType::parse(first), ResultType::parse(second)),
        "reporter-sessions" => CounterKey::ReporterSessions(first.to_owned()),
        "reporter-failed" => CounterKey::ReporterFailed(first.to_owned()),
        _ => return None,
    })
}

/// The measures of the totals beside the result types.
const SESSIONS: &str = "sessions";
const FAILED: &str = "failed";

/// A measure as it is written down: the word, and the host, which is empty where there is none.
pub(super) fn measure_words(measure: &Measure) -> [&str; 2] {
    match measure {
        Measure::Sessions => [SESSIONS, ""],
        Measure::Failed => [FAILED, ""],
        Measure::Detail(result_type, mx) => [result_type.as_str(), mx.as_deref().unwrap_or_default()],
    }
}

/// The other way of [`measure_words`].
pub(super) fn measure([word, mx]: [&str; 2]) -> Measure {
    match word {
        SESSIONS => Measure::Sessions,
        FAILED => Measure::Failed,
        word => Measure::Detail(ResultType::parse(word), (!mx.is_empty()).then(|| mx.to_owned())),
    }
}

/// The families of the counters of the intake.
const REPORTS: &str = "reports";
const REFUSED: &str = "refused";
const DUPLICATES: &str = "duplicates";
const LATE: &str = "late";
const QUIRKS: &str = "quirks";
const FOREIGN_POLICIES: &str = "foreign-policies";

/// The counters of the intake as they are written down: family, label, value.
pub(super) fn intake_words(intake: &IntakeCounters) -> Vec<(&'static str, &'static str, u64)> {
    let mut rows = Vec::new();
    rows.extend(intake.reports.iter().map(|(transport, value)| (REPORTS, transport.as_str(), *value)));
    rows.extend(intake.refused.iter().map(|(reason, value)| (REFUSED, reason.as_str(), *value)));
    rows.extend(intake.quirks.iter().map(|(quirk, value)| (QUIRKS, quirk.as_str(), *value)));
    rows.push((DUPLICATES, "", intake.duplicates));
    rows.push((LATE, "", intake.late));
    rows.push((FOREIGN_POLICIES, "", intake.foreign_policies));
    rows
}

/// Reads one of them back; a word of a later version is passed over.
pub(super) fn read_intake(counters: &mut IntakeCounters, [family, label]: [&str; 2], value: u64) {
    match family {
        REPORTS => {
            let transport = Transport::ALL.into_iter().find(|known| known.as_str() == label);
            counters.reports.extend(transport.map(|transport| (transport, value)));
        }
        REFUSED => {
            let reason = RefusalReason::ALL.into_iter().find(|known| known.as_str() == label);
            counters.refused.extend(reason.map(|reason| (reason, value)));
        }
        QUIRKS => {
            let quirk = Quirk::ALL.iter().copied().find(|known| known.as_str() == label);
            counters.quirks.extend(quirk.map(|quirk| (quirk, value)));
        }
        DUPLICATES => counters.duplicates = value,
        LATE => counters.late = value,
        FOREIGN_POLICIES => counters.foreign_policies = value,
        _ => {}
    }
}
