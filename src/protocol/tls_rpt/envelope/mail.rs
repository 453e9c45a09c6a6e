//! A mail with a report (RFC 8460 §5.3), in whatever shape it comes.
//!
//! Headers and encodings are a library's work. The walk through the parts is our own: what is nested is bounded, and what is not wanted
//! is not kept.

use std::borrow::Cow;

use mail_parser::{
    HeaderName, Message, MessageParser, MimeHeaders,
    decoders::{base64::base64_decode, quoted_printable::quoted_printable_decode},
};

use super::{
    gzip::bad,
    reader::{Declared, ReportReader},
    shape::{Shape, sniff},
};
use crate::{
    protocol::tls_rpt::{Quirk, Quirks, Refusal, RefusalReason, TlsReport, report::clean},
    terms::PolicyDomain,
};

/// REP-22: so many bytes of a mail are read, as other receivers do. A report in base64 is a few kilobytes.
pub const MAIL_MOST: usize = 15 << 20;

/// The header of a mail or a part is read so far: those of big providers, with their seals, have 10 kB.
const HEADER_MOST: usize = 256 << 10;

/// Parts of a mail, those within parts among them: a report has two.
const PARTS_MOST: usize = 200;

/// Parts within parts. A report that was forwarded as an attachment has four levels.
const NESTED_MOST: usize = 10;

/// Senders in From: more than one is rare, and no report.
const SENDERS_MOST: usize = 10;

/// What a mail says of itself, and what in it can be a report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportMail {
    /// TLS-Report-Submitter: a domain in lower case, or what stands there.
    pub submitter: Option<String>,
    /// TLS-Report-Domain, likewise.
    pub report_domain: Option<String>,
    /// The domains of From, in lower case.
    pub from: Vec<String>,
    /// Message-ID without its brackets.
    pub message_id: Option<String>,
    /// What can be a report, the likeliest first; never empty.
    pub parts: Vec<MailPart>,
    /// What is odd about the mail.
    pub quirks: Quirks,
}

/// A part of a mail, with its transfer encoding undone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MailPart {
    /// The content.
    pub bytes: Vec<u8>,
    /// Its media type in lower case, without parameters. Without a header it is that of RFC 2045 §5.2.
    pub media_type: Option<String>,
    /// The name of the attachment.
    pub file_name: Option<String>,
}

/// A report from a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailReport {
    /// The report, with the quirks of the mail among its own.
    pub report: TlsReport,
    /// [`ReportMail::submitter`].
    pub submitter: Option<String>,
    /// [`ReportMail::report_domain`].
    pub report_domain: Option<String>,
    /// [`ReportMail::message_id`].
    pub message_id: Option<String>,
    /// The name of the attachment.
    pub file_name: Option<String>,
}

impl MailPart {
    /// What the sender says of it.
    pub fn declared(&self) -> Declared<'_> {
        Declared { media_type: self.media_type.as_deref(), file_name: self.file_name.as_deref() }
    }

    /// The lower, the likelier: what is called a report, then what is packed as one, then what looks like one.
    fn rank(&self) -> u8 {
        match (self.is_called_report(), sniff(&self.bytes)) {
            (true, _) => 0,
            (false, Shape::Gzip | Shape::Zip) => 1,
            (false, _) => 2,
        }
    }

    fn is_called_report(&self) -> bool {
        self.media_type.as_deref().is_some_and(|media_type| media_type.starts_with("application/tlsrpt"))
    }
}

/// Opens a mail of at most [`MAIL_MOST`] bytes and finds what in it can be a report, at any depth: called so, or packed or written as one.
///
/// # Errors
/// [`RefusalReason::BadEncoding`] where nothing in it can be a report; [`RefusalReason::TooLarge`] beyond the limits.
pub fn open_mail(raw: &[u8]) -> Result<ReportMail, Refusal> {
    if raw.len() > MAIL_MOST {
        let detail = format!("a mail of {} bytes; at most {MAIL_MOST} were expected", raw.len());
        return Err(Refusal::new(RefusalReason::TooLarge, detail));
    }
    let raw = without_mbox_line(raw);
    let parser = parser();
    let mut walk = Walk { parser: &parser, parts: Vec::new(), seen: Vec::new() };
    let (header, _) = split_entity(raw);
    let header = parsed(&parser, header);
    walk.entity(raw, 0)?;
    let mut mail = ReportMail { parts: walk.parts, ..ReportMail::default() };
    if mail.parts.is_empty() {
        let seen = if walk.seen.is_empty() { "none".to_owned() } else { walk.seen.join(", ") };
        return Err(bad(format!("no part of the mail can be a report; there are: {seen}")));
    }
    mail.parts.sort_by_key(MailPart::rank);
    if let Some(header) = &header {
        mail.submitter = header_text(header, "TLS-Report-Submitter").and_then(|text| domain(&text));
        mail.report_domain = header_text(header, "TLS-Report-Domain").and_then(|text| domain(&text));
        mail.message_id = header_text(header, "Message-ID").map(|text| clean(text.trim_matches(['<', '>'])).0);
        let senders = header.from().into_iter().flat_map(|from| from.iter()).take(SENDERS_MOST);
        let domains = senders.filter_map(|sender| domain(sender.address.as_deref()?.rsplit_once('@')?.1));
        mail.from = domains.collect();
    }
    if mail.submitter.is_none() || mail.report_domain.is_none() {
        mail.quirks.insert(Quirk::MailHeaderMissing);
    }
    if !header.as_ref().is_some_and(is_report) {
        mail.quirks.insert(Quirk::NotMultipartReport);
    }
    Ok(mail)
}

