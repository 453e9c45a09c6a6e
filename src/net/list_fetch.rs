//! Fetches a list of targets by HTTP, as Prometheus does it for `http_sd`: the whole list each time, as JSON.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use aws_lc_rs::digest::{Context, SHA256};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, header, uri::Authority};
use http_body_util::{BodyExt, Empty};
use hyper::{
    body::{Bytes, Incoming},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs::default_provider,
    version::{TLS12, TLS13},
};
use rustls_pki_types::ServerName;
use tokio::{
    fs::File,
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, lookup_host},
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use super::{
    DialOptions, Dialer, TlsSetupError,
    secret::{SecretError, read_secret},
};
use crate::{protocol::tls::Roots, terms::Octets};

/// The largest list, in bytes: five million targets of a hundred. It goes to the disk, not to memory.
pub const MAX_LIST: u64 = 512 * 1024 * 1024;
/// Addresses of a server that are tried.
const MAX_ADDRESSES: usize = 8;
/// For the name, and for the connection to each address.
const CONNECT: Duration = Duration::from_secs(10);
/// For the handshake.
const TLS: Duration = Duration::from_secs(10);
/// From the request to the header of the answer: a server may make the list only then.
const PROCESSING: Duration = Duration::from_secs(60);
/// All together: half a gigabyte over a slow line.
const TOTAL: Duration = Duration::from_secs(300);
/// The largest header section that is read, in bytes.
const MAX_HEADER_BYTES: usize = 16_384;
/// So much of the server's words is told, in characters.
const MAX_WORDS: usize = 200;
/// What Prometheus tells the server (documentation of http_sd).
const REFRESH_INTERVAL: &str = "x-prometheus-refresh-interval-seconds";

/// What proves who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListLogin {
    /// Nothing but what the URL may hold.
    None,
    /// A file with a token (RFC 6750 §2.1).
    Bearer(PathBuf),
    /// A user, and a file with the password (RFC 7617).
    Basic(String, PathBuf),
}

/// What a server said of a list that it sent (RFC 9110 §8.8), to ask only for another one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    etag: Option<HeaderValue>,
    last_modified: Option<HeaderValue>,
    /// Of the content: many servers say nothing about it.
    digest: Option<[u8; 32]>,
}

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchedList {
    /// The list is the one that the validators are of.
    Unchanged,
    /// Another one, now in the file.
    New(Validators),
}

/// Why there is no list. No secret stands in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// The URL cannot be asked.
    #[error("the URL cannot be used: {0}")]
    Url(&'static str),
    /// The secret cannot be read.
    #[error("{path}: {reason}")]
    Secret {
        /// The file.
        path: String,
        /// The system's words, or what is wrong with the content.
        reason: String,
    },
    /// The server's name leads to no address.
    #[error("the address of {host} cannot be found: {reason}")]
    Lookup {
        /// The name.
        host: String,
        /// The system's words.
        reason: String,
    },
    /// None of the addresses takes a connection; why not the last.
    #[error("no connection to {host}: {reason}")]
    Connect {
        /// The name.
        host: String,
        /// A word.
        reason: &'static str,
    },
    /// The handshake failed, or the certificate does not hold.
    #[error("no TLS with {0}: {1}")]
    Tls(String, String),
    /// A step took too long.
    #[error("{0} took too long")]
    Timeout(&'static str),
    /// The exchange broke off.
    #[error("HTTP: {0}")]
    Http(String),
    /// The answer is no list.
    #[error("{0}")]
    Answer(String),
    /// The list is larger than [`MAX_LIST`].
    #[error("the list is larger than {} MiB", MAX_LIST / 1024 / 1024)]
    TooLarge,
    /// The list cannot be written down.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: String,
        /// The system's words.
        reason: String,
    },
}

