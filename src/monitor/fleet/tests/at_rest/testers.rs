//! What only the question whether to enforce reads of a mail host is news for domains in testing alone.

use super::*;
use crate::monitor::fleet::tests::policies::fetched;

/// Three domains that share a host: one in testing, one that enforces, one without a policy; all of it judged, the host probed once.
fn shared() -> Bench {
    let mut bench = Bench::new("domains: [testing.example, enforcing.example, plain.example]");
    for (name, mode) in [("testing.example", "testing"), ("enforcing.example", "enforce")] {
        let mut observation = seen(
            name,
            found(vec![MxRecord { preference: 10, target: MxTarget::Host(host(MX)) }]),
            found(vec![vec![Octets::from("v=STSv1; id=20261126000000;")]]),
        );
        observation.policy.addresses = addresses(&format!("mta-sts.{name}"), &["192.0.2.80"]);
        observation.policy.fetches = vec![fetched(name, &format!("mode: {mode}\r\nmx: {MX}\r\nmax_age: 604800"))];
        bench.fleet.domain_seen(observation, (vec![host(MX)], 0));
    }
    look(&mut bench.fleet, "plain.example", &[MX]);
    look_up(&mut bench.fleet, MX, &[IP], NOW);
    assert_eq!(judged_by(&mut bench, NOW, healthy(NOW)), 3);
    bench
}

fn judged_by(bench: &mut Bench, at: Timestamp, seen: AddressObservation) -> usize {
    bench.fleet.address_seen(seen);
    bench.fleet.refresh(at);
    let judged = bench.judged();
    let known = bench.fleet.snapshot.domains.get("testing.example").unwrap();
    assert!(judged == 0 || text(known) == shown(&bench.fleet.snapshot.open(known)), "it is shown as it is judged now");
    judged
}

fn condition(bench: &Bench, name: &str) -> bool {
    let state = bench.fleet.snapshot.state(&domain("testing.example")).unwrap();
    let enforce = state.assessment.as_ref().unwrap().history.enforce.clone().unwrap();
    enforce.conditions.iter().find(|condition| condition.name == name).unwrap().met
}

#[test]
fn good_probes_in_a_row_are_news_for_the_domain_in_testing_up_to_three() {
    let mut bench = shared();
    let mut judged = Vec::new();
    for round in 1..4 {
        let at = NOW + round * MINUTE;
        judged.push((judged_by(&mut bench, at, healthy(at)), condition(&bench, "mx-certificates")));
    }
    assert_eq!(judged, [(1, false), (1, true), (0, true)]);
}

#[test]
fn a_bad_probe_between_good_ones_that_nobody_saw_is_news_for_the_domain_in_testing() {
    let mut bench = shared();
    for round in 1..3 {
        judged_by(&mut bench, NOW + round * MINUTE, healthy(NOW + round * MINUTE));
    }
    let at = |round: u32| NOW + (10 + round) * MINUTE;
    for seen in [bare(at(0), SmtpOutcome::StarttlsNotOffered), healthy(at(1)), healthy(at(2))] {
        bench.fleet.address_seen(seen);
    }
    assert_eq!(judged_by(&mut bench, at(3), healthy(at(3))), 1);
    assert!(!condition(&bench, "mx-starttls"), "it was bad within three days");
}

#[test]
fn an_address_that_tells_nothing_for_too_long_is_news_once() {
    let mut bench = shared();
    for round in 1..3 {
        judged_by(&mut bench, NOW + round * MINUTE, healthy(NOW + round * MINUTE));
    }
    let since = NOW + 2 * MINUTE;
    let rejected =
        || SmtpOutcome::Rejected { phase: crate::facts::Phase::Banner, code: 554, text: Octets::from("not you") };
    // Two intervals of `probe.mx_interval` are the patience (`probes-complete`).
    let patience = 2 * settings(TWO).probe.mx_interval;
    let mut see = |at: Timestamp| judged_by(&mut bench, at, bare(at, rejected()));
    let early: Vec<usize> = (1..12).map(|round| see(since + patience * round / 12)).collect();
    assert_eq!((early[0], early[10]), (3, 0), "that it is turned away is news for all: {early:?}");
    assert_eq!(see(since + patience), 0);
    assert_eq!(see(since + patience + MINUTE), 1, "nothing was told in time");
    assert_eq!(see(since + patience + 2 * MINUTE), 0);
    assert!(!condition(&bench, "probes-complete"));
}
