//! The families of the exporter itself: taken fresh at each scrape.

use std::time::Duration;

use prometheus::proto::{Metric, MetricFamily, MetricType};

use super::{
    exposition::BuildInfo,
    intake, inventory,
    registry::{
        Family,
        Kind::{self, Counter, Gauge, Histogram},
        Level::{self, Normal, Summary},
        Row, Samples, Sink,
    },
    text::{self, Format, Value, float_text},
    web,
};
use crate::{
    facts::{DnssecSight, Family as AddressFamily, Vantage},
    monitor::DnsCounters,
    store::IntakeCounters,
    terms::MxHost,
};

/// All that the rows look at.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) build: &'a BuildInfo,
    pub(super) format: Format,
    /// What the monitor and the process count, by name.
    pub(super) gathered: &'a [MetricFamily],
    pub(super) dns: DnsCounters,
    pub(super) dropped: Dropped,
    pub(super) cache: Cache,
    /// Nothing before the first snapshot.
    pub(super) seen: Option<Seen<'a>>,
}

/// What a snapshot and its rendering say about the exporter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    pub(super) vantage: &'a Vantage,
    pub(super) canaries: &'a [(MxHost, Option<bool>)],
    pub(super) render: Duration,
    pub(super) bytes: u64,
    pub(super) series: u64,
    /// Nothing where no report source is configured.
    pub(super) intake: Option<&'a IntakeCounters>,
}

/// How many series scrapes left out, by reason.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Dropped {
    /// There would be more than may be.
    pub(super) too_many: u64,
    /// Their block could not be read.
    pub(super) unreadable: u64,
}

/// Bytes of memory that scrapes have in common.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cache {
    /// Samples by family.
    pub(super) cells: usize,
    /// Compressed text.
    pub(super) gzip: usize,
}

/// Takes the samples of one row.
pub(super) type Source = fn(&View<'_>, &mut Samples<'_>);

impl Row<Source> {
    /// Writes the family with its header, if it has samples.
    pub(super) fn write(&'static self, view: &View<'_>, level: Level, out: &mut Vec<u8>) {
        let start = out.len();
        text::header(out, view.format, self.family.name, self.family.help, self.family.kind);
        let mut samples = Samples::new(Sink::Text(out), &self.family, &[], level);
        (self.samples)(view, &mut samples);
        if samples.count() == 0 {
            out.truncate(start);
        }
    }
}

const NEVER: &str = "never";
const NO_SNAPSHOT: &str = "until the first snapshot is published";
const KIND: &[&str] = &["kind"];

pub(super) const fn row(
    level: Level,
    kind: Kind,
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    absent: &'static str,
    samples: Source,
) -> Row<Source> {
    Row { family: Family { name, kind, level, labels, help, absent }, samples }
}

/// All rows, in the order of the text.
pub(super) fn rows() -> impl Iterator<Item = &'static Row<Source>> {
    ROWS.iter().chain(web::ROWS).chain(inventory::ROWS).chain(intake::ROWS)
}

