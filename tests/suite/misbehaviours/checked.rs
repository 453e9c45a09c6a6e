//! From the peer to what `check` says.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use rustls::version::{TLS12, TLS13};
use serde_json::Value;
use smtptls_exporter::verdict::{Assessment, Severity, State};

use crate::{
    check::{check, check_one, codes, problems, run, status, stdout},
    world::{
        dns::{Behaviour, RecordType},
        https::{Answer, AtAccept, HttpsPeer, head},
        mail_world::{MailWorld, policy_text},
        pki::{self, ByName, Identity, Leaf},
        smtp::{Act, SmtpPeer, SmtpScript, TlsAct},
    },
};

/// A mail host that chooses its certificate by the name that the client asks for.
pub(super) fn by_name(identities: &[(&str, Identity)], without_a_name: &Identity) -> SmtpScript {
    let resolver = ByName::new(identities, without_a_name);
    let tls = TlsAct::Serve(pki::server(std::sync::Arc::new(resolver), &[&TLS12, &TLS13]));
    SmtpScript { tls, ..SmtpScript::good(without_a_name) }
}

/// Serves this policy for a domain instead.
fn serve_policy(world: &MailWorld, https: &HttpsPeer, domain: &str, body: &str) {
    let host = format!("mta-sts.{domain}");
    https.serve(&host, &world.pki.identity(&[&host]), Answer::policy(body));
}

/// The errors and warnings with the address that each is about.
fn at_addresses(assessment: &Assessment) -> BTreeSet<(&'static str, Option<IpAddr>)> {
    let worth = assessment.findings.iter().filter(|finding| finding.severity > Severity::Info);
    worth.map(|finding| (finding.code.as_str(), finding.subject.address())).collect()
}

#[tokio::test]
async fn a_name_for_the_shell_is_only_text() {
    let world = MailWorld::start().await;
    let domain = world.domain("example.com").await;
    // The program runs in the folder for temporary files.
    let marker = format!("smtptls-shell-{}", std::process::id());
    let hostile =
        [format!("$(touch {marker})"), format!("`touch {marker}`"), format!(";touch {marker};"), "|id".into()];
    let mut records: Vec<(u16, String)> = vec![(10, "mx.example.com".to_owned())];
    records.extend(hostile.iter().map(|label| (20, format!("{label}.x"))));
    world.dns.mx("example.com", &records.iter().map(|(order, name)| (*order, name.as_str())).collect::<Vec<_>>());
    world.dns.txt("_mta-sts.example.com", &[&format!("v=STSv1; id=1; $(touch {marker})=`touch {marker}`;")]);
    serve_policy(&world, &domain.https, "example.com", &policy_text(&["mx.example.com", &format!("{}.x", hostile[0])]));

    let config = world.config_file("domains: []\n");
    for format in ["human", "json"] {
        let arguments = ["check", "--config.file", config.to_str().unwrap(), "--format", format, "example.com"];
        let output = run(&arguments).await;
        assert_eq!(status(&output), 1, "{output:?}");
        assert!(stdout(&output).contains(&hostile[0]), "the name is shown: {}", stdout(&output));
    }
    assert!(!std::env::temp_dir().join(&marker).exists() && !std::path::Path::new(&marker).exists());
    let seen = check_one(&world.settings(&["example.com"])).await;
    assert!(codes(&seen).contains("mx-invalid-target"), "{:#?}", seen.findings);
    let asked: BTreeSet<String> = world.dns.queries().into_iter().map(|query| query.name).collect();
    assert!(asked.iter().all(|name| !name.contains("touch")), "what is no host name is not looked up: {asked:?}");
}

#[tokio::test]
async fn without_a_mail_host_nothing_is_in_order() {
    let world = MailWorld::start().await;
    let mut policies = Vec::new();
    for domain in ["none.example", "null.example", "refused.example", "nowhere.example"] {
        policies.push(world.policy(domain, &[&format!("mx.{domain}")]).await);
    }
    world.dns.mx("null.example", &[(0, ".")]);
    // Nobody listens there.
    world.mail_host("refused.example", "mx.refused.example", world.address());
    world.dns.mx("nowhere.example", &[(10, "mx.nowhere.example")]);
    let config = world.config_file("domains: []\n");
    for (domain, delivery, expected) in [
        ("none.example", "blocked", 1),
        ("refused.example", "blocked", 1),
        ("nowhere.example", "blocked", 1),
        ("null.example", "no-mail", 0),
    ] {
        let arguments = ["check", "--config.file", config.to_str().unwrap(), "--format", "json", domain];
        let output = run(&arguments).await;
        let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((shown[0]["delivery"].as_str(), status(&output)), (Some(delivery), expected), "{domain}: {shown:#}");
    }
}

