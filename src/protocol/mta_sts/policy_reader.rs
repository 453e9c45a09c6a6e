//! Reading a policy body (RFC 8461 §3.2).

use super::{Mode, MxPattern, Policy, PolicyReading};
use crate::{
    protocol::{
        problems::{Problems, is_blank, is_misspelling, quoted, slice, trimmed},
        txt::is_extension_name,
    },
    terms::{MaxAge, Span},
};

/// RFC 8461 §3.2: `sts-policy-max-age-value = 1*10(DIGIT)`.
const MAX_AGE_DIGITS: usize = 10;

/// The byte order mark that some editors write before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads the body of a policy. Linear in its length; the limit of 64 kB (RFC 8461 §3.3) is the fetcher's.
pub fn read_policy(body: &[u8]) -> PolicyReading {
    let mut problems = Problems::default();
    if report_other_document(body, &mut problems) {
        return PolicyReading { value: None, problems: problems.into_sorted() };
    }
    let mut start = 0;
    if body.starts_with(BYTE_ORDER_MARK) {
        start = BYTE_ORDER_MARK.len();
        let message = "the file begins with a byte order mark; save it as UTF-8 without one";
        problems.invalid("POL-04", Span::new(0, start), message);
    }
    let mut reader = Reader::new(body, problems);
    for line in Lines::new(body, start) {
        reader.read_line(line);
    }
    reader.finish()
}

/// Line and column of an offset, both counted from 1: lines by line feeds, columns by characters of UTF-8.
pub fn line_and_column(body: &[u8], offset: usize) -> (usize, usize) {
    let before = body.get(..offset).unwrap_or(body);
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let last = before.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    // All but the first byte of a character of UTF-8 look like 10xx_xxxx.
    let column = last.iter().filter(|byte| **byte & 0xc0 != 0x80).count() + 1;
    (line, column)
}

/// Says in one problem that the body is something else altogether, where it is.
fn report_other_document(body: &[u8], problems: &mut Problems) -> bool {
    let content = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body).trim_ascii();
    let lead = body.len() - body.trim_ascii_start().len();
    let line = body.iter().skip(lead).take_while(|byte| !matches!(byte, b'\r' | b'\n')).count();
    let first_line = Span::new(lead.min(body.len()), lead + line);
    let (rule, message) = match content.first() {
        None => ("POL-01", "the policy is empty"),
        Some(b'<') => ("POL-03", "this is an HTML or XML page; lines of the form \"key: value\" were expected"),
        Some(b'{') => ("POL-03", "this looks like JSON or a template; lines of the form \"key: value\" were expected"),
        _ if body.starts_with(b"\xff\xfe") || body.starts_with(b"\xfe\xff") => {
            ("POL-04", "the file is UTF-16; save it as UTF-8 without a byte order mark")
        }
        _ => return false,
    };
    problems.invalid(rule, first_line, message);
    true
}

/// How a line ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LineEnd {
    Lf,
    CrLf,
    BareCr,
    EndOfBody,
}

/// A line without its end.
#[derive(Clone, Copy)]
struct Line {
    span: Span,
    end: LineEnd,
    /// With its end.
    whole: Span,
}

/// Splits a body into lines. A bare CR ends a line too, so that it leads to one problem and not to many.
struct Lines<'a> {
    body: &'a [u8],
    position: usize,
}

impl<'a> Lines<'a> {
    fn new(body: &'a [u8], position: usize) -> Self {
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

/// The state of a key that a policy needs.
enum Slot<T> {
    /// It did not stand there yet.
    Missing,
    /// It stood there and was reported.
    Broken,
    Value(T),
}

impl<T> Slot<T> {
    fn is_missing(&self) -> bool {
        matches!(self, Self::Missing)
    }
}

impl<T> From<Option<T>> for Slot<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Broken, Self::Value)
    }
}

/// The keys of RFC 8461 §3.2, with the rule under which each is missing.
const KEYS: [(&str, &str); 4] = [("version", "POL-09"), ("mode", "POL-10"), ("max_age", "POL-11"), ("mx", "POL-13")];

struct Reader<'a> {
    body: &'a [u8],
    problems: Problems,
    version: Slot<()>,
    mode: Slot<Mode>,
    max_age: Slot<MaxAge>,
    mx: Vec<MxPattern>,
    /// Whether an mx stood there, good or bad.
    mx_seen: bool,
    /// The first line with an unknown key that resembles one of [`KEYS`], in their order.
    misspelt: [Option<Span>; KEYS.len()],
    /// The key of the first field and where it is.
    first: Option<Span>,
    /// The first line end that is LF or CRLF.
    line_end: Option<LineEnd>,
    mixed: bool,
    bare_cr: bool,
    after_empty_line: bool,
    /// The whole policy is in the value of one line, so that no other key is really missing.
    in_one_line: bool,
    /// The end of what is not blank.
    content_end: usize,
}

