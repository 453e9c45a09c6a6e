//! The store in one file of SQLite.

mod faces;
mod page;
mod reports;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fs::File,
    hash::Hash,
    mem::take,
    panic::resume_unwind,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures_util::{FutureExt, TryStreamExt, future::BoxFuture};
use sqlx::{
    ConnectOptions, Connection, Row, SqliteConnection, SqlitePool,
    sqlite::{
        SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
    },
};
use tokio::{runtime::Handle, sync::Mutex, task::JoinSet};

use super::{
    Batch, Bounds, CHANGES_MOST, CHANGES_OF_ONE_MOST, ChangesWanted, DayTotal, DomainRow, FORMER_AFTER, FORMER_MOST,
    FacesApart, Filing, HostRow, IntakeCounters, NewsCursor, NewsOfReports, Packed, Page, PageError, PageWanted,
    ROWS_TOGETHER, ReportBatch, ReportsWanted, Store, StoreError, StoredChange, StoredReport, TakesPart,
    failure::{code, primary, told},
    folder::Folder,
    row::fits,
    schema,
    wording::ChangeWords,
};
use crate::{
    terms::{MxHost, PolicyDomain, Timestamp},
    verdict::DomainReports,
};

/// How long a statement waits for a reader that is in its way.
const BUSY: Duration = Duration::from_secs(5);

/// How many readers at once. Each is a thread; what waits is answered a moment later.
const READERS: u32 = 2;
/// So many rows may wait between the thread that reads and the task that takes them: more than are handed on together, so that it reads on
/// meanwhile. To wait for each other costs more than a row.
const ROWS_WAITING: usize = 2 * ROWS_TOGETHER;
/// A reader that nobody needs ends after this time.
const READER_IDLE: Duration = Duration::from_secs(60);

/// The write-ahead log is cut to this many bytes once it is folded into the database.
const LOG_BYTES: &str = "4194304";

/// The two tables of subjects.
const DOMAINS: &str = "domains";
const HOSTS: &str = "hosts";

/// For more names than this a table is read from its begin to its end: a query a name takes longer from about here on, and a table
/// has little beside what is configured.
const ONE_BY_ONE: usize = 5_000;

/// The store in one file of SQLite, `state.db` in the state folder.
#[derive(Debug)]
pub(super) struct SqliteStore {
    folder: Folder,
    /// Nothing where the store was opened to be read.
    writer: Mutex<Option<SqliteConnection>>,
    readers: SqlitePool,
    /// Nothing is known of reports in a file of version 1 that is read as it is.
    has_reports: bool,
    /// Likewise of faces before version 3.
    has_faces: bool,
    /// … and of those that lie apart before version 4.
    has_faces_apart: bool,
    /// Held until the store is closed.
    lock: Mutex<Option<File>>,
}

/// Where a damaged file was put, and what was wrong with it; nothing where the file was good.
type Damage = Option<(PathBuf, String)>;

impl SqliteStore {
    /// What [`super::open`] says; where a damaged file was put, and what was wrong with it.
    pub(super) async fn open(folder: &Path, now: Timestamp) -> Result<(Self, Damage), StoreError> {
        Self::open_with(folder, now, schema::STEPS).await
    }

