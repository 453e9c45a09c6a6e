//! Lines for people: wrapped at 80 columns, harmless whatever is in them, with or without colour.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

/// The width of a report in columns: what every terminal, mail and ticket holds.
pub const WIDTH: usize = 80;

/// A quoted text up to this length is not broken at its blanks, so that a line to publish can be copied whole.
const WHOLE_QUOTE: usize = 70;

/// How a report looks where it is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Colours may be used.
    pub colour: bool,
    /// The place can show more than ASCII.
    pub unicode: bool,
    /// Everything, not only what a person needs first.
    pub verbose: bool,
}

/// What a piece of text means, which decides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Nothing special.
    Plain,
    /// Names and headings.
    Strong,
    /// As it should be.
    Good,
    /// Needs attention.
    Warning,
    /// Broken.
    Bad,
    /// Beside the point.
    Faint,
}

/// The signs that stand before a line or in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Glyph {
    /// ✓
    Good,
    /// !
    Warning,
    /// ✗
    Bad,
    /// –: not looked at, or nothing to compare with.
    Nothing,
    /// ·: worth knowing.
    Note,
}

impl Role {
    const fn style(self) -> Style {
        match self {
            Self::Plain => Style::new(),
            Self::Strong => Style::new().bold(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Warning => AnsiColor::Yellow.on_default(),
            Self::Bad => AnsiColor::Red.on_default().bold(),
            Self::Faint => Style::new().dimmed(),
        }
    }
}

impl Glyph {
    /// The sign itself; [`clean`] gives it its ASCII form where that is needed.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "✓",
            Self::Warning => "!",
            Self::Bad => "✗",
            Self::Nothing => "–",
            Self::Note => "·",
        }
    }

    pub(super) const fn role(self) -> Role {
        match self {
            Self::Good => Role::Good,
            Self::Warning => Role::Warning,
            Self::Bad => Role::Bad,
            Self::Nothing | Self::Note => Role::Faint,
        }
    }
}

/// Whether a character could change how a terminal shows what stands around it: controls (C1 too, which some terminals
/// obey), marks of writing direction, invisible characters and tags.
pub(crate) fn is_dangerous(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The text as it may be shown. Peers' bytes arrive escaped; this is the last fence before a terminal.
pub(super) fn clean(text: &str, unicode: bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            _ if is_dangerous(character) => shown.extend(character.escape_unicode()),
            _ if unicode || character.is_ascii() => shown.push(character),
            '✓' => shown.push_str("ok"),
            '✗' => shown.push('x'),
            '–' | '—' | '·' => shown.push('-'),
            '…' => shown.push_str("..."),
            '§' => shown.push_str("section "),
            _ => shown.extend(character.escape_unicode()),
        }
    }
    shown
}

/// The columns that a cleaned text takes. Names are A-labels and peers' text is ASCII, so a character is a column.
pub(super) fn columns(text: &str) -> usize {
    text.chars().count()
}

/// Words, with a short quoted text as one word.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let quoted = rest.strip_prefix('"').and_then(|inside| inside.find('"')).map(|end| end + 2);
        let from = quoted.filter(|&length| length <= WHOLE_QUOTE).unwrap_or(0);
        let end = rest.get(from..).and_then(|tail| tail.find(' ')).map_or(rest.len(), |space| from + space);
        let (word, tail) = rest.split_at(end);
        words.push(word);
        rest = tail.trim_start();
    }
    words
}

/// Breaks a text at blanks. The first line may be `first` columns wide, the others `rest`; a word that is longer stands alone.
pub(super) fn wrap(text: &str, first: usize, rest: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut started = false;
    for word in words(text) {
        let limit = if lines.is_empty() { first } else { rest };
        let needed = columns(&line) + usize::from(started) + columns(word);
        // A word that does not fit beside the first line's right end begins on the second.
        if needed > limit && (started || (lines.is_empty() && first < rest)) {
            lines.push(std::mem::take(&mut line));
            started = false;
        }
        if started {
            line.push(' ');
        }
        line.push_str(word);
        started = true;
    }
    lines.push(line);
    lines
}

/// One line in the making.
pub(super) struct Line {
    look: Look,
    text: String,
    columns: usize,
}

impl Line {
    pub(super) const fn new(look: Look) -> Self {
        Self { look, text: String::new(), columns: 0 }
    }

    /// The columns so far.
    pub(super) const fn columns(&self) -> usize {
        self.columns
    }

    /// Adds a text.
    pub(super) fn push(&mut self, role: Role, text: &str) -> &mut Self {
        let shown = clean(text, self.look.unicode);
        self.columns += columns(&shown);
        let style = role.style();
        if self.look.colour && style != Style::new() && !shown.is_empty() {
            // A String takes whatever is written.
            let _ = write!(self.text, "{style}{shown}{style:#}");
        } else {
            self.text.push_str(&shown);
        }
        self
    }

    /// Adds blanks up to `column`; none where the line is there already.
    pub(super) fn pad(&mut self, column: usize) -> &mut Self {
        let blanks = column.saturating_sub(self.columns);
        self.text.extend(std::iter::repeat_n(' ', blanks));
        self.columns += blanks;
        self
    }

    /// Adds a text that ends at the right edge, at least two columns away; says whether there was room for it.
    pub(super) fn right(&mut self, role: Role, text: &str) -> bool {
        let width = columns(&clean(text, self.look.unicode));
        if self.columns + 2 + width > WIDTH {
            return false;
        }
        self.pad(WIDTH - width).push(role, text);
        true
    }
}

/// A report in the making.
pub(super) struct Page {
    look: Look,
    text: String,
}

impl Page {
    pub(super) const fn new(look: Look) -> Self {
        Self { look, text: String::new() }
    }