/// The table.
pub(super) static ROWS: &[Row<Source>] = &[
    row(
        Summary,
        Gauge,
        "smtptls_build_info",
        &["version", "revision", "rustversion"],
        "Constant 1 with the version of the program, the revision that it was built from, and the compiler.",
        NEVER,
        |view, out| out.put(&[view.build.version, view.build.revision, view.build.rust_version], true),
    ),
    row(
        Summary,
        Gauge,
        "smtptls_config_last_reload_successful",
        &[],
        "Whether the last load of the configuration succeeded; if not, the one before is in force.",
        NEVER,
        gathered,
    ),
    row(
        Summary,
        Gauge,
        "smtptls_config_last_reload_success_timestamp_seconds",
        &[],
        "When the configuration was last loaded with success, 0 if never.",
        NEVER,
        gathered,
    ),
    row(
        Summary,
        Gauge,
        "smtptls_targets",
        KIND,
        "Number of subjects that are probed (domain, mx, mx-address, survey).",
        "for a kind until the schedule is set up",
        gathered,
    ),
    row(Summary, Counter, "smtptls_probes_total", KIND, "Number of probes that ended.", NEVER, gathered),
    row(
        Normal,
        Counter,
        "smtptls_probe_failures_total",
        &["kind", "result_type"],
        "Number of probes that ended with a failure, by the words of RFC 8460 section 4.3 or dns-error, connect-refused, timeout, smtp-error, other.",
        NEVER,
        gathered,
    ),
    row(Normal, Histogram, "smtptls_probe_duration_seconds", KIND, "How long probes take.", NEVER, gathered),
    row(Summary, Gauge, "smtptls_probes_in_flight", KIND, "Number of probes that run now.", NEVER, gathered),
    row(
        Summary,
        Histogram,
        "smtptls_schedule_lag_seconds",
        &[],
        "How much later than due probes begin.",
        NEVER,
        gathered,
    ),
    row(
        Summary,
        Gauge,
        "smtptls_schedule_overdue",
        &[],
        "Number of probes that are due and have not begun.",
        NEVER,
        gathered,
    ),
    row(
        Summary,
        Gauge,
        "smtptls_schedule_stretch_ratio",
        &[],
        "By how much all intervals are longer than configured, because more is due than can be done; 1 where all is done in time.",
        NEVER,
        gathered,
    ),
    row(
        Summary,
        Counter,
        "smtptls_politeness_slowed_total",
        &[],
        "Number of times that a mail host answered 4xx, and its probes and those of its operator went further apart for it.",
        NEVER,
        gathered,
    ),
    row(
        Summary,
        Gauge,
        "smtptls_probe_interval_seconds",
        KIND,
        "The configured interval of probes.",
        "for a kind until the schedule is set up",
        gathered,
    ),
    row(
        Normal,
        Counter,
        "smtptls_dns_queries_total",
        &["type"],
        "Number of questions sent to the resolver, by record type.",
        NEVER,
        |view, out| counts(&QUERY_TYPES, &view.dns.queries, out),
    ),
    row(
        Normal,
        Counter,
        "smtptls_dns_failures_total",
        &["reason"],
        "Number of questions to the resolver that got no usable answer, by reason.",
        NEVER,
        |view, out| counts(&FAILURE_REASONS, &view.dns.failures, out),
    ),
    row(
        Normal,
        Counter,
        "smtptls_dns_cache_hits_total",
        &[],
        "Number of questions that the cache answered.",
        NEVER,
        |view, out| out.put(&[], view.dns.cache_hits),
    ),
    row(
        Summary,
        Gauge,
        "smtptls_canary_success",
        &["canary"],
        "Whether the last probe of the configured canary reached it, cached.",
        "before the first probe of the canary",
        |view, out| {
            for (canary, success) in view.seen.iter().flat_map(|seen| seen.canaries) {
                if let Some(success) = success {
                    out.put(&[canary.as_str()], *success);
                }
            }
        },
    ),
    row(
        Summary,
        Gauge,
        "smtptls_vantage_smtp_blocked",
        &[],
        "Whether port 25 is shut off here, not there. While 1 no mail host is judged.",
        NO_SNAPSHOT,
        |view, out| out.set(view.seen.map(|seen| seen.vantage.smtp_blocked)),
    ),
    row(
        Summary,
        Gauge,
        "smtptls_vantage_dns_failing",
        &[],
        "Whether the resolver answers nothing at all.",
        NO_SNAPSHOT,
        |view, out| out.set(view.seen.map(|seen| seen.vantage.resolver_failing)),
    ),
    row(
        Summary,
        Gauge,
        "smtptls_vantage_family_available",
        &["family"],
        "Whether this host has a route for the address family (ip4, ip6) that leads to anybody.",
        NO_SNAPSHOT,
        |view, out| {
            if let Some(Seen { vantage, .. }) = view.seen {
                for (family, route) in AddressFamily::ALL.into_iter().zip([vantage.ip4_route, vantage.ip6_route]) {
                    out.put(&[family.as_str()], route);
                }
            }
        },
    ),
    row(
        Summary,
        Gauge,
        "smtptls_vantage_dnssec_validating",
        &[],
        "Whether the resolver validates and can be believed. While 0 no DNSSEC sample is exported.",
        NO_SNAPSHOT,
        |view, out| out.set(view.seen.map(|seen| seen.vantage.dnssec == DnssecSight::Validating)),
    ),
    row(
        Normal,
        Gauge,
        "smtptls_render_duration_seconds",
        &[],
        "How long this scrape took to write the samples of domains and mail hosts, without the waiting for its reader. What changes is rendered as it changes, and not then.",
        NO_SNAPSHOT,
        |view, out| out.set(view.seen.map(|seen| seen.render)),
    ),
    row(
        Normal,
        Gauge,
        "smtptls_exposition_bytes",
        &[],
        "Size of the samples of domains and mail hosts as text, those of all parts together.",
        NO_SNAPSHOT,
        |view, out| out.set(view.seen.map(|seen| seen.bytes)),
    ),
    row(
        Normal,
        Gauge,
        "smtptls_exposition_cache_bytes",
        KIND,
        "Memory that scrapes have in common: samples that are ready to be copied (samples), and compressed text (gzip).",
        NEVER,
        |view, out| {
            out.put(&["gzip"], view.cache.gzip);
            out.put(&["samples"], view.cache.cells);
        },
    ),
    row(
        Summary,
        Gauge,
        "smtptls_series",
        &[],
        "Number of samples of domains and mail hosts that are exported, those of all parts together.",
        NO_SNAPSHOT,
        |view, out| out.set(view.seen.map(|seen| seen.series)),
    ),
    row(
        Summary,
        Counter,
        "smtptls_series_dropped_total",
        &["reason"],
        "Samples that scrapes left out: beyond metrics.max_series (max-series), or of what was stored and could not be read (unreadable). Counted at each scrape of all or of the first part; what could not be read, at each scrape of its part.",
        NEVER,
        |view, out| {
            out.put(&["max-series"], view.dropped.too_many);
            out.put(&["unreadable"], view.dropped.unreadable);
        },
    ),
    row(
        Summary,
        Counter,
        "smtptls_state_write_failures_total",
        &[],
        "Number of writes to the state folder that failed. Probing goes on, and what failed is tried again.",
        NEVER,
        gathered,
    ),
    row(
        Summary,
        Gauge,
        "smtptls_state_last_write_timestamp_seconds",
        &[],
        "When something was last written to the state folder, 0 if never.",
        NEVER,
        gathered,
    ),
    row(
        Normal,
        Gauge,
        "smtptls_state_size_bytes",
        &[],
        "Size of the state on the disk, without damaged files that were set aside.",
        NEVER,
        gathered,
    ),
    row(
        Summary,
        Gauge,
        "smtptls_state_damaged_files",
        &[],
        "Number of damaged state files that were set aside in the state folder and are still there.",
        NEVER,
        gathered,
    ),
    row(
        Summary,
        Gauge,
        "smtptls_shard_info",
        &["index", "total"],
        "Constant 1 with the shard of this instance, from 0, and how many there are.",
        NEVER,
        gathered,
    ),
    row(
        Summary,
        Gauge,
        "smtptls_shard_slots",
        &[],
        "Number of slots that the domains of the configuration are shared among.",
        NEVER,
        gathered,
    ),
    row(
        Summary,
        Gauge,
        "smtptls_shard_held",
        &["slot"],
        "1 for each slot whose domains this instance looks at: its own, and those that it took over.",
        "for the slots of others; for all while it stands by",
        gathered,
    ),
    row(
        Summary,
        Gauge,
        "smtptls_shard_lease_renewal_timestamp_seconds",
        &[],
        "When the leases on the slots were last renewed in the shared database; before the first time, when the instance started.",
        "where no database is shared",
        gathered,
    ),
    row(
        Summary,
        Counter,
        "smtptls_task_panics_total",
        &[],
        "Number of tasks that ended by a fault of this program.",
        NEVER,
        gathered,
    ),
    row(
        Normal,
        Gauge,
        "smtptls_tasks",
        &[],
        "Number of tasks that are alive: connections, probes and the program's own.",
        NEVER,
        gathered,
    ),
    row(
        Summary,
        Counter,
        "process_cpu_seconds_total",
        &[],
        "CPU time of the process in user and system mode, in whole seconds.",
        NOT_LINUX,
        gathered,
    ),
    row(Summary, Gauge, "process_resident_memory_bytes", &[], "Resident memory of the process.", NOT_LINUX, gathered),
    row(Summary, Gauge, "process_virtual_memory_bytes", &[], "Virtual memory of the process.", NOT_LINUX, gathered),
    row(Summary, Gauge, "process_open_fds", &[], "Number of open file descriptors.", NOT_LINUX, gathered),
    row(Summary, Gauge, "process_max_fds", &[], "Largest number of open file descriptors.", NOT_LINUX, gathered),
    row(Summary, Gauge, "process_start_time_seconds", &[], "When the process began.", NOT_LINUX, gathered),
    row(Summary, Gauge, "process_threads", &[], "Number of threads of the process.", NOT_LINUX, gathered),
];

