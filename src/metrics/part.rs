//! A part of one exposition, so that Prometheus can take a large one as several targets.

use std::ops::Range;

use crate::monitor::Shelf;

/// The subjects whose place lies in one of several equal ranges. A subject stays in its part whatever others come and go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Part {
    /// From 1.
    number: u32,
    of: u32,
}

impl Part {
    /// Everything.
    pub const ALL: Self = Self { number: 1, of: 1 };
    /// In how many parts one exposition can be cut at most: a million domains in parts of a thousand. Each scrape costs some tenth of
    /// a millisecond, whatever is in its part.
    pub const MOST: u32 = 1024;

    /// Part `number`, from 1, of so many; nothing where there is no such part.
    pub const fn new(number: u32, of: u32) -> Option<Self> {
        if number >= 1 && number <= of && of <= Self::MOST { Some(Self { number, of }) } else { None }
    }

    /// Whether it holds the families of the exporter itself: the first part does.
    pub(super) const fn has_own(self) -> bool {
        self.number == 1
    }

    /// In which part, from 1, a place is.
    fn of(self, place: u64) -> u32 {
        let part = (u128::from(place) * u128::from(self.of)) >> u64::BITS;
        u32::try_from(part).map_or(u32::MAX, |part| part + 1)
    }

    /// Which of the subjects of a shelf are in it.
    pub(super) fn cut<V>(self, shelf: &Shelf<V>) -> Range<usize> {
        let range = shelf.range();
        let (first, last) = (self.of(*range.start()), self.of(*range.end()));
        if first == last && first == self.number {
            return 0..shelf.entries().len();
        }
        if first > self.number || last < self.number {
            return 0..0;
        }
        // A shelf on the border: its subjects are in the order of their places.
        let before = shelf.placed().take_while(|(place, _)| self.of(*place) < self.number).count();
        let within = shelf.placed().skip(before).take_while(|(place, _)| self.of(*place) == self.number).count();
        before..before + within
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        monitor::{Keyed, Roll},
        terms::place,
    };

    #[test]
    fn parts_count_from_one() {
        assert_eq!(Part::new(1, 1), Some(Part::ALL));
        for (number, of) in [(0, 1), (2, 1), (1, 0), (0, 0), (17, 16), (1, Part::MOST + 1)] {
            assert_eq!(Part::new(number, of), None, "{number} of {of}");
        }
        let third = Part::new(3, 16).unwrap();
        assert_eq!(
            (third.of(0), third.of(u64::MAX), third.of(u64::MAX / 2), third.of(u64::MAX / 2 + 1)),
            (1, 16, 8, 9)
        );
        assert_eq!(Part::new(2, 3).unwrap().of(u64::MAX / 3 + 1), 2);
    }

    #[derive(Debug)]
    struct Name(String);

    impl Keyed for Name {
        fn key(&self) -> &str {
            &self.0
        }
    }

    proptest! {
        #[test]
        fn every_subject_is_in_exactly_one_part(names in prop::collection::btree_set("[a-z]{1,8}", 0..700), of in 1_u32..40) {
            let roll: Roll<Name> = names.iter().map(|name| Arc::new(Name(name.clone()))).collect();
            let mut seen = Vec::new();
            for number in 1..=of {
                let part = Part::new(number, of).unwrap();
                for shelf in roll.shelves() {
                    for Name(name) in shelf.entries()[part.cut(shelf)].iter().map(|name| &**name) {
                        // The very range, by the definition.
                        let (at, of, number) = (u128::from(place(name)), u128::from(of), u128::from(number));
                        prop_assert!(at * of >= (number - 1) << 64 && at * of < number << 64);
                        seen.push(name.clone());
                    }
                }
            }
            prop_assert_eq!(seen.len(), names.len());
            prop_assert_eq!(seen.into_iter().collect::<std::collections::BTreeSet<_>>(), names);
        }
    }
}
