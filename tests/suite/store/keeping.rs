//! What is written comes back; what is too old or too much goes.

use std::time::Duration;

use smtptls_exporter::{
    store::{self, Bounds, CHANGES_OF_ONE_MOST, ChangesWanted, FACES_APART_KEPT, PackedFaces, Store, StoreError},
    terms::Octets,
};
use sqlx::{ConnectOptions, Connection};
use tempfile::TempDir;

use super::*;

in_every_place! {
    what_is_written_comes_back,
    changes_are_found_by_name_time_and_place,
    what_is_too_old_or_too_much_goes,
    a_face_stays_beside_its_state_until_the_next_one,
    many_names_find_what_a_few_find,
}

fn text(state: &impl serde::Serialize) -> serde_json::Value {
    serde_json::to_value(state).unwrap()
}

fn all() -> ChangesWanted {
    ChangesWanted { most: usize::MAX, ..ChangesWanted::default() }
}

async fn what_is_written_comes_back(place: &Place) {
    let store = place.open().await;
    let mut kept = stored_domain("example.com", 2);
    let mut observation = kept.observation.as_deref().unwrap().clone();
    let every: Vec<u8> = (0..=255).collect();
    observation.sts_record.outcome =
        smtptls_exporter::facts::LookupOutcome::Records { records: vec![vec![Octets(every)]], ttl: 300 };
    kept.observation = Some(Arc::new(observation));
    let mut mail_host = stored_host(case::MX1);
    let address = *mail_host.addresses.keys().next().unwrap();
    mail_host.addresses.get_mut(&address).unwrap().setbacks = 7;
    assert!(mail_host.history.addresses[&address].last_up.is_some(), "what is written once is in two places");
    let changes: Vec<Change> = (0..3).map(|number| change(number, NOW)).collect();
    store.write(batch(vec![kept.clone()], vec![mail_host.clone()], changes.clone()), NOW).await.unwrap();
    store.close().await;
    drop(store);

    let store = place.open().await;
    let domains = store.domains(&[domain("absent.example"), domain("example.com")]).await.unwrap();
    assert_eq!(domains.iter().map(|row| text(&row.open().unwrap())).collect::<Vec<_>>(), [text(&kept)]);
    let hosts = store.hosts(&[host(case::MX1), host(case::MX2)]).await.unwrap();
    assert_eq!(hosts.iter().map(|row| text(&row.open().unwrap())).collect::<Vec<_>>(), [text(&mail_host)]);
    let found = store.changes(&all()).await.unwrap();
    assert_eq!(found.iter().map(|stored| stored.change.clone()).rev().collect::<Vec<_>>(), changes);

    // The latest state takes the place of the one before.
    store.write(batch(vec![stored_domain("example.com", 5)], vec![], vec![]), NOW).await.unwrap();
    assert_eq!(store.domains(&[domain("example.com")]).await.unwrap()[0].open().unwrap().dns_failures, 5);
}

/// A database that several instances share has no such place.
#[tokio::test]
async fn faces_that_lie_apart_stay_until_others_take_their_place_or_they_are_too_old() {
    let folder = TempDir::new().unwrap();
    let packed = |names: &[&str]| {
        let names: Vec<PolicyDomain> = names.iter().map(|name| domain(name)).collect();
        PackedFaces::of(names.iter().map(|name| (name, name.as_str().as_bytes()))).unwrap()
    };
    async fn kept(store: &dyn Store) -> Vec<String> {
        let faces = store.faces_apart().unwrap().faces().await.unwrap();
        faces.iter().flat_map(|packed| packed.open().unwrap()).map(|(domain, _)| domain.to_string()).collect()
    }
    let store = store::open(folder.path(), NOW).await.unwrap().store;
    assert_eq!(kept(&*store).await, [""; 0]);
    let apart = store.faces_apart().unwrap();
    apart.write_faces(Arc::new(vec![packed(&["a.example", "b.example"])]), true, NOW).await.unwrap();
    apart.write_faces(Arc::new(vec![packed(&["c.example"])]), false, NOW).await.unwrap();
    store.close().await;
    drop(store);
    let store = store::open(folder.path(), NOW).await.unwrap().store;
    assert_eq!(kept(&*store).await, ["a.example", "b.example", "c.example"]);
    let reader = store::read_only(folder.path()).await.unwrap().unwrap();
    assert_eq!(kept(&*reader).await.len(), 3);
    reader.close().await;

    let apart = store.faces_apart().unwrap();
    apart.write_faces(Arc::new(vec![packed(&["d.example"])]), true, NOW).await.unwrap();
    assert_eq!(kept(&*store).await, ["d.example"]);
    let bounds = Bounds { retention: case::DAY * 400, domains: 1, hosts: 1 };
    store.trim(bounds, NOW + FACES_APART_KEPT).await.unwrap();
    assert_eq!(kept(&*store).await, ["d.example"]);
    store.trim(bounds, NOW + FACES_APART_KEPT + Duration::from_secs(1)).await.unwrap();
    assert_eq!(kept(&*store).await, [""; 0]);
}

