//! A domain that somebody looks at: what lies packed is opened and judged. Pure, so that it comes out as it was each time.

use std::{collections::BTreeMap, sync::Arc};

use super::{DomainState, KnownDomain, Roll, Summary, summary::enforces_below};
use crate::{
    config::{DomainSettings, Settings},
    facts::{DomainObservation, MxFacts, Observation, Vantage},
    store::StoredDomain,
    terms::{MxHost, Timestamp},
    verdict::{Context, DomainReports, History, HostHistory, Pace, judge},
};

/// What a judgement of a domain reads of a mail host.
#[derive(Clone, Debug, Default)]
pub(super) struct HostFacts {
    /// What was seen; nothing before the first lookup.
    pub(super) seen: Option<MxFacts>,
    /// What is remembered.
    pub(super) history: Arc<HostHistory>,
}

/// What a judgement of a domain reads beside the domain itself.
pub(super) struct Surroundings<'a> {
    pub(super) settings: &'a Settings,
    pub(super) vantage: &'a Vantage,
    /// One look and no more: what is seen counts at once.
    pub(super) once: bool,
    /// Reports are watched.
    pub(super) watches: bool,
    /// The other domains: a parent may enforce.
    pub(super) domains: &'a Roll<KnownDomain>,
    pub(super) hosts: &'a dyn Fn(&MxHost) -> Option<HostFacts>,
    pub(super) now: Timestamp,
}

impl Surroundings<'_> {
    /// All that is known of a domain, with the judgement where it was looked at. `reports`: what came; nothing where none did.
    pub(super) fn state(
        &self,
        settings: &DomainSettings,
        kept: &StoredDomain,
        reports: Option<&Arc<DomainReports>>,
        due_at: Option<Timestamp>,
    ) -> DomainState {
        let reports = self.watches.then(|| reports.cloned().unwrap_or_default());
        let interval = self.settings.interval(settings);
        let mut state = DomainState {
            domain: settings.domain.clone(),
            group: settings.options.group.clone().unwrap_or_default(),
            interval,
            due_at,
            observation: kept.observation.clone(),
            assessment: None,
            last_success_at: kept.last_success_at,
            shown: reports.as_deref().map(|reports| reports.shown(self.now)).unwrap_or_default(),
            reports,
        };
        let Some(seen) = &kept.observation else { return state };
        let mut history =
            History { domain: kept.history.clone(), hosts: BTreeMap::new(), reports: state.reports.clone() };
        let mut hosts = BTreeMap::new();
        for name in &kept.hosts {
            let Some(facts) = (self.hosts)(name) else { continue };
            history.hosts.insert(name.clone(), facts.history);
            if let Some(seen) = facts.seen {
                hosts.insert(name.clone(), seen);
            }
        }
        let observation = Observation { domain: Arc::clone(seen), hosts, skipped_hosts: kept.skipped_hosts };
        let enforcing = |parent: &str| {
            let known = self.domains.get(parent)?;
            // One that was not judged since the start may have a past all the same.
            let enforces = match &known.summary {
                Some(summary) => summary.enforces_below,
                None => enforces_below(&known.unpacked(self.settings), self.now),
            };
            enforces.then(|| known.domain())
        };
        let context = Context {
            enforcing_parent: settings.domain.parents().find_map(enforcing),
            vantage: self.vantage,
            expectation: settings.options.expect.as_ref(),
            thresholds: &self.settings.thresholds,
            severities: &self.settings.severities,
            accept: &self.settings.accept,
            own_mx: &self.settings.own_mx,
            once: self.once,
            interval,
            mx_interval: self.settings.probe.mx_interval,
            planned_mx: &settings.options.planned_mx,
        };
        state.assessment = Some(Arc::new(judge(&observation, &history, &context, self.now)));
        state
    }
}

/// Carries what is kept of a domain on to a later look of which the summary alone is kept, because it showed nothing new: else the domain
/// would be judged as if nobody had looked since, with a policy that senders hold taken for one that they forgot.
///
/// The answers keep the times at which they came, as cached ones do. A fetch is part of its look: one that lay before it would pass for
/// one that was not made.
pub(super) fn seen_again(mut kept: StoredDomain, summary: &Summary, pace: Pace) -> StoredDomain {
    let Some(before) = kept.observation.as_deref().filter(|before| summary.checked_at > before.started_at) else {
        return kept;
    };
    let since = summary.checked_at.since(before.started_at);
    let mut seen = DomainObservation { started_at: summary.checked_at, ..before.clone() };
    for fetch in &mut seen.policy.fetches {
        fetch.at = fetch.at + since;
    }
    // What it tells as changed would have been written then.
    kept.history.observe(&seen, pace);
    kept.observation = Some(Arc::new(seen));
    (kept.dns_failures, kept.policy_failures) = (summary.dns_failures, summary.policy_failures);
    kept.last_success_at = summary.last_success_at.max(kept.last_success_at);
    kept
}
