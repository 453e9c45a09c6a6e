//! The only file that knows the YAML crate: text in, a tree of values with their places out.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned, options::DuplicateKeyPolicy};

use super::diagnostic::Mark;

/// Deeper than this no key of ours lies; the rest is somebody's attempt at our stack.
const MAX_DEPTH: usize = 24;
/// A million domains as maps of eight keys.
const MAX_NODES: usize = 20_000_000;
/// Aliases spare typing (one `expect` for many domains); replaying more than this is a bomb.
const MAX_REPLAYED: usize = 1_000_000;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) mark: Mark,
}

/// A YAML value by the core schema.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    /// In the order of the file, a key that stands twice twice.
    Map(Vec<(Key, Node)>),
}

/// The key of an entry and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) text: String,
    pub(super) mark: Mark,
}

/// Why a text is no YAML, and where that shows.
#[derive(Debug)]
pub(super) struct SyntaxError {
    pub(super) message: String,
    pub(super) mark: Option<Mark>,
}

impl Value {
    /// What it is, for a message.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Null => "nothing".to_owned(),
            Self::Bool(value) => format!("the truth value {value}"),
            Self::Integer(value) => format!("the number {value}"),
            Self::Float(value) => format!("the number {value}"),
            Self::Text(text) => format!("the text {:?}", shorten(text)),
            Self::List(_) => "a list".to_owned(),
            Self::Map(_) => "a map".to_owned(),
        }
    }
}

/// Enough of a text to recognise it.
pub(super) fn shorten(text: &str) -> String {
    const ENOUGH: usize = 60;
    match text.char_indices().nth(ENOUGH) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Reads one document; an empty one is an empty map.
pub(super) fn parse(text: &str) -> Result<Node, SyntaxError> {
    parse_replaying(text, MAX_REPLAYED)
}

fn parse_replaying(text: &str, most: usize) -> Result<Node, SyntaxError> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_events: MAX_NODES * 2,
        },
        // Seen and reported by the reader, together with all other mistakes.
        duplicate_keys: DuplicateKeyPolicy::LastWins,
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: most },
        // Else `dnssec: off` would be false (YAML 1.1).
        strict_booleans: true,
        with_snippet: false,
    };
    let blank = text.lines().all(|line| line.trim_start().is_empty() || line.trim_start().starts_with('#'));
    if blank {
        return Ok(Node { value: Value::Map(Vec::new()), mark: Mark::default() });
    }
    match serde_saphyr::from_str_with_options::<Option<Spanned<Value>>>(text, options) {
        Ok(Some(spanned)) => Ok(spanned.into()),
        Ok(None) => Ok(Node { value: Value::Map(Vec::new()), mark: Mark::default() }),
        Err(error) => {
            let mark = error.location().map(|location| Mark::from(&location));
            let message = error.without_snippet().render();
            let message = match &error {
                serde_saphyr::Error::Budget { .. } => {
                    "the YAML is too deep or too large for a configuration".to_owned()
                }
                serde_saphyr::Error::MultipleDocuments { .. } => {
                    "a second YAML document starts here; one was expected".to_owned()
                }
                _ => without_place(&message),
            };
            Err(SyntaxError { message, mark })
        }
    }
}

/// The crate puts the place before or behind its message; the diagnostic says it in our style already.
fn without_place(message: &str) -> String {
    let first = message.lines().next().unwrap_or_default();
    let cut = first.rfind(" at line ").and_then(|at| first.get(..at)).unwrap_or(first);
    cut.strip_prefix("error: ").unwrap_or(cut).to_owned()
}

impl From<Spanned<Value>> for Node {
    fn from(spanned: Spanned<Value>) -> Self {
        Self { mark: Mark::from(&spanned.defined), value: spanned.value }
    }
}

impl From<&Location> for Mark {
    fn from(location: &Location) -> Self {
        let span = location.span();
        let start = span.byte_offset().and_then(|offset| usize::try_from(offset).ok());
        let length = span.byte_len().and_then(|length| usize::try_from(length).ok());
        Self {
            line: usize::try_from(location.line()).unwrap_or(0),
            column: usize::try_from(location.column()).unwrap_or(0),
            bytes: start.map(|start| (start, start.saturating_add(length.unwrap_or(1)))),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Value, E> {
        Ok(Value::Integer(value))
    }

    fn visit_u128<E: serde::de::Error>(self, value: u128) -> Result<Value, E> {
        i128::try_from(value).map(Value::Integer).map_err(|_| E::custom("the number is too large"))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element::<Spanned<Value>>()? {
            items.push(item.into());
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = access.next_key::<Spanned<Value>>()? {
            let mark = Mark::from(&key.defined);
            let text = match key.value {
                Value::Text(text) => text,
                Value::Integer(number) => number.to_string(),
                Value::Bool(value) => value.to_string(),
                Value::Null => "null".to_owned(),
                Value::Float(number) => number.to_string(),
                Value::List(_) | Value::Map(_) => return Err(A::Error::custom("a key must be a plain word")),
            };
            let value: Spanned<Value> = access.next_value()?;
            entries.push((Key { text, mark }, value.into()));
        }
        Ok(Value::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(text: &str) -> Vec<(Key, Node)> {
        match parse(text).unwrap().value {
            Value::Map(entries) => entries,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn words_stay_words_and_places_are_known() {
        let entries = map("a: off\nb: 2027-01-01\n  # comment\nc: [5s, ü: x]\n");
        assert!(matches!(&entries[0].1.value, Value::Text(text) if text == "off"));
        assert!(matches!(&entries[1].1.value, Value::Text(text) if text == "2027-01-01"));
        assert_eq!((entries[1].0.mark.line, entries[1].0.mark.column), (2, 1));
        assert_eq!((entries[1].1.mark.line, entries[1].1.mark.column), (2, 4));
        assert_eq!(entries[1].1.mark.bytes, Some((10, 20)));
        let Value::List(items) = &entries[2].1.value else { panic!("{entries:?}") };
        assert_eq!((items[0].mark.line, items[0].mark.column), (4, 5));
    }

    #[test]
    fn a_key_that_stands_twice_is_seen_twice() {
        assert_eq!(map("a: 1\na: 2\n").len(), 2);
    }

    #[test]
    fn nothing_is_an_empty_map() {
        for text in ["", "\n", "# only a comment\n", "---\n", "null\n"] {
            let node = parse(text).unwrap();
            assert!(matches!(&node.value, Value::Map(entries) if entries.is_empty()), "{text:?} {node:?}");
        }
    }

    #[test]
    fn anchors_and_merges_work_and_bombs_do_not() {
        let entries = map("a: &x {k: 1}\nb: *x\nc: {<<: *x, l: 2}\n");
        assert_eq!(entries.len(), 3);
        let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..10 {
            let item = format!("*a{}", level - 1);
            bomb += &format!("a{level}: &a{level} [{}]\n", vec![item; 10].join(","));
        }
        assert!(parse_replaying(&bomb, 10_000).is_err_and(|error| error.message.contains("replay")));
        assert!(parse_replaying("a: &x [1, 2]\nb: *x\n", 10_000).is_ok());
        assert!(parse(&format!("a: {}{}", "[".repeat(5000), "]".repeat(5000))).is_err());
    }
}
