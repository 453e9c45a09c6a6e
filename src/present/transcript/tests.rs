use std::{sync::Arc, time::Duration};

use super::*;
use crate::{
    facts::{
        AddressLookup, AddressObservation, Asked, ExtendedError, FetchFailure, FetchPhase, FetchTimes, Handshake,
        HttpResponse, Lookup, LookupFailure, LookupOutcome, MxRecord, MxTarget, Offer, Phase, PolicyFetch,
        PolicyHostObservation, Said, Security, SmtpOutcome, TlsFailure, TlsSurvey,
    },
    present::{Look, WIDTH, fixture, human, text::is_dangerous},
    terms::{MxHost, Octets},
    verdict::PathAssessment,
};

const PLAIN: Look = Look { colour: false, unicode: true, verbose: true };

fn after(milliseconds: u64) -> Timestamp {
    fixture::NOW + Duration::from_millis(milliseconds)
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A question whose answer came so many milliseconds after the begin of the look.
fn lookup<T>(name: &str, at: u64, took: u64, outcome: LookupOutcome<T>) -> Lookup<T> {
    Lookup {
        name: name.into(),
        at: after(at),
        outcome,
        cname: Vec::new(),
        security: Security::Insecure,
        signatures: None,
        message_bytes: 120,
        extended_errors: Vec::new(),
        asked: Asked::new(ms(took), Some("192.0.2.53".parse().unwrap())),
    }
}

fn records<T>(records: Vec<T>) -> LookupOutcome<T> {
    LookupOutcome::Records { records, ttl: 300 }
}

fn txt(text: &str) -> LookupOutcome<Vec<Octets>> {
    records(vec![vec![text.into()]])
}

/// The look at a domain whose backup has an expired certificate.
fn observation() -> DomainObservation {
    let mx = |preference, host: &str| MxRecord { preference, target: MxTarget::Host(MxHost::parse(host).unwrap()) };
    let fetch = PolicyFetch {
        address: "192.0.2.9".parse().unwrap(),
        at: after(95),
        times: FetchTimes {
            connect: Some(ms(10)),
            tls: Some(ms(25)),
            processing: Some(ms(9)),
            transfer: Some(Duration::from_micros(800)),
        },
        tls: None,
        response: Some(HttpResponse {
            status: 200,
            content_type: Some("text/plain".into()),
            location: None,
            content_encoding: None,
            age: None,
            cache_max_age: Some(300),
            body: "version: STSv1\r\nmode:   enforce\r\n\r\nmx: mx1.example.com\r\n".into(),
        }),
        failure: None,
    };
    DomainObservation {
        domain: fixture::domain("example.com"),
        started_at: fixture::NOW,
        duration: ms(800),
        sts_record: Lookup {
            cname: vec!["records.provider.example".into()],
            ..lookup("_mta-sts.example.com", 8, 8, txt("v=STSv1; id=20250301"))
        },
        tlsrpt_record: lookup("_smtp._tls.example.com", 9, 9, txt("v=TLSRPTv1; rua=mailto:tls@example.com")),
        mx: lookup("example.com", 12, 12, records(vec![mx(10, "mx1.example.com"), mx(20, "mx2.example.com")])),
        implicit: None,
        policy: PolicyHostObservation {
            host: "mta-sts.example.com".into(),
            addresses: AddressLookup {
                ip4: Some(lookup("mta-sts.example.com", 50, 20, records(vec!["192.0.2.9".parse().unwrap()]))),
                ip6: Some(lookup("mta-sts.example.com", 51, 21, LookupOutcome::NoData)),
            },
            resolve: ms(21),
            fetches: vec![fetch],
            skipped: 0,
        },
        rua: vec![RuaObservation {
            destination: "mailto:tls@example.com".into(),
            at: after(30),
            outcome: RuaOutcome::HasMx,
        }],
        resolver_healthy: true,
        dnssec_healthy: true,
    }
}

fn said(phase: Phase, command: &str, code: u16, text: &str) -> Said {
    Said { phase, command: command.into(), code, text: text.into(), cut: false }
}

/// What the fixtures say of an address, with its words.
fn talk(mut seen: AddressObservation) -> AddressObservation {
    seen.at = after(300);
    seen.times.ehlo_tls = Some(ms(4));
    seen.duration = ms(56);
    seen.said = vec![
        said(Phase::Banner, "", 220, "mx1.example.com ESMTP"),
        said(Phase::Ehlo, "EHLO probe.example", 250, "mx1.example.com\nPIPELINING\nSIZE 52428800\nSTARTTLS"),
        said(Phase::Starttls, "STARTTLS", 220, "2.0.0 Ready to start TLS"),
        said(Phase::EhloTls, "EHLO probe.example", 250, "mx1.example.com\nPIPELINING"),
    ];
    seen
}

/// An assessment with the first address of the first mail host changed.
fn with_first(mut assessment: Assessment, change: impl FnOnce(&mut PathAssessment)) -> Assessment {
    let path = &mut assessment.mx[0].addresses[0].path;
    change(Arc::make_mut(path));
    assessment
}

fn told() -> Assessment {
    with_first(fixture::backup_expired("example.com"), |path| {
        let seen = Arc::new(talk(AddressObservation::clone(path.latest.as_ref().unwrap())));
        path.latest = Some(Arc::clone(&seen));
        path.judged = Some(seen);
    })
}

#[test]
fn every_step_in_order() {
    insta::assert_snapshot!(transcript(Some(&observation()), &told()).text(PLAIN));
}

#[test]
fn without_the_look_at_the_domain_the_rest_is_there() {
    let transcript = transcript(None, &told());
    let titles: Vec<&str> = transcript.sections.iter().map(|section| section.title.as_str()).collect();
    assert!(titles.iter().all(|title| !title.contains("publishes")), "{titles:?}");
    assert!(titles.contains(&"mx1.example.com [192.0.2.10]"), "{titles:?}");
}

fn lines(section: &Section) -> Vec<(LineKind, &str)> {
    section.steps.iter().flat_map(|step| &step.lines).map(|line| (line.kind, line.text.as_str())).collect()
}

#[test]
fn a_question_without_an_answer() {
    let mut seen = observation();
    seen.sts_record = lookup("_mta-sts.example.com", 5000, 5000, LookupOutcome::Failed(LookupFailure::ServFail));
    seen.sts_record.extended_errors = vec![ExtendedError { code: 9, text: "no\u{1b}SEP".into() }];
    seen.mx.outcome = LookupOutcome::NxDomain;
    let section = dns::of_domain(&seen, DnssecSight::Validating);
    let lines = lines(&section);
    assert!(lines.contains(&(LineKind::Bad, "SERVFAIL")), "{lines:?}");
    assert!(lines.contains(&(LineKind::Received, "extended error 9 (DNSKEY missing): no\\x1bSEP")), "{lines:?}");
    assert!(lines.contains(&(LineKind::Received, "the name does not exist (NXDOMAIN)")), "{lines:?}");
    assert!(lines.contains(&(LineKind::Note, "DNSSEC insecure, 120 bytes, from 192.0.2.53")), "{lines:?}");
    assert_eq!(section.steps[1].took, Some(ms(5000)));
}

#[test]
fn an_answer_from_the_cache_says_so_and_has_no_place_in_time() {
    let mut seen = observation();
    seen.mx.at = fixture::NOW - Duration::from_secs(40);
    let section = dns::of_domain(&seen, DnssecSight::Off);
    let step = &section.steps[0];
    assert_eq!((step.at, step.took), (None, Some(ms(12))));
    let last = step.lines.last().unwrap();
    assert_eq!(last.text, "from the cache: answered 40 seconds before the look");
    assert!(!lines(&section).iter().any(|(_, text)| text.contains("DNSSEC")), "it is not looked at");
    seen.mx.at = fixture::NOW - Duration::from_millis(1);
    assert!(dns::of_domain(&seen, DnssecSight::Off).steps[0].at.is_some(), "rounding");
}

#[test]
fn a_fetch_that_breaks_off_says_where() {
    let of = |times: FetchTimes, failure: FetchFailure| {
        let mut seen = observation().policy;
        seen.fetches[0].times = times;
        seen.fetches[0].response = None;
        seen.fetches[0].failure = Some(failure);
        let assessment = fixture::policy_gone("example.com");
        let section = policy::fetch(&seen, &seen.fetches[0], &assessment.policy);
        let last = section.steps.iter().rfind(|step| step.title != "what it is worth").unwrap().clone();
        (last.title, last.lines.last().map(|line| (line.kind, line.text.clone())))
    };
    let connected = FetchTimes { connect: Some(ms(10)), ..FetchTimes::default() };
    let shaken = FetchTimes { tls: Some(ms(10)), ..connected };
    let bad = |text: &str| Some((LineKind::Bad, text.to_owned()));
    assert_eq!(
        of(FetchTimes::default(), FetchFailure::Timeout(FetchPhase::Connect)),
        ("connect".to_owned(), bad("no progress in time (connect)"))
    );
    assert_eq!(
        of(connected, FetchFailure::Tls(TlsFailure::Alert("handshake_failure".into()))),
        (
            "TLS handshake, SNI mta-sts.example.com".to_owned(),
            bad("the TLS handshake failed: the server sent the alert handshake_failure")
        )
    );
    assert_eq!(
        of(shaken, FetchFailure::Timeout(FetchPhase::Processing)),
        ("request".to_owned(), bad("no progress in time (processing)"))
    );
}

#[test]
fn a_dialogue_says_where_it_stopped_and_why() {
    let stopped = |outcome: SmtpOutcome, said: Vec<Said>| {
        let assessment = with_first(told(), |path| {
            let mut seen = AddressObservation::clone(path.latest.as_ref().unwrap());
            seen.times = crate::facts::PhaseTimes { connect: Some(ms(10)), ..Default::default() };
            (seen.outcome, seen.said, seen.tls) = (outcome, said, None);
            path.latest = Some(Arc::new(seen));
        });
        let transcript = transcript(None, &assessment);
        let section = transcript.sections.iter().find(|section| section.title.contains("192.0.2.10")).unwrap();
        let step = section.steps.iter().find(|step| step.lines.iter().any(|line| line.kind == LineKind::Bad)).unwrap();
        (step.title.clone(), step.lines.last().unwrap().text.clone(), section.steps.iter().any(|s| s.title == "leave"))
    };
    let banner = said(Phase::Banner, "", 220, "mx");
    let told = |title: &str, text: &str, leave| (title.to_owned(), text.to_owned(), leave);
    assert_eq!(stopped(SmtpOutcome::Timeout(Phase::Banner), vec![]), told("banner", "no answer in time", false));
    let turned_away = SmtpOutcome::Rejected { phase: Phase::Ehlo, code: 554, text: "no".into() };
    assert_eq!(
        stopped(turned_away, vec![banner.clone(), said(Phase::Ehlo, "EHLO x", 554, "no")]),
        told("EHLO in clear", "this client was turned away (554)", true)
    );
    assert_eq!(
        stopped(SmtpOutcome::HandshakeFailed(TlsFailure::Closed("reset".into())), vec![banner]),
        told("TLS handshake, SNI mx1.example.com", "the server closed the connection (reset)", false)
    );
}

#[test]
fn what_was_looked_at_for_another_domain_before_has_a_time_of_its_own() {
    let assessment = with_first(told(), |path| {
        let mut seen = AddressObservation::clone(path.latest.as_ref().unwrap());
        seen.at = fixture::NOW - Duration::from_secs(1500);
        path.latest = Some(Arc::new(seen));
    });
    let text = transcript(None, &assessment).text(PLAIN);
    assert!(text.contains("looked at apart, from 2026-11-23T19:34:59.944Z"), "{text}");
    assert!(text.contains("what is judged"), "the dialogue before is told of: {text}");
}

#[test]
fn a_survey_and_the_tlsa_records_are_told() {
    let mut assessment = fixture::dane("example.com");
    let survey = TlsSurvey {
        host: MxHost::parse("mx1.example.com").unwrap(),
        address: "192.0.2.10".parse().unwrap(),
        at: after(900),
        duration: Some(ms(400)),
        tls10: Offer::Refused,
        tls11: Offer::Accepted,
        without_sni: Handshake::Failed(TlsFailure::Alert("unrecognized_name".into())),
        unknown_sni: Handshake::NotSeen("no answer in time".into()),
        base_sni: None,
    };
    assessment = with_first(assessment, |path| path.survey = Some(Arc::new(survey)));
    insta::assert_snapshot!(transcript(None, &assessment).text(PLAIN));
}

#[test]
fn nothing_of_a_peer_is_shown_raw() {
    let hostile = "\u{1b}]0;x\u{7}\r\n\u{202e}<script>&\"";
    let mut seen = observation();
    seen.sts_record = lookup("_mta-sts.example.com", 8, 8, txt(hostile));
    seen.policy.fetches[0].response.as_mut().unwrap().body = hostile.into();
    seen.policy.fetches[0].response.as_mut().unwrap().content_type = Some(hostile.into());
    seen.rua[0].destination = hostile.into();
    let assessment = with_first(told(), |path| {
        let mut seen = AddressObservation::clone(path.latest.as_ref().unwrap());
        seen.said = vec![said(Phase::Banner, "", 220, hostile)];
        path.latest = Some(Arc::new(seen));
    });
    for look in [PLAIN, Look { unicode: false, ..PLAIN }] {
        for text in [transcript(Some(&seen), &assessment), transcript(None, &fixture::hostile("example.com"))] {
            for line in text.text(look).lines() {
                assert!(!line.chars().any(is_dangerous), "{line:?}");
                let longest = line.split(' ').map(|word| word.chars().count()).max().unwrap_or(0);
                assert!(line.chars().count() <= WIDTH || line.trim().chars().count() <= longest + 12, "{line}");
                assert!(look.unicode || line.is_ascii(), "{line}");
            }
        }
    }
}

#[test]
fn every_fixture_has_a_transcript() {
    for assessment in [
        fixture::healthy("a.example"),
        fixture::down("a.example"),
        fixture::turned_away("a.example"),
        fixture::odd_hosts("a.example"),
        fixture::implicit("a.example"),
        fixture::policy_invalid("a.example"),
        fixture::unknown("a.example"),
        fixture::no_mail("a.example"),
    ] {
        let transcript = transcript(None, &assessment);
        assert!(transcript.sections.iter().all(|section| !section.steps.is_empty()));
        assert_eq!(transcript.sections.last().unwrap().title, "What this side could see");
    }
}

/// Takes keys out of an object and all below it.
fn without(value: &mut serde_json::Value, keys: &[&str]) {
    match value {
        serde_json::Value::Object(map) => {
            map.retain(|key, _| !keys.contains(&key.as_str()));
            map.values_mut().for_each(|inner| without(inner, keys));
        }
        serde_json::Value::Array(all) => all.iter_mut().for_each(|inner| without(inner, keys)),
        _ => {}
    }
}

#[test]
fn what_was_stored_before_times_and_words_were_kept_is_read() {
    let mut stored = serde_json::to_value(observation()).unwrap();
    without(&mut stored, &["asked"]);
    let seen: DomainObservation = serde_json::from_value(stored).unwrap();
    assert_eq!((seen.mx.asked, seen.mx.records().len()), (Asked::default(), 2));
    let text = transcript(Some(&seen), &told()).text(PLAIN);
    assert!(text.contains("TTL 300, DNSSEC insecure, 120 bytes\n"), "{text}");

    let assessment = told();
    let latest = assessment.mx[0].addresses[0].path.latest.as_deref().unwrap();
    let mut stored = serde_json::to_value(latest).unwrap();
    without(&mut stored, &["said", "ehlo_tls"]);
    let seen: AddressObservation = serde_json::from_value(stored).unwrap();
    assert_eq!((seen.said.len(), seen.times.ehlo_tls, &seen.banner), (0, None, &latest.banner));
}

/// A look that anybody can ask for is told of in bounds, and says where the rest is.
#[test]
fn a_transcript_that_is_cut_says_so() {
    let (seen, assessment) = (observation(), told());
    let most = transcript(Some(&seen), &assessment).sections.len();
    let text = |sections| human::domain_in_part(&assessment, Some(&seen), sections, fixture::NOW, PLAIN);
    assert_eq!(text(most), human::domain(&assessment, Some(&seen), fixture::NOW, PLAIN));
    let cut = text(2);
    assert!(cut.len() < text(most).len());
    let more = format!("{} more parts: smtptls-exporter check {} --verbose", most - 2, assessment.domain);
    assert!(cut.contains(&more) && !text(most).contains("more parts"), "{cut}");
}
