//! The demonstration: every domain is found to be what its row claims, by the monitor and by `check`, and events do what they say.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value;
use smtptls_exporter::{
    config::{self, Settings},
    demo::{self, Claim, Demo, DemoError},
    monitor::{DomainState, Monitor, Snapshot, Telemetry, Unrendered},
    terms::{Octets, PolicyDomain},
    verdict::{Code, State},
};
use tokio::time::timeout;

use super::{check::run, serve::PATIENCE};

/// Within this time the world stands, with its past: it takes some seconds, and more where others keep the machine busy.
const STARTS_WITHIN: Duration = Duration::from_secs(60);
/// … and every domain is judged.
const JUDGED_WITHIN: Duration = Duration::from_secs(30);

fn settings(demo: &Demo) -> Settings {
    let loaded = config::load(&demo.config_file()).unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    loaded.settings
}

async fn monitor(demo: &Demo, settings: Settings) -> Monitor {
    Monitor::start(Arc::new(settings), Telemetry::new().unwrap(), Some(&demo.state_dir()), Arc::new(Unrendered))
        .await
        .unwrap()
}

fn state(snapshot: &Snapshot, domain: &str) -> Option<Arc<DomainState>> {
    snapshot.state(&PolicyDomain::parse(domain).unwrap())
}

/// What was found of a domain, in the words of its claim.
fn found(snapshot: &Snapshot, claim: &Claim) -> Option<Claim> {
    let assessment = state(snapshot, claim.domain)?.assessment.clone()?;
    let findings: BTreeSet<Code> = assessment.findings.iter().map(|finding| finding.code).collect();
    assert_eq!(findings.len(), assessment.findings.len(), "no finding twice in {}", claim.domain);
    Some(Claim { delivery: assessment.delivery, findings, ..claim.clone() })
}

