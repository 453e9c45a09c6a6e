//! Passwords and tokens, which stand in files of their own.

use std::{fmt, io, path::Path};

use tokio::io::AsyncReadExt;

/// The largest file of a password or token, in bytes: tokens have a few kilobytes.
const MAX_SECRET: u64 = 64 * 1024;

/// Why a secret cannot be read: the file, and what is wrong with it.
pub(super) struct SecretError {
    pub(super) path: String,
    pub(super) reason: String,
}

/// The one line of a file. It is read anew each time: who changes a password or renews a token changes the file.
pub(super) async fn read_secret(path: &Path) -> Result<String, SecretError> {
    let unusable =
        |reason: &dyn fmt::Display| SecretError { path: path.display().to_string(), reason: reason.to_string() };
    let text = read_small(path).await.map_err(|error| unusable(&error))?;
    let secret = text.trim_end_matches(['\r', '\n']);
    match secret {
        "" => Err(unusable(&"it is empty")),
        _ if secret.contains(['\r', '\n', '\0']) => Err(unusable(&"it has more than one line")),
        _ => Ok(secret.to_owned()),
    }
}

async fn read_small(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    tokio::fs::File::open(path).await?.take(MAX_SECRET).read_to_string(&mut text).await?;
    Ok(text)
}
