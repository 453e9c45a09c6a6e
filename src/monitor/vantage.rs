//! What this side can see, from what was tried: pure.

use std::{collections::HashSet, net::IpAddr, time::Duration};

use super::politeness::network_of;
use crate::{
    facts::{AddressObservation, ConnectFailure, Family, Phase, SmtpOutcome, Vantage},
    terms::{MxHost, Timestamp},
};

/// In how many networks every mail host has to fail before port 25 counts as shut off here, while the monitor runs: one dead
/// provider is no proof. A single `check` has no second look and decides by what it tried.
pub(crate) const NETWORKS_TO_BLAME: usize = 3;

/// So many hosts in different networks are asked whether port 25 still works from here: one of them may fail on its own.
const WITNESSES: usize = 2;

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
            outcome if is_shut(outcome) => {
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
        let cut_off = |family: Family| self.is_cut_off(family);
        let [ip4, ip6] = Family::ALL.map(|family| available(family) && !cut_off(family));
        (self.vantage.ip4_route, self.vantage.ip6_route) = (ip4, ip6);
        self.vantage
    }

    /// A family that leads nowhere although there is a route, while the other one gets through: IPv6 that a router swallows or refuses.
    /// Where few networks were tried it may as well be the hosts, also for a single `check`.
    fn is_cut_off(&self, family: Family) -> bool {
        let gets_through = self.routed.get(family as usize).copied().unwrap_or(false);
        let networks = self.shut.iter().filter(|network| Family::of(**network) == family).count();
        self.through && !gets_through && networks >= NETWORKS_TO_BLAME
    }
}

/// A port that is shut off swallows packets or says unreachable.
const fn is_shut(outcome: &SmtpOutcome) -> bool {
    matches!(
        outcome,
        SmtpOutcome::ConnectFailed(ConnectFailure::Timeout | ConnectFailure::HostUnreachable)
            | SmtpOutcome::Timeout(Phase::Connect)
    )
}

/// Whether a try got through to the peer, or to what answers in its place. Nothing where this side could not try.
const fn is_through(outcome: &SmtpOutcome) -> bool {
    match outcome {
        SmtpOutcome::ConnectFailed(
            ConnectFailure::NoRoute | ConnectFailure::PrivateAddress | ConnectFailure::Local(_),
        ) => false,
        outcome => !is_shut(outcome),
    }
}

/// The doubt whether port 25 was just shut off here, long before every host has been tried again: where hosts in several networks fail
/// and nobody has got through since, some that answered last are asked at once. If they do not answer either, it is this side.
///
/// Without it the hosts of a fleet would seem to fail one by one, over a whole interval.
#[derive(Debug, Default)]
pub(crate) struct Doubt {
    /// Addresses that failed since anybody got through.
    shut: HashSet<IpAddr>,
    /// Who was asked, and whether it failed since.
    witnesses: Vec<(IpAddr, bool)>,
    asked_at: Option<Timestamp>,
}

impl Doubt {
    /// Notes a probe. Returns whom to ask now: of `healthy`, those whose last probe got through, the latest first. At most once in
    /// `pause`, so that hosts that do answer are not asked more and more where others stay dead.
    pub(crate) fn note(
        &mut self,
        observation: &AddressObservation,
        healthy: impl FnOnce() -> Vec<IpAddr>,
        pause: Duration,
    ) -> Vec<IpAddr> {
        let (address, at) = (observation.address, observation.at);
        if is_through(&observation.outcome) {
            *self = Self { asked_at: self.asked_at, ..Self::default() };
            return Vec::new();
        }
        if !is_shut(&observation.outcome) {
            return Vec::new();
        }
        self.shut.insert(address);
        for (witness, failed) in &mut self.witnesses {
            *failed |= *witness == address;
        }
        let asked_lately = self.asked_at.is_some_and(|asked| asked <= at && at.since(asked) < pause);
        if self.is_certain() || asked_lately || self.networks() < NETWORKS_TO_BLAME {
            return Vec::new();
        }
        self.asked_at = Some(at);
        let mut networks = HashSet::new();
        let apart = healthy().into_iter().filter(|witness| networks.insert(network_of(*witness)));
        let witnesses: Vec<IpAddr> = apart.take(WITNESSES).collect();
        self.witnesses = witnesses.iter().map(|witness| (*witness, false)).collect();
        witnesses
    }

