//! One assessment for people and programs.

pub mod changes;
pub mod explain;
pub mod human;
pub mod json;
pub mod report;
pub mod row;

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

pub use text::{Look, WIDTH};
