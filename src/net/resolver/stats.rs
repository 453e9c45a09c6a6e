//! What the resolver counts.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use hickory_resolver::proto::rr::RecordType;

use crate::facts::LookupFailure;

/// The types that are ever asked for, as they are written in a label.
const TYPES: [(RecordType, &str); 10] = [
    (RecordType::A, "A"),
    (RecordType::AAAA, "AAAA"),
    (RecordType::CNAME, "CNAME"),
    (RecordType::DNSKEY, "DNSKEY"),
    (RecordType::DS, "DS"),
    (RecordType::MX, "MX"),
    (RecordType::NS, "NS"),
    (RecordType::SOA, "SOA"),
    (RecordType::TLSA, "TLSA"),
    (RecordType::TXT, "TXT"),
];
/// The labels of [`LookupFailure`].
const FAILURES: [&str; 8] =
    ["bogus", "cname-chain", "malformed", "rcode", "refused", "servfail", "timeout", "unreachable"];

/// The counters of a resolver since its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolverStats {
    /// Messages sent, retries and TCP included, by record type (upper case).
    pub queries: [(&'static str, u64); 10],
    /// Lookups that gave no usable answer, by [`LookupFailure::label`].
    pub failures: [(&'static str, u64); 8],
    /// Lookups that were answered without a query: from the cache, or along with another asker.
    pub cache_hits: u64,
}

/// The counters that a [`ResolverStats`] is read from.
#[derive(Debug, Default)]
pub(super) struct Counters {
    queries: [AtomicU64; TYPES.len()],
    failures: [AtomicU64; FAILURES.len()],
    cache_hits: AtomicU64,
}

impl Counters {
    pub(super) fn count_query(&self, kind: RecordType) {
        for ((of, _), counter) in TYPES.iter().zip(&self.queries) {
            if *of == kind {
                counter.fetch_add(1, Relaxed);
            }
        }
    }

    pub(super) fn count_failure(&self, failure: &LookupFailure) {
        for (label, counter) in FAILURES.iter().zip(&self.failures) {
            if *label == failure.label() {
                counter.fetch_add(1, Relaxed);
            }
        }
    }

    pub(super) fn count_cache_hit(&self) {
        self.cache_hits.fetch_add(1, Relaxed);
    }

    pub(super) fn read(&self) -> ResolverStats {
        let mut stats = ResolverStats {
            queries: TYPES.map(|(_, label)| (label, 0)),
            failures: FAILURES.map(|label| (label, 0)),
            cache_hits: self.cache_hits.load(Relaxed),
        };
        for ((_, count), counter) in stats.queries.iter_mut().zip(&self.queries) {
            *count = counter.load(Relaxed);
        }
        for ((_, count), counter) in stats.failures.iter_mut().zip(&self.failures) {
            *count = counter.load(Relaxed);
        }
        stats
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_its_counter() {
        let all = [
            LookupFailure::ServFail,
            LookupFailure::Refused,
            LookupFailure::Rcode(9),
            LookupFailure::Timeout,
            LookupFailure::Unreachable("refused".into()),
            LookupFailure::Malformed("short".into()),
            LookupFailure::CnameChain,
            LookupFailure::Bogus("expired".into()),
        ];
        let counters = Counters::default();
        all.iter().for_each(|failure| counters.count_failure(failure));
        assert_eq!(counters.read().failures, FAILURES.map(|label| (label, 1)));
    }
}
