//! Addresses and ports: a part of 127.0.0.0/8 for the world alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{Ipv4Addr, SocketAddr},
};

use tokio::net::{TcpListener, UdpSocket};

use super::DemoError;

/// So many parts of the loopback network are tried before it is given up: another world may have taken one.
const TRIES: u32 = 16;
/// The third octets of the addresses.
const NAME_SERVER: u8 = 0;
const POLICY_HOSTS: u8 = 1;
/// Each mail host has a /24 of its own, as hosts of different owners have.
const MAIL_HOSTS: u8 = 10;

/// What the peers listen on.
#[derive(Debug)]
pub(super) struct Sockets {
    pub(super) addresses: Addresses,
    pub(super) dns_udp: UdpSocket,
    pub(super) dns_tcp: TcpListener,
    pub(super) policy_hosts: TcpListener,
    pub(super) mail_hosts: Vec<(Ipv4Addr, TcpListener)>,
}

/// Where everything is.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    pub(super) name_server: SocketAddr,
    pub(super) policy_hosts: SocketAddr,
    pub(super) smtp_port: u16,
    mail_hosts: BTreeMap<String, Ipv4Addr>,
}

impl Addresses {
    /// The address of a mail host.
    pub(super) fn of(&self, host: &str) -> Option<Ipv4Addr> {
        self.mail_hosts.get(host).copied()
    }
}

impl Sockets {
    /// Finds a free part of the network, and free ports in it.
    ///
    /// # Errors
    /// [`DemoError::Loopback`] where this system has no more of 127.0.0.0/8 than 127.0.0.1, or everything is taken.
    pub(super) async fn bind(hosts: &BTreeSet<String>) -> Result<Self, DemoError> {
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for _ in 0..TRIES {
            let part = rand::random_range(1..=250_u8);
            match Self::bind_in(part, hosts).await {
                Ok(sockets) => return Ok(sockets),
                Err(error) => last = error,
            }
        }
        Err(DemoError::Loopback(last))
    }

    async fn bind_in(part: u8, hosts: &BTreeSet<String>) -> io::Result<Self> {
        let at = |third: u8| Ipv4Addr::new(127, part, third, 1);
        let dns_tcp = TcpListener::bind((at(NAME_SERVER), 0)).await?;
        let name_server = dns_tcp.local_addr()?;
        let dns_udp = UdpSocket::bind(name_server).await?;
        let policy_hosts = TcpListener::bind((at(POLICY_HOSTS), 0)).await?;
        let mut mail_hosts = Vec::new();
        let mut names = BTreeMap::new();
        // The first finds a free port, and the others take the same: the monitor has one for all.
        let mut smtp_port = 0;
        for (place, name) in (MAIL_HOSTS..=u8::MAX).zip(hosts) {
            let listener = TcpListener::bind((at(place), smtp_port)).await?;
            smtp_port = listener.local_addr()?.port();
            mail_hosts.push((at(place), listener));
            names.insert(name.clone(), at(place));
        }
        let addresses =
            Addresses { name_server, policy_hosts: policy_hosts.local_addr()?, smtp_port, mail_hosts: names };
        Ok(Self { addresses, dns_udp, dns_tcp, policy_hosts, mail_hosts })
    }
}
