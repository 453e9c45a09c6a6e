//! What `--verbose` adds beside the transcript: the exact values behind the verdict.

use super::text::{Page, Role};
use crate::{
    terms::{PolicyId, Timestamp},
    verdict::{Assessment, HeldPolicy, HistoryAssessment, SenderState},
};

const TITLE: usize = 2;
const LABEL: usize = 4;
const VALUE: usize = 16;

/// What the verdict rests on, exactly.
pub(super) fn all(page: &mut Page, assessment: &Assessment) {
    senders(page, assessment);
    policy(page, assessment);
    history(page, &assessment.history);
}

fn title(page: &mut Page, text: &str) {
    page.blank();
    page.paragraph(TITLE, Role::Strong, text);
}

fn field(page: &mut Page, label: &str, text: &str) {
    page.labelled(LABEL, label, VALUE, None, text);
}

fn optional(page: &mut Page, label: &str, value: Option<impl std::fmt::Display>) {
    if let Some(value) = value {
        field(page, label, &value.to_string());
    }
}

fn senders(page: &mut Page, assessment: &Assessment) {
    title(page, "Senders");
    let words = |sender: &SenderState| {
        let paths = sender.paths;
        format!(
            "{} ({}); addresses: {} secure, {} open, {} refused, {} cannot be told",
            sender.state, sender.reason, paths.secure, paths.open, paths.refused, paths.cannot_tell
        )
    };
    field(page, "MTA-STS", &words(&assessment.senders.sts));
    field(page, "DANE", &words(&assessment.senders.dane));
    field(page, "both", &words(&assessment.senders.both));
    field(page, "others", &words(&assessment.senders.opportunistic));
    field(page, "checked at", &assessment.checked_at.to_string());
    let dnssec = assessment.dnssec;
    let text = format!("MX {}, MTA-STS {}, TLSRPT {}", dnssec.mx, dnssec.sts, dnssec.tlsrpt);
    field(page, "DNSSEC", &text);
}

fn policy(page: &mut Page, assessment: &Assessment) {
    let policy = &assessment.policy;
    if policy.last_success_at.is_none() && policy.result_type.is_none() {
        return;
    }
    title(page, "Policy");
    optional(page, "fetched", policy.last_success_at);
    optional(page, "result type", policy.result_type);
}

/// What follows from the past, to the second.
fn history(page: &mut Page, history: &HistoryAssessment) {
    let (Some(known), Some(certainty)) = (history.known_since, history.certainty) else { return };
    title(page, "What senders may hold");
    field(page, "known since", &format!("{known} ({})", certainty.as_str()));
    for held in &history.held {
        let ids: Vec<&str> = held.ids.iter().map(PolicyId::as_str).collect();
        let (mode, age, HeldPolicy { first, last, expires, .. }) = (held.policy.mode, held.policy.max_age, held);
        field(page, "policy", &format!("{mode}, max_age {age}, id {}", ids.join(", ")));
        field(page, "", &format!("seen from {first} to {last}"));
        field(page, "", &format!("held until {expires}"));
    }
    optional(page, "lost from", history.protected_until);
    optional(page, "forgotten", history.cache_expiry);
    optional(page, "removal", history.safe_to_remove.map(|safe| safe.at));
    for planned in &history.planned {
        let at = |time: Option<Timestamp>| time.map_or_else(|| "not yet".to_owned(), |time| time.to_string());
        let (practice, certain) = (at(planned.in_practice), at(planned.certainly));
        field(page, "planned", planned.host.as_str());
        field(page, "", &format!("in practice {practice}"));
        field(page, "", &format!("certainly {certain}"));
    }
}
