//! The floor: what the lookups, dialogues and fetches cost with plain sockets and rustls, one after the other.

use std::{
    env,
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    process::Command,
    sync::Arc,
};

use hickory_resolver::proto::{
    op::{Edns, Message, MessageType, OpCode, Query},
    rr::{Name, RecordType},
};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    client::Resumption,
    crypto::{
        CryptoProvider,
        aws_lc_rs::{default_provider, kx_group},
    },
};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};

use crate::{
    Cost,
    town::{self, Town},
};

/// How often each domain is asked in a run, so that the start of the process counts for little.
pub(crate) const ROUNDS: usize = 5;

/// A part of what a check of a domain has to do.
#[derive(Clone, Copy)]
pub(crate) enum Work {
    /// The seven lookups of a domain: sent, received, not read.
    Lookups,
    /// A whole dialogue with its mail host.
    Starttls,
    /// Its policy.
    Policy,
}

impl Work {
    pub(crate) const ALL: [Self; 3] = [Self::Lookups, Self::Starttls, Self::Policy];

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Lookups => "  7 lookups",
            Self::Starttls => "  STARTTLS dialogue",
            Self::Policy => "  policy fetch",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Lookups => "lookups",
            Self::Starttls => "starttls",
            Self::Policy => "policy",
        }
    }

    pub(crate) fn parse(name: &str) -> Self {
        Self::ALL.into_iter().find(|work| work.name() == name).expect("a known work")
    }
}

/// Runs the work over all domains in a process of its own.
pub(crate) fn measure(work: Work, domains: usize, town: &Town) -> Cost {
    let mut command = Command::new(env::current_exe().expect("this program"));
    command.args(["floor", work.name(), &domains.to_string(), &town.dns, &town.smtp_port, &town.https_port]);
    let (_, cost) = crate::measure(command.arg(&town.root_pem));
    cost
}

/// Does the work. `doors`: the name server, the ports of mail and policy hosts, the root as PEM.
pub(crate) fn run(work: Work, domains: usize, doors: &[&str]) {
    let &[dns, smtp_port, https_port, root_pem] = doors else { panic!("where are the peers?") };
    let dns: SocketAddr = dns.parse().expect("an address");
    let port = |port: &str| port.parse::<u16>().expect("a port");
    let (smtp_port, https_port) = (port(smtp_port), port(https_port));
    let tls = Arc::new(client(root_pem));
    for _ in 0..ROUNDS {
        for number in 0..domains {
            match work {
                Work::Lookups => look_up_all(number, dns),
                Work::Starttls => starttls(number, smtp_port, &tls),
                Work::Policy => policy(number, https_port, &tls),
            }
        }
    }
}

/// As the monitor's, but with the usual verification: the chain is checked either way.
fn client(root_pem: &str) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(root_pem.as_bytes()).expect("PEM")).expect("a root");
    let provider = CryptoProvider {
        kx_groups: vec![kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1],
        ..default_provider()
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .expect("TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config
}

fn look_up_all(number: usize, server: SocketAddr) {
    let domain = town::domain(number);
    look_up(server, &format!("_mta-sts.{domain}"), RecordType::TXT);
    look_up(server, &format!("_smtp._tls.{domain}"), RecordType::TXT);
    look_up(server, &domain, RecordType::MX);
    for host in [town::mail_host(number), town::policy_host(number)] {
        look_up(server, &host, RecordType::A);
        look_up(server, &host, RecordType::AAAA);
    }
}

/// Each from a port of its own, as is wise.
fn look_up(server: SocketAddr, name: &str, kind: RecordType) {
    let mut query = Message::new(4711, MessageType::Query, OpCode::Query);
    query.metadata.recursion_desired = true;
    query.add_query(Query::query(Name::from_ascii(name).expect("a name"), kind));
    query.set_edns(Edns::new());
    let socket = UdpSocket::bind(("127.0.0.1", 0)).expect("a port");
    socket.connect(server).expect("loopback");
    socket.send(&query.to_vec().expect("a message")).expect("loopback");
    let mut answer = [0; 4096];
    let length = socket.recv(&mut answer).expect("an answer");
    assert!(length > 12 && answer[3] & 0x0f == 0, "NOERROR");
}

fn starttls(number: usize, port: u16, tls: &Arc<ClientConfig>) {
    let mut tcp = connect(town::mail_address(number).into(), port);
    read_reply(&mut tcp, "220");
    ask(&mut tcp, "EHLO bench.example\r\n", "250");
    ask(&mut tcp, "STARTTLS\r\n", "220");
    let mut stream = shake_hands(tcp, &town::mail_host(number), tls);
    ask(&mut stream, "EHLO bench.example\r\n", "250");
    ask(&mut stream, "QUIT\r\n", "221");
}

fn policy(number: usize, port: u16, tls: &Arc<ClientConfig>) {
    let host = town::policy_host(number);
    let mut stream = shake_hands(connect(town::policy_address(number).into(), port), &host, tls);
    let request = format!("GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("mode: enforce"), "{answer}");
}

fn connect(address: IpAddr, port: u16) -> TcpStream {
    let tcp = TcpStream::connect((address, port)).expect("a peer");
    tcp.set_nodelay(true).expect("TCP");
    tcp
}

fn shake_hands(tcp: TcpStream, name: &str, tls: &Arc<ClientConfig>) -> StreamOwned<ClientConnection, TcpStream> {
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    StreamOwned::new(ClientConnection::new(Arc::clone(tls), name).expect("a client"), tcp)
}

fn ask(stream: &mut (impl Read + Write), command: &str, code: &str) {
    stream.write_all(command.as_bytes()).expect("a command");
    stream.flush().expect("a command");
    read_reply(stream, code);
}

fn read_reply(stream: &mut impl Read, code: &str) {
    let mut reply = Vec::new();
    let mut buffer = [0; 2048];
    while !reply.ends_with(b"\n") {
        let length = stream.read(&mut buffer).expect("a reply");
        assert!(length > 0, "the end");
        reply.extend_from_slice(&buffer[..length]);
    }
    assert!(reply.starts_with(code.as_bytes()), "{}", String::from_utf8_lossy(&reply));
}
