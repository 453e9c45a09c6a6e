//! What is too old or too much goes. One instance at a time does it, and another one that comes meanwhile leaves it to that one.

use sqlx::{Connection, PgConnection};
use tokio::time::timeout;

use super::{LONG_PATIENCE, PostgresStore, changes, reports::trim_reports, schema::Locks};
use crate::{
    store::{Bounds, FORMER_AFTER, FORMER_MOST, StoreError},
    terms::Timestamp,
};

/// Begins a step that may read all of a table.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL statement_timeout = '300s'; \
     SET LOCAL lock_timeout = '15s'; SET LOCAL idle_in_transaction_session_timeout = '15s'";

impl PostgresStore {
    pub(super) async fn trim_all(&self, bounds: Bounds, now: Timestamp) -> Result<(), StoreError> {
        let mut writer = self.writer().await?;
        let trimmed = timeout(LONG_PATIENCE, trim(&mut writer, self.locks, bounds, now)).await;
        self.server.settle(writer, trimmed)?;
        self.measure().await
    }
}

/// Whether no other instance trims now; none begins before the end of the transaction.
pub(super) async fn alone(transaction: &mut PgConnection, locks: Locks) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT pg_try_advisory_xact_lock($1)").bind(locks.trimming).fetch_one(transaction).await
}

async fn trim(writer: &mut PgConnection, locks: Locks, bounds: Bounds, now: Timestamp) -> Result<(), sqlx::Error> {
    let oldest = (now - bounds.retention).unix_milliseconds();
    let former_since = (now - FORMER_AFTER).unix_milliseconds();
    let mut transaction = writer.begin_with(BEGIN).await?;
    if !alone(&mut transaction, locks).await? {
        transaction.rollback().await?;
        return Ok(());
    }
    changes::trim(&mut transaction, oldest).await?;
    transaction.commit().await?;
    for (table, in_use) in [("domains", bounds.domains), ("hosts", bounds.hosts)] {
        let kept = i64::try_from(in_use.saturating_add(FORMER_MOST)).unwrap_or(i64::MAX);
        let mut transaction = writer.begin_with(BEGIN).await?;
        if !alone(&mut transaction, locks).await? {
            transaction.rollback().await?;
            return Ok(());
        }
        // What is being written at this moment is neither old nor former.
        let gone = format!(
            "DELETE FROM {table} WHERE name IN (SELECT name FROM {table} WHERE saved_at < $1 OR (saved_at < $2 AND name IN \
             (SELECT name FROM {table} ORDER BY saved_at DESC OFFSET $3)) FOR UPDATE SKIP LOCKED)"
        );
        sqlx::query(&gone).bind(oldest).bind(former_since).bind(kept).execute(&mut *transaction).await?;
        transaction.commit().await?;
    }
    trim_reports(writer, locks, bounds, former_since, now).await?;
    Ok(())
}
