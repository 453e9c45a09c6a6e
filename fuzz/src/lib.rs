//! What the fuzz targets call: the invariants that `cargo test` holds too.
#![forbid(unsafe_code)]

#[path = "../../tests/suite/invariants/mod.rs"]
pub mod invariants;
