//! What the schedule holds of each target, found by its key and linked into lists: a few words a target and no search.

use std::hash::{BuildHasher, Hash, RandomState};

use super::{
    queue::Urgency,
    turns::{Door, Doors},
};

/// No entry.
const NONE: u32 = u32::MAX;

/// By this part of its size the memory of the entries grows: doubling would leave half of it unused after a large reload.
const GROWTH: usize = 8;
/// … and by no fewer than so many entries.
const LEAST_GROWTH: usize = 64;

/// Its second look has no time of its own: it is spread with those that were found at the same time.
pub(super) const FRESH: u32 = u32::MAX;
/// It had its second look.
pub(super) const SETTLED: u32 = 0;

/// Where an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Its look is under way.
    Away,
    /// It waits for its time: level and slot of the wheel.
    Slot(u8, u8),
    /// It waits for its time, further away than the wheel reaches.
    Far,
    /// It is due, in the lane of its urgency.
    Ready,
    /// It is due, and waits at a door.
    Parked(Door),
}

/// One target.
#[derive(Debug)]
pub(super) struct Entry<K> {
    pub(super) key: K,
    /// Nanoseconds since the origin of the schedule.
    pub(super) due: u64,
    /// Milliseconds between two looks, as wanted; 0 where it is not known.
    pub(super) pace: u32,
    /// Milliseconds from its first look to the second; see [`FRESH`] and [`SETTLED`].
    pub(super) second: u32,
    pub(super) doors: Doors,
    pub(super) place: Place,
    pub(super) urgency: Urgency,
    /// It is counted in the load of the moment in which it is due.
    pub(super) counted: bool,
    previous: u32,
    next: u32,
    /// The next one with the same place in the index.
    sibling: u32,
}

/// A list that is linked through the entries.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    first: u32,
    last: u32,
}

impl Default for List {
    fn default() -> Self {
        Self { first: NONE, last: NONE }
    }
}

impl List {
    pub(super) const fn is_empty(&self) -> bool {
        self.first == NONE
    }

    pub(super) fn first(&self) -> Option<u32> {
        (self.first != NONE).then_some(self.first)
    }
}

/// All of them.
#[derive(Debug)]
pub(super) struct Entries<K> {
    slab: Vec<Option<Entry<K>>>,
    free: Vec<u32>,
    /// The first entry of each chain; a power of two of them, and no fewer than entries.
    index: Vec<u32>,
    hasher: RandomState,
}

impl<K> Default for Entries<K> {
    fn default() -> Self {
        Self { slab: Vec::new(), free: Vec::new(), index: vec![NONE; LEAST_GROWTH], hasher: RandomState::new() }
    }
}

impl<K> Entries<K> {
    pub(super) fn len(&self) -> usize {
        self.slab.len() - self.free.len()
    }

