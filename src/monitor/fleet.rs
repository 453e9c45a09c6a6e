//! The state of the monitor: what was seen of every domain and mail host, what is remembered, and what follows.
//!
//! Nothing here waits or asks the clock. An observation comes in; which further probes are wanted comes out.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

pub(super) use self::keeping::BATCH;
pub(super) use self::restoring::{Due, Restoring};
pub(super) use self::surveys::{SURVEY_INTERVAL, SURVEY_RETRY, Spread};
use self::{
    departed::Departed, judging::Standing, keeping::Unsaved, reporting::Reporting, surveys::Surveys, sweep::Sweep,
};
use super::{
    KnownDomain, Renderer, Roll, Snapshot, Unrendered,
    face::Stamp,
    schedule::backed_off,
    vantage::{Attempts, Doubt, NETWORKS_TO_BLAME, Outage},
};
use crate::{
    config::{ProbeSettings, Settings},
    facts::{
        AddressObservation, DnssecSight, DomainObservation, HostObservation, PolicyHostObservation, SmtpOutcome,
        Vantage,
    },
    store::{IntakeCounters, StoredDomain},
    terms::{MxHost, PolicyDomain, Timestamp},
    verdict::{Change, HostHistory},
};

/// How long the series of an address that is no longer in the DNS stay, so that rotating pools do not churn.
const UNLISTED_KEPT: Duration = Duration::from_secs(24 * 3600);
/// … and for how many addresses of one host at most.
const UNLISTED_MOST: usize = 64;

/// Where there are more mail hosts than this, what this side can see is judged less often, by a millisecond for each time as many: a
/// million are gone through every ten seconds.
const HOSTS_A_MILLISECOND: u64 = 100;

/// What is known of this side beside the probes: the resolver is silent, port 25 is shut off for certain, and DNSSEC.
type Beside = (bool, bool, DnssecSight);

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
struct Host {
    /// How many domains have it among those that are probed.
    users: usize,
    /// By what it showed last, as the domains that use it were told.
    sight: Option<host_sight::Sight>,
    observation: Option<Arc<HostObservation>>,
    history: Arc<HostHistory>,
    addresses: BTreeMap<IpAddr, Address>,
    skipped: usize,
    /// Until when it is left alone, because it asked for that.
    patient_until: Option<Timestamp>,
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
    /// All domains, as they lie.
    domains: Roll<KnownDomain>,
    /// Those that were looked at and are not judged yet, …
    open: HashMap<PolicyDomain, Box<StoredDomain>>,
    /// … in the order in which they are.
    turn: VecDeque<PolicyDomain>,
    /// Domains that are to be judged for another reason, each for itself, …
    waiting: BTreeSet<PolicyDomain>,
    /// … and many together.
    sweep: Sweep,
    /// What the summaries of domains say about their mail hosts.
    standing: HashMap<MxHost, Standing>,
    hosts: BTreeMap<MxHost, Host>,
    /// How many addresses they have in the DNS.
    listed: usize,
    /// Those that were among them.
    departed: Departed,
    canaries: BTreeMap<MxHost, Canary>,
    vantage: Arc<Vantage>,
    /// When this side was judged last, and what was known beside the probes; nothing where it is to be judged anew in any case.
    around: Option<(Timestamp, Beside)>,
    /// One look and no more: what is seen counts at once, and what this side can see is known from elsewhere.
    once: bool,
    doubt: Doubt,
    dnssec: DnssecSight,
    outage: Outage,
    changed_hosts: BTreeSet<MxHost>,
    /// Those that left since the last publication.
    gone_hosts: Vec<MxHost>,
    changed: bool,
    /// What changed since [`Fleet::take_changes`].
    changes: Vec<Change>,
    /// What the intake of reports counted; nothing where no report source is configured.
    intake: Option<Arc<IntakeCounters>>,
    snapshot: Arc<Snapshot>,
    renderer: Arc<dyn Renderer>,
    /// What a domain is judged and shown by, beside its own options.
    stamp: Stamp,
    reporting: Reporting,
    unsaved: Unsaved,
}

