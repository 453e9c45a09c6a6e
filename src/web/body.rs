//! The body of a response: a few pieces that are known in full, or many that are made while they are sent.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::sync::mpsc::Receiver;

/// Pieces that are sent one after the other, without a copy that joins them.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    known: std::vec::IntoIter<Bytes>,
    /// What comes after them.
    rest: Option<Receiver<Step>>,
}

/// What comes next in a body that is made while it is sent.
#[derive(Debug)]
pub(super) enum Step {
    /// A piece.
    Frame(Bytes),
    /// It was the last one.
    End,
}

/// Whoever made a body stopped before its end. The reader is to see that it has not all of it: the connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer was not made to its end")]
pub(super) struct Broken;

impl Pieces {
    pub(super) fn new(pieces: impl IntoIterator<Item = Bytes>) -> Self {
        let pieces: Vec<_> = pieces.into_iter().filter(|piece| !piece.is_empty()).collect();
        Self { known: pieces.into_iter(), rest: None }
    }

    /// These pieces, then those that come, until the [end](Step::End).
    pub(super) fn followed_by(self, rest: Receiver<Step>) -> Self {
        Self { rest: Some(rest), ..self }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let body = self.get_mut();
        if let Some(piece) = body.known.next() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        let Some(rest) = &mut body.rest else { return Poll::Ready(None) };
        let next = match ready!(rest.poll_recv(context)) {
            Some(Step::Frame(piece)) => return Poll::Ready(Some(Ok(Frame::data(piece)))),
            Some(Step::End) => None,
            None => Some(Err(Broken)),
        };
        body.rest = None;
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        self.known.as_slice().is_empty() && self.rest.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let bytes: usize = self.known.as_slice().iter().map(Bytes::len).sum();
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        match self.rest {
            None => SizeHint::with_exact(bytes),
            Some(_) => {
                let mut hint = SizeHint::new();
                hint.set_lower(bytes);
                hint
            }
        }
    }
}
