//! What a scrape shows of the shards.

use prometheus::{Error, GaugeVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::Shards;

/// The gauges.
#[derive(Debug)]
pub(in crate::monitor) struct Gauges {
    info: IntGaugeVec,
    slots: IntGauge,
    held: IntGaugeVec,
    /// Without labels; a vector, so that it is not there where no lease is held.
    renewed_at: GaugeVec,
}

impl Gauges {
    pub(in crate::monitor) fn register(registry: &Registry) -> Result<Self, Error> {
        // The crate refuses an empty help; what people read comes from the table of the metrics room.
        let opts = |name: &str| Opts::new(name, name);
        let gauges = Self {
            info: IntGaugeVec::new(opts("smtptls_shard_info"), &["index", "total"])?,
            slots: IntGauge::with_opts(opts("smtptls_shard_slots"))?,
            held: IntGaugeVec::new(opts("smtptls_shard_held"), &["slot"])?,
            renewed_at: GaugeVec::new(opts("smtptls_shard_lease_renewal_timestamp_seconds"), &[])?,
        };
        registry.register(Box::new(gauges.info.clone()))?;
        registry.register(Box::new(gauges.slots.clone()))?;
        registry.register(Box::new(gauges.held.clone()))?;
        registry.register(Box::new(gauges.renewed_at.clone()))?;
        Ok(gauges)
    }

    /// These are the shards now. A slot that is not held has no number, rather than 0.
    pub(in crate::monitor) fn set(&self, shards: &Shards) {
        let [index, total] = [shards.seat.index, shards.seat.total].map(|number| number.to_string());
        self.info.reset();
        if let Ok(gauge) = self.info.get_metric_with_label_values(&[index.as_str(), total.as_str()]) {
            gauge.set(1);
        }
        self.slots.set(shards.seat.total.into());
        self.held.reset();
        for slot in &shards.held {
            if let Ok(gauge) = self.held.get_metric_with_label_values(&[slot.to_string()]) {
                gauge.set(1);
            }
        }
    }

    /// The leases were renewed at this time, in seconds since 1970.
    pub(in crate::monitor) fn renewed(&self, at: f64) {
        if let Ok(gauge) = self.renewed_at.get_metric_with_label_values::<&str>(&[]) {
            gauge.set(at);
        }
    }
}
