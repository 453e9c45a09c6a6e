//! Parameters of queries: tables that say what there is, the reading of a query by such a table, and the values that several have
//! in common. The description of the API is made of the same tables.

use std::num::IntErrorKind;

use crate::terms::Timestamp;

/// A parameter of a query.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    /// What it does, in one line.
    pub(super) says: &'static str,
    pub(super) kind: Kind,
}

/// What a value can be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// Any text.
    Text,
    /// One of these words.
    Word(fn() -> Vec<&'static str>),
    /// A whole number from 1 on.
    Number { most: usize, default: usize },
    /// A point in time.
    Time,
    /// `true` or `false`.
    Flag,
    /// The `next` of an answer before.
    Place,
}

/// What [`time`] reads.
pub(super) const TIME: &str = "an RFC 3339 time such as 2026-11-01T00:00:00Z, or whole seconds since 1970";
/// What a [`Kind::Place`] is.
pub(super) const PLACE: &str = "the \"next\" of an answer before";

/// Hands each parameter of a query to `take`, which says what it expected where a value is wrong. Each may stand there once, and none
/// that the table does not have: a program that writes a name wrong must not take the answer for what it asked.
pub(super) fn read(
    query: &str,
    table: &[&[Parameter]],
    mut take: impl FnMut(&str, &str) -> Result<(), String>,
) -> Result<(), String> {
    let mut seen = Vec::new();
    for (name, value) in pairs(query) {
        if !table.iter().copied().flatten().any(|known| known.name == name) {
            let names: Vec<&str> = table.iter().copied().flatten().map(|known| known.name).collect();
            return Err(format!("{name}: no such parameter; expected {}", names.join(", ")));
        }
        if seen.contains(&name) {
            return Err(format!("{name}: it is there twice; expected once"));
        }
        seen.push(name);
        let wrong = |expected: String| format!("{name}={value}: expected {expected}");
        let encoding = || wrong("UTF-8 text with two hexadecimal digits after each %".to_owned());
        take(name, &decoded(value).ok_or_else(encoding)?).map_err(wrong)?;
    }
    Ok(())
}

/// The parameters of a query and their values, as they stand there.
pub(super) fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// A whole number from 1 to `most`.
pub(super) fn number(text: &str, most: usize) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| format!("a whole number from 1 to {most}"))
}

/// A point in time.
pub(super) fn time(text: &str) -> Result<Timestamp, String> {
    let time = match text.parse::<i64>() {
        Ok(seconds) => Some(Timestamp::from_unix_seconds(seconds)),
        Err(error) if *error.kind() == IntErrorKind::InvalidDigit => text.parse().ok(),
        Err(_) => None,
    };
    time.ok_or_else(|| TIME.to_owned())
}

/// Whichever of the values has this word.
pub(super) fn one_of<T: Copy>(text: &str, known: &[T], word: fn(T) -> &'static str) -> Result<T, String> {
    let found = known.iter().copied().find(|value| word(*value) == text);
    found.ok_or_else(|| {
        let words: Vec<&str> = known.iter().copied().map(word).collect();
        format!("one of {}", words.join(", "))
    })
}

/// A part of a request target without its percent-encoding (RFC 3986 §2.1). A plus stays one: it stands in times.
pub(super) fn decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut plain = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            plain.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let value = digit()? * 16 + digit()?;
        plain.push(u8::try_from(value).ok()?);
    }
    String::from_utf8(plain).ok()
}

/// A text as the value of a parameter, for programs and pages alike.
pub(super) fn encoded(text: &str) -> String {
    let mut value = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => value.push(char::from(byte)),
            _ => value.push_str(&format!("%{byte:02X}")),
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TABLE: &[&[Parameter]] = &[&[Parameter { name: "a", says: "A text", kind: Kind::Text }]];

    proptest! {
        #[test]
        fn what_was_encoded_is_read_as_it_was(text in ".+") {
            let query = format!("a={}", encoded(&text));
            let mut seen = None;
            read(&query, TABLE, |_, value| { seen = Some(value.to_owned()); Ok(()) }).unwrap();
            prop_assert_eq!(seen.as_deref(), Some(text.as_str()));
        }
    }
}
