//! The folder: its files, its lock, and what happens to a damaged file.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, BufReader, Read, Seek, Write},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::StoreError;
use crate::terms::Timestamp;

const DATABASE: &str = "state.db";
const LOCK: &str = "state.lock";
/// The database, its write-ahead log and the index of that.
const PARTS: [&str; 3] = ["", "-wal", "-shm"];
const DAMAGED: &str = "state.db.damaged-";

/// How many damaged files are kept: enough to look at, too few to fill the disk.
const DAMAGED_MOST: usize = 3;

/// How long to wait for a lock: a monitor that is being restarted may still write, and `check` reads for a moment.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// So much of the database is read ahead at most: the state of more than three million domains. More would push out of a small machine's
/// memory what is wanted next.
const AHEAD_MOST: u64 = 4 << 30;
/// … so much at once.
const AHEAD_AT_ONCE: usize = 1 << 20;

/// The state folder.
#[derive(Clone, Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    pub(super) fn database(&self) -> PathBuf {
        self.0.join(DATABASE)
    }

    /// Makes the folder where there is none; it is for this user alone.
    pub(super) fn create(&self) -> Result<(), StoreError> {
        use std::os::unix::fs::DirBuilderExt;
        let made = fs::DirBuilder::new().recursive(true).mode(0o750).create(&self.0);
        made.map_err(|error| StoreError::NotWritable { path: self.0.clone(), why: error.to_string() })
    }

    /// Takes the folder for this process alone. It is free again when the lock is dropped, or the process is gone.
    pub(super) async fn lock(&self) -> Result<File, StoreError> {
        let path = self.0.join(LOCK);
        let failed = |error: io::Error| StoreError::NotWritable { path: path.clone(), why: error.to_string() };
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        let patience = Instant::now() + LOCK_PATIENCE;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < patience => sleep(LOCK_PAUSE).await,
                Err(TryLockError::WouldBlock) => {
                    let mut text = String::new();
                    // Who it is only helps the reader of the message.
                    let _ = file.take(20).read_to_string(&mut text);
                    return Err(StoreError::InUse { folder: self.0.clone(), holder: text.trim().parse().ok() });
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
        // On a full disk the number is missing, and the lock holds all the same.
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(file)
    }

    /// Reads the database from its begin to its end on a thread of its own, so that it is in memory when it is asked for. A start asks for
    /// nearly all pages, in the order of the rows, in which no disk is fast: its rows move when they grow.
    pub(super) fn read_ahead(&self) {
        let path = self.database();
        let read = move || File::open(path).and_then(|file| read_through(file, AHEAD_MOST));
        // Who asks for the pages is told what is wrong with them, and waits for the disk where nobody read ahead.
        let _ = thread::Builder::new().name("state-ahead".to_owned()).spawn(read);
    }

    /// Keeps a monitor from starting while the file is read; nothing where one runs, or where there is no lock to take.
    pub(super) fn share(&self) -> Option<File> {
        let file = File::open(self.0.join(LOCK)).ok()?;
        file.try_lock_shared().ok().map(|()| file)
    }

    /// Renames the database and what belongs to it, and forgets the oldest of those that were set aside before.
    pub(super) fn set_aside(&self, now: Timestamp) -> io::Result<PathBuf> {
        let aside = self.0.join(format!("{DAMAGED}{}", now.to_string().replace(':', "")));
        for part in PARTS {
            match fs::rename(self.part(DATABASE, part), with_suffix(&aside, part)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        // The names hold the time: in their order they are from the oldest to the latest.
        let damaged = self.damaged();
        for old in damaged.iter().take(damaged.len().saturating_sub(DAMAGED_MOST)) {
            for part in PARTS {
                let _ = fs::remove_file(with_suffix(old, part));
            }
        }
        Ok(aside)
    }

    /// The damaged databases that were set aside, from the oldest to the latest.
    pub(super) fn damaged(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let mut found: Vec<PathBuf> = entries
            .filter(|entry| entry.file_name().to_str().is_some_and(is_damaged_database))
            .map(|entry| entry.path())
            .collect();
        found.sort();
        found
    }

    /// The bytes of the database and what belongs to it.
    pub(super) fn size(&self) -> u64 {
        let sizes = PARTS.iter().filter_map(|part| fs::metadata(self.part(DATABASE, part)).ok());
        sizes.map(|metadata| metadata.len()).sum()
    }

    /// Whether something is written that is not in the database file itself.
    pub(super) fn has_log(&self) -> bool {
        fs::metadata(self.part(DATABASE, "-wal")).is_ok_and(|metadata| metadata.len() > 0)
    }

    fn part(&self, name: &str, part: &str) -> PathBuf {
        self.0.join(format!("{name}{part}"))
    }
}

/// Reads a file to its end, or so many bytes of it, and keeps nothing. Returns how many it read.
fn read_through(file: impl Read, most: u64) -> io::Result<u64> {
    io::copy(&mut BufReader::with_capacity(AHEAD_AT_ONCE, file.take(most)), &mut io::sink())
}

fn is_damaged_database(name: &str) -> bool {
    name.starts_with(DAMAGED) && !PARTS.iter().any(|part| !part.is_empty() && name.ends_with(part))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut whole = path.as_os_str().to_owned();
    whole.push(suffix);
    whole.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_ahead_has_a_bound() {
        let file = vec![7; 3 * AHEAD_AT_ONCE + 1];
        let read = |most| {
            let mut rest = file.as_slice();
            let bytes = read_through(&mut rest, most).expect("it can be read");
            (bytes, file.len() - rest.len())
        };
        assert_eq!(read(u64::MAX), (file.len() as u64, file.len()));
        assert_eq!(read(AHEAD_AT_ONCE as u64 + 5), (AHEAD_AT_ONCE as u64 + 5, AHEAD_AT_ONCE + 5));
    }
}
