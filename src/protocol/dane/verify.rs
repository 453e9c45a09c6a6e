//! What the records say of a chain (RFC 7672 §3, RFC 7671 §5).

use std::fmt;

use rustls_pki_types::CertificateDer;

use super::{
    association::is_of,
    coverage::{Combination, is_passed_over, rollover, stale},
    tlsa::{CERT, DANE_EE, DANE_TA, FULL, Unusable, unusable},
};
use crate::{
    facts::{ChainFacts, TlsaRecord},
    protocol::tls::{Anchor, PathFault, names_match, path_from_anchor},
    terms::Timestamp,
};

/// The most records of one RRset that are looked at. Operators are told that more than twelve are too many; an answer over TCP
/// has room for a thousand.
pub const MAX_RECORDS: usize = 64;

/// From how many anchors a path is looked for. A chain is rarely anchored in more than two ways, and each search can cost a
/// hundred signatures where somebody means harm.
pub const MAX_ANCHORS: usize = 8;

/// What the records say of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// What a sender makes of it.
    pub result: DaneResult,
    /// What each record is to the chain, in the order of the records.
    pub records: Vec<RecordSight>,
    /// RFC 7671 §8: published combinations of usable records that have none for this chain. All of them where nothing matches.
    pub stale: Vec<Combination>,
    /// Places of usable DANE-EE(3) records for another certificate or key, beside one of the same combination that matches.
    pub rollover: Vec<usize>,
}

/// What a sender makes of the records and the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DaneResult {
    /// The chain is authentic.
    Match {
        /// The place of the record; DANE-EE(3) before DANE-TA(2).
        record: usize,
        /// The certificate that it is of, in the chain as sent, the leaf being 0; nothing where the record itself brings an
        /// anchor that was not sent.
        depth: Option<usize>,
    },
    /// A DANE-TA(2) record names an issuer, and the path from there does not hold.
    ChainInvalid {
        /// The place of the record whose path is nearest to holding.
        record: usize,
        /// What is wrong first.
        fault: ChainFault,
        /// What is wrong beside that.
        further: Vec<ChainFault>,
    },
    /// No record that a sender looks at is of this chain.
    Mismatch {
        /// A record that would match, were there none with a stronger digest for the same usage and selector: the stronger one
        /// alone counts for senders with digest agility (RFC 7671 §9), Postfix among them.
        passed_over: Option<usize>,
    },
    /// No record is usable: TLS is mandatory, authentication is off (RFC 7672 §2.2).
    EncryptOnly,
}

/// What one record is to a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordSight {
    /// SMTP cannot use it.
    Unusable(Unusable),
    /// It says the same as the one at this place.
    Repeats(usize),
    /// It authenticates the chain.
    Match {
        /// As in [`DaneResult::Match`].
        depth: Option<usize>,
    },
    /// It names an issuer, and the path from there does not hold.
    Fault {
        /// As in [`DaneResult::Match`].
        depth: Option<usize>,
        /// At least one; the first is the one to tell first.
        faults: Vec<ChainFault>,
    },
    /// It is of a certificate that its usage does not speak of: DANE-EE(3) of an issuer, or DANE-TA(2) of the leaf. So it counts
    /// for nothing (RFC 7671 §5.1, §5.2).
    WrongUsage {
        /// The certificate in the chain as sent.
        depth: usize,
    },
    /// It is of no certificate of this chain.
    NoMatch,
    /// Beyond [`MAX_RECORDS`], or its anchor beyond [`MAX_ANCHORS`].
    NotLookedAt,
}

/// What is wrong with the path from the issuer that a DANE-TA(2) record names (RFC 7672 §3.1.2, §3.2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChainFault {
    /// A certificate on the way has expired: `certificate-expired`.
    Expired {
        /// Its subject, escaped.
        subject: String,
        /// When it ended.
        not_after: Timestamp,
    },
    /// A certificate on the way is not valid yet: `certificate-not-trusted`.
    NotYetValid {
        /// Its subject, escaped.
        subject: String,
        /// When it begins.
        not_before: Timestamp,
    },
    /// The leaf names none of the reference names: `certificate-host-mismatch`.
    Name,
    /// The certificates between the leaf and the named one were not sent, or the signatures do not lead there:
    /// `certificate-not-trusted`.
    Incomplete,
    /// The path is refused for another reason, in words: `certificate-not-trusted`.
    Refused(String),
}

