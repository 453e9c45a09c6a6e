//! What is written when, and what a restart finds.

use super::*;
use crate::{
    monitor::{
        fleet::keeping::{BATCH, CHANGES_WAITING, UNCHANGED_REST},
        kept::KeptDomain,
    },
    store::Batch,
    verdict::{Change, ChangeKind, ChangeSubject, State},
};

/// A fleet of one domain with one mail host, all of it seen and nothing of it written.
fn known() -> Fleet {
    let mut fleet = fleet("domains: [a.example]");
    look(&mut fleet, "a.example", &["mx.a.example"]);
    look_up(&mut fleet, "mx.a.example", &["192.0.2.1"], NOW);
    probe(&mut fleet, "mx.a.example", "192.0.2.1", SmtpOutcome::Done);
    fleet
}

fn names(batch: Option<Batch>) -> Vec<String> {
    let Some(batch) = batch else { return Vec::new() };
    let domains = batch.domains.iter().map(|domain| domain.domain.to_string());
    domains.chain(batch.hosts.iter().map(|host| host.host.to_string())).collect()
}

#[test]
fn at_the_end_of_a_large_fleet_hosts_are_written_and_domains_that_were_only_seen_are_told() {
    let mut fleet = known();
    fleet.refresh(NOW);
    assert!(fleet.take_unsaved(true, NOW).is_some());
    assert!(fleet.only_seen().is_empty() && fleet.take_unsaved_hosts(NOW).is_none(), "all of it is written");
    look(&mut fleet, "a.example", &["mx.a.example"]);
    look_up(&mut fleet, "mx.a.example", &["192.0.2.1"], NOW + MINUTE);
    assert!(fleet.only_seen().is_empty(), "it is not judged yet");
    fleet.refresh(NOW + MINUTE);
    assert!(!fleet.has_news());
    let seen: Vec<_> = fleet.only_seen().iter().map(|known| known.domain().to_string()).collect();
    assert_eq!(seen, ["a.example"]);
    assert_eq!(names(fleet.take_unsaved_hosts(NOW + MINUTE)), ["mx.a.example"]);
    assert!(fleet.take_unsaved_hosts(NOW + MINUTE).is_none());
    let batch = fleet.take_unsaved(true, NOW + MINUTE).unwrap();
    assert_eq!(batch.domains.len(), 1);

    // What came back from beside its row is told again at the next end: others take its place there.
    for apart in [true, false] {
        let mut after = super::fleet("domains: [a.example]");
        let kept = batch.domains.iter().cloned().map(|row| KeptDomain { apart, ..row.into() });
        after.restore(kept.collect(), Vec::new(), NOW + MINUTE);
        assert_eq!((after.only_seen().len(), after.has_news()), (usize::from(apart), false));
    }
}

#[test]
fn another_delivery_is_written_at_once_whoever_brought_it() {
    let mut fleet = fleet("domains: [a.example]");
    look(&mut fleet, "a.example", &["mx.a.example"]);
    fleet.refresh(NOW);
    let delivery = |fleet: &Fleet| fleet.snapshot.domains.get("a.example").unwrap().summary.as_ref().unwrap().delivery;
    assert_eq!((delivery(&fleet), names(fleet.take_unsaved(false, NOW))), (State::Unknown, vec!["a.example".into()]));
    look_up(&mut fleet, "mx.a.example", &["192.0.2.1"], NOW);
    probe(&mut fleet, "mx.a.example", "192.0.2.1", SmtpOutcome::Done);
    fleet.refresh(NOW);
    assert_ne!(delivery(&fleet), State::Unknown, "its mail host was seen");
    assert!(names(fleet.take_unsaved(false, NOW)).contains(&"a.example".to_owned()));
}

fn change(number: usize) -> Change {
    Change {
        at: NOW,
        subject: ChangeSubject::Domain(domain("a.example")),
        kind: ChangeKind::Mx,
        before: None,
        after: Some(number.to_string()),
    }
}

#[test]
fn what_is_new_is_written_at_once_and_what_is_not_rests() {
    let mut fleet = known();
    assert!(fleet.has_news());
    assert_eq!(names(fleet.take_unsaved(false, NOW)), ["a.example", "mx.a.example"]);
    assert!(!fleet.has_news());
    assert_eq!(names(fleet.take_unsaved(true, NOW)), [""; 0], "all of it is written");

    look(&mut fleet, "a.example", &["mx.a.example"]);
    look_up(&mut fleet, "mx.a.example", &["192.0.2.1"], NOW + MINUTE);
    probe(&mut fleet, "mx.a.example", "192.0.2.1", SmtpOutcome::Done);
    assert!(!fleet.has_news(), "the same again is no news");
    let early = NOW + UNCHANGED_REST - Duration::from_secs(1);
    assert_eq!(names(fleet.take_unsaved(false, early)), [""; 0]);
    assert_eq!(names(fleet.take_unsaved(false, NOW + UNCHANGED_REST)), ["a.example", "mx.a.example"]);

    probe(&mut fleet, "mx.a.example", "192.0.2.1", SmtpOutcome::StarttlsNotOffered);
    assert!(fleet.has_news());
    assert_eq!(names(fleet.take_unsaved(false, NOW + UNCHANGED_REST)), ["mx.a.example"]);
    look(&mut fleet, "a.example", &["mx.a.example", "mx.b.example"]);
    assert_eq!(names(fleet.take_unsaved(false, NOW + UNCHANGED_REST)), ["a.example"]);
    look_up(&mut fleet, "mx.a.example", &["192.0.2.1"], NOW);
    assert_eq!(names(fleet.take_unsaved(true, NOW + UNCHANGED_REST)), ["mx.a.example"], "the end writes everything");
}

