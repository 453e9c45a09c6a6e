//! The own listener of the reports, with a certificate of its own, and its changes at a reload.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use tokio::{net::TcpListener, sync::Mutex, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{
    BindError, Limits, ListenAddress, ReportDoor, bind,
    server::{Served, serve_all},
};
use crate::{
    config::{ReportListener, Settings},
    monitor::Telemetry,
    net::{ServerCertificate, ServerCertificateError},
};

/// Opens and closes the ways by which reports are posted, as the configuration says.
#[derive(Debug)]
pub struct ReportEntrance {
    door: Arc<ReportDoor>,
    limits: Limits,
    stop: CancellationToken,
    telemetry: Telemetry,
    listening: Mutex<Option<Listening>>,
}

/// A listener at work.
#[derive(Debug)]
struct Listening {
    address: ListenAddress,
    certificate: CertificateCell,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// The certificate of new connections.
pub(super) type CertificateCell = Arc<ArcSwapOption<ServerCertificate>>;

/// What was opened for new settings, and is in force with [`ReportEntrance::open`].
#[derive(Debug, Default)]
pub struct Prepared {
    path: Option<String>,
    own: Option<Own>,
}

#[derive(Debug)]
struct Own {
    address: ListenAddress,
    certificate: Option<ServerCertificate>,
    /// Nothing where the address stays.
    listener: Option<TcpListener>,
}

/// Why the way in cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EntranceError {
    /// The address cannot be listened on.
    #[error("reports: {0}")]
    Bind(#[from] BindError),
    /// The certificate cannot be used.
    #[error("reports: {0}")]
    Certificate(#[from] ServerCertificateError),
    /// The address is none.
    #[error("reports: {0}")]
    Address(#[from] super::ListenAddressError),
}

impl ReportEntrance {
    /// Nothing is open. `stop` ends all of it.
    pub fn new(door: Arc<ReportDoor>, limits: Limits, stop: CancellationToken, telemetry: Telemetry) -> Self {
        Self { door, limits, stop, telemetry, listening: Mutex::default() }
    }

    /// Opens what the settings ask for, without putting it in force: a port that is taken, or a certificate that cannot be read,
    /// leaves all as it was.
    ///
    /// # Errors
    /// [`EntranceError`].
    pub async fn prepare(&self, settings: &Settings) -> Result<Prepared, EntranceError> {
        let path = settings.reports.path().map(str::to_owned);
        let Some(ReportListener { address, certificate }) = settings.reports.listener() else {
            return Ok(Prepared { path, own: None });
        };
        let address: ListenAddress = address.parse()?;
        let certificate = certificate.map(|(chain, key)| ServerCertificate::load(&chain, &key)).transpose()?;
        let stays = self.listening.lock().await.as_ref().is_some_and(|now| now.address == address);
        let listener = if stays { None } else { Some(bind(address)?) };
        Ok(Prepared { path, own: Some(Own { address, certificate, listener }) })
    }

    /// Puts in force what was opened. Connections of a listener that is given up end in order.
    pub async fn open(&self, prepared: Prepared) {
        let Prepared { path, own } = prepared;
        self.door.set_path(path.as_deref(), own.is_some());
        let mut listening = self.listening.lock().await;
        match own {
            Some(Own { certificate, listener: None, .. }) => {
                if let Some(now) = &*listening {
                    now.certificate.store(certificate.map(Arc::new));
                }
            }
            Some(Own { address, certificate, listener: Some(listener) }) => {
                if let Ok(address) = listener.local_addr() {
                    tracing::info!(%address, tls = certificate.is_some(), "listening for reports");
                }
                give_up(listening.take());
                let certificate: CertificateCell = Arc::new(ArcSwapOption::new(certificate.map(Arc::new)));
                let stop = self.stop.child_token();
                let served = Served::Reports(Arc::clone(&self.door), Arc::clone(&certificate));
                let serving = serve_all(vec![listener], served, stop.clone(), self.limits);
                let task = tokio::spawn(self.telemetry.vital("the listener for reports", serving));
                *listening = Some(Listening { address, certificate, stop, task });
            }
            None => give_up(listening.take()),
        }
    }

    /// Waits until the own listener has ended, once it was told to stop.
    pub async fn closed(&self) {
        if let Some(listening) = self.listening.lock().await.take()
            && let Err(error) = listening.task.await
        {
            tracing::error!(%error, "the listener for reports did not stop cleanly");
        }
    }
}

fn give_up(listening: Option<Listening>) {
    if let Some(listening) = listening {
        listening.stop.cancel();
    }
}
