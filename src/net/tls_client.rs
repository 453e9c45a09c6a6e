//! TLS handshakes that end well whatever the certificate is worth: the certificate is read and judged afterwards.

use std::{
    io::{self, Write as _},
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{
        CryptoProvider, WebPkiSupportedAlgorithms,
        aws_lc_rs::{default_provider, kx_group},
        verify_tls12_signature, verify_tls13_signature,
    },
    version::{TLS12, TLS13},
};
use rustls_pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{chain_cache::ChainCache, now};
use crate::{
    facts::{ChainFacts, TlsFacts, TlsFailure, TlsVersion},
    protocol::tls::{Roots, alert_name},
    terms::Octets,
};

/// A TLS record of the handshake and one of an alert (RFC 8446 §5.1): what a TLS server's answer begins with.
const TLS_FIRST_BYTES: [u8; 2] = [0x16, 0x15];

/// RSA keys below this are refused by the cryptographic library, yet mail servers still use them.
const SMALLEST_VERIFIABLE_RSA: u32 = 2048;

/// The most bytes that come over one connection, as they are on the wire: more than twice what the largest handshake, the largest
/// header section and the largest policy take together, even if each byte of the policy is a chunk of its own. Interim answers and
/// session tickets have no end of their own, and would keep a processor busy until the deadline.
const MAX_RECEIVED: usize = 1 << 20;

/// The stream that a handshake ends in.
pub(super) type Encrypted = TlsStream<Guarded<TcpStream>>;

/// All that handshakes share: provider, configuration, roots, and the chains that were judged lately.
#[derive(Debug)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
    chains: ChainCache,
}

/// The TLS library cannot be set up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("TLS cannot be set up: {0}")]
pub struct TlsSetupError(String);

impl TlsSetupError {
    pub(super) fn new(error: &Error) -> Self {
        Self(error.to_string())
    }
}

/// Why there is no encrypted stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HandshakeFailure {
    /// The deadline passed.
    Timeout,
    /// The handshake failed.
    Failed {
        /// Why.
        failure: TlsFailure,
        /// The very first byte of the answer was not that of a TLS record.
        not_tls_at_all: bool,
    },
}

