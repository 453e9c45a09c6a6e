//! DANE for SMTP (RFC 7672): TLSA records against what the mail hosts present.

use super::{
    Raised,
    whose::{dane_at, for_host},
};
use crate::{
    facts::{Lookup, Security, TlsaRecord},
    protocol::dane::{ChainFault, Combination, DaneResult, LookupLink, RecordSet, TlsaState, TlsaStatus, Verification},
    terms::MxHost,
    verdict::{AddressAssessment, Code, HostDane, MxAssessment, Reach, Severity, Subject, case::Case, words},
};

/// More than this make a detail unreadable.
const MOST: usize = 4;
/// Exchange Online was seen to stop after twelve records of one host.
const MANY_RECORDS: usize = 12;
/// What passes every path without fragments: the smallest MTU of IPv6, 1280 (RFC 8200 §5), without the IPv6 and UDP headers.
const LARGE_ANSWER: usize = 1232;

pub(super) fn rules(case: &Case<'_>, raised: &mut Raised) {
    for mx in case.mx() {
        let Some(host) = &mx.host else { continue };
        match mx.dane.state() {
            Some(TlsaState::Records { lookup, set }) => {
                records(case, raised, host, &lookup.base, &lookup.lookup, &set);
                for address in &mx.addresses {
                    compared(case, raised, host, &lookup.base, &lookup.lookup, address);
                }
                rollover(case, raised, mx, host, lookup.lookup.records());
            }
            Some(TlsaState::Insecure { lookup }) => raised.raise(
                case,
                Code::DaneInsecure,
                Subject::Mx(host.to_string()),
                format!(
                    "{} has TLSA records, and the answers for {host} are not signed with DNSSEC: senders ignore the records, and DANE is off.",
                    lookup.lookup.name
                ),
                format!(
                    "{}{}",
                    for_host(case, host.as_str(),
                        "Sign the zone of the mail host, and have its DS record published; or delete the TLSA records."),
                    dane_at(host.as_str()),
                ),
            ),
            Some(TlsaState::Failed { at, failure }) => failed(case, raised, host, &mx.dane, &at, &failure.to_string()),
            Some(TlsaState::Bogus { at }) => {
                failed(case, raised, host, &mx.dane, &at, "it fails DNSSEC validation");
            }
            _ => {}
        }
    }
    coverage(case, raised);
}

/// Signed addresses, and no answer for TLSA. What is wrong with the addresses themselves has findings of its own.
fn failed(case: &Case<'_>, raised: &mut Raised, host: &MxHost, dane: &HostDane, at: &LookupLink, why: &str) {
    let (LookupLink::Tlsa(base), true) = (at, dane.failure_counts) else { return };
    raised.raise(
        case,
        Code::DaneLookupFailed,
        Subject::Mx(host.to_string()),
        format!(
            "The addresses of {host} are signed, and the TLSA lookup of _25._tcp.{base} fails ({why}): senders that apply DANE \
             put their mail off.",
        ),
        for_host(
            case,
            host.as_str(),
            &format!(
                "Ask the zone's own name servers: dig +norecurse +dnssec _25._tcp.{base} TLSA @SERVER. Name servers and firewalls \
                 that do not know the type, and broken denial of existence, are the usual causes."
            ),
        ),
    );
}

/// What the records are without any certificate.
fn records(
    case: &Case<'_>,
    raised: &mut Raised,
    host: &MxHost,
    base: &MxHost,
    lookup: &Lookup<TlsaRecord>,
    set: &RecordSet,
) {
    let subject = || Subject::Mx(host.to_string());
    let all = lookup.records();
    let faulty: Vec<String> =
        set.unusable.iter().filter_map(|(place, why)| Some(format!("{} ({why})", short(all.get(*place)?)))).collect();
    if set.usable.is_empty() {
        raised.raise(
            case,
            Code::DaneUnusable,
            subject(),
            format!(
                "No TLSA record of {base} can be used for SMTP: {}. Senders that apply DANE insist on TLS, and authenticate nobody.",
                words::list(&faulty, MOST)
            ),
            for_host(case, host.as_str(),
                "Publish 3 1 1 records with the SHA-256 digest of the server's public key, and delete these."),
        );
    } else if !faulty.is_empty() {
        raised.raise(
            case,
            Code::DaneRecordUnusable,
            subject(),
            format!("TLSA records of {base} that SMTP cannot use: {}. Senders skip them.", words::list(&faulty, MOST)),
            for_host(case, host.as_str(), "Delete them, or publish what was meant."),
        );
    }
    if set.only_authorities {
        raised.raise(
            case,
            Code::DaneTaOnly,
            subject(),
            format!(
                "The TLSA records of {base} name only certification authorities: if the CA issues from another intermediate at the \
                 next renewal, no record matches any more."
            ),
            for_host(case, host.as_str(),
                "List all active and backup intermediates of the CA, or add 3 1 1 records for the server's own key."),
        );
    }
    let mut large = Vec::new();
    if set.full {
        large.push("it holds a whole certificate or key (Full(0))".to_owned());
    }
    if all.len() > MANY_RECORDS {
        large.push(format!("it has {} records, and some senders stop after {MANY_RECORDS}", all.len()));
    }
    if lookup.message_bytes > LARGE_ANSWER {
        large.push(format!("it takes {} bytes, and {LARGE_ANSWER} fit into every packet", lookup.message_bytes));
    }
    if !large.is_empty() {
        raised.raise(
            case,
            Code::DaneAnswerLarge,
            subject(),
            format!(
                "The TLSA answer of {base} is large: {}. Large answers get lost on the way.",
                words::list(&large, MOST)
            ),
            for_host(case, host.as_str(), "Publish digests (3 1 1), and only those of keys in use or about to be."),
        );
    }
}

