//! The configuration as a whole: the example of the documentation, the defaults, and what broken files are told.

use std::{fmt::Write as _, path::Path, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::{
    terms::{MxHost, PolicyDomain},
    verdict::{CertificateThreshold, ExpectedMode, Severity, Share, known_codes},
};

mod broken;

/// Every key there is.
const EVERY_KEY: &str = include_str!("every_key.yml");

/// "line:column severity: message [| expected] [| hint]", one diagnostic a line.
fn told(text: &str) -> String {
    let diagnostics = match parse("test.yml", text) {
        Ok(loaded) => loaded.warnings,
        Err(errors) => errors.diagnostics,
    };
    let mut told = String::new();
    for one in diagnostics {
        match one.location {
            Some(at) => write!(told, "{}:{} ", at.line, at.column).unwrap(),
            None => told.push_str("- "),
        }
        let severity = if one.severity == DiagnosticSeverity::Error { "error" } else { "warning" };
        write!(told, "{severity}: {}", one.message).unwrap();
        if let Some(expected) = one.expected {
            write!(told, " | {expected}").unwrap();
        }
        if let Some(hint) = one.hint {
            write!(told, " | {hint}").unwrap();
        }
        told.push('\n');
    }
    told
}

fn settings(text: &str) -> Settings {
    parse("test.yml", text).unwrap_or_else(|errors| panic!("{errors}")).settings
}

#[test]
fn every_key_is_read() {
    let loaded = parse("test.yml", EVERY_KEY).unwrap_or_else(|errors| panic!("{errors}"));
    let settings = loaded.settings;
    assert_eq!(settings.severities.get("tls-legacy-accepted"), Some(&Severity::Warning));
    let accepted = &settings.accept[0];
    assert_eq!(accepted.code, "mx-cname");
    assert_eq!(accepted.domain, PolicyDomain::parse("example.org").ok());
    assert_eq!(accepted.mx, None);
    assert_eq!(accepted.until.map(|until| until.to_string()).as_deref(), Some("2027-01-02T00:00:00Z"));
    assert_eq!(accepted.reason.as_deref(), Some("provider, ticket 12"));
    assert_eq!(settings.domains.len(), 2);
    let second = &settings.domains[1];
    assert_eq!(second.options.group.as_deref(), Some("customers"));
    assert_eq!(settings.interval(second), Duration::from_secs(300));
    assert_eq!(settings.interval(&settings.domains[0]), Duration::from_secs(600));
    let expect = second.options.expect.as_ref().unwrap();
    assert_eq!(expect.mode, Some(ExpectedMode::Enforce));
    assert_eq!(expect.min_max_age, Some(Duration::from_secs(7 * 86_400)));
    assert_eq!((expect.dane, expect.mail), (Some(true), Some(true)));
    assert_eq!(expect.mx.as_deref(), Some(&[MxHost::parse("mx1.example.org").unwrap()][..]));
    assert_eq!(expect.issuer.as_deref(), Some("Let's Encrypt"));
    assert_eq!(settings.metrics, Settings::default().metrics);
    assert_eq!(settings.shard, Settings::default().shard);
    assert_eq!(settings.state, Settings::default().state);
    assert_eq!(settings.reports.imap.as_ref().map(|list| list.value.len()), Some(1));
}

#[test]
fn the_example_spells_out_the_defaults() {
    let written = settings(EVERY_KEY);
    let default = Settings::default();
    assert_eq!(written.resolver, default.resolver);
    assert_eq!(written.probe, default.probe);
    assert_eq!(written.thresholds, default.thresholds);
    assert_eq!(written.own_mx, default.own_mx);
}

#[test]
fn the_defaults_are_those_promised() {
    let Settings { resolver, probe, thresholds, .. } = settings("");
    let seconds = |duration: Duration| duration.as_secs();
    assert_eq!(resolver.servers, [ServerSetting::System]);
    assert_eq!((resolver.dnssec, seconds(resolver.timeout)), (DnssecMode::Auto, 5));
    assert_eq!((seconds(probe.interval), seconds(probe.mx_interval)), (600, 1800));
    assert_eq!((seconds(probe.retry_interval), seconds(probe.policy_retry_interval)), (60, 300));
    assert_eq!((seconds(probe.timeout), probe.helo_name, probe.contact), (30, None, None));
    assert_eq!(probe.families, FamilySettings { ip4: true, ip6: true });
    assert_eq!((probe.max_in_flight, probe.per_host, probe.per_address, probe.per_network), (256, 1, 1, 8));
    assert_eq!((probe.max_mx, probe.max_addresses, probe.ca_file), (20, 20, None));
    assert_eq!((probe.roots, probe.smtp_port, probe.https_port), (RootSource::Webpki, 25, 443));
    assert!(probe.legacy_tls && !probe.allow_private_addresses && !probe.allow_any_target);
    assert!(probe.opt_out.is_empty() && probe.canaries.is_empty());
    assert_eq!(thresholds.certificate_warning, CertificateThreshold::Auto);
    assert_eq!(thresholds.certificate_error, CertificateThreshold::Auto);
    assert_eq!((seconds(thresholds.testing_long), seconds(thresholds.publication_grace)), (90 * 86_400, 600));
    assert_eq!(thresholds.reports_failing, Share::percent(5));
    assert_eq!((seconds(thresholds.reports_new_after), seconds(thresholds.reports_silent)), (30 * 86_400, 3 * 86_400));
    assert_eq!(
        (seconds(thresholds.enforce.policy_stable), seconds(thresholds.enforce.testing)),
        (7 * 86_400, 14 * 86_400)
    );
}

#[test]
fn null_leaves_the_default() {
    assert_eq!(
        settings("probe: {interval: null, helo_name: ~, families: }\ndomains:\nresolver: null"),
        Settings::default()
    );
}

#[test]
fn other_values_than_the_defaults_arrive() {
    let settings = settings(
        "resolver: {servers: ['[::1]:5353', 192.0.2.1], dnssec: off, timeout: 250ms}\n\
         probe: {families: [ip6], retry_interval: 2m, helo_name: '[192.0.2.9]', contact: 'mailto:a@b.example', roots: none, smtp_port: 2525, https_port: 8443, opt_out: ['*.Bank.example'], canaries: [MX.example.]}\n\
         thresholds: {certificate_warning: 25%, certificate_error: 2.5%}\n\
         own_mx: ['*.provider.example']\n\
         domains: [Bücher.example]\n",
    );
    assert_eq!(
        settings.resolver.servers.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["[::1]:5353", "192.0.2.1:53"]
    );
    assert_eq!((settings.resolver.dnssec, settings.resolver.timeout), (DnssecMode::Off, Duration::from_millis(250)));
    assert_eq!(settings.probe.families, FamilySettings { ip4: false, ip6: true });
    assert_eq!(settings.probe.helo_name.as_deref(), Some("[192.0.2.9]"));
    assert_eq!((settings.probe.smtp_port, settings.probe.https_port), (2525, 8443));
    assert!(settings.probe.opt_out[0].matches("mx.bank.example"));
    assert_eq!(settings.probe.canaries[0].as_str(), "mx.example");
    assert_eq!(settings.thresholds.certificate_warning, CertificateThreshold::Share(Share::percent(25)));
    assert_eq!(settings.domains[0].domain.as_str(), "xn--bcher-kva.example");
}

#[test]
fn show_can_be_read_again() {
    for text in [
        "",
        "domains: [a.example, {domain: b.example, expect: {mail: false, mx: []}}]\nprobe: {families: [ip4]}\nresolver: {servers: ['::1']}\n\
         thresholds: {certificate_warning: 25%, certificate_error: 3d}\nsplit: null\n"
            .strip_suffix("split: null\n")
            .unwrap(),
        "accept: [{code: mx-cname, domain: a.example, until: 2026-12-31, reason: 'a: b # c'}]\nseverities: {mx-cname: error}\nown_mx: ['*.x.example']",
    ] {
        let before = settings(text);
        let shown = show(&before).unwrap();
        assert_eq!(settings(&shown), before, "{shown}");
    }
}

#[test]
fn show_hides_secrets() {
    let text = "http_sd: [{url: 'https://joe:geheim@inventory.example/domains?token=geheim'}]\n\
                state: {url: 'postgres://joe:geheim@db.example/smtptls'}\n\
                reports: {imap: [{server: imap.example, user: joe, password_file: /run/secrets/imap}]}\n";
    let settings = settings(text);
    let shown = show(&settings).unwrap();
    assert!(!shown.contains("geheim"), "{shown}");
    assert!(shown.contains("inventory.example/domains") && shown.contains("/run/secrets/imap"), "{shown}");
    assert!(!format!("{settings:?}").contains("geheim"));
}

#[test]
fn what_has_no_effect_is_told_with_its_place() {
    assert_eq!(
        told(
            "probe:\n  legacy_tls: false\n  allow_any_target: true\nresolver: {dnssec: trust-ad, trust_anchor_file: a}\n\
             thresholds: {reports_silent: 9d, certificate_error: 1d}\nmetrics: {level: full}\nshard: {index: 1, total: 2}\n\
             domains:\n  - {domain: a.example, planned_mx: [mx.a.example]}\n  - {domain: b.example, planned_mx: [], expect: {dane: true}}\n\
             domain_files: []\nhttp_sd: []\nreports: {}\nstate: {dir: /x, url: 'postgres://h/d'}\n"
        )
        .lines()
        .map(|line| line.split(" | ").next().unwrap())
        .collect::<Vec<_>>(),
        [
            "4:49 warning: the trust anchors have no effect: nothing is validated here",
        ]
    );
    assert_eq!(told("domains: [a.example]\nprobe: {interval: 5m}\n"), "");
}

#[test]
fn a_flood_of_mistakes_is_cut_and_counted() {
    let text = format!("domains: [{}]", "'?', ".repeat(1000));
    let errors = parse("test.yml", &text).unwrap_err();
    assert_eq!((errors.diagnostics.len(), errors.count()), (100, 1000));
    assert!(errors.to_string().ends_with("and 900 more"));
}

#[test]
fn files_are_found_relative_to_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yml");
    std::fs::write(&file, "probe: {ca_file: roots.pem}\n").unwrap();
    let errors = load(&file).unwrap_err();
    assert_eq!(errors.diagnostics[0].location, Some(Location { line: 1, column: 18 }));
    assert!(errors.diagnostics[0].message.contains("roots.pem cannot be read"), "{errors}");
    std::fs::write(folder.path().join("roots.pem"), "").unwrap();
    let loaded = load(&file).unwrap();
    assert_eq!(loaded.settings.probe.ca_file, Some(folder.path().join("roots.pem")));
    let again = load(&file).unwrap();
    assert_eq!(loaded.text_hash, again.text_hash);
    std::fs::write(&file, "probe: {ca_file: .}\n").unwrap();
    assert!(load(&file).unwrap_err().to_string().contains("it is no file"));
    std::fs::write(&file, b"domains:\n- a\n- \xff\n").unwrap();
    assert!(load(&file).unwrap_err().to_string().contains("line 3 is not UTF-8"));
}

