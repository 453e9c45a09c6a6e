//! Where TLS reports come in (RFC 8460 §5): every way in hands its bytes to the [`Intake`], and acknowledges only by the [`Receipt`].

mod attribute;
mod filer;
mod folder;
mod imap;
mod labels;
mod open;
mod quarantine;
mod rate;
mod shared;
mod submission;

use std::{
    net::IpAddr,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

pub use self::imap::{MailboxPace, mailboxes, watch_mailbox};
use self::{
    filer::{Filer, Item},
    labels::Labels,
    rate::Rates,
    shared::{Plan, Shared},
};
pub(super) use self::{
    filer::{IntakeNews, KeptReports},
    folder::{watch as watch_folder, watch_own as watch_own_folder},
};
use super::{SharedStore, Snapshot, Telemetry, politeness::network_of};
use crate::{
    config::Settings,
    facts::Transport,
    net::resolver::Resolver,
    protocol::tls_rpt::{Refusal, RefusalReason},
    store::{Filed, NewsCursor, Store, StoreError},
    terms::Timestamp,
};

/// The folder below the state folder in which `report ingest` puts what is to be taken up.
pub const INCOMING: &str = "incoming";
/// Reports that wait to be filed; whoever brings more waits.
const QUEUE: usize = 1024;
/// What waits for the keeper.
const NEWS: usize = 16;

/// What a way in has: a mail, a bare report, or an mbox, not looked into.
#[derive(Clone, Debug)]
pub struct RawReport {
    /// As it came.
    pub bytes: Bytes,
    /// The way. A mail that lies in a folder of bare reports counts as [`Transport::Mail`] all the same.
    pub transport: Transport,
    /// A file name, the id of a message, or the address that posted it: for people.
    pub source: String,
    /// The media type that was declared, if any: the bytes decide.
    pub media_type: Option<String>,
    /// The file name that was declared, if any (RFC 8460 §5.1).
    pub file_name: Option<String>,
    /// Since when it waits in its file or mailbox, where the way in knows. Who waits too long for a key in the DNS is refused at
    /// last; without a time it waits for ever.
    pub waiting_since: Option<Timestamp>,
}

/// What became of what was handed in.
#[derive(Clone, Debug)]
pub enum Receipt {
    /// It is stored, one outcome a report: it may be acknowledged, deleted or moved away.
    Taken(Vec<Filed>),
    /// It never will be taken. A copy is in quarantine, so that it may go (of what was posted, only little is kept).
    Refused(Refusal),
    /// It is not stored, and nothing is known against it: it stays where it is, and is to be handed in again.
    Later(Postponed),
}

/// Why something has to wait.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Postponed {
    /// There is no state folder, or it cannot be opened for now.
    #[error("the store is not open")]
    Closed,
    /// The store does not take it.
    #[error("it cannot be stored: {0}")]
    Store(String),
    /// It is to be refused, and no copy can be kept.
    #[error("it cannot be put into quarantine: {0}")]
    Quarantine(String),
    /// The key of a signature cannot be looked up for now.
    #[error("the key of its signature cannot be looked up: {0}")]
    Key(String),
    /// It names a mail host, and whose it is is not known before every domain was probed once.
    #[error("it names a mail host, and not every domain was probed yet")]
    Hosts,
    /// Too much is under way.
    #[error("too many reports come in at once")]
    Busy,
    /// The monitor is stopping.
    #[error("the monitor is stopping")]
    Stopping,
}

/// The intake. Clones share everything.
#[derive(Clone, Debug)]
pub struct Intake {
    queue: mpsc::Sender<Item>,
    store: Option<SharedStore>,
    shared: Arc<Shared>,
    rates: Arc<Mutex<Rates>>,
}

