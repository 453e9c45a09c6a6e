//! The parts that sections share.

use std::time::Duration;

use maud::{Markup, html};

use crate::{
    present::{Glyph, words},
    terms::Timestamp,
    web::pages::layout,
};

/// A section with its heading, to which links can lead.
pub(super) fn section(id: &str, title: &str, content: &Markup) -> Markup {
    let heading = format!("{id}-heading");
    html! {
        section id=(id) aria-labelledby=(heading) {
            h2 id=(heading) { (title) }
            (content)
        }
    }
}

/// A sign. It is never alone: a word stands behind it.
pub(super) fn sign(glyph: Glyph) -> Markup {
    let class = match glyph {
        Glyph::Good => "good",
        Glyph::Warning => "warning",
        Glyph::Bad => "error",
        Glyph::Nothing | Glyph::Note => "quiet",
    };
    html! { span class={ "sign " (class) } aria-hidden="true" { (glyph.as_str()) } }
}

/// The word for a sign that the report of `check` has alone in a cell.
fn word(glyph: Glyph) -> Markup {
    html! {
        @match glyph {
            Glyph::Good => "yes",
            Glyph::Warning | Glyph::Bad => "no",
            Glyph::Nothing | Glyph::Note => { span.hidden { "nothing to tell" } },
        }
    }
}

/// A sign and its words, as the report of `check` has them in a cell.
pub(super) fn cell((glyph, text): &(Option<Glyph>, String)) -> Markup {
    html! {
        @if let Some(glyph) = glyph {
            (sign(*glyph)) " "
            @if text.is_empty() { (word(*glyph)) }
        }
        (text)
    }
}

/// A day ago or later the date says more than the length of time.
const DATED: Duration = Duration::from_secs(86_400);

/// `5 minutes ago`, `3 days ago (20 Nov)`, with the exact time behind it.
pub(super) fn ago(at: Timestamp, now: Timestamp) -> Markup {
    let passed = now.since(at);
    let text = if passed < DATED { format!("{} ago", words::span(passed)) } else { words::ago(at, now) };
    layout::time(at, &text)
}

/// `52 ms`, `1.2 s`.
pub(super) fn took(duration: Duration) -> String {
    match duration.as_millis() {
        short @ ..1000 => format!("{short} ms"),
        _ => words::seconds(duration),
    }
}

/// `2 Dec, 14:05 UTC, in 6 days`, or since when it is over.
pub(super) fn until(at: Timestamp, now: Timestamp) -> Markup {
    let text = match at > now {
        true => format!("{}, in {}", words::moment(at, now), words::span(at.since(now))),
        false => words::ago(at, now),
    };
    layout::time(at, &text)
}

/// A UTC day of days since 1970.
pub(super) fn day(day: i64, now: Timestamp) -> Markup {
    let at = Timestamp::from_unix_seconds(day.saturating_mul(86_400));
    layout::time(at, &words::date(at, now))
}

/// A name and its value.
pub(super) fn fact(name: &str, value: &Markup) -> Markup {
    html! { dt { (name) } dd { (value) } }
}
