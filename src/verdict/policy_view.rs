//! What the policy host served, address by address, and what of it senders can use.

use std::{net::IpAddr, sync::Arc};

use super::{CertificateAssessment, case::has_no_address, path::assess_certificate};
use crate::{
    facts::{
        ConnectFailure, DomainObservation, Family, FetchFailure, FetchPhase, HttpResponse, PathToRoot, PolicyFetch,
        PolicyHostObservation, TlsFailure, Vantage,
    },
    protocol::mta_sts::{MediaType, Policy, PolicyReading, known_reading, media_type, read_sts_records},
    terms::{Octets, Timestamp},
};

/// Why a sender gets no policy from one address, in the order in which a sender meets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FetchFault {
    Connect(ConnectFailure),
    Timeout(FetchPhase),
    Tls(TlsFailure),
    CertificateExpired,
    CertificateNotYetValid,
    CertificateUntrusted(PathToRoot),
    CertificateName,
    Http(String),
    TooLarge,
    Redirect(u16, Option<Octets>),
    Status(u16),
    MediaType(Option<Octets>),
    Invalid,
}

impl FetchFault {
    /// RFC 8460 §4.3.2.2.
    pub(crate) const fn result_type(&self) -> &'static str {
        match self {
            Self::CertificateExpired
            | Self::CertificateNotYetValid
            | Self::CertificateUntrusted(_)
            | Self::CertificateName => "sts-webpki-invalid",
            Self::Invalid => "sts-policy-invalid",
            _ => "sts-policy-fetch-error",
        }
    }

    /// Whether it says something about this side only.
    pub(crate) const fn is_own_side(&self) -> bool {
        matches!(self, Self::Connect(failure) if failure.is_own_side())
    }

    /// In a few words, for a list of addresses.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Connect(failure) => failure.to_string(),
            Self::Timeout(phase) => format!("no progress in time ({})", phase.label()),
            Self::Tls(failure) => format!("the TLS handshake failed: {failure}"),
            Self::CertificateExpired => "the certificate has expired".to_owned(),
            Self::CertificateNotYetValid => "the certificate is not valid yet".to_owned(),
            Self::CertificateUntrusted(path) => format!("the certificate is not trusted, because {}", path_words(path)),
            Self::CertificateName => "the certificate is for another name".to_owned(),
            Self::Http(what) => format!("no readable HTTP answer: {what}"),
            Self::TooLarge => "the body is over 64 kB".to_owned(),
            Self::Redirect(status, _) => format!("a redirect (status {status})"),
            Self::Status(status) => format!("status {status}"),
            Self::MediaType(_) => "the media type is not text/plain".to_owned(),
            Self::Invalid => "the policy is not valid".to_owned(),
        }
    }
}

/// Why a chain is not trusted, in words.
pub(crate) fn path_words(path: &PathToRoot) -> String {
    match path {
        PathToRoot::Trusted { .. } => "trusted".to_owned(),
        PathToRoot::SelfSigned => "it is self-signed".to_owned(),
        PathToRoot::MissingIntermediate => "the server does not send the intermediate certificate".to_owned(),
        PathToRoot::UnknownCa => "it is from a CA that is not publicly trusted".to_owned(),
        PathToRoot::IntermediateExpired => "an intermediate certificate is outside its dates".to_owned(),
        PathToRoot::Refused(why) => format!("the chain is not accepted ({why})"),
    }
}

/// One address of the policy host.
#[derive(Clone, Debug)]
pub(crate) struct FetchView<'a> {
    pub(crate) fetch: &'a PolicyFetch,
    pub(crate) certificate: Option<CertificateAssessment>,
    /// In the order in which a sender meets them; empty where the policy is usable.
    pub(crate) faults: Vec<FetchFault>,
    /// The body of an answer with status 200, read.
    pub(crate) reading: Option<Arc<PolicyReading>>,
    /// What failed says something about this side only.
    own_side: bool,
}

impl<'a> FetchView<'a> {
    fn new(host: &str, fetch: &'a PolicyFetch, now: Timestamp) -> Self {
        let certificate = fetch.tls.as_ref().map(|tls| assess_certificate(&tls.chain, host, now));
        let mut faults = Vec::new();
        let certificate_faults = |faults: &mut Vec<FetchFault>| {
            if let Some(certificate) = &certificate {
                faults.extend(certificate_faults(certificate, now));
            }
        };
        match &fetch.failure {
            Some(FetchFailure::Connect(ConnectFailure::Timeout)) => {
                faults.push(FetchFault::Timeout(FetchPhase::Connect));
            }
            Some(FetchFailure::Connect(failure)) => faults.push(FetchFault::Connect(failure.clone())),
            Some(FetchFailure::Tls(failure)) => faults.push(FetchFault::Tls(failure.clone())),
            Some(FetchFailure::Timeout(phase)) => {
                certificate_faults(&mut faults);
                faults.push(FetchFault::Timeout(*phase));
            }
            Some(FetchFailure::Http { what, .. }) => {
                certificate_faults(&mut faults);
                faults.push(FetchFault::Http(what.clone()));
            }
            Some(FetchFailure::TooLarge) => {
                certificate_faults(&mut faults);
                faults.push(FetchFault::TooLarge);
            }
            None => certificate_faults(&mut faults),
        }
        let mut reading = None;
        if let (None, Some(response)) = (&fetch.failure, &fetch.response) {
            faults.extend(response_faults(response));
            if response.status == 200 {
                let read = known_reading(response.body.as_bytes());
                if read.value.is_none() {
                    faults.push(FetchFault::Invalid);
                }
                reading = Some(read);
            }
        } else if fetch.failure.is_none() {
            faults.push(FetchFault::Http("no answer".to_owned()));
        }
        let own_side = faults.first().is_some_and(FetchFault::is_own_side);
        Self { fetch, certificate, faults, reading, own_side }
    }