impl TlsClient {
    /// A client that judges chains by these roots.
    ///
    /// # Errors
    /// Only where the cryptographic library lacks TLS 1.2 or 1.3.
    pub fn new(roots: Roots) -> Result<Self, TlsSetupError> {
        let provider = Arc::new(CryptoProvider {
            // No post-quantum group: its key share makes the ClientHello longer than one packet, and old gateways that choke
            // on that would look broken.
            kx_groups: vec![kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1],
            ..default_provider()
        });
        let verifier = Arc::new(SignatureOnly::of_any_key(&provider));
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|error| TlsSetupError::new(&error))?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        // Every probe has to see the certificate.
        config.resumption = Resumption::disabled();
        Ok(Self { config: Arc::new(config), chains: ChainCache::new(roots) })
    }

    /// Shakes hands, `server_name` sent as SNI, and reads what the server presented.
    pub(super) async fn handshake(
        &self,
        tcp: TcpStream,
        server_name: &str,
        deadline: Instant,
    ) -> Result<(Encrypted, TlsFacts), HandshakeFailure> {
        self.handshake_saying(tcp, server_name, &[], deadline).await
    }

    /// The same; `first` is sent along with the last bytes of the handshake, which saves a packet and a turn of the event loop.
    pub(super) async fn handshake_saying(
        &self,
        tcp: TcpStream,
        server_name: &str,
        first: &[u8],
        deadline: Instant,
    ) -> Result<(Encrypted, TlsFacts), HandshakeFailure> {
        let config = Arc::clone(&self.config);
        self.handshake_by(config, tcp, sni(server_name)?, first, deadline).await
    }

    /// Shakes hands without SNI, and reads what the server presented.
    pub(super) async fn handshake_without_sni(
        &self,
        tcp: TcpStream,
        address: IpAddr,
        deadline: Instant,
    ) -> Result<(Encrypted, TlsFacts), HandshakeFailure> {
        // RFC 6066 §3: an address is no name for SNI, and so none is sent.
        let config = Arc::clone(&self.config);
        self.handshake_by(config, tcp, ServerName::IpAddress(address.into()), &[], deadline).await
    }

    /// Shakes hands as a client that takes certificates with one kind of key alone.
    pub(super) async fn handshake_with_keys(
        &self,
        tcp: TcpStream,
        server_name: &str,
        keys: KeyKind,
        deadline: Instant,
    ) -> Result<(Encrypted, TlsFacts), HandshakeFailure> {
        let name = sni(server_name)?;
        let mut config = ClientConfig::clone(&self.config);
        let algorithms = config.crypto_provider().signature_verification_algorithms;
        config.dangerous().set_certificate_verifier(Arc::new(SignatureOnly { algorithms, keys: Some(keys) }));
        self.handshake_by(Arc::new(config), tcp, name, &[], deadline).await
    }

    /// Whether both judge chains by the same roots.
    pub(crate) fn trusts_as(&self, other: &Self) -> bool {
        self.chains.roots() == other.chains.roots()
    }

    /// Makes room to remember the certificates of so many peers.
    pub(crate) fn make_room(&self, peers: usize) {
        self.chains.make_room(peers);
    }

    /// The facts of a chain that was read elsewhere.
    pub(super) fn chain(&self, chain: &[CertificateDer<'_>]) -> Result<Arc<ChainFacts>, String> {
        self.chains.facts(chain, now())
    }

    async fn handshake_by(
        &self,
        config: Arc<ClientConfig>,
        tcp: TcpStream,
        name: ServerName<'static>,
        first: &[u8],
        deadline: Instant,
    ) -> Result<(Encrypted, TlsFacts), HandshakeFailure> {
        let stream = Guarded::new(tcp);
        let mut unsaid = Ok(());
        // The library keeps it until the handshake is finished, and then encrypts it.
        let connect = TlsConnector::from(config)
            .connect_with(name, stream, |connection| unsaid = connection.writer().write_all(first))
            .into_fallible();
        unsaid.map_err(|error| HandshakeFailure::other(escape(&error.to_string())))?;
        let stream = match timeout_at(deadline, connect).await {
            Err(_) => return Err(HandshakeFailure::Timeout),
            Ok(Err((error, stream))) => return Err(HandshakeFailure::read(&error, stream.first)),
            Ok(Ok(stream)) => stream,
        };
        let facts = self.facts(&stream).map_err(HandshakeFailure::other)?;
        Ok((stream, facts))
    }

    fn facts(&self, stream: &Encrypted) -> Result<TlsFacts, String> {
        let (_, connection) = stream.get_ref();
        let version = match connection.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => TlsVersion::Tls12,
            Some(rustls::ProtocolVersion::TLSv1_3) => TlsVersion::Tls13,
            other => return Err(format!("the version {other:?} was negotiated")),
        };
        let suite = connection.negotiated_cipher_suite().ok_or("no cipher suite was negotiated")?.suite();
        let chain = self.chain(connection.peer_certificates().unwrap_or_default())?;
        Ok(TlsFacts { version, cipher: iana_name(suite), chain, completed: true })
    }
}

fn sni(server_name: &str) -> Result<ServerName<'static>, HandshakeFailure> {
    ServerName::try_from(server_name.to_owned())
        .map_err(|_| HandshakeFailure::other(format!("{server_name:?} cannot be sent as SNI")))
}

/// rustls names TLS 1.3 suites `TLS13_…`; the registry has `TLS_…`.
fn iana_name(suite: rustls::CipherSuite) -> String {
    let name = format!("{suite:?}");
    match name.strip_prefix("TLS13_") {
        Some(rest) => format!("TLS_{rest}"),
        None => name,
    }
}

impl HandshakeFailure {
    const fn other(what: String) -> Self {
        Self::Failed { failure: TlsFailure::Other(what), not_tls_at_all: false }
    }