/// Waits until the monitor finds all that is claimed, and nothing else.
async fn until_true(monitor: &Monitor, claims: &[Claim], within: Duration) {
    let mut snapshots = monitor.snapshots();
    let waited = timeout(within, async {
        loop {
            let snapshot = Arc::clone(&snapshots.borrow_and_update());
            if claims.iter().all(|claim| found(&snapshot, claim).as_ref() == Some(claim)) {
                return;
            }
            snapshots.changed().await.unwrap();
        }
    });
    if waited.await.is_err() {
        let snapshot = Arc::clone(&monitor.snapshots().borrow());
        let wrong: Vec<_> = claims.iter().map(|claim| (claim, found(&snapshot, claim))).collect();
        let wrong: Vec<_> = wrong.iter().filter(|(claim, found)| found.as_ref() != Some(*claim)).collect();
        panic!("not within {within:?}: {wrong:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_domain_is_as_its_row_says() {
    let began = Instant::now();
    let demo = Demo::start(None, 120).await.unwrap();
    let started = began.elapsed();
    assert!(started < STARTS_WITHIN, "{started:?}");
    let claims = demo.claims();
    let missing: Vec<State> =
        State::ALL.into_iter().filter(|state| claims.iter().all(|claim| claim.delivery != *state)).collect();
    assert!(missing.is_empty(), "no domain shows {missing:?}");
    let monitor = monitor(&demo, settings(&demo)).await;
    until_true(&monitor, &claims, JUDGED_WITHIN).await;
    let judged = began.elapsed();
    eprintln!("the world stands after {started:?}, and all is judged after {judged:?}");

    let snapshot = Arc::clone(&monitor.snapshots().borrow());
    hostile_texts_arrive(&snapshot);
    the_past_is_there(&snapshot);
    reports_are_counted(&monitor).await;
    let many = |kind: &str, delivery: State, findings: &[Code]| Claim {
        domain: Box::leak(format!("{kind}.many.test").into_boxed_str()),
        fault: "",
        delivery,
        findings: findings.iter().copied().collect(),
    };
    let of_many = [
        many("d00001", State::Protected, &[]),
        many("d00003", State::Unprotected, &[Code::StsRecordMissing]),
        many("d00007", State::Unprotected, &[Code::StsPolicyModeTesting]),
        many("d00011", State::Partial, &[Code::MxNotInPolicy]),
        many("d00120", State::Protected, &[]),
    ];
    until_true(&monitor, &of_many, JUDGED_WITHIN).await;
    check_agrees(&demo, &claims).await;
    monitor.stop().await;
}

/// Else nothing would be shown by the pages that show it harmlessly.
fn hostile_texts_arrive(snapshot: &Snapshot) {
    const SCRIPT: &str = "<script>alert(1)</script>";
    let hostile = state(snapshot, "hostile.test").unwrap();
    let observation = hostile.observation.as_ref().unwrap();
    let seen = |texts: &[&[u8]]| texts.iter().any(|text| String::from_utf8_lossy(text).contains(SCRIPT));
    let records: Vec<&[u8]> = observation.sts_record.records().iter().flatten().map(Octets::as_bytes).collect();
    assert!(seen(&records), "TXT");
    let bodies = observation.policy.fetches.iter().filter_map(|fetch| fetch.response.as_ref());
    assert!(seen(&bodies.map(|response| response.body.as_bytes()).collect::<Vec<_>>()), "policy");
    assert!(format!("{:?}", observation.mx).contains(SCRIPT), "MX");
    let host = snapshot.hosts.get("mx.hostile.test").unwrap();
    let text = format!("{host:?}");
    assert!(text.matches(SCRIPT).count() >= 2, "banner and certificate: {text}");
    assert!(text.contains("onerror"), "EHLO and certificate");
}

/// Two months of it, as the definitions have it.
fn the_past_is_there(snapshot: &Snapshot) {
    let assessment = |domain: &str| Arc::clone(state(snapshot, domain).unwrap().assessment.as_ref().unwrap());
    let ready = assessment("ready.test").history.enforce.clone().unwrap();
    assert!(ready.ready && ready.confident, "{ready:#?}");
    let stale = assessment("stale.test");
    assert_eq!(stale.history.id_stale, Some(true));
    let good = assessment("good.test");
    assert_eq!((good.history.id_changes.total, good.history.id_stale), (1, Some(false)));
}

async fn reports_are_counted(monitor: &Monitor) {
    let mut snapshots = monitor.snapshots();
    let counted = |snapshot: &Snapshot| {
        let intake = snapshot.intake.as_ref().unwrap();
        assert_eq!(intake.refused.values().sum::<u64>(), 0, "{intake:?}");
        intake.reports.values().sum::<u64>()
    };
    // Three reporters about sixteen domains for more than a month, and the hostile one, which came in by the folder.
    let waited = timeout(PATIENCE, async {
        while counted(&snapshots.borrow_and_update().clone()) < 3 * 16 * 36 {
            snapshots.changed().await.unwrap();
        }
    });
    assert!(waited.await.is_ok(), "{}", counted(&monitor.snapshots().borrow().clone()));
    let store = monitor.store().unwrap().borrow().clone().unwrap();
    let wanted = smtptls_exporter::store::ReportsWanted {
        domain: PolicyDomain::parse("hostile.test").unwrap(),
        since: None,
        failing: true,
        before: None,
        most: 10,
    };
    let hostile = store.reports(&wanted).await.unwrap();
    let detail = &hostile[0].report.policies[0].failures[0];
    assert!(detail.reason.as_ref().unwrap().contains("<script>"), "{hostile:#?}");
}

/// With the state the program says the same from another terminal.
async fn check_agrees(demo: &Demo, claims: &[Claim]) {
    let (config, state) = (demo.config_file(), demo.state_dir());
    let mut arguments =
        vec!["check", "--format", "json", "--fail-on", "never", "--config.file", config.to_str().unwrap()];
    arguments.extend(["--state.dir", state.to_str().unwrap()]);
    arguments.extend(claims.iter().map(|claim| claim.domain));
    let output = run(&arguments).await;
    let all: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    assert_eq!(all.len(), claims.len());
    for (one, claim) in all.iter().zip(claims) {
        let codes: BTreeSet<Code> = one["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|finding| finding["code"].as_str().unwrap().parse().unwrap())
            .collect();
        assert_eq!(one["delivery"].as_str().unwrap(), claim.delivery.to_string(), "{}", claim.domain);
        assert_eq!(codes, claim.findings, "{}", claim.domain);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_seen() {
    let demo = Demo::start(None, 0).await.unwrap();
    let mut quick = settings(&demo);
    // A policy without a new id counts after two of them.
    quick.probe.interval = Duration::from_secs(2);
    quick.probe.mx_interval = Duration::from_secs(2);
    quick.probe.retry_interval = Duration::from_secs(1);
    quick.thresholds.publication_grace = Duration::ZERO;
    let monitor = monitor(&demo, quick).await;
    // The others are as the other test has them; `ready.test` alone is not, as it is to be seen again within two intervals.
    let concerned = ["expiring.test", "hasty.test", "restart.test"];
    let claims: Vec<Claim> = demo.claims().into_iter().filter(|claim| concerned.contains(&claim.domain)).collect();
    assert_eq!(claims.len(), concerned.len());
    until_true(&monitor, &claims, JUDGED_WITHIN).await;
    for rounds in [&[0, 1, 2][..], &[3, 4]] {
        let claims: Vec<Claim> = rounds.iter().map(|place| demo.happen(*place).unwrap().unwrap()).collect();
        until_true(&monitor, &claims, PATIENCE).await;
    }
    assert_eq!(demo.happen(5).unwrap(), None, "these are all");
    assert_eq!(demo::events().count(), 5);
    monitor.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_with_something_in_it_is_left_alone() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("precious");
    fs::write(&file, "mine").unwrap();
    let error = Demo::start(Some(folder.path()), 0).await.unwrap_err();
    assert!(matches!(error, DemoError::Taken(_)), "{error}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// From the first line to the end by Ctrl-C, which leaves nothing behind.
#[tokio::test(flavor = "multi_thread")]
async fn the_program_says_what_to_do_and_cleans_up() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_smtptls-exporter"))
        .args(["demo", "--web.listen-address", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let told = tokio::task::spawn_blocking(move || {
        let mut told = Vec::new();
        for line in lines {
            let line = line.unwrap();
            let last = line.starts_with("Ctrl-C");
            told.push(line);
            if last {
                break;
            }
        }
        told
    });
    let told = timeout(PATIENCE, told).await.unwrap().unwrap();
    let word = |before: &str| {
        let line = told.iter().find(|line| line.contains(before)).unwrap_or_else(|| panic!("{before}: {told:#?}"));
        line.split(before).nth(1).unwrap().trim().to_owned()
    };
    let config = word("--config.file ");
    assert!(Path::new(&config).is_file());
    let address = word("The metrics").strip_prefix("http://").unwrap().strip_suffix("/metrics").unwrap().to_owned();
    assert!(tokio::net::TcpStream::connect(&address).await.is_ok());

    // The same port again: said before anything is made.
    let again = run(&["demo", "--web.listen-address", &address]).await;
    assert_eq!(again.status.code(), Some(2), "{again:?}");
    let message = String::from_utf8_lossy(&again.stderr);
    assert!(message.contains(&address) && again.stdout.is_empty(), "{again:?}");

    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output());
    let output = timeout(PATIENCE, ended).await.unwrap().unwrap().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!Path::new(&config).parent().unwrap().exists(), "{config} is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_for_it_is_refused() {
    for (arguments, words) in [
        (&["demo", "--config.file", "a.yml"][..], "--demo.dir"),
        (&["demo", "--state.dir", "/tmp"], "--demo.dir"),
        (&["demo", "--domains", "100001"], "100000"),
        (&["demo", "--domains", "some"], "--domains"),
    ] {
        let output = run(arguments).await;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(words), "{arguments:?}: {output:?}");
    }
}

/// docs/demo.md tells of every domain and every event.
#[test]
fn the_page_lists_the_world() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/demo.md");
    let page = fs::read_to_string(&path).unwrap();
    let mut made = page.clone();
    let domains = demo::claims().into_iter().map(|claim| {
        let codes: Vec<String> = claim.findings.iter().map(|code| format!("`{code}`")).collect();
        format!("| `{}` | {} | {} | {} |\n", claim.domain, claim.fault, claim.delivery, codes.join(", "))
    });
    let events = demo::events().map(|(after, told)| format!("| {} s | {told} |\n", after.as_secs()));
    for (name, head, rows) in [
        (
            "domains",
            "| domain | what is wrong | delivery | findings |\n|---|---|---|---|\n",
            domains.collect::<String>(),
        ),
        ("events", "| after | |\n|---|---|\n", events.collect()),
    ] {
        let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
        let (before, rest) = made.split_once(&begin).unwrap();
        let (_, after) = rest.split_once(&end).unwrap();
        made = format!("{before}{begin}{head}{rows}{end}{after}");
    }
    if std::env::var_os("SMTPTLS_BLESS").is_some() {
        fs::write(&path, &made).unwrap();
        return;
    }
    assert!(page == made, "docs/demo.md is not what the code says; write it with SMTPTLS_BLESS=1");
}