const NOT_LINUX: &str = "on other systems than Linux";

/// The record types that are asked for.
const QUERY_TYPES: [&str; 4] = ["A", "AAAA", "MX", "TXT"];
/// The labels of [`LookupFailure`](crate::facts::LookupFailure).
const FAILURE_REASONS: [&str; 7] =
    ["servfail", "refused", "rcode", "timeout", "unreachable", "malformed", "cname-chain"];

/// Each known value from the start, at 0 until it is counted.
fn counts(known: &[&'static str], counted: &[(&'static str, u64)], out: &mut Samples<'_>) {
    let count = |label: &str| counted.iter().filter(|(one, _)| *one == label).map(|(_, count)| *count).sum::<u64>();
    let unknown = counted.iter().map(|(label, _)| *label).filter(|label| !known.contains(label));
    let mut labels: Vec<&str> = known.iter().copied().chain(unknown).collect();
    labels.sort_unstable();
    labels.dedup();
    for label in labels {
        out.put(&[label], count(label));
    }
}

/// The family of the same name that the monitor or the process counts.
pub(super) fn gathered(view: &View<'_>, out: &mut Samples<'_>) {
    let Some(family) = view.gathered.iter().find(|family| family.name() == out.name()) else { return };
    for metric in family.get_metric() {
        match family.get_field_type() {
            MetricType::COUNTER => sample(metric, "", None, metric.get_counter().get_value(), out),
            MetricType::GAUGE => sample(metric, "", None, metric.get_gauge().get_value(), out),
            MetricType::HISTOGRAM => histogram(metric, view.format, out),
            MetricType::SUMMARY | MetricType::UNTYPED => {}
        }
    }
}