#[tokio::test]
async fn one_address_of_two_is_bad_in_any_order() {
    let world = MailWorld::start().await;
    let domain = world.domain("example.com").await;
    let good = SmtpScript::good(&world.pki.identity(&["mx.example.com"]));
    let bad = SmtpScript { ehlo: Act::say("250-mx\r\n250 SIZE\r\n"), ..good.clone() };
    let first = domain.smtp.ip();

    // One of each family.
    let ip6: IpAddr = Ipv6Addr::LOCALHOST.into();
    let other = SmtpPeer::start_at(SocketAddr::from((Ipv6Addr::LOCALHOST, domain.smtp.port())), bad.clone()).await;
    world.dns.aaaa("mx.example.com", &["::1"]);
    let seen = check_one(&world.settings(&["example.com"])).await;
    assert_eq!(seen.delivery, State::Partial, "{:#?}", seen.findings);
    assert!(at_addresses(&seen).contains(&("starttls-not-offered", Some(ip6))), "{:#?}", seen.findings);
    other.set_script(good.clone());
    domain.smtp.set_script(bad.clone());
    let seen = check_one(&world.settings(&["example.com"])).await;
    assert_eq!(seen.delivery, State::Partial, "{:#?}", seen.findings);
    assert!(at_addresses(&seen).contains(&("starttls-not-offered", Some(first))), "{:#?}", seen.findings);

    // Two of one family, in both orders of the answer.
    let second = world.address();
    let _second = world.smtp(second, good).await;
    world.dns.aaaa("mx.example.com", &[]);
    world.dns.a("mx.example.com", &[&first.to_string(), &second.to_string()]);
    let forwards = check_one(&world.settings(&["example.com"])).await;
    world.dns.behave_for("mx.example.com", RecordType::A, Behaviour::Reversed);
    let backwards = check_one(&world.settings(&["example.com"])).await;
    for seen in [&forwards, &backwards] {
        assert_eq!(seen.delivery, State::Partial, "{:#?}", seen.findings);
        assert_eq!(
            at_addresses(seen),
            BTreeSet::from([("addresses-diverge", None), ("starttls-not-offered", Some(first))])
        );
    }
}

/// Who chooses by the name in the handshake is asked with the name of the MX record, and what one name gets says nothing of another
/// at the same address.
#[tokio::test]
async fn two_names_of_one_address_are_two_hosts() {
    let world = MailWorld::start().await;
    let address = world.address();
    let (one, two) = ("mx.one.example", "mx.two.example");
    let expired = world.pki.issue(&Leaf::named(&[two]).expired());
    let stranger = world.pki.identity(&["default.provider.example"]);
    let script = by_name(&[(one, world.pki.identity(&[one])), (two, expired)], &stranger);
    let shared = world.smtp(address, script).await;
    let mut policies = Vec::new();
    for (domain, host) in [("one.example", one), ("two.example", two), ("both.example", one)] {
        world.mail_host(domain, host, address);
        policies.push(world.policy(domain, &[one, two]).await);
    }
    world.dns.mx("both.example", &[(10, one), (20, two)]);
    let seen = check(&world.settings(&["one.example", "two.example", "both.example"])).await;
    let states: Vec<State> = seen.iter().map(|seen| seen.delivery).collect();
    assert_eq!(states, [State::Protected, State::Blocked, State::Partial], "{seen:#?}");
    assert_eq!(problems(&seen[0]), BTreeSet::new());
    for seen in &seen[1..] {
        assert_eq!(problems(seen), BTreeSet::from([("certificate-expired", two.to_owned())]));
    }
    assert_eq!(shared.connections(), 2, "once for each name");
}

