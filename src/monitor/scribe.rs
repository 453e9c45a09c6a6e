//! The one task that writes to the store. The keeper hands it a batch at a time and never waits for it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, timeout_at},
};

use super::{Rights, SharedState, Sharing, Telemetry, fleet::BATCH, intake::KeptReports, schedule::backed_off};
use crate::{
    net::now,
    store::{self, Batch, Bounds, PackedFaces, Store, StoreError},
    terms::PolicyDomain,
};

/// What is new is written after this time: what comes together is one transaction.
const NEWS_AFTER: Duration = Duration::from_secs(1);
/// How often it is looked for what shows nothing new and has to be written all the same.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// A write that failed is tried again after this time, then later and later …
const RETRY: Duration = Duration::from_secs(5);
/// … but never later than this.
const RETRY_MOST: Duration = Duration::from_secs(300);
/// Between two looks for what is too old or too much.
const TRIM_EVERY: Duration = Duration::from_secs(6 * 3600);

/// The store, once it could be opened. It may come later, and go while a damaged file is replaced.
pub type SharedStore = watch::Receiver<Option<Arc<dyn Store>>>;

/// What was found where things are kept.
#[derive(Default)]
pub(super) struct Found {
    /// What reports say.
    pub(super) reports: KeptReports,
    /// What domains and hosts are read from.
    pub(super) from: Option<Arc<dyn Store>>,
    /// The same, where it is also the store that is written to.
    pub(super) of: Option<Arc<dyn Store>>,
}

impl Found {
    async fn in_store(store: Arc<dyn Store>, domains: &[PolicyDomain]) -> Result<Self, StoreError> {
        let reports = KeptReports::load(store.as_ref(), domains).await?;
        Ok(Self { reports, from: Some(store), of: None })
    }
}

/// Where things are kept.
#[derive(Debug)]
pub(super) struct Place {
    /// A folder of this monitor alone.
    pub(super) folder: PathBuf,
    /// The store is in a database, with other instances; else in the folder.
    pub(super) sharing: Option<Sharing>,
}

impl Place {
    /// All is in this folder.
    pub(super) fn folder(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), sharing: None }
    }
}

#[derive(Debug)]
enum Job {
    Write(Arc<Batch>),
    /// Faces apart from their rows, in place of those that are there or beside them.
    Faces(Arc<Vec<PackedFaces>>, bool),
    Trim(Bounds),
}

/// What came of a job.
#[derive(Debug)]
pub(super) struct Outcome {
    job: Job,
    result: Result<(), StoreError>,
    /// The file was damaged, and another one took its place.
    anew: bool,
}

/// What the keeper has to do after a job.
#[derive(Debug, Default)]
pub(super) struct Aftermath {
    /// This was not written.
    pub(super) back: Option<Arc<Batch>>,
    /// All that was kept is lost.
    pub(super) anew: bool,
}

/// The keeper's end of the writing task.
#[derive(Debug)]
pub(super) struct Scribe {
    /// One job at a time.
    jobs: mpsc::Sender<Job>,
    outcomes: mpsc::Receiver<Outcome>,
    task: JoinHandle<()>,
    shared: SharedStore,
    rights: Option<watch::Receiver<Arc<Rights>>>,
    telemetry: Telemetry,
    busy: bool,
    failures: u32,
    next_at: Instant,
    trim_at: Instant,
}

impl Scribe {
    /// Opens the store, reads what reports say of these domains, and starts the task. Where the folder cannot be written for now, what
    /// is in it can be read all the same, and the task tries again.
    ///
    /// # Errors
    /// [`StoreError`] where to go on would harm what is kept.
    pub(super) async fn start(
        place: Place,
        domains: &[PolicyDomain],
        telemetry: Telemetry,
    ) -> Result<(Self, Found), StoreError> {
        let sharing = place.sharing.clone();
        let folder = place.folder.clone();
        let mut desk = Desk::new(place, telemetry.clone());
        let opened = desk.open().await;
        let failing = opened.is_err();
        let found = match (opened, &desk.store) {
            (Ok(_), Some(store)) => {
                let of = Some(Arc::clone(store));
                Found { of, ..Found::in_store(Arc::clone(store), domains).await? }
            }
            (Ok(_), None) => Found::default(),
            (Err(error), _) if error.passes() => {
                telemetry.state_write_failed(1);
                tracing::error!(%error, "nothing can be stored for now; probing goes on, and it is tried again");
                match sharing {
                    None => read_only(&folder, domains).await?,
                    Some(_) => Found::default(),
                }
            }
            (Err(error), _) => return Err(error),
        };
        let failures = u32::from(failing);
        let (jobs, inbox) = mpsc::channel(1);
        let (results, outcomes) = mpsc::channel(1);
        let shared = sharing.as_ref().map_or_else(|| desk.shared.subscribe(), |sharing| sharing.state.store());
        let rights = sharing.map(|sharing| sharing.rights);
        let task = tokio::spawn(telemetry.vital("the writer of the state", desk.work(inbox, results)));
        let time = Instant::now();
        let (next_at, trim_at) = (time + NEWS_AFTER, time + TRIM_EVERY);
        Ok((Self { jobs, outcomes, task, shared, rights, telemetry, busy: false, failures, next_at, trim_at }, found))
    }

