//! What conforming senders may hold in their caches (RFC 8461 §3.3, §5.1), told from what a monitor saw at its moments.
//!
//! Senders keep a policy for `max_age` from its last renewal. A renewal is a new fetch, or an unchanged id in the TXT record: some
//! senders then start the clock again without fetching the body. What lies between two observations was not seen, so every bound
//! counts up to the observation after the last sight, and what is not known lengthens a bound and never shortens it.
//!
//! What cannot be excluded: a policy, or a pairing of a policy with an id, that was there only between two observations.

mod bounds;
mod version;

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

pub use bounds::Certainty;
pub use version::{AnnouncedId, Pairing, Version};

use super::Policy;
use crate::terms::{MaxAge, PolicyId, Timestamp};

/// RFC 8461 §3.3: how often senders look for a new policy.
pub const SENDER_REFRESH: Duration = Duration::from_secs(86_400);
/// Clocks that differ, retries and proxies on the senders' side.
const SLACK: Duration = Duration::from_secs(3600);
/// Good observations that lie further apart than this many intervals leave a gap, in which anything may have been served.
const GAP_INTERVALS: u32 = 3;
/// … and never less than this: a few lost probes of a short interval are no gap.
const GAP_LEAST: Duration = Duration::from_secs(3600);
/// Versions that are kept. Who publishes more within a year does it by machine, and the bounds stay right: what is dropped
/// before its time counts as a version of unknown content.
const MOST_VERSIONS: usize = 24;
/// Ids that are kept, likewise.
const MOST_IDS: usize = 48;

/// What one observation says of record and policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// When.
    pub at: Timestamp,
    /// What the TXT record announced.
    pub announced: Announced,
    /// Every usable policy that an address of the policy host served, in the order of the addresses.
    pub served: Vec<Arc<Policy>>,
    /// Every address that could be asked from here served the first one.
    pub everywhere: bool,
    /// Nobody gets a policy: the policy host does not exist, or answers 404 or 410 at every address.
    pub gone: bool,
    /// An address could not be reached: others may have reached it, and got something else.
    pub hidden: bool,
    /// The largest `Age`, or `max-age` of `Cache-Control`, of the answers: senders behind a proxy see the policy so much later.
    pub http_cache: Duration,
}

/// What the TXT record announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Announced {
    /// The lookup gave no answer: nothing is known.
    Unknown,
    /// An answer without a usable record.
    Nothing,
    /// This id.
    Id {
        /// Which.
        id: PolicyId,
        /// What was left of the record's time to live, in seconds.
        ttl: u32,
    },
}

/// All that is known about the caches of senders for one domain. It does not grow with the number of observations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ledger {
    /// The first good observation: what was served before is not known.
    started_at: Option<Timestamp>,
    /// The latest observation.
    latest: Option<Timestamp>,
    /// The latest good observation: one that told what senders find.
    good: Option<Timestamp>,
    /// By the time at which they became the current one; the last one is the current one, or was the last.
    versions: Vec<Version>,
    /// By the time at which they were first seen.
    ids: Vec<AnnouncedId>,
    /// The id that the record announced in the latest answer.
    announced: Option<PolicyId>,
    /// The record did not answer in the latest observation: another id may stand there.
    record_unknown: bool,
    /// The largest of [`Sighting::http_cache`].
    http_cache: Duration,
    /// The largest `max_age` of any version.
    largest_max_age: MaxAge,
    /// A version of unknown content, served in a gap or forgotten, may be held until then, [`SLACK`] and HTTP caches apart.
    unseen_until: Option<Timestamp>,
    /// Since when every good observation has shown mode none alone, at every address and under an id of its own.
    withdrawn_since: Option<Timestamp>,
    /// The last two times at which a version came back that another one had replaced less than a day before.
    returns: (Option<Timestamp>, Option<Timestamp>),
}

impl Ledger {
    /// Folds an observation in. `interval`: the time between two observations of the domain.
    ///
    /// Returns the version that was current before, where another one is now.
    pub fn observe(&mut self, sighting: &Sighting, interval: Duration) -> Option<Arc<Policy>> {
        // A clock that was set back does not undo what was seen.
        let at = self.latest.map_or(sighting.at, |latest| latest.max(sighting.at));
        let before = self.current().map(|version| Arc::clone(&version.policy));
        self.http_cache = self.http_cache.max(sighting.http_cache);
        self.announce(&sighting.announced, at);
        for policy in &sighting.served {
            self.serve(policy, sighting, at);
        }
        if sighting.gone || (!sighting.served.is_empty() && !sighting.hidden) {
            for version in self.versions.iter_mut().filter(|version| version.ended.is_none() && version.last < at) {
                version.ended = Some(at);
            }
        }
        if self.is_good(sighting, at) {
            self.note_gap(at, interval);
            self.withdrawn_since = self.withdrawn_since.filter(|_| self.is_withdrawn(sighting));
            if self.is_withdrawn(sighting) {
                self.withdrawn_since.get_or_insert(at);
            }
            self.started_at.get_or_insert(at);
            self.good = Some(at);
        }
        self.latest = Some(at);
        self.trim();
        let now = self.current()?;
        before.filter(|before| !before.same_meaning(&now.policy))
    }

