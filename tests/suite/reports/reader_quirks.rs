//! Every quirk: what raises it, and what nearly does.

use std::collections::BTreeSet;

use smtptls_exporter::protocol::tls_rpt::{Quirk, Quirks, TlsReport, read_report};

use super::{
    made::{REPORT, with},
    reader_mail::QUIRKS_OF_MAIL,
};

/// What is exchanged in the report; by what, with the quirks that it raises; and by what, with none.
type Row = (&'static str, &'static str, &'static [Quirk], &'static str);

#[rustfmt::skip]
const ROWS: [Row; 48] = [
    (r#"{"organization-name""#, "\u{feff}{\"organization-name\"", &[Quirk::ByteOrderMark], " \r\n{\"organization-name\""),
    (r#""report-id":"r1""#, r#""report-id":"r0","report-id":"r1""#, &[Quirk::DuplicateKey], r#""report-id":"r1","x":1,"x":2"#),
    (r#""expired"}]}]}"#, r#""expired"}]}]}{}"#, &[Quirk::TrailingData], "\"expired\"}]}]} \r\n\t"),
    ("expired\"}]", "ex\tpired\"}]", &[Quirk::ControlCharacter], "ex\\tpired\"}]"),
    (r#""Sender""#, "null", &[Quirk::OrganizationMissing], r#""S""#),
    (r#""Sender""#, r#"" ""#, &[Quirk::OrganizationMissing], r#"" S ""#),
    (r#""contact-info":"tls@sender.test","#, "", &[Quirk::ContactInfoMissing], r#""contact-info":"x","#),
    (r#""tls@sender.test""#, "null", &[Quirk::ContactInfoNull], r#""null""#),
    (r#""r1""#, r#""""#, &[Quirk::ReportIdMissing], r#""0""#),
    (r#""r1""#, r#""133944884956529435+""#, &[Quirk::ReportIdCut], r#""133944884956529435+example.com""#),
    ("2026-01-11T23:59:59Z", "midnight", &[Quirk::DateRangeMissing], "2026-01-12T00:00:00Z"),
    ("2026-01-11T23:59:59Z", "2026-01-11T23:59:59", &[Quirk::DateWithoutZone], "2026-01-11T23:59:59+00:00"),
    ("2026-01-11T23:59:59Z", "2026-01-11 23:59:59Z", &[Quirk::DateFormat], "2026-01-11T23:59:59.999Z"),
    ("2026-01-11T23:59:59Z", "2026-01-10T23:59:59Z", &[Quirk::DateRangeInverted], "2026-01-12T00:59:59+01:00"),
    ("2026-01-11T23:59:59Z", "2026-01-11T23:59:58Z", &[Quirk::DateRangeNotADay], "2026-01-12T00:00:00Z"),
    ("2026-01-11T00:00:00Z", "2026-01-11T00:00:01Z", &[Quirk::DateRangeNotADay], "2026-01-11T01:00:00+01:00"),
    (r#""policies":[{"#, r#""policies":[],"x":[{"#, &[Quirk::PoliciesEmpty], r#""policies":[{"#),
    (r#""policies":[{"#, r#""policies":[null,{"#, &[Quirk::EntryNotObject], r#""policies":[{"#),
    (r#""failure-details":[{"#, r#""failure-details":[7,{"#, &[Quirk::EntryNotObject], r#""failure-details":[{"#),
    (r#""sts""#, r#""sts2""#, &[Quirk::PolicyTypeUnknown], r#""STS""#),
    (r#""policy-type":"sts","#, "", &[Quirk::PolicyTypeMissing], r#""policy-type":"no-policy-found","#),
    (r#""policy-domain":"example.com","#, "", &[Quirk::PolicyDomainMissing], r#""policy-domain":"_x.example.com","#),
    (r#""example.com""#, r#""B\u00fccher.example.""#, &[Quirk::PolicyDomainNotCanonical], r#""xn--bcher-kva.example""#),
    (r#""example.com""#, r#""example com""#, &[Quirk::PolicyDomainInvalid], r#""com""#),
    (r#"["version: STSv1","mode: enforce","mx: *.mx.test","max_age: 604800"]"#, r#""version: STSv1;mode: enforce""#, &[Quirk::PolicyStringNotArray], r#"["version: STSv1;mode: enforce"]"#),
    (r#"["version: STSv1","mode: enforce","mx: *.mx.test","max_age: 604800"]"#, r#"["[\"3 1 1 00\",\"3 1 1 01\"]"]"#, &[Quirk::PolicyStringNested], r#"["[3 1 1 00]"]"#),
    (r#"["*.mx.test"]"#, r#""*.mx.test""#, &[Quirk::MxHostNotArray], "[]"),
    (r#""mx-host""#, r#""mx-host-pattern""#, &[Quirk::MxHostOtherKey], r#""mx-host-patterns""#),
    (r#"["*.mx.test"]"#, r#"["mx: *.mx.test"]"#, &[Quirk::MxHostAsLine], r#"["mx.test"]"#),
    (r#""total-successful-session-count":5,"#, "", &[Quirk::CountMissing], r#""total-successful-session-count":0,"#),
    (r#""total-successful-session-count":5,"#, r#""total-successful-session-count":"5","#, &[Quirk::CountAsText], r#""total-successful-session-count":18446744073709551615,"#),
    (r#""total-successful-session-count":5,"#, r#""total-successful-session-count":1e999,"#, &[Quirk::CountInvalid], r#""total-successful-session-count":5,"#),
    (r#""total-successful-session-count":5,"#, r#""total-successful-session-count":5.0,"#, &[Quirk::ValueType], r#""total-successful-session-count":50,"#),
    (r#""total-failure-session-count":3},"failure-details":[{"#, r#""total-failure-session-count":0},"failure-details":null,"x":[{"#, &[Quirk::FailureDetailsNull], r#""total-failure-session-count":0},"failure-details":[],"x":[{"#),
    (r#""failure-details":[{"#, r#""failure-details":[],"x":[{"#, &[Quirk::FailureDetailsMissing], r#""failure-details":[{"#),
    (r#""total-failure-session-count":3"#, r#""total-failure-session-count":2"#, &[Quirk::CountsDisagree], r#""total-failure-session-count":3"#),
    (r#""certificate-expired""#, r#""Other""#, &[Quirk::ResultTypeUnknown], r#""tlsa-invalid""#),
    (r#""result-type":"certificate-expired","#, "", &[Quirk::ResultTypeUnknown], r#""result-type":"dane-required","#),
    (r#""sending-mta-ip":"192.0.2.1","#, r#""sending-mta-ip":"","#, &[Quirk::SendingIpMissing], r#""sending-mta-ip":"::1","#),
    (r#""result-type":"certificate-expired","sending-mta-ip":"192.0.2.1","#, r#""result-type":"tlsa-invalid","#, &[Quirk::SendingIpMissing], r#""result-type":"sts-webpki-invalid","#),
    (r#""198.51.100.7""#, r#""unknown""#, &[Quirk::AddressInvalid], r#""2001:db8:abcd:0012::1""#),
    (r#""a.mx.test""#, r#""192.0.2.9""#, &[Quirk::MxHostnameInvalid], r#""A_1.MX.test.""#),
    (r#""failure-reason-code""#, r#""failure-error-code""#, &[Quirk::OtherKeyName], r#""failure-cause""#),
    (r#""receiving-mx-hostname""#, r#""receiving_mx_hostname""#, &[Quirk::OtherKeyName], r#""receiving-mx""#),
    (r#""report-id":"r1""#, r#""report-id":7"#, &[Quirk::ValueType], r#""report-id":"7""#),
    (r#""summary":{"#, r#""summary":[{"a":1}],"summary":{"#, &[Quirk::DuplicateKey, Quirk::ValueType], r#""SUMMARIES":{},"summary":{"#),
    (r#""report-id":"r1""#, r#""report-id":"r1","policies":7"#, &[Quirk::DuplicateKey, Quirk::ValueType], r#""report-id":"r1","comment":[[{"a":"]"}]]"#),
    (r#""date-range":{"#, r#""date-range":null,"x":{"#, &[Quirk::DateRangeMissing], r#""date-range":{"#),
];

fn read(json: &str) -> TlsReport {
    read_report(json.as_bytes()).unwrap_or_else(|refusal| panic!("{refusal}: {json}"))
}

#[test]
fn each_has_what_raises_it_and_a_near_miss() {
    assert_eq!(read(REPORT).quirks, Quirks::new());
    for (from, raising, quirks, miss) in ROWS {
        assert_eq!(read(&with(from, raising)).quirks, quirks.iter().copied().collect(), "{raising}");
        assert_eq!(read(&with(from, miss)).quirks, Quirks::new(), "{miss}");
    }
}

#[test]
fn none_is_left_out() {
    let here = [
        // With tests of their own, below and in `reader` and `reader_limits`.
        Quirk::NotUtf8,
        Quirk::PoliciesNotArray,
        Quirk::FailureDetailsNotArray,
        Quirk::Truncated,
        Quirk::MultiMemberGzip,
        Quirk::Zip,
    ];
    let rows = ROWS.iter().flat_map(|(_, _, quirks, _)| quirks.iter().copied());
    let tested: BTreeSet<Quirk> = rows.chain(here).chain(QUIRKS_OF_MAIL).collect();
    assert_eq!(tested, Quirk::ALL.iter().copied().collect());
}

#[test]
fn bytes_that_are_not_utf_8() {
    let (head, tail) = REPORT.split_once("Sender").unwrap();
    let latin = [head.as_bytes(), b"S\xfcnder", tail.as_bytes()].concat();
    let report = read_report(&latin).unwrap();
    assert_eq!(report.quirks, Quirks::from([Quirk::NotUtf8]));
    assert_eq!(report.organization.as_deref(), Some("S\u{fffd}nder"));
    assert_eq!(read(&with("\"Sender\"", "\"S\u{fc}nder\"")).quirks, Quirks::new());

    let wide: Vec<u8> = "\u{feff}".chars().chain(REPORT.chars()).flat_map(|c| (c as u16).to_le_bytes()).collect();
    let report = read_report(&wide).unwrap();
    assert_eq!(report.quirks, Quirks::from([Quirk::ByteOrderMark, Quirk::NotUtf8]));
    assert_eq!(report.policies, read(REPORT).policies);
}

#[test]
fn one_object_in_the_place_of_a_list() {
    let alone = REPORT.replace(r#""policies":[{"#, r#""policies":{"#).replace("\"expired\"}]}]}", "\"expired\"}]}}");
    let report = read(&alone);
    assert_eq!(report.quirks, Quirks::from([Quirk::PoliciesNotArray]));
    assert_eq!(report.policies, read(REPORT).policies);

    let alone = REPORT
        .replace(r#""failure-details":[{"#, r#""failure-details":{"#)
        .replace("\"expired\"}]}]}", "\"expired\"}}]}");
    let report = read(&alone);
    assert_eq!(report.quirks, Quirks::from([Quirk::FailureDetailsNotArray]));
    assert_eq!(report.policies, read(REPORT).policies);
}
