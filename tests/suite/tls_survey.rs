//! What TLS an address offers beyond the usual handshake, read from servers that are real and from servers that are not.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use smtptls_exporter::{
    facts::{
        AddressObservation, Handshake, Offer, PathToRoot, SmtpOutcome, TlsFacts, TlsFailure, TlsSurvey, TlsVersion,
    },
    net::{DialOptions, SmtpOptions, SmtpProber, SmtpTimeouts, TlsClient},
    protocol::tls::Roots,
    terms::MxHost,
};

use super::world::{
    openssl::{self, OpensslPeer, OpensslPki},
    pki::{self, Identity, Leaf, Pki},
    smtp::{Act, SmtpPeer, SmtpScript, TlsAct},
};

const HOST: &str = "mx.example.com";

/// Long enough for a loaded machine where a phase has to succeed.
const LONG: Duration = Duration::from_secs(60);
/// For the one phase that has to time out.
const SHORT: Duration = Duration::from_millis(300);

const RSA_2048: [&str; 4] = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];

/// `s_server` prints what comes in TLS and answers nothing, so the EHLO inside is not waited for.
const TIMEOUTS: SmtpTimeouts =
    SmtpTimeouts { connect: LONG, banner: LONG, command: Duration::from_secs(3), tls: LONG, total: LONG };

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

/// A server with an RSA certificate and these flags, probed and surveyed.
struct Real<'a> {
    pki: &'a OpensslPki,
    peer: OpensslPeer,
}

fn skipped() -> bool {
    let here = openssl::is_here();
    if !here {
        eprintln!("skipped: the command `openssl` of OpenSSL 3 is not here");
    }
    !here
}

/// What signs, and a certificate without fault.
fn good() -> OpensslPki {
    let pki = OpensslPki::new();
    pki.issue("good", HOST, &RSA_2048, &["-sha256"]);
    pki
}

impl<'a> Real<'a> {
    async fn start(pki: &'a OpensslPki, flags: &[&str]) -> Self {
        Self::with(pki, "good", flags).await
    }

    async fn with(pki: &'a OpensslPki, name: &str, flags: &[&str]) -> Self {
        Self { pki, peer: OpensslPeer::start(pki, name, flags).await }
    }

    fn prober(&self) -> SmtpProber {
        prober(Roots::from_pem(&self.pki.root_pem()).unwrap(), self.peer.port(), TIMEOUTS)
    }

    async fn probe(&self) -> AddressObservation {
        self.prober().probe(&host(), self.peer.ip()).await
    }

    async fn survey(&self) -> TlsSurvey {
        self.prober().survey(&host(), self.peer.ip(), None, || async {}).await
    }
}

/// The facts of a handshake that others can finish; the certificate is read as always.
fn offered_to_others(seen: &AddressObservation) -> (TlsVersion, &str) {
    assert!(matches!(seen.outcome, SmtpOutcome::HandshakeFailed(_)), "{:?}", seen.outcome);
    let tls = seen.tls.as_ref().unwrap_or_else(|| panic!("{:?}", seen.outcome));
    assert!(!tls.completed);
    assert_eq!(tls.chain.leaf.names, [HOST]);
    assert!(tls.chain.path.is_trusted(), "{:?}", tls.chain.path);
    (tls.version, tls.cipher.as_str())
}

fn finished(seen: &AddressObservation) -> &TlsFacts {
    let tls = seen.tls.as_ref().unwrap_or_else(|| panic!("{:?}", seen.outcome));
    assert!(tls.completed);
    tls
}

/// In the order TLS 1.0, TLS 1.1.
fn legacy(survey: &TlsSurvey) -> [bool; 2] {
    [&survey.tls10, &survey.tls11].map(|offer| match offer {
        Offer::Accepted => true,
        Offer::Refused => false,
        Offer::NotSeen(why) => panic!("{why}"),
    })
}

