//! Where the commands meet the monitor and the configuration.

use super::{
    USAGE,
    args::{Common, Config, Serve},
    check::Ended,
    complain,
};
use crate::{terms::PolicyDomain, verdict::Assessment};

const MISSING: &str = "this build holds no monitor";

/// Runs the monitor until it is told to stop.
pub(super) fn serve(_serve: &Serve, _common: &Common) -> u8 {
    complain(MISSING, USAGE)
}

/// Validates or shows the configuration.
pub(super) fn config(_command: &Config, _common: &Common) -> u8 {
    complain(MISSING, USAGE)
}

/// Probes the domains and judges them.
pub(super) fn probe(
    _domains: Vec<PolicyDomain>,
    _ended: Ended,
    _common: &Common,
) -> impl Future<Output = Result<Vec<Assessment>, String>> {
    std::future::ready(Err(MISSING.to_owned()))
}
