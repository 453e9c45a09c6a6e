//! Maildirs and folders of files: each is taken up once it is whole, and goes only after the store's commit.
//!
//! In a maildir a mail that is done with moves to `cur` and is marked as seen; mails that are marked so are left alone. In any other
//! folder a file that is done with is deleted. Whoever is killed in between takes it up again: it counts once.

use std::{
    collections::HashSet,
    fs::{self, DirBuilder, File},
    io::{self, Read},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use futures_util::future::join_all;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{Intake, RawReport, Receipt};
use crate::{
    facts::Transport,
    protocol::tls_rpt::{JSON_MOST, MAIL_MOST, RefusalReason},
    terms::Timestamp,
};

/// How often it is seen whether a folder changed.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How often all of it is looked through: some file systems do not tell of changes, and what had to wait is tried again.
const LOOK_ALL_EVERY: Duration = Duration::from_secs(60);
/// A file that was written to within this time may still grow.
const SETTLED_AFTER: Duration = Duration::from_secs(1);
/// So many files are under way at once …
const FILES_AT_ONCE: usize = 64;
/// … and about so many bytes of them.
const BYTES_AT_ONCE: u64 = 16 << 20;
/// A larger file is neither report nor mail, and is not read.
const FILE_MOST: usize = if JSON_MOST > MAIL_MOST { JSON_MOST } else { MAIL_MOST };
/// The mark of a mail in a maildir that somebody has seen, and where the marks of a name begin.
const SEEN: char = 'S';
const MARKS: &str = ":2,";

/// Makes the monitor's own folder, and watches it until it is told to stop.
pub(crate) async fn watch_own(intake: Intake, folder: PathBuf, stop: CancellationToken) {
    let own = folder.clone();
    let made = tokio::task::spawn_blocking(move || DirBuilder::new().recursive(true).mode(0o750).create(own)).await;
    if let Ok(Err(error)) = made {
        tracing::warn!(folder = %folder.display(), %error, "the folder of reports that are handed in cannot be made");
    }
    watch(intake, folder, stop).await;
}

/// Watches a folder until it is told to stop. One that is not there is waited for.
pub(crate) async fn watch(intake: Intake, folder: PathBuf, stop: CancellationToken) {
    let mut watched = Watched::new(folder);
    let mut next = Instant::now();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep_until(next) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = watched.look(&intake) => {}
        }
        next = Instant::now() + LOOK_EVERY;
    }
}

struct Watched {
    folder: PathBuf,
    /// When each of its folders changed last, as it was when they were looked through.
    seen: Vec<Option<SystemTime>>,
    looked_at: Option<Instant>,
    /// Something was not whole yet.
    unsettled: bool,
    /// Files that were done with and could not be moved or deleted, or that are of no use. They are left alone.
    done: HashSet<PathBuf>,
    /// It was told that the folder cannot be read.
    told: bool,
}

/// A file that can be taken up.
#[derive(Debug)]
struct Found {
    path: PathBuf,
    bytes: u64,
    changed: SystemTime,
}

/// What a look through the folder found.
#[derive(Debug, Default)]
struct Look {
    files: Vec<Found>,
    /// Everything that is there.
    present: HashSet<PathBuf>,
    unsettled: bool,
}

impl Watched {
    fn new(folder: PathBuf) -> Self {
        Self { folder, seen: Vec::new(), looked_at: None, unsettled: false, done: HashSet::new(), told: false }
    }

    async fn look(&mut self, intake: &Intake) {
        // Without a store nothing could be taken.
        if !intake.is_open() {
            return;
        }
        let folder = self.folder.clone();
        let Ok(seen) = tokio::task::spawn_blocking(move || changes(&folder)).await else { return };
        let all = self.looked_at.is_none_or(|at| at.elapsed() >= LOOK_ALL_EVERY);
        if seen == self.seen && !all && !self.unsettled {
            return;
        }
        let (folder, done) = (self.folder.clone(), self.done.clone());
        let look = match tokio::task::spawn_blocking(move || look_through(&folder, &done)).await {
            Ok(Ok(look)) => look,
            Ok(Err(error)) => return self.unreadable(&error),
            Err(error) => return tracing::error!(%error, "a folder of reports could not be looked through"),
        };
        self.told = false;
        self.done.retain(|path| look.present.contains(path));
        self.unsettled = look.unsettled;
        self.looked_at = Some(Instant::now());
        self.seen = seen;
        let mut rest = look.files.into_iter().peekable();
        while rest.peek().is_some() {
            let mut bytes = 0;
            let mut some = Vec::new();
            while some.len() < FILES_AT_ONCE
                && let Some(next) = rest.next_if(|next| bytes == 0 || bytes + next.bytes <= BYTES_AT_ONCE)
            {
                bytes += next.bytes;
                some.push(next);
            }
            let ended = join_all(some.into_iter().map(|found| take_up(intake, found))).await;
            self.done.extend(ended.into_iter().flatten());
        }
    }

