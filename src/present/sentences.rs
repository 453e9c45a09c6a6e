//! What happens to mail, and for whom, in one to three sentences.

use super::{
    outline::{Ways, if_enforced, ways},
    words,
};
use crate::{
    protocol::mta_sts::Mode,
    terms::Timestamp,
    verdict::{Assessment, Code, Reason, Severity, StarttlsState, State},
};

/// The sentences under the verdict.
pub(super) fn sentences(assessment: &Assessment, now: Timestamp) -> Vec<String> {
    match assessment.delivery {
        State::NoMail => {
            vec!["The domain says that it takes no mail (a null MX): senders return mail to it at once.".to_owned()]
        }
        State::Unknown => unknown(assessment),
        State::Blocked => blocked(assessment),
        State::Unprotected => unprotected(assessment),
        State::Protected => protected(assessment),
        State::Partial => partial(assessment, now),
    }
}

fn has(assessment: &Assessment, code: Code) -> bool {
    assessment.findings.iter().any(|finding| finding.code == code)
}

/// The mode that senders apply.
fn mode(assessment: &Assessment) -> Option<Mode> {
    assessment.policy.in_force.as_ref().map(|policy| policy.mode)
}

/// `is` or `are`.
const fn is(names: &[String]) -> &'static str {
    if names.len() == 1 { "is" } else { "are" }
}

fn unknown(assessment: &Assessment) -> Vec<String> {
    if assessment.own_side {
        return vec![
            "What happens to mail is not known: the check failed on this side, not at the domain (see \"not seen\" below)."
                .to_owned(),
        ];
    }
    vec!["What happens to mail is not known: no mail host could be judged from here.".to_owned()]
}

fn blocked(assessment: &Assessment) -> Vec<String> {
    if assessment.senders.opportunistic.state == State::Blocked {
        let what = if has(assessment, Code::DomainNonexistent) {
            "The domain does not exist: all mail to it is returned."
        } else if has(assessment, Code::MxNone) {
            "The domain has neither a mail host (MX) nor an address: all mail to it is returned."
        } else if !assessment.mx_lookup_success {
            "The MX records cannot be looked up: mail waits at the senders and is returned after days."
        } else {
            "No mail host can be reached: mail from everybody waits at the senders and is returned after days."
        };
        return vec![what.to_owned()];
    }
    let who = if assessment.policy.fetch_success == Some(true) {
        "Senders that enforce MTA-STS (Gmail, Outlook and others)"
    } else {
        "Senders that enforce MTA-STS (Gmail, Outlook and others) and hold the policy from before"
    };
    vec![
        format!("{who} deliver nothing: {}.", why_refused(assessment)),
        "Their mail waits and is returned after days. Senders that enforce nothing still deliver.".to_owned(),
    ]
}

/// Why an enforcing sender refuses every host, as far as one reason covers all.
fn why_refused(assessment: &Assessment) -> &'static str {
    let mut paths =
        assessment.mx.iter().flat_map(|mx| mx.addresses.iter().map(move |address| (mx, address))).peekable();
    if paths.peek().is_none() {
        return "no mail host passes the checks that the policy asks for";
    }
    let all: Vec<_> = paths.collect();
    if all.iter().all(|(mx, _)| mx.in_policy == Some(false)) {
        "the policy covers none of the mail hosts"
    } else if all.iter().all(|(_, address)| address.path.starttls == Some(StarttlsState::NotOffered)) {
        "the policy asks for TLS, and no mail host offers it"
    } else if all.iter().all(|(_, address)| address.path.certificate.as_ref().is_some_and(|c| !c.verified())) {
        "the policy asks for a valid certificate, and no mail host has one"
    } else {
        "no mail host passes the checks that the policy asks for"
    }
}

fn unprotected(assessment: &Assessment) -> Vec<String> {
    let mut sentences = match mode(assessment) {
        Some(Mode::Testing) => vec![
            "Mail arrives, but is not protected: the MTA-STS policy is only in testing, so senders report failures to you \
             and deliver all the same."
                .to_owned(),
            rehearsal(assessment),
        ],
        Some(Mode::None) => {
            vec!["Mail arrives, but is not protected: the MTA-STS policy is switched off (mode none).".to_owned()]
        }
        Some(Mode::Enforce) => {
            vec!["Mail arrives, but is not protected: no mail host is protected by the MTA-STS policy.".to_owned()]
        }
        None if assessment.sts_record.present == Some(true) => vec![
            "Mail arrives, but is not protected: an MTA-STS policy is announced, and senders cannot use it.".to_owned(),
        ],
        None if has(assessment, Code::StsPolicyUnused) => vec![
            "Mail arrives, but is not protected: an MTA-STS policy is served, and no record announces it.".to_owned(),
        ],
        None if assessment.sts_record.present == Some(false) => vec![
            "Mail arrives, but nothing makes senders insist on TLS: MTA-STS is not published.".to_owned(),
            "An attacker on the network can read mail on its way, or steer it to another host.".to_owned(),
        ],
        None => vec!["Mail arrives; no protection was seen.".to_owned()],
    };
    sentences.retain(|sentence| !sentence.is_empty());
    let ways = ways(assessment, |_, address| address.opportunistic);
    if !ways.refused.is_empty() {
        sentences.push(unreachable(&ways));
    }
    sentences
}

