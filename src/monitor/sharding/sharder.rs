//! Between the configuration and the monitor: hands it the part that is this instance's, and another one when slots come or go.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{Mutex, watch},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    Rights, Seat, SeatError, Shards, SharedState, Surroundings,
    share::Peer,
    tenure::{Pace, Tenure, Turn},
};
use crate::{
    config::{Change, DomainList, Settings},
    monitor::{ReconfigureError, Reconfigurer, Telemetry},
    net::now,
    store::{Holder, Instance, Leases, StoreError},
    terms::Timestamp,
};

/// How long it is waited until what is known of domains that leave is written. The new holder waits meanwhile; what is not written
/// by then is what was seen last.
const WRITTEN_WITHIN: Duration = Duration::from_secs(5);

/// How long a start waits for the database at the most: a database that restarts is back by then, and a fleet that is restarted while
/// its database is down must not stay blind.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// … and how long it waits at the most before it asks again, however long a lease is: the domains are without a look meanwhile, and a
/// question a second is no load.
const START_PAUSE: Duration = Duration::from_secs(1);

/// Why new settings are not in force.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShardError {
    /// Which instance this is cannot be told.
    #[error(transparent)]
    Seat(#[from] SeatError),
    /// The monitor does not take them.
    #[error(transparent)]
    Monitor(#[from] ReconfigureError),
    /// The shared database must not be used.
    #[error(transparent)]
    State(#[from] StoreError),
    /// Where state is kept is decided at a start.
    #[error("`state.url` is another one: restart the monitor for it")]
    Moved,
}

/// What the monitor has to know of the store that it shares.
#[derive(Clone, Debug)]
pub struct Sharing {
    pub(in crate::monitor) state: SharedState,
    pub(in crate::monitor) rights: watch::Receiver<Arc<Rights>>,
}

/// Which part of the domains this instance takes, before the monitor runs.
#[derive(Debug)]
pub struct Allotment {
    surroundings: Surroundings,
    whole: Arc<Settings>,
    shards: Shards,
    post: Option<Post>,
    /// Renews the leases until the sharder does: a monitor of a million domains takes longer to start than a lease holds.
    beating: Option<DropGuard>,
    /// When it was known which part is whose.
    at: Timestamp,
}

/// What an instance does that shares a database.
#[derive(Debug)]
struct Post {
    state: SharedState,
    tenure: Tenure,
    rights: watch::Sender<Arc<Rights>>,
    /// The database was not reached at the start, and the own domains are looked at without it: nothing is known of their past, and
    /// nothing is written.
    provisional: bool,
    /// When the database did not answer for the first time.
    failing_since: Option<Instant>,
}

impl Allotment {
    /// What the configuration says.
    ///
    /// # Errors
    /// [`SeatError`] where it cannot be told which instance this is.
    pub fn new(whole: Arc<Settings>, surroundings: Surroundings) -> Result<Self, SeatError> {
        let shards = Shards::alone(Seat::of(&whole, &surroundings)?);
        Ok(Self { surroundings, whole, shards, post: None, beating: None, at: now() })
    }

    /// What the leases in a shared database say. Where it is not reached within the time of a lease, thirty seconds at the most, the
    /// own domains are looked at without it: while it is down for all, an instance that starts must see something too. `address`: where the pages of
    /// this instance are.
    ///
    /// # Errors
    /// [`ShardError`] where it cannot be told which instance this is, or the database must not be used.
    pub async fn shared(
        whole: Arc<Settings>,
        surroundings: Surroundings,
        state: SharedState,
        address: Option<String>,
    ) -> Result<Self, ShardError> {
        let seat = Seat::of(&whole, &surroundings)?;
        let host = surroundings.host.clone().unwrap_or_else(|| "unknown".to_owned());
        let instance = Instance {
            holder: Holder::new(&host, std::process::id(), rand::random()),
            home: seat.index,
            total: seat.total,
            address,
        };
        let pace = Pace { lease: whole.shard_lease() };
        let tenure = Tenure::new(Arc::new(state.clone()), instance, pace);
        let rights = rights_of(seat, &tenure, &BTreeSet::new());
        let mut post = Post {
            state,
            tenure,
            rights: watch::Sender::new(Arc::new(rights)),
            provisional: false,
            failing_since: None,
        };
        let began = Instant::now();
        loop {
            // What does not pass by waiting, such as a database of another program, is told at once.
            let why = match post.state.open().await {
                Err(error) if !error.passes() => return Err(error.into()),
                Err(error) => error.to_string(),
                Ok(_) => match post.tenure.turn(Instant::now()).await {
                    Turn { failed: Some(why), .. } => why,
                    _ => break,
                },
            };
            post.failed(&why);
            if began.elapsed() >= pace.lease.min(START_PATIENCE) {
                post.provisional = true;
                break;
            }
            sleep(pace.turn().min(START_PAUSE)).await;
        }
        if post.provisional {
            tracing::warn!(
                "the shared database is not reached; the domains of shard {} are looked at without it, and what they were before is \
                 not known",
                seat.index
            );
        }
        if post.failing_since.is_some() && !post.provisional {
            post.failing_since = None;
            tracing::info!("the shared database answers");
        }
        let shards = post.shards(seat, &BTreeSet::new());
        post.tell_rights(seat, &BTreeSet::new());
        let stop = CancellationToken::new();
        if !post.provisional {
            tokio::spawn(post.heart().go_on(stop.clone()));
        }
        Ok(Self { surroundings, whole, shards, post: Some(post), beating: Some(stop.drop_guard()), at: now() })
    }

    /// The settings with which the monitor begins.
    pub fn part(&self) -> Arc<Settings> {
        self.shards.part(&self.whole)
    }

    /// What the monitor has to know of the store, where it is shared.
    pub fn sharing(&self) -> Option<Sharing> {
        let post = self.post.as_ref()?;
        Some(Sharing { state: post.state.clone(), rights: post.rights.subscribe() })
    }

    /// Goes on with the monitor that runs by now. Where a database is shared, [`Sharder::keep`] has to follow at once: it renews the
    /// leases from now on.
    pub fn with(self, monitor: Reconfigurer, telemetry: Telemetry) -> Sharder {
        let Self { surroundings, whole, shards, post, beating, at } = self;
        drop(beating);
        telemetry.set_shards(&shards);
        if post.is_some() {
            // Also where the database was not reached: from then on it counts how long that lasts.
            telemetry.lease_renewed(at);
        }
        let seat = shards.seat;
        let heart = post.as_ref().map(Post::heart);
        let desk = Mutex::new(Desk { whole, seat, put: shards.held.clone(), post });
        let shown = watch::Sender::new(Arc::new(shards));
        Sharder(Arc::new(Office { surroundings, monitor, telemetry, desk, heart, shown }))
    }
}

/// Hands settings to a running monitor, each time the part of this instance. Clones share everything.
#[derive(Clone, Debug)]
pub struct Sharder(Arc<Office>);

#[derive(Debug)]
struct Office {
    surroundings: Surroundings,
    monitor: Reconfigurer,
    telemetry: Telemetry,
    /// One change after the other: whoever makes one has the desk.
    desk: Mutex<Desk>,
    heart: Option<Heart>,
    shown: watch::Sender<Arc<Shards>>,
}

/// Renews the leases while somebody has the desk: to put a million domains in force, and to write what is known of those that leave,
/// may take longer than a lease holds.
#[derive(Debug)]
struct Heart {
    state: SharedState,
    rights: watch::Receiver<Arc<Rights>>,
    address: Option<String>,
}

#[derive(Debug)]
struct Desk {
    whole: Arc<Settings>,
    seat: Seat,
    /// The slots whose domains are in force: what is held and could not be put in force is tried again at the next turn.
    put: BTreeSet<u32>,
    post: Option<Post>,
}

impl Sharder {
    /// Puts the settings of the whole in force. Their number of shards may be another one: then some domains come or go.
    ///
    /// # Errors
    /// [`ShardError`]; the settings before then stay in force.
    pub async fn apply(&self, whole: Arc<Settings>) -> Result<Change, ShardError> {
        let office = &*self.0;
        let mut desk = office.desk.lock().await;
        if whole.shared_state() != desk.whole.shared_state() {
            return Err(ShardError::Moved);
        }
        let seat = Seat::of(&whole, &office.surroundings)?;
        let shards = match &desk.post {
            None => Shards::alone(seat),
            // The slots that there are no more are given back at the next turn.
            Some(post) => Shards { seat, ..post.shards(seat, &BTreeSet::new()) },
        };
        let part = apart(shards.clone(), Arc::clone(&whole), Shards::part).await;
        let change = office.monitor.apply(part).await?;
        if seat.total != desk.seat.total && desk.post.is_some() {
            // By the slots of before: what leaves is written by the lease under which it was seen.
            office.monitor.written(WRITTEN_WITHIN).await;
        }
        if let Some(post) = &mut desk.post {
            post.tenure.configure(seat.index, seat.total, Pace { lease: whole.shard_lease() });
            post.tell_rights(seat, &BTreeSet::new());
        }
        (desk.whole, desk.seat, desk.put) = (whole, seat, shards.held.clone());
        office.show(shards);
        Ok(change)
    }

    /// Puts other domains of the whole in force, and leaves every other setting as it is.
    ///
    /// # Errors
    /// [`ShardError::Monitor`]; the domains before then stay in force.
    pub async fn apply_domains(&self, domains: DomainList) -> Result<Change, ShardError> {
        let office = &*self.0;
        let mut desk = office.desk.lock().await;
        let whole = Arc::new(Settings { domains, ..Settings::clone(&desk.whole) });
        let shards = Shards::clone(&office.shown.borrow());
        let change = office.put(&shards, &whole).await?;
        desk.whole = whole;
        Ok(change)
    }

    /// Who has which part, as it changes.
    pub fn shards(&self) -> watch::Receiver<Arc<Shards>> {
        self.0.shown.subscribe()
    }

    /// Renews the leases until it is told to stop; nothing to do where no database is shared.
    pub fn keep(&self, stop: CancellationToken) -> JoinHandle<()> {
        let sharder = self.clone();
        let keeping = async move {
            let Some(heart) = &sharder.0.heart else { return };
            loop {
                let every = heart.turn();
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = sleep(every) => {}
                }
                let turn = sharder.turn();
                tokio::pin!(turn);
                loop {
                    tokio::select! {
                        () = &mut turn => break,
                        // It waits for the desk, or has much to do.
                        () = sleep(every) => heart.beat().await,
                    }
                }
            }
        };
        tokio::spawn(self.0.telemetry.vital("the renewal of the leases", keeping))
    }

    /// Gives all slots back, once the monitor has stopped and everything is written.
    pub async fn leave(&self) {
        let mut desk = self.0.desk.lock().await;
        if let Some(post) = &mut desk.post {
            if !post.provisional {
                post.tenure.leave().await;
            }
            post.state.close().await;
        }
    }

    async fn turn(&self) {
        let office = &*self.0;
        let mut desk = office.desk.lock().await;
        let Desk { whole, seat, put, post: Some(post) } = &mut *desk else { return };
        let turn = post.tenure.turn(Instant::now()).await;
        if let Some(why) = &turn.failed {
            post.failed(why);
            return;
        }
        if post.failing_since.take().is_some() {
            tracing::info!("the shared database answers again");
        }
        office.telemetry.lease_renewed(now());
        tell(&turn);
        if std::mem::take(&mut post.provisional) {
            // What was seen without the past must not take its place: out with it, unwritten, and in again with what is stored.
            let none = Shards { held: BTreeSet::new(), ..post.shards(*seat, &BTreeSet::new()) };
            office.put_or_tell(&none, whole, put).await;
            office.monitor.written(WRITTEN_WITHIN).await;
        }
        post.tell_rights(*seat, &BTreeSet::new());
        let shards = post.shards(*seat, &turn.leaving);
        if shards.held != *put {
            office.put_or_tell(&shards, whole, put).await;
        }
        office.show(Shards { held: put.clone(), ..shards });
        if !turn.leaving.is_empty() {
            office.monitor.written(WRITTEN_WITHIN).await;
            post.tell_rights(*seat, &turn.leaving);
            post.tenure.give(&turn.leaving).await;
        }
    }
}

impl Heart {
    /// Renews until it is told to stop.
    async fn go_on(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(self.turn()) => self.beat().await,
            }
        }
    }

    fn turn(&self) -> Duration {
        self.rights.borrow().pace().turn()
    }

    /// Renews what is held and looks at nothing else; what came of it the next turn sees.
    async fn beat(&self) {
        let rights = Arc::clone(&self.rights.borrow());
        let (instance, held) = rights.instance(self.address.clone());
        let renewed = self.state.renew(&instance, &held, rights.pace().lease);
        match timeout(rights.pace().turn(), renewed).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the leases were not renewed between two turns"),
            Err(_) => tracing::debug!("the leases were not renewed in time between two turns"),
        }
    }
}

