//! Maildirs and folders of files, watched by a running monitor.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use smtptls_exporter::{
    config::ReportAuthentication,
    facts::Transport,
    protocol::tls_rpt::{RefusalReason, Shape, sniff},
};
use tempfile::TempDir;

use super::{
    intake::{Bench, PATIENCE, fresh, fresh_mail},
    made::{REPORT, gzip, with},
    signing::{Signer, USUAL},
};
use crate::world::dns::Behaviour;

/// A monitor that watches a folder.
async fn watching(folder: &Path, authentication: ReportAuthentication) -> Bench {
    Bench::start(|settings| {
        settings.reports.maildir = Some(vec![folder.to_owned().into()].into());
        settings.reports.authentication = Some(authentication.into());
    })
    .await
}

fn maildir() -> TempDir {
    let folder = TempDir::new().unwrap();
    for part in ["new", "cur", "tmp"] {
        fs::create_dir(folder.path().join(part)).unwrap();
    }
    folder
}

/// What lies in a folder, by name.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

async fn until(what: &str, so: impl AsyncFn() -> bool) {
    let end = Instant::now() + PATIENCE * 2;
    while !so().await {
        assert!(Instant::now() < end, "never: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A file as it is when nobody writes to it any more.
fn put(path: PathBuf, bytes: &[u8]) {
    let hidden = path.with_file_name(".being-written");
    fs::write(&hidden, bytes).unwrap();
    fs::File::open(&hidden).unwrap().set_modified(std::time::SystemTime::now() - Duration::from_secs(120)).unwrap();
    fs::rename(hidden, path).unwrap();
}

#[tokio::test]
async fn a_maildir_is_emptied_into_cur() {
    let maildir = maildir();
    let at = |name: &str| maildir.path().join(name);
    let second = String::from_utf8(super::made::mail(&[super::made::part(
        "application/tlsrpt+gzip",
        &gzip(fresh(&with(r#""r1""#, r#""r2""#)).as_bytes()),
    )]))
    .unwrap();
    put(at("new/1.a.host"), &fresh_mail());
    put(at("cur/2.a.host:2,F"), second.replace("\r\n", "\n").as_bytes());
    put(at("cur/3.seen.host:2,S"), second.replace("example.com", "example.org").as_bytes());
    put(at("tmp/4.half.host"), b"From: half");
    put(at("new/5.broken.host"), b"From: a@b.test\r\nSubject: hello\r\n\r\nNo report.\r\n");
    let bench = watching(maildir.path(), ReportAuthentication::None).await;
    let done = ["1.a.host:2,S", "2.a.host:2,FS", "3.seen.host:2,S", "5.broken.host:2,S"];
    until("all are in cur", async || names(&at("cur")) == done).await;
    assert!(names(&at("new")).is_empty());
    assert_eq!(names(&at("tmp")), ["4.half.host"]);
    assert_eq!(bench.sessions("example.com").await, 16);
    let sources = bench.stored("example.com").await;
    assert!(sources.iter().all(|one| one.provenance.transport == Transport::Mail));
    bench.refused(RefusalReason::BadEncoding, 1).await;
    assert_eq!(bench.quarantined().len(), 1);
    put(at("new/6.late.host"), &second.replace("r2", "r3").into_bytes());
    until("what comes later", async || names(&at("new")).is_empty()).await;
    bench.monitor.stop().await;
}

#[tokio::test]
async fn a_folder_of_files_is_emptied() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    put(at("sender.test!example.com!1!2.json.gz"), &gzip(fresh(REPORT).as_bytes()));
    put(at("mail.eml"), &fresh_mail());
    put(at("nonsense.txt"), b"hello");
    put(at("report.zip"), &super::made::zip(&[("a.json", fresh(&with(r#""r1""#, r#""zipped""#)).as_bytes())]));
    fs::write(at(".hidden"), fresh(REPORT)).unwrap();
    fs::create_dir(at("folder")).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", at("link")).unwrap();
    let bench = watching(folder.path(), ReportAuthentication::None).await;
    until("files go", async || names(folder.path()) == [".hidden", "folder", "link"]).await;
    assert_eq!(bench.sessions("example.com").await, 16);
    assert_eq!(bench.counted().await.duplicates, 1);
    bench.refused(RefusalReason::BadJson, 1).await;
    let [copy] = <[_; 1]>::try_from(bench.quarantined()).unwrap();
    assert_eq!(fs::read(copy).unwrap(), b"hello");
    // A file that grows is not read before it is whole.
    let (start, end) = REPORT.split_at(200);
    let (start, end) = (fresh(&start.replace("Sender", "Grower")), fresh(end).replace("r1", "grown"));
    fs::write(at("growing.json"), &start).unwrap();
    tokio::time::sleep(Duration::from_millis(700)).await;
    fs::write(at("growing.json"), start + &end).unwrap();
    until("the grown file goes", async || !at("growing.json").exists()).await;
    assert_eq!(bench.sessions("example.com").await, 24);
    bench.monitor.stop().await;
}

/// What `report ingest` hands over is taken up, by the running monitor or the next.
#[tokio::test]
async fn what_was_handed_in_is_taken_up() {
    let bench = Bench::start(|_| {}).await;
    let incoming = bench.state.path().join("incoming");
    until("the monitor makes it", async || incoming.is_dir()).await;
    put(incoming.join("one.json"), fresh(REPORT).as_bytes());
    until("it goes", async || names(&incoming).is_empty()).await;
    assert_eq!(bench.sessions("example.com").await, 8);
    let (state, incoming) = (bench.state.path().to_owned(), incoming);
    bench.monitor.stop().await;
    put(incoming.join("two.json"), fresh(&with(r#""r1""#, r#""r2""#)).as_bytes());
    let settings = smtptls_exporter::config::Settings::for_domains(vec![super::intake::domain("example.com")]);
    let next = Bench::start_in(bench.dns, bench.state, settings).await;
    until("it goes", async || names(&state.join("incoming")).is_empty()).await;
    assert_eq!(next.sessions("example.com").await, 16);
    next.monitor.stop().await;
}

/// peers.md 35: nothing goes before it is stored, and what cannot be told now stays.
#[tokio::test]
async fn a_mail_whose_key_cannot_be_looked_up_stays() {
    let maildir = maildir();
    let signer = Signer::ed25519("sender.test");
    let bench = watching(maildir.path(), ReportAuthentication::Dkim).await;
    bench.dns.txt(&signer.name(), &[&signer.record("")]);
    bench.dns.behave(&signer.name(), Behaviour::ServFail);
    let new = maildir.path().join("new");
    put(new.join("1.a.host"), &signer.sign(&fresh_mail(), USUAL));
    put(new.join("2.a.host"), b"From: a@b.test\r\n\r\nNo report.\r\n");
    until("the other one goes", async || names(&new) == ["1.a.host"]).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(names(&new), ["1.a.host"]);
    assert_eq!(bench.sessions("example.com").await, 0);
    bench.dns.remove(&signer.name());
    bench.dns.txt(&signer.name(), &[&signer.record("")]);
    // It is tried again within a minute.
    until("it goes", async || names(&new).is_empty()).await;
    assert_eq!(bench.sessions("example.com").await, 8);
    bench.monitor.stop().await;
}

/// A file for which there is no room in the store or in quarantine stays.
#[tokio::test]
async fn what_cannot_be_put_into_quarantine_stays() {
    let folder = TempDir::new().unwrap();
    let bench = watching(folder.path(), ReportAuthentication::Dkim).await;
    // A file where the folder should be.
    fs::write(bench.state.path().join("quarantine"), "").unwrap();
    put(folder.path().join("unsigned.eml"), &fresh_mail());
    put(folder.path().join("good.json"), fresh(REPORT).as_bytes());
    until("the good one goes", async || names(folder.path()) == ["unsigned.eml"]).await;
    fs::remove_file(bench.state.path().join("quarantine")).unwrap();
    until("the other one goes", async || names(folder.path()).is_empty()).await;
    let [copy] = <[_; 1]>::try_from(bench.quarantined()).unwrap();
    assert_eq!(sniff(&fs::read(copy).unwrap()), Shape::Mail);
    bench.refused(RefusalReason::Unauthenticated, 1).await;
    bench.monitor.stop().await;
}

/// A slow copy that stands still is neither refused nor deleted.
#[tokio::test]
async fn half_a_file_rests_before_it_is_refused() {
    let folder = TempDir::new().unwrap();
    let half = folder.path().join("half.json");
    let report = fresh(REPORT);
    fs::write(&half, &report[..200]).unwrap();
    let bench = watching(folder.path(), ReportAuthentication::None).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(fs::read(&half).unwrap(), report.as_bytes()[..200]);
    assert!(bench.quarantined().is_empty());
    // The copy goes on, in the same file.
    fs::write(&half, &report).unwrap();
    until("the whole file goes", async || !half.exists()).await;
    assert_eq!(bench.sessions("example.com").await, 8);
    // What stays as it is is refused at last, and once.
    fs::write(&half, "hello").unwrap();
    let minute_ago = std::time::SystemTime::now() - Duration::from_secs(57);
    fs::File::options().write(true).open(&half).unwrap().set_modified(minute_ago).unwrap();
    until("it goes at last", async || !half.exists()).await;
    bench.refused(RefusalReason::BadJson, 1).await;
    assert_eq!(bench.quarantined().len(), 1);
    bench.monitor.stop().await;
}
