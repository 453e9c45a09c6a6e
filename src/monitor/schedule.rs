//! When to do what next.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
    time::Duration,
};

use tokio::time::Instant;

/// What is due when: one due time a key, at a cost that grows with the logarithm of their number.
#[derive(Debug)]
pub(crate) struct Schedule<K> {
    queue: BTreeSet<(Instant, K)>,
    due: HashMap<K, Instant>,
}

impl<K> Default for Schedule<K> {
    fn default() -> Self {
        Self { queue: BTreeSet::new(), due: HashMap::new() }
    }
}

impl<K: Clone + Ord + Hash> Schedule<K> {
    /// Sets the due time of a key, in place of an earlier one.
    pub(crate) fn set(&mut self, key: K, at: Instant) {
        if let Some(before) = self.due.insert(key.clone(), at) {
            self.queue.remove(&(before, key.clone()));
        }
        self.queue.insert((at, key));
    }

    /// Brings a due time forward, and says whether it did; a key that is not scheduled stays so.
    pub(crate) fn no_later_than(&mut self, key: &K, at: Instant) -> bool {
        let later = self.due.get(key).is_some_and(|due| *due > at);
        if later {
            self.set(key.clone(), at);
        }
        later
    }

    /// Forgets a key.
    pub(crate) fn remove(&mut self, key: &K) {
        if let Some(at) = self.due.remove(key) {
            self.queue.remove(&(at, key.clone()));
        }
    }

    /// Takes out the key that is due longest, with its due time.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<(K, Instant)> {
        let (at, _) = self.queue.first()?;
        if *at > now {
            return None;
        }
        let (at, key) = self.queue.pop_first()?;
        self.due.remove(&key);
        Some((key, at))
    }

    /// When the next key is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// How many keys are due; counting stops at `most`.
    pub(crate) fn overdue(&self, now: Instant, most: usize) -> usize {
        self.queue.iter().take(most).take_while(|(at, _)| *at <= now).count()
    }

    /// Every key.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> {
        self.due.keys()
    }
}

/// At the start this many domains a second begin, so that a large fleet does not begin at once; a small one does.
const STARTS_PER_SECOND: u32 = 50;

/// When the domain at this place of a new list begins: spread over the interval, and no slower than that.
pub(crate) fn first_delay(place: usize, of: usize, interval: Duration) -> Duration {
    let place = u32::try_from(place).unwrap_or(u32::MAX);
    let of = u32::try_from(of).unwrap_or(u32::MAX).max(1);
    let step = (Duration::from_secs(1) / STARTS_PER_SECOND).min(interval / of);
    step.saturating_mul(place)
}

/// An interval with up to a twentieth more or less, so that what began together drifts apart. `random`: 0 to 1.
pub(crate) fn jittered(interval: Duration, random: f64) -> Duration {
    interval.mul_f64(0.95 + 0.1 * random.clamp(0.0, 1.0))
}

/// How long to wait after `failures` in a row: `retry`, doubled each time, and no longer than `interval`.
pub(crate) fn backed_off(retry: Duration, failures: u32, interval: Duration) -> Duration {
    /// Beyond this many doublings every interval is reached: a second becomes more than a week.
    const MOST_DOUBLINGS: u32 = 20;
    let doublings = failures.saturating_sub(1).min(MOST_DOUBLINGS);
    retry.saturating_mul(1 << doublings).min(interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_longest_due_comes_first_and_each_key_once() {
        let start = Instant::now();
        let mut schedule = Schedule::default();
        schedule.set("b", start + SECOND);
        schedule.set("a", start + SECOND * 5);
        schedule.set("a", start);
        schedule.set("c", start + SECOND * 2);
        schedule.remove(&"b");
        assert!(schedule.no_later_than(&"c", start + SECOND));
        assert!(!schedule.no_later_than(&"c", start + SECOND * 9));
        assert!(!schedule.no_later_than(&"unknown", start));
        assert_eq!(schedule.pop(start), Some(("a", start)));
        assert_eq!(schedule.pop(start), None);
        assert_eq!(schedule.next(), Some(start + SECOND));
        assert_eq!(schedule.overdue(start + SECOND, 10), 1);
        assert_eq!(schedule.pop(start + SECOND), Some(("c", start + SECOND)));
        assert_eq!(schedule.next(), None);
        assert_eq!(schedule.keys().count(), 0);
    }

    #[test]
    fn failures_are_retried_sooner_and_backed_off() {
        let (retry, interval) = (SECOND * 60, SECOND * 600);
        let waits: Vec<u64> = (1..=6).map(|n| backed_off(retry, n, interval).as_secs()).collect();
        assert_eq!(waits, [60, 120, 240, 480, 600, 600]);
        assert_eq!(backed_off(retry, u32::MAX, interval), interval);
    }

    #[test]
    fn a_fleet_is_spread_and_a_few_begin_at_once() {
        let interval = SECOND * 600;
        assert_eq!(first_delay(0, 1, interval), Duration::ZERO);
        assert!(first_delay(9, 10, interval) < SECOND);
        assert_eq!(first_delay(100, 1000, interval), SECOND * 2);
        // A million in ten minutes: the step shrinks instead of the last one being late.
        assert!(first_delay(999_999, 1_000_000, interval) <= interval);
    }

    #[test]
    fn jitter_is_a_twentieth() {
        assert_eq!(jittered(SECOND * 100, 0.0), SECOND * 95);
        assert_eq!(jittered(SECOND * 100, 1.0), SECOND * 105);
    }
}
