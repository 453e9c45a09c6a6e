use super::*;
use crate::{
    present::fixture,
    protocol::mta_sts::read_policy,
    verdict::{
        Code, EnforceReadiness, HeldPolicy, RecordAssessment, SeenMode, Severity, Subject, suggest::lint_policy,
    },
};

const NOW: Timestamp = fixture::NOW;
const DAY: Duration = Duration::from_secs(86_400);

fn suggest(seen: &Assessment) -> PolicySuggestion {
    suggest_policy(seen, &Wishes::default(), NOW)
}

fn wishing(seen: &Assessment, mode: Mode) -> PolicySuggestion {
    suggest_policy(seen, &Wishes { mode: Some(mode), ..Wishes::default() }, NOW)
}

fn patterns(suggestion: &PolicySuggestion) -> Vec<String> {
    suggestion.policy.iter().flat_map(|policy| &policy.mx).map(ToString::to_string).collect()
}

fn host(name: &str) -> MxHost {
    MxHost::parse(name).unwrap()
}

#[test]
fn testing_comes_first_with_every_host_by_name() {
    let suggestion = suggest(&fixture::unprotected("example.com"));
    assert_eq!(
        suggestion.body().unwrap(),
        "version: STSv1\nmode: testing\nmx: mx1.example.com\nmx: mx2.example.com\nmax_age: 86400\n"
    );
    assert_eq!((suggestion.because, suggestion.unchanged, suggestion.has_to_wait()), (ModeReason::First, false, false));
    // Thresholds: 14 days of testing, then a week of enforce.
    assert_eq!(suggestion.plan.enforce_from, Some(NOW + 14 * DAY));
    assert_eq!(suggestion.plan.lengthen_from, Some(NOW + 21 * DAY));
}

/// What is suggested is read back as it was meant, by the parser that judges everybody's policies.
#[test]
fn what_is_suggested_passes_the_own_rules() {
    for seen in [
        fixture::unprotected("example.com"),
        fixture::healthy("example.com"),
        fixture::moved("example.com"),
        fixture::testing("example.com"),
        fixture::long_names("example.com"),
        fixture::implicit("example.com"),
        fixture::hostile("example.com"),
    ] {
        for mode in [None, Some(Mode::Testing), Some(Mode::Enforce), Some(Mode::None)] {
            let suggestion = suggest_policy(&seen, &Wishes { mode, ..Wishes::default() }, NOW);
            let body = suggestion.body().unwrap();
            let reading = read_policy(body.as_bytes());
            assert!(reading.valid() && reading.problems.is_empty(), "{body} {reading:?}");
            assert_eq!(reading.value, suggestion.policy);
            let hosts: Vec<MxHost> = seen.mx.iter().filter_map(|mx| mx.host.clone()).collect();
            let lint = lint_policy(body.as_bytes(), &hosts);
            assert!(lint.passes() && lint.count(Severity::Warning) == 0, "{body} {lint:?}");
        }
    }
}

#[test]
fn enforce_is_never_taken_back_and_keeps_what_was_decided() {
    let mut seen = fixture::healthy("example.com");
    let suggestion = suggest(&seen);
    assert!(suggestion.unchanged, "{suggestion:?}");
    assert_eq!((suggestion.because, suggestion.plan.enforce_from), (ModeReason::InForce, None));
    // The same policy without its record, or under an id that senders know another one by.
    let mut unannounced = seen.clone();
    unannounced.sts_record = RecordAssessment::default();
    assert!(!suggest(&unannounced).unchanged);
    let mut stale = seen.clone();
    stale.history.id_stale = Some(true);
    assert!(!suggest(&stale).unchanged);
    let longer = Policy { max_age: MaxAge(5_000_000), ..(**seen.policy.current.as_ref().unwrap()).clone() };
    seen.policy.current = Some(Arc::new(longer.clone()));
    seen.policy.in_force = seen.policy.current.clone();
    let suggestion = suggest(&seen);
    assert_eq!(suggestion.policy, Some(longer));
    assert_eq!(suggestion.plan.lengthen_from, None);
    // One that no record announces does not.
    let mut unannounced = seen.clone();
    unannounced.policy.in_force = None;
    unannounced.sts_record = RecordAssessment::default();
    assert_eq!(suggest(&unannounced).because, ModeReason::First);
    // A policy that is held while the host is dead still counts.
    seen.policy.current = None;
    assert_eq!(suggest(&seen).because, ModeReason::InForce);
}

