//! Why the store cannot do what it should.

use std::path::PathBuf;

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process has the folder.
    #[error("the state folder {} is in use by another monitor{}; each needs a folder of its own (state.dir)",
        folder.display(), holder.map(|holder| format!(" (process {holder})")).unwrap_or_default())]
    InUse {
        /// Which folder.
        folder: PathBuf,
        /// Who has it, as far as it says so.
        holder: Option<u32>,
    },
    /// A later version of the program wrote the file.
    #[error("{} has schema version {found}, and this program knows none after {known}: it was written by a later version. \
        The file is left as it is; run that version, or name another state folder", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The last version that this program knows.
        known: i64,
    },
    /// The file is a database of another program.
    #[error("{} is a database of another program; name another state folder", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// There is a file, and it cannot be read: what it holds must not be written over.
    #[error("the state in {} cannot be read: {why}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The folder or the file cannot be written: permissions, a read-only file system, a full disk.
    #[error("the state in {} cannot be written: {why}", path.display())]
    NotWritable {
        /// The folder or the file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The file is damaged.
    #[error("the state in {} is damaged: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The URL of the database cannot be used.
    #[error("state.url cannot be used: {why}")]
    Url {
        /// Why, without what is secret in it.
        why: String,
    },
    /// Another instance has the slots, or none: what is known of their domains is not this one's to write any more.
    #[error("the lease on {} is gone; nothing was written", slots_of(slots))]
    NotHolder {
        /// Whose leases are gone.
        slots: Vec<u32>,
    },
    /// Anything else.
    #[error("the state in {} fails: {why}", path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// What happened.
        why: String,
    },
}

fn slots_of(slots: &[u32]) -> String {
    let numbers: Vec<String> = slots.iter().map(u32::to_string).collect();
    format!("{} {}", if slots.len() == 1 { "slot" } else { "slots" }, numbers.join(", "))
}

impl StoreError {
    /// Whether the monitor can run without the store for now and try again: else to go on would harm what is kept.
    pub const fn passes(&self) -> bool {
        matches!(self, Self::NotWritable { .. } | Self::Damaged { .. } | Self::Other { .. })
    }
}

/// The primary result codes of SQLite that are told apart (sqlite.org/rescode.html).
pub(super) mod code {
    pub(crate) const READONLY: i32 = 8;
    pub(crate) const IOERR: i32 = 10;
    pub(crate) const CORRUPT: i32 = 11;
    pub(crate) const FULL: i32 = 13;
    pub(crate) const CANTOPEN: i32 = 14;
    pub(crate) const NOTADB: i32 = 26;
}

/// The primary result code of an error of SQLite.
pub(super) fn primary(error: &sqlx::Error) -> Option<i32> {
    let code: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

/// What an error of SQLite means for a file that is open.
pub(super) fn told(error: &sqlx::Error, path: &std::path::Path) -> StoreError {
    let (path, why) = (path.to_owned(), error.to_string());
    match primary(error) {
        Some(code::READONLY | code::FULL | code::CANTOPEN | code::IOERR) => StoreError::NotWritable { path, why },
        Some(code::CORRUPT | code::NOTADB) => StoreError::Damaged { path, why },
        _ => StoreError::Other { path, why },
    }
}
