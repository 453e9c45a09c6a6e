//! A YAML list of target groups, entries and names. YAML cannot be read as a stream with the means here: the whole is a text and
//! a tree in memory for a while.

use std::io::Read;

use super::gather::{Fault, Gathering};
use crate::config::{
    diagnostic::{Location, Mark},
    load::MAX_FILE,
    yaml::{self, Key, Node, Value, shorten},
};

pub(super) fn read(from: impl Read, list: &mut Gathering<'_>) -> Result<(), Fault> {
    let limit = u64::try_from(MAX_FILE).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    let unreadable = |error: std::io::Error| Fault { at: None, message: format!("it cannot be read: {error}") };
    from.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > MAX_FILE {
        let message = format!("the list is larger than {} MiB; write it as JSON or plain", MAX_FILE / 1024 / 1024);
        return Err(Fault { at: None, message });
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let before = error.as_bytes().iter().take(error.utf8_error().valid_up_to());
        let line = before.filter(|byte| **byte == b'\n').count() + 1;
        Fault::at(Location { line, column: 1 }, "the line is not UTF-8")
    })?;
    let node = yaml::parse(&text).map_err(|error| Fault {
        at: error.mark.map(location),
        message: format!("it is no YAML: {}", error.message),
    })?;
    match &node.value {
        Value::List(items) => items.iter().try_for_each(|item| self::item(item, &text, list)),
        // A file of comments.
        Value::Map(entries) if entries.is_empty() => Ok(()),
        other => {
            let message = format!("found {}; a list of target groups, entries or names was expected", other.describe());
            Err(Fault::at(location(node.mark), message))
        }
    }
}

fn location(mark: Mark) -> Location {
    Location { line: mark.line.max(1), column: mark.column.max(1) }
}

fn item(item: &Node, text: &str, list: &mut Gathering<'_>) -> Result<(), Fault> {
    let at = location(item.mark);
    match &item.value {
        Value::Text(name) => list.name(name, at),
        Value::Map(entries) if entries.iter().any(|(key, _)| matches!(key.text.as_str(), "targets" | "labels")) => {
            group(entries, at, list)
        }
        Value::Map(_) => list.entry(item, text),
        other => list.skip(at, format!("found {}; a target group, an entry or a name was expected", other.describe())),
    }
}

fn group(entries: &[(Key, Node)], at: Location, list: &mut Gathering<'_>) -> Result<(), Fault> {
    let from = list.len();
    let (mut targets, mut labels) = (None, None);
    for (key, value) in entries {
        let place = location(key.mark);
        let known = match key.text.as_str() {
            "targets" => targets.replace(value),
            "labels" => labels.replace(value),
            other => return Err(Fault::at(place, format!("a target group has no key {:?}", shorten(other)))),
        };
        if known.is_some() {
            return Err(Fault::at(place, format!("`{}` is given twice in one target group", key.text)));
        }
    }
    match targets.map(|targets| (&targets.value, location(targets.mark))) {
        None | Some((Value::Null, _)) => {}
        Some((Value::List(names), _)) => {
            for name in names {
                let at = location(name.mark);
                match &name.value {
                    Value::Text(text) => list.name(text, at)?,
                    other => list.skip(at, format!("found {}; a name was expected", other.describe()))?,
                }
            }
        }
        Some((other, at)) => {
            return Err(Fault::at(
                at,
                format!("found {}; a list of names as `targets` was expected", other.describe()),
            ));
        }
    }
    let mut texts = Vec::new();
    match labels.map(|labels| (&labels.value, location(labels.mark))) {
        None | Some((Value::Null, _)) => {}
        Some((Value::Map(labels), _)) => {
            for (key, value) in labels {
                let Value::Text(text) = &value.value else {
                    let message = format!("found {}; a text as label was expected", value.value.describe());
                    return Err(Fault::at(location(value.mark), message));
                };
                texts.push((key.text.clone(), text.clone()));
            }
        }
        Some((other, at)) => {
            return Err(Fault::at(at, format!("found {}; a map of texts as `labels` was expected", other.describe())));
        }
    }
    list.label(from, texts, at);
    Ok(())
}
