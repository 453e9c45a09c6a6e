//! One look at some domains, now: what `check` does.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::IpAddr,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::{StreamExt, future::join_all, stream};
use tokio::sync::OnceCell;

use super::{Edges, Kept, probe, vantage::Attempts};
use crate::{
    config::{DomainSettings, Settings},
    facts::{
        AddressObservation, DomainObservation, HostObservation, MxFacts, Observation, SmtpOutcome, TlsSurvey, Vantage,
    },
    net::now,
    protocol::mta_sts::Mode,
    store::StoredDomain,
    terms::{MxHost, PolicyDomain, Timestamp},
    verdict::{
        Assessment, Change, Context, DomainHistory, DomainReports, History, HostHistory, Pace, discovered_policy, judge,
    },
};

/// Looks at every domain once and judges all of them, in the order asked.
///
/// Every mail host is looked up, and every address of it probed and (`probe.legacy_tls`) surveyed, once for all domains that use it. `on_done` is called
/// whenever the looking at one domain ends.
pub async fn check(
    settings: &Settings,
    edges: &Edges,
    domains: &[DomainSettings],
    on_done: impl Fn(&PolicyDomain),
) -> Vec<Assessment> {
    let looked = check_after(Kept::default(), settings, edges, domains, on_done).await;
    looked.into_iter().map(|looked| looked.assessment).collect()
}

/// What a look at a domain found.
#[derive(Clone, Debug)]
pub struct Looked {
    /// The judgement.
    pub assessment: Assessment,
    /// The look at the domain that it rests on; what was seen of the mail hosts is in the assessment.
    pub observation: Arc<DomainObservation>,
    /// What this side could see.
    pub vantage: Arc<Vantage>,
    /// When the observation was made that is kept of the domain; nothing where none is.
    pub before: Option<Timestamp>,
    /// What is different from what is kept of the domain and its mail hosts.
    pub changes: Vec<Change>,
}

/// As [`check`]; what was kept counts as seen before, and what changed since then is told. What is seen now counts at once all
/// the same.
pub async fn check_after(
    kept: Kept,
    settings: &Settings,
    edges: &Edges,
    domains: &[DomainSettings],
    on_done: impl Fn(&PolicyDomain),
) -> Vec<Looked> {
    check_as_they_end(kept, settings, edges, domains, on_done, |_| {}).await
}

/// As [`check_after`], and hands each look to `on_judged` as soon as it is judged.
///
/// A domain is judged as its look ends where nothing more can come to light: its mail hosts answered, so did the resolver, and its
/// parent domains in the run were seen. Whether the silence of a host is its own or this side's only shows in all that was seen:
/// those domains are judged at the end.
pub async fn check_as_they_end(
    kept: Kept,
    settings: &Settings,
    edges: &Edges,
    domains: &[DomainSettings],
    on_done: impl Fn(&PolicyDomain),
    mut on_judged: impl FnMut(&Looked),
) -> Vec<Looked> {
    let shared = Shared::default();
    let looks = stream::iter(domains.iter().enumerate())
        .map(async |(place, settings)| {
            let observation = probe::domain(edges, &settings.domain, None).await;
            let (hosts, skipped_hosts) = probe::mail_hosts(edges, &observation);
            let hosts = join_all(hosts.iter().map(|host| shared.host(edges, host))).await;
            on_done(&settings.domain);
            (place, Seen { observation, hosts, skipped_hosts })
        })
        // One domain has a handful of connections; the politeness of the edges holds the real limit. Unordered, so that a slow
        // domain keeps no other one from its turn.
        .buffer_unordered(settings.probe.max_in_flight);
    let mut looks = pin!(looks);
    let mut run = Run::new(settings, Before::new(kept), domains);
    let mut judged: BTreeMap<usize, Looked> = BTreeMap::new();
    let mut waiting: Vec<(usize, &DomainSettings, Seen)> = Vec::new();
    while let Some((place, seen)) = looks.next().await {
        let Some(domain) = domains.get(place) else { continue };
        run.note(&seen);
        if run.is_settled(&seen) {
            let vantage = Arc::new(run.vantage(&[], edges));
            let looked = run.judge(domain, seen, &vantage);
            on_judged(&looked);
            judged.insert(place, looked);
        } else {
            waiting.push((place, domain, seen));
        }
    }
    let canaries = if run.in_doubt { canaries(settings, edges).await } else { Vec::new() };
    let vantage = Arc::new(run.vantage(&canaries, edges));
    waiting.sort_by_key(|(place, ..)| *place);
    for (place, domain, seen) in waiting {
        let looked = run.judge(domain, seen, &vantage);
        on_judged(&looked);
        judged.insert(place, looked);
    }
    judged.into_values().collect()
}

