//! The one task that files reports: what comes within a moment is one transaction.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    Postponed,
    labels::Labels,
    shared::{Plan, Shared},
};
use crate::{
    monitor::{SharedStore, Telemetry},
    net::now,
    protocol::tls_rpt::RefusalReason,
    store::{Filed, Filing, IncomingReport, IntakeCounters, NewsCursor, ReportBatch, Store, StoreError},
    terms::{PolicyDomain, Timestamp},
    verdict::{DAYS_KEPT, DomainReports},
};

/// So long it is waited for more, once there is one: a commit costs about as much.
const GATHER: Duration = Duration::from_millis(5);
/// So many reports are filed together.
const BATCH_MOST: usize = 500;
/// What was refused is counted in the store after this time: a flood of refusals is one write a second.
const COUNT_AFTER: Duration = Duration::from_secs(1);

/// A report on its way into the store.
#[derive(Debug)]
pub(super) struct Item {
    /// Its label is filled in when it is filed.
    pub(super) report: IncomingReport,
    pub(super) foreign: u64,
    pub(super) done: oneshot::Sender<Result<Filed, Postponed>>,
}

/// What the keeper has to know.
#[derive(Debug)]
pub(crate) enum IntakeNews {
    /// Reports were filed.
    Filed(Box<Filing>),
    /// Another store is open: this is all that it has.
    Restored(KeptReports),
    /// Other instances filed reports: what the store has of these domains by now, and what all together have counted.
    Others(Vec<(PolicyDomain, DomainReports)>, Box<IntakeCounters>),
}

/// What a store has of reports.
#[derive(Debug, Default)]
pub(crate) struct KeptReports {
    pub(crate) domains: Vec<(PolicyDomain, DomainReports)>,
    pub(crate) intake: IntakeCounters,
    pub(crate) labels: BTreeSet<String>,
    /// What was filed after that is not in it.
    pub(crate) place: NewsCursor,
}

impl KeptReports {
    /// Reads it.
    pub(crate) async fn load(store: &dyn Store, domains: &[PolicyDomain]) -> Result<Self, StoreError> {
        let since = day(now()) - DAYS_KEPT;
        // First: what is filed meanwhile by others is read once more, and not missed.
        let place = store.report_news(None).await?.next;
        let (intake, labels) = store.intake_counters().await?;
        Ok(Self { domains: store.domain_reports(domains, since).await?, intake, labels, place })
    }
}

/// The UTC day, in days since 1970.
fn day(at: Timestamp) -> i64 {
    at.unix_seconds().div_euclid(86_400)
}

pub(super) struct Filer {
    pub(super) inbox: mpsc::Receiver<Item>,
    pub(super) shared: Arc<Shared>,
    pub(super) store: Option<SharedStore>,
    /// The store of which the labels and the days are known.
    pub(super) known: Option<Arc<dyn Store>>,
    pub(super) labels: Labels,
    /// Up to here is known what other instances filed.
    pub(super) place: NewsCursor,
    pub(super) news: mpsc::Sender<IntakeNews>,
    pub(super) telemetry: Telemetry,
    pub(super) stop: CancellationToken,
}

