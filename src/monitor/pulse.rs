//! Whether the keeper still turns to its work.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};

/// So often the keeper says that it is alive, with nothing to do too.
pub(super) const BEAT: Duration = Duration::from_secs(1);

/// When the keeper last turned to what waits for it. Clones share it.
///
/// By the monotonic clock: the time of a suspend is none in which the keeper stood still.
#[derive(Clone, Debug)]
pub struct Pulse(Arc<watch::Sender<Instant>>);

impl Default for Pulse {
    fn default() -> Self {
        Self::new()
    }
}

impl Pulse {
    /// Of a keeper that is alive now.
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Instant::now())))
    }

    /// The keeper is alive.
    pub fn beat(&self) {
        self.0.send_replace(Instant::now());
    }

    /// For how long the keeper has been busy with one thing, or is gone.
    pub fn silence(&self) -> Duration {
        self.0.borrow().elapsed()
    }
}
