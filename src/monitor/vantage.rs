//! What this side can see, from what was tried: pure.

use std::{collections::HashSet, net::IpAddr};

use super::politeness::network_of;
use crate::{
    facts::{AddressObservation, ConnectFailure, Family, Phase, SmtpOutcome, Vantage},
    terms::{MxHost, Timestamp},
};

/// In how many networks every mail host has to fail before port 25 counts as shut off here, while the monitor runs: one dead
/// provider is no proof. A single `check` has no second look and decides by what it tried.
pub(crate) const NETWORKS_TO_BLAME: usize = 3;

/// Gathers what was tried, and says what it means.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attempts {
    vantage: Vantage,
    /// Networks in which every attempt ended in a connect timeout or unreachable.
    shut: HashSet<IpAddr>,
    /// Something else was seen at least once: port 25 works from here.
    through: bool,
    no_route: [bool; 2],
    routed: [bool; 2],
}

impl Attempts {
    /// Notes one probe of a mail host.
    pub(crate) fn note(&mut self, observation: &AddressObservation) {
        let family = Family::of(observation.address) as usize;
        let mark = |flags: &mut [bool; 2]| {
            if let Some(flag) = flags.get_mut(family) {
                *flag = true;
            }
        };
        match &observation.outcome {
            SmtpOutcome::ConnectFailed(ConnectFailure::NoRoute) => mark(&mut self.no_route),
            SmtpOutcome::ConnectFailed(ConnectFailure::PrivateAddress | ConnectFailure::Local(_)) => {}
            SmtpOutcome::ConnectFailed(ConnectFailure::Timeout | ConnectFailure::HostUnreachable)
            | SmtpOutcome::Timeout(Phase::Connect) => {
                self.shut.insert(network_of(observation.address));
            }
            SmtpOutcome::ConnectFailed(_) => {
                self.through = true;
                mark(&mut self.routed);
            }
            _ => {
                self.through = true;
                mark(&mut self.routed);
                self.vantage.note_answer(observation.address, observation.at);
            }
        }
    }

    /// Notes that a canary answered.
    pub(crate) fn note_canary(&mut self, address: IpAddr, at: Timestamp) {
        self.vantage.note_answer(address, at);
    }

    /// What follows. `canaries`: whether each of those that were probed was reached. `networks`: in how many networks all must
    /// fail before port 25 counts as shut off here.
    pub(crate) fn vantage(mut self, canaries: &[(MxHost, Option<bool>)], networks: usize) -> Vantage {
        let probed: Vec<bool> = canaries.iter().filter_map(|(_, reached)| *reached).collect();
        let reached = probed.contains(&true);
        self.vantage.canaries_failing = !probed.is_empty() && !reached;
        self.vantage.smtp_blocked = !self.through && !reached && self.shut.len() >= networks.max(1);
        let available = |family: Family| {
            let of = |flags: &[bool; 2]| flags.get(family as usize).copied().unwrap_or(false);
            !of(&self.no_route) || of(&self.routed)
        };
        self.vantage.ip4_route = available(Family::Ip4);
        self.vantage.ip6_route = available(Family::Ip6);
        self.vantage
    }
}
