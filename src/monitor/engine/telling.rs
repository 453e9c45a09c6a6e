//! What the keeper tells of itself that changes with the settings alone.

use super::Keeper;
use crate::monitor::{DnsCounters, ProbeKind, fleet::SURVEY_INTERVAL};

impl Keeper {
    pub(super) fn watch_resolver(&self) {
        let resolver = self.edges.resolver.clone();
        self.telemetry.set_dns_source(Box::new(move || {
            let stats = resolver.stats();
            DnsCounters {
                queries: stats.queries.to_vec(),
                failures: stats.failures.to_vec(),
                cache_hits: stats.cache_hits,
            }
        }));
    }

    pub(super) fn tell_intervals(&self) {
        let probe = &self.settings.probe;
        for (kind, interval) in [
            (ProbeKind::Domain, probe.interval),
            (ProbeKind::Mx, probe.interval),
            (ProbeKind::MxAddress, probe.mx_interval),
            (ProbeKind::Survey, SURVEY_INTERVAL),
            (ProbeKind::Canary, probe.interval),
        ] {
            self.telemetry.set_interval(kind, interval);
        }
    }
}
