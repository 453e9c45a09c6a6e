//! The configuration as the program uses it: every value is there, checked, and typed. The defaults stand here and nowhere
//! else; the schema, the reference and `config show` read them from [`Settings::default`].

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    domains::{DomainList, DomainSettings},
    file,
    reader::At,
    values::{DnssecMode, RootSource, ServerSetting},
};
use crate::{
    terms::{HumanDuration, MxHost, PolicyDomain},
    verdict::{Acceptance, HostPattern, Pace, Severity, Thresholds},
};

/// Everything that a configuration decides.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// How DNS is asked.
    pub resolver: ResolverSettings,
    /// How often and how gently peers are probed.
    pub probe: ProbeSettings,
    /// Host patterns that are ours besides those inside the domain.
    pub own_mx: Vec<HostPattern>,
    /// Where a value turns into a finding.
    pub thresholds: Thresholds,
    /// Another severity for a finding, by its code.
    pub severities: BTreeMap<String, Severity>,
    /// Findings that are known and tolerated.
    pub accept: Vec<Acceptance>,
    /// The domains to monitor, in the order of the file, each once.
    pub domains: DomainList,
    /// The domains of all instances, where this one has only some of them and reports about the others are filed for them.
    pub inventory: Option<DomainList>,
    /// Files that list more domains, as paths whose last part may be a pattern.
    pub domain_files: Vec<String>,
    /// URLs that list more domains.
    pub http_sd: Vec<file::HttpSd>,
    /// Where reports come in.
    pub reports: file::Reports,
    /// Which metrics are told.
    pub metrics: file::Metrics,
    /// Which part of the domains this instance takes.
    pub shard: file::Shard,
    /// What is kept over a restart.
    pub state: file::State,
}

/// How DNS is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolverSettings {
    /// At least one.
    pub servers: Vec<ServerSetting>,
    /// Who judges DNSSEC.
    pub dnssec: DnssecMode,
    /// Trust anchors in place of the built-in ones; without effect where nothing is validated here.
    pub trust_anchor_file: Option<PathBuf>,
    /// For one question, all tries included.
    pub timeout: Duration,
}

/// How often and how gently peers are probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeSettings {
    /// Between two looks at records, policy and MX list.
    pub interval: Duration,
    /// Between two looks at an MX address.
    pub mx_interval: Duration,
    /// After a failure of DNS or SMTP; at most `interval`.
    pub retry_interval: Duration,
    /// After a failure to fetch the policy.
    pub policy_retry_interval: Duration,
    /// For a whole probe.
    pub timeout: Duration,
    /// The name said in EHLO; the host's name where `None`.
    pub helo_name: Option<String>,
    /// Told to policy hosts.
    pub contact: Option<String>,
    /// Which addresses are tried; at least one family.
    pub families: FamilySettings,
    /// Probes at a time.
    pub max_in_flight: usize,
    /// Connections to one host at a time.
    pub per_host: usize,
    /// Connections to one address at a time.
    pub per_address: usize,
    /// Connections to one /24 or /48 at a time.
    pub per_network: usize,
    /// Connections to the hosts of one operator at a time.
    pub per_provider: usize,
    /// So many MX of a domain are looked at.
    pub max_mx: usize,
    /// So many addresses of an MX are looked at.
    pub max_addresses: usize,
    /// More root certificates (PEM).
    pub ca_file: Option<PathBuf>,
    /// Which root certificates are believed.
    pub roots: RootSource,
    /// The port of mail hosts.
    pub smtp_port: u16,
    /// The port of policy hosts.
    pub https_port: u16,
    /// Whether old TLS is tried, once a day.
    pub legacy_tls: bool,
    /// Whether MX and policy hosts may have private addresses.
    pub allow_private_addresses: bool,
    /// Whether /probe takes domains that are not configured.
    pub allow_any_target: bool,
    /// Hosts that are never contacted.
    pub opt_out: Vec<HostPattern>,
    /// Mail hosts known to work.
    pub canaries: Vec<MxHost>,
}

/// Which addresses are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FamilySettings {
    /// IPv4.
    pub ip4: bool,
    /// IPv6.
    pub ip6: bool,
}

/// There is nothing to monitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no domain is configured; list some under `domains`, in `domain_files` or by `http_sd`, or name them with --domain"
)]
pub struct NoDomains;

impl Settings {
    /// The defaults with these domains; one that is given twice counts once.
    pub fn for_domains(domains: Vec<PolicyDomain>) -> Self {
        Self { domains: domains.into_iter().collect(), ..Self::default() }
    }

    /// Whether there is something to monitor, or a source that may list something; `serve` asks, the other commands need no
    /// domains.
    ///
    /// # Errors
    /// [`NoDomains`] where there is not.
    pub fn require_domains(&self) -> Result<(), NoDomains> {
        let none = self.domains.is_empty() && self.domain_files.is_empty() && self.http_sd.is_empty();
        if none { Err(NoDomains) } else { Ok(()) }
    }