/// Fetches one list again and again.
pub struct ListFetcher {
    host: String,
    port: u16,
    /// For the Host header.
    authority: String,
    path: String,
    tls: Option<TlsConnector>,
    login: ListLogin,
    /// From the URL.
    user_info: Option<String>,
    interval: Duration,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl ListFetcher {
    /// A fetcher of the list at `url` (http or https). The server may have a private address, for the operator named it; its
    /// certificate is checked against `roots`. `interval` is what the server is told.
    ///
    /// # Errors
    /// [`ListError::Url`]; [`ListError::Tls`] only where the cryptographic library lacks TLS 1.2 or 1.3.
    pub fn new(url: &str, login: ListLogin, roots: &Roots, interval: Duration) -> Result<Self, ListError> {
        let uri: Uri = url.parse().map_err(|_| ListError::Url("it is none"))?;
        let authority = uri.authority().ok_or(ListError::Url("it names no server"))?;
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let (tls, usual) = match uri.scheme_str() {
            Some("https") => {
                let tls = connector(roots).map_err(|error| ListError::Tls(host.clone(), error.to_string()))?;
                (Some(tls), 443)
            }
            Some("http") => (None, 80),
            _ => return Err(ListError::Url("it is neither https nor http")),
        };
        let (user_info, without) = match authority.as_str().rsplit_once('@') {
            Some((user_info, without)) => (Some(user_info.to_owned()), without.to_owned()),
            None => (None, authority.as_str().to_owned()),
        };
        Ok(Self {
            port: authority.port_u16().unwrap_or(usual),
            path: uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
            authority: without.parse::<Authority>().map_err(|_| ListError::Url("it names no server"))?.to_string(),
            host,
            tls,
            login,
            user_info,
            interval,
        })
    }

    /// Asks for the list and writes it into a file, which is made anew. Redirects are not followed: whoever can send one could
    /// send the credentials elsewhere.
    ///
    /// # Errors
    /// [`ListError`]; what the file then holds is of no use.
    pub async fn fetch(&self, known: &Validators, into: &Path) -> Result<FetchedList, ListError> {
        timeout(TOTAL, self.exchange(known, into)).await.map_err(|_| ListError::Timeout("the fetch"))?
    }

    async fn exchange(&self, known: &Validators, into: &Path) -> Result<FetchedList, ListError> {
        // Before the server is troubled.
        let request = self.request(known).await?;
        let stream = self.connect().await?;
        let http = |error: hyper::Error| ListError::Http(words(&error));
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(MAX_HEADER_BYTES)
            .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
            .await
            .map_err(http)?;
        // What goes wrong with the connection reaches the exchange.
        let _driver = AbortOnDropHandle::new(tokio::spawn(async move {
            let _ = connection.await;
        }));
        let answer = timeout(PROCESSING, sender.send_request(request)).await;
        let response = answer.map_err(|_| ListError::Timeout("the answer"))?.map_err(http)?;
        if response.status() == StatusCode::NOT_MODIFIED && *known != Validators::default() {
            return Ok(FetchedList::Unchanged);
        }
        judge(&response)?;
        let header = |name| response.headers().get(name).cloned();
        let (etag, last_modified) = (header(header::ETAG), header(header::LAST_MODIFIED));
        let digest = store(response.into_body(), into).await?;
        if known.digest == Some(digest) {
            return Ok(FetchedList::Unchanged);
        }
        Ok(FetchedList::New(Validators { etag, last_modified, digest: Some(digest) }))
    }

    async fn request(&self, known: &Validators) -> Result<Request<Empty<Bytes>>, ListError> {
        const PRODUCT: &str = concat!("smtptls-exporter/", env!("CARGO_PKG_VERSION"));
        let mut request = Request::get(&self.path)
            .header(header::HOST, &self.authority)
            .header(header::USER_AGENT, PRODUCT)
            .header(header::ACCEPT, "application/json")
            .header(REFRESH_INTERVAL, self.interval.as_secs_f64().to_string())
            .header(header::CONNECTION, "close");
        if let Some(etag) = &known.etag {
            request = request.header(header::IF_NONE_MATCH, etag);
        }
        if let Some(last_modified) = &known.last_modified {
            request = request.header(header::IF_MODIFIED_SINCE, last_modified);
        }
        if let Some(proof) = self.proof().await? {
            let mut proof = HeaderValue::from_str(&proof)
                .map_err(|_| ListError::Url("its user, or the secret, cannot stand in a header"))?;
            proof.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, proof);
        }
        request.body(Empty::new()).map_err(|_| ListError::Url("it cannot stand in a request"))
    }

