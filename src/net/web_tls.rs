//! TLS of the web server as its configuration says, with the certificates of clients.

use std::{fs, io::Read, sync::Arc};

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig, SignatureScheme,
    SupportedProtocolVersion,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    server::{
        NoServerSessionStorage, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    version::{TLS12, TLS13},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::ServerCertificate;
use crate::{
    config::web::{ClientCertificates, Pem, TlsSettings, TlsVersion},
    protocol::tls::pem_fault,
};

/// PEM of long chains and of all public CAs has less; a larger file is another one.
const MAX_PEM: u64 = 4 << 20;
/// What this program speaks above TLS: who asks for HTTP/2 alone is told so in the handshake.
const ALPN: &[u8] = b"http/1.1";

/// Which value of the configuration leads to something that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsPart {
    /// The chain.
    Certificate,
    /// The key.
    Key,
    /// The CA of clients.
    ClientCa,
}

/// Why TLS cannot be served as it is configured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct WebTlsError {
    /// Where that lies.
    pub part: TlsPart,
    /// With the file, where there is one.
    pub why: String,
}

/// Reads what the settings lead to, and makes it ready to serve.
///
/// # Errors
/// A file cannot be read or does not hold what it should, or the parts do not belong together.
pub fn web_tls(settings: &TlsSettings) -> Result<ServerCertificate, WebTlsError> {
    let of = |part| move |why: String| WebTlsError { part, why };
    let chain = certificates(&settings.certificate.value).map_err(of(TlsPart::Certificate))?;
    if chain.iter().any(|one| parsed(one).is_err()) {
        return Err(of(TlsPart::Certificate)(named(
            &settings.certificate.value,
            &"a certificate in it cannot be read",
        )));
    }
    let key = read(&settings.key.value).map_err(of(TlsPart::Key))?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| {
        let why = format!("no PEM private key can be read: {}", pem_fault(&error));
        of(TlsPart::Key)(named(&settings.key.value, &why))
    })?;
    let provider = Arc::new(provider(settings));
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions(settings))
        .map_err(|error| of(TlsPart::Certificate)(error.to_string()))?;
    let builder = match settings.client_certificates {
        ClientCertificates::None => builder.with_no_client_auth(),
        _ => {
            let verifier = ClientGate::new(settings, &provider).map_err(of(TlsPart::ClientCa))?;
            builder.with_client_cert_verifier(Arc::new(verifier))
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| {
        let why = format!("certificate and key cannot be used together: {error}");
        of(TlsPart::Key)(named(&settings.key.value, &why))
    })?;
    config.ignore_client_order = settings.server_order;
    config.alpn_protocols = vec![ALPN.to_vec()];
    if settings.client_certificates != ClientCertificates::None {
        // A session that is resumed shows no certificate again: one that has expired meanwhile, or whose CA was taken out, would go on
        // to be let in. So there is none, neither by number nor by ticket (without a ticketer TLS 1.2 has no tickets).
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(ServerCertificate::of(config))
}

/// As Go does: the list is of TLS 1.2, and those of TLS 1.3 are always there.
fn provider(settings: &TlsSettings) -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    if !settings.cipher_suites.is_empty() {
        let all = std::mem::take(&mut provider.cipher_suites);
        let number = |suite: &rustls::SupportedCipherSuite| u16::from(suite.suite());
        let chosen = settings.cipher_suites.iter().filter(|suite| !suite.is_of_tls13());
        let chosen: Vec<_> =
            chosen.filter_map(|wanted| all.iter().find(|suite| number(suite) == wanted.number).copied()).collect();
        provider.cipher_suites = all.into_iter().filter(|suite| suite.tls13().is_some()).chain(chosen).collect();
    }
    if !settings.key_exchanges.is_empty() {
        let wanted = settings.key_exchanges.iter();
        provider.kx_groups = wanted
            .filter_map(|wanted| {
                aws_lc_rs::ALL_KX_GROUPS.iter().find(|group| u16::from(group.name()) == wanted.number).copied()
            })
            .collect();
    }
    provider
}

fn versions(settings: &TlsSettings) -> Vec<&'static SupportedProtocolVersion> {
    let between = |version| settings.min_version <= version && version <= settings.max_version;
    [(TlsVersion::Tls13, &TLS13), (TlsVersion::Tls12, &TLS12)]
        .into_iter()
        .filter(|(version, _)| between(*version))
        .map(|(_, version)| version)
        .collect()
}