/// Reads all the reports of a mail. The same content in two parts is one report; a part that looks like a report and is none counts only
/// where no other is one.
///
/// # Errors
/// As [`open_mail`] and [`ReportReader::read`]; that of the likeliest part, where none is a report.
pub fn read_mail(reader: &mut ReportReader, raw: &[u8]) -> Result<Vec<MailReport>, Refusal> {
    let mail = open_mail(raw)?;
    let mut reports: Vec<MailReport> = Vec::new();
    let mut prints: Vec<[u8; 32]> = Vec::new();
    let (mut first_refusal, mut unread) = (None, false);
    for part in &mail.parts {
        match reader.read(&part.bytes, part.declared()) {
            Ok(report) => {
                let print = report.fingerprint();
                if !prints.contains(&print) {
                    prints.push(print);
                    reports.push(MailReport { file_name: part.file_name.clone(), ..mail.with(report) });
                }
            }
            Err(refusal) => {
                unread |= part.is_called_report();
                first_refusal.get_or_insert(refusal);
            }
        }
    }
    match (reports.first_mut(), first_refusal) {
        (Some(first), _) => {
            if unread {
                first.report.quirks.insert(Quirk::PartUnread);
            }
            Ok(reports)
        }
        (None, Some(refusal)) => Err(refusal),
        (None, None) => Err(bad("no part of the mail can be a report")),
    }
}

impl ReportMail {
    /// A report of this mail, with what is odd about the mail.
    pub fn with(&self, mut report: TlsReport) -> MailReport {
        report.quirks.extend(&self.quirks);
        let contact = report.submitter_domain();
        if let (Some(submitter), Some(contact)) = (&self.submitter, contact)
            && submitter != contact.as_str()
        {
            report.quirks.insert(Quirk::SubmitterMismatch);
        }
        MailReport {
            report,
            submitter: self.submitter.clone(),
            report_domain: self.report_domain.clone(),
            message_id: self.message_id.clone(),
            file_name: None,
        }
    }
}

/// Without empty lines at the beginning, and without the line that a mailbox has before a mail.
fn without_mbox_line(raw: &[u8]) -> &[u8] {
    let raw = raw.trim_ascii_start();
    if !raw.starts_with(b"From ") {
        return raw;
    }
    raw.iter().position(|byte| *byte == b'\n').and_then(|end| raw.get(end + 1..)).unwrap_or_default()
}

fn parser() -> MessageParser {
    MessageParser::new()
        .with_mime_headers()
        .header_address(HeaderName::From)
        .header_id(HeaderName::MessageId)
        .header_text(HeaderName::Other("TLS-Report-Domain".into()))
        .header_text(HeaderName::Other("TLS-Report-Submitter".into()))
}

/// The header of a mail or a part; nothing where there is no field in it. The library takes a message without parts for impossible.
fn parsed<'a>(parser: &MessageParser, header: &'a [u8]) -> Option<Message<'a>> {
    parser.parse_headers(header).filter(|header| !header.parts.is_empty())
}

fn header_text(message: &Message<'_>, name: &str) -> Option<String> {
    let header = message.headers().iter().find(|header| header.name().eq_ignore_ascii_case(name))?;
    header.value().as_text().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// A domain in the form in which domains are compared, else what stands there.
fn domain(text: &str) -> Option<String> {
    match PolicyDomain::parse(text) {
        Ok(domain) => Some(domain.as_str().to_owned()),
        Err(_) => Some(clean(text.trim()).0).filter(|text| !text.is_empty()),
    }
}

/// RFC 8460 §5.3: `multipart/report; report-type=tlsrpt`.
fn is_report(header: &Message<'_>) -> bool {
    header.content_type().is_some_and(|content_type| {
        let report_type = content_type.attribute("report-type").unwrap_or_default();
        content_type.ctype().eq_ignore_ascii_case("multipart")
            && content_type.subtype().is_some_and(|subtype| subtype.eq_ignore_ascii_case("report"))
            && report_type.eq_ignore_ascii_case("tlsrpt")
    })
}

/// A walk through the parts of a mail.
struct Walk<'p> {
    parser: &'p MessageParser,
    parts: Vec<MailPart>,
    /// The media types that were seen, for what is said where none is a report.
    seen: Vec<String>,
}

