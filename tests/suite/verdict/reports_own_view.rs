//! What reporters tell of beside what is seen from here: for each result type a world that agrees, one that does not, and one in which
//! it cannot be seen.

use smtptls_exporter::{
    facts::{
        ConnectFailure, FetchFailure, LookupFailure, LookupOutcome, PathToRoot, Security, SmtpOutcome, TlsFailure,
    },
    protocol::tls_rpt::{PolicyType, ResultType},
    verdict::{Code, OwnView, ReportedFailure},
};

use super::{
    case::{A1, A2, MX1, MX2, Monitor, World, certificate, expired, find, lookup, untrusted},
    reports::{COMPLETE, daily, sessions},
    signed::{own, tlsa_name},
};
use crate::dane::pki::stranger;

type Change = fn(World) -> World;

fn same(world: World) -> World {
    world
}

fn unreached(world: World) -> World {
    world.smtp(A1, SmtpOutcome::ConnectFailed(ConnectFailure::Timeout))
}

fn without_starttls(world: World) -> World {
    world.smtp(A1, SmtpOutcome::StarttlsNotOffered)
}

fn live(world: World) -> World {
    world.with_dane(&[own([3, 1, 1], MX1)])
}

fn unvalidated(world: World) -> World {
    world.host_lookup(MX1, |seen| {
        for family in [&mut seen.addresses.ip4, &mut seen.addresses.ip6].into_iter().flatten() {
            family.security = Security::Indeterminate;
        }
    })
}

fn unfetched(world: World) -> World {
    world.fetch_fails(&FetchFailure::Connect(ConnectFailure::NoRoute))
}

/// Result type, kind of policy, the world that agrees, that disagrees, that cannot see.
const TABLE: [(ResultType, PolicyType, Change, Change, Change); 14] = [
    (ResultType::StarttlsNotSupported, PolicyType::Sts, without_starttls, same, unreached),
    (
        ResultType::CertificateHostMismatch,
        PolicyType::Sts,
        |world| world.chain(A1, |_| certificate(&["other.example"])),
        same,
        without_starttls,
    ),
    (
        ResultType::CertificateHostMismatch,
        PolicyType::Sts,
        |world| world.edit("mx: mx1.example.com", "mx: mx9.example.com"),
        same,
        unreached,
    ),
    (ResultType::CertificateExpired, PolicyType::Sts, |world| world.chain(A1, expired), same, without_starttls),
    (
        ResultType::CertificateNotTrusted,
        PolicyType::Sts,
        |world| world.chain(A1, |chain| untrusted(chain, PathToRoot::SelfSigned)),
        same,
        without_starttls,
    ),
    (
        ResultType::ValidationFailure,
        PolicyType::Sts,
        |world| world.smtp(A1, SmtpOutcome::HandshakeFailed(TlsFailure::Alert("handshake_failure".to_owned()))),
        same,
        unreached,
    ),
    // Some senders have this one word for all of TLS.
    (ResultType::ValidationFailure, PolicyType::Sts, |world| world.chain(A1, expired), same, unreached),
    (
        ResultType::TlsaInvalid,
        PolicyType::Tlsa,
        |world| world.with_dane(&[stranger([3, 1, 1])]),
        live,
        |world| unreached(live(world)),
    ),
    (
        ResultType::DnssecInvalid,
        PolicyType::Tlsa,
        |world| {
            let answer = lookup(&tlsa_name(MX1), LookupOutcome::Failed(LookupFailure::ServFail));
            world.signed().tlsa_lookup(MX1, answer)
        },
        live,
        unvalidated,
    ),
    (ResultType::DaneRequired, PolicyType::Tlsa, same, live, unvalidated),
    (ResultType::StsPolicyFetchError, PolicyType::Sts, |world| world.status(404), same, unfetched),
    (
        ResultType::StsPolicyInvalid,
        PolicyType::Sts,
        |world| world.edit("version: STSv1", "version: STSv9"),
        same,
        unfetched,
    ),
    (
        ResultType::StsWebpkiInvalid,
        PolicyType::Sts,
        |world| world.policy_chain(&expired(certificate(&["mta-sts.example.com"]))),
        same,
        unfetched,
    ),
    // Another fault of the policy is not this one.
    (
        ResultType::StsWebpkiInvalid,
        PolicyType::Sts,
        |world| world.policy_chain(&certificate(&["other.example"])),
        |world| world.status(404),
        unfetched,
    ),
];

