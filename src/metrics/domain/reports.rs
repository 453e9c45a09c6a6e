//! The rows of a domain that count what reports say. Without a report source they have no sample.

use super::table::{DOMAIN, Source, Source::State as Held, row};
use crate::{
    metrics::{
        registry::{
            Family, Kind,
            Level::{self, Normal, Summary},
            Row, Samples,
        },
        text::Value,
    },
    monitor::DomainState,
    protocol::tls_rpt::PolicyType,
    verdict::CounterKey,
};

const DOMAIN_TYPE: &[&str] = &["domain", "policy_type"];
const DOMAIN_REPORTER: &[&str] = &["domain", "reporter"];

const fn counter(
    level: Level,
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    absent: &'static str,
    samples: fn(&DomainState, &mut Samples<'_>),
) -> Row<Source> {
    Row { family: Family { name, kind: Kind::Counter, level, labels, help, absent }, samples: Held(samples) }
}

/// Every kind of policy, at 0 until it is counted.
fn by_type(state: &DomainState, of: fn(PolicyType) -> CounterKey, out: &mut Samples<'_>) {
    let Some(reports) = &state.reports else { return };
    // With ten thousand domains that nobody reports on, zeros would be most of a summary.
    if out.level() < Normal && reports.last_arrived_at.is_none() && reports.counters.is_empty() {
        return;
    }
    for policy_type in PolicyType::ALL {
        out.put(&[policy_type.as_str()], state.shown.get(&of(policy_type)).copied().unwrap_or(0));
    }
}

fn details(state: &DomainState, out: &mut Samples<'_>) {
    for (key, count) in &state.shown {
        if let CounterKey::Detail(policy_type, result_type) = key {
            out.put(&[policy_type.as_str(), result_type.as_str()], *count);
        }
    }
}

fn by_reporter(state: &DomainState, of: fn(&CounterKey) -> Option<&String>, out: &mut Samples<'_>) {
    for (key, count) in &state.shown {
        if let Some(reporter) = of(key) {
            out.put(&[reporter], *count);
        }
    }
}

/// The table.
pub(super) static ROWS: &[Row<Source>] = &[
    counter(
        Summary,
        "smtptls_tlsrpt_sessions_total",
        DOMAIN_TYPE,
        "Sessions that reports tell of, by kind of policy (sts, tlsa, no-policy-found, other), failed ones among them. Kinds are not to be added up: one session can stand under two.",
        "where no report source is configured; at level S also before the first report about the domain",
        |state, out| by_type(state, CounterKey::Sessions, out),
    ),
    counter(
        Summary,
        "smtptls_tlsrpt_failed_sessions_total",
        DOMAIN_TYPE,
        "Sessions that failed, by the summaries of reports, by kind of policy. Kinds are not to be added up.",
        "where no report source is configured; at level S also before the first report about the domain",
        |state, out| by_type(state, CounterKey::Failed, out),
    ),
    counter(
        Normal,
        "smtptls_tlsrpt_failure_details_total",
        &["domain", "policy_type", "result_type"],
        "Sessions that failed, by the details of reports, with the result type of RFC 8460 section 4.3 or other. They need not sum to smtptls_tlsrpt_failed_sessions_total.",
        "until a report tells of such a failure",
        details,
    ),
    counter(
        Normal,
        "smtptls_tlsrpt_reporter_sessions_total",
        DOMAIN_REPORTER,
        "Sessions by reporter: the configured and the largest verified ones, unverified for what proves nothing, other for the rest. Of a report's kinds of policy the one with the most counts.",
        "until the reporter reports on the domain",
        |state, out| {
            by_reporter(state, |key| if let CounterKey::ReporterSessions(name) = key { Some(name) } else { None }, out);
        },
    ),
    counter(
        Normal,
        "smtptls_tlsrpt_reporter_failed_sessions_total",
        DOMAIN_REPORTER,
        "Sessions that failed by reporter, likewise.",
        "until the reporter reports on the domain",
        |state, out| {
            by_reporter(state, |key| if let CounterKey::ReporterFailed(name) = key { Some(name) } else { None }, out);
        },
    ),
    row(
        Summary,
        "smtptls_tlsrpt_last_report_timestamp_seconds",
        DOMAIN,
        "When the last report about the domain came in.",
        "before the first one",
        Held(|state, out| out.set(state.reports.as_ref().and_then(|reports| reports.last_arrived_at).map(Value::at))),
    ),
    row(
        Normal,
        "smtptls_tlsrpt_last_report_end_timestamp_seconds",
        DOMAIN,
        "The latest end of a time that a report about the domain covers.",
        "before the first one that names its time",
        Held(|state, out| out.set(state.reports.as_ref().and_then(|reports| reports.last_end).map(Value::at))),
    ),
];
