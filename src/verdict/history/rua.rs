//! What is remembered of the destinations of reports.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::pace;
use crate::{
    facts::{DomainObservation, RuaObservation, RuaOutcome},
    terms::Timestamp,
};

/// What is remembered of one destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuaHistory {
    /// The last look that told something; the first one where none did.
    pub outcome: RuaOutcome,
    /// When it was made.
    pub at: Timestamp,
    /// The last look that found it reachable; nothing where none did.
    #[serde(default)]
    pub reached_at: Option<Timestamp>,
    /// Looks in a row that found it unreachable, at the pace of the schedule.
    pub failures_in_a_row: u32,
    /// The last of them.
    #[serde(default)]
    pub failure_counted_at: Option<Timestamp>,
}

/// Notes what was seen. A look that several observations share counts once; one that this side could not make takes no knowledge
/// away; a destination that is no longer named is forgotten. `interval`: as [`Pace::interval`](super::Pace::interval); a destination is
/// asked by the schedule no more often, however its last look ended.
pub(super) fn note(known: &mut BTreeMap<String, RuaHistory>, observation: &DomainObservation, interval: Duration) {
    if !observation.tlsrpt_record.answered() {
        return;
    }
    known.retain(|destination, _| observation.rua.iter().any(|seen| seen.destination == *destination));
    for RuaObservation { destination, at, outcome } in &observation.rua {
        let reachable = outcome.reachable();
        let before = known.get(destination);
        if before.is_some_and(|before| before.at == *at || reachable.is_none()) {
            continue;
        }
        let reached = (reachable == Some(true)).then_some(*at);
        let (mut failures, mut counted_at) =
            before.map_or((0, None), |before| (before.failures_in_a_row, before.failure_counted_at));
        match reachable {
            Some(false) => pace::count_failure(&mut failures, &mut counted_at, *at, interval),
            _ => failures = 0,
        }
        let now = RuaHistory {
            outcome: outcome.clone(),
            at: *at,
            reached_at: reached.or_else(|| before?.reached_at),
            failures_in_a_row: failures,
            failure_counted_at: counted_at,
        };
        known.insert(destination.clone(), now);
    }
}
