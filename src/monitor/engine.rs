//! The running monitor: one task keeps the fleet and its schedule, and starts a task for each probe.

use std::{collections::HashSet, panic::AssertUnwindSafe, path::Path, sync::Arc, time::Duration};

use futures_util::FutureExt;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::reporting::{Desk, Sources};
use super::{
    DnsCounters, Edges, EdgesError, Intake, ProbeKind, Snapshot, Telemetry,
    fleet::{Due, Fleet, SURVEY_INTERVAL, SURVEY_RETRY, Target, Wanted},
    intake::{Around, IntakeNews, Started},
    probe,
    schedule::{Schedule, first_delay, jittered},
    scribe::{Kept, Outcome, Scribe, SharedStore},
};
use crate::{
    config::{Change, Settings},
    facts::{
        AddressObservation, DomainObservation, Handshake, HostObservation, PolicyHostObservation, SmtpOutcome,
        TlsSurvey,
    },
    net::now,
    store::StoreError,
    terms::{MxHost, PolicyDomain, Timestamp},
    verdict::discovered_policy,
};

/// What is seen within this time is judged and shown together: a round over many addresses of one host is one new snapshot.
const PUBLISH_AFTER: Duration = Duration::from_millis(250);
/// How many probes are started for each one that may connect. Those beyond the limit wait for a polite moment; whatever waits
/// for one busy provider must not fill the list, and a list without an end would fill the memory.
const STARTED_PER_CONNECTION: usize = 16;
/// How long probes may go on when the monitor is told to stop: enough for most to say QUIT, short for whoever waits.
const GRACE: Duration = Duration::from_secs(2);
/// Results that wait for the keeper. A full list makes probes wait, not grow.
const RESULTS: usize = 1024;
/// How many overdue targets are counted: beyond it the exact number says no more.
const MOST_OVERDUE: usize = 100_000;

/// The running monitor.
#[derive(Debug)]
pub struct Monitor {
    commands: mpsc::Sender<Reconfigure>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    store: Option<SharedStore>,
    intake: Intake,
    stop: CancellationToken,
    keeper: JoinHandle<()>,
}

/// Hands new settings to a running monitor.
#[derive(Clone, Debug)]
pub struct Reconfigurer {
    commands: mpsc::Sender<Reconfigure>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    store: Option<SharedStore>,
}

#[derive(Debug)]
struct Reconfigure {
    settings: Arc<Settings>,
    edges: Edges,
    /// What was kept of the domains that are new.
    kept: Kept,
    done: oneshot::Sender<Change>,
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
}

/// Why new settings are not in force.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReconfigureError {
    /// The edges cannot be set up with them.
    #[error(transparent)]
    Edges(#[from] EdgesError),
    /// The monitor is stopping.
    #[error("the monitor is stopping")]
    Stopping,
}

impl Monitor {
    /// Starts the monitor. The first snapshot is there at once, with every configured domain and what the state folder has of
    /// it. Without a folder nothing is kept.
    ///
    /// # Errors
    /// [`StartError`] where the edges cannot be set up, or the folder must not be used.
    pub async fn start(
        settings: Arc<Settings>,
        telemetry: Telemetry,
        state: Option<&Path>,
    ) -> Result<Self, StartError> {
        // The folder first: one that is in use shows at once.
        let names: Vec<PolicyDomain> = settings.domains.iter().map(|one| one.domain.clone()).collect();
        let (scribe, kept) = match state {
            Some(folder) => {
                let (scribe, kept) = Scribe::start(folder, &names, telemetry.clone()).await?;
                (Some(scribe), kept)
            }
            None => (None, Kept::default()),
        };
        let store = scribe.as_ref().map(Scribe::shared);
        let edges = Arc::new(Edges::open(&settings).await?);
        let (commands, inbox) = mpsc::channel(1);
        let (results_in, results) = mpsc::channel(RESULTS);
        let stop = CancellationToken::new();
        let mut fleet = Fleet::new(Arc::clone(&settings), edges.resolver.dnssec_sight());
        let due = fleet.restore(kept.domains, kept.hosts);
        fleet.restore_reports(kept.reports.domains.clone(), kept.reports.intake.clone(), now());
        let first = fleet.refresh(now()).unwrap_or_default();
        let (publisher, snapshots) = watch::channel(first);
        let Started { intake, news, filer } = Intake::start(Around {
            settings: &settings,
            resolver: edges.resolver.clone(),
            snapshots: snapshots.clone(),
            store: store.clone(),
            known: kept.of,
            kept: &kept.reports,
            state,
            telemetry: telemetry.clone(),
            stop: stop.clone(),
        });
        let sources = Sources::start(&intake, &settings, &edges.imap, state, &stop);
        let mut keeper = Keeper {
            fleet,
            schedule: Schedule::default(),
            started: 0,
            probes: TaskTracker::new(),
            results_in,
            publisher,
            publish_at: None,
            scribe,
            desk: Some(Desk { intake: intake.clone(), news, filer, sources }),
            stop: stop.clone(),
            telemetry,
            edges,
            settings,
        };
        keeper.watch_resolver();
        keeper.tell_intervals();
        keeper.begin_all(due);
        let keeper = tokio::spawn(keeper.run(inbox, results));
        Ok(Self { commands, snapshots, store, intake, stop, keeper })
    }

