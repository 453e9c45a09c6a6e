//! A stub resolver (RFC 1034 §5.3.1) that keeps every fact of an answer: response code, AD bit, TTL, CNAME chain and
//! extended errors, and that tells "could not look" from "is not there".
//!
//! It asks recursive resolvers with a socket of its own for every query, follows CNAME records where the server did not,
//! and keeps answers for a short time, for the names that many domains share.

mod cache;
mod exchange;
mod lookup;
mod options;
mod stats;
mod upstream;
mod wire;

pub use lookup::{Families, Resolver};
pub use options::{DEFAULT_MAX_CACHE, ResolverOptions, ResolverSetupError, ServerChoice, system_servers};
pub use stats::ResolverStats;
