//! Findings on mail hosts, their addresses and certificates, and on this side.

use std::time::Duration;

use smtptls_exporter::{
    facts::{ConnectFailure, PathToRoot, Phase, ProtocolFault, SmtpOutcome, TlsFailure},
    verdict::Code,
};

use super::{
    case::{
        A1, A2, DAY, DOMAIN, MINUTE, MX1, MX2, World, certificate, ending, expired, failed, not_yet_valid, untrusted,
    },
    codes::Pair,
};

fn connect(world: World, failure: ConnectFailure) -> World {
    world.smtp(A1, SmtpOutcome::ConnectFailed(failure))
}

fn cname(world: World, name: &str) -> World {
    world.host_lookup(name, |seen| {
        seen.addresses.ip4.iter_mut().for_each(|lookup| lookup.cname = vec!["mail.provider.example".to_owned()]);
    })
}

fn named(world: World, name: &str) -> World {
    world.chain(A1, |_| certificate(&[name]))
}

fn ends_in(world: World, left: Duration) -> World {
    world.chain(A1, |chain| ending(chain, left, 90 * DAY))
}

fn rejected(world: World) -> World {
    world.smtp(A1, SmtpOutcome::Rejected { phase: Phase::Banner, code: 554, text: "5.7.1 go away".into() })
}

fn refused(world: World) -> World {
    world.smtp(A1, SmtpOutcome::StarttlsRefused { code: 454, text: "4.7.0 TLS not available".into() })
}

fn handshake(world: World) -> World {
    world.smtp(A1, SmtpOutcome::HandshakeFailed(TlsFailure::Alert("handshake_failure".to_owned())))
}

pub(crate) const PAIRS: &[Pair] = &[
    Pair {
        code: Code::MxCname,
        severity: "WWWW",
        raised: |world| cname(world, MX1),
        near: |world| cname(world.implicit(&["192.0.2.3"]), DOMAIN),
    },
    Pair {
        code: Code::MxUnresolvable,
        severity: "WWWW",
        raised: |world| world.mx(MX2, &[]),
        near: |world| world.mx(MX2, &[]).host_lookup(MX2, |seen| seen.addresses.ip4 = Some(failed(MX2))),
    },
    Pair {
        code: Code::MxAddressesSkipped,
        severity: "IIII",
        raised: |world| world.with(|world| world.hosts.values_mut().for_each(|facts| facts.skipped = 1)),
        near: |world| world.mx(MX2, &[A2]),
    },
    Pair {
        code: Code::MxAddressPrivate,
        severity: "EEEE",
        raised: |world| connect(world, ConnectFailure::PrivateAddress),
        near: |world| connect(world, ConnectFailure::HostUnreachable),
    },
    Pair {
        code: Code::MxNotInPolicy,
        severity: "EWI-",
        raised: |world| world.mx(MX2, &[A2]),
        near: |world| world.edit(MX1, "*.example.com").mx(MX2, &[A2]),
    },
    Pair {
        code: Code::PolicyMxUnused,
        severity: "II-I",
        raised: |world| world.status(200).edit("max_age", "mx: old.example.com\nmax_age"),
        near: |world| world.status(200).edit("max_age", "mx: *.example.com\nmax_age"),
    },
    Pair {
        code: Code::SmtpConnectFailed,
        severity: "WWWW",
        raised: |world| connect(world, ConnectFailure::Refused),
        near: |world| connect(world, ConnectFailure::NoRoute),
    },
    Pair {
        code: Code::SmtpTimeout,
        severity: "WWWW",
        raised: |world| world.smtp(A1, SmtpOutcome::Timeout(Phase::Ehlo)),
        near: rejected,
    },
    Pair { code: Code::SmtpRejected, severity: "WWWW", raised: rejected, near: refused },
    Pair {
        code: Code::SmtpProtocolError,
        severity: "WWWW",
        raised: |world| {
            let fault = ProtocolFault::NoReply("SSH-2.0-OpenSSH_9.2".to_owned());
            world.smtp(A1, SmtpOutcome::ProtocolError { phase: Phase::Banner, fault })
        },
        near: handshake,
    },
    Pair {
        code: Code::StarttlsNotOffered,
        severity: "EWWW",
        raised: |world| world.smtp(A1, SmtpOutcome::StarttlsNotOffered),
        near: refused,
    },
    Pair { code: Code::StarttlsRefused, severity: "EWWW", raised: refused, near: rejected },
    Pair {
        code: Code::StarttlsInjection,
        severity: "EEEE",
        raised: |world| world.at(A1, |probe| probe.cleartext_after_starttls = true),
        near: |world| world.smtp(A1, SmtpOutcome::StarttlsNotOffered),
    },
    Pair {
        code: Code::TlsHandshakeFailed,
        severity: "EWWW",
        raised: handshake,
        near: |world| world.chain(A1, expired),
    },
    Pair {
        code: Code::CertificateExpired,
        severity: "EWWW",
        raised: |world| world.chain(A1, expired),
        near: |world| ends_in(world, 20 * MINUTE),
    },
    Pair {
        code: Code::CertificateNotYetValid,
        severity: "EWWW",
        raised: |world| world.chain(A1, not_yet_valid),
        near: |world| ends_in(world, 90 * DAY),
    },
    Pair {
        code: Code::CertificateNameMismatch,
        severity: "EWII",
        raised: |world| named(world, DOMAIN),
        near: |world| named(world, "*.EXAMPLE.com"),
    },
    Pair {
        code: Code::CertificateUntrusted,
        severity: "EWII",
        raised: |world| world.chain(A1, |chain| untrusted(chain, PathToRoot::SelfSigned)),
        near: |world| world.chain(A1, expired),
    },
    Pair {
        code: Code::CertificateExpiring,
        severity: "WWWW",
        raised: |world| ends_in(world, 22 * DAY),
        near: |world| ends_in(world, 23 * DAY),
    },
    Pair {
        code: Code::VantageLimited,
        severity: "IIII",
        raised: |world| connect(world, ConnectFailure::NoRoute),
        near: |world| connect(world, ConnectFailure::Refused),
    },
];
