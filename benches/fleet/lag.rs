//! How late looks begin, as the monitor tells it: its own histogram.

use smtptls_exporter::monitor::Telemetry;

/// The buckets at one moment: upper bound in seconds, and how many looks lie below.
#[derive(Clone, Debug)]
pub(crate) struct Lag {
    buckets: Vec<(f64, u64)>,
    pub(crate) count: u64,
}

impl Lag {
    pub(crate) fn of(telemetry: &Telemetry) -> Self {
        let families = telemetry.gather();
        let family = families.iter().find(|family| family.name() == "smtptls_schedule_lag_seconds");
        let metric = family.and_then(|family| family.get_metric().first()).expect("the monitor tells its lag");
        let histogram = metric.get_histogram();
        let bounds = histogram.get_bucket().iter();
        let buckets = bounds.map(|bucket| (bucket.upper_bound(), bucket.cumulative_count())).collect();
        Self { buckets, count: histogram.get_sample_count() }
    }

    /// What came after an earlier moment.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let both = self.buckets.iter().zip(&earlier.buckets);
        let buckets = both.map(|((bound, now), (_, before))| (*bound, now - before)).collect();
        Self { buckets, count: self.count - earlier.count }
    }

    /// The share of looks that began within so many seconds, which is one of the bounds.
    pub(crate) fn within(&self, seconds: f64) -> f64 {
        let below = self.buckets.iter().filter(|(bound, _)| *bound <= seconds).map(|(_, count)| *count).max();
        below.unwrap_or(0) as f64 / self.count as f64
    }

    /// The upper bound of the bucket in which this share is reached; infinite beyond the last.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let reached = |(_, count): &&(f64, u64)| *count as f64 >= self.count as f64 * share;
        self.buckets.iter().find(reached).map_or(f64::INFINITY, |(bound, _)| *bound)
    }
}
