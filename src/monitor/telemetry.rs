//! What the monitor counts about itself while it works: probes, their schedule, reloads, panics and questions to the DNS.
//!
//! Only numbers are kept here, and a [`Telemetry`] never asks the clock: durations and times are handed in. Every label
//! value that can occur is there from the start at 0, because a counter that is born with a count hides its first rise.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, core::Metric as _, proto::MetricFamily,
};

use tokio::sync::watch;

use super::{
    Shards,
    inventory::{Gauges, InventorySource},
    sharding,
};
use crate::terms::Timestamp;

/// What is probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProbeKind {
    /// Records, policy and MX list of a domain.
    Domain,
    /// The address lookup of a mail host.
    Mx,
    /// One address of a mail host.
    MxAddress,
    /// What else one address of a mail host offers.
    Survey,
    /// A mail host that is known to work.
    Canary,
}

impl ProbeKind {
    /// All.
    pub const ALL: [Self; 5] = [Self::Domain, Self::Mx, Self::MxAddress, Self::Survey, Self::Canary];

    /// The value of the label `kind`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Domain => "domain",
            Self::Mx => "mx",
            Self::MxAddress => "mx-address",
            Self::Survey => "survey",
            Self::Canary => "canary",
        }
    }
}

/// The label `result_type`: the words of RFC 8460 §4.3, then those for what a sender would not report.
pub const RESULT_TYPES: [&str; 16] = [
    "starttls-not-supported",
    "certificate-host-mismatch",
    "certificate-expired",
    "certificate-not-trusted",
    "validation-failure",
    "tlsa-invalid",
    "dnssec-invalid",
    "dane-required",
    "sts-policy-fetch-error",
    "sts-policy-invalid",
    "sts-webpki-invalid",
    "dns-error",
    "connect-refused",
    "timeout",
    "smtp-error",
    OTHER,
];

/// Where a result type goes that is none of the others.
const OTHER: &str = "other";

/// Seconds. From a policy host next door to the deadline of a whole probe.
const PROBE_BUCKETS: [f64; 10] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// Seconds. A schedule in good order starts within one of them, hence the many below it; minutes mean that too much is due at once.
const LAG_BUCKETS: [f64; 14] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 10.0, 60.0, 300.0, 900.0, 3600.0];

/// When the process started, as its collector calls it.
const PROCESS_START: &str = "process_start_time_seconds";

