//! One domain's case: what the observation and the history say together, worked out once for all rules.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use super::{
    AddressAssessment, Context, History, HostDane, LookupHistory, MxAssessment, Outcome, Reach, Severity, Subject,
    dane::{self, DaneGround},
    history::last_addresses,
    path::{PathContext, assess_path},
    policy_view::PolicyView,
};
use crate::{
    facts::{AddressLookup, DnssecSight, Lookup, LookupFailure, LookupOutcome, MxTarget, Observation, Security},
    protocol::{
        mta_sts::{Mode, Policy, StsRecord, read_sts_records},
        tls_rpt::{TlsRptRecord, read_tlsrpt_records},
        txt::RecordReading,
    },
    terms::{MxHost, PolicyDomain, Timestamp},
};

/// From this failure in a row on, a lookup that fails is an error, and the last answer no longer speaks for the present.
pub(crate) const LOOKUP_FAILURES_IN_A_ROW: u32 = 3;

/// What the domain has in force, for severities: a policy in enforce counts while senders may still hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Enforce,
    Testing,
    /// No policy, or one in mode none.
    None,
    /// A record announces a policy, and no usable one was ever seen here.
    Unknown,
}

/// Where mail for the domain goes.
#[derive(Clone, Debug)]
pub(crate) enum MailHosts {
    /// To these hosts.
    Hosts(Vec<MxAssessment>),
    /// Nowhere, on purpose: a null MX alone.
    Null,
    /// Nowhere: neither MX nor address.
    Nowhere,
    /// The domain does not exist.
    Nonexistent,
    /// It could not be looked up, and no answer is kept.
    Unknown,
}

/// The policy that a kind of sender applies.
#[derive(Clone, Debug)]
pub(crate) enum View {
    /// This one, or none.
    Policy(Option<Arc<Policy>>),
    /// This side could not look.
    CannotTell,
}

#[derive(Debug)]
pub(crate) struct Case<'a> {
    pub(crate) observation: &'a Observation,
    pub(crate) history: &'a History,
    pub(crate) context: &'a Context<'a>,
    pub(crate) now: Timestamp,
    pub(crate) domain: &'a PolicyDomain,
    /// The resolver answered something while the domain was looked up: its failures are about the names asked for.
    pub(crate) resolver_healthy: bool,
    /// The last known answers.
    pub(crate) sts_lookup: &'a Lookup<Vec<crate::terms::Octets>>,
    pub(crate) tlsrpt_lookup: &'a Lookup<Vec<crate::terms::Octets>>,
    pub(crate) mx_lookup: &'a Lookup<crate::facts::MxRecord>,
    pub(crate) record: RecordReading<StsRecord>,
    pub(crate) tlsrpt: RecordReading<TlsRptRecord>,
    pub(crate) policy: PolicyView<'a>,
    /// Whether a usable policy came; nothing where this side could not look.
    pub(crate) fetched: Option<bool>,
    /// The policy that MX hosts are compared with: the one served, else the one that senders may still hold.
    pub(crate) reference: Option<Arc<Policy>>,
    /// The policy that senders may hold: the one that can be discovered, else the last one, while it is alive.
    pub(crate) in_force: Option<Arc<Policy>>,
    pub(crate) standing: Standing,
    pub(crate) new_view: View,
    /// The policies in enforce that senders may hold while none can be discovered: their holders cannot learn of a newer one.
    pub(crate) cached_views: Vec<Arc<Policy>>,
    /// By the last known answer.
    pub(crate) hosts: MailHosts,
    /// Validating senders get SERVFAIL for the MX, and so do not deliver, whatever the hosts do.
    pub(crate) mx_unanswered: bool,
}

