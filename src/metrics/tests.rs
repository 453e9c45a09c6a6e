//! What the metrics promise, checked on a small world.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use super::{Blocks, Exposition, Extent, Family, Kind, Level, documentation, families, fixture};
use crate::{
    facts::{Phase, ProtocolFault, SmtpOutcome, Vantage},
    monitor::{DnsCounters, HostState, InventorySource, ProbeKind, Seat, Shards, Snapshot, Telemetry},
    protocol::tls_rpt::Quirk,
    verdict::{Assessment, Code, HostDane, PathAssessment, Reach, Severity, StarttlsState, Subject},
};

mod scrapes;

fn telemetry() -> Telemetry {
    let telemetry = Telemetry::new().unwrap();
    telemetry.set_shards(&Shards::alone(Seat { index: 0, total: 1 }));
    telemetry.lease_renewed(fixture::NOW);
    telemetry.probe_started(ProbeKind::Domain).ended(Duration::from_millis(800), None);
    telemetry.schedule_lag(Duration::from_secs(2));
    telemetry.config_reloaded(true, fixture::NOW);
    telemetry.web_config_loaded(true, fixture::NOW);
    telemetry.set_inventory(vec![InventorySource {
        name: "/etc/smtptls/domains.d/*.yml".to_owned(),
        up: Some(true),
        success_at: Some(fixture::NOW),
        domains: 2,
        skipped: 1,
    }]);
    for kind in [ProbeKind::Domain, ProbeKind::Mx, ProbeKind::MxAddress] {
        telemetry.set_targets(kind, 4);
        telemetry.set_interval(kind, Duration::from_secs(600));
    }
    telemetry.set_dns_source(Box::new(|| DnsCounters {
        queries: vec![("TXT", 8), ("DNSKEY", 1)],
        failures: vec![("timeout", 2)],
        cache_hits: 3,
    }));
    telemetry
}

fn scrape(snapshot: &Snapshot, extent: impl Into<Extent>) -> String {
    let blocks = Blocks::new(extent);
    let exposition = Exposition::new(Arc::clone(&blocks));
    exposition.update(Arc::new(fixture::rendered(snapshot, &*blocks)));
    String::from_utf8(exposition.body(&telemetry()).to_vec()).unwrap()
}

/// The same with the samples of each family in order: subjects come in the order of their places.
fn in_order(text: &str) -> String {
    let mut families: Vec<Vec<&str>> = Vec::new();
    for line in text.lines() {
        if line.starts_with("# HELP ") {
            families.push(Vec::new());
        }
        families.last_mut().unwrap().push(line);
    }
    for lines in &mut families {
        // Of one subject the order stays: that of buckets, for example.
        lines[2..].sort_by_key(|line| subject(line));
    }
    families.concat().join("\n")
}

fn subject(line: &str) -> &str {
    let first = line.split_once('{').and_then(|(_, rest)| rest.split_once("=\""));
    let first = first.filter(|(label, _)| ["domain", "mx"].contains(label));
    first.map_or("", |(_, rest)| rest.split_once('"').map_or("", |(name, _)| name))
}

/// A sample line: name, label names, and all.
struct Sample<'a> {
    name: &'a str,
    labels: Vec<(&'a str, String)>,
    value: f64,
}

/// Reads a sample as the format says: this is no writer turned round, so it finds what the writer gets wrong.
fn read(line: &str) -> Sample<'_> {
    let end = line.find(['{', ' ']).unwrap();
    let (name, mut rest) = line.split_at(end);
    let mut labels = Vec::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        while !rest.starts_with('}') {
            let (label, tail) = rest.split_once("=\"").unwrap();
            let mut value = String::new();
            let mut characters = tail.char_indices();
            let end = loop {
                match characters.next().unwrap() {
                    (at, '"') => break at,
                    (_, '\\') => value.push(match characters.next().unwrap().1 {
                        'n' => '\n',
                        other => other,
                    }),
                    (_, other) => value.push(other),
                }
            };
            labels.push((label, value));
            rest = tail[end + 1..].trim_start_matches(',');
        }
        rest = &rest[1..];
    }
    Sample { name, labels, value: rest.trim().parse().unwrap() }
}

fn find(text: &str, series: &str) -> Option<f64> {
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let (name, value) = line.rsplit_once(' ')?;
        (name == series).then(|| value.parse().unwrap())
    })
}

