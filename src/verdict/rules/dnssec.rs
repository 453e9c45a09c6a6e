//! DNSSEC of the answers that mail depends on: signatures that do not hold, that end soon, or that are weak.

use std::{collections::BTreeSet, time::Duration};

use super::{Raised, whose::for_subject};
use crate::{
    facts::{AddressLookup, Lookup, LookupFailure, SignatureFacts},
    verdict::{Code, Severity, Subject, case::Case, words},
};

/// A signature near its end: less than this is left, …
const ENDS_SOON: Duration = Duration::from_secs(2 * 86_400);
/// … or this part of its validity, for zones that sign for hours or days only.
const ENDS_SOON_SHARE: u32 = 4;
/// More names than this make a detail unreadable.
const MOST: usize = 4;
/// With less than this left, the next failure to sign is the last.
const ENDS_NOW: Duration = Duration::from_secs(86_400);

pub(super) fn rules(case: &Case<'_>, raised: &mut Raised) {
    let seen = &*case.observation.domain;
    let mut told = Told::default();
    let domain = || Subject::Domain(case.domain.clone());
    domain_answers(case, raised);
    signatures(case, raised, &mut told, domain, &seen.mx);
    for mx in case.mx() {
        let (Some(host), Some(lookup)) = (&mx.host, &mx.lookup) else { continue };
        let subject = || Subject::Mx(host.to_string());
        let tlsa = || lookup.tlsa.iter().flat_map(|tlsa| &tlsa.lookups);
        // The domain's own addresses have their finding there.
        let addresses = lookup.addresses.lookups().find_map(|lookup| Broken::of("address", lookup));
        let answers: Vec<Broken<'_>> = addresses
            .filter(|_| !mx.implicit)
            .into_iter()
            .chain(tlsa().filter_map(|asked| Broken::of("TLSA", &asked.lookup)))
            .collect();
        for (why, answers) in by_cause(answers) {
            bogus(case, raised, lookup.dnssec_healthy, subject(), why, &answers);
        }
        for addresses in lookup.addresses.lookups() {
            signatures(case, raised, &mut told, subject, addresses);
        }
        for asked in tlsa() {
            signatures(case, raised, &mut told, subject, &asked.lookup);
        }
    }
}

/// What is looked up for the domain itself. One zone in trouble is one finding, however many answers it spoils; it stands on the
/// domain where MX records or the domain's own names are among them.
fn domain_answers(case: &Case<'_>, raised: &mut Raised) {
    let seen = &*case.observation.domain;
    let implicit =
        seen.implicit.iter().flat_map(AddressLookup::lookups).find_map(|lookup| Broken::of("address", lookup));
    let policy_host = seen.policy.addresses.lookups().find_map(|lookup| Broken::of("address", lookup));
    let answers: Vec<Broken<'_>> = [
        Broken::of("MX", &seen.mx),
        implicit,
        Broken::of("TXT", &seen.sts_record),
        policy_host,
        Broken::of("TXT", &seen.tlsrpt_record),
    ]
    .into_iter()
    .flatten()
    .collect();
    for (why, answers) in by_cause(answers) {
        let first = answers.first().map_or("", |answer| answer.name);
        let subject = if first == case.domain.tlsrpt_record_name() {
            Subject::TlsRpt(first.to_owned())
        } else if first == seen.policy.host {
            Subject::PolicyHost(first.to_owned())
        } else {
            Subject::Domain(case.domain.clone())
        };
        bogus(case, raised, seen.dnssec_healthy, subject, why, &answers);
    }
}

/// An answer whose signatures do not hold.
struct Broken<'a> {
    kind: &'static str,
    name: &'a str,
    why: &'a str,
}

impl<'a> Broken<'a> {
    fn of<T>(kind: &'static str, lookup: &'a Lookup<T>) -> Option<Self> {
        match lookup.failure() {
            Some(LookupFailure::Bogus(why)) => Some(Self { kind, name: &lookup.name, why }),
            _ => None,
        }
    }
}

