//! The families of a domain.

mod samples;
mod table;

pub(super) use table::ROWS;
