//! The only code that dials: DNS, policy hosts, MX hosts. It also reads the clock and the trust stores.

pub mod clock;
pub mod resolver;