    pub(super) fn shared(&self) -> SharedStore {
        self.shared.clone()
    }

    /// When to look for work; nothing while some is under way.
    pub(super) fn next(&self) -> Option<Instant> {
        (!self.busy).then_some(self.next_at)
    }

    /// There is something new.
    pub(super) fn hurry(&mut self) {
        if self.failures == 0 {
            self.next_at = self.next_at.min(Instant::now() + NEWS_AFTER);
        }
    }

    /// What waits is together already.
    pub(super) fn at_once(&mut self) {
        if self.failures == 0 {
            self.next_at = Instant::now();
        }
    }

    /// Hands over what is to be written; `trim` says how much is to be kept, for when it is time to look at that.
    pub(super) fn hand(&mut self, mut batch: Option<Batch>, trim: Bounds) {
        // Behind a full batch more may wait: a million rows that show nothing new are written again in their six hours.
        let full = batch.as_ref().is_some_and(|all| all.domains.len() + all.hosts.len() >= BATCH);
        self.next_at = Instant::now() + if full { NEWS_AFTER } else { LOOK_EVERY };
        if let (Some(rights), Some(all)) = (&self.rights, &mut batch) {
            rights.borrow().admit(all);
            if all.is_empty() {
                // It was of domains that are not this instance's any more; what waits behind it may be.
                batch = None;
                self.next_at = Instant::now() + NEWS_AFTER;
            }
        }
        let job = match batch {
            Some(batch) => Job::Write(Arc::new(batch)),
            None if Instant::now() >= self.trim_at => Job::Trim(trim),
            None => return,
        };
        // There is room: what was handed over before is done.
        self.busy = self.jobs.try_send(job).is_ok();
    }

    /// Whether faces can be kept apart from their rows.
    pub(super) fn keeps_faces_apart(&self) -> bool {
        self.shared.borrow().as_ref().is_some_and(|store| store.faces_apart().is_some())
    }

    /// Hands over faces that are to lie apart; `anew`: in place of those that do.
    pub(super) fn hand_faces(&mut self, faces: Vec<PackedFaces>, anew: bool) {
        self.busy = self.jobs.try_send(Job::Faces(Arc::new(faces), anew)).is_ok();
    }

    /// Waits until what was handed over is done; for ever, where nothing was.
    pub(super) async fn outcome(&mut self) -> Outcome {
        match self.outcomes.recv().await {
            Some(outcome) => outcome,
            None => std::future::pending().await,
        }
    }

    /// Notes what came of a job, and says what follows for the keeper.
    pub(super) fn settle(&mut self, Outcome { job, result, anew }: Outcome) -> Aftermath {
        self.busy = false;
        if let Job::Trim(_) = job {
            self.trim_at = Instant::now() + TRIM_EVERY;
        }
        let back = match (result, job) {
            (Ok(()), _) => {
                if self.failures > 0 {
                    tracing::info!("what is known is stored again");
                }
                self.failures = 0;
                None
            }
            (Err(StoreError::NotHolder { slots }), Job::Write(batch)) => {
                // Another instance has them, and what is known here of their domains is out of date: they leave at the next turn
                // of the leases. The rest goes out with what is left.
                tracing::info!(?slots, "nothing is written of slots that another instance has taken");
                self.next_at = Instant::now() + NEWS_AFTER;
                Some(batch)
            }
            (Err(error), job) => {
                self.telemetry.state_write_failed(1);
                // Once: the counter tells the rest.
                if self.failures == 0 {
                    tracing::error!(%error, "nothing can be stored for now; probing goes on, and it is tried again");
                } else {
                    tracing::debug!(%error, "still nothing can be stored");
                }
                self.failures = self.failures.saturating_add(1);
                self.next_at = Instant::now() + backed_off(RETRY, self.failures, RETRY_MOST);
                if let Job::Write(batch) = job { Some(batch) } else { None }
            }
        };
        Aftermath { back, anew }
    }

    /// Whether something is under way.
    pub(super) const fn is_busy(&self) -> bool {
        self.busy
    }

    /// Whether the last job failed.
    pub(super) const fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// Ends the task once its last job is done, and closes the store.
    pub(super) async fn close(self, deadline: Instant) {
        drop(self.jobs);
        if timeout_at(deadline, self.task).await.is_err() {
            tracing::warn!("the store did not close in time; nothing that was written is lost");
        }
    }
}

