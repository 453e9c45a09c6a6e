//! Small words to write a dashboard with, and the JSON of Grafana that they stand for.

use serde_json::{Map, Value, json};

/// Grafana 11.1 wrote this version; later ones migrate upwards.
const SCHEMA_VERSION: u32 = 39;

/// Every selector holds to the chosen exporters: `{@}` and `{@,` stand for it in the expressions of the dashboards.
const SELECTED: &str = r#"job=~"$job",instance=~"$instance""#;

/// Below every value that a step begins at.
const LOWEST: f64 = -1.0e15;

/// A whole dashboard is this wide.
const WIDTH: u32 = 24;

/// Calm colours, one for trouble.
pub(super) const GOOD: &str = "green";
pub(super) const QUIET: &str = "blue";
pub(super) const MUTED: &str = "text";
pub(super) const WARN: &str = "orange";
pub(super) const BAD: &str = "red";

/// A value, the word for it, its colour.
pub(super) type Words = [(&'static str, &'static str, &'static str)];

/// 0 and 1 of a fact that should be so.
pub(super) const YES_NO: &Words = &[("0", "✗ no", BAD), ("1", "✓ yes", GOOD)];
/// 0 and 1 of a fact that may be so or not.
pub(super) const EITHER: &Words = &[("0", "no", MUTED), ("1", "yes", QUIET)];
/// The words of delivery, worst first; [`super::parts::delivery`] gives the numbers.
pub(super) const DELIVERY: &Words = &[
    ("1", "refused", BAD),
    ("2", "partly deliverable", WARN),
    ("3", "not seen", "purple"),
    ("4", "not protected", QUIET),
    ("5", "protected", GOOD),
    ("6", "takes no mail", MUTED),
];
/// The modes of a policy; [`super::parts::mode`] gives the numbers.
pub(super) const MODE: &Words =
    &[("1", "none", MUTED), ("2", "no policy", MUTED), ("3", "testing", QUIET), ("4", "enforce", GOOD)];
/// How far TLS goes on an address: handshakes done plus certificates verified.
pub(super) const TLS: &Words = &[("0", "no TLS", BAD), ("1", "not verified", WARN), ("2", "verified", GOOD)];

/// One query.
struct Query {
    expr: String,
    legend: String,
}

/// How a query is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ask {
    /// At one moment: the end of the time range.
    Now,
    /// At one moment, all labels as columns.
    Table,
    /// Over the time range.
    Range,
}

/// One panel.
pub(super) struct Panel {
    kind: &'static str,
    title: &'static str,
    description: &'static str,
    ask: Ask,
    queries: Vec<Query>,
    size: (u32, u32),
    defaults: Map<String, Value>,
    overrides: Vec<Value>,
    options: Value,
    transformations: Vec<Value>,
}

/// A column of a table: what it is called, the expression of its values, how they look.
pub(super) struct Column {
    name: &'static str,
    expr: String,
    properties: Vec<(&'static str, Value)>,
}

/// The expression of a column.
pub(super) fn column(name: &'static str, expr: impl Into<String>) -> Column {
    Column { name, expr: expr.into(), properties: Vec::new() }
}

impl Column {
    fn property(mut self, id: &'static str, value: Value) -> Self {
        self.properties.push((id, value));
        self
    }

    pub(super) fn unit(self, unit: &str) -> Self {
        self.property("unit", json!(unit))
    }

    pub(super) fn decimals(self, decimals: u32) -> Self {
        self.property("decimals", json!(decimals))
    }

    pub(super) fn width(self, width: u32) -> Self {
        self.property("custom.width", json!(width))
    }

    /// Words in colours in the place of numbers.
    pub(super) fn words(self, words: &Words) -> Self {
        self.property("mappings", mappings(words)).property("custom.cellOptions", json!({"type": "color-text"}))
    }

    /// Coloured by size.
    pub(super) fn steps(self, steps: &[(&str, f64)]) -> Self {
        self.property("thresholds", thresholds(steps)).property("custom.cellOptions", json!({"type": "color-text"}))
    }
}

impl Panel {
    fn new(kind: &'static str, title: &'static str, description: &'static str, ask: Ask, options: Value) -> Self {
        Self {
            kind,
            title,
            description,
            ask,
            queries: Vec::new(),
            size: (12, 8),
            defaults: Map::from_iter([("mappings".into(), json!([])), ("unit".into(), json!("short"))]),
            overrides: Vec::new(),
            options,
            transformations: Vec::new(),
        }
    }

    /// One number or word.
    pub(super) fn stat(title: &'static str, description: &'static str, expr: impl Into<String>) -> Self {
        let options = json!({
            "colorMode": "value", "graphMode": "none", "justifyMode": "auto", "orientation": "auto",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": false},
            "showPercentChange": false, "textMode": "value", "wideLayout": true,
        });
        Self::new("stat", title, description, Ask::Now, options).size(3, 4).query(expr, "").steps(&[(MUTED, 0.0)])
    }

    /// Lines over time.
    pub(super) fn lines(title: &'static str, description: &'static str) -> Self {
        let options = json!({
            "legend": {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": true},
            "tooltip": {"mode": "multi", "sort": "desc"},
        });
        let custom = json!({
            "drawStyle": "line", "fillOpacity": 10, "lineWidth": 1, "pointSize": 4, "showPoints": "never",
            "spanNulls": false, "stacking": {"group": "A", "mode": "none"}, "axisPlacement": "auto", "axisSoftMin": 0,
        });
        Self::new("timeseries", title, description, Ask::Range, options)
            .default("custom", custom)
            .default("color", json!({"mode": "palette-classic"}))
    }

    /// Areas on each other over time: parts of a whole.
    pub(super) fn stack(title: &'static str, description: &'static str) -> Self {
        let mut panel = Self::lines(title, description);
        if let Some(custom) = panel.defaults.get_mut("custom") {
            custom["stacking"]["mode"] = json!("normal");
            custom["fillOpacity"] = json!(60);
            custom["lineWidth"] = json!(0);
        }
        panel
    }

    /// A bar each.
    pub(super) fn bars(title: &'static str, description: &'static str) -> Self {
        let options = json!({
            "displayMode": "basic", "orientation": "horizontal", "showUnfilled": true, "valueMode": "color",
            "namePlacement": "left", "sizing": "auto", "minVizHeight": 16, "minVizWidth": 8, "maxVizHeight": 28,
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": false},
        });
        Self::new("bargauge", title, description, Ask::Now, options).default("min", json!(0)).steps(&[(QUIET, 0.0)])
    }

    /// States over time: a band each.
    pub(super) fn bands(title: &'static str, description: &'static str, words: &Words) -> Self {
        let options = json!({
            "alignValue": "left", "mergeValues": true, "rowHeight": 0.8, "showValue": "auto",
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": false},
            "tooltip": {"mode": "single", "sort": "none"},
        });
        Self::new("state-timeline", title, description, Ask::Range, options)
            .default("custom", json!({"fillOpacity": 70, "lineWidth": 0}))
            .words(words)
    }

    /// A row for each set of `labels` (label, heading), with a column for each query. The first query says which rows there are.
    pub(super) fn table(
        title: &'static str,
        description: &'static str,
        labels: &[(&'static str, &'static str)],
        columns: Vec<Column>,
    ) -> Self {
        let options = json!({"cellHeight": "sm", "showHeader": true, "footer": {"show": false, "countRows": false, "reducer": ["sum"], "fields": ""}});
        let mut panel = Self::new("table", title, description, Ask::Table, options).size(WIDTH, 9);
        panel = panel.default("custom", json!({"align": "left", "cellOptions": {"type": "auto"}, "filterable": true}));
        // Empty cells; `nothing` is for a table without rows.
        panel.overrides.push(json!({
            "matcher": {"id": "byType", "options": "number"}, "properties": [{"id": "noValue", "value": "–"}],
        }));
        let mut names = Map::new();
        let mut order = Map::new();
        for (place, (label, heading)) in labels.iter().enumerate() {
            names.insert((*label).to_owned(), json!(heading));
            order.insert((*label).to_owned(), json!(place));
        }
        // Grafana leaves the letter out where one query alone has an answer: that is the first one, if any.
        if let Some(first) = columns.first() {
            names.insert("Value".to_owned(), json!(first.name));
            order.insert("Value".to_owned(), json!(labels.len()));
        }
        for (place, column) in columns.into_iter().enumerate() {
            let value = format!("Value #{}", letter(place));
            names.insert(value.clone(), json!(column.name));
            order.insert(value, json!(labels.len() + place));
            let properties: Vec<Value> =
                column.properties.iter().map(|(id, value)| json!({"id": id, "value": value})).collect();
            if !properties.is_empty() {
                panel
                    .overrides
                    .push(json!({"matcher": {"id": "byName", "options": column.name}, "properties": properties}));
            }
            panel = panel.query(column.expr, "");
        }
        panel.transformations = vec![
            json!({"id": "merge", "options": {}}),
            json!({"id": "organize", "options": {"excludeByName": {"Time": true}, "indexByName": order, "renameByName": names}}),
        ];
        panel
    }

    /// Sorted by a column.
    pub(super) fn sorted(mut self, name: &str, descending: bool) -> Self {
        self.transformations
            .push(json!({"id": "sortBy", "options": {"fields": {}, "sort": [{"field": name, "desc": descending}]}}));
        self
    }

    /// One more query. Labels stand in the legend as `{{label}}`.
    pub(super) fn query(mut self, expr: impl Into<String>, legend: &str) -> Self {
        self.queries.push(Query { expr: expr.into(), legend: legend.to_owned() });
        self
    }

    pub(super) const fn size(mut self, width: u32, height: u32) -> Self {
        self.size = (width, height);
        self
    }

    fn default(mut self, key: &str, value: Value) -> Self {
        self.defaults.insert(key.to_owned(), value);
        self
    }

    pub(super) fn unit(self, unit: &str) -> Self {
        self.default("unit", json!(unit))
    }

    pub(super) fn decimals(self, decimals: u32) -> Self {
        self.default("decimals", json!(decimals))
    }

    /// What is shown where there is nothing.
    pub(super) fn nothing(self, text: &str) -> Self {
        self.default("noValue", json!(text))
    }

    /// Words in the place of numbers, and their colours.
    pub(super) fn words(self, words: &Words) -> Self {
        self.default("mappings", mappings(words))
    }

    /// Colours by size, from the lowest on; the first step has no lower end.
    pub(super) fn steps(self, steps: &[(&str, f64)]) -> Self {
        self.default("color", json!({"mode": "thresholds"})).default("thresholds", thresholds(steps))
    }

    /// The highest value that bars and axes are made for.
    pub(super) fn max(self, max: f64) -> Self {
        self.default("max", json!(max))
    }

    /// A colour, a heading and a link for one series or column.
    pub(super) fn colour(self, name: &str, colour: &str) -> Self {
        self.over(name, "color", &json!({"mode": "fixed", "fixedColor": colour}))
    }

    /// A link from the cells of a column; `${__value.text}` is the cell.
    pub(super) fn link(self, name: &str, title: &str, uid: &str, variable: &str) -> Self {
        let url = format!(
            "/d/{uid}?${{datasource:queryparam}}&${{job:queryparam}}&${{instance:queryparam}}&var-{variable}=${{__value.text}}&${{__url_time_range}}"
        );
        self.over(name, "links", &json!([{"title": title, "url": url}]))
    }

    fn over(mut self, name: &str, id: &str, value: &Value) -> Self {
        self.overrides
            .push(json!({"matcher": {"id": "byName", "options": name}, "properties": [{"id": id, "value": value}]}));
        self
    }

    fn json(&self, id: u32, at: (u32, u32)) -> Value {
        let targets: Vec<Value> =
            self.queries.iter().enumerate().map(|(place, query)| self.target(place, query)).collect();
        json!({
            "id": id,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "datasource": source(),
            "gridPos": {"x": at.0, "y": at.1, "w": self.size.0, "h": self.size.1},
            "fieldConfig": {"defaults": self.defaults, "overrides": self.overrides},
            "options": self.options,
            "targets": targets,
            "transformations": self.transformations,
        })
    }

    fn target(&self, place: usize, query: &Query) -> Value {
        json!({
            "refId": letter(place).to_string(),
            "datasource": source(),
            "editorMode": "code",
            "expr": selected(&query.expr),
            "legendFormat": if query.legend.is_empty() { "__auto" } else { &query.legend },
            "format": if self.ask == Ask::Table { "table" } else { "time_series" },
            "instant": self.ask != Ask::Range,
            "range": self.ask == Ask::Range,
        })
    }
}

/// A variable that the user chooses: the label of the metrics that match.
pub(super) struct Variable {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    /// `label_values(…)`.
    pub(super) query: &'static str,
    /// What "All" stands for; one value alone can be chosen where it is none.
    pub(super) all: Option<&'static str>,
}

/// One dashboard.
pub(super) struct Dashboard {
    pub(super) uid: &'static str,
    pub(super) title: &'static str,
    pub(super) description: &'static str,
    /// Besides data source, job and instance.
    pub(super) variables: Vec<Variable>,
    /// Name, colour, expression (a time in seconds, or what is 1 while it lasts), and text.
    pub(super) annotations: Vec<(&'static str, &'static str, String, &'static str)>,
    pub(super) rows: Vec<(&'static str, Vec<Panel>)>,
    /// How far back it looks.
    pub(super) from: &'static str,
}

impl Dashboard {
    /// What Grafana imports.
    pub(super) fn json(&self) -> Value {
        let mut panels = Vec::new();
        let (mut id, mut y) = (0, 0);
        let mut next = || {
            id += 1;
            id
        };
        for (title, row) in &self.rows {
            panels.push(json!({"id": next(), "type": "row", "title": title, "collapsed": false, "panels": [],
                "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1}}));
            y += 1;
            let (mut x, mut height) = (0, 0);
            for panel in row {
                if x + panel.size.0 > WIDTH {
                    (x, y, height) = (0, y + height, 0);
                }
                panels.push(panel.json(next(), (x, y)));
                x += panel.size.0;
                height = height.max(panel.size.1);
            }
            y += height;
        }
        json!({
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": ["smtp-tls"],
            "schemaVersion": SCHEMA_VERSION,
            "version": 1,
            "editable": false,
            "graphTooltip": 1,
            "refresh": "1m",
            "time": {"from": self.from, "to": "now"},
            "timezone": "browser",
            "links": [{"type": "dashboards", "title": "SMTP TLS", "tags": ["smtp-tls"], "asDropdown": false,
                "keepTime": true, "includeVars": true, "targetBlank": false, "icon": "external link", "tooltip": "", "url": ""}],
            "annotations": {"list": self.annotations.iter().map(annotation).collect::<Vec<_>>()},
            "templating": {"list": self.templating()},
            "panels": panels,
        })
    }

    fn templating(&self) -> Vec<Value> {
        let exporters = [
            Variable { name: "job", label: "Job", query: "label_values(smtptls_build_info, job)", all: Some(".+") },
            Variable {
                name: "instance",
                label: "Instance",
                query: "label_values(smtptls_build_info{job=~\"$job\"}, instance)",
                all: Some(".+"),
            },
        ];
        let mut list = vec![json!({
            "name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus",
            "current": {}, "hide": 0, "includeAll": false, "multi": false, "options": [], "refresh": 1, "regex": "",
        })];
        list.extend(exporters.iter().chain(&self.variables).map(variable));
        list
    }
}

fn variable(variable: &Variable) -> Value {
    let query = selected(variable.query);
    let several = variable.all.is_some();
    let mut json = json!({
        "name": variable.name, "label": variable.label, "type": "query", "datasource": source(),
        "definition": query, "query": {"qryType": 1, "query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery"},
        "includeAll": several, "multi": several, "refresh": 2, "sort": 1, "regex": "", "hide": 0, "options": [],
        "current": if several { json!({"selected": true, "text": ["All"], "value": ["$__all"]}) } else { json!({}) },
    });
    if let Some(all) = variable.all {
        json["allValue"] = json!(all);
    }
    json
}

fn annotation((name, colour, expr, text): &(&'static str, &'static str, String, &'static str)) -> Value {
    // What ends with a time is an event at that time; the rest lasts as long as it is there.
    let event = expr.ends_with("* 1000");
    json!({
        "name": name, "datasource": source(), "enable": true, "hide": false, "iconColor": colour,
        "expr": selected(expr), "titleFormat": text, "textFormat": "", "tagKeys": "", "step": "60s",
        "useValueForTime": event,
    })
}

fn source() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

fn selected(expr: &str) -> String {
    expr.replace("{@", &format!("{{{SELECTED}")).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn letter(place: usize) -> char {
    ('A'..='Z').nth(place).expect("no panel has more than 26 queries")
}

fn mappings(words: &Words) -> Value {
    let options: Map<String, Value> = words
        .iter()
        .enumerate()
        .map(|(place, (value, text, colour))| {
            ((*value).to_owned(), json!({"text": text, "color": colour, "index": place}))
        })
        .collect();
    json!([{"type": "value", "options": options}])
}

fn thresholds(steps: &[(&str, f64)]) -> Value {
    // An empty value for the lowest step counts as 0 where a column has thresholds of its own: steps below 0 need a number there.
    let below_zero = steps.iter().any(|(_, from)| *from < 0.0);
    let lowest = if below_zero { json!(LOWEST) } else { Value::Null };
    let steps: Vec<Value> = steps
        .iter()
        .enumerate()
        .map(|(place, (colour, from))| json!({"color": colour, "value": if place == 0 { lowest.clone() } else { json!(from) }}))
        .collect();
    json!({"mode": "absolute", "steps": steps})
}
