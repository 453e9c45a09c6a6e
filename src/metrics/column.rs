//! The blocks of a shelf turned by families: for each family what its samples end in, next to each other in memory.
//!
//! A scrape goes through one family after the other. Blocks alone would have it touch every subject once a family, all over the
//! memory; so the blocks of a shelf are read once for each change of the shelf, and the scrapes after it copy. Most samples of a family
//! end alike, so such a column takes a byte or two a sample, and a timestamp its digits.

use std::{
    ops::Range,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use super::{
    block::{self, Tails},
    gzip::Members,
    registry::Subject,
    samples::{Builder, Sample, Samples, Texts},
    text,
};
use crate::monitor::{Keyed, Rendered};

/// What a scrape shows of a subject.
pub(super) trait Shown: Keyed {
    fn rendered(&self) -> &Rendered;
}

/// The samples of the subjects of one shelf, by family.
#[derive(Debug)]
pub(super) struct Cell {
    /// The names of the subjects, as they stand in a text.
    names: Arc<Texts>,
    /// By the places of the families in the table; nothing where there is no sample.
    columns: Vec<Option<Arc<Column>>>,
    /// Series of blocks that could not be read.
    unreadable: u64,
    bytes: usize,
}

/// What the samples of one family end in.
#[derive(Debug)]
struct Column {
    samples: Samples,
    /// A scrape has asked for it compressed.
    asked: AtomicBool,
    /// Compressed, once a second scrape asked for it.
    member: OnceLock<Option<Member>>,
}

/// Compressed text that is kept.
#[derive(Debug)]
struct Member {
    packed: Box<[u8]>,
    kept: Arc<Kept>,
}

/// How many bytes of compressed text are kept, and how many may be.
#[derive(Debug)]
pub(super) struct Kept {
    bytes: AtomicUsize,
    most: usize,
}

impl Kept {
    /// Compressed text of a million domains at level summary takes some 220 MB, of which the times of the looks, the least of all worth
    /// keeping, are a third. What is not kept is compressed again at each scrape.
    const MOST: usize = 128 << 20;

    pub(super) fn new() -> Arc<Self> {
        Self::with_room(Self::MOST)
    }

    pub(super) fn with_room(most: usize) -> Arc<Self> {
        Arc::new(Self { bytes: AtomicUsize::new(0), most })
    }

    /// How many bytes are kept.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    fn keep(self: &Arc<Self>, packed: &[u8]) -> Option<Member> {
        let size = packed.len();
        let room = |bytes: usize| bytes.checked_add(size).filter(|bytes| *bytes <= self.most);
        self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).ok()?;
        Some(Member { packed: packed.into(), kept: Arc::clone(self) })
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kept.bytes.fetch_sub(self.packed.len(), Ordering::Relaxed);
    }
}

impl Cell {
    /// The blocks of a shelf. What is as it was `before` is shared with it, and so is its compressed text.
    pub(super) fn of<V: Shown>(shelf: &[Arc<V>], subject: Subject, before: Option<&Self>) -> Self {
        let (mut text, mut ends) = (Vec::new(), Vec::with_capacity(shelf.len()));
        let mut builders: Vec<Option<Builder>> = subject.families().iter().map(|_| None).collect();
        let mut tails = Tails::default();
        let mut unreadable = 0;
        let mut name = Vec::new();
        for (place, shown) in shelf.iter().enumerate() {
            // A shelf holds a few hundred.
            let Ok(place) = u16::try_from(place) else { break };
            name.clear();
            text::label_value(&mut name, shown.key());
            Texts::push(&mut text, &mut ends, &name);
            let rendered = shown.rendered();
            if tails.read(rendered, subject, name.len()).is_err() {
                unreadable += block::series(rendered);
                continue;
            }
            for (family, tail) in tails.iter() {
                if let Some(builder) = builders.get_mut(family) {
                    builder.get_or_insert_default().push((place, tail));
                }
            }
        }
        let names = Texts::new(text, ends);
        let before = before.filter(|before| *before.names == names);
        let columns: Vec<_> = builders
            .into_iter()
            .enumerate()
            .map(|(family, builder)| {
                let samples = builder?.finish(names.len())?;
                let same = before.and_then(|before| before.columns.get(family)?.as_ref());
                match same.filter(|same| same.samples == samples) {
                    Some(same) => Some(Arc::clone(same)),
                    None => Some(Column::new(samples)),
                }
            })
            .collect();
        let names = before.map_or_else(|| Arc::new(names), |before| Arc::clone(&before.names));
        Self::with(names, columns, unreadable)
    }

