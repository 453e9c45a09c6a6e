//! The test vectors about names in a host's certificate (RFC 8461 §4.2, RFC 9525).

use serde::Deserialize;
use smtptls_exporter::protocol::tls::names_match;

const VECTORS: &str = include_str!("../data/vectors.yaml");

#[derive(Deserialize)]
struct Vectors {
    mx_match: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    input: Input,
    expect: Expect,
}

#[derive(Deserialize)]
struct Input {
    cert_dns_san: Option<Vec<String>>,
    host: String,
}

#[derive(Deserialize)]
struct Expect {
    verdict: String,
}

#[test]
fn names_of_the_certificate_and_the_host() {
    let vectors: Vectors = serde_saphyr::from_str(VECTORS).unwrap();
    let mut judged = 0;
    for Case { id, input, expect } in vectors.mx_match {
        let Some(names) = input.cert_dns_san else { continue };
        judged += 1;
        let outcome = if names_match(&names, &input.host) { "match" } else { "no-match" };
        assert_eq!(outcome, expect.verdict, "{id}");
    }
    assert_eq!(judged, 8, "the section is there");
}
