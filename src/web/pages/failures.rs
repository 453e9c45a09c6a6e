//! `/failures`: what TLS reports say fails, over all domains, with what this monitor sees beside it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use maud::{Markup, html};

use super::{
    bars::{Bar, plot},
    cells,
    layout::{Nav, page, record, scroll, time},
    query::Query,
    table::{Column, Order, choice, grouped, heads, kept, notes, pages, search},
};
use crate::{
    monitor::{DomainState, Snapshot, Summary},
    present::words,
    protocol::tls_rpt::ResultType,
    terms::Timestamp,
    verdict::{OwnView, ReportedFailure, ReportsAssessment, reports::advice},
    web::links::Links,
};

const NAMES: &[&str] = &["q", "type", "reporter", "own", "sort", "page", "per_page"];

const DAY_SECONDS: i64 = 86_400;
/// So many reporters and mail hosts are listed, those with the most failures first; strangers could be thousands.
const SHOWN: usize = 50;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Domain,
    Type,
    Host,
    Sessions,
    Since,
    Last,
    Own,
}

const COLUMNS: [Column<Key>; 7] = [
    Column::new(Key::Domain, "domain", "Domain"),
    Column::new(Key::Type, "type", "What fails"),
    Column::new(Key::Host, "host", "Mail host"),
    Column::new(Key::Sessions, "sessions", "Sessions").number().largest_first(),
    Column::new(Key::Since, "since", "Since").largest_first(),
    Column::new(Key::Last, "last", "Last").largest_first(),
    Column::new(Key::Own, "own", "Seen from here"),
];

/// A failure of a domain.
#[derive(Clone, Copy)]
struct Row<'a> {
    state: &'a DomainState,
    failure: &'a ReportedFailure,
}

/// The page.
pub(in crate::web) fn render(snapshot: &Snapshot, text: &str, links: &Links, now: Timestamp) -> Markup {
    let states = opened(snapshot);
    let content = html! {
        h1 { "Reported failures" }
        p {
            "What senders say in their TLS reports (RFC 8460) about the last seven complete days, and what has come in since. Sessions are \
             tries to deliver."
        }
        @match () {
            () if snapshot.intake.is_none() => (no_source(snapshot)),
            () if states.is_empty() => (nothing_yet(snapshot)),
            () => (failures(snapshot, &states, text, links, now)),
        }
    };
    page("Reported failures", links, now, Nav::Failures, &content)
}

/// The domains with what reports say of them.
fn reported(states: &[Arc<DomainState>]) -> impl Iterator<Item = (&DomainState, &ReportsAssessment)> {
    states.iter().filter_map(|state| {
        let seen = state.assessment.as_deref()?;
        Some((state.as_ref(), seen.reports.as_ref()?))
    })
}

/// So many domains are opened and judged anew for the page, those with failures first: about a second's work. Each has had reports, and
/// most domains of a large fleet never do.
const OPENED_MOST: usize = 5_000;

/// The domains that had reports, by name.
fn opened(snapshot: &Snapshot) -> Vec<Arc<DomainState>> {
    let seen = snapshot.domains.iter().filter_map(|known| Some((known.summary.as_ref()?.reported, known)));
    let mut all: Vec<_> = seen.filter(|(reported, _)| reported.arrived).collect();
    all.sort_unstable_by(|(one, known), (other, beside)| {
        other.failing.cmp(&one.failing).then_with(|| known.domain().cmp(beside.domain()))
    });
    all.truncate(OPENED_MOST);
    all.sort_unstable_by(|(_, known), (_, beside)| known.domain().cmp(beside.domain()));
    all.into_iter().map(|(_, known)| snapshot.open(known)).collect()
}

/// How many domains are such by what lies open of them.
fn count(snapshot: &Snapshot, fits: impl Fn(&Summary) -> bool) -> usize {
    snapshot.domains.iter().filter_map(|known| known.summary.as_ref()).filter(|seen| fits(seen)).count()
}

/// How many domains ask senders for reports.
fn asking(snapshot: &Snapshot) -> usize {
    count(snapshot, |seen| seen.asks_for_reports)
}

