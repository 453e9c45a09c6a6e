//! What the monitor knows, kept over restarts: one trait, and SQLite behind it. No SQL outside this room.
//!
//! A domain and a mail host are one row each: what the fold remembers and what was seen last, packed. Each change is a row
//! of its own. A probe that shows nothing new adds no row, so that a year costs what a day costs.

mod blob;
mod faces;
mod failure;
mod filing;
mod folder;
mod leases;
mod page;
mod postgres;
mod reports;
mod row;
mod schema;
mod sqlite;
mod wording;

use std::{
    collections::{BTreeSet, HashSet},
    fmt,
    panic::resume_unwind,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::task::JoinSet;

pub use self::{
    blob::{Packed, PackedError},
    faces::{FACES_TOGETHER, NamedFace, PackedFaces},
    failure::StoreError,
    filing::{
        HOSTS_OF_A_DAY_MOST, PROVEN_KEPT, REPORTS_OF_A_REPORTER_MOST, REPORTS_OF_THE_REST_MOST, UNPROVEN_KEPT,
        VERSIONS_MOST,
    },
    leases::{Fence, Holder, Instance, InstanceState, Lease, Leases, Renewal, SlotState},
    page::{Cursor, CursorError, Page, PageError, PageWanted},
    reports::{
        DayTotal, Filed, Filing, IncomingReport, IntakeCounters, MovedDay, NewsCursor, NewsOfReports, ReportBatch,
        ReportsWanted, StoredReport,
    },
    row::{DomainRow, HostRow, StoredAddress, StoredDomain, StoredHost},
};
use self::{postgres::PostgresStore, sqlite::SqliteStore};
use crate::{
    terms::{MxHost, PolicyDomain, Timestamp},
    verdict::{Change, DomainReports},
};

/// How many domains, and how many hosts, that no configured domain concerns any more are kept, the latest first. A name that
/// changes with each answer must not fill the disk.
pub const FORMER_MOST: usize = 10_000;

/// What was written within this time is of no domain that left the configuration, however few domains there are said to be: the list
/// may be empty for a moment, and an instance may know only its own. What is looked after is written at least once a day.
pub const FORMER_AFTER: Duration = Duration::from_secs(7 * 86_400);

/// How many changes of one subject are kept, the latest first: one a day over the whole default retention.
pub const CHANGES_OF_ONE_MOST: usize = 750;

/// How many changes are kept in all, the latest first: about 200 MB.
pub const CHANGES_MOST: usize = 1_000_000;

/// A report is known again for at least this time, whatever the retention is and however many there are: senders try again for a
/// day (RFC 8460 §5.5), mail waits for a week, and what came later than 72 hours after its day is in no counter.
pub const REMEMBERED_FOR: Duration = Duration::from_secs(30 * 86_400);

/// What is written together: all of it is kept, or none.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Each takes the place of what was kept of the domain.
    pub domains: Vec<DomainRow>,
    /// Each takes the place of what was kept of the host.
    pub hosts: Vec<HostRow>,
    /// They are added.
    pub changes: Vec<Change>,
    /// With what right, where several instances share the store.
    pub fence: Option<Arc<Fence>>,
}

impl Batch {
    /// Whether there is nothing in it.
    pub const fn is_empty(&self) -> bool {
        self.domains.is_empty() && self.hosts.is_empty() && self.changes.is_empty()
    }
}

/// Which changes are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangesWanted {
    /// Only those about these names (domains or mail hosts, in canonical form); all, where there are none.
    pub names: Vec<String>,
    /// Only those that were seen at this time or later.
    pub since: Option<Timestamp>,
    /// Only those with a smaller number than this: where the answer before ended.
    pub before: Option<i64>,
    /// How many at most.
    pub most: usize,
}

/// A change with its number: the later it was written, the larger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredChange {
    /// The number.
    pub id: i64,
    /// The change.
    pub change: Change,
}

/// How far back and how much is kept.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// What was not written for this long goes.
    pub retention: Duration,
    /// How many domains are configured; where several instances share the store, those of the others among them.
    pub domains: usize,
    /// How many mail hosts they have.
    pub hosts: usize,
}

/// What was found when a store was opened.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Where a damaged file was put, and what was wrong with it.
    pub damaged: Option<(PathBuf, String)>,
}

