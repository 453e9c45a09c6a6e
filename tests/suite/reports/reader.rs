//! What a report says is read as it stands there, whatever it comes in.

use smtptls_exporter::{
    protocol::tls_rpt::{
        Declared, FailureDetail, PolicyType, Quirk, Quirks, RefusalReason, ReportReader, ReportedPolicy, ResultType,
        TlsReport, read_report,
    },
    terms::PolicyDomain,
};

use super::made::{REPORT, gzip, with, zip};

fn read(json: &str) -> TlsReport {
    read_report(json.as_bytes()).unwrap_or_else(|refusal| panic!("{refusal}: {json}"))
}

fn unpacked(bytes: &[u8]) -> TlsReport {
    ReportReader::new().read(bytes, Declared::default()).unwrap()
}

#[test]
fn every_field_is_read() {
    let expected = TlsReport {
        organization: Some("Sender".to_owned()),
        contact: Some("tls@sender.test".to_owned()),
        report_id: Some("r1".to_owned()),
        begin: "2026-01-11T00:00:00Z".parse().ok(),
        end: "2026-01-11T23:59:59Z".parse().ok(),
        policies: vec![ReportedPolicy {
            policy_type: PolicyType::Sts,
            domain: Some("example.com".to_owned()),
            mx: vec!["*.mx.test".to_owned()],
            policy_string: ["version: STSv1", "mode: enforce", "mx: *.mx.test", "max_age: 604800"]
                .map(String::from)
                .into(),
            successful: 5,
            failed: 3,
            failures: vec![FailureDetail {
                result_type: ResultType::CertificateExpired,
                sessions: 3,
                sending_ip: "192.0.2.1".parse().ok(),
                receiving_mx: Some("a.mx.test".to_owned()),
                receiving_helo: Some("helo.mx.test".to_owned()),
                receiving_ip: "198.51.100.7".parse().ok(),
                reason: Some("expired".to_owned()),
                more: Some("https://sender.test/x".to_owned()),
            }],
        }],
        quirks: Quirks::new(),
    };
    assert_eq!(read(REPORT), expected);
    assert_eq!(read(REPORT).submitter_domain().unwrap().as_str(), "sender.test");
}

