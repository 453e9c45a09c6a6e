//! What stands behind the keys: texts, counts, addresses, names and lists of lines.

use std::net::IpAddr;

use super::{
    Quirk, TEXT_MOST,
    objects::{Scalar, each_element, scalar},
    read::Reading,
};
use crate::terms::PolicyDomain;

/// A text without what moves a cursor or turns the direction of writing, no longer than [`TEXT_MOST`]; and whether it was longer.
pub(in crate::protocol::tls_rpt) fn clean(text: &str) -> (String, bool) {
    // Nearly every text: one look, which the compiler makes in wide steps.
    if text.len() <= TEXT_MOST && text.bytes().fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~')) {
        return (text.to_owned(), false);
    }
    let mut kept = String::with_capacity(text.len().min(TEXT_MOST));
    let mut letters = text.chars().filter(|letter| !turns_direction(*letter));
    let harmless = |letter: char| if letter.is_control() || is_line_end(letter) { ' ' } else { letter };
    kept.extend(letters.by_ref().take(TEXT_MOST).map(harmless));
    (kept, letters.next().is_some())
}

/// Marks, embeddings, overrides and isolates of Unicode Bidirectional Algorithm (UAX #9 §2).
const fn turns_direction(letter: char) -> bool {
    matches!(
        letter,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
    )
}

const fn is_line_end(letter: char) -> bool {
    matches!(letter, '\u{2028}' | '\u{2029}')
}

impl Reading {
    /// A text of a report; nothing where it is empty.
    pub(super) fn clean(&mut self, text: &str) -> Option<String> {
        let text = text.trim();
        if text.is_empty() {
            return None;
        }
        let (kept, cut) = clean(text);
        if cut {
            self.quirks.add(Quirk::Truncated);
        }
        (!kept.trim().is_empty()).then_some(kept)
    }

    /// Free text.
    pub(super) fn text(&mut self, value: Scalar<'_>) -> Option<String> {
        match value {
            Scalar::Text(text) => self.clean(&text),
            Scalar::Null => None,
            Scalar::Bare(text) => {
                self.quirks.add(Quirk::ValueType);
                self.clean(text)
            }
            Scalar::Array(_) | Scalar::Object => {
                self.quirks.add(Quirk::ValueType);
                None
            }
        }
    }

    /// A number of sessions; nothing where there is none.
    pub(super) fn count(&mut self, value: &Scalar<'_>) -> Option<u64> {
        let (text, quirk) = match value {
            Scalar::Null => return None,
            Scalar::Bare(text) => (*text, None),
            Scalar::Text(text) => (text.trim(), Some(Quirk::CountAsText)),
            Scalar::Array(_) | Scalar::Object => ("", None),
        };
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let whole = if digits { text.parse().ok() } else { None };
        let (count, quirk) = match whole {
            Some(count) => (count, quirk),
            None => match whole_number(text) {
                Some(count) => (count, Some(quirk.unwrap_or(Quirk::ValueType))),
                None => (0, Some(Quirk::CountInvalid)),
            },
        };
        if let Some(quirk) = quirk {
            self.quirks.add(quirk);
        }
        Some(count)
    }

    /// An address; nothing where there is none. An IPv4-mapped one is the one that it stands for.
    pub(super) fn address(&mut self, value: &Scalar<'_>) -> Option<IpAddr> {
        let text = match value {
            Scalar::Null => return None,
            Scalar::Text(text) => text.trim(),
            Scalar::Bare(_) | Scalar::Array(_) | Scalar::Object => {
                self.quirks.add(Quirk::ValueType);
                return None;
            }
        };
        if text.is_empty() {
            return None;
        }
        let address = text.parse::<IpAddr>().ok();
        if address.is_none() {
            self.quirks.add(Quirk::AddressInvalid);
        }
        address.map(|address| address.to_canonical())
    }

    /// A name in the form in which names are compared, or `invalid` as a quirk.
    pub(super) fn name(&mut self, value: Scalar<'_>, invalid: Quirk) -> Option<Name> {
        let Scalar::Text(text) = value else {
            return self.text(value).and_then(|text| self.parse_name(&text, invalid));
        };
        self.parse_name(&text, invalid)
    }

    fn parse_name(&mut self, text: &str, invalid: Quirk) -> Option<Name> {
        let text = text.trim();
        if text.is_empty() {
            return None;
        }
        let [last, canonical] = &mut self.last_name;
        if last != text {
            let Ok(name) = PolicyDomain::parse(text) else {
                self.quirks.add(invalid);
                return None;
            };
            text.clone_into(last);
            name.as_str().clone_into(canonical);
        }
        Some(Name { canonical: canonical == text, text: canonical.clone() })
    }

