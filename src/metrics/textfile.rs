//! The metrics of a snapshot alone: for the textfile collector of the node exporter, and whatever else reads a file.

use super::Extent;
use crate::monitor::Snapshot;

/// The families of the domains and mail hosts of a snapshot, in the text format. What the exporter says of itself is not in it: no
/// exporter runs.
pub fn textfile(snapshot: &Snapshot, extent: impl Into<Extent>) -> String {
    let (domains, hosts) = (snapshot.states(), snapshot.host_states());
    let mut text = Vec::new();
    let hosts = hosts.into_iter().map(|state| &**state);
    extent.into().text(domains.iter().map(|state| &**state), hosts, &snapshot.vantage, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Level, fixture};

    #[test]
    fn a_file_holds_domains_and_hosts_and_nothing_of_the_exporter() {
        let text = textfile(&fixture::snapshot(), Level::Normal);
        assert!(text.contains("smtptls_domain_delivery{domain=\"example.com\",state=\"protected\"} 1\n"), "{text}");
        assert!(text.contains("smtptls_mx_domains{mx=\"mx1.example.com\"}"), "{text}");
        assert!(text.ends_with('\n') && !text.contains("smtptls_build_info") && !text.contains("process_"));
        assert!(textfile(&Snapshot::default(), Level::Full).is_empty());
    }
}
