//! A store in whose midst the program breaks: whoever writes to it is missed by name, and the rest ends in order.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_util::future::{BoxFuture, FutureExt};
use smtptls_exporter::{
    facts::Transport,
    monitor::{Allotment, Monitor, Receipt, SharedState, Surroundings, Telemetry, Unrendered},
    net::now,
    store::{
        Batch, Bounds, ChangesWanted, DayTotal, DomainRow, FacesApart, Filing, Holder, HostRow, Instance,
        IntakeCounters, Lease, Leases, NewsCursor, NewsOfReports, Page, PageError, PageWanted, Renewal, ReportBatch,
        ReportsWanted, Shared, SlotState, Store, StoreError, StoredChange, StoredReport, open,
    },
    terms::{MxHost, PolicyDomain, Timestamp},
    verdict::DomainReports,
};
use tempfile::TempDir;
use tokio::time::timeout;

use super::{
    monitor::PATIENCE,
    reports::{intake::raw, made::REPORT},
    world::mail_world::MailWorld,
};

/// What breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Write,
    File,
}

/// A store that works until it is told to break.
#[derive(Debug)]
struct Breaking {
    inner: Arc<dyn Store>,
    at: At,
    breaks: Arc<AtomicBool>,
}

impl Breaking {
    fn pass(&self, at: At) {
        assert!(self.at != at || !self.breaks.load(SeqCst), "the store breaks");
    }
}

type Outcome<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

impl Store for Breaking {
    fn domains<'a>(&'a self, names: &'a [PolicyDomain]) -> Outcome<'a, Vec<DomainRow>> {
        self.inner.domains(names)
    }

    fn hosts<'a>(&'a self, names: &'a [MxHost]) -> Outcome<'a, Vec<HostRow>> {
        self.inner.hosts(names)
    }

    fn changes<'a>(&'a self, wanted: &'a ChangesWanted) -> Outcome<'a, Vec<StoredChange>> {
        self.inner.changes(wanted)
    }

    fn page<'a>(&'a self, wanted: &'a PageWanted) -> BoxFuture<'a, Result<Page, PageError>> {
        self.inner.page(wanted)
    }

    fn write(&self, batch: Arc<Batch>, now: Timestamp) -> Outcome<'_, ()> {
        async move {
            self.pass(At::Write);
            self.inner.write(batch, now).await
        }
        .boxed()
    }

    fn file_reports(&self, batch: Arc<ReportBatch>, now: Timestamp) -> Outcome<'_, Filing> {
        async move {
            self.pass(At::File);
            self.inner.file_reports(batch, now).await
        }
        .boxed()
    }

    fn report_news(&self, since: Option<NewsCursor>) -> Outcome<'_, NewsOfReports> {
        self.inner.report_news(since)
    }

    fn domain_reports<'a>(
        &'a self,
        names: &'a [PolicyDomain],
        since_day: i64,
    ) -> Outcome<'a, Vec<(PolicyDomain, DomainReports)>> {
        self.inner.domain_reports(names, since_day)
    }

    fn intake_counters(&self) -> Outcome<'_, (IntakeCounters, BTreeSet<String>)> {
        self.inner.intake_counters()
    }

    fn reports<'a>(&'a self, wanted: &'a ReportsWanted) -> Outcome<'a, Vec<StoredReport>> {
        self.inner.reports(wanted)
    }

    fn day_totals<'a>(
        &'a self,
        domain: &'a PolicyDomain,
        since_day: i64,
        until_day: i64,
    ) -> Outcome<'a, Vec<DayTotal>> {
        self.inner.day_totals(domain, since_day, until_day)
    }

    fn faces_apart(&self) -> Option<&dyn FacesApart> {
        self.inner.faces_apart()
    }

    fn trim(&self, bounds: Bounds, now: Timestamp) -> Outcome<'_, ()> {
        self.inner.trim(bounds, now)
    }

    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn damaged(&self) -> usize {
        self.inner.damaged()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.inner.close()
    }
}

/// Leases of the only instance that there is.
#[derive(Debug)]
struct Alone;

