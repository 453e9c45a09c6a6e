//! What the schedule costs, and how even it keeps a fleet: `cargo bench --bench schedule`.
//!
//! For a thousand and for a million targets: nanoseconds of processor time for taking what is due and setting it again, for bringing a due time forward,
//! for removing and adding, and the memory of a target with its key of 16 bytes. Then three simulated days of a hundred thousand domains: the largest number of
//! looks in any second after the first minute, as a part of the mean.
#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a program for the person at the terminal, and the tests of what it measures"
)]

use std::{hint::black_box, time::Duration};

use tokio::time::Instant;

use self::{
    politeness::Limits,
    schedule::{Answer, Next, Schedule},
};

// The schedule as the library has it, which shows it to nobody.
#[allow(dead_code, reason = "not all of it is measured")]
#[path = "../src/monitor/politeness.rs"]
mod politeness;
#[allow(dead_code, unused_imports, reason = "not all of it is measured")]
#[path = "../src/monitor/schedule/mod.rs"]
mod schedule;

mod monitor {
    pub(crate) use crate::politeness;
}

mod facts {
    pub(crate) use smtptls_exporter::facts::PolicyHostObservation;
}

const LIMITS: Limits = Limits { per_host: 1, per_address: 1, per_network: 8, per_provider: 16, in_flight: 256 };
const INTERVAL: Duration = Duration::from_secs(1800);
const OPERATIONS: u32 = 1_000_000;

/// As large as the targets of the monitor.
type Key = [u64; 2];

fn key(number: u64) -> Key {
    [number, 0]
}

/// Numbers from 0 to 1, the same each time (SplitMix64).
fn draw(seed: &mut u64) -> f64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    f64::from(u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap_or(u32::MAX)) / f64::from(u32::MAX)
}

fn every(again: Duration) -> Next {
    Next { again, ..Next::default() }
}

fn main() {
    println!("targets    take and set  forward  remove and add  bytes");
    for targets in [1_000, 1_000_000] {
        measure(targets);
    }
    days(3);
}

fn measure(targets: u64) {
    let mut seed = 1;
    let before = resident();
    let mut schedule: Schedule<Key> = Schedule::new(LIMITS);
    let mut now = Instant::now();
    let mut ramp = schedule.ramp((0..targets).map(|_| INTERVAL), now);
    for number in 0..targets {
        schedule.begin(key(number), every(INTERVAL), &mut ramp, now);
    }
    let bytes = resident().saturating_sub(before) / targets;
    let mut taken = 0;
    let cycle = per_operation(|| {
        while taken < OPERATIONS {
            now = now.max(schedule.next().expect("something is always due some time"));
            while let Some(turn) = schedule.pop(now) {
                schedule.again(&turn.key, every(INTERVAL), now, || draw(&mut seed));
                schedule.end(turn.doors, Answer::Served, now);
                taken += 1;
            }
        }
    });
    let any = |seed: &mut u64| key(pick(seed, targets));
    let forward = per_operation(|| {
        for step in 0..OPERATIONS {
            let at = now + INTERVAL.mul_f64(1.0 - f64::from(step) / f64::from(OPERATIONS));
            black_box(schedule.no_later_than(&any(&mut seed), at));
        }
    });
    let renew = per_operation(|| {
        for _ in 0..OPERATIONS {
            let key = any(&mut seed);
            schedule.remove(&key);
            schedule.set(key, now + INTERVAL, every(INTERVAL));
        }
    });
    println!("{targets:<9}  {cycle:>9} ns  {forward:>4} ns  {renew:>11} ns  {bytes:>5}");
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "numbers of targets"
)]
fn pick(seed: &mut u64, of: u64) -> u64 {
    ((draw(seed) * of as f64) as u64).min(of - 1)
}

/// Nanoseconds on a processor: whatever else the machine does meanwhile does not count.
fn per_operation(operations: impl FnOnce()) -> u64 {
    let before = on_processor();
    operations();
    (on_processor() - before) / u64::from(OPERATIONS)
}

fn on_processor() -> u64 {
    let line = std::fs::read_to_string("/proc/self/schedstat").expect("Linux tells how long a process ran");
    let first = line.split_whitespace().next().and_then(|text| text.parse().ok());
    first.expect("the first number of schedstat is the time on a processor")
}

/// Resident memory of this process in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells the memory of a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has resident memory");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("in kB") * 1024
}

/// Half of the domains have three times the interval of the others. A look takes no time.
fn days(days: u32) {
    const DOMAINS: u64 = 100_000;
    let interval = |number: u64| if number.is_multiple_of(2) { INTERVAL * 2 } else { INTERVAL * 2 / 3 };
    let mean: f64 = (0..DOMAINS).map(|number| interval(number).as_secs_f64().recip()).sum();
    let mut schedule: Schedule<Key> = Schedule::new(LIMITS);
    let mut seed = 2;
    let began = Instant::now();
    let mut now = began;
    let mut ramp = schedule.ramp((0..DOMAINS).map(interval), now);
    for number in 0..DOMAINS {
        schedule.begin(key(number), every(interval(number)), &mut ramp, now);
    }
    let until = began + Duration::from_secs(86_400) * days;
    let (mut second, mut count, mut largest, mut all) = (0, 0_u32, 0, 0_u64);
    while let Some(next) = schedule.next().filter(|next| *next < until) {
        now = now.max(next);
        while let Some(turn) = schedule.pop(now) {
            let this = (now - began).as_secs();
            if this != second {
                largest = largest.max(count);
                (second, count) = (this, 0);
            }
            count += 1;
            all += 1;
            let [number, ..] = turn.key;
            schedule.again(&turn.key, every(interval(number)), now, || draw(&mut seed));
        }
    }
    println!(
        "{days} days of {DOMAINS} domains: {all} looks, {mean:.1} a second wished, {largest} at most in a second:"
    );
    println!("{:.2} times the mean", f64::from(largest) / mean);
}