    async fn open_with(
        folder: &Path,
        now: Timestamp,
        steps: &'static [&'static str],
    ) -> Result<(Self, Damage), StoreError> {
        let folder = Folder::new(folder);
        folder.create()?;
        let lock = folder.lock().await?;
        let path = folder.database();
        let exists = std::fs::metadata(&path).is_ok_and(|metadata| metadata.len() > 0);
        folder.read_ahead();
        let looked = if exists { look(&path, steps).await } else { Ok(true) };
        let opened = match looked {
            Ok(known) => connect(&path, !known, steps).await,
            Err(error) => Err(error),
        };
        let (writer, damaged) = match opened {
            Ok(writer) => (writer, None),
            Err(StoreError::Damaged { why, .. }) => {
                let aside = folder.set_aside(now);
                let aside =
                    aside.map_err(|error| StoreError::NotWritable { path: path.clone(), why: error.to_string() })?;
                (connect(&path, false, steps).await?, Some((aside, why)))
            }
            Err(error) => return Err(error),
        };
        let readers = readers(&path, false);
        Ok((
            Self {
                folder,
                writer: Mutex::new(Some(writer)),
                readers,
                has_reports: true,
                has_faces: true,
                has_faces_apart: true,
                lock: Mutex::new(Some(lock)),
            },
            damaged,
        ))
    }

    /// What [`super::read_only`] says.
    pub(super) async fn read_only(folder: &Path) -> Result<Option<Self>, StoreError> {
        let folder = Folder::new(folder);
        let path = folder.database();
        if !std::fs::metadata(&path).is_ok_and(|metadata| metadata.len() > 0) {
            return Ok(None);
        }
        // Where nobody writes and all is in the file itself, it is read without the files that go with writing.
        let lock = folder.share();
        let still = lock.is_some() && !folder.has_log();
        let unreadable = |error: &sqlx::Error| unreadable(error, &path);
        let mut connection =
            options(&path).read_only(true).immutable(still).connect().await.map_err(|e| unreadable(&e))?;
        let found @ [_, version, _] = marks(&mut connection).await.map_err(|e| unreadable(&e))?;
        judge_marks(found, &path, schema::STEPS)?;
        let _ = connection.close().await;
        let readers = readers(&path, still);
        let (has_reports, has_faces) = (version >= schema::WITH_REPORTS, version >= schema::WITH_FACES);
        let has_faces_apart = version >= schema::WITH_FACES_APART;
        let (lock, writer) = (Mutex::new(lock), Mutex::new(None));
        Ok(Some(Self { folder, writer, readers, has_reports, has_faces, has_faces_apart, lock }))
    }

    /// The name, the state and the face of those that are there. `text`: how a name is written.
    async fn rows<N: Clone + Eq + Hash>(
        &self,
        table: &str,
        names: &[N],
        text: fn(&N) -> &str,
    ) -> Result<Vec<Subject<N>>, StoreError> {
        let path = self.folder.database();
        let told = |error: &sqlx::Error| unreadable(error, &path);
        let face = if table == DOMAINS && self.has_faces { "face" } else { "NULL" };
        let mut reader = self.readers.acquire().await.map_err(|error| told(&error))?;
        let mut found = Vec::new();
        if names.len() > ONE_BY_ONE {
            let wanted: HashMap<&str, &N> = names.iter().map(|name| (text(name), name)).collect();
            let query = format!("SELECT name, state, {face}, saved_at FROM {table}");
            let mut rows = sqlx::query(&query).fetch(&mut *reader);
            while let Some(row) = rows.try_next().await.map_err(|error| told(&error))? {
                if let Some(name) = wanted.get(row.try_get::<&str, _>(0).map_err(|error| told(&error))?) {
                    found.push(read_row(*name, &row).map_err(|error| told(&error))?);
                }
            }
            return Ok(found);
        }
        let query = format!("SELECT name, state, {face}, saved_at FROM {table} WHERE name = ?");
        for name in names {
            let row = sqlx::query(&query)
                .bind(text(name))
                .fetch_optional(&mut *reader)
                .await
                .map_err(|error| told(&error))?;
            if let Some(row) = row {
                found.push(read_row(name, &row).map_err(|error| told(&error))?);
            }
        }
        Ok(found)
    }

    /// Reads the table of domains with all readers at once, each a part of it.
    async fn read_by_parts(&self, names: Arc<HashSet<PolicyDomain>>, part: TakesPart) -> Result<(), StoreError> {
        let path = self.folder.database();
        let ends: (Option<i64>, Option<i64>) = sqlx::query_as("SELECT min(rowid), max(rowid) FROM domains")
            .fetch_one(&self.readers)
            .await
            .map_err(|error| unreadable(&error, &path))?;
        let (Some(first), Some(last)) = ends else { return Ok(()) };
        let step = last.saturating_sub(first) / i64::from(READERS) + 1;
        let mut readings = JoinSet::new();
        for reader in 0..READERS {
            let from = first.saturating_add(step.saturating_mul(i64::from(reader)));
            let reading = Reading {
                readers: self.readers.clone(),
                has_faces: self.has_faces,
                rows: (from, from.saturating_add(step - 1)),
                names: Arc::clone(&names),
                part: Arc::clone(&part),
            };
            let runtime = Handle::current();
            // What is done with a part is work too.
            readings.spawn_blocking(move || runtime.block_on(reading.read()));
        }
        while let Some(read) = readings.join_next().await {
            let read = read.unwrap_or_else(|error| resume_unwind(error.into_panic()));
            read.map_err(|error| unreadable(&error, &path))?;
        }
        Ok(())
    }

    async fn write_all(&self, batch: Arc<Batch>, now: Timestamp) -> Result<(), StoreError> {
        let path = self.folder.database();
        let mut writer = self.writer.lock().await;
        let writer = writer.as_mut().ok_or_else(|| closed(&path))?;
        insert(writer, &batch, now).await.map_err(|error| told(&error, &path))
    }

    async fn trim_all(&self, bounds: Bounds, now: Timestamp) -> Result<(), StoreError> {
        let path = self.folder.database();
        let mut writer = self.writer.lock().await;
        let writer = writer.as_mut().ok_or_else(|| closed(&path))?;
        trim(writer, bounds, now).await.map_err(|error| told(&error, &path))
    }

    async fn changes_of(&self, wanted: &ChangesWanted) -> Result<Vec<StoredChange>, StoreError> {
        let path = self.folder.database();
        let mut query =
            sqlx::QueryBuilder::new("SELECT id, at, subject, name, address, kind, was, became FROM changes WHERE true");
        if let Some(since) = wanted.since {
            query.push(" AND at >= ").push_bind(since.unix_milliseconds());
        }
        if let Some(before) = wanted.before {
            query.push(" AND id < ").push_bind(before);
        }
        if !wanted.names.is_empty() {
            query.push(" AND name IN (");
            let mut names = query.separated(", ");
            for name in &wanted.names {
                names.push_bind(name);
            }
            query.push(")");
        }
        query.push(" ORDER BY id DESC LIMIT ").push_bind(i64::try_from(wanted.most).unwrap_or(i64::MAX));
        let rows = query.build().fetch_all(&self.readers).await.map_err(|error| unreadable(&error, &path))?;
        Ok(rows.iter().filter_map(change).collect())
    }
}

