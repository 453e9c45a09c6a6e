//! The format of exporter-toolkit: what it takes, what it refuses, and what is said then.

use std::time::Duration;

use super::*;

const HASH: &str = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG";

fn read(text: &str) -> LoadedWeb {
    parse("conf/web.yml", text).unwrap_or_else(|errors| panic!("{text}\n{errors}"))
}

fn refused(text: &str) -> String {
    parse("conf/web.yml", text).err().unwrap_or_else(|| panic!("taken: {text}")).to_string()
}

/// The minimum with more lines in `tls_server_config`.
fn tls(more: &str) -> String {
    format!("tls_server_config:\n  cert_file: server.crt\n  key_file: keys/server.key\n{more}")
}

fn tls_of(more: &str) -> TlsSettings {
    read(&tls(more)).settings.tls.unwrap()
}

#[test]
fn nothing_is_plain_and_open() {
    for text in [
        "",
        "# nothing\n",
        "tls_server_config:\n",
        "tls_server_config: {}\nhttp_server_config: {}\nbasic_auth_users: {}\nrate_limit: {}\n",
        "basic_auth_users:\n",
        "tls_server_config:\n  cert_file: \"\"\n  key_file: \"\"\n".replace(": \"\"", ":").as_str(),
        "rate_limit:\n  interval: 0\n  burst: 10\n",
        "rate_limit: {interval: 0s}\n",
        "http_server_config: {headers: {Content-Security-Policy: ''}}\n",
    ] {
        let loaded = read(text);
        assert_eq!((loaded.settings, loaded.warnings.len()), (WebSettings::default(), 0), "{text}");
    }
}

#[test]
fn files_are_relative_to_the_file() {
    let settings =
        read(&tls("  client_ca_file: /etc/ca.pem\n  client_auth_type: RequireAndVerifyClientCert\n")).settings;
    let files: Vec<_> = settings.files().map(|path| path.display().to_string()).collect();
    assert_eq!(files, ["conf/server.crt", "conf/keys/server.key", "/etc/ca.pem"]);
    let tls = settings.tls.unwrap();
    assert_eq!((tls.min_version, tls.max_version, tls.server_order), (TlsVersion::Tls12, TlsVersion::Tls13, true));
    assert!(tls.cipher_suites.is_empty() && tls.key_exchanges.is_empty() && tls.client_allowed_sans.is_empty());
}

#[test]
fn pem_may_stand_in_the_file_and_is_not_shown() {
    let text = "tls_server_config:\n  cert: |\n    -----BEGIN CERTIFICATE-----\n    AAAA\n    -----END CERTIFICATE-----\n  \
                key: |\n    -----BEGIN PRIVATE KEY-----\n    GEHEIM\n    -----END PRIVATE KEY-----\n";
    let settings = read(text).settings;
    assert_eq!(settings.files().count(), 0);
    let tls = settings.tls.as_ref().unwrap();
    assert!(matches!(&tls.key.value, Pem::Inline(key) if key.reveal().contains("\nGEHEIM\n")));
    assert!(!format!("{settings:?}").contains("GEHEIM"));
    let mixed = "tls_server_config:\n  cert_file: a\n  key: |\n    -----BEGIN PRIVATE KEY-----\n    GEHEIM\n";
    assert!(matches!(read(mixed).settings.tls.unwrap().certificate.value, Pem::File(_)));
}

