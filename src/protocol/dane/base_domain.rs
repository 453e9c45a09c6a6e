//! Under which name the TLSA records of a mail host are looked for, and what was found (RFC 7672 §2.2.2, §2.2.3; RFC 7671 §7).

use std::net::IpAddr;

use super::{RecordSet, read_record_set};
use crate::{
    facts::{AddressLookup, Lookup, LookupFailure, Security, TlsaLookup, TlsaObservation},
    terms::MxHost,
};

/// What to ask the DNS next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// The CNAME record at the host's own name, by itself.
    Alias,
    /// The TLSA records at `_25._tcp.` below this TLSA base domain.
    Tlsa(MxHost),
}

/// The lookup that something is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookupLink {
    /// The addresses of the host.
    Addresses,
    /// The CNAME record at the host's own name.
    Alias,
    /// The TLSA records of this base domain.
    Tlsa(MxHost),
}

/// Why senders do not ask for TLSA records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotAsked {
    /// The host has no address.
    NoAddress,
    /// Its addresses are insecure, and so is the alias, where it is one (RFC 7672 §2.2.2).
    Insecure,
    /// Senders do; this monitor did not look (yet).
    NotSeen,
}

/// What senders that validate DNSSEC find out about the TLSA records of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsaState<'a> {
    /// Nobody asks for them.
    NotAsked(NotAsked),
    /// There are none, or none that a sender gets to see: STARTTLS stays opportunistic.
    Absent,
    /// There are records, and they are insecure, or the addresses are: senders ignore them.
    Insecure {
        /// Where they stand.
        lookup: &'a TlsaLookup,
    },
    /// A lookup on the way failed validation: the host cannot be used (RFC 7672 §2.1).
    Bogus {
        /// Which.
        at: LookupLink,
    },
    /// A lookup on the way failed: the host cannot be used (RFC 7672 §2.1.1).
    Failed {
        /// Which.
        at: LookupLink,
        /// How.
        failure: LookupFailure,
    },
    /// Whether an answer is secure cannot be told from here.
    Indeterminate {
        /// Which.
        at: LookupLink,
    },
    /// There are secure records: TLS is mandatory (RFC 7672 §2.2).
    Records {
        /// The records, with the TLSA base domain and its lookup.
        lookup: &'a TlsaLookup,
        /// What they are good for.
        set: RecordSet,
    },
}

/// [`TlsaState`] in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsaStatus {
    /// No records, or nobody asks for them.
    None,
    /// Secure records, at least one usable.
    Usable,
    /// Secure records, none usable.
    Unusable,
    /// Records that are not secure.
    Insecure,
    /// DNSSEC validation fails on the way.
    Bogus,
    /// It cannot be told, or was not looked at.
    Indeterminate,
    /// A lookup fails on the way.
    Failed,
}

/// What is still to be asked for the state to be known; nothing where it is.
pub fn next_question(host: &MxHost, addresses: &AddressLookup, seen: &TlsaObservation) -> Option<Question> {
    walk(host, addresses, seen).err()
}

/// The state, from what was asked. A lookup that senders make and that is missing in `seen` gives [`NotAsked::NotSeen`].
pub fn tlsa_state<'a>(host: &MxHost, addresses: &AddressLookup, seen: Option<&'a TlsaObservation>) -> TlsaState<'a> {
    // Where nothing was seen, the addresses alone may say enough.
    walk(host, addresses, seen.unwrap_or(&NOTHING)).unwrap_or(TlsaState::NotAsked(NotAsked::NotSeen))
}

static NOTHING: TlsaObservation = TlsaObservation { alias: None, lookups: Vec::new() };

/// The way of a sender through the lookups, up to the first that is missing.
fn walk<'a>(host: &MxHost, addresses: &AddressLookup, seen: &'a TlsaObservation) -> Result<TlsaState<'a>, Question> {
    if let Some(state) = addresses.lookups().find_map(|lookup| unusable(lookup, || LookupLink::Addresses)) {
        return Ok(state);
    }
    let found: Vec<&Lookup<IpAddr>> = addresses.lookups().filter(|lookup| !lookup.records().is_empty()).collect();
    if found.is_empty() {
        return Ok(TlsaState::NotAsked(NotAsked::NoAddress));
    }
    // One family can be secure alone. Senders judge by the address they dial; the secure one binds some of them.
    if let Some(secure) = found.iter().find(|lookup| lookup.security == Security::Secure) {
        return choose(&base_domains(host, &secure.cname), seen);
    }
    if found.iter().any(|lookup| lookup.security == Security::Indeterminate) {
        return Ok(TlsaState::Indeterminate { at: LookupLink::Addresses });
    }
    if found.iter().all(|lookup| lookup.cname.is_empty()) {
        return Ok(insecure(seen, NotAsked::Insecure));
    }
    let alias = seen.alias.as_ref().ok_or(Question::Alias)?;
    if let Some(state) = unusable(alias, || LookupLink::Alias) {
        return Ok(state);
    }
    match alias.security {
        Security::Secure if !alias.records().is_empty() => choose(std::slice::from_ref(host), seen),
        Security::Indeterminate => Ok(TlsaState::Indeterminate { at: LookupLink::Alias }),
        _ => Ok(insecure(seen, NotAsked::Insecure)),
    }
}

