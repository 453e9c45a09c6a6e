//! One look at one target: what it needs to know, what it brings back, and what follows from it.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt;
use tokio::time::Instant;

use super::{
    Eyes, ProbeKind, Telemetry,
    fleet::{Fleet, Target, Wanted},
    schedule::{Answer, Doors, Urgency},
};
use crate::{
    facts::{
        AddressObservation, ConnectFailure, DomainObservation, Handshake, HostObservation, PolicyHostObservation,
        ProtocolFault, SmtpOutcome, TlsFacts, TlsSurvey,
    },
    net::now,
    terms::{MxHost, Timestamp},
    verdict::discovered_policy,
};

/// A certificate with less than this left comes before others when much is due: its renewal is to be seen as it happens, or missed in
/// time. Whoever renews automatically does so weeks before.
const NEAR_END: Duration = Duration::from_secs(3 * 24 * 3600);

/// What a look brought back.
pub(super) enum Seen {
    Domain(Box<(DomainObservation, (Vec<MxHost>, usize))>),
    /// With how many of the addresses are to be probed; nothing where the host opted out.
    Host(Box<(HostObservation, Option<usize>)>),
    Address(Box<AddressObservation>),
    Survey(Box<TlsSurvey>),
    Canary(MxHost, Vec<AddressObservation>),
    /// The probe panicked.
    Nothing,
}

/// What the fleet knows that a look needs.
pub(super) enum Known {
    Nothing,
    /// What the policy host said last, where it is too early to ask again.
    Policy(Option<Box<PolicyHostObservation>>),
    /// The TLSA base domain of a host.
    Base(Option<MxHost>),
}

impl Seen {
    /// Folds it into the fleet; nothing follows where nothing was seen.
    pub(super) fn fold(self, fleet: &mut Fleet) -> Option<Wanted> {
        match self {
            Self::Domain(seen) => Some(fleet.domain_seen(seen.0, seen.1)),
            Self::Host(seen) => Some(fleet.host_seen(seen.0, seen.1, now())),
            Self::Address(seen) => Some(fleet.address_seen(*seen)),
            Self::Survey(seen) => Some(fleet.survey_seen(*seen)),
            Self::Canary(name, seen) => Some(fleet.canary_seen(&name, &seen)),
            Self::Nothing => None,
        }
    }

    /// How soon the target is to be looked at again among others that are due.
    pub(super) fn urgency(&self) -> Urgency {
        let ends = match self {
            Self::Domain(seen) => seen.0.policy.fetches.iter().any(|fetch| near_end(fetch.tls.as_ref(), fetch.at)),
            Self::Address(seen) => near_end(seen.tls.as_ref(), seen.at),
            Self::Host(_) | Self::Survey(_) | Self::Canary(..) | Self::Nothing => false,
        };
        // Surveys look once a day at what seldom changes.
        let pressing = ends || (self.fails() && !matches!(self, Self::Survey(_)));
        if pressing { Urgency::Pressing } else { Urgency::Routine }
    }

    /// Whether something was not seen, or seen to be out of order.
    pub(super) fn fails(&self) -> bool {
        match self {
            Self::Domain(seen) => domain_failure(&seen.0).is_some(),
            Self::Host(seen) => !seen.0.addresses.answered(),
            Self::Address(seen) => seen.outcome != SmtpOutcome::Done,
            Self::Survey(seen) => survey_failure(seen).is_some(),
            Self::Canary(_, seen) => !seen.iter().any(AddressObservation::connected),
            Self::Nothing => false,
        }
    }

    /// Where the next look goes in, as far as this one tells.
    pub(super) fn doors(&self) -> Option<Doors> {
        match self {
            Self::Domain(seen) => Some(Doors::of_policy_host(&seen.0.policy)),
            _ => None,
        }
    }

    /// Whether the peer asked for patience.
    pub(super) fn answer(&self) -> Answer {
        let Self::Address(seen) = self else { return Answer::None };
        // RFC 5321 §4.2.1: 4xx is for now, 5xx for good.
        match &seen.outcome {
            SmtpOutcome::Rejected { code, .. }
            | SmtpOutcome::StarttlsRefused { code, .. }
            | SmtpOutcome::ProtocolError { fault: ProtocolFault::UnexpectedCode(code), .. } => match code {
                400..=499 => Answer::NotNow,
                _ => Answer::None,
            },
            SmtpOutcome::ConnectFailed(_) | SmtpOutcome::Timeout(_) | SmtpOutcome::ProtocolError { .. } => Answer::None,
            SmtpOutcome::Done | SmtpOutcome::StarttlsNotOffered | SmtpOutcome::HandshakeFailed(_) => Answer::Served,
        }
    }
}

