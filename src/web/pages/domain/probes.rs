//! When the domain was looked at, when it will be, the transcript, and where programs find the same.

use maud::{Markup, html};

use super::{
    Shown,
    parts::{self, fact},
};
use crate::{
    present::{
        Look,
        transcript::{self, SECTIONS_MOST},
        words,
    },
    terms::Timestamp,
    verdict::Assessment,
    web::pages::layout,
};

/// The section, with the form that asks for a probe now.
pub(super) fn probes(shown: &Shown<'_>) -> Markup {
    let (state, now) = (shown.state, shown.now);
    let seen = state.assessment.as_deref();
    let content = html! {
        dl.facts {
            (fact("Last look", &match seen {
                Some(seen) => html! { (parts::ago(seen.checked_at, now)) ", took " (parts::took(seen.duration)) },
                None => html! { "none yet" },
            }))
            @if let Some((oldest, latest)) = seen.and_then(probed) {
                (fact("Mail hosts", &html! {
                    "probed " (parts::ago(latest, now))
                    @if oldest != latest { ", the one that waits longest " (parts::ago(oldest, now)) }
                }))
            }
            @match state.last_success_at {
                Some(at) if seen.is_some_and(Assessment::lookups_answered) => (fact("Every lookup answered", &parts::ago(at, now))),
                Some(at) => (fact("Every lookup answered", &html! { "not now; last " (parts::ago(at, now)) })),
                None if seen.is_some() => (fact("Every lookup answered", &html! { "never" })),
                None => {},
            }
            (fact("Next look", &match state.due_at {
                Some(at) if at > now => html! { (layout::time(at, &format!("in {}", words::span(at.since(now))))) },
                Some(_) => html! { "now" },
                None => html! { "as soon as its turn comes" },
            }))
            (fact("Interval", &html! { (words::span(state.interval)) }))
        }
        form method="post" action={ (shown.site.links.domain(&state.domain)) "/probe" } {
            button type="submit" disabled[!shown.site.prompting] { "Probe now" }
            @if shown.site.prompting { " " span.quiet { "Looks at records, policy and every mail host again; it takes some seconds." } }
            @else { " " span.quiet { "This monitor takes no such request." } }
        }
        @if let Some(seen) = seen { (transcript(shown, seen)) }
    };
    parts::section("probes", "Probes", &content)
}

/// The oldest and the latest probe of an address.
fn probed(seen: &Assessment) -> Option<(Timestamp, Timestamp)> {
    let at =
        || seen.mx.iter().flat_map(|mx| &mx.addresses).filter_map(|address| Some(address.path.latest.as_ref()?.at));
    Some((at().min()?, at().max()?))
}

/// Every step of the latest looks, as `check --verbose` prints them, to be read here and to be copied into a ticket.
fn transcript(shown: &Shown<'_>, seen: &Assessment) -> Markup {
    let mut transcript = transcript::transcript(shown.state.observation.as_deref(), seen);
    let more = transcript.cut(SECTIONS_MOST);
    html! {
        details id="transcript" {
            summary { "Transcript: every step, what was sent and what came back" }
            pre tabindex="0" { (transcript.text(Look { unicode: true, ..Look::default() })) }
            @if more > 0 {
                p { (more) " more parts: " code { "smtptls-exporter check " (shown.state.domain) " --verbose" } }
            }
        }
    }
}

/// Where else the same is to be found.
pub(super) fn elsewhere(shown: &Shown<'_>) -> Markup {
    let domain = &shown.state.domain;
    let api = |rest: &str| shown.site.links.to(&format!("/api/v1/domains/{domain}{rest}"));
    let content = html! {
        ul {
            li { a href=(api("")) { "The judgement (JSON)" } ", as " code { "check --format json" } " prints it" }
            li { a href=(api("/changes")) { "What changed (JSON)" } }
            li { a href=(api("/reports")) { "What senders report (JSON)" } }
            li { a href=(shown.site.links.to(shown.site.metrics_path)) { "Metrics" } "; for this domain in Prometheus: "
                code.line { "smtptls_domain_delivery{domain=\"" (domain) "\"} == 1" }
                code.line { "smtptls_finding{domain=\"" (domain) "\"}" }
            }
            @if shown.site.prompting {
                li {
                    "A look now, with its transcript: "
                    code { (shown.site.links.to(&format!("/probe?target={domain}&debug=true"))) }
                }
            }
            li {
                "On a terminal: " code { "smtptls-exporter check " (domain) " --state.dir DIR" }
                ", where DIR is the state folder of this monitor: without it nothing is judged that needs its memory"
            }
        }
    };
    parts::section("elsewhere", "For programs", &content)
}
