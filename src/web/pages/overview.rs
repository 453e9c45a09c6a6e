//! `/`: every domain in a line, the worst first, and before them what this monitor itself suffers from.

use std::time::Duration;

use maud::{Markup, html};

use super::{
    cells,
    layout::{Nav, badge, page, scroll, severity},
    own_side,
    query::Query,
    table::{Column, Order, choice, grouped, heads, kept, notes, pages, search},
};
use crate::{
    monitor::{DomainState, Snapshot},
    present::{
        headline,
        row::{DaneReach, FirstEnd, Row, ShownMode},
        words,
    },
    terms::Timestamp,
    verdict::{Assessment, Severity, State},
    web::{
        links::Links,
        selection::{Rows, Selection, Sort},
    },
};

/// The parameters of the page.
const NAMES: &[&str] = &["q", "group", "state", "mode", "finding", "severity", "mx", "sort", "page", "per_page"];
/// Those that leave domains out.
const FILTERS: &[&str] = &["q", "group", "state", "mode", "finding", "severity", "mx"];

const COLUMNS: [Column<Sort>; 7] = [
    Column::new(Sort::Domain, "domain", "Domain"),
    Column::new(Sort::Delivery, "delivery", "Delivery"),
    Column::new(Sort::Mode, "mode", "Policy"),
    Column::new(Sort::Finding, "finding", "Worst finding"),
    Column::new(Sort::Certificate, "certificate", "Certificate ends"),
    Column::new(Sort::Dane, "dane", "DANE"),
    Column::new(Sort::Checked, "checked", "Last probe"),
];

/// So near its end a certificate stands out; renewals come thirty days before at the latest, or a third of a shorter life.
const SOON: Duration = Duration::from_secs(7 * 86_400);

/// The page. `metrics_path`: where the metrics are.
pub(in crate::web) fn render(
    snapshot: &Snapshot,
    text: &str,
    links: &Links,
    now: Timestamp,
    metrics_path: &str,
) -> Markup {
    let mut query = Query::read(text, NAMES);
    let mut selection = Selection::default();
    for name in FILTERS.iter().chain(&["sort"]) {
        query.choose(name, |value| selection.take(name, value).ok());
    }
    let found = selection.rows(snapshot);
    let column = COLUMNS.into_iter().find(|column| column.key == selection.sort);
    let order = column.map(|column| Order { column, turned: selection.reversed });
    let cut = query.cut(found.rows.len());
    let path = links.to("/");
    let content = html! {
        h1 { "Domains" }
        (own_side::banners(snapshot, now))
        (notes(&query))
        (states(&found, &query, &path))
        (filters(&found, &query, &path))
        @if found.rows.is_empty() {
            (empty(snapshot, &query, &path))
        } @else {
            (scroll("Domains", &html! {
                table.rows {
                    caption {
                        (grouped(found.rows.len())) @if found.rows.len() == 1 { " domain" } @else { " domains" }
                        @if found.rows.len() < found.total { " of " (grouped(found.total)) }
                        @if order.is_some_and(|order| order.column.key == Sort::Delivery && !order.turned) { ", the worst first" }
                    }
                    (heads(&path, &query, &COLUMNS, order))
                    tbody { @for known in cut.of(&found.rows) { (line(&snapshot.open(known), links, now)) } }
                }
            }))
            (pages(&path, &query, cut))
        }
        p.quiet {
            "For programs: " a href=(links.to(metrics_path)) { "metrics" } ", "
            a href={ (links.to("/api/v1/domains")) (selection.query()) } { "this list as JSON" } ", "
            a href=(links.to("/api/v1/openapi.json")) { "the API" } ", "
            a href=(links.to("/-/ready")) { "readiness" }
        }
    };
    page("Domains", links, now, Nav::Domains, &content)
}

/// How many domains are in which state: numbers that filter the list.
fn states(found: &Rows<'_>, query: &Query, path: &str) -> Markup {
    let all: usize = found.by_state.iter().map(|(_, count)| count).sum();
    let chosen = query.get("state");
    html! {
        nav aria-label="Domains by delivery" {
            ul.tiles {
                li {
                    a href={ (path) (query.with(&[("state", "")])) } aria-current=[chosen.is_empty().then_some("true")] {
                        b { (grouped(all)) } "all"
                    }
                }
                @for (state, count) in &found.by_state {
                    @let word = state.as_str();
                    // What is not there and not asked for needs no place, but for the answer that everybody looks for.
                    @if *count > 0 || chosen == word || state.state() == Some(State::Protected) {
                        li.bad[*count > 0 && matches!(state.state(), Some(State::Blocked | State::Partial))] {
                            a href={ (path) (query.with(&[("state", word)])) } aria-current=[(chosen == word).then_some("true")] {
                                b { (grouped(*count)) } (state.state().map_or("not probed yet", words::state))
                            }
                        }
                    }
                }
            }
        }
    }
}

