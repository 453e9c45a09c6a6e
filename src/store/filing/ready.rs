//! A batch that is judged, packed and ready to be written: what every database gets.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{DayOf, Filed, Known, Ledger, Moved, NewRow, Share};
use crate::{
    facts::Provenance,
    protocol::tls_rpt::TlsReport,
    store::{
        IncomingReport, IntakeCounters, PackedError, ReportBatch,
        blob::Packer,
        reports::{counter_words, intake_words, measure_words},
    },
    terms::Timestamp,
    verdict::Cell,
};

/// The largest number in a statement: what JSON and a sample of Prometheus hold exactly.
const LARGEST_NUMBER: u64 = 1 << 53;

/// A report about one domain as it is packed.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::store) struct Body {
    pub(in crate::store) report: TlsReport,
    pub(in crate::store) provenance: Provenance,
}

impl Body {
    /// Of a share that came in first at `arrived_at`.
    fn of(batch: &ReportBatch, (report, share): (usize, usize), arrived_at: Timestamp) -> Option<Self> {
        let IncomingReport { report, provenance, shares, .. } = batch.reports.get(report)?;
        let provenance = Provenance { arrived_at, ..provenance.clone() };
        let report = TlsReport {
            organization: report.organization.clone(),
            contact: report.contact.clone(),
            report_id: report.report_id.clone(),
            begin: report.begin,
            end: report.end,
            policies: shares.get(share)?.1.clone(),
            quirks: report.quirks.clone(),
        };
        Some(Self { report, provenance })
    }
}

/// Why a batch is not filed.
pub(in crate::store) enum Trouble {
    /// The database does not do it.
    Database(sqlx::Error),
    /// It cannot be made ready.
    Other(String),
}

impl From<sqlx::Error> for Trouble {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<PackedError> for Trouble {
    fn from(error: PackedError) -> Self {
        Self::Other(error.to_string())
    }
}

impl From<tokio::task::JoinError> for Trouble {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::Other(error.to_string())
    }
}

/// A row to be added.
pub(in crate::store) struct ReadyRow {
    pub(in crate::store) row: NewRow,
    /// Of the time that it tells of, in milliseconds since 1970.
    pub(in crate::store) begin: Option<i64>,
    pub(in crate::store) end: Option<i64>,
    pub(in crate::store) body: Vec<u8>,
}

impl ReadyRow {
    /// As the column holds it.
    pub(in crate::store) fn failed(&self) -> i64 {
        number(self.row.failed)
    }
}

/// What a batch does, ready to be written.
pub(in crate::store) struct Ready {
    /// Without its rows.
    pub(in crate::store) filed: Filed,
    pub(in crate::store) rows: Vec<ReadyRow>,
    /// Rows that go over to a reporter, each with its new body.
    pub(in crate::store) moved: Vec<(Moved, Vec<u8>)>,
}

/// Judges a batch against what is kept, and packs what is to be written. It is work: hashing, comparing, packing.
pub(in crate::store) fn ready(
    batch: &ReportBatch,
    known: Known,
    shares: Vec<Option<Vec<Share>>>,
) -> Result<Ready, Trouble> {
    let mut filed = Ledger::new(known).file(&batch.reports, shares);
    let mut packer = Packer::new()?;
    let mut rows = Vec::with_capacity(filed.rows.len());
    for row in std::mem::take(&mut filed.rows) {
        let body = packer.pack(&body(batch, row.place, row.arrived_at)?)?;
        let [begin, end] = times(batch, row.place);
        rows.push(ReadyRow { row, begin, end, body });
    }
    let mut moved = Vec::with_capacity(filed.moved.len());
    for one in std::mem::take(&mut filed.moved) {
        let body = packer.pack(&body(batch, one.place, one.arrived_at)?)?;
        moved.push((one, body));
    }
    Ok(Ready { filed, rows, moved })
}

fn body(batch: &ReportBatch, place: (usize, usize), arrived_at: Timestamp) -> Result<Body, Trouble> {
    Body::of(batch, place, arrived_at)
        .ok_or_else(|| Trouble::Other(format!("no report stands at {place:?} of the batch")))
}

fn times(batch: &ReportBatch, (report, _): (usize, usize)) -> [Option<i64>; 2] {
    let report = batch.reports.get(report).map(|incoming| &incoming.report);
    let milliseconds = |time: Option<Timestamp>| time.map(Timestamp::unix_milliseconds);
    [milliseconds(report.and_then(|report| report.begin)), milliseconds(report.and_then(|report| report.end))]
}

