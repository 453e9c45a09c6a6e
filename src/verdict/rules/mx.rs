//! MX records, mail hosts and their addresses, and the two findings that any lookup can have.

use std::net::IpAddr;

use super::{
    Raised, refusal_words,
    whose::{for_host, for_policy, for_subject, new_id},
};
use crate::{
    facts::{AddressLookup, ConnectFailure, Lookup, LookupFailure, LookupOutcome, MxTarget, SmtpOutcome},
    protocol::mta_sts::Mode,
    terms::MxHost,
    verdict::{
        AddressAssessment, Code, MxAssessment, Severity, Subject,
        case::{Case, MailHosts, Standing, has_no_address},
        words,
    },
};

/// More names than this make a detail unreadable.
const MOST: usize = 4;

pub(super) fn rules(case: &Case<'_>, raised: &mut Raised, all_down: bool) {
    let seen = &*case.observation.domain;
    let subject = || Subject::Domain(case.domain.clone());
    if case.resolver_healthy {
        let history = &case.history.domain;
        lookup_failed(case, raised, subject(), "MX", &seen.mx, history.mx.failures_in_a_row, case.mx_lookup.answered());
        if let Some(implicit) = &seen.implicit {
            addresses_failed(case, raised, subject(), implicit, history.implicit_failures, false);
        }
    }
    if case.mx_lookup.is_dangling() {
        dangling(case, raised, subject(), case.domain.as_str(), &case.mx_lookup.cname);
    }
    match &case.hosts {
        MailHosts::Nonexistent => raised.raise(
            case,
            Code::DomainNonexistent,
            subject(),
            format!("{} does not exist in the DNS (NXDOMAIN): senders return all mail to it.", case.domain),
            "Check the spelling. If it is right, the registration has lapsed or the delegation is gone: ask the registrar.",
        ),
        MailHosts::Nowhere => {
            let meant = case.context.expectation.is_some_and(|expectation| expectation.mail == Some(false));
            raised.raise_as(
                case,
                Code::MxNone,
                if meant { Severity::Info } else { Severity::Error },
                subject(),
                format!("{} has neither an MX record nor an address: senders return all mail to it.", case.domain),
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
                mail_host(case, raised, host, all_down);
            }
            unused_patterns(case, raised, hosts);
        }
        MailHosts::Unknown => {}
    }
    if case.observation.skipped_hosts > 0 {
        raised.raise(
            case,
            Code::MxAddressesSkipped,
            Subject::Mx(case.domain.to_string()),
            format!(
                "Not looked at: {} of the MX hosts of {}, beyond the cap (probe.max_mx).",
                case.observation.skipped_hosts, case.domain
            ),
            "Raise probe.max_mx if you need all.",
        );
    }
}

