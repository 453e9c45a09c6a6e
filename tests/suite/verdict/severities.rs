//! How severe a finding is where DANE is in force beside a policy, or without one: the worst that applies.

use smtptls_exporter::{
    facts::{ChainFacts, PathToRoot, Security, SmtpOutcome, TlsFailure, TlsVersion},
    verdict::{Code, Severity, State},
};

use super::{
    case::{A1, A2, DAY, DOMAIN, MINUTE, MX1, MX2, Monitor, NOW, World, ending, expired, find, not_yet_valid},
    pairs_domain::no_tlsrpt,
    pairs_tls::only,
    signed::{issued, issuer, leaf, old_leaf, own, self_signed, trusted, untrusted},
};
use crate::dane::pki::{record, stranger};

const CONTEXTS: [&str; 4] = ["enforce", "testing", "none", "unknown"];

/// What a host does, and how bad it is in each context: with DANE-EE records that match, DANE-TA records that match, and records
/// of another key.
struct Row {
    code: Code,
    change: fn(World) -> World,
    without: &'static str,
    ee: &'static str,
    ta: &'static str,
    mismatch: &'static str,
}

fn presents(world: World, chain: fn() -> ChainFacts) -> World {
    world.chain(A1, |_| chain())
}

const ROWS: &[Row] = &[
    // {enforce: error, dane: error, testing: warning, none: warning}
    Row {
        code: Code::StarttlsNotOffered,
        change: |world| world.smtp(A1, SmtpOutcome::StarttlsNotOffered),
        without: "EWWW",
        ee: "EEEE",
        ta: "EEEE",
        mismatch: "EEEE",
    },
    Row {
        code: Code::StarttlsRefused,
        change: |world| world.smtp(A1, SmtpOutcome::StarttlsRefused { code: 454, text: "4.7.0 no".into() }),
        without: "EWWW",
        ee: "EEEE",
        ta: "EEEE",
        mismatch: "EEEE",
    },
    Row {
        code: Code::TlsHandshakeFailed,
        change: |world| world.smtp(A1, SmtpOutcome::HandshakeFailed(TlsFailure::Closed("reset".to_owned()))),
        without: "EWWW",
        ee: "EEEE",
        ta: "EEEE",
        mismatch: "EEEE",
    },
    Row {
        code: Code::TlsVersionObsolete,
        change: |world| only(world, TlsVersion::Tls10, "TLS_RSA_WITH_AES_128_CBC_SHA"),
        without: "EWWW",
        ee: "EEEE",
        ta: "EEEE",
        mismatch: "EEEE",
    },
    // {enforce: error, testing: warning, none: warning, dane_only: info}
    Row {
        code: Code::CertificateExpired,
        change: |world| world.chain(A1, expired),
        without: "EWWW",
        ee: "EWII",
        ta: "EWWW",
        mismatch: "EWWW",
    },
    Row {
        code: Code::CertificateNotYetValid,
        change: |world| world.chain(A1, not_yet_valid),
        without: "EWWW",
        ee: "EWII",
        ta: "EWWW",
        mismatch: "EWWW",
    },
    // {enforce: error, testing: warning, none: info, dane_only: info}
    Row {
        code: Code::CertificateNameMismatch,
        change: |world| presents(world, || renamed("other.example")),
        without: "EWII",
        ee: "EWII",
        ta: "EWII",
        mismatch: "EWII",
    },
    Row {
        code: Code::CertificateUntrusted,
        change: |world| presents(world, || untrusted(&[&leaf(MX1), &issuer()])),
        without: "EWII",
        ee: "EWII",
        ta: "EWII",
        mismatch: "EWII",
    },
    // {enforce: warning, testing: warning, none: warning, dane_only: info}
    Row {
        code: Code::CertificateExpiring,
        change: |world| world.chain(A1, |chain| ending(chain, 22 * DAY, 90 * DAY)),
        without: "WWWW",
        ee: "WWII",
        ta: "WWWW",
        mismatch: "WWWW",
    },
    // … and an error where expired would be one.
    Row {
        code: Code::CertificateExpiring,
        change: |world| world.chain(A1, |chain| ending(chain, 20 * MINUTE, 90 * DAY)),
        without: "EWWW",
        ee: "EWII",
        ta: "EWWW",
        mismatch: "EWWW",
    },
    // {enforce: warning, dane: warning, testing: warning, none: info}
    Row {
        code: Code::TlsRptRecordMissing,
        change: no_tlsrpt,
        without: "WWIW",
        ee: "WWWW",
        ta: "WWWW",
        mismatch: "WWWW",
    },
    // DANE makes no difference to what is wrong with the policy.
    Row {
        code: Code::MxNotInPolicy,
        change: |world| world.targets(vec![target(MX1), target(MX2)]).host(MX2, &[A2]),
        without: "EWI-",
        ee: "EWI-",
        ta: "EWI-",
        mismatch: "EWI-",
    },
    Row {
        code: Code::StsPolicyHttpStatus,
        change: |world| world.status(500),
        without: "EWIE",
        ee: "EWIE",
        ta: "EWIE",
        mismatch: "EWIE",
    },
    Row {
        code: Code::StsPolicyHostUnresolvable,
        change: World::no_policy_host,
        without: "EWIE",
        ee: "EWIE",
        ta: "EWIE",
        mismatch: "EWIE",
    },
];

