//! The lines of a policy body (RFC 8461 §3.2, `sts-policy-term`).

use crate::terms::Span;

/// Line and column of an offset, both counted from 1: lines by line feeds, columns by characters of UTF-8.
pub fn line_and_column(body: &[u8], offset: usize) -> (usize, usize) {
    let before = body.get(..offset).unwrap_or(body);
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let last = before.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    // All but the first byte of a character of UTF-8 look like 10xx_xxxx.
    let column = last.iter().filter(|byte| **byte & 0xc0 != 0x80).count() + 1;
    (line, column)
}

/// How a line ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineEnd {
    Lf,
    CrLf,
    BareCr,
    EndOfBody,
}

/// A line without its end.
#[derive(Clone, Copy)]
pub(super) struct Line {
    pub(super) span: Span,
    pub(super) end: LineEnd,
    /// With its end.
    pub(super) whole: Span,
}

/// Splits a body into lines. A bare CR ends a line too, so that it leads to one problem and not to many.
pub(super) struct Lines<'a> {
    body: &'a [u8],
    position: usize,
}

impl<'a> Lines<'a> {
    pub(super) fn new(body: &'a [u8], position: usize) -> Self {
        Self { body, position }
    }
}

impl Iterator for Lines<'_> {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        let start = self.position;
        let rest = self.body.get(start..).filter(|rest| !rest.is_empty())?;
        let length = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(rest.len());
        let (end, width) = match rest.get(length..).unwrap_or_default() {
            [] => (LineEnd::EndOfBody, 0),
            [b'\r', b'\n', ..] => (LineEnd::CrLf, 2),
            [b'\r', ..] => (LineEnd::BareCr, 1),
            _ => (LineEnd::Lf, 1),
        };
        self.position = start + length + width;
        Some(Line { span: Span::new(start, start + length), end, whole: Span::new(start, self.position) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_from_one() {
        let body = "a: ü\r\nbc".as_bytes();
        let at = |needle: u8| line_and_column(body, body.iter().position(|byte| *byte == needle).unwrap());
        assert_eq!(at(b'a'), (1, 1));
        assert_eq!(at(b'\r'), (1, 5));
        assert_eq!(at(b'c'), (2, 2));
        assert_eq!(line_and_column(body, body.len()), (2, 3));
        assert_eq!(line_and_column(b"", 7), (1, 1));
    }

    #[test]
    fn every_end_of_a_line_is_told_apart() {
        let ends: Vec<LineEnd> = Lines::new(b"a\nb\r\nc\r\r\nd", 0).map(|line| line.end).collect();
        assert_eq!(ends, [LineEnd::Lf, LineEnd::CrLf, LineEnd::BareCr, LineEnd::CrLf, LineEnd::EndOfBody]);
        assert_eq!(Lines::new(b"a\n", 0).count(), 1, "the last line end begins no line");
    }
}
