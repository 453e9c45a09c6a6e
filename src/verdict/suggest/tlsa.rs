//! The TLSA records that fit the certificates of a mail host, and what of them is published (RFC 7672, RFC 7671 §8).

use std::{net::IpAddr, sync::Arc};

use crate::{
    facts::{
        CertificateFacts, CertificateSurvey, ChainFacts, DnssecSight, Handshake, HostObservation, Security,
        SmtpOutcome, TlsaRecord, Vantage,
    },
    protocol::{
        dane::{
            Combination, DaneResult, LookupLink, NotAsked, RecordSight, TlsaState, record_for, record_of, tlsa_state,
            unusable, verify,
        },
        tls::KeyMaterial,
    },
    terms::{MxHost, Timestamp},
    verdict::path::is_own_side,
};

/// RFC 7671 §13: a TTL that is short enough for a mistake, and long enough for caches. It is used where no record is published.
pub const TLSA_TTL: u32 = 3_600;

/// DANE-EE(3) SPKI(1) SHA-256(1): it asks for no name and no date, and lives as long as the key (RFC 7672 §3.1.1).
pub const USUAL: Combination = Combination { usage: 3, selector: 1, matching: 1 };
/// DANE-TA(2) SPKI(1) SHA-256(1): whatever this authority issues for the name.
pub const AUTHORITY: Combination = Combination { usage: 2, selector: 1, matching: 1 };

/// What is known of a mail host.
#[derive(Clone, Copy, Debug)]
pub struct TlsaFacts<'a> {
    /// The lookups.
    pub lookup: &'a HostObservation,
    /// The TLSA base domain.
    pub base: &'a MxHost,
    /// What each address presents.
    pub addresses: &'a [CertificateSurvey],
    /// Addresses that were not looked at.
    pub skipped: usize,
    /// What this side could see.
    pub vantage: &'a Vantage,
}

/// What is suggested for a mail host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsaSuggestion {
    /// Which.
    pub host: MxHost,
    /// The TLSA base domain: the records stand at `_25._tcp.` below it.
    pub base: MxHost,
    /// What the host's name is an alias of.
    pub alias: Option<String>,
    /// Whether anybody believes in records there.
    pub signing: Signing,
    /// Every certificate that is in use, each once.
    pub certificates: Vec<ServedCertificate>,
    /// Addresses present different certificates.
    pub differ: bool,
    /// The records to publish: one for each certificate in use, and the one of the next key last. Each once.
    pub records: Vec<TlsaRecord>,
    /// The record of the next key.
    pub next: Option<TlsaRecord>,
    /// Records of issuers instead, where every chain passes by one of them; else none.
    pub authorities: Vec<Authority>,
    /// What is published, with what it is to the certificates in use.
    pub published: Vec<(TlsaRecord, PublishedSight)>,
    /// Whether senders that apply DANE deliver to every address; nothing where they do not ask, or where it cannot be told.
    pub holds: Option<bool>,
    /// The TTL to publish with, in seconds: that of the published records where it is longer than the usual.
    pub ttl: u32,
    /// What could not be looked at, and why.
    pub unseen: Vec<(Option<IpAddr>, String)>,
    /// Nothing was seen, for a reason on this side.
    pub own_side: bool,
}

/// Whether the DNS around the records is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signing {
    /// It is: senders believe in records there.
    Signed,
    /// It is not: records do nothing.
    Unsigned,
    /// Signatures are there and do not hold, or the name servers fail: senders that apply DANE do not deliver at all.
    Broken(LookupLink),
    /// It cannot be told from here.
    NotSeen,
    /// The host has no address.
    NoAddress,
}

impl Signing {
    /// The word of JSON.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Signed => "signed",
            Self::Unsigned => "unsigned",
            Self::Broken(_) => "broken",
            Self::NotSeen => "not-seen",
            Self::NoAddress => "no-address",
        }
    }
}

/// A certificate in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedCertificate {
    /// What it says.
    pub facts: CertificateFacts,
    /// The addresses that present it.
    pub addresses: Vec<IpAddr>,
    /// Its record.
    pub record: TlsaRecord,
    /// Whether the published records authenticate it; nothing where there are none that senders use.
    pub authenticated: Option<bool>,
}

