//! The peers: name server, mail hosts and policy hosts of healthy domains, in a process of their own.

use std::{
    collections::HashMap,
    env,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    iter,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Arc,
};

use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};

use crate::world::{
    dns::DnsPeer,
    https::{Answer, HttpsPeer},
    pki::{self, Pki},
    smtp::{SmtpPeer, SmtpScript, TlsAct},
};

/// All of 127.0.0.0/8: one listener takes the connections to every address.
const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// From 127.128.0.25 to the end.
const POLICY_ADDRESSES: usize = 32_000;

/// The running peers; they end when this is dropped, or with [`Town::leave`].
pub(crate) struct Town {
    pub(crate) dns: String,
    pub(crate) smtp_port: String,
    pub(crate) https_port: String,
    pub(crate) root_pem: String,
    process: Child,
    said: BufReader<ChildStdout>,
    /// The peers stay as long as this is open.
    stay: Option<ChildStdin>,
}

pub(crate) fn domain(number: usize) -> String {
    format!("domain-{number:05}.example")
}

pub(crate) fn mail_host(number: usize) -> String {
    format!("mx.{}", domain(number))
}

/// The mail hosts of a domain, by their numbers, where there are so many of them: one of its own, or two that many share.
fn mail_hosts(number: usize, hosts: usize, domains: usize) -> Vec<usize> {
    if hosts < domains { vec![number % hosts, (number + 1) % hosts] } else { vec![number] }
}

pub(crate) fn policy_host(number: usize) -> String {
    format!("mta-sts.{}", domain(number))
}

/// Every mail host has its own address, in a /24 of its own.
pub(crate) fn mail_address(number: usize) -> Ipv4Addr {
    address(1, number)
}

/// As [`mail_address`], as far as there are addresses; then policy hosts share them.
pub(crate) fn policy_address(number: usize) -> Ipv4Addr {
    address(128, number % POLICY_ADDRESSES)
}

fn address(first: usize, number: usize) -> Ipv4Addr {
    let net = u8::try_from(first + number / 256).expect("at most 32,000 mail hosts");
    Ipv4Addr::new(127, net, (number % 256) as u8, 25)
}

impl Town {
    /// Each domain has a mail host of its own.
    #[allow(dead_code, reason = "another measurement has the mail hosts shared")]
    pub(crate) fn start(domains: usize) -> Self {
        Self::with_hosts(domains, domains)
    }

    /// So many domains with so many mail hosts.
    pub(crate) fn with_hosts(domains: usize, hosts: usize) -> Self {
        let mut command = Command::new(env::current_exe().expect("this program"));
        command.args(["town", &domains.to_string(), &hosts.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("the peers start");
        let stay = process.stdin.take();
        let mut said = BufReader::new(process.stdout.take().expect("a pipe"));
        let mut line = || {
            let mut line = String::new();
            said.read_line(&mut line).expect("the peers say where they are");
            line.trim_end().to_owned()
        };
        let (dns, smtp_port, https_port) = (line(), line(), line());
        // As many lines as it takes, then an empty one.
        let root_pem = iter::repeat_with(&mut line).take_while(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
        Self { dns, smtp_port, https_port, root_pem, process, said, stay }
    }

    /// The process of the peers.
    #[allow(dead_code, reason = "not every measurement asks")]
    pub(crate) fn process(&self) -> u32 {
        self.process.id()
    }

    /// Ends the peers; returns how many connections came to mail hosts and how many to policy hosts.
    #[allow(dead_code, reason = "not every measurement asks")]
    pub(crate) fn leave(mut self) -> (usize, usize) {
        self.stay = None;
        let mut line = String::new();
        self.said.read_line(&mut line).expect("the peers say what came");
        let counts = line.split_whitespace().map(|count| count.parse().expect("a number")).collect::<Vec<_>>();
        (counts[0], counts[1])
    }
}

impl Drop for Town {
    fn drop(&mut self) {
        self.stay = None;
        // It ends by itself, and how it ends changes nothing.
        let _ = self.process.wait();
    }
}

/// The certificate of the mail host that the client names.
#[derive(Debug)]
struct ByName(HashMap<String, Arc<CertifiedKey>>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.get(hello.server_name()?).cloned()
    }
}

/// Runs the peers until standard input ends.
pub(crate) fn run(domains: usize, hosts: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let pki = Pki::new();
        let dns = DnsPeer::start().await;
        let https = HttpsPeer::start_at(ANY).await;
        let mut certificates = HashMap::new();
        // Where all of them have reports sent.
        dns.mx("reports.example", &[(10, "mx.reports.example")]);
        for number in 0..domains {
            let (domain, policy_host) = (domain(number), policy_host(number));
            let exchanges: Vec<String> = mail_hosts(number, hosts, domains).into_iter().map(mail_host).collect();
            dns.txt(&format!("_mta-sts.{domain}"), &["v=STSv1; id=20261123"]);
            dns.txt(&format!("_smtp._tls.{domain}"), &["v=TLSRPTv1; rua=mailto:reports@reports.example"]);
            dns.mx(&domain, &exchanges.iter().map(|host| (10, host.as_str())).collect::<Vec<_>>());
            dns.a(&policy_host, &[&policy_address(number).to_string()]);
            let listed: String = exchanges.iter().map(|host| format!("mx: {host}\r\n")).collect();
            let policy = format!("version: STSv1\r\nmode: enforce\r\n{listed}max_age: 2592000\r\n");
            https.serve(&policy_host, &pki.identity(&[&policy_host]), Answer::policy(&policy));
        }
        for number in 0..hosts {
            let mail_host = mail_host(number);
            dns.a(&mail_host, &[&mail_address(number).to_string()]);
            certificates.insert(mail_host.clone(), pki.identity(&[&mail_host]).certified());
        }
        let tls = pki::server(Arc::new(ByName(certificates)), &[&TLS12, &TLS13]);
        let script = SmtpScript { tls: TlsAct::Serve(tls), ..SmtpScript::good(&pki.identity(&["unused.example"])) };
        let smtp = SmtpPeer::start_at(ANY, script).await;

        println!("{}\n{}\n{}\n{}\n", dns.address(), smtp.port(), https.port(), pki.root_pem().trim_end());
        io::stdout().flush().expect("somebody reads");
        tokio::task::spawn_blocking(|| io::stdin().read_to_end(&mut Vec::new()))
            .await
            .expect("a thread")
            .expect("a pipe");
        println!("{} {}", smtp.connections(), https.connections());
    });
}
