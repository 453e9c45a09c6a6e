//! TLS reports: from whoever sends them to those who ask.

mod faces;
mod faces_api;
mod faces_files;
