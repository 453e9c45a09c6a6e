//! The clock of this host.

use std::time::SystemTime;

use crate::terms::Timestamp;

/// The time now, as this host believes it to be.
pub fn now() -> Timestamp {
    SystemTime::now().into()
}
