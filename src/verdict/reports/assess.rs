//! What reports say of a domain, beside what is seen from here.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    NewFailure, ReporterDay,
    days::{Days, ON_TIME, PATIENT, Sessions, is_one, is_verified},
    novelty::{new_after, new_failures},
    own_view::own_view,
};
use crate::{
    protocol::{
        mta_sts::SENDER_REFRESH,
        tls_rpt::{PolicyType, ResultType},
    },
    terms::Timestamp,
    verdict::case::Case,
};

/// Numbers are of so many complete days.
const WEEK: i64 = 7;
/// A failure began with the first day that no pause of so many days parts from the last one.
const PAUSE: i64 = 7;
/// So many failures are told apart; those with the fewest sessions are left out.
const FAILURES_MOST: usize = 64;
/// So many reporters are told apart. Large senders are a dozen; strangers could be thousands.
const REPORTERS_MOST: usize = 200;
/// So many reporters of a failure are named.
const NAMED_MOST: usize = 10;
/// A reporter sends regularly if it reported on so many …
const REGULAR_DAYS: usize = 10;
/// … of so many days up to its last report.
const REGULAR_OF: i64 = 14;

/// What reports say of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportsAssessment {
    /// When the last report came in.
    pub last_arrived_at: Option<Timestamp>,
    /// The latest end of a reported time.
    pub last_end: Option<Timestamp>,
    /// The last day that is complete (days since 1970): all but the latest senders have reported.
    pub complete_until: i64,
    /// Of the last seven complete days so many have reports.
    pub complete_days: usize,
    /// Sessions of the last seven complete days, by kind of policy; all kinds, in their order. They are never added up.
    pub sessions: Vec<(PolicyType, Sessions)>,
    /// The failures of the last seven complete days and of what has come of later ones, most sessions first.
    pub failures: Vec<ReportedFailure>,
    /// The reporters of the days that are kept: those that send regularly first, then by sessions.
    pub reporters: Vec<ReporterStanding>,
    /// The failures that are new.
    pub new_failures: Vec<NewFailure>,
}

/// One way in which sessions fail, at one mail host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportedFailure {
    /// Under which kind of policy.
    pub policy_type: PolicyType,
    /// The result type.
    pub result_type: ResultType,
    /// The receiving MX, where it is told.
    pub mx: Option<String>,
    /// Failed sessions by the details.
    pub sessions: u64,
    /// Who tells of it, most sessions first.
    pub reporters: Vec<String>,
    /// The first day of it without a long pause since (days since 1970).
    pub first_day: i64,
    /// The last one.
    pub last_day: i64,
    /// Whether this monitor sees the same.
    pub own: OwnView,
    /// What it sees, in one sentence.
    pub own_words: String,
}

/// Whether this monitor sees what a reporter tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OwnView {
    /// It sees the same.
    Agrees,
    /// It looked, and does not.
    Disagrees,
    /// It cannot tell.
    CannotSee,
}

/// Who reports, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReporterStanding {
    /// Its organizational domain; `unverified`, or `other` for those that are too many to be told apart.
    pub name: String,
    /// It proved who it is.
    pub verified: bool,
    /// The last day that it reported (days since 1970).
    pub last_day: i64,
    /// Sessions of the last seven complete days: of its kinds of policy the one with the most.
    pub sessions: Sessions,
    /// It reported on most days of the two weeks up to its last report.
    pub regular: bool,
    /// It sent regularly and has stopped for longer than the configuration lets it.
    pub silent: bool,
    /// Which version of the policy it applied on its last day with one.
    pub policy: HeldVersion,
}

/// Which version of the policy a reporter applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HeldVersion {
    /// The one that is served now.
    Present,
    /// An earlier one, as may be: a day has not passed yet since the change.
    Earlier,
    /// An earlier one, longer than a daily refresh explains.
    Old,
    /// None that is known here, or none at all.
    Unknown,
}

impl OwnView {
    /// The word of the JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Agrees => "agrees",
            Self::Disagrees => "disagrees",
            Self::CannotSee => "cannot-see",
        }
    }
}

/// Nothing where no report source is configured.
pub(crate) fn assess(case: &Case<'_>) -> Option<ReportsAssessment> {
    let reports = case.history.reports.as_deref()?;
    let days = Days::new(reports, case.now, ON_TIME);
    let week = days.last(WEEK);
    let known = &case.history.domain.new_failures;
    let sessions = PolicyType::ALL.map(|policy_type| {
        let all = days.of(week.clone()).map(|(_, _, said)| said.sessions(policy_type));
        (policy_type, all.fold(Sessions::default(), Sessions::plus))
    });
    Some(ReportsAssessment {
        last_arrived_at: reports.last_arrived_at,
        last_end: reports.last_end,
        complete_until: days.complete,
        complete_days: days.reported(week, |_| true),
        sessions: sessions.to_vec(),
        failures: failures(case, days),
        reporters: reporters(case, days),
        new_failures: new_failures(days, known, new_after(case.context.thresholds)),
    })
}

