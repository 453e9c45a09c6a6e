//! What `--verbose` adds: the exact values behind the evidence.

use std::time::Duration;

use super::text::{Page, Role};
use crate::{
    protocol::dane::RecordSight,
    terms::{PolicyId, Timestamp},
    verdict::{
        AddressAssessment, Assessment, CertificateAssessment, HeldPolicy, HistoryAssessment, MxAssessment,
        PathAssessment, SenderState,
    },
};

const TITLE: usize = 2;
const LABEL: usize = 4;
const VALUE: usize = 16;

/// Everything that was seen, exactly.
pub(super) fn all(page: &mut Page, assessment: &Assessment) {
    senders(page, assessment);
    policy_host(page, assessment);
    history(page, &assessment.history);
    for mx in &assessment.mx {
        for address in &mx.addresses {
            title(page, &format!("{} [{}]", mx.target, address.path.address));
            path(page, &address.path);
            dane(page, mx, address);
            field(page, "MTA-STS", address.sts.as_str());
            field(page, "DANE", address.dane.as_str());
            field(page, "others", address.opportunistic.as_str());
        }
    }
}

fn title(page: &mut Page, text: &str) {
    page.blank();
    page.paragraph(TITLE, Role::Strong, text);
}

fn field(page: &mut Page, label: &str, text: &str) {
    page.labelled(LABEL, label, VALUE, None, text);
}

fn optional(page: &mut Page, label: &str, value: Option<impl std::fmt::Display>) {
    if let Some(value) = value {
        field(page, label, &value.to_string());
    }
}

fn senders(page: &mut Page, assessment: &Assessment) {
    title(page, "Senders");
    let words = |sender: &SenderState| {
        let paths = sender.paths;
        format!(
            "{} ({}); addresses: {} secure, {} open, {} refused, {} cannot be told",
            sender.state, sender.reason, paths.secure, paths.open, paths.refused, paths.cannot_tell
        )
    };
    field(page, "MTA-STS", &words(&assessment.senders.sts));
    field(page, "DANE", &words(&assessment.senders.dane));
    field(page, "both", &words(&assessment.senders.both));
    field(page, "others", &words(&assessment.senders.opportunistic));
    field(page, "checked at", &assessment.checked_at.to_string());
    let dnssec = assessment.dnssec;
    let text = format!("MX {}, MTA-STS {}, TLSRPT {}", dnssec.mx, dnssec.sts, dnssec.tlsrpt);
    field(page, "DNSSEC", &text);
}

fn policy_host(page: &mut Page, assessment: &Assessment) {
    let policy = &assessment.policy;
    let Some(host) = &policy.host else { return };
    title(page, &host.host);
    for fetch in &host.fetches {
        field(page, "address", &format!("{}, {}", fetch.address, milliseconds(fetch.times.total())));
    }
    for (address, _, error) in &policy.addresses {
        if let Some(error) = error {
            field(page, "error", &format!("{address}: {error}"));
        }
    }
    optional(page, "HTTP status", policy.http_status);
    optional(page, "media type", policy.media_type.as_ref());
    optional(page, "fetched", policy.last_success_at);
    optional(page, "result type", policy.result_type);
    if let Some(found) = &policy.certificate {
        certificate(page, found);
    }
    if let Some(body) = &policy.body {
        for (number, line) in body.lines().enumerate() {
            field(page, if number == 0 { "policy" } else { "" }, line);
        }
    }
}

