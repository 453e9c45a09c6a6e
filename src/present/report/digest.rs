//! Many reports in a few numbers: what a person reads in a minute. A fold, so that a thousand files need the room of their summary.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{RejectedReport, ShownReport};
use crate::{
    protocol::{
        mta_sts::{Mode, read_policy},
        tls_rpt::{FailureDetail, PolicyType, Quirk, ReportedPolicy, ResultType, TlsReport},
    },
    terms::Timestamp,
};

/// So many names of one kind are told apart; the rest are one. Whoever reports on more has other tools, and a forged report can
/// hold as many names as fit into it.
const NAMES_MOST: usize = 10_000;
/// So many different reasons of one failure are kept: more is no reason any more, but a text with a number in it.
const REASONS_MOST: usize = 3;

/// The name of all those that are too many to be told apart.
const OTHERS: &str = "others";
/// A reporter that gives no name.
const NAMELESS: &str = "no name";

/// What was read, added up.
#[derive(Clone, Debug, Default)]
pub struct Digest {
    pub(super) reports: u64,
    pub(super) duplicates: u64,
    pub(super) rejected: Vec<RejectedReport>,
    pub(super) days: Days,
    pub(super) domains: BTreeSet<String>,
    pub(super) sessions: BTreeMap<PolicyType, Sessions>,
    pub(super) reporters: BTreeMap<String, ReporterSum>,
    pub(super) quirks: BTreeMap<Quirk, u64>,
    failures: BTreeMap<FailureKey, FailureSum>,
}

/// A number of sessions, and how many of them failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sessions {
    pub(super) all: u64,
    pub(super) failed: u64,
}

/// From when to when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Days {
    pub(super) first: Option<Timestamp>,
    /// Within the last day, not its end.
    pub(super) last: Option<Timestamp>,
}

/// What is one failure for the reader.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FailureKey {
    /// Nothing where the report does not tell.
    pub(super) domain: Option<String>,
    pub(super) policy_type: PolicyType,
    /// Nothing for sessions that the summary has and no detail explains.
    pub(super) result_type: Option<ResultType>,
    pub(super) mx: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct FailureSum {
    pub(super) sessions: u64,
    pub(super) reporters: BTreeSet<String>,
    pub(super) days: Days,
    pub(super) reasons: Vec<String>,
    pub(super) more_reasons: bool,
    /// The modes of the policies under which it was reported.
    pub(super) modes: BTreeSet<Mode>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct ReporterSum {
    pub(super) reports: u64,
    /// Of the kinds of policy in a report the one with the most: one session can stand under two (RFC 8460 §4.4).
    pub(super) sessions: Sessions,
    pub(super) days: Days,
}

/// What a failure does to mail, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Harm {
    /// Not delivered over that path.
    Refused,
    /// The report does not say whether the policy was in force.
    Unknown,
    /// Delivered all the same.
    Delivered,
    /// No session failed.
    Notice,
}

impl Digest {
    /// Adds a report.
    pub fn add(&mut self, shown: &ShownReport) {
        let report = &shown.report;
        self.reports += 1;
        for quirk in &report.quirks {
            *self.quirks.entry(*quirk).or_default() += 1;
        }
        let days = Days::of(report);
        self.days.join(days);
        let reporter = bounded(self.reporters.len(), reporter(report), |name| self.reporters.contains_key(name));
        let mut most = Sessions::default();
        for (policy_type, sessions) in by_policy_type(report) {
            self.sessions.entry(policy_type).or_default().add(sessions);
            most.all = most.all.max(sessions.all);
            most.failed = most.failed.max(sessions.failed);
        }
        for policy in &report.policies {
            if let Some(domain) = &policy.domain {
                let domain = bounded(self.domains.len(), domain.clone(), |name| self.domains.contains(name));
                self.domains.insert(domain);
            }
            self.add_failures(policy, &reporter, days);
        }
        let sum = self.reporters.entry(reporter).or_default();
        sum.reports += 1;
        sum.sessions.add(most);
        sum.days.join(days);
    }

    /// Counts a report that was there before.
    pub fn add_duplicate(&mut self) {
        self.duplicates += 1;
    }

    /// Adds what was rejected.
    pub fn add_rejected(&mut self, rejected: RejectedReport) {
        self.rejected.push(rejected);
    }

