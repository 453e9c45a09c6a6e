//! What this monitor itself suffers from, in plain words: before the verdicts that suffer with it.

use maud::{Markup, html};

use super::table::grouped;
use crate::{facts::DnssecSight, monitor::Snapshot, present::words, terms::Timestamp};

/// A verdict is old after so many intervals without a new one: the rule SMTPTLSProbesStale counts as many.
const STALE_INTERVALS: u32 = 3;

/// A banner for each trouble; nothing where there is none.
pub(super) fn banners(snapshot: &Snapshot, now: Timestamp) -> Markup {
    let troubles = troubles(snapshot, now);
    html! {
        @for (head, text) in troubles {
            div.banner { p { strong { (head) } " " (text) } }
        }
    }
}

/// What is in the way, and what it does to what is shown.
fn troubles(snapshot: &Snapshot, now: Timestamp) -> Vec<(String, String)> {
    let vantage = &snapshot.vantage;
    let mut all = Vec::new();
    let mut add = |head: &str, text: String| all.push((head.to_owned(), text));
    if vantage.resolver_failing {
        add(
            "The resolver answers nothing.",
            "New verdicts are \"not seen\" until it does; that says nothing about the domains. See resolver.servers in the \
             configuration."
                .to_owned(),
        );
    }
    if vantage.smtp_blocked {
        add(
            "Port 25 is shut off here.",
            "Every connection to a mail host fails from this network, so that deliveries are \"not seen\". Ask the provider of this machine \
             to open outgoing port 25, or run the monitor elsewhere."
                .to_owned(),
        );
    } else if vantage.canaries_failing {
        let names: Vec<&str> = snapshot.canaries.iter().map(|(host, _)| host.as_str()).collect();
        add(
            "No canary answers.",
            format!(
                "The mail hosts that are known to work ({}) cannot be reached from here, so that failures count against nobody. See \
                 probe.canaries.",
                words::list(&names)
            ),
        );
    }
    match (vantage.ip4_route, vantage.ip6_route) {
        (false, false) => {
            add("This machine has no route to the Internet.", "Nothing can be looked at until it has one.".to_owned());
        }
        (true, false) => add(
            "This machine has no IPv6 that leads anywhere.",
            "IPv6 addresses of mail hosts are not seen; all else is judged. Without \"ip6\" in probe.families they are not tried."
                .to_owned(),
        ),
        (false, true) => add(
            "This machine has no IPv4 that leads anywhere.",
            "IPv4 addresses of mail hosts are not seen; all else is judged. Without \"ip4\" in probe.families they are not tried."
                .to_owned(),
        ),
        (true, true) => {}
    }
    if vantage.dnssec == DnssecSight::Blind && !vantage.resolver_failing {
        add(
            "DNSSEC cannot be seen.",
            "The resolver returns no signatures that validate, so that nothing is said about DANE. See resolver.servers and \
             resolver.dnssec."
                .to_owned(),
        );
    }
    let stale = snapshot.domains.iter().filter(|known| {
        let interval = snapshot.settings.interval(&known.settings);
        known.summary.as_ref().is_some_and(|seen| now.since(seen.checked_at) > interval * STALE_INTERVALS)
    });
    let stale = stale.count();
    if stale > 0 {
        add(
            "Verdicts are old.",
            format!(
                "{} of {} domains were not looked at for more than {STALE_INTERVALS} intervals: this monitor does not keep up, or was \
                 stopped. Its log says why.",
                grouped(stale),
                grouped(snapshot.domains.len())
            ),
        );
    }
    all
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;
    use crate::{
        facts::Vantage,
        metrics::fixture::{self, NOW},
    };

    fn heads(vantage: Vantage, now: Timestamp) -> Vec<String> {
        let snapshot = Snapshot { vantage: Arc::new(vantage), ..fixture::snapshot() };
        troubles(&snapshot, now).into_iter().map(|(head, _)| head).collect()
    }

    #[test]
    fn nothing_is_said_where_nothing_is_wrong() {
        assert_eq!(heads(Vantage::default(), NOW), Vec::<String>::new());
        let off = Vantage { dnssec: DnssecSight::Off, ..Vantage::default() };
        assert_eq!(heads(off, NOW), Vec::<String>::new(), "what is switched off is no trouble");
    }

    #[test]
    fn each_trouble_is_said_once() {
        let dead = Vantage { resolver_failing: true, dnssec: DnssecSight::Blind, ..Vantage::default() };
        assert_eq!(heads(dead, NOW), ["The resolver answers nothing."]);
        let shut = Vantage { smtp_blocked: true, canaries_failing: true, ..Vantage::default() };
        assert_eq!(heads(shut, NOW), ["Port 25 is shut off here."]);
        let lame =
            Vantage { canaries_failing: true, ip6_route: false, dnssec: DnssecSight::Blind, ..Vantage::default() };
        assert_eq!(
            heads(lame, NOW),
            ["No canary answers.", "This machine has no IPv6 that leads anywhere.", "DNSSEC cannot be seen."]
        );
    }

    #[test]
    fn a_verdict_is_old_after_three_intervals() {
        let interval = Duration::from_secs(600);
        assert!(heads(Vantage::default(), NOW + interval * 3).is_empty());
        assert_eq!(heads(Vantage::default(), NOW + interval * 3 + interval), ["Verdicts are old."]);
    }
}
