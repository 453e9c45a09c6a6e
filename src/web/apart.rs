//! Work for an answer that takes milliseconds: not on a thread on which probes run.

use std::{sync::Arc, thread, time::Duration};

use http::StatusCode;
use tokio::{sync::Semaphore, time::timeout};

use super::api::Answer;

/// How long an answer waits for its turn: long enough for all who may wait for one look, and shorter than the usual scrape timeout.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where the machine does not say how many cores it has.
const CORES: usize = 2;

/// Works apart.
///
/// # Errors
/// The answer of the API where the work broke.
pub(super) async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Answer> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        tracing::error!(%error, "an answer or a page could not be made");
        Answer::error(StatusCode::INTERNAL_SERVER_ERROR, "the answer could not be made; the log says why")
    })
}

/// Turns at work that whoever asks again and again could make without end: no more is done at once than there are cores. A probe
/// that waits for a core sees timeouts where there are none.
#[derive(Clone, Debug)]
pub(super) struct Turns {
    places: Arc<Semaphore>,
    patience: Duration,
}

impl Turns {
    fn new(places: usize, patience: Duration) -> Self {
        Self { places: Arc::new(Semaphore::new(places)), patience }
    }

    /// Works apart when its turn comes; nothing where it does not come in time.
    ///
    /// # Errors
    /// As [`apart`].
    pub(super) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Option<T>, Answer> {
        let Ok(Ok(turn)) = timeout(self.patience, Arc::clone(&self.places).acquire_owned()).await else {
            return Ok(None);
        };
        let work = move || {
            let made = work();
            // Here, not where it is waited for: whoever asked may have gone, and the work goes on.
            drop(turn);
            made
        };
        apart(work).await.map(Some)
    }
}

impl Default for Turns {
    fn default() -> Self {
        Self::new(thread::available_parallelism().map_or(CORES, usize::from), PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_more_at_once_than_places() {
        let (turns, busy) = (Turns::new(2, Duration::from_secs(60)), Arc::new(AtomicUsize::new(0)));
        let works = (0..20).map(|_| {
            let busy = Arc::clone(&busy);
            turns.work(move || {
                let at_once = busy.fetch_add(1, Ordering::SeqCst) + 1;
                thread::sleep(Duration::from_millis(5));
                busy.fetch_sub(1, Ordering::SeqCst);
                at_once
            })
        });
        let most = join_all(works).await.into_iter().map(|made| made.unwrap().unwrap()).max();
        assert_eq!(most, Some(2));
    }

    #[tokio::test]
    async fn whoever_gets_no_turn_is_told_so() {
        let turns = Turns::new(0, Duration::from_millis(1));
        assert_eq!(turns.work(|| 1).await, Ok(None));
    }

    #[tokio::test]
    async fn a_turn_ends_when_the_work_breaks() {
        let turns = Turns::new(1, Duration::from_secs(60));
        let broken = turns.work(|| panic!("the work breaks")).await;
        assert_eq!(broken.unwrap_err().status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(turns.work(|| 1).await, Ok(Some(1)));
    }
}