fn read(pem: &Pem) -> Result<Vec<u8>, String> {
    match pem {
        Pem::Inline(text) => Ok(text.reveal().as_bytes().to_vec()),
        Pem::File(path) => {
            let mut bytes = Vec::new();
            let read = fs::File::open(path).and_then(|file| file.take(MAX_PEM).read_to_end(&mut bytes));
            read.map(|_| bytes).map_err(|error| named(pem, &error))
        }
    }
}

fn certificates(pem: &Pem) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(pem)?).collect();
    match read {
        Ok(read) if read.is_empty() => Err(named(pem, &"there is no PEM certificate in it")),
        Ok(read) => Ok(read),
        Err(error) => Err(named(pem, &format!("no PEM certificate can be read: {}", pem_fault(&error)))),
    }
}

fn named(pem: &Pem, why: &dyn std::fmt::Display) -> String {
    match pem {
        Pem::File(path) => format!("{}: {why}", path.display()),
        Pem::Inline(_) => why.to_string(),
    }
}

/// Judges the certificates of clients as Go's `tls.ClientAuthType` says, and their names.
#[derive(Debug)]
struct ClientGate {
    kind: ClientCertificates,
    /// Nothing where there is no CA.
    chains: Option<Arc<dyn ClientCertVerifier>>,
    /// The certificates of the CA: one that a client shows itself is believed without a chain, as Go does.
    known: Vec<CertificateDer<'static>>,
    allowed_sans: Vec<String>,
    algorithms: WebPkiSupportedAlgorithms,
    hints: Vec<DistinguishedName>,
}

impl ClientGate {
    fn new(settings: &TlsSettings, provider: &Arc<CryptoProvider>) -> Result<Self, String> {
        let (mut chains, mut known, mut hints) = (None, Vec::new(), Vec::new());
        if let Some(ca) = &settings.client_ca {
            known = certificates(&ca.value)?;
            let mut roots = RootCertStore::empty();
            for one in &known {
                roots.add(one.clone()).map_err(|error| named(&ca.value, &format!("this is no CA: {error}")))?;
            }
            hints = roots.subjects();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
            chains = Some(verifier.map_err(|error| named(&ca.value, &error))?);
        }
        Ok(Self {
            kind: settings.client_certificates,
            chains,
            known,
            allowed_sans: settings.client_allowed_sans.clone(),
            algorithms: provider.signature_verification_algorithms,
            hints,
        })
    }
}

impl ClientCertVerifier for ClientGate {
    fn client_auth_mandatory(&self) -> bool {
        self.kind.mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if self.kind.verified() {
            match &self.chains {
                _ if self.known.iter().any(|known| known == certificate) => valid_at(certificate, now)?,
                Some(chains) => {
                    chains.verify_client_cert(certificate, intermediates, now)?;
                }
                None => return Err(CertificateError::UnknownIssuer.into()),
            }
        }
        if !self.allowed_sans.is_empty() && !names(certificate)?.iter().any(|name| self.allowed_sans.contains(name)) {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn parsed<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, Error> {
    X509Certificate::from_der(certificate).map(|(_, read)| read).map_err(|_| CertificateError::BadEncoding.into())
}

fn valid_at(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let validity = parsed(certificate)?.validity.clone();
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    match () {
        () if now < validity.not_before.timestamp() => Err(CertificateError::NotValidYet.into()),
        () if now > validity.not_after.timestamp() => Err(CertificateError::Expired.into()),
        () => Ok(()),
    }
}

/// The names of a certificate as exporter-toolkit compares them: DNS names, addresses of mail and of IP, URIs.
fn names(certificate: &CertificateDer<'_>) -> Result<Vec<String>, Error> {
    let certificate = parsed(certificate)?;
    let names = certificate.subject_alternative_name().map_err(|_| Error::from(CertificateError::BadEncoding))?;
    let general = names.iter().flat_map(|extension| &extension.value.general_names);
    Ok(general
        .filter_map(|name| match name {
            GeneralName::DNSName(name) | GeneralName::RFC822Name(name) | GeneralName::URI(name) => {
                Some((*name).to_owned())
            }
            GeneralName::IPAddress(bytes) => address(bytes),
            _ => None,
        })
        .collect())
}

fn address(bytes: &[u8]) -> Option<String> {
    let ip4 = <[u8; 4]>::try_from(bytes).map(std::net::IpAddr::from);
    ip4.or_else(|_| <[u8; 16]>::try_from(bytes).map(std::net::IpAddr::from)).ok().map(|address| address.to_string())
}
