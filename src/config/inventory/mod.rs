//! Domains that are listed outside of the configuration file: Prometheus file_sd and http_sd, entries as under `domains`, plain
//! names.
//!
//! Such a list is written by another program, and may have a million entries. It is read as a stream, one bad entry loses itself
//! and no other, and a list that is broken as a whole is refused as a whole, so that the one before can stay.

mod files;
mod gather;
mod json;
mod pattern;
mod plain;
mod tree;

use std::{io::Read, path::Path};

use self::gather::{Fault, Gathering};
pub use self::{
    files::{FileState, FilesState, SourceReport, with_files},
    gather::{MAX_LISTED, SourceList},
    pattern::FilePattern,
};
use super::{
    diagnostic::{Diagnostic, DiagnosticSeverity},
    domains::DomainList,
    settings::ProbeSettings,
};

/// How a list is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListFormat {
    /// A JSON array; read as a stream.
    Json,
    /// A YAML list; read as a tree, which takes many times the time and memory of the others.
    Yaml,
    /// A name a line, with comments behind #; read as a stream.
    Plain,
}

impl ListFormat {
    /// That of a file, by the ending of its name as in Prometheus: `.json`, `.yml`, `.yaml`; whatever else is a plain list.
    pub fn of(path: &Path) -> Self {
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
        match ending.as_deref() {
            Some("json") => Self::Json,
            Some("yml" | "yaml") => Self::Yaml,
            _ => Self::Plain,
        }
    }
}

/// Reads a list. `name` stands in what is told of it; `probe` bounds the intervals of its entries.
///
/// # Errors
/// What is wrong with the list as a whole, and where: it cannot be read, is no such list, has too many entries, or none of its
/// entries can be used.
pub fn read_list(
    name: &str,
    format: ListFormat,
    from: impl Read,
    probe: &ProbeSettings,
) -> Result<SourceList, Box<Diagnostic>> {
    read_list_again(name, format, from, probe, &DomainList::default())
}

/// The same of a list that was read before: what still stands in it shares its memory, and where nothing differs its domains are those of
/// `before` ([`DomainList::is_same`]).
///
/// # Errors
/// As [`read_list`].
pub fn read_list_again(
    name: &str,
    format: ListFormat,
    from: impl Read,
    probe: &ProbeSettings,
    before: &DomainList,
) -> Result<SourceList, Box<Diagnostic>> {
    let mut gathering = Gathering::new(name, probe, before);
    let read = match format {
        ListFormat::Json => json::read(from, &mut gathering),
        ListFormat::Yaml => tree::read(from, &mut gathering),
        ListFormat::Plain => plain::read(from, &mut gathering),
    };
    read.and_then(|()| gathering.finish()).map_err(|Fault { at, message }| {
        Box::new(match at {
            Some(at) => Diagnostic::at(DiagnosticSeverity::Error, name, at, message),
            None => Diagnostic::about(DiagnosticSeverity::Error, name, message),
        })
    })
}

/// The domains of all sources as one list, and how many of each source are not in it by that source, because one before it gives
/// them already. The order of the sources decides: the configuration file, its files in their order, then its URLs.
pub fn merged(sources: &[&DomainList]) -> (DomainList, Vec<usize>) {
    DomainList::joined(sources)
}
