//! What the configuration expects of the domain.

use std::collections::BTreeSet;

use super::Raised;
use crate::{
    facts::{MxTarget, Security},
    terms::MxHost,
    verdict::{
        Code, DaneWord, Subject, TlsaStatus,
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

/// The targets of the MX records, those beyond the cap too; without a record the domain itself, if it has an address.
fn targets(case: &Case<'_>) -> BTreeSet<String> {
    let records = case.mx_lookup.records().iter().filter(|record| record.target != MxTarget::Null);
    let implicit = case.mx().iter().filter(|mx| mx.implicit).map(|mx| mx.target.clone());
    records.map(|record| record.target.to_string()).chain(implicit).collect()
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
        let difference = (seen != Some(mode.as_str())).then(|| match seen {
            Some(seen) => format!("the policy is in mode {seen}, and {} is expected", mode.as_str()),
            None => format!("there is no usable policy, and one in mode {} is expected", mode.as_str()),
        });
        checks.push(("mode", difference));
    }
    if let Some(least) = expectation.min_max_age
        && policy_known
    {
        let difference = match served {
            None => Some("there is no usable policy, and so no max_age".to_owned()),
            Some(policy) if policy.max_age.duration() < least => {
                Some(format!("max_age is {} seconds, and at least {} is expected", policy.max_age, least.as_secs()))
            }
            Some(_) => None,
        };
        checks.push(("min_max_age", difference));
    }
    if let Some(expected) = &expectation.mx
        && !matches!(case.hosts, MailHosts::Unknown)
    {
        let seen = targets(case);
        let expected: Vec<String> = expected.iter().map(ToString::to_string).collect();
        let extra: Vec<&String> = seen.iter().filter(|target| !expected.contains(target)).collect();
        let gone: Vec<&String> = expected.iter().filter(|host| !seen.contains(*host)).collect();
        let mut words = Vec::new();
        if !extra.is_empty() {
            words.push(format!("{} of the MX records is not expected", words::list(&extra, MOST)));
        }
        if !gone.is_empty() {
            words.push(format!("{} is missing from the MX records", words::list(&gone, MOST)));
        }
        checks.push(("mx", (!words.is_empty()).then(|| words.join("; "))));
    }
    if let Some(expected) = expectation.dane
        && let Some(difference) = dane(case, expected)
    {
        checks.push(("dane", difference));
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
            let difference = other.map(|(host, name)| {
                format!("the certificate of {host} is issued by \"{name}\", and \"{issuer}\" is expected")
            });
            checks.push(("issuer", difference));
        }
    }
    if let Some(mail) = expectation.mail {
        let takes = match &case.hosts {
            MailHosts::Hosts(_) => Some(true),
            MailHosts::Null | MailHosts::Nowhere | MailHosts::Nonexistent => Some(false),
            MailHosts::Unknown => None,
        };
        if let Some(takes) = takes {
            let difference = (takes != mail).then(|| match mail {
                true => "the domain takes no mail, and should".to_owned(),
                false => "the domain takes mail, and should not".to_owned(),
            });
            checks.push(("mail", difference));
        }
    }
    checks
}

/// Whether DANE is as expected, and the difference where it is not; nothing where it cannot be told.
fn dane(case: &Case<'_>, expected: bool) -> Option<Option<String>> {
    let MailHosts::Hosts(hosts) = &case.hosts else { return None };
    let names = |wanted: &dyn Fn(TlsaStatus) -> bool| -> Vec<&str> {
        hosts.iter().filter(|mx| wanted(mx.dane.status)).map(|mx| mx.target.as_str()).collect()
    };
    let with = names(&|status| status == TlsaStatus::Usable);
    let unseen = names(&|status| status == TlsaStatus::Indeterminate);
    if !expected {
        return match (with.is_empty(), unseen.is_empty()) {
            (false, _) => {
                Some(Some(format!("{} has TLSA records, and DANE is not expected", words::list(&with, MOST))))
            }
            (true, true) => Some(None),
            (true, false) => None,
        };
    }
    let without = names(&|status| !matches!(status, TlsaStatus::Usable | TlsaStatus::Indeterminate));
    let mut differences = Vec::new();
    if !without.is_empty() {
        differences.push(format!("{} has no usable TLSA records, and DANE is expected", words::list(&without, MOST)));
    }
    if case.mx_lookup.security == Security::Insecure {
        differences.push("the MX records are not signed, and DANE is expected".to_owned());
    }
    let refused: Vec<&str> = hosts
        .iter()
        .filter(|mx| mx.addresses.iter().any(|address| address.dane_word == Some(DaneWord::Mismatch)))
        .map(|mx| mx.target.as_str())
        .collect();
    if !refused.is_empty() {
        differences
            .push(format!("the TLSA records of {} do not match, and DANE is expected", words::list(&refused, MOST)));
    }
    if !differences.is_empty() {
        return Some(Some(differences.join("; ")));
    }
    unseen.is_empty().then_some(None)
}