impl<'a> Case<'a> {
    pub(crate) fn new(
        observation: &'a Observation,
        history: &'a History,
        context: &'a Context<'a>,
        now: Timestamp,
    ) -> Self {
        let seen = &*observation.domain;
        let sts_lookup = last_known(&seen.sts_record, &history.domain.sts_record);
        let tlsrpt_lookup = last_known(&seen.tlsrpt_record, &history.domain.tlsrpt_record);
        let mx_lookup = last_known(&seen.mx, &history.domain.mx);
        let record = read_sts_records(sts_lookup.records());
        let policy = PolicyView::new(&seen.policy, now).seen_from(context.vantage);
        let resolver_healthy = seen.resolver_healthy && !context.vantage.resolver_failing;
        let fetched = policy.success(resolver_healthy);
        let served = policy.usable().cloned().map(Arc::new);
        let ledger = &history.domain.ledger;
        let held = ledger.alive(now).find(|version| version.is_announced()).map(|version| Arc::clone(&version.policy));
        let announced = sts_lookup.answered() && !record.presence.is_absent();
        let reference = match &served {
            Some(served) if announced || !sts_lookup.answered() => Some(Arc::clone(served)),
            _ => held.clone(),
        };
        let standing = standing(reference.as_deref(), &policy, announced);
        let (new_view, cached_views) = views(observation, history, resolver_healthy, &record, fetched, served, now);
        let in_force = match &new_view {
            View::Policy(Some(policy)) => Some(Arc::clone(policy)),
            _ => held,
        };
        let mut case = Self {
            observation,
            history,
            context,
            now,
            domain: &seen.domain,
            resolver_healthy,
            sts_lookup,
            tlsrpt_lookup,
            mx_lookup,
            tlsrpt: read_tlsrpt_records(tlsrpt_lookup.records()),
            record,
            policy,
            fetched,
            reference,
            in_force,
            standing,
            new_view,
            cached_views,
            hosts: MailHosts::Unknown,
            mx_unanswered: mx_unanswered(observation, history, context, resolver_healthy),
        };
        case.hosts = case.mail_hosts();
        case
    }

    /// A record that means to be MTA-STS is there, whatever it is worth.
    pub(crate) fn announced(&self) -> bool {
        self.sts_lookup.answered() && !self.record.presence.is_absent()
    }

    /// The mail hosts, or none.
    pub(crate) fn mx(&self) -> &[MxAssessment] {
        match &self.hosts {
            MailHosts::Hosts(hosts) => hosts,
            _ => &[],
        }
    }

    /// Whether a host is run by the operator of the domain, as far as its name tells.
    pub(crate) fn is_own(&self, host: &str) -> bool {
        self.is_within(host) || self.context.own_mx.iter().any(|pattern| pattern.matches(host))
    }

    /// Where the `_mta-sts` record stands, if an alias leads out of the domain.
    pub(crate) fn record_host(&self) -> Option<&str> {
        self.outside(&self.sts_lookup.cname)
    }

    /// Where the `_smtp._tls` record stands, if an alias leads out of the domain.
    pub(crate) fn tlsrpt_host(&self) -> Option<&str> {
        self.outside(&self.tlsrpt_lookup.cname)
    }

    /// What the policy host is an alias of, if that lies outside the domain.
    pub(crate) fn policy_target(&self) -> Option<&str> {
        self.outside(self.observation.domain.policy.addresses.cname())
    }

    /// The same where somebody else is in charge of the policy. An alias alone does not tell: it may lead to a web space or a CDN
    /// whose files are the reader's own. Providers of policies keep the record as well, so that its id changes with the file.
    pub(crate) fn policy_provider(&self) -> Option<&str> {
        self.policy_target().filter(|_| self.record_host().is_some())
    }

