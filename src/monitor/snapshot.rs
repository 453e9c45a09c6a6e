//! All that is known at one moment. Readers hold an `Arc` of it; one task publishes a new one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use super::{
    Keyed, Rendered, Roll, Summary,
    face::Stamp,
    kept::readable,
    opened::{HostFacts, Surroundings, seen_again},
};
use crate::{
    config::{DomainOptions, DomainSettings, Settings},
    facts::{DomainObservation, HostObservation, Vantage},
    store::{IntakeCounters, Packed, StoredDomain},
    terms::{MxHost, PolicyDomain, Timestamp},
    verdict::{Assessment, Code, CounterKey, DomainReports, HostDane, PathAssessment},
};

/// What is known of every domain and every mail host.
///
/// What did not change is shared with the snapshot before: a reader may compare subjects and whole shelves by pointer.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Rises with every publication: of two snapshots of one monitor the one with the larger number is the later.
    pub number: u64,
    /// When it was published: what is opened of it is judged as of this moment.
    pub at: Timestamp,
    /// The configured domains.
    pub domains: Roll<KnownDomain>,
    /// The mail hosts. One is here while a configured domain uses it.
    pub hosts: Roll<KnownHost>,
    /// What this side can see.
    pub vantage: Arc<Vantage>,
    /// The configured canaries, with whether the last probe of each reached it.
    pub canaries: Vec<(MxHost, Option<bool>)>,
    /// What the intake of reports counted; nothing where no report source is configured.
    pub intake: Option<Arc<IntakeCounters>>,
    /// The settings that all of it was judged by.
    pub settings: Arc<Settings>,
    /// Of single looks: what was seen counts at once.
    pub once: bool,
}

/// A configured domain, as small as it can lie.
#[derive(Clone, Debug)]
pub struct KnownDomain {
    /// What is configured for it.
    pub settings: DomainSettings,
    /// What is known at a glance; nothing before the first judgement.
    pub summary: Option<Summary>,
    /// What scrapes show of it.
    pub rendered: Rendered,
    /// What reports say; nothing where no report source is configured.
    pub reports: Option<Arc<DomainReports>>,
    /// The mail hosts that are probed, where they are others than those of the summary: some may lie beyond the cap.
    pub(super) probed: Option<Arc<[MxHost]>>,
    /// What summary and rendering were made with, beside the state itself.
    pub(super) stamp: Stamp,
    pub(super) due_at: Moment,
    pub(super) saved: Saved,
    pub(super) state: AtRest,
}

/// How the rest of a domain lies.
#[derive(Clone, Debug)]
pub(super) enum AtRest {
    /// It was not looked at yet.
    Nothing,
    /// As the store has it, a [`StoredDomain`].
    Packed(Packed),
    /// Judged: where there are few, and nothing to judge them with.
    Open(Arc<DomainState>),
}

/// A mail host. Few are shared by many, so all of it lies open.
#[derive(Clone, Debug)]
pub struct KnownHost {
    /// What is known.
    pub state: Arc<HostState>,
    /// What scrapes show of it.
    pub rendered: Rendered,
    /// What the judgement of a domain reads of it.
    pub(super) facts: HostFacts,
}

/// A time that is noted while readers look: it is a plan, or for the housekeeping, and nothing follows from it.
#[derive(Debug, Default)]
pub(super) struct Moment(AtomicI64);

/// When a domain was written to the store last, and whether something was seen since. One word: the time, and the lowest bit.
#[derive(Debug)]
pub(super) struct Saved(AtomicI64);

impl Snapshot {
    /// All that is known of a domain, judged as of this snapshot; nothing where it is not configured.
    pub fn state(&self, domain: &PolicyDomain) -> Option<Arc<DomainState>> {
        self.domains.get(domain.as_str()).map(|known| self.open(known))
    }

    /// All that is known of every domain, in the order of the names. What that takes grows with the fleet: lists read
    /// [`KnownDomain::summary`].
    pub fn states(&self) -> Vec<Arc<DomainState>> {
        self.domains.sorted().into_iter().map(|known| self.open(known)).collect()
    }

