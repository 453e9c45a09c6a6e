//! MX records, mail hosts and their addresses, and the two findings that any lookup can have.

use std::net::IpAddr;

use super::{Raised, for_host};
use crate::{
    facts::{ConnectFailure, Lookup, LookupFailure, LookupOutcome, MxTarget, SmtpOutcome},
    protocol::mta_sts::Mode,
    terms::MxHost,
    verdict::{
        AddressAssessment, Code, MxAssessment, Severity, Subject,
        case::{Case, MailHosts},
        words,
    },
};

/// More names than this make a detail unreadable.
const MOST: usize = 4;

pub(super) fn rules(case: &Case<'_>, raised: &mut Raised, blocked: bool) {
    let seen = &*case.observation.domain;
    let subject = || Subject::Domain(case.domain.clone());
    if let Some(failure) = seen.mx.failure()
        && seen.resolver_healthy
    {
        lookup_failed(case, raised, subject(), &seen.mx, failure, case.history.domain.mx.failures_in_a_row);
    }
    let implicit = seen.implicit.as_ref().and_then(|lookup| lookup.lookups().find(|lookup| !lookup.answered()));
    if let Some(lookup) = implicit
        && let Some(failure) = lookup.failure()
        && seen.resolver_healthy
    {
        lookup_failed(case, raised, subject(), lookup, failure, case.history.domain.implicit_failures);
    }
    if case.mx_lookup.is_dangling() {
        dangling(case, raised, subject(), case.domain.as_str(), &case.mx_lookup.cname);
    }
    match &case.hosts {
        MailHosts::Nonexistent => raised.raise(
            case,
            Code::DomainNonexistent,
            subject(),
            format!("{} does not exist in the DNS (NXDOMAIN): all mail to it bounces.", case.domain),
            "Check the spelling. If it is right, the registration has lapsed or the delegation is gone: ask the registrar.",
        ),
        MailHosts::Nowhere => {
            let meant = case.context.expectation.is_some_and(|expectation| expectation.mail == Some(false));
            raised.raise_as(
                case,
                Code::MxNone,
                if meant { Severity::Info } else { Severity::Error },
                subject(),
                format!("{} has neither an MX record nor an address: all mail to it bounces.", case.domain),
                format!("Publish an MX record. If the domain takes no mail, say so: {}. MX 0 .", case.domain),
            );
        }
        MailHosts::Null => null_mx(case, raised),
        MailHosts::Hosts(hosts) => {
            if case.mx_lookup.records().iter().any(|record| record.target == MxTarget::Null) {
                raised.raise(
                    case,
                    Code::MxNullMixed,
                    subject(),
                    "A null MX (0 .) stands beside other MX records: some senders bounce, others deliver.",
                    "Delete the null MX; or all others, if the domain takes no mail.",
                );
            }
            for host in hosts {
                mail_host(case, raised, host, blocked);
            }
            unused_patterns(case, raised, hosts);
        }
        MailHosts::ServFail | MailHosts::Unknown => {}
    }
    if case.observation.skipped_hosts > 0 {
        raised.raise(
            case,
            Code::MxAddressesSkipped,
            Subject::Mx(case.domain.to_string()),
            format!("{} MX hosts beyond the cap (probe.max_mx) were not looked at.", case.observation.skipped_hosts),
            "Raise probe.max_mx if you need all.",
        );
    }
}

fn null_mx(case: &Case<'_>, raised: &mut Raised) {
    let subject = || Subject::Domain(case.domain.clone());
    raised.raise(case, Code::MxNull, subject(), "A null MX (0 .): the domain accepts no mail.", "Nothing.");
    let enforce = case.announced() && case.policy.usable().is_some_and(|policy| policy.mode == Mode::Enforce);
    let reports = case.tlsrpt_lookup.answered() && !case.tlsrpt.presence.is_absent();
    let what = match (enforce, reports) {
        (true, true) => "an MTA-STS policy in mode enforce and a TLSRPT record are",
        (true, false) => "an MTA-STS policy in mode enforce is",
        (false, true) => "a TLSRPT record is",
        (false, false) => return,
    };
    raised.raise(
        case,
        Code::MxNullWithPolicy,
        subject(),
        format!("The domain accepts no mail (null MX), yet {what} published."),
        "Take them down, or publish the real MX records.",
    );
}

fn mail_host(case: &Case<'_>, raised: &mut Raised, mx: &MxAssessment, blocked: bool) {
    let subject = || Subject::Mx(mx.target.clone());
    let down = if blocked { Severity::Error } else { Severity::Warning };
    let Some(host) = &mx.host else {
        raised.raise(
            case,
            Code::MxInvalidTarget,
            subject(),
            format!("An MX record of {} points to {}, which is no host name.", case.domain, mx.target),
            "Give the mail host a name with an A or AAAA record, and point the MX record to that name.",
        );
        return;
    };
    if mx.implicit {
        raised.raise(
            case,
            Code::MxImplicit,
            Subject::Domain(case.domain.clone()),
            format!("There is no MX record: mail goes to the addresses of {} itself.", case.domain),
            format!("Publish an MX record that names the mail host: {}. MX 10 mail.{}.", case.domain, case.domain),
        );
    }
    if mx.in_policy == Some(false) {
        raised.raise(
            case,
            Code::MxNotInPolicy,
            subject(),
            format!("{host} is an MX of {}, and no mx line of the policy matches it.", case.domain),
            format!(
                "Add the line mx: {host} to the policy, then publish a new id: {}. TXT \"v=STSv1; id={}\"",
                case.domain.sts_record_name(),
                words::next_id(case.now)
            ),
        );
    }
    if mx.skipped > 0 {
        raised.raise(
            case,
            Code::MxAddressesSkipped,
            subject(),
            format!("{} addresses of {host} beyond the cap (probe.max_addresses) were not looked at.", mx.skipped),
            "Raise probe.max_addresses if you need all.",
        );
    }
    let private: Vec<IpAddr> =
        mx.addresses.iter().filter(|address| is_private(address)).map(|address| address.path.address).collect();
    if !private.is_empty() {
        raised.raise(
            case,
            Code::MxAddressPrivate,
            subject(),
            format!("{host} resolves to {}, which the public Internet cannot reach.", words::list(&private, MOST)),
            for_host(case, host.as_str(),
                "Publish the public address. If this monitor looks from inside split DNS, set probe.allow_private_addresses."),
        );
    }
    host_lookup(case, raised, mx, host, down);
}

