//! The words of the field: names, points in time, durations, spans and problems.
//!
//! Nothing here knows a protocol; each type parses or prints one word.

mod duration;
mod max_age;
mod name;
mod octets;
mod place;
mod policy_id;
mod problem;
mod slot;
mod timestamp;

pub use duration::{HumanDuration, HumanDurationError};
pub use max_age::MaxAge;
pub use name::{MxHost, NameError, PolicyDomain};
pub use octets::Octets;
pub use place::place;
pub use policy_id::PolicyId;
pub use problem::{Problem, Reading, Rule, Span};
pub use slot::slot;
pub use timestamp::Timestamp;
