//! What a process takes, as the system accounts for it (proc_pid_status(5), proc_pid_stat(5)).

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

/// USER_HZ, the same on all common Linux systems whatever their kernel's own tick.
const TICK: Duration = Duration::from_millis(10);

/// Resident memory in kB: now, and at its peak.
pub(crate) fn resident() -> (u64, u64) {
    let status = fs::read_to_string("/proc/self/status").expect("Linux has this");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the field");
        line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
    };
    (field("VmRSS:"), field("VmHWM:"))
}

/// Threads of this process.
pub(crate) fn threads() -> usize {
    fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

/// Open descriptors.
pub(crate) fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// CPU time: in all, and the part of it that peers took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cpu {
    pub(crate) all: Duration,
    pub(crate) apart: Duration,
    pub(crate) at: Instant,
}

impl Cpu {
    /// That of this process; the threads of the peers have this name.
    pub(crate) fn now(apart: &str) -> Self {
        let tasks = fs::read_dir("/proc/self/task").expect("Linux has this");
        let of = |folder: &Path| {
            let (name, cpu) = thread(&folder.join("stat"))?;
            name.starts_with(apart).then_some(cpu)
        };
        let apart = tasks.flatten().filter_map(|task| of(&task.path())).sum();
        let (_, all) = thread(Path::new("/proc/self/stat")).expect("Linux has this");
        Self { all, apart, at: Instant::now() }
    }

    /// That of this process, and apart from it that of another one.
    pub(crate) fn beside(process: u32) -> Self {
        let of = |stat: &str| thread(Path::new(stat)).expect("the process is there").1;
        let apart = of(&format!("/proc/{process}/stat"));
        Self { all: of("/proc/self/stat") + apart, apart, at: Instant::now() }
    }
}

/// CPU time of this thread.
pub(crate) fn own_thread() -> Duration {
    thread(Path::new("/proc/thread-self/stat")).expect("Linux has this").1
}

/// The name, and user and system time. A thread may end while it is looked at.
fn thread(stat: &Path) -> Option<(String, Duration)> {
    let stat = fs::read_to_string(stat).ok()?;
    let (before, after) = stat.rsplit_once(')')?;
    let name = before.split_once('(')?.1.to_owned();
    // Fields count from 1, and the state, which follows the name, is the third; utime and stime are 14 and 15.
    let fields: Vec<&str> = after.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field - 3)?.parse::<u32>().ok();
    Some((name, TICK * (ticks(14)? + ticks(15)?)))
}

/// The slope of a series by least squares: what it rises by in a minute.
pub(crate) fn slope(series: &[(Duration, u64)]) -> f64 {
    let count = series.len() as f64;
    let minutes = |(at, _): &(Duration, u64)| at.as_secs_f64() / 60.0;
    let value = |(_, value): &(Duration, u64)| *value as f64;
    let (x, y) = (series.iter().map(minutes).sum::<f64>() / count, series.iter().map(value).sum::<f64>() / count);
    let both: f64 = series.iter().map(|point| (minutes(point) - x) * (value(point) - y)).sum();
    let square: f64 = series.iter().map(|point| (minutes(point) - x).powi(2)).sum();
    both / square
}

/// The value that this share of the series does not exceed.
pub(crate) fn quantile(series: &mut [f64], share: f64) -> f64 {
    series.sort_by(f64::total_cmp);
    let place = ((series.len() as f64 * share).ceil() as usize).clamp(1, series.len().max(1)) - 1;
    series.get(place).copied().unwrap_or(f64::NAN)
}
