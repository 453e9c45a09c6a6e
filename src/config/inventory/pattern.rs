//! Which files a pattern of `domain_files` means.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

/// So many files of one pattern are read. More are the wrong folder.
const MAX_FILES: usize = 10_000;

/// A path whose last part may hold `*` (any letters) and `?` (one letter), as in Prometheus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePattern {
    folder: PathBuf,
    name: String,
}

impl FilePattern {
    /// Reads a pattern; relative ones begin at `base`.
    ///
    /// # Errors
    /// It names no file, or holds a wildcard before its last part.
    pub fn parse(text: &str, base: &Path) -> Result<Self, &'static str> {
        let name = Path::new(text).file_name().and_then(OsStr::to_str);
        let parts = name.and_then(|name| Some((text.strip_suffix(name)?, name)));
        let Some((folders, name)) = parts else { return Err("the pattern names no file") };
        if folders.contains(['*', '?']) {
            return Err("only the last part of a pattern may hold * and ?");
        }
        let folder = base.join(folders);
        Ok(Self { folder, name: name.to_owned() })
    }

    /// Whether it is the path of one file.
    pub fn is_literal(&self) -> bool {
        !self.name.contains(['*', '?'])
    }

    /// The files that are there now, in the order of their names. Hidden ones are only found by a pattern that begins with a dot:
    /// programs write under such names before they rename.
    ///
    /// # Errors
    /// The folder cannot be looked through, or has too many such files. "Could not look" is not "nothing is there".
    pub fn files(&self) -> io::Result<Vec<PathBuf>> {
        let folder = if self.folder.as_os_str().is_empty() { Path::new(".") } else { &self.folder };
        if self.is_literal() {
            // The folder first: one that is away says nothing of what is in it.
            fs::metadata(folder)?;
            let path = self.folder.join(&self.name);
            return match fs::metadata(&path) {
                Ok(_) => Ok(vec![path]),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
                Err(error) => Err(error),
            };
        }
        let mut found = Vec::new();
        for entry in fs::read_dir(folder)? {
            let name = entry?.file_name();
            let Some(name) = name.to_str() else { continue };
            let hidden = name.starts_with('.') && !self.name.starts_with('.');
            if hidden || !matches(&self.name, name) {
                continue;
            }
            if found.len() >= MAX_FILES {
                return Err(io::Error::other(format!("more than {MAX_FILES} files have such a name")));
            }
            found.push(self.folder.join(name));
        }
        found.sort_unstable();
        Ok(found)
    }
}

/// Whether a name fits a pattern. Goes back only to the last `*`, so that no pattern takes longer than pattern times name.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut place) = (0, 0);
    let mut star = None;
    while let Some(letter) = name.get(place) {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, place));
                at += 1;
            }
            Some(wanted) if *wanted == '?' || wanted == letter => {
                at += 1;
                place += 1;
            }
            _ => {
                let Some((back, tried)) = star else { return false };
                star = Some((back, tried + 1));
                at = back + 1;
                place = tried + 1;
            }
        }
    }
    pattern.iter().skip(at).all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_patterns() {
        for (pattern, name, fits) in [
            ("*.yml", "a.yml", true),
            ("*.yml", ".yml", true),
            ("*.yml", "a.yml.tmp", false),
            ("a*b*c", "aXbXbXc", true),
            ("a*b*c", "aXbXbX", false),
            ("?.txt", "ä.txt", true),
            ("?.txt", "ab.txt", false),
            ("plain", "plain", true),
            ("plain", "plain2", false),
            ("**", "", true),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn a_hostile_pattern_ends() {
        assert!(!matches(&"*a".repeat(50), &"a".repeat(49)));
        assert!(!matches(&format!("{}b", "*a".repeat(100)), &"a".repeat(250)));
    }

    #[test]
    fn only_the_last_part_is_a_pattern() {
        let base = Path::new("/etc/x");
        assert!(FilePattern::parse("*/a.yml", base).is_err());
        assert!(FilePattern::parse("", base).is_err());
        assert!(FilePattern::parse("d/", base).is_err());
        assert!(FilePattern::parse("..", base).is_err());
        let pattern = FilePattern::parse("d/*.yml", base).unwrap();
        assert_eq!((pattern.folder.as_path(), pattern.is_literal()), (Path::new("/etc/x/d"), false));
        assert_eq!(FilePattern::parse("/a/b.txt", base).unwrap().folder, Path::new("/a"));
    }

    #[test]
    fn a_folder_that_is_away_is_no_empty_folder() {
        let folder = tempfile::tempdir().unwrap();
        let at = |text: &str| FilePattern::parse(text, folder.path()).unwrap().files();
        for name in ["b.yml", "a.yml", ".c.yml", "d.txt"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let found = at("*.yml").unwrap();
        assert_eq!(found, ["a.yml", "b.yml"].map(|name| folder.path().join(name)));
        assert_eq!(at("d.txt").unwrap(), [folder.path().join("d.txt")]);
        assert_eq!(at("e.txt").unwrap(), Vec::<PathBuf>::new());
        assert!(at("away/*.yml").is_err() && at("away/e.txt").is_err());
    }
}
