//! New settings: what comes, what goes, and what is judged again.

use std::{collections::BTreeSet, sync::Arc};

use super::{Canary, Domain, Fleet, Target, Wanted};
use crate::{
    config::{Change, Settings},
    facts::DnssecSight,
    terms::MxHost,
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
}