/// What was written by a clock that was ahead does not rest until its time comes again.
#[test]
fn a_clock_that_was_set_back_stops_no_writing() {
    let ahead = NOW + 100 * UNCHANGED_REST;
    let mut fleet = known();
    assert_eq!(names(fleet.take_unsaved(false, ahead)), ["a.example", "mx.a.example"]);
    look(&mut fleet, "a.example", &["mx.a.example"]);
    look_up(&mut fleet, "mx.a.example", &["192.0.2.1"], NOW);
    assert!(!fleet.has_news(), "the same again is no news");
    assert_eq!(names(fleet.take_unsaved(false, NOW)), ["a.example", "mx.a.example"]);
    look(&mut fleet, "a.example", &["mx.a.example"]);
    look_up(&mut fleet, "mx.a.example", &["192.0.2.1"], NOW + MINUTE);
    assert_eq!(names(fleet.take_unsaved(false, NOW + MINUTE)), [""; 0], "from then on it rests as ever");
}

#[test]
fn the_order_of_records_is_no_news() {
    let mut fleet = fleet("domains: [a.example]");
    look(&mut fleet, "a.example", &["mx1.a.example", "mx2.a.example"]);
    fleet.take_unsaved(false, NOW);
    look(&mut fleet, "a.example", &["mx2.a.example", "mx1.a.example"]);
    assert!(!fleet.has_news());
}

#[test]
fn what_could_not_be_written_waits_and_is_written_as_it_is_then() {
    let mut fleet = known();
    fleet.changes.push(change(0));
    let batch = fleet.take_unsaved(false, NOW).unwrap();
    fleet.changes.push(change(1));
    // Meanwhile a failed lookup was counted; the host left.
    look(&mut fleet, "a.example", &[]);
    fleet.give_back(&batch);
    let batch = fleet.take_unsaved(false, NOW).unwrap();
    assert_eq!(batch.domains[0].open().unwrap().hosts, [], "the latest state");
    assert_eq!(batch.changes[..2], [change(0), change(1)], "in their order");
    assert_eq!(batch.changes[2].before.as_deref(), Some("10 mx.a.example"), "what the fold tells comes along");
    assert!(batch.hosts.iter().any(|one| one.host == host("mx.a.example")), "one that left is kept as well");
    assert_eq!(fleet.take_lost(), 0);
}

#[test]
fn changes_that_cannot_be_written_are_bounded_and_the_lost_are_counted() {
    let mut fleet = fleet("domains: [a.example]");
    for round in 0..2 {
        fleet.changes.extend((0..CHANGES_WAITING).map(|number| change(round * CHANGES_WAITING + number)));
        let batch = fleet.take_unsaved(false, NOW).unwrap();
        fleet.give_back(&batch);
    }
    let batch = fleet.take_unsaved(false, NOW).unwrap();
    assert_eq!(batch.changes.len(), CHANGES_WAITING);
    assert_eq!(batch.changes[0], change(CHANGES_WAITING), "the oldest go");
    assert_eq!(fleet.take_lost(), u64::try_from(CHANGES_WAITING).unwrap());
    assert_eq!(fleet.take_lost(), 0);
}

#[test]
fn a_domain_that_is_taken_out_leaves_what_is_known() {
    let mut fleet = known();
    fleet.take_unsaved(true, NOW);
    // Seen again, and not written since.
    look(&mut fleet, "a.example", &["mx.a.example"]);
    look_up(&mut fleet, "mx.a.example", &["192.0.2.1"], NOW);
    fleet.configure(settings("domains: [b.example]"), DnssecSight::Off);
    assert!(fleet.has_news());
    let batch = fleet.take_unsaved(false, NOW).unwrap();
    assert_eq!(names(Some(batch.clone())), ["a.example", "mx.a.example"]);

    // It comes back with it, not due before its time.
    fleet.configure(settings("domains: [b.example, a.example]"), DnssecSight::Off);
    let due = fleet.restore(batch.domains, batch.hosts, NOW);
    let interval = Settings::default().probe.interval;
    assert_eq!(due[0], (Target::Domain(domain("a.example")), Some(NOW + interval)));
    assert!(fleet.refresh(NOW).unwrap().state(&domain("a.example")).unwrap().assessment.is_some());
}

