//! Whether a chain leads to a trusted root (RFC 5280 §6). The leaf's dates and names are judged elsewhere.

use std::{fmt, ops::Range, sync::Arc, time::Duration};

use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime, pem::PemObject};
use webpki::{EndEntityCert, anchor_from_trusted_cert};

use super::read_certificate;
use crate::{
    facts::{CertificateFacts, ChainFacts, PathToRoot},
    terms::{Octets, Timestamp},
};

/// The most certificates of a chain that are looked at. Real chains have two to four; a TLS message has room for hundreds,
/// and each costs time.
pub const MAX_CHAIN: usize = 16;

/// The roots that are trusted. Cheap to clone.
#[derive(Clone, Default)]
pub struct Roots(Arc<Vec<TrustAnchor<'static>>>);

/// Why a PEM text gives no roots.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RootsPemError {
    /// The PEM framing is broken.
    #[error("broken PEM: {0}")]
    Pem(String),
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
            let der = certificate.map_err(|error| RootsPemError::Pem(escape(&error.to_string())))?;
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
    let path = path_to_root(&chain, &facts, roots, now);
    let unreadable = der.len().saturating_sub(facts.len());
    let mut facts = facts.into_iter();
    let leaf = facts.next().ok_or("no certificate was sent")?;
    Ok(ChainFacts { leaf, others: facts.collect(), unreadable, path })
}

