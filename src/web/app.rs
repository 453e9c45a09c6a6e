//! What the server answers.

use std::{
    fmt::Display,
    net::IpAddr,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{ACCEPT, CONNECTION},
};
use http_body_util::BodyExt;
use hyper::body::{Body, Bytes};
use maud::Markup;
use tokio::{sync::watch, time::timeout};

use super::{
    Links, Mount, Reload, ReportDoor,
    apart::{Turns, apart},
    api::{self, Answer},
    body::Pieces,
    changes::About,
    discovery, domains,
    door::Listener,
    findings, openapi,
    pages::{
        self,
        domain::{self, Site},
    },
    parameters::decoded,
    probe::{self, TIMEOUT_OFFSET},
    prompt, reload, reports,
    response::{html, json, not_allowed, plain, redirect, text, with_status},
    route::{self, API, Access, Asked, Found, Route},
    scrape::Scrapes,
    shards,
};
use crate::{
    config,
    metrics::Exposition,
    monitor::{Prompter, Shards, SharedStore, Snapshot, Telemetry},
    net::now,
    terms::{MxHost, PolicyDomain, Timestamp},
};

/// A longer target than any path here; the rest is refused before it is compared or logged.
const MAX_TARGET: usize = 2048;

/// The end of a body that holds nothing comes with its header.
const EMPTY_WITHIN: Duration = Duration::from_secs(2);

/// A browser was led here by a page of another site.
const FOREIGN: &str =
    "not from another site; where browsers call this server by a name, --web.external-url says by which";

const NOT_READY: &str = "Not ready: the domains are being set up.\n";

