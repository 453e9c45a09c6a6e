//! The settings as a file: what `config show` prints, and where the schema and the reference find the defaults.

use std::collections::BTreeMap;

use super::{
    domains::{DomainOptions, DomainSettings},
    file::{self, DomainEntry, File},
    reader::At,
    resolve_domains::last_day,
    settings::{ProbeSettings, ResolverSettings, Settings},
    values::{AddressFamily, Bounded, Day},
};
use crate::{
    terms::HumanDuration,
    verdict::{Acceptance, Expectation, Thresholds},
};

/// The effective configuration as YAML that can be read again. User-info and queries of URLs are hidden.
///
/// # Errors
/// The YAML writer failed; no known settings make it.
pub fn show(settings: &Settings) -> Result<String, String> {
    serde_saphyr::to_string(&written(settings)).map_err(|error| error.to_string())
}

/// What of the configuration decides a look at one domain, in the same form.
///
/// # Errors
/// As [`show`].
pub fn show_for(settings: &Settings, domain: &DomainSettings) -> Result<String, String> {
    let own = File { domains: at(vec![self::domain(domain).into()]), ..looks(settings) };
    serde_saphyr::to_string(&own).map_err(|error| error.to_string())
}

fn at<T>(value: T) -> Option<At<T>> {
    Some(value.into())
}

fn list<T: Clone>(values: &[T]) -> Option<At<Vec<At<T>>>> {
    at(values.iter().cloned().map(At::from).collect())
}

fn some<T: Clone>(value: Option<&T>) -> Option<At<T>> {
    value.cloned().map(At::from)
}

fn size<const LEAST: u64, const MOST: u64>(value: usize) -> Option<At<Bounded<LEAST, MOST>>> {
    at(Bounded(u64::try_from(value).unwrap_or(u64::MAX)))
}

/// A file that says all that the settings say.
pub(super) fn written(settings: &Settings) -> File {
    File {
        domains: at(settings.domains.iter().map(|one| domain(one).into()).collect()),
        domain_files: list(&settings.domain_files),
        http_sd: list(&settings.http_sd),
        reports: at(settings.reports.clone()),
        metrics: at(settings.metrics.clone()),
        shard: at(settings.shard.clone()),
        state: at(settings.state.clone()),
        ..looks(settings)
    }
}

/// What decides how a domain is looked at and judged, whichever it is.
fn looks(settings: &Settings) -> File {
    File {
        resolver: at(resolver(&settings.resolver)),
        probe: at(probe(&settings.probe)),
        own_mx: list(&settings.own_mx),
        thresholds: at(thresholds(&settings.thresholds)),
        severities: at(settings
            .severities
            .iter()
            .map(|(code, severity)| (code.clone(), (*severity).into()))
            .collect::<BTreeMap<_, _>>()),
        accept: at(settings.accept.iter().map(|one| accept(one).into()).collect()),
        ..File::default()
    }
}

fn resolver(settings: &ResolverSettings) -> file::Resolver {
    file::Resolver {
        servers: list(&settings.servers),
        dnssec: at(settings.dnssec),
        trust_anchor_file: some(settings.trust_anchor_file.as_ref()),
        timeout: at(HumanDuration(settings.timeout)),
    }
}

fn probe(settings: &ProbeSettings) -> file::Probe {
    let families = [(settings.families.ip4, AddressFamily::Ip4), (settings.families.ip6, AddressFamily::Ip6)];
    let families: Vec<_> = families.into_iter().filter(|(on, _)| *on).map(|(_, family)| family).collect();
    file::Probe {
        interval: at(HumanDuration(settings.interval)),
        mx_interval: at(HumanDuration(settings.mx_interval)),
        retry_interval: at(HumanDuration(settings.retry_interval)),
        policy_retry_interval: at(HumanDuration(settings.policy_retry_interval)),
        timeout: at(HumanDuration(settings.timeout)),
        helo_name: some(settings.helo_name.as_ref()),
        contact: some(settings.contact.as_ref()),
        families: list(&families),
        max_in_flight: size(settings.max_in_flight),
        per_host: size(settings.per_host),
        per_address: size(settings.per_address),
        per_network: size(settings.per_network),
        per_provider: size(settings.per_provider),
        max_mx: size(settings.max_mx),
        max_addresses: size(settings.max_addresses),
        ca_file: some(settings.ca_file.as_ref()),
        roots: at(settings.roots),
        smtp_port: at(Bounded(settings.smtp_port.into())),
        https_port: at(Bounded(settings.https_port.into())),
        legacy_tls: at(settings.legacy_tls),
        allow_private_addresses: at(settings.allow_private_addresses),
        allow_any_target: at(settings.allow_any_target),
        opt_out: list(&settings.opt_out),
        canaries: list(&settings.canaries),
    }
}

fn thresholds(thresholds: &Thresholds) -> file::Thresholds {
    file::Thresholds {
        certificate_warning: at(thresholds.certificate_warning),
        certificate_error: at(thresholds.certificate_error),
        testing_long: at(HumanDuration(thresholds.testing_long)),
        publication_grace: at(HumanDuration(thresholds.publication_grace)),
        reports_failing: at(thresholds.reports_failing),
        reports_new_after: at(HumanDuration(thresholds.reports_new_after)),
        reports_silent: at(HumanDuration(thresholds.reports_silent)),
        reports_shift: at(thresholds.reports_shift),
        enforce: at(file::Enforce {
            policy_stable: at(HumanDuration(thresholds.enforce.policy_stable)),
            testing: at(HumanDuration(thresholds.enforce.testing)),
        }),
    }
}

fn accept(acceptance: &Acceptance) -> file::Accept {
    file::Accept {
        code: some(Some(&acceptance.code)),
        domain: some(acceptance.domain.as_ref()),
        mx: some(acceptance.mx.as_ref()),
        until: acceptance.until.and_then(last_day).map(|day| Day(day).into()),
        reason: some(acceptance.reason.as_ref()),
    }
}

fn domain(settings: &DomainSettings) -> DomainEntry {
    let options = &*settings.options;
    if *options == DomainOptions::default() {
        return DomainEntry::Name(settings.domain.clone());
    }
    DomainEntry::Full(Box::new(file::Domain {
        domain: some(Some(&settings.domain)),
        group: some(options.group.as_ref()),
        interval: options.interval.map(|interval| HumanDuration(interval).into()),
        planned_mx: if options.planned_mx.is_empty() { None } else { list(&options.planned_mx) },
        expect: options.expect.as_ref().map(|one| expect(one).into()),
    }))
}

fn expect(expectation: &Expectation) -> file::Expect {
    file::Expect {
        mode: some(expectation.mode.as_ref()),
        min_max_age: expectation.min_max_age.map(|age| HumanDuration(age).into()),
        dane: some(expectation.dane.as_ref()),
        mx: expectation.mx.as_deref().and_then(list),
        issuer: some(expectation.issuer.as_ref()),
        mail: some(expectation.mail.as_ref()),
    }
}
