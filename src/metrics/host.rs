//! The families of a mail host and of its addresses: once, however many domains use it.

use std::{net::IpAddr, time::Duration};

use super::{
    block,
    registry::{
        Family, Kind,
        Level::{self, Full, Normal, Summary},
        Row, Samples, Sight, Sink,
    },
    text::Value,
    worst::{
        Rule::{self, Each, FirstToEnd, Least, Most},
        Worst,
    },
};
use crate::{
    facts::Family as AddressFamily,
    facts::{AddressLookup, ConnectFailure, Lookup, Offer, PathToRoot, Phase, Security, SmtpOutcome},
    monitor::HostState,
    protocol::dane::{DaneResult, TlsaState},
    verdict::{CertificateAssessment, PathAssessment, Reach, StarttlsState},
};

/// What a row of a mail host looks at.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    /// The host.
    Host(fn(&HostState, &mut Samples<'_>)),
    /// Each of its addresses; and how the worst is found where it stands for all.
    Path(Rule, fn(&PathAssessment, &mut Samples<'_>)),
    /// Each of its addresses, as far as this side can see.
    InSight(Rule, fn(&PathAssessment, Sight, &mut Samples<'_>)),
}

impl Row<Source> {
    /// Writes the samples of one host. `addresses` are those of its paths, as text.
    pub(super) fn write(
        &'static self,
        state: &HostState,
        addresses: &[String],
        sight: Sight,
        level: Level,
        block: &mut block::Writer,
    ) {
        let host = state.host.as_str();
        if let Source::Host(take) = self.samples {
            take(state, &mut Samples::new(Sink::Block(block), &self.family, &[host], level));
            return;
        }
        for (path, address) in state.paths.iter().zip(addresses) {
            let subject = [host, address.as_str()];
            self.take(path, sight, &mut Samples::new(Sink::Block(block), &self.family, &subject, level));
        }
    }

    /// The same with one set of samples for all addresses: the worst of them.
    pub(super) fn write_worst(&'static self, state: &HostState, sight: Sight, level: Level, block: &mut block::Writer) {
        let host = state.host.as_str();
        let rule = match self.samples {
            Source::Host(take) => {
                take(state, &mut Samples::new(Sink::Block(block), &self.family, &[host], level));
                return;
            }
            Source::Path(rule, _) | Source::InSight(rule, _) => rule,
        };
        let ends = |path: &PathAssessment| path.certificate.as_ref().map(|seen| seen.chain.leaf.not_after);
        let first_to_end = state.paths.iter().filter_map(|path| ends(path)).min();
        let mut worst = Worst::new(rule);
        for path in &state.paths {
            if rule != FirstToEnd || ends(path) == first_to_end {
                self.take(path, sight, &mut Samples::new(Sink::Worst(&mut worst), &self.family, &[host], level));
            }
        }
        for (labels, value) in worst.samples() {
            block.sample(labels.iter().map(String::as_str), value);
        }
    }

    fn take(&self, path: &PathAssessment, sight: Sight, samples: &mut Samples<'_>) {
        match self.samples {
            Source::Path(_, take) => take(path, samples),
            Source::InSight(_, take) => take(path, sight, samples),
            Source::Host(_) => {}
        }
    }
}

const MX: &[&str] = &["mx"];
const PATH: &[&str] = &["mx", "address"];
const NEVER: &str = "never";
const CANNOT_TELL: &str = "where it cannot be told from here, and before the first probe";
const NO_CERTIFICATE: &str = "where no certificate was seen";

const fn row(
    level: Level,
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    absent: &'static str,
    samples: Source,
) -> Row<Source> {
    Row { family: Family { name, kind: Kind::Gauge, level, labels, help, absent }, samples }
}

use Source::{Host as OfHost, InSight as Seen, Path as OfPath};

/// The table.
pub(super) static ROWS: &[Row<Source>] = &[
    row(
        Summary,
        "smtptls_mx_domains",
        MX,
        "Number of monitored domains that use the mail host.",
        NEVER,
        OfHost(|host, out| out.put(&[], host.domains)),
    ),
    row(
        Summary,
        "smtptls_mx_domains_enforcing",
        MX,
        "Number of monitored domains that use the mail host and have a policy in enforce; all of them, where the host has secure usable TLSA records.",
        NEVER,
        OfHost(|host, out| out.put(&[], host.domains_enforcing)),
    ),
    row(
        Summary,
        "smtptls_mx_finding",
        &["mx", "code"],
        "1 while the finding about the mail host or one of its addresses is active, for any domain. Cached.",
        "while it is not active",
        OfHost(|host, out| {
            for code in &host.findings {
                out.put(&[code.as_str()], true);
            }
        }),
    ),
    row(
        Normal,
        "smtptls_mx_address_lookup_success",
        MX,
        "Whether every address lookup of the mail host was answered, cached.",
        "before the first lookup",
        OfHost(|host, out| out.set(host.lookup.as_ref().map(|lookup| lookup.addresses.answered()))),
    ),
    row(
        Normal,
        "smtptls_mx_addresses",
        &["mx", "family"],
        "Number of addresses of the mail host (ip4, ip6) by the last answer, cached.",
        "for a family that was not asked for or never answered",
        OfHost(addresses),
    ),
    row(
        Normal,
        "smtptls_mx_addresses_skipped",
        MX,
        "Number of addresses beyond the configured cap, which are never probed.",
        "before the first lookup",
        OfHost(|host, out| out.set(host.lookup.as_ref().map(|_| host.skipped))),
    ),
    row(
        Normal,
        "smtptls_mx_connect_success",
        PATH,
        "Whether port 25 accepted the last connection, cached.",
        CANNOT_TELL,
        Seen(Least, |path, sight, out| out.set(connected(path, sight))),
    ),
    row(
        Normal,
        "smtptls_mx_starttls_advertised",
        PATH,
        "Whether EHLO offered STARTTLS, cached.",
        "where EHLO was not answered",
        OfPath(Least, |path, out| {
            let observation = path.judged.as_ref().or(path.latest.as_ref());
            out.set(observation.and_then(|observation| observation.starttls_offered()));
        }),
    ),
    row(
        Summary,
        "smtptls_mx_starttls_success",
        PATH,
        "Whether a TLS handshake was done after STARTTLS, whatever the certificate; 0 where STARTTLS is missing, refused or fails, or the address is down. Cached.",
        CANNOT_TELL,
        OfPath(Least, |path, out| out.set(starttls(path))),
    ),
    row(
        Summary,
        "smtptls_mx_certificate_verified",
        PATH,
        "Whether chain, dates and name of the certificate hold, as MTA-STS asks; 0 where none was presented. Cached.",
        CANNOT_TELL,
        OfPath(Least, |path, out| {
            out.set(starttls(path).map(|done| done && certificate(path, CertificateAssessment::verified)));
        }),
    ),
    row(
        Normal,
        "smtptls_mx_certificate_chain_valid",
        PATH,
        "Whether the chain leads to a trusted root, dates of the leaf and names apart. Cached.",
        NO_CERTIFICATE,
        OfPath(Least, |path, out| out.set(path.certificate.as_ref().map(|certificate| certificate.chain_valid))),
    ),
    row(
        Normal,
        "smtptls_mx_certificate_name_match",
        PATH,
        "Whether the certificate names the mail host, cached.",
        NO_CERTIFICATE,
        OfPath(Least, |path, out| out.set(path.certificate.as_ref().map(|certificate| certificate.name_match))),
    ),
    row(
        Summary,
        "smtptls_mx_certificate_not_after_timestamp_seconds",
        PATH,
        "End of validity of the certificate, whether or not it verifies, cached.",
        NO_CERTIFICATE,
        OfPath(Least, |path, out| out.set(path.certificate.as_ref().map(|c| Value::at(c.chain.leaf.not_after)))),
    ),
    row(
        Summary,
        "smtptls_mx_certificate_not_before_timestamp_seconds",
        PATH,
        "Start of validity of the certificate, whether or not it verifies, cached.",
        NO_CERTIFICATE,
        OfPath(FirstToEnd, |path, out| out.set(path.certificate.as_ref().map(|c| Value::at(c.chain.leaf.not_before)))),
    ),
    row(
        Normal,
        "smtptls_mx_certificate_chain_not_after_timestamp_seconds",
        PATH,
        "Earliest end of validity on the verified chain, cached.",
        "where the chain leads to no trusted root",
        OfPath(Least, |path, out| {
            if let Some(PathToRoot::Trusted { not_after }) = path.certificate.as_ref().map(|c| &c.chain.path) {
                out.put(&[], Value::at(*not_after));
            }
        }),
    ),
    row(
        Full,
        "smtptls_mx_certificate_info",
        &["mx", "address", "issuer_cn", "serial", "fingerprint_sha256", "key"],
        "Constant 1 with facts of the certificate; issuer_cn is cut at 64 characters. Cached.",
        NO_CERTIFICATE,
        OfPath(FirstToEnd, |path, out| {
            if let Some(certificate) = &path.certificate {
                let leaf = &certificate.chain.leaf;
                let issuer: String = leaf.issuer_cn.chars().take(ISSUER_CHARACTERS).collect();
                out.put(&[&issuer, &leaf.serial, &leaf.fingerprint_sha256, &leaf.key.to_string()], true);
            }
        }),
    ),
    row(
        Normal,
        "smtptls_mx_tls_info",
        &["mx", "address", "version", "cipher"],
        "Constant 1 with the negotiated version of TLS and cipher suite, cached.",
        "where no handshake was done",
        OfPath(Each, |path, out| {
            if let Some(tls) = path.judged.as_ref().and_then(|judged| judged.tls.as_ref()) {
                out.put(&[tls.version.as_str(), &tls.cipher], true);
            }
        }),
    ),
    row(
        Normal,
        "smtptls_mx_tls_legacy_accepted",
        PATH,
        "Whether TLS 1.0 or 1.1 is still negotiated, by the daily look. Cached.",
        "before the first look, where it could not be told, and with probe.legacy_tls off",
        OfPath(Most, |path, out| out.set(legacy_accepted(path))),
    ),
    row(
        Normal,
        "smtptls_mx_tlsa_lookup_success",
        MX,
        "Whether every TLSA lookup of the mail host was answered, cached.",
        "where none was made: DNSSEC is off, or the host has no address",
        OfHost(|host, out| {
            let tlsa = host.lookup.as_ref().and_then(|lookup| lookup.tlsa.as_ref());
            out.set(tlsa.map(|tlsa| tlsa.lookups.iter().all(|asked| asked.lookup.answered())));
        }),
    ),
    row(
        Normal,
        "smtptls_mx_tlsa_secure",
        MX,
        "Whether DNSSEC secures the TLSA answer of the mail host, records or not. Cached.",
        "where it cannot be told",
        OfHost(|host, out| out.set(tlsa_secure(host))),
    ),
    row(
        Normal,
        "smtptls_mx_tlsa_records",
        MX,
        "Number of TLSA records of the mail host, usable or not, secure or not. Cached.",
        "where it cannot be told",
        OfHost(|host, out| out.set(host.dane.usable().map(|_| host.dane.records().len()))),
    ),
    row(
        Summary,
        "smtptls_mx_tlsa_usable_records",
        MX,
        "Number of secure TLSA records of the mail host that SMTP can use, cached.",
        "where it cannot be told",
        OfHost(|host, out| out.set(host.dane.usable())),
    ),
    row(
        Normal,
        "smtptls_mx_tlsa_ttl_seconds",
        MX,
        "TTL of the TLSA records as the resolver showed it, cached.",
        "where there are none",
        OfHost(|host, out| {
            if let Some(TlsaState::Records { lookup, .. } | TlsaState::Insecure { lookup }) = host.dane.state() {
                out.set(lookup.lookup.ttl());
            }
        }),
    ),
    row(
        Summary,
        "smtptls_mx_dnssec_signature_expiry_timestamp_seconds",
        &["mx", "record"],
        "When the first DNSSEC signature on the way to the answer ends (record: address, tlsa), cached.",
        "where the answer is not secure",
        OfHost(signature_expiry),
    ),
    row(
        Normal,
        "smtptls_mx_dane_rollover_prepared",
        MX,
        "Whether a usable TLSA record for another key stands beside the live one, cached.",
        "where no record matches",
        OfHost(|host, out| out.set(rollover_prepared(host))),
    ),
    row(
        Summary,
        "smtptls_mx_dane_valid",
        PATH,
        "Whether the address presents, after STARTTLS, what the TLSA records of its TLSA base domain ask for. Cached.",
        "where the host has no secure usable record, and where it cannot be told",
        OfPath(Least, |path, out| out.set(path.dane_valid)),
    ),
    row(
        Normal,
        "smtptls_mx_failure",
        &["mx", "address", "result_type"],
        "1 while the address fails: the words of RFC 8460 section 4.3, or connect-refused, timeout, smtp-error, dns-error, other. Cached.",
        "while it does not fail",
        OfPath(Each, |path, out| {
            if let Some(word) = path.result_type {
                out.put(&[word], true);
            }
        }),
    ),
    row(
        Summary,
        "smtptls_mx_consecutive_failures",
        PATH,
        "Number of failed probes in a row.",
        "before the first probe",
        OfPath(Most, |path, out| out.set(path.latest.as_ref().map(|_| path.consecutive_failures))),
    ),
    row(
        Full,
        "smtptls_mx_probe_phase_seconds",
        &["mx", "address", "phase"],
        "Time of each phase of the last probe (connect, banner, ehlo, starttls, tls).",
        "for a phase that was not reached",
        OfPath(Most, phases),
    ),
    row(
        Summary,
        "smtptls_mx_last_probe_timestamp_seconds",
        PATH,
        "When the last probe of the address ended.",
        "before the first probe",
        OfPath(Least, |path, out| out.set(path.latest.as_ref().map(|latest| Value::at(latest.at)))),
    ),
    row(
        Normal,
        "smtptls_mx_last_success_timestamp_seconds",
        PATH,
        "When the last probe ended that came all the way to the EHLO inside TLS.",
        "before the first such probe",
        OfPath(Least, |path, out| out.set(path.last_success_at.map(Value::at))),
    ),
];

/// Names of issuers are free text: longer ones add nothing that tells them apart.
const ISSUER_CHARACTERS: usize = 64;

fn addresses(host: &HostState, out: &mut Samples<'_>) {
    let Some(lookup) = &host.lookup else { return };
    let AddressLookup { ip4, ip6 } = &lookup.addresses;
    for (family, lookup) in AddressFamily::ALL.into_iter().zip([ip4, ip6]) {
        let Some(lookup) = lookup else { continue };
        // A failed lookup leaves the last answer standing, and with it the paths.
        let count = if lookup.answered() { of_answer(lookup) } else { of_paths(host, family) };
        if let Some(count) = count {
            out.put(&[family.as_str()], count);
        }
    }
}

fn of_answer(lookup: &Lookup<IpAddr>) -> Option<usize> {
    Some(lookup.records().len())
}

fn of_paths(host: &HostState, family: AddressFamily) -> Option<usize> {
    let count = host.paths.iter().filter(|path| AddressFamily::of(path.address) == family).count();
    (count > 0).then_some(count)
}

/// Whether the last probe got a connection; nothing where a failure may be this side's.
fn connected(path: &PathAssessment, sight: Sight) -> Option<bool> {
    let latest = path.latest.as_ref()?;
    if latest.connected() {
        return Some(true);
    }
    let own_side = match &latest.outcome {
        SmtpOutcome::ConnectFailed(ConnectFailure::PrivateAddress) => false,
        SmtpOutcome::ConnectFailed(failure) => failure.is_own_side() || sight.smtp_blocked,
        _ => sight.smtp_blocked,
    };
    (!own_side && path.reach != Reach::CannotTell).then_some(false)
}

/// Whether a handshake is done on this path; nothing where that cannot be told.
fn starttls(path: &PathAssessment) -> Option<bool> {
    path.latest.as_ref()?;
    match path.reach {
        Reach::CannotTell => None,
        Reach::Down => Some(false),
        Reach::Up => match &path.judged {
            // An outcome stands until another one is sure, so it is the judged probe that counts, not the latest.
            Some(judged) => Some(match &judged.outcome {
                SmtpOutcome::Done => true,
                // Others can finish the handshake, of which the certificate was read.
                SmtpOutcome::HandshakeFailed(_) => judged.tls.is_some(),
                SmtpOutcome::ProtocolError { phase, .. } | SmtpOutcome::Timeout(phase) => *phase == Phase::EhloTls,
                _ => false,
            }),
            None => match path.starttls? {
                StarttlsState::Ok => Some(true),
                StarttlsState::NotReached => None,
                StarttlsState::NotOffered
                | StarttlsState::Refused
                | StarttlsState::Failed
                | StarttlsState::ProtocolError
                | StarttlsState::Timeout => Some(false),
            },
        },
    }
}

fn certificate(path: &PathAssessment, holds: fn(&CertificateAssessment) -> bool) -> bool {
    path.certificate.as_ref().is_some_and(holds)
}

fn phases(path: &PathAssessment, out: &mut Samples<'_>) {
    let Some(latest) = &path.latest else { return };
    let times = latest.times;
    let phases: [(Phase, Option<Duration>); 5] = [
        (Phase::Connect, times.connect),
        (Phase::Banner, times.banner),
        (Phase::Ehlo, times.ehlo),
        (Phase::Starttls, times.starttls),
        (Phase::Tls, times.tls),
    ];
    for (phase, time) in phases {
        if let Some(time) = time {
            out.put(&[phase.label()], time);
        }
    }
}

/// Whether a withdrawn version is accepted; nothing where the one that was not seen may be.
fn legacy_accepted(path: &PathAssessment) -> Option<bool> {
    let survey = path.survey.as_ref()?;
    match (&survey.tls10, &survey.tls11) {
        (Offer::Accepted, _) | (_, Offer::Accepted) => Some(true),
        (Offer::Refused, Offer::Refused) => Some(false),
        _ => None,
    }
}

fn tlsa_secure(host: &HostState) -> Option<bool> {
    let mut lookups = host.lookup.as_ref()?.tlsa.as_ref()?.lookups.iter().map(|asked| asked.lookup.security);
    // The last one is that of the TLSA base domain, or the one that the search ended with.
    match lookups.next_back()? {
        Security::Secure => Some(true),
        Security::Insecure | Security::Bogus => Some(false),
        Security::Indeterminate => None,
    }
}

fn rollover_prepared(host: &HostState) -> Option<bool> {
    let matching = host.paths.iter().filter_map(|path| path.dane.as_ref());
    let mut matching = matching.filter(|verdict| matches!(verdict.result, DaneResult::Match { .. })).peekable();
    matching.peek()?;
    Some(matching.any(|verdict| !verdict.rollover.is_empty()))
}

fn signature_expiry(host: &HostState, out: &mut Samples<'_>) {
    let Some(lookup) = &host.lookup else { return };
    let addresses = lookup.addresses.lookups().filter_map(|lookup| lookup.signatures.as_ref());
    let tlsa = lookup.tlsa.iter().flat_map(|tlsa| &tlsa.lookups).filter_map(|asked| asked.lookup.signatures.as_ref());
    let first = [("address", addresses.map(|s| s.expires).min()), ("tlsa", tlsa.map(|s| s.expires).min())];
    for (record, expires) in first {
        if let Some(expires) = expires {
            out.put(&[record], Value::at(expires));
        }
    }
}
