//! Mails with reports, in the shapes in which they come (RFC 8460 §5.3).

use smtptls_exporter::protocol::tls_rpt::{
    MAIL_MOST, MailReport, Quirk, Quirks, RefusalReason, ReportReader, open_mail, read_mail, read_report, split_mbox,
};

use super::made::{HEADER, REPORT, base64, gzip, mail, mail_under, multipart, part, with, zip};

/// The quirks that a mail raises: each has a test here.
pub(super) const QUIRKS_OF_MAIL: [Quirk; 5] = [
    Quirk::MediaTypeMismatch,
    Quirk::NotMultipartReport,
    Quirk::MailHeaderMissing,
    Quirk::SubmitterMismatch,
    Quirk::PartUnread,
];

const REPORT_TYPE: &str = "multipart/report; report-type=tlsrpt";
const GZIP_TYPE: &str = "application/tlsrpt+gzip";

fn read(raw: &[u8]) -> Vec<MailReport> {
    let refused = |refusal| panic!("{refusal}: {}", String::from_utf8_lossy(raw));
    read_mail(&mut ReportReader::new(), raw).unwrap_or_else(refused)
}

/// The only report of a mail: with these quirks, and the content of the plain one.
fn assert_one(raw: &[u8], quirks: &[Quirk]) {
    let reports = read(raw);
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0].report.quirks, quirks.iter().copied().collect(), "{}", String::from_utf8_lossy(raw));
    assert_eq!(reports[0].report.fingerprint(), read_report(REPORT.as_bytes()).unwrap().fingerprint());
}

fn packed() -> Vec<u8> {
    gzip(REPORT.as_bytes())
}

#[test]
fn a_mail_as_the_standard_has_it() {
    let raw = mail(&[part(GZIP_TYPE, &packed())]);
    assert_one(&raw, &[]);
    let report = &read(&raw)[0];
    assert_eq!(report.submitter.as_deref(), Some("sender.test"));
    assert_eq!(report.report_domain.as_deref(), Some("example.com"));
    assert_eq!(report.message_id.as_deref(), Some("m1@sender.test"));
    let opened = open_mail(&raw).unwrap();
    assert_eq!(opened.from, ["sender.test"]);
    assert_eq!(opened.parts.len(), 1);
    assert_eq!(opened.parts[0].media_type.as_deref(), Some(GZIP_TYPE));
}

#[test]
fn types_and_names_may_be_wrong() {
    for (media_type, bytes, quirks) in [
        ("application/gzip", packed(), vec![Quirk::MediaTypeMismatch]),
        ("application/octet-stream; name=\"r.json.gz\"", packed(), vec![Quirk::MediaTypeMismatch]),
        ("text/plain", packed(), vec![Quirk::MediaTypeMismatch]),
        ("application/json", REPORT.into(), vec![Quirk::MediaTypeMismatch]),
        ("application/tlsrpt", REPORT.into(), vec![Quirk::MediaTypeMismatch]),
        ("application/tlsrpt+json", REPORT.into(), vec![]),
        ("application/zip", zip(&[("r.json", REPORT.as_bytes())]), vec![Quirk::Zip]),
        ("application/x-zip", zip(&[("r.json", REPORT.as_bytes())]), vec![Quirk::Zip, Quirk::MediaTypeMismatch]),
    ] {
        assert_one(&mail(&[part(media_type, &bytes)]), &quirks);
    }
}

#[test]
fn the_multipart_may_be_another_one_or_none() {
    let parts = [part(GZIP_TYPE, &packed())];
    for media_type in ["multipart/mixed", "multipart/report", "multipart/report; report-type=delivery-status"] {
        assert_one(&mail_under(HEADER, media_type, &parts), &[Quirk::NotMultipartReport]);
    }
    for media_type in ["Multipart/Report; report-type=\"TLSRPT\"", "multipart/report;\r\n\treport-type=tlsrpt"] {
        assert_one(&mail_under(HEADER, media_type, &parts), &[]);
    }
    let bare = format!("{HEADER}{}", parts[0]);
    assert_one(bare.as_bytes(), &[Quirk::NotMultipartReport]);
    let inline = format!("{HEADER}\r\n{REPORT}\r\n");
    assert_one(inline.as_bytes(), &[Quirk::NotMultipartReport]);
}

#[test]
fn a_report_is_found_at_any_depth_within_the_limits() {
    let wrapped = |levels: usize| {
        let inner = part(GZIP_TYPE, &packed());
        (0..levels).fold(inner, |inner, level| multipart("multipart/mixed", &format!("w{level}"), &[inner]))
    };
    for levels in [1, 3, 9] {
        assert_one(&mail(&[wrapped(levels)]), &[]);
    }
    let refusal = open_mail(&mail(&[wrapped(11)])).unwrap_err();
    assert_eq!(refusal.reason, RefusalReason::TooLarge, "{refusal}");

    let forwarded = String::from_utf8(mail(&[part(GZIP_TYPE, &packed())])).unwrap();
    let attached = format!("Content-Type: message/rfc822\r\n\r\n{forwarded}");
    assert_one(&mail(&[attached]), &[]);
    let many = vec![part("text/plain", b"x"); 300];
    assert_eq!(open_mail(&mail(&many)).unwrap_err().reason, RefusalReason::TooLarge);
}

/// Mails within mails without an end take neither the stack nor time.
#[test]
fn nested_mails_come_to_an_end() {
    let nested = "Content-Type: message/rfc822\r\n\r\n".repeat(400_000);
    assert!(nested.len() < MAIL_MOST);
    assert_eq!(open_mail(nested.as_bytes()).unwrap_err().reason, RefusalReason::TooLarge);
    let digests = "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n".repeat(200_000);
    assert!(open_mail(digests.as_bytes()).is_err());
    let header = "a:b\r\n".repeat(2_900_000);
    assert!(open_mail(header.as_bytes()).is_err());
}

