//! The `_smtp._tls` record.

use super::{Raised, problem_words, with_reading};
use crate::{
    facts::{Nowhere, RuaOutcome},
    protocol::{
        tls_rpt::{Destination, Scheme},
        txt::RecordPresence,
    },
    terms::{Problem, Reading},
    verdict::{
        Code, Subject,
        case::{Case, MailHosts},
        words,
    },
};

/// More destinations than this make a detail unreadable.
const DESTINATIONS_MOST: usize = 4;

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
    // Beside an alias no record may stand (RFC 1034 §3.6.2).
    let publish = format!("{}. TXT \"v=TLSRPTv1; rua={rua}\"", lookup.cname.last().unwrap_or(&name));
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
            at_record(case, "Delete all but one; several addresses go into one rua, separated by commas."),
        ),
        RecordPresence::One => {
            shares_fate(case, raised, subject());
            unreachable(case, raised, subject());
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
                    _ => at_record(case, &format!("Publish it in its plain form:\n{publish}")),
                };
                raised.raise(case, code, subject(), format!("The record at {name} is \"{text}\": {what}."), fix);
            }
        }
    }
}

/// An endpoint that does not answer counts from this look in a row on: one may be a restart.
const LOOKS_IN_A_ROW: u32 = 3;

/// Why nothing can be sent to a destination, in words; nothing where something can, or that is not sure.
pub(crate) fn unreachable_words(case: &Case<'_>, destination: &Destination) -> Option<String> {
    let known = case.history.domain.rua.get(&destination.uri)?;
    let lasts = known.outcome.is_final() || case.context.once || known.failures_in_a_row >= LOOKS_IN_A_ROW;
    if known.outcome.reachable() != Some(false) || !lasts {
        return None;
    }
    let host = destination.host().unwrap_or_default();
    Some(match &known.outcome {
        RuaOutcome::Nowhere(Nowhere::NullMx) => format!("{host} takes no mail (a null MX)"),
        RuaOutcome::Nowhere(Nowhere::Nonexistent) => format!("{host} does not exist"),
        RuaOutcome::Nowhere(Nowhere::NoAddress) => match destination.scheme {
            Scheme::Mailto => format!("{host} has neither a mail host nor an address"),
            Scheme::Https => format!("{host} has no address"),
        },
        RuaOutcome::DoesNotAnswer(why) => format!("the endpoint does not answer ({why})"),
        _ => return None,
    })
}

fn unreachable(case: &Case<'_>, raised: &mut Raised, subject: Subject) {
    let Some(record) = &case.tlsrpt.value else { return };
    let why = |destination: &Destination| Some(format!("{destination}: {}", unreachable_words(case, destination)?));
    let lost: Vec<String> = record.rua.iter().filter_map(why).collect();
    if lost.is_empty() {
        return;
    }
    let effect = match lost.len() == record.rua.len() {
        true => "nobody's reports reach you",
        false => "reports that go there are lost",
    };
    raised.raise(
        case,
        Code::TlsRptRuaUnreachable,
        subject,
        format!("Reports cannot be sent to {}; {effect}.", words::list(&lost, DESTINATIONS_MOST)),
        at_record(
            case,
            "Name a mailbox in a domain that takes mail, or an endpoint that answers; take out of the record what nobody reads.",
        ),
    );
}

/// Reports about a domain whose mail is blocked have to come in by another way.
fn shares_fate(case: &Case<'_>, raised: &mut Raised, subject: Subject) {
    let Some(record) = &case.tlsrpt.value else { return };
    let hosts: Vec<Option<String>> = record.rua.iter().map(Destination::host).collect();
    let depends = |host: &Option<String>| host.as_deref().is_some_and(|host| is_within(host, case.domain.as_str()));
    if hosts.is_empty() || !hosts.iter().all(depends) {
        return;
    }
    raised.raise(
        case,
        Code::TlsRptRuaSharesFate,
        subject,
        format!(
            "Every destination of the reports lies in {}: when mail to the domain is blocked, the reports that would tell of it \
             may be lost too.",
            case.domain
        ),
        at_record(
            case,
            "Name a second destination that does not depend on the domain: an https: endpoint elsewhere, or a mailbox in another domain.",
        ),
    );
}

/// A remedy for the record, wherever it is kept.
fn at_record(case: &Case<'_>, remedy: &str) -> String {
    match case.tlsrpt_host() {
        None => remedy.to_owned(),
        Some(target) => {
            format!("The record is kept at {target}, so whoever runs that has to do it. What has to be done: {remedy}")
        }
    }
}

fn is_within(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}
