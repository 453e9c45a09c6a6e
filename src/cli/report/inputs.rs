//! What the arguments of `report` name: files, folders of files, maildirs, standard input.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use crate::protocol::tls_rpt::{Shape, sniff};

/// A mail or report beyond this is read no further. The reader refuses above 25 MB (RFC 8460 §6.3 leaves the number open), and this
/// is above its limits, so that its own words say what is too large.
const SINGLE_MOST: u64 = 32 << 20;
/// An mbox is read whole: so much is a century of reports of one domain.
const MBOX_MOST: u64 = 1 << 30;
/// So much of the beginning says what something is.
const HEAD: u64 = 4096;

/// One thing to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// Standard input.
    Standard,
    /// A file.
    File(PathBuf),
}

/// Why there are no bytes.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unread {
    #[error("it cannot be read: {0}")]
    Failed(#[from] io::Error),
    #[error("it is larger than {} MiB{}", most >> 20, if *mbox { "; split the mbox" } else { "" })]
    TooLarge { most: u64, mbox: bool },
}

impl Input {
    /// What it is called before people and programs.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Standard => "standard input".to_owned(),
            Self::File(path) => path.to_string_lossy().into_owned(),
        }
    }

    /// The last part of its path: it may tell what the content lacks (RFC 8460 §5.1).
    pub(super) fn file_name(&self) -> Option<&str> {
        match self {
            Self::Standard => None,
            Self::File(path) => path.file_name().and_then(|name| name.to_str()),
        }
    }

    /// All of its bytes.
    pub(super) fn read(&self) -> Result<Vec<u8>, Unread> {
        match self {
            Self::Standard => read(io::stdin().lock()),
            Self::File(path) => read(File::open(path)?),
        }
    }
}

/// Reads all, up to the limit of what it begins as.
fn read(mut from: impl Read) -> Result<Vec<u8>, Unread> {
    let mut bytes = Vec::new();
    from.by_ref().take(HEAD).read_to_end(&mut bytes)?;
    let mbox = matches!(sniff(&bytes), Shape::Mbox);
    let most = if mbox { MBOX_MOST } else { SINGLE_MOST };
    // One byte more shows that there is more.
    from.take(most + 1 - len(&bytes)).read_to_end(&mut bytes)?;
    if len(&bytes) > most { Err(Unread::TooLarge { most, mbox }) } else { Ok(bytes) }
}

fn len(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// Every file that the paths name, in their order; those of a folder by name. What begins with a dot in a folder, and the folders in
/// it, are left out: they are no reports, or not whole yet.
pub(super) fn list(paths: &[PathBuf]) -> Result<Vec<Input>, String> {
    let mut inputs = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            if inputs.contains(&Input::Standard) {
                return Err("-: standard input can be read once; it is there twice".to_owned());
            }
            inputs.push(Input::Standard);
            continue;
        }
        let failed = |error: io::Error| format!("{}: it cannot be read: {error}", path.display());
        // One that is not there is told when it is its turn: the others lose nothing by it.
        if !fs::metadata(path).is_ok_and(|metadata| metadata.is_dir()) {
            inputs.push(Input::File(path.clone()));
            continue;
        }
        let parts = ["new", "cur"].map(|part| path.join(part));
        let maildir = parts.iter().all(|part| part.is_dir());
        let folders = if maildir { parts.to_vec() } else { vec![path.clone()] };
        for folder in folders {
            inputs.extend(files(&folder).map_err(failed)?.into_iter().map(Input::File));
        }
    }
    Ok(inputs)
}

fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !hidden && fs::metadata(entry.path()).is_ok_and(|metadata| metadata.is_file()) {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}
