//! The little of a judgement that lists, mail hosts and other domains need, so that the rest can lie packed.

use serde::{Deserialize, Serialize};

use crate::{
    protocol::mta_sts::Mode,
    terms::{MxHost, Timestamp},
    verdict::{Assessment, Code, DomainHistory, Severity, State},
};

/// What is known of a domain at a glance, as of its last judgement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// When the look at the domain began that was judged.
    pub checked_at: Timestamp,
    /// What happens to mail for the domain.
    pub delivery: State,
    /// The domain could not be checked for a reason on this side.
    pub own_side: bool,
    /// The mode of the policy in force; nothing where none is.
    pub mode: Option<Mode>,
    /// Senders hold a policy in enforce that was announced: its subdomains may count on it being meant.
    pub enforces_below: bool,
    /// The active findings, worst first.
    pub active: Box<[ActiveFinding]>,
    /// The mail hosts, in the order in which senders try them.
    pub hosts: Box<[MxHost]>,
    /// When the first certificate ends, of the policy host and of all mail hosts; nothing where none was seen.
    pub certificate_ends_at: Option<Timestamp>,
    /// The last probe in which every lookup was answered.
    pub last_success_at: Option<Timestamp>,
}

/// A finding that counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveFinding {
    /// Which.
    pub code: Code,
    /// How bad.
    pub severity: Severity,
    /// The mail host that it is about, where it is about one.
    pub host: Option<MxHost>,
}

impl Summary {
    /// The summary of a judgement.
    pub fn of(assessment: &Assessment, last_success_at: Option<Timestamp>, enforces_below: bool) -> Self {
        let mut hosts: Vec<MxHost> = Vec::with_capacity(assessment.mx.len());
        for host in assessment.mx.iter().filter_map(|mx| mx.host.as_ref()) {
            if !hosts.contains(host) {
                hosts.push(host.clone());
            }
        }
        let of_hosts =
            assessment.mx.iter().flat_map(|mx| &mx.addresses).filter_map(|one| one.path.certificate.as_ref());
        let certificates = assessment.policy.certificate.iter().chain(of_hosts);
        let active = assessment.active().map(|finding| {
            let name = finding.subject.mx();
            // A target that is no host name is no host of any list.
            let host = name.and_then(|name| hosts.iter().find(|host| host.as_str() == name).cloned());
            ActiveFinding { code: finding.code, severity: finding.severity, host }
        });
        Self {
            checked_at: assessment.checked_at,
            delivery: assessment.delivery,
            own_side: assessment.own_side,
            mode: assessment.policy.in_force.as_ref().map(|policy| policy.mode),
            enforces_below,
            active: active.collect(),
            certificate_ends_at: certificates.map(|one| one.chain.leaf.not_after).min(),
            hosts: hosts.into(),
            last_success_at,
        }
    }

    /// Whether a policy in enforce is in force.
    pub fn enforces(&self) -> bool {
        self.mode == Some(Mode::Enforce)
    }

    /// The worst severity of an active finding.
    pub fn worst(&self) -> Option<Severity> {
        self.active.iter().map(|finding| finding.severity).max()
    }
}

/// Whether senders hold a policy in enforce that the domain announced.
pub(super) fn enforces_below(history: &DomainHistory, now: Timestamp) -> bool {
    let held = history.ledger.alive(now).find(|version| version.is_announced());
    held.is_some_and(|version| version.policy.mode == Mode::Enforce)
}
