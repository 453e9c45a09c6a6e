//! The report of `check` for people: the verdict in words about mail, then what to do, then the evidence.

use std::{collections::HashMap, sync::Arc};

use super::{
    briefing::{Accepted, Advice, Briefing},
    details, evidence,
    sentences::headline,
    text::{Glyph, Look, Page, Role, clean, columns, wrap},
    transcript::transcript,
    words,
};
use crate::{
    facts::DomainObservation,
    terms::{PolicyDomain, Timestamp},
    verdict::{Assessment, Finding, Severity, State},
};

/// The looks that assessments rest on. Only the transcript needs them, and does with less where one is missing.
pub type Observations = HashMap<PolicyDomain, Arc<DomainObservation>>;

/// Where the text of a finding begins.
const FINDING: usize = 4;
/// Where its explanation begins.
const EXPLANATION: usize = 6;

/// The report on what was checked: in full for one domain; for several a line each, worst first, and a count, after the
/// full reports where they are asked for.
///
/// No line is wider than [`WIDTH`](super::WIDTH), unless a single word is, or it is a record to be copied.
pub fn report(assessments: &[Assessment], observations: &Observations, now: Timestamp, look: Look) -> String {
    let observation = |assessment: &Assessment| observations.get(&assessment.domain).map(Arc::as_ref);
    if let [one] = assessments {
        return domain(one, observation(one), now, look);
    }
    let mut sorted: Vec<&Assessment> = assessments.iter().collect();
    sorted.sort_by_cached_key(|assessment| {
        let least = |severity| std::cmp::Reverse(assessment.count(severity));
        let counts = (least(Severity::Error), least(Severity::Warning));
        (assessment.delivery.rank(), counts, assessment.domain.clone())
    });
    let mut text = String::new();
    if look.verbose {
        for assessment in &sorted {
            text.push_str(&domain(assessment, observation(assessment), now, look));
            text.push('\n');
        }
    }
    text.push_str(&overview(&sorted, now, look));
    text
}

/// The full report on one domain. `observation`: the look that it rests on, for the transcript.
pub fn domain(assessment: &Assessment, observation: Option<&DomainObservation>, now: Timestamp, look: Look) -> String {
    domain_in_part(assessment, observation, usize::MAX, now, look)
}

/// What a look without the state folder of a monitor leaves open, in one line.
pub fn without_memory(look: Look) -> String {
    let mut page = Page::new(look);
    page.blank();
    page.paragraph(
        0,
        Role::Faint,
        "Not judged without the monitor's memory (--state.dir): changes, ids, caches, reports.",
    );
    page.finish()
}

/// The same with no more than `sections` parts of the transcript.
pub fn domain_in_part(
    assessment: &Assessment,
    observation: Option<&DomainObservation>,
    sections: usize,
    now: Timestamp,
    look: Look,
) -> String {
    let mut page = Page::new(look);
    let briefing = Briefing::new(assessment, now, look.verbose);
    verdict_line(&mut page, assessment, &briefing);
    let quiet = is_quiet(assessment) && !look.verbose;
    if quiet && assessment.delivery == State::Protected {
        evidence::brief(&mut page, assessment, now);
        section(&mut page, "Also", &briefing.also);
        return page.finish();
    }
    for sentence in &briefing.sentences {
        page.paragraph(2, Role::Plain, sentence);
    }
    section(&mut page, "Fix first", &briefing.fix_first);
    section(&mut page, "Also", &briefing.also);
    accepted(&mut page, &briefing.accepted);
    if !quiet || assessment.delivery != State::NoMail {
        evidence::full(&mut page, assessment, now);
    }
    if look.verbose {
        details::all(&mut page, assessment);
        page.blank();
        let mut transcript = transcript(observation, assessment);
        let more = transcript.cut(sections);
        transcript.show(&mut page);
        if more > 0 {
            let whole = format!("{more} more parts: smtptls-exporter check {} --verbose", assessment.domain);
            page.paragraph(2, Role::Plain, &whole);
        }
    }
    footer(&mut page, assessment);
    page.finish()
}

/// Nothing to do and nothing hidden: the short form says all.
fn is_quiet(assessment: &Assessment) -> bool {
    assessment.worst().is_none_or(|worst| worst == Severity::Info)
        && assessment.findings.iter().all(Finding::is_active)
        && assessment.unseen.is_empty()
        && assessment.senders.sts.paths.cannot_tell == 0
        && assessment.lookups_answered()
}

const fn state_role(state: State) -> Role {
    match state {
        State::Protected => Role::Good,
        State::Partial | State::Unprotected | State::Unknown => Role::Warning,
        State::Blocked => Role::Bad,
        State::NoMail => Role::Plain,
    }
}