/// An issuer whose record authenticates a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// Its record.
    pub record: TlsaRecord,
    /// The subject of its certificate, escaped.
    pub subject: String,
}

/// What a published record is to the certificates in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishedSight {
    /// It authenticates one.
    Matches,
    /// It is that of the next key.
    Next,
    /// SMTP cannot use it.
    Unusable,
    /// It is of none of them, or its path does not hold: of a key before or of one to come.
    NoMatch,
}

impl PublishedSight {
    /// The word of JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Matches => "matches",
            Self::Next => "next",
            Self::Unusable => "unusable",
            Self::NoMatch => "no-match",
        }
    }
}

/// Why no record of the next key can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a record of the whole certificate (selector 0) needs the next certificate; a key alone is not enough")]
pub struct NeedsCertificate;

impl TlsaSuggestion {
    /// The records to publish that are not published.
    pub fn missing(&self) -> impl Iterator<Item = &TlsaRecord> {
        self.records.iter().filter(|record| !self.published.iter().any(|(known, _)| known == *record))
    }

    /// The published records that are of no certificate in use or to come.
    pub fn leftover(&self) -> impl Iterator<Item = &TlsaRecord> {
        let of_no_use = |sight: &PublishedSight| matches!(sight, PublishedSight::NoMatch | PublishedSight::Unusable);
        self.published.iter().filter(move |(_, sight)| of_no_use(sight)).map(|(record, _)| record)
    }
}

/// The record of the next key.
///
/// # Errors
/// A whole certificate is asked for and the file holds a key alone.
pub fn next_record(combination: Combination, next: &KeyMaterial) -> Result<Option<TlsaRecord>, NeedsCertificate> {
    if combination.selector == 1 {
        return Ok(record_for(combination, &next.public_key_info));
    }
    let certificate = next.certificate.as_ref().ok_or(NeedsCertificate)?;
    Ok(record_of(combination, certificate))
}

/// Suggests records with these parameters for DANE-EE(3), or those of issuers for DANE-TA(2); `next` is the record of the next key.
pub fn suggest_tlsa(
    seen: &TlsaFacts<'_>,
    combination: Combination,
    next: Option<TlsaRecord>,
    now: Timestamp,
) -> TlsaSuggestion {
    let state = tlsa_state(&seen.lookup.host, &seen.lookup.addresses, seen.lookup.tlsa.as_ref());
    let found = published(seen);
    // Senders use records only where they are secure.
    let used = matches!(&state, TlsaState::Records { set, .. } if !set.usable.is_empty()).then_some(found);
    let chains = chains(seen);
    let names = [seen.base.as_str()];
    let certificates: Vec<ServedCertificate> = chains
        .iter()
        .filter_map(|(chain, addresses)| {
            let record = record_of(Combination { usage: 3, ..combination }, chain.der.first()?.as_bytes())?;
            let passes = |records| matches!(verify(records, chain, &names, now).result, DaneResult::Match { .. });
            Some(ServedCertificate {
                facts: chain.leaf.clone(),
                addresses: addresses.clone(),
                record,
                authenticated: used.map(passes),
            })
        })
        .collect();
    let authorities = authorities(&chains, Combination { usage: 2, ..combination }, &names, now);
    let mut records: Vec<TlsaRecord> = Vec::new();
    let wanted: Vec<&TlsaRecord> = match combination.usage {
        2 => authorities.iter().map(|authority| &authority.record).collect(),
        _ => certificates.iter().map(|certificate| &certificate.record).collect(),
    };
    for record in wanted.into_iter().chain(&next) {
        if !records.contains(record) {
            records.push(record.clone());
        }
    }
    let sight = |record: &TlsaRecord| published_sight(record, &chains, &names, next.as_ref(), now);
    let complete =
        seen.skipped == 0 && !certificates.is_empty() && seen.addresses.iter().all(|survey| survey.usual.tls.is_some());
    let mismatch = certificates.iter().any(|certificate| certificate.authenticated == Some(false));
    TlsaSuggestion {
        host: seen.lookup.host.clone(),
        base: seen.base.clone(),
        alias: seen.lookup.addresses.cname().last().cloned(),
        signing: signing(seen, &state),
        differ: differ(seen),
        published: found.iter().map(|record| (record.clone(), sight(record))).collect(),
        // One address that fails is enough for "no", and "yes" needs all of them.
        holds: used.and_then(|_| if mismatch { Some(false) } else { complete.then_some(true) }),
        ttl: ttl(seen),
        unseen: unseen(seen),
        own_side: certificates.is_empty() && is_this_side(seen),
        certificates,
        records,
        next,
        authorities,
    }
}

