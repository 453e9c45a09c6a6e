//! A parent that enforces is known to enforce before it is judged.

use super::{policies::fetched, *};
use crate::store::DomainRow;

const PARENT_AND_CHILD: &str = "domains: [a.example, sub.a.example]";

/// The child has mail hosts of its own and no record.
fn look_at_child(fleet: &mut Fleet) {
    look(fleet, "sub.a.example", &["mx.p.example"]);
}

fn told_of_the_child(fleet: &Fleet) -> Vec<Code> {
    let known = fleet.snapshot.domains.get("sub.a.example").unwrap();
    known.summary.as_ref().unwrap().active.iter().map(|finding| finding.code).collect()
}

#[test]
fn a_parent_that_was_not_judged_since_the_start_enforces_by_what_was_kept() {
    let mut before = fleet(PARENT_AND_CHILD);
    let txt = found(vec![vec![Octets::from("v=STSv1; id=20261126000000;")]]);
    let mut parent = seen("a.example", LookupOutcome::NxDomain, txt);
    parent.policy.addresses = addresses("mta-sts.a.example", &["192.0.2.80"]);
    parent.policy.fetches = vec![fetched("a.example", "mode: enforce\r\nmx: mx.a.example\r\nmax_age: 604800")];
    before.domain_seen(parent, (vec![], 0));
    before.refresh(NOW);
    assert!(before.snapshot.domains.get("a.example").unwrap().summary.as_ref().unwrap().enforces_below);
    look_at_child(&mut before);
    before.refresh(NOW);
    let told = told_of_the_child(&before);
    assert!(told.contains(&Code::StsSubdomainUncovered));

    let kept = before.take_unsaved(true, NOW).unwrap().domains;
    let parent = kept.into_iter().find(|row| row.domain.as_str() == "a.example").unwrap();
    let mut after = fleet(PARENT_AND_CHILD);
    after.restore(vec![DomainRow { face: None, ..parent }], vec![], NOW);
    look_at_child(&mut after);
    after.refresh_while(NOW, || false);
    assert!(after.snapshot.domains.get("a.example").unwrap().summary.is_none(), "the child is judged first");
    assert_eq!(told_of_the_child(&after), told);
}
