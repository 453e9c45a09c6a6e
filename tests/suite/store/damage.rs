//! A file that cannot be used is set aside or refused, and says why; it is never written over.

use std::{fs, path::PathBuf, process::Command};

use smtptls_exporter::store::StoreError;
use sqlx::{ConnectOptions, Connection};
use tempfile::TempDir;

use super::*;

/// A folder with a state of many pages, closed in order.
async fn folder() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path()).await;
    let domains = (0..50).map(|number| stored_domain(&format!("d{number}.example"), number)).collect();
    let changes = (0..500).map(|number| change(number, NOW)).collect();
    store.write(batch(domains, vec![stored_host(case::MX1)], changes), NOW).await.unwrap();
    store.close().await;
    let path = folder.path().join("state.db");
    (folder, path)
}

fn set_aside(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.contains("damaged")).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_damaged_file_is_kept_aside_and_an_empty_one_takes_its_place() {
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 4] = [
        ("cut in the middle of a page", |bytes| bytes.truncate(bytes.len() / 2 + 17)),
        ("garbage", |bytes| bytes.iter_mut().enumerate().for_each(|(place, byte)| *byte = (place * 31 % 251) as u8)),
        ("a garbled page", |bytes| bytes[4096..3 * 4096].fill(0xa5)),
        ("a header without its text", |bytes| bytes[..16].fill(0)),
    ];
    for (what, damage) in damages {
        let (folder, path) = folder().await;
        let mut bytes = fs::read(&path).unwrap();
        damage(&mut bytes);
        fs::write(&path, &bytes).unwrap();
        let opened = store::open(folder.path(), NOW).await.unwrap();
        let (aside, why) = opened.damaged.unwrap_or_else(|| panic!("{what} is not seen"));
        assert!(!why.is_empty());
        assert_eq!(fs::read(&aside).unwrap(), bytes, "{what}: it is kept as it was");
        assert_eq!(opened.store.damaged(), 1);
        // The empty one works.
        assert!(opened.store.domains(&[domain("d1.example")]).await.unwrap().is_empty());
        opened.store.write(batch(vec![stored_domain("d1.example", 9)], vec![], vec![]), NOW).await.unwrap();
        assert_eq!(opened.store.domains(&[domain("d1.example")]).await.unwrap()[0].open().unwrap().dns_failures, 9);
        opened.store.close().await;
    }
}

#[tokio::test]
async fn damaged_files_do_not_pile_up() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("state.db");
    for day in 0..5 {
        fs::write(&path, format!("no database, the {day}th")).unwrap();
        fs::write(folder.path().join("state.db-wal"), "no log").unwrap();
        let opened = store::open(folder.path(), NOW + day * case::DAY).await.unwrap();
        assert!(opened.damaged.is_some());
        opened.store.close().await;
    }
    let left = set_aside(folder.path());
    let databases: Vec<_> = left.iter().filter(|name| !name.ends_with("-wal") && !name.ends_with("-shm")).collect();
    assert_eq!(databases.len(), 3, "{left:?}");
    assert_eq!(fs::read_to_string(folder.path().join(databases[2])).unwrap(), "no database, the 4th");
}

#[tokio::test]
async fn an_empty_file_and_a_missing_log_are_no_damage() {
    let (folder, path) = folder().await;
    fs::write(&path, "").unwrap();
    let store = open(folder.path()).await;
    assert!(store.domains(&[domain("d1.example")]).await.unwrap().is_empty());
    store.close().await;

    // A log that is gone takes what only it held; the file stays whole.
    let store = open(folder.path()).await;
    store.write(batch(vec![stored_domain("d1.example", 1)], vec![], vec![]), NOW).await.unwrap();
    let copy = TempDir::new().unwrap();
    fs::copy(&path, copy.path().join("state.db")).unwrap();
    open(copy.path()).await.close().await;
    store.close().await;
}

#[tokio::test]
async fn a_file_of_a_later_version_or_of_another_program_is_refused_and_left_alone() {
    for (statement, expected) in
        [("PRAGMA user_version = 99", "schema version 99"), ("PRAGMA application_id = 7", "of another program")]
    {
        let (folder, path) = folder().await;
        let mut connection = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
        sqlx::query(statement).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        let before = fs::read(&path).unwrap();
        let error = store::open(folder.path(), NOW).await.unwrap_err();
        assert!(error.to_string().contains(expected) && !error.passes(), "{error}");
        let error = store::read_only(folder.path()).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(fs::read(&path).unwrap(), before);
        assert_eq!(set_aside(folder.path()), [""; 0]);
    }
}

/// A small file system of its own; nothing where this user may not mount.
pub(super) struct Mounted(pub(super) TempDir);

impl Mounted {
    pub(super) fn new(options: &str) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(folder.path()).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(folder));
        }
        eprintln!("skipped: only root can mount a file system");
        None
    }

    pub(super) fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        assert!(Command::new("mount").args(["-o", &options]).arg(self.0.path()).status().unwrap().success());
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_takes_nothing_away() {
    let Some(disk) = Mounted::new("size=600k") else { return };
    let store = open(disk.0.path()).await;
    let mut written = 0;
    let error = loop {
        let name = format!("d{written}.example");
        let changes = (0..50).map(|number| change(number, NOW)).collect();
        match store.write(batch(vec![stored_domain(&name, written)], vec![], changes), NOW).await {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 10_000, "the disk is never full");
    };
    assert!(matches!(error, StoreError::NotWritable { .. }) && error.passes(), "{error}");
    assert!(written > 0);
    // Once there is room, writing goes on; all that was acknowledged is there.
    disk.remount("size=8m");
    store.write(batch(vec![stored_domain("late.example", 0)], vec![], vec![]), NOW).await.unwrap();
    store.close().await;
    drop(store);
    let store = open(disk.0.path()).await;
    for number in 0..written {
        let name = format!("d{number}.example");
        assert_eq!(store.domains(&[domain(&name)]).await.unwrap()[0].open().unwrap().dns_failures, number);
    }
    assert_eq!(store.domains(&[domain("late.example")]).await.unwrap().len(), 1);
    store.close().await;
}

#[tokio::test]
async fn a_read_only_folder_is_read_and_not_written() {
    let Some(disk) = Mounted::new("size=8m") else { return };
    let store = open(disk.0.path()).await;
    store.write(batch(vec![stored_domain("example.com", 1)], vec![], vec![]), NOW).await.unwrap();
    store.close().await;
    drop(store);
    disk.remount("ro");
    let error = store::open(disk.0.path(), NOW).await.unwrap_err();
    assert!(matches!(error, StoreError::NotWritable { .. }), "{error:?}");
    let reader = store::read_only(disk.0.path()).await.unwrap().unwrap();
    assert_eq!(reader.domains(&[domain("example.com")]).await.unwrap()[0].open().unwrap().dns_failures, 1);
    reader.close().await;
    drop(reader);
    disk.remount("rw");
    open(disk.0.path()).await.close().await;
}
