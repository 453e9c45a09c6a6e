//! Questions to the DNS.

use std::{fmt::Display, time::Duration};

use super::{LineKind, Section, Step};
use crate::{
    facts::{
        AddressLookup, DnssecSight, DomainObservation, HostObservation, Lookup, LookupOutcome, MxRecord,
        PolicyHostObservation, Security,
    },
    present::words,
    terms::{Octets, Timestamp},
    verdict::MxAssessment,
};

/// An answer that is older than the look by more than rounding was in the cache.
const ROUNDING: Duration = Duration::from_millis(2);

/// What the domain itself publishes.
pub(super) fn of_domain(seen: &DomainObservation, sight: DnssecSight) -> Section {
    let (from, domain) = (Some(seen.started_at), &seen.domain);
    let mut steps = vec![question("MX", &seen.mx, from, sight, mx)];
    if let Some(own) = &seen.implicit {
        steps.extend(addresses(own, from, sight));
    }
    steps.push(question("TXT", &seen.sts_record, from, sight, strings));
    steps.push(question("TXT", &seen.tlsrpt_record, from, sight, strings));
    Section { title: format!("What {domain} publishes"), steps }
}

/// Where the policy host is.
pub(super) fn of_policy_host(seen: &PolicyHostObservation, from: Timestamp, sight: DnssecSight) -> Section {
    let mut steps: Vec<Step> = addresses(&seen.addresses, Some(from), sight).collect();
    if seen.skipped > 0 {
        let mut step = Step::new("addresses beyond the limit");
        step.say(LineKind::Note, format!("{} not looked at", words::addresses(seen.skipped)));
        steps.push(step);
    }
    Section { title: format!("Where {} is", seen.host), steps }
}

/// Where a mail host is, and its TLSA records.
pub(super) fn of_mail_host(mx: &MxAssessment, seen: &HostObservation, from: Timestamp, sight: DnssecSight) -> Section {
    // A mail host has its own pace: what is older than the look at the domain need not come from a cache.
    let from = (seen.at >= from).then_some(from);
    let mut steps: Vec<Step> = addresses(&seen.addresses, from, sight).collect();
    if let Some(tlsa) = &seen.tlsa {
        steps.extend(tlsa.alias.iter().map(|alias| question("CNAME", alias, from, sight, shown)));
        steps.extend(tlsa.lookups.iter().map(|tlsa| question("TLSA", &tlsa.lookup, from, sight, shown)));
    }
    if mx.skipped > 0 {
        let mut step = Step::new("addresses beyond the limit");
        step.say(LineKind::Note, format!("{} not looked at", words::addresses(mx.skipped)));
        steps.push(step);
    }
    Section { title: format!("Where {} is", mx.target), steps }
}

fn addresses(lookup: &AddressLookup, from: Option<Timestamp>, sight: DnssecSight) -> impl Iterator<Item = Step> {
    let ip4 = lookup.ip4.iter().map(move |ip4| question("A", ip4, from, sight, shown));
    ip4.chain(lookup.ip6.iter().map(move |ip6| question("AAAA", ip6, from, sight, shown)))
}

fn shown(record: &impl Display) -> String {
    record.to_string()
}

fn mx(record: &MxRecord) -> String {
    format!("{} {}", record.preference, record.target)
}

/// The character-strings of a TXT record as in a zone file.
#[expect(clippy::ptr_arg, reason = "it is given the record of a lookup")]
fn strings(record: &Vec<Octets>) -> String {
    let quoted = |string: &Octets| format!("\"{}\"", string.to_string().replace('"', "\\\""));
    record.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

/// One question. `from`: what was answered before that came from the cache.
fn question<T>(
    kind: &str,
    lookup: &Lookup<T>,
    from: Option<Timestamp>,
    sight: DnssecSight,
    record: impl Fn(&T) -> String,
) -> Step {
    let took = lookup.asked.took();
    let mut step = Step::ended(format!("{kind} {}", lookup.name), lookup.at, took);
    for alias in &lookup.cname {
        step.say(LineKind::Received, format!("CNAME {alias}"));
    }
    match &lookup.outcome {
        LookupOutcome::Records { records, .. } => {
            records.iter().for_each(|one| step.say(LineKind::Received, record(one)));
        }
        LookupOutcome::NoData => step.say(LineKind::Received, "no such record (NODATA)"),
        LookupOutcome::NxDomain => step.say(LineKind::Received, "the name does not exist (NXDOMAIN)"),
        LookupOutcome::Failed(failure) => step.say(LineKind::Bad, failure.to_string()),
    }
    for error in &lookup.extended_errors {
        let text = if error.text.as_bytes().is_empty() { String::new() } else { format!(": {}", error.text) };
        step.say(LineKind::Received, format!("extended error {} ({}){text}", error.code, extended(error.code)));
    }
    let facts = [
        lookup.ttl().map(|ttl| format!("TTL {ttl}")),
        (sight != DnssecSight::Off && lookup.answered()).then(|| format!("DNSSEC {}", lookup.security)),
        (lookup.message_bytes > 0).then(|| format!("{} bytes", lookup.message_bytes)),
        lookup.asked.server.map(|server| format!("from {server}")),
    ];
    let facts: Vec<String> = facts.into_iter().flatten().collect();
    if !facts.is_empty() {
        step.say(LineKind::Note, facts.join(", "));
    }
    if let Some(signatures) = &lookup.signatures {
        let covers = &signatures.covers;
        step.say(LineKind::Note, format!("the first signature on the way ends {} ({covers})", signatures.expires));
        if let Some(weak) = &signatures.weak {
            step.say(LineKind::Warning, weak);
        }
    }
    if lookup.security == Security::Bogus && lookup.answered() {
        step.say(LineKind::Bad, "the signatures do not hold");
    }
    if let Some(from) = from.filter(|from| lookup.at + ROUNDING < *from) {
        let age = words::span(from.since(lookup.at));
        step.say(LineKind::Note, format!("from the cache: answered {age} before the look"));
        step.at = None;
    }
    step
}

/// The names of RFC 8914 §5.2, and of what was registered since.
const fn extended(code: u16) -> &'static str {
    match code {
        0 => "other error",
        1 => "unsupported DNSKEY algorithm",
        2 => "unsupported DS digest type",
        3 => "stale answer",
        4 => "forged answer",
        5 => "DNSSEC indeterminate",
        6 => "DNSSEC bogus",
        7 => "signature expired",
        8 => "signature not yet valid",
        9 => "DNSKEY missing",
        10 => "RRSIGs missing",
        11 => "no zone key bit set",
        12 => "NSEC missing",
        13 => "cached error",
        14 => "not ready",
        15 => "blocked",
        16 => "censored",
        17 => "filtered",
        18 => "prohibited",
        19 => "stale NXDOMAIN answer",
        20 => "not authoritative",
        21 => "not supported",
        22 => "no reachable authority",
        23 => "network error",
        24 => "invalid data",
        _ => "no name known here",
    }
}
