use std::{io, sync::Mutex};

use super::*;
use crate::present::fixture;

fn arguments(names: &[&str]) -> Check {
    Check {
        domains: names.iter().map(|name| fixture::domain(name)).collect(),
        file: None,
        format: Format::Human,
        fail_on: FailOn::Error,
        quick: false,
        verbose: false,
        save: None,
        against: None,
        explain: None,
    }
}

/// What a domain of this name is like.
fn made(name: &str) -> Assessment {
    match name.split_once('.') {
        Some(("healthy", _)) => fixture::healthy(name),
        Some(("own-side", _)) => fixture::own_side(name),
        Some(("testing", _)) => fixture::testing(name),
        _ => fixture::backup_expired(name),
    }
}

fn run(arguments: &Check, out: &mut impl Write) -> (Result<u8, String>, Vec<String>) {
    let asked = Mutex::new(Vec::new());
    let engine = |domains: Vec<PolicyDomain>, listeners: Listeners| {
        asked.lock().unwrap().extend(domains.iter().map(ToString::to_string));
        async move {
            domains.iter().for_each(|domain| (listeners.ended)(domain));
            if domains.iter().any(|domain| domain.as_str() == "no-engine.example") {
                return Err("no resolver is configured".to_owned());
            }
            let assessments: Vec<Assessment> = domains.iter().map(|domain| made(domain.as_str())).collect();
            for assessment in assessments.iter().rev() {
                (listeners.judged)(assessment);
                tokio::task::yield_now().await;
            }
            Ok(Checked { assessments, metrics: "smtptls_x 1\n".to_owned(), ..Checked::default() })
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let result = runtime.block_on(run_with(arguments, Look::default(), out, engine));
    (result, asked.into_inner().unwrap())
}

#[test]
fn the_first_status_that_applies() {
    let healthy = || fixture::healthy("a.example");
    let error = || fixture::blocked("b.example");
    let warning = || fixture::testing("c.example");
    let info = || fixture::unprotected("d.example");
    let own_side = || fixture::own_side("e.example");
    let accepted = || {
        let mut assessment = error();
        assessment.findings.iter_mut().for_each(|finding| finding.accepted = Some("known".into()));
        assessment
    };
    let cases: Vec<(Vec<Assessment>, [u8; 3])> = vec![
        // The statuses with --fail-on error, warning and never.
        (vec![], [0, 0, 0]),
        (vec![healthy(), info()], [0, 0, 0]),
        (vec![healthy(), error()], [1, 1, 0]),
        (vec![warning(), info()], [0, 1, 0]),
        (vec![own_side(), healthy()], [3, 3, 3]),
        (vec![own_side(), error()], [1, 1, 3]),
        (vec![own_side(), warning()], [3, 1, 3]),
        (vec![accepted()], [0, 0, 0]),
    ];
    for (assessments, statuses) in cases {
        let names: Vec<&str> = assessments.iter().map(|assessment| assessment.domain.as_str()).collect();
        let got = [FailOn::Error, FailOn::Warning, FailOn::Never].map(|fail_on| exit_status(&assessments, fail_on));
        assert_eq!(got, statuses, "{names:?}");
    }
}

#[test]
fn arguments_come_before_the_list_and_each_domain_once() {
    let list = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(list.path(), "c.example\na.example\n").unwrap();
    let mut arguments = arguments(&["b.example", "a.example", "b.example"]);
    arguments.file = Some(list.path().to_owned());
    let mut out = Vec::new();
    let (status, asked) = run(&arguments, &mut out);
    assert_eq!(status, Ok(1));
    assert_eq!(asked, ["b.example", "a.example", "c.example"]);
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("3 domains: 3 partly deliverable."), "{text}");
}

#[test]
fn json_keeps_the_order_asked() {
    let mut arguments = arguments(&["b.example", "a.example"]);
    arguments.format = Format::Json;
    let mut out = Vec::new();
    assert_eq!(run(&arguments, &mut out).0, Ok(1));
    let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(value[0]["domain"], "b.example");
    assert_eq!(value[1]["domain"], "a.example");
}

fn shown(arguments: &Check) -> (Result<u8, String>, String) {
    let mut out = Vec::new();
    let result = run(arguments, &mut out).0;
    (result, String::from_utf8(out).unwrap())
}

#[test]
fn jsonl_is_an_object_a_line_as_they_end() {
    let mut arguments = arguments(&["b.example", "healthy.example"]);
    arguments.format = Format::Jsonl;
    let (status, text) = shown(&arguments);
    assert_eq!(status, Ok(1));
    let domains: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["domain"].clone()).collect();
    assert_eq!(domains, ["healthy.example", "b.example"], "in the order in which they ended");
}

/// Takes note of what is flushed.
#[derive(Default)]
struct Flushed(Vec<u8>, Vec<usize>);

impl Write for Flushed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.1.push(self.0.iter().filter(|byte| **byte == b'\n').count());
        Ok(())
    }
}

#[test]
fn every_line_is_flushed_before_the_next_domain_ends() {
    let mut arguments = arguments(&["a.example", "b.example", "c.example"]);
    arguments.format = Format::Jsonl;
    let mut out = Flushed::default();
    assert_eq!(run(&arguments, &mut out).0, Ok(1));
    assert!(out.1.starts_with(&[1, 2, 3]), "{:?}", out.1);
}

