//! `/hosts`: every mail host once, with the domains that use it.

use std::collections::HashMap;

use maud::{Markup, html};

use super::{
    cells::{self, Dane, ends_first},
    layout::{Nav, page, scroll, severity},
    query::Query,
    table::{Column, Order, grouped, heads, kept, notes, pages, search},
};
use crate::{
    monitor::{ActiveFinding, HostState, Snapshot},
    terms::{MxHost, Timestamp},
    verdict::{Reach, Severity},
    web::{links::Links, parameters::encoded},
};

/// The parameters of the page.
const NAMES: &[&str] = &["q", "severity", "sort", "page", "per_page"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Host,
    Domains,
    Enforcing,
    Finding,
    Addresses,
    Certificate,
    Dane,
    Probed,
}

const COLUMNS: [Column<Key>; 8] = [
    Column::new(Key::Host, "host", "Host"),
    Column::new(Key::Domains, "domains", "Domains").number().largest_first(),
    Column::new(Key::Enforcing, "enforcing", "Enforcing").number().largest_first(),
    Column::new(Key::Finding, "finding", "Worst finding").largest_first(),
    Column::new(Key::Addresses, "addresses", "Addresses").number().largest_first(),
    Column::new(Key::Certificate, "certificate", "Certificate"),
    Column::new(Key::Dane, "dane", "DANE"),
    Column::new(Key::Probed, "probed", "Last probe"),
];

struct Row<'a> {
    state: &'a HostState,
    worst: Option<&'a ActiveFinding>,
    end: Option<Timestamp>,
    dane: Dane,
    probed: Option<Timestamp>,
}

/// The page.
pub(in crate::web) fn render(snapshot: &Snapshot, text: &str, links: &Links, now: Timestamp) -> Markup {
    let mut query = Query::read(text, NAMES);
    let order = query.choose("sort", |text| Order::read(text, &COLUMNS));
    let least = query.choose("severity", |text| text.parse::<Severity>().ok());
    let needle = query.get("q").to_lowercase();
    let worst = worst_of_hosts(snapshot);
    let mut rows: Vec<Row<'_>> = snapshot
        .host_states()
        .into_iter()
        .filter(|state| state.host.as_str().contains(&needle))
        .map(|state| Row::new(state, worst.get(state.host.as_str()).copied()))
        .filter(|row| least.is_none_or(|least| row.worst.is_some_and(|worst| worst.severity >= least)))
        .collect();
    sort(&mut rows, order);
    let cut = query.cut(rows.len());
    let path = links.to("/hosts");
    let content = html! {
        h1 { "Mail hosts" }
        p {
            "Every host that a configured domain names as MX, once for all domains that use it. A domain counts as enforcing where \
             its policy is in mode enforce, or the host has secure TLSA records."
        }
        (notes(&query))
        form.filters method="get" action=(path) role="search" {
            (search("q", "Host contains", query.get("q")))
            (super::table::choice("severity", "Findings", "any", &severities(), query.get("severity")))
            (kept(&query, &["sort", "per_page"]))
            div { button type="submit" { "Show" } }
            @if query.has(&["q", "severity"]) { div { a.button href=(path) { "Show all" } } }
        }
        @if rows.is_empty() {
            (empty(snapshot, &query, &path))
        } @else {
            (scroll("Mail hosts", &html! {
                table.rows {
                    caption { (grouped(rows.len())) @if rows.len() == 1 { " host" } @else { " hosts" } }
                    (heads(&path, &query, &COLUMNS, order))
                    tbody { @for row in cut.of(&rows) { (line(row, links, now)) } }
                }
            }))
            (pages(&path, &query, cut))
        }
    };
    page("Mail hosts", links, now, Nav::Hosts, &content)
}

/// The worst active finding on each host, over all domains that use it.
pub(super) fn worst_of_hosts(snapshot: &Snapshot) -> HashMap<&str, &ActiveFinding> {
    let mut worst: HashMap<&str, &ActiveFinding> = HashMap::new();
    for finding in snapshot.domains.iter().filter_map(|known| known.summary.as_ref()).flat_map(|seen| &seen.active) {
        let Some(host) = &finding.host else { continue };
        let known = worst.entry(host.as_str()).or_insert(finding);
        if known.severity < finding.severity {
            *known = finding;
        }
    }
    worst
}

/// When an address of the host was last probed.
pub(super) fn probed(state: &HostState) -> Option<Timestamp> {
    state.paths.iter().filter_map(|path| path.latest.as_ref()).map(|latest| latest.at).max()
}

/// The choices of the filter by severity.
pub(super) fn severities() -> Vec<(String, String)> {
    [(Severity::Error, "errors"), (Severity::Warning, "warnings and errors"), (Severity::Info, "any finding")]
        .map(|(severity, words)| (severity.as_str().to_owned(), words.to_owned()))
        .into()
}

/// The list of domains that use a host.
pub(super) fn domains_of(host: &MxHost, links: &Links) -> String {
    links.to(&format!("/?mx={}", encoded(host.as_str())))
}

impl<'a> Row<'a> {
    fn new(state: &'a HostState, worst: Option<&'a ActiveFinding>) -> Self {
        let certificates = state.paths.iter().filter_map(|path| path.certificate.as_ref());
        Self {
            state,
            worst,
            end: ends_first(certificates).map(|(_, end)| end),
            dane: Dane::of_host(&state.dane, state.paths.iter().map(AsRef::as_ref)),
            probed: probed(state),
        }
    }

