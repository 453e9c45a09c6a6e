//! Why an answer does not hold, as far as that is beyond doubt: our own finding, which a verdict of the library needs beside it.

use std::sync::Arc;

use hickory_resolver::proto::{
    dnssec::{Algorithm, PublicKey as _, Verifier as _, rdata::DNSKEY},
    rr::{DNSClass, Name, Record, RecordType},
};

use super::{
    anchors::TrustAnchors,
    rrset::{delegations, has_signatures, keys, shown, signature, signatures, validity},
    source::Source,
    wire::Answer,
};
use crate::terms::Timestamp;

/// How many zones there may be above a name. A name has at most 127 labels; real ones have five zones above them at most.
const MAX_ZONES: usize = 16;
/// How many signatures over one RRset, and keys for each of them, are tried: a zone can make both many and alike, to keep
/// validators busy (CVE-2023-50387, "KeyTrap").
const MAX_TRIES: usize = 8;

/// What was found of an RRset or of a zone.
#[derive(Debug, PartialEq, Eq)]
enum Finding {
    /// Nothing is wrong with it.
    Holds,
    /// This is, beyond doubt.
    Broken(String),
    /// It cannot be told.
    Doubt,
}

/// A zone with what its parent says of it.
#[derive(Debug)]
struct Zone {
    name: Name,
    apex: Arc<Answer>,
    /// The answer for its DS records; none for the root and for a zone with an anchor.
    delegation: Option<Arc<Answer>>,
}

/// What is wrong with an answer, in words; nothing where that cannot be told. Without anchors the root's own keys are believed.
pub(super) async fn fault(
    source: &Source,
    anchors: Option<&TrustAnchors>,
    name: &Name,
    kind: RecordType,
    answer: &Answer,
    now: Timestamp,
) -> Option<String> {
    let (section, rrsets) = rrsets(name, kind, answer);
    let signer = rrsets.iter().find_map(|(owner, kind)| {
        signatures(section, owner, *kind).map(|signature| signature.input().signer_name.clone()).next()
    });
    let zone = match signer {
        Some(signer) if signer.zone_of(name) => signer,
        Some(_) => return None,
        None => zone_with_delegation(source, name).await?,
    };
    let zones = zones(source, anchors, zone).await?;
    // From the root down: what is broken above breaks all below.
    for (index, zone) in zones.iter().enumerate().rev() {
        match check_zone(zone, zones.get(index + 1), anchors, now) {
            Finding::Holds => {}
            Finding::Broken(why) => return Some(why),
            Finding::Doubt => return None,
        }
    }
    let zone = zones.first()?;
    for (owner, kind) in &rrsets {
        if let Finding::Broken(why) = check_rrset(section, owner, *kind, zone, now) {
            return Some(why);
        }
    }
    if !rrsets.is_empty() {
        return None;
    }
    // Some forwarders drop the section that proofs stand in. The root has no address and proves it.
    let control = source.zone(&Name::root(), RecordType::A).await.ok()?;
    has_signatures(&control.authorities)
        .then(|| format!("nothing in the answer proves that {} {kind} is absent", shown(name)))
}

/// The RRsets that the answer stands on: the records asked for or the alias, or those of a denial.
fn rrsets<'a>(name: &Name, kind: RecordType, answer: &'a Answer) -> (&'a [Record], Vec<(Name, RecordType)>) {
    let at = |kind| answer.answers.iter().any(|record| record.name == *name && record.record_type() == kind);
    for kind in [kind, RecordType::CNAME] {
        if at(kind) {
            return (&answer.answers, vec![(name.clone(), kind)]);
        }
    }
    let mut denial: Vec<(Name, RecordType)> = Vec::new();
    for record in &answer.authorities {
        let kind = record.record_type();
        let wanted = matches!(kind, RecordType::NSEC | RecordType::NSEC3 | RecordType::SOA);
        if wanted && !denial.contains(&(record.name.clone(), kind)) {
            denial.push((record.name.clone(), kind));
        }
    }
    // An SOA record alone proves nothing.
    if denial.iter().all(|(_, kind)| *kind == RecordType::SOA) {
        denial.clear();
    }
    (&answer.authorities, denial)
}