fn filters(found: &Rows<'_>, query: &Query, path: &str) -> Markup {
    let counted = |word: &str, count: usize| (word.to_owned(), format!("{word} ({})", grouped(count)));
    let groups: Vec<_> = found.groups.iter().map(|(group, count)| counted(group, *count)).collect();
    let findings: Vec<_> = found.findings.iter().map(|(code, count)| counted(code.as_str(), *count)).collect();
    let modes = ShownMode::ALL.map(|mode| (mode.as_str().to_owned(), mode_words(mode).to_owned()));
    let severities = Severity::ALL.map(|severity| (severity.as_str().to_owned(), severity.as_str().to_owned()));
    html! {
        form.filters method="get" action=(path) role="search" {
            (search("q", "Domain contains", query.get("q")))
            @if !groups.is_empty() { (choice("group", "Group", "all groups", &groups, query.get("group"))) }
            (choice("severity", "Severity", "any or none", &severities, query.get("severity")))
            (choice("finding", "Finding", "any or none", &findings, query.get("finding")))
            (choice("mode", "Policy", "any", &modes, query.get("mode")))
            @if !query.get("mx").is_empty() { (search("mx", "Mail host", query.get("mx"))) }
            (kept(query, &["state", "sort", "per_page"]))
            div { button type="submit" { "Show" } }
            @if query.has(FILTERS) { div { a.button href=(path) { "Show all" } } }
        }
    }
}

const fn mode_words(mode: ShownMode) -> &'static str {
    match mode {
        ShownMode::Enforce => "enforce",
        ShownMode::Testing => "testing",
        ShownMode::None => "switched off (none)",
        ShownMode::Missing => "no policy",
    }
}

fn line(state: &DomainState, links: &Links, now: Timestamp) -> Markup {
    let row = Row::of(state);
    let seen = state.assessment.as_deref();
    html! {
        tr {
            th scope="row" {
                a href=(links.domain(row.domain)) { (row.domain) }
                @if !row.group.is_empty() { br; span.quiet { (row.group) } }
            }
            td data-label="Delivery" { (badge(row.delivery)) }
            td data-label="Policy" {
                @match (row.mode, seen) {
                    (None, _) | (_, None) => (cells::nothing("not probed yet")),
                    (Some(ShownMode::Missing), Some(seen)) => (cells::no_policy(seen)),
                    (Some(mode), _) => (mode_words(mode)),
                }
            }
            td data-label="Worst finding" { (worst(state, now)) }
            td.nowrap data-label="Certificate ends" {
                @match row.certificate {
                    Some(first) => (ends(first, now)),
                    None if seen.is_none() => (cells::nothing("not probed yet")),
                    None => (cells::nothing("none seen")),
                }
            }
            td data-label="DANE" {
                @match row.dane {
                    Some(DaneReach::Broken) => span.trouble { "broken" },
                    Some(DaneReach::Some) => "in part",
                    Some(DaneReach::Every) => "valid",
                    Some(DaneReach::None) => (cells::nothing("none")),
                    None if seen.is_none() => (cells::nothing("not probed yet")),
                    None if seen.is_some_and(has_no_mail_host) => (cells::nothing("no mail host")),
                    None => span.quiet { "not seen" },
                }
            }
            td data-label="Last probe" { @if row.checked_at.is_some() { (cells::ago(row.checked_at, now)) } }
        }
    }
}

/// An answer of the DNS says so; where the lookup failed nobody knows.
const fn has_no_mail_host(seen: &Assessment) -> bool {
    seen.mx.is_empty() && seen.mx_records.is_some()
}

/// The worst error or warning in words, else what the state rests on.
fn worst(state: &DomainState, now: Timestamp) -> Markup {
    let Some(seen) = state.assessment.as_deref() else { return Markup::default() };
    let pressing = seen.active().filter(|finding| finding.severity > Severity::Info);
    let (count, worst) =
        pressing.fold((0_usize, None), |(count, worst), finding| (count + 1, worst.max(Some(finding.severity))));
    let words = headline(seen, now);
    html! {
        @if let Some(worst) = worst { (severity(worst)) }
        @if words.is_empty() { (cells::nothing("none")) } @else { (words) }
        @if count > 1 { " " span.quiet { "and " (count - 1) " more" } }
    }
}

