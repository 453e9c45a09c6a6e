//! What TLS the addresses offer: withdrawn versions, weak ciphers, names that the server insists on, and addresses of one host
//! that differ.

use std::collections::BTreeSet;

use super::{
    Raised, refusal_words,
    whose::{for_host, for_refused},
};
use crate::{
    facts::{Handshake, Offer, TlsFacts, TlsSurvey, TlsVersion},
    terms::MxHost,
    verdict::{
        AddressAssessment, Code, DaneWord, MxAssessment, StarttlsState, Subject, case::Case, dane::is_match, words,
    },
};

/// More addresses than this make a detail unreadable.
const MOST: usize = 4;

pub(super) fn rules(case: &Case<'_>, raised: &mut Raised) {
    for mx in case.mx() {
        let Some(host) = &mx.host else { continue };
        for address in &mx.addresses {
            clear_handshake(case, raised, host, address);
            survey(case, raised, mx, host, address);
        }
        divergence(case, raised, mx, host);
    }
}

/// A server that speaks only what this monitor does not: its hello and certificate were read, no handshake was finished.
fn clear_handshake(case: &Case<'_>, raised: &mut Raised, host: &MxHost, address: &AddressAssessment) {
    let Some(tls) = address.path.tls().filter(|tls| !tls.completed) else { return };
    let subject = Subject::MxAddress(host.clone(), address.path.address);
    let place = format!("{host} [{}]", address.path.address);
    if tls.version.is_obsolete() {
        raised.raise(
            case,
            Code::TlsVersionObsolete,
            subject,
            format!("{place} offers nothing newer than TLS {}: {}.", tls.version, refusal_words(case, host.as_str())),
            for_refused(
                case,
                host.as_str(),
                "Switch on TLS 1.2 and 1.3 in the mail server; an update of it or of its TLS library may be due.",
            ),
        );
    } else {
        raised.raise(
            case,
            Code::TlsWeakCiphers,
            subject,
            match is_strong(&tls.cipher) {
                false => format!(
                    "{place} offers only ciphers without forward secrecy or without AEAD (it chose {}): most senders still \
                     connect, those with a current TLS library alone do not.",
                    tls.cipher
                ),
                true => format!(
                    "{place} offers {} only with a group or a signature that current TLS libraries leave out (P-521, SHA-1 and the \
                     like): most senders still connect, those with such a library alone do not.",
                    tls.cipher
                ),
            },
            for_host(case, host.as_str(),
                "Allow ECDHE with AES-GCM or ChaCha20, the group X25519 or P-256, and SHA-256 signatures in the mail server."),
        );
    }
}

/// RFC 9325 §4.2: forward secrecy and AEAD. Then it is the group or the signature that keeps this monitor out.
fn is_strong(cipher: &str) -> bool {
    cipher.starts_with("TLS_ECDHE_") && ["GCM", "CCM", "POLY1305"].iter().any(|mode| cipher.contains(mode))
}

fn survey(case: &Case<'_>, raised: &mut Raised, mx: &MxAssessment, host: &MxHost, address: &AddressAssessment) {
    let (Some(survey), Some(tls)) = (&address.path.survey, address.path.tls()) else { return };
    let subject = || Subject::MxAddress(host.clone(), address.path.address);
    let place = format!("{host} [{}]", address.path.address);
    let legacy = legacy_versions(survey);
    if !legacy.is_empty() && !tls.version.is_obsolete() {
        raised.raise(
            case,
            Code::TlsLegacyAccepted,
            subject(),
            format!("{place} still accepts TLS {}, which RFC 8996 forbids.", words::list(&legacy, MOST)),
            for_host(
                case,
                host.as_str(),
                "Switch TLS 1.0 and 1.1 off, unless mail from very old servers has to come in encrypted.",
            ),
        );
    }
    // Without a usual handshake there is nothing that an unusual one could differ from.
    if let Some(what) = sni_fault(case, mx, survey, tls, address) {
        raised.raise(
            case,
            Code::TlsSniDependent,
            subject(),
            format!("{place}: {what}. Senders that send no server name, or that of an alias, cannot deliver over TLS."),
            for_host(
                case,
                host.as_str(),
                "Give the mail server a default certificate that it presents whatever name is asked for.",
            ),
        );
    }
}

/// The withdrawn versions that are still negotiated.
pub(crate) fn legacy_versions(survey: &TlsSurvey) -> Vec<TlsVersion> {
    [(&survey.tls10, TlsVersion::Tls10), (&survey.tls11, TlsVersion::Tls11)]
        .into_iter()
        .filter(|(offer, _)| **offer == Offer::Accepted)
        .map(|(_, version)| version)
        .collect()
}

