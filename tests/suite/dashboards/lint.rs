//! The rules of Grafana's dashboard-linter, and ours: read off the JSON, whoever wrote it.

use serde_json::Value;
use smtptls_exporter::metrics::Level;

use super::expressions::{Known, Use, read};

/// Units that the dashboards use, by the ids of Grafana.
const UNITS: [&str; 10] =
    ["none", "short", "s", "dtdurations", "percentunit", "ops", "bytes", "dateTimeFromNow", "dateTimeAsIso", "locale"];

/// Metrics that job and instance need not choose: an alert about an exporter that is gone has no instance.
const WITHOUT_TARGET: [&str; 1] = ["ALERTS"];

/// What Grafana puts in for a variable, near enough to parse.
const EXPANSIONS: [(&str, &str); 8] = [
    ("$__rate_interval", "5m"),
    ("$__range", "1h"),
    ("$job", ".+"),
    ("$instance", ".+"),
    ("$group", ".*"),
    ("$domain", "example.com"),
    ("$mx", "mx.example.com"),
    ("${datasource}", "prometheus"),
];

/// An expression with all variables in it replaced.
pub(super) fn expanded(expr: &str) -> String {
    EXPANSIONS.iter().fold(expr.to_owned(), |expr, (variable, value)| expr.replace(variable, value))
}

/// Everything that is wrong with a dashboard.
pub(super) fn problems(dashboard: &Value, known: &Known) -> Vec<String> {
    let mut problems = Vec::new();
    head(dashboard, &mut problems);
    variables(dashboard, known, &mut problems);
    for annotation in array(&dashboard["annotations"]["list"]) {
        let name = text(&annotation["name"]);
        let found = query(text(&annotation["expr"]), known, name, &mut problems);
        legend(text(&annotation["titleFormat"]), &found, name, &mut problems);
    }
    let mut ids = Vec::new();
    for panel in array(&dashboard["panels"]) {
        let id = panel["id"].as_u64();
        if id.is_none() || ids.contains(&id) {
            problems.push(format!("panel {}: its id is missing or not its own", panel["title"]));
        }
        ids.push(id);
        if panel["type"] != "row" {
            self::panel(panel, known, &mut problems);
        }
    }
    problems
}

fn head(dashboard: &Value, problems: &mut Vec<String>) {
    let mut must = |holds: bool, what: &str| {
        if !holds {
            problems.push(what.to_owned());
        }
    };
    must(dashboard["editable"] == false, "is not `editable: false`");
    must(dashboard.get("id").is_none(), "has an id, which belongs to one Grafana");
    must(dashboard.get("__inputs").is_none(), "asks for inputs");
    must(dashboard["schemaVersion"] == 39, "is not of schema 39");
    must(array(&dashboard["tags"]).iter().any(|tag| tag == "smtp-tls"), "lacks the tag smtp-tls");
    let links = array(&dashboard["links"]);
    let to_others =
        |link: &Value| link["tags"][0] == "smtp-tls" && link["keepTime"] == true && link["includeVars"] == true;
    must(links.iter().any(to_others), "does not link to the others by their tag, keeping time and variables");
}

fn variables(dashboard: &Value, known: &Known, problems: &mut Vec<String>) {
    let list = array(&dashboard["templating"]["list"]);
    let named = |name: &str| list.iter().find(|variable| variable["name"] == name);
    match named("datasource") {
        Some(source)
            if source["type"] == "datasource"
                && source["query"] == "prometheus"
                && source["label"] == "Data source" => {}
        _ => problems.push("lacks the variable `datasource`, labelled Data source".to_owned()),
    }
    for (name, label) in [("job", "Job"), ("instance", "Instance")] {
        let right =
            named(name).is_some_and(|one| one["label"] == label && one["multi"] == true && one["allValue"] == ".+");
        if !right {
            problems.push(format!("lacks the variable `{name}`: labelled {label}, for several, `.+` for all"));
        }
    }
    for variable in list.iter().filter(|variable| variable["type"] == "query") {
        let name = text(&variable["name"]);
        if variable["refresh"] != 2 {
            problems.push(format!("${name} is not looked up anew when the time range changes"));
        }
        if variable["datasource"]["uid"] != "${datasource}" {
            problems.push(format!("${name} does not ask the chosen data source"));
        }
        let asked = text(&variable["query"]["query"]);
        let inner = asked
            .strip_prefix("label_values(")
            .and_then(|rest| rest.strip_suffix(')'))
            .and_then(|rest| rest.rsplit_once(", "));
        let Some((series, label)) = inner else {
            problems.push(format!("${name} is no label_values(SERIES, LABEL): {asked}"));
            continue;
        };
        let found = read(&expanded(series), known);
        problems.extend(found.problems.iter().map(|problem| format!("${name}: {problem}")));
        if !found.labels.is_some_and(|labels| labels.contains(label)) {
            problems.push(format!("${name}: {series} has no label {label}"));
        }
    }
}

