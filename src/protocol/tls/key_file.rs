//! The key of a certificate that is yet to be used, from a PEM file (RFC 7468).

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    rsa,
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair,
    },
};
use rustls_pki_types::pem::{self, PemObject, SectionKind};

use super::{pem_fault, public_key_info, read_certificate, read_public_key_info};

/// A public key, and the certificate that it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyMaterial {
    /// The SubjectPublicKeyInfo as DER (RFC 5280 §4.1.2.7).
    pub public_key_info: Vec<u8>,
    /// The certificate as DER, where the file holds one.
    pub certificate: Option<Vec<u8>>,
}

/// Why a file holds no key that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// It is no PEM.
    #[error("it is no PEM file ({0})")]
    NoPem(&'static str),
    /// It holds neither key nor certificate in clear.
    #[error("it holds neither a certificate nor a key; an encrypted key has to be decrypted first")]
    Nothing,
    /// The first key or certificate in it cannot be read.
    #[error("the {what} in it cannot be read: {why}")]
    Unreadable {
        /// What the PEM section says that it is.
        what: &'static str,
        /// Why, in words.
        why: String,
    },
}

/// Reads the first certificate or key of a PEM file: of a chain the first certificate is the server's own (RFC 8446 §4.4.2). The
/// private part of a key is used for nothing but to compute the public one.
///
/// # Errors
/// [`KeyFileError`] says what is wrong with the file.
pub fn read_key_file(file: &[u8]) -> Result<KeyMaterial, KeyFileError> {
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(file) {
        let (kind, der) = section.map_err(|error: pem::Error| KeyFileError::NoPem(pem_fault(&error)))?;
        let (what, read) = match kind {
            SectionKind::Certificate => return certificate(der),
            SectionKind::PublicKey => ("public key", read_public_key_info(&der).map(|_| der)),
            SectionKind::PrivateKey => ("private key", private_key(&der)),
            SectionKind::RsaPrivateKey => {
                let key = rsa::KeyPair::from_der(&der).map_err(|error| error.to_string());
                ("RSA key", key.and_then(|key| public(key.public_key())))
            }
            SectionKind::EcPrivateKey => {
                ("EC key", ec_key(|algorithm| EcdsaKeyPair::from_private_key_der(algorithm, &der).ok()))
            }
            _ => continue,
        };
        let material = |public_key_info| KeyMaterial { public_key_info, certificate: None };
        return read.map(material).map_err(|why| KeyFileError::Unreadable { what, why });
    }
    Err(KeyFileError::Nothing)
}

fn certificate(der: Vec<u8>) -> Result<KeyMaterial, KeyFileError> {
    let unreadable = |why| KeyFileError::Unreadable { what: "certificate", why };
    read_certificate(&der).map_err(unreadable)?;
    let info = public_key_info(&der).map(<[u8]>::to_vec);
    let public_key_info = info.ok_or_else(|| unreadable("it has no key".to_owned()))?;
    Ok(KeyMaterial { public_key_info, certificate: Some(der) })
}

/// RFC 5958, of the kinds of key that mail servers use.
fn private_key(der: &[u8]) -> Result<Vec<u8>, String> {
    if let Ok(key) = rsa::KeyPair::from_pkcs8(der) {
        return public(key.public_key());
    }
    if let Ok(key) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
        return public(key.public_key());
    }
    ec_key(|algorithm| EcdsaKeyPair::from_pkcs8(algorithm, der).ok())
}

fn ec_key(read: impl Fn(&'static EcdsaSigningAlgorithm) -> Option<EcdsaKeyPair>) -> Result<Vec<u8>, String> {
    let curves = [&ECDSA_P256_SHA256_ASN1_SIGNING, &ECDSA_P384_SHA384_ASN1_SIGNING, &ECDSA_P521_SHA512_ASN1_SIGNING];
    match curves.into_iter().find_map(read) {
        Some(key) => public(key.public_key()),
        None => Err("it is neither RSA of 2048 bits or more, nor P-256, P-384, P-521 or Ed25519".to_owned()),
    }
}

fn public(key: &impl AsDer<PublicKeyX509Der<'static>>) -> Result<Vec<u8>, String> {
    key.as_der().map(|der| der.as_ref().to_vec()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use rcgen::{
        CertificateParams, KeyPair as Made, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PublicKeyData,
    };

    use super::*;

    #[test]
    fn every_kind_of_file_leads_to_the_same_key() {
        for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519] {
            let key = Made::generate_for(algorithm).unwrap();
            let params = CertificateParams::new(vec!["mx.example.com".to_owned()]).unwrap();
            let certificate = params.self_signed(&key).unwrap();
            let expected = key.subject_public_key_info();
            let noted = format!("a note\n{}", key.serialize_pem());
            for file in [key.serialize_pem(), key.public_key_pem(), certificate.pem(), noted] {
                let read = read_key_file(file.as_bytes()).unwrap();
                assert_eq!(read.public_key_info, expected, "{file}");
                assert_eq!(read.certificate.is_some(), file.contains("CERTIFICATE"));
            }
        }
    }

    #[test]
    fn of_a_chain_the_first_counts() {
        let made = |name: &str| {
            let key = Made::generate().unwrap();
            let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
            (certificate.pem(), key.subject_public_key_info())
        };
        let ((leaf, expected), (issuer, _)) = (made("mx.example.com"), made("ca.example"));
        assert_eq!(read_key_file((leaf + &issuer).as_bytes()).unwrap().public_key_info, expected);
    }

    #[test]
    fn what_is_no_key_says_so() {
        assert_eq!(read_key_file(b""), Err(KeyFileError::Nothing));
        assert_eq!(read_key_file(b"no pem at all"), Err(KeyFileError::Nothing));
        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        assert_eq!(read_key_file(encrypted.as_bytes()), Err(KeyFileError::Nothing));
        for (kind, what) in [
            ("CERTIFICATE", "certificate"),
            ("PRIVATE KEY", "private key"),
            ("RSA PRIVATE KEY", "RSA key"),
            ("EC PRIVATE KEY", "EC key"),
            ("PUBLIC KEY", "public key"),
        ] {
            let file = format!("-----BEGIN {kind}-----\nAAAA\n-----END {kind}-----\n");
            match read_key_file(file.as_bytes()) {
                Err(KeyFileError::Unreadable { what: found, why }) => {
                    assert!(found == what && !why.is_empty(), "{kind}");
                }
                other => panic!("{kind}: {other:?}"),
            }
        }
        let cut = b"-----BEGIN PRIVATE KEY-----\nAAAA\n";
        assert!(matches!(read_key_file(cut), Err(KeyFileError::NoPem(_))), "{:?}", read_key_file(cut));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_an_answer(file in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
            let _ = read_key_file(&file);
        }
    }
}
