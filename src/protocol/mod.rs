//! The standards as pure code: bytes and facts in, values and problems out. No sockets, clocks, files or async.

pub mod dane;
pub mod dns;
pub mod mta_sts;
mod problems;
pub mod smtp;
pub mod tls;
pub mod tls_rpt;
pub mod txt;