fn near_end(tls: Option<&TlsFacts>, at: Timestamp) -> bool {
    tls.is_some_and(|tls| tls.chain.leaf.not_after.since(at) < NEAR_END)
}

/// One look, with the moment at which it began: for an address, that at which its turn came. A panic in it is caught.
pub(super) async fn look(eyes: &dyn Eyes, telemetry: &Telemetry, target: &Target, known: Known) -> (Instant, Seen) {
    let started = Instant::now();
    let looked = AssertUnwindSafe(look_at(eyes, telemetry, target, known)).catch_unwind().await;
    looked.unwrap_or_else(|_| {
        tracing::error!(?target, "a probe panicked; it is tried again at its next time");
        (started, Seen::Nothing)
    })
}

async fn look_at(eyes: &dyn Eyes, telemetry: &Telemetry, target: &Target, known: Known) -> (Instant, Seen) {
    let mut started = Instant::now();
    let seen = match target {
        Target::Domain(domain) => {
            let guard = telemetry.probe_started(ProbeKind::Domain);
            let kept = if let Known::Policy(kept) = known { kept.map(|kept| *kept) } else { None };
            let observation = eyes.domain(domain, kept).await;
            guard.ended(observation.duration, domain_failure(&observation));
            let hosts = eyes.mail_hosts(&observation);
            Seen::Domain(Box::new((observation, hosts)))
        }
        Target::Host(host) => {
            let guard = telemetry.probe_started(ProbeKind::Mx);
            let observation = eyes.host(host).await;
            guard.ended(started.elapsed(), (!observation.addresses.answered()).then_some("dns-error"));
            Seen::Host(Box::new((observation, eyes.most_addresses(host))))
        }
        Target::Address(host, address) => {
            let guard = telemetry.probe_started(ProbeKind::MxAddress);
            let (turn, observation) = eyes.address(host, *address).await;
            started = turn;
            guard.ended(observation.duration, address_failure(&observation));
            Seen::Address(Box::new(observation))
        }
        Target::Survey(host, address) => {
            let guard = telemetry.probe_started(ProbeKind::Survey);
            let base = if let Known::Base(base) = known { base } else { None };
            let survey = eyes.survey(host, *address, base.as_ref()).await;
            guard.ended(started.elapsed(), survey_failure(&survey));
            Seen::Survey(Box::new(survey))
        }
        Target::Canary(host) => {
            let guard = telemetry.probe_started(ProbeKind::Canary);
            let seen = eyes.canary(host).await;
            let reached = seen.iter().any(AddressObservation::connected);
            guard.ended(started.elapsed(), (!reached).then_some("other"));
            Seen::Canary(host.clone(), seen)
        }
    };
    (started, seen)
}

fn domain_failure(observation: &DomainObservation) -> Option<&'static str> {
    let answered =
        observation.mx.answered() && observation.sts_record.answered() && observation.tlsrpt_record.answered();
    let announced = !observation.sts_record.records().is_empty();
    let usable = || discovered_policy(observation, observation.started_at).is_some();
    match (answered, announced) {
        (false, _) => Some("dns-error"),
        (true, true) if !usable() => Some("sts-policy-fetch-error"),
        _ => None,
    }
}

fn survey_failure(survey: &TlsSurvey) -> Option<&'static str> {
    let failed = survey.handshakes().any(|handshake| matches!(handshake, Handshake::Failed(_)));
    match survey.is_blank() {
        true => Some("other"),
        false => failed.then_some("validation-failure"),
    }
}

