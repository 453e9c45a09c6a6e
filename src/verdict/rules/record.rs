//! The `_mta-sts` record.

use super::{Raised, problem_words, whose::announcement, with_reading};
use crate::{
    protocol::txt::RecordPresence,
    terms::{Problem, Reading},
    verdict::{
        Code, Subject,
        case::{Case, MailHosts},
        words,
    },
};

/// REC-21: a TTL over a day delays every policy fix.
const TTL_LONG: u32 = 86_400;

pub(super) fn rules(case: &Case<'_>, raised: &mut Raised) {
    let name = case.domain.sts_record_name();
    let seen = &*case.observation.domain;
    let subject = || Subject::Domain(case.domain.clone());
    if case.resolver_healthy {
        let failures = case.history.domain.sts_record.failures_in_a_row;
        let kept = case.sts_lookup.answered();
        super::mx::lookup_failed(case, raised, subject(), "TXT", &seen.sts_record, failures, kept);
    }
    let lookup = case.sts_lookup;
    if !lookup.answered() {
        return;
    }
    if lookup.is_dangling() {
        super::mx::dangling(case, raised, subject(), &name, &lookup.cname);
        return;
    }
    let record = &case.record;
    // An id that senders know stays: a new one would make all of them fetch the policy again, for nothing.
    let id = record.value.as_ref().map_or_else(|| words::next_id(case.now), |record| record.id.to_string());
    let publish = || announcement(case, &id);
    match record.presence {
        // Who takes no mail, or does not exist, needs no policy: publishing one would be a mistake.
        RecordPresence::Absent if matches!(case.hosts, MailHosts::Null | MailHosts::Nonexistent) => {}
        RecordPresence::Absent if !case.cached_views.is_empty() => raised.raise(
            case,
            Code::StsRecordMissing,
            subject(),
            format!("There is no MTA-STS record at {name} any more; senders that hold the policy still apply it."),
            format!("To withdraw a policy, serve it in mode none first. Else publish the record again:\n{}", publish()),
        ),
        RecordPresence::Absent => {
            uncovered(case, raised);
            raised.raise(
            case,
            Code::StsRecordMissing,
            subject(),
            match case.dane_ground(&subject()).usable {
                    true => format!("There is no MTA-STS record at {name}: DANE protects mail from senders that validate DNSSEC, and from no others."),
                    false => format!("There is no MTA-STS record at {name}: nothing stops an attacker on the way from switching TLS off."),
                },
            format!(
                "Publish a policy in mode testing first (\"smtptls-exporter policy suggest {}\" writes it), then announce it:\n{}",
                case.domain,
                publish()
            ),
        );
        }
        RecordPresence::Multiple(count) => raised.raise(
            case,
            Code::StsRecordMultiple,
            subject(),
            format!("{count} TXT records at {name} start with \"v=STSv1;\", where only one is allowed: senders take them for none."),
            at_record(case, "Delete all but the one with the id of the present policy."),
        ),
        RecordPresence::One => {
            let text = record.text.as_ref().map(ToString::to_string).unwrap_or_default();
            let place = |_: &Problem| String::new();
            let mut raise = |code, problems: Vec<&Problem>| {
                if !problems.is_empty() {
                    let what = problem_words(problems.into_iter(), place);
                    let detail = format!("The record at {name} is \"{text}\": {what}.");
                    let fix = match code {
                        Code::StsRecordNote => {
                            "Nothing to do; delete the field if nobody knows what it is for.".to_owned()
                        }
                        _ => at_record(case, &format!("Publish it in its plain form:\n{}", publish())),
                    };
                    raised.raise(case, code, subject(), detail, fix);
                }
            };
            let (id, other): (Vec<_>, Vec<_>) =
                with_reading(&record.problems, Reading::Invalid).partition(|problem| problem.rule.0 == "REC-09");
            raise(Code::StsRecordInvalid, other);
            raise(Code::StsRecordIdInvalid, id);
            raise(Code::StsRecordLenient, with_reading(&record.problems, Reading::Lenient).collect());
            raise(Code::StsRecordNote, with_reading(&record.problems, Reading::Note).collect());
        }
    }
    if record.unrelated > 0 {
        let count = record.unrelated;
        raised.raise(
            case,
            Code::StsRecordUnrelatedTxt,
            subject(),
            format!("{count} other TXT record{} at {name}.", if count == 1 { " stands" } else { "s stand" }),
            at_record(case, "Delete them; if they come from a wildcard (*), narrow it."),
        );
    }
    if record.presence.is_absent() {
        return;
    }
    if let Some(target) = lookup.cname.last() {
        raised.raise(
            case,
            Code::StsRecordDelegated,
            subject(),
            format!("{name} is a CNAME; the record stands at {target}."),
            "Nothing to do, as long as the target is meant to be in charge of the id.",
        );
    }
    if let Some(ttl) = lookup.ttl().filter(|ttl| *ttl > TTL_LONG) {
        raised.raise(
            case,
            Code::StsRecordTtlLong,
            subject(),
            format!("The TTL of {name} is {ttl} seconds: senders see a new id only after that."),
            at_record(case, "Lower the TTL to 3600."),
        );
    }
}

/// A remedy for the record, wherever it is kept.
fn at_record(case: &Case<'_>, remedy: &str) -> String {
    match case.record_host() {
        None => remedy.to_owned(),
        Some(target) => {
            format!("The record is kept at {target}, so whoever runs that has to do it. What has to be done: {remedy}")
        }
    }
}

/// RFC 8461 §3.4: senders do not look at the policies of parent domains.
fn uncovered(case: &Case<'_>, raised: &mut Raised) {
    let Some(parent) = case.context.enforcing_parent else { return };
    let has_mx = case.mx().iter().any(|mx| !mx.implicit);
    if has_mx {
        raised.raise(
            case,
            Code::StsSubdomainUncovered,
            Subject::Domain(case.domain.clone()),
            format!(
                "{parent} enforces a policy, and senders do not apply it to {}, which has MX records of its own.",
                case.domain
            ),
            "Publish a record and a policy for the sub-domain as well, or a null MX if it takes no mail.",
        );
    }
}
