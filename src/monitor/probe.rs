//! One look at a domain, a mail host, an address: what is asked, in which order. Nothing here fails: what went wrong is a fact.

use std::{net::IpAddr, time::Instant};

use super::{Edges, politeness::operator_of, rua};
use crate::{
    facts::{
        AddressLookup, AddressObservation, DnssecSight, DomainObservation, HostObservation, Lookup, LookupFailure,
        LookupOutcome, MxTarget, PolicyHostObservation, RuaObservation, TlsSurvey, TlsaLookup, TlsaObservation,
    },
    net::{now, resolver::Resolver},
    protocol::dane::{Question, next_question},
    terms::{MxHost, Octets, PolicyDomain},
};

/// Looks at records, policy and MX list of a domain.
///
/// `kept`: the policy host is not asked again, because the last fetch failed so shortly ago that RFC 8461 §3.3 asks senders to
/// wait; what it said then stands.
pub(crate) async fn domain(
    edges: &Edges,
    domain: &PolicyDomain,
    kept: Option<PolicyHostObservation>,
) -> DomainObservation {
    let (started_at, started) = (now(), Instant::now());
    let (sts_name, tlsrpt_name) = (domain.sts_record_name(), domain.tlsrpt_record_name());
    let resolver = edges.resolver.asking();
    let (sts_record, (tlsrpt_record, rua), (mx, implicit), policy) = tokio::join!(
        resolver.txt(&sts_name),
        reports(edges, &resolver, &tlsrpt_name),
        mail_exchangers(edges, &resolver, domain),
        policy_host(edges, &resolver, domain, kept),
    );
    let implicit_failed = implicit.as_ref().is_some_and(|lookup| !lookup.answered());
    let failed = !sts_record.answered()
        || !tlsrpt_record.answered()
        || !mx.answered()
        || !policy.addresses.answered()
        || implicit_failed;
    let failures = [sts_record.failure(), tlsrpt_record.failure(), mx.failure(), policy.addresses.failure()];
    let implicit_failure = implicit.as_ref().and_then(AddressLookup::failure);
    let stayed = failures.into_iter().chain([implicit_failure]).any(never_arrived);
    DomainObservation {
        domain: domain.clone(),
        started_at,
        resolver_healthy: !failed || (!stayed && edges.resolver.healthy().await),
        // Asked for at every look, at most once a minute in all: so it is known whether DNSSEC can be seen from here.
        dnssec_healthy: edges.resolver.dnssec_healthy().await,
        duration: started.elapsed(),
        sts_record,
        tlsrpt_record,
        mx,
        implicit,
        policy,
        rua,
    }
}

/// The `_smtp._tls` record, and whether the places that it names take reports.
async fn reports(edges: &Edges, resolver: &Resolver, name: &str) -> (Lookup<Vec<Octets>>, Vec<RuaObservation>) {
    let record = resolver.txt(name).await;
    let rua = rua::look(edges, &record).await;
    (record, rua)
}

async fn mail_exchangers(
    edges: &Edges,
    resolver: &Resolver,
    domain: &PolicyDomain,
) -> (Lookup<crate::facts::MxRecord>, Option<AddressLookup>) {
    let mx = resolver.mx(domain.as_str()).await;
    // RFC 5321 §5.1: only where there is no MX record do the domain's own addresses take mail.
    let implicit = match mx.outcome {
        LookupOutcome::NoData => Some(resolver.addresses(domain.as_str(), edges.families).await),
        _ => None,
    };
    (mx, implicit)
}

async fn policy_host(
    edges: &Edges,
    resolver: &Resolver,
    domain: &PolicyDomain,
    kept: Option<PolicyHostObservation>,
) -> PolicyHostObservation {
    if let Some(kept) = kept {
        return kept;
    }
    let host = domain.policy_host();
    let started = Instant::now();
    let addresses = if edges.is_opted_out(&host) {
        AddressLookup::default()
    } else {
        resolver.addresses(&host, edges.families).await
    };
    // An alias shows who runs it: the name is the customer's own.
    let alias = addresses.cname().last().cloned();
    let operator = operator_of(alias.as_deref().unwrap_or(&host));
    let gate = |address| edges.politeness.permit_at(operator, &host, address);
    edges.policy.fetch(&host, addresses, started.elapsed(), gate).await
}

