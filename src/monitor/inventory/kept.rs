//! The last list of each URL, in the state folder: a restart while the server is away goes on with it.

use std::{
    collections::HashSet,
    ffi::OsString,
    fmt::Write as _,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use aws_lc_rs::digest::{SHA256, digest};

use crate::{
    config::{
        ProbeSettings,
        file::HttpSd,
        inventory::{ListFormat, SourceList, read_list},
    },
    terms::Timestamp,
};

/// Where they lie below the state folder.
const FOLDER: &str = "inventory";

/// The kept lists.
#[derive(Clone, Debug)]
pub(super) struct KeptLists {
    folder: Arc<Path>,
}

impl KeptLists {
    pub(super) fn in_state(folder: &Path) -> Self {
        Self { folder: folder.join(FOLDER).into() }
    }

    /// What was kept of a URL, and when it came.
    pub(super) fn read(&self, source: &HttpSd, probe: &ProbeSettings) -> Option<(SourceList, Timestamp)> {
        let path = self.list_of(source.url.as_ref().map(|url| url.value.0.as_str())?);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a list of domains that was kept cannot be read");
                return None;
            }
        };
        let modified = file.metadata().and_then(|metadata| metadata.modified());
        match read_list(&path.display().to_string(), ListFormat::Json, file, probe) {
            Ok(list) => Some((list, modified.map(Timestamp::from).unwrap_or_default())),
            Err(error) => {
                tracing::warn!("a list of domains that was kept cannot be used: {error}");
                None
            }
        }
    }

    /// Where a fetch writes. Nobody reads it before it is whole.
    pub(super) fn draft(&self, url: &str) -> io::Result<PathBuf> {
        fs::create_dir_all(&self.folder)?;
        Ok(self.list_of(url).with_extension("part"))
    }

    /// What is in the draft becomes the list that is kept.
    pub(super) fn keep(&self, url: &str) -> io::Result<()> {
        let list = self.list_of(url);
        let draft = list.with_extension("part");
        File::open(&draft)?.sync_all()?;
        fs::rename(draft, list)
    }

    /// Deletes what is of no URL of these any more.
    pub(super) fn tidy<'a>(&self, sources: impl Iterator<Item = &'a HttpSd>) {
        let of = |source: &HttpSd| Some(name_of(&source.url.as_ref()?.value.0));
        let wanted: HashSet<OsString> = sources.filter_map(of).map(OsString::from).collect();
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            let ours = path.extension().is_some_and(|ending| ending == "json" || ending == "part");
            if ours
                && !path.file_stem().is_some_and(|stem| wanted.contains(stem))
                && let Err(error) = fs::remove_file(&path)
            {
                tracing::warn!(path = %path.display(), %error, "a list of domains that is not needed stays");
            }
        }
    }

    fn list_of(&self, url: &str) -> PathBuf {
        self.folder.join(name_of(url)).with_extension("json")
    }
}

/// The URL may hold what is secret, and letters that no file name has.
fn name_of(url: &str) -> String {
    let digest = digest(&SHA256, url.as_bytes());
    digest.as_ref().iter().take(16).fold(String::new(), |mut name, byte| {
        // Writing into a text cannot fail.
        let _ = write!(name, "{byte:02x}");
        name
    })
}
