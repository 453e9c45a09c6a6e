//! How much is exported: the keys `metrics` of the configuration.

use super::{
    block,
    registry::{Family, Level, Subject, families},
};
use crate::{
    config::{self, AddressMetrics, MetricsLevel, file},
    facts::HostObservation,
    monitor::HostState,
    terms::place,
};

/// Which families are exported, which addresses of a mail host have series of their own, and how many series there are at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    level: Level,
    addresses: AddressMetrics,
    most: u64,
    allow: Vec<String>,
    deny: Vec<String>,
}

/// Unless the configuration says otherwise: more than Prometheus takes of one target within its usual timeout.
const MOST_SERIES: u64 = 1_000_000;

/// So many addresses a host may have while it cannot be looked up, before they are taken for those of a pool that rotates: mail hosts
/// with more that are all told at once are rare.
const STEADY: usize = 8;

impl From<Level> for Extent {
    /// All of a level, and each address.
    fn from(level: Level) -> Self {
        Self { level, addresses: AddressMetrics::All, most: MOST_SERIES, allow: Vec::new(), deny: Vec::new() }
    }
}

impl From<&file::Metrics> for Extent {
    fn from(keys: &file::Metrics) -> Self {
        let patterns = |written: &Option<config::At<Vec<config::At<String>>>>| -> Vec<String> {
            written.iter().flat_map(|list| &list.value).map(|at| at.value.clone()).collect()
        };
        Self {
            level: match keys.level.map_or(MetricsLevel::Normal, |at| at.value) {
                MetricsLevel::Summary => Level::Summary,
                MetricsLevel::Normal => Level::Normal,
                MetricsLevel::Full => Level::Full,
            },
            addresses: keys.addresses.map_or(AddressMetrics::Auto, |at| at.value),
            most: keys.max_series.map_or(MOST_SERIES, |at| at.value.0),
            allow: patterns(&keys.allow),
            deny: patterns(&keys.deny),
        }
    }
}

impl Extent {
    /// The level.
    pub fn level(&self) -> Level {
        self.level
    }

    /// How many series of domains and mail hosts are exported at most.
    pub(super) const fn most(&self) -> u64 {
        self.most
    }

    /// Whether a family is exported: one of the level or that `allow` names, unless `deny` names it.
    pub(super) fn exports(&self, family: &Family) -> bool {
        let named = |patterns: &[String]| patterns.iter().any(|pattern| fits(pattern, family.name));
        (family.level <= self.level || named(&self.allow)) && !named(&self.deny)
    }

    /// The same of each family of a table, by its place there.
    pub(super) fn exported(&self, subject: Subject) -> Vec<bool> {
        subject.families().iter().map(|family| self.exports(family)).collect()
    }

    /// Whether one set of samples stands for all addresses of a host.
    pub(super) fn one_for_all(&self, host: &HostState) -> bool {
        match self.addresses {
            AddressMetrics::All => false,
            AddressMetrics::Worst => true,
            AddressMetrics::Auto => rotates(host),
        }
    }

    /// Tells one extent from another, and one layout of blocks from another: blocks with the same are read in the same way, by every
    /// version that gives this number, whatever it was built with.
    pub(super) fn fingerprint(&self) -> u64 {
        let tables = [Subject::Domain, Subject::Host].map(|subject| {
            let families: Vec<_> = subject.families().iter().map(|family| (family.name, family.labels)).collect();
            (self.exported(subject), families)
        });
        place(&format!("{:?}", (block::FORMAT, self.level, self.addresses.as_str(), tables)))
    }

    /// The patterns of `allow` and `deny` that no family of this version fits, with the key.
    pub fn without_family(keys: &file::Metrics) -> Vec<(&'static str, config::At<String>)> {
        let lists = [("metrics.allow", &keys.allow), ("metrics.deny", &keys.deny)];
        let entries = lists.into_iter().flat_map(|(key, list)| {
            list.iter().flat_map(|list| &list.value).map(move |pattern| (key, pattern.clone()))
        });
        entries.filter(|(_, pattern)| !families().any(|family| fits(&pattern.value, family.name))).collect()
    }
}