    /// All that were asked failed as well.
    pub(crate) fn is_certain(&self) -> bool {
        !self.witnesses.is_empty() && self.witnesses.iter().all(|(_, failed)| *failed)
    }

    fn networks(&self) -> usize {
        self.shut.iter().map(|address| network_of(*address)).collect::<HashSet<_>>().len()
    }
}

/// Whether the resolver answers nobody. During an outage some looks still find all of it in the cache: they prove nothing, and each change
/// of mind would judge a whole fleet anew.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    /// When it was last found to answer nothing; nothing where it answers.
    failed_at: Option<Timestamp>,
}

impl Outage {
    /// Notes that it answered nothing.
    pub(crate) fn note_failure(&mut self, at: Timestamp) {
        self.failed_at = self.failed_at.max(Some(at));
    }

    /// Notes when it gave an answer. The outage is over where that was at least `pause` after the last failure.
    pub(crate) fn note_answer(&mut self, at: Timestamp, pause: Duration) {
        self.failed_at = self.failed_at.filter(|failed| at < *failed + pause);
    }

    /// It is not known to be over.
    pub(crate) const fn is_under_way(&self) -> bool {
        self.failed_at.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::PhaseTimes;

    const UNREACHABLE: SmtpOutcome = SmtpOutcome::ConnectFailed(ConnectFailure::HostUnreachable);
    const SILENT: SmtpOutcome = SmtpOutcome::Timeout(Phase::Connect);

    /// What follows from these probes for both families, IPv4 first.
    fn families(probes: &[(&str, &SmtpOutcome)]) -> [bool; 2] {
        let mut attempts = Attempts::default();
        for (address, outcome) in probes {
            attempts.note(&AddressObservation {
                host: "mx.example.com".parse().unwrap(),
                address: address.parse().unwrap(),
                at: Timestamp::from_unix_seconds(1_800_000_000),
                duration: Duration::from_secs(1),
                times: PhaseTimes::default(),
                outcome: (*outcome).clone(),
                banner: None,
                capabilities: None,
                tls: None,
                cleartext_after_starttls: false,
                said: Vec::new(),
            });
        }
        let vantage = attempts.vantage(&[], 1);
        [vantage.ip4_route, vantage.ip6_route]
    }

    #[test]
    fn a_family_that_leads_nowhere_is_told_from_hosts_that_fail() {
        let good = ("192.0.2.1", &SmtpOutcome::Done);
        for shut in [&UNREACHABLE, &SILENT] {
            let three = [("2001:db8:1::1", shut), ("2001:db8:2::1", shut), ("2001:db8:3::1", shut)];
            assert_eq!(families(&[&[good][..], &three].concat()), [true, false]);
            assert_eq!(families(&[&[good][..], &three[..2]].concat()), [true, true], "two networks may be down");
            let beside = [("2001:db8:1::1", shut), ("2001:db8:1::2", shut), ("2001:db8:1::3", shut)];
            assert_eq!(families(&[&[good][..], &beside].concat()), [true, true], "one network may be down");
            for through in [SmtpOutcome::Done, SmtpOutcome::ConnectFailed(ConnectFailure::Refused)] {
                let one = [good, ("2001:db8:4::1", &through)];
                assert_eq!(families(&[&one[..], &three].concat()), [true, true], "somebody answers over IPv6");
            }
            assert_eq!(families(&three), [true, true], "nobody answers at all: port 25, or these hosts");
        }
        let no_route = SmtpOutcome::ConnectFailed(ConnectFailure::NoRoute);
        assert_eq!(families(&[good, ("2001:db8:1::1", &no_route)]), [true, false]);
    }
}
