//! Scripted months with the exact hour at which each finding comes and goes. The monitor looks once an hour; the record's TTL is
//! five minutes, `max_age` a week.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use smtptls_exporter::{
    facts::{FetchFailure, FetchPhase, LookupOutcome, Security, TlsaLookup, TlsaObservation, TlsaRecord},
    protocol::mta_sts::Certainty,
    terms::Octets,
    verdict::{Assessment, ChangeKind, Code, PlannedEffect, Severity},
};

use crate::verdict::case::{
    A1, A2, DAY, MX1, MX2, Monitor, NOW, World, certificate, ending, expired, find, host, lookup, policy_body,
};

const HOUR: Duration = Duration::from_secs(3600);

/// What is found in each hour.
struct Months {
    monitor: Monitor,
    hours: Vec<Assessment>,
}

impl Months {
    /// Looks every `step` hours; each world begins at its hour.
    fn run(script: &[(u64, World)], end: u64, step: u64) -> Self {
        let mut months = Self { monitor: Monitor::new(), hours: Vec::new() };
        for hour in (0..end).step_by(usize::try_from(step).unwrap()) {
            let world = &script.iter().rev().find(|(from, _)| *from <= hour).unwrap().1;
            let at = NOW + HOUR * u32::try_from(hour).unwrap();
            months.monitor.now = at;
            let seen = months.monitor.see(world);
            months.hours.push(seen);
        }
        months
    }

    /// The looks, by number, that showed a finding: from, to (the first without it), severity.
    fn stretches(&self, code: Code) -> Vec<(usize, usize, Severity)> {
        let mut found: Vec<(usize, usize, Severity)> = Vec::new();
        for (hour, seen) in self.hours.iter().enumerate() {
            let Some(severity) = find(seen, code).map(|finding| finding.severity) else { continue };
            match found.last_mut() {
                Some(last) if last.1 == hour && last.2 == severity => last.1 = hour + 1,
                _ => found.push((hour, hour + 1, severity)),
            }
        }
        found
    }

    fn changes(&self, kind: ChangeKind) -> Vec<(Option<&str>, Option<&str>)> {
        let wanted = self.monitor.changes.iter().filter(|change| change.kind == kind);
        wanted.map(|change| (change.before.as_deref(), change.after.as_deref())).collect()
    }
}

fn world(mode: &str, mx: &[&str], id: &str) -> World {
    World::good(mode).body(&policy_body(mode, mx)).records(&[&format!("v=STSv1; id={id};")])
}

fn enforce(mx: &[&str], id: &str) -> World {
    world("enforce", mx, id)
}

const ONE: [&str; 1] = [MX1];
const BOTH: [&str; 2] = [MX1, MX2];

#[test]
fn the_policy_changes_and_the_id_does_not() {
    let months = Months::run(&[(0, enforce(&ONE, "1")), (48, enforce(&BOTH, "1")), (96, enforce(&BOTH, "2"))], 120, 1);
    assert_eq!(months.stretches(Code::StsIdNotChanged), [(49, 96, Severity::Error)]);
    assert_eq!(months.hours[60].history.id_stale, Some(true));
    assert_eq!(months.hours[100].history.id_stale, Some(false));
    let policy = |mx: &str| format!("enforce, max_age 604800, {mx}");
    assert_eq!(
        months.changes(ChangeKind::Policy),
        [(Some(&*policy(MX1)), Some(&*policy("mx1.example.com, mx2.example.com")))]
    );
    assert_eq!(months.changes(ChangeKind::Record), [(Some("v=STSv1; id=1;"), Some("v=STSv1; id=2;"))]);
    assert_eq!(months.hours[119].history.id_changes.total, 1);
}

/// An id that was used for another policy before is no new one.
#[test]
fn an_id_comes_back_with_another_policy() {
    let months = Months::run(&[(0, enforce(&ONE, "1")), (24, enforce(&BOTH, "2")), (48, enforce(&[MX2], "1"))], 96, 1);
    assert_eq!(months.stretches(Code::StsIdNotChanged), [(49, 96, Severity::Error)]);
}

#[test]
fn body_first_and_id_second_is_right() {
    let script = [(0, enforce(&ONE, "1")), (48, enforce(&BOTH, "1")), (49, enforce(&BOTH, "2"))];
    let months = Months::run(&script, 240, 1);
    for code in [Code::StsIdNotChanged, Code::StsIdChangedOnly, Code::StsPolicyDowngraded, Code::StsPolicyDiverges] {
        assert_eq!(months.stretches(code), [], "{code}");
    }
}

