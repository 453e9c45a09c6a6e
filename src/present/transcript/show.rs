//! How a transcript looks as text.

use std::time::Duration;

use super::{LineKind, Section, Step, Transcript};
use crate::{
    present::text::{Glyph, Look, Page, Role, WIDTH, clean, columns, wrap},
    terms::Timestamp,
};

/// Offsets count from the begin of the look for what began within it; a look has its limits, and ends long before.
const ONE_LOOK: Duration = Duration::from_secs(600);
/// Where an offset ends.
const OFFSET: usize = 10;
/// Where a time ends.
const TOOK: usize = 19;
/// Where the title of a step begins.
const TITLE: usize = 21;
/// Where its lines begin, behind their sign.
const LINE: usize = 23;

impl Transcript {
    /// The transcript in lines of at most [`WIDTH`] columns, unless a single word is wider.
    pub fn text(&self, look: Look) -> String {
        let mut page = Page::new(look);
        self.show(&mut page);
        page.finish()
    }

    pub(in crate::present) fn show(&self, page: &mut Page) {
        let title = format!("Transcript of {}", self.domain);
        page.paragraph(2, Role::Strong, &title);
        let text = format!("Offsets are in seconds from {}, where no other time is named.", precise(self.at));
        page.paragraph(2, Role::Faint, &text);
        for section in &self.sections {
            page.blank();
            self.section(page, section);
        }
    }

    fn section(&self, page: &mut Page, section: &Section) {
        page.paragraph(2, Role::Strong, &section.title);
        let first = section.steps.iter().filter_map(|step| step.at).min();
        // What was looked at for another reason has a time of its own.
        let apart = first.filter(|first| *first + ONE_LOOK < self.at || self.at + ONE_LOOK < *first);
        if let Some(apart) = apart {
            page.paragraph(2, Role::Faint, &format!("looked at apart, from {}", precise(apart)));
        }
        let from = apart.unwrap_or(self.at);
        section.steps.iter().for_each(|step| show_step(page, step, from));
    }
}

fn show_step(page: &mut Page, step: &Step, from: Timestamp) {
    let rows = wrap(&clean(&step.title, page.look().unicode), WIDTH - TITLE, WIDTH - TITLE);
    for (number, row) in rows.iter().enumerate() {
        let mut line = page.start();
        if number == 0 {
            let offset = step.at.map(|at| offset(at, from)).unwrap_or_default();
            let took = step.took.map(milliseconds).unwrap_or_default();
            line.pad(OFFSET.saturating_sub(offset.len())).push(Role::Faint, &offset);
            line.pad(TOOK.saturating_sub(took.len())).push(Role::Faint, &took);
        }
        line.pad(TITLE).push(Role::Plain, row);
        page.end(&line);
    }
    for said in &step.lines {
        let (role, sign) = sign(said.kind);
        let shown = clean(&said.text, page.look().unicode);
        // What fits stands as it was sent, with its blanks.
        let rows = match columns(&shown) <= WIDTH - LINE {
            true => vec![shown],
            false => wrap(&shown, WIDTH - LINE, WIDTH - LINE),
        };
        for (number, row) in rows.iter().enumerate() {
            let mut line = page.start();
            line.pad(TITLE);
            if number == 0 {
                line.push(role, sign);
            }
            line.pad(LINE).push(Role::Plain, row);
            page.end(&line);
        }
    }
}

const fn sign(kind: LineKind) -> (Role, &'static str) {
    match kind {
        LineKind::Sent => (Role::Faint, ">"),
        LineKind::Received => (Role::Faint, "<"),
        LineKind::Note => (Role::Faint, " "),
        LineKind::Good => (Glyph::Good.role(), Glyph::Good.as_str()),
        LineKind::Warning => (Glyph::Warning.role(), Glyph::Warning.as_str()),
        LineKind::Bad => (Glyph::Bad.role(), Glyph::Bad.as_str()),
    }
}

/// `+1.234`, in seconds.
fn offset(at: Timestamp, from: Timestamp) -> String {
    let (sign, distance) = if at < from { ('-', from.since(at)) } else { ('+', at.since(from)) };
    format!("{sign}{:.3}", distance.as_secs_f64())
}

fn milliseconds(took: Duration) -> String {
    match took.as_micros() {
        0..10_000 => format!("{:.1} ms", took.as_secs_f64() * 1000.0),
        _ => format!("{} ms", took.as_millis()),
    }
}

/// A time with its milliseconds.
fn precise(at: Timestamp) -> String {
    let text = at.to_string();
    let below = at.unix_milliseconds().rem_euclid(1000);
    match text.strip_suffix('Z') {
        Some(whole) => format!("{whole}.{below:03}Z"),
        None => text,
    }
}
