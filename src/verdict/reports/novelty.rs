//! Failures in reports that are new.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    DAYS_KEPT,
    days::{Days, is_one, is_verified},
};
use crate::{
    protocol::tls_rpt::{PolicyType, ResultType},
    verdict::Thresholds,
};

/// A failure is over after so many complete days without it.
const OVER_AFTER: i64 = 7;
/// Nothing is new before reports of so many days were there to compare with: where reports begin, everything would be.
const COMPARED_WITH: i64 = 7;
/// Reports of a day come within so many days; what it is compared with has to be remembered until then.
const COMES_WITHIN: i64 = 5;
/// So many new failures are remembered: every result type under every kind of policy, and a dozen reporters.
const MOST: usize = 64;

/// What is new.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Novelty {
    /// A result type under a kind of policy, that a reporter tells of who proved who it is.
    Type(PolicyType, ResultType),
    /// The same by reports that prove nothing alone.
    UnprovenType(PolicyType, ResultType),
    /// A reporter sees failures that used to see none.
    Reporter(String),
}

/// A new failure, while it lasts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NewFailure {
    /// What.
    pub what: Novelty,
    /// The first day of it (days since 1970).
    pub since: i64,
}

/// How many days before a failure must not have shown it: as the configuration says, as far as days are remembered.
pub(crate) fn new_after(thresholds: &Thresholds) -> i64 {
    let configured = i64::try_from(thresholds.reports_new_after.as_secs() / 86_400).unwrap_or(i64::MAX);
    configured.clamp(1, DAYS_KEPT - COMES_WITHIN)
}

/// The failures that are new. `known`: those of the judgement before, which last until they were gone for [`OVER_AFTER`] complete days.
/// `window`: how many days before must not have shown it.
///
/// What proves nothing makes nothing old: a forger could hide a failure by telling of it beforehand.
pub(super) fn new_failures(days: Days<'_>, known: &[NewFailure], window: i64) -> Vec<NewFailure> {
    let mut shown: BTreeMap<Novelty, BTreeSet<i64>> = BTreeMap::new();
    let mut proven: BTreeMap<(PolicyType, ResultType), BTreeSet<i64>> = BTreeMap::new();
    let mut heard = Heard::default();
    for (day, name, said) in days.all() {
        heard.note(day, name);
        for (policy_type, result_type, ..) in said.details() {
            if is_verified(name) {
                proven.entry((policy_type, result_type)).or_default().insert(day);
                shown.entry(Novelty::Type(policy_type, result_type)).or_default().insert(day);
            } else {
                shown.entry(Novelty::UnprovenType(policy_type, result_type)).or_default().insert(day);
            }
        }
        if is_one(name) && said.fails() {
            shown.entry(Novelty::Reporter(name.to_owned())).or_default().insert(day);
        }
    }
    let lasts = |on: &BTreeSet<i64>| on.last().is_some_and(|last| days.complete - last < OVER_AFTER);
    let mut found = Vec::new();
    for (what, on) in shown.iter().filter(|(_, on)| lasts(on)) {
        if let Novelty::UnprovenType(policy_type, result_type) = what
            && proven.get(&(*policy_type, *result_type)).is_some_and(lasts)
        {
            // It is told of by those who count.
            continue;
        }
        if let Some(before) = known.iter().find(|before| before.what == *what) {
            found.push(before.clone());
            continue;
        }
        let enough = usize::try_from(COMPARED_WITH.min(window)).unwrap_or(0);
        let compared =
            |since: i64| heard.of(what).is_some_and(|heard| heard.range(since - window..since).count() >= enough);
        let shown_before = |since: i64| match what {
            Novelty::UnprovenType(policy_type, result_type) => proven
                .get(&(*policy_type, *result_type))
                .is_some_and(|proven| proven.range(since - window..since).next().is_some()),
            Novelty::Type(..) | Novelty::Reporter(_) => false,
        };
        // Once a part of the window is forgotten, what is not known to be new is not found to be.
        let decided = |since: i64| since - window >= days.today - DAYS_KEPT;
        let begun = beginning(on, window).filter(|since| decided(*since) && compared(*since) && !shown_before(*since));
        found.extend(begun.map(|since| NewFailure { what: what.clone(), since }));
    }
    found.truncate(MOST);
    found
}

/// The days of which there are reports.
#[derive(Default)]
struct Heard<'a> {
    from_all: BTreeSet<i64>,
    from_verified: BTreeSet<i64>,
    from: BTreeMap<&'a str, BTreeSet<i64>>,
}

impl<'a> Heard<'a> {
    fn note(&mut self, day: i64, name: &'a str) {
        self.from_all.insert(day);
        if is_verified(name) {
            self.from_verified.insert(day);
        }
        self.from.entry(name).or_default().insert(day);
    }

    /// Those that something new is compared with.
    fn of(&self, what: &Novelty) -> Option<&BTreeSet<i64>> {
        match what {
            Novelty::Type(..) => Some(&self.from_verified),
            Novelty::UnprovenType(..) => Some(&self.from_all),
            Novelty::Reporter(name) => self.from.get(name.as_str()),
        }
    }
}

/// The first day of the present stretch (in which no pause is long enough to end it), if the window before it shows nothing.
fn beginning(on: &BTreeSet<i64>, window: i64) -> Option<i64> {
    let mut since = *on.last()?;
    for day in on.iter().rev() {
        if since - day > OVER_AFTER {
            break;
        }
        since = *day;
    }
    on.range(since - window..since).next().is_none().then_some(since)
}
