//! The families of a domain.

mod history;
mod samples;
mod table;

use super::registry::Row;
use table::Source;

/// The rows, in the order of the text.
pub(super) fn rows() -> impl Iterator<Item = &'static Row<Source>> {
    table::ROWS.iter().chain(history::ROWS)
}
