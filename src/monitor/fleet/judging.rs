//! From what was seen and remembered to what the snapshot holds.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use super::{Address, Domain, Fleet, Host};
use crate::{
    facts::{DomainObservation, MxFacts, Observation},
    monitor::{
        ActiveFinding, DomainState, HostState, KnownDomain, Roll, Summary, snapshot::Moment, summary::enforces_below,
    },
    terms::{MxHost, Timestamp},
    verdict::{Assessment, Code, Context, History, HostDane, PathContext, TlsaStatus, assess_path, judge},
};

impl Fleet {
    pub(super) fn domain_state(&self, entry: &Domain, now: Timestamp) -> DomainState {
        let assessment = entry.observation.as_ref().map(|observation| Arc::new(self.assess(entry, observation, now)));
        DomainState {
            domain: entry.settings.domain.clone(),
            group: entry.settings.options.group.clone().unwrap_or_default(),
            interval: self.settings.interval(&entry.settings),
            due_at: entry.due_at,
            last_success_at: entry.last_success_at,
            shown: entry.reports.as_deref().map(|reports| reports.shown(now)).unwrap_or_default(),
            reports: entry.reports.clone(),
            observation: entry.observation.clone(),
            assessment,
        }
    }

    pub(super) fn known_domain(&self, entry: &Domain, state: DomainState, now: Timestamp) -> KnownDomain {
        let summary = state
            .assessment
            .as_deref()
            .map(|assessment| Summary::of(assessment, entry.last_success_at, enforces_below(&entry.history, now)));
        KnownDomain {
            settings: entry.settings.clone(),
            summary,
            rendered: self.renderer.domain(&state, &self.vantage),
            reports: entry.reports.clone(),
            due_at: Moment::new(entry.due_at),
            state: Arc::new(state),
        }
    }

    fn assess(&self, entry: &Domain, seen: &Arc<DomainObservation>, now: Timestamp) -> Assessment {
        let reports = entry.reports.clone();
        let mut history = History { domain: entry.history.clone(), hosts: BTreeMap::new(), reports };
        let mut hosts = BTreeMap::new();
        for name in &entry.hosts {
            let Some(host) = self.hosts.get(name) else { continue };
            history.hosts.insert(name.clone(), Arc::clone(&host.history));
            let Some(lookup) = &host.observation else { continue };
            let latest = |(address, known): (&IpAddr, &Address)| {
                known.latest.as_ref().map(|latest| (*address, Arc::clone(latest)))
            };
            let facts = MxFacts {
                host: Arc::clone(lookup),
                addresses: host.addresses.iter().filter_map(latest).collect(),
                surveys: host.surveys(),
                skipped: host.skipped,
            };
            hosts.insert(name.clone(), facts);
        }
        let observation = Observation { domain: Arc::clone(seen), hosts, skipped_hosts: entry.skipped_hosts };
        let enforcing = |parent: &str| {
            let (name, entry) = self.domains.get_key_value(parent)?;
            enforces_below(&entry.history, now).then_some(name)
        };
        let context = Context {
            enforcing_parent: entry.settings.domain.parents().find_map(enforcing),
            vantage: &self.vantage,
            expectation: entry.settings.options.expect.as_ref(),
            thresholds: &self.settings.thresholds,
            severities: &self.settings.severities,
            accept: &self.settings.accept,
            own_mx: &self.settings.own_mx,
            once: self.once,
            interval: self.settings.interval(&entry.settings),
            mx_interval: self.settings.probe.mx_interval,
            planned_mx: &entry.settings.options.planned_mx,
        };
        judge(&observation, &history, &context, now)
    }

    pub(super) fn host_state(
        &self,
        name: MxHost,
        host: &Host,
        domains: &Roll<KnownDomain>,
        now: Timestamp,
    ) -> HostState {
        let users: Vec<&Summary> =
            host.users.iter().filter_map(|user| domains.get(user.as_str())?.summary.as_ref()).collect();
        let about = |finding: &&ActiveFinding| finding.host.as_ref() == Some(&name);
        let findings: BTreeSet<Code> =
            users.iter().flat_map(|summary| summary.active.iter().filter(about)).map(|finding| finding.code).collect();
        let dane = HostDane::new(host.observation.as_ref(), Some(&host.history), self.once);
        let context = PathContext {
            dane: &dane,
            vantage: &self.vantage,
            once: self.once,
            mx_interval: self.settings.probe.mx_interval,
        };
        let surveys = host.surveys();
        let path = |(address, known): (&IpAddr, &Address)| {
            let history = host.history.addresses.get(address);
            Arc::new(assess_path(*address, known.latest.as_ref(), surveys.get(address), history, context, now))
        };
        HostState {
            domains: host.users.len(),
            domains_enforcing: match dane.status {
                TlsaStatus::Usable => host.users.len(),
                _ => users.iter().filter(|summary| summary.enforces()).count(),
            },
            findings,
            lookup: host.observation.clone(),
            paths: host.addresses.iter().map(path).collect(),
            skipped: host.skipped,
            dane,
            host: name,
        }
    }
}
