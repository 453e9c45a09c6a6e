//! What the rows of a domain read off a judgement, where it takes more than a line.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use crate::{
    facts::{FetchFailure, FetchTimes, PolicyFetch},
    metrics::{
        registry::{Samples, Sight},
        text::Value,
    },
    terms::MxHost,
    verdict::{
        Assessment, Check, Finding, MxAssessment, Outcome, PolicyAssessment, Reach, Security, Severity, Subject,
        TlsaStatus,
    },
};

pub(super) fn paths(seen: &Assessment, sight: Sight, out: &mut Samples<'_>) {
    let senders = &seen.senders;
    let dane = sight.dnssec.then_some(("dane", senders.dane));
    for (sender, state) in [("opportunistic", senders.opportunistic), ("sts", senders.sts)].into_iter().chain(dane) {
        for outcome in Outcome::ALL {
            out.put(&[sender, outcome.as_str()], state.paths.get(outcome));
        }
    }
}

pub(super) fn checks(seen: &Assessment, out: &mut Samples<'_>) {
    for check in Check::ALL {
        let failed = seen.active().any(|f| f.severity == Severity::Error && f.code.row().check == check);
        if failed || looked_at(check, seen) {
            out.put(&[check.as_str()], !failed);
        }
    }
}

/// Whether a group applies to the domain and enough was seen to say that it passed.
fn looked_at(check: Check, seen: &Assessment) -> bool {
    let paths = || seen.mx.iter().flat_map(|mx| &mx.addresses).map(|address| &address.path);
    match check {
        // A failure of this side raises no finding: then nothing is known.
        Check::Dns => seen.lookups_answered() || seen.findings.iter().any(|f| f.code.row().check == Check::Dns),
        Check::Record => seen.sts_record.present == Some(true),
        Check::Policy => fetched(&seen.policy).is_some(),
        Check::Mx => seen.mx_records.is_some(),
        Check::Starttls => paths().any(|path| path.reach != Reach::CannotTell),
        Check::Certificate => paths().any(|path| path.certificate.is_some()),
        Check::Dane => seen.mx.iter().any(|mx| mx.dane.status == TlsaStatus::Usable),
        Check::TlsRpt => seen.tlsrpt.present == Some(true),
        Check::None => false,
    }
}

/// Findings about mail hosts stand on the host (`smtptls_mx_finding`); those about this monitor in `smtptls_vantage_*`.
pub(super) fn findings(seen: &Assessment, out: &mut Samples<'_>) {
    let stands_here = |finding: &&Finding| match finding.subject.mx() {
        // A target that is no host name has no series of its own to stand on.
        Some(name) => MxHost::parse(name).is_err(),
        None => finding.subject != Subject::Monitor,
    };
    let active: BTreeSet<_> =
        seen.active().filter(stands_here).map(|finding| (finding.code, finding.severity)).collect();
    for (code, severity) in active {
        out.put(&[code.as_str(), severity.as_str()], true);
    }
}

/// Whether the policy could be fetched; nothing where there is none to fetch or this side could not look.
pub(super) fn fetched(policy: &PolicyAssessment) -> Option<bool> {
    policy.fetch_success.filter(|_| policy.deployed)
}

pub(super) fn fetch_phases(seen: &Assessment, out: &mut Samples<'_>) {
    let Some(host) = &seen.policy.host else { return };
    let served = |fetch: &&PolicyFetch| seen.policy.addresses.iter().any(|(at, ok, _)| *at == fetch.address && *ok);
    let fetch = host.fetches.iter().find(served).or_else(|| host.fetches.first());
    let times = fetch.map_or_else(FetchTimes::default, |fetch| fetch.times);
    let phases: [(&str, Option<Duration>); 5] = [
        ("resolve", Some(host.resolve)),
        ("connect", times.connect),
        ("tls", times.tls),
        ("processing", times.processing),
        ("transfer", times.transfer),
    ];
    for (phase, time) in phases {
        if let Some(time) = time {
            out.put(&[phase], time);
        }
    }
}

pub(super) fn policy_addresses(seen: &Assessment, out: &mut Samples<'_>) {
    // An address that this side could not dial is not down.
    let own_side = |address: IpAddr| {
        seen.policy.host.iter().flat_map(|host| &host.fetches).any(|fetch| {
            fetch.address == address && matches!(&fetch.failure, Some(FetchFailure::Connect(why)) if why.is_own_side())
        })
    };
    for (address, up, _) in &seen.policy.addresses {
        if *up || !own_side(*address) {
            out.put(&[&address.to_string()], *up);
        }
    }
}

/// The mail hosts, each once, by the record that senders try first.
pub(super) fn hosts(seen: &Assessment) -> BTreeMap<&MxHost, &MxAssessment> {
    let mut hosts = BTreeMap::new();
    for mx in &seen.mx {
        if let Some(host) = &mx.host {
            let first = hosts.entry(host).or_insert(mx);
            if mx.preference < first.preference {
                *first = mx;
            }
        }
    }
    hosts
}

pub(super) fn dnssec(seen: &Assessment, sight: Sight, out: &mut Samples<'_>) {
    if !sight.dnssec {
        return;
    }
    let records = [("mx", seen.dnssec.mx), ("sts", seen.dnssec.sts), ("tlsrpt", seen.dnssec.tlsrpt)];
    for (record, security) in records {
        match security {
            Security::Secure => out.put(&[record], true),
            Security::Insecure | Security::Bogus => out.put(&[record], false),
            Security::Indeterminate => {}
        }
    }
}

/// RFC 4034 §3.1.5: when the first signature on the way to the MX records ends.
pub(super) fn signature_expiry(seen: &Assessment, out: &mut Samples<'_>) {
    if let Some(signatures) = &seen.mx_signatures {
        out.put(&["mx"], Value::at(signatures.expires));
    }
}
