//! What happens to mail, and for whom, in one to three sentences.

use super::{
    outline::{Ways, if_enforced, ways},
    timeline, words,
};
use crate::{
    protocol::{dane::DaneResult, mta_sts::Mode},
    terms::Timestamp,
    verdict::{
        Assessment, CertificateAssessment, Code, DaneWord, Outcome, Reason, Security, Severity, StarttlsState, State,
        TlsaStatus,
    },
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

/// Senders by what they insist on, with names that people know.
const ENFORCING: &str = "Senders that enforce MTA-STS (Gmail, Outlook and others)";
const HOLDING: &str = "Senders that enforce MTA-STS (Gmail, Outlook and others) and hold the policy from before";
const DANE: &str = "Senders that apply DANE (Exchange Online, Postfix sites and others)";
const TOGETHER: &str = "Senders that apply MTA-STS and DANE together (Exchange Online and others)";

fn blocked(assessment: &Assessment) -> Vec<String> {
    let senders = &assessment.senders;
    if senders.opportunistic.state == State::Blocked {
        let what = if has(assessment, Code::DomainNonexistent) {
            "The domain does not exist: all mail to it is returned."
        } else if has(assessment, Code::MxNone) {
            "The domain has neither a mail host (MX) nor an address: all mail to it is returned."
        } else if assessment.dnssec.mx == Security::Bogus {
            "The MX records fail DNSSEC validation: mail from every sender whose resolver validates, and most large ones do, waits \
             and is returned after days."
        } else if !assessment.mx_lookup_success {
            "The MX records cannot be looked up: mail waits at the senders and is returned after days."
        } else {
            "No mail host can be reached: mail from everybody waits at the senders and is returned after days."
        };
        return vec![what.to_owned()];
    }
    let by_sts = senders.sts.state == State::Blocked;
    let by_dane = senders.dane.state == State::Blocked;
    let sts = if assessment.policy.fetch_success == Some(true) { ENFORCING } else { HOLDING };
    let mut sentences = Vec::new();
    if by_sts {
        sentences.push(format!("{sts} deliver nothing: {}.", why_refused(assessment)));
    }
    if by_dane {
        sentences.push(format!("{DANE} deliver nothing: {}.", why_dane_refuses(assessment)));
    }
    if !by_sts && !by_dane {
        sentences.push(format!(
            "{TOGETHER} deliver nothing: no mail host passes both, so what one check lets through the other refuses."
        ));
    }
    sentences
        .push("Their mail waits and is returned after days. Senders that enforce nothing still deliver.".to_owned());
    sentences
}

/// Why a sender that applies DANE refuses every host, as far as one reason covers all.
fn why_dane_refuses(assessment: &Assessment) -> &'static str {
    let statuses: Vec<TlsaStatus> = assessment.mx.iter().map(|mx| mx.dane.status).collect();
    let all = |wanted: &[TlsaStatus]| !statuses.is_empty() && statuses.iter().all(|status| wanted.contains(status));
    let words: Vec<_> = assessment.mx.iter().flat_map(|mx| &mx.addresses).map(|address| address.dane_word).collect();
    let verdicts =
        || assessment.mx.iter().flat_map(|mx| &mx.addresses).filter_map(|address| address.dane_verdict.as_ref());
    let every = |wanted: DaneWord| !words.is_empty() && words.iter().all(|word| *word == Some(wanted));
    if all(&[TlsaStatus::Bogus]) {
        "the answers of the DNS for the mail hosts fail DNSSEC validation"
    } else if all(&[TlsaStatus::Failed, TlsaStatus::Bogus]) {
        "the DNS gives no answer for the mail hosts that they could trust"
    } else if every(DaneWord::Mismatch)
        && verdicts().all(|verdict| matches!(verdict.result, DaneResult::ChainInvalid { .. }))
    {
        "the TLSA records name an issuer, and no mail host presents a valid certificate of it for its name"
    } else if every(DaneWord::Mismatch) {
        "no TLSA record matches what the mail hosts present"
    } else if every(DaneWord::Failed) {
        "the TLSA records ask for TLS, and no mail host completes it"
    } else {
        "no mail host passes the checks that its TLSA records ask for"
    }
}

