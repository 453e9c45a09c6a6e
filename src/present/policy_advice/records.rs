//! The records to publish, and what there is to know of those that stand there.

use crate::{
    present::{words, zone},
    verdict::suggest::{Need, PolicySuggestion, RECORD_TTL},
};

/// The id that belongs to the policy: where nothing changes, that of the record stays.
pub(super) fn id(suggestion: &PolicySuggestion) -> &str {
    let kept = suggestion.record.id.as_ref().filter(|_| suggestion.unchanged);
    kept.unwrap_or(&suggestion.id).as_str()
}

/// The TXT records, names without the final dot.
pub(super) fn txt_records(suggestion: &PolicySuggestion) -> Vec<(String, String)> {
    if suggestion.policy.is_none() {
        return Vec::new();
    }
    let domain = &suggestion.domain;
    let mut records = vec![(domain.sts_record_name(), format!("v=STSv1; id={};", id(suggestion)))];
    // Who leaves wants no more reports than there are already.
    if suggestion.need == Need::Policy {
        let value = suggestion.reports.record.clone();
        let value = value.unwrap_or_else(|| format!("v=TLSRPTv1; rua=mailto:tls-reports@{domain}"));
        records.push((domain.tlsrpt_record_name(), value));
    }
    records
}

/// The name that a web server is to be put in place of: no such name exists (RFC 6761 §6.4), so that it does no harm as it is.
const YOUR_WEB_SERVER: &str = "your-web-server.invalid.";

/// All records, as lines of a zone file; what is not to be published as it stands has a comment.
pub(super) fn dns(suggestion: &PolicySuggestion) -> Vec<String> {
    let domain = &suggestion.domain;
    if suggestion.need == Need::MailHost {
        return vec![format!(
            "{} ; if the domain is to take no mail",
            zone::line(domain.as_str(), RECORD_TTL, "MX", "0 .")
        )];
    }
    let mut lines = Vec::new();
    let host = &suggestion.policy_host;
    if suggestion.policy.is_some() && host.seen && host.addresses.is_empty() {
        let line = zone::line(&domain.policy_host(), RECORD_TTL, "CNAME", YOUR_WEB_SERVER);
        lines.push(format!("{line} ; put in its name, or write A and AAAA with its addresses"));
    }
    for (name, value) in txt_records(suggestion) {
        let line = zone::line(&name, RECORD_TTL, "TXT", &zone::txt(&value));
        let invented = name == domain.tlsrpt_record_name() && suggestion.reports.record.is_none();
        lines.push(if invented { format!("{line} ; a mailbox of yours") } else { line });
    }
    lines
}

/// What there is to know of the records that stand there.
pub(super) fn record_notes(suggestion: &PolicySuggestion) -> Vec<String> {
    let domain = &suggestion.domain;
    let (record, host, reports) = (&suggestion.record, &suggestion.policy_host, &suggestion.reports);
    let mut notes = Vec::new();
    match &record.alias {
        Some(alias) => notes.push(format!(
            "{} is an alias of {alias}: the id is changed there, by whoever runs that zone.",
            domain.sts_record_name()
        )),
        None if !record.seen => {
            notes.push(format!("What stands at {} could not be looked up.", domain.sts_record_name()));
        }
        None if record.broken => notes.push(format!(
            "Take away what stands at {} now: senders cannot use it, and of several records they use none.",
            domain.sts_record_name()
        )),
        None => {}
    }
    match &host.alias {
        Some(alias) => notes.push(format!(
            "{} is an alias of {alias}: the policy is changed there, by whoever publishes the file, you or a provider.",
            domain.policy_host()
        )),
        None if !host.seen => {
            notes.push(format!("Whether {} has an address could not be looked up.", domain.policy_host()));
        }
        None if !host.addresses.is_empty() => {
            let addresses: Vec<String> = host.addresses.iter().map(ToString::to_string).collect();
            notes.push(format!("{} has the address {} already.", domain.policy_host(), words::list(&addresses)));
        }
        None => {}
    }
    if suggestion.need == Need::Policy {
        notes.push(match &reports.record {
            Some(_) => format!("{} is as it should be, and stays.", domain.tlsrpt_record_name()),
            None if !reports.seen => {
                format!("What stands at {} could not be looked up; keep what works.", domain.tlsrpt_record_name())
            }
            None if reports.broken => format!(
                "What stands at {} now cannot be used: put this in its place, with a mailbox that you read or that \
                 smtptls-exporter reads.",
                domain.tlsrpt_record_name()
            ),
            None => "Reports come once a day from large senders: name a mailbox that you read or that smtptls-exporter reads."
                .to_owned(),
        });
    }
    notes
}