#[test]
fn encodings_may_be_odd() {
    let letters = base64(&packed()).replace("\r\n", "");
    let odd_lines: String = letters
        .as_bytes()
        .chunks(7)
        .zip([" \n", "\r\r\n", "\t\r\n"].into_iter().cycle())
        .flat_map(|(line, end)| [std::str::from_utf8(line).unwrap(), end])
        .collect();
    let stray = base64(&packed()).replacen('A', "!A*", 1);
    for body in [odd_lines, stray, base64(&packed()).replace('=', ""), base64(&packed()).replace("\r\n", "\n")] {
        let raw = format!("Content-Type: {GZIP_TYPE}\r\nContent-Transfer-Encoding: BASE64\r\n\r\n{body}\r\n");
        assert_one(&mail(&[raw]), &[]);
    }
    let quoted: String = REPORT
        .replace('=', "=3D")
        .as_bytes()
        .chunks(70)
        .fold(String::new(), |text, line| text + std::str::from_utf8(line).unwrap() + "=\r\n");
    let raw = format!(
        "Content-Type: application/tlsrpt+json\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n{quoted}\r\n"
    );
    assert_one(&mail(&[raw]), &[]);
    let plain = format!("Content-Type: application/tlsrpt+json\r\n\r\n{REPORT}\r\n");
    assert_one(&mail(&[plain]), &[]);
    let unix = String::from_utf8(mail(&[part(GZIP_TYPE, &packed())])).unwrap().replace("\r\n", "\n");
    assert_one(unix.as_bytes(), &[]);
    assert_one(format!("From x@y Mon\n{unix}").as_bytes(), &[]);
    let cut = unix.replace("--b1--", "");
    assert_one(cut.as_bytes(), &[]);
}

#[test]
fn headers_may_be_missing_or_differ() {
    let parts = [part(GZIP_TYPE, &packed())];
    for missing in ["TLS-Report-Domain: example.com\r\n", "TLS-Report-Submitter: sender.test\r\n"] {
        let raw = mail_under(&HEADER.replace(missing, ""), REPORT_TYPE, &parts);
        assert_one(&raw, &[Quirk::MailHeaderMissing]);
    }
    let submitter = |text: &str| {
        mail_under(&HEADER.replace("Submitter: sender.test\r", &format!("Submitter: {text}\r")), REPORT_TYPE, &parts)
    };
    assert_one(&submitter("other.test"), &[Quirk::SubmitterMismatch]);
    assert_one(&submitter("mail.sender.test"), &[Quirk::SubmitterMismatch]);
    assert_one(&submitter("Sender.TEST."), &[]);
    let no_contact = with("\"tls@sender.test\"", "null");
    let raw = mail(&[part("application/tlsrpt+json", no_contact.as_bytes())]);
    assert_eq!(read(&raw)[0].report.quirks, Quirks::from([Quirk::ContactInfoNull]), "nothing to compare with");
}

#[test]
fn several_reports_in_a_mail() {
    let other = with("\"r1\"", "\"r2\"");
    let raw = mail(&[part(GZIP_TYPE, &packed()), part("application/tlsrpt+json", other.as_bytes())]);
    let ids: Vec<_> = read(&raw).into_iter().map(|report| report.report.report_id.unwrap()).collect();
    assert_eq!(ids, ["r1", "r2"]);
    let twice = mail(&[part(GZIP_TYPE, &packed()), part("application/tlsrpt+json", REPORT.as_bytes())]);
    assert_one(&twice, &[]);
    // What looks like a report and is none is nobody's loss; what is called one is.
    assert_one(&mail(&[part("text/plain", b"{\"a\":1}"), part(GZIP_TYPE, &packed())]), &[]);
    assert_one(
        &mail(&[part(GZIP_TYPE, b"junk"), part("application/json", REPORT.as_bytes())]),
        &[Quirk::MediaTypeMismatch, Quirk::PartUnread],
    );
}

#[test]
fn what_holds_no_report_is_refused() {
    for (raw, reason, detail) in [
        (mail(&[]), RefusalReason::BadEncoding, "text/plain"),
        (mail(&[part("application/pdf", b"%PDF")]), RefusalReason::BadEncoding, "application/pdf"),
        (mail(&[part(GZIP_TYPE, &packed()[..40])]), RefusalReason::BadEncoding, "end"),
        (mail(&[part("application/json", b"{\"a\":1}")]), RefusalReason::BadJson, "policies"),
        (Vec::new(), RefusalReason::BadEncoding, "no part"),
        (vec![b'a'; MAIL_MOST + 1], RefusalReason::TooLarge, "bytes"),
    ] {
        let refusal = read_mail(&mut ReportReader::new(), &raw).unwrap_err();
        assert_eq!(refusal.reason, reason, "{refusal}");
        assert!(refusal.detail.contains(detail), "{refusal}");
    }
}

#[test]
fn the_mails_of_a_mailbox() {
    let one = String::from_utf8(mail(&[part(GZIP_TYPE, &packed())])).unwrap();
    let mbox = format!("From a Mon Jan 12\n{one}\nFrom b Mon Jan 12\n{one}\n");
    let mails: Vec<_> = split_mbox(mbox.as_bytes()).collect();
    assert_eq!(mails.len(), 2);
    for raw in mails {
        assert_one(&raw, &[]);
    }
}