/// Opens the store of a folder for this process alone; makes the folder and the file where they are missing. A damaged file is
/// set aside, and an empty one takes its place.
///
/// # Errors
/// [`StoreError`]: another process has the folder; a later version or another program wrote the file; it cannot be read or
/// written.
pub async fn open(folder: &Path, now: Timestamp) -> Result<Opened, StoreError> {
    let (store, damaged) = SqliteStore::open(folder, now).await?;
    Ok(Opened { store: Arc::new(store), damaged })
}

/// Opens the store of a folder to read it, also while a monitor writes it; nothing where there is none. No byte of the state is
/// written.
///
/// # Errors
/// [`StoreError`]: a later version or another program wrote the file; it is damaged or cannot be read.
pub async fn read_only(folder: &Path) -> Result<Option<Arc<dyn Store>>, StoreError> {
    let store = SqliteStore::read_only(folder).await?;
    Ok(store.map(|store| Arc::new(store) as Arc<dyn Store>))
}

/// A store that several instances share, and the leases by which they share the work.
#[derive(Clone, Debug)]
pub struct Shared {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The leases.
    pub leases: Arc<dyn Leases>,
}

/// Opens the store in a database of PostgreSQL, together with others that do the same; makes the tables where there are none, in the
/// first schema of the role's search path. What the URL does not say is taken from the environment as libpq does: PGHOST, PGPORT,
/// PGUSER, PGDATABASE, PGPASSWORD, PGPASSFILE and `~/.pgpass`, PGSSLMODE, PGSSLROOTCERT, PGSSLCERT, PGSSLKEY, PGOPTIONS.
///
/// # Errors
/// [`StoreError`]: the URL cannot be used; the server is not reached, or refuses; the tables are of a later version or another program.
pub async fn open_shared(url: &str) -> Result<Shared, StoreError> {
    PostgresStore::open(url).await
}

/// Faces of domains apart from their rows: for a stop in which there is no time to write each row anew. A face that lies apart counts where
/// the one in the row is of an earlier look, or of the same one and was written before: a domain is judged again between its looks.
pub trait FacesApart: Send + Sync {
    /// When the last of them were written; nothing where there are none.
    ///
    /// # Errors
    /// [`StoreError`] where it cannot be read.
    fn faces_written_at(&self) -> BoxFuture<'_, Result<Option<Timestamp>, StoreError>>;

    /// What was written last. Damage takes no other.
    ///
    /// # Errors
    /// [`StoreError`] where nothing can be read.
    fn faces(&self) -> BoxFuture<'_, Result<Vec<PackedFaces>, StoreError>>;

