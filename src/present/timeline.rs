//! What time adds to the evidence: what senders may still hold and until when, and from when a step is safe.

use std::{collections::BTreeSet, time::Duration};

use super::{
    evidence::{LABEL, VALUE, policy_words},
    text::{Glyph, Page},
    words,
};
use crate::{
    protocol::mta_sts::{Mode, MxPattern, Policy},
    terms::Timestamp,
    verdict::{
        Assessment, Certainty, EnforceCondition, EnforceReadiness, Finding, HeldPolicy, HistoryAssessment,
        PlannedEffect, PlannedMx, SafeToRemove,
    },
};

/// What is known for less than this is one look: it shows what is, and not what was.
const ONE_LOOK: Duration = Duration::from_secs(3600);
/// A finding that stands for less than this is new.
const NEW: Duration = Duration::from_secs(60);
/// More policies than this make the evidence unreadable.
const MOST: usize = 3;
const AS_FAR_AS_SEEN: &str = ", as far as was seen";

/// Since when findings of one code stand, and that they come and go; nothing where that is not known, or where the detail
/// tells a time already.
pub(super) fn since(findings: &[&Finding], now: Timestamp) -> Option<String> {
    if findings.iter().any(|finding| finding.detail.contains(" ago (")) {
        return None;
    }
    let first = findings.iter().filter_map(|finding| finding.since).min()?;
    let alike = findings.iter().all(|finding| finding.since == Some(first));
    let times = findings.iter().map(|finding| finding.times).max().unwrap_or_default();
    let came = match (times > 1, findings.len()) {
        (false, _) => String::new(),
        (true, 1) => format!("it comes and goes, {times} times so far"),
        (true, _) => "they come and go".to_owned(),
    };
    let stood = now.since(first);
    let stands = match alike {
        _ if stood < NEW => String::new(),
        true => format!("for {} (since {})", words::span(stood), words::date(first, now)),
        false => format!("the oldest for {} (since {})", words::span(stood), words::date(first, now)),
    };
    let parts: Vec<String> = [stands, came].into_iter().filter(|part| !part.is_empty()).collect();
    (!parts.is_empty()).then(|| sentence(&parts.join("; ")))
}

/// The same with a capital and a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| format!("{}{}.", first.to_ascii_uppercase(), letters.as_str())).unwrap_or_default()
}

/// Everything that time adds, below the line of the policy.
pub(super) fn all(page: &mut Page, assessment: &Assessment, now: Timestamp) {
    let history = &assessment.history;
    held(page, assessment, now);
    if let Some(safe) = &history.safe_to_remove {
        page.labelled(LABEL, "removal", VALUE, safe.now.then_some(Glyph::Good), &removal(safe, now));
    }
    if let Some(enforce) = &history.enforce {
        readiness(page, assessment, enforce, now);
    }
    planned(page, history, now);
}

/// From when each planned mail host may get mail.
pub(super) fn planned(page: &mut Page, history: &HistoryAssessment, now: Timestamp) {
    for (number, planned) in history.planned.iter().enumerate() {
        let (glyph, text) = planned_host(planned, history, now);
        page.labelled(LABEL, if number == 0 { "planned" } else { "" }, VALUE, Some(glyph), &text);
    }
}

/// Policies in enforce that senders may apply although another one, or none, is served now.
fn held(page: &mut Page, assessment: &Assessment, now: Timestamp) {
    let present = assessment.policy.current.as_deref();
    let apart =
        |held: &&HeldPolicy| held.policy.mode == Mode::Enforce && present.is_none_or(|now| differs(&held.policy, now));
    let apart: Vec<&HeldPolicy> = assessment.history.held.iter().filter(apart).collect();
    for held in apart.iter().take(MOST) {
        let patterns: Vec<&str> = held.policy.mx.iter().map(MxPattern::as_str).collect();
        let until = words::date(held.expires, now);
        let last = if held.current { "last seen" } else { "replaced" };
        let text = format!(
            "senders may still hold until {until}: {} ({}), {last} {}",
            policy_words(&held.policy),
            words::list(&patterns),
            words::ago(held.last, now)
        );
        page.labelled(LABEL, "", VALUE, None, &text);
    }
    if let Some(more) = apart.len().checked_sub(MOST).filter(|more| *more > 0) {
        page.labelled(LABEL, "", VALUE, None, &format!("and {more} more of them"));
    }
    if !apart.is_empty() || present.is_some() {
        return;
    }
    // Without a history, what is in force is all that is known.
    if let Some(held) = &assessment.policy.in_force {
        let since = assessment.policy.last_success_at.map(|at| format!(", last fetched {}", words::ago(at, now)));
        let text = format!("senders may still hold: {}{}", policy_words(held), since.unwrap_or_default());
        page.labelled(LABEL, "", VALUE, None, &text);
    }
}

