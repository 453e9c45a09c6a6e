//! What the monitor remembers of earlier observations: a pure fold.
//!
//! A failed lookup never takes knowledge away: the last answer stays beside the count of failures. `check` starts with an
//! empty history; the present observation is folded in before it is judged.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{discovered_policy, path::is_own_side};
use crate::{
    facts::{
        AddressLookup, AddressObservation, ConnectFailure, DomainObservation, HostObservation, Lookup, MxRecord, Phase,
        SmtpOutcome, Vantage,
    },
    protocol::mta_sts::Policy,
    terms::{MxHost, Octets, Timestamp},
};

/// Probes in a row that must fail before a refused, reset or broken connection counts as down.
pub(crate) const BROKEN_IN_A_ROW: u32 = 2;
/// Probes in a row that must fail before a timeout counts as down.
pub(crate) const TIMEOUTS_IN_A_ROW: u32 = 3;

/// What is remembered of one question to the DNS.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LookupHistory<T> {
    /// Failures in a row, the present one among them.
    pub failures_in_a_row: u32,
    /// The last answer, the present one where it is an answer.
    pub last_answer: Option<Arc<Lookup<T>>>,
}

/// A usable policy that was fetched.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SeenPolicy {
    /// What it says.
    pub policy: Arc<Policy>,
    /// The first fetch that gave this policy (by meaning).
    pub first_seen_at: Timestamp,
    /// The last one.
    pub last_seen_at: Timestamp,
    /// The largest TTL of the record that announced it, in seconds: a resolver shows what is left of it.
    pub record_ttl: u32,
}

impl SeenPolicy {
    /// Whether senders may still hold it: `max_age` counts from the last time it was served (RFC 8461 §5.1).
    pub fn is_alive(&self, now: Timestamp) -> bool {
        now < self.last_seen_at + self.policy.max_age.duration()
    }
}

/// What is remembered of a domain.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
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
    /// The addresses of the policy host: failures in a row.
    pub policy_host_failures: u32,
    /// The newest usable policy.
    pub policy: Option<SeenPolicy>,
}

/// What is remembered of a mail host.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HostHistory {
    /// Failed address lookups in a row.
    pub failures_in_a_row: u32,
    /// The last answer of each family that was asked for, the present one where it is an answer.
    pub last_answer: Option<Arc<HostObservation>>,
    /// Its addresses.
    pub addresses: BTreeMap<IpAddr, AddressHistory>,
}

/// What is remembered of one address of a mail host.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AddressHistory {
    /// Probes in a row that did not come all the way to the EHLO inside TLS; those that tell of this side only are left out.
    pub failures_in_a_row: u32,
    /// Probes in a row that did not reach an SMTP server; likewise.
    pub unreachable_in_a_row: u32,
    /// When the first of them began to fail.
    pub unreachable_since: Option<Timestamp>,
    /// The last probe in which an SMTP server answered banner and EHLO.
    pub last_up: Option<Arc<AddressObservation>>,
    /// The last probe that made the address count as down.
    pub last_down_at: Option<Timestamp>,
    /// The last probe that came all the way.
    pub last_success_at: Option<Timestamp>,
}

/// What is remembered of a domain and of the mail hosts that it uses.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Of the domain.
    pub domain: DomainHistory,
    /// Of its hosts.
    pub hosts: BTreeMap<MxHost, Arc<HostHistory>>,
}

impl<T> Default for LookupHistory<T> {
    fn default() -> Self {
        Self { failures_in_a_row: 0, last_answer: None }
    }
}

impl<T: Clone> LookupHistory<T> {
    fn observe(&mut self, lookup: &Lookup<T>, resolver_healthy: bool) {
        if lookup.answered() {
            self.failures_in_a_row = 0;
            self.last_answer = Some(Arc::new(lookup.clone()));
        } else if resolver_healthy {
            self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        }
    }
}

impl DomainHistory {
    /// Folds an observation in.
    ///
    /// Failures on this side (the resolver answers nobody) are not counted.
    pub fn observe(&mut self, observation: &DomainObservation) {
        let healthy = observation.resolver_healthy;
        self.sts_record.observe(&observation.sts_record, healthy);
        self.tlsrpt_record.observe(&observation.tlsrpt_record, healthy);
        self.mx.observe(&observation.mx, healthy);
        count(&mut self.policy_host_failures, &observation.policy.addresses, healthy);
        if let Some(implicit) = &observation.implicit {
            count(&mut self.implicit_failures, implicit, healthy);
        }
        let at = observation.started_at;
        if let Some(policy) = discovered_policy(observation, at) {
            let record_ttl = observation.sts_record.ttl().unwrap_or(0);
            match &mut self.policy {
                Some(seen) if seen.policy.same_meaning(&policy) => {
                    seen.policy = policy;
                    seen.last_seen_at = at;
                    seen.record_ttl = seen.record_ttl.max(record_ttl);
                }
                slot => *slot = Some(SeenPolicy { policy, first_seen_at: at, last_seen_at: at, record_ttl }),
            }
        }
    }
}

