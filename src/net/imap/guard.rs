//! Limits of what an IMAP server may send. The library beneath reads a line of any length, makes room for a literal of 512 MB as
//! soon as one is announced, and follows parentheses as deep as they go: so the bytes are looked at before it sees them.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The longest line, in bytes, its literals not counted. The numbers of [`SEARCH_WINDOW`](super::session::SEARCH_WINDOW) messages fit in.
const MAX_LINE: usize = 128 * 1024;
/// The most opening parentheses of a line. What is asked for here has four; each may be one more call on the parser's stack.
const MAX_PARENTHESES: usize = 32;
/// What all answers to one command may have, in bytes, beside a literal. A mailbox that is busy tells of itself in between.
const MAX_ANSWER: usize = 1024 * 1024;

/// A stream that fails once the peer has sent more than it may.
#[derive(Debug)]
pub(super) struct Guard<S> {
    inner: S,
    scanner: Scanner,
}

/// Where in an answer the last byte was.
#[derive(Debug)]
struct Scanner {
    /// What may still come before the next command: in literals, and beside them.
    literals_left: usize,
    left: usize,
    line: usize,
    parentheses: usize,
    /// The line is a status, a continuation or a tagged end: its text may look as if it announced a literal.
    is_text: bool,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Line,
    /// Inside `{…`, with the number so far.
    Number(usize),
    /// After `{number}`.
    Announced(usize),
    /// After `{number}` and CR.
    AnnouncedCr(usize),
    /// Inside a literal, with so many bytes to come.
    Literal(usize),
}

impl<S> Guard<S> {
    pub(super) const fn new(inner: S) -> Self {
        let scanner =
            Scanner { literals_left: 0, left: MAX_ANSWER, line: 0, parentheses: 0, is_text: false, place: Place::Line };
        Self { inner, scanner }
    }

    /// A command is about to be sent; in its answer no literal may be longer than this, and all of them together neither.
    pub(super) const fn allow(&mut self, max_literal: usize) {
        self.scanner.literals_left = max_literal;
        self.scanner.left = MAX_ANSWER;
    }
}

impl Scanner {
    fn read(&mut self, mut bytes: &[u8]) -> Result<(), &'static str> {
        while let Some((&byte, rest)) = bytes.split_first() {
            if let Place::Literal(to_come) = self.place {
                let taken = to_come.min(bytes.len());
                bytes = bytes.get(taken..).unwrap_or_default();
                self.place = if taken == to_come { Place::Line } else { Place::Literal(to_come.saturating_sub(taken)) };
                continue;
            }
            self.step(byte)?;
            bytes = rest;
        }
        Ok(())
    }

    fn step(&mut self, byte: u8) -> Result<(), &'static str> {
        self.left = self.left.checked_sub(1).ok_or("the server sends without end")?;
        match self.line {
            // Everything that is not `* ` is a continuation or a tagged end.
            0 => self.is_text = byte != b'*',
            // OK, NO, BAD, BYE, PREAUTH. Nothing else that the parser knows begins with these letters.
            2 => self.is_text |= matches!(byte.to_ascii_uppercase(), b'O' | b'N' | b'B' | b'P'),
            _ => {}
        }
        self.line = self.line.saturating_add(1);
        if self.line > MAX_LINE {
            return Err("the server sends a line without end");
        }
        self.place = match (self.place, byte) {
            (_, b'{') => Place::Number(0),
            (Place::Number(number), b'0'..=b'9') => {
                Place::Number(number.saturating_mul(10).saturating_add(usize::from(byte.wrapping_sub(b'0'))))
            }
            (Place::Number(number), b'}') => Place::Announced(number),
            (Place::Announced(number), b'\r') => Place::AnnouncedCr(number),
            (Place::AnnouncedCr(number), b'\n') => {
                // In a text it is none, yet parts of a text may be read as one.
                let left = self.literals_left.checked_sub(number);
                let left = left.ok_or("the server announces a literal that is too large")?;
                if self.is_text {
                    Place::Line
                } else {
                    self.literals_left = left;
                    Place::Literal(number)
                }
            }
            (_, b'(') => {
                self.parentheses = self.parentheses.saturating_add(1);
                if self.parentheses > MAX_PARENTHESES {
                    return Err("the server sends parentheses without end");
                }
                Place::Line
            }
            _ => Place::Line,
        };
        if byte == b'\n' && self.place == Place::Line {
            self.line = 0;
            self.parentheses = 0;
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        let read = buffer.filled().get(before..).unwrap_or_default();
        if let Err(why) = self.scanner.read(read) {
            // What was refused must not be read after all.
            buffer.set_filled(before);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same verdict whole and byte by byte.
    fn scan(max_literal: usize, bytes: &[u8]) -> Result<(), &'static str> {
        let scanner = || {
            let mut guard = Guard::new(());
            guard.allow(max_literal);
            guard.scanner
        };
        let whole = scanner().read(bytes);
        let mut slow = scanner();
        assert_eq!(bytes.iter().try_for_each(|byte| slow.read(&[*byte])), whole);
        whole
    }

    #[test]
    fn a_literal_is_as_long_as_it_may_be() {
        let answer = b"* 1 FETCH (UID 1 BODY[] {10}\r\n0123456789 FLAGS (\\Seen))\r\nA1 OK done\r\n";
        assert_eq!(scan(10, answer), Ok(()));
        assert_eq!(scan(9, answer), Err("the server announces a literal that is too large"));
        assert!(scan(10, b"* 1 FETCH (BODY[] {99999999999999999999999}\r\n").is_err());
        let twice = b"* 1 FETCH (BODY[] {3}\r\nabc)\r\n* 1 FETCH (BODY[] {3}\r\nabc)\r\n";
        assert_eq!((scan(6, twice).is_ok(), scan(5, twice).is_ok()), (true, false));
    }

    #[test]
    fn what_stands_in_a_literal_is_not_looked_at() {
        assert_eq!(scan(40, b"* 1 FETCH (BODY[] {20}\r\n{999999}\r\n(((((((((( UID 1)\r\n"), Ok(()));
        assert_eq!(scan(40, b"* 1 FETCH (RFC822 {0}\r\n BODY[] {10}\r\n{999999}\r\n UID 1)\r\n"), Ok(()));
    }

    #[test]
    fn a_text_hides_no_literal() {
        for text in [
            "* OK x {30}\r\n",
            "* NO x {30}\r\n",
            "* BYE {30}\r\n",
            "* PREAUTH {30}\r\n",
            "+ x {30}\r\n",
            "A1 OK {30}\r\n",
        ] {
            let hidden = format!("{text}* 1 FETCH (BODY[] {{500000000}}\r\n");
            assert!(scan(1000, hidden.as_bytes()).is_err(), "{text}");
        }
        assert!(scan(1000, b"* OK [BADCHARSET ({500000000}\r\n").is_err());
    }

    #[test]
    fn lines_and_answers_end() {
        let mut long = vec![b'*'; MAX_LINE];
        long.push(b'\n');
        assert_eq!(scan(0, &long), Err("the server sends a line without end"));
        let many = b"* 1 EXISTS\r\n".repeat(MAX_ANSWER / 12 + 1);
        assert_eq!(scan(0, &many).err(), Some("the server sends without end"));
        assert!(scan(0, &[b'('; MAX_PARENTHESES]).is_ok());
        assert_eq!(scan(0, &[b'('; MAX_PARENTHESES + 1]), Err("the server sends parentheses without end"));
    }
}