#[test]
fn the_text_is_as_reviewed() {
    let text = in_order(&scrape(&fixture::snapshot(), Level::Full));
    // What the process says of itself, and how long things take, differs from run to run.
    let stable: Vec<_> = text
        .lines()
        .filter(|line| !line.contains("process_") && !line.contains("render_duration") && !line.contains("build_info"))
        .collect();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/metrics/golden.txt");
    compare(path, &(stable.join("\n") + "\n"));
}

#[test]
fn the_documentation_is_that_of_the_table() {
    compare(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md"), &documentation());
}

fn compare(path: &str, text: &str) {
    if std::env::var_os("SMTPTLS_BLESS").is_some() {
        std::fs::create_dir_all(std::path::Path::new(path).parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let stored = std::fs::read_to_string(path).unwrap_or_default();
    for (number, (stored, now)) in stored.lines().zip(text.lines()).enumerate() {
        assert_eq!(stored, now, "line {} of {path}; SMTPTLS_BLESS=1 writes it anew", number + 1);
    }
    assert_eq!(stored.lines().count(), text.lines().count(), "{path} ends elsewhere; SMTPTLS_BLESS=1 writes it anew");
}

#[test]
fn the_table_has_each_family_once_and_in_order_of_the_conventions() {
    let mut names = BTreeSet::new();
    for Family { name, kind, labels, help, absent, .. } in families() {
        assert!(names.insert(name), "{name} stands twice");
        assert!(name.starts_with("smtptls_") || name.starts_with("process_"), "{name}");
        assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
        assert!(help.ends_with('.') && !absent.is_empty(), "{name}: the help is a sentence");
        let distinct: BTreeSet<_> = labels.iter().collect();
        assert_eq!(distinct.len(), labels.len(), "{name}");
        // A bar would break the table of the documentation.
        assert!(!help.contains('|') && !absent.contains('|'), "{name}");
    }
}

#[test]
fn every_sample_is_as_the_table_says_and_every_family_has_one() {
    let table: BTreeMap<_, _> = families().map(|family| (family.name, family)).collect();
    let text = scrape(&fixture::snapshot(), Level::Full);
    let mut current: Option<&Family> = None;
    let mut headers = BTreeSet::new();
    let mut series = BTreeSet::new();
    let mut sampled = BTreeSet::new();
    for line in text.lines() {
        if let Some(header) = line.strip_prefix("# HELP ") {
            let (name, help) = header.split_once(' ').unwrap();
            assert!(headers.insert(name), "{name} begins twice");
            let family = table.get(name).unwrap_or_else(|| panic!("{name} is not in the table"));
            assert_eq!(help, family.help);
            current = Some(family);
        } else if let Some(header) = line.strip_prefix("# TYPE ") {
            let family = current.unwrap();
            assert_eq!(header, format!("{} {}", family.name, family.kind.as_str()));
        } else {
            let family = current.unwrap();
            let sample = read(line);
            let suffix =
                sample.name.strip_prefix(family.name).unwrap_or_else(|| panic!("{line} under {}", family.name));
            match family.kind {
                Kind::Histogram => assert!(["_bucket", "_sum", "_count"].contains(&suffix), "{line}"),
                Kind::Gauge | Kind::Counter => assert_eq!(suffix, "", "{line}"),
            }
            let mut expected = family.labels.to_vec();
            if suffix == "_bucket" {
                expected.push("le");
            }
            assert_eq!(sample.labels.iter().map(|(label, _)| *label).collect::<Vec<_>>(), expected, "{line}");
            assert!(series.insert((sample.name, sample.labels)), "{line} stands twice");
            assert!(sample.value.is_finite(), "{line}");
            sampled.insert(family.name);
        }
    }
    let missing: Vec<_> = table.keys().filter(|name| !sampled.contains(*name)).collect();
    let gone: Vec<&&&str> =
        missing.iter().filter(|name| cfg!(target_os = "linux") || !name.starts_with("process_")).collect();
    assert!(gone.is_empty(), "listed, and nothing emits it: {gone:?}");
}

#[test]
fn each_level_holds_the_ones_before_it_and_no_more() {
    let lines = |level| -> BTreeSet<String> {
        let text = scrape(&fixture::snapshot(), level);
        text.lines().filter(|line| line.starts_with("smtptls_")).map(|line| read(line).name.to_owned()).collect()
    };
    let (summary, normal, full) = (lines(Level::Summary), lines(Level::Normal), lines(Level::Full));
    assert!(summary.is_subset(&normal) && normal.is_subset(&full));
    assert!(!summary.contains("smtptls_finding") && normal.contains("smtptls_finding"));
    assert!(!normal.contains("smtptls_mx_preference") && full.contains("smtptls_mx_preference"));

    let text = scrape(&fixture::snapshot(), Level::Summary);
    assert_eq!(find(&text, "smtptls_domain_findings{domain=\"example.com\",severity=\"info\"}"), None);
    assert_eq!(find(&text, "smtptls_domain_findings{domain=\"example.com\",severity=\"error\"}"), Some(0.0));
    // What `expect` asks for comes on top: whoever writes it chooses how much.
    let counted = |line: &&str| !line.starts_with("smtptls_domain_expectation_met");
    let about = |domain: &str| {
        text.lines().filter(counted).filter(|line| line.contains(&format!("domain=\"{domain}\""))).count()
    };
    assert!(about("example.com") <= 15, "a domain has {} series at the lowest level", about("example.com"));
}

#[test]
fn what_could_not_be_seen_is_absent() {
    let text = scrape(&fixture::snapshot(), Level::Full);
    let about: Vec<_> = text.lines().filter(|line| line.contains("domain=\"dark.example\"")).map(read).collect();
    let names: BTreeSet<_> = about.iter().map(|sample| sample.name).collect();
    for absent in [
        "smtptls_domain_check_passed",
        "smtptls_sts_record_present",
        "smtptls_sts_policy_fetch_success",
        "smtptls_sts_policy_http_status_code",
        "smtptls_mx_records",
        "smtptls_tlsrpt_record_present",
        "smtptls_tlsrpt_record_destinations",
        "smtptls_dnssec_secure",
        "smtptls_domain_last_success_timestamp_seconds",
    ] {
        assert!(!names.contains(absent), "{absent}");
    }
    assert_eq!(find(&text, "smtptls_domain_delivery{domain=\"dark.example\",state=\"unknown\"}"), Some(1.0));
    let new: Vec<_> =
        text.lines().filter(|line| line.contains("domain=\"new.example\"")).map(|l| read(l).name).collect();
    assert_eq!(new, ["smtptls_domain_info", "smtptls_domain_probe_interval_seconds"], "before the first probe");
}

#[test]
fn a_check_is_0_exactly_while_an_error_of_its_group_is_active() {
    let text = scrape(&fixture::snapshot(), Level::Normal);
    let passed = |domain: &str, check: &str| {
        find(&text, &format!("smtptls_domain_check_passed{{domain=\"{domain}\",check=\"{check}\"}}"))
    };
    assert_eq!(passed("broken.example", "record"), Some(0.0));
    assert_eq!(passed("broken.example", "policy"), Some(0.0));
    assert_eq!(passed("broken.example", "mx"), Some(0.0));
    assert_eq!(passed("broken.example", "starttls"), Some(1.0), "a warning is no error");
    assert_eq!(passed("broken.example", "tlsrpt"), Some(1.0), "an accepted error is not active");
    assert_eq!(passed("broken.example", "dns"), None, "a lookup failed here, and nothing is known");
    for check in ["dns", "record", "policy", "mx", "starttls", "certificate", "tlsrpt"] {
        assert_eq!(passed("example.com", check), Some(1.0), "{check}");
    }
    let mut bare = fixture::healthy();
    bare.sts_record.present = Some(false);
    bare.policy.deployed = false;
    bare.mx.clear();
    let snapshot = only_domain(bare);
    let text = scrape(&snapshot, Level::Normal);
    let checks: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("smtptls_domain_check_passed"))
        .map(|line| read(line).labels[1].1.clone())
        .collect();
    assert_eq!(checks, ["dns", "mx", "tlsrpt"]);

    let mut unseen = fixture::dark("dark.example");
    let subject = Subject::Domain(unseen.domain.clone());
    unseen.findings = vec![fixture::finding(Code::StsPolicyInvalid, Severity::Error, subject)];
    let text = scrape(&only_domain(unseen), Level::Normal);
    let checks: Vec<_> = text.lines().filter(|line| line.starts_with("smtptls_domain_check_passed")).collect();
    assert_eq!(checks, ["smtptls_domain_check_passed{domain=\"dark.example\",check=\"policy\"} 0"]);
}

#[test]
fn the_past_is_absent_until_it_is_known() {
    let text = scrape(&fixture::snapshot(), Level::Normal);
    let of = |domain: &str, name: &str| find(&text, &format!("smtptls_sts_{name}{{domain=\"{domain}\"}}"));
    let condition = |name: &str| {
        find(&text, &format!("smtptls_sts_enforce_condition{{domain=\"testing.example\",condition=\"{name}\"}}"))
    };
    // Counters are born at 0, with the first observation; when something changed is not known until it did.
    for name in ["record_id", "policy"] {
        let (total, at) = (format!("{name}_changes_total"), format!("{name}_change_timestamp_seconds"));
        assert_eq!((of("dark.example", &total), of("dark.example", &at)), (Some(0.0), None), "{name}");
        assert_eq!(of("new.example", &total), None, "until the history is read, 0 would be a fall");
        assert!(of("example.com", &total) > Some(0.0) && of("example.com", &at).is_some(), "{name}");
    }
    let gauges = ["policy_cache_expiry", "policy_protected_until", "policy_safe_to_remove", "policy_mode_since"];
    for name in gauges.map(|name| format!("{name}_timestamp_seconds")) {
        assert_eq!(of("dark.example", &name), None, "{name}");
    }
    assert_eq!((of("dark.example", "policy_id_stale"), of("example.com", "policy_id_stale")), (None, Some(0.0)));
    let safe = "policy_safe_to_remove_timestamp_seconds";
    assert_eq!((of("example.com", safe), of("withdrawn.example", safe)), (None, Some(1_795_464_000.0 + 432_000.0)));
    assert_eq!((of("example.com", "enforce_ready"), of("testing.example", "enforce_ready")), (None, Some(0.0)));
    let conditions = ["record-valid", "policy-stable", "max-age-suitable", "mx-covered"].map(condition);
    assert_eq!(conditions, [Some(1.0), Some(0.0), Some(1.0), None]);
}

#[test]
fn a_mode_that_no_sender_can_hold_is_missing_and_has_no_beginning() {
    let mut forgotten = fixture::testing();
    forgotten.policy.current = None;
    forgotten.policy.in_force = None;
    forgotten.history.enforce = None;
    let text = scrape(&only_domain(forgotten), Level::Normal);
    assert_eq!(find(&text, "smtptls_sts_policy_mode{domain=\"testing.example\",mode=\"missing\"}"), Some(1.0));
    assert_eq!(text.lines().filter(|line| line.starts_with("smtptls_sts_policy_mode{")).count(), 1);
    assert!(!text.contains("smtptls_sts_policy_mode_since"));
}

fn only_domain(assessment: Assessment) -> Snapshot {
    let state = fixture::domain_state(assessment.domain.clone().as_str(), Some(assessment));
    let mut snapshot = Snapshot::default();
    snapshot.put(state);
    snapshot
}

#[test]
fn findings_stand_where_their_subject_stands() {
    let text = scrape(&fixture::snapshot(), Level::Normal);
    let domain: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("smtptls_finding{domain=\"broken.example\""))
        .map(|line| read(line).labels[1].1.clone())
        .collect();
    let expected = ["sts-record-invalid", "sts-policy-connect-failed", "mx-invalid-target"];
    assert_eq!(domain, expected, "no host, no monitor, none accepted");
    assert_eq!(find(&text, "smtptls_mx_finding{mx=\"mx.broken.example\",code=\"starttls-not-offered\"}"), Some(1.0));
    assert_eq!(find(&text, "smtptls_domain_findings{domain=\"broken.example\",severity=\"error\"}"), Some(3.0));
}

fn about_path(path: PathAssessment, vantage: Vantage) -> impl Fn(&str) -> Option<f64> {
    let host = fixture::host("mx1.example.com");
    let state = HostState {
        host,
        domains: 1,
        domains_enforcing: 0,
        findings: BTreeSet::new(),
        lookup: None,
        dane: HostDane::new(None, None, true),
        paths: vec![Arc::new(path)],
        skipped: 0,
        patient_until: None,
    };
    let mut snapshot = Snapshot { vantage: Arc::new(vantage), ..Snapshot::default() };
    snapshot.put_host(Arc::new(state));
    let text = scrape(&snapshot, Level::Full);
    move |name| find(&text, &format!("smtptls_mx_{name}{{mx=\"mx1.example.com\",address=\"192.0.2.1\"}}"))
}

#[test]
fn starttls_is_0_where_it_fails_and_absent_only_where_that_cannot_be_told() {
    use crate::facts::{
        ConnectFailure::{NoRoute, Refused},
        TlsFailure,
    };
    use SmtpOutcome::{ConnectFailed, ProtocolError, StarttlsNotOffered, StarttlsRefused, Timeout};
    let of = |outcome: SmtpOutcome, reach, starttls| {
        let observation = fixture::observation("mx1.example.com", "192.0.2.1", outcome);
        let value = about_path(fixture::path(observation, reach, starttls), Vantage::default());
        (value("connect_success"), value("starttls_success"), value("certificate_verified"))
    };
    let (yes, no) = (Some(1.0), Some(0.0));
    assert_eq!(of(StarttlsNotOffered, Reach::Up, StarttlsState::NotOffered), (yes, no, no));
    let refused = StarttlsRefused { code: 454, text: "later".into() };
    assert_eq!(of(refused, Reach::Up, StarttlsState::Refused), (yes, no, no));
    let failed = SmtpOutcome::HandshakeFailed(TlsFailure::Alert("handshake_failure".into()));
    assert_eq!(of(failed, Reach::Up, StarttlsState::Failed), (yes, no, no));
    assert_eq!(of(ConnectFailed(Refused), Reach::Down, StarttlsState::NotReached), (no, no, no));
    assert_eq!(of(Timeout(Phase::Connect), Reach::Down, StarttlsState::NotReached), (no, no, no));
    assert_eq!(of(Timeout(Phase::Connect), Reach::CannotTell, StarttlsState::NotReached), (None, None, None));
    assert_eq!(of(ConnectFailed(NoRoute), Reach::CannotTell, StarttlsState::NotReached), (None, None, None));
    let late = ProtocolError { phase: Phase::EhloTls, fault: ProtocolFault::Closed };
    assert_eq!(of(late, Reach::Up, StarttlsState::Ok), (yes, yes, no), "the handshake itself was done");
    let rejected = SmtpOutcome::Rejected { phase: Phase::Banner, code: 554, text: "no".into() };
    assert_eq!(of(rejected, Reach::CannotTell, StarttlsState::NotReached), (yes, None, None), "about this client");
}

#[test]
fn an_outcome_stands_while_the_first_failures_are_not_sure_yet() {
    let mut path = fixture::good_path("mx1.example.com", "192.0.2.1");
    let refused = SmtpOutcome::ConnectFailed(crate::facts::ConnectFailure::Refused);
    path.latest = Some(Arc::new(fixture::observation("mx1.example.com", "192.0.2.1", refused)));
    path.starttls = Some(StarttlsState::NotReached);
    let value = about_path(path.clone(), Vantage::default());
    assert_eq!(value("connect_success"), Some(0.0));
    assert_eq!((value("starttls_success"), value("certificate_verified")), (Some(1.0), Some(1.0)));
    let value = about_path(path, Vantage { smtp_blocked: true, ..Vantage::default() });
    assert_eq!(value("connect_success"), None, "port 25 is shut off here");

    let unprobed = PathAssessment {
        latest: None,
        judged: None,
        certificate: None,
        starttls: None,
        ..fixture::good_path("mx1.example.com", "192.0.2.1")
    };
    let value = about_path(unprobed, Vantage::default());
    assert_eq!((value("starttls_success"), value("consecutive_failures")), (None, None));
}

#[test]
fn the_dates_of_a_bad_certificate_are_exported() {
    let path = PathAssessment {
        certificate: Some(fixture::bad_certificate()),
        ..fixture::good_path("mx1.example.com", "192.0.2.1")
    };
    let value = about_path(path, Vantage::default());
    assert_eq!(value("certificate_not_after_timestamp_seconds"), Some(1_795_464_000.0 - 3.0 * 86_400.0));
    assert_eq!(value("certificate_chain_not_after_timestamp_seconds"), None);
    assert_eq!((value("starttls_success"), value("certificate_verified")), (Some(1.0), Some(0.0)));
}

#[test]
fn no_dnssec_sample_while_the_resolver_is_not_believed() {
    let mut snapshot = fixture::snapshot();
    let secure = "smtptls_dnssec_secure{domain=\"example.com\",record=\"mx\"}";
    assert_eq!(find(&scrape(&snapshot, Level::Normal), secure), Some(1.0));
    snapshot.vantage = Arc::new(Vantage::default());
    let text = scrape(&snapshot, Level::Normal);
    assert!(!text.contains("smtptls_dnssec_secure"), "although no domain changed");
    assert_eq!(find(&text, "smtptls_vantage_dnssec_validating"), Some(0.0));
}

#[test]
fn before_the_first_snapshot_the_exporter_speaks_of_itself_only() {
    let exposition = Exposition::new(Blocks::new(Level::Normal));
    let text = String::from_utf8(exposition.body(&Telemetry::new().unwrap()).to_vec()).unwrap();
    assert!(text.contains("smtptls_build_info{") && !text.contains("smtptls_vantage_"));
    assert_eq!(find(&text, "smtptls_dns_queries_total{type=\"MX\"}"), Some(0.0));
}

#[test]
fn promtool_finds_nothing_to_say() {
    for level in [Level::Summary, Level::Normal, Level::Full] {
        check_by_promtool(&scrape(&fixture::snapshot(), level));
    }
}

fn check_by_promtool(text: &str) {
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut promtool = match promtool {
        Ok(child) => child,
        Err(error) => {
            eprintln!("promtool cannot be run here ({error}): its check is left out");
            return;
        }
    };
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}

#[test]
fn reports_are_counted_from_zero_on() {
    let series = |family: &str, domain: &str, labels: &str| format!("{family}{{domain=\"{domain}\"{labels}}}");
    let sessions = |domain, policy_type| {
        series("smtptls_tlsrpt_sessions_total", domain, &format!(",policy_type=\"{policy_type}\""))
    };
    let normal = scrape(&fixture::snapshot(), Level::Normal);
    let summary = scrape(&fixture::snapshot(), Level::Summary);
    for policy_type in ["sts", "tlsa", "no-policy-found", "other"] {
        assert_eq!(find(&normal, &sessions("example.com", policy_type)), Some(0.0), "never reported on");
        assert_eq!(find(&summary, &sessions("example.com", policy_type)), None, "a zero that no alert needs");
        let expected = if policy_type == "sts" { 1200.0 } else { 0.0 };
        for text in [&normal, &summary] {
            assert_eq!(find(text, &sessions("testing.example", policy_type)), Some(expected));
        }
        assert_eq!(find(&normal, &sessions("dark.example", policy_type)), None, "no source is configured");
    }
    let detail = |result_type: &str| {
        let labels = format!(",policy_type=\"sts\",result_type=\"{result_type}\"");
        find(&normal, &series("smtptls_tlsrpt_failure_details_total", "testing.example", &labels))
    };
    assert_eq!((detail("certificate-expired"), detail("validation-failure")), (Some(7.0), Some(0.0)), "one is new");
    assert_eq!(detail("tlsa-invalid"), None);
    let old = fixture::reports().shown(fixture::NOW + Duration::from_secs(300));
    assert_eq!(old.values().sum::<u64>(), 1200 + 7 + 7 + 3 + 1000 + 200 + 7, "and counts five minutes later");
    let last = series("smtptls_tlsrpt_last_report_timestamp_seconds", "testing.example", "");
    assert_eq!(find(&summary, &last), Some((fixture::NOW.unix_seconds() - 3600) as f64));
}

#[test]
fn every_value_of_the_intake_is_there_from_the_start() {
    let mut snapshot = fixture::snapshot();
    let count = |text: &str, family: &str| text.lines().filter(|line| line.starts_with(&format!("{family}{{"))).count();
    let labelled = [
        ("smtptls_tlsrpt_reports_total", 3),
        ("smtptls_tlsrpt_reports_rejected_total", 6),
        ("smtptls_tlsrpt_report_quirks_total", Quirk::ALL.len()),
    ];
    snapshot.intake = Some(Arc::default());
    let text = scrape(&snapshot, Level::Normal);
    for (family, values) in labelled {
        assert_eq!(count(&text, family), values, "{family}");
    }
    assert_eq!(find(&text, "smtptls_tlsrpt_reports_duplicate_total"), Some(0.0));
    assert_eq!(find(&text, "smtptls_tlsrpt_reports_late_total"), Some(0.0));
    let counted = scrape(&fixture::snapshot(), Level::Normal);
    assert_eq!(find(&counted, "smtptls_tlsrpt_reports_total{transport=\"mail\"}"), Some(12.0));
    assert_eq!(find(&counted, "smtptls_tlsrpt_reports_rejected_total{reason=\"bad-json\"}"), Some(2.0));
    snapshot.intake = None;
    assert!(!scrape(&snapshot, Level::Full).contains("smtptls_tlsrpt_report_quirks_total"));
}
