//! `/probe`, `POST …/probe`, `/sd` and `/config` of the running program.

use std::time::{Duration, Instant};

use smtptls_exporter::monitor::REST;

use crate::{
    misbehaviours::scrape::Scrape,
    serve::Served,
    world::{
        mail_world::MailWorld,
        smtp::{Act, SmtpScript},
    },
};

const SECOND: Duration = Duration::from_secs(1);
const GOOD: &str = "smtptls_domain_delivery{domain=\"good.example\",state=\"protected\"} 1";

/// The value of a sample without labels.
fn value(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

#[tokio::test]
async fn a_scrape_of_one_target_looks_now() {
    let world = MailWorld::start().await;
    let good = world.domain("good.example").await;
    let _bad = world.domain("bad.example").await;
    let served = Served::start(&world.config_file("domains: [good.example, bad.example]\n")).await;
    served.until(&[GOOD]).await;
    let before = good.smtp.connections();
    tokio::time::sleep(REST).await;
    let (status, head, text) = served.ask("GET /probe?target=good.example", &[]).await;
    assert_eq!(status, 200, "{text}");
    assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
    assert_eq!(good.smtp.connections(), before + 1);
    assert!(text.lines().any(|line| line == GOOD), "{text}");
    assert!((value(&text, "probe_success") - 1.0).abs() < f64::EPSILON, "{text}");
    assert!(value(&text, "probe_duration_seconds") > 0.0);
    assert!(!text.contains("bad.example") && !text.contains("smtptls_build_info"), "{text}");
    let families = Scrape::read(&text).families;
    for family in ["smtptls_mx_certificate_verified", "smtptls_sts_policy_mode", "smtptls_domain_mx_info"] {
        assert!(families.contains_key(family), "no {family} in {text}");
    }
    for (path, expected, said) in [
        ("/probe", 400, "target: it is missing"),
        ("/probe?target=", 400, "expected a domain"),
        ("/probe?target=good..example", 400, "expected a domain"),
        ("/probe?target=good.example&debug=yes", 400, "expected true or false"),
        ("/probe?target=other.example", 403, "probe.allow_any_target"),
    ] {
        let (status, text) = served.get(path).await;
        assert_eq!(status, expected, "{path}: {text}");
        assert!(text.contains(said), "{path}: {text}");
    }
    assert_eq!(served.ask("POST /probe?target=good.example", &[]).await.0, 405);
    let (status, _, text) =
        served.ask("GET /probe?target=good.example", &["X-Prometheus-Scrape-Timeout-Seconds: soon"]).await;
    assert_eq!(status, 400, "{text}");
}

#[tokio::test]
async fn a_scrape_ends_before_its_timeout() {
    let world = MailWorld::start().await;
    let good = world.domain("good.example").await;
    let served = Served::start(&world.config_file("domains: [good.example]\n")).await;
    served.until(&[GOOD]).await;
    let script = SmtpScript::good(&world.pki.identity(&["mx.good.example"]));
    good.smtp.set_script(SmtpScript { banner: Act::Hang, ..script });
    tokio::time::sleep(REST).await;
    let began = Instant::now();
    let (status, _, text) =
        served.ask("GET /probe?target=good.example", &["X-Prometheus-Scrape-Timeout-Seconds: 3"]).await;
    let took = began.elapsed();
    assert_eq!(status, 200, "{text}");
    assert!(took >= 2 * SECOND && took < 3 * SECOND, "{took:?}");
    assert!(value(&text, "probe_success").abs() < f64::EPSILON, "not all was looked at: {text}");
    assert!(text.lines().any(|line| line == GOOD), "what is known is told all the same: {text}");

    let (status, _, text) =
        served.ask("GET /probe?target=good.example&debug=true", &["X-Prometheus-Scrape-Timeout-Seconds: 1"]).await;
    assert_eq!(status, 200);
    assert!(text.contains("Not looked at before the time was over:\n  mx.good.example at 127."), "{text}");
    assert!(text.contains("\nprobe_success 0\n"), "{text}");
}

#[tokio::test]
async fn debug_tells_what_was_seen_what_is_returned_and_what_is_configured() {
    let world = MailWorld::start().await;
    let _good = world.domain("good.example").await;
    let rest = "http_sd: [{url: 'https://user:geheim@inventory.example/'}]\n\
                domains: [{domain: good.example, group: ours}, other.example]\n";
    let served = Served::start(&world.config_file(rest)).await;
    served.until(&[GOOD]).await;
    let (status, head, text) = served.ask("GET /probe?target=good.example&debug=true", &[]).await;
    assert_eq!(status, 200);
    assert!(head.contains("content-type: text/plain; charset=utf-8"), "{head}");
    let seen = text.find("What was seen of good.example").unwrap();
    let metrics = text.find("The metrics that would be returned:").unwrap();
    let settings = text.find("The settings of this probe:").unwrap();
    assert!(seen < metrics && metrics < settings, "{text}");
    let [seen, metrics, settings] = [&text[seen..metrics], &text[metrics..settings], &text[settings..]];
    assert!(seen.contains("mx.good.example") && seen.contains("v=STSv1"), "{seen}");
    assert!(metrics.lines().any(|line| line == GOOD), "{metrics}");
    assert!(settings.contains("smtp_port:") && settings.contains("group: ours"), "{settings}");
    assert!(!settings.contains("geheim") && !settings.contains("other.example"), "{settings}");
}

#[tokio::test]
async fn any_target_where_that_is_allowed() {
    let world = MailWorld::start().await;
    let _good = world.domain("good.example").await;
    let other = world.domain("other.example").await;
    let text = world.config_text("domains: [good.example]\n").replace("probe:\n", "probe:\n  allow_any_target: true\n");
    let config = world.config_file("");
    std::fs::write(&config, text).unwrap();
    let served = Served::start(&config).await;
    served.until(&[GOOD]).await;
    let (status, text) = served.get("/probe?target=other.example").await;
    assert_eq!(status, 200, "{text}");
    assert!((value(&text, "probe_success") - 1.0).abs() < f64::EPSILON, "{text}");
    assert!(text.contains("smtptls_domain_delivery{domain=\"other.example\",state=\"protected\"} 1"), "{text}");
    Scrape::read(&text);
    assert_eq!(other.smtp.connections(), 1);
    let (_, metrics) = served.get("/metrics").await;
    assert!(!metrics.contains("other.example"), "{metrics}");
    assert!(!served.get("/sd").await.1.contains("other.example"));
    let (_, text) = served.get("/probe?target=nobody.example").await;
    assert!(value(&text, "probe_success").abs() < f64::EPSILON, "{text}");
}

#[tokio::test]
async fn probe_now_by_the_api_and_by_the_form() {
    let world = MailWorld::start().await;
    let good = world.domain("good.example").await;
    let served = Served::start(&world.config_file("domains: [good.example]\n")).await;
    served.until(&[GOOD]).await;
    tokio::time::sleep(REST).await;
    let before = good.smtp.connections();
    let (status, head, body) = served.ask("POST /api/v1/domains/good.example/probe", &[]).await;
    assert_eq!(status, 200, "{body}");
    assert!(head.contains("content-type: application/json"), "{head}");
    let told: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&told["domain"], &told["delivery"]), (&"good.example".into(), &"protected".into()));
    assert_eq!(good.smtp.connections(), before + 1);
    let (_, cached) = served.get("/api/v1/domains/good.example").await;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&cached).unwrap(), told, "as GET has it");

    let (status, head, _) = served.ask("POST /domains/good.example/probe", &["Content-Length: 0"]).await;
    assert_eq!(status, 303);
    assert!(head.contains("location: /domains/good.example\r\n"), "{head}");
    // Nothing can be seen before it is shown: the page that follows has what was found.
    world.dns.txt("_mta-sts.good.example", &["v=STSv1; id=mended;"]);
    tokio::time::sleep(REST).await;
    assert_eq!(served.ask("POST /domains/good.example/probe", &["Content-Length: 0"]).await.0, 303);
    let (_, page) = served.get("/domains/good.example").await;
    assert!(page.contains("id=mended"), "{page}");
    for path in ["/api/v1/domains/good.example/probe", "/domains/good.example/probe"] {
        let foreign = served.ask(&format!("POST {path}"), &["Sec-Fetch-Site: cross-site"]).await;
        assert_eq!(foreign.0, 403, "{path}");
        let foreign = served.ask(&format!("POST {path}"), &["Origin: https://evil.example"]).await;
        assert_eq!(foreign.0, 403, "{path}");
        assert_eq!(served.get(path).await.0, 405, "{path}");
        let unknown = served.ask(&format!("POST {}", path.replace("good", "nobody")), &[]).await;
        assert_eq!(unknown.0, 404, "{path}");
    }
    assert_eq!(good.smtp.connections(), before + 2, "once for each of the two that were allowed and not too soon");
}

