//! Eyes that see nothing: no look ever ends.

use std::{future::pending, net::IpAddr};

use futures_util::future::BoxFuture;
use smtptls_exporter::{
    facts::{AddressObservation, DomainObservation, HostObservation, PolicyHostObservation, TlsSurvey},
    monitor::Eyes,
    terms::{MxHost, PolicyDomain},
};
use tokio::time::Instant;

#[derive(Debug)]
pub(crate) struct Asleep;

impl Eyes for Asleep {
    fn domain<'a>(&'a self, _: &'a PolicyDomain, _: Option<PolicyHostObservation>) -> BoxFuture<'a, DomainObservation> {
        Box::pin(pending())
    }

    fn mail_hosts(&self, _: &DomainObservation) -> (Vec<MxHost>, usize) {
        (Vec::new(), 0)
    }

    fn host<'a>(&'a self, _: &'a MxHost) -> BoxFuture<'a, HostObservation> {
        Box::pin(pending())
    }

    fn most_addresses(&self, _: &MxHost) -> Option<usize> {
        None
    }

    fn address<'a>(&'a self, _: &'a MxHost, _: IpAddr) -> BoxFuture<'a, (Instant, AddressObservation)> {
        Box::pin(pending())
    }

    fn survey<'a>(&'a self, _: &'a MxHost, _: IpAddr, _: Option<&'a MxHost>) -> BoxFuture<'a, TlsSurvey> {
        Box::pin(pending())
    }

    fn canary<'a>(&'a self, _: &'a MxHost) -> BoxFuture<'a, Vec<AddressObservation>> {
        Box::pin(pending())
    }
}
