//! Peers that are slow, silent or many: what they hold, and for how long.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};
use tokio::{net::TcpSocket, time::timeout};

use super::*;
use crate::monitor::DropReason;

/// Longer than any machine needs; what is waited for ends before.
const PATIENCE: Duration = Duration::from_secs(60);

fn quick() -> Limits {
    Limits { header: Duration::from_millis(300), idle: Duration::from_millis(300), ..Limits::default() }
}

fn counted(server: &Server, name: &str, reason: &str) -> f64 {
    let families = server.app.telemetry().gather();
    let family = families.iter().find(|family| family.name() == name).unwrap();
    let of = |metric: &&prometheus::proto::Metric| metric.get_label().iter().all(|label| label.value() == reason);
    let metric = family.get_metric().iter().find(of).unwrap();
    metric.get_counter().get_value() + metric.get_gauge().get_value()
}

fn dropped(server: &Server, reason: DropReason) -> f64 {
    counted(server, "smtptls_http_connections_dropped_total", reason.as_str())
}

fn open(server: &Server) -> f64 {
    counted(server, "smtptls_http_connections", "")
}

async fn until(what: impl Fn() -> bool) {
    let waiting = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("it does not come");
}

/// A connection from an address of this host.
async fn from(address: Ipv4Addr, server: &Server) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((address, 0).into()).unwrap();
    socket.connect(server.address).await.unwrap()
}

#[tokio::test]
async fn a_header_that_does_not_end_is_408_and_silence_is_no_request() {
    let server = start(no_reload(), Limits { idle: PATIENCE, ..quick() });
    let half = raw(&server, b"GET / HTTP/1.1\r\nHo").await;
    assert!(half.starts_with("HTTP/1.1 408 ") && half.contains("Connection: close"), "{half}");
    assert_eq!(raw(&server, b"").await, "");
    until(|| dropped(&server, DropReason::Slow) == 2.0 && open(&server) == 0.0).await;
    // A second header is a header too.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"Healthy.\n") {
        assert!(stream.read_buf(&mut answer).await.unwrap() > 0, "closed too early");
    }
    stream.write_all(b"GET / HT").await.unwrap();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the server never closes").unwrap();
    assert!(String::from_utf8_lossy(&answer).contains("Healthy.\nHTTP/1.1 408 "));
}

#[tokio::test]
async fn a_header_that_drips_has_no_more_time_than_one_that_does_not_come() {
    let server = start(no_reload(), quick());
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let begun = Instant::now();
    let mut letters = b"GET / HTTP/1.1\r\nX: ".iter().chain(std::iter::repeat(&b'a'));
    // Fails once the server has closed and said so.
    while stream.write_all(&[*letters.next().unwrap()]).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(begun.elapsed() < PATIENCE, "the server never closes");
    }
    assert_eq!(dropped(&server, DropReason::Slow), 1.0);
}

