//! The test vectors: input and expected outcome by the rules, not by what the code does.

use serde::Deserialize;
use smtptls_exporter::{
    protocol::{
        mta_sts::{MxPattern, Policy, read_policy, read_sts_records},
        tls_rpt::read_tlsrpt_records,
        txt::RecordPresence,
    },
    terms::{MaxAge, MxHost, Octets, PolicyId, Problem, Reading},
};

const VECTORS: &str = include_str!("../data/vectors.yaml");

#[derive(Deserialize)]
struct Vectors {
    txt_sts: Vec<Case<Vec<Strings>>>,
    policy: Vec<Case<String>>,
    mx_match: Vec<Case<Match>>,
    txt_tlsrpt: Vec<Case<Vec<Strings>>>,
}

#[derive(Deserialize)]
struct Case<Input> {
    id: String,
    input: Input,
    expect: Expect,
    rule: String,
}

/// One TXT record.
#[derive(Deserialize)]
#[serde(untagged)]
enum Strings {
    One(String),
    Several(Vec<String>),
}

#[derive(Deserialize)]
struct Match {
    patterns: Option<Vec<String>>,
    host: String,
    cert_dns_san: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Expect {
    verdict: String,
    lenient: Option<String>,
    finding: Option<String>,
    usable: Option<bool>,
    strict_abnf: Option<String>,
    policy_id: Option<String>,
    mode: Option<String>,
    max_age: Option<u64>,
    rua: Option<Vec<String>>,
}

/// What a parser made of an input, in the words of the vectors.
struct Outcome<'a> {
    absent: bool,
    /// Several records count, which needs no problem to say so.
    multiple: bool,
    usable: bool,
    valid: bool,
    problems: &'a [Problem],
}

/// Findings that come from what a policy means: a judge raises them, the grammar has nothing to say.
const OF_MEANING: [&str; 2] = ["POL-12", "POL-20"];

/// Cases whose finding the reader of the policy tells through a method of the pattern.
const OF_PATTERN: &str = "POL-17";

fn vectors() -> Vectors {
    serde_saphyr::from_str(VECTORS).unwrap()
}

fn records(input: &[Strings]) -> Vec<Vec<Octets>> {
    let strings = |record: &Strings| match record {
        Strings::One(string) => vec![Octets::from(string.as_str())],
        Strings::Several(strings) => strings.iter().map(|string| Octets::from(string.as_str())).collect(),
    };
    input.iter().map(strings).collect()
}

fn assert_outcome(id: &str, rule: &str, expect: &Expect, outcome: &Outcome<'_>) {
    let problems = outcome.problems;
    let worst = problems.iter().map(|problem| problem.reading).max();
    let says = |reading: Reading| problems.iter().any(|problem| problem.reading == reading && problem.rule.0 == rule);
    let context = format!("{id} ({rule}): {problems:#?}");
    match (expect.verdict.as_str(), expect.lenient.as_deref()) {
        ("absent", None) => assert!(outcome.absent && !outcome.usable && problems.is_empty(), "{context}"),
        ("valid", None) => {
            assert!(outcome.usable, "{context}");
            let grammatical = expect.finding.is_none() || OF_MEANING.contains(&rule) || rule == OF_PATTERN;
            match expect.finding.as_deref() {
                Some("warning") if !grammatical => assert!(says(Reading::Lenient) && !outcome.valid, "{context}"),
                Some("info") if !grammatical => assert!(says(Reading::Note) && outcome.valid, "{context}"),
                _ => assert!(grammatical && outcome.valid, "{context}"),
            }
        }
        ("invalid", Some("valid")) => {
            assert!(outcome.usable && !outcome.valid && says(Reading::Lenient), "{context}");
        }
        ("invalid", None) => {
            assert!(!outcome.usable && !outcome.absent, "{context}");
            assert!(outcome.multiple || worst == Some(Reading::Invalid) && says(Reading::Invalid), "{context}");
        }
        ("ambiguous", None) => {
            assert_eq!(expect.strict_abnf.as_deref(), Some("valid"), "{context}");
            if expect.usable == Some(false) {
                assert!(!outcome.usable && says(Reading::Invalid), "{context}");
            } else if OF_MEANING.contains(&rule) {
                assert!(outcome.valid, "{context}");
            } else {
                assert!(outcome.usable && !outcome.valid && says(Reading::Lenient), "{context}");
            }
        }
        other => panic!("{id}: a verdict that this test does not know: {other:?}"),
    }
}

