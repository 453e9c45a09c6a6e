//! The summary of `report show` for people: how many sessions failed, then the failures and what to do, then who reported.

use std::{cmp::Reverse, collections::BTreeSet};

use super::{
    super::{
        text::{Glyph, Look, Page, Role, columns},
        words::{count, date, list},
    },
    Digest, RejectedReport,
    digest::{Days, FailureKey, FailureSum, Harm, ReporterSum, Sessions, harm},
};
use crate::{
    protocol::tls_rpt::{PolicyType, RefusalReason, ResultType},
    terms::Timestamp,
    verdict::{Advice, advice},
};

/// Where the text of a failure begins.
const FAILURE: usize = 4;
/// Where its explanation begins.
const EXPLANATION: usize = 6;
/// What is shown of each list without `--verbose`: what a person reads in a minute.
const FAILURES_SHOWN: usize = 10;
const REPORTERS_SHOWN: usize = 10;
const REJECTED_SHOWN: usize = 10;
/// A name of a reporter is cut here, so that its numbers stand in columns beside it.
const NAME_WIDTH: usize = 34;
/// A reason of a peer is cut here: two lines.
const REASON_WIDTH: usize = 140;

/// What was read, on one page: the verdict, the failures that harm most first with what to do, the reporters, what was odd and what was
/// rejected. `now` decides which dates need a year.
///
/// No line is wider than [`WIDTH`](crate::present::WIDTH), unless a single word is.
pub fn summary(digest: &Digest, now: Timestamp, look: Look) -> String {
    let mut page = Page::new(look);
    verdict(&mut page, digest, now);
    failures(&mut page, digest, now);
    reporters(&mut page, digest, now);
    oddities(&mut page, digest);
    rejected(&mut page, digest);
    page.finish()
}

fn verdict(page: &mut Page, digest: &Digest, now: Timestamp) {
    let failed = digest.sessions.values().any(|sessions| sessions.failed > 0);
    let refused = digest.failures().iter().any(|(key, sum)| harm(key, sum) < Harm::Delivered);
    let (role, verdict) = match (digest.reports, failed, refused) {
        (0, ..) => (Role::Warning, "NO REPORT"),
        (_, false, _) if digest.sessions.values().all(|sessions| sessions.all == 0) => (Role::Warning, "NO SESSIONS"),
        (_, false, _) => (Role::Good, "NO SESSION FAILED"),
        (_, true, true) => (Role::Bad, "SESSIONS FAILED"),
        (_, true, false) => (Role::Warning, "SESSIONS FAILED, NONE REFUSED"),
    };
    let mut line = page.start();
    line.push(Role::Strong, "TLS reports").push(Role::Plain, "   ").push(role, verdict);
    line.right(Role::Faint, &number_of(digest.reports, "report"));
    page.end(&line);
    if digest.reports == 0 {
        say(page, 2, Role::Plain, "Nothing of what was read is a TLS report.");
        return;
    }
    let reporters = number_of(len(digest.reporters.len()), "reporter");
    let verb = if digest.reporters.len() == 1 { "tells" } else { "tell" };
    let domains: Vec<&String> = digest.domains.iter().collect();
    let domains = if domains.is_empty() { "domains that it does not name".to_owned() } else { list(&domains) };
    say(page, 2, Role::Plain, &format!("{reporters} {verb} of mail to {domains}, {}.", days(digest.days, now)));
    for (policy_type, sessions) in &digest.sessions {
        let glyph = match sessions.failed {
            0 => Glyph::Good,
            _ => Glyph::Bad,
        };
        page.labelled(4, kind(*policy_type), 22, Some(glyph), &of_sessions(*sessions));
    }
    if digest.sessions.contains_key(&PolicyType::Sts) && digest.sessions.contains_key(&PolicyType::Tlsa) {
        let text = "A session can stand under MTA-STS and under DANE: the two are not to be added up.";
        say(page, 4, Role::Faint, text);
    }
}

/// A text on lines of its own. Line breaks of a peer's text in it are blanks: nothing of theirs begins a line.
fn say(page: &mut Page, indent: usize, role: Role, text: &str) {
    page.paragraph(indent, role, &text.split_whitespace().collect::<Vec<_>>().join(" "));
}

fn heading(page: &mut Page, title: &str) {
    page.blank();
    let mut line = page.start();
    line.pad(2).push(Role::Strong, title);
    page.end(&line);
}

fn failures(page: &mut Page, digest: &Digest, now: Timestamp) {
    let failures = digest.failures();
    if failures.is_empty() {
        return;
    }
    heading(page, "Failures");
    let shown = if page.look().verbose { failures.len() } else { FAILURES_SHOWN };
    let mut explained = BTreeSet::new();
    for (key, sum) in failures.iter().take(shown) {
        failure(page, key, sum, now);
        // What several hosts or domains share is explained once.
        if explained.insert((key.result_type, key.policy_type)) {
            let Advice { meaning, fix } = what_to_do(key);
            say(page, EXPLANATION, Role::Plain, meaning);
            let fix = match digest.domains.first().filter(|_| digest.domains.len() == 1) {
                Some(domain) => fix.replace("DOMAIN", domain),
                None => fix.to_owned(),
            };
            say(page, EXPLANATION, Role::Plain, &format!("To do: {fix}"));
        } else {
            say(page, EXPLANATION, Role::Faint, "What it means and what to do: as above.");
        }
    }
    more(page, failures.len().saturating_sub(shown), "failure");
}