#[tokio::test]
async fn a_server_of_one_old_version_is_told_from_a_broken_one() {
    if skipped() {
        return;
    }
    let pki = good();
    for (flag, version, offers) in
        [("-tls1", TlsVersion::Tls10, [true, false]), ("-tls1_1", TlsVersion::Tls11, [false, true])]
    {
        let real = Real::start(&pki, &[flag, "-cipher", "DEFAULT@SECLEVEL=0"]).await;
        let seen = real.probe().await;
        assert_eq!(offered_to_others(&seen).0, version);
        assert!(offered_to_others(&seen).1.ends_with("_CBC_SHA"));
        assert_eq!(real.peer.connections(), 2);
        let survey = real.survey().await;
        assert_eq!(legacy(&survey), offers, "{flag}");
        assert!(matches!(survey.without_sni, Handshake::Failed(_)), "{:?}", survey.without_sni);
    }
}

#[tokio::test]
async fn old_versions_are_found_beside_new_ones() {
    if skipped() {
        return;
    }
    let pki = good();
    let pki = &pki;
    let any = ["-cipher", "DEFAULT@SECLEVEL=0"];
    let servers = [
        (&["-min_protocol", "TLSv1"][..], TlsVersion::Tls13, [true, true]),
        (&["-min_protocol", "TLSv1.1", "-max_protocol", "TLSv1.2"], TlsVersion::Tls12, [false, true]),
        (&["-min_protocol", "TLSv1.2"], TlsVersion::Tls13, [false, false]),
        (&["-tls1_2"], TlsVersion::Tls12, [false, false]),
        (&["-tls1_3"], TlsVersion::Tls13, [false, false]),
    ];
    join_all(servers.map(async |(flags, newest, offers)| {
        let real = Real::start(pki, &[flags, &any].concat()).await;
        let seen = real.probe().await;
        assert_eq!(finished(&seen).version, newest, "{flags:?}");
        assert_eq!(real.peer.connections(), 1, "nothing failed, nothing more is asked");
        let survey = real.survey().await;
        assert_eq!(legacy(&survey), offers, "{flags:?}");
        for handshake in [&survey.without_sni, &survey.unknown_sni] {
            let Handshake::Done(tls) = handshake else { panic!("{handshake:?}") };
            assert_eq!((tls.version, tls.chain.leaf.names.as_slice()), (newest, &[HOST.to_owned()][..]));
        }
        assert_eq!(survey.base_sni, None);
        assert_eq!(real.peer.connections(), 5);
    }))
    .await;
}

#[tokio::test]
async fn a_server_of_versions_between_is_read_by_its_best() {
    if skipped() {
        return;
    }
    let pki = good();
    let real =
        Real::start(&pki, &["-min_protocol", "TLSv1", "-max_protocol", "TLSv1.1", "-cipher", "DEFAULT@SECLEVEL=0"])
            .await;
    assert_eq!(offered_to_others(&real.probe().await).0, TlsVersion::Tls11);
    assert_eq!(legacy(&real.survey().await), [true, true]);
}

