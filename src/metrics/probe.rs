//! What `/probe` says beside the families of a domain and its mail hosts: the names that every exporter of many targets has.

use std::time::Duration;

use hyper::body::Bytes;

use super::{
    exposition::Exposition,
    registry::{
        Family,
        Kind::Gauge,
        Level::{self, Summary},
        Row, Samples, Sink,
    },
    text::{self, Format},
};
use crate::{monitor::Snapshot, terms::PolicyDomain, verdict::State};

/// How a look at one domain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeOutcome {
    /// Mail is delivered as far as was seen, and all was seen in time.
    pub success: bool,
    /// How long it took.
    pub took: Duration,
}

/// Takes the samples of one row.
pub(super) type Source = fn(&ProbeOutcome, &mut Samples<'_>);

const NEVER: &str = "never";

/// The table.
pub(super) static ROWS: &[Row<Source>] = &[
    row(
        "probe_success",
        "Whether mail for the domain is delivered (delivery is neither blocked nor unknown), and all was looked at before the timeout.",
        |outcome, out| out.put(&[], outcome.success),
    ),
    row(
        "probe_duration_seconds",
        "How long the look took, with the waiting for a turn at the mail hosts.",
        |outcome, out| out.put(&[], outcome.took),
    ),
];

const fn row(name: &'static str, help: &'static str, samples: Source) -> Row<Source> {
    Row { family: Family { name, kind: Gauge, level: Summary, labels: &[], help, absent: NEVER }, samples }
}

impl ProbeOutcome {
    /// What a snapshot says of a domain, where `complete` tells whether all of it was looked at.
    pub fn of(snapshot: &Snapshot, domain: &PolicyDomain, complete: bool, took: Duration) -> Self {
        let delivery = snapshot.domains.get(domain.as_str()).and_then(|known| Some(known.summary.as_ref()?.delivery));
        let delivered = delivery.is_some_and(|delivery| !matches!(delivery, State::Blocked | State::Unknown));
        Self { success: delivered && complete, took }
    }
}

impl Exposition {
    /// The text of `/probe`: how the look ended, then the families of the domain and of its mail hosts that this exposition
    /// exports. What the exporter says of itself stands at `/metrics` alone.
    pub fn probe_page(&self, snapshot: &Snapshot, domain: &PolicyDomain, outcome: &ProbeOutcome) -> Bytes {
        let mut page = Vec::new();
        let extent = self.extent();
        for row in ROWS {
            row.write(outcome, extent.level(), &mut page);
        }
        let part = snapshot.part(domain);
        let (domains, hosts) = (part.states(), part.host_states());
        let hosts = hosts.into_iter().map(|state| &**state);
        extent.text(domains.iter().map(|state| &**state), hosts, &part.vantage, &mut page);
        page.into()
    }
}

impl Row<Source> {
    /// Writes the family with its header.
    fn write(&'static self, outcome: &ProbeOutcome, level: Level, out: &mut Vec<u8>) {
        text::header(out, Format::Prometheus, self.family.name, self.family.help, self.family.kind);
        (self.samples)(outcome, &mut Samples::new(Sink::Text(out), &self.family, &[], level));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Blocks, fixture};

    fn page(domain: &str, complete: bool) -> String {
        let (exposition, snapshot) = (Exposition::new(Blocks::new(Level::Normal)), fixture::snapshot());
        let domain: PolicyDomain = domain.parse().unwrap();
        let outcome = ProbeOutcome::of(&snapshot, &domain, complete, Duration::from_millis(1500));
        String::from_utf8(exposition.probe_page(&snapshot, &domain, &outcome).to_vec()).unwrap()
    }

    #[test]
    fn a_page_holds_one_domain_and_its_mail_hosts() {
        let text = page("example.com", true);
        assert!(text.contains("\nprobe_success 1\n") && text.contains("\nprobe_duration_seconds 1.5\n"), "{text}");
        assert!(text.contains("smtptls_domain_delivery{domain=\"example.com\",state=\"protected\"} 1\n"), "{text}");
        assert!(text.contains("smtptls_mx_starttls_success{mx=\"mx1.example.com\""), "{text}");
        for other in ["broken.example", "dark.example", "smtptls_build_info", "process_"] {
            assert!(!text.contains(other), "{other} in {text}");
        }
        let mut families: Vec<&str> = text.lines().filter(|line| line.starts_with("# TYPE ")).collect();
        let all = families.len();
        families.sort_unstable();
        families.dedup();
        assert_eq!(families.len(), all, "each family once");
    }

    #[test]
    fn success_needs_delivery_and_that_all_was_seen() {
        let success = |text: &str| text.contains("\nprobe_success 1\n");
        assert!(success(&page("broken.example", true)), "clear text is delivered");
        assert!(!success(&page("example.com", false)), "something is missing");
        assert!(!success(&page("dark.example", true)), "unknown");
        assert!(!success(&page("new.example", true)), "not probed yet");
        let nobody = page("nobody.example", true);
        assert!(!success(&nobody) && !nobody.contains("smtptls_"), "{nobody}");
    }
}
