//! What TLS reports say of the domain: sessions by day, what fails, and who reports.

use maud::{Markup, html};

use super::{Shown, parts};
use crate::{
    present::words,
    protocol::tls_rpt::PolicyType,
    terms::Timestamp,
    verdict::{
        DomainReports, HeldVersion, OwnView, ReportedFailure, ReporterDay, ReporterStanding, ReportsAssessment,
        Sessions,
    },
    web::pages::{
        layout,
        plot::{DayBar, Told, sessions},
    },
};

/// So many days stand in the plot.
const DAYS: i64 = 30;
const DAY_SECONDS: i64 = 86_400;
/// Rows of a table on the page; the API has the others.
const ROWS_MOST: usize = 20;

/// The section.
pub(super) fn reports(shown: &Shown<'_>) -> Markup {
    let content = match (&shown.state.reports, shown.state.assessment.as_deref().and_then(|seen| seen.reports.as_ref()))
    {
        (None, _) => html! {
            p {
                "No way for reports to come in is configured (" code { "reports" } "), so what senders meet is not known. Gmail, Outlook and \
                 others send a report a day to the address that the TLSRPT record names."
            }
        },
        (Some(reports), _) if reports.days.is_empty() => html! {
            p { "No report has come in yet. Senders report once a day, and only days on which they had mail for the domain." }
        },
        (Some(reports), None) => by_days(reports, shown.now),
        (Some(reports), Some(said)) => html! {
            (by_days(reports, shown.now))
            (failures(said, shown.now))
            (reporters(said, shown.now))
        },
    };
    let content = html! {
        (content)
        p {
            a href=(shown.site.links.to(&format!("/api/v1/domains/{}/reports", shown.state.domain))) { "The reports one by one (JSON)" }
        }
    };
    parts::section("reports", "What senders report", &content)
}

/// The plot, and its numbers as a table.
fn by_days(reports: &DomainReports, now: Timestamp) -> Markup {
    let days = bars(reports, now);
    let sum = days.iter().filter_map(|day| day.said).fold(Sessions::default(), Sessions::plus);
    let silent = days.iter().filter(|day| day.said.is_none()).count();
    let description = format!(
        "{} sessions in {} days, {} of them failed; no report for {}.",
        sum.sessions,
        days.len(),
        sum.failed,
        words::count(silent, "day")
    );
    let told = Told { id: "sessions-plot", title: "Sessions and failures by day", description: &description };
    html! {
        p {
            "In the last " (days.len()) " days reports tell of " strong { (sum.sessions) } " sessions; "
            strong class=(if sum.failed > 0 { "trouble" } else { "" }) { (sum.failed) } " of them failed."
        }
        (sessions(told, &days))
        p.quiet.small.legend {
            span.key.passed {} " delivered over TLS as asked "
            span.key.failed {} " failed "
            span.key.gap {} " no report "
            span.key.pending {} " may still come"
        }
        details {
            summary { "The numbers as a table" }
            (layout::scroll("Sessions by day", &table(&days, now)))
        }
    }
}

/// The last days, the present one among them.
fn bars(reports: &DomainReports, now: Timestamp) -> Vec<DayBar> {
    let today = now.unix_seconds().div_euclid(DAY_SECONDS);
    (today - DAYS + 1..=today)
        .map(|day| {
            // Each reporter tells of sessions of its own; one of its sessions can stand under two kinds of policy.
            let said = reports
                .days
                .get(&day)
                .map(|by| by.values().map(ReporterDay::most_sessions).fold(Sessions::default(), Sessions::plus));
            DayBar { day, said, complete: day <= complete_until(now) }
        })
        .collect()
}

/// The last day of which all but the latest reporters have spoken: they may take four hours and a day of retries (RFC 8460 §4.1, §5.5).
fn complete_until(now: Timestamp) -> i64 {
    const LAG_SECONDS: i64 = 28 * 3600;
    (now.unix_seconds() - LAG_SECONDS).div_euclid(DAY_SECONDS) - 1
}