fn no_source(snapshot: &Snapshot) -> Markup {
    html! {
        div.banner.plain {
            p { strong { "No source of reports is configured" } ", so nothing is known of what senders met." }
            p {
                (grouped(asking(snapshot))) " of " (grouped(snapshot.domains.len()))
                " configured domains ask for reports in their _smtp._tls record. Tell this monitor where they arrive, for example:"
            }
            (record("reports: {maildir: [/var/mail/tlsrpt]}"))
            p { "A mailbox by IMAP and posts by HTTPS work as well." }
        }
    }
}

fn nothing_yet(snapshot: &Snapshot) -> Markup {
    html! {
        div.banner.plain {
            p { strong { "No report has come in yet." } " Large senders send one a day, and only to domains that they mailed." }
            p {
                (grouped(asking(snapshot))) " of " (grouped(snapshot.domains.len()))
                " configured domains ask for reports in their _smtp._tls record."
            }
        }
    }
}

fn failures(snapshot: &Snapshot, states: &[Arc<DomainState>], text: &str, links: &Links, now: Timestamp) -> Markup {
    let mut query = Query::read(text, NAMES);
    let order = query.choose("sort", |text| Order::read(text, &COLUMNS));
    let result_type = query.choose("type", |text| ResultType::ALL.into_iter().find(|known| known.as_str() == text));
    let own = query.choose("own", |text| OWN.into_iter().find(|(own, _)| own.as_str() == text).map(|(own, _)| own));
    let needle = query.get("q").to_lowercase();
    let reporter = query.get("reporter").to_owned();
    let all: Vec<Row<'_>> = reported(states)
        .flat_map(|(state, reports)| reports.failures.iter().map(move |failure| Row { state, failure }))
        .collect();
    let mut rows: Vec<Row<'_>> = all
        .iter()
        .copied()
        .filter(|row| result_type.is_none_or(|wanted| row.failure.result_type == wanted))
        .filter(|row| own.is_none_or(|wanted| row.failure.own == wanted))
        .filter(|row| reporter.is_empty() || row.failure.reporters.contains(&reporter))
        .filter(|row| {
            let host = row.failure.mx.as_deref().unwrap_or_default();
            row.state.domain.as_str().contains(&needle) || host.to_lowercase().contains(&needle)
        })
        .collect();
    sort(&mut rows, order);
    let cut = query.cut(rows.len());
    let path = links.to("/failures");
    let speaking = count(snapshot, |seen| seen.reported.speaking);
    let failing = count(snapshot, |seen| seen.reported.failing);
    let arrived = count(snapshot, |seen| seen.reported.arrived);
    html! {
        p {
            "Reports speak of " (grouped(speaking)) " of " (grouped(snapshot.domains.len())) " domains; "
            @if failing == 0 { "none of them tells of a failure." } @else { (grouped(failing)) " of them have failures." }
        }
        @if states.len() < arrived {
            p.quiet { "Below stand " (grouped(states.len())) " of the " (grouped(arrived)) " domains that had reports, those with failures first." }
        }
        (notes(&query))
        @if !all.is_empty() {
            (plot("Failed sessions by result type", &by_type(&all)))
            form.filters method="get" action=(path) role="search" {
                (search("q", "Domain or mail host contains", query.get("q")))
                (choice("type", "What fails", "anything", &types(&all), query.get("type")))
                (choice("reporter", "Reporter", "anybody", &reporters_of(&all), query.get("reporter")))
                (choice("own", "Seen from here", "either way", &OWN.map(|(own, words)| (own.as_str().to_owned(), words.to_owned())), query.get("own")))
                (kept(&query, &["sort", "per_page"]))
                div { button type="submit" { "Show" } }
                @if query.has(&["q", "type", "reporter", "own"]) { div { a.button href=(path) { "Show all" } } }
            }
            @if rows.is_empty() {
                div.banner.plain { p { "No failure fits. " a href=(path) { "Show all failures" } } }
            } @else {
                (scroll("Failures", &html! {
                    table.rows {
                        caption { (grouped(rows.len())) @if rows.len() == 1 { " failure" } @else { " failures" } }
                        (heads(&path, &query, &COLUMNS, order))
                        tbody { @for row in cut.of(&rows) { (line(*row, links, now)) } }
                    }
                }))
                (pages(&path, &query, cut))
            }
            (by_host(&all, snapshot, links))
        }
        (by_reporter(states, now))
    }
}

/// Whether this monitor sees the same, in words.
const OWN: [(OwnView, &str); 3] =
    [(OwnView::Agrees, "the same"), (OwnView::Disagrees, "not so"), (OwnView::CannotSee, "cannot be told")];

