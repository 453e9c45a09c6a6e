//! What a check costs: `cargo bench --bench check`, for another number of domains `cargo bench --bench check -- 1000`.
//!
//! CPU time, user and system, of `smtptls-exporter check --file LIST` over healthy domains on loopback, each with its own
//! policy host and its own mail host, and certificates of their own. Beside it the floor: the same lookups, dialogues and
//! fetches with plain sockets and rustls, nothing judged. And `smtptls-exporter serve`, which looks at the same domains again
//! and again. `cargo bench --bench check -- blackbox` puts blackbox_exporter beside them.
//!
//! The peers are one process, every measured run another one: this program again, by its first argument. So the figures are
//! what the system accounts for the finished process alone, its start included. The system accounts in hundredths of a second:
//! over 1000 domains that is 0.01 ms a domain.
#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a program for the person at the terminal"
)]

mod blackbox;
mod floor;
mod running;
mod town;
#[allow(dead_code, reason = "the peers of the tests can do more than is needed here")]
#[path = "../../tests/suite/world/mod.rs"]
mod world;

use std::{
    env, fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use blackbox::Blackbox;
use floor::Work;
use town::Town;

/// So many that the start of a process, 20 ms in which the cryptographic library gathers entropy, is a fiftieth of what is measured;
/// and a running monitor that looks at each of them every two seconds has as many looks a second as one of a million domains that
/// looks at each every half hour.
const DOMAINS: usize = 1000;
/// Runs that count, after one that does not.
const RUNS: usize = 9;
/// Of them, those in which the running monitor is measured too: each takes some seconds.
const RUNNING_RUNS: usize = 3;
/// As [`RUNS`], beside blackbox_exporter.
const BLACKBOX_RUNS: usize = 5;
/// What the system accounts time in: USER_HZ, the same on all common Linux systems whatever their kernel's own tick.
const TICK: Duration = Duration::from_millis(10);

fn main() {
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => compare(DOMAINS),
        ["town", domains, hosts] => town::run(domains.parse().expect("a number"), hosts.parse().expect("a number")),
        ["floor", work, domains, ref doors @ ..] => {
            floor::run(Work::parse(work), domains.parse().expect("a number of domains"), doors);
        }
        ["blackbox"] => compare_with_blackbox(DOMAINS),
        [domains] => compare(domains.parse().expect("a number of domains")),
        _ => panic!("usage: check [DOMAINS | blackbox]"),
    }
}

/// Runs all in turn, so that a slow moment of the machine meets all alike, and prints the middle of each.
fn compare(domains: usize) {
    let town = Town::start(domains);
    let files = Files::write(&town, domains);
    let mut checks = Vec::new();
    let mut again = Vec::new();
    let mut floors: Vec<(Work, Vec<Cost>)> = Work::ALL.map(|work| (work, Vec::new())).into();
    for run in 0..=RUNS {
        let check = files.check(domains);
        let floor = Work::ALL.map(|work| floor::measure(work, domains, &town));
        if run > 0 {
            checks.push(check);
            floors.iter_mut().zip(floor).for_each(|((_, costs), cost)| costs.push(cost));
        }
        if run < RUNNING_RUNS {
            again.push(running::monitor(&files, domains));
        }
    }

    println!("{domains} domains, the middle of {RUNS} runs ({RUNNING_RUNS} of serve), CPU in ms a domain");
    println!("{HEAD}");
    let check = row("check", &each(domains, checks));
    let again = row("serve, again", &again);
    let mut floor = 0.0;
    for (work, costs) in floors {
        floor += row(work.title(), &each(domains * floor::ROUNDS, costs));
    }
    println!("floor in all         {floor:6.3}");
    println!("check / floor        {:6.2}", check / floor);
    println!("serve / check        {:6.2}", again / check);
}

/// The same peers, asked by blackbox_exporter.
fn compare_with_blackbox(domains: usize) {
    let town = Town::start(domains);
    let files = Files::write(&town, domains);
    let blackbox = Blackbox::start(&town, domains);
    let (mut checks, mut theirs) = (Vec::new(), Vec::new());
    for run in 0..=BLACKBOX_RUNS {
        let (ours, other) = (files.check(domains), blackbox.measure(domains));
        if run > 0 {
            checks.push(ours);
            theirs.push(other);
        }
    }
    let again = running::monitor(&files, domains);

    println!("{domains} domains, the middle of {BLACKBOX_RUNS} runs (1 of serve), CPU in ms a domain");
    println!("{HEAD}");
    let check = row("check", &each(domains, checks));
    let again = row("serve, again", &[again]);
    let theirs = row("blackbox_exporter", &each(domains, theirs));
    println!("check / blackbox     {:6.3}", check / theirs);
    println!("serve / blackbox     {:6.3}", again / theirs);
}

const HEAD: &str = "                        CPU   (least to most)  user  system   wall s  peak MB";

fn each(times: usize, costs: Vec<Cost>) -> Vec<(Cost, usize)> {
    costs.into_iter().map(|cost| (cost, times)).collect()
}

