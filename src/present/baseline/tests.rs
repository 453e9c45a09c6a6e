use std::net::IpAddr;

use super::*;
use crate::{
    present::{Look, WIDTH, fixture, text::is_dangerous},
    terms::MxHost,
    verdict::Code,
};

const PLAIN: Look = Look { colour: false, unicode: true, verbose: false };
const ERROR: Option<Severity> = Some(Severity::Error);
const WARNING: Option<Severity> = Some(Severity::Warning);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn at(code: Code, severity: Severity, address: &str) -> Finding {
    let subject = Subject::MxAddress(MxHost::parse("mx1.example.com").unwrap(), ip(address));
    fixture::finding(code, severity, subject, "It is so.", "Mend it.")
}

fn of_domain(code: Code, severity: Severity) -> Finding {
    fixture::finding(code, severity, Subject::Domain(fixture::domain("example.com")), "It is so.", "Mend it.")
}

fn with(delivery: State, findings: Vec<Finding>) -> Assessment {
    let mut assessment = fixture::healthy("example.com");
    (assessment.delivery, assessment.findings) = (delivery, findings);
    assessment
}

fn saved(assessment: &Assessment) -> Baseline {
    Baseline::new(std::slice::from_ref(assessment), fixture::NOW, None)
}

fn compared(before: &Assessment, now: &Assessment) -> Comparison {
    saved(before).compare(now)
}

fn counts(comparison: &Comparison) -> [usize; 5] {
    [
        comparison.new.len(),
        comparison.more_severe.len(),
        comparison.less_severe.len(),
        comparison.same.len(),
        comparison.gone.len(),
    ]
}

#[test]
fn what_is_written_is_read() {
    let baseline = Baseline::new(
        &[fixture::backup_expired("a.example"), fixture::own_side("b.example"), fixture::hostile("c.example")],
        fixture::NOW,
        None,
    );
    let text = baseline.text().unwrap();
    assert_eq!(Baseline::parse(&text), Ok(baseline));
    assert!(!text.chars().any(|c| c != '\n' && is_dangerous(c)));
}

#[test]
fn a_stranger_and_a_damaged_file_are_told_apart() {
    let text = saved(&fixture::backup_expired("a.example")).text().unwrap();
    let error = |text: &str| Baseline::parse(text).unwrap_err().to_string();
    assert!(error("").contains("no JSON"));
    assert!(error(&text[..text.len() / 2]).contains("no JSON (EOF while parsing"));
    assert!(error("[1, 2]").contains("not written by check --save"));
    assert!(error("{\"format\": \"other\"}").contains("not written by check --save"));
    assert!(
        error(&text.replace("\"version\": 1", "\"version\": 2"))
            .contains("version 2, and this program reads version 1")
    );
    assert!(error(&text.replace("\"version\": 1", "\"version\": null")).contains("its version is missing"));
    assert!(error(&text.replace("\"delivery\"", "\"deliverance\"")).contains("damaged: missing field `delivery`"));
    assert!(error(&text.replace("\"partial\"", "\"fine\"")).contains("damaged: unknown variant `fine`"));
}

#[test]
fn nothing_changed() {
    let before = with(State::Partial, vec![of_domain(Code::StsIdNotChanged, Severity::Error)]);
    let comparison = compared(&before, &before);
    assert_eq!(counts(&comparison), [0, 0, 0, 1, 0]);
    assert!(!comparison.got_worse(WARNING));
}

#[test]
fn values_in_the_words_make_no_news() {
    let mut aged = at(Code::CertificateExpiring, Severity::Warning, "192.0.2.1");
    let before = with(State::Protected, vec![aged.clone()]);
    aged.detail = "The certificate expires in 9 days.".into();
    let now = with(State::Protected, vec![aged.clone()]);
    assert!(!compared(&before, &now).got_worse(WARNING), "it merely ages");
    aged.severity = Severity::Error;
    let crossed = with(State::Protected, vec![aged]);
    let comparison = compared(&before, &crossed);
    assert_eq!(counts(&comparison), [0, 1, 0, 0, 0]);
    assert!(comparison.got_worse(ERROR), "it crossed a band");
    assert_eq!(counts(&compared(&crossed, &before)), [0, 0, 1, 0, 0]);
}

