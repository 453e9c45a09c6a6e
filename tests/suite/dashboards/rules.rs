//! The rule files under alerts/: every metric and label of them is in the registry, at the level that alerts may use.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use serde::Deserialize;
use smtptls_exporter::metrics::Level;

use super::expressions::{Known, Metric, known, read};

#[derive(Deserialize)]
struct File {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    record: Option<String>,
    alert: Option<String>,
    expr: Expression,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// A plain number is one too.
#[derive(Deserialize)]
#[serde(untagged)]
enum Expression {
    Text(String),
    Number(f64),
}

impl Rule {
    fn name(&self) -> &str {
        self.alert.as_deref().or(self.record.as_deref()).unwrap_or("?")
    }

    fn expr(&self) -> String {
        match &self.expr {
            Expression::Text(text) => text.clone(),
            Expression::Number(number) => number.to_string(),
        }
    }
}

fn rules() -> Vec<Rule> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("alerts");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.to_str().unwrap().ends_with(".rules.yml"));
    files.sort();
    let read = |path: &PathBuf| -> File {
        serde_saphyr::from_str(&fs::read_to_string(path).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    files.iter().flat_map(|path| read(path).groups).flat_map(|group| group.rules).collect()
}

/// What is wrong with some rules. A rule may use what others record, in any file and any order.
fn problems(rules: &[Rule]) -> Vec<String> {
    let mut known = known();
    // The labels of what is recorded follow from what it is recorded from: as often as one can rest on another.
    for rule in rules.iter().filter(|rule| rule.record.is_some()) {
        known.insert(rule.name().to_owned(), Metric { level: Level::Summary, labels: None });
        // Users may record another value for a threshold, and nothing else.
        if let Some(threshold) = rule.name().strip_prefix("smtptls:threshold:") {
            let own = Metric { level: Level::Summary, labels: Some(BTreeSet::new()) };
            known.insert(format!("smtptls:override:{threshold}"), own);
        }
    }
    for _ in rules.iter().filter(|rule| rule.record.is_some()) {
        let recorded = recorded(rules, &known);
        known.extend(recorded);
    }
    let mut problems = Vec::new();
    for rule in rules {
        let found = read(&rule.expr(), &known);
        let mut say = |problem: String| problems.push(format!("{}: {problem}", rule.name()));
        found.problems.iter().cloned().for_each(&mut say);
        for name in
            found.metrics.iter().filter(|name| known.get(*name).is_some_and(|metric| metric.level > Level::Summary))
        {
            say(format!("{name} is not of level S, which is all that rules may use"));
        }
        let Some(labels) = found.labels.filter(|_| rule.alert.is_some()) else { continue };
        for annotation in rule.annotations.values() {
            for label in annotation.split("$labels.").skip(1).map(word) {
                if !labels.contains(label) && !rule.labels.contains_key(label) {
                    say(format!("an annotation has $labels.{label}, and the series have {labels:?}"));
                }
            }
        }
    }
    problems
}

/// What the rules record, with the labels that follow from what is known so far. Several rules may record under one name.
fn recorded(rules: &[Rule], known: &Known) -> Known {
    let mut recorded = Known::new();
    for rule in rules.iter().filter(|rule| rule.record.is_some()) {
        let mut labels = read(&rule.expr(), known).labels;
        if let Some(labels) = &mut labels {
            labels.extend(rule.labels.keys().cloned());
        }
        let metric = recorded.entry(rule.name().to_owned());
        let metric = metric.or_insert_with(|| Metric { level: Level::Summary, labels: labels.clone() });
        metric.labels = metric.labels.take().zip(labels).map(|(one, other)| one.union(&other).cloned().collect());
    }
    recorded
}

fn word(text: &str) -> &str {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default()
}

#[test]
fn every_metric_and_label_of_the_rules_is_in_the_registry() {
    let rules = rules();
    assert!(rules.iter().any(|rule| rule.alert.is_some()));
    assert_eq!(problems(&rules), [""; 0]);
}

/// The test of the test.
#[test]
fn faults_of_rules_are_found() {
    let rule = |record: Option<&str>, expr: &str, annotation: &str| Rule {
        record: record.map(str::to_owned),
        alert: record.is_none().then(|| "Alert".to_owned()),
        expr: Expression::Text(expr.to_owned()),
        labels: [("severity".to_owned(), "warning".to_owned())].into(),
        annotations: [("summary".to_owned(), annotation.to_owned())].into(),
    };
    let recording = || {
        rule(
            Some("domain:errors:max"),
            r#"max by (job, instance, domain) (smtptls_domain_findings{severity="error"})"#,
            "",
        )
    };
    let found = |expr: &str, annotation: &str| problems(&[rule(None, expr, annotation), recording()]);
    assert_eq!(found("domain:errors:max > 0", "{{ $labels.domain }} {{$labels.severity}}"), [""; 0]);
    for (expr, annotation, expected) in [
        ("smtptls_domain_findigns > 0", "", "there is no metric smtptls_domain_findigns"),
        ("domain:errors:min > 0", "", "there is no metric domain:errors:min"),
        ("smtptls_mx_finding{cod=\"a\"} > 0", "", "smtptls_mx_finding has no label cod"),
        ("domain:errors:max > 0", "{{ $labels.mx }}", "an annotation has $labels.mx"),
        ("domain:errors:max{mx=\"a\"} > 0", "", "domain:errors:max has no label mx"),
        ("smtptls_sts_record_valid == 0", "", "smtptls_sts_record_valid is not of level S"),
        ("domain:errors:max >", "", "is no PromQL"),
    ] {
        let found = found(expr, annotation);
        assert!(found.len() == 1 && found[0].contains(expected), "{expr}: {found:?}");
    }
}
