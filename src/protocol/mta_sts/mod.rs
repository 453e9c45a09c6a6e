//! MTA-STS (RFC 8461): record, policy, MX patterns.

mod known_bodies;
mod lines;
mod media_type;
mod mx_pattern;
mod policy;
mod policy_reader;
mod record;
mod sender_cache;

pub use known_bodies::known_reading;
pub use lines::line_and_column;
pub use media_type::{MediaType, media_type};
pub use mx_pattern::{MxPattern, PublicSuffix};
pub use policy::{Mode, Policy, PolicyReading};
pub use policy_reader::read_policy;
pub use record::{StsRecord, read_sts_records};
pub use sender_cache::{Announced, AnnouncedId, Certainty, Ledger, Pairing, SENDER_REFRESH, Sighting, Version};