    /// Told once: whoever sets up the folder later is not to find a thousand lines.
    fn unreadable(&mut self, error: &io::Error) {
        if !self.told {
            tracing::warn!(folder = %self.folder.display(), %error, "a folder of reports cannot be read; it is tried again");
        }
        self.told = true;
    }
}

/// Takes up a file. Returns its path where it stays, and is not to be taken up again.
async fn take_up(intake: &Intake, found: Found) -> Option<PathBuf> {
    let path = found.path.clone();
    if found.bytes > FILE_MOST as u64 {
        tracing::warn!(file = %path.display(), bytes = found.bytes, most = FILE_MOST, "a file is too large for a report; it is left where it is");
        intake.count_refused(RefusalReason::TooLarge);
        return Some(path);
    }
    let reading = tokio::task::spawn_blocking(move || read(&found)).await;
    let raw = match reading {
        Ok(Ok(Some(raw))) => raw,
        // It was taken away, or is written to again.
        Ok(Ok(None)) => return None,
        Ok(Err(error)) => {
            tracing::warn!(file = %path.display(), %error, "a file of reports cannot be read; it is left where it is");
            return Some(path);
        }
        Err(error) => {
            tracing::error!(%error, "a file of reports could not be read");
            return None;
        }
    };
    match intake.submit(raw).await {
        Receipt::Taken(_) | Receipt::Refused(_) => {
            let done = path.clone();
            let disposed = tokio::task::spawn_blocking(move || dispose(&done)).await;
            match disposed {
                Ok(Ok(())) => None,
                Ok(Err(error)) => {
                    tracing::warn!(file = %path.display(), %error, "a file that is done with cannot be moved or deleted; it is left alone");
                    Some(path)
                }
                Err(_) => Some(path),
            }
        }
        Receipt::Later(postponed) => {
            tracing::debug!(file = %path.display(), why = %postponed, "a report has to wait");
            None
        }
    }
}

/// The folders that are looked into.
fn folders(folder: &Path) -> Vec<PathBuf> {
    let parts = ["new", "cur", "tmp"].map(|part| folder.join(part));
    match parts.iter().all(|part| part.is_dir()) {
        // Mails are written in tmp, and moved when they are whole.
        true => parts.into_iter().take(2).collect(),
        false => vec![folder.to_owned()],
    }
}

fn changes(folder: &Path) -> Vec<Option<SystemTime>> {
    folders(folder).iter().map(|one| fs::metadata(one).and_then(|metadata| metadata.modified()).ok()).collect()
}

fn look_through(folder: &Path, done: &HashSet<PathBuf>) -> io::Result<Look> {
    let mut look = Look::default();
    for folder in folders(folder) {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let path = entry.path();
            let name = entry.file_name();
            if name.as_encoded_bytes().starts_with(b".") || is_seen(&path) {
                continue;
            }
            // Of the entry itself: links are not followed.
            let Ok(metadata) = entry.metadata() else { continue };
            if !metadata.is_file() {
                continue;
            }
            look.present.insert(path.clone());
            let changed = metadata.modified()?;
            if done.contains(&path) {
                continue;
            }
            // One from the future is not waited for.
            if changed.elapsed().is_ok_and(|age| age < SETTLED_AFTER) && !is_in_maildir(&path) {
                look.unsettled = true;
                continue;
            }
            look.files.push(Found { path, bytes: metadata.len(), changed });
        }
    }
    // What came first is taken first.
    look.files.sort_by(|one, other| (one.changed, &one.path).cmp(&(other.changed, &other.path)));
    Ok(look)
}

