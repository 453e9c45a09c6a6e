//! The protocol of leases with several instances, in a world of its own: a database that can be down, instances that are killed, cut
//! off or stopped for a while, and a clock that the test moves. No instance knows the time of another one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use futures_util::future::{BoxFuture, ready};
use tokio::time::Instant;

use super::tenure::{Pace, Tenure, Turn};
use crate::store::{Holder, Instance, InstanceState, Lease, Leases, Renewal, SlotState, StoreError};

const LEASE: Duration = Duration::from_secs(30);
const PACE: Pace = Pace { lease: LEASE };
/// A turn of the world.
const STEP: Duration = Duration::from_secs(1);

/// A slot in the database, by its clock.
#[derive(Clone, Debug, Default)]
struct Row {
    holder: Option<Holder>,
    epoch: i64,
    /// When the lease ends or ended, or the slot was given back; nothing where nobody ever had it.
    until: Option<Duration>,
    wanted: Option<(Holder, Duration)>,
}

#[derive(Debug, Default)]
struct Tables {
    clock: Duration,
    slots: BTreeMap<u32, Row>,
    heard: BTreeMap<Holder, (Instance, Duration, Duration)>,
}

impl Tables {
    fn row(&mut self, slot: u32) -> &mut Row {
        self.slots.entry(slot).or_default()
    }

    fn holds(&self, slot: u32) -> Option<&Holder> {
        let row = self.slots.get(&slot)?;
        row.holder.as_ref().filter(|_| row.until.is_some_and(|until| until > self.clock))
    }
}

/// What an instance sees of the database: the same tables as the others, over a line of its own.
#[derive(Debug)]
struct Line {
    tables: Arc<Mutex<Tables>>,
    down: Arc<Mutex<bool>>,
}

impl Line {
    fn ask<T: Send + 'static>(
        &self,
        what: impl FnOnce(MutexGuard<'_, Tables>) -> T,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        if *self.down.lock().unwrap() {
            let path = "database".into();
            return Box::pin(ready(Err(StoreError::Other { path, why: "down".to_owned() })));
        }
        Box::pin(ready(Ok(what(self.tables.lock().unwrap()))))
    }
}

impl Leases for Line {
    fn renew<'a>(
        &'a self,
        instance: &'a Instance,
        held: &'a [Lease],
        ttl: Duration,
    ) -> BoxFuture<'a, Result<Renewal, StoreError>> {
        self.ask(|mut tables| {
            let clock = tables.clock;
            tables.heard.insert(instance.holder.clone(), (instance.clone(), clock, ttl));
            let mut kept = Vec::new();
            for lease in held {
                let row = tables.row(lease.slot);
                if row.epoch == lease.epoch && row.holder.as_ref() == Some(&instance.holder) {
                    row.until = Some(clock + ttl);
                    kept.push(*lease);
                }
            }
            let slots = (0..instance.total).map(|slot| {
                let row = tables.slots.get(&slot).cloned().unwrap_or_default();
                let left = row.until.filter(|until| *until > clock && row.holder.is_some());
                SlotState {
                    slot,
                    holder: row.holder.clone(),
                    left: left.map(|until| until - clock),
                    free_for: row.until.filter(|_| left.is_none()).map(|until| clock - until),
                    wanted_by: row.wanted.filter(|(_, until)| *until > clock).map(|(holder, _)| holder),
                }
            });
            let slots: Vec<SlotState> = slots.collect();
            let load = |holder: &Holder| {
                slots.iter().filter(|state| state.left.is_some() && state.holder.as_ref() == Some(holder)).count()
            };
            let instances = tables.heard.values().map(|(instance, heard, ttl)| InstanceState {
                instance: instance.clone(),
                heard: clock - *heard,
                alive: clock - *heard < *ttl,
                slots: load(&instance.holder).try_into().unwrap(),
            });
            Renewal { held: kept, instances: instances.collect(), slots: slots.clone() }
        })
    }

    fn take<'a>(
        &'a self,
        instance: &'a Instance,
        slot: u32,
        rest: Duration,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<Option<Lease>, StoreError>> {
        self.ask(|mut tables| {
            let clock = tables.clock;
            let row = tables.row(slot);
            let mine = row.holder.as_ref() == Some(&instance.holder);
            let free = match row.until {
                None => true,
                Some(until) => until <= clock && clock - until >= rest,
            };
            let kept = row.wanted.as_ref().is_some_and(|(by, until)| *until > clock && *by != instance.holder);
            if !(mine || free && !kept) {
                return None;
            }
            let epoch = row.epoch + 1;
            *row = Row { holder: Some(instance.holder.clone()), epoch, until: Some(clock + ttl), wanted: None };
            Some(Lease { slot, epoch })
        })
    }

    fn ask<'a>(&'a self, instance: &'a Instance, ttl: Duration) -> BoxFuture<'a, Result<bool, StoreError>> {
        self.ask(|mut tables| {
            let clock = tables.clock;
            let row = tables.row(instance.home);
            if row.wanted.as_ref().is_none_or(|(by, until)| *until <= clock || *by == instance.holder) {
                row.wanted = Some((instance.holder.clone(), clock + ttl));
                return true;
            }
            false
        })
    }

    fn give<'a>(&'a self, holder: &'a Holder, leases: &'a [Lease]) -> BoxFuture<'a, Result<(), StoreError>> {
        self.ask(|mut tables| {
            let clock = tables.clock;
            for lease in leases {
                let row = tables.row(lease.slot);
                if row.epoch == lease.epoch && row.holder.as_ref() == Some(holder) {
                    (row.holder, row.until) = (None, Some(clock));
                }
            }
        })
    }

    fn leave<'a>(&'a self, holder: &'a Holder) -> BoxFuture<'a, Result<(), StoreError>> {
        self.ask(|mut tables| {
            let clock = tables.clock;
            for row in tables.slots.values_mut().filter(|row| row.holder.as_ref() == Some(holder)) {
                (row.holder, row.until) = (None, Some(clock));
            }
            tables.heard.remove(holder);
        })
    }
}

