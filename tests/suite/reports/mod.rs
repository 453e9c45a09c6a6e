//! TLS reports (RFC 8460): from the bytes to the counters, and to those who ask.

mod faces;
mod faces_api;
mod faces_files;
mod made;
mod reader;
mod reader_corpus;
mod reader_limits;
mod reader_mail;
mod reader_quirks;
mod reader_vectors;