/// Why an enforcing sender refuses every host, as far as one reason covers all.
fn why_refused(assessment: &Assessment) -> String {
    const NOTHING_PASSES: &str = "no mail host passes the checks that the policy asks for";
    let all: Vec<_> =
        assessment.mx.iter().flat_map(|mx| mx.addresses.iter().map(move |address| (mx, address))).collect();
    if all.is_empty() {
        return NOTHING_PASSES.to_owned();
    }
    let certificates = |fault: &dyn Fn(&CertificateAssessment) -> bool| {
        all.iter().all(|(_, address)| address.path.certificate.as_ref().is_some_and(fault))
    };
    let hosts = match assessment.mx.len() {
        1 => "its only mail host presents",
        2 => "both mail hosts present",
        _ => "every mail host presents",
    };
    if all.iter().all(|(mx, _)| mx.in_policy == Some(false)) {
        "the policy covers none of the mail hosts".to_owned()
    } else if all.iter().all(|(_, address)| address.path.starttls == Some(StarttlsState::NotOffered)) {
        "the policy asks for TLS, and no mail host offers it".to_owned()
    } else if certificates(&|certificate| !certificate.name_match) {
        format!("{hosts} a certificate for another name")
    } else if certificates(&|certificate| !certificate.in_dates) {
        format!("{hosts} a certificate outside its dates")
    } else if certificates(&|certificate| !certificate.chain_valid) {
        format!("{hosts} a certificate that is not trusted")
    } else if certificates(&|certificate| !certificate.verified()) {
        "the policy asks for a valid certificate, and no mail host has one".to_owned()
    } else {
        NOTHING_PASSES.to_owned()
    }
}