impl<'a> Reader<'a> {
    fn new(body: &'a [u8], problems: Problems) -> Self {
        Self {
            body,
            problems,
            version: Slot::Missing,
            mode: Slot::Missing,
            max_age: Slot::Missing,
            mx: Vec::new(),
            mx_seen: false,
            misspelt: [None; KEYS.len()],
            first: None,
            line_end: None,
            mixed: false,
            bare_cr: false,
            after_empty_line: false,
            in_one_line: false,
            content_end: body.trim_ascii_end().len(),
        }
    }

    fn read_line(&mut self, line: Line) {
        self.check_end(line);
        let content = trimmed(self.body, line.span);
        if content.start == content.end {
            self.report_empty_line(line);
            return;
        }
        self.after_empty_line = false;
        if content.start > line.span.start {
            let blanks = Span::new(line.span.start, content.start);
            self.problems.lenient("POL-05", blanks, "the line begins with blanks; none were expected");
        }
        let text = slice(self.body, content);
        let colon = text.iter().position(|byte| *byte == b':');
        match colon {
            _ if text.starts_with(b"#") => {
                let message = format!("{} is no field: there are no comments in a policy", quoted(text));
                self.problems.invalid("POL-03", content, message);
            }
            Some(colon) => {
                let colon = content.start + colon;
                let key = trimmed(self.body, Span::new(content.start, colon));
                if key.end < colon {
                    let message = format!("there are blanks between {} and the colon", quoted(slice(self.body, key)));
                    self.problems.lenient("POL-05", Span::new(key.end, colon), message);
                }
                self.read_field(key, trimmed(self.body, Span::new(colon + 1, content.end)), content);
            }
            None => self.report_no_field(content),
        }
    }

    fn check_end(&mut self, line: Line) {
        let end = Span::new(line.span.end, line.whole.end);
        match (line.end, self.line_end) {
            (LineEnd::EndOfBody, _) => {}
            (LineEnd::BareCr, _) => {
                if !self.bare_cr {
                    let message = "the line ends with CR alone; LF or CRLF was expected";
                    self.problems.invalid("POL-02", end, message);
                }
                self.bare_cr = true;
            }
            (found, None) => self.line_end = Some(found),
            (found, Some(usual)) => {
                if found != usual && !self.mixed {
                    self.problems.note("POL-02", end, "the lines end partly with LF and partly with CRLF");
                    self.mixed = true;
                }
            }
        }
    }

    fn report_empty_line(&mut self, line: Line) {
        // One problem is enough for several in a row.
        if !self.after_empty_line {
            let place = if line.span.start >= self.content_end { " at the end" } else { "" };
            let message = format!("there is an empty line{place}; some senders reject the policy for it");
            self.problems.lenient("POL-03", line.whole, message);
        }
        self.after_empty_line = true;
    }

    fn report_no_field(&mut self, content: Span) {
        let text = slice(self.body, content);
        // `mode none` and `max_age=604800`: the key is there, so that it is not missing as well.
        let word = text.iter().position(|byte| is_blank(byte) || *byte == b'=').unwrap_or(text.len());
        let key = text.get(..word).unwrap_or_default();
        let broken = match key {
            b"version" if self.version.is_missing() => Some(self.version = Slot::Broken),
            b"mode" if self.mode.is_missing() => Some(self.mode = Slot::Broken),
            b"max_age" if self.max_age.is_missing() => Some(self.max_age = Slot::Broken),
            b"mx" => Some(self.mx_seen = true),
            _ => None,
        };
        let expected = match broken {
            Some(()) => format!("\"{}:\" and the value were expected", String::from_utf8_lossy(key)),
            None => "\"key: value\" was expected".to_owned(),
        };
        self.problems.invalid("POL-03", content, format!("{} is no field; {expected}", quoted(text)));
    }

    fn read_field(&mut self, key: Span, value: Span, line: Span) {
        self.first.get_or_insert(key);
        // An empty value has no place of its own.
        let place = if value.start == value.end { line } else { value };
        let text = slice(self.body, value);
        match slice(self.body, key) {
            b"version" if self.version.is_missing() => self.version = self.read_version(text, place).into(),
            b"mode" if self.mode.is_missing() => self.mode = self.read_mode(text, place).into(),
            b"max_age" if self.max_age.is_missing() => self.max_age = self.read_max_age(text, place).into(),
            b"mx" => {
                self.mx_seen = true;
                self.mx.extend(MxPattern::read(text, place, &mut self.problems));
            }
            repeated @ (b"version" | b"mode" | b"max_age") => {
                let key = String::from_utf8_lossy(repeated);
                let message = format!(
                    "{key} stands there again; the first one counts, and some senders take the last or reject both"
                );
                self.problems.lenient("POL-08", line, message);
            }
            name => self.read_extension(name, key, text, place),
        }
    }