/// What a run has seen so far.
struct Run<'a> {
    settings: &'a Settings,
    before: Before,
    attempts: Attempts,
    /// A host was silent or could not be reached: the canaries are to settle whose fault that is.
    in_doubt: bool,
    /// The resolver gave an answer.
    resolver_answered: bool,
    /// The domains of the run that were not seen yet.
    missing: HashSet<&'a str>,
    /// The domains of the run that have a policy in enforce.
    enforcing: BTreeSet<PolicyDomain>,
}

impl<'a> Run<'a> {
    fn new(settings: &'a Settings, before: Before, domains: &'a [DomainSettings]) -> Self {
        Self {
            settings,
            before,
            attempts: Attempts::default(),
            in_doubt: false,
            resolver_answered: domains.is_empty(),
            missing: domains.iter().map(|domain| domain.domain.as_str()).collect(),
            enforcing: BTreeSet::new(),
        }
    }

    fn note(&mut self, seen: &Seen) {
        let look = &seen.observation;
        self.missing.remove(look.domain.as_str());
        self.resolver_answered |= look.resolver_healthy;
        if discovered_policy(look, look.started_at).is_some_and(|policy| policy.mode == Mode::Enforce) {
            self.enforcing.insert(look.domain.clone());
        }
        seen.probes().for_each(|probe| self.attempts.note(probe));
        self.in_doubt |= seen.in_doubt();
    }

    /// Whether nothing that is seen later can change the judgement.
    fn is_settled(&self, seen: &Seen) -> bool {
        let look = &seen.observation;
        look.resolver_healthy && !seen.in_doubt() && !look.domain.parents().any(|parent| self.missing.contains(parent))
    }

    /// What this side can see, as far as is known.
    fn vantage(&self, canaries: &[Canary], edges: &Edges) -> Vantage {
        let mut attempts = self.attempts.clone();
        // Against a canary that answers, the silence of another host counts.
        for (address, at) in canaries.iter().filter_map(|canary| canary.answered) {
            attempts.note_canary(address, at);
        }
        let reached: Vec<_> = canaries.iter().map(|canary| (canary.host.clone(), canary.reached)).collect();
        let mut vantage = attempts.vantage(&reached, 1);
        vantage.resolver_failing = !self.resolver_answered;
        vantage.dnssec = edges.resolver.dnssec_sight();
        vantage
    }

    fn judge(&self, domain: &DomainSettings, seen: Seen, vantage: &Arc<Vantage>) -> Looked {
        let settings = self.settings;
        let context = Context {
            enforcing_parent: domain.domain.parents().find_map(|parent| self.enforcing.get(parent)),
            vantage,
            expectation: domain.options.expect.as_ref(),
            thresholds: &settings.thresholds,
            severities: &settings.severities,
            accept: &settings.accept,
            own_mx: &settings.own_mx,
            once: true,
            interval: settings.interval(domain),
            mx_interval: settings.probe.mx_interval,
            planned_mx: &domain.options.planned_mx,
        };
        judge_once(seen, &self.before, &context, (vantage, settings.pace(domain)))
    }
}

/// What is remembered from a monitor.
#[derive(Debug)]
struct Before {
    domains: HashMap<PolicyDomain, (DomainHistory, Option<Timestamp>)>,
    hosts: HashMap<MxHost, Arc<HostHistory>>,
    reports: HashMap<PolicyDomain, Arc<DomainReports>>,
}

impl Before {
    fn new(kept: Kept) -> Self {
        let domain = |stored: StoredDomain| {
            let at = stored.observation.map(|seen| seen.started_at);
            (stored.domain, (stored.history, at))
        };
        Self {
            domains: kept.opened_domains().map(domain).collect(),
            hosts: kept.opened_hosts().map(|stored| (stored.host, stored.history)).collect(),
            reports: kept.reports.domains.into_iter().map(|(domain, said)| (domain, Arc::new(said))).collect(),
        }
    }
}

/// A domain, seen once.
#[derive(Debug)]
struct Seen {
    observation: DomainObservation,
    hosts: Vec<Arc<SeenHost>>,
    skipped_hosts: usize,
}

impl Seen {
    fn probes(&self) -> impl Iterator<Item = &AddressObservation> {
        self.hosts.iter().flat_map(|host| host.addresses.values()).map(Arc::as_ref)
    }

