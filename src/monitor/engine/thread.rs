//! The thread of the keeper.
//!
//! The keeper judges for milliseconds at a time, and here it holds up no other task. At each look it also lets go of what it held of a
//! domain and takes as much anew: an allocator gives each thread memory of its own, and what is let go serves the thread again that took
//! it. So the keeper begins and goes on on one thread.

use std::{future::Future, io, panic::resume_unwind, thread};

use tokio::{runtime::Handle, sync::oneshot};

/// Runs `start` on a thread of its own, as a part of this runtime, and returns the first of what it gives; the second goes on there.
///
/// # Errors
/// Those of `start`, and where there is no thread to be had.
pub(super) async fn begin<T, E, F, R>(start: impl FnOnce() -> F + Send + 'static) -> Result<T, E>
where
    T: Send + 'static,
    E: From<io::Error> + Send + 'static,
    F: Future<Output = Result<(T, R), E>>,
    R: Future<Output = ()>,
{
    let runtime = Handle::current();
    let (told, started) = oneshot::channel();
    let run = move || {
        runtime.block_on(async move {
            match start().await {
                // Where nobody waits for it any more, nobody could stop it either.
                Ok((first, goes_on)) => {
                    if told.send(Ok(first)).is_ok() {
                        goes_on.await;
                    }
                }
                Err(error) => drop(told.send(Err(error))),
            }
        });
    };
    let thread = thread::Builder::new().name("keeper".to_owned()).spawn(run)?;
    match started.await {
        Ok(started) => started,
        // It ends without a word only by a panic, which is told here as if there were no thread.
        Err(_) => resume_unwind(thread.join().err().unwrap_or_else(|| Box::new("the keeper ended without a word"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_begins_and_goes_on_on_one_thread_and_tells_what_fails() {
        let (ended, end) = oneshot::channel();
        let here = thread::current().id();
        let began = begin(move || async move {
            let at = thread::current().id();
            let goes_on = async move {
                tokio::task::yield_now().await;
                ended.send(thread::current().id()).unwrap();
            };
            Ok::<_, io::Error>((at, goes_on))
        });
        let began = began.await.unwrap();
        assert_ne!(began, here);
        assert_eq!(end.await.unwrap(), began);

        let refused = begin(|| async { Err::<((), std::future::Ready<()>), _>(io::Error::other("no")) }).await;
        assert_eq!(refused.unwrap_err().to_string(), "no");
    }

    #[tokio::test]
    #[should_panic(expected = "as it began")]
    async fn a_panic_at_the_start_is_that_of_the_caller() {
        async fn panics() -> Result<((), std::future::Ready<()>), io::Error> {
            panic!("as it began");
        }
        let _ = begin(panics).await;
    }
}
