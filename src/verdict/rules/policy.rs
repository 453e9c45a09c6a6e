//! The policy host and the policy.

use std::{net::IpAddr, time::Duration};

use super::{
    Raised, problem_words,
    whose::{announcement, for_policy, new_id},
    with_reading,
};
use crate::{
    protocol::mta_sts::{Mode, MxPattern, Policy, PublicSuffix, SENDER_REFRESH, line_and_column},
    terms::{MaxAge, Problem, Reading},
    verdict::{
        Code, HistoryAssessment, Severity, Subject,
        case::{Case, has_no_address},
        policy_view::{FetchFault, FetchView, path_words},
        rules::certificate::nearness,
        words,
    },
};

/// FET-12: senders need not wait longer than a minute, and some give up much earlier.
const SLOW: Duration = Duration::from_secs(5);
/// More addresses than this make a detail unreadable.
const MOST_ADDRESSES: usize = 4;
/// Likewise; a hostile policy lists thousands.
const MOST_PATTERNS: usize = 4;

pub(super) fn rules(case: &Case<'_>, outlook: &HistoryAssessment, raised: &mut Raised) {
    let host = &case.policy.host.host;
    let subject = || Subject::PolicyHost(host.clone());
    if !case.announced() {
        // Without a record nobody looks; a policy in mode none is the last step of an orderly withdrawal.
        let served = case.policy.usable().filter(|policy| policy.mode != Mode::None);
        if let (Some(policy), true) = (served, case.sts_lookup.answered() && !is_being_withdrawn(case)) {
            raised.raise(
                case,
                Code::StsPolicyUnused,
                subject(),
                format!("https://{host}/.well-known/mta-sts.txt serves a policy in mode {}, and no record at {} announces it.",
                    policy.mode, case.domain.sts_record_name()),
                format!("Take the policy down, or announce it:\n{}", announcement(case, &words::next_id(case.now))),
            );
        }
        return;
    }
    lookup(case, raised);
    addresses(case, raised);
    divergence(case, raised);
    content(case, outlook, raised);
}

/// The record goes first and the host later: until no sender can have seen the record, the host is still needed.
fn is_being_withdrawn(case: &Case<'_>) -> bool {
    case.history.domain.ledger.record_gone().is_some_and(|(_, shown_until)| case.now < shown_until + SENDER_REFRESH)
}

fn lookup(case: &Case<'_>, raised: &mut Raised) {
    let host = &case.policy.host.host;
    let addresses = &case.policy.host.addresses;
    let subject = || Subject::PolicyHost(host.clone());
    if case.resolver_healthy {
        let failures = case.history.domain.policy_host_failures;
        super::mx::addresses_failed(case, raised, subject(), addresses, failures, false);
    }
    if addresses.is_dangling() {
        super::mx::dangling(case, raised, subject(), host, addresses.cname());
    }
    if has_no_address(addresses) {
        raised.raise(
            case,
            Code::StsPolicyHostUnresolvable,
            subject(),
            format!("{host} has neither an A nor an AAAA record, so senders cannot fetch the policy."),
            for_policy(
                case,
                &format!(
                    "Publish an A or AAAA record for {host}, and serve https://{host}/.well-known/mta-sts.txt there."
                ),
            ),
        );
    }
}

