//! From the tree to the types of the file, with every mistake told and none of them the last.

use std::{collections::BTreeMap, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, Serializer};

use super::{
    diagnostic::{Diagnostic, DiagnosticSeverity, MAX_DIAGNOSTICS, Mark, Source},
    suggest::nearest,
    yaml::{Key, Node, Value, shorten},
};

/// A value of the file and where it was written. Two are equal when the values are.
#[derive(Clone, Copy)]
pub struct At<T> {
    /// The value.
    pub value: T,
    pub(super) mark: Mark,
}

impl<T> From<T> for At<T> {
    fn from(value: T) -> Self {
        Self { value, mark: Mark::default() }
    }
}

impl<T: PartialEq> PartialEq for At<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: fmt::Debug> fmt::Debug for At<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T: Serialize> Serialize for At<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// What can be read from a node. A reading that fails has told the reader why.
pub(super) trait FromNode: Sized {
    fn from_node(node: &Node, reader: &mut Reader<'_>) -> Option<Self>;
}

/// Collects what is wrong while the tree is walked.
pub(super) struct Reader<'a> {
    source: Source<'a>,
    diagnostics: Vec<Diagnostic>,
    errors: usize,
    left_out: usize,
    path: Vec<&'static str>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: Source<'a>) -> Self {
        Self { source, diagnostics: Vec::new(), errors: 0, left_out: 0, path: Vec::new() }
    }

    /// Errors so far.
    pub(super) fn errors(&self) -> usize {
        self.errors
    }

    /// Everything told, in the order of the file, and how many more there were.
    pub(super) fn finish(mut self) -> (Vec<Diagnostic>, usize) {
        self.diagnostics.sort_by_key(|one| one.location.map(|at| (at.line, at.column)));
        (self.diagnostics, self.left_out)
    }

    pub(super) fn error(&mut self, mark: Mark, message: impl Into<String>, hint: Option<String>) {
        self.tell(mark, DiagnosticSeverity::Error, message, None, hint);
    }

    pub(super) fn warning(&mut self, mark: Mark, message: impl Into<String>, hint: Option<String>) {
        self.tell(mark, DiagnosticSeverity::Warning, message, None, hint);
    }

    /// The value at `node` is none of what was expected.
    pub(super) fn unexpected(&mut self, mark: Mark, message: impl Into<String>, expected: &str, hint: Option<String>) {
        self.tell(mark, DiagnosticSeverity::Error, message, Some(expected), hint);
    }

    fn tell(
        &mut self,
        mark: Mark,
        severity: DiagnosticSeverity,
        message: impl Into<String>,
        expected: Option<&str>,
        hint: Option<String>,
    ) {
        self.errors += usize::from(severity == DiagnosticSeverity::Error);
        if self.diagnostics.len() >= MAX_DIAGNOSTICS {
            self.left_out += usize::from(severity == DiagnosticSeverity::Error);
            return;
        }
        let mut diagnostic = Diagnostic::new(self.source, severity, Some(mark), message).hinting(hint);
        if let Some(expected) = expected {
            diagnostic = diagnostic.expecting(expected);
        }
        self.diagnostics.push(diagnostic);
    }

    fn wrong_kind(&mut self, node: &Node, expected: &str, hint: Option<String>) {
        self.unexpected(node.mark, format!("found {}", node.value.describe()), expected, hint);
    }

    /// The value of a key; nothing (`null`) leaves the default.
    pub(super) fn field<T: FromNode>(&mut self, name: &'static str, node: &Node) -> Option<At<T>> {
        self.path.push(name);
        let value = match node.value {
            Value::Null => None,
            _ => T::from_node(node, self).map(|value| At { value, mark: node.mark }),
        };
        self.path.pop();
        value
    }

    /// The entries of a map whose keys are all in `known`, each once, and among them all that are `required`.
    pub(super) fn section<'n>(
        &mut self,
        node: &'n Node,
        known: &[&'static str],
        required: &[&'static str],
    ) -> Option<Vec<(&'static str, &'n Key, &'n Node)>> {
        let Value::Map(entries) = &node.value else {
            let first = known.iter().take(3).copied().collect::<Vec<_>>().join(", ");
            self.wrong_kind(node, &format!("a map with keys such as {first}"), None);
            return None;
        };
        let mut found: Vec<(&'static str, &Key, &Node)> = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let Some(name) = known.iter().copied().find(|name| *name == key.text) else {
                self.unknown_key(key, known);
                continue;
            };
            if let Some((_, first, _)) = found.iter().find(|(other, ..)| *other == name) {
                let hint = format!("it is already given in line {}; keep one of them", first.mark.line);
                self.error(key.mark, format!("the key `{name}` is given twice"), Some(hint));
                continue;
            }
            found.push((name, key, value));
        }
        for name in required {
            if !found.iter().any(|(given, _, value)| given == name && !matches!(value.value, Value::Null)) {
                self.unexpected(node.mark, format!("`{name}` is missing here"), &format!("a map with `{name}`"), None);
            }
        }
        Some(found)
    }

    fn unknown_key(&mut self, key: &Key, known: &[&'static str]) {
        let place = if self.path.is_empty() { String::new() } else { format!(" in `{}`", self.path.join(".")) };
        let message = format!("unknown key {:?}{place}", shorten(&key.text));
        let hint = match nearest(&key.text, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known keys: {}", known.join(", ")),
        };
        self.error(key.mark, message, Some(hint));
    }

    /// A text that `parse` understands. A number or truth value in its place is told apart from a bad text.
    pub(super) fn text<T, E: fmt::Display>(
        &mut self,
        node: &Node,
        expected: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let Value::Text(text) = &node.value else {
            let hint = matches!(node.value, Value::Bool(_) | Value::Integer(_) | Value::Float(_))
                .then(|| "if it is meant as text, write it in quotes".to_owned());
            self.wrong_kind(node, expected, hint);
            return None;
        };
        match parse(text) {
            Ok(value) => Some(value),
            Err(error) => {
                self.unexpected(node.mark, error.to_string(), expected, None);
                None
            }
        }
    }

    /// One of a closed list of words.
    pub(super) fn word(&mut self, node: &Node, known: &[&'static str]) -> Option<&'static str> {
        let list = known.join(", ");
        let expected = format!("one of {list}");
        let text = self.text(node, &expected, |text| Ok::<_, String>(text.to_owned()))?;
        let found = known.iter().copied().find(|word| *word == text);
        if found.is_none() {
            let hint = nearest(&text, known.iter().copied()).map(|near| format!("did you mean `{near}`?"));
            self.unexpected(node.mark, format!("{:?} is not known here", shorten(&text)), &expected, hint);
        }
        found
    }

    /// A whole number from `least` to `most`.
    pub(super) fn integer(&mut self, node: &Node, least: u64, most: u64) -> Option<u64> {
        let expected = format!("a whole number from {least} to {most}");
        let Value::Integer(number) = node.value else {
            let quoted = matches!(&node.value, Value::Text(text) if text.parse::<u64>().is_ok());
            self.wrong_kind(node, &expected, quoted.then(|| "write it without quotes".to_owned()));
            return None;
        };
        let fitting = u64::try_from(number).ok().filter(|number| (least..=most).contains(number));
        if fitting.is_none() {
            self.unexpected(node.mark, format!("{number} is out of range"), &expected, None);
        }
        fitting
    }
}

impl FromNode for bool {
    fn from_node(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.value {
            Value::Bool(value) => Some(*value),
            other => {
                let hint = match other {
                    Value::Text(text) => match text.to_ascii_lowercase().as_str() {
                        "yes" | "on" | "true" => Some("write true"),
                        "no" | "off" | "false" => Some("write false"),
                        _ => None,
                    },
                    _ => None,
                };
                reader.wrong_kind(node, "true or false", hint.map(str::to_owned));
                None
            }
        }
    }
}

impl FromNode for String {
    fn from_node(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        /// Names and reasons; longer is a mistake in the quotes.
        const LONGEST: usize = 4096;
        reader.text(node, "a text", |text| {
            if text.len() > LONGEST {
                return Err(format!("the text is longer than {LONGEST} bytes"));
            }
            match text.chars().find(|c| c.is_control()) {
                Some(c) => Err(format!("the text holds the control character {c:?}")),
                None => Ok(text.to_owned()),
            }
        })
    }
}

impl<T: FromNode> FromNode for Vec<At<T>> {
    fn from_node(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let Value::List(items) = &node.value else {
            let hint = matches!(node.value, Value::Text(_)).then(|| "a list of one is written [value]".to_owned());
            reader.wrong_kind(node, "a list", hint);
            return None;
        };
        // The good items are kept, so that what is wrong with them as a whole is told as well.
        let read: Self = items
            .iter()
            .filter_map(|item| T::from_node(item, reader).map(|value| At { value, mark: item.mark }))
            .collect();
        (!read.is_empty() || items.is_empty()).then_some(read)
    }
}

impl<T: FromNode> FromNode for BTreeMap<String, At<T>> {
    fn from_node(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let Value::Map(entries) = &node.value else {
            reader.wrong_kind(node, "a map", None);
            return None;
        };
        let mut map = Self::new();
        for (key, value) in entries {
            let Some(read) = T::from_node(value, reader) else { continue };
            // The key is what a later check points at.
            if map.insert(key.text.clone(), At { value: read, mark: key.mark }).is_some() {
                reader.error(key.mark, format!("the key {:?} is given twice", shorten(&key.text)), None);
            }
        }
        Some(map)
    }
}
