//! `GET /api/v1/openapi.json`: the API described by OpenAPI 3.1, made of the table of routes, the tables of parameters and the very
//! structures that are written as answers.

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::{Map, Value, json};

use super::{
    Links,
    api::Answer,
    changes, domains, findings,
    parameters::{Kind, PLACE, Parameter, TIME},
    prompt::StillLooking,
    reports,
    route::{API, Access, ROUTES, Route, Row},
    selection,
    shards::ShardsView,
};
use crate::present::{
    changes::PageView,
    json::{
        DomainView, ErrorView,
        lists::{DomainsView, FindingsView},
        one_line,
    },
    report::ListingView,
};

const ABOUT: &str = "What smtptls-exporter knows of the domains that it watches. Within a version of the path nothing is taken away or renamed; \
    members, codes of findings and kinds of changes are added. What is not known is null, and no member of an answer is ever left out. \
    Texts hold what peers sent: harmless in a terminal, and still to be escaped in a page. Answers are of the last probes and start none, \
    unless the operation says so. A path that is asked with another method answers 405 with the header Allow; a body is refused with 413, a \
    target longer than 2048 bytes with 414.";

/// Makes the schema of an answer.
type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// What the table of routes does not say of an operation.
struct Operation {
    id: &'static str,
    parameters: &'static [&'static [Parameter]],
    /// The schema of the answer.
    answer: SchemaOf,
    /// Another answer that is no error: its status, when it is, and its schema.
    also: Option<(u16, &'static str, SchemaOf)>,
    /// The other statuses, with when they are.
    otherwise: &'static [(u16, &'static str)],
}

const BAD: (u16, &str) = (400, "A parameter is wrong; the text says what was expected");
const UNKNOWN: (u16, &str) = (404, "The domain is not configured, or another instance looks at it");
const NOT_READY: (u16, &str) = (503, "The domains are being set up");
const UNREADABLE: (u16, &str) = (503, "The domains are being set up, or the state cannot be read at present");

/// The operation of a route of the API; nothing for the others.
fn operation(route: Route) -> Option<Operation> {
    Some(match route {
        Route::Domains => Operation {
            id: "listDomains",
            parameters: &[selection::PARAMETERS, domains::PAGING],
            answer: schema_of::<DomainsView<'static>>,
            also: None,
            otherwise: &[BAD, NOT_READY],
        },
        Route::Domain => Operation {
            id: "getDomain",
            parameters: &[],
            answer: schema_of::<DomainView<'static>>,
            also: None,
            otherwise: &[UNKNOWN, (503, "The domains are being set up, or this one was not probed yet")],
        },
        Route::DomainChanges => Operation {
            id: "listChangesOfDomain",
            parameters: &[changes::PARAMETERS],
            answer: schema_of::<PageView<'static>>,
            also: None,
            otherwise: &[BAD, UNKNOWN, (410, "The log began anew since the cursor was given"), UNREADABLE],
        },
        Route::DomainReports => Operation {
            id: "listReportsOfDomain",
            parameters: &[reports::PARAMETERS],
            answer: schema_of::<ListingView<'static>>,
            also: None,
            otherwise: &[BAD, UNKNOWN, UNREADABLE],
        },
        Route::Changes => Operation {
            id: "listChanges",
            parameters: &[changes::PARAMETERS],
            answer: schema_of::<PageView<'static>>,
            also: None,
            otherwise: &[BAD, (410, "The log began anew since the cursor was given"), UNREADABLE],
        },
        Route::Findings => Operation {
            id: "listFindings",
            parameters: &[findings::PARAMETERS],
            answer: schema_of::<FindingsView<'static>>,
            also: None,
            otherwise: &[BAD, (404, "The domain that a parameter names is not configured"), NOT_READY],
        },
        Route::Shards => Operation {
            id: "getShards",
            parameters: &[],
            answer: schema_of::<ShardsView<'static>>,
            also: None,
            otherwise: &[NOT_READY],
        },
        Route::ProbeDomain => Operation {
            id: "probeDomain",
            parameters: &[],
            answer: schema_of::<DomainView<'static>>,
            also: Some((
                202,
                "Not all was looked at within a minute; the look goes on",
                schema_of::<StillLooking<'static>>,
            )),
            otherwise: &[
                (403, "Asked for by a page of another site"),
                UNKNOWN,
                (429, "Too many wait already; Retry-After says when to come again"),
                (503, "The domains are being set up, or the monitor is stopping"),
            ],
        },
        Route::OpenApi => Operation {
            id: "getDescription",
            parameters: &[],
            answer: |_| json_schema!({"type": "object", "description": "An OpenAPI 3.1 document."}),
            also: None,
            otherwise: &[],
        },
        _ => return None,
    })
}

fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// Answers with the document; its server is where browsers find this one.
pub(super) fn answer(links: &Links) -> Answer {
    Answer::found(one_line(&document(links)))
}