async fn changes_are_found_by_name_time_and_place(place: &Place) {
    let store = place.open().await;
    let changes = (0..9).map(|number| change(number, NOW + Duration::from_secs(u64::from(number)))).collect();
    store.write(batch(vec![], vec![], changes), NOW).await.unwrap();
    let texts = async |wanted: ChangesWanted| {
        let found = store.changes(&wanted).await.unwrap();
        found.into_iter().map(|stored| stored.change.after.unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(texts(all()).await, ["8", "7", "6", "5", "4", "3", "2", "1", "0"]);
    assert_eq!(texts(ChangesWanted { names: vec!["example.com".into()], ..all() }).await, ["6", "3", "0"]);
    assert_eq!(texts(ChangesWanted { since: Some(NOW + Duration::from_secs(7)), ..all() }).await, ["8", "7"]);
    let first = store.changes(&ChangesWanted { most: 2, ..all() }).await.unwrap();
    assert_eq!(first.len(), 2);
    let after = ChangesWanted { before: Some(first[1].id), most: 2, ..ChangesWanted::default() };
    assert_eq!(texts(after).await, ["6", "5"]);
    assert_eq!(texts(ChangesWanted { names: vec!["' OR 1=1 --".into()], ..all() }).await, [""; 0]);
}

async fn what_is_too_old_or_too_much_goes(place: &Place) {
    let store = place.open().await;
    let retention = 30 * case::DAY;
    let bounds = Bounds { retention, domains: 1, hosts: 0 };
    let old = NOW - 31 * case::DAY;
    let young = NOW - 29 * case::DAY;
    store
        .write(
            batch(vec![stored_domain("old.example", 0)], vec![stored_host("old.example")], vec![change(0, old)]),
            old,
        )
        .await
        .unwrap();
    store.write(batch(vec![stored_domain("young.example", 0)], vec![], vec![change(3, young)]), young).await.unwrap();
    store.trim(bounds, NOW).await.unwrap();
    let left = store.domains(&[domain("old.example"), domain("young.example")]).await.unwrap();
    assert_eq!(left.iter().map(|stored| stored.domain.as_str()).collect::<Vec<_>>(), ["young.example"]);
    assert!(store.hosts(&[host("old.example")]).await.unwrap().is_empty());
    assert_eq!(store.changes(&all()).await.unwrap().len(), 1);

    // One subject that changes without end does not fill the disk, and does not push out the others.
    let most = u32::try_from(CHANGES_OF_ONE_MOST).unwrap();
    let flood = (0..most + 50).map(|number| change(number * 3, NOW)).collect();
    store.write(batch(vec![], vec![], flood), NOW).await.unwrap();
    store.write(batch(vec![], vec![], vec![change(1, NOW)]), NOW).await.unwrap();
    store.trim(bounds, NOW).await.unwrap();
    let left = store.changes(&all()).await.unwrap();
    assert_eq!(left.len(), CHANGES_OF_ONE_MOST + 1);
    assert_eq!(left[1].change.after, Some(((most + 49) * 3).to_string()), "the latest stay");
}

/// A list of domains may be empty for a moment: what was looked at within days is not former then.
#[tokio::test]
async fn what_was_written_lately_is_not_trimmed_however_few_domains_there_are() {
    let folder = TempDir::new().unwrap();
    open(folder.path()).await.close().await;
    let most = i64::try_from(store::FORMER_MOST).unwrap();
    let path = folder.path().join("state.db");
    let mut connection = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    for into in [
        "domains (name, saved_at, state) SELECT 'd' || n || '.example', ?, x''",
        "hosts (name, saved_at, state) SELECT 'd' || n || '.example', ?, x''",
        "report_domains (domain, filed_at, proven, unproven) SELECT 'd' || n || '.example', ?, 0, 0",
    ] {
        let rows = format!(
            "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?) INSERT INTO {into} FROM numbers"
        );
        let rows = sqlx::query(&rows);
        rows.bind(most + 500).bind(NOW.unix_milliseconds()).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
    for (days, left) in [(6, most + 500), (8, most)] {
        let store = open(folder.path()).await;
        let bounds = Bounds { retention: 100 * case::DAY, domains: 0, hosts: 0 };
        store.trim(bounds, NOW + days * case::DAY).await.unwrap();
        store.close().await;
        let mut connection = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
        for table in ["domains", "hosts", "report_domains"] {
            let count = format!("SELECT count(*) FROM {table}");
            let count: i64 = sqlx::query_scalar(&count).fetch_one(&mut connection).await.unwrap();
            assert_eq!(count, left, "{table} after {days} days");
        }
        connection.close().await.unwrap();
    }
}

#[tokio::test]
async fn one_folder_is_for_one_monitor_and_any_reader() {
    let folder = TempDir::new().unwrap();
    assert!(store::read_only(folder.path()).await.unwrap().is_none(), "nothing is there, and nothing is made");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let store = open(folder.path()).await;
    store.write(batch(vec![stored_domain("example.com", 1)], vec![], vec![]), NOW).await.unwrap();
    let error = store::open(folder.path(), NOW).await.unwrap_err();
    assert!(matches!(error, StoreError::InUse { holder: Some(holder), .. } if holder == std::process::id()), "{error}");
    assert!(error.to_string().contains("in use by another monitor") && !error.passes(), "{error}");

    // A reader sees what is written, while it is written, and can write nothing.
    let reader = store::read_only(folder.path()).await.unwrap().unwrap();
    assert_eq!(reader.domains(&[domain("example.com")]).await.unwrap()[0].open().unwrap().dns_failures, 1);
    store.write(batch(vec![stored_domain("example.com", 2)], vec![], vec![]), NOW).await.unwrap();
    assert_eq!(reader.domains(&[domain("example.com")]).await.unwrap()[0].open().unwrap().dns_failures, 2);
    reader.write(batch(vec![stored_domain("example.com", 3)], vec![], vec![]), NOW).await.unwrap_err();
    reader.close().await;
    store.close().await;
    drop((store, reader));

    // The folder is free again, and a reader of a file at rest leaves it as it is.
    let path = folder.path().join("state.db");
    let before = std::fs::read(&path).unwrap();
    let reader = store::read_only(folder.path()).await.unwrap().unwrap();
    assert_eq!(reader.domains(&[domain("example.com")]).await.unwrap()[0].open().unwrap().dns_failures, 2);
    reader.close().await;
    drop(reader);
    assert_eq!(std::fs::read(&path).unwrap(), before);
    open(folder.path()).await.close().await;
}

async fn a_face_stays_beside_its_state_until_the_next_one(place: &Place) {
    let store = place.open().await;
    let mut row = DomainRow::of(&stored_domain("example.com", 1)).unwrap();
    row.face = Some(vec![0, 255, 7].into());
    let write = |row: DomainRow| Arc::new(Batch { domains: vec![row], ..Batch::default() });
    store.write(write(row.clone()), NOW).await.unwrap();
    let found = store.domains(&[domain("example.com")]).await.unwrap();
    assert_eq!((found[0].face.as_deref(), &found[0].state), (Some(&[0, 255, 7][..]), &row.state));
    row.face = None;
    store.write(write(row), NOW).await.unwrap();
    assert_eq!(store.domains(&[domain("example.com")]).await.unwrap()[0].face, None);
}

/// Of many names a table is read from its begin to its end.
async fn many_names_find_what_a_few_find(place: &Place) {
    let store = place.open().await;
    let kept = |names: std::ops::Range<u32>| (names).map(|number| stored_domain(&format!("d{number}.example"), number));
    store.write(batch(kept(0..3).collect(), vec![stored_host(case::MX1)], vec![]), NOW).await.unwrap();
    let many: Vec<_> = (1..20_000).map(|number| domain(&format!("d{number}.example"))).collect();
    let mut found: Vec<_> = store.domains(&many).await.unwrap().iter().map(|row| row.domain.to_string()).collect();
    found.sort();
    assert_eq!(found, ["d1.example", "d2.example"], "and not d0, which nobody asked for");
    let hosts: Vec<_> = (1..20_000).map(|number| host(&format!("d{number}.example"))).collect();
    assert!(store.hosts(&hosts).await.unwrap().is_empty());
    assert_eq!(store.hosts(&[&hosts[..], &[host(case::MX1)]].concat()).await.unwrap().len(), 1);
}
