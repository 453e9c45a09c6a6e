//! Findings on the policy host and the policy.

use std::time::Duration;

use smtptls_exporter::{
    facts::{ConnectFailure, FetchFailure, FetchPhase, LookupOutcome, PathToRoot, TlsFailure},
    verdict::Code,
};

use super::{
    case::{DAY, MINUTE, World, certificate, ending, expired, failed, lookup, not_yet_valid, policy_body, untrusted},
    codes::Pair,
};

const HOST: &str = "mta-sts.example.com";

fn connect(world: World, failure: ConnectFailure) -> World {
    world.fetch_fails(&FetchFailure::Connect(failure))
}

fn takes(world: World, time: Duration) -> World {
    world.fetched(|fetch| fetch.times.processing = Some(time))
}

fn named(world: World, name: &str) -> World {
    world.policy_chain(&certificate(&[name]))
}

fn ends_in(world: World, left: Duration) -> World {
    world.policy_chain(&ending(certificate(&[HOST]), left, 90 * DAY))
}

fn media_type(world: World, text: &str) -> World {
    world.answer(|response| response.content_type = Some(text.into()))
}

/// Serves the policy, whatever the context serves, with this line added.
fn line(world: World, line: &str) -> World {
    world.status(200).edit("max_age", &format!("{line}\nmax_age"))
}

fn max_age(world: World, seconds: u64) -> World {
    world.status(200).edit("604800", &seconds.to_string())
}

fn mode(world: World, mode: &str) -> World {
    world.status(200).body(&policy_body(mode, &["mx1.example.com"]))
}

/// One address works, where the context lets it, and another one does not.
fn one_fails(world: World) -> World {
    world.policy_address("192.0.2.81").with(|world| {
        let fetch = &mut world.domain.policy.fetches[1];
        fetch.response = None;
        fetch.failure = Some(FetchFailure::Connect(ConnectFailure::Refused));
    })
}

/// The second address of the policy host serves something else.
fn second_serves(world: World, change: fn(String) -> String) -> World {
    world.policy_address("192.0.2.81").with(|world| {
        let response = world.domain.policy.fetches[1].response.as_mut().unwrap();
        response.body = change(response.body.to_text()).as_str().into();
    })
}

