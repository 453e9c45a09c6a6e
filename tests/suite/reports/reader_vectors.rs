//! The test vectors of reports: verdict and numbers by the rules. Those about proof and about HTTP are the intake's.

use std::collections::BTreeSet;

use serde::Deserialize;
use smtptls_exporter::{
    protocol::tls_rpt::{PolicyType, Quirk, Refusal, RefusalReason, ReportReader, TlsReport, read_mail, read_report},
    verdict::{Measure, session_tally},
};

use super::made::{HEADER, REPORT, gzip, mail, mail_under, part};

#[derive(Deserialize)]
struct Vectors {
    reports: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    input: Input,
    expect: Expect,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    Json(String),
    Carried(serde_json::Value),
}

#[derive(Deserialize)]
struct Expect {
    verdict: String,
    success: Option<u64>,
    failure: Option<u64>,
    sessions_max: Option<u64>,
    mx_host: Option<Vec<String>>,
    policy_string: Option<Vec<String>>,
}

/// They need a proof, or a server: see the tests of the intake.
const OF_THE_INTAKE: [&str; 6] = ["REP-J44", "REP-J46", "REP-J47", "REP-J51", "REP-J52", "REP-J54"];

/// The quirk that the reason of each vector names.
const QUIRKS: [(&str, Quirk); 23] = [
    ("REP-J02", Quirk::MxHostNotArray),
    ("REP-J03", Quirk::ContactInfoNull),
    ("REP-J05", Quirk::FailureDetailsNull),
    ("REP-J06", Quirk::ReportIdCut),
    ("REP-J07", Quirk::PolicyStringNested),
    ("REP-J08", Quirk::DateWithoutZone),
    ("REP-J10", Quirk::CountMissing),
    ("REP-J11", Quirk::PolicyTypeUnknown),
    ("REP-J13", Quirk::PoliciesNotArray),
    ("REP-J14", Quirk::PoliciesEmpty),
    ("REP-J15", Quirk::CountAsText),
    ("REP-J16", Quirk::CountInvalid),
    ("REP-J20", Quirk::DateRangeNotADay),
    ("REP-J23", Quirk::ReportIdMissing),
    ("REP-J25", Quirk::PolicyStringNotArray),
    ("REP-J31", Quirk::FailureDetailsMissing),
    ("REP-J32", Quirk::AddressInvalid),
    ("REP-J34", Quirk::OtherKeyName),
    ("REP-J35", Quirk::MxHostOtherKey),
    ("REP-J37", Quirk::MediaTypeMismatch),
    ("REP-J38", Quirk::MediaTypeMismatch),
    ("REP-J39", Quirk::MediaTypeMismatch),
    ("REP-J40", Quirk::MediaTypeMismatch),
];

const MORE_QUIRKS: [(&str, Quirk); 3] =
    [("REP-J43", Quirk::MultiMemberGzip), ("REP-J48", Quirk::SubmitterMismatch), ("REP-J55", Quirk::ResultTypeUnknown)];

fn read(id: &str, input: &Input) -> Result<TlsReport, Refusal> {
    let carried = match input {
        Input::Json(json) => return read_report(json.as_bytes()),
        Input::Carried(carried) => carried,
    };
    let gzipped = gzip(REPORT.as_bytes());
    let (head, tail) = REPORT.split_at(REPORT.len() / 2);
    let bytes = match carried["body"].as_str() {
        Some("gzip(json)") | None => gzipped,
        Some("plain json" | "plain json (not gzip)") => REPORT.as_bytes().to_vec(),
        Some("two gzip members, JSON split between them") => [gzip(head.as_bytes()), gzip(tail.as_bytes())].concat(),
        other => panic!("{id}: a body that this test does not know: {other:?}"),
    };
    let media_type = carried["part_type"].as_str().unwrap_or("application/tlsrpt+gzip");
    let parts = [part(media_type, &bytes)];
    let raw = match carried["headers"]["TLS-Report-Submitter"].as_str() {
        None => mail(&parts),
        Some(submitter) => {
            // The contact-info of the report is the one that signs.
            let header =
                HEADER.replace("TLS-Report-Submitter: sender.test", &format!("TLS-Report-Submitter: {submitter}"));
            mail_under(&header, "multipart/report; report-type=tlsrpt", &parts)
        }
    };
    let mut reports = read_mail(&mut ReportReader::new(), &raw)?;
    assert_eq!(reports.len(), 1, "{id}");
    Ok(reports.remove(0).report)
}

