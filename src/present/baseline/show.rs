//! A comparison for people and programs.

use std::{net::IpAddr, time::Duration};

use serde::Serialize;

use super::{Changed, Comparison, SavedFinding};
use crate::{
    present::{
        json::{self, DomainView},
        text::{Glyph, Look, Page, Role, WIDTH, clean, wrap},
        words,
    },
    terms::Timestamp,
    verdict::{Assessment, Severity, State},
};

/// Nobody counts the seconds since a run.
const JUST_NOW: Duration = Duration::from_secs(60);

/// One domain with what became of it since a run was saved.
#[derive(Debug, Serialize)]
pub struct ComparedView<'a> {
    #[serde(flatten)]
    domain: DomainView<'a>,
    against: AgainstView<'a>,
}

/// One domain as an object that has the key `against` beside those of `json::assessment`. `least`: the severity of `--fail-on`.
pub fn compared<'a>(
    assessment: &'a Assessment,
    comparison: &'a Comparison,
    saved_at: Timestamp,
    least: Option<Severity>,
) -> ComparedView<'a> {
    ComparedView { domain: json::assessment(assessment), against: AgainstView::new(comparison, saved_at, least) }
}

/// The key `against` of the JSON of a domain.
#[derive(Debug, Serialize)]
struct AgainstView<'a> {
    saved_at: Timestamp,
    /// The domain was saved as it could be seen; else all that is found is new.
    known: bool,
    /// It was saved, and could not be checked then: nothing new makes it worse.
    unseen_before: bool,
    /// Something got worse that is at or above `--fail-on`.
    got_worse: bool,
    delivery_before: Option<State>,
    delivery_got_worse: bool,
    new: Vec<FindingView<'a>>,
    more_severe: Vec<FindingView<'a>>,
    less_severe: Vec<FindingView<'a>>,
    same: Vec<FindingView<'a>>,
    /// `null` where the domain could not be checked now.
    gone: Option<Vec<FindingView<'a>>>,
}

#[derive(Debug, Serialize)]
struct FindingView<'a> {
    code: &'a str,
    /// The severity now; of what is gone the one that it had.
    severity: Severity,
    severity_before: Option<Severity>,
    subject: &'a str,
    address: Option<IpAddr>,
}

impl<'a> AgainstView<'a> {
    fn new(comparison: &'a Comparison, saved_at: Timestamp, least: Option<Severity>) -> Self {
        Self {
            saved_at: saved_at.whole_seconds(),
            known: comparison.known,
            unseen_before: comparison.unseen_before,
            got_worse: comparison.got_worse(least),
            delivery_before: comparison.delivery_before,
            delivery_got_worse: comparison.delivery_got_worse(),
            new: comparison.new.iter().map(|finding| view(finding, None)).collect(),
            more_severe: comparison.more_severe.iter().map(changed).collect(),
            less_severe: comparison.less_severe.iter().map(changed).collect(),
            same: comparison.same.iter().map(|finding| view(finding, Some(finding.severity))).collect(),
            gone: comparison
                .seen
                .then(|| comparison.gone.iter().map(|finding| view(finding, Some(finding.severity))).collect()),
        }
    }
}

fn changed(changed: &Changed) -> FindingView<'_> {
    view(&changed.finding, Some(changed.before))
}

fn view(finding: &SavedFinding, before: Option<Severity>) -> FindingView<'_> {
    FindingView {
        code: &finding.code,
        severity: finding.severity,
        severity_before: before,
        subject: &finding.subject,
        address: finding.address,
    }
}

/// The section of the report for people: what differs, a domain at a time, and in the last line whether anything got worse.
///
/// `file`: what it is compared with. `least`: the severity of `--fail-on`; nothing for `never`. No line is wider than
/// [`WIDTH`](crate::present::WIDTH), unless a single word is.
pub fn section(
    comparisons: &[Comparison],
    file: &str,
    saved_at: Timestamp,
    least: Option<Severity>,
    now: Timestamp,
    look: Look,
) -> String {
    let mut page = Page::new(look);
    page.blank();
    let when = if now.since(saved_at) < JUST_NOW { "just now".to_owned() } else { words::ago(saved_at, now) };
    page.paragraph(2, Role::Strong, &format!("Against {file}, saved {when}"));
    let several = comparisons.len() > 1;
    for comparison in comparisons.iter().filter(|comparison| !several || differs(comparison)) {
        domain(&mut page, comparison, several, least);
    }
    let worse: Vec<&str> = comparisons
        .iter()
        .filter(|comparison| comparison.got_worse(least))
        .map(|comparison| comparison.domain.as_str())
        .collect();
    let unseen = comparisons.iter().filter(|comparison| !comparison.seen).count();
    match (worse.is_empty(), several) {
        (true, _) => page.paragraph(2, Role::Good, &format!("Nothing got worse{}.", threshold(least))),
        (false, false) => page.paragraph(2, Role::Bad, "It got worse."),
        (false, true) => {
            let text = format!("Got worse: {} of {}: {}.", worse.len(), comparisons.len(), words::list(&worse));
            page.paragraph(2, Role::Bad, &text);
        }
    }
    if unseen > 0 {
        let text = format!("Not compared in full, as they could not be checked: {}.", words::count(unseen, "domain"));
        page.paragraph(2, Role::Warning, &text);
    }
    page.finish()
}