/// The records at the base domain, secure or not.
fn published<'a>(seen: &TlsaFacts<'a>) -> &'a [TlsaRecord] {
    let lookups = seen.lookup.tlsa.iter().flat_map(|tlsa| &tlsa.lookups);
    lookups.filter(|lookup| lookup.base == *seen.base).map(|lookup| lookup.lookup.records()).next().unwrap_or(&[])
}

fn ttl(seen: &TlsaFacts<'_>) -> u32 {
    let lookups = seen.lookup.tlsa.iter().flat_map(|tlsa| &tlsa.lookups);
    // A cache shows what is left of it: never wait for less than the usual.
    let found = lookups.filter(|lookup| lookup.base == *seen.base).find_map(|lookup| lookup.lookup.ttl());
    found.map_or(TLSA_TTL, |ttl| ttl.max(TLSA_TTL))
}

/// Every chain with another leaf, with the addresses that present it.
fn chains(seen: &TlsaFacts<'_>) -> Vec<(Arc<ChainFacts>, Vec<IpAddr>)> {
    let mut found: Vec<(Arc<ChainFacts>, Vec<IpAddr>)> = Vec::new();
    for survey in seen.addresses {
        let address = survey.usual.address;
        for chain in survey.chains() {
            match found.iter_mut().find(|(known, _)| known.leaf.fingerprint_sha256 == chain.leaf.fingerprint_sha256) {
                Some((_, addresses)) if addresses.contains(&address) => {}
                Some((_, addresses)) => addresses.push(address),
                None => found.push((Arc::clone(chain), vec![address])),
            }
        }
    }
    found
}

/// Whether two addresses that were seen whole present different sets of certificates.
fn differ(seen: &TlsaFacts<'_>) -> bool {
    let whole = |survey: &&CertificateSurvey| {
        let seen = |handshake: &Handshake| !matches!(handshake, Handshake::NotSeen(_));
        survey.usual.tls.is_some() && seen(&survey.rsa) && seen(&survey.ecdsa)
    };
    let sets = seen.addresses.iter().filter(whole).map(|survey| {
        let mut prints: Vec<&str> = survey.chains().map(|chain| chain.leaf.fingerprint_sha256.as_str()).collect();
        prints.sort_unstable();
        prints.dedup();
        prints
    });
    let mut sets = sets.collect::<Vec<_>>();
    sets.dedup();
    sets.len() > 1
}

/// For each chain the nearest issuer in it whose record authenticates it; none at all where a chain has no such issuer.
fn authorities(
    chains: &[(Arc<ChainFacts>, Vec<IpAddr>)],
    combination: Combination,
    names: &[&str],
    now: Timestamp,
) -> Vec<Authority> {
    let mut found: Vec<Authority> = Vec::new();
    for (chain, _) in chains {
        let issuers = chain.others.iter().zip(chain.der.iter().skip(1));
        let nearest = issuers.filter(|(issuer, _)| issuer.is_ca).find_map(|(issuer, der)| {
            let record = record_of(combination, der.as_bytes())?;
            let verified = verify(std::slice::from_ref(&record), chain, names, now);
            let holds = matches!(verified.result, DaneResult::Match { .. });
            holds.then(|| Authority { record, subject: issuer.subject.clone() })
        });
        match nearest {
            Some(authority) if found.contains(&authority) => {}
            Some(authority) => found.push(authority),
            None => return Vec::new(),
        }
    }
    found
}

fn published_sight(
    record: &TlsaRecord,
    chains: &[(Arc<ChainFacts>, Vec<IpAddr>)],
    names: &[&str],
    next: Option<&TlsaRecord>,
    now: Timestamp,
) -> PublishedSight {
    if unusable(record).is_some() {
        return PublishedSight::Unusable;
    }
    let matches = chains.iter().any(|(chain, _)| {
        let sights = verify(std::slice::from_ref(record), chain, names, now).records;
        sights.iter().any(|sight| matches!(sight, RecordSight::Match { .. }))
    });
    match matches {
        true => PublishedSight::Matches,
        false if next == Some(record) => PublishedSight::Next,
        false => PublishedSight::NoMatch,
    }
}

