//! Looks on demand: those of the monitor, and what `/probe` makes of them.

mod attack;
mod http;
mod limits;
mod now;
mod once;
