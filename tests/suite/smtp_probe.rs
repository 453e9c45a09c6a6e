//! Probes of mail hosts that behave, misbehave and attack.

use std::{net::IpAddr, sync::Arc, time::Duration};

use futures_util::future::join_all;
use rustls::version::{TLS12, TLS13};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use smtptls_exporter::{
    facts::{
        AddressObservation, ConnectFailure, PathToRoot, Phase, ProtocolFault, SmtpOutcome, TlsFailure, TlsVersion,
    },
    net::{self, DialOptions, SmtpOptions, SmtpProber, SmtpTimeouts, TlsClient},
    protocol::tls::{Roots, names_match},
    terms::MxHost,
};

use super::world::{
    pki::{self, ByName, Identity, Leaf, Pki},
    smtp::{Act, SmtpPeer, SmtpScript, TlsAct},
};

const HOST: &str = "mx.example.com";

/// Long enough for a loaded machine where a phase has to succeed.
const LONG: Duration = Duration::from_secs(60);
/// For the one phase that has to time out.
const SHORT: Duration = Duration::from_millis(150);
/// For a limit that earlier phases share, which have to succeed.
const MODERATE: Duration = Duration::from_secs(2);

const PATIENT: SmtpTimeouts = SmtpTimeouts { connect: LONG, banner: LONG, command: LONG, tls: LONG, total: LONG };

fn prober(roots: Roots, port: u16, timeouts: SmtpTimeouts) -> SmtpProber {
    let options = SmtpOptions {
        port,
        helo_name: Some("probe.example".into()),
        dial: DialOptions { allow_private_addresses: true },
        timeouts,
    };
    SmtpProber::new(Arc::new(TlsClient::new(roots).unwrap()), options)
}

fn host() -> MxHost {
    MxHost::parse(HOST).unwrap()
}

async fn probe_peer(peer: &SmtpPeer, roots: Roots, timeouts: SmtpTimeouts) -> AddressObservation {
    prober(roots, peer.port(), timeouts).probe(&host(), peer.ip()).await
}

/// Probes a peer that differs from a good one as `change` says.
async fn probe_with(timeouts: SmtpTimeouts, change: impl FnOnce(&mut SmtpScript)) -> (AddressObservation, SmtpPeer) {
    let pki = Pki::new();
    let mut script = SmtpScript::good(&pki.identity(&[HOST]));
    change(&mut script);
    let peer = SmtpPeer::start(script).await;
    let seen = probe_peer(&peer, pki.roots(), timeouts).await;
    assert!(!peer.commands().iter().any(|command| command.starts_with("MAIL")));
    (seen, peer)
}

async fn outcome(timeouts: SmtpTimeouts, change: impl FnOnce(&mut SmtpScript)) -> SmtpOutcome {
    probe_with(timeouts, change).await.0.outcome
}

async fn probe_identity(pki: &Pki, identity: &Identity) -> AddressObservation {
    let peer = SmtpPeer::start(SmtpScript::good(identity)).await;
    probe_peer(&peer, pki.roots(), PATIENT).await
}

fn error(phase: Phase, fault: ProtocolFault) -> SmtpOutcome {
    SmtpOutcome::ProtocolError { phase, fault }
}

#[tokio::test]
async fn a_good_host() {
    let (seen, peer) = probe_with(PATIENT, |_| {}).await;
    assert_eq!(seen.outcome, SmtpOutcome::Done);
    assert_eq!(seen.host, host());
    assert_eq!(seen.banner, Some("mx.example ESMTP".into()));
    assert_eq!(seen.capabilities, Some(vec!["SIZE".into(), "STARTTLS".into(), "8BITMIME".into()]));
    assert!(!seen.cleartext_after_starttls);
    let tls = seen.tls.unwrap();
    assert_eq!(tls.version, TlsVersion::Tls13);
    assert!(tls.cipher.starts_with("TLS_AES_") || tls.cipher.starts_with("TLS_CHACHA20_"), "{}", tls.cipher);
    assert_eq!(tls.chain.path, PathToRoot::Trusted { not_after: tls.chain.leaf.not_after });
    assert!(names_match(&tls.chain.leaf.names, HOST));
    assert_eq!((tls.chain.others.len(), tls.chain.unreadable), (1, 0));
    let times = seen.times;
    assert!([times.connect, times.banner, times.ehlo, times.starttls, times.tls].iter().all(Option::is_some));
    assert!(times.ehlo_tls.is_some_and(|took| took <= seen.duration), "{times:?}");
    let said: Vec<_> = seen.said.iter().map(|said| (said.phase, said.command.as_str(), said.code, said.cut)).collect();
    assert_eq!(
        said,
        [
            (Phase::Banner, "", 220, false),
            (Phase::Ehlo, "EHLO probe.example", 250, false),
            (Phase::Starttls, "STARTTLS", 220, false),
            (Phase::EhloTls, "EHLO probe.example", 250, false),
        ]
    );
    assert!(seen.said[1].text.to_text().ends_with("\n8BITMIME"), "{:?}", seen.said[1].text);
    assert_eq!(peer.commands(), ["EHLO probe.example", "STARTTLS", "EHLO probe.example", "QUIT"]);
    assert_eq!(peer.connections(), 1);
}

