//! `serve`: the monitor, until it is told to stop.

use std::{net, path::Path, sync::Arc, time::Duration};

use tokio::{
    net::TcpListener,
    runtime,
    signal::unix::{Signal, SignalKind, signal},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    OK, OWN_SIDE, USAGE,
    args::{Common, Serve},
    complain, descriptors,
    service::{Notifier, handed_over},
    settings::{LoadedSettings, Source, colour, refused},
};
use crate::{
    config::{Change, Diagnostic, Settings},
    metrics::{Blocks, Exposition},
    monitor::{Allotment, INDEX_VARIABLE, Inventory, Monitor, Renderer, Sharder, SharedState, Surroundings, Telemetry},
    net::{host_name, now},
    store::open_shared,
    web::{
        Admission, App, ExternalUrl, ListenAddress, Mount, Reload, ReloadRefused, ReportDoor, ReportEntrance,
        TIMEOUT_OFFSET, bind, serve,
    },
};

/// So long the whole end may take: what is under way has its own, shorter times, and this is for what hangs all the same. Less than
/// service managers wait before they kill (Kubernetes 30 s; `TimeoutStopSec` of the unit).
const STOP_MOST: Duration = Duration::from_secs(20);
/// Work on threads of its own (a file on a disk that does not answer) cannot be called off; so long it is waited for after all else.
const THREADS_MOST: Duration = Duration::from_secs(1);

/// Runs the monitor; returns when it was told to stop, or could not start.
pub(super) fn run(arguments: &Serve, common: &Common) -> u8 {
    let source = Source { file: common.config_file.clone(), domains: arguments.domains.clone() };
    let loaded = match source.load() {
        Ok(loaded) => loaded,
        Err(errors) => return complain(&refused(&errors, colour()), USAGE),
    };
    if let Err(none) = loaded.settings.require_domains() {
        return complain(&none.to_string(), USAGE);
    }
    // Before there are threads: it changes the environment.
    let handed = match arguments.systemd_socket.then(handed_over).transpose() {
        Ok(handed) => handed,
        Err(error) => return complain(&error.to_string(), USAGE),
    };
    let runtime = match super::runtime(runtime::Builder::new_multi_thread()) {
        Ok(runtime) => runtime,
        Err(status) => return status,
    };
    let ended = runtime.block_on(monitor(arguments, common, handed, source, loaded));
    runtime.shutdown_timeout(THREADS_MOST);
    match ended {
        Ok(()) => OK,
        Err(Failure { message, status }) => complain(&message, status),
    }
}

/// Why the monitor does not run, for the user, and the exit status.
pub(super) struct Failure {
    pub(super) message: String,
    pub(super) status: u8,
}

/// What cannot be used as it is configured.
pub(super) fn unusable(error: &impl ToString) -> Failure {
    Failure { message: error.to_string(), status: USAGE }
}

/// What this system does not give.
pub(super) fn own_side(error: &impl ToString) -> Failure {
    Failure { message: error.to_string(), status: OWN_SIDE }
}

async fn monitor(
    arguments: &Serve,
    common: &Common,
    handed: Option<Vec<net::TcpListener>>,
    source: Source,
    loaded: LoadedSettings,
) -> Result<(), Failure> {
    let signals = Signals::new()?;
    // Before the first probe: a port that is taken shows at once.
    let listeners = match handed {
        Some(handed) => {
            handed.into_iter().map(TcpListener::from_std).collect::<Result<_, _>>().map_err(|error| own_side(&error))?
        }
        None => listen(&arguments.listen)?,
    };
    let folder = common.state_dir.clone().unwrap_or_else(|| loaded.settings.state_dir().to_owned());
    let running = Running::start(arguments, listeners, &folder, source, loaded).await?;
    running.until_told(signals).await
}

/// Listens at these addresses; at the usual one where there are none.
pub(super) fn listen(addresses: &[ListenAddress]) -> Result<Vec<TcpListener>, Failure> {
    let addresses = if addresses.is_empty() { vec![ListenAddress::default()] } else { addresses.to_vec() };
    addresses.into_iter().map(bind).collect::<Result<_, _>>().map_err(|error| unusable(&error))
}

fn tell_addresses(listeners: &[TcpListener]) {
    for listener in listeners {
        if let Ok(address) = listener.local_addr() {
            tracing::info!(%address, "listening");
        }
    }
}

