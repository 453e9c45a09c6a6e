//! TLS reports (RFC 8460): from the bytes to the counters.

mod made;
mod reader;
mod reader_corpus;
mod reader_limits;
mod reader_mail;
mod reader_quirks;
mod reader_vectors;