#[test]
fn new_findings_count_at_or_above_the_severity() {
    let before = with(State::Protected, vec![]);
    for (severity, [error, warning, never]) in [
        (Severity::Error, [true, true, false]),
        (Severity::Warning, [false, true, false]),
        (Severity::Info, [false, false, false]),
    ] {
        let comparison = compared(&before, &with(State::Protected, vec![of_domain(Code::StsIdNotChanged, severity)]));
        assert_eq!(comparison.new.len(), 1);
        assert_eq!([ERROR, WARNING, None].map(|least| comparison.got_worse(least)), [error, warning, never]);
    }
}

#[test]
fn a_known_info_that_became_a_warning_fails_only_where_warnings_do() {
    let before = with(State::Protected, vec![of_domain(Code::TlsLegacyAccepted, Severity::Info)]);
    let now = with(State::Protected, vec![of_domain(Code::TlsLegacyAccepted, Severity::Warning)]);
    let comparison = compared(&before, &now);
    assert_eq!([ERROR, WARNING, None].map(|least| comparison.got_worse(least)), [false, true, false]);
}

#[test]
fn delivery_gets_worse_by_what_becomes_of_mail() {
    use State::{Blocked, NoMail, Partial, Protected, Unknown, Unprotected};
    for (before, now, worse) in [
        (Protected, Unprotected, true),
        (Protected, Partial, true),
        (Unprotected, Partial, true),
        (Partial, Blocked, true),
        (Protected, NoMail, true),
        (Unprotected, Protected, false),
        (Blocked, Partial, false),
        (NoMail, Unprotected, false),
        (Protected, Unknown, false),
        (Unknown, Blocked, false),
    ] {
        let comparison = compared(&with(before, vec![]), &with(now, vec![]));
        assert_eq!(comparison.delivery_got_worse(), worse, "{before:?} to {now:?}");
        assert_eq!(comparison.got_worse(ERROR), worse);
        assert!(!comparison.got_worse(None));
    }
}

#[test]
fn an_address_that_moved_is_no_news_and_one_more_is() {
    let finding = |address| at(Code::CertificateExpired, Severity::Error, address);
    let before = with(State::Partial, vec![finding("192.0.2.1"), finding("192.0.2.2")]);
    let moved = with(State::Partial, vec![finding("192.0.2.2"), finding("192.0.2.7")]);
    assert_eq!(counts(&compared(&before, &moved)), [0, 0, 0, 2, 0]);
    let more = with(State::Partial, vec![finding("192.0.2.2"), finding("192.0.2.7"), finding("192.0.2.8")]);
    let comparison = compared(&before, &more);
    assert_eq!(counts(&comparison), [1, 0, 0, 2, 0]);
    assert!(comparison.got_worse(ERROR));
    let fewer = with(State::Partial, vec![finding("192.0.2.9")]);
    assert_eq!(counts(&compared(&before, &fewer)), [0, 0, 0, 1, 1]);
    let other = with(State::Partial, vec![at(Code::CertificateUntrusted, Severity::Error, "192.0.2.1")]);
    assert_eq!(counts(&compared(&before, &other)), [1, 0, 0, 0, 2], "another code is another finding");
}

#[test]
fn of_those_that_moved_the_worst_meets_the_worst() {
    let finding = |severity, address| at(Code::SmtpTimeout, severity, address);
    let before =
        with(State::Partial, vec![finding(Severity::Warning, "192.0.2.1"), finding(Severity::Error, "192.0.2.2")]);
    let now =
        with(State::Partial, vec![finding(Severity::Warning, "192.0.2.3"), finding(Severity::Error, "192.0.2.4")]);
    assert_eq!(counts(&compared(&before, &now)), [0, 0, 0, 2, 0]);
}

#[test]
fn an_acceptance_takes_a_finding_away_and_its_end_brings_it_back() {
    let open = with(State::Partial, vec![of_domain(Code::StsIdNotChanged, Severity::Error)]);
    let mut accepted = open.clone();
    accepted.findings[0].accepted = Some("known".into());
    assert_eq!(counts(&compared(&open, &accepted)), [0, 0, 0, 0, 1]);
    assert!(compared(&accepted, &open).got_worse(ERROR));
}

#[test]
fn what_this_side_cannot_see_is_no_finding_of_a_domain() {
    let now = with(
        State::Protected,
        vec![fixture::finding(Code::VantageLimited, Severity::Error, Subject::Monitor, "No route.", "")],
    );
    assert_eq!(counts(&compared(&with(State::Protected, vec![]), &now)), [0; 5]);
}

