//! What TLS an address of an MX host offers beyond the usual handshake.

use std::{net::IpAddr, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{AddressObservation, ChainFacts, TlsFacts, TlsFailure};
use crate::terms::{MxHost, Timestamp};

/// The extra connections to one address: withdrawn versions, and handshakes without the name or with another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsSurvey {
    /// The mail host.
    pub host: MxHost,
    /// The address that was dialled.
    pub address: IpAddr,
    /// When the last connection ended.
    pub at: Timestamp,
    /// How long all of it took, the waiting for a turn included; nothing in what was stored before it was noted.
    #[serde(default)]
    pub duration: Option<Duration>,
    /// Whether TLS 1.0 is still negotiated with a client that knows nothing newer.
    pub tls10: Offer,
    /// Whether TLS 1.1 is.
    pub tls11: Offer,
    /// A handshake without SNI (RFC 7672 §8.1: the server must not insist on it).
    pub without_sni: Handshake,
    /// A handshake with a name that no server knows: it has to fall back to some certificate, not to abort.
    pub unknown_sni: Handshake,
    /// A handshake with the TLSA base domain as SNI, where that is another name than the host (RFC 7672 §8.1).
    pub base_sni: Option<(MxHost, Handshake)>,
}

impl TlsSurvey {
    /// Every handshake with another name than usual.
    pub fn handshakes(&self) -> impl Iterator<Item = &Handshake> {
        [&self.without_sni, &self.unknown_sni].into_iter().chain(self.base_sni.as_ref().map(|(_, handshake)| handshake))
    }

    /// Whether nothing at all was seen.
    pub fn is_blank(&self) -> bool {
        self.offers().iter().all(|offer| matches!(offer, Offer::NotSeen(_)))
            && self.handshakes().all(|handshake| matches!(handshake, Handshake::NotSeen(_)))
    }

    /// Whether all was seen and no handshake failed.
    pub fn is_smooth(&self) -> bool {
        !self.offers().iter().any(|offer| matches!(offer, Offer::NotSeen(_)))
            && self.handshakes().all(|handshake| matches!(handshake, Handshake::Done(_)))
    }

    const fn offers(&self) -> [&Offer; 2] {
        [&self.tls10, &self.tls11]
    }
}

/// Whether something is offered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Offer {
    /// It was negotiated.
    Accepted,
    /// It was turned down, by an alert or by closing the connection.
    Refused,
    /// It could not be looked at; why, in words.
    NotSeen(String),
}

/// How a handshake went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Handshake {
    /// The server presented this.
    Done(TlsFacts),
    /// It failed.
    Failed(TlsFailure),
    /// It did not come so far; why, in words.
    NotSeen(String),
}

/// The certificates of one address of a mail host: a server may have one for each kind of key, and presents the one that the
/// client can use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateSurvey {
    /// The usual dialogue, with the name of the host as SNI.
    pub usual: AddressObservation,
    /// A handshake that takes RSA keys alone, with the TLSA base domain as SNI (RFC 7672 §8.1).
    pub rsa: Handshake,
    /// The same for ECDSA keys.
    pub ecdsa: Handshake,
}

impl CertificateSurvey {
    /// Every chain that was presented, the usual one first.
    pub fn chains(&self) -> impl Iterator<Item = &Arc<ChainFacts>> {
        let of_keys = [&self.rsa, &self.ecdsa].into_iter().filter_map(|handshake| match handshake {
            Handshake::Done(facts) => Some(facts),
            _ => None,
        });
        self.usual.tls.iter().chain(of_keys).map(|facts| &facts.chain)
    }
}