#[tokio::test]
async fn over_ip6_too() {
    let pki = Pki::new();
    let peer = SmtpPeer::start_at("[::1]:0".parse().unwrap(), SmtpScript::good(&pki.identity(&[HOST]))).await;
    let seen = probe_peer(&peer, pki.roots(), PATIENT).await;
    assert_eq!((seen.outcome, seen.address), (SmtpOutcome::Done, "::1".parse::<IpAddr>().unwrap()));
}

#[tokio::test]
async fn either_version_alone() {
    let pki = Pki::new();
    for (version, expected) in [(&TLS12, TlsVersion::Tls12), (&TLS13, TlsVersion::Tls13)] {
        let peer = SmtpPeer::start(SmtpScript::with_versions(&pki.identity(&[HOST]), &[version])).await;
        let seen = probe_peer(&peer, pki.roots(), PATIENT).await;
        assert_eq!(seen.outcome, SmtpOutcome::Done);
        assert_eq!(seen.tls.unwrap().version, expected);
    }
}

#[tokio::test]
async fn odd_but_fine_replies() {
    for (banner, ehlo) in [
        ("220-mx.example\r\n220-no spam\r\n220 ready\r\n", "250-mx\r\n250-SIZE\r\n250 STARTTLS\r\n"),
        ("220\r\n", "250-mx\r\n250-starttls\r\n250 HELP\r\n"),
        ("220 x\n", "250-mx\n250-StartTls now\n250 HELP\n"),
    ] {
        let seen = outcome(PATIENT, |script| {
            script.banner = Act::say(banner);
            script.ehlo = Act::say(ehlo);
        });
        assert_eq!(seen.await, SmtpOutcome::Done, "{banner:?} {ehlo:?}");
    }
    let pieces = outcome(PATIENT, |script| script.banner = Act::SayInTwo(b"220-a\r\n22".to_vec(), b"0 b\r\n".to_vec()));
    assert_eq!(pieces.await, SmtpOutcome::Done);
}

/// RFC 5321 §4.2, §4.3.1: after the code everything is free text, and it may be missing.
#[tokio::test]
async fn banners_of_every_shape() {
    for banner in [
        &b"220 mx.example.com ESMTP\r\n"[..],
        b"220 mx.example.com ESMTP Postfix (Debian/GNU)\r\n",
        b"220 mx.example.com SMTP\r\n",
        b"220 mx.example.com\r\n",
        b"220 mx.example.com Microsoft ESMTP MAIL Service ready at Mon, 23 Nov 2026 20:00:00 +0000\r\n",
        // As a firewall leaves it.
        b"220 ***************************\r\n",
        b"220 \r\n",
        b"220\r\n",
        b"220-mx.example.com ESMTP\r\n220-\r\n220 \r\n",
        b"220-mx.example.com ESMTP\r\n220\r\n",
        b"220 esmtp ready \xff\xfe \xc3\xa4\r\n",
        b"220 mx.example.com\n",
    ] {
        let (seen, _) = probe_with(PATIENT, |script| script.banner = Act::Say(banner.to_vec())).await;
        assert_eq!(seen.outcome, SmtpOutcome::Done, "{}", banner.escape_ascii());
        assert!(seen.banner.is_some());
    }
}

