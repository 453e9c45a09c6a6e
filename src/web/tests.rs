//! The server over real sockets on loopback.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

mod admission;
mod framing;
mod slow;

use super::{App, Limits, MetricsPath, Mount, Reload, ReloadRefused, bind, serve};
use crate::{
    metrics::{Blocks, Exposition, Level, fixture},
    monitor::{Snapshot, Telemetry},
};

struct Server {
    address: SocketAddr,
    app: Arc<App>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

fn start(reload: Reload, limits: Limits) -> Server {
    start_at(Mount::default(), reload, limits)
}

fn start_at(mount: Mount, reload: Reload, limits: Limits) -> Server {
    let telemetry = Telemetry::new().unwrap();
    let app = App::new(Exposition::new(Blocks::new(Level::Normal)), telemetry, MetricsPath::default(), reload);
    let app = Arc::new(app.with_mount(mount));
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(serve(vec![listener], Arc::clone(&app), shutdown.clone(), limits));
    Server { address, app, shutdown, task }
}

fn no_reload() -> Reload {
    Box::new(|| Box::pin(async { Ok(()) }))
}

fn started() -> Server {
    let server = start(no_reload(), Limits::default());
    server.app.publish(Arc::new(shown()));
    server
}

/// The small world, as the monitor publishes it.
fn shown() -> Snapshot {
    fixture::rendered(&fixture::snapshot(), &*Blocks::new(Level::Normal))
}

/// Sends bytes and reads all that comes until the server closes.
async fn raw(server: &Server, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut answer)).await;
    closed.expect("the server never closes").unwrap();
    String::from_utf8(answer).unwrap()
}

async fn ask(server: &Server, method: &str, path: &str) -> (u16, String, String) {
    let answer =
        raw(server, format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_lowercase(), body.to_owned())
}

async fn connect(address: SocketAddr) -> SendRequest<Empty<Bytes>> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn get(path: &str) -> Request<Empty<Bytes>> {
    Request::get(path).header("Host", "x").body(Empty::new()).unwrap()
}

/// A fault in one request takes its connection with it, and nothing else: its place is free again.
#[tokio::test]
async fn a_request_that_panics_costs_its_connection_alone() {
    let broken: Reload = Box::new(|| Box::pin(async { panic!("the reload breaks") }));
    let server = start(broken, Limits { connections: 2, ..Limits::default() });
    server.app.publish(Arc::new(shown()));
    for _ in 0..5 {
        let answer = raw(&server, b"POST /-/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").await;
        assert_eq!(answer, "", "the connection ends without an answer");
        assert_eq!(ask(&server, "GET", "/metrics").await.0, 200);
    }
    server.shutdown.cancel();
    server.task.await.unwrap();
}

#[tokio::test]
async fn metrics_come_as_prometheus_wants_them() {
    let server = started();
    let (status, head, body) = ask(&server, "GET", "/metrics").await;
    assert_eq!(status, 200);
    assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
    assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
    assert!(body.contains("smtptls_domain_delivery{domain=\"example.com\",state=\"protected\"} 1\n"));
    assert!(body.contains("\nsmtptls_build_info{") && body.ends_with('\n'));
    let (status, ..) = ask(&server, "GET", "/metrics?name[]=x").await;
    assert_eq!(status, 200, "a query is no other path");
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let server = started();
    for path in ["/metrics", "/", "/-/healthy"] {
        let (status, head, body) = ask(&server, "HEAD", path).await;
        assert_eq!((status, body.as_str()), (200, ""), "{path}");
        assert!(head.contains("content-length: ") && !head.contains("content-length: 0"), "{head}");
    }
}

#[tokio::test]
async fn what_is_not_there_and_what_is_not_meant() {
    let server = started();
    assert_eq!(ask(&server, "GET", "/wp-login.php").await.0, 404);
    assert_eq!(ask(&server, "GET", "/metrics/").await.0, 404);
    for (method, path, allow) in [
        ("POST", "/metrics", "get, head"),
        ("DELETE", "/", "get, head"),
        ("POST", "/-/healthy", "get, head"),
        ("PUT", "/-/ready", "get, head"),
        ("GET", "/-/reload", "post"),
        ("PUT", "/-/reload", "post"),
    ] {
        let (status, head, _) = ask(&server, method, path).await;
        assert_eq!(status, 405, "{method} {path}");
        assert!(head.contains(&format!("allow: {allow}\r\n")), "{head}");
    }
}

