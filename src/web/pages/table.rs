//! The parts of a long list: heads that sort it, the pages that it is cut into, and the words for it when it is empty.

use std::cmp::Ordering;

use maud::{Markup, html};

use super::query::{Cut, Query};

/// A column by which a list can be sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Column<K: 'static> {
    pub(super) key: K,
    /// Its word in `sort=`.
    pub(super) word: &'static str,
    /// Its head.
    pub(super) name: &'static str,
    /// It begins with the largest: what is counted, and what is bad.
    pub(super) largest_first: bool,
    /// It holds numbers, which stand at the right.
    pub(super) number: bool,
}

/// How a list is sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Order<K: 'static> {
    pub(super) column: Column<K>,
    /// Against the order in which the column begins: `sort=-WORD`.
    pub(super) turned: bool,
}

impl<K: Copy + PartialEq> Column<K> {
    pub(super) const fn new(key: K, word: &'static str, name: &'static str) -> Self {
        Self { key, word, name, largest_first: false, number: false }
    }

    /// The same, with the largest first.
    pub(super) const fn largest_first(self) -> Self {
        Self { largest_first: true, ..self }
    }

    /// The same, for numbers.
    pub(super) const fn number(self) -> Self {
        Self { number: true, ..self }
    }
}

impl<K: Copy + PartialEq> Order<K> {
    /// The order that `sort` asks for; nothing where it names no column.
    pub(super) fn read(text: &str, columns: &[Column<K>]) -> Option<Self> {
        let (word, turned) = text.strip_prefix('-').map_or((text, false), |word| (word, true));
        let column = columns.iter().copied().find(|column| column.word == word)?;
        Some(Self { column, turned })
    }

    /// Turns a comparison, smallest first, into this order.
    pub(super) fn of(self, ordering: Ordering) -> Ordering {
        if self.turned == self.column.largest_first { ordering } else { ordering.reverse() }
    }

    fn aria(self) -> &'static str {
        if self.turned == self.column.largest_first { "ascending" } else { "descending" }
    }
}

/// The heads of a table: each a link that sorts by its column, and turns the order where it is sorted so already.
pub(super) fn heads<K: Copy + PartialEq>(
    path: &str,
    query: &Query,
    columns: &[Column<K>],
    order: Option<Order<K>>,
) -> Markup {
    html! {
        thead {
            tr {
                @for column in columns {
                    @let here = order.filter(|order| order.column.key == column.key);
                    @let turn = here.is_some_and(|order| !order.turned);
                    @let word = if turn { format!("-{}", column.word) } else { column.word.to_owned() };
                    th class=[column.number.then_some("number")] scope="col" aria-sort=[here.map(Order::aria)] {
                        a href={ (path) (query.with(&[("sort", &word)])) } {
                            (column.name)
                            @if let Some(here) = here {
                                span aria-hidden="true" { @if here.aria() == "ascending" { " ▲" } @else { " ▼" } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Which part of a list is shown, and the way to the others; nothing where all of it is shown.
pub(super) fn pages(path: &str, query: &Query, cut: Cut) -> Markup {
    let link = |page: usize| format!("{path}{}", query.with(&[("page", &page.to_string())]));
    html! {
        @if cut.pages > 1 {
            nav.pages aria-label="Parts of the list" {
                @if cut.page > 1 {
                    a.button href=(link(1)) { "First" }
                    a.button rel="prev" href=(link(cut.page - 1)) { "Previous" }
                }
                span { (grouped(cut.first())) " to " (grouped(cut.last())) " of " (grouped(cut.total)) }
                @if cut.page < cut.pages {
                    a.button rel="next" href=(link(cut.page + 1)) { "Next" }
                    a.button href=(link(cut.pages)) { "Last" }
                }
            }
        }
    }
}

/// What had to be left out of the query.
pub(super) fn notes(query: &Query) -> Markup {
    html! {
        @if !query.notes().is_empty() {
            div.banner.plain role="status" { @for note in query.notes() { p { (note) } } }
        }
    }
}

/// A field of a form with its label.
pub(super) fn search(name: &str, label: &str, value: &str) -> Markup {
    html! {
        div {
            label for=(name) { (label) }
            input #(name) type="search" name=(name) value=(value) maxlength="253" autocomplete="off" spellcheck="false";
        }
    }
}

/// A choice of a form with its label; the first one, with an empty value, is all.
pub(super) fn choice(name: &str, label: &str, all: &str, options: &[(String, String)], chosen: &str) -> Markup {
    html! {
        div {
            label for=(name) { (label) }
            select #(name) name=(name) {
                option value="" { (all) }
                @for (value, words) in options {
                    option value=(value) selected[value == chosen] { (words) }
                }
            }
        }
    }
}

/// What was chosen elsewhere on the page, and stays chosen when the form is sent.
pub(super) fn kept(query: &Query, names: &[&str]) -> Markup {
    html! {
        @for name in names.iter().filter(|name| !query.get(name).is_empty()) {
            input type="hidden" name=(name) value=(query.get(name));
        }
    }
}

/// `10,000`.
pub(super) fn grouped(number: impl TryInto<u64>) -> String {
    let digits = number.try_into().unwrap_or(u64::MAX).to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column<u8>; 2] =
        [Column::new(0, "host", "Host"), Column::new(1, "domains", "Domains").largest_first()];

    #[test]
    fn an_order_is_the_one_of_its_column_or_turned() {
        let read = |text: &str| Order::read(text, &COLUMNS).unwrap();
        assert_eq!(read("host").of(Ordering::Less), Ordering::Less);
        assert_eq!(read("-host").of(Ordering::Less), Ordering::Greater);
        assert_eq!(read("domains").of(Ordering::Less), Ordering::Greater);
        assert_eq!(read("-domains").of(Ordering::Less), Ordering::Less);
        for wrong in ["", "-", "Host", "--host"] {
            assert_eq!(Order::read(wrong, &COLUMNS), None, "{wrong}");
        }
    }

    #[test]
    fn heads_say_how_the_list_is_sorted_and_turn_it() {
        let query = Query::read("sort=domains&q=x", &["sort", "q"]);
        let html = heads("/hosts", &query, &COLUMNS, Order::read("domains", &COLUMNS)).into_string();
        assert!(html.contains("<th scope=\"col\"><a href=\"/hosts?q=x&amp;sort=host\">Host</a>"), "{html}");
        assert!(html.contains("aria-sort=\"descending\"><a href=\"/hosts?q=x&amp;sort=-domains\">Domains"), "{html}");
    }

    #[test]
    fn numbers_are_read_at_a_glance() {
        let read = [0_u64, 999, 1000, 10_000, 1_234_567].map(grouped);
        assert_eq!(read, ["0", "999", "1,000", "10,000", "1,234,567"]);
    }

    #[test]
    fn a_list_on_one_page_has_no_pages() {
        let mut query = Query::read("page=2", &["page", "q"]);
        let cut = query.cut(50);
        assert_eq!(pages("/", &query, cut).into_string(), "");
        let mut query = Query::read("page=2&q=a", &["page", "q"]);
        let cut = query.cut(1050);
        let html = pages("/", &query, cut).into_string();
        assert!(html.contains("101 to 200 of 1,050") && html.contains("href=\"/?q=a&amp;page=3\""), "{html}");
    }
}