#[tokio::test]
async fn what_is_configured_is_listed_and_shown() {
    let world = MailWorld::start().await;
    let _good = world.domain("good.example").await;
    let rest = "http_sd: [{url: 'https://user:geheim@inventory.example/'}]\n\
                domains: [{domain: good.example, group: ours}, bad.example]\n";
    let config = world.config_file(rest);
    let served = Served::start(&config).await;
    let (status, head, body) = served.ask("GET /sd", &["X-Prometheus-Refresh-Interval-Seconds: 60"]).await;
    assert_eq!(status, 200);
    assert!(head.contains("content-type: application/json\r\n"), "{head}");
    let told: serde_json::Value = serde_json::from_str(&body).unwrap();
    let expected = serde_json::json!([
        {"targets": ["bad.example"], "labels": {}},
        {"targets": ["good.example"], "labels": {"group": "ours"}},
    ]);
    assert_eq!(told, expected);

    let (status, head, shown) = served.ask("GET /config", &[]).await;
    assert_eq!(status, 200);
    assert!(head.contains("content-type: text/plain; charset=utf-8"), "{head}");
    assert!(!shown.contains("geheim") && shown.contains("inventory.example"), "{shown}");
    let parsed = smtptls_exporter::config::parse("shown.yml", &shown).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(parsed.settings.domains.len(), 2, "it can be read again");

    world.config_file("domains: [good.example]\n");
    assert_eq!(served.ask("POST /-/reload", &[]).await.0, 200);
    let (_, shown) = served.get("/config").await;
    assert!(!shown.contains("bad.example"), "after a reload: {shown}");
    // The page follows a moment later.
    served.until(&["smtptls_targets{kind=\"domain\"} 1"]).await;
}