fn table(days: &[DayBar], now: Timestamp) -> Markup {
    html! {
        table {
            thead { tr { th scope="col" { "Day" } th.number scope="col" { "Sessions" } th.number scope="col" { "Failed" } } }
            tbody {
                @for day in days.iter().rev() {
                    tr {
                        th scope="row" { (parts::day(day.day, now)) @if !day.complete { " " span.quiet { "(more may come)" } } }
                        @match day.said {
                            None => td.quiet colspan="2" { "no report" },
                            Some(said) => {
                                td.number { (said.sessions) }
                                td.number { (said.failed) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn failures(said: &ReportsAssessment, now: Timestamp) -> Markup {
    html! {
        h3 { "What fails" }
        @if said.failures.is_empty() {
            p { "Nothing, by the reports of the last seven complete days and what has come since." }
        } @else {
            (layout::scroll("Reported failures", &failure_table(&said.failures, now)))
            @if said.failures.len() > ROWS_MOST { p.quiet { "and " (said.failures.len() - ROWS_MOST) " more" } }
        }
    }
}

fn failure_table(failures: &[ReportedFailure], now: Timestamp) -> Markup {
    html! {
        table.rows {
            thead {
                tr {
                    th scope="col" { "What fails" }
                    th scope="col" { "At" }
                    th.number scope="col" { "Sessions" }
                    th scope="col" { "Told by" }
                    th scope="col" { "Days" }
                    th scope="col" { "Seen from here" }
                }
            }
            tbody {
                @for failure in failures.iter().take(ROWS_MOST) {
                    tr {
                        th scope="row" {
                            (failure.result_type.as_str())
                            br;
                            span.quiet.small { (kind(failure.policy_type)) }
                        }
                        td data-label="At" { @match &failure.mx { Some(mx) => (mx), None => { span.quiet { "not told" } } } }
                        td.number data-label="Sessions" { (failure.sessions) }
                        td data-label="Told by" { (words::list(&failure.reporters)) }
                        td data-label="Days" {
                            (parts::day(failure.first_day, now))
                            @if failure.last_day != failure.first_day { " to " (parts::day(failure.last_day, now)) }
                        }
                        td data-label="Seen from here" { (own_view(failure.own)) " " (failure.own_words) }
                    }
                }
            }
        }
    }
}

/// By which promise the session failed.
const fn kind(policy_type: PolicyType) -> &'static str {
    match policy_type {
        PolicyType::Sts => "under MTA-STS",
        PolicyType::Tlsa => "under DANE",
        PolicyType::NoPolicyFound => "without a policy",
        PolicyType::Other => "under a policy of another kind",
    }
}

fn own_view(own: OwnView) -> Markup {
    html! {
        @match own {
            OwnView::Agrees => strong { "Yes." },
            OwnView::Disagrees => strong { "No." },
            OwnView::CannotSee => span.quiet { "Cannot tell." },
        }
    }
}

fn reporters(said: &ReportsAssessment, now: Timestamp) -> Markup {
    if said.reporters.is_empty() {
        return html! {};
    }
    html! {
        h3 { "Who reports" }
        (layout::scroll("Reporters", &reporter_table(&said.reporters, now)))
        @if said.reporters.len() > ROWS_MOST { p.quiet { "and " (said.reporters.len() - ROWS_MOST) " more" } }
    }
}

fn reporter_table(reporters: &[ReporterStanding], now: Timestamp) -> Markup {
    html! {
        table.rows {
            thead {
                tr {
                    th scope="col" { "Reporter" }
                    th scope="col" { "Last day" }
                    th.number scope="col" { "Sessions, 7 days" }
                    th.number scope="col" { "Failed" }
                    th scope="col" { "Policy it holds" }
                }
            }
            tbody {
                @for reporter in reporters.iter().take(ROWS_MOST) {
                    tr {
                        th scope="row" {
                            (reporter.name)
                            @if !reporter.verified { " " span.quiet { "(proves nothing)" } }
                        }
                        td data-label="Last day" {
                            (parts::day(reporter.last_day, now))
                            @if reporter.silent { " " span.trouble { "has stopped" } }
                        }
                        td.number data-label="Sessions, 7 days" { (reporter.sessions.sessions) }
                        td.number data-label="Failed" { (reporter.sessions.failed) }
                        td data-label="Policy it holds" { (version(reporter.policy)) }
                    }
                }
            }
        }
    }
}

const fn version(version: HeldVersion) -> &'static str {
    match version {
        HeldVersion::Present => "the present one",
        HeldVersion::Earlier => "an earlier one; it may not have looked yet",
        HeldVersion::Old => "an old one, longer than a daily look explains",
        HeldVersion::Unknown => "not told",
    }
}
