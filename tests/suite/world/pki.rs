//! A certification authority for the peers: root, intermediate, and leaves with any fault.

use std::{sync::Arc, time::Duration};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::{
    ServerConfig, SupportedProtocolVersion,
    crypto::aws_lc_rs::{default_provider, sign::any_supported_type},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use smtptls_exporter::{net, protocol::tls::Roots, terms::Timestamp};

const DAY: Duration = Duration::from_secs(86_400);

/// A root, and an intermediate that it signed.
pub(crate) struct Pki {
    root: CertifiedIssuer<'static, KeyPair>,
    intermediate: CertifiedIssuer<'static, KeyPair>,
}

/// Who signs a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SignedBy {
    Intermediate,
    Root,
    Itself,
}

/// A wish for a server certificate.
#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    names: Vec<String>,
    common_name: Option<String>,
    valid: (Timestamp, Timestamp),
    signed_by: SignedBy,
    is_ca: bool,
    send_intermediate: bool,
    send_root: bool,
}

/// A certificate chain with its key, as a server has it.
#[derive(Clone, Debug)]
pub(crate) struct Identity(Arc<CertifiedKey>);

impl Pki {
    pub(crate) fn new() -> Self {
        Self::with_intermediate_until(net::now() + 1000 * DAY)
    }

    /// The intermediate began 400 days ago and ends then.
    pub(crate) fn with_intermediate_until(end: Timestamp) -> Self {
        let root = CertifiedIssuer::self_signed(
            authority("Test Root", (net::now() - 2000 * DAY, net::now() + 2000 * DAY)),
            KeyPair::generate().unwrap(),
        )
        .unwrap();
        let intermediate = CertifiedIssuer::signed_by(
            authority("Test Intermediate", (net::now() - 400 * DAY, end)),
            KeyPair::generate().unwrap(),
            &root,
        )
        .unwrap();
        Self { root, intermediate }
    }

    /// The root as PEM: what `probe.ca_file` names.
    pub(crate) fn root_pem(&self) -> String {
        self.root.pem()
    }

    pub(crate) fn roots(&self) -> Roots {
        Roots::from_pem(self.root_pem().as_bytes()).unwrap()
    }

    /// A certificate without fault.
    pub(crate) fn identity(&self, names: &[&str]) -> Identity {
        self.issue(&Leaf::named(names))
    }

    pub(crate) fn issue(&self, leaf: &Leaf) -> Identity {
        let key = KeyPair::generate().unwrap();
        let params = leaf.params();
        let certificate = match leaf.signed_by {
            SignedBy::Intermediate => params.signed_by(&key, &self.intermediate),
            SignedBy::Root => params.signed_by(&key, &self.root),
            SignedBy::Itself => params.self_signed(&key),
        }
        .unwrap();
        let mut chain = vec![certificate.der().clone()];
        if leaf.signed_by == SignedBy::Intermediate && leaf.send_intermediate {
            chain.push(self.intermediate.der().clone());
        }
        if leaf.send_root {
            chain.push(self.root.der().clone());
        }
        Identity::from_pem_key(chain, &key.serialize_pem())
    }
}

impl Leaf {
    /// 90 days long, 30 of them gone, signed by the intermediate, which is sent.
    pub(crate) fn named(names: &[&str]) -> Self {
        Self {
            names: names.iter().map(|&name| name.to_owned()).collect(),
            common_name: None,
            valid: (net::now() - 30 * DAY, net::now() + 60 * DAY),
            signed_by: SignedBy::Intermediate,
            is_ca: false,
            send_intermediate: true,
            send_root: false,
        }
    }

    /// A common name, and no other.
    pub(crate) fn common_name_only(name: &str) -> Self {
        Self { common_name: Some(name.to_owned()), ..Self::named(&[]) }
    }

    pub(crate) fn valid(self, from: Timestamp, until: Timestamp) -> Self {
        Self { valid: (from, until), ..self }
    }

