//! What is wrong in a configuration file, where, and what was expected instead. Other files are shown the same way.

use std::{fmt, ops::Range};

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::At;

/// More mistakes than this help nobody; the rest is counted.
pub(super) const MAX_DIAGNOSTICS: usize = 100;

/// So many bytes of a very long line are shown before the place.
const MAX_BEFORE: usize = 100;
/// So many bytes of a very long line are shown from the place on.
const MAX_AFTER: usize = 300;

/// A place in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
}

/// Whether the file can be used in spite of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiagnosticSeverity {
    /// It cannot be used.
    Error,
    /// It can.
    Warning,
    /// It is worth knowing; configurations have none.
    Note,
}

/// One thing that is wrong or odd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether the file can be used in spite of it.
    pub severity: DiagnosticSeverity,
    /// The rule that it breaks, where it has a name.
    pub rule: Option<&'static str>,
    /// What is wrong, in one sentence without a final full stop.
    pub message: String,
    /// What was expected there, in a few words.
    pub expected: Option<String>,
    /// How to mend it.
    pub hint: Option<String>,
    /// The file as it was named.
    pub file: String,
    /// Where; `None` where it concerns the file as a whole.
    pub location: Option<Location>,
    /// Nothing where the lines of the file are not at hand.
    line_text: Option<String>,
    /// Whether `line_text` begins within the line.
    cut: bool,
    /// Bytes of `line_text`.
    marked: (usize, usize),
}

/// A stretch of the source as the parser reports it; line 0 is "nowhere".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) bytes: Option<(usize, usize)>,
}

/// The text of a configuration and its name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    pub(super) name: &'a str,
    pub(super) text: &'a str,
}

impl Diagnostic {
    pub(super) fn new(
        source: Source<'_>,
        severity: DiagnosticSeverity,
        mark: Option<Mark>,
        message: impl Into<String>,
    ) -> Self {
        let mut diagnostic = Self::placeless(source.name, severity, message.into());
        if let Some(mark) = mark.filter(|mark| mark.line > 0) {
            diagnostic.place(source, mark);
        }
        diagnostic
    }

    /// Something in a file of another kind, with its line as it may be shown; `marked` are bytes of that line.
    pub(crate) fn in_line(
        severity: DiagnosticSeverity,
        file: &str,
        location: Location,
        line: &str,
        marked: Range<usize>,
        message: &str,
    ) -> Self {
        let mut diagnostic = Self::placeless(file, severity, message.to_owned());
        diagnostic.location = Some(location);
        diagnostic.show(line, marked);
        diagnostic
    }

    /// Something odd about a value whose form is right: what other rooms know of it. The line itself is not shown.
    pub(crate) fn about_value<T>(value: &At<T>, file: &str, message: String, hint: Option<String>) -> Self {
        let mut diagnostic = Self::placeless(file, DiagnosticSeverity::Warning, message).hinting(hint);
        let Mark { line, column, .. } = value.mark;
        diagnostic.location = (line > 0).then_some(Location { line, column });
        diagnostic
    }

    /// Something at a place of a file whose lines are not at hand.
    pub(super) fn at(severity: DiagnosticSeverity, file: &str, location: Location, message: impl Into<String>) -> Self {
        let mut diagnostic = Self::placeless(file, severity, message.into());
        diagnostic.location = Some(location);
        diagnostic
    }

    /// Something about a file as a whole.
    pub(super) fn about(severity: DiagnosticSeverity, file: &str, message: impl Into<String>) -> Self {
        Self::placeless(file, severity, message.into())
    }

    fn placeless(file: &str, severity: DiagnosticSeverity, message: String) -> Self {
        Self {
            severity,
            rule: None,
            message: printable(message),
            expected: None,
            hint: None,
            file: printable(file.to_owned()),
            location: None,
            line_text: None,
            cut: false,
            marked: (0, 0),
        }
    }

    fn place(&mut self, source: Source<'_>, mark: Mark) {
        self.location = Some(Location { line: mark.line, column: mark.column });
        // Behind the last line there is none.
        self.line_text = Some(String::new());
        // YAML 1.2 §5.4: a bare CR ends a line too.
        let mut lines = source.text.lines().flat_map(|line| line.split('\r'));
        let Some(line) = lines.nth(mark.line - 1) else { return };
        let start = line.char_indices().nth(mark.column.saturating_sub(1)).map_or(line.len(), |(at, _)| at);
        let length = mark.bytes.map_or(1, |(from, to)| to.saturating_sub(from));
        // A value over many lines is marked at its first one.
        let rest = line.get(start..).unwrap_or_default().trim_end();
        let mut end = start.saturating_add(length).min(start + rest.len());
        while !line.is_char_boundary(end) {
            end += 1;
        }
        self.show(line, start..end);
    }

