//! SMTP replies (RFC 5321 §4.2), read piece by piece.

use crate::{facts::ProtocolFault, terms::Octets};

/// The longest line that is taken, line end included. RFC 5321 §4.5.3.1.5 allows 512 octets; servers with long capability
/// lists exceed that and mail reaches them, so the limit is against floods only.
pub const MAX_LINE: usize = 2048;

/// The most lines of one reply. RFC 5321 sets no limit; the longest EHLO replies seen have about twenty.
pub const MAX_LINES: usize = 128;

/// How much of a line that is no reply is kept: enough to recognise what speaks there.
const MAX_QUOTE: usize = 120;

/// A whole reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The three digits.
    pub code: u16,
    /// The text of each line, without code, separator and line end; at least one.
    pub lines: Vec<Octets>,
}

/// How far a [`ReplyReader`] came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A reply; what follows it stays in the reader.
    Complete(Reply),
    /// The reply is not whole yet.
    NeedMore,
    /// What came is no SMTP reply. The reader is of no use any more.
    Fault(ProtocolFault),
}

/// Cuts a stream of bytes into replies.
///
/// Takes a bare code without text, line ends without CR, and any text. Holds at most one unfinished line and
/// [`MAX_LINES`] finished ones, however much is sent.
#[derive(Clone, Debug, Default)]
pub struct ReplyReader {
    buffer: Vec<u8>,
    code: Option<u16>,
    lines: Vec<Octets>,
}

/// A line of a reply, taken apart.
struct Line<'a> {
    code: u16,
    is_last: bool,
    text: &'a [u8],
}

impl Reply {
    /// 4xx or 5xx: the server understood and says no (RFC 5321 §4.2.1).
    pub const fn is_rejection(&self) -> bool {
        matches!(self.code, 400..=599)
    }

    /// The text of all lines, a space between them.
    pub fn text(&self) -> Octets {
        let lines: Vec<&[u8]> = self.lines.iter().map(Octets::as_bytes).collect();
        Octets(lines.join(&b' '))
    }
}

impl ReplyReader {
    /// Takes what came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether something came that belongs to no finished reply.
    pub fn has_rest(&self) -> bool {
        !self.buffer.is_empty() || !self.lines.is_empty()
    }

    /// Forgets all that came and was not read yet.
    pub fn discard(&mut self) {
        *self = Self::default();
    }

    /// Reads the next reply out of what came.
    pub fn read(&mut self) -> Progress {
        let buffer = std::mem::take(&mut self.buffer);
        let mut rest = buffer.as_slice();
        let progress = loop {
            let Some(end) = rest.iter().position(|&byte| byte == b'\n') else {
                break if rest.len() >= MAX_LINE {
                    Progress::Fault(ProtocolFault::LineTooLong)
                } else {
                    Progress::NeedMore
                };
            };
            let (line, tail) = rest.split_at(end.saturating_add(1));
            rest = tail;
            match self.take_line(line) {
                Progress::NeedMore => {}
                done => break done,
            }
        };
        self.buffer = rest.to_vec();
        progress
    }

    fn take_line(&mut self, line: &[u8]) -> Progress {
        if line.len() > MAX_LINE {
            return Progress::Fault(ProtocolFault::LineTooLong);
        }
        let bare = line.strip_suffix(b"\n").unwrap_or(line);
        let bare = bare.strip_suffix(b"\r").unwrap_or(bare);
        let Some(parsed) = Line::parse(bare) else {
            return Progress::Fault(no_reply(bare));
        };
        // RFC 5321 §4.2.1: every line of a reply carries the same code. Where they differ nobody can say which one holds.
        if self.code.is_some_and(|code| code != parsed.code) {
            return Progress::Fault(no_reply(bare));
        }
        self.lines.push(Octets(parsed.text.to_vec()));
        if parsed.is_last {
            self.code = None;
            return Progress::Complete(Reply { code: parsed.code, lines: std::mem::take(&mut self.lines) });
        }
        if self.lines.len() >= MAX_LINES {
            return Progress::Fault(ProtocolFault::TooManyLines);
        }
        self.code = Some(parsed.code);
        Progress::NeedMore
    }
}

impl<'a> Line<'a> {
    /// `Reply-line` of RFC 5321 §4.2, and the bare code that §4.2.1 asks clients to take.
    fn parse(line: &'a [u8]) -> Option<Self> {
        let (digits, rest) = line.split_at_checked(3)?;
        let &[first, _, _] = digits else { return None };
        if !digits.iter().all(u8::is_ascii_digit) || !(b'1'..=b'5').contains(&first) {
            return None;
        }
        let code = digits.iter().fold(0, |code: u16, digit| code * 10 + u16::from(digit - b'0'));
        match rest.split_first() {
            None => Some(Self { code, is_last: true, text: b"" }),
            Some((b' ', text)) => Some(Self { code, is_last: true, text }),
            Some((b'-', text)) => Some(Self { code, is_last: false, text }),
            Some(_) => None,
        }
    }
}