    /// Writes faces; `anew`: in place of all that lie there. When this returns, they outlive the process and the power.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing of it is kept, and nothing taken away.
    fn write_faces(
        &self,
        faces: Arc<Vec<PackedFaces>>,
        anew: bool,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// How long faces that lie apart are kept: by then every row was written anew, by a monitor that runs.
pub const FACES_APART_KEPT: Duration = Duration::from_secs(86_400);

/// Takes some of the rows that are read; says whether more are wanted.
pub type TakesPart = Arc<dyn Fn(Vec<DomainRow>) -> BoxFuture<'static, bool> + Send + Sync>;

/// So many rows are handed on together: little lies here at a time, and what there is to do with them is worth a task.
const ROWS_TOGETHER: usize = 2_048;

/// Where the monitor keeps what it knows. Any number of readers; of writers one, or several that hold leases.
pub trait Store: fmt::Debug + Send + Sync {
    /// What is kept of these domains, in no order. One of which nothing is kept is left out.
    ///
    /// # Errors
    /// [`StoreError`] where nothing can be read.
    fn domains<'a>(&'a self, names: &'a [PolicyDomain]) -> BoxFuture<'a, Result<Vec<DomainRow>, StoreError>>;

    /// The same in parts, each handed on as it is read: on other threads than the caller's, several at a time, and in no order.
    ///
    /// # Errors
    /// [`StoreError`] where not all can be read; some parts may have been handed on by then.
    fn domains_by_parts(
        &self,
        names: Arc<HashSet<PolicyDomain>>,
        part: TakesPart,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            let names: Vec<PolicyDomain> = names.iter().cloned().collect();
            let mut rows = self.domains(&names).await?;
            let mut takers = JoinSet::new();
            while !rows.is_empty() {
                let some = rows.split_off(rows.len().saturating_sub(ROWS_TOGETHER));
                let part = Arc::clone(&part);
                takers.spawn(async move { part(some).await });
            }
            while let Some(taken) = takers.join_next().await {
                taken.unwrap_or_else(|error| resume_unwind(error.into_panic()));
            }
            Ok(())
        }
        .boxed()
    }

    /// What is kept of these mail hosts, likewise.
    ///
    /// # Errors
    /// [`StoreError`] where nothing can be read.
    fn hosts<'a>(&'a self, names: &'a [MxHost]) -> BoxFuture<'a, Result<Vec<HostRow>, StoreError>>;

    /// Changes, the latest first.
    ///
    /// # Errors
    /// [`StoreError`] where nothing can be read.
    fn changes<'a>(&'a self, wanted: &'a ChangesWanted) -> BoxFuture<'a, Result<Vec<StoredChange>, StoreError>>;

    /// A page of the log of changes, the oldest first.
    ///
    /// # Errors
    /// [`PageError`] where nothing can be read, or the place to go on from is in another log.
    fn page<'a>(&'a self, wanted: &'a PageWanted) -> BoxFuture<'a, Result<Page, PageError>>;

    /// Writes a batch as of `now`. When this returns, the batch outlives the process and the power.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing of the batch is kept.
    fn write(&self, batch: Arc<Batch>, now: Timestamp) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Files reports as of `now` and counts what is new in them. When this returns, all of it outlives the process and the power,
    /// and filing the same again changes nothing but the count of duplicates.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing of the batch is kept or counted.
    fn file_reports(&self, batch: Arc<ReportBatch>, now: Timestamp) -> BoxFuture<'_, Result<Filing, StoreError>>;

    /// Of which domains reports were filed since a place in the order of filing, by whatever instance; without a place, the place of now.
    /// Whoever takes the place first, then reads what is kept, then goes on from that place, misses nothing.
    ///
    /// # Errors
    /// [`StoreError`] where nothing can be read.
    fn report_news(&self, since: Option<NewsCursor>) -> BoxFuture<'_, Result<NewsOfReports, StoreError>>;

    /// What reports say of these domains: the days from `since_day` on (days since 1970), and the counters. A domain without a
    /// report is left out.
    ///
    /// # Errors
    /// [`StoreError`] where nothing can be read.
    fn domain_reports<'a>(
        &'a self,
        names: &'a [PolicyDomain],
        since_day: i64,
    ) -> BoxFuture<'a, Result<Vec<(PolicyDomain, DomainReports)>, StoreError>>;

    /// What the intake counted, and the reporters that have a label of their own.
    ///
    /// # Errors
    /// [`StoreError`] where nothing can be read.
    fn intake_counters(&self) -> BoxFuture<'_, Result<(IntakeCounters, BTreeSet<String>), StoreError>>;

    /// Reports as they are kept, the latest first. One that cannot be read any more is left out.
    ///
    /// # Errors
    /// [`StoreError`] where nothing can be read.
    fn reports<'a>(&'a self, wanted: &'a ReportsWanted) -> BoxFuture<'a, Result<Vec<StoredReport>, StoreError>>;

    /// Sessions of a domain by day, from `since_day` to `until_day`, both among them (days since 1970); in the order of the
    /// days. Late reports are in them.
    ///
    /// # Errors
    /// [`StoreError`] where nothing can be read.
    fn day_totals<'a>(
        &'a self,
        domain: &'a PolicyDomain,
        since_day: i64,
        until_day: i64,
    ) -> BoxFuture<'a, Result<Vec<DayTotal>, StoreError>>;

    /// Where the faces of domains are kept apart from their rows, if the store can do that.
    fn faces_apart(&self) -> Option<&dyn FacesApart>;

    /// Takes away what is older or more than the bounds allow, and gives its room back.
    ///
    /// # Errors
    /// [`StoreError`]; then it is tried again another time.
    fn trim(&self, bounds: Bounds, now: Timestamp) -> BoxFuture<'_, Result<(), StoreError>>;

    /// How many bytes it takes on the disk.
    fn size(&self) -> u64;

    /// How many damaged copies were set aside and are still there.
    fn damaged(&self) -> usize;

    /// Ends the work. What was written stays.
    fn close(&self) -> BoxFuture<'_, ()>;
}