#[tokio::test]
async fn below_a_prefix_lies_everything() {
    let mount = Mount::new(Some("https://monitor.example/mail".parse().unwrap()), Some("/inside".parse().unwrap()));
    let server = start_at(mount, no_reload(), Limits::default());
    assert_eq!(ask(&server, "GET", "/inside/api/v1/domains/example.com").await.0, 503, "not ready");
    server.app.publish(Arc::new(shown()));
    for path in
        ["/inside/metrics", "/inside/", "/inside/-/healthy", "/inside/-/ready", "/inside/api/v1/domains/example.com"]
    {
        assert_eq!(ask(&server, "GET", path).await.0, 200, "{path}");
    }
    for path in ["/metrics", "/-/healthy", "/insider/metrics", "/mail/metrics", "/api/v1/domains/example.com"] {
        assert_eq!(ask(&server, "GET", path).await.0, 404, "{path}");
    }
    for path in ["/", "/inside"] {
        let (status, head, _) = ask(&server, "GET", path).await;
        assert_eq!(status, 302, "{path}");
        assert!(head.contains("location: /inside/\r\n"), "{head}");
    }
    assert_eq!(ask(&server, "POST", "/inside/-/reload").await.0, 200);
    let (_, _, page) = ask(&server, "GET", "/inside/").await;
    assert!(page.contains("href=\"/mail/metrics\"") && !page.contains("/inside"), "as browsers find it: {page}");
}

#[tokio::test]
async fn ready_from_the_first_snapshot_on() {
    let server = start(no_reload(), Limits::default());
    assert_eq!(ask(&server, "GET", "/-/healthy").await.0, 200);
    assert_eq!(ask(&server, "GET", "/-/ready").await.0, 503);
    assert_eq!(ask(&server, "GET", "/metrics").await.0, 200, "the exporter speaks of itself at once");
    server.app.publish(Arc::new(Snapshot::default()));
    assert_eq!(ask(&server, "GET", "/-/ready").await.0, 200);
}

#[tokio::test]
async fn pages_come_as_html_and_run_nothing() {
    let server = started();
    for (path, part) in [
        ("/", "broken.example"),
        ("/?state=unprotected", "broken.example"),
        ("/hosts", "mx.broken.example"),
        ("/hosts/mx.broken.example", "198.51.100.2"),
        ("/hosts/MX.Broken.example", "198.51.100.2"),
        ("/certificates", "mta-sts.example.com"),
        ("/failures", "Reported failures"),
    ] {
        let (status, head, body) = ask(&server, "GET", path).await;
        assert_eq!(status, 200, "{path}");
        assert!(body.contains(part), "{path}: {body}");
        assert!(head.contains("content-type: text/html; charset=utf-8"), "{head}");
        assert!(head.contains("content-security-policy: default-src 'none';"), "{head}");
        assert!(head.contains("x-content-type-options: nosniff"), "{head}");
        assert!(!body.contains("<script") && !body.contains(" style=") && !body.contains("<style"), "{body}");
        let (status, head, body) = ask(&server, "HEAD", path).await;
        assert!(status == 200 && body.is_empty() && !head.contains("content-length: 0"), "{path}: {head}");
        assert_eq!(ask(&server, "POST", path).await.0, 405, "{path}");
    }
}

#[tokio::test]
async fn what_has_no_page_is_said_on_a_page() {
    let server = started();
    let (status, _, body) = ask(&server, "GET", "/hosts/%3Cb%3E.example").await;
    assert!(status == 404 && body.contains("No such mail host") && body.contains("&lt;b&gt;.example"), "{body}");
    let request = b"GET /nothing HTTP/1.1\r\nHost: x\r\nAccept: text/html,*/*\r\nConnection: close\r\n\r\n";
    let answer = raw(&server, request).await;
    assert!(answer.starts_with("HTTP/1.1 404 ") && answer.contains("<h1>There is nothing here</h1>"), "{answer}");
    let (status, head, _) = ask(&server, "GET", "/nothing").await;
    assert!(status == 404 && head.contains("content-type: text/plain"), "{head}");
    let early = start(no_reload(), Limits::default());
    assert_eq!(ask(&early, "GET", "/hosts").await.0, 503, "no list is no empty list");
}