fn sni_fault(
    case: &Case<'_>,
    mx: &MxAssessment,
    survey: &TlsSurvey,
    usual: &TlsFacts,
    address: &AddressAssessment,
) -> Option<String> {
    if !usual.completed {
        return None;
    }
    let cases =
        [("without a server name (SNI)", &survey.without_sni), ("with an unknown server name", &survey.unknown_sni)];
    let failed = cases.iter().find_map(|(how, handshake)| match handshake {
        Handshake::Failed(failure) => Some(format!("the TLS handshake fails {how} ({failure})")),
        Handshake::Done(_) | Handshake::NotSeen(_) => None,
    });
    let by_base = || {
        let (name, failure) = mx.dane.fails_by_base(&address.path)?;
        Some(format!("the TLS handshake fails with the server name {name}, where the TLSA records stand ({failure})"))
    };
    failed.or_else(by_base).or_else(|| {
        // RFC 7672 §8.1: the TLSA base domain is sent as SNI; a server that matches only by it is one alias away from refusal.
        (address.dane_word == Some(DaneWord::Match)).then_some(())?;
        let names = case.next_hop_names();
        cases.iter().find_map(|(how, handshake)| match handshake {
            Handshake::Done(tls)
                if !mx.dane.verify(&tls.chain, &names, case.now).is_some_and(|verdict| is_match(&verdict)) =>
            {
                Some(format!("no TLSA record matches the certificate that comes {how}"))
            }
            _ => None,
        })
    })
}

/// Different verdicts at the addresses of one host. Another fingerprint alone is none: clusters have one certificate a node.
fn divergence(case: &Case<'_>, raised: &mut Raised, mx: &MxAssessment, host: &MxHost) {
    let known: Vec<&AddressAssessment> = mx.addresses.iter().filter(|address| address.path.judged.is_some()).collect();
    if known.len() < 2 {
        return;
    }
    let mut differences = Vec::new();
    let mut differ = |what: &str, good: &dyn Fn(&AddressAssessment) -> Option<bool>| {
        let with = |wanted: bool| -> Vec<String> {
            let matching = known.iter().filter(|address| good(address) == Some(wanted));
            matching.map(|address| address.path.address.to_string()).collect()
        };
        let (yes, no) = (with(true), with(false));
        if !yes.is_empty() && !no.is_empty() {
            differences.push(format!("{what} at {}, not at {}", words::list(&yes, MOST), words::list(&no, MOST)));
        }
    };
    // One that is not reached now, or not from here, shows nothing of its server.
    differ("STARTTLS works", &|address| match address.path.starttls? {
        StarttlsState::NotReached => None,
        state => Some(state == StarttlsState::Ok),
    });
    differ("the certificate is verified", &|address| Some(address.path.certificate.as_ref()?.verified()));
    differ("TLSA records match", &|address| match address.dane_word? {
        DaneWord::Match => Some(true),
        DaneWord::Mismatch => Some(false),
        _ => None,
    });
    let lowest: BTreeSet<TlsVersion> = known.iter().filter_map(|address| lowest_version(address)).collect();
    if lowest.len() > 1 {
        let shown: Vec<String> = known
            .iter()
            .filter_map(|address| Some(format!("{} at {}", lowest_version(address)?, address.path.address)))
            .collect();
        differences.push(format!("the lowest TLS version is {}", words::list(&shown, MOST)));
    }
    if !differences.is_empty() {
        raised.raise(
            case,
            Code::AddressesDiverge,
            Subject::Mx(host.to_string()),
            format!("The addresses of {host} differ: {}. What a sender meets is chance.", differences.join("; ")),
            for_host(
                case,
                host.as_str(),
                "Bring the servers behind the addresses to the same configuration and certificate.",
            ),
        );
    }
}

/// The lowest version that an address negotiates; nothing where it was not looked at.
fn lowest_version(address: &AddressAssessment) -> Option<TlsVersion> {
    let tls = address.path.tls()?;
    if tls.version.is_obsolete() {
        return Some(tls.version);
    }
    let survey = address.path.survey.as_ref()?;
    match (&survey.tls10, &survey.tls11) {
        (Offer::NotSeen(_), _) | (Offer::Refused, Offer::NotSeen(_)) => None,
        (Offer::Accepted, _) => Some(TlsVersion::Tls10),
        (Offer::Refused, Offer::Accepted) => Some(TlsVersion::Tls11),
        // 1.2 or 1.3 alone is no fault of either.
        (Offer::Refused, Offer::Refused) => Some(TlsVersion::Tls12),
    }
}