    /// The blocks of a shelf after a change; `was`: the subjects that `before` was made of. What did not change is shared with it.
    ///
    /// Where few of the subjects changed, their blocks alone are read: a large fleet changes a few subjects of many shelves all the
    /// time.
    pub(super) fn after<V: Shown>(before: &Arc<Self>, was: &[Arc<V>], shelf: &[Arc<V>], subject: Subject) -> Arc<Self> {
        before.changed(was, shelf, subject).unwrap_or_else(|| Arc::new(Self::of(shelf, subject, Some(before))))
    }

    /// The same where few changed; nothing where it has to be made as a whole.
    fn changed<V: Shown>(self: &Arc<Self>, was: &[Arc<V>], shelf: &[Arc<V>], subject: Subject) -> Option<Arc<Self>> {
        let pairs = || was.iter().zip(shelf);
        let same_name = |(one, other): (&Arc<V>, &Arc<V>)| Arc::ptr_eq(one, other) || one.key() == other.key();
        let same_names = was.len() == shelf.len() && pairs().all(same_name);
        // Which of them could not be read is not noted.
        if !same_names || self.unreadable > 0 {
            return None;
        }
        let changed =
            |(one, other): &(&Arc<V>, &Arc<V>)| !Arc::ptr_eq(one, other) && one.rendered() != other.rendered();
        let places: Vec<usize> = pairs().enumerate().filter(|(_, pair)| changed(pair)).map(|(at, _)| at).collect();
        if places.is_empty() {
            return Some(Arc::clone(self));
        }
        if places.len() > shelf.len() / FEW {
            return None;
        }
        let mut read = Vec::with_capacity(places.len());
        for place in places {
            let mut tails = Tails::default();
            tails.read(shelf.get(place)?.rendered(), subject, self.names.get(place).len()).ok()?;
            read.push((u16::try_from(place).ok()?, tails));
        }
        // By family, and there in the order of the places.
        let mut new: Vec<Vec<Sample<'_>>> = vec![Vec::new(); self.columns.len()];
        for (place, tails) in &read {
            for (family, tail) in tails.iter() {
                new.get_mut(family)?.push((*place, tail));
            }
        }
        let places: Vec<u16> = read.iter().map(|(place, _)| *place).collect();
        let columns = self.columns.iter().zip(&new);
        let columns = columns.map(|(column, new)| changed_column(column.as_ref(), &places, new, self.names.len()));
        Some(Arc::new(Self::with(Arc::clone(&self.names), columns.collect(), 0)))
    }

    fn with(names: Arc<Texts>, columns: Vec<Option<Arc<Column>>>, unreadable: u64) -> Self {
        let held = |column: &Arc<Column>| column.bytes();
        let bytes = names.bytes() + columns.iter().flatten().map(held).sum::<usize>();
        Self { names, columns, unreadable, bytes }
    }

    /// Series of blocks that could not be read: they are not in the text.
    pub(super) const fn unreadable(&self) -> u64 {
        self.unreadable
    }

    /// Bytes of memory that it takes, compressed text apart.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there is a sample of the family of one of these subjects.
    pub(super) fn has(&self, family: usize, subjects: &Range<usize>) -> bool {
        self.column(family).is_some_and(|column| column.samples.has(subjects))
    }

    /// Writes the samples of a family: those of the subjects at these places of the shelf. `head` stands before each name.
    pub(super) fn write(&self, family: usize, head: &[u8], subjects: &Range<usize>, out: &mut Vec<u8>) {
        let Some(column) = self.column(family) else { return };
        let samples = &column.samples;
        let whole = *subjects == (0..self.names.len());
        out.reserve(samples.len() * (head.len() + LIKELY));
        for sample in 0..samples.len() {
            let subject = samples.subject(sample);
            if !whole && !subjects.contains(&subject) {
                continue;
            }
            out.extend_from_slice(head);
            out.extend_from_slice(self.names.get(subject));
            out.extend_from_slice(samples.tail(sample));
        }
    }

