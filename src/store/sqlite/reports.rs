//! Reports: filed in one transaction. What is looked up and written goes as one JSON array a statement, so that a batch costs a
//! few statements and not some for each report.

mod lookup;
mod reading;
mod trimming;

use std::{collections::BTreeSet, sync::Arc};

use serde_json::json;
use sqlx::{Connection, QueryBuilder, SqliteConnection};

pub(super) use self::trimming::trim_reports;
use super::{SqliteStore, closed};
use crate::{
    store::{
        Filing, MovedDay, ReportBatch, StoreError,
        failure::told,
        filing::{Body, Mark, Moved, Ready, ReadyRow, Sums, Trouble, ready, shares},
    },
    terms::{PolicyDomain, Timestamp},
};

/// So many rows go into one statement: far below the number of values that SQLite takes in one.
const ROWS_MOST: usize = 200;

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
    let Ready { filed, rows, moved } = {
        let batch = Arc::clone(&batch);
        // The threads of the runtime have probes to serve.
        tokio::task::spawn_blocking(move || ready(&batch, known, shares)).await??
    };
    insert(&mut transaction, &rows).await?;
    for (one, body) in &moved {
        change_reporter(&mut transaction, one, body).await?;
    }
    let mut touched = add_labels(&mut transaction, &batch.labels, now).await?;
    for statement in statements(Sums::of(&batch, &filed, now)) {
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

async fn insert(writer: &mut SqliteConnection, rows: &[ReadyRow]) -> Result<(), sqlx::Error> {
    for some in rows.chunks(ROWS_MOST) {
        let mut query = QueryBuilder::new(
            "INSERT INTO reports (domain, key, content, reporter, day, arrived_at, begin_at, end_at, failed, late, body) ",
        );
        query.push_values(some, |mut values, ready| {
            let row = &ready.row;
            values
                .push_bind(row.domain.as_str())
                .push_bind(row.key.0.as_slice())
                .push_bind(row.content.0.as_slice())
                .push_bind(row.reporter.as_str())
                .push_bind(row.day)
                .push_bind(row.arrived_at.unix_milliseconds())
                .push_bind(ready.begin)
                .push_bind(ready.end)
                .push_bind(ready.failed())
                .push_bind(row.late)
                .push_bind(ready.body.as_slice());
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

/// The sums with the statements that add them.
fn statements(sums: Sums) -> [Statement; 8] {
    [
        (
            "INSERT INTO report_days (domain, day, reporter, reports) \
             SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?) WHERE true \
             ON CONFLICT (domain, day, reporter) DO UPDATE SET reports = reports + excluded.reports",
            sums.more_days,
        ),
        (
            "UPDATE report_days SET reports = max(0, reports + (less.value ->> 3)) FROM json_each(?) AS less \
             WHERE domain = less.value ->> 0 AND day = less.value ->> 1 AND reporter = less.value ->> 2",
            sums.fewer_days,
        ),
        (
            "INSERT INTO report_totals (domain, day, reporter, policy_type, measure, mx, sessions) \
             SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6 \
             FROM json_each(?) WHERE true \
             ON CONFLICT (domain, day, reporter, policy_type, measure, mx) \
             DO UPDATE SET sessions = sessions + excluded.sessions",
            sums.more_totals,
        ),
        (
            "UPDATE report_totals SET sessions = max(0, sessions + (less.value ->> 6)) FROM json_each(?) AS less \
             WHERE domain = less.value ->> 0 AND day = less.value ->> 1 AND reporter = less.value ->> 2 \
             AND policy_type = less.value ->> 3 AND measure = less.value ->> 4 AND mx = less.value ->> 5",
            sums.fewer_totals,
        ),
        (
            "INSERT INTO report_policies (domain, day, reporter, policy) \
             SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?) WHERE true \
             ON CONFLICT DO NOTHING",
            sums.policies,
        ),
        (
            "INSERT INTO report_domains (domain, filed_at, last_arrived_at, last_end_at, proven, unproven) \
             SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5 \
             FROM json_each(?) WHERE true \
             ON CONFLICT (domain) DO UPDATE SET \
             filed_at = max(filed_at, excluded.filed_at), \
             last_arrived_at = \
             coalesce(max(last_arrived_at, excluded.last_arrived_at), last_arrived_at, excluded.last_arrived_at), \
             last_end_at = coalesce(max(last_end_at, excluded.last_end_at), last_end_at, excluded.last_end_at), \
             proven = max(0, proven + excluded.proven), unproven = max(0, unproven + excluded.unproven)",
            sums.domains,
        ),
        (
            "INSERT INTO report_counters (domain, family, first, second, value, born_at) \
             SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5 \
             FROM json_each(?) WHERE true \
             ON CONFLICT (domain, family, first, second) DO UPDATE SET value = value + excluded.value",
            sums.counters,
        ),
        (
            "INSERT INTO intake_counters (family, label, value) \
             SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?) WHERE true \
             ON CONFLICT (family, label) DO UPDATE SET value = value + excluded.value",
            sums.intake,
        ),
    ]
}

/// Runs a statement over its rows, if there are any.
async fn run(writer: &mut SqliteConnection, (statement, rows): Statement) -> Result<(), sqlx::Error> {
    if !rows.is_empty() {
        sqlx::query(statement).bind(serde_json::Value::Array(rows).to_string()).execute(writer).await?;
    }
    Ok(())
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
