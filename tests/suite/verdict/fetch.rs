//! The policy fetch: the vectors, and what its faults become.

use serde::Deserialize;
use smtptls_exporter::{
    facts::{ConnectFailure, FetchFailure, FetchPhase, PathToRoot, TlsFailure},
    terms::PolicyDomain,
    verdict::{Assessment, Code},
};

use super::case::{World, certificate, codes, expired, find, ip, policy_body, untrusted};

const VECTORS: &str = include_str!("../../data/vectors.yaml");

#[derive(Deserialize)]
struct Vectors {
    fetch: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    id: String,
    input: Input,
    expect: Expect,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    status: Option<u16>,
    content_type: Option<String>,
    location: Option<String>,
    body_bytes: Option<usize>,
    domain: Option<String>,
    cert_dns_san: Option<Vec<String>>,
    cn: Option<String>,
    cert: Option<String>,
}

#[derive(Deserialize)]
struct Expect {
    verdict: String,
    result_type: Option<String>,
}

/// RFC 8461 §3.3: the fetcher stops reading there.
const LIMIT: usize = 65_536;

fn world(input: &Input) -> World {
    let mut world = World::good("enforce");
    if let Some(domain) = &input.domain {
        world.domain.domain = PolicyDomain::parse(domain).unwrap();
        world.domain.policy.host = format!("mta-sts.{domain}");
    }
    if let Some(names) = &input.cert_dns_san {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut chain = certificate(&names);
        chain.leaf.common_name = input.cn.clone();
        world = world.policy_chain(&chain);
    }
    if let Some(cert) = &input.cert {
        assert_eq!(cert, "chain without intermediate");
        world = world.policy_chain(&untrusted(certificate(&["mta-sts.example.com"]), PathToRoot::MissingIntermediate));
    }
    if input.body_bytes.is_some_and(|bytes| bytes > LIMIT) {
        world = world.fetch_fails(&FetchFailure::TooLarge);
    }
    world.answer(|response| {
        response.status = input.status.unwrap_or(200);
        if let Some(text) = &input.content_type {
            response.content_type = Some(text.as_str().into());
        }
        response.location = input.location.as_deref().map(Into::into);
    })
}

#[test]
fn vectors() {
    let vectors: Vectors = serde_saphyr::from_str(VECTORS).unwrap();
    assert!(vectors.fetch.len() >= 11, "the section is there");
    for Vector { id, input, expect } in vectors.fetch {
        let seen = world(&input).assess();
        let success = expect.verdict == "valid";
        assert_eq!(seen.policy.fetch_success, Some(success), "{id}: {:?}", codes(&seen));
        assert_eq!(seen.policy.result_type, expect.result_type.as_deref(), "{id}");
        let told =
            seen.findings.iter().filter(|finding| finding.code.row().result_type == expect.result_type.as_deref());
        let policy_trouble = told.filter(|finding| finding.code.as_str().starts_with("sts-policy-")).count();
        assert_eq!(policy_trouble > 0, !success, "{id}: {:?}", codes(&seen));
    }
}

/// Peers' misbehaviour: every fault of the policy has one reason, "fetch error".
#[test]
fn each_fault_of_the_fetch_has_its_own_word() {
    let connect = |failure| FetchFailure::Connect(failure);
    let fails = |failure| World::good("enforce").fetch_fails(&failure);
    let chain = |chain| World::good("enforce").policy_chain(&chain);
    let good = || certificate(&["mta-sts.example.com"]);
    let no_http = FetchFailure::Http { phase: FetchPhase::Processing, what: "SSH-2.0".to_owned() };
    let cases = [
        (fails(connect(ConnectFailure::Refused)), "sts-policy-connect-failed", "sts-policy-fetch-error"),
        (fails(connect(ConnectFailure::HostUnreachable)), "sts-policy-connect-failed", "sts-policy-fetch-error"),
        (fails(connect(ConnectFailure::Timeout)), "sts-policy-timeout", "sts-policy-fetch-error"),
        (fails(FetchFailure::Timeout(FetchPhase::Transfer)), "sts-policy-timeout", "sts-policy-fetch-error"),
        (
            fails(FetchFailure::Tls(TlsFailure::NotTls("HTTP".to_owned()))),
            "sts-policy-tls-failed",
            "sts-policy-fetch-error",
        ),
        (fails(no_http), "sts-policy-http-status", "sts-policy-fetch-error"),
        (fails(FetchFailure::TooLarge), "sts-policy-too-large", "sts-policy-fetch-error"),
        (World::good("enforce").status(404), "sts-policy-http-status", "sts-policy-fetch-error"),
        (World::good("enforce").status(302), "sts-policy-redirect", "sts-policy-fetch-error"),
        (chain(expired(good())), "sts-policy-certificate-expired", "sts-webpki-invalid"),
        (chain(untrusted(good(), PathToRoot::UnknownCa)), "sts-policy-certificate-untrusted", "sts-webpki-invalid"),
        (chain(certificate(&["example.com"])), "sts-policy-certificate-name-mismatch", "sts-webpki-invalid"),
        (World::good("enforce").edit("enforce", "Enforce"), "sts-policy-invalid", "sts-policy-invalid"),
    ];
    for (world, code, result_type) in cases {
        let seen = world.assess();
        let errors: Vec<_> = seen.findings.iter().map(|finding| finding.code.as_str()).collect();
        assert_eq!((errors, seen.policy.result_type), (vec![code], Some(result_type)));
        assert_eq!((seen.policy.fetch_success, seen.policy.current), (Some(false), None), "{code}");
    }
}

