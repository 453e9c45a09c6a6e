//! What `check` prints for programs, and what it compares, as a program against a world of peers.

use serde_json::Value;

use super::{
    check::{run, status, stdout},
    world::{
        https::Answer,
        mail_world::{MailWorld, policy_text},
        smtp::{Act, SmtpScript},
    },
};

/// A second mail host that works, and that the policy does not cover.
async fn drifted(world: &MailWorld, domain: &str) -> super::world::smtp::SmtpPeer {
    let address = world.address();
    let (first, second) = (format!("mx.{domain}"), format!("mx2.{domain}"));
    let peer = world.good_smtp(&second, address).await;
    world.dns.mx(domain, &[(10, &first), (20, &second)]);
    world.dns.a(&second, &[&address.to_string()]);
    peer
}

#[tokio::test]
async fn jsonl_has_a_line_for_each_domain() {
    let world = MailWorld::start().await;
    let _good = world.domain("good.example").await;
    let _bad = world.domain("bad.example").await;
    let _second = drifted(&world, "bad.example").await;
    let config = world.config_file("domains: []\n");
    let arguments =
        ["check", "--config.file", config.to_str().unwrap(), "--format", "jsonl", "bad.example", "good.example"];
    let output = run(&arguments).await;
    assert_eq!(status(&output), 1, "{output:?}");
    let mut lines: Vec<Value> = stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    lines.sort_by_key(|line| line["domain"].to_string());
    let told: Vec<_> = lines.iter().map(|line| (line["domain"].clone(), line["delivery"].clone())).collect();
    assert_eq!(told, [("bad.example".into(), "partial".into()), ("good.example".into(), "protected".into())]);
}

/// Silence is the domain's own fault only where others answer: so it is judged last, and the line says so.
#[tokio::test]
async fn a_silent_host_is_judged_when_all_is_seen() {
    let world = MailWorld::start().await;
    let silent = world.domain("silent.example").await;
    silent
        .smtp
        .set_script(SmtpScript { banner: Act::Hang, ..SmtpScript::good(&world.pki.identity(&["mx.silent.example"])) });
    let _good = world.domain("good.example").await;
    let config = world.file("impatient.yml");
    std::fs::write(&config, world.config_text("").replace("timeout: 20s", "timeout: 3s")).unwrap();
    let arguments =
        ["check", "--config.file", config.to_str().unwrap(), "--format", "jsonl", "silent.example", "good.example"];
    let output = run(&arguments).await;
    assert_eq!(status(&output), 1, "{output:?}");
    let lines: Vec<Value> = stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["domain"], &lines[1]["domain"]), (&"good.example".into(), &"silent.example".into()));
    assert_eq!(lines[1]["findings"][0]["code"], "smtp-timeout");
    assert!(!lines[1]["findings"][0]["detail"].to_string().contains("this side"), "another one answered");
}

#[tokio::test]
async fn nagios_has_a_line_performance_data_and_its_own_statuses() {
    let world = MailWorld::start().await;
    let _good = world.domain("good.example").await;
    let _bad = world.domain("bad.example").await;
    let _second = drifted(&world, "bad.example").await;
    let config = world.config_file("domains: []\n");
    let config = config.to_str().unwrap();
    for (domains, expected, first) in [
        (&["good.example"][..], 0, "SMTPTLS OK: good.example protected | errors=0;;0;0 warnings=0;0;;0 time="),
        (
            &["bad.example"],
            2,
            "SMTPTLS CRITICAL: bad.example partly deliverable - mx2: An MX is not covered by the policy |",
        ),
        (&["bad.example", "good.example"], 2, "SMTPTLS CRITICAL: 2 domains: 1 critical, 1 ok | errors=1;;0;0"),
    ] {
        let arguments =
            [&["check", "--config.file", config, "--format", "nagios", "--fail-on", "never"], domains].concat();
        let output = run(&arguments).await;
        assert_eq!(status(&output), expected, "{output:?}");
        assert!(stdout(&output).starts_with(first), "{}", stdout(&output));
    }
    let broken = world.file("broken.yml");
    std::fs::write(&broken, "probes: {}\n").unwrap();
    let output = run(&["check", "--config.file", broken.to_str().unwrap(), "--format", "nagios", "good.example"]).await;
    assert_eq!(status(&output), 3, "{output:?}");
    assert!(stdout(&output).starts_with("SMTPTLS UNKNOWN: the configuration is not valid"), "{output:?}");
}

