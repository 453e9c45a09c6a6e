//! The world with DNSSEC, TLSA records and real certificates in it.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock, Mutex},
};

use smtptls_exporter::{
    facts::{
        ChainFacts, DnssecSight, Handshake, Lookup, LookupFailure, LookupOutcome, Offer, PathToRoot, Security,
        SignatureFacts, TlsFacts, TlsSurvey, TlsVersion, TlsaLookup, TlsaObservation, TlsaRecord,
    },
    protocol::tls::{Roots, chain_facts},
    terms::Timestamp,
};

use super::case::{NOW, World, host, ip, lookup, records};
use crate::dane::pki::{Authority, Leaf, der, intermediate, record, root};

static ROOT: LazyLock<Authority> = LazyLock::new(|| root("Root"));
static ISSUER: LazyLock<Authority> = LazyLock::new(|| intermediate("Issuer", &ROOT, (2020, 2030)));
/// By what they are for, so that the records and the server speak of the same key.
static LEAVES: LazyLock<Mutex<BTreeMap<&'static str, Vec<u8>>>> = LazyLock::new(Mutex::default);

fn made(what: &'static str, leaf: impl FnOnce() -> Vec<u8>) -> Vec<u8> {
    LEAVES.lock().unwrap().entry(what).or_insert_with(leaf).clone()
}

/// The certificate of a host: of this year, signed by the issuer.
pub(crate) fn leaf(name: &'static str) -> Vec<u8> {
    made(name, || Leaf::named(name).by(&ISSUER))
}

/// One that ended at the last turn of the year.
pub(crate) fn old_leaf() -> Vec<u8> {
    made("an expired one", || Leaf::named(super::case::MX1).years(2025, 2026).by(&ISSUER))
}

/// One of the first host as well, with another key.
pub(crate) fn namesake() -> Vec<u8> {
    made("a namesake", || Leaf::named(super::case::MX1).by(&ISSUER))
}

/// One that nobody signed but its own key.
pub(crate) fn self_signed() -> Vec<u8> {
    made("a self-signed one", || Leaf::named(super::case::MX1).self_signed())
}

pub(crate) fn issuer() -> Vec<u8> {
    der(&ISSUER)
}

pub(crate) fn root_of_all() -> Vec<u8> {
    der(&ROOT)
}

/// A chain as it came, with a path to a public root.
pub(crate) fn trusted(certificates: &[&[u8]]) -> ChainFacts {
    let mut chain = untrusted(certificates);
    chain.path = PathToRoot::Trusted { not_after: chain.leaf.not_after };
    chain
}

/// The same where no root is trusted.
pub(crate) fn untrusted(certificates: &[&[u8]]) -> ChainFacts {
    chain_facts(certificates, &Roots::default(), NOW).unwrap()
}

/// What the host presents: its certificate and the issuer's.
pub(crate) fn chain_of(name: &'static str) -> ChainFacts {
    trusted(&[&leaf(name), &issuer()])
}

/// The record with these parameters for the host's own certificate.
pub(crate) fn own(parameters: [u8; 3], name: &'static str) -> TlsaRecord {
    record(parameters, &leaf(name))
}

/// The same for the issuer's.
pub(crate) fn issued(parameters: [u8; 3]) -> TlsaRecord {
    record(parameters, &issuer())
}

pub(crate) fn handshake(chain: ChainFacts) -> TlsFacts {
    TlsFacts {
        version: TlsVersion::Tls13,
        cipher: "TLS_AES_128_GCM_SHA256".to_owned(),
        chain: Arc::new(chain),
        completed: true,
    }
}

/// A handshake of which the clear part was read.
pub(crate) fn clear(version: TlsVersion, cipher: &str, chain: ChainFacts) -> TlsFacts {
    TlsFacts { version, cipher: cipher.to_owned(), chain: Arc::new(chain), completed: false }
}

/// Signed a week ago, and to end then.
pub(crate) fn signature(expires: Timestamp) -> SignatureFacts {
    let inception = NOW - 7 * super::case::DAY;
    SignatureFacts { expires, inception, covers: "example.com DNSKEY".to_owned(), weak: None }
}

