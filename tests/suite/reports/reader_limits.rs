//! Attacks: what is too large is refused or cut, and sums are kept (REP-22).

use std::io::Write;

use flate2::{Compression, FlushCompress, Status, write::GzEncoder};
use smtptls_exporter::protocol::tls_rpt::{
    DETAILS_MOST, Declared, JSON_MOST, LINES_MOST, POLICIES_MOST, Quirk, RefusalReason, ReportReader, read_report,
};

use super::made::{gzip, with, zip};

const MEGA: usize = 1 << 20;

/// One member of 10 GB: the same compressed megabytes over and over, which is what a deflate stream may be made of.
fn bomb() -> Vec<u8> {
    let zeros = vec![0; 10 * MEGA];
    let mut compress = flate2::Compress::new(Compression::fast(), false);
    let mut piece = Vec::with_capacity(MEGA);
    let status = compress.compress_vec(&zeros, &mut piece, FlushCompress::Full).unwrap();
    assert!(status == Status::Ok && compress.total_in() == zeros.len() as u64, "all of it");
    let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    for _ in 0..1000 {
        bytes.extend(&piece);
    }
    bytes
}

#[test]
fn a_bomb_ends_at_the_limit() {
    let single = bomb();
    let member = gzip(&vec![b' '; MEGA]);
    let many: Vec<u8> = std::iter::repeat_n(member, 10_000).flatten().collect();
    let in_zip = zip(&[("r.json", &vec![b' '; JSON_MOST + 1])]);
    for (bytes, what) in [(single, "one member"), (many, "many members"), (in_zip, "zip")] {
        let refusal = ReportReader::new().read(&bytes, Declared::default()).unwrap_err();
        assert_eq!(refusal.reason, RefusalReason::TooLarge, "{what}: {refusal}");
    }
}

/// The directory of an archive may lie about sizes.
#[test]
fn a_zip_that_lies_ends_at_the_limit() {
    let mut archive = zip(&[("r.json", &vec![b' '; JSON_MOST + 1])]);
    let directory = archive.windows(4).rposition(|bytes| bytes == b"PK\x01\x02").unwrap();
    archive[directory + 24..directory + 28].copy_from_slice(&[1, 0, 0, 0]);
    let refusal = ReportReader::new().read(&archive, Declared::default()).unwrap_err();
    assert_eq!(refusal.reason, RefusalReason::TooLarge, "{refusal}");
}

#[test]
fn empty_members_come_to_an_end() {
    let many: Vec<u8> = std::iter::repeat_n(gzip(b""), 100_000).flatten().collect();
    let refusal = ReportReader::new().read(&many, Declared::default()).unwrap_err();
    assert_eq!(refusal.reason, RefusalReason::TooLarge, "{refusal}");
}

/// As large as may be, and a byte more; packed and plain.
#[test]
fn the_limit_of_the_size_is_exact() {
    let report = |length: usize| {
        let head = "{\"report-id\":\"r1\"";
        format!("{head}{}}}", " ".repeat(length - head.len() - 1)).into_bytes()
    };
    assert!(read_report(&report(JSON_MOST)).is_ok());
    assert_eq!(read_report(&report(JSON_MOST + 1)).unwrap_err().reason, RefusalReason::TooLarge);
    let packed = |length| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&report(length)).unwrap();
        encoder.finish().unwrap()
    };
    let mut reader = ReportReader::new();
    assert!(reader.read(&packed(JSON_MOST), Declared::default()).is_ok());
    let refusal = reader.read(&packed(JSON_MOST + 1), Declared::default()).unwrap_err();
    assert_eq!(refusal.reason, RefusalReason::TooLarge);
}

