//! Certificates (RFC 5280, RFC 9525): facts, path to a root, reference identifiers, each judged apart. And the clear part of
//! handshakes that other senders have.

mod alert;
mod anchored;
mod certificate;
mod flight;
mod hello;
mod identity;
mod key_file;
mod pem;
mod suites;
mod trust;
mod undated;

pub use alert::alert_name;
pub use anchored::{Anchor, PathFault, path_from_anchor};
pub use certificate::{public_key_info, read_certificate, read_public_key_info};
pub use flight::{Choice, FlightEnd, FlightFault, FlightReader};
pub use hello::{ClientHello, close_notify};
pub use identity::names_match;
pub use key_file::{KeyFileError, KeyMaterial, read_key_file};
pub use pem::pem_fault;
pub use trust::{MAX_CHAIN, Roots, RootsPemError, chain_facts, chain_facts_on, path_to_root, validity_window};
