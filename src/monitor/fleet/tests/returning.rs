//! What is taken of a mail host that comes back, by how long it was gone.

use super::*;

const HOUR: Duration = Duration::from_secs(3600);
const MX: &str = "mx.a.example";

fn look_at(fleet: &mut Fleet, at: Timestamp, mx: &str) -> Wanted {
    let records = found(vec![MxRecord { preference: 10, target: MxTarget::Host(host(mx)) }]);
    let mut observation = seen("a.example", records, LookupOutcome::NoData);
    observation.started_at = at;
    fleet.domain_seen(observation, (vec![host(mx)], 0))
}

/// A host that was probed, left, and comes back at this time.
fn gone_until(back: Timestamp) -> (Fleet, Wanted) {
    let mut fleet = fleet("domains: [a.example]");
    look_at(&mut fleet, NOW, MX);
    look_up(&mut fleet, MX, &["192.0.2.1"], NOW);
    probe(&mut fleet, MX, "192.0.2.1", SmtpOutcome::Done);
    look_at(&mut fleet, NOW + MINUTE, "mx.b.example");
    let wanted = look_at(&mut fleet, back, MX);
    (fleet, wanted)
}

#[test]
fn within_an_hour_it_is_judged_by_what_was_seen() {
    for back in [NOW + 2 * MINUTE, NOW + MINUTE + HOUR] {
        let (fleet, wanted) = gone_until(back);
        let known = &fleet.hosts[&host(MX)];
        assert!(known.observation.is_some() && known.addresses.contains_key(&ip("192.0.2.1")));
        assert_eq!(wanted.now.len(), 2, "the host and its address");
    }
}

#[test]
fn later_it_is_looked_at_before_it_is_judged_and_its_past_stays() {
    let day = 24 * HOUR;
    for back in [NOW + 2 * MINUTE + HOUR, NOW + 60 * day, NOW - day] {
        let (mut fleet, wanted) = gone_until(back);
        let known = &fleet.hosts[&host(MX)];
        assert!(known.observation.is_none() && known.addresses.is_empty(), "{back}");
        assert!(known.history.addresses.contains_key(&ip("192.0.2.1")) && known.history.last_answer.is_some());
        assert_eq!(wanted.now, [Target::Host(host(MX))]);
        assert_eq!(fleet.counts(), [1, 1, 0]);
        fleet.refresh(back);
        let state = fleet.snapshot.state(&domain("a.example")).unwrap();
        let shown = &state.assessment.as_ref().unwrap().mx;
        assert!(shown.iter().all(|mx| mx.addresses.is_empty()), "nothing of it is known now: {shown:?}");
        // Its address goes on with its past; that of one that is not there any more goes.
        look_up(&mut fleet, MX, &["192.0.2.1"], back);
        assert!(fleet.hosts[&host(MX)].history.addresses.contains_key(&ip("192.0.2.1")));
        look_up(&mut fleet, MX, &["192.0.2.2"], back);
        assert!(!fleet.hosts[&host(MX)].history.addresses.contains_key(&ip("192.0.2.1")));
    }
}