/// An instance as the world sees it.
#[derive(Debug)]
struct Player {
    tenure: Tenure,
    down: Arc<Mutex<bool>>,
    /// It does not run for now: it is stopped (SIGSTOP, a machine that sleeps).
    paused: bool,
    turn_at: Duration,
    /// The slots whose domains it exports.
    shows: BTreeSet<u32>,
    /// Of these there is something to be written before they are given back, for one step more.
    leaving: BTreeSet<u32>,
}

struct World {
    tables: Arc<Mutex<Tables>>,
    players: BTreeMap<&'static str, Player>,
    start: Instant,
    time: Duration,
    /// Who wrote last of each slot, with which epoch.
    written: BTreeMap<u32, i64>,
}

impl World {
    fn new() -> Self {
        Self {
            tables: Arc::default(),
            players: BTreeMap::new(),
            start: Instant::now(),
            time: Duration::ZERO,
            written: BTreeMap::new(),
        }
    }

    fn join(&mut self, name: &'static str, home: u32, total: u32) {
        let down = Arc::new(Mutex::new(false));
        let line = Line { tables: Arc::clone(&self.tables), down: Arc::clone(&down) };
        let holder = Holder::new(name, 1, u64::try_from(self.time.as_millis()).unwrap());
        let instance = Instance { holder, home, total, address: None };
        let tenure = Tenure::new(Arc::new(line), instance, PACE);
        let (shows, leaving) = (BTreeSet::new(), BTreeSet::new());
        self.players.insert(name, Player { tenure, down, paused: false, turn_at: self.time, shows, leaving });
    }

    fn kill(&mut self, name: &str) {
        self.players.remove(name).unwrap();
    }

    fn player(&mut self, name: &str) -> &mut Player {
        self.players.get_mut(name).unwrap()
    }

    fn cut(&mut self, down: bool) {
        self.players.values().for_each(|player| *player.down.lock().unwrap() = down);
    }

    fn shows(&self, name: &str) -> Vec<u32> {
        self.players[name].shows.iter().copied().collect()
    }

    /// How many show each slot.
    fn shown(&self, total: u32) -> Vec<usize> {
        let shown =
            |slot| self.players.values().filter(|player| !player.paused && player.shows.contains(&slot)).count();
        (0..total).map(shown).collect()
    }

