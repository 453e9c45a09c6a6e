//! The TXT record at `_mta-sts.<domain>` (RFC 8461 §3.1).

use std::collections::HashSet;

use serde::Serialize;

use crate::{
    protocol::{
        problems::{Problems, is_blank, is_misspelling, quoted},
        txt::{Dialect, Field, RecordReading, extension_fault, read_fields},
    },
    terms::{Octets, PolicyId, Span},
};

const DIALECT: Dialect = Dialect {
    name: "MTA-STS",
    version: "v=STSv1",
    version_rule: "REC-05",
    blank_before_delimiter: "REC-06",
    delimiter: "REC-07",
    joined: "REC-03",
    blank_around_equals: "REC-08",
    empty_field: "REC-11",
};

/// What the record says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StsRecord {
    /// Names the policy instance: senders fetch the policy again when it changes.
    pub id: PolicyId,
    /// Fields that the standard does not know, in the order of the record; of a repeated one the first.
    pub extensions: Vec<(String, String)>,
}

/// Chooses among the TXT records of the name, each a list of strings, and reads the one that counts (RFC 8461 §3.1).
pub fn read_sts_records(records: &[Vec<Octets>]) -> RecordReading<StsRecord> {
    RecordReading::of(records, &DIALECT, read_record)
}

fn read_record(text: &[u8], seams: &[usize], problems: &mut Problems) -> Option<StsRecord> {
    report_non_ascii(text, problems);
    let fields = read_fields(text, seams, &DIALECT, problems)?;
    let mut seen: HashSet<&[u8]> = HashSet::from([b"v".as_slice()]);
    let mut id = None;
    let mut extensions = Vec::new();
    for field in &fields {
        match field.value {
            Some(value) if field.name == b"id" && seen.insert(field.name) => id = read_id(value, field, problems),
            _ => read_extension(field, &mut seen, &mut extensions, problems),
        }
    }
    if !seen.contains(b"id".as_slice()) {
        report_missing_id(text, &fields, problems);
    }
    Some(StsRecord { id: id?, extensions })
}

/// RFC 8461 §3.1: the record is ASCII.
fn report_non_ascii(text: &[u8], problems: &mut Problems) {
    let Some(start) = text.iter().position(|byte| !byte.is_ascii()) else { return };
    let rest = text.get(start..).unwrap_or_default();
    let length = rest.iter().take_while(|byte| !byte.is_ascii()).count();
    let seen = quoted(rest.get(..length).unwrap_or_default());
    problems.invalid(
        "REC-14",
        Span::new(start, start + length),
        format!("{seen} is no ASCII; only ASCII was expected"),
    );
}

fn read_id(value: &[u8], field: &Field<'_>, problems: &mut Problems) -> Option<PolicyId> {
    let id = std::str::from_utf8(value).ok().and_then(PolicyId::parse);
    if id.is_some() {
        return id;
    }
    let expected = "1 to 32 letters and digits were expected";
    let head = value.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let tail = value.get(head..).unwrap_or_default();
    let fault = tail.first();
    // `id=1 foo=bar` and `id=1, foo=bar` have a good id and a bad delimiter.
    if fault.is_some_and(|byte| is_blank(byte) || matches!(byte, b',' | b'\\')) && tail.contains(&b'=') {
        let message = format!("{} stands behind the id; \";\" was expected", quoted(tail));
        problems.invalid("REC-07", Span::new(field.value_span.start + head, field.value_span.end), message);
        return None;
    }
    let message = match fault {
        None if value.is_empty() => format!("the id is empty; {expected}"),
        None => format!("the id is {} characters long; {expected}", value.len()),
        Some(byte) => format!("the id {} holds {}; {expected}", quoted(value), quoted(std::slice::from_ref(byte))),
    };
    let span = if value.is_empty() { field.span } else { field.value_span };
    problems.invalid("REC-09", span, message);
    None
}

