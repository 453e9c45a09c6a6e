//! What the monitor remembers of earlier observations: a pure fold.
//!
//! A failed lookup never takes knowledge away: the last answer stays beside the count of failures. `check` starts with an
//! empty history; the present observation is folded in before it is judged. Nothing here grows with the number of probes: every
//! list has a bound, and what is counted over a time is counted by days.

mod address;
mod domain;
mod evidence;
mod findings;
mod host;
mod pace;
mod rua;
mod sighting;
mod texts;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

pub use address::{AddressHistory, SeenCertificate};
pub(crate) use address::{BROKEN_IN_A_ROW, Contact, TIMEOUTS_IN_A_ROW};
pub use domain::{DomainHistory, SeenMode, SeenMxHost};
pub use evidence::{DomainEvidence, FetchDay, Streak};
pub use findings::FindingMemory;
pub(crate) use host::last_addresses;
pub use host::{HostHistory, SeenTlsa};
pub use pace::Pace;
pub use rua::RuaHistory;

use crate::{
    facts::{AddressLookup, Lookup},
    terms::{MxHost, Timestamp},
    verdict::DomainReports,
};

/// What is remembered of one question to the DNS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookupHistory<T> {
    /// Failures in a row that came at the pace of the schedule.
    pub failures_in_a_row: u32,
    /// The last of them.
    #[serde(default)]
    pub failure_counted_at: Option<Timestamp>,
    /// The last answer, the present one where it is an answer.
    pub last_answer: Option<Arc<Lookup<T>>>,
}

/// How often something changed, and when last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Changes that were seen since the first observation.
    pub total: u64,
    /// The observation that showed the last one.
    pub last_at: Option<Timestamp>,
}

/// What is remembered of a domain and of the mail hosts that it uses.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Of the domain.
    pub domain: DomainHistory,
    /// Of its hosts.
    pub hosts: BTreeMap<MxHost, Arc<HostHistory>>,
    /// What reports say; nothing where no report source is configured.
    pub reports: Option<Arc<DomainReports>>,
}

impl Tally {
    fn note(&mut self, at: Timestamp) {
        self.total = self.total.saturating_add(1);
        self.last_at = Some(at);
    }
}

impl<T> Default for LookupHistory<T> {
    fn default() -> Self {
        Self { failures_in_a_row: 0, failure_counted_at: None, last_answer: None }
    }
}

impl<T: Clone> LookupHistory<T> {
    fn observe(&mut self, lookup: &Lookup<T>, resolver_healthy: bool, at: Timestamp, retry: Duration) {
        if lookup.answered() {
            self.failures_in_a_row = 0;
            self.last_answer = Some(Arc::new(lookup.clone()));
        } else if resolver_healthy {
            pace::count_failure(&mut self.failures_in_a_row, &mut self.failure_counted_at, at, retry);
        }
    }
}

/// Counts a failed lookup of addresses; an answer ends the row. `at`: when it was made. `retry`: as [`Pace::retry`].
fn count(
    (failures, counted_at): (&mut u32, &mut Option<Timestamp>),
    lookup: &AddressLookup,
    resolver_healthy: bool,
    (at, retry): (Timestamp, Duration),
) {
    if lookup.answered() {
        *failures = 0;
    } else if resolver_healthy {
        pace::count_failure(failures, counted_at, at, retry);
    }
}