/// Whether the addresses of a host change from answer to answer: within a day it had more than twice as many as the last answer has.
/// A host that moved once has twice as many for that day, and keeps its series.
fn rotates(host: &HostState) -> bool {
    let answered = host.lookup.as_deref().filter(|lookup| lookup.addresses.answered()).map(told);
    host.paths.len() > answered.map_or(STEADY, |answered| 2 * answered)
}

fn told(lookup: &HostObservation) -> usize {
    lookup.addresses.addresses().count()
}

/// Whether a name is of the pattern, in which `*` stands for any text.
fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::metrics::fixture;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, name, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("", "a", false),
            ("*", "anything", true),
            ("a*", "a", true),
            ("a*", "ba", false),
            ("*c", "abc", true),
            ("*c", "abcd", false),
            ("a*c", "abc", true),
            ("a*a", "a", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "acb", false),
            ("**", "", true),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }

    fn keys(yaml: &str) -> file::Metrics {
        config::parse("t", &format!("domains: [a.example]\nmetrics: {yaml}\n")).unwrap().settings.metrics
    }

    #[test]
    fn allowed_families_come_above_the_level_and_denied_ones_go() {
        let extent = Extent::from(&keys("{level: summary, allow: [smtptls_finding], deny: ['smtptls_mx_*']}"));
        let exported = |name: &str| extent.exports(families().find(|family| family.name == name).unwrap());
        assert!(exported("smtptls_domain_delivery") && exported("smtptls_finding"));
        assert!(!exported("smtptls_domain_paths"), "above the level");
        assert!(!exported("smtptls_mx_domains") && exported("smtptls_domain_mx_info"));
        let both = Extent::from(&keys("{allow: ['*'], deny: [smtptls_finding]}"));
        assert_eq!(
            families().filter(|family| !both.exports(family)).map(|f| f.name).collect::<Vec<_>>(),
            ["smtptls_finding"]
        );
    }

    #[test]
    fn what_fits_no_family_is_told() {
        let odd = Extent::without_family(&keys("{allow: [smtptls_findings, 'smtptls_*'], deny: [go_*]}"));
        let odd: Vec<_> = odd.iter().map(|(key, pattern)| (*key, pattern.value.as_str())).collect();
        assert_eq!(odd, [("metrics.allow", "smtptls_findings"), ("metrics.deny", "go_*")]);
    }

    #[test]
    fn what_decides_about_blocks_is_in_the_fingerprint_and_nothing_else() {
        let of = |yaml: &str| Extent::from(&keys(yaml)).fingerprint();
        let normal = of("{level: normal, addresses: all}");
        assert_eq!(normal, Extent::from(Level::Normal).fingerprint());
        for other in [
            "{level: full, addresses: all}",
            "{addresses: worst}",
            "{addresses: auto}",
            "{addresses: all, deny: [smtptls_finding]}",
        ] {
            assert_ne!(of(other), normal, "{other}");
        }
        assert_eq!(of("{addresses: all, max_series: 5, deny: [process_threads]}"), normal, "no block has any of it");
    }

    #[test]
    fn a_host_rotates_where_a_day_brings_more_than_twice_the_addresses_of_an_answer() {
        let auto = Extent::from(&keys("{addresses: auto}"));
        let with = |paths: usize, ips: &[&str]| {
            let mut state = (*fixture::hosts()[0]).clone();
            state.lookup = Some(fixture::host_observation("mx1.example.com", ips, &[]));
            let path = |last: usize| Arc::new(fixture::good_path("mx1.example.com", &format!("192.0.2.{last}")));
            state.paths = (1..=paths).map(path).collect();
            auto.one_for_all(&state)
        };
        assert!(!with(2, &["192.0.2.1", "192.0.2.2"]));
        assert!(!with(4, &["192.0.2.1", "192.0.2.2"]), "it moved once, and the old ones are remembered");
        assert!(with(5, &["192.0.2.1", "192.0.2.2"]));
        let mut failing = (*fixture::hosts()[0]).clone();
        failing.lookup = Some(fixture::failed_host_observation("mx1.example.com"));
        assert!(!auto.one_for_all(&failing), "a lookup that fails makes no pool of a host");
    }
}