    /// Keeps of a line what is shown; the ends of `marked` lie between characters of it.
    fn show(&mut self, line: &str, marked: Range<usize>) {
        let Range { start, end } = marked;
        let (from, to) = window(line, start);
        self.cut = from > 0;
        // Secrets are hidden first: the window may begin behind the scheme of a URL.
        let shown = without_secrets(line);
        let end = end.clamp(start, to.max(start));
        let part = |from, to| visible(shown.get(from..to).unwrap_or_default());
        let (before, marked, after) = (part(from, start), part(start, end), part(end, to));
        self.marked = (before.len(), before.len() + marked.len());
        self.line_text = Some(before + &marked + &after);
    }

    pub(super) fn expecting(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(printable(expected.into()));
        self
    }

    pub(crate) fn hinting(mut self, hint: Option<String>) -> Self {
        self.hint = hint.map(printable);
        self
    }

    pub(crate) const fn by_rule(mut self, rule: &'static str) -> Self {
        self.rule = Some(rule);
        self
    }

    /// As text with the line and a caret below it; `styled` adds ANSI colours.
    pub fn render(&self, styled: bool) -> String {
        let level = match self.severity {
            DiagnosticSeverity::Error => Level::ERROR,
            DiagnosticSeverity::Warning => Level::WARNING,
            DiagnosticSeverity::Note => Level::NOTE,
        };
        let title = level.primary_title(&*self.message);
        let mut group = Group::with_title(match self.rule {
            Some(rule) => title.id(rule),
            None => title,
        });
        if let Some((location, line)) = self.location.zip(self.line_text.as_deref()) {
            let (start, end) = self.marked;
            let mut mark = AnnotationKind::Primary.span(start..end);
            if let Some(expected) = &self.expected {
                mark = mark.label(format!("expected {expected}"));
            }
            let mut snippet = Snippet::source(line).line_start(location.line).annotation(mark);
            if self.cut {
                // The snippet cannot count the columns of a line whose beginning it lacks.
                group = group.element(Origin::path(&*self.file).line(location.line).char_column(location.column));
            } else {
                snippet = snippet.path(&*self.file);
            }
            group = group.element(snippet);
        } else {
            let place = match self.location {
                Some(Location { line, column }) => format!("in {}:{line}:{column}", self.file),
                None => format!("in {}", self.file),
            };
            group = group.element(Level::NOTE.message(place));
            if let Some(expected) = &self.expected {
                group = group.element(Level::NOTE.message(format!("expected {expected}")));
            }
        }
        if let Some(hint) = &self.hint {
            group = group.element(Level::HELP.message(&**hint));
        }
        let renderer = if styled { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group]).to_string()
    }
}

/// Without colour.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

/// Everything that is wrong with a configuration: never empty of errors; warnings stand among them, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    /// In the order of the file.
    pub diagnostics: Vec<Diagnostic>,
    /// How many more there are that are not told.
    pub left_out: usize,
}

impl ConfigErrors {
    pub(super) fn one(diagnostic: Diagnostic) -> Self {
        Self { diagnostics: vec![diagnostic], left_out: 0 }
    }

    /// How many errors there are, the untold ones included.
    pub fn count(&self) -> usize {
        let told = self.diagnostics.iter().filter(|one| one.severity == DiagnosticSeverity::Error).count();
        told + self.left_out
    }

