//! Evidence for the question whether enforce would lose mail, in a few counters.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::pace;
use crate::terms::Timestamp;

/// Seconds of a day.
const DAY: i64 = 86_400;
/// Days of fetches that are kept: the present one, and the seven before it.
const MOST_DAYS: usize = 8;

/// How often something was good in a row, and when it was bad last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Streak {
    /// Good probes in a row.
    pub good_in_a_row: u32,
    /// The last bad one.
    pub bad_at: Option<Timestamp>,
}

impl Streak {
    pub(super) fn note(&mut self, good: bool, at: Timestamp) {
        if good {
            self.good_in_a_row = self.good_in_a_row.saturating_add(1);
        } else {
            self.good_in_a_row = 0;
            self.bad_at = Some(at);
        }
    }

    /// Whether the last `count` probes were good, and all within `time`.
    pub fn held(&self, count: u32, time: Duration, now: Timestamp) -> bool {
        self.good_in_a_row >= count && self.bad_at.is_none_or(|at| now.since(at) > time)
    }
}

/// The fetches of one day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchDay {
    /// Days since 1970.
    pub day: i64,
    /// Fetches from single addresses that told something about the policy host.
    pub fetches: u32,
    /// Those that brought a usable policy.
    pub usable: u32,
}

/// What is counted for a domain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DomainEvidence {
    /// The first observation with an answer about the record.
    pub record_since: Option<Timestamp>,
    /// The last such observation in which there was not one valid record.
    pub record_bad_at: Option<Timestamp>,
    /// The fetches by days, oldest first.
    pub days: Vec<FetchDay>,
    /// When fetches were counted last: more often than the schedule asks for says nothing more, good or bad.
    pub fetches_counted_at: Option<Timestamp>,
    /// The last fetch that brought no usable policy.
    pub fetch_bad_at: Option<Timestamp>,
    /// The first fetch.
    pub fetch_since: Option<Timestamp>,
}

impl DomainEvidence {
    pub(super) fn note_record(&mut self, valid: bool, at: Timestamp) {
        self.record_since.get_or_insert(at);
        if !valid {
            self.record_bad_at = Some(at);
        }
    }

    /// Notes what the fetches of one observation brought, each whether it was a usable policy. `interval`: the time between two
    /// observations by the schedule.
    ///
    /// Whoever asks for a look every few seconds adds good fetches as fast as that, while bad ones wait for
    /// `probe.policy_retry_interval`: of one interval only the first observation is counted.
    pub(super) fn note_fetches(&mut self, fetches: &[bool], at: Timestamp, interval: Duration) {
        if fetches.is_empty() {
            return;
        }
        self.fetch_since.get_or_insert(at);
        if fetches.contains(&false) {
            self.fetch_bad_at = Some(at);
        }
        if !pace::in_time(self.fetches_counted_at, at, interval) {
            return;
        }
        self.fetches_counted_at = Some(at);
        for usable in fetches {
            self.count_fetch(*usable, at);
        }
    }

    fn count_fetch(&mut self, usable: bool, at: Timestamp) {
        let day = at.unix_seconds().div_euclid(DAY);
        if self.days.last().is_none_or(|last| last.day < day) {
            self.days.push(FetchDay { day, fetches: 0, usable: 0 });
        }
        if let Some(last) = self.days.last_mut() {
            last.fetches = last.fetches.saturating_add(1);
            last.usable = last.usable.saturating_add(u32::from(usable));
        }
        if self.days.len() > MOST_DAYS {
            self.days.remove(0);
        }
    }

    /// Fetches, and usable ones among them, of the last seven days and what of the present one has passed.
    pub fn fetches(&self, now: Timestamp) -> (u64, u64) {
        let today = now.unix_seconds().div_euclid(DAY);
        let recent = self.days.iter().filter(|one| today - one.day < 8);
        recent.fold((0, 0), |(all, usable), one| (all + u64::from(one.fetches), usable + u64::from(one.usable)))
    }
}