/// The nearest zone at or above a name that has a DS record, unless a zone cut without one lies between.
async fn zone_with_delegation(source: &Source, name: &Name) -> Option<Name> {
    let mut candidate = name.clone();
    for _ in 0..MAX_ZONES {
        if candidate.is_root() {
            return Some(candidate);
        }
        let delegation = source.zone(&candidate, RecordType::DS).await.ok()?;
        if delegations(&delegation.answers, &candidate).next().is_some() {
            return Some(candidate);
        }
        let servers = source.zone(&candidate, RecordType::NS).await.ok()?;
        let is_cut = |record: &Record| record.name == candidate && record.record_type() == RecordType::NS;
        if servers.answers.iter().chain(&servers.authorities).any(is_cut) {
            return None;
        }
        candidate = candidate.base_name();
    }
    None
}

/// The zones from this one up to the root or to an anchor, each with its keys and delegation.
async fn zones(source: &Source, anchors: Option<&TrustAnchors>, lowest: Name) -> Option<Vec<Zone>> {
    let mut zones = Vec::new();
    let mut name = lowest;
    while zones.len() < MAX_ZONES {
        let apex = source.zone(&name, RecordType::DNSKEY).await.ok()?;
        if name.is_root() || anchors.is_some_and(|anchors| anchors.holds(&name)) {
            zones.push(Zone { name, apex, delegation: None });
            return Some(zones);
        }
        let delegation = source.zone(&name, RecordType::DS).await.ok()?;
        let signers = signatures(&delegation.answers, &name, RecordType::DS);
        let above = signers.map(|signature| signature.input().signer_name.clone());
        let parent = above.filter(|parent| parent.zone_of(&name) && *parent != name).max_by_key(Name::num_labels)?;
        zones.push(Zone { name, apex, delegation: Some(delegation) });
        name = parent;
    }
    None
}

/// Whether the keys of a zone hold: by what its parent says, or by an anchor.
fn check_zone(zone: &Zone, parent: Option<&Zone>, anchors: Option<&TrustAnchors>, now: Timestamp) -> Finding {
    let name = &zone.name;
    let all: Vec<&DNSKEY> = keys(&zone.apex.answers, name).take(MAX_TRIES * 2).collect();
    let vouched: Vec<&DNSKEY> = match (&zone.delegation, anchors) {
        (Some(delegation), _) => {
            if let Some(parent) = parent {
                match check_rrset(&delegation.answers, name, RecordType::DS, parent, now) {
                    Finding::Holds => {}
                    other => return other,
                }
            }
            let known = delegations(&delegation.answers, name)
                .filter(|ds| ds.algorithm().is_supported() && ds.digest_type().is_supported());
            if known.clone().next().is_none() {
                return Finding::Doubt;
            }
            if all.is_empty() {
                return Finding::Broken(format!("{} has a DS record and no DNSKEY", shown(name)));
            }
            let vouches = |key: &DNSKEY| {
                known
                    .clone()
                    .take(MAX_TRIES)
                    .any(|ds| ds.algorithm() == algorithm(key) && ds.covers(name, key).unwrap_or(false))
            };
            let vouched: Vec<&DNSKEY> = all.into_iter().filter(|key| vouches(key)).collect();
            if vouched.is_empty() {
                return Finding::Broken(format!("no DNSKEY of {} matches its DS record", shown(name)));
            }
            vouched
        }
        // That the root has other keys than the anchors is this side's trouble as soon as anybody's.
        (None, Some(anchors)) => all.into_iter().filter(|key| anchors.covers(name, key)).collect(),
        (None, None) => all,
    };
    if vouched.is_empty() {
        return Finding::Doubt;
    }
    check_signatures(&zone.apex.answers, name, RecordType::DNSKEY, name, &vouched, now)
}

fn check_rrset(section: &[Record], owner: &Name, kind: RecordType, zone: &Zone, now: Timestamp) -> Finding {
    let keys: Vec<&DNSKEY> = keys(&zone.apex.answers, &zone.name).take(MAX_TRIES * 2).collect();
    check_signatures(section, owner, kind, &zone.name, &keys, now)
}

