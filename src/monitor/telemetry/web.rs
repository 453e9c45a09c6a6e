//! What the web server counts.

use prometheus::{Error, GaugeVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::{Telemetry, seconds};
use crate::terms::Timestamp;

/// Why a connection was ended by this side before it had come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// Its peer had as many as one may have, and a request under way on each.
    PeerLimit,
    /// All places were taken, with a request under way on each.
    Limit,
    /// It had no request under way, and a new connection needed its place.
    Displaced,
    /// A handshake, a request or the reading of an answer took too long.
    Slow,
}

impl DropReason {
    /// All.
    pub const ALL: [Self; 4] = [Self::PeerLimit, Self::Limit, Self::Displaced, Self::Slow];

    /// The value of the label `reason`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PeerLimit => "peer-limit",
            Self::Limit => "limit",
            Self::Displaced => "displaced",
            Self::Slow => "slow",
        }
    }
}

pub(super) struct Gauges {
    connections: IntGauge,
    dropped: IntCounterVec,
    /// Without labels; vectors, so that they are not there where there is no file.
    reload_successful: IntGaugeVec,
    reload_success_at: GaugeVec,
}

impl Gauges {
    pub(super) fn register(registry: &Registry) -> Result<Self, Error> {
        // The crate refuses an empty help; what people read comes from the table of the metrics room.
        let opts = |name: &str| Opts::new(name, name);
        let gauges = Self {
            connections: IntGauge::with_opts(opts("smtptls_http_connections"))?,
            dropped: IntCounterVec::new(opts("smtptls_http_connections_dropped_total"), &["reason"])?,
            reload_successful: IntGaugeVec::new(opts("smtptls_web_config_last_reload_successful"), &[])?,
            reload_success_at: GaugeVec::new(opts("smtptls_web_config_last_reload_success_timestamp_seconds"), &[])?,
        };
        registry.register(Box::new(gauges.connections.clone()))?;
        registry.register(Box::new(gauges.dropped.clone()))?;
        registry.register(Box::new(gauges.reload_successful.clone()))?;
        registry.register(Box::new(gauges.reload_success_at.clone()))?;
        for reason in DropReason::ALL {
            gauges.dropped.get_metric_with_label_values(&[reason.as_str()])?;
        }
        Ok(gauges)
    }
}

/// A connection that is open.
#[derive(Debug)]
pub struct ConnectionGuard(Telemetry);

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0.0.web.connections.dec();
    }
}

impl Telemetry {
    /// A connection was accepted; it counts while the guard is held.
    pub fn connection_opened(&self) -> ConnectionGuard {
        self.0.web.connections.inc();
        ConnectionGuard(self.clone())
    }

    /// A connection was ended by this side before its end.
    pub fn connection_dropped(&self, reason: DropReason) {
        if let Ok(counter) = self.0.web.dropped.get_metric_with_label_values(&[reason.as_str()]) {
            counter.inc();
        }
    }

    /// The web configuration was loaded at `at`, or was refused (`ok` is false) and the one before stays.
    pub fn web_config_loaded(&self, ok: bool, at: Timestamp) {
        let none: &[&str] = &[];
        if let Ok(gauge) = self.0.web.reload_successful.get_metric_with_label_values(none) {
            gauge.set(i64::from(ok));
        }
        if ok && let Ok(gauge) = self.0.web.reload_success_at.get_metric_with_label_values(none) {
            gauge.set(seconds(at));
        }
    }
}
