//! Instances that share the domains of one configuration, without a database: each its own part, and nothing of the others.

use std::collections::BTreeSet;

use smtptls_exporter::terms::{place, slot};

use super::{serve::Served, world::mail_world::MailWorld};

/// Names that do not stand in one slot, whatever the number of slots.
const NAMES: [&str; 6] = ["a.example", "b.example", "c.example", "d.example", "e.example", "f.example"];

/// Those of a slot, by the rule that is documented.
fn of(index: u32, total: u32) -> BTreeSet<&'static str> {
    NAMES.into_iter().filter(|name| slot(place(name), total) == index).collect()
}

/// The domains in a scrape.
fn scraped(metrics: &str) -> BTreeSet<&str> {
    let label = |line: &'_ str| -> Option<usize> { line.find("{domain=\"").map(|at| at + "{domain=\"".len()) };
    metrics.lines().filter_map(|line| line.get(label(line)?..)?.split('"').next()).collect()
}

#[tokio::test]
async fn each_instance_has_its_own_part_and_nothing_of_the_others() {
    assert!((0..3).all(|index| !of(index, 3).is_empty()) && (0..2).all(|index| !of(index, 2).is_empty()));
    let world = MailWorld::start().await;
    let mut peers = Vec::new();
    for name in NAMES {
        peers.push(world.domain(name).await);
    }
    let write = |index: u32, total: u32| {
        let path = world.file(&format!("shard-{index}.yml"));
        let rest = format!("domains: [{}]\nshard: {{index: {index}, total: {total}}}\n", NAMES.join(", "));
        std::fs::write(&path, world.config_text(&rest)).unwrap();
        path
    };
    let delivered = |names: &BTreeSet<&str>| -> Vec<String> {
        let line = |name: &&str| format!("smtptls_domain_delivery{{domain=\"{name}\",state=\"protected\"}} 1");
        names.iter().map(line).collect()
    };
    let (zero, one) = (Served::start(&write(0, 2)).await, Served::start(&write(1, 2)).await);
    for (served, index) in [(&zero, 0), (&one, 1)] {
        let own = of(index, 2);
        let lines = delivered(&own);
        let metrics = served.until(&lines.iter().map(String::as_str).collect::<Vec<_>>()).await;
        assert_eq!(scraped(&metrics), own);
        for line in [
            format!("smtptls_shard_info{{index=\"{index}\",total=\"2\"}} 1"),
            format!("smtptls_shard_held{{slot=\"{index}\"}} 1"),
            "smtptls_shard_slots 2".to_owned(),
            format!("smtptls_targets{{kind=\"domain\"}} {}", own.len()),
        ] {
            assert!(metrics.lines().any(|known| known == line), "no {line}");
        }
        assert_eq!(metrics.lines().filter(|line| line.starts_with("smtptls_shard_held{")).count(), 1);
        let (status, told) = served.get("/api/v1/shards").await;
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        assert_eq!(
            (status, told),
            (200, serde_json::json!({"index": index, "total": 2, "held": [index], "instances": []}))
        );
        let (_, told) = served.get("/sd").await;
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        assert_eq!(told[0]["labels"]["__meta_smtptls_shard"], index.to_string());
        assert_eq!(told[0]["targets"].as_array().unwrap().len(), own.len());

        // What is asked for elsewhere is told apart from what nobody configured.
        let foreign = *of(1 - index, 2).first().unwrap();
        let said = format!(
            "{foreign} belongs to shard {} of 2 (counted from 0), and this instance has shard {index}",
            1 - index
        );
        for path in ["", "/changes", "/reports"] {
            let (status, text) = served.get(&format!("/api/v1/domains/{foreign}{path}")).await;
            assert!(status == 404 && text.contains(&said), "{path}: {status} {text}");
        }
        for (method, path) in [
            ("POST", format!("/api/v1/domains/{foreign}/probe")),
            ("GET", format!("/domains/{foreign}")),
            ("GET", format!("/probe?target={foreign}")),
        ] {
            let (status, text) = served.request(method, &path).await;
            assert!(status == 404 && text.contains(&said), "{path}: {status} {text}");
        }
        let (status, text) = served.get(&format!("/api/v1/domains/{}", own.first().unwrap())).await;
        assert_eq!(status, 200, "{text}");
    }
    let looked: usize = peers.iter().map(|peer| peer.https.connections()).sum();
    assert_eq!(looked, NAMES.len(), "every policy host was asked by one instance alone");

    // A third instance: what goes to it leaves, and all that stays is not looked at again.
    write(0, 3);
    assert_eq!(zero.request("POST", "/-/reload").await.0, 200);
    let metrics = zero.until(&["smtptls_shard_info{index=\"0\",total=\"3\"} 1", "smtptls_shard_slots 3"]).await;
    assert!(of(0, 3).is_subset(&of(0, 2)), "a slot that is added takes, and gives nothing");
    let gone = format!("smtptls_targets{{kind=\"domain\"}} {}", of(0, 3).len());
    assert_eq!(scraped(&zero.until(&[&gone]).await), of(0, 3), "{metrics}");

    // There is no such shard: what was before stays in force.
    write(0, 0);
    assert_eq!(zero.request("POST", "/-/reload").await.0, 500);
    assert_eq!(scraped(&zero.get("/metrics").await.1), of(0, 3));
}
