//! Marks by which reports are known again.

use aws_lc_rs::digest::{Context, SHA256};

use crate::{
    protocol::tls_rpt::{FailureDetail, ReportedPolicy, TlsReport},
    terms::{PolicyDomain, Timestamp},
};

/// The first half of a SHA-256: nobody finds a second content with the same 128 bits, and an index of marks is half as large.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::store) struct Mark(pub(in crate::store) [u8; 16]);

/// What a policy or a failure takes in a report beside its texts: the names of its fields.
const FRAME: u64 = 200;

/// Fields in a fixed order, each with its length before it. Marks are stored: a field that a later version adds to a report must
/// not change the mark of a report without it.
struct Fields {
    context: Context,
    bytes: u64,
}

impl Mark {
    /// Of what a report says of one domain, and its size (see [`super::LARGEST_REPORT`]). Quirks, layout and the way in are not in it.
    pub(super) fn of_content(report: &TlsReport, domain: &PolicyDomain, policies: &[ReportedPolicy]) -> (Self, u64) {
        let mut fields = Fields::new("content");
        fields.text(Some(domain.as_str()));
        fields.text(report.organization.as_deref());
        fields.text(report.contact.as_deref());
        fields.text(report.report_id.as_deref());
        fields.time(report.begin);
        fields.time(report.end);
        fields.number(length(policies));
        for policy in policies {
            fields.policy(policy);
        }
        (fields.mark(), fields.bytes)
    }

    /// Of what a sender tells of again: in whose name, the id (the content where it has none), the domain, the beginning.
    pub(super) fn of_key(report: &TlsReport, reporter: &str, domain: &PolicyDomain, content: Self) -> Self {
        let mut fields = Fields::new("key");
        fields.text(Some(reporter));
        fields.text(report.organization.as_deref());
        fields.text(report.report_id.as_deref());
        if report.report_id.is_none() {
            fields.bytes(&content.0);
        }
        fields.text(Some(domain.as_str()));
        fields.time(report.begin);
        fields.mark()
    }

    /// Of a report that stands alone.
    pub(super) fn of_lonely(content: Self) -> Self {
        let mut fields = Fields::new("lonely");
        fields.bytes(&content.0);
        fields.mark()
    }

    /// From the bytes of a row.
    pub(in crate::store) fn from_row(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Hexadecimal, for a statement.
    pub(in crate::store) fn hex(self) -> String {
        let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or_default();
        self.0.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
    }
}

impl Fields {
    fn new(kind: &str) -> Self {
        let mut fields = Self { context: Context::new(&SHA256), bytes: 0 };
        fields.text(Some(kind));
        fields
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
        self.bytes = self.bytes.saturating_add(length(bytes));
    }