    /// All of them as text; `styled` adds ANSI colours.
    pub fn render(&self, styled: bool) -> String {
        let mut text: String = self.diagnostics.iter().map(|one| one.render(styled) + "\n\n").collect();
        if self.left_out > 0 {
            text += &format!("and {} more\n\n", self.left_out);
        }
        text.truncate(text.trim_end().len());
        text
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for ConfigErrors {}

/// The part of a line that is shown, in bytes: all of it, or what surrounds the place.
fn window(line: &str, place: usize) -> (usize, usize) {
    if line.len() <= MAX_BEFORE + MAX_AFTER {
        return (0, line.len());
    }
    let boundary = |mut at: usize| {
        while !line.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    (boundary(place.saturating_sub(MAX_BEFORE)), boundary(place.saturating_add(MAX_AFTER).min(line.len())))
}

/// Keys of other programs end so, and are written here by mistake: nothing secret stands in this configuration but in URLs.
const SECRET_KEYS: [&str; 7] = ["password", "passwd", "passphrase", "secret", "token", "credentials", "api_key"];

/// What is secret in a line as stars, byte for byte so that the caret stays where it is: what is told goes to logs. It is the user-info
/// and the query of every URL, and all that follows a key that names a secret. A password that should have been escaped is hidden too:
/// it is what the mistake is then about. Where it cannot be told what is secret, more is hidden than has to be.
fn without_secrets(line: &str) -> String {
    let key = line.to_ascii_lowercase();
    let value = |(at, word): (usize, &str)| {
        let behind = key.get(at + word.len()..)?;
        let colon = behind.trim_start_matches(['"', '\'']).trim_start().strip_prefix(':')?;
        Some(key.len() - colon.len())
    };
    let values = SECRET_KEYS.iter().flat_map(|word| key.match_indices(word).filter_map(value));
    let (line, secret) = line.split_at(values.min().unwrap_or(line.len()));
    let stars = |c: char| if c.is_whitespace() { c.to_string() } else { "*".repeat(c.len_utf8()) };
    without_secrets_of_urls(line) + &secret.chars().map(stars).collect::<String>()
}

fn without_secrets_of_urls(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        shown.push_str(before);
        let (url, next) = after.split_at(end_of_url(before, after));
        let secret = url.rfind('@').unwrap_or(0);
        let after_secret = url.get(secret..).unwrap_or_default();
        let query = after_secret.find('?').map_or(url.len(), |at| secret + at + 1);
        shown.push_str(&"*".repeat(secret));
        shown.push_str(url.get(secret..query).unwrap_or_default());
        shown.push_str(&"*".repeat(url.len() - query));
        rest = next;
    }
    shown + rest
}

/// Where a URL ends behind its `://`: at the quote that opened it, else at a space. Other quotes, commas and brackets may be part of a
/// password: which of them end a scalar depends on lines that are not looked at here.
fn end_of_url(before: &str, after: &str) -> usize {
    let scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    let opened = before.strip_suffix("://").unwrap_or(before).trim_end_matches(scheme).chars().next_back();
    let end = match opened {
        Some('"') => {
            let mut escaped = false;
            after.find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            })
        }
        // YAML 1.2 §7.3.2: two of them stand for one.
        Some('\'') => {
            let mut quotes = after.match_indices('\'').map(|(at, _)| at).peekable();
            let mut end = None;
            while let Some(at) = quotes.next() {
                if quotes.next_if_eq(&(at + 1)).is_none() {
                    end = Some(at);
                    break;
                }
            }
            end
        }
        _ => after.find([' ', '\t']),
    };
    end.unwrap_or(after.len())
}

