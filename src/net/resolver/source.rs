//! Where answers come from: the servers, and what is kept of the zones that many names share.

use std::{sync::Arc, time::Duration};

use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::time::Instant;

use super::{
    cache::{Cache, Known},
    upstream::{NoAnswer, Upstream},
    wire::{Answer, Flags},
};

/// How many answers about zones (DNSKEY, DS, NS) are kept. The root and some hundred registries serve everybody and stay,
/// because they are used; the rest are the monitored zones, which one round asks for once each. At about 2 kB an answer this
/// is 8 MB.
const MAX_ZONE_ANSWERS: usize = 4096;
/// How long one is kept at most, whatever its TTL says: a key or a delegation that was repaired is seen within the hour.
const MAX_ZONE_AGE: Duration = Duration::from_secs(3600);
/// RFC 2308 §5 allows hours for a denial; a DS record that was just published should not be missed for long.
const MAX_ZONE_DENIAL: Duration = Duration::from_secs(300);
/// RFC 9520 §3.2 asks that a failure is kept for at least a second.
const FAILURE_KEPT: Duration = Duration::from_secs(2);

/// The servers, and the answers about zones.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) upstream: Upstream,
    /// For one whole lookup.
    pub(super) timeout: Duration,
    zones: Cache<Result<Arc<Answer>, NoAnswer>>,
}

impl Source {
    pub(super) fn new(upstream: Upstream, timeout: Duration) -> Self {
        Self { upstream, timeout, zones: Cache::new(MAX_ZONE_ANSWERS) }
    }

    /// Asks the servers.
    pub(super) async fn ask(
        &self,
        name: &Name,
        kind: RecordType,
        flags: Flags,
        deadline: Instant,
    ) -> Result<Answer, NoAnswer> {
        self.upstream.ask(name, kind, flags, deadline).await
    }

    /// The DNSKEY, DS or NS records of a zone with their signatures, unchecked, from the cache while they last.
    ///
    /// Unchecked (CD), because a resolver that validates would hide those that do not hold, and they are looked at here.
    pub(super) async fn zone(&self, name: &Name, kind: RecordType) -> Result<Arc<Answer>, NoAnswer> {
        let entry = self.zones.entry(&format!("{} {kind}", name.to_lowercase()), Instant::now());
        let known = entry.answer.get_or_init(|| async {
            let answer = self.ask(name, kind, Flags::Unchecked, Instant::now() + self.timeout).await;
            let kept = match &answer {
                Ok(answer) => {
                    let most = if answer.answers.is_empty() { MAX_ZONE_DENIAL } else { MAX_ZONE_AGE };
                    Duration::from_secs(answer.ttl().into()).min(most)
                }
                Err(_) => FAILURE_KEPT,
            };
            Known { value: answer.map(Arc::new), until: Instant::now() + kept }
        });
        known.await.value.clone()
    }

    /// Forgets what is kept of zones.
    pub(super) fn flush(&self) {
        self.zones.clear();
    }
}
