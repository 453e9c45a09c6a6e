//! The bounds that follow from the ledger: until when, from when, and how sure.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Ledger, SENDER_REFRESH, SLACK, Version};
use crate::{
    protocol::mta_sts::{Mode, Policy},
    terms::{MaxAge, MxHost, PolicyId, Timestamp},
};

/// How much a statement about the past of a domain is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Certainty {
    /// Whatever was served unseen, before the first observation or in a gap, no conforming sender holds any more.
    Certain,
    /// It holds for all that was seen.
    AsFarAsSeen,
}

impl Certainty {
    /// The word of JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Certain => "certain",
            Self::AsFarAsSeen => "as-far-as-seen",
        }
    }
}

/// Bounds of single versions.
impl Ledger {
    /// S: no sender renews the version later. It counts to the observation after the last sight, as the change lies somewhere
    /// between, and for an id as long as resolvers may show it after that.
    pub fn latest_renewal(&self, version: &Version) -> Timestamp {
        let latest = self.latest.unwrap_or(version.last);
        // Without a record nobody fetches (RFC 8461 §3.1), resolvers that still show it apart.
        let shown = self.ids.iter().map(|known| known.ended.unwrap_or(latest) + known.ttl()).max();
        let findable = shown.filter(|_| !self.record_unknown).unwrap_or(latest);
        let fetched = version.ended.unwrap_or(latest).min(findable.max(version.first));
        let ids = self.ids.iter().filter(|known| version.is_paired_with(&known.id));
        let renewed = ids.map(|known| known.ended.unwrap_or(latest) + known.ttl());
        renewed.chain(version.forgotten_id_until).fold(fetched, Timestamp::max)
    }

    /// X: no conforming sender applies the version from then on. `max_age` counts as written, above the cap of the standard too:
    /// some senders do not clamp it.
    pub fn latest_expiry(&self, version: &Version) -> Timestamp {
        self.latest_renewal(version) + version.policy.max_age.duration() + self.delay()
    }

    /// Whether a conforming sender may still hold the version.
    pub fn is_alive(&self, version: &Version, now: Timestamp) -> bool {
        version.found && now < self.latest_expiry(version)
    }

    /// Y: the earliest loss, for senders that refresh daily, once nobody can fetch the version any more. An unchanged id says that what
    /// a sender holds is current and makes it no younger: a sender that renews by fetching (RFC 8461 §3.3) loses the version although
    /// the record stands. That some renew by the id alone counts for the latest bounds.
    pub fn earliest_loss(&self, version: &Version) -> Timestamp {
        version.last + version.policy.max_age.duration() - SENDER_REFRESH
    }

    /// F: how much later than it was served a sender may take a version for fresh.
    pub fn delay(&self) -> Duration {
        SLACK + self.http_cache.min(MaxAge::CAP.duration())
    }

    /// T: the largest time to live of the record, for the ids that senders may hold living versions under.
    pub fn record_ttl(&self, now: Timestamp) -> Duration {
        let alive = |id: &PolicyId| {
            self.versions.iter().any(|version| version.is_paired_with(id) && self.is_alive(version, now))
        };
        let announced = |id: &PolicyId| self.announced.as_ref() == Some(id);
        let ids = self.ids.iter().filter(|known| announced(&known.id) || alive(&known.id));
        ids.map(super::AnnouncedId::ttl).max().unwrap_or_default()
    }
}

/// What is known.
impl Ledger {
    /// Every version that is kept; the current one, or the one that was current last, is the last.
    pub fn versions(&self) -> &[Version] {
        &self.versions
    }

    /// The version that is served, or was served last.
    pub fn current(&self) -> Option<&Version> {
        self.versions.last()
    }

    /// The versions before the current one.
    pub fn earlier(&self) -> &[Version] {
        self.versions.split_last().map_or(&[], |(_, earlier)| earlier)
    }

    /// The versions in enforce that a conforming sender may still hold, newest first.
    pub fn enforced(&self, now: Timestamp) -> impl Iterator<Item = &Version> {
        self.alive(now).filter(|version| version.policy.mode == Mode::Enforce)
    }

    /// The versions of any mode that a conforming sender may still hold, newest first.
    pub fn alive(&self, now: Timestamp) -> impl Iterator<Item = &Version> {
        self.versions.iter().rev().filter(move |version| self.is_alive(version, now))
    }

    /// The last policy, while it is not older than its `max_age`: what stands for the present where this side cannot look.
    pub fn last_known(&self, now: Timestamp) -> Option<&Arc<Policy>> {
        let fresh = |version: &&Version| now < version.last + version.policy.max_age.duration();
        self.current().filter(fresh).map(|version| &version.policy)
    }

    /// The id that the record announced in the latest answer.
    pub fn announced(&self) -> Option<&PolicyId> {
        self.announced.as_ref()
    }

