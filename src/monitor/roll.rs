//! A map that is published again and again: a new one shares with the one before all that did not change.
//!
//! Subjects lie on shelves by their places ([`place`]). A change copies the pointers of one shelf and no more, and a reader that
//! keeps something a shelf knows by its pointer that nothing on it changed.

use std::{cmp::Ordering, fmt, ops::RangeInclusive, sync::Arc};

use crate::terms::place;

/// How many subjects a shelf holds before it becomes two. A change copies as many pointers; a reader that keeps something a shelf
/// makes that much anew. A few hundred keep both small.
const SHELF_MOST: usize = 256;

/// Two neighbours that hold no more than this together become one again: far less than a full shelf, so that a subject that comes and
/// goes does not cut and join without end.
const JOINED_MOST: usize = 64;

/// What has a name by which it is found.
pub trait Keyed {
    /// The name: no other subject of the same roll has it, and it never changes.
    fn key(&self) -> &str;
}

/// Subjects by their names. A clone costs nothing, and shares all.
pub struct Roll<V> {
    /// By place; the first one begins at 0, and each ends where the next one begins.
    shelves: Arc<Vec<Arc<Shelf<V>>>>,
    len: usize,
}

/// Some subjects that lie next to each other. The same pointer holds the same subjects.
pub struct Shelf<V> {
    /// The first place that belongs here, and the last one. A shelf covers an aligned power of two of places: it lies in one half,
    /// one quarter and so on of all.
    first: u64,
    last: u64,
    /// The places of `entries`, in their order.
    places: Box<[u64]>,
    entries: Box<[Arc<V>]>,
}

impl<V> Roll<V> {
    /// How many subjects there are.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All subjects, by place and thus in no order of names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<V>> {
        self.shelves.iter().flat_map(|shelf| shelf.entries.iter())
    }

    /// The shelves, by place.
    pub fn shelves(&self) -> impl Iterator<Item = &Arc<Shelf<V>>> {
        self.shelves.iter()
    }

    /// The shelf of a place.
    pub fn shelf_at(&self, place: u64) -> Option<&Arc<Shelf<V>>> {
        self.shelves.get(self.shelves.partition_point(|shelf| shelf.last < place))
    }
}

impl<V: Keyed> Roll<V> {
    /// The subject of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<V>> {
        self.get_at(place(name), name)
    }

    /// The same where its place is known. Of many names it is quicker in the order of their places.
    pub(super) fn get_at(&self, place: u64, name: &str) -> Option<&Arc<V>> {
        self.shelf_at(place)?.get(place, name)
    }

    /// Whether there is one of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// All subjects, in the order of their names: a list of its own, as long as the roll.
    pub fn sorted(&self) -> Vec<&Arc<V>> {
        let mut all: Vec<&Arc<V>> = self.iter().collect();
        all.sort_unstable_by(|one, other| one.key().cmp(other.key()));
        all
    }

    /// The roll with these subjects, each in the place of one of the same name, and without those of the names in `gone`; a name that is
    /// in both is put.
    #[must_use]
    pub fn with<'a>(&self, put: impl IntoIterator<Item = Arc<V>>, gone: impl IntoIterator<Item = &'a str>) -> Self {
        let gone = gone.into_iter().map(|name| (place(name), Change::Gone(name)));
        let put = put.into_iter().map(|subject| (place(subject.key()), Change::Put(subject)));
        let mut changes: Vec<(u64, Change<'a, V>)> = gone.chain(put).collect();
        // Stable: of the changes of one name the last one counts.
        changes.sort_by(|(place, one), (other_place, other)| {
            order((*place, || one.key()), (*other_place, || other.key()))
        });
        let mut changes = changes.into_iter().peekable();
        let mut shelves: Vec<Arc<Shelf<V>>> = Vec::with_capacity(self.shelves.len());
        for shelf in self.shelves.iter() {
            let mut here = Vec::new();
            while let Some(change) = changes.next_if(|(place, _)| *place <= shelf.last) {
                here.push(change);
            }
            if here.is_empty() {
                put_down(Arc::clone(shelf), &mut shelves);
            } else {
                Shelf::cut(shelf.first, shelf.last, shelf.merged(here), &mut shelves);
            }
        }
        let len = shelves.iter().map(|shelf| shelf.entries.len()).sum();
        Self { shelves: Arc::new(shelves), len }
    }
}

