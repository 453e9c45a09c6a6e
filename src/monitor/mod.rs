//! The running monitor: when to probe what, once for all who share it, and the snapshot of what is known.

mod certificates;
mod check;
mod edges;
mod engine;
mod eyes;
mod face;
mod fleet;
mod intake;
mod inventory;
mod kept;
mod looking;
mod looks;
mod once;
mod opened;
mod past;
mod politeness;
mod probe;
mod prompt;
mod pulse;
mod rendered;
mod roll;
mod rua;
mod schedule;
mod scribe;
mod sharding;
mod snapshot;
mod summary;
mod telemetry;
mod vantage;
mod vital;

pub use certificates::{SeenCertificates, see_certificates};
pub use check::{Looked, check, check_after, check_as_they_end};
pub use edges::{Edges, EdgesError};
pub use engine::{Monitor, ReconfigureError, Reconfigurer, StartError};
pub use eyes::Eyes;
pub use intake::{INCOMING, Intake, MailboxPace, Postponed, RawReport, Receipt, mailboxes, watch_mailbox};
pub use inventory::{Inventory, InventorySource, PreparedInventory};
pub use kept::Kept;
pub use looks::snapshot_of;
pub use past::{Past, Sight};
pub use prompt::{Awaited, PromptError, Prompted, Prompter, REST, WAITING_MOST};
pub use pulse::Pulse;
pub use rendered::{Rendered, Renderer, Unrendered};
pub use roll::{Keyed, Roll, Shelf};
pub use scribe::SharedStore;
pub use sharding::{
    Allotment, INDEX_VARIABLE, Opener, Peer, Rights, Seat, SeatError, ShardError, Sharder, Shards, SharedState,
    Sharing, Surroundings,
};
pub use snapshot::{DomainState, HostState, KnownDomain, KnownHost, Snapshot};
pub use summary::{ActiveFinding, PolicyCertificate, Reported, Shared, Summary, print};
pub use telemetry::{
    ConnectionGuard, DnsCounters, DnsSource, DropReason, ProbeGuard, ProbeKind, RESULT_TYPES, Telemetry, TelemetryError,
};