impl Store for SqliteStore {
    fn domains<'a>(&'a self, names: &'a [PolicyDomain]) -> BoxFuture<'a, Result<Vec<DomainRow>, StoreError>> {
        let rows = self.rows(DOMAINS, names, PolicyDomain::as_str);
        rows.map(|rows| Ok(rows?.into_iter().map(DomainRow::from).collect())).boxed()
    }

    fn domains_by_parts(
        &self,
        names: Arc<HashSet<PolicyDomain>>,
        part: TakesPart,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        if names.len() > ONE_BY_ONE {
            return self.read_by_parts(names, part).boxed();
        }
        async move {
            let names: Vec<PolicyDomain> = names.iter().cloned().collect();
            part(self.domains(&names).await?).await;
            Ok(())
        }
        .boxed()
    }

    fn hosts<'a>(&'a self, names: &'a [MxHost]) -> BoxFuture<'a, Result<Vec<HostRow>, StoreError>> {
        let rows = self.rows(HOSTS, names, MxHost::as_str);
        let host = |Subject { name, state, .. }| HostRow { host: name, state };
        rows.map(move |rows| Ok(rows?.into_iter().map(host).collect())).boxed()
    }

    fn changes<'a>(&'a self, wanted: &'a ChangesWanted) -> BoxFuture<'a, Result<Vec<StoredChange>, StoreError>> {
        self.changes_of(wanted).boxed()
    }

    fn page<'a>(&'a self, wanted: &'a PageWanted) -> BoxFuture<'a, Result<Page, PageError>> {
        self.page_of(wanted).boxed()
    }