/// RFC 8461 §4.2 with RFC 6066 §3: the name of the MX record goes into the handshake, and the host chooses by it.
#[tokio::test]
async fn the_name_chooses_the_certificate() {
    let pki = Pki::new();
    let (right, other) = (pki.identity(&[HOST]), pki.identity(&["default.example"]));
    let resolver = Arc::new(ByName::new(&[(HOST, right)], &other));
    for version in [&TLS12, &TLS13] {
        let tls = TlsAct::Serve(pki::server(Arc::<ByName>::clone(&resolver), &[version]));
        let peer = SmtpPeer::start(SmtpScript { tls, ..SmtpScript::good(&other) }).await;
        let seen = probe_peer(&peer, pki.roots(), PATIENT).await;
        assert!(names_match(&seen.tls.unwrap().chain.leaf.names, HOST));
        let stranger = MxHost::parse("mx.example.net").unwrap();
        let seen = prober(pki.roots(), peer.port(), PATIENT).probe(&stranger, peer.ip()).await;
        assert!(names_match(&seen.tls.unwrap().chain.leaf.names, "default.example"), "no more than what is asked for");
    }
}

#[tokio::test]
async fn certificates_are_recorded_whatever_they_are_worth() {
    let pki = Pki::new();
    let leaf = || Leaf::named(&[HOST]);
    for (leaf, expected) in [
        (leaf().self_signed(), PathToRoot::SelfSigned),
        (leaf().self_signed().authority(), PathToRoot::SelfSigned),
        (leaf().self_signed().expired(), PathToRoot::SelfSigned),
        (leaf().without_intermediate(), PathToRoot::MissingIntermediate),
    ] {
        let seen = probe_identity(&pki, &pki.issue(&leaf)).await;
        assert_eq!(seen.outcome, SmtpOutcome::Done);
        assert_eq!(seen.tls.unwrap().chain.path, expected, "{leaf:?}");
    }
    let day = Duration::from_secs(86_400);
    let before_its_issuer = leaf().valid(net::now() - 500 * day, net::now() - 410 * day);
    let after_its_root = leaf().valid(net::now() + 3000 * day, net::now() + 3090 * day);
    for leaf in [leaf().expired(), leaf().not_yet_valid(), leaf().signed_by_root(), leaf().with_root()] {
        let chain = probe_identity(&pki, &pki.issue(&leaf)).await.tls.unwrap().chain;
        assert_eq!(chain.path, PathToRoot::Trusted { not_after: chain.leaf.not_after }, "{leaf:?}");
    }
    let chain = probe_identity(&pki, &pki.issue(&before_its_issuer)).await.tls.unwrap().chain;
    assert_eq!(chain.path, PathToRoot::Trusted { not_after: chain.leaf.not_after });
    let chain = probe_identity(&pki, &pki.issue(&after_its_root)).await.tls.unwrap().chain;
    assert_eq!(chain.path, PathToRoot::Trusted { not_after: chain.others[0].not_after });
    let strangers = Pki::new();
    for leaf in [leaf(), leaf().with_root(), leaf().expired(), before_its_issuer, after_its_root] {
        let seen = probe_identity(&pki, &strangers.issue(&leaf)).await;
        assert!(
            !seen.tls.as_ref().unwrap().chain.path.is_trusted(),
            "the same names, another key: {:?}",
            seen.tls.unwrap().chain.path
        );
    }
    let common_name = probe_identity(&pki, &pki.issue(&Leaf::common_name_only(HOST))).await.tls.unwrap().chain;
    assert_eq!(common_name.leaf.common_name.as_deref(), Some(HOST));
    assert!(common_name.path.is_trusted() && !names_match(&common_name.leaf.names, HOST));
}

#[tokio::test]
async fn an_intermediate_that_has_expired() {
    let pki = Pki::with_intermediate_until(net::now() - Duration::from_secs(86_400));
    let seen = probe_identity(&pki, &pki.identity(&[HOST])).await;
    assert_eq!(seen.tls.unwrap().chain.path, PathToRoot::IntermediateExpired);
}

#[tokio::test]
async fn a_version_1_certificate_is_read_as_well() {
    let chain = CertificateDer::from_pem_slice(include_bytes!("../data/certificates/version1.pem")).unwrap();
    let identity = Identity::from_pem_key(vec![chain], include_str!("../data/certificates/version1-key.pem"));
    for version in [&TLS12, &TLS13] {
        let peer = SmtpPeer::start(SmtpScript::with_versions(&identity, &[version])).await;
        let seen = probe_peer(&peer, Roots::default(), PATIENT).await;
        assert_eq!(seen.outcome, SmtpOutcome::Done);
        let chain = seen.tls.unwrap().chain;
        assert_eq!((chain.leaf.common_name.as_deref(), &chain.path), (Some(HOST), &PathToRoot::SelfSigned));
    }
}