/// The document.
pub(super) fn document(links: &Links) -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let error = generator.subschema_for::<ErrorView<'static>>().to_value();
    let mut paths = Map::new();
    for row in ROUTES.iter().filter(|row| row.path.starts_with(API)) {
        let Some(operation) = operation(row.route) else { continue };
        let method = match row.access {
            Access::Read => "get",
            Access::Act => "post",
        };
        let described = describe(row, &operation, &error, &mut generator);
        let path = paths.entry(row.path).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(method.to_owned(), described);
        }
    }
    let server = match links.to("") {
        root if root.is_empty() => "/".to_owned(),
        prefix => prefix,
    };
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "smtptls-exporter",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": server}],
        "paths": paths,
        "components": {"schemas": generator.take_definitions(true)},
    })
}

fn describe(row: &Row, operation: &Operation, error: &Value, generator: &mut SchemaGenerator) -> Value {
    let mut parameters: Vec<Value> = Vec::new();
    if row.path.contains("{name}") {
        parameters.push(json!({
            "name": "name", "in": "path", "required": true,
            "description": "The domain, as it stands behind the @, in any spelling",
            "schema": {"type": "string"},
        }));
    }
    parameters.extend(operation.parameters.iter().copied().flatten().map(parameter));
    let answer = (operation.answer)(generator);
    let mut responses = Map::new();
    responses.insert(
        "200".to_owned(),
        json!({"description": row.answers, "content": {"application/json": {"schema": answer}}}),
    );
    if let Some((status, when, schema)) = operation.also {
        let schema = schema(generator);
        responses.insert(
            status.to_string(),
            json!({"description": when, "content": {"application/json": {"schema": schema}}}),
        );
    }
    for (status, when) in operation.otherwise {
        responses.insert(
            status.to_string(),
            json!({"description": when, "content": {"application/json": {"schema": error}}}),
        );
    }
    json!({"operationId": operation.id, "summary": row.answers, "parameters": parameters, "responses": responses})
}

/// A parameter of a query with its limits.
fn parameter(of: &Parameter) -> Value {
    let (schema, what) = match of.kind {
        Kind::Text => (json!({"type": "string"}), None),
        Kind::Word(words) => (json!({"type": "string", "enum": words()}), None),
        Kind::Number { most, default } => {
            (json!({"type": "integer", "minimum": 1, "maximum": most, "default": default}), None)
        }
        Kind::Time => (json!({"type": ["string", "integer"]}), Some(TIME)),
        Kind::Flag => (json!({"type": "boolean", "default": false}), None),
        Kind::Place => (json!({"type": "string"}), Some(PLACE)),
    };
    let description = match what {
        Some(what) => format!("{}: {what}", of.says),
        None => of.says.to_owned(),
    };
    json!({"name": of.name, "in": "query", "description": description, "schema": schema})
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every `$ref` below.
    fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(reference)) = members.get("$ref") {
                    found.insert(reference);
                }
                members.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn the_document_is_the_one_in_docs() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
        let document = serde_json::to_string_pretty(&document(&Links::default())).unwrap() + "\n";
        if std::env::var_os("SMTPTLS_BLESS").is_some() {
            std::fs::write(path, &document).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(written == document, "docs/openapi.json is not what the code says; write it with SMTPTLS_BLESS=1");
    }

    #[test]
    fn every_path_of_the_api_is_described_and_no_other() {
        let document = document(&Links::default());
        let described: BTreeSet<(String, &str)> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, methods)| {
                methods.as_object().unwrap().keys().map(|method| (path.clone(), method.as_str()))
            })
            .collect();
        let of = |access| if access == Access::Read { "get" } else { "post" };
        let routes =
            ROUTES.iter().filter(|row| row.path.starts_with(API)).map(|row| (row.path.to_owned(), of(row.access)));
        assert_eq!(described, routes.collect());
        let names: Vec<_> =
            ROUTES.iter().filter_map(|row| operation(row.route)).map(|operation| operation.id).collect();
        assert_eq!(names.len(), names.iter().collect::<BTreeSet<_>>().len(), "each operation has a name of its own");
    }

    #[test]
    fn what_is_referred_to_is_there_and_used() {
        let document = document(&Links::default());
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let known: BTreeSet<String> = schemas.keys().map(|name| format!("#/components/schemas/{name}")).collect();
        assert_eq!(found.into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), known);
        assert!(
            known.iter().all(|name| !name.ends_with(|last: char| last.is_ascii_digit())),
            "two of a name: {known:?}"
        );
    }

    #[test]
    fn the_server_is_where_browsers_find_it() {
        let mount =
            super::super::Mount::new(Some("https://m.example/mail/".parse().unwrap()), Some("/".parse().unwrap()));
        assert_eq!(document(mount.links())["servers"], json!([{"url": "/mail"}]));
        assert_eq!(document(&Links::default())["servers"], json!([{"url": "/"}]));
    }
}
