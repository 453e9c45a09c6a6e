//! The running monitor: one thread keeps the fleet and its schedule, and starts a task for each probe.

use std::{future::Future, io, path::Path, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    key::Key,
    prompting::Prompts,
    reconfiguring::Reconfigure,
    reporting::{Desk, Sources},
    standstill::Standstill,
};
use super::{
    Edges, EdgesError, Eyes, Intake, ProbeKind, Renderer, Snapshot, Telemetry,
    edges::limits,
    fleet::{Fleet, SURVEY_RETRY, Target, Wanted},
    intake::{Around, IntakeNews, Started},
    kept,
    looking::{Known, Seen, look},
    once::Strangers,
    prompt::{InForce, Order, Prompter},
    pulse::{BEAT, Pulse},
    schedule::{Answer, Doors, Next, Schedule, Turn, Urgency},
    scribe::{Found, Outcome, Place, Scribe, SharedStore},
    sharding::Sharing,
};
use crate::{
    config::Settings,
    net::now,
    store::StoreError,
    terms::{PolicyDomain, Timestamp},
};

#[cfg(test)]
pub(super) use self::reconfiguring::tests::{alone, settings};
pub use self::reconfiguring::{ReconfigureError, Reconfigurer};

/// What is seen within this time is judged and shown together: a round over many addresses of one host is one new snapshot.
const PUBLISH_AFTER: Duration = Duration::from_millis(250);
/// So long domains are judged at a time, and so long the keeper then sees to what else waits: it never stops for long, whatever has to be
/// judged anew, and at least half of its time is for what was seen.
const SLICE: Duration = Duration::from_millis(20);
const BETWEEN_SLICES: Duration = Duration::from_millis(20);
/// A start judges for so long before it shows what it has: a fleet of thousands is whole in the first snapshot, and a larger one does not
/// keep scrapes waiting.
const FIRST_SLICE: Duration = Duration::from_secs(2);
/// How many probes are started for each one that may connect: they ask the DNS before, and are judged after. Who would only stand at
/// the door of a busy provider is not among them.
const STARTED_PER_CONNECTION: usize = 4;
/// How long probes may go on when the monitor is told to stop: enough for most to say QUIT, short for whoever waits.
pub(super) const GRACE: Duration = Duration::from_secs(2);
/// Results that wait for the keeper. A full list makes probes wait, not grow.
const RESULTS: usize = 1024;
/// Wishes for a look that wait for the keeper. Each takes it microseconds; who waits longer waits in line.
const ORDERS: usize = 64;

/// The running monitor.
#[derive(Debug)]
pub struct Monitor {
    commands: mpsc::Sender<Reconfigure>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    store: Option<SharedStore>,
    unsaved: watch::Receiver<bool>,
    intake: Intake,
    prompter: Prompter,
    in_force: watch::Receiver<InForce>,
    pulse: Pulse,
    stop: CancellationToken,
    /// Told when the keeper ended.
    ended: oneshot::Receiver<()>,
}

