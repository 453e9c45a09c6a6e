//! What has to fit below the limit of open files.

use crate::{config::Settings, net::resolver::MAX_IN_FLIGHT, web::Limits};

/// The runtime, the store, the log, lists, mailboxes and what libraries open for a moment.
const RESERVE: usize = 128;
/// Fewer connections at a time are no monitor; where not even these fit, it is tried all the same.
const LEAST: usize = 8;
/// No more than this part of them is for the server, so that nobody who connects and says nothing keeps the monitor from looking.
const PART: usize = 4;
/// The listener for reports alone has less: a report is one request.
const PART_OF_REPORTS: usize = 8;
/// No address may have more than this part of the connections.
const PART_OF_ONE: usize = 4;

/// Makes these settings fit below the limit of open files: better fewer connections than some that fail for want of a descriptor.
pub(super) fn fit(settings: &mut Settings) {
    let Ok((limit, _)) = rlimit::getrlimit(rlimit::Resource::NOFILE) else { return };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let wanted = settings.probe.max_in_flight;
    let most = room(limit, settings.reports.listener().is_some()).max(LEAST);
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

/// What the server may take of them.
pub(super) fn limits() -> Limits {
    below(nofile(), PART)
}

/// What the listener for reports may take of them, where there is one.
pub(super) fn limits_of_reports() -> Limits {
    below(nofile(), PART_OF_REPORTS)
}

/// Without an answer of the system there is no limit that is known.
fn nofile() -> usize {
    rlimit::getrlimit(rlimit::Resource::NOFILE)
        .map_or(usize::MAX, |(limit, _)| usize::try_from(limit).unwrap_or(usize::MAX))
}

fn below(limit: usize, part: usize) -> Limits {
    let usual = Limits::default();
    let connections = usual.connections.min(limit / part).max(LEAST);
    Limits { connections, connections_of_one: usual.connections_of_one.min(connections / PART_OF_ONE), ..usual }
}

/// How many connections of probes fit, beside those of clients and the questions to the DNS.
fn room(limit: usize, reports: bool) -> usize {
    let mut clients = below(limit, PART).sockets();
    if reports {
        clients += below(limit, PART_OF_REPORTS).sockets();
    }
    limit.saturating_sub(clients).saturating_sub(MAX_IN_FLIGHT).saturating_sub(RESERVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_remains_is_for_probes() {
        // 1,024 connections and 64 that are being closed, 256 questions and the reserve.
        assert_eq!(room(65_536, false), 65_536 - 1_088 - 256 - 128);
        assert_eq!(room(65_536, true), 65_536 - 2 * 1_088 - 256 - 128);
        assert!(room(65_536, true) >= 8_192, "docs/how-to/service.md");
        // The usual limit of a login; the hard one, up to which it is raised, is mostly higher.
        assert_eq!(room(1_024, false), 1_024 - 320 - 256 - 128);
        assert_eq!(room(1_024, true), 1_024 - 320 - 192 - 256 - 128);
        assert_eq!(room(0, true), 0);
    }

    #[test]
    fn clients_have_a_part_and_one_address_a_part_of_it() {
        let of = |limit, part| {
            let Limits { connections, connections_of_one, .. } = below(limit, part);
            (connections, connections_of_one)
        };
        assert_eq!([65_536, 1_024, 0].map(|limit| of(limit, PART)), [(1_024, 256), (256, 64), (8, 2)]);
        assert_eq!([65_536, 1_024, 0].map(|limit| of(limit, PART_OF_REPORTS)), [(1_024, 256), (128, 32), (8, 2)]);
        assert_eq!(below(65_536, PART), Limits::default());
    }
}