/// The monitor with its server.
pub(super) struct Running {
    monitor: Monitor,
    stop: CancellationToken,
    entrance: Arc<ReportEntrance>,
    reloader: Arc<Reloader>,
    notifier: Arc<Notifier>,
    keeper: JoinHandle<()>,
    server: JoinHandle<()>,
    publisher: JoinHandle<()>,
    follower: JoinHandle<()>,
    attendant: JoinHandle<()>,
}

impl Running {
    /// Starts it; `folder`: where it keeps what it knows.
    pub(super) async fn start(
        arguments: &Serve,
        listeners: Vec<TcpListener>,
        folder: &Path,
        source: Source,
        LoadedSettings { mut settings, warnings }: LoadedSettings,
    ) -> Result<Self, Failure> {
        tell_addresses(&listeners);
        tell(&warnings);
        descriptors::fit(&mut settings);
        let notifier = Arc::new(Notifier::of_environment());
        let telemetry = Telemetry::new().map_err(|error| own_side(&error))?;
        telemetry.process_started(now());
        telemetry.count_panics();
        let admission = admission(arguments.web_config.as_deref(), &settings, &telemetry)?;
        let (inventory, settings) = Inventory::open(settings, folder, telemetry.clone()).await;
        let settings = Arc::new(settings);
        let domains = settings.domains.len();
        let allotment = allotment(&settings, arguments).await?;
        let blocks = Blocks::new(&settings.metrics);
        let (part, renderer) = (allotment.part(), Arc::clone(&blocks) as Arc<dyn Renderer>);
        let monitor = match allotment.sharing() {
            Some(sharing) => Monitor::start_sharing(part, telemetry.clone(), folder, sharing, renderer).await,
            None => Monitor::start(part, telemetry.clone(), Some(folder), renderer).await,
        };
        let monitor = monitor.map_err(|error| unusable(&error))?;
        telemetry.config_reloaded(true, now());
        tracing::info!(domains, state = %folder.display(), "monitoring");

        let stop = CancellationToken::new();
        let door = Arc::new(ReportDoor::new(monitor.intake()));
        let entrance = Arc::new(ReportEntrance::new(
            Arc::clone(&door),
            telemetry.clone(),
            descriptors::limits_of_reports(),
            stop.clone(),
        ));
        let prepared = entrance.prepare(&settings).await.map_err(|error| unusable(&error))?;
        entrance.open(prepared).await;
        let sharder = allotment.with(monitor.reconfigurer(), telemetry.clone());
        let shards = sharder.shards();
        let keeper = sharder.keep(stop.clone());
        let lists = sharder.clone();
        let following = inventory.clone().follow(stop.clone(), move |domains| {
            let sharder = lists.clone();
            async move { sharder.apply_domains(domains).await.map_err(|error| error.to_string()) }
        });
        let follower = tokio::spawn(telemetry.vital("the watch over the lists of domains", following));
        let reloader = Arc::new(Reloader {
            source,
            sharder,
            blocks: Arc::clone(&blocks),
            inventory,
            telemetry: telemetry.clone(),
            entrance: Arc::clone(&entrance),
            admission: admission.clone(),
            notifier: Arc::clone(&notifier),
        });
        let (vital, counted) = (telemetry.clone(), telemetry.clone());
        let app = App::new(
            Exposition::new(Arc::clone(&blocks)),
            telemetry,
            arguments.telemetry_path.clone().unwrap_or_default(),
            on_request(Arc::clone(&reloader)),
        );
        let mount = Mount::new(arguments.external_url.clone(), arguments.route_prefix.clone());
        let app =
            app.with_store(monitor.store()).with_prompter(monitor.prompter()).with_reports(door).with_shards(shards);
        if let Some(admission) = &admission {
            // Ends by `stop`, as nothing waits for what it does.
            tokio::spawn(
                vital.vital("the watch over the web configuration", Arc::clone(admission).follow(stop.clone())),
            );
        }
        let offset = arguments.timeout_offset.unwrap_or(TIMEOUT_OFFSET);
        let app = Arc::new(app.with_mount(mount).with_admission(admission).with_timeout_offset(offset));
        let mut snapshots = monitor.snapshots();
        // Before anybody is answered: the first scrape after a restart shows what was stored.
        let stored = Arc::clone(&snapshots.borrow_and_update());
        show(&app, stored).await;
        let publishing = publish(snapshots, Arc::clone(&app), stop.clone());
        let publisher = tokio::spawn(vital.vital("the publisher of what was seen", publishing));
        let serving = serve(listeners, app, stop.clone(), descriptors::limits());
        let server = tokio::spawn(vital.vital("the server", serving));
        notifier.ready();
        let attendant = tokio::spawn({
            let (notifier, snapshots, pulse, stop) =
                (Arc::clone(&notifier), monitor.snapshots(), monitor.pulse(), stop.clone());
            let status =
                move || format!("{} domains, {} looks overdue", snapshots.borrow().domains.len(), counted.overdue());
            async move { notifier.attend(pulse, status, stop).await }
        });
        Ok(Self { monitor, stop, entrance, reloader, notifier, keeper, server, publisher, follower, attendant })
    }

