//! Lists over all domains, as the server answers them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::{FindingView, finding};
use crate::{
    monitor::DomainState,
    present::{
        headline,
        row::{Counts, DaneReach, Row, ShownMode},
    },
    terms::Timestamp,
    verdict::{Code, Finding, Severity, State},
};

/// Domains in a line each, and how many there are of which kind.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Domains")]
pub struct DomainsView<'a> {
    /// In the order asked for.
    pub domains: Vec<DomainRowView<'a>>,
    /// How many domains fit the filters, on all pages together.
    pub matching: usize,
    /// How many domains are configured.
    pub configured: usize,
    /// How many are in each state, of those that fit all filters but that of the state.
    pub states: BTreeMap<&'static str, usize>,
    /// How many are in each group, of those that fit all filters but that of the group. Domains without a group are not here.
    pub groups: BTreeMap<&'a str, usize>,
    /// How many domains have each finding, of those that fit all filters but that of the finding.
    pub findings: BTreeMap<&'static str, usize>,
    /// `after` for the next page; null on the last one.
    pub next: Option<String>,
}

/// A domain in a line.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DomainRow")]
pub struct DomainRowView<'a> {
    domain: &'a str,
    /// The configured group; null where there is none.
    group: Option<&'a str>,
    /// What happens to its mail; null before the first probe.
    delivery: Option<State>,
    /// What the policy says that senders may hold; null before the first probe.
    mode: Option<ShownMode>,
    /// What is most worth knowing, in words; null before the first probe, and where there is nothing.
    headline: Option<String>,
    /// The worst active finding; null where there is none.
    worst: Option<WorstView<'a>>,
    /// How many findings are active.
    findings: Counts,
    /// The certificate that ends first, of a mail host or of the policy host; null where none was seen.
    certificate: Option<FirstEndView<'a>>,
    /// How far DANE goes; null where it cannot be told.
    dane: Option<DaneReach>,
    /// When the look at the domain began; null before the first probe.
    checked_at: Option<Timestamp>,
    /// When the next one is due; null where none is.
    due_at: Option<Timestamp>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "WorstFinding")]
struct WorstView<'a> {
    code: Code,
    severity: Severity,
    subject: &'a str,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "FirstCertificate")]
struct FirstEndView<'a> {
    /// Whose it is.
    host: &'a str,
    /// The end of its validity, or that of its chain where that comes before.
    not_after: Timestamp,
}

/// Active findings over all domains.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Findings")]
pub struct FindingsView<'a> {
    /// The worst first, then by domain.
    pub findings: Vec<FindingOfDomainView<'a>>,
    /// How many fit the filters, on all pages together.
    pub matching: usize,
    /// `after` for the next page; null on the last one.
    pub next: Option<String>,
}

/// A finding with its domain.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "FindingOfDomain")]
pub struct FindingOfDomainView<'a> {
    domain: &'a str,
    /// The configured group; null where there is none.
    group: Option<&'a str>,
    #[serde(flatten)]
    finding: FindingView<'a>,
}

/// A domain as an object.
pub fn domain_row(state: &DomainState, now: Timestamp) -> DomainRowView<'_> {
    let row = Row::of(state);
    let words = state.assessment.as_deref().map(|seen| headline(seen, now));
    DomainRowView {
        domain: row.domain.as_str(),
        group: group(state),
        delivery: row.delivery,
        mode: row.mode,
        headline: words.filter(|words| !words.is_empty()),
        worst: row.worst.map(|finding| WorstView {
            code: finding.code,
            severity: finding.severity,
            subject: finding.subject.name(),
        }),
        findings: row.counts,
        certificate: row
            .certificate
            .map(|first| FirstEndView { host: first.host, not_after: first.ends_at.whole_seconds() }),
        dane: row.dane,
        checked_at: row.checked_at.map(Timestamp::whole_seconds),
        due_at: row.due_at.map(Timestamp::whole_seconds),
    }
}

/// A finding of a domain as an object.
pub fn finding_of_domain<'a>(state: &'a DomainState, seen: &'a Finding) -> FindingOfDomainView<'a> {
    FindingOfDomainView { domain: state.domain.as_str(), group: group(state), finding: finding(seen) }
}

fn group(state: &DomainState) -> Option<&str> {
    Some(state.group.as_str()).filter(|group| !group.is_empty())
}
