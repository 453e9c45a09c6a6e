//! What a certificate says (RFC 5280), read without judging it.

use std::fmt::Write;

use aws_lc_rs::digest;
use x509_parser::{
    asn1_rs::{Any, Tag},
    certificate::X509Certificate,
    extensions::{GeneralName, ParsedExtension},
    prelude::FromDer,
    public_key::PublicKey,
    signature_algorithm::SignatureAlgorithm,
    x509::{AlgorithmIdentifier, AttributeTypeAndValue, SubjectPublicKeyInfo, X509Name, X509Version},
};

use crate::{
    facts::{CertificateFacts, KeyFacts},
    terms::{Octets, Timestamp},
};

/// Attribute types with a short name (RFC 4514 §3, and two that are common in certificates).
const ATTRIBUTES: [(&str, &str); 12] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.97", "organizationIdentifier"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];

const COMMON_NAME: &str = "2.5.4.3";
const ORGANIZATION: &str = "2.5.4.10";

/// The only signature algorithm with parameters of interest (RFC 4055 §3.1).
const RSASSA_PSS: &str = "1.2.840.113549.1.1.10";

/// Signature algorithms by the names of RFC 8017, RFC 5758 and RFC 8410.
const SIGNATURES: [(&str, &str); 13] = [
    ("1.2.840.113549.1.1.4", "md5WithRSAEncryption"),
    ("1.2.840.113549.1.1.5", "sha1WithRSAEncryption"),
    (RSASSA_PSS, "rsassaPss"),
    ("1.2.840.113549.1.1.11", "sha256WithRSAEncryption"),
    ("1.2.840.113549.1.1.12", "sha384WithRSAEncryption"),
    ("1.2.840.113549.1.1.13", "sha512WithRSAEncryption"),
    ("1.2.840.10040.4.3", "dsa-with-SHA1"),
    ("1.2.840.10045.4.1", "ecdsa-with-SHA1"),
    ("1.2.840.10045.4.3.2", "ecdsa-with-SHA256"),
    ("1.2.840.10045.4.3.3", "ecdsa-with-SHA384"),
    ("1.2.840.10045.4.3.4", "ecdsa-with-SHA512"),
    ("1.3.101.112", "ed25519"),
    ("1.3.101.113", "ed448"),
];

/// The hash of RFC 3174.
const SHA1: &str = "1.3.14.3.2.26";

/// Public key algorithms; the size is given where the algorithm alone tells it.
const KEYS: [(&str, &str, u32); 6] = [
    ("1.2.840.113549.1.1.1", "rsa", 0),
    ("1.2.840.113549.1.1.10", "rsa-pss", 0),
    ("1.2.840.10040.4.1", "dsa", 0),
    ("1.2.840.10045.2.1", "ec", 0),
    ("1.3.101.112", "ed25519", 256),
    ("1.3.101.113", "ed448", 456),
];

/// Sizes of the curves of RFC 5480 §2.1.1.1: the encoded point of P-521 is longer than its field.
const CURVES: [(&str, u32); 3] = [("1.2.840.10045.3.1.7", 256), ("1.3.132.0.34", 384), ("1.3.132.0.35", 521)];

/// The first byte of a SEQUENCE (X.690 §8.9, §8.14): universal class, constructed, number 16.
const SEQUENCE: u8 = 0x30;

const NO_SEQUENCE: &str = "a SEQUENCE has another tag or more fields than it may have";

/// Reads one DER certificate.
///
/// # Errors
/// Says in words why the bytes are no X.509 certificate.
pub fn read_certificate(der: &[u8]) -> Result<CertificateFacts, String> {
    let (rest, certificate) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
    if !rest.is_empty() {
        return Err(format!("{} bytes follow the certificate", rest.len()));
    }
    if ![der, certificate.tbs_certificate.as_ref(), certificate.public_key().raw].into_iter().all(is_sequence) {
        return Err(NO_SEQUENCE.to_owned());
    }
    let subject = certificate.subject();
    let issuer = certificate.issuer();
    let issuer_cn = attribute(issuer, COMMON_NAME).or_else(|| attribute(issuer, ORGANIZATION));
    Ok(CertificateFacts {
        subject: name_text(subject),
        issuer: name_text(issuer),
        issuer_cn: issuer_cn.unwrap_or_default(),
        common_name: attribute(subject, COMMON_NAME),
        names: dns_names(&certificate),
        serial: serial(certificate.raw_serial()),
        not_before: Timestamp::from_unix_seconds(certificate.validity().not_before.timestamp()),
        not_after: Timestamp::from_unix_seconds(certificate.validity().not_after.timestamp()),
        fingerprint_sha256: sha256(der),
        spki_sha256: sha256(certificate.public_key().raw),
        key: key(certificate.public_key()),
        signature_algorithm: signature(&certificate.signature_algorithm),
        self_issued: subject.as_raw() == issuer.as_raw(),
        is_ca: is_ca(&certificate),
    })
}

