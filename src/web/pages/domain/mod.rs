//! `/domains/NAME`: the page of one domain. It reads like `check`, with time added: since when, what changed before, what senders
//! still hold and until when, what reports say.

mod certificates;
mod changes;
mod held;
mod hosts;
mod parts;
mod past;
mod policy;
mod probes;
mod reports;
mod senders;
mod unknown;
mod verdict;

#[cfg(test)]
mod tests;

use maud::{Markup, html};

pub(in crate::web) use self::{
    past::{Past, past},
    unknown::unknown,
};
use super::layout::{self, Nav};
use crate::{
    monitor::DomainState,
    present::words,
    terms::Timestamp,
    verdict::Assessment,
    web::{Links, parameters},
};

/// The server around the page.
#[derive(Clone, Copy, Debug)]
pub(in crate::web) struct Site<'a> {
    /// Where things are.
    pub(in crate::web) links: &'a Links,
    /// The path of the metrics.
    pub(in crate::web) metrics_path: &'a str,
    /// The monitor takes the request to probe a domain now.
    pub(in crate::web) prompting: bool,
}

/// What a page is made of.
#[derive(Clone, Copy, Debug)]
struct Shown<'a> {
    /// What is known of the domain.
    state: &'a DomainState,
    /// What was before.
    past: &'a Past,
    /// The server.
    site: Site<'a>,
    /// The time of the page.
    now: Timestamp,
}

/// The page of a configured domain.
pub(in crate::web) fn render(state: &DomainState, past: &Past, site: Site<'_>, now: Timestamp) -> Markup {
    page(&Shown { state, past, site, now })
}

fn page(shown: &Shown<'_>) -> Markup {
    let DomainState { domain, group, assessment, .. } = shown.state;
    let verdict = assessment.as_ref().map_or("not probed yet", |seen| words::state(seen.delivery));
    let content = html! {
        h1 { (domain) }
        @if !group.is_empty() {
            @let all = shown.site.links.to(&format!("/?group={}", parameters::encoded(group)));
            p.quiet { "in the group " a href=(all) { (group) } }
        }
        @match assessment.as_deref() {
            None => (unprobed(shown)),
            Some(seen) => (probed(shown, seen)),
        }
    };
    layout::page(&format!("{domain}: {verdict}"), shown.site.links, shown.now, Nav::Domains, &content)
}

fn probed(shown: &Shown<'_>, seen: &Assessment) -> Markup {
    html! {
        (verdict::verdict(shown, seen))
        (verdict::findings(seen, shown.now))
        (hosts::hosts(shown, seen))
        (policy::policy(seen, shown.now))
        (held::held(seen, shown.now))
        (held::enforce(seen, shown.now))
        (certificates::certificates(shown, seen))
        (changes::changes(shown))
        (reports::reports(shown))
        (probes::probes(shown))
        (probes::elsewhere(shown))
    }
}

/// Before the first probe there is nothing to judge; reports may be there already.
fn unprobed(shown: &Shown<'_>) -> Markup {
    html! {
        p.verdict { (layout::badge(None)) }
        p {
            "The monitor has not looked at this domain yet, so nothing is known of it: neither that it is well nor that it is not."
        }
        (probes::probes(shown))
        (reports::reports(shown))
        (changes::changes(shown))
        (probes::elsewhere(shown))
    }
}
