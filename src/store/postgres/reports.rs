//! Reports: filed in one transaction, one after the other whoever files them. What is looked up and written goes as one array a
//! statement, so that a batch costs a few statements and not some for each report.

mod lookup;
mod news;
mod reading;
mod trimming;

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tokio::time::timeout;

pub(super) use self::trimming::trim_reports;
use super::{PATIENCE, PostgresStore, WRITE, failure::Failure, lock};
use crate::{
    store::{
        Filing, MovedDay, ReportBatch, StoreError,
        filing::{Body, Mark, Moved, Ready, ReadyRow, Sums, ready, shares},
    },
    terms::{PolicyDomain, Timestamp},
};

/// So many rows go into one statement: with large bodies some tens of megabytes.
const ROWS_MOST: usize = 200;

impl PostgresStore {
    pub(super) async fn file_all(&self, batch: Arc<ReportBatch>, now: Timestamp) -> Result<Filing, StoreError> {
        let mut writer = self.writer().await?;
        let filed = timeout(PATIENCE, file(&mut writer, batch, now, self.locks.filing)).await;
        self.server.settle(writer, filed)
    }
}

async fn file(writer: &mut PgConnection, batch: Arc<ReportBatch>, now: Timestamp, key: i64) -> Result<Filing, Failure> {
    let shares = {
        let batch = Arc::clone(&batch);
        tokio::task::spawn_blocking(move || shares(&batch)).await?
    };
    let mut transaction = writer.begin_with(WRITE).await?;
    // Two that file the same, or a part of the same, have to see each other's.
    lock(&mut transaction, key).await?;
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
    let news = filed.domains.keys().chain(&touched).map(|domain| domain.as_str().to_owned()).collect();
    news::announce(&mut transaction, news).await?;
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

async fn insert(writer: &mut PgConnection, rows: &[ReadyRow]) -> Result<(), sqlx::Error> {
    for some in rows.chunks(ROWS_MOST) {
        let texts = |text: fn(&ReadyRow) -> &str| some.iter().map(|row| text(row).to_owned()).collect::<Vec<_>>();
        let numbers = |number: fn(&ReadyRow) -> i64| some.iter().map(number).collect::<Vec<_>>();
        sqlx::query(
            "INSERT INTO reports \
             (domain, key, content, reporter, day, arrived_at, begin_at, end_at, failed, late, body) \
             SELECT domain, key, content, reporter, day, arrived_at, begin_at, end_at, failed, late, body \
             FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], \
             $8::bigint[], $9::bigint[], $10::boolean[], $11::bytea[]) WITH ORDINALITY \
             AS new (domain, key, content, reporter, day, arrived_at, begin_at, end_at, failed, late, body, place) \
             ORDER BY place",
        )
        .bind(texts(|ready| ready.row.domain.as_str()))
        .bind(some.iter().map(|ready| ready.row.key.0.as_slice()).collect::<Vec<_>>())
        .bind(some.iter().map(|ready| ready.row.content.0.as_slice()).collect::<Vec<_>>())
        .bind(texts(|ready| ready.row.reporter.as_str()))
        .bind(numbers(|ready| ready.row.day))
        .bind(numbers(|ready| ready.row.arrived_at.unix_milliseconds()))
        .bind(some.iter().map(|ready| ready.begin).collect::<Vec<_>>())
        .bind(some.iter().map(|ready| ready.end).collect::<Vec<_>>())
        .bind(numbers(ReadyRow::failed))
        .bind(some.iter().map(|ready| ready.row.late).collect::<Vec<_>>())
        .bind(some.iter().map(|ready| ready.body.as_slice()).collect::<Vec<_>>())
        .execute(&mut *writer)
        .await?;
    }
    Ok(())
}

async fn change_reporter(writer: &mut PgConnection, moved: &Moved, body: &[u8]) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE reports SET key = $1, reporter = $2, body = $3 WHERE id = $4")
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
    writer: &mut PgConnection,
    labels: &BTreeSet<String>,
    now: Timestamp,
) -> Result<BTreeSet<PolicyDomain>, sqlx::Error> {
    if labels.is_empty() {
        return Ok(BTreeSet::new());
    }
    let new: Vec<String> = sqlx::query_scalar(
        "INSERT INTO reporter_labels (label, since) SELECT label, $1 FROM unnest($2::text[]) AS label \
         ON CONFLICT (label) DO NOTHING RETURNING label",
    )
    .bind(now.unix_milliseconds())
    .bind(labels.iter().cloned().collect::<Vec<_>>())
    .fetch_all(&mut *writer)
    .await?;
    if new.is_empty() {
        return Ok(BTreeSet::new());
    }
    let domains: Vec<String> = sqlx::query_scalar(
        "INSERT INTO report_counters (domain, family, first, second, value, born_at) \
         SELECT DISTINCT days.domain, family, days.reporter, '', 0, $1 \
         FROM report_days AS days CROSS JOIN unnest(ARRAY['reporter-sessions', 'reporter-failed']) AS family \
         WHERE days.reporter = ANY($2) \
         ON CONFLICT (domain, family, first, second) DO NOTHING RETURNING domain",
    )
    .bind(now.unix_milliseconds())
    .bind(new)
    .fetch_all(writer)
    .await?;
    Ok(domains.iter().filter_map(|domain| PolicyDomain::parse(domain).ok()).collect())
}

