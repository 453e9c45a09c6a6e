//! The intake of a running monitor: what comes in, by whichever way, and what is counted of it.

use std::{path::PathBuf, sync::Arc, time::Duration};

use smtptls_exporter::{
    config::{DnssecMode, ReportAuthentication, ServerSetting, Settings},
    facts::{Authentication, Transport},
    metrics::{Blocks, Level},
    monitor::{Intake, Monitor, RawReport, Receipt, Telemetry, Unrendered},
    net::now,
    protocol::tls_rpt::{PolicyType, RefusalReason, ResultType},
    store::{Filed, IntakeCounters, ReportsWanted, Store, StoredReport},
    terms::{PolicyDomain, Timestamp},
    verdict::{CounterKey, Counters},
};
use tempfile::TempDir;

use super::made::{HEADER, REPORT, gzip, mail, mail_under, part};
use crate::world::dns::DnsPeer;

/// A monitor for example.com and example.org, with a name server and a state folder of its own.
pub(crate) struct Bench {
    pub(crate) monitor: Monitor,
    pub(crate) dns: DnsPeer,
    pub(crate) state: TempDir,
    settings: Settings,
}

pub(crate) fn domain(name: &str) -> PolicyDomain {
    PolicyDomain::parse(name).unwrap()
}

impl Bench {
    pub(crate) async fn start(change: impl FnOnce(&mut Settings)) -> Self {
        let dns = DnsPeer::start().await;
        let mut settings = Settings::for_domains(["example.com", "example.org"].map(domain).to_vec());
        settings.resolver.servers = vec![ServerSetting::Address(dns.address())];
        settings.resolver.dnssec = DnssecMode::Off;
        settings.resolver.timeout = Duration::from_secs(1);
        change(&mut settings);
        Self::start_in(dns, TempDir::new().unwrap(), settings).await
    }

    pub(crate) async fn start_in(dns: DnsPeer, state: TempDir, settings: Settings) -> Self {
        let telemetry = Telemetry::new().unwrap();
        let renderer = Blocks::new(Level::Normal);
        let monitor =
            Monitor::start(Arc::new(settings.clone()), telemetry, Some(state.path()), renderer).await.unwrap();
        Self { monitor, dns, state, settings }
    }

    /// Another run with the same state.
    pub(crate) async fn restarted(self) -> Self {
        self.monitor.stop().await;
        Self::start_in(self.dns, self.state, self.settings).await
    }

    pub(crate) fn intake(&self) -> Intake {
        self.monitor.intake()
    }

    pub(crate) async fn submit(&self, transport: Transport, bytes: impl Into<Vec<u8>>) -> Receipt {
        self.intake().submit(raw(transport, bytes)).await
    }

    pub(crate) fn store(&self) -> Arc<dyn Store> {
        self.monitor.store().unwrap().borrow().clone().unwrap()
    }

    pub(crate) async fn counters(&self, name: &str) -> Counters {
        let kept = self.store().domain_reports(&[domain(name)], 0).await.unwrap();
        kept.into_iter().next().map(|(_, reports)| reports.counters).unwrap_or_default()
    }

    pub(crate) async fn count(&self, name: &str, key: CounterKey) -> u64 {
        self.counters(name).await.get(&key).map_or(0, |counter| counter.value)
    }

    pub(crate) async fn sessions(&self, name: &str) -> u64 {
        self.count(name, CounterKey::Sessions(PolicyType::Sts)).await
    }

    pub(crate) async fn counted(&self) -> IntakeCounters {
        self.store().intake_counters().await.unwrap().0
    }

    pub(crate) async fn stored(&self, name: &str) -> Vec<StoredReport> {
        let wanted = ReportsWanted { domain: domain(name), since: None, failing: false, before: None, most: 100 };
        self.store().reports(&wanted).await.unwrap()
    }

