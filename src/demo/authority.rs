//! The certification authority of the world: certificates with any dates, names and keys.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, PublicKeyData as _, date_time_ymd,
};
use rustls::{
    crypto::aws_lc_rs::sign::any_supported_type,
    sign::{CertifiedKey, SigningKey},
};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::DemoError;
use crate::terms::Timestamp;

const DAY: Duration = Duration::from_secs(86_400);
/// The root and the intermediate begin and end so far from now: all that is issued lies between.
const AUTHORITY_DAYS: u32 = 1000;
/// Servers have one of so many keys; a certificate is quick to make, a key is not.
const KEYS: usize = 4;

/// A wish for a server certificate. The same wish is the same certificate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Certificate {
    /// subjectAltName, in order; the first is the common name.
    pub(super) names: Vec<String>,
    /// Days before the start of the world (negative: after it) at which it becomes valid.
    pub(super) begun: i32,
    /// Days after the start of the world at which it ends.
    pub(super) left: i32,
    /// Which of the keys it holds.
    pub(super) key: usize,
    /// It signed itself.
    pub(super) self_signed: bool,
}

impl Certificate {
    /// Of 90 days with this many left.
    pub(super) fn of_90_days(names: &[&str], left: i32) -> Self {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Self { names, begun: 90 - left, left, key: 0, self_signed: false }
    }

    /// The same with another key.
    pub(super) fn with_key(self, key: usize) -> Self {
        Self { key, ..self }
    }

    /// The same, signed by itself.
    pub(super) fn self_signed(self) -> Self {
        Self { self_signed: true, ..self }
    }
}

/// The authority.
pub(super) struct Authority {
    root: CertifiedIssuer<'static, KeyPair>,
    intermediate: CertifiedIssuer<'static, KeyPair>,
    keys: Vec<Key>,
    start: Timestamp,
    issued: Mutex<HashMap<Certificate, Arc<CertifiedKey>>>,
}

/// A key of servers, for signing certificates and for handshakes: made once, whoever holds it.
struct Key {
    pair: KeyPair,
    signer: Arc<dyn SigningKey>,
}

impl Key {
    fn new() -> Result<Self, DemoError> {
        let pair = KeyPair::generate().map_err(DemoError::certificate)?;
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.serialize_der()));
        let signer = any_supported_type(&private).map_err(DemoError::certificate)?;
        Ok(Self { pair, signer })
    }
}

impl Authority {
    /// `start`: what the days of certificates are counted from.
    pub(super) fn new(start: Timestamp) -> Result<Self, DemoError> {
        let span = (start - DAY * AUTHORITY_DAYS, start + DAY * AUTHORITY_DAYS);
        let key = || KeyPair::generate().map_err(DemoError::certificate);
        let root =
            CertifiedIssuer::self_signed(authority("Demo Root", span)?, key()?).map_err(DemoError::certificate)?;
        let intermediate = CertifiedIssuer::signed_by(authority("Demo Intermediate", span)?, key()?, &root)
            .map_err(DemoError::certificate)?;
        let keys = (0..KEYS).map(|_| Key::new()).collect::<Result<_, _>>()?;
        Ok(Self { root, intermediate, keys, start, issued: Mutex::default() })
    }

    /// The root as PEM: what `probe.ca_file` names.
    pub(super) fn root_pem(&self) -> String {
        self.root.pem()
    }

    /// The SHA-256 of a key's SubjectPublicKeyInfo: what a `3 1 1` TLSA record holds.
    pub(super) fn key_digest(&self, key: usize) -> Result<Vec<u8>, DemoError> {
        Ok(digest(&SHA256, &self.key(key)?.pair.subject_public_key_info()).as_ref().to_vec())
    }

    /// Issues a certificate, or finds it again; with its chain and its key.
    pub(super) fn issue(&self, wish: &Certificate) -> Result<Arc<CertifiedKey>, DemoError> {
        // One lock over all: two servers that ask at the same time have to get the same.
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = issued.get(wish) {
            return Ok(Arc::clone(known));
        }
        let key = self.key(wish.key)?;
        let params = self.params(wish)?;
        let chain = match wish.self_signed {
            true => vec![params.self_signed(&key.pair).map_err(DemoError::certificate)?.der().clone()],
            false => {
                let leaf = params.signed_by(&key.pair, &self.intermediate).map_err(DemoError::certificate)?;
                vec![leaf.der().clone(), self.intermediate.der().clone()]
            }
        };
        let certified = Arc::new(CertifiedKey::new(chain, Arc::clone(&key.signer)));
        issued.insert(wish.clone(), Arc::clone(&certified));
        Ok(certified)
    }

    fn key(&self, key: usize) -> Result<&Key, DemoError> {
        self.keys.get(key).ok_or_else(|| DemoError::certificate(format!("there is no key {key}")))
    }

    fn params(&self, wish: &Certificate) -> Result<CertificateParams, DemoError> {
        let mut params = CertificateParams::new(wish.names.clone()).map_err(DemoError::certificate)?;
        params.distinguished_name = DistinguishedName::new();
        if let Some(name) = wish.names.first() {
            params.distinguished_name.push(DnType::CommonName, name.as_str());
        }
        set_validity(&mut params, (self.day(-wish.begun), self.day(wish.left)));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        Ok(params)
    }

    /// So many days after the start.
    fn day(&self, days: i32) -> Timestamp {
        match days < 0 {
            true => self.start - DAY * days.unsigned_abs(),
            false => self.start + DAY * days.unsigned_abs(),
        }
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("start", &self.start).finish_non_exhaustive()
    }
}

fn authority(name: &str, span: (Timestamp, Timestamp)) -> Result<CertificateParams, DemoError> {
    let mut params = CertificateParams::new(Vec::new()).map_err(DemoError::certificate)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_validity(&mut params, span);
    Ok(params)
}

fn set_validity(params: &mut CertificateParams, (from, until): (Timestamp, Timestamp)) {
    let date = |time: Timestamp| date_time_ymd(1970, 1, 1) + time.since(Timestamp::default());
    params.not_before = date(from);
    params.not_after = date(until);
}