/// What the run was told to fail on.
const fn threshold(least: Option<Severity>) -> &'static str {
    match least {
        None => " (nothing counts: --fail-on never)",
        Some(Severity::Error) => "",
        Some(_) => ", warnings included",
    }
}

fn differs(comparison: &Comparison) -> bool {
    let moved = comparison.new.len() + comparison.more_severe.len() + comparison.less_severe.len();
    !comparison.known
        || !comparison.seen
        || moved + comparison.gone.len() > 0
        || comparison.delivery_before != Some(comparison.delivery)
}

fn domain(page: &mut Page, comparison: &Comparison, named: bool, least: Option<Severity>) {
    let indent = if named { 4 } else { 2 };
    if named {
        page.paragraph(2, Role::Strong, comparison.domain.as_str());
    }
    if comparison.unseen_before {
        page.paragraph(
            indent,
            Role::Warning,
            "It could not be checked when it was saved: what is found now may have been there, and does not count as worse.",
        );
    } else if !comparison.known {
        page.paragraph(indent, Role::Plain, "It is not in the file: all that is found counts as new.");
    }
    if let Some(before) = comparison.delivery_before.filter(|before| *before != comparison.delivery) {
        let (now, before) = (words::state(comparison.delivery), words::state(before));
        let glyph = if comparison.delivery_got_worse() && least.is_some() { Glyph::Bad } else { Glyph::Note };
        line(page, indent, glyph, &format!("{now}; {before} before"));
    }
    let counts = |severity| least.is_some_and(|least| severity >= least);
    let bad = |severity| if counts(severity) { Glyph::Bad } else { Glyph::Note };
    for finding in &comparison.new {
        let text = format!("new: {} ({})", named_finding(finding, comparison), finding.severity);
        let glyph = if comparison.unseen_before { Glyph::Note } else { bad(finding.severity) };
        line(page, indent, glyph, &text);
    }
    for Changed { finding, before } in &comparison.more_severe {
        let text = format!("worse: {} ({}; {before} before)", named_finding(finding, comparison), finding.severity);
        line(page, indent, bad(finding.severity), &text);
    }
    for Changed { finding, before } in &comparison.less_severe {
        let text = format!("better: {} ({}; {before} before)", named_finding(finding, comparison), finding.severity);
        line(page, indent, Glyph::Good, &text);
    }
    for finding in &comparison.gone {
        line(page, indent, Glyph::Good, &format!("gone: {}", named_finding(finding, comparison)));
    }
    let counts =
        [(comparison.known_findings(), "known"), (comparison.new.len(), "new"), (comparison.gone.len(), "gone")];
    let counts: Vec<String> =
        counts.iter().filter(|(number, _)| *number > 0).map(|(number, what)| format!("{number} {what}")).collect();
    let text = if counts.is_empty() { "no findings, then and now".to_owned() } else { counts.join(", ") };
    page.paragraph(indent, Role::Faint, &format!("{text}."));
}

fn named_finding(finding: &SavedFinding, comparison: &Comparison) -> String {
    let address = finding.address.map(|address| format!(" [{address}]")).unwrap_or_default();
    match finding.subject == comparison.domain.as_str() {
        true => finding.code.clone(),
        false => format!("{} at {}{address}", finding.code, finding.subject),
    }
}

/// A sign and a text.
fn line(page: &mut Page, indent: usize, glyph: Glyph, text: &str) {
    let room = WIDTH.saturating_sub(indent + 2);
    for (number, row) in wrap(&clean(text, page.look().unicode), room, room).iter().enumerate() {
        let mut line = page.start();
        line.pad(indent);
        if number == 0 {
            line.push(glyph.role(), glyph.as_str());
        }
        line.pad(indent + 2).push(Role::Plain, row);
        page.end(&line);
    }
}
