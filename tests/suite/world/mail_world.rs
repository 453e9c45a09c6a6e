//! Several domains with their name server, policy hosts and mail hosts, all on loopback, and the settings to probe them.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    sync::atomic::{AtomicU8, Ordering},
    time::Duration,
};

use smtptls_exporter::{
    config::{DnssecMode, RootSource, ServerSetting, Settings},
    terms::PolicyDomain,
};
use tempfile::TempDir;

use super::{
    dns::DnsPeer,
    https::{Answer, HttpsPeer},
    pki::Pki,
    smtp::{SmtpPeer, SmtpScript},
};

/// Each world has a /16 of 127.0.0.0/8 for itself.
static WORLDS: AtomicU8 = AtomicU8::new(0);

/// A world of mail.
pub(crate) struct MailWorld {
    pub(crate) dns: DnsPeer,
    pub(crate) pki: Pki,
    smtp_port: u16,
    https_port: u16,
    number: u8,
    networks: AtomicU8,
    folder: TempDir,
}

/// A domain with a policy host and a mail host of its own.
pub(crate) struct MailDomain {
    pub(crate) name: &'static str,
    pub(crate) smtp: SmtpPeer,
    pub(crate) https: HttpsPeer,
}

/// An address that takes no connection: whoever tries waits until his time is over.
pub(crate) struct DeafAddress {
    _listener: TcpListener,
    _queued: Vec<TcpStream>,
}

impl MailWorld {
    pub(crate) async fn start() -> Self {
        // Test programs that run at the same time hardly ever meet: the ports differ as well.
        let offset = u8::try_from(std::process::id() % 200).unwrap();
        let number = WORLDS.fetch_add(1, Ordering::SeqCst).wrapping_add(offset) % 250 + 1;
        let free = || {
            let listener = TcpListener::bind((Ipv4Addr::new(127, number, 0, 1), 0)).unwrap();
            listener.local_addr().unwrap().port()
        };
        let world = Self {
            dns: DnsPeer::start().await,
            pki: Pki::new(),
            smtp_port: free(),
            https_port: free(),
            number,
            networks: AtomicU8::new(1),
            folder: TempDir::new().unwrap(),
        };
        std::fs::write(world.ca_file(), world.pki.root_pem()).unwrap();
        // Where the reports of every domain of this world go.
        world.dns.mx("reports.test", &[(10, "mx.reports.test")]);
        world
    }

    /// An address in a /24 of its own.
    pub(crate) fn address(&self) -> Ipv4Addr {
        Ipv4Addr::new(127, self.number, self.networks.fetch_add(1, Ordering::SeqCst), 1)
    }

    /// A neighbour of an address.
    pub(crate) fn beside(address: Ipv4Addr, by: u8) -> Ipv4Addr {
        let [a, b, c, d] = address.octets();
        Ipv4Addr::new(a, b, c, d + by)
    }

    /// The same as [`address`](Self::address), for the whole of a test that needs the network for several hosts.
    pub(crate) fn network(&self) -> [Ipv4Addr; 8] {
        let first = self.address();
        std::array::from_fn(|place| Self::beside(first, u8::try_from(place).unwrap()))
    }

    /// A mail host at this address.
    pub(crate) async fn smtp(&self, address: Ipv4Addr, script: SmtpScript) -> SmtpPeer {
        SmtpPeer::start_at(SocketAddr::from((address, self.smtp_port)), script).await
    }

    /// A mail host without fault at this address.
    pub(crate) async fn good_smtp(&self, host: &str, address: Ipv4Addr) -> SmtpPeer {
        self.smtp(address, SmtpScript::good(&self.pki.identity(&[host]))).await
    }

    /// A policy host at this address, without sites.
    pub(crate) async fn https(&self, address: Ipv4Addr) -> HttpsPeer {
        HttpsPeer::start_at(SocketAddr::from((address, self.https_port))).await
    }

    /// A port of a mail host that takes no connection.
    pub(crate) fn deaf(&self, address: Ipv4Addr) -> DeafAddress {
        DeafAddress::start(SocketAddr::from((address, self.smtp_port)))
    }

