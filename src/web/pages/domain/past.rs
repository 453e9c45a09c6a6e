//! What was before: read from the store when a page is asked for.

use std::{collections::BTreeMap, net::IpAddr};

use crate::{
    monitor::{DomainState, SharedStore},
    store::{ChangesWanted, Store, StoreError},
    terms::MxHost,
    verdict::{Change, SeenCertificate},
    web::api::{self, PATIENCE},
};

/// So many changes stand on a page; the API has the others.
pub(super) const CHANGES_MOST: usize = 30;

/// What the store tells of the past of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::web) enum Past {
    /// It could be read.
    Known {
        /// The latest first.
        changes: Vec<Change>,
        /// There are older ones.
        more: bool,
        /// The certificates that each address of the present mail hosts showed.
        certificates: BTreeMap<(MxHost, IpAddr), Vec<SeenCertificate>>,
    },
    /// It could not; why, in a sentence for people.
    Unknown(&'static str),
}

impl Past {
    /// The changes, as far as they are known.
    pub(super) fn changes(&self) -> &[Change] {
        match self {
            Self::Known { changes, .. } => changes,
            Self::Unknown(_) => &[],
        }
    }

    /// The certificates of an address, as far as they are known.
    pub(super) fn certificates(&self, host: &MxHost, address: IpAddr) -> &[SeenCertificate] {
        match self {
            Self::Known { certificates, .. } => {
                certificates.get(&(host.clone(), address)).map_or(&[], |certificates| certificates.as_slice())
            }
            Self::Unknown(_) => &[],
        }
    }
}

/// Reads it. A store that is not there, or is too slow, costs the page its past and nothing else.
pub(in crate::web) async fn past(state: &DomainState, store: Option<&SharedStore>) -> Past {
    let Some(store) = store else {
        return Past::Unknown("This monitor keeps no state: no state folder is in use.");
    };
    let Ok(store) = api::opened(Some(store)) else {
        return Past::Unknown("The state cannot be opened at present; the log says why, and it is tried again.");
    };
    match tokio::time::timeout(PATIENCE, read(state, store.as_ref())).await {
        Ok(Ok(past)) => past,
        Ok(Err(error)) => {
            // The text names files of this machine: it is for the log.
            tracing::warn!(%error, "the past of a domain could not be read");
            Past::Unknown("The state cannot be read at present; the log says why.")
        }
        Err(_) => Past::Unknown("The state could not be read in time."),
    }
}

async fn read(state: &DomainState, store: &dyn Store) -> Result<Past, StoreError> {
    let mx = state.assessment.iter().flat_map(|seen| &seen.mx);
    let hosts: Vec<MxHost> = mx.filter_map(|mx| mx.host.clone()).collect();
    let names = std::iter::once(state.domain.as_str()).chain(hosts.iter().map(MxHost::as_str));
    // One more shows whether there are older ones.
    let wanted =
        ChangesWanted { names: names.map(str::to_owned).collect(), most: CHANGES_MOST + 1, ..ChangesWanted::default() };
    let (changes, kept) = tokio::try_join!(store.changes(&wanted), store.hosts(&hosts))?;
    let more = changes.len() > CHANGES_MOST;
    let changes = changes.into_iter().take(CHANGES_MOST).map(|stored| stored.change).collect();
    let mut certificates = BTreeMap::new();
    for row in kept {
        // The monitor said at its start that it cannot be read.
        let Ok(host) = row.open() else { continue };
        for (address, history) in &host.history.addresses {
            certificates.insert((host.host.clone(), *address), history.certificates.clone());
        }
    }
    Ok(Past::Known { changes, more, certificates })
}
