//! Whose turn it is at a busy provider: who is due and would only stand at a closed door waits here, as two links of a list, and not
//! as a task that was started.
//!
//! [`Politeness`](crate::monitor::politeness::Politeness) holds the limits for all who connect. Here the same limits are kept for the
//! looks of the schedule, so that what is started is let in at once.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    hash::{BuildHasher, Hash, RandomState},
    net::IpAddr,
    sync::LazyLock,
    time::Duration,
};

use super::entries::List;
use crate::{
    facts::PolicyHostObservation,
    monitor::politeness::{Limits, network_of, operator_of},
};

/// A host that turned us away for now is left alone for so long, twice as long each time, and at most for so long: less than
/// greylisting asks for at first (RFC 6647 §5: minutes), and no longer than the usual interval of an address.
const HOST_GAP: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(30 * 60));
/// The hosts of its operator are asked one after the other so far apart: one busy host among thousands must not silence the others.
const PROVIDER_GAP: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));
/// Of the looks at domains so many times the limit are started for one policy host: they ask the DNS first, which takes longer than
/// the fetch, and the door is not to stand open without anybody meanwhile. By the usual limits they are a quarter of all places.
const AHEAD: usize = 16;
/// What slows down and was not asked for this long begins anew: a host that is gone must not be remembered for ever.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(6 * 3600);
/// From so many slowed doors on, those are looked for at each further one.
const SLOWED_MANY: usize = 1024;

/// What a limit is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Host = 1,
    Address,
    Network,
    Provider,
    PolicyAddress,
    PolicyNetwork,
    PolicyProvider,
}

/// One thing with a limit, as its kind and 29 bits of a keyed hash. Where two fall together, one waits for the other now and then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Door(u32);

const HASH_BITS: u32 = 29;

/// Keyed, so that nobody can choose a name that has to wait for another one.
static KEYED: LazyLock<RandomState> = LazyLock::new(RandomState::new);

impl Door {
    /// No limit.
    const OPEN: Self = Self(0);

    #[expect(clippy::cast_possible_truncation, reason = "some of the bits of a hash are a hash")]
    fn new(kind: Kind, of: impl Hash) -> Self {
        let hash = KEYED.hash_one(of) as u32;
        Self((kind as u32) << HASH_BITS | hash & ((1 << HASH_BITS) - 1))
    }

    const fn is(self, kind: Kind) -> bool {
        self.0 >> HASH_BITS == kind as u32
    }

    fn limit(self, limits: &Limits) -> usize {
        let all = [
            (Kind::Host, limits.per_host),
            (Kind::Address, limits.per_address),
            (Kind::Network, limits.per_network),
            (Kind::Provider, limits.per_provider),
            (Kind::PolicyAddress, limits.per_address.saturating_mul(AHEAD)),
            (Kind::PolicyNetwork, limits.per_network.saturating_mul(AHEAD)),
            (Kind::PolicyProvider, limits.per_provider.saturating_mul(AHEAD)),
        ];
        all.into_iter().find(|(kind, _)| self.is(*kind)).map_or(usize::MAX, |(_, limit)| limit.max(1))
    }
}

/// The doors through which a look has to go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Doors([Door; 4]);

impl Doors {
    /// Those of an address of a mail host.
    pub(crate) fn of_host(host: &str, address: IpAddr) -> Self {
        Self([
            Door::new(Kind::Host, host),
            Door::new(Kind::Address, address),
            Door::new(Kind::Network, network_of(address)),
            Door::new(Kind::Provider, operator_of(host)),
        ])
    }

    /// Those of a policy host, as it was seen last. It usually has one address of a family; where it has several, the first stands
    /// for them, as a provider has the same ones for all its domains.
    pub(crate) fn of_policy_host(seen: &PolicyHostObservation) -> Self {
        let Some(address) = seen.addresses.addresses().min() else { return Self::default() };
        let provider = match seen.addresses.cname().last() {
            Some(alias) => Door::new(Kind::PolicyProvider, operator_of(alias)),
            None => Door::OPEN,
        };
        let network = Door::new(Kind::PolicyNetwork, network_of(address));
        Self([Door::new(Kind::PolicyAddress, address), network, provider, Door::OPEN])
    }

