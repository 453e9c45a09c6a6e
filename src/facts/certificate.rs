//! What a TLS peer presented.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::terms::{Octets, Timestamp};

/// A handshake, whatever the certificate is worth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsFacts {
    /// The negotiated version.
    pub version: TlsVersion,
    /// The negotiated cipher suite by its IANA name.
    pub cipher: String,
    /// The certificates that the peer sent.
    pub chain: Arc<ChainFacts>,
    /// The handshake was finished, and the peer holds its key. Else the server offers only what this monitor does not speak, and
    /// version, cipher and chain were read from the clear part of a handshake that other senders can finish.
    pub completed: bool,
}

/// A version of TLS. This monitor negotiates the two newest, and recognises the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TlsVersion {
    /// RFC 2246, withdrawn by RFC 8996.
    #[serde(rename = "1.0")]
    Tls10,
    /// RFC 4346, withdrawn by RFC 8996.
    #[serde(rename = "1.1")]
    Tls11,
    /// RFC 5246.
    #[serde(rename = "1.2")]
    Tls12,
    /// RFC 8446.
    #[serde(rename = "1.3")]
    Tls13,
}

impl TlsVersion {
    /// Whether it is one that RFC 8996 forbids.
    pub const fn is_obsolete(self) -> bool {
        matches!(self, Self::Tls10 | Self::Tls11)
    }

    /// `1.0` to `1.3`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tls10 => "1.0",
            Self::Tls11 => "1.1",
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        }
    }
}

/// Why a handshake did not end well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum TlsFailure {
    /// The peer sent an alert (RFC 8446 §6), by its name.
    Alert(String),
    /// No common version, cipher suite, group or signature scheme, as far as this monitor speaks.
    Incompatible(String),
    /// What came is no TLS.
    NotTls(String),
    /// The peer closed or reset the connection.
    Closed(String),
    /// The signature of the handshake does not fit the certificate.
    BadSignature(String),
    /// Anything else, in words.
    Other(String),
}

/// A certificate chain as sent, leaf first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainFacts {
    /// The server's own certificate.
    pub leaf: CertificateFacts,
    /// What else was sent, in order. Those that could not be read are left out and counted in `unreadable`.
    pub others: Vec<CertificateFacts>,
    /// The certificates of `leaf` and `others` as sent, in the same order: DANE compares and verifies the very bytes.
    #[serde(with = "hexadecimal")]
    pub der: Vec<Octets>,
    /// How many of the other certificates could not be read.
    pub unreadable: usize,
    /// Whether a path leads from the leaf to a trusted root; dates of the leaf and names apart.
    pub path: PathToRoot,
}

/// Whether a chain leads to a trusted root. The leaf's dates and names are judged elsewhere: a certificate can be expired
/// and for another name and untrusted, and each is said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum PathToRoot {
    /// It does; with the earliest end of validity on the way (root not counted).
    Trusted {
        /// Earliest `notAfter` of leaf and intermediates on the verified path.
        not_after: Timestamp,
    },
    /// The leaf signed itself.
    SelfSigned,
    /// The issuer's certificate was not sent, and it is no root.
    MissingIntermediate,
    /// It ends at a CA that is not trusted here.
    UnknownCa,
    /// An intermediate on the only path is expired or not yet valid.
    IntermediateExpired,
    /// The path fails for another reason (constraints, algorithms, an end-entity certificate that is a CA).
    Refused(String),
}

/// What a certificate says (RFC 5280).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateFacts {
    /// Subject, RFC 4514 style, escaped.
    pub subject: String,
    /// Issuer, RFC 4514 style, escaped.
    pub issuer: String,
    /// The issuer's common name (or organisation where it has none), escaped.
    pub issuer_cn: String,
    /// The subject's common name, escaped. Never a reference identifier here (RFC 8461 §4.1, RFC 9525 §2).
    pub common_name: Option<String>,
    /// dNSName entries of subjectAltName as written, escaped.
    pub names: Vec<String>,
    /// The serial number in lower-case hexadecimal.
    pub serial: String,
    /// Start of validity.
    pub not_before: Timestamp,
    /// End of validity.
    pub not_after: Timestamp,
    /// SHA-256 of the whole certificate, lower-case hexadecimal.
    pub fingerprint_sha256: String,
    /// SHA-256 of the SubjectPublicKeyInfo, lower-case hexadecimal.
    pub spki_sha256: String,
    /// The public key.
    pub key: KeyFacts,
    /// The signature algorithm's short name or OID.
    pub signature_algorithm: String,
    /// Issuer and subject are the same name.
    pub self_issued: bool,
    /// basicConstraints says CA:TRUE.
    pub is_ca: bool,
}

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyFacts {
    /// `rsa`, `ec`, `ed25519`, … or the OID.
    pub algorithm: String,
    /// Its size in bits; 0 where it is not known.
    pub bits: u32,
}

