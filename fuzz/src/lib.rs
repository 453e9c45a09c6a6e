//! What the fuzz targets call: the invariants that `cargo test` holds too.

#[path = "../../tests/suite/invariants/mod.rs"]
pub mod invariants;
