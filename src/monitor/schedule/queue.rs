//! The queue of what is due: one due time a target, and whose turn it is.

use std::{hash::Hash, time::Duration};

use tokio::time::Instant;

use super::{
    entries::{Entries, FRESH, List, Place, SETTLED},
    spread::{DRIFT, Ramp},
    stretch::Stretch,
    turns::{Answer, Door, Doors, Turns, nanoseconds},
    wheel::{Load, Wheel},
};
use crate::monitor::politeness::Limits;

/// The second look of what was found during a start: many are found at once, at hosts that many share.
const FRESH_DRIFT: f64 = 0.1;
/// Among so many moments the emptiest is taken. Two are known to be enough to level a load.
const CHOICES: u32 = 2;
/// … and after a start, where the load is not even yet.
const FRESH_CHOICES: u32 = 4;

/// Whose turn it is by turns, and the most urgent where nobody waits there: so each urgency has every fourth turn at least.
const TURNS: [Urgency; 4] = [Urgency::Asked, Urgency::Pressing, Urgency::Asked, Urgency::Routine];
/// A number for each urgency.
const LANES: usize = 3;

/// Which of those that are due comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Urgency {
    /// Somebody waits for it.
    Asked,
    /// It fails, or something of it is near its end.
    Pressing,
    /// All is well.
    #[default]
    Routine,
}

/// A target whose turn it is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Turn<K> {
    pub(crate) key: K,
    /// When it was due.
    pub(crate) due: Instant,
    /// Where its look goes in, until [`Schedule::end`].
    pub(crate) doors: Doors,
}

/// What a look showed that matters for the next one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Next {
    /// The interval that is wished.
    pub(crate) again: Duration,
    pub(crate) urgency: Urgency,
    /// Where the next look will go in, as far as it is known.
    pub(crate) doors: Doors,
}

/// What is due when.
#[derive(Debug)]
pub(crate) struct Schedule<K> {
    origin: Instant,
    entries: Entries<K>,
    wheel: Wheel,
    /// The latest time that was told, in nanoseconds since the origin.
    time: u64,
    load: Load,
    lanes: [List; LANES],
    /// How many had their turn.
    taken: usize,
    turns: Turns,
    /// How many are due and have not begun.
    waiting: usize,
    /// Looks that are wanted in 10^12 milliseconds.
    demand: u64,
    stretch: Stretch,
    /// From when to when the last start lasts, in nanoseconds.
    start: (u64, u64),
}

