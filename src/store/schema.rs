//! The tables, and how an older file becomes a newer one.

use sqlx::{Connection, Executor, SqliteConnection};

/// Marks the file as this program's (`PRAGMA application_id`): `smtx` in ASCII.
pub(super) const APPLICATION: i64 = 0x736d_7478;

/// Each step leads from the schema version of its place to the next. A step that was released is never changed.
///
/// A change never gets the number of one that was taken away (`AUTOINCREMENT`): readers go on behind the last number they saw.
pub(super) const STEPS: &[&str] = &[
    "
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
",
    "
    CREATE TABLE reports (
        id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
        domain TEXT NOT NULL,
        key BLOB NOT NULL,
        content BLOB NOT NULL UNIQUE,
        reporter TEXT NOT NULL,
        day INTEGER NOT NULL,
        arrived_at INTEGER NOT NULL,
        begin_at INTEGER,
        end_at INTEGER,
        failed INTEGER NOT NULL,
        late INTEGER NOT NULL,
        body BLOB NOT NULL
    ) STRICT;
    CREATE INDEX reports_by_key ON reports (key);
    CREATE INDEX reports_by_domain ON reports (domain, id);
    CREATE TABLE report_domains (
        domain TEXT NOT NULL PRIMARY KEY,
        filed_at INTEGER NOT NULL,
        last_arrived_at INTEGER,
        last_end_at INTEGER,
        proven INTEGER NOT NULL,
        unproven INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE report_days (
        domain TEXT NOT NULL,
        day INTEGER NOT NULL,
        reporter TEXT NOT NULL,
        reports INTEGER NOT NULL,
        PRIMARY KEY (domain, day, reporter)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE report_totals (
        domain TEXT NOT NULL,
        day INTEGER NOT NULL,
        reporter TEXT NOT NULL,
        policy_type TEXT NOT NULL,
        measure TEXT NOT NULL,
        mx TEXT NOT NULL,
        sessions INTEGER NOT NULL,
        PRIMARY KEY (domain, day, reporter, policy_type, measure, mx)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE report_policies (
        domain TEXT NOT NULL,
        day INTEGER NOT NULL,
        reporter TEXT NOT NULL,
        policy INTEGER NOT NULL,
        PRIMARY KEY (domain, day, reporter, policy)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE report_counters (
        domain TEXT NOT NULL,
        family TEXT NOT NULL,
        first TEXT NOT NULL,
        second TEXT NOT NULL,
        value INTEGER NOT NULL,
        born_at INTEGER NOT NULL,
        PRIMARY KEY (domain, family, first, second)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE intake_counters (
        family TEXT NOT NULL,
        label TEXT NOT NULL,
        value INTEGER NOT NULL,
        PRIMARY KEY (family, label)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE reporter_labels (
        label TEXT NOT NULL PRIMARY KEY,
        since INTEGER NOT NULL
    ) STRICT;
",
    "
    ALTER TABLE domains ADD COLUMN face BLOB;
",
    "
    CREATE TABLE faces (
        id INTEGER NOT NULL PRIMARY KEY,
        saved_at INTEGER NOT NULL,
        packed BLOB NOT NULL
    ) STRICT;
",
];

/// The schema version from which on there are reports.
pub(super) const WITH_REPORTS: i64 = 2;

/// The schema version from which on domains have a face.
pub(super) const WITH_FACES: i64 = 3;

/// The schema version from which on faces may lie apart.
pub(super) const WITH_FACES_APART: i64 = 4;

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