    /// Lets a second pass for everybody; whoever has a turn takes it, and whoever shows a slot writes of it.
    async fn step(&mut self) {
        self.time += STEP;
        self.tables.lock().unwrap().clock += STEP;
        for player in self.players.values_mut().filter(|player| !player.paused) {
            let given = std::mem::take(&mut player.leaving);
            player.tenure.give(&given).await;
            if self.time >= player.turn_at {
                let Turn { lost, leaving, taken, .. } = player.tenure.turn(self.start + self.time).await;
                player.turn_at = self.time + PACE.turn();
                assert!(lost.is_disjoint(&taken), "what was lost leaves before it comes back");
                player.shows.retain(|slot| !lost.contains(slot) && !leaving.contains(slot));
                player.shows.extend(taken);
                player.leaving = leaving;
            }
            // Every write says with what right; the database takes it only from the holder.
            for lease in player.tenure.held().values() {
                let tables = self.tables.lock().unwrap();
                if *player.down.lock().unwrap() {
                    continue;
                }
                let row = &tables.slots[&lease.slot];
                if row.epoch == lease.epoch && row.holder.as_ref() == Some(&player.tenure.instance().holder) {
                    let before = self.written.insert(lease.slot, lease.epoch);
                    assert!(before.is_none_or(|before| before <= lease.epoch), "an old holder wrote over a new one");
                }
            }
        }
    }

    async fn pass(&mut self, time: Duration) {
        for _ in 0..time.as_secs() {
            self.step().await;
        }
    }

    /// How long until this holds; it has to before `most`.
    async fn until(&mut self, most: Duration, what: &str, mut holds: impl FnMut(&Self) -> bool) -> Duration {
        let began = self.time;
        while !holds(self) {
            self.step().await;
            assert!(self.time - began <= most, "{what}: not within {most:?}: {:?}", self.shown(4));
        }
        self.time - began
    }
}

/// Its lease has to end, a turn sees it, it rests, and each that comes first passes once.
fn taken_within(survivors: u32) -> Duration {
    PACE.lease + PACE.turn() + PACE.rest() + PACE.turn() * survivors
}

#[tokio::test]
async fn each_takes_its_own_slot_at_once() {
    let mut world = World::new();
    for (name, home) in [("a", 0), ("b", 1), ("c", 2)] {
        world.join(name, home, 3);
    }
    world.step().await;
    assert_eq!([world.shows("a"), world.shows("b"), world.shows("c")], [[0], [1], [2]]);
    world.pass(LEASE * 20).await;
    assert_eq!([world.shows("a"), world.shows("b"), world.shows("c")], [[0], [1], [2]], "and keeps it");
}

#[tokio::test]
async fn the_slot_of_a_dead_instance_goes_to_the_one_with_the_fewest_and_comes_back() {
    let mut world = World::new();
    for (name, home) in [("a", 0), ("b", 1), ("c", 2), ("d", 3)] {
        world.join(name, home, 4);
    }
    world.pass(LEASE).await;
    world.kill("d");
    let took = world.until(taken_within(3), "taken over", |world| world.shown(4) == [1; 4]).await;
    assert!(took > PACE.lease - PACE.turn(), "not before its lease ended: {took:?}");
    assert_eq!(world.shows("a"), [0, 3], "all had one: the order decides");
    // Now a has two: the next one goes to another.
    world.kill("c");
    world.until(taken_within(2), "taken over", |world| world.shown(4) == [1; 4]).await;
    assert_eq!(world.shows("b"), [1, 2]);

    world.join("d", 3, 4);
    world.until(PACE.turn() * 4, "given back", |world| world.shows("d") == [3]).await;
    assert_eq!(world.shown(4), [1; 4]);
    assert_eq!(world.shows("a"), [0]);
}

#[tokio::test]
async fn the_last_one_takes_all() {
    let mut world = World::new();
    for (name, home) in [("a", 0), ("b", 1), ("c", 2)] {
        world.join(name, home, 3);
    }
    world.pass(LEASE).await;
    world.kill("b");
    world.kill("c");
    world.until(taken_within(1) + PACE.turn(), "all taken over", |world| world.shows("a") == [0, 1, 2]).await;
}