fn failures(case: &Case<'_>, days: Days<'_>) -> Vec<ReportedFailure> {
    type Key<'a> = (PolicyType, ResultType, Option<&'a str>);
    let mut shown: BTreeMap<Key<'_>, BTreeSet<i64>> = BTreeMap::new();
    let mut told: BTreeMap<Key<'_>, BTreeMap<&str, u64>> = BTreeMap::new();
    let recent = days.recent(WEEK);
    for (day, name, said) in days.all() {
        for (policy_type, result_type, mx, sessions) in said.details() {
            let key = (policy_type, result_type, mx);
            shown.entry(key).or_default().insert(day);
            if recent.contains(&day) {
                let sum = told.entry(key).or_default().entry(name).or_default();
                *sum = sum.saturating_add(sessions);
            }
        }
    }
    let mut found: Vec<(u64, Key<'_>, Vec<&str>)> = told
        .into_iter()
        .map(|(key, by)| {
            let sessions = by.values().fold(0_u64, |sum, sessions| sum.saturating_add(*sessions));
            let mut names: Vec<(u64, &str)> = by.into_iter().map(|(name, sessions)| (sessions, name)).collect();
            names.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
            (sessions, key, names.into_iter().take(NAMED_MOST).map(|(_, name)| name).collect())
        })
        .collect();
    found.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    found.truncate(FAILURES_MOST);
    let mut failures = Vec::with_capacity(found.len());
    for (sessions, key, names) in found {
        let (policy_type, result_type, mx) = key;
        let Some((first_day, last_day)) = shown.get(&key).and_then(stretch) else { continue };
        let (own, own_words) = own_view(case, policy_type, result_type, mx);
        failures.push(ReportedFailure {
            policy_type,
            result_type,
            mx: mx.map(str::to_owned),
            sessions,
            reporters: names.into_iter().map(str::to_owned).collect(),
            first_day,
            last_day,
            own,
            own_words,
        });
    }
    failures
}

/// First and last day of the latest stretch.
fn stretch(on: &BTreeSet<i64>) -> Option<(i64, i64)> {
    let last = *on.last()?;
    let first = on.iter().rev().fold(last, |first, day| if first - day <= PAUSE { *day } else { first });
    Some((first, last))
}

fn reporters(case: &Case<'_>, days: Days<'_>) -> Vec<ReporterStanding> {
    let mut by_name: BTreeMap<&str, BTreeMap<i64, &ReporterDay>> = BTreeMap::new();
    for (day, name, said) in days.all() {
        by_name.entry(name).or_default().insert(day, said);
    }
    let week = days.last(WEEK);
    let standing = |(name, on): (&str, BTreeMap<i64, &ReporterDay>)| {
        let last_day = *on.last_key_value()?.0;
        let sessions = if week.is_empty() { None } else { Some(on.range(week.clone())) };
        let regular = is_one(name) && is_regular(&on);
        Some(ReporterStanding {
            name: name.to_owned(),
            verified: is_verified(name),
            last_day,
            sessions: sessions
                .into_iter()
                .flatten()
                .map(|(_, said)| said.most_sessions())
                .fold(Sessions::default(), Sessions::plus),
            silent: regular && is_missed(case, last_day),
            regular,
            policy: held_version(case, &on),
        })
    };
    let mut standings: Vec<ReporterStanding> = by_name.into_iter().filter_map(standing).collect();
    standings.sort_by(|a, b| {
        let key = |one: &ReporterStanding| (std::cmp::Reverse(one.regular), std::cmp::Reverse(one.sessions.sessions));
        key(a).cmp(&key(b)).then_with(|| a.name.cmp(&b.name))
    });
    standings.truncate(REPORTERS_MOST);
    standings
}

/// Strictly: whoever has mail for the domain now and then is not missed.
fn is_regular(on: &BTreeMap<i64, &ReporterDay>) -> bool {
    on.last_key_value().is_some_and(|(last, _)| on.range(last - REGULAR_OF + 1..=*last).count() >= REGULAR_DAYS)
}

/// Whether reports are overdue if this is the last day of which there is one: as many days are complete without one, even for late
/// senders, as the configuration lets pass.
pub(crate) fn is_missed(case: &Case<'_>, last_day: i64) -> bool {
    let end = Timestamp::from_unix_seconds(last_day.saturating_add(1).saturating_mul(86_400));
    case.now.since(end) >= case.context.thresholds.reports_silent + PATIENT
}

fn held_version(case: &Case<'_>, on: &BTreeMap<i64, &ReporterDay>) -> HeldVersion {
    let ledger = &case.history.domain.ledger;
    let Some(current) = ledger.current() else { return HeldVersion::Unknown };
    let present = current.policy.print();
    let Some((day, said)) = on.iter().rev().find(|(_, said)| !said.policies.is_empty()) else {
        return HeldVersion::Unknown;
    };
    if said.policies.contains(&present) {
        return HeldVersion::Present;
    }
    if !ledger.earlier().iter().any(|older| said.policies.contains(&older.policy.print())) {
        return HeldVersion::Unknown;
    }
    let learnt = current.since + ledger.record_ttl(case.now) + SENDER_REFRESH + ledger.delay();
    let begin = Timestamp::from_unix_seconds(day.saturating_mul(86_400));
    if begin >= learnt { HeldVersion::Old } else { HeldVersion::Earlier }
}