/// A fault that is mended late is mended: the new id is due.
#[test]
fn a_late_id_is_no_id_for_nothing() {
    let months = Months::run(&[(0, enforce(&ONE, "1")), (48, enforce(&BOTH, "1")), (96, enforce(&BOTH, "2"))], 300, 1);
    assert_eq!(months.stretches(Code::StsIdChangedOnly), []);
}

#[test]
fn an_id_before_its_body() {
    let script =
        [(0, enforce(&ONE, "1")), (48, enforce(&ONE, "2")), (60, enforce(&BOTH, "2")), (72, enforce(&BOTH, "3"))];
    let months = Months::run(&script, 100, 1);
    assert_eq!(months.stretches(Code::StsIdChangedOnly), [(49, 60, Severity::Info), (60, 72, Severity::Warning)]);
    assert_eq!(months.stretches(Code::StsIdNotChanged), [(61, 72, Severity::Error)]);
}

/// Told for seven days from the moment on at which the grace (TTL, two intervals, ten minutes) was over.
#[test]
fn an_id_for_nothing() {
    let months = Months::run(&[(0, enforce(&ONE, "1")), (48, enforce(&ONE, "2"))], 300, 1);
    assert_eq!(months.stretches(Code::StsIdChangedOnly), [(49, 48 + 169, Severity::Info)]);
}

/// X = the answer without the old id + TTL + max_age + an hour.
#[test]
fn an_mx_moves_too_early_and_in_time() {
    let moved = |id| enforce(&BOTH, id).mx(MX2, &[A2]);
    let before = [(0, enforce(&ONE, "1")), (48, enforce(&BOTH, "1")), (49, enforce(&BOTH, "2"))];
    let early = Months::run(&[before.to_vec(), vec![(50, moved("2"))]].concat(), 240, 1);
    assert_eq!(
        early.stretches(Code::MxNotInCachedPolicy),
        [(50, 48 + 26, Severity::Warning), (74, 49 + 170, Severity::Info)]
    );
    let patient = Months::run(&[before.to_vec(), vec![(74, moved("2"))]].concat(), 240, 1);
    assert_eq!(patient.stretches(Code::MxNotInCachedPolicy), [(74, 219, Severity::Info)]);
    let late = Months::run(&[before.to_vec(), vec![(219, moved("2"))]].concat(), 240, 1);
    assert_eq!(late.stretches(Code::MxNotInCachedPolicy), []);
    assert_eq!(
        late.changes(ChangeKind::Mx),
        [(Some("10 mx1.example.com"), Some("10 mx1.example.com, 20 mx2.example.com"))]
    );
}

#[test]
fn a_planned_mx_knows_its_days() {
    let plan = |world: World| world.with(|world| world.planned_mx = vec![host(MX2)]);
    let script = [(0, plan(enforce(&ONE, "1"))), (48, plan(enforce(&BOTH, "1"))), (49, plan(enforce(&BOTH, "2")))];
    let months = Months::run(&script, 260, 1);
    let at = |hour: usize| &months.hours[hour].history.planned[0];
    assert_eq!((at(20).in_practice, at(20).certainly, at(20).effect), (None, None, PlannedEffect::Loss));
    assert_eq!((at(48).in_practice, at(48).effect), (None, PlannedEffect::Delay));
    let minutes = |hours: u32, minutes: u32| NOW + HOUR * hours + Duration::from_secs(60) * minutes;
    // The first look with the new id, TTL, a day, an hour.
    assert_eq!(at(60).in_practice, Some(minutes(49 + 25, 5)));
    assert_eq!(at(60).certainly, Some(minutes(49 + 169, 5)));
    assert_eq!((at(218).effect, at(219).effect), (PlannedEffect::Delay, PlannedEffect::None));
    assert_eq!(at(219).certainty, Certainty::AsFarAsSeen, "what was served before the first look is not known");
}

#[test]
fn the_record_is_deleted_early() {
    let months = Months::run(&[(0, enforce(&ONE, "1")), (48, enforce(&ONE, "1").no_record())], 240, 1);
    assert_eq!(months.stretches(Code::StsRecordVanished), [(48, 48 + 170, Severity::Error)]);
    let testing = world("testing", &ONE, "1");
    let months = Months::run(&[(0, testing.clone()), (48, testing.no_record())], 60, 1);
    assert_eq!(months.stretches(Code::StsRecordVanished), [(48, 60, Severity::Info)]);
    let months = Months::run(
        &[
            (0, enforce(&ONE, "1")),
            (
                48,
                enforce(&ONE, "1").with(|world| {
                    world.domain.sts_record = crate::verdict::case::failed("_mta-sts.example.com");
                }),
            ),
        ],
        52,
        1,
    );
    assert_eq!(months.stretches(Code::StsRecordVanished), [], "a lookup that fails says nothing");
}

