//! One assessment for people and programs.

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

pub use text::{Look, WIDTH};
