//! `check`, in process and as a program, against a world of peers.

use std::{
    collections::BTreeSet,
    net::Ipv4Addr,
    process::{Command, Output},
    sync::Mutex,
    time::{Duration, Instant},
};

use serde_json::Value;
use smtptls_exporter::{
    config::{ServerSetting, Settings},
    monitor::{self, Edges},
    net::MAX_BODY,
    verdict::{Assessment, Severity, State},
};

use super::world::{
    dns::Behaviour,
    https::{Answer, AtAccept, head},
    mail_world::{MailWorld, policy_text},
    smtp::{Act, SmtpScript, TlsAct},
};

/// For the whole of a probe where some peer never answers.
const SHORT: Duration = Duration::from_secs(3);

pub(crate) async fn check(settings: &Settings) -> Vec<Assessment> {
    let edges = Edges::open(settings).await.unwrap();
    monitor::check(settings, &edges, &settings.domains, |_| {}).await
}

pub(crate) async fn check_one(settings: &Settings) -> Assessment {
    let mut assessments = check(settings).await;
    assert_eq!(assessments.len(), 1);
    assessments.remove(0)
}

/// The codes of the findings, with what each is about; notes left out.
pub(crate) fn problems(assessment: &Assessment) -> BTreeSet<(&'static str, String)> {
    let worth = |finding: &&smtptls_exporter::verdict::Finding| finding.severity > Severity::Info;
    let findings = assessment.findings.iter().filter(worth);
    findings.map(|finding| (finding.code.as_str(), finding.subject.name().to_owned())).collect()
}

pub(crate) fn codes(assessment: &Assessment) -> BTreeSet<&'static str> {
    assessment.findings.iter().map(|finding| finding.code.as_str()).collect()
}

/// Runs the program. The peers go on meanwhile: only a thread for blocking work waits.
pub(crate) async fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_smtptls-exporter"));
    command.args(arguments).current_dir(std::env::temp_dir());
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

pub(crate) fn status(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("{output:?}"))
}

pub(crate) fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

#[tokio::test]
async fn a_healthy_domain_is_protected() {
    let world = MailWorld::start().await;
    let domain = world.domain("example.com").await;
    let assessment = check_one(&world.settings(&["example.com"])).await;
    assert_eq!(assessment.delivery, State::Protected, "{assessment:#?}");
    assert_eq!(problems(&assessment), BTreeSet::new());
    assert!(!assessment.own_side && assessment.unseen.is_empty());
    assert_eq!((domain.smtp.connections(), domain.https.connections()), (1, 1));
    assert_eq!(domain.smtp.commands(), ["EHLO probe.example", "STARTTLS", "EHLO probe.example", "QUIT"]);
}

