//! What a look at one domain takes, for those who ask for one now.

use std::sync::Arc;

use super::{Fleet, Target};
use crate::{
    config::Settings,
    facts::{SmtpOutcome, Vantage},
    terms::PolicyDomain,
};

impl Fleet {
    /// For one look at the domains of these settings: what is seen counts at once. What this side can see is known from a fleet
    /// that looks for longer.
    pub(in crate::monitor) fn for_one_look(settings: Arc<Settings>, vantage: Arc<Vantage>) -> Self {
        let dnssec = vantage.dnssec;
        Self { once: true, vantage, ..Self::new(settings, dnssec) }
    }

    /// Only the own lookups tell whether the resolver answers this look.
    pub(super) fn look_once_around(&mut self) {
        let failing = self.outage.is_under_way();
        if self.vantage.resolver_failing != failing {
            Arc::make_mut(&mut self.vantage).resolver_failing = failing;
        }
    }

    /// All that has to be looked at for a domain, as far as it is known now: the domain, its mail hosts and the addresses that they
    /// have in the DNS. Hosts and addresses beyond the caps, and those that opted out, are not among them. Nothing where the domain
    /// is not configured.
    pub(in crate::monitor) fn targets(&self, domain: &PolicyDomain) -> Option<Vec<Target>> {
        let hosts = self.hosts_of(domain)?;
        let mut targets = vec![Target::Domain(domain.clone())];
        for name in &hosts {
            targets.push(Target::Host(name.clone()));
            let Some(host) = self.hosts.get(name) else { continue };
            let listed = host.addresses.iter().filter(|(_, address)| address.unlisted_since.is_none());
            targets.extend(listed.map(|(address, _)| Target::Address(name.clone(), *address)));
        }
        Some(targets)
    }

    /// Whether the target is an address whose host turned this monitor away: it is not asked more often for it.
    pub(in crate::monitor) fn turned_away(&self, target: &Target) -> bool {
        let Target::Address(host, address) = target else { return false };
        let known = self.hosts.get(host).and_then(|host| host.addresses.get(address));
        let latest = known.and_then(|address| address.latest.as_ref());
        latest.is_some_and(|latest| matches!(latest.outcome, SmtpOutcome::Rejected { .. }))
    }

    /// Whether a look at the target is part of one at the domain.
    pub(in crate::monitor) fn concerns(&self, domain: &PolicyDomain, target: &Target) -> bool {
        match target {
            Target::Domain(one) => one == domain,
            Target::Host(host) | Target::Address(host, _) => {
                self.hosts_of(domain).is_some_and(|hosts| hosts.contains(host))
            }
            Target::Survey(..) | Target::Canary(_) => false,
        }
    }
}
