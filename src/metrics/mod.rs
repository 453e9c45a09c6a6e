//! The metrics: one table of all families, and the text that Prometheus scrapes.
//!
//! Each family is a row in `domain`, `host` or `own`, with the function that takes its samples. What does not stand in
//! a row cannot be emitted; docs/metrics.md is made from the rows.

mod domain;
mod exposition;
mod host;
mod intake;
mod inventory;
mod own;
mod probe;
mod registry;
mod text;
mod textfile;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;

pub use exposition::{BuildInfo, Exposition, Page};
pub use probe::ProbeOutcome;
pub use registry::{Family, Kind, Level, documentation, families};
pub use textfile::textfile;