#[tokio::test]
async fn the_program_says_so_too() {
    let world = MailWorld::start().await;
    let _good = world.domain("good.example").await;
    let _bad = world.domain("bad.example").await;
    // The second mail host works, but the policy does not cover it.
    let second = world.address();
    let _second = world.good_smtp("mx2.bad.example", second).await;
    world.dns.mx("bad.example", &[(10, "mx.bad.example"), (20, "mx2.bad.example")]);
    world.dns.a("mx2.bad.example", &[&second.to_string()]);
    let config = world.config_file("domains: []\n");
    let config = config.to_str().unwrap();

    let good = run(&["check", "--config.file", config, "good.example"]).await;
    assert_eq!(status(&good), 0, "{good:?}");
    assert!(stdout(&good).contains("good.example") && stdout(&good).contains("PROTECTED"), "{}", stdout(&good));
    assert_eq!(stderr(&good), "");

    let bad = run(&["--config.file", config, "check", "bad.example", "good.example", "--format", "json"]).await;
    assert_eq!(status(&bad), 1, "{bad:?}");
    let shown: Value = serde_json::from_slice(&bad.stdout).unwrap();
    assert_eq!((&shown[0]["domain"], &shown[1]["domain"]), (&"bad.example".into(), &"good.example".into()));
    assert_eq!(shown[0]["delivery"], "partial");
    assert_eq!(shown[0]["findings"][0]["code"], "mx-not-in-policy");
    assert_eq!(shown[1]["delivery"], "protected");
    let verbose = run(&["check", "--config.file", config, "--verbose", "bad.example"]).await;
    for told in [
        "TXT _mta-sts.bad.example",
        "> GET /.well-known/mta-sts.txt HTTP/1.1",
        "> EHLO probe.example",
        "< 250-mx.example",
        "TLS handshake, SNI mx2.bad.example",
        "✗ the policy does not cover the host",
    ] {
        let told = if stdout(&verbose).is_ascii() { told.replace('✗', "x") } else { told.to_owned() };
        assert!(stdout(&verbose).contains(&told), "{told}: {}", stdout(&verbose));
    }
    assert!(stdout(&verbose).contains("Not judged without the monitor's memory"), "{}", stdout(&verbose));
    let human = run(&["check", "--config.file", config, "bad.example"]).await;
    assert!(stdout(&human).contains("mx: mx2.bad.example"), "the line to publish: {}", stdout(&human));

    // Who asks for the records of a mail domain is told whose they are.
    let advice = run(&["tlsa", "suggest", "--config.file", config, "bad.example"]).await;
    assert_eq!((status(&advice), stdout(&advice)), (2, ""));
    let told = "bad.example is a domain; its mail hosts are mx.bad.example and mx2.bad.example: name one of them";
    assert!(stderr(&advice).contains(told), "{}", stderr(&advice));

    // The order: the arguments, then the list.
    let list = world.file("list.txt");
    std::fs::write(&list, "# ours\nbad.example\n\ngood.example # twice\n").unwrap();
    let listed = run(&["check", "--config.file", config, "--file", list.to_str().unwrap(), "--format", "json"]).await;
    assert_eq!(status(&listed), 1);
    assert_eq!(serde_json::from_slice::<Value>(&listed.stdout).unwrap().as_array().unwrap().len(), 2);
    let never = run(&["check", "--config.file", config, "--fail-on", "never", "bad.example"]).await;
    assert_eq!(status(&never), 0, "{never:?}");
}

#[tokio::test]
async fn fail_on_warning() {
    let world = MailWorld::start().await;
    let domain = world.domain("example.com").await;
    let testing = policy_text(&["mx.example.com"]).replace("604800", "3600");
    let host = "mta-sts.example.com";
    domain.https.serve(host, &world.pki.identity(&[host]), Answer::policy(&testing));
    let config = world.config_file("domains: []\n");
    let config = config.to_str().unwrap();
    for (fail_on, expected) in [("error", 0), ("warning", 1), ("never", 0)] {
        let output = run(&["check", "--config.file", config, "--fail-on", fail_on, "example.com"]).await;
        assert_eq!(status(&output), expected, "{fail_on}: {output:?}");
    }
}

#[tokio::test]
async fn wrong_usage_is_2_and_asks_nobody() {
    let world = MailWorld::start().await;
    let config = world.config_file("domains: []\n");
    let config = config.to_str().unwrap();
    let broken = world.file("broken.yml");
    std::fs::write(&broken, "probe: {intervall: 5m}\n").unwrap();
    for arguments in [
        &["check"][..],
        &["check", "not a name"],
        &["check", "example.com", "--format", "poem"],
        &["check", "example.com", "--fail-on", "luck"],
        &["check", "--explain", "no-such-code"],
        &["check", "--config.file", config, "--file", "/nonexistent/list"],
        &["check", "--config.file", "/nonexistent/smtptls-exporter.yml", "example.com"],
        &["check", "--config.file", broken.to_str().unwrap(), "example.com"],
        &["serve", "--config.file", config],
        &["frobnicate"],
    ] {
        let output = run(arguments).await;
        assert_eq!(status(&output), 2, "{arguments:?}: {output:?}");
        assert!(!stderr(&output).is_empty() && stdout(&output).is_empty(), "{arguments:?}: {output:?}");
    }
    assert_eq!(world.dns.queries(), []);
    let explained = run(&["check", "--explain", "mx-not-in-policy"]).await;
    assert_eq!(status(&explained), 0);
    assert!(stdout(&explained).contains("mx-not-in-policy"));
}