#[tokio::test]
async fn an_instance_that_ends_in_order_leaves_its_slot_at_once() {
    let mut world = World::new();
    for (name, home) in [("a", 0), ("b", 1)] {
        world.join(name, home, 2);
    }
    world.pass(LEASE).await;
    world.player("b").tenure.leave().await;
    world.kill("b");
    let most = PACE.rest() + PACE.turn() * 2;
    world.until(most, "taken over", |world| world.shows("a") == [0, 1]).await;
}

#[tokio::test]
async fn a_slot_that_nobody_ever_had_is_looked_after_too() {
    let mut world = World::new();
    world.join("a", 0, 3);
    world.until(PACE.rest() + PACE.turn() * 3, "vacant slots", |world| world.shows("a") == [0, 1, 2]).await;
    // Those that come later get theirs.
    world.join("b", 1, 3);
    world.until(PACE.turn() * 4, "given back", |world| world.shows("b") == [1]).await;
    assert_eq!(world.shown(3), [1; 3]);
}

#[tokio::test]
async fn of_two_replicas_one_looks_and_the_other_stands_by() {
    let mut world = World::new();
    for (name, home) in [("a", 0), ("a2", 0), ("b", 1)] {
        world.join(name, home, 2);
    }
    world.pass(LEASE * 10).await;
    assert_eq!((world.shown(2), world.shows("a"), world.shows("a2")), (vec![1, 1], vec![0], vec![]));
    world.kill("a");
    let took = world.until(PACE.lease + PACE.turn(), "the replica", |world| world.shows("a2") == [0]).await;
    assert!(took <= PACE.lease + PACE.turn(), "its own slot, so it needs no rest");
    // The first one comes back and stands by: a slot does not go to and fro.
    world.join("a", 0, 2);
    world.pass(LEASE * 10).await;
    assert_eq!((world.shows("a"), world.shows("a2")), (vec![], vec![0]));
    // An idle replica is the first to take over another slot as well.
    world.kill("b");
    world.until(taken_within(2), "taken over", |world| world.shown(2) == [1, 1]).await;
    assert_eq!(world.shows("a"), [1]);
}

#[tokio::test]
async fn a_database_that_is_down_for_all_switches_nothing_off() {
    let mut world = World::new();
    for (name, home) in [("a", 0), ("b", 1)] {
        world.join(name, home, 2);
    }
    world.pass(LEASE).await;
    world.cut(true);
    for _ in 0..600 {
        world.step().await;
        assert_eq!((world.shows("a"), world.shows("b")), (vec![0], vec![1]));
    }
    world.cut(false);
    for _ in 0..120 {
        world.step().await;
        assert_eq!(world.shown(2), [1, 1], "when it comes back each has its own at every moment");
    }
}

#[tokio::test]
async fn an_instance_that_alone_is_cut_off_goes_on_looking_and_lets_go_when_it_hears_of_the_other() {
    let mut world = World::new();
    for (name, home) in [("a", 0), ("b", 1)] {
        world.join(name, home, 2);
    }
    world.pass(LEASE).await;
    *world.player("b").down.lock().unwrap() = true;
    world.until(taken_within(1), "taken over", |world| world.shows("a") == [0, 1]).await;
    world.pass(LEASE).await;
    assert_eq!(world.shown(2), [1, 2], "there is no blind spot; both say the same");
    let epoch = world.written[&1];
    *world.player("b").down.lock().unwrap() = false;
    // At its next turn it hears that the slot is gone, and asks for it.
    world.until(PACE.turn() * 5, "its own again", |world| world.shown(2) == [1, 1] && world.shows("b") == [1]).await;
    assert!(world.written[&1] > epoch);
}

#[tokio::test]
async fn an_instance_that_was_stopped_writes_nothing_over_its_successor() {
    let mut world = World::new();
    for (name, home) in [("a", 0), ("b", 1)] {
        world.join(name, home, 2);
    }
    world.pass(LEASE).await;
    world.player("b").paused = true;
    world.until(taken_within(1), "taken over", |world| world.shows("a") == [0, 1]).await;
    world.pass(LEASE * 10).await;
    let b = world.player("b");
    b.paused = false;
    // It runs on in the belief that nothing has happened: `step` asserts that the database takes nothing of it. Its turn is due.
    b.turn_at = Duration::MAX;
    world.pass(PACE.turn()).await;
    let now = world.time;
    world.player("b").turn_at = now;
    world.until(PACE.turn() * 5, "its own again", |world| world.shown(2) == [1, 1] && world.shows("b") == [1]).await;
}