impl Fleet {
    /// Nothing is known yet.
    pub(crate) fn new(settings: Arc<Settings>, dnssec: DnssecSight) -> Self {
        let mut fleet = Self {
            settings: Arc::default(),
            domains: Roll::default(),
            open: HashMap::new(),
            turn: VecDeque::new(),
            waiting: BTreeSet::new(),
            sweep: Sweep::default(),
            standing: HashMap::new(),
            hosts: BTreeMap::new(),
            listed: 0,
            departed: Departed::default(),
            canaries: BTreeMap::new(),
            vantage: Arc::default(),
            around: None,
            once: false,
            doubt: Doubt::default(),
            dnssec,
            outage: Outage::default(),
            changed_hosts: BTreeSet::new(),
            gone_hosts: Vec::new(),
            changed: true,
            changes: Vec::new(),
            intake: None,
            snapshot: Arc::default(),
            renderer: Arc::new(Unrendered),
            stamp: Stamp::default(),
            reporting: Reporting::default(),
            unsaved: Unsaved::default(),
        };
        fleet.configure(settings, dnssec);
        fleet
    }

    /// What makes of each state what scrapes show of it. To be told before anything is judged.
    pub(crate) fn render_with(mut self, renderer: Arc<dyn Renderer>) -> Self {
        self.renderer = renderer;
        self.stamp_anew();
        self
    }

    /// The policy host's observation that stands while it is too early to ask the host again: RFC 8461 §3.3 asks senders to
    /// wait five minutes after a fetch that failed.
    pub(crate) fn kept_policy(&self, domain: &PolicyDomain, now: Timestamp) -> Option<PolicyHostObservation> {
        let known = self.domains.get(domain.as_str())?;
        if !self.open.contains_key(domain) && known.summary.as_ref().is_some_and(|seen| seen.policy_failures == 0) {
            return None;
        }
        let entry = self.look_into(known);
        let seen = entry.observation.as_ref()?;
        let last = seen.policy.fetches.iter().map(|fetch| fetch.at).max()?;
        // A little less than the interval, so that the probe that is scheduled for its end does fetch.
        let wait = self.settings.probe.policy_retry_interval.mul_f64(0.9);
        // A fetch that lies ahead was made by a clock that was wrong, and must not stand in the way until that time comes.
        (entry.policy_failures > 0 && last <= now && now.since(last) < wait).then(|| seen.policy.clone())
    }

    /// A domain was looked at. `hosts`: its mail hosts, and how many lie beyond the cap.
    pub(crate) fn domain_seen(
        &mut self,
        observation: DomainObservation,
        (hosts, skipped_hosts): (Vec<MxHost>, usize),
    ) -> Wanted {
        let mut wanted = Wanted::default();
        let at = observation.started_at;
        let Some(known) = self.domains.get(observation.domain.as_str()).cloned() else { return wanted };
        self.note_resolver(
            observation.resolver_healthy,
            observation.started_at + observation.duration,
            opening::answered_at(&observation),
        );
        let observation = opening::thin(observation);
        let hosts: Vec<MxHost> = hosts.into_iter().map(|host| self.same_name(host)).collect();
        let settings = Arc::clone(&self.settings);
        let entry = self.open(&known);
        let news = keeping::domain_news(entry.observation.as_deref(), &observation);
        let changes = entry.history.observe(&observation, settings.pace(&known.settings));
        opening::note(entry, &observation);
        wanted.again = Some(opening::again(entry.dns_failures, entry.policy_failures, &known.settings, &settings));
        let implicit = observation.implicit.as_ref();
        // A list that could not be looked up leaves the one that is known.
        let before =
            if observation.mx.answered() && implicit.is_none_or(|lookup| lookup.answered() || !hosts.is_empty()) {
                entry.skipped_hosts = skipped_hosts;
                std::mem::replace(&mut entry.hosts, hosts)
            } else {
                entry.hosts.clone()
            };
        entry.observation = Some(Arc::new(observation));
        let hosts = entry.hosts.clone();
        self.changes.extend(changes);
        for host in opening::only_in(&hosts, &before) {
            let (departed, listed) = (&mut self.departed, &mut self.listed);
            let used = self.hosts.entry(host.clone()).or_insert_with(|| {
                let host = departed.come(&host, at, &mut wanted);
                *listed += host.listed();
                host
            });
            used.users += 1;
            self.changed_hosts.insert(host.clone());
        }
        self.leave_hosts(&opening::only_in(&before, &hosts), at, &mut wanted);
        self.note_domain(&known, news);
        self.changed = true;
        wanted
    }

