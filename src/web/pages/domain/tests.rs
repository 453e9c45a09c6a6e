//! The page in every state that a domain can have.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::*;
use crate::{
    facts::{Phase, SmtpOutcome},
    metrics::fixture as states,
    present::{
        Briefing,
        fixture::{self, NOW},
        transcript::transcript,
        words,
    },
    protocol::tls_rpt::{PolicyType, ResultType},
    terms::{MxHost, PolicyDomain},
    verdict::{
        Cell, Change, ChangeKind, ChangeSubject, DomainReports, HeldVersion, Measure, OwnView, ReportedFailure,
        ReporterDay, ReporterStanding, ReportsAssessment, SeenCertificate, Sessions, State, Tally,
    },
    web::Mount,
};

const TODAY: i64 = NOW.unix_seconds() / 86_400;

fn days_ago(days: u64) -> Timestamp {
    NOW - Duration::from_secs(days * 86_400)
}

fn mx2() -> MxHost {
    MxHost::parse("mx2.example.com").unwrap()
}

fn nothing() -> Past {
    Past::Known { changes: Vec::new(), more: false, certificates: BTreeMap::new() }
}

fn state_of(seen: Assessment) -> DomainState {
    let domain = seen.domain.clone();
    (*states::domain_state(domain.as_str(), Some(seen))).clone()
}

/// The page on a server below a prefix.
fn shown(state: &DomainState, past: &Past, prompting: bool) -> String {
    let mount = Mount::new(None, Some("/mail".parse().unwrap()));
    let site = Site { links: mount.links(), metrics_path: "/metrics", prompting };
    page(&Shown { state, past, site, now: NOW }).into_string()
}

fn page_of(seen: Assessment) -> String {
    shown(&state_of(seen), &nothing(), true)
}

fn every_state() -> Vec<Assessment> {
    vec![
        fixture::healthy("example.com"),
        fixture::backup_expired("example.com"),
        fixture::blocked("example.com"),
        fixture::unprotected("example.com"),
        fixture::testing("example.com"),
        fixture::policy_gone("example.com"),
        fixture::own_side("example.com"),
        fixture::down("example.com"),
        fixture::no_mail("example.com"),
        fixture::unknown("example.com"),
        fixture::odd_hosts("example.com"),
        fixture::long_names("example.com"),
        fixture::implicit("example.com"),
        fixture::turned_away("example.com"),
        fixture::policy_invalid("example.com"),
        fixture::moved("example.com"),
        fixture::almost_ready("example.com"),
        fixture::withdrawn("example.com"),
        fixture::dane("example.com"),
    ]
}

