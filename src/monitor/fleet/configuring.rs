//! New settings: what comes, what goes, and what is judged again.

use std::{collections::BTreeSet, sync::Arc};

use super::{Canary, Fleet, Target, Wanted};
use crate::{
    config::{Change, DomainSettings, Settings},
    facts::DnssecSight,
    monitor::KnownDomain,
    terms::{MxHost, PolicyDomain},
};

impl Fleet {
    /// Takes new settings: domains come and go, and those that stay keep all that is known of them. Returns what to probe
    /// now, in the order of the configuration, and what no longer.
    pub(crate) fn configure(&mut self, settings: Arc<Settings>, dnssec: DnssecSight) -> Wanted {
        let change = Change::between(&self.settings, &settings);
        self.follow(settings, dnssec, &change)
    }

    /// The same, where it is known what leads from the settings before to these. Domains that stay as they are are not walked.
    pub(crate) fn follow(&mut self, settings: Arc<Settings>, dnssec: DnssecSight, change: &Change) -> Wanted {
        let mut wanted = Wanted::default();
        for domain in &change.removed {
            self.part_from_domain(domain, &mut wanted);
            wanted.never.push(Target::Domain(domain.clone()));
        }
        let named = |domain: &PolicyDomain| settings.domains.named(domain.as_str());
        let new = |one: &DomainSettings| Arc::new(KnownDomain::new(one.clone()));
        // Where all are new, a million need not be found by their names.
        let begins = self.domains.is_empty();
        let added: Vec<Arc<KnownDomain>> = match begins {
            true => settings.domains.iter().map(new).collect(),
            false => change.added.iter().filter_map(named).map(new).collect(),
        };
        let other = |one: &DomainSettings| {
            let known = self.domains.get(one.domain.as_str())?;
            Some(Arc::new(KnownDomain { settings: one.clone(), ..KnownDomain::clone(known) }))
        };
        let changed: Vec<Arc<KnownDomain>> = change.changed.iter().filter_map(named).filter_map(other).collect();
        let removed = change.removed.iter().map(PolicyDomain::as_str);
        self.domains = self.domains.with(added.into_iter().chain(changed), removed);
        match begins {
            true => self.sweep.all(),
            // Sorted and joined at once: many that come together are not put into their places one by one.
            false => self.waiting.append(&mut change.added.iter().chain(&change.changed).cloned().collect()),
        }
        wanted.now.extend(change.added.iter().cloned().map(Target::Domain));
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
        self.around = None;
        if change.others_changed {
            self.configure_reports();
        }
        // Thresholds, severities and what is accepted: the same facts, another judgement. Intervals bound how old a fact may be, and
        // what is shown of a judgement may be other things.
        if change.judging_changed || change.probing_changed || change.others_changed || sees_otherwise {
            self.sweep.all();
            self.changed_hosts.extend(self.hosts.keys().cloned());
        }
        self.stamp_anew();
        self.changed = true;
        wanted
    }
}
