//! What is exported of a snapshot, and the cells of its shelves, which scrapes share.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
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
}

/// The subjects of one kind in a snapshot, and which of them are exported.
#[derive(Debug)]
pub(super) struct Shelves<V> {
    subject: Subject,
    shelves: Vec<(Arc<Shelf<V>>, Size)>,
    /// How many shelves are exported whole, and how many subjects of the next one.
    whole: usize,
    more: usize,
    exported: Size,
    dropped: u64,
}

impl<V: Shown> Shelves<V> {
    /// Of a roll; what did not change is not counted again. No more than `most` series are exported: those that lie last are dropped,
    /// the same ones each time.
    pub(super) fn of(roll: &Roll<V>, subject: Subject, most: u64, before: Option<&Self>) -> Self {
        let before = before.map_or(&[][..], |before| &before.shelves);
        let known: HashMap<*const Shelf<V>, Size> =
            before.iter().map(|(shelf, size)| (Arc::as_ptr(shelf), *size)).collect();
        let sized = |shelf: &Arc<Shelf<V>>| {
            // While `before` holds the shelf, no other one is at its address.
            let size = known.get(&Arc::as_ptr(shelf)).copied();
            (Arc::clone(shelf), size.unwrap_or_else(|| Size::of(shelf.entries())))
        };
        let shelves: Vec<_> = roll.shelves().map(sized).collect();
        let all = shelves.iter().map(|(_, size)| *size).fold(Size::default(), Size::and);
        let (mut whole, mut more, mut exported) = (0, 0, Size::default());
        for (shelf, size) in &shelves {
            let sum = exported.and(*size);
            if sum.series <= most {
                (whole, exported) = (whole + 1, sum);
                continue;
            }
            for one in shelf.entries() {
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
    pub(super) fn part(&self, part: Part) -> impl Iterator<Item = (&Arc<Shelf<V>>, Range<usize>)> {
        let exported = self.shelves.iter().enumerate().map_while(move |(index, (shelf, _))| {
            let subjects = if index < self.whole { shelf.entries().len() } else { self.more };
            (index <= self.whole).then_some((shelf, subjects))
        });
        exported.filter_map(move |(shelf, subjects)| {
            let Range { start, end } = part.cut(shelf);
            let end = end.min(subjects);
            (start < end).then_some((shelf, start..end))
        })
    }
}

/// The cells of the shelves that were last asked for.
#[derive(Debug)]
pub(super) struct Cells<V> {
    /// By the first place of the shelf.
    cells: Mutex<HashMap<u64, Of<V>>>,
}

/// The cell of a shelf. The shelf itself is not held: it would keep alive what was published long ago.
type Of<V> = (Weak<Shelf<V>>, Arc<Cell>);

impl<V> Default for Cells<V> {
    fn default() -> Self {
        Self { cells: Mutex::default() }
    }
}

impl<V: Shown> Cells<V> {
    /// The cell of a shelf: the one that is there, or a new one. The lock is not held while it is made; two scrapes may then make the
    /// same one, and one of both is kept.
    pub(super) fn of(&self, shelf: &Arc<Shelf<V>>, subject: Subject) -> Arc<Cell> {
        let first = *shelf.range().start();
        let known = self.lock().get(&first).map(|(of, cell)| (of.as_ptr(), Arc::clone(cell)));
        let before = match known {
            // A shelf that is referred to, even weakly, shares its address with no other.
            Some((of, cell)) if of == Arc::as_ptr(shelf) => return cell,
            other => other.map(|(_, cell)| cell),
        };
        let cell = Arc::new(Cell::of(shelf.entries(), subject, before.as_deref()));
        self.lock().insert(first, (Arc::downgrade(shelf), Arc::clone(&cell)));
        cell
    }

    /// Forgets the cells of places where no shelf begins any more.
    pub(super) fn retain(&self, shelves: &Shelves<V>) {
        let mut cells = self.lock();
        // Shelves become more and fewer as subjects do: rarely.
        if cells.len() > shelves.shelves.len() {
            let first = |(shelf, _): &(Arc<Shelf<V>>, Size)| *shelf.range().start();
            let firsts: HashSet<u64> = shelves.shelves.iter().map(first).collect();
            cells.retain(|first, _| firsts.contains(first));
        }
    }

    /// Bytes of memory that they take.
    pub(super) fn bytes(&self) -> usize {
        self.lock().values().map(|(_, cell)| cell.bytes()).sum()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Of<V>>> {
        // A panic elsewhere leaves a map that is whole.
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
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
}
