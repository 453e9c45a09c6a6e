//! Selections over a small world and over many domains.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::{
    metrics::fixture,
    monitor::DomainState,
    verdict::{Assessment, Subject},
    web::parameters,
};

fn select(query: &str) -> Selection {
    let mut selection = Selection::default();
    parameters::read(query, &[PARAMETERS], |name, text| selection.take(name, text)).unwrap();
    selection
}

fn names(query: &str, snapshot: &Snapshot) -> Vec<String> {
    select(query).rows(snapshot).rows.iter().map(|known| known.domain().to_string()).collect()
}

/// A domain whose name begins with these letters, by what it is sorted by.
fn state(name: &str, group: &str, delivery: Option<State>, findings: &[(Code, Severity)]) -> Arc<DomainState> {
    let subject = Subject::Domain(fixture::domain(name));
    let findings = findings.iter().map(|(code, severity)| fixture::finding(*code, *severity, subject.clone()));
    let findings: Vec<_> = findings.collect();
    let seen = delivery.map(|delivery| Assessment { delivery, findings, ..fixture::dark(name) });
    let mut state = (*fixture::domain_state(name, seen)).clone();
    state.group = group.to_owned();
    Arc::new(state)
}

fn world(states: &[Arc<DomainState>]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    states.iter().for_each(|state| snapshot.put(Arc::clone(state)));
    snapshot
}

fn four() -> Snapshot {
    use Severity::{Error, Info, Warning};
    let accepted = {
        let mut state = (*state("d.example", "Beta", Some(State::Protected), &[(Code::MxCname, Error)])).clone();
        let mut seen = (*state.assessment.clone().unwrap()).clone();
        seen.findings[0].accepted = Some("provider".to_owned());
        state.assessment = Some(Arc::new(seen));
        Arc::new(state)
    };
    world(&[
        state("a.example", "Alpha", Some(State::Protected), &[(Code::PolicyMxUnused, Info)]),
        state("b.example", "Beta", Some(State::Blocked), &[(Code::MxCname, Error), (Code::MxCname, Warning)]),
        state("c.example", "Beta", Some(State::Protected), &[(Code::MxCname, Warning)]),
        accepted,
        state("e.test", "", None, &[]),
    ])
}

#[test]
fn the_worst_comes_first_unless_something_else_is_asked_for() {
    let world = four();
    assert_eq!(names("", &world), ["b.example", "c.example", "a.example", "d.example", "e.test"]);
    assert_eq!(names("sort=-delivery", &world), ["d.example", "a.example", "c.example", "b.example", "e.test"]);
    assert_eq!(names("sort=domain", &world), ["a.example", "b.example", "c.example", "d.example", "e.test"]);
    assert_eq!(names("sort=-domain", &world), ["e.test", "d.example", "c.example", "b.example", "a.example"]);
    assert_eq!(names("sort=group", &world), ["a.example", "b.example", "c.example", "d.example", "e.test"]);
    assert_eq!(names("sort=-group", &world), ["b.example", "c.example", "d.example", "a.example", "e.test"]);
    assert_eq!(names("sort=finding", &world), ["b.example", "c.example", "a.example", "d.example", "e.test"]);
}

#[test]
fn filters_leave_what_fits_all_of_them() {
    let world = four();
    for (query, expected) in [
        ("q=EXAMPLE", &["b.example", "c.example", "a.example", "d.example"][..]),
        ("q=.t", &["e.test"]),
        ("state=protected", &["c.example", "a.example", "d.example"]),
        ("state=not-probed", &["e.test"]),
        ("group=Beta", &["b.example", "c.example", "d.example"]),
        ("group=beta", &[]),
        ("finding=mx-cname", &["b.example", "c.example"]),
        ("severity=warning", &["b.example", "c.example"]),
        ("severity=info&finding=mx-cname", &[]),
        ("severity=error&finding=mx-cname", &["b.example"]),
        ("mode=missing", &["b.example", "c.example", "a.example", "d.example"]),
        ("mode=enforce", &[]),
        ("group=Beta&state=protected&q=c", &["c.example"]),
        ("mx=mx1.example.com", &[]),
    ] {
        assert_eq!(names(query, &world), expected, "{query}");
    }
}

