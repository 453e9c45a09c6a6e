//! Who holds which slot, and what whoever lost it can still do: nothing.

use smtptls_exporter::store::{Batch, ChangesWanted};
use tokio::time::sleep;

use super::*;

/// Long enough for a slow machine.
const LONG: Duration = Duration::from_secs(60);
/// Over at once.
const SHORT: Duration = Duration::from_millis(1);
const NO_REST: Duration = Duration::ZERO;

fn instance(home: u32, number: u64) -> Instance {
    Instance {
        holder: Holder::new("host", 7, number),
        home,
        total: 3,
        address: Some(format!("http://host{number}:9797")),
    }
}

async fn leases(url: &str) -> Arc<dyn Leases> {
    open_shared(url).await.unwrap().leases
}

async fn slot(leases: &dyn Leases, asking: &Instance, slot: usize) -> smtptls_exporter::store::SlotState {
    leases.renew(asking, &[], LONG).await.unwrap().slots.swap_remove(slot)
}

#[tokio::test]
async fn a_slot_has_one_holder_and_the_next_one_a_larger_epoch() {
    let Some(url) = schema().await else { return };
    let leases = leases(&url).await;
    let (first, second) = (instance(0, 1), instance(1, 2));
    let renewal = leases.renew(&first, &[], LONG).await.unwrap();
    assert_eq!(renewal.slots.iter().map(|state| state.slot).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(
        renewal.slots.iter().all(|state| (&state.holder, state.left, state.free_for) == (&None, None, None)),
        "{renewal:?}"
    );
    let lease = leases.take(&first, 0, NO_REST, LONG).await.unwrap().unwrap();
    assert_eq!(leases.take(&second, 0, NO_REST, LONG).await.unwrap(), None, "it is held");
    let renewal = leases.renew(&first, &[lease, Lease { slot: 1, epoch: 1 }], LONG).await.unwrap();
    assert_eq!(renewal.held, [lease]);
    let state = &renewal.slots[0];
    assert_eq!(state.holder.as_ref(), Some(&first.holder));
    assert!(state.left.is_some_and(|left| left <= LONG && left > LONG / 2) && state.free_for.is_none(), "{state:?}");
    let known = &renewal.instances[0];
    assert_eq!((&known.instance, known.alive, known.slots), (&first, true, 1));

    // The lease ends; it holds on as long as nobody takes it, and not after that.
    leases.renew(&first, &[lease], SHORT).await.unwrap();
    sleep(Duration::from_millis(20)).await;
    let state = slot(&*leases, &second, 0).await;
    assert!(state.left.is_none() && state.free_for.is_some_and(|since| since < LONG), "{state:?}");
    assert_eq!(leases.renew(&first, &[lease], SHORT).await.unwrap().held, [lease]);
    sleep(Duration::from_millis(20)).await;
    assert_eq!(leases.take(&second, 0, LONG, LONG).await.unwrap(), None, "it has not rested long enough");
    let next = leases.take(&second, 0, NO_REST, LONG).await.unwrap().unwrap();
    assert!(next.epoch > lease.epoch);
    assert_eq!(leases.renew(&first, &[lease], LONG).await.unwrap().held, []);
    // An answer was lost: who has it gets it again.
    let again = leases.take(&second, 0, NO_REST, LONG).await.unwrap().unwrap();
    assert!(again.epoch > next.epoch);
}

#[tokio::test]
async fn of_many_that_take_a_free_slot_one_gets_it() {
    let Some(url) = schema().await else { return };
    let mut all = Vec::new();
    for number in 0..6 {
        all.push((leases(&url).await, instance(2, number)));
    }
    let mut epochs = Vec::new();
    for _ in 0..5 {
        let taken =
            futures_util::future::join_all(all.iter().map(|(leases, one)| leases.take(one, 2, NO_REST, LONG))).await;
        let mut taken = taken.into_iter().enumerate().filter_map(|(place, taken)| Some((place, taken.unwrap()?)));
        let (place, lease) = taken.next().expect("one of them");
        assert_eq!(taken.next(), None);
        epochs.push(lease.epoch);
        let (leases, one) = &all[place];
        leases.give(&one.holder, &[lease]).await.unwrap();
    }
    assert!(epochs.windows(2).all(|pair| pair[0] < pair[1]), "{epochs:?}");
}

#[tokio::test]
async fn a_slot_that_its_home_asks_for_goes_home_and_to_nobody_else() {
    let Some(url) = schema().await else { return };
    let leases = leases(&url).await;
    let (home, replica, other, third) = (instance(0, 1), instance(0, 2), instance(1, 3), instance(2, 4));
    let lease = leases.take(&other, 0, NO_REST, LONG).await.unwrap().unwrap();
    assert!(leases.ask(&home, LONG).await.unwrap());
    assert!(!leases.ask(&replica, LONG).await.unwrap(), "the first that asked gets it");
    let renewal = leases.renew(&other, &[lease], LONG).await.unwrap();
    assert_eq!(renewal.slots[0].wanted_by.as_ref(), Some(&home.holder));
    assert_eq!(renewal.held, [lease], "asking takes nothing away");
    leases.give(&other.holder, &[lease]).await.unwrap();
    for one in [&third, &other, &replica] {
        assert_eq!(leases.take(one, 0, NO_REST, LONG).await.unwrap(), None);
    }
    leases.take(&home, 0, NO_REST, LONG).await.unwrap().unwrap();
    assert_eq!(slot(&*leases, &home, 0).await.wanted_by, None, "it is there");

    // A wish ends with who had it.
    let lease = leases.take(&third, 1, NO_REST, LONG).await.unwrap().unwrap();
    assert!(leases.ask(&instance(1, 9), SHORT).await.unwrap());
    sleep(Duration::from_millis(20)).await;
    assert_eq!(slot(&*leases, &home, 1).await.wanted_by, None);
    assert!(leases.ask(&other, LONG).await.unwrap());
    leases.leave(&other.holder).await.unwrap();
    leases.give(&third.holder, &[lease]).await.unwrap();
    leases.take(&replica, 1, NO_REST, LONG).await.unwrap().unwrap();
}

#[tokio::test]
async fn whoever_leaves_gives_all_back() {
    let Some(url) = schema().await else { return };
    let leases = leases(&url).await;
    let (first, second) = (instance(0, 1), instance(1, 2));
    leases.renew(&first, &[], LONG).await.unwrap();
    for slot in [0, 2] {
        leases.take(&first, slot, NO_REST, LONG).await.unwrap().unwrap();
    }
    leases.leave(&first.holder).await.unwrap();
    let renewal = leases.renew(&second, &[], LONG).await.unwrap();
    assert!(renewal.slots.iter().all(|state| state.holder.is_none()));
    assert_eq!(renewal.instances.iter().map(|state| &state.instance).collect::<Vec<_>>(), [&second]);
    for slot in [0, 2] {
        leases.take(&second, slot, NO_REST, LONG).await.unwrap().unwrap();
    }
    // An instance that ended without a word is known for a while, and not as one that is there.
    leases.renew(&first, &[], SHORT).await.unwrap();
    sleep(Duration::from_millis(20)).await;
    let renewal = leases.renew(&second, &[], LONG).await.unwrap();
    assert_eq!(
        renewal.instances.iter().map(|state| (state.alive, state.slots)).collect::<Vec<_>>(),
        [(false, 0), (true, 2)]
    );
}

fn fenced(name: &str, failures: u32, holder: &Holder, leases: &[Lease]) -> Arc<Batch> {
    let fence = Some(Arc::new(Fence { holder: holder.clone(), leases: leases.to_vec() }));
    let all = batch(vec![stored_domain(name, failures)], vec![stored_host(case::MX1)], vec![change(failures, NOW)]);
    Arc::new(Batch { fence, ..Batch::clone(&all) })
}

#[tokio::test]
async fn whoever_lost_a_slot_writes_nothing() {
    let Some(url) = schema().await else { return };
    let [one, other] = <[Shared; 2]>::try_from(instances(&url, 2).await).unwrap();
    let (first, second) = (instance(0, 1), instance(1, 2));
    let held = one.leases.take(&first, 0, NO_REST, SHORT).await.unwrap().unwrap();
    let kept = one.leases.take(&first, 1, NO_REST, LONG).await.unwrap().unwrap();
    one.store.write(fenced("a.example", 1, &first.holder, &[held, kept]), NOW).await.unwrap();
    sleep(Duration::from_millis(20)).await;
    // It ended, and nobody has it: nobody can be written over.
    one.store.write(fenced("a.example", 2, &first.holder, &[held]), NOW).await.unwrap();
    let taken = other.leases.take(&second, 0, NO_REST, LONG).await.unwrap().unwrap();
    other.store.write(fenced("a.example", 3, &second.holder, &[taken]), NOW).await.unwrap();
    for (holder, leases) in [(&first, [held, kept]), (&first, [taken, kept]), (&second, [held, taken])] {
        let error = one.store.write(fenced("a.example", 4, &holder.holder, &leases), NOW).await.unwrap_err();
        assert!(
            matches!(&error, StoreError::NotHolder { slots } if slots.contains(&0) || slots.contains(&1)),
            "{error}"
        );
        assert!(!error.passes(), "it is of no use to try it again");
    }
    let error = one.store.write(fenced("a.example", 4, &first.holder, &[held, kept]), NOW).await.unwrap_err();
    assert_eq!(error.to_string(), "the lease on slot 0 is gone; nothing was written");
    assert_eq!(other.store.domains(&[domain("a.example")]).await.unwrap()[0].open().unwrap().dns_failures, 3);
    let changes = other.store.changes(&ChangesWanted { most: 99, ..ChangesWanted::default() }).await.unwrap();
    assert_eq!(changes.len(), 3, "nothing of the batch is kept");
    // What was given back is gone as well.
    other.leases.give(&second.holder, &[taken]).await.unwrap();
    other.store.write(fenced("a.example", 5, &second.holder, &[taken]), NOW).await.unwrap_err();
}

/// The heart of it: a slot goes to another one only before or after a write, never in the middle, and a renewal waits for no write.
#[tokio::test]
async fn a_slot_changes_its_holder_only_when_no_write_is_under_way() {
    let Some(url) = schema().await else { return };
    let shared = open_shared(&url).await.unwrap();
    let (first, second) = (instance(0, 1), instance(1, 2));
    let lease = shared.leases.take(&first, 0, NO_REST, SHORT).await.unwrap().unwrap();
    // Another one holds the row that the write needs: it stops in the middle, with its fence.
    let mut in_the_way = sql(&url).await;
    shared.store.write(batch(vec![stored_domain("a.example", 1)], vec![], vec![]), NOW).await.unwrap();
    let mut held_up = in_the_way.begin().await.unwrap();
    held_up.execute("UPDATE domains SET saved_at = 0").await.unwrap();
    let writing = tokio::spawn({
        let store = Arc::clone(&shared.store);
        let batch = fenced("a.example", 2, &first.holder, &[lease]);
        async move { store.write(batch, NOW).await }
    });
    sleep(Duration::from_millis(300)).await;
    assert!(!writing.is_finished());
    let renewed = tokio::time::timeout(Duration::from_secs(2), shared.leases.renew(&first, &[lease], SHORT)).await;
    assert_eq!(renewed.expect("a renewal waits for no write").unwrap().held, [lease]);
    sleep(Duration::from_millis(20)).await;
    let other = open_shared(&url).await.unwrap();
    let taking = tokio::spawn({
        let leases = Arc::clone(&other.leases);
        let second = second.clone();
        async move { leases.take(&second, 0, NO_REST, LONG).await }
    });
    sleep(Duration::from_millis(300)).await;
    assert!(!taking.is_finished(), "it was taken in the middle of a write");
    held_up.rollback().await.unwrap();
    writing.await.unwrap().unwrap();
    let taken = taking.await.unwrap().unwrap().expect("it is free");
    assert!(taken.epoch > lease.epoch);
    assert_eq!(shared.store.domains(&[domain("a.example")]).await.unwrap()[0].open().unwrap().dns_failures, 2);
    shared.store.write(fenced("a.example", 3, &first.holder, &[lease]), NOW).await.unwrap_err();
}