#[test]
fn a_domain_that_is_not_in_the_file_counts_in_full() {
    let other = saved(&fixture::healthy("other.example"));
    let comparison = other.compare(&fixture::backup_expired("example.com"));
    assert!(!comparison.known && comparison.got_worse(ERROR));
    assert_eq!(comparison.delivery_before, None);
    assert!(!other.compare(&fixture::healthy("example.com")).got_worse(WARNING), "there is nothing to count");
}

#[test]
fn what_could_not_be_seen_is_neither_gone_nor_forgotten() {
    let before = with(State::Partial, vec![of_domain(Code::StsIdNotChanged, Severity::Error)]);
    let mut unseen = with(State::Unknown, vec![]);
    unseen.own_side = true;
    let comparison = compared(&before, &unseen);
    assert_eq!((counts(&comparison), comparison.seen), ([0; 5], false));
    assert!(!comparison.got_worse(WARNING));
    let baseline = saved(&before);
    let again = Baseline::new(&[unseen.clone()], fixture::NOW, Some(&baseline));
    assert_eq!(again.compare(&before).same.len(), 1, "the domain stays as it was");
    let alone = Baseline::new(&[unseen], fixture::NOW, None);
    let comparison = alone.compare(&before);
    assert_eq!(comparison.new.len(), 1, "nothing was known of it");
    assert!(!comparison.known && comparison.unseen_before);
    assert!(!comparison.got_worse(WARNING), "it may have been there");
    let text = section(&[comparison], "ci.json", fixture::NOW, WARNING, fixture::NOW, PLAIN);
    assert!(text.contains("It could not be checked when it was saved"), "{text}");
    assert!(text.contains("Nothing got worse") && !text.contains("not in the file"), "{text}");
}

#[test]
fn a_run_for_a_part_of_the_list_keeps_the_rest() {
    let both = Baseline::new(&[fixture::healthy("a.example"), fixture::blocked("b.example")], fixture::NOW, None);
    let part = Baseline::new(&[fixture::healthy("a.example")], fixture::NOW, Some(&both));
    let comparison = part.compare(&fixture::blocked("b.example"));
    assert!(comparison.known && !comparison.got_worse(WARNING));
}

fn shown(before: &[Assessment], now: &[Assessment], least: Option<Severity>) -> String {
    let saved_at = fixture::NOW - std::time::Duration::from_secs(3 * 86_400);
    let baseline = Baseline::new(before, saved_at, None);
    let comparisons: Vec<Comparison> = now.iter().map(|one| baseline.compare(one)).collect();
    section(&comparisons, "ci.json", baseline.saved_at, least, fixture::NOW, PLAIN)
}

#[test]
fn one_domain_for_people() {
    let before = with(
        State::Protected,
        vec![
            at(Code::CertificateExpiring, Severity::Warning, "192.0.2.1"),
            of_domain(Code::StsRecordTtlLong, Severity::Warning),
            of_domain(Code::TlsLegacyAccepted, Severity::Info),
        ],
    );
    let now = with(
        State::Partial,
        vec![
            at(Code::CertificateExpiring, Severity::Error, "192.0.2.1"),
            of_domain(Code::StsIdNotChanged, Severity::Error),
            of_domain(Code::TlsLegacyAccepted, Severity::Info),
        ],
    );
    insta::assert_snapshot!(shown(&[before], &[now], ERROR));
}

#[test]
fn several_domains_for_people() {
    let before = [
        fixture::backup_expired("known.example"),
        fixture::healthy("worse.example"),
        fixture::blocked("better.example"),
        fixture::testing("unseen.example"),
    ];
    let now = [
        fixture::backup_expired("known.example"),
        fixture::blocked("worse.example"),
        fixture::healthy("better.example"),
        fixture::own_side("unseen.example"),
        fixture::testing("new.example"),
    ];
    insta::assert_snapshot!(shown(&before, &now, WARNING));
    assert!(shown(&before, &before, ERROR).contains("Nothing got worse."));
}

#[test]
fn no_line_is_too_wide_and_none_can_do_harm() {
    let mut long = fixture::backup_expired("example.com");
    for finding in &mut long.findings {
        finding.subject = Subject::Mx(format!("mx\u{1b}[2J.{}", "very-long.".repeat(6)));
    }
    let text = shown(&[fixture::healthy("example.com")], &[long], ERROR);
    for line in text.lines() {
        assert!(!line.chars().any(is_dangerous), "{line:?}");
        let longest = line.split(' ').map(|word| word.chars().count()).max().unwrap_or(0);
        assert!(line.chars().count() <= WIDTH || line.trim().chars().count() <= longest + 12, "{line}");
    }
}
