//! Fetches of policies from hosts that behave, misbehave and attack.

use std::{net::IpAddr, sync::Arc, time::Duration};

use smtptls_exporter::{
    facts::{
        AddressLookup, Asked, ConnectFailure, FetchFailure, FetchPhase, Lookup, LookupOutcome, PathToRoot, PolicyFetch,
        PolicyHostObservation, Security, TlsFailure,
    },
    net::{self, DialOptions, FetchOptions, FetchTimeouts, MAX_BODY, PolicyFetcher, TlsClient},
    protocol::tls::{Roots, names_match},
};

use super::world::{
    https::{Answer, AtAccept, HttpsPeer, head},
    pki::{Leaf, Pki},
};

const HOST: &str = "mta-sts.example.com";
const POLICY: &str = "version: STSv1\nmode: enforce\nmx: mx.example.com\nmax_age: 86400\n";

/// Long enough for a loaded machine where a phase has to succeed.
const LONG: Duration = Duration::from_secs(60);
/// For the one phase that has to time out.
const SHORT: Duration = Duration::from_millis(150);
/// For a limit that earlier phases share, which have to succeed.
const MODERATE: Duration = Duration::from_secs(2);

const PATIENT: FetchTimeouts =
    FetchTimeouts { connect: LONG, tls: LONG, processing: LONG, transfer: LONG, total: LONG };

fn options(port: u16, timeouts: FetchTimeouts) -> FetchOptions {
    FetchOptions {
        port,
        contact: Some("mailto:ops@example.net".into()),
        max_addresses: 20,
        dial: DialOptions { allow_private_addresses: true },
        timeouts,
    }
}

fn lookup(addresses: &[IpAddr]) -> AddressLookup {
    let of = |family: fn(&IpAddr) -> bool| Lookup {
        name: HOST.into(),
        at: net::now(),
        outcome: LookupOutcome::Records { records: addresses.iter().copied().filter(family).collect(), ttl: 300 },
        cname: Vec::new(),
        security: Security::Insecure,
        signatures: None,
        message_bytes: 0,
        extended_errors: Vec::new(),
        asked: Asked::default(),
    };
    AddressLookup { ip4: Some(of(IpAddr::is_ipv4)), ip6: Some(of(IpAddr::is_ipv6)) }
}

async fn fetch_all(roots: Roots, options: FetchOptions, addresses: &[IpAddr]) -> PolicyHostObservation {
    let fetcher = PolicyFetcher::new(Arc::new(TlsClient::new(roots).unwrap()), options);
    fetcher.fetch(HOST, lookup(addresses), Duration::from_millis(3), |_| std::future::ready(())).await
}

async fn fetch_peer(peer: &HttpsPeer, roots: Roots, timeouts: FetchTimeouts) -> PolicyFetch {
    let seen = fetch_all(roots, options(peer.port(), timeouts), &[peer.ip()]).await;
    assert_eq!(seen.fetches.len(), 1);
    seen.fetches.into_iter().next().unwrap()
}

/// Fetches from a peer that answers so.
async fn fetch(timeouts: FetchTimeouts, answer: Answer) -> PolicyFetch {
    let pki = Pki::new();
    let peer = HttpsPeer::start().await;
    peer.serve(HOST, &pki.identity(&[HOST]), answer);
    fetch_peer(&peer, pki.roots(), timeouts).await
}

fn plain() -> Vec<u8> {
    head("200 OK", &[("Content-Type", "text/plain")])
}

