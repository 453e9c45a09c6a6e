//! By how much all intervals are longer than wished, where more is wanted than fits.

use super::turns::nanoseconds;
use std::time::Duration;

/// What fits is measured over this time: long enough for some looks that wait out a timeout.
const WINDOW: Duration = Duration::from_secs(60);
/// Below this share of the room in use there is plenty, and what fits need not be known.
const PLENTY: f64 = 0.5;
/// This much of what fits is planned with, so that what waits is worked off.
const PLANNED: f64 = 0.9;
/// How much of the way is gone at once where looks have to be further apart: one odd minute must not slow everything down.
const RISE: f64 = 0.5;
/// … and in one minute at most by this factor.
const RISE_MOST: f64 = 1.5;
/// In the time of one interval the stretch falls at most by this part: two looks of one round then have nearly the same interval.
const FALL: f64 = 1.0 / 6.0;
/// Beyond it nothing is promised any more: half an hour has become two days.
const MOST: f64 = 100.0;

/// The factor, and the measurement that it follows from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch {
    ratio: f64,
    window: Window,
    /// Looks a second that fit, over the last windows.
    fits: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Window {
    began: u64,
    noted: u64,
    begun: u32,
    /// The share of the room in use, times the nanoseconds.
    used: f64,
}

impl Default for Stretch {
    fn default() -> Self {
        Self { ratio: 1.0, window: Window::default(), fits: None }
    }
}

impl Stretch {
    /// At least 1.
    pub(crate) const fn ratio(&self) -> f64 {
        self.ratio
    }

    pub(super) fn begun(&mut self) {
        self.window.begun = self.window.begun.saturating_add(1);
    }

    /// What was measured since the last window says nothing: nothing could be done for a while.
    pub(super) fn restart(&mut self, time: u64) {
        self.window = Window { began: time, noted: time, ..Window::default() };
    }

    /// Until now this share of the room was in use. `demand`: looks a second that are wanted; `round`: seconds in which each target
    /// is looked at once, by the wish.
    #[expect(clippy::cast_precision_loss, reason = "days in nanoseconds fit into 53 bits")]
    pub(super) fn note(&mut self, share: f64, demand: f64, round: f64, time: u64) {
        let window = &mut self.window;
        window.used += share.clamp(0.0, 1.0) * time.saturating_sub(window.noted) as f64;
        window.noted = time;
        let length = time.saturating_sub(window.began);
        if length < nanoseconds(WINDOW) {
            return;
        }
        let seconds = length as f64 / 1e9;
        let (rate, used) = (f64::from(window.begun) / seconds, window.used / length as f64);
        *window = Window { began: time, noted: time, ..Window::default() };
        self.settle(rate, used, demand, round, seconds);
    }

    fn settle(&mut self, rate: f64, used: f64, demand: f64, round: f64, seconds: f64) {
        // As many as began in the room that was in use; the rest of it would take as many for its size.
        let fits = (used >= PLENTY).then(|| rate / used);
        self.fits = match (self.fits, fits) {
            (Some(before), Some(fits)) => Some(f64::midpoint(before, fits)),
            (_, fits) => fits,
        };
        let wanted = self.fits.map_or(1.0, |fits| (demand / (PLANNED * fits)).clamp(1.0, MOST));
        let fall = 1.0 - FALL * (seconds / (round * self.ratio).max(seconds)).min(1.0);
        self.ratio = match wanted > self.ratio {
            true => (self.ratio + (wanted - self.ratio) * RISE).min(self.ratio * RISE_MOST),
            false => wanted.max(self.ratio * fall),
        };
    }
}
