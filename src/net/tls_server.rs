//! TLS as a server, for a listener of its own.

use std::{
    io,
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use rustls::{ServerConfig, crypto::aws_lc_rs::default_provider};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::own_file::read_own_file;
use crate::protocol::tls::pem_fault;

/// A certificate with its key, ready to serve.
#[derive(Clone)]
pub struct ServerCertificate(TlsAcceptor);

/// Why it cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {why}")]
pub struct ServerCertificateError {
    path: String,
    why: String,
}

/// A connection of which the handshake is done.
#[derive(Debug)]
pub struct ServedTls(Box<TlsStream<TcpStream>>);

impl ServerCertificate {
    /// Reads a chain and its key, both PEM.
    ///
    /// # Errors
    /// A file cannot be read or holds nothing of the kind, or the two do not belong together.
    pub fn load(chain: &Path, key: &Path) -> Result<Self, ServerCertificateError> {
        let failed = |path: &Path, why: String| ServerCertificateError { path: path.display().to_string(), why };
        let read = |path: &Path| read_own_file(path).map_err(|error| failed(path, error.to_string()));
        let certificates: Result<Vec<CertificateDer<'static>>, _> =
            CertificateDer::pem_slice_iter(&read(chain)?).collect();
        let certificates = certificates
            .map_err(|error| failed(chain, format!("no PEM certificate can be read: {}", pem_fault(&error))))?;
        if certificates.is_empty() {
            return Err(failed(chain, "there is no PEM certificate in it".to_owned()));
        }
        let private = PrivateKeyDer::from_pem_slice(&read(key)?)
            .map_err(|error| failed(key, format!("no PEM private key can be read: {}", pem_fault(&error))))?;
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(chain, error.to_string()))?
            .with_no_client_auth()
            .with_single_cert(certificates, private)
            .map_err(|error| failed(key, format!("certificate and key cannot be used together: {error}")))?;
        Ok(Self::of(config))
    }

    pub(super) fn of(config: ServerConfig) -> Self {
        Self(TlsAcceptor::from(Arc::new(config)))
    }

    /// Does the handshake. The caller bounds its time.
    ///
    /// # Errors
    /// The peer does not finish it.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<ServedTls> {
        self.0.accept(stream).await.map(|stream| ServedTls(Box::new(stream)))
    }
}

impl std::fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ServerCertificate").finish_non_exhaustive()
    }
}

impl AsyncRead for ServedTls {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().0).poll_read(context, buffer)
    }
}

impl AsyncWrite for ServedTls {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.get_mut().0).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.get_mut().0).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().0).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().0).poll_shutdown(context)
    }
}
