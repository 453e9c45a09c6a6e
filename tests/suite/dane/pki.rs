//! Chains and records made for the occasion.

use aws_lc_rs::digest::{SHA256, SHA512, digest};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, date_time_ymd,
};
use smtptls_exporter::{
    facts::{ChainFacts, TlsaRecord},
    protocol::{
        dane::{DaneResult, Verification, verify},
        tls::{Roots, chain_facts, public_key_info},
    },
    terms::{Octets, Timestamp},
};

pub(crate) type Authority = CertifiedIssuer<'static, KeyPair>;

pub(crate) const HOST: &str = "mx.example.com";

pub(crate) fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

fn params(name: &str, (from, until): (i32, i32), is_ca: bool) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    if is_ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    params
}

pub(crate) fn root(name: &str) -> Authority {
    root_of(name, (2010, 2040))
}

pub(crate) fn root_of(name: &str, years: (i32, i32)) -> Authority {
    CertifiedIssuer::self_signed(params(name, years, true), KeyPair::generate().unwrap()).unwrap()
}

pub(crate) fn intermediate(name: &str, by: &Authority, years: (i32, i32)) -> Authority {
    CertifiedIssuer::signed_by(params(name, years, true), KeyPair::generate().unwrap(), by).unwrap()
}

/// A leaf to be signed.
pub(crate) struct Leaf(CertificateParams);

impl Leaf {
    pub(crate) fn new() -> Self {
        Self::named(HOST)
    }

    pub(crate) fn named(name: &str) -> Self {
        Self(params(name, (2026, 2027), false))
    }

    pub(crate) fn years(mut self, from: i32, until: i32) -> Self {
        self.0.not_before = date_time_ymd(from, 1, 1);
        self.0.not_after = date_time_ymd(until, 1, 1);
        self
    }

    pub(crate) fn authority(mut self) -> Self {
        self.0.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        self
    }

    pub(crate) fn client_only(mut self) -> Self {
        self.0.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self
    }

    /// No subjectAltName; the name is the common name's.
    pub(crate) fn common_name_only(mut self) -> Self {
        self.0.subject_alt_names.clear();
        self
    }

    pub(crate) fn common_name(mut self, name: &str) -> Self {
        self.0.distinguished_name = DistinguishedName::new();
        self.0.distinguished_name.push(DnType::CommonName, name);
        self
    }

    pub(crate) fn by(self, issuer: &Authority) -> Vec<u8> {
        self.0.signed_by(&KeyPair::generate().unwrap(), issuer).unwrap().der().to_vec()
    }

    pub(crate) fn self_signed(self) -> Vec<u8> {
        self.0.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }
}

pub(crate) fn der(authority: &Authority) -> Vec<u8> {
    authority.der().to_vec()
}

pub(crate) fn chain(certificates: &[&[u8]]) -> ChainFacts {
    chain_facts(certificates, &Roots::default(), now()).unwrap()
}

/// The record with these parameters for a certificate.
pub(crate) fn record([usage, selector, matching]: [u8; 3], der: &[u8]) -> TlsaRecord {
    let selected = if selector == 0 { der } else { public_key_info(der).unwrap() };
    let data = match matching {
        1 => digest(&SHA256, selected).as_ref().to_vec(),
        2 => digest(&SHA512, selected).as_ref().to_vec(),
        _ => selected.to_vec(),
    };
    TlsaRecord { usage, selector, matching, data: Octets(data) }
}

/// One with a digest that is of nothing.
pub(crate) fn stranger([usage, selector, matching]: [u8; 3]) -> TlsaRecord {
    let data = vec![0xab; if matching == 2 { 64 } else { 32 }];
    TlsaRecord { usage, selector, matching, data: Octets(data) }
}

pub(crate) fn judge(records: &[TlsaRecord], certificates: &[&[u8]]) -> Verification {
    verify(records, &chain(certificates), &[HOST], now())
}

pub(crate) fn matched(record: usize, depth: usize) -> DaneResult {
    DaneResult::Match { record, depth: Some(depth) }
}

pub(crate) const MISMATCH: DaneResult = DaneResult::Mismatch { passed_over: None };
