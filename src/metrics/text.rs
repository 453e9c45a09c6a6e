//! The two text formats that Prometheus reads. Their samples are the same, their headers are not.

use super::registry::Kind;
use crate::terms::Timestamp;

/// A text format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// The text format of Prometheus, version 0.0.4.
    #[default]
    Prometheus,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// The media type.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// What stands at the end. OpenMetrics has an end, so that a text that was cut is not taken for a whole one.
    pub(super) const fn end(self) -> &'static [u8] {
        match self {
            Self::Prometheus => b"",
            Self::OpenMetrics => b"# EOF\n",
        }
    }
}

/// The value of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    /// Written without a fraction.
    Integer(i64),
    /// Written in the shortest form that reads back the same.
    Float(f64),
}

impl Value {
    /// A point in time, as seconds since 1970.
    pub(super) fn at(time: Timestamp) -> Self {
        let milliseconds = time.unix_milliseconds();
        if milliseconds % 1000 == 0 {
            Self::Integer(milliseconds / 1000)
        } else {
            #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit into 53 bits")]
            Self::Float(milliseconds as f64 / 1000.0)
        }
    }
}

impl Value {
    /// As a float, to compare.
    #[expect(clippy::cast_precision_loss, reason = "two numbers that are told apart no more are about as bad")]
    pub(super) const fn number(self) -> f64 {
        match self {
            Self::Integer(integer) => integer as f64,
            Self::Float(float) => float,
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Integer(i64::from(value))
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self::Integer(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Integer(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Integer(i64::from(value))
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<std::time::Duration> for Value {
    fn from(value: std::time::Duration) -> Self {
        Self::Float(value.as_secs_f64())
    }
}

/// Writes the lines before the samples of a family. In OpenMetrics a counter is named without `_total`, which its samples have,
/// and a name that ends in a unit says so.
pub(super) fn header(out: &mut Vec<u8>, format: Format, name: &str, help: &str, kind: Kind) {
    let name = match format {
        Format::OpenMetrics if kind == Kind::Counter => name.strip_suffix("_total").unwrap_or(name),
        _ => name,
    };
    let mut line = |keyword: &str, text: &dyn Fn(&mut Vec<u8>)| {
        out.extend_from_slice(keyword.as_bytes());
        out.extend_from_slice(name.as_bytes());
        out.push(b' ');
        text(out);
        out.push(b'\n');
    };
    line("# HELP ", &|out| escaped(out, help, format == Format::OpenMetrics));
    line("# TYPE ", &|out| out.extend_from_slice(kind.as_str().as_bytes()));
    if let (Format::OpenMetrics, Some(unit)) = (format, UNITS.into_iter().find(|unit| ends_in(name, unit))) {
        line("# UNIT ", &|out| out.extend_from_slice(unit.as_bytes()));
    }
}

/// The base units that names here end in.
const UNITS: [&str; 2] = ["seconds", "bytes"];

fn ends_in(name: &str, unit: &str) -> bool {
    name.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_'))
}

/// Writes what stands before the name of the subject in each of its samples.
pub(super) fn before_subject(out: &mut Vec<u8>, name: &str, label: &str) {
    out.extend_from_slice(name.as_bytes());
    out.push(b'{');
    out.extend_from_slice(label.as_bytes());
    out.extend_from_slice(b"=\"");
}

/// Writes what stands after the name of the subject: the other labels and the value.
pub(super) fn after_subject<'a>(out: &mut Vec<u8>, labels: impl Iterator<Item = (&'a str, &'a str)>, value: Value) {
    out.push(b'"');
    for (label, value) in labels {
        out.push(b',');
        out.extend_from_slice(label.as_bytes());
        out.extend_from_slice(b"=\"");
        escaped(out, value, true);
        out.push(b'"');
    }
    out.extend_from_slice(b"} ");
    number(out, value);
    out.push(b'\n');
}

/// Writes the value of a label, without its quotes.
pub(super) fn label_value(out: &mut Vec<u8>, value: &str) {
    escaped(out, value, true);
}

/// Writes one sample.
pub(super) fn sample<'a>(
    out: &mut Vec<u8>,
    name: &str,
    suffix: &str,
    labels: impl Iterator<Item = (&'a str, &'a str)>,
    value: Value,
) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(suffix.as_bytes());
    let mut before = b'{';
    for (label, value) in labels {
        out.push(before);
        before = b',';
        out.extend_from_slice(label.as_bytes());
        out.extend_from_slice(b"=\"");
        escaped(out, value, true);
        out.push(b'"');
    }
    if before == b',' {
        out.push(b'}');
    }
    out.push(b' ');
    number(out, value);
    out.push(b'\n');
}

fn number(out: &mut Vec<u8>, value: Value) {
    match value {
        Value::Integer(integer) => out.extend_from_slice(itoa::Buffer::new().format(integer).as_bytes()),
        Value::Float(float) => out.extend_from_slice(float_text(float).as_bytes()),
    }
}

/// The text of a float, as the format wants it.
pub(super) fn float_text(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else {
        value.to_string()
    }
}

/// A label value escapes backslash, quote and newline, and so does a help text of OpenMetrics; that of Prometheus leaves quotes.
fn escaped(out: &mut Vec<u8>, text: &str, quoted: bool) {
    if !text.bytes().any(|byte| matches!(byte, b'\\' | b'"' | b'\n')) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    for byte in text.bytes() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'"' if quoted => out.extend_from_slice(b"\\\""),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn written(labels: &[(&str, &str)], value: impl Into<Value>) -> String {
        let mut out = Vec::new();
        sample(&mut out, "x", "", labels.iter().copied(), value.into());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn hostile_label_text_stays_inside_its_quotes() {
        assert_eq!(written(&[("a", "q\" b\\ n\n}é")], true), "x{a=\"q\\\" b\\\\ n\\n}é\"} 1\n");
        let mut out = Vec::new();
        header(&mut out, Format::Prometheus, "x", "a \"b\" \\ c\nd", Kind::Gauge);
        assert_eq!(String::from_utf8(out).unwrap(), "# HELP x a \"b\" \\\\ c\\nd\n# TYPE x gauge\n");
    }

    /// OpenMetrics 1.0, "Metric Family Name", "Unit", "Counter", and the grammar of `escaped-string`.
    #[test]
    fn openmetrics_names_counters_by_their_family_and_tells_units() {
        let written = |name, kind| {
            let mut out = Vec::new();
            header(&mut out, Format::OpenMetrics, name, "The \"x\".", kind);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(written("a_total", Kind::Counter), "# HELP a The \\\"x\\\".\n# TYPE a counter\n");
        let expected = "# HELP a_seconds The \\\"x\\\".\n# TYPE a_seconds counter\n# UNIT a_seconds seconds\n";
        assert_eq!(written("a_seconds_total", Kind::Counter), expected);
        assert!(written("a_bytes", Kind::Gauge).ends_with("# UNIT a_bytes bytes\n"));
        assert!(!written("milliseconds", Kind::Gauge).contains("UNIT"), "the unit is a word of its own");
        assert!(!written("a_info", Kind::Gauge).contains("UNIT"));
    }

    #[test]
    fn a_sample_is_what_stands_before_its_subject_the_subject_and_what_stands_after() {
        let (mut whole, mut parts) = (Vec::new(), Vec::new());
        let labels = [("domain", "a\"b"), ("mx", "c\\d")];
        sample(&mut whole, "x", "", labels.into_iter(), Value::from(true));
        before_subject(&mut parts, "x", "domain");
        label_value(&mut parts, "a\"b");
        after_subject(&mut parts, labels.into_iter().skip(1), Value::from(true));
        assert_eq!(String::from_utf8(parts).unwrap(), String::from_utf8(whole).unwrap());
    }

    #[test]
    fn numbers_are_what_prometheus_reads() {
        assert_eq!(written(&[], 604_800_u64), "x 604800\n");
        assert_eq!(written(&[("a", ""), ("b", "c")], Duration::from_millis(50)), "x{a=\"\",b=\"c\"} 0.05\n");
        assert_eq!(written(&[], Value::at(Timestamp::from_unix_seconds(1_795_464_000))), "x 1795464000\n");
        let late = Timestamp::from_unix_seconds(1_795_464_000) + Duration::from_millis(123);
        assert_eq!(written(&[], Value::at(late)), "x 1795464000.123\n");
        assert_eq!(written(&[], f64::INFINITY), "x +Inf\n");
        assert_eq!(written(&[], f64::NEG_INFINITY), "x -Inf\n");
        assert_eq!(written(&[], f64::NAN), "x NaN\n");
    }

    proptest::proptest! {
        #[test]
        fn any_label_value_reads_back(text in ".*") {
            let line = written(&[("a", &text)], 1_u64);
            let inner = line.strip_prefix("x{a=\"").and_then(|rest| rest.strip_suffix("\"} 1\n")).unwrap();
            proptest::prop_assert!(!inner.contains('\n'));
            let mut read = String::new();
            let mut characters = inner.chars();
            while let Some(character) = characters.next() {
                read.push(match character {
                    '\\' => match characters.next().unwrap() { 'n' => '\n', other => other },
                    other => { proptest::prop_assert_ne!(other, '"'); other }
                });
            }
            proptest::prop_assert_eq!(read, text);
        }
    }
}