fn addresses(case: &Case<'_>, raised: &mut Raised) {
    let host = &case.policy.host.host;
    let subject = || Subject::PolicyHost(host.clone());
    let views = &case.policy.fetches;
    let private: Vec<IpAddr> = views.iter().filter(|view| view.is_private()).map(|view| view.fetch.address).collect();
    if !private.is_empty() {
        raised.raise(
            case,
            Code::StsPolicyAddressPrivate,
            subject(),
            format!("{host} resolves to {}, which the public Internet cannot reach.", words::list(&private, MOST_ADDRESSES)),
            for_policy(
                case,
                "Publish the public address. If this monitor looks from inside split DNS, set probe.allow_private_addresses.",
            ),
        );
    }
    let judged: Vec<&FetchView<'_>> = views.iter().filter(|view| !view.is_own_side() && !view.is_private()).collect();
    if judged.iter().any(|view| view.usable().is_some()) {
        for view in judged.iter().filter(|view| view.usable().is_none()) {
            let why = view.faults.first().map(FetchFault::words).unwrap_or_default();
            raised.raise(
                case,
                Code::StsPolicyAddressFailed,
                subject(),
                format!("{host} at {} gives no policy: {why}. Another address works.", view.fetch.address),
                for_policy(case, "Mend the server behind this address, or take the address out of the DNS."),
            );
        }
    } else {
        failures(case, raised, &judged);
    }
    let slow = judged.iter().filter(|view| view.usable().is_some()).map(|view| view.fetch.times.total()).max();
    if let Some(total) = slow.filter(|total| *total > SLOW) {
        raised.raise(
            case,
            Code::StsPolicySlow,
            subject(),
            format!("The policy took {:.1} s to fetch; some senders give up after a few seconds.", total.as_secs_f64()),
            for_policy(case, "Serve it as a static file, from a host that answers everybody at once."),
        );
    }
    // The nearest end over all addresses, once.
    let valid = judged.iter().filter_map(|view| view.certificate.as_ref()).filter(|certificate| certificate.in_dates);
    let nearest = valid.filter_map(|certificate| nearness(case, &certificate.chain, false)).min_by_key(|near| near.end);
    if let Some(near) = nearest {
        let what = if near.leaf { "The certificate" } else { "An intermediate certificate" };
        raised.raise_as(
            case,
            Code::StsPolicyCertificateExpiring,
            Severity::Warning,
            subject(),
            format!("{what} of {host} expires {}; then senders refuse the policy.", words::ahead(near.end, case.now)),
            for_policy(case, "Renew it and reload the web server; see why the renewal did not run by itself."),
        );
    }
}

/// No address gives a usable policy: each fault once, with the addresses that show it.
fn failures(case: &Case<'_>, raised: &mut Raised, judged: &[&FetchView<'_>]) {
    let mut done: Vec<Code> = Vec::new();
    for view in judged {
        for fault in &view.faults {
            let Some(code) = code_of(fault) else { continue };
            if done.contains(&code) {
                continue;
            }
            done.push(code);
            let shown: Vec<IpAddr> = judged
                .iter()
                .filter(|other| other.faults.iter().any(|fault| code_of(fault) == Some(code)))
                .map(|other| other.fetch.address)
                .collect();
            let (detail, fix) = fault_text(case, view, fault);
            let who = if code == Code::StsPolicyMediaType {
                "several senders refuse the policy"
            } else {
                "senders get no policy"
            };
            let detail = format!("{detail} Seen at {}: {who}.", words::list(&shown, MOST_ADDRESSES));
            let fix = for_policy(case, &fix);
            raised.raise(case, code, Subject::PolicyHost(case.policy.host.host.clone()), detail, fix);
        }
    }
}

const fn code_of(fault: &FetchFault) -> Option<Code> {
    Some(match fault {
        FetchFault::Connect(_) => Code::StsPolicyConnectFailed,
        FetchFault::Timeout(_) => Code::StsPolicyTimeout,
        FetchFault::Tls(_) => Code::StsPolicyTlsFailed,
        FetchFault::CertificateExpired => Code::StsPolicyCertificateExpired,
        FetchFault::CertificateNotYetValid => Code::StsPolicyCertificateNotYetValid,
        FetchFault::CertificateUntrusted(_) => Code::StsPolicyCertificateUntrusted,
        FetchFault::CertificateName => Code::StsPolicyCertificateNameMismatch,
        FetchFault::Http(_) | FetchFault::Status(_) => Code::StsPolicyHttpStatus,
        FetchFault::TooLarge => Code::StsPolicyTooLarge,
        FetchFault::Redirect(..) => Code::StsPolicyRedirect,
        FetchFault::MediaType(_) => Code::StsPolicyMediaType,
        // Said with its line by the rules on the content.
        FetchFault::Invalid => return None,
    })
}

