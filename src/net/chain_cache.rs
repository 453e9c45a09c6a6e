//! Certificate chains that were read and judged before: a server sends the same one for weeks, and judging costs as much as
//! the handshake.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use aws_lc_rs::digest::{Context, SHA256};
use rustls_pki_types::CertificateDer;

use crate::{
    facts::ChainFacts,
    protocol::tls::{Roots, chain_facts, validity_window},
    terms::Timestamp,
};

/// How many chains each of the two generations holds. At the usual 4 kB a chain that is 32 MB at most, and a monitor of as
/// many hosts as that finds all of them again.
const GENERATION: usize = 4096;

/// Chains of more bytes than this are judged anew each time: a TLS message has room for 64 kB, and real chains need a tenth.
const MAX_CACHED: usize = 16_384;

type Key = [u8; 32];

/// Chains by what was sent. The roots never change: new roots need a new cache.
#[derive(Debug)]
pub(super) struct ChainCache {
    roots: Roots,
    generations: Mutex<Generations>,
}

/// What was used lately is in `young`; when that is full it becomes `old`, and what was `old` is forgotten.
#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Key, Judged>,
    old: HashMap<Key, Judged>,
}

#[derive(Clone, Debug)]
struct Judged {
    facts: Arc<ChainFacts>,
    /// The judgement holds until a date of one of the certificates passes.
    holds: Range<Timestamp>,
}

impl ChainCache {
    pub(super) fn new(roots: Roots) -> Self {
        Self { roots, generations: Mutex::default() }
    }

    /// The facts of a chain, leaf first.
    pub(super) fn facts(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> Result<Arc<ChainFacts>, String> {
        if chain.iter().map(|certificate| certificate.len()).sum::<usize>() > MAX_CACHED {
            return chain_facts(chain, &self.roots, now).map(Arc::new);
        }
        let key = key(chain);
        if let Some(known) = self.generations.lock().unwrap_or_else(PoisonError::into_inner).get(&key, now) {
            return Ok(known);
        }
        let facts = Arc::new(chain_facts(chain, &self.roots, now)?);
        let judged = Judged { facts: Arc::clone(&facts), holds: validity_window(&facts, now) };
        self.generations.lock().unwrap_or_else(PoisonError::into_inner).put(key, judged);
        Ok(facts)
    }
}

impl Generations {
    fn get(&mut self, key: &Key, now: Timestamp) -> Option<Arc<ChainFacts>> {
        if let Some(judged) = self.young.get(key) {
            return judged.holds.contains(&now).then(|| Arc::clone(&judged.facts));
        }
        let judged = self.old.remove(key).filter(|judged| judged.holds.contains(&now))?;
        let facts = Arc::clone(&judged.facts);
        self.put(*key, judged);
        Some(facts)
    }

    fn put(&mut self, key: Key, judged: Judged) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, judged);
    }
}

fn key(chain: &[CertificateDer<'_>]) -> Key {
    let mut context = Context::new(&SHA256);
    for certificate in chain {
        // The length keeps two chains apart that differ only in where one certificate ends.
        context.update(&certificate.len().to_be_bytes());
        context.update(certificate);
    }
    let mut key = Key::default();
    for (to, from) in key.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    key
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn certificate() -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["mx.example.com".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(2026, 12, 31);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    #[test]
    fn an_unchanged_chain_is_judged_once() {
        let cache = ChainCache::new(Roots::default());
        let chain = [certificate()];
        let now: Timestamp = "2026-06-01T00:00:00Z".parse().unwrap();
        let first = cache.facts(&chain, now).unwrap();
        assert!(Arc::ptr_eq(&first, &cache.facts(&chain, now).unwrap()));
        assert!(!Arc::ptr_eq(&first, &cache.facts(&[certificate()], now).unwrap()), "another certificate");
    }

    #[test]
    fn a_judgement_ends_with_a_date() {
        let cache = ChainCache::new(Roots::default());
        let chain = [certificate()];
        let first = cache.facts(&chain, "2026-06-01T00:00:00Z".parse().unwrap()).unwrap();
        let last_second = cache.facts(&chain, "2026-12-31T00:00:00Z".parse().unwrap()).unwrap();
        assert!(Arc::ptr_eq(&first, &last_second));
        let after = cache.facts(&chain, "2026-12-31T00:00:01Z".parse().unwrap()).unwrap();
        assert!(!Arc::ptr_eq(&first, &after));
    }

    #[test]
    fn the_cache_is_bounded_and_keeps_what_is_used() {
        let facts = Arc::new(chain_facts(&[certificate()], &Roots::default(), Timestamp::default()).unwrap());
        let judged =
            Judged { facts, holds: Timestamp::from_unix_seconds(i64::MIN)..Timestamp::from_unix_seconds(i64::MAX) };
        let mut generations = Generations::default();
        let key = |number: usize| {
            let mut key = Key::default();
            key[..8].copy_from_slice(&number.to_be_bytes());
            key
        };
        for number in 0..5 * GENERATION {
            generations.put(key(number), judged.clone());
            assert!(generations.get(&key(0), Timestamp::default()).is_some(), "used all the time");
        }
        assert!(generations.young.len() + generations.old.len() <= 2 * GENERATION);
        assert!(generations.get(&key(1), Timestamp::default()).is_none());
    }
}