/// The SubjectPublicKeyInfo of a DER certificate, as DER (RFC 5280 §4.1); nothing where it is no certificate.
pub fn public_key_info(der: &[u8]) -> Option<&[u8]> {
    X509Certificate::from_der(der).ok().map(|(_, certificate)| certificate.tbs_certificate.subject_pki.raw)
}

/// Reads a SubjectPublicKeyInfo (RFC 5280 §4.1.2.7).
///
/// # Errors
/// Says in words why the bytes are none.
pub fn read_public_key_info(der: &[u8]) -> Result<KeyFacts, String> {
    let (rest, info) = SubjectPublicKeyInfo::from_der(der).map_err(|error| error.to_string())?;
    if !rest.is_empty() {
        return Err(format!("{} bytes follow the key", rest.len()));
    }
    if !is_sequence(info.raw) {
        return Err(NO_SEQUENCE.to_owned());
    }
    Ok(key(&info))
}

/// Whether this is one whole SEQUENCE. The parser looks at the number of a tag alone and takes `[APPLICATION 16]` for one too; and
/// it passes over what follows the last field, so that what it read may be a part.
fn is_sequence(der: &[u8]) -> bool {
    der.first() == Some(&SEQUENCE) && inside_sequence(der).is_some()
}

/// What a DER SEQUENCE holds, without its own tag and length.
pub(super) fn inside_sequence(der: &[u8]) -> Option<&[u8]> {
    let (rest, sequence) = Any::from_der(der).ok()?;
    (rest.is_empty() && sequence.tag() == Tag::Sequence).then_some(sequence.data)
}

/// Whether a certificate may be an issuer's: basicConstraints says so, or it is of version 1, which has none, and signed itself.
pub(super) fn may_issue(der: &[u8]) -> bool {
    X509Certificate::from_der(der).is_ok_and(|(_, certificate)| {
        let self_issued = certificate.subject().as_raw() == certificate.issuer().as_raw();
        is_ca(&certificate) || certificate.version() == X509Version::V1 && self_issued
    })
}

/// The name says the hash, except with RSASSA-PSS: there it is a parameter, and SHA-1 where that is left out (RFC 4055 §3.1).
fn signature(algorithm: &AlgorithmIdentifier<'_>) -> String {
    let oid = algorithm.algorithm.to_id_string();
    let name = look_up(&SIGNATURES, &oid).map_or_else(|| oid.clone(), str::to_owned);
    // About an algorithm that it does not know, the parser of parameters writes a line to standard error in debug builds.
    if oid != RSASSA_PSS {
        return name;
    }
    match SignatureAlgorithm::try_from(algorithm) {
        Ok(SignatureAlgorithm::RSASSA_PSS(parameters)) if parameters.hash_algorithm_oid().to_id_string() == SHA1 => {
            format!("{name} with SHA1")
        }
        _ => name,
    }
}