    /// The first good observation: what was served before is not known.
    pub fn started_at(&self) -> Option<Timestamp> {
        self.started_at
    }

    /// The latest good observation: one that told what senders find.
    pub fn good_at(&self) -> Option<Timestamp> {
        self.good
    }

    /// When the record was found gone, and until when resolvers may show what was seen of it last; nothing while there is one, or where none was ever seen.
    pub fn record_gone(&self) -> Option<(Timestamp, Timestamp)> {
        if self.ids.iter().any(|known| known.ended.is_none()) {
            return None;
        }
        let last = self.ids.iter().max_by_key(|known| known.ended)?;
        Some((last.ended?, last.last + last.ttl()))
    }

    /// How much the bounds are worth: whether versions of unknown content may be alive.
    pub fn certainty(&self, now: Timestamp) -> Certainty {
        let known_from = self.started_at.map(|started| started + MaxAge::CAP.duration() + self.delay());
        let before = known_from.is_none_or(|from| now < from);
        let gap = self.unseen_until.is_some_and(|until| now < until + self.delay());
        if before || gap { Certainty::AsFarAsSeen } else { Certainty::Certain }
    }
}

/// What follows.
impl Ledger {
    /// Max X over the versions in enforce: when the last of them has left every cache. Nothing where none was ever seen.
    pub fn cache_expiry(&self) -> Option<Timestamp> {
        self.expiry_of(|policy| policy.mode == Mode::Enforce)
    }

    /// Max X over the versions for which `wanted` holds.
    pub fn expiry_of(&self, wanted: impl Fn(&Policy) -> bool) -> Option<Timestamp> {
        let versions = self.versions.iter().filter(|version| version.found && wanted(&version.policy));
        versions.map(|version| self.latest_expiry(version)).max()
    }

    /// Y of the current version while it is in enforce and alive.
    pub fn protected_until(&self, now: Timestamp) -> Option<Timestamp> {
        let version = self.current().filter(|version| version.policy.mode == Mode::Enforce)?;
        self.is_alive(version, now).then(|| self.earliest_loss(version))
    }

    /// Since when every good observation has shown mode none alone, at every address, under an id that no sender can hold
    /// another mode under.
    pub fn withdrawn_since(&self) -> Option<Timestamp> {
        self.withdrawn_since
    }

    /// When a host that the current policy admits may get mail from senders that refresh daily: once the policy that admits it
    /// has stood at every address, under a new id, for as long as resolvers and senders need. Nothing where it does not yet.
    pub fn admitted_in_practice(&self, host: &MxHost, now: Timestamp) -> Option<Timestamp> {
        let admits = |policy: &Policy| policy.mode != Mode::Enforce || policy.matches(host);
        let refused_at =
            self.versions.iter().filter(|version| !admits(&version.policy)).map(|version| version.last).max();
        let since = self.versions.iter().filter(|version| admits(&version.policy)).filter_map(|version| {
            version.everywhere_since.filter(|since| refused_at.is_none_or(|refused| *since > refused))
        });
        let first = since.min().or_else(|| {
            // Nothing that was ever seen refuses it.
            refused_at.is_none().then_some(self.started_at).flatten()
        })?;
        let settled = first + self.record_ttl(now) + SENDER_REFRESH + self.delay();
        Some(if refused_at.is_none() { first } else { settled })
    }

    /// When no version that a sender may hold refuses the host any more.
    pub fn admitted_certainly(&self, host: &MxHost) -> Option<Timestamp> {
        self.expiry_of(|policy| policy.mode == Mode::Enforce && !policy.matches(host))
    }

    /// The id under which senders may keep an older policy without end: the record announces it, the current version has stood
    /// under it for longer than an orderly publication takes, and another version that is alive was seen under it too.
    /// `patience`: two intervals of the monitor, and what the operator grants beyond.
    pub fn stale_id(&self, now: Timestamp, patience: Duration) -> Option<(&PolicyId, &Version)> {
        let (current, earlier) = self.versions.split_last()?;
        let id = self.announced.as_ref()?;
        let pairing = current.ids.iter().find(|pairing| pairing.seen && pairing.id == *id)?;
        if pairing.last.since(pairing.first) <= self.record_ttl(now) + patience {
            return None;
        }
        let older = earlier.iter().rev().find(|other| other.was_paired_with(id) && self.is_alive(other, now))?;
        Some((id, older))
    }

    /// The last time at which an older version came back, where that happened twice within a day: successive answers differ.
    pub fn unsteady_at(&self, now: Timestamp) -> Option<Timestamp> {
        let (Some(first), Some(last)) = self.returns else { return None };
        (last.since(first) < SENDER_REFRESH && now.since(last) < SENDER_REFRESH).then_some(last)
    }
}