#[test]
fn a_named_file_must_exist() {
    assert!(locate(Some(Path::new("/nowhere/x.yml"))).unwrap_err().to_string().contains("/nowhere/x.yml"));
    assert!(load(Path::new("/nowhere/x.yml")).is_err());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.yml");
    std::fs::write(&file, "").unwrap();
    assert_eq!(locate(Some(&file)).unwrap(), Some(file));
}

#[test]
fn many_domains_are_read() {
    let text = (0..20_000).fold("domains:\n".to_owned(), |text, n| text + &format!("  - d{n}.example\n"));
    assert_eq!(settings(&text).domains.len(), 20_000);
}

#[test]
fn the_codes_of_the_example_are_known() {
    for code in ["mx-cname", "tls-legacy-accepted", "certificate-expiring"] {
        assert!(known_codes().contains(&code));
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in ".{0,200}") {
        drop(parse("test.yml", &text).map_err(|errors| errors.render(true)));
    }

    #[test]
    fn no_broken_configuration_panics(at in 0..EVERY_KEY.len(), length in 0usize..40, noise in "[-:,\\[\\]{}#&*!|>'\"%@` \n\t0-9a-zü]{0,8}") {
        let end = (at + length).min(EVERY_KEY.len());
        if let (Some(before), Some(after)) = (EVERY_KEY.get(..at), EVERY_KEY.get(end..)) {
            let text = format!("{before}{noise}{after}");
            drop(parse("test.yml", &text).map_err(|errors| errors.render(true)));
        }
    }
}

