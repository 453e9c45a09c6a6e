//! What the policy host served.

use std::{fmt, net::IpAddr, time::Duration};

use serde::{Deserialize, Serialize};

use super::{AddressLookup, ConnectFailure, TlsFacts, TlsFailure};
use crate::terms::{Octets, Timestamp};

/// One look at `https://mta-sts.<domain>/.well-known/mta-sts.txt` over every address of the policy host (RFC 8461 §3.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyHostObservation {
    /// `mta-sts.<domain>`.
    pub host: String,
    /// Its addresses.
    pub addresses: AddressLookup,
    /// The time of the address lookup.
    pub resolve: Duration,
    /// One fetch an address, in the order of the lookup.
    pub fetches: Vec<PolicyFetch>,
    /// Addresses beyond the configured cap that were not looked at.
    pub skipped: usize,
}

/// One fetch from one address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyFetch {
    /// The address that was dialled.
    pub address: IpAddr,
    /// When it ended.
    pub at: Timestamp,
    /// How long each phase took; absent where it was not reached.
    pub times: FetchTimes,
    /// The handshake, whatever the certificate. The request is sent even where a sender would stop at the certificate, so
    /// that all faults are seen at once.
    pub tls: Option<TlsFacts>,
    /// The answer, where one came with a status.
    pub response: Option<HttpResponse>,
    /// What ended the fetch before a whole answer came.
    pub failure: Option<FetchFailure>,
}

/// The times of a fetch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchTimes {
    /// TCP.
    pub connect: Option<Duration>,
    /// The TLS handshake.
    pub tls: Option<Duration>,
    /// From the request to the first byte of the answer.
    pub processing: Option<Duration>,
    /// From there to the end of the body.
    pub transfer: Option<Duration>,
}

impl FetchTimes {
    /// All phases together.
    pub fn total(&self) -> Duration {
        [self.connect, self.tls, self.processing, self.transfer].into_iter().flatten().sum()
    }
}

/// An HTTP answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpResponse {
    /// The status code.
    pub status: u16,
    /// `Content-Type` as sent.
    pub content_type: Option<Octets>,
    /// `Location` as sent.
    pub location: Option<Octets>,
    /// `Content-Encoding` as sent, although none was asked for.
    pub content_encoding: Option<Octets>,
    /// `Age`, in seconds (RFC 9111 §5.1).
    pub age: Option<u64>,
    /// `max-age` of `Cache-Control`, in seconds.
    pub cache_max_age: Option<u64>,
    /// The body, up to the limit. Kept only for status 200.
    pub body: Octets,
}

/// The step of a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FetchPhase {
    /// TCP.
    Connect,
    /// The TLS handshake.
    Tls,
    /// Waiting for the status line and header.
    Processing,
    /// Reading the body.
    Transfer,
}

/// What ended a fetch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FetchFailure {
    /// No connection.
    Connect(ConnectFailure),
    /// The deadline passed in this phase.
    Timeout(FetchPhase),
    /// The handshake failed.
    Tls(TlsFailure),
    /// The answer is no HTTP, or broke off, in this phase.
    Http {
        /// Where.
        phase: FetchPhase,
        /// In words, escaped.
        what: String,
    },
    /// The body is larger than 64 kB (RFC 8461 §3.3); reading stopped.
    TooLarge,
}

impl fmt::Display for FetchFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(failure) => failure.fmt(f),
            Self::Timeout(phase) => write!(f, "no progress in time ({})", phase.label()),
            Self::Tls(failure) => write!(f, "the TLS handshake failed: {failure}"),
            Self::Http { what, .. } => write!(f, "no readable HTTP answer: {what}"),
            Self::TooLarge => f.write_str("the body is over 64 kB"),
        }
    }
}

impl FetchPhase {
    /// A closed word for metrics and JSON.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Processing => "processing",
            Self::Transfer => "transfer",
        }
    }
}
