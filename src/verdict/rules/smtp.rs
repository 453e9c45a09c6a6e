//! SMTP and STARTTLS on every address.

use super::{
    Raised, refusal_words,
    whose::{for_host, for_refused},
};
use crate::{
    facts::{ConnectFailure, Family, Phase, SmtpOutcome},
    terms::{MxHost, Octets},
    verdict::{Code, PathAssessment, Severity, Subject, case::Case, path::is_own_side},
};

pub(super) fn rules(case: &Case<'_>, raised: &mut Raised, all_down: bool) {
    let down = if all_down { Severity::Error } else { Severity::Warning };
    for mx in case.mx() {
        let Some(host) = &mx.host else { continue };
        for address in &mx.addresses {
            contact(case, raised, host, &address.path, down);
            starttls(case, raised, host, &address.path);
        }
    }
}

/// What the latest probe met before STARTTLS, and where it broke off.
fn contact(case: &Case<'_>, raised: &mut Raised, host: &MxHost, path: &PathAssessment, down: Severity) {
    let Some(latest) = &path.latest else { return };
    if is_own_side(latest, case.context.vantage) {
        return;
    }
    let subject = Subject::MxAddress(host.clone(), path.address);
    let place = format!("{host} [{}]", path.address);
    let times = match path.consecutive_failures {
        0 | 1 => String::new(),
        times => format!(", {times} times in a row"),
    };
    match &latest.outcome {
        SmtpOutcome::ConnectFailed(ConnectFailure::PrivateAddress) => {}
        SmtpOutcome::ConnectFailed(ConnectFailure::Timeout) => {
            timed_out(case, raised, host, path, &place, Phase::Connect, &times, down);
        }
        SmtpOutcome::ConnectFailed(failure) => raised.raise_as(
            case,
            Code::SmtpConnectFailed,
            down,
            subject,
            format!("Port 25 of {place} cannot be used: {failure}{times}."),
            for_host(case, host.as_str(),
                "Start the mail server on this address and open port 25, or take the address out of the DNS."),
        ),
        SmtpOutcome::Timeout(phase) => timed_out(case, raised, host, path, &place, *phase, &times, down),
        SmtpOutcome::Rejected { phase, code, text } => raised.raise(
            case,
            Code::SmtpRejected,
            subject,
            format!(
                "{place} turned this monitor away at {} with \"{}\". Other senders may be welcome; what the address does is \
                 not judged meanwhile.",
                phase_words(*phase),
                reply_words(*code, text)
            ),
            match case.is_own(host.as_str()) {
                true => "Let the mail server accept this monitor's address, and give the monitor a host name with matching \
                         forward and reverse DNS (probe.helo_name)."
                    .to_owned(),
                false => format!(
                    "Give the monitor a host name with matching forward and reverse DNS (probe.helo_name), and run it at an \
                     address that is on no block list. Whom {host} lets in is for your provider to say."
                ),
            },
        ),
        SmtpOutcome::ProtocolError { phase, fault } => raised.raise_as(
            case,
            Code::SmtpProtocolError,
            down,
            subject,
            format!("{place} broke the SMTP protocol at {}: {fault}{times}.", phase_words(*phase)),
            for_host(case, host.as_str(),
                "See what answers on port 25 of this address: another service, or a filter in front of the mail server."),
        ),
        SmtpOutcome::Done
        | SmtpOutcome::StarttlsNotOffered
        | SmtpOutcome::StarttlsRefused { .. }
        | SmtpOutcome::HandshakeFailed(_) => {}
    }
}

#[expect(clippy::too_many_arguments, reason = "two outcomes share this one sentence")]
fn timed_out(
    case: &Case<'_>,
    raised: &mut Raised,
    host: &MxHost,
    path: &PathAssessment,
    place: &str,
    phase: Phase,
    times: &str,
    down: Severity,
) {
    // Not proof enough to count against the host, and this side has to be suspected first.
    let family = Family::of(path.address);
    let alone = match path.another_answered {
        true => String::new(),
        false => format!(" No other mail host answered over {family} either, so the fault may lie on this side."),
    };
    raised.raise_as(
        case,
        Code::SmtpTimeout,
        down,
        Subject::MxAddress(host.clone(), path.address),
        format!("{place} made no progress in time at {}{times}.{alone}", phase_words(phase)),
        for_host(
            case,
            host.as_str(),
            "Look for a firewall that drops packets, an overloaded server, or a greeting delay that is too long.",
        ),
    );
}

/// What the last SMTP dialogue said of TLS.
fn starttls(case: &Case<'_>, raised: &mut Raised, host: &MxHost, path: &PathAssessment) {
    let Some(judged) = &path.judged else { return };
    let subject = || Subject::MxAddress(host.clone(), path.address);
    let place = format!("{host} [{}]", path.address);
    match &judged.outcome {
        SmtpOutcome::StarttlsNotOffered => raised.raise(
            case,
            Code::StarttlsNotOffered,
            subject(),
            format!("{place} does not offer STARTTLS: mail to it travels in clear, and {}.", refusal_words(case, host.as_str())),
            for_refused(case, host.as_str(),
                "Switch TLS on in the mail server (Postfix: smtpd_tls_security_level = may, with a certificate); look for a firewall that strips it."),
        ),
        SmtpOutcome::StarttlsRefused { code, text } => raised.raise(
            case,
            Code::StarttlsRefused,
            subject(),
            format!("{place} offers STARTTLS and refuses it with \"{}\": {}.", reply_words(*code, text), refusal_words(case, host.as_str())),
            for_refused(case, host.as_str(),
                "See the log of the mail server: most often it cannot read its certificate or key."),
        ),
        // What was read of it all the same is judged for itself.
        SmtpOutcome::HandshakeFailed(_) if judged.tls.is_some() => {}
        SmtpOutcome::HandshakeFailed(failure) => raised.raise(
            case,
            Code::TlsHandshakeFailed,
            subject(),
            format!("The TLS handshake with {place} failed: {failure}. As it is, {}.", refusal_words(case, host.as_str())),
            for_refused(case, host.as_str(),
                "Offer TLS 1.2 and 1.3 with current cipher suites, and check key and certificate files."),
        ),
        _ => {}
    }
    if judged.cleartext_after_starttls {
        raised.raise(
            case,
            Code::StarttlsInjection,
            subject(),
            format!("{place} sent clear text after its 220 to STARTTLS: what an attacker injects there is taken for protected."),
            for_host(case, host.as_str(),
                "Update the mail server (CVE-2011-0411 and its like), or see what stands between it and the network."),
        );
    }
}

/// A reply as the server sent it, fit to stand in quotes.
fn reply_words(code: u16, text: &Octets) -> String {
    format!("{code} {text}").trim_end().to_owned()
}

const fn phase_words(phase: Phase) -> &'static str {
    match phase {
        Phase::Connect => "connecting (connect)",
        Phase::Banner => "its greeting (banner)",
        Phase::Ehlo => "its answer to EHLO (ehlo)",
        Phase::Starttls => "its answer to STARTTLS (starttls)",
        Phase::Tls => "the TLS handshake (tls)",
        Phase::EhloTls => "EHLO inside TLS (ehlo-tls)",
    }
}
