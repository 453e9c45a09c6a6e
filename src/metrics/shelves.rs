//! What is exported of a snapshot, and the cells of its shelves, which scrapes share.
//!
//! A scrape turns nothing that was turned once: what changes on a shelf that scrapes asked for is turned when its snapshot is published.

use std::{
    ops::Range,
    sync::{Arc, OnceLock},
};

use super::{
    block,
    column::{Cell, Shown},
    part::Part,
    registry::Subject,
};
use crate::monitor::{Roll, Shelf};

/// How much a shelf holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    /// Series.
    pub(super) series: u64,
    /// Bytes of text, without the lines before the samples.
    pub(super) bytes: u64,
}

impl Size {
    fn and(self, other: Self) -> Self {
        Self { series: self.series.saturating_add(other.series), bytes: self.bytes.saturating_add(other.bytes) }
    }

    fn of_one<V: Shown>(shown: &V) -> Self {
        let rendered = shown.rendered();
        Self { series: block::series(rendered), bytes: block::text_length(&rendered.bytes) }
    }

    fn of<V: Shown>(subjects: &[Arc<V>]) -> Self {
        subjects.iter().map(|shown| Self::of_one(&**shown)).fold(Self::default(), Self::and)
    }

    /// The same where other subjects stood at some of the places before, which took `before`. Only those are looked at: each that is
    /// costs a way to the memory.
    fn of_changed<V: Shown>(subjects: &[Arc<V>], was: &[Arc<V>], before: Self) -> Option<Self> {
        // A sum that reached its end has no parts.
        if was.len() != subjects.len() || before.series == u64::MAX || before.bytes == u64::MAX {
            return None;
        }
        let changed = was.iter().zip(subjects).filter(|(one, other)| !Arc::ptr_eq(one, other));
        changed.map(|(one, other)| (Self::of_one(&**one), Self::of_one(&**other))).try_fold(
            before,
            |sum, (one, other)| {
                let without =
                    Self { series: sum.series.checked_sub(one.series)?, bytes: sum.bytes.checked_sub(one.bytes)? };
                Some(without.and(other))
            },
        )
    }
}

/// The subjects of one kind in a snapshot, and which of them are exported.
#[derive(Debug)]
pub(super) struct Shelves<V> {
    subject: Subject,
    shelves: Vec<Arc<Exported<V>>>,
    /// How many shelves are exported whole, and how many subjects of the next one.
    whole: usize,
    more: usize,
    exported: Size,
    dropped: u64,
}

/// A shelf, and how scrapes show it. Shared by all snapshots in which the shelf is the same.
#[derive(Debug)]
pub(super) struct Exported<V> {
    shelf: Arc<Shelf<V>>,
    size: Size,
    /// Its blocks by family, once a scrape asked for them; from then on it is kept as the shelf changes.
    cell: OnceLock<Arc<Cell>>,
}

impl<V: Shown> Exported<V> {
    /// Of a shelf that was not there before. `before`: the one that held its first place. Where scrapes show that one, they will
    /// show this one too, and must not wait until it is turned.
    fn new(shelf: &Arc<Shelf<V>>, before: Option<&Self>, subject: Subject) -> Self {
        let cell = OnceLock::new();
        if let Some((before, shown)) = before.and_then(|before| Some((before, before.cell.get()?))) {
            let after = Cell::after(shown, before.shelf.entries(), shelf.entries(), subject);
            // Nobody else has it yet.
            let _ = cell.set(after);
        }
        let subjects = shelf.entries();
        let size = before.and_then(|before| Size::of_changed(subjects, before.shelf.entries(), before.size));
        Self { shelf: Arc::clone(shelf), size: size.unwrap_or_else(|| Size::of(subjects)), cell }
    }

    /// Its blocks by family: made now where no scrape asked for them before.
    pub(super) fn cell(&self, subject: Subject) -> &Arc<Cell> {
        self.cell.get_or_init(|| Arc::new(Cell::of(self.shelf.entries(), subject, None)))
    }

    /// How many subjects it holds.
    pub(super) fn len(&self) -> usize {
        self.shelf.entries().len()
    }
}

impl<V: Shown> Shelves<V> {
    /// Of a roll; what did not change is not counted again, and what scrapes asked for is turned here, beside them. No more than
    /// `most` series are exported: those that lie last are dropped, the same ones each time.
    pub(super) fn of(roll: &Roll<V>, subject: Subject, most: u64, before: Option<&Self>) -> Self {
        let mut before = before.map_or(&[][..], |before| &before.shelves);
        let mut shelves = Vec::with_capacity(before.len());
        for shelf in roll.shelves() {
            // Both are in the order of their places.
            let ended = before.iter().take_while(|known| known.shelf.range().end() < shelf.range().start()).count();
            before = before.get(ended..).unwrap_or_default();
            shelves.push(match before.first() {
                Some(known) if Arc::ptr_eq(&known.shelf, shelf) => Arc::clone(known),
                known => Arc::new(Exported::new(shelf, known.map(|known| &**known), subject)),
            });
        }
        let all = shelves.iter().map(|one| one.size).fold(Size::default(), Size::and);
        let (mut whole, mut more, mut exported) = (0, 0, Size::default());
        for one in &shelves {
            let sum = exported.and(one.size);
            if sum.series <= most {
                (whole, exported) = (whole + 1, sum);
                continue;
            }
            for one in one.shelf.entries() {
                let sum = exported.and(Size::of_one(&**one));
                if sum.series > most {
                    break;
                }
                (more, exported) = (more + 1, sum);
            }
            break;
        }
        Self { subject, shelves, whole, more, exported, dropped: all.series - exported.series }
    }

