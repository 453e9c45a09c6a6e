//! Several instances write at the same moment.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use smtptls_exporter::{
    facts::Reporter,
    store::{Bounds, ChangesWanted, Cursor, Filed, PageWanted, ReportBatch},
    verdict::{Change, ChangeKind, ChangeSubject},
};

use super::{
    reports::{EXAMPLE, Sent, counted, file, verified},
    *,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn tables_are_made_once_however_many_begin_at_once() {
    let Some(url) = schema().await else { return };
    let opened = join_all((0..8).map(|_| open_shared(&url))).await;
    assert!(opened.iter().all(Result::is_ok), "{opened:?}");
    opened[0]
        .as_ref()
        .unwrap()
        .store
        .write(batch(vec![stored_domain("a.example", 3)], vec![], vec![]), NOW)
        .await
        .unwrap();
    let kept = opened[7].as_ref().unwrap().store.domains(&[domain("a.example")]).await.unwrap();
    assert_eq!(kept[0].open().unwrap().dns_failures, 3, "what one writes the others read");
    assert!(opened[7].as_ref().unwrap().store.size() > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_same_report_at_the_same_moment_counts_once() {
    let Some(url) = schema().await else { return };
    let instances = instances(&url, 6).await;
    for round in 0..12_u64 {
        let sent = |number: u64| Sent::new(verified("sender.example"), &format!("{round}.{number}"), 10, 1);
        let filings = join_all(instances.iter().map(|one| file(&*one.store, vec![sent(0), sent(1)]))).await;
        let outcomes: Vec<Filed> = filings.iter().flat_map(|filing| filing.outcomes.clone()).collect();
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Filed::New).count(), 2, "{round}: {outcomes:?}");
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Filed::Duplicate).count(), 10);
        assert_eq!(counted(&*instances[0].store, EXAMPLE).await, [22 * (round + 1), 2 * (round + 1)]);
    }
    let (intake, _) = instances[3].store.intake_counters().await.unwrap();
    assert_eq!((intake.reports.values().sum::<u64>(), intake.duplicates), (24, 120));
}

/// Each instance brings another version of the same report: the largest counts, whatever the order in which they come.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn corrections_at_the_same_moment_are_compared_with_each_other() {
    let Some(url) = schema().await else { return };
    let instances = instances(&url, 5).await;
    for round in 0..8_u64 {
        let version = |more: u64| Sent::new(verified("sender.example"), &round.to_string(), 100 + more, 0);
        join_all(instances.iter().zip(0..).map(|(one, more)| file(&*one.store, vec![version(more)]))).await;
        assert_eq!(counted(&*instances[0].store, EXAMPLE).await, [104 * (round + 1), 0], "{round}");
    }
}

/// Whoever reads while others add sees each counter rise only; and nothing is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn counters_only_rise_while_several_add() {
    let Some(url) = schema().await else { return };
    let instances = instances(&url, 5).await;
    let (reader, writers) = instances.split_first().unwrap();
    let adding = writers.iter().enumerate().map(async |(writer, one)| {
        for number in 0..25 {
            let name = if number % 2 == 0 { EXAMPLE } else { "example.org" };
            let sent = Sent::new(Reporter::Unverified, &format!("{writer}.{number}"), 3, 1);
            let policies = sent.policies.into_iter().map(|(_, policies)| (name, policies)).collect();
            let filing = file(
                &*one.store,
                vec![Sent { policies, ..Sent::new(Reporter::Unverified, &format!("{writer}.{number}"), 3, 1) }],
            )
            .await;
            assert_eq!(filing.outcomes, [Filed::New]);
        }
    });
    let watching = async {
        let mut before = [0, 0];
        while before[0] < 4 * 13 * 4 {
            let now = counted(&*reader.store, EXAMPLE).await;
            assert!(now[0] >= before[0] && now[1] >= before[1], "{before:?} {now:?}");
            before = now;
        }
    };
    tokio::join!(join_all(adding), watching);
    assert_eq!(counted(&*reader.store, EXAMPLE).await, [4 * 13 * 4, 4 * 13]);
    assert_eq!(counted(&*reader.store, "example.org").await, [4 * 12 * 4, 4 * 12]);
}

fn of_domain(name: &str, number: usize) -> Change {
    let subject = ChangeSubject::Domain(domain(name));
    Change { at: NOW, subject, kind: ChangeKind::Record, before: None, after: Some(number.to_string()) }
}

