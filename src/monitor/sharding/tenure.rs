//! Which slots an instance holds by leases in a shared database, and what it does about the others: pure but for the calls.
//!
//! Five rules. An instance takes its own slot as soon as nobody has it, and asks for it where a stranger has. It gives a slot back
//! that its home instance asks for. A slot that nobody renews is taken by the instance that has the fewest, after a rest. What
//! the database says is lost is dropped at once. And while the database says nothing, everybody keeps what he has.
//!
//! The last rule is a choice. A lease that ended and could not be renewed may be with another instance by now, if that one reaches
//! the database and this one does not: then both look at the same domains and tell the same, which alerts take for one (docs/scaling.md),
//! and the database lets only the new holder write. To stop at the end of the lease instead would switch the whole monitoring off
//! whenever the database is down for all, which is the more likely fault and the worse one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::time::{Instant, timeout};

use crate::store::{Instance, InstanceState, Lease, Leases, Renewal, SlotState};

/// A lease is renewed this many times while it holds: one renewal that fails loses nothing.
const RENEWALS: u32 = 3;

/// How long things take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// How long a lease holds without a renewal.
    pub(super) lease: Duration,
}

impl Pace {
    /// Between two turns.
    pub(super) fn turn(self) -> Duration {
        self.lease / RENEWALS
    }

    /// So long an instance watches a slot whose lease ended before it takes it over: whoever was only slow, or did not reach the
    /// database any more than this one, has a whole turn to renew it.
    pub(super) fn rest(self) -> Duration {
        self.turn() * 2
    }
}

/// What came of a turn.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// The database did not answer; nothing changed.
    pub(super) failed: Option<String>,
    /// They have another holder: nothing may be written of their domains any more.
    pub(super) lost: BTreeSet<u32>,
    /// They are to be given back, once what is known of their domains is written.
    pub(super) leaving: BTreeSet<u32>,
    /// They are new here.
    pub(super) taken: BTreeSet<u32>,
}

/// The slots of an instance.
#[derive(Debug)]
pub(super) struct Tenure {
    leases: Arc<dyn Leases>,
    instance: Instance,
    pace: Pace,
    held: BTreeMap<u32, Lease>,
    /// Since when this instance sees that a slot is free. When the database was down for all, every lease ended long ago by its clock,
    /// and whoever comes back first must not take it for the end of all others.
    free_since: BTreeMap<u32, Instant>,
    /// Since when every renewal was answered.
    steady_since: Option<Instant>,
    instances: Vec<InstanceState>,
}

impl Tenure {
    pub(super) fn new(leases: Arc<dyn Leases>, instance: Instance, pace: Pace) -> Self {
        Self {
            leases,
            instance,
            pace,
            held: BTreeMap::new(),
            free_since: BTreeMap::new(),
            steady_since: None,
            instances: Vec::new(),
        }
    }

    /// What it holds.
    pub(super) const fn held(&self) -> &BTreeMap<u32, Lease> {
        &self.held
    }

    /// All that were heard of at the last turn.
    pub(super) fn instances(&self) -> &[InstanceState] {
        &self.instances
    }

    pub(super) const fn pace(&self) -> Pace {
        self.pace
    }

    pub(super) const fn instance(&self) -> &Instance {
        &self.instance
    }

    /// From now on with another seat or pace.
    pub(super) fn configure(&mut self, home: u32, total: u32, pace: Pace) {
        self.instance = Instance { home, total, ..self.instance.clone() };
        self.pace = pace;
        self.free_since.clear();
    }

    /// Renews what is held, and sees what else is to be done.
    pub(super) async fn turn(&mut self, now: Instant) -> Turn {
        let held: Vec<Lease> = self.held.values().copied().collect();
        let asked = self.leases.renew(&self.instance, &held, self.pace.lease);
        let renewal = match timeout(self.pace.turn(), asked).await {
            Ok(Ok(renewal)) => renewal,
            Ok(Err(error)) => return self.failed(error.to_string()),
            Err(_) => return self.failed("the database does not answer".to_owned()),
        };
        let Renewal { held, slots, instances } = renewal;
        let kept: BTreeMap<u32, Lease> = held.into_iter().map(|lease| (lease.slot, lease)).collect();
        let lost = self.held.keys().filter(|slot| !kept.contains_key(slot)).copied().collect();
        self.held = kept;
        self.instances = instances;
        self.steady_since.get_or_insert(now);
        let mut turn = Turn { lost, leaving: self.leaving(&slots), ..Turn::default() };
        for slot in self.wanted(&slots, now) {
            // What was lost may be free again, and another one wrote meanwhile: its domains have to leave before they come back.
            if !turn.lost.contains(&slot) {
                self.take(slot, &mut turn).await;
            }
        }
        self.ask_for_home(&slots).await;
        turn
    }

    fn failed(&mut self, why: String) -> Turn {
        self.steady_since = None;
        self.free_since.clear();
        Turn { failed: Some(why), ..Turn::default() }
    }