    fn iter(self) -> impl Iterator<Item = Door> {
        self.0.into_iter().filter(|door| *door != Door::OPEN)
    }
}

/// What a peer said to a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It spoke, and did not ask for patience.
    Served,
    /// 4xx: not now.
    NotNow,
    /// Nothing that tells.
    None,
}

#[derive(Debug, Default)]
struct Doorway {
    inside: usize,
    waiting: List,
    pace: Option<Pace>,
}

/// How far apart looks are while a peer asks for patience.
#[derive(Clone, Copy, Debug)]
struct Pace {
    gap: u64,
    opens_at: u64,
    /// Since when the gap is so long. Answers to looks that had begun before do not make it longer still.
    since: u64,
    /// It stands among those that open.
    awaited: bool,
}

impl Doorway {
    fn lets_in(&self, limit: usize, time: u64) -> bool {
        self.inside < limit && self.pace.is_none_or(|pace| pace.opens_at <= time)
    }

    const fn is_idle(&self) -> bool {
        self.inside == 0 && self.waiting.is_empty() && self.pace.is_none()
    }
}

#[derive(Debug)]
pub(super) struct Turns {
    limits: Limits,
    doorways: HashMap<Door, Doorway>,
    /// Which slowed doors open when, where somebody waits there.
    opening: BinaryHeap<Reverse<(u64, Door)>>,
    slowed: usize,
}