#[tokio::test]
async fn a_resolver_that_is_down_is_no_fault_of_the_domain() {
    let world = MailWorld::start().await;
    let _domain = world.domain("example.com").await;
    let mut settings = world.settings(&["example.com"]);
    settings.resolver.timeout = Duration::from_millis(500);
    // Bound for UDP, so that nobody else gets the port; nobody reads it.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let closed = {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap()
    };
    for server in [silent.local_addr().unwrap(), closed] {
        settings.resolver.servers = vec![ServerSetting::Address(server)];
        let assessment = check_one(&settings).await;
        assert_eq!(assessment.delivery, State::Unknown);
        assert!(assessment.own_side);
        assert_eq!(codes(&assessment), BTreeSet::from(["vantage-limited"]), "{server}: {:#?}", assessment.findings);
    }
    let text = world.config_text("").replace(&world.dns.address().to_string(), &closed.to_string());
    let config = world.file("down.yml");
    std::fs::write(&config, text).unwrap();
    for (format, word) in [("human", "NOT SEEN"), ("json", "\"delivery\": \"unknown\"")] {
        let output =
            run(&["check", "--config.file", config.to_str().unwrap(), "--format", format, "example.com"]).await;
        assert_eq!(status(&output), 3, "{output:?}");
        assert!(stdout(&output).contains(word), "{}", stdout(&output));
    }
}

#[tokio::test]
async fn a_name_that_fails_in_a_healthy_resolver_is_a_finding() {
    let world = MailWorld::start().await;
    let _domain = world.domain("example.com").await;
    world.dns.behave("example.com", Behaviour::ServFail);
    let assessment = check_one(&world.settings(&["example.com"])).await;
    assert!(codes(&assessment).contains("dns-lookup-failed"), "{:#?}", assessment.findings);
    assert!(!codes(&assessment).contains("vantage-limited") && !assessment.own_side);
}

#[tokio::test]
async fn port_25_shut_off_here_is_no_fault_of_the_mail_hosts() {
    let world = MailWorld::start().await;
    let mut deaf = Vec::new();
    let mut policies = Vec::new();
    for (domain, host) in [("one.example", "mx.one.example"), ("two.example", "mx.two.example")] {
        let address = world.address();
        deaf.push(world.deaf(address));
        world.mail_host(domain, host, address);
        policies.push(world.policy(domain, &[host]).await);
    }
    let mut settings = world.settings(&["one.example", "two.example"]);
    settings.probe.timeout = SHORT;
    for assessment in check(&settings).await {
        assert_eq!(assessment.delivery, State::Unknown);
        assert!(assessment.own_side);
        let smtp = |code: &&&str| code.starts_with("smtp-");
        assert_eq!(codes(&assessment).iter().find(smtp), None, "{:#?}", assessment.findings);
        assert!(codes(&assessment).contains("vantage-limited"));
    }
    // A canary that answers proves that the port is open: now it is the hosts' own silence.
    let canary = world.address();
    let _canary = world.good_smtp("canary.example", canary).await;
    world.dns.a("canary.example", &[&canary.to_string()]);
    settings.probe.canaries = vec![smtptls_exporter::terms::MxHost::parse("canary.example").unwrap()];
    for assessment in check(&settings).await {
        assert!(codes(&assessment).contains("smtp-timeout"), "{:#?}", assessment.findings);
        assert_eq!((assessment.delivery, assessment.own_side), (State::Blocked, false));
    }
}

#[tokio::test]
async fn an_address_family_without_a_route_is_no_fault_of_the_mail_host() {
    let world = MailWorld::start().await;
    let domain = world.domain("example.com").await;
    // No system opens a TCP connection to a group: the error is the one of a missing route.
    world.dns.aaaa("mx.example.com", &["ff0e::25"]);
    world.dns.aaaa("mta-sts.example.com", &["ff0e::25"]);
    let assessment = check_one(&world.settings(&["example.com"])).await;
    assert_eq!(problems(&assessment), BTreeSet::new(), "{:#?}", assessment.findings);
    assert_eq!((assessment.delivery, assessment.own_side), (State::Protected, false));
    assert!(codes(&assessment).contains("vantage-limited"));
    let unseen = assessment.unseen.join("\n");
    assert!(unseen.contains("no IPv6 route"), "{unseen}");
    assert_eq!(domain.smtp.connections(), 1);
}