pub(crate) const PAIRS: &[Pair] = &[
    Pair {
        code: Code::StsPolicyUnused,
        severity: "WW--",
        raised: World::no_record,
        near: |world| world.no_record().no_policy_host(),
    },
    Pair {
        code: Code::StsPolicyHostUnresolvable,
        severity: "EWIE",
        raised: World::no_policy_host,
        near: |world| {
            world.no_policy_host().with(|world| {
                world.domain.policy.addresses.ip4 = Some(failed(HOST));
                world.domain.policy.addresses.ip6 = Some(lookup(HOST, LookupOutcome::NoData));
            })
        },
    },
    Pair {
        code: Code::StsPolicyConnectFailed,
        severity: "EWIE",
        raised: |world| connect(world, ConnectFailure::Refused),
        near: |world| connect(world, ConnectFailure::NoRoute),
    },
    Pair {
        code: Code::StsPolicyAddressFailed,
        severity: "WWW-",
        raised: one_fails,
        near: |world| connect(one_fails(world), ConnectFailure::Refused),
    },
    Pair {
        code: Code::StsPolicyAddressPrivate,
        severity: "EEEE",
        raised: |world| connect(world, ConnectFailure::PrivateAddress),
        near: |world| connect(world, ConnectFailure::HostUnreachable),
    },
    Pair {
        code: Code::StsPolicyTimeout,
        severity: "EWIE",
        raised: |world| world.fetch_fails(&FetchFailure::Timeout(FetchPhase::Processing)),
        near: |world| takes(world, 29 * Duration::from_secs(1)),
    },
    Pair {
        code: Code::StsPolicySlow,
        severity: "WWW-",
        raised: |world| takes(world, Duration::from_millis(5001)),
        near: |world| takes(world, Duration::from_millis(4990)),
    },
    Pair {
        code: Code::StsPolicyTlsFailed,
        severity: "EWIE",
        raised: |world| world.fetch_fails(&FetchFailure::Tls(TlsFailure::Alert("internal_error".to_owned()))),
        near: |world| world.policy_chain(&expired(certificate(&[HOST]))),
    },
    Pair {
        code: Code::StsPolicyCertificateExpired,
        severity: "EWIE",
        raised: |world| world.policy_chain(&expired(certificate(&[HOST]))),
        near: |world| ends_in(world, 20 * MINUTE),
    },
    Pair {
        code: Code::StsPolicyCertificateNotYetValid,
        severity: "EWIE",
        raised: |world| world.policy_chain(&not_yet_valid(certificate(&[HOST]))),
        near: |world| ends_in(world, 90 * DAY),
    },
    Pair {
        code: Code::StsPolicyCertificateUntrusted,
        severity: "EWIE",
        raised: |world| world.policy_chain(&untrusted(certificate(&[HOST]), PathToRoot::MissingIntermediate)),
        near: |world| world.policy_chain(&expired(certificate(&[HOST]))),
    },
    Pair {
        code: Code::StsPolicyCertificateNameMismatch,
        severity: "EWIE",
        raised: |world| named(world, "www.example.com"),
        near: |world| named(world, "*.example.com"),
    },
    Pair {
        code: Code::StsPolicyCertificateExpiring,
        severity: "WWWW",
        raised: |world| ends_in(world, 22 * DAY),
        near: |world| ends_in(world, 23 * DAY),
    },
    Pair {
        code: Code::StsPolicyHttpStatus,
        severity: "EWIE",
        raised: |world| world.status(503),
        near: |world| world.status(301),
    },
    Pair {
        code: Code::StsPolicyRedirect,
        severity: "EWIE",
        raised: |world| {
            world.status(301).answer(|response| response.location = Some("https://www.example.com/".into()))
        },
        near: |world| world.status(304),
    },
    Pair {
        code: Code::StsPolicyMediaType,
        severity: "EWIE",
        raised: |world| media_type(world.status(200), "text/html"),
        near: |world| media_type(world.status(200), "text/plain; charset=utf-8"),
    },
    Pair {
        code: Code::StsPolicyTooLarge,
        severity: "EWIE",
        raised: |world| world.fetch_fails(&FetchFailure::TooLarge),
        near: |world| line(world, &format!("filler: {}", "x".repeat(60_000))),
    },
    Pair {
        code: Code::StsPolicyInvalid,
        severity: "EWIE",
        raised: |world| world.status(200).edit("STSv1", "STSv2"),
        near: |world| line(world, "Mode: enforce"),
    },
    Pair {
        code: Code::StsPolicyLenient,
        severity: "WWWW",
        raised: |world| world.status(200).edit("604800\n", "604800\n\n"),
        near: |world| world.status(200).edit("604800\n", "604800"),
    },
    Pair {
        code: Code::StsPolicyNote,
        severity: "IIII",
        raised: |world| line(world, "x-note: 1"),
        near: |world| world.status(200).edit("STSv1", "STSv2"),
    },
    Pair {
        code: Code::StsPolicyMaxAgeShort,
        severity: "WW-W",
        raised: |world| max_age(world, 86_399),
        near: |world| max_age(world, 86_400),
    },
    Pair {
        code: Code::StsPolicyMaxAgeExcessive,
        severity: "EWIE",
        raised: |world| max_age(world, 31_557_601),
        near: |world| max_age(world, 31_557_600),
    },
    Pair {
        code: Code::StsPolicyMxImpossible,
        severity: "EEEE",
        raised: |world| line(world, "mx: 192.0.2.1"),
        near: |world| line(world, "mx: 192.0.2.1.example.com"),
    },
    Pair {
        code: Code::StsPolicyMxSingleLabel,
        severity: "WWWW",
        raised: |world| line(world, "mx: localhost"),
        near: |world| line(world, "mx: localhost.example.com"),
    },
    Pair {
        code: Code::StsPolicyModeNone,
        severity: "IIII",
        raised: |world| mode(world, "none"),
        near: |world| mode(world, "testing"),
    },
    Pair {
        code: Code::StsPolicyModeTesting,
        severity: "IIII",
        raised: |world| mode(world, "testing"),
        near: |world| mode(world, "enforce"),
    },
    Pair {
        code: Code::StsPolicyWildcardWide,
        severity: "EEEE",
        raised: |world| line(world, "mx: *.com"),
        // What a mail provider documents for its customers is not for anybody.
        near: |world| line(world, "mx: *.mail.protection.outlook.com"),
    },
    Pair {
        code: Code::StsPolicyDiverges,
        severity: "WWWW",
        raised: |world| second_serves(world.status(200), |body| body.replace("604800", "604801")),
        // Compared by meaning, not by bytes.
        near: |world| {
            second_serves(world.status(200), |body| {
                format!("{}x-unknown: 1\r\n", body.replace("mx1.example.com", "MX1.EXAMPLE.com").replace('\n', "\r\n"))
            })
        },
    },
];
