//! What reports say, as the store answers it, and when what is new may be shown.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::Fleet;
use crate::{
    monitor::KnownDomain,
    store::{Filing, IntakeCounters},
    terms::{PolicyDomain, Timestamp},
    verdict::{Counters, DAYS_KEPT, DomainReports, NEWBORN_FOR},
};

/// What the fleet knows of the intake.
#[derive(Debug, Default)]
pub(super) struct Reporting {
    /// A way in is configured.
    sources: bool,
    counted: IntakeCounters,
    /// When counters that are new are shown with their value.
    newborn: BTreeSet<(Timestamp, PolicyDomain)>,
}

impl Fleet {
    /// Whether reports are watched at all: there is a way in, or one was handed in some time.
    pub(super) fn watches_reports(&self) -> bool {
        let Reporting { sources, counted, .. } = &self.reporting;
        *sources || counted.reports.values().any(|count| *count > 0)
    }

    /// Takes whether a way in is configured.
    pub(super) fn configure_reports(&mut self) {
        self.reporting.sources = self.settings.reports.has_source();
        self.follow_reports();
    }

    /// Every domain has reports, if only none so far, or no domain has.
    fn follow_reports(&mut self) {
        let watches = self.watches_reports();
        if self.intake.is_some() != watches {
            self.sweep.all();
        }
        self.intake = watches.then(|| Arc::new(self.reporting.counted.clone()));
        self.stamp_anew();
        self.changed = true;
    }

    /// What a store has of reports takes the place of what was known.
    pub(in crate::monitor) fn restore_reports(
        &mut self,
        kept: Vec<(PolicyDomain, DomainReports)>,
        intake: IntakeCounters,
        now: Timestamp,
    ) {
        self.reporting.counted = intake;
        let reported = self.domains.iter().filter(|known| known.reports.is_some());
        let none: Vec<_> = reported.map(|known| (known.domain().clone(), None)).collect();
        self.put_reports(none);
        self.follow_reports();
        self.restore_domain_reports(kept, now);
    }

    /// What a store has of some domains.
    pub(in crate::monitor) fn restore_domain_reports(
        &mut self,
        mut kept: Vec<(PolicyDomain, DomainReports)>,
        now: Timestamp,
    ) {
        for (name, reports) in &mut kept {
            self.settle_counters(name, reports, now);
        }
        self.put_reports(kept.into_iter().map(|(name, reports)| (name, Some(Arc::new(reports)))).collect());
    }

    /// These are the reports of these domains from now on.
    fn put_reports(&mut self, reports: Vec<(PolicyDomain, Option<Arc<DomainReports>>)>) {
        let mut put = Vec::new();
        for (name, reports) in reports {
            let Some(known) = self.domains.get(name.as_str()) else { continue };
            put.push(Arc::new(KnownDomain { reports, ..KnownDomain::clone(known) }));
            self.waiting.insert(name);
        }
        self.domains = self.domains.with(put, []);
        self.changed = true;
    }

    /// Reports were filed.
    pub(in crate::monitor) fn reports_filed(&mut self, filing: Filing, now: Timestamp) {
        let Filing { contributions, moved, counters, intake, outcomes: _ } = filing;
        self.reporting.counted = intake;
        self.follow_reports();
        let mut changed = BTreeMap::<PolicyDomain, DomainReports>::new();
        let domains = &self.domains;
        let mut reports = |name: &PolicyDomain, change: &mut dyn FnMut(&mut DomainReports)| {
            let Some(known) = domains.get(name.as_str()) else { return };
            let before = || known.reports.as_deref().cloned().unwrap_or_default();
            change(changed.entry(name.clone()).or_insert_with(before));
        };
        for contribution in &contributions {
            reports(&contribution.domain, &mut |known| known.add(contribution));
        }
        for day in moved {
            reports(&day.domain, &mut |known| {
                known.days.insert(day.day, day.reporters.clone());
            });
        }
        for (name, counters) in &counters {
            reports(name, &mut |known| known.counters = counters.clone());
        }
        let first_day = now.unix_seconds().div_euclid(86_400) - DAYS_KEPT;
        for (name, reports) in &mut changed {
            self.settle_counters(name, reports, now);
            reports.forget_before(first_day);
        }
        self.put_reports(changed.into_iter().map(|(name, reports)| (name, Some(Arc::new(reports)))).collect());
    }

    /// Remembers of the counters that are to take the place of those of a domain which have been shown, and when the others may be.
    fn settle_counters(&mut self, name: &PolicyDomain, reports: &mut DomainReports, now: Timestamp) {
        let known = self.domains.get(name.as_str()).and_then(|known| known.reports.as_ref());
        match known {
            Some(known) => reports.settle_counters(&known.counters, now),
            None => reports.settle_counters(&Counters::new(), now),
        }
        let young = reports.counters.values().filter_map(|counter| counter.born_at);
        self.reporting.newborn.extend(young.map(|born| (born + NEWBORN_FOR, name.clone())));
    }

    /// When the next counter that is new may be shown.
    pub(in crate::monitor) fn next_grown_up(&self) -> Option<Timestamp> {
        self.reporting.newborn.first().map(|(at, _)| *at)
    }

    /// Shows those whose time has come at the next publication.
    pub(in crate::monitor) fn grow_up(&mut self, now: Timestamp) {
        let mut grown = BTreeSet::new();
        while let Some((at, _)) = self.reporting.newborn.first()
            // A clock that was set back: it has been shown.
            && (*at <= now || *at > now + NEWBORN_FOR * 2)
        {
            grown.extend(self.reporting.newborn.pop_first().map(|(_, name)| name));
        }
        let settled = grown.into_iter().filter_map(|name| {
            let mut reports = DomainReports::clone(self.domains.get(name.as_str())?.reports.as_deref()?);
            reports.settle_counters(&Counters::new(), now);
            Some((name, Some(Arc::new(reports))))
        });
        let settled: Vec<_> = settled.collect();
        if !settled.is_empty() {
            self.put_reports(settled);
        }
    }
}