fn is_private(address: &AddressAssessment) -> bool {
    let latest = address.path.latest.as_ref();
    latest.is_some_and(|latest| latest.outcome == SmtpOutcome::ConnectFailed(ConnectFailure::PrivateAddress))
}

fn host_lookup(case: &Case<'_>, raised: &mut Raised, mx: &MxAssessment, host: &MxHost, down: Severity) {
    let Some(seen) = &mx.lookup else { return };
    let subject = || Subject::Mx(mx.target.clone());
    if seen.resolver_healthy
        && let Some(lookup) = seen.addresses.lookups().find(|lookup| !lookup.answered())
        && let Some(failure) = lookup.failure()
    {
        let failures = case.history.hosts.get(host).map_or(1, |history| history.failures_in_a_row);
        lookup_failed(case, raised, subject(), lookup, failure, failures);
    }
    // The domain's own CNAME is no MX target.
    if let Some(target) = seen.addresses.cname().last()
        && !mx.implicit
    {
        raised.raise(
            case,
            Code::MxCname,
            subject(),
            format!("{host} is a CNAME to {target}; RFC 2181 wants an MX to name the host itself."),
            format!("Point the MX record to {target}, once policy and certificate carry that name; or give {host} its own address records."),
        );
    }
    if !seen.addresses.is_absent() || mx.implicit {
        return;
    }
    let gone = seen.addresses.lookups().any(|lookup| lookup.outcome == LookupOutcome::NxDomain);
    if gone {
        let mut chain = vec![host.to_string()];
        chain.extend(seen.addresses.cname().iter().cloned());
        let end = chain.last().cloned().unwrap_or_default();
        raised.raise(
            case,
            Code::DnsDelegationDangling,
            subject(),
            format!("An MX record of {} leads to {end}, which does not exist. Whoever can register that name can take this mail.", case.domain),
            "Take the MX record out, or bring the name back.",
        );
    }
    raised.raise_as(
        case,
        Code::MxUnresolvable,
        down,
        subject(),
        format!("{host} has neither an A nor an AAAA record, so nobody can deliver to it."),
        for_host(case, host.as_str(), "Publish an A or AAAA record for the host, or take it out of the MX records."),
    );
}

fn unused_patterns(case: &Case<'_>, raised: &mut Raised, hosts: &[MxAssessment]) {
    let Some(policy) = case.policy.usable().filter(|policy| case.announced() && policy.mode != Mode::None) else {
        return;
    };
    let names: Vec<MxHost> = hosts.iter().filter_map(|mx| mx.host.clone()).collect();
    // Hosts beyond the cap may be the ones that the pattern is for.
    if case.observation.skipped_hosts > 0 {
        return;
    }
    let unused = policy.unused_patterns(&names);
    if !unused.is_empty() {
        raised.raise(
            case,
            Code::PolicyMxUnused,
            Subject::Domain(case.domain.clone()),
            format!("No MX record matches the policy's mx: {}.", words::list(&unused, MOST)),
            "Nothing while a host is being added or withdrawn; else remove the line and publish a new id.",
        );
    }
}

/// `dns-lookup-failed`, for whatever was asked. Not for this side's own trouble.
pub(super) fn lookup_failed<T>(
    case: &Case<'_>,
    raised: &mut Raised,
    subject: Subject,
    lookup: &Lookup<T>,
    failure: &LookupFailure,
    failures: u32,
) {
    let said: Vec<String> = lookup
        .extended_errors
        .iter()
        .map(|error| match error.text.0.is_empty() {
            true => format!("extended error {}", error.code),
            false => format!("extended error {}: {}", error.code, error.text),
        })
        .collect();
    let said = if said.is_empty() { String::new() } else { format!(" ({})", said.join(", ")) };
    let times = if failures > 1 { format!(", {failures} times in a row") } else { String::new() };
    raised.raise_as(
        case,
        Code::DnsLookupFailed,
        Case::lookup_severity(failures),
        subject,
        format!("The lookup of {} failed: {failure}{said}{times}. What was known before is kept.", lookup.name),
        format!(
            "Ask the name servers of the zone for {}; check delegation, DNSSEC signatures and firewalls.",
            lookup.name
        ),
    );
}

/// `dns-delegation-dangling` for a CNAME.
pub(super) fn dangling(case: &Case<'_>, raised: &mut Raised, subject: Subject, name: &str, chain: &[String]) {
    let end = chain.last().map_or("", String::as_str);
    raised.raise(
        case,
        Code::DnsDelegationDangling,
        subject,
        format!(
            "{name} is a CNAME to {end}, which does not exist. Whoever can register that name decides what senders see."
        ),
        format!("Point the CNAME of {name} to a name that exists, or delete it."),
    );
}