    /// Gives slots back, of whose domains everything is written.
    pub(super) async fn give(&mut self, slots: &BTreeSet<u32>) {
        let leases: Vec<Lease> = slots.iter().filter_map(|slot| self.held.remove(slot)).collect();
        if leases.is_empty() {
            return;
        }
        let given = timeout(self.pace.turn(), self.leases.give(&self.instance.holder, &leases)).await;
        if !matches!(given, Ok(Ok(()))) {
            tracing::warn!("a slot could not be given back; its lease ends by itself");
        }
    }

    /// Gives everything back: the instance ends.
    pub(super) async fn leave(&mut self) {
        self.held.clear();
        if !matches!(timeout(self.pace.turn(), self.leases.leave(&self.instance.holder)).await, Ok(Ok(()))) {
            tracing::warn!("the slots could not be given back; their leases end by themselves");
        }
    }

    /// What is held and belongs to others that are there again, or to nobody since there are fewer slots.
    fn leaving(&self, slots: &[SlotState]) -> BTreeSet<u32> {
        let Instance { home, total, .. } = self.instance;
        let wanted = slots.iter().filter(|state| state.wanted_by.is_some()).map(|state| state.slot);
        let beyond = self.held.keys().copied().filter(|slot| *slot >= total);
        wanted.chain(beyond).filter(|slot| *slot != home && self.held.contains_key(slot)).collect()
    }

    /// Which slots to take now: the own one as soon as it is free, and the share of those that nobody looks after.
    fn wanted(&mut self, slots: &[SlotState], now: Instant) -> Vec<u32> {
        let home = self.instance.home;
        // What an answer that did not come in time had given is taken again.
        let mine = |state: &SlotState| state.holder.as_ref() == Some(&self.instance.holder);
        let free = |state: &&SlotState| !self.held.contains_key(&state.slot) && (state.left.is_none() || mine(state));
        let free: Vec<&SlotState> = slots.iter().filter(free).collect();
        self.free_since.retain(|slot, _| free.iter().any(|state| state.slot == *slot));
        let steady = self.steady_since.is_some_and(|since| now.saturating_duration_since(since) >= self.pace.rest());
        // Whoever had it may be a replica that did not reach the database either.
        let own = free.iter().filter(|state| state.slot == home && (steady || state.holder.is_none() || mine(state)));
        let mut wanted: Vec<u32> = own.map(|state| state.slot).collect();
        let patience = self.pace.rest() + self.pace.turn() * self.rank();
        let mut others = Vec::new();
        for state in free.into_iter().filter(|state| state.slot != home && state.wanted_by.is_none()) {
            let since = *self.free_since.entry(state.slot).or_insert(now);
            if now.saturating_duration_since(since) >= patience {
                others.push(state.slot);
            }
        }
        // Who comes first takes no more than a fair share: the rest is for those that come next.
        let alive = self.instances.iter().filter(|one| one.alive).count().max(1);
        let share = others.len().div_ceil(alive);
        wanted.extend(others.into_iter().take(share));
        wanted
    }

    /// How many live instances come before this one when a slot is to be taken: those that hold fewer.
    fn rank(&self) -> u32 {
        let own = (self.held.len(), self.instance.home, &self.instance.holder);
        let before = self.instances.iter().filter(|one| {
            let instance = &one.instance;
            let load = usize::try_from(one.slots).unwrap_or(usize::MAX);
            one.alive && instance.holder != self.instance.holder && (load, instance.home, &instance.holder) < own
        });
        u32::try_from(before.count()).unwrap_or(u32::MAX)
    }

    async fn take(&mut self, slot: u32, turn: &mut Turn) {
        // The own slot needs no rest: nobody else has a right to it.
        let rest = if slot == self.instance.home { Duration::ZERO } else { self.pace.turn() };
        match timeout(self.pace.turn(), self.leases.take(&self.instance, slot, rest, self.pace.lease)).await {
            Ok(Ok(Some(lease))) => {
                self.held.insert(slot, lease);
                turn.taken.insert(slot);
            }
            // Another one was quicker.
            Ok(Ok(None)) => {}
            Ok(Err(error)) => tracing::warn!(slot, %error, "a slot could not be taken; it is tried again"),
            Err(_) => tracing::warn!(slot, "a slot could not be taken in time; it is tried again"),
        }
    }

    /// The own slot is with a stranger: he is asked for it. A replica with the same home is none, and this one stands by.
    async fn ask_for_home(&self, slots: &[SlotState]) {
        let home = self.instance.home;
        if self.held.contains_key(&home) {
            return;
        }
        let holder = slots.iter().find(|state| state.slot == home && state.left.is_some());
        let Some(holder) = holder.and_then(|state| state.holder.as_ref()) else { return };
        let at_home = |one: &InstanceState| one.instance.holder == *holder && one.instance.home == home;
        if self.instances.iter().any(at_home) {
            return;
        }
        let asked = timeout(self.pace.turn(), self.leases.ask(&self.instance, self.pace.lease)).await;
        if !matches!(asked, Ok(Ok(_))) {
            tracing::warn!(slot = home, "the own slot could not be asked for; it is tried again");
        }
    }
}
