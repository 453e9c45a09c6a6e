//! One binary for all integration tests, so that the library is linked once.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr
)]

mod corpus;
mod resolver;
mod vectors;
mod verdict;
mod world;
