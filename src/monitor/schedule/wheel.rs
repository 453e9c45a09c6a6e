//! Who waits for which time: a wheel of slots for what is near, wheels of longer slots for what is far.

use super::entries::{Entries, List, Place};

/// The length of a slot: 2^22 ns, about 4 ms. So much before its time a look may begin; more precise no interval has to be.
const SLOT_BITS: u32 = 22;
/// A wheel has 2^8 slots, and a slot of the next one is as long as the whole of it: 1 s, then 5 minutes, 20 hours, 7 months.
const WHEEL_BITS: u32 = 8;
const SLOTS: usize = 1 << WHEEL_BITS;
/// So many wheels; what is further away waits in one list, which is looked through once in 7 months.
const WHEELS: u32 = 4;
const WORDS: usize = SLOTS / 64;

/// The number of the slot in which a time lies; times are nanoseconds.
const fn slot_of(time: u64) -> u64 {
    time >> SLOT_BITS
}

#[derive(Debug)]
struct Level {
    lists: Vec<List>,
    /// A bit for each slot that is not empty.
    occupied: [u64; WORDS],
}

impl Level {
    fn new() -> Self {
        Self { lists: vec![List::default(); SLOTS], occupied: [0; WORDS] }
    }

    fn mark(&mut self, slot: u8, occupied: bool) {
        if let Some(word) = self.occupied.get_mut(usize::from(slot) / 64) {
            let bit = 1 << (slot % 64);
            *word = if occupied { *word | bit } else { *word & !bit };
        }
    }

    /// The first slot from this one on that is not empty.
    fn first_from(&self, slot: u64) -> Option<u64> {
        let (from, low) = (slot / 64, slot % 64);
        (from..).zip(self.occupied.iter().skip(usize::try_from(from).ok()?)).find_map(|(number, word)| {
            let word = if number == from { word & (u64::MAX << low) } else { *word };
            (word != 0).then(|| number * 64 + u64::from(word.trailing_zeros()))
        })
    }
}

#[derive(Debug)]
pub(super) struct Wheel {
    /// The slot up to which all are due.
    now: u64,
    levels: Vec<Level>,
    far: List,
}

impl Wheel {
    pub(super) fn new() -> Self {
        Self { now: 0, levels: (0..WHEELS).map(|_| Level::new()).collect(), far: List::default() }
    }

    /// Puts an entry where it waits for its time, and says where; nothing where it is due.
    pub(super) fn insert<K>(&mut self, entries: &mut Entries<K>, id: u32) -> Option<Place> {
        let slot = slot_of(entries.get(id)?.due);
        if slot <= self.now {
            return None;
        }
        // The highest bit in which the two differ says on which wheel they are apart.
        let level = (self.now ^ slot).ilog2() / WHEEL_BITS;
        let place = match self.levels.get_mut(level as usize) {
            Some(wheel) => {
                let number = number(slot, level);
                entries.push_back(wheel.lists.get_mut(usize::from(number))?, id);
                wheel.mark(number, true);
                Place::Slot(u8::try_from(level).unwrap_or(u8::MAX), number)
            }
            None => {
                entries.push_back(&mut self.far, id);
                Place::Far
            }
        };
        if let Some(entry) = entries.get_mut(id) {
            entry.place = place;
        }
        Some(place)
    }

    /// Takes an entry out of the slot in which it waits.
    pub(super) fn remove<K>(&mut self, entries: &mut Entries<K>, id: u32, place: Place) {
        match place {
            Place::Slot(level, slot) => {
                let Some(wheel) = self.levels.get_mut(usize::from(level)) else { return };
                let Some(list) = wheel.lists.get_mut(usize::from(slot)) else { return };
                entries.unlink(list, id);
                if list.is_empty() {
                    wheel.mark(slot, false);
                }
            }
            Place::Far => entries.unlink(&mut self.far, id),
            _ => {}
        }
    }

    /// Turns to a time, and hands out what is due by then, in the order of the slots.
    pub(super) fn turn<K>(&mut self, entries: &mut Entries<K>, time: u64, mut due: impl FnMut(&mut Entries<K>, u32)) {
        let to = slot_of(time);
        while let Some((level, slot)) = self.first().filter(|(_, slot)| *slot <= to) {
            self.now = slot;
            let mut list = match self.levels.get_mut(level as usize) {
                Some(wheel) => {
                    let number = number(slot, level);
                    wheel.mark(number, false);
                    wheel.lists.get_mut(usize::from(number)).map(std::mem::take)
                }
                None => Some(std::mem::take(&mut self.far)),
            }
            .unwrap_or_default();
            while let Some(id) = entries.pop_front(&mut list) {
                if self.insert(entries, id).is_none() {
                    due(entries, id);
                }
            }
        }
        self.now = self.now.max(to);
    }

    /// The time to which it turned, in nanoseconds.
    pub(super) const fn time(&self) -> u64 {
        self.now << SLOT_BITS
    }

    /// When to turn next, in nanoseconds.
    pub(super) fn next(&self) -> Option<u64> {
        self.first().map(|(_, slot)| slot << SLOT_BITS)
    }

    /// The next slot that is not empty and its wheel. What waits on a finer wheel comes before all of the coarser ones.
    fn first(&self) -> Option<(u32, u64)> {
        let on = |(level, wheel): (u32, &Level)| {
            let shift = level * WHEEL_BITS;
            let here = self.now >> shift;
            let first = wheel.first_from(here % SLOTS as u64)?;
            Some((level, (here - here % SLOTS as u64 + first) << shift))
        };
        let near = (0..).zip(&self.levels).find_map(on);
        let beyond = WHEELS * WHEEL_BITS;
        near.or_else(|| (!self.far.is_empty()).then_some((WHEELS, ((self.now >> beyond) + 1) << beyond)))
    }
}

/// The number of a slot on a wheel.
fn number(slot: u64, level: u32) -> u8 {
    u8::try_from((slot >> (level * WHEEL_BITS)) % SLOTS as u64).unwrap_or(0)
}

/// How many are due in which moment, as far as it is known.
#[derive(Debug)]
pub(super) struct Load {
    /// More than 65,535 at once are as many as that.
    moments: Vec<u16>,
}

impl Load {
    /// A moment is 2^28 ns long, about a quarter of a second: what is even in it is so in each second.
    pub(super) const MOMENT: u64 = 1 << 28;
    /// So many moments ahead are counted, 5 hours: longer intervals are rare, and their looks are far apart.
    const AHEAD: u64 = 1 << 16;

    pub(super) fn new() -> Self {
        Self { moments: vec![0; usize::try_from(Self::AHEAD).unwrap_or(0)] }
    }

    /// Whether a time is near enough to be counted.
    pub(super) const fn reaches(now: u64, time: u64) -> bool {
        time / Self::MOMENT < now / Self::MOMENT + Self::AHEAD
    }

    /// How many are due in the moment of this time; 0 beyond what is counted.
    pub(super) fn at(&self, now: u64, time: u64) -> u16 {
        if Self::reaches(now, time) { self.moments.get(Self::place(time)).copied().unwrap_or(0) } else { 0 }
    }

    pub(super) fn add(&mut self, time: u64) {
        if let Some(count) = self.moments.get_mut(Self::place(time)) {
            *count = count.saturating_add(1);
        }
    }

    pub(super) fn take(&mut self, time: u64) {
        if let Some(count) = self.moments.get_mut(Self::place(time)) {
            *count = count.saturating_sub(1);
        }
    }

    fn place(time: u64) -> usize {
        usize::try_from(time / Self::MOMENT % Self::AHEAD).unwrap_or(0)
    }
}
