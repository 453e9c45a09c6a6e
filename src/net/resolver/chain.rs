//! The way from an answer up to the root: which signatures hold it, and which of them ends first.

use hickory_resolver::proto::{
    dnssec::{DigestType, rdata::DS},
    rr::{Name, Record, RecordType},
};
use tokio::time::{Instant, timeout_at};

use super::{
    rrset::{Validity, delegations, is_sha1, keys, shown, signature, signatures, validity},
    source::Source,
};
use crate::{facts::SignatureFacts, terms::Timestamp};

/// How many zones are walked through. A name has at most 127 labels; real ones have five zones above them at most.
const MAX_ZONES: usize = 16;

/// What was gathered of the signatures on the way.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    earliest: Option<Validity>,
    /// The zones that signed the answer.
    signers: Vec<Name>,
    weak: Option<String>,
}

impl Gathered {
    /// Notes the signatures over the RRsets of an answer: over the records asked for and over the aliases that led to them.
    pub(super) fn note_answer(&mut self, answers: &[Record], kind: RecordType, now: Timestamp) {
        let mut seen: Vec<(&Name, RecordType)> = Vec::new();
        for record in answers {
            let Some(covered) = signature(record).map(|signature| signature.input().type_covered) else { continue };
            let wanted = covered == kind || matches!(covered, RecordType::CNAME | RecordType::DNAME);
            if wanted && !seen.contains(&(&record.name, covered)) {
                seen.push((&record.name, covered));
                self.note_rrset(answers, &record.name, covered, now);
                for signature in signatures(answers, &record.name, covered) {
                    let signer = &signature.input().signer_name;
                    if !self.signers.contains(signer) && signer.zone_of(&record.name) {
                        self.signers.push(signer.clone());
                    }
                }
            }
        }
    }

    /// Any one valid signature holds an RRset, so the one that ends last counts for it.
    fn note_rrset(&mut self, records: &[Record], owner: &Name, kind: RecordType, now: Timestamp) {
        let last = signatures(records, owner, kind).map(|signature| validity(signature, owner, now));
        self.note(last.max_by_key(|validity| validity.expires));
    }

    fn note(&mut self, validity: Option<Validity>) {
        let Some(validity) = validity else { return };
        if self.earliest.as_ref().is_none_or(|earliest| validity.expires < earliest.expires) {
            self.earliest = Some(validity);
        }
    }

    /// Walks from the signers up to the root, or as far as the time allows, and says what was found.
    pub(super) async fn walk(mut self, source: &Source, now: Timestamp, deadline: Instant) -> Option<SignatureFacts> {
        let mut walked: Vec<Name> = Vec::new();
        for signer in std::mem::take(&mut self.signers) {
            let mut zone = Some(signer);
            while let Some(current) = zone
                && !walked.contains(&current)
                && walked.len() < MAX_ZONES
            {
                zone = match timeout_at(deadline, self.note_zone(source, &current, now)).await {
                    Ok(parent) => parent,
                    Err(_) => break,
                };
                walked.push(current);
            }
        }
        let Self { earliest, weak, .. } = self;
        let Validity { inception, expires, covers } = earliest?;
        Some(SignatureFacts { expires, inception, covers, weak })
    }

    /// Notes the signatures over the keys of a zone and over its delegation; returns the zone that delegated it.
    async fn note_zone(&mut self, source: &Source, zone: &Name, now: Timestamp) -> Option<Name> {
        let apex = source.zone(zone, RecordType::DNSKEY).await.ok()?;
        let delegation = match zone.is_root() {
            true => None,
            false => source.zone(zone, RecordType::DS).await.ok(),
        };
        let above = delegation.as_ref().map_or(&[][..], |answer| &answer.answers);
        let entry: Vec<u16> = match delegations(above, zone).next() {
            Some(_) => delegations(above, zone).map(DS::key_tag).collect(),
            // The root: what signs the keys is the key that signs keys.
            None => keys(&apex.answers, zone)
                .filter(|key| key.secure_entry_point())
                .filter_map(|key| key.calculate_key_tag().ok())
                .collect(),
        };
        // Only a key that the parent vouches for makes the others good; the zone's own signing key often signs them too.
        let over_keys = signatures(&apex.answers, zone, RecordType::DNSKEY);
        let vouched = over_keys.clone().filter(|signature| entry.contains(&signature.input().key_tag));
        let held = vouched.map(|signature| validity(signature, zone, now)).max_by_key(|validity| validity.expires);
        self.note(held);
        self.note_rrset(above, zone, RecordType::DS, now);
        if self.weak.is_none() {
            let name = shown(zone);
            let signed = only(over_keys.map(|signature| is_sha1(signature.input().algorithm)));
            let digests = only(delegations(above, zone).map(|ds| ds.digest_type() == DigestType::SHA1));
            self.weak = match (signed, digests) {
                (true, _) => Some(format!("{name} is signed with RSA/SHA-1 only")),
                (false, true) => Some(format!("{name} is delegated with SHA-1 digests only")),
                (false, false) => None,
            };
        }
        let parent = signatures(above, zone, RecordType::DS).map(|signature| &signature.input().signer_name);
        parent
            .filter(|parent| parent.zone_of(zone) && *parent != zone)
            .max_by_key(|parent| parent.num_labels())
            .cloned()
    }
}

/// Whether there is any, and all are.
fn only(mut all: impl Iterator<Item = bool>) -> bool {
    all.next().is_some_and(|first| first && all.all(|one| one))
}
