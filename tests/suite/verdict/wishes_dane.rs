//! `expect: dane`.

use smtptls_exporter::{
    facts::{LookupOutcome, MxTarget, Security},
    verdict::{Assessment, Code, Expectation, ExpectedMode},
};

use super::{
    case::{A2, MX1, MX2, World, find},
    signed::{bogus, issued, own, tlsa_name},
};
use crate::dane::pki::stranger;

fn wanted(world: World, dane: bool) -> Assessment {
    world.expect(Expectation { dane: Some(dane), ..Expectation::default() }).assess()
}

fn met(seen: &Assessment) -> Option<bool> {
    seen.expectations.iter().find(|(label, _)| *label == "dane").map(|(_, met)| *met)
}

fn detail(seen: &Assessment) -> String {
    find(seen, Code::ExpectationNotMet).map(|finding| finding.detail.clone()).unwrap_or_default()
}

fn two() -> World {
    World::bare().mx(MX2, &[A2]).signed().tlsa(MX1, &[own([3, 1, 1], MX1)]).tlsa(MX2, &[own([3, 1, 1], MX2)])
}

#[test]
fn dane_is_there() {
    let seen = wanted(two(), true);
    assert_eq!((met(&seen), detail(&seen)), (Some(true), String::new()));
    let by_authority = two().tlsa(MX1, &[issued([2, 1, 1])]);
    assert_eq!(met(&wanted(by_authority, true)), Some(true));
}

/// Each difference is named, with the host that has it.
#[test]
fn every_difference_is_told() {
    let missing = |world: World, name: &str| world.tlsa(name, &[]);
    for (what, world, said) in [
        ("none", missing(two(), MX2), vec![MX2, "no usable TLSA records"]),
        ("unusable", two().tlsa(MX2, &[stranger([1, 1, 1])]), vec![MX2, "no usable TLSA records"]),
        ("insecure", two().addresses_are(MX2, Security::Insecure), vec![MX2, "no usable TLSA records"]),
        ("bogus", two().tlsa_lookup(MX2, bogus(&tlsa_name(MX2))), vec![MX2, "no usable TLSA records"]),
        ("a mismatch", two().tlsa(MX2, &[stranger([3, 1, 1])]), vec![MX2, "do not match"]),
        ("unsigned MX", two().mx_is(Security::Insecure), vec!["the MX records are not signed"]),
    ] {
        let seen = wanted(world, true);
        assert_eq!(met(&seen), Some(false), "{what}");
        let detail = detail(&seen);
        assert!(said.iter().all(|word| detail.contains(word)), "{what}: {detail}");
        assert!(!detail.contains(MX1), "{what}: {detail}");
    }
    let all = missing(two().tlsa(MX1, &[stranger([3, 1, 1])]), MX2).mx_is(Security::Insecure);
    let detail = detail(&wanted(all, true));
    for word in ["no usable TLSA records", "not signed", "do not match"] {
        assert!(detail.contains(word), "{detail}");
    }
}

#[test]
fn dane_is_not_wanted() {
    let seen = wanted(two().tlsa(MX2, &[]), false);
    assert_eq!(met(&seen), Some(false));
    assert!(detail(&seen).contains(MX1) && !detail(&seen).contains(MX2), "{}", detail(&seen));
    for none in [
        World::bare().signed(),
        two().addresses_are(MX1, Security::Insecure).addresses_are(MX2, Security::Insecure),
        two().tlsa(MX1, &[stranger([0, 1, 1])]).tlsa(MX2, &[]),
    ] {
        assert_eq!(met(&wanted(none, false)), Some(true));
    }
}

/// What cannot be told is neither met nor missed; what is seen beside it is said.
#[test]
fn dane_cannot_be_told() {
    let unseen = |world: World, name| world.addresses_are(name, Security::Indeterminate);
    for dane in [true, false] {
        let seen = wanted(unseen(World::bare().signed(), MX1), dane);
        assert_eq!((met(&seen), detail(&seen)), (None, String::new()), "{dane}");
        let nowhere = wanted(World::bare().signed().targets(vec![MxTarget::Null]), dane);
        assert_eq!(met(&nowhere), None, "there is no host to have it");
    }
    assert_eq!(met(&wanted(unseen(two(), MX2), true)), None, "the other one may have none");
    assert_eq!(met(&wanted(unseen(two().tlsa(MX1, &[]), MX2), true)), Some(false));
    assert_eq!(met(&wanted(unseen(two(), MX2), false)), Some(false));
    let fails = two().with(|world| {
        world.domain.mx =
            super::case::lookup("example.com", LookupOutcome::Failed(smtptls_exporter::facts::LookupFailure::Timeout));
    });
    assert_eq!(met(&wanted(fails, true)), None);
}

/// The labels are those of the configuration, and one expectation does not hide another.
#[test]
fn the_labels_of_the_expectations() {
    let all = Expectation {
        mode: Some(ExpectedMode::Enforce),
        min_max_age: Some(super::case::DAY),
        dane: Some(true),
        mx: Some(vec![super::case::host(MX1)]),
        issuer: Some("R11".to_owned()),
        mail: Some(true),
    };
    let world = World::good("enforce").signed().tlsa(MX1, &[stranger([3, 1, 1])]).expect(all);
    let seen = world.assess();
    let expected =
        [("mode", true), ("min_max_age", true), ("mx", true), ("dane", false), ("issuer", false), ("mail", true)];
    assert_eq!(seen.expectations, expected);
    let detail = detail(&seen);
    assert!(detail.contains("TLSA") && detail.contains("issued by"), "{detail}");
}