impl Office {
    /// Puts the domains of these shards in force.
    async fn put(&self, shards: &Shards, whole: &Arc<Settings>) -> Result<Change, ReconfigureError> {
        let part = apart(shards.clone(), Arc::clone(whole), Shards::part).await;
        self.monitor.apply_domains(&part).await
    }

    /// The same, and notes what is in force then. Where the domains that come cannot be read, those that go leave all the same.
    async fn put_or_tell(&self, shards: &Shards, whole: &Arc<Settings>, put: &mut BTreeSet<u32>) {
        let mut wanted = shards.clone();
        let mut done = self.put(&wanted, whole).await;
        if let Err(ReconfigureError::Unreadable(error)) = &done {
            tracing::error!(%error, "what is kept of the slots that came cannot be read; they are not taken up, and it is tried again");
            wanted.held.retain(|slot| put.contains(slot));
            done = self.put(&wanted, whole).await;
        }
        match done {
            Ok(Change { added, removed, .. }) => {
                tracing::info!(
                    added = added.len(),
                    removed = removed.len(),
                    "this instance has {}",
                    wanted.held_in_words()
                );
                *put = wanted.held;
            }
            // The monitor stops.
            Err(error) => tracing::debug!(%error, "the slots that came or went are not taken up"),
        }
    }