    /// Refusals are counted in the store a little later.
    pub(crate) async fn refused(&self, reason: RefusalReason, count: u64) {
        let end = std::time::Instant::now() + PATIENCE;
        loop {
            let counted = self.counted().await.refused.get(&reason).copied().unwrap_or(0);
            if counted == count {
                return;
            }
            assert!(std::time::Instant::now() < end, "{reason}: {counted}, never {count}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The copies in quarantine.
    pub(crate) fn quarantined(&self) -> Vec<PathBuf> {
        let Ok(all) = std::fs::read_dir(self.state.path().join("quarantine")) else { return Vec::new() };
        let all = all.map(|entry| entry.unwrap().path());
        all.filter(|path| path.extension().is_none_or(|ending| ending != "why")).collect()
    }
}

/// Far beyond what anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn raw(transport: Transport, bytes: impl Into<Vec<u8>>) -> RawReport {
    RawReport {
        bytes: bytes.into().into(),
        transport,
        source: "the test".to_owned(),
        media_type: None,
        file_name: None,
        waiting_since: None,
    }
}

/// The day before this one, as a report has it.
pub(crate) fn yesterday() -> String {
    let day = now().unix_seconds().div_euclid(86_400) - 1;
    Timestamp::from_unix_seconds(day * 86_400).to_string().split('T').next().unwrap().to_owned()
}

/// The report of yesterday.
pub(crate) fn fresh(report: &str) -> String {
    report.replace("2026-01-11", &yesterday())
}

/// A mail of yesterday's report.
pub(crate) fn fresh_mail() -> Vec<u8> {
    mail(&[part("application/tlsrpt+gzip", &gzip(fresh(REPORT).as_bytes()))])
}

pub(crate) fn authentication(how: ReportAuthentication) -> impl FnOnce(&mut Settings) {
    move |settings| settings.reports.authentication = Some(how.into())
}

#[track_caller]
pub(crate) fn taken(receipt: &Receipt, filed: &[Filed]) {
    assert!(matches!(receipt, Receipt::Taken(found) if found == filed), "{receipt:?}, not {filed:?}");
}

#[track_caller]
pub(crate) fn refused(receipt: &Receipt, reason: RefusalReason, detail: &str) {
    let is =
        matches!(receipt, Receipt::Refused(refusal) if refusal.reason == reason && refusal.detail.contains(detail));
    assert!(is, "{receipt:?}, not {reason} with {detail:?}");
}

/// peers.md 11: one report by POST, as a mail and as a file, and after a restart once more.
#[tokio::test]
async fn a_report_counts_once_by_whatever_way_it_comes() {
    let bench = Bench::start(authentication(ReportAuthentication::None)).await;
    let report = fresh(REPORT);
    taken(&bench.submit(Transport::Https, gzip(report.as_bytes())).await, &[Filed::New]);
    taken(&bench.submit(Transport::Mail, fresh_mail()).await, &[Filed::Duplicate]);
    taken(&bench.submit(Transport::File, report.clone()).await, &[Filed::Duplicate]);
    taken(&bench.submit(Transport::File, fresh_mail()).await, &[Filed::Duplicate]);
    let bench = bench.restarted().await;
    taken(&bench.submit(Transport::Https, report).await, &[Filed::Duplicate]);
    assert_eq!(bench.sessions("example.com").await, 8);
    let detail = CounterKey::Detail(PolicyType::Sts, ResultType::CertificateExpired);
    assert_eq!(bench.count("example.com", detail).await, 3);
    let counted = bench.counted().await;
    assert_eq!((counted.reports.values().sum::<u64>(), counted.duplicates), (1, 4));
    assert!(bench.counters("example.org").await.is_empty());
    bench.monitor.stop().await;
}

/// What is shown after a restart is what was stored.
#[tokio::test]
async fn what_was_filed_is_shown_and_outlives_the_monitor() {
    let bench = Bench::start(|settings| {
        settings.reports.http = Some(smtptls_exporter::config::file::ReportsHttp::default().into());
    })
    .await;
    let snapshot = Arc::clone(&bench.monitor.snapshots().borrow());
    assert!(
        snapshot.intake.is_some() && snapshot.states().iter().all(|state| state.reports.is_some()),
        "a way in is configured"
    );
    taken(&bench.submit(Transport::Https, fresh(REPORT)).await, &[Filed::New]);
    let so = |snapshot: &Arc<smtptls_exporter::monitor::Snapshot>| {
        let Some(reports) = snapshot.domains.get("example.com").unwrap().reports.clone() else { return false };
        let sessions = reports.counters.get(&CounterKey::Sessions(PolicyType::Sts)).map(|counter| counter.value);
        sessions == Some(8)
            && reports.days.len() == 1
            && snapshot.intake.as_ref().unwrap().reports[&Transport::Https] == 1
    };
    let mut snapshots = bench.monitor.snapshots();
    tokio::time::timeout(PATIENCE, snapshots.wait_for(so)).await.unwrap().unwrap();
    let bench = bench.restarted().await;
    assert!(so(&bench.monitor.snapshots().borrow()), "in the very first snapshot");
    bench.monitor.stop().await;
}

#[tokio::test]
async fn without_a_way_in_nothing_is_shown_until_a_report_was_handed_in() {
    let bench = Bench::start(|_| {}).await;
    let watches = |bench: &Bench| {
        let snapshot = Arc::clone(&bench.monitor.snapshots().borrow());
        let all = snapshot.states().iter().all(|state| state.reports.is_some());
        assert_eq!(all, snapshot.intake.is_some());
        all
    };
    assert!(!watches(&bench));
    taken(&bench.submit(Transport::File, fresh(REPORT)).await, &[Filed::New]);
    let mut snapshots = bench.monitor.snapshots();
    tokio::time::timeout(PATIENCE, snapshots.wait_for(|snapshot| snapshot.intake.is_some())).await.unwrap().unwrap();
    assert!(watches(&bench));
    let bench = bench.restarted().await;
    assert!(watches(&bench));
    bench.monitor.stop().await;
}

/// peers.md 34: two domains in one report get their own; foreign ones are counted apart.
#[tokio::test]
async fn each_domain_of_a_report_gets_its_own() {
    let bench = Bench::start(|_| {}).await;
    let policy = |name: &str, good: u32| {
        format!(
            r#"{{"policy":{{"policy-type":"sts","policy-domain":"{name}"}},"summary":{{"total-successful-session-count":{good},"total-failure-session-count":0}}}}"#
        )
    };
    let start = fresh(REPORT).split(r#""policies""#).next().unwrap().to_owned();
    let report = |policies: &[String]| format!(r#"{start}"policies":[{}]}}"#, policies.join(","));
    let both = report(&[policy("Example.ORG.", 1), policy("example.com", 2), policy("x.test", 4)]);
    taken(&bench.submit(Transport::File, both).await, &[Filed::New]);
    assert_eq!((bench.sessions("example.com").await, bench.sessions("example.org").await), (2, 1));
    assert_eq!(bench.counted().await.foreign_policies, 1);
    let foreign = report(&[policy("x.test", 4)]);
    refused(&bench.submit(Transport::File, foreign).await, RefusalReason::UnknownDomain, "x.test");
    bench.refused(RefusalReason::UnknownDomain, 1).await;
    assert_eq!(bench.quarantined().len(), 1);
    bench.monitor.stop().await;
}

/// A policy without a domain is that of the file's name (RFC 8460 §5.1, FLD-11).
#[tokio::test]
async fn a_policy_without_a_domain_takes_it_from_the_name_of_the_file() {
    let bench = Bench::start(|_| {}).await;
    let nameless = fresh(&super::made::with(r#""policy-domain":"example.com","#, ""));
    refused(&bench.submit(Transport::File, nameless.clone()).await, RefusalReason::UnknownDomain, "names no domain");
    let named = RawReport {
        file_name: Some("sender.test!example.org!1768089600!1768175999.json".to_owned()),
        ..raw(Transport::File, nameless)
    };
    taken(&bench.intake().submit(named).await, &[Filed::New]);
    assert_eq!(bench.sessions("example.org").await, 8);
    bench.monitor.stop().await;
}

/// A report whose day ended more than 72 hours before it came is kept, and in no counter.
#[tokio::test]
async fn a_late_report_is_kept_and_counts_no_session() {
    let bench = Bench::start(|_| {}).await;
    taken(&bench.submit(Transport::File, REPORT).await, &[Filed::New]);
    assert_eq!(bench.sessions("example.com").await, 0);
    assert_eq!(bench.counted().await.late, 1);
    assert!(bench.stored("example.com").await[0].late);
    let at = |hours: i64, id: &str| {
        let end = Timestamp::from_unix_seconds(now().unix_seconds() - hours * 3600).to_string();
        let report = REPORT.replace("2026-01-11T00:00:00Z", &end).replace("2026-01-11T23:59:59Z", &end);
        report.replace(r#""r1""#, &format!("\"{id}\""))
    };
    taken(&bench.submit(Transport::File, at(71, "in time")).await, &[Filed::New]);
    taken(&bench.submit(Transport::File, at(73, "too late")).await, &[Filed::New]);
    assert_eq!((bench.sessions("example.com").await, bench.counted().await.late), (8, 2));
    bench.monitor.stop().await;
}

/// RFC 8460 §5.4 has no proof; a file has none either. With `authentication: none` the name of a file is believed.
#[tokio::test]
async fn what_proves_nothing_counts_as_unverified() {
    let bench = Bench::start(|_| {}).await;
    taken(&bench.submit(Transport::Https, fresh(REPORT)).await, &[Filed::New]);
    let kept = bench.stored("example.com").await;
    assert_eq!(kept[0].provenance.reporter.as_str(), "unverified");
    assert_eq!(kept[0].provenance.authentication, Authentication::None);
    assert_eq!(bench.count("example.com", CounterKey::ReporterSessions("unverified".into())).await, 8);
    bench.monitor.stop().await;

    let bench = Bench::start(|settings| {
        settings.reports.authentication = Some(ReportAuthentication::None.into());
        settings.reports.reporters = Some(vec![domain("sender.test").into()].into());
    })
    .await;
    taken(&bench.submit(Transport::File, fresh(REPORT)).await, &[Filed::New]);
    let second = fresh(&super::made::with(r#""r1""#, r#""r2""#)).replace("tls@sender.test", "tls@mail.other.test");
    taken(&bench.submit(Transport::File, second).await, &[Filed::New]);
    let third = fresh(&super::made::with(r#""r1""#, r#""r3""#));
    taken(&bench.submit(Transport::Https, third).await, &[Filed::New]);
    let kept = bench.stored("example.com").await;
    let reporters: Vec<_> = kept.iter().map(|one| one.provenance.reporter.as_str()).collect();
    assert_eq!(reporters, ["unverified", "other.test", "sender.test"]);
    for label in ["unverified", "other", "sender.test"] {
        assert_eq!(bench.count("example.com", CounterKey::ReporterSessions(label.into())).await, 8, "{label}");
    }
    bench.monitor.stop().await;
}

/// A trusted header, and a forged one below it (REP-11).
#[tokio::test]
async fn a_trusted_header_proves_and_a_forged_one_does_not() {
    let bench = Bench::start(|settings| {
        settings.reports.authentication = Some(ReportAuthentication::TrustedHeader.into());
        settings.reports.authserv_id = Some("mx.ours.test".to_owned().into());
    })
    .await;
    let attached = [part("application/tlsrpt+gzip", &gzip(fresh(REPORT).as_bytes()))];
    let results =
        |result: &str| format!("Authentication-Results: mx.ours.test;\r\n dkim={result} header.d=sender.test\r\n");
    let with =
        |fields: &str| mail_under(&format!("{fields}{HEADER}"), "multipart/report; report-type=tlsrpt", &attached);
    refused(&bench.submit(Transport::Mail, with("")).await, RefusalReason::Unauthenticated, "mx.ours.test");
    let forged = with(&(results("none") + &results("pass")));
    refused(&bench.submit(Transport::Mail, forged).await, RefusalReason::Unauthenticated, "dkim=none");
    taken(&bench.submit(Transport::Mail, with(&results("pass"))).await, &[Filed::New]);
    let provenance = bench.stored("example.com").await.remove(0).provenance;
    assert_eq!((provenance.authentication, provenance.reporter.as_str()), (Authentication::Header, "sender.test"));
    assert_eq!(provenance.source, "m1@sender.test");
    bench.refused(RefusalReason::Unauthenticated, 2).await;
    assert_eq!(bench.quarantined().len(), 2);
    bench.monitor.stop().await;
}

/// peers.md 12: a forged report under the id of another one hides nothing.
#[tokio::test]
async fn a_forged_report_with_the_same_id_hides_nothing() {
    let bench = Bench::start(authentication(ReportAuthentication::None)).await;
    let forged = fresh(REPORT).replace(r#"count":5"#, r#"count":0"#).replace(r#"count":3"#, r#"count":0"#);
    taken(&bench.submit(Transport::Https, forged).await, &[Filed::New]);
    taken(&bench.submit(Transport::Mail, fresh_mail()).await, &[Filed::New]);
    assert_eq!(bench.sessions("example.com").await, 8);
    let failed = CounterKey::Failed(PolicyType::Sts);
    assert_eq!(bench.count("example.com", failed).await, 3);
    assert_eq!(bench.stored("example.com").await.len(), 2);
    bench.monitor.stop().await;
}

/// peers.md 14: one session under two policies is one session of the sender.
#[tokio::test]
async fn sts_and_tlsa_of_one_report_are_not_added_up() {
    let bench = Bench::start(|_| {}).await;
    let policies = fresh(REPORT).replace(
        r#""policies":["#,
        r#""policies":[{"policy":{"policy-type":"tlsa","policy-domain":"example.com"},"summary":{"total-successful-session-count":7,"total-failure-session-count":0}},"#,
    );
    taken(&bench.submit(Transport::Https, policies).await, &[Filed::New]);
    assert_eq!(bench.sessions("example.com").await, 8);
    assert_eq!(bench.count("example.com", CounterKey::Sessions(PolicyType::Tlsa)).await, 7);
    assert_eq!(bench.count("example.com", CounterKey::ReporterSessions("unverified".into())).await, 8);
    bench.monitor.stop().await;
}

/// peers.md 29: Mail.ru tells of one failed session and two in the details.
#[tokio::test]
async fn details_that_do_not_add_up_stand_beside_the_summary() {
    let bench = Bench::start(|_| {}).await;
    let report = fresh(&super::made::with(r#""total-failure-session-count":3"#, r#""total-failure-session-count":1"#));
    taken(&bench.submit(Transport::Https, report).await, &[Filed::New]);
    assert_eq!(bench.count("example.com", CounterKey::Failed(PolicyType::Sts)).await, 1);
    let detail = CounterKey::Detail(PolicyType::Sts, ResultType::CertificateExpired);
    assert_eq!(bench.count("example.com", detail).await, 3);
    let quirks = bench.counted().await.quirks;
    assert_eq!(quirks.get(&smtptls_exporter::protocol::tls_rpt::Quirk::CountsDisagree), Some(&1));
    bench.monitor.stop().await;
}

/// peers.md 28: some senders leave the details out.
#[tokio::test]
async fn failures_that_only_the_summary_has_are_counted() {
    let bench = Bench::start(|_| {}).await;
    let (start, _) = REPORT.split_once(r#","failure-details""#).unwrap();
    taken(&bench.submit(Transport::Https, fresh(&format!("{start}}}]}}"))).await, &[Filed::New]);
    assert_eq!(bench.count("example.com", CounterKey::Failed(PolicyType::Sts)).await, 3);
    assert_eq!(bench.sessions("example.com").await, 8);
    bench.monitor.stop().await;
}

/// peers.md 9: whatever is odd, the numbers count.
#[tokio::test]
async fn an_odd_field_loses_no_report() {
    let bench = Bench::start(|_| {}).await;
    let odd = [
        (r#""contact-info":"tls@sender.test""#, r#""contact-info":null"#),
        (r#""report-id":"r1","#, ""),
        (r#""organization-name":"Sender""#, r#""organization-name":null"#),
        (r#""mx-host":["*.mx.test"]"#, r#""mx-host":"*.mx.test""#),
        (r#""failed-session-count":3"#, r#""failed-session-count":"3""#),
        (r#""receiving-ip":"198.51.100.7""#, r#""receiving-ip":"nowhere""#),
    ];
    for (number, (from, to)) in odd.into_iter().enumerate() {
        let report = fresh(&super::made::with(from, to)).replace(r#""r1""#, &format!("\"{number}\""));
        taken(&bench.submit(Transport::Https, report).await, &[Filed::New]);
    }
    assert_eq!(bench.sessions("example.com").await, 8 * u64::try_from(odd.len()).unwrap());
    bench.monitor.stop().await;
}

#[tokio::test]
async fn an_mbox_is_taken_mail_by_mail() {
    let bench = Bench::start(authentication(ReportAuthentication::None)).await;
    let second = fresh(&super::made::with(r#""r1""#, r#""r2""#));
    let second = mail(&[part("application/tlsrpt+json", second.as_bytes())]);
    let mbox = [
        b"From a@b Sat Jan  1 00:00:00 2026\r\n",
        &fresh_mail()[..],
        b"\r\nFrom c@d Sat Jan  1 00:00:00 2026\r\n",
        &second,
    ]
    .concat();
    taken(&bench.submit(Transport::File, mbox.clone()).await, &[Filed::New, Filed::New]);
    taken(&bench.submit(Transport::Mail, mbox).await, &[Filed::Duplicate, Filed::Duplicate]);
    assert_eq!(bench.sessions("example.com").await, 16);
    refused(&bench.submit(Transport::File, "From x\n\n").await, RefusalReason::BadEncoding, "");
    bench.monitor.stop().await;
}

/// Without a state folder nothing is acknowledged.
#[tokio::test]
async fn without_a_store_everything_has_to_wait() {
    let settings = Settings::for_domains(vec![domain("example.com")]);
    let monitor =
        Monitor::start(Arc::new(settings), Telemetry::new().unwrap(), None, Arc::new(Unrendered)).await.unwrap();
    let receipt = monitor.intake().submit(raw(Transport::Https, fresh(REPORT))).await;
    assert!(matches!(receipt, Receipt::Later(_)), "{receipt:?}");
    let intake = monitor.intake();
    monitor.stop().await;
    assert!(matches!(intake.submit(raw(Transport::Https, fresh(REPORT))).await, Receipt::Later(_)));
}
