//! What happens to mail, since when, and what to do about it.

use std::time::Duration;

use maud::{Markup, html};

use super::{Shown, changes, parts, senders};
use crate::{
    present::{Accepted, Advice, Briefing, Look, explain, words},
    terms::Timestamp,
    verdict::{Assessment, Change, ChangeKind, Fixer, Severity, State},
    web::pages::layout,
};

/// What changed so shortly before the delivery did may be its cause: senders look for a new policy once a day.
const CAUSE: Duration = Duration::from_secs(86_400);
/// What was seen and what follows from it are noted one after the other, in either order.
const TOGETHER: Duration = Duration::from_secs(60);
/// More causes than this explain nothing.
const CAUSES_MOST: usize = 4;

/// The state in words, since when it is so, and what changed just before.
pub(super) fn verdict(shown: &Shown<'_>, seen: &Assessment) -> Markup {
    let now = shown.now;
    let briefing = Briefing::new(seen, now, false);
    html! {
        p.verdict {
            (layout::badge(Some(briefing.state)))
            @if let Some(since) = since(seen, now) { " " span.quiet { (since) } }
        }
        @for sentence in &briefing.sentences { p { (sentence) } }
        @let causes = causes(shown, seen);
        @if !causes.is_empty() {
            p { "What changed in the day before:" }
            ul {
                @for change in causes {
                    li { (changes::sentence(change)) " " span.quiet { "(" (layout::time(change.at, &words::moment(change.at, now))) ")" } }
                }
            }
        }
        @if !briefing.unseen.is_empty() {
            div class={ "banner" (if seen.own_side { "" } else { " plain" }) } role="note" {
                p { strong { "Not seen" } }
                @if seen.own_side {
                    p { "The fault is on the side of this monitor: what it could not look at is unknown, not broken." }
                }
                ul { @for what in &briefing.unseen { li { (what) } } }
            }
        }
        (senders::senders(seen))
    }
}

/// `for 3 days (since 20 Nov)`, as far as it is known. What this side cannot see is no change, and has no beginning.
fn since(seen: &Assessment, now: Timestamp) -> Option<Markup> {
    if seen.delivery == State::Unknown {
        return None;
    }
    let history = &seen.history;
    let told = |at: Timestamp, more: &str| {
        let text = format!("for {} (since {}){more}", words::span(now.since(at)), words::date(at, now));
        layout::time(at, &text)
    };
    match (history.delivery_changes.last_at, history.known_since) {
        (Some(at), _) => Some(told(at, "")),
        (None, Some(at)) => Some(told(at, ", as long as it is watched")),
        (None, None) => None,
    }
}

/// What changed with the present state or shortly before it.
fn causes<'a>(shown: &Shown<'a>, seen: &Assessment) -> Vec<&'a Change> {
    let changed = seen.history.delivery_changes.last_at.filter(|_| seen.delivery != State::Unknown);
    let Some(at) = changed else { return Vec::new() };
    let near = |change: &&Change| {
        change.kind != ChangeKind::Delivery && change.at <= at + TOGETHER && at.since(change.at) <= CAUSE
    };
    shown.past.changes().iter().filter(near).take(CAUSES_MOST).collect()
}

/// What to fix, what is worth knowing, and what is accepted.
pub(super) fn findings(seen: &Assessment, now: Timestamp) -> Markup {
    let briefing = Briefing::new(seen, now, true);
    html! {
        @if !briefing.fix_first.is_empty() {
            (parts::section("fix-first", "Fix first", &cards(&briefing.fix_first)))
        }
        @if !briefing.also.is_empty() {
            (parts::section("also", "Also", &cards(&briefing.also)))
        }
        @if !briefing.accepted.is_empty() {
            (parts::section("accepted", "Accepted", &accepted(&briefing.accepted)))
        }
    }
}

fn cards(all: &[Advice]) -> Markup {
    html! { @for advice in all { (card(advice)) } }
}

fn card(advice: &Advice) -> Markup {
    let (first, others) = advice.heads.split_first().map_or(("", [].as_slice()), |(first, others)| (first, others));
    let words = advice.words();
    html! {
        article class={ "card " (advice.severity.as_str()) } {
            h3 { (layout::severity(advice.severity)) (first) }
            @for head in others { p { (layout::severity(advice.severity)) strong { (head) } } }
            @if !words.is_empty() { p { (words) } }
            @if let Some(todo) = &advice.todo { (todo_words(todo)) }
            @if let Some(record) = &advice.record { (layout::record(record)) }
            (tags(advice))
        }
    }
}

/// What to do; the lines behind the first one are to be copied.
fn todo_words(todo: &str) -> Markup {
    let (words, lines) = todo.split_once('\n').map_or((todo, None), |(words, lines)| (words, Some(lines)));
    html! {
        p { strong { "To do: " } (words) }
        @if let Some(lines) = lines { (layout::record(lines)) }
    }
}

/// Who can fix it, and where more is told.
fn tags(advice: &Advice) -> Markup {
    let code = advice.code.as_str();
    let fixer = match (advice.fixer, advice.severity) {
        (Fixer::You, _) => "You can fix this.",
        (Fixer::Provider, Severity::Info) => "Your provider is in charge of this.",
        (Fixer::Provider, _) => "Only your provider can fix this; send them this text.",
        (Fixer::Nobody, _) => "Nobody has to, or can, fix this here.",
    };
    html! {
        p.tags { span { (fixer) } }
        details {
            summary { code { (code) } span.hidden { ": what it means" } }
            (explanation(advice))
            p.quiet { "The same on a terminal: " code { "smtptls-exporter check --explain " (code) } }
        }
    }
}

fn explanation(advice: &Advice) -> Markup {
    let text = explain::finding(advice.code, Look { unicode: true, ..Look::default() });
    html! { pre tabindex="0" { (text) } }
}

fn accepted(all: &[Accepted]) -> Markup {
    html! {
        p.quiet { "These count nowhere, as the configuration accepts them." }
        ul {
            @for one in all {
                li { (one.head) " " code { (one.code.as_str()) } br; span.quiet { "accepted: " (one.reason) } }
            }
        }
    }
}