    fn write(&self, batch: Arc<Batch>, now: Timestamp) -> BoxFuture<'_, Result<(), StoreError>> {
        self.write_all(batch, now).boxed()
    }

    fn file_reports(&self, batch: Arc<ReportBatch>, now: Timestamp) -> BoxFuture<'_, Result<Filing, StoreError>> {
        self.file_all(batch, now).boxed()
    }

    /// Nobody else files: what was filed is known to who filed it.
    fn report_news(&self, since: Option<NewsCursor>) -> BoxFuture<'_, Result<NewsOfReports, StoreError>> {
        let next = since.unwrap_or_default();
        async { Ok(NewsOfReports { next, ..NewsOfReports::default() }) }.boxed()
    }

    fn domain_reports<'a>(
        &'a self,
        names: &'a [PolicyDomain],
        since_day: i64,
    ) -> BoxFuture<'a, Result<Vec<(PolicyDomain, DomainReports)>, StoreError>> {
        self.domain_reports_of(names, since_day).boxed()
    }

    fn intake_counters(&self) -> BoxFuture<'_, Result<(IntakeCounters, BTreeSet<String>), StoreError>> {
        self.intake().boxed()
    }

    fn reports<'a>(&'a self, wanted: &'a ReportsWanted) -> BoxFuture<'a, Result<Vec<StoredReport>, StoreError>> {
        self.reports_of(wanted).boxed()
    }

    fn day_totals<'a>(
        &'a self,
        domain: &'a PolicyDomain,
        since_day: i64,
        until_day: i64,
    ) -> BoxFuture<'a, Result<Vec<DayTotal>, StoreError>> {
        self.day_totals_of(domain, since_day, until_day).boxed()
    }

    fn faces_apart(&self) -> Option<&dyn FacesApart> {
        Some(self)
    }

    fn trim(&self, bounds: Bounds, now: Timestamp) -> BoxFuture<'_, Result<(), StoreError>> {
        self.trim_all(bounds, now).boxed()
    }

    fn size(&self) -> u64 {
        self.folder.size()
    }

    fn damaged(&self) -> usize {
        self.folder.damaged().len()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async {
            self.readers.close().await;
            // The last connection folds the write-ahead log into the database.
            if let Some(writer) = self.writer.lock().await.take()
                && let Err(error) = writer.close().await
            {
                tracing::warn!(%error, "the state was not closed cleanly; nothing that was written is lost");
            }
            // Whoever still holds the store cannot keep the folder from the next one.
            self.lock.lock().await.take();
        }
        .boxed()
    }
}

fn closed(path: &Path) -> StoreError {
    StoreError::NotWritable { path: path.to_owned(), why: "it is closed, or was opened to be read".to_owned() }
}

fn unreadable(error: &sqlx::Error, path: &Path) -> StoreError {
    match told(error, path) {
        StoreError::NotWritable { path, why } | StoreError::Other { path, why } => StoreError::Unreadable { path, why },
        other => other,
    }
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(path).busy_timeout(BUSY).disable_statement_logging()
}

fn readers(path: &Path, still: bool) -> SqlitePool {
    let options = options(path).read_only(true).immutable(still).row_buffer_size(ROWS_WAITING);
    SqlitePoolOptions::new().max_connections(READERS).idle_timeout(READER_IDLE).connect_lazy_with(options)
}

/// The marks of a file: of which program it is, its schema version, and how many tables it has.
async fn marks(connection: &mut SqliteConnection) -> Result<[i64; 3], sqlx::Error> {
    let application = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await?;
    let version = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *connection).await?;
    let tables = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(connection).await?;
    Ok([application, version, tables])
}

fn judge_marks([application, found, tables]: [i64; 3], path: &Path, steps: &[&str]) -> Result<(), StoreError> {
    let known = schema::known(steps);
    if application != schema::APPLICATION && (application, found, tables) != (0, 0, 0) {
        return Err(StoreError::Foreign { path: path.to_owned() });
    }
    if found > known {
        return Err(StoreError::Newer { path: path.to_owned(), found, known });
    }
    Ok(())
}

/// Reads whose file it is and whether it is whole, without a touch: that of a later version has to stay as it is, and so has a
/// damaged one. Says whether it could be told.
async fn look(path: &Path, steps: &[&str]) -> Result<bool, StoreError> {
    let looked = async {
        let mut connection = options(path).read_only(true).connect().await?;
        let seen = examine(&mut connection).await;
        connection.close().await?;
        seen
    };
    match looked.await {
        Ok(seen) => judge(seen, path, steps).map(|()| true),
        // Left over from a crash in the middle of the very first write: only a writer can put it in order.
        Err(error) if primary(&error) == Some(code::READONLY) => Ok(false),
        Err(error) => Err(unreadable(&error, path)),
    }
}

