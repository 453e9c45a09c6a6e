//! The file of `--save` and `--against`.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use crate::present::baseline::Baseline;

/// The largest file that is read: ten thousands of domains with dozens of findings each, and far from what hurts.
const FILE_MOST: u64 = 64 << 20;

/// Reads what an earlier run kept.
///
/// # Errors
/// A text for the user.
pub(super) fn read(path: &Path) -> Result<Baseline, String> {
    let failed = |error: &dyn std::fmt::Display| format!("--against {}: {error}", path.display());
    let mut text = Vec::new();
    let file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => failed(&"there is no such file; a run with --save makes it"),
        _ => failed(&error),
    })?;
    file.take(FILE_MOST + 1).read_to_end(&mut text).map_err(|error| failed(&error))?;
    if text.len() as u64 > FILE_MOST {
        return Err(failed(&format!("a file of at most {FILE_MOST} bytes was expected")));
    }
    let text = String::from_utf8(text).map_err(|_| failed(&"it is no text: check --save did not write it"))?;
    Baseline::parse(&text).map_err(|error| failed(&error))
}

/// Writes a judgement. Whoever reads the file sees the one before or the whole new one, also where the power fails.
///
/// # Errors
/// A text for the user; the file is as it was before.
pub(super) fn write(path: &Path, baseline: &Baseline) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("--save {}: {error}", path.display());
    let text = baseline.text().map_err(|error| failed(&error))?;
    let beside = beside(path).ok_or_else(|| failed(&"it is no name of a file"))?;
    let written = whole(&beside, text.as_bytes()).and_then(|()| fs::rename(&beside, path));
    if let Err(error) = written {
        // What was begun is of no use; where it cannot be taken away either, the first error is the one to tell.
        let _ = fs::remove_file(&beside);
        return Err(failed(&error));
    }
    sync_folder(path).map_err(|error| failed(&error))
}

/// A name in the same folder that nobody can guess: others may write there too.
fn beside(path: &Path) -> Option<PathBuf> {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name()?);
    name.push(format!(".{:016x}", rand::random::<u64>()));
    Some(path.with_file_name(name))
}

fn whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// The new name is in the folder only once the folder is on the disk.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::present::fixture;

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("baseline.json");
        for name in ["a.example", "b.example"] {
            let baseline = Baseline::new(&[fixture::backup_expired(name)], fixture::NOW, None);
            write(&path, &baseline).unwrap();
            assert_eq!(read(&path), Ok(baseline));
        }
        let names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["baseline.json"], "nothing is left beside it");
    }

    #[test]
    fn errors_name_the_file_and_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("baseline.json");
        let told = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            let error = read(&path).unwrap_err();
            assert!(error.contains("baseline.json"), "{error}");
            error
        };
        assert!(told(b"\xff").contains("no text"));
        assert!(told(b"{\"format\": \"smt").contains("no JSON"));
        assert!(told(b"[]").contains("not written by check --save"));
        assert!(read(&folder.path().join("none")).unwrap_err().contains("a run with --save makes it"));
        let baseline = Baseline::new(&[], fixture::NOW, None);
        assert!(write(&folder.path().join("no/folder.json"), &baseline).unwrap_err().contains("folder.json"));
        assert!(write(Path::new(".."), &baseline).is_err());
    }

    #[test]
    fn a_file_that_cannot_be_written_stays_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        fs::create_dir(&path).unwrap();
        assert!(write(&path, &Baseline::new(&[], fixture::NOW, None)).is_err(), "a folder has the name");
        let names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["taken"]);
    }
}
