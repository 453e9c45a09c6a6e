//! Every finding of the table has a case that raises it and one near it that does not.

use std::collections::BTreeMap;

use smtptls_exporter::verdict::{Code, Severity, Subject, SubjectKind};

use super::{
    case::{DAY, Monitor, NOW, World, find},
    pairs_dane, pairs_domain, pairs_mail, pairs_policy, pairs_tls, reports,
};

/// A finding, the world that raises it, and one near it that does not.
pub(crate) struct Pair {
    pub(crate) code: Code,
    /// Its severity (`E`, `W`, `I`, or `-` where it is not raised) with a policy in enforce, in testing, in mode none, and
    /// where a policy is announced and none was ever seen.
    pub(crate) severity: &'static str,
    pub(crate) raised: fn(World) -> World,
    pub(crate) near: fn(World) -> World,
}

/// What only shows over time.
const HISTORY: [Code; 9] = [
    Code::StsRecordVanished,
    Code::StsIdNotChanged,
    Code::StsIdChangedOnly,
    Code::StsPolicyTestingLong,
    Code::StsPolicyReadyForEnforce,
    Code::StsPolicyDowngraded,
    Code::MxNotInCachedPolicy,
    Code::DaneRecordStale,
    Code::ReportsSenderCacheOld,
];

const CONTEXTS: [&str; 4] = ["enforce", "testing", "none", "unknown"];

pub(crate) fn pairs() -> Vec<&'static Pair> {
    [pairs_domain::PAIRS, pairs_policy::PAIRS, pairs_mail::PAIRS, pairs_tls::PAIRS, pairs_dane::PAIRS, reports::PAIRS]
        .into_iter()
        .flatten()
        .collect()
}

fn severity(letter: char) -> Option<Severity> {
    match letter {
        'E' => Some(Severity::Error),
        'W' => Some(Severity::Warning),
        'I' => Some(Severity::Info),
        '-' => None,
        other => panic!("{other:?} is no severity"),
    }
}

/// The world in its context: with the policy seen before, or never.
fn judged(context: &str, change: fn(World) -> World) -> smtptls_exporter::verdict::Assessment {
    let mut monitor = Monitor::new();
    if context == "unknown" {
        return monitor.see(&change(World::good("enforce").status(404)));
    }
    // So long ago that nothing is in the course of a change, and not so long that senders have forgotten the policy.
    monitor.now = NOW - 3 * DAY;
    monitor.see(&World::good(context));
    monitor.later(3 * DAY).see(&change(World::good(context)))
}

#[test]
fn every_code_has_one_pair() {
    let mut count: BTreeMap<Code, usize> = Code::ALL.iter().map(|code| (*code, 0)).collect();
    pairs().iter().for_each(|pair| *count.entry(pair.code).or_default() += 1);
    // These need more than two observations: each has its script in `history`.
    HISTORY.iter().for_each(|code| *count.entry(*code).or_default() += 1);
    let other: Vec<_> = count.iter().filter(|(_, count)| **count != 1).collect();
    assert!(other.is_empty(), "not exactly one pair: {other:?}");
}

#[test]
fn each_code_is_raised_with_its_severity() {
    for pair in pairs() {
        assert_eq!(pair.severity.len(), CONTEXTS.len(), "{}", pair.code);
        for (context, letter) in CONTEXTS.into_iter().zip(pair.severity.chars()) {
            let assessment = judged(context, pair.raised);
            let found = find(&assessment, pair.code);
            assert_eq!(found.map(|finding| finding.severity), severity(letter), "{} in {context}", pair.code);
            if let Some(finding) = found {
                let kind = match finding.subject {
                    Subject::Domain(_) => SubjectKind::Domain,
                    Subject::PolicyHost(_) => SubjectKind::PolicyHost,
                    Subject::Mx(_) => SubjectKind::Mx,
                    Subject::MxAddress(..) => SubjectKind::MxAddress,
                    Subject::TlsRpt(_) => SubjectKind::TlsRpt,
                    Subject::Reports(_) => SubjectKind::Reports,
                    Subject::Monitor => SubjectKind::Monitor,
                };
                let expected = pair.code.row().subject;
                assert!(expected == SubjectKind::Any || kind == expected, "{} stands on {kind:?}", pair.code);
            }
        }
    }
}

#[test]
fn near_misses_raise_nothing() {
    for pair in pairs() {
        for context in CONTEXTS {
            let found = find(&judged(context, pair.near), pair.code).cloned();
            assert_eq!(found, None, "{} in {context}", pair.code);
        }
    }
}

#[test]
fn a_good_domain_raises_nothing_but_its_mode() {
    for (mode, expected) in
        [("enforce", vec![]), ("testing", vec!["sts-policy-mode-testing"]), ("none", vec!["sts-policy-mode-none"])]
    {
        let assessment = World::good(mode).assess();
        let codes: Vec<_> = super::case::codes(&assessment).into_iter().collect();
        assert_eq!(codes, expected, "{mode}");
        assert!(!assessment.own_side && assessment.unseen.is_empty(), "{mode}");
    }
}

/// What people read is made of whole sentences, and holds no trace of the code.
#[test]
fn sentences_are_whole() {
    for pair in pairs() {
        for context in CONTEXTS {
            for finding in judged(context, pair.raised).findings {
                // What is to be published stands at the end of a fix, on a line of its own.
                let (fix, line) = finding.fix.rsplit_once('\n').unwrap_or((&finding.fix, ""));
                let published = line.contains(" TXT \"") || line.contains(" TLSA ");
                assert!(line.is_empty() || (published && fix.ends_with(':')), "{}", finding.fix);
                let fix = fix.strip_suffix(':').map_or_else(|| fix.to_owned(), |fix| format!("{fix}."));
                for text in [&finding.detail, &fix] {
                    let context = format!("{}: {text}", finding.code);
                    // A sentence begins with a capital letter, a number, or the name that it is about.
                    let first = text.split(' ').next().unwrap_or_default();
                    let begins = first.starts_with(|c: char| c.is_uppercase() || c.is_ascii_digit())
                        || first.contains(['.', '_']);
                    assert!(begins && text.ends_with(['.', '"']), "{context}");
                    for slip in ["..", "  ", " .", ",,", "::", ":.", ". .", "Some(", "None)", "{", "}", " ,", "\n"] {
                        assert!(!text.replace("0 .", "").replace("::1", "").contains(slip), "{slip:?} in {context}");
                    }
                }
            }
        }
    }
}
