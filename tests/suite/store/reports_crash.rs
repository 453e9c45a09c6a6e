//! Reports and what can go wrong: killed in the middle, a full disk, an older file. Each counts exactly once.

use std::collections::BTreeMap;

use smtptls_exporter::{
    facts::{Reporter, Transport},
    protocol::tls_rpt::PolicyType,
    store::{self, Filed, IncomingReport, IntakeCounters, ReportBatch, ReportsWanted, StoreError},
    verdict::{CounterKey, Measure},
};
use sqlx::{ConnectOptions, Connection, Executor};
use tempfile::TempDir;

use super::{
    crash::{FOLDER, kill},
    damage::Mounted,
    reports::{EXAMPLE, Sent, counted, file, of, sts, verified, yesterday},
    *,
};

/// Often enough to meet each phase of a transaction.
const CRASHES: u32 = 50;

fn wanted(name: &str) -> ReportsWanted {
    ReportsWanted { domain: domain(name), since: None, failing: false, before: None, most: usize::MAX }
}

/// A report about two domains; on each day fewer than are kept of one reporter.
fn sent(number: usize) -> Sent {
    let policies = vec![(EXAMPLE, vec![sts(9, 1)]), ("example.org", vec![sts(2, 0)])];
    let begin = Some(yesterday() - case::DAY * u32::try_from(number / 100).unwrap());
    Sent { policies, begin, ..Sent::new(verified("sender.example"), &number.to_string(), 0, 0) }
}

/// The child: files one report after the other, each twice in its batch and once more with the next, and says each once it is
/// acknowledged. It begins anew with some that are there, as who lost the acknowledgement does. Alone it does nothing.
#[tokio::test]
async fn a_child_that_files_until_it_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let store = open(Path::new(&folder)).await;
    let first = store.reports(&wanted(EXAMPLE)).await.unwrap().len().saturating_sub(3);
    for number in first.. {
        let post = Sent { reporter: Reporter::Unverified, transport: Transport::Https, ..sent(number) };
        let filing = file(&*store, vec![sent(number.saturating_sub(1)), post, sent(number)]).await;
        assert!(filing.outcomes.iter().all(|outcome| matches!(outcome, Filed::New | Filed::Duplicate)));
        eprintln!("acknowledged {number}");
    }
}

#[tokio::test]
async fn a_kill_at_any_moment_loses_no_report_and_counts_none_twice() {
    let folder = TempDir::new().unwrap();
    let mut acknowledged = None;
    for crash in 0..CRASHES {
        let last = kill("store::reports_crash::a_child_that_files_until_it_is_killed", folder.path(), crash);
        acknowledged = acknowledged.max(last);
        // `open` fails the test where the file is damaged.
        let store = open(folder.path()).await;
        let kept = store.reports(&wanted(EXAMPLE)).await.unwrap();
        let ids: Vec<u64> =
            kept.iter().rev().map(|kept| kept.report.report_id.clone().unwrap().parse().unwrap()).collect();
        let reports = ids.len() as u64;
        assert!(acknowledged.is_none_or(|last| u64::from(last) < reports), "crash {crash}: {last:?} of {reports}");
        assert_eq!(ids, (0..reports).collect::<Vec<_>>(), "crash {crash}: each is there once");
        assert_eq!(store.reports(&wanted("example.org")).await.unwrap().len() as u64, reports);
        assert_eq!(counted(&*store, EXAMPLE).await, [10 * reports, reports], "crash {crash}");
        assert_eq!(counted(&*store, "example.org").await, [2 * reports, 0], "crash {crash}");
        let days = of(&*store, EXAMPLE).await.days;
        let sessions: u64 = days
            .values()
            .flat_map(BTreeMap::values)
            .flat_map(|day| &day.tally)
            .filter(|(cell, _)| cell.measure == Measure::Sessions)
            .map(|(_, sessions)| sessions)
            .sum();
        assert_eq!(sessions, 10 * reports, "crash {crash}");
        let (intake, _) = store.intake_counters().await.unwrap();
        assert_eq!(intake.reports.values().sum::<u64>(), reports, "crash {crash}");
        store.close().await;
    }
    assert!(acknowledged.is_some_and(|last| last > 50), "hardly anything was filed: {acknowledged:?}");
}

fn batch_of(first: usize) -> Arc<ReportBatch> {
    let reports: Vec<IncomingReport> = (first..first + 20).map(|number| sent(number).incoming()).collect();
    Arc::new(ReportBatch { reports, foreign_policies: 1, ..ReportBatch::default() })
}

