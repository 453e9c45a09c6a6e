//! Whether DNSSEC can be seen from here: by a control name that is known to be signed.

use std::{
    sync::atomic::{AtomicU8, Ordering::Relaxed},
    time::Duration,
};

use tokio::{sync::Mutex, time::Instant};

use crate::facts::DnssecSight;

/// How long a control name that validated proves that validation works ("in the same minute").
const PROVEN_FOR: Duration = Duration::from_secs(60);
/// How soon a control name that did not validate is asked for again.
const DOUBTED_FOR: Duration = Duration::from_secs(5);

/// How the question for the control name ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ControlOutcome {
    /// It validated.
    Validated,
    /// It was answered, and did not validate.
    NotValidated,
    /// No answer came: this tells nothing of DNSSEC.
    NoAnswer,
}

/// What the control name showed.
#[derive(Debug)]
pub(super) struct Control {
    last: Mutex<Option<(Instant, bool)>>,
    sight: AtomicU8,
}

impl Control {
    /// Nothing was seen yet.
    pub(super) fn new(sight: DnssecSight) -> Self {
        Self { last: Mutex::new(None), sight: AtomicU8::new(number(sight)) }
    }

    /// What was seen last.
    pub(super) fn sight(&self) -> DnssecSight {
        match self.sight.load(Relaxed) {
            1 => DnssecSight::Validating,
            2 => DnssecSight::Blind,
            _ => DnssecSight::Off,
        }
    }

    /// Whether the control name validated within the last minute; asks anew otherwise, one asker at a time.
    pub(super) async fn is_healthy(&self, now: Instant, ask: impl AsyncFnOnce() -> ControlOutcome) -> bool {
        let mut last = self.last.lock().await;
        if let Some((at, healthy)) = *last
            && now.saturating_duration_since(at) < if healthy { PROVEN_FOR } else { DOUBTED_FOR }
        {
            return healthy;
        }
        let outcome = ask().await;
        match outcome {
            ControlOutcome::Validated => self.sight.store(number(DnssecSight::Validating), Relaxed),
            ControlOutcome::NotValidated => self.sight.store(number(DnssecSight::Blind), Relaxed),
            // A resolver that is silent did not become blind.
            ControlOutcome::NoAnswer => {}
        }
        let healthy = outcome == ControlOutcome::Validated;
        *last = Some((now, healthy));
        healthy
    }
}

const fn number(sight: DnssecSight) -> u8 {
    match sight {
        DnssecSight::Off => 0,
        DnssecSight::Validating => 1,
        DnssecSight::Blind => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_proof_lasts_a_minute_and_a_doubt_some_seconds() {
        let (control, start) = (Control::new(DnssecSight::Blind), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(control.is_healthy(start, async || ControlOutcome::Validated).await);
        assert_eq!(control.sight(), DnssecSight::Validating);
        assert!(control.is_healthy(at(59), async || ControlOutcome::NotValidated).await, "not asked again");
        assert!(!control.is_healthy(at(60), async || ControlOutcome::NotValidated).await);
        assert_eq!(control.sight(), DnssecSight::Blind);
        assert!(!control.is_healthy(at(64), async || ControlOutcome::Validated).await, "not asked again");
        assert!(control.is_healthy(at(65), async || ControlOutcome::Validated).await);
    }

    #[tokio::test]
    async fn silence_does_not_make_blind() {
        let (control, start) = (Control::new(DnssecSight::Blind), Instant::now());
        assert!(control.is_healthy(start, async || ControlOutcome::Validated).await);
        assert!(!control.is_healthy(start + Duration::from_secs(60), async || ControlOutcome::NoAnswer).await);
        assert_eq!(control.sight(), DnssecSight::Validating);
    }
}
