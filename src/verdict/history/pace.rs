//! How often is looked by the schedule. Whoever asks for a look in between sees what is there now; a failure lasts no longer for it, and
//! what works has not been seen more often.

use std::time::Duration;

use crate::terms::Timestamp;

/// The times between two looks of the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Where all is well.
    pub interval: Duration,
    /// After the first failure: failures that lie closer together count as one.
    pub retry: Duration,
}

/// Whether a look at this time comes as late after the last one that counted as one of the schedule does. A clock that was set back
/// must not stop the counting.
pub(super) fn in_time(counted_at: Option<Timestamp>, at: Timestamp, pace: Duration) -> bool {
    /// The schedule may be early by a twentieth, and a look may take longer than the one before.
    const SLACK: f64 = 0.9;
    counted_at.is_none_or(|before| before > at || at.since(before) >= pace.mul_f64(SLACK))
}

/// One more failure in a row, unless the last one that counted was shortly ago. The first always counts.
pub(super) fn count_failure(failures: &mut u32, counted_at: &mut Option<Timestamp>, at: Timestamp, retry: Duration) {
    if *failures == 0 || in_time(*counted_at, at, retry) {
        *failures = failures.saturating_add(1);
        *counted_at = Some(at);
    }
}
