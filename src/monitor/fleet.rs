//! The state of the monitor: what was seen of every domain and mail host, what is remembered, and what follows.
//!
//! Nothing here waits or asks the clock. An observation comes in; which further probes are wanted comes out.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

pub(super) use self::keeping::Due;
pub(super) use self::surveys::{SURVEY_INTERVAL, SURVEY_RETRY, Spread};
use self::{keeping::Unsaved, reporting::Reporting, surveys::Surveys};
use super::{
    KnownHost, Renderer, Snapshot, Unrendered,
    schedule::backed_off,
    vantage::{Attempts, Doubt, NETWORKS_TO_BLAME},
};
use crate::{
    config::{self, DomainSettings, ProbeSettings, Settings},
    facts::{
        AddressLookup, AddressObservation, DnssecSight, DomainObservation, HostObservation, PolicyHostObservation,
        SmtpOutcome, Vantage,
    },
    store::IntakeCounters,
    terms::{MxHost, PolicyDomain, Timestamp},
    verdict::{Change, DomainHistory, DomainReports, HostHistory, discovered_policy},
};

/// How long the series of an address that is no longer in the DNS stay, so that rotating pools do not churn.
const UNLISTED_KEPT: Duration = Duration::from_secs(24 * 3600);
/// … and for how many addresses of one host at most.
const UNLISTED_MOST: usize = 64;

/// Something to probe.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Target {
    /// Records, policy and MX list.
    Domain(PolicyDomain),
    /// The addresses of a mail host.
    Host(MxHost),
    /// One address of a mail host.
    Address(MxHost, IpAddr),
    /// What else one address of a mail host offers.
    Survey(MxHost, IpAddr),
    /// A host that is known to work.
    Canary(MxHost),
}

/// What follows from an observation for the schedule.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// Probe these as soon as possible; they are new.
    pub(crate) now: Vec<Target>,
    /// Do not probe these any more.
    pub(crate) never: Vec<Target>,
    /// Probe the target that was seen again after this time.
    pub(crate) again: Option<Duration>,
    /// Probe these at some moment.
    pub(crate) spread: Vec<Spread>,
}

#[derive(Debug)]
struct Domain {
    settings: DomainSettings,
    observation: Option<Arc<DomainObservation>>,
    history: DomainHistory,
    hosts: Vec<MxHost>,
    skipped_hosts: usize,
    /// Probes in a row in which a lookup failed.
    dns_failures: u32,
    /// … in which an announced policy could not be used.
    policy_failures: u32,
    last_success_at: Option<Timestamp>,
    due_at: Option<Timestamp>,
    /// What reports say; nothing where no report source is configured.
    reports: Option<Arc<DomainReports>>,
}

#[derive(Debug)]
struct Host {
    users: BTreeSet<PolicyDomain>,
    observation: Option<Arc<HostObservation>>,
    history: Arc<HostHistory>,
    addresses: BTreeMap<IpAddr, Address>,
    skipped: usize,
}

#[derive(Debug, Default)]
struct Address {
    latest: Option<Arc<AddressObservation>>,
    /// Since when it is not among the addresses of the host.
    unlisted_since: Option<Timestamp>,
    surveys: Surveys,
}

#[derive(Debug, Default)]
struct Canary {
    reached: Option<bool>,
    failures: u32,
    answered: Option<(IpAddr, Timestamp)>,
}

/// All of it.
#[derive(Debug)]
pub(crate) struct Fleet {
    settings: Arc<Settings>,
    domains: BTreeMap<PolicyDomain, Domain>,
    hosts: BTreeMap<MxHost, Host>,
    canaries: BTreeMap<MxHost, Canary>,
    vantage: Arc<Vantage>,
    /// One look and no more: what is seen counts at once, and what this side can see is known from elsewhere.
    once: bool,
    doubt: Doubt,
    dnssec: DnssecSight,
    resolver_failing: bool,
    changed_domains: BTreeSet<PolicyDomain>,
    changed_hosts: BTreeSet<MxHost>,
    changed: bool,
    /// What changed since [`Fleet::take_changes`].
    changes: Vec<Change>,
    /// What the intake of reports counted; nothing where no report source is configured.
    intake: Option<Arc<IntakeCounters>>,
    snapshot: Arc<Snapshot>,
    renderer: Arc<dyn Renderer>,
    reporting: Reporting,
    unsaved: Unsaved,
}

