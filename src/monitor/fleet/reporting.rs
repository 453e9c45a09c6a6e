//! What reports say, as the store answers it, and when what is new may be shown.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::Fleet;
use crate::{
    store::{Filing, IntakeCounters},
    terms::{PolicyDomain, Timestamp},
    verdict::{Counters, DAYS_KEPT, DomainReports, NEWBORN_FOR},
};

const DAY: Duration = Duration::from_secs(86_400);

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
        self.intake = watches.then(|| Arc::new(self.reporting.counted.clone()));
        self.changed = true;
        for (name, entry) in &mut self.domains {
            if entry.reports.is_some() != watches {
                entry.reports = watches.then(Arc::default);
                self.changed_domains.insert(name.clone());
            }
        }
    }

    /// What a store has of reports takes the place of what was known.
    pub(in crate::monitor) fn restore_reports(
        &mut self,
        kept: Vec<(PolicyDomain, DomainReports)>,
        intake: IntakeCounters,
        now: Timestamp,
    ) {
        self.reporting.counted = intake;
        for entry in self.domains.values_mut() {
            entry.reports = None;
        }
        self.changed_domains.extend(self.domains.keys().cloned());
        self.follow_reports();
        self.restore_domain_reports(kept, now);
    }

    /// What a store has of some domains.
    pub(in crate::monitor) fn restore_domain_reports(
        &mut self,
        kept: Vec<(PolicyDomain, DomainReports)>,
        now: Timestamp,
    ) {
        for (name, reports) in kept {
            self.note_births(&name, &reports.counters, now);
            let Some(entry) = self.domains.get_mut(&name) else { continue };
            if let Some(known) = &mut entry.reports {
                *known = Arc::new(reports);
                self.changed_domains.insert(name);
            }
        }
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
            let Some(known) = domains.get(name).and_then(|entry| entry.reports.as_ref()) else { return };
            change(changed.entry(name.clone()).or_insert_with(|| DomainReports::clone(known)));
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
        for (name, counters) in &counters {
            self.note_births(name, counters, now);
        }
        for (name, mut reports) in changed {
            reports.forget_before(now.unix_seconds().div_euclid(86_400) - DAYS_KEPT);
            if let Some(entry) = self.domains.get_mut(&name) {
                entry.reports = Some(Arc::new(reports));
            }
            self.changed_domains.insert(name);
        }
        self.changed = true;
    }

    fn note_births(&mut self, name: &PolicyDomain, counters: &Counters, now: Timestamp) {
        let grown_up = |born: Timestamp| born + NEWBORN_FOR;
        let young = counters.values().filter_map(|counter| counter.born_at).map(grown_up);
        // A clock that was wrong must not hide a number for ever: what is born in the future waits no longer than a day.
        let young = young.filter(|at| *at > now && *at < now + DAY);
        self.reporting.newborn.extend(young.map(|at| (at, name.clone())));
    }

    /// When the next counter that is new may be shown.
    pub(in crate::monitor) fn next_grown_up(&self) -> Option<Timestamp> {
        self.reporting.newborn.first().map(|(at, _)| *at)
    }

    /// Shows those whose time has come at the next publication.
    pub(in crate::monitor) fn grow_up(&mut self, now: Timestamp) {
        while let Some((at, _)) = self.reporting.newborn.first()
            && *at <= now
        {
            if let Some((_, name)) = self.reporting.newborn.pop_first() {
                self.changed_domains.insert(name);
                self.changed = true;
            }
        }
    }
}