    pub(crate) fn usable(&self) -> Option<&Policy> {
        if !self.faults.is_empty() {
            return None;
        }
        self.reading.as_ref()?.value.as_ref()
    }

    pub(crate) const fn is_own_side(&self) -> bool {
        self.own_side
    }

    pub(crate) fn is_private(&self) -> bool {
        matches!(self.faults.first(), Some(FetchFault::Connect(ConnectFailure::PrivateAddress)))
    }
}

fn certificate_faults(certificate: &CertificateAssessment, now: Timestamp) -> Vec<FetchFault> {
    let mut faults = Vec::new();
    if !certificate.in_dates {
        let expired = certificate.chain.leaf.not_after < now;
        faults.push(if expired { FetchFault::CertificateExpired } else { FetchFault::CertificateNotYetValid });
    }
    if !certificate.chain_valid {
        faults.push(FetchFault::CertificateUntrusted(certificate.chain.path.clone()));
    }
    if !certificate.name_match {
        faults.push(FetchFault::CertificateName);
    }
    faults
}

fn response_faults(response: &HttpResponse) -> Option<FetchFault> {
    match response.status {
        200 => {
            let media = media_type(response.content_type.as_ref().map(Octets::as_bytes));
            // RFC 8461 §3.2: senders look at the type; a charset that is neither UTF-8 nor ASCII is told as a note of its own.
            let text = matches!(media, MediaType::TextPlain | MediaType::OtherCharset(_));
            (!text).then(|| FetchFault::MediaType(response.content_type.clone()))
        }
        // RFC 8461 §3.3: redirects must not be followed. 304 is none: it answers a conditional request that was not made.
        status @ (301 | 302 | 303 | 307 | 308) => Some(FetchFault::Redirect(status, response.location.clone())),
        status => Some(FetchFault::Status(status)),
    }
}

/// All addresses of the policy host.
#[derive(Clone, Debug)]
pub(crate) struct PolicyView<'a> {
    pub(crate) host: &'a PolicyHostObservation,
    pub(crate) fetches: Vec<FetchView<'a>>,
}

impl<'a> PolicyView<'a> {
    pub(crate) fn new(host: &'a PolicyHostObservation, now: Timestamp) -> Self {
        Self { host, fetches: host.fetches.iter().map(|fetch| FetchView::new(&host.host, fetch, now)).collect() }
    }

    /// The same as this side can see it: over a family that leads nowhere from here no address is at fault.
    pub(crate) fn seen_from(mut self, vantage: &Vantage) -> Self {
        for view in &mut self.fetches {
            let unreached = matches!(
                view.faults.first(),
                Some(FetchFault::Connect(ConnectFailure::HostUnreachable) | FetchFault::Timeout(FetchPhase::Connect))
            );
            view.own_side |= unreached && !vantage.reaches(Family::of(view.fetch.address));
        }
        self
    }

    /// The answer that stands for all: the first usable one, else the one that came furthest.
    pub(crate) fn best(&self) -> Option<&FetchView<'a>> {
        let progress = |view: &&FetchView<'_>| {
            let reached = view.fetch.response.is_some() as u8 + view.fetch.tls.is_some() as u8;
            (view.usable().is_some(), view.reading.is_some(), reached)
        };
        // `max_by_key` takes the last of equals; the first address is meant.
        self.fetches.iter().rev().max_by_key(progress)
    }

    pub(crate) fn usable(&self) -> Option<&Policy> {
        self.fetches.iter().find_map(FetchView::usable)
    }

    /// Whether a usable policy came; nothing where this side could not look.
    pub(crate) fn success(&self, resolver_healthy: bool) -> Option<bool> {
        if self.usable().is_some() {
            return Some(true);
        }
        let own_lookup = !resolver_healthy && !self.host.addresses.answered();
        let own_dial = !self.fetches.is_empty() && self.fetches.iter().all(FetchView::is_own_side);
        if own_lookup || own_dial || self.is_unasked() { None } else { Some(false) }
    }

    /// There is no address of the family that was asked for, and the other one was not asked for.
    pub(crate) fn is_unasked(&self) -> bool {
        let addresses = &self.host.addresses;
        self.fetches.is_empty() && addresses.is_absent() && !has_no_address(addresses)
    }

    /// RFC 8460 §4.3: the word that a sender would report while no policy comes.
    pub(crate) fn result_type(&self) -> Option<&'static str> {
        if self.usable().is_some() {
            return None;
        }
        let fault = self.best().and_then(|view| view.faults.first());
        Some(fault.map_or("sts-policy-fetch-error", FetchFault::result_type))
    }

    pub(crate) fn addresses(&self) -> Vec<(IpAddr, bool, Option<String>)> {
        self.fetches
            .iter()
            .map(|view| (view.fetch.address, view.usable().is_some(), view.faults.first().map(FetchFault::words)))
            .collect()
    }
}

/// The policy that a sender without a cache finds: a usable record, and a usable policy from some address (RFC 8461 §3).
pub fn discovered_policy(observation: &DomainObservation, now: Timestamp) -> Option<Arc<Policy>> {
    if !read_sts_records(observation.sts_record.records()).usable() {
        return None;
    }
    PolicyView::new(&observation.policy, now).usable().cloned().map(Arc::new)
}
