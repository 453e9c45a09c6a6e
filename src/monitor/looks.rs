//! What single looks saw, as a snapshot: so that what reads snapshots can show a `check` as well.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{DomainState, HostState, Looked, Snapshot};
use crate::{
    config::{DomainSettings, Settings},
    facts::Vantage,
    protocol::mta_sts::Mode,
    terms::{MxHost, PolicyDomain},
    verdict::{Assessment, MxAssessment, TlsaStatus},
};

/// The snapshot of looks at domains, each with its settings. Nothing is due in it, and reports are not part of it.
pub fn snapshot_of(looked: &[Looked], settings: &Settings, domains: &[DomainSettings]) -> Snapshot {
    let known: BTreeMap<&PolicyDomain, &DomainSettings> =
        domains.iter().map(|domain| (&domain.domain, domain)).collect();
    let mut snapshot =
        Snapshot { vantage: vantage(looked), settings: Arc::new(settings.clone()), ..Snapshot::default() };
    for Looked { assessment, observation, .. } in looked {
        let domain = &assessment.domain;
        let entry = known.get(domain);
        let seen = assessment.lookups_answered();
        let state = DomainState {
            domain: domain.clone(),
            group: entry.and_then(|entry| entry.options.group.clone()).unwrap_or_default(),
            interval: entry.map_or(settings.probe.interval, |entry| settings.interval(entry)),
            due_at: None,
            observation: Some(Arc::clone(observation)),
            assessment: Some(Arc::new(assessment.clone())),
            last_success_at: seen.then_some(assessment.checked_at),
            reports: None,
            shown: BTreeMap::new(),
        };
        snapshot.put(Arc::new(state));
    }
    let mut hosts: BTreeMap<MxHost, HostState> = BTreeMap::new();
    for Looked { assessment, .. } in looked {
        let mut counted = BTreeSet::new();
        for mx in &assessment.mx {
            let Some(host) = mx.host.as_ref().filter(|host| counted.insert(*host)) else { continue };
            let state = hosts.entry(host.clone()).or_insert_with(|| unused(host, mx));
            count(state, assessment);
        }
    }
    hosts.into_values().for_each(|state| snapshot.put_host(Arc::new(state)));
    snapshot
}

/// What this side could see, by the look that ended last. Port 25 counts as shut off only where nobody got through, and then every
/// look at a mail host says so.
fn vantage(looked: &[Looked]) -> Arc<Vantage> {
    let blocked = looked.iter().find(|look| look.vantage.smtp_blocked);
    let ended = |look: &&Looked| look.assessment.checked_at + look.assessment.duration;
    blocked.or_else(|| looked.iter().max_by_key(ended)).map(|look| Arc::clone(&look.vantage)).unwrap_or_default()
}

/// A mail host that no domain was counted for.
fn unused(host: &MxHost, mx: &MxAssessment) -> HostState {
    HostState {
        host: host.clone(),
        domains: 0,
        domains_enforcing: 0,
        findings: BTreeSet::new(),
        lookup: mx.lookup.clone(),
        dane: mx.dane.clone(),
        paths: mx.addresses.iter().map(|address| Arc::clone(&address.path)).collect(),
        skipped: mx.skipped,
        patient_until: None,
    }
}

fn count(state: &mut HostState, assessment: &Assessment) {
    let enforces = assessment.policy.in_force.as_ref().is_some_and(|policy| policy.mode == Mode::Enforce);
    state.domains += 1;
    state.domains_enforcing += usize::from(enforces || state.dane.status == TlsaStatus::Usable);
    let about = |name: Option<&str>| name == Some(state.host.as_str());
    let findings = assessment.active().filter(|finding| about(finding.subject.mx())).map(|finding| finding.code);
    state.findings.extend(findings.collect::<Vec<_>>());
}