/// Whether a sender that holds the one does other things than a sender that holds the other.
fn differs(one: &Policy, other: &Policy) -> bool {
    let patterns = |policy: &Policy| -> BTreeSet<MxPattern> { policy.mx.iter().cloned().collect() };
    one.mode != other.mode || patterns(one) != patterns(other)
}

const fn certainty(certainty: Certainty) -> &'static str {
    match certainty {
        Certainty::Certain => "",
        Certainty::AsFarAsSeen => AS_FAR_AS_SEEN,
    }
}

pub(crate) fn removal(safe: &SafeToRemove, now: Timestamp) -> String {
    let known = certainty(safe.certainty);
    if safe.now {
        return format!("safe now{known}: first the record, and its TTL later the policy host");
    }
    if safe.at <= now {
        return "not safe now: the last good look is too old to tell".to_owned();
    }
    let text = format!("safe from {}{known}", words::moment(safe.at, now));
    match safe.in_practice < safe.at {
        true if safe.in_practice <= now => format!("{text}; senders that look daily have learnt of mode none already"),
        true => {
            format!("{text}; senders that look daily learn of mode none by {}", words::moment(safe.in_practice, now))
        }
        false => text,
    }
}

/// Whether a domain is known for longer than one look takes.
pub(crate) fn is_watched(history: &HistoryAssessment, now: Timestamp) -> bool {
    history.known_since.is_some_and(|known| now.since(known) >= ONE_LOOK)
}

fn readiness(page: &mut Page, assessment: &Assessment, enforce: &EnforceReadiness, now: Timestamp) {
    if !is_watched(&assessment.history, now) {
        let text = "readiness cannot be told from one look: it takes two weeks of watching (serve)";
        page.labelled(LABEL, "enforce", VALUE, Some(Glyph::Nothing), text);
        return;
    }
    let required = enforce.conditions.iter().filter(|condition| condition.required);
    let failing = required.clone().filter(|condition| !condition.met).count();
    let since = enforce.since.filter(|_| enforce.ready).map(|since| format!(" since {}", words::date(since, now)));
    if enforce.ready {
        let text = format!("ready{}: it would lose no mail", since.unwrap_or_default());
        page.labelled(LABEL, "enforce", VALUE, Some(Glyph::Good), &text);
    } else {
        let fail = if failing == 1 { "fails" } else { "fail" };
        let text = format!("not ready: {failing} of {} conditions {fail}", required.count());
        page.labelled(LABEL, "enforce", VALUE, Some(Glyph::Warning), &text);
    }
    for condition in enforce.conditions.iter().filter(|condition| !condition.met) {
        let EnforceCondition { name, required, reason, .. } = condition;
        let (glyph, advice) = if *required { (Glyph::Warning, "") } else { (Glyph::Note, " (advice)") };
        page.labelled(LABEL, "", VALUE, Some(glyph), &format!("{name}{advice}: {reason}"));
    }
}

/// From when a planned mail host may get mail.
pub(crate) fn planned_host(planned: &PlannedMx, history: &HistoryAssessment, now: Timestamp) -> (Glyph, String) {
    let host = &planned.host;
    let effect = match planned.effect {
        PlannedEffect::None => "",
        PlannedEffect::Delay => "; until then senders with an older policy deliver to it late",
        PlannedEffect::Loss => "; until then senders with an older policy lose mail to it",
    };
    let Some(certainly) = planned.certainly else {
        return match history.known_since {
            None => (Glyph::Nothing, format!("{host}: not known yet")),
            Some(_) => {
                (Glyph::Warning, format!("{host}: not safe: the policy does not list it, so mail to it is lost"))
            }
        };
    };
    let known = certainty(planned.certainty);
    if certainly <= now {
        return (Glyph::Good, format!("{host}: safe now{known}"));
    }
    let certainly = format!("certainly from {}{known}", words::moment(certainly, now));
    match planned.in_practice {
        Some(at) if at <= now => (Glyph::Good, format!("{host}: safe in practice now, {certainly}{effect}")),
        Some(at) => {
            (Glyph::Warning, format!("{host}: safe in practice from {}, {certainly}{effect}", words::moment(at, now)))
        }
        None => {
            let wanted = "safe in practice a day after every address serves the policy that lists it, under a new id";
            (Glyph::Warning, format!("{host}: {wanted}; {certainly}{effect}"))
        }
    }
}