fn many(number: usize) -> Fleet {
    let names: Vec<String> = (0..number).map(|number| format!("d{number}.example")).collect();
    let mut fleet = fleet(&format!("domains: [{}]", names.join(", ")));
    for name in &names {
        look(&mut fleet, name, &["mx.p.example"]);
    }
    look_up(&mut fleet, "mx.p.example", &["192.0.2.1"], NOW);
    fleet
}

#[test]
fn many_that_leave_at_once_are_written_in_pieces_and_none_is_lost() {
    let number = 2 * BATCH + 5;
    let mut fleet = many(number);
    fleet.refresh(NOW);
    fleet.configure(settings("domains: [b.example]"), DnssecSight::Off);
    let mut written = BTreeSet::new();
    while let Some(batch) = fleet.take_unsaved(false, NOW) {
        let [domains, hosts] = [batch.domains.len(), batch.hosts.len()];
        assert!(domains + hosts <= BATCH, "{domains} and {hosts}");
        let before = written.len();
        written.extend(names(Some(batch)));
        assert_eq!(written.len(), before + domains + hosts, "each once");
    }
    assert_eq!(written.len(), number + 1);
    assert_eq!(fleet.take_lost(), 0);
}

#[test]
fn what_is_written_already_leaves_without_a_write() {
    let mut fleet = known();
    fleet.refresh(NOW);
    fleet.take_unsaved(true, NOW);
    fleet.configure(settings("domains: [b.example]"), DnssecSight::Off);
    assert_eq!(names(fleet.take_unsaved(true, NOW)), [""; 0]);
}

#[test]
fn a_write_that_failed_does_not_bring_back_what_is_older() {
    let mut fleet = known();
    let batch = fleet.take_unsaved(true, NOW).unwrap();
    look(&mut fleet, "a.example", &["mx.a.example", "mx.b.example"]);
    fleet.configure(settings("domains: [b.example]"), DnssecSight::Off);
    fleet.give_back(&batch);
    let batch = fleet.take_unsaved(true, NOW).unwrap();
    assert_eq!(batch.domains.len(), 1);
    assert_eq!(batch.domains[0].open().unwrap().hosts, [host("mx.a.example"), host("mx.b.example")]);
}

#[test]
fn hosts_are_written_beside_the_news_of_many_domains() {
    let mut fleet = many(BATCH + 5);
    let first = fleet.take_unsaved(false, NOW).unwrap();
    assert_eq!((first.domains.len(), names(Some(first)).contains(&"mx.p.example".to_owned())), (BATCH - 1, true));
    assert_eq!(fleet.take_unsaved(false, NOW).unwrap().domains.len(), 6);
    assert!(!fleet.has_news());
}

#[test]
fn a_restart_shows_what_was_known_and_keeps_the_pace() {
    let mut before = known();
    probe(&mut before, "mx.a.example", "192.0.2.1", SmtpOutcome::ConnectFailed(ConnectFailure::Refused));
    let shown = before.refresh(NOW).unwrap();
    let batch = before.take_unsaved(true, NOW).unwrap();

    let mut after = fleet("domains: [a.example, new.example]");
    let due = after.restore(batch.domains, batch.hosts, NOW);
    let again = after.refresh(NOW).unwrap();
    let text = |snapshot: &Snapshot| {
        format!("{:?} {:?}", snapshot.state(&domain("a.example")).unwrap().assessment, snapshot.hosts)
    };
    assert_eq!(text(&again), text(&shown));
    assert!(again.state(&domain("new.example")).unwrap().assessment.is_none());
    let probe = Settings::default().probe;
    assert_eq!(
        due,
        [
            (Target::Domain(domain("a.example")), Some(NOW + probe.interval)),
            (Target::Host(host("mx.a.example")), Some(NOW + probe.interval)),
            (Target::Address(host("mx.a.example"), ip("192.0.2.1")), Some(NOW + probe.retry_interval)),
        ]
    );
    // The second failure in a row counts as the second, where it comes in its time.
    for (seconds, in_a_row) in [(5, 1), (60, 2)] {
        let (at, refused) = (NOW + Duration::from_secs(seconds), SmtpOutcome::ConnectFailed(ConnectFailure::Refused));
        probe_at(at, &mut after, "mx.a.example", "192.0.2.1", refused);
        let known = &after.hosts[&host("mx.a.example")].history.addresses[&ip("192.0.2.1")];
        assert_eq!(known.failures_in_a_row, in_a_row, "after {seconds} s");
    }
}

#[test]
fn a_host_of_which_nothing_was_kept_is_due_at_once() {
    let mut before = fleet("domains: [a.example]");
    look(&mut before, "a.example", &["mx.a.example"]);
    let batch = before.take_unsaved(true, NOW).unwrap();
    let mut after = fleet("domains: [a.example]");
    let due = after.restore(batch.domains, Vec::new(), NOW);
    assert_eq!(due[1], (Target::Host(host("mx.a.example")), None));
}