    /// Ended three days ago.
    pub(crate) fn expired(self) -> Self {
        self.valid(net::now() - 93 * DAY, net::now() - 3 * DAY)
    }

    /// Begins in three days.
    pub(crate) fn not_yet_valid(self) -> Self {
        self.valid(net::now() + 3 * DAY, net::now() + 93 * DAY)
    }

    pub(crate) fn self_signed(self) -> Self {
        Self { signed_by: SignedBy::Itself, ..self }
    }

    pub(crate) fn signed_by_root(self) -> Self {
        Self { signed_by: SignedBy::Root, ..self }
    }

    /// basicConstraints CA:TRUE, as careless self-signed certificates have it.
    pub(crate) fn authority(self) -> Self {
        Self { is_ca: true, ..self }
    }

    pub(crate) fn without_intermediate(self) -> Self {
        Self { send_intermediate: false, ..self }
    }

    pub(crate) fn with_root(self) -> Self {
        Self { send_root: true, ..self }
    }

    fn params(&self) -> CertificateParams {
        let mut params = CertificateParams::new(self.names.clone()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        if let Some(name) = self.common_name.as_ref().or_else(|| self.names.first()) {
            params.distinguished_name.push(DnType::CommonName, name.as_str());
        }
        set_validity(&mut params, self.valid);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        if self.is_ca {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        params
    }
}

impl Identity {
    /// Any chain with the PEM key of its leaf.
    pub(crate) fn from_pem_key(chain: Vec<CertificateDer<'static>>, key_pem: &str) -> Self {
        let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).unwrap();
        Self(Arc::new(CertifiedKey::new(chain, any_supported_type(&key).unwrap())))
    }

    /// This certificate in the hands of somebody who has another key.
    pub(crate) fn with_key_of(&self, other: &Self) -> Self {
        Self(Arc::new(CertifiedKey::new(self.0.cert.clone(), Arc::clone(&other.0.key))))
    }

    /// With the last certificate of the chain so many times more.
    pub(crate) fn with_more(&self, times: usize) -> Self {
        let mut chain = self.0.cert.clone();
        let last = chain.last().unwrap().clone();
        chain.extend(std::iter::repeat_n(last, times));
        Self(Arc::new(CertifiedKey::new(chain, Arc::clone(&self.0.key))))
    }

    /// A TLS server that presents this to everybody.
    pub(crate) fn server(&self, versions: &[&'static SupportedProtocolVersion]) -> Arc<ServerConfig> {
        server(Arc::new(self.clone()), versions)
    }

    pub(crate) fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0)
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.certified())
    }
}

/// Chooses by the name that the client asks for (SNI).
#[derive(Debug)]
pub(crate) struct ByName {
    identities: Vec<(String, Identity)>,
    otherwise: Identity,
}

impl ByName {
    /// `otherwise` is for every other name, and for who asks for none.
    pub(crate) fn new(identities: &[(&str, Identity)], otherwise: &Identity) -> Self {
        let named = |(name, identity): &(&str, Identity)| ((*name).to_owned(), identity.clone());
        Self { identities: identities.iter().map(named).collect(), otherwise: otherwise.clone() }
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let asked = hello.server_name();
        let found = self.identities.iter().find(|(name, _)| Some(name.as_str()) == asked);
        Some(found.map_or(&self.otherwise, |(_, identity)| identity).certified())
    }
}

/// A TLS server that presents what `resolver` chooses.
pub(crate) fn server(
    resolver: Arc<dyn ResolvesServerCert>,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ServerConfig> {
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    Arc::new(config)
}

fn authority(name: &str, valid: (Timestamp, Timestamp)) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_validity(&mut params, valid);
    params
}

fn set_validity(params: &mut CertificateParams, (from, until): (Timestamp, Timestamp)) {
    let date = |time: Timestamp| date_time_ymd(1970, 1, 1) + time.since(Timestamp::default());
    params.not_before = date(from);
    params.not_after = date(until);
}
