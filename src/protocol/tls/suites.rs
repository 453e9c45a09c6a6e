//! The cipher suites of TLS 1.2 and older that senders still offer, by number and by the name that IANA registered.
//!
//! What OpenSSL 3 offers by default, which is what most senders run on, with the CCM suites that it holds back: key exchange by
//! ECDHE, DHE or the server's RSA key. Without pre-shared keys, passwords and anonymous servers, which no mail server can use
//! with a stranger.

/// The number of a cipher suite and its registered name.
pub(super) type Suite = (u16, &'static str);

/// In the order of preference: forward secrecy first, then authenticated encryption, then length of the key.
pub(super) const SUITES: [Suite; 42] = [
    (0xc02c, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
    (0xc030, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"),
    (0x009f, "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384"),
    (0xcca9, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
    (0xcca8, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
    (0xccaa, "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
    (0xc0ad, "TLS_ECDHE_ECDSA_WITH_AES_256_CCM"),
    (0xc09f, "TLS_DHE_RSA_WITH_AES_256_CCM"),
    (0xc0af, "TLS_ECDHE_ECDSA_WITH_AES_256_CCM_8"),
    (0xc0a3, "TLS_DHE_RSA_WITH_AES_256_CCM_8"),
    (0xc02b, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
    (0xc02f, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
    (0x009e, "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256"),
    (0xc0ac, "TLS_ECDHE_ECDSA_WITH_AES_128_CCM"),
    (0xc09e, "TLS_DHE_RSA_WITH_AES_128_CCM"),
    (0xc0ae, "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8"),
    (0xc0a2, "TLS_DHE_RSA_WITH_AES_128_CCM_8"),
    (0xc024, "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384"),
    (0xc028, "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384"),
    (0x006b, "TLS_DHE_RSA_WITH_AES_256_CBC_SHA256"),
    (0xc023, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256"),
    (0xc027, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256"),
    (0x0067, "TLS_DHE_RSA_WITH_AES_128_CBC_SHA256"),
    (0xc00a, "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA"),
    (0xc014, "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA"),
    (0x0039, "TLS_DHE_RSA_WITH_AES_256_CBC_SHA"),
    (0xc009, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"),
    (0xc013, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"),
    (0x0033, "TLS_DHE_RSA_WITH_AES_128_CBC_SHA"),
    (0x009d, "TLS_RSA_WITH_AES_256_GCM_SHA384"),
    (0xc09d, "TLS_RSA_WITH_AES_256_CCM"),
    (0xc0a1, "TLS_RSA_WITH_AES_256_CCM_8"),
    (0x009c, "TLS_RSA_WITH_AES_128_GCM_SHA256"),
    (0xc09c, "TLS_RSA_WITH_AES_128_CCM"),
    (0xc0a0, "TLS_RSA_WITH_AES_128_CCM_8"),
    (0x003d, "TLS_RSA_WITH_AES_256_CBC_SHA256"),
    (0x003c, "TLS_RSA_WITH_AES_128_CBC_SHA256"),
    (0x0035, "TLS_RSA_WITH_AES_256_CBC_SHA"),
    (0x002f, "TLS_RSA_WITH_AES_128_CBC_SHA"),
    // Beyond OpenSSL's default, and offered only together with a withdrawn version: with what is such a version accepted.
    (0xc008, "TLS_ECDHE_ECDSA_WITH_3DES_EDE_CBC_SHA"),
    (0xc012, "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA"),
    (0x000a, "TLS_RSA_WITH_3DES_EDE_CBC_SHA"),
];

/// TLS 1.2 brought the authenticated ciphers and SHA-2 (RFC 5246 §1.2): an older version has only these.
pub(super) fn is_old(suite: &Suite) -> bool {
    suite.1.ends_with("_CBC_SHA")
}

/// Broken by the size of its block (RFC 9325 §4.1), and switched off wherever TLS 1.2 is spoken with care.
pub(super) fn is_triple_des(suite: &Suite) -> bool {
    suite.1.contains("_3DES_")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_suite_stands_here_once() {
        let numbers: BTreeSet<u16> = SUITES.iter().map(|(number, _)| *number).collect();
        let names: BTreeSet<&str> = SUITES.iter().map(|(_, name)| *name).collect();
        assert_eq!((numbers.len(), names.len()), (SUITES.len(), SUITES.len()));
    }

    #[test]
    fn numbers_and_names_are_those_that_the_library_knows() {
        let mut known = 0;
        for (number, name) in SUITES {
            // It has no name for DHE.
            if let Some(suite) = rustls::CipherSuite::from(number).as_str() {
                assert_eq!(suite, name, "{number:#06x}");
                known += 1;
            }
        }
        assert!(known > SUITES.len() / 2, "{known}");
    }

    #[test]
    fn forward_secrecy_comes_first() {
        let first_without = SUITES.iter().position(|(_, name)| name.starts_with("TLS_RSA_")).unwrap();
        let offered = SUITES.iter().filter(|suite| !is_triple_des(suite));
        assert!(offered.skip(first_without).all(|(_, name)| name.starts_with("TLS_RSA_")));
    }
}