    fn read(error: &io::Error, first: Option<u8>) -> Self {
        if let Some(first) = first.filter(|first| !TLS_FIRST_BYTES.contains(first)) {
            let what = match first {
                b' '..=b'~' => format!("it begins with {:?}", char::from(first)),
                _ => format!("it begins with the byte {first:#04x}"),
            };
            return Self::Failed { failure: TlsFailure::NotTls(what), not_tls_at_all: true };
        }
        let failure = match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(error) => failure(error),
            None => match error.kind() {
                io::ErrorKind::UnexpectedEof => TlsFailure::Closed("before the handshake was finished".into()),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => {
                    TlsFailure::Closed("by a reset".into())
                }
                _ => TlsFailure::Other(escape(&error.to_string())),
            },
        };
        Self::Failed { failure, not_tls_at_all: false }
    }
}

fn failure(error: &Error) -> TlsFailure {
    match error {
        Error::AlertReceived(alert) => TlsFailure::Alert(alert_name(u8::from(*alert))),
        Error::PeerIncompatible(what) => TlsFailure::Incompatible(words(&format!("{what:?}"))),
        Error::InvalidMessage(what) => TlsFailure::NotTls(words(&format!("{what:?}"))),
        Error::InvalidCertificate(
            what @ (CertificateError::BadSignature
            | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. }),
        ) => TlsFailure::BadSignature(escape(&what.to_string())),
        other => TlsFailure::Other(escape(&other.to_string())),
    }
}

/// `NoKxGroupsInCommon` for people: `no kx groups in common`.
fn words(name: &str) -> String {
    let mut text = String::with_capacity(name.len().saturating_add(8));
    let mut after_word = false;
    for character in name.chars().filter(|character| character.is_ascii_graphic() || *character == ' ') {
        if character.is_ascii_uppercase() && after_word {
            text.push(' ');
        }
        after_word = character.is_ascii_lowercase() || character.is_ascii_digit();
        text.push(character.to_ascii_lowercase());
    }
    text
}

fn escape(text: &str) -> String {
    Octets::from(text).to_string()
}

/// Accepts every certificate, and asks only that the server holds its key: without that the certificate would say nothing
/// about who answers. It records nothing, so one serves all connections.
#[derive(Debug)]
pub(super) struct SignatureOnly {
    algorithms: WebPkiSupportedAlgorithms,
    /// The client says that it knows these alone; nothing says all.
    keys: Option<KeyKind>,
}

impl SignatureOnly {
    /// For servers with a key of any kind.
    pub(super) const fn of_any_key(provider: &CryptoProvider) -> Self {
        Self { algorithms: provider.signature_verification_algorithms, keys: None }
    }
}

/// A kind of key of a certificate. A server with several certificates chooses by what the client says that it can verify
/// (RFC 8446 §4.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyKind {
    Rsa,
    Ecdsa,
}

impl KeyKind {
    const fn signs_by(self, scheme: SignatureScheme) -> bool {
        match scheme {
            SignatureScheme::RSA_PKCS1_SHA256
            | SignatureScheme::RSA_PKCS1_SHA384
            | SignatureScheme::RSA_PKCS1_SHA512
            | SignatureScheme::RSA_PSS_SHA256
            | SignatureScheme::RSA_PSS_SHA384
            | SignatureScheme::RSA_PSS_SHA512 => matches!(self, Self::Rsa),
            SignatureScheme::ECDSA_NISTP256_SHA256
            | SignatureScheme::ECDSA_NISTP384_SHA384
            | SignatureScheme::ECDSA_NISTP521_SHA512 => matches!(self, Self::Ecdsa),
            _ => false,
        }
    }
}

impl ServerCertVerifier for SignatureOnly {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
            .or_else(|error| self.verify_leniently(message, certificate, signed, error))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
            .or_else(|error| self.verify_leniently(message, certificate, signed, error))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let mut schemes = self.algorithms.supported_schemes();
        schemes.retain(|scheme| self.keys.is_none_or(|keys| keys.signs_by(*scheme)));
        schemes
    }
}