fn count(failures: &mut u32, lookup: &AddressLookup, resolver_healthy: bool) {
    if lookup.answered() {
        *failures = 0;
    } else if resolver_healthy {
        *failures = failures.saturating_add(1);
    }
}

impl HostHistory {
    /// Folds an address lookup in.
    pub fn observe(&mut self, observation: &Arc<HostObservation>) {
        count(&mut self.failures_in_a_row, &observation.addresses, observation.resolver_healthy);
        if observation.addresses.answered() {
            self.last_answer = Some(Arc::clone(observation));
        } else if observation.addresses.lookups().any(Lookup::answered) {
            let kept = self.last_answer.as_deref();
            let addresses = last_addresses(&observation.addresses, kept.map(|kept| &kept.addresses));
            self.last_answer = Some(Arc::new(HostObservation { addresses, ..(**observation).clone() }));
        }
    }
}

/// The last answer of each family: a family that fails does not take the other one's new answer away.
pub(crate) fn last_addresses(now: &AddressLookup, kept: Option<&AddressLookup>) -> AddressLookup {
    let family = |now: &Option<Lookup<IpAddr>>, kept: Option<&Option<Lookup<IpAddr>>>| match (now, kept) {
        (Some(lookup), Some(Some(kept))) if !lookup.answered() => Some(kept.clone()),
        (now, _) => now.clone(),
    };
    AddressLookup {
        ip4: family(&now.ip4, kept.map(|kept| &kept.ip4)),
        ip6: family(&now.ip6, kept.map(|kept| &kept.ip6)),
    }
}

/// What a probe of an address says about reaching it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contact {
    /// Banner 220, EHLO 250.
    Up,
    /// Refused, reset, unreachable, or no SMTP.
    Broken,
    /// No progress in time.
    TimedOut,
    /// Turned away: about this client.
    Rejected,
    /// This side could not try.
    OwnSide,
    /// The address is not public: nobody outside reaches it.
    Private,
}

impl Contact {
    pub(crate) fn of(observation: &AddressObservation) -> Self {
        match &observation.outcome {
            SmtpOutcome::ConnectFailed(ConnectFailure::PrivateAddress) => Self::Private,
            SmtpOutcome::ConnectFailed(ConnectFailure::Timeout) | SmtpOutcome::Timeout(_) => Self::TimedOut,
            SmtpOutcome::ConnectFailed(failure) if failure.is_own_side() => Self::OwnSide,
            SmtpOutcome::ConnectFailed(_) => Self::Broken,
            SmtpOutcome::Rejected { .. } => Self::Rejected,
            // What breaks inside TLS is no reason for a sender without checks to stay away.
            SmtpOutcome::ProtocolError { phase: Phase::EhloTls, .. } => Self::Up,
            SmtpOutcome::ProtocolError { .. } => Self::Broken,
            SmtpOutcome::Done
            | SmtpOutcome::StarttlsNotOffered
            | SmtpOutcome::StarttlsRefused { .. }
            | SmtpOutcome::HandshakeFailed(_) => Self::Up,
        }
    }
}

impl AddressHistory {
    /// Folds a probe in. `vantage` is what this side could see at that time: what may be this side's own fault counts
    /// nowhere, and a timeout makes an address count as down only where another host answered.
    pub fn observe(&mut self, observation: &Arc<AddressObservation>, vantage: &Vantage) {
        if is_own_side(observation, vantage) {
            return;
        }
        let at = observation.at;
        match Contact::of(observation) {
            Contact::Up => {
                self.unreachable_in_a_row = 0;
                self.unreachable_since = None;
                self.last_up = Some(Arc::clone(observation));
            }
            Contact::Broken => self.fail(observation, BROKEN_IN_A_ROW, true),
            Contact::TimedOut => {
                // Meanwhile: since the failures began. What answered before may be cut off as well by now.
                let since = self.unreachable_since.unwrap_or(observation.at - observation.duration);
                let another = vantage.another_answered(observation.address, since);
                self.fail(observation, TIMEOUTS_IN_A_ROW, another);
            }
            Contact::Private => self.fail(observation, 1, true),
            Contact::Rejected | Contact::OwnSide => {}
        }
        match &observation.outcome {
            SmtpOutcome::Done => {
                self.failures_in_a_row = 0;
                self.last_success_at = Some(at);
            }
            _ => self.failures_in_a_row = self.failures_in_a_row.saturating_add(1),
        }
    }

    fn fail(&mut self, observation: &AddressObservation, enough: u32, evidence: bool) {
        self.unreachable_in_a_row = self.unreachable_in_a_row.saturating_add(1);
        self.unreachable_since.get_or_insert(observation.at - observation.duration);
        if self.unreachable_in_a_row >= enough && evidence {
            self.last_down_at = Some(observation.at);
        }
    }
}
