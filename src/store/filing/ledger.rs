//! The fold: one share after the other, against what is kept and what the batch brought so far.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{
    HOSTS_OF_A_DAY_MOST, Mark, NAMES_WITHOUT_LABEL_MOST, PROVEN_KEPT, REPORTS_OF_A_REPORTER_MOST,
    REPORTS_OF_THE_REST_MOST, Share, UNPROVEN_KEPT, VERSIONS_MOST, VERSIONS_OF_PROVEN_MOST,
};
use crate::{
    facts::Reporter,
    protocol::tls_rpt::RefusalReason,
    store::{Filed as Outcome, IncomingReport, IntakeCounters},
    terms::{PolicyDomain, Timestamp},
    verdict::{
        Cell, Contribution, CounterKey, Measure, POLICIES_OF_A_DAY_MOST, SessionTally, excess, increments, largest,
    },
};

/// A day of a domain as one reporter tells of it: by the name in the totals.
pub(in crate::store) type DayOf = (PolicyDomain, i64, String);

/// Where a report is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Place {
    /// In a row.
    Row(i64),
    /// Among those that the batch adds.
    New(usize),
}

/// A report that is there already.
#[derive(Clone, Debug)]
pub(in crate::store) struct Seen {
    pub(in crate::store) place: Place,
    pub(in crate::store) key: Mark,
    /// The name in the totals.
    pub(in crate::store) reporter: String,
    pub(in crate::store) day: i64,
    pub(in crate::store) arrived_at: Timestamp,
}

/// One of the reports under a key.
#[derive(Clone, Debug)]
pub(in crate::store) struct Member {
    pub(in crate::store) content: Mark,
    pub(in crate::store) reporter: String,
    pub(in crate::store) tally: SessionTally,
    pub(in crate::store) late: bool,
}

/// What is kept already, as far as the batch touches it.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Known {
    pub(in crate::store) seen: HashMap<Mark, Seen>,
    pub(in crate::store) keys: HashMap<Mark, Vec<Member>>,
    /// How many reports, by the name in the totals.
    pub(in crate::store) days: HashMap<(PolicyDomain, i64), BTreeMap<String, u64>>,
    pub(in crate::store) hosts: HashMap<DayOf, BTreeSet<String>>,
    pub(in crate::store) policies: HashMap<DayOf, BTreeSet<u64>>,
    /// How many reports that are not proven, and how many that are.
    pub(in crate::store) domains: HashMap<PolicyDomain, [u64; 2]>,
}

/// A row to be added.
#[derive(Clone, Debug)]
pub(in crate::store) struct NewRow {
    /// The report in the batch, and the share in the report.
    pub(in crate::store) place: (usize, usize),
    pub(in crate::store) domain: PolicyDomain,
    pub(in crate::store) key: Mark,
    pub(in crate::store) content: Mark,
    pub(in crate::store) reporter: String,
    pub(in crate::store) day: i64,
    pub(in crate::store) arrived_at: Timestamp,
    pub(in crate::store) failed: u64,
    pub(in crate::store) late: bool,
}

/// A row that goes over to a reporter who proved itself.
#[derive(Clone, Debug)]
pub(in crate::store) struct Moved {
    pub(in crate::store) id: i64,
    pub(in crate::store) key: Mark,
    pub(in crate::store) reporter: String,
    /// The report of the batch that proves it.
    pub(in crate::store) place: (usize, usize),
    /// When it came in first.
    pub(in crate::store) arrived_at: Timestamp,
}

/// What a batch does to a domain.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct OfDomain {
    /// When the last one that was not late came.
    pub(in crate::store) arrived_at: Option<Timestamp>,
    pub(in crate::store) end: Option<Timestamp>,
    /// Reports that are not proven, and that are: more or fewer than before.
    pub(in crate::store) reports: [i64; 2],
    pub(in crate::store) counters: BTreeMap<CounterKey, u64>,
}

