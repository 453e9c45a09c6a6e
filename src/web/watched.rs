//! The stream of a connection, watched: how long its peer may take for a request, between two, and to read an answer.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

use super::{
    connections::{Place, Waiting},
    server::Limits,
};

/// So often a stream that takes nothing is looked at. After the first time it gives way to new connections.
const TICK: Duration = Duration::from_secs(1);
/// As much a reader takes, within [`Limits::reading`], of an answer that waits for it: 3 KB a second with the usual limit, which
/// the slowest link that scrapes anything has.
const LEAST_READ: usize = 64 << 10;
/// The answer to a header that began and did not end in time (RFC 9110 §15.5.9).
const TOO_SLOW: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// The stream of a connection.
pub(super) struct Watched<S> {
    stream: S,
    place: Arc<Place>,
    limits: Limits,
    reading: Reading,
    /// Requests that had begun when `reading` was last told.
    requests: u64,
    timer: Pin<Box<Sleep>>,
    /// Something was written and is not known to have left.
    unsent: bool,
    stall: Option<Stall>,
}

/// What is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// Nothing that the peer owes: a request is under way.
    Nothing,
    /// A header, of which something has come.
    Header,
    /// A header, of which nothing has come: the connection is idle.
    Next,
}

/// The peer does not read.
struct Stall {
    tick: Pin<Box<Sleep>>,
    waited: Duration,
    taken: usize,
}

impl<S> Watched<S> {
    /// A stream on which the first request has begun to come.
    pub(super) fn new(stream: S, place: Arc<Place>, limits: Limits) -> Self {
        let timer = Box::pin(sleep(limits.header));
        Self { stream, place, limits, reading: Reading::Header, requests: 0, timer, unsent: false, stall: None }
    }

    /// The peer reads, and took so many bytes.
    fn taken(&mut self, bytes: usize) {
        self.unsent = true;
        if let Some(stall) = &mut self.stall {
            stall.taken += bytes;
            if stall.taken >= LEAST_READ {
                self.moves();
            }
        }
    }

    /// The peer is not late with its reading.
    fn moves(&mut self) {
        if self.stall.take().is_some_and(|stall| !stall.waited.is_zero()) {
            self.place.goes_on();
        }
    }

    /// The peer takes nothing now: an error once it has taken too little for too long.
    fn poll_stall(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let stall = self.stall.get_or_insert_with(|| Stall {
            tick: Box::pin(sleep(TICK.min(self.limits.reading))),
            waited: Duration::ZERO,
            taken: 0,
        });
        loop {
            ready!(stall.tick.as_mut().poll(context));
            stall.waited += TICK;
            if stall.waited >= self.limits.reading {
                self.place.was_slow();
                return Poll::Ready(too_slow("the answer was not read"));
            }
            if stall.waited == TICK {
                self.place.waits(Waiting::Reader);
            }
            stall.tick.set(sleep(TICK));
        }
    }
}

impl<S: AsyncWrite + Unpin> Watched<S> {
    /// The header that was read may have become a request meanwhile. What came of a further one together with it is in the buffer
    /// of hyper, and not seen here: such a connection counts as idle.
    fn catch_up(&mut self) {
        let requests = self.place.requests();
        if self.requests != requests {
            self.requests = requests;
            self.reading = Reading::Nothing;
        }
    }

    /// Nothing comes from the peer now: an error once it owed something for too long.
    fn poll_silence(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        self.catch_up();
        if self.place.is_answering() || self.unsent {
            self.reading = Reading::Nothing;
            return Poll::Pending;
        }
        if self.reading == Reading::Nothing {
            self.reading = Reading::Next;
            self.timer.set(sleep(self.limits.idle));
            self.place.waits(Waiting::Next);
        }
        ready!(self.timer.as_mut().poll(context));
        if self.reading == Reading::Next {
            return Poll::Ready(too_slow("no further request came"));
        }
        self.place.was_slow();
        // Nothing else is on its way, so that this is a whole answer; whoever takes no line of it has gone.
        let _ = Pin::new(&mut self.stream).poll_write(context, TOO_SLOW);
        let _ = Pin::new(&mut self.stream).poll_flush(context);
        Poll::Ready(too_slow("the header of a request did not come in time"))
    }
}

fn too_slow(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Watched<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let watched = self.get_mut();
        let before = buffer.filled().len();
        let polled = Pin::new(&mut watched.stream).poll_read(context, buffer);
        match polled {
            Poll::Pending => watched.poll_silence(context).map(Err),
            Poll::Ready(Ok(())) => {
                watched.catch_up();
                let came = buffer.filled().len() > before;
                if came && watched.reading != Reading::Header && !watched.place.is_answering() {
                    watched.reading = Reading::Header;
                    watched.timer.set(sleep(watched.limits.header));
                }
                Poll::Ready(Ok(()))
            }
            failed => failed,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let watched = self.get_mut();
        match Pin::new(&mut watched.stream).poll_write(context, bytes) {
            Poll::Pending => watched.poll_stall(context).map(Err),
            Poll::Ready(written) => {
                watched.taken(*written.as_ref().unwrap_or(&0));
                Poll::Ready(written)
            }
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let watched = self.get_mut();
        match Pin::new(&mut watched.stream).poll_write_vectored(context, pieces) {
            Poll::Pending => watched.poll_stall(context).map(Err),
            Poll::Ready(written) => {
                watched.taken(*written.as_ref().unwrap_or(&0));
                Poll::Ready(written)
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let watched = self.get_mut();
        match Pin::new(&mut watched.stream).poll_flush(context) {
            Poll::Pending => watched.poll_stall(context).map(Err),
            Poll::Ready(flushed) => {
                watched.unsent = false;
                watched.moves();
                // An answer is out: hyper looks for the next request only when something comes, and waits for that without end.
                match watched.poll_silence(context) {
                    Poll::Ready(error) => Poll::Ready(Err(error)),
                    Poll::Pending => Poll::Ready(flushed),
                }
            }
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let watched = self.get_mut();
        match Pin::new(&mut watched.stream).poll_shutdown(context) {
            Poll::Pending => watched.poll_stall(context).map(Err),
            closed => closed,
        }
    }
}
