//! What TLS reports say of a domain over time, and what follows from it.
//!
//! Everything here is a pure fold: a filed report adds a [`Contribution`]; nothing is taken back, only forgotten by days.

mod advice;
mod assess;
mod counters;
mod days;
mod novelty;
mod own_view;
mod tally;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use self::{
    advice::{Advice, advice},
    assess::{HeldVersion, OwnView, ReportedFailure, ReporterStanding, ReportsAssessment},
    counters::{Counter, CounterKey, Counters, NEWBORN_FOR, increments},
    days::Sessions,
    novelty::{NewFailure, Novelty},
    tally::{Cell, Measure, SESSIONS_MOST, SessionTally, excess, largest, session_tally},
};
pub(crate) use self::{
    assess::{assess, is_missed},
    days::{Days, ON_TIME, is_one, is_verified},
    novelty::new_after,
};
use crate::{
    facts::Reporter,
    protocol::mta_sts::read_policy,
    terms::{PolicyDomain, Timestamp},
};

/// So many days of reports are remembered beside the present one: the five weeks over which a shift shows, and the five days within
/// which the reports of a day come.
pub const DAYS_KEPT: i64 = 40;

/// So many reporters of a domain are told apart on one day; the others are one (`other`). Large senders are a dozen.
pub const REPORTERS_OF_A_DAY_MOST: usize = 100;

/// So many versions of a policy are remembered of one reporter on one day: more is no cache that lags behind.
pub const POLICIES_OF_A_DAY_MOST: usize = 8;

/// So many numbers of one reporter are told apart on one day; beyond it, failures stand without their host. A domain with ten mail
/// hosts that all fail in every way has about half.
pub const CELLS_OF_A_DAY_MOST: usize = 256;

/// What one filed report adds to what is known of one domain: only what was not counted before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contribution {
    /// Which domain.
    pub domain: PolicyDomain,
    /// The UTC day in which the reported time begins, in days since 1970; that of its arrival, where the report has no dates.
    pub day: i64,
    /// [`Reporter::as_str`](crate::facts::Reporter::as_str).
    pub reporter: String,
    /// Sessions by cell.
    pub tally: SessionTally,
    /// The policies of MTA-STS by which it was made: [`policy_print`] of each.
    pub policies: BTreeSet<u64>,
    /// When it came in.
    pub arrived_at: Timestamp,
    /// The end of the reported time.
    pub end: Option<Timestamp>,
    /// It came too late for the counters, and is only remembered.
    pub late: bool,
}

/// What reports say of one domain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DomainReports {
    /// By day (days since 1970), then by reporter.
    pub days: BTreeMap<i64, BTreeMap<String, ReporterDay>>,
    /// When the last report came in that was not late.
    pub last_arrived_at: Option<Timestamp>,
    /// The latest end of a reported time.
    pub last_end: Option<Timestamp>,
    /// What the metrics count.
    pub counters: Counters,
}

/// What one reporter says of one day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReporterDay {
    /// Sessions by cell.
    pub tally: SessionTally,
    /// The policies of MTA-STS by which it reports.
    pub policies: BTreeSet<u64>,
}

impl DomainReports {
    /// Takes in what a filed report adds to the days. The counters are the store's answer, and are set apart.
    pub fn add(&mut self, contribution: &Contribution) {
        // Old mail that is read in says nothing of whether reports come.
        if !contribution.late {
            self.last_arrived_at = self.last_arrived_at.max(Some(contribution.arrived_at));
        }
        // A sender whose clock runs ahead, or a forger, must not fill days that are not yet, nor make the last report one of them.
        let arrived = day_of(contribution.arrived_at);
        if contribution.day > arrived + 1 {
            return;
        }
        let ends = contribution.end.filter(|end| day_of(*end) <= arrived + 1);
        self.last_end = self.last_end.max(ends);
        let reporters = self.days.entry(contribution.day).or_default();
        // What proves nothing is never mixed with what does.
        let known = reporters.contains_key(&contribution.reporter)
            || reporters.len() < REPORTERS_OF_A_DAY_MOST
            || contribution.reporter == Reporter::UNVERIFIED;
        let name = if known { contribution.reporter.as_str() } else { Reporter::OTHER };
        let day = reporters.entry(name.to_owned()).or_default();
        for (cell, sessions) in &contribution.tally {
            let mut cell = cell.clone();
            if let Measure::Detail(result_type, Some(_)) = cell.measure
                && day.tally.len() >= CELLS_OF_A_DAY_MOST
                && !day.tally.contains_key(&cell)
            {
                cell.measure = Measure::Detail(result_type, None);
            }
            let sum = day.tally.entry(cell).or_default();
            *sum = sum.saturating_add(*sessions);
        }
        for policy in &contribution.policies {
            if day.policies.len() < POLICIES_OF_A_DAY_MOST {
                day.policies.insert(*policy);
            }
        }
    }

    /// The counters as a scrape shows them at `now`.
    pub fn shown(&self, now: Timestamp) -> BTreeMap<CounterKey, u64> {
        self.counters.iter().map(|(key, counter)| (key.clone(), counter.shown(now))).collect()
    }

    /// Remembers which counters have been shown with their values by `now`, or had been `before`: [`Counter::settled`].
    pub fn settle_counters(&mut self, before: &Counters, now: Timestamp) {
        for (key, counter) in &mut self.counters {
            *counter = counter.settled(before.get(key), now);
        }
    }

    /// Forgets the days that are too old.
    pub fn forget_before(&mut self, day: i64) {
        self.days = self.days.split_off(&day);
    }
}

/// The UTC day of a point in time, in days since 1970.
pub(crate) fn day_of(at: Timestamp) -> i64 {
    at.unix_seconds().div_euclid(86_400)
}

/// The [`print`](crate::protocol::mta_sts::Policy::print) of the policy that the lines of a `policy-string` make; nothing where they make none.
pub fn policy_print(lines: &[String]) -> Option<u64> {
    let mut body = String::new();
    for line in lines {
        body.push_str(line);
        body.push_str("\r\n");
    }
    read_policy(body.as_bytes()).value.map(|policy| policy.print())
}
