//! Findings on what reports say and on where they go, each raised and nearly raised, and what one domain's reports leave behind.

use std::ops::RangeInclusive;

use smtptls_exporter::{
    facts::{Nowhere, Reporter, RuaOutcome},
    protocol::tls_rpt::{FailureDetail, PolicyType, ReportedPolicy, ResultType},
    terms::{PolicyDomain, Timestamp},
    verdict::{
        CELLS_OF_A_DAY_MOST, Code, Contribution, DomainReports, Measure, REPORTERS_OF_A_DAY_MOST, Severity, advice,
        policy_print, session_tally,
    },
};

use super::{
    case::{DOMAIN, MX1, Monitor, NOW, World, find, rua},
    codes::Pair,
};

/// The day of [`NOW`], at 20:00, is 2026-11-23: the 21st ended 44 hours before and is complete, the 22nd ended 20 hours before.
pub(crate) const COMPLETE: i64 = 20_778;

/// What one report says of one policy.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) day: i64,
    pub(crate) reporter: &'static str,
    pub(crate) policy: ReportedPolicy,
}

impl Told {
    /// It came six hours after the end of its day.
    pub(crate) fn arrives_at(&self) -> Timestamp {
        Timestamp::from_unix_seconds((self.day + 1) * 86_400 + 6 * 3600)
    }

    fn contribution(&self) -> Contribution {
        Contribution {
            domain: PolicyDomain::parse(DOMAIN).unwrap(),
            day: self.day,
            reporter: self.reporter.to_owned(),
            tally: session_tally(std::slice::from_ref(&self.policy)),
            policies: policy_print(&self.policy.policy_string).into_iter().collect(),
            arrived_at: self.arrives_at(),
            end: Some(Timestamp::from_unix_seconds((self.day + 1) * 86_400 - 1)),
            late: false,
        }
    }
}

/// Sessions under a kind of policy; those of the failures come on top, each at its MX.
pub(crate) fn sessions(
    policy_type: PolicyType,
    successful: u64,
    failures: &[(ResultType, Option<&str>, u64)],
) -> ReportedPolicy {
    let failures: Vec<FailureDetail> = failures
        .iter()
        .map(|(result_type, mx, sessions)| FailureDetail {
            result_type: *result_type,
            receiving_mx: mx.map(str::to_owned),
            sessions: *sessions,
            ..FailureDetail::default()
        })
        .collect();
    ReportedPolicy {
        policy_type,
        domain: Some(DOMAIN.to_owned()),
        successful,
        failed: failures.iter().map(|failure| failure.sessions).sum(),
        failures,
        ..ReportedPolicy::default()
    }
}

pub(crate) fn sts(successful: u64, failures: &[(ResultType, Option<&str>, u64)]) -> ReportedPolicy {
    sessions(PolicyType::Sts, successful, failures)
}

/// The same policy every day.
pub(crate) fn daily(days: RangeInclusive<i64>, reporter: &'static str, policy: &ReportedPolicy) -> Vec<Told> {
    days.map(|day| Told { day, reporter, policy: policy.clone() }).collect()
}

/// What is known of them once they came.
pub(crate) fn filed<'t>(told: impl IntoIterator<Item = &'t Told>) -> DomainReports {
    let mut reports = DomainReports::default();
    told.into_iter().for_each(|one| reports.add(&one.contribution()));
    reports
}

impl World {
    /// These reports came, beside those that had come.
    pub(crate) fn told(self, told: &[Told]) -> Self {
        self.with(|world| {
            let reports = world.reports.get_or_insert_default();
            told.iter().for_each(|one| reports.add(&one.contribution()));
        })
    }

    fn daily(self, days: RangeInclusive<i64>, reporter: &'static str, policy: &ReportedPolicy) -> Self {
        self.told(&daily(days, reporter, policy))
    }
}

const EXPIRED: (ResultType, Option<&str>) = (ResultType::CertificateExpired, Some(MX1));