fn fault_text(case: &Case<'_>, view: &FetchView<'_>, fault: &FetchFault) -> (String, String) {
    let host = &case.policy.host.host;
    let url = format!("https://{host}/.well-known/mta-sts.txt");
    let leaf = view.certificate.as_ref().map(|certificate| &certificate.chain.leaf);
    match fault {
        FetchFault::Connect(failure) => (
            format!("No connection to {host}: {failure}."),
            "Start the web server there, and open port 443 to everybody.".to_owned(),
        ),
        FetchFault::Timeout(phase) => (
            format!("{url} made no progress in time ({}).", phase.label()),
            "Serve the policy as a static file; look for a firewall or bot filter that holds mail servers back."
                .to_owned(),
        ),
        FetchFault::Tls(failure) => (
            format!("The TLS handshake with {host} failed: {failure}."),
            format!("Set up the web server for the name {host} (SNI), with its certificate and TLS 1.2 or newer."),
        ),
        FetchFault::CertificateExpired => (
            format!(
                "The certificate of {host} expired {}.",
                leaf.map(|leaf| words::ago(leaf.not_after, case.now)).unwrap_or_default()
            ),
            "Renew it and reload the web server; see why the renewal did not run by itself.".to_owned(),
        ),
        FetchFault::CertificateNotYetValid => (
            format!(
                "The certificate of {host} becomes valid {}.",
                leaf.map(|leaf| words::ahead(leaf.not_before, case.now)).unwrap_or_default()
            ),
            "Install a certificate that is valid now; check the clock of the machine that issued it.".to_owned(),
        ),
        FetchFault::CertificateUntrusted(path) => (
            format!("The certificate of {host} is not trusted, because {}.", path_words(path)),
            "Install the full chain of a public CA: the certificate, then its intermediates.".to_owned(),
        ),
        FetchFault::CertificateName => (
            format!(
                "The certificate of {host} does not name it, but {}.",
                super::certificate::names_words(leaf.map_or(&[], |leaf| &leaf.names))
            ),
            format!("Issue a certificate with the DNS name {host}."),
        ),
        FetchFault::Http(what) => (
            format!("{host} gave no readable HTTP answer: {what}."),
            format!("Serve the policy at {url} with status 200."),
        ),
        FetchFault::Status(status) => (
            format!("{url} answers with status {status}, where only 200 counts."),
            format!("Serve the policy at {url} with status 200."),
        ),
        FetchFault::Redirect(status, location) => (
            match location {
                Some(location) => {
                    format!("{url} redirects (status {status}) to {location}. Browsers follow, mail servers must not.")
                }
                None => format!("{url} redirects (status {status}). Browsers follow, mail servers must not."),
            },
            format!("Serve the policy itself at {url}, with status 200."),
        ),
        FetchFault::TooLarge => (
            format!("{url} serves more than 64 kB; senders stop reading there."),
            "Serve the policy alone; a web page or an application stands in its place.".to_owned(),
        ),
        FetchFault::MediaType(content_type) => (
            match content_type {
                Some(content_type) => format!("{url} is served as {content_type}; senders ask for text/plain."),
                None => format!("{url} is served without a Content-Type; senders ask for text/plain."),
            },
            "Send Content-Type: text/plain for this file.".to_owned(),
        ),
        FetchFault::Invalid => (String::new(), String::new()),
    }
}

/// What the body says, judged on the answer that stands for all.
fn content(case: &Case<'_>, outlook: &HistoryAssessment, raised: &mut Raised) {
    let Some(view) = case.policy.best() else { return };
    let (Some(reading), Some(response)) = (&view.reading, &view.fetch.response) else { return };
    let subject = || Subject::Domain(case.domain.clone());
    let place = |problem: &Problem| {
        let (line, column) = line_and_column(response.body.as_bytes(), problem.span.start);
        format!("line {line}, column {column}: ")
    };
    let new_id = format!("then {}", new_id(case));
    for (kind, code, lead) in [
        (Reading::Invalid, Code::StsPolicyInvalid, "The policy cannot be used"),
        (Reading::Lenient, Code::StsPolicyLenient, "Not every sender takes the policy"),
        (Reading::Note, Code::StsPolicyNote, "The policy is unusual but fine"),
    ] {
        let problems: Vec<&Problem> = with_reading(&reading.problems, kind).collect();
        if problems.is_empty() {
            continue;
        }
        let what = problem_words(problems.into_iter(), place);
        let fix = match kind {
            Reading::Note => "Nothing to do.".to_owned(),
            _ => for_policy(case, &format!("Correct the file, {new_id}")),
        };
        raised.raise(case, code, subject(), format!("{lead}: {what}."), fix);
    }
    if let Some(policy) = &reading.value {
        meaning(case, outlook, raised, policy, &new_id);
    }
}