    fn announce(&mut self, announced: &Announced, at: Timestamp) {
        self.record_unknown = *announced == Announced::Unknown;
        let present = match announced {
            Announced::Unknown => return,
            Announced::Nothing => None,
            Announced::Id { id, ttl } => Some((id, *ttl)),
        };
        for known in self.ids.iter_mut().filter(|known| known.ended.is_none()) {
            if present.is_none_or(|(id, _)| *id != known.id) {
                known.ended = Some(at);
            }
        }
        self.announced = present.map(|(id, _)| id.clone());
        let Some((id, ttl)) = present else { return };
        match self.ids.iter_mut().find(|known| known.id == *id) {
            Some(known) => {
                known.last = at;
                known.ended = None;
                known.ttl = known.ttl.max(ttl);
            }
            None => self.ids.push(AnnouncedId { id: id.clone(), first: at, last: at, ended: None, ttl }),
        }
    }

    fn serve(&mut self, policy: &Arc<Policy>, sighting: &Sighting, at: Timestamp) {
        self.largest_max_age = self.largest_max_age.max(policy.max_age);
        let place = self.versions.iter().position(|version| version.policy.same_meaning(policy));
        let current = self.versions.len().checked_sub(1);
        // While addresses differ, the one that was current stays it.
        let still = |version: &Version| sighting.served.iter().any(|served| version.policy.same_meaning(served));
        let becomes_current = place != current && !self.versions.last().is_some_and(still);
        let mut version = match place {
            Some(place) => self.versions.remove(place),
            None => Version::new(Arc::clone(policy), at),
        };
        if becomes_current && place.is_some() {
            if at.since(version.last) < SENDER_REFRESH {
                self.returns = (self.returns.1, Some(at));
            }
            version.since = at;
            version.everywhere_since = None;
        }
        version.last = at;
        version.ended = None;
        let first = sighting.served.first().is_some_and(|first| version.policy.same_meaning(first));
        if sighting.everywhere && first && self.is_new_id(&sighting.announced, at) {
            version.everywhere_since.get_or_insert(at);
        }
        self.pair(&mut version, sighting, at);
        version.found |= version.is_announced() || sighting.announced == Announced::Unknown;
        let end = self.versions.len();
        let place = match place {
            _ if becomes_current || place == current => end,
            Some(place) => place,
            // New, beside the one that is still current.
            None => end.saturating_sub(1),
        };
        self.versions.insert(place.min(end), version);
    }

    /// Whether the record announces an id under which no sender holds one of the versions listed now.
    fn is_new_id(&self, announced: &Announced, at: Timestamp) -> bool {
        let Announced::Id { id, .. } = announced else { return false };
        !self.versions.iter().any(|other| self.is_alive(other, at) && other.was_paired_with(id))
    }

    /// Which ids a sender could see while it fetched the version: the one announced, and those that resolvers may still show.
    fn pair(&self, version: &mut Version, sighting: &Sighting, at: Timestamp) {
        for known in &self.ids {
            let shown = known.ended.is_none_or(|ended| ended == at || at < ended + known.ttl());
            if !shown {
                continue;
            }
            let seen = known.ended.is_none() && matches!(sighting.announced, Announced::Id { .. });
            version.pair(&known.id, at, seen, self.good);
        }
    }

    /// Whether an observation told what senders find: the record was answered; and so was the policy host, or no sender can
    /// have a reason to ask it.
    fn is_good(&self, sighting: &Sighting, at: Timestamp) -> bool {
        let unannounced = || self.ids.iter().all(|known| known.ended.is_some_and(|ended| ended + known.ttl() <= at));
        match &sighting.announced {
            Announced::Unknown => false,
            Announced::Nothing => !sighting.served.is_empty() || sighting.gone || unannounced(),
            Announced::Id { .. } => !sighting.served.is_empty() || sighting.gone,
        }
    }

    fn note_gap(&mut self, at: Timestamp, interval: Duration) {
        let longest = GAP_LEAST.max(interval.saturating_mul(GAP_INTERVALS));
        if self.good.is_some_and(|good| at.since(good) > longest) {
            let until = at + self.largest_max_age.duration();
            self.unseen_until = self.unseen_until.max(Some(until));
        }
    }

    /// Whether only mode none is found, everywhere, under an id that no sender can hold another mode under.
    fn is_withdrawn(&self, sighting: &Sighting) -> bool {
        let Announced::Id { id, .. } = &sighting.announced else { return false };
        let none = |policy: &Arc<Policy>| policy.mode == super::Mode::None;
        let alone = sighting.everywhere && !sighting.served.is_empty() && sighting.served.iter().all(none);
        let reused = |version: &Version| {
            version.policy.mode != super::Mode::None
                && self.is_alive(version, sighting.at)
                && version.was_paired_with(id)
        };
        alone && !self.versions.iter().any(reused)
    }

    /// Forgets what no sender can hold any more; and where there is still too much, the oldest, which then counts as a version of
    /// unknown content.
    fn trim(&mut self) {
        let Some(now) = self.latest else { return };
        while self.versions.len() > MOST_VERSIONS {
            let place = self.versions.iter().position(|version| !self.is_alive(version, now)).unwrap_or(0);
            let forgotten = self.versions.remove(place);
            let until = self.latest_renewal(&forgotten) + forgotten.policy.max_age.duration();
            if self.is_alive(&forgotten, now) {
                self.unseen_until = self.unseen_until.max(Some(until));
            }
        }
        while self.ids.len() > MOST_IDS {
            let unused = |known: &AnnouncedId| {
                known.ended.is_some_and(|ended| ended + known.ttl() <= now)
                    && !self.versions.iter().any(|version| version.is_paired_with(&known.id))
            };
            let place = self.ids.iter().position(unused).unwrap_or(0);
            let forgotten = self.ids.remove(place);
            let until = forgotten.ended.unwrap_or(now) + forgotten.ttl();
            for version in &mut self.versions {
                version.forget(&forgotten.id, until);
            }
        }
    }
}