impl Turns {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, doorways: HashMap::new(), opening: BinaryHeap::new(), slowed: 0 }
    }

    /// Other limits from now on. Returns all who wait: they are to try anew.
    pub(super) fn limit(&mut self, limits: Limits) -> Vec<List> {
        if self.limits == limits {
            return Vec::new();
        }
        self.limits = limits;
        self.doorways.values_mut().map(|doorway| std::mem::take(&mut doorway.waiting)).collect()
    }

    /// Lets a look in, or says which door is closed to it.
    pub(super) fn enter(&mut self, doors: Doors, time: u64) -> Result<(), Door> {
        let closed = |door: &Door| {
            self.doorways.get(door).is_some_and(|doorway| !doorway.lets_in(door.limit(&self.limits), time))
        };
        if let Some(door) = doors.iter().find(closed) {
            self.await_opening(door, time);
            return Err(door);
        }
        for door in doors.iter() {
            let doorway = self.doorways.entry(door).or_default();
            doorway.inside += 1;
            if let Some(pace) = &mut doorway.pace {
                pace.opens_at = time + pace.gap;
                self.await_opening_for_others(door, time);
            }
        }
        Ok(())
    }

    /// A look that was let in ended.
    pub(super) fn leave(&mut self, doors: Doors) {
        for door in doors.iter() {
            let Some(doorway) = self.doorways.get_mut(&door) else { continue };
            doorway.inside = doorway.inside.saturating_sub(1);
            self.forget_idle(door);
        }
    }

    /// The list of those who wait at a door.
    pub(super) fn waiting(&mut self, door: Door) -> &mut List {
        &mut self.doorways.entry(door).or_default().waiting
    }

    /// Which of the doors somebody waits at who could come in now. Where one is closed for a time, its opening is waited for.
    pub(super) fn open_to_others(&mut self, doors: Doors, time: u64) -> [Option<Door>; 4] {
        doors.0.map(|door| {
            let doorway = self.doorways.get(&door).filter(|doorway| !doorway.waiting.is_empty())?;
            let open = doorway.lets_in(door.limit(&self.limits), time);
            if !open {
                self.await_opening(door, time);
            }
            open.then_some(door)
        })
    }

    /// Nobody is left at a door: it need not be remembered.
    pub(super) fn forget_idle(&mut self, door: Door) {
        if self.doorways.get(&door).is_some_and(Doorway::is_idle) {
            self.doorways.remove(&door);
        }
    }

    /// What a peer said, who stands behind these doors: says whether looks are further apart for it.
    pub(super) fn told(&mut self, doors: Doors, answer: Answer, time: u64) -> bool {
        let mut slower = false;
        for door in doors.iter() {
            let (first, most) = match (door.is(Kind::Host), door.is(Kind::Provider)) {
                (true, _) => HOST_GAP,
                (_, true) => PROVIDER_GAP,
                _ => continue,
            };
            match answer {
                Answer::NotNow => {
                    self.slow(door, nanoseconds(first), nanoseconds(most), time);
                    slower = true;
                }
                Answer::Served => self.recover(door, nanoseconds(first), time),
                Answer::None => {}
            }
        }
        slower
    }

    /// Until when the host behind these doors is left alone, where it asked for patience.
    pub(super) fn patient_until(&self, doors: Doors, time: u64) -> Option<u64> {
        let host = doors.iter().find(|door| door.is(Kind::Host))?;
        let pace = self.doorways.get(&host)?.pace?;
        (pace.opens_at > time).then_some(pace.opens_at)
    }

    fn slow(&mut self, door: Door, first: u64, most: u64, time: u64) {
        if self.slowed >= SLOWED_MANY {
            self.forget_slowed(time);
        }
        let pace = &mut self.doorways.entry(door).or_default().pace;
        if pace.is_none() {
            self.slowed += 1;
        }
        let slow = pace.get_or_insert(Pace { gap: 0, opens_at: time, since: 0, awaited: false });
        if time >= slow.since + slow.gap {
            slow.gap = slow.gap.saturating_mul(2).clamp(first, most);
            slow.since = time;
        }
        slow.opens_at = slow.opens_at.max(time + slow.gap);
        self.await_opening_for_others(door, time);
    }

    fn recover(&mut self, door: Door, first: u64, time: u64) {
        let Some(doorway) = self.doorways.get_mut(&door) else { return };
        let Some(slow) = &mut doorway.pace else { return };
        let shorter = slow.gap / 2;
        slow.opens_at = slow.opens_at.saturating_sub(slow.gap - shorter);
        slow.gap = shorter;
        // Whoever waits for the opening waits for the one that comes sooner.
        slow.awaited = false;
        if shorter < first {
            doorway.pace = None;
            self.slowed = self.slowed.saturating_sub(1);
            self.forget_idle(door);
        } else {
            self.await_opening_for_others(door, time);
        }
    }

    fn forget_slowed(&mut self, time: u64) {
        let forgotten = nanoseconds(FORGOTTEN_AFTER);
        for doorway in self.doorways.values_mut() {
            // Where somebody waits it is asked again, and tells whether it recovered.
            if doorway.waiting.is_empty() && doorway.pace.is_some_and(|pace| pace.opens_at + forgotten < time) {
                doorway.pace = None;
            }
        }
        self.doorways.retain(|_, doorway| !doorway.is_idle());
        self.slowed = self.doorways.values().filter(|doorway| doorway.pace.is_some()).count();
    }

    fn await_opening_for_others(&mut self, door: Door, time: u64) {
        if self.doorways.get(&door).is_some_and(|doorway| !doorway.waiting.is_empty()) {
            self.await_opening(door, time);
        }
    }

    /// Where a door is closed for a time, its opening is waited for. Where it is full, whoever leaves makes room.
    fn await_opening(&mut self, door: Door, time: u64) {
        if let Some(pace) = self.doorways.get_mut(&door).and_then(|doorway| doorway.pace.as_mut())
            && !pace.awaited
            && pace.opens_at > time
        {
            pace.awaited = true;
            self.opening.push(Reverse((pace.opens_at, door)));
        }
    }

    /// The next slowed door that opens by this time.
    pub(super) fn opens(&mut self, time: u64) -> Option<Door> {
        let Reverse((at, door)) = *self.opening.peek()?;
        if at > time {
            return None;
        }
        self.opening.pop();
        if let Some(pace) = self.doorways.get_mut(&door).and_then(|doorway| doorway.pace.as_mut()) {
            pace.awaited = false;
        }
        Some(door)
    }

    /// When the next slowed door opens.
    pub(super) fn next(&self) -> Option<u64> {
        self.opening.peek().map(|Reverse((at, _))| *at)
    }
}

pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