/// What a batch does.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Filed {
    pub(in crate::store) outcomes: Vec<Outcome>,
    pub(in crate::store) contributions: Vec<Contribution>,
    pub(in crate::store) rows: Vec<NewRow>,
    pub(in crate::store) moved: Vec<Moved>,
    pub(in crate::store) moved_days: BTreeSet<(PolicyDomain, i64)>,
    pub(in crate::store) domains: BTreeMap<PolicyDomain, OfDomain>,
    pub(in crate::store) days: BTreeMap<DayOf, i64>,
    pub(in crate::store) totals: BTreeMap<DayOf, BTreeMap<Cell, i64>>,
    pub(in crate::store) policies: BTreeMap<DayOf, BTreeSet<u64>>,
    pub(in crate::store) intake: IntakeCounters,
}

/// The fold.
#[derive(Debug, Default)]
pub(in crate::store) struct Ledger {
    known: Known,
    filed: Filed,
}

impl Ledger {
    pub(in crate::store) fn new(known: Known) -> Self {
        Self { known, filed: Filed::default() }
    }

    /// Files one report after the other; `shares` as [`super::shares`] gives them.
    pub(in crate::store) fn file(mut self, reports: &[IncomingReport], shares: Vec<Option<Vec<Share>>>) -> Filed {
        for (incoming, shares) in reports.iter().zip(shares) {
            let outcome = match shares {
                Some(shares) if shares.iter().all(|share| self.has_room(share, &incoming.label)) => {
                    self.file_report(incoming, shares)
                }
                Some(_) => Outcome::Refused(RefusalReason::RateLimited),
                None => Outcome::Refused(RefusalReason::TooLarge),
            };
            self.count(incoming, outcome);
        }
        self.filed
    }

    fn count(&mut self, incoming: &IncomingReport, outcome: Outcome) {
        self.filed.outcomes.push(outcome);
        let intake = &mut self.filed.intake;
        match outcome {
            Outcome::Duplicate => intake.duplicates += 1,
            Outcome::Refused(reason) => *intake.refused.entry(reason).or_default() += 1,
            Outcome::New | Outcome::Corrected => {
                *intake.reports.entry(incoming.provenance.transport).or_default() += 1;
                intake.late += u64::from(incoming.late);
                for quirk in &incoming.report.quirks {
                    *intake.quirks.entry(*quirk).or_default() += 1;
                }
            }
        }
    }

    fn file_report(&mut self, incoming: &IncomingReport, shares: Vec<Share>) -> Outcome {
        let mut outcome = Outcome::Duplicate;
        for share in shares {
            match self.known.seen.get(&share.content).cloned() {
                None => {
                    let corrects = self.add(share, &incoming.label);
                    if outcome != Outcome::New {
                        outcome = if corrects { Outcome::Corrected } else { Outcome::New };
                    }
                }
                Some(seen) if seen.reporter == Reporter::UNVERIFIED && share.is_proven() => {
                    self.prove(&share, &seen, &incoming.label);
                }
                Some(_) => {}
            }
        }
        outcome
    }

    /// Whether a share is there already, or there is room for it.
    fn has_room(&self, share: &Share, label: &str) -> bool {
        if self.known.seen.contains_key(&share.content) {
            return true;
        }
        let name = self.name(share.key, share, share.day, label);
        let [unproven, proven] = self.known.domains.get(&share.domain).copied().unwrap_or_default();
        let of_domain = if share.is_proven() { proven < 2 * PROVEN_KEPT } else { unproven < 2 * UNPROVEN_KEPT };
        let told_apart = name != Reporter::UNVERIFIED && name != Reporter::OTHER;
        let most = if told_apart { REPORTS_OF_A_REPORTER_MOST } else { REPORTS_OF_THE_REST_MOST };
        let day = self.known.days.get(&(share.domain.clone(), share.day));
        of_domain && day.and_then(|day| day.get(&name)).is_none_or(|reports| *reports < most)
    }