#[test]
fn a_policy_is_withdrawn_in_order() {
    let none = |id| world("none", &[], id);
    let months = Months::run(&[(0, enforce(&ONE, "1")), (48, none("1")), (49, none("2"))], 260, 1);
    assert_eq!(months.stretches(Code::StsPolicyDowngraded), [(48, 48 + 168, Severity::Warning)]);
    let safe = |hour: usize| months.hours[hour].history.safe_to_remove;
    assert_eq!((safe(47), safe(48)), (None, None), "the old id is no id of mode none");
    let removal = safe(49).unwrap();
    let minutes = |hours: u32, minutes: u32| NOW + HOUR * hours + Duration::from_secs(60) * minutes;
    assert_eq!(removal.at, minutes(49 + 169, 5));
    assert_eq!(removal.in_practice, minutes(49 + 49, 5));
    assert_eq!((safe(218).unwrap().now, safe(219).unwrap().now), (false, true));
    let fix = &find(&months.hours[100], Code::StsPolicyModeNone).unwrap().fix;
    let at = removal.at.to_string();
    assert!(fix.contains(&format!("{}, {} UTC", &at[..10], &at[11..16])), "the minute, as the day is too early: {fix}");
    assert_eq!(months.hours[100].history.protected_until, None);
    assert_eq!(months.stretches(Code::StsRecordVanished), []);
}

/// The record stands and renews nothing: the first senders lose the policy a week less a day after the last fetch.
#[test]
fn a_dead_policy_host_loses_senders_at_a_fixed_time() {
    let dead = enforce(&ONE, "1").fetch_fails(&FetchFailure::Timeout(FetchPhase::Connect));
    let months = Months::run(&[(0, enforce(&ONE, "1")), (48, dead)], 120, 1);
    let until = |hour: usize| months.hours[hour].history.protected_until;
    let after = |hours: u32| Some(NOW + HOUR * hours + 6 * DAY);
    assert_eq!((until(40), until(47)), (after(40), after(47)), "it moves with every fetch");
    assert_eq!((until(48), until(100), until(119)), (after(47), after(47), after(47)));
}

/// A node that serves the old policy again takes the promise back.
#[test]
fn a_withdrawal_that_breaks_begins_anew() {
    let none = |id| world("none", &[], id);
    let script =
        [(0, enforce(&ONE, "1")), (48, none("2")), (100, enforce(&ONE, "2")), (101, none("2")), (130, none("3"))];
    let months = Months::run(&script, 160, 1);
    let safe = |hour: usize| months.hours[hour].history.safe_to_remove;
    assert!(safe(99).is_some());
    assert_eq!((safe(100), safe(120)), (None, None), "id 2 was seen with enforce");
    assert!(safe(130).unwrap().at > safe(99).unwrap().at);
}

#[test]
fn two_years_of_testing() {
    let lasting = ending(certificate(&["mta-sts.example.com"]), 800 * DAY, 900 * DAY);
    let script = [
        (0, world("testing", &ONE, "1").policy_chain(&lasting)),
        (700 * 24, enforce(&ONE, "2").policy_chain(&lasting)),
    ];
    let months = Months::run(&script, 730 * 24, 24);
    assert_eq!(months.stretches(Code::StsPolicyTestingLong), [(91, 700, Severity::Warning)]);
}

#[test]
fn ready_for_enforce_after_two_weeks_and_a_day() {
    let good = world("testing", &ONE, "1");
    let broken = good.clone().chain(A1, expired);
    let months = Months::run(&[(0, good.clone()), (400, broken), (401, good)], 480, 1);
    let ready = |hour: usize| months.hours[hour].history.enforce.as_ref().unwrap();
    assert!(!ready(335).ready && ready(336).ready, "{:#?}", ready(336));
    let unmet: Vec<_> = ready(336).conditions.iter().filter(|one| !one.met).map(|one| one.name).collect();
    assert_eq!(unmet, ["reports-seen"], "no report source is configured");
    assert!(!ready(336).confident);
    // It is said after a day, goes at once, and a failed probe is held against the host for three days.
    assert_eq!(months.stretches(Code::StsPolicyReadyForEnforce), [(360, 400, Severity::Info)]);
    // One step, told once, and before the finding that it ends.
    let told = |hour: usize| {
        let findings = &months.hours[hour].findings;
        let of = |code: Code| findings.iter().position(|finding| finding.code == code);
        let testing = of(Code::StsPolicyModeTesting).unwrap();
        (of(Code::StsPolicyReadyForEnforce).map(|at| at < testing), findings[testing].fix.contains("_mta-sts."))
    };
    assert_eq!((told(359), told(360)), ((None, true), (Some(true), false)));
    assert!(!ready(472).ready && ready(473).ready, "{:#?}", ready(473));
    for condition in &ready(100).conditions {
        let wanted = !matches!(
            condition.name,
            "policy-stable" | "testing-long-enough" | "record-valid" | "policy-fetchable" | "reports-seen"
        );
        assert_eq!(condition.met, wanted, "{condition:?}");
        assert!(condition.reason.ends_with('.'), "{condition:?}");
    }
}

