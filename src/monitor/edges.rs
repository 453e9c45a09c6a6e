//! The edges of the monitor, set up from the configuration: resolver, policy fetcher, SMTP prober, politeness.

use std::{net::IpAddr, sync::Arc, time::Duration};

use super::{
    politeness::{Limits, Politeness},
    rua::Destinations,
};
use crate::{
    config::{DnssecMode, RootSource, ServerSetting, Settings},
    facts::AddressObservation,
    net::{
        DialOptions, FetchOptions, FetchTimeouts, ImapConnector, ImapTimeouts, PolicyFetcher, RootChoice, RootsError,
        SmtpOptions, SmtpProber, SmtpTimeouts, TlsClient, TlsSetupError, load_roots,
        resolver::{
            DEFAULT_MAX_CACHE, DnssecChoice, Families, Resolver, ResolverOptions, ResolverSetupError, ServerChoice,
            TrustAnchors,
        },
    },
    terms::MxHost,
    verdict::HostPattern,
};

/// Everything that dials. Clones share what is counted and remembered at the edges.
#[derive(Clone, Debug)]
pub struct Edges {
    pub(crate) resolver: Resolver,
    pub(crate) smtp: SmtpProber,
    canary: SmtpProber,
    /// Through which all of them shake hands.
    tls: Arc<TlsClient>,
    pub(crate) policy: PolicyFetcher,
    /// To the mailboxes that receive reports.
    pub(crate) imap: ImapConnector,
    /// What is known of the destinations of reports.
    pub(crate) destinations: Arc<Destinations>,
    pub(crate) politeness: Arc<Politeness>,
    pub(crate) families: Families,
    pub(crate) max_mx: usize,
    pub(crate) max_addresses: usize,
    /// Whether addresses are surveyed (`probe.legacy_tls`).
    pub(crate) surveys: bool,
    /// Whether nothing that failed before is believed.
    pub(crate) anew: bool,
    /// Whether nobody here configured the domain that is looked at.
    pub(crate) strange: bool,
    opt_out: Vec<HostPattern>,
}

/// Why the edges cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EdgesError {
    /// No resolver.
    #[error("{0}")]
    Resolver(#[from] ResolverSetupError),
    /// No trust store.
    #[error("the trust store cannot be loaded: {0}")]
    Roots(#[from] RootsError),
    /// No TLS.
    #[error("{0}")]
    Tls(#[from] TlsSetupError),
}

impl Edges {
    /// Sets them up. Asks the resolver once for a control name, unless `resolver.dnssec` is `off`.
    ///
    /// # Errors
    /// [`EdgesError`] says what cannot be used.
    pub async fn open(settings: &Settings) -> Result<Self, EdgesError> {
        let probe = &settings.probe;
        let choices: Vec<ServerChoice> = settings
            .resolver
            .servers
            .iter()
            .map(|server| match server {
                ServerSetting::System => ServerChoice::System,
                ServerSetting::Address(address) => ServerChoice::Address(*address),
            })
            .collect();
        let resolver = Resolver::new(ResolverOptions {
            dnssec: dnssec_choice(settings)?,
            max_cache: answers_kept(probe.interval),
            ..ResolverOptions::new(ServerChoice::servers(&choices)?, settings.resolver.timeout)
        });
        // Settles who judges, and what can be seen from here, before the first look.
        let _ = resolver.dnssec_healthy().await;
        let choice = match probe.roots {
            RootSource::Webpki => RootChoice::Webpki,
            RootSource::System => RootChoice::System,
            RootSource::None => RootChoice::None,
        };
        let roots = load_roots(choice, probe.ca_file.as_deref())?;
        let families = Families { ip4: probe.families.ip4, ip6: probe.families.ip6 };
        let imap = ImapConnector::new(resolver.clone(), families, &roots, ImapTimeouts::default())?;
        let tls = Arc::new(TlsClient::new(roots)?);
        tls.make_room(settings.domains.len());
        let dial = DialOptions { allow_private_addresses: probe.allow_private_addresses };
        let smtp = SmtpOptions {
            port: probe.smtp_port,
            helo_name: probe.helo_name.clone(),
            dial,
            timeouts: smtp_timeouts(probe.timeout),
        };
        let canary = SmtpOptions { dial: DialOptions { allow_private_addresses: true }, ..smtp.clone() };
        Ok(Self {
            resolver,
            smtp: SmtpProber::new(Arc::clone(&tls), smtp),
            canary: SmtpProber::new(Arc::clone(&tls), canary),
            policy: PolicyFetcher::new(
                Arc::clone(&tls),
                FetchOptions {
                    port: probe.https_port,
                    contact: probe.contact.clone(),
                    max_addresses: probe.max_addresses,
                    dial,
                    timeouts: fetch_timeouts(probe.timeout),
                },
            ),
            tls,
            destinations: Arc::default(),
            politeness: Arc::new(Politeness::new(limits(settings))),
            imap,
            families,
            max_mx: probe.max_mx,
            max_addresses: probe.max_addresses,
            surveys: probe.legacy_tls,
            anew: false,
            strange: false,
            opt_out: probe.opt_out.clone(),
        })
    }

    /// Takes over what is known of the destinations of reports; where the roots stay, what is known of certificates; and where the
    /// limits stay, the connections that are counted at the edges before these: their probes go on.
    pub(crate) fn succeed(&mut self, before: &Self, settings: &Settings) {
        self.destinations = Arc::clone(&before.destinations);
        // A reload would else have every chain verified again at once.
        if before.tls.trusts_as(&self.tls) {
            before.tls.make_room(settings.domains.len());
            self.tls = Arc::clone(&before.tls);
            self.smtp.set_tls(Arc::clone(&self.tls));
            self.canary.set_tls(Arc::clone(&self.tls));
            self.policy.set_tls(Arc::clone(&self.tls));
        }
        if before.politeness.keeps_to(limits(settings)) {
            self.politeness = Arc::clone(&before.politeness);
        }
    }

    /// The same for a look at what stands there now: answers that the resolver has from before are not used, and places that took
    /// no reports are asked again.
    pub(crate) fn anew(&self) -> Self {
        Self { resolver: self.resolver.anew(), anew: true, ..self.clone() }
    }

    /// The same for a look at a domain that nobody configured: the servers to which its record would have reports sent are not asked,
    /// and nothing of the places is kept. Else whoever writes a record has this side knock at any port, and reads what it said.
    pub(crate) fn for_stranger(&self) -> Self {
        Self { strange: true, destinations: Arc::default(), ..self.clone() }
    }

    /// Whether the operator of a host asked not to be probed (`probe.opt_out`).
    pub(crate) fn is_opted_out(&self, host: &str) -> bool {
        self.opt_out.iter().any(|pattern| pattern.matches(host))
    }

    /// Probes a canary, which may have a private address: the operator named it.
    pub(crate) async fn probe_canary(&self, host: &MxHost, address: IpAddr) -> AddressObservation {
        let _permit = self.politeness.permit(host.as_str(), address).await;
        self.canary.probe(host, address).await
    }

    /// The addresses that are probed of those that a host has.
    pub(crate) fn probed<'a>(&self, addresses: impl Iterator<Item = IpAddr> + 'a) -> impl Iterator<Item = IpAddr> + 'a {
        addresses.take(self.max_addresses)
    }
}