    fn severity(&self) -> Option<Severity> {
        self.worst.map(|worst| worst.severity)
    }
}

/// Worst first where nothing else is asked for: by severity, then by how many domains lose mail.
fn sort(rows: &mut [Row<'_>], order: Option<Order<Key>>) {
    // The rows come by name, and equal ones stay so.
    match order {
        None => rows.sort_by_key(|row| {
            (std::cmp::Reverse(row.severity()), std::cmp::Reverse((row.state.domains_enforcing, row.state.domains)))
        }),
        Some(order) => rows.sort_by(|one, other| {
            order.of(match order.column.key {
                Key::Host => one.state.host.cmp(&other.state.host),
                Key::Domains => one.state.domains.cmp(&other.state.domains),
                Key::Enforcing => one.state.domains_enforcing.cmp(&other.state.domains_enforcing),
                Key::Finding => one.severity().cmp(&other.severity()),
                Key::Addresses => one.state.paths.len().cmp(&other.state.paths.len()),
                // What has none stands behind those that have one.
                Key::Certificate => one.end.is_none().cmp(&other.end.is_none()).then(one.end.cmp(&other.end)),
                Key::Dane => one.dane.cmp(&other.dane),
                Key::Probed => one.probed.cmp(&other.probed),
            })
        }),
    }
}

fn line(row: &Row<'_>, links: &Links, now: Timestamp) -> Markup {
    let state = row.state;
    let certificates = state.paths.iter().filter_map(|path| path.certificate.as_ref());
    let certificate = ends_first(certificates).map(|(certificate, _)| certificate);
    html! {
        tr {
            th scope="row" { a href=(links.host(&state.host)) { (state.host) } }
            td.number data-label="Domains" { a href=(domains_of(&state.host, links)) { (grouped(state.domains)) } }
            td.number data-label="Enforcing" { (grouped(state.domains_enforcing)) }
            td data-label="Worst finding" {
                @match row.worst {
                    Some(worst) => { (severity(worst.severity)) (cells::gist(worst.code)) }
                    None => { (cells::nothing("none")) }
                }
            }
            td.number data-label="Addresses" { (addresses(state)) }
            td data-label="Certificate" { (cells::certificate(certificate, now)) }
            td data-label="DANE" { (row.dane.cell()) }
            td data-label="Last probe" { (cells::ago(row.probed, now)) }
        }
    }
}

/// `2`, or `1 of 2 up` where not all can be reached.
fn addresses(state: &HostState) -> Markup {
    let up = state.paths.iter().filter(|path| path.reach == Reach::Up).count();
    let down = state.paths.iter().any(|path| path.reach == Reach::Down);
    html! {
        @if up == state.paths.len() { (up) }
        @else if down { span.trouble { (up) " of " (state.paths.len()) " up" } }
        @else { (up) " of " (state.paths.len()) " seen" }
    }
}

fn empty(snapshot: &Snapshot, query: &Query, path: &str) -> Markup {
    html! {
        div.banner.plain {
            @if query.has(&["q", "severity"]) {
                p { "No host fits. " a href=(path) { "Show all hosts" } }
            } @else if snapshot.domains.iter().any(|known| known.summary.is_none()) {
                p { "No host is known yet: the first probes are on their way. Load the page again in a minute." }
            } @else {
                p { "None of the configured domains names a mail host." }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::fixture::{self, NOW};

    fn at(query: &str) -> String {
        render(&fixture::snapshot(), query, &Links::default(), NOW).into_string()
    }

    /// Which hosts are listed, in order.
    fn listed(html: &str) -> Vec<String> {
        let names = html.split("<th scope=\"row\"><a href=\"/hosts/").skip(1);
        names.filter_map(|rest| rest.split('"').next().map(str::to_owned)).collect()
    }

    #[test]
    fn every_host_stands_there_once_and_the_worst_first() {
        assert_eq!(listed(&at("")), ["mx.broken.example", "mx1.example.com"]);
        assert_eq!(listed(&at("sort=-host")), ["mx1.example.com", "mx.broken.example"]);
        // The expired one ends first; both have one.
        assert_eq!(listed(&at("sort=-certificate")), ["mx1.example.com", "mx.broken.example"]);
    }

    #[test]
    fn a_search_and_a_filter_leave_out_what_does_not_fit() {
        assert_eq!(listed(&at("q=BROKEN")), ["mx.broken.example"]);
        assert_eq!(listed(&at("severity=warning")), ["mx.broken.example"]);
        let none = at("q=nobody");
        assert!(
            listed(&none).is_empty() && none.contains("No host fits") && none.contains("href=\"/hosts\""),
            "{none}"
        );
        let odd = at("severity=awful");
        assert!(odd.contains("There is no severity &quot;awful&quot;") && listed(&odd).len() == 2, "{odd}");
    }

    #[test]
    fn a_row_says_what_is_known() {
        let html = at("q=broken");
        for part in ["STARTTLS", "expired 3 days ago", "2 of 4 up", "href=\"/?mx=mx.broken.example\""] {
            assert!(html.contains(part), "{part} is missing in {html}");
        }
        assert!(at("q=mx1").contains("valid"));
    }

    #[test]
    fn nothing_known_yet_is_not_nothing_there() {
        let mut new = Snapshot::default();
        new.put(fixture::domain_state("new.example", None));
        assert!(render(&new, "", &Links::default(), NOW).into_string().contains("No host is known yet"));
        let none = render(&Snapshot::default(), "", &Links::default(), NOW).into_string();
        assert!(none.contains("None of the configured domains"), "{none}");
    }
}