impl<K: Clone + Eq + Hash> Schedule<K> {
    /// An empty one.
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            origin: Instant::now(),
            entries: Entries::default(),
            wheel: Wheel::new(),
            time: 0,
            load: Load::new(),
            lanes: [List::default(); LANES],
            taken: 0,
            turns: Turns::new(limits),
            waiting: 0,
            demand: 0,
            stretch: Stretch::default(),
            start: (0, 0),
        }
    }

    /// Other limits. Who waits at a door tries anew.
    pub(crate) fn limit(&mut self, limits: Limits) {
        for mut list in self.turns.limit(limits) {
            while let Some(id) = self.entries.pop_front(&mut list) {
                self.waiting -= 1;
                self.make_ready(id, false);
            }
        }
    }

    /// Sets the due time of a key, in place of an earlier one. `first`: what is known of it, where it is new.
    pub(crate) fn set(&mut self, key: K, at: Instant, first: Next) {
        if let Some(id) = self.entry(key, first) {
            self.move_to(id, self.nanoseconds(at));
        }
    }

    /// The same for a key that goes on as before: its looks are spread already.
    pub(crate) fn resume(&mut self, key: K, at: Instant, first: Next) {
        if let Some(id) = self.entry(key, first) {
            if let Some(entry) = self.entries.get_mut(id) {
                entry.second = SETTLED;
            }
            self.move_to(id, self.nanoseconds(at));
        }
    }

    /// How a number of targets begins. What has its time already is to be set before.
    pub(crate) fn ramp(&mut self, intervals: impl Iterator<Item = Duration>, now: Instant) -> Ramp {
        self.start = (self.nanoseconds(now), self.nanoseconds(now));
        Ramp::new(intervals, self.demand_a_second())
    }

    /// Sets the due time of the next target of a start, and returns it.
    pub(crate) fn begin(&mut self, key: K, known: Next, ramp: &mut Ramp, now: Instant) -> Instant {
        const MOMENT: u64 = Load::MOMENT;
        let interval = known.again;
        let start = ramp.next(interval);
        let from = self.nanoseconds(now);
        let time = from + nanoseconds(start.delay);
        let (first, last) = (time / MOMENT, (from + nanoseconds(interval)) / MOMENT);
        let mut moment = first.max(start.from);
        while moment < last && self.load.at(from, moment * MOMENT) >= ramp.most {
            moment += 1;
        }
        ramp.reached(interval, moment);
        let due = if moment == first || moment >= last {
            time
        } else {
            let place = u64::from(self.load.at(from, moment * MOMENT).min(ramp.most));
            moment * MOMENT + MOMENT / u64::from(ramp.most.max(1)) * place
        };
        self.start.1 = self.start.1.max(due);
        if let Some(id) = self.entry(key, known) {
            let second = milliseconds(start.second).clamp(SETTLED + 1, FRESH - 1);
            if let Some(entry) = self.entries.get_mut(id) {
                entry.second = second;
            }
            self.move_to(id, due);
        }
        self.instant(due)
    }

    /// Sets the due time after a look, and returns it: about the wished interval from now, stretched where more is wanted than fits.
    /// `draw`: gives numbers from 0 to 1.
    pub(crate) fn again(&mut self, key: &K, next: Next, now: Instant, mut draw: impl FnMut() -> f64) -> Instant {
        let time = self.nanoseconds(now);
        let id = self.entries.find(key).or_else(|| self.entry(key.clone(), next));
        let mut second = SETTLED;
        if let Some(id) = id {
            self.withdraw(id);
        }
        if let Some(entry) = id.and_then(|id| self.entries.get_mut(id)) {
            entry.urgency = next.urgency;
            entry.doors = next.doors;
            second = entry.second;
            // A retry is not moved: how often something fails is counted by its pace.
            if next.urgency == Urgency::Routine {
                entry.second = SETTLED;
            }
        }
        if let Some(id) = id {
            self.set_pace(id, milliseconds(next.again));
        }
        let again = next.again.as_secs_f64();
        let (middle, drift, choices) = match second {
            _ if next.urgency != Urgency::Routine => (again, DRIFT, CHOICES),
            SETTLED => (again, DRIFT, CHOICES),
            FRESH => match self.second_of_found(again, time) {
                Some(middle) => (middle, FRESH_DRIFT * again / middle, FRESH_CHOICES),
                None => (again, DRIFT, CHOICES),
            },
            // No earlier: the last of the first round begin just then.
            second => ((f64::from(second) / 1000.0).min(again) * (1.0 + DRIFT / 2.0), DRIFT / 2.0, CHOICES),
        };
        let middle = middle * self.stretch.ratio();
        let moments = (0..choices).map(|_| {
            let delay = middle * (1.0 - drift + 2.0 * drift * draw().clamp(0.0, 1.0));
            time + nanoseconds(Duration::try_from_secs_f64(delay.max(0.0)).unwrap_or(Duration::MAX))
        });
        let due = moments.min_by_key(|moment| self.load.at(time, *moment)).unwrap_or(time);
        if let Some(id) = id {
            self.move_to(id, due);
        }
        self.instant(due)
    }

    /// The wished interval of a key is another one now: what is due later than that is due at some moment of it, which is returned.
    pub(crate) fn within(
        &mut self,
        key: &K,
        interval: Duration,
        now: Instant,
        mut draw: impl FnMut() -> f64,
    ) -> Option<Instant> {
        let time = self.nanoseconds(now);
        let id = self.entries.find(key)?;
        let length = interval.as_secs_f64() * self.stretch.ratio();
        let moment = |share: f64| {
            time + nanoseconds(Duration::try_from_secs_f64(length * share.max(0.0)).unwrap_or(Duration::MAX))
        };
        if self.entries.get(id).is_none_or(|entry| entry.place == Place::Away || entry.due <= moment(1.0 + DRIFT)) {
            return None;
        }
        let due = (0..CHOICES).map(|_| moment(draw().min(1.0))).min_by_key(|moment| self.load.at(time, *moment))?;
        self.set_pace(id, milliseconds(interval));
        self.move_to(id, due);
        Some(self.instant(due))
    }

    /// Brings a due time forward, and says whether it did. A key that is not scheduled stays so, and so does one under way.
    pub(crate) fn no_later_than(&mut self, key: &K, at: Instant) -> bool {
        let time = self.nanoseconds(at);
        let Some(id) = self.entries.find(key) else { return false };
        let later = self.entries.get(id).is_some_and(|entry| entry.place != Place::Away && entry.due > time);
        if later {
            self.move_to(id, time);
        }
        later
    }

    /// Somebody waits for a look: it is due now, and comes before the others. Says whether its due time changed.
    pub(crate) fn ask(&mut self, key: &K, now: Instant) -> bool {
        let Some(id) = self.entries.find(key) else { return false };
        let Some(entry) = self.entries.get_mut(id).filter(|entry| entry.place != Place::Away) else { return false };
        if matches!(entry.place, Place::Ready | Place::Parked(_)) {
            // It leaves the lane in which it stands before its urgency changes.
            self.take_out(id);
            if let Some(entry) = self.entries.get_mut(id) {
                entry.urgency = Urgency::Asked;
            }
            self.make_ready(id, false);
            return false;
        }
        entry.urgency = Urgency::Asked;
        self.no_later_than(key, now)
    }

    /// Forgets a key.
    pub(crate) fn remove(&mut self, key: &K) {
        if let Some(id) = self.entries.find(key) {
            self.withdraw(id);
            self.set_pace(id, 0);
            self.entries.remove(id);
        }
    }

    /// A target whose look ended is not looked at again, unless it was set meanwhile.
    pub(crate) fn let_go(&mut self, key: &K) {
        if let Some(id) = self.entries.find(key)
            && self.entries.get(id).is_some_and(|entry| entry.place == Place::Away)
        {
            self.remove(key);
        }
    }

    /// Takes out the target whose turn it is: the most urgent, of these the longest due, and no lane waits for ever. Its look has to
    /// [`end`](Self::end).
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Turn<K>> {
        let time = self.nanoseconds(now);
        self.turn(time);
        loop {
            let lane = self.lane()?;
            let id = self.lanes.get(lane)?.first()?;
            self.take_out(id);
            let entry = self.entries.get_mut(id)?;
            let (doors, due) = (entry.doors, entry.due);
            match self.turns.enter(doors, time) {
                Ok(()) => {
                    let key = entry.key.clone();
                    self.taken = self.taken.wrapping_add(1);
                    self.stretch.begun();
                    // Where there is room for one more, the next is let in as well.
                    self.call_in(doors, time);
                    return Some(Turn { key, due: self.instant(due), doors });
                }
                Err(door) => {
                    self.park(id, door);
                    self.call_in(doors, time);
                }
            }
        }
    }

    /// A look ended, with what the peer said; says whether looks there are further apart for it.
    pub(crate) fn end(&mut self, doors: Doors, answer: Answer, now: Instant) -> bool {
        let time = self.nanoseconds(now);
        let slower = self.turns.told(doors, answer, time);
        self.turns.leave(doors);
        self.call_in(doors, time);
        slower
    }

    /// How long the mail host behind these doors is left alone yet, where it asked for patience.
    pub(crate) fn patience(&self, doors: Doors, now: Instant) -> Option<Duration> {
        let until = self.turns.patient_until(doors, self.nanoseconds(now))?;
        Some(self.instant(until).saturating_duration_since(now))
    }

    /// When something is to be done next: something is due, or will be.
    pub(crate) fn next(&self) -> Option<Instant> {
        if self.lanes.iter().any(|lane| !lane.is_empty()) {
            return Some(self.origin);
        }
        let next = [self.wheel.next(), self.turns.next()].into_iter().flatten().min();
        next.map(|next| self.instant(next))
    }

    /// How many keys are due and have not begun.
    pub(crate) fn overdue(&mut self, now: Instant) -> usize {
        self.turn(self.nanoseconds(now));
        self.waiting
    }

    /// Nothing could be done for a while: what is due by now begins as at a start, in the order in which it was due, and no burst comes of
    /// it. What somebody waits for keeps its place. `spread`: told each key, how late it is, and when it is due now. Returns their number.
    pub(crate) fn spread_overdue(&mut self, now: Instant, mut spread: impl FnMut(&K, Duration, Instant)) -> usize {
        let time = self.nanoseconds(now);
        self.turn(time);
        self.stretch.restart(time);
        let waits = self.entries.overdue().filter(|(_, entry)| entry.urgency != Urgency::Asked);
        let mut overdue: Vec<(u64, u32)> = waits.map(|(id, entry)| (entry.due, id)).collect();
        overdue.sort_unstable();
        let known = |id: u32| {
            let entry = self.entries.get(id)?;
            let again = Duration::from_millis(entry.pace.into());
            Some((entry.key.clone(), Next { again, urgency: entry.urgency, doors: entry.doors }))
        };
        let overdue: Vec<(u64, K, Next)> =
            overdue.into_iter().filter_map(|(due, id)| known(id).map(|(key, next)| (due, key, next))).collect();
        let mut ramp = self.ramp(overdue.iter().map(|(.., next)| next.again), now);
        let count = overdue.len();
        for (due, key, next) in overdue {
            let at = self.begin(key.clone(), next, &mut ramp, now);
            spread(&key, Duration::from_nanos(time.saturating_sub(due)), at);
        }
        count
    }

    /// Until now this share of the room was in use: it follows by how much all intervals have to be longer.
    pub(crate) fn note_room(&mut self, share: f64, now: Instant) {
        let (demand, time) = (self.demand_a_second(), self.nanoseconds(now));
        #[expect(clippy::cast_precision_loss, reason = "a number of targets")]
        let round = if demand > 0.0 { self.entries.len() as f64 / demand } else { 0.0 };
        self.stretch.note(share, demand, round, time);
    }

    /// By how much all intervals are longer than wished; 1 where all is done in time.
    pub(crate) const fn stretch(&self) -> f64 {
        self.stretch.ratio()
    }

    /// Every key, also those that are looked at now.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> {
        self.entries.keys()
    }
}

