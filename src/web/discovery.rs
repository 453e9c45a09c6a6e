//! `GET /sd`: the configured domains as targets for Prometheus (http_sd), to be scraped at `/probe`.

use std::collections::BTreeMap;

use http::StatusCode;
use serde::Serialize;

use super::api::Answer;
use crate::monitor::{Seat, Shards, Snapshot};

/// A group of targets, as Prometheus reads them.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct TargetGroup<'a> {
    targets: Vec<&'a str>,
    labels: BTreeMap<&'static str, &'a str>,
}

/// Where the domains are shared among several instances, which one this is: a label that Prometheus drops after relabelling.
const SHARD: &str = "__meta_smtptls_shard";

/// The whole list; `[]` where no domain is configured. The bare domains: which parameter they become is said in `relabel_configs`.
pub(super) fn answer(snapshot: &Snapshot, shards: Option<&Shards>) -> Answer {
    let shard =
        shards.filter(|shards| shards.seat.total > 1).map(|Shards { seat: Seat { index, .. }, .. }| index.to_string());
    let body = serde_json::to_string(&groups(snapshot, shard.as_deref()));
    match body {
        Ok(body) => Answer { status: StatusCode::OK, body: body + "\n" },
        Err(error) => Answer::error(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn groups<'a>(snapshot: &'a Snapshot, shard: Option<&'a str>) -> Vec<TargetGroup<'a>> {
    let mut groups = BTreeMap::<&str, TargetGroup<'_>>::new();
    for known in snapshot.domains.sorted() {
        let group = groups.entry(known.group()).or_default();
        group.targets.push(known.domain().as_str());
        if let Some(shard) = shard {
            group.labels.insert(SHARD, shard);
        }
        // A label that is empty is none.
        if !known.group().is_empty() {
            group.labels.insert("group", known.group());
        }
    }
    groups.into_values().collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{metrics::fixture, monitor::DomainState};

    #[test]
    fn each_domain_once_by_its_group() {
        assert_eq!(answer(&Snapshot::default(), None).body, "[]\n");
        let mut snapshot = Snapshot::default();
        for (name, group) in [("b.example", "ours"), ("a.example", "ours"), ("c.example", ""), ("d.example", "q\"\n")] {
            let state = fixture::domain_state(name, None);
            let state = DomainState { group: group.to_owned(), ..DomainState::clone(&state) };
            snapshot.put(Arc::new(state));
        }
        let told: serde_json::Value = serde_json::from_str(&answer(&snapshot, None).body).unwrap();
        assert_eq!(
            told,
            serde_json::json!([
                {"targets": ["c.example"], "labels": {}},
                {"targets": ["a.example", "b.example"], "labels": {"group": "ours"}},
                {"targets": ["d.example"], "labels": {"group": "q\"\n"}},
            ])
        );
    }

    #[test]
    fn one_of_several_instances_says_which_it_is() {
        let mut snapshot = Snapshot::default();
        snapshot.put(fixture::domain_state("a.example", None));
        let told = |total| {
            let shards = Shards::alone(Seat { index: 0, total });
            serde_json::from_str::<serde_json::Value>(&answer(&snapshot, Some(&shards)).body).unwrap()
        };
        assert_eq!(told(1)[0]["labels"], serde_json::json!({}));
        assert_eq!(told(2)[0]["labels"], serde_json::json!({"__meta_smtptls_shard": "0"}));
    }
}
