//! The description of the API is true: every answer of a running server is as it says, member by member.

use std::{collections::BTreeSet, net::IpAddr, path::Path};

use serde_json::{Map, Value, json};
use smtptls_exporter::{
    facts::Reporter,
    terms::{PolicyDomain, Timestamp},
};
use tempfile::TempDir;

use super::{
    reports::{
        faces::policy,
        faces_api::{file, incoming},
    },
    serve::Served,
    world::{
        dns::Behaviour,
        mail_world::{MailDomain, MailWorld},
    },
};

/// What an OpenAPI document says.
struct Description(Value);

impl Description {
    /// What is wrong with a value; nothing where it is as the schema says.
    ///
    /// It knows the words that the document uses, and fails on any other, so that none is passed over. Beyond JSON Schema it asks that every
    /// member of a value is described, and that none may be left out.
    fn faults(&self, schema: &Value, value: &Value, at: &str) -> Vec<String> {
        let Some(words) = schema.as_object() else { panic!("{at}: {schema} is no schema") };
        let mut faults = Vec::new();
        let mut say = |wrong: bool, what: &str| {
            if wrong {
                faults.push(format!("{at}: {value} {what}"));
            }
        };
        let mut below = Vec::new();
        for (word, says) in words {
            match word.as_str() {
                "description" | "default" | "required" => {}
                "$ref" => {
                    let pointer = says.as_str().unwrap().strip_prefix('#').unwrap();
                    let schema = self.0.pointer(pointer).unwrap_or_else(|| panic!("{pointer} is not there"));
                    below.extend(self.faults(schema, value, at));
                }
                "type" => say(!is_one_of(value, says), &format!("is not of type {says}")),
                "const" => say(value != says, &format!("is not {says}")),
                "enum" => say(!says.as_array().unwrap().contains(value), &format!("is not among {says}")),
                "minimum" => say(value.is_number() && value.as_f64() < says.as_f64(), &format!("is below {says}")),
                "maximum" => say(value.is_number() && value.as_f64() > says.as_f64(), &format!("is above {says}")),
                "format" => {
                    say(!value.is_null() && !has_format(value, says.as_str().unwrap()), &format!("is no {says}"));
                }
                "oneOf" | "anyOf" => {
                    let fitting =
                        says.as_array().unwrap().iter().filter(|one| self.faults(one, value, at).is_empty()).count();
                    say(fitting != 1, &format!("fits {fitting} of {says}"));
                }
                "items" => {
                    for (number, item) in value.as_array().into_iter().flatten().enumerate() {
                        below.extend(self.faults(says, item, &format!("{at}[{number}]")));
                    }
                }
                "properties" => {
                    let described: BTreeSet<&String> = says.as_object().unwrap().keys().collect();
                    let required: BTreeSet<&str> =
                        words["required"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
                    assert_eq!(described.iter().map(|name| name.as_str()).collect::<BTreeSet<_>>(), required, "{at}");
                    let members = value.as_object().cloned().unwrap_or_default();
                    let there: BTreeSet<&String> = members.keys().collect();
                    say(value.is_object() && there != described, &format!("has not the members {described:?}"));
                    for (name, member) in &members {
                        if let Some(schema) = says.get(name) {
                            below.extend(self.faults(schema, member, &format!("{at}.{name}")));
                        }
                    }
                }
                "additionalProperties" => {
                    for (name, member) in value.as_object().into_iter().flatten() {
                        below.extend(self.faults(says, member, &format!("{at}.{name}")));
                    }
                }
                other => panic!("{at}: this test does not know {other:?}"),
            }
        }
        faults.extend(below);
        faults
    }

    /// Every operation: its path, its method and what it says.
    fn operations(&self) -> Vec<(String, String, Value)> {
        let paths = self.0["paths"].as_object().unwrap();
        let of = |(path, methods): (&String, &Value)| {
            let methods = methods.as_object().unwrap().clone();
            let path = path.clone();
            methods.into_iter().map(move |(method, says)| (path.clone(), method, says)).collect::<Vec<_>>()
        };
        paths.iter().flat_map(of).collect()
    }
}

fn is_one_of(value: &Value, types: &Value) -> bool {
    let types: Vec<&str> = match types {
        Value::String(one) => vec![one],
        several => several.as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect(),
    };
    types.into_iter().any(|one| match one {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other} is no type"),
    })
}