/// Judges a chain by TLSA records that DNSSEC has secured.
///
/// `names` are the reference names of RFC 7672 §3.2.2: the TLSA base domain, and the next-hop domain where it is secure. They and
/// `now` matter to DANE-TA(2) alone: with DANE-EE(3) neither names nor dates nor issuers count (RFC 7672 §3.1.1).
///
/// A DANE-TA(2) record is never one of the leaf itself, not even of one that signed itself (RFC 7671 §5.2; OpenSSL alike), but for
/// `2 1 0`, which brings a key that signed the leaf.
pub fn verify(records: &[TlsaRecord], chain: &ChainFacts, names: &[&str], now: Timestamp) -> Verification {
    let mut verifier = Verifier::new(chain, names, now);
    let mut sights: Vec<RecordSight> = Vec::with_capacity(records.len());
    for (place, record) in records.iter().enumerate() {
        let earlier = records.iter().take(place.min(MAX_RECORDS)).position(|earlier| earlier == record);
        let sight = match (earlier, unusable(record)) {
            _ if place >= MAX_RECORDS => RecordSight::NotLookedAt,
            (Some(first), _) => RecordSight::Repeats(first),
            (None, Some(why)) => RecordSight::Unusable(why),
            (None, None) => verifier.look(record),
        };
        sights.push(sight);
    }
    let result = result(records, &sights);
    let (stale, rollover) = (stale(records, &sights), rollover(records, &sights));
    Verification { result, records: sights, stale, rollover }
}

fn result(records: &[TlsaRecord], sights: &[RecordSight]) -> DaneResult {
    let is_usable = |sight: &RecordSight| !matches!(sight, RecordSight::Unusable(_) | RecordSight::Repeats(_));
    let looked_at = records.iter().zip(sights).enumerate().take(MAX_RECORDS);
    let usable: Vec<(usize, &TlsaRecord, &RecordSight)> = looked_at
        .filter(|(_, (_, sight))| is_usable(sight))
        .map(|(place, (record, sight))| (place, record, sight))
        .collect();
    if usable.is_empty() {
        return DaneResult::EncryptOnly;
    }
    let all: Vec<&TlsaRecord> = usable.iter().map(|(_, record, _)| *record).collect();
    let (passed_over, counting): (Vec<_>, Vec<_>) =
        usable.into_iter().partition(|(_, record, _)| is_passed_over(record, &all));

    let depth = |sight: &RecordSight| match sight {
        RecordSight::Match { depth } => Some(*depth),
        _ => None,
    };
    let matches = counting.iter().filter_map(|(place, record, sight)| Some((record.usage, *place, depth(sight)?)));
    if let Some((_, record, depth)) = matches.min_by_key(|(usage, place, _)| (*usage != DANE_EE, *place)) {
        return DaneResult::Match { record, depth };
    }
    let faults = counting.iter().filter_map(|(place, _, sight)| match sight {
        RecordSight::Fault { faults, .. } => Some((*place, faults.split_first()?)),
        _ => None,
    });
    if let Some((record, (fault, further))) = faults.min_by_key(|(_, (fault, _))| fault.distance()) {
        return DaneResult::ChainInvalid { record, fault: fault.clone(), further: further.to_vec() };
    }
    let hidden = passed_over.iter().find(|(_, _, sight)| matches!(sight, RecordSight::Match { .. }));
    DaneResult::Mismatch { passed_over: hidden.map(|(place, _, _)| *place) }
}

/// One chain, and the paths of it that were looked for.
struct Verifier<'a> {
    chain: Vec<CertificateDer<'a>>,
    facts: &'a ChainFacts,
    now: Timestamp,
    named: bool,
    /// What came of the paths from the certificates of the chain, by their depth.
    paths: Vec<(usize, Vec<ChainFault>)>,
    searches: usize,
}

impl<'a> Verifier<'a> {
    fn new(facts: &'a ChainFacts, names: &[&str], now: Timestamp) -> Self {
        let chain = facts.der.iter().map(|der| CertificateDer::from(der.as_bytes())).collect();
        let named = names.iter().any(|name| is_named(facts, name));
        Self { chain, facts, now, named, paths: Vec::new(), searches: 0 }
    }

    fn look(&mut self, record: &TlsaRecord) -> RecordSight {
        let depths: Vec<usize> = (0..self.chain.len())
            .filter(|depth| self.chain.get(*depth).is_some_and(|der| is_of(record, der)))
            .collect();
        let first_issuer = depths.iter().copied().find(|depth| *depth > 0);
        if record.usage == DANE_EE {
            return match (depths.first(), first_issuer) {
                (Some(0), _) => RecordSight::Match { depth: Some(0) },
                (_, Some(depth)) => RecordSight::WrongUsage { depth },
                _ => RecordSight::NoMatch,
            };
        }
        if first_issuer.is_some() {
            return self.nearest(depths.into_iter().filter(|depth| *depth > 0));
        }
        match (record.usage, record.matching, depths.first()) {
            (DANE_TA, FULL, leaf) if record.selector != CERT || leaf.is_none() => {
                match (self.own_anchor(record), leaf) {
                    (RecordSight::NoMatch, Some(_)) => RecordSight::WrongUsage { depth: 0 },
                    (sight, _) => sight,
                }
            }
            (_, _, Some(_)) => RecordSight::WrongUsage { depth: 0 },
            _ => RecordSight::NoMatch,
        }
    }

