//! A list of domains beside the configuration: JSON, plain and YAML.

use std::{
    collections::BTreeSet,
    io::{self, Read},
};

use serde_json::Value;
use smtptls_exporter::{
    config::{
        ProbeSettings,
        inventory::{ListFormat, SourceList, read_list},
    },
    terms::PolicyDomain,
};

/// Longer lines of a plain list are read over.
const LONGEST: usize = 1024;

/// The same bytes in each form.
pub fn domain_list(bytes: &[u8]) {
    for format in [ListFormat::Json, ListFormat::Plain, ListFormat::Yaml] {
        let list = read(bytes, format);
        check(bytes, &list);
        let (mine, plainly) = match format {
            ListFormat::Json => (list.ok(), json(bytes)),
            ListFormat::Plain => (list.ok(), plain(bytes)),
            ListFormat::Yaml => continue,
        };
        let Some((names, bad)) = plainly else { continue };
        match mine {
            Some(mine) => {
                let read: Vec<&str> = mine.domains.iter().map(|one| one.domain.as_str()).collect();
                let mut seen = BTreeSet::new();
                let distinct: Vec<&str> = names.iter().map(String::as_str).filter(|name| seen.insert(*name)).collect();
                assert_eq!(read, distinct, "{format:?}");
                assert_eq!((mine.skipped, mine.repeated), (bad, names.len() - distinct.len()), "{format:?}");
            }
            None => assert!(names.is_empty() && bad > 0, "{format:?}: a list with names is refused: {names:?}"),
        }
    }
}

fn read(bytes: &[u8], format: ListFormat) -> Result<SourceList, String> {
    let probe = ProbeSettings::default();
    let whole = read_list("test", format, bytes, &probe);
    let by_bytes = read_list("test", format, ByByte(bytes), &probe);
    match (&whole, &by_bytes) {
        (Ok(one), Ok(other)) => assert_eq!(one.domains, other.domains),
        (one, other) => assert_eq!(one.as_ref().err(), other.as_ref().err()),
    }
    whole.map_err(|error| {
        assert!(!error.message.is_empty() && !error.message.chars().any(char::is_control), "{error:?}");
        assert!(!error.render(false).chars().any(|c| c.is_control() && c != '\n'));
        error.message
    })
}

fn check(bytes: &[u8], list: &Result<SourceList, String>) {
    let Ok(list) = list else { return };
    assert!(list.told.len() <= 5);
    let lines = bytes.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count() + 1;
    for one in &list.told {
        assert!(one.location.is_none_or(|at| (1..=lines).contains(&at.line) && at.column >= 1), "{one:?}");
        assert!(!one.message.chars().any(char::is_control), "{one:?}");
    }
    for one in &list.domains {
        assert!(list.domains.named(one.domain.as_str()).is_some_and(|found| found == one));
    }
}

/// A second reading of a plain list: the names, and how many lines have none; nothing where a line is too long.
fn plain(bytes: &[u8]) -> Option<(Vec<String>, usize)> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let (mut names, mut bad) = (Vec::new(), 0);
    for line in bytes.split(|byte| *byte == b'\n') {
        // The mark in front may count as well.
        if line.len() > LONGEST - 3 {
            return None;
        }
        let Ok(text) = std::str::from_utf8(line) else {
            bad += 1;
            continue;
        };
        let name = text.split('#').next().unwrap().trim();
        match PolicyDomain::parse(name) {
            _ if name.is_empty() => {}
            Ok(domain) => names.push(domain.as_str().to_owned()),
            Err(_) => bad += 1,
        }
    }
    Some((names, bad))
}

/// A second reading of JSON, over a tree. Nothing where it is no list of names and target groups, or an entry has more than those.
fn json(bytes: &[u8]) -> Option<(Vec<String>, usize)> {
    let Value::Array(items) = serde_json::from_slice(bytes).ok()? else { return None };
    // The tree keeps the last of two keys that are the same.
    if String::from_utf8_lossy(bytes).matches("targets").count() > items.len() || bytes.contains(&b'\\') {
        return None;
    }
    let (mut names, mut bad) = (Vec::new(), 0);
    let mut name = |value: &Value| match value.as_str().map(PolicyDomain::parse) {
        Some(Ok(domain)) => names.push(domain.as_str().to_owned()),
        _ => bad += 1,
    };
    for item in &items {
        match item {
            Value::Object(group) => {
                if !group.keys().all(|key| key == "targets" || key == "labels") || !group.contains_key("targets") {
                    return None;
                }
                let labels = group.get("labels");
                let labels = labels.is_none_or(|labels| {
                    labels.as_object().is_some_and(|labels| {
                        labels.len() < 50 && labels.iter().all(|(key, value)| key.len() < 1000 && value.is_string())
                    })
                });
                if !labels {
                    return None;
                }
                group.get("targets")?.as_array()?.iter().for_each(&mut name);
            }
            other => name(other),
        }
    }
    Some((names, bad))
}

/// Gives one byte at a time.
struct ByByte<'a>(&'a [u8]);

impl Read for ByByte<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let one = buffer.len().min(1);
        self.0.read(&mut buffer[..one])
    }
}
