//! The file of `--web.config.file`, in the format of exporter-toolkit: TLS, client certificates, users, headers, a limit of
//! requests. Pure but for [`load`] and [`Stamp::of`].

mod file;
mod mask;
mod words;

use std::{
    collections::BTreeMap,
    fs::{self, File as FsFile},
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use http::{HeaderName, HeaderValue};

use self::file::WebFile;
pub use self::words::{CipherSuite, ClientCertificates, Hidden, KeyExchange, PasswordHash, TlsVersion};
use super::{
    diagnostic::{ConfigErrors, Diagnostic, DiagnosticSeverity, Source},
    reader::{At, FromNode, Reader},
    yaml,
};

/// A file with certificates inline has some kilobytes; a larger one is another file.
const MAX_FILE: usize = 1 << 20;

/// Who may ask, and how the answers go out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WebSettings {
    /// TLS; nothing where connections are plain.
    pub tls: Option<TlsSettings>,
    /// Headers of every answer.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Users and the hashes of their passwords; empty where nobody is asked for one.
    pub users: BTreeMap<String, PasswordHash>,
    /// How many requests are answered; nothing where all are.
    pub rate_limit: Option<RateLimit>,
}

/// TLS, as the file says.
#[derive(Clone, Debug, PartialEq)]
pub struct TlsSettings {
    /// The chain, the certificate of the server first.
    pub certificate: At<Pem>,
    /// Its key.
    pub key: At<Pem>,
    /// Whether clients show a certificate.
    pub client_certificates: ClientCertificates,
    /// Who issues those that are believed.
    pub client_ca: Option<At<Pem>>,
    /// Names of which a client's certificate must have one, where there are any.
    pub client_allowed_sans: Vec<String>,
    /// The oldest version.
    pub min_version: TlsVersion,
    /// The newest version.
    pub max_version: TlsVersion,
    /// For TLS 1.2, in the order of preference; empty for the usual ones. Those of TLS 1.3 cannot be chosen, as in Go.
    pub cipher_suites: Vec<CipherSuite>,
    /// Whether the order of the server decides, not that of the client.
    pub server_order: bool,
    /// In the order of preference; empty for the usual ones.
    pub key_exchanges: Vec<KeyExchange>,
}

/// Where PEM stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pem {
    /// In a file.
    File(PathBuf),
    /// In the configuration.
    Inline(Hidden),
}

/// A bucket of requests: it holds `burst`, and one comes in each `interval`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Above 0.
    pub interval: Duration,
    /// From 1.
    pub burst: u32,
}

/// A web configuration that can be used.
#[derive(Clone, Debug)]
pub struct LoadedWeb {
    /// What it says.
    pub settings: WebSettings,
    /// What is odd about it, in its order.
    pub warnings: Vec<Diagnostic>,
}

/// What tells that a file was changed. Two that are equal are of the same content, as far as the file system tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    seconds: i64,
    nanoseconds: i64,
}

impl Stamp {
    /// Of a file, through symbolic links; nothing where there is none that can be looked at.
    pub fn of(path: &Path) -> Option<Self> {
        let file = fs::metadata(path).ok()?;
        Some(Self {
            device: file.dev(),
            inode: file.ino(),
            size: file.size(),
            seconds: file.mtime(),
            nanoseconds: file.mtime_nsec(),
        })
    }
}

impl WebSettings {
    /// The files that it names.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let tls = self.tls.iter();
        tls.flat_map(|tls| [&tls.certificate, &tls.key].into_iter().chain(&tls.client_ca)).filter_map(|pem| match &pem
            .value
        {
            Pem::File(path) => Some(path.as_path()),
            Pem::Inline(_) => None,
        })
    }
}

/// Reads and checks a file. Paths inside it are relative to its folder; what they lead to is not read here.
///
/// # Errors
/// Everything that is wrong with it at once; only a text that is no YAML stops earlier.
pub fn load(path: &Path) -> Result<LoadedWeb, ConfigErrors> {
    let name = path.display().to_string();
    let mut text = String::new();
    let limit = u64::try_from(MAX_FILE).unwrap_or(u64::MAX).saturating_add(1);
    let read = FsFile::open(path).and_then(|file| file.take(limit).read_to_string(&mut text));
    match read {
        Ok(_) => parse(&name, &text),
        Err(error) => {
            let message = format!("the web configuration cannot be read: {error}");
            Err(ConfigErrors::one(Diagnostic::about(DiagnosticSeverity::Error, &name, message)))
        }
    }
}

/// Checks a text; `name` is the file that the messages speak of, and paths in the text are relative to its folder.
///
/// # Errors
/// As [`load`].
pub fn parse(name: &str, text: &str) -> Result<LoadedWeb, ConfigErrors> {
    // Lines of it are shown where something is wrong, and go to logs.
    let shown = mask::without_secrets(text);
    let source = Source { name, text: &shown };
    let fatal =
        |mark, message: String| ConfigErrors::one(Diagnostic::new(source, DiagnosticSeverity::Error, mark, message));
    if text.len() > MAX_FILE {
        return Err(fatal(None, format!("the file is larger than {} KiB", MAX_FILE / 1024)));
    }
    let node = yaml::parse(text).map_err(|error| fatal(error.mark, error.message))?;
    let mut reader = Reader::new(source);
    let base = Path::new(name).parent().unwrap_or_else(|| Path::new(""));
    let settings = WebFile::from_node(&node, &mut reader).map(|file| file.settings(&mut reader, base));
    let errors = reader.errors();
    let (diagnostics, left_out) = reader.finish();
    match settings {
        Some(settings) if errors == 0 => Ok(LoadedWeb { settings, warnings: diagnostics }),
        _ => Err(ConfigErrors { diagnostics, left_out }),
    }
}

/// Something is wrong with what a value leads to, such as the file of a certificate.
pub fn wrong_value<T>(name: &str, value: &At<T>, message: String) -> ConfigErrors {
    let mut diagnostic = Diagnostic::about_value(value, name, message, None);
    diagnostic.severity = DiagnosticSeverity::Error;
    ConfigErrors::one(diagnostic)
}

#[cfg(test)]
mod tests;
