//! What small posts leave behind in memory.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
};

use crate::{
    reports::made::gzip,
    serve::{PATIENCE, Served},
    world::mail_world::MailWorld,
};

/// So many rounds of each kind of body.
const ROUNDS: usize = 10;
const MIB: f64 = 1024.0 * 1024.0;

/// What stays of each kind, MiB: nothing, but for what any work takes once. Where the memory that reports were unpacked in stays with the
/// thread, it is tens of megabytes for each thread.
const MOST: f64 = 20.0;

async fn memory(served: &Served) -> f64 {
    let (_, metrics) = served.get("/metrics").await;
    let line = metrics.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
    line.unwrap().parse().unwrap()
}

/// How much more memory there is than `before`, MiB, once it is at most so much: the allocator gives back within ten seconds.
async fn grown(served: &Served, before: f64, most: f64) -> f64 {
    let end = Instant::now() + PATIENCE;
    loop {
        let grown = (memory(served).await - before) / MIB;
        if grown <= most || Instant::now() > end {
            return grown;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn post(address: SocketAddr, body: &[u8]) -> u16 {
    let mut stream = TcpSocket::new_v4().unwrap().connect(address).await.unwrap();
    let head =
        format!("POST /tlsrpt HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

/// Each has less than 128 kB and unpacks to nearly all that is allowed.
#[tokio::test]
async fn small_posts_that_unpack_to_much_leave_little_behind() {
    let world = MailWorld::start().await;
    let _domain = world.domain("example.com").await;
    let served = Served::start(&world.config_file("reports: {http: {path: /tlsrpt}}\ndomains: [example.com]\n")).await;
    let end = Instant::now() + PATIENCE;
    while served.get("/-/ready").await.0 != 200 {
        assert!(Instant::now() < end, "it is never ready");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let bomb = gzip(&vec![b' '; 60 << 20]);
    let before = memory(&served).await;
    for _ in 0..ROUNDS {
        assert_eq!(post(served.address(), &bomb).await, 413);
    }
    let left = grown(&served, before, MOST).await;
    eprintln!("{ROUNDS} bombs: {left:.0} MiB more resident memory");
    assert!(left <= MOST, "{left}");

    let text = |unit: &str| format!("{{\"organization-name\":\"{}\"}}", unit.repeat((24 << 20) / unit.len()));
    let policies = format!("{{\"policies\":[{}{{}}]}}", "{},".repeat(1_000_000));
    let bodies: Vec<_> = [text("a"), text("\\ud83d"), "{\"a\":".repeat(4 << 20), policies]
        .iter()
        .map(|body| gzip(body.as_bytes()))
        .collect();
    assert!(bodies.iter().all(|body| body.len() < 128 << 10));
    let before = memory(&served).await;
    for _ in 0..ROUNDS {
        for body in &bodies {
            assert!([201, 400].contains(&post(served.address(), body).await));
        }
    }
    let left = grown(&served, before, MOST).await;
    eprintln!("{} small posts: {left:.0} MiB more resident memory", ROUNDS * bodies.len());
    assert!(left <= MOST, "{left}");
}
