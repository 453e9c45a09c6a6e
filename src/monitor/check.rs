//! One look at some domains, now: what `check` does.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
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
        Assessment, Change, Context, DomainHistory, DomainReports, History, HostHistory, discovered_policy, judge,
    },
};

/// Looks at every domain once and judges all of them, in the order asked.
///
/// Every mail host is looked up, and every address of it probed and (`probe.legacy_tls`) surveyed, once for all domains that use it. `on_done` is called
/// whenever the looking at one domain ends. The judgement follows when all is seen: only then it is known what this side can
/// see.
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
    let shared = Shared::default();
    let mut seen: Vec<(usize, Seen)> = stream::iter(domains.iter().enumerate())
        .map(async |(place, settings)| {
            let observation = probe::domain(edges, &settings.domain, None).await;
            let (hosts, skipped_hosts) = probe::mail_hosts(edges, &observation);
            let hosts = join_all(hosts.iter().map(|host| shared.host(edges, host))).await;
            on_done(&settings.domain);
            (place, Seen { observation, hosts, skipped_hosts })
        })
        // One domain has a handful of connections; the politeness of the edges holds the real limit. Unordered, so that a slow
        // domain keeps no other one from its turn.
        .buffer_unordered(settings.probe.max_in_flight)
        .collect()
        .await;
    seen.sort_by_key(|(place, _)| *place);
    let seen: Vec<Seen> = seen.into_iter().map(|(_, seen)| seen).collect();
    let before = Before::new(kept);
    let vantage = vantage(settings, edges, &seen).await;
    let enforcing = enforcing_domains(&seen);
    let looked = domains.iter().zip(seen).map(|(domain, seen)| {
        let context = Context {
            enforcing_parent: domain.domain.parents().find_map(|parent| enforcing.get(parent)),
            vantage: &vantage,
            expectation: domain.expect.as_ref(),
            thresholds: &settings.thresholds,
            severities: &settings.severities,
            accept: &settings.accept,
            own_mx: &settings.own_mx,
            once: true,
            interval: settings.interval(domain),
            mx_interval: settings.probe.mx_interval,
            planned_mx: &domain.planned_mx,
        };
        judge_once(seen, &before, &context)
    });
    looked.collect()
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
            domains: kept.domains.into_iter().map(domain).collect(),
            hosts: kept.hosts.into_iter().map(|stored| (stored.host, stored.history)).collect(),
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

async fn vantage(settings: &Settings, edges: &Edges, seen: &[Seen]) -> Vantage {
    let mut attempts = Attempts::default();
    let mut in_doubt = false;
    for host in seen.iter().flat_map(|seen| &seen.hosts) {
        for observation in host.addresses.values() {
            attempts.note(observation);
            in_doubt |= matches!(observation.outcome, SmtpOutcome::ConnectFailed(_) | SmtpOutcome::Timeout(_));
        }
    }
    // The canaries are asked only where a doubt is to be settled.
    let probed = if in_doubt {
        join_all(settings.probe.canaries.iter().map(async |canary| {
            let seen = probe::canary(edges, canary).await;
            let answered = seen.iter().find(|seen| seen.connected()).map(|seen| (seen.address, seen.at));
            (canary.clone(), (!seen.is_empty()).then_some(answered.is_some()), answered)
        }))
        .await
    } else {
        Vec::new()
    };
    let mut canaries = Vec::with_capacity(probed.len());
    for (canary, reached, answered) in probed {
        // Against one that answers, the silence of another host counts.
        if let Some((address, at)) = answered {
            attempts.note_canary(address, at);
        }
        canaries.push((canary, reached));
    }
    let mut vantage = attempts.vantage(&canaries, 1);
    vantage.resolver_failing = !seen.is_empty() && seen.iter().all(|seen| !seen.observation.resolver_healthy);
    vantage.dnssec = edges.resolver.dnssec_sight();
    vantage
}

/// The domains of the run that have a policy in enforce.
fn enforcing_domains(seen: &[Seen]) -> BTreeSet<PolicyDomain> {
    let enforces = |seen: &&Seen| {
        let observation = &seen.observation;
        discovered_policy(observation, observation.started_at).is_some_and(|policy| policy.mode == Mode::Enforce)
    };
    seen.iter().filter(enforces).map(|seen| seen.observation.domain.clone()).collect()
}

fn judge_once(domain: Seen, before: &Before, context: &Context<'_>) -> Looked {
    let Seen { observation, hosts, skipped_hosts } = domain;
    let (remembered, at) = before.domains.get(&observation.domain).cloned().unwrap_or_default();
    let reports = before.reports.get(&observation.domain).cloned();
    let mut history = History { domain: remembered, hosts: BTreeMap::new(), reports };
    let mut changes = history.domain.observe(&observation, context.interval);
    let mut facts = BTreeMap::new();
    for seen in &hosts {
        let mut host = before.hosts.get(&seen.lookup.host).map(|host| HostHistory::clone(host)).unwrap_or_default();
        changes.extend(host.observe(&seen.lookup));
        for (address, observation) in &seen.addresses {
            changes.extend(host.addresses.entry(*address).or_default().observe(observation, context.vantage));
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
    Looked { assessment, observation: look, before: at, changes }
}
