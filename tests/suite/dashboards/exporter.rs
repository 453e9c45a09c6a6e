//! Exporter: whether the monitor itself sees, keeps its schedule and its state.

use super::{
    build::{BAD, Dashboard, GOOD, Panel, WARN, YES_NO, column},
    parts::FIRING,
};

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        uid: "smtptls-exporter",
        title: "SMTP TLS / Exporter",
        description: "The monitor itself: what it can see, its probes and schedule, its resolver, its state, and what it costs.",
        variables: Vec::new(),
        annotations: vec![
            (
                "Starts",
                "blue",
                "(process_start_time_seconds{@} and on (job, instance) smtptls_build_info{@}) * 1000".to_owned(),
                "{{instance}} started",
            ),
            (
                "Loads of the configuration",
                "purple",
                "smtptls_config_last_reload_success_timestamp_seconds{@} * 1000".to_owned(),
                "{{instance}} loaded its configuration",
            ),
            ("Alerts", "red", FIRING.to_owned(), "{{alertname}} {{instance}}"),
        ],
        rows: vec![
            ("Now", now()),
            ("Sight", sight()),
            ("Probes", probes()),
            ("Resolver", resolver()),
            ("State", state()),
            ("Cost", cost()),
        ],
        from: "now-6h",
    }
}

fn rate(metric: &str) -> String {
    format!("rate({metric}{{@}}[$__rate_interval])")
}

fn now() -> Vec<Panel> {
    vec![
        Panel::stat(
            "Scraped",
            "Exporters that Prometheus reaches, of those that it is to scrape: 1 is all.",
            "min(up{@} and on (job, instance) last_over_time(smtptls_build_info{@}[1d]))",
        )
        .words(YES_NO),
        Panel::stat(
            "Port 25",
            "Whether port 25 is open from here. While it is shut off, no mail host is judged.",
            "max(smtptls_vantage_smtp_blocked{@})",
        )
        .words(&[("0", "✓ open", GOOD), ("1", "✗ shut off", BAD)]),
        Panel::stat("Resolver", "Whether the resolver answers at all.", "max(smtptls_vantage_dns_failing{@})")
            .words(&[("0", "✓ answers", GOOD), ("1", "✗ silent", BAD)]),
        Panel::stat(
            "DNSSEC",
            "Whether DNSSEC is validated and can be believed. While it is not, nothing is said about DANE.",
            "min(smtptls_vantage_dnssec_validating{@})",
        )
        .words(&[("0", "not seen", WARN), ("1", "✓ validated", GOOD)]),
        Panel::stat(
            "Configuration",
            "Whether the last load of the configuration succeeded; if not, the one before is in force.",
            "min(smtptls_config_last_reload_successful{@})",
        )
        .words(&[("0", "✗ refused", BAD), ("1", "✓ loaded", GOOD)]),
        Panel::stat("Probes overdue", "Probes that are due and have not begun.", "max(smtptls_schedule_overdue{@})")
            .unit("none")
            .steps(&[(GOOD, 0.0), (WARN, 10.0), (BAD, 100.0)]),
        Panel::stat(
            "State last written",
            "When something was last written to the state folder.",
            "min(smtptls_state_last_write_timestamp_seconds{@} > 0) * 1000",
        )
        .unit("dateTimeFromNow")
        .nothing("never"),
        Panel::stat(
            "Faults",
            "Tasks that ended by a fault of this program, since its start.",
            "sum(increase(smtptls_task_panics_total{@}[$__range]))",
        )
        .unit("none")
        .decimals(0)
        .steps(&[(GOOD, 0.0), (BAD, 1.0)]),
    ]
}

fn sight() -> Vec<Panel> {
    vec![
        Panel::bands(
            "What can be seen from here",
            "Gaps of sight over time. What fails here is blamed on no domain.",
            &[("0", "✗ no", BAD), ("1", "✓ yes", GOOD)],
        )
        .query("1 - max(smtptls_vantage_smtp_blocked{@})", "port 25")
        .query("1 - max(smtptls_vantage_dns_failing{@})", "resolver")
        .query("min(smtptls_vantage_dnssec_validating{@})", "DNSSEC")
        .query("min by (family) (smtptls_vantage_family_available{@})", "route for {{family}}")
        .query("min by (canary) (smtptls_canary_success{@})", "canary {{canary}}")
        .size(16, 8),
        Panel::table(
            "Exporters",
            "The programs that run.",
            &[("instance", "Instance"), ("version", "Version"), ("revision", "Revision")],
            vec![
                column("Running", "max by (instance, version, revision) (smtptls_build_info{@})")
                    .words(YES_NO)
                    .width(90),
            ],
        )
        .size(8, 8),
    ]
}