fn ends(first: FirstEnd<'_>, now: Timestamp) -> Markup {
    html! {
        @if first.ends_at < now {
            span.trouble { (super::layout::time(first.ends_at, &format!("expired {} ago", words::span(now.since(first.ends_at))))) }
        } @else {
            span.trouble[first.ends_at < now + SOON] {
                "in " (super::layout::time(first.ends_at, &words::span(first.ends_at.since(now))))
            }
        }
    }
}

fn empty(snapshot: &Snapshot, query: &Query, path: &str) -> Markup {
    html! {
        div.banner.plain {
            @if snapshot.domains.is_empty() {
                p {
                    "No domain is configured. Write it into " code { "domains:" } " of the configuration, and load that again: "
                    code { "kill -HUP" } ", or POST to " code { "/-/reload" } "."
                }
            } @else if query.has(FILTERS) {
                p { "No domain fits. " a href=(path) { "Show all " (grouped(snapshot.domains.len())) " domains" } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        metrics::fixture::{self, NOW},
        verdict::{Code, Subject},
    };

    fn at(snapshot: &Snapshot, query: &str) -> String {
        render(snapshot, query, &Links::default(), NOW, "/metrics").into_string()
    }

    /// Which domains are listed, in order.
    fn listed(html: &str) -> Vec<String> {
        let names = html.split("<th scope=\"row\"><a href=\"/domains/").skip(1);
        names.filter_map(|rest| rest.split('"').next().map(str::to_owned)).collect()
    }

    #[test]
    fn the_worst_comes_first_and_each_domain_once() {
        let html = at(&fixture::snapshot(), "");
        let names = listed(&html);
        assert_eq!(names.len(), 6, "{names:?}");
        assert_eq!(names.first().map(String::as_str), Some("dark.example"), "what is not seen may be anything");
        assert_eq!(names.last().map(String::as_str), Some("new.example"), "what was not probed yet has no verdict");
        assert!(html.contains("6 domains, the worst first") && html.contains("href=\"/metrics\""), "{html}");
        for words in ["not seen", "not protected", "protected", "not probed yet"] {
            assert!(html.contains(&format!("</i>{words}</span>")), "{words} is missing in {html}");
        }
    }

    #[test]
    fn numbers_filter_the_list_and_stay_true_under_other_filters() {
        let snapshot = fixture::snapshot();
        assert_eq!(listed(&at(&snapshot, "state=unprotected")), ["broken.example"]);
        assert_eq!(listed(&at(&snapshot, "state=not-probed")), ["new.example"]);
        let html = at(&snapshot, "q=broken");
        assert!(html.contains("href=\"/?q=broken&amp;state=unprotected\"><b>1</b>not protected"), "{html}");
        assert!(html.contains("1 domain of 6"), "{html}");
        let chosen = at(&snapshot, "state=unprotected&sort=domain");
        assert!(chosen.contains("state=unprotected\" aria-current=\"true\""), "{chosen}");
        assert!(chosen.contains("<input type=\"hidden\" name=\"state\" value=\"unprotected\">"), "{chosen}");
        assert!(chosen.contains("<input type=\"hidden\" name=\"sort\" value=\"domain\">"));
    }

    #[test]
    fn every_filter_leaves_what_fits() {
        let snapshot = fixture::snapshot();
        for (query, expected) in [
            ("mx=mx.broken.example", &["broken.example"][..]),
            ("finding=starttls-not-offered", &["broken.example"]),
            ("severity=info&q=example.com", &["example.com"]),
            ("mode=testing", &["testing.example"]),
            ("mode=none", &["withdrawn.example"]),
            ("group=a+%22b%22%5C%0A%3Ci%3E", &["example.com"]),
            ("q=EXAMPLE.COM", &["example.com"]),
        ] {
            assert_eq!(listed(&at(&snapshot, query)), expected, "{query}");
        }
    }

    #[test]
    fn wrong_parameters_are_said_and_the_page_comes() {
        let html = at(&fixture::snapshot(), "state=odd&sort=luck&mx=a..b&page=x&unknown=1");
        assert_eq!(listed(&html).len(), 6);
        for note in [
            "There is no state &quot;odd&quot;",
            "There is no sort &quot;luck&quot;",
            "There is no mx &quot;a..b&quot;",
        ] {
            assert!(html.contains(note), "{note} is missing in {html}");
        }
        assert!(!html.contains("unknown=1"));
    }

    #[test]
    fn an_empty_list_says_what_to_do() {
        let html = at(&fixture::snapshot(), "q=nobody");
        assert!(html.contains("No domain fits.") && html.contains("Show all 6 domains"), "{html}");
        assert!(!html.contains("<table"));
        let none = at(&Snapshot::default(), "");
        assert!(none.contains("No domain is configured.") && none.contains("/-/reload"), "{none}");
    }

    #[test]
    fn heads_sort_and_say_how() {
        let html = at(&fixture::snapshot(), "sort=certificate");
        assert!(html.contains("aria-sort=\"ascending\"><a href=\"/?sort=-certificate\">Certificate ends"), "{html}");
        assert_eq!(html.matches("aria-sort").count(), 1);
        assert!(at(&fixture::snapshot(), "").contains("aria-sort=\"ascending\"><a href=\"/?sort=-delivery\">"));
        let back = at(&fixture::snapshot(), "sort=-domain");
        assert_eq!(listed(&back).first().map(String::as_str), Some("withdrawn.example"));
    }

    #[test]
    fn what_is_not_known_is_not_called_missing() {
        let snapshot = fixture::snapshot();
        let unseen = at(&snapshot, "q=dark.example");
        let (_, row) = unseen.split_once("<tbody>").unwrap();
        assert_eq!(row.matches("<span class=\"quiet\">not seen</span></td>").count(), 2, "policy and DANE: {row}");
        let unprobed = at(&snapshot, "q=new.example");
        let (_, row) = unprobed.split_once("<tbody>").unwrap();
        assert_eq!(row.matches("<span class=\"hidden\">not probed yet</span>").count(), 3, "{row}");
        for words in ["no policy", "no mail host"] {
            assert!(!unseen.contains(&format!(">{words}</span>")) && !row.contains(words), "{words}");
        }
    }

    #[test]
    fn a_row_tells_the_worst_in_words() {
        let html = at(&fixture::snapshot(), "q=broken");
        assert!(html.contains("<span class=\"hidden\">error: </span>"), "{html}");
        assert!(html.contains("and 3 more"), "accepted ones and notes do not count: {html}");
        let fine = at(&fixture::snapshot(), "q=example.com");
        assert!(fine.contains("enforce</td>") && fine.contains(">60 days</time>"), "{fine}");
    }

    #[test]
    fn what_comes_from_outside_stays_text() {
        let mut snapshot = fixture::snapshot();
        let hostile = "</td><script>alert(1)</script><img src=x onerror=alert(1)>\"'";
        let mut seen = fixture::broken();
        seen.findings = vec![fixture::finding(Code::MxInvalidTarget, Severity::Error, Subject::Mx(hostile.to_owned()))];
        let mut state = (*fixture::domain_state("broken.example", Some(seen))).clone();
        state.group = hostile.to_owned();
        snapshot.put(Arc::new(state));
        let html = at(&snapshot, "q=%3Cscript%3E");
        assert!(html.contains("value=\"&lt;script&gt;\""), "{html}");
        for html in [html, at(&snapshot, "")] {
            assert!(!html.contains("<script") && !html.contains("<img") && !html.contains("</td><script"), "{html}");
        }
        assert!(at(&snapshot, "").contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    }

    #[test]
    fn links_lie_below_the_prefix() {
        let mount = crate::web::Mount::new(None, Some("/mail".parse().unwrap()));
        let html = render(&fixture::snapshot(), "", mount.links(), NOW, "/metrics").into_string();
        for place in ["href=\"", "action=\""] {
            for link in html.split(place).skip(1).filter(|link| !link.starts_with(['#', 'd'])) {
                assert!(link.starts_with("/mail/"), "{link}");
            }
        }
    }

    #[test]
    fn a_page_of_ten_thousand_domains_stays_small() {
        let seen = Arc::new(fixture::broken());
        let mut snapshot = Snapshot::default();
        for number in 0..10_000 {
            let mut state = (*fixture::domain_state(&format!("d{number:05}.example"), None)).clone();
            state.assessment = Some(Arc::clone(&seen));
            snapshot.put(Arc::new(state));
        }
        let html = at(&snapshot, "");
        assert_eq!(listed(&html).len(), 100);
        assert!(html.contains("1 to 100 of 10,000"));
        // The list is sorted whole; what is sent is one page of it.
        assert!(html.len() < 120_000, "{} bytes", html.len());
        let last = at(&snapshot, "page=100&sort=domain");
        assert_eq!(listed(&last).last().map(String::as_str), Some("d09999.example"));
        assert_eq!(listed(&at(&snapshot, "per_page=1000")).len(), 1000);
    }
}
