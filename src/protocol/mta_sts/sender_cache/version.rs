//! What the ledger keeps of a policy and of an id.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    protocol::mta_sts::Policy,
    terms::{PolicyId, Timestamp},
};

/// A policy that was served, by meaning: mode, `max_age`, set of patterns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// What it says.
    pub policy: Arc<Policy>,
    /// The first observation in which an address served it.
    pub first: Timestamp,
    /// The observation in which it became the current one, the last time.
    pub since: Timestamp,
    /// The last observation in which an address served it.
    pub last: Timestamp,
    /// The first observation after the last sight that showed that it is no longer served.
    #[serde(default)]
    pub ended: Option<Timestamp>,
    /// The ids that senders may hold it under.
    #[serde(default)]
    pub ids: Vec<Pairing>,
    /// A sender may have found it: a record stood there, or it is not known that there was none.
    #[serde(default)]
    pub found: bool,
    /// Since when every address has served it, from the first such observation under an id of its own on.
    #[serde(default)]
    pub everywhere_since: Option<Timestamp>,
    /// Resolvers may have shown an id of it that is forgotten here until then.
    #[serde(default)]
    pub forgotten_id_until: Option<Timestamp>,
}

/// An id that senders may hold a version under.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pairing {
    /// Which.
    pub id: PolicyId,
    /// The first observation of the present stretch, or the last one, in which they stood together.
    pub first: Timestamp,
    /// The last such observation.
    pub last: Timestamp,
    /// They stood together in one observation. Else a resolver may have shown the id after the record had changed.
    pub seen: bool,
}

/// An id that the record announced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnnouncedId {
    /// Which.
    pub id: PolicyId,
    /// The first observation of it.
    pub first: Timestamp,
    /// The last one.
    pub last: Timestamp,
    /// The first answer after the last sight that announced something else, or nothing.
    #[serde(default)]
    pub ended: Option<Timestamp>,
    /// The largest time to live that was seen, in seconds: a resolver shows what is left of it.
    pub ttl: u32,
}

impl AnnouncedId {
    /// How long a resolver may show it after it is gone.
    pub fn ttl(&self) -> Duration {
        Duration::from_secs(self.ttl.into())
    }
}

impl Version {
    pub(super) fn new(policy: Arc<Policy>, at: Timestamp) -> Self {
        Self {
            policy,
            first: at,
            since: at,
            last: at,
            ended: None,
            ids: Vec::new(),
            found: false,
            everywhere_since: None,
            forgotten_id_until: None,
        }
    }

    /// Whether a sender may hold it under this id.
    pub fn is_paired_with(&self, id: &PolicyId) -> bool {
        self.ids.iter().any(|pairing| pairing.id == *id)
    }

    /// Whether it was ever seen beside this id.
    pub fn was_paired_with(&self, id: &PolicyId) -> bool {
        self.ids.iter().any(|pairing| pairing.id == *id && pairing.seen)
    }

    /// Whether a record announced it, as far as was seen.
    pub fn is_announced(&self) -> bool {
        !self.ids.is_empty() || self.forgotten_id_until.is_some()
    }

    /// `good`: the last good observation before this one; a pairing that it did not show begins anew.
    pub(super) fn pair(&mut self, id: &PolicyId, at: Timestamp, seen: bool, good: Option<Timestamp>) {
        match self.ids.iter_mut().find(|pairing| pairing.id == *id) {
            Some(pairing) if pairing.seen && !seen => {}
            Some(pairing) => {
                if !pairing.seen || good.is_some_and(|good| pairing.last < good) {
                    pairing.first = at;
                }
                pairing.last = at;
                pairing.seen = seen;
            }
            None => self.ids.push(Pairing { id: id.clone(), first: at, last: at, seen }),
        }
    }

    pub(super) fn forget(&mut self, id: &PolicyId, until: Timestamp) {
        let before = self.ids.len();
        self.ids.retain(|pairing| pairing.id != *id);
        if self.ids.len() < before {
            self.forgotten_id_until = self.forgotten_id_until.max(Some(until));
        }
    }
}
