//! Reports: each counts once, by whatever way and however often it comes; a correction adds only what is more.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use smtptls_exporter::{
    facts::{Authentication, Provenance, Reporter, Transport},
    protocol::tls_rpt::{FailureDetail, PolicyType, Quirk, RefusalReason, ReportedPolicy, ResultType, TlsReport},
    store::{
        Bounds, DayTotal, Filed, Filing, HOSTS_OF_A_DAY_MOST, IncomingReport, IntakeCounters,
        REPORTS_OF_A_REPORTER_MOST, REPORTS_OF_THE_REST_MOST, ReportBatch, ReportsWanted, VERSIONS_MOST,
    },
    verdict::{Counter, CounterKey, Counters, DomainReports, Measure, REPORTERS_OF_A_DAY_MOST, policy_print},
};

mod bounds;

in_every_place! {
    a_report_is_kept_with_all_that_is_in_it_and_counts,
    the_same_report_counts_once_by_three_ways_in_one_batch_later_and_after_a_restart,
    a_copy_that_is_proven_takes_the_report_over_and_no_counter_moves,
    a_forged_report_under_the_same_id_hides_nothing,
    a_correction_adds_what_is_more_and_takes_nothing_away,
    kinds_of_policy_are_never_added_up_for_a_reporter,
    a_late_report_is_kept_and_in_no_counter,
    domains_of_one_report_each_get_their_own,
    counters_are_those_of_a_label_from_when_it_has_one,
    reports_are_listed_by_page_time_and_failure,
    no_report_is_about_what_is_still_to_come,
    invented_reporters_hosts_and_reports_are_bounded,
    a_number_that_somebody_made_up_ends_no_counter,
    a_report_that_is_too_large_is_refused_and_the_others_are_filed,
    what_is_old_goes_and_the_counters_and_the_marks_stay,
}

pub(super) const EXAMPLE: &str = "example.com";

/// A sent report: change what a test is about.
#[derive(Clone)]
pub(super) struct Sent {
    pub(super) organization: &'static str,
    pub(super) id: Option<String>,
    pub(super) reporter: Reporter,
    pub(super) label: String,
    pub(super) transport: Transport,
    pub(super) begin: Option<Timestamp>,
    pub(super) policies: Vec<(&'static str, Vec<ReportedPolicy>)>,
    pub(super) late: bool,
    pub(super) quirks: BTreeSet<Quirk>,
}

impl Sent {
    pub(super) fn new(reporter: Reporter, id: &str, successful: u64, failed: u64) -> Self {
        Self {
            organization: "Sender",
            id: Some(id.to_owned()),
            label: reporter.as_str().to_owned(),
            reporter,
            transport: Transport::Mail,
            begin: Some(yesterday()),
            policies: vec![(EXAMPLE, vec![sts(successful, failed)])],
            late: false,
            quirks: BTreeSet::new(),
        }
    }

