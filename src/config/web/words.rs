//! The words of the file: those of Go's crypto/tls, of which exporter-toolkit has them, and secrets that are never shown.

use std::{fmt, str::FromStr, time::Duration};

use bcrypt::HashParts;

use crate::config::{
    reader::{FromNode, Reader},
    yaml::{Node, Value},
};

/// bcrypt doubles its work with each step: with 18 a password takes some fifteen seconds, and
/// whoever asks has given up long before.
const COST_MOST: u32 = 18;
/// The least that bcrypt knows.
const COST_LEAST: u32 = 4;
/// PEM of a long chain.
const INLINE_MOST: usize = 256 << 10;

/// A secret text. It has no way into logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(String);

impl Hidden {
    /// The secret.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl FromNode for Hidden {
    fn from_node(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.value {
            Value::Text(text) if text.len() <= INLINE_MOST => Some(Self(text.clone())),
            // What stands there instead may be a secret too.
            _ => {
                reader.unexpected(node.mark, "this is no PEM", "PEM, as a block below `|`", None);
                None
            }
        }
    }
}

/// A bcrypt hash of a password. It is not shown either: short passwords can be guessed from it.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// The hash as it was written.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Reads `$2a$`, `$2b$` and `$2y$`, which mean the same.
    ///
    /// # Errors
    /// What is wrong, without a word of the text.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if !["$2a$", "$2b$", "$2y$"].iter().any(|version| text.starts_with(version)) {
            return Err("it is no bcrypt hash".to_owned());
        }
        let parts = HashParts::from_str(text).map_err(|_| "the bcrypt hash is not whole".to_owned())?;
        match parts.get_cost() {
            COST_LEAST..=COST_MOST => Ok(Self(text.to_owned())),
            cost => Err(format!("the bcrypt hash has cost {cost}, and {COST_LEAST} to {COST_MOST} are taken")),
        }
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Whether clients show a certificate, by the names of Go's `tls.ClientAuthType`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificates {
    /// They are not asked for one.
    #[default]
    None,
    /// They are asked, and may show any or none.
    Requested,
    /// They must show one, which may be any.
    Required,
    /// They may show none; one that is shown must be issued by the CA.
    VerifiedIfGiven,
    /// They must show one that is issued by the CA.
    RequiredAndVerified,
}

impl ClientCertificates {
    const KNOWN: [(&'static str, Self); 6] = [
        ("NoClientCert", Self::None),
        ("RequestClientCert", Self::Requested),
        ("RequireAnyClientCert", Self::Required),
        ("VerifyClientCertIfGiven", Self::VerifiedIfGiven),
        ("RequireAndVerifyClientCert", Self::RequiredAndVerified),
        // What exporter-toolkit called the second before.
        ("RequireClientCert", Self::Required),
    ];

    /// Whether who issued a certificate is looked at.
    pub const fn verified(self) -> bool {
        matches!(self, Self::VerifiedIfGiven | Self::RequiredAndVerified)
    }

    /// Whether nobody gets in without one.
    pub const fn mandatory(self) -> bool {
        matches!(self, Self::Required | Self::RequiredAndVerified)
    }
}

impl FromNode for ClientCertificates {
    fn from_node(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let word = reader.word(node, &Self::KNOWN.map(|(name, _)| name))?;
        Self::KNOWN.iter().find(|(name, _)| *name == word).map(|(_, known)| *known)
    }
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl FromNode for TlsVersion {
    fn from_node(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match reader.word(node, &["TLS12", "TLS13", "TLS10", "TLS11"])? {
            "TLS12" => Some(Self::Tls12),
            "TLS13" => Some(Self::Tls13),
            old => {
                let message = format!("this program does not speak {old}: it is broken (RFC 8996)");
                reader.unexpected(node.mark, message, "TLS12 or TLS13", None);
                None
            }
        }
    }
}

/// A cipher suite of TLS by Go's name, which is the one of IANA, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CipherSuite {
    /// The name.
    pub name: &'static str,
    /// The number.
    pub number: u16,
}

/// Those of TLS 1.2 that this program speaks, then those of TLS 1.3.
const CIPHER_SUITES: [CipherSuite; 9] = [
    suite("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", 0xc02b),
    suite("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", 0xc02c),
    suite("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", 0xc02f),
    suite("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", 0xc030),
    suite("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", 0xcca9),
    suite("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", 0xcca8),
    suite("TLS_AES_128_GCM_SHA256", 0x1301),
    suite("TLS_AES_256_GCM_SHA384", 0x1302),
    suite("TLS_CHACHA20_POLY1305_SHA256", 0x1303),
];

const fn suite(name: &'static str, number: u16) -> CipherSuite {
    CipherSuite { name, number }
}

impl CipherSuite {
    /// Whether it is one of TLS 1.3 (RFC 8446 §B.4).
    pub const fn is_of_tls13(self) -> bool {
        self.number >> 8 == 0x13
    }
}

impl FromNode for CipherSuite {
    fn from_node(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let word = reader.word(node, &CIPHER_SUITES.map(|suite| suite.name))?;
        CIPHER_SUITES.into_iter().find(|suite| suite.name == word)
    }
}

/// A key exchange by Go's name, and its number with IANA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyExchange {
    /// The name.
    pub name: &'static str,
    /// The number.
    pub number: u16,
}