impl Fleet {
    /// Nothing is known yet.
    pub(crate) fn new(settings: Arc<Settings>, dnssec: DnssecSight) -> Self {
        let mut fleet = Self {
            settings: Arc::default(),
            domains: BTreeMap::new(),
            hosts: BTreeMap::new(),
            canaries: BTreeMap::new(),
            vantage: Arc::default(),
            once: false,
            doubt: Doubt::default(),
            dnssec,
            resolver_failing: false,
            changed_domains: BTreeSet::new(),
            changed_hosts: BTreeSet::new(),
            changed: true,
            changes: Vec::new(),
            intake: None,
            snapshot: Arc::default(),
            renderer: Arc::new(Unrendered),
            reporting: Reporting::default(),
            unsaved: Unsaved::default(),
        };
        fleet.configure(settings, dnssec);
        fleet
    }

    /// What makes of each state what scrapes show of it. To be told before anything is judged.
    pub(crate) fn render_with(mut self, renderer: Arc<dyn Renderer>) -> Self {
        self.renderer = renderer;
        self
    }

    /// Takes new settings: domains come and go, and those that stay keep all that is known of them. Returns what to probe
    /// now, in the order of the configuration, and what no longer.
    pub(crate) fn configure(&mut self, settings: Arc<Settings>, dnssec: DnssecSight) -> Wanted {
        let change = config::Change::between(&self.settings, &settings);
        self.follow(settings, dnssec, &change)
    }

    /// The same, where it is known what leads from the settings before to these. Domains that stay as they are are not walked.
    pub(crate) fn follow(&mut self, settings: Arc<Settings>, dnssec: DnssecSight, change: &config::Change) -> Wanted {
        let mut wanted = Wanted::default();
        for domain in &change.removed {
            if let Some(entry) = self.domains.remove(domain) {
                self.part_from_domain(&entry);
                self.leave_hosts(domain, &entry.hosts, &mut wanted);
            }
            wanted.never.push(Target::Domain(domain.clone()));
        }
        for one in change.changed.iter().filter_map(|domain| settings.domains.named(domain.as_str())) {
            if let Some(entry) = self.domains.get_mut(&one.domain) {
                entry.settings = one.clone();
                self.changed_domains.insert(one.domain.clone());
            }
        }
        let watches = self.watches_reports();
        for one in change.added.iter().filter_map(|domain| settings.domains.named(domain.as_str())) {
            let mut entry = Domain::new(one.clone());
            entry.reports = watches.then(Arc::default);
            self.domains.insert(one.domain.clone(), entry);
            self.changed_domains.insert(one.domain.clone());
            wanted.now.push(Target::Domain(one.domain.clone()));
        }
        let canaries: BTreeSet<&MxHost> = settings.probe.canaries.iter().collect();
        self.canaries.retain(|canary, _| {
            let kept = canaries.contains(canary);
            if !kept {
                wanted.never.push(Target::Canary(canary.clone()));
            }
            kept
        });
        for canary in canaries {
            if !self.canaries.contains_key(canary) {
                self.canaries.insert(canary.clone(), Canary::default());
                wanted.now.push(Target::Canary(canary.clone()));
            }
        }
        if self.settings.probe.legacy_tls && !settings.probe.legacy_tls {
            self.forget_surveys(&mut wanted);
        }
        let sees_otherwise = self.dnssec != dnssec;
        self.settings = settings;
        self.dnssec = dnssec;
        if change.others_changed {
            self.configure_reports();
        }
        // Thresholds, severities and what is accepted: the same facts, another judgement. Intervals bound how old a fact may be, and
        // what is shown of a judgement may be other things.
        if change.judging_changed || change.probing_changed || change.others_changed || sees_otherwise {
            self.changed_domains.extend(self.domains.keys().cloned());
            self.changed_hosts.extend(self.hosts.keys().cloned());
        }
        self.changed = true;
        wanted
    }

    /// The policy host's observation that stands while it is too early to ask the host again: RFC 8461 §3.3 asks senders to
    /// wait five minutes after a fetch that failed.
    pub(crate) fn kept_policy(&self, domain: &PolicyDomain, now: Timestamp) -> Option<PolicyHostObservation> {
        let entry = self.domains.get(domain)?;
        let seen = entry.observation.as_ref()?;
        let last = seen.policy.fetches.iter().map(|fetch| fetch.at).max()?;
        // A little less than the interval, so that the probe that is scheduled for its end does fetch.
        let wait = self.settings.probe.policy_retry_interval.mul_f64(0.9);
        (entry.policy_failures > 0 && now.since(last) < wait).then(|| seen.policy.clone())
    }

