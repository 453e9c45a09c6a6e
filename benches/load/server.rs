//! The world, and the program that looks at it.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::sleep,
};

/// For what takes seconds where all goes well.
const PATIENCE: Duration = Duration::from_secs(120);
/// The least between two looks at the same domain or address: with the usual ones nothing would happen in a measurement of a minute.
const INTERVAL: &str = "10s";

/// `demo`: name server, policy hosts and mail hosts.
pub(crate) struct World {
    _process: Process,
    folder: TempDir,
}

/// `serve`, which looks at it.
pub(crate) struct Server {
    process: Process,
    pub(crate) address: SocketAddr,
}

/// A process that ends when this is dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What is so at a moment.
#[derive(Clone, Debug)]
pub(crate) struct Moment {
    pub(crate) at: Instant,
    /// Megabytes.
    pub(crate) resident: f64,
    /// The most since it started.
    pub(crate) peak: f64,
    pub(crate) descriptors: usize,
    pub(crate) lag: Lag,
}

/// How late looks began, as the program counts it.
#[derive(Clone, Debug)]
pub(crate) struct Lag {
    pub(crate) count: f64,
    within_a_second: f64,
    within_ten: f64,
}

impl Lag {
    fn read(metrics: &str) -> Self {
        let value = |start: &str| {
            let line = metrics.lines().find(|line| line.starts_with(start)).expect("the program tells its lag");
            line.rsplit(' ').next().and_then(|value| value.parse().ok()).expect("a number")
        };
        Self {
            count: value("smtptls_schedule_lag_seconds_count"),
            // The buckets stand in order, so that the first that begins so is this one.
            within_a_second: value("smtptls_schedule_lag_seconds_bucket{le=\"1"),
            within_ten: value("smtptls_schedule_lag_seconds_bucket{le=\"10"),
        }
    }

    /// What came after an earlier moment.
    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            count: self.count - before.count,
            within_a_second: self.within_a_second - before.within_a_second,
            within_ten: self.within_ten - before.within_ten,
        }
    }

    /// The share of looks that began more than a second after their time.
    pub(crate) fn late(&self) -> f64 {
        1.0 - self.within_a_second / self.count
    }

    /// The share of looks that began more than ten seconds after their time: a whole interval.
    pub(crate) fn very_late(&self) -> f64 {
        1.0 - self.within_ten / self.count
    }
}

impl World {
    pub(crate) async fn start(exporter: &Path, domains: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new(exporter);
        command.args(["demo", "--log.level", "info", "--web.listen-address", "127.0.0.1:0"]);
        command.args(["--domains", &domains.to_string(), "--demo.dir"]);
        let (process, address) = start(command.arg(folder.path()));
        ready(address).await;
        Self { _process: process, folder }
    }

    /// The configuration of the demonstration, with a state of its own and shorter intervals.
    fn config(&self) -> PathBuf {
        let text = fs::read_to_string(self.folder.path().join("smtptls-exporter.yml")).expect("it writes one");
        let mut own = String::new();
        for line in text.lines() {
            let (before, interval) = line.rsplit_once(", interval: ").unwrap_or((line, ""));
            let line = match line.trim_start() {
                // One of those without a fault.
                entry if entry.starts_with("- {") && !interval.is_empty() => {
                    format!("{before}, interval: {INTERVAL}}}")
                }
                key if key.starts_with("interval:") => format!("  interval: {INTERVAL}"),
                key if key.starts_with("mx_interval:") => format!("  mx_interval: {INTERVAL}"),
                key if key.starts_with("policy_retry_interval:") => format!("  policy_retry_interval: {INTERVAL}"),
                // Its reports are those of the demonstration.
                key if key.starts_with("maildir:") => continue,
                key if key.starts_with("state:") => {
                    format!("state: {{dir: {}}}", self.folder.path().join("state-of-serve").display())
                }
                _ => line.to_owned(),
            };
            own += &line;
            own.push('\n');
        }
        let path = self.folder.path().join("serve.yml");
        fs::write(&path, own).expect("the folder takes it");
        path
    }
}

impl Server {
    pub(crate) async fn start(exporter: &Path, world: &World) -> Self {
        let mut command = Command::new(exporter);
        command.args(["serve", "--web.listen-address", "127.0.0.1:0", "--config.file"]).arg(world.config());
        let (process, address) = start(&mut command);
        ready(address).await;
        // The first round is over, and the second begins.
        sleep(Duration::from_secs(10)).await;
        Self { process, address }
    }

    pub(crate) async fn moment(&self) -> Moment {
        let process = self.process.0.id();
        let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the field");
            line.split_whitespace().next().and_then(|number| number.parse::<f64>().ok()).expect("a number") / 1024.0
        };
        let descriptors = fs::read_dir(format!("/proc/{process}/fd")).expect("it runs").count();
        let (resident, peak) = (field("VmRSS:"), field("VmHWM:"));
        Moment { at: Instant::now(), resident, peak, descriptors, lag: Lag::read(&metrics(self.address).await) }
    }
}

/// Starts a program that says in its log, on standard error, where it listens.
fn start(command: &mut Command) -> (Process, SocketAddr) {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut process = Process(command.spawn().expect("it starts"));
    let log = BufReader::new(process.0.stderr.take().expect("a pipe"));
    let (found, address) = mpsc::channel();
    // To its end, so that the program never waits for a reader.
    thread::spawn(move || {
        for line in log.lines().map_while(Result::ok).filter(|line| line.contains("msg=listening")) {
            let after = line.split("address=").nth(1).unwrap_or_default();
            let address = after.split_whitespace().next().and_then(|word| word.trim_matches('"').parse().ok());
            // Whoever waits takes the first.
            let _ = address.map(|address| found.send(address));
        }
    });
    let address = address.recv_timeout(PATIENCE).expect("it says where it listens");
    (process, address)
}

async fn ready(address: SocketAddr) {
    let end = Instant::now() + PATIENCE;
    loop {
        let answer = get(address, "/-/ready").await.unwrap_or_default();
        if answer.starts_with("HTTP/1.0 200") || answer.starts_with("HTTP/1.1 200") {
            return;
        }
        assert!(Instant::now() < end, "it is never ready: {answer}");
        sleep(Duration::from_millis(100)).await;
    }
}

/// Under load the first try may be turned away.
async fn metrics(address: SocketAddr) -> String {
    let end = Instant::now() + PATIENCE;
    loop {
        match get(address, "/metrics").await {
            Some(answer) if answer.contains("smtptls_schedule_lag_seconds_count") => return answer,
            _ => assert!(Instant::now() < end, "its metrics cannot be read any more"),
        }
        sleep(Duration::from_millis(200)).await;
    }
}

async fn get(address: SocketAddr, path: &str) -> Option<String> {
    let asked = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        // Of this version no answer comes in pieces.
        let request = format!("GET {path} HTTP/1.0\r\nHost: bench.example\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    };
    tokio::time::timeout(Duration::from_secs(20), asked).await.ok().flatten()
}
