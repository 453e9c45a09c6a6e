//! The metrics: one table of all families, and the text that Prometheus scrapes.
//!
//! Each family is a row in `domain`, `host` or `own`, with the function that takes its samples. What does not stand in
//! a row cannot be emitted; docs/metrics.md is made from the rows.

mod block;
mod column;
mod domain;
mod exposition;
mod extent;
mod frames;
mod gzip;
mod host;
mod intake;
mod inventory;
mod negotiation;
mod own;
mod part;
mod probe;
mod registry;
mod renderer;
mod samples;
mod shelves;
mod text;
mod textfile;
mod web;
mod worst;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;

pub use exposition::{BuildInfo, Exposition, Wanted};
pub use extent::Extent;
pub use negotiation::{Encoding, encoding, format};
pub use part::Part;
pub use probe::ProbeOutcome;
pub use registry::{Family, Kind, Level, documentation, families};
pub use renderer::Blocks;
pub use text::Format;
pub use textfile::textfile;