#[tokio::test]
async fn an_idle_connection_is_closed_later_than_one_that_owes_a_header() {
    let server = start(no_reload(), Limits { header: Duration::from_millis(100), ..quick() });
    let begun = Instant::now();
    let idle = raw(&server, b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(idle.starts_with("HTTP/1.1 200 ") && idle.ends_with("Healthy.\n"), "{idle}");
    assert!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
    assert_eq!(dropped(&server, DropReason::Slow), 0.0, "who asks nothing any more is not slow");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_slow_peers_do_not_keep_a_scrape_waiting() {
    rlimit::increase_nofile_limit(8192).unwrap();
    let server = started();
    let mut held = Vec::new();
    // Half of them from one address, that of the scrape, the rest from a thousand: each of the two limits is reached.
    for number in 0..1000_u32 {
        let [_, _, high, low] = number.to_be_bytes();
        for address in [Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 1, high, low)] {
            let mut stream = from(address, &server).await;
            // One that was displaced already takes nothing.
            let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Slow: ").await;
            held.push(stream);
        }
    }
    let limits = Limits::default();
    for _ in 0..10 {
        let begun = Instant::now();
        let (status, _, body) = ask(&server, "GET", "/metrics").await;
        let took = begun.elapsed();
        assert!(status == 200 && body.contains("smtptls_build_info"), "{status}");
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
    let most = limits.connections as f64;
    assert!(open(&server) <= most + 64.0, "{}", open(&server));
    assert!(dropped(&server, DropReason::Displaced) >= 2000.0 - most);
    drop(held);
}

#[tokio::test]
async fn who_asks_nothing_makes_room_and_who_asked_is_answered() {
    let server = start(no_reload(), Limits { connections: 2, ..Limits::default() });
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"Healthy.\n") {
        assert!(idle.read_buf(&mut answer).await.unwrap() > 0, "closed too early");
    }
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    until(|| open(&server) == 2.0).await;
    assert_eq!(ask(&server, "GET", "/-/healthy").await.0, 200);
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap_or(0), 0, "whoever never asked went first");
    idle.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(idle.read(&mut [0; 1]).await.unwrap() > 0, "it kept its place");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_never_reads_is_cut_off() {
    let server = start(no_reload(), Limits { reading: Duration::from_secs(2), ..Limits::default() });
    server.app.publish(Arc::new(shown()));
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&server.address.into()).unwrap();
    socket.set_nonblocking(true).unwrap();
    let mut stream = TcpStream::from_std(socket.into()).unwrap();
    // 17 MB of answers, more than any buffer of a socket takes; they are made one after the other, as they are read.
    let request = b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(200);
    stream.write_all(&request).await.unwrap();
    until(|| dropped(&server, DropReason::Slow) == 1.0 && open(&server) == 0.0).await;
    let mut came = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut came)).await.expect("the server never closes");
    assert!(came.len() < 16 << 20, "{}", came.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_slowly_but_reads_gets_all_of_it() {
    let server = start(no_reload(), Limits { reading: Duration::from_secs(3), ..Limits::default() });
    server.app.publish(Arc::new(shown()));
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(64 << 10).unwrap();
    socket.connect(&server.address.into()).unwrap();
    socket.set_nonblocking(true).unwrap();
    let mut stream = TcpStream::from_std(socket.into()).unwrap();
    let mut request = b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(99);
    request.extend(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(&request).await.unwrap();
    let (mut came, mut buffer) = (Vec::new(), vec![0; 128 << 10]);
    loop {
        match timeout(PATIENCE, stream.read(&mut buffer)).await.unwrap().unwrap() {
            0 => break,
            count => came.extend_from_slice(&buffer[..count]),
        }
        // A second and more for what the limit counts, on the whole.
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    assert_eq!(came.windows(9).filter(|window| window == b"HTTP/1.1 ").count(), 100);
    assert!(came.ends_with(b"Healthy.\n"));
    assert_eq!(dropped(&server, DropReason::Slow), 0.0);
}

#[tokio::test]
async fn who_hangs_up_holds_nothing() {
    let server = started();
    let mut gone = TcpStream::connect(server.address).await.unwrap();
    gone.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n").await.unwrap();
    until(|| open(&server) == 1.0).await;
    gone.shutdown().await.unwrap();
    until(|| open(&server) == 0.0).await;
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(idle.read(&mut [0; 4096]).await.unwrap() > 0);
    idle.shutdown().await.unwrap();
    until(|| open(&server) == 0.0).await;
}

#[tokio::test]
async fn one_address_that_holds_all_its_places_takes_none_from_others() {
    let server = start(no_reload(), Limits { connections_of_one: 3, ..Limits::default() });
    let mut held = Vec::new();
    for _ in 0..10 {
        held.push(from(Ipv4Addr::new(127, 0, 0, 2), &server).await);
    }
    until(|| dropped(&server, DropReason::Displaced) == 7.0).await;
    until(|| open(&server) == 3.0).await;
    assert_eq!(ask(&server, "GET", "/-/healthy").await.0, 200);
    assert_eq!(dropped(&server, DropReason::Displaced), 7.0);
}
