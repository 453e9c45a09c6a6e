//! The domains of a configuration: small, so that there can be a million, and quick to find, so that nobody walks them all.

use std::{
    cmp::Ordering,
    iter::Peekable,
    ops::Deref,
    slice,
    sync::{Arc, LazyLock},
    time::Duration,
};

use crate::{
    terms::{MxHost, PolicyDomain},
    verdict::Expectation,
};

/// One domain. It has 24 bytes; name and options are shared with whoever else holds them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainSettings {
    /// The name.
    pub domain: PolicyDomain,
    /// What is said about it beside its name; shared by all domains of which the same is said in one place.
    pub options: Arc<DomainOptions>,
}

/// What can be said about a domain beside its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DomainOptions {
    /// The group, a label of the metrics.
    pub group: Option<String>,
    /// In place of [`ProbeSettings::interval`](super::ProbeSettings::interval).
    pub interval: Option<Duration>,
    /// MX hosts that are to come.
    pub planned_mx: Vec<MxHost>,
    /// How the domain is meant to be.
    pub expect: Option<Expectation>,
}

/// Most domains have no options: one allocation serves them all.
static NO_OPTIONS: LazyLock<Arc<DomainOptions>> = LazyLock::new(Arc::default);

impl DomainSettings {
    /// A domain of which only the name is known.
    pub fn new(domain: PolicyDomain) -> Self {
        Self { domain, options: Arc::clone(&NO_OPTIONS) }
    }

    /// A domain with options.
    pub fn with(domain: PolicyDomain, options: DomainOptions) -> Self {
        match options == DomainOptions::default() {
            true => Self::new(domain),
            false => Self { domain, options: Arc::new(options) },
        }
    }
}

/// Domains in the order of the configuration, each once. A copy costs a reference, however many they are.
#[derive(Clone, Debug, Default)]
pub struct DomainList(Arc<Listed>);

#[derive(Debug, Default)]
struct Listed {
    entries: Vec<DomainSettings>,
    /// The places of the entries in the order of their names. Four bytes each: sources are refused long before 2^32 entries.
    by_name: Vec<u32>,
}

impl DomainList {
    /// The settings of this domain, in its canonical spelling. Looks at some twenty names of a million.
    pub fn named(&self, name: &str) -> Option<&DomainSettings> {
        self.place_of(name).and_then(|place| self.at(place))
    }

    /// Whether the domain is among them.
    pub fn has(&self, name: &str) -> bool {
        self.named(name).is_some()
    }

    /// All in the order of their names.
    pub fn sorted(&self) -> impl Iterator<Item = &DomainSettings> {
        self.0.by_name.iter().filter_map(|place| self.at(*place))
    }

    /// Whether both are the same list in memory. Lists that are not can still be equal.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The same list, with names and options taken from `before` where they are equal, so that the memory of a list that is
    /// read again is that of the list before. Where nothing differs it is the list before.
    #[must_use]
    pub fn reusing(self, before: &Self) -> Self {
        if self.is_same(before) {
            return self;
        }
        let mut entries = self.0.entries.clone();
        let mut differs = entries.len() != before.len();
        for pair in Pairs::of(before, &self) {
            match pair {
                Pair::Both { old, new, place } if old.domain == new.domain && old.options == new.options => {
                    if let Some(entry) = entries.get_mut(place) {
                        *entry = old.clone();
                    }
                }
                Pair::Both { old, place, .. } => {
                    differs = true;
                    if let Some(entry) = entries.get_mut(place) {
                        entry.domain = old.domain.clone();
                    }
                }
                Pair::Old { .. } | Pair::New { .. } => differs = true,
            }
        }
        let in_order = || entries.iter().zip(before.iter()).all(|(new, old)| new.domain == old.domain);
        if !differs && in_order() {
            return before.clone();
        }
        Self(Arc::new(Listed { entries, by_name: self.0.by_name.clone() }))
    }