#[test]
fn nagios_has_its_own_statuses() {
    for (names, fail_on, status) in [
        (&["healthy.example"][..], FailOn::Warning, 0),
        (&["testing.example"], FailOn::Error, 1),
        (&["a.example"], FailOn::Never, 2),
        (&["own-side.example", "healthy.example"], FailOn::Error, 3),
        (&["own-side.example", "a.example"], FailOn::Error, 2),
    ] {
        let mut arguments = arguments(names);
        (arguments.format, arguments.fail_on) = (Format::Nagios, fail_on);
        assert_eq!(shown(&arguments).0, Ok(status), "{names:?}");
    }
    let mut arguments = arguments(&["no-engine.example"]);
    arguments.format = Format::Nagios;
    let told = "SMTPTLS UNKNOWN: no resolver is configured\n".to_owned();
    assert_eq!(shown(&arguments), (Ok(3), told));
}

#[test]
fn the_metrics_are_shown_as_they_are() {
    let mut arguments = arguments(&["a.example"]);
    arguments.format = Format::Prometheus;
    assert_eq!(shown(&arguments), (Ok(1), "smtptls_x 1\n".to_owned()));
}

#[test]
fn only_what_got_worse_fails() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("saved.json");
    let save = |name: &str| {
        let mut arguments = arguments(&[name]);
        arguments.save = Some(file.clone());
        shown(&arguments).0.unwrap();
    };
    let against = |name: &str, fail_on| {
        let mut arguments = arguments(&[name]);
        (arguments.against, arguments.fail_on) = (Some(file.clone()), fail_on);
        let (status, text) = shown(&arguments);
        (status.unwrap(), text)
    };
    save("a.example");
    let (status, text) = against("a.example", FailOn::Warning);
    assert!(status == 0 && text.contains("3 known.") && text.contains("Nothing got worse"), "{text}");
    let (status, text) = against("b.example", FailOn::Error);
    assert!(status == 1 && text.contains("It is not in the file") && text.contains("It got worse."), "{text}");
    assert_eq!(against("b.example", FailOn::Never).0, 0);
    assert_eq!(against("own-side.example", FailOn::Error).0, 3);
}

#[test]
fn both_compare_with_the_file_before_and_replace_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("saved.json");
    let mut first = arguments(&["healthy.example"]);
    first.save = Some(file.clone());
    assert_eq!(shown(&first).0, Ok(0));
    let mut both = arguments(&["a.example"]);
    (both.save, both.against) = (Some(file.clone()), Some(file));
    assert_eq!(shown(&both).0, Ok(1));
    assert_eq!(shown(&both).0, Ok(0), "it is known now");
}

#[test]
fn programs_are_told_what_got_worse_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("saved.json");
    let mut first = arguments(&["a.example"]);
    first.save = Some(file.clone());
    shown(&first).0.unwrap();
    for format in [Format::Json, Format::Jsonl] {
        let mut arguments = arguments(&["a.example", "b.example"]);
        (arguments.against, arguments.format) = (Some(file.clone()), format);
        let (status, text) = shown(&arguments);
        assert_eq!(status, Ok(1));
        let mut views: Vec<serde_json::Value> = match format {
            Format::Json => serde_json::from_str(&text).unwrap(),
            _ => text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
        };
        views.sort_by_key(|view| view["domain"].to_string());
        let against = &views[0]["against"];
        assert_eq!((&against["known"], &against["got_worse"]), (&true.into(), &false.into()), "{against}");
        assert_eq!(against["same"].as_array().unwrap().len(), 3);
        let against = &views[1]["against"];
        assert_eq!((&against["known"], &against["got_worse"]), (&false.into(), &true.into()), "{against}");
        assert_eq!(against["new"][0]["severity_before"], serde_json::Value::Null);
    }
}

#[test]
fn a_file_that_is_none_of_ours_asks_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("other.json");
    std::fs::write(&file, "{\"domains\": []}").unwrap();
    let mut arguments = arguments(&["a.example"]);
    arguments.against = Some(file);
    let (result, asked) = run(&arguments, &mut Vec::new());
    assert!(result.unwrap_err().contains("other.json: it was not written by check --save"));
    assert!(asked.is_empty());
    arguments.format = Format::Nagios;
    assert!(shown(&arguments).1.starts_with("SMTPTLS UNKNOWN: --against does not go with this format"));
}

#[test]
fn a_bad_list_asks_nobody() {
    let list = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(list.path(), "a.example\nnot a name\n").unwrap();
    let mut arguments = arguments(&[]);
    arguments.file = Some(list.path().to_owned());
    let (result, asked) = run(&arguments, &mut Vec::new());
    assert!(result.unwrap_err().contains(":2: "));
    assert!(asked.is_empty());
}

#[test]
fn what_the_engine_cannot_do_is_said() {
    let mut out = Vec::new();
    let (result, _) = run(&arguments(&["no-engine.example"]), &mut out);
    assert_eq!(result, Err("no resolver is configured".to_owned()));
    assert!(out.is_empty());
}

/// A pipe whose reader does this.
struct Pipe(io::ErrorKind);

impl Write for Pipe {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_has_gone_is_no_error() {
    assert_eq!(run(&arguments(&["a.example"]), &mut Pipe(io::ErrorKind::BrokenPipe)).0, Ok(1));
    assert!(run(&arguments(&["a.example"]), &mut Pipe(io::ErrorKind::StorageFull)).0.is_err());
}
