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

#[cfg(test)]
mod tests {
    use sqlx::{ConnectOptions, sqlite::SqliteConnectOptions};

    use super::*;

    /// A file of version 1 as that version wrote it: tables, marks and a row each. It stays as it is for ever.
    const VERSION_1: &str = "
        PRAGMA application_id = 1936553080;
        PRAGMA user_version = 1;
        CREATE TABLE domains (name TEXT NOT NULL PRIMARY KEY, saved_at INTEGER NOT NULL, state BLOB NOT NULL) STRICT;
        CREATE TABLE hosts (name TEXT NOT NULL PRIMARY KEY, saved_at INTEGER NOT NULL, state BLOB NOT NULL) STRICT;
        CREATE TABLE changes (
            id INTEGER NOT NULL PRIMARY KEY, at INTEGER NOT NULL, subject TEXT NOT NULL, name TEXT NOT NULL,
            address TEXT, kind TEXT NOT NULL, was TEXT, became TEXT
        ) STRICT;
        INSERT INTO domains VALUES ('example.com', 1, x'01');
        INSERT INTO changes VALUES (7, 1, 'domain', 'example.com', NULL, 'mx', NULL, '10 mx.example.com');
    ";

    async fn old() -> SqliteConnection {
        let mut connection = SqliteConnectOptions::new().connect().await.unwrap();
        connection.execute(sqlx::raw_sql(VERSION_1)).await.unwrap();
        connection
    }

    async fn number(connection: &mut SqliteConnection, query: &str) -> i64 {
        sqlx::query_scalar(query).fetch_one(connection).await.unwrap()
    }

    #[tokio::test]
    async fn a_file_of_version_1_is_of_this_version_or_becomes_one_with_its_rows() {
        let mut connection = old().await;
        migrate(&mut connection, STEPS).await.unwrap();
        assert_eq!(number(&mut connection, "PRAGMA user_version").await, known(STEPS));
        assert_eq!(number(&mut connection, "PRAGMA application_id").await, APPLICATION);
        assert_eq!(number(&mut connection, "SELECT count(*) FROM domains WHERE state = x'01'").await, 1);
        assert_eq!(number(&mut connection, "SELECT id FROM changes").await, 7);
    }

    #[tokio::test]
    async fn only_missing_steps_are_taken() {
        static LATER: &[&str] = &["this would fail", "ALTER TABLE domains ADD COLUMN note TEXT NOT NULL DEFAULT 'x'"];
        let mut connection = old().await;
        migrate(&mut connection, LATER).await.unwrap();
        assert_eq!(number(&mut connection, "PRAGMA user_version").await, 2);
        assert_eq!(number(&mut connection, "SELECT count(*) FROM domains WHERE note = 'x'").await, 1);
        migrate(&mut connection, LATER).await.unwrap();
    }

    #[tokio::test]
    async fn steps_are_taken_together_or_not_at_all() {
        static BROKEN: &[&str] =
            &["", "ALTER TABLE domains ADD COLUMN note TEXT", "ALTER TABLE nowhere ADD COLUMN note TEXT"];
        let mut connection = old().await;
        migrate(&mut connection, BROKEN).await.unwrap_err();
        assert_eq!(number(&mut connection, "PRAGMA user_version").await, 1);
        let notes = "SELECT count(*) FROM pragma_table_info('domains') WHERE name = 'note'";
        assert_eq!(number(&mut connection, notes).await, 0);
    }

    #[tokio::test]
    async fn a_new_file_gets_the_newest_schema() {
        let mut connection = SqliteConnectOptions::new().connect().await.unwrap();
        migrate(&mut connection, STEPS).await.unwrap();
        assert_eq!(number(&mut connection, "PRAGMA user_version").await, known(STEPS));
        assert_eq!(number(&mut connection, "SELECT count(*) FROM changes").await, 0);
    }
}
