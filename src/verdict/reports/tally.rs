//! Sessions by what was reported of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::protocol::tls_rpt::{PolicyType, ReportedPolicy, ResultType};

/// So many MX hosts are told apart in one report; failures at others stand without a host.
const HOSTS_MOST: usize = 64;

/// So many sessions are counted in one cell of a report: the largest senders have fewer in a day, and a number that somebody made
/// up must not make a counter useless for ever (a sample of Prometheus is exact up to 2^53).
pub const SESSIONS_MOST: u64 = 1_000_000_000;

/// What is counted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Cell {
    /// Under which kind of policy. Kinds are never added up: one session can stand under two (RFC 8460 §4.4).
    pub policy_type: PolicyType,
    /// Which number.
    pub measure: Measure,
}

/// A number of sessions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Measure {
    /// All, by the summary.
    Sessions,
    /// Those that failed, by the summary.
    Failed,
    /// Those that failed in one way, by the details, at one receiving MX (`receiving-mx-hostname`), where that is told.
    Detail(ResultType, Option<String>),
}

/// Sessions by cell.
pub type SessionTally = BTreeMap<Cell, u64>;

/// What the policies of a report say in numbers. Summary and details stand side by side: they need not agree. No sum is above
/// [`SESSIONS_MOST`].
pub fn session_tally(policies: &[ReportedPolicy]) -> SessionTally {
    let mut tally = SessionTally::new();
    let mut hosts: Vec<&str> = Vec::new();
    for policy in policies {
        let policy_type = policy.policy_type;
        let mut add = |measure, sessions: u64| {
            let sum = tally.entry(Cell { policy_type, measure }).or_default();
            *sum = sum.saturating_add(sessions).min(SESSIONS_MOST);
        };
        add(Measure::Sessions, policy.sessions());
        add(Measure::Failed, policy.failed);
        for failure in &policy.failures {
            let host = failure.receiving_mx.as_deref().filter(|host| {
                if !hosts.contains(host) && hosts.len() < HOSTS_MOST {
                    hosts.push(host);
                }
                hosts.contains(host)
            });
            add(Measure::Detail(failure.result_type, host.map(str::to_owned)), failure.sessions);
        }
    }
    tally
}

/// The larger number of each cell: what two reports of one sender under one id say together.
pub fn largest(mut one: SessionTally, other: &SessionTally) -> SessionTally {
    for (cell, sessions) in other {
        let largest = one.entry(cell.clone()).or_default();
        *largest = (*largest).max(*sessions);
    }
    one
}

/// What a corrected report has more than what was counted of it. Where it has less, nothing is taken away: counters never fall.
pub fn excess(corrected: &SessionTally, counted: &SessionTally) -> SessionTally {
    let more = |(cell, sessions): (&Cell, &u64)| {
        let more = sessions.saturating_sub(counted.get(cell).copied().unwrap_or(0));
        (more > 0).then(|| (cell.clone(), more))
    };
    corrected.iter().filter_map(more).collect()
}