impl Walk<'_> {
    fn entity(&mut self, raw: &[u8], nested: usize) -> Result<(), Refusal> {
        if nested > NESTED_MOST {
            let detail = format!("a mail with parts within parts, more than {NESTED_MOST} deep");
            return Err(Refusal::new(RefusalReason::TooLarge, detail));
        }
        if self.seen.len() == PARTS_MOST {
            let detail = format!("a mail with more than {PARTS_MOST} parts");
            return Err(Refusal::new(RefusalReason::TooLarge, detail));
        }
        let (header, body) = split_entity(raw);
        let header = parsed(self.parser, header);
        let content_type = header.as_ref().and_then(MimeHeaders::content_type);
        let word = |text: Option<&str>| clean(text.unwrap_or_default()).0.to_ascii_lowercase();
        let media_type = content_type
            .map(|content_type| format!("{}/{}", word(Some(content_type.ctype())), word(content_type.subtype())));
        // RFC 2045 §5.2.
        self.seen.push(media_type.clone().unwrap_or_else(|| "text/plain".to_owned()));
        let boundary = content_type.and_then(|content_type| content_type.attribute("boundary"));
        if let (Some("multipart"), Some(boundary)) =
            (media_type.as_deref().and_then(|media_type| media_type.split('/').next()), boundary)
        {
            let parts = split_multipart(body, boundary.as_bytes());
            for part in &parts {
                self.entity(part, nested + 1)?;
            }
            if !parts.is_empty() {
                return Ok(());
            }
        }
        let encoding = header.as_ref().and_then(MimeHeaders::content_transfer_encoding).unwrap_or_default();
        let encoding = encoding.trim().to_ascii_lowercase();
        let bytes = decode(&encoding, body);
        if matches!(media_type.as_deref(), Some("message/rfc822" | "message/global")) {
            return self.entity(&bytes, nested + 1);
        }
        let name = content_type.and_then(|content_type| content_type.attribute("name"));
        let disposition = header.as_ref().and_then(MimeHeaders::content_disposition);
        let disposition = disposition.and_then(|content_type| content_type.attribute("filename"));
        let file_name = disposition.or(name).map(|name| clean(name.trim()).0);
        let part = MailPart { bytes: Vec::new(), media_type, file_name };
        if part.is_called_report() || matches!(sniff(&bytes), Shape::Json | Shape::Gzip | Shape::Zip) {
            self.parts.push(MailPart { bytes: bytes.into_owned(), ..part });
        }
        Ok(())
    }
}

/// The header, with the empty line that ends it, and the body.
fn split_entity(raw: &[u8]) -> (&[u8], &[u8]) {
    let mut at = 0;
    for line in raw.split_inclusive(|byte| *byte == b'\n') {
        at += line.len();
        if matches!(line, b"\n" | b"\r\n") {
            let (header, body) = raw.split_at_checked(at).unwrap_or((raw, b""));
            return (header.get(..HEADER_MOST).unwrap_or(header), body);
        }
    }
    (raw.get(..HEADER_MOST).unwrap_or(raw), b"")
}

/// The parts between the delimiter lines (RFC 2046 §5.1.1). The last may lack its end, as in a mail that was cut off. One more than may
/// be is enough.
fn split_multipart<'a>(body: &'a [u8], boundary: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    let mut start = None;
    let mut at = 0;
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        let before = at;
        at += line.len();
        let Some(rest) = line.strip_prefix(b"--").and_then(|line| line.strip_prefix(boundary)) else { continue };
        let rest = rest.trim_ascii_end();
        if !rest.is_empty() && rest != b"--" {
            continue;
        }
        if let Some(part) = start.and_then(|start| body.get(start..before)) {
            // The line end before the delimiter is the delimiter's.
            let part = part.strip_suffix(b"\n").unwrap_or(part);
            parts.push(part.strip_suffix(b"\r").unwrap_or(part));
        }
        start = (rest.is_empty() && parts.len() <= PARTS_MOST).then_some(at);
        if start.is_none() {
            return parts;
        }
    }
    parts.extend(start.and_then(|start| body.get(start..)));
    parts
}

/// Undoes a transfer encoding (RFC 2045 §6). What does not follow it is taken as it is.
fn decode<'a>(encoding: &str, body: &'a [u8]) -> Cow<'a, [u8]> {
    match encoding {
        "base64" => Cow::Owned(base64_decode(body).unwrap_or_else(|| {
            // RFC 2045 §6.8: what is no letter of the alphabet is passed over.
            let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
            let letters: Vec<u8> = body.iter().copied().filter(is_letter).collect();
            base64_decode(&letters).unwrap_or_else(|| body.to_vec())
        })),
        "quoted-printable" => quoted_printable_decode(body).map_or(Cow::Borrowed(body), Cow::Owned),
        _ => Cow::Borrowed(body),
    }
}
