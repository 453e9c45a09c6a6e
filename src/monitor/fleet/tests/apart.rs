//! What is shown of a domain may be of a later look than its row. Judged without a new one, it comes out as if nobody had stopped.

use super::{policies::fetched, *};
use crate::{
    facts::PolicyFetch,
    monitor::{face, kept::KeptDomain},
    protocol::mta_sts::Mode,
    store::DomainRow,
    verdict::DomainReports,
};

const HOUR: Duration = Duration::from_secs(3600);
const NAME: &str = "a.example";
const CONFIGURED: &str = "domains: [a.example]";

/// Looks at a domain that serves a policy in enforce, which senders hold for five hours.
fn look_at(fleet: &mut Fleet, at: Timestamp) {
    let record = found(vec![vec![Octets::from("v=STSv1; id=1;")]]);
    let mx = found(vec![MxRecord { preference: 10, target: MxTarget::Host(host("mx.a.example")) }]);
    let mut observation = seen(NAME, mx, record);
    observation.started_at = at;
    observation.policy.addresses = addresses("mta-sts.a.example", &["192.0.2.80"]);
    let policy = fetched(NAME, "mode: enforce\r\nmx: mx.a.example\r\nmax_age: 18000");
    observation.policy.fetches.push(PolicyFetch { at: at + Duration::from_millis(4), ..policy });
    fleet.domain_seen(observation, (vec![host("mx.a.example")], 0));
    fleet.refresh(at);
}

/// A fleet that looked, wrote all of it, and looked again at these times; and another one with what the first one left: the rows, and what
/// was shown last.
fn stopped_after(looks: &[Timestamp]) -> (Fleet, Fleet) {
    let mut before = fleet(CONFIGURED);
    look_at(&mut before, NOW);
    let batch = before.take_unsaved(true, NOW).unwrap();
    for at in looks {
        look_at(&mut before, *at);
    }
    assert!(!before.has_news(), "nothing new was seen, which is why it is not written");
    let shown = before.only_seen().into_iter().next().unwrap();
    let read = face::read_bytes(shown.domain(), &face::written(&shown).unwrap()).unwrap();
    let rows = batch.domains.into_iter().map(|row| DomainRow { face: None, ..row });
    let mut face = Some(read);
    let kept = rows.map(|row| KeptDomain { face: face.take(), brief: None, apart: true, row });
    let mut after = fleet(CONFIGURED);
    after.restore(kept.collect(), batch.hosts, *looks.last().unwrap());
    (before, after)
}

/// A report comes: the domain is judged without a look.
fn report(fleet: &mut Fleet, now: Timestamp) {
    fleet.restore_domain_reports(vec![(domain(NAME), DomainReports::default())], now);
    fleet.refresh(now);
}

fn judged(fleet: &Fleet) -> Arc<crate::monitor::DomainState> {
    fleet.snapshot.state(&domain(NAME)).unwrap()
}

#[test]
fn judged_without_a_look_it_is_as_if_nobody_had_stopped() {
    let last = NOW + 6 * HOUR;
    let (mut before, mut after) = stopped_after(&[last]);
    let now = last + MINUTE;
    for fleet in [&mut before, &mut after] {
        report(fleet, now);
    }
    let [expected, found] = [&before, &after].map(judged);
    assert_eq!(format!("{:?}", found.assessment), format!("{:?}", expected.assessment));
    let summary = |fleet: &Fleet| fleet.domains.get(NAME).unwrap().summary.clone();
    assert_eq!(summary(&after), summary(&before));
    let summary = summary(&after).unwrap();
    assert_eq!((summary.checked_at, summary.last_success_at), (last, Some(last)));
    assert_eq!(summary.mode, Some(Mode::Enforce), "senders hold the policy, which was served an hour ago");
}

#[test]
fn of_many_looks_between_the_last_one_counts_and_the_next_goes_on_from_it() {
    let times = [2, 4, 6].map(|hours| NOW + hours * HOUR);
    let (_, mut after) = stopped_after(&times);
    let last = times[2];
    report(&mut after, last + MINUTE);
    let seen = judged(&after);
    assert_eq!((seen.assessment.as_ref().unwrap().checked_at, seen.last_success_at), (last, Some(last)));
    // What it is judged by is what is written from now on.
    let row = after.take_unsaved(true, last + MINUTE).unwrap().domains.remove(0).open().unwrap();
    assert_eq!((row.observation.unwrap().started_at, row.last_success_at), (last, Some(last)));
    assert_eq!(row.history.policy_seen_at, Some(last));
    look_at(&mut after, last + HOUR);
    assert_eq!(judged(&after).last_success_at, Some(last + HOUR));
}

#[test]
fn a_row_that_is_of_the_look_that_is_shown_stays_as_it_is() {
    let mut fleet = fleet(CONFIGURED);
    look_at(&mut fleet, NOW);
    let known = Arc::clone(fleet.domains.get(NAME).unwrap());
    let once = known.unpacked(&fleet.settings);
    let row = fleet.take_unsaved(true, NOW).unwrap().domains.remove(0).open().unwrap();
    assert_eq!(format!("{once:?}"), format!("{row:?}"));
}