#[tokio::test]
async fn a_policy() {
    let pki = Pki::new();
    let peer = HttpsPeer::start().await;
    peer.serve(HOST, &pki.identity(&[HOST]), Answer::policy(POLICY));
    let seen = fetch_all(pki.roots(), options(peer.port(), PATIENT), &[peer.ip()]).await;
    assert_eq!((seen.host.as_str(), seen.resolve, seen.skipped), (HOST, Duration::from_millis(3), 0));
    let fetch = &seen.fetches[0];
    assert_eq!(fetch.failure, None);
    let response = fetch.response.as_ref().unwrap();
    assert_eq!((response.status, response.body.to_text().as_str()), (200, POLICY));
    assert_eq!(response.content_type, Some("text/plain".into()));
    let chain = &fetch.tls.as_ref().unwrap().chain;
    assert!(chain.path.is_trusted() && names_match(&chain.leaf.names, HOST));
    let times = fetch.times;
    assert!([times.connect, times.tls, times.processing, times.transfer].iter().all(Option::is_some));

    let requests = peer.requests();
    assert_eq!((requests.len(), peer.connections()), (1, 1));
    assert_eq!(requests[0].server_name.as_deref(), Some(HOST));
    let head = requests[0].head.to_ascii_lowercase();
    assert!(head.starts_with("get /.well-known/mta-sts.txt http/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("\r\nhost: {HOST}:{}\r\n", peer.port())), "{head}");
    assert!(head.contains("\r\nuser-agent: smtptls-exporter/"), "{head}");
    assert!(head.contains("(+mailto:ops@example.net)\r\n"), "{head}");
    for unwanted in ["accept-encoding", "if-", "cache-control", "cookie"] {
        assert!(!head.contains(&format!("\r\n{unwanted}")), "{head}");
    }
}

#[tokio::test]
async fn the_name_chooses_the_site() {
    let pki = Pki::new();
    let peer = HttpsPeer::start().await;
    peer.serve("mta-sts.example.org", &pki.identity(&["mta-sts.example.org"]), Answer::policy("other"));
    peer.serve(HOST, &pki.identity(&[HOST]), Answer::policy(POLICY));
    let seen = fetch_peer(&peer, pki.roots(), PATIENT).await;
    assert_eq!(seen.response.unwrap().body.to_text(), POLICY);
}

#[tokio::test]
async fn a_name_that_the_host_does_not_serve() {
    let peer = HttpsPeer::start().await;
    let seen = fetch_peer(&peer, Roots::default(), PATIENT).await;
    assert!(matches!(seen.failure, Some(FetchFailure::Tls(TlsFailure::Alert(_)))), "{:?}", seen.failure);
}

#[tokio::test]
async fn a_bad_certificate_hides_no_other_fault() {
    let pki = Pki::new();
    for leaf in [
        Leaf::named(&[HOST]).expired(),
        Leaf::named(&[HOST]).self_signed(),
        Leaf::named(&[HOST]).without_intermediate(),
        Leaf::named(&["mta-sts.example.org"]),
        Leaf::common_name_only(HOST),
    ] {
        let peer = HttpsPeer::start().await;
        peer.serve(HOST, &pki.issue(&leaf), Answer::status("404 Not Found", &[], b"nothing here"));
        let seen = fetch_peer(&peer, pki.roots(), PATIENT).await;
        assert_eq!(seen.response.map(|response| response.status), Some(404), "{leaf:?}");
        assert!(seen.tls.is_some() && seen.failure.is_none());
    }
    let peer = HttpsPeer::start().await;
    peer.serve(HOST, &pki.issue(&Leaf::named(&[HOST]).without_intermediate()), Answer::policy(POLICY));
    let seen = fetch_peer(&peer, pki.roots(), PATIENT).await;
    assert_eq!(seen.tls.unwrap().chain.path, PathToRoot::MissingIntermediate);
}

#[tokio::test]
async fn only_a_200_has_a_body_and_redirects_are_not_followed() {
    let pki = Pki::new();
    let peer = HttpsPeer::start().await;
    let location = format!("https://{HOST}:{}/.well-known/mta-sts.txt/", peer.port());
    peer.serve(HOST, &pki.identity(&[HOST]), Answer::redirect(&location));
    let seen = fetch_peer(&peer, pki.roots(), PATIENT).await;
    let response = seen.response.unwrap();
    assert_eq!((response.status, response.location), (301, Some(location.as_str().into())));
    assert!(response.body.as_bytes().is_empty() && seen.failure.is_none());
    assert_eq!(peer.connections(), 1);
    for status in ["204 No Content", "304 Not Modified", "404 Not Found", "503 Busy"] {
        let response = fetch(PATIENT, Answer::status(status, &[], b"")).await.response.unwrap();
        assert!(status.starts_with(&response.status.to_string()) && response.body.as_bytes().is_empty());
    }
}

#[tokio::test]
async fn headers_are_facts() {
    let headers = [
        ("Content-Type", "text/html"),
        ("Content-Encoding", "gzip"),
        ("Age", "120"),
        ("Cache-Control", "public, max-age=3600"),
    ];
    let response = fetch(PATIENT, Answer::status("200 OK", &headers, b"\x1f\x8b")).await.response.unwrap();
    assert_eq!(response.content_type, Some("text/html".into()));
    assert_eq!(response.content_encoding, Some("gzip".into()));
    assert_eq!((response.age, response.cache_max_age), (Some(120), Some(3600)));
    assert_eq!(response.body.as_bytes(), b"\x1f\x8b");
}

#[tokio::test]
async fn every_framing_of_a_body() {
    let mut chunked = head("200 OK", &[("Transfer-Encoding", "chunked")]);
    chunked.extend_from_slice(b"\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    let mut until_the_end = plain();
    until_the_end.extend_from_slice(b"\r\nabcde");
    for bytes in [chunked, until_the_end] {
        let seen = fetch(PATIENT, Answer::Send(bytes)).await;
        assert_eq!((seen.failure, seen.response.unwrap().body.to_text().as_str()), (None, "abcde"));
    }
    let short = Answer::Send([plain(), b"Content-Length: 10\r\n\r\nabc".to_vec()].concat());
    let seen = fetch(PATIENT, short).await;
    assert!(
        matches!(seen.failure, Some(FetchFailure::Http { phase: FetchPhase::Transfer, .. })),
        "a body that broke off is no policy: {:?}",
        seen.failure
    );
}

#[tokio::test]
async fn the_body_has_a_limit() {
    let fits = fetch(PATIENT, Answer::status("200 OK", &[], &vec![b'x'; MAX_BODY])).await;
    assert_eq!((fits.failure, fits.response.unwrap().body.as_bytes().len()), (None, MAX_BODY));
    let over = fetch(PATIENT, Answer::status("200 OK", &[], &vec![b'x'; MAX_BODY + 1])).await;
    assert_eq!((over.failure, over.response.unwrap().body.as_bytes().len()), (Some(FetchFailure::TooLarge), MAX_BODY));
    let endless = Answer::Flood([plain(), b"\r\n".to_vec()].concat(), vec![b'x'; 16_384]);
    assert_eq!(fetch(PATIENT, endless).await.failure, Some(FetchFailure::TooLarge));
}

#[tokio::test]
async fn an_endless_header_ends() {
    for again in [&b"X-More: and more\r\n"[..], b"xxxxxxxxxxxxxxxx"] {
        let seen = fetch(PATIENT, Answer::Flood(plain(), again.to_vec())).await;
        assert!(
            matches!(seen.failure, Some(FetchFailure::Http { phase: FetchPhase::Processing, .. })),
            "{:?}",
            seen.failure
        );
        assert!(seen.response.is_none());
    }
    // Of interim answers there may be any number (RFC 9110 §15.2), but not more than a connection may bring.
    let interim = Answer::Flood(Vec::new(), b"HTTP/1.1 100 Continue\r\n\r\n".to_vec());
    let seen = fetch(PATIENT, interim).await;
    let Some(FetchFailure::Http { phase: FetchPhase::Processing, what }) = seen.failure else {
        panic!("{:?}", seen.failure)
    };
    assert!(what.contains("more than 1048576 bytes"), "{what:?}");
}

#[tokio::test]
async fn silence_and_drips_end_at_the_deadline_of_their_phase() {
    let processing = FetchTimeouts { processing: SHORT, ..PATIENT };
    let transfer = FetchTimeouts { transfer: SHORT, ..PATIENT };
    let body = [plain(), b"Content-Length: 100000\r\n\r\nversion".to_vec()].concat();
    for (timeouts, answer, phase) in [
        (processing, Answer::Hang(Vec::new()), FetchPhase::Processing),
        (processing, Answer::Hang(plain()), FetchPhase::Processing),
        (processing, Answer::Drip(plain()), FetchPhase::Processing),
        (transfer, Answer::Hang(body.clone()), FetchPhase::Transfer),
        (transfer, Answer::Drip(body), FetchPhase::Transfer),
    ] {
        let seen = fetch(timeouts, answer.clone()).await;
        assert_eq!(seen.failure, Some(FetchFailure::Timeout(phase)), "{answer:?}");
        assert_eq!(seen.response.is_some(), phase == FetchPhase::Transfer);
        assert!(seen.tls.is_some());
    }
    let peer = HttpsPeer::start().await;
    peer.at_accept(AtAccept::Hang);
    let seen = fetch_peer(&peer, Roots::default(), FetchTimeouts { tls: SHORT, ..PATIENT }).await;
    assert_eq!(seen.failure, Some(FetchFailure::Timeout(FetchPhase::Tls)));
    let seen = fetch_peer(&peer, Roots::default(), FetchTimeouts { total: MODERATE, ..PATIENT }).await;
    assert_eq!(seen.failure, Some(FetchFailure::Timeout(FetchPhase::Tls)), "the total deadline holds, too");
}

#[tokio::test]
async fn what_is_no_tls_and_no_http() {
    let peer = HttpsPeer::start().await;
    peer.at_accept(AtAccept::ClearText);
    let seen = fetch_peer(&peer, Roots::default(), PATIENT).await;
    assert!(matches!(seen.failure, Some(FetchFailure::Tls(TlsFailure::NotTls(_)))), "{:?}", seen.failure);
    for at_accept in [AtAccept::Close, AtAccept::Reset] {
        peer.at_accept(at_accept);
        let failure = fetch_peer(&peer, Roots::default(), PATIENT).await.failure;
        // A reset right after the accept may come before the client has looked at its new connection.
        let early = failure == Some(FetchFailure::Connect(ConnectFailure::Reset));
        assert!(early || matches!(failure, Some(FetchFailure::Tls(TlsFailure::Closed(_)))), "{failure:?}");
    }
    for answer in [Answer::Send(b"220 mx ESMTP\r\n".to_vec()), Answer::Send(Vec::new()), Answer::Reset(Vec::new())] {
        let seen = fetch(PATIENT, answer.clone()).await;
        assert!(
            matches!(&seen.failure, Some(FetchFailure::Http { phase: FetchPhase::Processing, what }) if !what.is_empty()),
            "{answer:?}: {:?}",
            seen.failure
        );
    }
}

#[tokio::test]
async fn every_address_is_asked_up_to_the_cap() {
    let pki = Pki::new();
    let peer = HttpsPeer::start_at("0.0.0.0:0".parse().unwrap()).await;
    peer.serve(HOST, &pki.identity(&[HOST]), Answer::policy(POLICY));
    let addresses: Vec<IpAddr> = (1..=7).map(|last| IpAddr::from([127, 0, 0, last])).collect();
    let capped = FetchOptions { max_addresses: 5, ..options(peer.port(), PATIENT) };
    let seen = fetch_all(pki.roots(), capped, &addresses).await;
    assert_eq!(seen.skipped, 2);
    let asked: Vec<IpAddr> = seen.fetches.iter().map(|fetch| fetch.address).collect();
    assert_eq!(asked, &addresses[..5], "in the order of the lookup");
    assert!(seen.fetches.iter().all(|fetch| fetch.failure.is_none()));
    assert_eq!(peer.requests().len(), 5);
}

#[tokio::test]
async fn one_address_fails_and_another_works() {
    let pki = Pki::new();
    let peer = HttpsPeer::start().await;
    peer.serve(HOST, &pki.identity(&[HOST]), Answer::policy(POLICY));
    let addresses: [IpAddr; 3] = [peer.ip(), [127, 0, 0, 9].into(), "::1".parse().unwrap()];
    let seen = fetch_all(pki.roots(), options(peer.port(), PATIENT), &addresses).await;
    assert_eq!(seen.fetches[0].failure, None);
    for fetch in &seen.fetches[1..] {
        assert_eq!(fetch.failure, Some(FetchFailure::Connect(ConnectFailure::Refused)));
    }
}

#[tokio::test]
async fn private_addresses_are_left_alone() {
    let peer = HttpsPeer::start().await;
    let public_only = FetchOptions { dial: DialOptions::default(), ..options(peer.port(), PATIENT) };
    let seen = fetch_all(Roots::default(), public_only, &[peer.ip()]).await;
    assert_eq!(seen.fetches[0].failure, Some(FetchFailure::Connect(ConnectFailure::PrivateAddress)));
    assert_eq!(peer.connections(), 0);
}