    /// The compressed text of a family of the whole shelf, if it is kept: made and kept now where there is room, where it is long
    /// enough to be a member of its own, and where it did not change since a scrape before asked for it. In a large fleet most texts
    /// that hold a time are other ones at the next scrape, and would only take the room.
    pub(super) fn member(&self, family: usize, head: &[u8], members: &mut Members, kept: &Arc<Kept>) -> Option<&[u8]> {
        let column = self.column(family)?;
        if column.samples.len() * (head.len() + LIKELY) < MEMBER_LEAST {
            return None;
        }
        if !column.asked.swap(true, Ordering::Relaxed) {
            return None;
        }
        let make = || {
            let (mut text, mut packed) = (Vec::new(), Vec::new());
            self.write(family, head, &(0..self.names.len()), &mut text);
            members.add(&text, &mut packed);
            kept.keep(&packed)
        };
        column.member.get_or_init(make).as_ref().map(|member| &*member.packed)
    }

    fn column(&self, family: usize) -> Option<&Column> {
        self.columns.get(family)?.as_deref()
    }
}

/// A name and the end of a sample are about as long: so much is made room for.
const LIKELY: usize = 40;

/// Shorter texts are compressed together: a member has eighteen bytes of its own, and nothing to repeat yet.
const MEMBER_LEAST: usize = 4 << 10;

/// A shelf is made as a whole where more than one of so many subjects changed: it takes no longer then.
const FEW: usize = 2;

