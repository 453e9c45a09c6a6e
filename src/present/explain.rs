//! What a finding means, for `check --explain` and for docs/findings.md, both from the finding table.

use std::fmt::Write as _;

use super::{
    confirm::command,
    rules::clause,
    text::{Look, Page, Role},
};
use crate::verdict::Code;

/// A text that is no code of a finding, with the code that was perhaps meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no finding {text:?}{}", hint(text, *.meant))]
pub struct UnknownCode {
    /// What was asked for.
    pub text: String,
    /// The nearest code, where one is near enough.
    pub meant: Option<Code>,
}

fn hint(text: &str, meant: Option<Code>) -> String {
    // `policy check` names rules in brackets.
    let rule = text.trim().to_ascii_uppercase();
    if let Some(clause) = clause(&rule) {
        let raised = Code::ALL.iter().filter(|code| code.row().rules.contains(&rule.as_str()));
        let raised: Vec<String> = raised.map(ToString::to_string).collect();
        let findings = if raised.is_empty() { String::new() } else { format!(", of {}", raised.join(", ")) };
        return format!("; it is a rule ({clause}){findings}");
    }
    meant.map_or_else(|| "; docs/findings.md lists them all".to_owned(), |code| format!("; did you mean {code}?"))
}

/// Reads the code of a finding, whatever its letter case.
///
/// # Errors
/// [`UnknownCode`] says which code was perhaps meant.
pub fn parse(text: &str) -> Result<Code, UnknownCode> {
    let lower = text.trim().to_ascii_lowercase();
    lower.parse().map_err(|_| UnknownCode { text: text.to_owned(), meant: nearest(&lower) })
}

/// The explanation of a finding for a terminal.
pub fn finding(code: Code, look: Look) -> String {
    const VALUE: usize = 15;
    let row = code.row();
    let mut page = Page::new(look);
    let mut line = page.start();
    line.push(Role::Strong, row.code);
    page.end(&line);
    page.paragraph(2, Role::Plain, row.summary);
    section(&mut page, "What it does to mail", row.effect);
    section(&mut page, "How to fix it", row.remedy);
    if let Some(hosted) = code.hosted_elsewhere() {
        section(&mut page, "Where somebody else runs it", hosted);
    }
    heading(&mut page, "How to confirm it");
    for part in command(code).split("; ") {
        page.verbatim(4, Role::Plain, part);
    }
    if !command(code).contains(EVERY_STEP) {
        page.paragraph(4, Role::Faint, &format!("Every step of the check: {EVERY_STEP}"));
    }
    page.paragraph(4, Role::Faint, "With what the monitor remembers: add --state.dir and its folder");
    page.blank();
    let result_type = row.result_type.map_or_else(|| NO_RESULT_TYPE.to_owned(), str::to_owned);
    for (label, text) in [
        ("severity", row.severity_words()),
        ("about", row.subject.as_str().to_owned()),
        ("in reports", result_type),
        ("rules", rules(row.rules)),
        ("see also", format!("docs/findings.md#{}", row.code)),
    ] {
        page.labelled(2, label, VALUE, None, &text);
    }
    page.finish()
}

/// The command whose output holds every step.
const EVERY_STEP: &str = "smtptls-exporter check DOMAIN --verbose";

fn heading(page: &mut Page, title: &str) {
    page.blank();
    page.paragraph(2, Role::Strong, title);
}

fn section(page: &mut Page, title: &str, text: &str) {
    heading(page, title);
    page.paragraph(4, Role::Plain, text);
}

/// docs/findings.md: every finding in the order of the table.
pub fn reference() -> String {
    let mut text = String::from(
        "# Findings\n\nEvery finding that the program can raise. `smtptls-exporter check --explain CODE` shows one of them.\n\n\
         *Error*: conforming senders fail, ignore the policy or lose its protection. *Warning*: it will become an error, or \
         some senders fail.\n*Info*: worth knowing. The configuration can change a severity (`severities`) or accept a \
         finding (`accept`).\n\nThe result type is the word by which senders report the failure to the domain \
         (RFC 8460 §4.3).\n",
    );
    for code in Code::ALL {
        let row = code.row();
        let result_type = row.result_type.map_or_else(|| "none".to_owned(), |word| format!("`{word}`"));
        // Writing to a String does not fail.
        let _ = write!(
            text,
            "\n## {}\n\n{}\n\n- Effect: {}\n- Remedy: {}\n{}- Confirm: `{}`\n- Severity: {}\n- About: {}\n- Check group: {}\n\
             - Result type: {result_type}\n- Rules: {}\n",
            row.code,
            row.summary,
            row.effect,
            row.remedy,
            code.hosted_elsewhere().map(|text| format!("- Run by somebody else: {text}\n")).unwrap_or_default(),
            command(*code),
            row.severity_words(),
            row.subject.as_str(),
            row.check.as_str(),
            rules(row.rules),
        );
    }
    text
}

