//! `serve` as a program: its endpoints, signals and exit statuses.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::sleep,
};

use super::{
    attack::secrets::PATHS,
    world::{
        dns::Behaviour,
        mail_world::{MailDomain, MailWorld},
        smtp::{Act, SmtpScript},
    },
};

/// Far beyond what anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The running program; it is killed when dropped.
pub(crate) struct Served {
    child: Child,
    address: SocketAddr,
    log: mpsc::Receiver<String>,
    /// For as long as it runs.
    state: Option<TempDir>,
}

impl Served {
    pub(crate) async fn start(config: &Path) -> Self {
        Self::start_with(config, &[]).await
    }

    async fn start_with(config: &Path, arguments: &[&str]) -> Self {
        let state = TempDir::new().unwrap();
        let mut served = Self::start_in(config, state.path(), arguments).await;
        served.state = Some(state);
        served
    }

    /// With this state folder.
    pub(crate) async fn start_in(config: &Path, state: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_smtptls-exporter"));
        command.args(["serve", "--web.listen-address", "127.0.0.1:0", "--config.file"]).arg(config);
        command.arg("--state.dir").arg(state).args(arguments);
        Self::start_as(command).await
    }

    /// By a command of its own, which listens at one address.
    pub(crate) async fn start_as(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (lines, log) = mpsc::channel();
        std::thread::spawn(move || {
            // The log is read to its end, so that the program never waits for a reader.
            for line in stderr.lines() {
                let _ = lines.send(line.unwrap());
            }
        });
        let (address, log) = tokio::task::spawn_blocking(move || {
            let mut seen = Vec::new();
            loop {
                let line = log.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("it does not listen: {seen:?}"));
                let address = line.split("address=").nth(1).filter(|_| line.contains("listening"));
                if let Some(address) = address {
                    let address: String =
                        address.trim_matches('"').chars().take_while(|c| !c.is_whitespace()).collect();
                    break (address.trim_end_matches('"').parse().unwrap(), log);
                }
                seen.push(line);
            }
        })
        .await
        .unwrap();
        Self { child, address, log, state: None }
    }

    /// Where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until its log says this.
    pub(crate) fn until_said(&self, text: &str) {
        let mut seen = Vec::new();
        while !seen.last().is_some_and(|line: &String| line.contains(text)) {
            seen.push(self.log.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("never said {text:?}: {seen:?}")));
        }
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        self.request("GET", path).await
    }

    pub(crate) async fn request(&self, method: &str, path: &str) -> (u16, String) {
        let (head, body) = self.exchange(method, path).await;
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body)
    }

    /// Status line and header as they came, and the body.
    pub(crate) async fn exchange(&self, method: &str, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address);
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let in_chunks = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
        (head.to_owned(), if in_chunks { joined(body) } else { body.to_owned() })
    }

    /// A connection from one of several addresses of this host: what one alone may have is bounded.
    async fn connect(&self) -> TcpStream {
        static NEXT: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);
        let last = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 8 + 1;
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((std::net::Ipv4Addr::new(127, 0, 0, last), 0).into()).unwrap();
        socket.connect(self.address).await.unwrap()
    }

    /// A request with more header lines: status, header in lower case, body.
    pub(crate) async fn ask(&self, request: &str, header: &[&str]) -> (u16, String, String) {
        let mut stream = self.connect().await;
        let more: String = header.iter().map(|line| format!("{line}\r\n")).collect();
        let request = format!("{request} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{more}\r\n", self.address);
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, format!("{}\r\n", head.to_lowercase()), body.to_owned())
    }

    /// The metrics, once they hold every one of these lines.
    pub(crate) async fn until(&self, lines: &[&str]) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let (status, text) = self.get("/metrics").await;
            assert_eq!(status, 200);
            let missing: Vec<_> = lines.iter().filter(|line| !text.lines().any(|known| known == **line)).collect();
            if missing.is_empty() {
                return text;
            }
            assert!(
                Instant::now() < end,
                "never: {missing:?}\n{}\n{text}",
                self.log.try_iter().collect::<Vec<_>>().join("\n")
            );
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// What it logged since it listens, or since this was asked before.
    pub(crate) fn logged(&self) -> Vec<String> {
        self.log.try_iter().collect()
    }

    /// Its number.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success());
    }

    /// How it ends, and how long that takes.
    pub(crate) async fn end(&mut self) -> (ExitStatus, Duration) {
        let asked = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, asked.elapsed());
            }
            assert!(asked.elapsed() < PATIENCE, "it does not end");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A body without the lengths of its chunks (RFC 9112 §7.1).
