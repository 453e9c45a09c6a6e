//! Which reporters have a label of their own in the metrics. Pure.
//!
//! The names come from outside: so only names that were proved can become a label, only few, and for good: a series that came and
//! went would look like sessions that came and went.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    facts::Reporter,
    protocol::tls_rpt::organizational_domain,
    terms::PolicyDomain,
    verdict::{Contribution, CounterKey, DomainReports, SessionTally, increments},
};

/// So many of the largest get a label.
const LARGEST: usize = 20;
/// So many have one beside those that are configured, once others have become larger.
const STICKY_MOST: usize = 60;
/// Days over which they are compared.
const DAYS: i64 = 30;
/// On so many days a reporter must have been seen: who is large on one day may be a mistake.
const DAYS_LEAST: usize = 2;
/// So many reporters are compared; the smallest makes room. Domains cost money, but not much.
const RANKED_MOST: usize = 500;

/// The labels.
#[derive(Clone, Debug, Default)]
pub(super) struct Labels {
    /// By organizational domain, as they are written in the configuration.
    configured: BTreeMap<PolicyDomain, String>,
    sticky: BTreeSet<String>,
    /// Sticky ones that the store does not know yet.
    unwritten: BTreeSet<String>,
    /// Sessions by reporter and day.
    ranked: BTreeMap<String, BTreeMap<i64, u64>>,
}

impl Labels {
    /// Takes the reporters of the configuration.
    pub(super) fn configure(&mut self, reporters: &BTreeSet<PolicyDomain>) {
        let label = |name: &PolicyDomain| (organizational_domain(name), name.as_str().to_owned());
        self.configured = reporters.iter().map(label).collect();
    }

    /// Takes those that a store knows. What it does not know is to be written.
    pub(super) fn restore(&mut self, kept: &BTreeSet<String>) {
        self.unwritten = self.sticky.difference(kept).cloned().collect();
        self.sticky.extend(kept.iter().cloned());
    }

    /// Takes what a domain's reports say.
    pub(super) fn restore_days(&mut self, reports: &DomainReports) {
        for (day, reporters) in &reports.days {
            for (reporter, seen) in reporters {
                self.rank(reporter, *day, sessions(&seen.tally));
            }
        }
    }

    /// The label under which a reporter counts.
    pub(super) fn of(&self, reporter: &Reporter) -> String {
        match reporter {
            Reporter::Unverified => Reporter::UNVERIFIED.to_owned(),
            Reporter::Verified(domain) => match self.configured.get(domain) {
                Some(name) => name.clone(),
                None if self.sticky.contains(domain.as_str()) => domain.as_str().to_owned(),
                None => Reporter::OTHER.to_owned(),
            },
        }
    }

    /// Those that the store has to know from now on.
    pub(super) fn unwritten(&self) -> BTreeSet<String> {
        self.unwritten.clone()
    }

    /// The store knows these.
    pub(super) fn written(&mut self, labels: &BTreeSet<String>) {
        self.unwritten.retain(|label| !labels.contains(label));
    }

    /// Notes what was filed, and sees who is large by it.
    pub(super) fn note(&mut self, contributions: &[Contribution], today: i64) {
        // Its sender chooses the day of a report: with a late one it could have come on as many as it likes.
        for one in contributions.iter().filter(|one| !one.late) {
            self.rank(&one.reporter, one.day, sessions(&one.tally));
        }
        for days in self.ranked.values_mut() {
            *days = days.split_off(&(today - DAYS));
        }
        self.ranked.retain(|_, days| !days.is_empty());
        let mut largest: Vec<(u64, &String)> = self
            .ranked
            .iter()
            .map(|(reporter, days)| (days.values().copied().fold(0, u64::saturating_add), reporter))
            .collect();
        largest.sort_by(|one, other| other.cmp(one));
        for (_, reporter) in largest.into_iter().take(LARGEST) {
            let regular = self.ranked.get(reporter).is_some_and(|days| days.len() >= DAYS_LEAST);
            let configured = self.configured.contains_key(reporter.as_str());
            if regular && !configured && self.sticky.len() < STICKY_MOST && self.sticky.insert(reporter.clone()) {
                self.unwritten.insert(reporter.clone());
            }
        }
    }

    fn rank(&mut self, reporter: &str, day: i64, sessions: u64) {
        if [Reporter::UNVERIFIED, Reporter::OTHER].contains(&reporter) || sessions == 0 {
            return;
        }
        if self.ranked.len() >= RANKED_MOST && !self.ranked.contains_key(reporter) {
            let total = |days: &BTreeMap<i64, u64>| days.values().copied().fold(0, u64::saturating_add);
            let smallest = self.ranked.iter().min_by_key(|(_, days)| total(days)).map(|(name, _)| name.clone());
            if let Some(smallest) = smallest {
                self.ranked.remove(&smallest);
            }
        }
        let sum = self.ranked.entry(reporter.to_owned()).or_default().entry(day).or_default();
        *sum = sum.saturating_add(sessions);
    }
}

