//! A program that runs on, and what a look costs it: the monitor after its first round, and blackbox_exporter.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use crate::{Cost, Files, TICK, ticks};

/// How long the looks of a run go on: with some hundred looks a second, a tick of the system's accounting is a five-hundredth of
/// what is measured.
const WINDOW: Duration = Duration::from_secs(12);
/// For what takes a second where all goes well.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running program; it is ended when this is dropped.
pub(crate) struct Running {
    child: Child,
    address: SocketAddr,
}

impl Running {
    /// Starts a program that says in its log, on standard error, where it listens: `address=…`, in a line with `marker`.
    pub(crate) fn start(command: &mut Command, marker: &'static str) -> Self {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
        let log = BufReader::new(child.stderr.take().expect("a pipe"));
        let (found, address) = mpsc::channel();
        // To its end, so that the program never waits for a reader.
        thread::spawn(move || {
            for line in log.lines().map_while(Result::ok).filter(|line| line.contains(marker)) {
                let after = line.split("address=").nth(1).unwrap_or_default();
                let address = after.split_whitespace().next().and_then(|word| word.trim_matches('"').parse().ok());
                // Whoever waits takes the first.
                let _ = address.map(|address| found.send(address));
            }
        });
        let address = address.recv_timeout(PATIENCE).expect("it says where it listens");
        Self { child, address }
    }

    /// The body of an answer with status 200.
    pub(crate) fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address).expect("it listens");
        // Of this version no answer comes in pieces.
        write!(stream, "GET {path} HTTP/1.0\r\nHost: bench.example\r\n\r\n").expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a header");
        assert_eq!(head.split_whitespace().nth(1), Some("200"), "{path}: {head}");
        body.to_owned()
    }

    /// User and system time of the whole process so far.
    pub(crate) fn used(&self) -> (Duration, Duration) {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it runs");
        (TICK * ticks(&stat, 14), TICK * ticks(&stat, 15))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself, and how it ends changes nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The monitor, after it has seen all domains twice: each is looked at every two seconds, its mail host and the address of that too.
/// Returns what it used in the window, and how many domains were looked at.
pub(crate) fn monitor(files: &Files, domains: usize) -> (Cost, usize) {
    let state = tempfile::tempdir().expect("a folder for the state");
    let mut command = Command::new(Path::new(env!("CARGO_BIN_EXE_smtptls-exporter")));
    command.args(["serve", "--web.listen-address", "127.0.0.1:0", "--config.file"]).arg(&files.running);
    let running = Running::start(command.arg("--state.dir").arg(state.path()), "listening");
    let began = Instant::now();
    while looks(&running).ended.into_iter().any(|looks| looks < 2 * domains) {
        assert!(began.elapsed() < PATIENCE, "two rounds take four seconds: {:?}", looks(&running));
        thread::sleep(Duration::from_millis(100));
    }
    let (before, (user, system), began) = (looks(&running), running.used(), Instant::now());
    thread::sleep(WINDOW);
    let ((user_after, system_after), after, wall) = (running.used(), looks(&running), began.elapsed());
    let [looked, hosts, addresses] = [0, 1, 2].map(|kind| after.ended[kind] - before.ended[kind]);
    // A figure of failures, or of looks without their dialogue, would be none.
    assert_eq!(after.failed, before.failed, "looks failed");
    assert!(
        looked > domains && hosts * 10 >= looked * 9 && addresses * 10 >= looked * 9,
        "{looked} {hosts} {addresses}"
    );
    let cost = Cost {
        user: user_after - user,
        system: system_after - system,
        wall,
        peak_kib: crate::peak_kib(running.child.id()),
    };
    (cost, looked)
}

/// How many looks ended.
#[derive(Debug)]
struct Looks {
    /// At domains, mail hosts and addresses.
    ended: [usize; 3],
    failed: usize,
}

fn looks(running: &Running) -> Looks {
    let metrics = running.get("/metrics");
    let value = |line: &str| line.rsplit_once(' ').and_then(|(_, value)| value.parse::<usize>().ok()).unwrap_or(0);
    let ended = ["domain", "mx", "mx-address"].map(|kind| {
        let series = format!("smtptls_probes_total{{kind=\"{kind}\"}} ");
        metrics.lines().find(|line| line.starts_with(&series)).map_or(0, value)
    });
    let failed = metrics.lines().filter(|line| line.starts_with("smtptls_probe_failures_total{")).map(value).sum();
    Looks { ended, failed }
}