const fn glyph(severity: Severity) -> Glyph {
    match severity {
        Severity::Error => Glyph::Bad,
        Severity::Warning => Glyph::Warning,
        Severity::Info => Glyph::Note,
    }
}

fn verdict_line(page: &mut Page, assessment: &Assessment, briefing: &Briefing) {
    let state = briefing.verdict.to_uppercase();
    let mut line = page.start();
    line.push(Role::Strong, assessment.domain.as_str()).push(Role::Plain, "   ");
    if line.columns() + state.len() > super::WIDTH {
        page.end(&line);
        line = page.start();
        line.pad(2);
    }
    line.push(state_role(assessment.delivery), &state);
    let time = format!("checked in {}", words::seconds(assessment.duration));
    if line.right(Role::Faint, &time) {
        page.end(&line);
    } else {
        page.end(&line);
        page.paragraph(2, Role::Faint, &time);
    }
}

fn heading(page: &mut Page, title: &str) {
    page.blank();
    let mut line = page.start();
    line.pad(2).push(Role::Strong, title);
    page.end(&line);
}

/// A sign, a text, and the code at the right end of the first line, or below where there is no room.
fn headed(page: &mut Page, sign: Option<Glyph>, text: &str, code: &str) {
    let shown = clean(text, page.look().unicode);
    let full = super::WIDTH - FINDING;
    let beside = full.saturating_sub(columns(code) + 2);
    let mut rows = wrap(&shown, beside, full);
    let fits = rows.first().is_some_and(|row| !row.is_empty() && columns(row) <= beside);
    if !fits {
        rows = wrap(&shown, full, full);
    }
    for (number, row) in rows.into_iter().enumerate() {
        let mut line = page.start();
        if let (0, Some(sign)) = (number, sign) {
            line.pad(2).push(sign.role(), sign.as_str());
        }
        line.pad(FINDING).push(Role::Plain, &row);
        if fits && number == 0 {
            line.right(Role::Faint, code);
        }
        page.end(&line);
    }
    if !fits {
        let mut line = page.start();
        line.right(Role::Faint, code);
        page.end(&line);
    }
}

/// A heading with what is advised; nothing where nothing is.
fn section(page: &mut Page, title: &str, all: &[Advice]) {
    if all.is_empty() {
        return;
    }
    heading(page, title);
    all.iter().for_each(|one| advice(page, one));
}

fn advice(page: &mut Page, advice: &Advice) {
    for (number, head) in advice.heads.iter().enumerate() {
        let code = if number == 0 { advice.code.as_str() } else { "" };
        headed(page, Some(glyph(advice.severity)), head, code);
    }
    page.paragraph(EXPLANATION, Role::Plain, &advice.words());
    if let Some(todo) = &advice.todo {
        page.paragraph(EXPLANATION, Role::Plain, &format!("To do: {todo}"));
    }
    if let Some(record) = &advice.record {
        page.verbatim(EXPLANATION, Role::Plain, record);
    }
    // What is only worth knowing is believed.
    let doubted = advice.severity > Severity::Info || page.look().verbose;
    for (number, command) in advice.confirm.iter().filter(|_| doubted).enumerate() {
        const LABEL: &str = "Confirm: ";
        let mut line = page.start();
        line.pad(EXPLANATION).push(Role::Plain, if number == 0 { LABEL } else { "" });
        line.pad(EXPLANATION + LABEL.len()).push(Role::Plain, command);
        page.end(&line);
    }
}

fn accepted(page: &mut Page, all: &[Accepted]) {
    if all.is_empty() {
        return;
    }
    heading(page, "Accepted");
    for Accepted { code, head, reason } in all {
        headed(page, Some(Glyph::Note), head, code.as_str());
        page.paragraph(EXPLANATION, Role::Faint, &format!("accepted: {reason}"));
    }
}

fn footer(page: &mut Page, assessment: &Assessment) {
    let counts: Vec<String> = [(Severity::Error, "error"), (Severity::Warning, "warning")]
        .into_iter()
        .map(|(severity, word)| (assessment.count(severity), word))
        .filter(|(number, _)| *number > 0)
        .map(|(number, word)| words::count(number, word))
        .collect();
    if counts.is_empty() {
        return;
    }
    page.blank();
    let text = format!("{}. More on a finding: smtptls-exporter check --explain CODE", counts.join(", "));
    page.paragraph(2, Role::Faint, &text);
}

