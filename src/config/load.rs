//! From a path or a text to [`Settings`].

use std::{
    fs::File as FsFile,
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::{
    diagnostic::{ConfigErrors, Diagnostic, DiagnosticSeverity, Source},
    file::File,
    reader::{FromNode, Reader},
    resolve::Resolver,
    settings::Settings,
    yaml,
};
use crate::verdict::known_codes;

/// Read where no file is named, if it exists.
pub const DEFAULT_FILE: &str = "smtptls-exporter.yml";

/// A million domains as maps are about this long; a larger file is a mistake.
pub(super) const MAX_FILE: usize = 128 * 1024 * 1024;

/// A configuration that can be used.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// What is odd about the file, in its order.
    pub warnings: Vec<Diagnostic>,
    /// Tells whether a file changed since it was loaded; of no meaning in another process.
    pub text_hash: u64,
}

/// The file to read: the named one, which must exist, or [`DEFAULT_FILE`] here, or none.
///
/// # Errors
/// The named file does not exist or cannot be looked at.
pub fn locate(named: Option<&Path>) -> Result<Option<PathBuf>, ConfigErrors> {
    match named {
        Some(path) => match path.metadata() {
            Ok(_) => Ok(Some(path.to_owned())),
            Err(error) => Err(unreadable(path, &error)),
        },
        None => {
            let default = Path::new(DEFAULT_FILE);
            Ok(default.is_file().then(|| default.to_owned()))
        }
    }
}

/// Reads and checks a file. Paths inside it are relative to its folder.
///
/// # Errors
/// Everything that is wrong with it at once; only a text that is no YAML stops earlier.
pub fn load(path: &Path) -> Result<Loaded, ConfigErrors> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAX_FILE).unwrap_or(u64::MAX).saturating_add(1);
    FsFile::open(path)
        .and_then(|file| file.take(limit).read_to_end(&mut bytes))
        .map_err(|error| unreadable(path, &error))?;
    let name = path.display().to_string();
    match String::from_utf8(bytes) {
        Ok(text) => parse_in(&name, &text, path.parent().unwrap_or_else(|| Path::new(""))),
        Err(error) => {
            let line =
                error.as_bytes().iter().take(error.utf8_error().valid_up_to()).filter(|b| **b == b'\n').count() + 1;
            let source = Source { name: &name, text: "" };
            let message = format!("line {line} is not UTF-8");
            let diagnostic = Diagnostic::new(source, DiagnosticSeverity::Error, None, message);
            Err(ConfigErrors::one(diagnostic.hinting(Some("save the file as UTF-8".to_owned()))))
        }
    }
}

/// Checks a text; `name` is the file that the messages speak of, and paths in the text are relative to its folder.
///
/// # Errors
/// Everything that is wrong with it at once; only a text that is no YAML stops earlier.
pub fn parse(name: &str, text: &str) -> Result<Loaded, ConfigErrors> {
    parse_in(name, text, Path::new(name).parent().unwrap_or_else(|| Path::new("")))
}

fn parse_in(name: &str, text: &str, base: &Path) -> Result<Loaded, ConfigErrors> {
    let source = Source { name, text };
    let fatal =
        |mark, message: String| ConfigErrors::one(Diagnostic::new(source, DiagnosticSeverity::Error, mark, message));
    if text.len() > MAX_FILE {
        return Err(fatal(None, format!("the file is larger than {} MiB", MAX_FILE / 1024 / 1024)));
    }
    let node = yaml::parse(text).map_err(|error| fatal(error.mark, error.message))?;
    let mut reader = Reader::new(source);
    let file = File::from_node(&node, &mut reader).unwrap_or_default();
    let settings = Resolver { reader: &mut reader, base, codes: known_codes() }.settings(file);
    let errors = reader.errors();
    let (diagnostics, left_out) = reader.finish();
    if errors > 0 {
        return Err(ConfigErrors { diagnostics, left_out });
    }
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    Ok(Loaded { settings, warnings: diagnostics, text_hash: hasher.finish() })
}

fn unreadable(path: &Path, error: &io::Error) -> ConfigErrors {
    let name = path.display().to_string();
    let message = format!("the configuration file cannot be read: {error}");
    ConfigErrors::one(Diagnostic::new(Source { name: &name, text: "" }, DiagnosticSeverity::Error, None, message))
}
