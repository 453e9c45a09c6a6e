//! What one address of one MX host did.

use std::{net::IpAddr, time::Duration};

use serde::{Deserialize, Serialize};

use super::{ConnectFailure, TlsFacts, TlsFailure};
use crate::terms::{MxHost, Octets, Timestamp};

/// One SMTP dialogue with one address of an MX host: banner, EHLO, STARTTLS, TLS, EHLO, QUIT.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressObservation {
    /// The name that was sent as SNI and that the certificate has to name.
    pub host: MxHost,
    /// The address that was dialled.
    pub address: IpAddr,
    /// When the dialogue ended.
    pub at: Timestamp,
    /// How long it took.
    pub duration: Duration,
    /// How long each phase took; absent where it was not reached.
    pub times: PhaseTimes,
    /// How far it came.
    pub outcome: SmtpOutcome,
    /// The text of the banner's first line.
    pub banner: Option<Octets>,
    /// The EHLO keywords in clear, upper case, as offered before TLS; absent where no EHLO was answered.
    pub capabilities: Option<Vec<String>>,
    /// The handshake, whatever the certificate. Beside a handshake that failed: what the server offers to senders that speak
    /// more than this monitor, read on a second connection and not completed; nothing where it shakes hands with nobody.
    pub tls: Option<TlsFacts>,
    /// Clear text followed the 220 to STARTTLS: what an attacker injects there is taken for protected (RFC 3207 §6).
    pub cleartext_after_starttls: bool,
    /// What was said, in order; empty in what was stored before it was noted.
    #[serde(default)]
    pub said: Vec<Said>,
}

/// A command and the whole reply to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// Where.
    pub phase: Phase,
    /// The command without its line end; empty for the banner.
    pub command: String,
    /// The reply code.
    pub code: u16,
    /// The text of the reply, its lines joined by a line feed, up to a limit.
    pub text: Octets,
    /// The reply is longer than what is kept.
    pub cut: bool,
}

/// How an SMTP dialogue ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SmtpOutcome {
    /// All the way to the EHLO inside TLS.
    Done,
    /// No TCP connection.
    ConnectFailed(ConnectFailure),
    /// The deadline of this phase passed.
    Timeout(Phase),
    /// 4xx or 5xx instead of the banner or to EHLO: about this client, not about the domain.
    Rejected {
        /// [`Phase::Banner`] or [`Phase::Ehlo`].
        phase: Phase,
        /// The reply code.
        code: u16,
        /// The reply's text.
        text: Octets,
    },
    /// Something that is no SMTP.
    ProtocolError {
        /// Where.
        phase: Phase,
        /// What.
        fault: ProtocolFault,
    },
    /// EHLO did not offer STARTTLS.
    StarttlsNotOffered,
    /// STARTTLS was offered and answered with 4xx or 5xx.
    StarttlsRefused {
        /// The reply code.
        code: u16,
        /// The reply's text.
        text: Octets,
    },
    /// The handshake failed.
    HandshakeFailed(TlsFailure),
}

/// A step of the dialogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// TCP.
    Connect,
    /// Waiting for the 220 greeting.
    Banner,
    /// EHLO in clear.
    Ehlo,
    /// STARTTLS and its reply.
    Starttls,
    /// The TLS handshake.
    Tls,
    /// EHLO inside TLS.
    EhloTls,
}

/// How a server broke the protocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ProtocolFault {
    /// A line longer than the limit.
    LineTooLong,
    /// A reply of more lines than the limit.
    TooManyLines,
    /// A line that is no SMTP reply, escaped.
    NoReply(String),
    /// A reply code that has no place here.
    UnexpectedCode(u16),
    /// The connection was closed.
    Closed,
    /// The connection was reset.
    Reset,
    /// Another transport error, in words.
    Transport(String),
}

/// How long each phase took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseTimes {
    /// TCP.
    pub connect: Option<Duration>,
    /// From there to the whole banner.
    pub banner: Option<Duration>,
    /// EHLO in clear.
    pub ehlo: Option<Duration>,
    /// STARTTLS and its reply.
    pub starttls: Option<Duration>,
    /// The handshake.
    pub tls: Option<Duration>,
    /// EHLO inside TLS; nothing in what was stored before it was noted.
    #[serde(default)]
    pub ehlo_tls: Option<Duration>,
}

impl AddressObservation {
    /// Whether the peer answered on the TCP level, whatever it said then.
    pub fn connected(&self) -> bool {
        !matches!(self.outcome, SmtpOutcome::ConnectFailed(_) | SmtpOutcome::Timeout(Phase::Connect))
    }

    /// Whether the server entered upon a handshake, whatever came of it; text in its place is none.
    pub const fn reached_tls(&self) -> bool {
        let failed =
            matches!(&self.outcome, SmtpOutcome::HandshakeFailed(failure) if !matches!(failure, TlsFailure::NotTls(_)));
        failed || self.tls.is_some()
    }

    /// Whether EHLO offered STARTTLS; nothing where EHLO was not answered.
    pub fn starttls_offered(&self) -> Option<bool> {
        self.capabilities.as_ref().map(|keywords| keywords.iter().any(|keyword| keyword == "STARTTLS"))
    }
}

impl Phase {
    /// A closed word for metrics, JSON and details.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Banner => "banner",
            Self::Ehlo => "ehlo",
            Self::Starttls => "starttls",
            Self::Tls => "tls",
            Self::EhloTls => "ehlo-tls",
        }
    }
}

impl std::fmt::Display for ProtocolFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::LineTooLong => f.write_str("a line longer than SMTP allows"),
            Self::TooManyLines => f.write_str("a reply of too many lines"),
            Self::NoReply(text) => write!(f, "a line that is no SMTP reply: {text:?}"),
            Self::UnexpectedCode(code) => write!(f, "the unexpected reply {code}"),
            Self::Closed => f.write_str("the connection was closed"),
            Self::Reset => f.write_str("the connection was reset"),
            Self::Transport(what) => f.write_str(what),
        }
    }
}
