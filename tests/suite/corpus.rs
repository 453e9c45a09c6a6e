//! Policies and records that sites published, and cases that other programs test themselves with.
//!
//! The files state no licence, so they are not here: `SMTPTLS_CORPUS` names the folder that holds them, and the tests say
//! that they were skipped where it is not set. What is here are our verdicts; `SMTPTLS_BLESS=1` writes them anew.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use smtptls_exporter::{
    protocol::{
        mta_sts::{MediaType, MxPattern, Policy, PolicyReading, media_type, read_policy, read_sts_records},
        tls_rpt::read_tlsrpt_records,
        txt::RecordPresence,
    },
    terms::{MaxAge, MxHost, Octets, Problem, Reading},
};

/// The folder of the corpus; `None`, and a word about it, where there is none.
pub(crate) fn corpus() -> Option<PathBuf> {
    let folder = std::env::var_os("SMTPTLS_CORPUS").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: SMTPTLS_CORPUS is not set");
    }
    folder
}

/// The rows of a table below its heading, split at tabs.
pub(crate) fn rows(path: &Path) -> Vec<Vec<String>> {
    let text = fs::read_to_string(path).unwrap();
    let split = |line: &str| line.split('\t').map(str::to_owned).collect();
    text.lines().skip(1).filter(|line| !line.is_empty()).map(split).collect()
}

/// Undoes the escapes of the tables: `\\`, `\n`, `\r`, `\t` and `\xNN`.
pub(crate) fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        let kind = rest[0];
        rest = &rest[1..];
        match kind {
            b'n' => bytes.push(b'\n'),
            b'r' => bytes.push(b'\r'),
            b't' => bytes.push(b'\t'),
            b'\\' => bytes.push(b'\\'),
            b'x' => {
                bytes.push(u8::from_str_radix(std::str::from_utf8(&rest[..2]).unwrap(), 16).unwrap());
                rest = &rest[2..];
            }
            other => panic!("an unknown escape: {}", char::from(other)),
        }
    }
    bytes
}

/// `valid`, `lenient` or `invalid`, and the rule of the first of the worst problems that are worse than a note.
fn verdict(usable: bool, valid: bool, problems: &[Problem]) -> [String; 2] {
    let word = match (usable, valid) {
        (true, true) => "valid",
        (true, false) => "lenient",
        (false, _) => "invalid",
    };
    let worst = problems.iter().map(|problem| problem.reading).max().filter(|worst| *worst > Reading::Note);
    let rule = problems.iter().find(|problem| Some(problem.reading) == worst).map_or("-", |problem| problem.rule.0);
    [word.to_owned(), rule.to_owned()]
}

fn policy_columns(reading: &PolicyReading) -> Vec<String> {
    let [word, rule] = verdict(reading.usable(), reading.valid(), &reading.problems);
    let of_policy = |show: fn(&Policy) -> String| reading.value.as_ref().map_or_else(|| "-".to_owned(), show);
    let mode = of_policy(|policy| policy.mode.to_string());
    let max_age = of_policy(|policy| policy.max_age.to_string());
    let mx = of_policy(|policy| policy.mx.len().to_string());
    vec![word, mode, max_age, mx, rule]
}

fn assert_spans_lie_inside(text: &[u8], problems: &[Problem], context: &str) {
    for problem in problems {
        let span = problem.span;
        assert!(span.start <= span.end && span.end <= text.len(), "{context}: {problem:?}");
    }
}

/// What was made of the records of one name, as the tables of records say it.
struct RecordVerdict {
    word: String,
    value: String,
    rule: String,
}

/// Reads the records of a row; several stand between ` || `.
fn read_records(kind: &str, records: &str) -> RecordVerdict {
    let records: Vec<Vec<Octets>> = records.split(" || ").map(|record| vec![Octets(unescaped(record))]).collect();
    let (presence, text, problems, usable, valid, value) = match kind {
        "mta-sts" | "mta-sts-rrset" => {
            let reading = read_sts_records(&records);
            let value = reading.value.as_ref().map(|record| record.id.as_str().len().to_string());
            let (usable, valid) = (reading.usable(), reading.valid());
            (reading.presence, reading.text, reading.problems, usable, valid, value)
        }
        "tlsrpt" => {
            let reading = read_tlsrpt_records(&records);
            let value = reading.value.as_ref().map(|record| record.rua.len().to_string());
            let (usable, valid) = (reading.usable(), reading.valid());
            (reading.presence, reading.text, reading.problems, usable, valid, value)
        }
        other => panic!("a kind of record that this test does not know: {other}"),
    };
    assert_spans_lie_inside(text.unwrap_or_default().as_bytes(), &problems, kind);
    let [word, rule] = verdict(usable, valid, &problems);
    let word = match presence {
        RecordPresence::Absent => "absent".to_owned(),
        RecordPresence::One => word,
        RecordPresence::Multiple(_) => "multiple".to_owned(),
    };
    RecordVerdict { word, value: value.unwrap_or_else(|| "-".to_owned()), rule }
}

