//! TXT records of the form `v=NAME; key=value`: which record counts, and its fields.
//!
//! RFC 8461 §3.1 and RFC 8460 §3 choose and write their records in the same way.

use serde::{Deserialize, Serialize};

use super::problems::{Problems, is_blank, quoted, slice, trimmed, worst};
use crate::terms::{Octets, Problem, Reading, Span};

/// How many records that count stand at a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordPresence {
    /// None; other TXT records may stand there.
    Absent,
    /// One, good or bad.
    One,
    /// More than one, so senders take it that there is none.
    Multiple(usize),
}

impl RecordPresence {
    /// Whether no record of the standard is there.
    pub const fn is_absent(self) -> bool {
        matches!(self, Self::Absent)
    }
}

/// What was made of the TXT records of a name, of which one ought to be of the standard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordReading<T> {
    /// How many of them are of the standard. [`RecordPresence::Multiple`] is an error in itself, without a problem.
    pub presence: RecordPresence,
    /// The record that was judged, its strings joined; present exactly if there is one.
    pub text: Option<Octets>,
    /// Its content; present exactly if it is usable.
    pub value: Option<T>,
    /// What is wrong or odd in it. The spans are offsets into `text`; what is missing has an empty span at the end.
    pub problems: Vec<Problem>,
    /// Other TXT records at the name.
    pub unrelated: usize,
}

impl<T> RecordReading<T> {
    /// Chooses among the records, each a list of strings, and reads the one that counts with `read`, which is given the
    /// text and where its strings were joined.
    pub(super) fn of(
        records: &[Vec<Octets>],
        dialect: &Dialect,
        read: impl Fn(&[u8], &[usize], &mut Problems) -> Option<T>,
    ) -> Self {
        let selection = select(records, dialect.version);
        let (presence, unrelated) = (selection.presence, selection.unrelated);
        if presence != RecordPresence::One {
            return Self { presence, text: None, value: None, problems: Vec::new(), unrelated };
        }
        let mut problems = Problems::default();
        selection.report_nearly(dialect, &mut problems);
        let value = read(selection.text.as_bytes(), &selection.seams, &mut problems);
        Self {
            presence,
            value: value.filter(|_| !problems.any_invalid()),
            problems: problems.into_sorted(),
            text: Some(selection.text),
            unrelated,
        }
    }

    /// Whether mainstream senders use the record.
    pub fn usable(&self) -> bool {
        self.value.is_some()
    }

    /// Whether every sender uses it.
    pub fn valid(&self) -> bool {
        self.usable() && self.worst().is_none_or(|reading| reading == Reading::Note)
    }

    /// The worst that was found.
    pub fn worst(&self) -> Option<Reading> {
        worst(&self.problems)
    }
}

/// The outcome of choosing among the records of a name.
pub(super) struct Selection {
    pub(super) presence: RecordPresence,
    /// The record that counts, its strings joined.
    pub(super) text: Octets,
    /// Where its strings were joined, as offsets into the text.
    pub(super) seams: Vec<usize>,
    /// TXT records that do not count.
    pub(super) unrelated: usize,
    /// Among them, such as only a blank before the first `;` keeps from counting.
    pub(super) nearly: usize,
}

impl Selection {
    /// Reports records beside the one that counts that some senders count too.
    pub(super) fn report_nearly(&self, dialect: &Dialect, problems: &mut Problems) {
        if self.nearly > 0 {
            let message = "another record at this name has a blank before its first \";\": some senders count it too, and \
                           take two records as none";
            problems.lenient(dialect.blank_before_delimiter, Span::new(0, dialect.version.len()), message);
        }
    }
}

/// The records of one standard: its name, its version and the rules that its grammar breaks under.
pub(super) struct Dialect {
    pub(super) name: &'static str,
    /// With `v=`.
    pub(super) version: &'static str,
    pub(super) version_rule: &'static str,
    pub(super) blank_before_delimiter: &'static str,
    pub(super) delimiter: &'static str,
    pub(super) joined: &'static str,
    pub(super) blank_around_equals: &'static str,
    pub(super) empty_field: &'static str,
}

