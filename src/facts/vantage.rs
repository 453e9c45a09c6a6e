//! What this side can see, so that its own limits are never blamed on a domain.

use std::{fmt, net::IpAddr};

use serde::{Deserialize, Serialize};

use crate::terms::Timestamp;

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    Ip4,
    /// IPv6.
    Ip6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ip4, Self::Ip6];

    /// The family of an address; an IPv4-mapped IPv6 address is IPv4.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(_) => Self::Ip4,
            IpAddr::V6(_) => Self::Ip6,
        }
    }

    /// `ip4` or `ip6`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ip4 => "ip4",
            Self::Ip6 => "ip6",
        }
    }
}

/// Why a TCP connection did not come about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ConnectFailure {
    /// A reset instead of an answer: nobody listens.
    Refused,
    /// The connection was reset while it opened.
    Reset,
    /// A router said that the host or its network cannot be reached.
    HostUnreachable,
    /// No answer in time.
    Timeout,
    /// This host has no route for the family (ENETUNREACH, EADDRNOTAVAIL): own side, not the peer's fault.
    NoRoute,
    /// The address is private, loopback or otherwise not public, and such addresses are not dialled.
    PrivateAddress,
    /// Own side: out of descriptors or the like.
    Local(String),
}

/// The mail hosts that answered here last over one family: a timeout counts against a peer only where another one answered
/// meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnsweredHosts {
    latest: Option<(IpAddr, Timestamp)>,
    /// The latest one at another address.
    other: Option<(IpAddr, Timestamp)>,
}

impl AnsweredHosts {
    /// Notes that `address` answered at that time.
    pub fn note(&mut self, address: IpAddr, at: Timestamp) {
        match self.latest {
            Some((known, time)) if known == address => self.latest = Some((known, time.max(at))),
            Some(known) if known.1 <= at => {
                self.other = Some(known);
                self.latest = Some((address, at));
            }
            Some(_) => match self.other {
                Some((_, time)) if time > at => {}
                _ => self.other = Some((address, at)),
            },
            None => self.latest = Some((address, at)),
        }
    }

    /// Whether an address other than this one answered at that time or later.
    pub fn another(&self, address: IpAddr, since: Timestamp) -> bool {
        [self.latest, self.other].into_iter().flatten().any(|(known, at)| known != address && at >= since)
    }
}

/// Whether DNSSEC can be seen from here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DnssecSight {
    /// It is not looked at (`resolver.dnssec: off`).
    #[default]
    Off,
    /// A name known to be signed validates: by the AD bit of a resolver that can be believed, or here.
    Validating,
    /// No name validates: the resolver returns no signatures. Every answer is indeterminate.
    Blind,
}

/// What this side could see while the observation was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vantage {
    /// Every MX address that was tried, in enough places, ended in a connect timeout or unreachable, and no canary answered:
    /// port 25 is shut off here.
    pub smtp_blocked: bool,
    /// Canaries are configured and every one of them fails.
    pub canaries_failing: bool,
    /// The resolver gives no answers to anything, a control name included.
    pub resolver_failing: bool,
    /// This host has a route for IPv4, and it leads somewhere.
    pub ip4_route: bool,
    /// This host has a route for IPv6, and it leads somewhere.
    pub ip6_route: bool,
    /// Mail hosts that answered over IPv4.
    pub ip4_answered: AnsweredHosts,
    /// Mail hosts that answered over IPv6.
    pub ip6_answered: AnsweredHosts,
    /// Whether DNSSEC can be seen from here.
    pub dnssec: DnssecSight,
}

impl Default for Vantage {
    /// Nothing is in the way, nobody answered yet, and the resolver is not believed.
    fn default() -> Self {
        Self {
            smtp_blocked: false,
            canaries_failing: false,
            resolver_failing: false,
            ip4_route: true,
            ip6_route: true,
            ip4_answered: AnsweredHosts::default(),
            ip6_answered: AnsweredHosts::default(),
            dnssec: DnssecSight::Off,
        }
    }
}

impl Vantage {
    /// Whether a mail host other than `address` answered over its family at that time or later.
    pub fn another_answered(&self, address: IpAddr, since: Timestamp) -> bool {
        self.answered(Family::of(address)).another(address, since)
    }

    /// Notes that a mail host at `address` answered.
    pub fn note_answer(&mut self, address: IpAddr, at: Timestamp) {
        match Family::of(address) {
            Family::Ip4 => self.ip4_answered.note(address, at),
            Family::Ip6 => self.ip6_answered.note(address, at),
        }
    }

    /// Whether addresses of this family can be reached from here.
    pub const fn reaches(&self, family: Family) -> bool {
        match family {
            Family::Ip4 => self.ip4_route,
            Family::Ip6 => self.ip6_route,
        }
    }

    /// Whether both see the same, apart from who answered when.
    pub fn sees_alike(&self, other: &Self) -> bool {
        let flags = |vantage: &Self| {
            (
                [vantage.smtp_blocked, vantage.canaries_failing, vantage.resolver_failing],
                [vantage.ip4_route, vantage.ip6_route],
                vantage.dnssec,
            )
        };
        flags(self) == flags(other)
    }

    const fn answered(&self, family: Family) -> &AnsweredHosts {
        match family {
            Family::Ip4 => &self.ip4_answered,
            Family::Ip6 => &self.ip6_answered,
        }
    }
}

impl ConnectFailure {
    /// A closed word for metrics and JSON.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::HostUnreachable => "host-unreachable",
            Self::Timeout => "timeout",
            Self::NoRoute => "no-route",
            Self::PrivateAddress => "private-address",
            Self::Local(_) => "local",
        }
    }

    /// Whether it says something about this side only.
    pub const fn is_own_side(&self) -> bool {
        matches!(self, Self::NoRoute | Self::Local(_))
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ip4 => "IPv4",
            Self::Ip6 => "IPv6",
        })
    }
}

impl fmt::Display for ConnectFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("the connection was refused"),
            Self::Reset => f.write_str("the connection was reset"),
            Self::HostUnreachable => f.write_str("the host cannot be reached"),
            Self::Timeout => f.write_str("no answer in time"),
            Self::NoRoute => f.write_str("this host has no route to it"),
            Self::PrivateAddress => f.write_str("the address is not public"),
            Self::Local(why) => write!(f, "this side could not connect ({why})"),
        }
    }
}
