//! Servers that list domains, and all that they do wrong.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use smtptls_exporter::{
    net::{FetchedList, ListError, ListFetcher, ListLogin, Validators},
    protocol::tls::Roots,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use crate::world::pki::Pki;

/// A server that gives the same answer to every request and keeps what it was asked.
pub(crate) struct ListServer {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    answer: Arc<Mutex<String>>,
    task: JoinHandle<()>,
}

impl Drop for ListServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(super) fn json(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

impl ListServer {
    pub(crate) async fn start(answer: &str) -> Self {
        Self::start_with(answer, None, "127.0.0.1:0").await
    }

    /// At this address; with TLS if there is an acceptor.
    pub(super) async fn start_with(answer: &str, tls: Option<TlsAcceptor>, at: &str) -> Self {
        let listener = TcpListener::bind(at).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, answer) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(answer.to_owned())));
        let (keeping, giving) = (Arc::clone(&asked), Arc::clone(&answer));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (asked, answer, tls) = (Arc::clone(&keeping), giving.lock().unwrap().clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, &asked, &answer).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, &asked, &answer).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, asked, answer, task }
    }

    pub(crate) fn answer(&self, answer: &str) {
        *self.answer.lock().unwrap() = answer.to_owned();
    }

    /// What was asked since the last time, the names of header fields in lower case.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, asked: &Mutex<Vec<String>>, answer: &str) {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer).await {
            Ok(read) if read > 0 => request.extend_from_slice(&buffer[..read]),
            _ => return,
        }
    }
    asked.lock().unwrap().push(String::from_utf8(request).unwrap());
    // The peer may hang up: that is its right.
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// A fetch of a list at this path, with what came.
struct Fetch {
    folder: TempDir,
    fetcher: ListFetcher,
}

impl Fetch {
    fn of(url: &str, login: ListLogin, roots: &Roots) -> Self {
        let fetcher = ListFetcher::new(url, login, roots, Duration::from_millis(90_500)).unwrap();
        Self { folder: TempDir::new().unwrap(), fetcher }
    }

    fn plainly(server: &ListServer) -> Self {
        Self::of(&format!("http://{}/domains?x=1", server.address), ListLogin::None, &Roots::default())
    }

    async fn fetch(&self, known: &Validators) -> Result<(FetchedList, String), ListError> {
        let file = self.folder.path().join("list");
        let fetched = self.fetcher.fetch(known, &file).await?;
        Ok((fetched, std::fs::read_to_string(file).unwrap_or_default()))
    }

    async fn error(&self) -> String {
        self.fetch(&Validators::default()).await.unwrap_err().to_string()
    }
}

#[tokio::test]
async fn the_request_is_that_of_prometheus() {
    let server = ListServer::start(&json("[]")).await;
    let fetch = Fetch::plainly(&server);
    let (fetched, text) = fetch.fetch(&Validators::default()).await.unwrap();
    assert!(matches!(fetched, FetchedList::New(_)));
    assert_eq!(text, "[]");
    let asked = server.asked();
    let lines: Vec<&str> = asked[0].lines().collect();
    assert_eq!(lines[0], "GET /domains?x=1 HTTP/1.1");
    let host = format!("host: {}", server.address);
    for line in [host.as_str(), "accept: application/json", "x-prometheus-refresh-interval-seconds: 90.5"] {
        assert!(lines.contains(&line), "{line}: {lines:?}");
    }
    assert!(lines.iter().any(|line| line.starts_with("user-agent: smtptls-exporter/")), "{lines:?}");
    assert!(!asked[0].contains("authorization"), "{lines:?}");
}

#[tokio::test]
async fn a_list_that_did_not_change_is_not_read_again() {
    let tagged = json("[\"a.example\"]")
        .replace("\r\n\r\n", "\r\nETag: \"1\"\r\nLast-Modified: Thu, 26 Nov 2026 08:00:00 GMT\r\n\r\n");
    let server = ListServer::start(&tagged).await;
    let fetch = Fetch::plainly(&server);
    let (FetchedList::New(known), _) = fetch.fetch(&Validators::default()).await.unwrap() else { panic!() };
    server.asked();
    // The server does not care about validators; the content tells.
    assert_eq!(fetch.fetch(&known).await.unwrap().0, FetchedList::Unchanged);
    let asked = server.asked();
    assert!(asked[0].contains("if-none-match: \"1\"\r\n"), "{asked:?}");
    assert!(asked[0].contains("if-modified-since: Thu, 26 Nov 2026 08:00:00 GMT\r\n"), "{asked:?}");
    server.answer("HTTP/1.1 304 Not Modified\r\n\r\n");
    assert_eq!(fetch.fetch(&known).await.unwrap().0, FetchedList::Unchanged);
    // Nothing was asked for that could be unchanged.
    assert!(fetch.error().await.contains("304"));
    server.answer(&json("[\"b.example\"]"));
    let (fetched, text) = fetch.fetch(&known).await.unwrap();
    assert!(matches!(fetched, FetchedList::New(_)) && text == "[\"b.example\"]");
}

