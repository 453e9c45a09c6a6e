//! What only shows over time: changes of the policy, what senders still hold, and what is due.

use std::time::Duration;

use super::{
    Raised,
    whose::{for_policy, new_id},
};
use crate::{
    protocol::mta_sts::{Certainty, Mode, Pairing, Policy, SENDER_REFRESH, Version},
    terms::{MxHost, PolicyId},
    verdict::{Code, HistoryAssessment, MxAssessment, Severity, Subject, case::Case, outlook::stale_id, words},
};

/// How long a step back from enforce, and an id that was published out of order, are told.
const TOLD_FOR: Duration = Duration::from_secs(7 * 86_400);
/// How long a domain has to be ready for enforce before that is said: one good hour is no promise.
const READY_FOR: Duration = Duration::from_secs(86_400);
/// How long a TLSA record may match nothing before it counts as left behind: rollovers are prepared weeks ahead.
const STALE_AFTER: Duration = Duration::from_secs(30 * 86_400);
/// More names than this make a detail unreadable.
const MOST: usize = 4;

pub(super) fn rules(case: &Case<'_>, outlook: &HistoryAssessment, raised: &mut Raised) {
    vanished(case, raised);
    id_not_changed(case, raised);
    id_changed_only(case, raised);
    downgraded(case, raised);
    testing_long(case, raised);
    ready(case, outlook, raised);
    for mx in case.mx() {
        cached_policies(case, raised, mx);
        stale_records(case, raised, mx);
    }
}

fn domain(case: &Case<'_>) -> Subject {
    Subject::Domain(case.domain.clone())
}

/// An error while a version in enforce is alive, information where only testing is; nothing after mode none.
fn vanished(case: &Case<'_>, raised: &mut Raised) {
    if !case.observation.domain.sts_record.answered() || case.record.usable() {
        return;
    }
    let ledger = &case.history.domain.ledger;
    if ledger.current().is_none_or(|version| version.policy.mode == Mode::None) {
        return;
    }
    let expires = |mode: Mode| {
        let held = ledger.alive(case.now).filter(|version| version.is_announced() && version.policy.mode == mode);
        held.map(|version| ledger.latest_expiry(version)).max()
    };
    let name = case.domain.sts_record_name();
    let (severity, until, what) = match (expires(Mode::Enforce), expires(Mode::Testing)) {
        (Some(until), _) => (Severity::Error, until, "enforce it"),
        (None, Some(until)) => (Severity::Info, until, "report by it"),
        _ => return,
    };
    raised.raise_as(
        case,
        Code::StsRecordVanished,
        severity,
        domain(case),
        format!(
            "There is no usable MTA-STS record at {name} any more, and senders that hold the policy may {what} until {}; no new one \
             finds it.",
            words::day(until)
        ),
        format!(
            "Publish the record again. To withdraw a policy, serve it in mode none first, and {}",
            new_id(case)
        ),
    );
}

fn id_not_changed(case: &Case<'_>, raised: &mut Raised) {
    let Some((id, older)) = stale_id(case) else { return };
    raised.raise(
        case,
        Code::StsIdNotChanged,
        domain(case),
        format!(
            "The policy changed and its id is still {id}, under which senders hold the one before ({}): they may keep that without end.",
            policy_words(&older.policy)
        ),
        format!("Leave the policy as it is, and {}", new_id(case)),
    );
}

/// An id without a new policy, told for a while.
fn id_changed_only(case: &Case<'_>, raised: &mut Raised) {
    let ledger = &case.history.domain.ledger;
    let (Some(id), Some(current)) = (ledger.announced(), ledger.current()) else { return };
    let grace = ledger.record_ttl(case.now) + case.context.interval * 2 + case.context.thresholds.publication_grace;
    // The policy changed under an id that had been announced before it, for longer than a publication takes.
    let early = ledger.earlier().iter().rev().find_map(|older| {
        let pairing = changed_only(case, older, id)?;
        let lasted = pairing.last.since(pairing.first) > grace;
        (lasted && current.was_paired_with(id) && current.since > pairing.first).then_some(current.since)
    });
    if early.is_some_and(|since| case.now.since(since) < TOLD_FOR) {
        raised.raise_as(
            case,
            Code::StsIdChangedOnly,
            Severity::Warning,
            domain(case),
            format!(
                "The id {id} was announced before its policy was served: senders that looked in between hold the older policy under \
                 the new id."
            ),
            format!("Serve the policy first and announce it then. Now {}", new_id(case)),
        );
        return;
    }
    let Some(pairing) = changed_only(case, current, id) else { return };
    let stood = case.now.since(pairing.first);
    if stood > grace && stood < TOLD_FOR + grace {
        raised.raise_as(
            case,
            Code::StsIdChangedOnly,
            Severity::Info,
            domain(case),
            format!("The id became {id} {}, and the policy is the same as before.", words::ago(pairing.first, case.now)),
            "Nothing to do if it was for nothing. If a new policy was meant, serve it, then announce it under another new id.",
        );
    }
}