/// What stays inside.
impl<K: Clone + Eq + Hash> Schedule<K> {
    fn entry(&mut self, key: K, known: Next) -> Option<u32> {
        if let Some(id) = self.entries.find(&key) {
            return Some(id);
        }
        let id = self.entries.insert(key)?;
        self.set_pace(id, milliseconds(known.again));
        if let Some(entry) = self.entries.get_mut(id) {
            (entry.urgency, entry.doors) = (known.urgency, known.doors);
        }
        Some(id)
    }

    fn set_pace(&mut self, id: u32, pace: u32) {
        let share = |pace: u32| 1_000_000_000_000_u64.checked_div(u64::from(pace)).unwrap_or(0);
        if let Some(entry) = self.entries.get_mut(id) {
            self.demand = self.demand - share(entry.pace) + share(pace);
            entry.pace = pace;
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    fn demand_a_second(&self) -> f64 {
        self.demand as f64 / 1e9
    }

    /// When a target that was found during a start is looked at a second time: after the end of it, and in the order in which all
    /// were found evenly over the interval, as far as that is not too late.
    #[expect(clippy::cast_precision_loss, reason = "days in nanoseconds fit into 53 bits")]
    fn second_of_found(&self, again: f64, time: u64) -> Option<f64> {
        let (began, ends) = self.start;
        if time >= ends {
            return None;
        }
        let (gone, left) = (time.saturating_sub(began) as f64 / 1e9, (ends - time) as f64 / 1e9);
        Some((left + gone / (gone + left) * again).clamp(FRESH_DRIFT * again, (1.0 - FRESH_DRIFT) * again))
    }

    /// Puts an entry where it belongs with this due time.
    fn move_to(&mut self, id: u32, due: u64) {
        self.withdraw(id);
        let Some(entry) = self.entries.get_mut(id) else { return };
        entry.due = due;
        match self.wheel.insert(&mut self.entries, id) {
            Some(_) if Load::reaches(self.wheel.time(), due) => {
                self.load.add(due);
                if let Some(entry) = self.entries.get_mut(id) {
                    entry.counted = true;
                }
            }
            Some(_) => {}
            None => self.make_ready(id, false),
        }
    }

    /// Takes an entry out without a look. Where it was on its way through a door, somebody else may go.
    fn withdraw(&mut self, id: u32) {
        let ready = self.entries.get(id).filter(|entry| entry.place == Place::Ready).map(|entry| entry.doors);
        self.take_out(id);
        if let Some(doors) = ready {
            self.call_in(doors, self.time);
        }
    }

    /// Takes an entry out of wherever it stands, as if its look were under way.
    fn take_out(&mut self, id: u32) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        let (place, lane, due) = (entry.place, entry.urgency as usize, entry.due);
        entry.place = Place::Away;
        let counted = std::mem::take(&mut entry.counted);
        if counted {
            self.load.take(due);
        }
        match place {
            Place::Away => {}
            Place::Slot(..) | Place::Far => self.wheel.remove(&mut self.entries, id, place),
            Place::Ready => {
                if let Some(lane) = self.lanes.get_mut(lane) {
                    self.entries.unlink(lane, id);
                }
                self.waiting -= 1;
            }
            Place::Parked(door) => {
                self.entries.unlink(self.turns.waiting(door), id);
                self.turns.forget_idle(door);
                self.waiting -= 1;
            }
        }
    }

    /// Puts an entry that is due into the lane of its urgency.
    fn make_ready(&mut self, id: u32, first: bool) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        entry.place = Place::Ready;
        if std::mem::take(&mut entry.counted) {
            self.load.take(entry.due);
        }
        self.waiting += 1;
        let Some(lane) = self.lanes.get_mut(entry.urgency as usize) else { return };
        match first {
            true => self.entries.push_front(lane, id),
            false => self.entries.push_back(lane, id),
        }
    }