    /// The name in the totals: of what stands under one key always the same one. Who has a label of its own keeps its name however
    /// many others there are: names that can be proven are cheap, and must not push out those that are watched.
    fn name(&self, key: Mark, share: &Share, day: i64, label: &str) -> String {
        if let Some(first) = self.known.keys.get(&key).and_then(|members| members.first()) {
            return first.reporter.clone();
        }
        let reporter = share.reporter.as_str();
        let names = self.known.days.get(&(share.domain.clone(), day));
        let is_known = |names: &BTreeMap<String, u64>| {
            let apart = names.keys().filter(|name| !matches!(name.as_str(), Reporter::UNVERIFIED | Reporter::OTHER));
            names.contains_key(reporter) || apart.count() < NAMES_WITHOUT_LABEL_MOST
        };
        let labelled = !matches!(label, Reporter::UNVERIFIED | Reporter::OTHER);
        let kept = labelled || !share.is_proven() || names.is_none_or(is_known);
        if kept { reporter.to_owned() } else { Reporter::OTHER.to_owned() }
    }

    /// The reports under a key; that of a report which stands alone where there are too many under its own.
    fn members(&self, share: &Share) -> (Mark, &[Member]) {
        let most = if share.is_proven() { VERSIONS_OF_PROVEN_MOST } else { VERSIONS_MOST };
        match self.known.keys.get(&share.key) {
            Some(members) if members.len() < most => (share.key, members),
            Some(_) => (Mark::of_lonely(share.content), &[]),
            None => (share.key, &[]),
        }
    }

    /// Adds a share that is not there yet. Says whether there are others under its key.
    fn add(&mut self, share: Share, label: &str) -> bool {
        let (key, members) = self.members(&share);
        let corrects = !members.is_empty();
        let known = sum_up(members.iter());
        let counted = sum_up(members.iter().filter(|member| !member.late));
        let name = self.name(key, &share, share.day, label);
        let day_of = (share.domain.clone(), share.day, name.clone());
        let of_domain = self.filed.domains.entry(share.domain.clone()).or_default();
        of_domain.end = of_domain.end.max(share.end);
        if !share.late {
            of_domain.arrived_at = of_domain.arrived_at.max(Some(share.arrived_at));
            let before = increments(&counted, label);
            for (key, value) in increments(&largest(counted, &share.tally), label) {
                // By the whole and not by what is more: of kinds of policy the one with the most counts for a reporter.
                let more = value.saturating_sub(before.get(&key).copied().unwrap_or(0));
                let sum = of_domain.counters.entry(key).or_default();
                *sum = sum.saturating_add(more);
            }
        }
        let proven = share.is_proven();
        self.number(&day_of, proven, 1);
        let tally = self.total(&day_of, &excess(&share.tally, &known), 1);
        let policies = self.remember(&day_of, &share.policies);
        self.filed.contributions.push(Contribution {
            domain: share.domain.clone(),
            day: share.day,
            reporter: name.clone(),
            tally,
            policies,
            arrived_at: share.arrived_at,
            end: share.end,
            late: share.late,
        });
        let failed = share.tally.iter().filter(|(cell, _)| cell.measure != Measure::Sessions);
        let failed = failed.map(|(_, sessions)| *sessions).max().unwrap_or(0);
        let place = Place::New(self.filed.rows.len());
        self.known.seen.insert(
            share.content,
            Seen { place, key, reporter: name.clone(), day: share.day, arrived_at: share.arrived_at },
        );
        let member = Member { content: share.content, reporter: name.clone(), tally: share.tally, late: share.late };
        self.known.keys.entry(key).or_default().push(member);
        self.filed.rows.push(NewRow {
            place: share.place,
            domain: share.domain,
            key,
            content: share.content,
            reporter: name,
            day: share.day,
            arrived_at: share.arrived_at,
            failed,
            late: share.late,
        });
        corrects
    }