fn failure(page: &mut Page, key: &FailureKey, sum: &FailureSum, now: Timestamp) {
    let harm = harm(key, sum);
    let glyph = match harm {
        Harm::Refused | Harm::Unknown => Glyph::Bad,
        Harm::Delivered => Glyph::Warning,
        Harm::Notice => Glyph::Note,
    };
    let result = key.result_type.map_or("no details", ResultType::as_str);
    let mut line = page.start();
    line.pad(2).push(glyph.role(), glyph.as_str()).pad(FAILURE).push(Role::Plain, result);
    let kind = kind(key.policy_type);
    line.right(Role::Faint, kind);
    page.end(&line);
    let domain = key.domain.as_deref().unwrap_or("a domain that is not named");
    let place = match &key.mx {
        Some(mx) => format!("{domain}, at {mx}"),
        None => format!("{domain}, no mail host named"),
    };
    say(page, EXPLANATION, Role::Plain, &place);
    let who: Vec<&String> = sum.reporters.iter().collect();
    let sessions = number_of(sum.sessions, "session");
    say(page, EXPLANATION, Role::Plain, &format!("{sessions}, {}: {}", days(sum.days, now), list(&who)));
    if !sum.reasons.is_empty() {
        let mut reasons: Vec<String> = sum.reasons.iter().map(|reason| quoted(reason)).collect();
        if sum.more_reasons {
            reasons.push("and others".to_owned());
        }
        say(page, EXPLANATION, Role::Plain, &format!("Reason told: {}", reasons.join(", ")));
    }
    if let Some(effect) = effect(harm, key, sum.modes.len()) {
        say(page, EXPLANATION, Role::Plain, effect);
    }
}

/// What it does to mail, where the meaning of the failure does not say it.
const fn effect(harm: Harm, key: &FailureKey, modes: usize) -> Option<&'static str> {
    Some(match (harm, key.policy_type, key.result_type) {
        (Harm::Notice, ..) => "No session failed by it: it is a notice.",
        (Harm::Refused, PolicyType::Sts, _) if modes > 1 => {
            "Those under a policy in enforce delivered no mail; it was in another mode for some."
        }
        (Harm::Refused, PolicyType::Sts, _) => "These sessions delivered no mail: the policy was in enforce.",
        (Harm::Refused, ..) => "These sessions delivered no mail.",
        (Harm::Unknown, ..) => "The report does not show the policy: in enforce these sessions delivered no mail.",
        (
            Harm::Delivered,
            _,
            Some(ResultType::StsPolicyFetchError | ResultType::StsPolicyInvalid | ResultType::StsWebpkiInvalid),
        ) => return None,
        (Harm::Delivered, PolicyType::Sts, _) => {
            "The mail was delivered all the same: the policy was not in enforce. In enforce it would not be."
        }
        (Harm::Delivered, ..) => "The mail was delivered all the same: no policy asks for TLS.",
    })
}

fn what_to_do(key: &FailureKey) -> Advice {
    key.result_type.map_or(
        Advice {
            meaning: "The summary counts these sessions, and the details do not say why they failed.",
            fix: "Look for the same days at what other reporters say, and check the domain now.",
        },
        |result_type| advice(result_type, key.policy_type),
    )
}

fn reporters(page: &mut Page, digest: &Digest, now: Timestamp) {
    if digest.reporters.is_empty() {
        return;
    }
    heading(page, "Reporters");
    let mut reporters: Vec<(&String, &ReporterSum)> = digest.reporters.iter().collect();
    reporters.sort_by_key(|(_, sum)| (Reverse(sum.sessions.failed), Reverse(sum.sessions.all)));
    let shown = if page.look().verbose { reporters.len() } else { REPORTERS_SHOWN };
    for (name, sum) in reporters.iter().take(shown) {
        let mut line = page.start();
        line.pad(FAILURE).push(Role::Plain, &cut(name, NAME_WIDTH)).push(Role::Plain, "  ");
        line.pad(FAILURE + NAME_WIDTH + 2);
        line.push(Role::Plain, &format!("{}, ", number_of(sum.reports, "report")));
        let role = if sum.sessions.failed > 0 { Role::Bad } else { Role::Plain };
        let sessions = format!("{} failed of {}", grouped(sum.sessions.failed), number_of(sum.sessions.all, "session"));
        if line.columns() + columns(&sessions) > super::super::WIDTH {
            page.end(&line);
            line = page.start();
            line.pad(EXPLANATION);
        }
        line.push(role, &sessions);
        page.end(&line);
        if page.look().verbose {
            say(page, EXPLANATION, Role::Faint, &days(sum.days, now));
        }
    }
    more(page, reporters.len().saturating_sub(shown), "reporter");
}