#[tokio::test]
async fn private_addresses_are_not_dialled() {
    let world = MailWorld::start().await;
    let domain = world.domain("example.com").await;
    let mut settings = world.settings(&["example.com"]);
    settings.probe.allow_private_addresses = false;
    let assessment = check_one(&settings).await;
    let seen = problems(&assessment);
    assert!(seen.contains(&("mx-address-private", "mx.example.com".to_owned())), "{seen:?}");
    assert!(seen.contains(&("sts-policy-address-private", "mta-sts.example.com".to_owned())), "{seen:?}");
    assert_eq!((domain.smtp.connections(), domain.https.connections()), (0, 0));
}

#[tokio::test]
async fn a_mail_host_of_several_domains_is_asked_once() {
    let world = MailWorld::start().await;
    let address = world.address();
    let shared = world.good_smtp("mx.provider.example", address).await;
    let domains = ["one.example", "two.example", "three.example"];
    let mut policies = Vec::new();
    for domain in domains {
        world.mail_host(domain, "mx.provider.example", address);
        policies.push(world.policy(domain, &["mx.provider.example"]).await);
    }
    for assessment in check(&world.settings(&domains)).await {
        assert_eq!(assessment.delivery, State::Protected, "{:#?}", assessment.findings);
    }
    assert_eq!(shared.connections(), 1);
    assert_eq!(world.dns.count("mx.provider.example"), 2, "A and AAAA");
}

#[tokio::test]
async fn each_address_is_surveyed_unless_it_is_to_be_quick() {
    let world = MailWorld::start().await;
    let domain = world.domain("example.com").await;
    let config = world.config_file("");
    let text = std::fs::read_to_string(&config).unwrap().replace("legacy_tls: false", "legacy_tls: true");
    std::fs::write(&config, text).unwrap();
    let config = config.to_str().unwrap();
    let mut before = 0;
    for (more, connections) in [(&["--quick"][..], 1), (&[], 1 + 4)] {
        let output = run(&[&["check", "--config.file", config, "example.com"], more].concat()).await;
        assert_eq!(status(&output), 0, "{output:?}");
        assert_eq!(domain.smtp.connections() - before, connections, "{more:?}");
        before = domain.smtp.connections();
    }
    assert!(!domain.smtp.commands().iter().any(|command| command.starts_with("MAIL")));
    // Where no handshake was reached there is nothing to survey.
    let mut script = SmtpScript::good(&world.pki.identity(&["mx.example.com"]));
    script.ehlo = Act::say("250-mx\r\n250 SIZE\r\n");
    domain.smtp.set_script(script);
    let mut settings = world.settings(&["example.com"]);
    settings.probe.legacy_tls = true;
    check_one(&settings).await;
    assert_eq!(domain.smtp.connections() - before, 1);
}

/// What a bad peer does to its domain.
struct Bad {
    name: &'static str,
    expected: &'static str,
    /// It is known only when the time is over.
    hangs: bool,
}

