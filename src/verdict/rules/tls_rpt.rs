//! The `_smtp._tls` record.

use super::{Raised, problem_words, with_reading};
use crate::{
    protocol::txt::RecordPresence,
    terms::{Problem, Reading},
    verdict::{
        Code, Subject,
        case::{Case, MailHosts},
    },
};

pub(super) fn rules(case: &Case<'_>, raised: &mut Raised) {
    let name = case.domain.tlsrpt_record_name();
    let subject = || Subject::TlsRpt(name.clone());
    let seen = &*case.observation.domain;
    if case.resolver_healthy {
        let failures = case.history.domain.tlsrpt_record.failures_in_a_row;
        let kept = case.tlsrpt_lookup.answered();
        super::mx::lookup_failed(case, raised, subject(), "TXT", &seen.tlsrpt_record, failures, kept);
    }
    let lookup = case.tlsrpt_lookup;
    if !lookup.answered() {
        return;
    }
    if lookup.is_dangling() {
        super::mx::dangling(case, raised, subject(), &name, &lookup.cname);
        return;
    }
    let rua = match &case.tlsrpt.value {
        Some(record) => record.rua.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        None => format!("mailto:tls-reports@{}", case.domain),
    };
    let publish = format!("{name}. TXT \"v=TLSRPTv1; rua={rua}\"");
    match case.tlsrpt.presence {
        // Who takes no mail gets no reports.
        RecordPresence::Absent if matches!(case.hosts, MailHosts::Null | MailHosts::Nonexistent) => {}
        RecordPresence::Absent => raised.raise(
            case,
            Code::TlsRptRecordMissing,
            subject(),
            format!("There is no TLSRPT record at {name}: senders that fail to deliver over TLS do not tell you."),
            format!("Publish one, with a mailbox that you read:\n{publish}"),
        ),
        RecordPresence::Multiple(count) => raised.raise(
            case,
            Code::TlsRptRecordMultiple,
            subject(),
            format!("{count} TXT records at {name} start with \"v=TLSRPTv1;\", where only one is allowed: senders take them for none."),
            "Delete all but one; several addresses go into one rua, separated by commas.",
        ),
        RecordPresence::One => {
            let text = case.tlsrpt.text.as_ref().map(ToString::to_string).unwrap_or_default();
            for (reading, code) in [
                (Reading::Invalid, Code::TlsRptRecordInvalid),
                (Reading::Lenient, Code::TlsRptRecordLenient),
                (Reading::Note, Code::TlsRptRecordNote),
            ] {
                let problems: Vec<&Problem> = with_reading(&case.tlsrpt.problems, reading).collect();
                if problems.is_empty() {
                    continue;
                }
                let what = problem_words(problems.into_iter(), |_| String::new());
                let fix = match reading {
                    Reading::Note => "Nothing to do; delete the field if nobody knows what it is for.".to_owned(),
                    _ => format!("Publish it in its plain form:\n{publish}"),
                };
                raised.raise(case, code, subject(), format!("The record at {name} is \"{text}\": {what}."), fix);
            }
        }
    }
}
