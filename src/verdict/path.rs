//! One address of a mail host, apart from any domain: can it be reached, and what did it present?

use std::{net::IpAddr, sync::Arc, time::Duration};

use super::{AddressHistory, CertificateAssessment, HostDane, PathAssessment, Reach, StarttlsState, history::Contact};
use crate::{
    facts::{AddressObservation, ChainFacts, ConnectFailure, Family, Phase, SmtpOutcome, TlsSurvey, Vantage},
    protocol::tls::names_match,
    terms::Timestamp,
};

/// The shortest time for which a last outcome stands while an address cannot be told: two hours outlast a greylisting or a
/// short block, and a day would hide a fault.
const LAST_OUTCOME_STANDS: Duration = Duration::from_secs(2 * 3600);
/// … and never for less than this many probes of the address.
const LAST_OUTCOME_PROBES: u32 = 3;

/// That this side is cut off is known once hosts in several networks have failed, each probed once an interval: until then the first of
/// them count as down.
const CUT_OFF_UNNOTICED_PROBES: u32 = 2;

/// What the reachability of a path depends on beside its own probes.
#[derive(Clone, Copy, Debug)]
pub struct PathContext<'a> {
    /// The TLSA records of the host.
    pub dane: &'a HostDane,
    /// What this side could see.
    pub vantage: &'a Vantage,
    /// There is no history and there will be none (`check`): what was seen counts at once.
    pub once: bool,
    /// The interval at which addresses are probed.
    pub mx_interval: Duration,
}

/// Judges one address by its latest probe and by what was seen before; `history` holds that probe already.
pub fn assess_path(
    address: IpAddr,
    latest: Option<&Arc<AddressObservation>>,
    survey: Option<&Arc<TlsSurvey>>,
    history: Option<&AddressHistory>,
    context: PathContext<'_>,
    now: Timestamp,
) -> PathAssessment {
    let reach = match latest {
        Some(latest) => reach(latest, history, context, now),
        None => last_known(history, false, context, now),
    };
    let judged = match (reach, latest) {
        (Reach::Up, Some(latest)) if Contact::of(latest) == Contact::Up => Some(Arc::clone(latest)),
        (Reach::Up, _) => history.and_then(|history| history.last_up.clone()),
        _ => None,
    };
    let certificate = judged.as_ref().and_then(|seen| {
        let tls = seen.tls.as_ref()?;
        Some(assess_certificate(&tls.chain, seen.host.as_str(), now))
    });
    let mut path = PathAssessment {
        dane: judged.as_ref().and_then(|seen| context.dane.compare(seen, survey.map(|survey| &**survey), &[], now)),
        dane_valid: None,
        survey: survey.cloned(),
        address,
        starttls: latest.and_then(|latest| starttls_state(latest)),
        result_type: latest
            .filter(|latest| !is_own_side(latest, context.vantage))
            .and_then(|latest| result_type(latest, certificate.as_ref(), now)),
        consecutive_failures: history.map_or(0, |history| history.failures_in_a_row),
        last_success_at: history.and_then(|history| history.last_success_at),
        another_answered: another_answered(address, history, context),
        latest: latest.cloned(),
        reach,
        judged,
        certificate,
    };
    path.dane_valid = context.dane.holds(&path);
    path
}

/// Chain, name and dates, each apart.
pub(crate) fn assess_certificate(chain: &Arc<ChainFacts>, host: &str, now: Timestamp) -> CertificateAssessment {
    CertificateAssessment {
        chain_valid: chain.path.is_trusted(),
        name_match: names_match(&chain.leaf.names, host),
        in_dates: chain.leaf.not_before <= now && now <= chain.leaf.not_after,
        chain: Arc::clone(chain),
    }
}

fn reach(
    latest: &AddressObservation,
    history: Option<&AddressHistory>,
    context: PathContext<'_>,
    now: Timestamp,
) -> Reach {
    let in_a_row = history.map_or(0, |history| history.unreachable_in_a_row);
    let own_side = is_own_side(latest, context.vantage);
    let down = match Contact::of(latest) {
        Contact::Up => return Reach::Up,
        Contact::Private => return Reach::Down,
        Contact::Broken => context.once || in_a_row >= super::history::BROKEN_IN_A_ROW,
        Contact::TimedOut => {
            another_answered(latest.address, history, context)
                && (context.once || in_a_row >= super::history::TIMEOUTS_IN_A_ROW)
        }
        Contact::Rejected | Contact::OwnSide => false,
    };
    if down && !own_side { Reach::Down } else { last_known(history, own_side, context, now) }
}

/// Whether another mail host answered over the same family meanwhile: in the same run, or since the failures began. What
/// answered before may be cut off as well by now.
fn another_answered(address: IpAddr, history: Option<&AddressHistory>, context: PathContext<'_>) -> bool {
    let failing_since = history.and_then(|history| history.unreachable_since);
    let since = failing_since.filter(|_| !context.once).unwrap_or_default();
    context.vantage.another_answered(address, since)
}

