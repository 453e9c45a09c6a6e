//! One binary for all integration tests, so that the library is linked once.
#![forbid(unsafe_code)]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

mod advice;
mod any_bytes;
mod architecture;
mod attack;
mod certificate_corpus;
mod changes;
mod check;
mod check_formats;
mod corpus;
mod dane;
mod dashboards;
mod demo;
mod description;
mod faults;
mod history;
mod imap;
mod invariants;
mod inventory;
mod misbehaviours;
mod monitor;
mod own_faults;
mod page_of_a_domain;
mod panicking_store;
mod policy_fetch;
mod prompt;
mod report_destinations;
mod reports;
mod resolver;
mod resolver_dnssec;
mod serve;
mod service;
mod sharding;
mod shared_hosts;
mod smtp_probe;
mod standstill;
mod store;
mod tls_survey;
mod tlsa_lookups;
mod vectors;
mod vectors_identity;
mod verdict;
mod world;