#[tokio::test]
async fn who_lacks_the_key_is_not_believed() {
    let pki = Pki::new();
    let stolen = pki.identity(&[HOST]).with_key_of(&pki.identity(&[HOST]));
    for version in [&TLS12, &TLS13] {
        let peer = SmtpPeer::start(SmtpScript::with_versions(&stolen, &[version])).await;
        let seen = probe_peer(&peer, pki.roots(), PATIENT).await;
        let bad = matches!(seen.outcome, SmtpOutcome::HandshakeFailed(TlsFailure::BadSignature(_)));
        assert!(bad && seen.tls.is_none(), "{:?}", seen.outcome);
    }
}

#[tokio::test]
async fn starttls_is_missing_or_refused() {
    let missing = probe_with(PATIENT, |script| script.ehlo = Act::say("250-mx\r\n250 SIZE\r\n")).await;
    assert_eq!(missing.0.outcome, SmtpOutcome::StarttlsNotOffered);
    assert_eq!(missing.0.starttls_offered(), Some(false));
    assert_eq!(missing.1.commands(), ["EHLO probe.example", "QUIT"]);
    let bare = outcome(PATIENT, |script| script.ehlo = Act::say("250 STARTTLS\r\n"));
    assert_eq!(bare.await, SmtpOutcome::StarttlsNotOffered);
    let refused = probe_with(PATIENT, |script| script.starttls = Act::say("454 4.7.0 not now\r\n")).await;
    assert_eq!(refused.0.outcome, SmtpOutcome::StarttlsRefused { code: 454, text: "4.7.0 not now".into() });
    assert_eq!(refused.0.starttls_offered(), Some(true));
}

#[tokio::test]
async fn rejections_name_phase_and_code() {
    for code in [421, 530, 554] {
        let text = format!("{code} go away\r\n");
        let banner = probe_with(PATIENT, |script| script.banner = Act::say(&text)).await;
        assert_eq!(banner.0.outcome, SmtpOutcome::Rejected { phase: Phase::Banner, code, text: "go away".into() });
        assert_eq!(banner.1.commands(), ["QUIT"]);
        let ehlo = outcome(PATIENT, |script| script.ehlo = Act::say(&text));
        assert_eq!(ehlo.await, SmtpOutcome::Rejected { phase: Phase::Ehlo, code, text: "go away".into() });
    }
}

/// RFC 5321 §4.1.1.10: whoever leaves says so, wherever the server waits for a command.
#[tokio::test]
async fn leave_is_taken_wherever_the_server_waits() {
    for answer in ["421 later\r\n", "450 later\r\n", "554 no\r\n", "354 what?\r\n", "SSH-2.0-dropbear\r\n"] {
        for (phase, at) in REPLIES {
            let (seen, peer) = probe_with(PATIENT, |script| *at(script) = Act::say(answer)).await;
            let commands = peer.commands();
            assert_eq!(
                commands.iter().filter(|command| *command == "QUIT").count(),
                1,
                "{phase:?} {answer:?}: {seen:?}"
            );
            assert_eq!(commands.last().map(String::as_str), Some("QUIT"), "{phase:?} {answer:?}: {commands:?}");
        }
    }
    // A server that is still busy would take it for a command that came too early, and who fails in the handshake speaks no SMTP.
    for (phase, at) in REPLIES {
        let (_, peer) = probe_with(impatient(phase), |script| *at(script) = Act::Hang).await;
        assert!(!peer.commands().contains(&"QUIT".to_owned()), "{phase:?}: {:?}", peer.commands());
    }
}

type At = fn(&mut SmtpScript) -> &mut Act;

/// The phases in which a reply is awaited.
const REPLIES: [(Phase, At); 4] = [
    (Phase::Banner, |script| &mut script.banner),
    (Phase::Ehlo, |script| &mut script.ehlo),
    (Phase::Starttls, |script| &mut script.starttls),
    (Phase::EhloTls, |script| &mut script.ehlo_tls),
];

