//! What `policy check` says: each remark with its line and a caret below it, as compilers do, and the verdict last.

use serde::Serialize;

use super::{Look, json, rules::clause, text::is_dangerous, words};
use crate::{
    config::{Diagnostic, DiagnosticSeverity, Location},
    protocol::mta_sts::line_and_column,
    terms::Span,
    verdict::{
        Severity,
        suggest::{PolicyLint, Remark},
    },
};

/// All remarks on the policy in `file`, and whether senders use it.
pub fn report(file: &str, body: &[u8], lint: &PolicyLint, look: Look) -> String {
    let mut text = String::new();
    for remark in &lint.remarks {
        text.push_str(&diagnostic(file, body, remark, look).render(look.colour));
        text.push_str("\n\n");
    }
    text.push_str(&verdict(file, lint, look));
    text.push('\n');
    text
}

/// The same for programs.
///
/// # Errors
/// Only where memory is short: every value can be written.
pub fn to_json(file: &str, body: &[u8], lint: &PolicyLint) -> serde_json::Result<String> {
    let policy = lint.reading.value.as_ref().map(|policy| PolicyView {
        mode: policy.mode.as_str(),
        max_age: policy.max_age.0,
        mx: policy.mx.iter().map(ToString::to_string).collect(),
    });
    json::to_text(&LintView {
        file,
        usable: lint.usable(),
        valid: lint.usable() && lint.reading.valid(),
        policy,
        problems: lint.remarks.iter().map(|remark| remark_view(body, remark)).collect(),
        uncovered: lint.uncovered.iter().map(ToString::to_string).collect(),
    })
}

#[derive(Debug, Serialize)]
struct LintView<'a> {
    file: &'a str,
    /// Senders use it.
    usable: bool,
    /// … and every one of them does.
    valid: bool,
    /// `null` where it is not usable.
    policy: Option<PolicyView>,
    problems: Vec<RemarkView<'a>>,
    /// The hosts of `--mx` that no pattern matches.
    uncovered: Vec<String>,
}

#[derive(Debug, Serialize)]
struct PolicyView {
    mode: &'static str,
    max_age: u64,
    mx: Vec<String>,
}

#[derive(Debug, Serialize)]
struct RemarkView<'a> {
    severity: Severity,
    rule: &'static str,
    /// The clause of the rule; `null` where it comes from practice.
    clause: Option<&'static str>,
    /// From 1, counted by line feeds.
    line: usize,
    /// From 1, in characters.
    column: usize,
    /// Bytes of the file.
    span: Span,
    message: &'a str,
    hint: Option<&'a str>,
}

fn remark_view<'a>(body: &[u8], remark: &'a Remark) -> RemarkView<'a> {
    let (line, column) = line_and_column(body, remark.span.start);
    RemarkView {
        severity: remark.severity,
        rule: remark.rule.0,
        clause: clause(remark.rule.0),
        line,
        column,
        span: remark.span,
        message: &remark.message,
        hint: remark.hint.as_deref(),
    }
}

fn diagnostic(file: &str, body: &[u8], remark: &Remark, look: Look) -> Diagnostic {
    let severity = match remark.severity {
        Severity::Error => DiagnosticSeverity::Error,
        Severity::Warning => DiagnosticSeverity::Warning,
        Severity::Info => DiagnosticSeverity::Note,
    };
    let (line, column) = line_and_column(body, remark.span.start);
    let (before, marked, after) = line_around(body, remark.span);
    let [before, marked, after] = [before, marked, after].map(|part| visible(part, look.unicode));
    let shown = format!("{before}{marked}{after}");
    let place = before.len()..before.len() + marked.len();
    Diagnostic::in_line(severity, file, Location { line, column }, &shown, place, &remark.message)
        .by_rule(remark.rule.0)
        .hinting(remark.hint.clone())
}

/// The line of a place in three parts: before it, the place itself as far as it lies in that line, and behind it. The end of the
/// line is shown only where it is what the place is about.
fn line_around(body: &[u8], span: Span) -> (&[u8], &[u8], &[u8]) {
    let (head, tail) = body.split_at(span.start.min(body.len()));
    let from = head.iter().rposition(|byte| *byte == b'\n').map_or(0, |feed| feed + 1);
    let before = head.get(from..).unwrap_or_default();
    let rest = tail.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let length = span.end.saturating_sub(span.start).min(rest.len());
    let (marked, after) = rest.split_at(length);
    (before, marked, after.strip_suffix(b"\r").unwrap_or(after))
}

/// Bytes of a file as they may be shown, each character one column wide but for tabs.
fn visible(bytes: &[u8], unicode: bool) -> String {
    /// U+2400 to U+241F are the pictures of the control characters.
    const PICTURES: u32 = 0x2400;
    let picture =
        |character: char| char::from_u32(PICTURES + u32::from(character)).unwrap_or(char::REPLACEMENT_CHARACTER);
    let shown = |character: char| match character {
        '\t' => '\t',
        _ if !unicode && (is_dangerous(character) || !character.is_ascii()) => '?',
        '\0'..='\u{1f}' => picture(character),
        _ if is_dangerous(character) => char::REPLACEMENT_CHARACTER,
        _ => character,
    };
    String::from_utf8_lossy(bytes).chars().map(shown).collect()
}