    fn number(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    fn text(&mut self, text: Option<&str>) {
        // No text has this length: nothing is told from empty.
        self.number(text.map_or(u64::MAX, |text| length(text.as_bytes())));
        self.bytes(text.unwrap_or_default().as_bytes());
    }

    fn time(&mut self, time: Option<Timestamp>) {
        // No report begins there either.
        self.bytes(&time.map_or(i64::MIN, Timestamp::unix_milliseconds).to_le_bytes());
    }

    fn texts(&mut self, texts: &[String]) {
        self.number(length(texts));
        for text in texts {
            self.text(Some(text));
        }
    }

    fn policy(&mut self, policy: &ReportedPolicy) {
        self.text(Some(policy.policy_type.as_str()));
        self.text(policy.domain.as_deref());
        self.texts(&policy.mx);
        self.texts(&policy.policy_string);
        self.number(policy.successful);
        self.number(policy.failed);
        self.number(length(&policy.failures));
        for failure in &policy.failures {
            self.failure(failure);
        }
        self.bytes = self.bytes.saturating_add(FRAME);
    }

    fn failure(&mut self, failure: &FailureDetail) {
        self.text(Some(failure.result_type.as_str()));
        self.number(failure.sessions);
        self.text(failure.sending_ip.map(|address| address.to_string()).as_deref());
        self.text(failure.receiving_mx.as_deref());
        self.text(failure.receiving_helo.as_deref());
        self.text(failure.receiving_ip.map(|address| address.to_string()).as_deref());
        self.text(failure.reason.as_deref());
        self.text(failure.more.as_deref());
        self.bytes = self.bytes.saturating_add(FRAME);
    }

    fn mark(&self) -> Mark {
        let mut mark = [0; 16];
        for (to, from) in mark.iter_mut().zip(self.context.clone().finish().as_ref()) {
            *to = *from;
        }
        Mark(mark)
    }
}

fn length<T>(items: &[T]) -> u64 {
    u64::try_from(items.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::tls_rpt::Quirk;

    fn report() -> TlsReport {
        TlsReport {
            organization: Some("Example".to_owned()),
            report_id: Some("1".to_owned()),
            begin: Some(Timestamp::from_unix_seconds(86_400)),
            policies: vec![ReportedPolicy { successful: 3, ..ReportedPolicy::default() }],
            ..TlsReport::default()
        }
    }

    fn content(report: &TlsReport) -> Mark {
        Mark::of_content(report, &PolicyDomain::parse("example.com").unwrap(), &report.policies).0
    }

    /// Marks are in the files of those who run this: they are the same for ever.
    #[test]
    fn marks_never_change() {
        let report = report();
        let domain = PolicyDomain::parse("example.com").unwrap();
        let content = content(&report);
        let key = Mark::of_key(&report, "unverified", &domain, content);
        assert_eq!([content.hex(), key.hex(), Mark::of_lonely(content).hex()], FROZEN);
    }

    #[test]
    fn every_field_is_in_the_mark_of_the_content_and_no_quirk() {
        let one = report();
        let text = || Some("x".to_owned());
        let failure = |failure: FailureDetail| {
            let policy = ReportedPolicy { successful: 3, failures: vec![failure], ..ReportedPolicy::default() };
            TlsReport { policies: vec![policy], ..report() }
        };
        let policy = |policy: ReportedPolicy| TlsReport { policies: vec![policy], ..report() };
        let plain = ReportedPolicy { successful: 3, ..ReportedPolicy::default() };
        let detail = FailureDetail::default();
        let address = Some("192.0.2.1".parse().unwrap());
        let others = [
            one.clone(),
            TlsReport { organization: None, ..report() },
            TlsReport { organization: Some(String::new()), ..report() },
            TlsReport { contact: text(), ..report() },
            TlsReport { report_id: text(), ..report() },
            TlsReport { begin: None, ..report() },
            TlsReport { end: Some(Timestamp::default()), ..report() },
            TlsReport { policies: Vec::new(), ..report() },
            policy(ReportedPolicy { policy_type: crate::protocol::tls_rpt::PolicyType::Sts, ..plain.clone() }),
            policy(ReportedPolicy { domain: text(), ..plain.clone() }),
            policy(ReportedPolicy { mx: vec!["x".to_owned()], ..plain.clone() }),
            policy(ReportedPolicy { policy_string: vec!["x".to_owned()], ..plain.clone() }),
            policy(ReportedPolicy { successful: 4, ..plain.clone() }),
            policy(ReportedPolicy { failed: 1, ..plain }),
            failure(detail.clone()),
            failure(FailureDetail { result_type: crate::protocol::tls_rpt::ResultType::TlsaInvalid, ..detail.clone() }),
            failure(FailureDetail { sessions: 1, ..detail.clone() }),
            failure(FailureDetail { sending_ip: address, ..detail.clone() }),
            failure(FailureDetail { receiving_ip: address, ..detail.clone() }),
            failure(FailureDetail { receiving_mx: text(), ..detail.clone() }),
            failure(FailureDetail { receiving_helo: text(), ..detail.clone() }),
            failure(FailureDetail { reason: text(), ..detail.clone() }),
            failure(FailureDetail { more: text(), ..detail }),
        ];
        let marks: std::collections::BTreeSet<Mark> = others.iter().map(content).collect();
        assert_eq!(marks.len(), others.len());
        assert_eq!(content(&TlsReport { quirks: [Quirk::Zip].into(), ..report() }), content(&one));
        let elsewhere = PolicyDomain::parse("example.org").unwrap();
        assert_ne!(Mark::of_content(&one, &elsewhere, &one.policies).0, content(&one));
    }

    /// Made by another program from the description above.
    const FROZEN: [&str; 3] =
        ["bafa457f7de5a59bac61ec2f85603bba", "9ae0b15e3551009fe83fc93804cf1387", "a185a0e0e81359d6e1879d1ecfa371be"];
}
