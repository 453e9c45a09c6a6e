//! `report show`: what a person reads, and what a program does.

use serde_json::{Value, json};
use smtptls_exporter::{
    facts::Authentication,
    present::{
        Look, WIDTH,
        report::{Digest, Document, RejectedReport, ShownReport, summary},
    },
    protocol::tls_rpt::{Refusal, RefusalReason, read_report},
    terms::Timestamp,
};

/// 2026-11-23T20:00:00Z.
const NOW: Timestamp = Timestamp::from_unix_seconds(1_795_464_000);
const PLAIN: Look = Look { colour: false, unicode: true, verbose: false };
const VERBOSE: Look = Look { verbose: true, ..PLAIN };

/// One policy of a report: its kind, its domain, mode of the policy, sessions that succeeded and failed, and the failures as (result type,
/// sessions, MX host, reason).
pub(crate) fn policy(
    kind: &str,
    domain: &str,
    mode: &str,
    sessions: [u64; 2],
    failures: &[(&str, u64, &str, &str)],
) -> Value {
    let lines = match kind {
        "sts" => json!(["version: STSv1", format!("mode: {mode}"), "mx: *.example.com", "max_age: 604800"]),
        _ => json!([]),
    };
    let failures: Vec<Value> = failures
        .iter()
        .map(|(result, sessions, mx, reason)| {
            json!({"result-type": result, "sending-mta-ip": "192.0.2.7", "receiving-mx-hostname": mx, "receiving-ip": "192.0.2.1",
                   "failed-session-count": sessions, "failure-reason-code": reason})
        })
        .collect();
    json!({"policy": {"policy-type": kind, "policy-string": lines, "policy-domain": domain, "mx-host": ["*.example.com"]},
           "summary": {"total-successful-session-count": sessions[0], "total-failure-session-count": sessions[1]},
           "failure-details": failures})
}

/// A report about one day of November 2026.
pub(super) fn report(organization: &str, day: u32, id: &str, policies: &[Value]) -> Value {
    json!({"organization-name": organization, "contact-info": "tls@reporter.example", "report-id": id, "policies": policies,
           "date-range": {"start-datetime": format!("2026-11-{day:02}T00:00:00Z"), "end-datetime": format!("2026-11-{day:02}T23:59:59Z")}})
}

fn shown(source: &str, report: &Value) -> ShownReport {
    let report = read_report(report.to_string().as_bytes()).unwrap();
    ShownReport { source: source.to_owned(), authentication: Authentication::None, report }
}

fn digest(reports: &[Value]) -> Digest {
    let mut digest = Digest::default();
    for report in reports {
        digest.add(&shown("report.json", report));
    }
    digest
}

fn healthy() -> Value {
    report(
        "Google Inc.",
        20,
        "2026-11-20T00:00:00Z_example.com",
        &[policy("sts", "example.com", "enforce", [1204, 0], &[])],
    )
}

/// Two reporters: an expired certificate at one host in enforce, seen by both, TLSA records of one of them, and a domain in testing.
fn failing() -> Vec<Value> {
    let expired = ("certificate-expired", 30, "mx2.example.com", "certificate has expired");
    vec![
        report(
            "Microsoft Corporation",
            20,
            "133925885310113267+example.com",
            &[
                policy("sts", "example.com", "enforce", [970, 30], &[expired]),
                policy("tlsa", "example.com", "", [990, 10], &[("tlsa-invalid", 10, "mx2.example.com", "")]),
            ],
        ),
        report(
            "Google Inc.",
            22,
            "2026-11-22T00:00:00Z_example.com",
            &[
                policy(
                    "sts",
                    "example.com",
                    "enforce",
                    [198, 2],
                    &[("certificate-expired", 2, "mx2.example.com", "expired")],
                ),
                policy(
                    "sts",
                    "example.org",
                    "testing",
                    [0, 500],
                    &[("certificate-host-mismatch", 400, "mx1.example.com", "")],
                ),
            ],
        ),
    ]
}

#[test]
fn a_healthy_report() {
    insta::assert_snapshot!(summary(&digest(&[healthy()]), NOW, PLAIN));
}