/// RFC 7671 §7: what the host is an alias of in the end, then the host; what lies between never. A name that no host can have is
/// passed over.
fn base_domains(host: &MxHost, cname: &[String]) -> Vec<MxHost> {
    let expanded = cname.last().and_then(|name| MxHost::parse(name).ok()).filter(|name| name != host);
    expanded.into_iter().chain([host.clone()]).collect()
}

/// The first base domain with secure records is the one. Absent and insecure records let a sender go on to the next, a failure
/// does not (RFC 7672 §2.2.3, §2.1.1).
fn choose<'a>(bases: &[MxHost], seen: &'a TlsaObservation) -> Result<TlsaState<'a>, Question> {
    for base in bases {
        let asked = seen.lookups.iter().find(|lookup| lookup.base == *base);
        let TlsaLookup { lookup, .. } = asked.ok_or_else(|| Question::Tlsa(base.clone()))?;
        if let Some(state) = unusable(lookup, || LookupLink::Tlsa(base.clone())) {
            return Ok(state);
        }
        match lookup.security {
            Security::Secure if !lookup.records().is_empty() => {
                let set = read_record_set(lookup.records());
                return Ok(asked.map_or(TlsaState::Absent, |lookup| TlsaState::Records { lookup, set }));
            }
            Security::Indeterminate => return Ok(TlsaState::Indeterminate { at: LookupLink::Tlsa(base.clone()) }),
            _ => {}
        }
    }
    let asked = |lookup: &&TlsaLookup| bases.contains(&lookup.base);
    let insecure = seen.lookups.iter().filter(asked).find(|lookup| !lookup.lookup.records().is_empty());
    Ok(insecure.map_or(TlsaState::Absent, |lookup| TlsaState::Insecure { lookup }))
}

/// Records that somebody published, and that senders never ask for.
fn insecure(seen: &TlsaObservation, otherwise: NotAsked) -> TlsaState<'_> {
    let published = seen.lookups.iter().find(|lookup| !lookup.lookup.records().is_empty());
    published.map_or(TlsaState::NotAsked(otherwise), |lookup| TlsaState::Insecure { lookup })
}

/// RFC 7672 §2.1: an answer that is bogus, or none, makes the host unusable.
fn unusable<T>(lookup: &Lookup<T>, at: impl Fn() -> LookupLink) -> Option<TlsaState<'static>> {
    let bogus = matches!(lookup.failure(), Some(LookupFailure::Bogus(_)));
    if bogus || lookup.security == Security::Bogus {
        return Some(TlsaState::Bogus { at: at() });
    }
    lookup.failure().map(|failure| TlsaState::Failed { at: at(), failure: failure.clone() })
}

impl TlsaState<'_> {
    /// In one word.
    pub fn status(&self) -> TlsaStatus {
        match self {
            Self::NotAsked(NotAsked::NotSeen) | Self::Indeterminate { .. } => TlsaStatus::Indeterminate,
            Self::NotAsked(_) | Self::Absent => TlsaStatus::None,
            Self::Insecure { .. } => TlsaStatus::Insecure,
            Self::Bogus { .. } => TlsaStatus::Bogus,
            Self::Failed { .. } => TlsaStatus::Failed,
            Self::Records { set, .. } if set.usable.is_empty() => TlsaStatus::Unusable,
            Self::Records { .. } => TlsaStatus::Usable,
        }
    }

    /// The TLSA base domain: the name for SNI and the first reference name (RFC 7672 §8.1, §3.2.2).
    pub fn base(&self) -> Option<&MxHost> {
        match self {
            Self::Records { lookup, .. } => Some(&lookup.base),
            _ => None,
        }
    }
}

impl TlsaStatus {
    /// The word of JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Usable => "usable",
            Self::Unusable => "unusable",
            Self::Insecure => "insecure",
            Self::Bogus => "bogus",
            Self::Indeterminate => "indeterminate",
            Self::Failed => "failed",
        }
    }
}
