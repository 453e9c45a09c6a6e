//! Scripted months of reports with the exact hour at which each finding comes and goes, and what reports have to say before enforce.
//!
//! A report comes six hours after the end of its day; a day is complete 28 hours after its end.

use std::{sync::LazyLock, time::Duration};

use proptest::prelude::*;
use smtptls_exporter::{
    facts::{ConnectFailure, Nowhere, Reporter, RuaOutcome, SmtpOutcome},
    protocol::tls_rpt::{PolicyType, ReportedPolicy, ResultType},
    terms::Timestamp,
    verdict::{Assessment, Code, DAYS_KEPT, EnforceCondition, EnforceReadiness, HeldVersion, History, Severity},
};

use crate::verdict::{
    case::{A1, A2, DAY, MX1, MX2, Monitor, NOW, World, certificate, ending, find, policy_body, rua},
    reports::{COMPLETE, Told, daily, filed, sessions, sts},
};

const HOUR: Duration = Duration::from_secs(3600);

/// The first day of a script.
const FIRST: i64 = 20_800;

/// The start of the day that lies so many days after the first.
fn begin(day: i64) -> Timestamp {
    Timestamp::from_unix_seconds((FIRST + day) * 86_400)
}

fn lasting(world: World) -> World {
    let long = ending(certificate(&["mta-sts.example.com"]), 800 * DAY, 900 * DAY);
    let mx = ending(certificate(&[MX1]), 800 * DAY, 900 * DAY);
    world.policy_chain(&long).chain(A1, move |_| mx.clone())
}

/// Looks once an hour from the start of day `from` to that of day `to`; what came by then is known, and older days are forgotten.
fn run(world: &World, told: &[Told], from: i64, to: i64) -> Vec<(i64, Assessment)> {
    let mut monitor = Monitor::new();
    (from * 24..to * 24)
        .map(|hour| {
            monitor.now = begin(0) + HOUR * u32::try_from(hour).unwrap();
            let mut reports = filed(told.iter().filter(|one| one.arrives_at() <= monitor.now));
            reports.forget_before(FIRST + hour.div_euclid(24) - DAYS_KEPT);
            let world = world.clone().with(|world| world.reports = Some(reports));
            (hour, monitor.see(&world))
        })
        .collect()
}

/// The hours after the first day in which a finding stands: from, to (the first without it).
fn stretches(seen: &[(i64, Assessment)], code: Code) -> Vec<(i64, i64)> {
    let mut found: Vec<(i64, i64)> = Vec::new();
    for (hour, _) in seen.iter().filter(|(_, assessment)| find(assessment, code).is_some()) {
        match found.last_mut() {
            Some(last) if last.1 == *hour => last.1 = hour + 1,
            _ => found.push((*hour, hour + 1)),
        }
    }
    found
}

/// The hour in which a day is complete, and that in which its report comes.
const fn complete(day: i64) -> i64 {
    (day + 1) * 24 + 28
}

const fn arrived(day: i64) -> i64 {
    (day + 1) * 24 + 6
}

fn on(days: std::ops::RangeInclusive<i64>, reporter: &'static str, policy: &ReportedPolicy) -> Vec<Told> {
    daily(FIRST + days.start()..=FIRST + days.end(), reporter, policy)
}

fn failing(successful: u64, failed: u64) -> ReportedPolicy {
    sts(successful, &[(ResultType::CertificateExpired, Some(MX1), failed)])
}

fn world() -> World {
    lasting(World::good("enforce"))
}

/// Two days above the share, then none.
#[test]
fn failing_ends_after_two_complete_days_below_the_share() {
    let well = sts(100, &[]);
    let told = [
        on(0..=39, "google.com", &well),
        on(40..=41, "google.com", &failing(90, 10)),
        on(42..=60, "google.com", &well),
    ];
    let seen = run(&world(), &told.concat(), 38, 60);
    assert_eq!(stretches(&seen, Code::ReportsFailing), [(complete(40), complete(43))]);
}

/// Days without a report are none below the share. After a week they are none above it either.
#[test]
fn failing_does_not_end_by_silence() {
    let told = [on(0..=39, "google.com", &sts(100, &[])), on(40..=40, "google.com", &failing(50, 50))];
    let seen = run(&world(), &told.concat(), 39, 60);
    assert_eq!(stretches(&seen, Code::ReportsFailing), [(complete(40), complete(47))]);
}

