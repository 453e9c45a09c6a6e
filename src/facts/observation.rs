//! All that was seen of one domain.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    AddressLookup, AddressObservation, Lookup, MxRecord, PolicyHostObservation, RuaObservation, TlsSurvey,
    TlsaObservation,
};
use crate::terms::{MxHost, Octets, PolicyDomain, Timestamp};

/// What is looked up for a domain alone: records, policy, MX list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainObservation {
    /// Whose.
    pub domain: PolicyDomain,
    /// When the look began.
    pub started_at: Timestamp,
    /// How long it took.
    pub duration: Duration,
    /// TXT at `_mta-sts.<domain>`; each record's character-strings as sent.
    pub sts_record: Lookup<Vec<Octets>>,
    /// TXT at `_smtp._tls.<domain>`.
    pub tlsrpt_record: Lookup<Vec<Octets>>,
    /// MX at `<domain>`.
    pub mx: Lookup<MxRecord>,
    /// The domain's own addresses; asked for only where there is no MX record (RFC 5321 §5.1).
    pub implicit: Option<AddressLookup>,
    /// The policy host and what it serves.
    pub policy: PolicyHostObservation,
    /// The destinations of reports that the record names, in its order; empty where there is none, and in what was stored before
    /// they were looked at.
    #[serde(default)]
    pub rua: Vec<RuaObservation>,
    /// Whether the resolver answered anything while this was looked up: else its failures are on this side.
    pub resolver_healthy: bool,
    /// Whether a name known to be signed validated in the same minute: else a failed validation may be this side's.
    pub dnssec_healthy: bool,
}

/// What is looked up for a mail host, once for all domains that use it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostObservation {
    /// Which.
    pub host: MxHost,
    /// When.
    pub at: Timestamp,
    /// Its addresses.
    pub addresses: AddressLookup,
    /// Its TLSA records; nothing where they were not asked for: DNSSEC is switched off, or there is no address.
    pub tlsa: Option<TlsaObservation>,
    /// Whether the resolver answered anything while this was looked up.
    pub resolver_healthy: bool,
    /// Whether a name known to be signed validated in the same minute: else a failed validation may be this side's.
    pub dnssec_healthy: bool,
}

impl HostObservation {
    /// The TLSA base domain (RFC 7672 §2.2.3): that of the first lookup with records.
    pub fn tlsa_base(&self) -> Option<&MxHost> {
        let lookups = &self.tlsa.as_ref()?.lookups;
        lookups.iter().find(|tlsa| !tlsa.lookup.records().is_empty()).map(|tlsa| &tlsa.base)
    }
}

/// A mail host of a domain, with what its addresses did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MxFacts {
    /// The lookup.
    pub host: Arc<HostObservation>,
    /// Each address that was probed, by its latest probe. An address of the lookup that is missing here was not probed yet.
    pub addresses: BTreeMap<IpAddr, Arc<AddressObservation>>,
    /// The latest look at what TLS each address offers beyond the usual handshake; missing where it was not made.
    pub surveys: BTreeMap<IpAddr, Arc<TlsSurvey>>,
    /// Addresses beyond the configured cap: never probed.
    pub skipped: usize,
}

/// All that was seen of one domain: what a judgement needs of the present.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// Records, policy, MX list.
    pub domain: Arc<DomainObservation>,
    /// The mail hosts of the domain; one that is missing here was not looked at yet, or is beyond the cap.
    pub hosts: BTreeMap<MxHost, MxFacts>,
    /// MX hosts beyond the configured cap.
    pub skipped_hosts: usize,
}
