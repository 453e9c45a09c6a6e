//! Reports that are too old or too many go, a part at a time: who files waits for no more than one part.

use std::collections::BTreeMap;

use sqlx::{Connection, PgConnection, Row, postgres::PgRow};

use super::super::{WRITE, lock, schema::Locks, trimming::alone};
use crate::{
    facts::Reporter,
    store::{Bounds, FORMER_MOST, PROVEN_KEPT, REMEMBERED_FOR, UNPROVEN_KEPT},
    terms::Timestamp,
    verdict::DAYS_KEPT,
};

const DAY_SECONDS: i64 = 86_400;

/// So many reports, or domains, are one part.
const PART: usize = 2_000;

/// Takes away what is older or more than the bounds allow. Counters stay as long as their domain is among those kept. Says whether it
/// was this instance that did it.
pub(in crate::store::postgres) async fn trim_reports(
    writer: &mut PgConnection,
    locks: Locks,
    bounds: Bounds,
    former_since: i64,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let remembered = (now - REMEMBERED_FOR).unix_milliseconds();
    let oldest = (now - bounds.retention.max(REMEMBERED_FOR)).unix_milliseconds();
    while let Some(gone) = former(writer, locks, bounds, former_since).await? {
        if gone < PART {
            break;
        }
    }
    while let Some(gone) = old(writer, locks, oldest).await? {
        if gone < PART {
            break;
        }
    }
    for (proven, kept) in [(false, UNPROVEN_KEPT), (true, PROVEN_KEPT)] {
        beyond(writer, locks, proven, kept, remembered).await?;
    }
    let today = now.unix_seconds().div_euclid(DAY_SECONDS);
    let first = (now - bounds.retention).unix_seconds().div_euclid(DAY_SECONDS).min(today - DAYS_KEPT);
    days(writer, locks, first).await
}

fn part() -> i64 {
    i64::try_from(PART).unwrap_or(i64::MAX)
}

/// Forgets domains that left the configuration long ago, where there are many; how many, if it was done here.
async fn former(
    writer: &mut PgConnection,
    locks: Locks,
    bounds: Bounds,
    former_since: i64,
) -> Result<Option<usize>, sqlx::Error> {
    let kept = i64::try_from(bounds.domains.saturating_add(FORMER_MOST)).unwrap_or(i64::MAX);
    let mut transaction = writer.begin_with(WRITE).await?;
    if !alone(&mut transaction, locks).await? {
        transaction.rollback().await?;
        return Ok(None);
    }
    lock(&mut transaction, locks.filing).await?;
    let domains: Vec<String> = sqlx::query_scalar(
        "SELECT domain FROM (SELECT domain, filed_at FROM report_domains ORDER BY filed_at DESC OFFSET $1) AS former \
         WHERE filed_at < $2 ORDER BY filed_at LIMIT $3",
    )
    .bind(kept)
    .bind(former_since)
    .bind(part())
    .fetch_all(&mut *transaction)
    .await?;
    if !domains.is_empty() {
        for table in ["reports", "report_days", "report_totals", "report_policies", "report_counters", "report_domains"]
        {
            let gone = format!("DELETE FROM {table} WHERE domain = ANY($1)");
            sqlx::query(&gone).bind(&domains).execute(&mut *transaction).await?;
        }
    }
    transaction.commit().await?;
    Ok(Some(domains.len()))
}

/// Reports that came before the oldest time that counts; how many, if it was done here.
async fn old(writer: &mut PgConnection, locks: Locks, oldest: i64) -> Result<Option<usize>, sqlx::Error> {
    let mut transaction = writer.begin_with(WRITE).await?;
    if !alone(&mut transaction, locks).await? {
        transaction.rollback().await?;
        return Ok(None);
    }
    lock(&mut transaction, locks.filing).await?;
    // Reports stand in the order in which they were filed: only those before the first young one are read.
    let rows = sqlx::query(
        "DELETE FROM reports WHERE id IN (SELECT id FROM reports WHERE arrived_at < $1 \
         AND id < coalesce((SELECT id FROM reports WHERE arrived_at >= $1 ORDER BY id LIMIT 1), 9223372036854775807) \
         ORDER BY id LIMIT $2) RETURNING domain, reporter",
    );
    let gone = rows.bind(oldest).bind(part()).fetch_all(&mut *transaction).await?;
    count_down(&mut transaction, &gone).await?;
    transaction.commit().await?;
    Ok(Some(gone.len()))
}