#[tokio::test]
async fn the_style_is_kept_by_browsers_under_its_tag() {
    let server = started();
    let (_, _, page) = ask(&server, "GET", "/").await;
    let link = page.split("rel=\"stylesheet\" href=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let (status, head, body) = ask(&server, "GET", link).await;
    assert_eq!(status, 200);
    assert!(head.contains("content-type: text/css; charset=utf-8") && body.contains("prefers-color-scheme"), "{head}");
    assert!(head.contains("cache-control: public, max-age=31536000, immutable"), "{head}");
    let tag = head.split("etag: ").nth(1).and_then(|rest| rest.split("\r\n").next()).unwrap();
    let (_, head, _) = ask(&server, "GET", "/assets/style.css").await;
    assert!(head.contains("max-age=60"), "another build may have another one: {head}");
    let again = format!("GET {link} HTTP/1.1\r\nHost: x\r\nIf-None-Match: {tag}\r\nConnection: close\r\n\r\n");
    let answer = raw(&server, again.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 304 ") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn reload_answers_with_what_came_of_it() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let reload: Reload = Box::new(move || {
        let call = counted.fetch_add(1, Ordering::SeqCst);
        let refused = ReloadRefused { settings: Some("line 3: no such key \"intervall\"".to_owned()), web: None };
        Box::pin(async move { if call == 0 { Ok(()) } else { Err(refused) } })
    });
    let server = start(reload, Limits::default());
    assert_eq!(ask(&server, "POST", "/-/reload").await.0, 200);
    let (status, head, body) = ask(&server, "POST", "/-/reload").await;
    assert_eq!(status, 500);
    assert!(body.contains("line 3: no such key \"intervall\"") && head.contains("text/plain"), "{head} {body}");
    let foreign = b"POST /-/reload HTTP/1.1\r\nHost: x\r\nSec-Fetch-Site: cross-site\r\nConnection: close\r\n\r\n";
    assert!(raw(&server, foreign).await.starts_with("HTTP/1.1 403 "));
    let foreign = b"POST /-/reload HTTP/1.1\r\nHost: x\r\nOrigin: http://y\r\nConnection: close\r\n\r\n";
    assert!(raw(&server, foreign).await.starts_with("HTTP/1.1 403 "));
    let foreign =
        b"POST /api/v1/domains/a.example/probe HTTP/1.1\r\nHost: x\r\nOrigin: http://y\r\nConnection: close\r\n\r\n";
    let said = raw(&server, foreign).await;
    assert!(said.starts_with("HTTP/1.1 403 ") && said.contains("{\"error\":\"not from another site"), "{said}");
    let rebound =
        b"POST /-/reload HTTP/1.1\r\nHost: evil.example\r\nOrigin: http://evil.example\r\nConnection: close\r\n\r\n";
    let said = raw(&server, rebound).await;
    assert!(said.starts_with("HTTP/1.1 403 ") && said.contains("--web.external-url"), "{said}");
    let probe = |site: &str| {
        format!(
            "GET /probe?target=a.example HTTP/1.1\r\nHost: x\r\nSec-Fetch-Site: {site}\r\nConnection: close\r\n\r\n"
        )
    };
    assert!(raw(&server, probe("cross-site").as_bytes()).await.starts_with("HTTP/1.1 403 "));
    assert!(raw(&server, probe("none").as_bytes()).await.starts_with("HTTP/1.1 503 "), "nobody could look here");
    assert_eq!(ask(&server, "GET", "/-/reload").await.0, 405);
    assert_eq!(calls.load(Ordering::SeqCst), 2, "only what is allowed calls it");
}

