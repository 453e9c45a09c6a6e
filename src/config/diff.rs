//! What a reload changes, so that it touches nothing else.

use super::{
    domains::{DomainList, Pair, Pairs},
    settings::Settings,
};
use crate::terms::PolicyDomain;

/// The difference between two configurations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Domains that are new.
    pub added: Vec<PolicyDomain>,
    /// Domains that are gone.
    pub removed: Vec<PolicyDomain>,
    /// Domains whose own settings differ.
    pub changed: Vec<PolicyDomain>,
    /// How domains are probed has changed (`probe`).
    pub probing_changed: bool,
    /// How DNS is asked has changed (`resolver`).
    pub resolver_changed: bool,
    /// How facts are judged has changed (`own_mx`, `thresholds`, `severities`, `accept`): the same facts, another verdict.
    pub judging_changed: bool,
    /// Any other key has changed: sources of domains and reports, metrics, shard, state.
    pub others_changed: bool,
}

impl Change {
    /// What leads from `old` to `new`. The lists are in the order of the configuration they name.
    pub fn between(old: &Settings, new: &Settings) -> Self {
        let (added, removed, changed) = domains(&old.domains, &new.domains);
        let mut change = Self {
            added,
            removed,
            changed,
            probing_changed: old.probe != new.probe,
            resolver_changed: old.resolver != new.resolver,
            judging_changed: old.own_mx != new.own_mx
                || old.thresholds != new.thresholds
                || old.severities != new.severities
                || old.accept != new.accept,
            others_changed: false,
        };
        change.others_changed = old.domain_files != new.domain_files
            || old.http_sd != new.http_sd
            || old.reports != new.reports
            || old.metrics != new.metrics
            || old.shard != new.shard
            || old.state != new.state;
        change
    }

    /// Whether nothing has changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Which are new, gone, and have other options. Only the names of those are copied, and two lists that are one are not walked.
fn domains(old: &DomainList, new: &DomainList) -> (Vec<PolicyDomain>, Vec<PolicyDomain>, Vec<PolicyDomain>) {
    if old.is_same(new) {
        return Default::default();
    }
    let (mut added, mut removed, mut changed) = (Vec::new(), Vec::new(), Vec::new());
    for pair in Pairs::of(old, new) {
        match pair {
            Pair::Old { place } => removed.push(place),
            Pair::New { place } => added.push(place),
            Pair::Both { old, new, place } if old.options != new.options => changed.push(place),
            Pair::Both { .. } => {}
        }
    }
    (names(new, added), names(old, removed), names(new, changed))
}

/// The names at these places, in the order of the list.
fn names(list: &DomainList, mut places: Vec<usize>) -> Vec<PolicyDomain> {
    places.sort_unstable();
    places.into_iter().filter_map(|place| list.get(place)).map(|one| one.domain.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::load::parse, *};

    fn settings(text: &str) -> Settings {
        parse("test.yml", text).unwrap().settings
    }

    fn listed(domains: &[PolicyDomain]) -> Vec<&str> {
        domains.iter().map(PolicyDomain::as_str).collect()
    }

    #[test]
    fn domains_that_stay_are_not_touched() {
        let old = settings("domains: [a.example, b.example, {domain: c.example, group: x}]");
        let new = settings("domains: [d.example, {domain: c.example, group: y}, A.example.]");
        let change = Change::between(&old, &new);
        assert_eq!(listed(&change.added), ["d.example"]);
        assert_eq!(listed(&change.removed), ["b.example"]);
        assert_eq!(listed(&change.changed), ["c.example"]);
        assert!(
            !change.probing_changed && !change.resolver_changed && !change.judging_changed && !change.others_changed
        );
    }

    #[test]
    fn each_list_is_in_the_order_of_the_configuration_that_it_names() {
        let old =
            settings("domains: [z.example, b.example, y.example, a.example, {domain: m.example, group: x}, c.example]");
        let new = settings(
            "domains: [c.example, q.example, {domain: m.example, group: y}, d.example, {domain: b.example, group: x}]",
        );
        let change = Change::between(&old, &new);
        assert_eq!(listed(&change.added), ["q.example", "d.example"]);
        assert_eq!(listed(&change.removed), ["z.example", "y.example", "a.example"]);
        assert_eq!(listed(&change.changed), ["m.example", "b.example"]);
    }

    #[test]
    fn spelling_changes_nothing() {
        let old = settings("domains: [a.example]\nprobe: {interval: 10m}\nresolver: {servers: [192.0.2.1]}");
        let new =
            settings("domains:\n- {domain: A.example}\nprobe: {interval: 600s}\nresolver: {servers: ['192.0.2.1:53']}");
        assert!(Change::between(&old, &new).is_empty());
    }

    #[test]
    fn each_part_has_its_mark() {
        let none = Settings::default();
        let change = |text: &str| Change::between(&none, &settings(text));
        assert_eq!(change("probe: {max_mx: 3}"), Change { probing_changed: true, ..Change::default() });
        assert_eq!(change("resolver: {timeout: 3s}"), Change { resolver_changed: true, ..Change::default() });
        assert_eq!(change("metrics: {level: full}"), Change { others_changed: true, ..Change::default() });
        for text in [
            "own_mx: [a.b]",
            "severities: {mx-cname: info}",
            "accept: [{code: mx-cname}]",
            "thresholds: {certificate_error: 1d}",
        ] {
            assert_eq!(change(text), Change { judging_changed: true, ..Change::default() }, "{text}");
        }
    }
}