/// What the server knows: the latest snapshot and its metrics.
pub struct App {
    exposition: Exposition,
    snapshot: ArcSwap<Snapshot>,
    store: Option<SharedStore>,
    prompter: Option<Prompter>,
    reports: Option<Arc<ReportDoor>>,
    shards: Option<watch::Receiver<Arc<Shards>>>,
    telemetry: Telemetry,
    reload: Reload,
    metrics_path: MetricsPath,
    mount: Mount,
    /// How much earlier than a scraper gives up `/probe` answers.
    timeout_offset: Duration,
    /// Answers of `/probe` that are being made.
    turns: Turns,
    /// Pages that are being made: lists of a large fleet have an entry for each domain or certificate while they are.
    page_turns: Turns,
    scrapes: Scrapes,
    ready: AtomicBool,
    /// The number of the snapshot that is shown.
    shown: watch::Sender<u64>,
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
            prompter: None,
            reports: None,
            shards: None,
            telemetry,
            reload,
            metrics_path,
            mount: Mount::default(),
            timeout_offset: TIMEOUT_OFFSET,
            turns: Turns::default(),
            page_turns: Turns::default(),
            scrapes: Scrapes::default(),
            ready: AtomicBool::new(false),
            shown: watch::Sender::new(0),
        }
    }

    /// The same with the store of the monitor, where it keeps one: the changes are read from there.
    #[must_use]
    pub fn with_store(self, store: Option<SharedStore>) -> Self {
        Self { store, ..self }
    }

    /// The same with what asks the monitor for a look now.
    #[must_use]
    pub fn with_prompter(self, prompter: Prompter) -> Self {
        Self { prompter: Some(prompter), ..self }
    }

    /// The same with the door for reports, which may be open on the main listener.
    #[must_use]
    pub fn with_reports(self, door: Arc<ReportDoor>) -> Self {
        Self { reports: Some(door), ..self }
    }

    /// The same where several instances share the domains: who has which.
    #[must_use]
    pub fn with_shards(self, shards: watch::Receiver<Arc<Shards>>) -> Self {
        Self { shards: Some(shards), ..self }
    }

    /// The same elsewhere than at the root.
    #[must_use]
    pub fn with_mount(self, mount: Mount) -> Self {
        Self { mount, ..self }
    }

    /// The same where `/probe` answers so much earlier than its scraper gives up.
    #[must_use]
    pub fn with_timeout_offset(self, timeout_offset: Duration) -> Self {
        Self { timeout_offset, ..self }
    }

    /// Shows a snapshot. One task calls this, in the order of the snapshots; it takes a millisecond where little changed.
    ///
    /// The first one makes the server ready. It holds the configured domains, probed or not: how long a whole round takes
    /// depends on peers, and a service manager must not wait for them.
    pub fn publish(&self, snapshot: Arc<Snapshot>) {
        self.exposition.update(Arc::clone(&snapshot));
        let number = snapshot.number;
        self.snapshot.store(snapshot);
        self.ready.store(true, Ordering::Release);
        self.shown.send_replace(number);
    }

    /// Answers a request.
    pub(super) async fn answer<B>(self: Arc<Self>, mut request: Request<B>, peer: IpAddr) -> Response<Pieces>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Display,
    {
        let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
        if target > MAX_TARGET {
            return plain(StatusCode::URI_TOO_LONG, "The path is too long.\n");
        }
        let uri = request.uri().clone();
        let path = uri.path();
        let below = self.mount.below(path);
        if let Some(door) =
            self.reports.as_ref().filter(|door| below.is_some_and(|path| door.is_at(path, Listener::Main)))
        {
            return door.answer(request, peer).await;
        }
        // A client that knows no length in advance sends an empty body as no chunk.
        let empty =
            request.body().is_end_stream() || (request.method() == Method::POST && is_empty(request.body_mut()).await);
        if !empty {
            // Nothing else here reads a body, so what follows on the connection would be no request.
            let mut response = plain(StatusCode::PAYLOAD_TOO_LARGE, "No request here has a body.\n");
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            return response;
        }
        match below.map_or(Found::Nothing, |path| route::find(request.method(), path, &self.metrics_path.0)) {
            Found::Route(row, name) => {
                let query = request.uri().query().unwrap_or_default();
                let asked = Asked { name, query, headers: request.headers() };
                let foreign = match row.access {
                    Access::Act => !self.mount.is_own(asked.headers),
                    // A scrape has mail hosts asked as well.
                    Access::Read => row.route == Route::Probe && Mount::is_from_elsewhere(asked.headers),
                };
                if foreign {
                    return match row.path.starts_with(API) {
                        true => json(Answer::error(StatusCode::FORBIDDEN, FOREIGN)),
                        false => text(StatusCode::FORBIDDEN, format!("Refused: {FOREIGN}.\n")),
                    };
                }
                Arc::clone(&self).dispatch(row.route, asked).await.unwrap_or_else(json)
            }
            Found::NotAllowed(methods, row) => {
                let said = format!("This path is for {methods} alone. It answers: {}.\n", row.answers);
                not_allowed(methods, said)
            }
            Found::Nothing => match self.mount.elsewhere(path) {
                Some(start) => redirect(StatusCode::FOUND, &start),
                None if wants_a_page(request.headers()) => {
                    with_status(html(pages::nothing_here(self.links(), now()).into_string()), StatusCode::NOT_FOUND)
                }
                None => plain(StatusCode::NOT_FOUND, "There is nothing here.\n"),
            },
        }
    }

    /// Hands a request to what it is for.
    ///
    /// # Errors
    /// The answer of the API where nothing can be said.
    async fn dispatch(self: Arc<Self>, route: Route, asked: Asked<'_>) -> Result<Response<Pieces>, Answer> {
        let of_a_domain =
            matches!(route, Route::Domain | Route::DomainChanges | Route::DomainReports | Route::ProbeDomain);
        if of_a_domain && let Some(said) = self.elsewhere(asked.name) {
            return Err(Answer::error(StatusCode::NOT_FOUND, &said));
        }
        Ok(match route {
            Route::Metrics => {
                let app = Arc::clone(&self);
                let write = move |wanted, send: &mut dyn FnMut(Bytes) -> bool| {
                    app.exposition.scrape(&app.telemetry, wanted, send);
                };
                self.scrapes.answer(asked, write).await
            }
            Route::Overview => {
                let metrics_path = self.metrics_path.clone();
                let render = move |snapshot: &_, query: &_, links: &_, now| {
                    pages::overview::render(snapshot, query, links, now, metrics_path.as_str())
                };
                self.page(asked, render).await
            }
            Route::Hosts => self.page(asked, pages::hosts::render).await,
            Route::Host => self.page_of_host(asked).await,
            Route::Certificates => self.page(asked, pages::certificates::render).await,
            Route::Failures => self.page(asked, pages::failures::render).await,
            Route::Style => pages::style(asked),
            Route::DomainPage => self.domain_page(asked.name).await?,
            Route::Domains => {
                let (snapshot, query) = (self.known()?, asked.query.to_owned());
                json(apart(move || domains::answer(&query, &snapshot, now())).await?)
            }
            Route::Findings => {
                let (snapshot, query) = (self.known()?, asked.query.to_owned());
                json(apart(move || findings::answer(&query, &snapshot)).await?)
            }
            Route::Domain => {
                let (snapshot, name) = (self.known()?, asked.name.to_owned());
                json(apart(move || api::judgement(&name, &snapshot)).await?)
            }
            Route::DomainChanges => {
                json(About::Domain(asked.name).answer(asked.query, &*self.known()?, self.store()).await)
            }
            Route::DomainReports => json(reports::answer(asked, &*self.known()?, self.store()).await),
            Route::Changes => json(About::All.answer(asked.query, &*self.known()?, self.store()).await),
            Route::OpenApi => {
                let links = self.links().clone();
                json(apart(move || openapi::answer(&links)).await?)
            }
            Route::ProbeDomain => match &self.prompter {
                Some(prompter) => {
                    let shown = self.shown.subscribe();
                    prompt::answer(prompter, asked.name, &*self.known()?, shown).await
                }
                None => return Err(not_ready()),
            },
            Route::ProbeForm => match &self.prompter {
                Some(prompter) => {
                    let shown = self.shown.subscribe();
                    prompt::form(prompter, asked.name, &*self.known()?, self.links(), shown).await
                }
                None => probe::unavailable(),
            },
            Route::Probe => match &self.prompter {
                Some(prompter) => {
                    let app = Arc::clone(&self);
                    let metrics = move |snapshot: &_, domain: &_, outcome: &_| {
                        app.exposition.probe_page(snapshot, domain, outcome)
                    };
                    let elsewhere = |target: &PolicyDomain| self.shards()?.elsewhere(target);
                    probe::answer(prompter, metrics, elsewhere, &self.turns, self.timeout_offset, asked).await?
                }
                None => probe::unavailable(),
            },
            Route::Discovery => {
                let (snapshot, shards) = (self.known()?, self.shards());
                json(apart(move || discovery::answer(&snapshot, shards.as_deref())).await?)
            }
            Route::Shards => json(shards::answer(self.shards().as_deref())),
            Route::Configuration => match &self.prompter {
                Some(prompter) => configuration(prompter).await,
                None => probe::unavailable(),
            },
            Route::Healthy => plain(StatusCode::OK, "Healthy.\n"),
            Route::Ready => match self.ready.load(Ordering::Acquire) {
                true => plain(StatusCode::OK, "Ready.\n"),
                false => plain(StatusCode::SERVICE_UNAVAILABLE, NOT_READY),
            },
            Route::Reload => reload::answer(&self.reload).await,
        })
    }

    /// A page that is made of the snapshot. Long lists take milliseconds to render: not on a thread on which probes run.
    async fn page(
        self: Arc<Self>,
        asked: Asked<'_>,
        render: impl FnOnce(&Snapshot, &str, &Links, Timestamp) -> Markup + Send + 'static,
    ) -> Response<Pieces> {
        if !self.ready.load(Ordering::Acquire) {
            return plain(StatusCode::SERVICE_UNAVAILABLE, NOT_READY);
        }
        let query = asked.query.to_owned();
        let turns = self.page_turns.clone();
        match turns.work(move || render(&self.snapshot.load(), &query, self.links(), now()).into_string()).await {
            Ok(Some(page)) => html(page),
            Ok(None) => plain(StatusCode::SERVICE_UNAVAILABLE, "Too many pages are being made; ask again.\n"),
            Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "The page could not be rendered; the log says why.\n"),
        }
    }

    /// The page of the mail host that the path names, or that there is none.
    async fn page_of_host(self: Arc<Self>, asked: Asked<'_>) -> Response<Pieces> {
        let name = decoded(asked.name).unwrap_or_default();
        let snapshot = self.snapshot.load_full();
        let known = MxHost::parse(&name).ok().filter(|host| snapshot.hosts.contains(host.as_str()));
        let Some(host) = known else {
            let page = pages::host::unknown(&name, self.links(), now());
            return with_status(html(page.into_string()), StatusCode::NOT_FOUND);
        };
        self.page(asked, move |_, _, links, now| {
            // Of the very snapshot in which the host was found.
            pages::host::render(&snapshot, &host, links, now)
        })
        .await
    }

    /// What is known, once the domains are set up: before, an answer about them would be wrong.
    fn known(&self) -> Result<Arc<Snapshot>, Answer> {
        match self.ready.load(Ordering::Acquire) {
            true => Ok(self.snapshot.load_full()),
            false => Err(not_ready()),
        }
    }

    /// Who has which part of the domains, where they are shared.
    fn shards(&self) -> Option<Arc<Shards>> {
        self.shards.as_ref().map(|shards| Arc::clone(&shards.borrow()))
    }

    /// That another instance looks at the domain of a path, and which.
    fn elsewhere(&self, name: &str) -> Option<String> {
        let domain = PolicyDomain::parse(&decoded(name)?).ok()?;
        self.shards()?.elsewhere(&domain)
    }

    const fn links(&self) -> &Links {
        self.mount.links()
    }

    const fn store(&self) -> Option<&SharedStore> {
        self.store.as_ref()
    }

    /// The page of the domain that a path names, or that there is none.
    ///
    /// # Errors
    /// The answer of the API where the page could not be made.
    async fn domain_page(self: Arc<Self>, name: &str) -> Result<Response<Pieces>, Answer> {
        let Ok(snapshot) = self.known() else {
            return Ok(plain(StatusCode::SERVICE_UNAVAILABLE, "Not ready: the domains are being set up.\n"));
        };
        let name = decoded(name).unwrap_or_default();
        let known = PolicyDomain::parse(&name).ok().and_then(|name| snapshot.state(&name));
        let Some(state) = known else {
            // To find the name that was meant, every other one is compared.
            let elsewhere = PolicyDomain::parse(&name).ok().and_then(|domain| self.shards()?.elsewhere(&domain));
            let page = apart(move || {
                domain::unknown(&name, elsewhere.as_deref(), &snapshot, self.links(), now()).into_string()
            })
            .await?;
            let mut response = html(page);
            *response.status_mut() = StatusCode::NOT_FOUND;
            return Ok(response);
        };
        let past = domain::past(&state, self.store()).await;
        let page = apart(move || {
            let (metrics_path, prompting) = (self.metrics_path.as_str(), self.prompter.is_some());
            domain::render(&state, &past, Site { links: self.links(), metrics_path, prompting }, now()).into_string()
        });
        Ok(html(page.await?))
    }
}

/// Whether a body that said no length holds nothing.
async fn is_empty<B>(body: &mut B) -> bool
where
    B: Body<Data = Bytes> + Unpin,
{
    let ended = timeout(EMPTY_WITHIN, async {
        while let Some(frame) = body.frame().await {
            if !frame.is_ok_and(|frame| frame.data_ref().is_none_or(Bytes::is_empty)) {
                return false;
            }
        }
        true
    });
    ended.await.unwrap_or(false)
}

/// Whether a browser asks; programs take plain text better.
fn wants_a_page(headers: &HeaderMap) -> bool {
    headers.get(ACCEPT).is_some_and(|accepts| accepts.as_bytes().starts_with(b"text/html"))
}

fn not_ready() -> Answer {
    Answer::unavailable("not ready: the domains are being set up")
}

/// What `config show` prints of the settings in force. For many thousand domains that is not for a thread on which probes run.
async fn configuration(prompter: &Prompter) -> Response<Pieces> {
    let settings = prompter.settings();
    let shown = tokio::task::spawn_blocking(move || config::show(&settings)).await;
    match shown.map_err(|error| error.to_string()).flatten() {
        Ok(shown) => text(StatusCode::OK, shown),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("The configuration cannot be shown: {error}\n")),
    }
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
