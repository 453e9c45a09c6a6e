//! Certificates with their dates set aside, so that all else about them can be verified at any time.
//!
//! A path is verified at one moment, and where a leaf ended before its issuer began there is none that suits both. So the
//! dates are rewritten in a copy, and where its signature is checked, the signed bytes take the place of the copy's: names,
//! constraints, purposes and signatures are judged by the same verifier as ever, only the dates are not.
//!
//! In the same way a leaf that says it is an authority can be verified as the leaf that it is used as: RFC 5280 §6 does not refuse
//! it, OpenSSL accepts it, and mail servers have such certificates.

use rustls_pki_types::{AlgorithmIdentifier, CertificateDer, InvalidSignature, SignatureVerificationAlgorithm};
use x509_parser::{
    asn1_rs::{Any, FromDer, Tag},
    certificate::X509Certificate,
};

/// What takes the place of a UTCTime, as DER. It cannot say more than 2049 (RFC 5280 §4.1.2.5.1).
const UTC_TIMES: Dates = (b"\x17\x0d700101000000Z", b"\x17\x0d491231235959Z");

/// What takes the place of a GeneralizedTime: short of its very last day, which not every library can express.
const GENERALIZED_TIMES: Dates = (b"\x18\x0f19700101000000Z", b"\x18\x0f99991230000000Z");

/// Earliest and latest.
type Dates = (&'static [u8], &'static [u8]);

/// Copies that are valid from 1970 to 2049 at least, or whose leaf is no authority.
pub(super) struct Undated<'a> {
    certificates: Vec<CertificateDer<'a>>,
    rewritten: Vec<Rewritten<'a>>,
}

/// One copy.
#[derive(Debug)]
struct Rewritten<'a> {
    /// The certificate as sent; it ends with its signature.
    original: &'a [u8],
    /// What was signed (tbsCertificate).
    signed: &'a [u8],
    /// The same with other dates, or without the mark of an authority.
    changed: Vec<u8>,
}

/// A signature algorithm that verifies a copy by what was signed.
#[derive(Debug)]
pub(super) struct AsSigned<'a> {
    algorithm: &'static dyn SignatureVerificationAlgorithm,
    rewritten: &'a [Rewritten<'a>],
}

impl<'a> Undated<'a> {
    /// The chain, with a copy of the leaf. That others keep their dates holds against any chain: what passes for a copy has all
    /// that the leaf has but its dates, and no leaf that is accepted may sign.
    pub(super) fn leaf(chain: &'a [CertificateDer<'a>]) -> Self {
        Self::copies(chain, |depth| if depth == 0 { rewrite(chain.first()?) } else { None })
    }

    /// The chain, all copies. Its path says nothing about dates: a sender can have written such copies himself.
    pub(super) fn all(chain: &'a [CertificateDer<'a>]) -> Self {
        Self::copies(chain, |depth| rewrite(chain.get(depth)?))
    }

    /// The chain with its dates, and with a leaf that is no authority.
    pub(super) fn end_entity(chain: &'a [CertificateDer<'a>]) -> Self {
        Self::copies(chain, |depth| if depth == 0 { demote(whole(chain.first()?)?) } else { None })
    }

    /// The chain, all copies, with a leaf that is no authority. As with [`Self::all`], its path says nothing about dates.
    pub(super) fn all_end_entity(chain: &'a [CertificateDer<'a>]) -> Self {
        Self::copies(chain, |depth| {
            let der = chain.get(depth)?;
            if depth == 0 { demote(rewrite(der).or_else(|| whole(der))?) } else { rewrite(der) }
        })
    }

    /// A certificate whose dates are not as RFC 5280 §4.1.2.5 wants them stays as it is.
    fn copies(
        chain: &'a [CertificateDer<'a>],
        copy: impl Fn(usize) -> Option<(CertificateDer<'a>, Rewritten<'a>)>,
    ) -> Self {
        let mut undated = Self { certificates: Vec::new(), rewritten: Vec::new() };
        for (depth, der) in chain.iter().enumerate() {
            match copy(depth) {
                Some((certificate, rewritten)) => {
                    undated.certificates.push(certificate);
                    undated.rewritten.push(rewritten);
                }
                None => undated.certificates.push(CertificateDer::from(der.as_ref())),
            }
        }
        undated
    }

    /// In the order of the chain.
    pub(super) fn certificates(&self) -> &[CertificateDer<'a>] {
        &self.certificates
    }

    /// All that the verifier knows, for these copies; other certificates are verified as they are.
    pub(super) fn algorithms(&self) -> Vec<AsSigned<'_>> {
        let all = webpki::ALL_VERIFICATION_ALGS.iter();
        all.map(|&algorithm| AsSigned { algorithm, rewritten: &self.rewritten }).collect()
    }
}