/// As soon as it is told, and until seven complete days did not show it.
#[test]
fn a_new_failure_is_told_at_once_and_for_seven_days() {
    let well = sts(100, &[]);
    let told =
        [on(0..=39, "google.com", &well), on(40..=41, "google.com", &failing(99, 1)), on(42..=80, "google.com", &well)];
    let seen = run(&world(), &told.concat(), 38, 60);
    assert_eq!(stretches(&seen, Code::ReportsNewFailure), [(arrived(40), complete(48))]);
}

/// It lasts as long as the failure, also when the days before it are forgotten.
#[test]
fn a_new_failure_that_stays_is_told_of_as_long() {
    let told = [
        on(0..=39, "google.com", &sts(100, &[])),
        on(40..=99, "google.com", &failing(99, 1)),
        on(100..=120, "google.com", &sts(100, &[])),
    ];
    let seen = run(&world(), &told.concat(), 38, 120);
    assert_eq!(stretches(&seen, Code::ReportsNewFailure), [(arrived(40), complete(106))]);
    let detail = &find(&seen[24 * 40].1, Code::ReportsNewFailure).unwrap().detail;
    let since = begin(40).to_string();
    assert!(detail.contains(&format!("since {}", &since[..10])), "{detail}");
}

/// What comes again within thirty days is not new; after that it is.
#[test]
fn a_failure_that_comes_again() {
    let again = |gap: i64| {
        let told = [
            on(0..=150, "google.com", &sts(100, &[])),
            on(40..=40, "google.com", &failing(0, 1)),
            on(40 + gap..=40 + gap, "google.com", &failing(0, 1)),
        ];
        stretches(&run(&world(), &told.concat(), 38, 90), Code::ReportsNewFailure)
    };
    assert_eq!(again(30), [(arrived(40), complete(47))]);
    assert_eq!(again(31), [(arrived(40), complete(47)), (arrived(71), complete(78))]);
}

/// Three days have to be complete for late senders too: two days after the end of the third. The next report ends it.
#[test]
fn silence_begins_after_three_days_and_ends_with_the_next_report() {
    let told = [
        on(0..=40, "google.com", &sts(10, &[])),
        on(50..=60, "google.com", &sts(10, &[])),
        on(0..=60, "microsoft.com", &sts(10, &[])),
    ];
    let seen = run(&world(), &told.concat(), 38, 60);
    assert_eq!(stretches(&seen, Code::ReportsSilent), [(41 * 24 + 5 * 24, arrived(50))]);
    let detail = &find(&seen.iter().find(|(hour, _)| *hour == 47 * 24).unwrap().1, Code::ReportsSilent).unwrap().detail;
    assert!(detail.contains("google.com") && !detail.contains("microsoft.com"), "{detail}");
}

/// Where all are silent that stays told, also when the days in which they sent are forgotten.
#[test]
fn silence_of_all_is_told_until_one_reports() {
    let told = [on(0..=40, "google.com", &sts(10, &[])), on(100..=101, "google.com", &sts(10, &[]))];
    let seen = run(&world(), &told.concat(), 38, 102);
    assert_eq!(stretches(&seen, Code::ReportsSilent), [(46 * 24, arrived(100))]);
}

fn under(body: &str, policy: &ReportedPolicy) -> ReportedPolicy {
    ReportedPolicy { policy_string: body.lines().map(str::to_owned).collect(), ..policy.clone() }
}

/// From the first day on that begins after TTL, a day and an hour; one look with the present policy ends it.
#[test]
fn a_sender_with_an_old_policy() {
    let (old, new) = (policy_body("enforce", &[MX1]), policy_body("enforce", &[MX1, MX2]));
    let before = World::good("enforce");
    let after = before.clone().body(&new).records(&["v=STSv1; id=2;"]);
    let lazy = [
        on(0..=20, "google.com", &under(&old, &sts(10, &[]))),
        on(21..=22, "google.com", &under(&new, &sts(10, &[]))),
        on(0..=22, "prompt.example", &under(&old, &sts(10, &[]))),
    ]
    .concat();
    let mut monitor = Monitor::new();
    let mut found = Vec::new();
    for hour in 5 * 24..24 * 24_i64 {
        monitor.now = begin(0) + HOUR * u32::try_from(hour).unwrap();
        // The policy changes at the start of day 10. The prompt sender has the new one by then; what it said before stays.
        let told = lazy.iter().filter(|one| {
            one.arrives_at() <= monitor.now && (one.reporter != "prompt.example" || one.day < FIRST + 11)
        });
        let reports = filed(told);
        let world = if hour < 240 { &before } else { &after };
        let world = lasting(world.clone()).with(|world| world.reports = Some(reports));
        let assessment = monitor.see(&world);
        if let Some(finding) = find(&assessment, Code::ReportsSenderCacheOld) {
            assert_eq!(finding.severity, Severity::Info);
            assert!(finding.detail.contains("google.com") && !finding.detail.contains("prompt"), "{}", finding.detail);
            found.push(hour);
        }
        let google = assessment.reports.as_ref().unwrap().reporters.iter().find(|one| one.name == "google.com");
        if hour == arrived(10) {
            assert_eq!(google.unwrap().policy, HeldVersion::Earlier, "a day has not passed yet");
        }
    }
    // The day after that of the change begins a minute too early: 24 hours after it, and TTL and an hour are to come.
    assert_eq!((found.first(), found.last()), (Some(&arrived(12)), Some(&(arrived(21) - 1))));
    assert_eq!(found.len() as i64, arrived(21) - arrived(12), "without a gap");
}