/// Looks for a path from the leaf to a root, at `now` moved into the leaf's validity: whether the leaf itself is expired is
/// another question. `facts` are those of `chain`, in its order.
///
/// What can be told apart without fetching anything: a leaf whose issuer was not sent and is no trusted root counts as
/// [`PathToRoot::MissingIntermediate`], though a private CA that signs leaves directly looks the same.
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
    let error = match search.at(within(leaf, now)) {
        Ok(not_after) => return PathToRoot::Trusted { not_after },
        Err(error) => error,
    };
    if is_about_dates(&error) {
        return search.without_dates(now, &error);
    }
    search.explain(&error)
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
    /// The earliest end of validity on the path that holds at `time`.
    fn at(&self, time: Timestamp) -> Result<Timestamp, webpki::Error> {
        let seconds = u64::try_from(time.unix_seconds()).unwrap_or(0);
        let path = self.end_entity.verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &self.roots.0,
            self.others,
            UnixTime::since_unix_epoch(Duration::from_secs(seconds)),
            webpki::KeyUsage::server_auth(),
            None,
            None,
        )?;
        let ends = path.intermediate_certificates().filter_map(|used| {
            let der = used.der();
            self.certificates().find(|(sent, _)| **sent == der).map(|(_, facts)| facts.not_after)
        });
        Ok(ends.fold(self.leaf.not_after, Timestamp::min))
    }

    fn certificates(&self) -> impl Iterator<Item = (&CertificateDer<'_>, &CertificateFacts)> {
        self.others.iter().zip(self.other_facts)
    }

    /// An intermediate is out of date. Whether that is all that is wrong shows at a time at which it was valid.
    fn without_dates(&self, now: Timestamp, error: &webpki::Error) -> PathToRoot {
        let time = within(self.leaf, now);
        let mut last = None;
        for facts in self.other_facts.iter().filter(|facts| time < facts.not_before || time > facts.not_after) {
            match self.at(within(self.leaf, within(facts, now))) {
                Ok(_) => return PathToRoot::IntermediateExpired,
                Err(error) => last = Some(error),
            }
        }
        match last {
            Some(other) if !is_about_dates(&other) => self.explain(&other),
            _ if is_about_dates(error) && !self.other_facts.is_empty() => PathToRoot::IntermediateExpired,
            _ => PathToRoot::Refused(error.to_string()),
        }
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
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair, date_time_ymd,
    };

    use super::*;

    type Authority = CertifiedIssuer<'static, KeyPair>;
    type Der = CertificateDer<'static>;

    /// Years of validity, both at 1 January.
    type Years = (i32, i32);

    fn params(name: &str, (from, until): Years, is_ca: bool) -> CertificateParams {
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

    fn root(name: &str) -> Authority {
        CertifiedIssuer::self_signed(params(name, (2010, 2040), true), KeyPair::generate().unwrap()).unwrap()
    }

    fn intermediate(name: &str, by: &Authority, years: Years) -> Authority {
        CertifiedIssuer::signed_by(params(name, years, true), KeyPair::generate().unwrap(), by).unwrap()
    }

    fn leaf(by: &Authority, years: Years) -> Der {
        params("mx.example.com", years, false).signed_by(&KeyPair::generate().unwrap(), by).unwrap().der().clone()
    }

    fn self_signed(is_ca: bool) -> Der {
        params("mx.example.com", NOW_YEARS, is_ca).self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    fn trusting(roots: &[&Der]) -> Roots {
        Roots::from_anchors(roots.iter().map(|der| anchor_from_trusted_cert(der).unwrap().to_owned()).collect())
    }

    const NOW_YEARS: Years = (2026, 2027);

    fn now() -> Timestamp {
        "2026-06-01T00:00:00Z".parse().unwrap()
    }

    fn year(year: i32) -> Timestamp {
        format!("{year}-01-01T00:00:00Z").parse().unwrap()
    }

    fn path(chain: &[&Der], roots: &Roots) -> PathToRoot {
        chain_facts(chain, roots, now()).unwrap().path
    }

    #[test]
    fn the_earliest_end_on_the_way_counts() {
        let root = root("Root");
        let roots = trusting(&[root.der()]);
        for (intermediate_years, leaf_years, end) in [
            ((2020, 2030), (2026, 2027), 2027),
            ((2020, 2027), (2026, 2028), 2027),
            // The leaf's own dates are no matter of the path.
            ((2020, 2030), (2024, 2025), 2025),
            ((2020, 2030), (2027, 2028), 2028),
            // Both are over: at the leaf's end the intermediate was valid.
            ((2020, 2026), (2024, 2025), 2025),
        ] {
            let intermediate = intermediate("Intermediate", &root, intermediate_years);
            let leaf = leaf(&intermediate, leaf_years);
            assert_eq!(
                path(&[&leaf, intermediate.der()], &roots),
                PathToRoot::Trusted { not_after: year(end) },
                "{intermediate_years:?} {leaf_years:?}"
            );
        }
        assert_eq!(path(&[&leaf(&root, NOW_YEARS)], &roots), PathToRoot::Trusted { not_after: year(2027) });
    }

    #[test]
    fn order_and_strangers_in_the_chain_do_not_matter() {
        let (root, stranger) = (root("Root"), root("Stranger"));
        let first = intermediate("First", &root, (2020, 2030));
        let second = intermediate("Second", &first, (2020, 2029));
        let expired = intermediate("Expired stranger", &stranger, (2012, 2013));
        let leaf = leaf(&second, NOW_YEARS);
        let chain = [&leaf, expired.der(), first.der(), root.der(), stranger.der(), second.der()];
        assert_eq!(path(&chain, &trusting(&[root.der()])), PathToRoot::Trusted { not_after: year(2027) });
        assert_eq!(path(&chain, &Roots::default()), PathToRoot::UnknownCa);
    }

    #[test]
    fn failures_are_told_apart() {
        let root = root("Root");
        let roots = trusting(&[root.der()]);
        let intermediate_ok = intermediate("Intermediate", &root, (2020, 2030));
        let good = leaf(&intermediate_ok, NOW_YEARS);
        assert_eq!(path(&[&good], &roots), PathToRoot::MissingIntermediate);
        assert_eq!(path(&[&good, root.der()], &roots), PathToRoot::MissingIntermediate);
        assert_eq!(path(&[&good, intermediate_ok.der()], &Roots::default()), PathToRoot::UnknownCa);
        assert_eq!(path(&[&good, intermediate_ok.der(), root.der()], &Roots::default()), PathToRoot::UnknownCa);
        for is_ca in [false, true] {
            assert_eq!(path(&[&self_signed(is_ca)], &roots), PathToRoot::SelfSigned);
        }
    }

    #[test]
    fn an_intermediate_out_of_date() {
        let root = root("Root");
        for years in [(2020, 2026), (2027, 2030)] {
            let intermediate = intermediate("Intermediate", &root, years);
            let leaf = leaf(&intermediate, (2025, 2028));
            let chain = [&leaf, intermediate.der()];
            assert_eq!(path(&chain, &trusting(&[root.der()])), PathToRoot::IntermediateExpired, "{years:?}");
            assert_eq!(path(&chain, &Roots::default()), PathToRoot::UnknownCa, "{years:?}: its dates are not all");
        }
        let never = intermediate("Intermediate", &root, (2012, 2013));
        let leaf = leaf(&never, NOW_YEARS);
        assert_eq!(path(&[&leaf, never.der()], &trusting(&[root.der()])), PathToRoot::IntermediateExpired);
    }

    #[test]
    fn the_same_names_with_another_key_are_refused() {
        let (root, other) = (root("Root"), root("Root"));
        let leaf = leaf(&other, NOW_YEARS);
        assert!(matches!(path(&[&leaf], &trusting(&[root.der()])), PathToRoot::Refused(_)));
    }

    #[test]
    fn an_authority_as_server_certificate() {
        let root = root("Root");
        let key = KeyPair::generate().unwrap();
        let leaf = params("mx.example.com", NOW_YEARS, true).signed_by(&key, &root).unwrap();
        assert!(matches!(path(&[leaf.der()], &trusting(&[root.der()])), PathToRoot::Refused(_)));
    }

    #[test]
    fn a_self_signed_certificate_among_the_roots() {
        let plain = self_signed(false);
        assert_eq!(path(&[&plain], &trusting(&[&plain])), PathToRoot::Trusted { not_after: year(2027) });
        let authority = self_signed(true);
        assert!(
            matches!(path(&[&authority], &trusting(&[&authority])), PathToRoot::Refused(_)),
            "trusted, yet no server's"
        );
    }

    #[test]
    fn what_cannot_be_read_is_counted() {
        let root = root("Root");
        let leaf = leaf(&root, NOW_YEARS);
        let garbage = CertificateDer::from(b"garbage".to_vec());
        let facts = chain_facts(&[&leaf, &garbage, root.der()], &trusting(&[root.der()]), now()).unwrap();
        assert_eq!((facts.others.len(), facts.unreadable), (1, 1));
        assert!(facts.path.is_trusted());
        let many: Vec<&Der> = std::iter::repeat_n(&leaf, 100).collect();
        let facts = chain_facts(&many, &trusting(&[root.der()]), now()).unwrap();
        assert_eq!((facts.others.len(), facts.unreadable), (MAX_CHAIN - 1, 100 - MAX_CHAIN));
        assert!(chain_facts(&[&garbage], &Roots::default(), now()).is_err());
        assert!(chain_facts::<&Der>(&[], &Roots::default(), now()).is_err());
    }

    #[test]
    fn a_judgement_holds_between_two_dates() {
        let root = root("Root");
        let intermediate = intermediate("Intermediate", &root, (2020, 2030));
        let facts =
            chain_facts(&[&leaf(&intermediate, NOW_YEARS), intermediate.der()], &Roots::default(), now()).unwrap();
        let window = validity_window(&facts, now());
        assert_eq!(window, year(2026)..year(2027) + Duration::from_secs(1));
        assert_eq!(validity_window(&facts, year(2028)).start, year(2027) + Duration::from_secs(1));
    }

    #[test]
    fn roots_from_pem() {
        let (first, second) = (root("First"), root("Second"));
        let pem = format!("a comment\n{}{}", first.pem(), second.pem());
        assert_eq!(Roots::from_pem(pem.as_bytes()).unwrap().len(), 2);
        assert_eq!(Roots::from_pem(b"").unwrap_err(), RootsPemError::Empty);
        let key = KeyPair::generate().unwrap().serialize_pem();
        assert_eq!(Roots::from_pem(key.as_bytes()).unwrap_err(), RootsPemError::Empty, "a key is no root");
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(Roots::from_pem(broken.as_bytes()), Err(RootsPemError::Certificate { index: 1, .. })));
        let cut = "-----BEGIN CERTIFICATE-----\nAAAA\n";
        assert!(matches!(Roots::from_pem(cut.as_bytes()), Err(RootsPemError::Pem(_))));
    }
}
