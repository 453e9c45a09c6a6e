//! The file as it is written: every key, its place and its type. What is left out stays `None`; the defaults are those of
//! [`Settings`](super::Settings).

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    reader::{At, FromNode, Reader},
    values::{
        AddressFamily, AddressMetrics, Bounded, Day, DnssecMode, ImapAuth, ListenAddress, MetricsLevel,
        ReportAuthentication, RootSource, SecretUrl, ServerSetting, ShardIndex,
    },
    yaml::{Node, Value},
};
use crate::{
    terms::{HumanDuration, MxHost, PolicyDomain},
    verdict::{CertificateThreshold, ExpectedMode, HostPattern, Severity, Share},
};

type Port = Bounded<1, 65_535>;

/// A map of the file: one declaration gives the type, its reading and its schema.
macro_rules! section {
    ($(#[$meta:meta])* $name:ident $(requires $required:ident)* { $( $(#[$key_meta:meta])* $key:ident: $type:ty, )* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
        #[schemars(deny_unknown_fields)]
        pub struct $name { $( $(#[$key_meta])* pub $key: Option<At<$type>>, )* }

        impl $name {
            /// The keys in the order in which people read them.
            pub(super) const KEYS: &'static [&'static str] = &[$(stringify!($key)),*];
        }

        impl FromNode for $name {
            fn from_node(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
                let mut section = Self::default();
                for (name, _, value) in reader.section(node, Self::KEYS, &[$(stringify!($required)),*])? {
                    match name {
                        $( stringify!($key) => section.$key = reader.field(name, value), )*
                        _ => {}
                    }
                }
                Some(section)
            }
        }
    };
}

section! {
    /// The configuration of smtptls-exporter.
    File {
        /// How DNS is asked.
        resolver: Resolver,
        /// How often and how gently peers are probed.
        probe: Probe,
        /// Host patterns that are ours besides those inside the domain: `mx.example.com`, `*.example.com` (any depth).
        own_mx: Vec<At<HostPattern>>,
        /// Where a value turns into a finding.
        thresholds: Thresholds,
        /// Another severity for a finding, by its code: info, warning or error.
        severities: BTreeMap<String, At<Severity>>,
        /// Findings that are known and tolerated: shown as accepted, in no count and no exit status.
        accept: Vec<At<Accept>>,
        /// The domains to monitor: a name, or a map where it needs more than that.
        domains: Vec<At<DomainEntry>>,
        /// Files that list more domains, as paths whose last part may hold `*` and `?`: Prometheus file_sd in JSON or YAML, entries
        /// as under `domains`, or a plain list (a name a line). Watched: docs/inventory.md.
        domain_files: Vec<At<String>>,
        /// URLs that list more domains (Prometheus http_sd): docs/inventory.md.
        http_sd: Vec<At<HttpSd>>,
        /// Where TLS reports (RFC 8460) come in.
        reports: Reports,
        /// Which metrics are told.
        metrics: Metrics,
        /// Which part of the domains this instance takes.
        shard: Shard,
        /// What is kept over a restart.
        state: State,
    }
}

section! {
    /// How DNS is asked.
    Resolver {
        /// DNS servers: `system`, `IP`, `IP:port` or `[IP6]:port`.
        servers: Vec<At<ServerSetting>>,
        /// Who judges DNSSEC: auto (believe the AD bit if every server is on this host and sets it, else validate), trust-ad
        /// (believe it), validate (check the signatures here), off.
        dnssec: DnssecMode,
        /// Trust anchors as DNSKEY or DS lines, in place of the built-in root keys.
        #[schemars(with = "Option<String>")]
        trust_anchor_file: PathBuf,
        /// For one question, all tries included.
        timeout: HumanDuration,
    }
}

section! {
    /// How often and how gently peers are probed.
    Probe {
        /// Between two looks at the records, the policy and the MX list of a domain.
        interval: HumanDuration,
        /// Between two looks at an MX address, shared by all domains that use it.
        mx_interval: HumanDuration,
        /// After a failure of DNS or SMTP, backing off to the interval.
        retry_interval: HumanDuration,
        /// After a failure to fetch the policy (RFC 8461 §3.3).
        policy_retry_interval: HumanDuration,
        /// For a whole probe; where it needs a second connection, for each.
        timeout: HumanDuration,
        /// The name said in EHLO; the host's name if null.
        helo_name: String,
        /// Told to policy hosts in the User-Agent: an address or a URL where you can be reached.
        contact: String,
        /// Which addresses are tried.
        families: Vec<At<AddressFamily>>,
        /// Probes at a time, all peers together.
        max_in_flight: Bounded<1, 65_536>,
        /// Connections to one host at a time.
        per_host: Bounded<1, 1024>,
        /// Connections to one address at a time.
        per_address: Bounded<1, 1024>,
        /// Connections to one network (/24, /48) at a time: keeps the pools of large providers safe.
        per_network: Bounded<1, 1024>,
        /// Connections to all hosts of one operator at a time: the domain that was registered, of an MX host or of what a policy
        /// host is an alias of.
        per_provider: Bounded<1, 1024>,
        /// So many MX of a domain are looked at.
        max_mx: Bounded<1, 1000>,
        /// So many addresses of an MX are looked at.
        max_addresses: Bounded<1, 1000>,
        /// More root certificates (PEM), beside those of `roots`. Relative to this file.
        #[schemars(with = "Option<String>")]
        ca_file: PathBuf,
        /// Which root certificates are believed.
        roots: RootSource,
        /// The port of the mail hosts. Other than 25 only for tests.
        smtp_port: Port,
        /// The port of the policy hosts. Other than 443 only for tests.
        https_port: Port,
        /// Whether TLS 1.0, TLS 1.1 and variants of SNI are tried: extra connections, once a day.
        legacy_tls: bool,
        /// Whether MX and policy hosts may have private addresses (split DNS).
        allow_private_addresses: bool,
        /// Whether /probe takes domains that are not configured. Everybody who reaches the monitor can then make it ask hosts
        /// anywhere, as gently as it asks others.
        allow_any_target: bool,
        /// Hosts that are never contacted: `mx.example.com`, `*.example.com` (any depth).
        opt_out: Vec<At<HostPattern>>,
        /// Mail hosts known to work: if all of them fail, port 25 is shut off here.
        canaries: Vec<At<MxHost>>,
    }
}

section! {
    /// Where a value turns into a finding.
    Thresholds {
        /// A certificate is a warning with less than this left: auto, a duration, or a share of its lifetime.
        certificate_warning: CertificateThreshold,
        /// A certificate is an error with less than this left: auto, a duration, or a share of its lifetime.
        certificate_error: CertificateThreshold,
        /// So long in mode testing it is time to enforce.
        testing_long: HumanDuration,
        /// So long a record and its policy may disagree during a change.
        publication_grace: HumanDuration,
        /// From this share of failed sessions on, reports raise a finding.
        reports_failing: Share,
        /// A failure in reports is new if so long a time did not show it. About five weeks are remembered.
        reports_new_after: HumanDuration,
        /// A reporter that sent regularly is silent if so long, and 48 hours more that a report may take, has passed since the end
        /// of the last day that it told of. The alert SMTPTLSReportsMissing has a threshold of its own, and counts from the last
        /// arrival.
        reports_silent: HumanDuration,
        /// A note is made when this share of sessions comes by way of other reporters than in the four weeks before.
        reports_shift: Share,
        /// What has to hold before enforce is advised.
        enforce: Enforce,
    }
}

section! {
    /// What has to hold before enforce is advised.
    Enforce {
        /// So long the policy did not change.
        policy_stable: HumanDuration,
        /// So long the mode was testing.
        testing: HumanDuration,
    }
}

section! {
    /// A finding that is known and tolerated.
    Accept requires code {
        /// The code of the finding.
        #[schemars(required)]
        code: String,
        /// Only for this domain.
        domain: PolicyDomain,
        /// Only at this mail host.
        mx: MxHost,
        /// The last day (UTC) on which it is accepted.
        until: Day,
        /// Why.
        reason: String,
    }
}

section! {
    /// A domain that needs more than its name.
    Domain requires domain {
        /// The name.
        #[schemars(required)]
        domain: PolicyDomain,
        /// The group, a label of the metrics.
        group: String,
        /// In place of `probe.interval`.
        interval: HumanDuration,
        /// MX hosts that are to come: from when senders deliver to them.
        planned_mx: Vec<At<MxHost>>,
        /// How the domain is meant to be; anything else is a finding.
        expect: Expect,
    }
}

section! {
    /// How a domain is meant to be.
    Expect {
        /// The mode of the policy.
        mode: ExpectedMode,
        /// The least max_age of the policy.
        min_max_age: HumanDuration,
        /// Whether every MX has usable TLSA records.
        dane: bool,
        /// Exactly these hosts are the MX.
        mx: Vec<At<MxHost>>,
        /// A text that stands in the issuer of every MX certificate.
        issuer: String,
        /// Whether the domain takes mail.
        mail: bool,
    }
}

section! {
    /// A URL that lists domains (Prometheus http_sd).
    HttpSd requires url {
        /// The URL, https or http. Redirects are not followed.
        #[schemars(required)]
        url: SecretUrl,
        /// Between two fetches; 60s if null.
        refresh_interval: HumanDuration,
        /// The file that holds a token, sent as `Authorization: Bearer`; read at each fetch.
        #[schemars(with = "Option<String>")]
        credentials_file: PathBuf,
        /// The user, with `password_file`.
        username: String,
        /// The file that holds the password of the user; read at each fetch.
        #[schemars(with = "Option<String>")]
        password_file: PathBuf,
        /// The root certificates (PEM) of the server, in place of those of `probe.roots` and `probe.ca_file`.
        #[schemars(with = "Option<String>")]
        ca_file: PathBuf,
    }
}

section! {
    /// Where TLS reports (RFC 8460) come in.
    Reports {
        /// By HTTPS POST; on the listener of the web page, unless it has its own.
        http: ReportsHttp,
        /// Maildirs, and folders of report files. A mail that is stored is moved to `cur` and marked as seen, and one that is
        /// marked so is left alone; a file in a folder that is no maildir is deleted once it is stored.
        #[schemars(with = "Option<Vec<String>>")]
        maildir: Vec<At<PathBuf>>,
        /// IMAP mailboxes.
        imap: Vec<At<Imap>>,
        /// How reports that come by mail prove their sender: dkim, trusted-header or none.
        authentication: ReportAuthentication,
        /// With `authentication: trusted-header`: the name (authserv-id) that the own mail server puts into its
        /// Authentication-Results field. It has to take away such fields that come from outside (RFC 8601 §5).
        authserv_id: String,
        /// Reporters that get their own metrics, besides the largest.
        reporters: Vec<At<PolicyDomain>>,
    }
}

section! {
    /// Reports by HTTPS POST (RFC 8460 §5.4).
    ReportsHttp {
        /// The path; /tlsrpt if null.
        path: String,
        /// An own listener; that of the web page if null.
        listen: ListenAddress,
        /// The certificate of the own listener. Without it something in front of it has to speak TLS.
        tls: ServerTls,
    }
}

section! {
    /// The certificate of a listener.
    ServerTls {
        /// The chain, PEM.
        #[schemars(with = "Option<String>")]
        cert_file: PathBuf,
        /// The key, PEM.
        #[schemars(with = "Option<String>")]
        key_file: PathBuf,
    }
}

section! {
    /// An IMAP mailbox that receives reports.
    Imap requires server requires user {
        /// The server; its certificate has to be for this name.
        #[schemars(required)]
        server: MxHost,
        /// The port, of IMAP over TLS; 993 if null. A port that begins without TLS (143) is of no use.
        port: Port,
        /// The user.
        #[schemars(required)]
        user: String,
        /// How to log in: password or xoauth2.
        auth: ImapAuth,
        /// The file that holds the password; read at each login.
        #[schemars(with = "Option<String>")]
        password_file: PathBuf,
        /// The file that holds the access token; read at each login.
        #[schemars(with = "Option<String>")]
        token_file: PathBuf,
        /// The folder; INBOX if null. As the server spells it: with other letters than ASCII in modified UTF-7.
        folder: String,
        /// The folder where a message goes once it is stored; it is made if it is missing. If null, it stays and is marked.
        move_to: String,
    }
}

section! {
    /// Which metrics are told.
    Metrics {
        /// How many: summary, normal or full.
        level: MetricsLevel,
        /// Which addresses of a mail host have series of their own: all, or none, and the worst of them stands for all. auto: the
        /// worst where a day brings more than twice the addresses of the last answer.
        addresses: AddressMetrics,
        /// More series of domains and mail hosts are not exported: the mail hosts come first, then the domains in an order that stays,
        /// and a metric and an alert say what is left out.
        max_series: Bounded<1, 100_000_000>,
        /// Families that are exported although they are above the level; * stands for any text.
        allow: Vec<At<String>>,
        /// Families that are not exported, whatever else says so; * stands for any text.
        deny: Vec<At<String>>,
    }
}

section! {
    /// Which part of the domains this instance takes.
    Shard {
        /// This instance, from 0; `auto`: the number in the environment variable SMTPTLS_SHARD_INDEX, or else the one at the end of
        /// the host name, as the pods of a StatefulSet have it (`smtptls-exporter-2`).
        index: ShardIndex,
        /// How many parts there are: the same for all instances.
        total: Bounded<1, 10_000>,
        /// With `state.url`: how long an instance that says nothing any more keeps its part; then another one takes it over.
        lease: HumanDuration,
    }
}

section! {
    /// What is kept over a restart.
    State {
        /// The folder.
        #[schemars(with = "Option<String>")]
        dir: PathBuf,
        /// A PostgreSQL database that several instances share: `postgres://host/database`. The folder keeps only what is of
        /// this instance alone. User and password may come from PGUSER and PGPASSWORD in the environment.
        url: SecretUrl,
        /// So long the history is kept.
        retention: HumanDuration,
    }
}

/// A domain: its name, or a map.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum DomainEntry {
    /// Only its name.
    Name(PolicyDomain),
    /// With more.
    Full(Box<Domain>),
}

impl FromNode for DomainEntry {
    fn from_node(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match node.value {
            Value::Map(_) => Domain::from_node(node, reader).map(|domain| Self::Full(Box::new(domain))),
            _ => PolicyDomain::from_node(node, reader).map(Self::Name),
        }
    }
}