/// The sessions that a reporter tells of, as its counter has them.
fn sessions(tally: &SessionTally) -> u64 {
    increments(tally, "").get(&CounterKey::ReporterSessions(String::new())).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        protocol::tls_rpt::{PolicyType, ReportedPolicy},
        terms::Timestamp,
        verdict::session_tally,
    };

    fn verified(name: &str) -> Reporter {
        Reporter::Verified(PolicyDomain::parse(name).unwrap())
    }

    fn contribution(reporter: &str, day: i64, sessions: u64) -> Contribution {
        let policy = ReportedPolicy { policy_type: PolicyType::Sts, successful: sessions, ..ReportedPolicy::default() };
        Contribution {
            domain: PolicyDomain::parse("example.com").unwrap(),
            day,
            reporter: reporter.to_owned(),
            tally: session_tally(&[policy]),
            policies: BTreeSet::new(),
            arrived_at: Timestamp::from_unix_seconds(day * 86_400),
            end: None,
            late: false,
        }
    }

    #[test]
    fn a_label_is_earned_by_size_and_by_coming_again_and_is_never_lost() {
        let mut labels = Labels::default();
        labels.note(&[contribution("large.test", 100, 1000)], 100);
        assert_eq!(labels.of(&verified("large.test")), "other", "one day is not enough");
        labels.note(
            &[
                contribution("large.test", 101, 1),
                contribution("unverified", 100, 9),
                contribution("unverified", 101, 9),
            ],
            101,
        );
        assert_eq!(labels.of(&verified("large.test")), "large.test");
        assert_eq!(labels.unwritten(), ["large.test".to_owned()].into());
        labels.written(&labels.unwritten());
        labels.note(&[], 500);
        assert_eq!(labels.of(&verified("large.test")), "large.test");
        assert_eq!(labels.of(&Reporter::Unverified), "unverified");
        assert!(labels.unwritten().is_empty());
        // Another store takes the place of a damaged one.
        labels.restore(&BTreeSet::new());
        assert_eq!(labels.unwritten(), ["large.test".to_owned()].into());
    }

    /// peers.md 13: names from outside never become series without a bound.
    #[test]
    fn ten_thousand_organizations_get_few_labels() {
        let mut labels = Labels::default();
        for (power, day) in (100..110_i64).enumerate() {
            // Each day others, and larger ones.
            let sessions = |n: u64| n + 3_u64.pow(u32::try_from(power).unwrap()) * 10_000;
            let all: Vec<_> =
                (0..1_000_u64).map(|n| contribution(&format!("r{n}-{day}.test"), day, sessions(n))).collect();
            labels.note(&all, day);
            let again: Vec<_> =
                (0..1_000_u64).map(|n| contribution(&format!("r{n}-{day}.test"), day + 1, sessions(n))).collect();
            labels.note(&again, day + 1);
        }
        assert!(labels.ranked.len() <= RANKED_MOST);
        assert_eq!(labels.sticky.len(), STICKY_MOST);
    }

    #[test]
    fn a_configured_reporter_has_its_label_from_the_start() {
        let mut labels = Labels::default();
        labels.configure(&["google.com", "mail.example.co.uk"].map(|name| PolicyDomain::parse(name).unwrap()).into());
        assert_eq!(labels.of(&verified("google.com")), "google.com");
        assert_eq!(labels.of(&verified("example.co.uk")), "mail.example.co.uk", "the same organization");
        labels.note(&[contribution("google.com", 1, 5), contribution("google.com", 2, 5)], 2);
        assert!(labels.sticky.is_empty());
    }

    #[test]
    fn late_reports_earn_no_label() {
        let mut labels = Labels::default();
        let late = |day| Contribution { late: true, ..contribution("large.test", day, 1000) };
        labels.note(&[late(98), late(99), contribution("large.test", 110, 1)], 110);
        assert_eq!(labels.of(&verified("large.test")), "other", "one day and what is late");
        labels.note(&[contribution("large.test", 111, 1)], 111);
        assert_eq!(labels.of(&verified("large.test")), "large.test");
    }

    #[test]
    fn only_the_largest_of_a_month_count() {
        let mut labels = Labels::default();
        let small: Vec<_> =
            (0..40_u64).flat_map(|n| [1, 2].map(|day| contribution(&format!("r{n:02}.test"), day, n + 1))).collect();
        labels.note(&small, 2);
        assert_eq!(labels.sticky.len(), LARGEST);
        assert_eq!(labels.of(&verified("r39.test")), "r39.test");
        assert_eq!(labels.of(&verified("r19.test")), "other");
        labels.note(&[contribution("r00.test", 1, 1_000_000), contribution("r00.test", 3, 1)], 40);
        assert_eq!(labels.of(&verified("r00.test")), "other", "what was a month ago counts no more");
    }
}