fn null_mx(case: &Case<'_>, raised: &mut Raised) {
    let subject = || Subject::Domain(case.domain.clone());
    raised.raise(case, Code::MxNull, subject(), "A null MX (0 .): the domain accepts no mail.", "Nothing to do.");
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

fn mail_host(case: &Case<'_>, raised: &mut Raised, mx: &MxAssessment, all_down: bool) {
    let subject = || Subject::Mx(mx.target.clone());
    let down = if all_down { Severity::Error } else { Severity::Warning };
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
            match mx.implicit {
                true => format!(
                    "Mail goes to {host} itself, and no mx line of the policy matches it: {}.",
                    coverage_words(case, host)
                ),
                false => format!(
                    "{host} is an MX of {}, and no mx line of the policy matches it: {}.",
                    case.domain,
                    coverage_words(case, host)
                ),
            },
            for_policy(
                case,
                &format!("Add the line \"mx: {host}\" to the policy{} {}", other_way(case, mx), new_id(case)),
            ),
        );
    }
    if mx.skipped > 0 {
        raised.raise(
            case,
            Code::MxAddressesSkipped,
            subject(),
            format!("Not looked at: {} of the addresses of {host}, beyond the cap (probe.max_addresses).", mx.skipped),
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

/// What else can be done about an MX outside the policy, and what leads to the new id.
fn other_way(case: &Case<'_>, mx: &MxAssessment) -> String {
    match mx.implicit {
        true => ", then".to_owned(),
        false => format!(", or take the host out of the MX records of {}. After the first,", case.domain),
    }
}

/// What an MX outside the policy means for mail now.
fn coverage_words(case: &Case<'_>, host: &MxHost) -> &'static str {
    match case.standing {
        Standing::None | Standing::Unknown => "no sender minds while the policy is switched off",
        Standing::Enforce | Standing::Testing => refusal_words(case, host.as_str()),
    }
}

fn is_private(address: &AddressAssessment) -> bool {
    let latest = address.path.latest.as_ref();
    latest.is_some_and(|latest| latest.outcome == SmtpOutcome::ConnectFailed(ConnectFailure::PrivateAddress))
}

fn host_lookup(case: &Case<'_>, raised: &mut Raised, mx: &MxAssessment, host: &MxHost, down: Severity) {
    let Some(seen) = &mx.lookup else { return };
    let subject = || Subject::Mx(mx.target.clone());
    // The implicit host is looked up as the domain, and has its finding there.
    if seen.resolver_healthy && !case.context.vantage.resolver_failing && !mx.implicit {
        let history = case.history.hosts.get(host);
        let failures = history.map_or(1, |history| history.failures_in_a_row);
        let kept = history.is_some_and(|history| history.last_answer.is_some());
        addresses_failed(case, raised, subject(), &seen.addresses, failures, kept);
    }
    // The domain's own CNAME is no MX target.
    if let Some(target) = seen.addresses.cname().last()
        && !mx.implicit
    {
        raised.raise(
            case,
            Code::MxCname,
            subject(),
            format!("{host} is a CNAME to {target}. An MX record has to name the host itself (RFC 2181 §10.3), and some senders refuse this one."),
            match case.is_own(host.as_str()) {
                true => format!("Give {host} its own A or AAAA records; or point the MX record to {target}, once the policy and the certificate carry that name."),
                false => format!("Ask your provider, who runs {host}, which name the MX record of {} is to have. They may move {target} without a word.", case.domain),
            },
        );
    }
    if !has_no_address(&seen.addresses) || mx.implicit {
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
            format!(
                "An MX record of {} leads to {end}, which does not exist.{}",
                case.domain,
                takeover_words(case, &end, "can take this mail")
            ),
            match case.is_own(host.as_str()) {
                true => "Take the MX record out, or bring the name back.".to_owned(),
                false => format!("Take the MX record out, or ask your provider, who runs {host}, where the name went."),
            },
        );
    }
    raised.raise_as(
        case,
        Code::MxUnresolvable,
        down,
        subject(),
        format!("{host} has neither an A nor an AAAA record, so nobody can deliver to it."),
        match case.is_own(host.as_str()) {
            true => format!("Publish an A or AAAA record for {host}, or take it out of the MX records."),
            false => format!(
                "Ask your provider, who runs {host}, to publish an A or AAAA record for it; or take it out of the MX records of {}.",
                case.domain
            ),
        },
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
            format!("The policy lists {}, and no MX record of {} matches.", words::list(&unused, MOST), case.domain),
            "Nothing to do while a host is being added or withdrawn; else remove the line and publish a new id.",
        );
    }
}

/// `dns-lookup-failed` for the addresses of a name: once, by the first family that fails.
pub(super) fn addresses_failed(
    case: &Case<'_>,
    raised: &mut Raised,
    subject: Subject,
    lookup: &AddressLookup,
    failures: u32,
    kept: bool,
) {
    let families = [("A", &lookup.ip4), ("AAAA", &lookup.ip6)];
    let failed =
        families.into_iter().find_map(|(kind, lookup)| Some((kind, lookup.as_ref().filter(|l| !l.answered())?)));
    if let Some((kind, lookup)) = failed {
        lookup_failed(case, raised, subject, kind, lookup, failures, kept);
    }
}

/// `dns-lookup-failed`, for whatever was asked. Not for this side's own trouble. `kept`: an earlier answer is known.
pub(super) fn lookup_failed<T>(
    case: &Case<'_>,
    raised: &mut Raised,
    subject: Subject,
    kind: &str,
    lookup: &Lookup<T>,
    failures: u32,
    kept: bool,
) {
    // A bogus answer has a finding of its own.
    let Some(failure) = lookup.failure().filter(|failure| !matches!(failure, LookupFailure::Bogus(_))) else { return };
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
    let stands = if kept { " What is shown is the last answer." } else { "" };
    let remedy = format!(
        "Ask the zone's own name servers: dig +norecurse {} {kind} @SERVER. If they answer, check the delegation, the DNSSEC \
         signatures, and firewalls that drop large answers.",
        lookup.name
    );
    let remedy = for_subject(case, &subject, &remedy);
    raised.raise_as(
        case,
        Code::DnsLookupFailed,
        Case::lookup_severity(failures),
        subject,
        format!("The {kind} lookup of {} failed: {failure}{said}{times}.{stands}", lookup.name),
        remedy,
    );
}

/// Only names outside the domain can fall to others.
fn takeover_words(case: &Case<'_>, end: &str, what: &str) -> String {
    let own = end.strip_suffix(case.domain.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    if own { String::new() } else { format!(" Whoever can register that name {what}.") }
}

/// `dns-delegation-dangling` for a CNAME.
pub(super) fn dangling(case: &Case<'_>, raised: &mut Raised, subject: Subject, name: &str, chain: &[String]) {
    let end = chain.last().map_or("", String::as_str);
    raised.raise(
        case,
        Code::DnsDelegationDangling,
        subject,
        format!(
            "{name} is a CNAME to {end}, which does not exist.{}",
            takeover_words(case, end, "decides what senders see")
        ),
        format!("Point the CNAME of {name} to a name that exists, or delete it."),
    );
}