#[test]
fn every_name_of_go_is_read() {
    for (name, mandatory, verified) in [
        ("NoClientCert", false, false),
        ("RequestClientCert", false, false),
        ("RequireAnyClientCert", true, false),
        ("RequireClientCert", true, false),
    ] {
        let kind = tls_of(&format!("  client_auth_type: {name}\n")).client_certificates;
        assert_eq!((kind.mandatory(), kind.verified()), (mandatory, verified), "{name}");
    }
    for (name, mandatory) in [("VerifyClientCertIfGiven", false), ("RequireAndVerifyClientCert", true)] {
        let kind = tls_of(&format!("  client_ca_file: ca\n  client_auth_type: {name}\n")).client_certificates;
        assert!(kind.verified() && kind.mandatory() == mandatory, "{name}");
    }
    assert_eq!(tls_of("  client_auth_type: ''\n").client_certificates, ClientCertificates::None);
    let chosen = tls_of(
        "  min_version: TLS12\n  max_version: TLS12\n  prefer_server_cipher_suites: false\n  cipher_suites:\n  \
         - TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384\n  - TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\n  \
         curve_preferences: [CurveP384, X25519, CurveP256, X25519MLKEM768]\n",
    );
    let numbers: Vec<_> = chosen.cipher_suites.iter().map(|suite| suite.number).collect();
    assert_eq!((numbers, chosen.server_order), (vec![0xc030, 0xc02f], false));
    assert_eq!(chosen.key_exchanges.iter().map(|one| one.number).collect::<Vec<_>>(), [24, 29, 23, 0x11ec]);
    assert_eq!(tls_of("  min_version: TLS13\n").min_version, TlsVersion::Tls13);
    let sans = "  client_ca_file: ca\n  client_auth_type: RequireAndVerifyClientCert\n  client_allowed_sans:\n  - a.example\n  \
                - 192.0.2.1\n  - 'spiffe://a/b'\n";
    assert_eq!(tls_of(sans).client_allowed_sans, ["a.example", "192.0.2.1", "spiffe://a/b"]);
}

