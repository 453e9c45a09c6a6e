//! The tables, and how an older file becomes a newer one.

use sqlx::{Connection, Executor, SqliteConnection};

/// Marks the file as this program's (`PRAGMA application_id`): `smtx` in ASCII.
pub(super) const APPLICATION: i64 = 0x736d_7478;

/// Each step leads from the schema version of its place to the next. A step that was released is never changed.
///
/// A change never gets the number of one that was taken away (`AUTOINCREMENT`): readers go on behind the last number they saw.
pub(super) const STEPS: &[&str] = &["
    CREATE TABLE domains (
        name TEXT NOT NULL PRIMARY KEY,
        saved_at INTEGER NOT NULL,
        state BLOB NOT NULL
    ) STRICT;
    CREATE INDEX domains_by_time ON domains (saved_at);
    CREATE TABLE hosts (
        name TEXT NOT NULL PRIMARY KEY,
        saved_at INTEGER NOT NULL,
        state BLOB NOT NULL
    ) STRICT;
    CREATE INDEX hosts_by_time ON hosts (saved_at);
    CREATE TABLE changes (
        id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
        at INTEGER NOT NULL,
        subject TEXT NOT NULL,
        name TEXT NOT NULL,
        address TEXT,
        kind TEXT NOT NULL,
        was TEXT,
        became TEXT
    ) STRICT;
    CREATE INDEX changes_by_name ON changes (name, id);
    CREATE INDEX changes_by_time ON changes (at);
"];

/// The schema version of this program.
pub(super) fn known(steps: &[&str]) -> i64 {
    i64::try_from(steps.len()).unwrap_or(i64::MAX)
}

/// Brings the file to the newest schema: all steps that are missing, or none.
pub(super) async fn migrate(
    connection: &mut SqliteConnection,
    steps: &'static [&'static str],
) -> Result<(), sqlx::Error> {
    let found: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *connection).await?;
    let missing = steps.iter().skip(usize::try_from(found).unwrap_or(0));
    if known(steps) == found {
        return Ok(());
    }
    let mut transaction = connection.begin().await?;
    for step in missing {
        transaction.execute(sqlx::raw_sql(step)).await?;
    }
    let marks = format!("PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {}", known(steps));
    transaction.execute(sqlx::raw_sql(&marks)).await?;
    transaction.commit().await
}
