//! The store in a database of PostgreSQL, which several instances share.
//!
//! What must have one order for all has one: who adds to the log of changes or files reports holds a lock of the database from before
//! the first number is given until the commit. So a number is never seen before a smaller one that is still to come, and reports
//! are compared with all that were filed before them. What is no order of this kind (states of domains and hosts) is written side by side.

mod changes;
mod connection;
mod failure;
mod leases;
mod reports;
mod schema;
mod states;
mod trimming;

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use sqlx::{Connection, PgConnection};
use tokio::time::{Instant, timeout};

use self::{
    connection::{Lent, READ, Server, WRITE},
    failure::{told, unreadable},
    schema::Locks,
};
use super::{
    Batch, Bounds, ChangesWanted, DayTotal, DomainRow, FacesApart, Filing, HostRow, IntakeCounters, NewsCursor,
    NewsOfReports, Page, PageError, PageWanted, ReportBatch, ReportsWanted, Shared, Store, StoreError, StoredChange,
    StoredReport,
};
use crate::{
    terms::{MxHost, PolicyDomain, Timestamp},
    verdict::DomainReports,
};

/// How long one reading or one writing may take in all, waiting for a connection not among it. A statement ends earlier
/// ([`connection`]); this is for a server that does not answer any more.
const PATIENCE: Duration = Duration::from_secs(60);

/// The same for what reads or trims all of a large fleet.
const LONG_PATIENCE: Duration = Duration::from_secs(900);

/// How often it is looked how much room all of it takes.
const MEASURED_EVERY: Duration = Duration::from_secs(600);

/// The store in a database of PostgreSQL.
#[derive(Debug)]
pub(super) struct PostgresStore {
    server: Server,
    locks: Locks,
    /// As it was when it was looked at last.
    size: AtomicU64,
    /// When that was.
    measured: Mutex<Instant>,
}

impl PostgresStore {
    /// What [`super::open_shared`] says.
    pub(super) async fn open(url: &str) -> Result<Shared, StoreError> {
        let options = connection::options(url)?;
        let server = Server::new(&options, connection::CONNECTIONS);
        let mut lent = server.lend().await?;
        let prepared = timeout(LONG_PATIENCE, schema::prepare(&mut lent, server.address(), schema::STEPS)).await;
        let locks = server.settle(lent, prepared)?;
        let store = Self { server, locks, size: AtomicU64::new(0), measured: Mutex::new(Instant::now()) };
        store.measure().await?;
        let leases = leases::PostgresLeases::new(&options);
        Ok(Shared { store: Arc::new(store), leases: Arc::new(leases) })
    }

    /// A connection to read with.
    async fn reader(&self) -> Result<Lent, StoreError> {
        self.server.lend().await.map_err(unreadable)
    }

    /// A connection to write with.
    async fn writer(&self) -> Result<Lent, StoreError> {
        self.server.lend().await
    }

    /// Notes how much room all of it takes.
    async fn measure(&self) -> Result<(), StoreError> {
        let mut reader = self.reader().await?;
        let measured = timeout(PATIENCE, size(&mut reader)).await;
        let size: i64 = self.server.read(reader, measured)?;
        self.size.store(u64::try_from(size).unwrap_or(0), Ordering::Relaxed);
        Ok(())
    }

    /// Does so where the last time was long ago. What was written is written, whether its size can be told or not.
    async fn measure_at_times(&self) {
        {
            let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
            if measured.elapsed() < MEASURED_EVERY {
                return;
            }
            *measured = Instant::now();
        }
        if let Err(error) = self.measure().await {
            tracing::debug!(%error, "the size of the state is not known");
        }
    }
}

async fn size(reader: &mut PgConnection) -> Result<i64, sqlx::Error> {
    let mut reading = reader.begin_with(READ).await?;
    let size = sqlx::query_scalar(
        "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class \
         WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND relname = ANY($1)",
    );
    let size = size.bind(schema::TABLES).fetch_one(&mut *reading).await?;
    reading.commit().await?;
    Ok(size)
}

/// Takes a lock that ends with the transaction.
async fn lock(transaction: &mut PgConnection, key: i64) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(key).execute(transaction).await?;
    Ok(())
}

impl Store for PostgresStore {
    fn domains<'a>(&'a self, names: &'a [PolicyDomain]) -> BoxFuture<'a, Result<Vec<DomainRow>, StoreError>> {
        self.domains_of(names).boxed()
    }

    fn hosts<'a>(&'a self, names: &'a [MxHost]) -> BoxFuture<'a, Result<Vec<HostRow>, StoreError>> {
        self.hosts_of(names).boxed()
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

    fn report_news(&self, since: Option<NewsCursor>) -> BoxFuture<'_, Result<NewsOfReports, StoreError>> {
        self.news_since(since).boxed()
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

    /// Several instances write here, each what is of its own domains.
    fn faces_apart(&self) -> Option<&dyn FacesApart> {
        None
    }

    fn trim(&self, bounds: Bounds, now: Timestamp) -> BoxFuture<'_, Result<(), StoreError>> {
        self.trim_all(bounds, now).boxed()
    }

    fn size(&self) -> u64 {
        self.size.load(Ordering::Relaxed)
    }

    /// A damaged database is no file that could be set aside: what is damaged in it is an error, and stays.
    fn damaged(&self) -> usize {
        0
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.server.close().boxed()
    }
}
