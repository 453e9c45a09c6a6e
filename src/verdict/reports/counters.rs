//! What the metrics count of reports: kept in the store, never falling.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Measure, SessionTally};
use crate::{
    protocol::tls_rpt::{PolicyType, ResultType},
    terms::Timestamp,
};

/// So long a counter that is new is shown at 0 before it rises: `increase()` sees a rise only behind a first sample, and every
/// scrape interval in use is shorter, because Prometheus forgets a series after five minutes.
pub const NEWBORN_FOR: Duration = Duration::from_secs(300);

/// So far the clocks of two instances may be apart that count for the same domain.
const CLOCKS_APART: Duration = Duration::from_secs(30);

/// A counter of a domain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum CounterKey {
    /// Sessions under a kind of policy.
    Sessions(PolicyType),
    /// Those that failed.
    Failed(PolicyType),
    /// Those that failed in one way, by the details.
    Detail(PolicyType, ResultType),
    /// Sessions that a reporter tells of: of its kinds of policy the one with the most, because one session can stand under two.
    ReporterSessions(String),
    /// Those that failed, likewise.
    ReporterFailed(String),
}

/// A number that only rises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    /// The number.
    pub value: u64,
    /// When it was counted for the first time; nothing where its value has been shown ([`Counter::settled`]).
    pub born_at: Option<Timestamp>,
}

/// The counters of a domain.
pub type Counters = BTreeMap<CounterKey, Counter>;

impl Counter {
    /// What a scrape shows at `now`: 0 while the counter is new. One that was born in the future, by a clock that was set back since, has
    /// been shown: it does not fall back to 0.
    pub fn shown(&self, now: Timestamp) -> u64 {
        if self.is_new(now) { 0 } else { self.value }
    }

    /// The same as it is remembered within a run. Once its value has been shown, it has no birth any more: a clock that is set back by some
    /// minutes would make it new again, and what falls to 0 and rises counts twice. `before`: as it was remembered until now.
    #[must_use]
    pub fn settled(self, before: Option<&Self>, now: Timestamp) -> Self {
        let shown = before.is_some_and(|before| before.born_at.is_none()) || !self.is_new(now);
        Self { born_at: self.born_at.filter(|_| !shown), ..self }
    }

    fn is_new(&self, now: Timestamp) -> bool {
        self.born_at.is_some_and(|born| born <= now + CLOCKS_APART && now.since(born) < NEWBORN_FOR)
    }
}

/// What a tally adds to the counters of a domain. `reporter`: the label under which its reporter counts.
pub fn increments(tally: &SessionTally, reporter: &str) -> BTreeMap<CounterKey, u64> {
    let mut increments = BTreeMap::new();
    let mut most = [0_u64; 2];
    for (cell, sessions) in tally {
        let key = match &cell.measure {
            Measure::Sessions => {
                most[0] = most[0].max(*sessions);
                CounterKey::Sessions(cell.policy_type)
            }
            Measure::Failed => {
                most[1] = most[1].max(*sessions);
                CounterKey::Failed(cell.policy_type)
            }
            Measure::Detail(result_type, _) => CounterKey::Detail(cell.policy_type, *result_type),
        };
        let sum: &mut u64 = increments.entry(key).or_default();
        *sum = sum.saturating_add(*sessions);
    }
    increments.insert(CounterKey::ReporterSessions(reporter.to_owned()), most[0]);
    increments.insert(CounterKey::ReporterFailed(reporter.to_owned()), most[1]);
    increments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_that_was_shown_does_not_fall_when_the_clock_is_set_back() {
        let born = Timestamp::from_unix_seconds(1_795_464_000);
        let counter = Counter { value: 7, born_at: Some(born) };
        let second = Duration::from_secs(1);
        assert_eq!(counter.shown(born), 0);
        assert_eq!(counter.shown(born - 10 * second), 0, "the clock of another instance");
        assert_eq!(counter.shown(born + NEWBORN_FOR - second), 0);
        assert_eq!(counter.shown(born + NEWBORN_FOR), 7);
        assert_eq!(counter.shown(born - 3600 * second), 7);
    }
    #[test]
    fn a_counter_that_has_grown_up_is_not_new_again() {
        let born = Timestamp::from_unix_seconds(1_795_464_000);
        let minute = Duration::from_secs(60);
        let kept = Counter { value: 7, born_at: Some(born) };
        // The store tells its birth each time; what is remembered here is that it was shown.
        let young = kept.settled(None, born + 4 * minute);
        assert_eq!((young, young.shown(born + 4 * minute)), (kept, 0));
        let grown = kept.settled(Some(&young), born + 12 * minute);
        assert_eq!(grown.shown(born + 12 * minute), 7);
        let more = Counter { value: 9, born_at: Some(born) }.settled(Some(&grown), born + 2 * minute);
        assert_eq!([grown, more].map(|counter| counter.shown(born + 2 * minute)), [7, 9], "set back by ten minutes");
    }
}
