//! From bytes to reports with what is claimed of them. Pure.

use std::borrow::Cow;

use bytes::Bytes;

use super::{RawReport, attribute::Hints};
use crate::{
    facts::Transport,
    protocol::tls_rpt::{
        Claim, Declared, Refusal, RefusalReason, ReportReader, Shape, TlsReport, open_mail, read_mail, sniff,
        split_mbox,
    },
    terms::PolicyDomain,
};

/// A report, and what its sender says beside it.
#[derive(Debug)]
pub(super) struct OpenedReport {
    pub(super) report: TlsReport,
    /// Who says to have sent it.
    pub(super) claim: Claim,
    /// TLS-Report-Domain.
    pub(super) report_domain: Option<PolicyDomain>,
    /// The policy domain in the name of the file (RFC 8460 §5.1).
    pub(super) named_domain: Option<PolicyDomain>,
    /// The id of the message.
    pub(super) message_id: Option<String>,
}

impl OpenedReport {
    /// What stands beside the policies of the domain that they are about.
    pub(super) fn hints(&self) -> Hints<'_> {
        Hints { report_domain: self.report_domain.as_ref(), named_domain: self.named_domain.as_ref() }
    }
}

/// What something was.
#[derive(Debug)]
pub(super) enum Opened {
    /// A report without anything round it.
    Bare(Box<OpenedReport>),
    /// A mail with its reports.
    Mail(Vec<OpenedReport>),
    /// Mails that are to be looked at one by one.
    Mails(Vec<Bytes>),
}

/// Reads what came in. `from_mbox`: it is one mail of an mbox, and holds no mbox itself.
pub(super) fn open(reader: &mut ReportReader, raw: &RawReport, from_mbox: bool) -> Result<Opened, Refusal> {
    let shape = sniff(&raw.bytes);
    match (raw.transport, shape) {
        (Transport::Https, Shape::Mail | Shape::Mbox) => Err(Refusal::new(
            RefusalReason::BadEncoding,
            "a mail was posted; gzip or JSON was expected (RFC 8460 §5.4)",
        )),
        // Some deliver one mail with the line of an mbox before it, which is no part of what was signed.
        (Transport::Mail | Transport::File, Shape::Mbox) if !from_mbox => {
            let mails = split_mbox(&raw.bytes).map(|mail| match mail {
                Cow::Borrowed(mail) => raw.bytes.slice_ref(mail),
                Cow::Owned(mail) => mail.into(),
            });
            let mails: Vec<Bytes> = mails.collect();
            match mails.is_empty() {
                true => Err(Refusal::new(RefusalReason::BadEncoding, "the mbox holds no mail")),
                false => Ok(Opened::Mails(mails)),
            }
        }
        (Transport::Mail, _) | (Transport::File, Shape::Mail) => open_mail_with_reports(reader, &raw.bytes),
        (Transport::Https | Transport::File, _) => {
            let declared = Declared { media_type: raw.media_type.as_deref(), file_name: raw.file_name.as_deref() };
            let report = reader.read(&raw.bytes, declared)?;
            Ok(Opened::Bare(Box::new(OpenedReport {
                claim: Claim { contact: report.submitter_domain(), ..Claim::default() },
                report,
                report_domain: None,
                named_domain: raw.file_name.as_deref().and_then(named_domain),
                message_id: None,
            })))
        }
    }
}

fn open_mail_with_reports(reader: &mut ReportReader, mail: &[u8]) -> Result<Opened, Refusal> {
    let reports = read_mail(reader, mail)?;
    // Only the claims are needed of it, and those only where the report names nobody.
    let needs_from = reports.iter().any(|one| one.report.submitter_domain().is_none() && one.submitter.is_none());
    let from = if needs_from { open_mail(mail)?.from } else { Vec::new() };
    let from: Vec<PolicyDomain> = from.iter().filter_map(|name| PolicyDomain::parse(name).ok()).collect();
    let domain = |text: Option<&str>| text.and_then(|text| PolicyDomain::parse(text).ok());
    let opened = reports.into_iter().map(|one| OpenedReport {
        claim: Claim {
            contact: one.report.submitter_domain(),
            submitter: domain(one.submitter.as_deref()),
            from: from.clone(),
        },
        report_domain: domain(one.report_domain.as_deref()),
        named_domain: one.file_name.as_deref().and_then(named_domain),
        message_id: one.message_id,
        report: one.report,
    });
    Ok(Opened::Mail(opened.collect()))
}

/// `submitter!policy-domain!begin!end[!unique].json[.gz]` (RFC 8460 §5.1).
fn named_domain(file_name: &str) -> Option<PolicyDomain> {
    let mut parts = file_name.split('!');
    let (_, domain, begin, end) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_time = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let end = end.split('.').next().unwrap_or_default();
    (is_time(begin) && is_time(end)).then(|| PolicyDomain::parse(domain).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_file_names_the_domain() {
        let found = |name: &str| named_domain(name).map(|domain| domain.as_str().to_owned());
        assert_eq!(found("google.com!example.com!1768089600!1768175999!001.json.gz").as_deref(), Some("example.com"));
        assert_eq!(found("a.test!Example.COM.!1!2.json").as_deref(), Some("example.com"));
        for name in ["report.json.gz", "a!b", "a!example.com!x!2.json", "a!example.com!1!y.json", "a!..!1!2.json", ""] {
            assert_eq!(found(name), None, "{name}");
        }
    }
}