/// A line for each domain, and how many there are of each state.
fn overview(sorted: &[&Assessment], now: Timestamp, look: Look) -> String {
    /// A longer name has a line of its own.
    const LONGEST: usize = 32;
    /// The longest of the words, "partly deliverable".
    const STATE: usize = 18;
    let names = sorted.iter().map(|assessment| assessment.domain.as_str().len()).filter(|length| *length <= LONGEST);
    let column = names.max().unwrap_or(0) + 2;
    let mut page = Page::new(look);
    for assessment in sorted {
        let mut line = page.start();
        line.push(Role::Strong, assessment.domain.as_str());
        if line.columns() + 2 > column {
            page.end(&line);
            line = page.start();
        }
        line.pad(column).push(state_role(assessment.delivery), words::state(assessment.delivery));
        let headline = headline(assessment, now);
        if !headline.is_empty() {
            line.pad(column + STATE + 2);
            let room = super::WIDTH.saturating_sub(line.columns());
            line.push(Role::Plain, &shortened(&clean(&headline, look.unicode), room, look.unicode));
        }
        page.end(&line);
    }
    page.blank();
    let counts: Vec<String> = State::ALL
        .into_iter()
        .map(|state| (sorted.iter().filter(|assessment| assessment.delivery == state).count(), state))
        .filter(|(number, _)| *number > 0)
        .map(|(number, state)| format!("{number} {}", words::state(state)))
        .collect();
    let total = words::count(sorted.len(), "domain");
    page.paragraph(0, Role::Strong, &format!("{total}: {}.", counts.join(", ")));
    if !look.verbose {
        page.paragraph(0, Role::Faint, "The full report on one: smtptls-exporter check DOMAIN; on all: --verbose");
    }
    page.finish()
}

