//! What TLS an address offers beyond the usual handshake: withdrawn versions, and handshakes without the name or with another.

use std::net::IpAddr;

use tokio::{net::TcpStream, time::Instant};

use super::{
    SmtpProber,
    legacy_hello::{Answer, Until, say_hello},
    now,
    starttls::Pace,
    tls_client::{HandshakeFailure, KeyKind},
};
use crate::{
    facts::{CertificateSurvey, Handshake, Offer, Phase, SmtpOutcome, TlsFailure, TlsSurvey, TlsVersion},
    protocol::tls::ClientHello,
    terms::MxHost,
};

/// A name that no server has a certificate for (RFC 6761 §6.4).
const UNKNOWN_NAME: &str = "unknown-name.invalid";

/// What is sent as SNI.
#[derive(Clone, Copy, Debug)]
enum Sni<'a> {
    Nothing,
    Name(&'a str),
    /// A name, and the only kind of key that is taken.
    Keys(&'a str, KeyKind),
}

impl SmtpProber {
    /// Surveys one address: four connections or five, one after the other, each after a permit of its own from `gate` and with
    /// the deadlines of a probe. Never fails: what was not seen is told so. Where one connection does not come as far as TLS, the
    /// rest are not tried: whoever turned this client away is not asked again at once.
    ///
    /// `base`: the TLSA base domain (RFC 7672 §2.2.3); a handshake with its name is added where it is not the host's.
    pub async fn survey<F: Future>(
        &self,
        host: &MxHost,
        address: IpAddr,
        base: Option<&MxHost>,
        gate: impl Fn() -> F,
    ) -> TlsSurvey {
        let started = Instant::now();
        let mut survey = Survey { prober: self, host, address, gate, given_up: None };
        // What decides over delivery comes first, and what a server may take amiss last.
        let without_sni = survey.handshake(Sni::Nothing).await;
        let unknown_sni = survey.handshake(Sni::Name(UNKNOWN_NAME)).await;
        let base_sni = match base.filter(|base| *base != host) {
            Some(base) => Some((base.clone(), survey.handshake(Sni::Name(base.as_str())).await)),
            None => None,
        };
        let tls11 = survey.offer(TlsVersion::Tls11).await;
        let tls10 = survey.offer(TlsVersion::Tls10).await;
        TlsSurvey {
            host: host.clone(),
            address,
            at: now(),
            duration: Some(started.elapsed()),
            tls10,
            tls11,
            without_sni,
            unknown_sni,
            base_sni,
        }
    }

    /// Looks which certificates an address has: the usual dialogue, then one handshake for each kind of key. `base` is the TLSA
    /// base domain. Never fails; where the usual dialogue does not come as far as TLS the others are not tried.
    pub async fn certificates<F: Future>(
        &self,
        host: &MxHost,
        address: IpAddr,
        base: &MxHost,
        gate: impl Fn() -> F,
    ) -> CertificateSurvey {
        let usual = {
            let _permit = gate().await;
            self.probe(host, address).await
        };
        let given_up = (!usual.reached_tls()).then(|| words(&usual.outcome));
        let mut survey = Survey { prober: self, host, address, gate, given_up };
        let rsa = survey.handshake(Sni::Keys(base.as_str(), KeyKind::Rsa)).await;
        let ecdsa = survey.handshake(Sni::Keys(base.as_str(), KeyKind::Ecdsa)).await;
        CertificateSurvey { usual, rsa, ecdsa }
    }
}

/// A survey under way.
struct Survey<'a, G> {
    prober: &'a SmtpProber,
    host: &'a MxHost,
    address: IpAddr,
    gate: G,
    /// Why no more connections are made.
    given_up: Option<String>,
}

impl<'a, F: Future, G: Fn() -> F> Survey<'a, G> {
    async fn handshake(&mut self, sni: Sni<'_>) -> Handshake {
        let prober = self.prober;
        let (_permit, tcp, pace) = match self.reach_tls().await {
            Ok(reached) => reached,
            Err(why) => return Handshake::NotSeen(why),
        };
        let deadline = pace.deadline(Phase::Tls);
        let shaken = match sni {
            Sni::Nothing => prober.tls.handshake_without_sni(tcp, self.address, deadline).await,
            Sni::Name(name) => prober.tls.handshake(tcp, name, deadline).await,
            Sni::Keys(name, keys) => prober.tls.handshake_with_keys(tcp, name, keys, deadline).await,
        };
        match shaken {
            Err(HandshakeFailure::Timeout) => Handshake::NotSeen("the handshake was not finished in time".into()),
            Err(HandshakeFailure::Failed { failure, .. }) => Handshake::Failed(failure),
            Ok((stream, facts)) => {
                prober.leave(stream, &pace).await;
                Handshake::Done(facts)
            }
        }
    }

    async fn offer(&mut self, version: TlsVersion) -> Offer {
        let server_name = Some(self.host.as_str());
        let (_permit, tcp, pace) = match self.reach_tls().await {
            Ok(reached) => reached,
            Err(why) => return Offer::NotSeen(why),
        };
        let hello = ClientHello { version, server_name };
        match say_hello(tcp, hello, Until::Choice, pace.deadline(Phase::Tls)).await {
            // A server that knows only TLS 1.0 answers a hello of 1.1 with 1.0: no yes.
            Answer::Chosen(choice, _) if choice.version == version => Offer::Accepted,
            Answer::Chosen(..) | Answer::Failed(TlsFailure::Alert(_) | TlsFailure::Closed(_)) => Offer::Refused,
            Answer::Failed(failure) => Offer::NotSeen(failure.to_string()),
            Answer::Timeout => Offer::NotSeen("the hello was not answered in time".into()),
        }
    }

    async fn reach_tls(&mut self) -> Result<(F::Output, TcpStream, Pace<'a>), String> {
        if let Some(why) = &self.given_up {
            return Err(why.clone());
        }
        let permit = (self.gate)().await;
        let prober = self.prober;
        let mut pace = Pace::new(&prober.options.timeouts, Instant::now());
        match prober.reach_tls(self.address, &mut pace).await {
            Ok(tcp) => Ok((permit, tcp, pace)),
            Err(outcome) => {
                let why = words(&outcome);
                self.given_up = Some(why.clone());
                Err(why)
            }
        }
    }
}

/// Why a dialogue did not come as far as TLS.
fn words(outcome: &SmtpOutcome) -> String {
    match outcome {
        SmtpOutcome::ConnectFailed(failure) => failure.to_string(),
        SmtpOutcome::Timeout(phase) => format!("no answer in time ({})", phase.label()),
        SmtpOutcome::Rejected { code, text, .. } => format!("the server replied {code} {text}"),
        SmtpOutcome::ProtocolError { fault, .. } => fault.to_string(),
        SmtpOutcome::StarttlsNotOffered => "STARTTLS was not offered".into(),
        SmtpOutcome::StarttlsRefused { code, text } => format!("STARTTLS was answered with {code} {text}"),
        SmtpOutcome::HandshakeFailed(failure) => failure.to_string(),
        SmtpOutcome::Done => "the dialogue ended early".into(),
    }
}