    /// The list of these entries. `places`: where each of them stands in `before`, by its name; that name is taken from there. Nothing is
    /// sorted again that `before` has sorted, and where nothing differs it is the list before.
    pub(super) fn read_again(mut entries: Vec<DomainSettings>, places: &[Option<u32>], before: &Self) -> Self {
        if before.is_empty() {
            return Self::from(entries);
        }
        let mut differs = entries.len() != before.len();
        for (at, (entry, place)) in entries.iter_mut().zip(places).enumerate() {
            let old = place.and_then(|place| before.at(place));
            differs |= old.is_none() || place.and_then(|place| usize::try_from(place).ok()) != Some(at);
            let Some(old) = old else { continue };
            entry.domain = old.domain.clone();
            match entry.options == old.options {
                true => entry.options = Arc::clone(&old.options),
                false => differs = true,
            }
        }
        if !differs {
            return before.clone();
        }
        // Where the entries of the list before stand now; of equal names the first.
        let mut moved: Vec<Option<u32>> = vec![None; before.len()];
        let mut others = Vec::new();
        for (at, place) in (0..).zip(places) {
            let old = place.and_then(|place| moved.get_mut(usize::try_from(place).ok()?));
            match old {
                Some(old @ None) => *old = Some(at),
                Some(Some(_)) | None => others.push(at),
            }
        }
        let order = |a: &u32, b: &u32| name(&entries, *a).cmp(&name(&entries, *b));
        others.sort_by(order);
        let sorted = before.0.by_name.iter();
        let mut by_name: Vec<u32> = sorted.filter_map(|place| *moved.get(usize::try_from(*place).ok()?)?).collect();
        by_name.append(&mut others);
        // Two sorted runs, which a stable sort only joins.
        by_name.sort_by(order);
        let list = Self::of_sorted(entries, by_name);
        // One in which an entry repeats another one may be the list before.
        let is_same = |(new, old): (&DomainSettings, &DomainSettings)| {
            new.domain == old.domain && Arc::ptr_eq(&new.options, &old.options)
        };
        if list.len() == before.len() && list.iter().zip(before.iter()).all(is_same) { before.clone() } else { list }
    }

    /// Where the domain of this name stands.
    pub(super) fn place_of(&self, name: &str) -> Option<u32> {
        let by_name = &self.0.by_name;
        let order = |place: &u32| self.at(*place).map_or(Ordering::Greater, |one| one.domain.as_str().cmp(name));
        by_name.binary_search_by(order).ok().and_then(|found| by_name.get(found).copied())
    }

    /// All in one list: of a domain that several have, the entry of the first counts. For each list, how many of its domains a list
    /// before it has.
    pub(super) fn joined(lists: &[&Self]) -> (Self, Vec<usize>) {
        if let [only] = lists {
            return ((*only).clone(), vec![0]);
        }
        let all = lists.iter().map(|list| list.len()).sum();
        let (mut entries, mut named) = (Vec::with_capacity(all), Vec::with_capacity(all));
        for list in lists {
            let from = entries.len();
            named.extend(list.0.by_name.iter().map(|place| u32::try_from(from).map_or(u32::MAX, |from| from + place)));
            entries.extend_from_slice(list);
        }
        // The runs of the lists are sorted already, and a stable sort only joins them.
        named.sort_by(|a, b| name(&entries, *a).cmp(&name(&entries, *b)));
        let mut again = vec![false; all];
        mark_repeated(&entries, &named, &mut again);
        let mut rest = again.as_slice();
        let given_before = lists.iter().map(|list| {
            let (own, others) = rest.split_at(list.len().min(rest.len()));
            rest = others;
            own.iter().filter(|again| **again).count()
        });
        let given_before = given_before.collect();
        (Self::without(entries, named, &again), given_before)
    }

    /// `by_name`: the places of all entries in the order of their names, equal names in their order.
    fn of_sorted(entries: Vec<DomainSettings>, by_name: Vec<u32>) -> Self {
        let mut again = vec![false; entries.len()];
        mark_repeated(&entries, &by_name, &mut again);
        Self::without(entries, by_name, &again)
    }

    /// Takes out the entries that are marked; `by_name` names the places of all.
    fn without(mut entries: Vec<DomainSettings>, mut by_name: Vec<u32>, again: &[bool]) -> Self {
        if again.contains(&true) {
            // Where each entry comes to stand.
            let mut next = 0;
            let moved: Vec<Option<u32>> = again
                .iter()
                .map(|again| {
                    let place = (!again).then_some(next);
                    next += u32::from(!again);
                    place
                })
                .collect();
            by_name = by_name
                .into_iter()
                .filter_map(|place| usize::try_from(place).ok().and_then(|place| *moved.get(place)?))
                .collect();
            let mut marks = again.iter();
            entries.retain(|_| marks.next().is_some_and(|again| !again));
            by_name.shrink_to_fit();
        }
        entries.shrink_to_fit();
        Self(Arc::new(Listed { entries, by_name }))
    }

    fn at(&self, place: u32) -> Option<&DomainSettings> {
        self.0.entries.get(usize::try_from(place).ok()?)
    }
}

impl Deref for DomainList {
    type Target = [DomainSettings];

    fn deref(&self) -> &[DomainSettings] {
        &self.0.entries
    }
}

/// In the same order.
impl PartialEq for DomainList {
    fn eq(&self, other: &Self) -> bool {
        self.is_same(other) || self.0.entries == other.0.entries
    }
}

