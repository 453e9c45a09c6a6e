//! The samples of one family of a shelf, next to each other in memory. Most of them end alike, so that one takes a byte or two.

use std::{collections::HashMap, ops::Range};

/// Texts next to each other.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Texts {
    text: Box<[u8]>,
    ends: Box<[u32]>,
}

/// The samples of one family.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Samples {
    /// The subject of each sample, by its place on the shelf; nothing where each has exactly one.
    subjects: Option<Box<[u16]>>,
    tails: Texts,
    /// Which of the tails each sample has; nothing where each has its own, or all have the only one.
    which: Option<Box<[u16]>>,
    count: usize,
}

/// A subject, by its place on the shelf, and what its sample ends in.
pub(super) type Sample<'a> = (u16, &'a [u8]);

impl Texts {
    pub(super) fn new(text: Vec<u8>, ends: Vec<u32>) -> Self {
        Self { text: text.into(), ends: ends.into() }
    }

    /// Adds a text to those that are being put together.
    pub(super) fn push(text: &mut Vec<u8>, ends: &mut Vec<u32>, add: &[u8]) {
        text.extend_from_slice(add);
        // A shelf whose text is longer than 4 GB does not fit into memory either.
        ends.push(u32::try_from(text.len()).unwrap_or(u32::MAX));
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn get(&self, index: usize) -> &[u8] {
        let end_of = |index: usize| self.ends.get(index).map_or(0, |end| *end as usize);
        let start = index.checked_sub(1).map_or(0, end_of);
        self.text.get(start..end_of(index)).unwrap_or_default()
    }

    /// Bytes of memory that they take.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.text.len() + size_of_val(&*self.ends)
    }
}

impl Samples {
    /// How many they are.
    pub(super) const fn len(&self) -> usize {
        self.count
    }

    /// Whether one is of a subject at these places of the shelf.
    pub(super) fn has(&self, places: &Range<usize>) -> bool {
        match &self.subjects {
            None => !places.is_empty(),
            // In the order of their places.
            Some(of) => {
                let first = of.partition_point(|subject| usize::from(*subject) < places.start);
                of.get(first).is_some_and(|subject| places.contains(&usize::from(*subject)))
            }
        }
    }

    /// Whose sample it is, by the place on the shelf.
    pub(super) fn subject(&self, sample: usize) -> usize {
        self.subjects.as_ref().map_or(sample, |of| of.get(sample).map_or(0, |subject| usize::from(*subject)))
    }

    /// What it ends in.
    pub(super) fn tail(&self, sample: usize) -> &[u8] {
        self.tails.get(match &self.which {
            Some(which) => which.get(sample).map_or(0, |tail| usize::from(*tail)),
            None if self.tails.len() == 1 => 0,
            None => sample,
        })
    }

    /// All of them, in the order of their subjects.
    pub(super) fn iter(&self) -> impl Iterator<Item = Sample<'_>> {
        // There are no more places than these.
        (0..self.count).filter_map(|sample| Some((u16::try_from(self.subject(sample)).ok()?, self.tail(sample))))
    }

    /// The samples of the subjects at these places, which are in their order.
    pub(super) fn of<'a>(&'a self, places: &'a [u16]) -> impl Iterator<Item = Sample<'a>> {
        places.iter().flat_map(move |place| {
            let at = usize::from(*place);
            let samples = match &self.subjects {
                None => at..(at + 1).min(self.count),
                Some(of) => of.partition_point(|one| one < place)..of.partition_point(|one| one <= place),
            };
            samples.map(move |sample| (*place, self.tail(sample)))
        })
    }

    /// Bytes of memory that they take.
    pub(super) fn bytes(&self) -> usize {
        let indices = [&self.subjects, &self.which].into_iter().flatten().map(|all| size_of_val(&**all)).sum::<usize>();
        size_of::<Self>() + self.tails.bytes() + indices
    }
}

/// Samples that are being put together.
#[derive(Debug, Default)]
pub(super) struct Builder {
    subjects: Vec<u16>,
    text: Vec<u8>,
    ends: Vec<u32>,
    which: Vec<u16>,
    /// The tails with labels, by their text: there are few of them, in any order.
    known: HashMap<Box<[u8]>, u16>,
    /// More different tails than places for them in `which`: each sample has its own then.
    own: bool,
}

/// Most tails are like the one before, and those without labels are numbers: alike in a row, or all different. So many are compared
/// before the others are asked.
const LOOKED_BACK: usize = 2;

impl Builder {
    /// Adds a sample. Those of a subject follow each other, and the subjects by their places.
    pub(super) fn push(&mut self, (subject, tail): Sample<'_>) {
        self.subjects.push(subject);
        let labelled = is_labelled(tail);
        let known = self.recent(tail).or_else(|| labelled.then(|| self.known.get(tail).copied()).flatten());
        if let (Some(known), false) = (known, self.own) {
            self.which.push(known);
            return;
        }
        match u16::try_from(self.ends.len()) {
            Ok(new) => {
                self.which.push(new);
                if labelled {
                    self.known.insert(tail.into(), new);
                }
            }
            // So many are in no shelf of healthy domains; all before this one get their own as well.
            Err(_) => self.spread(),
        }
        Texts::push(&mut self.text, &mut self.ends, tail);
    }

    fn recent(&self, tail: &[u8]) -> Option<u16> {
        let last = self.ends.len();
        (last.saturating_sub(LOOKED_BACK)..last).rev().find(|index| self.tail(*index) == tail)?.try_into().ok()
    }

    fn tail(&self, index: usize) -> &[u8] {
        let end_of = |index: usize| self.ends.get(index).map_or(0, |end| *end as usize);
        let start = index.checked_sub(1).map_or(0, end_of);
        self.text.get(start..end_of(index)).unwrap_or_default()
    }

    fn spread(&mut self) {
        if self.own {
            return;
        }
        self.own = true;
        let (mut text, mut ends) = (Vec::new(), Vec::new());
        for which in &self.which {
            Texts::push(&mut text, &mut ends, self.tail(usize::from(*which)));
        }
        (self.text, self.ends) = (text, ends);
    }

    /// The samples of a shelf of so many subjects; nothing where there is none.
    pub(super) fn finish(self, subjects: usize) -> Option<Samples> {
        let count = self.subjects.len();
        let in_order = count == subjects && self.subjects.iter().enumerate().all(|(at, of)| at == usize::from(*of));
        // All alike, or each its own: then there is nothing to point at.
        let pointless = self.own || self.ends.len() == 1 || self.ends.len() == count;
        let samples = Samples {
            subjects: (!in_order).then(|| self.subjects.into()),
            tails: Texts { text: self.text.into(), ends: self.ends.into() },
            which: (!pointless).then(|| self.which.into()),
            count,
        };
        (count > 0).then_some(samples)
    }
}

/// Whether there are labels behind the subject's name.
fn is_labelled(tail: &[u8]) -> bool {
    tail.starts_with(b"\",")
}
