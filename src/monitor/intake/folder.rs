//! Maildirs and folders of files: each is taken up once it is whole, and goes only after the store's commit.
//!
//! In a maildir a mail that is done with moves to `cur` and is marked as seen; mails that are marked so are left alone. In any other
//! folder a file that is done with is deleted. Whoever is killed in between takes it up again: it counts once. Only the very file that
//! was read is moved or deleted: one that took its place, or was written to since, is taken up anew.

use std::{
    collections::HashMap,
    fs::{self, DirBuilder, File, Metadata},
    io::{self, Read},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use futures_util::future::join_all;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{
    Intake, RawReport, Receipt,
    open::{Opened, open},
};
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
/// What does not show by itself that it is whole rests so long before it is refused or deleted: a slow copy (scp, rsync --inplace)
/// may stand still for a while.
const REFUSED_REST: Duration = Duration::from_secs(60);
/// So many files are under way at once …
const FILES_AT_ONCE: usize = 64;
/// … and about so many bytes of them.
const BYTES_AT_ONCE: u64 = 16 << 20;
/// A larger file is neither report nor mail, and is not read.
const FILE_MOST: usize = if JSON_MOST > MAIL_MOST { JSON_MOST } else { MAIL_MOST };
/// open(2): does not wait for whoever writes into a pipe; of no effect on files.
#[cfg(any(target_os = "linux", target_os = "android"))]
const O_NONBLOCK: i32 = 0o4000;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const O_NONBLOCK: i32 = 0x4;
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
    // What is handed in gets its name only when it is whole.
    watch_resting(intake, folder, Duration::ZERO, stop).await;
}

/// Watches a folder until it is told to stop. One that is not there is waited for.
pub(crate) async fn watch(intake: Intake, folder: PathBuf, stop: CancellationToken) {
    watch_resting(intake, folder, REFUSED_REST, stop).await;
}

async fn watch_resting(intake: Intake, folder: PathBuf, rest: Duration, stop: CancellationToken) {
    let mut watched = Watched::new(folder, rest);
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
    known: Known,
    /// It was told that the folder cannot be read.
    told: bool,
}

/// What is known of files that are still there as they were.
#[derive(Clone, Debug)]
struct Known {
    /// How long rests what may not be whole.
    rest: Duration,
    /// Files that were done with and could not be moved or deleted, or that are of no use. They are left alone.
    done: HashMap<PathBuf, Print>,
    /// Files that could not be read, which was told. They are tried again when all is looked through.
    unreadable: HashMap<PathBuf, Print>,
    /// Files that do not show that they are whole. They are not read again before they rested.
    resting: HashMap<PathBuf, Print>,
    /// Files with a time that is still to come, and since when they are as they are: their own time says nothing of that.
    ahead: HashMap<PathBuf, (Print, Instant)>,
}

/// By what a file is known again. It differs where another file took its place, and where it was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Print {
    device: u64,
    inode: u64,
    bytes: u64,
    changed: SystemTime,
}

impl Print {
    fn of(metadata: &Metadata) -> io::Result<Self> {
        let changed = metadata.modified()?;
        Ok(Self { device: metadata.dev(), inode: metadata.ino(), bytes: metadata.len(), changed })
    }
}

/// A file that can be taken up.
#[derive(Clone, Debug)]
struct Found {
    path: PathBuf,
    print: Print,
    /// Nobody writes to it any more, as far as can be told by its age and its place.
    rested: bool,
}

/// What a look through the folder found.
#[derive(Debug, Default)]
struct Look {
    files: Vec<Found>,
    /// Everything that is there.
    present: HashMap<PathBuf, Print>,
    /// For [`Known::ahead`].
    ahead: HashMap<PathBuf, (Print, Instant)>,
    unsettled: bool,
}