#[tokio::test]
async fn who_asks_is_proven_from_files() {
    let server = ListServer::start(&json("[]")).await;
    let folder = TempDir::new().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let url = format!("http://{}/", server.address);
    let with_user = format!("http://joe:p%40ss@{}/", server.address);
    let token = file("token", "geheim\n");
    for (url, login, proof) in [
        (&url, ListLogin::Bearer(token.clone()), "authorization: Bearer geheim\r\n"),
        // RFC 7617 §2.
        (
            &url,
            ListLogin::Basic("Aladdin".into(), file("p", "open sesame")),
            "authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n",
        ),
        (&with_user, ListLogin::None, "authorization: Basic am9lOnBAc3M=\r\n"),
    ] {
        Fetch::of(url, login, &Roots::default()).fetch(&Validators::default()).await.unwrap();
        let asked = server.asked();
        assert!(asked[0].contains(proof), "{asked:?}");
        assert!(asked[0].contains(&format!("host: {}\r\n", server.address)), "no user in Host: {asked:?}");
    }
    std::fs::write(&token, "two\nlines\n").unwrap();
    let fetch = Fetch::of(&url, ListLogin::Bearer(token), &Roots::default());
    let error = fetch.error().await;
    assert!(error.contains("token") && error.contains("more than one line") && !error.contains("two"), "{error}");
    let error = Fetch::of(&url, ListLogin::Bearer(folder.path().join("away")), &Roots::default()).error().await;
    assert!(error.contains("away"), "{error}");
    assert!(server.asked().is_empty(), "the server is not troubled");
}

#[tokio::test]
async fn what_is_no_list_says_so() {
    let server = ListServer::start("").await;
    let fetch = Fetch::plainly(&server);
    let text = |kind: &str| json("[]").replace("application/json", kind);
    for (answer, why) in [
        ("HTTP/1.1 302 Found\r\nLocation: http://elsewhere.example/\x1b[2J\r\n\r\n", "HTTP: "),
        (
            "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://elsewhere.example/\r\n\r\n",
            "the server redirects (307) to http://elsewhere.example/; redirects are not followed",
        ),
        ("HTTP/1.1 503 Service Unavailable\r\n\r\n", "the server answered 503; 200 was expected"),
        ("HTTP/1.1 204 No Content\r\n\r\n", "the server answered 204; 200 was expected"),
        (&text("text/html"), "the answer is text/html; application/json was expected"),
        ("HTTP/1.1 200 OK\r\n\r\n[]", "the answer is no type; application/json was expected"),
        (
            &json("[]").replace("\r\n\r\n", "\r\nContent-Encoding: gzip\r\n\r\n"),
            "the answer is compressed, which was not asked for",
        ),
        ("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n[]", "HTTP: "),
        ("SSH-2.0-OpenSSH\r\n", "HTTP: "),
        ("", "HTTP: "),
    ] {
        server.answer(answer);
        let error = fetch.error().await;
        assert!(error.starts_with(why), "{answer:?}: {error}");
        assert!(!error.chars().any(char::is_control), "{error:?}");
    }
    drop(server);
    let nobody = Fetch::of("http://127.0.0.1:1/", ListLogin::None, &Roots::default());
    assert_eq!(nobody.error().await, "no connection to 127.0.0.1: refused");
    let nowhere = Fetch::of("http://nowhere.invalid/", ListLogin::None, &Roots::default());
    assert!(nowhere.error().await.starts_with("the address of nowhere.invalid cannot be found: "));
}

#[tokio::test]
async fn the_server_has_to_prove_its_name() {
    let pki = Pki::new();
    let identity = pki.identity(&["localhost"]);
    let tls = TlsAcceptor::from(identity.server(&[&rustls::version::TLS13, &rustls::version::TLS12]));
    let server = ListServer::start_with(&json("[]"), Some(tls), "127.0.0.1:0").await;
    let url = |host: &str| format!("https://{host}:{}/", server.address.port());
    let fetched = Fetch::of(&url("localhost"), ListLogin::None, &pki.roots()).fetch(&Validators::default()).await;
    assert!(matches!(fetched, Ok((FetchedList::New(_), _))), "{fetched:?}");
    let strangers = Fetch::of(&url("localhost"), ListLogin::None, &Roots::default()).error().await;
    assert!(strangers.starts_with("no TLS with localhost: "), "{strangers}");
    let other = Fetch::of(&url("127.0.0.1"), ListLogin::None, &pki.roots()).error().await;
    assert!(other.starts_with("no TLS with 127.0.0.1: "), "{other}");
    assert_eq!(server.asked().len(), 1, "nothing is said to who does not prove its name");
}
