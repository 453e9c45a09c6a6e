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
pub(super) type Entry<T> = Arc<Question<T>>;

/// A question, and its answer once it is there.
#[derive(Debug)]
pub(super) struct Question<T> {
    /// Not later than it was sent. Who joins a question from before has an answer from before, however late it comes.
    asked: Instant,
    pub(super) answer: OnceCell<Known<T>>,
}

/// What is known, and how long it may be used.
#[derive(Debug)]
pub(super) struct Known<T> {
    pub(super) value: T,
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

    /// The same; what was asked for before `since` may not be used.
    pub(super) fn entry_since(&self, name: &str, now: Instant, since: Option<Instant>) -> Entry<T> {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let Generations { young, old } = &mut *generations;
        if let Some(entry) = young.get_mut(name) {
            if !is_usable(entry, now, since) {
                *entry = Question::new(now);
            }
            return Arc::clone(entry);
        }
        let entry = old.remove(name).filter(|entry| is_usable(entry, now, since)).unwrap_or_else(|| Question::new(now));
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
        entry.answer.get().filter(|known| now < known.until).map(|known| known.value.clone())
    }

    /// Forgets what is known of a name, where it is as `unwanted` says.
    pub(super) fn drop_if(&self, name: &str, unwanted: impl Fn(&T) -> bool) {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let Generations { young, old } = &mut *generations;
        for generation in [young, old] {
            if generation.get(name).and_then(|entry| entry.answer.get()).is_some_and(|known| unwanted(&known.value)) {
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

impl<T> Question<T> {
    fn new(asked: Instant) -> Entry<T> {
        Arc::new(Self { asked, answer: OnceCell::new() })
    }
}

fn is_usable<T>(entry: &Entry<T>, now: Instant, since: Option<Instant>) -> bool {
    since.is_none_or(|since| entry.asked >= since) && entry.answer.get().is_none_or(|known| now < known.until)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn fill(entry: &Entry<u8>, until: Instant) {
        entry.answer.set(Known { value: 1, until }).unwrap();
    }

    #[test]
    fn who_looks_anew_gets_no_answer_from_before() {
        let (cache, now) = (Cache::new(8), Instant::now());
        let until = now + Duration::from_secs(30);
        fill(&cache.entry("a", now), until);
        let later = now + Duration::from_millis(1);
        let anew = cache.entry_since("a", later, Some(later));
        assert!(anew.answer.get().is_none());
        fill(&anew, until);
        assert!(cache.entry_since("a", later, Some(later)).answer.get().is_some(), "asked for since then");
        assert!(Arc::ptr_eq(&cache.entry("a", later), &anew), "the others have it too");
    }

    #[test]
    fn who_looks_anew_joins_no_question_from_before() {
        let (cache, now) = (Cache::new(8), Instant::now());
        let later = now + Duration::from_millis(1);
        let before = cache.entry("a", now);
        let anew = cache.entry_since("a", later, Some(later));
        assert!(!Arc::ptr_eq(&before, &anew));
        fill(&before, later + Duration::from_secs(30));
        assert!(anew.answer.get().is_none(), "an answer to the one is none to the other");
        assert!(Arc::ptr_eq(&cache.entry_since("a", later, Some(later)), &anew), "who looks anew as well joins it");
    }

    #[test]
    fn an_answer_is_kept_until_its_time() {
        let (cache, now) = (Cache::new(8), Instant::now());
        fill(&cache.entry("a", now), now + Duration::from_secs(30));
        assert!(cache.entry("a", now + Duration::from_secs(29)).answer.get().is_some());
        assert!(cache.entry("a", now + Duration::from_secs(30)).answer.get().is_none());
        assert!(cache.entry("b", now).answer.get().is_none());
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
            assert!(cache.entry("used", now).answer.get().is_some(), "after {number}");
            let generations = cache.generations.lock().unwrap();
            assert!(generations.young.len() + generations.old.len() <= 100);
        }
    }

    #[test]
    fn cleared_is_forgotten() {
        let (cache, now) = (Cache::new(8), Instant::now());
        fill(&cache.entry("a", now), now + Duration::from_secs(30));
        cache.clear();
        assert!(cache.entry("a", now).answer.get().is_none());
    }
}
