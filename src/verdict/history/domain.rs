//! What is remembered of a domain.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    DomainEvidence, FindingMemory, LookupHistory, Pace, RuaHistory, Tally, count, findings, rua, sighting, texts,
};
use crate::{
    facts::{DomainObservation, MxRecord, MxTarget},
    protocol::mta_sts::{Ledger, Mode, MxPattern, Policy, read_sts_records},
    terms::{MxHost, Octets, PolicyId, Timestamp},
    verdict::{Assessment, Change, ChangeKind, ChangeSubject, Finding, NewFailure, State, policy_view::PolicyView},
};

/// Mail hosts that are remembered: the MX set of a domain, and what it was lately.
const MOST_MX: usize = 64;

/// What is remembered of a domain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DomainHistory {
    /// `_mta-sts`.
    pub sts_record: LookupHistory<Vec<Octets>>,
    /// `_smtp._tls`.
    pub tlsrpt_record: LookupHistory<Vec<Octets>>,
    /// MX.
    pub mx: LookupHistory<MxRecord>,
    /// The domain's own addresses, where there is no MX record: failures in a row.
    pub implicit_failures: u32,
    /// The last of them that was counted.
    pub implicit_failure_counted_at: Option<Timestamp>,
    /// The addresses of the policy host: failures in a row.
    pub policy_host_failures: u32,
    /// The last of them that was counted.
    pub policy_host_failure_counted_at: Option<Timestamp>,
    /// The policies that were served, with their ids.
    pub ledger: Ledger,
    /// When a usable policy was last fetched, and a usable record announced it.
    pub policy_seen_at: Option<Timestamp>,
    /// The mode of the last usable policy.
    pub mode: Option<SeenMode>,
    /// When the mode went from enforce to another; nothing once it is enforce again.
    pub left_enforce_at: Option<Timestamp>,
    /// The start of testing: since when mode, patterns and MX set have been what they are (`max_age` may change).
    pub testing_since: Option<Timestamp>,
    /// The id that was announced last.
    pub last_id: Option<PolicyId>,
    /// The mail hosts of the MX set, the implicit one among them, with those that left it lately.
    pub mx_hosts: Vec<SeenMxHost>,
    /// Evidence for the question whether enforce would lose mail.
    pub evidence: DomainEvidence,
    /// Since when every judgement has found the domain ready for enforce.
    pub ready_since: Option<Timestamp>,
    /// What senders could do by the last judgement that could tell.
    pub delivery: Option<State>,
    /// Since when findings stand.
    pub findings: BTreeMap<String, FindingMemory>,
    /// The destinations of reports that the record names.
    pub rua: BTreeMap<String, RuaHistory>,
    /// The failures in reports that are new, while they last.
    pub new_failures: Vec<NewFailure>,
    /// Changes of the record.
    pub record_changes: Tally,
    /// Changes of its id.
    pub id_changes: Tally,
    /// Changes of the policy by meaning.
    pub policy_changes: Tally,
    /// Changes of the MX records.
    pub mx_changes: Tally,
    /// Changes of what senders can do.
    pub delivery_changes: Tally,
}

/// A mode and since when it is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenMode {
    /// Which.
    pub mode: Mode,
    /// The first observation of it.
    pub since: Timestamp,
}

/// A mail host of the MX set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenMxHost {
    /// Which.
    pub host: MxHost,
    /// The first answer that held it.
    pub first: Timestamp,
    /// The last one.
    pub last: Timestamp,
}

impl DomainHistory {
    /// Folds an observation in.
    ///
    /// Failures on this side (the resolver answers nobody) are not counted, nor those that come before their time. Returns what changed since the last answers; what is
    /// seen for the first time is no change.
    pub fn observe(&mut self, observation: &DomainObservation, pace: Pace) -> Vec<Change> {
        let healthy = observation.resolver_healthy;
        let changes =
            [self.record_change(observation), self.mx_change(observation), self.policy_change(observation, pace)];
        let (at, retry) = (observation.started_at, pace.retry);
        self.sts_record.observe(&observation.sts_record, healthy, at, retry);
        self.tlsrpt_record.observe(&observation.tlsrpt_record, healthy, at, retry);
        self.mx.observe(&observation.mx, healthy, at, retry);
        let row = (&mut self.policy_host_failures, &mut self.policy_host_failure_counted_at);
        count(row, &observation.policy.addresses, healthy, (at, retry));
        if let Some(implicit) = &observation.implicit {
            let row = (&mut self.implicit_failures, &mut self.implicit_failure_counted_at);
            count(row, implicit, healthy, (at, retry));
        }
        rua::note(&mut self.rua, observation, pace.interval);
        self.note_evidence(observation, pace);
        changes.into_iter().flatten().collect()
    }

