//! What strangers send to harm: memory, labels and scrapes stay as they are.

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use smtptls_exporter::{
    config::ReportAuthentication,
    facts::Transport,
    metrics::{Blocks, Exposition, Level},
    monitor::{Receipt, Telemetry},
    protocol::tls_rpt::RefusalReason,
    store::Filed,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    intake::{Bench, authentication, fresh, taken},
    intake_posts::Posted,
    made::{REPORT, gzip, with},
};

/// A report of an organization that nobody knows.
fn forged(number: usize) -> String {
    let organization = format!(r#"Sender \"{number}\"\n{{x=\"y\"}} \\"#);
    fresh(&with("Sender", &organization))
        .replace("tls@sender.test", &format!("tls@r{number}.test"))
        .replace("r1", &format!("id-{number}"))
}

async fn page(bench: &Bench) -> String {
    tokio::time::sleep(Duration::from_millis(600)).await;
    let exposition = Exposition::new(Blocks::new(Level::Normal));
    exposition.update(Arc::clone(&bench.monitor.snapshots().borrow()));
    let page = exposition.body(&Telemetry::new().unwrap());
    let page = String::from_utf8(page.to_vec()).unwrap();
    // What the exporter counts of itself is told elsewhere.
    page.lines().filter(|line| line.contains("{domain=\"")).map(|line| format!("{line}\n")).collect()
}

/// peers.md 13: by POST, where nothing proves anything, and by files that are believed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_organizations_make_no_series() {
    for (transport, how, count) in
        [(Transport::Https, ReportAuthentication::Dkim, 2_000), (Transport::File, ReportAuthentication::None, 10_000)]
    {
        let bench = Bench::start(authentication(how)).await;
        taken(&bench.submit(transport, forged(0)).await, &[Filed::New]);
        let series = |page: &str| page.lines().filter(|line| line.starts_with("smtptls_tlsrpt_")).count();
        let before = series(&page(&bench).await);
        let intake = bench.intake();
        let mut refused = 0;
        for some in (1..count).collect::<Vec<_>>().chunks(500) {
            let all = some.iter().map(|number| intake.submit(super::intake::raw(transport, forged(*number))));
            for receipt in futures_util::future::join_all(all).await {
                match receipt {
                    Receipt::Taken(_) => {}
                    Receipt::Refused(refusal) if refusal.reason == RefusalReason::RateLimited => refused += 1,
                    other => panic!("{other:?}"),
                }
            }
        }
        let after = page(&bench).await;
        assert_eq!(series(&after), before, "{transport:?}\n{after}");
        assert!(!after.contains(r"Sender") && !after.contains("r77.test"), "no name of theirs");
        let reports = bench.counted().await.reports.values().sum::<u64>();
        assert_eq!(reports + refused, count as u64);
        bench.monitor.stop().await;
    }
}

/// The resident memory of this process in bytes.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// A hundred senders that promise much and send little hold little, and no scrape waits for them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_slow_posts_hold_little_and_stop_no_scrape() {
    let served = Posted::start().await;
    let scrape = async || {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        let asked = Instant::now();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200 "));
        asked.elapsed()
    };
    let idle = scrape().await;
    let before = resident();
    let mut slow = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(b"POST /tlsrpt HTTP/1.1\r\nHost: x\r\nContent-Length: 15000000\r\n\r\n").await.unwrap();
        stream.write_all(&[b' '; 1000]).await.unwrap();
        slow.push(stream);
    }
    let mut turned_away = 0;
    for stream in &mut slow {
        let mut head = [0; 12];
        if tokio::time::timeout(Duration::from_millis(100), stream.read_exact(&mut head))
            .await
            .is_ok_and(|read| read.is_ok())
        {
            assert_eq!(&head, b"HTTP/1.1 503");
            turned_away += 1;
        }
    }
    assert_eq!(turned_away, 36, "so many are beyond the bound of 64");
    // Generous: other tests run beside this one.
    let meanwhile = scrape().await;
    assert!(meanwhile < idle * 20 + Duration::from_secs(5), "{meanwhile:?}, {idle:?} before");
    let grown = resident().saturating_sub(before);
    eprintln!(
        "100 slow POSTs: {} KiB more resident memory; a scrape took {meanwhile:?}, {idle:?} before",
        grown / 1024
    );
    drop(slow);
    let answer = served.post("", fresh(REPORT).as_bytes()).await;
    assert!([201, 503].contains(&answer.status), "{answer:?}");
    served.end().await;
}

/// Many bombs at once are looked at a few at a time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_bombs_at_once_are_refused_a_few_at_a_time() {
    let bench = Bench::start(|_| {}).await;
    let bomb = gzip(&vec![b'['; 200 << 20]);
    let intake = bench.intake();
    let before = resident();
    let all = (0..50).map(|_| intake.submit(super::intake::raw(Transport::Https, bomb.clone())));
    let receipts = futures_util::future::join_all(all).await;
    let grown = resident().saturating_sub(before);
    eprintln!("50 bombs of 200 MB at once: {} MiB more resident memory", grown >> 20);
    for receipt in receipts {
        assert!(
            matches!(&receipt, Receipt::Refused(refusal) if refusal.reason == RefusalReason::TooLarge),
            "{receipt:?}"
        );
    }
    bench.monitor.stop().await;
}

/// A peer that hangs up frees nothing that is still taken: what it sent is read to its end, in its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_hangs_up_keeps_the_place_until_the_work_is_done() {
    const POSTS: usize = 150;
    const MOST: u64 = 400 << 20;
    let served = Posted::start().await;
    let detail = r#"{"result-type":"validation-failure","failed-session-count":1,"failure-reason-code":"x"},"#;
    let details = detail.repeat((20 << 20) / detail.len());
    let large = fresh(REPORT).replacen(r#""failure-details":["#, &format!(r#""failure-details":[{details}"#), 1);
    assert!(large.len() > 20 << 20, "{}", large.len());
    let body = gzip(large.as_bytes());
    let head = format!("POST /tlsrpt HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
    let before = resident();
    let mut most = 0;
    for _ in 0..POSTS {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        // It may be turned away before all is sent.
        if stream.write_all(head.as_bytes()).await.is_ok() && stream.write_all(&body).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        drop(stream);
        most = most.max(resident().saturating_sub(before));
    }
    eprintln!("{POSTS} posts of 20 MB that hang up: {} MiB more resident memory at most", most >> 20);
    assert!(most < MOST, "{} MiB", most >> 20);
    served.end().await;
}
