//! The bytes of a scrape as frames of a bounded size, made one after the other as they are read.

use std::{
    collections::VecDeque,
    mem,
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use hyper::body::Bytes;

use super::{
    column::{Cell, Kept},
    gzip::Members,
    negotiation::Encoding,
};

/// Bytes of a frame. It is sent once it has so many, and grows beyond by one family of one shelf at most. Large enough that handing
/// it on costs little, small enough to stay in the cache of a processor between being written and being sent.
const FRAME: usize = 128 << 10;

/// So much text is compressed together where it is not kept.
const TOGETHER: usize = 64 << 10;

/// Buffers that are used again: as many as are under way to the reader at a time.
const SPARE: usize = 4;

/// Collects bytes into frames and hands them on.
pub(super) struct Frames<F> {
    frame: Vec<u8>,
    send: F,
    /// Frames that were sent, to be used again.
    sent: VecDeque<Bytes>,
    gzip: Option<Gzip>,
    /// Something was sent.
    begun: bool,
    /// Nobody reads any more.
    over: bool,
    began: Instant,
    /// How long the reader was waited for.
    waited: Duration,
}

/// Text on its way to be compressed.
struct Gzip {
    members: Members,
    pending: Vec<u8>,
}

impl<F: FnMut(Bytes) -> bool> Frames<F> {
    pub(super) fn new(encoding: Encoding, send: F) -> Self {
        let gzip = (encoding == Encoding::Gzip).then(|| Gzip { members: Members::new(), pending: Vec::new() });
        let (sent, began, waited) = (VecDeque::new(), Instant::now(), Duration::ZERO);
        Self { frame: Vec::new(), send, sent, gzip, begun: false, over: false, began, waited }
    }

    /// Adds what `write` writes.
    pub(super) fn text(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        match &mut self.gzip {
            None => write(&mut self.frame),
            Some(gzip) => {
                write(&mut gzip.pending);
                if gzip.pending.len() >= TOGETHER {
                    gzip.pack(&mut self.frame);
                }
            }
        }
        self.send_full();
    }

    /// Adds the samples of a family of some subjects of a shelf; of a whole one the compressed text is kept.
    pub(super) fn samples(
        &mut self,
        cell: &Cell,
        family: usize,
        head: &[u8],
        subjects: &Range<usize>,
        kept: Option<&Arc<Kept>>,
    ) {
        if let (Some(gzip), Some(kept)) = (&mut self.gzip, kept)
            && let Some(member) = cell.member(family, head, &mut gzip.members, kept)
        {
            gzip.pack(&mut self.frame);
            self.frame.extend_from_slice(member);
            return self.send_full();
        }
        self.text(|out| cell.write(family, head, subjects, out));
    }

    /// Whether nobody reads any more.
    pub(super) const fn is_over(&self) -> bool {
        self.over
    }

    /// How long the work took until now, without the waiting for the reader.
    pub(super) fn spent(&self) -> Duration {
        self.began.elapsed().saturating_sub(self.waited)
    }

    /// Sends what is left.
    pub(super) fn finish(mut self) {
        if let Some(gzip) = &mut self.gzip {
            gzip.pack(&mut self.frame);
            // A text without a byte is a member all the same: no bytes are no gzip.
            if !self.begun && self.frame.is_empty() {
                gzip.members.add(&[], &mut self.frame);
            }
        }
        if !self.frame.is_empty() {
            self.send();
        }
    }

    fn send_full(&mut self) {
        if self.frame.len() >= FRAME {
            self.send();
        }
    }

    fn send(&mut self) {
        let next = self.spare();
        let frame = Bytes::from(mem::replace(&mut self.frame, next));
        if self.over {
            return;
        }
        self.begun = true;
        let began = Instant::now();
        self.over = !(self.send)(frame.clone());
        self.waited += began.elapsed();
        if self.sent.len() < SPARE {
            self.sent.push_back(frame);
        }
    }

    /// An empty buffer: one that was sent and read, if there is one.
    fn spare(&mut self) -> Vec<u8> {
        let read = self.sent.iter().position(Bytes::is_unique).and_then(|index| self.sent.remove(index));
        match read.map(Vec::from) {
            Some(mut buffer) => {
                buffer.clear();
                buffer
            }
            None => Vec::with_capacity(FRAME + FRAME / 4),
        }
    }
}

impl Gzip {
    fn pack(&mut self, out: &mut Vec<u8>) {
        if !self.pending.is_empty() {
            self.members.add(&self.pending, out);
            self.pending.clear();
        }
    }
}