fn signing(seen: &TlsaFacts<'_>, state: &TlsaState<'_>) -> Signing {
    match state {
        TlsaState::NotAsked(NotAsked::NoAddress) => Signing::NoAddress,
        // A name that does not exist has no address, and is not asked for further.
        _ if seen.lookup.addresses.is_absent() => Signing::NoAddress,
        _ if seen.vantage.dnssec != DnssecSight::Validating => Signing::NotSeen,
        TlsaState::Bogus { at } | TlsaState::Failed { at, .. } => {
            match seen.lookup.resolver_healthy && seen.lookup.dnssec_healthy {
                true => Signing::Broken(at.clone()),
                false => Signing::NotSeen,
            }
        }
        TlsaState::Records { .. } => Signing::Signed,
        TlsaState::NotAsked(NotAsked::Insecure) | TlsaState::Insecure { .. } => Signing::Unsigned,
        TlsaState::Absent => {
            let mut lookups = seen.lookup.tlsa.iter().flat_map(|tlsa| &tlsa.lookups);
            match lookups.find(|lookup| lookup.base == *seen.base).map(|lookup| lookup.lookup.security) {
                Some(Security::Secure) => Signing::Signed,
                Some(Security::Insecure) => Signing::Unsigned,
                _ => Signing::NotSeen,
            }
        }
        TlsaState::NotAsked(_) | TlsaState::Indeterminate { .. } => Signing::NotSeen,
    }
}

fn unseen(seen: &TlsaFacts<'_>) -> Vec<(Option<IpAddr>, String)> {
    let mut told = Vec::new();
    if !seen.lookup.addresses.answered() {
        told.push((None, "not all of its addresses could be looked up".to_owned()));
    }
    if seen.skipped > 0 {
        told.push((None, format!("{} of its addresses were not looked at (probe.max_addresses)", seen.skipped)));
    }
    if is_spared(seen) {
        told.push((
            None,
            "its addresses are not looked at, as the configuration has it (probe.opt_out, probe.families)".to_owned(),
        ));
    }
    for survey in seen.addresses {
        let address = Some(survey.usual.address);
        if survey.usual.tls.is_none() {
            told.push((address, outcome_words(&survey.usual.outcome)));
            continue;
        }
        for (keys, handshake) in [("RSA", &survey.rsa), ("ECDSA", &survey.ecdsa)] {
            if let Handshake::NotSeen(why) = handshake {
                told.push((address, format!("whether it has a certificate with {keys} key: {why}")));
            }
        }
    }
    told
}

/// Why there is no certificate, in words.
fn outcome_words(outcome: &SmtpOutcome) -> String {
    match outcome {
        SmtpOutcome::ConnectFailed(failure) => failure.to_string(),
        SmtpOutcome::Timeout(phase) => format!("no answer in time ({})", phase.label()),
        SmtpOutcome::Rejected { code, text, .. } => format!("the server replied {code} {text}"),
        SmtpOutcome::ProtocolError { fault, .. } => fault.to_string(),
        SmtpOutcome::StarttlsNotOffered => "STARTTLS is not offered".to_owned(),
        SmtpOutcome::StarttlsRefused { code, text } => format!("STARTTLS was answered with {code} {text}"),
        SmtpOutcome::HandshakeFailed(failure) => failure.to_string(),
        SmtpOutcome::Done => "no certificate was presented".to_owned(),
    }
}

/// Whether it is for a reason on this side that nothing was seen.
fn is_this_side(seen: &TlsaFacts<'_>) -> bool {
    let looked = !seen.addresses.is_empty();
    let blocked = looked && seen.addresses.iter().all(|survey| is_own_side(&survey.usual, seen.vantage));
    blocked || seen.vantage.resolver_failing || is_spared(seen)
}

/// Whether there are addresses and the configuration lets none of them be looked at.
fn is_spared(seen: &TlsaFacts<'_>) -> bool {
    seen.addresses.is_empty() && seen.lookup.addresses.addresses().next().is_some()
}

#[cfg(test)]
mod tests;