#[tokio::test]
async fn a_third_instance_gets_its_slot_and_fewer_slots_are_given_up() {
    let mut world = World::new();
    for (name, home) in [("a", 0), ("b", 1)] {
        world.join(name, home, 2);
    }
    world.pass(LEASE).await;
    world.join("c", 2, 3);
    world.step().await;
    assert_eq!(world.shows("c"), [2]);
    for (name, home) in [("a", 0), ("b", 1)] {
        world.player(name).tenure.configure(home, 3, PACE);
    }
    world.pass(LEASE * 3).await;
    assert_eq!([world.shows("a"), world.shows("b"), world.shows("c")], [[0], [1], [2]]);
    world.kill("c");
    world.until(taken_within(2), "taken over", |world| world.shown(3) == [1; 3]).await;
    for (name, home) in [("a", 0), ("b", 1)] {
        world.player(name).tenure.configure(home, 2, PACE);
    }
    world.pass(PACE.turn() * 2).await;
    assert_eq!([world.shows("a"), world.shows("b")], [[0], [1]]);
}

/// A number after the other, the same at each run.
struct Draws(u64);

impl Draws {
    fn of(&mut self, many: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((number ^ (number >> 31)) % u64::try_from(many).unwrap()).unwrap()
    }
}

#[tokio::test]
async fn whatever_happens_in_the_end_each_slot_is_with_one_instance() {
    const NAMES: [(&str, u32); 6] = [("a", 0), ("a2", 0), ("b", 1), ("b2", 1), ("c", 2), ("d", 3)];
    for seed in 0..200 {
        let (mut world, mut draws) = (World::new(), Draws(seed));
        for (name, home) in NAMES {
            world.join(name, home, 4);
        }
        for _ in 0..40 {
            let (name, home) = NAMES[draws.of(NAMES.len())];
            let there = world.players.contains_key(name);
            match draws.of(6) {
                0 if there && world.players.len() > 1 => world.kill(name),
                1 if !there => world.join(name, home, 4),
                2 if there => world.player(name).paused ^= true,
                3 if there => {
                    let down = Arc::clone(&world.player(name).down);
                    let was = *down.lock().unwrap();
                    *down.lock().unwrap() = !was;
                }
                4 if draws.of(4) == 0 => world.cut(true),
                _ => world.cut(false),
            }
            world.pass(STEP * u32::try_from(draws.of(60)).unwrap()).await;
        }
        // All is well again, and stays so.
        world.cut(false);
        world.players.values_mut().for_each(|player| player.paused = false);
        world.pass(LEASE * 6).await;
        for _ in 0..60 {
            world.step().await;
            assert_eq!(world.shown(4), [1; 4], "seed {seed}");
        }
        for (name, home) in NAMES.into_iter().filter(|(name, _)| world.players.contains_key(name)) {
            let holder = world.players.iter().find(|(_, player)| player.shows.contains(&home)).unwrap().0;
            let at_home = NAMES.iter().any(|(one, its)| one == holder && *its == home);
            assert!(at_home, "seed {seed}: {name} is there, and its slot is with {holder}");
        }
        for player in world.players.values() {
            let held: BTreeSet<u32> = player.tenure.held().keys().copied().collect();
            assert_eq!(held, player.shows, "seed {seed}");
        }
    }
}

#[tokio::test]
async fn who_holds_a_lease_by_the_database_is_never_two() {
    // What the model promises, so that the tests above mean something.
    let mut world = World::new();
    world.join("a", 0, 1);
    world.join("b", 0, 1);
    world.step().await;
    let tables = world.tables.lock().unwrap();
    assert_eq!(tables.holds(0), Some(&world.players["a"].tenure.instance().holder));
    assert_eq!(world.players["b"].tenure.held().len(), 0);
}