fn look_up(table: &[(&str, &'static str)], oid: &str) -> Option<&'static str> {
    table.iter().find(|(known, _)| *known == oid).map(|(_, name)| *name)
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Without the zero octet that only keeps a DER integer positive.
fn serial(raw: &[u8]) -> String {
    match raw {
        [0, rest @ ..] if !rest.is_empty() => hex(rest),
        _ => hex(raw),
    }
}

/// RFC 4514 §2.1: the last RDN first.
fn name_text(name: &X509Name<'_>) -> String {
    let rdns: Vec<String> =
        name.iter().map(|rdn| rdn.iter().map(attribute_text).collect::<Vec<_>>().join("+")).collect();
    rdns.into_iter().rev().collect::<Vec<_>>().join(",")
}

fn attribute_text(attribute: &AttributeTypeAndValue<'_>) -> String {
    let oid = attribute.attr_type().to_id_string();
    let label = look_up(&ATTRIBUTES, &oid).map_or_else(|| oid.clone(), str::to_owned);
    let value = value_text(attribute);
    let mut text = String::with_capacity(label.len() + value.len() + 1);
    text.push_str(&label);
    text.push('=');
    for character in value.chars() {
        // RFC 4514 §2.4; the backslash itself is escaped already.
        if matches!(character, ',' | '+' | '"' | '<' | '>' | ';') {
            text.push('\\');
        }
        text.push(character);
    }
    text
}

fn attribute(name: &X509Name<'_>, oid: &str) -> Option<String> {
    // Where a name has several, the last is the most specific (RFC 9525 §7.4 on common names).
    name.iter_attributes().filter(|attribute| attribute.attr_type().to_id_string() == oid).last().map(value_text)
}

fn value_text(attribute: &AttributeTypeAndValue<'_>) -> String {
    escape(attribute.as_slice())
}

fn escape(bytes: &[u8]) -> String {
    Octets(bytes.to_vec()).to_string()
}

fn dns_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    certificate
        .extensions()
        .iter()
        .filter_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(alternative) => Some(alternative),
            _ => None,
        })
        .flat_map(|alternative| &alternative.general_names)
        .filter_map(|name| match name {
            GeneralName::DNSName(text) => Some(escape(text.as_bytes())),
            _ => None,
        })
        .collect()
}

fn is_ca(certificate: &X509Certificate<'_>) -> bool {
    certificate.extensions().iter().any(|extension| {
        matches!(extension.parsed_extension(), ParsedExtension::BasicConstraints(constraints) if constraints.ca)
    })
}

fn key(info: &SubjectPublicKeyInfo<'_>) -> KeyFacts {
    let oid = info.algorithm.algorithm.to_id_string();
    let known = KEYS.iter().find(|(known, _, _)| *known == oid);
    let bits = match known {
        Some(&(_, _, bits)) if bits > 0 => bits,
        _ => curve_bits(info).unwrap_or_else(|| key_bits(info)),
    };
    KeyFacts { algorithm: known.map_or_else(|| oid.clone(), |(_, name, _)| (*name).to_owned()), bits }
}

fn curve_bits(info: &SubjectPublicKeyInfo<'_>) -> Option<u32> {
    let curve = info.algorithm.parameters.as_ref()?.as_oid().ok()?.to_id_string();
    CURVES.iter().find(|(known, _)| *known == curve).map(|(_, bits)| *bits)
}

fn key_bits(info: &SubjectPublicKeyInfo<'_>) -> u32 {
    let bits = match info.parsed() {
        Ok(key @ (PublicKey::RSA(_) | PublicKey::EC(_))) => key.key_size(),
        _ => 0,
    };
    u32::try_from(bits).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, IsCa, KeyPair, SanType, date_time_ymd};

    use super::*;

    fn params() -> CertificateParams {
        let mut params = CertificateParams::new(vec!["mx.example.com".to_owned(), "*.example.org".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Acme, \"Inc\" \u{1b}[2J");
        params.distinguished_name.push(DnType::CommonName, "mx.example.com");
        params.not_before = date_time_ymd(2026, 1, 2);
        params.not_after = date_time_ymd(2026, 4, 2);
        params
    }

    #[test]
    fn all_that_it_says() {
        let key = KeyPair::generate().unwrap();
        let mut params = params();
        params.subject_alt_names.push(SanType::IpAddress([192, 0, 2, 1].into()));
        let der = params.self_signed(&key).unwrap();
        let facts = read_certificate(der.der()).unwrap();
        assert_eq!(facts.names, ["mx.example.com", "*.example.org"], "no address");
        assert_eq!(facts.subject, "CN=mx.example.com,O=Acme\\, \\\"Inc\\\" \\x1b[2J");
        assert_eq!(facts.common_name.as_deref(), Some("mx.example.com"));
        assert_eq!(facts.issuer_cn, "mx.example.com");
        assert_eq!(facts.not_before.to_string(), "2026-01-02T00:00:00Z");
        assert_eq!(facts.not_after.to_string(), "2026-04-02T00:00:00Z");
        assert_eq!(facts.key.to_string(), "ec-256");
        assert_eq!(facts.signature_algorithm, "ecdsa-with-SHA256");
        assert_eq!(facts.fingerprint_sha256.len(), 64);
        assert!(facts.self_issued && !facts.is_ca);
    }

    #[test]
    fn keys_have_their_size() {
        for (algorithm, name, signature) in [
            (&rcgen::PKCS_ECDSA_P384_SHA384, "ec-384", "ecdsa-with-SHA384"),
            (&rcgen::PKCS_ECDSA_P521_SHA512, "ec-521", "ecdsa-with-SHA512"),
            (&rcgen::PKCS_ED25519, "ed25519-256", "ed25519"),
            (&rcgen::PKCS_RSA_SHA256, "rsa-2048", "sha256WithRSAEncryption"),
        ] {
            let key = KeyPair::generate_for(algorithm).unwrap();
            let facts = read_certificate(params().self_signed(&key).unwrap().der()).unwrap();
            assert_eq!(facts.key.to_string(), name);
            assert_eq!(facts.signature_algorithm, signature);
        }
    }

    /// OpenSSL reads no such certificate, so no sender would find that a record with all of it matches.
    #[test]
    fn a_sequence_is_one_by_its_class_too() {
        let der = params().self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec();
        let key = public_key_info(&der).unwrap().to_vec();
        let key_at = der.windows(key.len()).position(|window| window == key).unwrap();
        assert!(read_certificate(&der).is_ok() && read_public_key_info(&key).is_ok());
        // Primitive, then the classes application, context-specific, private.
        for tag in [0x10, 0x70, 0xb0, 0xf0, 0xd0] {
            // The certificate, tbsCertificate behind a length of two bytes, subjectPublicKeyInfo.
            for place in [0, 4, key_at] {
                let mut changed = der.clone();
                changed[place] = tag;
                assert!(read_certificate(&changed).is_err(), "{tag:#04x} at {place}");
            }
            let changed = [&[tag], &key[1..]].concat();
            assert!(read_public_key_info(&changed).is_err(), "{tag:#04x}");
        }
    }

    /// Else the digest of a key would be that of a part of it.
    #[test]
    fn nothing_follows_the_key_inside_its_sequence() {
        let der = params().self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec();
        let key = public_key_info(&der).unwrap().to_vec();
        let key_at = der.windows(key.len()).position(|window| window == key).unwrap();
        let longer = [&[SEQUENCE, key[1] + 2], &key[2..], b"\x05\0"].concat();
        assert!(read_public_key_info(&longer).is_err());

        let mut changed = [&der[..key_at], &longer, &der[key_at + key.len()..]].concat();
        // Of the certificate and of tbsCertificate, each in two bytes.
        for place in [2, 6] {
            let length = u16::from_be_bytes([der[place], der[place + 1]]) + 2;
            changed[place..place + 2].copy_from_slice(&length.to_be_bytes());
        }
        assert!(read_certificate(&changed).is_err());
    }

    /// Runs itself once more: what a library prints is seen only from outside.
    #[test]
    fn an_unknown_algorithm_is_nothing_to_print() {
        let mut der = params().self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec();
        // ecdsa-with-SHA256, in tbsCertificate and behind it.
        let known = b"\x2a\x86\x48\xce\x3d\x04\x03\x02";
        let places: Vec<usize> = (0..der.len()).filter(|at| der[*at..].starts_with(known)).collect();
        assert_eq!(places.len(), 2);
        for place in places {
            der[place] = 0x2b;
        }
        assert_eq!(read_certificate(&der).unwrap().signature_algorithm, "1.3.840.10045.4.3.2");

        const AGAIN: &str = "SMTPTLS_TEST_PRINTS";
        if std::env::var_os(AGAIN).is_none() {
            let name = "protocol::tls::certificate::tests::an_unknown_algorithm_is_nothing_to_print";
            let mut again = std::process::Command::new(std::env::current_exe().unwrap());
            let output = again.args(["--exact", "--nocapture", name]).env(AGAIN, "1").output().unwrap();
            assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("1 passed"));
            assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        }
    }

    #[test]
    fn an_authority_and_an_empty_subject() {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let facts = read_certificate(params.self_signed(&key).unwrap().der()).unwrap();
        assert!(facts.is_ca);
        assert_eq!((facts.subject.as_str(), facts.common_name), ("", None));
        assert!(facts.names.is_empty());
    }

    #[test]
    fn trailing_bytes_are_refused() {
        let key = KeyPair::generate().unwrap();
        let mut der = params().self_signed(&key).unwrap().der().to_vec();
        der.push(0);
        assert!(read_certificate(&der).is_err());
    }

    #[test]
    fn serials() {
        assert_eq!(serial(&[0, 0x8f, 1]), "8f01");
        assert_eq!(serial(&[0]), "00");
        assert_eq!(serial(&[1, 2]), "0102");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read_certificate(&bytes);
        }

        #[test]
        fn a_damaged_certificate_is_read_or_refused(at in 0usize..400, byte in any::<u8>()) {
            let mut der = SAMPLE.with(Clone::clone);
            let at = at % der.len();
            der[at] = byte;
            if let Ok(facts) = read_certificate(&der) {
                prop_assert!(facts.subject.bytes().all(|b| (b' '..=b'~').contains(&b)));
                prop_assert!(facts.names.iter().flat_map(|name| name.bytes()).all(|b| (b' '..=b'~').contains(&b)));
            }
        }
    }

    thread_local! {
        static SAMPLE: Vec<u8> = params().self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec();
    }
}
