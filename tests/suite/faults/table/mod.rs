//! All cells, written from the standards and the table of findings.

mod dns;
mod mail;
mod policy;

use super::cell::Cell;

/// The matrix.
pub(super) fn cells() -> Vec<Cell> {
    [dns::cells(), policy::cells(), mail::cells()].into_iter().flatten().collect()
}