    /// The snapshots as they are published.
    pub fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshots.clone()
    }

    /// What hands new settings to this monitor.
    pub fn reconfigurer(&self) -> Reconfigurer {
        Reconfigurer { commands: self.commands.clone(), snapshots: self.snapshots.clone(), store: self.store.clone() }
    }

    /// Where what is known is kept; nothing where nothing is.
    pub fn store(&self) -> Option<SharedStore> {
        self.store.clone()
    }

    /// Where reports come in.
    pub fn intake(&self) -> Intake {
        self.intake.clone()
    }

    /// Stops probing and waits until running probes have ended or the grace is over.
    pub async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.keeper.await {
            tracing::error!(%error, "the monitor did not stop cleanly");
        }
    }
}

impl Reconfigurer {
    /// Puts new settings in force: running probes go on, and domains that stay keep what is known of them and their due time.
    ///
    /// # Errors
    /// [`ReconfigureError`]; the settings before then stay in force.
    pub async fn apply(&self, settings: Arc<Settings>) -> Result<Change, ReconfigureError> {
        // The files behind the settings (roots, resolv.conf) may have changed with none of them changed: the edges are always
        // set up anew. Here, because that may wait for a resolver, and the keeper must not.
        let edges = Edges::open(&settings).await?;
        let kept = self.kept(&settings).await;
        let (done, outcome) = oneshot::channel();
        self.commands
            .send(Reconfigure { settings, edges, kept, done })
            .await
            .map_err(|_| ReconfigureError::Stopping)?;
        outcome.await.map_err(|_| ReconfigureError::Stopping)
    }

    /// What was kept of the domains that are new. Without it they begin anew.
    async fn kept(&self, settings: &Settings) -> Kept {
        let Some(store) = self.store.as_ref().and_then(|shared| shared.borrow().clone()) else {
            return Kept::default();
        };
        let snapshot = Arc::clone(&self.snapshots.borrow());
        let added = settings.domains.iter().filter(|one| !snapshot.domains.contains_key(&one.domain));
        let added: Vec<PolicyDomain> = added.map(|one| one.domain.clone()).collect();
        Kept::load(store.as_ref(), &added).await.unwrap_or_else(|error| {
            tracing::error!(%error, "what was kept of the new domains cannot be read; they begin anew");
            Kept::default()
        })
    }
}

/// What a probe brought back.
enum Seen {
    Domain(Box<(DomainObservation, (Vec<MxHost>, usize))>),
    /// With how many of the addresses are to be probed; nothing where the host opted out.
    Host(Box<(HostObservation, Option<usize>)>),
    Address(Box<AddressObservation>),
    Survey(Box<TlsSurvey>),
    Canary(MxHost, Vec<AddressObservation>),
    /// The probe panicked.
    Nothing,
}

/// What the fleet knows that a probe needs.
enum Known {
    Nothing,
    /// What the policy host said last, where it is too early to ask again.
    Policy(Option<Box<PolicyHostObservation>>),
    /// The TLSA base domain of a host.
    Base(Option<MxHost>),
}

struct Done {
    target: Target,
    due: Timestamp,
    seen: Seen,
}

