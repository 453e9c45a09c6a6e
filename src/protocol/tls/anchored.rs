//! Whether a chain leads to one given issuer, dates included (RFC 5280 §6, RFC 7671 §5.2).

use std::time::Duration;

use rustls_pki_types::{CertificateDer, Der, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, anchor_from_trusted_cert};

use super::{certificate, read_certificate, undated::Undated};
use crate::{
    facts::{CertificateFacts, ChainFacts},
    terms::{Octets, Timestamp},
};

/// What a path may start from.
#[derive(Clone, Copy, Debug)]
pub enum Anchor<'a> {
    /// A certificate, as DER.
    Certificate(&'a [u8]),
    /// A SubjectPublicKeyInfo, as DER, whoever it belongs to.
    Key(&'a [u8]),
}

/// Why no path leads there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathFault {
    /// A certificate on the way has expired.
    Expired {
        /// Its subject, escaped.
        subject: String,
        /// When it ended.
        not_after: Timestamp,
    },
    /// A certificate on the way is not valid yet.
    NotYetValid {
        /// Its subject, escaped.
        subject: String,
        /// When it begins.
        not_before: Timestamp,
    },
    /// The anchor signed nothing that leads to the leaf, as far as certificates were sent.
    Incomplete,
    /// Another reason, in words.
    Refused(String),
}

/// Looks for a path from the leaf to the anchor at `now`; names of the leaf apart. `chain` are the bytes that `facts` tells of.
///
/// The dates of an anchor that is a certificate count, and it has to be one of a certification authority, as OpenSSL has it
/// for DANE; a bare key has neither. A leaf that says it is an authority is verified like any other.
///
/// Costs two searches at most, each with the verifier's own limits on steps and signatures.
///
/// # Errors
/// The first reason why there is none. Dates come last: where they are the fault, all else is in order.
pub fn path_from_anchor(
    chain: &[CertificateDer<'_>],
    facts: &ChainFacts,
    anchor: Anchor<'_>,
    now: Timestamp,
) -> Result<(), PathFault> {
    let subjects;
    let certificate;
    let (anchors, dates) = match anchor {
        Anchor::Certificate(der) => {
            certificate = CertificateDer::from(der);
            let facts = read_certificate(der).map_err(|error| PathFault::Refused(escape(&error)))?;
            if !certificate::may_issue(der) {
                return Err(PathFault::Refused("the issuer is no certification authority".into()));
            }
            let anchor = anchor_from_trusted_cert(&certificate).map_err(|error| refused(&error))?;
            (vec![anchor], Some(facts))
        }
        Anchor::Key(key) => {
            subjects = issuers(chain);
            (key_anchors(key, &subjects), None)
        }
    };
    let dated = if facts.leaf.is_ca {
        search_copies(&Undated::end_entity(chain), &anchors, now)
    } else {
        search(chain, &anchors, webpki::ALL_VERIFICATION_ALGS, now)
    };
    let Err(error) = dated else { return dates.map_or(Ok(()), |anchor| in_time(&anchor, now)) };
    let Some(fault) = date_fault(&error, facts, now) else { return Err(explain(&error)) };
    let undated = if facts.leaf.is_ca { Undated::all_end_entity(chain) } else { Undated::all(chain) };
    match search_copies(&undated, &anchors, now) {
        Err(error) if date_fault(&error, facts, now).is_none() => Err(explain(&error)),
        _ => Err(fault),
    }
}

fn search_copies(copies: &Undated<'_>, anchors: &[TrustAnchor<'_>], now: Timestamp) -> Result<(), webpki::Error> {
    let algorithms = copies.algorithms();
    let algorithms: Vec<&dyn SignatureVerificationAlgorithm> = algorithms.iter().map(|each| each as _).collect();
    search(copies.certificates(), anchors, &algorithms, now)
}

fn search(
    chain: &[CertificateDer<'_>],
    anchors: &[TrustAnchor<'_>],
    algorithms: &[&dyn SignatureVerificationAlgorithm],
    now: Timestamp,
) -> Result<(), webpki::Error> {
    let (leaf, others) = chain.split_first().ok_or(webpki::Error::BadDer)?;
    let seconds = u64::try_from(now.unix_seconds()).unwrap_or(0);
    let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    EndEntityCert::try_from(leaf)?
        .verify_for_usage(algorithms, anchors, others, time, webpki::KeyUsage::server_auth(), None, None)
        .map(|_| ())
}

/// The names of all issuers in the chain, each once: a bare key has none of its own.
fn issuers(chain: &[CertificateDer<'_>]) -> Vec<Vec<u8>> {
    let mut issuers: Vec<Vec<u8>> = Vec::new();
    for der in chain {
        if let Ok(certificate) = EndEntityCert::try_from(der)
            && !issuers.iter().any(|known| known == certificate.issuer())
        {
            issuers.push(certificate.issuer().to_vec());
        }
    }
    issuers
}

fn key_anchors<'a>(key: &'a [u8], subjects: &'a [Vec<u8>]) -> Vec<TrustAnchor<'a>> {
    let Some(key) = certificate::inside_sequence(key) else { return Vec::new() };
    let anchor = |subject: &'a Vec<u8>| TrustAnchor {
        subject: Der::from_slice(subject),
        subject_public_key_info: Der::from_slice(key),
        name_constraints: None,
    };
    subjects.iter().map(anchor).collect()
}

fn in_time(certificate: &CertificateFacts, now: Timestamp) -> Result<(), PathFault> {
    let subject = || certificate.subject.clone();
    // RFC 5280 §4.1.2.5: notAfter itself, to its last moment, is still valid.
    if now.unix_seconds() > certificate.not_after.unix_seconds() {
        return Err(PathFault::Expired { subject: subject(), not_after: certificate.not_after });
    }
    if now < certificate.not_before {
        return Err(PathFault::NotYetValid { subject: subject(), not_before: certificate.not_before });
    }
    Ok(())
}

/// What the verifier's error says about dates, if it is about them; the leaf first.
fn date_fault(error: &webpki::Error, chain: &ChainFacts, now: Timestamp) -> Option<PathFault> {
    let is_end = match error {
        webpki::Error::CertExpired { .. } => true,
        webpki::Error::CertNotValidYet { .. } => false,
        _ => return None,
    };
    let all = || std::iter::once(&chain.leaf).chain(&chain.others).filter_map(|each| in_time(each, now).err());
    let alike = |fault: &PathFault| matches!(fault, PathFault::Expired { .. }) == is_end;
    Some(in_time(&chain.leaf, now).err().or_else(|| all().find(alike)).unwrap_or_else(|| refused(error)))
}

fn explain(error: &webpki::Error) -> PathFault {
    match error {
        webpki::Error::UnknownIssuer
        | webpki::Error::InvalidSignatureForPublicKey
        | webpki::Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => PathFault::Incomplete,
        other => refused(other),
    }
}

fn refused(error: &webpki::Error) -> PathFault {
    PathFault::Refused(escape(&error.to_string()))
}

fn escape(text: &str) -> String {
    Octets::from(text).to_string()
}
