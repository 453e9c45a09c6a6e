//! Whether a chain leads to a trusted root (RFC 5280 §6). The leaf's dates and names are judged elsewhere.

use std::{fmt, ops::Range, sync::Arc, time::Duration};

use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime, pem::PemObject};
use webpki::{EndEntityCert, anchor_from_trusted_cert};

use super::{pem_fault, read_certificate, undated::Undated};
use crate::{
    facts::{CertificateFacts, ChainFacts, PathToRoot},
    terms::{Octets, Timestamp},
};

/// The most certificates of a chain that are looked at. Real chains have two to four; a TLS message has room for hundreds,
/// and each costs time.
pub const MAX_CHAIN: usize = 16;

/// The roots that are trusted. Cheap to clone.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Roots(Arc<Vec<TrustAnchor<'static>>>);

/// Why a PEM text gives no roots.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RootsPemError {
    /// The PEM framing is broken.
    #[error("broken PEM: {0}")]
    Pem(&'static str),
    /// One of the certificates cannot be a root.
    #[error("certificate {index} cannot be used as a root: {reason}")]
    Certificate {
        /// Counted from 1.
        index: usize,
        /// In words.
        reason: String,
    },
    /// There is no certificate in it.
    #[error("there is no certificate in it (-----BEGIN CERTIFICATE----- was expected)")]
    Empty,
}

impl Roots {
    /// From ready anchors.
    pub fn from_anchors(anchors: Vec<TrustAnchor<'static>>) -> Self {
        Self(Arc::new(anchors))
    }

    /// From the certificates of a PEM text; other sections are passed over.
    ///
    /// # Errors
    /// Broken PEM, a certificate that cannot be read, or no certificate at all.
    pub fn from_pem(pem: &[u8]) -> Result<Self, RootsPemError> {
        let mut anchors = Vec::new();
        for (index, certificate) in CertificateDer::pem_slice_iter(pem).enumerate() {
            let der = certificate.map_err(|error| RootsPemError::Pem(pem_fault(&error)))?;
            let anchor = anchor_from_trusted_cert(&der).map_err(|error| RootsPemError::Certificate {
                index: index.saturating_add(1),
                reason: error.to_string(),
            })?;
            anchors.push(anchor.to_owned());
        }
        if anchors.is_empty() {
            return Err(RootsPemError::Empty);
        }
        Ok(Self::from_anchors(anchors))
    }

    /// These and the others.
    #[must_use]
    pub fn with(&self, others: &Self) -> Self {
        Self::from_anchors(self.0.iter().chain(others.0.iter()).cloned().collect())
    }

    /// The anchors themselves.
    pub fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.0
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is trusted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Only their number: a hundred roots drown everything beside them.
impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} roots", self.len())
    }
}

/// Reads a chain as sent, leaf first, and looks for a path to a root.
///
/// # Errors
/// Where there is no leaf, or it cannot be read. Other certificates that cannot be read, or lie beyond [`MAX_CHAIN`], are
/// counted.
pub fn chain_facts<T: AsRef<[u8]>>(der: &[T], roots: &Roots, now: Timestamp) -> Result<ChainFacts, String> {
    chain_facts_on(der, |chain, facts| path_to_root(chain, facts, roots, now))
}

