//! Reports that are too old or too many go.

use std::collections::BTreeMap;

use serde_json::json;
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use super::{reading::is_proven, run};
use crate::{
    store::{Bounds, FORMER_AFTER, FORMER_MOST, PROVEN_KEPT, REMEMBERED_FOR, UNPROVEN_KEPT},
    terms::Timestamp,
    verdict::DAYS_KEPT,
};

const DAY_SECONDS: i64 = 86_400;

/// Takes away what is older or more than the bounds allow. Counters stay as long as their domain is among those kept.
pub(in crate::store::sqlite) async fn trim_reports(
    writer: &mut SqliteConnection,
    bounds: Bounds,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let remembered = (now - REMEMBERED_FOR).unix_milliseconds();
    let oldest = (now - bounds.retention.max(REMEMBERED_FOR)).unix_milliseconds();
    former(writer, bounds, now).await?;
    // Reports stand in the order in which they were filed: only those before the first young one are read.
    let rows = sqlx::query(
        "DELETE FROM reports WHERE arrived_at < ?1 \
         AND id < coalesce((SELECT id FROM reports WHERE arrived_at >= ?1 ORDER BY id LIMIT 1), 9223372036854775807) \
         RETURNING domain, reporter",
    );
    let gone = rows.bind(oldest).fetch_all(&mut *writer).await?;
    count_down(writer, &gone).await?;
    for (proven, kept) in [(false, UNPROVEN_KEPT), (true, PROVEN_KEPT)] {
        beyond(writer, proven, kept, remembered).await?;
    }
    let today = now.unix_seconds().div_euclid(DAY_SECONDS);
    let first = (now - bounds.retention).unix_seconds().div_euclid(DAY_SECONDS).min(today - DAYS_KEPT);
    let domains: Vec<String> = sqlx::query_scalar("SELECT domain FROM report_domains").fetch_all(&mut *writer).await?;
    for table in ["report_days", "report_totals", "report_policies"] {
        let old = format!("DELETE FROM {table} WHERE domain = ? AND day < ?");
        for domain in &domains {
            sqlx::query(&old).bind(domain).bind(first).execute(&mut *writer).await?;
        }
    }
    Ok(())
}

/// Forgets domains that left the configuration long ago, where there are many.
async fn former(writer: &mut SqliteConnection, bounds: Bounds, now: Timestamp) -> Result<(), sqlx::Error> {
    let kept = i64::try_from(bounds.domains.saturating_add(FORMER_MOST)).unwrap_or(i64::MAX);
    let domains: Vec<String> = sqlx::query_scalar(
        "SELECT domain FROM (SELECT domain, filed_at FROM report_domains ORDER BY filed_at DESC LIMIT -1 OFFSET ?) \
         WHERE filed_at < ?",
    )
    .bind(kept)
    .bind((now - FORMER_AFTER).unix_milliseconds())
    .fetch_all(&mut *writer)
    .await?;
    if domains.is_empty() {
        return Ok(());
    }
    let domains = json!(domains).to_string();
    for table in ["reports", "report_days", "report_totals", "report_policies", "report_counters", "report_domains"] {
        let gone = format!("DELETE FROM {table} WHERE domain IN (SELECT value FROM json_each(?))");
        sqlx::query(&gone).bind(&domains).execute(&mut *writer).await?;
    }
    Ok(())
}

/// Of domains with more reports than are kept, the oldest go; none that is young enough to come again.
async fn beyond(writer: &mut SqliteConnection, proven: bool, kept: u64, remembered: i64) -> Result<(), sqlx::Error> {
    let kept = i64::try_from(kept).unwrap_or(i64::MAX);
    let column = if proven { "proven" } else { "unproven" };
    let many = format!("SELECT domain FROM report_domains WHERE {column} > ?");
    let domains: Vec<String> = sqlx::query_scalar(&many).bind(kept).fetch_all(&mut *writer).await?;
    for domain in domains {
        let rows = sqlx::query(
            "DELETE FROM reports WHERE arrived_at < ? AND id IN (SELECT id FROM reports \
             WHERE domain = ? AND (reporter <> 'unverified') = ? ORDER BY id DESC LIMIT -1 OFFSET ?) \
             RETURNING domain, reporter",
        );
        let gone = rows.bind(remembered).bind(&domain).bind(proven).bind(kept).fetch_all(&mut *writer).await?;
        count_down(writer, &gone).await?;
    }
    Ok(())
}

/// Takes rows that are gone from the counts of their domains.
async fn count_down(writer: &mut SqliteConnection, gone: &[SqliteRow]) -> Result<(), sqlx::Error> {
    let mut counts: BTreeMap<String, [u64; 2]> = BTreeMap::new();
    for row in gone {
        let counts = counts.entry(row.try_get(0)?).or_default();
        if let Some(count) = counts.get_mut(usize::from(is_proven(row.try_get(1)?))) {
            *count += 1;
        }
    }
    let counts = counts.iter().map(|(domain, [unproven, proven])| json!([domain, unproven, proven]));
    run(
        writer,
        (
            "UPDATE report_domains SET unproven = max(0, unproven - (gone.value ->> 1)), \
         proven = max(0, proven - (gone.value ->> 2)) FROM json_each(?) AS gone WHERE domain = gone.value ->> 0",
            counts.collect(),
        ),
    )
    .await
}
