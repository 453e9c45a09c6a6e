//! Counters of reports that are new are shown at 0 first, and never fall.

use super::*;
use crate::{
    protocol::tls_rpt::PolicyType,
    verdict::{Counter, CounterKey, DomainReports, NEWBORN_FOR},
};

const KEY: CounterKey = CounterKey::Sessions(PolicyType::Sts);

/// What a store tells of a domain: its counter with its birth, each time.
fn told(fleet: &mut Fleet, value: u64, now: Timestamp) {
    let counters = [(KEY, Counter { value, born_at: Some(NOW) })].into();
    fleet.restore_domain_reports(vec![(domain("a.example"), DomainReports { counters, ..Default::default() })], now);
}

fn shown(fleet: &Fleet, now: Timestamp) -> u64 {
    fleet.domains.get("a.example").unwrap().reports.as_ref().unwrap().shown(now)[&KEY]
}

#[test]
fn a_counter_that_was_shown_does_not_fall_where_the_clock_is_set_back_by_ten_minutes() {
    let mut fleet = fleet("domains: [a.example]");
    told(&mut fleet, 7, NOW);
    assert_eq!((shown(&fleet, NOW), fleet.next_grown_up()), (0, Some(NOW + NEWBORN_FOR)));
    fleet.grow_up(NOW + 4 * MINUTE);
    assert_eq!(shown(&fleet, NOW + 4 * MINUTE), 0);
    fleet.grow_up(NOW + NEWBORN_FOR);
    assert_eq!((shown(&fleet, NOW + 12 * MINUTE), fleet.next_grown_up()), (7, None));
    assert_eq!(shown(&fleet, NOW + 2 * MINUTE), 7);
    told(&mut fleet, 9, NOW + 2 * MINUTE);
    assert_eq!((shown(&fleet, NOW + 2 * MINUTE), fleet.next_grown_up()), (9, None));
}

#[test]
fn one_that_was_old_at_the_start_is_none_that_is_new() {
    let mut fleet = fleet("domains: [a.example]");
    told(&mut fleet, 7, NOW + 12 * MINUTE);
    assert_eq!((shown(&fleet, NOW + 2 * MINUTE), fleet.next_grown_up()), (7, None));
}