/// As [`chain_facts`] where the path may be known already: `path` is asked for it, with the certificates that could be read.
///
/// # Errors
/// As [`chain_facts`].
pub fn chain_facts_on<T: AsRef<[u8]>>(
    der: &[T],
    path: impl FnOnce(&[CertificateDer<'_>], &[CertificateFacts]) -> PathToRoot,
) -> Result<ChainFacts, String> {
    let (leaf_der, others_der) = der.split_first().ok_or("no certificate was sent")?;
    let leaf = read_certificate(leaf_der.as_ref()).map_err(|error| escape(&error))?;
    let mut chain = vec![CertificateDer::from(leaf_der.as_ref())];
    let mut facts = vec![leaf];
    for other in others_der.iter().take(MAX_CHAIN.saturating_sub(1)) {
        if let Ok(read) = read_certificate(other.as_ref()) {
            chain.push(CertificateDer::from(other.as_ref()));
            facts.push(read);
        }
    }
    let path = path(&chain, &facts);
    let unreadable = der.len().saturating_sub(facts.len());
    let mut facts = facts.into_iter();
    let leaf = facts.next().ok_or("no certificate was sent")?;
    let der = chain.iter().map(|der| Octets(der.as_ref().to_vec())).collect();
    Ok(ChainFacts { leaf, others: facts.collect(), der, unreadable, path })
}

/// Looks for a path from the leaf to a root, at `now` moved into the leaf's validity, and where dates stand in its way, at
/// `now` with those of the leaf set aside: whether the leaf itself is expired is another question, and its issuers may have
/// been renewed since. `facts` are those of `chain`, in its order.
///
/// What can be told apart without fetching anything: a leaf whose issuer was not sent and is no trusted root counts as
/// [`PathToRoot::MissingIntermediate`], though a private CA that signs leaves directly looks the same.
///
/// A hostile chain costs three searches at most, each with the verifier's own limits on steps and signatures.
pub fn path_to_root(
    chain: &[CertificateDer<'_>],
    facts: &[CertificateFacts],
    roots: &Roots,
    now: Timestamp,
) -> PathToRoot {
    let (Some((leaf_der, others)), Some((leaf, other_facts))) = (chain.split_first(), facts.split_first()) else {
        return PathToRoot::Refused("no certificate was sent".into());
    };
    let end_entity = match EndEntityCert::try_from(leaf_der) {
        Ok(end_entity) => end_entity,
        Err(_) if leaf.self_issued => return PathToRoot::SelfSigned,
        Err(error) => return PathToRoot::Refused(error.to_string()),
    };
    let search = Search { end_entity, leaf, others, other_facts, roots };
    match search.verify(&search.end_entity, others, webpki::ALL_VERIFICATION_ALGS, within(leaf, now)) {
        Ok(not_after) => PathToRoot::Trusted { not_after },
        Err(error) if is_about_dates(&error) => search.without_dates(chain, now),
        Err(error) => search.explain(&error),
    }
}

/// The stretch of time around `now` in which the judgement of this chain does not change: up to, not including, the next
/// date of any of its certificates.
pub fn validity_window(chain: &ChainFacts, now: Timestamp) -> Range<Timestamp> {
    let mut window = Timestamp::from_unix_seconds(i64::MIN)..Timestamp::from_unix_seconds(i64::MAX);
    for certificate in std::iter::once(&chain.leaf).chain(&chain.others) {
        // RFC 5280 §4.1.2.5: notAfter itself is still valid.
        for change in [certificate.not_before, certificate.not_after + Duration::from_secs(1)] {
            if change <= now {
                window.start = window.start.max(change);
            } else {
                window.end = window.end.min(change);
            }
        }
    }
    window
}

/// One chain and what may sign it.
struct Search<'a> {
    end_entity: EndEntityCert<'a>,
    leaf: &'a CertificateFacts,
    others: &'a [CertificateDer<'a>],
    other_facts: &'a [CertificateFacts],
    roots: &'a Roots,
}

impl Search<'_> {
    /// The earliest end of validity on the path that holds at `time`. The certificates are this chain's or copies of them.
    fn verify(
        &self,
        end_entity: &EndEntityCert<'_>,
        others: &[CertificateDer<'_>],
        algorithms: &[&dyn SignatureVerificationAlgorithm],
        time: Timestamp,
    ) -> Result<Timestamp, webpki::Error> {
        let seconds = u64::try_from(time.unix_seconds()).unwrap_or(0);
        let path = end_entity.verify_for_usage(
            algorithms,
            &self.roots.0,
            others,
            UnixTime::since_unix_epoch(Duration::from_secs(seconds)),
            webpki::KeyUsage::server_auth(),
            None,
            None,
        )?;
        let ends = path.intermediate_certificates().filter_map(|used| {
            let der = used.der();
            others.iter().zip(self.other_facts).find(|(other, _)| **other == der).map(|(_, facts)| facts.not_after)
        });
        Ok(ends.fold(self.leaf.not_after, Timestamp::min))
    }

    /// Dates stand in the way of a path. Are they the leaf's alone, or an intermediate's, and is that all that is wrong?
    fn without_dates(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> PathToRoot {
        match self.verify_undated(&Undated::leaf(chain), now) {
            Ok(not_after) => return PathToRoot::Trusted { not_after },
            Err(error) if is_about_dates(&error) => {}
            Err(error) => return self.explain(&error),
        }
        match self.verify_undated(&Undated::all(chain), now) {
            Ok(_) => PathToRoot::IntermediateExpired,
            Err(error) => self.explain(&error),
        }
    }

    fn verify_undated(&self, undated: &Undated<'_>, now: Timestamp) -> Result<Timestamp, webpki::Error> {
        let (leaf, others) = undated.certificates().split_first().ok_or(webpki::Error::BadDer)?;
        let algorithms = undated.algorithms();
        let algorithms: Vec<&dyn SignatureVerificationAlgorithm> = algorithms.iter().map(|each| each as _).collect();
        self.verify(&EndEntityCert::try_from(leaf)?, others, &algorithms, now)
    }

    fn explain(&self, error: &webpki::Error) -> PathToRoot {
        // Issuer and subject alike is enough: a signature that is not its own either would be trusted no more.
        if self.leaf.self_issued && !self.is_root(&self.end_entity) {
            return PathToRoot::SelfSigned;
        }
        match error {
            webpki::Error::UnknownIssuer => self.end_of_chain(),
            other => PathToRoot::Refused(other.to_string()),
        }
    }

    fn is_root(&self, certificate: &EndEntityCert<'_>) -> bool {
        self.roots.0.iter().any(|root| root.subject.as_ref() == certificate.subject())
    }

    /// Follows the issuers as far as they were sent.
    fn end_of_chain(&self) -> PathToRoot {
        let sent: Vec<EndEntityCert<'_>> =
            self.others.iter().filter_map(|der| EndEntityCert::try_from(der).ok()).collect();
        let mut last = &self.end_entity;
        let mut followed = false;
        for _ in 0..=sent.len() {
            if last.issuer() == last.subject() {
                break;
            }
            match sent.iter().find(|next| next.subject() == last.issuer()) {
                Some(next) => {
                    last = next;
                    followed = true;
                }
                None => break,
            }
        }
        if followed { PathToRoot::UnknownCa } else { PathToRoot::MissingIntermediate }
    }
}

fn within(certificate: &CertificateFacts, time: Timestamp) -> Timestamp {
    // Not `clamp`, which panics where a certificate ends before it begins.
    time.max(certificate.not_before).min(certificate.not_after)
}

const fn is_about_dates(error: &webpki::Error) -> bool {
    matches!(error, webpki::Error::CertExpired { .. } | webpki::Error::CertNotValidYet { .. })
}

fn escape(text: &str) -> String {
    Octets::from(text).to_string()
}

#[cfg(test)]
mod tests;
