//! A JSON array of target groups, entries and names, read entry by entry: no tree of the whole is made.

use std::{
    cell::Cell,
    fmt,
    io::{self, BufReader, Read},
    rc::Rc,
};

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::gather::{Fault, Gathering};
use crate::config::{
    diagnostic::{Location, Mark},
    yaml::{Key, Node, Value, shorten},
};

/// An entry as under `domains` has eight keys and lists of hosts; a larger one is an attempt at our memory.
const MAX_NODES: usize = 10_000;
/// So many bytes may follow each other without another item: a text is held whole before it can be judged. A name has 253 bytes, and
/// an entry with as many nodes as it may have fits.
const ITEM_MOST: usize = 1 << 20;
/// A label that is longer is none of a metric.
const LABEL_MOST: usize = 4096;
/// A target group has a handful of labels.
const LABELS_MOST: usize = 100;

pub(super) fn read(from: impl Read, list: &mut Gathering<'_>) -> Result<(), Fault> {
    let place = Rc::new(Cell::new(Place::default()));
    let placed = Placed { inner: BufReader::with_capacity(64 * 1024, from), place: Rc::clone(&place) };
    let mut deserializer = serde_json::Deserializer::from_reader(placed);
    let (mut stop, seed) = (None, &place);
    let read = Items { list, place: seed, stop: &mut stop }.deserialize(&mut deserializer);
    let ended = read.and_then(|()| deserializer.end());
    match (stop, ended) {
        (Some(fault), _) => Err(fault),
        (None, Ok(())) => Ok(()),
        (None, Err(_)) if place.get().since_item > ITEM_MOST => {
            let message = format!("something in the list is longer than {ITEM_MOST} bytes");
            Err(Fault { at: Some(place.get().location()), message })
        }
        (None, Err(error)) => Err(told(&error)),
    }
}

fn told(error: &serde_json::Error) -> Fault {
    if error.is_io() {
        return Fault { at: None, message: format!("it cannot be read: {error}") };
    }
    let text = error.to_string();
    // The crate says the place behind its message; the diagnostic says it in our style.
    let message = text.rfind(" at line ").and_then(|at| text.get(..at)).unwrap_or(&text);
    let at = Location { line: error.line(), column: error.column().max(1) };
    Fault { at: (error.line() > 0).then_some(at), message: format!("it is no list in JSON: {message}") }
}

/// How far was read: the place of the last byte.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// Lines that ended.
    ended: usize,
    column: usize,
    at_end: bool,
    /// Bytes since the last item began.
    since_item: usize,
}

impl Place {
    fn location(self) -> Location {
        Location { line: self.ended + 1, column: self.column.max(1) }
    }

    const fn after(mut self, byte: u8) -> Self {
        if self.at_end {
            self = Self { ended: self.ended + 1, column: 0, at_end: false, ..self };
        }
        self.since_item += 1;
        self.at_end = byte == b'\n';
        // Bytes that continue a letter are no column of their own.
        if byte & 0xc0 != 0x80 {
            self.column += 1;
        }
        self
    }
}

/// Says how far was read. The deserializer takes one byte at a time and looks at most one ahead: when it asks for an element, the
/// last byte is the first of that element.
struct Placed<R> {
    inner: BufReader<R>,
    place: Rc<Cell<Place>>,
}

impl<R: Read> Read for Placed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let place = buffer.iter().take(read).fold(self.place.get(), |place, byte| place.after(*byte));
        self.place.set(place);
        if place.since_item > ITEM_MOST {
            return Err(io::Error::other("an item is too long"));
        }
        Ok(read)
    }
}

/// Says what the gathering refused, in place of the error that ends the deserializing.
fn stopping<E: serde::de::Error>(result: Result<(), Fault>, stop: &mut Option<Fault>) -> Result<(), E> {
    result.map_err(|fault| {
        *stop = Some(fault);
        E::custom("the list cannot be used")
    })
}

/// A list: of items at the top, of names below `targets`.
struct Items<'s, 'l, 'a> {
    list: &'s mut Gathering<'a>,
    place: &'l Rc<Cell<Place>>,
    stop: &'s mut Option<Fault>,
}

impl<'de> DeserializeSeed<'de> for Items<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Items<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of target groups, entries or names")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Self { list, place, stop } = self;
        while items.next_element_seed(Item { list, place, stop, below: false })?.is_some() {}
        Ok(())
    }
}

/// The names below `targets`.
struct Targets<'s, 'l, 'a>(Items<'s, 'l, 'a>);

impl<'de> DeserializeSeed<'de> for Targets<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Targets<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of names as `targets`")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Items { list, place, stop } = self.0;
        while items.next_element_seed(Item { list, place, stop, below: true })?.is_some() {}
        Ok(())
    }
}