    /// A domain was looked at. `hosts`: its mail hosts, and how many lie beyond the cap.
    pub(crate) fn domain_seen(
        &mut self,
        observation: DomainObservation,
        (hosts, skipped_hosts): (Vec<MxHost>, usize),
    ) -> Wanted {
        let mut wanted = Wanted::default();
        let domain = observation.domain.clone();
        let Some(entry) = self.domains.get_mut(&domain) else { return wanted };
        self.resolver_failing = !observation.resolver_healthy;
        let news = keeping::domain_news(entry.observation.as_deref(), &observation);
        let pace = self.settings.pace(&entry.settings);
        self.changes.extend(entry.history.observe(&observation, pace));
        entry.note(&observation);
        wanted.again = Some(entry.again(&self.settings));
        let mut before = Vec::new();
        let implicit = observation.implicit.as_ref();
        // A list that could not be looked up leaves the one that is known.
        if observation.mx.answered() && implicit.is_none_or(|lookup| lookup.answered() || !hosts.is_empty()) {
            before = std::mem::replace(&mut entry.hosts, hosts);
            entry.skipped_hosts = skipped_hosts;
        }
        entry.observation = Some(Arc::new(observation));
        let hosts = entry.hosts.clone();
        for host in &hosts {
            let known = self.hosts.entry(host.clone()).or_insert_with(|| {
                wanted.now.push(Target::Host(host.clone()));
                Host::new()
            });
            if known.users.insert(domain.clone()) {
                self.changed_hosts.insert(host.clone());
            }
        }
        before.retain(|host| !hosts.contains(host));
        self.leave_hosts(&domain, &before, &mut wanted);
        self.note_domain(&domain, news);
        self.changed_domains.insert(domain);
        self.changed = true;
        wanted
    }

    /// A mail host was looked up. `probed`: whether its addresses are to be probed at all, and how many at most.
    pub(crate) fn host_seen(&mut self, observation: HostObservation, probed: Option<usize>, now: Timestamp) -> Wanted {
        let mut wanted = Wanted::default();
        let name = observation.host.clone();
        let Some(host) = self.hosts.get_mut(&name) else { return wanted };
        if !observation.resolver_healthy {
            self.resolver_failing = true;
        }
        let observation = Arc::new(observation);
        let news = keeping::host_news(host.observation.as_deref(), &observation);
        let retry = self.settings.probe.retry_interval.min(self.settings.probe.interval);
        self.changes.extend(Arc::make_mut(&mut host.history).observe(&observation, retry));
        if observation.addresses.answered() {
            let all: Vec<IpAddr> = observation.addresses.addresses().collect();
            let most = probed.unwrap_or(0);
            host.skipped = if probed.is_some() { all.len().saturating_sub(most) } else { 0 };
            host.list(&name, &all.into_iter().take(most).collect(), now, &mut wanted);
        } else {
            // A family that was answered may bring new addresses; nothing is taken away.
            for address in observation.addresses.addresses().take(probed.unwrap_or(0)) {
                host.addresses.entry(address).or_insert_with(|| {
                    wanted.now.push(Target::Address(name.clone(), address));
                    Address::default()
                });
            }
        }
        host.observation = Some(observation);
        wanted.again = Some(host.again(&self.settings));
        self.note_host(&name, news);
        self.host_changed(&name);
        wanted
    }

    /// An address of a mail host was probed.
    pub(crate) fn address_seen(&mut self, observation: AddressObservation) -> Wanted {
        let mut wanted = Wanted::default();
        let name = observation.host.clone();
        let hosts = self.hosts.len();
        let Some(host) = self.hosts.get_mut(&name) else { return wanted };
        let Some(address) = host.addresses.get_mut(&observation.address) else { return wanted };
        let observation = Arc::new(observation);
        let history = Arc::make_mut(&mut host.history);
        history.compare_tlsa(&observation);
        let path = history.addresses.entry(observation.address).or_default();
        let probe = &self.settings.probe;
        let retry = probe.retry_interval.min(probe.mx_interval);
        self.changes.extend(path.observe(&observation, &self.vantage, retry));
        let again = address_again(path.failures_in_a_row, Some(&observation), probe);
        let news = keeping::address_news(address.latest.as_deref(), &observation);
        // The probe may have been under way when the address went out of the DNS.
        wanted.again = address.unlisted_since.is_none().then_some(again);
        if wanted.again.is_some() && probe.legacy_tls {
            wanted.spread.extend(address.surveys.plan(&observation, hosts));
        }
        address.latest = Some(Arc::clone(&observation));
        self.note_host(&name, news);
        self.host_changed(&name);
        self.ask_witnesses(&observation, &mut wanted);
        wanted
    }