    pub(super) const fn look(&self) -> Look {
        self.look
    }

    pub(super) const fn start(&self) -> Line {
        Line::new(self.look)
    }

    /// Ends a line; blanks at its end are dropped.
    pub(super) fn end(&mut self, line: &Line) {
        self.text.push_str(line.text.trim_end_matches(' '));
        self.text.push('\n');
    }

    pub(super) fn blank(&mut self) {
        self.text.push('\n');
    }

    /// A text, wrapped, each line `indent` columns in. Line breaks in it are kept.
    pub(super) fn paragraph(&mut self, indent: usize, role: Role, text: &str) {
        for part in text.lines() {
            let shown = clean(part, self.look.unicode);
            let width = WIDTH.saturating_sub(indent);
            for row in wrap(&shown, width, width) {
                let mut line = self.start();
                line.pad(indent).push(role, &row);
                self.end(&line);
            }
        }
    }

    /// A line that is to be copied: never broken, however long it is.
    pub(super) fn verbatim(&mut self, indent: usize, role: Role, text: &str) {
        let shown = clean(text, self.look.unicode);
        let mut line = self.start();
        line.pad(indent).push(role, &shown);
        self.end(&line);
    }

    /// A text behind a label; further lines stand under the text.
    pub(super) fn labelled(&mut self, indent: usize, label: &str, column: usize, glyph: Option<Glyph>, text: &str) {
        let shown = clean(text, self.look.unicode);
        let mut first = self.start();
        first.pad(indent).push(Role::Faint, label);
        first.pad(column);
        if let Some(glyph) = glyph {
            first.push(glyph.role(), glyph.as_str()).push(Role::Plain, " ");
        }
        let room = WIDTH.saturating_sub(first.columns());
        for (number, row) in wrap(&shown, room, WIDTH.saturating_sub(column)).into_iter().enumerate() {
            if number > 0 {
                first = self.start();
                first.pad(column);
            }
            first.push(Role::Plain, &row);
            self.end(&first);
        }
    }

    /// A sign and a text; further lines stand under the text.
    pub(super) fn marked(&mut self, indent: usize, glyph: Glyph, text: &str) {
        let shown = clean(text, self.look.unicode);
        let mut line = self.start();
        line.pad(indent).push(glyph.role(), glyph.as_str()).push(Role::Plain, " ");
        let column = line.columns();
        let room = WIDTH.saturating_sub(column);
        for (number, row) in wrap(&shown, room, room).into_iter().enumerate() {
            if number > 0 {
                line = self.start();
                line.pad(column);
            }
            line.push(Role::Plain, &row);
            self.end(&line);
        }
    }

    pub(super) fn finish(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapping_keeps_words_and_short_quotes_whole() {
        assert_eq!(wrap("one two three", 7, 7), ["one two", "three"]);
        assert_eq!(wrap("a-very-long-word b", 4, 4), ["a-very-long-word", "b"]);
        assert_eq!(wrap("long-word b", 4, 20), ["", "long-word b"]);
        assert_eq!(wrap("publish \"v=STSv1; id=1\" now", 16, 16), ["publish", "\"v=STSv1; id=1\"", "now"]);
        assert_eq!(wrap("an \"open quote", 7, 7), ["an", "\"open", "quote"]);
        assert_eq!(wrap("", 4, 4), [""]);
    }

    #[test]
    fn nothing_dangerous_is_shown() {
        let hostile = "a\u{1b}[31mb\u{9b}2Jc\u{202e}d\u{200b}e\rf\u{7f}\u{e0041}";
        let shown = clean(hostile, true);
        assert!(!shown.chars().any(is_dangerous), "{shown}");
        assert!(shown.starts_with("a\\u{1b}[31mb\\u{9b}2Jc\\u{202e}d"), "{shown}");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_shown_harmlessly(text in ".*") {
            proptest::prop_assert!(!clean(&text, true).chars().any(is_dangerous));
            proptest::prop_assert!(clean(&text, false).is_ascii());
        }

        #[test]
        fn wrapping_loses_nothing(text in "[a-z\" ]{0,200}", first in 1_usize..40, more in 0_usize..40) {
            let rows = wrap(&text, first, first + more);
            let squeezed = |text: &str| text.replace(' ', "");
            proptest::prop_assert_eq!(squeezed(&rows.concat()), squeezed(&text));
            for (number, row) in rows.iter().enumerate() {
                let limit = if number == 0 { first } else { first + more };
                proptest::prop_assert!(columns(row) <= limit || words(row).len() == 1, "{:?}", row);
            }
        }
    }

    #[test]
    fn ascii_is_ascii() {
        assert_eq!(clean("✓ ✗ ! – … §3.1 é", false), "ok x ! - ... section 3.1 \\u{e9}");
        assert_eq!(clean("✓ ✗ ! – … §3.1 é", true), "✓ ✗ ! – … §3.1 é");
    }

    #[test]
    fn the_right_end_is_used_only_where_there_is_room() {
        let mut line = Line::new(Look::default());
        line.push(Role::Plain, &"a".repeat(70));
        assert!(!line.right(Role::Plain, "too-long-x"));
        assert!(line.right(Role::Plain, "fits"));
        assert_eq!(line.columns(), WIDTH);
    }

    #[test]
    fn colour_takes_no_columns_and_plain_has_no_escapes() {
        let mut line = Line::new(Look { colour: true, unicode: true, verbose: false });
        line.push(Role::Bad, "x");
        assert_eq!(line.columns(), 1);
        assert!(line.text.contains('\u{1b}'));
        let mut line = Line::new(Look::default());
        line.push(Role::Bad, "x");
        assert_eq!(line.text, "x");
    }
}
