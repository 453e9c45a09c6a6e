//! The plan: what to do when, with dates.

use super::{TEXT, heading};
use crate::{
    present::{text::Page, words},
    protocol::mta_sts::Mode,
    terms::Timestamp,
    verdict::suggest::{LASTING_AGE, PolicySuggestion},
};

pub(super) fn plan(page: &mut Page, suggestion: &PolicySuggestion) {
    let steps = steps(suggestion);
    if steps.is_empty() {
        return;
    }
    heading(page, "The plan");
    /// Where the text begins: the longest word for a time is "16 Jan 2027, 20:00 UTC".
    const COLUMN: usize = 18;
    for (when, text) in steps {
        page.labelled(TEXT, &when, COLUMN, None, &text);
    }
}

/// What to do when.
pub(super) fn steps(suggestion: &PolicySuggestion) -> Vec<(String, String)> {
    let (domain, plan) = (&suggestion.domain, &suggestion.plan);
    let now = plan.publish;
    let day = |at: Timestamp| words::date(at, now);
    let Some(policy) = &suggestion.policy else { return Vec::new() };
    let mut steps: Vec<(String, String)> = Vec::new();
    let mut step = |when: &str, text: String| steps.push((when.to_owned(), text));
    if suggestion.has_to_wait() {
        step(
            "first",
            match policy.mode {
                Mode::Enforce => "Mend what stands above. In enforce senders do not deliver to those hosts.".to_owned(),
                _ => "Mend what stands above. Testing can begin meanwhile: it loses no mail.".to_owned(),
            },
        );
    }
    if !suggestion.unchanged {
        step(
            "now",
            "Publish the policy first, and the record with its new id after that: the id tells senders that the new \
                     policy can be fetched (RFC 8461 section 8.1)."
                .to_owned(),
        );
        step("then", format!("See that it works: smtptls-exporter check {domain}"));
    }
    match policy.mode {
        Mode::None => {
            let until = now + plan.held_for;
            if plan.held_for.is_zero() {
                step(
                    "tomorrow",
                    "No sender is known to hold a policy in enforce: take the record away, and the policy host when \
                                  its TTL is over."
                        .to_owned(),
                );
            } else {
                step(
                    &format!("until {}", day(until)),
                    format!(
                        "Leave record and policy as they are: so long a sender may hold the old policy in enforce ({} and the TTL of \
                     the record). Whoever held an even longer one before is not known here.",
                        words::span(plan.held_for)
                    ),
                );
                step("after that", "Take the record away, and the policy host when its TTL is over.".to_owned());
            }
            return steps;
        }
        Mode::Testing => {
            if let Some(from) = plan.enforce_from {
                step(
                    &format!("until {}", day(from)),
                    "Let it stand, and read the reports that senders send once a day: each failure \
                     in them is mail that enforce would refuse. Mode, patterns and MX records should stay the same."
                        .to_owned(),
                );
                step(
                    &day(from),
                    format!(
                        "Ask for the policy in enforce: smtptls-exporter policy suggest {domain} --mode enforce. With --state.dir the \
                     monitor's memory decides whether all conditions hold."
                    ),
                );
            }
        }
        Mode::Enforce => {}
    }
    if let Some(from) = plan.lengthen_from {
        step(
            &day(from),
            format!(
                "If nothing was refused for a week, let senders keep the policy for four weeks: smtptls-exporter policy suggest \
                 {domain} --mode enforce --max-age {LASTING_AGE}. The longer they keep it, the better it protects those who write \
                 seldom."
            ),
        );
    }
    step(
        "new mail host",
        format!(
            "List it in the policy and change the id; let it take mail from {} on at the earliest, and keep the old hosts for as long as \
         max_age.",
            words::moment(plan.known_by, now)
        ),
    );
    step(
        "to leave",
        format!(
            "Never just delete: publish mode none (smtptls-exporter policy suggest {domain} --mode none) and wait {}, so that no \
         sender holds the old policy any more.",
            words::span(plan.held_for)
        ),
    );
    steps
}