/// The pairing of a version with an id that came although it had an id of its own already. An id that it shares with another
/// version is none: there a new one is due.
fn changed_only<'v>(case: &Case<'_>, version: &'v Version, id: &PolicyId) -> Option<&'v Pairing> {
    let pairing = version.ids.iter().find(|pairing| pairing.seen && pairing.id == *id)?;
    let versions = case.history.domain.ledger.versions();
    let shared = |id: &PolicyId| versions.iter().any(|other| other != version && other.was_paired_with(id));
    let before =
        |other: &&Pairing| other.seen && other.id != *id && other.first < pairing.first && other.last >= version.since;
    version.ids.iter().filter(before).any(|other| !shared(&other.id)).then_some(pairing)
}

fn downgraded(case: &Case<'_>, raised: &mut Raised) {
    let history = &case.history.domain;
    let (Some(mode), Some(at)) = (history.mode, history.left_enforce_at) else { return };
    let wanted = case.context.expectation.and_then(|expectation| expectation.mode);
    if mode.mode == Mode::Enforce
        || case.now.since(at) >= TOLD_FOR
        || wanted.is_some_and(|wanted| wanted.as_str() == mode.mode.as_str())
    {
        return;
    }
    raised.raise(
        case,
        Code::StsPolicyDowngraded,
        domain(case),
        format!(
            "The policy went from mode enforce to mode {} {}: new senders no longer refuse what fails.",
            mode.mode,
            words::ago(at, case.now)
        ),
        format!(
            "If it was meant, set expect.mode to {} for this domain. If not: {}",
            mode.mode,
            for_policy(case, &format!("Serve the policy in mode enforce again, and {}", new_id(case)))
        ),
    );
}

fn testing_long(case: &Case<'_>, raised: &mut Raised) {
    let Some(mode) = case.history.domain.mode.filter(|mode| mode.mode == Mode::Testing) else { return };
    let still = case.in_force.as_ref().is_some_and(|policy| policy.mode == Mode::Testing);
    if !still || case.now.since(mode.since) <= case.context.thresholds.testing_long {
        return;
    }
    raised.raise(
        case,
        Code::StsPolicyTestingLong,
        domain(case),
        format!(
            "The policy has been in mode testing for {}: it protects nobody.",
            words::length(case.now.since(mode.since))
        ),
        for_policy(
            case,
            &format!("See what reports and this monitor still show; then set \"mode: enforce\", and {}", new_id(case)),
        ),
    );
}

/// Whether everything has said for long enough that enforce loses no mail.
pub(super) fn is_ready(case: &Case<'_>, outlook: &HistoryAssessment) -> bool {
    let enforce = outlook.enforce.as_ref().filter(|enforce| enforce.ready);
    enforce.and_then(|enforce| enforce.since).is_some_and(|since| case.now.since(since) >= READY_FOR)
}

fn ready(case: &Case<'_>, outlook: &HistoryAssessment, raised: &mut Raised) {
    if !is_ready(case, outlook) {
        return;
    }
    raised.raise(
        case,
        Code::StsPolicyReadyForEnforce,
        domain(case),
        "Everything that was seen says that mode enforce would lose no mail.",
        for_policy(case, &format!("Set \"mode: enforce\" in the policy, then {}", new_id(case))),
    );
}

