//! Fetches the policy of a domain from every address of its policy host (RFC 8461 §3.3).

use std::{
    error::Error,
    net::{IpAddr, SocketAddr},
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use futures_util::{
    StreamExt,
    future::{Fuse, FusedFuture, FutureExt},
    stream,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::{
    body::{Bytes, Incoming},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout_at};

use super::{
    DialOptions, Dialer, TlsClient, now,
    tls_client::{Encrypted, HandshakeFailure},
};
use crate::{
    facts::{
        AddressLookup, ConnectFailure, FetchFailure, FetchPhase, FetchTimes, HttpResponse, PolicyFetch,
        PolicyHostObservation,
    },
    terms::Octets,
};

/// RFC 8461 §3.2: the default port of https.
pub const HTTPS_PORT: u16 = 443;

/// RFC 8461 §3.2.
const POLICY_PATH: &str = "/.well-known/mta-sts.txt";

/// The largest body that is read, in bytes: RFC 8461 §3.3 suggests 64 kB.
pub const MAX_BODY: usize = 65_536;

/// The largest header section that is read, in bytes: twice what common servers send at most.
const MAX_HEADER_BYTES: usize = 16_384;

/// The most header fields of an answer.
const MAX_HEADERS: usize = 100;

/// How many addresses of one policy host are asked at once: they are often one machine.
const CONCURRENT_ADDRESSES: usize = 4;

/// How long each phase of a fetch may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchTimeouts {
    /// TCP: three retransmissions of the first packet (after 1, 3 and 7 s) have their chance.
    pub connect: Duration,
    /// The handshake.
    pub tls: Duration,
    /// From the request to the end of the answer's header.
    pub processing: Duration,
    /// The body: 64 kB over any line.
    pub transfer: Duration,
    /// All together; wins over the others. RFC 8461 §3.3 suggests one minute to senders; a host that takes half of that is
    /// in trouble already.
    pub total: Duration,
}

/// What a fetch needs to know beside host and addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchOptions {
    /// The port to dial.
    pub port: u16,
    /// A mail address or URL in the User-Agent, so that who runs a policy host can ask who probes it.
    pub contact: Option<String>,
    /// Addresses beyond this many are counted, not asked.
    pub max_addresses: usize,
    /// What may be dialled.
    pub dial: DialOptions,
    /// The deadlines.
    pub timeouts: FetchTimeouts,
}

/// Fetches policies.
#[derive(Clone, Debug)]
pub struct PolicyFetcher {
    tls: Arc<TlsClient>,
    dialer: Dialer,
    user_agent: HeaderValue,
    options: FetchOptions,
}

/// Something that is asked whether it answers HTTPS at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint<'a> {
    /// A name, or an address as text without brackets.
    pub host: &'a str,
    /// The port, where the URI names one.
    pub port: Option<u16>,
    /// Path and query.
    pub path: &'a str,
}

impl Default for FetchTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            tls: Duration::from_secs(10),
            processing: Duration::from_secs(20),
            transfer: Duration::from_secs(15),
            total: Duration::from_secs(30),
        }
    }
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self {
            port: HTTPS_PORT,
            contact: None,
            max_addresses: 20,
            dial: DialOptions::default(),
            timeouts: FetchTimeouts::default(),
        }
    }
}

impl PolicyFetcher {
    /// A fetcher that shakes hands through `tls`.
    pub fn new(tls: Arc<TlsClient>, options: FetchOptions) -> Self {
        let user_agent = user_agent(options.contact.as_deref());
        Self { tls, dialer: Dialer::new(options.dial), user_agent, options }
    }

    /// Shakes hands through `tls` from now on.
    pub(crate) fn set_tls(&mut self, tls: Arc<TlsClient>) {
        self.tls = tls;
    }

    /// Asks every address of `host` (`mta-sts.<domain>`). Never fails: whatever happens is a fact in the observation.
    ///
    /// Redirects are not followed, nothing is cached, no compression is asked for, and the request is sent even where the
    /// certificate is bad. `gate` is awaited before each connection, and what it gives is held while the connection lasts.
    pub async fn fetch<F: Future>(
        &self,
        host: &str,
        addresses: AddressLookup,
        resolve: Duration,
        gate: impl Fn(IpAddr) -> F,
    ) -> PolicyHostObservation {
        let all: Vec<IpAddr> = addresses.addresses().collect();
        let asked: Vec<IpAddr> = all.iter().copied().take(self.options.max_addresses).collect();
        let gate = &gate;
        let gated = |address: IpAddr| async move {
            let _held = gate(address).await;
            self.fetch_from(host, address).await
        };
        let fetches = stream::iter(asked.into_iter().map(gated)).buffered(CONCURRENT_ADDRESSES).collect().await;
        let skipped = all.len().saturating_sub(self.options.max_addresses);
        PolicyHostObservation { host: host.to_owned(), addresses, resolve, fetches, skipped }
    }