    fn add_failures(&mut self, policy: &ReportedPolicy, reporter: &str, days: Days) {
        let mode = mode(policy);
        let explained = policy.failures.iter().fold(0_u64, |sum, detail| sum.saturating_add(detail.sessions));
        let unexplained = policy.failed.saturating_sub(explained);
        let rest = FailureDetail { sessions: unexplained, ..FailureDetail::default() };
        let details = policy.failures.iter().map(|detail| (Some(detail.result_type), detail));
        for (result_type, detail) in details.chain((unexplained > 0).then_some((None, &rest))) {
            let mut key = FailureKey {
                domain: policy.domain.clone(),
                policy_type: policy.policy_type,
                result_type,
                mx: detail.receiving_mx.clone(),
            };
            if self.failures.len() >= NAMES_MOST && !self.failures.contains_key(&key) {
                key = FailureKey { domain: Some(OTHERS.to_owned()), mx: None, ..key };
            }
            let sum = self.failures.entry(key).or_default();
            sum.sessions = sum.sessions.saturating_add(detail.sessions);
            let name = bounded(sum.reporters.len(), reporter.to_owned(), |name| sum.reporters.contains(name));
            sum.reporters.insert(name);
            sum.days.join(days);
            sum.modes.extend(mode);
            if let Some(reason) = detail.reason.as_ref().filter(|reason| !sum.reasons.contains(reason)) {
                if sum.reasons.len() < REASONS_MOST {
                    sum.reasons.push(reason.clone());
                } else {
                    sum.more_reasons = true;
                }
            }
        }
    }

    /// The failures, those that harm most first.
    pub(super) fn failures(&self) -> Vec<(&FailureKey, &FailureSum)> {
        let mut failures: Vec<_> = self.failures.iter().collect();
        failures.sort_by_key(|(key, sum)| (harm(key, sum), Reverse(sum.sessions)));
        failures
    }

    /// How many things were rejected.
    pub fn rejected(&self) -> usize {
        self.rejected.len()
    }
}

/// What it does to mail.
pub(super) fn harm(key: &FailureKey, sum: &FailureSum) -> Harm {
    match (key.policy_type, key.result_type) {
        _ if sum.sessions == 0 => Harm::Notice,
        // Without a policy senders go on as if there were none (RFC 8461 §5.1); one that they hold from before stands in its own right.
        (_, Some(ResultType::StsPolicyFetchError | ResultType::StsPolicyInvalid | ResultType::StsWebpkiInvalid)) => {
            Harm::Delivered
        }
        // Who applies DANE delivers nothing where it fails (RFC 7672 §2.2); nor does who insists on it.
        (PolicyType::Tlsa, _) | (_, Some(ResultType::DaneRequired | ResultType::DnssecInvalid)) => Harm::Refused,
        (PolicyType::Sts, _) if sum.modes.contains(&Mode::Enforce) => Harm::Refused,
        (PolicyType::Sts, _) if !sum.modes.is_empty() => Harm::Delivered,
        (PolicyType::NoPolicyFound, _) => Harm::Delivered,
        (PolicyType::Sts | PolicyType::Other, _) => Harm::Unknown,
    }
}

impl Sessions {
    fn add(&mut self, other: Self) {
        self.all = self.all.saturating_add(other.all);
        self.failed = self.failed.saturating_add(other.failed);
    }
}

impl Days {
    /// The time of a report. An end at midnight belongs to the day before.
    fn of(report: &TlsReport) -> Self {
        let first = report.begin.or(report.end);
        let within = report.end.map(|end| end - Duration::from_secs(1));
        Self { first, last: within.max(first) }
    }

    fn join(&mut self, other: Self) {
        self.first = [self.first, other.first].into_iter().flatten().min();
        self.last = self.last.max(other.last);
    }
}

/// The sums of a report by kind of policy.
fn by_policy_type(report: &TlsReport) -> BTreeMap<PolicyType, Sessions> {
    let mut sums: BTreeMap<PolicyType, Sessions> = BTreeMap::new();
    for policy in &report.policies {
        let sessions = Sessions { all: policy.sessions(), failed: policy.failed };
        sums.entry(policy.policy_type).or_default().add(sessions);
    }
    sums
}

/// What a reporter calls itself, else the domain of its contact.
fn reporter(report: &TlsReport) -> String {
    let contact = report.contact.as_deref().and_then(|contact| contact.rsplit_once('@')).map(|(_, domain)| domain);
    let name = report.organization.as_deref().or(contact).map(str::trim).filter(|name| !name.is_empty());
    name.unwrap_or(NAMELESS).to_owned()
}

/// The mode of the policy that the sender applied, where it tells.
fn mode(policy: &ReportedPolicy) -> Option<Mode> {
    if policy.policy_type != PolicyType::Sts {
        return None;
    }
    let body: String = policy.policy_string.iter().flat_map(|line| [line, "\r\n"]).collect();
    read_policy(body.as_bytes()).value.map(|policy| policy.mode)
}

/// The name, or that of the others where it is new and there are too many.
fn bounded(names: usize, name: String, is_known: impl Fn(&str) -> bool) -> String {
    if names < NAMES_MOST || is_known(&name) { name } else { OTHERS.to_owned() }
}