/// A field between two delimiters.
pub(super) struct Field<'a> {
    /// The whole field.
    pub(super) span: Span,
    pub(super) name: &'a [u8],
    pub(super) name_span: Span,
    /// What follows the first `=`; nothing where there is no `=`.
    pub(super) value: Option<&'a [u8]>,
    pub(super) value_span: Span,
}

/// Versions of records that a wildcard TXT or a misplaced one often puts at our names.
const UNRELATED_VERSIONS: [&str; 4] = ["spf", "dmarc", "dkim", "bimi"];

/// RFC 8461 §3.1, RFC 8460 §3: a field name is a letter or digit and up to 31 more characters.
pub(super) const MAX_FIELD_NAME: usize = 32;

/// Chooses the record that counts: of several those without the literal prefix are dropped, whatever else is wrong with them.
/// One alone is judged by the grammar, unless it is plainly something else.
pub(super) fn select(records: &[Vec<Octets>], version: &str) -> Selection {
    let joined: Vec<Vec<u8>> = records.iter().map(|strings| join(strings)).collect();
    let mut chosen = joined.iter().enumerate().filter(|(_, text)| has_prefix(text, version));
    let first = chosen.next();
    let count = usize::from(first.is_some()) + chosen.count();
    let (presence, chosen) = match (first, joined.as_slice()) {
        (Some(_), _) if count > 1 => (RecordPresence::Multiple(count), None),
        (Some(one), _) => (RecordPresence::One, Some(one)),
        (None, [only]) if is_attempt(only) => (RecordPresence::One, Some((0, only))),
        (None, _) => (RecordPresence::Absent, None),
    };
    let counted = match presence {
        RecordPresence::Absent => 0,
        RecordPresence::One => 1,
        RecordPresence::Multiple(count) => count,
    };
    let nearly = |(index, text): (usize, &Vec<u8>)| {
        chosen.is_some_and(|(other, _)| index != other) && is_prefix_with_blank(text, version)
    };
    let seams = chosen.and_then(|(index, _)| records.get(index)).map(|strings| seams(strings)).unwrap_or_default();
    Selection {
        presence,
        text: chosen.map(|(_, text)| Octets(text.clone())).unwrap_or_default(),
        seams,
        unrelated: joined.len() - counted,
        nearly: joined.iter().enumerate().filter(|part| nearly(*part)).count(),
    }
}

/// Reads the version and splits what follows into fields. Nothing where the version is wrong: then nothing else matters.
pub(super) fn read_fields<'a>(
    text: &'a [u8],
    seams: &[usize],
    dialect: &Dialect,
    problems: &mut Problems,
) -> Option<Vec<Field<'a>>> {
    let mut position = read_version(text, seams, dialect, problems)?;
    let mut fields = Vec::new();
    // Each round begins at a delimiter.
    while position < text.len() {
        let start = position + 1;
        let rest = text.get(start..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == b';').map_or(text.len(), |length| start + length);
        let last = end == text.len();
        let span = trimmed(text, Span::new(start, end));
        if span.start < span.end {
            fields.push(read_field(text, span, dialect, problems));
            if last && span.end < end {
                let blanks = Span::new(span.end, end);
                problems.lenient(
                    dialect.empty_field,
                    blanks,
                    "there are blanks behind the last field; nothing was expected",
                );
            }
        } else if !last {
            let delimiters = Span::new(position, end + 1);
            problems.invalid(
                dialect.empty_field,
                delimiters,
                "a field is empty: one \";\" was expected between two fields",
            );
        }
        position = end;
    }
    Some(fields)
}

