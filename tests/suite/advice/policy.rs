//! `policy suggest` against a world of peers: what it says is published, and `check` finds no fault with it.

use serde_json::Value;
use smtptls_exporter::{
    protocol::mta_sts::{Mode, read_policy},
    terms::PolicyId,
    verdict::State,
};

use crate::{
    check::{check_one, codes, problems, run, status, stdout},
    world::{
        https::Answer,
        mail_world::{MailDomain, MailWorld},
        pki::Leaf,
        smtp::SmtpScript,
    },
};

/// The suggestion for a domain, as JSON, with the exit status.
async fn suggest(world: &MailWorld, rest: &str, arguments: &[&str]) -> (i32, Value) {
    let config = world.config_file(rest);
    let fixed = ["policy", "suggest", "--format", "json", "--config.file", config.to_str().unwrap()];
    let output = run(&[&fixed, arguments].concat()).await;
    let value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (status(&output), value)
}

/// Publishes policy and records as they were suggested.
fn publish(world: &MailWorld, domain: &MailDomain, suggestion: &Value) {
    let host = format!("mta-sts.{}", domain.name);
    let body = suggestion["policy"].as_str().unwrap();
    domain.https.serve(&host, &world.pki.identity(&[&host]), Answer::policy(body));
    for record in suggestion["txt"].as_array().unwrap() {
        world.dns.txt(record["name"].as_str().unwrap(), &[record["value"].as_str().unwrap()]);
    }
}

/// A domain with a mail host, and neither policy nor records.
async fn bare(world: &MailWorld, name: &'static str) -> MailDomain {
    let domain = world.domain(name).await;
    for record in [format!("_mta-sts.{name}"), format!("_smtp._tls.{name}")] {
        world.dns.remove(&record);
    }
    domain
}

#[tokio::test]
async fn what_is_suggested_protects() {
    let world = MailWorld::start().await;
    let domain = bare(&world, "example.com").await;
    let (code, first) = suggest(&world, "domains: []\n", &["example.com"]).await;
    assert_eq!(code, 0, "{first}");
    let policy = read_policy(first["policy"].as_str().unwrap().as_bytes()).value.unwrap();
    assert_eq!((policy.mode, policy.max_age.0), (Mode::Testing, 86_400));
    assert_eq!(policy.mx.iter().map(ToString::to_string).collect::<Vec<_>>(), ["mx.example.com"]);
    assert!(PolicyId::parse(first["id"].as_str().unwrap()).is_some());
    publish(&world, &domain, &first);
    let testing = check_one(&world.settings(&["example.com"])).await;
    assert_eq!(problems(&testing), Default::default(), "testing is clean");
    assert_eq!(testing.policy.in_force.as_ref().map(|policy| policy.mode), Some(Mode::Testing));

    let (code, second) = suggest(&world, "domains: []\n", &["example.com", "--mode", "enforce"]).await;
    assert_eq!(code, 0, "{second}");
    assert_ne!(second["id"], testing.sts_record.id.as_ref().unwrap().as_str(), "a new policy has a new id");
    publish(&world, &domain, &second);
    let enforced = check_one(&world.settings(&["example.com"])).await;
    assert_eq!(enforced.delivery, State::Protected, "{:?}", codes(&enforced));
    assert_eq!(problems(&enforced), Default::default());

    // Now there is nothing to change, and the record keeps its id.
    let (code, third) = suggest(&world, "domains: []\n", &["example.com"]).await;
    assert_eq!((code, &third["unchanged"], &third["mode"]), (0, &true.into(), &"enforce".into()), "{third}");
    assert_eq!(third["id"], second["id"]);
}

