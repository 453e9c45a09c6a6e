//! The file of `--save` and `--against`.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use crate::present::baseline::Baseline;

/// The largest file that is read or written. A finding takes some 180 bytes: twenty thousand domains with eight findings each.
const FILE_MOST: u64 = 32 << 20;

/// Reads what an earlier run kept.
///
/// # Errors
/// A text for the user.
pub(super) fn read(path: &Path) -> Result<Baseline, String> {
    let failed = |error: &dyn std::fmt::Display| format!("--against {}: {error}", path.display());
    let mut text = Vec::new();
    let unseen = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => failed(&"there is no such file; a run with --save makes it"),
        _ => failed(&error),
    };
    // Before it is opened: opening a named pipe waits until somebody writes to it.
    if !fs::metadata(path).map_err(unseen)?.is_file() {
        return Err(failed(&"a file was expected, not a folder, a pipe or a device"));
    }
    let file = File::open(path).map_err(unseen)?;
    file.take(FILE_MOST + 1).read_to_end(&mut text).map_err(|error| failed(&error))?;
    if text.len() as u64 > FILE_MOST {
        return Err(failed(&format!("a file of at most {FILE_MOST} bytes was expected")));
    }
    let text = String::from_utf8(text).map_err(|_| failed(&"it is no text: check --save did not write it"))?;
    Baseline::parse(&text).map_err(|error| failed(&error))
}

/// Writes a judgement. Whoever reads the file sees the one before or the whole new one, also where the power fails. A link stays,
/// and what it leads to is written; the permissions of a file that is there stay as well.
///
/// # Errors
/// A text for the user. The file is as it was before, unless the text says that it is written.
pub(super) fn write(path: &Path, baseline: &Baseline) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("--save {}: {error}", path.display());
    let text = baseline.text().map_err(|error| failed(&error))?;
    if text.len() as u64 > FILE_MOST {
        return Err(failed(&format!("it would have more than {FILE_MOST} bytes, and --against could not read it")));
    }
    let (path, kept) = target(path).map_err(|error| failed(&error))?;
    let beside = beside(&path).ok_or_else(|| failed(&"it is no name of a file"))?;
    let written = whole(&beside, text.as_bytes(), kept).and_then(|()| fs::rename(&beside, &path));
    if let Err(error) = written {
        // What was begun is of no use; where it cannot be taken away either, the first error is the one to tell.
        let _ = fs::remove_file(&beside);
        return Err(failed(&error));
    }
    sync_folder(&path).map_err(|error| {
        failed(&format!(
            "it is written, but its folder could not be made to last, so that a power failure may undo it: {error}"
        ))
    })
}

/// The file to replace, behind every link, with its permissions if it is there. Whatever else has the name is not to be replaced:
/// a device such as `/dev/stdout` would be gone for everybody.
fn target(path: &Path) -> io::Result<(PathBuf, Option<Permissions>)> {
    let seen = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((path.to_owned(), None)),
        seen => seen?,
    };
    let path = if seen.is_symlink() { fs::canonicalize(path)? } else { path.to_owned() };
    let seen = fs::metadata(&path)?;
    if !seen.is_file() {
        return Err(io::Error::other("a file was expected; leave --save out to write to the terminal alone"));
    }
    Ok((path, Some(seen.permissions())))
}

/// A name in the same folder that nobody can guess: others may write there too.
fn beside(path: &Path) -> Option<PathBuf> {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name()?);
    name.push(format!(".{:016x}", rand::random::<u64>()));
    Some(path.with_file_name(name))
}

/// `kept`: the permissions of the file that this one replaces. They are set before there is anything to read.
fn whole(path: &Path, bytes: &[u8], kept: Option<Permissions>) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    if let Some(kept) = kept {
        file.set_permissions(kept)?;
    }
    file.write_all(bytes)?;
    file.sync_all()
}

/// The new name is in the folder only once the folder is on the disk. A file system that cannot do that for a folder says EINVAL:
/// there it lasts as well as can be.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    match File::open(folder)?.sync_all() {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        synced => synced,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::{
        fs::{PermissionsExt, symlink},
        net::UnixListener,
    };

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
    fn links_permissions_and_devices_stay_what_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file.json"), folder.path().join("link.json"));
        let baseline = Baseline::new(&[fixture::backup_expired("a.example")], fixture::NOW, None);
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        symlink(&file, &link).unwrap();
        write(&link, &baseline).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(read(&file), Ok(baseline.clone()));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let device = folder.path().join("device");
        symlink("/dev/null", &device).unwrap();
        let socket = folder.path().join("socket");
        let _listener = UnixListener::bind(&socket).unwrap();
        for other in [&device, &socket] {
            assert!(write(other, &baseline).unwrap_err().contains("a file was expected; leave --save out"));
            assert!(read(other).unwrap_err().contains("a file was expected"));
        }
        assert!(!fs::metadata(&socket).unwrap().is_file(), "it is still there");
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
