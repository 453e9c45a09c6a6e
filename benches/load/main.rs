//! What crowds do to a running program: `cargo bench --bench load`.
//!
//! `demo` is the world in a process of its own, `serve` probes it without pause in another one, and this process is the crowd: thousands
//! of connections at once, of which half are scrapers and half send their header a line at a time and never end it; then a steady rate
//! of scrapes. It tells who was answered and when, the memory of `serve`, and what became of its looks: how many, and how late.
//! With `--check` it fails where a bound is missed.
#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::panic,
    reason = "a program for the person at the terminal"
)]

mod crowd;
mod server;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use tokio::{runtime::Builder, time::sleep};

use crowd::{Outcome, newcomer, slow, steady};
use server::{Moment, Server, World};

#[derive(Parser, Debug)]
struct Options {
    /// Connections at one time, half of them scrapers.
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    /// Addresses on loopback from which they come.
    #[arg(long, default_value_t = 500)]
    sources: usize,
    /// Scrapes a second of the steady rate.
    #[arg(long, default_value_t = 1000)]
    scrapes: usize,
    /// How long each part goes on.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Domains that are probed without a fault, beside those of the demonstration.
    #[arg(long, default_value_t = 200)]
    domains: usize,
    /// Another program than the one that was built with this.
    #[arg(long)]
    exporter: Option<PathBuf>,
    /// Fail where a bound is missed.
    #[arg(long)]
    check: bool,
}

/// Between two scrapes of one scraper of the crowd, as Prometheus has it where nobody says otherwise.
const SCRAPE_INTERVAL: Duration = Duration::from_secs(15);
/// Connections of the steady rate.
const STEADY_CONNECTIONS: usize = 64;
/// For what was taken to be given back.
const REST: Duration = Duration::from_secs(10);

/// Bounds that do not depend on the machine. Whoever comes new is answered, and so is the steady rate …
const ANSWERED_LEAST: f64 = 0.99;
/// … the memory that ten thousand connections take, and the text that is on its way to them …
const MEMORY_MOST: f64 = 256.0;
/// … and what of it may still be there after a rest, as the allocator keeps some: about 54 MB were, in an optimised build …
const AFTER_MOST: f64 = 96.0;
/// … and looks begin in time, but for one of a hundred. In an optimised build that is within a second. In one that is not, the crowd alone
/// takes the processors: there it is within ten, the interval of these looks, so that none is left out.
const LATE_MOST: f64 = 0.01;

fn main() -> ExitCode {
    // Cargo adds it for harnesses that know what it means.
    let options = Options::parse_from(std::env::args().filter(|argument| argument != "--bench"));
    // Each connection is a descriptor here and one there, and the child has the limit of its parent.
    let descriptors = rlimit::increase_nofile_limit(u64::MAX).expect("a limit");
    println!("{descriptors} descriptors at most");
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let missed = runtime.block_on(run(&options));
    for missed in &missed {
        println!("missed: {missed}");
    }
    if options.check && !missed.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

async fn run(options: &Options) -> Vec<String> {
    let exporter = options.exporter.clone().unwrap_or_else(|| env!("CARGO_BIN_EXE_smtptls-exporter").into());
    let world = World::start(&exporter, options.domains).await;
    let server = Server::start(&exporter, &world).await;
    let part = Duration::from_secs(options.seconds);
    let mut missed = Vec::new();
    println!(
        "\n| part | scrapes answered | refused | broken | p50 | p99 | newcomers answered | their p99 | looks a second | late by more than 1 s | RSS | at its peak | descriptors |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|");

    let before = server.moment().await;
    let (alone, _) = watched(&server, part / 2, Outcome::default(), None).await;
    let idle = tell("nobody else", &before, &server.moment().await, &alone, &mut missed);

    let before = server.moment().await;
    let scrapers = options.connections / 2;
    let crowd = tokio::spawn(crowd::scrapers(server.address, scrapers, options.sources, SCRAPE_INTERVAL, part));
    let loris = tokio::spawn(slow(server.address, options.connections - scrapers, options.sources, part));
    let (newcomers, crowd) = watched(&server, part, Outcome::default(), Some(crowd)).await;
    let held = loris.await.expect("they end");
    let seen = tell("a crowd", &before, &server.moment().await, &crowd.with(newcomers), &mut missed);
    println!(
        "slow clients: {} connections were taken, of which {} were closed by the server within the part",
        held.opened, held.closed
    );
    hold("memory under the crowd, MB over what it was", seen.peak - idle.resident, MEMORY_MOST, &mut missed);

    sleep(REST).await;
    let before = server.moment().await;
    let rate = tokio::spawn(steady(server.address, options.scrapes, STEADY_CONNECTIONS, part));
    let (newcomers, steady) = watched(&server, part, Outcome::default(), Some(rate)).await;
    let answered = steady.answered as f64 / part.as_secs_f64();
    let unanswered = 1.0 - steady.answered as f64 / steady.all() as f64;
    tell("a steady rate", &before, &server.moment().await, &steady.with(newcomers), &mut missed);
    println!("the steady rate: {answered:.1} scrapes a second were answered of {}", options.scrapes);
    hold("scrapes of the steady rate that were not answered, share", unanswered, 1.0 - ANSWERED_LEAST, &mut missed);

    sleep(REST).await;
    let after = server.moment().await;
    println!("afterwards: RSS {:.1} MB, {} descriptors", after.resident, after.descriptors);
    hold("memory afterwards, MB over what it was", after.resident - idle.resident, AFTER_MOST, &mut missed);
    missed
}

/// Runs a part, while once a second somebody new scrapes from an address that nobody else has.
async fn watched(
    server: &Server,
    part: Duration,
    nobody: Outcome,
    others: Option<tokio::task::JoinHandle<Outcome>>,
) -> (Outcome, Outcome) {
    let newcomers = newcomer(server.address, part).await;
    let others = match others {
        Some(others) => others.await.expect("they end"),
        None => nobody,
    };
    (newcomers, others)
}

fn tell(part: &str, before: &Moment, after: &Moment, outcome: &Outcome, missed: &mut Vec<String>) -> Moment {
    let lag = after.lag.since(&before.lag);
    let looks = lag.count / (after.at - before.at).as_secs_f64();
    let newcomers = outcome.newcomers.as_deref().expect("somebody came");
    let answered = newcomers.answered as f64 / newcomers.all() as f64;
    println!(
        "| {part} | {} | {} | {} | {:.3} s | {:.3} s | {:.3} of {} | {:.3} s | {looks:.1} | {:.4} | {:.1} MB | {:.1} MB | {} |",
        outcome.answered,
        outcome.refused,
        outcome.broken,
        outcome.quantile(0.5),
        outcome.quantile(0.99),
        answered,
        newcomers.all(),
        newcomers.quantile(0.99),
        lag.late(),
        after.resident,
        after.peak,
        after.descriptors,
    );
    if answered < ANSWERED_LEAST {
        missed.push(format!("{part}: of those who came new {answered:.3} were answered, at least {ANSWERED_LEAST}"));
    }
    hold(&format!("{part}: looks that began later than ten seconds, share"), lag.very_late(), LATE_MOST, missed);
    if !cfg!(debug_assertions) {
        hold(&format!("{part}: looks that began later than a second, share"), lag.late(), LATE_MOST, missed);
    }
    after.clone()
}

fn hold(what: &str, value: f64, most: f64, missed: &mut Vec<String>) {
    // Of nothing there is no share: where nobody looked or asked, nothing was held.
    if value.is_nan() || value > most {
        missed.push(format!("{what}: {value:.3}, at most {most:.3}"));
    }
}
