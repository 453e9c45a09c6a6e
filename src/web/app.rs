//! What the server answers.

use std::{
    fmt::Display,
    net::IpAddr,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use arc_swap::ArcSwap;
use futures_util::future::BoxFuture;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
};
use hyper::body::{Body, Bytes};

use super::{ReportDoor, api, body::Pieces, changes::About, door::Listener, landing, reports};
use crate::{
    metrics::{Exposition, Page},
    monitor::{SharedStore, Snapshot, Telemetry},
};

/// A longer target than any path here; the rest is refused before it is compared or logged.
const MAX_TARGET: usize = 2048;

const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";

const NOT_READY: &[u8] = b"{\"error\":\"not ready: the domains are being set up\"}\n";

/// Loads the configuration again; the errors, as text for people, where it is refused and the one before stays.
pub type Reload = Box<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// What the server knows: the latest snapshot and its metrics.
pub struct App {
    exposition: Exposition,
    snapshot: ArcSwap<Snapshot>,
    store: Option<SharedStore>,
    reports: Option<Arc<ReportDoor>>,
    telemetry: Telemetry,
    reload: Reload,
    metrics_path: MetricsPath,
    ready: AtomicBool,
}

/// The path of the metrics, `/metrics` unless the command line says another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsPath(String);

/// Why a text is no path for the metrics.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} cannot be the path of the metrics; write for example /metrics")]
pub struct MetricsPathError(String);

impl App {
    /// A server that is not ready: it has no snapshot yet.
    pub fn new(exposition: Exposition, telemetry: Telemetry, metrics_path: MetricsPath, reload: Reload) -> Self {
        Self {
            exposition,
            snapshot: ArcSwap::default(),
            store: None,
            reports: None,
            telemetry,
            reload,
            metrics_path,
            ready: AtomicBool::new(false),
        }
    }

    /// The same with the store of the monitor, where it keeps one: the changes are read from there.
    #[must_use]
    pub fn with_store(self, store: Option<SharedStore>) -> Self {
        Self { store, ..self }
    }

    /// The same with the door for reports, which may be open on the main listener.
    #[must_use]
    pub fn with_reports(self, door: Arc<ReportDoor>) -> Self {
        Self { reports: Some(door), ..self }
    }

    /// Shows a snapshot. One task calls this, in the order of the snapshots; it takes a millisecond where little changed, and
    /// up to a second for the first of many thousand domains.
    ///
    /// The first one makes the server ready. It holds the configured domains, probed or not: how long a whole round takes
    /// depends on peers, and a service manager must not wait for them.
    pub fn publish(&self, snapshot: Arc<Snapshot>) {
        self.exposition.update(&snapshot);
        self.snapshot.store(snapshot);
        self.ready.store(true, Ordering::Release);
    }

    /// Answers a request.
    pub(super) async fn answer<B>(self: Arc<Self>, request: Request<B>, peer: IpAddr) -> Response<Pieces>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Display,
    {
        let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
        if target > MAX_TARGET {
            return plain(StatusCode::URI_TOO_LONG, "The path is too long.\n");
        }
        if let Some(door) = self.reports.as_ref().filter(|door| door.is_at(request.uri().path(), Listener::Main)) {
            return door.answer(request, peer).await;
        }
        if !request.body().is_end_stream() {
            // Nothing else here reads a body, so what follows on the connection would be no request.
            let mut response = plain(StatusCode::PAYLOAD_TOO_LARGE, "No request here has a body.\n");
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            return response;
        }
        let path = request.uri().path();
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        if let Some(about) = About::of(path) {
            return match reads {
                true => self.changes(about, request.uri().query().unwrap_or_default()).await,
                false => not_allowed("GET, HEAD"),
            };
        }
        if let Some(name) = api::domain_of(path, "reports") {
            return match reads {
                true => self.reports(name, request.uri().query().unwrap_or_default()).await,
                false => not_allowed("GET, HEAD"),
            };
        }
        if let Some(name) = api::domain_alone(path) {
            return match reads {
                true => self.judgement(name),
                false => not_allowed("GET, HEAD"),
            };
        }
        match path {
            path if path == self.metrics_path.0 && reads => self.metrics().await,
            "/" if reads => html(landing::page(&self.snapshot.load(), &self.metrics_path.0)),
            "/-/healthy" if reads => plain(StatusCode::OK, "Healthy.\n"),
            "/-/ready" if reads => match self.ready.load(Ordering::Acquire) {
                true => plain(StatusCode::OK, "Ready.\n"),
                false => plain(StatusCode::SERVICE_UNAVAILABLE, "Not ready: the domains are being set up.\n"),
            },
            "/-/reload" if *request.method() == Method::POST => self.reload(&request).await,
            "/-/reload" => not_allowed("POST"),
            "/" | "/-/healthy" | "/-/ready" => not_allowed("GET, HEAD"),
            path if path == self.metrics_path.0 => not_allowed("GET, HEAD"),
            _ => plain(StatusCode::NOT_FOUND, "There is nothing here. The start page is at /.\n"),
        }
    }

