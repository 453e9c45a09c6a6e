//! The talk with one address of a mail host, and what follows from it.

use std::{sync::Arc, time::Duration};

use super::{LineKind, Section, Step, tls::presented};
use crate::{
    facts::{AddressObservation, Handshake, Offer, Phase, Said, SmtpOutcome, TlsSurvey},
    protocol::dane::RecordSight,
    terms::Octets,
    verdict::{AddressAssessment, CertificateAssessment, DaneWord, MxAssessment, Outcome, PathAssessment, TlsaStatus},
};

/// One address.
pub(super) fn address(mx: &MxAssessment, address: &AddressAssessment) -> Section {
    let path = &address.path;
    let mut steps = Vec::new();
    match &path.latest {
        Some(latest) => steps.extend(dialogue(latest, path.certificate.as_ref())),
        None => {
            let mut step = Step::new("not looked at yet");
            step.say(LineKind::Note, "nothing is known of this address");
            steps.push(step);
        }
    }
    steps.extend(judged_before(path));
    steps.extend(path.survey.as_deref().map(survey));
    steps.extend(dane(mx, address));
    steps.push(senders(mx, address));
    Section { title: format!("{} [{}]", mx.target, path.address), steps }
}

/// The phases with what they took, in order.
fn phases(seen: &AddressObservation) -> [(Phase, Option<Duration>); 6] {
    let times = seen.times;
    [
        (Phase::Connect, times.connect),
        (Phase::Banner, times.banner),
        (Phase::Ehlo, times.ehlo),
        (Phase::Starttls, times.starttls),
        (Phase::Tls, times.tls),
        (Phase::EhloTls, times.ehlo_tls),
    ]
}

fn dialogue(seen: &AddressObservation, judged: Option<&CertificateAssessment>) -> Vec<Step> {
    let mut at = seen.at - seen.duration;
    let stopped = stopped_in(&seen.outcome);
    let mut steps = Vec::new();
    for (phase, took) in phases(seen) {
        let said = seen.said.iter().find(|said| said.phase == phase);
        let done_unseen = phase == Phase::EhloTls && seen.outcome == SmtpOutcome::Done;
        if took.is_none() && said.is_none() && stopped != Some(phase) && !done_unseen {
            continue;
        }
        let mut step = Step { at: Some(at), took, ..Step::new(title(seen, phase)) };
        at = at + took.unwrap_or_default();
        match said {
            Some(said) => exchange(&mut step, said),
            None => unquoted(&mut step, seen, phase),
        }
        if phase == Phase::Tls
            && let Some(tls) = &seen.tls
        {
            presented(&mut step, tls, judged);
        }
        if phase == Phase::Starttls && seen.cleartext_after_starttls {
            step.say(LineKind::Bad, "clear text followed the reply: it must not be taken for protected");
        }
        if stopped == Some(phase) {
            step.say(LineKind::Bad, end(&seen.outcome));
        }
        steps.push(step);
    }
    if takes_leave(&seen.outcome) {
        let mut step = Step { at: Some(at), ..Step::new("leave") };
        step.say(LineKind::Sent, "QUIT");
        steps.push(step);
    }
    steps
}

fn title(seen: &AddressObservation, phase: Phase) -> String {
    match phase {
        Phase::Connect => "connect".to_owned(),
        Phase::Banner => "banner".to_owned(),
        Phase::Ehlo => "EHLO in clear".to_owned(),
        Phase::Starttls => "STARTTLS".to_owned(),
        Phase::Tls => format!("TLS handshake, SNI {}", seen.host),
        Phase::EhloTls => "EHLO inside TLS".to_owned(),
    }
}

fn exchange(step: &mut Step, said: &Said) {
    if !said.command.is_empty() {
        step.say(LineKind::Sent, &said.command);
    }
    let lines: Vec<&[u8]> = said.text.as_bytes().split(|byte| *byte == b'\n').collect();
    for (number, line) in lines.iter().enumerate() {
        let last = number + 1 == lines.len() && !said.cut;
        let separator = if last { ' ' } else { '-' };
        step.say(LineKind::Received, format!("{}{separator}{}", said.code, Octets(line.to_vec())));
    }
    if said.cut {
        step.say(LineKind::Note, "the rest of the reply is not kept");
    }
}

