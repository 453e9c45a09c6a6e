//! What each form of a list says.

use std::{fmt::Write as _, path::Path, sync::Arc, time::Duration};

use proptest::prelude::*;
use smtptls_exporter::config::{
    ProbeSettings,
    inventory::{ListFormat, SourceList, read_list, read_list_again},
};

/// The list, or what is wrong with it and where.
fn list(format: ListFormat, text: &str) -> Result<SourceList, String> {
    read_list("test", format, text.as_bytes(), &ProbeSettings::default()).map_err(|error| match error.location {
        Some(at) => format!("{}:{} {}", at.line, at.column, error.message),
        None => error.message,
    })
}

/// Each domain with its group and its interval, then what is told of the entries.
fn said(list: &SourceList) -> Vec<String> {
    let domains = list.domains.iter().map(|one| {
        let mut said = one.domain.to_string();
        if let Some(group) = &one.options.group {
            write!(said, " group={group}").unwrap();
        }
        if let Some(interval) = one.options.interval {
            write!(said, " interval={}", interval.as_secs()).unwrap();
        }
        said
    });
    let told = list.told.iter().map(|one| {
        let at = one.location.unwrap();
        format!("{}:{} {}", at.line, at.column, one.message)
    });
    domains.chain(told).collect()
}

#[test]
fn target_groups_are_those_of_prometheus() {
    // The example of the documentation of file_sd, with names in place of addresses.
    let json = r#"[
  { "targets": ["a.example", "B.Example."], "labels": {"group": "mail", "__meta_datacenter": "x", "env": "prod"} },
  { "labels": {"group": ""}, "targets": ["c.example"] },
  { "targets": [] }
]"#;
    let yaml = "- targets: [a.example, B.Example.]\n  labels: {group: mail, __meta_datacenter: x, env: prod}\n\
                - labels: {group: ''}\n  targets:\n  - c.example\n- targets: []\n";
    for (format, text, at) in [(ListFormat::Json, json, "2:3"), (ListFormat::Yaml, yaml, "1:3")] {
        let list = list(format, text).unwrap();
        let note = format!("{at} the label \"env\" has no effect; only `group` has");
        assert_eq!(said(&list), ["a.example group=mail", "b.example group=mail", "c.example", &note], "{format:?}");
        assert_eq!((list.skipped, list.repeated), (0, 0));
        assert!(Arc::ptr_eq(&list.domains[0].options, &list.domains[1].options), "options are shared");
    }
}

#[test]
fn a_list_that_is_read_again_is_the_one_before_where_it_says_the_same() {
    let json = r#"[{"targets": ["a.example", "B.Example.", "c.example", "a.example"], "labels": {"group": "mail"}}]"#;
    let yaml = "- targets: [a.example, B.Example., c.example, a.example]\n  labels: {group: mail}\n";
    let plain = "a.example\nB.Example. # one\n\nc.example\na.example\n";
    for (format, text) in [(ListFormat::Json, json), (ListFormat::Yaml, yaml), (ListFormat::Plain, plain)] {
        let before = list(format, text).unwrap();
        let again = |text: &str| {
            read_list_again("test", format, text.as_bytes(), &ProbeSettings::default(), &before.domains).unwrap()
        };
        let same = again(text);
        assert!(same.domains.is_same(&before.domains), "{format:?}");
        assert_eq!((same.repeated, same.skipped), (before.repeated, before.skipped));
        let changes = [
            ("a.example", "new.example"),
            ("B.Example.", "c.example"),
            ("c.example", "not a name"),
            ("mail", "web"),
            ("example", "example.org"),
        ];
        for (from, to) in changes.into_iter().filter(|(from, _)| text.contains(from)) {
            let other = text.replacen(from, to, 1);
            let (fresh, other) = (list(format, &other).unwrap(), again(&other));
            assert!(!other.domains.is_same(&before.domains), "{format:?}: {from} is {to}");
            assert_eq!((said(&other), other.repeated, other.skipped), (said(&fresh), fresh.repeated, fresh.skipped));
            let shared = other.domains.named("c.example").zip(before.domains.named("c.example"));
            assert!(shared.is_none_or(|(one, other)| one.domain.as_str().as_ptr() == other.domain.as_str().as_ptr()));
        }
    }
}

#[test]
fn entries_are_those_of_the_configuration() {
    let yaml = "- a.example\n- {domain: b.example, group: own, interval: 5m}\n- domain: c.example\n  expect: {mode: enforce}\n";
    let json = r#"["a.example", {"domain": "b.example", "group": "own", "interval": "5m"},
                   {"domain": "c.example", "expect": {"mode": "enforce"}}]"#;
    for (format, text) in [(ListFormat::Yaml, yaml), (ListFormat::Json, json)] {
        let list = list(format, text).unwrap();
        assert_eq!(said(&list), ["a.example", "b.example group=own interval=300", "c.example"], "{format:?}");
        assert!(list.domains[2].options.expect.is_some());
    }
}

