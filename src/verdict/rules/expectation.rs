//! What the configuration expects of the domain.

use super::Raised;
use crate::{
    terms::MxHost,
    verdict::{
        Code, Subject,
        case::{Case, MailHosts},
        words,
    },
};

/// More differences than this make a detail unreadable.
const MOST: usize = 4;

pub(super) fn rules(case: &Case<'_>, raised: &mut Raised) {
    let differences: Vec<String> = checks(case).into_iter().filter_map(|(_, difference)| difference).collect();
    if !differences.is_empty() {
        raised.raise(
            case,
            Code::ExpectationNotMet,
            Subject::Domain(case.domain.clone()),
            format!("Not as the configuration expects: {}.", differences.join("; ")),
            "Mend the domain, or correct its expect entry in the configuration.",
        );
    }
}

pub(super) fn met(case: &Case<'_>) -> Vec<(&'static str, bool)> {
    checks(case).into_iter().map(|(label, difference)| (label, difference.is_none())).collect()
}

/// Each expectation that can be told, with the difference where there is one.
fn checks(case: &Case<'_>) -> Vec<(&'static str, Option<String>)> {
    let Some(expectation) = case.context.expectation else { return Vec::new() };
    let mut checks = Vec::new();
    let served = case.policy.usable().filter(|_| case.announced());
    // Without a policy from here nothing is known of it, unless it is plain that there is none.
    let policy_known = served.is_some()
        || (case.fetched == Some(false) && case.sts_lookup.answered())
        || (case.sts_lookup.answered() && !case.announced());
    if let Some(mode) = expectation.mode
        && policy_known
    {
        let seen = served.map(|policy| policy.mode.as_str());
        let difference = (seen != Some(mode.as_str())).then(|| {
            format!("the mode is {}, {} is expected", seen.unwrap_or("missing (no usable policy)"), mode.as_str())
        });
        checks.push(("mode", difference));
    }
    if let Some(least) = expectation.min_max_age
        && policy_known
    {
        let difference = match served {
            None => Some("there is no usable policy, and so no max_age".to_owned()),
            Some(policy) if policy.max_age.duration() < least => {
                Some(format!("max_age is {}, at least {} is expected", policy.max_age, least.as_secs()))
            }
            Some(_) => None,
        };
        checks.push(("min_max_age", difference));
    }
    if let Some(expected) = &expectation.mx
        && let MailHosts::Hosts(hosts) = &case.hosts
    {
        let seen: Vec<&MxHost> = hosts.iter().filter_map(|mx| mx.host.as_ref()).collect();
        let extra: Vec<&MxHost> = seen.iter().copied().filter(|host| !expected.contains(host)).collect();
        let gone: Vec<&MxHost> = expected.iter().filter(|host| !seen.contains(host)).collect();
        let mut words = Vec::new();
        if !extra.is_empty() {
            words.push(format!("the MX {} is not expected", words::list(&extra, MOST)));
        }
        if !gone.is_empty() {
            words.push(format!("the MX {} is missing", words::list(&gone, MOST)));
        }
        checks.push(("mx", (!words.is_empty()).then(|| words.join("; "))));
    }
    if let Some(issuer) = &expectation.issuer {
        let seen: Vec<(&MxHost, &str)> = case
            .mx()
            .iter()
            .flat_map(|mx| mx.addresses.iter().map(move |address| (mx, address)))
            .filter_map(|(mx, address)| {
                let certificate = address.path.certificate.as_ref()?;
                Some((mx.host.as_ref()?, certificate.chain.leaf.issuer.as_str()))
            })
            .collect();
        if !seen.is_empty() {
            let other = seen.iter().find(|(_, name)| !name.contains(issuer.as_str()));
            let difference =
                other.map(|(host, name)| format!("the certificate of {host} is issued by {name}, not by {issuer}"));
            checks.push(("issuer", difference));
        }
    }
    if let Some(mail) = expectation.mail {
        let takes = match &case.hosts {
            MailHosts::Hosts(_) | MailHosts::ServFail => Some(true),
            MailHosts::Null | MailHosts::Nowhere | MailHosts::Nonexistent => Some(false),
            MailHosts::Unknown => None,
        };
        if let Some(takes) = takes {
            let difference = (takes != mail).then(|| match mail {
                true => "it takes no mail, and should".to_owned(),
                false => "it takes mail, and should not".to_owned(),
            });
            checks.push(("mail", difference));
        }
    }
    checks
}