    fn outside<'n>(&self, chain: &'n [String]) -> Option<&'n str> {
        chain.last().map(String::as_str).filter(|name| !self.is_within(name))
    }

    /// Whether a name is the domain or lies below it.
    fn is_within(&self, name: &str) -> bool {
        name.strip_suffix(self.domain.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }

    /// RFC 7672 §3.2.2: the names that DANE-TA takes beside the TLSA base domain. The domain, and what it is an alias of, where its
    /// MX records are secure.
    pub(crate) fn next_hop_names(&self) -> Vec<&str> {
        if self.mx_lookup.security != Security::Secure {
            return Vec::new();
        }
        std::iter::once(self.domain.as_str()).chain(self.mx_lookup.cname.last().map(String::as_str)).collect()
    }

    /// What DANE is in force on the mail host that a finding is about; on any host where it is about none.
    pub(crate) fn dane_ground(&self, subject: &Subject) -> DaneGround {
        let concerned = self.mx().iter().filter(|mx| subject.mx().is_none_or(|host| mx.target == host));
        dane::ground(concerned, subject.address())
    }

    /// Warning, or error from the third failure in a row on.
    pub(crate) const fn lookup_severity(failures: u32) -> Severity {
        if failures >= LOOKUP_FAILURES_IN_A_ROW { Severity::Error } else { Severity::Warning }
    }

    fn mail_hosts(&self) -> MailHosts {
        match &self.mx_lookup.outcome {
            LookupOutcome::Failed(_) => MailHosts::Unknown,
            LookupOutcome::NxDomain => MailHosts::Nonexistent,
            LookupOutcome::NoData => self.implicit_host(),
            LookupOutcome::Records { records, .. } if records.is_empty() => self.implicit_host(),
            LookupOutcome::Records { records, .. } => {
                let mut real: Vec<_> = records.iter().filter(|record| record.target != MxTarget::Null).collect();
                if real.is_empty() {
                    return MailHosts::Null;
                }
                real.sort_by_key(|record| record.preference);
                let mut hosts: Vec<MxAssessment> = Vec::with_capacity(real.len());
                let mut known = BTreeSet::new();
                for record in real {
                    let target = record.target.to_string();
                    // The same host twice is one host, by its best preference.
                    if !known.insert(target.clone()) {
                        continue;
                    }
                    let host = match &record.target {
                        MxTarget::Host(host) => Some(host.clone()),
                        _ => None,
                    };
                    if let Some(host) = &host
                        && !self.observation.hosts.contains_key(host)
                        && self.observation.skipped_hosts > 0
                    {
                        continue;
                    }
                    hosts.push(self.mail_host(target, host, record.preference, false));
                }
                MailHosts::Hosts(hosts)
            }
        }
    }

    /// RFC 5321 §5.1: without an MX record the domain is its own mail host, if it has an address.
    fn implicit_host(&self) -> MailHosts {
        let host = self.domain.implicit_mx();
        let looked = self.observation.domain.implicit.as_ref();
        match looked {
            Some(addresses) if addresses.addresses().next().is_some() => {}
            Some(addresses) if has_no_address(addresses) => return MailHosts::Nowhere,
            // Half an answer without an address, or none at all: what is kept of the host decides.
            _ if self.observation.hosts.get(&host).is_some_and(|facts| self.known_addresses(&host, facts) > 0) => {}
            _ => return MailHosts::Unknown,
        }
        MailHosts::Hosts(vec![self.mail_host(host.to_string(), Some(host), 0, true)])
    }

    fn known_addresses(&self, host: &MxHost, facts: &crate::facts::MxFacts) -> usize {
        self.addresses_of(host, &facts.host.addresses).addresses().count()
    }

    /// The last known answer of each family.
    fn addresses_of(&self, host: &MxHost, now: &AddressLookup) -> AddressLookup {
        let kept = self.history.hosts.get(host).and_then(|history| history.last_answer.as_deref());
        last_addresses(now, kept.map(|kept| &kept.addresses))
    }

    fn mail_host(&self, target: String, host: Option<MxHost>, preference: u16, implicit: bool) -> MxAssessment {
        let in_policy = match (&self.reference, &host) {
            // A policy in mode none needs no mx lines; where it has some they are meant.
            (Some(policy), _) if policy.mode == Mode::None && policy.mx.is_empty() => None,
            (Some(policy), Some(host)) => Some(policy.matches(host)),
            (Some(_), None) => Some(false),
            _ => None,
        };
        let facts = host.as_ref().and_then(|host| self.observation.hosts.get(host));
        let kept = host.as_ref().and_then(|host| self.history.hosts.get(host));
        let host_dane = HostDane::new(facts.map(|facts| &facts.host), kept.map(|kept| &**kept), self.context.once);
        let mx_security = self.mx_lookup.security;
        let mut addresses = Vec::new();
        if let (Some(host), Some(facts)) = (&host, facts) {
            let lookup = self.addresses_of(host, &facts.host.addresses);
            // Beyond the cap nothing is probed: what has no probe there is skipped, not late.
            let counts = |address: &IpAddr| facts.skipped == 0 || facts.addresses.contains_key(address);
            let mut known = BTreeSet::new();
            for address in lookup.addresses().filter(counts).filter(|address| known.insert(*address)) {
                let path = Arc::new(assess_path(
                    address,
                    facts.addresses.get(&address),
                    facts.surveys.get(&address),
                    kept.and_then(|history| history.addresses.get(&address)),
                    PathContext {
                        dane: &host_dane,
                        vantage: self.context.vantage,
                        once: self.context.once,
                        mx_interval: self.context.mx_interval,
                    },
                    self.now,
                ));
                let names = self.next_hop_names();
                let dane_verdict = host_dane.for_domain(&path, &names, self.now);
                addresses.push(AddressAssessment {
                    opportunistic: opportunistic(path.reach),
                    sts: sts(&self.new_view, host, &path),
                    dane: host_dane.outcome(&path, dane_verdict.as_ref(), mx_security),
                    dane_word: host_dane.word(&path, dane_verdict.as_ref()),
                    dane_verdict,
                    path,
                });
            }
        }
        MxAssessment {
            target,
            preference,
            implicit,
            in_policy,
            lookup: facts.map(|facts| Arc::clone(&facts.host)),
            addresses,
            dane: host_dane,
            skipped: facts.map_or(0, |facts| facts.skipped),
            host,
        }
    }
}

/// What a sender without checks does.
pub(crate) const fn opportunistic(reach: Reach) -> Outcome {
    match reach {
        Reach::Up => Outcome::Open,
        Reach::Down => Outcome::Refused,
        Reach::CannotTell => Outcome::CannotTell,
    }
}

