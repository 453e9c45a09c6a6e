//! The server: connections, their limits, and an orderly end.

use std::{convert::Infallible, net::IpAddr, panic::resume_unwind, pin::pin, sync::Arc, time::Duration};

use http::{Request, Response, StatusCode};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{App, ReportDoor, body::Pieces, door::Listener, own_listener::CertificateCell, response::plain};

/// Bytes of a request's line and header together; 431 beyond. Scrapes need a few hundred, browsers with cookies more.
const MAX_HEADER_BYTES: usize = 16 << 10;
/// After a failed accept, mostly for want of descriptors: there is no sense in trying again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What one peer may take from the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at one time; the rest wait to be accepted.
    pub connections: usize,
    /// The longest wait for a whole request header, on an idle connection too: longer than the usual scrape intervals, so
    /// that Prometheus can keep its connection.
    pub header: Duration,
    /// The longest wait for a TLS handshake.
    pub handshake: Duration,
    /// The longest life of a connection: bounds peers that read slowly. Prometheus just connects again.
    pub lifetime: Duration,
    /// How long answers under way may take at the end of a connection's life, or of the server's.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            header: Duration::from_secs(90),
            handshake: Duration::from_secs(10),
            lifetime: Duration::from_secs(600),
            grace: Duration::from_secs(5),
        }
    }
}

/// What listeners are for.
#[derive(Clone)]
pub(super) enum Served {
    /// Everything.
    App(Arc<App>),
    /// Reports alone, with TLS where there is a certificate.
    Reports(Arc<ReportDoor>, CertificateCell),
}

impl Served {
    async fn answer(self, request: Request<Incoming>, peer: IpAddr) -> Response<Pieces> {
        match self {
            Self::App(app) => app.answer(request, peer).await,
            Self::Reports(door, _) if door.is_at(request.uri().path(), Listener::Own) => {
                door.answer(request, peer).await
            }
            Self::Reports(..) => plain(StatusCode::NOT_FOUND, "There is nothing here.\n"),
        }
    }
}

/// Serves on all listeners until `shutdown`, then ends the connections in order.
pub async fn serve(listeners: Vec<TcpListener>, app: Arc<App>, shutdown: CancellationToken, limits: Limits) {
    serve_all(listeners, Served::App(app), shutdown, limits).await;
}

pub(super) async fn serve_all(
    listeners: Vec<TcpListener>,
    served: Served,
    shutdown: CancellationToken,
    limits: Limits,
) {
    let (tasks, mut acceptors) = (TaskTracker::new(), JoinSet::new());
    let places = Arc::new(Semaphore::new(limits.connections));
    for listener in listeners {
        let accepting = accept(listener, served.clone(), Arc::clone(&places), shutdown.clone(), limits, tasks.clone());
        acceptors.spawn(accepting);
    }
    tokio::select! {
        () = shutdown.cancelled() => {}
        // They go on until then: one that does not has met a fault, which is this task's own.
        Some(Err(fault)) = acceptors.join_next() => if let Ok(panic) = fault.try_into_panic() { resume_unwind(panic) },
    }
    while acceptors.join_next().await.is_some() {}
    tasks.close();
    tasks.wait().await;
}

async fn accept(
    listener: TcpListener,
    served: Served,
    places: Arc<Semaphore>,
    shutdown: CancellationToken,
    limits: Limits,
    tasks: TaskTracker,
) {
    let accepting = async {
        // The semaphore is never closed.
        while let Ok(place) = Arc::clone(&places).acquire_owned().await {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let connection = connection(stream, peer.ip(), served.clone(), shutdown.clone(), limits);
                    tasks.spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        () = accepting => {}
        () = shutdown.cancelled() => {}
    }
}

async fn connection(stream: TcpStream, peer: IpAddr, served: Served, shutdown: CancellationToken, limits: Limits) {
    let certificate = match &served {
        Served::App(_) => None,
        Served::Reports(_, certificate) => certificate.load_full(),
    };
    let Some(certificate) = certificate else { return requests(stream, peer, served, shutdown, limits).await };
    tokio::select! {
        accepted = timeout(limits.handshake, certificate.accept(stream)) => match accepted {
            Ok(Ok(stream)) => requests(stream, peer, served, shutdown, limits).await,
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        },
        () = shutdown.cancelled() => {}
    }
}

async fn requests<S>(stream: S, peer: IpAddr, served: Served, shutdown: CancellationToken, limits: Limits)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let answer = service_fn(move |request| {
        let served = served.clone();
        async move { Ok::<_, Infallible>(served.answer(request, peer).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header)
        .max_buf_size(MAX_HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), answer);
    let mut serving = pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => Some(ended),
        () = shutdown.cancelled() => None,
        () = sleep(limits.lifetime) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            // The answer under way may end, but not take for ever.
            serving.as_mut().graceful_shutdown();
            timeout(limits.grace, serving).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}
