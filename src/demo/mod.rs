//! A small mail world inside the process: a name server, policy hosts, mail hosts with the faults that are met most often, and
//! reporters. A monitor can watch it without a domain and without a network.
//!
//! Everything listens on 127.0.0.0/8. `table` says what is wrong with which domain and what follows from it, `events` what
//! happens meanwhile. The past is not made up: `past` sets up how the domains stood, and looks.

mod authority;
mod dns;
mod events;
mod folder;
mod hostile;
mod https;
mod many;
mod network;
mod past;
mod picture;
mod reports;
mod smtp;
mod stage;
mod table;
mod tls;
mod zone;

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use tokio_rustls::TlsAcceptor;

use self::{authority::Authority, folder::Folder, many::Many, network::Sockets, stage::Stage, table::Row};
use crate::{
    config::{self, Settings},
    net::now,
    store,
    verdict::{Code, State},
};

/// A report arrives so often while the world runs.
const REPORT_EVERY: Duration = Duration::from_secs(60);
/// The most further domains: a name has a number of a few digits, and more would only test the machine.
pub const DOMAINS_MOST: u32 = 100_000;

/// The running world. It ends, and what it made is removed, when this is dropped.
#[derive(Debug)]
pub struct Demo {
    folder: Arc<Folder>,
    stage: Arc<Stage>,
    rows: Arc<Vec<Row>>,
    tasks: JoinSet<()>,
}

/// What is true of a domain when the world begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Which domain.
    pub domain: &'static str,
    /// What is wrong, in a few words.
    pub fault: &'static str,
    /// What senders can do.
    pub delivery: State,
    /// What is to be found, all of it.
    pub findings: BTreeSet<Code>,
}

/// Why there is no world.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
    /// Addresses of 127.0.0.0/8 beside 127.0.0.1 cannot be used.
    #[error(
        "the demonstration needs the addresses 127.0.0.0/8 of the loopback interface, as Linux has them; here they cannot be used: {0}"
    )]
    Loopback(io::Error),
    /// The folder has something in it.
    #[error("{} is not empty; name a new folder, or empty it", .0.display())]
    Taken(PathBuf),
    /// The folder, or something in it, cannot be written.
    #[error("{}: {error}", path.display())]
    Folder {
        /// What.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A certificate cannot be made.
    #[error("a certificate of the demonstration cannot be made: {0}")]
    Certificate(String),
    /// The world itself is at fault.
    #[error("the demonstration cannot be set up: {0}")]
    World(String),
}

impl DemoError {
    fn certificate(error: impl std::fmt::Display) -> Self {
        Self::Certificate(error.to_string())
    }

    fn folder(path: &Path, error: io::Error) -> Self {
        Self::Folder { path: path.to_owned(), error }
    }
}

impl Demo {
    /// Starts the peers, lives through the past and writes the folder: `folder`, or a temporary one. `domains`: how many domains are
    /// added to those with a fault.
    ///
    /// # Errors
    /// [`DemoError`].
    pub async fn start(folder: Option<&Path>, domains: u32) -> Result<Self, DemoError> {
        let start = now();
        let folder = Arc::new(Folder::make(folder)?);
        let (rows, many) = (Arc::new(table::rows()), Many(domains.min(DOMAINS_MOST)));
        let sockets = Sockets::bind(&hosts(&rows, many)).await?;
        let authority = Authority::new(start)?;
        folder.write(&rows, many, &sockets.addresses, &authority.root_pem())?;
        let stage = Arc::new(Stage::new(authority, sockets.addresses, many)?);
        let acceptor = TlsAcceptor::from(tls::server(Arc::new(tls::BySite(Arc::clone(&stage))))?);
        let mut tasks = JoinSet::new();
        tasks.spawn(dns::serve_udp(sockets.dns_udp, Arc::clone(&stage)));
        tasks.spawn(dns::serve_tcp(sockets.dns_tcp, Arc::clone(&stage)));
        tasks.spawn(https::serve(sockets.policy_hosts, acceptor, Arc::clone(&stage)));
        for (address, listener) in sockets.mail_hosts {
            tasks.spawn(smtp::serve(listener, address, Arc::clone(&stage)));
        }
        let demo = Self { folder, stage, rows, tasks };
        demo.remember().await?;
        Ok(demo)
    }