#[tokio::test]
async fn the_common_name_of_a_certificate_names_no_host() {
    let world = MailWorld::start().await;
    let domain = world.domain("example.com").await;
    let mail = world.pki.issue(&Leaf::common_name_only("mx.example.com"));
    domain.smtp.set_script(SmtpScript::good(&mail));
    let seen = check_one(&world.settings(&["example.com"])).await;
    assert_eq!(seen.delivery, State::Blocked);
    assert_eq!(problems(&seen), BTreeSet::from([("certificate-name-mismatch", "mx.example.com".to_owned())]));

    let web = world.pki.issue(&Leaf::common_name_only("mta-sts.example.com"));
    domain.https.serve("mta-sts.example.com", &web, Answer::policy(&policy_text(&["mx.example.com"])));
    let seen = check_one(&world.settings(&["example.com"])).await;
    assert_eq!((seen.policy.fetch_success, seen.policy.result_type), (Some(false), Some("sts-webpki-invalid")));
    assert!(codes(&seen).contains("sts-policy-certificate-name-mismatch"), "{:#?}", seen.findings);
}

/// RFC 8461 §3.2: of a field that stands more than once all but the first are ignored.
#[tokio::test]
async fn a_second_mode_does_not_switch_protection_off() {
    let world = MailWorld::start().await;
    let domain = world.domain("example.com").await;
    let second = world.address();
    let _second = world.good_smtp("mx2.example.com", second).await;
    world.dns.mx("example.com", &[(10, "mx.example.com"), (20, "mx2.example.com")]);
    world.dns.a("mx2.example.com", &[&second.to_string()]);
    let policy = policy_text(&["mx.example.com"]) + "mode: none\nmax_age: 0\n";
    serve_policy(&world, &domain.https, "example.com", &policy);
    let seen = check_one(&world.settings(&["example.com"])).await;
    let policy = seen.policy.in_force.as_ref().unwrap();
    assert_eq!((policy.mode.as_str(), policy.max_age.0), ("enforce", 604_800));
    assert_eq!(seen.delivery, State::Partial, "the host that the policy leaves out is still refused");
    assert!(codes(&seen).contains("mx-not-in-policy") && codes(&seen).contains("sts-policy-lenient"));
}

/// The fault of a policy host, and the one finding of the policy that tells it from all others.
#[tokio::test]
async fn each_fault_of_a_policy_host_has_its_own_word() {
    let world = MailWorld::start().await;
    let good = policy_text(&["mx.example.com"]);
    let domain = world.domain("example.com").await;
    let host = "mta-sts.example.com";
    // A redirect leads to a policy without fault, at a host without fault.
    let elsewhere = world.https(world.address()).await;
    elsewhere.serve("www.example.com", &world.pki.identity(&["www.example.com"]), Answer::policy(&good));
    world.dns.a("www.example.com", &[&elsewhere.ip().to_string()]);
    let redirect = format!("https://www.example.com:{}/.well-known/mta-sts.txt", elsewhere.port());

    let identity = world.pki.identity(&[host]);
    let leaf = || Leaf::named(&[host]);
    let fine = || Answer::policy(&good);
    let status = |status, kind| Answer::status(status, &[("Content-Type", kind)], good.as_bytes());
    let endless =
        Answer::Flood([head("200 OK", &[("Content-Type", "text/plain")]), b"\r\n".to_vec()].concat(), vec![b'x'; 4096]);
    for (code, result_type, identity, answer) in [
        ("sts-policy-redirect", "sts-policy-fetch-error", identity.clone(), Answer::redirect(&redirect)),
        ("sts-policy-http-status", "sts-policy-fetch-error", identity.clone(), status("404 Not Found", "text/plain")),
        ("sts-policy-media-type", "sts-policy-fetch-error", identity.clone(), status("200 OK", "text/html")),
        ("sts-policy-too-large", "sts-policy-fetch-error", identity.clone(), endless),
        ("sts-policy-invalid", "sts-policy-invalid", identity, Answer::policy(&good.replace("max_age: 604800\n", ""))),
        ("sts-policy-certificate-expired", "sts-webpki-invalid", world.pki.issue(&leaf().expired()), fine()),
        ("sts-policy-certificate-untrusted", "sts-webpki-invalid", world.pki.issue(&leaf().self_signed()), fine()),
        (
            "sts-policy-certificate-name-mismatch",
            "sts-webpki-invalid",
            world.pki.identity(&["www.example.com"]),
            fine(),
        ),
    ] {
        domain.https.serve(host, &identity, answer);
        let seen = check_one(&world.settings(&["example.com"])).await;
        assert_eq!((seen.policy.fetch_success, seen.policy.result_type), (Some(false), Some(result_type)), "{code}");
        let of_policy: Vec<_> = codes(&seen).into_iter().filter(|code| code.starts_with("sts-policy-")).collect();
        assert_eq!(of_policy, [code]);
        assert_ne!(seen.delivery, State::Protected);
    }
    domain.https.at_accept(AtAccept::ClearText);
    let seen = check_one(&world.settings(&["example.com"])).await;
    assert!(codes(&seen).contains("sts-policy-tls-failed"), "{:#?}", seen.findings);
    assert_eq!(elsewhere.connections(), 0, "nobody follows the redirect");
}

