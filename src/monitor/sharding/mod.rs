//! Several instances that share the domains of one configuration: each looks at those of its slots, and knows nothing of the others.
//!
//! The slot of a domain follows from its name alone (`terms::slot`), so that no instance has to ask another one. Which instance has
//! which slot is its index in the configuration; where they share a database, leases in it say so, and the slots of an instance that
//! dies are taken over.

mod gauges;
mod rights;
mod seat;
mod sharder;
mod share;
mod state;
mod tenure;
#[cfg(test)]
mod tests;

pub(super) use self::gauges::Gauges;
pub use self::{
    rights::Rights,
    seat::{INDEX_VARIABLE, Seat, SeatError, Surroundings},
    sharder::{Allotment, ShardError, Sharder, Sharing},
    share::{Peer, Shards},
    state::{Opener, SharedState},
};
