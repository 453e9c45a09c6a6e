//! The running monitor: when to probe what, once for all who share it, and the snapshot of what is known.

mod snapshot;

pub use snapshot::{DomainState, HostState, Snapshot};