fn unprotected(assessment: &Assessment) -> Vec<String> {
    let with_dane = assessment.mx.iter().any(|mx| mx.dane.status == TlsaStatus::Usable);
    let mut sentences = match mode(assessment) {
        _ if with_dane && assessment.dnssec.mx == Security::Insecure => vec![
            "Mail arrives, but is not protected: the mail hosts have DANE, and the domain's own MX records are not signed, so an \
             attacker can name another host."
                .to_owned(),
        ],
        None if assessment.mx.iter().any(|mx| mx.dane.status == TlsaStatus::Unusable) => vec![
            "Mail arrives, but is not protected: the TLSA records cannot be used, so senders that apply DANE insist on TLS and \
             authenticate nobody."
                .to_owned(),
        ],
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
    if !ways.is_whole() {
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
    let senders = &assessment.senders;
    let by_sts = senders.sts.state == State::Protected;
    let by_dane = senders.dane.state == State::Protected;
    let (who, paths) = match (by_sts, by_dane) {
        (true, true) => ("Senders that enforce MTA-STS or apply DANE (Gmail, Outlook and others)", senders.sts.paths),
        (false, true) => (DANE, senders.dane.paths),
        (_, false) => (ENFORCING, senders.sts.paths),
    };
    let tls = if by_dane { "authenticated TLS" } else { "verified TLS" };
    let mut sentences = match paths.cannot_tell {
        0 => vec![format!("{who} deliver over {tls} only, and every mail host passes.")],
        unseen => vec![
            format!("{who} deliver over {tls} only."),
            format!(
                "Every mail host that was seen passes; {unseen} of {} could not be seen from here.",
                words::addresses(paths.total())
            ),
        ],
    };
    if by_sts && senders.dane.reason == Reason::Exposed {
        let ways = ways(assessment, |_, address| address.dane);
        let open: Vec<String> = assessment
            .mx
            .iter()
            .filter(|mx| mx.addresses.iter().any(|address| address.dane == Outcome::Open))
            .map(|mx| mx.target.clone())
            .collect();
        if !open.is_empty() && !ways.taken.is_empty() {
            sentences.push(format!(
                "DANE covers only a part: {} {} no TLSA records.",
                words::list(&open),
                has_or_have(&open)
            ));
        }
    }
    sentences
}

fn partial(assessment: &Assessment, now: Timestamp) -> Vec<String> {
    let senders = &assessment.senders;
    if senders.sts.reason == Reason::ViewsDiffer {
        return differing_views(assessment, now);
    }
    let by_sts = ways(assessment, |_, address| address.sts);
    let by_dane = ways(assessment, |_, address| address.dane);
    let everybody = ways(assessment, |_, address| address.opportunistic);
    if by_sts.is_whole() && by_dane.is_whole() {
        let exposed = [senders.sts.reason, senders.dane.reason].contains(&Reason::Exposed);
        return vec![if exposed {
            "Not every mail host is protected: an attacker can steer mail to one that is not.".to_owned()
        } else {
            "Some senders cannot use every mail host.".to_owned()
        }];
    }
    if !everybody.is_whole() && everybody.refused == by_sts.refused {
        let mut sentences = vec![unreachable(&everybody)];
        sentences.extend(if_they_fail(&everybody, "all mail"));
        return sentences;
    }
    let (who, ways, others) = match (by_sts.refused.is_empty(), by_dane.refused.is_empty()) {
        (false, true) => {
            ("Senders that enforce MTA-STS", &by_sts, "mail from Gmail, Outlook and other enforcing senders")
        }
        (false, false) if by_sts.refused == by_dane.refused => (
            "Senders that enforce MTA-STS or apply DANE",
            &by_sts,
            "mail from Gmail, Outlook and other enforcing senders",
        ),
        (false, false) => {
            ("Senders that enforce MTA-STS", &by_sts, "mail from Gmail, Outlook and other enforcing senders")
        }
        (true, _) => ("Senders that apply DANE", &by_dane, "mail from senders that apply DANE"),
    };
    let mut sentences = vec![refused_by(who, ways)];
    if !by_sts.refused.is_empty() && !by_dane.refused.is_empty() && by_sts.refused != by_dane.refused {
        sentences.push(refused_by("Senders that apply DANE", &by_dane));
    }
    sentences.extend(no_host(&everybody).map(|words| format!("{words}.")));
    sentences.extend(if_they_fail(ways, others));
    sentences
}

fn refused_by(who: &str, ways: &Ways) -> String {
    let backup = if ways.refused_is_backup { ", your backup," } else { "" };
    format!(
        "{who} deliver through {} only: {}{backup} {} refused.",
        words::list(&ways.taken),
        words::list(&ways.refused),
        is(&ways.refused),
    )
}

/// What hangs on the hosts that are left.
fn if_they_fail(ways: &Ways, whose: &str) -> Option<String> {
    let goes = if ways.taken.len() == 1 { "goes" } else { "go" };
    (!ways.taken.is_empty()).then(|| format!("If {} {goes} down, {whose} stops.", words::list(&ways.taken)))
}

/// `has` or `have`.
const fn has_or_have(names: &[String]) -> &'static str {
    if names.len() == 1 { "has" } else { "have" }
}

/// What is no host can be neither down nor anybody's backup: the MX record is what has to be mended.
fn no_host(ways: &Ways) -> Option<String> {
    let are = if ways.no_host.len() == 1 { "is no name of a host" } else { "are no names of hosts" };
    (!ways.no_host.is_empty()).then(|| format!("{} in the MX records {are}", words::list(&ways.no_host)))
}

fn unreachable(ways: &Ways) -> String {
    let backup = if ways.refused_is_backup { ", your backup," } else { "" };
    let refused =
        (!ways.refused.is_empty()).then(|| format!("{}{backup} cannot be reached", words::list(&ways.refused)));
    let lost: Vec<String> = refused.into_iter().chain(no_host(ways)).collect();
    let rest = if ways.taken.is_empty() {
        String::new()
    } else {
        format!(": all mail goes through {}", words::list(&ways.taken))
    };
    format!("{}{rest}.", lost.join(", and "))
}

fn differing_views(assessment: &Assessment, now: Timestamp) -> Vec<String> {
    let mut sentences = vec![
        "Senders that hold your policy from before still deliver protected; all others cannot get it now, and deliver \
         without protection."
            .to_owned(),
    ];
    sentences.extend(timeline::forgotten(assessment, now));
    sentences
}

/// A few words about a domain in a list: its first error or warning, else what its state rests on.
pub fn headline(assessment: &Assessment, now: Timestamp) -> String {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        facts::{Phase, SmtpOutcome},
        present::fixture,
        terms::Octets,
        verdict::MxAssessment,
    };

    fn told(assessment: &Assessment) -> String {
        sentences(assessment, fixture::NOW).join(" ")
    }

    #[test]
    fn one_greylisting_does_not_make_senders_refuse_a_host() {
        let mut assessment = fixture::testing("example.com");
        assessment.mx.truncate(1);
        for address in assessment.mx.iter_mut().flat_map(|mx| &mut mx.addresses) {
            let path = Arc::make_mut(&mut address.path);
            let latest = Arc::make_mut(path.latest.as_mut().unwrap());
            latest.outcome = SmtpOutcome::Rejected { phase: Phase::Banner, code: 421, text: Octets::default() };
            path.starttls = Some(StarttlsState::NotReached);
        }
        fixture::settle(&mut assessment, State::Unprotected);
        let text = told(&assessment);
        assert!(text.contains("Every mail host would pass if it were enforced today."), "{text}");
    }

    #[test]
    fn what_names_no_host_is_not_called_a_host_that_is_down() {
        let mut assessment = fixture::unprotected("example.com");
        let backup = MxAssessment {
            target: "192.0.2.99".into(),
            host: None,
            lookup: None,
            ..fixture::mx(100, "mx3.example.com", Vec::new())
        };
        assessment.mx.push(backup);
        let text = told(&assessment);
        assert!(text.contains("192.0.2.99 in the MX records is no name of a host: all mail goes through"), "{text}");
        assert!(!text.contains("your backup") && !text.contains("cannot be reached"), "{text}");
    }
}
