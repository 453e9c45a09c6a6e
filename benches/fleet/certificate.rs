//! Certificates as a public authority makes them: the fields and the length of real ones, with keys, serial numbers and signatures
//! that are noise. Nobody verifies them here; a state that holds them packs no better than a real one.

use smtptls_exporter::{
    facts::{ChainFacts, PathToRoot},
    protocol::tls::read_certificate,
    terms::{Octets, Timestamp},
};

use crate::chance::Chance;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OID: u8 = 0x06;
const OCTET_STRING: u8 = 0x04;
const BIT_STRING: u8 = 0x03;
const INTEGER: u8 = 0x02;
const BOOLEAN: u8 = 0x01;
const PRINTABLE: u8 = 0x13;
const UTF8: u8 = 0x0c;
const UTC_TIME: u8 = 0x17;

const ECDSA_WITH_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const SERVER_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
const CA_ISSUERS: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x02];

/// Authorities that sign; a fleet meets a few of them again and again.
const ISSUERS: [&str; 4] = ["E7", "E8", "R12", "R13"];

/// What a certificate is for.
pub(crate) struct Wish<'a> {
    pub(crate) name: &'a str,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
    /// Whether the peer sends the certificate of its authority as well.
    pub(crate) whole: bool,
}

/// The chain of one server, as the monitor notes it.
pub(crate) fn chain(wish: &Wish<'_>, chance: &mut Chance) -> ChainFacts {
    let authority = chance.below(ISSUERS.len() as u64) as usize;
    let der = leaf(wish, ISSUERS[authority], chance);
    let leaf = read_certificate(&der).expect("a certificate that was made here can be read");
    let mut chain = ChainFacts {
        path: PathToRoot::Trusted { not_after: leaf.not_after },
        leaf,
        others: Vec::new(),
        der: vec![Octets(der)],
        unreadable: 0,
    };
    if wish.whole {
        let der = intermediate(authority);
        chain.others.push(read_certificate(&der).expect("a certificate that was made here can be read"));
        chain.der.push(Octets(der));
    }
    chain
}

fn leaf(wish: &Wish<'_>, authority: &str, chance: &mut Chance) -> Vec<u8> {
    let serial = [&[0x05][..], &chance.bytes(17)].concat();
    let point = [&[0x04][..], &chance.bytes(64)].concat();
    let name = wish.name.as_bytes();
    let extensions = [
        extension(15, true, &tlv(BIT_STRING, &[&[0x07, 0x80]])),
        extension(37, false, &tlv(SEQUENCE, &[&tlv(OID, &[SERVER_AUTH])])),
        extension(19, true, &tlv(SEQUENCE, &[])),
        extension(14, false, &tlv(OCTET_STRING, &[&chance.bytes(20)])),
        extension(35, false, &tlv(SEQUENCE, &[&tlv(0x80, &[&Chance::of(authority.as_bytes()).bytes(20)])])),
        private_extension(authority),
        extension(17, false, &tlv(SEQUENCE, &[&tlv(0x82, &[name])])),
    ];
    let body = to_be_signed(&serial, authority, wish.name, (wish.not_before, wish.not_after), &point, &extensions);
    signed(&body, chance)
}

/// The certificate of an authority: always the same.
fn intermediate(authority: usize) -> Vec<u8> {
    let name = ISSUERS[authority];
    let mut chance = Chance::of(name.as_bytes());
    let key = chance.bytes(20);
    let serial = [&[0x05][..], &chance.bytes(15)].concat();
    let point = [&[0x04][..], &chance.bytes(64)].concat();
    let valid = (Timestamp::from_unix_seconds(1_741_824_000), Timestamp::from_unix_seconds(1_836_432_000));
    let extensions = [
        extension(15, true, &tlv(BIT_STRING, &[&[0x01, 0x86]])),
        extension(37, false, &tlv(SEQUENCE, &[&tlv(OID, &[SERVER_AUTH])])),
        extension(19, true, &tlv(SEQUENCE, &[&tlv(BOOLEAN, &[&[0xff]]), &tlv(INTEGER, &[&[0]])])),
        extension(14, false, &tlv(OCTET_STRING, &[&key])),
        private_extension("X1"),
    ];
    // Such a certificate is signed by a root with an RSA key of 4096 bits.
    let body = to_be_signed(&serial, "Root X1", name, valid, &point, &extensions);
    let signature = [&[0][..], &chance.bytes(512)].concat();
    tlv(SEQUENCE, &[&body, &algorithm(), &tlv(BIT_STRING, &[&signature])])
}

