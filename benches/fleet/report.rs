//! What is printed, and the verdicts on the bounds.

use std::process::ExitCode;

use smtptls_exporter::config::MetricsLevel;
use tokio::runtime::{Builder, Runtime};

use crate::{
    lag::Lag,
    meter::{self, Cpu},
};

/// The most series that the configuration takes: nothing is to be left out.
pub(crate) const MOST_SERIES: u64 = 100_000_000;

/// Seconds: looks begin within this time of their due time, but for one of a hundred.
pub(crate) const LAG: f64 = 1.0;

/// How much is told of each domain.
#[derive(clap::ValueEnum, Clone, Copy, Debug)]
pub(crate) enum Detail {
    Summary,
    Normal,
    Full,
}

impl From<Detail> for MetricsLevel {
    fn from(detail: Detail) -> Self {
        match detail {
            Detail::Summary => Self::Summary,
            Detail::Normal => Self::Normal,
            Detail::Full => Self::Full,
        }
    }
}

/// The verdicts on the bounds.
#[derive(Default)]
pub(crate) struct Bounds {
    missed: Vec<String>,
}

impl Bounds {
    /// Prints a value beside its bound.
    pub(crate) fn hold(&mut self, what: &str, value: f64, most: f64) {
        let kept = value <= most;
        println!("{:44} {value:14.3}   at most {most:12.3}   {}", what, if kept { "kept" } else { "MISSED" });
        if !kept {
            self.missed.push(what.to_owned());
        }
    }

    /// How the program ends: where it was asked to check, badly once a bound was missed.
    pub(crate) fn exit(&self, check: bool) -> ExitCode {
        match (check, self.missed.is_empty()) {
            (true, false) => ExitCode::FAILURE,
            _ => ExitCode::SUCCESS,
        }
    }
}

pub(crate) fn row(what: &str, value: f64) {
    println!("{what:44} {value:14.3}");
}

pub(crate) fn cost(when: &str, from: Cpu, to: Cpu, looks: u64) {
    let wall = (to.at - from.at).as_secs_f64();
    let (all, apart) = ((to.all - from.all).as_secs_f64(), (to.apart - from.apart).as_secs_f64());
    println!(
        "{when:28} {wall:8.1} s  {:8.1} looks/s  CPU {:7.3} ms a look, of it the peers' {:7.3}",
        looks as f64 / wall,
        all * 1000.0 / looks as f64,
        apart * 1000.0 / looks as f64
    );
}

pub(crate) fn lag_rows(when: &str, lag: &Lag) {
    println!(
        "lag {when:28} p50 <= {} s, p99 <= {} s, most <= {} s; within 1 s: {:.4} of {}",
        lag.quantile(0.5),
        lag.quantile(0.99),
        lag.quantile(1.0),
        lag.within(LAG),
        lag.count
    );
}

pub(crate) fn publications_row(when: &str, mut seconds: Vec<f64>) {
    let share: f64 = seconds.iter().sum();
    println!(
        "publications {when:18} {} of p50 {:.1} ms, p99 {:.1} ms, most {:.1} ms; {share:.1} s in all",
        seconds.len(),
        meter::quantile(&mut seconds, 0.5) * 1e3,
        meter::quantile(&mut seconds, 0.99) * 1e3,
        meter::quantile(&mut seconds, 1.0) * 1e3,
    );
}

pub(crate) fn megabytes(kb: u64) -> f64 {
    kb as f64 * 1024.0 / 1e6
}

/// As `serve` has it: as many threads as cores.
pub(crate) fn runtime(name: &str) -> Runtime {
    Builder::new_multi_thread().thread_name(name).enable_all().build().expect("threads")
}