/// The marks of a file, and what the check of all its pages says.
async fn examine(connection: &mut SqliteConnection) -> Result<([i64; 3], String), sqlx::Error> {
    let marks = marks(connection).await?;
    Ok((marks, sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(connection).await?))
}

fn judge((marks, checked): ([i64; 3], String), path: &Path, steps: &[&str]) -> Result<(), StoreError> {
    judge_marks(marks, path, steps)?;
    match checked.as_str() {
        "ok" => Ok(()),
        _ => Err(StoreError::Damaged { path: path.to_owned(), why: checked }),
    }
}

/// Opens the file for writing. `unknown`: one that could not be looked at before.
async fn connect(path: &Path, unknown: bool, steps: &'static [&'static str]) -> Result<SqliteConnection, StoreError> {
    let told = |error: &sqlx::Error| told(error, path);
    let options = options(path)
        .create_if_missing(true)
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        .journal_mode(SqliteJournalMode::Wal)
        // A commit returns when the log is on the disk.
        .synchronous(SqliteSynchronous::Full)
        .pragma("journal_size_limit", LOG_BYTES);
    let mut connection = options.connect().await.map_err(|error| told(&error))?;
    if unknown {
        let seen = examine(&mut connection).await.map_err(|error| told(&error))?;
        judge(seen, path, steps)?;
    }
    schema::migrate(&mut connection, steps).await.map_err(|error| told(&error))?;
    Ok(connection)
}

/// A row of one of the two tables of subjects. The name is that of who asked: a million need not be read, and held a second time.
struct Subject<N> {
    name: N,
    state: Packed,
    face: Option<Box<[u8]>>,
    saved_at: Timestamp,
}

impl From<Subject<PolicyDomain>> for DomainRow {
    fn from(Subject { name, state, face, saved_at }: Subject<PolicyDomain>) -> Self {
        Self { domain: name, state, face, saved_at: Some(saved_at) }
    }
}

fn read_row<N: Clone>(name: &N, row: &SqliteRow) -> Result<Subject<N>, sqlx::Error> {
    // Copied once, each as long as it is.
    let (state, face): (&[u8], Option<&[u8]>) = (row.try_get(1)?, row.try_get(2)?);
    let saved_at = Timestamp::from_unix_milliseconds(row.try_get(3)?);
    Ok(Subject { name: name.clone(), state: Packed::from_bytes(state), face: face.map(Into::into), saved_at })
}

/// Reading a part of the table of domains.
struct Reading {
    readers: SqlitePool,
    has_faces: bool,
    /// From the first to the last number of a row.
    rows: (i64, i64),
    names: Arc<HashSet<PolicyDomain>>,
    part: TakesPart,
}

impl Reading {
    async fn read(self) -> Result<(), sqlx::Error> {
        let Self { readers, has_faces, rows: (first, last), names, part } = self;
        let query = match has_faces {
            true => "SELECT name, state, face, saved_at FROM domains WHERE rowid BETWEEN ? AND ?",
            false => "SELECT name, state, NULL, saved_at FROM domains WHERE rowid BETWEEN ? AND ?",
        };
        let mut rows = sqlx::query(query).bind(first).bind(last).fetch(&readers);
        let mut some = Vec::new();
        loop {
            let row = rows.try_next().await?;
            let name = row.as_ref().map(|row| row.try_get::<&str, _>(0)).transpose()?;
            if let Some((row, name)) = row.as_ref().zip(name.and_then(|name| names.get(name))) {
                some.push(read_row(name, row)?.into());
            }
            if some.len() >= ROWS_TOGETHER || row.is_none() {
                let wanted = part(take(&mut some)).await;
                if row.is_none() || !wanted {
                    return Ok(());
                }
            }
        }
    }
}

