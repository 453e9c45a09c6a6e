//! A TLS report as JSON, gzip or zip (RFC 8460 §4).

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use smtptls_exporter::protocol::tls_rpt::{
    DETAILS_MOST, Declared, LINES_MOST, POLICIES_MOST, Quirk, RefusalReason, ReportReader, TEXT_MOST, TlsReport,
    read_report, sniff,
};

use super::check_stored;

/// The bytes of a file.
pub fn tls_report(bytes: &[u8]) {
    let mut reader = ReportReader::new();
    let _ = sniff(bytes);
    let outcome = reader.read(bytes, Declared::default());
    assert_eq!(reader.read(bytes, Declared::default()), outcome, "a reader keeps nothing of what it read");
    match outcome {
        Ok(report) => check_report(&report),
        Err(refusal) => check_refusal(refusal.reason, &refusal.detail),
    }
    match read_report(bytes) {
        Ok(report) => check_plain(bytes, &report, &mut reader),
        Err(refusal) => check_refusal(refusal.reason, &refusal.detail),
    }
}

/// What came out of JSON comes out of packed JSON too; and out of the same JSON with its blanks moved, where that can be said.
fn check_plain(json: &[u8], report: &TlsReport, reader: &mut ReportReader) {
    check_report(report);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(json).unwrap();
    let packed = reader.read(&encoder.finish().unwrap(), Declared::default());
    assert_eq!(packed.as_ref(), Ok(report));
    // Keys that stand twice are one in the tree, of two other names for a key the order decides, half a surrogate pair is no text
    // there, and a float may change its digits.
    let ordered = [Quirk::DuplicateKey, Quirk::OtherKeyName, Quirk::MxHostOtherKey];
    if ordered.iter().any(|quirk| report.quirks.contains(quirk)) || json.contains(&b'\\') {
        return;
    }
    if let Ok(tree) = serde_json::from_slice::<serde_json::Value>(json)
        && !has_float(&tree)
        && !has_repeated_key(json, &tree)
    {
        let again = read_report(serde_json::to_string_pretty(&tree).unwrap().as_bytes()).unwrap();
        assert_eq!(again.fingerprint(), report.fingerprint());
        check_sums(&tree, report);
    }
}

/// The tree sorts its keys and holds each once. The length of all texts and keys tells whether some were lost.
fn has_repeated_key(json: &[u8], tree: &serde_json::Value) -> bool {
    let quotes = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'"').count();
    quotes(json) != quotes(tree.to_string().as_bytes())
}

fn has_float(tree: &serde_json::Value) -> bool {
    match tree {
        serde_json::Value::Number(number) => number.is_f64(),
        serde_json::Value::Array(list) => list.iter().any(has_float),
        serde_json::Value::Object(object) => object.values().any(has_float),
        _ => false,
    }
}

/// No session of a well-formed summary is lost: a plain reading of RFC 8460 §4.4 finds no more.
fn check_sums(tree: &serde_json::Value, report: &TlsReport) {
    for (key, found) in [
        (
            "total-successful-session-count",
            report.policies.iter().fold(0_u64, |sum, one| sum.saturating_add(one.successful)),
        ),
        ("total-failure-session-count", report.policies.iter().fold(0_u64, |sum, one| sum.saturating_add(one.failed))),
    ] {
        let entries = tree["policies"].as_array().into_iter().flatten();
        let counts = entries.filter_map(|entry| entry["summary"][key].as_u64());
        let told = counts.fold(0_u64, u64::saturating_add);
        assert!(found >= told, "{key}: {found} of {told}");
    }
}

/// What holds for every report, from wherever it came.
pub(super) fn check_report(report: &TlsReport) {
    check_stored(report);
    let mut texts: Vec<&str> =
        [&report.organization, &report.contact, &report.report_id].into_iter().flatten().map(String::as_str).collect();
    assert!(report.policies.len() <= POLICIES_MOST + 4);
    let mut details = 0;
    let mut lines = 0;
    for policy in &report.policies {
        details += policy.failures.len();
        lines += policy.mx.len() + policy.policy_string.len();
        texts.extend(policy.mx.iter().chain(&policy.policy_string).map(String::as_str));
        for name in
            policy.domain.iter().chain(policy.failures.iter().filter_map(|failure| failure.receiving_mx.as_ref()))
        {
            let canonical = name.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase());
            assert!(canonical && !name.is_empty() && name.len() <= 253 && !name.ends_with('.'), "{name:?}");
        }
        for failure in &policy.failures {
            let free = [&failure.receiving_helo, &failure.reason, &failure.more];
            texts.extend(free.into_iter().flatten().map(String::as_str));
        }
    }
    assert!(details <= DETAILS_MOST + 12 * (report.policies.len()) && lines <= LINES_MOST);
    for text in texts {
        assert!(!text.is_empty() && text.chars().count() <= TEXT_MOST, "{text:?}");
        let harmless = |c: char| {
            !c.is_control() && !('\u{202a}'..='\u{202e}').contains(&c) && !('\u{2066}'..='\u{2069}').contains(&c)
        };
        assert!(text.chars().all(harmless), "{text:?}");
    }
    assert_eq!(report.policies.is_empty(), report.quirks.contains(&Quirk::PoliciesEmpty));
    let without = TlsReport { quirks: Default::default(), ..report.clone() };
    assert_eq!(without.fingerprint(), report.fingerprint());
}

pub(super) fn check_refusal(reason: RefusalReason, detail: &str) {
    assert!(
        matches!(reason, RefusalReason::TooLarge | RefusalReason::BadEncoding | RefusalReason::BadJson),
        "{reason}"
    );
    assert!(!detail.is_empty() && !detail.chars().any(char::is_control), "{detail:?}");
}
