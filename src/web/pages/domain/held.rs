//! What senders hold, until when, and which step is safe from when on.

use maud::{Markup, html};

use super::parts::{self, fact};
use crate::{
    present::{Glyph, evidence, timeline, words},
    protocol::mta_sts::{Certainty, Mode, MxPattern},
    terms::{PolicyId, Timestamp},
    verdict::{Assessment, EnforceReadiness, HeldPolicy},
    web::pages::layout,
};

/// More policies than this at one time are a policy that changes with each answer.
const POLICIES_MOST: usize = 20;

/// The section; nothing where no policy was ever seen and no host is planned.
pub(super) fn held(seen: &Assessment, now: Timestamp) -> Markup {
    let history = &seen.history;
    if history.held.is_empty() && history.planned.is_empty() && history.safe_to_remove.is_none() {
        return html! {};
    }
    let content = html! {
        p {
            "A sender keeps a policy for its max_age, and renews it while it is announced. So what was published before can still \
             decide over mail."
        }
        @if !history.held.is_empty() { (layout::scroll("Policies that senders hold", &table(&history.held, now))) }
        dl.facts {
            @if let Some(at) = history.protected_until {
                (fact("Protection lasts", &html! { "until " (parts::until(at, now)) " at least, if the policy vanished now" }))
            }
            @if let Some(at) = history.cache_expiry {
                (fact("Enforce is over", &html! { "for every sender by " (parts::until(at, now)) ", if it were withdrawn now" }))
            }
            @if let Some(safe) = &history.safe_to_remove {
                (fact("Removal", &html! {
                    @if safe.now { (parts::sign(Glyph::Good)) " " }
                    (timeline::removal(safe, now))
                }))
            }
            @for planned in &history.planned {
                (fact("Planned host", &parts::cell(&{
                    let (glyph, text) = timeline::planned_host(planned, history, now);
                    (Some(glyph), text)
                })))
            }
            @if history.certainty == Some(Certainty::AsFarAsSeen) && let Some(since) = history.known_since {
                (fact("Known since", &html! {
                    (parts::ago(since, now)) "; what was served before, or in a gap between probes, is not known, so a sender may hold more"
                }))
            }
        }
    };
    parts::section("held", "What senders hold", &content)
}

fn table(all: &[HeldPolicy], now: Timestamp) -> Markup {
    html! {
        table.rows {
            thead {
                tr {
                    th scope="col" { "Policy" }
                    th scope="col" { "Mail hosts" }
                    th scope="col" { "id" }
                    th scope="col" { "Served" }
                    th scope="col" { "Held until" }
                }
            }
            tbody {
                @for held in all.iter().take(POLICIES_MOST) {
                    tr {
                        th scope="row" {
                            (evidence::policy_words(&held.policy))
                            @if held.current { " " span.quiet { "(the present one)" } }
                        }
                        td data-label="Mail hosts" {
                            @let patterns: Vec<&str> = held.policy.mx.iter().map(MxPattern::as_str).collect();
                            (words::list(&patterns))
                        }
                        td data-label="id" {
                            @let ids: Vec<&str> = held.ids.iter().map(PolicyId::as_str).collect();
                            (words::list(&ids))
                        }
                        td data-label="Served" {
                            (layout::time(held.first, &words::date(held.first, now))) " to "
                            @if held.current { "now" } @else { (layout::time(held.last, &words::date(held.last, now))) }
                        }
                        td data-label="Held until" { (parts::until(held.expires, now)) }
                    }
                }
            }
        }
        @if all.len() > POLICIES_MOST { p.quiet { "and " (all.len() - POLICIES_MOST) " more" } }
    }
}

/// "Can it go to enforce?", as a list of conditions.
pub(super) fn enforce(seen: &Assessment, now: Timestamp) -> Markup {
    let content = match &seen.history.enforce {
        Some(enforce) if timeline::is_watched(&seen.history, now) => conditions(enforce, now),
        Some(_) => html! {
            p { "This cannot be told yet: it takes two weeks of watching a policy in testing, and the monitor has seen the domain for less than an hour." }
        },
        None => html! { p { (not_asked(seen)) } },
    };
    parts::section("enforce", "Can it go to enforce?", &content)
}

/// Why the question is not asked.
fn not_asked(seen: &Assessment) -> Markup {
    let name = &seen.domain;
    let mode = seen.policy.in_force.as_ref().map(|policy| policy.mode);
    html! {
        @match mode {
            Some(Mode::Enforce) => "It is in enforce.",
            Some(Mode::Testing) => "Not asked: no record announces the policy, or senders cannot use it.",
            Some(Mode::None) => "The policy is switched off (mode none). The way back begins with mode testing.",
            None if seen.mx.is_empty() && seen.mx_records.is_some() => "There is no mail host that a policy could protect.",
            None => {
                @match unusable(seen) {
                    Some(why) => (why),
                    None => {
                        "There is no policy yet. It begins with one in mode testing, which loses no mail: "
                        code { "smtptls-exporter policy suggest " (name) }
                    }
                }
            }
        }
    }
}

/// Why senders hold no policy though one may be there. That nothing was seen is not that nothing is there.
const fn unusable(seen: &Assessment) -> Option<&'static str> {
    match (seen.sts_record.present, seen.policy.fetch_success) {
        (None, _) => Some("Not seen: the record that announces a policy cannot be looked up."),
        (Some(true), None) => Some("Not seen: a policy is announced, and it cannot be fetched from here."),
        (Some(true), Some(_)) => Some("A policy is announced, and senders cannot use it: mend that first."),
        (Some(false), _) => None,
    }
}

fn conditions(enforce: &EnforceReadiness, now: Timestamp) -> Markup {
    let required = || enforce.conditions.iter().filter(|condition| condition.required);
    let failing = required().filter(|condition| !condition.met).count();
    html! {
        p {
            @if enforce.ready {
                strong { "Yes: it would lose no mail." }
                @if let Some(since) = enforce.since { " It has been so since " (layout::time(since, &words::date(since, now))) "." }
                @if enforce.confident { " All that is advised holds too." }
                " Change \"mode: testing\" to \"mode: enforce\", then give the record a new id."
            } @else {
                strong { "Not yet: " (failing) " of " (words::count(required().count(), "condition")) " " (if failing == 1 { "fails" } else { "fail" }) "." }
                " What cannot be told counts as failing."
            }
        }
        ul.checklist {
            @for condition in &enforce.conditions {
                @let glyph = match (condition.met, condition.required) {
                    (true, _) => Glyph::Good,
                    (false, true) => Glyph::Bad,
                    (false, false) => Glyph::Note,
                };
                li {
                    (parts::sign(glyph))
                    div {
                        span.hidden { (if condition.met { "yes: " } else { "no: " }) }
                        (condition.reason) " "
                        span.quiet.small { (condition.name) @if !condition.required { ", advice only" } }
                    }
                }
            }
        }
    }
}
