//! A name a line. What follows a # is a comment.

use std::io::{BufRead, BufReader, Read};

use super::gather::{Fault, Gathering};
use crate::config::diagnostic::Location;

/// A name has 253 characters, and a comment behind it is short; what is longer is read over and not kept.
const LONGEST: usize = 1024;

pub(super) fn read(from: impl Read, list: &mut Gathering<'_>) -> Result<(), Fault> {
    let mut from = BufReader::with_capacity(64 * 1024, from);
    let (mut kept, mut line) = (Vec::with_capacity(LONGEST), 0);
    loop {
        line += 1;
        kept.clear();
        let whole = take_line(&mut from, &mut kept).map_err(|error| Fault {
            at: (line > 1).then_some(Location { line, column: 1 }),
            message: format!("it cannot be read: {error}"),
        })?;
        let Some(whole) = whole else { return Ok(()) };
        // Editors of Windows put a mark in front of UTF-8.
        let bytes = if line == 1 { kept.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&kept) } else { &kept };
        let Ok(text) = std::str::from_utf8(bytes) else {
            list.skip(Location { line, column: 1 }, "the line is not UTF-8")?;
            continue;
        };
        let name = text.split_once('#').map_or(text, |(name, _)| name);
        let column = name.chars().take_while(|letter| letter.is_whitespace()).count() + 1;
        let at = Location { line, column };
        match name.trim() {
            // A comment may be as long as it likes.
            "" if whole || text.contains('#') => {}
            _ if !whole && !text.contains('#') => {
                list.skip(at, format!("the line is longer than {LONGEST} bytes"))?;
            }
            name => list.name(name, at)?,
        }
    }
}

/// The next line without its end, or as much of it as is kept; whether that is all of it; nothing at the end.
fn take_line(from: &mut impl BufRead, kept: &mut Vec<u8>) -> std::io::Result<Option<bool>> {
    let (mut any, mut whole) = (false, true);
    loop {
        let buffer = match from.fill_buf() {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if buffer.is_empty() {
            return Ok(any.then_some(whole));
        }
        any = true;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let part = end.and_then(|end| buffer.get(..end)).unwrap_or(buffer);
        let room = LONGEST.saturating_sub(kept.len());
        whole &= part.len() <= room;
        let mut fitting = part.get(..room).unwrap_or(part);
        // A letter that is cut in two would make the rest no UTF-8.
        if !whole {
            while fitting.last().is_some_and(|byte| *byte >= 0x80) {
                fitting = fitting.split_last().map_or(&[], |(_, rest)| rest);
            }
        }
        kept.extend_from_slice(fitting);
        let used = part.len() + usize::from(end.is_some());
        from.consume(used);
        if end.is_some() {
            return Ok(Some(whole));
        }
    }
}