    fn read_version(&mut self, value: &[u8], span: Span) -> Option<()> {
        if value == b"STSv1" {
            return Some(());
        }
        if value.starts_with(b"STSv1;") || value.starts_with(b"STSv1,") {
            let message = "the whole policy is in one line; a line for each field was expected";
            self.problems.invalid("POL-03", span, message);
            self.in_one_line = true;
        } else {
            self.problems.invalid("POL-09", span, format!("version is {}; \"STSv1\" was expected", quoted(value)));
        }
        None
    }

    fn read_mode(&mut self, value: &[u8], span: Span) -> Option<Mode> {
        let mode = Mode::parse(value);
        if mode.is_none() {
            let message = format!("mode is {}; \"enforce\", \"testing\" or \"none\" was expected", quoted(value));
            self.problems.invalid("POL-10", span, message);
        }
        mode
    }

    fn read_max_age(&mut self, value: &[u8], span: Span) -> Option<MaxAge> {
        let fits = (1..=MAX_AGE_DIGITS).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
        let seconds = std::str::from_utf8(value).ok().filter(|_| fits).and_then(|digits| digits.parse().ok());
        if seconds.is_none() {
            let message = format!("max_age is {}; a number of seconds of 1 to 10 digits was expected", quoted(value));
            self.problems.invalid("POL-11", span, message);
        }
        seconds.map(MaxAge)
    }

    /// RFC 8461 §3.2: senders ignore keys that they do not know; some reject the policy where one breaks the grammar.
    fn read_extension(&mut self, name: &[u8], key: Span, value: &[u8], place: Span) {
        let meant = KEYS.iter().position(|(known, _)| is_misspelling(name, known));
        if let Some(first) = meant.and_then(|index| self.misspelt.get_mut(index)) {
            first.get_or_insert(key);
        }
        let seen = quoted(name);
        if !is_extension_name(name) {
            let expected = "a letter or digit and up to 31 letters, digits, \"_\", \"-\" or \".\" were expected";
            self.problems.lenient("POL-14", key, format!("the key {seen} is not allowed: {expected}"));
        } else if value.is_empty() {
            self.problems.lenient("POL-14", place, format!("the key {seen} has no value"));
        } else if value.iter().any(u8::is_ascii_control) || std::str::from_utf8(value).is_err() {
            let message = format!("the value {} of {seen} holds control characters or no UTF-8", quoted(value));
            self.problems.lenient("POL-14", place, message);
        } else {
            self.problems.note("POL-14", key, format!("the key {seen} is unknown; senders ignore it"));
        }
    }

    fn finish(mut self) -> PolicyReading {
        self.report_order();
        if !self.in_one_line {
            self.report_missing();
        }
        let value = match (&self.version, &self.mode, &self.max_age) {
            (Slot::Value(()), &Slot::Value(mode), &Slot::Value(max_age)) if !self.problems.any_invalid() => {
                Some(Policy { mode, max_age, mx: self.mx })
            }
            _ => None,
        };
        PolicyReading { value, problems: self.problems.into_sorted() }
    }

    fn report_order(&mut self) {
        let Some(first) = self.first else { return };
        if slice(self.body, first) != b"version" && !self.version.is_missing() {
            self.problems.note("POL-06", first, "version is not the first field; some guides ask for that");
        }
    }

    fn report_missing(&mut self) {
        let needs_mx = matches!(self.mode, Slot::Value(Mode::Enforce | Mode::Testing));
        let missing =
            [self.version.is_missing(), self.mode.is_missing(), self.max_age.is_missing(), needs_mx && !self.mx_seen];
        for (((key, rule), missing), misspelt) in KEYS.into_iter().zip(missing).zip(self.misspelt) {
            match misspelt {
                _ if !missing => {}
                Some(span) => {
                    let message = format!(
                        "{} is another key: {key} is missing, and has to be written exactly so",
                        quoted(slice(self.body, span))
                    );
                    self.problems.invalid("POL-07", span, message);
                }
                None => {
                    let end = Span::new(self.body.len(), self.body.len());
                    let unless = if key == "mx" { "; at least one is needed unless the mode is none" } else { "" };
                    self.problems.invalid(rule, end, format!("{key} is missing{unless}"));
                }
            }
        }
    }
}
