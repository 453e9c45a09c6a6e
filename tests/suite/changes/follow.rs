//! Peers change, and the API and `check` tell from what to what; after a restart still.

use std::time::Instant;

use serde_json::Value;
use smtptls_exporter::terms::Timestamp;
use tempfile::TempDir;
use tokio::time::{Duration, sleep};

use super::super::{
    check::{run, status, stdout},
    serve::{PATIENCE, Served},
    world::{
        https::Answer,
        mail_world::{MailWorld, policy_text},
        signed::{Role, Signing},
        smtp::SmtpScript,
    },
};

const DIGEST: [u8; 32] = [0xab; 32];
const NEXT_DIGEST: [u8; 32] = [0xcd; 32];

async fn log(served: &Served, path: &str) -> (Vec<Value>, Value) {
    let (status, body) = served.get(path).await;
    assert_eq!(status, 200, "{body}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    (answer["changes"].as_array().unwrap().clone(), answer)
}

fn of_kind<'a>(changes: &'a [Value], kind: &str) -> Vec<&'a Value> {
    changes.iter().filter(|change| change["kind"] == kind).collect()
}

/// The text without its line breaks; the locale of this machine decides how arrows look.
fn words(text: &str) -> String {
    text.replace('→', "->").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn every_kind_of_change_is_told_with_before_and_after() {
    let world = MailWorld::start().await;
    world.dns.sign(Role::Validating);
    world.dns.zone_signed("example.com", Signing::Signed);
    world.dns.uncached();
    let domain = world.domain("example.com").await;
    world.dns.tlsa("_25._tcp.mx.example.com", &[(3, 1, 1, &DIGEST)]);
    let rest = "domains: [example.com]\n";
    let config = world.config_file(rest);
    let text = world.config_text(rest).replace("dnssec: off", "dnssec: trust-ad").replace(
        "timeout: 20s",
        "timeout: 6s\n  interval: 6s\n  mx_interval: 3s\n  retry_interval: 1s\n  policy_retry_interval: 1s",
    );
    std::fs::write(&config, text).unwrap();
    let state = TempDir::new().unwrap();
    let served = Served::start_in(&config, state.path(), &[]).await;
    let until = async |served: &Served, so: &dyn Fn(&[Value]) -> bool| {
        let end = Instant::now() + PATIENCE;
        loop {
            let (changes, answer) = log(served, "/api/v1/domains/example.com/changes").await;
            if so(&changes) {
                return (changes, answer["next"].as_str().unwrap().to_owned());
            }
            assert!(Instant::now() < end, "never: {changes:#?}");
            sleep(Duration::from_millis(100)).await;
        }
    };
    // The digest is of no certificate: mail is refused by those who validate. That is how it stands before anything changes.
    served.until(&["smtptls_domain_delivery{domain=\"example.com\",state=\"blocked\"} 1"]).await;
    assert_eq!(log(&served, "/api/v1/changes").await.0, [] as [Value; 0], "what is seen first is no change");

    // The policy and its record change, with hostile bytes in the record; a mail host comes; a certificate is renewed; the TLSA
    // record rolls, and then goes.
    let host = "mta-sts.example.com";
    let testing = policy_text(&["mx.example.com"]).replace("enforce", "testing");
    domain.https.serve(host, &world.pki.identity(&[host]), Answer::policy(&testing));
    world.dns.txt("_mta-sts.example.com", &["v=STSv1; id=2; x=\u{1b}[2J\"<script>\u{202e};"]);
    let address = world.address();
    let _second = world.good_smtp("mx2.example.com", address).await;
    world.dns.a("mx2.example.com", &[&address.to_string()]);
    world.dns.mx("example.com", &[(10, "mx.example.com"), (20, "mx2.example.com")]);
    domain.smtp.set_script(SmtpScript::good(&world.pki.identity(&["mx.example.com"])));
    world.dns.tlsa("_25._tcp.mx.example.com", &[(3, 1, 1, &NEXT_DIGEST)]);
    let all = ["record", "policy", "mx", "certificate", "tlsa"];
    until(&served, &|changes| all.iter().all(|kind| !of_kind(changes, kind).is_empty())).await;
    world.dns.remove("_25._tcp.mx.example.com");
    let (changes, _) =
        until(&served, &|changes| of_kind(changes, "tlsa").len() >= 2 && !of_kind(changes, "delivery").is_empty())
            .await;

    let told = |kind: &str, number: usize| {
        let change = of_kind(&changes, kind)[number];
        let keys: Vec<&String> = change.as_object().unwrap().keys().collect();
        assert_eq!(keys.len(), 7, "{change}");
        assert!(change["at"].as_str().unwrap().parse::<Timestamp>().is_ok(), "{change}");
        change
    };
    let policy = told("policy", 0);
    assert_eq!(policy["before"], "enforce, max_age 604800, mx.example.com");
    assert_eq!(policy["after"], "testing, max_age 604800, mx.example.com");
    assert_eq!(
        (&policy["domain"], &policy["host"], &policy["address"]),
        (&"example.com".into(), &Value::Null, &Value::Null)
    );
    let record = told("record", 0);
    assert_eq!(record["before"], "v=STSv1; id=1;");
    let after = record["after"].as_str().unwrap();
    assert!(after.starts_with("v=STSv1; id=2; x=\\x1b[2J") && after.is_ascii(), "{after}");
    assert_eq!(told("mx", 0)["before"], "10 mx.example.com");
    assert_eq!(told("mx", 0)["after"], "10 mx.example.com, 20 mx2.example.com");
    let certificate = told("certificate", 0);
    assert_eq!((&certificate["host"], &certificate["domain"]), (&"mx.example.com".into(), &Value::Null));
    assert_eq!(certificate["address"], domain.smtp.ip().to_string());
    let [before, after] = ["before", "after"].map(|when| certificate[when].as_str().unwrap());
    assert!(before != after && [before, after].iter().all(|text| text.contains("SHA-256 ")), "{certificate}");
    assert_eq!(told("tlsa", 0)["before"], "3 1 1 abababab…");
    assert_eq!(told("tlsa", 0)["after"], "3 1 1 cdcdcdcd…");
    assert_eq!((&told("tlsa", 1)["before"], &told("tlsa", 1)["after"]), (&"3 1 1 cdcdcdcd…".into(), &Value::Null));
    assert_eq!(told("tlsa", 0)["host"], "mx.example.com");
    assert_eq!(told("delivery", 0)["before"], "blocked");
    assert_eq!(told("delivery", 0)["domain"], "example.com");

    // By pages of one, it is the same; and after a restart too.
    let mut paged = Vec::new();
    let mut path = "/api/v1/changes?limit=1".to_owned();
    while paged.len() < changes.len() {
        let (page, answer) = log(&served, &path).await;
        assert_eq!(page.len(), 1, "{answer}");
        paged.extend(page);
        path = format!("/api/v1/changes?limit=1&after={}", answer["next"].as_str().unwrap());
    }
    assert_eq!(paged, changes);
    let mut served = served;
    served.signal("TERM");
    served.end().await;
    let served = Served::start_in(&config, state.path(), &[]).await;
    served.until(&["smtptls_domain_info{domain=\"example.com\",group=\"\"} 1"]).await;
    let (again, _) = log(&served, "/api/v1/domains/example.com/changes").await;
    assert_eq!(again[..changes.len()], changes[..]);
    let (lately, _) = log(&served, &format!("/api/v1/changes?since={}", changes[0]["at"].as_str().unwrap())).await;
    assert!(lately.len() >= again.len(), "{lately:#?}");
    assert_eq!(log(&served, "/api/v1/changes?since=4102444800").await.0, [] as [Value; 0]);

    // `check` reads the same log beside the monitor.
    let arguments = ["check", "--config.file", config.to_str().unwrap(), "--state.dir", state.path().to_str().unwrap()];
    let report = run(&[&arguments[..], &["--fail-on", "never", "example.com"]].concat()).await;
    assert_eq!(status(&report), 0, "{report:?}");
    let text = words(stdout(&report));
    for line in [
        "Before that: ",
        "policy: enforce, max_age 604800, mx.example.com -> testing, max_age 604800, mx.example.com",
        "mx: 10 mx.example.com -> 10 mx.example.com, 20 mx2.example.com",
    ] {
        assert!(text.contains(line), "no {line}: {text}");
    }
    assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
}

#[tokio::test]
async fn check_tells_what_changed_since_the_monitor_looked() {
    let world = MailWorld::start().await;
    world.dns.uncached();
    let domain = world.domain("example.com").await;
    let _other = world.domain("other.example").await;
    let config = world.config_file("domains: [example.com, other.example]\n");
    let state = TempDir::new().unwrap();
    let mut served = Served::start_in(&config, state.path(), &[]).await;
    for name in ["example.com", "other.example"] {
        served.until(&[&format!("smtptls_domain_delivery{{domain=\"{name}\",state=\"protected\"}} 1")]).await;
    }
    served.signal("TERM");
    served.end().await;

    let (config, folder) = (config.to_str().unwrap(), state.path().to_str().unwrap());
    let check = async |arguments: &[&str]| {
        let output = run(&[&["check", "--config.file", config], arguments].concat()).await;
        (status(&output), words(stdout(&output)))
    };
    let (code, same) = check(&["--state.dir", folder, "example.com"]).await;
    assert_eq!(code, 0);
    assert!(same.contains("Changed since ") && same.contains(": nothing"), "{same}");

    world.dns.txt("_mta-sts.example.com", &["v=STSv1; id=2;"]);
    domain.smtp.set_script(SmtpScript::good(&world.pki.identity(&["mx.example.com"])));
    let (code, changed) = check(&["--state.dir", folder, "example.com"]).await;
    assert_eq!(code, 0, "a change is no fault: {changed}");
    assert!(changed.contains("record: v=STSv1; id=1; -> v=STSv1; id=2;"), "{changed}");
    assert!(changed.contains("certificate of mx.example.com (127."), "{changed}");
    // Of several, only those with a change.
    let (_, both) = check(&["--state.dir", folder, "example.com", "other.example"]).await;
    assert!(both.contains("example.com: changed since ") && !both.contains("other.example: changed"), "{both}");
    // Without a state folder, and in JSON, nothing of it.
    let (code, plain) = check(&["example.com"]).await;
    assert!(code == 0 && !plain.to_lowercase().contains("changed"), "{plain}");
    let keys = |text: &str| -> Vec<String> {
        let read: Value = serde_json::from_str(text).unwrap();
        read[0].as_object().unwrap().keys().cloned().collect()
    };
    let (_, json) = check(&["--state.dir", folder, "--format", "json", "example.com"]).await;
    let (_, without) = check(&["--format", "json", "example.com"]).await;
    assert_eq!(keys(&json), keys(&without));
}