    /// Where port 25 may have been shut off here, those that answered last are asked now.
    fn ask_witnesses(&mut self, observation: &AddressObservation, wanted: &mut Wanted) {
        let hosts = &self.hosts;
        let healthy = || {
            let all =
                hosts.values().flat_map(|host| host.addresses.values()).filter(|one| one.unlisted_since.is_none());
            let mut through: Vec<&Arc<AddressObservation>> =
                all.filter_map(|one| one.latest.as_ref()).filter(|latest| latest.connected()).collect();
            through.sort_unstable_by_key(|latest| std::cmp::Reverse(latest.at));
            through.into_iter().map(|latest| latest.address).collect()
        };
        for witness in self.doubt.note(observation, healthy, self.settings.probe.retry_interval) {
            let of = |(name, host): (&MxHost, &Host)| host.addresses.contains_key(&witness).then(|| name.clone());
            wanted.now.extend(hosts.iter().find_map(of).map(|name| Target::Address(name, witness)));
        }
    }

    /// A canary was probed.
    pub(crate) fn canary_seen(&mut self, name: &MxHost, seen: &[AddressObservation]) -> Wanted {
        let mut wanted = Wanted::default();
        let Some(canary) = self.canaries.get_mut(name) else { return wanted };
        let answered = seen.iter().find(|seen| seen.connected());
        // Without an address nothing was tried: that is the resolver's trouble, which is told elsewhere.
        canary.reached = (!seen.is_empty()).then_some(answered.is_some());
        canary.answered = answered.map(|seen| (seen.address, seen.at)).or(canary.answered);
        canary.failures = if answered.is_some() { 0 } else { canary.failures.saturating_add(1) };
        let probe = &self.settings.probe;
        wanted.again = Some(match canary.failures {
            0 => probe.interval,
            failures => backed_off(probe.retry_interval, failures, probe.interval),
        });
        self.changed = true;
        wanted
    }

    /// What changed since the last call: records, policies, MX sets, certificates, TLSA records, and what senders can do.
    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// Notes whether DNSSEC can be seen from here now.
    pub(crate) fn set_dnssec(&mut self, sight: DnssecSight) {
        self.changed |= self.dnssec != sight;
        self.dnssec = sight;
    }

    /// Notes when a domain is due next, for the page.
    pub(crate) fn set_due(&mut self, domain: &PolicyDomain, at: Timestamp) {
        if let Some(entry) = self.domains.get_mut(domain) {
            entry.due_at = Some(at);
        }
        if let Some(known) = self.snapshot.domains.get(domain.as_str()) {
            known.due_at.set(at);
        }
    }

    /// The interval in force for a domain.
    pub(crate) fn interval(&self, domain: &PolicyDomain) -> Duration {
        let entry = self.domains.get(domain);
        entry.map_or(self.settings.probe.interval, |entry| self.settings.interval(&entry.settings))
    }

    /// How many domains, hosts and addresses there are.
    pub(crate) fn counts(&self) -> [usize; 3] {
        let listed = |host: &Host| host.addresses.values().filter(|address| address.unlisted_since.is_none()).count();
        [self.domains.len(), self.hosts.len(), self.hosts.values().map(listed).sum()]
    }