/// Older policies in enforce that senders may hold, and that refuse the host.
fn cached_policies(case: &Case<'_>, raised: &mut Raised, mx: &MxAssessment) {
    let Some(host) = &mx.host else { return };
    let ledger = &case.history.domain.ledger;
    let Some(current) = ledger.current() else { return };
    let refuses = |version: &&Version| *version != current && version.is_announced() && !version.policy.matches(host);
    let Some(until) = ledger.enforced(case.now).filter(refuses).map(|version| ledger.latest_expiry(version)).max()
    else {
        return;
    };
    let learnt = current.since + ledger.record_ttl(case.now) + SENDER_REFRESH + ledger.delay();
    let lazy = case.now >= learnt;
    raised.raise_as(
        case,
        Code::MxNotInCachedPolicy,
        if lazy { Severity::Info } else { Severity::Warning },
        Subject::Mx(mx.target.clone()),
        match lazy {
            false => format!(
                "{host} is not listed in an earlier policy in enforce, which senders may hold until {}; most learn of the present one \
                 by {}.",
                words::day(until),
                words::day(learnt)
            ),
            true => format!(
                "{host} is not listed in an earlier policy in enforce, which senders that look rarely may hold until {}; they look \
                 again before they give up.",
                words::day(until)
            ),
        },
        remedy(case, host),
    );
}

fn remedy(case: &Case<'_>, host: &MxHost) -> String {
    match case.in_force.as_ref().is_some_and(|policy| policy.matches(host)) {
        true => "Keep the old mail hosts in service until then, and leave the present policy where senders find it."
            .to_owned(),
        false => for_policy(case, &format!("Add the line \"mx: {host}\" to the policy, then {}", new_id(case))),
    }
}

fn stale_records(case: &Case<'_>, raised: &mut Raised, mx: &MxAssessment) {
    let Some(history) = mx.host.as_ref().and_then(|host| case.history.hosts.get(host)) else { return };
    let left_behind = history.tlsa.iter().filter_map(|known| {
        let since = known.unmatched_since.filter(|_| known.published)?;
        // What was compared last long ago tells nothing of today.
        let compared = known.compared_at.is_some_and(|at| case.now.since(at) < SENDER_REFRESH);
        (compared && case.now.since(since) > STALE_AFTER).then(|| super::dane::short(&known.record))
    });
    let stale: Vec<String> = left_behind.collect();
    if stale.is_empty() {
        return;
    }
    raised.raise(
        case,
        Code::DaneRecordStale,
        Subject::Mx(mx.target.clone()),
        format!(
            "TLSA records of {} have matched no certificate for more than {}: {}.",
            mx.target,
            words::length(STALE_AFTER),
            words::list(&stale, MOST)
        ),
        super::whose::for_host(
            case,
            &mx.target,
            "Take them out of the DNS, unless they belong to a key that is kept in reserve.",
        ),
    );
}

/// Successive answers that differ: a version comes back that another one had replaced, again and again.
pub(super) fn successive_answers(case: &Case<'_>, raised: &mut Raised) {
    let ledger = &case.history.domain.ledger;
    let (Some(at), Some(current), Some(other)) =
        (ledger.unsteady_at(case.now), ledger.current(), ledger.earlier().last())
    else {
        return;
    };
    raised.raise(
        case,
        Code::StsPolicyDiverges,
        Subject::PolicyHost(case.policy.host.host.clone()),
        format!(
            "Successive answers differ: now {}, now {}, last {}. Which one a sender gets is chance.",
            policy_words(&current.policy),
            policy_words(&other.policy),
            words::ago(at, case.now)
        ),
        for_policy(case, "Bring every server, or every node of the CDN, to the same file."),
    );
}

/// When record and policy of a withdrawn policy may go.
pub(super) fn removal_words(outlook: &HistoryAssessment) -> String {
    let Some(safe) = &outlook.safe_to_remove else {
        return "Nothing to do while the policy is being withdrawn: keep record and policy until older policies have expired at the \
                senders. They learn of it once every address serves mode none under a new id."
            .to_owned();
    };
    let known = match safe.certainty {
        Certainty::Certain => "",
        Certainty::AsFarAsSeen => ", as far as was seen from here",
    };
    match safe.now {
        true => format!(
            "The policy may be removed{known}: delete the TXT record first, keep the policy host for the TTL of the record, then \
             delete it."
        ),
        false => format!(
            "Keep record and policy until {}: until then senders may hold an older policy in enforce{known}. Then delete the TXT \
             record first, and the policy host after the TTL of the record.",
            words::minute(safe.at)
        ),
    }
}

fn policy_words(policy: &Policy) -> String {
    format!("mode {}, max_age {}, {}", policy.mode, policy.max_age, words::list(&policy.mx, MOST))
}
