//! Findings on what TLS an address offers, on addresses that differ, and on weak certificates.

use smtptls_exporter::{
    facts::{CertificateFacts, ChainFacts, Handshake, KeyFacts, Offer, SmtpOutcome, TlsFailure, TlsVersion},
    verdict::Code,
};

use super::{
    case::{A1, MX1, World, certificate},
    codes::Pair,
    signed::clear,
};

pub(crate) const A3: &str = "2001:db8::1";

/// A server with which this monitor finishes no handshake, and reads the clear part of one.
pub(crate) fn only(world: World, version: TlsVersion, cipher: &'static str) -> World {
    world.at(A1, |probe| {
        let chain = probe.tls.as_ref().map(|tls| (*tls.chain).clone()).unwrap();
        probe.outcome = SmtpOutcome::HandshakeFailed(TlsFailure::Alert("handshake_failure".to_owned()));
        probe.tls = Some(clear(version, cipher, chain));
    })
}

fn rsa(world: World, bits: u32) -> World {
    world.chain(A1, |mut chain| {
        chain.leaf.key = KeyFacts { algorithm: "rsa".to_owned(), bits };
        chain
    })
}

/// SHA-1 on the root that was sent: nobody looks at what a root says of itself.
fn old_root(world: World) -> World {
    world.chain(A1, |chain| {
        let root = CertificateFacts {
            signature_algorithm: "sha1WithRSAEncryption".to_owned(),
            self_issued: true,
            ..chain.leaf.clone()
        };
        ChainFacts { others: vec![root], ..chain }
    })
}

fn beside(world: World, change: impl Fn(&mut smtptls_exporter::facts::AddressObservation)) -> World {
    world.host(MX1, &[A1, A3]).at(A3, change)
}

pub(crate) const PAIRS: &[Pair] = &[
    Pair {
        code: Code::TlsVersionObsolete,
        severity: "EWWW",
        raised: |world| only(world, TlsVersion::Tls11, "TLS_RSA_WITH_AES_128_CBC_SHA"),
        near: |world| only(world, TlsVersion::Tls12, "TLS_RSA_WITH_AES_128_CBC_SHA"),
    },
    Pair {
        code: Code::TlsWeakCiphers,
        severity: "WWWW",
        raised: |world| only(world, TlsVersion::Tls12, "TLS_RSA_WITH_AES_128_CBC_SHA"),
        near: |world| {
            world.at(A1, |probe| {
                let tls = probe.tls.as_mut().unwrap();
                tls.version = TlsVersion::Tls12;
                tls.cipher = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256".to_owned();
            })
        },
    },
    Pair {
        code: Code::TlsLegacyAccepted,
        severity: "IIII",
        raised: |world| world.survey(MX1, A1, |survey| survey.tls11 = Offer::Accepted),
        // Where nothing newer is offered, that is the finding.
        near: |world| {
            only(world, TlsVersion::Tls11, "TLS_RSA_WITH_AES_128_CBC_SHA").survey(MX1, A1, |survey| {
                survey.tls10 = Offer::NotSeen("no answer in time".to_owned());
                survey.tls11 = Offer::Accepted;
            })
        },
    },
    Pair {
        code: Code::TlsSniDependent,
        severity: "EEEE",
        raised: |world| {
            world.survey(MX1, A1, |survey| {
                survey.unknown_sni = Handshake::Failed(TlsFailure::Alert("unrecognized_name".to_owned()));
            })
        },
        // Some certificate is enough (RFC 7672 §8.1), where no TLSA record asks for one.
        near: |world| {
            world.survey(MX1, A1, |survey| {
                survey.without_sni =
                    Handshake::Done(super::signed::handshake(super::signed::chain_of("mx.provider.example")));
                survey.unknown_sni = Handshake::NotSeen("no answer in time".to_owned());
            })
        },
    },
    Pair {
        code: Code::AddressesDiverge,
        severity: "WWWW",
        raised: |world| {
            beside(world, |probe| {
                probe.outcome = SmtpOutcome::StarttlsNotOffered;
                probe.tls = None;
            })
        },
        // A different certificate alone is none.
        near: |world| {
            beside(world, |probe| {
                let mut chain = certificate(&[MX1]);
                chain.leaf.fingerprint_sha256 = "ef".repeat(32);
                chain.leaf.spki_sha256 = "ef".repeat(32);
                probe.tls = Some(super::signed::handshake(chain));
            })
        },
    },
    Pair {
        code: Code::CertificateWeak,
        severity: "WWWW",
        raised: |world| rsa(world, 2047),
        near: |world| old_root(rsa(world, 2048)),
    },
];