/// What the intake needs of the monitor.
pub(super) struct Around<'a> {
    pub(super) settings: &'a Settings,
    pub(super) resolver: Resolver,
    pub(super) snapshots: watch::Receiver<Arc<Snapshot>>,
    pub(super) store: Option<SharedStore>,
    /// The store that `kept` was read from.
    pub(super) known: Option<Arc<dyn Store>>,
    pub(super) kept: &'a KeptReports,
    pub(super) state: Option<&'a Path>,
    pub(super) telemetry: Telemetry,
    pub(super) stop: CancellationToken,
}

/// A running intake with what the keeper needs of it.
pub(super) struct Started {
    pub(super) intake: Intake,
    pub(super) news: mpsc::Receiver<IntakeNews>,
    pub(super) filer: JoinHandle<()>,
}

impl Intake {
    /// Starts the task that files.
    pub(super) fn start(around: Around<'_>) -> Started {
        let Around { settings, resolver, snapshots, store, known, kept, state, telemetry, stop } = around;
        let shared = Arc::new(Shared::new(Plan::new(settings, resolver), snapshots, state));
        let (queue, inbox) = mpsc::channel(QUEUE);
        let (news, receiver) = mpsc::channel(NEWS);
        let mut labels = Labels::default();
        labels.restore(&kept.labels);
        kept.domains.iter().for_each(|(_, reports)| labels.restore_days(reports));
        let filer = Filer {
            inbox,
            shared: Arc::clone(&shared),
            store: store.clone(),
            known,
            labels,
            place: kept.place.clone(),
            news,
            telemetry: telemetry.clone(),
            stop,
        };
        let filer = tokio::spawn(telemetry.vital("the filing of reports", filer.run()));
        Started {
            intake: Self { queue, store, shared, rates: Arc::new(Mutex::new(Rates::new(Instant::now()))) },
            news: receiver,
            filer,
        }
    }

    /// Takes new settings. Where they have new domains: what the store has of their reports was read up to this place.
    pub(super) fn configure(&self, settings: &Settings, resolver: Resolver, read_to: Option<NewsCursor>) {
        self.shared.set_plan(Plan::new(settings, resolver), read_to);
    }

    /// Takes in what came: reads it, proves its sender, finds the domains that it is about, and stores it. Returns after the
    /// store's commit: what [`Receipt::Taken`] says outlives the process. Waits where many come at once; the whole is bounded in
    /// memory, and each lookup in time.
    ///
    /// The same report may be handed in as often as one likes: it counts once.
    pub async fn submit(&self, raw: RawReport) -> Receipt {
        self.submit_holding(raw, ()).await
    }

    /// The same, and gives back what is `held` at its end: it goes on to that end also where nobody waits for the receipt any more. A
    /// peer that hangs up must not free room that is still taken.
    pub async fn submit_holding(&self, raw: RawReport, held: impl Send + 'static) -> Receipt {
        if !self.is_open() {
            return Receipt::Later(Postponed::Closed);
        }
        let intake = self.clone();
        let task = tokio::spawn(async move {
            let receipt = submission::submit(&intake, raw).await;
            drop(held);
            receipt
        });
        task.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a report could not be taken in: a fault of this program");
            Receipt::Later(Postponed::Stopping)
        })
    }

    /// Whether there is a store that takes reports: without one, nothing needs to be read or sent here.
    pub fn is_open(&self) -> bool {
        self.store.as_ref().is_some_and(|store| store.borrow().is_some())
    }

    /// Lets one more report of this peer be posted.
    ///
    /// # Errors
    /// It may come again after this time: too many came from its network (/24, /48), or from all together.
    pub fn admit(&self, peer: IpAddr) -> Result<(), Duration> {
        self.rates.lock().unwrap_or_else(PoisonError::into_inner).admit(network_of(peer), Instant::now())
    }

    /// Counts what a way in refused by itself, before it had it all.
    pub fn count_refused(&self, reason: RefusalReason) {
        self.shared.count_refused(reason);
    }
}

impl From<StoreError> for Postponed {
    fn from(error: StoreError) -> Self {
        Self::Store(error.to_string())
    }
}