    /// Fills the state folder with the past, and lets the latest reports arrive.
    async fn remember(&self) -> Result<(), DemoError> {
        let batches = past::relive(&self.settings()?, &self.stage, &self.rows).await?;
        let wrong = |error: store::StoreError| DemoError::World(error.to_string());
        let opened = store::open(&self.folder.state(), now()).await.map_err(wrong)?;
        for batch in batches {
            opened.store.write(Arc::new(batch), now()).await.map_err(wrong)?;
        }
        let (before, last) = reports::so_far(&self.rows, &self.stage, now());
        for (at, batch) in reports::batches(&before)? {
            opened.store.file_reports(Arc::new(batch), at).await.map_err(wrong)?;
        }
        opened.store.close().await;
        last.iter().try_for_each(|report| self.folder.report(report))
    }

    /// The settings of the past: those of the configuration, for the domains with a story.
    fn settings(&self) -> Result<Settings, DemoError> {
        let loaded = config::load(&self.folder.config()).map_err(|errors| DemoError::World(errors.render(false)))?;
        let mut settings = loaded.settings;
        let names: BTreeSet<&str> = self.rows.iter().filter_map(Row::now).map(|now| now.name).collect();
        settings.domains = settings.domains.iter().filter(|one| names.contains(one.domain.as_str())).cloned().collect();
        Ok(settings)
    }

    /// Lets time go on: events happen, and reports arrive. `tell` hears of them.
    pub fn go_on(&mut self, tell: impl Fn(&str) + Send + Sync + 'static) {
        let tell = Arc::new(tell);
        let (stage, telling) = (Arc::clone(&self.stage), Arc::clone(&tell));
        self.tasks.spawn(async move { events::run(stage, |text| telling(text)).await });
        let (stage, rows, folder) = (Arc::clone(&self.stage), Arc::clone(&self.rows), Arc::clone(&self.folder));
        self.tasks.spawn(async move {
            let mut ticks = interval(REPORT_EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks.tick().await;
            for number in 0.. {
                ticks.tick().await;
                let Some(report) = reports::one_more(&rows, &stage, number, now()) else { return };
                match folder.report(&report) {
                    Ok(()) => tell(&format!("{} reports about {}", report.reporter, report.domain)),
                    Err(error) => tracing::error!(%error, "a report of the demonstration did not arrive"),
                }
            }
        });
    }

    /// The configuration that was written.
    pub fn config_file(&self) -> PathBuf {
        self.folder.config()
    }

    /// Lets an event happen at once, by its place in the order of time; returns what is true of its domain from then on, as soon as a
    /// monitor has seen it. Nothing where there is no such event.
    ///
    /// # Errors
    /// [`DemoError`].
    pub fn happen(&self, place: usize) -> Result<Option<Claim>, DemoError> {
        let Some(event) = events::EVENTS.get(place) else { return Ok(None) };
        event.happen(&self.stage)?;
        let findings = event.findings.iter().copied().collect();
        Ok(Some(Claim { domain: event.domain, fault: event.told, delivery: event.delivery, findings }))
    }

    /// Whether the folder goes with the world.
    pub fn is_temporary(&self) -> bool {
        self.folder.is_temporary()
    }

    /// The state folder that was filled.
    pub fn state_dir(&self) -> PathBuf {
        self.folder.state()
    }

    /// What is true of each domain with a story, before anything happens.
    pub fn claims(&self) -> Vec<Claim> {
        self.rows.iter().filter_map(claim).collect()
    }
}

/// The claims of every world.
pub fn claims() -> Vec<Claim> {
    table::rows().iter().filter_map(claim).collect()
}

/// What happens in every world: how long after its start, and what the terminal says.
pub fn events() -> impl Iterator<Item = (Duration, &'static str)> {
    events::EVENTS.iter().map(|event| (event.after, event.told))
}

fn claim(row: &Row) -> Option<Claim> {
    let findings = row.findings.iter().copied().collect();
    Some(Claim { domain: row.now()?.name, fault: row.fault, delivery: row.delivery, findings })
}

/// Every mail host that there ever is.
fn hosts(rows: &[Row], many: Many) -> BTreeSet<String> {
    let pictures = rows.iter().flat_map(|row| &row.eras).map(|(_, picture)| picture);
    let own = pictures.flat_map(|picture| &picture.hosts).map(|host| host.name.clone());
    own.chain(many.hosts()).collect()
}
