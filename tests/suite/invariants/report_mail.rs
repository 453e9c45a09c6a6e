//! A mail with a report, or a mailbox of such mails (RFC 8460 §5.3).

use smtptls_exporter::protocol::tls_rpt::{ReportReader, open_mail, read_mail, read_report, split_mbox};

use super::tls_report::{check_refusal, check_report};

/// The bytes as one mail, and as a mailbox; and what is a report alone is the same report within a mail.
pub fn report_mail(bytes: &[u8]) {
    let mut reader = ReportReader::new();
    check_mail(&mut reader, bytes);
    let mut length = 0;
    for raw in split_mbox(bytes) {
        length += raw.len();
        check_mail(&mut reader, &raw);
    }
    assert!(length <= bytes.len(), "a mailbox holds no more than its bytes");

    let Ok(plain) = read_report(bytes) else { return };
    let octets: String = bytes.iter().map(|byte| format!("={byte:02X}=\r\n")).collect();
    let mail = format!(
        "Content-Type: application/tlsrpt+json\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n{octets}\r\n"
    );
    let reports = read_mail(&mut reader, mail.as_bytes()).unwrap();
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0].report.fingerprint(), plain.fingerprint());
    assert!(plain.quirks.is_subset(&reports[0].report.quirks));
}

fn check_mail(reader: &mut ReportReader, raw: &[u8]) {
    match open_mail(raw) {
        Err(refusal) => {
            check_refusal(refusal.reason, &refusal.detail);
            assert_eq!(read_mail(reader, raw), Err(refusal));
        }
        Ok(mail) => {
            assert!(!mail.parts.is_empty());
            let size: usize = mail.parts.iter().map(|part| part.bytes.len()).sum();
            // Undone, quoted-printable may end every line with CRLF where LF stood.
            let line_ends = raw.iter().filter(|byte| **byte == b'\n').count();
            assert!(size <= raw.len() + line_ends, "what is decoded is no larger");
            let texts = [&mail.submitter, &mail.report_domain, &mail.message_id];
            for text in texts.into_iter().flatten().chain(&mail.from) {
                assert!(!text.chars().any(char::is_control), "{text:?}");
            }
            match read_mail(reader, raw) {
                Ok(reports) => {
                    assert!(!reports.is_empty() && reports.len() <= mail.parts.len());
                    for report in reports {
                        check_report(&report.report);
                        assert!(mail.quirks.is_subset(&report.report.quirks));
                    }
                }
                Err(refusal) => check_refusal(refusal.reason, &refusal.detail),
            }
        }
    }
}