/// Prints what each of so many times cost, and returns the middle.
fn row(title: &str, costs: &[(Cost, usize)]) -> f64 {
    let each = |of: fn(&Cost) -> Duration| {
        let one = |(cost, times): &(Cost, usize)| of(cost).as_secs_f64() * 1000.0 / *times as f64;
        let mut costs: Vec<f64> = costs.iter().map(one).collect();
        costs.sort_by(f64::total_cmp);
        costs
    };
    let cpu = each(|cost| cost.user + cost.system);
    let middle = |costs: &[f64]| costs[costs.len() / 2];
    let mut wall: Vec<f64> = costs.iter().map(|(cost, _)| cost.wall.as_secs_f64()).collect();
    wall.sort_by(f64::total_cmp);
    println!(
        "{title:20} {:6.3}  ({:.3} to {:.3})  {:.3}   {:.3}  {:7.3}  {}",
        middle(&cpu),
        cpu[0],
        cpu[cpu.len() - 1],
        middle(&each(|cost| cost.user)),
        middle(&each(|cost| cost.system)),
        middle(&wall),
        costs
            .iter()
            .filter_map(|(cost, _)| cost.peak_kib)
            .max()
            .map_or_else(|| "      ?".to_owned(), |kib| format!("{:7.1}", kib as f64 / 1024.0)),
    );
    middle(&cpu)
}

/// What a process used, to its end or in a stretch of time.
struct Cost {
    user: Duration,
    system: Duration,
    wall: Duration,
    /// The peak of resident memory, where it was seen.
    peak_kib: Option<u64>,
}

/// Runs a program to its end and returns what it printed and what it cost.
///
/// What the finished children of this process used (`cutime` and `cstime` of proc_pid_stat(5)) grows by what this one used
/// when it is waited for: the peers go on, and are in no figure.
fn measure(command: &mut Command) -> (String, Cost) {
    let (user, system) = finished_children();
    let began = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the program starts");
    let mut output = Vec::new();
    let mut stdout = child.stdout.take().expect("a pipe");
    // The result comes at the end and in one piece, larger than a pipe: at its first byte the peak is reached, and the process
    // is still there.
    let mut first = [0];
    let length = stdout.read(&mut first).expect("the output can be read");
    let peak_kib = peak_kib(child.id());
    output.extend_from_slice(&first[..length]);
    stdout.read_to_end(&mut output).expect("the output can be read");
    let status = child.wait().expect("the program ends");
    let wall = began.elapsed();
    let (user_after, system_after) = finished_children();
    assert!(status.success(), "{command:?} ended with {status}");
    let output = String::from_utf8(output).expect("UTF-8");
    (output, Cost { user: user_after - user, system: system_after - system, wall, peak_kib })
}

/// User and system time of all children that were waited for.
fn finished_children() -> (Duration, Duration) {
    let stat = fs::read_to_string("/proc/self/stat").expect("Linux has this");
    (TICK * ticks(&stat, 16), TICK * ticks(&stat, 17))
}

/// A time of proc_pid_stat(5), by the number of its field.
fn ticks(stat: &str, number: usize) -> u32 {
    let (_, after_name) = stat.rsplit_once(')').expect("the name in parentheses");
    // Fields count from 1, and the state, which follows the name, is the third.
    let ticks = after_name.split_whitespace().nth(number - 3).expect("the field");
    ticks.parse().expect("a number of ticks")
}

fn peak_kib(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The files that `check` and `serve` read.
struct Files {
    config: PathBuf,
    /// With the domains, each looked at every two seconds: what takes longer than that has failed.
    running: PathBuf,
    list: PathBuf,
    _folder: TempDir,
}

impl Files {
    fn write(town: &Town, domains: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the files");
        let (config, list) = (folder.path().join("config.yml"), folder.path().join("domains.txt"));
        let running = folder.path().join("running.yml");
        let ca_file = folder.path().join("root.pem");
        fs::write(&ca_file, &town.root_pem).expect("the root is written");
        let settings = |more: &str| {
            format!(
                "resolver: {{servers: [\"{}\"], dnssec: off, timeout: 2s}}\n\
                 probe: {{smtp_port: {}, https_port: {}, ca_file: {}, allow_private_addresses: true, legacy_tls: false{more}}}\n",
                town.dns,
                town.smtp_port,
                town.https_port,
                ca_file.display()
            )
        };
        fs::write(&config, settings("")).expect("the configuration is written");
        let names: String = (0..domains).map(|number| town::domain(number) + "\n").collect();
        fs::write(&list, &names).expect("the list is written");
        let domains: String = names.lines().map(|name| format!("  - {name}\n")).collect();
        let text = settings(", interval: 2s, mx_interval: 2s, timeout: 2s") + "domains:\n" + &domains;
        fs::write(&running, text).expect("the configuration is written");
        Self { config, running, list, _folder: folder }
    }

    /// One check of all domains. A figure of failures would be none: all must be found protected, and nothing wrong.
    fn check(&self, domains: usize) -> Cost {
        let mut command = Command::new(Path::new(env!("CARGO_BIN_EXE_smtptls-exporter")));
        command.arg("--config.file").arg(&self.config).arg("check").arg("--file").arg(&self.list);
        let (output, cost) = measure(command.args(["--format", "json"]));
        let found: Vec<serde_json::Value> = serde_json::from_str(&output).expect("JSON");
        assert_eq!(found.len(), domains, "each domain once");
        for domain in &found {
            assert_eq!(domain["delivery"], "protected", "{domain:#}");
            assert_eq!(domain["findings"], serde_json::json!([]), "{domain:#}");
        }
        cost
    }
}
