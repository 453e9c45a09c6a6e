//! What follows from what was seen over time: what senders may hold, and from when something is safe.

use std::sync::Arc;

use super::{
    EnforceReadiness, SeenMode, Tally,
    case::{Case, View},
    readiness::readiness,
};
use crate::{
    protocol::mta_sts::{Certainty, Ledger, Mode, Policy, SENDER_REFRESH, Version},
    terms::{MxHost, PolicyId, Timestamp},
};

/// What follows from what was seen of a domain over time.
#[derive(Clone, Debug, Default)]
pub struct HistoryAssessment {
    /// The first good observation: what was before is not known. Nothing before it.
    pub known_since: Option<Timestamp>,
    /// Latest expiry of any policy in enforce in a conforming sender's cache; nothing where none was ever seen.
    pub cache_expiry: Option<Timestamp>,
    /// Earliest loss of the protection, once nothing renews the policy any more; nothing unless the last policy is in enforce
    /// and can be held.
    pub protected_until: Option<Timestamp>,
    /// When record and policy may go; nothing unless the procedure of removal holds.
    pub safe_to_remove: Option<SafeToRemove>,
    /// The policy changed, the id did not, and the grace is over; nothing where no policy is known.
    pub id_stale: Option<bool>,
    /// The mode of the last usable policy, and since when.
    pub mode: Option<SeenMode>,
    /// How much [`cache_expiry`](Self::cache_expiry) and what follows from it are worth; nothing before the first good
    /// observation.
    pub certainty: Option<Certainty>,
    /// Every policy that a conforming sender may hold, newest first, the current one among them.
    pub held: Vec<HeldPolicy>,
    /// Changes of the record.
    pub record_changes: Tally,
    /// Changes of the id.
    pub id_changes: Tally,
    /// Changes of the policy by meaning.
    pub policy_changes: Tally,
    /// Changes of the MX records.
    pub mx_changes: Tally,
    /// Changes of what senders can do.
    pub delivery_changes: Tally,
    /// Whether enforce would lose mail; nothing unless the policy is in mode testing.
    pub enforce: Option<EnforceReadiness>,
    /// From when the planned mail hosts may get mail.
    pub planned: Vec<PlannedMx>,
}

/// A policy that a conforming sender may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldPolicy {
    /// What it says.
    pub policy: Arc<Policy>,
    /// The ids that it was seen under.
    pub ids: Vec<PolicyId>,
    /// The first observation of it.
    pub first: Timestamp,
    /// The last one.
    pub last: Timestamp,
    /// It is the last usable policy.
    pub current: bool,
    /// No conforming sender applies it from then on.
    pub expires: Timestamp,
}

/// When a policy in mode none and its record may be taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SafeToRemove {
    /// No sender holds an older policy in enforce from then on, and none loses mail.
    pub at: Timestamp,
    /// When senders that refresh daily have learnt of mode none.
    pub in_practice: Timestamp,
    /// No sender holds a policy in testing either from then on: none reports failures.
    pub quiet: Timestamp,
    /// What [`at`](Self::at) is worth.
    pub certainty: Certainty,
    /// The latest good observation is young enough to say that it is safe now, and the time has come.
    pub now: bool,
}

/// A mail host that is to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedMx {
    /// Which.
    pub host: MxHost,
    /// From when on senders that refresh daily deliver to it; nothing while the current policy refuses it, or it was not seen at
    /// every address under a new id yet.
    pub in_practice: Option<Timestamp>,
    /// From when on no conforming sender refuses it; nothing while the current policy does.
    pub certainly: Option<Timestamp>,
    /// What [`certainly`](Self::certainly) is worth.
    pub certainty: Certainty,
    /// What senders with an older policy do now, were it an MX.
    pub effect: PlannedEffect,
}

/// What happens to mail for a planned host from senders with an older policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PlannedEffect {
    /// Nothing: no sender refuses the host.
    None,
    /// They look for a newer policy before they give up, and find one that admits the host: the mail is late.
    Delay,
    /// They find none that admits it: the mail is lost.
    Loss,
}