    /// Asks an endpoint at one address whether it answers: any HTTP answer will do, to a request that changes nothing there, and
    /// whatever the certificate. Returns the status.
    ///
    /// # Errors
    /// [`FetchFailure`] where no answer came.
    pub async fn answer(&self, endpoint: Endpoint<'_>, address: IpAddr) -> Result<u16, FetchFailure> {
        let Endpoint { host, port, path } = endpoint;
        let timeouts = &self.options.timeouts;
        let overall = Instant::now() + timeouts.total;
        let by = |limit: Duration| overall.min(Instant::now() + limit);
        let port = port.unwrap_or(self.options.port);
        let connected = self.dialer.connect(SocketAddr::new(address, port), by(timeouts.connect)).await;
        let tcp = connected.map_err(unconnected)?;
        let literal = host.parse::<IpAddr>();
        let handshake = match literal {
            Ok(literal) => self.tls.handshake_without_sni(tcp, literal, by(timeouts.tls)).await,
            Err(_) => self.tls.handshake(tcp, host, by(timeouts.tls)).await,
        };
        let (stream, _) = handshake.map_err(unshaken)?;
        let name = if matches!(literal, Ok(IpAddr::V6(_))) { format!("[{host}]") } else { host.to_owned() };
        let authority = if port == HTTPS_PORT { name } else { format!("{name}:{port}") };
        let request = Request::head(path)
            .header(header::HOST, authority)
            .header(header::USER_AGENT, self.user_agent.clone())
            .header(header::CONNECTION, HeaderValue::from_static("close"))
            .body(Empty::new())
            .map_err(|error| broken(FetchPhase::Processing, &error))?;
        match timeout_at(by(timeouts.processing), ask(stream, request)).await {
            Ok(Ok((response, _))) => Ok(response.status().as_u16()),
            Ok(Err(error)) => Err(broken(FetchPhase::Processing, &error)),
            Err(_) => Err(FetchFailure::Timeout(FetchPhase::Processing)),
        }
    }

    async fn fetch_from(&self, host: &str, address: IpAddr) -> PolicyFetch {
        let started = Instant::now();
        let mut fetch = Fetch {
            overall: started + self.options.timeouts.total,
            phase_began: started,
            seen: PolicyFetch {
                address,
                at: now(),
                times: FetchTimes::default(),
                tls: None,
                response: None,
                failure: None,
            },
        };
        if let Err(failure) = self.run(host, &mut fetch).await {
            fetch.seen.failure = Some(failure);
        }
        fetch.seen.at = now();
        fetch.seen
    }

    async fn run(&self, host: &str, fetch: &mut Fetch) -> Result<(), FetchFailure> {
        let timeouts = &self.options.timeouts;
        let socket = SocketAddr::new(fetch.seen.address, self.options.port);
        let connected = self.dialer.connect(socket, fetch.deadline(timeouts.connect)).await;
        fetch.seen.times.connect = fetch.lap();
        let tcp = connected.map_err(unconnected)?;

        let handshake = self.tls.handshake(tcp, host, fetch.deadline(timeouts.tls)).await;
        fetch.seen.times.tls = fetch.lap();
        let (stream, facts) = handshake.map_err(unshaken)?;
        fetch.seen.tls = Some(facts);

        let deadline = fetch.deadline(timeouts.processing);
        let answer = timeout_at(deadline, ask(stream, self.request(host)?)).await;
        fetch.seen.times.processing = fetch.lap();
        let (response, mut connection) = answer
            .map_err(|_| FetchFailure::Timeout(FetchPhase::Processing))?
            .map_err(|error| broken(FetchPhase::Processing, &error))?;
        let (head, body) = response.into_parts();
        let seen = fetch.seen.response.insert(read_head(head.status, &head.headers));
        // Only a 200 carries a policy (RFC 8461 §3.3); whatever else is there, not to read it is the kindest end.
        if head.status != StatusCode::OK {
            return Ok(());
        }

        let read = read_body(body, &mut seen.body);
        let deadline = fetch.overall.min(fetch.phase_began + timeouts.transfer);
        let read = timeout_at(deadline, while_driven(connection.as_mut(), read)).await;
        fetch.seen.times.transfer = fetch.lap();
        read.map_err(|_| FetchFailure::Timeout(FetchPhase::Transfer))?
    }

    fn request(&self, host: &str) -> Result<Request<Empty<Bytes>>, FetchFailure> {
        let authority = match self.options.port {
            HTTPS_PORT => host.to_owned(),
            port => format!("{host}:{port}"),
        };
        Request::get(POLICY_PATH)
            .header(header::HOST, authority)
            .header(header::USER_AGENT, self.user_agent.clone())
            // Not `text/plain`: a host that serves another type might then answer 406 to us and 200 to senders.
            .header(header::ACCEPT, HeaderValue::from_static("*/*"))
            .header(header::CONNECTION, HeaderValue::from_static("close"))
            .body(Empty::new())
            .map_err(|error| broken(FetchPhase::Processing, &error))
    }
}

/// One fetch on its way.
struct Fetch {
    overall: Instant,
    phase_began: Instant,
    seen: PolicyFetch,
}

impl Fetch {
    fn deadline(&self, limit: Duration) -> Instant {
        self.overall.min(self.phase_began + limit)
    }

