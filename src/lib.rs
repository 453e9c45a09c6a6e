//! The Prometheus exporter and continuous monitor for the transport security of e-mail.
//!
//! Facts come in at the edges ([`net`]), pure functions judge them ([`verdict`]), one snapshot holds the result
//! ([`monitor`]), and every face (metrics, page, command line) reads that snapshot. ARCHITECTURE.md walks through the rooms
//! and states what each of them never does.
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr)
)]

/// The allocator of the program, its tests and its benches. What large scrapes, reports and looks free goes back to the system, whichever
/// thread needed it; glibc keeps it for each thread. docs/performance.md has the figures. A fuzzer watches the heap with its own.
#[cfg(not(fuzzing))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

pub mod terms;

pub mod protocol;

pub mod facts;

pub mod verdict;

pub mod config;

pub mod net;

pub mod store;

pub mod monitor;

pub mod present;

pub mod metrics;

pub mod web;

pub mod demo;

pub mod cli;
