//! Files that the operator names, and that are small.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// The largest file of certificates, keys or trust anchors, in bytes: the roots of all browsers together have a tenth of it. What is
/// larger is another file, or a device without end.
const MAX_FILE: u64 = 4 << 20;

/// All of a file.
///
/// # Errors
/// Those of the system, and one where the file is larger than [`MAX_FILE`].
pub(super) fn read_own_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        let text = format!("it is larger than {} MiB", MAX_FILE >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_end_is_read_for_a_while() {
        let error = read_own_file(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(error.to_string(), "it is larger than 4 MiB");
        assert_eq!(read_own_file(Path::new("/dev/null")).unwrap(), b"");
        assert_eq!(read_own_file(Path::new("/nowhere")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