#[test]
fn who_uses_a_mail_host() {
    let world = fixture::snapshot();
    let users = names("mx=MX1.example.com.", &world);
    assert!(users.contains(&"example.com".to_owned()) && !users.contains(&"broken.example".to_owned()), "{users:?}");
    assert_eq!(names("mx=mx.elsewhere.example", &world), Vec::<String>::new());
}

#[test]
fn a_name_in_another_spelling_is_found() {
    let world = world(&[state("xn--bcher-kva.example", "", None, &[])]);
    for query in ["q=b%C3%BCcher.example", "q=B%C3%9CCHER.example", "q=BCHER", "q=%20bcher%20"] {
        assert_eq!(names(query, &world), ["xn--bcher-kva.example"], "{query}");
    }
}

#[test]
fn a_mail_host_selects_the_domains_that_use_it() {
    let world = fixture::snapshot();
    assert_eq!(names("mx=mx.broken.example", &world), ["broken.example"]);
    assert_eq!(names("mx=MX.Broken.Example.", &world), ["broken.example"], "as names are compared");
    assert_eq!(names("mx=broken.example", &world), Vec::<String>::new(), "a whole name");
}

#[test]
fn counts_say_where_another_filter_would_lead() {
    let world = four();
    let found = select("state=blocked&group=Beta").rows(&world);
    assert_eq!((found.rows.len(), found.total), (1, 5));
    let of = |word: &str| found.by_state.iter().find(|(state, _)| state.as_str() == word).unwrap().1;
    assert_eq!([of("blocked"), of("protected"), of("not-probed")], [1, 2, 0], "of the group");
    assert_eq!(found.groups, BTreeMap::from([("Beta", 1)]), "of the state");
    assert_eq!(found.findings, BTreeMap::from([(Code::MxCname, 1)]), "a domain counts once for a code");
    let found = select("finding=policy-mx-unused").rows(&world);
    assert_eq!(found.findings, BTreeMap::from([(Code::MxCname, 2), (Code::PolicyMxUnused, 1)]));
    let found = select("").rows(&world);
    assert_eq!(found.by_state.iter().map(|(_, count)| count).sum::<usize>(), 5);
    assert_eq!(found.groups, BTreeMap::from([("Alpha", 1), ("Beta", 3)]));
}

#[test]
fn by_certificate_mode_dane_and_age() {
    let with = |name: &str, days: u64| {
        let mut state = (*fixture::domain_state(name, Some(fixture::healthy()))).clone();
        let mut seen = (*state.assessment.clone().unwrap()).clone();
        seen.checked_at = fixture::NOW - Duration::from_secs(days);
        let end = fixture::NOW + Duration::from_secs(days * 86_400);
        for address in seen.mx.iter_mut().flat_map(|mx| &mut mx.addresses) {
            let mut path = (*address.path).clone();
            let mut certificate = fixture::good_certificate();
            certificate.chain = fixture::chain("CA", end, crate::facts::PathToRoot::Trusted { not_after: end });
            path.certificate = Some(certificate);
            address.path = Arc::new(path);
        }
        seen.policy.certificate = None;
        state.assessment = Some(Arc::new(seen));
        Arc::new(state)
    };
    let world = world(&[
        with("a.example", 30),
        with("b.example", 10),
        with("c.example", 20),
        fixture::domain_state("d.example", Some(fixture::dark("d.example"))),
        fixture::domain_state("e.example", None),
    ]);
    assert_eq!(names("sort=certificate", &world), ["b.example", "c.example", "a.example", "d.example", "e.example"]);
    assert_eq!(names("sort=-certificate", &world), ["a.example", "c.example", "b.example", "d.example", "e.example"]);
    assert_eq!(names("sort=checked", &world)[..3], ["a.example", "c.example", "b.example"]);
    let modes = names("sort=mode", &world);
    assert_eq!(modes[3..], ["d.example", "e.example"], "a mode comes before none");
    assert_eq!(names("sort=dane", &world)[4], "e.example");
}