/// Why a field that the standard does not know breaks the grammar of extensions, and where.
pub(super) fn extension_fault(field: &Field<'_>) -> Option<(Span, String)> {
    let Some(value) = field.value else {
        return Some((field.span, format!("{} is no field: \"name=value\" was expected", quoted(field.name))));
    };
    let name = field.name;
    if !is_extension_name(name) {
        let expected = "a letter or digit and up to 31 letters, digits, \"_\", \"-\" or \".\" were expected";
        return Some((field.name_span, format!("the field name {} is not allowed: {expected}", quoted(name))));
    }
    if value.is_empty() {
        return Some((field.span, format!("the field {} has no value", quoted(name))));
    }
    let fault = value.iter().find(|byte| !matches!(byte, 0x21..=0x7e) || **byte == b'=')?;
    let hint = if is_blank(fault) { " (is a \";\" missing?)" } else { "" };
    let message = format!(
        "the value {} of the field {} holds {}; visible ASCII without \"=\" was expected{hint}",
        quoted(value),
        quoted(name),
        quoted(std::slice::from_ref(fault)),
    );
    Some((field.value_span, message))
}

/// The name of an extension field, which both TXT records and the policy share (`sts-ext-name`, `tlsrpt-ext-name`).
pub(super) fn is_extension_name(name: &[u8]) -> bool {
    let follows = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    name.len() <= MAX_FIELD_NAME && name.first().is_some_and(u8::is_ascii_alphanumeric) && name.iter().all(follows)
}

/// RFC 8461 §3.1: the strings of one record are joined with nothing between them.
fn join(strings: &[Octets]) -> Vec<u8> {
    strings.iter().flat_map(Octets::as_bytes).copied().collect()
}

fn seams(strings: &[Octets]) -> Vec<usize> {
    let ends = strings.iter().scan(0, |end, string| {
        *end += string.as_bytes().len();
        Some(*end)
    });
    ends.take(strings.len().saturating_sub(1)).collect()
}

fn has_prefix(text: &[u8], version: &str) -> bool {
    text.strip_prefix(version.as_bytes()).is_some_and(|rest| rest.starts_with(b";"))
}

fn is_prefix_with_blank(text: &[u8], version: &str) -> bool {
    let rest = text.strip_prefix(version.as_bytes()).unwrap_or_default();
    rest.first().is_some_and(is_blank) && rest.trim_ascii_start().starts_with(b";")
}

/// Whether a lone record is meant as one of ours: `v`, blanks, `=`, and not the version of a record that often strays here.
fn is_attempt(text: &[u8]) -> bool {
    version_of(unquoted(text)).is_some_and(|version| {
        let strays =
            |other: &&str| version.get(..other.len()).is_some_and(|head| head.eq_ignore_ascii_case(other.as_bytes()));
        !UNRELATED_VERSIONS.iter().any(strays)
    })
}

/// What follows `v`, blanks, `=`, blanks.
fn version_of(text: &[u8]) -> Option<&[u8]> {
    let rest = text.strip_prefix(b"v").or_else(|| text.strip_prefix(b"V"))?;
    Some(without_leading_blanks(without_leading_blanks(rest).strip_prefix(b"=")?))
}

fn without_leading_blanks(text: &[u8]) -> &[u8] {
    text.get(text.iter().take_while(|byte| is_blank(byte)).count()..).unwrap_or_default()
}

/// Without blanks and quotes at the start, which people copy from zone files and web forms.
fn unquoted(text: &[u8]) -> &[u8] {
    let stray = |byte: &&u8| is_blank(byte) || matches!(byte, b'"' | b'\'');
    text.get(text.iter().take_while(stray).count()..).unwrap_or_default()
}