/// Good fetches come with every scrape, bad ones with every retry: neither may outweigh the other.
#[test]
fn fetches_are_counted_at_the_pace_of_the_schedule() {
    let mut monitor = Monitor::new();
    let good = World::good("testing");
    let failing = good.clone().with(|world| world.domain.policy.fetches.clear());
    for _ in 0..36 {
        monitor.later(Duration::from_secs(15)).see(&good);
    }
    assert_eq!(monitor.history.domain.evidence.fetches(monitor.now), (1, 1), "in nine minutes");
    for _ in 0..2 {
        monitor.later(Duration::from_secs(300)).see(&failing);
    }
    let evidence = &monitor.history.domain.evidence;
    assert_eq!(evidence.fetches(monitor.now), (2, 1), "as many as good ones in the same time");
    assert_eq!(evidence.fetch_bad_at, Some(monitor.now), "counted or not");
}

#[test]
fn an_mx_outside_the_policy_is_never_ready() {
    let uncovered = world("testing", &ONE, "1").mx(MX2, &[A2]);
    let months = Months::run(&[(0, uncovered)], 400, 4);
    let last = months.hours.last().unwrap().history.enforce.as_ref().unwrap();
    assert!(!last.ready);
    let failing: Vec<_> = last.conditions.iter().filter(|one| !one.met).map(|one| one.name).collect();
    assert!(failing.contains(&"mx-covered"), "{failing:?}");
}

/// Nodes of a CDN that serve different policies in turn.
#[test]
fn successive_answers_differ() {
    let script: Vec<(u64, World)> = (0..30)
        .map(|hour| {
            (hour, if (10..16).contains(&hour) && hour % 2 == 0 { enforce(&BOTH, "1") } else { enforce(&ONE, "1") })
        })
        .collect();
    let months = Months::run(&script, 60, 1);
    // The first return is a correction; from the second within a day on it is a habit, until a day has passed without one.
    assert_eq!(months.stretches(Code::StsPolicyDiverges), [(12, 15 + 24, Severity::Warning)]);
}

fn with_tlsa(key: &[u8], published: &[&[u8]]) -> World {
    let records: Vec<TlsaRecord> = published
        .iter()
        .map(|data| TlsaRecord {
            usage: 3,
            selector: 0,
            matching: 1,
            data: Octets(digest(&SHA256, data).as_ref().to_vec()),
        })
        .collect();
    let mut found = lookup("_25._tcp.mx1.example.com", LookupOutcome::Records { records, ttl: 300 });
    found.security = Security::Secure;
    let tlsa = TlsaObservation { alias: None, lookups: vec![TlsaLookup { base: host(MX1), lookup: found }] };
    let key = key.to_vec();
    World::good("enforce")
        .host_lookup(MX1, |seen| {
            for family in [&mut seen.addresses.ip4, &mut seen.addresses.ip6].into_iter().flatten() {
                family.security = Security::Secure;
            }
            seen.tlsa = Some(tlsa);
        })
        .chain(A1, move |mut chain| {
            chain.der = vec![Octets(key.clone())];
            chain.leaf.fingerprint_sha256 = format!("{:02x}", key[0]).repeat(32);
            chain
        })
}

#[test]
fn a_key_is_rolled_over() {
    let (old, new): (&[u8], &[u8]) = (b"old certificate", b"new certificate");
    let script = |clean: u64| {
        [
            (0, with_tlsa(old, &[old])),
            (10 * 24, with_tlsa(old, &[old, new])),
            (20 * 24, with_tlsa(new, &[old, new])),
            (clean * 24, with_tlsa(new, &[new])),
        ]
    };
    let right = Months::run(&script(25), 60 * 24, 24);
    assert_eq!(right.stretches(Code::DaneRecordStale), []);
    assert_eq!(right.changes(ChangeKind::Tlsa).len(), 2);
    assert_eq!(right.changes(ChangeKind::Certificate).len(), 1);
    let left = Months::run(&script(55), 60 * 24, 24);
    // Thirty days and one look after the last match, until it is taken out.
    assert_eq!(left.stretches(Code::DaneRecordStale), [(51, 55, Severity::Info)]);
}

