//! What an error of the database means.

use std::path::Path;

use crate::store::{StoreError, filing::Trouble};

/// Why something was not done.
#[derive(Debug)]
pub(super) enum Failure {
    /// The database does not do it.
    Database(sqlx::Error),
    /// It is told already.
    Store(StoreError),
    /// It could not be made ready.
    Other(String),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Database(error) => Self::Database(error),
            Trouble::Other(why) => Self::Other(why),
        }
    }
}

impl From<tokio::task::JoinError> for Failure {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::Other(error.to_string())
    }
}

/// Classes and codes of errors (PostgreSQL, appendix A) that say: not now, or not with these rights.
const NOT_WRITABLE: [&str; 8] = [
    "08",    // no connection
    "25006", // the server is a copy that is only read
    "28",    // user or password
    "3D000", // there is no such database
    "42501", // no right to it
    "53",    // no disk, no memory, too many connections
    "57P",   // it is shut down, or begins
    "58",    // the operating system
];

/// … and those that say: what is kept is damaged.
const DAMAGED: [&str; 1] = ["XX00"];

/// `XX000` is any inner error.
const INNER: &str = "XX000";

/// What an error means.
pub(super) fn told(error: &sqlx::Error, address: &Path) -> StoreError {
    let (path, why) = (address.to_owned(), error.to_string());
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => {
            StoreError::NotWritable { path, why }
        }
        sqlx::Error::Database(database) => {
            let code = database.code().unwrap_or_default();
            let is = |codes: &[&str]| codes.iter().any(|class| code.starts_with(class));
            if is(&NOT_WRITABLE) {
                StoreError::NotWritable { path, why }
            } else if is(&DAMAGED) && code != INNER {
                StoreError::Damaged { path, why }
            } else {
                StoreError::Other { path, why }
            }
        }
        _ => StoreError::Other { path, why },
    }
}

/// The same where it was to be read: who cannot read what is kept must not go on as if nothing were.
pub(super) fn unreadable(error: StoreError) -> StoreError {
    match error {
        StoreError::NotWritable { path, why } | StoreError::Other { path, why } => StoreError::Unreadable { path, why },
        other => other,
    }
}
