//! The families of a domain.

mod history;
mod reports;
mod samples;
mod table;

use super::registry::Row;
use table::Source;

/// The rows, in the order of the text.
pub(super) fn rows() -> impl Iterator<Item = &'static Row<Source>> {
    probed().chain(reported())
}

/// The rows of what is seen from here.
pub(super) fn probed() -> impl Iterator<Item = &'static Row<Source>> {
    table::ROWS.iter().chain(history::ROWS)
}

/// The rows of what reports say.
pub(super) fn reported() -> impl Iterator<Item = &'static Row<Source>> {
    reports::ROWS.iter()
}