/// Certificates of ninety days (warning 22.5 days before the end, error 3): the first is replaced late, the second in time, the
/// third not at all. What is found of it goes with the renewal, and each renewal is one change with both ends.
#[test]
fn certificates_are_renewed_late_in_time_and_never() {
    let lasting = ending(certificate(&["mta-sts.example.com"]), 800 * DAY, 900 * DAY);
    let ends_on = |day: u32, mark: &'static str| {
        enforce(&ONE, "1").policy_chain(&lasting).chain(A1, move |chain| {
            let mut chain = ending(chain, day * DAY, 90 * DAY);
            chain.leaf.fingerprint_sha256 = mark.repeat(32);
            chain
        })
    };
    let script = [(0, ends_on(90, "a1")), (88 * 24, ends_on(178, "b2")), (148 * 24, ends_on(238, "c3"))];
    let months = Months::run(&script, 240 * 24, 1);
    assert_eq!(
        months.stretches(Code::CertificateExpiring),
        [
            (67 * 24 + 13, 87 * 24 + 1, Severity::Warning),
            (87 * 24 + 1, 88 * 24, Severity::Error),
            (215 * 24 + 13, 235 * 24 + 1, Severity::Warning),
            (235 * 24 + 1, 238 * 24 + 1, Severity::Error),
        ]
    );
    assert_eq!(months.stretches(Code::CertificateExpired), [(238 * 24 + 1, 240 * 24, Severity::Error)]);
    let changes = months.changes(ChangeKind::Certificate);
    assert_eq!(changes.len(), 2, "{changes:?}");
    for ((before, after), marks) in changes.into_iter().zip([["a1a1", "b2b2"], ["b2b2", "c3c3"]]) {
        assert!(before.unwrap().contains(marks[0]) && after.unwrap().contains(marks[1]), "{before:?} {after:?}");
    }
}

/// The key changes first and the record a day after: in between, senders that apply DANE deliver nothing.
#[test]
fn a_key_is_rolled_over_before_its_record() {
    let (old, new): (&[u8], &[u8]) = (b"old certificate", b"new certificate");
    let script = [(0, with_tlsa(old, &[old])), (240, with_tlsa(new, &[old])), (264, with_tlsa(new, &[new]))];
    let months = Months::run(&script, 480, 1);
    assert_eq!(months.stretches(Code::DaneMismatch), [(240, 264, Severity::Error)]);
    assert_eq!(months.stretches(Code::DaneRecordStale), []);
    let delivery = months.changes(ChangeKind::Delivery);
    assert_eq!(delivery, [(Some("protected"), Some("blocked")), (Some("blocked"), Some("protected"))]);
}

#[test]
fn a_finding_knows_since_when_and_how_often() {
    let good = enforce(&ONE, "1");
    let bad = good.clone().chain(A1, expired);
    let script = [(0, good.clone()), (10, bad.clone()), (12, good), (20, bad)];
    let months = Months::run(&script, 24, 1);
    let told = |hour: usize| find(&months.hours[hour], Code::CertificateExpired).map(|f| (f.since.unwrap(), f.times));
    assert_eq!(told(11), Some((NOW + HOUR * 10, 1)));
    assert_eq!(told(23), Some((NOW + HOUR * 20, 2)));
    let delivery = months.changes(ChangeKind::Delivery);
    assert_eq!(
        delivery,
        [
            (Some("protected"), Some("blocked")),
            (Some("blocked"), Some("protected")),
            (Some("protected"), Some("blocked"))
        ]
    );
}

/// What a year leaves behind is bounded, and comes back from a store as it was.
#[test]
fn the_history_stays_small_and_survives_a_store() {
    let script: Vec<(u64, World)> =
        (0..200).map(|day| (day * 24, enforce(&[MX1, &format!("mx{day}.example.com")], &format!("{day}")))).collect();
    let months = Months::run(&script, 200 * 24, 12);
    let history = &months.monitor.history.domain;
    assert!(history.ledger.versions().len() <= 24);
    let text = serde_json::to_string(history).unwrap();
    assert!(text.len() < 40_000, "{}", text.len());
    assert_eq!(&serde_json::from_str::<smtptls_exporter::verdict::DomainHistory>(&text).unwrap(), history);
    // What was dropped is not forgotten: the bound for the present MX only rises.
    assert!(months.hours.last().unwrap().history.cache_expiry.unwrap() > NOW + DAY * 206);
    assert_eq!(months.monitor.history.hosts.len(), 1);
}