/// What follows from the past, to the second.
fn history(page: &mut Page, history: &HistoryAssessment) {
    let (Some(known), Some(certainty)) = (history.known_since, history.certainty) else { return };
    title(page, "What senders may hold");
    field(page, "known since", &format!("{known} ({})", certainty.as_str()));
    for held in &history.held {
        let ids: Vec<&str> = held.ids.iter().map(PolicyId::as_str).collect();
        let (mode, age, HeldPolicy { first, last, expires, .. }) = (held.policy.mode, held.policy.max_age, held);
        field(page, "policy", &format!("{mode}, max_age {age}, id {}", ids.join(", ")));
        field(page, "", &format!("seen from {first} to {last}"));
        field(page, "", &format!("held until {expires}"));
    }
    optional(page, "lost from", history.protected_until);
    optional(page, "forgotten", history.cache_expiry);
    optional(page, "removal", history.safe_to_remove.map(|safe| safe.at));
    for planned in &history.planned {
        let at = |time: Option<Timestamp>| time.map_or_else(|| "not yet".to_owned(), |time| time.to_string());
        let (practice, certain) = (at(planned.in_practice), at(planned.certainly));
        field(page, "planned", planned.host.as_str());
        field(page, "", &format!("in practice {practice}"));
        field(page, "", &format!("certainly {certain}"));
    }
}

/// The TLSA records, each with what it is to the certificate.
fn dane(page: &mut Page, mx: &MxAssessment, address: &AddressAssessment) {
    let records = mx.dane.records();
    for (place, record) in records.iter().enumerate() {
        let sight = address.dane_verdict.as_ref().and_then(|verdict| verdict.records.get(place));
        let words = match sight {
            Some(RecordSight::Match { .. }) => "matches".to_owned(),
            Some(RecordSight::Unusable(why)) => format!("unusable: {why}"),
            Some(RecordSight::Repeats(_)) => "the same again".to_owned(),
            Some(RecordSight::Fault { faults, .. }) => {
                format!(
                    "names an issuer, but {}",
                    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
                )
            }
            Some(RecordSight::WrongUsage { .. }) => "is of a certificate that its usage does not speak of".to_owned(),
            Some(RecordSight::NoMatch) => "does not match".to_owned(),
            Some(RecordSight::NotLookedAt) => "not looked at".to_owned(),
            None => mx.dane.status.as_str().to_owned(),
        };
        field(page, if place == 0 { "TLSA" } else { "" }, &format!("{record} ({words})"));
    }
}

fn path(page: &mut Page, path: &PathAssessment) {
    if let Some(latest) = &path.latest {
        let times = latest.times;
        let phases = [
            ("connect", times.connect),
            ("banner", times.banner),
            ("EHLO", times.ehlo),
            ("STARTTLS", times.starttls),
            ("TLS", times.tls),
        ];
        let phases: Vec<String> =
            phases.iter().filter_map(|(name, time)| Some(format!("{name} {}", milliseconds((*time)?)))).collect();
        let phases = if phases.is_empty() { String::new() } else { format!(": {}", phases.join(", ")) };
        field(page, "time", &format!("{}{phases}", milliseconds(latest.duration)));
        optional(page, "banner", latest.banner.as_ref());
        optional(page, "EHLO", latest.capabilities.as_ref().map(|keywords| keywords.join(" ")));
    }
    optional(page, "STARTTLS", path.starttls.map(crate::verdict::StarttlsState::as_str));
    if let Some(tls) = path.judged.as_ref().and_then(|judged| judged.tls.as_ref()) {
        field(page, "TLS", &format!("{}, {}", tls.version, tls.cipher));
    }
    optional(page, "result type", path.result_type);
    if let Some(found) = &path.certificate {
        certificate(page, found);
    }
}

fn certificate(page: &mut Page, certificate: &CertificateAssessment) {
    let leaf = &certificate.chain.leaf;
    field(page, "subject", &leaf.subject);
    field(page, "issuer", &leaf.issuer);
    field(page, "names", &leaf.names.join(" "));
    field(page, "valid", &format!("{} to {}", leaf.not_before, leaf.not_after));
    let yes = |holds: bool| if holds { "yes" } else { "no" };
    let verdicts = format!(
        "trusted chain: {}, names the host: {}, in its dates: {}",
        yes(certificate.chain_valid),
        yes(certificate.name_match),
        yes(certificate.in_dates)
    );
    field(page, "verdicts", &verdicts);
    field(page, "key", &format!("{}, signed with {}", leaf.key, leaf.signature_algorithm));
    field(page, "SHA-256", &leaf.fingerprint_sha256);
}

fn milliseconds(duration: Duration) -> String {
    format!("{} ms", duration.as_millis())
}