impl Filer {
    pub(super) async fn run(mut self) {
        let mut count_at = Instant::now() + COUNT_AFTER;
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                () = sleep_until(count_at) => {
                    count_at = Instant::now() + COUNT_AFTER;
                    // Another store may have come, also where no report does.
                    if let Err(error) = self.look_around().await {
                        tracing::debug!(%error, "what is kept of reports cannot be read for now");
                    }
                }
                item = self.inbox.recv() => {
                    let Some(item) = item else { break };
                    let items = self.gather(item).await;
                    match self.adopt().await {
                        Ok(Some(store)) => self.file(&store, items).await,
                        Ok(None) => answer(items, &Postponed::Closed),
                        Err(error) => answer(items, &error.into()),
                    }
                }
            }
        }
        if self.shared.has_refused()
            && let Some(store) = self.current()
        {
            self.file(&store, Vec::new()).await;
        }
    }

    /// What has to be done though no report comes.
    async fn look_around(&mut self) -> Result<(), StoreError> {
        let Some(store) = self.adopt().await? else { return Ok(()) };
        if self.shared.has_refused() {
            self.file(&store, Vec::new()).await;
        }
        self.catch_up(&store).await
    }

    /// Tells the fleet what other instances filed about its domains. What this one filed itself is among it, and changes nothing.
    async fn catch_up(&mut self, store: &Arc<dyn Store>) -> Result<(), StoreError> {
        loop {
            let news = store.report_news(Some(self.place.clone())).await?;
            if !news.domains.is_empty() {
                let plan = self.shared.plan();
                let own: Vec<PolicyDomain> =
                    news.domains.into_iter().filter(|domain| plan.domains.has(domain.as_str())).collect();
                let domains = match own.as_slice() {
                    [] => Vec::new(),
                    own => store.domain_reports(own, day(now()) - DAYS_KEPT).await?,
                };
                let (intake, labels) = store.intake_counters().await?;
                self.labels.restore(&labels);
                domains.iter().for_each(|(_, reports)| self.labels.restore_days(reports));
                self.tell(IntakeNews::Others(domains, Box::new(intake))).await;
            }
            self.place = news.next;
            if !news.more {
                return Ok(());
            }
        }
    }

    async fn gather(&mut self, first: Item) -> Vec<Item> {
        let mut items = vec![first];
        let deadline = Instant::now() + GATHER;
        while items.len() < BATCH_MOST
            && let Ok(Some(item)) = timeout_at(deadline, self.inbox.recv()).await
        {
            items.push(item);
        }
        items
    }

    fn current(&self) -> Option<Arc<dyn Store>> {
        self.store.as_ref().and_then(|store| store.borrow().clone())
    }

    /// The store that is open. Where it is another one than before, the fleet learns what it has before anything is added to it.
    async fn adopt(&mut self) -> Result<Option<Arc<dyn Store>>, StoreError> {
        let Some(store) = self.current() else { return Ok(None) };
        let same = |known: &Arc<dyn Store>| std::ptr::addr_eq(Arc::as_ptr(known), Arc::as_ptr(&store));
        if !self.known.as_ref().is_some_and(same) {
            let domains: Vec<PolicyDomain> = self.shared.plan().domains.iter().map(|one| one.domain.clone()).collect();
            let kept = KeptReports::load(store.as_ref(), &domains).await?;
            self.labels.restore(&kept.labels);
            for (_, reports) in &kept.domains {
                self.labels.restore_days(reports);
            }
            self.place = kept.place.clone();
            self.tell(IntakeNews::Restored(kept)).await;
            self.known = Some(Arc::clone(&store));
        }
        Ok(Some(store))
    }

    async fn file(&mut self, store: &Arc<dyn Store>, items: Vec<Item>) {
        let Plan { reporters, .. } = &*self.shared.plan();
        self.labels.configure(reporters);
        let labels = self.labels.unwritten();
        let refused = self.shared.take_refused();
        let mut waiting = Vec::with_capacity(items.len());
        let mut batch = ReportBatch { refused: refused.clone(), labels: labels.clone(), ..ReportBatch::default() };
        for Item { mut report, foreign, done } in items {
            report.label = self.labels.of(&report.provenance.reporter);
            batch.foreign_policies = batch.foreign_policies.saturating_add(foreign);
            batch.reports.push(report);
            waiting.push(done);
        }
        let time = now();
        match store.file_reports(Arc::new(batch), time).await {
            Ok(filing) => {
                self.telemetry.state_written(time);
                self.labels.written(&labels);
                self.labels.note(&filing.contributions, day(time));
                let outcomes = filing.outcomes.clone();
                // The keeper first: who hears that a report was taken may ask for it at once.
                self.tell(IntakeNews::Filed(Box::new(filing))).await;
                for (done, outcome) in waiting.into_iter().zip(outcomes) {
                    // Whoever waited may be gone; the report is stored all the same.
                    let _ = done.send(Ok(outcome));
                }
            }
            Err(error) => {
                self.telemetry.state_write_failed(1);
                tracing::warn!(%error, "reports cannot be stored for now; they stay where they came from");
                self.shared.give_back_refused(&refused);
                let postponed = Postponed::from(error);
                for done in waiting {
                    let _ = done.send(Err(postponed.clone()));
                }
            }
        }
    }

    /// Only a monitor that is stopping does not listen.
    async fn tell(&self, news: IntakeNews) {
        let _ = self.news.send(news).await;
    }
}

fn answer(items: Vec<Item>, postponed: &Postponed) {
    for item in items {
        let _ = item.done.send(Err(postponed.clone()));
    }
}

/// Adds up what was refused.
pub(super) fn add(sums: &mut BTreeMap<RefusalReason, u64>, more: &BTreeMap<RefusalReason, u64>) {
    for (reason, count) in more {
        let sum = sums.entry(*reason).or_default();
        *sum = sum.saturating_add(*count);
    }
}