    /// Notes what a judgement found: since when findings stand, and whether the domain is ready for enforce. Returns the change
    /// of the delivery, where there is one.
    pub fn judged(&mut self, assessment: &Assessment, now: Timestamp) -> Option<Change> {
        findings::note(&mut self.findings, &assessment.findings, now);
        let ready = assessment.history.enforce.as_ref().is_some_and(|enforce| enforce.ready);
        self.ready_since = ready.then(|| self.ready_since.unwrap_or(now));
        self.new_failures = assessment.reports.iter().flat_map(|reports| reports.new_failures.clone()).collect();
        // What this side cannot see changes nothing.
        if assessment.own_side || (assessment.delivery == State::Unknown && self.delivery.is_none()) {
            return None;
        }
        let before = self.delivery.replace(assessment.delivery).filter(|before| *before != assessment.delivery)?;
        self.delivery_changes.note(now);
        Some(Change {
            at: now,
            subject: ChangeSubject::Domain(assessment.domain.clone()),
            kind: ChangeKind::Delivery,
            before: Some(before.to_string()),
            after: Some(assessment.delivery.to_string()),
        })
    }

    /// What is remembered of a finding that stands now.
    pub fn memory_of(&self, finding: &Finding) -> Option<&FindingMemory> {
        self.findings.get(&findings::key(finding)).filter(|memory| memory.gone_at.is_none())
    }

    fn record_change(&mut self, observation: &DomainObservation) -> Option<Change> {
        let lookup = &observation.sts_record;
        if !lookup.answered() {
            return None;
        }
        let at = observation.started_at;
        if let Some(record) = read_sts_records(lookup.records()).value {
            let before = self.last_id.replace(record.id.clone());
            if before.is_some_and(|before| before != record.id) {
                self.id_changes.note(at);
            }
        }
        let before = texts::record(self.sts_record.last_answer.as_ref()?.records());
        let after = texts::record(lookup.records());
        if before == after {
            return None;
        }
        self.record_changes.note(at);
        Some(change(observation, ChangeKind::Record, before, after))
    }

    fn mx_change(&mut self, observation: &DomainObservation) -> Option<Change> {
        let lookup = &observation.mx;
        if !lookup.answered() {
            return None;
        }
        let at = observation.started_at;
        let before_hosts = self.mx.last_answer.as_ref().map(|before| targets(before.records()));
        if before_hosts.is_some_and(|before| before != targets(lookup.records())) && self.testing_since.is_some() {
            self.testing_since = Some(at);
        }
        self.note_mx_hosts(observation);
        let before = self.mx.last_answer.as_ref()?;
        let sorted = |records: &[MxRecord]| {
            let mut sorted = records.to_vec();
            sorted.sort();
            sorted
        };
        if sorted(before.records()) == sorted(lookup.records()) {
            return None;
        }
        let (before, after) = (texts::mx(before.records()), texts::mx(lookup.records()));
        self.mx_changes.note(at);
        Some(change(observation, ChangeKind::Mx, before, after))
    }

    fn note_mx_hosts(&mut self, observation: &DomainObservation) {
        let at = observation.started_at;
        let mut hosts: Vec<MxHost> = observation
            .mx
            .records()
            .iter()
            .filter_map(|record| match &record.target {
                MxTarget::Host(host) => Some(host.clone()),
                _ => None,
            })
            .collect();
        if observation.mx.records().is_empty()
            && observation.implicit.as_ref().is_some_and(|own| own.addresses().next().is_some())
        {
            hosts.push(observation.domain.implicit_mx());
        }
        for host in hosts {
            match self.mx_hosts.iter_mut().find(|known| known.host == host) {
                Some(known) => known.last = at,
                None => self.mx_hosts.push(SeenMxHost { host, first: at, last: at }),
            }
        }
        while self.mx_hosts.len() > MOST_MX {
            // The one that left the set first.
            let oldest = self.mx_hosts.iter().enumerate().min_by_key(|(_, known)| known.last).map(|(place, _)| place);
            self.mx_hosts.remove(oldest.unwrap_or(0));
        }
    }