impl<V: Keyed + Clone> Roll<V> {
    /// A walk along the shelves, on which subjects can be changed where they lie.
    pub(super) fn walk(&mut self) -> Walk<'_, V> {
        Walk { shelves: Arc::make_mut(&mut self.shelves), at: 0 }
    }
}

/// A walk along the shelves of a roll. What another roll holds too is copied before it is changed, and nothing else.
pub(super) struct Walk<'a, V> {
    shelves: &'a mut Vec<Arc<Shelf<V>>>,
    at: usize,
}

impl<V: Keyed + Clone> Walk<'_, V> {
    /// The subject of this name, where there is one that is `wanted`. Names come in the order of their places; what lies before the
    /// shelf of the last one is not found.
    pub(super) fn get_mut(&mut self, place: u64, name: &str, wanted: impl FnOnce(&V) -> bool) -> Option<&mut V> {
        while self.shelves.get(self.at)?.last < place {
            self.at += 1;
        }
        let shelf = self.shelves.get_mut(self.at)?;
        let entry =
            shelf.index(place, name).filter(|index| shelf.entries.get(*index).is_some_and(|one| wanted(one)))?;
        Arc::make_mut(shelf).entries.get_mut(entry).map(Arc::make_mut)
    }
}

/// The order of subjects: by place, then by name. The names are looked at only where it depends on them; they lie elsewhere.
fn order<'a>(
    (place, name): (u64, impl FnOnce() -> &'a str),
    (other_place, other_name): (u64, impl FnOnce() -> &'a str),
) -> Ordering {
    place.cmp(&other_place).then_with(|| name().cmp(other_name()))
}

impl<V> Default for Roll<V> {
    fn default() -> Self {
        Self { shelves: Arc::new(vec![Arc::new(Shelf::new(0, u64::MAX, Vec::new()))]), len: 0 }
    }
}

impl<V> Clone for Roll<V> {
    fn clone(&self) -> Self {
        Self { shelves: Arc::clone(&self.shelves), len: self.len }
    }
}

impl<V: fmt::Debug> fmt::Debug for Roll<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<V: Keyed> FromIterator<Arc<V>> for Roll<V> {
    fn from_iter<I: IntoIterator<Item = Arc<V>>>(subjects: I) -> Self {
        Self::default().with(subjects, [])
    }
}

/// What becomes of one name.
enum Change<'a, V> {
    Put(Arc<V>),
    Gone(&'a str),
}

impl<V: Keyed> Change<'_, V> {
    fn key(&self) -> &str {
        match self {
            Self::Put(subject) => subject.key(),
            Self::Gone(name) => name,
        }
    }
}

impl<V> Shelf<V> {
    fn new(first: u64, last: u64, placed: Vec<(u64, Arc<V>)>) -> Self {
        let (places, entries): (Vec<u64>, Vec<Arc<V>>) = placed.into_iter().unzip();
        Self { first, last, places: places.into(), entries: entries.into() }
    }

    /// The subjects, by place.
    pub const fn entries(&self) -> &[Arc<V>] {
        &self.entries
    }

    /// The subjects with their places, in their order.
    pub fn placed(&self) -> impl Iterator<Item = (u64, &Arc<V>)> {
        self.places.iter().copied().zip(self.entries.iter())
    }

    /// The places that belong here, whether a subject lies there or not.
    pub const fn range(&self) -> RangeInclusive<u64> {
        self.first..=self.last
    }

    /// Puts shelves down for these subjects, as many as they need.
    fn cut(first: u64, last: u64, mut placed: Vec<(u64, Arc<V>)>, shelves: &mut Vec<Arc<Self>>) {
        if placed.len() <= SHELF_MOST || first == last {
            return put_down(Arc::new(Self::new(first, last, placed)), shelves);
        }
        let middle = first + (last - first) / 2;
        let right = placed.split_off(placed.partition_point(|(place, _)| *place <= middle));
        Self::cut(first, middle, placed, shelves);
        Self::cut(middle + 1, last, right, shelves);
    }

