//! An observation can be stored and judged again; and no combination of outcomes does harm.

use std::{collections::BTreeMap, sync::Arc};

use proptest::prelude::*;
use smtptls_exporter::{
    facts::{
        ConnectFailure, FetchFailure, FetchPhase, LookupFailure, LookupOutcome, MxTarget, Observation, PathToRoot,
        Phase, ProtocolFault, SmtpOutcome, TlsFailure,
    },
    verdict::{Acceptance, Assessment, Code, Severity},
};

use super::{
    any_dane::{DaneChoices, assert_kinds, dane_choices, with_dane},
    case::{
        A1, A2, DOMAIN, MINUTE, MX1, MX2, Monitor, World, certificate, expired, failed, host, lookup, not_yet_valid,
        policy_body, untrusted,
    },
};

const A3: &str = "2001:db8::1";

fn outcomes() -> Vec<SmtpOutcome> {
    vec![
        SmtpOutcome::Done,
        SmtpOutcome::ConnectFailed(ConnectFailure::Refused),
        SmtpOutcome::ConnectFailed(ConnectFailure::Timeout),
        SmtpOutcome::ConnectFailed(ConnectFailure::NoRoute),
        SmtpOutcome::ConnectFailed(ConnectFailure::PrivateAddress),
        SmtpOutcome::ConnectFailed(ConnectFailure::Local("EMFILE".to_owned())),
        SmtpOutcome::Timeout(Phase::Banner),
        SmtpOutcome::Timeout(Phase::Connect),
        SmtpOutcome::Rejected { phase: Phase::Ehlo, code: 421, text: "\u{ff}\x07".into() },
        SmtpOutcome::ProtocolError { phase: Phase::Banner, fault: ProtocolFault::NoReply("x".to_owned()) },
        SmtpOutcome::StarttlsNotOffered,
        SmtpOutcome::StarttlsRefused { code: 454, text: "".into() },
        SmtpOutcome::HandshakeFailed(TlsFailure::Incompatible("TLS 1.0 only".to_owned())),
    ]
}

/// A change of the world for each number of a choice; the last choices leave it as it is.
fn changed(choices: &[usize; 8], dane: &DaneChoices) -> World {
    with_dane(changed_but_for_dane(choices), dane)
}

fn changed_but_for_dane(choices: &[usize; 8]) -> World {
    let mode = ["enforce", "testing", "none"][choices[0] % 3];
    let mut world = World::good(mode).body(&policy_body(mode, &[MX1])).host(MX1, &[A1, A3]).mx(MX2, &[A2]);
    for (address, choice) in [(A1, choices[1]), (A2, choices[2]), (A3, choices[3])] {
        let outcome = outcomes()[choice % outcomes().len()].clone();
        world = if outcome == SmtpOutcome::Done { world } else { world.smtp(address, outcome) };
    }
    if world.hosts[&host(MX1)].addresses[&super::case::ip(A1)].tls.is_some() {
        world = world.chain(A1, |chain| match choices[4] % 5 {
            0 => expired(chain),
            1 => not_yet_valid(chain),
            2 => untrusted(certificate(&["x.example"]), PathToRoot::SelfSigned),
            _ => chain,
        });
    }
    world = match choices[5] % 8 {
        0 => world.no_record(),
        1 => world.records(&["v=STSv1; id=1;", "v=STSv1; id=2;"]),
        2 => world.records(&["v=STSv1; id=a-b"]),
        3 => world.with(|world| world.domain.sts_record = failed("_mta-sts.example.com")),
        _ => world,
    };
    world = match choices[6] % 9 {
        0 => world.no_policy_host(),
        1 => world.status(404),
        2 => world.body("<html>"),
        3 => world.fetch_fails(&FetchFailure::Timeout(FetchPhase::Connect)),
        4 => world.fetch_fails(&FetchFailure::Connect(ConnectFailure::NoRoute)),
        5 => world.fetched(|fetch| fetch.response = None),
        6 => world.with(|world| world.domain.policy.fetches.clear()),
        _ => world,
    };
    match choices[7] % 12 {
        0 => world.mx_outcome(LookupOutcome::NxDomain),
        1 => world.mx_outcome(LookupOutcome::NoData),
        2 => world.implicit(&[]),
        3 => world.implicit(&[A1]),
        4 => world.mx_outcome(LookupOutcome::Failed(LookupFailure::ServFail)),
        5 => {
            world.mx_outcome(LookupOutcome::Failed(LookupFailure::Timeout)).with(|w| w.domain.resolver_healthy = false)
        }
        6 => world.targets(vec![MxTarget::Null]),
        7 => world.targets(vec![MxTarget::Null, MxTarget::Invalid(String::new()), MxTarget::Host(host(MX1))]),
        8 => world.targets(Vec::new()),
        9 => world.with(|world| world.vantage.canaries_failing = true),
        10 => world.with(|world| world.domain.mx = lookup(DOMAIN, LookupOutcome::Failed(LookupFailure::CnameChain))),
        _ => world,
    }
}