const NO_RESULT_TYPE: &str = "none: senders have no word for it in their reports";

fn rules(rules: &[&str]) -> String {
    let words: Vec<String> = rules
        .iter()
        .map(|rule| clause(rule).map_or_else(|| (*rule).to_owned(), |clause| format!("{rule} ({clause})")))
        .collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

/// The code with the fewest differences, if they are few, or the one that holds the text.
fn nearest(text: &str) -> Option<Code> {
    /// A typing error or two, not another word.
    const FAR: usize = 4;
    /// Shorter parts are in too many codes.
    const PART: usize = 4;
    let distance = |code: &Code| distance(text, code.as_str());
    let near = Code::ALL.iter().copied().min_by_key(|code| distance(code)).filter(|code| distance(code) <= FAR);
    let part = || Code::ALL.iter().copied().find(|code| text.len() >= PART && code.as_str().contains(text));
    near.or_else(part)
}

/// How many letters have to be put in, taken out or replaced.
fn distance(from: &str, to: &str) -> usize {
    /// No code is as long; what is longer costs only time.
    const LONGEST: usize = 64;
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (number, letter) in from.chars().take(LONGEST).enumerate() {
        let mut left = number + 1;
        let mut next = vec![left];
        for (other, above) in to.iter().zip(row.windows(2)) {
            let &[diagonal, above] = above else { continue };
            left = (diagonal + usize::from(*other != letter)).min(above + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default() + from.chars().skip(LONGEST).count()
}

#[cfg(test)]
mod tests {
    use std::{env, fs};

    use super::*;

    #[test]
    fn says_what_was_meant() {
        assert_eq!(parse("mx-null"), Ok(Code::MxNull));
        assert_eq!(parse(" MX-Null "), Ok(Code::MxNull));
        assert_eq!(parse("mx-nul").unwrap_err().meant, Some(Code::MxNull));
        assert_eq!(parse("certificate-expierd").unwrap_err().meant, Some(Code::CertificateExpired));
        assert_eq!(parse("handshake").unwrap_err().meant, Some(Code::TlsHandshakeFailed));
        assert_eq!(parse("weather").unwrap_err().meant, None);
        assert_eq!(parse(&"x".repeat(10_000)).unwrap_err().meant, None);
        let message = parse("mx-nul\u{1b}[2J").unwrap_err().to_string();
        assert!(message.contains("did you mean mx-null?") && !message.contains('\u{1b}'), "{message}");
        let rule = parse("pol-10").unwrap_err().to_string();
        assert_eq!(rule, "there is no finding \"pol-10\"; it is a rule (RFC 8461 §3.2), of sts-policy-invalid");
    }

    #[test]
    fn no_command_is_told_twice() {
        for code in Code::ALL {
            let text = finding(*code, Look::default());
            assert_eq!(text.matches(EVERY_STEP).count(), 1, "{text}");
        }
    }

    #[test]
    fn distances() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    #[test]
    fn every_finding_is_explained_within_the_width() {
        for code in Code::ALL {
            for unicode in [true, false] {
                let text = finding(*code, Look { unicode, ..Look::default() });
                // A command is copied whole, however long it is.
                let copied: Vec<&str> = command(*code).split("; ").collect();
                let is_wide =
                    |line: &&str| line.chars().count() > super::super::WIDTH && !copied.contains(&line.trim());
                let wide: Vec<&str> = text.lines().filter(is_wide).collect();
                assert!(wide.is_empty(), "{wide:?}");
            }
        }
        let look = Look { unicode: true, ..Look::default() };
        insta::assert_snapshot!(finding(Code::MxNotInPolicy, look));
        insta::assert_snapshot!("a_certificate", finding(Code::CertificateExpired, look));
        insta::assert_snapshot!("nobody", finding(Code::ReportsSenderCacheOld, look));
    }

    #[test]
    fn each_says_what_it_does_how_to_fix_it_and_how_to_confirm_it() {
        for code in Code::ALL {
            let text = finding(*code, Look::default());
            for title in ["What it does to mail", "How to fix it", "How to confirm it", "see also"] {
                assert!(text.contains(title), "{title}: {text}");
            }
            let hosted = text.contains("Where somebody else runs it");
            assert_eq!(hosted, code.hosted_elsewhere().is_some(), "{text}");
        }
    }

    #[test]
    fn the_document_is_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/findings.md");
        if env::var_os("SMTPTLS_BLESS").is_some() {
            fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/docs")).unwrap();
            fs::write(path, reference()).unwrap();
        }
        let written = fs::read_to_string(path).unwrap();
        assert!(written == reference(), "docs/findings.md is old: run the tests with SMTPTLS_BLESS=1");
    }
}
