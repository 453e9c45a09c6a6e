//! Certificates and chains (RFC 5280), against a root whose keys signed only what is in `tests/data/certificates/chain`.

use std::sync::LazyLock;

use smtptls_exporter::{
    protocol::tls::{MAX_CHAIN, Roots, chain_facts, names_match, read_certificate, validity_window},
    terms::Timestamp,
};

use super::{check_stored, is_printable};

static ROOTS: LazyLock<Roots> =
    LazyLock::new(|| Roots::from_pem(include_bytes!("../../data/certificates/chain/root.pem")).unwrap());

/// All that the keys of the root and of its issuer ever signed.
pub(super) const SIGNED: [&[u8]; 5] = [
    include_bytes!("../../data/certificates/chain/root.der"),
    include_bytes!("../../data/certificates/chain/issuer.der"),
    include_bytes!("../../data/certificates/chain/leaf.der"),
    include_bytes!("../../data/certificates/chain/expired.der"),
    include_bytes!("../../data/certificates/chain/endless.der"),
];

/// A time at which all of them but `expired.der` are valid.
pub(super) const NOW: Timestamp = Timestamp::from_unix_seconds(1_780_000_000);

/// Certificates one behind the other, leaf first; each ends where its DER says so.
pub fn certificate(bytes: &[u8]) {
    let chain = chain(bytes);
    for der in &chain {
        check_certificate(der);
    }
    let facts = match chain_facts(&chain, &ROOTS, NOW) {
        Ok(facts) => facts,
        Err(error) => {
            assert!(is_printable(&error), "{error:?}");
            assert!(chain.first().is_none_or(|leaf| read_certificate(leaf).is_err()));
            return;
        }
    };
    assert_eq!(facts.der.len(), 1 + facts.others.len());
    assert_eq!(facts.der.len() + facts.unreadable, chain.len());
    assert!(facts.der.len() <= MAX_CHAIN);
    let all = std::iter::once(&facts.leaf).chain(&facts.others);
    for (read, der) in all.zip(&facts.der) {
        assert_eq!(read_certificate(der.as_bytes()).as_ref(), Ok(read));
    }
    check_stored(&facts);
    let window = validity_window(&facts, NOW);
    assert!(window.start <= NOW && NOW < window.end);
    if facts.path.is_trusted() {
        // Nobody can sign anew, so what was signed is there to the letter; only around a signature DER leaves some room.
        let known = SIGNED.iter().any(|der| holds(chain[0], signed_part(der)));
        assert!(known, "trusted, though nobody signed it: {facts:?}");
    }
}

fn check_certificate(der: &[u8]) {
    let facts = match read_certificate(der) {
        Ok(facts) => facts,
        Err(error) => {
            assert!(!error.is_empty());
            return;
        }
    };
    let texts = [&facts.subject, &facts.issuer, &facts.issuer_cn, &facts.serial, &facts.signature_algorithm];
    let texts = texts.into_iter().chain(&facts.names).chain(&facts.common_name).chain([&facts.key.algorithm]);
    for text in texts {
        assert!(is_printable(text), "{text:?}");
    }
    assert_eq!((facts.fingerprint_sha256.len(), facts.spki_sha256.len()), (64, 64));
    for name in &facts.names {
        let plain = !name.is_empty() && !name.contains('*') && !name.ends_with('.');
        assert!(!plain || names_match(&facts.names, name), "{name}");
    }
    let more = [der, b"\0"].concat();
    assert!(read_certificate(&more).is_err(), "nothing may follow a certificate");
}

fn chain(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut chain = Vec::new();
    while !bytes.is_empty() {
        let length = match *bytes {
            [_, 0x82, high, low, ..] => 4 + usize::from(u16::from_be_bytes([high, low])),
            [_, 0x81, length, ..] => 3 + usize::from(length),
            [_, length @ ..=0x7f, ..] => 2 + usize::from(length),
            _ => bytes.len(),
        };
        let (certificate, rest) = bytes.split_at(length.min(bytes.len()));
        chain.push(certificate);
        bytes = rest;
    }
    chain
}

/// The tbsCertificate of one of [`SIGNED`], which are all longer than 255 bytes.
pub(super) fn signed_part(der: &'static [u8]) -> &'static [u8] {
    let [0x30, 0x82, _, _, inner @ ..] = der else { panic!("a SEQUENCE with a length of two bytes was expected") };
    chain(inner)[0]
}

pub(super) fn holds(der: &[u8], part: &[u8]) -> bool {
    der.windows(part.len()).any(|window| window == part)
}
