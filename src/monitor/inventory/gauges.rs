//! How the sources of domains are, as gauges: a label value a source of the configuration, however many files it has.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use prometheus::{Error, GaugeVec, IntGaugeVec, Opts, Registry};

use crate::{config::inventory::SourceList, terms::Timestamp};

/// How one source is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InventorySource {
    /// The pattern, or the URL without what may be secret in it.
    pub name: String,
    /// Whether all of it could be read at the last look or fetch; nothing before the first fetch.
    pub up: Option<bool>,
    /// When that last was so.
    pub success_at: Option<Timestamp>,
    /// Domains in its lists.
    pub domains: usize,
    /// Entries that cannot be used.
    pub skipped: usize,
}

impl InventorySource {
    pub(super) fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    pub(super) fn count(&mut self, list: Option<&SourceList>) {
        if let Some(list) = list {
            self.domains += list.domains.len();
            self.skipped += list.skipped;
        }
    }
}

/// The gauges.
#[derive(Debug)]
pub(in crate::monitor) struct Gauges {
    up: IntGaugeVec,
    success_at: GaugeVec,
    domains: IntGaugeVec,
    skipped: IntGaugeVec,
    /// The sources that are told now.
    told: Mutex<BTreeSet<String>>,
}

const LABEL: &[&str] = &["source"];

impl Gauges {
    pub(in crate::monitor) fn register(registry: &Registry) -> Result<Self, Error> {
        // The crate refuses an empty help; what people read comes from the table of the metrics room.
        let opts = |name: &str| Opts::new(name, name);
        let gauges = Self {
            up: IntGaugeVec::new(opts("smtptls_inventory_source_up"), LABEL)?,
            success_at: GaugeVec::new(opts("smtptls_inventory_source_last_success_timestamp_seconds"), LABEL)?,
            domains: IntGaugeVec::new(opts("smtptls_inventory_source_domains"), LABEL)?,
            skipped: IntGaugeVec::new(opts("smtptls_inventory_source_skipped_entries"), LABEL)?,
            told: Mutex::default(),
        };
        registry.register(Box::new(gauges.up.clone()))?;
        registry.register(Box::new(gauges.success_at.clone()))?;
        registry.register(Box::new(gauges.domains.clone()))?;
        registry.register(Box::new(gauges.skipped.clone()))?;
        Ok(gauges)
    }

    /// These are the sources now.
    pub(in crate::monitor) fn set(&self, sources: Vec<InventorySource>) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let mut now = BTreeSet::new();
        for source in sources {
            let name = unlike(source.name, &now);
            let label = [name.as_str()];
            set(&self.domains, label, Some(clamp(source.domains)));
            set(&self.skipped, label, Some(clamp(source.skipped)));
            set(&self.up, label, source.up.map(i64::from));
            match (source.success_at, self.success_at.get_metric_with_label_values(&label)) {
                (Some(at), Ok(gauge)) => gauge.set(seconds(at)),
                // A source that was never well has no time, not the year 1970.
                _ => drop(self.success_at.remove_label_values(&label)),
            }
            now.insert(name);
        }
        for gone in told.difference(&now) {
            let label = [gone.as_str()];
            // What has no series needs none taken away.
            drop(self.success_at.remove_label_values(&label));
            for gauges in [&self.up, &self.domains, &self.skipped] {
                drop(gauges.remove_label_values(&label));
            }
        }
        *told = now;
    }
}

/// URLs that differ in what is hidden would be one series.
fn unlike(name: String, taken: &BTreeSet<String>) -> String {
    if !taken.contains(&name) {
        return name;
    }
    let free = (2_usize..).map(|number| format!("{name} #{number}")).find(|numbered| !taken.contains(numbered));
    free.unwrap_or(name)
}

fn set(gauges: &IntGaugeVec, label: [&str; 1], value: Option<i64>) {
    match (value, gauges.get_metric_with_label_values(&label)) {
        (Some(value), Ok(gauge)) => gauge.set(value),
        // Nothing is known yet: no series.
        _ => drop(gauges.remove_label_values(&label)),
    }
}

fn clamp(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Unix seconds are far below 2^53: the float is exact.
#[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit into 53 bits")]
const fn seconds(at: Timestamp) -> f64 {
    at.unix_seconds() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(registry: &Registry) -> Vec<String> {
        let families = registry.gather();
        let line = |family: &prometheus::proto::MetricFamily| {
            let name = family.name().trim_start_matches("smtptls_inventory_source_").to_owned();
            family
                .get_metric()
                .iter()
                .map(|metric| format!("{name} {} {}", metric.get_label()[0].value(), metric.get_gauge().get_value()))
                .collect::<Vec<_>>()
        };
        families.iter().flat_map(line).collect()
    }

    #[test]
    fn each_source_has_its_series_while_it_is_configured() {
        let registry = Registry::new();
        let gauges = Gauges::register(&registry).unwrap();
        let up = InventorySource {
            up: Some(true),
            success_at: Some(Timestamp::from_unix_seconds(1_795_464_000)),
            domains: 3,
            skipped: 1,
            ..InventorySource::named("a")
        };
        gauges.set(vec![up.clone(), InventorySource::named("http://b/?***"), InventorySource::named("http://b/?***")]);
        let all = told(&registry);
        assert_eq!(
            all,
            [
                "domains a 3",
                "domains http://b/?*** 0",
                "domains http://b/?*** #2 0",
                "last_success_timestamp_seconds a 1795464000",
                "skipped_entries a 1",
                "skipped_entries http://b/?*** 0",
                "skipped_entries http://b/?*** #2 0",
                "up a 1",
            ],
            "what was never fetched is neither up nor down"
        );
        gauges.set(vec![InventorySource { up: Some(false), ..up }]);
        assert_eq!(told(&registry).len(), 4);
        gauges.set(Vec::new());
        assert_eq!(told(&registry), Vec::<String>::new());
    }
}
