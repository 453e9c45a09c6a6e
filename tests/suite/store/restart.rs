//! `serve` as a program, stopped and started again.

use std::{fs, path::Path, time::Duration};

use tempfile::TempDir;

use super::super::{
    serve::{PATIENCE, Served},
    world::{dns::Behaviour, mail_world::MailWorld},
};

const GOOD: &str = "smtptls_domain_delivery{domain=\"good.example\",state=\"protected\"} 1";

/// The samples of domains and mail hosts, without those that tell how this process stands.
fn subjects(metrics: &str) -> Vec<&str> {
    let about = |line: &&str| !line.starts_with('#') && (line.contains("{domain=\"") || line.contains("{mx=\""));
    metrics.lines().filter(about).collect()
}

#[tokio::test]
async fn after_a_restart_the_last_state_is_there_at_once_with_its_times() {
    let world = MailWorld::start().await;
    let domains = [world.domain("good.example").await, world.domain("other.example").await];
    let config = world.config_file("domains: [good.example, other.example]\n");
    let state = TempDir::new().unwrap();
    let other = "smtptls_domain_delivery{domain=\"other.example\",state=\"protected\"} 1";
    let mut served = Served::start_in(&config, state.path(), &[]).await;
    served.until(&[GOOD, other]).await;
    // Nothing is under way any more: two scrapes a while apart are the same.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = served.get("/metrics").await.1;
    served.signal("TERM");
    assert_eq!(served.end().await.0.code(), Some(0));

    // Everybody is silent: what is shown comes from the store, and is not due yet.
    for name in ["good.example", "other.example", "mx.good.example", "mx.other.example"] {
        world.dns.behave(name, Behaviour::ServFail);
    }
    let asked = domains.each_ref().map(|domain| domain.smtp.connections());
    let served = Served::start_in(&config, state.path(), &[]).await;
    let after = served.get("/metrics").await.1;
    assert!(subjects(&before).len() > 40, "{before}");
    assert_eq!(subjects(&after), subjects(&before));
    assert!(after.contains("smtptls_state_write_failures_total 0"), "{after}");
    assert_eq!(domains.each_ref().map(|domain| domain.smtp.connections()), asked, "nobody was asked for it");
}

#[tokio::test]
async fn a_kill_leaves_what_was_new_a_second_before() {
    let world = MailWorld::start().await;
    let _domain = world.domain("good.example").await;
    let config = world.config_file("domains: [good.example]\n");
    let state = TempDir::new().unwrap();
    let mut served = Served::start_in(&config, state.path(), &[]).await;
    served.until(&[GOOD]).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    served.signal("KILL");
    served.end().await;
    let served = Served::start_in(&config, state.path(), &[]).await;
    let metrics = served.get("/metrics").await.1;
    assert!(metrics.lines().any(|line| line == GOOD), "{metrics}");
}

#[tokio::test]
async fn a_damaged_file_is_said_and_the_monitor_runs_on() {
    let world = MailWorld::start().await;
    let _domain = world.domain("good.example").await;
    let config = world.config_file("domains: [good.example]\n");
    let state = TempDir::new().unwrap();
    fs::write(state.path().join("state.db"), "no database").unwrap();
    let served = Served::start_in(&config, state.path(), &[]).await;
    let metrics = served.until(&[GOOD, "smtptls_state_damaged_files 1"]).await;
    assert!(metrics.contains("smtptls_state_write_failures_total 0"), "{metrics}");
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_stops_no_probe() {
    let world = MailWorld::start().await;
    let _domain = world.domain("good.example").await;
    let config = world.config_file("domains: [good.example]\n");
    // A file stands where the folder should be: root cannot write there either.
    let folder = TempDir::new().unwrap();
    let blocked = folder.path().join("file");
    fs::write(&blocked, "").unwrap();
    let served = Served::start_in(&config, &blocked.join("state"), &[]).await;
    let metrics = served.until(&[GOOD]).await;
    let failures = metrics.lines().find_map(|line| line.strip_prefix("smtptls_state_write_failures_total "));
    assert!(failures.unwrap().parse::<f64>().unwrap() >= 1.0, "{metrics}");
    // Once it can be, all that is known is written.
    fs::remove_file(&blocked).unwrap();
    let end = std::time::Instant::now() + PATIENCE;
    while !written(&served.get("/metrics").await.1) {
        assert!(std::time::Instant::now() < end, "never written");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(Path::new(&blocked.join("state/state.db")).exists());
}

fn written(metrics: &str) -> bool {
    let at = metrics.lines().find_map(|line| line.strip_prefix("smtptls_state_last_write_timestamp_seconds "));
    at.is_some_and(|at| at != "0")
}

#[tokio::test]
async fn two_monitors_do_not_share_a_folder_and_check_reads_it() {
    let world = MailWorld::start().await;
    let _domain = world.domain("good.example").await;
    let config = world.config_file("domains: [good.example]\n");
    let state = TempDir::new().unwrap();
    let served = Served::start_in(&config, state.path(), &[]).await;
    served.until(&[GOOD]).await;
    let run = async |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_smtptls-exporter"));
        command.args(arguments).arg("--config.file").arg(&config).arg("--state.dir").arg(state.path());
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    };
    let second = run(&["serve", "--web.listen-address", "127.0.0.1:0"]).await;
    let said = String::from_utf8(second.stderr).unwrap();
    assert_eq!(second.status.code(), Some(2), "{said}");
    assert!(said.contains("is in use by another monitor"), "{said}");
    let checked = run(&["check", "good.example", "--fail-on", "warning"]).await;
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");
    served.until(&[GOOD]).await;
}
