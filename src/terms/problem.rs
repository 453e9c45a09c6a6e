//! What a parser found wrong, where, and by which rule.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A stretch of the input in bytes, the end not included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

impl Span {
    /// From `start` up to, not including, `end`.
    pub const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }
}

/// The id of a rule of the conformance catalogue (`REC-09`); docs/findings.md lists them with their clauses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Rule(pub &'static str);

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Who stumbles over a problem. Ordered by harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reading {
    /// Everybody accepts it; it is unusual.
    Note,
    /// The grammar or some senders reject it, mainstream senders accept it: the artefact stays usable.
    Lenient,
    /// Everybody rejects it: the artefact is not usable.
    Invalid,
}

/// One thing that is wrong or odd in an artefact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The rule that it breaks.
    pub rule: Rule,
    /// Who stumbles over it.
    pub reading: Reading,
    /// Where it is.
    pub span: Span,
    /// What was seen and what was expected, in words, without a final full stop. Peers' bytes in it are escaped.
    pub message: String,
}

impl Problem {
    /// A problem at `span`.
    pub fn new(rule: &'static str, reading: Reading, span: Span, message: impl Into<String>) -> Self {
        Self { rule: Rule(rule), reading, span, message: message.into() }
    }
}