    /// What they are.
    pub(super) const fn subject(&self) -> Subject {
        self.subject
    }

    /// How much is exported, in all parts together.
    pub(super) const fn exported(&self) -> Size {
        self.exported
    }

    /// Series that are not, because there would be too many.
    pub(super) const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The shelves of a part that have something to export, and which of their subjects.
    pub(super) fn part(&self, part: Part) -> impl Iterator<Item = (&Exported<V>, Range<usize>)> {
        let shelves = self.shelves.iter().map(|one| &**one);
        let exported = shelves.enumerate().map_while(move |(index, one)| {
            let subjects = if index < self.whole { one.len() } else { self.more };
            (index <= self.whole).then_some((one, subjects))
        });
        exported.filter_map(move |(one, subjects)| {
            let Range { start, end } = part.cut(&one.shelf);
            let end = end.min(subjects);
            (start < end).then_some((one, start..end))
        })
    }

    /// Bytes of memory that what is turned takes.
    pub(super) fn turned(&self) -> usize {
        self.shelves.iter().filter_map(|one| one.cell.get()).map(|cell| cell.bytes()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::{Keyed, Rendered};

    #[derive(Debug)]
    struct One(&'static str, Rendered);

    impl Keyed for One {
        fn key(&self) -> &str {
            self.0
        }
    }

    impl Shown for One {
        fn rendered(&self) -> &Rendered {
            &self.1
        }
    }

    #[test]
    fn what_is_damaged_takes_no_room_from_the_others() {
        let mut block = block::Writer::new(Subject::Domain, "a.example", false);
        block.family(1);
        block.sample(std::iter::once("x"), crate::metrics::text::Value::Integer(1));
        let good = block.finish();
        // It says that it has as many series, and as much text, as a number holds.
        let mut bytes = vec![block::FORMAT, 0];
        bytes.extend([0xff; 9]);
        bytes.push(1);
        let names = ["a.example", "b.example", "c.example", "d.example"];
        let damaged = || Rendered { bytes: bytes.clone().into(), series: u32::MAX };
        let subjects = names.into_iter().zip([damaged(), good.clone(), damaged(), good.clone()]);
        let roll: Roll<One> = subjects.map(|(name, rendered)| Arc::new(One(name, rendered))).collect();
        let shelves = Shelves::of(&roll, Subject::Domain, 2, None);
        let bytes = 2 * block::text_length(&good.bytes);
        assert!(bytes > 0);
        assert_eq!((shelves.exported(), shelves.dropped()), (Size { series: 2, bytes }, 0));
        let exported: usize = shelves.part(Part::ALL).map(|(_, subjects)| subjects.len()).sum();
        assert_eq!(exported, names.len());
    }
    fn roll(names: usize, value: i64) -> Roll<One> {
        (0..names).map(|number| shown(number, value)).collect()
    }

    fn shown(number: usize, value: i64) -> Arc<One> {
        let name: &'static str = format!("d{number}.example").leak();
        let mut block = block::Writer::new(Subject::Domain, name, false);
        block.family(1);
        block.sample(std::iter::once("x"), crate::metrics::text::Value::Integer(value));
        Arc::new(One(name, block.finish()))
    }

    #[test]
    fn what_a_shelf_takes_after_a_change_is_what_it_takes() {
        let before = roll(300, 1);
        let first = Shelves::of(&before, Subject::Domain, u64::MAX, None);
        // Longer values, another name in the place of one, fewer and more.
        let longer = before.with([shown(7, 1_000_000), shown(8, 123)], []);
        let another = longer.with([shown(1_000, 5)], ["d9.example"]);
        let fewer = another.with([], ["d10.example"]);
        let mut known = first;
        for roll in [&longer, &another, &fewer, &before] {
            known = Shelves::of(roll, Subject::Domain, u64::MAX, Some(&known));
            let anew = Shelves::of(roll, Subject::Domain, u64::MAX, None);
            assert_eq!(known.exported(), anew.exported());
            let sizes = |shelves: &Shelves<One>| shelves.shelves.iter().map(|one| one.size).collect::<Vec<_>>();
            assert_eq!(sizes(&known), sizes(&anew));
        }
    }

    /// How many shelves are turned.
    fn turned(shelves: &Shelves<One>) -> usize {
        shelves.shelves.iter().filter(|one| one.cell.get().is_some()).count()
    }

    #[test]
    fn what_scrapes_asked_for_is_turned_before_the_next_one() {
        let before = roll(2_000, 1);
        let first = Shelves::of(&before, Subject::Domain, u64::MAX, None);
        let all = first.shelves.len();
        assert!(all > 8 && first.turned() == 0, "nobody asked");
        let half = Part::new(1, 2).unwrap();
        first.part(half).for_each(|(one, _)| drop(Arc::clone(one.cell(Subject::Domain))));
        let asked = turned(&first);
        assert!(asked > 0 && asked < all);
        // Changed, come and gone: shelves are cut in two, and joined.
        let many = before.with((0..20_000).map(|number| shown(number, 2)), []);
        let names: Vec<String> = (100..20_000).map(|number| format!("d{number}.example")).collect();
        let few = many.with([], names.iter().map(String::as_str));
        let [more, less] = [many, few].map(|roll| Shelves::of(&roll, Subject::Domain, u64::MAX, Some(&first)));
        for shelves in [more, less] {
            for one in &shelves.shelves {
                assert_eq!(one.size, Size::of(one.shelf.entries()));
            }
            let of_half = shelves.part(half).filter(|(one, _)| one.cell.get().is_some()).count();
            assert_eq!((of_half, turned(&shelves)), (shelves.part(half).count(), of_half));
        }
    }
}
