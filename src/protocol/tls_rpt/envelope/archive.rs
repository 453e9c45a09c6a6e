//! The one report in a zip archive (REP-08). Not more than that: names are read as names and never as paths, nothing is written, and an
//! archive within an archive stays closed.

use flate2::{Crc, Decompress};

use super::gzip::{bad, inflate_into};
use crate::protocol::tls_rpt::{JSON_MOST, Quirk, Refusal, RefusalReason, report::Seen};

/// The end record stands behind all, before a comment of 65,535 bytes at most (APPNOTE 4.3.16).
const END_RECORD: usize = 22;
const COMMENT_MOST: usize = 65_535;

/// So many entries are looked at: an archive with a report has one.
const ENTRIES_MOST: usize = 100;

/// An entry of the central directory (APPNOTE 4.3.12).
struct Entry<'a> {
    encrypted: bool,
    method: u16,
    crc: u32,
    compressed: usize,
    size: usize,
    offset: usize,
    name: &'a [u8],
}

/// Unpacks the first entry that can be a report.
pub(super) fn unzip(
    inflate: &mut Decompress,
    archive: &[u8],
    output: &mut Vec<u8>,
    quirks: &mut Seen,
) -> Result<(), Refusal> {
    output.clear();
    quirks.add(Quirk::Zip);
    let entries = entries(archive).ok_or_else(|| bad("the zip archive has no readable directory"))?;
    let mut plausible = entries.iter().filter(|entry| entry.is_plausible());
    let Some(entry) = plausible.next() else {
        return Err(bad("the zip archive holds no file"));
    };
    if plausible.next().is_some() {
        quirks.add(Quirk::TrailingData);
    }
    if entry.encrypted {
        return Err(bad("the file in the zip archive is encrypted"));
    }
    if entry.size > JSON_MOST {
        let detail = format!("the file in the zip archive has {} bytes; at most {JSON_MOST} were expected", entry.size);
        return Err(Refusal::new(RefusalReason::TooLarge, detail));
    }
    let data = entry.data(archive).ok_or_else(|| bad("the zip archive is cut off or damaged"))?;
    match entry.method {
        0 if data.len() > JSON_MOST => {
            return Err(Refusal::new(RefusalReason::TooLarge, "the file in the zip archive is too large"));
        }
        0 => output.extend_from_slice(data),
        8 => {
            inflate_into(inflate, data, output)?;
        }
        other => return Err(bad(format!("the zip archive uses compression method {other}; 0 or 8 was expected"))),
    }
    let mut crc = Crc::new();
    crc.update(output);
    if crc.sum() != entry.crc {
        return Err(bad("the file in the zip archive is damaged: its checksum (CRC-32) is another"));
    }
    Ok(())
}

impl<'a> Entry<'a> {
    /// No folder, and not what a Mac adds to an archive.
    fn is_plausible(&self) -> bool {
        !self.name.ends_with(b"/") && !self.name.starts_with(b"__MACOSX/")
    }

    /// Its bytes: behind the local header, whose own sizes may be left open (APPNOTE 4.3.7).
    fn data(&self, archive: &'a [u8]) -> Option<&'a [u8]> {
        let local = archive.get(self.offset..)?;
        if !local.starts_with(b"PK\x03\x04") {
            return None;
        }
        let start = 30 + usize::from(number16(local, 26)?) + usize::from(number16(local, 28)?);
        local.get(start..start.checked_add(self.compressed)?)
    }
}

fn entries(archive: &[u8]) -> Option<Vec<Entry<'_>>> {
    let from = archive.len().saturating_sub(END_RECORD + COMMENT_MOST);
    let tail = archive.get(from..)?;
    let end = from + tail.windows(4).rposition(|bytes| bytes == b"PK\x05\x06")?;
    let end = archive.get(end..)?;
    let count = usize::from(number16(end, 10)?).min(ENTRIES_MOST);
    let mut rest = archive.get(number32(end, 16)?..)?;
    let mut entries = Vec::new();
    for _ in 0..count {
        if !rest.starts_with(b"PK\x01\x02") {
            return None;
        }
        let name = usize::from(number16(rest, 28)?);
        let extra = usize::from(number16(rest, 30)?);
        let comment = usize::from(number16(rest, 32)?);
        entries.push(Entry {
            encrypted: number16(rest, 8)? & 1 != 0,
            method: number16(rest, 10)?,
            crc: u32::try_from(number32(rest, 16)?).ok()?,
            compressed: number32(rest, 20)?,
            size: number32(rest, 24)?,
            offset: number32(rest, 42)?,
            name: rest.get(46..46 + name)?,
        });
        rest = rest.get(46 + name + extra + comment..)?;
    }
    Some(entries)
}

fn number16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn number32(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?)).ok()
}