#[tokio::test]
async fn prometheus_shows_the_families_of_domains_and_hosts() {
    let world = MailWorld::start().await;
    let _good = world.domain("good.example").await;
    let _bad = world.domain("bad.example").await;
    let _second = drifted(&world, "bad.example").await;
    let config = world.config_file("domains: [{domain: good.example, group: ours}]\n");
    let arguments =
        ["check", "--config.file", config.to_str().unwrap(), "--format", "prometheus", "bad.example", "good.example"];
    let output = run(&arguments).await;
    assert_eq!(status(&output), 1, "{output:?}");
    let text = stdout(&output);
    for sample in [
        "smtptls_domain_info{domain=\"good.example\",group=\"ours\"} 1\n",
        "smtptls_domain_delivery{domain=\"bad.example\",state=\"partial\"} 1\n",
        "smtptls_domain_delivery{domain=\"good.example\",state=\"protected\"} 1\n",
        "smtptls_mx_finding{mx=\"mx2.bad.example\",code=\"mx-not-in-policy\"} 1\n",
        "smtptls_mx_domains{mx=\"mx.good.example\"} 1\n",
        "smtptls_mx_domains_enforcing{mx=\"mx.good.example\"} 1\n",
    ] {
        assert!(text.contains(sample), "{sample}: {text}");
    }
    assert!(!text.contains("process_") && !text.contains("smtptls_build_info"), "{text}");
    assert!(text.lines().all(|line| line.starts_with('#') || line.starts_with("smtptls_")), "{text}");
}

#[tokio::test]
async fn a_job_fails_only_on_what_got_worse() {
    let world = MailWorld::start().await;
    let domain = world.domain("example.com").await;
    let _second = drifted(&world, "example.com").await;
    let config = world.config_file("domains: []\n");
    let config = config.to_str().unwrap();
    let file = world.file("baseline.json");
    let file = file.to_str().unwrap();
    let against = async || run(&["check", "--config.file", config, "--against", file, "example.com"]).await;

    let missing = against().await;
    assert_eq!(status(&missing), 2, "{missing:?}");
    let saved = run(&["check", "--config.file", config, "--save", file, "example.com"]).await;
    assert_eq!(status(&saved), 1, "{saved:?}");
    let same = against().await;
    assert_eq!(status(&same), 0, "{same:?}");
    assert!(stdout(&same).contains("1 known.") && stdout(&same).contains("Nothing got worse."), "{}", stdout(&same));

    // The policy host breaks: that is new.
    let host = "mta-sts.example.com";
    let policy = policy_text(&["mx.example.com"]).replace("version: STSv1", "version: STSv2");
    domain.https.serve(host, &world.pki.identity(&[host]), Answer::policy(&policy));
    let worse = against().await;
    assert_eq!(status(&worse), 1, "{worse:?}");
    assert!(stdout(&worse).contains("new: sts-policy-invalid (error)"), "{}", stdout(&worse));
    assert!(stdout(&worse).contains("It got worse."), "{}", stdout(&worse));

    std::fs::write(file, "{\"format\":\"smtptls-exporter check\",\"version\":9}").unwrap();
    let newer = against().await;
    assert_eq!(status(&newer), 2, "{newer:?}");
    assert!(String::from_utf8_lossy(&newer.stderr).contains("it is of version 9"), "{newer:?}");
}