fn probes() -> Vec<Panel> {
    let duration = |quantile: &str| {
        format!("histogram_quantile({quantile}, sum by (le, kind) ({}))", rate("smtptls_probe_duration_seconds_bucket"))
    };
    let lag = |quantile: &str| {
        format!("histogram_quantile({quantile}, sum by (le) ({}))", rate("smtptls_schedule_lag_seconds_bucket"))
    };
    vec![
        Panel::lines("Probes", "Probes that ended, by kind.").query(format!("sum by (kind) ({})", rate("smtptls_probes_total")), "{{kind}}").unit("ops").size(8, 8),
        Panel::stack("Failed probes", "Probes that ended with a failure, by the word that senders would report. Most are the peers' trouble; all at once are this side's.")
            .query(format!("sum by (result_type) ({}) > 0", rate("smtptls_probe_failures_total")), "{{result_type}}").unit("ops").nothing("No probe failed").size(8, 8),
        Panel::lines("In flight", "Probes that run now, by kind.").query("sum by (kind) (smtptls_probes_in_flight{@})", "{{kind}}").unit("none").size(8, 8),
        Panel::lines("Duration of probes", "How long 95 of 100 probes take at most, by kind.").query(duration("0.95"), "{{kind}}").unit("s").size(8, 8),
        Panel::lines("Lag", "How much later than due probes begin: half of them, 95 and 99 of 100 at most.")
            .query(lag("0.5"), "50 %").query(lag("0.95"), "95 %").query(lag("0.99"), "99 %").unit("s").size(8, 8),
        Panel::table(
            "Subjects",
            "How many subjects of each kind are probed, and how often.",
            &[("kind", "Kind")],
            vec![
                column("Number", "sum by (kind) (smtptls_targets{@})").unit("none").width(110),
                column("Interval", "max by (kind) (smtptls_probe_interval_seconds{@})").unit("s").width(110),
            ],
        ).size(8, 8),
    ]
}

fn resolver() -> Vec<Panel> {
    let all = format!("sum({})", rate("smtptls_dns_queries_total"));
    let hits = format!("sum({})", rate("smtptls_dns_cache_hits_total"));
    vec![
        Panel::lines("Questions", "Questions sent to the resolver, by record type.")
            .query(format!("sum by (type) ({})", rate("smtptls_dns_queries_total")), "{{type}}")
            .unit("ops")
            .size(8, 8),
        Panel::stack("Failed questions", "Questions that got no usable answer, by reason.")
            .query(format!("sum by (reason) ({}) > 0", rate("smtptls_dns_failures_total")), "{{reason}}")
            .unit("ops")
            .nothing("No question failed")
            .size(8, 8),
        Panel::lines("Answered by the cache", "Share of the questions that the cache answered.")
            .query(format!("{hits} / ({hits} + {all} > 0)"), "cache")
            .unit("percentunit")
            .max(1.0)
            .size(8, 8),
    ]
}

fn state() -> Vec<Panel> {
    vec![
        Panel::lines("Size of the state", "What is remembered, on the disk.")
            .query("sum by (instance) (smtptls_state_size_bytes{@})", "{{instance}}")
            .unit("bytes")
            .size(8, 7),
        Panel::lines(
            "Failed writes",
            "Writes to the state folder that failed. Probing goes on; what is learnt meanwhile is lost at a stop.",
        )
        .query("sum by (instance) (increase(smtptls_state_write_failures_total{@}[$__rate_interval]))", "{{instance}}")
        .unit("none")
        .size(8, 7),
        Panel::stat(
            "Damaged files",
            "Damaged state files that were set aside and are still there.",
            "sum(smtptls_state_damaged_files{@})",
        )
        .unit("none")
        .steps(&[(GOOD, 0.0), (WARN, 1.0)])
        .size(4, 7),
        Panel::stat(
            "Last load of the configuration",
            "When the configuration was last loaded with success.",
            "max(smtptls_config_last_reload_success_timestamp_seconds{@} > 0) * 1000",
        )
        .unit("dateTimeFromNow")
        .nothing("never")
        .size(4, 7),
    ]
}

fn cost() -> Vec<Panel> {
    vec![
        Panel::lines("CPU", "CPU time of the process: 1 is one processor.")
            .query(
                format!("{} and on (job, instance) smtptls_build_info{{@}}", rate("process_cpu_seconds_total")),
                "{{instance}}",
            )
            .unit("percentunit")
            .size(8, 7),
        Panel::lines("Memory", "Resident memory of the process.")
            .query("process_resident_memory_bytes{@} and on (job, instance) smtptls_build_info{@}", "{{instance}}")
            .unit("bytes")
            .size(8, 7),
        Panel::lines("Open files", "Open file descriptors, of those that the process may open.")
            .query(
                "process_open_fds{@} / process_max_fds{@} and on (job, instance) smtptls_build_info{@}",
                "{{instance}}",
            )
            .unit("percentunit")
            .size(8, 7),
        Panel::lines("Samples", "Samples of domains and mail hosts in one scrape. 800,000 is the practical limit.")
            .query("sum by (instance) (smtptls_series{@})", "{{instance}}")
            .unit("short")
            .size(8, 7),
        Panel::lines("Size of a scrape", "Samples of domains and mail hosts as text, before compression.")
            .query("sum by (instance) (smtptls_exposition_bytes{@})", "{{instance}}")
            .unit("bytes")
            .size(8, 7),
        Panel::lines("Rendering", "How long the samples take to render.")
            .query("max by (instance) (smtptls_render_duration_seconds{@})", "{{instance}}")
            .unit("s")
            .size(8, 7),
    ]
}