async fn insert(writer: &mut SqliteConnection, batch: &Batch, now: Timestamp) -> Result<(), sqlx::Error> {
    let mut transaction = writer.begin().await?;
    for row in batch.domains.iter().filter(|row| fits(row.domain.as_str(), &row.state)) {
        sqlx::query(
            "INSERT INTO domains (name, saved_at, state, face) VALUES (?, ?, ?, ?) ON CONFLICT (name) \
             DO UPDATE SET saved_at = excluded.saved_at, state = excluded.state, face = excluded.face",
        )
        .bind(row.domain.as_str())
        .bind(now.unix_milliseconds())
        .bind(row.state.as_bytes())
        .bind(row.face.as_deref())
        .execute(&mut *transaction)
        .await?;
    }
    for row in batch.hosts.iter().filter(|row| fits(row.host.as_str(), &row.state)) {
        sqlx::query(
            "INSERT INTO hosts (name, saved_at, state) VALUES (?, ?, ?) \
             ON CONFLICT (name) DO UPDATE SET saved_at = excluded.saved_at, state = excluded.state",
        )
        .bind(row.host.as_str())
        .bind(now.unix_milliseconds())
        .bind(row.state.as_bytes())
        .execute(&mut *transaction)
        .await?;
    }
    for change in &batch.changes {
        let words = ChangeWords::of(change);
        sqlx::query("INSERT INTO changes (at, subject, name, address, kind, was, became) VALUES (?, ?, ?, ?, ?, ?, ?)")
            .bind(words.at)
            .bind(words.subject)
            .bind(words.name)
            .bind(words.address)
            .bind(words.kind)
            .bind(words.before)
            .bind(words.after)
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await
}

/// A row of the table of changes. One that a later version may have written is passed over.
fn change(row: &SqliteRow) -> Option<StoredChange> {
    let words = ChangeWords {
        at: row.try_get("at").ok()?,
        subject: row.try_get("subject").ok()?,
        name: row.try_get("name").ok()?,
        address: row.try_get("address").ok()?,
        kind: row.try_get("kind").ok()?,
        before: row.try_get("was").ok()?,
        after: row.try_get("became").ok()?,
    };
    Some(StoredChange { id: row.try_get("id").ok()?, change: words.read()? })
}

async fn trim(writer: &mut SqliteConnection, bounds: Bounds, now: Timestamp) -> Result<(), sqlx::Error> {
    let oldest = (now - bounds.retention).unix_milliseconds();
    let former_since = (now - FORMER_AFTER).unix_milliseconds();
    let number = |most: usize| i64::try_from(most).unwrap_or(i64::MAX);
    let mut transaction = writer.begin().await?;
    for (table, in_use) in [("domains", bounds.domains), ("hosts", bounds.hosts)] {
        let old = format!("DELETE FROM {table} WHERE saved_at < ?");
        sqlx::query(&old).bind(oldest).execute(&mut *transaction).await?;
        let many = format!(
            "DELETE FROM {table} WHERE saved_at < ? AND name IN \
             (SELECT name FROM {table} ORDER BY saved_at DESC LIMIT -1 OFFSET ?)"
        );
        let kept = number(in_use.saturating_add(FORMER_MOST));
        sqlx::query(&many).bind(former_since).bind(kept).execute(&mut *transaction).await?;
    }
    sqlx::query("DELETE FROM changes WHERE at < ?").bind(oldest).execute(&mut *transaction).await?;
    sqlx::query(
        "DELETE FROM changes WHERE id IN (SELECT id FROM \
         (SELECT id, row_number() OVER (PARTITION BY name, address ORDER BY id DESC) AS place FROM changes) WHERE place > ?)",
    )
    .bind(number(CHANGES_OF_ONE_MOST))
    .execute(&mut *transaction)
    .await?;
    sqlx::query("DELETE FROM changes WHERE id <= (SELECT id FROM changes ORDER BY id DESC LIMIT 1 OFFSET ?)")
        .bind(number(CHANGES_MOST))
        .execute(&mut *transaction)
        .await?;
    faces::trim(&mut transaction, now).await?;
    reports::trim_reports(&mut transaction, bounds, now).await?;
    transaction.commit().await?;
    // Each row of its answer gives one page back.
    let mut freed = sqlx::query("PRAGMA incremental_vacuum").fetch(writer);
    while freed.try_next().await?.is_some() {}
    Ok(())
}