/// The answers that fail for the same reason, in the order of their first.
fn by_cause(answers: Vec<Broken<'_>>) -> Vec<(&str, Vec<Broken<'_>>)> {
    let mut causes: Vec<(&str, Vec<Broken<'_>>)> = Vec::new();
    for answer in answers {
        match causes.iter_mut().find(|(why, _)| *why == answer.why) {
            Some((_, same)) => same.push(answer),
            None => causes.push((answer.why, vec![answer])),
        }
    }
    causes
}

/// Where no signed name validates from here, the fault may be this side's.
fn bogus(
    case: &Case<'_>,
    raised: &mut Raised,
    dnssec_healthy: bool,
    subject: Subject,
    why: &str,
    answers: &[Broken<'_>],
) {
    let Some(first) = answers.first().filter(|_| dnssec_healthy) else { return };
    let remedy = format!(
        "Sign the zone again, and see that the DS record at the parent belongs to the key in use; dig +cd +dnssec {} shows what is \
         published. If the zone is not meant to be signed, have the DS record removed.",
        first.name
    );
    let remedy = for_subject(case, &subject, &remedy);
    let names: Vec<String> = answers.iter().map(|answer| format!("{} ({})", answer.name, answer.kind)).collect();
    raised.raise(
        case,
        Code::DnssecBogus,
        subject,
        format!(
            "DNSSEC validation fails for {}, because {why}: senders whose resolver validates find nothing there.",
            words::list(&names, MOST)
        ),
        remedy,
    );
}

/// What was told already: one zone that is in trouble is one finding, however many answers depend on it.
#[derive(Default)]
struct Told {
    ends: BTreeSet<String>,
    weak: BTreeSet<String>,
}

fn signatures<T>(
    case: &Case<'_>,
    raised: &mut Raised,
    told: &mut Told,
    subject: impl Fn() -> Subject,
    lookup: &Lookup<T>,
) {
    let Some(signatures) = &lookup.signatures else { return };
    if let Some(severity) = nearness(signatures, case).filter(|_| told.ends.insert(signatures.covers.clone())) {
        raised.raise_as(
            case,
            Code::DnssecSignatureExpiring,
            severity,
            subject(),
            match signatures.expires <= case.now {
                true => format!(
                    "The DNSSEC signature of {} ended {}: senders whose resolver validates find nothing there.",
                    signatures.covers,
                    words::ago(signatures.expires, case.now)
                ),
                false => format!(
                    "The DNSSEC signature of {} ends {}, and was not renewed since {}.",
                    signatures.covers,
                    words::ahead(signatures.expires, case.now),
                    words::day(signatures.inception)
                ),
            },
            for_subject(case, &subject(),
                "See why the name server does not sign again: the signer has stopped, its key is out of reach, or a secondary no longer gets the zone."),
        );
    }
    if let Some(weak) = signatures.weak.as_ref().filter(|weak| told.weak.insert((*weak).clone())) {
        raised.raise(
            case,
            Code::DnssecAlgorithmWeak,
            subject(),
            format!(
                "DNSSEC on the way to {} rests on SHA-1: {weak}. Newer validators treat it as unsigned.",
                lookup.name
            ),
            for_subject(
                case,
                &subject(),
                "Roll the zone over to algorithm 13 (ECDSA P-256), and publish a DS record with digest type 2.",
            ),
        );
    }
}

fn nearness(signatures: &SignatureFacts, case: &Case<'_>) -> Option<Severity> {
    let left = signatures.expires.since(case.now);
    let validity = signatures.expires.since(signatures.inception);
    if left >= ENDS_SOON.min(validity / ENDS_SOON_SHARE) {
        return None;
    }
    Some(if left < ENDS_NOW { Severity::Error } else { Severity::Warning })
}
