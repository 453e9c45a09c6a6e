//! The server: connections, their limits, and an orderly end.

use std::{
    convert::Infallible,
    net::IpAddr,
    panic::resume_unwind,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{
    HeaderValue, Request, Response, StatusCode, Version,
    header::{CONNECTION, HOST, TRANSFER_ENCODING},
};
use hyper::{
    body::{Body, Bytes, Frame, Incoming, SizeHint},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    App, ReportDoor,
    body::{Broken, Pieces},
    connections::{Connections, Place, UnderWay},
    door::Listener,
    own_listener::CertificateCell,
    response::plain,
    watched::Watched,
};
use crate::{monitor::Telemetry, net::ServedTls};

/// Bytes of a request's line and header together; 431 beyond. Scrapes need a few hundred, browsers with cookies more.
const MAX_HEADER_BYTES: usize = 16 << 10;
/// Fields of a header; 431 beyond. Browsers behind proxies send some dozens, and hyper would take as many if it were not told.
const MAX_HEADERS: usize = 100;
/// After a failed accept, mostly for want of descriptors: there is no sense in trying again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections that were displaced and are not closed yet: their tasks need a moment, in which no more than these are accepted.
const CLOSING_MOST: usize = 64;

/// What one peer may take from the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at one time. One that waits for its peer is closed where a new one needs its place.
    pub connections: usize,
    /// Connections from one address (IPv6: one /64) at one time, by the same rule. Behind a proxy everybody has one address.
    pub connections_of_one: usize,
    /// The longest wait for a request header, from its first byte on; for the first one from the connection on.
    pub header: Duration,
    /// The longest wait for a further request: longer than the usual scrape intervals, so that Prometheus can keep its connection.
    pub idle: Duration,
    /// The longest wait for a TLS handshake.
    pub handshake: Duration,
    /// Within this time a peer that an answer waits for has to take a part of it.
    pub reading: Duration,
    /// The longest life of a connection. Prometheus just connects again.
    pub lifetime: Duration,
    /// How long an answer under way may take at the end of a connection's life: no less than any answer takes.
    pub answer: Duration,
    /// How long answers under way may take at the end of the server's life.
    pub grace: Duration,
}

impl Limits {
    /// Connections with those that are being closed: as many sockets there are at the most.
    pub fn sockets(&self) -> usize {
        self.connections.saturating_add(CLOSING_MOST)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            connections_of_one: 256,
            header: Duration::from_secs(10),
            idle: Duration::from_secs(180),
            handshake: Duration::from_secs(10),
            reading: Duration::from_secs(20),
            lifetime: Duration::from_secs(600),
            // A scrape and `/probe` have two minutes, and what is left of an answer then is in the buffers of a reader that may stall.
            answer: Duration::from_secs(140),
            grace: Duration::from_secs(5),
        }
    }
}

/// What listeners are for.
#[derive(Clone)]
pub(super) enum Served {
    /// Everything, for whom the web configuration lets in.
    App(Arc<App>),
    /// Reports alone, with TLS where there is a certificate.
    Reports(Arc<ReportDoor>, CertificateCell),
}

impl Served {
    async fn answer(self, request: Request<Incoming>, peer: IpAddr) -> Response<Pieces> {
        match self {
            Self::App(app) => match app.admission().filter(|_| !app.is_for_reports(request.uri().path())) {
                Some(admission) => {
                    let in_force = admission.in_force();
                    let mut response = match in_force.refusal(request.headers(), peer).await {
                        Some(refusal) if request.body().is_end_stream() => refusal,
                        // Its body is not read, so that what follows on the connection would be no request.
                        Some(refusal) => closing(refusal),
                        None => app.answer(request, peer).await,
                    };
                    in_force.dress(&mut response);
                    response
                }
                None => app.answer(request, peer).await,
            },
            Self::Reports(door, _) if door.is_at(request.uri().path(), Listener::Own) => {
                door.answer(request, peer).await
            }
            Self::Reports(..) => plain(StatusCode::NOT_FOUND, "There is nothing here.\n"),
        }
    }
}

/// Serves on all listeners until `shutdown`, then ends the connections in order.
pub async fn serve(listeners: Vec<TcpListener>, app: Arc<App>, shutdown: CancellationToken, limits: Limits) {
    let telemetry = app.telemetry().clone();
    serve_all(listeners, Served::App(app), telemetry, shutdown, limits).await;
}

pub(super) async fn serve_all(
    listeners: Vec<TcpListener>,
    served: Served,
    telemetry: Telemetry,
    shutdown: CancellationToken,
    limits: Limits,
) {
    let hall = Hall {
        served,
        connections: Connections::new(limits.connections, limits.connections_of_one, telemetry),
        sockets: Arc::new(Semaphore::new(limits.sockets())),
        tasks: TaskTracker::new(),
        shutdown: shutdown.clone(),
        limits,
    };
    let mut acceptors = JoinSet::new();
    for listener in listeners {
        acceptors.spawn(hall.clone().accept(listener));
    }
    tokio::select! {
        () = shutdown.cancelled() => {}
        // They go on until then: one that does not has met a fault, which is this task's own.
        Some(Err(fault)) = acceptors.join_next() => if let Ok(panic) = fault.try_into_panic() { resume_unwind(panic) },
    }
    while acceptors.join_next().await.is_some() {}
    hall.tasks.close();
    hall.tasks.wait().await;
}

/// What the listeners of one server have in common.
#[derive(Clone)]
struct Hall {
    served: Served,
    connections: Arc<Connections>,
    /// Connections with those that are being closed.
    sockets: Arc<Semaphore>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
    limits: Limits,
}

