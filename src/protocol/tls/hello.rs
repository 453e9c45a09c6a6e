//! The ClientHello of a sender that knows nothing newer than TLS 1.0, 1.1 or 1.2 (RFC 2246, RFC 4346, RFC 5246 §7.4.1.2).
//!
//! The TLS library of this program speaks neither the withdrawn versions nor key exchange by RSA and DHE or CBC ciphers, and
//! other senders do. Up to the certificate such a handshake is clear text: enough to see what a server offers to them.

use super::suites::{SUITES, Suite, is_old, is_triple_des};
use crate::facts::TlsVersion;

/// The longest name that SNI takes here: longer than any name of the DNS.
const MAX_SNI: usize = 255;

/// Groups as OpenSSL 3 offers them: X25519, P-256, X448, P-521, P-384, and the finite fields of RFC 7919.
const GROUPS: [u16; 10] = [0x001d, 0x0017, 0x001e, 0x0019, 0x0018, 0x0100, 0x0101, 0x0102, 0x0103, 0x0104];

/// Signature algorithms as OpenSSL 3 offers them, and then SHA-1, without which servers with old certificates say nothing.
const SIGNATURES: [u16; 22] = [
    0x0403, 0x0503, 0x0603, 0x0807, 0x0808, 0x0809, 0x080a, 0x080b, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601,
    0x0303, 0x0301, 0x0302, 0x0402, 0x0502, 0x0602, 0x0203, 0x0201,
];

/// RFC 5746 §3.3: this client knows of the renegotiation attack; servers that insist on it would refuse it otherwise.
const RENEGOTIATION_SCSV: u16 = 0x00ff;

pub(super) const RECORD_ALERT: u8 = 21;
pub(super) const RECORD_HANDSHAKE: u8 = 22;
pub(super) const ALERT_WARNING: u8 = 1;
pub(super) const ALERT_CLOSE_NOTIFY: u8 = 0;
const MESSAGE_CLIENT_HELLO: u8 = 1;

/// The numbers of extensions (RFC 6066, RFC 8422, RFC 7366, RFC 7627, RFC 5246).
const SERVER_NAME: u16 = 0;
const SUPPORTED_GROUPS: u16 = 10;
const POINT_FORMATS: u16 = 11;
const SIGNATURE_ALGORITHMS: u16 = 13;
const ENCRYPT_THEN_MAC: u16 = 22;
const EXTENDED_MASTER_SECRET: u16 = 23;

/// What a hello asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientHello<'a> {
    /// The newest version that the client claims to know. TLS 1.3 is told by an extension that is never sent: it counts as 1.2.
    pub version: TlsVersion,
    /// The name for SNI; left out where it does not fit.
    pub server_name: Option<&'a str>,
}

impl ClientHello<'_> {
    /// The whole record. `random` needs to be different each time, and nothing more: no key comes of it.
    pub fn to_record(self, random: [u8; 32]) -> Vec<u8> {
        let mut body = wire_version(self.version).to_be_bytes().to_vec();
        body.extend(random);
        // No session to resume.
        body.push(0);
        let suites: Vec<u16> = offered(self.version).map(|(number, _)| *number).chain([RENEGOTIATION_SCSV]).collect();
        body.extend(with_length(&numbers(&suites)));
        // Compression: none, and no other.
        body.extend([1, 0]);
        body.extend(with_length(&self.extensions()));
        let mut message = vec![MESSAGE_CLIENT_HELLO, 0];
        message.extend(with_length(&body));
        // The record's version is the oldest there is: servers are known to refuse others before they read the hello
        // (RFC 5246 Appendix E.1).
        let mut record = vec![RECORD_HANDSHAKE];
        record.extend(wire_version(TlsVersion::Tls10).to_be_bytes());
        record.extend(with_length(&message));
        record
    }

    fn extensions(self) -> Vec<u8> {
        let mut all = Vec::new();
        let mut add = |number: u16, content: &[u8]| {
            all.extend(number.to_be_bytes());
            all.extend(with_length(content));
        };
        if let Some(name) = self.server_name.filter(|name| !name.is_empty() && name.len() <= MAX_SNI) {
            // RFC 6066 §3: one name of the type host_name.
            let mut entry = vec![0];
            entry.extend(with_length(name.as_bytes()));
            add(SERVER_NAME, &with_length(&entry));
        }
        // Uncompressed points, the only form that is left (RFC 8422 §5.1.2).
        add(POINT_FORMATS, &[1, 0]);
        add(SUPPORTED_GROUPS, &with_length(&numbers(&GROUPS)));
        if !self.version.is_obsolete() {
            add(SIGNATURE_ALGORITHMS, &with_length(&numbers(&SIGNATURES)));
        }
        add(ENCRYPT_THEN_MAC, &[]);
        add(EXTENDED_MASTER_SECRET, &[]);
        all
    }
}