/// Compares a table with the one that is kept, line by line.
pub(crate) fn assert_table(name: &str, heading: &str, lines: &[String]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    let found = format!("{heading}\n{}\n", lines.join("\n"));
    if std::env::var_os("SMTPTLS_BLESS").is_some() {
        fs::write(&path, found).unwrap();
        return;
    }
    let kept = fs::read_to_string(&path).unwrap();
    for (found, kept) in found.lines().zip(kept.lines()) {
        assert_eq!(found, kept, "{name}");
    }
    assert_eq!(found.lines().count(), kept.lines().count(), "{name}: the number of rows");
}

#[test]
fn policies() {
    let Some(corpus) = corpus() else { return };
    let folder = corpus.join("policies");
    let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names: BTreeSet<String> = entries.filter(|name| name.ends_with(".txt")).collect();
    assert!(names.len() > 100, "the corpus is there");
    let line = |name: &String| {
        let body = fs::read(folder.join(name)).unwrap();
        let reading = read_policy(&body);
        assert_spans_lie_inside(&body, &reading.problems, name);
        format!("{name}\t{}", policy_columns(&reading).join("\t"))
    };
    let lines: Vec<String> = names.iter().map(line).collect();
    assert_table("corpus_policies.tsv", "file\tverdict\tmode\tmax_age\tmx\trule", &lines);
}

#[test]
fn records() {
    let Some(corpus) = corpus() else { return };
    let table = rows(&corpus.join("records/records.tsv"));
    assert!(table.len() > 100, "the corpus is there");
    let mut lines = Vec::new();
    for (index, row) in table.iter().enumerate() {
        if row[0] == "tlsrpt-rua-uri" {
            continue;
        }
        let RecordVerdict { word, value, rule } = read_records(&row[0], &row[1]);
        lines.push(format!("{}\t{}\t{word}\t{value}\t{rule}", index + 1, row[0]));
    }
    assert_table("corpus_records.tsv", "row\tkind\tverdict\tid_length_or_destinations\trule", &lines);
}

/// A verdict of another program that is not ours: the row of the table, the program, and why it differs.
type Disagreement = (usize, &'static str, &'static str);

/// Every disagreement is explained, and every explanation is still needed.
fn assert_disagreements(found: &BTreeSet<(usize, String)>, explained: &[Disagreement]) {
    let explained = explained.iter().map(|(row, peer, _)| (*row, (*peer).to_owned())).collect();
    assert_eq!(*found, explained);
}

const RECORD_DISAGREEMENTS: [Disagreement; 7] = [
    (27, "stalwart", "REC-09: an underscore is neither letter nor digit"),
    (50, "domainaware/checkdmarc", "REC-13: of a repeated field the first counts"),
    (53, "domainaware/checkdmarc", "RPT-09: the grammar permits rua twice, and other senders take it"),
    (66, "MailCheck", "REC-09: an id is required"),
    (70, "MailCheck", "REC-09: an id is required"),
    (74, "MailCheck", "RPT-03: nothing stands before the version; and RPT-04: rua is required"),
    (75, "MailCheck", "RPT-04: rua is required"),
];

#[test]
fn peers_on_records() {
    let Some(corpus) = corpus() else { return };
    let mut disagreements = BTreeSet::new();
    for (index, row) in rows(&corpus.join("records/records.tsv")).iter().enumerate() {
        let (kind, record, expected, peer) = (&row[0], &row[1], &row[3], &row[5]);
        let record = if kind == "tlsrpt-rua-uri" { format!("v=TLSRPTv1; rua={record}") } else { record.clone() };
        let kind = if kind == "tlsrpt-rua-uri" { "tlsrpt" } else { kind };
        let usable = matches!(read_records(kind, &record).word.as_str(), "valid" | "lenient");
        if expected != "unstated" && usable != (expected == "valid") {
            disagreements.insert((index + 1, peer.clone()));
        }
    }
    assert_disagreements(&disagreements, &RECORD_DISAGREEMENTS);
}

