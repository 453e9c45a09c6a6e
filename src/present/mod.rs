//! One assessment for people and programs.

pub mod baseline;
pub mod briefing;
pub mod changes;
pub mod explain;
pub mod human;
pub mod json;
pub mod nagios;
pub mod policy_advice;
pub mod policy_lint;
pub mod report;
pub mod row;
pub mod tlsa_advice;
pub mod transcript;

pub(crate) mod evidence;
pub(crate) mod timeline;
pub(crate) mod words;

mod confirm;
mod details;
mod outline;
mod rules;
mod sentences;
mod text;
mod web_server;
mod zone;

#[cfg(test)]
pub(crate) mod fixture;

pub use briefing::{Accepted, Advice, Briefing};
pub use sentences::headline;
pub(crate) use text::{Glyph, is_dangerous};
pub use text::{Look, WIDTH};
pub use words::state as state_words;

pub use crate::verdict::Fixer;
pub(crate) use briefing::split_fix;
pub(crate) use evidence::faults as certificate_faults;