/// The alert that takes leave (RFC 5246 §7.2.1), in clear: this client goes, and nothing is wrong.
pub fn close_notify(version: TlsVersion) -> Vec<u8> {
    let mut record = vec![RECORD_ALERT];
    record.extend(wire_version(version).to_be_bytes());
    record.extend(with_length(&[ALERT_WARNING, ALERT_CLOSE_NOTIFY]));
    record
}

/// The suites that go with a version.
pub(super) fn offered(version: TlsVersion) -> impl Iterator<Item = &'static Suite> {
    let old = version.is_obsolete();
    SUITES.iter().filter(move |suite| if old { is_old(suite) } else { !is_triple_des(suite) })
}

/// A version as it stands in a hello.
pub(super) const fn wire_version(version: TlsVersion) -> u16 {
    match version {
        TlsVersion::Tls10 => 0x0301,
        TlsVersion::Tls11 => 0x0302,
        TlsVersion::Tls12 | TlsVersion::Tls13 => 0x0303,
    }
}

fn numbers(of: &[u16]) -> Vec<u8> {
    of.iter().flat_map(|number| number.to_be_bytes()).collect()
}

/// The bytes behind their length in two octets. Everything here is far shorter than that allows.
fn with_length(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    let mut all = length.to_be_bytes().to_vec();
    all.extend(bytes);
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(version: TlsVersion, server_name: Option<&str>) -> Vec<u8> {
        ClientHello { version, server_name }.to_record([7; 32])
    }

    fn number(bytes: &[u8]) -> usize {
        bytes.iter().fold(0, |sum, byte| sum * 256 + usize::from(*byte))
    }

    /// The extensions of a hello, by number.
    fn extensions(record: &[u8]) -> Vec<(usize, Vec<u8>)> {
        let suites_end = 46 + number(&record[44..46]);
        assert_eq!(record[suites_end..suites_end + 2], [1, 0], "no compression");
        let mut rest = &record[suites_end + 2..];
        assert_eq!(number(&rest[..2]), rest.len() - 2);
        rest = &rest[2..];
        let mut found = Vec::new();
        while !rest.is_empty() {
            let length = number(&rest[2..4]);
            found.push((number(&rest[..2]), rest[4..4 + length].to_vec()));
            rest = &rest[4 + length..];
        }
        found
    }

    #[test]
    fn lengths_and_versions_are_right() {
        for (version, expected) in
            [(TlsVersion::Tls10, [3, 1]), (TlsVersion::Tls11, [3, 2]), (TlsVersion::Tls12, [3, 3])]
        {
            let record = record(version, Some("mx.example.com"));
            assert_eq!(record[..3], [22, 3, 1]);
            assert_eq!(number(&record[3..5]), record.len() - 5);
            assert_eq!(record[5], 1);
            assert_eq!(number(&record[6..9]), record.len() - 9);
            assert_eq!(record[9..11], expected);
            assert_eq!(record[11..43], [7; 32]);
            assert_eq!(record[43], 0);
        }
    }

    #[test]
    fn the_name_is_sent_only_where_there_is_one() {
        let with = extensions(&record(TlsVersion::Tls12, Some("mx.example.com")));
        assert_eq!(with[0], (0, b"\0\x11\0\0\x0emx.example.com".to_vec()));
        let without = extensions(&record(TlsVersion::Tls12, None));
        assert_eq!(without, with[1..]);
    }

    #[test]
    fn tls_1_3_is_never_offered_and_old_versions_know_nothing_of_1_2() {
        for version in [TlsVersion::Tls10, TlsVersion::Tls11, TlsVersion::Tls12, TlsVersion::Tls13] {
            let numbers: Vec<usize> =
                extensions(&record(version, None)).into_iter().map(|(number, _)| number).collect();
            assert!(!numbers.contains(&43), "supported_versions (RFC 8446 §4.2.1)");
            assert_eq!(numbers.contains(&13), !version.is_obsolete(), "signature_algorithms (RFC 5246 §7.4.1.4.1)");
            let old = offered(version).all(|(_, name)| name.ends_with("_CBC_SHA"));
            assert_eq!(old, version.is_obsolete());
        }
        let key_exchanges = ["TLS_ECDHE_ECDSA_", "TLS_ECDHE_RSA_", "TLS_DHE_RSA_", "TLS_RSA_"];
        for prefix in key_exchanges {
            assert!(offered(TlsVersion::Tls12).any(|(_, name)| name.starts_with(prefix)), "{prefix}");
            let rare = offered(TlsVersion::Tls10).any(|(_, name)| name.starts_with(prefix));
            assert!(rare, "{prefix}");
        }
    }

    proptest! {
        #[test]
        fn any_name_gives_a_sound_record(name in "\\PC{0,400}") {
            let record = record(TlsVersion::Tls12, Some(&name));
            prop_assert_eq!(number(&record[3..5]), record.len() - 5);
            let sent = extensions(&record).iter().any(|(number, _)| *number == 0);
            prop_assert_eq!(sent, !name.is_empty() && name.len() <= MAX_SNI);
        }
    }
}