fn target(name: &str) -> smtptls_exporter::facts::MxTarget {
    smtptls_exporter::facts::MxTarget::Host(super::case::host(name))
}

/// The certificate of the host, with another name in it.
fn renamed(name: &str) -> ChainFacts {
    let mut chain = trusted(&[&leaf(MX1), &issuer()]);
    chain.leaf.names = vec![name.to_owned()];
    chain
}

fn letter(found: Option<Severity>) -> char {
    match found {
        Some(Severity::Error) => 'E',
        Some(Severity::Warning) => 'W',
        Some(Severity::Info) => 'I',
        None => '-',
    }
}

fn judged(context: &str, change: impl Fn(World) -> World) -> smtptls_exporter::verdict::Assessment {
    let mut monitor = Monitor::new();
    if context == "unknown" {
        return monitor.see(&change(World::good("enforce").status(404)));
    }
    monitor.now = NOW - 3 * DAY;
    monitor.see(&World::good(context));
    monitor.later(3 * DAY).see(&change(World::good(context)))
}

#[test]
fn the_worst_of_policy_and_dane_applies() {
    for row in ROWS {
        for (dane, records, expected) in [
            ("signed, without records", vec![], row.without),
            ("3 1 1", vec![own([3, 1, 1], MX1)], row.ee),
            ("2 1 1", vec![issued([2, 1, 1])], row.ta),
            ("a mismatch", vec![stranger([3, 1, 1])], row.mismatch),
        ] {
            let severities: String = CONTEXTS
                .into_iter()
                .map(|context| {
                    let seen = judged(context, |world| (row.change)(world.with_dane(&records)));
                    letter(find(&seen, row.code).map(|finding| finding.severity))
                })
                .collect();
            assert_eq!(severities, expected, "{} with {dane} in {}", row.code, CONTEXTS.join(", "));
        }
    }
}

/// Records that bind nobody change nothing.
#[test]
fn records_that_are_not_secure_do_not_count() {
    let insecure = |world: World| {
        let world =
            world.with_dane(&[own([3, 1, 1], MX1)]).edit_tlsa(MX1, |lookup| lookup.security = Security::Insecure);
        no_tlsrpt(world.smtp(A1, SmtpOutcome::StarttlsNotOffered))
    };
    let seen = judged("none", insecure);
    assert_eq!(find(&seen, Code::StarttlsNotOffered).unwrap().severity, Severity::Warning);
    assert_eq!(find(&seen, Code::TlsRptRecordMissing).unwrap().severity, Severity::Info);
    let unusable = |world: World| world.with_dane(&[own([1, 1, 1], MX1)]).chain(A1, expired);
    assert_eq!(find(&judged("none", unusable), Code::CertificateExpired).unwrap().severity, Severity::Warning);
}

/// The ground is that of the host, and for a certificate that of the address.
#[test]
fn dane_of_another_host_does_not_count() {
    let world =
        |world: World| world.targets(vec![target(MX1), target(MX2)]).host(MX2, &[A2]).with_dane(&[own([3, 1, 1], MX1)]);
    let at_both = |change: fn(World, &str) -> World| judged("none", |seen| change(change(world(seen), A1), A2));
    let severities = |seen: &smtptls_exporter::verdict::Assessment, code: Code| -> Vec<(String, Severity)> {
        let about = seen.findings.iter().filter(|finding| finding.code == code);
        about.map(|finding| (finding.subject.name().to_owned(), finding.severity)).collect()
    };
    let expired_at = at_both(|world, address| world.chain(address, expired));
    assert_eq!(
        severities(&expired_at, Code::CertificateExpired),
        [(MX2.to_owned(), Severity::Warning), (MX1.to_owned(), Severity::Info)]
    );
    let clear = at_both(|world, address| world.smtp(address, SmtpOutcome::StarttlsNotOffered));
    assert_eq!(
        severities(&clear, Code::StarttlsNotOffered),
        [(MX1.to_owned(), Severity::Error), (MX2.to_owned(), Severity::Warning)]
    );
}

/// RFC 7672 §3.1.1: with DANE-EE a certificate may be self-signed, expired, and for any name.
#[test]
fn a_self_signed_certificate_that_dane_vouches_for_is_no_error() {
    for (what, der) in [("self-signed", self_signed()), ("expired", old_leaf()), ("of another host", leaf(DOMAIN))] {
        let with = |records: &[_], world: World| {
            world.with_dane(records).chain(A1, |_| {
                let mut chain = untrusted(&[&der]);
                chain.path = PathToRoot::SelfSigned;
                chain
            })
        };
        let records = [record([3, 1, 1], &der)];
        let bare = |records: &[_]| with(records, World::bare()).assess();
        let seen = bare(&records);
        assert_eq!(seen.worst(), Some(Severity::Info), "{what}: {:#?}", seen.findings);
        assert_eq!((seen.delivery, seen.senders.dane.paths.secure), (State::Protected, 1), "{what}");
        assert_eq!(find(&bare(&[]), Code::DaneMismatch), None, "{what}");
        assert_eq!(bare(&[]).count(Severity::Error), 0, "nothing asks for a public certificate");
        // A policy in enforce does.
        let seen = with(&records, World::good("enforce")).assess();
        assert_eq!((seen.worst(), seen.delivery), (Some(Severity::Error), State::Blocked), "{what}");
        assert_eq!(find(&seen, Code::DaneMismatch), None, "{what}");
    }
}