#[test]
fn reports() {
    let vectors: Vectors = serde_saphyr::from_str(include_str!("../../data/vectors.yaml")).unwrap();
    let (mut judged, mut skipped) = (BTreeSet::new(), BTreeSet::new());
    for Case { id, input, expect } in vectors.reports {
        if OF_THE_INTAKE.contains(&id.as_str()) {
            skipped.insert(id);
            continue;
        }
        let outcome = read(&id, &input);
        let expected_quirk = QUIRKS.iter().chain(&MORE_QUIRKS).find(|(known, _)| *known == id).map(|(_, quirk)| *quirk);
        match expect.verdict.as_str() {
            "reject" => {
                let reason = outcome.map_err(|refusal| refusal.reason);
                assert_eq!(reason, Err(RefusalReason::TooLarge), "{id}: only the nesting bomb");
            }
            verdict => assert_taken(&id, verdict, &outcome.unwrap(), expected_quirk, &expect),
        }
        judged.insert(id);
    }
    assert_eq!(skipped.into_iter().collect::<Vec<_>>(), OF_THE_INTAKE);
    assert!(judged.len() > 25, "the section is there: {judged:?}");
    for (id, _) in QUIRKS.iter().chain(&MORE_QUIRKS) {
        assert!(judged.contains(*id), "{id}");
    }
}

fn assert_taken(id: &str, verdict: &str, report: &TlsReport, expected_quirk: Option<Quirk>, expect: &Expect) {
    match verdict {
        "accept" => assert!(report.quirks.is_empty(), "{id}: {:?}", report.quirks),
        "accept-with-quirk" => {
            let quirk = expected_quirk.unwrap_or_else(|| panic!("{id}: its quirk stands in no table here"));
            assert!(report.quirks.contains(&quirk), "{id}: {:?}", report.quirks);
        }
        other => panic!("{id}: a verdict that this test does not know: {other}"),
    }
    assert_eq!(report.organization.as_deref(), Some("Sender"), "{id}");
    let sum = |number: fn(&_) -> u64| report.policies.iter().map(number).sum::<u64>();
    if let Some(success) = expect.success {
        assert_eq!(
            sum(|policy: &smtptls_exporter::protocol::tls_rpt::ReportedPolicy| policy.successful),
            success,
            "{id}"
        );
    }
    if let Some(failure) = expect.failure {
        assert_eq!(sum(|policy: &smtptls_exporter::protocol::tls_rpt::ReportedPolicy| policy.failed), failure, "{id}");
    }
    if let Some(most) = expect.sessions_max {
        let tally = session_tally(&report.policies);
        let sessions = tally.iter().filter(|(cell, _)| cell.measure == Measure::Sessions);
        assert_eq!(sessions.map(|(_, sessions)| *sessions).max(), Some(most), "{id}");
    }
    if let Some(patterns) = &expect.mx_host {
        assert_eq!(&report.policies[0].mx, patterns, "{id}");
    }
    if let Some(lines) = &expect.policy_string {
        assert_eq!(&report.policies[0].policy_string, lines, "{id}");
    }
}

/// The numbers that the reasons name beside the verdicts.
#[test]
fn what_is_odd_is_kept() {
    let vectors: Vectors = serde_saphyr::from_str(include_str!("../../data/vectors.yaml")).unwrap();
    let report = |wanted: &str| {
        let case = vectors.reports.iter().find(|case| case.id == wanted).unwrap();
        read(wanted, &case.input).unwrap()
    };
    assert_eq!(report("REP-J11").policies[0].policy_type, PolicyType::Other);
    assert_eq!((report("REP-J11").policies[0].successful, report("REP-J13").policies[0].successful), (1, 1));
    assert_eq!((report("REP-J15").policies[0].successful, report("REP-J16").policies[0].successful), (5, 0));
    assert_eq!(report("REP-J08").begin.unwrap().to_string(), "2026-01-11T00:00:00Z");
    assert_eq!(report("REP-J25").policies[0].policy_string, ["version: STSv1", "mode: enforce"]);
    let odd = report("REP-J32").policies[0].failures[0].clone();
    assert_eq!((odd.sending_ip, odd.receiving_ip, odd.reason.as_deref()), (None, None, Some("<script>")));
    let draft = report("REP-J34").policies[0].failures[0].clone();
    assert_eq!((draft.reason.as_deref(), draft.more.as_deref()), (Some("x"), Some("https://s.test/")));
    assert_eq!(report("REP-J35").policies[0].mx, ["*.example.com"]);
    assert_eq!(report("REP-J56").policies[0].failures[0].sessions, 0);
}
