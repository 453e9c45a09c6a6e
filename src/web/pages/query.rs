//! What the query of a page asks for. A page is for people: what is wrong in a query is said and left out, and the page comes all the
//! same.

use std::{cmp::Ordering, ops::Range};

use crate::web::parameters::{decoded, encoded};

/// So many rows of a list stand on one page unless the query says another number: a page of about 60 kB.
const PER_PAGE: usize = 100;
/// … and at most.
const PER_PAGE_MOST: usize = 1000;
/// A longer value is not searched for: a name has at most 253 characters.
const VALUE_MOST: usize = 300;

/// The parameters of a page that have a value, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query {
    pairs: Vec<(&'static str, String)>,
    notes: Vec<String>,
}

/// A part of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// From 1 on.
    pub(super) page: usize,
    pub(super) pages: usize,
    pub(super) per_page: usize,
    pub(super) total: usize,
}

impl Query {
    /// Reads those parameters that the page knows. Forms send every field, the empty ones too, and a plus for a blank.
    pub(super) fn read(text: &str, names: &'static [&'static str]) -> Self {
        let mut query = Self::default();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let Some(name) = names.iter().copied().find(|known| *known == name) else { continue };
            match decoded(&value.replace('+', " ")) {
                Some(value) if value.trim().is_empty() || value.len() > VALUE_MOST => {}
                Some(value) if query.get(name).is_empty() => query.pairs.push((name, value.trim().to_owned())),
                Some(_) => {}
                None => query.notes.push(format!("{name} could not be read, and was left out.")),
            }
        }
        query
    }

    /// The value of a parameter; empty where it is not there.
    pub(super) fn get(&self, name: &str) -> &str {
        self.pairs.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }

    /// The meaning of a value; nothing where the parameter is not there. A value without a meaning is taken out, and a note says so.
    pub(super) fn choose<T>(&mut self, name: &'static str, meaning: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let place = self.pairs.iter().position(|(known, _)| *known == name)?;
        let value = self.pairs.get(place).map_or("", |(_, value)| value);
        let chosen = meaning(value);
        if chosen.is_none() {
            let (_, value) = self.pairs.remove(place);
            self.notes.push(format!("There is no {name} \"{value}\": it was left out."));
        }
        chosen
    }

    /// What had to be left out, in words.
    pub(super) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Whether any of these parameters is there.
    pub(super) fn has(&self, names: &[&str]) -> bool {
        self.pairs.iter().any(|(name, _)| names.contains(name))
    }

    /// The query of a link to the same page with other values; an empty value takes a parameter out. Any change but one of the page
    /// leads to the first page.
    pub(super) fn with(&self, changes: &[(&str, &str)]) -> String {
        let changed = |name: &str| changes.iter().any(|(other, _)| *other == name);
        let kept = self.pairs.iter().filter(|(name, _)| !changed(name) && *name != "page");
        let kept = kept.map(|(name, value)| (*name, value.as_str()));
        let pairs = kept.chain(changes.iter().copied()).filter(|(_, value)| !value.is_empty());
        let text: Vec<String> = pairs.map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        if text.is_empty() { String::new() } else { format!("?{}", text.join("&")) }
    }

    /// The part of a list of so many rows that `page` and `per_page` ask for. A page beyond the last one is the last one.
    pub(super) fn cut(&mut self, total: usize) -> Cut {
        let number = |text: &str| text.parse::<usize>().ok().filter(|number| *number > 0);
        let per_page = self.choose("per_page", number).unwrap_or(PER_PAGE).min(PER_PAGE_MOST);
        let pages = total.div_ceil(per_page).max(1);
        let page = self.choose("page", number).unwrap_or(1).min(pages);
        Cut { page, pages, per_page, total }
    }
}

impl Cut {
    /// The rows of this part.
    pub(super) fn of<T>(self, rows: &[T]) -> &[T] {
        rows.get(self.places(rows.len())).unwrap_or_default()
    }

    /// Puts the rows of this part where they would stand if all were in order. To order a million for the sake of a page takes a minute.
    pub(super) fn arrange<T>(self, rows: &mut [T], compare: impl Fn(&T, &T) -> Ordering) {
        let Range { start, end } = self.places(rows.len());
        if end < rows.len() {
            rows.select_nth_unstable_by(end, &compare);
        }
        let Some(until) = rows.get_mut(..end) else { return };
        if start < until.len() {
            until.select_nth_unstable_by(start, &compare);
        }
        if let Some(part) = until.get_mut(start..) {
            part.sort_unstable_by(compare);
        }
    }

