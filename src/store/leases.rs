//! Who looks after which slot, where several instances share one state: leases that end by themselves, by the clock of the
//! database alone.
//!
//! An epoch counts how often a slot changed its holder. It goes with every write, so that an instance that was stopped for a while
//! and does not know yet that its slot has another holder writes nothing over what that one wrote.

use std::{fmt, time::Duration};

use futures_util::future::BoxFuture;

use super::StoreError;

/// The longest part of a host's name in a [`Holder`]: as long as a name in DNS may be.
const HOST_MOST: usize = 253;

/// One process among those that share a state. No two have the same name, and none gets that of one before it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Holder(String);

impl Holder {
    /// Of the host's name and the number of the process, for people, and of `random`, which tells it from all others.
    pub fn new(host: &str, pid: u32, random: u64) -> Self {
        let host: String = host.chars().filter(|letter| !letter.is_control()).take(HOST_MOST).collect();
        Self(format!("{host}/{pid}/{random:016x}"))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As the database gives it back.
    pub(super) const fn from_row(name: String) -> Self {
        Self(name)
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An instance, as it tells of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Its name.
    pub holder: Holder,
    /// The slot that is its own (`shard.index`). Others may have the same one: replicas.
    pub home: u32,
    /// How many slots it counts with (`shard.total`).
    pub total: u32,
    /// Where its pages are, for those who look at another one.
    pub address: Option<String>,
}

/// A slot that an instance holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lease {
    /// Which slot.
    pub slot: u32,
    /// Larger than that of every holder before.
    pub epoch: i64,
}

/// A slot as it stands now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotState {
    /// Which.
    pub slot: u32,
    /// Who has it, also when the lease ended and nobody took it yet; nobody where it was given back, or never taken.
    pub holder: Option<Holder>,
    /// How long its lease still holds; nothing where it ended.
    pub left: Option<Duration>,
    /// How long ago its lease ended or it was given back; nothing where it holds, or was never taken.
    pub free_for: Option<Duration>,
    /// Its home instance asks for it: the holder should give it back.
    pub wanted_by: Option<Holder>,
}

/// An instance as it stands now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceState {
    /// What it tells of itself.
    pub instance: Instance,
    /// How long ago it was heard of.
    pub heard: Duration,
    /// It was heard of within the time that it promised.
    pub alive: bool,
    /// How many slots it holds, by leases that have not ended.
    pub slots: u32,
}

/// What is true after a renewal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Renewal {
    /// Of the leases that were to be renewed, those that hold on. What is missing has another holder, or none.
    pub held: Vec<Lease>,
    /// Each slot from 0 to the total of the asking instance, in this order.
    pub slots: Vec<SlotState>,
    /// The instances that were heard of lately, the asking one among them, by home and name.
    pub instances: Vec<InstanceState>,
}

/// With what right a batch is written: all of these leases have to hold, else nothing of it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    /// Who writes.
    pub holder: Holder,
    /// The leases on the slots of the domains in the batch.
    pub leases: Vec<Lease>,
}

/// Leases on slots, in a database that several instances share.
///
/// Whoever holds one counts its end from the moment *before* the call, by a clock of its own that never steps: then it ends there
/// before it ends in the database, however long the answer took.
pub trait Leases: fmt::Debug + Send + Sync {
    /// Tells that an instance is there, and makes the leases that it has hold for `ttl` from now. One that ended is held on to
    /// as long as nobody took it.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing was renewed, or it is not known.
    fn renew<'a>(
        &'a self,
        instance: &'a Instance,
        held: &'a [Lease],
        ttl: Duration,
    ) -> BoxFuture<'a, Result<Renewal, StoreError>>;

    /// Takes a slot for `ttl`, where nobody ever had it or it is free for at least `rest`; nothing where another one has it, or its
    /// home instance waits for it. An instance that has it already gets it again, with a new epoch.
    ///
    /// # Errors
    /// [`StoreError`]; then it is not known whether it was taken: ask again.
    fn take<'a>(
        &'a self,
        instance: &'a Instance,
        slot: u32,
        rest: Duration,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<Option<Lease>, StoreError>>;

    /// Asks the holder of the instance's own slot to give it back, and keeps it from all others for `ttl`: of several instances with
    /// the same home for the first that asks. Says whether this one is the one who gets it.
    ///
    /// # Errors
    /// [`StoreError`] where it could not be asked for.
    fn ask<'a>(&'a self, instance: &'a Instance, ttl: Duration) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// Gives slots back, once what is known of their domains is written. What is written under these leases after that is refused; a
    /// write that is under way is waited for. A lease that is gone is passed over.
    ///
    /// # Errors
    /// [`StoreError`]; then they end by themselves.
    fn give<'a>(&'a self, holder: &'a Holder, leases: &'a [Lease]) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Gives back all that an instance holds and forgets it: it ends.
    ///
    /// # Errors
    /// [`StoreError`]; then its leases end by themselves.
    fn leave<'a>(&'a self, holder: &'a Holder) -> BoxFuture<'a, Result<(), StoreError>>;
}