#[test]
fn depth_is_limited_where_nothing_is_read_too() {
    let nested =
        |levels: usize| format!("{{\"report-id\":\"r1\",\"x\":{}1{}}}", "[".repeat(levels), "]".repeat(levels));
    assert!(read_report(nested(31).as_bytes()).is_ok());
    for levels in [32, 1000, 5_000_000] {
        let refusal = read_report(nested(levels).as_bytes()).unwrap_err();
        assert_eq!(refusal.reason, RefusalReason::TooLarge, "{levels}: {refusal}");
    }
    let open = format!("{{\"policies\":{}", "[".repeat(1_000_000));
    assert!(read_report(open.as_bytes()).is_err());
    let inside = with(r#""summary":{"#, &format!(r#""summary":{{"x":{}{},"#, "[".repeat(40), "]".repeat(40)));
    assert_eq!(read_report(inside.as_bytes()).unwrap_err().reason, RefusalReason::TooLarge);
}

#[test]
fn a_million_policies_are_added_up() {
    const EACH: &str = r#"{"summary":{"total-failure-session-count":2}},"#;
    let more = 500_000;
    let json = format!(r#"{{"policies":[{}{}{{}}]}}"#, EACH.repeat(more), "{},".repeat(500_000));
    let report = read_report(json.as_bytes()).unwrap();
    assert!(report.quirks.contains(&Quirk::Truncated));
    assert!(report.policies.len() <= POLICIES_MOST + 4, "{}", report.policies.len());
    assert_eq!(report.policies.iter().map(|policy| policy.failed).sum::<u64>(), 2 * more as u64);
}

/// What comes after the last policy that is kept is added to the one of the same domain, or of its kind.
#[test]
fn policies_beyond_the_limit_go_to_their_domain() {
    let policy = |domain: &str| {
        format!(
            r#"{{"policy":{{"policy-type":"sts","policy-domain":"{domain}"}},"summary":{{"total-successful-session-count":1,"total-failure-session-count":3}},"failure-details":[{{"result-type":"tlsa-invalid","failed-session-count":3,"receiving-mx-hostname":"mx.test"}}]}}"#
        )
    };
    let many: Vec<String> = (0..POLICIES_MOST).map(|number| policy(&format!("d{number}.example"))).collect();
    let json = format!(
        r#"{{"policies":[{},{},{},{}]}}"#,
        many.join(","),
        policy("d7.example"),
        policy("x.example"),
        policy("y.example")
    );
    let report = read_report(json.as_bytes()).unwrap();
    assert_eq!(report.policies.len(), POLICIES_MOST + 1);
    let (seventh, rest) = (&report.policies[7], &report.policies[POLICIES_MOST]);
    assert_eq!((seventh.successful, seventh.failed, seventh.failures.len()), (2, 6, 2));
    assert_eq!((rest.domain.as_deref(), rest.successful, rest.failed), (None, 2, 6));
    assert_eq!(rest.failures.iter().map(|failure| failure.sessions).collect::<Vec<_>>(), [6]);
}

#[test]
fn a_million_details_are_added_up() {
    let expired = r#"{"result-type":"certificate-expired","failed-session-count":1},"#.repeat(200_000);
    let nothing = "{},".repeat(800_000);
    let json = with(r#""failure-details":[{"#, &format!(r#""failure-details":[{expired}{nothing}{{"#));
    let report = read_report(json.as_bytes()).unwrap();
    let failures = &report.policies[0].failures;
    assert!(report.quirks.contains(&Quirk::Truncated));
    assert!(failures.len() <= DETAILS_MOST + 12, "{}", failures.len());
    assert_eq!(failures.iter().map(|failure| failure.sessions).sum::<u64>(), 200_003);
}

#[test]
fn a_million_lines_are_cut() {
    let lines = r#""a","#.repeat(1_000_000);
    let json = with(r#"["*.mx.test"]"#, &format!("[{lines}\"b\"]"));
    let report = read_report(json.as_bytes()).unwrap();
    assert!(report.quirks.contains(&Quirk::Truncated));
    assert_eq!(report.policies[0].mx.len() + report.policies[0].policy_string.len(), LINES_MOST);
    assert_eq!(report.policies[0].failed, 3);
}