/// A world in testing that is ready for enforce at [`NOW`] but for reports, with all that a monitor remembers of it.
static TESTED: LazyLock<(World, History)> = LazyLock::new(|| {
    let world = lasting(World::good("testing"));
    let mut monitor = Monitor::new();
    for half_hour in (0..=16 * 48_u32).rev() {
        monitor.now = NOW - HOUR / 2 * half_hour;
        monitor.see(&world);
    }
    (world, monitor.history)
});

fn readiness(told: &[Told]) -> EnforceReadiness {
    readiness_of(&TESTED.0, told)
}

fn readiness_of(world: &World, told: &[Told]) -> EnforceReadiness {
    let mut monitor = Monitor { now: NOW, history: TESTED.1.clone(), ..Monitor::new() };
    let world = world.clone().with(|world| world.reports = Some(filed(told)));
    monitor.see(&world).history.enforce.unwrap()
}

fn condition<'r>(readiness: &'r EnforceReadiness, name: &str) -> &'r EnforceCondition {
    readiness.conditions.iter().find(|one| one.name == name).unwrap()
}

fn is_clean(told: &[Told]) -> bool {
    condition(&readiness(told), "reports-clean").met
}

fn is_seen(told: &[Told]) -> bool {
    condition(&readiness(told), "reports-seen").met
}

#[test]
fn without_reports_a_domain_is_ready_and_not_confident() {
    let without = Monitor { now: NOW, history: TESTED.1.clone(), ..Monitor::new() }.see(&TESTED.0);
    for enforce in [without.history.enforce.unwrap(), readiness(&[])] {
        assert!(enforce.ready && !enforce.confident, "{enforce:#?}");
        assert!(condition(&enforce, "reports-clean").required && condition(&enforce, "reports-clean").met);
        assert!(!condition(&enforce, "reports-seen").required && !condition(&enforce, "reports-seen").met);
        assert!(enforce.conditions.iter().all(|one| one.reason.ends_with('.')), "{enforce:#?}");
    }
}

#[test]
fn no_refusal_in_seven_complete_days() {
    let one = |day: i64, result_type| daily(day..=day, "google.com", &sts(10_000, &[(result_type, Some(MX1), 1)]));
    let well = daily(COMPLETE - 20..=COMPLETE, "google.com", &sts(10_000, &[]));
    let refusals = [
        ResultType::StarttlsNotSupported,
        ResultType::CertificateHostMismatch,
        ResultType::CertificateExpired,
        ResultType::CertificateNotTrusted,
        ResultType::ValidationFailure,
        ResultType::StsPolicyFetchError,
        ResultType::StsPolicyInvalid,
        ResultType::StsWebpkiInvalid,
    ];
    for result_type in refusals {
        assert!(!is_clean(&[well.clone(), one(COMPLETE, result_type)].concat()), "{}", result_type.as_str());
        assert!(!is_clean(&[well.clone(), one(COMPLETE - 6, result_type)].concat()), "{}", result_type.as_str());
        assert!(is_clean(&[well.clone(), one(COMPLETE - 7, result_type)].concat()), "one in more than a thousand");
        assert!(is_clean(&[well.clone(), one(COMPLETE + 1, result_type)].concat()), "that day is not complete");
    }
    for result_type in [ResultType::TlsaInvalid, ResultType::DnssecInvalid, ResultType::DaneRequired] {
        assert!(is_clean(&[well.clone(), one(COMPLETE, result_type)].concat()), "{}", result_type.as_str());
    }
    let dane = sessions(PolicyType::Tlsa, 0, &[(ResultType::StarttlsNotSupported, Some(MX1), 5)]);
    assert!(is_clean(&[well.clone(), daily(COMPLETE..=COMPLETE, "google.com", &dane)].concat()), "not under MTA-STS");
    // What no detail explains cannot be told.
    let unexplained = ReportedPolicy { failed: 1, ..sts(99, &[]) };
    assert!(!is_clean(&[well, daily(COMPLETE..=COMPLETE, "google.com", &unexplained)].concat()));
}