    /// Ends a phase and says how long it took.
    fn lap(&mut self) -> Option<Duration> {
        let end = Instant::now();
        let took = end.duration_since(self.phase_began);
        self.phase_began = end;
        Some(took)
    }
}

type Connection = Fuse<http1::Connection<TokioIo<Encrypted>, Empty<Bytes>>>;

/// Sends the request and waits for the header of the answer. The connection has to be driven for the body, too.
async fn ask(
    stream: Encrypted,
    request: Request<Empty<Bytes>>,
) -> Result<(Response<Incoming>, Pin<Box<Connection>>), hyper::Error> {
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEADER_BYTES)
        .max_headers(MAX_HEADERS)
        .handshake(TokioIo::new(stream))
        .await?;
    let mut connection = Box::pin(connection.fuse());
    let response = while_driven(connection.as_mut(), sender.send_request(request)).await?;
    Ok((response, connection))
}

/// Awaits `work` while the connection moves its bytes. What goes wrong with the connection reaches `work`.
async fn while_driven<T>(mut connection: Pin<&mut Connection>, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            _ = &mut connection, if !connection.is_terminated() => {}
        }
    }
}

async fn read_body(mut body: Incoming, into: &mut Octets) -> Result<(), FetchFailure> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| broken(FetchPhase::Transfer, &error))?;
        let Some(data) = frame.data_ref() else { continue };
        let room = MAX_BODY.saturating_sub(into.0.len());
        into.0.extend_from_slice(data.get(..room).unwrap_or(data));
        if data.len() > room {
            return Err(FetchFailure::TooLarge);
        }
    }
    Ok(())
}

fn read_head(status: StatusCode, headers: &HeaderMap) -> HttpResponse {
    HttpResponse {
        status: status.as_u16(),
        content_type: octets(headers, &header::CONTENT_TYPE),
        location: octets(headers, &header::LOCATION),
        content_encoding: octets(headers, &header::CONTENT_ENCODING),
        age: headers.get(header::AGE).and_then(|value| value.to_str().ok()?.trim().parse().ok()),
        cache_max_age: headers.get_all(header::CACHE_CONTROL).iter().find_map(max_age),
        body: Octets::default(),
    }
}

fn octets(headers: &HeaderMap, name: &HeaderName) -> Option<Octets> {
    headers.get(name).map(|value| Octets(value.as_bytes().to_vec()))
}

/// `max-age` of one `Cache-Control` field (RFC 9111 §5.2.2.1); senders should not quote the number, some do.
fn max_age(value: &HeaderValue) -> Option<u64> {
    value.to_str().ok()?.split(',').find_map(|directive| {
        let (name, seconds) = directive.split_once('=')?;
        name.trim().eq_ignore_ascii_case("max-age").then(|| seconds.trim().trim_matches('"').parse().ok())?
    })
}

fn user_agent(contact: Option<&str>) -> HeaderValue {
    const PRODUCT: &str = concat!("smtptls-exporter/", env!("CARGO_PKG_VERSION"));
    contact
        .and_then(|contact| HeaderValue::from_str(&format!("{PRODUCT} (+{contact})")).ok())
        .unwrap_or(HeaderValue::from_static(PRODUCT))
}

fn unconnected(failure: ConnectFailure) -> FetchFailure {
    match failure {
        ConnectFailure::Timeout => FetchFailure::Timeout(FetchPhase::Connect),
        other => FetchFailure::Connect(other),
    }
}

fn unshaken(failure: HandshakeFailure) -> FetchFailure {
    match failure {
        HandshakeFailure::Timeout => FetchFailure::Timeout(FetchPhase::Tls),
        HandshakeFailure::Failed { failure, .. } => FetchFailure::Tls(failure),
    }
}

/// An error of HTTP with all that caused it, escaped: parts of it may be the peer's words.
fn broken(phase: FetchPhase, error: &dyn Error) -> FetchFailure {
    let mut what = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        what = format!("{what}: {error}");
        cause = error.source();
    }
    FetchFailure::Http { phase, what: Octets::from(what.as_str()).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_agent_says_who_asks() {
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(user_agent(None), format!("smtptls-exporter/{version}"));
        assert_eq!(
            user_agent(Some("mailto:ops@example.com")),
            format!("smtptls-exporter/{version} (+mailto:ops@example.com)")
        );
        assert_eq!(user_agent(Some("x\r\nHost: evil")), format!("smtptls-exporter/{version}"));
    }

    #[test]
    fn the_header_is_read() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(header::AGE, HeaderValue::from_static("90"));
        headers.append(header::CACHE_CONTROL, HeaderValue::from_static("public, s-maxage=5"));
        headers.append(header::CACHE_CONTROL, HeaderValue::from_static("no-transform, Max-Age=\"3600\""));
        let head = read_head(StatusCode::OK, &headers);
        assert_eq!(head.content_type, Some("text/plain; charset=utf-8".into()));
        assert_eq!((head.age, head.cache_max_age), (Some(90), Some(3600)));
        headers.insert(header::AGE, HeaderValue::from_static("-1"));
        assert_eq!(read_head(StatusCode::OK, &headers).age, None);
    }
}