/// What is known of a phase of which no words are kept.
fn unquoted(step: &mut Step, seen: &AddressObservation, phase: Phase) {
    match (phase, &seen.banner, &seen.capabilities) {
        (Phase::Banner, Some(banner), _) => step.say(LineKind::Received, banner.to_string()),
        (Phase::Ehlo, _, Some(keywords)) => step.say(LineKind::Received, keywords.join(" ")),
        _ => {}
    }
}

/// Where the dialogue stopped; nothing where it came to its end.
const fn stopped_in(outcome: &SmtpOutcome) -> Option<Phase> {
    match outcome {
        SmtpOutcome::Done => None,
        SmtpOutcome::ConnectFailed(_) => Some(Phase::Connect),
        SmtpOutcome::Timeout(phase)
        | SmtpOutcome::Rejected { phase, .. }
        | SmtpOutcome::ProtocolError { phase, .. } => Some(*phase),
        SmtpOutcome::StarttlsNotOffered => Some(Phase::Ehlo),
        SmtpOutcome::StarttlsRefused { .. } => Some(Phase::Starttls),
        SmtpOutcome::HandshakeFailed(_) => Some(Phase::Tls),
    }
}

/// Why it stopped.
fn end(outcome: &SmtpOutcome) -> String {
    match outcome {
        SmtpOutcome::Done => "all the way".to_owned(),
        SmtpOutcome::ConnectFailed(failure) => failure.to_string(),
        SmtpOutcome::Timeout(_) => "no answer in time".to_owned(),
        SmtpOutcome::Rejected { code, .. } => format!("this client was turned away ({code})"),
        SmtpOutcome::ProtocolError { fault, .. } => fault.to_string(),
        SmtpOutcome::StarttlsNotOffered => "STARTTLS is not offered".to_owned(),
        SmtpOutcome::StarttlsRefused { code, .. } => format!("STARTTLS was offered and is refused ({code})"),
        SmtpOutcome::HandshakeFailed(failure) => failure.to_string(),
    }
}

/// Whether QUIT is sent: where the server still listens.
const fn takes_leave(outcome: &SmtpOutcome) -> bool {
    matches!(
        outcome,
        SmtpOutcome::Done
            | SmtpOutcome::Rejected { .. }
            | SmtpOutcome::StarttlsNotOffered
            | SmtpOutcome::StarttlsRefused { .. }
    )
}

/// A look that failed does not take away what the one before showed.
fn judged_before(path: &PathAssessment) -> Option<Step> {
    let (judged, latest) = (path.judged.as_ref()?, path.latest.as_ref()?);
    if Arc::ptr_eq(judged, latest) || judged.at == latest.at {
        return None;
    }
    let mut step = Step { at: Some(judged.at), ..Step::new("what is judged") };
    step.say(LineKind::Note, "the dialogue before, in which the server answered");
    if let Some(tls) = &judged.tls {
        presented(&mut step, tls, path.certificate.as_ref());
    }
    Some(step)
}

fn survey(seen: &TlsSurvey) -> Step {
    let mut step = Step::ended("what else it offers, on more connections", seen.at, seen.duration);
    for (version, offer) in [("1.0", &seen.tls10), ("1.1", &seen.tls11)] {
        match offer {
            Offer::Accepted => step.say(LineKind::Warning, format!("TLS {version}: accepted")),
            Offer::Refused => step.say(LineKind::Good, format!("TLS {version}: refused")),
            Offer::NotSeen(why) => step.say(LineKind::Note, format!("TLS {version}: not seen ({why})")),
        }
    }
    handshake(&mut step, "without SNI", &seen.without_sni);
    handshake(&mut step, "SNI of an unknown name", &seen.unknown_sni);
    if let Some((base, shown)) = &seen.base_sni {
        handshake(&mut step, &format!("SNI {base}"), shown);
    }
    step
}