fn told(world: World, policy_type: PolicyType, result_type: ResultType, mx: Option<&str>) -> ReportedFailure {
    let failing = sessions(policy_type, 9, &[(result_type, mx, 1)]);
    let world = world.told(&daily(COMPLETE..=COMPLETE, "google.com", &failing));
    let said = Monitor::new().see(&world).reports.unwrap();
    assert_eq!(said.failures.len(), 1, "{said:?}");
    said.failures[0].clone()
}

#[test]
fn each_result_type_is_compared_with_its_own_facts() {
    for (result_type, policy_type, agrees, disagrees, cannot_see) in TABLE {
        let worlds = [(agrees, OwnView::Agrees), (disagrees, OwnView::Disagrees), (cannot_see, OwnView::CannotSee)];
        for (change, expected) in worlds {
            for mx in [Some(MX1), None] {
                let failure = told(change(World::good("testing")), policy_type, result_type, mx);
                let context = format!("{} at {mx:?}: {}", result_type.as_str(), failure.own_words);
                assert_eq!(failure.own, expected, "{context}");
                assert!(
                    failure.own_words.ends_with('.') && failure.own_words.starts_with(char::is_uppercase),
                    "{context}"
                );
            }
        }
    }
    let types = |result_type: &ResultType| TABLE.iter().any(|row| row.0 == *result_type);
    let missing: Vec<_> = ResultType::ALL.into_iter().filter(|one| !types(one)).collect();
    assert_eq!(missing, [ResultType::Other], "each type that says something has its row");
}

#[test]
fn what_has_no_word_cannot_be_compared() {
    for change in [same as Change, |world| world.chain(A1, expired)] {
        let failure = told(change(World::good("testing")), PolicyType::Sts, ResultType::Other, Some(MX1));
        assert_eq!(failure.own, OwnView::CannotSee);
    }
}

#[test]
fn the_host_that_the_report_names_counts() {
    let world = || World::good("testing").mx(MX2, &[A2]).chain(A2, expired);
    let of = |mx| told(world(), PolicyType::Sts, ResultType::CertificateExpired, mx);
    assert_eq!(of(Some(MX1)).own, OwnView::Disagrees);
    let second = of(Some(MX2));
    assert_eq!(second.own, OwnView::Agrees);
    assert!(second.own_words.contains("mx2.example.com [192.0.2.2] expired 3 days ago (2026-11-20)"), "{second:?}");
    assert_eq!(of(None).own, OwnView::Agrees, "where none is named, any may be meant");
    let foreign = of(Some("old.provider.example"));
    assert_eq!(foreign.own, OwnView::CannotSee);
    assert!(foreign.own_words.contains("none of the present mail hosts"), "{foreign:?}");
    // One address that is seen well does not speak for the one that is not seen.
    let half = World::good("testing").mx(MX2, &[A2]).smtp(A2, SmtpOutcome::ConnectFailed(ConnectFailure::Timeout));
    let failure = told(half, PolicyType::Sts, ResultType::CertificateExpired, None);
    assert_eq!(failure.own, OwnView::CannotSee, "{failure:?}");
}

#[test]
fn what_reports_tell_of_a_hosted_mail_host_is_asked_of_who_runs_it() {
    let failing = sessions(PolicyType::Sts, 50, &[(ResultType::CertificateExpired, Some(MX1), 50)]);
    let fix = |own: bool| {
        let world = World::good("enforce").told(&daily(COMPLETE..=COMPLETE, "google.com", &failing)).with(|world| {
            if !own {
                world.domain.domain = smtptls_exporter::terms::PolicyDomain::parse("customer.example").unwrap();
            }
        });
        find(&Monitor::new().see(&world), Code::ReportsFailing).unwrap().fix.clone()
    };
    assert!(fix(true).starts_with("Renew the certificate"), "{}", fix(true));
    assert!(fix(false).starts_with("Ask your provider, who runs mx1.example.com."), "{}", fix(false));
}

#[test]
fn the_finding_says_what_is_seen_from_here() {
    let failing = sessions(PolicyType::Sts, 50, &[(ResultType::CertificateExpired, Some(MX1), 50)]);
    let world = World::good("enforce").chain(A1, expired).told(&daily(COMPLETE..=COMPLETE, "google.com", &failing));
    let assessment = Monitor::new().see(&world);
    let finding = find(&assessment, Code::ReportsFailing).unwrap();
    assert!(finding.detail.contains("50 of 100 sessions under MTA-STS fail on 2026-11-21 (50%"), "{}", finding.detail);
    assert!(finding.detail.contains("certificate-expired at mx1.example.com"), "{}", finding.detail);
    assert!(
        finding.fix.contains("Renew the certificate") && finding.fix.contains("The same is seen from here"),
        "{}",
        finding.fix
    );
}