/// A record announces something: that it cannot be read does not make it a policy in testing.
#[test]
fn a_policy_that_cannot_be_read_may_be_in_enforce() {
    let mut seen = fixture::healthy("example.com");
    let known = seen.policy.clone();
    seen.policy.current = None;
    seen.policy.in_force = None;
    assert_eq!(suggest(&seen).because, ModeReason::Unread);
    assert_eq!(wishing(&seen, Mode::Enforce).because, ModeReason::Asked);
    // Known to a monitor, or announced by nothing.
    let mut held = seen.clone();
    held.policy.in_force = known.in_force;
    assert_eq!(suggest(&held).because, ModeReason::InForce);
    seen.sts_record = fixture::unprotected("example.com").sts_record;
    assert_eq!(suggest(&seen).because, ModeReason::First);
}

#[test]
fn readiness_alone_leads_to_enforce_by_itself() {
    let mut seen = fixture::almost_ready("example.com");
    assert_eq!(suggest(&seen).because, ModeReason::First);
    let enforce = EnforceReadiness { ready: true, confident: false, since: None, conditions: Vec::new() };
    seen.history.enforce = Some(enforce);
    let suggestion = suggest(&seen);
    assert_eq!(suggestion.because, ModeReason::Ready);
    let policy = suggestion.policy.unwrap();
    assert_eq!((policy.mode, policy.max_age), (Mode::Enforce, FIRST_ENFORCE_AGE));
}

#[test]
fn testing_that_goes_on_keeps_its_beginning() {
    let mut seen = fixture::unprotected("example.com");
    seen.sts_record = fixture::healthy("example.com").sts_record;
    let suggested = suggest(&seen).policy.unwrap();
    let since = NOW - 5 * DAY;
    seen.policy.current = Some(Arc::new(suggested.clone()));
    seen.history.mode = Some(SeenMode { mode: Mode::Testing, since });
    let suggestion = suggest(&seen);
    assert!(suggestion.unchanged);
    assert_eq!(suggestion.plan.enforce_from, Some(since + 14 * DAY));
    // Other patterns begin it anew.
    seen.policy.current = Some(Arc::new(Policy { mx: vec![MxPattern::parse("old.example").unwrap()], ..suggested }));
    let suggestion = suggest(&seen);
    assert_eq!(suggestion.plan.enforce_from, Some(NOW + 14 * DAY));
    assert_eq!(suggestion.dropped, [MxPattern::parse("old.example").unwrap()]);
}

#[test]
fn planned_hosts_are_listed_before_they_take_mail() {
    let planned = [host("mx9.example.net"), host("mx1.example.com")];
    let wishes = Wishes { planned_mx: &planned, ..Wishes::default() };
    let suggestion = suggest_policy(&fixture::unprotected("example.com"), &wishes, NOW);
    assert_eq!(patterns(&suggestion), ["mx1.example.com", "mx2.example.com", "mx9.example.net"]);
    assert_eq!(suggestion.planned, [host("mx9.example.net")]);
}

#[test]
fn what_enforce_would_refuse_is_told_with_its_remedy() {
    let seen = fixture::backup_expired("example.com");
    let suggestion = wishing(&seen, Mode::Enforce);
    assert!(suggestion.has_to_wait());
    let [obstacle] = &suggestion.obstacles[..] else { panic!("{:?}", suggestion.obstacles) };
    assert_eq!((obstacle.host.as_str(), obstacle.kind), ("mx2.example.com", ObstacleKind::Certificate));
    let finding = seen.findings.iter().find(|finding| finding.code == Code::CertificateExpired).unwrap();
    assert_eq!((&obstacle.detail, &obstacle.fix), (&finding.detail, &finding.fix));
    assert_eq!(patterns(&suggestion), ["mx1.example.com", "mx2.example.com"], "the host stays listed");
    // The near miss: all is well.
    assert_eq!(suggest(&fixture::healthy("example.com")).obstacles, []);
}

#[test]
fn what_was_not_seen_is_no_fault() {
    for (seen, kind, waits) in [
        (fixture::turned_away("example.com"), ObstacleKind::NotSeen, false),
        (fixture::down("example.com"), ObstacleKind::Down, true),
    ] {
        let suggestion = suggest(&seen);
        assert!(!suggestion.obstacles.is_empty());
        assert!(suggestion.obstacles.iter().all(|obstacle| obstacle.kind == kind), "{:?}", suggestion.obstacles);
        assert_eq!(suggestion.has_to_wait(), waits);
    }
}

#[test]
fn a_target_that_is_no_host_is_told_and_not_listed() {
    let seen = fixture::odd_hosts("example.com");
    let suggestion = suggest(&seen);
    let odd = seen.mx.iter().filter(|mx| mx.host.is_none()).count();
    assert!(odd > 0);
    let told = suggestion.obstacles.iter().filter(|obstacle| obstacle.kind == ObstacleKind::NoHostName).count();
    assert_eq!(told, odd);
    assert_eq!(patterns(&suggestion).len(), seen.mx.len() - odd);
}

