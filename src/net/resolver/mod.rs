//! A stub resolver (RFC 1034 §5.3.1) that keeps every fact of an answer: response code, AD bit, TTL, CNAME chain and
//! extended errors, and that tells "could not look" from "is not there".
//!
//! It asks recursive resolvers with a socket of its own for every query (but see `sockets.rs`), follows CNAME records where the
//! server did not, and keeps answers for a short time, for the names that many domains share.

mod anchors;
mod cache;
mod chain;
mod control;
mod dnssec;
mod exchange;
mod fault;
mod kinds;
mod lookup;
mod options;
mod rrset;
mod sockets;
mod source;
mod stats;
mod upstream;
mod validator;
mod wire;

pub use anchors::{AnchorsError, TrustAnchors};
pub use lookup::{Families, MAX_IN_FLIGHT, Resolver};
pub use options::{DEFAULT_MAX_CACHE, DnssecChoice, ResolverOptions, ResolverSetupError, ServerChoice, system_servers};
pub use stats::ResolverStats;