impl Hall {
    async fn accept(self, listener: TcpListener) {
        let mut failing = false;
        let accepting = async {
            // The semaphore is never closed.
            while let Ok(socket) = Arc::clone(&self.sockets).acquire_owned().await {
                match listener.accept().await {
                    Ok((stream, peer)) => {
                        failing = false;
                        // Who gets no place is closed unheard: an answer would need one.
                        let Some(place) = self.connections.admit(peer.ip()) else { continue };
                        let hall = self.clone();
                        self.tasks.spawn(async move {
                            hall.connection(stream, peer.ip(), place).await;
                            drop(socket);
                        });
                    }
                    Err(error) => {
                        // Said once: as long as descriptors lack, each try fails.
                        if !std::mem::replace(&mut failing, true) {
                            tracing::warn!(%error, "connections cannot be accepted");
                        }
                        self.connections.make_room();
                        sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        };
        tokio::select! {
            () = accepting => {}
            () = self.shutdown.cancelled() => {}
        }
    }

    async fn connection(&self, stream: TcpStream, peer: IpAddr, place: Arc<Place>) {
        tokio::select! {
            () = self.converse(stream, peer, &place) => {}
            () = place.displaced() => tracing::debug!(%peer, "a connection made room for a new one"),
        }
    }

    async fn converse(&self, stream: TcpStream, peer: IpAddr, place: &Arc<Place>) {
        let opened = tokio::select! {
            opened = self.open(stream, place) => opened,
            () = self.shutdown.cancelled() => return,
        };
        match opened {
            Some(Opened::Plain(stream)) => self.requests(stream, peer, place).await,
            Some(Opened::Tls(stream)) => self.requests(stream, peer, place).await,
            None => {}
        }
    }

    /// Waits until the peer speaks, and does the handshake where there is one.
    async fn open(&self, stream: TcpStream, place: &Place) -> Option<Opened> {
        // Nothing is made ready for a peer that says nothing.
        match timeout(self.limits.header, stream.peek(&mut [0; 1])).await {
            Ok(Ok(1..)) => {}
            Ok(_) => return None,
            Err(_) => {
                place.was_slow();
                return None;
            }
        }
        let certificate = match &self.served {
            Served::App(app) => app.admission().and_then(|admission| admission.in_force().tls()),
            Served::Reports(_, certificate) => certificate.load().as_deref().cloned(),
        };
        let Some(certificate) = certificate else { return Some(Opened::Plain(stream)) };
        match timeout(self.limits.handshake, certificate.accept(stream)).await {
            Ok(Ok(stream)) => return Some(Opened::Tls(stream)),
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => {
                place.was_slow();
                tracing::debug!("a TLS handshake took too long");
            }
        }
        None
    }

    async fn requests<S>(&self, stream: S, peer: IpAddr, place: &Arc<Place>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Self { served, shutdown, limits, .. } = self;
        let answer = service_fn(move |request| {
            let (served, under_way) = (served.clone(), place.begin());
            async move {
                let answered = answer(served, request, peer).await;
                Ok::<_, Infallible>(answered.map(|body| Answered { body, _under_way: under_way }))
            }
        });
        let stream = Watched::new(stream, Arc::clone(place), *limits);
        let serving = http1::Builder::new()
            // The stream has the limits of time: it knows what it waits for.
            .header_read_timeout(None)
            .max_buf_size(MAX_HEADER_BYTES)
            .max_headers(MAX_HEADERS)
            .serve_connection(TokioIo::new(stream), answer);
        let mut serving = pin!(serving);
        let ended = tokio::select! {
            ended = serving.as_mut() => Some(ended),
            () = shutdown.cancelled() => None,
            () = sleep(limits.lifetime) => None,
        };
        let ended = match ended {
            Some(ended) => Some(ended),
            None => {
                // The answer under way may end, but not take for ever; a further request is not read.
                serving.as_mut().graceful_shutdown();
                let server_ends = async {
                    shutdown.cancelled().await;
                    sleep(limits.grace).await;
                };
                tokio::select! {
                    ended = serving => Some(ended),
                    () = sleep(limits.answer) => None,
                    () = server_ends => None,
                }
            }
        };
        match ended {
            Some(Ok(())) => {}
            Some(Err(error)) => tracing::debug!(%error, "a connection ended early"),
            None => tracing::debug!("an answer took too long for the end of its connection"),
        }
    }
}

/// A connection on which requests can come.
enum Opened {
    Plain(TcpStream),
    Tls(ServedTls),
}

/// Answers a request, if it is one by the rules that keep its sender, this server and what stands between them of one mind.
async fn answer(served: Served, request: Request<Incoming>, peer: IpAddr) -> Response<Pieces> {
    let headers = request.headers();
    // RFC 9112 §3.2.
    if request.version() == Version::HTTP_11 && headers.get_all(HOST).iter().count() != 1 {
        return closing(plain(StatusCode::BAD_REQUEST, "A request has one header Host (RFC 9112 section 3.2).\n"));
    }
    // RFC 9112 §6.1: one that had a length as well is smuggled perhaps. That length is not here any more, where it came first.
    let is_chunked = headers.contains_key(TRANSFER_ENCODING);
    let response = served.answer(request, peer).await;
    if is_chunked { closing(response) } else { response }
}

fn closing(mut response: Response<Pieces>) -> Response<Pieces> {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// The body of an answer, under way until it was handed on to its end.
struct Answered {
    body: Pieces,
    _under_way: UnderWay,
}

impl Body for Answered {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