pub(crate) fn bogus<T>(name: &str) -> Lookup<T> {
    let why = LookupFailure::Bogus("the signature of example.com DNSKEY has ended".to_owned());
    Lookup { security: Security::Bogus, ..lookup(name, LookupOutcome::Failed(why)) }
}

pub(crate) fn tlsa_name(base: &str) -> String {
    format!("_25._tcp.{base}")
}

impl World {
    /// Every answer is signed and validated from here, and no mail host has TLSA records; each presents a real certificate.
    pub(crate) fn signed(self) -> Self {
        let hosts: Vec<_> = self.hosts.keys().cloned().collect();
        let world = self.with(|world| {
            world.vantage.dnssec = DnssecSight::Validating;
            world.domain.mx.security = Security::Secure;
            world.domain.sts_record.security = Security::Secure;
            world.domain.tlsrpt_record.security = Security::Secure;
        });
        hosts.into_iter().fold(world, |world, name| {
            let addresses: Vec<String> = world.hosts[&name].addresses.keys().map(ToString::to_string).collect();
            let known = [super::case::MX1, super::case::MX2, "mx.provider.example", super::case::DOMAIN];
            let known = known.into_iter().find(|known| *known == name.as_str()).expect("a name of the tests");
            let world = world.addresses_are(known, Security::Secure).tlsa(known, &[]);
            addresses.iter().fold(world, |world, address| world.chain(address, |_| chain_of(known)))
        })
    }

    pub(crate) fn addresses_are(self, name: &str, security: Security) -> Self {
        self.host_lookup(name, |seen| {
            let families = [&mut seen.addresses.ip4, &mut seen.addresses.ip6];
            families.into_iter().flatten().for_each(|lookup| lookup.security = security);
        })
    }

    pub(crate) fn mx_is(self, security: Security) -> Self {
        self.with(|world| world.domain.mx.security = security)
    }

    /// Secure TLSA records of a host; none of them is a secure denial.
    pub(crate) fn tlsa(self, name: &str, found: &[TlsaRecord]) -> Self {
        let asked = tlsa_name(name);
        let answer =
            if found.is_empty() { lookup(&asked, LookupOutcome::NxDomain) } else { records(&asked, found.to_vec()) };
        self.tlsa_lookup(name, Lookup { security: Security::Secure, message_bytes: 200, ..answer })
    }

    /// The same at a TLSA base domain that the host is an alias of.
    pub(crate) fn tlsa_lookup(self, name: &str, answer: Lookup<TlsaRecord>) -> Self {
        self.host_lookup(name, |seen| {
            let lookups = vec![TlsaLookup { base: host(name), lookup: answer }];
            seen.tlsa = Some(TlsaObservation { alias: None, lookups });
        })
    }

    pub(crate) fn edit_tlsa(self, name: &str, change: impl Fn(&mut Lookup<TlsaRecord>)) -> Self {
        self.host_lookup(name, |seen| {
            seen.tlsa.iter_mut().flat_map(|tlsa| &mut tlsa.lookups).for_each(|asked| change(&mut asked.lookup));
        })
    }

    /// Signed, with a matching record at the first host.
    pub(crate) fn with_dane(self, found: &[TlsaRecord]) -> Self {
        self.signed().tlsa(super::case::MX1, found)
    }

    /// A survey of an address that found nothing amiss, and what is changed in it.
    pub(crate) fn survey(self, name: &'static str, address: &str, change: impl Fn(&mut TlsSurvey)) -> Self {
        let usual = || Handshake::Done(handshake(chain_of(name)));
        let mut survey = TlsSurvey {
            host: host(name),
            address: ip(address),
            at: NOW,
            duration: None,
            tls10: Offer::Refused,
            tls11: Offer::Refused,
            without_sni: usual(),
            unknown_sni: usual(),
            base_sni: None,
        };
        change(&mut survey);
        self.with(|world| {
            let facts = world.hosts.get_mut(&host(name)).unwrap();
            facts.surveys.insert(ip(address), Arc::new(survey));
        })
    }
}