/// The numbers of the resolver, as it stands at one moment. They only rise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DnsCounters {
    /// Questions sent, by record type (`A`, `MX`).
    pub queries: Vec<(&'static str, u64)>,
    /// Questions without an answer, by the label of [`LookupFailure`](crate::facts::LookupFailure).
    pub failures: Vec<(&'static str, u64)>,
    /// Questions answered from the cache.
    pub cache_hits: u64,
}

/// Gives the numbers of the resolver whenever it is asked.
pub type DnsSource = Box<dyn Fn() -> DnsCounters + Send + Sync>;

/// The counters could not be set up: two of them have one name. A fault of the program.
#[derive(Debug, thiserror::Error)]
#[error("the metrics of the monitor cannot be set up: {0}")]
pub struct TelemetryError(#[from] prometheus::Error);

/// What the monitor counts about itself. Clones share their numbers.
#[derive(Clone)]
pub struct Telemetry(Arc<Inner>);

struct Inner {
    registry: Registry,
    probes: IntCounterVec,
    failures: IntCounterVec,
    durations: HistogramVec,
    in_flight: IntGaugeVec,
    intervals: GaugeVec,
    targets: IntGaugeVec,
    lag: Histogram,
    overdue: IntGauge,
    stretch: Gauge,
    slowed: IntCounter,
    panics: IntCounter,
    /// The task that the monitor cannot do without and that is gone.
    lost: watch::Sender<Option<&'static str>>,
    /// In no registry of its own: it stands in for what the kernel hides.
    process_started_at: Gauge,
    reload_successful: IntGauge,
    reload_success_at: Gauge,
    state_failures: IntCounter,
    state_written_at: Gauge,
    state_size: IntGauge,
    state_damaged: IntGauge,
    inventory: Gauges,
    sharding: sharding::Gauges,
    dns: RwLock<Option<DnsSource>>,
}

/// A probe that runs. Dropped without [`ended`](Self::ended), because it was cancelled, it counts nowhere.
#[derive(Debug)]
pub struct ProbeGuard {
    telemetry: Telemetry,
    kind: ProbeKind,
}

impl Telemetry {
    /// A set of counters, all at 0.
    ///
    /// # Errors
    /// [`TelemetryError`] where the counters contradict each other.
    pub fn new() -> Result<Self, TelemetryError> {
        let registry = Registry::new();
        #[cfg(target_os = "linux")]
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let inner = Inner {
            probes: register(&registry, IntCounterVec::new(opts("smtptls_probes_total"), &["kind"])?)?,
            failures: register(
                &registry,
                IntCounterVec::new(opts("smtptls_probe_failures_total"), &["kind", "result_type"])?,
            )?,
            durations: register(
                &registry,
                HistogramVec::new(histogram("smtptls_probe_duration_seconds", &PROBE_BUCKETS), &["kind"])?,
            )?,
            in_flight: register(&registry, IntGaugeVec::new(opts("smtptls_probes_in_flight"), &["kind"])?)?,
            intervals: register(&registry, GaugeVec::new(opts("smtptls_probe_interval_seconds"), &["kind"])?)?,
            targets: register(&registry, IntGaugeVec::new(opts("smtptls_targets"), &["kind"])?)?,
            lag: register(&registry, Histogram::with_opts(histogram("smtptls_schedule_lag_seconds", &LAG_BUCKETS))?)?,
            overdue: register(&registry, IntGauge::with_opts(opts("smtptls_schedule_overdue"))?)?,
            stretch: register(&registry, Gauge::with_opts(opts("smtptls_schedule_stretch_ratio"))?)?,
            slowed: register(&registry, IntCounter::with_opts(opts("smtptls_politeness_slowed_total"))?)?,
            panics: register(&registry, IntCounter::with_opts(opts("smtptls_task_panics_total"))?)?,
            lost: watch::Sender::new(None),
            process_started_at: Gauge::with_opts(opts(PROCESS_START))?,
            reload_successful: register(
                &registry,
                IntGauge::with_opts(opts("smtptls_config_last_reload_successful"))?,
            )?,
            reload_success_at: register(
                &registry,
                Gauge::with_opts(opts("smtptls_config_last_reload_success_timestamp_seconds"))?,
            )?,
            state_failures: register(&registry, IntCounter::with_opts(opts("smtptls_state_write_failures_total"))?)?,
            state_written_at: register(
                &registry,
                Gauge::with_opts(opts("smtptls_state_last_write_timestamp_seconds"))?,
            )?,
            state_size: register(&registry, IntGauge::with_opts(opts("smtptls_state_size_bytes"))?)?,
            state_damaged: register(&registry, IntGauge::with_opts(opts("smtptls_state_damaged_files"))?)?,
            inventory: Gauges::register(&registry)?,
            sharding: sharding::Gauges::register(&registry)?,
            dns: RwLock::new(None),
            registry,
        };
        inner.stretch.set(1.0);
        for kind in ProbeKind::ALL {
            let kind = kind.as_str();
            inner.probes.get_metric_with_label_values(&[kind])?;
            inner.durations.get_metric_with_label_values(&[kind])?;
            inner.in_flight.get_metric_with_label_values(&[kind])?;
            for result_type in RESULT_TYPES {
                inner.failures.get_metric_with_label_values(&[kind, result_type])?;
            }
        }
        Ok(Self(Arc::new(inner)))
    }

    /// A probe begins. The guard counts it among those in flight.
    pub fn probe_started(&self, kind: ProbeKind) -> ProbeGuard {
        if let Ok(gauge) = self.0.in_flight.get_metric_with_label_values(&[kind.as_str()]) {
            gauge.inc();
        }
        ProbeGuard { telemetry: self.clone(), kind }
    }

    /// How much later than due a probe began.
    pub fn schedule_lag(&self, lag: Duration) {
        self.0.lag.observe(lag.as_secs_f64());
    }

    /// How many probes are due and have not begun.
    pub fn set_overdue(&self, probes: usize) {
        self.0.overdue.set(clamp(probes));
    }

    /// How many probes are due and have not begun, as the keeper last said.
    pub fn overdue(&self) -> i64 {
        self.0.overdue.get()
    }

    /// By how much all intervals are longer than configured: 1 where all is done in time.
    pub fn set_stretch(&self, ratio: f64) {
        self.0.stretch.set(ratio);
    }

    /// A mail host said 4xx, and its probes are further apart for it.
    pub fn slowed(&self) {
        self.0.slowed.inc();
    }

    /// The configured interval of one kind of probe.
    pub fn set_interval(&self, kind: ProbeKind, interval: Duration) {
        if let Ok(gauge) = self.0.intervals.get_metric_with_label_values(&[kind.as_str()]) {
            gauge.set(interval.as_secs_f64());
        }
    }

    /// How many subjects of one kind there are now.
    pub fn set_targets(&self, kind: ProbeKind, targets: usize) {
        if let Ok(gauge) = self.0.targets.get_metric_with_label_values(&[kind.as_str()]) {
            gauge.set(clamp(targets));
        }
    }

    /// A task panicked.
    pub(super) fn task_panicked(&self) {
        self.0.panics.inc();
    }

    /// This task of those that the monitor cannot do without is gone.
    pub(super) fn lose(&self, name: &'static str) {
        self.0.lost.send_replace(Some(name));
    }

    /// What tells that one is gone.
    pub(super) fn losses(&self) -> watch::Receiver<Option<&'static str>> {
        self.0.lost.subscribe()
    }

    /// The configuration was loaded at `at`, or was refused (`ok` is false) and the one before stays.
    pub fn config_reloaded(&self, ok: bool, at: Timestamp) {
        self.0.reload_successful.set(i64::from(ok));
        if ok {
            self.0.reload_success_at.set(seconds(at));
        }
    }

    /// So many writes to the store failed, or so many changes were lost before one could be tried.
    pub fn state_write_failed(&self, failures: u64) {
        self.0.state_failures.inc_by(failures);
    }

    /// Something was written to the store at `at`.
    pub fn state_written(&self, at: Timestamp) {
        self.0.state_written_at.set(seconds(at));
    }

    /// How many bytes the store takes, and how many damaged files were set aside and are still there.
    pub fn state_stands(&self, bytes: u64, damaged: usize) {
        self.0.state_size.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        self.0.state_damaged.set(clamp(damaged));
    }

    /// How the sources of domains beside the configuration file are now.
    pub fn set_inventory(&self, sources: Vec<InventorySource>) {
        self.0.inventory.set(sources);
    }

    /// Which part of the domains this instance has. A slot that it does not have has no number, rather than 0.
    pub fn set_shards(&self, shards: &Shards) {
        self.0.sharding.set(shards);
    }

    /// The leases on the slots were renewed, as far as the database gave them.
    pub fn lease_renewed(&self, at: Timestamp) {
        self.0.sharding.renewed(seconds(at));
    }

    /// Where the numbers of the resolver come from. Asked at each scrape; it must not block.
    pub fn set_dns_source(&self, source: DnsSource) {
        *self.0.dns.write().unwrap_or_else(PoisonError::into_inner) = Some(source);
    }

    /// The numbers of the resolver now; nothing where none was set.
    pub fn dns(&self) -> Option<DnsCounters> {
        self.0.dns.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(|source| source())
    }

    /// The process started at `at`: for where the kernel does not say when it was booted (`ProcSubset=pid` of systemd hides it).
    pub fn process_started(&self, at: Timestamp) {
        self.0.process_started_at.set(seconds(at));
    }

    /// All other numbers now, and those of the process, in order of their names. The help texts in it mean nothing.
    pub fn gather(&self) -> Vec<MetricFamily> {
        let mut families = self.0.registry.gather();
        let started = families.iter_mut().find(|family| family.name() == PROCESS_START);
        for metric in started.into_iter().flat_map(MetricFamily::mut_metric) {
            // 1970: the collector could not tell.
            if metric.get_gauge().get_value() == 0.0 {
                *metric = self.0.process_started_at.metric();
            }
        }
        families
    }
}

impl ProbeGuard {
    /// The probe ended after `duration`; `failure` is one of [`RESULT_TYPES`] (any other word counts as `other`), or
    /// nothing where all went well.
    pub fn ended(self, duration: Duration, failure: Option<&'static str>) {
        let inner = &self.telemetry.0;
        let kind = self.kind.as_str();
        if let Ok(counter) = inner.probes.get_metric_with_label_values(&[kind]) {
            counter.inc();
        }
        if let Ok(histogram) = inner.durations.get_metric_with_label_values(&[kind]) {
            histogram.observe(duration.as_secs_f64());
        }
        let Some(word) = failure else { return };
        let word = if RESULT_TYPES.contains(&word) { word } else { OTHER };
        if let Ok(counter) = inner.failures.get_metric_with_label_values(&[kind, word]) {
            counter.inc();
        }
    }
}

impl Drop for ProbeGuard {
    fn drop(&mut self) {
        if let Ok(gauge) = self.telemetry.0.in_flight.get_metric_with_label_values(&[self.kind.as_str()]) {
            gauge.dec();
        }
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}

/// The crate refuses an empty help; what people read comes from the table of the metrics room.
fn opts(name: &str) -> Opts {
    Opts::new(name, name)
}

fn histogram(name: &str, buckets: &[f64]) -> HistogramOpts {
    HistogramOpts::new(name, name).buckets(buckets.to_vec())
}

fn register<C: prometheus::core::Collector + Clone + 'static>(
    registry: &Registry,
    collector: C,
) -> prometheus::Result<C> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

/// Unix seconds are far below 2^53: the float is exact.
#[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit into 53 bits")]
const fn seconds(at: Timestamp) -> f64 {
    at.unix_seconds() as f64
}

fn clamp(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::Seat;

    fn value(telemetry: &Telemetry, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let families = telemetry.gather();
        let family = families.iter().find(|family| family.name() == name)?;
        let metric = family.get_metric().iter().find(|metric| {
            labels.iter().all(|(key, value)| metric.get_label().iter().any(|l| l.name() == *key && l.value() == *value))
        })?;
        Some(metric.get_counter().get_value() + metric.get_gauge().get_value())
    }

    #[test]
    fn every_counter_is_there_at_zero_before_it_rises() {
        let telemetry = Telemetry::new().unwrap();
        for kind in ProbeKind::ALL {
            assert_eq!(value(&telemetry, "smtptls_probes_total", &[("kind", kind.as_str())]), Some(0.0));
            for word in RESULT_TYPES {
                let labels = [("kind", kind.as_str()), ("result_type", word)];
                assert_eq!(value(&telemetry, "smtptls_probe_failures_total", &labels), Some(0.0));
            }
        }
        assert_eq!(value(&telemetry, "smtptls_task_panics_total", &[]), Some(0.0));
    }

    #[test]
    fn a_probe_is_in_flight_until_it_ends_and_counts_once() {
        let telemetry = Telemetry::new().unwrap();
        let kind = [("kind", "mx-address")];
        let guard = telemetry.probe_started(ProbeKind::MxAddress);
        assert_eq!(value(&telemetry, "smtptls_probes_in_flight", &kind), Some(1.0));
        guard.ended(Duration::from_secs(1), Some("timeout"));
        telemetry.probe_started(ProbeKind::MxAddress).ended(Duration::ZERO, None);
        telemetry.probe_started(ProbeKind::MxAddress).ended(Duration::ZERO, Some("a word from nowhere"));
        drop(telemetry.probe_started(ProbeKind::MxAddress));
        assert_eq!(value(&telemetry, "smtptls_probes_in_flight", &kind), Some(0.0));
        assert_eq!(value(&telemetry, "smtptls_probes_total", &kind), Some(3.0), "a cancelled probe does not count");
        let failed =
            |word| value(&telemetry, "smtptls_probe_failures_total", &[("kind", "mx-address"), ("result_type", word)]);
        assert_eq!((failed("timeout"), failed("other"), failed("smtp-error")), (Some(1.0), Some(1.0), Some(0.0)));
    }

    #[test]
    fn a_refused_reload_keeps_the_time_of_the_last_good_one() {
        let telemetry = Telemetry::new().unwrap();
        telemetry.config_reloaded(true, Timestamp::from_unix_seconds(1_795_464_000));
        telemetry.config_reloaded(false, Timestamp::from_unix_seconds(1_795_465_000));
        assert_eq!(value(&telemetry, "smtptls_config_last_reload_successful", &[]), Some(0.0));
        let at = value(&telemetry, "smtptls_config_last_reload_success_timestamp_seconds", &[]);
        assert_eq!(at, Some(1_795_464_000.0));
    }

    #[test]
    fn only_slots_that_are_held_have_a_number() {
        let telemetry = Telemetry::new().unwrap();
        let shards = |index, held: &[u32]| Shards {
            held: held.iter().copied().collect(),
            ..Shards::alone(Seat { index, total: 3 })
        };
        telemetry.set_shards(&shards(1, &[0, 1]));
        let held = |slot| value(&telemetry, "smtptls_shard_held", &[("slot", slot)]);
        assert_eq!((held("0"), held("1"), held("2")), (Some(1.0), Some(1.0), None));
        telemetry.set_shards(&shards(1, &[2]));
        assert_eq!((held("0"), held("1"), held("2")), (None, None, Some(1.0)));
        telemetry.set_shards(&shards(1, &[]));
        assert_eq!(held("2"), None);
        assert_eq!(value(&telemetry, "smtptls_shard_info", &[("index", "1"), ("total", "3")]), Some(1.0));
        assert_eq!(value(&telemetry, "smtptls_shard_slots", &[]), Some(3.0));
    }

    #[test]
    fn clones_share_their_numbers_and_the_resolver_is_asked_each_time() {
        let telemetry = Telemetry::new().unwrap();
        assert_eq!(telemetry.dns(), None);
        let hits = Arc::new(std::sync::atomic::AtomicU64::new(7));
        let source = Arc::clone(&hits);
        telemetry.set_dns_source(Box::new(move || DnsCounters {
            cache_hits: source.load(std::sync::atomic::Ordering::Relaxed),
            ..DnsCounters::default()
        }));
        hits.store(8, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(telemetry.clone().dns().map(|dns| dns.cache_hits), Some(8));
    }
}