/// A sender that still holds an older policy finds its faults, not those of the present one.
#[test]
fn refusals_by_an_older_policy_do_not_count() {
    let refused = failing(10_000, 5);
    let by = |body: &str, reporter| is_clean(&daily(COMPLETE..=COMPLETE, reporter, &under(body, &refused)));
    let (older, present) = (policy_body("enforce", &["mx9.example.com"]), policy_body("testing", &[MX1]));
    assert!(by(&older, "lazy.example"));
    assert!(!by(&present, "lazy.example"));
    assert!(!by(&older, Reporter::UNVERIFIED), "whoever it is may say what it likes of its policy");
    assert!(!is_clean(&daily(COMPLETE..=COMPLETE, "lazy.example", &refused)), "which policy is not told");
}

#[test]
fn few_refusals_before_them() {
    let failing = |failed| failing(0, failed);
    let well = daily(COMPLETE - 20..=COMPLETE, "google.com", &sts(1000, &[]));
    // 14 days, the last seven of which count apart: 7,000 sessions and those that failed.
    let before = |failed: u64, reporter| daily(COMPLETE - 7..=COMPLETE - 7, reporter, &failing(failed));
    assert!(is_clean(&[well.clone(), before(7, "google.com")].concat()), "7 of 7,007");
    assert!(!is_clean(&[well.clone(), before(8, "google.com")].concat()), "8 of 7,008");
    let by = |names: &[&'static str]| {
        let failures: Vec<Vec<Told>> = names.iter().map(|name| before(1, name)).collect();
        is_clean(&[well.clone(), failures.concat()].concat())
    };
    assert!(by(&["google.com", "microsoft.com"]));
    assert!(!by(&["google.com", "microsoft.com", "yahoo.com"]), "three reporters");
    let long_ago = daily(COMPLETE - 14..=COMPLETE - 14, "google.com", &failing(50));
    assert!(is_clean(&[well, long_ago].concat()), "before the window");
}

#[test]
fn two_reporters_or_a_large_one_with_the_present_policy() {
    let body = policy_body("testing", &[MX1]);
    let present = under(&body, &sts(10, &[]));
    let days = |count: i64, reporter, policy: &ReportedPolicy| daily(COMPLETE - count + 1..=COMPLETE, reporter, policy);
    let google = days(5, "google.com", &present);
    assert!(!is_seen(&google), "one small reporter");
    assert!(is_seen(&[google.clone(), days(5, "microsoft.com", &present)].concat()));
    assert!(!is_seen(&[google.clone(), days(4, "microsoft.com", &present)].concat()), "four days");
    let late = daily(COMPLETE - 3..=COMPLETE + 1, "microsoft.com", &present);
    assert!(!is_seen(&[google.clone(), late].concat()), "the fifth is not complete");
    let other = under(&policy_body("enforce", &[MX1]), &sts(10, &[]));
    assert!(!is_seen(&[google.clone(), days(9, "microsoft.com", &other)].concat()), "another policy");
    assert!(!is_seen(&[google.clone(), days(9, "microsoft.com", &sts(10, &[]))].concat()), "none");
    assert!(!is_seen(&[google.clone(), days(9, Reporter::UNVERIFIED, &present)].concat()), "whoever it is");
    assert!(!is_seen(&[google, days(9, Reporter::OTHER, &present)].concat()), "nobody in particular");
    let of = |sessions| is_seen(&days(5, "google.com", &under(&body, &sts(sessions, &[]))));
    assert!(of(200) && !of(199), "a thousand sessions make a large one");
    let enforce = readiness(&[days(9, "a.example", &present), days(9, "b.example", &present)].concat());
    assert!(enforce.ready && enforce.confident, "{enforce:#?}");
}