const GOOD: [&str; 5] = ["good1.example", "good2.example", "good3.example", "good4.example", "good5.example"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_peers_end_in_their_finding_and_keep_nobody_waiting() {
    let world = MailWorld::start().await;
    let mut bad = Vec::new();
    let mut peers = Vec::new();
    let mut mail_hosts: Vec<(&'static str, &'static str, bool, SmtpScript)> = Vec::new();
    let mut mail_host = |name: &'static str, expected, hangs, change: fn(&mut SmtpScript)| {
        let mut script = SmtpScript::good(&world.pki.identity(&[&format!("mx.{name}")]));
        change(&mut script);
        mail_hosts.push((name, expected, hangs, script));
    };
    mail_host("mx-drips.example", "smtp-timeout", true, |script| script.banner = Act::Drip(b"220-".to_vec()));
    mail_host("mx-floods-a-line.example", "smtp-protocol-error", false, |script| script.banner = Act::FloodLine);
    mail_host("mx-floods-lines.example", "smtp-protocol-error", false, |script| script.ehlo = Act::FloodLines);
    mail_host("mx-hangs-at-the-banner.example", "smtp-timeout", true, |script| script.banner = Act::Hang);
    mail_host("mx-hangs-at-ehlo.example", "smtp-timeout", true, |script| script.ehlo = Act::Hang);
    mail_host("mx-hangs-at-starttls.example", "smtp-timeout", true, |script| script.starttls = Act::Hang);
    mail_host("mx-hangs-in-tls.example", "smtp-timeout", true, |script| script.tls = TlsAct::Instead(Act::Hang));
    mail_host("mx-hangs-inside-tls.example", "smtp-timeout", true, |script| script.ehlo_tls = Act::Hang);
    mail_host("mx-closes.example", "smtp-protocol-error", false, |script| script.ehlo = Act::Close);
    mail_host("mx-resets.example", "smtp-protocol-error", false, |script| script.starttls = Act::Reset);
    mail_host("mx-speaks-before-tls.example", "starttls-injection", false, |script| {
        script.starttls = Act::say("220 go ahead\r\n250 injected\r\n");
    });
    for (name, expected, hangs, script) in mail_hosts {
        let host: &'static str = format!("mx.{name}").leak();
        let address = world.address();
        world.mail_host(name, host, address);
        peers.push((Some(world.smtp(address, script).await), world.policy(name, &[host]).await));
        bad.push(Bad { name, expected, hangs });
    }
    let plain = || head("200 OK", &[("Content-Type", "text/plain")]);
    for (name, expected, hangs, at_accept, answer) in [
        ("policy-hangs.example", "sts-policy-timeout", true, AtAccept::Hang, None),
        ("policy-speaks-no-tls.example", "sts-policy-tls-failed", false, AtAccept::ClearText, None),
        ("policy-drips.example", "sts-policy-timeout", true, AtAccept::Tls, Some(Answer::Drip(plain()))),
        (
            "policy-never-ends.example",
            "sts-policy-timeout",
            true,
            AtAccept::Tls,
            Some(Answer::Hang([plain(), b"Content-Length: 70\r\n\r\nversion: STSv1\n".to_vec()].concat())),
        ),
        (
            "policy-floods.example",
            "sts-policy-too-large",
            false,
            AtAccept::Tls,
            Some(Answer::Flood([plain(), b"\r\n".to_vec()].concat(), b"mx: mx.example\n".repeat(300))),
        ),
    ] {
        let domain = world.domain(name).await;
        domain.https.at_accept(at_accept);
        if let Some(answer) = answer {
            let host = format!("mta-sts.{name}");
            domain.https.serve(&host, &world.pki.identity(&[&host]), answer);
        }
        peers.push((Some(domain.smtp), domain.https));
        bad.push(Bad { name, expected, hangs });
    }
    let silent = world.domain("dns-is-silent.example").await;
    world.dns.behave(silent.name, Behaviour::Silent);
    bad.push(Bad { name: silent.name, expected: "dns-lookup-failed", hangs: true });
    let deaf_at = world.address();
    let _deaf = world.deaf(deaf_at);
    world.mail_host("mx-is-deaf.example", "mx.mx-is-deaf.example", deaf_at);
    peers.push((None, world.policy("mx-is-deaf.example", &["mx.mx-is-deaf.example"]).await));
    bad.push(Bad { name: "mx-is-deaf.example", expected: "smtp-timeout", hangs: true });
    let mut good = Vec::new();
    for name in GOOD {
        good.push(world.domain(name).await);
    }

    // The bad ones come first: they have taken their places when the good ones begin.
    let names: Vec<&str> = bad.iter().map(|bad| bad.name).chain(GOOD).collect();
    let mut settings = world.settings(&names);
    settings.probe.timeout = SHORT;
    settings.resolver.timeout = SHORT;
    let edges = Edges::open(&settings).await.unwrap();
    let ended = Mutex::new(Vec::new());
    let started = Instant::now();
    let assessments =
        monitor::check(&settings, &edges, &settings.domains, |domain| ended.lock().unwrap().push(domain.to_string()))
            .await;
    // A probe is bounded, and those of one domain follow upon each other: lookups, then the host, then its address.
    assert!(started.elapsed() < SHORT * 6, "{:?}", started.elapsed());

    let ended = ended.into_inner().unwrap();
    let place = |name: &str| ended.iter().position(|ended| ended == name).unwrap();
    let last_good = GOOD.map(place).into_iter().max().unwrap();
    for bad in bad.iter().filter(|bad| bad.hangs) {
        assert!(place(bad.name) > last_good, "{} came before a healthy one: {ended:?}", bad.name);
    }
    for (bad, assessment) in bad.iter().zip(&assessments) {
        assert_eq!(bad.name, assessment.domain.as_str());
        assert!(codes(assessment).contains(bad.expected), "{}: {:#?}", bad.name, assessment.findings);
        assert!(!assessment.own_side, "{}: {:?}", bad.name, assessment.unseen);
        let fetches = assessment.policy.host.iter().flat_map(|host| &host.fetches);
        for response in fetches.filter_map(|fetch| fetch.response.as_ref()) {
            assert!(response.body.as_bytes().len() <= MAX_BODY);
        }
    }
    for assessment in &assessments[bad.len()..] {
        assert_eq!(assessment.delivery, State::Protected, "{:#?}", assessment.findings);
        assert_eq!(problems(assessment), BTreeSet::new());
    }
}

