//! The TXT record at `_smtp._tls.<domain>` (RFC 8460 §3).

use std::collections::HashSet;

use serde::Serialize;

use super::{Destination, destination::Fault};
use crate::{
    protocol::{
        problems::{Problems, is_misspelling, quoted, slice, trimmed},
        txt::{Dialect, Field, RecordReading, extension_fault, read_fields},
    },
    terms::{Octets, Reading, Span},
};

const DIALECT: Dialect = Dialect {
    name: "TLSRPT",
    version: "v=TLSRPTv1",
    version_rule: "RPT-03",
    blank_before_delimiter: "RPT-03",
    delimiter: "RPT-03",
    joined: "RPT-03",
    blank_around_equals: "RPT-03",
    empty_field: "RPT-03",
};

/// What the record says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TlsRptRecord {
    /// The places that senders may report to, in the order of the record; never empty. Of a repeated `rua` all are here:
    /// RFC 8460 does not say which one counts.
    pub rua: Vec<Destination>,
    /// Fields that the standard does not know, in the order of the record; of a repeated one the first.
    pub extensions: Vec<(String, String)>,
}

/// Chooses among the TXT records of the name, each a list of strings, and reads the one that counts (RFC 8460 §3).
pub fn read_tlsrpt_records(records: &[Vec<Octets>]) -> RecordReading<TlsRptRecord> {
    RecordReading::of(records, &DIALECT, read_record)
}

fn read_record(text: &[u8], seams: &[usize], problems: &mut Problems) -> Option<TlsRptRecord> {
    let fields = read_fields(text, seams, &DIALECT, problems)?;
    let mut seen: HashSet<&[u8]> = HashSet::from([b"v".as_slice()]);
    let mut record = TlsRptRecord { rua: Vec::new(), extensions: Vec::new() };
    let mut unusable = Vec::new();
    for field in &fields {
        if field.name == b"rua" && field.value.is_some() {
            if !seen.insert(field.name) {
                let message = "rua stands there again; senders use the first, the last or all of them";
                problems.lenient("RPT-09", field.span, message);
            }
            read_rua(text, field, &mut record.rua, &mut unusable, problems);
        } else {
            read_extension(field, &mut seen, &mut record.extensions, problems);
        }
    }
    if !seen.contains(b"rua".as_slice()) {
        report_missing_rua(text, &fields, problems);
    }
    // One place that nobody can report to does no harm beside another; alone it makes the record useless.
    let reading = if record.rua.is_empty() { Reading::Invalid } else { Reading::Lenient };
    for (span, message) in unusable {
        problems.push("RPT-05", reading, span, message);
    }
    Some(record)
}

fn read_rua(
    text: &[u8],
    field: &Field<'_>,
    rua: &mut Vec<Destination>,
    unusable: &mut Vec<(Span, String)>,
    problems: &mut Problems,
) {
    let value = field.value_span;
    if value.start == value.end {
        problems.invalid("RPT-05", field.span, "rua is empty; a mailto or https URI was expected");
        return;
    }
    let mut start = value.start;
    for item in slice(text, value).split(|byte| *byte == b',') {
        let whole = Span::new(start, start + item.len());
        start = whole.end + 1;
        let span = trimmed(text, whole);
        match Destination::read(slice(text, span)) {
            Ok(destination) => {
                if !destination.uri.starts_with(destination.scheme.as_str()) {
                    let message =
                        format!("{} is not in lower case, which some senders expect", quoted(slice(text, span)));
                    problems.lenient("RPT-05", span, message);
                }
                rua.push(destination);
            }
            Err(Fault::Unusable(message)) => unusable.push((span, message)),
            Err(Fault::Grammar(rule, message)) => {
                // An empty item is seen by the comma beside it.
                let span = if span.start == span.end { whole_with_comma(whole, value) } else { span };
                problems.invalid(rule, span, message);
            }
        }
    }
}

fn whole_with_comma(item: Span, list: Span) -> Span {
    if item.end < list.end {
        Span::new(item.start, item.end + 1)
    } else {
        Span::new(item.start.saturating_sub(1), item.end)
    }
}