    /// The lines of a policy, or records: `policy-string`.
    pub(super) fn lines(&mut self, value: Scalar<'_>, list: &mut Vec<String>) {
        match value {
            Scalar::Null => {}
            Scalar::Array(array) => {
                each_element(array, &mut |raw| match scalar(raw) {
                    Scalar::Text(text) => self.policy_text(&text, list),
                    other => {
                        if let Some(line) = self.odd_element(&other) {
                            self.keep_line(line, list);
                        }
                    }
                });
            }
            Scalar::Text(text) => {
                if text.trim().is_empty() {
                    return;
                }
                self.quirks.add(Quirk::PolicyStringNotArray);
                // The prose of RFC 8460 §4 has one text with `;` between the lines.
                let semicolons = !text.trim_ascii().starts_with('[') && !text.trim_ascii().contains(['\n', '\r']);
                if semicolons && text.contains(';') {
                    for line in text.split(';').map(str::trim) {
                        self.line(line, list);
                    }
                } else {
                    self.policy_text(&text, list);
                }
            }
            Scalar::Bare(_) | Scalar::Object => self.quirks.add(Quirk::ValueType),
        }
    }

    /// One text of `policy-string`: a line, several, or a JSON array of lines, as Microsoft sends TLSA records (FLD-10).
    fn policy_text(&mut self, text: &str, list: &mut Vec<String>) {
        if text.trim_start().starts_with('[') {
            let mut nested = Vec::new();
            let whole = each_element(text, &mut |raw| {
                if let Scalar::Text(line) = scalar(raw) {
                    self.line(&line, &mut nested);
                }
            });
            if whole {
                self.quirks.add(Quirk::PolicyStringNested);
                list.append(&mut nested);
                return;
            }
            // What was counted of it stands in no list.
            self.lines_kept = self.lines_kept.saturating_sub(nested.len());
        }
        let text = text.trim_end_matches(['\r', '\n']);
        if text.contains(['\n', '\r']) {
            self.quirks.add(Quirk::PolicyStringNotArray);
        }
        for line in text.split(['\n', '\r']).filter(|line| !line.is_empty()) {
            self.line(line, list);
        }
    }

    /// Errors in a policy are kept as they were found (FLD-10), blanks at its beginning among them.
    fn line(&mut self, line: &str, list: &mut Vec<String>) {
        let (line, cut) = clean(line);
        if cut {
            self.quirks.add(Quirk::Truncated);
        }
        if !line.trim().is_empty() {
            self.keep_line(line, list);
        }
    }

    /// Patterns of `mx-host`.
    pub(super) fn patterns(&mut self, value: Scalar<'_>, list: &mut Vec<String>) {
        match value {
            Scalar::Null => {}
            Scalar::Array(array) => {
                each_element(array, &mut |raw| match scalar(raw) {
                    Scalar::Text(text) => self.hosts(&text, list),
                    other => {
                        if let Some(text) = self.odd_element(&other) {
                            self.hosts(&text, list);
                        }
                    }
                });
            }
            Scalar::Text(text) => {
                if !text.trim().is_empty() {
                    self.quirks.add(Quirk::MxHostNotArray);
                    self.hosts(&text, list);
                }
            }
            Scalar::Bare(_) | Scalar::Object => self.quirks.add(Quirk::ValueType),
        }
    }

    /// One text of `mx-host`: a pattern, a line of the policy with it, or several of them.
    fn hosts(&mut self, text: &str, list: &mut Vec<String>) {
        let parts = || text.split(['\n', '\r', ',', ';']).map(str::trim).filter(|part| !part.is_empty());
        if parts().nth(1).is_some() {
            self.quirks.add(Quirk::MxHostNotArray);
        }
        for part in parts() {
            let pattern = match part.split_once(':') {
                Some((key, pattern)) if key.trim().eq_ignore_ascii_case("mx") => {
                    self.quirks.add(Quirk::MxHostAsLine);
                    pattern.trim()
                }
                _ => part,
            };
            if let Some(pattern) = self.pattern(pattern) {
                self.keep_line(pattern, list);
            }
        }
    }

    /// Patterns compare as names do: `*.` and a name (RFC 8461 §4.1). What is neither is kept as it is, for people.
    fn pattern(&mut self, text: &str) -> Option<String> {
        let (wildcard, rest) = text.strip_prefix("*.").map_or(("", text), |rest| ("*.", rest));
        match PolicyDomain::parse(rest) {
            Ok(name) => Some(format!("{wildcard}{name}")),
            Err(_) => self.clean(text),
        }
    }

    fn odd_element(&mut self, value: &Scalar<'_>) -> Option<String> {
        self.quirks.add(Quirk::ValueType);
        match value {
            Scalar::Bare(text) => self.clean(text),
            _ => None,
        }
    }
}

/// A name, and whether it came as it is compared.
pub(super) struct Name {
    pub(super) text: String,
    pub(super) canonical: bool,
}

/// `5.0` and `1e3` are whole numbers too; beyond 2^53 no fraction would be seen any more.
fn whole_number(text: &str) -> Option<u64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let number: f64 = text.parse().ok()?;
    let whole = (0.0..=EXACT).contains(&number) && number.fract() == 0.0;
    // Printed without a point, as it has no fraction.
    if whole { format!("{number:.0}").parse().ok() } else { None }
}
