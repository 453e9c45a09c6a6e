//! What a large fleet takes.
//!
//! `cargo bench --bench fleet -- simulated --domains 1000000`: a million domains on shared mail hosts whose peers are not there. It
//! measures the monitor itself: memory, lag of the schedule, CPU, publications, scrapes, and a start from the stored state. With
//! `--check` it fails where a bound is missed.
//!
//! `cargo bench --bench fleet -- loopback --domains 100000 --hosts 200 --interval 600 --seconds 1200`: the same over real sockets, with
//! peers in another process.
#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a program for the person at the terminal"
)]

mod asleep;
mod certificate;
mod chance;
mod lag;
mod loopback;
mod meter;
mod peers;
mod product;
mod prometheus;
mod publications;
mod report;
mod simulated;
#[path = "../check/town.rs"]
mod town;
#[allow(dead_code, reason = "the peers of the tests can do more than is needed here")]
#[path = "../../tests/suite/world/mod.rs"]
mod world;

use std::{env, process::ExitCode};

use clap::Parser;

#[derive(Parser, Debug)]
enum Arguments {
    /// Peers that are not there.
    Simulated(simulated::Options),
    /// Peers over real sockets, in another process.
    Loopback(loopback::Options),
    /// The peers of `loopback`.
    #[command(hide = true)]
    Town { domains: usize, hosts: usize },
    /// For the second process of `simulated`.
    #[command(hide = true)]
    Restart(simulated::Restart),
}

fn main() -> ExitCode {
    // Cargo adds it for harnesses that know what it means.
    match Arguments::parse_from(env::args().filter(|argument| argument != "--bench")) {
        Arguments::Simulated(options) => simulated::run(&options),
        Arguments::Loopback(options) => loopback::run(&options),
        Arguments::Town { domains, hosts } => {
            town::run(domains, hosts);
            ExitCode::SUCCESS
        }
        Arguments::Restart(options) => simulated::restart(&options),
    }
}
