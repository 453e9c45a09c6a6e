//! Policy bodies that were read before. A domain serves the same one for months, and a provider the same one for all its
//! domains; each look needs it some three times.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use super::{PolicyReading, read_policy};

/// How many bodies each of the two generations holds: more than there are providers, each with its own list of mail hosts.
const GENERATION: usize = 2048;

/// Bodies of more bytes than this are read anew each time. Real ones have 60 to 400; so all that are kept are 4 MB at the very
/// most, and what was made of them about as much.
const MAX_KEPT_BODY: usize = 1024;

/// More problems than this would fill the memory with words; a healthy body has none.
const MAX_KEPT_PROBLEMS: usize = 4;

/// As [`read_policy`], which gives the same for the same bytes: so what was made of a body may be kept.
pub fn known_reading(body: &[u8]) -> Arc<PolicyReading> {
    static KNOWN: LazyLock<Mutex<Generations>> = LazyLock::new(Mutex::default);
    if body.len() > MAX_KEPT_BODY {
        return Arc::new(read_policy(body));
    }
    if let Some(reading) = KNOWN.lock().unwrap_or_else(PoisonError::into_inner).get(body) {
        return reading;
    }
    let reading = Arc::new(read_policy(body));
    if reading.problems.len() <= MAX_KEPT_PROBLEMS {
        KNOWN.lock().unwrap_or_else(PoisonError::into_inner).put(body.into(), Arc::clone(&reading));
    }
    reading
}

/// What was used lately is in `young`; when that is full it becomes `old`, and what was `old` is forgotten.
#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Box<[u8]>, Arc<PolicyReading>>,
    old: HashMap<Box<[u8]>, Arc<PolicyReading>>,
}

impl Generations {
    fn get(&mut self, body: &[u8]) -> Option<Arc<PolicyReading>> {
        if let Some(reading) = self.young.get(body) {
            return Some(Arc::clone(reading));
        }
        let (body, reading) = self.old.remove_entry(body)?;
        self.put(body, Arc::clone(&reading));
        Some(reading)
    }

    fn put(&mut self, body: Box<[u8]>, reading: Arc<PolicyReading>) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(body, reading);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unchanged_body_is_read_once() {
        let body = b"version: STSv1\nmode: enforce\nmx: once.example\nmax_age: 86400\n";
        let first = known_reading(body);
        assert_eq!(*first, read_policy(body));
        assert!(Arc::ptr_eq(&first, &known_reading(body)));
        let changed = known_reading(b"version: STSv1\nmode: enforce\nmx: once.example\nmax_age: 86401\n");
        assert_ne!(changed.value, first.value);
    }

    #[test]
    fn long_and_faulty_bodies_are_read_anew() {
        let long = [&b"version: STSv1\nmode: none\nmax_age: 86400\nx: "[..], &[b'y'; MAX_KEPT_BODY]].concat();
        assert!(!Arc::ptr_eq(&known_reading(&long), &known_reading(&long)));
        let faulty = b"a\nb\nc\nd\ne\nf\ng\n";
        assert!(read_policy(faulty).problems.len() > MAX_KEPT_PROBLEMS);
        assert!(!Arc::ptr_eq(&known_reading(faulty), &known_reading(faulty)));
    }

    #[test]
    fn the_bound_holds_and_what_is_used_stays() {
        let mut known = Generations::default();
        let reading = Arc::new(read_policy(b""));
        let body = |number: usize| -> Box<[u8]> { number.to_be_bytes().into() };
        for number in 0..5 * GENERATION {
            known.put(body(number), Arc::clone(&reading));
            assert!(known.get(&body(0)).is_some(), "used all the time");
        }
        assert!(known.young.len() + known.old.len() <= 2 * GENERATION);
        assert!(known.get(&body(1)).is_none());
    }
}
