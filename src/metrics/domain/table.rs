//! The rows of a domain.

use super::samples::{
    checks, dnssec, fetch_phases, fetched, findings, hosts, paths, policy_addresses, signature_expiry,
};
use crate::{
    metrics::{
        block,
        registry::{
            Family, Kind,
            Level::{self, Full, Normal, Summary},
            Row, Samples, Sight, Sink,
        },
        text::Value,
    },
    monitor::DomainState,
    protocol::tls_rpt::Scheme,
    verdict::{Assessment, CertificateAssessment, Severity},
};

/// What a row of a domain looks at.
#[derive(Clone, Copy, Debug)]
pub(in crate::metrics) enum Source {
    /// What the monitor holds of it, from the start on.
    State(fn(&DomainState, &mut Samples<'_>)),
    /// The judgement: no sample before the first probe.
    Assessment(fn(&Assessment, &mut Samples<'_>)),
    /// The judgement, as far as this side can see.
    InSight(fn(&Assessment, Sight, &mut Samples<'_>)),
}

impl Row<Source> {
    /// Writes the samples of one domain.
    pub(in crate::metrics) fn write(
        &'static self,
        state: &DomainState,
        sight: Sight,
        level: Level,
        block: &mut block::Writer,
    ) {
        let subject = [state.domain.as_str()];
        let mut samples = Samples::new(Sink::Block(block), &self.family, &subject, level);
        match (self.samples, &state.assessment) {
            (Source::State(take), _) => take(state, &mut samples),
            (Source::Assessment(take), Some(assessment)) => take(assessment, &mut samples),
            (Source::InSight(take), Some(assessment)) => take(assessment, sight, &mut samples),
            (Source::Assessment(_) | Source::InSight(_), None) => {}
        }
    }
}

pub(super) const DOMAIN: &[&str] = &["domain"];
const DOMAIN_MX: &[&str] = &["domain", "mx"];
const NEVER: &str = "never";
const UNPROBED: &str = "before the first probe";

pub(super) const fn row(
    level: Level,
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    absent: &'static str,
    samples: Source,
) -> Row<Source> {
    Row { family: Family { name, kind: Kind::Gauge, level, labels, help, absent }, samples }
}

/// A counter of changes. It is there with the first observation, which cannot be a change: its first rise is seen. Not before:
/// until the history is read, 0 would be a fall.
pub(super) const fn counter(name: &'static str, help: &'static str, samples: Source) -> Row<Source> {
    Row { family: Family { name, kind: Kind::Counter, level: Normal, labels: DOMAIN, help, absent: UNPROBED }, samples }
}

use Source::{Assessment as Judged, InSight as Seen, State as Held};

/// The table.
pub(super) static ROWS: &[Row<Source>] = &[
    row(
        Summary,
        "smtptls_domain_info",
        &["domain", "group"],
        "Constant 1. group is the configured group, empty if none.",
        NEVER,
        Held(|state, out| out.put(&[&state.group], true)),
    ),
    row(
        Summary,
        "smtptls_domain_delivery",
        &["domain", "state"],
        "State set: what happens to mail for the domain (protected, partial, blocked, unprotected, no-mail, unknown), cached.",
        UNPROBED,
        Judged(|seen, out| out.put(&[seen.delivery.as_str()], true)),
    ),
    row(
        Normal,
        "smtptls_domain_paths",
        &["domain", "sender", "outcome"],
        "Number of paths (addresses of mail hosts) by what a sender of this kind (opportunistic, sts, dane) does there: secure, open, refused, cannot-tell. Cached.",
        "before the first probe; for dane while DNSSEC is not validated",
        Seen(paths),
    ),
    row(
        Normal,
        "smtptls_domain_check_passed",
        &["domain", "check"],
        "Whether no error of the group is active (dns, record, policy, mx, starttls, certificate, dane, tlsrpt), cached.",
        "where the group does not apply (no record, no policy, no address, no certificate, no TLSA record) or could not be looked at, and no error is active",
        Judged(checks),
    ),
    row(
        Summary,
        "smtptls_domain_findings",
        &["domain", "severity"],
        "Number of active findings, those of the mail hosts among them; severities info and warning only from level N on. Cached.",
        UNPROBED,
        Judged(|seen, out| {
            for severity in Severity::ALL {
                // With a million domains a series a domain is a million: of these, alerts need that of the errors.
                if severity == Severity::Error || out.level() >= Normal {
                    out.put(&[severity.as_str()], seen.count(severity));
                }
            }
        }),
    ),
    row(
        Normal,
        "smtptls_finding",
        &["domain", "code", "severity"],
        "1 while the finding is active: about the domain, its policy host, its TLSRPT record, or an MX target that is no host name. Cached.",
        "while it is not active",
        Judged(findings),
    ),
    row(
        Summary,
        "smtptls_domain_expectation_met",
        &["domain", "expectation"],
        "Whether the domain is as expect in the configuration says, cached.",
        "where expect does not say",
        Judged(|assessment, out| {
            for (expectation, met) in &assessment.expectations {
                out.put(&[expectation], *met);
            }
        }),
    ),
    row(
        Summary,
        "smtptls_domain_last_probe_timestamp_seconds",
        DOMAIN,
        "When the last probe of the domain began.",
        UNPROBED,
        Judged(|seen, out| out.put(&[], Value::at(seen.checked_at))),
    ),
    row(
        Normal,
        "smtptls_domain_last_success_timestamp_seconds",
        DOMAIN,
        "When the last probe began in which every lookup was answered.",
        "before the first such probe",
        Held(|state, out| out.set(state.last_success_at.map(Value::at))),
    ),
    row(
        Normal,
        "smtptls_domain_probe_duration_seconds",
        DOMAIN,
        "How long the last probe of the domain took.",
        UNPROBED,
        Judged(|seen, out| out.put(&[], seen.duration)),
    ),
    row(
        Normal,
        "smtptls_domain_probe_interval_seconds",
        DOMAIN,
        "The interval of the probes of the domain that is in force.",
        NEVER,
        Held(|state, out| out.put(&[], state.interval)),
    ),
    row(
        Normal,
        "smtptls_sts_record_lookup_success",
        DOMAIN,
        "Whether the last lookup of the _mta-sts record was answered, cached.",
        UNPROBED,
        Judged(|seen, out| out.put(&[], seen.sts_record.lookup_success)),
    ),
    row(
        Summary,
        "smtptls_sts_record_present",
        DOMAIN,
        "Whether the domain has an _mta-sts record by the last answer, cached.",
        "before the first answer",
        Judged(|seen, out| out.set(seen.sts_record.present)),
    ),
    row(
        Normal,
        "smtptls_sts_record_valid",
        DOMAIN,
        "Whether the _mta-sts record follows the grammar, cached.",
        "without a record",
        Judged(|seen, out| out.set(seen.sts_record.valid)),
    ),
    row(
        Normal,
        "smtptls_sts_record_info",
        &["domain", "id"],
        "Constant 1 with the present id of the _mta-sts record, cached.",
        "without a usable record",
        Judged(|seen, out| {
            if let Some(id) = &seen.sts_record.id {
                out.put(&[id.as_str()], true);
            }
        }),
    ),
    row(
        Normal,
        "smtptls_sts_record_ttl_seconds",
        DOMAIN,
        "TTL of the _mta-sts record as the resolver showed it, cached.",
        "without a record",
        Judged(|seen, out| out.set(seen.sts_record.ttl)),
    ),
    row(
        Summary,
        "smtptls_sts_policy_fetch_success",
        DOMAIN,
        "Whether a usable policy could be fetched as RFC 8461 asks, cached.",
        "where neither a record nor a policy host is there, or this side could not look",
        Judged(|seen, out| out.set(fetched(&seen.policy))),
    ),
    row(
        Normal,
        "smtptls_sts_policy_fetch_failure",
        &["domain", "result_type"],
        "1 while the fetch of the policy fails, with the result type that senders report (RFC 8460 section 4.3), cached.",
        "while the fetch does not fail",
        Judged(|seen, out| {
            if let (Some(false), Some(word)) = (fetched(&seen.policy), seen.policy.result_type) {
                out.put(&[word], true);
            }
        }),
    ),
    row(
        Normal,
        "smtptls_sts_policy_http_status_code",
        DOMAIN,
        "Status code of the policy host's answer, 0 when no answer came, cached.",
        "where neither a record nor a policy host is there, or this side could not look",
        Judged(|seen, out| {
            let status = fetched(&seen.policy).map(|_| u32::from(seen.policy.http_status.unwrap_or(0)));
            out.set(status);
        }),
    ),
    row(
        Full,
        "smtptls_sts_policy_fetch_phase_seconds",
        &["domain", "phase"],
        "Time of each phase of the fetch (resolve, connect, tls, processing, transfer) at the first address that served a usable policy, else at the first address. Cached.",
        "for a phase that was not reached",
        Judged(fetch_phases),
    ),
    row(
        Normal,
        "smtptls_sts_policy_last_success_timestamp_seconds",
        DOMAIN,
        "When a usable policy was last fetched.",
        "before the first one",
        Judged(|seen, out| out.set(seen.policy.last_success_at.map(Value::at))),
    ),
    row(
        Summary,
        "smtptls_sts_policy_mode",
        &["domain", "mode"],
        "State set: mode of the last usable policy while senders may hold it (enforce, testing, none), else missing. Cached.",
        UNPROBED,
        Judged(|seen, out| {
            let mode = seen.policy.in_force.as_ref().map_or("missing", |policy| policy.mode.as_str());
            out.put(&[mode], true);
        }),
    ),
    row(
        Normal,
        "smtptls_sts_policy_max_age_seconds",
        DOMAIN,
        "max_age of the policy in force as written, cached.",
        "without a policy in force",
        Judged(|seen, out| out.set(seen.policy.in_force.as_ref().map(|policy| policy.max_age.0))),
    ),
    row(
        Normal,
        "smtptls_sts_policy_mx_patterns",
        DOMAIN,
        "Number of mx patterns of the policy in force, cached.",
        "without a policy in force",
        Judged(|seen, out| out.set(seen.policy.in_force.as_ref().map(|policy| policy.mx.len()))),
    ),
    row(
        Normal,
        "smtptls_sts_policy_mx_patterns_unused",
        DOMAIN,
        "Number of mx patterns that match no current MX, cached.",
        "where the policy or the MX records are not known",
        Judged(|seen, out| out.set(seen.policy.unused_patterns)),
    ),
    row(
        Summary,
        "smtptls_sts_policy_certificate_not_after_timestamp_seconds",
        DOMAIN,
        "End of validity of the policy host's certificate, whether or not it verifies, cached.",
        "where no certificate was seen",
        Judged(|seen, out| out.set(seen.policy.certificate.as_ref().map(|c| Value::at(c.chain.leaf.not_after)))),
    ),
    row(
        Summary,
        "smtptls_sts_policy_certificate_not_before_timestamp_seconds",
        DOMAIN,
        "Start of validity of the policy host's certificate, whether or not it verifies, cached.",
        "where no certificate was seen",
        Judged(|seen, out| out.set(seen.policy.certificate.as_ref().map(|c| Value::at(c.chain.leaf.not_before)))),
    ),
    row(
        Normal,
        "smtptls_sts_policy_certificate_valid",
        DOMAIN,
        "Whether chain, dates and name of the policy host's certificate hold, cached.",
        "where no certificate was seen",
        Judged(|seen, out| out.set(seen.policy.certificate.as_ref().map(CertificateAssessment::verified))),
    ),
    row(
        Full,
        "smtptls_sts_policy_address_up",
        &["domain", "address"],
        "Whether this address of the policy host served a usable policy, cached.",
        "where the policy host has no such address or this side could not look",
        Judged(policy_addresses),
    ),
    row(
        Normal,
        "smtptls_mx_lookup_success",
        DOMAIN,
        "Whether the last lookup of the MX records was answered, cached.",
        UNPROBED,
        Judged(|seen, out| out.put(&[], seen.mx_lookup_success)),
    ),
    row(
        Normal,
        "smtptls_mx_records",
        DOMAIN,
        "Number of MX records of the last answer, cached.",
        "before the first answer",
        Judged(|seen, out| out.set(seen.mx_records)),
    ),
    row(
        Summary,
        "smtptls_domain_mx_info",
        DOMAIN_MX,
        "Constant 1 for each mail host of the domain: joins domain and mx. Cached.",
        "for an MX target that is no host name",
        Judged(|seen, out| {
            for host in hosts(seen).into_keys() {
                out.put(&[host.as_str()], true);
            }
        }),
    ),
    row(
        Full,
        "smtptls_mx_preference",
        DOMAIN_MX,
        "Preference of the MX record, the lowest if there are several, 0 for the domain itself. Cached.",
        "for an MX target that is no host name",
        Judged(|seen, out| {
            for (host, mx) in hosts(seen) {
                out.put(&[host.as_str()], u32::from(mx.preference));
            }
        }),
    ),
    row(
        Summary,
        "smtptls_mx_in_policy",
        DOMAIN_MX,
        "Whether the policy in force covers the mail host, cached.",
        "without a policy in force",
        Judged(|seen, out| {
            for (host, mx) in hosts(seen) {
                if let Some(covered) = mx.in_policy {
                    out.put(&[host.as_str()], covered);
                }
            }
        }),
    ),
    row(
        Normal,
        "smtptls_dnssec_secure",
        &["domain", "record"],
        "Whether the answer was validated by DNSSEC (record: mx, sts, tlsrpt), cached.",
        "where it cannot be told, and while smtptls_vantage_dnssec_validating is 0",
        Seen(dnssec),
    ),
    row(
        Normal,
        "smtptls_dnssec_signature_expiry_timestamp_seconds",
        &["domain", "record"],
        "When the first DNSSEC signature on the way to the MX records ends (record: mx), cached.",
        "where the answer is not secure",
        Judged(signature_expiry),
    ),
    row(
        Normal,
        "smtptls_tlsrpt_record_lookup_success",
        DOMAIN,
        "Whether the last lookup of the _smtp._tls record was answered, cached.",
        UNPROBED,
        Judged(|seen, out| out.put(&[], seen.tlsrpt.lookup_success)),
    ),
    row(
        Normal,
        "smtptls_tlsrpt_record_present",
        DOMAIN,
        "Whether the domain has an _smtp._tls record by the last answer, cached.",
        "before the first answer",
        Judged(|seen, out| out.set(seen.tlsrpt.present)),
    ),
    row(
        Normal,
        "smtptls_tlsrpt_record_valid",
        DOMAIN,
        "Whether the _smtp._tls record follows the grammar, cached.",
        "without a record",
        Judged(|seen, out| out.set(seen.tlsrpt.valid)),
    ),
    row(
        Normal,
        "smtptls_tlsrpt_record_destinations",
        &["domain", "scheme"],
        "Number of report destinations (mailto, https), cached.",
        "before the first answer",
        Judged(|seen, out| {
            if seen.tlsrpt.present.is_none() {
                return;
            }
            for (word, scheme) in [("mailto", Scheme::Mailto), ("https", Scheme::Https)] {
                out.put(&[word], seen.tlsrpt.rua.iter().filter(|destination| destination.scheme == scheme).count());
            }
        }),
    ),
];