    /// Goes on until a signal says to stop; a second one ends it at once.
    pub(super) async fn until_told(self, signals: Signals) -> Result<(), Failure> {
        let Signals { reload, mut stop } = signals;
        let lost = tokio::select! {
            // Beside the others: whoever says stop does not wait for a reload.
            () = self.reloader.follow(reload) => None,
            () = stop.received() => None,
            lost = self.reloader.telemetry.lost() => Some(lost),
        };
        match lost {
            None => tracing::info!("stopping"),
            Some(task) => {
                tracing::error!("{task} ended by a fault of this program; all of it ends, to be started again");
            }
        }
        self.notifier.stopping();
        tokio::select! {
            ended = timeout(STOP_MOST, self.end()) => ended.unwrap_or_else(|_| {
                Err(own_side(&format!("not all that was under way ended within {STOP_MOST:?}; what was not written by then is lost")))
            }),
            () = stop.received() => Err(own_side(&"told to stop a second time: what was not written yet is lost")),
        }?;
        match lost {
            None => Ok(()),
            Some(task) => Err(own_side(&format!(
                "{task} ended by a fault of this program; please report it with the lines before"
            ))),
        }
    }

    async fn end(self) -> Result<(), Failure> {
        self.stop.cancel();
        let ((), (), keeper, server, publisher, follower, attendant) = tokio::join!(
            self.monitor.stop(),
            self.entrance.closed(),
            self.keeper,
            self.server,
            self.publisher,
            self.follower,
            self.attendant
        );
        // After all is written: others take over at once.
        self.reloader.sharder.leave().await;
        keeper.and(server).and(publisher).and(follower).and(attendant).map_err(|error| own_side(&error))
    }
}

/// The signals that a user sends.
pub(super) struct Signals {
    reload: Signal,
    stop: StopSignals,
}

/// Those that say to stop.
pub(super) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From now on they are waited for; before, they end the program.
    pub(super) fn new() -> Result<Self, Failure> {
        let of = |kind| signal(kind).map_err(|error| own_side(&error));
        Ok(Self {
            reload: of(SignalKind::hangup())?,
            stop: StopSignals { terminate: of(SignalKind::terminate())?, interrupt: of(SignalKind::interrupt())? },
        })
    }

    /// Waits until one says to stop.
    pub(super) async fn stop(&mut self) {
        self.stop.received().await;
    }
}

impl StopSignals {
    async fn received(&mut self) {
        tokio::select! {
            Some(()) = self.terminate.recv() => {}
            Some(()) = self.interrupt.recv() => {}
        }
    }
}

/// Shows each snapshot as it comes.
async fn publish(
    mut snapshots: tokio::sync::watch::Receiver<Arc<crate::monitor::Snapshot>>,
    app: Arc<App>,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            changed = snapshots.changed() => if changed.is_err() { return },
        }
        let snapshot = Arc::clone(&snapshots.borrow_and_update());
        show(&app, snapshot).await;
    }
}

/// Rendering is work for a thread that nobody waits for.
async fn show(app: &Arc<App>, snapshot: Arc<crate::monitor::Snapshot>) {
    let app = Arc::clone(app);
    if let Err(error) = tokio::task::spawn_blocking(move || app.publish(snapshot)).await {
        tracing::error!(%error, "a snapshot could not be shown");
    }
}

/// Reads the configuration again and puts it in force.
struct Reloader {
    source: Source,
    sharder: Sharder,
    blocks: Arc<Blocks>,
    inventory: Inventory,
    telemetry: Telemetry,
    entrance: Arc<ReportEntrance>,
    admission: Option<Arc<Admission>>,
    notifier: Arc<Notifier>,
}