fn no_reply(line: &[u8]) -> ProtocolFault {
    let quoted = line.get(..MAX_QUOTE).unwrap_or(line);
    ProtocolFault::NoReply(Octets(quoted.to_vec()).to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> Progress {
        let mut reader = ReplyReader::default();
        reader.push(bytes);
        reader.read()
    }

    fn reply(code: u16, lines: &[&str]) -> Progress {
        Progress::Complete(Reply { code, lines: lines.iter().map(|&line| line.into()).collect() })
    }

    #[test]
    fn takes_every_shape_of_a_reply() {
        assert_eq!(read(b"220 mx.example.com ESMTP\r\n"), reply(220, &["mx.example.com ESMTP"]));
        assert_eq!(read(b"220 \r\n"), reply(220, &[""]));
        assert_eq!(read(b"220\r\n"), reply(220, &[""]), "a bare code");
        assert_eq!(read(b"220-a\r\n220-b\r\n220 c\r\n"), reply(220, &["a", "b", "c"]));
        assert_eq!(read(b"250-a\n250 b\n"), reply(250, &["a", "b"]), "no CR");
        assert_eq!(read(b"250-\r\n250\r\n"), reply(250, &["", ""]));
        assert_eq!(
            read(b"220 caf\xe9\r\n"),
            Progress::Complete(Reply { code: 220, lines: vec![Octets(b"caf\xe9".to_vec())] })
        );
    }

    #[test]
    fn waits_for_the_rest() {
        for part in [&b""[..], b"2", b"220 mx", b"220 mx\r", b"220-a\r\n", b"220-a\r\n220 b"] {
            assert_eq!(read(part), Progress::NeedMore, "{}", Octets(part.to_vec()));
        }
    }

    #[test]
    fn what_is_no_reply_is_quoted() {
        for (line, quoted) in [
            (&b"HTTP/1.1 400 Bad Request\r\n"[..], "HTTP/1.1 400 Bad Request"),
            (b"\r\n", ""),
            (b"22\r\n", "22"),
            (b"2200 x\r\n", "2200 x"),
            (b"220\tx\r\n", "220\\x09x"),
            (b"620 x\r\n", "620 x"),
            (b" 220 x\r\n", " 220 x"),
            (b"\x16\x03\x01\n", "\\x16\\x03\\x01"),
        ] {
            assert_eq!(read(line), Progress::Fault(ProtocolFault::NoReply(quoted.to_owned())));
        }
    }

    #[test]
    fn codes_of_one_reply_must_agree() {
        assert_eq!(read(b"250-a\r\n550 b\r\n"), Progress::Fault(ProtocolFault::NoReply("550 b".into())));
    }

    #[test]
    fn limits_hold() {
        let longest = [b"220 ", "x".repeat(MAX_LINE - 6).as_bytes(), b"\r\n"].concat();
        assert!(matches!(read(&longest), Progress::Complete(_)));
        let longer = [b"220 ", "x".repeat(MAX_LINE - 5).as_bytes(), b"\r\n"].concat();
        assert_eq!(read(&longer), Progress::Fault(ProtocolFault::LineTooLong));
        assert_eq!(read("x".repeat(MAX_LINE).as_bytes()), Progress::Fault(ProtocolFault::LineTooLong));
        let most = "250-x\r\n".repeat(MAX_LINES - 1) + "250 x\r\n";
        assert!(matches!(read(most.as_bytes()), Progress::Complete(reply) if reply.lines.len() == MAX_LINES));
        assert_eq!(read("250-x\r\n".repeat(MAX_LINES).as_bytes()), Progress::Fault(ProtocolFault::TooManyLines));
    }

    #[test]
    fn what_follows_a_reply_stays() {
        let mut reader = ReplyReader::default();
        reader.push(b"220 go\r\n250 injected\r\n");
        assert_eq!(reader.read(), reply(220, &["go"]));
        assert!(reader.has_rest());
        assert_eq!(reader.read(), reply(250, &["injected"]));
        assert!(!reader.has_rest());
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_read_alike(bytes in prop::collection::vec(any::<u8>(), 0..400), cut in 0usize..400) {
            let cut = cut.min(bytes.len());
            let mut pieces = ReplyReader::default();
            pieces.push(&bytes[..cut]);
            let progress = match pieces.read() {
                Progress::NeedMore => { pieces.push(&bytes[cut..]); pieces.read() }
                done => done,
            };
            prop_assert_eq!(progress, read(&bytes));
        }

        #[test]
        fn replies_survive_the_wire(code in 200u16..600, texts in prop::collection::vec("[ -~]{0,40}", 1..6)) {
            let last = texts.len() - 1;
            let wire: String = texts.iter().enumerate()
                .map(|(index, text)| format!("{code}{}{text}\r\n", if index == last { ' ' } else { '-' }))
                .collect();
            let lines = texts.iter().map(|text| text.as_str().into()).collect();
            prop_assert_eq!(read(wire.as_bytes()), Progress::Complete(Reply { code, lines }));
        }
    }
}