fn impatient(phase: Phase) -> SmtpTimeouts {
    match phase {
        Phase::Banner => SmtpTimeouts { banner: SHORT, ..PATIENT },
        Phase::Tls => SmtpTimeouts { tls: SHORT, ..PATIENT },
        // The commands share one limit, and those before the one under test have to succeed.
        _ => SmtpTimeouts { command: MODERATE, ..PATIENT },
    }
}

#[tokio::test]
async fn silence_ends_at_the_deadline_of_its_phase() {
    join_all(REPLIES.map(|(phase, at)| async move {
        let (seen, _) = probe_with(impatient(phase), |script| *at(script) = Act::Hang).await;
        assert_eq!(seen.outcome, SmtpOutcome::Timeout(phase));
        assert_eq!(seen.tls.is_some(), phase == Phase::EhloTls, "a handshake counts even if EHLO after it fails");
        assert!(seen.connected());
    }))
    .await;
    let (seen, _) = probe_with(impatient(Phase::Tls), |script| script.tls = TlsAct::Instead(Act::Hang)).await;
    assert_eq!((seen.outcome, seen.tls), (SmtpOutcome::Timeout(Phase::Tls), None));
}

#[tokio::test]
async fn a_drip_does_not_move_the_deadline() {
    join_all(REPLIES.map(|(phase, at)| async move {
        let drip = outcome(impatient(phase), |script| *at(script) = Act::Drip(b"250-".to_vec()));
        assert_eq!(drip.await, SmtpOutcome::Timeout(phase));
    }))
    .await;
    // A ServerHello that is announced with its full length and never comes.
    let record = b"\x16\x03\x03\x40\x00\x02\x00\x3f\xf0".to_vec();
    let drip = outcome(impatient(Phase::Tls), |script| script.tls = TlsAct::Instead(Act::Drip(record)));
    assert_eq!(drip.await, SmtpOutcome::Timeout(Phase::Tls));
    let total = SmtpTimeouts { total: MODERATE, ..PATIENT };
    let drip = outcome(total, |script| script.banner = Act::Drip(b"220-".to_vec()));
    assert_eq!(drip.await, SmtpOutcome::Timeout(Phase::Banner), "the total deadline holds, too");
}

#[tokio::test]
async fn floods_are_cut_off() {
    for (phase, at) in REPLIES {
        let line = outcome(PATIENT, |script| *at(script) = Act::FloodLine);
        assert_eq!(line.await, error(phase, ProtocolFault::LineTooLong));
        let lines = outcome(PATIENT, |script| *at(script) = Act::FloodLines);
        assert_eq!(lines.await, error(phase, ProtocolFault::TooManyLines));
    }
}

#[tokio::test]
async fn ends_and_resets_name_the_phase() {
    for (phase, at) in REPLIES {
        let closed = outcome(PATIENT, |script| *at(script) = Act::Close);
        assert_eq!(closed.await, error(phase, ProtocolFault::Closed));
        let reset = outcome(PATIENT, |script| *at(script) = Act::Reset).await;
        // A reset right after the accept may come before the client has looked at its new connection.
        let early = phase == Phase::Banner && reset == SmtpOutcome::ConnectFailed(ConnectFailure::Reset);
        assert!(early || reset == error(phase, ProtocolFault::Reset), "{phase:?}: {reset:?}");
    }
    let closed = outcome(PATIENT, |script| script.tls = TlsAct::Instead(Act::Close)).await;
    assert!(matches!(&closed, SmtpOutcome::HandshakeFailed(TlsFailure::Closed(_))), "{closed:?}");
    let reset = outcome(PATIENT, |script| script.tls = TlsAct::Instead(Act::Reset)).await;
    assert!(
        matches!(&reset, SmtpOutcome::HandshakeFailed(TlsFailure::Closed(how)) if how.contains("reset")),
        "{reset:?}"
    );
}

#[tokio::test]
async fn what_is_no_smtp() {
    let http = outcome(PATIENT, |script| script.banner = Act::say("HTTP/1.1 400 Bad\x1b[2J\r\n"));
    assert_eq!(http.await, error(Phase::Banner, ProtocolFault::NoReply("HTTP/1.1 400 Bad\\x1b[2J".into())));
    let after_tls = probe_with(PATIENT, |script| script.ehlo_tls = Act::say("503 no\r\n")).await.0;
    assert_eq!(after_tls.outcome, error(Phase::EhloTls, ProtocolFault::UnexpectedCode(503)));
    assert!(after_tls.tls.is_some());
}

