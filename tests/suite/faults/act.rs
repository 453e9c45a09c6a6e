//! What a peer does at one step, over any stream.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

/// Between two octets of a drip: several come within the shortest deadline of the matrix, and a line never gets whole.
const PAUSE: Duration = Duration::from_millis(300);

/// Before a reset, which would else overtake what was said: until a client on a busy machine has read it.
const READ: Duration = Duration::from_secs(2);

/// What is sent, and what comes then.
#[derive(Clone, Debug)]
pub(super) struct Act {
    pub(super) first: Vec<u8>,
    pub(super) then: Then,
}

/// What comes after the first octets.
#[derive(Clone, Debug)]
pub(super) enum Then {
    /// The next step.
    GoOn,
    /// The connection is reset.
    Reset,
    /// The connection is ended.
    Close,
    /// Silence; the connection stays.
    Stall,
    /// This octet again and again, slowly.
    Drip(u8),
    /// These octets again and again, as fast as they are taken.
    Flood(Vec<u8>),
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    GoOn,
    Close,
    Reset,
}

/// What a peer saw of its clients.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Connections so far.
    accepted: AtomicUsize,
    /// Those that the client has not left.
    open: AtomicUsize,
    /// The most octets that went out on one connection, those still in the buffers of the system among them.
    most_sent: AtomicUsize,
}

/// One connection of a tally; it ends when dropped.
#[derive(Debug)]
pub(super) struct Counted {
    tally: Arc<Tally>,
    sent: usize,
}

impl Act {
    pub(super) fn say(text: &str) -> Self {
        Self::new(text.as_bytes(), Then::GoOn)
    }

    pub(super) fn new(first: &[u8], then: Then) -> Self {
        Self { first: first.to_vec(), then }
    }

    pub(super) fn just(then: Then) -> Self {
        Self::new(b"", then)
    }

    pub(super) fn flood(first: &[u8], again: &[u8]) -> Self {
        // Large pieces, so that the time does not go into system calls.
        Self::new(first, Then::Flood(again.repeat(4096_usize.div_ceil(again.len()))))
    }

    /// Does it.
    pub(super) async fn perform<S>(&self, stream: &mut S, counted: &mut Counted) -> io::Result<End>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        counted.send(stream, &self.first).await?;
        match &self.then {
            Then::GoOn => Ok(End::GoOn),
            Then::Reset => {
                sleep(READ).await;
                Ok(End::Reset)
            }
            Then::Close => Ok(End::Close),
            Then::Stall => {
                drain(stream).await?;
                Ok(End::Close)
            }
            Then::Drip(octet) => loop {
                sleep(PAUSE).await;
                counted.send(stream, &[*octet]).await?;
            },
            Then::Flood(again) => loop {
                counted.send(stream, again).await?;
            },
        }
    }
}

impl Tally {
    pub(super) fn accept(self: &Arc<Self>) -> Counted {
        self.accepted.fetch_add(1, Ordering::SeqCst);
        self.open.fetch_add(1, Ordering::SeqCst);
        Counted { tally: Arc::clone(self), sent: 0 }
    }

    pub(super) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    pub(super) fn most_sent(&self) -> usize {
        self.most_sent.load(Ordering::SeqCst)
    }
}

impl Counted {
    pub(super) async fn send<S: AsyncWrite + Unpin>(&mut self, stream: &mut S, octets: &[u8]) -> io::Result<()> {
        if octets.is_empty() {
            return Ok(());
        }
        stream.write_all(octets).await?;
        stream.flush().await?;
        self.note(octets.len());
        Ok(())
    }

    /// So many octets went out another way.
    pub(super) fn note(&mut self, octets: usize) {
        self.sent += octets;
        self.tally.most_sent.fetch_max(self.sent, Ordering::SeqCst);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.tally.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Ends a connection as the step said.
pub(super) fn finish(tcp: &TcpStream, end: End) -> io::Result<()> {
    match end {
        End::Reset => SockRef::from(tcp).set_linger(Some(Duration::ZERO)),
        End::GoOn | End::Close => Ok(()),
    }
}

/// Reads until the client goes.
pub(super) async fn drain<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<()> {
    let mut buffer = [0; 1024];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}
