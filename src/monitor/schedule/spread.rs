//! How looks are spread over time.

use std::{collections::BTreeMap, time::Duration};

use super::wheel::Load;

/// An interval may be so much shorter or longer, as a part of it: what began together drifts apart.
pub(super) const DRIFT: f64 = 0.05;
/// At the start this many a second begin at least, so that a small fleet is known soon.
const STARTS_PER_SECOND: f64 = 50.0;
/// Beside what is due by itself, what is overdue may make a moment so much fuller than the mean.
const FULLER: f64 = 0.2;
/// The second look comes no sooner than after this part of the interval.
const SECOND_LEAST: f64 = 0.1;
const MOMENT: Duration = Duration::from_nanos(Load::MOMENT);

/// An interval with up to `DRIFT` of it more or less. `random`: 0 to 1.
pub(crate) fn jittered(interval: Duration, random: f64) -> Duration {
    interval.mul_f64(1.0 - DRIFT + 2.0 * DRIFT * random.clamp(0.0, 1.0))
}

/// How long to wait after `failures` in a row: `retry`, doubled each time, and no longer than `interval`.
pub(crate) fn backed_off(retry: Duration, failures: u32, interval: Duration) -> Duration {
    /// Beyond this many doublings every interval is reached: a second becomes more than a week.
    const MOST_DOUBLINGS: u32 = 20;
    let doublings = failures.saturating_sub(1).min(MOST_DOUBLINGS);
    retry.saturating_mul(1 << doublings).min(interval)
}

/// How many looks begin together, and when each of them does: those of one interval evenly over it, so that the first round already
/// goes at the pace of all others; and faster where that is no more than a few a second.
///
/// Each is then looked at a second time so that the second round is even in any case, and none waits longer than its interval.
#[derive(Debug)]
pub(crate) struct Ramp {
    classes: BTreeMap<Duration, Class>,
    /// By how much faster than over the interval.
    share: f64,
    /// No moment of the load gets more than this.
    pub(super) most: u16,
}

#[derive(Debug, Default)]
struct Class {
    of: u32,
    placed: u32,
    latest: u64,
}

/// When one begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    pub(super) delay: Duration,
    /// From there to the second look.
    pub(super) second: Duration,
    /// No earlier than this moment of the load: those before it are full.
    pub(super) from: u64,
}

impl Ramp {
    /// For targets with these intervals. `others`: looks a second of those that have their time already.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of looks")]
    pub(super) fn new(intervals: impl Iterator<Item = Duration>, others: f64) -> Self {
        let mut classes: BTreeMap<Duration, Class> = BTreeMap::new();
        let mut demand = 0.0;
        for interval in intervals.map(|interval| interval.max(Duration::from_millis(1))) {
            classes.entry(interval).or_default().of += 1;
            demand += interval.as_secs_f64().recip();
        }
        let quick = demand.max(STARTS_PER_SECOND - others).max(others * FULLER);
        let share = (demand / quick).clamp(f64::MIN_POSITIVE, 1.0);
        let most = (demand + others + others * FULLER).max(STARTS_PER_SECOND) * MOMENT.as_secs_f64();
        let most = most.ceil().min(f64::from(u16::MAX)) as u16;
        Self { classes, share, most }
    }

    /// The place of the next target with this interval.
    pub(super) fn next(&mut self, interval: Duration) -> Start {
        let class = self.classes.entry(interval.max(Duration::from_millis(1))).or_default();
        let of = f64::from(class.of.max(1));
        let place = (f64::from(class.placed) / of).min(1.0);
        class.placed += 1;
        // A single one has its whole interval.
        let rest = (f64::from(class.placed) / of).min(1.0);
        Start {
            delay: interval.mul_f64(self.share * place),
            second: interval.mul_f64(self.share.max(SECOND_LEAST) * (1.0 - rest) + rest),
            from: class.latest,
        }
    }

    /// The moment in which the last one of an interval began.
    pub(super) fn reached(&mut self, interval: Duration, moment: u64) {
        if let Some(class) = self.classes.get_mut(&interval.max(Duration::from_millis(1))) {
            class.latest = moment;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

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
        let delays = |of: usize| -> Vec<Start> {
            let mut ramp = Ramp::new((0..of).map(|_| interval), 0.0);
            (0..of).map(|_| ramp.next(interval)).collect()
        };
        assert_eq!(delays(1)[0].delay, Duration::ZERO);
        assert!(delays(10)[9].delay < SECOND);
        assert_eq!(delays(1000)[100].delay, SECOND * 2);
        // A million in ten minutes: closer together instead of the last one being late.
        let many = delays(1_000_000);
        assert!(many[999_999].delay <= interval && many[500_000].delay == interval / 2);
        for start in delays(1).into_iter().chain(delays(1000)).chain(many) {
            assert!(start.second <= interval, "nobody waits longer than the interval");
            assert!(start.second >= interval / 10, "nobody is looked at twice at once");
        }
        assert_eq!(delays(1)[0].second, interval);
        // The second round of a fleet that is known soon is spread over the interval.
        let seconds: Vec<u64> = delays(1000).iter().map(|start| (start.delay + start.second).as_secs() / 60).collect();
        for minute in 2..10 {
            let many = seconds.iter().filter(|of| **of == minute).count();
            assert!((90..=130).contains(&many), "{many} in minute {minute}");
        }
    }

    #[test]
    fn jitter_is_a_twentieth() {
        assert_eq!(jittered(SECOND * 100, 0.0), SECOND * 95);
        assert_eq!(jittered(SECOND * 100, 1.0), SECOND * 105);
    }
}