    fn policy_change(&mut self, observation: &DomainObservation, pace: Pace) -> Option<Change> {
        let seen = sighting::sighting(observation);
        let at = observation.started_at;
        let known = self.ledger.good_at().is_some();
        let before = self.served();
        self.ledger.observe(&seen, pace.interval);
        let after = self.served();
        if matches!(seen.announced, crate::protocol::mta_sts::Announced::Id { .. }) && !seen.served.is_empty() {
            self.policy_seen_at = Some(at);
        }
        self.note_mode(at);
        let same = match (&before, &after) {
            (Some(before), Some(after)) => before.same_meaning(after),
            (None, None) => true,
            _ => false,
        };
        if same || !known {
            return None;
        }
        self.policy_changes.note(at);
        let text = |policy: Option<Arc<Policy>>| policy.map(|policy| texts::policy(&policy));
        Some(change(observation, ChangeKind::Policy, text(before), text(after)))
    }

    /// The current policy, unless it is known to be gone.
    fn served(&self) -> Option<Arc<Policy>> {
        let current = self.ledger.current().filter(|version| version.ended.is_none());
        current.map(|version| Arc::clone(&version.policy))
    }

    fn note_mode(&mut self, at: Timestamp) {
        let Some(current) = self.ledger.current() else { return };
        let mode = current.policy.mode;
        let before = self.mode;
        if before.is_none_or(|before| before.mode != mode) {
            // Not the time of the observation: a policy that comes back was current before.
            self.mode = Some(SeenMode { mode, since: current.since });
        }
        match (before.map(|before| before.mode), mode) {
            (_, Mode::Enforce) => self.left_enforce_at = None,
            (Some(Mode::Enforce), _) => self.left_enforce_at = Some(at),
            _ => {}
        }
        if mode != Mode::Testing {
            self.testing_since = None;
            return;
        }
        let patterns = |policy: &Policy| {
            let mut patterns: Vec<MxPattern> = policy.mx.clone();
            patterns.sort();
            patterns.dedup();
            patterns
        };
        let older = self.ledger.earlier().last();
        // A change of max_age alone is no new beginning.
        let goes_on = current.since == at
            && older.is_some_and(|older| {
                older.policy.mode == Mode::Testing && patterns(&older.policy) == patterns(&current.policy)
            });
        if self.testing_since.is_none() || (current.since == at && !goes_on) {
            self.testing_since = Some(current.since);
        }
    }

    fn note_evidence(&mut self, observation: &DomainObservation, pace: Pace) {
        let at = observation.started_at;
        if observation.sts_record.answered() {
            self.evidence.note_record(read_sts_records(observation.sts_record.records()).valid(), at);
        }
        if sighting::is_kept(observation) {
            return;
        }
        let view = PolicyView::new(&observation.policy, at);
        let told = view.fetches.iter().filter(|fetch| !fetch.is_own_side());
        let mut fetches: Vec<bool> = told.map(|fetch| fetch.usable().is_some()).collect();
        if view.fetches.is_empty() && (observation.resolver_healthy || observation.policy.addresses.answered()) {
            fetches.push(false);
        }
        self.evidence.note_fetches(&fetches, at, pace.interval);
    }
}

fn targets(records: &[MxRecord]) -> Vec<MxTarget> {
    let mut targets: Vec<MxTarget> = records.iter().map(|record| record.target.clone()).collect();
    targets.sort();
    targets.dedup();
    targets
}

fn change(observation: &DomainObservation, kind: ChangeKind, before: Option<String>, after: Option<String>) -> Change {
    let subject = ChangeSubject::Domain(observation.domain.clone());
    Change { at: observation.started_at, subject, kind, before, after }
}
