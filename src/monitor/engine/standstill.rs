//! After this process stood still: it was stopped (SIGSTOP, a frozen container), or the machine slept.
//!
//! While a process is stopped the monotonic clock goes on, so that all that fell due meanwhile would begin at once. While a machine sleeps
//! that clock stands still, and only the time of day leaps: what is due is as spread as before. In both cases looks that were under way
//! missed their deadlines, or lost their connections, through no fault of a peer.

use std::time::Duration;

use tokio::time::Instant;

use super::{BEAT, Keeper, Seen, Target, beginning::note_due, key::Key};
use crate::{net::now, terms::Timestamp};

/// So much later than its time the keeper wakes only where the process had no turn at all. A machine that is only busy is late by less, and
/// the shortest deadlines of looks are of some seconds.
const STILL: Duration = Duration::from_secs(5);

/// When the process stood still.
#[derive(Debug)]
pub(super) struct Standstill {
    /// When it was last found to go on, by both clocks.
    went_on: (Instant, Timestamp),
    /// When the last standstill was over.
    over_at: Option<Instant>,
}

/// What happened between two turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Still {
    /// The process had no turn for so long beyond the time of its turn.
    Stopped(Duration),
    /// The time of day leapt ahead by so much: the machine slept, or its clock was set.
    Leapt(Duration),
}

impl Standstill {
    pub(super) fn new() -> Self {
        Self { went_on: (Instant::now(), now()), over_at: None }
    }

    /// When it is to be looked again.
    pub(super) fn next(&self) -> Instant {
        self.went_on.0 + BEAT
    }

    /// It goes on now. `idle_since`: until then the keeper was at work, which is no standstill.
    fn note(&mut self, idle_since: Instant, at: Instant, time: Timestamp) -> Option<Still> {
        let late = at.saturating_duration_since(self.next().max(idle_since));
        let passed = at.saturating_duration_since(self.went_on.0);
        let leapt = time.since(self.went_on.1).saturating_sub(passed);
        self.went_on = (at, time);
        let still = match (late > STILL, leapt > STILL) {
            (true, _) => Some(Still::Stopped(late)),
            (false, true) => Some(Still::Leapt(leapt)),
            (false, false) => None,
        };
        if still.is_some() {
            self.over_at = Some(at);
        }
        still
    }

    /// Whether what failed in this look may have failed because this process stood still meanwhile.
    pub(super) fn hindered(&self, began: Instant, seen: &Seen) -> bool {
        self.over_at.is_some_and(|over| began < over) && seen.fails()
    }
}

impl Keeper {
    /// Looks back where it is time for it: what came of a look may be here before the timer has told that the process goes on.
    pub(super) fn look_back_in_time(&mut self, idle_since: Instant) {
        if Instant::now() >= self.standstill.next() {
            self.look_back(idle_since);
        }
    }

    /// Looks whether the process stood still; then what fell due meanwhile begins spread, as at a start.
    pub(super) fn look_back(&mut self, idle_since: Instant) {
        let at = Instant::now();
        match self.standstill.note(idle_since, at, now()) {
            None => {}
            Some(Still::Stopped(time)) => {
                let (fleet, telemetry) = (&self.fleet, &self.telemetry);
                let spread = self.schedule.spread_overdue(at, |key, late, due| {
                    // Its look will begin soon after a time of its own: how late that is shows here alone.
                    telemetry.schedule_lag(late);
                    if let Key::Domain(domain) = key {
                        note_due(fleet.known(domain).as_deref(), due);
                    }
                });
                tracing::warn!(
                    ?time,
                    looks = spread,
                    "this process stood still; what fell due meanwhile begins spread"
                );
            }
            Some(Still::Leapt(time)) => {
                tracing::warn!(?time, "the time of day leapt ahead: this machine slept, or its clock was set");
            }
        }
    }

    /// When a target is looked at again whose look brought nothing.
    pub(super) fn again_after_nothing(&self, target: &Target, hindered: bool) -> Duration {
        let probe = &self.settings.probe;
        match target {
            Target::Survey(..) => super::SURVEY_RETRY,
            _ if hindered => probe.retry_interval.min(probe.interval),
            _ => probe.interval,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const HOUR: Duration = Duration::from_secs(3600);

    /// What is found so long after the last turn, by the monotonic clock and by the time of day, of which the keeper was at work for so long.
    fn found(passed: Duration, of_day: Duration, at_work: Duration) -> (Option<Still>, bool) {
        let mut standstill = Standstill::new();
        let (before, time) = standstill.went_on;
        let found = standstill.note(before + at_work, before + passed, time + of_day);
        assert_eq!(standstill.next(), before + passed + BEAT);
        assert!(standstill.note(before + passed, before + passed + BEAT, time + of_day + BEAT).is_none(), "only once");
        (found, standstill.hindered(before, &Seen::Nothing))
    }

    #[test]
    fn what_stood_still_is_told_from_what_was_busy() {
        let none = Duration::ZERO;
        assert_eq!(found(BEAT, BEAT, none), (None, false));
        assert_eq!(found(SECOND * 5, SECOND * 5, none), (None, false), "a busy machine");
        assert_eq!(found(HOUR + BEAT, HOUR + BEAT, none).0, Some(Still::Stopped(HOUR)));
        assert_eq!(found(HOUR, HOUR, HOUR - SECOND), (None, false), "the keeper was at work");
        assert_eq!(found(BEAT, HOUR + BEAT, none).0, Some(Still::Leapt(HOUR)), "a machine that slept");
        assert_eq!(found(BEAT, none, none), (None, false), "a clock that was set back");
        assert_eq!(found(HOUR + BEAT, HOUR * 2, none).0, Some(Still::Stopped(HOUR)), "both");
    }

    #[test]
    fn only_looks_from_before_that_failed_were_hindered() {
        let mut standstill = Standstill::new();
        let (before, time) = standstill.went_on;
        let failed = Seen::Canary("mx.example.com".parse().unwrap(), Vec::new());
        assert!(!standstill.hindered(before, &failed));
        let over = before + HOUR;
        standstill.note(before, over, time + HOUR);
        assert!(standstill.hindered(over - SECOND, &failed));
        assert!(!standstill.hindered(over, &failed), "it began after that");
        assert!(!standstill.hindered(over - SECOND, &Seen::Nothing), "nothing failed");
    }
}