fn handshake(step: &mut Step, name: &str, shown: &Handshake) {
    match shown {
        Handshake::Done(tls) => {
            let subject = &tls.chain.leaf.subject;
            step.say(LineKind::Good, format!("{name}: TLS {}, certificate {subject}", tls.version));
        }
        Handshake::Failed(failure) => step.say(LineKind::Bad, format!("{name}: {failure}")),
        Handshake::NotSeen(why) => step.say(LineKind::Note, format!("{name}: not seen ({why})")),
    }
}

/// The TLSA records, each with what it is to the certificate.
fn dane(mx: &MxAssessment, address: &AddressAssessment) -> Option<Step> {
    let records = mx.dane.records();
    if mx.dane.status == TlsaStatus::None && records.is_empty() {
        return None;
    }
    let mut step = Step::new(format!("TLSA records: {}", mx.dane.status.as_str()));
    for (place, record) in records.iter().enumerate() {
        let sight = address.dane_verdict.as_ref().and_then(|verdict| verdict.records.get(place));
        let (kind, words) = match sight {
            Some(RecordSight::Match { .. }) => (LineKind::Good, "matches".to_owned()),
            Some(RecordSight::Unusable(why)) => (LineKind::Warning, format!("unusable: {why}")),
            Some(RecordSight::Repeats(_)) => (LineKind::Note, "the same again".to_owned()),
            Some(RecordSight::Fault { faults, .. }) => {
                let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
                (LineKind::Bad, format!("names an issuer, but {}", faults.join("; ")))
            }
            Some(RecordSight::WrongUsage { .. }) => {
                (LineKind::Note, "is of a certificate that its usage does not speak of".to_owned())
            }
            Some(RecordSight::NoMatch) => (LineKind::Note, "does not match".to_owned()),
            Some(RecordSight::NotLookedAt) => (LineKind::Note, "not looked at".to_owned()),
            None => (LineKind::Note, "not compared".to_owned()),
        };
        step.say(kind, format!("{record}: {words}"));
    }
    match address.dane_word {
        Some(DaneWord::Match) => step.say(LineKind::Good, "DANE holds"),
        Some(DaneWord::Mismatch) => step.say(LineKind::Bad, "no record holds for what the server presents"),
        Some(DaneWord::EncryptOnly) => {
            step.say(LineKind::Warning, "no record is usable: senders insist on TLS and authenticate nobody");
        }
        Some(DaneWord::Failed) => step.say(LineKind::Bad, "DANE is asked for, and there is nothing to compare"),
        Some(DaneWord::NotApplicable) => step.say(LineKind::Note, "senders do not ask for DANE here"),
        None => step.say(LineKind::Note, "whether DANE holds cannot be told"),
    }
    Some(step)
}

fn senders(mx: &MxAssessment, address: &AddressAssessment) -> Step {
    let mut step = Step::new("what senders do");
    match mx.in_policy {
        Some(true) => step.say(LineKind::Good, "the policy covers the host"),
        Some(false) => step.say(LineKind::Bad, "the policy does not cover the host"),
        None => {}
    }
    let kinds = [
        ("those that enforce MTA-STS", address.sts),
        ("those that apply DANE", address.dane),
        ("all others", address.opportunistic),
    ];
    for (who, outcome) in kinds {
        let (kind, what) = match outcome {
            Outcome::Secure => (LineKind::Good, "deliver, protected"),
            Outcome::Open => (LineKind::Note, "deliver, not protected"),
            Outcome::Refused => (LineKind::Bad, "do not deliver"),
            Outcome::CannotTell => (LineKind::Note, "cannot be told"),
        };
        step.say(kind, format!("{who}: {what}"));
    }
    if let Some(word) = address.path.result_type {
        step.say(LineKind::Note, format!("in their reports: {word}"));
    }
    step
}