/// The mail hosts of a domain in the order in which senders try them, each once, up to the cap; and how many lie beyond it.
pub(crate) fn mail_hosts(edges: &Edges, observation: &DomainObservation) -> (Vec<MxHost>, usize) {
    let mut hosts: Vec<MxHost> = Vec::new();
    for record in observation.mx.records() {
        if let MxTarget::Host(host) = &record.target
            && !hosts.contains(host)
        {
            hosts.push(host.clone());
        }
    }
    let implicit = observation.implicit.as_ref().is_some_and(|lookup| lookup.addresses().next().is_some());
    if implicit {
        hosts.push(observation.domain.implicit_mx());
    }
    let skipped = hosts.len().saturating_sub(edges.max_mx);
    hosts.truncate(edges.max_mx);
    (hosts, skipped)
}

/// A question that never came to the resolver, for want of a descriptor or of a way to it, says nothing of what was asked about, even where
/// the next one gets through. One whose answer could not be had over TCP did come there, and is not among these.
const fn never_arrived(failure: Option<&LookupFailure>) -> bool {
    matches!(failure, Some(LookupFailure::Unreachable(_)))
}

/// Looks up a mail host: its addresses, then its TLSA records.
pub(crate) async fn host(edges: &Edges, host: &MxHost) -> HostObservation {
    let resolver = edges.resolver.asking();
    let addresses = resolver.addresses(host.as_str(), edges.families).await;
    let tlsa = tlsa(edges, &resolver, host, &addresses).await;
    let answered =
        addresses.answered() && tlsa.iter().flat_map(|seen| &seen.lookups).all(|seen| seen.lookup.answered());
    let looked_up = tlsa.iter().flat_map(|seen| &seen.lookups).map(|seen| seen.lookup.failure());
    let stayed = looked_up.chain([addresses.failure()]).any(never_arrived);
    HostObservation {
        host: host.clone(),
        at: now(),
        resolver_healthy: answered || (!stayed && edges.resolver.healthy().await),
        dnssec_healthy: edges.resolver.dnssec_healthy().await,
        tlsa,
        addresses,
    }
}

/// Looks up the TLSA records of a mail host that has addresses, as senders do (RFC 7672 §2.2.2, §2.2.3). Not where DNSSEC is
/// switched off.
async fn tlsa(edges: &Edges, resolver: &Resolver, host: &MxHost, addresses: &AddressLookup) -> Option<TlsaObservation> {
    let located = addresses.answered() && addresses.addresses().next().is_some();
    if resolver.dnssec_sight() == DnssecSight::Off || !located {
        return None;
    }
    let mut seen = TlsaObservation::default();
    while let Some(question) = next_question(host, addresses, &seen) {
        match question {
            Question::Alias => seen.alias = Some(resolver.cname(host.as_str()).await),
            Question::Tlsa(base) if base == *host => seen.lookups.push(tlsa_records(resolver, base).await),
            // Where an alias leads, other hosts may be led too.
            Question::Tlsa(base) => seen.lookups.push(tlsa_records(&edges.resolver, base).await),
        }
    }
    // Where nobody asks, records may stand all the same, and somebody believes in them.
    if seen.lookups.is_empty() {
        seen.lookups.push(tlsa_records(resolver, host.clone()).await);
    }
    Some(seen)
}

async fn tlsa_records(resolver: &Resolver, base: MxHost) -> TlsaLookup {
    let name = format!("_25._tcp.{base}");
    let mut lookup = resolver.tlsa(&name).await;
    if !lookup.answered() {
        // A failed TLSA lookup counts only where a second try fails too.
        lookup = resolver.tlsa_anew(&name).await;
    }
    TlsaLookup { base, lookup }
}

/// Has one SMTP dialogue with one address of a mail host, as soon as politeness lets it.
pub(crate) async fn address(edges: &Edges, host: &MxHost, address: IpAddr) -> AddressObservation {
    let _permit = edges.politeness.permit(host.as_str(), address).await;
    edges.smtp.probe(host, address).await
}

/// Looks at what else one address of a mail host offers: several connections, each as soon as politeness lets it.
pub(crate) async fn survey(edges: &Edges, host: &MxHost, address: IpAddr, base: Option<&MxHost>) -> TlsSurvey {
    edges.smtp.survey(host, address, base, || edges.politeness.permit(host.as_str(), address)).await
}

/// Tries the addresses of a canary until one answers.
pub(crate) async fn canary(edges: &Edges, host: &MxHost) -> Vec<AddressObservation> {
    let lookup = edges.resolver.addresses(host.as_str(), edges.families).await;
    let mut seen = Vec::new();
    for target in edges.probed(lookup.addresses()) {
        let observation = edges.probe_canary(host, target).await;
        let answered = observation.connected();
        seen.push(observation);
        if answered {
            break;
        }
    }
    seen
}
