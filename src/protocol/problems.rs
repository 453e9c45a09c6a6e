//! What the parsers share for telling what is wrong.

use crate::terms::{Octets, Problem, Reading, Span};

/// Problems of one kind that are kept. A hostile body of 64 kB can hold 32,000 broken lines; nobody reads more than these.
const KEPT: usize = 50;

/// Bytes of a peer's text that a message repeats; the span shows the rest.
const QUOTED: usize = 60;

/// Collects problems, bounded for each [`Reading`] apart so that the worst is never lost.
#[derive(Default)]
pub(super) struct Problems {
    list: Vec<Problem>,
    notes: usize,
    lenient: usize,
    invalid: usize,
}

impl Problems {
    pub(super) fn push(&mut self, rule: &'static str, reading: Reading, span: Span, message: impl Into<String>) {
        let count = match reading {
            Reading::Note => &mut self.notes,
            Reading::Lenient => &mut self.lenient,
            Reading::Invalid => &mut self.invalid,
        };
        *count += 1;
        if *count <= KEPT {
            self.list.push(Problem::new(rule, reading, span, message));
        }
    }

    pub(super) fn note(&mut self, rule: &'static str, span: Span, message: impl Into<String>) {
        self.push(rule, Reading::Note, span, message);
    }

    pub(super) fn lenient(&mut self, rule: &'static str, span: Span, message: impl Into<String>) {
        self.push(rule, Reading::Lenient, span, message);
    }

    pub(super) fn invalid(&mut self, rule: &'static str, span: Span, message: impl Into<String>) {
        self.push(rule, Reading::Invalid, span, message);
    }

    /// Whether something was found that makes the artefact unusable.
    pub(super) fn any_invalid(&self) -> bool {
        self.invalid > 0
    }

    /// All that was kept, in the order of the text.
    pub(super) fn into_sorted(mut self) -> Vec<Problem> {
        self.list.sort_by_key(|problem| problem.span);
        self.list
    }
}

/// The worst reading among `problems`.
pub(super) fn worst(problems: &[Problem]) -> Option<Reading> {
    problems.iter().map(|problem| problem.reading).max()
}

/// A peer's bytes in quotes, escaped and cut, fit to stand in a message.
pub(super) fn quoted(bytes: &[u8]) -> String {
    match bytes.get(..QUOTED) {
        Some(head) if bytes.len() > QUOTED => format!("\"{}…\"", Octets(head.to_vec())),
        _ => format!("\"{}\"", Octets(bytes.to_vec())),
    }
}

/// Blank of the grammars: `WSP` of RFC 5234 §B.1.
pub(super) const fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// The span of `bytes[start..end]` without blanks at either side.
pub(super) fn trimmed(bytes: &[u8], span: Span) -> Span {
    let part = slice(bytes, span);
    let lead = part.iter().take_while(|byte| is_blank(byte)).count();
    let tail = part.iter().rev().take_while(|byte| is_blank(byte)).count();
    // All blank: both counts are the whole length, and the empty span is at the start.
    if lead == part.len() { Span::new(span.start, span.start) } else { Span::new(span.start + lead, span.end - tail) }
}

/// The bytes at `span`; nothing where the span lies outside.
pub(super) fn slice(bytes: &[u8], span: Span) -> &[u8] {
    bytes.get(span.start..span.end).unwrap_or_default()
}

/// Whether two words differ at most by case, by separators or, where they are long enough, by one letter.
pub(super) fn is_misspelling(written: &[u8], meant: &str) -> bool {
    /// Below this a letter more or less is another word.
    const LONG_ENOUGH: usize = 4;
    /// The longest key of either standard is `version`.
    const TOO_LONG: usize = 16;
    if written.len() > TOO_LONG {
        return false;
    }
    let letters = |text: &[u8]| -> Vec<u8> {
        text.iter().filter(|byte| byte.is_ascii_alphanumeric()).map(u8::to_ascii_lowercase).collect()
    };
    let (written, meant) = (letters(written), letters(meant.as_bytes()));
    if written == meant {
        return true;
    }
    if meant.len() < LONG_ENOUGH || written.len().abs_diff(meant.len()) > 1 {
        return false;
    }
    let same_head = written.iter().zip(&meant).take_while(|(a, b)| a == b).count();
    let same_tail = written.iter().rev().zip(meant.iter().rev()).take_while(|(a, b)| a == b).count();
    same_head + same_tail + 1 >= written.len().max(meant.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_survives_a_flood_of_notes() {
        let mut problems = Problems::default();
        for position in 0..10_000 {
            problems.note("POL-14", Span::new(position, position + 1), "an unknown key");
        }
        problems.invalid("POL-09", Span::new(0, 0), "no version");
        assert!(problems.any_invalid());
        let list = problems.into_sorted();
        assert_eq!(list.len(), KEPT + 1);
        assert_eq!(worst(&list), Some(Reading::Invalid));
    }

    #[test]
    fn what_peers_wrote_is_cut_and_escaped() {
        assert_eq!(quoted(b"a\x1b[2J\"\\"), "\"a\\x1b[2J\"\\\\\"");
        assert_eq!(quoted(&[b'a'; 100]).chars().count(), QUOTED + 3);
    }

    #[test]
    fn misspellings() {
        for written in ["max-age", "Max_Age", "maxage", "max age", "mx_age", "maxx_age"] {
            assert!(is_misspelling(written.as_bytes(), "max_age"), "{written}");
        }
        assert!(is_misspelling(b"MX", "mx"));
        assert!(!is_misspelling(b"max", "max_age"));
        assert!(!is_misspelling(b"m", "mx"));
        assert!(!is_misspelling(b"", "mode"));
    }
}