fn read_extension<'a>(
    field: &Field<'a>,
    seen: &mut HashSet<&'a [u8]>,
    extensions: &mut Vec<(String, String)>,
    problems: &mut Problems,
) {
    if let Some((span, message)) = extension_fault(field) {
        // What is no ASCII was reported once for the whole record.
        if field.name.is_ascii() && field.value.is_none_or(<[u8]>::is_ascii) {
            problems.invalid("REC-10", span, message);
        }
        return;
    }
    if field.name == b"id" || !seen.insert(field.name) {
        let message =
            format!("the field {} stands there again; senders use the first one or reject both", quoted(field.name));
        problems.lenient("REC-13", field.span, message);
        return;
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    extensions.push((text(field.name), text(field.value.unwrap_or_default())));
    let message = format!("the field {} is unknown; senders ignore it", quoted(field.name));
    problems.note("REC-10", field.span, message);
}

fn report_missing_id(text: &[u8], fields: &[Field<'_>], problems: &mut Problems) {
    let nearly = fields.iter().find(|field| field.value.is_some() && is_misspelling(field.name, "id"));
    match nearly {
        Some(field) => {
            let message = format!("{} is another field; \"id\" in lower case was expected", quoted(field.name));
            problems.invalid("REC-09", field.name_span, message);
        }
        None => {
            let end = Span::new(text.len(), text.len());
            problems.invalid("REC-09", end, "there is no id; for example \"id=20261123T2154\" was expected");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::txt::RecordPresence;
    use crate::terms::Reading;

    fn read(records: &[&str]) -> RecordReading<StsRecord> {
        let records: Vec<Vec<Octets>> = records.iter().map(|text| vec![Octets::from(*text)]).collect();
        read_sts_records(&records)
    }

    /// Rule and place of the only problem.
    fn only_problem(record: &str) -> (&'static str, &str) {
        let reading = read(&[record]);
        assert_eq!(reading.problems.len(), 1, "{reading:?}");
        let problem = &reading.problems[0];
        (problem.rule.0, &record[problem.span.start..problem.span.end])
    }

    #[test]
    fn one_mistake_is_one_problem_at_its_place() {
        for (record, rule, place) in [
            ("v=STSv1; id=2026-11-23", "REC-09", "2026-11-23"),
            ("v=STSv1; id=", "REC-09", "id="),
            ("v=STSv1", "REC-09", ""),
            ("v=STSv1 id=1", "REC-07", " id=1"),
            ("v=STSv1, id=1", "REC-07", ","),
            ("v=STSv1; id=1, a=b", "REC-07", ", a=b"),
            ("v=STSv1; id = 1", "REC-08", "id = 1"),
            ("v=STSv1; id=1; a=b=c", "REC-10", "b=c"),
            ("v=STSv1; id=1; ;", "REC-11", "; ;"),
            ("v=STSv1; id=1; v=STSv1", "REC-13", "v=STSv1"),
            ("v=STSv1; id=1; caf\u{e9}=x", "REC-14", "\u{e9}"),
            (" v=STSv1; id=1", "REC-05", " "),
            ("v=STSv2; id=1", "REC-05", "v=STSv2"),
            ("v=TLSRPTv1; rua=mailto:a@example.com", "REC-05", "v=TLSRPTv1"),
        ] {
            assert_eq!(only_problem(record), (rule, place), "{record}");
        }
    }

    #[test]
    fn an_id_in_upper_case_is_shown_where_it_stands() {
        let record = "v=STSv1; ID=1";
        let problems = read(&[record]).problems;
        let missing = problems.iter().find(|problem| problem.rule.0 == "REC-09").unwrap();
        assert_eq!(&record[missing.span.start..missing.span.end], "ID");
    }

    #[test]
    fn a_lone_record_is_ours_unless_it_is_plainly_something_else() {
        for text in
            ["v=spf1 -all", "V=SPF1 -all", " v = DMARC1; p=none", "\"v=DKIM1; p=\"", "v=BIMI1; l=", "x", "", "google=1"]
        {
            let reading = read(&[text]);
            assert_eq!((reading.presence, reading.unrelated), (RecordPresence::Absent, 1), "{text}");
            assert!(reading.text.is_none() && reading.problems.is_empty());
        }
        for text in ["v=STSv2;id=1", "\"v=STSv1; id=1\"", " V = stsv1", "v="] {
            let reading = read(&[text]);
            assert_eq!((reading.presence, reading.worst()), (RecordPresence::One, Some(Reading::Invalid)), "{text}");
        }
    }

    #[test]
    fn of_several_the_prefix_chooses() {
        let reading = read(&["v=spf1 -all", "v=STSv1; id=1", "google=1"]);
        assert_eq!((reading.presence, reading.unrelated, reading.valid()), (RecordPresence::One, 2, true));
        let reading = read(&["v=STSv1 ; id=1", "v=STSv1"]);
        assert_eq!((reading.presence, reading.unrelated), (RecordPresence::Absent, 2));
        let reading = read(&["v=STSv1;", "v=STSv1;", "v=STSv1; id=1", "x"]);
        assert_eq!((reading.presence, reading.unrelated), (RecordPresence::Multiple(3), 1));
        assert!(!reading.usable());
    }

    #[test]
    fn a_delimiter_lost_between_two_strings_is_said() {
        let reading = read_sts_records(&[vec![Octets::from("v=STSv1"), Octets::from("id=1")]]);
        assert_eq!(reading.text, Some(Octets::from("v=STSv1id=1")));
        assert!(reading.problems[0].message.contains("the strings of the record join to"), "{reading:?}");
    }

    fn nearly_a_record() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            prop::sample::select(vec![
                "v=STSv1", "v=STSv1;", "id", "=", ";", " ", "\t", "a", "20261123", "_", "\"", ",", "\\", "v"
            ])
            .prop_map(|piece| piece.as_bytes().to_vec()),
            prop::collection::vec(any::<u8>(), 0..3),
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn any_records_are_read(records in prop::collection::vec(prop::collection::vec(nearly_a_record(), 0..3), 0..4)) {
            let records: Vec<Vec<Octets>> =
                records.into_iter().map(|strings| strings.into_iter().map(Octets).collect()).collect();
            let reading = read_sts_records(&records);
            let length = reading.text.as_ref().map_or(0, |text| text.as_bytes().len());
            for problem in &reading.problems {
                prop_assert!(problem.span.start <= problem.span.end && problem.span.end <= length, "{problem:?}");
                prop_assert!(problem.message.chars().all(|c| !c.is_control()), "{problem:?}");
            }
            prop_assert_eq!(reading.text.is_some(), reading.presence == RecordPresence::One);
            let judged = reading.presence == RecordPresence::One;
            prop_assert_eq!(reading.usable(), judged && reading.worst() != Some(Reading::Invalid));
        }

        #[test]
        fn what_follows_the_grammar_is_read_back(
            id in "[A-Za-z0-9]{1,32}",
            name in "[A-Za-z0-9][A-Za-z0-9_.-]{20,31}",
            value in "[!-:<>-~]{1,30}",
            delimiter in prop::sample::select(vec![";", "; ", " ;", " \t;\t "]),
            ends in any::<bool>(),
        ) {
            let record = format!("v=STSv1;id={id}{delimiter}{name}={value}{}", if ends { delimiter } else { "" });
            let reading = read(&[&record]);
            prop_assert!(reading.valid(), "{reading:?}");
            let expected = StsRecord { id: PolicyId::parse(&id).unwrap(), extensions: vec![(name, value)] };
            prop_assert_eq!(reading.value, Some(expected));
        }
    }
}