fn address_failure(observation: &AddressObservation) -> Option<&'static str> {
    match &observation.outcome {
        SmtpOutcome::Done => None,
        SmtpOutcome::ConnectFailed(ConnectFailure::Refused) => Some("connect-refused"),
        SmtpOutcome::ConnectFailed(ConnectFailure::Timeout) | SmtpOutcome::Timeout(_) => Some("timeout"),
        SmtpOutcome::ConnectFailed(_) => Some("other"),
        SmtpOutcome::Rejected { .. } | SmtpOutcome::ProtocolError { .. } => Some("smtp-error"),
        SmtpOutcome::StarttlsNotOffered | SmtpOutcome::StarttlsRefused { .. } => Some("starttls-not-supported"),
        SmtpOutcome::HandshakeFailed(_) => Some("validation-failure"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        facts::{
            AddressLookup, Asked, FetchTimes, Lookup, LookupOutcome, Phase, PhaseTimes, PolicyFetch, Security,
            TlsVersion,
        },
        protocol::tls::{Roots, chain_facts},
    };

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);
    const LEAF: &[u8] = include_bytes!("../../tests/data/certificates/chain/leaf.der");

    fn seen(outcome: SmtpOutcome) -> Seen {
        with_tls(outcome, None)
    }

    fn with_tls(outcome: SmtpOutcome, tls: Option<TlsFacts>) -> Seen {
        Seen::Address(Box::new(AddressObservation {
            host: "mx.example.com".parse().unwrap(),
            address: "192.0.2.1".parse().unwrap(),
            at: NOW,
            duration: Duration::from_millis(5),
            times: PhaseTimes::default(),
            outcome,
            banner: None,
            capabilities: None,
            tls,
            cleartext_after_starttls: false,
            said: Vec::new(),
        }))
    }

    /// A certificate with this much left.
    fn ending(left: Duration) -> TlsFacts {
        let mut chain = chain_facts(&[LEAF], &Roots::default(), NOW).unwrap();
        chain.leaf.not_after = NOW + left;
        TlsFacts {
            version: TlsVersion::Tls13,
            cipher: "TLS_AES_256_GCM_SHA384".into(),
            chain: Arc::new(chain),
            completed: true,
        }
    }

    fn nothing_there<T>() -> Lookup<T> {
        Lookup {
            name: "example.com".into(),
            at: NOW,
            outcome: LookupOutcome::NoData,
            cname: Vec::new(),
            security: Security::Insecure,
            signatures: None,
            message_bytes: 0,
            extended_errors: Vec::new(),
            asked: Asked::default(),
        }
    }

    /// A domain that announces no policy: nothing of it fails, whatever its policy hosts present.
    fn with_policy_hosts(tls: Vec<TlsFacts>) -> Seen {
        let fetch = |tls| PolicyFetch {
            address: "192.0.2.2".parse().unwrap(),
            at: NOW,
            times: FetchTimes::default(),
            tls: Some(tls),
            response: None,
            failure: None,
        };
        let observation = DomainObservation {
            domain: "example.com".parse().unwrap(),
            started_at: NOW,
            duration: Duration::from_millis(5),
            sts_record: nothing_there(),
            tlsrpt_record: nothing_there(),
            mx: nothing_there(),
            implicit: None,
            policy: PolicyHostObservation {
                host: "mta-sts.example.com".into(),
                addresses: AddressLookup { ip4: Some(nothing_there()), ip6: None },
                resolve: Duration::ZERO,
                fetches: tls.into_iter().map(fetch).collect(),
                skipped: 0,
            },
            rua: Vec::new(),
            resolver_healthy: true,
            dnssec_healthy: true,
        };
        Seen::Domain(Box::new((observation, (Vec::new(), 0))))
    }

    /// RFC 5321 §4.2.1: 4yz is for now, 5yz for good.
    #[test]
    fn only_4xx_asks_for_patience() {
        for code in [421, 450, 451, 454] {
            let rejected = |phase| SmtpOutcome::Rejected { phase, code, text: "later".into() };
            let refused = SmtpOutcome::StarttlsRefused { code, text: "later".into() };
            for outcome in [rejected(Phase::Banner), rejected(Phase::Ehlo), refused] {
                assert_eq!(seen(outcome).answer(), Answer::NotNow);
            }
        }
        let for_good = SmtpOutcome::Rejected { phase: Phase::Banner, code: 554, text: "no".into() };
        assert_eq!(seen(for_good).answer(), Answer::None);
        assert_eq!(seen(SmtpOutcome::ConnectFailed(ConnectFailure::Timeout)).answer(), Answer::None);
        assert_eq!(seen(SmtpOutcome::Done).answer(), Answer::Served);
        assert_eq!(Seen::Nothing.answer(), Answer::None);
    }

    #[test]
    fn what_fails_is_pressing() {
        assert_eq!(seen(SmtpOutcome::Done).urgency(), Urgency::Routine);
        assert_eq!(seen(SmtpOutcome::StarttlsNotOffered).urgency(), Urgency::Pressing);
        assert_eq!(Seen::Nothing.urgency(), Urgency::Routine);
    }

    #[test]
    fn what_is_near_its_end_is_pressing() {
        let within = || ending(NEAR_END - Duration::from_secs(1));
        let beyond = || ending(NEAR_END + Duration::from_secs(1));
        let host = |tls| with_tls(SmtpOutcome::Done, Some(tls));
        assert_eq!(host(within()).urgency(), Urgency::Pressing);
        assert_eq!(host(beyond()).urgency(), Urgency::Routine);
        // One address of the policy host is enough, whichever it is.
        assert_eq!(with_policy_hosts(vec![beyond(), within()]).urgency(), Urgency::Pressing);
        assert_eq!(with_policy_hosts(vec![beyond(), beyond()]).urgency(), Urgency::Routine);
        for seen in [host(within()), with_policy_hosts(vec![within()])] {
            assert!(!seen.fails(), "the end alone makes it pressing");
        }
    }
}