fn dnssec_choice(settings: &Settings) -> Result<DnssecChoice, ResolverSetupError> {
    let anchors = || match &settings.resolver.trust_anchor_file {
        Some(path) => TrustAnchors::from_file(path),
        None => Ok(TrustAnchors::built_in()),
    };
    Ok(match settings.resolver.dnssec {
        DnssecMode::Off => DnssecChoice::Off,
        DnssecMode::TrustAd => DnssecChoice::TrustAd,
        DnssecMode::Validate => DnssecChoice::Validate(anchors()?),
        DnssecMode::Auto => DnssecChoice::Auto(anchors()?),
    })
}

/// How long an answer that many share is kept at most: whatever was known at one look is asked for anew at the next.
fn answers_kept(interval: Duration) -> Duration {
    DEFAULT_MAX_CACHE.min(interval / 2)
}

/// The limits of these settings.
pub(super) const fn limits(settings: &Settings) -> Limits {
    let probe = &settings.probe;
    Limits {
        per_host: probe.per_host,
        per_address: probe.per_address,
        per_network: probe.per_network,
        per_provider: probe.per_provider,
        in_flight: probe.max_in_flight,
    }
}

/// No phase is longer than the whole.
fn smtp_timeouts(total: Duration) -> SmtpTimeouts {
    let phases = SmtpTimeouts::default();
    SmtpTimeouts {
        connect: phases.connect.min(total),
        banner: phases.banner.min(total),
        command: phases.command.min(total),
        tls: phases.tls.min(total),
        total,
    }
}

fn fetch_timeouts(total: Duration) -> FetchTimeouts {
    let phases = FetchTimeouts::default();
    FetchTimeouts {
        connect: phases.connect.min(total),
        tls: phases.tls.min(total),
        processing: phases.processing.min(total),
        transfer: phases.transfer.min(total),
        total,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    async fn edges(probe: &str) -> (Edges, Settings) {
        let text = format!("domains: [a.example]\nresolver: {{servers: [192.0.2.53], dnssec: off}}\nprobe: {probe}\n");
        let settings = parse("edges.yml", &text).unwrap().settings;
        (Edges::open(&settings).await.unwrap(), settings)
    }

    #[tokio::test]
    async fn what_is_known_of_certificates_lives_as_long_as_the_roots() {
        let (before, _) = edges("{roots: none}").await;
        let (mut same, settings) = edges("{roots: none, timeout: 20s}").await;
        same.succeed(&before, &settings);
        assert!(Arc::ptr_eq(&same.tls, &before.tls));
        let (mut other, settings) = edges("{roots: webpki}").await;
        other.succeed(&before, &settings);
        assert!(!Arc::ptr_eq(&other.tls, &before.tls), "other roots, other judgements");
    }

    #[test]
    fn no_answer_is_kept_until_the_next_look() {
        assert_eq!(answers_kept(Duration::from_secs(30)), Duration::from_secs(15));
        assert_eq!(answers_kept(Duration::from_secs(86_400)), DEFAULT_MAX_CACHE);
    }
}