impl PlannedEffect {
    /// The word of JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Delay => "delay",
            Self::Loss => "loss",
        }
    }
}

pub(crate) fn history_assessment(case: &Case<'_>) -> HistoryAssessment {
    let (history, now) = (&case.history.domain, case.now);
    let ledger = &history.ledger;
    let held = |version: &Version| HeldPolicy {
        policy: Arc::clone(&version.policy),
        ids: version.ids.iter().filter(|pairing| pairing.seen).map(|pairing| pairing.id.clone()).collect(),
        first: version.first,
        last: version.last,
        current: ledger.current() == Some(version),
        expires: ledger.latest_expiry(version),
    };
    HistoryAssessment {
        known_since: ledger.started_at(),
        cache_expiry: ledger.cache_expiry(),
        protected_until: ledger.protected_until(now),
        safe_to_remove: safe_to_remove(case),
        id_stale: ledger.current().map(|_| stale_id(case).is_some()),
        mode: history.mode,
        certainty: ledger.started_at().map(|_| ledger.certainty(now)),
        held: ledger.alive(now).map(held).collect(),
        record_changes: history.record_changes,
        id_changes: history.id_changes,
        policy_changes: history.policy_changes,
        mx_changes: history.mx_changes,
        delivery_changes: history.delivery_changes,
        enforce: readiness(case),
        planned: case.context.planned_mx.iter().map(|host| planned(case, host)).collect(),
    }
}

/// The id under which senders may keep an older policy without end, and that policy.
pub(crate) fn stale_id<'a>(case: &Case<'a>) -> Option<(&'a PolicyId, &'a Version)> {
    let patience = case.context.interval * 2 + case.context.thresholds.publication_grace;
    case.history.domain.ledger.stale_id(case.now, patience)
}

fn safe_to_remove(case: &Case<'_>) -> Option<SafeToRemove> {
    let (ledger, now) = (&case.history.domain.ledger, case.now);
    let since = ledger.withdrawn_since()?;
    // The present observation, which may have failed, has to show a valid record too.
    if case.announced() && !case.record.valid() {
        return None;
    }
    let expiry = ledger.cache_expiry().unwrap_or(since).max(since);
    Some(SafeToRemove {
        at: expiry,
        in_practice: since + ledger.record_ttl(now) + SENDER_REFRESH * 2 + ledger.delay(),
        quiet: ledger.expiry_of(|policy| policy.mode != Mode::None).unwrap_or(since).max(since),
        certainty: ledger.certainty(expiry.max(now)),
        now: now >= expiry && is_fresh(case, ledger),
    })
}

/// Whether the latest good observation still speaks for the present.
fn is_fresh(case: &Case<'_>, ledger: &Ledger) -> bool {
    ledger.good_at().is_some_and(|good| case.now.since(good) < case.context.interval * 2)
}

fn planned(case: &Case<'_>, host: &MxHost) -> PlannedMx {
    let (ledger, now) = (&case.history.domain.ledger, case.now);
    let admits = |policy: &Policy| policy.mode != Mode::Enforce || policy.matches(host);
    let current = ledger.alive(now).find(|version| Some(*version) == ledger.current());
    let admitted = current.is_none_or(|version| admits(&version.policy));
    // With nothing in enforce that refuses it, it was safe from the first look on.
    let certainly = ledger.admitted_certainly(host).or_else(|| ledger.started_at()).filter(|_| admitted);
    let discovered = match &case.new_view {
        View::Policy(Some(policy)) => admits(policy),
        _ => false,
    };
    let refused = ledger.enforced(now).any(|version| !version.policy.matches(host));
    PlannedMx {
        host: host.clone(),
        in_practice: ledger.admitted_in_practice(host, now).filter(|_| admitted),
        certainty: ledger.certainty(certainly.unwrap_or(now).max(now)),
        effect: match refused {
            false => PlannedEffect::None,
            true if discovered => PlannedEffect::Delay,
            true => PlannedEffect::Loss,
        },
        certainly,
    }
}