    async fn proof(&self) -> Result<Option<String>, ListError> {
        let secret = async |path: &Path| {
            read_secret(path).await.map_err(|SecretError { path, reason }| ListError::Secret { path, reason })
        };
        Ok(match (&self.login, &self.user_info) {
            (ListLogin::Bearer(path), _) => Some(format!("Bearer {}", secret(path).await?)),
            (ListLogin::Basic(user, path), _) => {
                Some(format!("Basic {}", base64(format!("{user}:{}", secret(path).await?).as_bytes())))
            }
            (ListLogin::None, Some(user_info)) => {
                let user_info = if user_info.contains(':') { user_info.clone() } else { format!("{user_info}:") };
                Some(format!("Basic {}", base64(&unescaped(&user_info))))
            }
            (ListLogin::None, None) => None,
        })
    }

    async fn connect(&self) -> Result<Box<dyn Stream>, ListError> {
        let lookup = |reason: &dyn fmt::Display| ListError::Lookup {
            host: self.host.clone(),
            reason: Octets::from(reason.to_string().as_str()).to_string(),
        };
        // The system's way, as Prometheus does: such a server is known by /etc/hosts as often as by the DNS.
        let addresses = timeout(CONNECT, lookup_host((self.host.as_str(), self.port))).await;
        let addresses = addresses.map_err(|_| lookup(&"it took too long"))?.map_err(|error| lookup(&error))?;
        let dialer = Dialer::new(DialOptions { allow_private_addresses: true });
        let mut last = ListError::Connect { host: self.host.clone(), reason: "no-address" };
        for address in addresses.take(MAX_ADDRESSES) {
            match dialer.connect(address, Instant::now() + CONNECT).await {
                Ok(tcp) => return self.shake_hands(tcp).await,
                Err(failure) => last = ListError::Connect { host: self.host.clone(), reason: failure.label() },
            }
        }
        Err(last)
    }

    async fn shake_hands(&self, tcp: TcpStream) -> Result<Box<dyn Stream>, ListError> {
        let Some(tls) = &self.tls else { return Ok(Box::new(tcp)) };
        let failed = |reason: String| ListError::Tls(self.host.clone(), reason);
        let name = ServerName::try_from(self.host.clone()).map_err(|error| failed(error.to_string()))?;
        let stream = timeout_at(Instant::now() + TLS, tls.connect(name, tcp)).await;
        let stream = stream.map_err(|_| ListError::Timeout("the TLS handshake"))?;
        Ok(Box::new(stream.map_err(|error| failed(words(&error)))?))
    }
}

/// Without what is secret.
impl fmt::Debug for ListFetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListFetcher").field("authority", &self.authority).finish_non_exhaustive()
    }
}

fn connector(roots: &Roots) -> Result<TlsConnector, TlsSetupError> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|error| TlsSetupError::new(&error))?
        .with_root_certificates(RootCertStore { roots: roots.anchors().to_vec() })
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Whether an answer carries a list: 200 and application/json, as in Prometheus.
fn judge(response: &Response<Incoming>) -> Result<(), ListError> {
    let status = response.status();
    if status.is_redirection() {
        let location = response.headers().get(header::LOCATION).map(|value| Octets(value.as_bytes().to_vec()));
        let target =
            location.map_or_else(|| "elsewhere".to_owned(), |location| cut(&without_secrets(&location.to_string())));
        let message = format!("the server redirects ({}) to {target}; redirects are not followed", status.as_u16());
        return Err(ListError::Answer(message));
    }
    if status != StatusCode::OK {
        return Err(ListError::Answer(format!("the server answered {}; 200 was expected", status.as_u16())));
    }
    if !is_json(response.headers()) {
        let kind = response.headers().get(header::CONTENT_TYPE).map(|value| Octets(value.as_bytes().to_vec()));
        let kind = kind.map_or_else(|| "no type".to_owned(), |kind| cut(&kind.to_string()));
        return Err(ListError::Answer(format!("the answer is {kind}; application/json was expected")));
    }
    let encoding = response.headers().get(header::CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(ListError::Answer("the answer is compressed, which was not asked for".to_owned()));
    }
    Ok(())
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()) else { return false };
    let (kind, parameter) = kind.split_once(';').map_or((kind, ""), |(kind, parameter)| (kind, parameter.trim()));
    let charset = parameter.to_ascii_lowercase();
    kind.trim().eq_ignore_ascii_case("application/json")
        && matches!(charset.as_str(), "" | "charset=utf-8" | "charset=\"utf-8\"")
}

