//! Reports by HTTPS POST (RFC 8460 §5.4), over real sockets.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use rcgen::{CertificateParams, KeyPair};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs::default_provider, pki_types::ServerName};
use smtptls_exporter::{
    config::{ListenAddress, Settings, file},
    metrics::{Blocks, Exposition, Level},
    monitor::Telemetry,
    protocol::tls_rpt::RefusalReason,
    web::{App, Limits, MetricsPath, ReportDoor, ReportEntrance, bind, serve},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;

use super::{
    intake::{Bench, PATIENCE, fresh, fresh_mail},
    made::{REPORT, gzip, with, zip},
};

/// A monitor with its server.
pub(crate) struct Posted {
    pub(crate) bench: Bench,
    pub(crate) address: SocketAddr,
    pub(crate) entrance: Arc<ReportEntrance>,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

pub(crate) fn http(listen: Option<SocketAddr>, tls: Option<(PathBuf, PathBuf)>) -> file::ReportsHttp {
    file::ReportsHttp {
        path: None,
        listen: listen.map(|address| ListenAddress(address.to_string()).into()),
        tls: tls
            .map(|(chain, key)| file::ServerTls { cert_file: Some(chain.into()), key_file: Some(key.into()) }.into()),
    }
}

pub(crate) fn settings(http: Option<file::ReportsHttp>) -> Settings {
    let mut settings = Settings::default();
    settings.reports.http = http.map(Into::into);
    settings
}

impl Posted {
    pub(crate) async fn start() -> Self {
        Self::start_with(http(None, None)).await
    }

    async fn start_with(http: file::ReportsHttp) -> Self {
        let bench = Bench::start(|settings| settings.reports.http = Some(http.clone().into())).await;
        let stop = CancellationToken::new();
        let door = Arc::new(ReportDoor::new(bench.intake()));
        let entrance = Arc::new(ReportEntrance::new(
            Arc::clone(&door),
            Limits::default(),
            stop.clone(),
            Telemetry::new().unwrap(),
        ));
        let prepared = entrance.prepare(&settings(Some(http))).await.unwrap();
        entrance.open(prepared).await;
        let no_reload = Box::new(|| -> futures_util::future::BoxFuture<'static, _> { Box::pin(async { Ok(()) }) });
        let exposition = Exposition::new(Blocks::new(Level::Normal));
        let app = App::new(exposition, Telemetry::new().unwrap(), MetricsPath::default(), no_reload);
        let app = Arc::new(app.with_store(bench.monitor.store()).with_reports(door));
        app.publish(Arc::clone(&bench.monitor.snapshots().borrow()));
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(serve(vec![listener], app, stop.clone(), Limits::default()));
        Self { bench, address, entrance, stop, server }
    }

    /// Puts other settings of the way in in force.
    async fn reload(&self, http: Option<file::ReportsHttp>) -> Result<(), String> {
        let prepared = self.entrance.prepare(&settings(http)).await.map_err(|error| error.to_string())?;
        self.entrance.open(prepared).await;
        Ok(())
    }

    pub(crate) async fn post(&self, fields: &str, body: &[u8]) -> Answer {
        let stream = TcpStream::connect(self.address).await.unwrap();
        request(stream, "POST", "/tlsrpt", fields, body).await
    }

    async fn ask(&self, method: &str, path: &str) -> Answer {
        let stream = TcpStream::connect(self.address).await.unwrap();
        request(stream, method, path, "", b"").await
    }

    pub(crate) async fn end(self) {
        self.stop.cancel();
        self.bench.monitor.stop().await;
        timeout(PATIENCE, self.server).await.unwrap().unwrap();
        timeout(PATIENCE, self.entrance.closed()).await.unwrap();
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
}

/// Sends one request and reads the answer to its end.
async fn request<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    method: &str,
    path: &str,
    fields: &str,
    body: &[u8],
) -> Answer {
    let length = if method == "POST" { format!("Content-Length: {}\r\n", body.len()) } else { String::new() };
    let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{length}{fields}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    // It may be refused before it was sent to its end.
    let _ = stream.write_all(body).await;
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("no answer");
    let answer = String::from_utf8(answer).unwrap();
    let (head, _) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_lowercase() }
}

fn typed(media_type: &str) -> String {
    format!("Content-Type: {media_type}\r\n")
}

/// REP-J51.
#[tokio::test]
async fn rep_j51_gzip_is_created() {
    let served = Posted::start().await;
    let answer = served.post(&typed("application/tlsrpt+gzip"), &gzip(fresh(REPORT).as_bytes())).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(served.bench.sessions("example.com").await, 8, "it is stored before it is answered");
    let provenance = served.bench.stored("example.com").await.remove(0).provenance;
    assert_eq!((provenance.source.as_str(), provenance.reporter.as_str()), ("127.0.0.1", "unverified"));
    served.end().await;
}

/// REP-J52.
#[tokio::test]
async fn rep_j52_the_bytes_decide_and_not_the_type() {
    let served = Posted::start().await;
    for (number, media_type) in
        ["application/json", "text/plain", "application/tlsrpt+json", "nonsense", ""].into_iter().enumerate()
    {
        let report = fresh(&with(r#""r1""#, &format!("\"{number}\"")));
        let body = if number % 2 == 0 { report.into_bytes() } else { gzip(report.as_bytes()) };
        assert_eq!(served.post(&typed(media_type), &body).await.status, 201, "{media_type}");
    }
    assert_eq!(served.bench.sessions("example.com").await, 40);
    served.end().await;
}

/// REP-J54.
#[tokio::test]
async fn rep_j54_a_body_over_the_cap_is_refused() {
    let served = Posted::start().await;
    let promised = "POST /tlsrpt HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\nExpect: 100-continue\r\n\r\n";
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream.write_all(promised.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.to_lowercase().contains("connection: close"), "{answer}");
    // Without a promise it is cut off on the way.
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let (mut reading, mut writing) = stream.split();
    let sending = async {
        let _ = writing.write_all(b"POST /tlsrpt HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        let chunk = [b"100000\r\n".as_slice(), &vec![b'{'; 1 << 20], b"\r\n"].concat();
        for _ in 0..20 {
            if writing.write_all(&chunk).await.is_err() {
                return;
            }
        }
    };
    let mut answer = Vec::new();
    let receiving = async {
        let mut piece = [0; 1000];
        while let Ok(count @ 1..) = reading.read(&mut piece).await {
            answer.extend_from_slice(&piece[..count]);
        }
    };
    timeout(PATIENCE, async { tokio::join!(sending, receiving) }).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 413 "), "{:?}", String::from_utf8_lossy(&answer));
    served.bench.refused(RefusalReason::TooLarge, 2).await;
    assert!(served.bench.quarantined().is_empty());
    served.end().await;
}

#[tokio::test]
async fn each_answer_says_what_it_is() {
    let served = Posted::start().await;
    let bench = &served.bench;
    assert_eq!(served.post("", fresh(REPORT).as_bytes()).await.status, 201);
    assert_eq!(served.post("", fresh(REPORT).as_bytes()).await.status, 201, "a duplicate");
    assert_eq!(
        served
            .post("", fresh(&with(r#""policy-domain":"example.com""#, r#""policy-domain":"x.test""#)).as_bytes())
            .await
            .status,
        201,
        "a foreign domain"
    );
    assert_eq!(served.post("", b"{\"policies\": [").await.status, 400);
    assert_eq!(served.post("", b"{}").await.status, 400, "no report");
    let broken = gzip(fresh(REPORT).as_bytes());
    assert_eq!(served.post("", &broken[..broken.len() / 2]).await.status, 400);
    for body in [&b"hello"[..], b"", &fresh_mail(), &zip(&[("a.json", fresh(REPORT).as_bytes())])] {
        assert_eq!(served.post("", body).await.status, 415);
    }
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"] {
        let answer = served.ask(method, "/tlsrpt").await;
        assert!(answer.status == 405 && answer.head.contains("allow: post"), "{method}: {answer:?}");
    }
    assert_eq!(served.ask("GET", "/metrics").await.status, 200);
    let stream = TcpStream::connect(served.address).await.unwrap();
    assert_eq!(request(stream, "POST", "/-/reload", "", b"abcd").await.status, 413, "no other path takes a body");
    let stream = TcpStream::connect(served.address).await.unwrap();
    assert_eq!(request(stream, "POST", "/tlsrpt/", "", b"{}").await.status, 413);
    bench.refused(RefusalReason::UnknownDomain, 1).await;
    bench.refused(RefusalReason::BadJson, 2).await;
    bench.refused(RefusalReason::BadEncoding, 5).await;
    assert_eq!(bench.quarantined().len(), 3, "only what may be a report");
    assert_eq!(bench.sessions("example.com").await, 8);
    served.end().await;
}

/// Gzip that unfolds without end (peers.md 30): memory stays, and the answer is honest.
#[tokio::test]
async fn a_bomb_by_post_is_too_large() {
    let served = Posted::start().await;
    let bomb = gzip(&[fresh(REPORT).as_bytes(), &vec![b' '; 64 << 20]].concat());
    let answer = served.post("", &bomb).await;
    assert_eq!(answer.status, 413, "{answer:?}");
    served.bench.refused(RefusalReason::TooLarge, 1).await;
    served.end().await;
}

#[tokio::test]
async fn a_store_that_is_closed_makes_senders_come_again() {
    let served = Posted::start().await;
    let Posted { bench, address, entrance, stop, server } = served;
    bench.monitor.stop().await;
    let stream = TcpStream::connect(address).await.unwrap();
    let answer = request(stream, "POST", "/tlsrpt", "", fresh(REPORT).as_bytes()).await;
    assert!(answer.status == 503 && answer.head.contains("retry-after: "), "{answer:?}");
    stop.cancel();
    timeout(PATIENCE, server).await.unwrap().unwrap();
    timeout(PATIENCE, entrance.closed()).await.unwrap();
}

/// More than the allowance of a network.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_at_a_time_are_told_when_to_come_again() {
    let served = Posted::start().await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let one = b"POST /tlsrpt HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx".to_vec();
    let mut refused = 0;
    let mut answer = Vec::new();
    for _ in 0..1500 {
        stream.write_all(&one).await.unwrap();
        answer.clear();
        // Each answer ends with the line of its text.
        while !answer.ends_with(b".\n") {
            if stream.read_buf(&mut answer).await.unwrap() == 0 {
                break;
            }
        }
        let text = String::from_utf8_lossy(&answer).to_lowercase();
        if text.starts_with("http/1.1 429 ") {
            assert!(text.contains("retry-after: 1"), "{text}");
            refused += 1;
            stream = TcpStream::connect(served.address).await.unwrap();
        } else {
            assert!(text.starts_with("http/1.1 415 "), "{text}");
        }
    }
    assert!(refused > 0);
    served.bench.refused(RefusalReason::RateLimited, refused).await;
    served.end().await;
}

/// Certificates that sign themselves, and a client that trusts them.
struct Certificates {
    folder: tempfile::TempDir,
    client: TlsConnector,
}

impl Certificates {
    fn new(names: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut roots = RootCertStore::empty();
        for name in names {
            let key = KeyPair::generate().unwrap();
            let certificate = CertificateParams::new(vec![(*name).to_owned()]).unwrap().self_signed(&key).unwrap();
            roots.add(certificate.der().clone()).unwrap();
            std::fs::write(folder.path().join(format!("{name}.pem")), certificate.pem()).unwrap();
            std::fs::write(folder.path().join(format!("{name}.key")), key.serialize_pem()).unwrap();
        }
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { folder, client: TlsConnector::from(Arc::new(config)) }
    }

    fn files(&self, name: &str) -> (PathBuf, PathBuf) {
        let file = |ending| self.folder.path().join(format!("{name}.{ending}"));
        (file("pem"), file("key"))
    }

    async fn connect(&self, address: SocketAddr, name: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(address).await?;
        self.client.connect(ServerName::try_from(name.to_owned()).unwrap(), stream).await
    }
}

fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// An own listener with TLS: reports there, nothing else, and nothing of it on the listener of the page. A reload changes its
/// certificate and its address, and a mistake in it changes nothing.
#[tokio::test]
async fn an_own_listener_has_its_own_certificate() {
    let certificates = Certificates::new(&["one.test", "two.test"]);
    let files = |name: &str| certificates.files(name);
    let own = free_address();
    let served = Posted::start_with(http(Some(own), Some(files("one.test")))).await;
    let post = async |address: SocketAddr, name: &str, path: &str, id: &str| {
        let stream = certificates.connect(address, name).await?;
        let report = fresh(&with(r#""r1""#, &format!("\"{id}\"")));
        Ok::<_, std::io::Error>(request(stream, "POST", path, "", report.as_bytes()).await.status)
    };
    assert_eq!(post(own, "one.test", "/tlsrpt", "1").await.unwrap(), 201);
    assert_eq!(post(own, "one.test", "/metrics", "1").await.unwrap(), 404);
    assert_eq!(served.post("", fresh(REPORT).as_bytes()).await.status, 413, "not on the listener of the page");
    assert_eq!(served.bench.sessions("example.com").await, 8);

    assert!(post(own, "two.test", "/tlsrpt", "2").await.is_err(), "another name");
    served.reload(Some(http(Some(own), Some(files("two.test"))))).await.unwrap();
    assert_eq!(post(own, "two.test", "/tlsrpt", "2").await.unwrap(), 201);

    std::fs::write(files("one.test").0, "nonsense").unwrap();
    let error = served.reload(Some(http(Some(own), Some(files("one.test"))))).await.unwrap_err();
    assert!(error.contains("one.test.pem") && error.contains("PEM"), "{error}");
    let error = served.reload(Some(http(Some(served.address), None))).await.unwrap_err();
    assert!(error.contains("the port is in use"), "{error}");
    let mixed = (files("two.test").0, files("one.test").1);
    let error = served.reload(Some(http(Some(own), Some(mixed)))).await.unwrap_err();
    assert!(error.contains("cannot be used together"), "{error}");
    assert_eq!(post(own, "two.test", "/tlsrpt", "3").await.unwrap(), 201, "what was in force stays");

    let other = free_address();
    served.reload(Some(http(Some(other), None))).await.unwrap();
    let stream = TcpStream::connect(other).await.unwrap();
    let report = fresh(&with(r#""r1""#, r#""4""#));
    assert_eq!(request(stream, "POST", "/tlsrpt", "", report.as_bytes()).await.status, 201, "without TLS");
    let mut tries = 0;
    while TcpStream::connect(own).await.is_ok() {
        tries += 1;
        assert!(tries < 1000, "the old listener stays");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    served.reload(Some(http(None, None))).await.unwrap();
    let report = fresh(&with(r#""r1""#, r#""5""#));
    assert_eq!(served.post("", report.as_bytes()).await.status, 201, "on the listener of the page again");
    served.reload(None).await.unwrap();
    assert_eq!(served.post("", report.as_bytes()).await.status, 413, "closed");
    assert_eq!(served.bench.sessions("example.com").await, 40);
    served.end().await;
}
