//! `report show` and `report ingest` as programs: what files they take, what they leave, and how they end.

use std::{
    fs,
    io::Write,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use super::faces::{policy, report};

fn program(arguments: &[&str], input: Option<&[u8]>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_smtptls-exporter"));
    command.args(arguments).current_dir(std::env::temp_dir()).env("LC_ALL", "C.UTF-8");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A program that refuses early does not read.
    let _ = stdin.write_all(input.unwrap_or_default());
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn status(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("{output:?}"))
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn json(number: u64) -> String {
    report("Sender", 20, &format!("r{number}"), &[policy("sts", "example.com", "enforce", [number, 0], &[])])
        .to_string()
}

fn mail(number: u64) -> String {
    format!(
        "From: tls@sender.example\r\nTo: tls@example.com\r\nSubject: Report Domain: example.com\r\n\
         TLS-Report-Domain: example.com\r\nTLS-Report-Submitter: reporter.example\r\nMIME-Version: 1.0\r\n\
         Content-Type: application/tlsrpt+json\r\n\r\n{}\r\n",
        json(number)
    )
}

fn mbox(numbers: &[u64]) -> String {
    let mails = numbers.iter().map(|number| format!("From a@example Mon Nov 23 00:00:00 2026\n{}\n", mail(*number)));
    mails.collect::<String>().replace("\r\n", "\n")
}

/// What lies ready for the monitor, with its content.
fn incoming(state: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let Ok(entries) = fs::read_dir(state.join("incoming")) else { return Vec::new() };
    let mut files: Vec<_> =
        entries.map(|entry| entry.unwrap().path()).map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    files.sort();
    files
}

#[test]
fn every_kind_of_file_is_shown_and_each_report_once() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("a.json"), json(1)).unwrap();
    fs::write(at("b.eml"), mail(2)).unwrap();
    fs::write(at("c.mbox"), mbox(&[1, 2, 3, 4])).unwrap();
    fs::write(at(".half-written.json"), "{").unwrap();
    fs::create_dir_all(at("maildir/new")).unwrap();
    fs::create_dir_all(at("maildir/cur")).unwrap();
    fs::create_dir_all(at("maildir/tmp")).unwrap();
    fs::write(at("maildir/new/1.x"), mail(5)).unwrap();
    fs::write(at("maildir/cur/2.x:2,S"), mail(6)).unwrap();
    fs::write(at("maildir/tmp/3.x"), "half").unwrap();
    let paths = [folder.path().to_str().unwrap().to_owned(), at("maildir").to_str().unwrap().to_owned()];
    let output = program(&["report", "show", &paths[0], &paths[1], "-", "--format", "json"], Some(json(7).as_bytes()));
    assert_eq!(status(&output), 0, "{output:?}");
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    let reports = value["reports"].as_array().unwrap();
    let ids: Vec<&str> = reports.iter().map(|report| report["report_id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["r1", "r2", "r3", "r4", "r5", "r6", "r7"]);
    assert_eq!(value["duplicates"], 2, "r1 and r2 stand in the mbox again");
    assert_eq!(value["rejected"], serde_json::json!([]));
    let source = |place: usize| reports[place]["source"].as_str().unwrap();
    assert!(source(2).ends_with("c.mbox: message 3") && source(4).ends_with("new/1.x"), "{value}");
    assert_eq!(source(6), "standard input");

    let output = program(&["report", "show", &paths[0]], None);
    assert_eq!(status(&output), 0, "{output:?}");
    let shown = text(&output.stdout);
    assert!(shown.starts_with("TLS reports   NO SESSION FAILED"), "{shown}");
    assert!(shown.contains("2 copies of reports that were read before"), "{shown}");
    assert!(
        output.stderr.is_empty() && !shown.contains('\u{1b}'),
        "no bar and no colour without a terminal: {output:?}"
    );
}

#[test]
fn what_is_rejected_makes_the_status_1() {
    let folder = TempDir::new().unwrap();
    let (good, bad) = (folder.path().join("good.json"), folder.path().join("bad.json"));
    fs::write(&good, json(1)).unwrap();
    fs::write(&bad, "{\"policies\": [}").unwrap();
    let (good, bad) = (good.to_str().unwrap(), bad.to_str().unwrap());
    let output = program(&["report", "show", good, bad], None);
    assert_eq!(status(&output), 1, "{output:?}");
    let shown = text(&output.stdout);
    assert!(shown.contains("Rejected") && shown.contains("bad-json") && shown.contains("1 report"), "{shown}");
    let output = program(&["report", "show", bad, "--format", "json"], None);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((status(&output), &value["rejected"][0]["reason"]), (1, &"bad-json".into()));

    let output = program(&["report", "show", "/nowhere/at-all.json"], None);
    assert_eq!(status(&output), 1, "{output:?}");
    let shown = text(&output.stdout);
    assert!(shown.contains("/nowhere/at-all.json") && shown.contains("it cannot be read"), "{shown}");
    assert!(shown.contains("To do: Check the name and the rights of the file."), "{shown}");
}

#[test]
fn a_piped_mail_is_on_the_disk_once_the_program_ends() {
    let state = TempDir::new().unwrap();
    let folder = state.path().to_str().unwrap();
    let output = program(&["report", "ingest", "--state.dir", folder, "-"], Some(mail(1).as_bytes()));
    assert_eq!((status(&output), output.stdout.len(), output.stderr.len()), (0, 0, 0), "{output:?}");
    let files = incoming(state.path());
    assert_eq!(files.len(), 1);
    let (path, bytes) = &files[0];
    assert_eq!(text(bytes), mail(1), "byte for byte: its signature is over them");
    assert!(!path.file_name().unwrap().to_str().unwrap().starts_with('.'));
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(fs::metadata(path).unwrap().uid(), fs::metadata(state.path()).unwrap().uid());
    // The same again is another file: the store tells duplicates apart, and nothing is overwritten.
    assert_eq!(status(&program(&["report", "ingest", "--state.dir", folder, "-"], Some(mail(1).as_bytes()))), 0);
    assert_eq!(incoming(state.path()).len(), 2);
}

#[test]
fn an_mbox_becomes_its_mails_and_a_name_cannot_leave_the_folder() {
    let state = TempDir::new().unwrap();
    let folder = TempDir::new().unwrap();
    let mailbox = folder.path().join("mails.mbox");
    fs::write(&mailbox, mbox(&[1, 2, 3])).unwrap();
    let odd = folder.path().join("sender.example!example.com!1!2 \u{1b}\u{e4}\\..gz");
    fs::write(&odd, "not looked into").unwrap();
    let state_dir = state.path().to_str().unwrap();
    let arguments = ["report", "ingest", "--state.dir", state_dir, mailbox.to_str().unwrap(), odd.to_str().unwrap()];
    let output = program(&arguments, None);
    assert_eq!(status(&output), 0, "{output:?}");
    assert!(text(&output.stdout).starts_with("4 handed over in "), "{output:?}");
    let files = incoming(state.path());
    let mails = files.iter().filter(|(_, bytes)| bytes.starts_with(b"From: tls@sender.example")).count();
    assert_eq!((files.len(), mails), (4, 3));
    let kept = files.iter().find(|(_, bytes)| bytes == b"not looked into").unwrap().0.file_name().unwrap().to_owned();
    assert!(kept.to_str().unwrap().ends_with("-sender.example!example.com!1!2..gz"), "{kept:?}");
}

#[test]
fn nothing_to_hand_over_is_said_and_the_rest_is_handed_over() {
    let state = TempDir::new().unwrap();
    let folder = TempDir::new().unwrap();
    let (empty, good) = (folder.path().join("empty"), folder.path().join("good.json"));
    fs::write(&empty, " \r\n").unwrap();
    fs::write(&good, json(1)).unwrap();
    let state_dir = state.path().to_str().unwrap();
    let paths = [empty.to_str().unwrap(), good.to_str().unwrap()];
    let output = program(&["report", "ingest", "--state.dir", state_dir, paths[0], paths[1]], None);
    assert_eq!(status(&output), 1, "{output:?}");
    assert!(text(&output.stderr).contains("empty: it is empty"), "{output:?}");
    assert_eq!(incoming(state.path()).len(), 1);
    let output = program(&["report", "ingest", "--state.dir", state_dir, "-"], Some(b""));
    assert_eq!(status(&output), 1, "{output:?}");
    assert_eq!(incoming(state.path()).len(), 1);
    assert_eq!(status(&program(&["report", "ingest", "--state.dir", state_dir], None)), 2);
}

#[test]
fn what_cannot_be_written_now_is_asked_for_again() {
    let folder = TempDir::new().unwrap();
    // A file stands where the folder should be: that stops root as well.
    let state = folder.path().join("state");
    fs::write(&state, "").unwrap();
    let output = program(&["report", "ingest", "--state.dir", state.to_str().unwrap(), "-"], Some(mail(1).as_bytes()));
    assert_eq!(status(&output), 75, "{output:?}");
    assert!(text(&output.stderr).contains("cannot be written"), "{output:?}");
    // A configuration that somebody is at work on must not bounce the mail.
    let config = folder.path().join("config.yml");
    fs::write(&config, "domains: [\n").unwrap();
    let output =
        program(&["report", "ingest", "--config.file", config.to_str().unwrap(), "-"], Some(mail(1).as_bytes()));
    assert_eq!(status(&output), 75, "{output:?}");
    // And where it is whole, its folder is the one.
    let dir = folder.path().join("kept");
    fs::write(&config, format!("domains: [example.com]\nstate: {{dir: {}}}\n", dir.display())).unwrap();
    let output =
        program(&["report", "ingest", "--config.file", config.to_str().unwrap(), "-"], Some(mail(1).as_bytes()));
    assert_eq!(status(&output), 0, "{output:?}");
    assert_eq!(incoming(&dir).len(), 1);
}

#[test]
fn no_reader_ever_sees_a_part_of_a_file() {
    let state = TempDir::new().unwrap();
    let folder = TempDir::new().unwrap();
    // Large enough that a reader could catch it half way.
    let whole = vec![b'x'; 16 << 20];
    let file = folder.path().join("large");
    fs::write(&file, &whole).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_smtptls-exporter"));
    command.args(["report", "ingest", "--state.dir", state.path().to_str().unwrap(), file.to_str().unwrap()]);
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    let mut looks = 0;
    let ended = loop {
        let ended = child.try_wait().unwrap();
        let entries = fs::read_dir(state.path().join("incoming")).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| !entry.file_name().to_str().unwrap().starts_with('.')) {
            assert_eq!(entry.metadata().unwrap().len(), 16 << 20, "{entry:?}");
        }
        looks += 1;
        if let Some(ended) = ended {
            break ended;
        }
    };
    assert!(ended.success() && looks > 1);
    let files = incoming(state.path());
    assert!(files.len() == 1 && files[0].1 == whole);
}

/// A name that a shell still saw and that is gone by now costs only itself.
#[test]
fn a_file_that_is_not_there_costs_no_other() {
    let folder = TempDir::new().unwrap();
    let (there, gone) = (folder.path().join("r.json"), folder.path().join("gone.json"));
    fs::write(&there, json(3)).unwrap();
    let (there, gone) = (there.to_str().unwrap(), gone.to_str().unwrap());
    let shown = program(&["report", "show", "--format", "json", there, gone], None);
    let told: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!((status(&shown), told["reports"].as_array().unwrap().len()), (1, 1), "{shown:?}");
    assert_eq!(told["rejected"][0]["source"], gone);
    let state = folder.path().join("state");
    let handed = program(&["report", "ingest", "--state.dir", state.to_str().unwrap(), there, gone], None);
    assert_eq!(status(&handed), 1, "{handed:?}");
    assert!(text(&handed.stderr).contains("gone.json"), "{handed:?}");
    assert_eq!(fs::read_dir(state.join("incoming")).unwrap().count(), 1);
}