/// What can be read of a folder that cannot be written.
async fn read_only(folder: &Path, domains: &[PolicyDomain]) -> Result<Found, StoreError> {
    match store::read_only(folder).await {
        Ok(Some(store)) => Found::in_store(store, domains).await,
        Ok(None) => Ok(Found::default()),
        Err(error) if error.passes() => Ok(Found::default()),
        Err(error) => Err(error),
    }
}

/// The task's own.
struct Desk {
    place: Place,
    store: Option<Arc<dyn Store>>,
    shared: watch::Sender<Option<Arc<dyn Store>>>,
    telemetry: Telemetry,
}

impl Desk {
    fn new(place: Place, telemetry: Telemetry) -> Self {
        Self { place, store: None, shared: watch::Sender::new(None), telemetry }
    }

    /// Opens the store; says whether a damaged one was set aside for it.
    async fn open(&mut self) -> Result<bool, StoreError> {
        if let Some(Sharing { state, .. }) = &self.place.sharing {
            let store = SharedState::open(state).await?.store;
            self.telemetry.state_stands(store.size(), store.damaged());
            self.store = Some(store);
            return Ok(false);
        }
        let opened = store::open(&self.place.folder, now()).await?;
        if let Some((aside, why)) = &opened.damaged {
            tracing::error!(kept = %aside.display(), why, "the state file is damaged; it was set aside, and an empty one took its place");
        }
        self.telemetry.state_stands(opened.store.size(), opened.store.damaged());
        self.store = Some(Arc::clone(&opened.store));
        self.shared.send_replace(Some(opened.store));
        Ok(opened.damaged.is_some())
    }

    async fn work(mut self, mut jobs: mpsc::Receiver<Job>, results: mpsc::Sender<Outcome>) {
        while let Some(job) = jobs.recv().await {
            let mut anew = false;
            let result = self.run(&job, &mut anew).await;
            if results.send(Outcome { job, result, anew }).await.is_err() {
                break;
            }
        }
        // A shared one stays open for the leases, which are given back last.
        if let (Some(store), None) = (self.store.take(), &self.place.sharing) {
            self.shared.send_replace(None);
            store.close().await;
        }
    }

    async fn run(&mut self, job: &Job, anew: &mut bool) -> Result<(), StoreError> {
        if self.store.is_none() {
            *anew = self.open().await?;
        }
        let Some(store) = self.store.clone() else { return Ok(()) };
        let time = now();
        let result = match job {
            Job::Write(batch) => store.write(Arc::clone(batch), time).await,
            Job::Faces(faces, anew) => match store.faces_apart() {
                Some(apart) => apart.write_faces(Arc::clone(faces), *anew, time).await,
                None => Err(StoreError::NotWritable {
                    path: self.place.folder.clone(),
                    why: "it keeps no faces apart".to_owned(),
                }),
            },
            Job::Trim(bounds) => store.trim(*bounds, time).await,
        };
        match &result {
            Ok(()) => {
                if let Job::Write(_) = job {
                    self.telemetry.state_written(time);
                }
                self.telemetry.state_stands(store.size(), store.damaged());
            }
            // The next attempt opens the file anew: that sets it aside if it is damaged indeed.
            Err(StoreError::Damaged { .. }) => {
                self.store = None;
                self.shared.send_replace(None);
                store.close().await;
            }
            Err(_) => {}
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{DomainRow, Packed};

    /// The keeper's end, with nobody at the other.
    fn scribe() -> Scribe {
        let (jobs, inbox) = mpsc::channel(1);
        let (results, outcomes) = mpsc::channel(1);
        let (_, shared) = watch::channel(None);
        let task = tokio::spawn(async move {
            let _held = (inbox, results);
            std::future::pending::<()>().await;
        });
        let telemetry = Telemetry::new().unwrap();
        let time = Instant::now();
        let (next_at, trim_at) = (time + LOOK_EVERY, time + TRIM_EVERY);
        Scribe { jobs, outcomes, task, shared, rights: None, telemetry, busy: false, failures: 0, next_at, trim_at }
    }

    #[tokio::test]
    async fn behind_a_full_batch_it_is_looked_again_soon() {
        for (rows, after) in [(BATCH, NEWS_AFTER), (BATCH - 1, LOOK_EVERY)] {
            let row = |number| DomainRow {
                domain: PolicyDomain::parse(&format!("d{number}.example")).unwrap(),
                state: Packed::from_bytes(vec![0]),
                face: None,
                saved_at: None,
            };
            let mut scribe = scribe();
            let bounds = Bounds { retention: TRIM_EVERY, domains: rows, hosts: 0 };
            let handed = Instant::now();
            scribe.hand(Some(Batch { domains: (0..rows).map(row).collect(), ..Batch::default() }), bounds);
            assert!(scribe.is_busy());
            let wait = scribe.next_at - handed;
            assert!((after..after + NEWS_AFTER * 30).contains(&wait), "{wait:?} behind {rows} rows");
        }
    }
}
