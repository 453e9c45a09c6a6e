//! The tables, and how an older database becomes a newer one, also where several instances begin at once.

use std::{path::Path, time::Duration};

use sqlx::{Connection, Executor, PgConnection};

use super::{failure::Failure, lock};
use crate::store::{StoreError, schema::APPLICATION};

/// The oldest server, as it counts: what is used here it has.
const OLDEST_SERVER: i32 = 130_000;

/// How long the steps of one instance may keep another one waiting.
const PREPARING: Duration = Duration::from_secs(600);

/// Says which program and which version made the tables.
const MARK: &str = "smtptls_schema";

/// The tables of this program.
pub(super) const TABLES: &[&str] = &[
    MARK,
    "domains",
    "hosts",
    "changes",
    "reports",
    "report_domains",
    "report_days",
    "report_totals",
    "report_policies",
    "report_counters",
    "intake_counters",
    "reporter_labels",
    "slots",
    "instances",
];

/// Each step leads from the schema version of its place to the next. A step that was released is never changed. An instance of an older
/// version may still be at work when a newer one takes a step: what it writes has to stay possible.
///
/// Names are compared by their bytes. What is packed is not packed again. A state is written over and over: its time stands in no index, and
/// there is room beside it, so that a new version of a row needs no new entry in an index.
pub(super) const STEPS: &[&str] = &["
    CREATE TABLE domains (
        name text COLLATE \"C\" PRIMARY KEY,
        saved_at bigint NOT NULL,
        state bytea NOT NULL,
        face bytea
    ) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
    ALTER TABLE domains ALTER state SET STORAGE EXTERNAL, ALTER face SET STORAGE EXTERNAL;
    CREATE TABLE hosts (
        name text COLLATE \"C\" PRIMARY KEY,
        saved_at bigint NOT NULL,
        state bytea NOT NULL
    ) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
    ALTER TABLE hosts ALTER state SET STORAGE EXTERNAL;
    CREATE TABLE changes (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        seen_at bigint NOT NULL,
        subject text NOT NULL,
        name text COLLATE \"C\" NOT NULL,
        address text,
        kind text NOT NULL,
        was text,
        became text
    );
    CREATE INDEX changes_by_name ON changes (name, id);
    CREATE INDEX changes_by_time ON changes (seen_at);
    CREATE TABLE reports (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        domain text COLLATE \"C\" NOT NULL,
        key bytea NOT NULL,
        content bytea NOT NULL UNIQUE,
        reporter text COLLATE \"C\" NOT NULL,
        day bigint NOT NULL,
        arrived_at bigint NOT NULL,
        begin_at bigint,
        end_at bigint,
        failed bigint NOT NULL,
        late boolean NOT NULL,
        body bytea NOT NULL
    );
    ALTER TABLE reports ALTER body SET STORAGE EXTERNAL;
    CREATE INDEX reports_by_key ON reports (key);
    CREATE INDEX reports_by_domain ON reports (domain, id);
    CREATE SEQUENCE filings;
    CREATE TABLE report_domains (
        domain text COLLATE \"C\" PRIMARY KEY,
        filed_at bigint NOT NULL,
        last_arrived_at bigint,
        last_end_at bigint,
        proven bigint NOT NULL,
        unproven bigint NOT NULL,
        filing bigint NOT NULL
    );
    CREATE INDEX report_domains_by_filing ON report_domains (filing, domain);
    CREATE TABLE report_days (
        domain text COLLATE \"C\" NOT NULL,
        day bigint NOT NULL,
        reporter text COLLATE \"C\" NOT NULL,
        reports bigint NOT NULL,
        PRIMARY KEY (domain, day, reporter)
    );
    CREATE TABLE report_totals (
        domain text COLLATE \"C\" NOT NULL,
        day bigint NOT NULL,
        reporter text COLLATE \"C\" NOT NULL,
        policy_type text COLLATE \"C\" NOT NULL,
        measure text COLLATE \"C\" NOT NULL,
        mx text COLLATE \"C\" NOT NULL,
        sessions bigint NOT NULL,
        PRIMARY KEY (domain, day, reporter, policy_type, measure, mx)
    );
    CREATE TABLE report_policies (
        domain text COLLATE \"C\" NOT NULL,
        day bigint NOT NULL,
        reporter text COLLATE \"C\" NOT NULL,
        policy bigint NOT NULL,
        PRIMARY KEY (domain, day, reporter, policy)
    );
    CREATE TABLE report_counters (
        domain text COLLATE \"C\" NOT NULL,
        family text COLLATE \"C\" NOT NULL,
        first text COLLATE \"C\" NOT NULL,
        second text COLLATE \"C\" NOT NULL,
        value bigint NOT NULL,
        born_at bigint NOT NULL,
        PRIMARY KEY (domain, family, first, second)
    );
    CREATE TABLE intake_counters (
        family text COLLATE \"C\" NOT NULL,
        label text COLLATE \"C\" NOT NULL,
        value bigint NOT NULL,
        PRIMARY KEY (family, label)
    );
    CREATE TABLE reporter_labels (
        label text COLLATE \"C\" PRIMARY KEY,
        since bigint NOT NULL
    );
    CREATE TABLE slots (
        slot integer PRIMARY KEY,
        epoch bigint NOT NULL,
        holder text COLLATE \"C\",
        ends_at timestamptz NOT NULL,
        wanted_by text COLLATE \"C\",
        wanted_until timestamptz,
        UNIQUE (slot, epoch)
    ) WITH (fillfactor = 50);
    CREATE TABLE instances (
        holder text COLLATE \"C\" PRIMARY KEY,
        home integer NOT NULL,
        total integer NOT NULL,
        address text,
        heard_at timestamptz NOT NULL,
        ends_at timestamptz NOT NULL
    ) WITH (fillfactor = 50);
"];

/// The locks of a schema: each is held until the end of a transaction. Other schemas of the same database have others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Locks {
    /// Of who adds to the log of changes.
    pub(super) changes: i64,
    /// Of who files reports, or takes some away.
    pub(super) filing: i64,
    /// Of who trims.
    pub(super) trimming: i64,
}