/// Why the monitor does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The edges cannot be set up.
    #[error(transparent)]
    Edges(#[from] EdgesError),
    /// To use the state folder would harm what is in it.
    #[error(transparent)]
    State(#[from] StoreError),
    /// The system gives no thread.
    #[error("there is no thread for the monitor: {0}")]
    Thread(#[from] io::Error),
}

impl Monitor {
    /// Starts the monitor. The first snapshot is there at once, with every configured domain and what the state folder has of
    /// it. Without a folder nothing is kept. `renderer`: what makes of each state what scrapes show of it.
    ///
    /// # Errors
    /// [`StartError`] where the edges cannot be set up, or the folder must not be used.
    pub async fn start(
        settings: Arc<Settings>,
        telemetry: Telemetry,
        state: Option<&Path>,
        renderer: Arc<dyn Renderer>,
    ) -> Result<Self, StartError> {
        Self::watch(settings, telemetry, state.map(Place::folder), renderer, None).await
    }

    /// The same where several instances share a store. The folder holds what is of this one alone: reports that wait, and those
    /// that were refused.
    ///
    /// # Errors
    /// As [`Monitor::start`].
    pub async fn start_sharing(
        settings: Arc<Settings>,
        telemetry: Telemetry,
        folder: &Path,
        sharing: Sharing,
        renderer: Arc<dyn Renderer>,
    ) -> Result<Self, StartError> {
        let place = Place { folder: folder.to_owned(), sharing: Some(sharing) };
        Self::watch(settings, telemetry, Some(place), renderer, None).await
    }

    /// The same, but whoever is on the schedule is looked at by other eyes than the edges: for measurements, with peers that are
    /// not there. Looks at domains that are not configured, mailboxes and signatures stay with the edges.
    ///
    /// # Errors
    /// As [`Monitor::start`].
    pub async fn start_with_eyes(
        settings: Arc<Settings>,
        telemetry: Telemetry,
        state: Option<&Path>,
        renderer: Arc<dyn Renderer>,
        eyes: Arc<dyn Eyes>,
    ) -> Result<Self, StartError> {
        Self::watch(settings, telemetry, state.map(Place::folder), renderer, Some(eyes)).await
    }

    async fn watch(
        settings: Arc<Settings>,
        telemetry: Telemetry,
        place: Option<Place>,
        renderer: Arc<dyn Renderer>,
        eyes: Option<Arc<dyn Eyes>>,
    ) -> Result<Self, StartError> {
        let (ended, keeper) = oneshot::channel();
        let start = async move || {
            let (monitor, run) = Self::prepare(settings, telemetry, place, renderer, eyes, keeper).await?;
            let goes_on = async {
                run.await;
                // Nobody may wait for the end.
                let _ = ended.send(());
            };
            Ok((monitor, goes_on))
        };
        thread::begin(start).await
    }

    /// The monitor, and the keeper that is to run.
    async fn prepare(
        settings: Arc<Settings>,
        telemetry: Telemetry,
        place: Option<Place>,
        renderer: Arc<dyn Renderer>,
        eyes: Option<Arc<dyn Eyes>>,
        ended: oneshot::Receiver<()>,
    ) -> Result<(Self, impl Future<Output = ()>), StartError> {
        // The folder first: one that is in use shows at once.
        let names: Vec<PolicyDomain> = settings.domains.iter().map(|one| one.domain.clone()).collect();
        let folder = place.as_ref().map(|place| place.folder.clone());
        let state = folder.as_deref();
        let (scribe, found) = match place {
            Some(place) => {
                let (scribe, found) = Scribe::start(place, &names, telemetry.clone()).await?;
                (Some(scribe), found)
            }
            None => (None, Found::default()),
        };
        let store = scribe.as_ref().map(Scribe::shared);
        let edges = Arc::new(Edges::open(&settings).await?);
        let (commands, inbox) = mpsc::channel(1);
        let (orders_in, orders) = mpsc::channel(ORDERS);
        let (results_in, results) = mpsc::channel(RESULTS);
        let (unsaved, waits) = watch::channel(false);
        let stop = CancellationToken::new();
        let begin = || {
            let fleet = Fleet::new(Arc::clone(&settings), edges.resolver.dnssec_sight());
            let mut fleet = fleet.render_with(renderer);
            fleet.restore_reports(found.reports.domains.clone(), found.reports.intake.clone(), now());
            fleet
        };
        let (mut fleet, due) = match &found.from {
            Some(store) => kept::taken_over(begin, store.as_ref(), names.into_iter().collect(), now()).await?,
            None => (begin(), Vec::new()),
        };
        let until = Instant::now() + FIRST_SLICE;
        let first = fleet.refresh_while(now(), || Instant::now() < until).unwrap_or_default();
        let (publisher, snapshots) = watch::channel(first);
        let Started { intake, news, filer } = Intake::start(Around {
            settings: &settings,
            resolver: edges.resolver.clone(),
            snapshots: snapshots.clone(),
            store: store.clone(),
            known: found.of,
            kept: &found.reports,
            state,
            telemetry: telemetry.clone(),
            stop: stop.clone(),
        });
        let sources = Sources::start(&intake, &settings, &edges.imap, state, &telemetry, &stop);
        let in_force = InForce { settings: Arc::clone(&settings), edges: Arc::clone(&edges) };
        let (force, in_force) = watch::channel(in_force);
        let probes = TaskTracker::new();
        let pulse = Pulse::new();
        let strangers = Strangers::new(telemetry.clone(), probes.clone(), stop.clone());
        let prompter = Prompter::new(orders_in, in_force.clone(), snapshots.clone(), strangers);
        let vital = telemetry.clone();
        let mut keeper = Keeper {
            fleet,
            schedule: Schedule::new(limits(&settings)),
            prompts: Prompts::default(),
            force,
            started: 0,
            probes,
            results_in,
            publisher,
            publish_at: None,
            scribe,
            unsaved,
            desk: Some(Desk { intake: intake.clone(), news, filer, sources }),
            stop: stop.clone(),
            pulse: pulse.clone(),
            standstill: Standstill::new(),
            telemetry,
            edges,
            eyes,
            settings,
        };
        keeper.watch_resolver();
        keeper.tell_intervals();
        let run = async move {
            // A million take their time, while what was kept can be shown.
            keeper.begin_all(due);
            keeper.publish_rest();
            keeper.run(inbox, orders, results).await;
        };
        let run = vital.vital("the keeper of the schedule", run);
        Ok((Self { commands, snapshots, store, unsaved: waits, intake, prompter, in_force, pulse, stop, ended }, run))
    }

    /// The snapshots as they are published.
    pub fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshots.clone()
    }

    /// What hands new settings to this monitor.
    pub fn reconfigurer(&self) -> Reconfigurer {
        Reconfigurer {
            commands: self.commands.clone(),
            in_force: self.in_force.clone(),
            store: self.store.clone(),
            unsaved: self.unsaved.clone(),
        }
    }

    /// What asks this monitor for a look now.
    pub fn prompter(&self) -> Prompter {
        self.prompter.clone()
    }

    /// Where what is known is kept; nothing where nothing is.
    pub fn store(&self) -> Option<SharedStore> {
        self.store.clone()
    }

    /// Where reports come in.
    pub fn intake(&self) -> Intake {
        self.intake.clone()
    }

    /// Whether its keeper still turns to its work.
    pub fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    /// Stops probing and waits until running probes have ended or the grace is over.
    pub async fn stop(self) {
        self.stop.cancel();
        if self.ended.await.is_err() {
            tracing::error!("the monitor did not stop cleanly");
        }
    }
}

struct Done {
    target: Target,
    due: Timestamp,
    began: Instant,
    /// Through which doors it went.
    doors: Doors,
    /// Nothing that was known from before was used.
    anew: bool,
    seen: Seen,
}

struct Keeper {
    settings: Arc<Settings>,
    edges: Arc<Edges>,
    /// What looks in place of the edges; it stays when they are set up anew.
    eyes: Option<Arc<dyn Eyes>>,
    /// Where both are told to those who look beside the schedule.
    force: watch::Sender<InForce>,
    fleet: Fleet,
    schedule: Schedule<Key>,
    prompts: Prompts,
    started: usize,
    probes: TaskTracker,
    results_in: mpsc::Sender<Done>,
    publisher: watch::Sender<Arc<Snapshot>>,
    publish_at: Option<Instant>,
    scribe: Option<Scribe>,
    /// Whether something is not written yet that shows something new.
    unsaved: watch::Sender<bool>,
    desk: Option<Desk>,
    telemetry: Telemetry,
    pulse: Pulse,
    standstill: Standstill,
    stop: CancellationToken,
}

impl Keeper {
    async fn run(
        mut self,
        mut inbox: mpsc::Receiver<Reconfigure>,
        mut orders: mpsc::Receiver<Order>,
        mut results: mpsc::Receiver<Done>,
    ) {
        loop {
            self.pulse.beat();
            let room = self.started < self.room();
            let idle_since = Instant::now();
            let idle = idle_since + BEAT;
            let due = self.schedule.next().filter(|_| room).unwrap_or(idle);
            let publish = self.publish_at.unwrap_or(idle);
            let save = self.scribe.as_ref().and_then(Scribe::next);
            let grown_up = self.next_grown_up();
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                () = sleep_until(self.standstill.next()) => self.look_back(idle_since),
                Some(command) = inbox.recv() => self.reconfigure(command),
                () = sleep_until(publish), if self.publish_at.is_some() => self.publish(),
                outcome = outcome(&mut self.scribe) => self.saved(outcome),
                () = sleep_until(save.unwrap_or(idle)), if save.is_some() => self.save(),
                Some(news) = news(&mut self.desk) => self.told(news),
                () = sleep_until(grown_up.unwrap_or(idle)), if grown_up.is_some() => self.grow_up(),
                Some(done) = results.recv() => {
                    self.look_back_in_time(idle_since);
                    self.take(done);
                }
                () = sleep_until(due.min(idle)) => {
                    self.look_back_in_time(idle_since);
                    self.begin_due();
                }
                // Last: whoever orders again at once must not keep the keeper from what was seen and what is due.
                Some(order) = orders.recv() => self.order(order),
            }
        }
        self.probes.close();
        // Who waits for a look hears that there will be none.
        drop(orders);
        self.prompts = Prompts::default();
        // Results are no longer wanted; the probes find the channel closed.
        results.close();
        tokio::select! {
            () = self.probes.wait() => {}
            () = sleep(GRACE) => tracing::debug!("probes were cut short"),
        }
        if let Some(desk) = self.desk.take() {
            desk.close().await;
        }
        // What was seen last is judged, so that what follows from it is kept too.
        self.publish_within(GRACE);
        self.drain().await;
    }

    /// How many probes may be started at a time.
    fn room(&self) -> usize {
        self.settings.probe.max_in_flight.saturating_mul(STARTED_PER_CONNECTION)
    }

    /// Tells the schedule how much of the room was in use until now.
    fn note_room(&mut self) {
        let [started, room] = [self.started, self.room()].map(|count| u32::try_from(count).unwrap_or(u32::MAX));
        self.schedule.note_room(f64::from(started) / f64::from(room.max(1)), Instant::now());
    }

    fn begin_due(&mut self) {
        let time = Instant::now();
        let room = self.room();
        self.note_room();
        while self.started < room
            && let Some(Turn { key, due, doors }) = self.schedule.pop(time)
        {
            let target = Target::from(key);
            let due = now() - time.saturating_duration_since(due);
            let anew = self.is_wanted_anew(&target);
            let known = match &target {
                Target::Domain(_) if anew => Known::Nothing,
                Target::Domain(domain) => Known::Policy(self.fleet.kept_policy(domain, now()).map(Box::new)),
                Target::Survey(host, address) => match self.fleet.survey_due(host, *address) {
                    Some(base) => Known::Base(base),
                    None => {
                        self.schedule.end(doors, Answer::None, time);
                        self.schedule.let_go(&target.into());
                        continue;
                    }
                },
                _ => Known::Nothing,
            };
            self.started += 1;
            let eyes = self.eyes(anew);
            let (telemetry, results) = (self.telemetry.clone(), self.results_in.clone());
            let task = async move {
                let (began, seen) = look(eyes.as_ref(), &telemetry, &target, known).await;
                // The keeper stops listening only when it stops.
                let _ = results.send(Done { target, due, began, doors, anew, seen }).await;
            };
            let stop = self.stop.clone();
            // A probe that is cut off in the middle of a dialogue would leave without a QUIT, so the token is looked at only
            // while it waits for its turn; the grace bounds the rest.
            self.probes.spawn(async move {
                if !stop.is_cancelled() {
                    task.await;
                }
            });
        }
    }

    /// What looks now. `anew`: answers from before are not used.
    fn eyes(&self, anew: bool) -> Arc<dyn Eyes> {
        match &self.eyes {
            Some(eyes) => Arc::clone(eyes),
            None if anew => Arc::new(self.edges.anew()),
            None => Arc::<Edges>::clone(&self.edges),
        }
    }

    fn take(&mut self, Done { target, due, began, doors, anew, seen }: Done) {
        self.note_room();
        let hindered = self.standstill.hindered(began, &seen);
        let seen = if hindered { Seen::Nothing } else { seen };
        self.started = self.started.saturating_sub(1);
        if self.schedule.end(doors, seen.answer(), Instant::now()) {
            self.telemetry.slowed();
        }
        if let Target::Address(host, _) = &target {
            let patience = self.schedule.patience(doors, Instant::now());
            self.fleet.set_patience(host, patience.map(|patience| now() + patience));
        }
        let (urgency, doors) = (seen.urgency(), seen.doors());
        let begins = match &seen {
            Seen::Domain(seen) => Some(seen.0.started_at),
            Seen::Address(seen) => Some(seen.at - seen.duration),
            Seen::Host(_) | Seen::Survey(_) | Seen::Canary(..) | Seen::Nothing => None,
        };
        if let Some(begins) = begins {
            self.telemetry.schedule_lag(begins.since(due));
        }
        let wanted = seen.fold(&mut self.fleet);
        let brought = wanted.is_some();
        let wanted = wanted.unwrap_or_else(|| Wanted {
            again: Some(self.again_after_nothing(&target, hindered)),
            ..Wanted::default()
        });
        self.follow(&target, wanted, urgency, doors);
        self.note_look(target, began, anew, brought);
        self.publish_soon();
        self.hurry();
    }

    /// `doors`: where the next look at the target goes in, where the last one told.
    fn follow(&mut self, target: &Target, wanted: Wanted, urgency: Urgency, doors: Option<Doors>) {
        match wanted.again {
            Some(again) => {
                let doors = doors.unwrap_or_else(|| self.first(target).doors);
                let at =
                    self.schedule.again(&target.into(), Next { again, urgency, doors }, Instant::now(), rand::random);
                self.tell_due(target, at);
            }
            None => self.schedule.let_go(&target.into()),
        }
        for target in wanted.never {
            self.schedule.remove(&target.into());
        }
        for target in wanted.now {
            self.set(target, Duration::ZERO);
        }
        for spread in wanted.spread {
            let at = Instant::now() + spread.after + spread.within.mul_f64(rand::random());
            let first = self.first(&spread.target);
            self.schedule.resume(spread.target.into(), at, first);
        }
    }

    fn publish_soon(&mut self) {
        self.publish_at.get_or_insert_with(|| Instant::now() + PUBLISH_AFTER);
    }

    fn publish(&mut self) {
        self.publish_within(SLICE);
    }

    /// What has to be judged yet has its turn after those who wait for the keeper.
    fn publish_rest(&mut self) {
        self.publish_at = self.fleet.is_behind().then(|| Instant::now() + BETWEEN_SLICES);
    }

    /// Judges for so long at most, and publishes.
    fn publish_within(&mut self, time: Duration) {
        let began = Instant::now();
        let [domains, hosts, addresses] = self.fleet.counts();
        self.telemetry.set_targets(ProbeKind::Domain, domains);
        self.telemetry.set_targets(ProbeKind::Mx, hosts);
        self.telemetry.set_targets(ProbeKind::MxAddress, addresses);
        let surveyed = if self.settings.probe.legacy_tls { addresses } else { 0 };
        self.telemetry.set_targets(ProbeKind::Survey, surveyed);
        self.telemetry.set_targets(ProbeKind::Canary, self.settings.probe.canaries.len());
        self.fleet.set_dnssec(self.edges.resolver.dnssec_sight());
        self.telemetry.set_overdue(self.schedule.overdue(Instant::now()));
        self.telemetry.set_stretch(self.schedule.stretch());
        for domain in self.prompts.wished() {
            self.fleet.prefer(domain);
        }
        let until = Instant::now() + time;
        if let Some(snapshot) = self.fleet.refresh_while(now(), || Instant::now() < until) {
            self.publisher.send_replace(snapshot);
        }
        self.publish_rest();
        self.answer_prompts();
        // The keeper does nothing else meanwhile: how long it stopped is what a large fleet is measured by.
        tracing::trace!(seconds = began.elapsed().as_secs_f64(), "published");
    }
}

/// Waits for the end of a write; for ever where nothing is kept.
async fn outcome(scribe: &mut Option<Scribe>) -> Outcome {
    match scribe {
        Some(scribe) => scribe.outcome().await,
        None => std::future::pending().await,
    }
}

/// Waits for news of the intake; for ever where there is none.
async fn news(desk: &mut Option<Desk>) -> Option<IntakeNews> {
    match desk {
        Some(desk) => desk.news.recv().await,
        None => std::future::pending().await,
    }
}

mod beginning;
mod key;
mod prompting;
mod reconfiguring;
mod reporting;
mod saving;
mod standstill;
mod telling;
mod thread;
