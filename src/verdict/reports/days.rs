//! What the reports of some days come to.

use std::{collections::BTreeSet, ops::RangeInclusive, time::Duration};

use super::{DomainReports, Measure, ReporterDay, day_of};
use crate::{
    facts::Reporter,
    protocol::tls_rpt::{PolicyType, ResultType},
    terms::Timestamp,
};

/// When the reports of a day are there: after the random delay of four hours and a day of retries (RFC 8460 §4.1, §5.5).
pub(crate) const ON_TIME: Duration = Duration::from_secs(28 * 3600);
/// … those of late senders among them.
pub(crate) const PATIENT: Duration = Duration::from_secs(48 * 3600);

/// The days of a domain as they stand at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Days<'a> {
    reports: &'a DomainReports,
    /// The present day. What claims to be of a later one is not looked at.
    pub(crate) today: i64,
    /// The last day that is complete.
    pub(crate) complete: i64,
}

/// Sessions, and those that failed among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Sessions {
    /// All, by the summaries.
    pub sessions: u64,
    /// Those that failed, by the summaries.
    pub failed: u64,
}

impl Sessions {
    pub(crate) const fn plus(self, other: Self) -> Self {
        Self {
            sessions: self.sessions.saturating_add(other.sessions),
            failed: self.failed.saturating_add(other.failed),
        }
    }
}

impl ReporterDay {
    /// All sessions under one kind of policy.
    pub fn sessions(&self, policy_type: PolicyType) -> Sessions {
        let sum = |wanted: &Measure| {
            let cells =
                self.tally.iter().filter(|(cell, _)| cell.policy_type == policy_type && cell.measure == *wanted);
            cells.fold(0_u64, |sum, (_, sessions)| sum.saturating_add(*sessions))
        };
        Sessions { sessions: sum(&Measure::Sessions), failed: sum(&Measure::Failed) }
    }

    /// Of its kinds of policy the one with the most sessions: one session can stand under two.
    pub fn most_sessions(&self) -> Sessions {
        let all = PolicyType::ALL.map(|policy_type| self.sessions(policy_type));
        let most = |number: fn(&Sessions) -> u64| all.iter().map(number).max().unwrap_or(0);
        Sessions { sessions: most(|one| one.sessions), failed: most(|one| one.failed) }
    }

    /// The failures of which the details tell: kind of policy, result type, receiving MX, sessions. Notices without a failed session
    /// are none.
    pub fn details(&self) -> impl Iterator<Item = (PolicyType, ResultType, Option<&str>, u64)> {
        self.tally.iter().filter(|(_, sessions)| **sessions > 0).filter_map(|(cell, sessions)| match &cell.measure {
            Measure::Detail(result_type, host) => Some((cell.policy_type, *result_type, host.as_deref(), *sessions)),
            Measure::Sessions | Measure::Failed => None,
        })
    }

    /// Whether it tells of a failure, in the summary or the details.
    pub fn fails(&self) -> bool {
        self.most_sessions().failed > 0 || self.details().next().is_some()
    }
}

impl<'a> Days<'a> {
    /// `lag`: how long after its end a day counts as complete.
    pub(crate) fn new(reports: &'a DomainReports, now: Timestamp, lag: Duration) -> Self {
        Self { reports, today: day_of(now), complete: day_of(now - lag) - 1 }
    }

    /// The last `count` complete days.
    pub(crate) fn last(&self, count: i64) -> RangeInclusive<i64> {
        self.complete - count + 1..=self.complete
    }

    /// The last `count` complete days and what has come of later ones.
    pub(crate) fn recent(&self, count: i64) -> RangeInclusive<i64> {
        self.complete - count + 1..=self.today
    }

    /// What was reported of these days: day, reporter, what it says.
    pub(crate) fn of(
        &self,
        days: RangeInclusive<i64>,
    ) -> impl Iterator<Item = (i64, &'a str, &'a ReporterDay)> + use<'a> {
        // An empty range is none for a map.
        let days = if days.is_empty() { None } else { Some(days) };
        let reported = days.into_iter().flat_map(|days| self.reports.days.range(days));
        let reported: Vec<_> = reported.collect();
        reported
            .into_iter()
            .flat_map(|(day, reporters)| reporters.iter().map(|(name, said)| (*day, name.as_str(), said)))
    }

    /// The same of all days that are kept.
    pub(crate) fn all(&self) -> impl Iterator<Item = (i64, &'a str, &'a ReporterDay)> + use<'a> {
        self.of(i64::MIN..=self.today)
    }

    /// How many of these days a report speaks of, whoever sent it.
    pub(crate) fn reported(&self, days: RangeInclusive<i64>, by: impl Fn(&str) -> bool) -> usize {
        let days: BTreeSet<i64> = self.of(days).filter(|(_, name, _)| by(name)).map(|(day, ..)| day).collect();
        days.len()
    }
}

/// Whether a reporter proved who it is.
pub(crate) fn is_verified(name: &str) -> bool {
    name != Reporter::UNVERIFIED
}

/// Whether a name is that of one reporter that proved who it is.
pub(crate) fn is_one(name: &str) -> bool {
    is_verified(name) && name != Reporter::OTHER
}