struct Keeper {
    settings: Arc<Settings>,
    edges: Arc<Edges>,
    fleet: Fleet,
    schedule: Schedule<Target>,
    started: usize,
    probes: TaskTracker,
    results_in: mpsc::Sender<Done>,
    publisher: watch::Sender<Arc<Snapshot>>,
    publish_at: Option<Instant>,
    scribe: Option<Scribe>,
    desk: Option<Desk>,
    telemetry: Telemetry,
    stop: CancellationToken,
}

impl Keeper {
    async fn run(mut self, mut inbox: mpsc::Receiver<Reconfigure>, mut results: mpsc::Receiver<Done>) {
        // Longer than any probe: the loop then looks again, and nothing is lost.
        const IDLE: Duration = Duration::from_secs(60);
        loop {
            let room = self.started < self.settings.probe.max_in_flight.saturating_mul(STARTED_PER_CONNECTION);
            let idle = Instant::now() + IDLE;
            let due = self.schedule.next().filter(|_| room).unwrap_or(idle);
            let publish = self.publish_at.unwrap_or(idle);
            let save = self.scribe.as_ref().and_then(Scribe::next);
            let grown_up = self.next_grown_up();
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                Some(command) = inbox.recv() => self.reconfigure(command),
                () = sleep_until(publish), if self.publish_at.is_some() => self.publish(),
                outcome = outcome(&mut self.scribe) => self.saved(outcome),
                () = sleep_until(save.unwrap_or(idle)), if save.is_some() => self.save(),
                Some(news) = news(&mut self.desk) => self.told(news),
                () = sleep_until(grown_up.unwrap_or(idle)), if grown_up.is_some() => self.grow_up(),
                Some(done) = results.recv() => self.take(done),
                () = sleep_until(due) => self.begin_due(),
            }
        }
        self.probes.close();
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
        self.publish();
        self.drain().await;
    }

    /// Puts every target of a new fleet on the schedule. `due`: those of which something was kept.
    fn begin_all(&mut self, due: Vec<Due>) {
        let settings = Arc::clone(&self.settings);
        let known: HashSet<Target> = due.iter().map(|(target, _)| target.clone()).collect();
        let domains = settings.domains.iter().map(|one| Target::Domain(one.domain.clone()));
        let canaries = settings.probe.canaries.iter().map(|canary| Target::Canary(canary.clone()));
        let new = domains.filter(|target| !known.contains(target)).map(|target| (target, None));
        let targets = new.chain(due).collect();
        self.begin(targets, now());
        for canary in canaries {
            self.set(canary, Duration::ZERO);
        }
    }

    fn set(&mut self, target: Target, delay: Duration) {
        if let Target::Domain(domain) = &target {
            self.fleet.set_due(domain, now() + delay);
        }
        self.schedule.set(target, Instant::now() + delay);
    }

    fn begin_due(&mut self) {
        let time = Instant::now();
        let most = self.settings.probe.max_in_flight.saturating_mul(STARTED_PER_CONNECTION);
        while self.started < most
            && let Some((target, due)) = self.schedule.pop(time)
        {
            let due = now() - time.saturating_duration_since(due);
            let known = match &target {
                Target::Domain(domain) => Known::Policy(self.fleet.kept_policy(domain, now()).map(Box::new)),
                Target::Survey(host, address) => match self.fleet.survey_due(host, *address) {
                    Some(base) => Known::Base(base),
                    None => continue,
                },
                _ => Known::Nothing,
            };
            self.started += 1;
            let task =
                run(Arc::clone(&self.edges), self.telemetry.clone(), target, due, known, self.results_in.clone());
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

    fn take(&mut self, Done { target, due, seen }: Done) {
        self.started = self.started.saturating_sub(1);
        let began = match &seen {
            Seen::Domain(seen) => Some(seen.0.started_at),
            Seen::Address(seen) => Some(seen.at - seen.duration),
            Seen::Host(_) | Seen::Survey(_) | Seen::Canary(..) | Seen::Nothing => None,
        };
        if let Some(began) = began {
            self.telemetry.schedule_lag(began.since(due));
        }
        let wanted = match seen {
            Seen::Domain(seen) => self.fleet.domain_seen(seen.0, seen.1),
            Seen::Host(seen) => self.fleet.host_seen(seen.0, seen.1, now()),
            Seen::Address(seen) => self.fleet.address_seen(*seen),
            Seen::Survey(seen) => self.fleet.survey_seen(*seen),
            Seen::Canary(name, seen) => self.fleet.canary_seen(&name, &seen),
            Seen::Nothing => {
                let again = if let Target::Survey(..) = target { SURVEY_RETRY } else { self.settings.probe.interval };
                Wanted { again: Some(again), ..Wanted::default() }
            }
        };
        self.follow(&target, wanted);
        self.publish_soon();
        self.hurry();
    }

    fn follow(&mut self, target: &Target, wanted: Wanted) {
        if let Some(again) = wanted.again {
            self.set(target.clone(), jittered(again, rand::random()));
        }
        for target in wanted.never {
            self.schedule.remove(&target);
        }
        for target in wanted.now {
            self.set(target, Duration::ZERO);
        }
        for spread in wanted.spread {
            self.set(spread.target, spread.after + spread.within.mul_f64(rand::random()));
        }
    }

    fn publish_soon(&mut self) {
        self.publish_at.get_or_insert_with(|| Instant::now() + PUBLISH_AFTER);
    }

    fn publish(&mut self) {
        self.publish_at = None;
        let [domains, hosts, addresses] = self.fleet.counts();
        self.telemetry.set_targets(ProbeKind::Domain, domains);
        self.telemetry.set_targets(ProbeKind::Mx, hosts);
        self.telemetry.set_targets(ProbeKind::MxAddress, addresses);
        let surveyed = if self.settings.probe.legacy_tls { addresses } else { 0 };
        self.telemetry.set_targets(ProbeKind::Survey, surveyed);
        self.telemetry.set_targets(ProbeKind::Canary, self.settings.probe.canaries.len());
        self.fleet.set_dnssec(self.edges.resolver.dnssec_sight());
        self.telemetry.set_overdue(self.schedule.overdue(Instant::now(), MOST_OVERDUE));
        if let Some(snapshot) = self.fleet.refresh(now()) {
            self.publisher.send_replace(snapshot);
        }
    }

    fn reconfigure(&mut self, Reconfigure { settings, mut edges, kept, done }: Reconfigure) {
        let change = Change::between(&self.settings, &settings);
        edges.succeed(&self.edges, &settings);
        self.edges = Arc::new(edges);
        let before = std::mem::replace(&mut self.settings, Arc::clone(&settings));
        self.configure_intake(&before);
        let wanted = self.fleet.configure(settings, self.edges.resolver.dnssec_sight());
        self.watch_resolver();
        self.tell_intervals();
        let due = self.fleet.restore(kept.domains, kept.hosts);
        self.fleet.restore_domain_reports(kept.reports.domains, now());
        self.follow_configuration(wanted);
        self.begin(due, now());
        self.hurry();
        self.publish();
        // Whoever asked may have gone; the settings are in force all the same.
        let _ = done.send(change);
    }

    /// New domains begin spread; those that stay keep their due time, or an earlier one where the interval became shorter.
    fn follow_configuration(&mut self, wanted: Wanted) {
        for target in wanted.never {
            self.schedule.remove(&target);
        }
        let of = wanted.now.len();
        for (place, target) in wanted.now.into_iter().enumerate() {
            self.set(target, first_delay(place, of, self.settings.probe.interval));
        }
        let time = Instant::now();
        for domain in &self.settings.domains {
            let latest = time + self.settings.interval(domain);
            self.schedule.no_later_than(&Target::Domain(domain.domain.clone()), latest);
        }
        let others: Vec<Target> =
            self.schedule.keys().filter(|key| !matches!(key, Target::Domain(_))).cloned().collect();
        for target in others {
            let interval = self.interval(&target);
            self.schedule.no_later_than(&target, time + interval);
        }
    }

    fn watch_resolver(&self) {
        let resolver = self.edges.resolver.clone();
        self.telemetry.set_dns_source(Box::new(move || {
            let stats = resolver.stats();
            DnsCounters {
                queries: stats.queries.to_vec(),
                failures: stats.failures.to_vec(),
                cache_hits: stats.cache_hits,
            }
        }));
    }

    fn tell_intervals(&self) {
        let probe = &self.settings.probe;
        for (kind, interval) in [
            (ProbeKind::Domain, probe.interval),
            (ProbeKind::Mx, probe.interval),
            (ProbeKind::MxAddress, probe.mx_interval),
            (ProbeKind::Survey, SURVEY_INTERVAL),
            (ProbeKind::Canary, probe.interval),
        ] {
            self.telemetry.set_interval(kind, interval);
        }
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

/// One probe, from its start to its result. A panic in it is caught and counted: the target is probed again later.
async fn run(
    edges: Arc<Edges>,
    telemetry: Telemetry,
    target: Target,
    due: Timestamp,
    known: Known,
    results: mpsc::Sender<Done>,
) {
    let looked = AssertUnwindSafe(look(&edges, &telemetry, &target, known)).catch_unwind().await;
    let seen = looked.unwrap_or_else(|_| {
        telemetry.task_panicked();
        tracing::error!(?target, "a probe panicked; it is tried again at its next time");
        Seen::Nothing
    });
    // The keeper stops listening only when it stops.
    let _ = results.send(Done { target, due, seen }).await;
}

async fn look(edges: &Edges, telemetry: &Telemetry, target: &Target, known: Known) -> Seen {
    let started = Instant::now();
    match target {
        Target::Domain(domain) => {
            let guard = telemetry.probe_started(ProbeKind::Domain);
            let kept = if let Known::Policy(kept) = known { kept.map(|kept| *kept) } else { None };
            let observation = probe::domain(edges, domain, kept).await;
            guard.ended(observation.duration, domain_failure(&observation));
            let hosts = probe::mail_hosts(edges, &observation);
            Seen::Domain(Box::new((observation, hosts)))
        }
        Target::Host(host) => {
            let guard = telemetry.probe_started(ProbeKind::Mx);
            let observation = probe::host(edges, host).await;
            guard.ended(started.elapsed(), (!observation.addresses.answered()).then_some("dns-error"));
            let probed = (!edges.is_opted_out(host.as_str())).then_some(edges.max_addresses);
            Seen::Host(Box::new((observation, probed)))
        }
        Target::Address(host, address) => {
            let guard = telemetry.probe_started(ProbeKind::MxAddress);
            let observation = probe::address(edges, host, *address).await;
            guard.ended(observation.duration, address_failure(&observation));
            Seen::Address(Box::new(observation))
        }
        Target::Survey(host, address) => {
            let guard = telemetry.probe_started(ProbeKind::Survey);
            let base = if let Known::Base(base) = known { base } else { None };
            let survey = probe::survey(edges, host, *address, base.as_ref()).await;
            guard.ended(started.elapsed(), survey_failure(&survey));
            Seen::Survey(Box::new(survey))
        }
        Target::Canary(host) => {
            let guard = telemetry.probe_started(ProbeKind::Canary);
            let seen = probe::canary(edges, host).await;
            let reached = seen.iter().any(AddressObservation::connected);
            guard.ended(started.elapsed(), (!reached).then_some("other"));
            Seen::Canary(host.clone(), seen)
        }
    }
}

fn domain_failure(observation: &DomainObservation) -> Option<&'static str> {
    let answered =
        observation.mx.answered() && observation.sts_record.answered() && observation.tlsrpt_record.answered();
    let announced = !observation.sts_record.records().is_empty();
    let usable = || discovered_policy(observation, observation.started_at).is_some();
    match (answered, announced) {
        (false, _) => Some("dns-error"),
        (true, true) if !usable() => Some("sts-policy-fetch-error"),
        _ => None,
    }
}

fn survey_failure(survey: &TlsSurvey) -> Option<&'static str> {
    let failed = survey.handshakes().any(|handshake| matches!(handshake, Handshake::Failed(_)));
    match survey.is_blank() {
        true => Some("other"),
        false => failed.then_some("validation-failure"),
    }
}

fn address_failure(observation: &AddressObservation) -> Option<&'static str> {
    use crate::facts::ConnectFailure;
    match &observation.outcome {
        SmtpOutcome::Done => None,
        SmtpOutcome::ConnectFailed(ConnectFailure::Refused) => Some("connect-refused"),
        SmtpOutcome::ConnectFailed(ConnectFailure::Timeout) | SmtpOutcome::Timeout(_) => Some("timeout"),
        SmtpOutcome::ConnectFailed(_) => Some("other"),
        SmtpOutcome::Rejected { .. } | SmtpOutcome::ProtocolError { .. } => Some("smtp-error"),
        SmtpOutcome::StarttlsNotOffered | SmtpOutcome::StarttlsRefused { .. } => Some("starttls-not-supported"),
        SmtpOutcome::HandshakeFailed(_) => Some("validation-failure"),
    }
}

mod reporting;
mod saving;