fn meaning(case: &Case<'_>, outlook: &HistoryAssessment, raised: &mut Raised, policy: &Policy, new_id: &str) {
    let subject = || Subject::Domain(case.domain.clone());
    match policy.mode {
        Mode::Enforce => {}
        Mode::Testing => raised.raise(
            case,
            Code::StsPolicyModeTesting,
            subject(),
            "The policy is in mode testing: senders report failures and deliver all the same.",
            match super::history::is_ready(case, outlook) {
                // That finding has the step and the record.
                true => format!("Nothing more to wait for: {} says what to do.", Code::StsPolicyReadyForEnforce),
                false => for_policy(
                    case,
                    &format!(
                        "When neither reports nor this monitor show failures for two weeks, set \"mode: enforce\", {new_id}"
                    ),
                ),
            },
        ),
        Mode::None => raised.raise(
            case,
            Code::StsPolicyModeNone,
            subject(),
            "The policy is in mode none: senders behave as if there were no policy.",
            super::history::removal_words(outlook),
        ),
    }
    if policy.max_age < MaxAge::SHORT && policy.mode != Mode::None {
        raised.raise(
            case,
            Code::StsPolicyMaxAgeShort,
            subject(),
            match policy.max_age {
                MaxAge(0) => "max_age is 0: senders forget the policy at once, and it protects nobody.".to_owned(),
                short => {
                    format!("max_age is {short} seconds, less than a day: senders forget the policy between two mails.")
                }
            },
            for_policy(case, &format!("Raise it, for example to \"max_age: 604800\" (a week), {new_id}")),
        );
    }
    if policy.max_age > MaxAge::CAP {
        raised.raise(
            case,
            Code::StsPolicyMaxAgeExcessive,
            subject(),
            format!(
                "max_age is {} seconds, and {} (a year) is the most that is allowed: some senders reject the policy for it.",
                policy.max_age,
                MaxAge::CAP
            ),
            for_policy(case, &format!("Lower it, for example to \"max_age: 2592000\" (30 days), {new_id}")),
        );
    }
    let impossible: Vec<&MxPattern> = policy.mx.iter().filter(|pattern| pattern.is_ipv4_like()).collect();
    if !impossible.is_empty() {
        raised.raise(
            case,
            Code::StsPolicyMxImpossible,
            subject(),
            format!(
                "The policy lists {}; senders compare names, so an address matches no mail host.",
                words::list(&impossible, MOST_PATTERNS)
            ),
            for_policy(case, &format!("Write the name of the mail host there, {new_id}")),
        );
    }
    wide_patterns(case, raised, policy, new_id);
    let single: Vec<&MxPattern> = policy.mx.iter().filter(|pattern| pattern.is_single_label()).collect();
    if !single.is_empty() {
        raised.raise(
            case,
            Code::StsPolicyMxSingleLabel,
            subject(),
            format!(
                "The policy lists {}; no mail host on the Internet has a name of a single label.",
                words::list(&single, MOST_PATTERNS)
            ),
            for_policy(case, &format!("Write the full name of the mail host there, {new_id}")),
        );
    }
}

/// POL-20: anybody can have a name, and a certificate for it, under such a suffix.
fn wide_patterns(case: &Case<'_>, raised: &mut Raised, policy: &Policy, new_id: &str) {
    for (kind, severity, who) in [
        (PublicSuffix::Registry, Severity::Error, "anybody can register"),
        (PublicSuffix::Private, Severity::Warning, "the customers of a company get"),
    ] {
        let wide: Vec<&MxPattern> = policy.mx.iter().filter(|pattern| pattern.public_suffix() == Some(kind)).collect();
        if wide.is_empty() {
            continue;
        }
        raised.raise_as(
            case,
            Code::StsPolicyWildcardWide,
            severity,
            Subject::Domain(case.domain.clone()),
            format!(
                "The policy lists {}, under which {who} names: each of them passes for a mail host of {}.",
                words::list(&wide, MOST_PATTERNS),
                case.domain
            ),
            for_policy(case, &format!("List the mail hosts by name, {new_id}")),
        );
    }
}

/// Addresses that serve different policies at the same time. Compared by meaning: mode, `max_age`, set of patterns.
fn divergence(case: &Case<'_>, raised: &mut Raised) {
    let usable: Vec<(&FetchView<'_>, &Policy)> =
        case.policy.fetches.iter().filter_map(|view| Some((view, view.usable()?))).collect();
    let Some(((first, policy), rest)) = usable.split_first() else { return };
    let Some((other, differs)) = rest.iter().find(|(_, other)| !other.same_meaning(policy)) else {
        super::history::successive_answers(case, raised);
        return;
    };
    raised.raise(
        case,
        Code::StsPolicyDiverges,
        Subject::PolicyHost(case.policy.host.host.clone()),
        format!(
            "{} serves a policy ({}, max_age {}, {}) that is not the one of {} ({}, max_age {}, {}): which one a sender gets is chance.",
            other.fetch.address,
            differs.mode.as_str(),
            differs.max_age,
            words::list(&differs.mx, MOST_PATTERNS),
            first.fetch.address,
            policy.mode.as_str(),
            policy.max_age,
            words::list(&policy.mx, MOST_PATTERNS),
        ),
        for_policy(case, "Bring every server, or every node of the CDN, to the same file."),
    );
}