/// What a sender that applies MTA-STS does with this view of the policy (RFC 8461 §4, §5).
pub(crate) fn sts(view: &View, host: &MxHost, path: &super::PathAssessment) -> Outcome {
    match (path.reach, view) {
        (Reach::Down, _) => Outcome::Refused,
        (Reach::CannotTell, _) | (Reach::Up, View::CannotTell) => Outcome::CannotTell,
        (Reach::Up, View::Policy(Some(policy))) if policy.mode == Mode::Enforce => {
            let verified = path.certificate.as_ref().is_some_and(super::CertificateAssessment::verified);
            if policy.matches(host) && verified && path.takes_mail_in_tls() {
                Outcome::Secure
            } else {
                Outcome::Refused
            }
        }
        (Reach::Up, View::Policy(_)) => Outcome::Open,
    }
}

/// The present answer, else the last one that was an answer.
fn last_known<'a, T>(present: &'a Lookup<T>, history: &'a LookupHistory<T>) -> &'a Lookup<T> {
    if present.answered() {
        return present;
    }
    history.last_answer.as_deref().unwrap_or(present)
}

/// Whether the DNS said that a name has no address at all. A family that is not asked for cannot be told, unless the name
/// does not exist.
pub(crate) fn has_no_address(lookup: &AddressLookup) -> bool {
    let gone = lookup.lookups().any(|lookup| lookup.outcome == LookupOutcome::NxDomain);
    let both = lookup.ip4.is_some() && lookup.ip6.is_some();
    lookup.is_absent() && (gone || both)
}

/// One SERVFAIL may be a name server that restarts: as with every lookup the third in a row counts, or the only one where
/// there is no history. That the signatures do not hold is no accident. A resolver that validates nothing may say SERVFAIL for that.
fn mx_unanswered(observation: &Observation, history: &History, context: &Context<'_>, resolver_healthy: bool) -> bool {
    let lasting = context.once || history.domain.mx.failures_in_a_row >= LOOKUP_FAILURES_IN_A_ROW;
    let validates = context.vantage.dnssec == DnssecSight::Off || observation.domain.dnssec_healthy;
    match observation.domain.mx.failure() {
        Some(LookupFailure::ServFail) => resolver_healthy && validates && lasting,
        Some(LookupFailure::Bogus(_)) => observation.domain.dnssec_healthy,
        _ => false,
    }
}

fn standing(reference: Option<&Policy>, policy: &PolicyView<'_>, announced: bool) -> Standing {
    // A policy that only its media type keeps from being usable still tells what was meant.
    let meant = || {
        policy.fetches.iter().find_map(|view| {
            let only_type = matches!(view.faults.as_slice(), [super::policy_view::FetchFault::MediaType(_)]);
            only_type.then(|| view.reading.as_ref()?.value.as_ref()).flatten()
        })
    };
    match reference.or_else(|| announced.then(meant).flatten()).map(|policy| policy.mode) {
        Some(Mode::Enforce) => Standing::Enforce,
        Some(Mode::Testing) => Standing::Testing,
        Some(Mode::None) => Standing::None,
        // Also where the only one that was seen has expired: what is announced cannot be had, and nothing tells its mode.
        None if announced => Standing::Unknown,
        None => Standing::None,
    }
}

fn views(
    observation: &Observation,
    history: &History,
    resolver_healthy: bool,
    record: &RecordReading<StsRecord>,
    fetched: Option<bool>,
    served: Option<Arc<Policy>>,
    now: Timestamp,
) -> (View, Vec<Arc<Policy>>) {
    let seen = &*observation.domain;
    let ledger = &history.domain.ledger;
    let failing = !seen.sts_record.answered();
    let own_lookup = failing && !resolver_healthy;
    // A few failures do not take the last answer away; from the third on, new senders find no record.
    let record_usable =
        record.usable() && (!failing || history.domain.sts_record.failures_in_a_row < LOOKUP_FAILURES_IN_A_ROW);
    if own_lookup || (record_usable && fetched.is_none()) {
        let known = ledger.last_known(now).cloned();
        return (known.map_or(View::CannotTell, |known| View::Policy(Some(known))), Vec::new());
    }
    let discovered = served.filter(|_| record_usable);
    let cached = match &discovered {
        // Who holds an older one looks for a newer one before giving up, and finds it (RFC 8461 §5.1).
        Some(_) => Vec::new(),
        None => ledger
            .enforced(now)
            .filter(|version| version.is_announced())
            .map(|version| Arc::clone(&version.policy))
            .collect(),
    };
    (View::Policy(discovered), cached)
}