impl Leases for Alone {
    fn renew<'a>(&'a self, instance: &'a Instance, held: &'a [Lease], _: Duration) -> Outcome<'a, Renewal> {
        async move {
            // One slot, which nobody ever had before this instance took it.
            let holder = (!held.is_empty()).then(|| instance.holder.clone());
            let left = (!held.is_empty()).then_some(Duration::from_secs(600));
            let slot = SlotState { slot: 0, holder, left, free_for: None, wanted_by: None };
            Ok(Renewal { held: held.to_vec(), slots: vec![slot], instances: Vec::new() })
        }
        .boxed()
    }

    fn take<'a>(&'a self, _: &'a Instance, slot: u32, _: Duration, _: Duration) -> Outcome<'a, Option<Lease>> {
        async move { Ok(Some(Lease { slot, epoch: 1 })) }.boxed()
    }

    fn ask<'a>(&'a self, _: &'a Instance, _: Duration) -> Outcome<'a, bool> {
        async { Ok(true) }.boxed()
    }

    fn give<'a>(&'a self, _: &'a Holder, _: &'a [Lease]) -> Outcome<'a, ()> {
        async { Ok(()) }.boxed()
    }

    fn leave<'a>(&'a self, _: &'a Holder) -> Outcome<'a, ()> {
        async { Ok(()) }.boxed()
    }
}

/// A monitor whose store breaks there as soon as it is told to.
async fn start(world: &MailWorld, folder: &TempDir, at: At) -> (Monitor, Telemetry, Arc<AtomicBool>) {
    let inner = open(folder.path(), now()).await.unwrap().store;
    let breaks = Arc::new(AtomicBool::new(false));
    let store: Arc<dyn Store> = Arc::new(Breaking { inner, at, breaks: Arc::clone(&breaks) });
    let state = SharedState::new(Box::new(move || {
        let shared = Shared { store: Arc::clone(&store), leases: Arc::new(Alone) };
        async move { Ok(shared) }.boxed()
    }));
    let settings = Arc::new(world.settings(&["example.com"]));
    let surroundings = Surroundings { variable: None, host: None };
    let allotment = Allotment::shared(settings, surroundings, state, None).await.unwrap();
    let (telemetry, sharing) = (Telemetry::new().unwrap(), allotment.sharing().unwrap());
    let renderer = Arc::new(Unrendered);
    let monitor =
        Monitor::start_sharing(allotment.part(), telemetry.clone(), folder.path(), sharing, renderer).await.unwrap();
    // Nothing was lost until now.
    assert!(timeout(Duration::from_millis(50), telemetry.lost()).await.is_err());
    (monitor, telemetry, breaks)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_of_the_state_that_panics_is_missed() {
    let (world, folder) = (MailWorld::start().await, TempDir::new().unwrap());
    let _domain = world.domain("example.com").await;
    let (monitor, telemetry, breaks) = start(&world, &folder, At::Write).await;
    breaks.store(true, SeqCst);
    assert_eq!(timeout(PATIENCE, telemetry.lost()).await.unwrap(), "the writer of the state");
    // The keeper looks on until it is told to stop, and does not wait for who is gone.
    assert!(monitor.pulse().silence() < Duration::from_secs(10));
    timeout(PATIENCE, monitor.stop()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_files_reports_and_panics_is_missed_and_nothing_is_acknowledged() {
    let (world, folder) = (MailWorld::start().await, TempDir::new().unwrap());
    let _domain = world.domain("example.com").await;
    let (monitor, telemetry, breaks) = start(&world, &folder, At::File).await;
    breaks.store(true, SeqCst);
    let intake = monitor.intake();
    let receipt = timeout(PATIENCE, intake.submit(raw(Transport::File, REPORT))).await.unwrap();
    assert!(matches!(receipt, Receipt::Later(_)), "it stays where it is: {receipt:?}");
    assert_eq!(timeout(PATIENCE, telemetry.lost()).await.unwrap(), "the filing of reports");
    // Who comes later is not kept waiting.
    let receipt = timeout(PATIENCE, intake.submit(raw(Transport::File, REPORT))).await.unwrap();
    assert!(matches!(receipt, Receipt::Later(_)), "{receipt:?}");
    timeout(PATIENCE, monitor.stop()).await.unwrap();
}
