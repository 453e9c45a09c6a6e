//! The body of a policy (RFC 8461 §3.2).

use std::collections::BTreeMap;

use smtptls_exporter::protocol::mta_sts::{Mode, Policy, line_and_column, read_policy};

use super::{check_problems, check_stored, check_verdict, is_extension_name};

/// The body as it was served.
pub fn policy(body: &[u8]) {
    let reading = read_policy(body);
    check_problems(body.len(), &reading.problems);
    check_verdict(reading.usable(), reading.valid(), &reading.problems);
    for problem in &reading.problems {
        let (line, column) = line_and_column(body, problem.span.start);
        assert!((1..=body.len() + 1).contains(&line) && (1..=body.len() + 1).contains(&column));
    }
    assert_eq!(reading.valid(), fits_the_grammar(body), "{:?}", reading.problems);

    let Some(policy) = &reading.value else { return };
    assert!(policy.mode == Mode::None || !policy.mx.is_empty());
    assert!(policy.max_age.0 <= 9_999_999_999, "ten digits");
    check_stored(policy);
    let printed = printed(policy);
    let again = read_policy(printed.as_bytes());
    assert_eq!(again.value.as_ref(), Some(policy), "{printed}");
    // Only what the patterns themselves have against them is left.
    assert!(again.problems.iter().all(|problem| matches!(problem.rule.0, "POL-17" | "POL-19")), "{again:?}");
}

fn printed(policy: &Policy) -> String {
    let mx: String = policy.mx.iter().map(|pattern| format!("mx: {pattern}\r\n")).collect();
    format!("version: STSv1\r\nmode: {}\r\nmax_age: {}\r\n{mx}", policy.mode, policy.max_age)
}

/// `sts-policy-record`, with blanks behind a field as its erratum has them, nothing but `mx` twice, and names that fit DNS.
fn fits_the_grammar(body: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(body) else { return false };
    // Where a mixture is allowed, a CR that no LF follows stays in its line, and is a control character there.
    let text = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
    let mut fields: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let lines: Vec<&str> = text.split('\n').collect();
    for (index, line) in lines.iter().enumerate() {
        let line = if index + 1 < lines.len() { line.strip_suffix('\r').unwrap_or(line) } else { line };
        let Some((key, value)) = line.split_once(':') else { return false };
        let value = value.trim_matches([' ', '\t']);
        if !is_extension_name(key.as_bytes()) || value.is_empty() || value.bytes().any(|byte| byte.is_ascii_control()) {
            return false;
        }
        fields.entry(key).or_default().push(value);
    }
    let mx = fields.remove("mx").unwrap_or_default();
    let mut once = |key| fields.remove(key).filter(|values| values.len() == 1).map(|values| values[0]);
    let (version, mode, max_age) = (once("version"), once("mode"), once("max_age"));
    let version_fits = version == Some("STSv1");
    let mode_fits = matches!(mode, Some("enforce" | "testing" | "none"));
    let age_fits = max_age.is_some_and(|age| age.len() <= 10 && age.bytes().all(|byte| byte.is_ascii_digit()));
    let mx_fits = mx.iter().all(|pattern| is_domain(pattern.strip_prefix("*.").unwrap_or(pattern)));
    version_fits && mode_fits && age_fits && mx_fits && (mode == Some("none") || !mx.is_empty())
}

/// `Domain` of RFC 5321 §4.1.2 within the limits of RFC 1035 §2.3.4.
fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(is_label)
}