/// Most sessions first where nothing else is asked for.
fn sort(rows: &mut [Row<'_>], order: Option<Order<Key>>) {
    match order {
        None => rows.sort_by_key(|row| std::cmp::Reverse(row.failure.sessions)),
        Some(order) => rows.sort_by(|one, other| {
            let (a, b) = (one.failure, other.failure);
            order.of(match order.column.key {
                Key::Domain => one.state.domain.cmp(&other.state.domain),
                Key::Type => a.result_type.as_str().cmp(b.result_type.as_str()),
                Key::Host => a.mx.is_none().cmp(&b.mx.is_none()).then_with(|| a.mx.cmp(&b.mx)),
                Key::Sessions => a.sessions.cmp(&b.sessions),
                Key::Since => a.first_day.cmp(&b.first_day),
                Key::Last => a.last_day.cmp(&b.last_day),
                Key::Own => a.own.cmp(&b.own),
            })
        }),
    }
}

fn line(Row { state, failure }: Row<'_>, links: &Links, now: Timestamp) -> Markup {
    html! {
        tr {
            th scope="row" { a href=(links.domain(&state.domain)) { (state.domain) } }
            td data-label="What fails" {
                code { (failure.result_type.as_str()) }
                details { summary.quiet { "meaning" } p { (advice(failure.result_type, failure.policy_type).meaning) } }
            }
            td data-label="Mail host" { @match &failure.mx { Some(host) => (host), None => (cells::nothing("not told")) } }
            td.number data-label="Sessions" { (grouped(failure.sessions)) }
            td.nowrap data-label="Since" { (day(failure.first_day, now)) }
            td.nowrap data-label="Last" { (day(failure.last_day, now)) }
            td data-label="Seen from here" {
                span.trouble[failure.own == OwnView::Agrees] { (failure.own_words) }
                br; span.quiet { "told by " (failure.reporters.join(", ")) }
            }
        }
    }
}

/// A day since 1970.
fn day(day: i64, now: Timestamp) -> Markup {
    let at = Timestamp::from_unix_seconds(day.saturating_mul(DAY_SECONDS));
    time(at, &words::date(at, now))
}

/// Sessions by result type. A session can stand under two kinds of policy, so that kinds are not added up: the larger one counts.
fn by_type(all: &[Row<'_>]) -> Vec<Bar> {
    let mut kinds: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for Row { failure, .. } in all {
        let sum = kinds.entry((failure.result_type.as_str(), failure.policy_type.as_str())).or_default();
        *sum = sum.saturating_add(failure.sessions);
    }
    let mut types: BTreeMap<&str, u64> = BTreeMap::new();
    for ((result_type, _), sessions) in kinds {
        let most = types.entry(result_type).or_default();
        *most = sessions.max(*most);
    }
    let mut bars: Vec<Bar> =
        types.into_iter().map(|(name, value)| Bar { name: name.to_owned(), value, bad: true }).collect();
    bars.sort_by_key(|bar| std::cmp::Reverse(bar.value));
    bars
}

fn types(all: &[Row<'_>]) -> Vec<(String, String)> {
    let types: BTreeSet<&str> = all.iter().map(|row| row.failure.result_type.as_str()).collect();
    types.into_iter().map(|word| (word.to_owned(), word.to_owned())).collect()
}

fn reporters_of(all: &[Row<'_>]) -> Vec<(String, String)> {
    let names: BTreeSet<&String> = all.iter().flat_map(|row| &row.failure.reporters).collect();
    names.into_iter().take(SHOWN).map(|name| (name.clone(), name.clone())).collect()
}

/// The mail hosts at which sessions fail.
fn by_host(all: &[Row<'_>], snapshot: &Snapshot, links: &Links) -> Markup {
    struct Host<'a> {
        sessions: u64,
        domains: BTreeSet<&'a str>,
        agrees: bool,
    }
    let mut hosts: BTreeMap<&str, Host<'_>> = BTreeMap::new();
    for Row { state, failure } in all {
        let Some(name) = failure.mx.as_deref() else { continue };
        let host = hosts.entry(name).or_insert(Host { sessions: 0, domains: BTreeSet::new(), agrees: false });
        host.sessions = host.sessions.saturating_add(failure.sessions);
        host.domains.insert(state.domain.as_str());
        host.agrees |= failure.own == OwnView::Agrees;
    }
    let mut hosts: Vec<_> = hosts.into_iter().collect();
    hosts.sort_by_key(|(_, host)| std::cmp::Reverse(host.sessions));
    html! {
        @if !hosts.is_empty() {
            h2 #hosts { "By mail host" }
            (scroll("Failures by mail host", &html! {
                table.rows {
                    @if hosts.len() > SHOWN { caption { "The first " (SHOWN) " of " (grouped(hosts.len())) } }
                    thead { tr { @for name in ["Mail host", "Failed sessions", "Domains", "Seen from here"] { th scope="col" { (name) } } } }
                    tbody {
                        @for (name, host) in hosts.iter().take(SHOWN) {
                            tr {
                                th scope="row" {
                                    // A reporter may name any host, also one that no domain of ours uses.
                                    @match snapshot.hosts.get(name) {
                                        Some(known) => a href=(links.host(&known.state.host)) { (name) },
                                        None => { (name) " " span.quiet { "(no mail host of ours now)" } },
                                    }
                                }
                                td.number data-label="Failed sessions" { (grouped(host.sessions)) }
                                td.number data-label="Domains" { (grouped(host.domains.len())) }
                                td data-label="Seen from here" { @if host.agrees { span.trouble { "the same" } } @else { "not so, or cannot be told" } }
                            }
                        }
                    }
                }
            }))
        }
    }
}

/// Who reports, over all domains.
fn by_reporter(states: &[Arc<DomainState>], now: Timestamp) -> Markup {
    #[derive(Default)]
    struct Reporter {
        verified: bool,
        domains: usize,
        silent: usize,
        sessions: u64,
        failed: u64,
        last_day: Option<i64>,
    }
    let mut reporters: BTreeMap<&str, Reporter> = BTreeMap::new();
    for standing in reported(states).flat_map(|(_, reports)| &reports.reporters) {
        let reporter = reporters.entry(&standing.name).or_default();
        reporter.verified |= standing.verified;
        reporter.domains += 1;
        reporter.silent += usize::from(standing.silent);
        reporter.sessions = reporter.sessions.saturating_add(standing.sessions.sessions);
        reporter.failed = reporter.failed.saturating_add(standing.sessions.failed);
        reporter.last_day = reporter.last_day.max(Some(standing.last_day));
    }
    let mut reporters: Vec<_> = reporters.into_iter().collect();
    reporters.sort_by_key(|(_, reporter)| std::cmp::Reverse((reporter.failed, reporter.sessions)));
    html! {
        @if !reporters.is_empty() {
            h2 #reporters { "By reporter" }
            (scroll("Reporters", &html! {
                table.rows {
                    @if reporters.len() > SHOWN { caption { "The first " (SHOWN) " of " (grouped(reporters.len())) } }
                    thead {
                        tr {
                            @for name in ["Reporter", "Domains", "Sessions", "Failed", "Last day", "Fell silent"] { th scope="col" { (name) } }
                        }
                    }
                    tbody {
                        @for (name, reporter) in reporters.iter().take(SHOWN) {
                            tr {
                                th scope="row" { (name) @if !reporter.verified { " " span.quiet { "(proves nothing)" } } }
                                td.number data-label="Domains" { (grouped(reporter.domains)) }
                                td.number data-label="Sessions" { (grouped(reporter.sessions)) }
                                td.number data-label="Failed" { span.trouble[reporter.failed > 0] { (grouped(reporter.failed)) } }
                                td data-label="Last day" { @if let Some(last) = reporter.last_day { (day(last, now)) } }
                                td data-label="Fell silent" {
                                    @match reporter.silent {
                                        0 => (cells::nothing("no")),
                                        silent => { "for " (grouped(silent)) @if silent == 1 { " domain" } @else { " domains" } }
                                    }
                                }
                            }
                        }
                    }
                }
            }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        metrics::fixture::{self, NOW},
        protocol::tls_rpt::PolicyType,
        verdict::{Assessment, HeldVersion, ReporterStanding, Sessions},
    };

    fn at(snapshot: &Snapshot, query: &str) -> String {
        render(snapshot, query, &Links::default(), NOW).into_string()
    }

    fn failure(
        result_type: ResultType,
        policy_type: PolicyType,
        mx: Option<&str>,
        sessions: u64,
        own: OwnView,
    ) -> ReportedFailure {
        ReportedFailure {
            policy_type,
            result_type,
            mx: mx.map(str::to_owned),
            sessions,
            reporters: vec!["google.com".to_owned()],
            first_day: 20_776,
            last_day: 20_780,
            own,
            own_words: "Nothing of it is seen from here.".to_owned(),
        }
    }

    fn world(failures: Vec<ReportedFailure>) -> Snapshot {
        let standing = ReporterStanding {
            name: "google.com".to_owned(),
            verified: true,
            last_day: 20_780,
            sessions: Sessions { sessions: 1200, failed: 40 },
            regular: true,
            silent: false,
            policy: HeldVersion::Present,
        };
        let reports = ReportsAssessment {
            last_arrived_at: Some(NOW),
            last_end: Some(NOW),
            complete_until: 20_779,
            complete_days: 7,
            sessions: Vec::new(),
            failures,
            reporters: vec![standing],
            new_failures: Vec::new(),
        };
        let mut snapshot = fixture::snapshot();
        let seen = Assessment { reports: Some(reports), ..fixture::healthy() };
        snapshot.put(fixture::domain_state("example.com", Some(seen)));
        snapshot
    }

    #[test]
    fn no_source_no_report_and_no_failure_are_three_things() {
        let none = Snapshot { intake: None, ..fixture::snapshot() };
        let html = at(&none, "");
        assert!(html.contains("No source of reports is configured") && html.contains("maildir"), "{html}");
        let mut quiet = fixture::snapshot();
        quiet.intake = Some(Arc::default());
        assert!(at(&quiet, "").contains("No report has come in yet."));
        let good = at(&world(Vec::new()), "");
        assert!(good.contains("none of them tells of a failure") && good.contains("google.com"), "{good}");
    }

    #[test]
    fn a_failure_stands_beside_the_own_view() {
        let expired =
            failure(ResultType::CertificateExpired, PolicyType::Sts, Some("mx1.example.com"), 40, OwnView::Disagrees);
        let fetch = failure(ResultType::StsPolicyFetchError, PolicyType::Sts, None, 900, OwnView::Agrees);
        let snapshot = world(vec![expired, fetch]);
        let html = at(&snapshot, "");
        for part in ["certificate-expired", "Nothing of it", "the same", "1,200", "href=\"/hosts/mx1.example.com\""] {
            assert!(html.contains(part) || html.replace("</span>", "").contains(part), "{part} is missing in {html}");
        }
        let first = |query: &str| {
            let html = at(&snapshot, query);
            html.split("data-label=\"What fails\"><code>").nth(1).map(|rest| rest.split('<').next().unwrap().to_owned())
        };
        assert_eq!(first("").as_deref(), Some("sts-policy-fetch-error"), "most sessions first");
        assert_eq!(first("sort=-sessions").as_deref(), Some("certificate-expired"));
        assert_eq!(first("own=disagrees").as_deref(), Some("certificate-expired"));
        assert_eq!(first("q=mx1").as_deref(), Some("certificate-expired"));
        assert_eq!(first("reporter=yahoo.com"), None);
    }

    #[test]
    fn a_session_under_two_kinds_of_policy_is_counted_once() {
        let one = |policy_type, sessions| {
            failure(ResultType::CertificateExpired, policy_type, None, sessions, OwnView::Agrees)
        };
        let snapshot = world(vec![one(PolicyType::Sts, 40), one(PolicyType::Tlsa, 30)]);
        let states = opened(&snapshot);
        let rows: Vec<Row<'_>> = reported(&states)
            .flat_map(|(state, reports)| reports.failures.iter().map(move |failure| Row { state, failure }))
            .collect();
        assert_eq!(by_type(&rows).iter().map(|bar| bar.value).collect::<Vec<_>>(), [40]);
    }

    #[test]
    fn what_reporters_write_stays_text() {
        let mut hostile = failure(ResultType::Other, PolicyType::Other, Some("<b>\"mx"), 1, OwnView::CannotSee);
        hostile.reporters = vec!["<script>alert(1)</script>".to_owned()];
        hostile.own_words = "<i>is none of the present mail hosts.".to_owned();
        let html = at(&world(vec![hostile]), "reporter=%3Cscript%3E");
        assert!(!html.contains("<script") && !html.contains("<b>\"mx") && !html.contains("<i>is"), "{html}");
        assert!(html.contains("&lt;script&gt;alert(1)"));
    }
}