    /// A mail host was looked up. `probed`: whether its addresses are to be probed at all, and how many at most.
    pub(crate) fn host_seen(&mut self, observation: HostObservation, probed: Option<usize>, now: Timestamp) -> Wanted {
        let mut wanted = Wanted::default();
        let name = observation.host.clone();
        if !self.hosts.contains_key(&name) {
            return wanted;
        }
        let answered_at = opening::addresses_answered_at(&observation.addresses, observation.at);
        self.note_resolver(observation.resolver_healthy, observation.at, answered_at);
        let Some(host) = self.hosts.get_mut(&name) else { return wanted };
        self.listed -= host.listed();
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
        self.listed += host.listed();
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
        self.around = None;
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

    /// Notes until when a mail host is left alone, for the page.
    pub(crate) fn set_patience(&mut self, name: &MxHost, until: Option<Timestamp>) {
        if let Some(host) = self.hosts.get_mut(name).filter(|host| host.patient_until != until) {
            host.patient_until = until;
            self.host_changed(name);
        }
    }

    /// Notes when a domain is due next, for the page.
    pub(crate) fn set_due(&mut self, domain: &PolicyDomain, at: Timestamp) {
        if let Some(known) = self.domains.get(domain.as_str()) {
            known.due_at.set(at);
        }
    }

    /// A domain, as it lies.
    pub(crate) fn known(&self, domain: &PolicyDomain) -> Option<Arc<KnownDomain>> {
        self.domains.get(domain.as_str()).cloned()
    }

    /// How many domains, hosts and addresses there are.
    pub(crate) fn counts(&self) -> [usize; 3] {
        [self.domains.len(), self.hosts.len(), self.listed]
    }

    /// What this side can see, by the probes of the last two rounds. To go through them all takes its time where they are many; while
    /// nothing else is known it is done again only after some hundred times as long.
    fn look_around(&mut self, now: Timestamp) {
        let beside = (self.outage.is_under_way(), self.doubt.is_certain(), self.dnssec);
        let pause = Duration::from_millis(self.hosts.len() as u64 / HOSTS_A_MILLISECOND);
        if self.around.is_some_and(|(at, before)| before == beside && at <= now && now.since(at) < pause) {
            return;
        }
        self.around = Some((now, beside));
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
        vantage.resolver_failing = self.outage.is_under_way();
        vantage.dnssec = self.dnssec;
        let sees_alike = vantage.sees_alike(&self.vantage);
        if vantage != *self.vantage {
            self.vantage = Arc::new(vantage);
        }
        if !sees_alike {
            // What was blamed on peers may be this side's trouble, or the other way round.
            self.sweep.all();
            self.changed_hosts.extend(self.hosts.keys().cloned());
            self.stamp_anew();
        }
    }

    /// Notes whether the resolver answered at all when a look ended, and when it gave the latest answer of that look.
    fn note_resolver(&mut self, healthy: bool, at: Timestamp, answered_at: Option<Timestamp>) {
        // A little less than the interval, so that the look that is scheduled for its end does count.
        let pause = self.settings.probe.retry_interval.mul_f64(0.9);
        match (healthy, answered_at) {
            (false, _) => self.outage.note_failure(at),
            (true, Some(answered_at)) => self.outage.note_answer(answered_at, pause),
            (true, None) => {}
        }
    }

    fn host_changed(&mut self, name: &MxHost) {
        self.changed_hosts.insert(name.clone());
        self.changed = true;
    }

    /// A domain no longer uses these hosts; those that nobody uses are forgotten.
    fn leave_hosts(&mut self, hosts: &[MxHost], at: Timestamp, wanted: &mut Wanted) {
        for name in hosts {
            let Some(host) = self.hosts.get_mut(name) else { continue };
            host.users = host.users.saturating_sub(1);
            self.changed_hosts.insert(name.clone());
            if host.users == 0 {
                for (address, known) in &mut host.addresses {
                    wanted.never.push(Target::Address(name.clone(), *address));
                    known.surveys.cancel(|| Target::Survey(name.clone(), *address), wanted);
                }
                wanted.never.push(Target::Host(name.clone()));
                if let Some(host) = self.hosts.remove(name) {
                    self.listed -= host.listed();
                    self.gone_hosts.push(name.clone());
                    self.part_from_host(name, &host);
                    self.departed.leave(name.clone(), host, at);
                }
            }
        }
    }
}

impl Host {
    fn new() -> Self {
        Self {
            users: 0,
            sight: None,
            observation: None,
            history: Arc::default(),
            addresses: BTreeMap::new(),
            skipped: 0,
            patient_until: None,
        }
    }

    /// How many of its addresses are in the DNS.
    fn listed(&self) -> usize {
        self.addresses.values().filter(|address| address.unlisted_since.is_none()).count()
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
            worked && now.since(since) < UNLISTED_KEPT && unlisted <= UNLISTED_MOST
        });
        history.addresses.retain(|address, _| self.addresses.contains_key(address));
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

mod configuring;
mod departed;
mod host_sight;
mod judging;
mod keeping;
mod opening;
mod prompting;
mod reporting;
mod restoring;
mod surveys;
mod sweep;
#[cfg(test)]
mod tests;
