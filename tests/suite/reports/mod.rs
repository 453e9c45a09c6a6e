//! TLS reports (RFC 8460): from whoever sends them, over the bytes and the counters, to those who ask.

pub(crate) mod faces;
pub(crate) mod faces_api;
mod faces_files;
pub(crate) mod intake;
mod intake_attack;
mod intake_dkim;
mod intake_folders;
mod intake_posts;
pub(crate) mod made;
mod reader;
mod reader_corpus;
mod reader_limits;
mod reader_mail;
mod reader_quirks;
mod reader_vectors;
mod signing;
