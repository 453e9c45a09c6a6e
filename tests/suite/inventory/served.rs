//! `serve` with domains from files and servers: what changes is in force within seconds, and nothing else is touched.

use std::{fs, time::Duration};

use smtptls_exporter::{
    config::{DomainList, Settings},
    terms::PolicyDomain,
};
use tempfile::TempDir;
use tokio::time::sleep;

use super::http::{ListServer, json};
use crate::{
    monitor::{Running, once},
    serve::Served,
    world::mail_world::MailWorld,
};

fn info(name: &str, group: &str) -> String {
    format!("smtptls_domain_info{{domain=\"{name}\",group=\"{group}\"}} 1")
}

/// The value of a series.
fn value(metrics: &str, series: &str) -> Option<f64> {
    metrics.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
}

#[tokio::test]
async fn files_and_servers_are_followed_without_a_reload() {
    let world = MailWorld::start().await;
    let _good = world.domain("good.example").await;
    let server = ListServer::start(&json(r#"[{"targets": ["listed.example"], "labels": {"group": "sd"}}]"#)).await;
    let (folder, state) = (world.file("domains.d"), TempDir::new().unwrap());
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("a.yml"), "- targets: [good.example, filed.example]\n  labels: {group: files}\n").unwrap();
    let port = server.address.port();
    let config = world.config_file(&format!(
        "domain_files: ['domains.d/*.yml']\nhttp_sd: [{{url: 'http://joe:geheim@127.0.0.1:{port}/?t=geheim', refresh_interval: 1s}}]\n"
    ));
    let served = Served::start_in(&config, state.path(), &[]).await;
    let pattern = folder.join("*.yml").display().to_string();
    let url = format!("http://***@127.0.0.1:{port}/?***");
    let source = |family: &str, source: &str, value: usize| {
        format!("smtptls_inventory_source_{family}{{source=\"{source}\"}} {value}")
    };
    let metrics = served
        .until(&[
            &info("good.example", "files"),
            &info("filed.example", "files"),
            &info("listed.example", "sd"),
            &source("up", &pattern, 1),
            &source("up", &url, 1),
            &source("domains", &pattern, 2),
            &source("domains", &url, 1),
            &source("skipped_entries", &url, 0),
            "smtptls_domain_delivery{domain=\"good.example\",state=\"protected\"} 1",
        ])
        .await;
    assert!(!metrics.contains("geheim"));
    let probed = "smtptls_domain_last_probe_timestamp_seconds{domain=\"good.example\"} ";
    let before = value(&metrics, probed);
    assert!(before.is_some(), "{metrics}");

    // One goes, one comes, one gets another group; a bad entry is counted.
    fs::write(folder.join("b.yml"), "- targets: [new.example, 'a..b']\n").unwrap();
    server.answer(&json(r#"[{"targets": ["listed.example"], "labels": {"group": "other"}}]"#));
    let metrics = served
        .until(&[
            &info("new.example", ""),
            &info("listed.example", "other"),
            &source("domains", &pattern, 3),
            &source("skipped_entries", &pattern, 1),
        ])
        .await;
    assert_eq!(value(&metrics, probed), before, "who stays is not probed again");

    // A broken list is told and changes nothing.
    fs::write(folder.join("a.yml"), "- targets: [\n").unwrap();
    server.answer("HTTP/1.1 500 Internal Server Error\r\n\r\n");
    let metrics = served.until(&[&source("up", &pattern, 0), &source("up", &url, 0)]).await;
    for line in [info("filed.example", "files"), info("listed.example", "other"), info("new.example", "")] {
        assert!(metrics.contains(&line), "{line}\n{metrics}");
    }
    assert!(metrics.contains("smtptls_config_last_reload_successful 1\n"), "that is about the configuration file");

    // A restart while both are as they are: files that are broken say nothing, the server's last list is kept.
    drop(served);
    drop(server);
    let served = Served::start_in(&config, state.path(), &[]).await;
    let metrics =
        served.until(&[&info("listed.example", "other"), &info("new.example", ""), &source("up", &url, 0)]).await;
    assert!(!metrics.contains("filed.example"), "{metrics}");

    // A reload reads files at once.
    fs::write(folder.join("a.yml"), "- targets: [good.example]\n").unwrap();
    assert_eq!(served.request("POST", "/-/reload").await.0, 200);
    served.until(&[&info("good.example", ""), &source("up", &pattern, 1)]).await;
    // Without its sources a domain goes.
    world.config_file("domains: [good.example]\n");
    assert_eq!(served.request("POST", "/-/reload").await.0, 200);
    let metrics = served.until(&[&info("good.example", "")]).await;
    for gone in ["new.example", "listed.example", "smtptls_inventory_source_"] {
        let samples: Vec<_> = metrics.lines().filter(|line| line.contains(gone) && !line.starts_with('#')).collect();
        assert!(samples.is_empty(), "{samples:?}");
    }
}

#[tokio::test]
async fn a_monitor_may_start_with_nothing_but_a_server_that_is_away() {
    let world = MailWorld::start().await;
    let server = ListServer::start(&json("[]")).await;
    let address = server.address.to_string();
    drop(server);
    let config = world.config_file(&format!("http_sd: [{{url: 'http://{address}/', refresh_interval: 1s}}]\n"));
    let served = Served::start(&config).await;
    served.until(&[&format!("smtptls_inventory_source_up{{source=\"http://{address}/\"}} 0")]).await;
    let _server = ListServer::start_with(&json("[\"late.example\"]"), None, &address).await;
    served.until(&[&info("late.example", "")]).await;
}

#[tokio::test]
async fn other_domains_are_put_in_force_without_opening_anything() {
    let world = MailWorld::start().await;
    let _domains = [world.domain("stays.example").await, world.domain("comes.example").await];
    let mut running = Running::start(once(&world, &["stays.example", "goes.example"])).await;
    running.until("the first look", |snapshot| snapshot.number > 0).await;
    let list = |names: &[&str]| -> DomainList { names.iter().map(|name| PolicyDomain::parse(name).unwrap()).collect() };
    let reconfigurer = running.monitor.reconfigurer();
    let change = reconfigurer.apply_domains(&once(&world, &["stays.example", "comes.example"])).await.unwrap();
    let names = |domains: &[PolicyDomain]| domains.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        (names(&change.added), names(&change.removed)),
        (vec!["comes.example".into()], vec!["goes.example".into()])
    );
    assert!(change.changed.is_empty() && !change.probing_changed && !change.others_changed);
    let settings: std::sync::Arc<Settings> = running.monitor.prompter().settings();
    assert_eq!(settings.domains, list(&["stays.example", "comes.example"]));
    let change = reconfigurer.apply_domains(&settings).await.unwrap();
    assert!(change.is_empty());
    sleep(Duration::from_millis(10)).await;
    running.monitor.stop().await;
}