/// What is not seen from here and seen by reporters is seen, at the host that senders try first.
#[test]
fn reports_stand_in_for_probes() {
    let body = policy_body("testing", &[MX1]);
    let present = under(&body, &sts(10, &[]));
    let seen: Vec<Told> = ["a.example", "b.example"]
        .into_iter()
        .flat_map(|name| daily(COMPLETE - 6..=COMPLETE, name, &present))
        .collect();
    // Both have turned this client away for longer than two intervals.
    let judged = |world: &World, told: &[Told]| {
        let mut monitor = Monitor { now: NOW, history: TESTED.1.clone(), ..Monitor::new() };
        let world = world.clone().with(|world| world.reports = Some(filed(told)));
        let mut last = None;
        for half_hour in 1..=4 {
            monitor.now = NOW + HOUR / 2 * half_hour;
            last = Some(monitor.see(&world));
        }
        condition(&last.unwrap().history.enforce.unwrap(), "probes-complete").clone()
    };
    let away = |world: World, address: &str| world.smtp(address, SmtpOutcome::ConnectFailed(ConnectFailure::NoRoute));
    let world = away(TESTED.0.clone(), A1);
    assert!(!judged(&world, &[]).met);
    let met = judged(&world, &seen);
    assert!(met.met && met.reason.contains("reporters"), "{met:?}");
    let failure = daily(COMPLETE - 30..=COMPLETE, "c.example", &sts(1, &[(ResultType::TlsaInvalid, Some(MX1), 1)]));
    assert!(!judged(&world, &[seen.clone(), failure].concat()).met, "a reporter fails there");
    let backup = away(TESTED.0.clone().mx(MX2, &[A2]), A2);
    assert!(!judged(&backup, &seen).met, "nobody has tried the backup");
}

#[test]
fn a_destination_has_to_be_reachable() {
    let of = |outcome: RuaOutcome, at: i64| {
        let mut seen = rua("mailto:new@reports.example", outcome);
        seen.at = Timestamp::from_unix_seconds(NOW.unix_seconds() + at);
        let world = TESTED.0.clone().tlsrpt(&["v=TLSRPTv1; rua=mailto:new@reports.example"]);
        let enforce = readiness_of(&world.with(|world| world.domain.rua = vec![seen]), &[]);
        (enforce.ready, condition(&enforce, "tlsrpt-record").clone())
    };
    assert!(of(RuaOutcome::HasMx, 1).0 && of(RuaOutcome::HasAddress, 1).0 && of(RuaOutcome::Answers(405), 1).0);
    for outcome in [
        RuaOutcome::Nowhere(Nowhere::NullMx),
        RuaOutcome::DoesNotAnswer("refused".to_owned()),
        RuaOutcome::CouldNotLook("SERVFAIL".to_owned()),
    ] {
        let (ready, told) = of(outcome, 1);
        assert!(!ready && !told.met && told.reason.ends_with('.'), "{told:?}");
    }
}

fn any_reports(names: &'static [&'static str]) -> impl Strategy<Value = Vec<Told>> {
    let results = prop::sample::select(ResultType::ALL.to_vec());
    let failure = (results, prop::option::of(Just(MX1)), 0..20_u64);
    let policy = (
        prop::sample::select(PolicyType::ALL.to_vec()),
        0..2000_u64,
        prop::collection::vec(failure, 0..3),
        any::<bool>(),
    );
    let one = (COMPLETE - 15..COMPLETE + 3, prop::sample::select(names.to_vec()), policy);
    let told = one.prop_map(|(day, reporter, (policy_type, successful, failures, present))| {
        let policy = sessions(policy_type, successful, &failures);
        let policy = if present { under(&policy_body("testing", &[MX1]), &policy) } else { policy };
        Told { day, reporter, policy }
    });
    prop::collection::vec(told, 0..25)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever is posted by whomever: it never makes a domain ready.
    #[test]
    fn what_proves_nothing_makes_nobody_ready(
        proven in any_reports(&["google.com", "microsoft.com", "small.example"]),
        posted in any_reports(&[Reporter::UNVERIFIED]),
    ) {
        let before = readiness(&proven);
        let after = readiness(&[proven, posted].concat());
        for name in ["reports-clean", "reports-seen", "probes-complete"] {
            prop_assert!(before.conditions.len() == after.conditions.len());
            prop_assert!(condition(&before, name).met || !condition(&after, name).met, "{name}: {after:#?}");
        }
        prop_assert!(before.ready || !after.ready);
        prop_assert!(before.confident || !after.confident);
    }
}