impl ChainFacts {
    /// The earliest end of validity that matters to a sender: of the leaf, or of an intermediate that it needs.
    pub fn ends(&self) -> Timestamp {
        match self.path {
            PathToRoot::Trusted { not_after } => not_after.min(self.leaf.not_after),
            _ => self.leaf.not_after,
        }
    }
}

impl CertificateFacts {
    /// From start to end of validity.
    pub fn lifetime(&self) -> std::time::Duration {
        self.not_after.since(self.not_before)
    }
}

impl PathToRoot {
    /// Whether the chain is trusted.
    pub const fn is_trusted(&self) -> bool {
        matches!(self, Self::Trusted { .. })
    }
}

impl fmt::Display for KeyFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bits {
            0 => f.write_str(&self.algorithm),
            bits => write!(f, "{}-{bits}", self.algorithm),
        }
    }
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for TlsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alert(alert) => write!(f, "the server sent the alert {alert}"),
            Self::Incompatible(what) => write!(f, "nothing in common: {what}"),
            Self::NotTls(what) => write!(f, "what came is no TLS ({what})"),
            Self::Closed(how) => write!(f, "the server closed the connection ({how})"),
            Self::BadSignature(what) => write!(f, "the handshake signature is wrong ({what})"),
            Self::Other(what) => f.write_str(what),
        }
    }
}

/// Certificates as hexadecimal text: it packs to hardly more than their bytes, and escaped text packs worse.
mod hexadecimal {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use super::Octets;

    pub(super) fn serialize<S: Serializer>(all: &[Octets], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(all.iter().map(|one| {
            let digits = one.as_bytes().iter().flat_map(|byte| [byte >> 4, byte & 15]);
            digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect::<String>()
        }))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Octets>, D::Error> {
        let all = Vec::<String>::deserialize(deserializer)?;
        let read = |text: &String| {
            let pairs = text.as_bytes().chunks(2).map(|pair| {
                let digits =
                    std::str::from_utf8(pair).ok().filter(|digits| digits.len() == 2 && !digits.starts_with('+'))?;
                u8::from_str_radix(digits, 16).ok()
            });
            pairs.collect::<Option<Vec<u8>>>().map(Octets)
        };
        all.iter().map(|text| read(text).ok_or_else(|| de::Error::custom("no hexadecimal text"))).collect()
    }

    #[cfg(test)]
    mod tests {
        use proptest::prelude::*;

        use super::*;

        fn read(text: &str) -> Result<Vec<Octets>, serde_json::Error> {
            deserialize(&mut serde_json::Deserializer::from_str(text))
        }

        proptest! {
            #[test]
            fn any_bytes_come_back(all: Vec<Vec<u8>>) {
                let all: Vec<Octets> = all.into_iter().map(Octets).collect();
                let mut text = Vec::new();
                serialize(&all, &mut serde_json::Serializer::new(&mut text)).unwrap();
                prop_assert_eq!(read(std::str::from_utf8(&text).unwrap()).unwrap(), all);
            }

            #[test]
            fn any_text_is_an_answer(text: String) {
                let _ = read(&serde_json::to_string(&[text]).unwrap());
            }
        }

        #[test]
        fn what_is_no_hexadecimal_is_refused() {
            for text in ["[\"abc\"]", "[\"zz\"]", "[\"+1\"]", "[\"é\"]"] {
                assert!(read(text).is_err(), "{text}");
            }
        }
    }
}
