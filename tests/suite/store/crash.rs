//! Killed with SIGKILL in the middle of writing, again and again: what was acknowledged is there, and the file is whole.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use smtptls_exporter::store::ChangesWanted;
use tempfile::TempDir;

use super::*;

pub(super) const FOLDER: &str = "SMTPTLS_CRASH_FOLDER";
/// Often enough to meet each phase of a transaction; `SMTPTLS_CRASHES` asks for more.
const CRASHES: u32 = 12;

/// The child: writes one number after the other, in a domain, a host and a change together, and says each once it is
/// acknowledged. Alone it does nothing.
#[tokio::test]
async fn a_child_that_writes_until_it_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let store = open(Path::new(&folder)).await;
    let known = store.domains(&[domain("count.example")]).await.unwrap();
    let first = known.first().map_or(0, |known| known.open().unwrap().dns_failures + 1);
    for number in first.. {
        let hosts = vec![stored_host(case::MX1)];
        let changes = vec![change(number, NOW)];
        store.write(batch(vec![stored_domain("count.example", number)], hosts, changes), NOW).await.unwrap();
        eprintln!("acknowledged {number}");
    }
}

#[tokio::test]
async fn a_kill_at_any_moment_loses_nothing_that_was_acknowledged() {
    let crashes = std::env::var("SMTPTLS_CRASHES").ok().and_then(|text| text.parse().ok()).unwrap_or(CRASHES);
    let folder = TempDir::new().unwrap();
    let mut acknowledged_before = None;
    for crash in 0..crashes {
        let last = kill("store::crash::a_child_that_writes_until_it_is_killed", folder.path(), crash);
        let acknowledged = last.or(acknowledged_before);

        // `open` fails the test where the file is damaged: it goes through a check of every page.
        let store = open(folder.path()).await;
        let known = store.domains(&[domain("count.example")]).await.unwrap();
        let found = known.first().map(|known| known.open().unwrap().dns_failures);
        assert!(found >= acknowledged, "crash {crash}: {acknowledged:?} was acknowledged, and {found:?} is there");
        let changes = store.changes(&ChangesWanted { most: usize::MAX, ..ChangesWanted::default() }).await.unwrap();
        let numbers: Vec<u32> =
            changes.iter().rev().map(|one| one.change.after.as_ref().unwrap().parse().unwrap()).collect();
        let whole: Vec<u32> = found.map_or_else(Vec::new, |found| (0..=found).collect());
        assert_eq!(numbers, whole, "crash {crash}: a batch is there whole or not at all");
        acknowledged_before = found;
        store.close().await;
    }
    assert!(acknowledged_before.is_some_and(|last| last > 10), "hardly anything was written: {acknowledged_before:?}");
}

/// Runs a test of this program as a child that writes to a folder, kills it at a moment that is another one each time, and says the
/// last number that it acknowledged.
pub(super) fn kill(test: &str, folder: &Path, crash: u32) -> Option<u32> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let reader = std::thread::spawn(move || {
        let lines = stderr.lines().map_while(Result::ok);
        lines.filter_map(|line| line.strip_prefix("acknowledged ")?.parse().ok()).last()
    });
    // The child has to have come as far as to write.
    let database = folder.join("state.db");
    let patience = Instant::now() + Duration::from_secs(30);
    while !database.exists() && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(u64::from(40 + crash * 37 % 211)));
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}
