//! TCP connections to public addresses.

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
};

use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};

use crate::{facts::ConnectFailure, protocol::dns::is_public, terms::Octets};

/// EAFNOSUPPORT, which has no `ErrorKind`: the kernel was built or started without IPv6.
#[cfg(any(target_os = "linux", target_os = "android"))]
const EAFNOSUPPORT: i32 = 97;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const EAFNOSUPPORT: i32 = 47;

/// What may be dialled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DialOptions {
    /// Private, loopback and other addresses that are not public are dialled too. Without it a domain's DNS could point this
    /// program at hosts inside its own network.
    pub allow_private_addresses: bool,
}

/// Opens connections.
#[derive(Clone, Copy, Debug, Default)]
pub struct Dialer {
    options: DialOptions,
}

impl Dialer {
    /// A dialer with these options.
    pub const fn new(options: DialOptions) -> Self {
        Self { options }
    }

    /// Opens a connection to exactly this address, or says why not.
    ///
    /// # Errors
    /// [`ConnectFailure`]; [`ConnectFailure::Timeout`] where `deadline` passes first.
    pub async fn connect(&self, address: SocketAddr, deadline: Instant) -> Result<TcpStream, ConnectFailure> {
        if !self.options.allow_private_addresses && !is_public(address.ip()) {
            return Err(ConnectFailure::PrivateAddress);
        }
        match timeout_at(deadline, TcpStream::connect(address)).await {
            Err(_) => Err(ConnectFailure::Timeout),
            Ok(Err(error)) => Err(failure(&error)),
            Ok(Ok(stream)) => {
                // Each step is one small write that waits for its answer. Where the option fails only speed is lost.
                let _ = stream.set_nodelay(true);
                Ok(stream)
            }
        }
    }
}

/// Why there is no connection, by what the system says.
pub(super) fn failure(error: &io::Error) -> ConnectFailure {
    match error.kind() {
        ErrorKind::ConnectionRefused => ConnectFailure::Refused,
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => ConnectFailure::Reset,
        ErrorKind::HostUnreachable => ConnectFailure::HostUnreachable,
        ErrorKind::TimedOut => ConnectFailure::Timeout,
        // EINVAL to a valid address: a route of Linux that swallows all (`ip route add blackhole`).
        ErrorKind::NetworkUnreachable | ErrorKind::AddrNotAvailable | ErrorKind::InvalidInput => {
            ConnectFailure::NoRoute
        }
        _ if error.raw_os_error() == Some(EAFNOSUPPORT) => ConnectFailure::NoRoute,
        _ => ConnectFailure::Local(Octets::from(error.to_string().as_str()).to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_system_s_errors_are_told_apart() {
        for (number, expected) in [
            (111, ConnectFailure::Refused),
            (104, ConnectFailure::Reset),
            (113, ConnectFailure::HostUnreachable),
            (110, ConnectFailure::Timeout),
            (101, ConnectFailure::NoRoute),
            (99, ConnectFailure::NoRoute),
            (97, ConnectFailure::NoRoute),
            (22, ConnectFailure::NoRoute),
        ] {
            assert_eq!(failure(&io::Error::from_raw_os_error(number)), expected, "errno {number}");
        }
        assert!(
            matches!(failure(&io::Error::from_raw_os_error(24)), ConnectFailure::Local(text) if text.contains("open files"))
        );
    }

    #[tokio::test]
    async fn private_addresses_are_dialled_only_on_request() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let refused = Dialer::default().connect(address, soon()).await;
        assert!(matches!(refused, Err(ConnectFailure::PrivateAddress)));
        let mapped = SocketAddr::new("::ffff:127.0.0.1".parse().unwrap(), address.port());
        assert!(matches!(Dialer::default().connect(mapped, soon()).await, Err(ConnectFailure::PrivateAddress)));
        let stream = Dialer::new(DialOptions { allow_private_addresses: true }).connect(address, soon()).await.unwrap();
        assert!(stream.nodelay().unwrap());
    }

    #[tokio::test]
    async fn nobody_listens() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let dialer = Dialer::new(DialOptions { allow_private_addresses: true });
        assert!(matches!(dialer.connect(address, soon()).await, Err(ConnectFailure::Refused)));
    }
}
