//! The page of a name that is not configured.

use maud::{Markup, html};

use crate::{
    config::nearest,
    monitor::Snapshot,
    terms::{MxHost, PolicyDomain, Timestamp},
    web::{
        Links,
        pages::layout::{self, Nav},
    },
};

/// More of what was asked for nobody reads.
const NAME_MOST: usize = 253;

/// Says that there is no such domain, what was perhaps meant, and how it is added. `name`: as it was asked for.
/// `elsewhere`: why another instance would know of it.
pub(in crate::web) fn unknown(
    name: &str,
    elsewhere: Option<&str>,
    snapshot: &Snapshot,
    links: &Links,
    now: Timestamp,
) -> Markup {
    let shown: String = name.chars().take(NAME_MOST).collect();
    let content = html! {
        h1 { "No such domain here" }
        @match PolicyDomain::parse(name) {
            Ok(_) if elsewhere.is_some() => p { @if let Some(said) = elsewhere { (said) "." } },
            Err(wrong) => p { strong { (shown) } " is no domain name: " (wrong) "." },
            Ok(domain) => (hints(&domain, snapshot, links)),
        }
        p { a href=(links.to("/")) { "All domains" } }
    };
    layout::page("No such domain", links, now, Nav::Elsewhere, &content)
}

fn hints(domain: &PolicyDomain, snapshot: &Snapshot, links: &Links) -> Markup {
    let host = MxHost::parse(domain.as_str()).ok().filter(|host| snapshot.hosts.contains(host.as_str()));
    let meant = nearest(domain.as_str(), snapshot.domains.sorted().into_iter().map(|known| known.domain().as_str()));
    let meant = meant.and_then(|name| PolicyDomain::parse(name).ok());
    html! {
        p { strong { (domain) } " is not among the domains that this monitor watches." }
        @if let Some(host) = host { p { "It is a mail host: " a href=(links.host(&host)) { (host) } } }
        @if let Some(meant) = meant { p { "Did you mean " a href=(links.domain(&meant)) { (meant) } "?" } }
        p { "To have it watched, add it to the configuration and reload:" }
        (layout::record(&format!("domains:\n  - {domain}")))
        p { "To look at it once, from a terminal:" }
        (layout::record(&format!("smtptls-exporter check {domain}")))
    }
}
