//! Reports, packed ones and mails, as senders make them.

use std::io::Write;

use flate2::{Compression, Crc, write::DeflateEncoder, write::GzEncoder};

/// A report in which nothing is odd: each of its texts stands in it once, to be exchanged.
pub(crate) const REPORT: &str = concat!(
    r#"{"organization-name":"Sender","date-range":{"start-datetime":"2026-01-11T00:00:00Z","#,
    r#""end-datetime":"2026-01-11T23:59:59Z"},"contact-info":"tls@sender.test","report-id":"r1","policies":[{"policy":{"#,
    r#""policy-type":"sts","policy-string":["version: STSv1","mode: enforce","mx: *.mx.test","max_age: 604800"],"#,
    r#""policy-domain":"example.com","mx-host":["*.mx.test"]},"summary":{"total-successful-session-count":5,"#,
    r#""total-failure-session-count":3},"failure-details":[{"result-type":"certificate-expired","#,
    r#""sending-mta-ip":"192.0.2.1","receiving-mx-hostname":"a.mx.test","receiving-mx-helo":"helo.mx.test","#,
    r#""receiving-ip":"198.51.100.7","failed-session-count":3,"additional-information":"https://sender.test/x","#,
    r#""failure-reason-code":"expired"}]}]}"#,
);

/// The report with one text exchanged.
pub(crate) fn with(from: &str, to: &str) -> String {
    assert_eq!(REPORT.matches(from).count(), 1, "{from}");
    REPORT.replace(from, to)
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A zip archive of entries that are deflated (APPNOTE 4.3).
pub(crate) fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut archive, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in entries {
        let data = deflated(content);
        let mut crc = Crc::new();
        crc.update(content);
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap().to_le_bytes();
        let name_length = u16::try_from(name.len()).unwrap().to_le_bytes();
        let sums = [&crc.sum().to_le_bytes()[..], &length(&data), &length(content)].concat();
        let offset = length(&archive);
        let version = [20, 0];
        let (flags, method, time) = ([0, 0], [8, 0], [0; 4]);
        let common = [&version[..], &flags, &method, &time, &sums, &name_length, &[0, 0]].concat();
        archive.extend([b"PK\x03\x04", &common[..], name.as_bytes(), &data].concat());
        directory.extend([b"PK\x01\x02", &version[..], &common[..], &[0; 10], &offset, name.as_bytes()].concat());
    }
    let count = u16::try_from(entries.len()).unwrap().to_le_bytes();
    let size = u32::try_from(directory.len()).unwrap().to_le_bytes();
    let start = u32::try_from(archive.len()).unwrap().to_le_bytes();
    let end = [b"PK\x05\x06", &[0; 4][..], &count, &count, &size, &start, &[0, 0]].concat();
    [archive, directory, end].concat()
}

/// RFC 2045 §6.8, in lines of 76 letters.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for (number, three) in bytes.chunks(3).enumerate() {
        if number > 0 && number % 19 == 0 {
            text.push_str("\r\n");
        }
        let bits = three.iter().chain([&0; 2]).take(3).fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        for place in 0..4 {
            let letter = LETTERS[bits >> (18 - 6 * place) & 63];
            text.push(if place > three.len() { '=' } else { char::from(letter) });
        }
    }
    text
}

/// The header of a mail of a report (RFC 8460 §5.3), up to its Content-Type.
pub(crate) const HEADER: &str = concat!(
    "From: tls@sender.test\r\nTo: tls-reports@example.com\r\nMessage-ID: <m1@sender.test>\r\n",
    "Subject: Report Domain: example.com Submitter: sender.test Report-ID: <r1@sender.test>\r\n",
    "TLS-Report-Domain: example.com\r\nTLS-Report-Submitter: sender.test\r\nMIME-Version: 1.0\r\n",
);

/// A part in base64.
pub(crate) fn part(media_type: &str, bytes: &[u8]) -> String {
    format!("Content-Type: {media_type}\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n", base64(bytes))
}

/// A multipart/report with a part for people before these.
pub(crate) fn mail(parts: &[String]) -> Vec<u8> {
    mail_under(HEADER, "multipart/report; report-type=tlsrpt", parts)
}

pub(crate) fn mail_under(header: &str, media_type: &str, parts: &[String]) -> Vec<u8> {
    format!("{header}{}", multipart(media_type, "b1", parts)).into_bytes()
}

/// An entity with a part for people and these.
pub(crate) fn multipart(media_type: &str, boundary: &str, parts: &[String]) -> String {
    let for_people = "Content-Type: text/plain\r\n\r\nThis is an aggregate TLS report from sender.test\r\n".to_owned();
    let parts = [&for_people].into_iter().chain(parts);
    let parts: String = parts.map(|part| format!("--{boundary}\r\n{part}")).collect();
    format!("Content-Type: {media_type}; boundary=\"{boundary}\"\r\n\r\n{parts}--{boundary}--\r\n")
}
