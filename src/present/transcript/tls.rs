//! Handshakes and certificates.

use std::sync::Arc;

use super::{LineKind, Step};
use crate::{
    facts::{CertificateFacts, ChainFacts, PathToRoot, TlsFacts},
    verdict::CertificateAssessment,
};

/// What a peer presented, and what it is worth where that was judged.
pub(super) fn presented(step: &mut Step, tls: &TlsFacts, judged: Option<&CertificateAssessment>) {
    let kind = if tls.version.is_obsolete() { LineKind::Bad } else { LineKind::Received };
    step.say(kind, format!("TLS {}, {}", tls.version, tls.cipher));
    if !tls.completed {
        step.say(LineKind::Warning, "read from the clear part of a second connection: this program cannot finish it");
    }
    chain(step, &tls.chain);
    if let Some(judged) = judged.filter(|judged| Arc::ptr_eq(&judged.chain, &tls.chain) || judged.chain == tls.chain) {
        verdicts(step, judged);
    }
}

fn chain(step: &mut Step, chain: &ChainFacts) {
    for (place, one) in std::iter::once(&chain.leaf).chain(&chain.others).enumerate() {
        certificate(step, place, one);
    }
    if chain.unreadable > 0 {
        step.say(LineKind::Warning, format!("{} of the other certificates cannot be read", chain.unreadable));
    }
}

fn certificate(step: &mut Step, place: usize, one: &CertificateFacts) {
    step.say(LineKind::Received, format!("certificate {place}: {}", named(&one.subject)));
    step.say(LineKind::Note, format!("issuer {}", named(&one.issuer)));
    step.say(LineKind::Note, format!("valid {} to {}", one.not_before, one.not_after));
    if place == 0 {
        let names = if one.names.is_empty() { "none".to_owned() } else { one.names.join(" ") };
        step.say(LineKind::Note, format!("names {names}"));
    }
    step.say(LineKind::Note, format!("key {}, signed with {}", one.key, one.signature_algorithm));
    step.say(LineKind::Note, format!("SHA-256 {}", one.fingerprint_sha256));
}

fn named(name: &str) -> &str {
    if name.is_empty() { "(no name)" } else { name }
}

fn verdicts(step: &mut Step, judged: &CertificateAssessment) {
    let kind = |holds: bool| if holds { LineKind::Good } else { LineKind::Bad };
    let path = match &judged.chain.path {
        PathToRoot::Trusted { .. } => "the chain leads to a trusted root".to_owned(),
        PathToRoot::SelfSigned => "self-signed: no chain to a trusted root".to_owned(),
        PathToRoot::MissingIntermediate => "no chain to a trusted root: an intermediate was not sent".to_owned(),
        PathToRoot::UnknownCa => "the chain ends at a CA that is not trusted here".to_owned(),
        PathToRoot::IntermediateExpired => "an intermediate on the only path is outside its dates".to_owned(),
        PathToRoot::Refused(why) => format!("the chain is refused: {why}"),
    };
    step.say(kind(judged.chain_valid), path);
    let name =
        if judged.name_match { "the certificate names the host" } else { "the certificate does not name the host" };
    step.say(kind(judged.name_match), name);
    let dates = if judged.in_dates { "it is within its dates" } else { "it is outside its dates" };
    step.say(kind(judged.in_dates), dates);
}