    fn show(&self, shards: Shards) {
        self.telemetry.set_shards(&shards);
        self.shown.send_if_modified(|shown| {
            let differs = **shown != shards;
            *shown = Arc::new(shards);
            differs
        });
    }
}

impl Post {
    fn heart(&self) -> Heart {
        Heart {
            state: self.state.clone(),
            rights: self.rights.subscribe(),
            address: self.tenure.instance().address.clone(),
        }
    }

    /// The slots whose domains are looked at.
    fn holds(&self) -> BTreeSet<u32> {
        match self.provisional {
            true => [self.tenure.instance().home].into(),
            false => self.tenure.held().keys().copied().collect(),
        }
    }

    fn shards(&self, seat: Seat, leaving: &BTreeSet<u32>) -> Shards {
        let instances = self.tenure.instances().iter().map(|one| Peer {
            name: one.instance.holder.to_string(),
            index: one.instance.home,
            address: one.instance.address.clone(),
            alive: one.alive,
            slots: one.slots,
        });
        let held = self.holds().difference(leaving).copied().filter(|slot| *slot < seat.total).collect();
        Shards { seat, held, instances: instances.collect() }
    }

    fn tell_rights(&self, seat: Seat, without: &BTreeSet<u32>) {
        self.rights.send_replace(Arc::new(rights_of(seat, &self.tenure, without)));
    }

