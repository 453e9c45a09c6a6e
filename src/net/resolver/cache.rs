//! Answers that are kept for a while, and questions that are being asked.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{sync::OnceCell, time::Instant};

/// How many names a cache keeps for each record type. Shared names (mail hosts, policy hosts behind a CNAME) are some
/// thousands even where domains are a hundred thousand; at about 500 bytes an entry this is 4 MB a type.
pub(super) const MAX_ENTRIES: usize = 8192;

/// A name that is known, or is being asked for right now by the one that holds the cell.
pub(super) type Entry<T> = Arc<OnceCell<Known<T>>>;

/// What is known, and how long it may be used.
#[derive(Debug)]
pub(super) struct Known<T> {
    pub(super) value: T,
    /// When it was got.
    pub(super) got: Instant,
    pub(super) until: Instant,
}

/// A bounded map from names to entries.
///
/// It has two generations: when the young one is full it becomes the old one, and the old one is dropped. A name that is
/// used moves to the young one. So it stays in bounds without searching for what to drop.
#[derive(Debug)]
pub(super) struct Cache<T> {
    generations: Mutex<Generations<T>>,
    generation_size: usize,
}

#[derive(Debug)]
struct Generations<T> {
    young: HashMap<String, Entry<T>>,
    old: HashMap<String, Entry<T>>,
}

impl<T> Cache<T> {
    pub(super) fn new(max_entries: usize) -> Self {
        let generations = Generations { young: HashMap::new(), old: HashMap::new() };
        Self { generations: Mutex::new(generations), generation_size: max_entries / 2 }
    }

    /// The entry of a name: one that may still be used, one that is being filled, or a new empty one.
    pub(super) fn entry(&self, name: &str, now: Instant) -> Entry<T> {
        self.entry_since(name, now, None)
    }

    /// The same; what was got before `since` may not be used.
    pub(super) fn entry_since(&self, name: &str, now: Instant, since: Option<Instant>) -> Entry<T> {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let Generations { young, old } = &mut *generations;
        if let Some(entry) = young.get_mut(name) {
            if !is_usable(entry, now, since) {
                *entry = Arc::default();
            }
            return Arc::clone(entry);
        }
        let entry = old.remove(name).filter(|entry| is_usable(entry, now, since)).unwrap_or_default();
        if young.len() >= self.generation_size {
            *old = mem::take(young);
        }
        young.insert(name.to_owned(), Arc::clone(&entry));
        entry
    }

    /// What is known of a name and may still be used.
    pub(super) fn known(&self, name: &str, now: Instant) -> Option<T>
    where
        T: Clone,
    {
        let generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = generations.young.get(name).or_else(|| generations.old.get(name))?;
        entry.get().filter(|known| now < known.until).map(|known| known.value.clone())
    }

    /// Forgets what is known of a name, where it is as `unwanted` says.
    pub(super) fn drop_if(&self, name: &str, unwanted: impl Fn(&T) -> bool) {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let Generations { young, old } = &mut *generations;
        for generation in [young, old] {
            if generation.get(name).and_then(|entry| entry.get()).is_some_and(|known| unwanted(&known.value)) {
                generation.remove(name);
            }
        }
    }

    /// Forgets everything. Who waits for an answer still gets it.
    pub(super) fn clear(&self) {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        generations.young.clear();
        generations.old.clear();
    }
}

fn is_usable<T>(entry: &Entry<T>, now: Instant, since: Option<Instant>) -> bool {
    entry.get().is_none_or(|known| now < known.until && since.is_none_or(|since| known.got >= since))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn fill(entry: &Entry<u8>, until: Instant) {
        entry.set(Known { value: 1, got: Instant::now(), until }).unwrap();
    }

    #[test]
    fn who_looks_anew_gets_no_answer_from_before() {
        let (cache, now) = (Cache::new(8), Instant::now());
        let until = now + Duration::from_secs(30);
        fill(&cache.entry("a", now), until);
        let later = Instant::now();
        let anew = cache.entry_since("a", later, Some(later));
        assert!(anew.get().is_none());
        fill(&anew, until);
        assert!(cache.entry_since("a", later, Some(later)).get().is_some(), "got since then");
        assert!(Arc::ptr_eq(&cache.entry("a", later), &anew), "the others have it too");
    }

    #[test]
    fn an_answer_is_kept_until_its_time() {
        let (cache, now) = (Cache::new(8), Instant::now());
        fill(&cache.entry("a", now), now + Duration::from_secs(30));
        assert!(cache.entry("a", now + Duration::from_secs(29)).get().is_some());
        assert!(cache.entry("a", now + Duration::from_secs(30)).get().is_none());
        assert!(cache.entry("b", now).get().is_none());
    }

    #[test]
    fn a_look_makes_no_entry() {
        let (cache, now) = (Cache::new(8), Instant::now());
        assert_eq!(cache.known("a", now), None);
        fill(&cache.entry("a", now), now + Duration::from_secs(30));
        assert_eq!(cache.known("a", now), Some(1));
        assert_eq!(cache.known("a", now + Duration::from_secs(30)), None);
    }

    #[test]
    fn a_question_that_is_being_asked_is_shared() {
        let (cache, now) = (Cache::<u8>::new(8), Instant::now());
        assert!(Arc::ptr_eq(&cache.entry("a", now), &cache.entry("a", now)));
    }

    #[test]
    fn the_bound_holds_and_what_is_used_stays() {
        let (cache, now) = (Cache::new(100), Instant::now());
        fill(&cache.entry("used", now), now + Duration::from_secs(30));
        for number in 0..1000 {
            fill(&cache.entry(&number.to_string(), now), now + Duration::from_secs(30));
            assert!(cache.entry("used", now).get().is_some(), "after {number}");
            let generations = cache.generations.lock().unwrap();
            assert!(generations.young.len() + generations.old.len() <= 100);
        }
    }

    #[test]
    fn cleared_is_forgotten() {
        let (cache, now) = (Cache::new(8), Instant::now());
        fill(&cache.entry("a", now), now + Duration::from_secs(30));
        cache.clear();
        assert!(cache.entry("a", now).get().is_none());
    }
}