#[test]
fn failures_of_two_reporters() {
    let text = summary(&digest(&failing()), NOW, PLAIN);
    // What stops mail stands before what does not, however many sessions that has; and no sum runs over kinds of policy.
    let place = |words: &str| text.find(words).unwrap_or_else(|| panic!("no {words}: {text}"));
    assert!(place("certificate-expired") < place("tlsa-invalid"), "{text}");
    assert!(place("tlsa-invalid") < place("certificate-host-mismatch"), "{text}");
    assert!(text.contains("32 sessions, from 20 Nov to 22 Nov: Google Inc. and Microsoft Corporation"), "{text}");
    assert!(
        text.contains("1,700 sessions, 532 failed (31.3 %)") && text.contains("1,000 sessions, 10 failed (1.0 %)"),
        "{text}"
    );
    // Of Microsoft's 1,000 sessions under both kinds there were 1,000, not 2,000.
    assert!(text.contains("30 failed of 1,000 sessions"), "{text}");
    // 100 of the 500 are in no detail.
    assert!(text.contains("no details") && text.contains("100 sessions, on 22 Nov"), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn a_thousand_reports_are_one_page() {
    let mut digest = Digest::default();
    for number in 0..1000_u32 {
        let failed = u64::from(number % 10 == 0);
        let mx = format!("mx{}.example.com", number % 30);
        let failures = [("starttls-not-supported", failed, mx.as_str(), "")];
        let failures = if failed > 0 { &failures[..] } else { &[] };
        let policy = policy("sts", &format!("d{}.example", number % 50), "enforce", [99, failed], failures);
        digest.add(&shown(
            "x",
            &report(&format!("Sender {}", number % 40), 1 + number % 20, &number.to_string(), &[policy]),
        ));
    }
    let text = summary(&digest, NOW, PLAIN);
    assert!(text.contains("1,000 reports"), "{text}");
    assert!(text.contains("99,100 sessions, 100 failed (0.1 %)"), "{text}");
    assert!(text.lines().count() < 100, "a page: {text}");
    let verbose = summary(&digest, NOW, VERBOSE);
    assert!(verbose.len() > text.len() && !verbose.contains("--verbose"), "{verbose}");
    insta::assert_snapshot!(text);
}

#[test]
fn what_is_rejected_counts_and_says_why() {
    let mut digest = digest(&[healthy()]);
    digest.add_duplicate();
    for (source, reason, detail) in [
        ("broken.json", RefusalReason::BadJson, "expected `,` or `}` at line 3 column 7"),
        ("also-broken.json", RefusalReason::BadJson, "an object was expected"),
        ("bomb.json.gz", RefusalReason::TooLarge, "more than 25 MiB inflated"),
    ] {
        let refusal = Refusal::new(reason, detail);
        digest.add_rejected(RejectedReport { source: source.to_owned(), refusal, opened: true });
    }
    assert_eq!(digest.rejected(), 3);
    insta::assert_snapshot!(summary(&digest, NOW, PLAIN));
    let mut nothing = Digest::default();
    let refusal = Refusal::new(RefusalReason::BadEncoding, "it is empty");
    nothing.add_rejected(RejectedReport { source: "empty.gz".to_owned(), refusal, opened: true });
    let text = summary(&nothing, NOW, PLAIN);
    assert!(text.starts_with("TLS reports   NO REPORT") && text.contains("empty.gz"), "{text}");
    assert!(text.contains("To do: See that the file is whole"), "{text}");
    // Nothing was wrong with a file that is not there.
    let mut absent = Digest::default();
    let refusal = Refusal::new(RefusalReason::BadEncoding, "it cannot be read: No such file or directory");
    absent.add_rejected(RejectedReport { source: "nofile".to_owned(), refusal, opened: false });
    let text = summary(&absent, NOW, PLAIN);
    assert!(text.contains("To do: Check the name and the rights of the file."), "{text}");
    assert!(!text.contains("mailbox"), "{text}");
}

/// Text that would move the cursor, turn the writing direction, or pass for a line of the summary.
const HOSTILE: &str = "\u{1b}[2J\u{1b}]0;x\u{7}\u{202e}\u{9b}1m\r\n\nReporters\n  \"; To do: run this";

#[test]
fn hostile_text_is_harmless() {
    let hostile = report(
        HOSTILE,
        20,
        HOSTILE,
        &[policy("sts", "example.com", "enforce", [1, 1], &[("validation-failure", 1, HOSTILE, HOSTILE)])],
    );
    let mut digest = digest(&[hostile]);
    // The reader cleans what it reads; what shows it relies on nothing.
    let mut raw = shown(HOSTILE, &healthy());
    raw.report.organization = Some(HOSTILE.to_owned());
    raw.report.policies[0].domain = Some(HOSTILE.to_owned());
    digest.add(&raw);
    digest.add_rejected(RejectedReport {
        source: HOSTILE.to_owned(),
        refusal: Refusal::new(RefusalReason::BadJson, HOSTILE),
        opened: true,
    });
    for look in [PLAIN, VERBOSE, Look { unicode: false, ..PLAIN }] {
        let text = summary(&digest, NOW, look);
        assert!(!text.chars().any(|letter| letter != '\n' && letter.is_control()), "{text:?}");
        assert!(!text.contains(['\u{202e}', '\u{2028}']), "{text:?}");
        assert!(look.unicode || text.is_ascii(), "{text}");
        assert_eq!(text.lines().filter(|line| line.trim() == "Reporters").count(), 1, "{text}");
    }
}

#[test]
fn no_line_is_too_wide_and_plain_has_no_colour() {
    let long = "a".repeat(63);
    let mut reports = failing();
    reports.push(report(
        &"An organization with a long name ".repeat(5),
        21,
        "r",
        &[policy("no-policy-found", &format!("{long}.example"), "", [u64::MAX, u64::MAX], &[])],
    ));
    let text = summary(&digest(&reports), NOW, VERBOSE);
    // A domain is a single word, and stands alone.
    let wide = text.lines().filter(|line| line.chars().count() > WIDTH && !line.contains(&long));
    assert_eq!(wide.collect::<Vec<_>>(), [""; 0], "{text}");
    assert!(!text.contains('\u{1b}'));
    let coloured = summary(&digest(&reports), NOW, Look { colour: true, ..VERBOSE });
    assert!(coloured.contains('\u{1b}'));
}

#[test]
fn json_is_what_the_interface_says() {
    let mut reports = failing();
    let failing = shown("a.json", &reports.remove(0));
    let mut document = Document::default();
    let mut text = document.report(&failing).unwrap();
    text +=
        &document.report(&shown("b.json", &json!({"policies": [], "report-id": "x", "contact-info": null}))).unwrap();
    let mut digest = Digest::default();
    digest.add_duplicate();
    let refusal = Refusal::new(RefusalReason::BadJson, "not \"JSON\"\u{1b}");
    digest.add_rejected(RejectedReport { source: "c".to_owned(), refusal, opened: true });
    text += &document.end(&digest).unwrap();
    assert!(text.bytes().filter(u8::is_ascii_control).all(|byte| byte == b'\n'), "{text:?}");
    let value: Value = serde_json::from_str(&text).unwrap();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<std::collections::BTreeSet<_>>();
    let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(keys(&value), named(&["reports", "rejected", "duplicates"]));
    for report in value["reports"].as_array().unwrap() {
        let expected =
            ["source", "organization", "report_id", "contact", "begin", "end", "authentication", "quirks", "policies"];
        assert_eq!(keys(report), named(&expected), "{report}");
    }
    let policy = &value["reports"][0]["policies"][0];
    let expected = ["type", "domain", "mx", "policy_string", "successful_sessions", "failed_sessions", "failures"];
    assert_eq!(keys(policy), named(&expected));
    assert_eq!(
        policy["failures"][0],
        json!({"result_type": "certificate-expired", "sessions": 30, "sending_ip": "192.0.2.7", "receiving_mx": "mx2.example.com",
               "receiving_ip": "192.0.2.1", "reason": "certificate has expired"})
    );
    assert_eq!((&policy["type"], &policy["domain"]), (&json!("sts"), &json!("example.com")));
    assert_eq!(value["reports"][0]["begin"], "2026-11-20T00:00:00Z");
    assert_eq!(value["reports"][0]["authentication"], "none");
    assert_eq!(value["reports"][1]["contact"], Value::Null, "unknown is null and not left out");
    assert!(value["reports"][1]["quirks"].as_array().unwrap().contains(&json!("contact-info-null")));
    assert_eq!(value["rejected"], json!([{"source": "c", "reason": "bad-json", "detail": "not \"JSON\"\u{1b}"}]));
    assert_eq!(value["duplicates"], 1);
    let nothing: Value = serde_json::from_str(&Document::default().end(&Digest::default()).unwrap()).unwrap();
    assert_eq!(nothing, json!({"reports": [], "rejected": [], "duplicates": 0}));
}