/// The text, cut where it does not fit.
fn shortened(text: &str, room: usize, unicode: bool) -> String {
    let text = text.lines().next().unwrap_or_default();
    if columns(text) <= room {
        return text.to_owned();
    }
    let end = if unicode { "…" } else { "..." };
    let kept: String = text.chars().take(room.saturating_sub(columns(end))).collect();
    format!("{}{end}", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::present::{WIDTH, briefing::is_record, fixture, text::is_dangerous};

    const PLAIN: Look = Look { colour: false, unicode: true, verbose: false };
    const VERBOSE: Look = Look { verbose: true, ..PLAIN };

    fn shown(assessment: &Assessment) -> String {
        domain(assessment, None, fixture::NOW, PLAIN)
    }

    fn all() -> Vec<Assessment> {
        vec![
            fixture::healthy("healthy.example"),
            fixture::backup_expired("backup-expired.example"),
            fixture::blocked("blocked.example"),
            fixture::unprotected("unprotected.example"),
            fixture::testing("testing.example"),
            fixture::policy_gone("policy-gone.example"),
            fixture::own_side("own-side.example"),
            fixture::down("down.example"),
            fixture::no_mail("no-mail.example"),
            fixture::unknown("unknown.example"),
            fixture::odd_hosts("odd-hosts.example"),
            fixture::long_names("long-names.example"),
            fixture::implicit("implicit.example"),
            fixture::turned_away("turned-away.example"),
            fixture::policy_invalid("policy-invalid.example"),
            fixture::moved("moved.example"),
            fixture::almost_ready("almost-ready.example"),
            fixture::withdrawn("withdrawn.example"),
        ]
    }

    #[test]
    fn a_healthy_domain_needs_four_lines() {
        let text = shown(&fixture::healthy("example.com"));
        assert_eq!(text.lines().count(), 4, "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn dane() {
        insta::assert_snapshot!(shown(&fixture::dane("example.com")));
    }

    #[test]
    fn backup_expired() {
        insta::assert_snapshot!(shown(&fixture::backup_expired("example.com")));
    }

    #[test]
    fn blocked() {
        insta::assert_snapshot!(shown(&fixture::blocked("example.com")));
    }

    #[test]
    fn unprotected() {
        insta::assert_snapshot!(shown(&fixture::unprotected("example.com")));
    }

    #[test]
    fn testing() {
        insta::assert_snapshot!(shown(&fixture::testing("example.com")));
    }

    #[test]
    fn policy_gone() {
        insta::assert_snapshot!(shown(&fixture::policy_gone("example.com")));
    }

    #[test]
    fn own_side() {
        insta::assert_snapshot!(shown(&fixture::own_side("example.com")));
    }

    #[test]
    fn down() {
        insta::assert_snapshot!(shown(&fixture::down("example.com")));
    }

    #[test]
    fn no_mail() {
        insta::assert_snapshot!(shown(&fixture::no_mail("example.com")));
    }

    #[test]
    fn unknown() {
        insta::assert_snapshot!(shown(&fixture::unknown("example.com")));
    }

    #[test]
    fn verbose() {
        insta::assert_snapshot!(domain(&fixture::backup_expired("example.com"), None, fixture::NOW, VERBOSE));
    }

    #[test]
    fn ascii() {
        let look = Look { unicode: false, ..PLAIN };
        let text = domain(&fixture::backup_expired("example.com"), None, fixture::NOW, look);
        assert!(text.is_ascii());
        insta::assert_snapshot!(text);
    }

    #[test]
    fn many() {
        let mut many = all();
        many.push(fixture::unprotected("a-domain-with-a-very-long-name.and-more-of-it.department.example"));
        insta::assert_snapshot!(report(&many, &Observations::new(), fixture::NOW, PLAIN));
    }

    #[test]
    fn odd_hosts() {
        insta::assert_snapshot!(shown(&fixture::odd_hosts("example.com")));
    }

    #[test]
    fn long_names() {
        insta::assert_snapshot!(shown(&fixture::long_names("example.com")));
    }

    #[test]
    fn implicit() {
        insta::assert_snapshot!(shown(&fixture::implicit("example.com")));
    }

    #[test]
    fn turned_away() {
        insta::assert_snapshot!(shown(&fixture::turned_away("example.com")));
    }

    #[test]
    fn policy_invalid() {
        insta::assert_snapshot!(shown(&fixture::policy_invalid("example.com")));
    }

    #[test]
    fn moved() {
        insta::assert_snapshot!(shown(&fixture::moved("example.com")));
    }

    #[test]
    fn almost_ready() {
        insta::assert_snapshot!(shown(&fixture::almost_ready("example.com")));
    }

    #[test]
    fn withdrawn() {
        insta::assert_snapshot!(shown(&fixture::withdrawn("example.com")));
    }

    #[test]
    fn hostile() {
        insta::assert_snapshot!(shown(&fixture::hostile("example.com")));
    }

    #[test]
    fn no_line_is_too_wide_and_none_can_do_harm() {
        let mut many = all();
        many.push(fixture::hostile("hostile.example"));
        many.push(fixture::backup_expired(&format!("{}.{}.example", "long".repeat(12), "name".repeat(15))));
        let mut texts: Vec<String> = Vec::new();
        for look in [PLAIN, VERBOSE, Look { unicode: false, ..VERBOSE }] {
            texts.extend(many.iter().map(|assessment| domain(assessment, None, fixture::NOW, look)));
            texts.push(report(&many, &Observations::new(), fixture::NOW, look));
        }
        for line in texts.iter().flat_map(|text| text.lines()) {
            assert!(!line.chars().any(is_dangerous), "{line:?}");
            assert!(
                line.chars().count() <= WIDTH || is_one_word(line) || is_record(line) || is_command(line),
                "{line}"
            );
        }
    }

    /// A command is copied whole.
    fn is_command(line: &str) -> bool {
        let command = line.trim_start().trim_start_matches("Confirm: ");
        ["openssl ", "curl ", "dig "].iter().any(|program| command.starts_with(program))
    }

    /// Nothing on the line could stand on the next one: one word behind a sign, a preference or a label.
    fn is_one_word(line: &str) -> bool {
        let longest = line.split(' ').map(|word| word.chars().count()).max().unwrap_or(0);
        line.trim().chars().count() <= longest + 12
    }

    #[test]
    fn colour_changes_nothing_but_the_colour() {
        let coloured =
            domain(&fixture::backup_expired("example.com"), None, fixture::NOW, Look { colour: true, ..PLAIN });
        assert!(coloured.contains('\u{1b}'));
        assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), shown(&fixture::backup_expired("example.com")));
    }

    #[test]
    fn what_is_accepted_counts_nowhere() {
        let mut assessment = fixture::backup_expired("example.com");
        for finding in &mut assessment.findings {
            finding.accepted = Some("known".into());
        }
        let text = shown(&assessment);
        assert!(!text.contains("Fix first") && !text.contains("1 error"), "{text}");
        assert_eq!(text.matches("accepted: known").count(), 4, "{text}");
    }

    #[test]
    fn dane_is_shown_where_somebody_published_it() {
        let heads = |text: &str| text.lines().any(|line| line.contains("certificate") && line.ends_with("DANE"));
        assert!(!heads(&shown(&fixture::backup_expired("example.com"))));
        let text = shown(&fixture::dane("example.com"));
        assert!(heads(&text) && text.contains("✓ match") && text.contains("✗ mismatch"), "{text}");
    }

    #[test]
    fn what_is_switched_off_is_said() {
        let mut assessment = fixture::backup_expired("example.com");
        assessment.dnssec_sight = crate::facts::DnssecSight::Off;
        assert!(shown(&assessment).contains("DNSSEC and DANE: switched off (resolver.dnssec)"));
    }

    #[test]
    fn order_is_worst_first() {
        let text = report(&all(), &Observations::new(), fixture::NOW, PLAIN);
        let first = text.lines().next().unwrap();
        assert!(first.starts_with("down.example"), "three errors come before two: {text}");
        assert!(
            text.lines().position(|l| l.starts_with("healthy")) < text.lines().position(|l| l.starts_with("no-mail"))
        );
    }
}
