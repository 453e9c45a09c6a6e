//! Where the server listens.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

/// The port, unless the command line says another one.
pub const DEFAULT_PORT: u16 = 10461;

/// Connections that wait to be accepted; the system lowers it to its own limit, which is as much since Linux 5.4. Who finds no place in it
/// comes again after a second, for the system drops what it sends.
const BACKLOG: i32 = 4096;

/// An address to listen on: `:10461` for every address of both families, `127.0.0.1:10461`, `[::1]:10461`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// Every address of this host.
    Any {
        /// The port.
        port: u16,
    },
    /// One address; `0.0.0.0` and `[::]` are one family each.
    One(SocketAddr),
}

/// Why a text is no address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address to listen on; write :10461, 127.0.0.1:10461 or [::1]:10461")]
pub struct ListenAddressError(String);

/// Why the server cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {}", self.reason())]
pub struct BindError {
    address: ListenAddress,
    source: io::Error,
}

/// Opens a listener. Must be called inside a Tokio runtime.
///
/// # Errors
/// [`BindError`] where the address is taken, not one of this host, or needs more rights.
pub fn bind(address: ListenAddress) -> Result<TcpListener, BindError> {
    let listener = match address {
        ListenAddress::One(one) => open(one, true),
        ListenAddress::Any { port } => {
            let ip6 = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port);
            match open(ip6, false) {
                // Only a host without IPv6 is left with IPv4 alone; a port that is taken is no reason for it.
                Err(error) if no_ip6(&error) => open(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port), true),
                opened => opened,
            }
        }
    };
    listener.map_err(|source| BindError { address, source })
}

fn no_ip6(error: &io::Error) -> bool {
    !matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied)
}

fn open(address: SocketAddr, only_its_family: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(only_its_family)?;
    }
    // Connections of the run before, which still linger, must not stop a restart.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

impl BindError {
    fn reason(&self) -> String {
        match self.source.kind() {
            io::ErrorKind::AddrInUse => "the port is in use; is another instance running?".to_owned(),
            io::ErrorKind::AddrNotAvailable => "this host has no such address".to_owned(),
            io::ErrorKind::PermissionDenied => "no permission; ports below 1024 need CAP_NET_BIND_SERVICE".to_owned(),
            _ => self.source.to_string(),
        }
    }
}

impl Default for ListenAddress {
    fn default() -> Self {
        Self::Any { port: DEFAULT_PORT }
    }
}

impl FromStr for ListenAddress {
    type Err = ListenAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ListenAddressError(text.to_owned());
        match text.strip_prefix(':') {
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                port.parse().map(|port| Self::Any { port }).map_err(|_| error())
            }
            _ => text.parse().map(Self::One).map_err(|_| error()),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any { port } => write!(f, ":{port}"),
            Self::One(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        assert_eq!(":10461".parse(), Ok(ListenAddress::Any { port: 10461 }));
        for text in ["127.0.0.1:10461", "[::1]:10461", "0.0.0.0:1", "[::]:1"] {
            assert_eq!(text.parse(), Ok(ListenAddress::One(text.parse().unwrap())));
            assert_eq!(text.parse::<ListenAddress>().unwrap().to_string(), text);
        }
        assert_eq!(ListenAddress::default().to_string(), ":10461");
        for text in ["", ":", ":+1", ":65536", "10461", "127.0.0.1", "localhost:10461", "::1:80"] {
            assert_eq!(text.parse::<ListenAddress>(), Err(ListenAddressError(text.to_owned())), "{text}");
        }
    }

    #[tokio::test]
    async fn a_port_that_is_taken_is_said() {
        let first = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let taken = first.local_addr().unwrap();
        let error = bind(ListenAddress::One(taken)).unwrap_err().to_string();
        assert_eq!(error, format!("cannot listen on {taken}: the port is in use; is another instance running?"));
        // A documentation address is never one of this host.
        let error = bind("192.0.2.1:0".parse().unwrap()).unwrap_err().to_string();
        assert_eq!(error, "cannot listen on 192.0.2.1:0: this host has no such address");
    }

    #[tokio::test]
    async fn any_takes_ip4_too() {
        let listener = bind(ListenAddress::Any { port: 0 }).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (client, accepted) =
            tokio::join!(tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)), listener.accept());
        assert_eq!(client.unwrap().local_addr().unwrap().port(), accepted.unwrap().1.port());
    }
}