#[tokio::test]
async fn what_enforce_would_refuse_comes_first() {
    let world = MailWorld::start().await;
    let _domain = bare(&world, "example.com").await;
    let second = world.address();
    let expired = world.pki.issue(&Leaf::named(&["mx2.example.com"]).expired());
    let _peer = world.smtp(second, SmtpScript::good(&expired)).await;
    world.dns.mx("example.com", &[(10, "mx.example.com"), (20, "mx2.example.com")]);
    world.dns.a("mx2.example.com", &[&second.to_string()]);
    let (code, suggestion) = suggest(&world, "domains: []\n", &["example.com", "--mode", "enforce"]).await;
    assert_eq!(code, 1, "{suggestion}");
    let (code, suggestion) = suggest(&world, "domains: []\n", &["example.com"]).await;
    assert_eq!(code, 0, "testing loses no mail: {suggestion}");
    let obstacles = suggestion["obstacles"].as_array().unwrap();
    assert_eq!(obstacles.len(), 1, "{suggestion}");
    assert_eq!((&obstacles[0]["host"], &obstacles[0]["kind"]), (&"mx2.example.com".into(), &"certificate".into()));
    assert!(obstacles[0]["detail"].as_str().unwrap().contains("expired"), "{suggestion}");
    assert!(suggestion["policy"].as_str().unwrap().contains("mx: mx2.example.com\n"), "the host stays listed");
    // For people it stands before the policy.
    let config = world.config_file("domains: []\n");
    let shown = run(&["policy", "suggest", "example.com", "--config.file", config.to_str().unwrap()]).await;
    let text = stdout(&shown);
    assert!(text.find("Mend first").unwrap() < text.find("version: STSv1").unwrap(), "{text}");
}

#[tokio::test]
async fn more_hosts_than_a_check_looks_at_are_all_listed() {
    let world = MailWorld::start().await;
    let _domain = bare(&world, "example.com").await;
    let names: Vec<String> = (1..=25).map(|number| format!("mx{number}.example.com")).collect();
    let records: Vec<(u16, &str)> = names.iter().map(|name| (10, name.as_str())).collect();
    world.dns.mx("example.com", &records);
    let (_, suggestion) = suggest(&world, "domains: []\n", &["example.com"]).await;
    assert_eq!(suggestion["left_out"], 0, "{suggestion}");
    for name in &names {
        assert!(suggestion["policy"].as_str().unwrap().contains(&format!("mx: {name}\n")), "{name}");
    }
}

#[tokio::test]
async fn planned_hosts_and_providers_come_from_the_configuration() {
    let world = MailWorld::start().await;
    let _domain = bare(&world, "example.com").await;
    world.dns.mx("example.com", &[(10, "mx.example.com"), (20, "mx.other.example")]);
    let rest = "domains: [{domain: example.com, planned_mx: [mx9.example.net]}]\n";
    let (_, suggestion) = suggest(&world, rest, &["example.com"]).await;
    assert_eq!(suggestion["planned"], serde_json::json!(["mx9.example.net"]));
    assert!(suggestion["policy"].as_str().unwrap().contains("mx: mx9.example.net\n"));
    assert_eq!(suggestion["foreign"][0]["host"], "mx.other.example");
    let (_, suggestion) = suggest(&world, "own_mx: [mx.other.example]\n", &["example.com"]).await;
    assert_eq!(suggestion["foreign"], serde_json::json!([]));
}

#[tokio::test]
async fn a_domain_that_takes_no_mail_needs_nothing_or_mode_none() {
    let world = MailWorld::start().await;
    let domain = world.domain("example.com").await;
    world.dns.mx("example.com", &[(0, ".")]);
    let (code, suggestion) = suggest(&world, "domains: []\n", &["example.com"]).await;
    assert_eq!(
        (code, &suggestion["need"], &suggestion["mode"]),
        (0, &"withdrawal".into(), &"none".into()),
        "{suggestion}"
    );
    world.dns.remove("_mta-sts.example.com");
    world.dns.remove("mta-sts.example.com");
    drop(domain);
    let (code, suggestion) = suggest(&world, "domains: []\n", &["example.com"]).await;
    assert_eq!(
        (code, &suggestion["need"], &suggestion["policy"]),
        (0, &"nothing".into(), &Value::Null),
        "{suggestion}"
    );
}

#[tokio::test]
async fn no_answer_is_not_no_mail_host() {
    use crate::world::dns::Behaviour;
    let world = MailWorld::start().await;
    let _domain = bare(&world, "example.com").await;
    world.dns.behave("example.com", Behaviour::ServFail);
    let (code, suggestion) = suggest(&world, "domains: []\n", &["example.com"]).await;
    assert_eq!((code, &suggestion["need"]), (3, &"look".into()), "{suggestion}");
    let (code, suggestion) = suggest(&world, "domains: []\n", &["nothing.example"]).await;
    assert_eq!((code, &suggestion["need"]), (1, &"mail-host".into()), "{suggestion}");
}
