//! `--web.config.file` over real connections: every path, certificates of both sides, users, headers, limits, and changes.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    crypto::aws_lc_rs::default_provider,
    version::{TLS12, TLS13},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use tempfile::TempDir;
use tokio::time::timeout;
use tokio_rustls::{TlsConnector, client::TlsStream};

mod changes;

use super::*;
use crate::web::{
    Admission,
    route::{Access, ROUTES},
};

const PATIENCE: Duration = Duration::from_secs(60);
/// So long a change rests before it is in force: shorter than usual, so that tests are quick.
const REST: Duration = Duration::from_millis(20);
/// ann:geheim.
const ANN: &str = "Authorization: Basic YW5uOmdlaGVpbQ==\r\n";

/// A folder with a web configuration, and a server that goes by it.
struct Guarded {
    folder: TempDir,
    server: Server,
    admission: Arc<Admission>,
}

fn in_folder(folder: &TempDir, name: &str) -> PathBuf {
    folder.path().join(name)
}

/// With the least cost, so that tests are quick.
fn users() -> String {
    format!("basic_auth_users:\n  ann: '{}'\n", bcrypt::hash("geheim", 4).unwrap())
}

impl Guarded {
    /// The configuration is written and read; what it names is in the folder already.
    fn start(folder: TempDir, text: &str) -> Self {
        let path = in_folder(&folder, "web.yml");
        fs::write(&path, text).unwrap();
        let telemetry = Telemetry::new().unwrap();
        let admission = Admission::open_with(&path, telemetry.clone(), REST).unwrap_or_else(|error| panic!("{error}"));
        let exposition = Exposition::new(Blocks::new(Level::Normal));
        let app = App::new(exposition, telemetry, MetricsPath::default(), no_reload());
        let app = Arc::new(app.with_admission(Some(Arc::clone(&admission))));
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(serve(vec![listener], Arc::clone(&app), shutdown.clone(), Limits::default()));
        app.publish(Arc::new(shown()));
        Self { folder, server: Server { address, app, shutdown, task }, admission }
    }

    fn write(&self, name: &str, text: &str) {
        // As programs that renew certificates do it: never half a file.
        let new = in_folder(&self.folder, "new");
        fs::write(&new, text).unwrap();
        fs::rename(new, in_folder(&self.folder, name)).unwrap();
    }