fn to_be_signed(
    serial: &[u8],
    issuer: &str,
    subject: &str,
    (not_before, not_after): (Timestamp, Timestamp),
    point: &[u8],
    extensions: &[Vec<u8>],
) -> Vec<u8> {
    let version = tlv(0xa0, &[&tlv(INTEGER, &[&[2]])]);
    let authority =
        [attribute(6, PRINTABLE, "XX"), attribute(10, PRINTABLE, "Measured Trust"), attribute(3, PRINTABLE, issuer)];
    let authority = tlv(SEQUENCE, &[&authority.concat()]);
    let validity = tlv(SEQUENCE, &[&time(not_before), &time(not_after)]);
    let subject = tlv(SEQUENCE, &[&attribute(3, UTF8, subject)]);
    let key = tlv(SEQUENCE, &[&tlv(OID, &[EC_PUBLIC_KEY]), &tlv(OID, &[P256])]);
    let key = tlv(SEQUENCE, &[&key, &tlv(BIT_STRING, &[&[0], point])]);
    let extensions = tlv(0xa3, &[&tlv(SEQUENCE, &[&extensions.concat()])]);
    let serial = tlv(INTEGER, &[serial]);
    tlv(SEQUENCE, &[&version, &serial, &algorithm(), &authority, &validity, &subject, &key, &extensions])
}

/// With the signature of a P-384 key.
fn signed(body: &[u8], chance: &mut Chance) -> Vec<u8> {
    // The first bit of each number is 0, so that none needs a byte more.
    let number = |chance: &mut Chance| {
        let mut number = chance.bytes(48);
        number[0] = number[0] >> 1 | 1;
        tlv(INTEGER, &[&number])
    };
    let (r, s) = (number(chance), number(chance));
    let signature = tlv(SEQUENCE, &[&r, &s]);
    tlv(SEQUENCE, &[body, &algorithm(), &tlv(BIT_STRING, &[&[0], &signature])])
}

fn algorithm() -> Vec<u8> {
    tlv(SEQUENCE, &[&tlv(OID, &[ECDSA_WITH_SHA384])])
}

/// An extension of RFC 5280 §4.2.1, by the last arc of its OID.
fn extension(arc: u8, critical: bool, value: &[u8]) -> Vec<u8> {
    let critical = if critical { tlv(BOOLEAN, &[&[0xff]]) } else { Vec::new() };
    tlv(SEQUENCE, &[&tlv(OID, &[&[0x55, 0x1d, arc]]), &critical, &tlv(OCTET_STRING, &[value])])
}

/// Where the certificate of the authority lies (RFC 5280 §4.2.2.1).
fn private_extension(authority: &str) -> Vec<u8> {
    let url = format!("http://{}.i.authority.example/", authority.to_lowercase());
    let access = tlv(SEQUENCE, &[&tlv(OID, &[CA_ISSUERS]), &tlv(0x86, &[url.as_bytes()])]);
    let oid = [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x01];
    tlv(SEQUENCE, &[&tlv(OID, &[&oid]), &tlv(OCTET_STRING, &[&tlv(SEQUENCE, &[&access])])])
}

/// An attribute of a name, by the last arc of its OID.
fn attribute(arc: u8, tag: u8, value: &str) -> Vec<u8> {
    tlv(SET, &[&tlv(SEQUENCE, &[&tlv(OID, &[&[0x55, 0x04, arc]]), &tlv(tag, &[value.as_bytes()])])])
}

fn time(at: Timestamp) -> Vec<u8> {
    // 2026-11-23T20:00:00Z becomes 261123200000Z.
    let digits: String = at.to_string().chars().filter(char::is_ascii_digit).skip(2).collect();
    tlv(UTC_TIME, &[digits.as_bytes(), b"Z"])
}

/// Tag, length and value (X.690 §8.1).
fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(length + 4);
    out.push(tag);
    match length {
        0..0x80 => out.push(length as u8),
        0x80..0x100 => out.extend([0x81, length as u8]),
        _ => out.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}