#[tokio::test]
async fn on_a_full_disk_a_batch_is_filed_whole_or_not_at_all() {
    let Some(disk) = Mounted::new("size=1m") else { return };
    let store = open(disk.0.path()).await;
    let mut filed = 0;
    let error = loop {
        match store.file_reports(batch_of(filed), NOW).await {
            Ok(filing) => {
                assert_eq!(filing.outcomes, [Filed::New; 20]);
                filed += 20;
            }
            Err(error) => break error,
        }
        assert!(filed < 100_000, "the disk is never full");
    };
    assert!(matches!(error, StoreError::NotWritable { .. }) && error.passes(), "{error}");
    assert!(filed > 0);
    let reports = filed as u64;
    assert_eq!(store.reports(&wanted(EXAMPLE)).await.unwrap().len(), filed);
    assert_eq!(counted(&*store, EXAMPLE).await, [10 * reports, reports]);
    assert_eq!(store.intake_counters().await.unwrap().0.foreign_policies, reports / 20);
    // Who was told so sends it again once there is room.
    disk.remount("size=8m");
    let filing = store.file_reports(batch_of(filed), NOW).await.unwrap();
    assert_eq!(filing.outcomes, [Filed::New; 20]);
    assert_eq!(counted(&*store, EXAMPLE).await, [10 * (reports + 20), reports + 20]);
    store.close().await;
}

#[tokio::test]
async fn a_file_of_version_1_is_read_as_one_without_reports_and_becomes_one_that_takes_them() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path()).await;
    store.write(batch(vec![stored_domain(EXAMPLE, 1)], vec![], vec![]), NOW).await.unwrap();
    store.close().await;
    drop(store);
    let path = folder.path().join("state.db");
    let mut connection = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE '%report%' OR name = 'intake_counters'",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    assert_eq!(tables.len(), 8, "{tables:?}");
    for table in tables {
        connection.execute(sqlx::raw_sql(&format!("DROP TABLE {table}"))).await.unwrap();
    }
    connection.execute("ALTER TABLE domains DROP COLUMN face").await.unwrap();
    connection.execute("DROP TABLE faces").await.unwrap();
    connection.execute("PRAGMA user_version = 1").await.unwrap();
    connection.close().await.unwrap();

    let reader = store::read_only(folder.path()).await.unwrap().unwrap();
    assert_eq!(reader.domains(&[domain(EXAMPLE)]).await.unwrap().len(), 1);
    assert_eq!(reader.reports(&wanted(EXAMPLE)).await.unwrap(), []);
    assert_eq!(reader.domain_reports(&[domain(EXAMPLE)], 0).await.unwrap(), []);
    assert_eq!(reader.day_totals(&domain(EXAMPLE), 0, i64::MAX).await.unwrap(), []);
    assert_eq!(reader.intake_counters().await.unwrap(), (IntakeCounters::default(), [].into()));
    let error = reader.file_reports(batch_of(0), NOW).await.unwrap_err();
    assert!(matches!(error, StoreError::NotWritable { .. }), "{error}");
    reader.close().await;
    drop(reader);

    let store = open(folder.path()).await;
    store.file_reports(batch_of(0), NOW).await.unwrap();
    assert_eq!(store.domains(&[domain(EXAMPLE)]).await.unwrap().len(), 1);
    // A reader sees what a monitor files meanwhile.
    let reader = store::read_only(folder.path()).await.unwrap().unwrap();
    assert_eq!(reader.reports(&wanted(EXAMPLE)).await.unwrap().len(), 20);
    let sessions = CounterKey::Sessions(PolicyType::Sts);
    assert_eq!(of(&*reader, EXAMPLE).await.counters[&sessions].value, 200);
    reader.close().await;
    store.close().await;
}

#[tokio::test]
async fn a_damaged_file_makes_room_for_one_that_takes_reports() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path()).await;
    store.file_reports(batch_of(0), NOW).await.unwrap();
    store.close().await;
    drop(store);
    let path = folder.path().join("state.db");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[4096..3 * 4096].fill(0xa5);
    std::fs::write(&path, &bytes).unwrap();
    let opened = store::open(folder.path(), NOW).await.unwrap();
    let (aside, _) = opened.damaged.unwrap();
    assert_eq!(std::fs::read(aside).unwrap(), bytes, "what was kept is there to be looked at");
    // Senders and mailboxes still have what was not acknowledged; what comes now counts.
    let filing = opened.store.file_reports(batch_of(0), NOW).await.unwrap();
    assert_eq!(filing.outcomes, [Filed::New; 20]);
    opened.store.close().await;
}
