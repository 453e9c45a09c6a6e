//! `policy check` says of every policy of the vectors and of the corpus whether senders use it.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

use serde::Deserialize;
use smtptls_exporter::protocol::mta_sts::read_policy;

#[derive(Deserialize)]
struct Vectors {
    policy: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    input: String,
    expect: Expect,
}

#[derive(Deserialize)]
struct Expect {
    verdict: String,
    lenient: Option<String>,
    usable: Option<bool>,
}

fn run(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_smtptls-exporter"))
        .args(["policy", "check"])
        .args(arguments)
        .current_dir(std::env::temp_dir())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that reads no input may end before it is written.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
fn the_vectors_agree() {
    let vectors: Vectors = serde_saphyr::from_str(include_str!("../../data/vectors.yaml")).unwrap();
    assert!(vectors.policy.len() > 30, "the vectors are there");
    for case in vectors.policy {
        let output = run(&["-", "--format", "json"], case.input.as_bytes());
        let usable = match (case.expect.usable, case.expect.verdict.as_str()) {
            (Some(usable), _) => usable,
            (None, verdict) => verdict == "valid" || case.expect.lenient.as_deref() == Some("valid"),
        };
        // Where the standard leaves it open, whatever the parser does is told.
        let usable =
            if case.expect.verdict == "ambiguous" { read_policy(case.input.as_bytes()).usable() } else { usable };
        assert_eq!(output.status.code(), Some(i32::from(!usable)), "{}: {output:?}", case.id);
        assert_eq!(json(&output)["usable"], usable, "{}", case.id);
    }
}

#[test]
fn the_corpus_agrees() {
    let Ok(corpus) = std::env::var("SMTPTLS_CORPUS") else {
        eprintln!("skipped: SMTPTLS_CORPUS names no folder");
        return;
    };
    let mut seen = [0, 0];
    for entry in fs::read_dir(Path::new(&corpus).join("policies")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "txt") {
            continue;
        }
        let body = fs::read(&path).unwrap();
        let output = run(&[path.to_str().unwrap()], b"");
        let usable = read_policy(&body).usable();
        assert_eq!(output.status.code(), Some(i32::from(!usable)), "{}: {output:?}", path.display());
        seen[usize::from(usable)] += 1;
    }
    assert!(seen.iter().all(|count| *count > 10), "good ones and bad ones: {seen:?}");
}

#[test]
fn files_that_are_not_there_are_wrong_usage() {
    let output = run(&["/nowhere/mta-sts.txt"], b"");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nowhere/mta-sts.txt: it cannot be read"), "{output:?}");
}

#[test]
fn hosts_that_are_named_have_to_be_listed() {
    let body = b"version: STSv1\nmode: enforce\nmx: mx1.example.com\nmax_age: 604800\n";
    let run = |hosts: &[&str]| {
        let flags: Vec<&str> = hosts.iter().flat_map(|host| ["--mx", host]).collect();
        run(&[&["-"], flags.as_slice()].concat(), body)
    };
    assert_eq!(run(&["mx1.example.com"]).status.code(), Some(0));
    let output = run(&["mx1.example.com", "mx2.example.com"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("no pattern matches mx2.example.com") && text.contains("standard input:3:5"), "{text}");
}

#[test]
fn of_a_file_without_end_only_so_much_is_read() {
    // What the program does not read has room in the pipe.
    let line = b"mx: mx1.example.com\n".repeat(3_400);
    let body = [b"version: STSv1\nmode: enforce\nmax_age: 604800\n".as_slice(), &line].concat();
    let output = run(&["-", "--format", "json"], &body);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let problems = json(&output)["problems"].as_array().unwrap().clone();
    assert!(problems.iter().any(|problem| problem["rule"] == "FET-13" && problem["severity"] == "error"));
}