/// The records against what one address presents.
fn compared(
    case: &Case<'_>,
    raised: &mut Raised,
    host: &MxHost,
    base: &MxHost,
    lookup: &Lookup<TlsaRecord>,
    address: &AddressAssessment,
) {
    let path = &address.path;
    let (Some(verdict), Reach::Up) = (&address.dane_verdict, path.reach) else { return };
    let subject = || Subject::MxAddress(host.clone(), path.address);
    let place = format!("{host} [{}]", path.address);
    let all = lookup.records();
    match &verdict.result {
        DaneResult::Match { .. } => stale(case, raised, host, &place, subject(), verdict),
        DaneResult::Mismatch { passed_over } => {
            let key = path.tls().map(|tls| tls.chain.leaf.spki_sha256.clone()).unwrap_or_default();
            let what = match passed_over.and_then(|at| all.get(at)) {
                Some(weaker) => format!(
                    "{} matches {place}, and the records of the same kind with a stronger digest do not: senders that look at the \
                     strongest digest alone do not deliver to it",
                    short(weaker)
                ),
                None => format!(
                    "No TLSA record of {base} matches the certificate of {place} ({}): senders that apply DANE do not deliver to it",
                    words::list(&all.iter().map(short).collect::<Vec<_>>(), MOST)
                ),
            };
            raised.raise(
                case,
                Code::DaneMismatch,
                subject(),
                format!("{what}."),
                for_host(
                    case,
                    host.as_str(),
                    &format!(
                        "Publish a record for the certificate in use at once, and take the stale ones out later:\n_25._tcp.{base}. TLSA 3 1 1 {key}"
                    ),
                ),
            );
        }
        DaneResult::ChainInvalid { record, fault, further } => {
            let beside: Vec<String> = further.iter().map(|fault| fault_words(fault, case)).collect();
            let beside =
                if beside.is_empty() { String::new() } else { format!("; also, {}", words::list(&beside, MOST)) };
            let named = all.get(*record).map(short).unwrap_or_default();
            raised.raise_with(
                case,
                Code::DaneChainInvalid,
                Severity::Error,
                Some(fault_result_type(fault)),
                subject(),
                format!(
                    "The TLSA record {named} names an issuer of the certificate of {place}, but {}{beside}: senders that apply DANE do \
                     not deliver to it.",
                    fault_words(fault, case)
                ),
                for_host(case, host.as_str(),
                    "Install a valid certificate for this host with its whole chain; or publish 3 1 1 records, which need neither dates nor names."),
            );
        }
        DaneResult::EncryptOnly => {}
    }
}

/// RFC 7671 §8: a match hides from this sender what another one stumbles over.
fn stale(case: &Case<'_>, raised: &mut Raised, host: &MxHost, place: &str, subject: Subject, verdict: &Verification) {
    if verdict.stale.is_empty() {
        return;
    }
    let combinations: Vec<String> =
        verdict.stale.iter().map(|combination| format!("{combination} ({})", combination.words())).collect();
    raised.raise(
        case,
        Code::DaneCombinationStale,
        subject,
        format!(
            "{place} matches a TLSA record, but none of the records {} is for its certificate: senders that look only at those do \
             not deliver.",
            words::list(&combinations, MOST)
        ),
        for_host(case, host.as_str(), "Publish the missing record, or take the stale combination out of the DNS."),
    );
}