/// Peers' misbehaviour: a redirect is followed, a page is taken for a policy, a body has no end.
#[test]
fn no_redirect_no_page_no_endless_body() {
    let redirect = World::good("enforce").status(302).answer(|response| response.location = Some("/x".into())).assess();
    assert!(find(&redirect, Code::StsPolicyRedirect).unwrap().detail.contains("to /x"));
    let page = World::good("enforce").body("<!doctype html>").answer(|r| r.content_type = Some("text/html".into()));
    let seen = codes(&page.assess());
    assert!(seen.contains("sts-policy-media-type") && seen.contains("sts-policy-invalid"), "{seen:?}");
    let endless = World::good("enforce").fetch_fails(&FetchFailure::TooLarge).assess();
    assert_eq!(endless.policy.fetch_success, Some(false));
}

/// A sender meets the certificate before the answer, and both are said.
#[test]
fn the_first_fault_gives_the_result_type() {
    let world = World::good("enforce").status(404).policy_chain(&expired(certificate(&["mta-sts.example.com"])));
    let seen = world.assess();
    assert_eq!(seen.policy.result_type, Some("sts-webpki-invalid"));
    assert_eq!(codes(&seen), ["sts-policy-certificate-expired", "sts-policy-http-status"].into());
}

fn two_addresses(failure: FetchFailure) -> Assessment {
    let world = World::good("enforce").policy_address("2001:db8::80").with(|world| {
        let fetch = &mut world.domain.policy.fetches[0];
        fetch.response = None;
        fetch.failure = Some(failure);
    });
    world.assess()
}

/// The order of the addresses decides nothing: one that works is enough, and the other one is told.
#[test]
fn one_address_of_the_policy_host_fails() {
    let seen = two_addresses(FetchFailure::Timeout(FetchPhase::Tls));
    assert_eq!(seen.policy.fetch_success, Some(true));
    assert_eq!(codes(&seen), ["sts-policy-address-failed"].into());
    assert!(find(&seen, Code::StsPolicyAddressFailed).unwrap().detail.contains("192.0.2.80"));
    let shown: Vec<_> = seen.policy.addresses.iter().map(|(address, ok, why)| (*address, *ok, why.is_some())).collect();
    assert_eq!(shown, [(ip("192.0.2.80"), false, true), (ip("2001:db8::80"), true, false)]);
    let unseen = two_addresses(FetchFailure::Connect(ConnectFailure::NoRoute));
    assert_eq!((unseen.policy.fetch_success, unseen.own_side), (Some(true), false));
    assert_eq!(codes(&unseen), ["vantage-limited"].into());
}

#[test]
fn a_fault_at_two_addresses_is_said_once() {
    let seen = World::good("enforce").policy_address("192.0.2.81").status(404).assess();
    assert_eq!(seen.findings.len(), 1);
    assert!(seen.findings[0].detail.contains("192.0.2.80 and 192.0.2.81"), "{}", seen.findings[0].detail);
}

/// Peers' misbehaviour: keys that have to be there are made up.
#[test]
fn each_required_key_is_missed() {
    let body = policy_body("enforce", &["mx1.example.com"]);
    for line in body.lines() {
        let without = body.replace(&format!("{line}\n"), "");
        let seen = World::good("enforce").body(&without).assess();
        assert_eq!((seen.policy.fetch_success, seen.delivery.as_str()), (Some(false), "unprotected"), "{line}");
        let key = line.split(':').next().unwrap();
        let finding = find(&seen, Code::StsPolicyInvalid).unwrap();
        assert!(finding.detail.contains(&format!("{key} is missing")), "{}", finding.detail);
        assert!(finding.detail.contains("line 4, column 1"), "{}", finding.detail);
    }
}

/// Peers' misbehaviour: mode none is asked for hosts.
#[test]
fn mode_none_needs_no_host() {
    let seen = World::good("enforce").body(&policy_body("none", &[])).assess();
    assert_eq!(seen.policy.fetch_success, Some(true));
    assert_eq!(codes(&seen), ["sts-policy-mode-none"].into());
    assert_eq!(seen.mx[0].in_policy, None);
}

/// Peers' misbehaviour: of a key that stands twice the last one wins, and protection is off.
#[test]
fn of_a_key_that_stands_twice_the_first_counts() {
    let seen = World::good("enforce").edit("max_age", "mode: none\nmax_age").assess();
    assert_eq!(seen.delivery.as_str(), "protected");
    assert_eq!(codes(&seen), ["sts-policy-lenient"].into());
}