/// A line without the control characters of ISO 6429 §5.3 (C1), one of which begins a terminal command. The snippet shows
/// those below U+0020 by pictures and knows tabs, but lets these through.
fn visible(text: &str) -> String {
    text.chars().map(|c| if ('\u{80}'..='\u{9f}').contains(&c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Control characters of a broken file do not reach the terminal, and secrets of a value that is told of reach nobody.
fn printable(text: String) -> String {
    let text = if text.contains("://") { without_secrets_of_urls(&text) } else { text };
    if !text.chars().any(char::is_control) {
        return text;
    }
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: Source<'static> = Source { name: "a.yml", text: "probe:\n  interval: soon # ü\n" };

    #[test]
    fn shows_line_column_caret_and_hint() {
        let mark = Mark { line: 2, column: 13, bytes: Some((19, 23)) };
        let diagnostic = Diagnostic::new(SOURCE, DiagnosticSeverity::Error, Some(mark), "\"soon\" is no duration")
            .expecting("a duration")
            .hinting(Some("write 10m".to_owned()));
        let expected = "\
error: \"soon\" is no duration
 --> a.yml:2:13
  |
2 |   interval: soon # ü
  |             ^^^^ expected a duration
  |
  = help: write 10m";
        assert_eq!(diagnostic.to_string(), expected);
        assert!(diagnostic.render(true).contains("\u{1b}["));
    }

    #[test]
    fn of_a_very_long_line_the_place_is_shown() {
        let text = format!("{}soon{}", "ü".repeat(100_000), "ß".repeat(100_000));
        let source = Source { name: "a.yml", text: &text };
        let mark = Mark { line: 1, column: 100_001, bytes: Some((200_000, 200_004)) };
        let shown = Diagnostic::new(source, DiagnosticSeverity::Error, Some(mark), "no duration").to_string();
        assert!(shown.contains("--> a.yml:1:100001") && shown.contains("üsoonß") && shown.contains("^^^^"), "{shown}");
        assert!(shown.len() < 1500, "{}", shown.len());
    }

    #[test]
    fn secrets_of_urls_are_not_shown() {
        let line = "a: [{url: 'https://joe:gehëim@h.example/?t=geheim'}, http://b.example/x, postgres://u:p?w@d/]";
        let shown = without_secrets(line);
        assert_eq!(
            shown,
            "a: [{url: 'https://***********@h.example/?********'}, http://b.example/x, postgres://*****@d/]"
        );
        assert_eq!(shown.len(), line.len());
    }

    #[test]
    fn passwords_that_are_not_escaped_are_not_shown() {
        for (line, expected) in [
            (
                r#"state: {url: "postgres://me:se,cr}e]t'x y@h/db", foo: 1}"#,
                r#"state: {url: "postgres://****************@h/db", foo: 1}"#,
            ),
            (
                r#"state: {url: 'postgres://me:s"e,cr@h/db', foo: 1}"#,
                r#"state: {url: 'postgres://*********@h/db', foo: 1}"#,
            ),
            (r#"["postgres://me:a\"b@h/", "x"]"#, r#"["postgres://*******@h/", "x"]"#),
            ("['postgres://me:a''b@h/', x]", "['postgres://*******@h/', x]"),
            ("url: postgres://me:a,b]c}d'e@h/db # of x", "url: postgres://************@h/db # of x"),
            ("url: \"postgres://me:a b@h/db", "url: \"postgres://******@h/db"),
            ("url: https://h.example/?t=a,b'c", "url: https://h.example/?*******"),
            ("{a: http://a.example/x, b: 1}", "{a: http://a.example/x, b: 1}"),
            ("://", "://"),
            ("'://'' '", "'://'' '"),
        ] {
            assert_eq!(without_secrets(line), expected);
        }
    }

    #[test]
    fn what_follows_the_key_of_a_secret_is_not_shown() {
        for (line, expected) in [
            (
                "reports: {imap: [{user: u, password: geheim, x: 1}]}",
                "reports: {imap: [{user: u, password: ******* ** ****",
            ),
            ("  \"client_secret\" : 'gehëim'", "  \"client_secret\" : *********"),
            ("bearer_token: a:b # mine", "bearer_token: *** * ****"),
            ("PASSWORD:geheim", "PASSWORD:******"),
            (
                "{auth: password, password_file: /run/x, token_file: y}",
                "{auth: password, password_file: /run/x, token_file: y}",
            ),
            ("password", "password"),
        ] {
            assert_eq!(without_secrets(line), expected);
            assert_eq!(expected.len(), line.len());
        }
        let text = "domains: ['postgres://me:geheim@db/x']\nreports: {imap: [{server: h.example, user: u, password: geheim}]}\n";
        let errors = crate::config::parse("a.yml", text).unwrap_err();
        assert!(errors.count() >= 2 && !errors.to_string().contains("geheim"), "{errors}");
    }

    #[test]
    fn lines_are_those_of_yaml() {
        let text = "# a\rprobe:\r\n  interval: soon\r";
        let errors = crate::config::parse("a.yml", text).unwrap_err().to_string();
        assert!(errors.contains("a.yml:3:13") && errors.contains("3 |   interval: soon"), "{errors}");
    }

    #[test]
    fn no_control_character_reaches_the_terminal() {
        let text = "\u{9b}2J\u{1b}[2J: soon \u{80}";
        let mark = Mark { line: 1, column: 10, bytes: Some((10, 14)) };
        let source = Source { name: "a.yml", text };
        let shown = Diagnostic::new(source, DiagnosticSeverity::Error, Some(mark), "no duration").to_string();
        assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{}", shown.escape_debug());
        let lines: Vec<&str> = shown.lines().collect();
        let place = |line: &str, needle| line.split(needle).next().map(|before| before.chars().count());
        assert_eq!(place(lines[3], "soon"), place(lines[4], "^^^^"), "{shown}");
    }

    #[test]
    fn a_place_outside_the_text_does_no_harm() {
        for mark in [
            Mark { line: 99, column: 99, bytes: Some((5, 900)) },
            Mark { line: 2, column: 99, bytes: Some((5, 900)) },
            Mark { line: 2, column: 20, bytes: None },
            Mark { line: 1, column: 0, bytes: Some((9, 1)) },
        ] {
            let text = Diagnostic::new(SOURCE, DiagnosticSeverity::Warning, Some(mark), "a\u{1b}[2Jb").to_string();
            assert!(text.starts_with("warning: a\u{fffd}[2Jb"), "{text}");
        }
    }
}