    async fn ask(&self, method: &str, path: &str, fields: &str) -> (u16, String) {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{fields}Connection: close\r\n\r\n");
        let answer = raw(&self.server, request.as_bytes()).await;
        (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
    }

    fn gauge(&self, name: &str) -> f64 {
        let families = self.server.app.telemetry().gather();
        let family = families.iter().find(|family| family.name() == name).unwrap();
        family.get_metric()[0].get_gauge().get_value()
    }
}

#[tokio::test]
async fn every_path_of_the_table_asks_for_a_password() {
    let guarded = Guarded::start(TempDir::new().unwrap(), &users());
    let paths = ROUTES.iter().map(|row| {
        let method = if row.access == Access::Act { "POST" } else { "GET" };
        (method, row.path.replace("{name}", "example.com"))
    });
    let others = ["/nothing", "/metrics/", "//", "/-/", "*", "http://x/metrics"].map(|path| ("GET", path.to_owned()));
    let methods = ["HEAD", "OPTIONS", "DELETE", "PUT"].map(|method| (method, "/metrics".to_owned()));
    let mut asked = 0;
    for (method, path) in paths.chain(others).chain(methods) {
        for wrong in ["", "Authorization: Basic YW5uOmdlaGVpbg==\r\n", "Authorization: Bearer geheim\r\n"] {
            let (status, answer) = guarded.ask(method, &path, wrong).await;
            assert_eq!(status, 401, "{method} {path} {wrong}");
            let head = answer.to_lowercase();
            assert!(
                head.contains("\r\nwww-authenticate: basic realm=\"smtptls-exporter\", charset=\"utf-8\"\r\n"),
                "{answer}"
            );
            assert!(!answer.contains("example.com") && !answer.contains("smtptls_"), "{answer}");
        }
        let (status, _) = guarded.ask(method, &path, ANN).await;
        assert_ne!(status, 401, "{method} {path}");
        asked += 1;
    }
    assert_eq!(asked, ROUTES.len() + 10);
    assert_eq!(guarded.ask("GET", "/metrics", ANN).await.0, 200);
}

#[tokio::test]
async fn a_body_is_not_read_before_it_is_known_who_sends_it() {
    let guarded = Guarded::start(TempDir::new().unwrap(), &users());
    // The body never comes, and neither does a second request of it.
    let request =
        b"POST /-/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nGET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    let answer = raw(&guarded.server, request).await;
    assert!(answer.starts_with("HTTP/1.1 401 ") && answer.matches("HTTP/1.1 ").count() == 1, "{answer}");
}

#[tokio::test]
async fn headers_stand_on_every_answer() {
    let text = format!(
        "http_server_config:\n  headers:\n    X-Frame-Options: deny\n    Strict-Transport-Security: max-age=1\n    \
         Content-Security-Policy: default-src 'self'\n{}",
        users()
    );
    let guarded = Guarded::start(TempDir::new().unwrap(), &text);
    for (method, path, fields, expected) in [
        ("GET", "/metrics", ANN, 200),
        ("GET", "/", ANN, 200),
        ("GET", "/nothing", ANN, 404),
        ("DELETE", "/metrics", ANN, 405),
        ("GET", "/metrics", "", 401),
    ] {
        let (status, answer) = guarded.ask(method, path, fields).await;
        let head = answer.split("\r\n\r\n").next().unwrap().to_lowercase();
        assert_eq!(status, expected, "{path}");
        for line in [
            "x-frame-options: deny",
            "strict-transport-security: max-age=1",
            "content-security-policy: default-src 'self'",
        ] {
            assert_eq!(head.matches(line).count(), 1, "{line} in {head}");
        }
        assert_eq!(head.matches("content-security-policy").count(), 1, "in place of the own one: {head}");
    }
}

#[tokio::test]
async fn more_requests_than_the_burst_are_told_to_come_again() {
    let guarded = Guarded::start(TempDir::new().unwrap(), "rate_limit: {interval: 1h, burst: 3}\n");
    for _ in 0..3 {
        assert_eq!(guarded.ask("GET", "/-/healthy", "").await.0, 200);
    }
    let (status, answer) = guarded.ask("GET", "/metrics", "").await;
    assert!(status == 429 && answer.to_lowercase().contains("retry-after: 36"), "{answer}");
    // Other users, and the bucket is as empty as before.
    guarded.write("web.yml", &format!("rate_limit: {{interval: 1h, burst: 3}}\n{}", users()));
    guarded.admission.refresh().await.unwrap();
    assert_eq!(guarded.ask("GET", "/-/healthy", ANN).await.0, 429);
    guarded.write("web.yml", &format!("rate_limit: {{interval: 0}}\n{}", users()));
    guarded.admission.refresh().await.unwrap();
    assert_eq!(guarded.ask("GET", "/-/healthy", ANN).await.0, 200);
}

#[tokio::test]
async fn a_change_is_in_force_and_a_broken_one_leaves_the_last() {
    let guarded = Guarded::start(TempDir::new().unwrap(), &users());
    let (successful, at) =
        ("smtptls_web_config_last_reload_successful", "smtptls_web_config_last_reload_success_timestamp_seconds");
    assert_eq!(guarded.gauge(successful), 1.0);
    let first = guarded.gauge(at);
    assert!(first > 1.7e9);
    for broken in
        ["basic_auth_users: {ann: geheim}\n", "user: {}\n", "tls_server_config: {cert_file: a, key_file: b}\n"]
    {
        guarded.write("web.yml", broken);
        let said = guarded.admission.refresh().await.unwrap_err();
        assert!(said.contains("web.yml:1:") && !said.contains("geheim"), "{said}");
        assert_eq!(guarded.admission.refresh().await.unwrap_err(), said, "told again to whoever asks again");
        assert_eq!(guarded.gauge(successful), 0.0);
        assert_eq!(guarded.ask("GET", "/metrics", "").await.0, 401, "the last one that was good");
        assert_eq!(guarded.ask("GET", "/metrics", ANN).await.0, 200);
    }
    fs::remove_file(in_folder(&guarded.folder, "web.yml")).unwrap();
    assert!(guarded.admission.refresh().await.unwrap_err().contains("cannot be read"));
    assert_eq!(guarded.ask("GET", "/metrics", "").await.0, 401);
    guarded.write("web.yml", &users().replace("ann", "eve"));
    guarded.admission.refresh().await.unwrap();
    assert_eq!(guarded.gauge(successful), 1.0);
    assert_eq!(guarded.ask("GET", "/metrics", ANN).await.0, 401, "what was known of another user is forgotten");
}

#[tokio::test]
async fn the_files_are_followed() {
    let guarded = Guarded::start(TempDir::new().unwrap(), "");
    let stop = CancellationToken::new();
    let following = tokio::spawn(Arc::clone(&guarded.admission).follow(stop.clone()));
    assert_eq!(guarded.ask("GET", "/-/healthy", "").await.0, 200);
    guarded.write("web.yml", &users());
    let changed = async { while guarded.ask("GET", "/-/healthy", "").await.0 == 200 {} };
    timeout(PATIENCE, changed).await.expect("the change is not seen");
    stop.cancel();
    following.await.unwrap();
}

/// A CA in a folder, with certificates that it signs.
struct Pki {
    ca: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, as PEM.
struct Identity {
    chain: String,
    key: String,
}

impl Pki {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { ca: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    fn issue(&self, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let chain = params.signed_by(&key, &self.ca).unwrap().pem();
        Identity { chain, key: key.serialize_pem() }
    }