#[test]
fn a_plain_list_has_a_name_a_line() {
    let text = "\u{feff}a.example\r\n# comment\n\n  B\u{fc}cher.example  # with a comment\nc.example";
    let list = list(ListFormat::Plain, text).unwrap();
    assert_eq!(said(&list), ["a.example", "xn--bcher-kva.example", "c.example"]);
    assert_eq!(list.skipped, 0);
}

#[test]
fn one_bad_entry_loses_no_other() {
    let yaml = "- a.example\n- b..example\n- 7\n- {domain: c.example, interval: soon}\n- targets: [d.example, [x], user@e.example]\n- f.example\n- a.example\n";
    let list = list(ListFormat::Yaml, yaml).unwrap();
    let names = |list: &SourceList| list.domains.iter().map(|one| one.domain.to_string()).collect::<Vec<_>>().join(" ");
    assert_eq!(names(&list), "a.example d.example f.example");
    assert_eq!((list.skipped, list.repeated), (5, 1));
    let places: Vec<_> = list.told.iter().map(|one| one.location.map(|at| (at.line, at.column)).unwrap()).collect();
    assert_eq!(places, [(2, 3), (3, 3), (4, 33), (5, 24), (5, 29)]);

    let json = "[\"a.example\",\n  \"b..example\", 7, null, {\"domain\": \"c.example\", \"interval\": \"soon\"},\n {\"targets\": [\"d.example\", [1], \"user@e.example\"]}, \"f.example\"]";
    let list = super::forms::list(ListFormat::Json, json).unwrap();
    assert_eq!(names(&list), "a.example d.example f.example");
    assert_eq!(list.skipped, 6);
    let places: Vec<_> = list.told.iter().map(|one| one.location.map(|at| (at.line, at.column)).unwrap()).collect();
    // The value of a key is told at its colon's side, everything else where it begins; no more than five are told.
    assert_eq!(places[..3], [(2, 3), (2, 17), (2, 20)]);
    assert_eq!((places.len(), places[3].0, places[4]), (5, 2, (3, 28)));

    let text = format!("a.example\nb..example\n{}\nc.example # {}\nd.example\n", "x".repeat(5000), "y".repeat(5000));
    let list = super::forms::list(ListFormat::Plain, &text).unwrap();
    assert_eq!(said(&list)[..3], ["a.example", "c.example", "d.example"]);
    assert_eq!(said(&list)[3..].iter().map(|told| &told[..4]).collect::<Vec<_>>(), ["2:1 ", "3:1 "]);
}

