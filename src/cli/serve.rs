//! `serve`: the monitor, until it is told to stop.

use std::sync::Arc;

use tokio::{
    runtime,
    signal::unix::{Signal, SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use super::{
    OK, OWN_SIDE, USAGE,
    args::{Common, Serve},
    complain,
    settings::{LoadedSettings, Source, colour, refused},
};
use crate::{
    config::{Change, Diagnostic},
    metrics::{Exposition, Level},
    monitor::{Monitor, Reconfigurer, Telemetry},
    net::now,
    web::{App, Limits, Mount, Reload, ReportDoor, ReportEntrance, bind, serve},
};

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
    let runtime = match super::runtime(runtime::Builder::new_multi_thread()) {
        Ok(runtime) => runtime,
        Err(status) => return status,
    };
    match runtime.block_on(monitor(arguments, common, source, loaded)) {
        Ok(()) => OK,
        Err(Failure { message, status }) => complain(&message, status),
    }
}

struct Failure {
    message: String,
    status: u8,
}

/// What cannot be used as it is configured.
fn unusable(error: &impl ToString) -> Failure {
    Failure { message: error.to_string(), status: USAGE }
}

/// What this system does not give.
fn own_side(error: &impl ToString) -> Failure {
    Failure { message: error.to_string(), status: OWN_SIDE }
}

async fn monitor(
    arguments: &Serve,
    common: &Common,
    source: Source,
    LoadedSettings { settings, warnings }: LoadedSettings,
) -> Result<(), Failure> {
    let mut signals = Signals::new().map_err(|error| own_side(&error))?;
    tell(&warnings);
    let listeners =
        if arguments.listen.is_empty() { vec![crate::web::ListenAddress::default()] } else { arguments.listen.clone() };
    // Before the first probe: a port that is taken shows at once.
    let listeners = listeners.into_iter().map(bind).collect::<Result<Vec<_>, _>>().map_err(|error| unusable(&error))?;
    for listener in &listeners {
        if let Ok(address) = listener.local_addr() {
            tracing::info!(%address, "listening");
        }
    }
    let telemetry = Telemetry::new().map_err(|error| own_side(&error))?;
    let settings = Arc::new(settings);
    let domains = settings.domains.len();
    let folder = common.state_dir.clone().unwrap_or_else(|| settings.state_dir().to_owned());
    let monitor = Monitor::start(Arc::clone(&settings), telemetry.clone(), Some(&folder));
    let monitor = monitor.await.map_err(|error| unusable(&error))?;
    telemetry.config_reloaded(true, now());
    tracing::info!(domains, state = %folder.display(), "monitoring");

    let stop = CancellationToken::new();
    let door = Arc::new(ReportDoor::new(monitor.intake()));
    let entrance = Arc::new(ReportEntrance::new(Arc::clone(&door), Limits::default(), stop.clone()));
    let prepared = entrance.prepare(&settings).await.map_err(|error| unusable(&error))?;
    entrance.open(prepared).await;
    let reloader = Arc::new(Reloader {
        source,
        monitor: monitor.reconfigurer(),
        telemetry: telemetry.clone(),
        entrance: Arc::clone(&entrance),
    });
    let app = App::new(
        Exposition::new(Level::default()),
        telemetry,
        arguments.telemetry_path.clone().unwrap_or_default(),
        on_request(Arc::clone(&reloader)),
    );
    let mount = Mount::new(arguments.external_url.clone(), arguments.route_prefix.clone());
    let app = Arc::new(
        app.with_store(monitor.store()).with_prompter(monitor.prompter()).with_reports(door).with_mount(mount),
    );
    let mut snapshots = monitor.snapshots();
    // Before anybody is answered: the first scrape after a restart shows what was stored.
    let stored = Arc::clone(&snapshots.borrow_and_update());
    show(&app, stored).await;
    let publisher = tokio::spawn(publish(snapshots, Arc::clone(&app), stop.clone()));
    let server = tokio::spawn(serve(listeners, app, stop.clone(), Limits::default()));
    loop {
        tokio::select! {
            Some(()) = signals.reload.recv() => {
                // The outcome is told in the log.
                let _ = reloader.reload().await;
            }
            Some(()) = signals.terminate.recv() => break,
            Some(()) = signals.interrupt.recv() => break,
        }
    }
    tracing::info!("stopping");
    stop.cancel();
    let ((), (), server, publisher) = tokio::join!(monitor.stop(), entrance.closed(), server, publisher);
    server.and(publisher).map_err(|error| own_side(&error))
}

struct Signals {
    reload: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            reload: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
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
    monitor: Reconfigurer,
    telemetry: Telemetry,
    entrance: Arc<ReportEntrance>,
}

impl Reloader {
    async fn reload(&self) -> Result<(), String> {
        let outcome = self.attempt().await;
        self.telemetry.config_reloaded(outcome.is_ok(), now());
        match &outcome {
            Ok(change) => tracing::info!(
                added = change.added.len(),
                removed = change.removed.len(),
                changed = change.changed.len(),
                "the configuration was reloaded"
            ),
            Err(message) => tracing::error!("the configuration was refused, the one before stays in force: {message}"),
        }
        outcome.map(|_| ())
    }

    async fn attempt(&self) -> Result<Change, String> {
        let source = self.source.clone();
        // Reading files blocks.
        let loaded = tokio::task::spawn_blocking(move || source.load()).await.map_err(|error| error.to_string())?;
        let LoadedSettings { settings, warnings } = loaded.map_err(|errors| refused(&errors, false))?;
        settings.require_domains().map_err(|none| none.to_string())?;
        tell(&warnings);
        // What cannot be opened leaves all as it was.
        let prepared = self.entrance.prepare(&settings).await.map_err(|error| error.to_string())?;
        let change = self.monitor.apply(Arc::new(settings)).await.map_err(|error| error.to_string())?;
        self.entrance.open(prepared).await;
        Ok(change)
    }
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
