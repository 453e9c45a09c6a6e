//! DNSSEC of the answers that mail depends on: signatures that do not hold, that end soon, or that are weak.

use std::{collections::BTreeSet, time::Duration};

use super::Raised;
use crate::{
    facts::{Lookup, LookupFailure, Security, SignatureFacts},
    verdict::{Code, Severity, Subject, case::Case, words},
};

/// A signature near its end: less than this is left, …
const ENDS_SOON: Duration = Duration::from_secs(2 * 86_400);
/// … or this part of its validity, for zones that sign for hours or days only.
const ENDS_SOON_SHARE: u32 = 4;
/// With less than this left, the next failure to sign is the last.
const ENDS_NOW: Duration = Duration::from_secs(86_400);

pub(super) fn rules(case: &Case<'_>, raised: &mut Raised) {
    let seen = &*case.observation.domain;
    let mut told = Told::default();
    let domain = || Subject::Domain(case.domain.clone());
    bogus(case, raised, seen.dnssec_healthy, domain, "MX", &seen.mx);
    bogus(case, raised, seen.dnssec_healthy, domain, "TXT", &seen.sts_record);
    let tls_rpt = || Subject::TlsRpt(case.domain.tlsrpt_record_name());
    bogus(case, raised, seen.dnssec_healthy, tls_rpt, "TXT", &seen.tlsrpt_record);
    let policy_host = || Subject::PolicyHost(seen.policy.host.clone());
    if let Some(lookup) = seen.policy.addresses.lookups().find(|lookup| is_bogus(lookup)) {
        bogus(case, raised, seen.dnssec_healthy, policy_host, "address", lookup);
    }
    if let Some(implicit) = seen.implicit.as_ref().and_then(|all| all.lookups().find(|lookup| is_bogus(lookup))) {
        bogus(case, raised, seen.dnssec_healthy, domain, "address", implicit);
    }
    signatures(case, raised, &mut told, domain, &seen.mx);
    for mx in case.mx() {
        let (Some(host), Some(lookup)) = (&mx.host, &mx.lookup) else { continue };
        let subject = || Subject::Mx(host.to_string());
        // The domain's own addresses have their finding there.
        if let Some(failed) = lookup.addresses.lookups().find(|lookup| is_bogus(lookup)).filter(|_| !mx.implicit) {
            bogus(case, raised, lookup.dnssec_healthy, subject, "address", failed);
        }
        for addresses in lookup.addresses.lookups() {
            signatures(case, raised, &mut told, subject, addresses);
        }
        for tlsa in lookup.tlsa.iter().flat_map(|tlsa| &tlsa.lookups) {
            bogus(case, raised, lookup.dnssec_healthy, subject, "TLSA", &tlsa.lookup);
            signatures(case, raised, &mut told, subject, &tlsa.lookup);
        }
    }
}

pub(super) const fn is_bogus<T>(lookup: &Lookup<T>) -> bool {
    matches!(lookup.security, Security::Bogus)
}

/// Where no signed name validates from here, the fault may be this side's.
fn bogus<T>(
    case: &Case<'_>,
    raised: &mut Raised,
    dnssec_healthy: bool,
    subject: impl Fn() -> Subject,
    kind: &str,
    lookup: &Lookup<T>,
) {
    let Some(LookupFailure::Bogus(why)) = lookup.failure().filter(|_| dnssec_healthy && is_bogus(lookup)) else {
        return;
    };
    raised.raise(
        case,
        Code::DnssecBogus,
        subject(),
        format!(
            "The {kind} answer for {} fails DNSSEC validation ({why}): senders whose resolver validates find nothing there.",
            lookup.name
        ),
        format!(
            "Sign the zone again, and see that the DS record at the parent belongs to the key in use; dig +cd +dnssec {} shows \
             what is published. If the zone is not meant to be signed, have the DS record removed.",
            lookup.name
        ),
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
            "See why the name server does not sign again: the signer has stopped, its key is out of reach, or a secondary no longer gets the zone.",
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
            "Roll the zone over to algorithm 13 (ECDSA P-256), and publish a DS record with digest type 2.",
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
