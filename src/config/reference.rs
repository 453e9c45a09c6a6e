//! The reference of the configuration, docs/configuration.md, written from the schema.

use serde_json::Value;

use super::{file, schema::schema};

/// What no table says.
const INTRODUCTION: &str = "\
# Configuration

One YAML file, `smtptls-exporter.yml` in the working directory or the one that `--config.file` names. Everything has a default;
`serve` needs at least one domain. [smtptls-exporter.example.yml](../smtptls-exporter.example.yml) is a file to start from.

- `smtptls-exporter config check` checks a file and tells every mistake at once, with line, column and what was expected.
- `smtptls-exporter config show` prints the effective configuration: defaults filled in, secrets in URLs hidden.
- `smtptls-exporter config schema` prints the JSON Schema: with `# yaml-language-server: $schema=FILE` in its first line an
  editor completes and checks the file.
- SIGHUP and `POST /-/reload` read the file again. A file with mistakes changes nothing; domains that did not change keep what is
  known of them.

Durations are written `30s`, `10m`, `1h 30m`, `90d` or `2y`, shares `5%`. Unknown keys and keys that are given twice are errors;
`null` leaves the default. Paths are relative to the folder of the file. Names may be written with capitals, with a final dot, or
in Unicode.

This page is generated from the code; a test compares the two.
";

/// Every map of the file: where its schema lies, what it is called, its keys in order.
const SECTIONS: [(&str, &str, &[&str]); 16] = [
    ("", "The file", file::File::KEYS),
    ("/properties/resolver", "resolver", file::Resolver::KEYS),
    ("/properties/probe", "probe", file::Probe::KEYS),
    ("/properties/thresholds", "thresholds", file::Thresholds::KEYS),
    ("/properties/thresholds/properties/enforce", "thresholds.enforce", file::Enforce::KEYS),
    ("/properties/accept/items", "accept[]", file::Accept::KEYS),
    ("/properties/domains/items/anyOf/1", "domains[]", file::Domain::KEYS),
    ("/properties/domains/items/anyOf/1/properties/expect", "domains[].expect", file::Expect::KEYS),
    ("/properties/http_sd/items", "http_sd[]", file::HttpSd::KEYS),
    ("/properties/reports", "reports", file::Reports::KEYS),
    ("/properties/reports/properties/http", "reports.http", file::ReportsHttp::KEYS),
    ("/properties/reports/properties/http/properties/tls", "reports.http.tls", file::ServerTls::KEYS),
    ("/properties/reports/properties/imap/items", "reports.imap[]", file::Imap::KEYS),
    ("/properties/metrics", "metrics", file::Metrics::KEYS),
    ("/properties/shard", "shard", file::Shard::KEYS),
    ("/properties/state", "state", file::State::KEYS),
];

/// The page, as Markdown.
///
/// # Errors
/// The schema could not be made, or lacks a section; a test keeps both from happening.
pub fn reference() -> Result<String, String> {
    let schema = schema().map_err(|error| error.to_string())?;
    let mut page = INTRODUCTION.to_owned();
    for (pointer, title, keys) in SECTIONS {
        let section = schema.pointer(pointer).ok_or_else(|| format!("the schema has no {pointer}"))?;
        let heading = if title.contains(' ') { title.to_owned() } else { format!("`{title}`") };
        page += &format!("\n## {heading}\n\n");
        if let Some(meaning) = section.get("description").and_then(Value::as_str).filter(|_| !pointer.is_empty()) {
            page += &format!("{meaning}\n\n");
        }
        page += "| key | type | default | meaning |\n|---|---|---|---|\n";
        for key in keys {
            let property = section.pointer(&format!("/properties/{key}")).ok_or_else(|| format!("no {title}.{key}"))?;
            let meaning = property.get("description").and_then(Value::as_str).unwrap_or_default();
            let required =
                section.get("required").and_then(Value::as_array).is_some_and(|all| all.iter().any(|one| one == key));
            let default = if required { "required".to_owned() } else { default(property) };
            let row = format!(
                "`{key}` | {} | {default} | {}",
                kind(property),
                meaning.replace('|', "\\|").replace('\n', " ")
            );
            page += &format!(
                "| {row} |
"
            );
        }
    }
    Ok(page)
}

fn default(property: &Value) -> String {
    match property.get("default") {
        None | Some(Value::Null) => "–".to_owned(),
        Some(Value::String(text)) => format!("`{text}`"),
        Some(Value::Array(items)) if items.iter().all(Value::is_string) => {
            format!("`[{}]`", items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "))
        }
        Some(other) => format!("`{other}`"),
    }
}

/// What a value may be, in words.
fn kind(schema: &Value) -> String {
    if let Some(variants) = schema.get("anyOf").and_then(Value::as_array) {
        let kinds = variants.iter().filter(|variant| variant.get("type").is_none_or(|kind| kind != "null")).map(kind);
        return kinds.collect::<Vec<_>>().join(" or ");
    }
    if let Some(variants) = schema.get("oneOf").and_then(Value::as_array) {
        return words(variants.iter().filter_map(|variant| variant.get("const")));
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return words(values.iter().filter(|value| !value.is_null()));
    }
    if let Some(title) = schema.get("title").and_then(Value::as_str) {
        return title.to_owned();
    }
    let name = match schema.get("type") {
        Some(Value::Array(names)) => names.first().and_then(Value::as_str),
        Some(Value::String(name)) => Some(name.as_str()),
        _ => None,
    };
    match name.unwrap_or_default() {
        "integer" => match (schema.get("minimum"), schema.get("maximum")) {
            (Some(least), Some(most)) => format!("{least} to {most}"),
            _ => "whole number".to_owned(),
        },
        "boolean" => "`true`, `false`".to_owned(),
        "array" => match schema.get("items").map(kind) {
            Some(items) => format!("list of: {items}"),
            None => "list".to_owned(),
        },
        "object" => match schema.get("additionalProperties").filter(|value| value.is_object()) {
            Some(values) => format!("map to: {}", kind(values)),
            None => "map".to_owned(),
        },
        "string" => "text".to_owned(),
        other => other.to_owned(),
    }
}

fn words<'a>(values: impl Iterator<Item = &'a Value>) -> String {
    let word = |value: &Value| format!("`{}`", value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    values.map(word).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The paths of all properties below.
    fn count(schema: &Value) -> usize {
        match schema {
            Value::Object(object) => {
                let own = object.get("properties").and_then(Value::as_object).map_or(0, serde_json::Map::len);
                own + object.values().map(count).sum::<usize>()
            }
            Value::Array(items) => items.iter().map(count).sum(),
            _ => 0,
        }
    }

    #[test]
    fn no_key_is_left_out() {
        let listed: usize = SECTIONS.iter().map(|(_, _, keys)| keys.len()).sum();
        assert_eq!(listed, count(&schema().unwrap()));
    }

    #[test]
    fn the_page_is_the_one_in_docs() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
        let page = reference().unwrap();
        if std::env::var_os("SMTPTLS_BLESS").is_some() {
            std::fs::write(path, &page).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(written == page, "docs/configuration.md is not what the code says; write it with SMTPTLS_BLESS=1");
    }
}