fn has_format(value: &Value, format: &str) -> bool {
    match format {
        "date-time" => value.as_str().is_some_and(|text| text.parse::<Timestamp>().is_ok()),
        "ip" => value.as_str().is_some_and(|text| text.parse::<IpAddr>().is_ok()),
        "uint" | "uint64" => value.is_u64(),
        "uint32" => value.as_u64().is_some_and(|number| u32::try_from(number).is_ok()),
        "uint16" => value.as_u64().is_some_and(|number| u16::try_from(number).is_ok()),
        "int64" => value.is_i64() || value.is_u64(),
        "double" => value.is_number(),
        other => panic!("this test does not know the format {other}"),
    }
}

/// Queries of an operation that have an answer, and some that are wrong: each parameter alone, with its limits.
fn queries(operation: &Value) -> (Vec<String>, Vec<String>) {
    let (mut good, mut wrong) = (vec![String::new()], vec!["?nonsense=1".to_owned()]);
    for parameter in operation["parameters"].as_array().unwrap().iter().filter(|one| one["in"] == "query") {
        let (name, schema) = (parameter["name"].as_str().unwrap(), &parameter["schema"]);
        if let Some(words) = schema["enum"].as_array() {
            good.extend(words.iter().map(|word| format!("?{name}={}", word.as_str().unwrap())));
            wrong.push(format!("?{name}=nonsense"));
        } else if let (Some(least), Some(most)) = (schema["minimum"].as_u64(), schema["maximum"].as_u64()) {
            good.extend([format!("?{name}={least}"), format!("?{name}={most}")]);
            wrong.extend([format!("?{name}={}", least - 1), format!("?{name}={}", most + 1), format!("?{name}=x")]);
        } else if schema["type"] == "boolean" {
            good.extend([format!("?{name}=true"), format!("?{name}=false")]);
            wrong.push(format!("?{name}=1"));
        } else if schema["type"] == json!(["string", "integer"]) {
            good.extend([format!("?{name}=0"), format!("?{name}=2026-01-01T00:00:00Z")]);
            wrong.push(format!("?{name}=yesterday"));
        } else if matches!(name, "after" | "before") {
            wrong.push(format!("?{name}=x"));
        } else {
            assert_eq!(schema["type"], "string", "{name}");
            let text = if name == "mx" { "mx.good.example" } else { "good.example" };
            good.push(format!("?{name}={text}"));
            wrong.push(format!("?{name}=%ff"));
        }
    }
    (good, wrong)
}

/// Domains of several kinds: right, wrong, dark, and with reports. Their servers run as long as they are held.
async fn served(world: &MailWorld, state: &Path) -> (Served, [MailDomain; 2]) {
    let google = Reporter::Verified(PolicyDomain::parse("google.com").unwrap());
    let failure = ("certificate-expired", 3, "mx2.good.example", "expired");
    let reports = [
        incoming("good.example", "Google", google, 2, &[policy("sts", "good.example", "enforce", [97, 3], &[failure])]),
        incoming(
            "good.example",
            "Whoever",
            Reporter::Unverified,
            1,
            &[policy("tlsa", "good.example", "", [1, 0], &[])],
        ),
    ];
    file(state, reports.into()).await;
    let domains = [world.domain("good.example").await, world.domain("bad.example").await];
    world.dns.mx("bad.example", &[(10, "mx.bad.example"), (20, "mx.good.example")]);
    world.dns.behave("dark.example", Behaviour::ServFail);
    let folder = world.file("tlsrpt");
    std::fs::create_dir(&folder).unwrap();
    let config = world.config_file(&format!(
        "domains: [{{domain: good.example, group: ours}}, bad.example, dark.example, absent.example]\n\
         reports: {{maildir: ['{}']}}\n",
        folder.display()
    ));
    let served = Served::start_in(&config, state, &[]).await;
    served
        .until(&[
            "smtptls_domain_delivery{domain=\"good.example\",state=\"protected\"} 1",
            "smtptls_domain_delivery{domain=\"bad.example\",state=\"partial\"} 1",
            "smtptls_domain_delivery{domain=\"dark.example\",state=\"unknown\"} 1",
        ])
        .await;
    (served, domains)
}