/// What became of a file that was taken up.
#[derive(Debug)]
enum Ended {
    /// It is gone, or has to wait until all is looked through.
    Over,
    /// It stays, and is not to be taken up again as it is.
    LeftAlone,
    /// It cannot be read for now.
    Unreadable(io::Error),
    /// It may not be whole.
    Rests,
    /// It is not the file any more that was found.
    Changed,
}

impl Watched {
    fn new(folder: PathBuf, rest: Duration) -> Self {
        let known = Known::new(rest);
        Self { folder, seen: Vec::new(), looked_at: None, unsettled: false, known, told: false }
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
        let (folder, known) = (self.folder.clone(), self.known.clone());
        let look = match tokio::task::spawn_blocking(move || look_through(&folder, &known, all)).await {
            Ok(Ok(look)) => look,
            Ok(Err(error)) => return self.unreadable(&error),
            Err(error) => return tracing::error!(%error, "a folder of reports could not be looked through"),
        };
        self.told = false;
        self.known.forget(&look.present);
        self.known.ahead = look.ahead;
        self.unsettled = look.unsettled;
        if all {
            self.looked_at = Some(Instant::now());
        }
        self.seen = seen;
        let mut rest = look.files.into_iter().peekable();
        while rest.peek().is_some() {
            let mut bytes = 0;
            let mut some = Vec::new();
            while some.len() < FILES_AT_ONCE
                && let Some(next) = rest.next_if(|next| bytes == 0 || bytes + next.print.bytes <= BYTES_AT_ONCE)
            {
                bytes += next.print.bytes;
                some.push(next);
            }
            let ended = join_all(some.iter().map(|found| take_up(intake, found))).await;
            for (found, ended) in some.into_iter().zip(ended) {
                self.unsettled |= self.known.note(found, ended);
            }
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

impl Known {
    fn new(rest: Duration) -> Self {
        let [done, unreadable, resting] = [(); 3].map(|()| HashMap::new());
        Self { rest, done, unreadable, resting, ahead: HashMap::new() }
    }

    /// Forgets what is not there any more, or is another file.
    fn forget(&mut self, present: &HashMap<PathBuf, Print>) {
        for known in [&mut self.done, &mut self.unreadable, &mut self.resting] {
            known.retain(|path, print| present.get(path) == Some(print));
        }
    }

    /// Returns whether the file is to be looked at again soon.
    fn note(&mut self, found: Found, ended: Ended) -> bool {
        let Found { path, print, .. } = found;
        match ended {
            Ended::Over => false,
            Ended::Changed => true,
            Ended::LeftAlone => {
                self.done.insert(path, print);
                false
            }
            Ended::Rests => {
                self.resting.insert(path, print);
                true
            }
            Ended::Unreadable(error) => {
                if self.unreadable.get(&path) != Some(&print) {
                    tracing::warn!(file = %path.display(), %error, "a file of reports cannot be read; it is tried again");
                }
                self.unreadable.insert(path, print);
                false
            }
        }
    }
}

/// Takes up a file.
async fn take_up(intake: &Intake, found: &Found) -> Ended {
    let (path, print) = (found.path.clone(), found.print);
    if print.bytes > FILE_MOST as u64 {
        if !found.rested {
            return Ended::Rests;
        }
        tracing::warn!(file = %path.display(), bytes = print.bytes, most = FILE_MOST, "a file is too large for a report; it is left where it is");
        intake.count_refused(RefusalReason::TooLarge);
        return Ended::LeftAlone;
    }
    let copy = found.clone();
    let raw = match tokio::task::spawn_blocking(move || read(&copy)).await {
        Ok(Ok(Some(raw))) => raw,
        // It was taken away, or is written to again.
        Ok(Ok(None)) => return Ended::Changed,
        Ok(Err(error)) => return Ended::Unreadable(error),
        Err(error) => {
            tracing::error!(%error, "a file of reports could not be read");
            return Ended::Over;
        }
    };
    if !found.rested && !shows_its_end(intake, &raw).await {
        return Ended::Rests;
    }
    match intake.submit(raw).await {
        Receipt::Taken(_) | Receipt::Refused(_) => {
            let done = path.clone();
            match tokio::task::spawn_blocking(move || dispose(&done, print)).await {
                Ok(Ok(true)) => Ended::Over,
                Ok(Ok(false)) => Ended::Changed,
                Ok(Err(error)) => {
                    tracing::warn!(file = %path.display(), %error, "a file that is done with cannot be moved or deleted; it is left alone");
                    Ended::LeftAlone
                }
                Err(_) => Ended::LeftAlone,
            }
        }
        Receipt::Later(postponed) => {
            tracing::debug!(file = %path.display(), why = %postponed, "a report has to wait");
            Ended::Over
        }
    }
}

/// Whether it shows by itself that all of it is there, as a report does that can be read. Half a mail may look like a whole one.
async fn shows_its_end(intake: &Intake, raw: &RawReport) -> bool {
    let copy = raw.clone();
    let reading = intake.shared.readers.read(move |reader| matches!(open(reader, &copy, false), Ok(Opened::Bare(_))));
    match reading.await {
        Ok((shows, _)) => shows,
        Err(error) => {
            tracing::error!(%error, "a report could not be read: a fault of this program");
            false
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

/// Looks through a folder; with `all`, what could not be read is found again.
fn look_through(folder: &Path, known: &Known, all: bool) -> io::Result<Look> {
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
            let print = Print::of(&metadata)?;
            look.present.insert(path.clone(), print);
            let is_as_it_was = |files: &HashMap<PathBuf, Print>| files.get(&path) == Some(&print);
            if is_as_it_was(&known.done) || (!all && is_as_it_was(&known.unreadable)) {
                continue;
            }
            let mut rested = true;
            if !is_in_maildir(&path) {
                let age = print.changed.elapsed().unwrap_or_else(|_| {
                    let before = known.ahead.get(&path).filter(|(before, _)| *before == print);
                    let since = before.map_or_else(Instant::now, |(_, since)| *since);
                    look.ahead.insert(path.clone(), (print, since));
                    since.elapsed()
                });
                rested = age >= known.rest;
                if age < SETTLED_AFTER || (!rested && is_as_it_was(&known.resting)) {
                    look.unsettled = true;
                    continue;
                }
            }
            look.files.push(Found { path, print, rested });
        }
    }
    // What came first is taken first.
    look.files.sort_by(|one, other| (one.print.changed, &one.path).cmp(&(other.print.changed, &other.path)));
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
    if Print::of(&before)? != found.print {
        return Ok(None);
    }
    let file = File::options().read(true).custom_flags(O_NONBLOCK).open(&found.path)?;
    // Between the look and the opening a link may have taken its place, or a pipe, which would keep this thread until somebody writes.
    if Print::of(&file.metadata()?)? != found.print {
        return Ok(None);
    }
    let mut bytes = Vec::with_capacity(usize::try_from(found.print.bytes).unwrap_or(0));
    (&file).take(found.print.bytes.saturating_add(1)).read_to_end(&mut bytes)?;
    // What was written in the meantime may be in it by half.
    if bytes.len() as u64 != found.print.bytes || Print::of(&file.metadata()?)? != found.print {
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
        waiting_since: Some(Timestamp::from(found.print.changed)),
    }))
}

/// Moves or deletes what is done with. Returns whether it could: where it is not the file any more that was read, it stays.
fn dispose(path: &Path, read: Print) -> io::Result<bool> {
    let disposed = fs::symlink_metadata(path).and_then(|metadata| {
        if Print::of(&metadata)? != read {
            return Ok(false);
        }
        match seen(path) {
            Some(seen) => fs::rename(path, seen)?,
            None => fs::remove_file(path)?,
        }
        Ok(true)
    });
    match disposed {
        // Somebody was faster.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
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
mod tests;