/// What lost nothing, and is worth knowing.
fn oddities(page: &mut Page, digest: &Digest) {
    if !digest.quirks.is_empty() || digest.duplicates > 0 {
        page.blank();
    }
    if !digest.quirks.is_empty() {
        let mut quirks: Vec<_> = digest.quirks.iter().collect();
        quirks.sort_by_key(|(_, reports)| Reverse(**reports));
        let quirks: Vec<String> =
            quirks.iter().map(|(quirk, reports)| format!("{} ({})", quirk.as_str(), grouped(**reports))).collect();
        page.labelled(2, "Quirks", 14, None, &format!("{}: nothing is lost by them", quirks.join(", ")));
    }
    if digest.duplicates > 0 {
        let copies = match digest.duplicates {
            1 => "1 copy of a report that was read before: counted once".to_owned(),
            more => format!("{} copies of reports that were read before: counted once", grouped(more)),
        };
        page.labelled(2, "Duplicates", 14, None, &copies);
    }
}

fn rejected(page: &mut Page, digest: &Digest) {
    if digest.rejected.is_empty() {
        return;
    }
    heading(page, "Rejected");
    let shown = if page.look().verbose { digest.rejected.len() } else { REJECTED_SHOWN };
    let mut hinted = BTreeSet::new();
    for RejectedReport { source, refusal, opened } in digest.rejected.iter().take(shown) {
        let mut line = page.start();
        line.pad(2).push(Role::Bad, Glyph::Bad.as_str()).pad(FAILURE).push(Role::Plain, source);
        if !line.right(Role::Faint, refusal.reason.as_str()) {
            page.end(&line);
            line = page.start();
            line.right(Role::Faint, refusal.reason.as_str());
        }
        page.end(&line);
        say(page, EXPLANATION, Role::Plain, &refusal.detail);
        let hint = if *opened { hint(refusal.reason) } else { "Check the name and the rights of the file." };
        if hinted.insert(hint) {
            say(page, EXPLANATION, Role::Plain, &format!("To do: {hint}"));
        }
    }
    more(page, digest.rejected.len().saturating_sub(shown), "rejected one");
}

/// What helps.
const fn hint(reason: RefusalReason) -> &'static str {
    match reason {
        RefusalReason::TooLarge => "No sender makes reports of this size: look at the file before anything opens it.",
        RefusalReason::BadEncoding => "See that the file is whole: fetch it from the mailbox again, as it came.",
        RefusalReason::BadJson => "If it came from a reporter, tell them; the file stays as it is.",
        RefusalReason::UnknownDomain => "Add the domain to the configuration, if it is yours.",
        RefusalReason::Unauthenticated => "If the mail is genuine, see that it was stored unchanged, with its header.",
        RefusalReason::RateLimited => "Send it again later.",
    }
}

fn more(page: &mut Page, number: usize, one: &str) {
    if number > 0 {
        say(page, FAILURE, Role::Faint, &format!("and {} more: --verbose shows all", count(number, one)));
    }
}

/// What the kind of a policy is called before people.
const fn kind(policy_type: PolicyType) -> &'static str {
    match policy_type {
        PolicyType::Sts => "MTA-STS",
        PolicyType::Tlsa => "DANE",
        PolicyType::NoPolicyFound => "no policy found",
        PolicyType::Other => "another policy",
    }
}

/// `1,204 sessions, 37 failed (3.1 %)`.
fn of_sessions(sessions: Sessions) -> String {
    let all = number_of(sessions.all, "session");
    match sessions.failed {
        0 => format!("{all}, none failed"),
        failed => format!("{all}, {} failed ({})", grouped(failed), share(failed, sessions.all)),
    }
}

/// A part in percent, rounded, never 0 and never all where it is not.
fn share(part: u64, all: u64) -> String {
    let (part, all) = (u128::from(part), u128::from(all.max(1)));
    match (part * 1000 + all / 2) / all {
        0 => "under 0.1 %".to_owned(),
        1000.. if part < all => "over 99.9 %".to_owned(),
        1000 => "100 %".to_owned(),
        more => format!("{}.{} %", more / 10, more % 10),
    }
}

/// `on 20 Nov`, `from 20 Nov to 22 Nov`.
fn days(days: Days, now: Timestamp) -> String {
    match days {
        Days { first: Some(first), last: Some(last) } => match (date(first, now), date(last, now)) {
            (first, last) if first == last => format!("on {first}"),
            (first, last) => format!("from {first} to {last}"),
        },
        _ => "on days that it does not tell".to_owned(),
    }
}

/// `1 session`, `1,204 sessions`.
fn number_of(number: u64, one: &str) -> String {
    format!("{} {one}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// A number with its thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn len(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// A peer's text in quotes of ours, so that it cannot pass for a sentence of this report.
fn quoted(text: &str) -> String {
    format!("\"{}\"", cut(text, REASON_WIDTH).replace('"', "'"))
}

/// At most so many characters of a peer's text, on one line.
fn cut(text: &str, most: usize) -> String {
    let mut words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = words.char_indices().nth(most) {
        words.truncate(words.char_indices().nth(most.saturating_sub(1)).map_or(end, |(before, _)| before));
        words.push('…');
    }
    words
}
