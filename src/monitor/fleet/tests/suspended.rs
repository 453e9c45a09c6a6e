use super::*;
use crate::{facts::Phase, verdict::State};

/// A night in which the machine slept.
const NIGHT: Duration = Duration::from_secs(9 * 3600);

/// Two domains that work, and all their parts.
fn well() -> Fleet {
    let mut fleet = fleet("domains: [a.example, b.example]");
    for (name, mx, address) in
        [("a.example", "mx.a.example", "192.0.2.1"), ("b.example", "mx.b.example", "198.51.100.1")]
    {
        look(&mut fleet, name, &[mx]);
        look_up(&mut fleet, mx, &[address], NOW);
        probe(&mut fleet, mx, address, SmtpOutcome::Done);
    }
    fleet.refresh(NOW).unwrap();
    fleet.take_changes();
    fleet
}

/// What is shown of a domain: its delivery, its findings, and how many addresses its hosts have.
fn shown(snapshot: &Snapshot, name: &str) -> (State, Vec<Code>, usize) {
    let seen = snapshot.state(&domain(name)).unwrap().assessment.clone().unwrap();
    let addresses = seen.mx.iter().map(|mx| mx.addresses.len()).sum();
    (seen.delivery, seen.findings.iter().map(|finding| finding.code).collect(), addresses)
}

/// The time of day leaps by a night: nobody is taken for gone, down or expired for it, and one look at one of them shows no more.
#[test]
fn a_leap_of_the_time_of_day_changes_no_verdict() {
    let mut fleet = well();
    let names = ["a.example", "b.example"];
    let before = names.map(|name| shown(&fleet.snapshot, name));
    let morning = NOW + NIGHT;
    // One is looked at, so that there is something to judge; all that concerns many is judged anew as well.
    let mut seen = seen(
        "a.example",
        found(vec![MxRecord { preference: 10, target: MxTarget::Host(host("mx.a.example")) }]),
        LookupOutcome::NoData,
    );
    seen.started_at = morning;
    fleet.domain_seen(seen, (vec![host("mx.a.example")], 0));
    fleet.sweep.all();
    let snapshot = fleet.refresh(morning).unwrap();
    assert_eq!(names.map(|name| shown(&snapshot, name)), before);
    assert!(fleet.take_changes().is_empty());
    assert_eq!(fleet.counts(), [2, 2, 2]);
}

/// The first probe in the morning finds no network yet: that is one failure, and says no more than one in the evening.
#[test]
fn the_first_probe_after_a_night_counts_once() {
    let [evening, morning] = [MINUTE, NIGHT].map(|passed| {
        let (mut fleet, at) = (well(), NOW + passed);
        let wanted = probe_at(at, &mut fleet, "mx.a.example", "192.0.2.1", SmtpOutcome::Timeout(Phase::Connect));
        assert!(wanted.now.is_empty(), "it starts nothing else");
        let snapshot = fleet.refresh(at).unwrap();
        let path = snapshot.host(&host("mx.a.example")).unwrap().paths[0].clone();
        assert_eq!(path.consecutive_failures, 1);
        assert_ne!(path.reach, crate::verdict::Reach::Down);
        shown(&snapshot, "a.example")
    });
    assert_eq!(evening.1, morning.1);
    assert_ne!(morning.0, State::Blocked);
}