/// A report of other keys in another order says the same: `policies` before everything, `failure-details` before `policy`.
#[test]
fn the_order_of_keys_does_not_matter() {
    let (head, policies) = REPORT.split_once(r#","policies":"#).unwrap();
    let turned =
        format!(r#"{{"policies":{},{}}}"#, policies.strip_suffix('}').unwrap(), head.strip_prefix('{').unwrap());
    assert_eq!(read(&turned), read(REPORT));

    let (head, rest) = REPORT.split_once(r#"{"policy":{"#).unwrap();
    let (policy, rest) = rest.split_once(r#"},"summary""#).unwrap();
    let rest = rest.strip_suffix("}]}").unwrap();
    let turned = format!(r#"{head}{{"summary"{rest},"policy":{{{policy}}}}}]}}"#);
    assert_eq!(read(&turned), read(REPORT));
}

#[test]
fn the_last_of_a_repeated_key_counts() {
    let policies = &REPORT[REPORT.find(r#""policies""#).unwrap()..REPORT.len() - 1];
    let twice = with(r#""report-id":"r1""#, &format!(r#""report-id":"r1",{policies}"#));
    let expected = TlsReport { quirks: Quirks::from([Quirk::DuplicateKey]), ..read(REPORT) };
    assert_eq!(read(&twice), expected, "nothing is counted twice");

    let details = r#""failure-details":[{"failed-session-count":9,"result-type":"tlsa-invalid"}],"failure-details":[{"#;
    let report = read(&with(r#""failure-details":[{"#, details));
    assert_eq!(report.policies, read(REPORT).policies);

    let summary = r#""summary":{"total-failure-session-count":99},"summary":{"#;
    assert_eq!(read(&with(r#""summary":{"#, summary)).policies, read(REPORT).policies);

    // The right name comes before another one, in whichever order they stand.
    for both in
        [r#""failure-error-code":"x","failure-reason-code""#, r#""failure-reason-code":"expired","failure-error-code""#]
    {
        let report = read(&with(r#""failure-reason-code""#, both));
        assert_eq!(report.policies[0].failures[0].reason.as_deref(), Some("expired"), "{both}");
    }
}

#[test]
fn every_policy_keeps_its_own_domain() {
    let policy = |domain: &str, failed: u64| {
        format!(
            r#"{{"policy":{{"policy-type":"tlsa","policy-domain":"{domain}"}},"summary":{{"total-successful-session-count":1,"total-failure-session-count":{failed}}}}}"#
        )
    };
    let report = read(&format!(r#"{{"policies":[{},{}]}}"#, policy("a.example", 1), policy("B.Example", 2)));
    let seen: Vec<_> =
        report.policies.iter().map(|policy| (policy.domain.as_deref().unwrap(), policy.failed)).collect();
    assert_eq!(seen, [("a.example", 1), ("b.example", 2)]);
}

/// An empty summary beside details, a summary without details, and sums that differ: nobody is believed over the other.
#[test]
fn summary_and_details_are_both_kept() {
    let report = read(&with(r#""total-failure-session-count":3"#, r#""total-failure-session-count":1"#));
    assert_eq!((report.policies[0].failed, report.policies[0].failures[0].sessions), (1, 3));
    let report = read(&with(r#""failure-details":[{"#, r#""failure-details":[],"x":[{"#));
    assert_eq!((report.policies[0].failed, report.policies[0].failures.len()), (3, 0));
}

#[test]
fn missing_times_are_not_1970() {
    for range in
        ["null", "{}", r#"{"start-datetime":null,"end-datetime":""}"#, r#"{"start-datetime":[],"end-datetime":{}}"#]
    {
        let json = format!(r#"{{"report-id":"r1","date-range":{range},"policies":[]}}"#);
        let report = read(&json);
        assert_eq!((report.begin, report.end), (None, None), "{range}");
    }
}

#[test]
fn texts_are_harmless_and_bounded() {
    let json = with(r#""Sender""#, r#""\u001b[31mEvil\u202e\u0007\ud800 \u2066Corp\u0000""#);
    let organization = read(&json).organization.unwrap();
    assert_eq!(organization.replace('\u{fffd}', "?").replace("???", "?"), " [31mEvil ? Corp ");
    let long = "\u{e9}".repeat(501);
    let report = read(&with(r#""Sender""#, &format!("\"{long}\"")));
    assert_eq!(report.organization.map(|text| text.chars().count()), Some(500));
    assert_eq!(report.quirks, Quirks::from([Quirk::Truncated]));
    let report = read(&with(r#""Sender""#, &format!("\"{}\"", "\u{e9}".repeat(500))));
    assert_eq!(report.quirks, Quirks::new());
}

#[test]
fn numbers_of_every_kind() {
    for (number, count) in [
        ("18446744073709551615", u64::MAX),
        ("18446744073709551616", 0),
        ("-0", 0),
        ("-7", 0),
        ("1e3", 1000),
        ("1e400", 0),
        ("0.5", 0),
        ("\" 12 \"", 12),
        ("\"-12\"", 0),
        ("\"\"", 0),
        ("true", 0),
        ("[5]", 0),
        ("{\"a\":5}", 0),
        ("null", 0),
    ] {
        let json =
            with(r#""total-successful-session-count":5"#, &format!(r#""total-successful-session-count":{number}"#));
        let report = read(&json);
        assert_eq!(report.policies[0].successful, count, "{number}");
        assert_eq!(report.policies[0].failed, 3, "{number}");
    }
}

#[test]
fn what_is_no_report_is_refused_with_its_place() {
    for (json, detail) in [
        ("", "there is nothing"),
        (" \n", "there is nothing"),
        ("<html>", "\"<html>\" stands at its beginning"),
        ("[{\"report-id\":\"r1\"}]", "stands at its beginning"),
        ("{}", "policies"),
        ("{\"policies\":7}", "policies"),
        ("{\"policy\":{},\"version\":1}", "policies"),
        ("{\"report-id\":\"r1\",\n \"policies\":[}", "line 2 column 14"),
        ("{\"report-id\":\"r1\"", "line 1 column 17"),
        ("{\"report-id\":\"r\n1\",}", "line 1 column 15"),
    ] {
        let refusal = read_report(json.as_bytes()).unwrap_err();
        assert_eq!(refusal.reason, RefusalReason::BadJson, "{json}");
        assert!(refusal.detail.contains(detail), "{json}: {refusal}");
    }
    // A little of a report is a report.
    for json in ["{\"report-id\":\"r1\"}", "{\"policies\":[]}", "{\"organization-name\":\"x\",\"policies\":null}"] {
        assert!(read(json).quirks.contains(&Quirk::PoliciesEmpty), "{json}");
    }
}

#[test]
fn packed_is_as_good_as_plain() {
    let plain = read(REPORT);
    assert_eq!(unpacked(REPORT.as_bytes()), plain);
    assert_eq!(unpacked(&gzip(REPORT.as_bytes())), plain);
    let padded = [gzip(REPORT.as_bytes()), vec![0; 512]].concat();
    assert_eq!(unpacked(&padded), plain);
    let tail = [gzip(REPORT.as_bytes()), b"tail".to_vec()].concat();
    assert_eq!(unpacked(&tail).quirks, Quirks::from([Quirk::TrailingData]));
    let members: Vec<u8> = REPORT.as_bytes().chunks(100).flat_map(gzip).collect();
    let quirks = Quirks::from([Quirk::MultiMemberGzip]);
    assert_eq!(unpacked(&members), TlsReport { quirks, ..plain.clone() });
    let zipped = zip(&[("../../etc/passwd", REPORT.as_bytes())]);
    assert_eq!(unpacked(&zipped), TlsReport { quirks: Quirks::from([Quirk::Zip]), ..plain.clone() });
    let several = zip(&[("a/", b""), ("__MACOSX/._r", b"x"), ("r.json", REPORT.as_bytes()), ("s.json", b"{}")]);
    assert_eq!(unpacked(&several).quirks, Quirks::from([Quirk::Zip, Quirk::TrailingData]));
    assert_eq!(unpacked(&several).policies, plain.policies);
}

/// RFC 1952 §2.3: optional fields stand before the data.
#[test]
fn gzip_headers_may_hold_more() {
    let plain = gzip(REPORT.as_bytes());
    let mut header = plain[..10].to_vec();
    header[3] = 2 | 4 | 8 | 16;
    let more = [&header[..], &[3, 0], b"abc", b"name\0comment\0", &[0, 0], &plain[10..]].concat();
    assert_eq!(unpacked(&more), read(REPORT));
    assert!(ReportReader::new().read(&more[..20], Declared::default()).is_err());
}

#[test]
fn what_cannot_be_unpacked_is_refused() {
    let packed = gzip(REPORT.as_bytes());
    let mut damaged = packed.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0x55;
    let mut wrong_sum = packed.clone();
    let sum = wrong_sum.len() - 8;
    wrong_sum[sum] ^= 1;
    let zipped = zip(&[("r.json", REPORT.as_bytes())]);
    for (bytes, what) in [
        (packed[..packed.len() / 2].to_vec(), "cut off"),
        (packed[..packed.len() - 6].to_vec(), "cut off in its checksum"),
        (damaged, "damaged"),
        (wrong_sum, "another checksum"),
        (zipped[..zipped.len() - 30].to_vec(), "zip without its directory"),
        (zip(&[("folder/", b"")]), "zip without a file"),
        (gzip(&packed), "gzip in gzip"),
        (zip(&[("r.zip", &zipped)]), "zip in zip"),
        (b"From: a@example.com\r\n\r\n{}".to_vec(), "a mail"),
    ] {
        let refusal = ReportReader::new().read(&bytes, Declared { file_name: Some("r.gz"), ..Declared::default() });
        let refusal = refusal.unwrap_err();
        assert_eq!(refusal.reason, RefusalReason::BadEncoding, "{what}: {refusal}");
        assert!(refusal.detail.starts_with("\"r.gz\": "), "{what}: {refusal}");
    }
}

#[test]
fn a_reader_forgets_what_it_read() {
    let mut reader = ReportReader::new();
    let packed = gzip(REPORT.as_bytes());
    for bytes in [&packed[..], &packed[..50], b"{", &packed] {
        let _ = reader.read(bytes, Declared::default());
        assert_eq!(reader.read(&packed, Declared::default()).unwrap(), read(REPORT));
    }
}

#[test]
fn media_types_are_compared_with_the_bytes() {
    let packed = gzip(REPORT.as_bytes());
    let zipped = zip(&[("r.json", REPORT.as_bytes())]);
    for (media_type, bytes, fits) in [
        ("application/tlsrpt+gzip", &packed[..], true),
        ("Application/TLSRPT+GZIP; x=y", &packed, true),
        ("application/tlsrpt+json", REPORT.as_bytes(), true),
        ("application/zip", &zipped, true),
        ("application/tlsrpt+json", &packed, false),
        ("application/tlsrpt+gzip", REPORT.as_bytes(), false),
        ("application/gzip", &packed, false),
        ("application/json", REPORT.as_bytes(), false),
        ("", REPORT.as_bytes(), false),
    ] {
        let declared = Declared { media_type: Some(media_type), file_name: None };
        let report = ReportReader::new().read(bytes, declared).unwrap();
        assert_eq!(!report.quirks.contains(&Quirk::MediaTypeMismatch), fits, "{media_type}");
    }
}

#[test]
fn a_fingerprint_is_that_of_the_content() {
    let print = read(REPORT).fingerprint();
    let value: serde_json::Value = serde_json::from_str(REPORT).unwrap();
    let pretty = serde_json::to_string_pretty(&value).unwrap();
    for same in [pretty.as_str(), &format!("\u{feff}{REPORT}"), &with("\"r1\"", "\"\\u0072\\u0031\"")] {
        assert_eq!(read(same).fingerprint(), print, "{same}");
    }
    assert_eq!(unpacked(&gzip(REPORT.as_bytes())).fingerprint(), print);
    // Whatever is said otherwise, and a text that moves from one field to the next.
    for (from, to) in [
        ("Sender", "Sendes"),
        ("tls@sender", "tlt@sender"),
        ("\"r1\"", "null"),
        ("11T00:00:00Z", "10T00:00:00Z"),
        ("11T23:59:59Z", "12T00:00:00Z"),
        ("\"sts\"", "\"tlsa\""),
        ("version: STSv1", "version: STSv2"),
        ("\"example.com\"", "\"example.net\""),
        ("[\"*.mx.test\"]", "[]"),
        ("session-count\":5", "session-count\":6"),
        ("total-failure-session-count\":3", "total-failure-session-count\":4"),
        ("certificate-expired", "tlsa-invalid"),
        ("192.0.2.1", "192.0.2.2"),
        ("\"a.mx.test", "\"b.mx.test"),
        ("helo.mx.test", "help.mx.test"),
        ("198.51.100.7", "198.51.100.8"),
        ("failed-session-count\":3", "failed-session-count\":4"),
        ("sender.test/x", "sender.test/y"),
        ("\"expired\"", "null"),
        ("\"sending-mta-ip\"", "\"receiving-ip\""),
        ("\"additional-information\":\"https://sender.test/x\",\"failure-reason-code\"", "\"additional-information\""),
    ] {
        assert_ne!(read(&with(from, to)).fingerprint(), print, "{to}");
    }
}

#[test]
fn the_submitter_is_the_domain_of_the_contact() {
    for (contact, domain) in [
        ("tls@Sender.Test", Some("sender.test")),
        ("mailto:tls@sender.test", Some("sender.test")),
        ("TLS <tls@sender.test>", Some("sender.test")),
        ("sender.test", None),
        ("tls@", None),
        ("https://sender.test/", None),
    ] {
        let report = read(&with("tls@sender.test", contact));
        assert_eq!(report.submitter_domain().as_ref().map(PolicyDomain::as_str), domain, "{contact}");
    }
}