impl FromNode for KeyExchange {
    fn from_node(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        const KNOWN: [(&str, u16); 4] =
            [("CurveP256", 23), ("CurveP384", 24), ("X25519", 29), ("X25519MLKEM768", 0x11ec)];
        if matches!(&node.value, Value::Text(text) if text == "CurveP521") {
            let message = "this program does not speak CurveP521";
            reader.unexpected(node.mark, message, "one of CurveP256, CurveP384, X25519, X25519MLKEM768", None);
            return None;
        }
        let word = reader.word(node, &KNOWN.map(|(name, _)| name))?;
        KNOWN.into_iter().find(|(name, _)| *name == word).map(|(name, number)| Self { name, number })
    }
}

/// A duration as Go writes it: `1s`, `1m30s`, `1.5h`, `0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GoDuration(pub(super) Duration);

impl FromNode for GoDuration {
    fn from_node(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        if matches!(node.value, Value::Integer(0)) {
            return Some(Self(Duration::ZERO));
        }
        reader.text(node, "a duration such as 100ms, 1s or 1m30s", |text| {
            go_duration(text).map(Self).ok_or_else(|| format!("{text:?} is no duration"))
        })
    }
}

fn go_duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, f64); 7] =
        [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (mut rest, mut seconds) = (text, 0.0);
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (number, more) = rest.split_at(end);
        let unit_end = more.find(|letter: char| letter.is_ascii_digit() || letter == '.').unwrap_or(more.len());
        let (unit, next) = more.split_at(unit_end);
        let (_, factor) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
        seconds += number.parse::<f64>().ok()? * factor;
        rest = next;
    }
    Duration::try_from_secs_f64(seconds).ok().filter(|_| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_go() {
        for (text, expected) in [
            ("0", Some(0)),
            ("0s", Some(0)),
            ("1s", Some(1_000_000)),
            ("1m30s", Some(90_000_000)),
            ("1.5h", Some(5_400_000_000)),
            ("100ms", Some(100_000)),
            ("5us", Some(5)),
            ("5µs", Some(5)),
            ("2h45m", Some(9_900_000_000)),
            ("", None),
            ("1", None),
            ("s", None),
            ("1d", None),
            ("-1s", None),
            ("1 s", None),
            ("1s ", None),
            ("1.2.3s", None),
            ("99999999999999999999999h", None),
        ] {
            assert_eq!(go_duration(text).map(|it| it.as_micros()), expected, "{text}");
        }
    }

    #[test]
    fn hashes_are_read_and_never_shown() {
        let tail = "$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG";
        for version in ["$2a", "$2b", "$2y"] {
            let hash = PasswordHash::parse(&format!("{version}{tail}")).unwrap();
            assert_eq!(format!("{hash:?}"), "***");
        }
        for wrong in [
            "secret".to_owned(),
            String::new(),
            format!("$2x{tail}"),
            format!("$1{tail}"),
            format!("$2y{}", tail.replace("$10$", "$19$")),
            format!("$2y{}", tail.replace("$10$", "$03$")),
            format!("$2y{}", &tail[..40]),
            format!("$2y{tail}x"),
            format!("$2y{}", tail.replace("X0h1", "X0h!")),
        ] {
            let said = PasswordHash::parse(&wrong).unwrap_err();
            assert!(wrong.is_empty() || !said.contains(&wrong), "{said}");
        }
        assert_eq!(format!("{:?}", Hidden("key".to_owned())), "***");
    }
}