impl SignatureVerificationAlgorithm for AsSigned<'_> {
    /// Always by what the issuer signed, from which a copy differs only in dates. The signature is compared too, as two
    /// certificates may differ in nothing but their dates.
    fn verify_signature(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let mut copies = self.rewritten.iter();
        let copy = copies.find(|copy| copy.changed == message && copy.original.ends_with(signature));
        self.algorithm.verify_signature(public_key, copy.map_or(message, |copy| copy.signed), signature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.signature_alg_id()
    }
}

/// What is in front of what was signed, what was signed, and what follows it.
fn parts(original: &[u8]) -> Option<[&[u8]; 3]> {
    let (_, certificate) = Any::from_der(original).ok()?;
    let (after_signed, _) = Any::from_der(certificate.data).ok()?;
    let (signed, _) = certificate.data.split_at_checked(certificate.data.len().checked_sub(after_signed.len())?)?;
    let (header, _) = original.split_at_checked(original.len().checked_sub(certificate.data.len())?)?;
    Some([header, signed, after_signed])
}

/// A copy in which nothing is changed yet.
fn whole(original: &[u8]) -> Option<(CertificateDer<'static>, Rewritten<'_>)> {
    let [_, signed, _] = parts(original)?;
    Some((CertificateDer::from(original.to_vec()), Rewritten { original, signed, changed: signed.to_vec() }))
}

/// basicConstraints CA:TRUE becomes CA:FALSE, which verifiers read though DER would leave it out.
fn demote<'a>((copy, rewritten): (CertificateDer<'a>, Rewritten<'a>)) -> Option<(CertificateDer<'a>, Rewritten<'a>)> {
    const BASIC_CONSTRAINTS: &str = "2.5.29.19";
    // SEQUENCE, its length, BOOLEAN, one byte, TRUE.
    const FLAG: usize = 4;
    let (_, certificate) = X509Certificate::from_der(&copy).ok()?;
    let mut extensions = certificate.extensions().iter();
    let value = extensions.find(|extension| extension.oid.to_id_string() == BASIC_CONSTRAINTS)?.value;
    if !matches!(value, [0x30, _, 0x01, 0x01, 0xff, ..]) {
        return None;
    }
    let place = value.as_ptr().addr().checked_sub(copy.as_ptr().addr())?.checked_add(FLAG)?;
    let mut changed = copy.to_vec();
    *changed.get_mut(place)? = 0;
    let [_, signed, _] = parts(&changed)?;
    let signed = signed.to_vec();
    Some((CertificateDer::from(changed), Rewritten { changed: signed, ..rewritten }))
}

/// The new dates are as long as the old, so that no length around them changes.
fn rewrite(original: &[u8]) -> Option<(CertificateDer<'static>, Rewritten<'_>)> {
    let [header, signed, after_signed] = parts(original)?;
    let (_, fields) = Any::from_der(signed).ok()?;
    // RFC 5280 §4.1: version, serialNumber, signature and issuer come before validity.
    let mut rest = fields.data;
    for _ in 0..4 {
        (rest, _) = Any::from_der(rest).ok()?;
    }
    let (after_validity, validity) = Any::from_der(rest).ok()?;
    let (not_after, first) = Any::from_der(validity.data).ok()?;
    let (_, last) = Any::from_der(not_after).ok()?;
    let dates = [dates_like(&first)?.0, dates_like(&last)?.1].concat();
    if dates.len() != validity.data.len() {
        return None;
    }

    let dates_end = signed.len().checked_sub(after_validity.len())?;
    let mut changed = signed.to_vec();
    changed.get_mut(dates_end.checked_sub(dates.len())?..dates_end)?.copy_from_slice(&dates);
    let copy = CertificateDer::from([header, &changed, after_signed].concat());
    Some((copy, Rewritten { original, signed, changed }))
}