fn joined(body: &str) -> String {
    let (mut rest, mut whole) = (body.as_bytes(), Vec::new());
    loop {
        let end = rest.windows(2).position(|pair| pair == b"\r\n").unwrap();
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        if length == 0 {
            return String::from_utf8(whole).unwrap();
        }
        let chunk = &rest[end + 2..];
        whole.extend_from_slice(&chunk[..length]);
        rest = &chunk[length + 2..];
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A domain without fault, and one whose second mail host the policy does not cover.
async fn good_and_bad(world: &MailWorld) -> [MailDomain; 2] {
    let domains = [world.domain("good.example").await, world.domain("bad.example").await];
    let address = match domains[0].smtp.ip() {
        std::net::IpAddr::V4(address) => address,
        other => panic!("{other}"),
    };
    world.dns.mx("bad.example", &[(10, "mx.bad.example"), (20, "mx.good.example")]);
    world.dns.a("mx.good.example", &[&address.to_string()]);
    domains
}

#[tokio::test]
async fn metrics_of_a_good_and_a_bad_domain() {
    let world = MailWorld::start().await;
    let domains = good_and_bad(&world).await;
    let config = world.config_file("domains: [{domain: good.example, group: ours}, bad.example]\n");
    let served = Served::start(&config).await;
    assert_eq!(served.get("/-/healthy").await.0, 200);
    let metrics = served
        .until(&[
            "smtptls_domain_delivery{domain=\"good.example\",state=\"protected\"} 1",
            "smtptls_domain_delivery{domain=\"bad.example\",state=\"partial\"} 1",
            "smtptls_config_last_reload_successful 1",
        ])
        .await;
    assert_eq!(served.get("/-/ready").await.0, 200);
    for family in [
        "smtptls_domain_info",
        "smtptls_domain_delivery",
        "smtptls_domain_paths",
        "smtptls_domain_findings",
        "smtptls_sts_policy_max_age_seconds",
        "smtptls_sts_policy_mode",
        "smtptls_mx_starttls_success",
        "smtptls_mx_certificate_verified",
        "smtptls_mx_certificate_not_after_timestamp_seconds",
        "smtptls_vantage_dns_failing",
        "smtptls_probes_total",
        "smtptls_build_info",
        "process_start_time_seconds",
    ] {
        assert!(metrics.contains(&format!("# TYPE {family} ")), "no {family}:\n{metrics}");
    }
    for line in [
        "smtptls_domain_info{domain=\"good.example\",group=\"ours\"} 1",
        "smtptls_domain_findings{domain=\"bad.example\",severity=\"error\"} 1",
        "smtptls_domain_findings{domain=\"good.example\",severity=\"error\"} 0",
        "smtptls_mx_in_policy{domain=\"bad.example\",mx=\"mx.good.example\"} 0",
        "smtptls_mx_finding{mx=\"mx.good.example\",code=\"mx-not-in-policy\"} 1",
        "smtptls_mx_domains{mx=\"mx.good.example\"} 2",
        "smtptls_task_panics_total 0",
    ] {
        assert!(metrics.lines().any(|known| known == line), "no {line}:\n{metrics}");
    }
    let (status, page) = served.get("/").await;
    assert!(status == 200 && page.contains("/metrics"), "{page}");
    assert_eq!(served.get("/nothing").await.0, 404);

    // Scrapes, pages and the API read what is known; nobody is asked for them.
    let asked = |domains: &[MailDomain; 2]| {
        let of = |domain: &MailDomain| (domain.smtp.connections(), domain.https.connections());
        (domains.each_ref().map(of), world.dns.queries().len())
    };
    let before = asked(&domains);
    for _ in 0..100 {
        assert_eq!(served.get("/metrics").await.0, 200);
    }
    assert_eq!(asked(&domains), before);
    for path in PATHS.iter().filter(|path| !path.starts_with("/probe")) {
        let path = path.replace("example.com", "good.example");
        let (status, body) = served.get(&path).await;
        assert!(status < 500, "{path}: {status} {body}");
        assert_eq!(asked(&domains), before, "{path}");
    }
    assert_eq!(served.get("/domains/good.example").await.0, 200);
    assert_eq!(served.get("/api/v1/domains/good.example").await.0, 200);
    assert_eq!(asked(&domains), before);
}

#[tokio::test]
async fn one_bad_domain_spoils_no_scrape() {
    let world = MailWorld::start().await;
    let _good = world.domain("good.example").await;
    world.dns.behave("broken.example", Behaviour::ServFail);
    let config = world.config_file("domains: [broken.example, good.example, absent.example]\n");
    let served = Served::start(&config).await;
    let metrics = served.until(&["smtptls_domain_delivery{domain=\"good.example\",state=\"protected\"} 1"]).await;
    for domain in ["broken.example", "absent.example"] {
        assert!(metrics.contains(&format!("domain=\"{domain}\"")), "{metrics}");
    }
}

#[tokio::test]
async fn reloads_by_request_and_by_signal() {
    let world = MailWorld::start().await;
    let _domains = good_and_bad(&world).await;
    let config = world.config_file("domains: [good.example]\n");
    let served = Served::start(&config).await;
    let good = "smtptls_domain_delivery{domain=\"good.example\",state=\"protected\"} 1";
    let bad = "smtptls_domain_delivery{domain=\"bad.example\",state=\"partial\"} 1";
    served.until(&[good]).await;
    assert_eq!(served.get("/-/reload").await.0, 405);

    std::fs::write(&config, world.config_text("domains: [good.example, 'not a name']\n")).unwrap();
    let (status, text) = served.request("POST", "/-/reload").await;
    assert_eq!(status, 500);
    assert!(text.contains("not a name") && text.contains("smtptls-exporter.yml"), "{text}");
    let metrics = served.until(&["smtptls_config_last_reload_successful 0", good]).await;
    assert!(!metrics.contains("bad.example"));

    world.config_file("domains: [good.example, bad.example]\n");
    assert_eq!(served.request("POST", "/-/reload").await.0, 200);
    served.until(&["smtptls_config_last_reload_successful 1", good, bad]).await;

    // What is set up behind a valid file can fail as well.
    let away = world.config_text("domains: [good.example]\n").replace("ca.pem", "nowhere.pem");
    std::fs::write(&config, away).unwrap();
    served.signal("HUP");
    served.until(&["smtptls_config_last_reload_successful 0", good, bad]).await;

    world.config_file("domains: [bad.example]\n");
    served.signal("HUP");
    // The settings are in force a moment before the page shows it.
    let alone = "smtptls_mx_domains{mx=\"mx.good.example\"} 1";
    let metrics = served.until(&["smtptls_config_last_reload_successful 1", bad, alone]).await;
    assert!(!metrics.contains("domain=\"good.example\""), "{metrics}");
}

#[tokio::test]
async fn it_ends_in_order_and_soon() {
    let world = MailWorld::start().await;
    let domain = world.domain("example.com").await;
    let good = SmtpScript::good(&world.pki.identity(&["mx.example.com"]));
    domain.smtp.set_script(SmtpScript { banner: Act::Hang, ..good });
    for signal in ["TERM", "INT"] {
        let before = domain.smtp.connections();
        let mut served = Served::start(&world.config_file("domains: [example.com]\n")).await;
        // A probe is under way, and a client keeps its connection.
        let mut idle = TcpStream::connect(served.address).await.unwrap();
        idle.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let end = Instant::now() + PATIENCE;
        while domain.smtp.connections() == before {
            assert!(Instant::now() < end, "never probed");
            sleep(Duration::from_millis(20)).await;
        }
        served.signal(signal);
        let (status, took) = served.end().await;
        assert_eq!(status.code(), Some(0), "{signal}");
        assert!(took < Duration::from_secs(8), "{signal}: {took:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_served_is_said_and_ends_with_2() {
    let world = MailWorld::start().await;
    let _domain = world.domain("example.com").await;
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let config = world.config_file("domains: [example.com]\n");
    let empty = world.file("empty.yml");
    std::fs::write(&empty, world.config_text("domains: []\n")).unwrap();
    for (config, listen, expected) in
        [(&config, address.as_str(), address.as_str()), (&empty, "127.0.0.1:0", "no domain")]
    {
        let mut command = Command::new(env!("CARGO_BIN_EXE_smtptls-exporter"));
        command.args(["--web.listen-address", listen, "--config.file"]).arg(config);
        command.arg("--state.dir").arg(world.file("state"));
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let said = tokio::task::spawn_blocking(move || {
            let mut said = String::new();
            stderr.read_to_string(&mut said).unwrap();
            said
        });
        let said = tokio::time::timeout(PATIENCE, said).await.unwrap().unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(2), "{said}");
        assert!(said.contains(expected), "{said}");
        assert!(!said.contains("panicked"), "{said}");
    }
    assert_eq!(world.dns.queries(), [], "nobody is asked before the port is there");
}