/// When the last senders forget a policy that is served no more; in the sentence under the verdict.
pub(super) fn forgotten(assessment: &Assessment, now: Timestamp) -> Option<String> {
    let history = &assessment.history;
    if let (Some(first), Some(last)) = (history.protected_until.filter(|first| *first > now), history.cache_expiry) {
        return Some(format!(
            "Unless it comes back, senders begin to forget it in about {} ({}), and none holds it after {}.",
            words::span(first.since(now)),
            words::date(first, now),
            words::date(last, now)
        ));
    }
    let (policy, at) = (assessment.policy.in_force.as_ref()?, assessment.policy.last_success_at?);
    let end = at + policy.max_age.duration();
    (end > now).then(|| {
        format!(
            "Unless it comes back, the last of them forgets it in about {} ({}).",
            words::span(end.since(now)),
            words::date(end, now),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        present::{Look, fixture, human::domain},
        verdict::{Code, Severity, Subject},
    };

    const PLAIN: Look = Look { colour: false, unicode: true, verbose: false };

    #[test]
    fn findings_say_since_when_and_that_they_come_and_go() {
        let about = |standing: &[(u64, u32)]| {
            let findings: Vec<Finding> = standing
                .iter()
                .map(|(hours, times)| Finding {
                    since: Some(fixture::NOW - Duration::from_secs(hours * 3600)),
                    times: *times,
                    ..fixture::finding(Code::MxCname, Severity::Warning, Subject::Mx("mx".into()), "It is so.", "")
                })
                .collect();
            since(&findings.iter().collect::<Vec<_>>(), fixture::NOW)
        };
        let told = |standing: &[(u64, u32)]| about(standing).unwrap();
        assert_eq!(told(&[(72, 1)]), "For 3 days (since 20 Nov).");
        assert_eq!(told(&[(5, 4)]), "For 5 hours (since 23 Nov); it comes and goes, 4 times so far.");
        assert_eq!(told(&[(0, 2)]), "It comes and goes, 2 times so far.");
        assert_eq!(told(&[(72, 1), (24, 3)]), "The oldest for 3 days (since 20 Nov); they come and go.");
        assert_eq!(about(&[(0, 1)]), None, "it is new");
        let mut known = fixture::finding(Code::MxCname, Severity::Warning, Subject::Monitor, "It is so.", "");
        assert_eq!(since(&[&known], fixture::NOW), None, "there is no history");
        known.since = Some(fixture::NOW - Duration::from_secs(7_200));
        known.detail = "It expired 3 days ago (20 Nov).".into();
        assert_eq!(since(&[&known], fixture::NOW), None, "the detail tells it");
    }

    #[test]
    fn the_past_to_the_second() {
        let text = domain(&fixture::moved("example.com"), None, fixture::NOW, Look { verbose: true, ..PLAIN });
        for told in [
            "known since 2026-05-07T20:00:00Z (as-far-as-seen)",
            "held until 2026-11-30T20:00:00Z",
            "in practice 2026-11-24T20:00:00Z",
            "certainly 2026-11-30T20:00:00Z",
        ] {
            assert!(text.contains(told), "{told}: {text}");
        }
    }

    #[test]
    fn a_planned_host_is_told_of_where_all_is_well() {
        let mut assessment = fixture::healthy("example.com");
        assert!(!domain(&assessment, None, fixture::NOW, PLAIN).contains("planned"));
        assessment.history.planned = fixture::moved("example.com").history.planned;
        let text = domain(&assessment, None, fixture::NOW, PLAIN);
        assert!(!text.contains("Evidence") && text.contains("planned   "), "{text}");
    }

    #[test]
    fn one_look_tells_no_readiness() {
        let mut assessment = fixture::almost_ready("example.com");
        assessment.history.known_since = Some(fixture::NOW);
        let text = domain(&assessment, None, fixture::NOW, PLAIN);
        assert!(text.contains("enforce   – readiness cannot be told from one look"), "{text}");
        assert!(!text.contains("mx-covered"), "{text}");
    }
}