fn dates_like(time: &Any<'_>) -> Option<Dates> {
    match time.tag() {
        Tag::UtcTime => Some(UTC_TIMES),
        Tag::GeneralizedTime => Some(GENERALIZED_TIMES),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};
    use rustls_pki_types::pem::PemObject;

    use super::*;
    use crate::{facts::CertificateFacts, protocol::tls::read_certificate};

    fn certificate(from: i32, until: i32) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["mx.example.com".to_owned()]).unwrap();
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn only_the_dates_differ() {
        for (from, until, first, last) in [
            (2024, 2025, "1970-01-01T00:00:00Z", "2049-12-31T23:59:59Z"),
            (2024, 2051, "1970-01-01T00:00:00Z", "9999-12-30T00:00:00Z"),
            (2051, 2052, "1970-01-01T00:00:00Z", "9999-12-30T00:00:00Z"),
        ] {
            let original = certificate(from, until);
            let (copy, _) = rewrite(&original).unwrap();
            let (was, is) = (read_certificate(&original).unwrap(), read_certificate(&copy).unwrap());
            assert_eq!((is.not_before, is.not_after), (first.parse().unwrap(), last.parse().unwrap()));
            let fingerprint_sha256 = was.fingerprint_sha256.clone();
            let (not_before, not_after) = (was.not_before, was.not_after);
            assert_eq!(CertificateFacts { not_before, not_after, fingerprint_sha256, ..is }, was);
        }
    }

    #[test]
    fn without_a_version_there_are_no_dates_where_they_are_looked_for() {
        let pem = include_bytes!("../../../tests/data/certificates/version1.pem");
        assert!(rewrite(&CertificateDer::from_pem_slice(pem).unwrap()).is_none());
    }

    #[test]
    fn only_the_mark_of_an_authority_differs() {
        let mut params = CertificateParams::new(vec!["mx.example.com".to_owned()]).unwrap();
        for constraint in [rcgen::BasicConstraints::Unconstrained, rcgen::BasicConstraints::Constrained(1)] {
            params.is_ca = rcgen::IsCa::Ca(constraint);
            let original = params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec();
            let (copy, rewritten) = demote(whole(&original).unwrap()).unwrap();
            let (was, is) = (read_certificate(&original).unwrap(), read_certificate(&copy).unwrap());
            assert!(was.is_ca && !is.is_ca);
            let fingerprint_sha256 = was.fingerprint_sha256.clone();
            assert_eq!(CertificateFacts { is_ca: true, fingerprint_sha256, ..is }, was);
            let differs = copy.iter().zip(&original).filter(|(is, was)| is != was).count();
            assert_eq!(differs, 1);
            assert_eq!(rewritten.changed, parts(&copy).unwrap()[1]);
            assert_eq!(rewritten.signed, parts(&original).unwrap()[1]);
        }
        assert!(demote(whole(&certificate(2024, 2025)).unwrap()).is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_rewritten_or_left(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = rewrite(&bytes);
            let _ = whole(&bytes).and_then(demote);
        }

        #[test]
        fn a_damaged_certificate_keeps_its_length(at in 0usize..200, byte in any::<u8>()) {
            let mut der = SAMPLE.with(Clone::clone);
            der[at] = byte;
            if let Some((copy, rewritten)) = rewrite(&der) {
                prop_assert_eq!((copy.len(), rewritten.changed.len()), (der.len(), rewritten.signed.len()));
            }
        }
    }

    thread_local! {
        static SAMPLE: Vec<u8> = certificate(2024, 2025);
    }
}
