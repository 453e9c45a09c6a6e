//! The families of the exporter itself that tell of its web server.

use super::{
    own::{Source, gathered, row},
    registry::{
        Kind::{Counter, Gauge},
        Level::{Normal, Summary},
        Row,
    },
};

const NO_FILE: &str = "without --web.config.file";

/// The table.
pub(super) static ROWS: &[Row<Source>] = &[
    row(
        Normal,
        Gauge,
        "smtptls_http_connections",
        &[],
        "Number of connections to the web server that are open, those that bring reports among them.",
        "never",
        gathered,
    ),
    row(
        Normal,
        Counter,
        "smtptls_http_connections_dropped_total",
        &["reason"],
        "Connections to the web server that it ended before their end: one address had too many (peer-limit), all together were too many (limit), without a request under way in the place of a new one (displaced), or too slow in handshake, request or reading (slow).",
        "never",
        gathered,
    ),
    row(
        Summary,
        Gauge,
        "smtptls_web_config_last_reload_successful",
        &[],
        "Whether the file of --web.config.file and those that it names could be used when they last changed; if not, what was read before is in force.",
        NO_FILE,
        gathered,
    ),
    row(
        Summary,
        Gauge,
        "smtptls_web_config_last_reload_success_timestamp_seconds",
        &[],
        "When the file of --web.config.file was last read with success.",
        NO_FILE,
        gathered,
    ),
];