    /// Judges what changed and gives the new snapshot; nothing where nothing changed.
    pub(crate) fn refresh(&mut self, now: Timestamp) -> Option<Arc<Snapshot>> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        match self.once {
            true => self.look_once_around(),
            false => self.look_around(now),
        }
        let gone: Vec<String> = self
            .snapshot
            .domains
            .iter()
            .filter(|known| !self.domains.contains_key(known.domain()))
            .map(|known| known.domain().to_string())
            .collect();
        let mut put = Vec::new();
        for domain in std::mem::take(&mut self.changed_domains) {
            let Some(entry) = self.domains.get(&domain) else { continue };
            self.changed_hosts.extend(entry.hosts.iter().cloned());
            let state = self.domain_state(entry, now);
            if let (Some(assessment), Some(entry)) = (&state.assessment, self.domains.get_mut(&domain)) {
                self.changes.extend(entry.history.judged(assessment, now));
                let before = self.snapshot.state(&domain).and_then(|before| before.assessment.clone());
                if before.is_some_and(|before| !keeping::same_findings(&before, assessment)) {
                    self.note_domain(&domain, true);
                }
            }
            if let Some(entry) = self.domains.get(&domain) {
                put.push(Arc::new(self.known_domain(entry, state, now)));
            }
        }
        let domains = self.snapshot.domains.with(put, gone.iter().map(String::as_str));
        let hosts = self.snapshot.hosts.iter().map(|known| &known.state.host);
        let gone: Vec<String> = hosts.filter(|host| !self.hosts.contains_key(*host)).map(ToString::to_string).collect();
        let mut put = Vec::new();
        for name in std::mem::take(&mut self.changed_hosts) {
            let Some(host) = self.hosts.get(&name) else { continue };
            let state = Arc::new(self.host_state(name, host, &domains, now));
            put.push(Arc::new(KnownHost { rendered: self.renderer.host(&state, &self.vantage), state }));
        }
        let hosts = self.snapshot.hosts.with(put, gone.iter().map(String::as_str));
        self.snapshot = Arc::new(Snapshot {
            number: self.snapshot.number + 1,
            at: now,
            domains,
            hosts,
            vantage: Arc::clone(&self.vantage),
            canaries: self.canaries.iter().map(|(name, canary)| (name.clone(), canary.reached)).collect(),
            intake: self.intake.clone(),
            settings: Arc::clone(&self.settings),
        });
        Some(Arc::clone(&self.snapshot))
    }

    /// What this side can see, by the probes of the last two rounds.
    fn look_around(&mut self, now: Timestamp) {
        let recent = self.settings.probe.mx_interval * 2;
        let mut attempts = Attempts::default();
        let latest = self.hosts.values().flat_map(|host| host.addresses.values()).filter_map(|a| a.latest.as_ref());
        for observation in latest.filter(|observation| now.since(observation.at) <= recent) {
            attempts.note(observation);
        }
        for (address, at) in self.canaries.values().filter_map(|canary| canary.answered) {
            attempts.note_canary(address, at);
        }
        let canaries: Vec<(MxHost, Option<bool>)> =
            self.canaries.iter().map(|(name, canary)| (name.clone(), canary.reached)).collect();
        let mut vantage = attempts.vantage(&canaries, NETWORKS_TO_BLAME);
        vantage.smtp_blocked |= self.doubt.is_certain() && !canaries.iter().any(|(_, reached)| *reached == Some(true));
        vantage.resolver_failing = self.resolver_failing;
        vantage.dnssec = self.dnssec;
        if !vantage.sees_alike(&self.vantage) {
            // What was blamed on peers may be this side's trouble, or the other way round.
            self.changed_domains.extend(self.domains.keys().cloned());
            self.changed_hosts.extend(self.hosts.keys().cloned());
        }
        if vantage != *self.vantage {
            self.vantage = Arc::new(vantage);
        }
    }

    fn host_changed(&mut self, name: &MxHost) {
        if let Some(host) = self.hosts.get(name) {
            self.changed_domains.extend(host.users.iter().cloned());
        }
        self.changed_hosts.insert(name.clone());
        self.changed = true;
    }

    /// A domain no longer uses these hosts; those that nobody uses are forgotten.
    fn leave_hosts(&mut self, domain: &PolicyDomain, hosts: &[MxHost], wanted: &mut Wanted) {
        for name in hosts {
            let Some(host) = self.hosts.get_mut(name) else { continue };
            host.users.remove(domain);
            self.changed_hosts.insert(name.clone());
            if host.users.is_empty() {
                for (address, known) in &mut host.addresses {
                    wanted.never.push(Target::Address(name.clone(), *address));
                    known.surveys.cancel(|| Target::Survey(name.clone(), *address), wanted);
                }
                wanted.never.push(Target::Host(name.clone()));
                if let Some(host) = self.hosts.remove(name) {
                    self.part_from_host(name, &host);
                }
            }
        }
    }
}

