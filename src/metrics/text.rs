//! The text format of Prometheus, version 0.0.4.

use crate::terms::Timestamp;

/// The media type of the format.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

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

/// Writes the lines `# HELP` and `# TYPE`.
pub(super) fn header(out: &mut Vec<u8>, name: &str, help: &str, kind: &str) {
    out.extend_from_slice(b"# HELP ");
    out.extend_from_slice(name.as_bytes());
    out.push(b' ');
    escaped(out, help, false);
    out.extend_from_slice(b"\n# TYPE ");
    out.extend_from_slice(name.as_bytes());
    out.push(b' ');
    out.extend_from_slice(kind.as_bytes());
    out.push(b'\n');
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

/// A label value escapes backslash, quote and newline, a help text backslash and newline.
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
        header(&mut out, "x", "a \"b\" \\ c\nd", "gauge");
        assert_eq!(String::from_utf8(out).unwrap(), "# HELP x a \"b\" \\\\ c\\nd\n# TYPE x gauge\n");
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
