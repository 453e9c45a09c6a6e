//! A row of the store: a subject, and what is kept of it, packed.

use std::{collections::BTreeMap, fmt, net::IpAddr, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{Packed, PackedError};
use crate::{
    facts::{AddressObservation, DomainObservation, HostObservation, TlsSurvey},
    terms::{MxHost, PolicyDomain, Timestamp},
    verdict::{DomainHistory, HostHistory},
};

/// What has to be left out because it is larger than this, packed. The largest that was measured is a hundredth of it.
const LARGEST_BLOB: usize = 4 * 1024 * 1024;

/// Whether a state can be kept.
pub(super) fn fits(name: &str, state: &Packed) -> bool {
    let bytes = state.as_bytes().len();
    if bytes > LARGEST_BLOB {
        tracing::error!(name, bytes, "what is known is too large to be kept");
    }
    bytes <= LARGEST_BLOB
}

/// The name of a row. Only damage makes it none, and takes this one row.
pub(super) fn name_of<T: FromStr<Err: fmt::Display>>(name: &str) -> Option<T> {
    let parsed = name.parse();
    parsed.inspect_err(|error| tracing::error!(name, %error, "what was kept cannot be read; it begins anew")).ok()
}

/// A domain and what is kept of it.
#[derive(Clone, Debug)]
pub struct DomainRow {
    /// Which.
    pub domain: PolicyDomain,
    /// A [`StoredDomain`].
    pub state: Packed,
    /// What lists and scrapes show of it. It follows from the state, and may be missing or thrown away at any time; the store does
    /// not read it.
    pub face: Option<Box<[u8]>>,
    /// When it was written last, where the store tells it. What is to be written says nothing.
    pub saved_at: Option<Timestamp>,
}

/// A mail host and what is kept of it.
#[derive(Clone, Debug)]
pub struct HostRow {
    /// Which.
    pub host: MxHost,
    /// A [`StoredHost`], in which what stands in two places is written once.
    pub state: Packed,
}

impl StoredDomain {
    /// A domain of which nothing is known yet.
    pub fn new(domain: PolicyDomain) -> Self {
        Self {
            domain,
            history: DomainHistory::default(),
            observation: None,
            hosts: Vec::new(),
            skipped_hosts: 0,
            dns_failures: 0,
            policy_failures: 0,
            last_success_at: None,
        }
    }
}

impl DomainRow {
    /// The row of a domain, without a face.
    ///
    /// # Errors
    /// [`PackedError`] where it cannot be packed.
    pub fn of(state: &StoredDomain) -> Result<Self, PackedError> {
        Ok(Self { domain: state.domain.clone(), state: Packed::of(state)?, face: None, saved_at: None })
    }

    /// What is kept.
    ///
    /// # Errors
    /// [`PackedError`] where a later version packed it, or it is damaged.
    pub fn open(&self) -> Result<StoredDomain, PackedError> {
        self.state.open()
    }
}

impl HostRow {
    /// The row of a mail host.
    ///
    /// # Errors
    /// [`PackedError`] where it cannot be packed.
    pub fn of(state: &StoredHost) -> Result<Self, PackedError> {
        Ok(Self { host: state.host.clone(), state: Packed::of(&Thin::of(state))? })
    }

    /// What is kept.
    ///
    /// # Errors
    /// [`PackedError`] where a later version packed it, or it is damaged.
    pub fn open(&self) -> Result<StoredHost, PackedError> {
        self.state.open::<Thin>().map(Thin::filled)
    }
}

/// What is kept of a domain.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StoredDomain {
    /// Which.
    pub domain: PolicyDomain,
    /// What is remembered.
    #[serde(default)]
    pub history: DomainHistory,
    /// The latest observation.
    #[serde(default)]
    pub observation: Option<Arc<DomainObservation>>,
    /// Its mail hosts, by the last MX list that was seen.
    #[serde(default)]
    pub hosts: Vec<MxHost>,
    /// Hosts beyond the cap.
    #[serde(default)]
    pub skipped_hosts: usize,
    /// Probes in a row in which a lookup failed.
    #[serde(default)]
    pub dns_failures: u32,
    /// Probes in a row in which an announced policy could not be used.
    #[serde(default)]
    pub policy_failures: u32,
    /// The last probe in which every lookup was answered.
    #[serde(default)]
    pub last_success_at: Option<Timestamp>,
}

/// What is kept of a mail host.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StoredHost {
    /// Which.
    pub host: MxHost,
    /// What is remembered.
    #[serde(default)]
    pub history: Arc<HostHistory>,
    /// The latest address lookup.
    #[serde(default)]
    pub observation: Option<Arc<HostObservation>>,
    /// Its addresses.
    #[serde(default)]
    pub addresses: BTreeMap<IpAddr, StoredAddress>,
    /// Addresses beyond the cap.
    #[serde(default)]
    pub skipped: usize,
}

/// What is kept of one address of a mail host, beside its history.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct StoredAddress {
    /// The latest probe.
    pub latest: Option<Arc<AddressObservation>>,
    /// Since when it is not among the addresses of the host.
    pub unlisted_since: Option<Timestamp>,
    /// The latest survey that saw something.
    pub survey: Option<Arc<TlsSurvey>>,
    /// Surveys in a row that had to be repeated soon.
    pub setbacks: u32,
}

/// A host in which what stands in two places is written once.
#[derive(Serialize, Deserialize)]
struct Thin {
    host: StoredHost,
    /// The addresses whose last probe that reached a server is the latest one.
    #[serde(default)]
    up_now: Vec<IpAddr>,
}

impl Thin {
    fn of(host: &StoredHost) -> Self {
        let mut host = host.clone();
        let mut up_now = Vec::new();
        let history = Arc::make_mut(&mut host.history);
        for (address, known) in &mut history.addresses {
            let latest = host.addresses.get(address).and_then(|address| address.latest.as_ref());
            if known.last_up.is_some() && known.last_up.as_ref() == latest {
                known.last_up = None;
                up_now.push(*address);
            }
        }
        Self { host, up_now }
    }

    fn filled(self) -> StoredHost {
        let Self { mut host, up_now } = self;
        let history = Arc::make_mut(&mut host.history);
        for address in up_now {
            let latest = host.addresses.get(&address).and_then(|address| address.latest.clone());
            if let Some(known) = history.addresses.get_mut(&address) {
                known.last_up = latest;
            }
        }
        host
    }
}