fn histogram(metric: &Metric, format: Format, out: &mut Samples<'_>) {
    let histogram = metric.get_histogram();
    for bucket in histogram.get_bucket().iter().filter(|bucket| bucket.upper_bound().is_finite()) {
        sample(
            metric,
            "_bucket",
            Some(&bound_text(bucket.upper_bound(), format)),
            integer(bucket.cumulative_count()),
            out,
        );
    }
    sample(metric, "_bucket", Some("+Inf"), integer(histogram.get_sample_count()), out);
    sample(metric, "_sum", None, histogram.get_sample_sum(), out);
    sample(metric, "_count", None, integer(histogram.get_sample_count()), out);
}

/// OpenMetrics 1.0, "Considerations: Canonical Numbers": a bound is a float, so a whole one has a fraction.
fn bound_text(bound: f64, format: Format) -> String {
    let text = float_text(bound);
    match format {
        Format::OpenMetrics if !text.contains('.') => text + ".0",
        _ => text,
    }
}

fn sample(metric: &Metric, suffix: &str, bound: Option<&str>, value: impl Into<Value>, out: &mut Samples<'_>) {
    // The crate sorts labels by name; the table names them in another order.
    let values = out.labels().iter().map(|wanted| {
        metric.get_label().iter().find(|label| label.name() == *wanted).map_or("", |label| label.value())
    });
    out.put_with_suffix(suffix, &values.collect::<Vec<_>>(), bound, value.into());
}

fn integer(count: u64) -> Value {
    Value::from(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::LookupFailure;

    #[test]
    fn every_reason_of_a_failed_lookup_is_known_from_the_start() {
        let all = [
            LookupFailure::ServFail,
            LookupFailure::Refused,
            LookupFailure::Rcode(9),
            LookupFailure::Timeout,
            LookupFailure::Unreachable(String::new()),
            LookupFailure::Malformed(String::new()),
            LookupFailure::CnameChain,
        ];
        assert_eq!(all.map(|failure| failure.label()), FAILURE_REASONS);
    }
}
