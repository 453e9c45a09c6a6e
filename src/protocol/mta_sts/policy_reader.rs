//! Reading a policy body (RFC 8461 §3.2).

use super::{
    Mode, MxPattern, Policy, PolicyReading,
    lines::{Line, LineEnd, Lines},
};
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
        match key {
            b"version" if self.version.is_missing() => self.version = Slot::Broken,
            b"mode" if self.mode.is_missing() => self.mode = Slot::Broken,
            b"max_age" if self.max_age.is_missing() => self.max_age = Slot::Broken,
            b"mx" => self.mx_seen = true,
            _ => {}
        }
        let expected = match KEYS.into_iter().find(|(known, _)| known.as_bytes() == key) {
            Some((known, _)) => format!("\"{known}:\" and a value were expected"),
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::terms::Reading;

    const GOOD: &str = "version: STSv1\nmode: enforce\nmx: mx.example.com\nmax_age: 604800\n";

    /// Rule, place and message of each problem.
    fn problems(body: &str) -> Vec<(&'static str, &str, String)> {
        let place = |span: Span| &body[span.start..span.end];
        let problems = read_policy(body.as_bytes()).problems;
        problems.into_iter().map(|problem| (problem.rule.0, place(problem.span), problem.message)).collect()
    }

    fn only_problem(body: &str) -> (&'static str, &str, String) {
        let mut problems = problems(body);
        assert_eq!(problems.len(), 1, "{problems:?}");
        problems.remove(0)
    }

    #[test]
    fn a_good_policy_has_no_problems() {
        let reading = read_policy(GOOD.as_bytes());
        assert!(reading.valid());
        assert_eq!(reading.problems, []);
    }

    #[test]
    fn each_required_key_is_missed_alone() {
        let rules = ["POL-09", "POL-10", "POL-13", "POL-11"];
        for (line, rule) in GOOD.lines().zip(rules) {
            let body = GOOD.replace(&format!("{line}\n"), "");
            let (found, place, message) = only_problem(&body);
            let key = line.split(':').next().unwrap();
            assert_eq!((found, place), (rule, ""), "{message}");
            assert!(message.starts_with(&format!("{key} is missing")), "{message}");
        }
    }

    #[test]
    fn a_misspelt_key_is_shown_where_it_stands() {
        for (written, key) in [("max-age", "max_age"), ("Mode", "mode"), ("MX", "mx"), ("eversion", "version")] {
            let body = GOOD.replace(&format!("{key}:"), &format!("{written}:"));
            let problems = problems(&body);
            let found = problems.iter().find(|(rule, ..)| *rule == "POL-07").unwrap();
            assert_eq!(found.1, written);
            assert!(found.2.contains(&format!("{key} is missing")), "{}", found.2);
        }
    }

    #[test]
    fn one_mistake_is_one_problem() {
        let cases = [
            (GOOD.replace("enforce", "enforced"), "POL-10", "enforced"),
            (GOOD.replace("max_age: 6", "max_age=6"), "POL-03", "max_age=604800"),
            (GOOD.replace('\n', "\r"), "POL-02", "\r"),
            (format!("\u{feff}{GOOD}"), "POL-04", "\u{feff}"),
            (GOOD.replace("mx.example", "mx1.example.com, mx2.example"), "POL-15", "mx1.example.com, mx2.example.com"),
            (GOOD.replace("mx.example.com", "mx.example.com # main"), "POL-03", "mx.example.com # main"),
            (GOOD.replace("mx.example", "*.*"), "POL-16", "*.*.com"),
            (GOOD.replace("mx: mx.example.com", "mx:"), "POL-15", "mx:"),
            (
                GOOD.trim_end().replace('\n', "; "),
                "POL-03",
                "STSv1; mode: enforce; mx: mx.example.com; max_age: 604800",
            ),
            ("<!DOCTYPE html>\n<title>404: not found</title>".to_owned(), "POL-03", "<!DOCTYPE html>"),
            (String::new(), "POL-01", ""),
        ];
        for (body, rule, place) in cases {
            let found = only_problem(&body);
            assert_eq!((found.0, found.1), (rule, place), "{}", found.2);
            assert!(!read_policy(body.as_bytes()).usable(), "{body}");
        }
    }

    #[test]
    fn some_senders_accept_these() {
        let cases = [
            (format!("{GOOD}\n\n"), "POL-03", "\n"),
            (format!(" {GOOD}"), "POL-05", " "),
            (GOOD.replace("mode:", "mode \t:"), "POL-05", " \t"),
            (format!("{GOOD}mode: none\n"), "POL-08", "mode: none"),
            (format!("{GOOD}max_age: soon"), "POL-08", "max_age: soon"),
            (format!("{GOOD}-x: y"), "POL-14", "-x"),
            (format!("{GOOD}x:"), "POL-14", "x:"),
            (format!("{GOOD}x: a\tb"), "POL-14", "a\tb"),
        ];
        for (body, rule, place) in cases {
            let found = only_problem(&body);
            assert_eq!((found.0, found.1), (rule, place), "{}", found.2);
            let reading = read_policy(body.as_bytes());
            assert!(reading.usable() && !reading.valid(), "{body}");
            assert_eq!(
                reading.value.map(|policy| (policy.mode, policy.max_age)),
                Some((Mode::Enforce, MaxAge(604_800)))
            );
        }
    }

    #[test]
    fn everybody_accepts_these() {
        let cases = [
            (GOOD.replacen('\n', "\r\n", 1), "POL-02", "\n"),
            (GOOD.replace("mx.example", "MX.example"), "POL-19", "MX.example.com"),
            (format!("{GOOD}x: y"), "POL-14", "x"),
            (GOOD.replace("version: STSv1\n", "") + "version: STSv1", "POL-06", "mode"),
        ];
        for (body, rule, place) in cases {
            let found = only_problem(&body);
            assert_eq!((found.0, found.1), (rule, place), "{}", found.2);
            assert!(read_policy(body.as_bytes()).valid(), "{body}");
        }
    }

    #[test]
    fn a_hostile_body_leads_to_few_problems() {
        let body = "x\n".repeat(32_000);
        let reading = read_policy(body.as_bytes());
        assert!(reading.problems.len() < 200);
        assert_eq!(reading.worst(), Some(Reading::Invalid));
    }

    /// Text that gets past the first checks more often than arbitrary bytes do.
    fn nearly_a_policy() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            prop::sample::select(vec![
                "version",
                "mode",
                "max_age",
                "mx",
                "STSv1",
                "enforce",
                "none",
                "86400",
                "*.",
                "example.com",
                ":",
                ": ",
                "\n",
                "\r\n",
                "\r",
                "\t",
                " ",
                "#",
                "\u{feff}",
                "ü",
                ";",
                ".",
                "_",
                "[",
                "{",
                "<",
            ])
            .prop_map(|piece| piece.as_bytes().to_vec()),
            prop::collection::vec(any::<u8>(), 0..4),
        ];
        prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(body in prop_oneof![nearly_a_policy(), prop::collection::vec(any::<u8>(), 0..300)]) {
            let reading = read_policy(&body);
            for problem in &reading.problems {
                prop_assert!(problem.span.start <= problem.span.end && problem.span.end <= body.len(), "{problem:?}");
                prop_assert!(problem.message.chars().all(|c| !c.is_control()), "{problem:?}");
            }
            prop_assert_eq!(reading.usable(), reading.worst() != Some(Reading::Invalid));
        }

        #[test]
        fn what_follows_the_grammar_is_read_back(
            mode in prop::sample::select(vec![Mode::Enforce, Mode::Testing, Mode::None]),
            max_age in 0..=9_999_999_999_u64,
            mx in prop::collection::vec("(\\*\\.)?[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?(\\.[a-z0-9]{1,10}){0,3}", 1..5),
            extension in "[a-zA-Z0-9]{20,32}",
            text in "[!-~]([ -~]{0,20}[!-~])?",
            line_end in prop::sample::select(vec!["\n", "\r\n"]),
            ends in any::<bool>(),
        ) {
            let mut lines = vec!["version: STSv1".to_owned(), format!("mode:\t{mode}"), format!("max_age:{max_age} ")];
            lines.extend(mx.iter().map(|pattern| format!("mx: {pattern}")));
            lines.push(format!("{extension}: {text}"));
            let body = lines.join(line_end) + if ends { line_end } else { "" };
            let reading = read_policy(body.as_bytes());
            prop_assert!(reading.valid(), "{:?}", reading.problems);
            let mx: Vec<_> = mx.iter().map(|text| MxPattern::parse(text).unwrap()).collect();
            prop_assert_eq!(reading.value, Some(Policy { mode, max_age: MaxAge(max_age), mx }));
        }
    }
}
