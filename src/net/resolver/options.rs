//! Whom to ask, and for how long.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6},
    time::Duration,
};

use super::anchors::{AnchorsError, TrustAnchors};

/// Where the host names its resolvers (resolv.conf(5)).
const SYSTEM_FILE: &str = "/etc/resolv.conf";
/// The port of DNS (RFC 1035 §4.2).
const DNS_PORT: u16 = 53;
/// The C library reads no more than three servers (`MAXNS` in resolv.conf(5)); what works for it has to work here.
const MAX_SYSTEM_SERVERS: usize = 3;
/// How long an answer is kept at most unless told otherwise. Long enough for one round over the domains that share a mail
/// host, short enough that a change is seen at the next look.
pub const DEFAULT_MAX_CACHE: Duration = Duration::from_secs(60);

/// What a resolver has to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolverOptions {
    /// The recursive resolvers, the preferred one first.
    pub servers: Vec<SocketAddr>,
    /// For one whole lookup: all attempts, all servers, the CNAME chain.
    pub timeout: Duration,
    /// How long an answer is kept at most, whatever its TTL says; zero keeps nothing.
    pub max_cache: Duration,
    /// Who judges DNSSEC.
    pub dnssec: DnssecChoice,
}

/// Who judges DNSSEC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DnssecChoice {
    /// Nobody: every answer is indeterminate, and signatures are not asked for.
    #[default]
    Off,
    /// The servers, by their AD bit (RFC 4035 §3.2.3): for servers that validate and that are reached over a path on which nobody
    /// else can set the bit (RFC 7672 §2.1.3).
    TrustAd,
    /// This side, from these anchors down, whatever the servers think of an answer.
    Validate(TrustAnchors),
    /// The servers, if every one of them is on this host and answers the question for the SOA record of the root with the AD bit
    /// when the first lookup is made; else this side, from these anchors down.
    Auto(TrustAnchors),
}

impl ResolverOptions {
    /// These servers and this time for a whole lookup, answers kept for [`DEFAULT_MAX_CACHE`] at most, DNSSEC not looked at.
    pub fn new(servers: Vec<SocketAddr>, timeout: Duration) -> Self {
        Self { servers, timeout, max_cache: DEFAULT_MAX_CACHE, dnssec: DnssecChoice::Off }
    }
}

/// A resolver as the configuration names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerChoice {
    /// Those of the host.
    System,
    /// This one.
    Address(SocketAddr),
}

/// Why there is nobody to ask.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolverSetupError {
    /// The file that names the resolvers of the host cannot be read.
    #[error("cannot read {SYSTEM_FILE}, which names the resolvers of this host: {0}")]
    Unreadable(#[source] std::io::Error),
    /// The trust anchors cannot be used.
    #[error(transparent)]
    Anchors(#[from] AnchorsError),
}

impl ServerChoice {
    /// The servers that the choices stand for, in order and each once.
    ///
    /// # Errors
    /// As [`system_servers`].
    pub fn servers(choices: &[Self]) -> Result<Vec<SocketAddr>, ResolverSetupError> {
        let mut servers = Vec::new();
        for choice in choices {
            let chosen = match choice {
                Self::System => system_servers()?,
                Self::Address(address) => vec![*address],
            };
            for server in chosen {
                if !servers.contains(&server) {
                    servers.push(server);
                }
            }
        }
        Ok(servers)
    }
}

/// The resolvers of this host, as resolv.conf(5) names them; the host itself where the file names none.
///
/// # Errors
/// [`ResolverSetupError::Unreadable`].
pub fn system_servers() -> Result<Vec<SocketAddr>, ResolverSetupError> {
    let text = fs::read(SYSTEM_FILE).map_err(ResolverSetupError::Unreadable)?;
    Ok(name_servers(&String::from_utf8_lossy(&text)))
}

fn name_servers(text: &str) -> Vec<SocketAddr> {
    let named = text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        if words.next()? != "nameserver" {
            return None;
        }
        server_address(words.next()?)
    });
    let mut servers: Vec<SocketAddr> = named.take(MAX_SYSTEM_SERVERS).collect();
    if servers.is_empty() {
        servers.push((Ipv4Addr::LOCALHOST, DNS_PORT).into());
    }
    servers
}

/// An address, or a link-local one with the number or the name of its interface (RFC 4007 §11).
fn server_address(word: &str) -> Option<SocketAddr> {
    let Some((address, zone)) = word.split_once('%') else {
        return word.parse::<IpAddr>().ok().map(|address| (address, DNS_PORT).into());
    };
    let scope = match zone.parse() {
        Ok(number) => number,
        Err(_) if zone.contains('/') => return None,
        Err(_) => fs::read_to_string(format!("/sys/class/net/{zone}/ifindex")).ok()?.trim().parse().ok()?,
    };
    Some(SocketAddrV6::new(address.parse().ok()?, DNS_PORT, 0, scope).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_name_servers_of_the_system_file() {
        let text = "# nameserver 192.0.2.9\n; nameserver 192.0.2.8\nsearch example\n\
                    nameserver 192.0.2.1\n nameserver\t2001:db8::1 \nnameserver nonsense\nnameserver fe80::1%7\n\
                    nameserver 192.0.2.4\n";
        let expected: [SocketAddr; 3] =
            ["192.0.2.1:53".parse().unwrap(), "[2001:db8::1]:53".parse().unwrap(), "[fe80::1%7]:53".parse().unwrap()];
        assert_eq!(name_servers(text), expected);
    }

    #[test]
    fn a_file_without_name_servers_means_this_host() {
        assert_eq!(name_servers("options edns0\n"), ["127.0.0.1:53".parse().unwrap()]);
    }

    #[test]
    fn choices_become_servers_each_once() {
        let one = ServerChoice::Address("192.0.2.1:53".parse().unwrap());
        let two = ServerChoice::Address("[2001:db8::1]:5353".parse().unwrap());
        assert_eq!(
            ServerChoice::servers(&[two, one, two]).unwrap(),
            ["[2001:db8::1]:5353".parse().unwrap(), "192.0.2.1:53".parse().unwrap()]
        );
    }
}