    /// A host was silent or could not be reached.
    fn in_doubt(&self) -> bool {
        self.probes().any(|seen| matches!(seen.outcome, SmtpOutcome::ConnectFailed(_) | SmtpOutcome::Timeout(_)))
    }
}

/// A mail host and its addresses, seen once.
#[derive(Debug)]
struct SeenHost {
    lookup: Arc<HostObservation>,
    addresses: BTreeMap<IpAddr, Arc<AddressObservation>>,
    surveys: BTreeMap<IpAddr, Arc<TlsSurvey>>,
    skipped: usize,
}

/// The mail hosts of a run.
#[derive(Debug, Default)]
struct Shared {
    hosts: Mutex<HashMap<MxHost, Arc<OnceCell<Arc<SeenHost>>>>>,
}

impl Shared {
    async fn host(&self, edges: &Edges, host: &MxHost) -> Arc<SeenHost> {
        let cell = {
            let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(hosts.entry(host.clone()).or_default())
        };
        Arc::clone(cell.get_or_init(|| see(edges, host)).await)
    }
}

async fn see(edges: &Edges, host: &MxHost) -> Arc<SeenHost> {
    let lookup = probe::host(edges, host).await;
    let all: Vec<IpAddr> = lookup.addresses.addresses().collect();
    let probed: Vec<IpAddr> = match edges.is_opted_out(host.as_str()) {
        true => Vec::new(),
        false => edges.probed(all.iter().copied()).collect(),
    };
    let skipped = all.len().saturating_sub(edges.max_addresses);
    let base = lookup.tlsa_base();
    let seen = join_all(probed.iter().map(async |address| {
        let seen = probe::address(edges, host, *address).await;
        let survey = match edges.surveys && seen.reached_tls() {
            true => Some(probe::survey(edges, host, *address, base).await),
            false => None,
        };
        (seen, survey)
    }))
    .await;
    let mut addresses = BTreeMap::new();
    let mut surveys = BTreeMap::new();
    for (seen, survey) in seen {
        surveys.extend(survey.map(|survey| (survey.address, Arc::new(survey))));
        addresses.insert(seen.address, Arc::new(seen));
    }
    Arc::new(SeenHost { lookup: Arc::new(lookup), addresses, surveys, skipped })
}

/// A canary that was asked.
struct Canary {
    host: MxHost,
    /// Whether it answered; nothing where it could not be asked.
    reached: Option<bool>,
    answered: Option<(IpAddr, Timestamp)>,
}

/// Asks the canaries: only where a doubt is to be settled.
async fn canaries(settings: &Settings, edges: &Edges) -> Vec<Canary> {
    join_all(settings.probe.canaries.iter().map(async |host| {
        let seen = probe::canary(edges, host).await;
        let answered = seen.iter().find(|seen| seen.connected()).map(|seen| (seen.address, seen.at));
        Canary { host: host.clone(), reached: (!seen.is_empty()).then_some(answered.is_some()), answered }
    }))
    .await
}

fn judge_once(domain: Seen, before: &Before, context: &Context<'_>, (vantage, pace): (&Arc<Vantage>, Pace)) -> Looked {
    let Seen { observation, hosts, skipped_hosts } = domain;
    let (remembered, at) = before.domains.get(&observation.domain).cloned().unwrap_or_default();
    let reports = before.reports.get(&observation.domain).cloned();
    let mut history = History { domain: remembered, hosts: BTreeMap::new(), reports };
    let mut changes = history.domain.observe(&observation, pace);
    let mut facts = BTreeMap::new();
    for seen in &hosts {
        let mut host = before.hosts.get(&seen.lookup.host).map(|host| HostHistory::clone(host)).unwrap_or_default();
        changes.extend(host.observe(&seen.lookup, pace.retry));
        for (address, observation) in &seen.addresses {
            let path = host.addresses.entry(*address).or_default();
            changes.extend(path.observe(observation, context.vantage, pace.retry));
            host.compare_tlsa(observation);
        }
        let name = seen.lookup.host.clone();
        history.hosts.insert(name.clone(), Arc::new(host));
        facts.insert(
            name,
            MxFacts {
                host: Arc::clone(&seen.lookup),
                addresses: seen.addresses.clone(),
                surveys: seen.surveys.clone(),
                skipped: seen.skipped,
            },
        );
    }
    let observation = Observation { domain: Arc::new(observation), hosts: facts, skipped_hosts };
    let look = Arc::clone(&observation.domain);
    let time = now();
    let assessment = judge(&observation, &history, context, time);
    changes.extend(history.domain.judged(&assessment, time));
    Looked { assessment, observation: look, vantage: Arc::clone(vantage), before: at, changes }
}