    /// The same for the port of a policy host.
    pub(crate) fn deaf_policy_host(&self, address: Ipv4Addr) -> DeafAddress {
        DeafAddress::start(SocketAddr::from((address, self.https_port)))
    }

    /// Publishes the record and the policy of a domain, in enforce for these patterns, at a policy host of its own.
    pub(crate) async fn policy(&self, domain: &str, patterns: &[&str]) -> HttpsPeer {
        let address = self.address();
        let host = format!("mta-sts.{domain}");
        let peer = self.https(address).await;
        peer.serve(&host, &self.pki.identity(&[&host]), Answer::policy(&policy_text(patterns)));
        self.dns.txt(&format!("_mta-sts.{domain}"), &["v=STSv1; id=1;"]);
        self.dns.txt(&format!("_smtp._tls.{domain}"), &["v=TLSRPTv1; rua=mailto:tls@reports.test"]);
        self.dns.a(&host, &[&address.to_string()]);
        peer
    }

    /// Makes `host` the mail host of a domain, at this address.
    pub(crate) fn mail_host(&self, domain: &str, host: &str, address: impl Into<IpAddr>) {
        self.dns.mx(domain, &[(10, host)]);
        self.dns.a(host, &[&address.into().to_string()]);
    }

    /// A domain without fault: `mx.<name>` is its mail host.
    pub(crate) async fn domain(&self, name: &'static str) -> MailDomain {
        let host = format!("mx.{name}");
        let address = self.address();
        self.mail_host(name, &host, address);
        MailDomain { name, smtp: self.good_smtp(&host, address).await, https: self.policy(name, &[&host]).await }
    }

    /// For these domains; patient, so that only what is told to fail does.
    pub(crate) fn settings(&self, domains: &[&str]) -> Settings {
        let domains = domains.iter().map(|domain| PolicyDomain::parse(domain).unwrap()).collect();
        let mut settings = Settings::for_domains(domains);
        settings.resolver.servers = vec![ServerSetting::Address(self.dns.address())];
        settings.resolver.dnssec = DnssecMode::Off;
        let probe = &mut settings.probe;
        probe.helo_name = Some("probe.example".to_owned());
        probe.roots = RootSource::None;
        probe.ca_file = Some(self.ca_file());
        probe.smtp_port = self.smtp_port;
        probe.https_port = self.https_port;
        probe.allow_private_addresses = true;
        // Tests count connections; those that are about surveys switch them on.
        probe.legacy_tls = false;
        settings
    }

    /// The same as [`settings`](Self::settings), written down; `rest` follows, and may hold the domains.
    pub(crate) fn config_file(&self, rest: &str) -> PathBuf {
        let path = self.folder.path().join("smtptls-exporter.yml");
        std::fs::write(&path, self.config_text(rest)).unwrap();
        path
    }

    pub(crate) fn config_text(&self, rest: &str) -> String {
        format!(
            "resolver: {{servers: ['{dns}'], dnssec: off, timeout: 1s}}\n\
             probe:\n  timeout: 20s\n  helo_name: probe.example\n  roots: none\n  ca_file: {ca}\n  smtp_port: {smtp}\n  \
             https_port: {https}\n  allow_private_addresses: true\n  legacy_tls: false\n{rest}",
            dns = self.dns.address(),
            ca = self.ca_file().display(),
            smtp = self.smtp_port,
            https = self.https_port,
        )
    }

    /// For the files of a test.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn ca_file(&self) -> PathBuf {
        self.file("ca.pem")
    }
}

/// A policy in enforce, for a week.
pub(crate) fn policy_text(patterns: &[&str]) -> String {
    let patterns: String = patterns.iter().map(|pattern| format!("mx: {pattern}\n")).collect();
    format!("version: STSv1\nmode: enforce\n{patterns}max_age: 604800\n")
}

impl DeafAddress {
    fn start(address: SocketAddr) -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.bind(&address.into()).unwrap();
        // Nobody accepts: once the queue is full the system drops whatever comes.
        socket.listen(0).unwrap();
        let mut queued = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
            queued.push(stream);
            assert!(queued.len() < 64, "this system takes connections without end");
        }
        Self { _listener: socket.into(), _queued: queued }
    }
}