/// Whether a failure may be this side's: there is no route, port 25 is shut off here, or the canaries fail as well.
///
/// A port that is shut off here swallows packets or says unreachable, also in the middle of a dialogue that was under way; a refused
/// or reset connection came from the peer, unless the canaries are refused too.
pub(crate) fn is_own_side(observation: &AddressObservation, vantage: &Vantage) -> bool {
    let route = vantage.reaches(Family::of(observation.address));
    match &observation.outcome {
        SmtpOutcome::ConnectFailed(ConnectFailure::PrivateAddress) => false,
        SmtpOutcome::ConnectFailed(ConnectFailure::Refused | ConnectFailure::Reset) => vantage.canaries_failing,
        SmtpOutcome::ConnectFailed(failure) => {
            failure.is_own_side() || !route || vantage.smtp_blocked || vantage.canaries_failing
        }
        SmtpOutcome::Timeout(_) => !route || vantage.smtp_blocked || vantage.canaries_failing,
        _ => false,
    }
}

/// What was known last, as long as it stands. `own_side`: the latest probe failed on this side.
fn last_known(history: Option<&AddressHistory>, own_side: bool, context: PathContext<'_>, now: Timestamp) -> Reach {
    let stands = LAST_OUTCOME_STANDS.max(context.mx_interval.saturating_mul(LAST_OUTCOME_PROBES));
    let Some(history) = history else { return Reach::CannotTell };
    let up = history.last_up.as_ref().map(|seen| (seen.at, Reach::Up));
    // What began to fail shortly before this side was seen to be cut off was cut off like the others.
    let unnoticed = context.mx_interval.saturating_mul(CUT_OFF_UNNOTICED_PROBES);
    let cut_off =
        |down: Timestamp| own_side && history.unreachable_since.is_some_and(|since| down.since(since) <= unnoticed);
    let down = history.last_down_at.filter(|down| !cut_off(*down)).map(|at| (at, Reach::Down));
    match up.into_iter().chain(down).max_by_key(|(at, _)| *at) {
        Some((at, reach)) if now.since(at) <= stands => reach,
        _ => Reach::CannotTell,
    }
}

fn starttls_state(latest: &AddressObservation) -> Option<StarttlsState> {
    Some(match &latest.outcome {
        _ if latest.tls.is_some() => StarttlsState::Ok,
        SmtpOutcome::Done => StarttlsState::Ok,
        SmtpOutcome::StarttlsNotOffered => StarttlsState::NotOffered,
        SmtpOutcome::StarttlsRefused { .. } => StarttlsState::Refused,
        SmtpOutcome::HandshakeFailed(_) => StarttlsState::Failed,
        SmtpOutcome::ProtocolError { .. } => StarttlsState::ProtocolError,
        SmtpOutcome::Timeout(Phase::Connect) | SmtpOutcome::ConnectFailed(_) | SmtpOutcome::Rejected { .. } => {
            StarttlsState::NotReached
        }
        SmtpOutcome::Timeout(_) => StarttlsState::Timeout,
    })
}

/// The word for the present failure: what a sender that applies MTA-STS would report (RFC 8460 §4.3), or what metrics add.
fn result_type(
    latest: &AddressObservation,
    certificate: Option<&CertificateAssessment>,
    now: Timestamp,
) -> Option<&'static str> {
    match &latest.outcome {
        SmtpOutcome::Done => certificate.and_then(|certificate| certificate_result_type(certificate, now)),
        // Other senders can finish the handshake, unless all that is offered is withdrawn.
        SmtpOutcome::HandshakeFailed(_) if latest.tls.as_ref().is_some_and(|tls| !tls.version.is_obsolete()) => {
            certificate.and_then(|certificate| certificate_result_type(certificate, now))
        }
        SmtpOutcome::ConnectFailed(ConnectFailure::Refused) => Some("connect-refused"),
        SmtpOutcome::ConnectFailed(ConnectFailure::Timeout) | SmtpOutcome::Timeout(_) => Some("timeout"),
        SmtpOutcome::ConnectFailed(failure) if failure.is_own_side() => None,
        SmtpOutcome::ConnectFailed(_) => Some("other"),
        SmtpOutcome::Rejected { .. } | SmtpOutcome::ProtocolError { .. } => Some("smtp-error"),
        SmtpOutcome::StarttlsNotOffered | SmtpOutcome::StarttlsRefused { .. } => Some("starttls-not-supported"),
        SmtpOutcome::HandshakeFailed(_) => Some("validation-failure"),
    }
}

fn certificate_result_type(certificate: &CertificateAssessment, now: Timestamp) -> Option<&'static str> {
    if !certificate.in_dates {
        let expired = certificate.chain.leaf.not_after < now;
        Some(if expired { "certificate-expired" } else { "certificate-not-trusted" })
    } else if !certificate.name_match {
        Some("certificate-host-mismatch")
    } else if !certificate.chain_valid {
        Some("certificate-not-trusted")
    } else {
        None
    }
}