    fn judgement(&self, name: &str) -> Response<Pieces> {
        if !self.ready.load(Ordering::Acquire) {
            return response(StatusCode::SERVICE_UNAVAILABLE, JSON, [Bytes::from_static(NOT_READY)]);
        }
        let answer = api::judgement(name, &self.snapshot.load());
        response(answer.status, JSON, [answer.body.into()])
    }

    async fn changes(&self, about: About<'_>, query: &str) -> Response<Pieces> {
        if !self.ready.load(Ordering::Acquire) {
            return response(StatusCode::SERVICE_UNAVAILABLE, JSON, [Bytes::from_static(NOT_READY)]);
        }
        let answer = about.answer(query, &self.snapshot.load_full(), self.store.as_ref()).await;
        response(answer.status, JSON, [answer.body.into()])
    }

    async fn reports(&self, name: &str, query: &str) -> Response<Pieces> {
        if !self.ready.load(Ordering::Acquire) {
            return response(StatusCode::SERVICE_UNAVAILABLE, JSON, [Bytes::from_static(NOT_READY)]);
        }
        let answer = reports::answer(name, query, &self.snapshot.load_full(), self.store.as_ref()).await;
        response(answer.status, JSON, [answer.body.into()])
    }

    async fn metrics(self: Arc<Self>) -> Response<Pieces> {
        // The first scrape of a snapshot copies much text, and each one reads files of the process: not for a thread on
        // which probes run.
        let page = tokio::task::spawn_blocking(move || self.exposition.page(&self.telemetry)).await;
        match page {
            Ok(Page { subjects, own }) => response(StatusCode::OK, Page::CONTENT_TYPE, [subjects, own]),
            Err(error) => {
                tracing::error!(%error, "the metrics could not be rendered");
                plain(StatusCode::INTERNAL_SERVER_ERROR, "The metrics could not be rendered; the log says why.\n")
            }
        }
    }

    async fn reload<B>(&self, request: &Request<B>) -> Response<Pieces> {
        // A page of another site can make a browser send this; browsers say so.
        let site = request.headers().get("sec-fetch-site");
        if site.is_some_and(|site| site != "same-origin" && site != "none") {
            return plain(StatusCode::FORBIDDEN, "Not from another site.\n");
        }
        match (self.reload)().await {
            Ok(()) => plain(StatusCode::OK, "The configuration was loaded.\n"),
            Err(errors) => {
                let text = format!("The configuration was refused; the one before stays in force.\n\n{errors}\n");
                response(StatusCode::INTERNAL_SERVER_ERROR, TEXT, [text.into()])
            }
        }
    }
}

pub(super) fn not_allowed(methods: &'static str) -> Response<Pieces> {
    let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "This method is not for this path.\n");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}

pub(super) fn plain(status: StatusCode, text: &'static str) -> Response<Pieces> {
    response(status, TEXT, [Bytes::from_static(text.as_bytes())])
}

fn html(text: String) -> Response<Pieces> {
    let mut response = response(StatusCode::OK, HTML, [text.into()]);
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(landing::POLICY));
    response
}

fn response(status: StatusCode, media_type: &'static str, pieces: impl IntoIterator<Item = Bytes>) -> Response<Pieces> {
    let mut response = Response::new(Pieces::new(pieces));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("metrics_path", &self.metrics_path).finish_non_exhaustive()
    }
}

impl MetricsPath {
    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for MetricsPath {
    fn default() -> Self {
        Self("/metrics".to_owned())
    }
}

impl FromStr for MetricsPath {
    type Err = MetricsPathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let letters = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte));
        // Below /-/ stand the endpoints of management.
        if text.starts_with('/') && letters && !text.starts_with("/-/") && text.len() <= MAX_TARGET {
            Ok(Self(text.to_owned()))
        } else {
            Err(MetricsPathError(text.to_owned()))
        }
    }
}