    pub(super) fn get(&self, id: u32) -> Option<&Entry<K>> {
        self.slab.get(id as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, id: u32) -> Option<&mut Entry<K>> {
        self.slab.get_mut(id as usize)?.as_mut()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &K> {
        self.slab.iter().flatten().map(|entry| &entry.key)
    }

    /// Those that are due and have not begun.
    pub(super) fn overdue(&self) -> impl Iterator<Item = (u32, &Entry<K>)> {
        let ids = 0_u32..;
        let all = ids.zip(&self.slab).filter_map(|(id, entry)| Some((id, entry.as_ref()?)));
        all.filter(|(_, entry)| matches!(entry.place, Place::Ready | Place::Parked(_)))
    }

    /// Adds an entry at the end of a list.
    pub(super) fn push_back(&mut self, list: &mut List, id: u32) {
        let last = std::mem::replace(&mut list.last, id);
        self.link(id, last, NONE);
        match self.get_mut(last) {
            Some(before) => before.next = id,
            None => list.first = id,
        }
    }

    /// … before its first.
    pub(super) fn push_front(&mut self, list: &mut List, id: u32) {
        let first = std::mem::replace(&mut list.first, id);
        self.link(id, NONE, first);
        match self.get_mut(first) {
            Some(after) => after.previous = id,
            None => list.last = id,
        }
    }

    /// Takes an entry out of the list in which it is.
    pub(super) fn unlink(&mut self, list: &mut List, id: u32) {
        let Some(entry) = self.get_mut(id) else { return };
        let (previous, next) = (entry.previous, entry.next);
        match self.get_mut(previous) {
            Some(before) => before.next = next,
            None => list.first = next,
        }
        match self.get_mut(next) {
            Some(after) => after.previous = previous,
            None => list.last = previous,
        }
        self.link(id, NONE, NONE);
    }

    /// Takes out the first entry of a list.
    pub(super) fn pop_front(&mut self, list: &mut List) -> Option<u32> {
        let first = list.first()?;
        self.unlink(list, first);
        Some(first)
    }

    fn link(&mut self, id: u32, previous: u32, next: u32) {
        if let Some(entry) = self.get_mut(id) {
            (entry.previous, entry.next) = (previous, next);
        }
    }
}

impl<K: Eq + Hash> Entries<K> {
    /// The entry of a key.
    pub(super) fn find(&self, key: &K) -> Option<u32> {
        let mut id = *self.index.get(self.chain(key))?;
        while let Some(entry) = self.get(id) {
            if entry.key == *key {
                return Some(id);
            }
            id = entry.sibling;
        }
        None
    }

    /// Makes an entry for a key that has none; nothing where there are as many as can be counted.
    pub(super) fn insert(&mut self, key: K) -> Option<u32> {
        if self.len() >= self.index.len() {
            self.grow_index();
        }
        let id = match self.free.pop() {
            Some(id) => id,
            None => u32::try_from(self.slab.len()).ok().filter(|id| *id != NONE)?,
        };
        let chain = self.chain(&key);
        let sibling = self.index.get_mut(chain).map_or(NONE, |first| std::mem::replace(first, id));
        let entry = Entry {
            key,
            due: 0,
            pace: 0,
            second: FRESH,
            doors: Doors::default(),
            place: Place::Away,
            urgency: Urgency::Routine,
            counted: false,
            previous: NONE,
            next: NONE,
            sibling,
        };
        match self.slab.get_mut(id as usize) {
            Some(free) => *free = Some(entry),
            None => {
                if self.slab.len() == self.slab.capacity() {
                    self.slab.reserve_exact((self.slab.len() / GROWTH).max(LEAST_GROWTH));
                }
                self.slab.push(Some(entry));
            }
        }
        Some(id)
    }

    /// Forgets an entry, which has to be in no list.
    pub(super) fn remove(&mut self, id: u32) {
        let Some(entry) = self.slab.get_mut(id as usize).and_then(Option::take) else { return };
        let chain = self.chain(&entry.key);
        self.free.push(id);
        let Some(first) = self.index.get_mut(chain) else { return };
        if *first == id {
            *first = entry.sibling;
            return;
        }
        let mut before = *first;
        while let Some(other) = self.get_mut(before) {
            if other.sibling == id {
                other.sibling = entry.sibling;
                return;
            }
            before = other.sibling;
        }
    }

    /// The place of a key in the index.
    #[expect(clippy::cast_possible_truncation, reason = "the low bits are the place")]
    fn chain(&self, key: &K) -> usize {
        self.hasher.hash_one(key) as usize & (self.index.len() - 1)
    }

    fn grow_index(&mut self) {
        self.index = vec![NONE; self.index.len() * 2];
        for id in 0..u32::try_from(self.slab.len()).unwrap_or(NONE) {
            let Some(chain) = self.get(id).map(|entry| self.chain(&entry.key)) else { continue };
            let first = self.index.get_mut(chain).map_or(NONE, |first| std::mem::replace(first, id));
            if let Some(entry) = self.get_mut(id) {
                entry.sibling = first;
            }
        }
    }
}