#[tokio::test]
async fn text_in_the_same_packet_as_the_220() {
    let (seen, peer) = probe_with(PATIENT, |script| script.starttls = Act::say("220 go\r\n250 injected\r\n")).await;
    assert!(seen.cleartext_after_starttls);
    assert_eq!(seen.outcome, SmtpOutcome::Done, "what was injected answers nothing, and TLS goes on");
    assert_eq!(peer.commands().len(), 4);
}

#[tokio::test]
async fn text_in_a_packet_after_the_220() {
    let (seen, _) = probe_with(PATIENT, |script| {
        script.starttls = Act::SayInTwo(b"220 go\r\n".to_vec(), b"250 injected\r\n".to_vec());
    })
    .await;
    assert!(seen.cleartext_after_starttls);
    // Where the machine stalls, both packets are read at once, and TLS goes on.
    let not_tls = matches!(seen.outcome, SmtpOutcome::HandshakeFailed(TlsFailure::NotTls(_)));
    assert!(not_tls || seen.outcome == SmtpOutcome::Done, "{:?}", seen.outcome);
}

#[tokio::test]
async fn failed_handshakes_say_why() {
    let garbage = probe_with(PATIENT, |script| script.tls = TlsAct::Instead(Act::say("\u{0}garbage"))).await.0;
    assert!(matches!(garbage.outcome, SmtpOutcome::HandshakeFailed(TlsFailure::NotTls(_))), "{:?}", garbage.outcome);
    // RFC 8446 §6: a fatal alert, handshake_failure.
    let alert = b"\x15\x03\x03\x00\x02\x02\x28".to_vec();
    let refused = probe_with(PATIENT, |script| script.tls = TlsAct::Instead(Act::Say(alert))).await.0;
    assert_eq!(refused.outcome, SmtpOutcome::HandshakeFailed(TlsFailure::Alert("handshake_failure".into())));
    assert!(!refused.cleartext_after_starttls && refused.tls.is_none());
}

#[tokio::test]
async fn no_connection() {
    let pki = Pki::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let seen = prober(pki.roots(), port, PATIENT).probe(&host(), [127, 0, 0, 1].into()).await;
    assert_eq!(seen.outcome, SmtpOutcome::ConnectFailed(ConnectFailure::Refused));
    assert!(!seen.connected() && seen.times.banner.is_none());
}

#[tokio::test]
async fn private_addresses_are_left_alone() {
    let pki = Pki::new();
    let peer = SmtpPeer::start(SmtpScript::good(&pki.identity(&[HOST]))).await;
    let options = SmtpOptions { port: peer.port(), ..SmtpOptions::default() };
    let prober = SmtpProber::new(Arc::new(TlsClient::new(pki.roots()).unwrap()), options);
    let seen = prober.probe(&host(), peer.ip()).await;
    assert_eq!(seen.outcome, SmtpOutcome::ConnectFailed(ConnectFailure::PrivateAddress));
    assert_eq!(peer.connections(), 0);
}

#[tokio::test]
async fn a_silent_farewell_costs_nothing_but_a_moment() {
    let (seen, peer) = probe_with(PATIENT, |script| script.quit = Act::Hang).await;
    assert_eq!(seen.outcome, SmtpOutcome::Done);
    assert_eq!(peer.commands().last().map(String::as_str), Some("QUIT"));
}

#[tokio::test]
async fn a_changed_script_counts_from_the_next_connection() {
    let pki = Pki::new();
    let peer = SmtpPeer::start(SmtpScript::good(&pki.identity(&[HOST]))).await;
    let prober = prober(pki.roots(), peer.port(), PATIENT);
    let first = prober.probe(&host(), peer.ip()).await.tls.unwrap();
    let again = prober.probe(&host(), peer.ip()).await.tls.unwrap();
    assert!(Arc::ptr_eq(&first.chain, &again.chain), "an unchanged chain is judged once");
    peer.set_script(SmtpScript::good(&pki.issue(&Leaf::named(&[HOST]).self_signed())));
    let changed = prober.probe(&host(), peer.ip()).await.tls.unwrap();
    assert_eq!(changed.chain.path, PathToRoot::SelfSigned);
    assert_eq!(peer.connections(), 3);
}