fn choices() -> impl Strategy<Value = [usize; 8]> {
    prop::array::uniform8(0_usize..1000)
}

/// What holds of every assessment.
fn assert_sound(world: &World, seen: &Assessment) {
    let key = |finding: &smtptls_exporter::verdict::Finding| {
        (!finding.is_active(), std::cmp::Reverse(finding.severity), finding.code, finding.subject.clone())
    };
    assert!(seen.findings.is_sorted_by_key(key), "worst first");
    let active = seen.findings.iter().filter(|finding| finding.accepted.is_none()).count();
    assert_eq!(Severity::ALL.into_iter().map(|severity| seen.count(severity)).sum::<usize>(), active);
    for finding in &seen.findings {
        assert!(!finding.detail.is_empty() && !finding.fix.is_empty());
        assert!(!finding.detail.contains(char::is_control), "{}", finding.detail);
        assert_eq!(world.accept.iter().any(|a| a.code == finding.code.as_str()), finding.accepted.is_some());
    }
    assert_kinds(world, seen);
}

/// All that is shown, in a form that can be compared.
fn shown(seen: &Assessment) -> String {
    format!("{seen:?}")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn no_combination_does_harm(
        first in (choices(), dane_choices()),
        second in (choices(), dane_choices()),
        accepted in 0..Code::ALL.len(),
    ) {
        let code = Code::ALL[accepted].to_string();
        let accept = Acceptance { code, domain: None, mx: None, until: None, reason: None };
        let mut monitor = Monitor::new();
        for (choices, dane) in [first, second] {
            let world = changed(&choices, &dane).with(|world| world.accept = vec![accept.clone()]);
            assert_sound(&world, &world.assess());
            assert_sound(&world, &monitor.later(10 * MINUTE).see(&world));
        }
    }

    #[test]
    fn a_stored_observation_is_judged_alike(choices in choices(), dane in dane_choices()) {
        let world = changed(&choices, &dane);
        let observation = world.observation(super::case::NOW);
        let stored = serde_json::to_string(&observation).unwrap();
        let again: Observation = serde_json::from_str(&stored).unwrap();
        prop_assert_eq!(&again, &observation);
        let judged = |observation: &Observation| {
            let mut monitor = Monitor::new();
            shown(&monitor.see_observation(&world, observation))
        };
        prop_assert_eq!(judged(&again), judged(&observation));
    }
}

/// The order in which the answer lists the hosts is not the order in which senders try them.
#[test]
fn hosts_stand_in_the_order_of_their_preference() {
    let world = World::good("enforce").mx(MX2, &[A2]);
    let turned = world.clone().with(|world| {
        let records = world.domain.mx.records().iter().rev().cloned().collect();
        world.domain.mx = super::case::records(DOMAIN, records);
    });
    let order = |world: &World| world.assess().mx.into_iter().map(|mx| mx.target).collect::<Vec<_>>();
    assert_eq!(order(&turned), [MX1, MX2]);
    assert_eq!(order(&turned), order(&world));
}

/// A host that stands twice is one host, by its best preference.
#[test]
fn a_host_that_stands_twice_is_one() {
    let world = World::good("enforce").mx(MX1, &[A1]);
    let seen = world.assess();
    assert_eq!(seen.mx.iter().map(|mx| mx.preference).collect::<Vec<_>>(), [10]);
    assert_eq!(seen.senders.sts.paths.total(), 1);
}

/// Judging again without a new probe changes nothing but what time changes.
#[test]
fn judging_twice_says_the_same() {
    let world = changed_but_for_dane(&[0, 1, 2, 3, 0, 7, 8, 11]);
    let mut monitor = Monitor::new();
    let first = monitor.see(&world);
    let observation = world.observation(monitor.now);
    let mut vantage = world.vantage.clone();
    let facts: BTreeMap<_, _> = observation.hosts.values().flat_map(|facts| facts.addresses.clone()).collect();
    facts
        .values()
        .filter(|probe: &&Arc<_>| probe.connected())
        .for_each(|probe| vantage.note_answer(probe.address, probe.at));
    assert_eq!(shown(&monitor.judge(&world, &observation, &vantage)), shown(&first));
}
