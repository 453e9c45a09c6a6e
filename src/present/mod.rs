//! One assessment for people and programs.

pub mod baseline;
pub mod briefing;
pub mod changes;
pub mod explain;
pub mod human;
pub mod json;
pub mod nagios;
pub mod report;
pub mod transcript;

mod details;
mod evidence;
mod outline;
mod rules;
mod sentences;
mod text;
mod timeline;
mod words;

#[cfg(test)]
pub(crate) mod fixture;

pub use briefing::{Accepted, Advice, Briefing};
pub use sentences::headline;
pub use text::{Look, WIDTH};
pub use words::state as state_words;

pub use crate::verdict::Fixer;