/// What would happen if a policy in testing were enforced today.
fn rehearsal(assessment: &Assessment) -> String {
    let ways = ways(assessment, if_enforced);
    if ways.refused.is_empty() {
        let unseen = assessment.senders.sts.paths.cannot_tell;
        let known = assessment.senders.sts.paths.known();
        return if unseen == 0 && known > 0 {
            "Every mail host would pass if it were enforced today.".to_owned()
        } else {
            String::new()
        };
    }
    format!("If it were enforced today, senders would refuse {}.", words::list(&ways.refused))
}

fn protected(assessment: &Assessment) -> Vec<String> {
    let paths = assessment.senders.sts.paths;
    let mut sentences = vec![
        "Senders that enforce MTA-STS (Gmail, Outlook and others) deliver over verified TLS only, and every mail host \
         passes."
            .to_owned(),
    ];
    if paths.cannot_tell > 0 {
        let (unseen, total) = (paths.cannot_tell, words::addresses(paths.total()));
        sentences = vec![
            "Senders that enforce MTA-STS (Gmail, Outlook and others) deliver over verified TLS only.".to_owned(),
            format!("Every mail host that was seen passes; {unseen} of {total} could not be seen from here."),
        ];
    }
    sentences
}

fn partial(assessment: &Assessment, now: Timestamp) -> Vec<String> {
    let sts = assessment.senders.sts;
    if sts.reason == Reason::ViewsDiffer {
        return differing_views(assessment, now);
    }
    let enforcing = ways(assessment, |_, address| address.sts);
    if enforcing.refused.is_empty() {
        return vec![if sts.reason == Reason::Exposed {
            "Not every mail host is protected: an attacker can steer mail to one that is not.".to_owned()
        } else {
            "Some senders cannot use every mail host.".to_owned()
        }];
    }
    let everybody = ways(assessment, |_, address| address.opportunistic);
    let down = everybody.refused == enforcing.refused;
    let mut sentences = vec![if down {
        unreachable(&everybody)
    } else {
        let backup = if enforcing.refused_is_backup { ", your backup," } else { "" };
        format!(
            "Senders that enforce MTA-STS deliver through {} only: {}{backup} {} refused.",
            words::list(&enforcing.taken),
            words::list(&enforcing.refused),
            is(&enforcing.refused),
        )
    }];
    if !enforcing.taken.is_empty() {
        let goes = if enforcing.taken.len() == 1 { "goes" } else { "go" };
        let who = if down { "all mail" } else { "mail from Gmail, Outlook and other enforcing senders" };
        sentences.push(format!("If {} {goes} down, {who} stops.", words::list(&enforcing.taken)));
    }
    sentences
}

fn unreachable(ways: &Ways) -> String {
    let backup = if ways.refused_is_backup { ", your backup," } else { "" };
    let rest = if ways.taken.is_empty() {
        String::new()
    } else {
        format!(": all mail goes through {}", words::list(&ways.taken))
    };
    format!("{}{backup} cannot be reached{rest}.", words::list(&ways.refused))
}

fn differing_views(assessment: &Assessment, now: Timestamp) -> Vec<String> {
    let mut sentences = vec![
        "Senders that hold your policy from before still deliver protected; all others cannot get it now, and deliver \
         without protection."
            .to_owned(),
    ];
    if let (Some(policy), Some(at)) = (&assessment.policy.in_force, assessment.policy.last_success_at) {
        let end = at + policy.max_age.duration();
        if end > now {
            sentences.push(format!(
                "Unless it comes back, the last of them forgets it in about {} ({}).",
                words::span(end.since(now)),
                words::date(end, now),
            ));
        }
    }
    sentences
}

/// A few words about a domain in a list: its first error or warning, else what its state rests on.
pub(super) fn headline(assessment: &Assessment, now: Timestamp) -> String {
    let pressing = [Severity::Error, Severity::Warning]
        .into_iter()
        .find_map(|severity| assessment.active().find(|finding| finding.severity == severity));
    if let Some(finding) = pressing {
        // The detail names names and dates; in a line of a list the gist is what fits.
        let gist = finding.code.row().summary;
        let gist = gist.split(':').next().unwrap_or(gist).trim_end_matches([' ', '.']);
        let name = finding.subject.name();
        if name == assessment.domain.as_str() {
            return gist.to_owned();
        }
        let short = name.strip_suffix(assessment.domain.as_str()).and_then(|name| name.strip_suffix('.'));
        return format!("{}: {gist}", short.unwrap_or(name));
    }
    let words = match (assessment.delivery, mode(assessment)) {
        (State::Protected, _) => "",
        (State::NoMail, _) => "null MX",
        (State::Unprotected, Some(Mode::Testing)) => "policy in testing",
        (State::Unprotected, Some(Mode::None)) => "policy switched off",
        (State::Unprotected, None) if assessment.sts_record.present == Some(false) => "no MTA-STS",
        _ => return fallback(assessment, now),
    };
    words.to_owned()
}

fn fallback(assessment: &Assessment, now: Timestamp) -> String {
    let reason = assessment.unseen.first().cloned();
    reason.or_else(|| sentences(assessment, now).into_iter().next()).unwrap_or_default()
}
