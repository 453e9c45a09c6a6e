//! What the store has of a domain's reports, as the server answers it: sums by kind of policy, and the reports one by one.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use super::json::PolicyView;
use crate::{
    facts::Provenance,
    present::json,
    protocol::tls_rpt::{PolicyType, Quirk, ResultType},
    store::{DayTotal, StoredReport},
    terms::{PolicyDomain, Timestamp},
    verdict::{Assessment, Measure},
};

/// So many failures of a kind of policy stand in the sums, those with the most sessions first. The reports hold them all.
const FAILURES_MOST: usize = 100;

/// What is shown of a domain.
#[derive(Clone, Debug)]
pub struct Listing<'a> {
    /// Which.
    pub domain: &'a PolicyDomain,
    /// A way for reports to come in is configured.
    pub receiving: bool,
    /// The first day of the sums, in days since 1970.
    pub since_day: i64,
    /// The last one.
    pub until_day: i64,
    /// The sums.
    pub totals: &'a [DayTotal],
    /// The reports, the newest first.
    pub reports: &'a [StoredReport],
    /// Where to go on, where there are more.
    pub next: Option<i64>,
    /// The judgement of the domain, if it was probed: what follows from the reports, and what this monitor sees itself.
    pub assessment: Option<&'a Assessment>,
}

/// The listing as a JSON document, one line:
///
/// `{"domain","receiving","totals":{"since","until","policy_types":[{"type","sessions","failed_sessions","days":[],"reporters":[],"failures":[]}]},
/// "assessment":{},"reports":[],"next"}`. What is unknown is null and never left out. Kinds of policy are never added up: one session can stand under two.
///
/// # Errors
/// None is known to happen; the writer of JSON says so all the same.
pub fn listing_json(listing: &Listing<'_>) -> serde_json::Result<String> {
    let view = ListingView {
        domain: listing.domain.as_str(),
        receiving: listing.receiving,
        totals: TotalsView {
            since: date(listing.since_day),
            until: date(listing.until_day),
            policy_types: sums(listing.totals).into_iter().map(|(kind, sums)| SumsView::of(kind, sums)).collect(),
        },
        assessment: listing.assessment.and_then(json::reports::reports),
        reports: listing.reports.iter().map(StoredView::of).collect(),
        next: listing.next.map(|next| next.to_string()),
    };
    serde_json::to_string(&view).map(|text| text + "\n")
}

/// What is added up for one kind of policy.
#[derive(Default)]
struct Sums<'a> {
    all: SessionsView,
    days: BTreeMap<i64, SessionsView>,
    reporters: BTreeMap<&'a str, SessionsView>,
    failures: BTreeMap<(ResultType, Option<&'a str>), FailureSums<'a>>,
}

struct FailureSums<'a> {
    sessions: u64,
    reporters: BTreeSet<&'a str>,
    first_day: i64,
    last_day: i64,
}

fn sums(totals: &[DayTotal]) -> BTreeMap<PolicyType, Sums<'_>> {
    let mut kinds: BTreeMap<PolicyType, Sums<'_>> = BTreeMap::new();
    for total in totals {
        let kind = kinds.entry(total.policy_type).or_default();
        match &total.measure {
            Measure::Detail(result_type, mx) => {
                let new =
                    FailureSums { sessions: 0, reporters: BTreeSet::new(), first_day: total.day, last_day: total.day };
                let sum = kind.failures.entry((*result_type, mx.as_deref())).or_insert(new);
                sum.sessions = sum.sessions.saturating_add(total.sessions);
                sum.reporters.insert(&total.reporter);
                sum.first_day = sum.first_day.min(total.day);
                sum.last_day = sum.last_day.max(total.day);
            }
            measure => {
                let day = kind.days.entry(total.day).or_default();
                let reporter = kind.reporters.entry(&total.reporter).or_default();
                for sum in [&mut kind.all, day, reporter] {
                    let number = if *measure == Measure::Failed { &mut sum.failed_sessions } else { &mut sum.sessions };
                    *number = number.saturating_add(total.sessions);
                }
            }
        }
    }
    kinds
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Reports")]
pub(crate) struct ListingView<'a> {
    domain: &'a str,
    /// A way for reports to come in is configured.
    receiving: bool,
    /// Over whole days (UTC) by the begin of the reports. Kinds of policy are not to be added up: one session can stand under two.
    totals: TotalsView<'a>,
    /// What follows from the reports of the last weeks; null until the domain was probed, and where nothing receives reports.
    assessment: Option<json::reports::ReportsView<'a>>,
    /// The newest first.
    reports: Vec<StoredView<'a>>,
    /// `before` for the next page; null on the last one.
    next: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ReportTotals")]
