//! The status page: HTML without a script, for people. Each page is a function of the snapshot, the query and the time.

pub(super) mod domain;
pub(super) mod layout;

mod plot;