#[test]
fn headers_users_and_rates_are_read() {
    let text = format!(
        "http_server_config:\n  http2: false\n  headers:\n    X-Frame-Options: deny\n    \
         Strict-Transport-Security: max-age=31536000; includeSubDomains\n    X-Content-Type-Options: nosniff\n    \
         X-XSS-Protection: 1\n    Content-Security-Policy: \"default-src 'self'\"\nbasic_auth_users:\n  ann: {HASH}\n  \
         12: '{HASH}'\n  'b b': \"{HASH}\"\nrate_limit: {{interval: 1m30s, burst: 20}}\n"
    );
    let LoadedWeb { settings, warnings } = read(&text);
    let headers: Vec<_> =
        settings.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    assert_eq!(headers.len(), 5);
    assert!(
        headers.contains(&("x-xss-protection", "1")) && headers.contains(&("x-frame-options", "deny")),
        "{headers:?}"
    );
    assert_eq!(settings.users.keys().collect::<Vec<_>>(), ["12", "ann", "b b"]);
    assert_eq!(settings.users["ann"].reveal(), HASH);
    assert_eq!(settings.rate_limit, Some(RateLimit { interval: Duration::from_secs(90), burst: 20 }));
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[test]
fn what_is_odd_is_told_and_taken() {
    for (text, expected) in [
        ("http_server_config: {http2: true}\n".to_owned(), "this program speaks HTTP/1.1"),
        (tls("  client_auth_type: VerifyClientCertIfGiven\n"), "whoever shows a certificate is refused"),
        (
            tls("  client_auth_type: RequireAnyClientCert\n  client_allowed_sans: [a]\n"),
            "who issued a certificate is not looked at",
        ),
    ] {
        let warnings = read(&text).warnings;
        assert!(warnings.len() == 1 && warnings[0].message.contains(expected), "{text}: {warnings:?}");
        assert!(warnings[0].location.is_some());
    }
}

/// Each with the place and a part of what is said.
#[test]
fn what_is_wrong_is_told_with_its_place() {
    for (text, place, expected) in [
        (
            "hWkNKCp3fvIx3jKnsaBI\nTuEjdwNS8A2vYdFbiKqr\n".to_owned(),
            "1:1",
            "expected a map with keys such as tls_server_config",
        ),
        ("tls_server_config: [\n".to_owned(), ":", "error"),
        ("tls_server_config:\n  cert_filse: a\n".to_owned(), "2:3", "did you mean `cert_file`?"),
        ("tls_config: {}\n".to_owned(), "1:1", "unknown key"),
        ("http_server_config: {http3: true}\n".to_owned(), "1:22", "did you mean `http2`?"),
        ("rate_limit: {bust: 1}\n".to_owned(), "1:14", "did you mean `burst`?"),
        ("basic_auth_user: {}\n".to_owned(), "1:1", "did you mean `basic_auth_users`?"),
        ("rate_limit: {}\nrate_limit: {}\n".to_owned(), "2:1", "given twice"),
        (
            "tls_server_config:\n  cert_file: ''\n  key_file: k\n".to_owned(),
            "2:3",
            "one of `cert` and `cert_file` is missing",
        ),
        (
            "tls_server_config:\n  cert: ''\n  key_file: k\n".to_owned(),
            "2:3",
            "one of `cert` and `cert_file` is missing",
        ),
        (
            "tls_server_config:\n  cert_file: c\n  key_file: ''\n".to_owned(),
            "2:3",
            "one of `key` and `key_file` is missing",
        ),
        ("tls_server_config:\n  cert_file: c\n  key: ''\n".to_owned(), "2:3", "one of `key` and `key_file` is missing"),
        ("tls_server_config:\n  cert_file: c\n".to_owned(), "2:3", "one of `key` and `key_file` is missing"),
        ("tls_server_config:\n  key_file: k\n".to_owned(), "2:3", "one of `cert` and `cert_file` is missing"),
        ("tls_server_config:\n  min_version: TLS13\n".to_owned(), "2:3", "one of `cert` and `cert_file` is missing"),
        (tls("  cert: |\n    x\n"), ":", "`cert` and `cert_file` are both given"),
        (tls("  key: |\n    x\n"), ":", "`key` and `key_file` are both given"),
        (tls("  client_auth_type: x\n"), "4:21", "one of NoClientCert, RequestClientCert"),
        (tls("  client_auth_type: requireAndVerifyClientCert\n"), "4:21", "did you mean `RequireAndVerifyClientCert`?"),
        (tls("  client_auth_type: RequireAndVerifyClientCert\n"), "4:21", "without a CA of clients"),
        (tls("  client_ca_file: /dev/null\n"), "4:19", "no `client_auth_type` that looks at it"),
        (tls("  client_ca_file: ca\n  client_auth_type: NoClientCert\n"), "4:19", "no `client_auth_type`"),
        (tls("  client_allowed_sans: [a.example]\n"), "4:24", "a certificate that no client shows"),
        (tls("  min_version: TLS111\n"), "4:16", "expected one of TLS12, TLS13"),
        (tls("  min_version: TLS10\n"), "4:16", "does not speak TLS10"),
        (tls("  min_version: TLS11\n"), "4:16", "expected TLS12 or TLS13"),
        (tls("  max_version: TLS11\n"), "4:16", "does not speak TLS11"),
        (tls("  min_version: TLS13\n  max_version: TLS12\n"), "4:16", "newer than `max_version`"),
        (tls("  min_version: 1.2\n"), "4:16", "found the number 1.2"),
        (
            tls("  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA2048]\n"),
            "4:19",
            "expected one of TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        ),
        (
            tls("  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA]\n"),
            "4:19",
            "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        ),
        (tls("  cipher_suites: TLS_AES_128_GCM_SHA256\n"), "4:18", "a list of one is written [value]"),
        (tls("  cipher_suites: [TLS_AES_128_GCM_SHA256]\n  max_version: TLS12\n"), "4:18", "the only version here"),
        (tls("  curve_preferences: [CurveP257]\n"), "4:23", "one of CurveP256, CurveP384"),
        (tls("  curve_preferences: [CurveP521]\n"), "4:23", "does not speak CurveP521"),
        (tls("  prefer_server_cipher_suites: yes\n"), "4:32", "write true"),
        ("http_server_config: {headers: {X-Frame-Options: foo}}\n".to_owned(), "1:49", "expected deny or sameorigin"),
        ("http_server_config: {headers: {X-Content-Type-Options: sniff}}\n".to_owned(), "1:56", "expected nosniff"),
        ("http_server_config: {headers: {Content-Type: foo}}\n".to_owned(), "1:32", "unknown key \"Content-Type\""),
        (
            "http_server_config: {headers: {x-frame-options: deny}}\n".to_owned(),
            "1:32",
            "did you mean `X-Frame-Options`?",
        ),
        (
            "http_server_config: {headers: {X-XSS-Protection: \"a\\nb\"}}\n".to_owned(),
            "1:50",
            "cannot stand in a header",
        ),
        ("http_server_config: {headers: {X-XSS-Protection: [1]}}\n".to_owned(), "1:50", "found a list"),
        ("rate_limit: {interval: soon, burst: 1}\n".to_owned(), "1:24", "expected a duration such as 100ms"),
        ("rate_limit: {interval: 1, burst: 1}\n".to_owned(), "1:24", "expected a duration"),
        ("rate_limit: {interval: 1s}\n".to_owned(), "1:13", "no request at all is answered"),
        ("rate_limit: {interval: 1s, burst: 0}\n".to_owned(), "1:35", "no request at all is answered"),
        ("rate_limit: {interval: 1s, burst: -1}\n".to_owned(), "1:35", "out of range"),
    ] {
        let said = refused(&text);
        assert!(said.contains(expected), "{text}\n{said}");
        assert!(
            said.contains("conf/web.yml") && said.contains(&format!(":{}", place.trim_start_matches(':'))),
            "{text}\n{said}"
        );
    }
}

#[test]
fn users_are_checked_and_their_secrets_not_shown() {
    for (users, place, expected) in [
        ("  ann: geheim\n".to_owned(), "2:8", "the password of \"ann\" cannot be used: it is no bcrypt hash"),
        ("  ann: 271828\n".to_owned(), "2:8", "it is no bcrypt hash"),
        ("  ann:\n".to_owned(), ":", "it is no bcrypt hash"),
        ("  ann: [geheim]\n".to_owned(), "2:8", "it is no bcrypt hash"),
        (format!("  ann: {}\n", HASH.replace("$10$", "$31$")), "2:8", "has cost 31, and 4 to 18 are taken"),
        (format!("  ann: {}\n", &HASH[..50]), "2:8", "is not whole"),
        (format!("  'a:b': {HASH}\n"), "2:3", "no client can send this user name"),
        (format!("  '': {HASH}\n"), "2:3", "no client can send this user name"),
        (format!("  ann: {HASH}\n  ann: {HASH}\n"), "3:3", "given twice"),
        ("  - geheim\n".to_owned(), ":", "this is no map"),
        ("  geheim\n".to_owned(), ":", "this is no map"),
        ("  ann: \"geheim\n".to_owned(), ":", "error"),
        ("  ann: @geheim\n".to_owned(), ":", "error"),
        ("  ann: {b: *geheim}\n".to_owned(), ":", "error"),
    ] {
        let said = refused(&format!("basic_auth_users:\n{users}"));
        assert!(said.contains(expected) && said.contains(place), "{users}: {said}");
        for secret in ["271828", "X0h1gDsPszWURQ"] {
            assert!(!said.contains(secret), "{said}");
        }
        // The YAML library names an alias that is not there; that is no password.
        assert!(!said.contains("geheim") || users.contains('*'), "{said}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_told_by_its_name() {
    let said = load(Path::new("/nowhere/web.yml")).unwrap_err().to_string();
    assert!(said.contains("/nowhere/web.yml") && said.contains("cannot be read"), "{said}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("web.yml");
    fs::write(&path, b"tls_server_config: \xff\n").unwrap();
    assert!(load(&path).unwrap_err().to_string().contains("valid UTF-8"));
    fs::write(&path, "# ".to_owned() + &"x".repeat(MAX_FILE)).unwrap();
    assert!(load(&path).unwrap_err().to_string().contains("larger than 1024 KiB"));
}

#[test]
fn a_stamp_tells_a_change() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    assert_eq!(Stamp::of(&path), None);
    fs::write(&path, "a").unwrap();
    let first = Stamp::of(&path).unwrap();
    assert_eq!(Stamp::of(&path), Some(first));
    let other = folder.path().join("b");
    fs::write(&other, "b").unwrap();
    fs::rename(&other, &path).unwrap();
    assert_ne!(Stamp::of(&path), Some(first), "another file of the same size");
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(text: String) {
        if let Err(errors) = parse("web.yml", &text) {
            proptest::prop_assert!(errors.count() > 0);
        }
    }
}