/// Each fault ends with a status that a script sees, and with words on the output that a person reads.
#[tokio::test]
async fn a_fault_is_printed_and_ends_with_1() {
    let world = MailWorld::start().await;
    let mut domains = Vec::new();
    let cases = [
        ("no-starttls.example", "starttls-not-offered", "STARTTLS"),
        ("refused.example", "starttls-refused", "STARTTLS"),
        ("no-tls.example", "tls-handshake-failed", "TLS"),
        ("expired.example", "certificate-expired", "expired"),
        ("stranger.example", "certificate-name-mismatch", "certificate"),
        ("no-policy.example", "sts-policy-http-status", "404"),
        ("no-id.example", "sts-record-id-invalid", "id"),
    ];
    for (name, _, _) in cases {
        let domain = world.domain(name).await;
        let host = format!("mx.{name}");
        let mut script = SmtpScript::good(&world.pki.identity(&[&host]));
        match name {
            "no-starttls.example" => script.ehlo = Act::say("250-mx\r\n250 SIZE\r\n"),
            "refused.example" => script.starttls = Act::say("454 not now\r\n"),
            "no-tls.example" => script.tls = TlsAct::Instead(Act::Close),
            "expired.example" => script = SmtpScript::good(&world.pki.issue(&Leaf::named(&[&host]).expired())),
            "stranger.example" => script = SmtpScript::good(&world.pki.identity(&["mx.stranger.invalid"])),
            "no-policy.example" => {
                let web = format!("mta-sts.{name}");
                let answer = Answer::status("404 Not Found", &[], b"");
                domain.https.serve(&web, &world.pki.identity(&[&web]), answer);
            }
            _ => world.dns.txt("_mta-sts.no-id.example", &["v=STSv1;"]),
        }
        domain.smtp.set_script(script);
        domains.push(domain);
    }
    let config = world.config_file("domains: []\n");
    let config = config.to_str().unwrap();
    for (name, code, word) in cases {
        let human = run(&["check", "--config.file", config, name]).await;
        assert_eq!(status(&human), 1, "{human:?}");
        for told in [name, code, word] {
            assert!(stdout(&human).contains(told), "{name}: no {told}: {}", stdout(&human));
        }
    }
    let names: Vec<&str> = cases.iter().map(|(name, ..)| *name).collect();
    let all = run(&[&["check", "--config.file", config, "--format", "json"], &names[..]].concat()).await;
    assert_eq!(status(&all), 1);
    let shown: Value = serde_json::from_slice(&all.stdout).unwrap();
    for (place, (name, code, _)) in cases.iter().enumerate() {
        let findings = shown[place]["findings"].as_array().unwrap();
        assert!(findings.iter().any(|finding| finding["code"] == *code), "{name}: {findings:#?}");
        assert_ne!(shown[place]["delivery"], "protected", "{name}");
    }
}

#[tokio::test]
async fn without_an_mx_record_the_domain_itself_is_probed() {
    let world = MailWorld::start().await;
    let address = world.address();
    let smtp = world.good_smtp("example.com", address).await;
    let _policy = world.policy("example.com", &["example.com"]).await;
    world.dns.a("example.com", &[&address.to_string()]);
    let seen = check_one(&world.settings(&["example.com"])).await;
    assert_eq!((seen.delivery, smtp.connections()), (State::Protected, 1), "{:#?}", seen.findings);
    assert!(codes(&seen).contains("mx-implicit") && !codes(&seen).contains("mx-none"));
    let script = SmtpScript::good(&world.pki.issue(&Leaf::named(&["example.com"]).self_signed()));
    smtp.set_script(script);
    let seen = check_one(&world.settings(&["example.com"])).await;
    assert_eq!((seen.delivery, smtp.connections()), (State::Blocked, 2));
    assert!(problems(&seen).contains(&("certificate-untrusted", "example.com".to_owned())), "{:#?}", seen.findings);
}