#[test]
fn the_id_is_one_that_nobody_saw() {
    let mut seen = fixture::healthy("example.com");
    assert_eq!(suggest(&seen).id.as_str(), "20261123T200000Z");
    seen.sts_record.id = PolicyId::parse("20261123T200000Z");
    let policy = seen.policy.current.clone().unwrap();
    seen.history.held = vec![HeldPolicy {
        policy,
        ids: vec![PolicyId::parse("20261123T200001Z").unwrap()],
        first: NOW,
        last: NOW,
        current: true,
        expires: NOW,
    }];
    assert_eq!(suggest(&seen).id.as_str(), "20261123T200002Z");
}

#[test]
fn what_a_domain_needs() {
    let need = |seen: &Assessment| suggest(seen).need;
    assert_eq!(need(&fixture::no_mail("example.com")), Need::Nothing);
    let mut withdrawn = fixture::no_mail("example.com");
    withdrawn.policy.current = fixture::healthy("example.com").policy.current;
    let suggestion = suggest(&withdrawn);
    assert_eq!(suggestion.need, Need::Withdrawal);
    assert_eq!(suggestion.body().unwrap(), "version: STSv1\nmode: none\nmax_age: 86400\n");
    let mut unseen = fixture::unknown("example.com");
    unseen.mx.clear();
    unseen.mx_records = None;
    unseen.mx_lookup_success = false;
    assert_eq!(need(&unseen), Need::Look);
    let mut nowhere = fixture::unprotected("example.com");
    nowhere.mx.clear();
    nowhere.mx_records = Some(0);
    nowhere.delivery = State::Blocked;
    assert_eq!(need(&nowhere), Need::MailHost);
    assert_eq!(suggest(&nowhere).policy, None);
}

#[test]
fn hosts_beyond_the_cap_are_counted() {
    let mut seen = fixture::unprotected("example.com");
    seen.mx_records = Some(25);
    let suggestion = suggest(&seen);
    assert_eq!(suggestion.left_out, 23);
    assert!(suggestion.has_to_wait(), "a policy that lacks hosts must not be enforced");
}

#[test]
fn who_runs_the_hosts() {
    let seen = fixture::unprotected("example.com");
    assert_eq!(suggest(&seen).foreign, []);
    let mut hosted = seen;
    let name = "example-com.mail.protection.outlook.com";
    hosted.mx.push(fixture::mx(30, name, Vec::new()));
    hosted.mx.push(fixture::mx(40, "mx.mail.example", Vec::new()));
    let suggestion = suggest(&hosted);
    let foreign: Vec<(&str, Option<&str>)> =
        suggestion.foreign.iter().map(|(host, provider)| (host.as_str(), provider.map(|known| known.name))).collect();
    assert_eq!(foreign, [(name, Some("Exchange Online")), ("mx.mail.example", None)]);
    let own = [HostPattern::Host(host("mx.mail.example"))];
    let suggestion = suggest_policy(&hosted, &Wishes { own_mx: &own, ..Wishes::default() }, NOW);
    assert_eq!(suggestion.foreign.len(), 1, "own_mx makes a host the domain's own");
}

#[test]
fn leaving_waits_for_the_longest_policy_in_enforce() {
    let seen = fixture::healthy("example.com");
    let suggestion = wishing(&seen, Mode::None);
    let age = seen.policy.current.as_ref().unwrap().max_age.duration();
    assert_eq!(suggestion.plan.held_for, age + Duration::from_secs(300), "and the TTL of the record");
    let never = wishing(&fixture::unprotected("example.com"), Mode::None);
    assert_eq!(never.plan.held_for, Duration::ZERO);
}

#[test]
fn a_report_record_that_works_stays() {
    assert_eq!(suggest(&fixture::healthy("a.example")).reports.record.unwrap(), "v=TLSRPTv1; rua=mailto:tls@a.example");
    let none = suggest(&fixture::unprotected("a.example")).reports;
    assert_eq!((none.seen, none.record, none.broken), (true, None, false));
    let mut broken = fixture::healthy("a.example");
    broken.tlsrpt.usable = Some(false);
    assert!(suggest(&broken).reports.broken);
}

#[test]
fn a_finding_of_the_address_is_told_before_that_of_the_host() {
    let mut seen = fixture::backup_expired("example.com");
    seen.findings = vec![fixture::finding(
        Code::CertificateNameMismatch,
        Severity::Error,
        Subject::Mx("mx1.example.com".into()),
        "another host",
        "",
    )];
    let told = &suggest(&seen).obstacles[0];
    assert!(told.detail.starts_with("Its certificate does not pass"), "{told:?}");
}