fn read_extension<'a>(
    field: &Field<'a>,
    seen: &mut HashSet<&'a [u8]>,
    extensions: &mut Vec<(String, String)>,
    problems: &mut Problems,
) {
    let is_destination =
        field.value.is_none() && (field.name.starts_with(b"mailto:") || field.name.starts_with(b"https:"));
    if is_destination {
        let message = format!("{} stands behind \";\"; destinations are separated by \",\"", quoted(field.name));
        problems.invalid("RPT-06", field.span, message);
    } else if let Some((span, message)) = extension_fault(field) {
        problems.invalid("RPT-03", span, message);
    } else if seen.insert(field.name) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        extensions.push((text(field.name), text(field.value.unwrap_or_default())));
        let message = format!("the field {} is unknown; senders ignore it", quoted(field.name));
        problems.note("RPT-10", field.span, message);
    } else {
        let message =
            format!("the field {} stands there again; senders use the first one or reject both", quoted(field.name));
        problems.lenient("RPT-03", field.span, message);
    }
}

fn report_missing_rua(text: &[u8], fields: &[Field<'_>], problems: &mut Problems) {
    let nearly = fields.iter().find(|field| field.value.is_some() && is_misspelling(field.name, "rua"));
    match nearly {
        Some(field) => {
            let message = format!("{} is another field; \"rua\" in lower case was expected", quoted(field.name));
            problems.invalid("RPT-04", field.name_span, message);
        }
        None => {
            let end = Span::new(text.len(), text.len());
            problems.invalid(
                "RPT-04",
                end,
                "there is no rua; for example \"rua=mailto:tls-reports@example.com\" was expected",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(record: &str) -> RecordReading<TlsRptRecord> {
        read_tlsrpt_records(&[vec![Octets::from(record)]])
    }

    #[test]
    fn one_mistake_is_one_problem_at_its_place() {
        for (record, rule, reading, place) in [
            ("v=TLSRPTv1; rua=a@example.com", "RPT-05", Reading::Invalid, "a@example.com"),
            ("v=TLSRPTv1; rua=ftp://x.example/", "RPT-05", Reading::Invalid, "ftp://x.example/"),
            ("v=TLSRPTv1; rua=mailto:,https://x.example/", "RPT-05", Reading::Lenient, "mailto:"),
            ("v=TLSRPTv1; rua=https://x.example/ ,, mailto:a@example.com", "RPT-06", Reading::Invalid, ","),
            ("v=TLSRPTv1; rua=mailto:a@example.com,", "RPT-06", Reading::Invalid, ","),
            (
                "v=TLSRPTv1; rua=mailto:a@x.example mailto:b@x.example",
                "RPT-06",
                Reading::Invalid,
                "mailto:a@x.example mailto:b@x.example",
            ),
            ("v=TLSRPTv1; rua=Mailto:a@example.com", "RPT-05", Reading::Lenient, "Mailto:a@example.com"),
            ("v=TLSRPTv1", "RPT-04", Reading::Invalid, ""),
            ("v=STSv1; id=1", "RPT-03", Reading::Invalid, "v=STSv1"),
        ] {
            let problems = read(record).problems;
            assert_eq!(problems.len(), 1, "{problems:?}");
            let span = problems[0].span;
            let found = (problems[0].rule.0, problems[0].reading, &record[span.start..span.end]);
            assert_eq!(found, (rule, reading, place), "{}", problems[0].message);
        }
    }

    #[test]
    fn an_equals_sign_in_a_uri_is_part_of_it() {
        let reading = read("v=TLSRPTv1; rua=https://r.example.com/?a=b , mailto:a@example.com;");
        assert!(reading.valid(), "{reading:?}");
        let uris: Vec<String> = reading.value.unwrap().rua.iter().map(ToString::to_string).collect();
        assert_eq!(uris, ["https://r.example.com/?a=b", "mailto:a@example.com"]);
    }

    fn nearly_a_record() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            prop::sample::select(vec![
                "v=TLSRPTv1;",
                "rua=",
                "mailto:",
                "a@example.com",
                "https://",
                ",",
                ";",
                " ",
                "=",
                "%",
                "!",
                "x"
            ])
            .prop_map(|piece| piece.as_bytes().to_vec()),
            prop::collection::vec(any::<u8>(), 0..3),
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn any_record_is_read(tail in nearly_a_record()) {
            let record = Octets([b"v=TLSRPTv1;".as_slice(), &tail].concat());
            let reading = read_tlsrpt_records(&[vec![record.clone()]]);
            for problem in &reading.problems {
                let span = problem.span;
                prop_assert!(span.start <= span.end && span.end <= record.as_bytes().len(), "{problem:?}");
                prop_assert!(problem.message.chars().all(|c| !c.is_control()), "{problem:?}");
            }
            prop_assert_eq!(reading.usable(), reading.worst() != Some(Reading::Invalid));
            prop_assert!(reading.value.is_none_or(|record| !record.rua.is_empty()));
        }
    }
}