/// Writes the body into the file as it comes; its SHA-256.
async fn store(mut body: Incoming, into: &Path) -> Result<[u8; 32], ListError> {
    let failed = |error: io::Error| ListError::File { path: into.display().to_string(), reason: error.to_string() };
    let mut file = File::create(into).await.map_err(failed)?;
    let mut digest = Context::new(&SHA256);
    let mut length = 0_u64;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| ListError::Http(words(&error)))?;
        let Some(data) = frame.data_ref() else { continue };
        length = length.saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX));
        if length > MAX_LIST {
            return Err(ListError::TooLarge);
        }
        digest.update(data);
        file.write_all(data).await.map_err(failed)?;
    }
    file.flush().await.map_err(failed)?;
    let digest = digest.finish();
    digest.as_ref().try_into().map_err(|_| ListError::Http("the digest has another length".to_owned()))
}

/// An error with all that caused it, escaped: parts of it may be the server's words.
fn words(error: &dyn std::error::Error) -> String {
    let mut what = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        what = format!("{what}: {error}");
        cause = error.source();
    }
    cut(&Octets::from(what.as_str()).to_string())
}

/// A URL without user, query and fragment: a server that sends on to https repeats there the token that it was asked with.
fn without_secrets(url: &str) -> String {
    let plain = url.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = plain.split_once("://") else { return plain.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_WORDS).collect()
}

/// RFC 3986 §2.1; what is no escape stands for itself.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|digits| *first == b'%' && digits.iter().all(u8::is_ascii_hexdigit));
        let byte = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    bytes
}

/// RFC 4648 §4.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let letter =
        |six: u32| LETTERS.get(usize::try_from(six & 63).unwrap_or(0)).map_or('=', |letter| char::from(*letter));
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let at = |place: usize| three.get(place).copied().map_or(0, u32::from);
        let all = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4_usize {
            let shift = 18 - 6 * u32::try_from(place).unwrap_or(0);
            text.push(if place > three.len() { '=' } else { letter(all >> shift) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_redirect_leads_is_told_without_secrets() {
        for (location, told) in [
            ("https://sd.example/a?token=geheim", "https://sd.example/a"),
            ("https://u:geheim@sd.example/a@b#geheim", "https://sd.example/a@b"),
            ("//sd.example/?geheim", "//sd.example/"),
            ("/a?geheim", "/a"),
            ("https://sd.example", "https://sd.example"),
        ] {
            assert_eq!(without_secrets(location), told);
        }
    }

    #[test]
    fn base64_is_that_of_the_rfc() {
        // RFC 4648 §10.
        let vectors =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")];
        for (bytes, text) in vectors {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        // RFC 7617 §2.
        assert_eq!(base64(b"Aladdin:open sesame"), "QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(unescaped("a%3Ab%zz%4"), b"a:b%zz%4");
    }

    #[test]
    fn the_type_is_that_which_prometheus_takes() {
        let is =
            |kind: &str| is_json(&HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_str(kind).unwrap())]));
        for kind in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
        ] {
            assert!(is(kind), "{kind}");
        }
        for kind in ["text/plain", "application/json; charset=latin1", "text/json", "application/jsonp"] {
            assert!(!is(kind), "{kind}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }

    #[test]
    fn a_url_says_whom_to_ask() {
        let of = |url: &str| ListFetcher::new(url, ListLogin::None, &Roots::default(), Duration::from_secs(60));
        let fetcher = of("https://u:p@[::1]:8443/a?b=c").unwrap();
        assert_eq!((fetcher.host.as_str(), fetcher.port, fetcher.authority.as_str()), ("::1", 8443, "[::1]:8443"));
        assert_eq!((fetcher.path.as_str(), fetcher.user_info.as_deref()), ("/a?b=c", Some("u:p")));
        assert!(!format!("{fetcher:?}").contains("u:p"));
        let fetcher = of("http://sd.example").unwrap();
        assert_eq!((fetcher.port, fetcher.path.as_str(), fetcher.tls.is_none()), (80, "/", true));
        assert_eq!(of("postgres://x/").unwrap_err(), ListError::Url("it is neither https nor http"));
    }
}
