//! Whether an address can be reached, by what was seen now and before.

use serde::{Deserialize, Serialize};

/// The reachability of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reach {
    /// Banner 220 and EHLO 250, now or by the last probe that told something and is not too old.
    Up,
    /// It does not answer, and that is its own fault as far as can be told.
    Down,
    /// It cannot be told from here.
    CannotTell,
}