    /// Puts an entry that is due at the end of those who wait at a door; who is asked for, or waits for longer, comes first.
    fn park(&mut self, id: u32, door: Door) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        entry.place = Place::Parked(door);
        self.waiting += 1;
        let (due, asked) = (entry.due, entry.urgency == Urgency::Asked);
        let list = self.turns.waiting(door);
        let before = list.first().and_then(|first| self.entries.get(first)).is_some_and(|first| due <= first.due);
        match before || asked {
            true => self.entries.push_front(list, id),
            false => self.entries.push_back(list, id),
        }
    }

    /// Those who wait at one of these doors, and could come in now, try again: one at each.
    fn call_in(&mut self, doors: Doors, time: u64) {
        for door in self.turns.open_to_others(doors, time).into_iter().flatten() {
            self.call_one(door);
        }
    }

    fn call_one(&mut self, door: Door) {
        if let Some(id) = self.entries.pop_front(self.turns.waiting(door)) {
            self.waiting -= 1;
            self.make_ready(id, true);
        }
        self.turns.forget_idle(door);
    }

    /// Turns to this time: what is due by then is ready, and slowed doors open.
    fn turn(&mut self, time: u64) {
        self.time = self.time.max(time);
        let Self { wheel, entries, load, lanes, waiting, .. } = self;
        wheel.turn(entries, time, |entries, id| {
            let Some(entry) = entries.get_mut(id) else { return };
            entry.place = Place::Ready;
            if std::mem::take(&mut entry.counted) {
                load.take(entry.due);
            }
            *waiting += 1;
            if let Some(lane) = lanes.get_mut(entry.urgency as usize) {
                entries.push_back(lane, id);
            }
        });
        while let Some(door) = self.turns.opens(time) {
            self.call_one(door);
        }
    }

    /// The lane whose turn it is, or the most urgent.
    fn lane(&self) -> Option<usize> {
        let waits = |lane: &usize| self.lanes.get(*lane).is_some_and(|lane| !lane.is_empty());
        let turn = TURNS.get(self.taken % TURNS.len()).map(|urgency| *urgency as usize);
        turn.filter(waits).or_else(|| (0..LANES).find(waits))
    }

    fn nanoseconds(&self, at: Instant) -> u64 {
        nanoseconds(at.saturating_duration_since(self.origin))
    }

    fn instant(&self, time: u64) -> Instant {
        self.origin + Duration::from_nanos(time)
    }
}

/// Longer than 49 days no interval is for the sake of the demand.
fn milliseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