#[tokio::test]
async fn ciphers_that_only_others_speak() {
    if skipped() {
        return;
    }
    let pki = good();
    for (cipher, expected) in [
        ("AES128-SHA:@SECLEVEL=0", "TLS_RSA_WITH_AES_128_CBC_SHA"),
        ("AES256-GCM-SHA384", "TLS_RSA_WITH_AES_256_GCM_SHA384"),
        ("AES128-CCM", "TLS_RSA_WITH_AES_128_CCM"),
        ("DHE-RSA-AES256-GCM-SHA384", "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384"),
        ("DHE-RSA-AES128-SHA256", "TLS_DHE_RSA_WITH_AES_128_CBC_SHA256"),
        ("DHE-RSA-CHACHA20-POLY1305", "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
        ("ECDHE-RSA-AES256-SHA384", "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384"),
        ("ECDHE-RSA-AES128-SHA", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"),
    ] {
        let real = Real::start(&pki, &["-tls1_2", "-cipher", cipher]).await;
        let seen = real.probe().await;
        assert_eq!(offered_to_others(&seen), (TlsVersion::Tls12, expected), "{cipher}");
        assert_eq!(real.peer.connections(), 2);
    }
}

#[tokio::test]
async fn a_group_that_only_others_speak() {
    if skipped() {
        return;
    }
    let pki = good();
    let real = Real::start(&pki, &["-tls1_2", "-groups", "P-521", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384"]).await;
    let seen = real.probe().await;
    assert_eq!(offered_to_others(&seen), (TlsVersion::Tls12, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"));
}

#[tokio::test]
async fn weak_certificates_are_read_whatever_they_are_worth() {
    if skipped() {
        return;
    }
    let rsa_1024 = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"];
    let pki = OpensslPki::new();
    pki.issue("short", HOST, &rsa_1024, &["-sha256"]);
    pki.issue("sha1", HOST, &RSA_2048, &["-sha1"]);
    pki.issue("md5", HOST, &RSA_2048, &["-md5"]);
    pki.issue("pss", HOST, &RSA_2048, &["-sha1", "-sigopt", "rsa_padding_mode:pss"]);
    pki.issue("both", HOST, &rsa_1024, &["-sha1"]);
    let pki = &pki;
    for version in ["-tls1_2", "-tls1_3"] {
        join_all(
            [
                ("short", "rsa-1024", "sha256WithRSAEncryption"),
                ("sha1", "rsa-2048", "sha1WithRSAEncryption"),
                ("md5", "rsa-2048", "md5WithRSAEncryption"),
                ("pss", "rsa-2048", "rsassaPss with SHA1"),
            ]
            .map(async |(name, key, signature)| {
                let real = Real::with(pki, name, &[version, "-cipher", "DEFAULT@SECLEVEL=0"]).await;
                let leaf = finished(&real.probe().await).chain.leaf.clone();
                assert_eq!((leaf.key.to_string().as_str(), leaf.signature_algorithm.as_str()), (key, signature));
                assert!(!leaf.self_issued);
            }),
        )
        .await;
    }
    // The same where only the clear part of a handshake is to be had.
    let both = Real::with(pki, "both", &["-tls1", "-cipher", "DEFAULT@SECLEVEL=0"]).await;
    let seen = both.probe().await;
    let tls = seen.tls.unwrap();
    assert_eq!((tls.completed, tls.version, tls.chain.leaf.key.bits), (false, TlsVersion::Tls10, 1024));
    assert_eq!(tls.chain.leaf.signature_algorithm, "sha1WithRSAEncryption");
}

#[tokio::test]
async fn a_server_that_signs_with_sha1_only() {
    if skipped() {
        return;
    }
    let pki = good();
    let flags = ["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256:@SECLEVEL=0", "-sigalgs", "RSA+SHA1"];
    let seen = Real::start(&pki, &flags).await.probe().await;
    assert_eq!(offered_to_others(&seen), (TlsVersion::Tls12, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"));
}

#[tokio::test]
async fn a_real_server_that_aborts_on_unknown_names() {
    if skipped() {
        return;
    }
    let pki = good();
    let flags = ["-servername", HOST, "-servername_fatal", "-cert2", "good.pem", "-key2", "good-key.pem"];
    let survey = Real::start(&pki, &flags).await.survey().await;
    assert!(matches!(survey.without_sni, Handshake::Done(_)), "{:?}", survey.without_sni);
    assert_eq!(survey.unknown_sni, Handshake::Failed(TlsFailure::Alert("unrecognized_name".into())));
}

/// Lengths in three octets (RFC 5246 §7.4).
fn framed(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[1..], bytes].concat()
}

/// A server older than TLS 1.2 that says so in its answer to every hello, and not by an alert: ServerHello, Certificate.
fn old_answer(certificate: &[u8]) -> Vec<u8> {
    let hello = [&[3, 1][..], &[9; 32], &[0, 0x00, 0x2f, 0]].concat();
    let messages =
        [vec![2], framed(&hello), vec![11], framed(&framed(&framed(certificate))), vec![14, 0, 0, 0]].concat();
    let length = u16::try_from(messages.len()).unwrap().to_be_bytes();
    [&[22, 3, 1, length[0], length[1]], messages.as_slice()].concat()
}

#[tokio::test]
async fn a_server_that_answers_every_hello_with_its_old_version() {
    let pki = Pki::new();
    let identity = pki.issue(&Leaf::named(&[HOST]).signed_by_root());
    let mut script = SmtpScript::good(&identity);
    script.tls = TlsAct::Instead(Act::Say(old_answer(&identity.certified().cert[0])));
    let peer = SmtpPeer::start(script).await;
    let prober = prober(pki.roots(), peer.port(), TIMEOUTS);
    let seen = prober.probe(&host(), peer.ip()).await;
    assert_eq!(offered_to_others(&seen), (TlsVersion::Tls10, "TLS_RSA_WITH_AES_128_CBC_SHA"));
    let survey = prober.survey(&host(), peer.ip(), None, || async {}).await;
    assert_eq!(legacy(&survey), [true, false], "1.0 in answer to 1.1 is no yes");
}

/// Probes and surveys a peer that is good but for its TLS.
async fn see(tls: TlsAct, timeouts: SmtpTimeouts) -> (AddressObservation, TlsSurvey, SmtpPeer) {
    let pki = Pki::new();
    let mut script = SmtpScript::good(&pki.identity(&[HOST]));
    script.tls = tls;
    let peer = SmtpPeer::start(script).await;
    let prober = prober(pki.roots(), peer.port(), timeouts);
    let seen = prober.probe(&host(), peer.ip()).await;
    let survey = prober.survey(&host(), peer.ip(), None, || async {}).await;
    assert!(!peer.commands().iter().any(|command| command.starts_with("MAIL")));
    (seen, survey, peer)
}

#[tokio::test]
async fn a_broken_server_stays_a_failed_handshake() {
    // RFC 8446 §6: a fatal alert, internal_error.
    let alert = TlsAct::Instead(Act::Say(b"\x15\x03\x01\x00\x02\x02\x50".to_vec()));
    let (seen, survey, peer) = see(alert, TIMEOUTS).await;
    assert_eq!(seen.outcome, SmtpOutcome::HandshakeFailed(TlsFailure::Alert("internal_error".into())));
    assert_eq!(seen.tls, None);
    assert_eq!(legacy(&survey), [false, false]);
    let failed = Handshake::Failed(TlsFailure::Alert("internal_error".into()));
    assert_eq!((&survey.without_sni, &survey.unknown_sni), (&failed, &failed));
    assert_eq!(peer.connections(), 2 + 4);

    let (seen, survey, peer) = see(TlsAct::Instead(Act::Close), TIMEOUTS).await;
    assert!(matches!(seen.outcome, SmtpOutcome::HandshakeFailed(TlsFailure::Closed(_))), "{:?}", seen.outcome);
    assert_eq!((seen.tls, peer.connections()), (None, 2 + 4));
    assert_eq!(legacy(&survey), [false, false]);

    // What speaks no TLS, or nothing, fails everybody: no second connection.
    let (seen, survey, peer) = see(TlsAct::Instead(Act::say("garbage\r\n")), TIMEOUTS).await;
    assert!(matches!(seen.outcome, SmtpOutcome::HandshakeFailed(TlsFailure::NotTls(_))), "{:?}", seen.outcome);
    assert_eq!((seen.tls, peer.connections()), (None, 1 + 4));
    assert!(matches!(survey.tls10, Offer::NotSeen(_)), "{:?}", survey.tls10);
    let (seen, survey, peer) = see(TlsAct::Instead(Act::Hang), SmtpTimeouts { tls: SHORT, ..TIMEOUTS }).await;
    assert!(matches!(seen.outcome, SmtpOutcome::Timeout(_)), "{:?}", seen.outcome);
    assert_eq!((seen.tls, peer.connections()), (None, 1 + 4));
    assert!(matches!(survey.tls11, Offer::NotSeen(_)), "{:?}", survey.tls11);
    assert!(matches!(survey.unknown_sni, Handshake::NotSeen(_)), "{:?}", survey.unknown_sni);
}

#[tokio::test]
async fn a_wrong_key_is_not_asked_again() {
    let pki = Pki::new();
    let stolen = pki.identity(&[HOST]).with_key_of(&pki.identity(&[HOST]));
    let (seen, _, peer) = see(TlsAct::Serve(stolen.server(&[&TLS12, &TLS13])), TIMEOUTS).await;
    assert!(matches!(seen.outcome, SmtpOutcome::HandshakeFailed(TlsFailure::BadSignature(_))));
    assert_eq!((seen.tls, peer.connections()), (None, 1 + 4));
}

/// Presents something only to those who ask for names that it knows.
#[derive(Debug)]
struct Strict {
    known: Vec<(String, Identity)>,
    nameless: Option<Identity>,
}

impl ResolvesServerCert for Strict {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let Some(name) = hello.server_name() else { return self.nameless.as_ref().map(Identity::certified) };
        self.known.iter().find(|(known, _)| known == name).map(|(_, identity)| identity.certified())
    }
}

#[tokio::test]
async fn a_server_that_insists_on_names() {
    let pki = Pki::new();
    let base = MxHost::parse("mail.provider.example").unwrap();
    let other = pki.identity(&[base.as_str()]);
    for nameless in [None, Some(pki.identity(&["default.example"]))] {
        let strict = Strict {
            known: vec![(HOST.to_owned(), pki.identity(&[HOST])), (base.to_string(), other.clone())],
            nameless: nameless.clone(),
        };
        let mut script = SmtpScript::good(&other);
        script.tls = TlsAct::Serve(pki::server(Arc::new(strict), &[&TLS12, &TLS13]));
        let peer = SmtpPeer::start(script).await;
        let prober = prober(pki.roots(), peer.port(), TIMEOUTS);
        let seen = prober.probe(&host(), peer.ip()).await;
        assert_eq!(seen.outcome, SmtpOutcome::Done);
        assert_eq!(finished(&seen).chain.leaf.names, [HOST]);
        let survey = prober.survey(&host(), peer.ip(), Some(&base), || async {}).await;
        match (&survey.without_sni, nameless.is_some()) {
            (Handshake::Done(tls), true) => assert_eq!(tls.chain.leaf.names, ["default.example"]),
            (Handshake::Failed(TlsFailure::Alert(_)), false) => {}
            other => panic!("{other:?}"),
        }
        assert!(matches!(survey.unknown_sni, Handshake::Failed(TlsFailure::Alert(_))), "{:?}", survey.unknown_sni);
        let Some((name, Handshake::Done(tls))) = &survey.base_sni else { panic!("{:?}", survey.base_sni) };
        assert_eq!((name, tls.chain.leaf.names.as_slice()), (&base, &[base.to_string()][..]));
        assert_eq!(tls.chain.path, PathToRoot::Trusted { not_after: tls.chain.leaf.not_after });
        assert_eq!(legacy(&survey), [false, false], "rustls has no old versions");
        assert_eq!(peer.connections(), 1 + 5);
        let farewells = peer.commands().iter().filter(|command| *command == "QUIT").count();
        assert_eq!(farewells, 1 + 1 + usize::from(nameless.is_some()), "wherever TLS came about");

        let same = prober.survey(&host(), peer.ip(), Some(&host()), || async {}).await;
        assert_eq!((same.base_sni, peer.connections()), (None, 1 + 5 + 4), "the host itself is no other name");
    }
}

#[tokio::test]
async fn who_turns_this_client_away_is_asked_once() {
    let pki = Pki::new();
    let mut script = SmtpScript::good(&pki.identity(&[HOST]));
    script.banner = Act::say("421 too many connections\r\n");
    let peer = SmtpPeer::start(script).await;
    let base = MxHost::parse("mail.provider.example").unwrap();
    let prober = prober(pki.roots(), peer.port(), TIMEOUTS);
    let survey = prober.survey(&host(), peer.ip(), Some(&base), || async {}).await;
    let why = "the server replied 421 too many connections";
    assert_eq!(survey.tls10, Offer::NotSeen(why.into()));
    assert_eq!(survey.tls11, Offer::NotSeen(why.into()));
    assert_eq!(survey.without_sni, Handshake::NotSeen(why.into()));
    assert_eq!(survey.base_sni, Some((base, Handshake::NotSeen(why.into()))));
    assert_eq!((peer.connections(), peer.commands()), (1, vec!["QUIT".to_owned()]));
}

#[tokio::test]
async fn each_connection_has_a_permit_and_one_follows_the_other() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let pki = Pki::new();
    let peer = SmtpPeer::start(SmtpScript::good(&pki.identity(&[HOST]))).await;
    let prober = prober(pki.roots(), peer.port(), TIMEOUTS);
    let turns = tokio::sync::Semaphore::new(1);
    let given = AtomicUsize::new(0);
    let gate = || async {
        given.fetch_add(1, Ordering::SeqCst);
        turns.try_acquire().expect("the connection before has not ended")
    };
    prober.survey(&host(), peer.ip(), None, gate).await;
    assert_eq!((given.load(Ordering::SeqCst), peer.connections()), (4, 4));
}