#[test]
fn what_is_wrong_is_said() {
    let wrong = |query: &str| {
        let mut selection = Selection::default();
        parameters::read(query, &[PARAMETERS], |name, text| selection.take(name, text)).unwrap_err()
    };
    for (query, expected) in [
        ("state=bad", "one of blocked, partial, unknown, unprotected, protected, no-mail, not-probed"),
        ("mode=Enforce", "one of enforce, testing, none, missing"),
        ("finding=mx-nul", "the code of a finding"),
        ("mx=a..b", "the name of a mail host"),
        ("severity=critical", "one of error, warning, info"),
        ("sort=name", "one of delivery, domain, group, mode, finding, certificate, dane, checked"),
        ("sort=--domain", "one of delivery"),
        ("page=2", "no such parameter; expected q, group, state, mode, finding, severity, mx, sort"),
        ("q=a&q=b", "twice"),
        ("mx=a..b", "the name of a mail host"),
    ] {
        assert!(wrong(query).contains(expected), "{query}: {}", wrong(query));
    }
}

#[test]
fn the_words_of_the_parameters_are_those_that_are_read() {
    for parameter in PARAMETERS {
        if let Kind::Word(words) = parameter.kind {
            for word in words() {
                let mut selection = Selection::default();
                assert_eq!(selection.take(parameter.name, word), Ok(()), "{}={word}", parameter.name);
            }
        }
    }
    assert_eq!(sort_words().len(), Sort::ALL.len() * 2);
    let states: Vec<_> = ShownState::ALL.iter().filter_map(|shown| shown.state()).collect();
    assert_eq!(states, State::ALL);
}

/// Any selection.
fn any_selection() -> impl Strategy<Value = Selection> {
    let of = |words: Vec<&'static str>| proptest::option::of(proptest::sample::select(words));
    let text = proptest::option::of("[ -~äß]{1,12}");
    let words: Vec<_> = PARAMETERS
        .iter()
        .map(|parameter| match parameter.kind {
            _ if parameter.name == "mx" => {
                of(vec!["mx1.example.com", "mx.example"]).prop_map(|word| word.map(str::to_owned)).boxed()
            }
            Kind::Word(words) => of(words()).prop_map(|word| word.map(str::to_owned)).boxed(),
            _ => text.clone().boxed(),
        })
        .collect();
    words.prop_map(|values| {
        let mut selection = Selection::default();
        for (parameter, value) in PARAMETERS.iter().zip(values) {
            if let Some(value) = value {
                selection.take(parameter.name, &value).unwrap();
            }
        }
        selection
    })
}

proptest! {
    #[test]
    fn a_link_leads_to_the_same_selection(selection in any_selection()) {
        let query = selection.query();
        prop_assert_eq!(select(query.strip_prefix('?').unwrap_or(&query)), selection);
    }

    /// Page by page one gets what one gets at once, whatever the order.
    #[test]
    fn pages_are_the_list(selection in any_selection(), most in 1usize..4) {
        let selection = Selection { text: String::new(), ..selection };
        for world in [four(), fixture::snapshot()] {
            let all = selection.rows(&world).rows;
            let mut paged = Vec::new();
            let mut place: Option<Place> = None;
            loop {
                let rest = match &place {
                    Some(place) => selection.behind(place, &all, &world),
                    None => &all[..],
                };
                let page = &rest[..most.min(rest.len())];
                let Some(last) = page.last() else { break };
                paged.extend(page.iter().map(|known| known.domain().clone()));
                place = Some(selection.place(last, &world).to_string().parse().unwrap());
            }
            let all: Vec<_> = all.iter().map(|known| known.domain().clone()).collect();
            prop_assert_eq!(paged, all);
        }
    }

    #[test]
    fn any_query_and_any_place_is_an_answer(text: String) {
        for parameter in PARAMETERS {
            let _ = Selection::default().take(parameter.name, &text);
        }
        let _ = text.parse::<Place>();
    }
}