/// Reads the version and gives the offset of the delimiter behind it, or the end of the text.
fn read_version(text: &[u8], seams: &[usize], dialect: &Dialect, problems: &mut Problems) -> Option<usize> {
    let expected = dialect.version;
    let Some(rest) = text.strip_prefix(expected.as_bytes()) else {
        report_version(text, dialect, problems);
        return None;
    };
    let blanks = rest.iter().take_while(|byte| is_blank(byte)).count();
    let end = expected.len() + blanks;
    let span = Span::new(expected.len(), end);
    match text.get(end) {
        Some(b';') if blanks > 0 => {
            let message = format!(
                "there are blanks before the first \";\": senders that look for \"{expected};\" do not see this record"
            );
            problems.lenient(dialect.blank_before_delimiter, span, message);
            Some(end)
        }
        Some(b';') => Some(end),
        None => {
            if blanks > 0 {
                problems.lenient(dialect.empty_field, span, "there are blanks behind the version; \";\" was expected");
            }
            Some(text.len())
        }
        Some(_) => {
            let rest = text.get(end..).unwrap_or_default();
            let length = rest.iter().position(|byte| is_blank(byte) || *byte == b';').unwrap_or(rest.len());
            let word = rest.get(..length).unwrap_or_default();
            let span = Span::new(expected.len(), end + length);
            if blanks == 0 && word.first().is_some_and(u8::is_ascii_alphanumeric) && !word.contains(&b'=') {
                report_version(text, dialect, problems);
            } else if seams.contains(&expected.len()) {
                let message = format!(
                    "the strings of the record join to {}: \";\" was expected behind {expected}, in one string or the other",
                    quoted(text)
                );
                problems.invalid(dialect.joined, span, message);
            } else {
                let message = format!("{} stands behind {expected}; \";\" was expected", quoted(slice(text, span)));
                problems.invalid(dialect.delimiter, span, message);
            }
            None
        }
    }
}

/// Says in what way the version is wrong.
fn report_version(text: &[u8], dialect: &Dialect, problems: &mut Problems) {
    let expected = dialect.version;
    let bare = unquoted(text);
    let lead = text.len() - bare.len();
    if lead > 0 {
        let span = Span::new(0, lead);
        let message = format!(
            "the record begins with {}; it has to begin with {expected}, without blanks or quotes",
            quoted(slice(text, span))
        );
        problems.invalid(dialect.version_rule, span, message);
        return;
    }
    let version = version_of(text).unwrap_or_default();
    let length = version.iter().position(|byte| is_blank(byte) || *byte == b';').unwrap_or(version.len());
    let word = version.get(..length).unwrap_or_default();
    let written = Span::new(0, text.len() - version.len() + length);
    let name = expected.trim_start_matches("v=");
    if word == name.as_bytes() && text.starts_with(b"v") {
        let message = format!("{} has blanks around \"=\"; {expected} was expected", quoted(slice(text, written)));
        problems.invalid(dialect.blank_around_equals, written, message);
        return;
    }
    let hint = if word.eq_ignore_ascii_case(name.as_bytes()) {
        ": upper and lower case matter"
    } else if word.eq_ignore_ascii_case(b"TLSRPTv1") {
        ": a TLSRPT record belongs at _smtp._tls, not here"
    } else if word.eq_ignore_ascii_case(b"STSv1") {
        ": an MTA-STS record belongs at _mta-sts, not here"
    } else {
        ""
    };
    let message = format!(
        "the record begins with {}; {expected} was expected for {}{hint}",
        quoted(slice(text, written)),
        dialect.name
    );
    problems.invalid(dialect.version_rule, written, message);
}

fn read_field<'a>(text: &'a [u8], span: Span, dialect: &Dialect, problems: &mut Problems) -> Field<'a> {
    let Some(length) = slice(text, span).iter().position(|byte| *byte == b'=') else {
        return Field { span, name: slice(text, span), name_span: span, value: None, value_span: span };
    };
    let equals = span.start + length;
    let name_span = trimmed(text, Span::new(span.start, equals));
    let value_span = trimmed(text, Span::new(equals + 1, span.end));
    if name_span.end < equals || value_span.start > equals + 1 {
        let message = format!("{} has blanks around \"=\"; none were expected", quoted(slice(text, span)));
        problems.invalid(dialect.blank_around_equals, span, message);
    }
    Field { span, name: slice(text, name_span), name_span, value: Some(slice(text, value_span)), value_span }
}