/// What adds what a batch brought to what is kept, as the rows of JSON arrays. Every number is a sum, so that two writers would not
/// take from each other.
pub(in crate::store) struct Sums {
    /// Domain, day, reporter, how many reports more.
    pub(in crate::store) more_days: Vec<Value>,
    /// The same where they are fewer. What is less is no insertion: a row that is not there would begin below 0.
    pub(in crate::store) fewer_days: Vec<Value>,
    /// Domain, day, reporter, kind of policy, measure, host, how many sessions more.
    pub(in crate::store) more_totals: Vec<Value>,
    /// The same where they are fewer.
    pub(in crate::store) fewer_totals: Vec<Value>,
    /// Domain, day, reporter, print of the policy.
    pub(in crate::store) policies: Vec<Value>,
    /// Domain, time of filing, last arrival, end of the last one, proven reports more, unproven reports more.
    pub(in crate::store) domains: Vec<Value>,
    /// Domain, family, first word, second word, how much more, since when where it is new.
    pub(in crate::store) counters: Vec<Value>,
    /// Family, label, how much more.
    pub(in crate::store) intake: Vec<Value>,
}

impl Sums {
    pub(in crate::store) fn of(batch: &ReportBatch, filed: &Filed, now: Timestamp) -> Self {
        let milliseconds = |time: Option<Timestamp>| time.map(Timestamp::unix_milliseconds);
        let (less, more): (Vec<_>, Vec<_>) = filed.days.iter().partition(|(_, reports)| **reports < 0);
        let days = |days: Vec<(&DayOf, &i64)>| {
            days.into_iter().map(|((domain, day, reporter), reports)| json!([domain, day, reporter, reports])).collect()
        };
        let cells = filed.totals.iter().flat_map(|(day_of, cells)| cells.iter().map(move |cell| (day_of, cell)));
        let (more_cells, less_cells): (Vec<_>, Vec<_>) =
            cells.filter(|(_, (_, change))| **change != 0).partition(|(_, (_, change))| **change > 0);
        let totals = |cells: Vec<(&DayOf, (&Cell, &i64))>| {
            cells.into_iter().map(|(day_of, (cell, change))| total(day_of, cell, *change)).collect()
        };
        let policies = filed.policies.iter().flat_map(|((domain, day, reporter), policies)| {
            policies.iter().map(move |policy| json!([domain, day, reporter, policy.cast_signed()]))
        });
        let domains = filed.domains.iter().map(|(domain, of_domain)| {
            let [unproven, proven] = of_domain.reports;
            let arrived = milliseconds(of_domain.arrived_at);
            json!([domain, now.unix_milliseconds(), arrived, milliseconds(of_domain.end), proven, unproven])
        });
        let counters = filed.domains.iter().flat_map(|(domain, of_domain)| {
            of_domain.counters.iter().map(move |(key, value)| {
                let [family, first, second] = counter_words(key);
                json!([domain, family, first, second, number(*value), now.unix_milliseconds()])
            })
        });
        let intake = intake_words(&intake_of(batch, filed));
        let intake = intake.into_iter().filter(|(.., value)| *value > 0);
        Self {
            more_days: days(more),
            fewer_days: days(less),
            more_totals: totals(more_cells),
            fewer_totals: totals(less_cells),
            policies: policies.collect(),
            domains: domains.collect(),
            counters: counters.collect(),
            intake: intake.map(|(family, label, value)| json!([family, label, number(value)])).collect(),
        }
    }
}

fn intake_of(batch: &ReportBatch, filed: &Filed) -> IntakeCounters {
    let mut intake = filed.intake.clone();
    for (reason, count) in &batch.refused {
        let sum = intake.refused.entry(*reason).or_default();
        *sum = sum.saturating_add(*count);
    }
    intake.foreign_policies = batch.foreign_policies;
    intake
}

fn total((domain, day, reporter): &DayOf, cell: &Cell, change: i64) -> Value {
    let [measure, mx] = measure_words(&cell.measure);
    json!([domain, day, reporter, cell.policy_type.as_str(), measure, mx, change])
}

fn number(value: u64) -> i64 {
    i64::try_from(value.min(LARGEST_NUMBER)).unwrap_or(i64::MAX)
}