#[test]
fn txt_sts() {
    let cases = vectors().txt_sts;
    assert!(cases.len() > 30, "the section is there");
    for Case { id, input, expect, rule } in cases {
        let reading = read_sts_records(&records(&input));
        let outcome = Outcome {
            absent: reading.presence == RecordPresence::Absent,
            multiple: matches!(reading.presence, RecordPresence::Multiple(2)),
            usable: reading.usable(),
            valid: reading.valid(),
            problems: &reading.problems,
        };
        assert_outcome(&id, &rule, &expect, &outcome);
        if let Some(policy_id) = expect.policy_id {
            assert_eq!(reading.value.map(|record| record.id), PolicyId::parse(&policy_id), "{id}");
        }
    }
}

#[test]
fn policy() {
    let cases = vectors().policy;
    assert!(cases.len() > 40, "the section is there");
    for Case { id, input, expect, rule } in cases {
        let reading = read_policy(input.as_bytes());
        let outcome = Outcome {
            absent: false,
            multiple: false,
            usable: reading.usable(),
            valid: reading.valid(),
            problems: &reading.problems,
        };
        assert_outcome(&id, &rule, &expect, &outcome);
        let policy = reading.value;
        if let Some(mode) = &expect.mode {
            assert_eq!(policy.as_ref().map(|policy| policy.mode.as_str()), Some(mode.as_str()), "{id}");
        }
        if let Some(max_age) = expect.max_age {
            assert_eq!(policy.as_ref().map(|policy| policy.max_age), Some(MaxAge(max_age)), "{id}");
        }
        if let (Some(_), Some(policy)) = (&expect.finding, &policy) {
            assert_meaning(&id, &rule, policy);
        }
    }
}

/// A finding about the meaning of a policy: the judge has to be able to see it.
fn assert_meaning(id: &str, rule: &str, policy: &Policy) {
    match rule {
        "POL-12" => assert!(policy.max_age > MaxAge::CAP || policy.max_age < MaxAge::SHORT, "{id}"),
        "POL-17" => {
            assert!(policy.mx.iter().any(|pattern| pattern.is_ipv4_like() || pattern.is_single_label()), "{id}");
        }
        "POL-20" => assert!(policy.mx.iter().any(|pattern| pattern.is_wildcard() && pattern.domain() == "com"), "{id}"),
        _ => {}
    }
}

#[test]
fn mx_match() {
    let mut judged = 0;
    for Case { id, input, expect, .. } in vectors().mx_match {
        let (Some(patterns), None) = (&input.patterns, &input.cert_dns_san) else { continue };
        judged += 1;
        let patterns: Vec<MxPattern> = patterns.iter().map(|text| MxPattern::parse(text).unwrap()).collect();
        let matched = MxHost::parse(&input.host).map(|host| patterns.iter().any(|pattern| pattern.matches(&host)));
        let outcome = match matched {
            Ok(true) => "match",
            Ok(false) => "no-match",
            Err(_) => "n/a",
        };
        assert_eq!(outcome, expect.verdict, "{id}");
    }
    assert_eq!(judged, 7, "the section is there");
}

#[test]
fn txt_tlsrpt() {
    let cases = vectors().txt_tlsrpt;
    assert!(cases.len() > 20, "the section is there");
    for Case { id, input, expect, rule } in cases {
        let reading = read_tlsrpt_records(&records(&input));
        let outcome = Outcome {
            absent: reading.presence == RecordPresence::Absent,
            multiple: matches!(reading.presence, RecordPresence::Multiple(2)),
            usable: reading.usable(),
            valid: reading.valid(),
            problems: &reading.problems,
        };
        assert_outcome(&id, &rule, &expect, &outcome);
        if let Some(rua) = expect.rua {
            let found: Vec<String> =
                reading.value.unwrap().rua.into_iter().map(|destination| destination.uri).collect();
            assert_eq!(found, rua, "{id}");
        }
    }
}
