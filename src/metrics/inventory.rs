//! The families of the exporter itself that tell how the sources of domains are.

use super::{
    own::{Source, gathered, row},
    registry::{Kind::Gauge, Level::Summary, Row},
};

const LABEL: &[&str] = &["source"];
const NO_SOURCE: &str = "where neither domain_files nor http_sd is configured";

/// The table.
pub(super) static ROWS: &[Row<Source>] = &[
    row(
        Summary,
        Gauge,
        "smtptls_inventory_source_up",
        LABEL,
        "Whether all of a source of domains (a pattern of domain_files, a URL of http_sd) could be read at the last look; if not, its last good lists are in force.",
        "where neither domain_files nor http_sd is configured; for a URL before the first fetch",
        gathered,
    ),
    row(
        Summary,
        Gauge,
        "smtptls_inventory_source_last_success_timestamp_seconds",
        LABEL,
        "When all of a source of domains could last be read.",
        "where neither domain_files nor http_sd is configured, and for a source that never could be read",
        gathered,
    ),
    row(
        Summary,
        Gauge,
        "smtptls_inventory_source_domains",
        LABEL,
        "Number of domains in the lists of a source that are in force.",
        NO_SOURCE,
        gathered,
    ),
    row(
        Summary,
        Gauge,
        "smtptls_inventory_source_skipped_entries",
        LABEL,
        "Number of entries in the lists of a source that cannot be used, for instance because they are no domain name.",
        NO_SOURCE,
        gathered,
    ),
];