/// Whether any signature over an RRset holds (RFC 4035 §5.3), and where none does, why the one that comes nearest does not.
fn check_signatures(
    section: &[Record],
    owner: &Name,
    kind: RecordType,
    zone: &Name,
    keys: &[&DNSKEY],
    now: Timestamp,
) -> Finding {
    let mut all = signatures(section, owner, kind).peekable();
    if all.peek().is_none() {
        return Finding::Broken(format!(
            "{} {kind} has no signature, although {} is signed",
            shown(owner),
            shown(zone)
        ));
    }
    let records: Vec<&Record> = section.iter().filter(|record| signature(record).is_none()).collect();
    let mut nearest: Option<(u8, String)> = None;
    let mut note = |rank: u8, why: String| {
        if nearest.as_ref().is_none_or(|(best, _)| rank > *best) {
            nearest = Some((rank, why));
        }
    };
    for signature in all.take(MAX_TRIES) {
        let input = signature.input();
        if !input.algorithm.is_supported() || input.signer_name != *zone {
            return Finding::Doubt;
        }
        let validity = validity(signature, owner, now);
        let covers = &validity.covers;
        let made_by = |key: &&&DNSKEY| {
            algorithm(key) == input.algorithm && key.calculate_key_tag().is_ok_and(|tag| tag == input.key_tag)
        };
        let mut candidates = keys.iter().filter(made_by).take(MAX_TRIES).peekable();
        if candidates.peek().is_none() {
            note(0, format!("no DNSKEY of {} that counts made the signature of {covers}", shown(zone)));
            continue;
        }
        if candidates.clone().any(|key| !is_verifiable(key)) {
            return Finding::Doubt;
        }
        let verifies = |key: &&DNSKEY| {
            key.zone_key()
                && !key.revoke()
                && key.verify_rrsig(owner, DNSClass::IN, signature, records.iter().copied()).is_ok()
        };
        if !candidates.any(verifies) {
            note(1, format!("the signature of {covers} does not match the records"));
        } else if now > validity.expires {
            note(2, format!("the signature of {covers} ended on {}", day(validity.expires)));
        } else if now < validity.inception {
            note(2, format!("the signature of {covers} begins only on {}", day(validity.inception)));
        } else {
            return Finding::Holds;
        }
    }
    nearest.map_or(Finding::Doubt, |(_, why)| Finding::Broken(why))
}

/// Whether our cryptography takes the key at all: it refuses RSA keys of less than 1024 or more than 8192 bits, and exponents of
/// more than 33 bits, which other validators take (RFC 3110 §2 allows them).
fn is_verifiable(key: &DNSKEY) -> bool {
    if !matches!(u8::from(algorithm(key)), 5 | 7 | 8 | 10) {
        return true;
    }
    let (exponent, modulus) = match key.public_key().public_bytes() {
        [0, high, low, rest @ ..] => rest.split_at_checked(u16::from_be_bytes([*high, *low]).into()),
        [length, rest @ ..] => rest.split_at_checked((*length).into()),
        [] => None,
    }
    .unwrap_or_default();
    let bits = |number: &[u8]| {
        let significant = number.iter().skip_while(|byte| **byte == 0).count();
        let leading = number.iter().find(|byte| **byte != 0).map_or(0, |byte| byte.leading_zeros());
        (significant * 8).saturating_sub(leading as usize)
    };
    (1024..=8192).contains(&bits(modulus)) && bits(exponent) <= 33
}

fn algorithm(key: &DNSKEY) -> Algorithm {
    key.public_key().algorithm()
}

/// The day of a time, as in `2026-11-01`.
fn day(at: Timestamp) -> String {
    let text = at.to_string();
    text.split_once('T').map_or_else(|| text.clone(), |(day, _)| day.to_owned())
}

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::dnssec::PublicKeyBuf;

    use super::*;

    /// An RSA key with an exponent and a modulus of these bytes (RFC 3110 §2).
    fn rsa(exponent: &[u8], modulus: usize) -> DNSKEY {
        let mut bytes = vec![u8::try_from(exponent.len()).unwrap()];
        bytes.extend(exponent);
        bytes.extend(vec![0x80; modulus]);
        DNSKEY::with_flags(257, PublicKeyBuf::new(bytes, Algorithm::RSASHA256))
    }

    #[test]
    fn keys_that_our_cryptography_refuses_are_a_doubt() {
        let f4 = [1, 0, 1];
        assert!(is_verifiable(&rsa(&f4, 128)) && is_verifiable(&rsa(&f4, 1024)));
        assert!(!is_verifiable(&rsa(&f4, 127)) && !is_verifiable(&rsa(&f4, 1025)));
        assert!(is_verifiable(&rsa(&[1, 0, 0, 0, 1], 256)) && !is_verifiable(&rsa(&[2, 0, 0, 0, 1], 256)));
        let broken = |bytes: &[u8]| DNSKEY::with_flags(257, PublicKeyBuf::new(bytes.to_vec(), Algorithm::RSASHA256));
        assert!(!is_verifiable(&broken(&[])) && !is_verifiable(&broken(&[9, 1])) && !is_verifiable(&broken(&[0, 1])));
        let curve = DNSKEY::with_flags(257, PublicKeyBuf::new(vec![7; 64], Algorithm::ECDSAP256SHA256));
        assert!(is_verifiable(&curve));
    }
}