impl SignatureOnly {
    /// Certificates that the library does not read (X.509 v1, odd serial numbers) still have a key. RSA keys that are too
    /// short for it are let through unverified: that they are short is the finding, and it needs the certificate.
    fn verify_leniently(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
        error: Error,
    ) -> Result<HandshakeSignatureValid, Error> {
        let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
            return Err(error);
        };
        if has_short_rsa_key(certificate) {
            return Ok(HandshakeSignatureValid::assertion());
        }
        let spki = SubjectPublicKeyInfoDer::from(parsed.public_key().raw);
        let Ok(key) = webpki::RawPublicKeyEntity::try_from(&spki) else {
            return Err(error);
        };
        let candidates = self.algorithms.mapping.iter().filter(|(scheme, _)| *scheme == signed.scheme);
        let verified = candidates
            .flat_map(|(_, algorithms)| algorithms.iter())
            .any(|algorithm| key.verify_signature(*algorithm, message, signed.signature()).is_ok());
        if verified { Ok(HandshakeSignatureValid::assertion()) } else { Err(error) }
    }
}

fn has_short_rsa_key(certificate: &CertificateDer<'_>) -> bool {
    crate::protocol::tls::read_certificate(certificate)
        .is_ok_and(|facts| facts.key.algorithm == "rsa" && facts.key.bits < SMALLEST_VERIFIABLE_RSA)
}

/// A stream that remembers the first byte that was read from it, and brings no more than [`MAX_RECEIVED`].
#[derive(Debug)]
pub(super) struct Guarded<S> {
    inner: S,
    first: Option<u8>,
    /// Bytes that may still come.
    left: usize,
}

impl<S> Guarded<S> {
    const fn new(inner: S) -> Self {
        Self { inner, first: None, left: MAX_RECEIVED }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        if self.first.is_none() {
            self.first = buffer.filled().get(before).copied();
        }
        let came = buffer.filled().len().saturating_sub(before);
        let Some(left) = self.left.checked_sub(came) else {
            // Who is told of a fault was given nothing (the contract of `AsyncRead`).
            buffer.set_filled(before);
            return Poll::Ready(Err(io::Error::other(format!("more than {MAX_RECEIVED} bytes came"))));
        };
        self.left = left;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use rustls::{AlertDescription, PeerIncompatible};
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[test]
    fn errors_are_told_apart() {
        assert_eq!(
            failure(&Error::AlertReceived(AlertDescription::HandshakeFailure)),
            TlsFailure::Alert("handshake_failure".into())
        );
        assert_eq!(
            failure(&Error::AlertReceived(AlertDescription::UnrecognisedName)),
            TlsFailure::Alert("unrecognized_name".into()),
            "as RFC 6066 §3 spells it"
        );
        assert_eq!(
            failure(&Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13)),
            TlsFailure::Incompatible("server does not support tls12 or13".into())
        );
        assert!(matches!(
            failure(&Error::InvalidCertificate(CertificateError::BadSignature)),
            TlsFailure::BadSignature(_)
        ));
    }

    #[test]
    fn text_in_the_place_of_tls_is_recognised() {
        let error = io::Error::new(io::ErrorKind::InvalidData, Error::General("x".into()));
        assert_eq!(
            HandshakeFailure::read(&error, Some(b'2')),
            HandshakeFailure::Failed { failure: TlsFailure::NotTls("it begins with '2'".into()), not_tls_at_all: true }
        );
        assert!(matches!(
            HandshakeFailure::read(&error, Some(0x16)),
            HandshakeFailure::Failed { failure: TlsFailure::Other(_), not_tls_at_all: false }
        ));
        let closed = io::Error::from(io::ErrorKind::UnexpectedEof);
        assert!(matches!(
            HandshakeFailure::read(&closed, None),
            HandshakeFailure::Failed { failure: TlsFailure::Closed(_), not_tls_at_all: false }
        ));
    }

    #[tokio::test]
    async fn a_peer_brings_no_more_than_it_may() {
        for (more, taken) in [(0, true), (1, false)] {
            let bytes = vec![0x16; MAX_RECEIVED + more];
            let mut stream = Guarded::new(&bytes[..]);
            let read = stream.read_to_end(&mut Vec::new()).await;
            assert_eq!(read.is_ok(), taken, "{read:?}");
            assert_eq!(stream.first, Some(0x16));
        }
    }

    #[test]
    fn suites_have_their_registered_name() {
        assert_eq!(iana_name(rustls::CipherSuite::TLS13_AES_256_GCM_SHA384), "TLS_AES_256_GCM_SHA384");
        assert_eq!(
            iana_name(rustls::CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
        );
    }
}
