//! The files of `domain_files`: which there are, what each said last, and whether that still holds.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{FilePattern, ListFormat, SourceList, merged, read_list_again};
use crate::{
    config::{
        diagnostic::{Diagnostic, DiagnosticSeverity},
        domains::DomainList,
        settings::{ProbeSettings, Settings},
    },
    terms::Timestamp,
};

/// Where nothing fits a pattern any more that had files, a share is more likely to be away than all domains to be gone: so long
/// their lists stand.
const EMPTY_KEPT: Duration = Duration::from_secs(600);
/// A file that is replaced by other means than a rename is away for a moment: it is gone when so many looks did not find it.
const GONE_AFTER: u8 = 2;

/// Tells one content of a file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    /// Also moves where a program sets the time of modification back.
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// One file.
#[derive(Clone, Debug, Default)]
pub struct FileState {
    /// What it said when it was last good.
    pub list: Option<Arc<SourceList>>,
    /// Why it is not good now.
    pub error: Option<Arc<Diagnostic>>,
    /// Of the content that was last read, good or not.
    read: Option<Stamp>,
    /// At the last look.
    seen: Option<Stamp>,
    missed: u8,
}

/// One pattern.
#[derive(Clone, Debug)]
struct PatternState {
    text: String,
    files: BTreeMap<PathBuf, FileState>,
    error: Option<Arc<Diagnostic>>,
    empty_since: Option<Timestamp>,
}

/// All patterns of a configuration. A copy shares the lists.
#[derive(Clone, Debug, Default)]
pub struct FilesState {
    patterns: Vec<PatternState>,
}

impl FilesState {
    /// The state for these patterns. What is known of those that stay is taken from `before`.
    #[must_use]
    pub fn following(before: &Self, patterns: &[String]) -> Self {
        let known = |text: &String| before.patterns.iter().find(|one| one.text == *text).cloned();
        let new =
            |text: &String| PatternState { text: text.clone(), files: BTreeMap::new(), error: None, empty_since: None };
        Self { patterns: patterns.iter().map(|text| known(text).unwrap_or_else(|| new(text))).collect() }
    }

    /// Looks at all files and reads those that changed; says whether a list is another one now. With `settle` a file is only read
    /// when two looks found it the same, so that one that is being written is left alone.
    pub fn look(&mut self, probe: &ProbeSettings, now: Timestamp, settle: bool) -> bool {
        let mut changed = false;
        for pattern in &mut self.patterns {
            changed |= pattern.look(probe, now, settle);
        }
        changed
    }

    /// The patterns, each with its files and why it cannot be looked through, in the order in which the files count.
    pub fn patterns(
        &self,
    ) -> impl Iterator<Item = (&str, impl Iterator<Item = (&Path, &FileState)>, Option<&Diagnostic>)> {
        self.patterns.iter().map(|pattern| {
            let files = pattern.files.iter().map(|(path, file)| (path.as_path(), file));
            (pattern.text.as_str(), files, pattern.error.as_deref())
        })
    }

    /// Every list, in the order in which they count.
    pub fn lists(&self) -> impl Iterator<Item = &Arc<SourceList>> {
        self.patterns.iter().flat_map(|pattern| pattern.files.values().filter_map(|file| file.list.as_ref()))
    }
}