fn expired(sessions: u64) -> [(ResultType, Option<&'static str>, u64); 1] {
    [(EXPIRED.0, EXPIRED.1, sessions)]
}

/// Six weeks without a fault.
fn well(world: World) -> World {
    world.daily(COMPLETE - 40..=COMPLETE, "google.com", &sts(100, &[]))
}

pub(crate) const PAIRS: &[Pair] = &[
    Pair {
        code: Code::TlsRptRuaUnreachable,
        severity: "WWWW",
        raised: |world| {
            world.with(|world| {
                world.domain.rua = vec![rua("mailto:t@reports.example", RuaOutcome::Nowhere(Nowhere::NullMx))];
            })
        },
        // One look that got no answer.
        near: |world| {
            world.tlsrpt(&["v=TLSRPTv1; rua=https://reports.example/in"]).with(|world| {
                let silent = RuaOutcome::DoesNotAnswer("no answer in time".to_owned());
                world.domain.rua = vec![rua("https://reports.example/in", silent)];
            })
        },
    },
    Pair {
        code: Code::ReportsFailing,
        severity: "WWWW",
        raised: |world| world.daily(COMPLETE..=COMPLETE, "google.com", &sts(94, &expired(6))),
        near: |world| world.daily(COMPLETE..=COMPLETE, "google.com", &sts(95, &expired(5))),
    },
    Pair {
        code: Code::ReportsNewFailure,
        severity: "WWWW",
        raised: |world| well(world).daily(COMPLETE + 1..=COMPLETE + 1, "google.com", &sts(99, &expired(1))),
        // The same was shown thirty days before.
        near: |world| {
            let known = sts(99, &expired(1));
            let world = well(world).daily(COMPLETE - 29..=COMPLETE - 29, "google.com", &known);
            world.daily(COMPLETE + 1..=COMPLETE + 1, "google.com", &known)
        },
    },
    Pair {
        code: Code::ReportsSilent,
        severity: "WWWW",
        // Three days are complete without one, for late senders too: it is 20:00 on the 23rd, and the 17th ended five days and 20 hours before.
        raised: |world| {
            world.daily(COMPLETE - 30..=COMPLETE - 4, "google.com", &sts(10, &[])).daily(
                COMPLETE - 30..=COMPLETE,
                "microsoft.com",
                &sts(10, &[]),
            )
        },
        near: |world| {
            world.daily(COMPLETE - 30..=COMPLETE - 3, "google.com", &sts(10, &[])).daily(
                COMPLETE - 30..=COMPLETE,
                "microsoft.com",
                &sts(10, &[]),
            )
        },
    },
    Pair {
        code: Code::ReportsDistributionShift,
        severity: "IIII",
        raised: |world| {
            world.daily(COMPLETE - 34..=COMPLETE, "google.com", &sts(49, &[])).daily(
                COMPLETE - 6..=COMPLETE,
                "newcomer.example",
                &sts(50, &[]),
            )
        },
        near: |world| {
            world.daily(COMPLETE - 34..=COMPLETE, "google.com", &sts(50, &[])).daily(
                COMPLETE - 6..=COMPLETE,
                "newcomer.example",
                &sts(50, &[]),
            )
        },
    },
];

fn judged(world: &World) -> smtptls_exporter::verdict::Assessment {
    let mut monitor = Monitor::new();
    monitor.see(world)
}

fn raised(world: &World, code: Code) -> Option<Severity> {
    find(&judged(world), code).map(|finding| finding.severity)
}

fn good() -> World {
    World::good("enforce")
}

#[test]
fn without_a_source_nothing_is_said() {
    let assessment = judged(&good());
    assert_eq!(assessment.reports, None);
    let silent = good().with(|world| world.reports = Some(DomainReports::default()));
    let said = judged(&silent).reports.unwrap();
    assert_eq!((said.complete_until, said.complete_days), (COMPLETE, 0));
    assert!(said.failures.is_empty() && said.reporters.is_empty() && said.new_failures.is_empty());
}

/// One session is no share; those of a week are.
#[test]
fn a_share_needs_more_than_ten_sessions() {
    let few = |days: i64| good().daily(COMPLETE - days + 1..=COMPLETE, "google.com", &sts(1, &expired(1)));
    assert_eq!(raised(&few(5), Code::ReportsFailing), None, "ten sessions");
    assert_eq!(raised(&few(6), Code::ReportsFailing), Some(Severity::Warning), "twelve");
    let ten = good().daily(COMPLETE..=COMPLETE, "google.com", &sts(0, &expired(10)));
    assert_eq!(raised(&ten, Code::ReportsFailing), None);
    let eleven = good().daily(COMPLETE..=COMPLETE, "google.com", &sts(0, &expired(11)));
    assert_eq!(raised(&eleven, Code::ReportsFailing), Some(Severity::Warning));
}

#[test]
fn a_share_is_that_of_one_kind_of_policy_on_complete_days() {
    let dane = sessions(PolicyType::Tlsa, 0, &[(ResultType::TlsaInvalid, Some(MX1), 20)]);
    let world = good().daily(COMPLETE..=COMPLETE, "google.com", &sts(1000, &[]));
    let both = world.clone().daily(COMPLETE..=COMPLETE, "google.com", &dane);
    let assessment = judged(&both);
    let finding = find(&assessment, Code::ReportsFailing).unwrap();
    assert!(finding.detail.contains("20 of 20 sessions under DANE"), "{}", finding.detail);
    assert!(finding.detail.contains("tlsa-invalid at mx1.example.com"), "{}", finding.detail);
    let early = world.daily(COMPLETE + 1..=COMPLETE + 1, "google.com", &dane);
    assert_eq!(raised(&early, Code::ReportsFailing), None, "that day is not complete");
}

/// Reports that prove nothing drown no failure, hide none by telling of it beforehand, and are told as what they are.
#[test]
fn what_proves_nothing_hides_nothing() {
    let failing = good().daily(COMPLETE..=COMPLETE, "google.com", &sts(50, &expired(50)));
    let drowned = failing.daily(COMPLETE..=COMPLETE, Reporter::UNVERIFIED, &sts(1_000_000, &[]));
    assert_eq!(raised(&drowned, Code::ReportsFailing), Some(Severity::Warning));
    let forged = good().daily(COMPLETE..=COMPLETE, Reporter::UNVERIFIED, &sts(0, &expired(50)));
    let assessment = judged(&forged);
    let finding = find(&assessment, Code::ReportsFailing).unwrap();
    assert_eq!(finding.severity, Severity::Warning);
    assert!(finding.detail.contains("prove nothing"), "{}", finding.detail);
    let poisoned = well(good()).daily(COMPLETE - 20..=COMPLETE - 20, Reporter::UNVERIFIED, &sts(0, &expired(1))).daily(
        COMPLETE + 1..=COMPLETE + 1,
        "google.com",
        &sts(99, &expired(1)),
    );
    assert_eq!(raised(&poisoned, Code::ReportsNewFailure), Some(Severity::Warning));
    let alone = well(good()).daily(COMPLETE + 1..=COMPLETE + 1, Reporter::UNVERIFIED, &sts(0, &expired(1)));
    let assessment = judged(&alone);
    let finding = find(&assessment, Code::ReportsNewFailure).unwrap();
    assert!(finding.detail.contains("prove nothing") && finding.fix.contains("forger"), "{finding:?}");
}

#[test]
fn where_reports_begin_nothing_is_new() {
    let begun = |days: i64| {
        let world = good().daily(COMPLETE - days..=COMPLETE - 1, "google.com", &sts(100, &[]));
        world.daily(COMPLETE..=COMPLETE, "google.com", &sts(99, &expired(1)))
    };
    assert_eq!(raised(&begun(6), Code::ReportsNewFailure), None);
    assert_eq!(raised(&begun(7), Code::ReportsNewFailure), Some(Severity::Warning));
}

/// The type is known from another sender; this one used to succeed.
#[test]
fn a_reporter_that_used_to_succeed() {
    let world = good().daily(COMPLETE - 35..=COMPLETE, "google.com", &sts(90, &expired(1))).daily(
        COMPLETE - 35..=COMPLETE - 1,
        "microsoft.com",
        &sts(90, &[]),
    );
    assert_eq!(raised(&world, Code::ReportsNewFailure), None);
    let world = world.daily(COMPLETE..=COMPLETE, "microsoft.com", &sts(90, &expired(1)));
    let assessment = judged(&world);
    let finding = find(&assessment, Code::ReportsNewFailure).unwrap();
    assert!(finding.detail.contains("failures at microsoft.com since 2026-11-21"), "{}", finding.detail);
}

#[test]
fn only_who_sends_regularly_is_missed() {
    let on = |days: &[i64]| {
        let mut world = good().daily(COMPLETE - 30..=COMPLETE, "microsoft.com", &sts(10, &[]));
        for day in days {
            world = world.daily(COMPLETE - day..=COMPLETE - day, "google.com", &sts(10, &[]));
        }
        raised(&world, Code::ReportsSilent)
    };
    let ten = [17, 16, 15, 14, 13, 12, 11, 10, 9, 4];
    assert_eq!(on(&ten), Some(Severity::Warning), "ten of the last fourteen");
    assert_eq!(on(&ten[1..]), None, "nine");
    let early = [18, 16, 15, 14, 13, 12, 11, 10, 9, 4];
    assert_eq!(on(&early), None, "ten of fifteen");
}

#[test]
fn nobody_reports_any_more() {
    let world = good().daily(COMPLETE - 30..=COMPLETE - 4, "google.com", &sts(10, &[])).daily(
        COMPLETE - 30..=COMPLETE - 4,
        "microsoft.com",
        &sts(10, &[]),
    );
    let assessment = judged(&world);
    let finding = find(&assessment, Code::ReportsSilent).unwrap();
    assert!(finding.detail.starts_with("No reporter") && finding.detail.contains("2026-11-17"), "{}", finding.detail);
    let forged = world.daily(COMPLETE - 30..=COMPLETE, Reporter::UNVERIFIED, &sts(10, &[]));
    assert_eq!(raised(&forged, Code::ReportsSilent), Some(Severity::Warning), "whoever posts stands in for nobody");
}

#[test]
fn a_shift_of_few_sessions_is_chance() {
    let world = |before: u64, now: u64| {
        good().daily(COMPLETE - 34..=COMPLETE - 7, "google.com", &sts(before, &[])).daily(
            COMPLETE - 6..=COMPLETE,
            "newcomer.example",
            &sts(now, &[]),
        )
    };
    assert_eq!(raised(&world(4, 15), Code::ReportsDistributionShift), Some(Severity::Info), "112 and 105 sessions");
    assert_eq!(raised(&world(4, 14), Code::ReportsDistributionShift), None, "98 now");
    assert_eq!(raised(&world(3, 15), Code::ReportsDistributionShift), None, "84 before");
    let forged = good().daily(COMPLETE - 34..=COMPLETE, "google.com", &sts(50, &[])).daily(
        COMPLETE - 6..=COMPLETE,
        Reporter::UNVERIFIED,
        &sts(5000, &[]),
    );
    assert_eq!(raised(&forged, Code::ReportsDistributionShift), None);
    let wide = world(4, 15).with(|world| {
        world.thresholds.reports_shift = smtptls_exporter::verdict::Share::percent(100);
    });
    assert_eq!(raised(&wide, Code::ReportsDistributionShift), None, "all of it is not more than all of it");
}

#[test]
fn thresholds_are_the_configuration_s() {
    let world = good().daily(COMPLETE..=COMPLETE, "google.com", &sts(80, &expired(20)));
    let patient = world.clone().with(|world| {
        world.thresholds.reports_failing = smtptls_exporter::verdict::Share::percent(20);
    });
    assert_eq!(raised(&world, Code::ReportsFailing), Some(Severity::Warning));
    assert_eq!(raised(&patient, Code::ReportsFailing), None, "20% is not above 20%");
}

#[test]
fn failures_are_grouped_and_dated() {
    let world = well(good())
        .daily(COMPLETE - 20..=COMPLETE - 20, "google.com", &sts(99, &expired(3)))
        .daily(COMPLETE - 3..=COMPLETE, "google.com", &sts(99, &expired(5)))
        .daily(COMPLETE - 1..=COMPLETE + 1, "microsoft.com", &sts(1, &expired(40)));
    let said = judged(&world).reports.unwrap();
    assert_eq!(said.failures.len(), 1);
    let failure = &said.failures[0];
    assert_eq!((failure.result_type, failure.mx.as_deref()), (ResultType::CertificateExpired, Some(MX1)));
    assert_eq!(failure.sessions, 4 * 5 + 3 * 40);
    assert_eq!(failure.reporters, ["microsoft.com", "google.com"]);
    assert_eq!(
        (failure.first_day, failure.last_day),
        (COMPLETE - 3, COMPLETE + 1),
        "what was long ago is another time"
    );
    let sts_sessions = said.sessions.iter().find(|(policy_type, _)| *policy_type == PolicyType::Sts).unwrap().1;
    assert_eq!((sts_sessions.sessions, sts_sessions.failed), (7 * 100 + 4 * 104 + 2 * 41, 4 * 5 + 2 * 40));
    assert_eq!(said.complete_days, 7);
}

#[test]
fn every_failure_has_its_advice() {
    for result_type in ResultType::ALL {
        for policy_type in PolicyType::ALL {
            let said = advice(result_type, policy_type);
            for text in [said.meaning, said.fix] {
                assert!(text.ends_with('.') && text.starts_with(char::is_uppercase) && !text.contains("  "), "{text}");
            }
        }
    }
    let of = |policy_type| advice(ResultType::CertificateHostMismatch, policy_type);
    assert_ne!(of(PolicyType::Sts), of(PolicyType::Tlsa), "DANE asks for other things");
}

/// A destination is judged by the last look that told something; one without an answer may be a restart.
#[test]
fn a_destination_is_given_three_looks() {
    let uri = "https://reports.example/in";
    let looked_at = |seconds: i64, outcome: RuaOutcome| {
        let mut seen = rua(uri, outcome);
        seen.at = Timestamp::from_unix_seconds(NOW.unix_seconds() + seconds);
        good().tlsrpt(&[&format!("v=TLSRPTv1; rua={uri}")]).with(|world| world.domain.rua = vec![seen])
    };
    // A look that found nothing stands for half an hour.
    let looked = |number: i64, outcome: RuaOutcome| looked_at(number * 1800, outcome);
    let silent = || RuaOutcome::DoesNotAnswer("no answer in time".to_owned());
    let mut monitor = Monitor::new();
    let mut see = |world: &World| find(&monitor.see(world), Code::TlsRptRuaUnreachable).is_some();
    assert!(!see(&looked(1, silent())) && !see(&looked(2, silent())));
    // Ten domains, or ten probes, that share one look are one look.
    assert!((0..10).all(|_| !see(&looked(2, silent()))));
    assert!((0..10).all(|later| !see(&looked_at(3600 + 5 * later, silent()))), "looks that somebody asked for");
    assert!(!see(&looked(3, RuaOutcome::CouldNotLook("no route".to_owned()))), "this side");
    assert!(see(&looked(4, silent())));
    assert!(see(&looked(5, RuaOutcome::CouldNotLook("no route".to_owned()))), "what was known stands");
    assert!(!see(&looked(6, RuaOutcome::Answers(405))), "any answer will do");
    assert!(see(&looked(7, RuaOutcome::Nowhere(Nowhere::Nonexistent))), "the DNS is sure at once");
    let unlooked = good().with(|world| {
        world.domain.rua = vec![rua("mailto:t@reports.example", RuaOutcome::CouldNotLook("SERVFAIL".to_owned()))];
    });
    assert_eq!(raised(&unlooked, Code::TlsRptRuaUnreachable), None);
    // `check` has one look, and it counts.
    assert!(find(&looked(1, silent()).assess(), Code::TlsRptRuaUnreachable).is_some());
}

/// An observation from before destinations were looked at reads, and says nothing of them.
#[test]
fn an_older_observation_reads() {
    let mut value = serde_json::to_value(&good().domain).unwrap();
    assert!(value.as_object_mut().unwrap().remove("rua").is_some());
    let read: smtptls_exporter::facts::DomainObservation = serde_json::from_value(value).unwrap();
    assert!(read.rua.is_empty());
    let mut history = serde_json::to_value(smtptls_exporter::verdict::DomainHistory::default()).unwrap();
    for key in ["rua", "new_failures"] {
        assert!(history.as_object_mut().unwrap().remove(key).is_some());
    }
    serde_json::from_value::<smtptls_exporter::verdict::DomainHistory>(history).unwrap();
}

#[test]
fn what_strangers_send_is_bounded() {
    let mut reports = DomainReports::default();
    let names: Vec<String> = (0..5000).map(|number| format!("mx{number}.example.net")).collect();
    for name in &names {
        let policy = sts(0, &[(ResultType::CertificateExpired, Some(name), 1)]);
        reports.add(&Told { day: COMPLETE, reporter: Reporter::UNVERIFIED, policy }.contribution());
    }
    let day = &reports.days[&COMPLETE][Reporter::UNVERIFIED];
    assert!(day.tally.len() <= CELLS_OF_A_DAY_MOST + 1, "{}", day.tally.len());
    let details: u64 = day.details().map(|(_, _, _, sessions)| sessions).sum();
    assert_eq!(details, 5000, "no session is lost");
    let mut one = Told { day: COMPLETE, reporter: "a.example", policy: sts(1, &[]) }.contribution();
    for number in 0..10_000 {
        one.reporter = format!("reporter{number}.example");
        reports.add(&one);
    }
    one.reporter = Reporter::UNVERIFIED.to_owned();
    reports.add(&one);
    assert!(reports.days[&COMPLETE].len() <= REPORTERS_OF_A_DAY_MOST + 1);
    // A day that is not yet: from a clock that runs ahead, or a forger.
    let before = reports.clone();
    one.day = COMPLETE + 400;
    one.end = Some(Timestamp::from_unix_seconds((COMPLETE + 401) * 86_400));
    reports.add(&one);
    assert_eq!((reports.days.len(), reports.last_end), (before.days.len(), before.last_end));
}

/// What proves nothing stays apart from those that are too many, also where it comes last.
#[test]
fn what_proves_nothing_stays_apart() {
    let mut reports = DomainReports::default();
    let mut one = Told { day: COMPLETE, reporter: "a.example", policy: sts(1, &[]) }.contribution();
    for number in 0..2 * REPORTERS_OF_A_DAY_MOST {
        one.reporter = format!("reporter{number}.example");
        reports.add(&one);
    }
    one.reporter = Reporter::UNVERIFIED.to_owned();
    reports.add(&one);
    let day = &reports.days[&COMPLETE];
    assert_eq!(day[Reporter::UNVERIFIED].sessions(PolicyType::Sts).sessions, 1);
    let named = REPORTERS_OF_A_DAY_MOST as u64;
    assert_eq!(day[Reporter::OTHER].sessions(PolicyType::Sts).sessions, named, "the second hundred");
    assert!(day[Reporter::OTHER].tally.keys().any(|cell| cell.measure == Measure::Sessions));
}
