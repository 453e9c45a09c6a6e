//! The families of the exporter itself that count the intake of reports. Every value of a label is there from the start, at 0.

use super::{
    own::{Source, View, row},
    registry::{Kind::Counter, Level::Normal, Row, Samples},
};
use crate::{
    facts::Transport,
    protocol::tls_rpt::{Quirk, RefusalReason},
    store::IntakeCounters,
};

const NO_SOURCE: &str = "where no report source is configured";

fn counted<'a>(view: &View<'a>) -> Option<&'a IntakeCounters> {
    view.seen.and_then(|seen| seen.intake)
}

fn single(view: &View<'_>, of: fn(&IntakeCounters) -> u64, out: &mut Samples<'_>) {
    out.set(counted(view).map(of));
}

/// The table.
pub(super) static ROWS: &[Row<Source>] = &[
    row(
        Normal,
        Counter,
        "smtptls_tlsrpt_reports_total",
        &["transport"],
        "Reports that were taken, by the way in (https, mail, file), duplicates not among them.",
        NO_SOURCE,
        |view, out| {
            for (intake, transport) in
                counted(view).into_iter().flat_map(|intake| Transport::ALL.map(|one| (intake, one)))
            {
                out.put(&[transport.as_str()], intake.reports.get(&transport).copied().unwrap_or(0));
            }
        },
    ),
    row(
        Normal,
        Counter,
        "smtptls_tlsrpt_reports_rejected_total",
        &["reason"],
        "What was not taken as a report, by reason (too-large, bad-encoding, bad-json, unknown-domain, unauthenticated, rate-limited).",
        NO_SOURCE,
        |view, out| {
            for (intake, reason) in
                counted(view).into_iter().flat_map(|intake| RefusalReason::ALL.map(|one| (intake, one)))
            {
                out.put(&[reason.as_str()], intake.refused.get(&reason).copied().unwrap_or(0));
            }
        },
    ),
    row(
        Normal,
        Counter,
        "smtptls_tlsrpt_foreign_policies_total",
        &[],
        "Policies about domains that are not configured, in reports that were taken for others.",
        NO_SOURCE,
        |view, out| single(view, |intake| intake.foreign_policies, out),
    ),
    row(
        Normal,
        Counter,
        "smtptls_tlsrpt_reports_duplicate_total",
        &[],
        "Reports that were there already, by whatever way they came.",
        NO_SOURCE,
        |view, out| single(view, |intake| intake.duplicates, out),
    ),
    row(
        Normal,
        Counter,
        "smtptls_tlsrpt_reports_late_total",
        &[],
        "Reports whose day ended more than 72 hours before they came: they are stored, and in no counter of sessions.",
        NO_SOURCE,
        |view, out| single(view, |intake| intake.late, out),
    ),
    row(
        Normal,
        Counter,
        "smtptls_tlsrpt_report_quirks_total",
        &["quirk"],
        "Reports that depart from RFC 8460 and were taken all the same, once for each departure.",
        NO_SOURCE,
        |view, out| {
            for (intake, quirk) in
                counted(view).into_iter().flat_map(|intake| Quirk::ALL.iter().map(move |one| (intake, *one)))
            {
                out.put(&[quirk.as_str()], intake.quirks.get(&quirk).copied().unwrap_or(0));
            }
        },
    ),
];