/// The text of a page as people read it, with each run of blanks as one.
fn read(html: &str) -> String {
    let mut text = String::new();
    let mut inside = false;
    for character in html.chars() {
        match character {
            '<' => inside = true,
            '>' => {
                inside = false;
                text.push(' ');
            }
            other if !inside => text.push(other),
            _ => {}
        }
    }
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn same_blanks(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The values of an attribute.
fn values<'a>(html: &'a str, attribute: &str) -> Vec<&'a str> {
    let wanted = format!(" {attribute}=\"");
    html.split(wanted.as_str()).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

/// Two reporters over 40 days, with two days without a report, one failure long ago and some now.
fn reports() -> DomainReports {
    let mut all = DomainReports::default();
    for back in (1..40_i64).filter(|back| ![7, 8].contains(back)) {
        for (who, sessions) in [("google.com", 900), ("microsoft.com", 300)] {
            let failed = if back < 5 { 60 } else { u64::from(back == 20) };
            let cell = |measure| Cell { policy_type: PolicyType::Sts, measure };
            let detail = Measure::Detail(ResultType::CertificateExpired, Some("mx2.example.com".into()));
            let numbers = [(Measure::Sessions, sessions), (Measure::Failed, failed), (detail, failed)];
            let mut day = ReporterDay::default();
            day.tally.extend(numbers.map(|(measure, number)| (cell(measure), number)));
            all.days.entry(TODAY - back).or_default().insert(who.into(), day);
        }
    }
    all
}

/// What follows from them.
fn said() -> ReportsAssessment {
    ReportsAssessment {
        last_arrived_at: Some(days_ago(0)),
        last_end: Some(days_ago(1)),
        complete_until: TODAY - 2,
        complete_days: 5,
        sessions: Vec::new(),
        failures: vec![ReportedFailure {
            policy_type: PolicyType::Sts,
            result_type: ResultType::CertificateExpired,
            mx: Some("mx2.example.com".into()),
            sessions: 240,
            reporters: vec!["google.com".into(), "microsoft.com".into()],
            first_day: TODAY - 4,
            last_day: TODAY - 1,
            own: OwnView::Agrees,
            own_words: "The same is seen from here: the certificate expired.".into(),
        }],
        reporters: vec![ReporterStanding {
            name: "google.com".into(),
            verified: true,
            last_day: TODAY - 1,
            sessions: Sessions { sessions: 6300, failed: 240 },
            regular: true,
            silent: true,
            policy: HeldVersion::Old,
        }],
        new_failures: Vec::new(),
    }
}

fn change(days: u64, subject: ChangeSubject, kind: ChangeKind, before: Option<&str>, after: Option<&str>) -> Change {
    Change { at: days_ago(days), subject, kind, before: before.map(str::to_owned), after: after.map(str::to_owned) }
}

/// A domain with all that time adds.
fn full() -> (DomainState, Past) {
    let domain = PolicyDomain::parse("example.com").unwrap();
    let mut seen = fixture::backup_expired("example.com");
    seen.history = fixture::moved("example.com").history;
    seen.history.delivery_changes = Tally { total: 2, last_at: Some(days_ago(3)) };
    seen.reports = Some(said());
    let address = "192.0.2.20".parse().unwrap();
    let changes = vec![
        change(3, ChangeSubject::Domain(domain.clone()), ChangeKind::Delivery, Some("protected"), Some("partial")),
        change(3, ChangeSubject::Domain(domain), ChangeKind::Policy, Some("testing"), Some("enforce, mx2.example.com")),
        change(40, ChangeSubject::Address(mx2(), address), ChangeKind::Certificate, Some("R11"), Some("R12")),
        change(41, ChangeSubject::Host(mx2()), ChangeKind::Tlsa, Some("3 1 1 ab"), None),
    ];
    let former = |fingerprint: &str, from: u64, last: u64| SeenCertificate {
        fingerprint_sha256: fingerprint.into(),
        subject: "CN=mx2".into(),
        issuer_cn: "R11".into(),
        not_before: days_ago(from),
        not_after: days_ago(from) + Duration::from_secs(90 * 86_400),
        first: days_ago(from),
        last: days_ago(last),
    };
    let certificates = BTreeMap::from([((mx2(), address), vec![former("01", 160, 100), former("02", 110, 85)])]);
    let mut state = state_of(seen);
    state.reports = Some(Arc::new(reports()));
    state.due_at = Some(NOW + Duration::from_secs(240));
    state.group = "a & b".into();
    (state, Past::Known { changes, more: true, certificates })
}

#[test]
fn every_state_is_told_in_the_words_of_check() {
    for seen in every_state() {
        let briefing = Briefing::new(&seen, NOW, true);
        let text = read(&page_of(seen));
        let mut told: Vec<String> = briefing.sentences.clone();
        told.push(briefing.verdict.to_owned());
        told.extend(briefing.unseen.clone());
        for advice in briefing.fix_first.iter().chain(&briefing.also) {
            told.extend(advice.heads.clone());
            told.extend(advice.todo.clone());
            told.extend(advice.record.clone());
            told.push(advice.words());
            told.push(advice.code.to_string());
        }
        for accepted in &briefing.accepted {
            told.extend([accepted.head.clone(), accepted.reason.clone()]);
        }
        for part in told {
            assert!(text.contains(&same_blanks(&part)), "{part}: {text}");
        }
    }
}

#[test]
fn the_verdict_comes_first_then_what_to_do_then_the_evidence() {
    let (state, past) = full();
    let html = shown(&state, &past, true);
    let order = [
        "class=\"badge partial\"",
        "id=\"fix-first\"",
        "id=\"also\"",
        "id=\"accepted\"",
        "id=\"hosts\"",
        "id=\"policy\"",
        "id=\"held\"",
        "id=\"enforce\"",
        "id=\"certificates\"",
        "id=\"changes\"",
        "id=\"reports\"",
        "id=\"probes\"",
        "id=\"elsewhere\"",
    ];
    let places: Vec<usize> =
        order.iter().map(|part| html.find(part).unwrap_or_else(|| panic!("{part}: {html}"))).collect();
    assert!(places.is_sorted(), "{places:?}");
}

#[test]
fn a_page_is_sound() {
    let (state, past) = full();
    let unprobed = states::domain_state("new.example", None);
    let mut pages: Vec<String> = every_state().into_iter().map(page_of).collect();
    pages.extend([shown(&state, &past, true), shown(&unprobed, &past, true)]);
    for html in pages {
        let ids = values(&html, "id");
        let different: BTreeSet<&&str> = ids.iter().collect();
        assert_eq!(different.len(), ids.len(), "an id stands twice: {ids:?}");
        for label in values(&html, "aria-labelledby").into_iter().chain(values(&html, "aria-describedby")) {
            assert!(ids.contains(&label), "{label} labels nothing");
        }
        assert_eq!(html.matches("<h1").count(), 1);
        assert!(!html.contains(" style=") && !html.contains("<script") && !html.contains("<style"), "{html}");
        for link in values(&html, "href").into_iter().chain(values(&html, "action")) {
            let inside = link.starts_with("/mail/") || link.starts_with('#') || link.starts_with("data:,");
            assert!(inside, "{link}");
        }
    }
}

#[test]
fn the_head_tells_the_verdict_and_the_group() {
    let (state, past) = full();
    let html = shown(&state, &past, true);
    assert!(html.contains("<title>example.com: partly deliverable · smtptls-exporter</title>"), "{html}");
    assert!(html.contains("in the group <a href=\"/mail/?group=a%20%26%20b\">a &amp; b</a>"), "{html}");
    assert!(!page_of(fixture::healthy("example.com")).contains("in the group"));
}

#[test]
fn since_when_and_what_changed_just_before() {
    let (mut state, past) = full();
    let text = read(&shown(&state, &past, true));
    assert!(text.contains("partly deliverable for 3 days (since 20 Nov)"), "{text}");
    let cause = "What changed in the day before: Policy: testing → enforce, mx2.example.com ( 20 Nov, 20:00 UTC )";
    assert!(text.contains(cause), "{text}");
    assert!(!text.contains("day before: Delivery"), "that is what is explained");

    // What cannot be seen has not changed.
    let seen = state.assessment.as_mut().map(Arc::make_mut).unwrap();
    *seen = Assessment { history: seen.history.clone(), ..fixture::own_side("example.com") };
    let text = read(&shown(&state, &past, true));
    assert!(!text.contains("since 20 Nov") && !text.contains("in the day before"), "{text}");
    assert!(text.contains("unknown, not broken"), "{text}");
}

#[test]
fn who_can_fix_it_is_said_on_every_card() {
    for seen in every_state() {
        let briefing = Briefing::new(&seen, NOW, true);
        let html = page_of(seen);
        let cards = briefing.fix_first.len() + briefing.also.len();
        assert_eq!(html.matches("<article class=\"card ").count(), cards);
        let told = ["You can fix this.", "provider can fix", "provider is in charge", "Nobody has to"];
        let all: usize = told.iter().map(|words| html.matches(words).count()).sum();
        assert_eq!(all, cards);
    }
}

#[test]
fn every_address_has_its_row_and_every_host_its_link() {
    let seen = fixture::odd_hosts("example.com");
    let addresses: Vec<String> =
        seen.mx.iter().flat_map(|mx| &mx.addresses).map(|address| address.path.address.to_string()).collect();
    let hosts: Vec<String> = seen.mx.iter().filter_map(|mx| Some(mx.host.as_ref()?.to_string())).collect();
    let html = page_of(seen);
    for address in addresses {
        assert!(html.contains(&format!("<td>{address}</td>")), "{address}");
    }
    for host in hosts {
        assert!(html.contains(&format!("href=\"/mail/hosts/{host}\"")), "{host}");
    }
    let text = read(&html);
    for words in ["no address", "no host name", "self-signed", "3 addresses beyond the configured limit"] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn an_address_that_is_up_by_an_earlier_look_says_so() {
    let mut seen = fixture::healthy("example.com");
    assert!(!page_of(seen.clone()).contains("not at the last look"));
    let path = Arc::make_mut(&mut seen.mx[0].addresses[0].path);
    let mut latest = (**path.latest.as_ref().unwrap()).clone();
    latest.at = NOW + Duration::from_secs(600);
    latest.outcome = SmtpOutcome::Timeout(Phase::Banner);
    path.latest = Some(Arc::new(latest));
    assert_eq!(page_of(seen).matches("not at the last look").count(), 1);
}

#[test]
fn what_senders_hold_is_told_with_its_end() {
    let seen = fixture::moved("example.com");
    let held = seen.history.held.clone();
    let html = page_of(seen);
    for one in &held {
        assert!(html.contains(&format!("<time datetime=\"{}\"", one.expires)), "{one:?}");
    }
    let text = read(&html);
    for words in [
        "mx1.example.com and mail.old.example",
        "until 29 Nov, 20:00 UTC, in 6 days at least",
        "mx3.example.com: safe in practice from 24 Nov",
        "mx5.example.com: not safe",
        "It is in enforce.",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!page_of(fixture::unprotected("example.com")).contains("id=\"held\""), "nothing was ever published");
}

#[test]
fn whether_it_can_go_to_enforce_is_a_list_of_conditions() {
    let seen = fixture::almost_ready("example.com");
    let conditions = seen.history.enforce.clone().unwrap().conditions;
    let text = read(&page_of(seen));
    assert!(text.contains("Not yet: 1 of 4 conditions fails."), "{text}");
    for condition in conditions {
        let sign = if condition.met { "✓ yes: " } else { "no: " };
        assert!(text.contains(&format!("{sign}{} {}", condition.reason, condition.name)), "{condition:?}: {text}");
    }

    let mut ready = fixture::almost_ready("example.com");
    let enforce = ready.history.enforce.as_mut().unwrap();
    enforce.conditions.iter_mut().for_each(|condition| condition.met = true);
    (enforce.ready, enforce.confident, enforce.since) = (true, true, Some(days_ago(2)));
    let text = read(&page_of(ready));
    assert!(text.contains("Yes: it would lose no mail. It has been so since 21 Nov"), "{text}");

    let mut new = fixture::almost_ready("example.com");
    new.history.known_since = Some(NOW);
    let text = read(&page_of(new));
    assert!(text.contains("This cannot be told yet") && !text.contains("mx-covered"), "{text}");
    let text = read(&page_of(fixture::unprotected("example.com")));
    assert!(text.contains("smtptls-exporter policy suggest example.com"), "{text}");
}

#[test]
fn a_policy_that_cannot_be_used_or_seen_is_not_called_missing() {
    let told = |seen: Assessment| {
        let page = read(&page_of(seen));
        let (_, rest) = page.split_once("Can it go to enforce? ").unwrap();
        rest.chars().take(200).collect::<String>()
    };
    let announced = told(fixture::policy_invalid("example.com"));
    assert!(announced.starts_with("A policy is announced, and senders cannot use it: mend that first."), "{announced}");
    let mut unseen = fixture::policy_invalid("example.com");
    unseen.policy.fetch_success = None;
    assert!(told(unseen).starts_with("Not seen: a policy is announced"));
    assert!(told(fixture::unknown("example.com")).starts_with("Not seen: the record"));
    assert!(told(fixture::unprotected("example.com")).starts_with("There is no policy yet."));
}

#[test]
fn certificates_stand_on_a_line_each_with_those_before() {
    let (state, past) = full();
    let html = shown(&state, &past, true);
    let plot = html.split("id=\"certificates-plot\"").nth(1).unwrap().split("</svg>").next().unwrap();
    // Two addresses of mx1 show the same one; the policy host has its own.
    assert_eq!(plot.matches("class=\"name\"").count(), 3, "{plot}");
    assert_eq!(plot.matches("class=\"bar former\"").count(), 2);
    assert_eq!(plot.matches("class=\"bar bad\"").count(), 1, "the one that expired");
    assert!(plot.contains(">mx1.example.com, 2 addresses</text>"), "{plot}");
    assert!(read(&html).contains("mx1.example.com [192.0.2.10] [2001:db8::10]"));
    assert!(!page_of(fixture::down("example.com")).contains("class=\"bar bad\""), "none was seen at a mail host");
    assert!(!page_of(fixture::unknown("example.com")).contains("id=\"certificates\""), "none was seen at all");
}

#[test]
fn changes_are_told_from_what_to_what() {
    let (state, past) = full();
    let html = shown(&state, &past, true);
    let section = read(html.split("id=\"changes\"").nth(1).unwrap().split("</section>").next().unwrap());
    for words in [
        "3 days ago (20 Nov) 20 Nov, 20:00 UTC Delivery ● protected ◐ partly deliverable",
        "Certificate of mx2.example.com [192.0.2.20] R11 R12",
        "TLSA records of mx2.example.com 3 1 1 ab none",
        "All changes",
    ] {
        assert!(section.contains(words), "{words}: {section}");
    }
    let text = read(&shown(&state, &nothing(), true));
    assert!(text.contains("Nothing changed since"), "{text}");
}

#[test]
fn a_page_without_its_past_still_comes_and_says_so() {
    let (state, _) = full();
    let text = read(&shown(&state, &Past::Unknown("The state could not be read in time."), true));
    assert!(text.contains("Not known. The state could not be read in time."), "{text}");
    assert!(text.contains("Fix first") && text.contains("mx2.example.com [192.0.2.20]"), "{text}");
    assert!(!text.contains("Nothing changed"), "unknown is not nothing");
}

#[test]
fn reports_are_plotted_and_no_report_is_not_no_session() {
    let (state, past) = full();
    let html = shown(&state, &past, true);
    let plot = html.split("id=\"sessions-plot\"").nth(1).unwrap().split("</svg>").next().unwrap();
    assert_eq!(plot.matches("<g class=\"day").count(), 30);
    // Days 7 and 8 have no report, and neither has the present day.
    assert_eq!(plot.matches("class=\"bar gap\"").count(), 3, "{plot}");
    assert_eq!(plot.matches("class=\"bar bad\"").count(), 5);
    // The present day and the one before are not complete: reports come up to 28 hours later.
    assert_eq!(plot.matches("<g class=\"day pending\"").count(), 2);
    let text = read(&html);
    // 27 days with 1200 sessions each; 4 days with 120 failures, and one with 2.
    for words in [
        "In the last 30 days reports tell of 32400 sessions; 482 of them failed.",
        "certificate-expired under MTA-STS mx2.example.com 240 google.com and microsoft.com 19 Nov to 22 Nov \
         Yes. The same is seen from here",
        "google.com 22 Nov has stopped 6300 240 an old one",
        "16 Nov no report",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn without_reports_it_says_why() {
    let mut state = state_of(fixture::healthy("example.com"));
    assert!(read(&shown(&state, &nothing(), true)).contains("No way for reports to come in is configured"));
    state.reports = Some(Arc::default());
    let text = read(&shown(&state, &nothing(), true));
    assert!(text.contains("No report has come in yet") && !text.contains("0 of them failed"), "{text}");
}

#[test]
fn probes_are_told_and_asked_for() {
    let (mut state, past) = full();
    let html = shown(&state, &past, true);
    assert!(html.contains("<form method=\"post\" action=\"/mail/domains/example.com/probe\">"), "{html}");
    assert!(!html.contains("<button type=\"submit\" disabled"));
    assert!(read(&html).contains("Next look in 4 minutes"), "{}", read(&html));
    assert!(shown(&state, &past, false).contains("<button type=\"submit\" disabled"));
    state.due_at = Some(NOW);
    assert!(read(&shown(&state, &past, true)).contains("Next look now"));
}

#[test]
fn a_domain_that_was_not_probed_is_not_judged() {
    let state = states::domain_state("new.example", None);
    let text = read(&shown(&state, &nothing(), true));
    assert!(text.contains("not probed yet") && text.contains("has not looked at this domain yet"), "{text}");
    for state in State::ALL {
        assert!(!text.contains(words::state(state)), "{state}: {text}");
    }
    assert!(text.contains("Probe now"));
}

#[test]
fn hostile_text_stays_text() {
    let evil = "</pre></code><script>alert(1)</script><img src=x onerror=alert(2)>\"'&";
    let mut seen = fixture::hostile("example.com");
    let bad = |text: &mut String| text.push_str(evil);
    seen.sts_record.txt.iter_mut().for_each(bad);
    seen.sts_record.cname.iter_mut().for_each(bad);
    seen.policy.body.iter_mut().for_each(bad);
    seen.policy.media_type.iter_mut().for_each(bad);
    seen.policy.addresses.iter_mut().for_each(|(_, _, error)| error.iter_mut().for_each(bad));
    seen.tlsrpt.rua.iter_mut().for_each(|destination| destination.uri.push_str(evil));
    seen.unseen.push(evil.into());
    seen.mx.iter_mut().for_each(|mx| mx.target.push_str(evil));
    for found in &mut seen.findings {
        found.detail.push_str(evil);
        found.fix.push_str(evil);
        found.accepted.iter_mut().for_each(bad);
    }
    for path in seen.mx.iter_mut().flat_map(|mx| &mut mx.addresses).map(|address| Arc::make_mut(&mut address.path)) {
        let leaf = |chain: &mut Arc<crate::facts::ChainFacts>| {
            let leaf = &mut Arc::make_mut(chain).leaf;
            leaf.issuer_cn.push_str(evil);
            leaf.subject.push_str(evil);
            leaf.names.push(evil.into());
        };
        path.certificate.iter_mut().for_each(|certificate| leaf(&mut certificate.chain));
    }
    let mut said = said();
    said.failures[0].mx = Some(evil.into());
    said.failures[0].own_words = evil.into();
    said.failures[0].reporters = vec![evil.into()];
    said.reporters[0].name = evil.into();
    seen.reports = Some(said);
    let mut state = state_of(seen);
    state.reports = Some(Arc::new(reports()));
    let host = ChangeSubject::Host(mx2());
    let changes = vec![change(1, host, ChangeKind::Tlsa, Some(evil), Some(evil))];
    let html = shown(&state, &Past::Known { changes, more: false, certificates: BTreeMap::new() }, true);
    assert!(html.matches("&lt;script&gt;alert(1)&lt;/script&gt;").count() > 20, "it is shown: {html}");
    assert!(!html.contains("<script") && !html.contains("<img") && !html.contains("onerror=alert(2)>\""), "{html}");
    // Nothing that peers sent can steer what stands around it.
    assert!(!html.contains(['\u{1b}', '\u{202e}', '\u{9b}', '\u{7}']), "control characters");
}

#[test]
fn a_name_that_is_not_configured_gets_a_hint() {
    let mount = Mount::new(None, Some("/mail".parse().unwrap()));
    let snapshot = states::snapshot();
    let hint = |name: &str| unknown(name, None, &snapshot, mount.links(), NOW).into_string();
    let html = hint("exmaple.com");
    assert!(html.contains("Did you mean <a href=\"/mail/domains/example.com\">example.com</a>?"), "{html}");
    assert!(read(&html).contains("domains: - exmaple.com"), "{html}");
    let html = hint("mx1.example.com");
    assert!(html.contains("It is a mail host: <a href=\"/mail/hosts/mx1.example.com\">"), "{html}");
    assert!(!hint("elsewhere.test").contains("Did you mean"));
    let html = hint("<script>alert(1)</script>");
    assert!(html.contains("is no domain name") && !html.contains("<script"), "{html}");
    assert!(hint(&"x".repeat(5000)).len() < 6000, "it repeats no more than a name's length");
}

#[test]
fn the_transcript_is_that_of_check() {
    let seen = fixture::backup_expired("example.com");
    let transcript = transcript(None, &seen);
    let html = page_of(seen);
    let shown = read(html.split("id=\"transcript\"").nth(1).unwrap().split("</details>").next().unwrap());
    let steps = transcript.sections.iter().flat_map(|section| &section.steps);
    let titles: Vec<&str> = transcript
        .sections
        .iter()
        .map(|section| section.title.as_str())
        .chain(steps.map(|step| step.title.as_str()))
        .collect();
    assert!(titles.len() > 20, "{titles:?}");
    for title in titles {
        assert!(shown.contains(&same_blanks(title)), "{title}: {shown}");
    }

    let mut large = fixture::healthy("example.com");
    large.mx = (0..40).map(|_| large.mx[0].clone()).collect();
    let text = read(&page_of(large));
    assert!(text.contains("more parts: smtptls-exporter check example.com --verbose"), "{text}");
}