/// A statement and its rows, as JSON.
type Statement = (&'static str, Vec<Value>);

/// The sums with the statements that add them.
fn statements(sums: Sums) -> [Statement; 8] {
    [
        (
            "INSERT INTO report_days AS kept (domain, day, reporter, reports) \
             SELECT row ->> 0, (row ->> 1)::bigint, row ->> 2, (row ->> 3)::bigint \
             FROM jsonb_array_elements($1::jsonb) AS row \
             ON CONFLICT (domain, day, reporter) DO UPDATE SET reports = kept.reports + excluded.reports",
            sums.more_days,
        ),
        (
            "UPDATE report_days AS kept SET reports = greatest(0, kept.reports + (less ->> 3)::bigint) \
             FROM jsonb_array_elements($1::jsonb) AS less \
             WHERE kept.domain = less ->> 0 AND kept.day = (less ->> 1)::bigint AND kept.reporter = less ->> 2",
            sums.fewer_days,
        ),
        (
            "INSERT INTO report_totals AS kept (domain, day, reporter, policy_type, measure, mx, sessions) \
             SELECT row ->> 0, (row ->> 1)::bigint, row ->> 2, row ->> 3, row ->> 4, row ->> 5, (row ->> 6)::bigint \
             FROM jsonb_array_elements($1::jsonb) AS row \
             ON CONFLICT (domain, day, reporter, policy_type, measure, mx) \
             DO UPDATE SET sessions = kept.sessions + excluded.sessions",
            sums.more_totals,
        ),
        (
            "UPDATE report_totals AS kept SET sessions = greatest(0, kept.sessions + (less ->> 6)::bigint) \
             FROM jsonb_array_elements($1::jsonb) AS less \
             WHERE kept.domain = less ->> 0 AND kept.day = (less ->> 1)::bigint AND kept.reporter = less ->> 2 \
             AND kept.policy_type = less ->> 3 AND kept.measure = less ->> 4 AND kept.mx = less ->> 5",
            sums.fewer_totals,
        ),
        (
            "INSERT INTO report_policies (domain, day, reporter, policy) \
             SELECT row ->> 0, (row ->> 1)::bigint, row ->> 2, (row ->> 3)::bigint \
             FROM jsonb_array_elements($1::jsonb) AS row ON CONFLICT DO NOTHING",
            sums.policies,
        ),
        (
            "INSERT INTO report_domains AS kept (domain, filed_at, last_arrived_at, last_end_at, proven, unproven, filing) \
             SELECT row ->> 0, (row ->> 1)::bigint, (row ->> 2)::bigint, (row ->> 3)::bigint, (row ->> 4)::bigint, \
             (row ->> 5)::bigint, 0 FROM jsonb_array_elements($1::jsonb) AS row \
             ON CONFLICT (domain) DO UPDATE SET \
             filed_at = greatest(kept.filed_at, excluded.filed_at), \
             last_arrived_at = greatest(kept.last_arrived_at, excluded.last_arrived_at), \
             last_end_at = greatest(kept.last_end_at, excluded.last_end_at), \
             proven = greatest(0, kept.proven + excluded.proven), \
             unproven = greatest(0, kept.unproven + excluded.unproven)",
            sums.domains,
        ),
        (
            "INSERT INTO report_counters AS kept (domain, family, first, second, value, born_at) \
             SELECT row ->> 0, row ->> 1, row ->> 2, row ->> 3, (row ->> 4)::bigint, (row ->> 5)::bigint \
             FROM jsonb_array_elements($1::jsonb) AS row \
             ON CONFLICT (domain, family, first, second) DO UPDATE SET value = kept.value + excluded.value",
            sums.counters,
        ),
        (
            "INSERT INTO intake_counters AS kept (family, label, value) \
             SELECT row ->> 0, row ->> 1, (row ->> 2)::bigint FROM jsonb_array_elements($1::jsonb) AS row \
             ON CONFLICT (family, label) DO UPDATE SET value = kept.value + excluded.value",
            sums.intake,
        ),
    ]
}

/// Runs a statement over its rows, if there are any.
async fn run(writer: &mut PgConnection, (statement, rows): Statement) -> Result<(), sqlx::Error> {
    if !rows.is_empty() {
        sqlx::query(statement).bind(Value::Array(rows).to_string()).execute(writer).await?;
    }
    Ok(())
}

async fn moved_days(
    writer: &mut PgConnection,
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
fn mark(row: &sqlx::postgres::PgRow, column: &str) -> Option<Mark> {
    let bytes: &[u8] = sqlx::Row::try_get(row, column).ok()?;
    Mark::from_row(bytes)
}

/// Days of domains as the array of a statement.
fn days_array(days: &BTreeSet<(&PolicyDomain, i64)>) -> String {
    json!(days).to_string()
}

fn names(domains: &[PolicyDomain]) -> Vec<String> {
    domains.iter().map(|domain| domain.as_str().to_owned()).collect()
}
