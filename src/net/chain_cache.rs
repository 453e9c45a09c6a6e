//! Certificate chains that were read and judged before: a server sends the same one for weeks, and judging costs as much as
//! the handshake.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use aws_lc_rs::digest::{Context, SHA256};
use rustls_pki_types::CertificateDer;

use crate::{
    facts::{ChainFacts, PathToRoot},
    protocol::tls::{Roots, chain_facts, chain_facts_on, path_to_root, validity_window},
    terms::Timestamp,
};

/// How many chains each of the two generations holds. At the usual 4 kB a chain that is 32 MB at most, and a monitor of as
/// many hosts as that finds all of them again.
const GENERATION: usize = 4096;

/// How many paths each of the two generations holds at least. A path is some 120 bytes with its place in the map.
const PATHS_AT_LEAST: usize = 2 * GENERATION;

/// Chains of more bytes than this are judged anew each time: a TLS message has room for 64 kB, and real chains need a tenth.
const MAX_CACHED: usize = 16_384;

type Key = [u8; 32];

/// Chains by what was sent, and of more chains than that only how their path to a root was judged: reading certificates costs
/// little, the signatures on the path much. The roots never change: new roots need a new cache.
#[derive(Debug)]
pub(super) struct ChainCache {
    roots: Roots,
    chains: Mutex<Generations<Judged<Arc<ChainFacts>>>>,
    paths: Mutex<Generations<Judged<PathToRoot>>>,
    /// How many paths a generation holds.
    most_paths: AtomicUsize,
}

/// What was used lately is in `young`; when that is full it becomes `old`, and what was `old` is forgotten.
#[derive(Debug)]
struct Generations<T> {
    young: HashMap<Key, T>,
    old: HashMap<Key, T>,
}

#[derive(Clone, Debug)]
struct Judged<T> {
    what: T,
    /// The judgement holds until a date of one of the certificates passes.
    holds: Range<Timestamp>,
}

impl ChainCache {
    pub(super) fn new(roots: Roots) -> Self {
        Self { roots, chains: Mutex::default(), paths: Mutex::default(), most_paths: AtomicUsize::new(PATHS_AT_LEAST) }
    }

    /// The roots by which chains are judged.
    pub(super) const fn roots(&self) -> &Roots {
        &self.roots
    }

    /// Makes room for the paths of so many peers, each with a certificate of its own.
    pub(super) fn make_room(&self, peers: usize) {
        self.most_paths.store(peers.max(PATHS_AT_LEAST), Relaxed);
    }

    /// The facts of a chain, leaf first.
    pub(super) fn facts(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> Result<Arc<ChainFacts>, String> {
        if chain.iter().map(|certificate| certificate.len()).sum::<usize>() > MAX_CACHED {
            return chain_facts(chain, &self.roots, now).map(Arc::new);
        }
        let key = key(chain);
        if let Some(known) = lock(&self.chains).get(&key, now, GENERATION) {
            return Ok(known);
        }
        let most_paths = self.most_paths.load(Relaxed);
        let known = lock(&self.paths).get(&key, now, most_paths);
        let is_new = known.is_none();
        let path = |chain: &[CertificateDer<'_>], facts: &[_]| {
            known.unwrap_or_else(|| path_to_root(chain, facts, &self.roots, now))
        };
        let facts = Arc::new(chain_facts_on(chain, path)?);
        let holds = validity_window(&facts, now);
        if is_new && let Some(what) = short(&facts.path) {
            lock(&self.paths).put(key, Judged { what, holds: holds.clone() }, most_paths);
        }
        lock(&self.chains).put(key, Judged { what: Arc::clone(&facts), holds }, GENERATION);
        Ok(facts)
    }
}

/// A path that needs no words: those are few, and their number of bytes is the peer's.
fn short(path: &PathToRoot) -> Option<PathToRoot> {
    (!matches!(path, PathToRoot::Refused(_))).then(|| path.clone())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Default for Generations<T> {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new() }
    }
}

impl<T: Clone> Generations<Judged<T>> {
    fn get(&mut self, key: &Key, now: Timestamp, most: usize) -> Option<T> {
        if let Some(judged) = self.young.get(key) {
            return judged.holds.contains(&now).then(|| judged.what.clone());
        }
        let judged = self.old.remove(key).filter(|judged| judged.holds.contains(&now))?;
        let what = judged.what.clone();
        self.put(*key, judged, most);
        Some(what)
    }

    fn put(&mut self, key: Key, judged: Judged<T>, most: usize) {
        if self.young.len() >= most {
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
        let judged = Judged {
            what: facts,
            holds: Timestamp::from_unix_seconds(i64::MIN)..Timestamp::from_unix_seconds(i64::MAX),
        };
        let mut generations = Generations::default();
        let key = |number: usize| {
            let mut key = Key::default();
            key[..8].copy_from_slice(&number.to_be_bytes());
            key
        };
        for number in 0..5 * GENERATION {
            generations.put(key(number), judged.clone(), GENERATION);
            assert!(generations.get(&key(0), Timestamp::default(), GENERATION).is_some(), "used all the time");
        }
        assert!(generations.young.len() + generations.old.len() <= 2 * GENERATION);
        assert!(generations.get(&key(1), Timestamp::default(), GENERATION).is_none());
    }

    /// The path of a chain by a root that is not asked again: the roots are taken away in between.
    #[test]
    fn a_path_is_remembered_longer_than_its_chain() {
        let root_key = KeyPair::generate().unwrap();
        let mut root = CertificateParams::new(Vec::new()).unwrap();
        root.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let root_der = root.self_signed(&root_key).unwrap();
        let issuer = rcgen::Issuer::new(root, root_key);
        let mut leaf = CertificateParams::new(vec!["mx.example.com".to_owned()]).unwrap();
        (leaf.not_before, leaf.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2026, 12, 31));
        let leaf = leaf.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
        let chain = [leaf.der().clone()];
        let now: Timestamp = "2026-06-01T00:00:00Z".parse().unwrap();

        let mut cache = ChainCache::new(Roots::from_pem(root_der.pem().as_bytes()).unwrap());
        let first = cache.facts(&chain, now).unwrap();
        assert!(first.path.is_trusted());
        cache.roots = Roots::default();
        *lock(&cache.chains) = Generations::default();
        assert_eq!(cache.facts(&chain, now).unwrap(), first, "the path was not looked for again");
        *lock(&cache.chains) = Generations::default();
        let expired = cache.facts(&chain, "2027-01-01T00:00:00Z".parse().unwrap()).unwrap();
        assert!(!expired.path.is_trusted(), "and is when a date has passed");
    }

    #[test]
    fn room_is_made_for_as_many_paths_as_there_are_peers() {
        let cache = ChainCache::new(Roots::default());
        cache.make_room(3);
        assert_eq!(cache.most_paths.load(Relaxed), PATHS_AT_LEAST);
        cache.make_room(1_000_000);
        assert_eq!(cache.most_paths.load(Relaxed), 1_000_000);
    }
}