/// A column after a change of the subjects at these places, which have these samples now; nothing where there is none any more.
fn changed_column(
    before: Option<&Arc<Column>>,
    places: &[u16],
    new: &[Sample<'_>],
    subjects: usize,
) -> Option<Arc<Column>> {
    let old = before.iter().flat_map(|before| before.samples.of(places));
    if old.eq(new.iter().copied()) {
        return before.cloned();
    }
    let mut new = new.iter().copied().peekable();
    let mut builder = Builder::default();
    for (subject, tail) in before.iter().flat_map(|before| before.samples.iter()) {
        while let Some(sample) = new.next_if(|(place, _)| *place <= subject) {
            builder.push(sample);
        }
        if places.binary_search(&subject).is_err() {
            builder.push((subject, tail));
        }
    }
    new.for_each(|sample| builder.push(sample));
    builder.finish(subjects).map(Column::new)
}

impl Column {
    fn new(samples: Samples) -> Arc<Self> {
        Arc::new(Self { samples, asked: AtomicBool::new(false), member: OnceLock::new() })
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() - size_of::<Samples>() + self.samples.bytes()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::metrics::{block::Writer, text::Value};

    #[derive(Debug)]
    struct One(String, Rendered);

    impl Keyed for One {
        fn key(&self) -> &str {
            &self.0
        }
    }

    impl Shown for One {
        fn rendered(&self) -> &Rendered {
            &self.1
        }
    }

    /// A subject with samples of the families at these places, each with as many labels as the family has.
    fn one(name: &str, samples: &[(usize, String, i64)]) -> Arc<One> {
        let mut block = Writer::new(Subject::Domain, name, false);
        let mut samples = samples.to_vec();
        samples.sort();
        samples.dedup_by_key(|(family, label, _)| (*family, label.clone()));
        let mut last = None;
        for (family, label, value) in &samples {
            if last.replace(*family) != Some(*family) {
                block.family(*family);
            }
            let labels = Subject::Domain.families()[*family].labels.len() - 1;
            block.sample(std::iter::repeat_n(label.as_str(), labels), Value::Integer(*value));
        }
        Arc::new(One(name.to_owned(), block.finish()))
    }

    fn text(cell: &Cell, subjects: &Range<usize>) -> Vec<String> {
        let mut out = Vec::new();
        for (index, family) in Subject::Domain.families().iter().enumerate() {
            let mut head = Vec::new();
            text::before_subject(&mut head, family.name, "domain");
            cell.write(index, &head, subjects, &mut out);
        }
        let text = String::from_utf8(out).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// The lines of subjects one by one, by family.
    fn expected(shelf: &[Arc<One>]) -> Vec<String> {
        let alone: Vec<Vec<String>> =
            shelf.iter().map(|one| text(&Cell::of(&[Arc::clone(one)], Subject::Domain, None), &(0..1))).collect();
        let families = Subject::Domain.families();
        let of = |line: &&String, name: &str| line.split('{').next() == Some(name);
        families
            .iter()
            .flat_map(|family| alone.iter().flatten().filter(move |line| of(line, family.name)))
            .cloned()
            .collect()
    }

    fn shelf() -> impl Strategy<Value = Vec<Arc<One>>> {
        let samples = prop::collection::vec((0..6_usize, "[ab]{0,2}", 0..3_i64), 0..8);
        prop::collection::vec(samples, 1..30)
            .prop_map(|all| all.iter().enumerate().map(|(n, samples)| one(&format!("d{n}.example"), samples)).collect())
    }

    proptest! {
        #[test]
        fn a_shelf_says_what_its_subjects_say(shelf in shelf()) {
            let cell = Cell::of(&shelf, Subject::Domain, None);
            prop_assert_eq!(text(&cell, &(0..shelf.len())), expected(&shelf));
            let half = shelf.len() / 2;
            prop_assert_eq!(text(&cell, &(0..half)), expected(&shelf[..half]));
            prop_assert_eq!(text(&cell, &(half..shelf.len())), expected(&shelf[half..]));
        }

        #[test]
        fn a_shelf_after_a_change_is_that_of_a_fresh_start(shelf in shelf(), at: prop::sample::Index) {
            let before = Cell::of(&shelf, Subject::Domain, None);
            let mut changed = shelf.clone();
            let at = at.index(shelf.len());
            changed[at] = one(&shelf[at].0, &[(1, "new".to_owned(), 7)]);
            let after = Cell::of(&changed, Subject::Domain, Some(&before));
            prop_assert_eq!(text(&after, &(0..shelf.len())), expected(&changed));
        }
    }

    proptest! {
        /// However many subjects change, and whatever of them cannot be read before or after.
        #[test]
        fn a_shelf_after_changes_is_that_of_a_fresh_start(
            shelf in shelf(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), 0..8_usize), 0..12),
        ) {
            let mut before = Arc::new(Cell::of(&shelf, Subject::Domain, None));
            let mut shelf = shelf;
            for (at, kind) in changes {
                let (at, was) = (at.index(shelf.len()), shelf.clone());
                let name = was[at].0.clone();
                shelf[at] = match kind {
                    0 => Arc::new(One(name, Rendered { bytes: [9; 4].into(), series: 4 })),
                    1 => one(&name, &[]),
                    2 => Arc::new(One(name, was[at].1.clone())),
                    kind => one(&name, &[(1, format!("new{kind}"), 7), (5, "a".to_owned(), kind as i64)]),
                };
                let after = Cell::after(&before, &was, &shelf, Subject::Domain);
                let fresh = Cell::of(&shelf, Subject::Domain, None);
                prop_assert_eq!(text(&after, &(0..shelf.len())), text(&fresh, &(0..shelf.len())));
                prop_assert_eq!((after.unreadable(), after.bytes()), (fresh.unreadable(), fresh.bytes()));
                before = after;
            }
        }
    }

    #[test]
    fn a_change_of_one_subject_leaves_the_columns_in_which_it_did_not_change() {
        let was: Vec<Arc<One>> =
            (0..9).map(|n| one(&format!("d{n}.example"), &[(1, "up".to_owned(), 1), (5, String::new(), n)])).collect();
        let before = Arc::new(Cell::of(&was, Subject::Domain, None));
        let same = |after: &Cell, family: usize| {
            let [one, other] = [&*before, after].map(|cell| cell.columns[family].as_ref().unwrap());
            Arc::ptr_eq(one, other)
        };
        let mut now = was.clone();
        now[4] = one("d4.example", &[(1, "up".to_owned(), 1), (5, String::new(), 77)]);
        let after = Cell::after(&before, &was, &now, Subject::Domain);
        assert_eq!((same(&after, 1), same(&after, 5)), (true, false));
        assert!(Arc::ptr_eq(&before.names, &after.names));
        // Seen again, and nothing else.
        now[4] = Arc::new(One("d4.example".to_owned(), was[4].1.clone()));
        assert!(Arc::ptr_eq(&before, &Cell::after(&before, &was, &now, Subject::Domain)));
    }

    #[test]
    fn more_different_ends_than_an_index_holds_are_each_their_own() {
        let mut block = Writer::new(Subject::Domain, "many.example", false);
        block.family(0);
        for number in 0..70_000 {
            block.sample(std::iter::once(format!("g{number}").as_str()), Value::Integer(1));
            block.sample(std::iter::once("again"), Value::Integer(1));
        }
        let shelf = [Arc::new(One("many.example".to_owned(), block.finish()))];
        let lines = text(&Cell::of(&shelf, Subject::Domain, None), &(0..1));
        assert_eq!(lines.len(), 140_000);
        for number in [0, 1, 65_534, 65_535, 65_536, 69_999] {
            assert_eq!(
                lines[2 * number],
                format!("smtptls_domain_info{{domain=\"many.example\",group=\"g{number}\"}} 1")
            );
            assert_eq!(lines[2 * number + 1], "smtptls_domain_info{domain=\"many.example\",group=\"again\"} 1");
        }
    }

    #[test]
    fn a_block_that_cannot_be_read_takes_no_other_with_it() {
        let mut shelf = vec![one("a.example", &[(0, "x".to_owned(), 1)]), one("b.example", &[(0, "x".to_owned(), 1)])];
        shelf.push(Arc::new(One("c.example".to_owned(), Rendered { bytes: [9; 4].into(), series: 4 })));
        let cell = Cell::of(&shelf, Subject::Domain, None);
        assert_eq!(cell.unreadable(), 4);
        assert_eq!(text(&cell, &(0..3)), expected(&shelf[..2]));
    }

    #[test]
    fn compressed_text_is_kept_while_the_text_is_the_same_and_there_is_room() {
        let many = |value| -> Vec<Arc<One>> {
            (0..200)
                .map(|n| one(&format!("d{n}.example"), &[(1, "up".to_owned(), 1), (5, String::new(), value)]))
                .collect()
        };
        let (kept, mut members) = (Kept::new(), Members::new());
        let before = Cell::of(&many(1), Subject::Domain, None);
        let pointer = |cell: &Cell, family, members: &mut Members| {
            cell.member(family, b"some_name{domain=\"", members, &kept).map(<[u8]>::as_ptr)
        };
        let first = [1, 5].map(|family| pointer(&before, family, &mut members));
        assert_eq!((first, kept.bytes()), ([None, None], 0), "it may be another one at the next scrape");
        let (steady, moving) = (pointer(&before, 1, &mut members), pointer(&before, 5, &mut members));
        assert!(steady.is_some() && moving.is_some());
        assert_eq!(pointer(&before, 1, &mut members), steady, "made once");
        let after = Cell::of(&many(2), Subject::Domain, Some(&before));
        assert_eq!(pointer(&after, 1, &mut members), steady, "its text did not change");
        assert_eq!(pointer(&after, 5, &mut members), None, "another text");
        assert!(![None, moving].contains(&pointer(&after, 5, &mut members)));
        let held = kept.bytes();
        drop(before);
        assert!(held > kept.bytes() && kept.bytes() > 0, "what is gone is not counted");
        drop(after);
        assert_eq!(kept.bytes(), 0);
        let tight = Kept::with_room(10);
        let cell = Cell::of(&many(1), Subject::Domain, None);
        for _ in 0..3 {
            assert_eq!(cell.member(1, b"some_name{domain=\"", &mut members, &tight), None);
        }
        assert_eq!(tight.bytes(), 0);
    }
}