    /// A report that nobody had proven goes over to its reporter, with its sessions of the day; the counters stay.
    fn prove(&mut self, share: &Share, seen: &Seen, label: &str) {
        let Some(members) = self.known.keys.get_mut(&seen.key) else { return };
        let with = sum_up(members.iter());
        let Some(place) = members.iter().position(|member| member.content == share.content) else { return };
        let mut member = members.remove(place);
        let less = excess(&with, &sum_up(members.iter()));
        let (key, members) = self.members(share);
        let more = excess(&member.tally, &sum_up(members.iter()));
        let name = self.name(key, share, seen.day, label);
        let from = (share.domain.clone(), seen.day, Reporter::UNVERIFIED.to_owned());
        let to = (share.domain.clone(), seen.day, name.clone());
        self.number(&from, false, -1);
        self.number(&to, true, 1);
        self.total(&from, &less, -1);
        self.total(&to, &more, 1);
        self.remember(&to, &share.policies);
        self.filed.moved_days.insert((share.domain.clone(), seen.day));
        member.reporter.clone_from(&name);
        self.known.keys.entry(key).or_default().push(member);
        self.known.seen.insert(share.content, Seen { key, reporter: name.clone(), ..seen.clone() });
        match seen.place {
            Place::Row(id) => {
                let arrived_at = seen.arrived_at;
                self.filed.moved.push(Moved { id, key, reporter: name, place: share.place, arrived_at });
            }
            Place::New(row) => {
                if let Some(row) = self.filed.rows.get_mut(row) {
                    (row.key, row.reporter, row.place) = (key, name, share.place);
                }
            }
        }
    }

    /// Notes one report more or less.
    fn number(&mut self, day_of: &DayOf, proven: bool, change: i64) {
        let (domain, day, name) = day_of.clone();
        let places = self.known.domains.entry(domain.clone()).or_default();
        let changes = &mut self.filed.domains.entry(domain.clone()).or_default().reports;
        if let (Some(reports), Some(changed)) =
            (places.get_mut(usize::from(proven)), changes.get_mut(usize::from(proven)))
        {
            *reports = reports.saturating_add_signed(change);
            *changed += change;
        }
        let reports = self.known.days.entry((domain, day)).or_default().entry(name).or_default();
        *reports = reports.saturating_add_signed(change);
        *self.filed.days.entry(day_of.clone()).or_default() += change;
    }

    /// Adds to the totals of a day, or takes away from them; as it was added, with the hosts that are told apart.
    fn total(&mut self, day_of: &DayOf, tally: &SessionTally, sign: i64) -> SessionTally {
        let mut added = SessionTally::new();
        let hosts = self.known.hosts.entry(day_of.clone()).or_default();
        for (cell, sessions) in tally {
            let mut cell = cell.clone();
            if let Measure::Detail(_, host @ Some(_)) = &mut cell.measure {
                let name = host.clone().unwrap_or_default();
                if sign > 0 && hosts.len() < HOSTS_OF_A_DAY_MOST {
                    hosts.insert(name);
                } else if !hosts.contains(&name) {
                    *host = None;
                }
            }
            let sum = added.entry(cell).or_default();
            *sum = sum.saturating_add(*sessions);
        }
        let totals = self.filed.totals.entry(day_of.clone()).or_default();
        for (cell, sessions) in &added {
            let change = i64::try_from(*sessions).unwrap_or(i64::MAX).saturating_mul(sign);
            let sum = totals.entry(cell.clone()).or_default();
            *sum = sum.saturating_add(change);
        }
        added
    }

    /// Notes versions of a policy; those among them that are remembered.
    fn remember(&mut self, day_of: &DayOf, policies: &BTreeSet<u64>) -> BTreeSet<u64> {
        if policies.is_empty() {
            return BTreeSet::new();
        }
        let known = self.known.policies.entry(day_of.clone()).or_default();
        for policy in policies {
            if known.len() < POLICIES_OF_A_DAY_MOST {
                known.insert(*policy);
            }
        }
        let kept: BTreeSet<u64> = policies.intersection(known).copied().collect();
        self.filed.policies.entry(day_of.clone()).or_default().extend(&kept);
        kept
    }
}

/// Of each cell the largest number.
fn sum_up<'a>(members: impl Iterator<Item = &'a Member>) -> SessionTally {
    members.fold(SessionTally::new(), |sum, member| largest(sum, &member.tally))
}