    /// All that is known of a domain of this snapshot.
    pub fn open(&self, known: &KnownDomain) -> Arc<DomainState> {
        if let AtRest::Open(state) = &known.state {
            return Arc::clone(state);
        }
        let around = Surroundings {
            settings: &self.settings,
            vantage: &self.vantage,
            once: self.once,
            watches: self.intake.is_some(),
            domains: &self.domains,
            hosts: &|host| self.hosts.get(host.as_str()).map(|known| known.facts.clone()),
            now: self.at,
        };
        let due_at = known.due_at();
        Arc::new(around.state(&known.settings, &known.unpacked(&self.settings), known.reports.as_ref(), due_at))
    }

    /// A mail host.
    pub fn host(&self, host: &MxHost) -> Option<&Arc<HostState>> {
        self.hosts.get(host.as_str()).map(|known| &known.state)
    }

    /// Every mail host, in the order of the names.
    pub fn host_states(&self) -> Vec<&Arc<HostState>> {
        self.hosts.sorted().into_iter().map(|known| &known.state).collect()
    }

    /// What of it is about one domain: the domain and its mail hosts, as this side sees them. Without the domain nothing.
    #[must_use]
    pub fn part(&self, domain: &PolicyDomain) -> Self {
        let known = self.domains.get(domain.as_str());
        // Opened here: the parents that its judgement looks at are no part of it.
        let opened =
            known.map(|known| KnownDomain { state: AtRest::Open(self.open(known)), ..KnownDomain::clone(known) });
        let names = known.and_then(|known| known.summary.as_ref()).map_or(&[][..], |summary| &summary.hosts);
        let hosts = names.iter().filter_map(|name| self.hosts.get(name.as_str()));
        Self {
            domains: opened.map(Arc::new).into_iter().collect(),
            hosts: hosts.cloned().collect(),
            canaries: Vec::new(),
            intake: None,
            ..self.clone()
        }
    }

    /// Adds a domain of which all is known already, as a single look or a test has it.
    pub fn put(&mut self, state: Arc<DomainState>) {
        self.domains = self.domains.with([Arc::new(KnownDomain::opened(state))], []);
    }

    /// Adds a mail host, likewise.
    pub fn put_host(&mut self, state: Arc<HostState>) {
        let known = KnownHost { state, rendered: Rendered::default(), facts: HostFacts::default() };
        self.hosts = self.hosts.with([Arc::new(known)], []);
    }
}

impl KnownDomain {
    /// Which.
    pub const fn domain(&self) -> &PolicyDomain {
        &self.settings.domain
    }

    /// The configured group, empty if none.
    pub fn group(&self) -> &str {
        self.settings.options.group.as_deref().unwrap_or_default()
    }

    /// When the next probe is due, as it is planned now; nothing where it is not on the schedule.
    pub fn due_at(&self) -> Option<Timestamp> {
        self.due_at.get()
    }

    /// Whether the domain has the host among its mail hosts, as last seen.
    pub fn uses(&self, host: &MxHost) -> bool {
        self.summary.as_ref().is_some_and(|summary| summary.hosts.contains(host))
    }

    /// The mail host of this name, if the domain has it among its mail hosts, as last seen.
    pub(super) fn uses_by_name(&self, host: &str) -> Option<&MxHost> {
        self.summary.as_ref()?.hosts.iter().find(|known| known.as_str() == host)
    }

    /// A domain of which nothing is known yet.
    pub(super) fn new(settings: DomainSettings) -> Self {
        Self {
            settings,
            summary: None,
            rendered: Rendered::default(),
            reports: None,
            probed: None,
            stamp: Stamp::default(),
            due_at: Moment::new(None),
            saved: Saved::default(),
            state: AtRest::Nothing,
        }
    }