/// The purposes of locks, beside the number of the schema.
const SCHEMA: i64 = 0;
const CHANGES: i64 = 1;
const FILING: i64 = 2;
const TRIMMING: i64 = 3;

/// The upper half of a number says whose lock it is and for what, the lower one in which schema.
const fn key(purpose: i64, schema: i64) -> i64 {
    ((APPLICATION + purpose) << 32) | schema
}

/// Looks whose the tables are, and brings them to the newest schema: all steps that are missing, or none.
pub(super) async fn prepare(
    connection: &mut PgConnection,
    address: &Path,
    steps: &'static [&'static str],
) -> Result<Locks, Failure> {
    let seconds = PREPARING.as_secs();
    let begin = format!("BEGIN; SET LOCAL statement_timeout = '{seconds}s'; SET LOCAL lock_timeout = '{seconds}s'");
    let mut transaction = connection.begin_with(begin).await?;
    let schema = examine(&mut transaction, address).await?;
    lock(&mut transaction, key(SCHEMA, schema)).await?;
    let found = version(&mut transaction, address).await?;
    let known = i64::try_from(steps.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(StoreError::Newer { path: address.to_owned(), found, known }.into());
    }
    for step in steps.iter().skip(usize::try_from(found).unwrap_or(0)) {
        transaction.execute(sqlx::raw_sql(step)).await?;
    }
    if found < known {
        sqlx::query(&format!("UPDATE {MARK} SET version = $1")).bind(known).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(Locks { changes: key(CHANGES, schema), filing: key(FILING, schema), trimming: key(TRIMMING, schema) })
}

/// Whether the server will do; the number of the schema.
async fn examine(connection: &mut PgConnection, address: &Path) -> Result<i64, Failure> {
    let refused = |why: String| StoreError::NotWritable { path: address.to_owned(), why };
    let server: i32 =
        sqlx::query_scalar("SELECT current_setting('server_version_num')::integer").fetch_one(&mut *connection).await?;
    if server < OLDEST_SERVER {
        let oldest = OLDEST_SERVER / 10_000;
        return Err(
            refused(format!("the server is PostgreSQL {}; it has to be {oldest} or later", server / 10_000)).into()
        );
    }
    let encoding: String =
        sqlx::query_scalar("SELECT current_setting('server_encoding')").fetch_one(&mut *connection).await?;
    if encoding != "UTF8" {
        return Err(refused(format!("the database holds text as {encoding}; it has to be UTF8")).into());
    }
    let schema: Option<i64> =
        sqlx::query_scalar("SELECT current_schema()::regnamespace::oid::bigint").fetch_one(connection).await?;
    let none = "no schema of the search path is there; make one: CREATE SCHEMA AUTHORIZATION <user>";
    Ok(schema.ok_or_else(|| refused(none.to_owned()))?)
}

/// The version of the tables, 0 where there are none yet: then the mark is set.
async fn version(connection: &mut PgConnection, address: &Path) -> Result<i64, Failure> {
    let there: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relname = ANY($1)",
    )
    .bind(TABLES)
    .fetch_all(&mut *connection)
    .await?;
    if there.iter().any(|table| table == MARK) {
        let version = sqlx::query_scalar(&format!("SELECT version FROM {MARK}")).fetch_optional(connection).await?;
        return version.ok_or_else(|| StoreError::Foreign { path: address.to_owned() }.into());
    }
    if !there.is_empty() {
        return Err(StoreError::Foreign { path: address.to_owned() }.into());
    }
    let mark = format!("CREATE TABLE {MARK} (version bigint NOT NULL); INSERT INTO {MARK} VALUES (0)");
    connection.execute(sqlx::raw_sql(&mark)).await?;
    Ok(0)
}