#[tokio::test]
async fn a_request_has_limits() {
    let server = started();
    let empty = b"POST /-/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    assert!(raw(&server, empty).await.starts_with("HTTP/1.1 200 "), "an empty body is none");
    let body = b"POST /-/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nabcd";
    assert!(raw(&server, body).await.starts_with("HTTP/1.1 413 "));
    let chunked = b"GET /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert!(raw(&server, chunked).await.starts_with("HTTP/1.1 413 "));
    let post = |body: &str| {
        let head = "POST /-/reload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
        format!("{head}{body}")
    };
    assert!(raw(&server, post("0\r\n\r\n").as_bytes()).await.starts_with("HTTP/1.1 200 "), "no chunk is no body");
    assert!(raw(&server, post("1\r\na\r\n0\r\n\r\n").as_bytes()).await.starts_with("HTTP/1.1 413 "));
    let (status, ..) = ask(&server, "GET", &format!("/{}", "a".repeat(4000))).await;
    assert_eq!(status, 414);
    // Just as much as fits, so that no reset overtakes the answer.
    let header = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}", "a".repeat(16 << 10));
    let answer = raw(&server, &header.as_bytes()[..16 << 10]).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    assert!(
        raw(&server, b"\x16\x03\x01\x02\x00\x01\r\n\r\n").await.starts_with("HTTP/1.1 400 "),
        "TLS to a plain port"
    );
}

#[tokio::test]
async fn a_connection_does_not_live_for_ever() {
    let server = start(no_reload(), Limits { lifetime: Duration::from_millis(50), ..Limits::default() });
    let answer = raw(&server, b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(answer.ends_with("Healthy.\n"), "{answer}");
}

#[tokio::test]
async fn an_answer_under_way_outlives_its_connection_s_time_but_not_the_server() {
    const SHORT: Duration = Duration::from_millis(50);
    let takes = |time: Duration| -> Reload {
        Box::new(move || {
            Box::pin(async move {
                tokio::time::sleep(time).await;
                Ok(())
            })
        })
    };
    let long = Duration::from_secs(3600);
    let request = b"POST /-/reload HTTP/1.1\r\nHost: x\r\n\r\nGET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n";
    let limits = Limits { lifetime: SHORT, grace: SHORT, answer: long, ..Limits::default() };
    let answer = raw(&start(takes(SHORT * 8), limits), request).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("was loaded.\n"), "and no further one: {answer}");
    let answer = raw(&start(takes(long), Limits { answer: SHORT, ..limits }), request).await;
    assert_eq!(answer, "", "no answer takes for ever");
    let server = start(takes(long), limits);
    let (answer, ()) = tokio::join!(raw(&server, request), async {
        tokio::time::sleep(SHORT * 4).await;
        server.shutdown.cancel();
    });
    assert_eq!(answer, "");
    server.task.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_scrapers_keep_their_connections() {
    let server = started();
    let scrapers = (0..200).map(|_| async {
        let mut sender = connect(server.address).await;
        let mut bytes = Vec::new();
        for _ in 0..3 {
            sender.ready().await.unwrap();
            let response = sender.send_request(get("/metrics")).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert!(body.ends_with(b"\n"));
            bytes.push(body.windows(13).filter(|window| window == b"\nsmtptls_sts_").count());
        }
        bytes
    });
    let all: Vec<Vec<usize>> = join_all(scrapers).await;
    let first = all[0][0];
    assert!(first > 0);
    assert!(all.iter().flatten().all(|count| *count == first), "every scrape is whole");
}

#[tokio::test]
async fn a_shutdown_ends_idle_connections_and_the_server() {
    let server = started();
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"Healthy.\n") {
        assert!(idle.read_buf(&mut answer).await.unwrap() > 0, "closed too early");
    }
    server.shutdown.cancel();
    server.task.await.unwrap();
    assert_eq!(idle.read_to_end(&mut answer).await.unwrap(), 0, "nothing more, and closed");
    assert!(TcpStream::connect(server.address).await.is_err(), "nobody listens");
}

#[test]
fn a_path_of_the_metrics_is_a_path() {
    for good in ["/metrics", "/", "/a/b-c_d.e~f"] {
        assert_eq!(good.parse::<MetricsPath>().unwrap().as_str(), good);
    }
    for bad in ["", "metrics", "/-/ready", "/a b", "/a?b", "/a#b", "/\"", "/ä"] {
        assert!(bad.parse::<MetricsPath>().is_err(), "{bad}");
    }
}
