//! A mail host with a certificate that never changes, for the tests of what is said about TLSA records.

use std::{net::IpAddr, sync::Arc, time::Duration};

use super::{TlsaFacts, TlsaSuggestion, USUAL, suggest_tlsa};
use crate::{
    facts::{
        AddressLookup, AddressObservation, Asked, CertificateSurvey, ChainFacts, ConnectFailure, DnssecSight,
        Handshake, HostObservation, Lookup, LookupOutcome, PhaseTimes, Security, SmtpOutcome, TlsFacts, TlsFailure,
        TlsVersion, TlsaLookup, TlsaObservation, TlsaRecord, Vantage,
    },
    present::fixture::NOW,
    protocol::{
        dane::{Combination, record_of},
        tls::{Roots, chain_facts},
    },
    terms::{MxHost, Octets},
};

/// For `mx.example.com`, in the year 2026, by [`ISSUER`].
pub(crate) const LEAF: &[u8] = include_bytes!("../../../tests/data/certificates/chain/leaf.der");
/// For the same name and with the same key, by the same authority: what a renewal that keeps the key looks like.
pub(crate) const RENEWED: &[u8] = include_bytes!("../../../tests/data/certificates/chain/endless.der");
/// The authority of both.
pub(crate) const ISSUER: &[u8] = include_bytes!("../../../tests/data/certificates/chain/issuer.der");

/// A certificate for the same name with a key of its own, which signed itself.
pub(crate) fn other() -> Vec<u8> {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["mx.example.com".to_owned()]).unwrap();
    params.self_signed(&key).unwrap().der().to_vec()
}

/// A mail host.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) lookup: HostObservation,
    pub(crate) base: MxHost,
    pub(crate) addresses: Vec<CertificateSurvey>,
    pub(crate) vantage: Vantage,
    pub(crate) combination: Combination,
    pub(crate) next: Option<TlsaRecord>,
    pub(crate) skipped: usize,
}

pub(crate) fn suggested(host: &Host) -> TlsaSuggestion {
    let facts = TlsaFacts {
        lookup: &host.lookup,
        base: &host.base,
        addresses: &host.addresses,
        skipped: host.skipped,
        vantage: &host.vantage,
    };
    suggest_tlsa(&facts, host.combination, host.next.clone(), NOW)
}

pub(crate) fn chain(certificates: &[&[u8]]) -> Arc<ChainFacts> {
    Arc::new(chain_facts(certificates, &Roots::default(), NOW).unwrap())
}

pub(crate) fn tls(chain: Arc<ChainFacts>) -> TlsFacts {
    TlsFacts { version: TlsVersion::Tls13, cipher: "TLS_AES_256_GCM_SHA384".into(), chain, completed: true }
}

/// An address that presents this chain to whoever takes its key.
pub(crate) fn survey(at: &str, certificates: &[&[u8]]) -> CertificateSurvey {
    let served = tls(chain(certificates));
    CertificateSurvey {
        usual: AddressObservation {
            host: MxHost::parse("mx.example.com").unwrap(),
            address: at.parse().unwrap(),
            at: NOW,
            duration: Duration::from_millis(50),
            times: PhaseTimes::default(),
            outcome: SmtpOutcome::Done,
            banner: None,
            capabilities: None,
            tls: Some(served.clone()),
            cleartext_after_starttls: false,
            said: Vec::new(),
        },
        rsa: Handshake::Failed(TlsFailure::Alert("handshake_failure".into())),
        ecdsa: Handshake::Done(served),
    }
}

fn lookup<T>(name: &str, records: Vec<T>, security: Security) -> Lookup<T> {
    let outcome = match records.is_empty() {
        true => LookupOutcome::NoData,
        false => LookupOutcome::Records { records, ttl: 7200 },
    };
    Lookup {
        name: name.into(),
        at: NOW,
        outcome,
        cname: Vec::new(),
        security,
        signatures: None,
        message_bytes: 0,
        extended_errors: Vec::new(),
        asked: Asked::default(),
    }
}

impl Host {
    fn new(security: Security) -> Self {
        let host = MxHost::parse("mx.example.com").unwrap();
        let address: IpAddr = "192.0.2.10".parse().unwrap();
        Self {
            lookup: HostObservation {
                host: host.clone(),
                at: NOW,
                addresses: AddressLookup { ip4: Some(lookup(host.as_str(), vec![address], security)), ip6: None },
                tlsa: Some(TlsaObservation { alias: None, lookups: Vec::new() }),
                resolver_healthy: true,
                dnssec_healthy: true,
            },
            base: host,
            addresses: vec![survey("192.0.2.10", &[LEAF, ISSUER])],
            vantage: Vantage { dnssec: DnssecSight::Validating, ..Vantage::default() },
            combination: USUAL,
            next: None,
            skipped: 0,
        }
        .with_tlsa(Vec::new(), security)
    }

    /// In a signed zone, with no record.
    pub(crate) fn signed() -> Self {
        Self::new(Security::Secure)
    }

    /// In a zone that is not signed.
    pub(crate) fn unsigned() -> Self {
        Self::new(Security::Insecure)
    }

    pub(crate) fn with_tlsa(mut self, records: Vec<TlsaRecord>, security: Security) -> Self {
        let found = lookup(&format!("_25._tcp.{}", self.base), records, security);
        self.lookup.tlsa.as_mut().unwrap().lookups = vec![TlsaLookup { base: self.base.clone(), lookup: found }];
        self
    }

    /// With `3 1 1` records of these digests, secure.
    pub(crate) fn publishing(self, digests: &[[u8; 32]]) -> Self {
        let record =
            |digest: &[u8; 32]| TlsaRecord { usage: 3, selector: 1, matching: 1, data: Octets(digest.to_vec()) };
        self.with_tlsa(digests.iter().map(record).collect(), Security::Secure)
    }

    /// With the `3 1 1` record of its certificate.
    pub(crate) fn publishing_its_own(self) -> Self {
        self.with_tlsa(vec![record_of(USUAL, LEAF).unwrap()], Security::Secure)
    }

    pub(crate) fn with_next(mut self, digest: [u8; 32]) -> Self {
        self.next = Some(TlsaRecord { usage: 3, selector: 1, matching: 1, data: Octets(digest.to_vec()) });
        self
    }

    /// Nobody answers at its address.
    pub(crate) fn silent(mut self) -> Self {
        for survey in &mut self.addresses {
            survey.usual.tls = None;
            survey.usual.outcome = SmtpOutcome::ConnectFailed(ConnectFailure::Refused);
            survey.rsa = Handshake::NotSeen("refused".into());
            survey.ecdsa = Handshake::NotSeen("refused".into());
        }
        self
    }
}
