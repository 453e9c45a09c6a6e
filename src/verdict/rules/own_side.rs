//! What this side cannot see is said, and never blamed on the domain.

use super::Raised;
use crate::{
    facts::{ConnectFailure, Family, SmtpOutcome},
    verdict::{
        Code, Subject,
        case::{Case, MailHosts},
        path::is_own_side,
    },
};

/// What could not be seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sight {
    /// In words, one entry a reason.
    pub(crate) unseen: Vec<String>,
    /// The reasons that lie on this side, for the finding.
    own: Vec<String>,
    /// The domain could not be checked for a reason on this side.
    pub(crate) own_side: bool,
}

impl Sight {
    pub(crate) fn of(case: &Case<'_>) -> Self {
        let mut sight = Self::default();
        sight.resolver(case);
        sight.paths(case);
        sight.policy_host(case);
        if case.fetched.is_none() && case.announced() && case.observation.domain.resolver_healthy {
            sight.own_side = true;
        }
        sight
    }

    fn own(&mut self, reason: String) {
        self.unseen.push(reason.clone());
        self.own.push(reason);
    }

    fn resolver(&mut self, case: &Case<'_>) {
        let seen = &*case.observation.domain;
        let failures = [seen.mx.failure(), seen.sts_record.failure(), seen.tlsrpt_record.failure()];
        let failure = failures.into_iter().flatten().next();
        if let Some(why) = failure.filter(|_| !seen.resolver_healthy) {
            self.own(format!("the DNS: the resolver answers nothing ({why}); check resolver.servers"));
            self.own_side = true;
        }
    }

    fn paths(&mut self, case: &Case<'_>) {
        if case.context.vantage.smtp_blocked {
            self.own(
                "mail hosts: every connection to port 25 fails from here, so it is probably shut off on this network"
                    .to_owned(),
            );
            self.own_side |= matches!(case.hosts, MailHosts::Hosts(_));
            return;
        }
        let mut total = 0;
        let mut own = 0;
        let mut no_route: Vec<(Family, usize)> = Vec::new();
        let mut not_yet = 0;
        for mx in case.mx() {
            for address in &mx.addresses {
                total += 1;
                let Some(latest) = &address.path.latest else {
                    not_yet += 1;
                    continue;
                };
                if !is_own_side(latest, case.context.vantage) {
                    if matches!(latest.outcome, SmtpOutcome::Rejected { .. }) {
                        self.unseen.push(format!(
                            "TLS of {} [{}]: the server turned this monitor away",
                            mx.target, address.path.address
                        ));
                    }
                    continue;
                }
                own += 1;
                if latest.outcome == SmtpOutcome::ConnectFailed(ConnectFailure::NoRoute) {
                    let family = Family::of(address.path.address);
                    match no_route.iter_mut().find(|(known, _)| *known == family) {
                        Some((_, count)) => *count += 1,
                        None => no_route.push((family, 1)),
                    }
                } else {
                    self.own(format!("{} [{}]: a failure on this side", mx.target, address.path.address));
                }
            }
        }
        for (family, count) in no_route {
            let addresses =
                if count == 1 { "1 mail host address".to_owned() } else { format!("{count} mail host addresses") };
            self.own(format!("{addresses}: this machine has no {family} route"));
        }
        if not_yet > 0 {
            self.unseen.push(format!("{not_yet} mail host addresses are not probed yet"));
        }
        self.own_side |= total > 0 && own == total;
    }

    fn policy_host(&mut self, case: &Case<'_>) {
        let hidden: Vec<String> = case
            .policy
            .fetches
            .iter()
            .filter(|view| view.is_own_side())
            .map(|view| view.fetch.address.to_string())
            .collect();
        if !hidden.is_empty() && case.announced() {
            self.own(format!(
                "the policy host at {}: this machine has no route to it",
                crate::verdict::words::list(&hidden, 2)
            ));
        }
    }
}

pub(super) fn rules(case: &Case<'_>, sight: &Sight, raised: &mut Raised) {
    if sight.own.is_empty() {
        return;
    }
    raised.raise(
        case,
        Code::VantageLimited,
        Subject::Monitor,
        format!("Not seen from here: {}.", sight.own.join("; ")),
        "Run the monitor where port 25 is open and both address families have a route; check its resolver.",
    );
}
