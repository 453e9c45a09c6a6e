//! The store in one file of SQLite.

mod page;
mod reports;

use std::{
    collections::BTreeSet,
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures_util::{FutureExt, TryStreamExt, future::BoxFuture};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sqlx::{
    ConnectOptions, Connection, Row, SqliteConnection, SqlitePool,
    sqlite::{
        SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
    },
};
use tokio::sync::Mutex;

use super::{
    Batch, Bounds, CHANGES_MOST, CHANGES_OF_ONE_MOST, ChangesWanted, DayTotal, FORMER_MOST, Filing, IntakeCounters,
    Page, PageError, PageWanted, ReportBatch, ReportsWanted, Store, StoreError, StoredChange, StoredDomain, StoredHost,
    StoredReport, blob,
    failure::{code, primary, told},
    folder::Folder,
    schema,
};
use crate::{
    terms::{MxHost, PolicyDomain, Timestamp},
    verdict::{Change, ChangeKind, ChangeSubject, DomainReports},
};

/// How long a statement waits for a reader that is in its way.
const BUSY: Duration = Duration::from_secs(5);

/// How many readers at once. Each is a thread; what waits is answered a moment later.
const READERS: u32 = 2;
/// A reader that nobody needs ends after this time.
const READER_IDLE: Duration = Duration::from_secs(60);

/// The write-ahead log is cut to this many bytes once it is folded into the database.
const LOG_BYTES: &str = "4194304";

/// What has to be left out because it is larger than this, packed. The largest that was measured is a hundredth of it.
const LARGEST_BLOB: usize = 4 * 1024 * 1024;

/// The store in one file of SQLite, `state.db` in the state folder.
#[derive(Debug)]
pub(super) struct SqliteStore {
    folder: Folder,
    /// Nothing where the store was opened to be read.
    writer: Mutex<Option<SqliteConnection>>,
    readers: SqlitePool,
    /// Nothing is known of reports in a file of version 1 that is read as it is.
    has_reports: bool,
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
        let lock = Mutex::new(Some(lock));
        Ok((Self { folder, writer: Mutex::new(Some(writer)), readers, has_reports: true, lock }, damaged))
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
        let has_reports = version >= schema::WITH_REPORTS;
        Ok(Some(Self { folder, writer: Mutex::new(None), readers, has_reports, lock: Mutex::new(lock) }))
    }

    async fn blobs<T: DeserializeOwned>(&self, table: &str, names: Vec<&str>) -> Result<Vec<T>, StoreError> {
        let path = self.folder.database();
        let query = format!("SELECT state FROM {table} WHERE name = ?");
        let mut reader = self.readers.acquire().await.map_err(|error| unreadable(&error, &path))?;
        let mut found = Vec::new();
        for name in names {
            let row = sqlx::query(&query).bind(name).fetch_optional(&mut *reader).await;
            let Some(row) = row.map_err(|error| unreadable(&error, &path))? else { continue };
            let blob: &[u8] = row.try_get(0).map_err(|error| unreadable(&error, &path))?;
            match blob::unpack(blob) {
                Ok(state) => found.push(state),
                Err(error) => tracing::error!(name, %error, "what was kept cannot be read; it begins anew"),
            }
        }
        Ok(found)
    }

    async fn write_all(&self, batch: Arc<Batch>, now: Timestamp) -> Result<(), StoreError> {
        let path = self.folder.database();
        let packed = {
            let batch = Arc::clone(&batch);
            // Packing is work, and the threads of the runtime have probes to serve.
            tokio::task::spawn_blocking(move || Packed::of(&batch)).await
        };
        let packed = packed.map_err(|error| StoreError::Other { path: path.clone(), why: error.to_string() })?;
        let mut writer = self.writer.lock().await;
        let writer = writer.as_mut().ok_or_else(|| closed(&path))?;
        insert(writer, &packed, &batch.changes, now).await.map_err(|error| told(&error, &path))
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
    fn domains<'a>(&'a self, names: &'a [PolicyDomain]) -> BoxFuture<'a, Result<Vec<StoredDomain>, StoreError>> {
        self.blobs("domains", names.iter().map(PolicyDomain::as_str).collect()).boxed()
    }

    fn hosts<'a>(&'a self, names: &'a [MxHost]) -> BoxFuture<'a, Result<Vec<StoredHost>, StoreError>> {
        let hosts = self.blobs::<Thin>("hosts", names.iter().map(MxHost::as_str).collect());
        hosts.map(|hosts| Ok(hosts?.into_iter().map(Thin::filled).collect())).boxed()
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
    let options = options(path).read_only(true).immutable(still);
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

/// A batch, ready to be written.
struct Packed {
    domains: Vec<(String, Vec<u8>)>,
    hosts: Vec<(String, Vec<u8>)>,
}

impl Packed {
    fn of(batch: &Batch) -> Self {
        let domains = batch.domains.iter().filter_map(|domain| pack(domain.domain.as_str(), domain));
        let hosts = batch.hosts.iter().filter_map(|host| pack(host.host.as_str(), &Thin::of(host)));
        Self { domains: domains.collect(), hosts: hosts.collect() }
    }
}

fn pack(name: &str, state: &impl Serialize) -> Option<(String, Vec<u8>)> {
    match blob::pack(state) {
        Ok(blob) if blob.len() <= LARGEST_BLOB => return Some((name.to_owned(), blob)),
        Ok(blob) => tracing::error!(name, bytes = blob.len(), "what is known is too large to be kept"),
        Err(error) => tracing::error!(name, %error, "what is known cannot be kept"),
    }
    None
}

/// A host in which what stands in two places is written once.
#[derive(Serialize, Deserialize)]
struct Thin {
    host: StoredHost,
    /// The addresses whose last probe that reached a server is the latest one.
    #[serde(default)]
    up_now: Vec<std::net::IpAddr>,
}

impl Thin {
    fn of(host: &StoredHost) -> Self {
        let mut host = host.clone();
        let mut up_now = Vec::new();
        let history = Arc::make_mut(&mut host.history);
        for (address, known) in &mut history.addresses {
            let latest = host.addresses.get(address).and_then(|address| address.latest.as_ref());
            if known.last_up.is_some() && known.last_up.as_ref() == latest {
                known.last_up = None;
                up_now.push(*address);
            }
        }
        Self { host, up_now }
    }

    fn filled(self) -> StoredHost {
        let Self { mut host, up_now } = self;
        let history = Arc::make_mut(&mut host.history);
        for address in up_now {
            let latest = host.addresses.get(&address).and_then(|address| address.latest.clone());
            if let Some(known) = history.addresses.get_mut(&address) {
                known.last_up = latest;
            }
        }
        host
    }
}

async fn insert(
    writer: &mut SqliteConnection,
    packed: &Packed,
    changes: &[Change],
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let mut transaction = writer.begin().await?;
    for (table, rows) in [("domains", &packed.domains), ("hosts", &packed.hosts)] {
        let query = format!(
            "INSERT INTO {table} (name, saved_at, state) VALUES (?, ?, ?) \
             ON CONFLICT (name) DO UPDATE SET saved_at = excluded.saved_at, state = excluded.state"
        );
        for (name, blob) in rows {
            let query = sqlx::query(&query).bind(name).bind(now.unix_milliseconds()).bind(blob);
            query.execute(&mut *transaction).await?;
        }
    }
    for change in changes {
        let (subject, name, address) = match &change.subject {
            ChangeSubject::Domain(domain) => ("domain", domain.as_str(), None),
            ChangeSubject::Host(host) => ("host", host.as_str(), None),
            ChangeSubject::Address(host, address) => ("address", host.as_str(), Some(address.to_string())),
        };
        sqlx::query("INSERT INTO changes (at, subject, name, address, kind, was, became) VALUES (?, ?, ?, ?, ?, ?, ?)")
            .bind(change.at.unix_milliseconds())
            .bind(subject)
            .bind(name)
            .bind(address)
            .bind(change.kind.as_str())
            .bind(&change.before)
            .bind(&change.after)
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await
}

/// A row of the table of changes. One that a later version may have written is passed over.
fn change(row: &SqliteRow) -> Option<StoredChange> {
    let name: &str = row.try_get("name").ok()?;
    let subject = match row.try_get("subject").ok()? {
        "domain" => ChangeSubject::Domain(PolicyDomain::parse(name).ok()?),
        "host" => ChangeSubject::Host(MxHost::parse(name).ok()?),
        "address" => {
            let address: &str = row.try_get("address").ok()?;
            ChangeSubject::Address(MxHost::parse(name).ok()?, address.parse().ok()?)
        }
        _ => return None,
    };
    let kind: &str = row.try_get("kind").ok()?;
    let change = Change {
        at: Timestamp::from_unix_milliseconds(row.try_get("at").ok()?),
        subject,
        kind: ChangeKind::ALL.into_iter().find(|known| known.as_str() == kind)?,
        before: row.try_get("was").ok()?,
        after: row.try_get("became").ok()?,
    };
    Some(StoredChange { id: row.try_get("id").ok()?, change })
}

async fn trim(writer: &mut SqliteConnection, bounds: Bounds, now: Timestamp) -> Result<(), sqlx::Error> {
    let oldest = (now - bounds.retention).unix_milliseconds();
    let number = |most: usize| i64::try_from(most).unwrap_or(i64::MAX);
    let mut transaction = writer.begin().await?;
    for (table, in_use) in [("domains", bounds.domains), ("hosts", bounds.hosts)] {
        let old = format!("DELETE FROM {table} WHERE saved_at < ?");
        sqlx::query(&old).bind(oldest).execute(&mut *transaction).await?;
        let many = format!(
            "DELETE FROM {table} WHERE name IN (SELECT name FROM {table} ORDER BY saved_at DESC LIMIT -1 OFFSET ?)"
        );
        sqlx::query(&many).bind(number(in_use.saturating_add(FORMER_MOST))).execute(&mut *transaction).await?;
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
    reports::trim_reports(&mut transaction, bounds, now).await?;
    transaction.commit().await?;
    // Each row of its answer gives one page back.
    let mut freed = sqlx::query("PRAGMA incremental_vacuum").fetch(writer);
    while freed.try_next().await?.is_some() {}
    Ok(())
}
