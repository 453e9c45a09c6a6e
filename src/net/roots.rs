//! The trust stores.

use std::path::Path;

use rustls_pki_types::CertificateDer;
use webpki::anchor_from_trusted_cert;

use super::own_file::read_own_file;
use crate::protocol::tls::{Roots, RootsPemError};

/// Which built-in roots are trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RootChoice {
    /// The roots of Mozilla, as this program was built with them.
    #[default]
    Webpki,
    /// Those of the operating system (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured).
    System,
    /// None: only those of a file.
    None,
}

/// Why the roots could not be loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RootsError {
    /// The file cannot be read.
    #[error("{path}: {reason}")]
    Read {
        /// Which.
        path: String,
        /// The system's words.
        reason: String,
    },
    /// The file is no list of roots.
    #[error("{path}: {error}")]
    Pem {
        /// Which.
        path: String,
        /// Why.
        error: RootsPemError,
    },
    /// The operating system has no usable roots.
    #[error("the operating system has no usable roots ({0})")]
    System(String),
}

/// Loads the chosen roots and those of a PEM file.
///
/// # Errors
/// The file, or all of the system's store, is unusable. Single certificates of the system's store that cannot be read are left
/// out: the operating system, not the user of this program, put them there.
pub fn load_roots(choice: RootChoice, extra_ca_file: Option<&Path>) -> Result<Roots, RootsError> {
    let built_in = match choice {
        RootChoice::Webpki => Roots::from_anchors(webpki_roots::TLS_SERVER_ROOTS.to_vec()),
        RootChoice::System => system_roots()?,
        RootChoice::None => Roots::default(),
    };
    match extra_ca_file {
        None => Ok(built_in),
        Some(path) => Ok(built_in.with(&file_roots(path)?)),
    }
}

fn file_roots(path: &Path) -> Result<Roots, RootsError> {
    let shown = path.display().to_string();
    let read = read_own_file(path);
    let pem = read.map_err(|error| RootsError::Read { path: shown.clone(), reason: error.to_string() })?;
    Roots::from_pem(&pem).map_err(|error| RootsError::Pem { path: shown, error })
}

fn system_roots() -> Result<Roots, RootsError> {
    let loaded = rustls_native_certs::load_native_certs();
    let anchor = |der: &CertificateDer<'_>| anchor_from_trusted_cert(der).ok().map(|anchor| anchor.to_owned());
    let anchors: Vec<_> = loaded.certs.iter().filter_map(anchor).collect();
    if anchors.is_empty() {
        let reasons: Vec<String> = loaded.errors.iter().map(ToString::to_string).collect();
        return Err(RootsError::System(if reasons.is_empty() { "none found".into() } else { reasons.join("; ") }));
    }
    Ok(Roots::from_anchors(anchors))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_built_in_roots_are_many() {
        assert!(load_roots(RootChoice::Webpki, None).unwrap().len() > 50);
        assert!(load_roots(RootChoice::None, None).unwrap().is_empty());
    }

    #[test]
    fn a_file_adds_to_them() {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(params.self_signed(&key).unwrap().pem().as_bytes()).unwrap();
        assert_eq!(load_roots(RootChoice::None, Some(file.path())).unwrap().len(), 1);
    }

    #[test]
    fn an_unusable_file_is_named() {
        let missing = load_roots(RootChoice::None, Some(Path::new("/nonexistent/ca.pem"))).unwrap_err();
        assert!(missing.to_string().starts_with("/nonexistent/ca.pem: "), "{missing}");
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"hello").unwrap();
        let empty = load_roots(RootChoice::None, Some(file.path())).unwrap_err();
        assert!(matches!(empty, RootsError::Pem { error: RootsPemError::Empty, .. }));
    }
}
