//! What an attacker would try, and what it comes to. SECURITY.md tells of it.

mod addresses;
mod amplification;
mod memory;
mod registries;
pub(crate) mod secrets;