/// A record for a key that is yet to come, seen from any address.
fn rollover(case: &Case<'_>, raised: &mut Raised, mx: &MxAssessment, host: &MxHost, records: &[TlsaRecord]) {
    let verdicts = mx.addresses.iter().filter_map(|address| address.dane_verdict.as_ref());
    let Some(places) = verdicts.map(|verdict| &verdict.rollover).find(|places| !places.is_empty()) else { return };
    let next: Vec<String> = places.iter().filter_map(|place| records.get(*place)).map(short).collect();
    raised.raise(
        case,
        Code::DaneRollover,
        Subject::Mx(host.to_string()),
        format!(
            "Beside the record of the live certificate, {} is published for another key of {host}: a rollover is prepared, or an \
             old record was left.",
            words::list(&next, MOST)
        ),
        "Nothing to do. Wait two TTLs before the new key goes live, and take the old record out afterwards.",
    );
}

/// What the domain has of its hosts' DANE.
fn coverage(case: &Case<'_>, raised: &mut Raised) {
    let names = |wanted: fn(&MxAssessment) -> bool| -> Vec<String> {
        case.mx().iter().filter(|mx| wanted(mx)).map(|mx| mx.target.clone()).collect()
    };
    let with = names(|mx| mx.dane.status == TlsaStatus::Usable);
    if with.is_empty() {
        return;
    }
    let subject = || Subject::Domain(case.domain.clone());
    // What cannot be told is not called missing. A host that is down counts: who steers mail there answers in its place.
    let without = names(|mx| {
        mx.host.is_some() && matches!(mx.dane.status, TlsaStatus::None | TlsaStatus::Insecure | TlsaStatus::Unusable)
    });
    if !without.is_empty() {
        raised.raise(
            case,
            Code::DanePartial,
            subject(),
            format!(
                "{} {} usable TLSA records, {} none: an attacker can steer mail there, as the order of the MX records weighs \
                 more than security.",
                words::list(&with, MOST),
                if with.len() == 1 { "has" } else { "have" },
                words::list(&without, MOST),
            ),
            more_coverage(case, &without),
        );
    }
    if case.mx_lookup.security == Security::Insecure {
        let own = case.mx().iter().any(|mx| mx.dane.status == TlsaStatus::Usable && case.is_own(&mx.target));
        raised.raise_as(
            case,
            Code::DaneMxInsecure,
            if own { Severity::Warning } else { Severity::Info },
            subject(),
            format!(
                "{} {} TLSA records, but the MX records of {} are not signed: an attacker can name another host, so DANE does not \
                 protect the domain.",
                words::list(&with, MOST),
                if with.len() == 1 { "has" } else { "have" },
                case.domain
            ),
            format!("Sign the zone of {} with DNSSEC, and have its DS record published.", case.domain),
        );
    }
}

/// TLSA records for the hosts that have none, by whoever can publish them.
fn more_coverage(case: &Case<'_>, without: &[String]) -> String {
    let (own, foreign): (Vec<&String>, Vec<&String>) = without.iter().partition(|host| case.is_own(host));
    let mut steps = Vec::new();
    if !own.is_empty() {
        steps.push(format!("Publish TLSA records for {} as well.", words::list(&own, MOST)));
    }
    if let Some(first) = foreign.first() {
        let hint = foreign.iter().map(|host| dane_at(host)).find(|hint| !hint.is_empty()).unwrap_or_default();
        steps.push(format!(
            "Ask your provider, who runs {}, for DANE: only they can publish TLSA records for {}.{hint}",
            words::list(&foreign, MOST),
            if foreign.len() == 1 { first } else { "them" },
        ));
    }
    steps.join(" ")
}

/// `3 1 1 0b9fa5a5…`: a record by what tells it from others.
pub(super) fn short(record: &TlsaRecord) -> String {
    /// Digits of the data that are shown.
    const SHOWN: usize = 8;
    let text = record.to_string();
    let start = Combination::of(record).to_string().len() + 1 + SHOWN;
    match text.get(..start) {
        Some(head) if head.len() < text.len() => format!("{head}…"),
        _ => text,
    }
}

fn fault_words(fault: &ChainFault, case: &Case<'_>) -> String {
    match fault {
        ChainFault::Expired { subject, not_after } => {
            format!("the certificate {subject} on the way expired {}", words::ago(*not_after, case.now))
        }
        ChainFault::NotYetValid { subject, not_before } => {
            format!("the certificate {subject} on the way becomes valid {}", words::ahead(*not_before, case.now))
        }
        other => other.to_string(),
    }
}

/// RFC 8460 §4.3.2.1.
const fn fault_result_type(fault: &ChainFault) -> &'static str {
    match fault {
        ChainFault::Expired { .. } => "certificate-expired",
        ChainFault::Name => "certificate-host-mismatch",
        _ => "certificate-not-trusted",
    }
}
