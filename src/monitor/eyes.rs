//! The one way in which the keeper looks at peers.

use std::{fmt, net::IpAddr};

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::{Edges, probe};
use crate::{
    facts::{AddressObservation, DomainObservation, HostObservation, PolicyHostObservation, TlsSurvey},
    terms::{MxHost, PolicyDomain},
};

/// What looks at peers for a [`Monitor`](super::Monitor). Usually these are the [`Edges`]; a measurement puts simulated peers in
/// their place, so that a fleet can be larger than the peers that one machine can play.
///
/// No look fails: what went wrong is a fact in what it returns. Each is bounded in time by whoever looks.
pub trait Eyes: fmt::Debug + Send + Sync {
    /// Looks at records, policy and MX list of a domain. `kept`: the policy host is not asked again, because it is too early for
    /// that (RFC 8461 §3.3); what it said then stands.
    fn domain<'a>(
        &'a self,
        domain: &'a PolicyDomain,
        kept: Option<PolicyHostObservation>,
    ) -> BoxFuture<'a, DomainObservation>;

    /// The mail hosts of a domain in the order in which senders try them, each once, up to the cap; and how many lie beyond it.
    fn mail_hosts(&self, observation: &DomainObservation) -> (Vec<MxHost>, usize);

    /// Looks up the addresses of a mail host and its TLSA records.
    fn host<'a>(&'a self, host: &'a MxHost) -> BoxFuture<'a, HostObservation>;

    /// How many addresses of a mail host are looked at; nothing where its operator asked not to be probed.
    fn most_addresses(&self, host: &MxHost) -> Option<usize>;

    /// Has one SMTP dialogue with one address of a mail host; with the moment at which its turn came.
    fn address<'a>(&'a self, host: &'a MxHost, address: IpAddr) -> BoxFuture<'a, (Instant, AddressObservation)>;

    /// Looks at what else one address of a mail host offers. `base`: its TLSA base domain, where that is known.
    fn survey<'a>(&'a self, host: &'a MxHost, address: IpAddr, base: Option<&'a MxHost>) -> BoxFuture<'a, TlsSurvey>;

    /// Tries the addresses of a canary until one answers.
    fn canary<'a>(&'a self, host: &'a MxHost) -> BoxFuture<'a, Vec<AddressObservation>>;
}

impl Eyes for Edges {
    fn domain<'a>(
        &'a self,
        domain: &'a PolicyDomain,
        kept: Option<PolicyHostObservation>,
    ) -> BoxFuture<'a, DomainObservation> {
        Box::pin(probe::domain(self, domain, kept))
    }

    fn mail_hosts(&self, observation: &DomainObservation) -> (Vec<MxHost>, usize) {
        probe::mail_hosts(self, observation)
    }

    fn host<'a>(&'a self, host: &'a MxHost) -> BoxFuture<'a, HostObservation> {
        Box::pin(probe::host(self, host))
    }

    fn most_addresses(&self, host: &MxHost) -> Option<usize> {
        (!self.is_opted_out(host.as_str())).then_some(self.max_addresses)
    }

    fn address<'a>(&'a self, host: &'a MxHost, address: IpAddr) -> BoxFuture<'a, (Instant, AddressObservation)> {
        Box::pin(async move {
            let turn = self.politeness.permit(host.as_str(), address).await;
            let began = Instant::now();
            let observation = self.smtp.probe(host, address).await;
            drop(turn);
            (began, observation)
        })
    }

    fn survey<'a>(&'a self, host: &'a MxHost, address: IpAddr, base: Option<&'a MxHost>) -> BoxFuture<'a, TlsSurvey> {
        Box::pin(probe::survey(self, host, address, base))
    }

    fn canary<'a>(&'a self, host: &'a MxHost) -> BoxFuture<'a, Vec<AddressObservation>> {
        Box::pin(probe::canary(self, host))
    }
}