fn verdict(file: &str, lint: &PolicyLint, look: Look) -> String {
    let counts = [
        (lint.count(Severity::Error), "error"),
        (lint.count(Severity::Warning), "warning"),
        (lint.count(Severity::Info), "note"),
    ];
    let counted: Vec<String> =
        counts.into_iter().filter(|(number, _)| *number > 0).map(|(number, one)| words::count(number, one)).collect();
    let counted = if counted.is_empty() { String::new() } else { format!(": {}", counted.join(", ")) };
    let file: String = super::text::clean(file, look.unicode);
    match &lint.reading.value {
        Some(policy) if lint.usable() => {
            let age = words::span(policy.max_age.duration());
            let patterns = words::count(policy.mx.len(), "pattern");
            let what = format!("mode {}, max_age {} ({age}), {patterns}", policy.mode, policy.max_age);
            let covers = match lint.uncovered.as_slice() {
                [] => String::new(),
                some => format!(", but it does not list {}", words::list(&names(some))),
            };
            format!("{file} is usable{covers}{counted}\n  {what}")
        }
        _ => format!("{file} is not usable: senders find no policy in it{counted}"),
    }
}

fn names(hosts: &[crate::terms::MxHost]) -> Vec<String> {
    hosts.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{terms::MxHost, verdict::suggest::lint_policy};

    fn shown(body: &[u8], hosts: &[&str]) -> String {
        let hosts: Vec<MxHost> = hosts.iter().map(|name| MxHost::parse(name).unwrap()).collect();
        let look = Look { unicode: true, ..Look::default() };
        report("mta-sts.txt", body, &lint_policy(body, &hosts), look)
    }

    #[test]
    fn a_policy_without_fault() {
        let body = b"version: STSv1\nmode: enforce\nmx: mx1.example.com\nmx: mx2.example.com\nmax_age: 604800\n";
        assert_eq!(
            shown(body, &["mx1.example.com"]).lines().last(),
            Some("  mode enforce, max_age 604800 (7 days), 2 patterns")
        );
        insta::assert_snapshot!("policy_without_fault", shown(body, &[]));
    }

    #[test]
    fn a_policy_with_many_faults() {
        let body =
            "\u{feff}version: STSv1\r\nMode: enforce\n mx : *.example.com, mx2.example.com\n\nmax_age: 1w\r\n# ours\n";
        insta::assert_snapshot!("policy_with_many_faults", shown(body.as_bytes(), &[]));
    }

    #[test]
    fn a_policy_that_is_usable_and_odd() {
        let body = b"mode:\ttesting\nversion: STSv1\nmx: *.example.com\nmx: mx1.example.net\nmax_age: 3600\nmax_age: 7200\nowner: me\n\n";
        insta::assert_snapshot!("policy_usable_and_odd", shown(body, &["mx1.example.net", "mx.example.org"]));
    }

    #[test]
    fn a_hostile_file_does_no_harm() {
        let body = b"version: STSv1\x1b[2J\xff\xfe\r\nmode: \xc2\x9b2Jenforce\x00\nmx: a\xe2\x80\xae.example\rmax_age: 1\n\x7f\n";
        let text = shown(body, &[]);
        assert!(!text.chars().any(|c| is_dangerous(c) && c != '\n'), "{}", text.escape_debug());
        insta::assert_snapshot!("policy_hostile", text);
        let ascii = report("mta-sts.txt", body, &lint_policy(body, &[]), Look::default());
        assert!(ascii.is_ascii(), "{}", ascii.escape_debug());
    }

    #[test]
    fn for_programs() {
        let body = b"version: STSv1\nmode: testing\nmx: *.example.com\nmax_age: 86400\n\n";
        let hosts = [MxHost::parse("mx.example.org").unwrap()];
        insta::assert_snapshot!("policy_lint_json", to_json("mta-sts.txt", body, &lint_policy(body, &hosts)).unwrap());
        let broken: serde_json::Value =
            serde_json::from_str(&to_json("-", b"<html>", &lint_policy(b"<html>", &[])).unwrap()).unwrap();
        assert_eq!((&broken["usable"], &broken["policy"]), (&false.into(), &serde_json::Value::Null));
        assert_eq!((&broken["problems"][0]["line"], &broken["problems"][0]["rule"]), (&1.into(), &"POL-03".into()));
    }

    proptest::proptest! {
        /// The caret stands under the place, in whatever line.
        #[test]
        fn the_parts_of_a_line_are_the_line(body in "[a-z\r\n:é]{0,60}", start in 0_usize..70, length in 0_usize..20) {
            let body = body.as_bytes();
            let span = Span::new(start.min(body.len()), (start + length).min(body.len()));
            let (before, marked, after) = line_around(body, span);
            let line = [before, marked, after].concat();
            proptest::prop_assert!(!line.contains(&b'\n'));
            proptest::prop_assert!(body[span.start..].starts_with(marked));
            proptest::prop_assert!(body[..span.start].ends_with(before));
        }
    }
}
