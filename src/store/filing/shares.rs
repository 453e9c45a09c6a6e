//! What a report says of one domain, ready to be compared.

use std::collections::BTreeSet;

use super::{LARGEST_REPORT, Mark};
use crate::{
    facts::Reporter,
    protocol::tls_rpt::PolicyType,
    store::{IncomingReport, ReportBatch},
    terms::{PolicyDomain, Timestamp},
    verdict::{SessionTally, policy_print, session_tally},
};

const DAY_SECONDS: i64 = 86_400;

/// What a report says of one domain.
#[derive(Clone, Debug)]
pub(in crate::store) struct Share {
    /// The place of the report in the batch, and of the share in the report.
    pub(in crate::store) place: (usize, usize),
    pub(super) domain: PolicyDomain,
    pub(super) day: i64,
    /// The name that counts.
    pub(super) reporter: String,
    pub(super) key: Mark,
    pub(super) content: Mark,
    pub(super) tally: SessionTally,
    pub(super) policies: BTreeSet<u64>,
    pub(super) arrived_at: Timestamp,
    /// Not later than the arrival: no report tells of what is to come.
    pub(super) end: Option<Timestamp>,
    pub(super) late: bool,
}

/// The shares of each report of a batch; nothing for a report that is too large to be kept.
pub(in crate::store) fn shares(batch: &ReportBatch) -> Vec<Option<Vec<Share>>> {
    batch.reports.iter().enumerate().map(|(place, incoming)| shares_of(place, incoming)).collect()
}

fn shares_of(place: usize, incoming: &IncomingReport) -> Option<Vec<Share>> {
    let IncomingReport { report, provenance, .. } = incoming;
    let reporter = provenance.reporter.as_str();
    let arrived_at = provenance.arrived_at;
    let today = day(arrived_at);
    let mut whole = 0_u64;
    let mut shares = Vec::with_capacity(incoming.shares.len());
    for (number, (domain, policies)) in incoming.shares.iter().enumerate() {
        let (content, size) = Mark::of_content(report, domain, policies);
        whole = whole.saturating_add(size);
        let sts = policies.iter().filter(|policy| policy.policy_type == PolicyType::Sts);
        shares.push(Share {
            place: (place, number),
            domain: domain.clone(),
            // A day that is still to come would never be forgotten in time.
            day: report.begin.map(day).filter(|begin| *begin <= today).unwrap_or(today),
            reporter: reporter.to_owned(),
            key: Mark::of_key(report, reporter, domain, content),
            content,
            tally: session_tally(policies),
            policies: sts.filter_map(|policy| policy_print(&policy.policy_string)).collect(),
            arrived_at,
            end: report.end.map(|end| end.min(arrived_at)),
            late: incoming.late,
        });
    }
    (whole <= LARGEST_REPORT).then_some(shares)
}

impl Share {
    pub(in crate::store) fn content(&self) -> Mark {
        self.content
    }

    pub(in crate::store) fn key(&self) -> Mark {
        self.key
    }

    pub(in crate::store) fn day(&self) -> (&PolicyDomain, i64) {
        (&self.domain, self.day)
    }

    pub(in crate::store) fn is_proven(&self) -> bool {
        self.reporter != Reporter::UNVERIFIED
    }
}

fn day(time: Timestamp) -> i64 {
    time.unix_seconds().div_euclid(DAY_SECONDS)
}
