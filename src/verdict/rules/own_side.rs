//! What this side cannot see is said, and never blamed on the domain.

use std::{collections::BTreeMap, fmt, net::IpAddr};

use super::Raised;
use crate::{
    facts::{AddressObservation, ConnectFailure, DnssecSight, Family, SmtpOutcome, Vantage},
    verdict::{
        Code, MxAssessment, Subject, TlsaStatus,
        case::{Case, MailHosts, has_no_address},
        history::Contact,
        path::is_own_side,
        policy_view::FetchFault,
        words,
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
        sight.dnssec(case);
        sight.paths(case);
        sight.policy_host(case);
        if case.fetched.is_none() && case.announced() && case.resolver_healthy {
            sight.own_side = true;
        }
        sight
    }

    fn own(&mut self, reason: String) {
        self.unseen.push(reason.clone());
        self.own.push(reason);
    }

    fn resolver(&mut self, case: &Case<'_>) {
        if case.resolver_healthy {
            return;
        }
        let seen = &*case.observation.domain;
        let failures = [seen.mx.failure(), seen.sts_record.failure(), seen.tlsrpt_record.failure()];
        let hosts = case.observation.hosts.values().find_map(|facts| facts.host.addresses.failure());
        if let Some(why) = failures.into_iter().flatten().next().or_else(|| seen.policy.addresses.failure()).or(hosts) {
            self.own(format!("the DNS, because the resolver answers nothing ({why}; see resolver.servers)"));
            self.own_side = true;
        }
    }

    /// Where no name validates, no verdict rests on DNSSEC; what else is seen of the domain is judged.
    fn dnssec(&mut self, case: &Case<'_>) {
        match case.context.vantage.dnssec {
            DnssecSight::Off => {}
            DnssecSight::Blind if !case.resolver_healthy => {}
            DnssecSight::Blind => self.own(
                "DNSSEC and DANE, because the resolver returns no signatures that validate (see resolver.servers and resolver.dnssec)"
                    .to_owned(),
            ),
            DnssecSight::Validating => {
                let in_doubt = |mx: &&MxAssessment| {
                    let asked = mx.lookup.as_ref().is_some_and(|seen| seen.addresses.answered() && seen.tlsa.is_some());
                    asked && mx.dane.status == TlsaStatus::Indeterminate
                };
                for mx in case.mx().iter().filter(in_doubt) {
                    self.unseen.push(format!("{}: whether DNSSEC secures its TLSA records could not be told", mx.target));
                }
            }
        }
    }

    /// Whether nothing but DNSSEC is out of sight.
    fn only_dnssec(&self, case: &Case<'_>) -> bool {
        case.context.vantage.dnssec == DnssecSight::Blind && self.own.len() == 1
    }

    fn paths(&mut self, case: &Case<'_>) {
        let vantage = case.context.vantage;
        if vantage.smtp_blocked {
            self.own(
                "the mail hosts, because every connection to port 25 fails from here: it is probably shut off on this network"
                    .to_owned(),
            );
            self.own_side |= matches!(case.hosts, MailHosts::Hosts(_));
            return;
        }
        let mut total = 0;
        // By what keeps this side from seeing them.
        let mut own: BTreeMap<Hindrance, usize> = BTreeMap::new();
        let mut not_yet = 0;
        for mx in case.mx() {
            self.unknown_addresses(case, mx);
            for address in &mx.addresses {
                total += 1;
                let Some(latest) = &address.path.latest else {
                    not_yet += 1;
                    continue;
                };
                if is_own_side(latest, vantage) {
                    *own.entry(Hindrance::of(latest, vantage)).or_default() += 1;
                } else if let Some(why) = unseen(latest, address.path.another_answered) {
                    self.unseen.push(format!("{} [{}]: {why}", mx.target, address.path.address));
                }
            }
        }
        self.own_side |= total > 0 && own.values().sum::<usize>() == total;
        for (hindrance, count) in own {
            self.own(format!("{}, because {hindrance}", addresses(count)));
        }
        if not_yet > 0 {
            self.unseen.push(format!("{}: not probed yet", addresses(not_yet)));
        }
    }

    /// A host whose addresses are not known is one path that cannot be told.
    fn unknown_addresses(&mut self, case: &Case<'_>, mx: &MxAssessment) {
        let Some(host) = mx.host.as_ref().filter(|_| mx.addresses.is_empty()) else { return };
        match &mx.lookup {
            None => self.unseen.push(format!("{host}: not looked at yet")),
            Some(seen) if has_no_address(&seen.addresses) => {}
            Some(seen) => match seen.addresses.failure() {
                Some(why) => self.unseen.push(format!("{host}: its addresses could not be looked up ({why})")),
                None if case.observation.hosts.get(host).is_some_and(|facts| facts.skipped > 0) => {}
                None => self
                    .own(format!("{host}, because the only family that is asked for has no address (probe.families)")),
            },
        }
    }

    fn policy_host(&mut self, case: &Case<'_>) {
        if !case.announced() {
            return;
        }
        let hidden: Vec<(IpAddr, String)> = case
            .policy
            .fetches
            .iter()
            .filter(|view| view.is_own_side())
            .map(|view| (view.fetch.address, view.faults.first().map(FetchFault::words).unwrap_or_default()))
            .collect();
        if let Some((_, why)) = hidden.first() {
            let shown: Vec<IpAddr> = hidden.iter().map(|(address, _)| *address).collect();
            self.own(format!("the policy host at {}, because {why}", words::list(&shown, 2)));
        }
        if case.policy.is_unasked() {
            self.own(
                "the policy host, because the only family that is asked for has no address (probe.families)".to_owned(),
            );
        }
    }
}

/// What on this side keeps an address from being seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Hindrance {
    NoRoute(Family),
    CutOff(Family),
    Canaries,
    Local,
}

impl Hindrance {
    fn of(latest: &AddressObservation, vantage: &Vantage) -> Self {
        let family = Family::of(latest.address);
        match latest.outcome {
            SmtpOutcome::ConnectFailed(ConnectFailure::NoRoute) => Self::NoRoute(family),
            SmtpOutcome::ConnectFailed(ConnectFailure::Local(_)) => Self::Local,
            _ if !vantage.reaches(family) => Self::CutOff(family),
            _ => Self::Canaries,
        }
    }
}

impl fmt::Display for Hindrance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoute(family) => write!(f, "this machine has no {family} route"),
            Self::CutOff(family) => write!(f, "nobody can be reached over {family} from this machine"),
            Self::Canaries => f.write_str("the canaries do not answer either (probe.canaries)"),
            Self::Local => f.write_str("this machine could not open a connection"),
        }
    }
}

fn addresses(count: usize) -> String {
    if count == 1 { "1 mail host address".to_owned() } else { format!("{count} mail host addresses") }
}

/// What of an address is not known although this side is in order, as far as it can tell.
fn unseen(latest: &AddressObservation, another_answered: bool) -> Option<String> {
    match Contact::of(latest) {
        Contact::Rejected => Some("the server turned this monitor away".to_owned()),
        Contact::TimedOut if !another_answered => {
            Some(format!("no answer in time, and no other mail host answered over {}", Family::of(latest.address)))
        }
        _ => None,
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
        match (case.resolver_healthy, sight.only_dnssec(case)) {
            (false, _) => "See that the monitor's resolver runs, and that resolver.servers names it.",
            (true, true) => {
                "Name a resolver that returns signatures in resolver.servers, or say that DNSSEC is not looked at (resolver.dnssec: off)."
            }
            (true, false) => "Run the monitor where port 25 is open and both address families have a route.",
        },
    );
}