/// Of domains with more reports than are kept, the oldest go; none that is young enough to come again.
async fn beyond(
    writer: &mut PgConnection,
    locks: Locks,
    proven: bool,
    kept: u64,
    remembered: i64,
) -> Result<(), sqlx::Error> {
    let kept = i64::try_from(kept).unwrap_or(i64::MAX);
    let column = if proven { "proven" } else { "unproven" };
    let many = format!("SELECT domain FROM report_domains WHERE {column} > $1");
    let domains: Vec<String> = sqlx::query_scalar(&many).bind(kept).fetch_all(&mut *writer).await?;
    for domain in domains {
        let mut transaction = writer.begin_with(WRITE).await?;
        if !alone(&mut transaction, locks).await? {
            transaction.rollback().await?;
            return Ok(());
        }
        lock(&mut transaction, locks.filing).await?;
        let rows = sqlx::query(
            "DELETE FROM reports WHERE arrived_at < $1 AND id IN (SELECT id FROM reports \
             WHERE domain = $2 AND (reporter <> 'unverified') = $3 ORDER BY id DESC OFFSET $4) \
             RETURNING domain, reporter",
        );
        let gone = rows.bind(remembered).bind(&domain).bind(proven).bind(kept).fetch_all(&mut *transaction).await?;
        count_down(&mut transaction, &gone).await?;
        transaction.commit().await?;
    }
    Ok(())
}

/// Days before the first one that is kept, by the domains in their order. Says whether it was done here to the end.
async fn days(writer: &mut PgConnection, locks: Locks, first: i64) -> Result<bool, sqlx::Error> {
    let mut after = String::new();
    loop {
        let mut transaction = writer.begin_with(WRITE).await?;
        if !alone(&mut transaction, locks).await? {
            transaction.rollback().await?;
            return Ok(false);
        }
        lock(&mut transaction, locks.filing).await?;
        let domains: Vec<String> =
            sqlx::query_scalar("SELECT domain FROM report_domains WHERE domain > $1 ORDER BY domain LIMIT $2")
                .bind(&after)
                .bind(part())
                .fetch_all(&mut *transaction)
                .await?;
        for table in ["report_days", "report_totals", "report_policies"] {
            let old = format!("DELETE FROM {table} WHERE domain = ANY($1) AND day < $2");
            sqlx::query(&old).bind(&domains).bind(first).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        match domains.into_iter().next_back() {
            Some(last) => after = last,
            None => return Ok(true),
        }
    }
}

/// Takes rows that are gone from the counts of their domains.
async fn count_down(writer: &mut PgConnection, gone: &[PgRow]) -> Result<(), sqlx::Error> {
    let mut counts: BTreeMap<String, [i64; 2]> = BTreeMap::new();
    for row in gone {
        let counts = counts.entry(row.try_get(0)?).or_default();
        let is_proven = row.try_get::<&str, _>(1)? != Reporter::UNVERIFIED;
        if let Some(count) = counts.get_mut(usize::from(is_proven)) {
            *count += 1;
        }
    }
    let domains: Vec<&str> = counts.keys().map(String::as_str).collect();
    let unproven: Vec<i64> = counts.values().map(|[unproven, _]| *unproven).collect();
    let proven: Vec<i64> = counts.values().map(|[_, proven]| *proven).collect();
    sqlx::query(
        "UPDATE report_domains SET unproven = greatest(0, report_domains.unproven - gone.unproven), \
         proven = greatest(0, report_domains.proven - gone.proven) \
         FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS gone (domain, unproven, proven) \
         WHERE report_domains.domain = gone.domain",
    )
    .bind(domains)
    .bind(unproven)
    .bind(proven)
    .execute(writer)
    .await?;
    Ok(())
}