impl PatternState {
    fn look(&mut self, probe: &ProbeSettings, now: Timestamp, settle: bool) -> bool {
        let pattern = FilePattern::parse(&self.text, Path::new("")).map_err(io::Error::other);
        let is_literal = pattern.as_ref().is_ok_and(FilePattern::is_literal);
        let found = pattern.and_then(|pattern| pattern.files());
        let none = match &found {
            Ok(found) => found.is_empty(),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        let told = |message: String| Some(Arc::new(Diagnostic::about(DiagnosticSeverity::Error, &self.text, message)));
        let mut changed = false;
        if none && !self.files.is_empty() {
            let since = *self.empty_since.get_or_insert(now);
            // Who reloads says that what is there is meant so; a folder that is away says nothing.
            if now.since(since) < EMPTY_KEPT && (settle || found.is_err()) {
                let message = "no file is there any more; the domains that were in the files stay for ten minutes";
                self.error = told(message.to_owned());
                return false;
            }
            self.files.clear();
            changed = true;
        }
        let found = match found {
            Ok(found) if found.is_empty() && is_literal => {
                self.error = told("there is no such file".to_owned());
                return changed;
            }
            Ok(found) => found,
            Err(error) => {
                self.error = told(format!("it cannot be read: {error}"));
                return changed;
            }
        };
        (self.error, self.empty_since) = (None, None);
        let before = self.files.len();
        self.files.retain(|path, file| {
            let there = found.binary_search(path).is_ok();
            file.missed = if there { 0 } else { file.missed.saturating_add(1) };
            there || settle && file.missed < GONE_AFTER
        });
        changed |= self.files.len() != before;
        for path in found {
            let file = self.files.entry(path.clone()).or_default();
            changed |= file.look(&path, probe, settle);
        }
        changed
    }
}

impl FileState {
    fn look(&mut self, path: &Path, probe: &ProbeSettings, settle: bool) -> bool {
        let name = path.display().to_string();
        let stamp = match Stamp::of(path) {
            Ok(stamp) => stamp,
            Err(error) => {
                let message = format!("it cannot be read: {error}");
                self.error = Some(Arc::new(Diagnostic::about(DiagnosticSeverity::Error, &name, message)));
                // It is read again when it can be.
                self.read = None;
                return false;
            }
        };
        let rests = self.seen.replace(stamp) == Some(stamp);
        if self.read == Some(stamp) || settle && !rests {
            return false;
        }
        let before = self.list.as_ref().map(|before| before.domains.clone()).unwrap_or_default();
        let read = match File::open(path) {
            Ok(file) => read_list_again(&name, ListFormat::of(path), file, probe, &before),
            Err(error) => {
                let message = format!("it cannot be read: {error}");
                Err(Box::new(Diagnostic::about(DiagnosticSeverity::Error, &name, message)))
            }
        };
        // What changed while it was read is read again.
        self.read = Some(stamp).filter(|stamp| Stamp::of(path).is_ok_and(|after| after == *stamp));
        match read {
            Ok(list) => {
                let changed = self.list.is_none() || !list.domains.is_same(&before);
                self.list = Some(Arc::new(list));
                self.error = None;
                changed
            }
            Err(error) => {
                self.error = Some(Arc::from(error));
                false
            }
        }
    }
}

/// What one source has, for people.
#[derive(Clone, Debug)]
pub struct SourceReport {
    /// The file.
    pub name: String,
    /// What it says; nothing where it cannot be used.
    pub list: Option<Arc<SourceList>>,
    /// So many of its domains are given by a source before it.
    pub given_before: usize,
    /// Why it cannot be used.
    pub error: Option<Arc<Diagnostic>>,
}

impl SourceReport {
    /// In one line.
    pub fn line(&self) -> String {
        let Some(list) = &self.list else { return format!("{}: cannot be used", self.name) };
        let counted = |count: usize, one: &str, many: &str| match count {
            0 => String::new(),
            1 => format!(", {count} {one}"),
            _ => format!(", {count} {many}"),
        };
        format!(
            "{}: {} domain{}{}{}{}",
            self.name,
            list.domains.len(),
            if list.domains.len() == 1 { "" } else { "s" },
            counted(self.given_before, "of them is given before", "of them are given before"),
            counted(list.repeated, "entry repeats one", "entries repeat one"),
            counted(list.skipped, "entry cannot be used", "entries cannot be used"),
        )
    }
}

/// Reads the files of `domain_files` once and adds their domains to the settings, whose own come first. Says what each file has.
pub fn with_files(settings: &mut Settings, now: Timestamp) -> Vec<SourceReport> {
    let mut files = FilesState::following(&FilesState::default(), &settings.domain_files);
    files.look(&settings.probe, now, false);
    let lists: Vec<&DomainList> =
        std::iter::once(&settings.domains).chain(files.lists().map(|list| &list.domains)).collect();
    let (domains, given_before) = merged(&lists);
    let mut given_before = given_before.into_iter().skip(1);
    let mut reports = Vec::new();
    for (text, of_pattern, error) in files.patterns() {
        if let Some(error) = error {
            let error = Some(Arc::new(error.clone()));
            reports.push(SourceReport { name: text.to_owned(), list: None, given_before: 0, error });
        }
        for (path, file) in of_pattern {
            reports.push(SourceReport {
                name: path.display().to_string(),
                list: file.list.clone(),
                given_before: file.list.as_ref().and_then(|_| given_before.next()).unwrap_or(0),
                error: file.error.clone(),
            });
        }
    }
    settings.domains = domains;
    reports
}