fn panel(panel: &Value, known: &Known, problems: &mut Vec<String>) {
    let title = text(&panel["title"]);
    let mut must = |holds: bool, what: &str| {
        if !holds {
            problems.push(format!("panel {title:?} {what}"));
        }
    };
    let description = text(&panel["description"]);
    must(!title.is_empty(), "has no title");
    must(!description.is_empty(), "has no description");
    must(panel["datasource"]["uid"] == "${datasource}", "does not ask the chosen data source");
    let defaults = &panel["fieldConfig"]["defaults"];
    let unit = text(&defaults["unit"]);
    must(
        UNITS.contains(&unit) || !array(&defaults["mappings"]).is_empty(),
        &format!("has neither a known unit ({unit:?}) nor words for its values"),
    );
    for over in array(&panel["fieldConfig"]["overrides"]).iter().flat_map(|over| array(&over["properties"])) {
        must(
            over["id"] != "unit" || UNITS.contains(&text(&over["value"])),
            &format!("has a column of the unit {}", over["value"]),
        );
    }
    let targets = array(&panel["targets"]);
    must(!targets.is_empty(), "asks nothing");
    for target in targets {
        must(target["datasource"]["uid"] == "${datasource}", "has a query that does not ask the chosen data source");
    }
    for target in targets {
        let expr = text(&target["expr"]);
        let place = format!("panel {title:?}, query {}", text(&target["refId"]));
        let found = query(expr, known, &place, problems);
        legend(text(&target["legendFormat"]), &found, &place, problems);
        let full = found.metrics.iter().filter_map(|name| known.get(name)).any(|metric| metric.level == Level::Full);
        if full && !description.contains("metrics.level: full") {
            problems.push(format!("{place}: its description does not say that it needs metrics.level: full"));
        }
        if target["format"] == "table" && target["instant"] != true {
            problems.push(format!("{place}: a table of a range"));
        }
    }
}

fn query(expr: &str, known: &Known, place: &str, problems: &mut Vec<String>) -> Use {
    let found = read(&expanded(expr), known);
    problems.extend(found.problems.iter().map(|problem| format!("{place}: {problem}: {expr}")));
    if expanded(expr).contains('$') {
        problems.push(format!("{place}: a variable is not known: {expr}"));
    }
    for selector in &found.selectors {
        let name = selector.name.as_deref().unwrap_or_default();
        let holds = |label: &str| {
            selector
                .matchers
                .matchers
                .iter()
                .any(|matcher| matcher.name == label && matcher.op.to_string() == "=~" && matcher.value == ".+")
        };
        let held = holds("job") && holds("instance");
        if !held && !WITHOUT_TARGET.contains(&name) {
            problems.push(format!("{place}: {name} is not held to $job and $instance"));
        }
    }
    // What rises is shown as a rate, over a window that fits the scrapes.
    for (function, metric) in &found.ranges {
        let rate = matches!(function.as_str(), "rate" | "irate" | "increase");
        let counter = ["_total", "_bucket", "_sum", "_count"].iter().any(|end| metric.ends_with(end));
        if rate != counter && function != "last_over_time" {
            problems.push(format!("{place}: {function} of {metric}"));
        }
        if function.ends_with("rate") && expr.matches("[$__rate_interval]").count() < found.ranges.len() {
            problems.push(format!("{place}: a rate over another window than $__rate_interval"));
        }
    }
    let in_ranges = |name: &&String| found.ranges.iter().any(|(_, metric)| metric == *name);
    for bare in found.metrics.iter().filter(|name| name.ends_with("_total")).filter(|name| !in_ranges(name)) {
        problems.push(format!("{place}: the counter {bare} without a rate"));
    }
    found
}

/// The labels in a legend are labels of the series.
fn legend(format: &str, found: &Use, place: &str, problems: &mut Vec<String>) {
    let Some(labels) = &found.labels else { return };
    for part in format.split("{{").skip(1) {
        let label = part.split("}}").next().unwrap_or_default();
        if !labels.contains(label.trim()) {
            problems.push(format!("{place}: the legend has {{{{{label}}}}}, and the series have {labels:?}"));
        }
    }
}

pub(super) fn array(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