    fn named(&self, names: &[SanType]) -> Identity {
        self.issue(|params| params.subject_alt_names = names.to_vec())
    }

    /// A folder with `server.crt`, `server.key` and `ca.crt`.
    fn folder(&self) -> TempDir {
        let folder = TempDir::new().unwrap();
        self.lay(folder.path(), &self.issue(|_| {}));
        folder
    }

    fn lay(&self, folder: &Path, server: &Identity) {
        fs::write(folder.join("server.crt"), &server.chain).unwrap();
        fs::write(folder.join("server.key"), &server.key).unwrap();
        fs::write(folder.join("ca.crt"), self.ca.pem()).unwrap();
    }

    /// What a client that trusts the CA gets: the first line of the answer and the certificate of the server, or why not.
    async fn ask(&self, server: &Server, client: Option<&Identity>) -> Result<(String, Vec<u8>), String> {
        self.ask_with(server, client, &[&TLS12, &TLS13]).await
    }

    async fn ask_with(
        &self,
        server: &Server,
        client: Option<&Identity>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Result<(String, Vec<u8>), String> {
        let mut stream = self.connect(server, client, versions).await.map_err(|error| error.to_string())?;
        let request = b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.map_err(|error| error.to_string())?;
        let mut answer = Vec::new();
        let read = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("no answer");
        read.map_err(|error| error.to_string())?;
        let certificate = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
        Ok((String::from_utf8(answer).unwrap().lines().next().unwrap_or_default().to_owned(), certificate))
    }

    async fn connect(
        &self,
        server: &Server,
        client: Option<&Identity>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        connect_with(server, self.config(client, versions)).await
    }

    fn config(&self, client: Option<&Identity>, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.der().clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        Arc::new(match client {
            None => config.with_no_client_auth(),
            Some(client) => {
                let chain = CertificateDer::pem_slice_iter(client.chain.as_bytes()).map(Result::unwrap).collect();
                let key = PrivateKeyDer::from_pem_slice(client.key.as_bytes()).unwrap();
                config.with_client_auth_cert(chain, key).unwrap()
            }
        })
    }
}

async fn connect_with(server: &Server, config: Arc<ClientConfig>) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(server.address).await?;
    TlsConnector::from(config).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

/// `tls_server_config` with the files of [`Pki::folder`] and more lines.
fn tls(more: &str) -> String {
    format!("tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n{more}")
}

const HEALTHY: &str = "HTTP/1.1 200 OK";

#[tokio::test]
async fn tls_is_spoken_and_nothing_else() {
    let pki = Pki::new();
    let guarded = Guarded::start(pki.folder(), &tls(""));
    for versions in [[&TLS12], [&TLS13]] {
        let (line, _) = pki.ask_with(&guarded.server, None, &versions).await.unwrap();
        assert_eq!(line, HEALTHY);
    }
    let plain = raw_bytes(&guarded.server, b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(!plain.starts_with(b"HTTP/1.1 200"), "{plain:?}");
}

/// What comes until the server closes, which may be in the middle.
async fn raw_bytes(server: &Server, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the server never closes");
    answer
}

#[tokio::test]
async fn pem_inline_and_chosen_versions_and_suites_are_in_force() {
    let pki = Pki::new();
    let server = pki.issue(|_| {});
    let block = |pem: &str| pem.lines().map(|line| format!("    {line}\n")).collect::<String>();
    let text = format!(
        "tls_server_config:\n  cert: |\n{}  key: |\n{}  max_version: TLS12\n  \
         cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]\n  curve_preferences: [CurveP384]\n",
        block(&server.chain),
        block(&server.key)
    );
    let guarded = Guarded::start(TempDir::new().unwrap(), &text);
    let stream = pki.connect(&guarded.server, None, &[&TLS12, &TLS13]).await.unwrap();
    let session = stream.get_ref().1;
    assert_eq!(session.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_2));
    let suite = session.negotiated_cipher_suite().unwrap().suite();
    assert_eq!(suite, rustls::CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384);
    assert_eq!(session.negotiated_key_exchange_group().unwrap().name(), rustls::NamedGroup::secp384r1);
    assert!(pki.ask_with(&guarded.server, None, &[&TLS13]).await.is_err());
    guarded.write("web.yml", &text.replace("max_version: TLS12", "min_version: TLS13"));
    guarded.admission.refresh().await.unwrap();
    assert!(pki.ask_with(&guarded.server, None, &[&TLS12]).await.is_err());
    assert_eq!(pki.ask_with(&guarded.server, None, &[&TLS13]).await.unwrap().0, HEALTHY);
}

#[tokio::test]
async fn clients_show_the_certificate_that_is_asked_for() {
    let (pki, strangers) = (Pki::new(), Pki::new());
    let good = pki.named(&[SanType::DnsName("prometheus.example".try_into().unwrap())]);
    let strange = strangers.named(&[SanType::DnsName("prometheus.example".try_into().unwrap())]);
    let expired = pki.issue(|params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    let early = pki.issue(|params| params.not_before = rcgen::date_time_ymd(2090, 1, 1));
    let of_a_server = pki.issue(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    let all = [None, Some(&good), Some(&strange), Some(&expired), Some(&early), Some(&of_a_server)];
    for (kind, expected) in [
        ("NoClientCert", [true, true, true, true, true, true]),
        ("RequestClientCert", [true, true, true, true, true, true]),
        ("RequireAnyClientCert", [false, true, true, true, true, true]),
        ("VerifyClientCertIfGiven", [true, true, false, false, false, false]),
        ("RequireAndVerifyClientCert", [false, true, false, false, false, false]),
    ] {
        let ca = if kind.contains("Verify") { "  client_ca_file: ca.crt\n" } else { "" };
        let guarded = Guarded::start(pki.folder(), &tls(&format!("{ca}  client_auth_type: {kind}\n")));
        for versions in [[&TLS12], [&TLS13]] {
            for (number, (client, gets_in)) in all.into_iter().zip(expected).enumerate() {
                let came = pki.ask_with(&guarded.server, client, &versions).await;
                assert_eq!(came.as_ref().is_ok_and(|(line, _)| line == HEALTHY), gets_in, "{kind} {number}: {came:?}");
            }
        }
        assert_eq!(guarded.admission.wants_certificates(), kind.starts_with("Require"), "{kind}");
    }
    let none = Guarded::start(pki.folder(), &tls("  client_auth_type: VerifyClientCertIfGiven\n"));
    assert!(pki.ask(&none.server, None).await.is_ok() && pki.ask(&none.server, Some(&good)).await.is_err());
}

#[tokio::test]
async fn a_name_of_the_certificate_has_to_be_allowed() {
    let pki = Pki::new();
    let address = SanType::IpAddress("2001:db8::1".parse().unwrap());
    let (dns, mail, uri) = (
        SanType::DnsName("a.example".try_into().unwrap()),
        SanType::Rfc822Name("ops@a.example".try_into().unwrap()),
        SanType::URI("spiffe://a.example/prometheus".try_into().unwrap()),
    );
    let text = tls(
        "  client_ca_file: ca.crt\n  client_auth_type: RequireAndVerifyClientCert\n  client_allowed_sans:\n  - a.example\n  - ops@a.example\n  \
         - spiffe://a.example/prometheus\n  - 2001:db8::1\n",
    );
    let guarded = Guarded::start(pki.folder(), &text);
    let other = SanType::DnsName("b.example".try_into().unwrap());
    for allowed in [dns, mail, uri, address] {
        let identity = pki.named(&[other.clone(), allowed.clone()]);
        assert!(pki.ask(&guarded.server, Some(&identity)).await.is_ok(), "{allowed:?}");
    }
    for refused in [
        vec![],
        vec![other],
        vec![SanType::DnsName("x.a.example".try_into().unwrap())],
        vec![SanType::DnsName("A.example".try_into().unwrap())],
        vec![SanType::IpAddress("192.0.2.1".parse().unwrap())],
    ] {
        let identity = pki.named(&refused);
        assert!(pki.ask(&guarded.server, Some(&identity)).await.is_err(), "{refused:?}");
    }
}

#[tokio::test]
async fn a_certificate_that_is_named_itself_needs_no_chain() {
    let pki = Pki::new();
    let folder = pki.folder();
    let mut params = CertificateParams::new(vec!["client".to_owned()]).unwrap();
    // As `openssl req -x509` makes it.
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let own = Identity { chain: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() };
    fs::write(folder.path().join("ca.crt"), &own.chain).unwrap();
    let text = tls("  client_ca_file: ca.crt\n  client_auth_type: RequireAndVerifyClientCert\n");
    let guarded = Guarded::start(folder, &text);
    assert_eq!(pki.ask(&guarded.server, Some(&own)).await.unwrap().0, HEALTHY);
    assert!(pki.ask(&guarded.server, Some(&pki.issue(|_| {}))).await.is_err());
}

#[tokio::test]
async fn a_renewed_certificate_is_that_of_new_connections_and_a_broken_one_is_not() {
    let pki = Pki::new();
    let guarded = Guarded::start(pki.folder(), &tls(""));
    let (_, first) = pki.ask(&guarded.server, None).await.unwrap();
    let mut open = pki.connect(&guarded.server, None, &[&TLS13]).await.unwrap();
    let renewed = pki.issue(|_| {});
    // For a moment the two do not belong together.
    guarded.write("server.crt", &renewed.chain);
    assert!(guarded.admission.refresh().await.unwrap_err().contains("cannot be used together"));
    assert_eq!(pki.ask(&guarded.server, None).await.unwrap().1, first);
    guarded.write("server.key", &renewed.key);
    guarded.admission.refresh().await.unwrap();
    let (line, second) = pki.ask(&guarded.server, None).await.unwrap();
    assert!(line == HEALTHY && second != first);
    open.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, open.read_to_end(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with(HEALTHY.as_bytes()), "a connection that was open goes on");
    fs::remove_file(in_folder(&guarded.folder, "server.key")).unwrap();
    let said = guarded.admission.refresh().await.unwrap_err();
    assert!(said.contains("server.key: No such file") && said.contains("web.yml:3:13"), "{said}");
    assert_eq!(pki.ask(&guarded.server, None).await.unwrap().1, second);
}

#[tokio::test]
async fn what_the_file_leads_to_is_checked_at_the_start() {
    let pki = Pki::new();
    let other = pki.issue(|_| {});
    let ca = "  client_ca_file: ca.crt\n  client_auth_type: RequireAndVerifyClientCert\n";
    for (name, content, more, place, expected) in [
        ("server.crt", "", "", "2:14", "there is no PEM certificate in it"),
        ("server.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "", "2:14", "cannot be read"),
        ("server.key", "junk", "", "3:13", "no PEM private key can be read"),
        ("server.key", other.key.as_str(), "", "3:13", "cannot be used together"),
        ("ca.crt", "", ca, "4:19", "there is no PEM certificate in it"),
        ("ca.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", ca, "4:19", "this is no CA"),
    ] {
        let folder = pki.folder();
        fs::write(folder.path().join(name), content).unwrap();
        fs::write(folder.path().join("web.yml"), tls(more)).unwrap();
        let said = Admission::open(&folder.path().join("web.yml"), Telemetry::new().unwrap()).unwrap_err();
        assert!(said.contains(expected) && said.contains(name) && said.contains(place), "{name} {content}: {said}");
    }
}