    fn places(self, rows: usize) -> Range<usize> {
        let start = (self.page - 1).saturating_mul(self.per_page).min(rows);
        start..start.saturating_add(self.per_page).min(rows)
    }

    /// The number of the first row, from 1 on; 0 where there is none.
    pub(super) fn first(self) -> usize {
        if self.total == 0 { 0 } else { (self.page - 1) * self.per_page + 1 }
    }

    /// The number of the last row.
    pub(super) fn last(self) -> usize {
        (self.page * self.per_page).min(self.total)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAMES: &[&str] = &["q", "state", "sort", "page", "per_page"];

    #[test]
    fn a_form_is_read_as_browsers_send_it() {
        let query = Query::read("q=a+b%26c&state=&sort=-domain&nobody=1&q=second", NAMES);
        assert_eq!((query.get("q"), query.get("state"), query.get("sort")), ("a b&c", "", "-domain"));
        assert!(query.notes().is_empty() && query.has(&["q"]) && !query.has(&["state"]));
    }

    #[test]
    fn what_has_no_meaning_is_said_and_left_out() {
        let mut query = Query::read("state=odd&q=%zz", NAMES);
        assert_eq!(query.choose("state", |text| text.parse::<u8>().ok()), None);
        assert_eq!(query.notes().len(), 2);
        assert!(query.notes().iter().any(|note| note.contains("There is no state \"odd\"")), "{query:?}");
        assert_eq!(query.with(&[]), "");
    }

    #[test]
    fn a_link_changes_what_it_names_and_begins_at_the_first_page() {
        let query = Query::read("q=a%20b&state=blocked&page=3", NAMES);
        assert_eq!(query.with(&[("state", "partial")]), "?q=a%20b&state=partial");
        assert_eq!(query.with(&[("page", "4")]), "?q=a%20b&state=blocked&page=4");
        assert_eq!(query.with(&[("q", ""), ("state", "")]), "");
    }

    #[test]
    fn pages_are_cut_whatever_is_asked() {
        let cut = |text: &str, total| Query::read(text, NAMES).cut(total);
        let rows: Vec<usize> = (0..250).collect();
        assert_eq!(cut("", 250).of(&rows), &rows[..100]);
        assert_eq!(cut("page=3", 250).of(&rows), &rows[200..]);
        assert_eq!(cut("page=9", 250).page, 3, "the last one");
        assert_eq!(cut("page=0&per_page=0", 250), Cut { page: 1, pages: 3, per_page: 100, total: 250 });
        assert_eq!(cut("per_page=100000", 2500).per_page, 1000);
        assert_eq!((cut("", 0).first(), cut("", 0).last(), cut("", 0).pages), (0, 0, 1));
        assert_eq!((cut("page=3", 250).first(), cut("page=3", 250).last()), (201, 250));
    }

    proptest! {
        #[test]
        fn a_part_is_that_of_the_whole_in_order(rows: Vec<u8>, page in 1usize..9, per_page in 1usize..40) {
            let cut = Query::read(&format!("page={page}&per_page={per_page}"), NAMES).cut(rows.len());
            let mut ordered = rows.clone();
            ordered.sort_unstable();
            let mut arranged = rows;
            cut.arrange(&mut arranged, Ord::cmp);
            prop_assert_eq!(cut.of(&arranged), cut.of(&ordered));
            arranged.sort_unstable();
            prop_assert_eq!(arranged, ordered);
        }

        #[test]
        fn any_text_is_a_query_and_comes_back_from_its_link(text: String, value in "[^\\s]{1,40}") {
            let mut query = Query::read(&text, NAMES);
            let cut = query.cut(7);
            prop_assert!(cut.of(&[0; 7]).len() <= 7);
            let link = query.with(&[("q", &value)]);
            prop_assert!(link.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'<>#".contains(&byte)));
            if value.trim() == value && value.len() <= VALUE_MOST {
                let again = Query::read(link.trim_start_matches('?'), NAMES);
                prop_assert_eq!(again.get("q"), value);
            }
        }
    }
}
