//! Reports: filed in one transaction. What is looked up and written goes as one JSON array a statement, so that a batch costs a
//! few statements and not some for each report.

mod lookup;
mod reading;
mod trimming;

use std::{collections::BTreeSet, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::{Connection, QueryBuilder, SqliteConnection};

pub(super) use self::trimming::trim_reports;
use super::{SqliteStore, closed};
use crate::{
    facts::Provenance,
    protocol::tls_rpt::TlsReport,
    store::{
        Filing, IncomingReport, IntakeCounters, MovedDay, ReportBatch, StoreError,
        blob::{PackedError, Packer},
        failure::told,
        filing::{DayOf, Filed, Ledger, Mark, Moved, NewRow, shares},
        reports::counter_words,
    },
    terms::{PolicyDomain, Timestamp},
    verdict::{Cell, Measure},
};

/// So many rows go into one statement: far below the number of values that SQLite takes in one.
const ROWS_MOST: usize = 200;

/// The largest number in a statement: what JSON and a sample of Prometheus hold exactly.
const LARGEST_NUMBER: u64 = 1 << 53;

/// A report about one domain as it is packed.
#[derive(Debug, Serialize, Deserialize)]
struct Body {
    report: TlsReport,
    provenance: Provenance,
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
enum Trouble {
    Database(sqlx::Error),
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

impl SqliteStore {
    pub(super) async fn file_all(&self, batch: Arc<ReportBatch>, now: Timestamp) -> Result<Filing, StoreError> {
        let path = self.folder.database();
        let mut writer = self.writer.lock().await;
        let writer = writer.as_mut().ok_or_else(|| closed(&path))?;
        file(writer, batch, now).await.map_err(|trouble| match trouble {
            Trouble::Database(error) => told(&error, &path),
            Trouble::Other(why) => StoreError::Other { path: path.clone(), why },
        })
    }
}

async fn file(writer: &mut SqliteConnection, batch: Arc<ReportBatch>, now: Timestamp) -> Result<Filing, Trouble> {
    let shares = {
        let batch = Arc::clone(&batch);
        tokio::task::spawn_blocking(move || shares(&batch)).await?
    };
    let mut transaction = writer.begin().await?;
    let known = lookup::known(&mut transaction, shares.iter().flatten().flatten()).await?;
    let (filed, rows, moved) = {
        let batch = Arc::clone(&batch);
        // Hashing, comparing and packing are work, and the threads of the runtime have probes to serve.
        let work = move || -> Result<_, Trouble> {
            let mut filed = Ledger::new(known).file(&batch.reports, shares);
            let (rows, moved) = (std::mem::take(&mut filed.rows), std::mem::take(&mut filed.moved));
            let mut packer = Packer::new()?;
            let mut bodies = Vec::with_capacity(rows.len());
            for row in &rows {
                bodies.push(packer.pack(&body(&batch, row.place, row.arrived_at)?)?);
            }
            let mut proofs = Vec::with_capacity(moved.len());
            for one in &moved {
                proofs.push(packer.pack(&body(&batch, one.place, one.arrived_at)?)?);
            }
            let begins: Vec<_> = rows.iter().map(|row| times(&batch, row.place)).collect();
            Ok((filed, (rows, begins, bodies), (moved, proofs)))
        };
        tokio::task::spawn_blocking(work).await??
    };
    insert(&mut transaction, &rows.0, &rows.1, &rows.2).await?;
    for (one, body) in moved.0.iter().zip(&moved.1) {
        change_reporter(&mut transaction, one, body).await?;
    }
    let mut touched = add_labels(&mut transaction, &batch.labels, now).await?;
    for statement in sums(&filed, &intake_of(&batch, &filed), now) {
        run(&mut transaction, statement).await?;
    }
    let counted = filed.domains.iter().filter(|(_, of_domain)| !of_domain.counters.is_empty());
    touched.extend(counted.map(|(domain, _)| domain.clone()));
    let filing = Filing {
        counters: reading::counters(&mut transaction, &touched).await?,
        moved: moved_days(&mut transaction, &filed.moved_days).await?,
        intake: reading::intake(&mut transaction).await?,
        outcomes: filed.outcomes,
        contributions: filed.contributions,
    };
    transaction.commit().await?;
    Ok(filing)
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

fn intake_of(batch: &ReportBatch, filed: &Filed) -> IntakeCounters {
    let mut intake = filed.intake.clone();
    for (reason, count) in &batch.refused {
        let sum = intake.refused.entry(*reason).or_default();
        *sum = sum.saturating_add(*count);
    }
    intake.foreign_policies = batch.foreign_policies;
    intake
}

async fn insert(
    writer: &mut SqliteConnection,
    rows: &[NewRow],
    times: &[[Option<i64>; 2]],
    bodies: &[Vec<u8>],
) -> Result<(), sqlx::Error> {
    let rows: Vec<_> = rows.iter().zip(times).zip(bodies).collect();
    for some in rows.chunks(ROWS_MOST) {
        let mut query = QueryBuilder::new(
            "INSERT INTO reports (domain, key, content, reporter, day, arrived_at, begin_at, end_at, failed, late, body) ",
        );
        query.push_values(some, |mut values, ((row, [begin, end]), body)| {
            values
                .push_bind(row.domain.as_str())
                .push_bind(row.key.0.as_slice())
                .push_bind(row.content.0.as_slice())
                .push_bind(row.reporter.as_str())
                .push_bind(row.day)
                .push_bind(row.arrived_at.unix_milliseconds())
                .push_bind(*begin)
                .push_bind(*end)
                .push_bind(number(row.failed))
                .push_bind(row.late)
                .push_bind(body.as_slice());
        });
        // Without a place in the cache of statements where there are fewer rows: each number is a statement of its own.
        query.build().persistent(some.len() == ROWS_MOST).execute(&mut *writer).await?;
    }
    Ok(())
}

async fn change_reporter(writer: &mut SqliteConnection, moved: &Moved, body: &[u8]) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE reports SET key = ?, reporter = ?, body = ? WHERE id = ?")
        .bind(moved.key.0.as_slice())
        .bind(&moved.reporter)
        .bind(body)
        .bind(moved.id)
        .execute(writer)
        .await?;
    Ok(())
}

/// Notes labels, and counts 0 under each that is new where its reporter is known. The domains of these.
async fn add_labels(
    writer: &mut SqliteConnection,
    labels: &BTreeSet<String>,
    now: Timestamp,
) -> Result<BTreeSet<PolicyDomain>, sqlx::Error> {
    if labels.is_empty() {
        return Ok(BTreeSet::new());
    }
    let new: Vec<String> = sqlx::query_scalar(
        "INSERT INTO reporter_labels (label, since) SELECT value, ? FROM json_each(?) WHERE true \
         ON CONFLICT (label) DO NOTHING RETURNING label",
    )
    .bind(now.unix_milliseconds())
    .bind(json!(labels).to_string())
    .fetch_all(&mut *writer)
    .await?;
    if new.is_empty() {
        return Ok(BTreeSet::new());
    }
    let domains: Vec<String> = sqlx::query_scalar(
        "INSERT INTO report_counters (domain, family, first, second, value, born_at) \
         SELECT DISTINCT days.domain, family.value, days.reporter, '', 0, ? \
         FROM report_days AS days CROSS JOIN json_each('[\"reporter-sessions\", \"reporter-failed\"]') AS family \
         WHERE days.reporter IN (SELECT value FROM json_each(?)) \
         ON CONFLICT (domain, family, first, second) DO NOTHING RETURNING domain",
    )
    .bind(now.unix_milliseconds())
    .bind(json!(new).to_string())
    .fetch_all(writer)
    .await?;
    Ok(domains.iter().filter_map(|domain| PolicyDomain::parse(domain).ok()).collect())
}

/// A statement and its rows, as JSON.
type Statement = (&'static str, Vec<serde_json::Value>);

/// What adds what a batch brought to what is kept. Every number is a sum, so that two writers would not take from each other.
fn sums(filed: &Filed, intake: &IntakeCounters, now: Timestamp) -> Vec<Statement> {
    let mut statements = Vec::new();
    let milliseconds = |time: Option<Timestamp>| time.map(Timestamp::unix_milliseconds);
    // What is less is no insertion: a row that is not there would begin below 0.
    let (less, more): (Vec<_>, Vec<_>) = filed.days.iter().partition(|(_, reports)| **reports < 0);
    let days = |days: Vec<(&DayOf, &i64)>| {
        days.into_iter().map(|((domain, day, reporter), reports)| json!([domain, day, reporter, reports])).collect()
    };
    statements.push((
        "INSERT INTO report_days (domain, day, reporter, reports) \
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?) WHERE true \
         ON CONFLICT (domain, day, reporter) DO UPDATE SET reports = reports + excluded.reports",
        days(more),
    ));
    statements.push((
        "UPDATE report_days SET reports = max(0, reports + (less.value ->> 3)) FROM json_each(?) AS less \
         WHERE domain = less.value ->> 0 AND day = less.value ->> 1 AND reporter = less.value ->> 2",
        days(less),
    ));
    let totals = || filed.totals.iter().flat_map(|(day_of, cells)| cells.iter().map(move |cell| total(day_of, cell)));
    statements.push((
        "INSERT INTO report_totals (domain, day, reporter, policy_type, measure, mx, sessions) \
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6 \
         FROM json_each(?) WHERE true \
         ON CONFLICT (domain, day, reporter, policy_type, measure, mx) DO UPDATE SET sessions = sessions + excluded.sessions",
        totals().filter(|(_, change)| *change > 0).map(|(row, _)| row).collect(),
    ));
    statements.push((
        "UPDATE report_totals SET sessions = max(0, sessions + (less.value ->> 6)) FROM json_each(?) AS less \
         WHERE domain = less.value ->> 0 AND day = less.value ->> 1 AND reporter = less.value ->> 2 \
         AND policy_type = less.value ->> 3 AND measure = less.value ->> 4 AND mx = less.value ->> 5",
        totals().filter(|(_, change)| *change < 0).map(|(row, _)| row).collect(),
    ));
    let policies = filed.policies.iter().flat_map(|((domain, day, reporter), policies)| {
        policies.iter().map(move |policy| json!([domain, day, reporter, policy.cast_signed()]))
    });
    statements.push((
        "INSERT INTO report_policies (domain, day, reporter, policy) \
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?) WHERE true ON CONFLICT DO NOTHING",
        policies.collect(),
    ));
    let domains = filed.domains.iter().map(|(domain, of_domain)| {
        let [unproven, proven] = of_domain.reports;
        let arrived = milliseconds(of_domain.arrived_at);
        json!([domain, now.unix_milliseconds(), arrived, milliseconds(of_domain.end), proven, unproven])
    });
    statements.push((
        "INSERT INTO report_domains (domain, filed_at, last_arrived_at, last_end_at, proven, unproven) \
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5 FROM json_each(?) WHERE true \
         ON CONFLICT (domain) DO UPDATE SET \
         filed_at = max(filed_at, excluded.filed_at), \
         last_arrived_at = coalesce(max(last_arrived_at, excluded.last_arrived_at), last_arrived_at, excluded.last_arrived_at), \
         last_end_at = coalesce(max(last_end_at, excluded.last_end_at), last_end_at, excluded.last_end_at), \
         proven = max(0, proven + excluded.proven), unproven = max(0, unproven + excluded.unproven)",
        domains.collect(),
    ));
    let counters = filed.domains.iter().flat_map(|(domain, of_domain)| {
        of_domain.counters.iter().map(move |(key, value)| {
            let [family, first, second] = counter_words(key);
            json!([domain, family, first, second, number(*value), now.unix_milliseconds()])
        })
    });
    statements.push((
        "INSERT INTO report_counters (domain, family, first, second, value, born_at) \
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5 FROM json_each(?) WHERE true \
         ON CONFLICT (domain, family, first, second) DO UPDATE SET value = value + excluded.value",
        counters.collect(),
    ));
    statements.push((
        "INSERT INTO intake_counters (family, label, value) \
         SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?) WHERE true \
         ON CONFLICT (family, label) DO UPDATE SET value = value + excluded.value",
        intake_rows(intake),
    ));
    statements
}

/// Runs a statement over its rows, if there are any.
async fn run(writer: &mut SqliteConnection, (statement, rows): Statement) -> Result<(), sqlx::Error> {
    if !rows.is_empty() {
        sqlx::query(statement).bind(serde_json::Value::Array(rows).to_string()).execute(writer).await?;
    }
    Ok(())
}

fn total((domain, day, reporter): &DayOf, (cell, change): (&Cell, &i64)) -> (serde_json::Value, i64) {
    let (measure, mx) = match &cell.measure {
        Measure::Sessions => (reading::SESSIONS, ""),
        Measure::Failed => (reading::FAILED, ""),
        Measure::Detail(result_type, mx) => (result_type.as_str(), mx.as_deref().unwrap_or_default()),
    };
    (json!([domain, day, reporter, cell.policy_type.as_str(), measure, mx, change]), *change)
}

fn intake_rows(intake: &IntakeCounters) -> Vec<serde_json::Value> {
    let mut rows = Vec::new();
    let mut row = |family: &str, label: &str, value: u64| {
        if value > 0 {
            rows.push(json!([family, label, number(value)]));
        }
    };
    intake.reports.iter().for_each(|(transport, value)| row(reading::REPORTS, transport.as_str(), *value));
    intake.refused.iter().for_each(|(reason, value)| row(reading::REFUSED, reason.as_str(), *value));
    intake.quirks.iter().for_each(|(quirk, value)| row(reading::QUIRKS, quirk.as_str(), *value));
    row(reading::DUPLICATES, "", intake.duplicates);
    row(reading::LATE, "", intake.late);
    row(reading::FOREIGN_POLICIES, "", intake.foreign_policies);
    rows
}

fn number(value: u64) -> i64 {
    i64::try_from(value.min(LARGEST_NUMBER)).unwrap_or(i64::MAX)
}

async fn moved_days(
    writer: &mut SqliteConnection,
    days: &BTreeSet<(PolicyDomain, i64)>,
) -> Result<Vec<MovedDay>, sqlx::Error> {
    let mut moved = Vec::with_capacity(days.len());
    for (domain, day) in days {
        let names = std::slice::from_ref(domain);
        let mut found = reading::days(writer, names, *day, *day).await?;
        let reporters = found.remove(domain).and_then(|mut days| days.remove(day)).unwrap_or_default();
        moved.push(MovedDay { domain: domain.clone(), day: *day, reporters });
    }
    Ok(moved)
}

/// A column with a mark.
fn mark(row: &sqlx::sqlite::SqliteRow, column: &str) -> Option<Mark> {
    let bytes: &[u8] = sqlx::Row::try_get(row, column).ok()?;
    Mark::from_row(bytes)
}

/// Marks as the array of a statement.
fn marks<'a>(marks: impl Iterator<Item = &'a Mark>) -> String {
    json!(marks.map(|mark| mark.hex()).collect::<BTreeSet<_>>()).to_string()
}
