//! Certificates (RFC 5280, RFC 9525): facts, path to a root, reference identifiers, each judged apart.

mod certificate;
mod identity;
mod trust;
mod undated;

pub use certificate::read_certificate;
pub use identity::names_match;
pub use trust::{MAX_CHAIN, Roots, RootsPemError, chain_facts, path_to_root, validity_window};
