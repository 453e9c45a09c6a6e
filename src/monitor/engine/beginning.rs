//! How targets come onto the schedule: at a start, as they are found, and when what was kept of them is due.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Keeper, Target};
use crate::{
    monitor::{
        KnownDomain,
        fleet::{Due, SURVEY_INTERVAL},
        schedule::{Doors, Next, Urgency},
    },
    net::now,
    terms::{PolicyDomain, Timestamp},
};

/// A target that is to begin. To find a million domains by their names takes a while: once each.
struct Beginner {
    target: Target,
    first: Next,
    known: Option<Arc<KnownDomain>>,
}

impl Keeper {
    /// Puts every target of a new fleet on the schedule. `due`: those of which something was kept.
    pub(super) fn begin_all(&mut self, due: Vec<Due>) {
        let settings = Arc::clone(&self.settings);
        let known =
            || due.iter().filter_map(|(target, _)| if let Target::Domain(known) = target { Some(known) } else { None });
        let new: Vec<Due> = match known().count() == settings.domains.len() {
            // Where something was kept of each, nobody has to be looked for.
            true => Vec::new(),
            false => {
                let known: HashSet<&PolicyDomain> = known().collect();
                let new = settings.domains.iter().map(|one| &one.domain).filter(|domain| !known.contains(domain));
                new.map(|domain| (Target::Domain(domain.clone()), None)).collect()
            }
        };
        let canaries = settings.probe.canaries.iter().map(|canary| Target::Canary(canary.clone()));
        let targets = new.into_iter().chain(due).collect();
        self.begin(targets, now());
        for canary in canaries {
            self.set(canary, Duration::ZERO);
        }
    }

    /// Puts targets on the schedule. What is overdue, or was never seen, begins spread as at a first start, what waited longest
    /// first; the others have their time.
    pub(super) fn begin(&mut self, targets: Vec<Due>, time: Timestamp) {
        // Before they are sorted: names that come in the order in which they lie are found quickly.
        let mut targets: Vec<(Timestamp, Beginner)> =
            targets.into_iter().map(|(target, due)| (due.unwrap_or_default(), self.beginner(target))).collect();
        // The order of those without a time stays: it is that of the configuration.
        targets.sort_by_key(|(due, _)| *due);
        let timely = targets.split_off(targets.partition_point(|(due, _)| *due <= time));
        let start = Instant::now();
        for (due, Beginner { target, first, known }) in timely {
            let at = start + due.since(time).min(first.again);
            note_due(known.as_deref(), at);
            self.schedule.resume(target.into(), at, first);
        }
        self.spread(targets.into_iter().map(|(_, one)| one).collect());
    }

    /// Puts targets on the schedule that are to begin as soon as that makes no burst.
    pub(super) fn begin_spread(&mut self, targets: Vec<Target>) {
        self.spread(targets.into_iter().map(|target| self.beginner(target)).collect());
    }

    fn spread(&mut self, targets: Vec<Beginner>) {
        let start = Instant::now();
        let mut ramp = self.schedule.ramp(targets.iter().map(|one| one.first.again), start);
        for Beginner { target, first, known } in targets {
            let at = self.schedule.begin(target.into(), first, &mut ramp, start);
            note_due(known.as_deref(), at);
        }
    }

    fn beginner(&self, target: Target) -> Beginner {
        let known = self.known(&target);
        Beginner { first: self.first_of(&target, known.as_deref()), target, known }
    }

    /// The interval at which a target is probed.
    pub(super) fn interval(&self, target: &Target) -> Duration {
        self.interval_of(target, self.known(target).as_deref())
    }

    /// The same of a target that is this domain, where it is one.
    pub(super) fn interval_of(&self, target: &Target, domain: Option<&KnownDomain>) -> Duration {
        let probe = &self.settings.probe;
        match target {
            Target::Domain(_) => domain.map_or(probe.interval, |known| self.settings.interval(&known.settings)),
            Target::Address(..) => probe.mx_interval,
            Target::Survey(..) => SURVEY_INTERVAL,
            Target::Host(_) | Target::Canary(_) => probe.interval,
        }
    }

    pub(super) fn set(&mut self, target: Target, delay: Duration) {
        self.tell_due(&target, Instant::now() + delay);
        let first = self.first(&target);
        self.schedule.set(target.into(), Instant::now() + delay, first);
    }

    /// What is known of a target that was not looked at yet.
    pub(super) fn first(&self, target: &Target) -> Next {
        self.first_of(target, self.known(target).as_deref())
    }

    /// The same of a target that is this domain, where it is one.
    fn first_of(&self, target: &Target, domain: Option<&KnownDomain>) -> Next {
        let doors = match target {
            Target::Address(host, address) | Target::Survey(host, address) => Doors::of_host(host.as_str(), *address),
            Target::Domain(_) | Target::Host(_) | Target::Canary(_) => Doors::default(),
        };
        Next { again: self.interval_of(target, domain), urgency: Urgency::Routine, doors }
    }

    /// The domain that is a target; nothing for any other one.
    pub(super) fn known(&self, target: &Target) -> Option<Arc<KnownDomain>> {
        if let Target::Domain(domain) = target { self.fleet.known(domain) } else { None }
    }

    /// Notes for the page when a domain is due.
    pub(super) fn tell_due(&self, target: &Target, at: Instant) {
        note_due(self.known(target).as_deref(), at);
    }
}

/// Notes for the page when this domain is due.
pub(super) fn note_due(domain: Option<&KnownDomain>, at: Instant) {
    if let Some(known) = domain {
        known.due_at.set(now() + at.saturating_duration_since(Instant::now()));
    }
}