/// One of them. What is none is skipped.
struct Item<'s, 'l, 'a> {
    list: &'s mut Gathering<'a>,
    place: &'l Rc<Cell<Place>>,
    stop: &'s mut Option<Fault>,
    /// Below `targets` stand only names.
    below: bool,
}

impl<'de> DeserializeSeed<'de> for Item<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let place = self.place.get();
        self.place.set(Place { since_item: 0, ..place });
        let at = place.location();
        deserializer.deserialize_any(ItemVisitor { item: self, at })
    }
}

struct ItemVisitor<'s, 'l, 'a> {
    item: Item<'s, 'l, 'a>,
    at: Location,
}

impl ItemVisitor<'_, '_, '_> {
    fn skip<E: serde::de::Error>(self, what: &str) -> Result<(), E> {
        let expected = if self.item.below { "a name" } else { "a target group, an entry or a name" };
        let skipped = self.item.list.skip(self.at, format!("found {what}; {expected} was expected"));
        stopping(skipped, self.item.stop)
    }
}

impl<'de> Visitor<'de> for ItemVisitor<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a target group, an entry or a name")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        let taken = self.item.list.name(text, self.at);
        stopping(taken, self.item.stop)
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        self.skip("a truth value")
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
        self.skip("a number")
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        self.skip("a number")
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        self.skip("a number")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.skip("nothing")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        self.skip("a list")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let Self { item: Item { list, place, stop, below }, at } = self;
        if below {
            while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Self { item: Item { list, place, stop, below }, at }.skip("a map");
        }
        let (mut from, mut labels, mut others) = (None, None, Vec::new());
        let mut room = MAX_NODES;
        while let Some(key) = entries.next_key::<String>()? {
            match key.as_str() {
                "targets" | "labels" if from.is_some() && key == "targets" || labels.is_some() && key == "labels" => {
                    return Err(A::Error::custom(format!("`{key}` is given twice in one target group")));
                }
                "targets" => {
                    from = Some(list.len());
                    entries.next_value_seed(Targets(Items { list, place, stop }))?;
                }
                "labels" => labels = Some(entries.next_value_seed(Labels)?),
                _ => {
                    // The value is at most a space away.
                    let mark = mark(place);
                    let value = entries.next_value_seed(Tree { place, room: &mut room, mark })?;
                    others.push((Key { text: key, mark }, value));
                }
            }
        }
        match (from, labels, others.first()) {
            (None, None, _) => {
                let mark = Mark { line: at.line, column: at.column, bytes: None };
                let taken = list.entry(&Node { value: Value::Map(others), mark }, "");
                stopping(taken, stop)
            }
            (_, _, Some((key, _))) => {
                Err(A::Error::custom(format!("a target group has no key {:?}", shorten(&key.text))))
            }
            (Some(from), Some(labels), None) => {
                list.label(from, labels, at);
                Ok(())
            }
            (Some(_), None, None) | (None, Some(_), None) => Ok(()),
        }
    }
}

fn mark(place: &Rc<Cell<Place>>) -> Mark {
    let Location { line, column } = place.get().location();
    Mark { line, column, bytes: None }
}

/// The labels of a target group.
struct Labels;

impl<'de> DeserializeSeed<'de> for Labels {
    type Value = Vec<(String, String)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Labels {
    type Value = Vec<(String, String)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of texts as `labels`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut labels = Vec::new();
        while let Some((label, value)) = entries.next_entry::<String, String>()? {
            if label.len() > LABEL_MOST || value.len() > LABEL_MOST || labels.len() >= LABELS_MOST {
                return Err(A::Error::custom("a target group has too many or too long labels"));
            }
            labels.push((label, value));
        }
        Ok(labels)
    }
}

/// A value of an entry as under `domains`.
struct Tree<'s> {
    place: &'s Rc<Cell<Place>>,
    room: &'s mut usize,
    mark: Mark,
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        *self.room = self.room.checked_sub(1).ok_or_else(|| D::Error::custom("an entry is too large"))?;
        let mark = self.mark;
        deserializer.deserialize_any(self).map(|value| Node { value, mark })
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        let Self { place, room, mark } = self;
        while let Some(item) = access.next_element_seed(Tree { place, room, mark })? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        let Self { place, room, .. } = self;
        while let Some(text) = access.next_key::<String>()? {
            let mark = mark(place);
            let value = access.next_value_seed(Tree { place, room: &mut *room, mark })?;
            entries.push((Key { text, mark }, value));
        }
        Ok(Value::Map(entries))
    }
}
