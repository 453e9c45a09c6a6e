//! One look at the certificates of a mail host, now: what `tlsa suggest` does.

use std::net::IpAddr;

use futures_util::future::join_all;

use super::{Edges, probe, vantage::Attempts};
use crate::{
    config::Settings,
    facts::{CertificateSurvey, HostObservation, MxTarget, SmtpOutcome, Vantage},
    protocol::dane::{TlsaState, tlsa_state},
    terms::MxHost,
};

/// A mail host and what each of its addresses presents.
#[derive(Clone, Debug)]
pub struct SeenCertificates {
    /// The lookups.
    pub lookup: HostObservation,
    /// The TLSA base domain: where records are found, or should stand (RFC 7672 §2.2.3).
    pub base: MxHost,
    /// What each address presents; none where `probe.opt_out` spares the host.
    pub addresses: Vec<CertificateSurvey>,
    /// The mail hosts of the name where it shows no certificate, is none of them and has MX records: then it is a mail domain.
    pub mail_hosts: Vec<MxHost>,
    /// Addresses beyond the configured cap: not looked at.
    pub skipped: usize,
    /// What this side could see.
    pub vantage: Vantage,
}

/// Looks up a mail host, and looks at all the certificates of all its addresses.
pub async fn see_certificates(settings: &Settings, edges: &Edges, host: &MxHost) -> SeenCertificates {
    let lookup = probe::host(edges, host).await;
    let base = base_of(&lookup);
    let all: Vec<IpAddr> = lookup.addresses.addresses().collect();
    let probed: Vec<IpAddr> = match edges.is_opted_out(host.as_str()) {
        true => Vec::new(),
        false => edges.probed(all.iter().copied()).collect(),
    };
    let base_name = &base;
    let surveys = probed.iter().map(async |address| {
        edges.smtp.certificates(host, *address, base_name, || edges.politeness.permit(host.as_str(), *address)).await
    });
    let addresses = join_all(surveys).await;
    let vantage = vantage(settings, edges, &lookup, &addresses).await;
    let mail_hosts = match addresses.iter().any(|survey| survey.chains().next().is_some()) {
        true => Vec::new(),
        false => other_mail_hosts(edges, host).await,
    };
    let skipped = all.len().saturating_sub(edges.max_addresses);
    SeenCertificates { skipped, mail_hosts, lookup, base, addresses, vantage }
}

/// Where the mail of the name goes, if that is not the name itself.
async fn other_mail_hosts(edges: &Edges, host: &MxHost) -> Vec<MxHost> {
    let mut hosts: Vec<MxHost> = Vec::new();
    for record in edges.resolver.mx(host.as_str()).await.records() {
        match &record.target {
            MxTarget::Host(own) if own == host => return Vec::new(),
            MxTarget::Host(other) if !hosts.contains(other) => hosts.push(other.clone()),
            _ => {}
        }
    }
    hosts
}

/// Where the records are; where there are none, where a sender looks first: at what the host is an alias of, if that is secure.
fn base_of(seen: &HostObservation) -> MxHost {
    match tlsa_state(&seen.host, &seen.addresses, seen.tlsa.as_ref()) {
        TlsaState::Records { lookup, .. } | TlsaState::Insecure { lookup } => lookup.base.clone(),
        _ => {
            let first = seen.tlsa.iter().flat_map(|tlsa| &tlsa.lookups).next();
            first.map_or_else(|| seen.host.clone(), |first| first.base.clone())
        }
    }
}

async fn vantage(
    settings: &Settings,
    edges: &Edges,
    lookup: &HostObservation,
    addresses: &[CertificateSurvey],
) -> Vantage {
    let mut attempts = Attempts::default();
    let mut in_doubt = false;
    for survey in addresses {
        attempts.note(&survey.usual);
        in_doubt |= matches!(survey.usual.outcome, SmtpOutcome::ConnectFailed(_) | SmtpOutcome::Timeout(_));
    }
    let mut canaries = Vec::new();
    // The canaries are asked only where a doubt is to be settled.
    for canary in settings.probe.canaries.iter().filter(|_| in_doubt) {
        let seen = probe::canary(edges, canary).await;
        let answered = seen.iter().find(|seen| seen.connected());
        if let Some(seen) = answered {
            attempts.note_canary(seen.address, seen.at);
        }
        canaries.push((canary.clone(), (!seen.is_empty()).then_some(answered.is_some())));
    }
    let mut vantage = attempts.vantage(&canaries, 1);
    vantage.resolver_failing = !lookup.resolver_healthy;
    vantage.dnssec = edges.resolver.dnssec_sight();
    vantage
}