    /// Once: the metric tells the rest.
    fn failed(&mut self, why: &str) {
        if self.failing_since.is_none() {
            self.failing_since = Some(Instant::now());
            tracing::error!(
                why,
                "the shared database does not answer; this instance goes on with what it has, and tries again"
            );
        }
    }
}

fn rights_of(seat: Seat, tenure: &Tenure, without: &BTreeSet<u32>) -> Rights {
    let leases = tenure.held().iter().filter(|(slot, _)| !without.contains(slot)).map(|(slot, lease)| (*slot, *lease));
    Rights::new(seat, tenure.instance().holder.clone(), leases.collect::<BTreeMap<_, _>>(), tenure.pace())
}

fn tell(Turn { lost, leaving, taken, .. }: &Turn) {
    for (slots, what) in [
        (lost, "another instance has taken a slot of this one"),
        (leaving, "a slot goes back to the instance that it belongs to"),
        (taken, "a slot was taken"),
    ] {
        for slot in slots {
            tracing::info!(slot, "{what}");
        }
    }
}

/// To find the slots of a million names takes a second: not on a thread on which probes run.
async fn apart<T: Send + 'static>(shards: Shards, whole: Arc<Settings>, work: fn(&Shards, &Arc<Settings>) -> T) -> T {
    let (own, same) = (shards.clone(), Arc::clone(&whole));
    match tokio::task::spawn_blocking(move || work(&own, &same)).await {
        Ok(done) => done,
        // The runtime ends: it is done here, and nothing comes of it any more.
        Err(_) => work(&shards, &whole),
    }
}

#[cfg(test)]
mod tests;
