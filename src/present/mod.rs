//! One assessment for people and programs.

pub mod briefing;
pub mod changes;
pub mod explain;
pub mod human;
pub mod json;
pub mod report;

pub(crate) mod words;

mod details;
mod evidence;
mod outline;
mod rules;
mod sentences;
mod text;
mod timeline;

#[cfg(test)]
pub(crate) mod fixture;

pub use briefing::{Accepted, Advice, Briefing};
pub use sentences::headline;
pub use text::{Look, WIDTH};
pub use words::state as state_words;

pub use crate::verdict::Fixer;
