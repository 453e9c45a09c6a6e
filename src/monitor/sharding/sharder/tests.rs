//! Turns of an instance with a database that comes and goes: what it puts in force by the leases that it has.

use std::sync::Mutex;

use tempfile::{TempDir, tempdir};

use super::*;
use crate::{
    monitor::{
        engine::{alone, settings},
        sharding::tests::{Line, Tables},
    },
    store::{self, Shared},
};

/// A database with its leases, which may be down.
struct Database {
    folder: TempDir,
    shared: Shared,
    tables: Arc<Mutex<Tables>>,
    down: Arc<Mutex<bool>>,
}

impl Database {
    async fn new() -> Self {
        let folder = tempdir().unwrap();
        let store = store::open(folder.path(), now()).await.unwrap().store;
        let (tables, down) = (Arc::<Mutex<Tables>>::default(), Arc::new(Mutex::new(false)));
        let leases = Arc::new(Line { tables: Arc::clone(&tables), down: Arc::clone(&down) });
        Self { folder, shared: Shared { store, leases }, tables, down }
    }

    fn set_down(&self, is: bool) {
        *self.down.lock().unwrap() = is;
    }

    fn state(&self) -> SharedState {
        let (shared, down) = (self.shared.clone(), Arc::clone(&self.down));
        let path = self.folder.path().to_owned();
        SharedState::new(Box::new(move || {
            let down = *down.lock().unwrap();
            let opened = match down {
                true => Err(StoreError::Other { path: path.clone(), why: "down".to_owned() }),
                false => Ok(shared.clone()),
            };
            Box::pin(async move { opened })
        }))
    }

    async fn allotment(&self, whole: &Arc<Settings>) -> Allotment {
        Allotment::shared(Arc::clone(whole), Surroundings::default(), self.state(), None).await.unwrap()
    }
}

/// The shortest that may be configured: a start waits no longer than that for the database.
const LEASE: &str = "3s";

fn whole() -> Arc<Settings> {
    let text = format!(
        "domains: [a.example, b.example]\nshard: {{lease: {LEASE}}}\nstate: {{url: 'postgres://db.example/x'}}"
    );
    Arc::new(settings(&text))
}

async fn sharder(allotment: Allotment) -> (Sharder, Telemetry, impl Fn() -> Arc<Settings>) {
    let telemetry = Telemetry::new().unwrap();
    let store = allotment.sharing().unwrap().state.store();
    let (reconfigurer, in_force) = alone(Settings::clone(&allotment.part()), Some(store)).await;
    (allotment.with(reconfigurer, telemetry.clone()), telemetry, in_force)
}

#[tokio::test]
async fn a_start_without_the_database_has_its_domains_before_and_after_that_answers() {
    let (database, whole) = (Database::new().await, whole());
    database.set_down(true);
    let (sharder, telemetry, in_force) = sharder(database.allotment(&whole).await).await;
    assert_eq!(in_force().domains, whole.domains);
    let families = telemetry.gather();
    let renewed = families.iter().find(|family| family.name() == "smtptls_shard_lease_renewal_timestamp_seconds");
    assert!(renewed.is_some(), "how long it lasts is counted from the start");
    database.set_down(false);
    // It takes its slot in the very turn in which the database answers.
    sharder.turn().await;
    assert!(database.tables.lock().unwrap().holds(0).is_some());
    assert_eq!(in_force().domains, whole.domains);
    assert_eq!(in_force().inventory.as_ref(), Some(&whole.domains));
}

#[tokio::test]
async fn a_slot_of_which_nothing_can_be_read_is_tried_again_at_the_next_turn() {
    let (database, whole) = (Database::new().await, whole());
    database.set_down(true);
    let (sharder, _, in_force) = sharder(database.allotment(&whole).await).await;
    database.set_down(false);
    database.shared.store.close().await;
    for _ in 0..2 {
        sharder.turn().await;
        assert_eq!(in_force().domains.len(), 0, "they do not begin anew");
        assert!(sharder.shards().borrow().held.is_empty(), "nor does it say to look at them");
    }
}

#[tokio::test]
async fn the_leases_are_renewed_while_the_monitor_starts() {
    let (database, whole) = (Database::new().await, whole());
    let allotment = database.allotment(&whole).await;
    let later = || {
        let mut tables = database.tables.lock().unwrap();
        tables.clock += Duration::from_secs(60);
        tables.holds(0).is_some()
    };
    assert!(!later(), "its lease would have ended");
    let renewed = async {
        while database.tables.lock().unwrap().holds(0).is_none() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(10), renewed).await.unwrap();
    drop(allotment);
}

#[tokio::test]
async fn a_renewal_that_panics_is_missed() {
    let (database, whole) = (Database::new().await, whole());
    let (sharder, telemetry, _) = sharder(database.allotment(&whole).await).await;
    let tables = Arc::clone(&database.tables);
    // Whoever looks at them from now on panics.
    let broken = std::thread::spawn(move || {
        let _held = tables.lock();
        panic!("the tables break");
    });
    assert!(broken.join().is_err());
    let keeping = sharder.keep(CancellationToken::new());
    let lost = timeout(Duration::from_secs(60), telemetry.lost()).await.unwrap();
    assert_eq!(lost, "the renewal of the leases");
    keeping.await.unwrap();
}