#[test]
fn the_example_is_read_without_a_warning() {
    let example = include_str!("../../smtptls-exporter.example.yml");
    assert_eq!(told(example), "");
    assert_eq!(settings(example).domains.len(), 2);
    // What is commented out is right as well.
    let all: String = example
        .lines()
        .map(|line| match line.strip_prefix("  # ") {
            Some(rest) if rest.split_once(": ").is_some_and(|(key, _)| file::Probe::KEYS.contains(&key)) => {
                format!("  {rest}\n")
            }
            _ => format!("{line}\n"),
        })
        .collect();
    assert_eq!(told(&all), "");
    assert!(settings(&all).probe.allow_private_addresses, "the commented keys were read");
}

#[test]
fn the_schema_describes_the_example() {
    let schema = schema().unwrap();
    let mut undescribed = Vec::new();
    let node = yaml::parse(EVERY_KEY).unwrap();
    describe(&node, &schema, "", &mut undescribed);
    assert!(undescribed.is_empty(), "{undescribed:?}");
    assert_eq!(schema.pointer("/properties/probe/properties/interval/default"), Some(&"10m".into()));
}

/// Walks file and schema together: every key has a property with a meaning, every value a fitting type.
fn describe(node: &yaml::Node, schema: &serde_json::Value, path: &str, undescribed: &mut Vec<String>) {
    use serde_json::Value as Json;
    if let Some(variants) = schema.get("anyOf").and_then(Json::as_array) {
        let fits = variants.iter().any(|variant| {
            let mut told = Vec::new();
            describe(node, variant, path, &mut told);
            told.is_empty()
        });
        if !fits {
            undescribed.push(format!("{path}: no variant fits"));
        }
        return;
    }
    let types: Vec<&str> = match schema.get("type") {
        Some(Json::Array(names)) => names.iter().filter_map(Json::as_str).collect(),
        Some(Json::String(name)) => vec![name],
        _ => schema.get("oneOf").map_or(vec![], |_| vec!["string"]),
    };
    let fitting = match &node.value {
        yaml::Value::Null => "null",
        yaml::Value::Bool(_) => "boolean",
        yaml::Value::Integer(_) => "integer",
        yaml::Value::Float(_) => "number",
        yaml::Value::Text(_) => "string",
        yaml::Value::List(_) => "array",
        yaml::Value::Map(_) => "object",
    };
    if !types.contains(&fitting) {
        undescribed.push(format!("{path}: {fitting} is none of {types:?}"));
    }
    match &node.value {
        yaml::Value::Map(entries) => {
            for (key, value) in entries {
                let path = format!("{path}.{}", key.text);
                let property = schema.pointer(&format!("/properties/{}", key.text));
                match property.or_else(|| schema.get("additionalProperties").filter(|more| more.is_object())) {
                    Some(property) => {
                        if schema.get("properties").is_some() && property.get("description").is_none() {
                            undescribed.push(format!("{path}: no description"));
                        }
                        describe(value, property, &path, undescribed);
                    }
                    None => undescribed.push(format!("{path}: no property")),
                }
            }
        }
        yaml::Value::List(items) => {
            for item in items {
                describe(item, schema.get("items").unwrap_or(&Json::Null), path, undescribed);
            }
        }
        yaml::Value::Text(text) => {
            let words = schema.get("oneOf").and_then(Json::as_array);
            if words.is_some_and(|words| words.iter().all(|word| word.get("const") != Some(&text.as_str().into()))) {
                undescribed.push(format!("{path}: {text} is no word of it"));
            }
        }
        _ => {}
    }
}