/// A domain that is given twice counts once, as it was given first.
impl FromIterator<DomainSettings> for DomainList {
    fn from_iter<I: IntoIterator<Item = DomainSettings>>(domains: I) -> Self {
        Self::from(domains.into_iter().collect::<Vec<_>>())
    }
}

/// Domains of which only the names are known.
impl FromIterator<PolicyDomain> for DomainList {
    fn from_iter<I: IntoIterator<Item = PolicyDomain>>(domains: I) -> Self {
        domains.into_iter().map(DomainSettings::new).collect()
    }
}

/// A domain that is given twice counts once, as it was given first.
impl From<Vec<DomainSettings>> for DomainList {
    fn from(entries: Vec<DomainSettings>) -> Self {
        let mut by_name: Vec<u32> = (0..).zip(&entries).map(|(place, _)| place).collect();
        // Stable: of equal names the first stays the first. Lists are mostly sorted already, and then this is one walk.
        by_name.sort_by(|a, b| name(&entries, *a).cmp(&name(&entries, *b)));
        Self::of_sorted(entries, by_name)
    }
}

impl<'a> IntoIterator for &'a DomainList {
    type Item = &'a DomainSettings;
    type IntoIter = slice::Iter<'a, DomainSettings>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

fn name(entries: &[DomainSettings], place: u32) -> Option<&str> {
    entries.get(usize::try_from(place).ok()?).map(|one| one.domain.as_str())
}

/// Marks every entry whose name one before it has; `by_name` names all places, equal names in their order.
fn mark_repeated(entries: &[DomainSettings], by_name: &[u32], again: &mut [bool]) {
    for pair in by_name.windows(2) {
        if let [first, second] = pair
            && name(entries, *first) == name(entries, *second)
            && let Some(again) = usize::try_from(*second).ok().and_then(|place| again.get_mut(place))
        {
            *again = true;
        }
    }
}

/// A domain of one list, or of both.
pub(super) enum Pair<'a> {
    /// Only in the old one, at this place.
    Old { place: usize },
    /// Only in the new one, at this place.
    New { place: usize },
    /// In both; in the new one at this place.
    Both { old: &'a DomainSettings, new: &'a DomainSettings, place: usize },
}

/// Walks two lists side by side, by name. No name is copied.
pub(super) struct Pairs<'a> {
    old: Peekable<Placed<'a>>,
    new: Peekable<Placed<'a>>,
}

/// The entries of a list in the order of their names, with their places.
struct Placed<'a> {
    entries: &'a [DomainSettings],
    by_name: slice::Iter<'a, u32>,
}

impl<'a> Placed<'a> {
    fn of(list: &'a DomainList) -> Peekable<Self> {
        Self { entries: &list.0.entries, by_name: list.0.by_name.iter() }.peekable()
    }
}