const POLICY_DISAGREEMENTS: [Disagreement; 23] = [
    (9, "mox", "POL-14: a malformed unknown key is ignored by other senders, so the policy stays usable"),
    (10, "mox", "POL-14: a malformed unknown key is ignored by other senders, so the policy stays usable"),
    (11, "mox", "POL-14: a malformed unknown key is ignored by other senders, so the policy stays usable"),
    (14, "stalwart", "POL-18: names have to be A-labels"),
    (25, "rest-mail/go-mtasts", "POL-12: max_age 0 is legal; a finding of its own says that it protects nobody"),
    (
        27,
        "rest-mail/go-mtasts",
        "POL-12: max_age above the cap fits the grammar; a finding of its own says that senders differ",
    ),
    (35, "postfix-tlspol", "POL-17: four numbers fit the grammar; a finding of its own says that they match nothing"),
    (36, "postfix-tlspol", "POL-14: a malformed unknown key is ignored by other senders, so the policy stays usable"),
    (38, "postfix-tlspol", "POL-14: a malformed unknown key is ignored by other senders, so the policy stays usable"),
    (39, "postfix-tlspol", "POL-14: a malformed unknown key is ignored by other senders, so the policy stays usable"),
    (40, "postfix-tlspol", "POL-14: a malformed unknown key is ignored by other senders, so the policy stays usable"),
    (41, "postfix-tlspol", "POL-14: a malformed unknown key is ignored by other senders, so the policy stays usable"),
    (42, "postfix-tlspol", "POL-14: a malformed unknown key is ignored by other senders, so the policy stays usable"),
    (
        46,
        "Snawoot/postfix-mta-sts-resolver",
        "POL-12: max_age above the cap fits the grammar; a finding of its own says that senders differ",
    ),
    (
        51,
        "domainaware/checkdmarc",
        "POL-12: max_age above the cap fits the grammar; a finding of its own says that senders differ",
    ),
    (55, "EFForg/starttls-backend", "POL-12: max_age 0 is legal; a finding of its own says that it protects nobody"),
    (58, "mimecast/mta-sts", "POL-11: max_age is required, and a default of one program does not help with others"),
    (59, "mimecast/mta-sts", "POL-10: none is a mode; the program means that it is not applied"),
    (62, "mimecast/mta-sts", "POL-11: max_age is required, and a default of one program does not help with others"),
    (63, "mimecast/mta-sts", "POL-01: the last line end is optional; POL-12: max_age above the cap fits the grammar"),
    (64, "mimecast/mta-sts", "POL-03: other senders accept an empty line at the end"),
    (65, "mimecast/mta-sts", "POL-02: a bare CR ends no line"),
    (67, "MailCheck", "POL-05: blanks may trail a value"),
];

#[test]
fn peers_on_policies() {
    let Some(corpus) = corpus() else { return };
    let mut disagreements = BTreeSet::new();
    for (index, row) in rows(&corpus.join("peer_cases/policy_cases.tsv")).iter().enumerate() {
        let (case, expected, mode, max_age, mx, peer) = (&row[0], &row[1], &row[2], &row[3], &row[4], &row[5]);
        let body = match case.strip_prefix("(mx value only) ") {
            // A remark about a program's code has no body.
            _ if case.starts_with("(code fact)") => continue,
            Some(pattern) => format!("version: STSv1\nmode: enforce\nmx: {pattern}\nmax_age: 604800\n").into_bytes(),
            None => unescaped(case),
        };
        let reading = read_policy(&body);
        assert_spans_lie_inside(&body, &reading.problems, case);
        if expected == "unstated" {
            continue;
        }
        if reading.usable() != (expected == "valid") {
            disagreements.insert((index + 1, peer.clone()));
            continue;
        }
        let Some(policy) = reading.value else { continue };
        if !mode.is_empty() {
            assert_eq!(policy.mode.as_str(), mode, "{case}");
        }
        if !max_age.is_empty() {
            assert_eq!(policy.max_age, MaxAge(max_age.parse().unwrap()), "{case}");
        }
        if !mx.is_empty() {
            let patterns: Vec<&str> = policy.mx.iter().map(MxPattern::as_str).collect();
            assert_eq!(patterns.join(" "), *mx, "{case}");
        }
    }
    assert_disagreements(&disagreements, &POLICY_DISAGREEMENTS);
}

const MATCH_DISAGREEMENTS: [Disagreement; 2] = [
    (5, "stalwart", "POL-18: names have to be A-labels, so the policy cannot be used"),
    (28, "mimecast/mta-sts", "APP-06: testing changes what follows from a mismatch, not what matches"),
];

#[test]
fn peers_on_matching() {
    let Some(corpus) = corpus() else { return };
    let mut disagreements = BTreeSet::new();
    for (index, row) in rows(&corpus.join("peer_cases/mx_match_cases.tsv")).iter().enumerate() {
        let (patterns, host, expected, peer) = (&row[0], &row[1], &row[2], &row[3]);
        let patterns: String = patterns.split(' ').map(|pattern| format!("mx: {pattern}\n")).collect();
        let reading = read_policy(format!("version: STSv1\nmode: enforce\nmax_age: 604800\n{patterns}").as_bytes());
        let matched = match (reading.value, MxHost::parse(host)) {
            (Some(policy), Ok(host)) => policy.matches(&host),
            _ => false,
        };
        if matched != (expected == "match") {
            disagreements.insert((index + 1, peer.clone()));
        }
    }
    assert_disagreements(&disagreements, &MATCH_DISAGREEMENTS);
}

#[test]
fn peers_on_media_types() {
    let Some(corpus) = corpus() else { return };
    for row in rows(&corpus.join("peer_cases/content_type_cases.tsv")) {
        let accepted = media_type(Some(row[0].as_bytes())) == MediaType::TextPlain;
        assert_eq!(accepted, row[1] == "accept", "{}", row[0]);
    }
}
