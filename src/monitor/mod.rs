//! The running monitor: when to probe what, once for all who share it, and the snapshot of what is known.

mod check;
mod edges;
mod fleet;
mod politeness;
mod probe;
mod schedule;
mod snapshot;
mod telemetry;
mod vantage;

pub use check::check;
pub use edges::{Edges, EdgesError};
pub use snapshot::{DomainState, HostState, Snapshot};
pub use telemetry::{DnsCounters, DnsSource, ProbeGuard, ProbeKind, RESULT_TYPES, Telemetry, TelemetryError};
