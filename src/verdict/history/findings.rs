//! Since when a finding stands, and how often it came.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{terms::Timestamp, verdict::Finding};

/// How long a finding that went is remembered: what comes again within that time comes and goes.
const REMEMBERED: Duration = Duration::from_secs(30 * 86_400);
/// Findings that are remembered for a domain. A domain with ten broken hosts has about a hundred.
const MOST: usize = 256;

/// What is remembered of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingMemory {
    /// The judgement that raised it first, in the present stretch or the last one.
    pub since: Timestamp,
    /// The judgement that raised it no longer; nothing while it stands.
    #[serde(default)]
    pub gone_at: Option<Timestamp>,
    /// How many times it came, over the time for which it is remembered.
    pub times: u32,
}

/// What tells findings of a domain apart.
pub(super) fn key(finding: &Finding) -> String {
    format!("{} {}", finding.code, finding.subject)
}

/// Notes which findings stand now.
pub(super) fn note(known: &mut BTreeMap<String, FindingMemory>, findings: &[Finding], now: Timestamp) {
    let standing: Vec<String> = findings.iter().map(key).collect();
    for (key, memory) in known.iter_mut() {
        if memory.gone_at.is_none() && !standing.contains(key) {
            memory.gone_at = Some(now);
        }
    }
    known.retain(|_, memory| memory.gone_at.is_none_or(|gone| now.since(gone) < REMEMBERED));
    for key in standing {
        let room = known.len() < MOST;
        match known.get_mut(&key) {
            Some(memory) if memory.gone_at.is_some() => {
                *memory = FindingMemory { since: now, gone_at: None, times: memory.times.saturating_add(1) };
            }
            Some(_) => {}
            None if room => {
                known.insert(key, FindingMemory { since: now, gone_at: None, times: 1 });
            }
            None => {}
        }
    }
}