    /// Whether `right` is the other half of what this one would be a half of.
    const fn is_half_beside(&self, right: &Self) -> bool {
        let size = self.last - self.first;
        // The left half of an aligned range begins where the whole one does.
        right.last - right.first == size && self.first & (size.wrapping_mul(2).wrapping_add(1)) == 0
    }
}

impl<V: Keyed> Shelf<V> {
    fn get(&self, place: u64, name: &str) -> Option<&Arc<V>> {
        self.index(place, name).and_then(|index| self.entries.get(index))
    }

    fn index(&self, place: u64, name: &str) -> Option<usize> {
        let from = self.places.partition_point(|known| *known < place);
        // Two names at one place are as likely as two equal digests of eight bytes: rare, and no fault.
        let here = self.places.iter().zip(self.entries.iter()).enumerate().skip(from);
        let mut here = here.take_while(|(_, (known, _))| **known == place);
        here.find(|(_, (_, subject))| subject.key() == name).map(|(index, _)| index)
    }

    /// What lies here after the changes. Both are sorted by place and name.
    fn merged(&self, changes: Vec<(u64, Change<'_, V>)>) -> Vec<(u64, Arc<V>)> {
        let mut merged: Vec<(u64, Arc<V>)> = Vec::with_capacity(self.entries.len() + changes.len());
        let mut known = self.placed().peekable();
        for (place, change) in changes {
            let compared = |at: u64, subject: &Arc<V>| order((at, || subject.key()), (place, || change.key()));
            while let Some((place, subject)) = known.next_if(|(at, subject)| compared(*at, subject).is_lt()) {
                merged.push((place, Arc::clone(subject)));
            }
            while known.next_if(|(at, subject)| compared(*at, subject).is_eq()).is_some() {}
            // An earlier change of the same name no longer counts.
            if merged.last().is_some_and(|(at, subject)| compared(*at, subject).is_eq()) {
                merged.pop();
            }
            if let Change::Put(subject) = change {
                merged.push((place, subject));
            }
        }
        merged.extend(known.map(|(place, subject)| (place, Arc::clone(subject))));
        merged
    }
}

/// Puts a shelf beside the one before it; where both are halves that hold little, they become one again.
fn put_down<V>(shelf: Arc<Shelf<V>>, shelves: &mut Vec<Arc<Shelf<V>>>) {
    let mut shelf = shelf;
    while let Some(left) = shelves.last()
        && left.entries.len() + shelf.entries.len() <= JOINED_MOST
        && left.is_half_beside(&shelf)
    {
        let placed = left.placed().chain(shelf.placed()).map(|(place, subject)| (place, Arc::clone(subject)));
        let joined = Arc::new(Shelf::new(left.first, shelf.last, placed.collect()));
        shelves.pop();
        shelf = joined;
    }
    shelves.push(shelf);
}

impl<V> Clone for Shelf<V> {
    fn clone(&self) -> Self {
        let Self { first, last, places, entries } = self;
        Self { first: *first, last: *last, places: places.clone(), entries: entries.clone() }
    }
}

impl<V: fmt::Debug> fmt::Debug for Shelf<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.entries.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq)]
    struct One(String, u32);

    impl Keyed for One {
        fn key(&self) -> &str {
            &self.0
        }
    }

    fn one(name: u32, value: u32) -> Arc<One> {
        Arc::new(One(format!("d{name}.example"), value))
    }

    /// What holds for every roll.
    fn sound(roll: &Roll<One>) {
        let shelves: Vec<_> = roll.shelves().collect();
        assert_eq!((shelves[0].first, shelves[shelves.len() - 1].last), (0, u64::MAX));
        assert!(shelves.windows(2).all(|two| two[0].last + 1 == two[1].first), "no place is missing");
        for shelf in shelves {
            let size = shelf.last - shelf.first;
            assert!(size.wrapping_add(1) == 0 || size.wrapping_add(1).is_power_of_two() && shelf.first & size == 0);
            assert!(shelf.entries.len() <= SHELF_MOST);
            assert!(shelf.placed().all(|(at, subject)| at == place(&subject.0) && shelf.range().contains(&at)));
            assert!(shelf.placed().is_sorted_by_key(|(at, subject)| (at, &subject.0)));
        }
        assert_eq!(roll.iter().count(), roll.len());
    }

    #[test]
    fn a_change_leaves_the_other_shelves_as_they_are() {
        let before: Roll<One> = (0..20_000).map(|name| one(name, 0)).collect();
        sound(&before);
        assert!((20_000 / SHELF_MOST..600).contains(&before.shelves().count()), "{}", before.shelves().count());
        let after = before.with([one(7, 1), one(20_000, 1)], ["d8.example"]);
        sound(&after);
        assert_eq!((before.len(), after.len()), (20_000, 20_000));
        assert_eq!((before.get("d7.example").unwrap().1, after.get("d7.example").unwrap().1), (0, 1));
        assert!(before.contains("d8.example") && !after.contains("d8.example"));
        let same = before.shelves().filter(|shelf| after.shelves().any(|other| Arc::ptr_eq(shelf, other))).count();
        assert!(same + 3 >= before.shelves().count(), "{same}");
    }

    #[test]
    fn on_a_walk_subjects_change_where_they_lie_and_other_rolls_stay_as_they_are() {
        let mut roll: Roll<One> = (0..2_000).map(|name| one(name, 0)).collect();
        let before = roll.clone();
        let mut names: Vec<String> = (0..3_000).map(|name| format!("d{name}.example")).collect();
        names.sort_by_key(|name| place(name));
        for round in 1..3 {
            let mut walk = roll.walk();
            for name in &names {
                let changed = walk.get_mut(place(name), name, |one| one.1 < round && !name.starts_with("d7"));
                assert_eq!(changed.is_some(), before.contains(name) && !name.starts_with("d7"), "{name}");
                changed.into_iter().for_each(|one| one.1 = round);
            }
            sound(&roll);
            assert_eq!(before.iter().map(|one| one.1).max(), Some(0));
            let changed = |one: &Arc<One>| one.1 == if one.0.starts_with("d7") { 0 } else { round };
            assert!(roll.len() == 2_000 && roll.iter().all(changed));
        }
        let at = Arc::as_ptr(roll.get("d1.example").unwrap());
        roll.walk().get_mut(place("d1.example"), "d1.example", |_| true).unwrap().1 = 9;
        assert_eq!(Arc::as_ptr(roll.get("d1.example").unwrap()), at, "nobody else had it");
    }

    #[test]
    fn what_is_taken_away_gives_its_shelves_back() {
        let many: Roll<One> = (0..5_000).map(|name| one(name, 0)).collect();
        let names: Vec<String> = (10..5_000).map(|name| format!("d{name}.example")).collect();
        let few = many.with([], names.iter().map(String::as_str));
        sound(&few);
        assert_eq!((few.len(), few.shelves().count()), (10, 1));
        let sorted: Vec<&str> = few.sorted().into_iter().map(|one| one.0.as_str()).collect();
        assert_eq!(sorted[..3], ["d0.example", "d1.example", "d2.example"]);
    }

    proptest! {
        /// Against a map: puts and removals in any order, and the same name again and again.
        #[test]
        fn a_roll_is_a_map(steps in prop::collection::vec(
            (prop::collection::vec((0..600_u32, 0..9_u32), 0..300), prop::collection::vec(0..600_u32, 0..300)), 1..8,
        )) {
            let (mut roll, mut map) = (Roll::default(), BTreeMap::new());
            for (put, gone) in steps {
                let names: Vec<String> = gone.iter().map(|name| format!("d{name}.example")).collect();
                roll = roll.with(put.iter().map(|(name, value)| one(*name, *value)), names.iter().map(String::as_str));
                names.iter().for_each(|name| { map.remove(name); });
                map.extend(put.iter().map(|(name, value)| (format!("d{name}.example"), *value)));
                sound(&roll);
                let found: BTreeMap<String, u32> = roll.iter().map(|one| (one.0.clone(), one.1)).collect();
                prop_assert_eq!(&found, &map);
                prop_assert!(map.iter().all(|(name, value)| roll.get(name).is_some_and(|one| one.1 == *value)));
                prop_assert!(!roll.contains("absent.example"));
            }
        }
    }
}