    pub(super) fn incoming(self) -> IncomingReport {
        let policies = self.policies.iter().flat_map(|(_, policies)| policies.clone()).collect();
        let report = TlsReport {
            organization: Some(self.organization.to_owned()),
            contact: Some("reports@sender.example".to_owned()),
            report_id: self.id,
            begin: self.begin,
            end: self.begin.map(|begin| begin + case::DAY),
            policies,
            quirks: self.quirks,
        };
        let authentication = match self.reporter {
            Reporter::Verified(_) => Authentication::Dkim,
            Reporter::Unverified => Authentication::None,
        };
        let provenance = Provenance {
            transport: self.transport,
            authentication,
            reporter: self.reporter,
            arrived_at: NOW,
            source: format!("by {}", self.transport.as_str()),
        };
        let shares = self.policies.into_iter().map(|(name, policies)| (domain(name), policies)).collect();
        IncomingReport { report, provenance, label: self.label, shares, late: self.late }
    }
}

/// The begin of the day before.
pub(super) fn yesterday() -> Timestamp {
    Timestamp::from_unix_seconds((NOW.unix_seconds().div_euclid(86_400) - 1) * 86_400)
}

pub(super) fn day() -> i64 {
    yesterday().unix_seconds() / 86_400
}

pub(super) fn verified(name: &str) -> Reporter {
    Reporter::Verified(domain(name))
}

pub(super) fn sts(successful: u64, failed: u64) -> ReportedPolicy {
    let failure = FailureDetail {
        result_type: ResultType::CertificateExpired,
        sessions: failed,
        receiving_mx: Some(case::MX1.to_owned()),
        ..FailureDetail::default()
    };
    ReportedPolicy {
        policy_type: PolicyType::Sts,
        successful,
        failed,
        failures: if failed > 0 { vec![failure] } else { Vec::new() },
        ..ReportedPolicy::default()
    }
}

fn tlsa(successful: u64) -> ReportedPolicy {
    ReportedPolicy { policy_type: PolicyType::Tlsa, successful, ..ReportedPolicy::default() }
}

pub(super) async fn file(store: &dyn Store, sent: Vec<Sent>) -> Filing {
    let reports = sent.into_iter().map(Sent::incoming).collect();
    store.file_reports(Arc::new(ReportBatch { reports, ..ReportBatch::default() }), NOW).await.unwrap()
}

pub(super) async fn of(store: &dyn Store, name: &str) -> DomainReports {
    store
        .domain_reports(&[domain(name)], 0)
        .await
        .unwrap()
        .into_iter()
        .next()
        .map(|(_, known)| known)
        .unwrap_or_default()
}

/// Sessions and failed ones under sts.
pub(super) async fn counted(store: &dyn Store, name: &str) -> [u64; 2] {
    let counters = of(store, name).await.counters;
    [CounterKey::Sessions(PolicyType::Sts), CounterKey::Failed(PolicyType::Sts)].map(|key| value(&counters, &key))
}

fn value(counters: &Counters, key: &CounterKey) -> u64 {
    counters.get(key).map_or(0, |counter| counter.value)
}

fn wanted() -> ReportsWanted {
    ReportsWanted { domain: domain(EXAMPLE), since: None, failing: false, before: None, most: usize::MAX }
}

/// Sessions under sts of the day, by reporter.
async fn totals(store: &dyn Store) -> BTreeMap<String, u64> {
    let totals = store.day_totals(&domain(EXAMPLE), day(), day()).await.unwrap();
    let sessions = totals.into_iter().filter(|total| total.measure == Measure::Sessions);
    sessions.map(|total| (total.reporter, total.sessions)).collect()
}

fn names(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
    pairs.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect()
}

async fn a_report_is_kept_with_all_that_is_in_it_and_counts(place: &Place) {
    let store = place.open().await;
    let mut sent = Sent::new(verified("sender.example"), "1", 90, 10);
    sent.quirks = [Quirk::Zip, Quirk::DateWithoutZone].into();
    let lines: Vec<String> =
        ["version: STSv1", "mode: enforce", "max_age: 86400", "mx: mx1.example.com"].map(str::to_owned).into();
    sent.policies[0].1[0].policy_string.clone_from(&lines);
    let incoming = sent.clone().incoming();
    let filing = file(&*store, vec![sent]).await;
    assert_eq!(filing.outcomes, [Filed::New]);
    assert_eq!(filing.contributions.len(), 1);
    let contribution = &filing.contributions[0];
    assert_eq!((contribution.day, contribution.reporter.as_str(), contribution.late), (day(), "sender.example", false));
    assert_eq!(contribution.policies, policy_print(&lines).into_iter().collect());
    assert_eq!(contribution.policies.len(), 1);
    let detail = |result_type| Measure::Detail(result_type, Some(case::MX1.to_owned()));
    let cells: Vec<_> = contribution.tally.iter().map(|(cell, sessions)| (cell.measure.clone(), *sessions)).collect();
    let expected = [(Measure::Sessions, 100), (Measure::Failed, 10), (detail(ResultType::CertificateExpired), 10)];
    assert_eq!(cells, expected);

    store.close().await;
    drop(store);
    let store = place.open().await;
    let kept = store.reports(&wanted()).await.unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!((&kept[0].report, &kept[0].provenance), (&incoming.report, &incoming.provenance));
    let known = of(&*store, EXAMPLE).await;
    let mut folded = DomainReports::default();
    folded.add(contribution);
    folded.counters.clone_from(&filing.counters[&domain(EXAMPLE)]);
    assert_eq!(known, folded, "what is folded in memory is what a start reads");
    let counter = |value| Counter { value, born_at: Some(NOW) };
    let expected: Counters = [
        (CounterKey::Sessions(PolicyType::Sts), counter(100)),
        (CounterKey::Failed(PolicyType::Sts), counter(10)),
        (CounterKey::Detail(PolicyType::Sts, ResultType::CertificateExpired), counter(10)),
        (CounterKey::ReporterSessions("sender.example".to_owned()), counter(100)),
        (CounterKey::ReporterFailed("sender.example".to_owned()), counter(10)),
    ]
    .into();
    assert_eq!(known.counters, expected);
    let total = |measure, sessions| DayTotal {
        day: day(),
        reporter: "sender.example".to_owned(),
        policy_type: PolicyType::Sts,
        measure,
        sessions,
    };
    let totals = store.day_totals(&domain(EXAMPLE), day(), day()).await.unwrap();
    let expected =
        [total(detail(ResultType::CertificateExpired), 10), total(Measure::Failed, 10), total(Measure::Sessions, 100)];
    assert_eq!(totals, expected);
    assert_eq!(store.day_totals(&domain(EXAMPLE), day() + 1, day() + 9).await.unwrap(), []);
    let (intake, _) = store.intake_counters().await.unwrap();
    let expected = IntakeCounters {
        reports: [(Transport::Mail, 1)].into(),
        quirks: [(Quirk::Zip, 1), (Quirk::DateWithoutZone, 1)].into(),
        ..IntakeCounters::default()
    };
    assert_eq!(intake, expected);
    assert_eq!(filing.intake, expected);
    store.close().await;
}

async fn the_same_report_counts_once_by_three_ways_in_one_batch_later_and_after_a_restart(place: &Place) {
    let store = place.open().await;
    let mail = Sent::new(verified("sender.example"), "1", 90, 10);
    // How it came and what is odd in it does not make it another one.
    let post = Sent {
        reporter: Reporter::Unverified,
        label: "unverified".to_owned(),
        transport: Transport::Https,
        quirks: [Quirk::MediaTypeMismatch].into(),
        ..mail.clone()
    };
    let file_of = Sent { transport: Transport::File, ..post.clone() };
    let filing = file(&*store, vec![post.clone(), file_of.clone(), post.clone()]).await;
    assert_eq!(filing.outcomes, [Filed::New, Filed::Duplicate, Filed::Duplicate]);
    let filing = file(&*store, vec![mail.clone(), mail.clone()]).await;
    assert_eq!(filing.outcomes, [Filed::Duplicate; 2]);
    assert!(filing.contributions.is_empty() && filing.counters.is_empty());
    store.close().await;
    drop(store);
    let store = place.open().await;
    let filing = file(&*store, vec![file_of, mail, post]).await;
    assert_eq!(filing.outcomes, [Filed::Duplicate; 3]);
    assert_eq!(counted(&*store, EXAMPLE).await, [100, 10]);
    let (intake, _) = store.intake_counters().await.unwrap();
    assert_eq!((intake.reports, intake.duplicates), ([(Transport::Https, 1)].into(), 7));
    assert_eq!(intake.quirks, [(Quirk::MediaTypeMismatch, 1)].into());
    assert_eq!(store.reports(&wanted()).await.unwrap().len(), 1);
}

async fn a_copy_that_is_proven_takes_the_report_over_and_no_counter_moves(place: &Place) {
    for in_one_batch in [false, true] {
        let place = place.other().await;
        let store = place.open().await;
        let proven = Sent::new(verified("sender.example"), "1", 90, 10);
        let unproven = Sent { reporter: Reporter::Unverified, label: "unverified".to_owned(), ..proven.clone() };
        let other = Sent { id: Some("2".to_owned()), ..unproven.clone() };
        let (first, second) = if in_one_batch {
            (None, file(&*store, vec![other, unproven.clone(), proven.clone()]).await)
        } else {
            let first = file(&*store, vec![other, unproven.clone()]).await;
            (Some(first), file(&*store, vec![proven.clone()]).await)
        };
        assert_eq!(second.outcomes.last(), Some(&Filed::Duplicate));
        assert_eq!(totals(&*store).await, names(&[("sender.example", 100), ("unverified", 100)]));
        let known = of(&*store, EXAMPLE).await;
        let reporter = |name: &str| value(&known.counters, &CounterKey::ReporterSessions(name.to_owned()));
        assert_eq!([reporter("unverified"), reporter("sender.example")], [200, 0]);
        // Who folds in memory arrives at the same.
        let mut folded = DomainReports::default();
        for contribution in first.iter().chain([&second]).flat_map(|filing| &filing.contributions) {
            folded.add(contribution);
        }
        assert_eq!(second.moved.len(), 1);
        folded.days.insert(second.moved[0].day, second.moved[0].reporters.clone());
        assert_eq!(folded.days, known.days);
        let kept = store.reports(&wanted()).await.unwrap();
        let reporters: Vec<_> = kept.iter().map(|kept| kept.provenance.reporter.clone()).collect();
        assert_eq!(reporters, [verified("sender.example"), Reporter::Unverified]);
        assert_eq!(kept[0].provenance.authentication, Authentication::Dkim);

        // It stays proven, and a correction of it is compared with it.
        assert_eq!(file(&*store, vec![unproven]).await.outcomes, [Filed::Duplicate]);
        let corrected = Sent { policies: vec![(EXAMPLE, vec![sts(95, 10)])], ..proven };
        assert_eq!(file(&*store, vec![corrected]).await.outcomes, [Filed::Corrected]);
        assert_eq!(counted(&*store, EXAMPLE).await, [205, 20]);
        assert_eq!(totals(&*store).await, names(&[("sender.example", 105), ("unverified", 100)]));
    }
}

async fn a_forged_report_under_the_same_id_hides_nothing(place: &Place) {
    let store = place.open().await;
    let true_one = Sent::new(verified("sender.example"), "1", 90, 10);
    let forged = |reporter| Sent { policies: vec![(EXAMPLE, vec![sts(1, 0)])], reporter, ..true_one.clone() };
    let forgeries = vec![forged(Reporter::Unverified), forged(verified("attacker.example"))];
    // The second says the same in another name: that counts once.
    assert_eq!(file(&*store, forgeries).await.outcomes, [Filed::New, Filed::Duplicate]);
    assert_eq!(file(&*store, vec![true_one]).await.outcomes, [Filed::New]);
    assert_eq!(counted(&*store, EXAMPLE).await, [101, 10]);
    assert_eq!(totals(&*store).await, names(&[("attacker.example", 1), ("sender.example", 100)]));

    // Whoever fills the key of one that nobody proves does not hide what comes after.
    let unproven = |number| Sent::new(Reporter::Unverified, "7", number, 0);
    let most = u64::try_from(VERSIONS_MOST).unwrap();
    let filing = file(&*store, (0..most).map(unproven).collect()).await;
    assert_eq!(filing.outcomes[1..], [Filed::Corrected; VERSIONS_MOST - 1]);
    assert_eq!(file(&*store, vec![unproven(1000)]).await.outcomes, [Filed::New]);
    assert_eq!(counted(&*store, EXAMPLE).await, [101 + most - 1 + 1000, 10]);
}

async fn a_correction_adds_what_is_more_and_takes_nothing_away(place: &Place) {
    let store = place.open().await;
    let version = |successful, failed| Sent::new(verified("sender.example"), "1", successful, failed);
    let steps = [
        (version(90, 10), Filed::New, [100, 10]),
        (version(50, 10), Filed::Corrected, [100, 10]),
        (version(90, 30), Filed::Corrected, [120, 30]),
        (version(90, 10), Filed::Duplicate, [120, 30]),
        (version(125, 0), Filed::Corrected, [125, 30]),
    ];
    for (sent, outcome, expected) in steps {
        assert_eq!(file(&*store, vec![sent]).await.outcomes, [outcome]);
        assert_eq!(counted(&*store, EXAMPLE).await, expected);
    }
    assert_eq!(totals(&*store).await, names(&[("sender.example", 125)]));
    // Both in one batch.
    let other = |successful| Sent { id: Some("2".to_owned()), ..version(successful, 0) };
    assert_eq!(file(&*store, vec![other(5), other(8)]).await.outcomes, [Filed::New, Filed::Corrected]);
    assert_eq!(counted(&*store, EXAMPLE).await, [133, 30]);
    // Another time is another report.
    let begin = Some(yesterday() - case::DAY);
    assert_eq!(file(&*store, vec![Sent { begin, ..version(90, 10) }]).await.outcomes, [Filed::New]);
    // Without an id each content is one of its own.
    let nameless = |successful| Sent { id: None, ..version(successful, 0) };
    let filing = file(&*store, vec![nameless(1), nameless(2), nameless(1)]).await;
    assert_eq!(filing.outcomes, [Filed::New, Filed::New, Filed::Duplicate]);
}

async fn kinds_of_policy_are_never_added_up_for_a_reporter(place: &Place) {
    let store = place.open().await;
    let version =
        |policies| Sent { policies: vec![(EXAMPLE, policies)], ..Sent::new(verified("sender.example"), "1", 0, 0) };
    file(&*store, vec![version(vec![sts(10, 0), tlsa(2)])]).await;
    file(&*store, vec![version(vec![sts(10, 0), tlsa(8)])]).await;
    let counters = of(&*store, EXAMPLE).await.counters;
    let key = CounterKey::ReporterSessions("sender.example".to_owned());
    assert_eq!(value(&counters, &key), 10);
    assert_eq!(value(&counters, &CounterKey::Sessions(PolicyType::Tlsa)), 8);
    file(&*store, vec![version(vec![sts(10, 0), tlsa(14)])]).await;
    assert_eq!(value(&of(&*store, EXAMPLE).await.counters, &key), 14);
}

async fn a_late_report_is_kept_and_in_no_counter(place: &Place) {
    let store = place.open().await;
    let late = Sent { late: true, ..Sent::new(verified("sender.example"), "1", 90, 10) };
    let filing = file(&*store, vec![late.clone(), late]).await;
    assert_eq!(filing.outcomes, [Filed::New, Filed::Duplicate]);
    assert!(filing.contributions[0].late);
    let known = of(&*store, EXAMPLE).await;
    assert!(known.counters.is_empty());
    assert_eq!(known.last_arrived_at, None, "old mail that is read in does not tell that reports come");
    assert_eq!(totals(&*store).await, names(&[("sender.example", 100)]));
    assert!(store.reports(&wanted()).await.unwrap()[0].late);
    let (intake, _) = store.intake_counters().await.unwrap();
    assert_eq!((intake.late, intake.duplicates, &intake.reports[&Transport::Mail]), (1, 1, &1));
    // What was not counted does not count as counted.
    file(&*store, vec![Sent::new(verified("sender.example"), "1", 95, 10)]).await;
    assert_eq!(counted(&*store, EXAMPLE).await, [105, 10]);
    assert!(of(&*store, EXAMPLE).await.last_arrived_at.is_some());
    assert_eq!(totals(&*store).await, names(&[("sender.example", 105)]));
}

async fn domains_of_one_report_each_get_their_own(place: &Place) {
    let store = place.open().await;
    let both = |first, second| Sent {
        policies: vec![(EXAMPLE, vec![sts(first, 0)]), ("example.org", vec![sts(second, 0)])],
        ..Sent::new(verified("sender.example"), "1", 0, 0)
    };
    let one = |name, sessions| Sent { policies: vec![(name, vec![sts(sessions, 0)])], ..both(0, 0) };
    let filing = file(&*store, vec![one(EXAMPLE, 3)]).await;
    assert_eq!(filing.outcomes, [Filed::New]);
    let steps = [
        (both(3, 5), Filed::New, [3, 5]),
        (both(4, 5), Filed::Corrected, [4, 5]),
        (both(4, 5), Filed::Duplicate, [4, 5]),
        (one("example.org", 5), Filed::Duplicate, [4, 5]),
    ];
    for (sent, outcome, expected) in steps {
        assert_eq!(file(&*store, vec![sent]).await.outcomes, [outcome]);
        let sessions = [counted(&*store, EXAMPLE).await[0], counted(&*store, "example.org").await[0]];
        assert_eq!(sessions, expected);
    }
    let kept = store.reports(&wanted()).await.unwrap();
    assert!(kept.iter().all(|kept| kept.report.policies.len() == 1), "each with the policies of its domain");
    assert!(store.domain_reports(&[domain("example.net")], 0).await.unwrap().is_empty());
}

async fn counters_are_those_of_a_label_from_when_it_has_one(place: &Place) {
    let store = place.open().await;
    let sent = |id, label: &str| Sent { label: label.to_owned(), ..Sent::new(verified("sender.example"), id, 10, 0) };
    file(&*store, vec![sent("1", "other")]).await;
    let labels: BTreeSet<String> = ["sender.example".to_owned()].into();
    let batch = ReportBatch {
        labels: labels.clone(),
        refused: [(RefusalReason::BadJson, 3)].into(),
        foreign_policies: 2,
        ..ReportBatch::default()
    };
    let later = NOW + case::DAY;
    let filing = store.file_reports(Arc::new(batch.clone()), later).await.unwrap();
    let counters = &filing.counters[&domain(EXAMPLE)];
    let [own, other] = ["sender.example", "other"].map(|name| counters[&CounterKey::ReporterSessions(name.to_owned())]);
    assert_eq!(own, Counter { value: 0, born_at: Some(later) });
    assert_eq!(other, Counter { value: 10, born_at: Some(NOW) });
    // A label that is known already is no news.
    assert!(store.file_reports(Arc::new(batch), later).await.unwrap().counters.is_empty());
    file(&*store, vec![sent("2", "sender.example")]).await;
    let counters = of(&*store, EXAMPLE).await.counters;
    assert_eq!(counters[&CounterKey::ReporterSessions("sender.example".to_owned())].value, 10);
    let (intake, known) = store.intake_counters().await.unwrap();
    assert_eq!(known, labels);
    assert_eq!((intake.refused, intake.foreign_policies), ([(RefusalReason::BadJson, 6)].into(), 4));
}

async fn reports_are_listed_by_page_time_and_failure(place: &Place) {
    let store = place.open().await;
    let sent = |number: u32| Sent {
        begin: Some(yesterday() - case::DAY * number),
        ..Sent::new(verified("sender.example"), &number.to_string(), 10, u64::from(number % 2))
    };
    file(&*store, (0..6).map(sent).collect()).await;
    let ids = async |wanted: ReportsWanted| {
        let found = store.reports(&wanted).await.unwrap();
        found.into_iter().map(|kept| kept.report.report_id.unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(ids(wanted()).await, ["5", "4", "3", "2", "1", "0"]);
    assert_eq!(ids(ReportsWanted { failing: true, ..wanted() }).await, ["5", "3", "1"]);
    assert_eq!(ids(ReportsWanted { since: Some(yesterday() - case::DAY), ..wanted() }).await, ["1", "0"]);
    let first = store.reports(&ReportsWanted { most: 2, ..wanted() }).await.unwrap();
    assert_eq!(first.len(), 2);
    assert_eq!(ids(ReportsWanted { before: Some(first[1].id), most: 2, ..wanted() }).await, ["3", "2"]);
    assert_eq!(ids(ReportsWanted { domain: domain("example.net"), ..wanted() }).await, [""; 0]);
    let since = store.domain_reports(&[domain(EXAMPLE)], day() - 2).await.unwrap();
    assert_eq!(since[0].1.days.keys().copied().collect::<Vec<_>>(), [day() - 2, day() - 1, day()]);
}

async fn no_report_is_about_what_is_still_to_come(place: &Place) {
    let store = place.open().await;
    let begin = Some(NOW + 1000 * case::DAY);
    let filing = file(&*store, vec![Sent { begin, ..Sent::new(Reporter::Unverified, "1", 1, 0) }]).await;
    assert_eq!(filing.contributions[0].day, day() + 1, "the day on which it came");
    assert_eq!(of(&*store, EXAMPLE).await.last_end, Some(NOW));
    let undated = Sent { begin: None, ..Sent::new(Reporter::Unverified, "2", 1, 0) };
    assert_eq!(file(&*store, vec![undated]).await.contributions[0].day, day() + 1);
}

async fn invented_reporters_hosts_and_reports_are_bounded(place: &Place) {
    let store = place.open().await;
    // 10,000 reporters.
    for round in 0..20_u32 {
        let sent = |number: u32| {
            let name = format!("r{}.example", round * 500 + number);
            Sent { label: "other".to_owned(), ..Sent::new(verified(&name), &name, 1, 0) }
        };
        file(&*store, (0..500).map(sent).collect()).await;
    }
    let known = of(&*store, EXAMPLE).await;
    let names = &known.days[&day()];
    let told_apart = names.len() - 1;
    assert!(names.contains_key("other") && told_apart + 60 + 2 < REPORTERS_OF_A_DAY_MOST, "places are left for labels");
    let taken = u64::try_from(told_apart).unwrap() + REPORTS_OF_THE_REST_MOST;
    assert_eq!(counted(&*store, EXAMPLE).await, [taken, 0]);
    assert_eq!(known.counters.len(), 4, "no label is made of them: {:?}", known.counters);
    let (intake, _) = store.intake_counters().await.unwrap();
    assert_eq!(intake.refused, [(RefusalReason::RateLimited, 10_000 - taken)].into());
    // Of one reporter.
    let most = REPORTS_OF_A_REPORTER_MOST;
    let elsewhere = |id: u64| Sent {
        policies: vec![("example.org", vec![sts(1, 0)])],
        ..Sent::new(verified("sender.example"), &id.to_string(), 1, 0)
    };
    let filing = file(&*store, (0..=most).map(elsewhere).collect()).await;
    assert_eq!(filing.outcomes.last(), Some(&Filed::Refused(RefusalReason::RateLimited)));
    assert_eq!(filing.outcomes.iter().filter(|outcome| **outcome == Filed::New).count() as u64, most);
    // Another one has room, and so has one that is there already.
    let other = Sent { reporter: verified("other.example"), ..elsewhere(most) };
    assert_eq!(file(&*store, vec![other, elsewhere(0)]).await.outcomes, [Filed::New, Filed::Duplicate]);
    // A report is taken whole or not at all.
    let mut both = elsewhere(most + 1);
    both.policies.push(("example.net", vec![sts(1, 0)]));
    assert_eq!(file(&*store, vec![both]).await.outcomes, [Filed::Refused(RefusalReason::RateLimited)]);
    assert_eq!(of(&*store, "example.net").await, DomainReports::default());
    // Hosts.
    let hosts = |id: &str, range: std::ops::Range<usize>| {
        let failure = |number| FailureDetail {
            sessions: 1,
            receiving_mx: Some(format!("mx{number}.example")),
            ..FailureDetail::default()
        };
        let policy = ReportedPolicy { failures: range.map(failure).collect(), ..sts(1, 0) };
        Sent { policies: vec![("example.edu", vec![policy])], ..Sent::new(Reporter::Unverified, id, 1, 0) }
    };
    file(&*store, vec![hosts("1", 0..40)]).await;
    let filing = file(&*store, vec![hosts("2", 20..90)]).await;
    let known = of(&*store, "example.edu").await;
    let tally = &known.days[&day()]["unverified"].tally;
    let told = tally.keys().filter(|cell| matches!(cell.measure, Measure::Detail(_, Some(_)))).count();
    assert_eq!(told, HOSTS_OF_A_DAY_MOST);
    let details = tally.iter().filter(|(cell, _)| matches!(cell.measure, Measure::Detail(..)));
    assert_eq!(details.map(|(_, sessions)| sessions).sum::<u64>(), 110, "none is lost");
    // What is added in memory has the same hosts.
    let added = filing.contributions[0].tally.keys().filter(|cell| matches!(cell.measure, Measure::Detail(_, Some(_))));
    assert_eq!(added.count(), HOSTS_OF_A_DAY_MOST - 20);
}

async fn a_number_that_somebody_made_up_ends_no_counter(place: &Place) {
    let store = place.open().await;
    let huge = |id: &str| Sent::new(Reporter::Unverified, id, u64::MAX, u64::MAX);
    file(&*store, vec![huge("1"), huge("2")]).await;
    let [before, _] = counted(&*store, EXAMPLE).await;
    file(&*store, vec![Sent::new(verified("sender.example"), "1", 1, 0)]).await;
    let [after, _] = counted(&*store, EXAMPLE).await;
    assert_eq!(after, before + 1);
    assert!(after < 1 << 40, "a sample is exact up to 2^53: {after}");
    let kept = store.reports(&wanted()).await.unwrap();
    assert_eq!(kept[1].report.policies[0].failed, u64::MAX, "the report stays as it was sent");
}

async fn a_report_that_is_too_large_is_refused_and_the_others_are_filed(place: &Place) {
    let store = place.open().await;
    let mut large = Sent::new(verified("sender.example"), "1", 1, 0);
    large.policies[0].1[0].failures = vec![FailureDetail::default(); 130_000];
    let filing = file(&*store, vec![large, Sent::new(verified("sender.example"), "2", 1, 0)]).await;
    assert_eq!(filing.outcomes, [Filed::Refused(RefusalReason::TooLarge), Filed::New]);
    assert_eq!(filing.intake.refused, [(RefusalReason::TooLarge, 1)].into());
    // One just as large as the reader takes at most is kept and read.
    let mut large = Sent::new(verified("sender.example"), "3", 1, 0);
    let failure =
        FailureDetail { reason: Some("r".repeat(400)), more: Some("m".repeat(400)), ..FailureDetail::default() };
    large.policies[0].1[0].failures = vec![failure; 20_000];
    assert_eq!(file(&*store, vec![large]).await.outcomes, [Filed::New]);
    assert_eq!(store.reports(&wanted()).await.unwrap()[0].report.policies[0].failures.len(), 20_000);
}

async fn what_is_old_goes_and_the_counters_and_the_marks_stay(place: &Place) {
    let store = place.open().await;
    let sent = Sent::new(verified("sender.example"), "1", 90, 10);
    file(&*store, vec![sent.clone()]).await;
    let short = Bounds { retention: case::DAY, domains: 1, hosts: 0 };
    // However short the retention is: for 30 days it is known again.
    store.trim(short, NOW + 29 * case::DAY).await.unwrap();
    assert_eq!(file(&*store, vec![sent]).await.outcomes, [Filed::Duplicate]);
    assert_eq!(totals(&*store).await, names(&[("sender.example", 100)]));
    store.trim(Bounds { retention: 90 * case::DAY, ..short }, NOW + 89 * case::DAY).await.unwrap();
    assert_eq!(store.reports(&wanted()).await.unwrap().len(), 1);
    store.trim(Bounds { retention: 90 * case::DAY, ..short }, NOW + 91 * case::DAY).await.unwrap();
    assert!(store.reports(&wanted()).await.unwrap().is_empty());
    assert!(totals(&*store).await.is_empty());
    // A domain that leaves the configuration and comes back, and one that was silent, counts on.
    assert_eq!(counted(&*store, EXAMPLE).await, [100, 10]);
    file(&*store, vec![Sent::new(verified("sender.example"), "2", 1, 0)]).await;
    assert_eq!(counted(&*store, EXAMPLE).await, [101, 10]);
}