impl Domain {
    fn new(settings: DomainSettings) -> Self {
        Self {
            settings,
            observation: None,
            history: DomainHistory::default(),
            hosts: Vec::new(),
            skipped_hosts: 0,
            dns_failures: 0,
            policy_failures: 0,
            last_success_at: None,
            due_at: None,
            reports: None,
        }
    }

    fn note(&mut self, observation: &DomainObservation) {
        let lookups = observation.mx.answered()
            && observation.sts_record.answered()
            && observation.tlsrpt_record.answered()
            && observation.policy.addresses.answered()
            && observation.implicit.as_ref().is_none_or(AddressLookup::answered);
        self.dns_failures = if lookups { 0 } else { self.dns_failures.saturating_add(1) };
        if lookups {
            self.last_success_at = Some(observation.started_at);
        }
        // Only an announced policy is missed.
        let announced = !observation.sts_record.records().is_empty();
        let failed = announced && discovered_policy(observation, observation.started_at).is_none();
        self.policy_failures = if failed { self.policy_failures.saturating_add(1) } else { 0 };
    }

    fn again(&self, settings: &Settings) -> Duration {
        let interval = settings.interval(&self.settings);
        let probe = &settings.probe;
        let dns = backed_off(probe.retry_interval, self.dns_failures, interval);
        let policy = backed_off(probe.policy_retry_interval, self.policy_failures, interval);
        match (self.dns_failures, self.policy_failures) {
            (0, 0) => interval,
            (0, _) => policy,
            (_, 0) => dns,
            (_, _) => dns.min(policy),
        }
    }
}

impl Host {
    fn new() -> Self {
        Self {
            users: BTreeSet::new(),
            observation: None,
            history: Arc::default(),
            addresses: BTreeMap::new(),
            skipped: 0,
        }
    }

    /// How long until it is looked up again.
    fn again(&self, settings: &Settings) -> Duration {
        let probe = &settings.probe;
        match self.history.failures_in_a_row {
            0 if self.observation.as_ref().is_none_or(|seen| seen.resolver_healthy) => probe.interval,
            failures => backed_off(probe.retry_interval, failures, probe.interval),
        }
    }

    /// These are the addresses now. Those that are new are wanted; those that went stay for a while where they worked, so that
    /// a rotating pool does not churn. An address that was taken out because it was broken goes at once.
    fn list(&mut self, name: &MxHost, listed: &BTreeSet<IpAddr>, now: Timestamp, wanted: &mut Wanted) {
        for address in listed {
            let known = self.addresses.entry(*address).or_insert_with(|| {
                wanted.now.push(Target::Address(name.clone(), *address));
                Address::default()
            });
            if known.unlisted_since.take().is_some() {
                wanted.now.push(Target::Address(name.clone(), *address));
            }
        }
        let history = Arc::make_mut(&mut self.history);
        let mut unlisted = 0;
        self.addresses.retain(|address, known| {
            if listed.contains(address) {
                return true;
            }
            if known.unlisted_since.is_none() {
                wanted.never.push(Target::Address(name.clone(), *address));
                known.surveys.cancel(|| Target::Survey(name.clone(), *address), wanted);
            }
            let since = *known.unlisted_since.get_or_insert(now);
            let worked = known.latest.as_ref().is_some_and(|latest| latest.outcome == SmtpOutcome::Done);
            unlisted += 1;
            let kept = worked && now.since(since) < UNLISTED_KEPT && unlisted <= UNLISTED_MOST;
            if !kept {
                history.addresses.remove(address);
            }
            kept
        });
    }
}

/// How long until an address is probed again.
fn address_again(failures: u32, latest: Option<&AddressObservation>, probe: &ProbeSettings) -> Duration {
    // Whom we annoy, or cannot reach for a reason of our own, is not asked more often for it.
    let patient = latest.is_some_and(|latest| match &latest.outcome {
        SmtpOutcome::Rejected { .. } => true,
        SmtpOutcome::ConnectFailed(failure) => failure.is_own_side(),
        _ => false,
    });
    match failures {
        0 => probe.mx_interval,
        _ if patient => probe.mx_interval,
        failures => backed_off(probe.retry_interval, failures, probe.mx_interval),
    }
}

mod judging;
mod keeping;
mod prompting;
mod reporting;
mod surveys;
#[cfg(test)]
mod tests;
