//! The dashboards of Grafana are made here, and held with the alert rules against the registry of metrics: what they ask for is
//! there, with the labels that they name. `SMTPTLS_BLESS=1 cargo test --test suite dashboards` writes dashboards/*.json anew.

mod build;
mod domain;
mod exporter;
mod expressions;
mod lint;
mod mx;
mod overview;
mod parts;
mod reports;
mod rules;

use std::{collections::BTreeSet, fs, path::PathBuf};

use serde_json::{Value, json};

use build::Dashboard;
use expressions::known;
use lint::{array, problems};

/// All of them, in the order of the menu.
fn all() -> [Dashboard; 5] {
    [overview::dashboard(), domain::dashboard(), mx::dashboard(), reports::dashboard(), exporter::dashboard()]
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("dashboards")
}

/// The dashboards as they are shipped, by file.
fn shipped() -> Vec<(String, Value)> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |path: &PathBuf| serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    files.iter().map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), read(path))).collect()
}

#[test]
fn the_files_are_what_is_written_here() {
    let bless = std::env::var_os("SMTPTLS_BLESS").is_some();
    if bless {
        fs::create_dir_all(folder()).unwrap();
    }
    for dashboard in all() {
        let path = folder().join(format!("{}.json", dashboard.uid));
        let made = serde_json::to_string_pretty(&dashboard.json()).unwrap() + "\n";
        if bless {
            fs::write(&path, &made).unwrap();
        }
        let stored = fs::read_to_string(&path).unwrap_or_default();
        assert!(stored == made, "{} is old: run the tests with SMTPTLS_BLESS=1", path.display());
    }
    let names: BTreeSet<String> = shipped().into_iter().map(|(file, _)| file).collect();
    assert_eq!(names, all().iter().map(|dashboard| format!("{}.json", dashboard.uid)).collect());
}

#[test]
fn every_dashboard_keeps_the_rules() {
    let known = known();
    for (file, dashboard) in shipped() {
        let found = problems(&dashboard, &known);
        assert!(found.is_empty(), "{file}: {found:#?}");
    }
}

/// What they link to is there, and takes the variable that the link gives.
#[test]
fn every_link_leads_to_a_dashboard() {
    let shipped = shipped();
    let mut links = 0;
    for (file, dashboard) in &shipped {
        for over in array(&dashboard["panels"]).iter().flat_map(|panel| array(&panel["fieldConfig"]["overrides"])) {
            for property in array(&over["properties"]).iter().filter(|property| property["id"] == "links") {
                let url = property["value"][0]["url"].as_str().unwrap();
                let uid = url.strip_prefix("/d/").unwrap().split('?').next().unwrap();
                let variable = url.split("&var-").nth(1).unwrap().split('=').next().unwrap();
                let target = shipped.iter().find(|(_, other)| other["uid"] == uid);
                let (_, target) = target.unwrap_or_else(|| panic!("{file} links to {uid}"));
                assert!(
                    array(&target["templating"]["list"]).iter().any(|one| one["name"] == variable),
                    "{file}: {url}"
                );
                links += 1;
            }
        }
    }
    assert!(links >= 8, "{links}");
}

/// The test of the test: each fault is found.
#[test]
fn faults_are_found() {
    let known = known();
    let mut good = overview::dashboard().json();
    // One panel of two kinds is enough to spoil.
    let one = |kind: &str| array(&good["panels"]).iter().rfind(|panel| panel["type"] == kind).unwrap().clone();
    good["panels"] = json!([one("stat"), one("table")]);
    let (place, table) = (0, 1);
    assert_eq!(problems(&good, &known), [""; 0]);
    let with = |expr: &str| {
        let expr = expr.replace("{@", r#"{job=~"$job",instance=~"$instance""#);
        move |board: &mut Value| board["panels"][place]["targets"][0]["expr"] = json!(expr)
    };
    type Fault = Box<dyn Fn(&mut Value)>;
    let faults: Vec<(&str, Fault)> = vec![
        ("there is no metric smtptls_domain_delivry", Box::new(with("count(smtptls_domain_delivry{@})"))),
        ("there is no metric smtptls_probe_duration_seconds", Box::new(with("max(smtptls_probe_duration_seconds{@})"))),
        ("has no label stat", Box::new(with(r#"count(smtptls_domain_delivery{@,stat="blocked"})"#))),
        ("no series has the label mx (by)", Box::new(with("count by (mx) (smtptls_domain_delivery{@})"))),
        (
            "no series has the label mx (on, right)",
            Box::new(with("smtptls_domain_mx_info{@} and on (mx) smtptls_domain_info{@}")),
        ),
        (
            "no series has the label code (group_left)",
            Box::new(with(
                "smtptls_domain_mx_info{@} * on (job, instance, mx) group_left (code) smtptls_mx_domains{@}",
            )),
        ),
        ("is no PromQL", Box::new(with("count(smtptls_domain_info{@}"))),
        ("is not held to $job and $instance", Box::new(with("count(smtptls_domain_info)"))),
        ("the counter smtptls_probes_total without a rate", Box::new(with("sum(smtptls_probes_total{@})"))),
        ("another window", Box::new(with("sum(rate(smtptls_probes_total{@}[5m]))"))),
        ("a variable is not known", Box::new(with(r#"count(smtptls_domain_info{@,domain="$domian"})"#))),
        ("does not say that it needs metrics.level: full", Box::new(with("max(smtptls_mx_probe_phase_seconds{@})"))),
        (
            "the legend has {{mx}}",
            Box::new(move |board| board["panels"][place]["targets"][0]["legendFormat"] = json!("{{mx}}")),
        ),
        ("has no description", Box::new(move |board| board["panels"][place]["description"] = json!(""))),
        ("has no title", Box::new(move |board| board["panels"][place]["title"] = json!(""))),
        (
            "neither a known unit",
            Box::new(move |board| board["panels"][place]["fieldConfig"]["defaults"]["unit"] = json!("weeks")),
        ),
        ("asks nothing", Box::new(move |board| board["panels"][place]["targets"] = json!([]))),
        (
            "its id is missing or not its own",
            Box::new(move |board| board["panels"][place]["id"] = board["panels"][table]["id"].clone()),
        ),
        ("a table of a range", Box::new(move |board| board["panels"][table]["targets"][0]["instant"] = json!(false))),
        (
            "does not ask the chosen data source",
            Box::new(move |board| board["panels"][place]["datasource"]["uid"] = json!("abc")),
        ),
        ("lacks the variable `datasource`", Box::new(|board| board["templating"]["list"][0]["name"] = json!("source"))),
        ("lacks the variable `job`", Box::new(|board| board["templating"]["list"][1]["allValue"] = json!(".*"))),
        (
            "has no label jbo",
            Box::new(|board| {
                board["templating"]["list"][1]["query"]["query"] = json!("label_values(smtptls_build_info, jbo)");
            }),
        ),
        ("is not looked up anew", Box::new(|board| board["templating"]["list"][2]["refresh"] = json!(1))),
        ("is not `editable: false`", Box::new(|board| board["editable"] = json!(true))),
        ("has an id", Box::new(|board| board["id"] = json!(7))),
        ("does not link to the others", Box::new(|board| board["links"] = json!([]))),
    ];
    for (expected, fault) in faults {
        let mut board = good.clone();
        fault(&mut board);
        let found = problems(&board, &known);
        assert!(found.iter().any(|problem| problem.contains(expected)), "{expected}: {found:?}");
    }
}