#[tokio::test]
async fn every_answer_is_as_the_description_says() {
    let world = MailWorld::start().await;
    let state = TempDir::new().unwrap();
    let (served, _domains) = served(&world, state.path()).await;
    let (status, text) = served.get("/api/v1/openapi.json").await;
    assert_eq!(status, 200);
    let description = Description(serde_json::from_str(&text).unwrap());
    let committed = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json")).unwrap();
    assert_eq!(description.0, serde_json::from_str::<Value>(&committed).unwrap());

    let mut seen: BTreeSet<(String, u16)> = BTreeSet::new();
    for (path, method, says) in description.operations() {
        let (good, wrong) = queries(&says);
        let names: &[&str] =
            if path.contains("{name}") { &["good.example", "bad.example", "dark.example"] } else { &[""] };
        let mut asked: Vec<(String, u16)> = Vec::new();
        for name in names {
            let path = path.replace("{name}", name);
            asked.extend(good.iter().map(|query| (format!("{path}{query}"), 200)));
            if !says["parameters"].as_array().unwrap().is_empty() && says["responses"].get("400").is_some() {
                asked.extend(wrong.iter().map(|query| (format!("{path}{query}"), 400)));
            }
        }
        if path.contains("{name}") {
            asked.push((path.replace("{name}", "other.example"), 404));
        }
        if says["responses"].get("410").is_some() {
            asked.push((format!("{}?after=7.1", path.replace("{name}", "good.example")), 410));
        }
        for (target, expected) in asked {
            let (status, body) = served.request(&method.to_uppercase(), &target).await;
            assert_eq!(status, expected, "{method} {target}: {body}");
            let response = says["responses"].get(status.to_string());
            let response = response.unwrap_or_else(|| panic!("{method} {target}: {status} is not described"));
            let schema = &response["content"]["application/json"]["schema"];
            let body: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(description.faults(schema, &body, &target), Vec::<String>::new());
            seen.insert((format!("{method} {path}"), status));
        }
        let (status, _) = served.request("DELETE", &path.replace("{name}", "good.example")).await;
        assert_eq!(status, 405, "{path}");
    }
    let (status, _) = served.get("/api/v1/findings?domain=other.example").await;
    seen.insert(("get /api/v1/findings".to_owned(), status));
    // What can be had here was seen. The others are of a server that cannot answer, of a look that takes a minute, of another site.
    const NOT_HERE: [&str; 4] = ["202", "403", "429", "503"];
    for (path, method, says) in description.operations() {
        for status in
            says["responses"].as_object().unwrap().keys().filter(|status| !NOT_HERE.contains(&status.as_str()))
        {
            let status = status.parse().unwrap();
            assert!(seen.contains(&(format!("{method} {path}"), status)), "{method} {path} never answered {status}");
        }
    }

    // The lists hold what the world has.
    let (_, body) = served.get("/api/v1/domains?sort=domain").await;
    let domains: Value = serde_json::from_str(&body).unwrap();
    let rows = domains["domains"].as_array().unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row["domain"].as_str().unwrap()).collect();
    assert_eq!(names, ["absent.example", "bad.example", "dark.example", "good.example"]);
    let row = |name: &str| rows.iter().find(|row| row["domain"] == name).unwrap();
    assert_eq!((&row("bad.example")["delivery"], &row("bad.example")["mode"]), (&json!("partial"), &json!("enforce")));
    assert_eq!(row("bad.example")["worst"]["code"], "mx-not-in-policy");
    assert_eq!(row("good.example")["group"], "ours");
    assert!(row("good.example")["certificate"]["not_after"].is_string());
    let (_, body) = served.get("/api/v1/findings?code=mx-not-in-policy").await;
    let findings: Value = serde_json::from_str(&body).unwrap();
    let first = &findings["findings"][0];
    assert_eq!((&first["domain"], &first["subject"]), (&json!("bad.example"), &json!("mx.good.example")));
}

#[test]
fn the_checks_of_this_test_find_what_is_wrong() {
    let schema = json!({"type": "object", "required": ["a", "b"], "properties": {
        "a": {"type": ["string", "null"], "format": "date-time"},
        "b": {"anyOf": [{"$ref": "#/components/schemas/Word"}, {"type": "null"}]}}});
    let description =
        Description(json!({"components": {"schemas": {"Word": {"oneOf": [{"type": "string", "const": "x"}]}}}}));
    let faults = |value: Value| description.faults(&schema, &value, "").len();
    assert_eq!(faults(json!({"a": null, "b": "x"})), 0);
    assert_eq!(faults(json!({"a": "2026-01-01T00:00:00Z", "b": null})), 0);
    for wrong in [
        json!({"a": "yesterday", "b": null}),
        json!({"a": 1, "b": null}),
        json!({"a": null, "b": "y"}),
        json!({"a": null}),
        json!({"a": null, "b": null, "c": 1}),
        Value::Object(Map::new()),
        json!([]),
    ] {
        assert!(faults(wrong.clone()) > 0, "{wrong}");
    }
}