#[test]
fn a_list_that_is_none_is_refused_whole() {
    use ListFormat::{Json, Plain, Yaml};
    let mut wrong = Vec::new();
    // A value of another kind is told at its end, a number one letter behind it: so far the library has read.
    for (format, text, why) in [
        (Json, "", "1:1 it is no list in JSON: EOF"),
        (Json, "{\"targets\": []}", "1:1 it is no list in JSON: invalid type: map, expected a list of target groups"),
        (Json, "[\"a.example\",]", "1:14 it is no list in JSON: trailing comma"),
        (Json, "[\"a.example\"] x", "1:15 it is no list in JSON: trailing characters"),
        (
            Json,
            "[\n{\"targets\": \"a.example\"}]",
            "2:23 it is no list in JSON: invalid type: string \"a.example\", expected a list of names",
        ),
        (
            Json,
            "[{\"targets\": [\"a.example\"], \"labels\": {\"group\": 1}}]",
            "1:50 it is no list in JSON: invalid type: integer",
        ),
        (
            Json,
            "[{\"targets\": [\"a.example\"], \"source\": \"x\"}]",
            "1:42 it is no list in JSON: a target group has no key \"source\"",
        ),
        (
            Json,
            "[{\"targets\": [\"a.example\"], \"targets\": []}]",
            "1:38 it is no list in JSON: `targets` is given twice",
        ),
        (Yaml, "targets: [a.example]\n", "1:1 found a map; a list of target groups"),
        (Yaml, "- targets: a.example\n", "1:12 found the text \"a.example\"; a list of names"),
        (Yaml, "- {targets: [a.example], source: x}\n", "1:26 a target group has no key \"source\""),
        (Yaml, "- targets: [a.example]\n  labels: {group: 1}\n", "2:19 found the number 1; a text as label"),
        (Yaml, "- [a", "1:"),
        (Plain, "[\"a.example\", \"b.example\"]\n", "1:1 none of the 1 entries can be used; the first: "),
        (Plain, "{\n}\n", "1:1 none of the 2 entries can be used"),
    ] {
        let error = list(format, text).map(|list| said(&list)).unwrap_err();
        if !error.starts_with(why) {
            wrong.push(format!("{text:?}: {error}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for (format, text) in
        [(Json, "[]"), (Json, "[{\"targets\": []}]"), (Yaml, ""), (Yaml, "[]\n"), (Plain, "# nobody\n")]
    {
        assert!(list(format, text).unwrap().domains.is_empty(), "an empty list is one: {text:?}");
    }
}

#[test]
fn what_is_far_too_large_ends_early() {
    let tree = format!("[{{\"domain\": \"a.example\", \"expect\": {{\"mx\": [{}1]}}}}]", "1,".repeat(20_000));
    assert!(list(ListFormat::Json, &tree).unwrap_err().contains("an entry is too large"));
    let deep = format!("[{{\"x\": {}{}}}]", "[".repeat(500), "]".repeat(500));
    assert!(list(ListFormat::Json, &deep).unwrap_err().contains("recursion limit"));
    let label = format!("[{{\"targets\": [], \"labels\": {{\"group\": \"{}\"}}}}]", "x".repeat(5000));
    assert!(list(ListFormat::Json, &label).unwrap_err().contains("too long labels"));
    // A text without an end is not read to its end.
    let text = "x".repeat(2 << 20);
    for list_of_one in
        [format!("[\n\"{text}"), format!("[{{\"targets\": [\"a.example\",\n \"{text}"), format!("[{{\n\"{text}")]
    {
        let wrong = list(ListFormat::Json, &list_of_one).unwrap_err();
        assert!(wrong.starts_with("2:10485") && wrong.ends_with("is longer than 1048576 bytes"), "{wrong}");
    }
    let many = format!("[{}\"z.example\"]", "\"a.example\",".repeat(200_000));
    assert_eq!(list(ListFormat::Json, &many).unwrap().domains.len(), 2, "a list may be long");
    let group = format!("[{{\"targets\": [\"a.example\"], \"labels\": {{\"group\": \"{}\"}}}}]", "x".repeat(201));
    let group = list(ListFormat::Json, &group).unwrap();
    assert_eq!((group.domains.len(), group.domains[0].options.group.as_deref()), (1, None));
    assert!(group.told[0].message.contains("is no group"));
}

#[test]
fn the_ending_says_the_form() {
    for (name, format) in [
        ("a.json", ListFormat::Json),
        ("a.JSON", ListFormat::Json),
        ("a.yml", ListFormat::Yaml),
        ("a.yaml", ListFormat::Yaml),
        ("a.txt", ListFormat::Plain),
        ("a.json.bak", ListFormat::Plain),
        ("a", ListFormat::Plain),
    ] {
        assert_eq!(ListFormat::of(Path::new(name)), format, "{name}");
    }
}

#[test]
fn an_interval_is_no_shorter_than_a_probe() {
    let probe = ProbeSettings { timeout: Duration::from_secs(600), ..ProbeSettings::default() };
    let text = r#"[{"domain": "a.example", "interval": "5m"}, "b.example"]"#;
    let list = read_list("test", ListFormat::Json, text.as_bytes(), &probe).unwrap();
    assert_eq!((list.domains.len(), list.skipped), (1, 1));
}

proptest! {
    /// The three forms of one list say the same.
    #[test]
    fn the_forms_agree(names in proptest::collection::vec("[a-c]{1,2}(\\.[a-c]{1,2}){0,2}\\.?|[a-z .@:]{1,6}", 0..30)) {
        let json = serde_json::to_string(&names).unwrap();
        let groups = serde_json::to_string(&serde_json::json!([{"targets": names}])).unwrap();
        let plain = names.join("\n");
        let all = [(ListFormat::Json, &json), (ListFormat::Json, &groups), (ListFormat::Yaml, &json), (ListFormat::Plain, &plain)];
        let read = all.map(|(format, text)| {
            // A blank line of a plain list is no entry.
            list(format, text).map(|list| list.domains.iter().map(|one| one.domain.to_string()).collect::<Vec<_>>()).ok()
        });
        let blank = names.iter().any(|name| name.trim().is_empty());
        prop_assert_eq!(&read[0], &read[1]);
        prop_assert_eq!(&read[0], &read[2]);
        if !blank {
            prop_assert_eq!(&read[0], &read[3]);
        }
    }
}
