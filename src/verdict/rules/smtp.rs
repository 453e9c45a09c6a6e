//! SMTP and STARTTLS on every address.

use super::{Raised, for_host};
use crate::{
    facts::{ConnectFailure, Phase, SmtpOutcome},
    terms::MxHost,
    verdict::{Code, PathAssessment, Severity, Subject, case::Case, path::is_own_side},
};

pub(super) fn rules(case: &Case<'_>, raised: &mut Raised, blocked: bool) {
    let down = if blocked { Severity::Error } else { Severity::Warning };
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
        times => format!(" ({times} probes in a row)"),
    };
    match &latest.outcome {
        SmtpOutcome::ConnectFailed(ConnectFailure::PrivateAddress) => {}
        SmtpOutcome::ConnectFailed(ConnectFailure::Timeout) => {
            timed_out(case, raised, host, subject, &place, Phase::Connect, &times, down);
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
        SmtpOutcome::Timeout(phase) => timed_out(case, raised, host, subject, &place, *phase, &times, down),
        SmtpOutcome::Rejected { phase, code, text } => raised.raise(
            case,
            Code::SmtpRejected,
            subject,
            format!("{place} turned this monitor away at {}: {code} {text}", phase_words(*phase)),
            "Allow the monitor's address there, and give it a name with matching forward and reverse DNS (probe.helo_name). \
             TLS on this address is not judged meanwhile.",
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
    subject: Subject,
    place: &str,
    phase: Phase,
    times: &str,
    down: Severity,
) {
    raised.raise_as(
        case,
        Code::SmtpTimeout,
        down,
        subject,
        format!("{place} made no progress in time at {}{times}.", phase_words(phase)),
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
            format!("{place} does not offer STARTTLS: mail travels in clear, and enforcing senders do not deliver."),
            for_host(case, host.as_str(),
                "Switch TLS on in the mail server (Postfix: smtpd_tls_security_level = may, with a certificate); look for a firewall that strips it."),
        ),
        SmtpOutcome::StarttlsRefused { code, text } => raised.raise(
            case,
            Code::StarttlsRefused,
            subject(),
            format!("{place} offers STARTTLS and refuses it: {code} {text}"),
            for_host(case, host.as_str(),
                "See the log of the mail server: most often it cannot read its certificate or key."),
        ),
        SmtpOutcome::HandshakeFailed(failure) => raised.raise(
            case,
            Code::TlsHandshakeFailed,
            subject(),
            format!("The TLS handshake with {place} failed: {failure}."),
            for_host(case, host.as_str(),
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

const fn phase_words(phase: Phase) -> &'static str {
    match phase {
        Phase::Connect => "the connection (connect)",
        Phase::Banner => "its greeting (banner)",
        Phase::Ehlo => "EHLO (ehlo)",
        Phase::Starttls => "STARTTLS (starttls)",
        Phase::Tls => "the TLS handshake (tls)",
        Phase::EhloTls => "EHLO inside TLS (ehlo-tls)",
    }
}
