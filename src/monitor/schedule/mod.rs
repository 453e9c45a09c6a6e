//! When to look at what next.
//!
//! Each target has one due time in a wheel of slots, and each operation costs the same whatever their number. What is due waits in a
//! lane by its urgency, and where a provider is busy, at its door (`turns.rs`). The next due time is chosen where the seconds are
//! emptiest, so that no bursts arise, and further away where more is wanted than fits (`stretch.rs`).

mod entries;
mod queue;
mod spread;
mod stretch;
#[cfg(test)]
mod tests;
mod turns;
mod wheel;

pub(crate) use self::{
    queue::{Next, Schedule, Turn, Urgency},
    spread::{backed_off, jittered},
    turns::{Answer, Doors},
};
