//! What changed, the latest first.

use maud::{Markup, html};

use super::{Past, Shown, parts, past::CHANGES_MOST};
use crate::{
    present::words,
    terms::Timestamp,
    verdict::{Change, ChangeKind, ChangeSubject, State},
    web::pages::layout,
};

/// The section.
pub(super) fn changes(shown: &Shown<'_>) -> Markup {
    let all = shown.site.links.to(&format!("/api/v1/domains/{}/changes", shown.state.domain));
    let content = html! {
        @match shown.past {
            Past::Unknown(why) => p { "Not known. " (why) },
            Past::Known { changes, .. } if changes.is_empty() => {
                p { "Nothing changed since the monitor began to watch the domain and its mail hosts." }
            },
            Past::Known { changes, more, .. } => {
                (layout::scroll("Table of changes", &table(changes, shown.now)))
                @if *more { p.quiet { "The latest " (CHANGES_MOST) ". " a href=(all) { "All changes, the oldest first (JSON)" } } }
            }
        }
    };
    parts::section("changes", "What changed", &content)
}

fn table(changes: &[Change], now: Timestamp) -> Markup {
    html! {
        table.rows {
            thead { tr { th scope="col" { "When" } th scope="col" { "What" } th scope="col" { "Before" } th scope="col" { "After" } } }
            tbody {
                @for change in changes {
                    tr {
                        td data-label="When" {
                            (parts::ago(change.at, now))
                            br;
                            span.quiet.small { (words::moment(change.at, now)) }
                        }
                        th scope="row" { (what(change)) }
                        td data-label="Before" { (side(change.kind, change.before.as_deref())) }
                        td data-label="After" { (side(change.kind, change.after.as_deref())) }
                    }
                }
            }
        }
    }
}

/// What was or is there. A state of the delivery is told in the words that it has everywhere.
fn side(kind: ChangeKind, text: Option<&str>) -> Markup {
    let state = State::ALL.into_iter().find(|state| kind == ChangeKind::Delivery && Some(state.as_str()) == text);
    html! {
        @match (state, text) {
            (Some(state), _) => (layout::badge(Some(state))),
            (None, Some(text)) => (text),
            (None, None) => { span.quiet { "none" } },
        }
    }
}

/// What changed, and whose it is where it is not the domain's.
fn what(change: &Change) -> String {
    let kind = match change.kind {
        ChangeKind::Record => "Record",
        ChangeKind::Policy => "Policy",
        ChangeKind::Mx => "Mail hosts",
        ChangeKind::Certificate => "Certificate",
        ChangeKind::Tlsa => "TLSA records",
        ChangeKind::Delivery => "Delivery",
    };
    match &change.subject {
        ChangeSubject::Domain(_) => kind.to_owned(),
        ChangeSubject::Host(host) => format!("{kind} of {host}"),
        ChangeSubject::Address(host, address) => format!("{kind} of {host} [{address}]"),
    }
}

/// The same in a line: what it was, and what it is.
pub(super) fn sentence(change: &Change) -> Markup {
    html! { (what(change)) ": " (side(change.kind, change.before.as_deref())) " → " (side(change.kind, change.after.as_deref())) }
}
