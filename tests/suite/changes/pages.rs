//! Reading the log by pages loses nothing and doubles nothing, whatever is written and taken away meanwhile.

use std::{sync::Arc, time::Duration};

use smtptls_exporter::store::{Batch, Bounds, CHANGES_OF_ONE_MOST, Cursor, Page, PageError, PageWanted, Store};

use super::*;
use crate::store::{Place, in_every_place};

in_every_place! {
    page_after_page_is_the_whole_while_more_is_written,
    only_those_about_a_domain_and_its_hosts_and_since_a_time,
    a_number_is_never_given_twice_and_another_log_is_told,
}

const DAY: Duration = Duration::from_secs(24 * 3600);

async fn write(store: &dyn Store, changes: Vec<Change>) {
    store.write(Arc::new(Batch { changes, ..Batch::default() }), NOW).await.unwrap();
}

fn numbers(page: &Page) -> Vec<usize> {
    let text = |change: &Change| change.after.clone().or_else(|| change.before.clone()).unwrap();
    page.changes.iter().map(|stored| text(&stored.change).parse().unwrap()).collect()
}

fn wanted(most: usize) -> PageWanted {
    PageWanted { most, ..PageWanted::default() }
}

async fn page_after_page_is_the_whole_while_more_is_written(place: &Place) {
    let store = place.open().await;
    let mut written = 0;
    let mut read = Vec::new();
    let mut after = None;
    for round in 0..20_usize {
        // Some were seen earlier than those before them, and several at the same time.
        let changes = (0..round % 6).map(|_| {
            let at = NOW - Duration::from_secs(u64::try_from(written * 7919 % 50).unwrap());
            written += 1;
            of_domain("example.com", written - 1, at)
        });
        let changes: Vec<Change> = changes.collect();
        write(store.as_ref(), changes).await;
        let page = store.page(&PageWanted { after, ..wanted(2) }).await.unwrap();
        read.extend(numbers(&page));
        assert!(page.changes.len() <= 2);
        assert_eq!(page.more, read.len() < written, "{round}");
        after = page.next;
    }
    loop {
        let page = store.page(&PageWanted { after, ..wanted(3) }).await.unwrap();
        read.extend(numbers(&page));
        after = page.next;
        if !page.more {
            break;
        }
    }
    assert_eq!(read, (0..written).collect::<Vec<_>>());
    let end = store.page(&PageWanted { after, ..wanted(3) }).await.unwrap();
    assert_eq!(end, Page { changes: Vec::new(), next: after, more: false }, "the place stays where nothing is new");
}

async fn only_those_about_a_domain_and_its_hosts_and_since_a_time(place: &Place) {
    let store = place.open().await;
    let at = |second: u64| NOW + Duration::from_secs(second);
    let changes = vec![
        of_domain("a.example", 0, at(0)),
        of_domain("b.example", 1, at(1)),
        of_host("b.example", 2, at(2)),
        of_host("mx.example", 3, at(3)),
        of_domain("mx.example", 4, at(4)),
        of_host("mx2.example", 5, at(5)),
    ];
    write(store.as_ref(), changes).await;
    let about = |domain: &str, hosts: &[&str]| {
        let hosts = hosts.iter().map(|host| MxHost::parse(host).unwrap()).collect();
        PageWanted { about: Some((PolicyDomain::parse(domain).unwrap(), hosts)), ..wanted(10) }
    };
    for (wanted, expected) in [
        (about("a.example", &["mx.example", "b.example"]), &[0, 2, 3][..]),
        (about("b.example", &[]), &[1]),
        (about("c.example", &["mx3.example"]), &[]),
        (PageWanted { since: Some(at(2)), ..about("a.example", &["mx.example", "b.example"]) }, &[2, 3]),
        (PageWanted { since: Some(at(4)), ..wanted(10) }, &[4, 5]),
    ] {
        let page = store.page(&wanted).await.unwrap();
        assert_eq!((numbers(&page).as_slice(), page.more), (expected, false), "{wanted:?}");
    }
    let reader = place.reader().await;
    assert_eq!(numbers(&reader.page(&wanted(10)).await.unwrap()).len(), 6, "beside the writer");
}

async fn a_number_is_never_given_twice_and_another_log_is_told(place: &Place) {
    let store = place.open().await;
    write(store.as_ref(), (0..5).map(|number| of_domain("example.com", number, NOW)).collect()).await;
    let first = store.page(&wanted(2)).await.unwrap().next;
    let last = store.page(&wanted(5)).await.unwrap().next;
    // All of them grow too old, and go.
    let bounds = Bounds { retention: DAY, domains: 1, hosts: 1 };
    store.trim(bounds, NOW + DAY * 3).await.unwrap();
    assert_eq!(numbers(&store.page(&wanted(5)).await.unwrap()), [0; 0]);
    write(store.as_ref(), vec![of_domain("example.com", 5, NOW + DAY * 3)]).await;
    for after in [first, last] {
        let page = store.page(&PageWanted { after, ..wanted(5) }).await.unwrap();
        assert_eq!(numbers(&page), [5], "{after:?}");
    }
    let many = CHANGES_OF_ONE_MOST + 10;
    write(store.as_ref(), (6..many).map(|number| of_domain("example.com", number, NOW + DAY * 3)).collect()).await;
    store.trim(bounds, NOW + DAY * 3).await.unwrap();
    let page = store.page(&PageWanted { after: last, ..wanted(usize::MAX) }).await.unwrap();
    assert_eq!(numbers(&page), (10..many).collect::<Vec<_>>(), "the bound takes the oldest");

    // A cursor of another file: with a number that was never given here, and with one that was given for another change.
    let other = place.other().await;
    let store = other.open().await;
    write(store.as_ref(), vec![of_domain("example.com", 0, NOW + DAY)]).await;
    for after in [page.next, Some(Cursor { id: 1, at: NOW })] {
        let result = store.page(&PageWanted { after, ..wanted(5) }).await;
        assert!(matches!(result, Err(PageError::Elsewhere)), "{after:?}: {result:?}");
    }
}