    /// The mail hosts that are probed, as far as it can be told without what lies packed.
    pub(super) fn listed(&self) -> Option<&[MxHost]> {
        self.probed.as_deref().or_else(|| self.summary.as_ref().map(|summary| &*summary.hosts))
    }

    /// What the store would have of it; nothing was seen, where that cannot be read: damage takes one domain's past. Its mail hosts
    /// stay those that are probed for it, each counted among their users.
    pub(super) fn unpacked(&self, settings: &Settings) -> StoredDomain {
        let packed = match &self.state {
            AtRest::Packed(packed) => readable(self.domain(), packed.open()),
            AtRest::Nothing | AtRest::Open(_) => None,
        };
        match (packed, &self.summary) {
            (Some(kept), Some(summary)) => seen_again(kept, summary, settings.pace(&self.settings)),
            (Some(kept), None) => kept,
            (None, _) => StoredDomain {
                hosts: self.listed().map(<[MxHost]>::to_vec).unwrap_or_default(),
                ..StoredDomain::new(self.domain().clone())
            },
        }
    }

    /// A domain that lies open.
    fn opened(state: Arc<DomainState>) -> Self {
        let group = Some(state.group.clone()).filter(|group| !group.is_empty());
        let options = DomainOptions { group, interval: Some(state.interval), ..DomainOptions::default() };
        let settings = DomainSettings::with(state.domain.clone(), options);
        let summary = state.assessment.as_deref();
        Self {
            summary: summary.map(|seen| Summary::of(seen, state.last_success_at)),
            reports: state.reports.clone(),
            due_at: Moment::new(state.due_at),
            state: AtRest::Open(state),
            ..Self::new(settings)
        }
    }
}

impl Keyed for KnownDomain {
    fn key(&self) -> &str {
        self.settings.domain.as_str()
    }
}

impl Keyed for KnownHost {
    fn key(&self) -> &str {
        self.state.host.as_str()
    }
}

impl Moment {
    /// No time that a clock shows.
    const NONE: i64 = i64::MIN;

    pub(super) fn new(at: Option<Timestamp>) -> Self {
        Self(AtomicI64::new(at.map_or(Self::NONE, Timestamp::unix_milliseconds)))
    }

    pub(super) fn get(&self) -> Option<Timestamp> {
        let at = self.0.load(Ordering::Relaxed);
        (at != Self::NONE).then(|| Timestamp::from_unix_milliseconds(at))
    }

    pub(super) fn set(&self, at: Timestamp) {
        self.0.store(at.unix_milliseconds(), Ordering::Relaxed);
    }
}

impl Saved {
    /// No time that a clock shows.
    const NEVER: i64 = i64::MIN;
    const SEEN_SINCE: i64 = 1;

    pub(super) fn at(&self) -> Option<Timestamp> {
        let at = self.0.load(Ordering::Relaxed) & !Self::SEEN_SINCE;
        (at != Self::NEVER).then(|| Timestamp::from_unix_milliseconds(at / 2))
    }

    /// Whether the store has not all of it.
    pub(super) fn is_behind(&self) -> bool {
        self.0.load(Ordering::Relaxed) & Self::SEEN_SINCE != 0
    }

    pub(super) fn note_seen(&self) {
        self.0.fetch_or(Self::SEEN_SINCE, Ordering::Relaxed);
    }

    pub(super) fn note_written(&self, at: Timestamp) {
        self.0.store(at.unix_milliseconds().saturating_mul(2), Ordering::Relaxed);
    }
}

impl Default for Saved {
    fn default() -> Self {
        Self(AtomicI64::new(Self::NEVER))
    }
}

impl Clone for Saved {
    fn clone(&self) -> Self {
        Self(AtomicI64::new(self.0.load(Ordering::Relaxed)))
    }
}

impl Clone for Moment {
    fn clone(&self) -> Self {
        Self(AtomicI64::new(self.0.load(Ordering::Relaxed)))
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
    /// Until when it is left alone, because it answered 4xx (RFC 5321 §4.2.1: not now).
    pub patient_until: Option<Timestamp>,
}