/// Reads a file that is still the one that was found; nothing where it is another one.
fn read(found: &Found) -> io::Result<Option<RawReport>> {
    let before = match fs::symlink_metadata(&found.path) {
        Ok(metadata) if metadata.is_file() => metadata,
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let file = File::open(&found.path)?;
    let opened = file.metadata()?;
    // Between the look and the opening a link may have taken its place.
    if (opened.dev(), opened.ino()) != (before.dev(), before.ino()) || opened.len() != found.bytes {
        return Ok(None);
    }
    let mut bytes = Vec::with_capacity(usize::try_from(found.bytes).unwrap_or(0));
    file.take(found.bytes.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != found.bytes {
        return Ok(None);
    }
    let name = found.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let in_maildir = is_in_maildir(&found.path);
    Ok(Some(RawReport {
        bytes: bytes.into(),
        transport: if in_maildir { Transport::Mail } else { Transport::File },
        source: found.path.display().to_string(),
        media_type: None,
        // The name of a mail in a maildir says nothing of what is in it.
        file_name: (!in_maildir).then_some(name),
        waiting_since: Some(Timestamp::from(found.changed)),
    }))
}

/// Moves or deletes what is done with.
fn dispose(path: &Path) -> io::Result<()> {
    let moved = match seen(path) {
        Some(seen) => fs::rename(path, seen),
        None => fs::remove_file(path),
    };
    match moved {
        // Somebody was faster.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn is_in_maildir(path: &Path) -> bool {
    let folder = path.parent();
    let in_part = folder.and_then(Path::file_name).is_some_and(|name| name == "new" || name == "cur");
    in_part && folder.and_then(Path::parent).is_some_and(|maildir| maildir.join("tmp").is_dir())
}

/// The marks of a mail in a maildir.
fn marks(path: &Path) -> Option<(&str, &str)> {
    path.file_name()?.to_str()?.split_once(MARKS)
}

fn is_seen(path: &Path) -> bool {
    is_in_maildir(path) && marks(path).is_some_and(|(_, marks)| marks.contains(SEEN))
}

/// Where a mail of a maildir goes when it is done with; nothing for other files.
fn seen(path: &Path) -> Option<PathBuf> {
    if !is_in_maildir(path) {
        return None;
    }
    let maildir = path.parent()?.parent()?;
    let name = path.file_name()?.to_string_lossy();
    let (name, marks) = name.split_once(MARKS).unwrap_or((&name, ""));
    // Marks stand in the order of the alphabet.
    let mut marks: Vec<char> = marks.chars().chain([SEEN]).collect();
    marks.sort_unstable();
    marks.dedup();
    let marks: String = marks.into_iter().collect();
    Some(maildir.join("cur").join(format!("{name}{MARKS}{marks}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_that_is_done_with_is_marked_in_cur() {
        let maildir = tempfile::tempdir().unwrap();
        for part in ["new", "cur", "tmp"] {
            fs::create_dir(maildir.path().join(part)).unwrap();
        }
        let at = |name: &str| maildir.path().join(name);
        for (before, after) in [
            ("new/1.M1.host", "cur/1.M1.host:2,S"),
            ("cur/1.M1.host:2,", "cur/1.M1.host:2,S"),
            ("cur/1.M1.host:2,RT", "cur/1.M1.host:2,RST"),
            ("new/1.M1.host:2,F", "cur/1.M1.host:2,FS"),
        ] {
            assert_eq!(seen(&at(before)), Some(at(after)), "{before}");
            fs::write(at(before), "x").unwrap();
            assert!(!is_seen(&at(before)) && is_seen(&at(after)));
            dispose(&at(before)).unwrap();
            assert_eq!(fs::read(at(after)).unwrap(), b"x");
            fs::remove_file(at(after)).unwrap();
        }
        dispose(&at("new/gone")).unwrap();
        assert_eq!(seen(&at("report:2,.json")), None, "not in a maildir");
    }

    #[cfg(unix)]
    #[test]
    fn only_whole_files_of_this_folder_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let old = SystemTime::now() - Duration::from_secs(60);
        let write = |name: &str, changed: SystemTime| {
            let file = File::create(at(name)).unwrap();
            file.set_modified(changed).unwrap();
        };
        write("b.json", old);
        write("a.json", old - Duration::from_secs(1));
        write(".hidden.json", old);
        write("growing.json", SystemTime::now());
        write("done.json", old);
        write("future.json", SystemTime::now() + Duration::from_secs(3600));
        fs::create_dir(at("folder")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", at("link.json")).unwrap();
        let look = look_through(folder.path(), &HashSet::from([at("done.json"), at("gone.json")])).unwrap();
        let found: Vec<_> = look.files.iter().map(|found| found.path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(found, ["a.json", "b.json", "future.json"]);
        assert!(look.unsettled && look.present.contains(&at("done.json")));
    }

    #[test]
    fn a_file_that_became_another_one_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        fs::write(&path, "{}").unwrap();
        let found = |bytes| Found { path: path.clone(), bytes, changed: SystemTime::now() };
        assert_eq!(read(&found(2)).unwrap().unwrap().bytes, "{}");
        assert!(read(&found(1)).unwrap().is_none() && read(&found(3)).unwrap().is_none(), "it grew or shrank");
        fs::remove_file(&path).unwrap();
        assert!(read(&found(2)).unwrap().is_none());
        std::os::unix::fs::symlink("/etc/hostname", &path).unwrap();
        assert!(read(&found(2)).unwrap().is_none(), "a link took its place");
    }
}