impl<'a> Iterator for Placed<'a> {
    type Item = (usize, &'a DomainSettings);

    fn next(&mut self) -> Option<Self::Item> {
        let place = usize::try_from(*self.by_name.next()?).ok()?;
        Some((place, self.entries.get(place)?))
    }
}

impl<'a> Pairs<'a> {
    pub(super) fn of(old: &'a DomainList, new: &'a DomainList) -> Self {
        Self { old: Placed::of(old), new: Placed::of(new) }
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Pair<'a>;

    fn next(&mut self) -> Option<Pair<'a>> {
        let order = match (self.old.peek(), self.new.peek()) {
            (None, None) => return None,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            // Lists that share their names are told apart without a look at the texts.
            (Some((_, old)), Some((_, new))) => match old.domain.as_str().as_ptr() == new.domain.as_str().as_ptr() {
                true => Ordering::Equal,
                false => old.domain.cmp(&new.domain),
            },
        };
        match order {
            Ordering::Less => self.old.next().map(|(place, _)| Pair::Old { place }),
            Ordering::Greater => self.new.next().map(|(place, _)| Pair::New { place }),
            Ordering::Equal => {
                let ((_, old), (place, new)) = (self.old.next()?, self.new.next()?);
                Some(Pair::Both { old, new, place })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str) -> DomainSettings {
        DomainSettings::new(PolicyDomain::parse(name).unwrap())
    }

    fn in_group(name: &str, group: &str) -> DomainSettings {
        let options = DomainOptions { group: Some(group.to_owned()), ..DomainOptions::default() };
        DomainSettings::with(PolicyDomain::parse(name).unwrap(), options)
    }

    fn names(list: &DomainList) -> Vec<&str> {
        list.iter().map(|one| one.domain.as_str()).collect()
    }

    #[test]
    fn an_entry_is_small_and_options_that_say_nothing_are_shared() {
        assert!(size_of::<DomainSettings>() <= 32);
        let (a, b) = (of("a.example"), DomainSettings::with(of("b.example").domain, DomainOptions::default()));
        assert!(Arc::ptr_eq(&a.options, &b.options));
    }

    #[test]
    fn the_order_is_that_of_the_configuration_and_the_first_counts() {
        let list: DomainList =
            [of("c.example"), in_group("a.example", "x"), of("b.example"), of("a.example"), of("c.example")]
                .into_iter()
                .collect();
        assert_eq!(names(&list), ["c.example", "a.example", "b.example"]);
        assert_eq!(list.named("a.example").unwrap().options.group.as_deref(), Some("x"));
        assert!(list.has("c.example") && !list.has("d.example") && !list.has(""));
        let sorted: Vec<&str> = list.sorted().map(|one| one.domain.as_str()).collect();
        assert_eq!(sorted, ["a.example", "b.example", "c.example"]);
        assert!(!DomainList::default().has("a.example"));
    }

    #[test]
    fn a_list_that_is_read_again_takes_no_more_memory() {
        let before: DomainList = [of("b.example"), in_group("a.example", "x")].into_iter().collect();
        let again: DomainList = [of("b.example"), in_group("a.example", "x")].into_iter().collect();
        assert!(!again.is_same(&before) && again == before);
        assert!(again.reusing(&before).is_same(&before));

        let turned: DomainList = [in_group("a.example", "x"), of("b.example")].into_iter().collect();
        let turned = turned.reusing(&before);
        assert_eq!(names(&turned), ["a.example", "b.example"], "the order is that of the new one");

        let more: DomainList = [of("c.example"), in_group("a.example", "y"), of("b.example")].into_iter().collect();
        let more = more.reusing(&before);
        assert_eq!(names(&more), ["c.example", "a.example", "b.example"]);
        assert_eq!(more.named("a.example").unwrap().options.group.as_deref(), Some("y"), "what differs is new");
        let shared = |name: &str| {
            let text = |list: &DomainList| list.named(name).unwrap().domain.as_str().as_ptr();
            text(&more) == text(&before)
        };
        assert!(shared("a.example") && shared("b.example"));
        let fewer: DomainList = [of("b.example")].into_iter().collect();
        assert_eq!(names(&fewer.reusing(&before)), ["b.example"]);
    }

    proptest::proptest! {
        /// Whatever was read before, and however much of it is there again.
        #[test]
        fn a_list_that_is_read_again_is_as_one_that_is_read_first(
            before in proptest::collection::vec(("[a-c]{1,2}", 0..2), 0..20),
            again in proptest::collection::vec(("[a-c]{1,2}", 0..2), 0..20),
            kept in 0..20_usize,
        ) {
            let entry = |(name, group): &(String, i32)| in_group(name, if *group == 0 { "" } else { "x" });
            let before: Vec<DomainSettings> = before.iter().map(entry).collect();
            let known = DomainList::from(before.clone());
            let again: Vec<DomainSettings> = before.into_iter().take(kept).chain(again.iter().map(entry)).collect();
            let places: Vec<Option<u32>> = again.iter().map(|one| known.place_of(one.domain.as_str())).collect();
            let list = DomainList::read_again(again.clone(), &places, &known);
            let fresh = DomainList::from(again);
            proptest::prop_assert_eq!(&list, &fresh);
            proptest::prop_assert_eq!(&list.0.by_name, &fresh.0.by_name);
            proptest::prop_assert_eq!(list.is_same(&known), fresh == known && !known.is_empty());
            for one in &list {
                let Some(old) = known.named(one.domain.as_str()) else { continue };
                proptest::prop_assert_eq!(one.domain.as_str().as_ptr(), old.domain.as_str().as_ptr());
                proptest::prop_assert_eq!(Arc::ptr_eq(&one.options, &old.options), one.options == old.options);
            }
        }

        #[test]
        fn a_list_finds_what_is_in_it(names in proptest::collection::vec("[a-c]{1,3}", 0..40)) {
            let list: DomainList = names.iter().map(|name| of(name)).collect();
            let distinct: std::collections::BTreeSet<&str> = names.iter().map(String::as_str).collect();
            proptest::prop_assert_eq!(list.len(), distinct.len());
            proptest::prop_assert!(list.sorted().map(|one| one.domain.as_str()).eq(distinct.iter().copied()));
            for name in &distinct {
                proptest::prop_assert_eq!(list.named(name).map(|one| one.domain.as_str()), Some(*name));
            }
        }
    }
}