    /// Several certificates of a chain may have one key; the best of them counts.
    fn nearest(&mut self, depths: impl Iterator<Item = usize>) -> RecordSight {
        let mut nearest: Option<(usize, Vec<ChainFault>)> = None;
        for depth in depths {
            let Some(faults) = self.path_from(depth) else { continue };
            let distance = |faults: &[ChainFault]| faults.first().map_or(0, ChainFault::distance);
            if nearest.as_ref().is_none_or(|(_, known)| distance(&faults) < distance(known)) {
                nearest = Some((depth, faults));
            }
        }
        match nearest {
            None => RecordSight::NotLookedAt,
            Some((depth, faults)) if faults.is_empty() => RecordSight::Match { depth: Some(depth) },
            Some((depth, faults)) => RecordSight::Fault { depth: Some(depth), faults },
        }
    }

    /// RFC 7671 §5.2.2, §5.2.3: a record that holds the anchor itself needs none from the server. The bare key of a leaf that
    /// signed itself is one, as OpenSSL has it.
    fn own_anchor(&mut self, record: &TlsaRecord) -> RecordSight {
        let data = record.data.as_bytes();
        let anchor = if record.selector == CERT { Anchor::Certificate(data) } else { Anchor::Key(data) };
        match self.search(anchor) {
            None => RecordSight::NotLookedAt,
            Some(faults) if faults.is_empty() => RecordSight::Match { depth: None },
            Some(faults) if faults.contains(&ChainFault::Incomplete) => RecordSight::NoMatch,
            Some(faults) => RecordSight::Fault { depth: None, faults },
        }
    }

    fn path_from(&mut self, depth: usize) -> Option<Vec<ChainFault>> {
        if let Some((_, known)) = self.paths.iter().find(|(known, _)| *known == depth) {
            return Some(known.clone());
        }
        let der = self.facts.der.get(depth)?;
        let faults = self.search(Anchor::Certificate(der.as_bytes()))?;
        self.paths.push((depth, faults.clone()));
        Some(faults)
    }

    /// Path and dates, then the name, which is told beside them. Nothing where enough was searched.
    fn search(&mut self, anchor: Anchor<'_>) -> Option<Vec<ChainFault>> {
        if self.searches >= MAX_ANCHORS {
            return None;
        }
        self.searches = self.searches.saturating_add(1);
        let path = path_from_anchor(&self.chain, self.facts, anchor, self.now).err().map(ChainFault::from);
        let name = (!self.named).then_some(ChainFault::Name);
        Some(path.into_iter().chain(name).collect())
    }
}

/// RFC 7672 §3.2.2: a common name counts only where there is no dNSName.
fn is_named(chain: &ChainFacts, name: &str) -> bool {
    let common_name: Vec<String> = chain.leaf.common_name.iter().cloned().collect();
    names_match(if chain.leaf.names.is_empty() { &common_name } else { &chain.leaf.names }, name)
}

impl ChainFault {
    /// How far the chain is from a good one, for the choice of what to tell.
    const fn distance(&self) -> u8 {
        match self {
            Self::Name => 1,
            Self::Expired { .. } | Self::NotYetValid { .. } => 2,
            Self::Refused(_) => 3,
            Self::Incomplete => 4,
        }
    }
}

impl From<PathFault> for ChainFault {
    fn from(fault: PathFault) -> Self {
        match fault {
            PathFault::Expired { subject, not_after } => Self::Expired { subject, not_after },
            PathFault::NotYetValid { subject, not_before } => Self::NotYetValid { subject, not_before },
            PathFault::Incomplete => Self::Incomplete,
            PathFault::Refused(why) => Self::Refused(why),
        }
    }
}

impl fmt::Display for ChainFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired { subject, not_after } => write!(f, "the certificate {subject:?} ended at {not_after}"),
            Self::NotYetValid { subject, not_before } => {
                write!(f, "the certificate {subject:?} begins at {not_before}")
            }
            Self::Name => f.write_str("the certificate is for another name"),
            Self::Incomplete => f.write_str("what was sent does not lead to the issuer that the record names"),
            Self::Refused(why) => write!(f, "the path is refused ({why})"),
        }
    }
}