impl Reloader {
    /// Reloads at each signal.
    async fn follow(&self, mut signal: Signal) {
        while let Some(()) = signal.recv().await {
            // The outcome is told in the log.
            let _ = self.reload().await;
        }
    }

    /// Both configurations, each for itself: one that is refused leaves the other as it comes.
    async fn reload(&self) -> Result<(), ReloadRefused> {
        let web = async {
            match &self.admission {
                Some(admission) => admission.refresh().await,
                None => Ok(()),
            }
        };
        // Side by side: the web configuration waits until its files rest.
        match tokio::join!(self.reload_settings(), web) {
            (Ok(()), Ok(())) => Ok(()),
            (settings, web) => Err(ReloadRefused { settings: settings.err(), web: web.err() }),
        }
    }

    async fn reload_settings(&self) -> Result<(), String> {
        self.notifier.reloading();
        let outcome = self.attempt().await;
        self.notifier.ready();
        self.telemetry.config_reloaded(outcome.is_ok(), now());
        match &outcome {
            Ok(change) => {
                self.notifier.status_anew();
                tracing::info!(
                    added = change.added.len(),
                    removed = change.removed.len(),
                    changed = change.changed.len(),
                    "the configuration was reloaded"
                );
            }
            Err(message) => {
                self.notifier.status("the configuration was refused, the one before stays in force: see the log");
                tracing::error!("the configuration was refused, the one before stays in force: {message}");
            }
        }
        outcome.map(|_| ())
    }

    async fn attempt(&self) -> Result<Change, String> {
        let source = self.source.clone();
        // Reading files blocks.
        let loaded = tokio::task::spawn_blocking(move || source.load()).await.map_err(|error| error.to_string())?;
        let LoadedSettings { mut settings, warnings } = loaded.map_err(|errors| refused(&errors, false))?;
        settings.require_domains().map_err(|none| none.to_string())?;
        tell(&warnings);
        descriptors::fit(&mut settings);
        let inventory = self.inventory.prepare(settings).await;
        let settings = inventory.settings();
        // What cannot be opened leaves all as it was.
        let prepared = self.entrance.prepare(&settings).await.map_err(|error| error.to_string())?;
        // First: what is judged by the new settings is rendered by them.
        let before = self.blocks.set(&settings.metrics);
        let change = self.sharder.apply(Arc::new(settings)).await.map_err(|error| {
            self.blocks.set(before);
            error.to_string()
        })?;
        inventory.commit();
        self.entrance.open(prepared).await;
        Ok(change)
    }
}

/// What the web configuration says, where there is one.
fn admission(
    path: Option<&Path>,
    settings: &Settings,
    telemetry: &Telemetry,
) -> Result<Option<Arc<Admission>>, Failure> {
    let Some(path) = path else { return Ok(None) };
    let admission = Admission::open(path, telemetry.clone()).map_err(|errors| unusable(&errors))?;
    if admission.wants_certificates() && settings.reports.path().is_some() && settings.reports.listener().is_none() {
        tracing::warn!(
            "reports are posted to the listener that wants a certificate of every client; `reports.http.listen` gives them one of their own"
        );
    }
    Ok(Some(admission))
}

/// Which part of the domains this instance takes, by its number or by leases.
async fn allotment(settings: &Arc<Settings>, arguments: &Serve) -> Result<Allotment, Failure> {
    let whole = Arc::clone(settings);
    let Some(url) = settings.shared_state().map(str::to_owned) else {
        return Allotment::new(whole, surroundings()).map_err(|error| unusable(&error));
    };
    let state = SharedState::new(Box::new(move || {
        let url = url.clone();
        Box::pin(async move { open_shared(&url).await })
    }));
    let address = arguments.external_url.as_ref().and_then(ExternalUrl::place);
    Allotment::shared(whole, surroundings(), state, address).await.map_err(|error| unusable(&error))
}

/// What this machine says of which instance this is.
fn surroundings() -> Surroundings {
    Surroundings { variable: std::env::var(INDEX_VARIABLE).ok(), host: host_name() }
}

fn on_request(reloader: Arc<Reloader>) -> Reload {
    Box::new(move || {
        let reloader = Arc::clone(&reloader);
        Box::pin(async move { reloader.reload().await })
    })
}

fn tell(warnings: &[Diagnostic]) {
    for warning in warnings {
        let line = warning.location.map_or(0, |location| location.line);
        tracing::warn!(file = %warning.file, line, "{}", warning.message);
    }
}