struct TotalsView<'a> {
    /// The first day.
    since: String,
    /// The last day.
    until: String,
    policy_types: Vec<SumsView<'a>>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ReportSums")]
struct SumsView<'a> {
    #[serde(rename = "type")]
    policy_type: &'static str,
    #[serde(flatten)]
    all: SessionsView,
    days: Vec<DayView>,
    reporters: Vec<ReporterView<'a>>,
    /// By the details, which need not add up to failed_sessions; the 100 with the most sessions.
    failures: Vec<FailureSumsView<'a>>,
}

#[derive(Clone, Copy, Default, Serialize, JsonSchema)]
#[schemars(rename = "SessionSums")]
struct SessionsView {
    sessions: u64,
    failed_sessions: u64,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DaySums")]
struct DayView {
    day: String,
    #[serde(flatten)]
    sessions: SessionsView,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ReporterSums")]
struct ReporterView<'a> {
    reporter: &'a str,
    #[serde(flatten)]
    sessions: SessionsView,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "FailureSums")]
struct FailureSumsView<'a> {
    result_type: &'static str,
    receiving_mx: Option<&'a str>,
    sessions: u64,
    reporters: Vec<&'a str>,
    first_day: String,
    last_day: String,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Report")]
struct StoredView<'a> {
    id: i64,
    arrived_at: Timestamp,
    begin: Option<Timestamp>,
    end: Option<Timestamp>,
    /// What the report says of itself.
    organization: Option<&'a str>,
    contact: Option<&'a str>,
    report_id: Option<&'a str>,
    /// The domain that proved itself, or `unverified`.
    reporter: &'a str,
    /// dkim, header, none or failed.
    authentication: &'static str,
    transport: &'static str,
    /// It came over 72 hours after its day, and is in no metric.
    late: bool,
    /// How it departs from the standard; nothing of it is lost.
    quirks: Vec<&'static str>,
    policies: Vec<PolicyView<'a>>,
}

impl<'a> SumsView<'a> {
    fn of(policy_type: PolicyType, sums: Sums<'a>) -> Self {
        let days = sums.days.into_iter().map(|(day, sessions)| DayView { day: date(day), sessions });
        let reporters = sums.reporters.into_iter().map(|(reporter, sessions)| ReporterView { reporter, sessions });
        let mut failures: Vec<_> = sums.failures.into_iter().collect();
        failures.sort_by_key(|(_, sum)| std::cmp::Reverse(sum.sessions));
        failures.truncate(FAILURES_MOST);
        let failures = failures.into_iter().map(|((result_type, receiving_mx), sum)| FailureSumsView {
            result_type: result_type.as_str(),
            receiving_mx,
            sessions: sum.sessions,
            reporters: sum.reporters.into_iter().collect(),
            first_day: date(sum.first_day),
            last_day: date(sum.last_day),
        });
        Self {
            policy_type: policy_type.as_str(),
            all: sums.all,
            days: days.collect(),
            reporters: reporters.collect(),
            failures: failures.collect(),
        }
    }
}

impl<'a> StoredView<'a> {
    fn of(stored: &'a StoredReport) -> Self {
        let StoredReport { id, provenance, report, late, domain: _ } = stored;
        let Provenance { transport, authentication, reporter, arrived_at, source: _ } = provenance;
        Self {
            id: *id,
            arrived_at: *arrived_at,
            begin: report.begin,
            end: report.end,
            organization: report.organization.as_deref(),
            contact: report.contact.as_deref(),
            report_id: report.report_id.as_deref(),
            reporter: reporter.as_str(),
            authentication: authentication.as_str(),
            transport: transport.as_str(),
            late: *late,
            quirks: report.quirks.iter().copied().map(Quirk::as_str).collect(),
            policies: report.policies.iter().map(PolicyView::of).collect(),
        }
    }
}

/// A day as RFC 3339 writes it.
fn date(day: i64) -> String {
    const DAY: i64 = 86_400;
    let midnight = Timestamp::from_unix_seconds(day.saturating_mul(DAY)).to_string();
    midnight.split('T').next().unwrap_or_default().to_owned()
}