    /// How often this domain is looked at.
    pub fn interval(&self, domain: &DomainSettings) -> Duration {
        domain.options.interval.unwrap_or(self.probe.interval)
    }

    /// … and after a failure; the schedule waits no longer than where all is well.
    pub fn pace(&self, domain: &DomainSettings) -> Pace {
        Pace { interval: self.interval(domain), retry: self.probe.retry_interval.min(self.interval(domain)) }
    }

    /// The folder in which state is kept.
    pub fn state_dir(&self) -> &Path {
        self.state.dir.as_ref().map_or_else(|| Path::new(DEFAULT_STATE_DIR), |dir| dir.value.as_path())
    }

    /// The database that is shared with other instances, where there is one. It may hold a password.
    pub fn shared_state(&self) -> Option<&str> {
        self.state.url.as_ref().map(|url| url.value.0.as_str())
    }

    /// How many parts the domains are shared among; at least 1.
    pub fn shard_total(&self) -> u32 {
        self.shard.total.and_then(|total| u32::try_from(total.value.0).ok()).unwrap_or(1).max(1)
    }

    /// How long an instance that says nothing any more keeps its part.
    pub fn shard_lease(&self) -> Duration {
        self.shard.lease.map_or(DEFAULT_LEASE, |lease| lease.value).into()
    }

    /// So long the history is kept.
    pub fn retention(&self) -> Duration {
        self.state.retention.as_ref().map_or(DEFAULT_RETENTION, |retention| retention.value).into()
    }
}

/// Three renewals of ten seconds: one that is lost, and a database that restarts, move nothing; and a part of the fleet stands without
/// eyes for less than a minute.
const DEFAULT_LEASE: HumanDuration = HumanDuration::from_secs(30);
const DEFAULT_STATE_DIR: &str = "./data";
/// Two years of 365.25 days, as humantime reads `2y`.
const DEFAULT_RETENTION: HumanDuration = HumanDuration::from_secs(2 * 31_557_600);

impl Default for Settings {
    fn default() -> Self {
        use super::values::{AddressMetrics, Bounded, MetricsLevel, ReportAuthentication, ShardIndex};

        fn at<T>(value: T) -> Option<At<T>> {
            Some(value.into())
        }
        Self {
            resolver: ResolverSettings::default(),
            probe: ProbeSettings::default(),
            own_mx: Vec::new(),
            thresholds: Thresholds::default(),
            severities: BTreeMap::new(),
            accept: Vec::new(),
            domains: DomainList::default(),
            inventory: None,
            domain_files: Vec::new(),
            http_sd: Vec::new(),
            reports: file::Reports { authentication: at(ReportAuthentication::Dkim), ..file::Reports::default() },
            metrics: file::Metrics {
                level: at(MetricsLevel::Normal),
                addresses: at(AddressMetrics::Auto),
                max_series: at(Bounded(1_000_000)),
                allow: at(Vec::new()),
                deny: at(Vec::new()),
            },
            shard: file::Shard { index: at(ShardIndex::Number(0)), total: at(Bounded(1)), lease: at(DEFAULT_LEASE) },
            state: file::State { dir: at(DEFAULT_STATE_DIR.into()), url: None, retention: at(DEFAULT_RETENTION) },
        }
    }
}

impl Default for ResolverSettings {
    fn default() -> Self {
        Self {
            servers: vec![ServerSetting::System],
            dnssec: DnssecMode::Auto,
            trust_anchor_file: None,
            timeout: Duration::from_secs(5),
        }
    }
}

impl Default for ProbeSettings {
    fn default() -> Self {
        const MINUTE: u64 = 60;
        Self {
            interval: Duration::from_secs(10 * MINUTE),
            mx_interval: Duration::from_secs(30 * MINUTE),
            retry_interval: Duration::from_secs(MINUTE),
            policy_retry_interval: Duration::from_secs(5 * MINUTE),
            timeout: Duration::from_secs(30),
            helo_name: None,
            contact: None,
            families: FamilySettings { ip4: true, ip6: true },
            max_in_flight: 256,
            per_host: 1,
            per_address: 1,
            per_network: 8,
            per_provider: 16,
            max_mx: 20,
            max_addresses: 20,
            ca_file: None,
            roots: RootSource::Webpki,
            smtp_port: 25,
            https_port: 443,
            legacy_tls: true,
            allow_private_addresses: false,
            allow_any_target: false,
            opt_out: Vec::new(),
            canaries: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_from_the_command_line() {
        let names = ["a.example", "B.example", "b.EXAMPLE."].map(|name| PolicyDomain::parse(name).unwrap());
        let settings = Settings::for_domains(names.to_vec());
        let listed: Vec<&str> = settings.domains.iter().map(|domain| domain.domain.as_str()).collect();
        assert_eq!(listed, ["a.example", "b.example"]);
        assert_eq!(settings.require_domains(), Ok(()));
        assert_eq!(Settings::default().require_domains(), Err(NoDomains));
    }
}