/// Numbers are given before the commit: without an order of the commits a reader would go by what comes late.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_follows_the_log_misses_nothing_while_several_write() {
    let Some(url) = schema().await else { return };
    let instances = instances(&url, 7).await;
    let (reader, writers) = instances.split_first().unwrap();
    let per_writer = 60;
    let writing = writers.iter().enumerate().map(async |(writer, one)| {
        for number in 0..per_writer {
            // Of different length, so that one that began earlier ends later.
            let many = if number % 7 == writer { 200 } else { 1 };
            let name = format!("w{writer}.example");
            let changes = (0..many).map(|place| of_domain(&name, number * 1000 + place)).collect();
            one.store.write(batch(vec![stored_domain(&name, 1)], vec![], changes), NOW).await.unwrap();
        }
    });
    let expected: usize = (0..writers.len())
        .map(|writer| (0..per_writer).map(|number| if number % 7 == writer { 200 } else { 1 }).sum::<usize>())
        .sum();
    let following =
        async {
            let mut seen: Vec<(i64, String)> = Vec::new();
            let mut after: Option<Cursor> = None;
            while seen.len() < expected {
                let page = reader.store.page(&PageWanted { after, most: 97, ..PageWanted::default() }).await.unwrap();
                seen.extend(page.changes.into_iter().map(|stored| {
                    (stored.id, format!("{:?} {}", stored.change.subject, stored.change.after.unwrap()))
                }));
                after = page.next;
            }
            seen
        };
    let (_, seen) = tokio::join!(join_all(writing), tokio::time::timeout(Duration::from_secs(60), following));
    let seen = seen.expect("a change was missed");
    assert!(seen.windows(2).all(|pair| pair[0].0 < pair[1].0));
    assert_eq!(seen.iter().map(|(_, change)| change).collect::<BTreeSet<_>>().len(), expected);
    let all = reader.store.changes(&ChangesWanted { most: usize::MAX, ..ChangesWanted::default() }).await.unwrap();
    assert_eq!(all.len(), expected);
}