#[tokio::test]
async fn the_json_has_every_key_of_the_interface() {
    let world = MailWorld::start().await;
    let _domain = world.domain("example.com").await;
    let second = world.address();
    let _second = world.good_smtp("mx2.example.com", second).await;
    world.dns.mx("example.com", &[(10, "mx.example.com"), (20, "mx2.example.com")]);
    world.dns.a("mx2.example.com", &[&second.to_string()]);
    let config = world.config_file("");
    let output = run(&["check", "--config.file", config.to_str().unwrap(), "--format", "json", "example.com"]).await;
    assert_eq!(status(&output), 1, "{output:?}");
    let example: Value = serde_json::from_str(include_str!("../data/check_json_shape.json")).unwrap();
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut unknown = BTreeSet::new();
    compare("", &example, &shown, &mut unknown);
    let expected = [
        "findings.address",
        "findings.since",
        "mx.addresses.dane",
        "mx.addresses.legacy_tls",
        "mx.tlsa.records",
        "sts.policy.addresses.error",
    ];
    assert_eq!(unknown.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}

/// Every key of the example is there with a value of the same type, or null; the nulls are gathered.
fn compare(path: &str, example: &Value, shown: &Value, unknown: &mut BTreeSet<String>) {
    match (example, shown) {
        (_, Value::Null) => {
            unknown.insert(path.to_owned());
        }
        (Value::Object(example), Value::Object(shown)) => {
            for (key, example) in example.iter().filter(|(key, _)| *key != "...") {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                let shown = shown.get(key).unwrap_or_else(|| panic!("no {path}"));
                compare(&path, example, shown, unknown);
            }
        }
        (Value::Array(example), Value::Array(shown)) => {
            for shown in shown {
                if let Some(example) = example.first() {
                    compare(path, example, shown, unknown);
                }
            }
        }
        (Value::String(_), Value::String(_))
        | (Value::Number(_), Value::Number(_))
        | (Value::Bool(_), Value::Bool(_))
        | (Value::Null, _) => {}
        _ => panic!("{path}: {shown} where {example} is expected"),
    }
}

#[tokio::test]
async fn a_mail_host_beside_is_not_asked() {
    let world = MailWorld::start().await;
    let domain = world.domain("example.com").await;
    let address: Ipv4Addr = domain.smtp.ip().to_string().parse().unwrap();
    let beside = world.good_smtp("mx.example.com", MailWorld::beside(address, 1)).await;
    check_one(&world.settings(&["example.com"])).await;
    assert_eq!(beside.connections(), 0);
}
