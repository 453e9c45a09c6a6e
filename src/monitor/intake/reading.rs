//! The threads on which reports are unpacked and read.
//!
//! The allocator keeps for each thread, for a while, what was freed on it. On the threads for blocking work, of which there may be
//! hundreds, each of a few small reports that unpack to 25 MB would leave tens of megabytes behind on another one.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::protocol::tls_rpt::ReportReader;

type Work = Box<dyn FnOnce(&mut ReportReader) + Send>;

/// As many threads as turns at most; each starts when it is needed.
#[derive(Debug)]
pub(super) struct Readers {
    turns: Arc<Semaphore>,
    /// Those that have nothing to do. The one that read last reads next.
    idle: Mutex<Vec<mpsc::Sender<Work>>>,
}

/// Who holds it keeps others from reading.
pub(super) type Turn = Option<OwnedSemaphorePermit>;

/// Why nothing came of it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unread {
    /// The work panicked, and its thread ended.
    #[error("the thread that read it broke off")]
    Broken,
    /// The system gives no thread.
    #[error("no thread to read it on: {0}")]
    NoThread(#[from] io::Error),
}

impl Readers {
    /// Lets so many read at once.
    pub(super) fn new(turns: usize) -> Self {
        Self { turns: Arc::new(Semaphore::new(turns)), idle: Mutex::default() }
    }

    /// Waits for a turn, and does something with a reader. Returns what came of it, and the turn.
    ///
    /// # Errors
    /// [`Unread`].
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut ReportReader) -> T + Send + 'static,
    ) -> Result<(T, Turn), Unread> {
        // It is never closed.
        let turn = Arc::clone(&self.turns).acquire_owned().await.ok();
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let thread = match idle {
            Some(thread) => thread,
            None => start()?,
        };
        let (done, result) = oneshot::channel();
        let work: Work = Box::new(move |reader| {
            // Whoever asked may have gone.
            let _ = done.send(work(reader));
        });
        thread.send(work).map_err(|_| Unread::Broken)?;
        let result = result.await.map_err(|_| Unread::Broken)?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        Ok((result, turn))
    }
}

/// A thread that works until nobody can give it work any more.
fn start() -> io::Result<mpsc::Sender<Work>> {
    let (thread, work) = mpsc::channel::<Work>();
    thread::Builder::new().name("reports".to_owned()).spawn(move || {
        let mut reader = ReportReader::default();
        while let Ok(work) = work.recv() {
            work(&mut reader);
        }
    })?;
    Ok(thread)
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, thread::ThreadId};

    use futures_util::future::join_all;

    use super::*;

    async fn thread(readers: &Readers) -> ThreadId {
        readers.read(|_| thread::current().id()).await.unwrap().0
    }

    #[tokio::test]
    async fn there_are_no_more_threads_than_turns() {
        let readers = Readers::new(2);
        let first = thread(&readers).await;
        assert_ne!(first, thread::current().id());
        for _ in 0..10 {
            assert_eq!(thread(&readers).await, first, "one after the other needs one thread");
        }
        let many: HashSet<_> = join_all((0..100).map(|_| thread(&readers))).await.into_iter().collect();
        assert!(many.len() <= 2 && many.contains(&first), "{many:?}");
    }

    #[tokio::test]
    async fn a_panic_costs_its_thread_alone() {
        let readers = Readers::new(1);
        let broken = readers.read::<()>(|_| panic!("the work breaks")).await;
        assert!(matches!(broken, Err(Unread::Broken)));
        assert_eq!(readers.read(|_| 7).await.unwrap().0, 7);
    }
}