/// Two instances look at the same mail host, each sees its change; a batch whose commit was not answered is written again.
#[tokio::test]
async fn a_change_that_is_told_again_is_in_the_log_once() {
    let Some(url) = schema().await else { return };
    let instances = instances(&url, 2).await;
    let of_host = |before: &str, after: &str, seconds: u64| Change {
        at: NOW + Duration::from_secs(seconds),
        subject: ChangeSubject::Host(host(case::MX1)),
        kind: ChangeKind::Tlsa,
        before: Some(before.to_owned()),
        after: Some(after.to_owned()),
    };
    let write =
        async |one: &Shared, changes: Vec<Change>| one.store.write(batch(vec![], vec![], changes), NOW).await.unwrap();
    write(&instances[0], vec![of_host("a", "b", 0), of_domain("example.com", 1)]).await;
    write(&instances[1], vec![of_host("a", "b", 700)]).await;
    write(&instances[0], vec![of_host("a", "b", 0), of_domain("example.com", 1)]).await;
    // It goes back and comes again: that is another one, as is what comes more than a day later.
    write(&instances[1], vec![of_host("b", "a", 800)]).await;
    write(&instances[1], vec![of_host("a", "b", 900)]).await;
    write(&instances[0], vec![of_host("a", "b", 900 + 86_401)]).await;
    // A domain has one who looks after it: what that one tells twice at different times happened twice.
    write(&instances[0], vec![Change { at: NOW + Duration::from_secs(5), ..of_domain("example.com", 1) }]).await;
    let all =
        instances[0].store.changes(&ChangesWanted { most: usize::MAX, ..ChangesWanted::default() }).await.unwrap();
    let seconds: Vec<_> = all.iter().rev().map(|stored| stored.change.at.since(NOW).as_secs()).collect();
    assert_eq!(seconds, [0, 0, 800, 900, 900 + 86_401, 5]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_hosts_in_any_order_are_written_without_end_of_waiting() {
    let Some(url) = schema().await else { return };
    let instances = instances(&url, 4).await;
    let names: Vec<String> = (0..40).map(|number| format!("mx{number}.example")).collect();
    let writing = instances.iter().enumerate().map(async |(place, one)| {
        for round in 0..10 {
            let mut hosts: Vec<_> = names.iter().map(|name| stored_host(name)).collect();
            if (place + round) % 2 == 0 {
                hosts.reverse();
            }
            one.store
                .write(batch(vec![], hosts, vec![change(1, NOW + Duration::from_secs(round as u64))]), NOW)
                .await
                .unwrap();
        }
    });
    join_all(writing).await;
    let names: Vec<_> = names.iter().map(|name| host(name)).collect();
    assert_eq!(instances[0].store.hosts(&names).await.unwrap().len(), 40);
}

#[tokio::test]
async fn whoever_looks_after_a_domain_hears_of_reports_that_others_took() {
    let Some(url) = schema().await else { return };
    let instances = instances(&url, 2).await;
    let [taker, owner] = [&*instances[0].store, &*instances[1].store];
    file(taker, vec![Sent::new(Reporter::Unverified, "before", 1, 0)]).await;
    let place = owner.report_news(None).await.unwrap();
    assert!(place.domains.is_empty(), "what is read at the start is no news");
    let nothing = owner.report_news(Some(place.next.clone())).await.unwrap();
    assert_eq!((nothing.domains.len(), &nothing.next), (0, &place.next));
    let both = |id: &str| Sent {
        policies: vec![(EXAMPLE, vec![reports::sts(5, 0)]), ("example.org", vec![reports::sts(7, 0)])],
        ..Sent::new(Reporter::Unverified, id, 0, 0)
    };
    file(taker, vec![both("1")]).await;
    let news = owner.report_news(Some(place.next.clone())).await.unwrap();
    assert_eq!(news.domains, [domain(EXAMPLE), domain("example.org")].into());
    assert_eq!(counted(owner, "example.org").await, [7, 0]);
    // What is no news is none, and what is new is named once.
    file(taker, vec![both("1")]).await;
    assert!(owner.report_news(Some(news.next.clone())).await.unwrap().domains.is_empty());
    for id in ["2", "3", "4"] {
        file(taker, vec![Sent::new(Reporter::Unverified, id, 1, 0)]).await;
    }
    let news = owner.report_news(Some(news.next)).await.unwrap();
    assert_eq!((news.domains, news.more), ([domain(EXAMPLE)].into(), false));
    // A label that somebody earns gives its domains a new counter.
    file(taker, vec![Sent { label: "other".to_owned(), ..Sent::new(verified("sender.example"), "5", 1, 0) }]).await;
    let place = owner.report_news(None).await.unwrap().next;
    let labels = ReportBatch { labels: ["sender.example".to_owned()].into(), ..ReportBatch::default() };
    taker.file_reports(Arc::new(labels), NOW).await.unwrap();
    assert_eq!(owner.report_news(Some(place)).await.unwrap().domains, [domain(EXAMPLE)].into());
}

/// An instance may know of its own domains only: those of the others are not former ones.
#[tokio::test]
async fn what_another_instance_looks_after_is_not_trimmed() {
    let Some(url) = schema().await else { return };
    let instances = instances(&url, 1).await;
    let store = &*instances[0].store;
    let most = smtptls_exporter::store::FORMER_MOST;
    let mut connection = sql(&url).await;
    let rows = format!(
        "INSERT INTO domains SELECT 'd' || number || '.example', {}, '' FROM generate_series(1, {}) AS number; \
         INSERT INTO report_domains SELECT 'd' || number || '.example', {}, NULL, NULL, 0, 0, 0 FROM generate_series(1, {}) AS number",
        NOW.unix_milliseconds(),
        most + 500,
        NOW.unix_milliseconds(),
        most + 500,
    );
    connection.execute(sqlx::raw_sql(&rows)).await.unwrap();
    let count = async |connection: &mut PgConnection| -> [i64; 2] {
        let domains = sqlx::query_scalar("SELECT count(*) FROM domains").fetch_one(&mut *connection).await.unwrap();
        [domains, sqlx::query_scalar("SELECT count(*) FROM report_domains").fetch_one(connection).await.unwrap()]
    };
    let bounds = Bounds { retention: 100 * case::DAY, domains: 100, hosts: 0 };
    store.trim(bounds, NOW + 6 * case::DAY).await.unwrap();
    let all = i64::try_from(most + 500).unwrap();
    assert_eq!(count(&mut connection).await, [all, all]);
    store.trim(bounds, NOW + 8 * case::DAY).await.unwrap();
    assert_eq!(count(&mut connection).await, [all - 400, all - 400], "those that left long ago");
}

#[tokio::test]
async fn any_text_is_kept() {
    let Some(url) = schema().await else { return };
    let instances = instances(&url, 1).await;
    let odd = "a\0b \u{1f4e7} ' \" \\ $1 %";
    let change = Change { after: Some(odd.to_owned()), ..of_domain("example.com", 1) };
    instances[0].store.write(batch(vec![], vec![], vec![change]), NOW).await.unwrap();
    let all = instances[0].store.changes(&ChangesWanted { most: 9, ..ChangesWanted::default() }).await.unwrap();
    assert_eq!(all[0].change.after.as_deref(), Some(odd.replace('\0', "\u{fffd}").as_str()));
}
