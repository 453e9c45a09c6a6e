//! All that is known at one moment. Readers hold an `Arc` of it; one task publishes a new one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use crate::{
    facts::{DomainObservation, HostObservation, Vantage},
    store::IntakeCounters,
    terms::{MxHost, PolicyDomain, Timestamp},
    verdict::{Assessment, Code, CounterKey, DomainReports, HostDane, PathAssessment},
};

/// What is known of every domain and every mail host.
///
/// States that did not change are shared with the snapshot before: a reader may compare them by pointer.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Rises with every publication: of two snapshots of one monitor the one with the larger number is the later.
    pub number: u64,
    /// By name.
    pub domains: BTreeMap<PolicyDomain, Arc<DomainState>>,
    /// By name. A host is here while a configured domain uses it.
    pub hosts: BTreeMap<MxHost, Arc<HostState>>,
    /// What this side can see.
    pub vantage: Arc<Vantage>,
    /// The configured canaries, with whether the last probe of each reached it.
    pub canaries: Vec<(MxHost, Option<bool>)>,
    /// What the intake of reports counted; nothing where no report source is configured.
    pub intake: Option<Arc<IntakeCounters>>,
}

impl Snapshot {
    /// What of it is about one domain: the domain and its mail hosts, as this side sees them. Without the domain nothing.
    #[must_use]
    pub fn part(&self, domain: &PolicyDomain) -> Self {
        let state = self.domains.get_key_value(domain);
        let seen = state.and_then(|(_, state)| state.assessment.as_deref());
        let names = seen.iter().flat_map(|seen| &seen.mx).filter_map(|mx| mx.host.as_ref());
        let hosts = names.filter_map(|name| self.hosts.get_key_value(name));
        Self {
            number: self.number,
            domains: state.into_iter().map(|(name, state)| (name.clone(), Arc::clone(state))).collect(),
            hosts: hosts.map(|(name, host)| (name.clone(), Arc::clone(host))).collect(),
            vantage: Arc::clone(&self.vantage),
            ..Self::default()
        }
    }
}

/// What is known of one configured domain.
#[derive(Clone, Debug)]
pub struct DomainState {
    /// Which.
    pub domain: PolicyDomain,
    /// The configured group, empty if none.
    pub group: String,
    /// The interval in force.
    pub interval: Duration,
    /// When the next probe is due.
    pub due_at: Option<Timestamp>,
    /// The latest look at records, policy and MX list; nothing before the first one.
    pub observation: Option<Arc<DomainObservation>>,
    /// The judgement; nothing before the first probe.
    pub assessment: Option<Arc<Assessment>>,
    /// The last probe in which every lookup was answered.
    pub last_success_at: Option<Timestamp>,
    /// What reports say; nothing where no report source is configured.
    pub reports: Option<Arc<DomainReports>>,
    /// The counters of [`reports`](Self::reports) as a scrape shows them: those that are new at 0 (`Counter::shown`), as of the
    /// publication of this state.
    pub shown: BTreeMap<CounterKey, u64>,
}

impl DomainState {
    /// Whether the domain has the host among its mail hosts, as last seen.
    pub fn uses(&self, host: &MxHost) -> bool {
        self.assessment.as_deref().is_some_and(|seen| seen.mx.iter().any(|mx| mx.host.as_ref() == Some(host)))
    }
}

/// What is known of one mail host, once for all domains that use it.
#[derive(Clone, Debug)]
pub struct HostState {
    /// Which.
    pub host: MxHost,
    /// How many configured domains use it.
    pub domains: usize,
    /// How many of them have a policy in enforce; all, where the host has secure usable TLSA records.
    pub domains_enforcing: usize,
    /// Active findings about the host or its addresses, from any of the domains.
    pub findings: BTreeSet<Code>,
    /// The latest address lookup; nothing before the first one.
    pub lookup: Option<Arc<HostObservation>>,
    /// Its TLSA records.
    pub dane: HostDane,
    /// Its addresses.
    pub paths: Vec<Arc<PathAssessment>>,
    /// Addresses beyond the cap.
    pub skipped: usize,
}
