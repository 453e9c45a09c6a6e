//! The store: what was written is there, whatever happens to the process, the disk and the file.

mod crash;
mod damage;
mod keeping;
mod postgres;
mod reports;
mod reports_crash;
mod reports_model;
mod restart;

use std::{net::IpAddr, path::Path, sync::Arc};

use smtptls_exporter::{
    facts::{DomainObservation, Observation},
    store::{self, Batch, DomainRow, HostRow, Store, StoredAddress, StoredDomain, StoredHost},
    terms::{MxHost, PolicyDomain, Timestamp},
    verdict::{Change, ChangeKind, ChangeSubject, DomainHistory, HostHistory},
};

use tempfile::TempDir;

use super::verdict::case;

pub(crate) const NOW: Timestamp = case::NOW;

fn domain(name: &str) -> PolicyDomain {
    PolicyDomain::parse(name).unwrap()
}

fn host(name: &str) -> MxHost {
    MxHost::parse(name).unwrap()
}

/// Where a store is. What a store promises, each of them keeps.
pub(crate) enum Place {
    Folder(TempDir),
    /// The URL of a schema of its own.
    Database(String),
}

impl Place {
    pub(crate) fn folder() -> Self {
        Self::Folder(TempDir::new().unwrap())
    }

    /// Nothing where there is no PostgreSQL.
    pub(crate) async fn database() -> Option<Self> {
        Some(Self::Database(postgres::server::shared()?.schema().await))
    }

    /// Another one of the kind.
    pub(crate) async fn other(&self) -> Self {
        match self {
            Self::Folder(_) => Self::folder(),
            Self::Database(_) => Self::database().await.unwrap(),
        }
    }

    pub(crate) async fn open(&self) -> Arc<dyn Store> {
        match self {
            Self::Folder(folder) => open(folder.path()).await,
            Self::Database(url) => store::open_shared(url).await.unwrap().store,
        }
    }

    /// Beside who writes.
    pub(crate) async fn reader(&self) -> Arc<dyn Store> {
        match self {
            Self::Folder(folder) => store::read_only(folder.path()).await.unwrap().unwrap(),
            Self::Database(_) => self.open().await,
        }
    }
}

/// The tests of these names for each kind of place.
macro_rules! in_every_place {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test] async fn $name() { super::$name(&super::Place::folder()).await; })*
        }
        mod postgres {
            $(#[tokio::test] async fn $name() {
                if let Some(place) = super::Place::database().await {
                    super::$name(&place).await;
                }
            })*
        }
    };
}
pub(crate) use in_every_place;

async fn open(folder: &Path) -> Arc<dyn Store> {
    let opened = store::open(folder, NOW).await.unwrap();
    assert_eq!(opened.damaged, None);
    opened.store
}

/// A domain of which a good probe is known, `count` of them by its failures.
fn stored_domain(name: &str, count: u32) -> StoredDomain {
    let observation = Arc::new(DomainObservation { domain: domain(name), ..good().domain.as_ref().clone() });
    let mut history = DomainHistory::default();
    history.observe(&observation, case::PACE);
    StoredDomain {
        domain: domain(name),
        history,
        observation: Some(observation),
        hosts: vec![host(case::MX1)],
        skipped_hosts: 0,
        dns_failures: count,
        policy_failures: 0,
        last_success_at: Some(NOW),
    }
}

fn stored_host(name: &str) -> StoredHost {
    let observation = good();
    let facts = observation.hosts.values().next().unwrap();
    let lookup = Arc::clone(&facts.host);
    let mut history = HostHistory::default();
    history.observe(&lookup, case::PACE.retry);
    let mut addresses = std::collections::BTreeMap::new();
    for (address, latest) in &facts.addresses {
        let path = history.addresses.entry(*address).or_default();
        path.observe(latest, &smtptls_exporter::facts::Vantage::default(), case::PACE.retry);
        let latest = Some(Arc::clone(latest));
        addresses.insert(*address, StoredAddress { latest, ..StoredAddress::default() });
    }
    StoredHost { host: host(name), history: Arc::new(history), observation: Some(lookup), addresses, skipped: 3 }
}

/// All is well.
fn good() -> Observation {
    case::World::good("enforce").observation(NOW)
}

fn change(number: u32, at: Timestamp) -> Change {
    let address: IpAddr = "192.0.2.1".parse().unwrap();
    let (subject, kind) = match number % 3 {
        0 => (ChangeSubject::Domain(domain("example.com")), ChangeKind::Policy),
        1 => (ChangeSubject::Host(host(case::MX1)), ChangeKind::Tlsa),
        _ => (ChangeSubject::Address(host(case::MX1), address), ChangeKind::Certificate),
    };
    Change {
        at,
        subject,
        kind,
        before: (number > 0).then(|| format!("before {number}")),
        after: Some(number.to_string()),
    }
}

fn batch(domains: Vec<StoredDomain>, hosts: Vec<StoredHost>, changes: Vec<Change>) -> Arc<Batch> {
    let domains = domains.into_iter().map(|domain| DomainRow::of(&domain).unwrap()).collect();
    let hosts = hosts.into_iter().map(|host| HostRow::of(&host).unwrap()).collect();
    Arc::new(Batch { domains, hosts, changes, fence: None })
}
