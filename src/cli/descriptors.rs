//! What has to fit below the limit of open files.

use crate::{config::Settings, net::resolver::MAX_IN_FLIGHT, web::Limits};

/// The runtime, the store, the log, lists, mailboxes and what libraries open for a moment.
const RESERVE: usize = 128;
/// Fewer connections at a time are no monitor; where not even these fit, it is tried all the same.
const LEAST: usize = 8;

/// Makes these settings fit below the limit of open files: better fewer connections than some that fail for want of a descriptor.
pub(super) fn fit(settings: &mut Settings) {
    let Ok((limit, _)) = rlimit::getrlimit(rlimit::Resource::NOFILE) else { return };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let wanted = settings.probe.max_in_flight;
    let most = room(limit).max(LEAST);
    if wanted > most {
        tracing::warn!(
            limit,
            wanted,
            most,
            "probe.max_in_flight is lowered, because only so many files may be open; raise the limit (LimitNOFILE of systemd, ulimit -n)"
        );
        settings.probe.max_in_flight = most;
    }
}

/// What the server may take of them: no more than a quarter, so that nobody who connects and says nothing keeps the monitor from looking.
pub(super) fn limits() -> Limits {
    let usual = Limits::default();
    match rlimit::getrlimit(rlimit::Resource::NOFILE) {
        Ok((limit, _)) => Limits { connections: connections(usize::try_from(limit).unwrap_or(usize::MAX)), ..usual },
        Err(_) => usual,
    }
}

fn connections(limit: usize) -> usize {
    Limits::default().connections.min(limit / 4).max(LEAST)
}

/// How many connections of probes fit, beside those of scrapes and the questions to the DNS.
fn room(limit: usize) -> usize {
    limit.saturating_sub(connections(limit)).saturating_sub(MAX_IN_FLIGHT).saturating_sub(RESERVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_remains_is_for_probes() {
        assert_eq!(room(65_536), 64_128);
        assert!(room(65_536) >= 8_192, "docs/how-to/service.md");
        // The usual limit of a login; the hard one, up to which it is raised, is mostly higher.
        assert_eq!(room(1_024), 384);
        assert_eq!([connections(65_536), connections(1_024), connections(0)], [1_024, 256, 8]);
        assert_eq!(room(0), 0);
    }
}
