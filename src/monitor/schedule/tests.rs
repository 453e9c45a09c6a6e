use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use tokio::time::Instant;

use super::{entries::Entry, *};
use crate::monitor::politeness::Limits;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// So much before its time something may be taken.
const SLOT: Duration = Duration::from_nanos(1 << 22);

const LIMITS: Limits = Limits { per_host: 1, per_address: 1, per_network: 4, per_provider: 8, in_flight: 256 };

fn schedule<K: Clone + Eq + Hash>() -> Schedule<K> {
    Schedule::new(LIMITS)
}

fn every(again: Duration) -> Next {
    Next { again, ..Next::default() }
}

/// Numbers from 0 to 1, the same each time (SplitMix64).
fn draws(mut seed: u64) -> impl FnMut() -> f64 {
    move || {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn popped<K: Clone + Eq + Hash>(schedule: &mut Schedule<K>, now: Instant) -> Option<(K, Instant)> {
    schedule.pop(now).map(|turn| (turn.key, turn.due))
}

#[test]
fn the_longest_due_comes_first_and_each_key_once() {
    let mut schedule = schedule();
    let start = Instant::now();
    schedule.set("b", start + SECOND, every(HOUR));
    schedule.set("a", start + SECOND * 5, every(HOUR));
    schedule.set("a", start, every(HOUR));
    schedule.set("c", start + SECOND * 2, every(HOUR));
    schedule.remove(&"b");
    assert!(schedule.no_later_than(&"c", start + SECOND));
    assert!(!schedule.no_later_than(&"c", start + SECOND * 9));
    assert!(!schedule.no_later_than(&"unknown", start));
    assert_eq!(popped(&mut schedule, start), Some(("a", start)));
    assert_eq!(popped(&mut schedule, start), None);
    assert!(!schedule.no_later_than(&"a", start), "its look is under way");
    let next = schedule.next().unwrap();
    assert!(next <= start + SECOND && start + SECOND - next <= SLOT);
    assert_eq!(schedule.overdue(start + SECOND), 1);
    assert_eq!(popped(&mut schedule, start + SECOND), Some(("c", start + SECOND)));
    assert_eq!(schedule.next(), None);
    schedule.let_go(&"a");
    schedule.set("c", start + HOUR, every(HOUR));
    schedule.let_go(&"c");
    assert_eq!(schedule.keys().collect::<Vec<_>>(), [&"c"], "it was set meanwhile");
}

/// The wheel against a sorted list, over seconds, hours and years.
#[test]
fn each_is_due_at_its_time() {
    let mut schedule = schedule();
    let mut draw = draws(1);
    let mut model: BTreeMap<u32, Instant> = BTreeMap::new();
    let mut now = Instant::now();
    let spans = [SECOND, MINUTE, HOUR, HOUR * 24 * 30, HOUR * 24 * 700];
    let mut pick = |of: usize| (draw() * of as f64) as usize;
    for _ in 0..20_000 {
        let key = pick(300) as u32;
        let span = spans[pick(spans.len())];
        match pick(4) {
            0 => {
                schedule.remove(&key);
                model.remove(&key);
            }
            1 => now += span.mul_f64(pick(1000) as f64 / 3000.0),
            _ => {
                let at = now + span.mul_f64(pick(1000) as f64 / 1000.0);
                schedule.set(key, at, every(HOUR));
                model.insert(key, at);
            }
        }
        while let Some((key, due)) = popped(&mut schedule, now) {
            assert_eq!(model.remove(&key), Some(due));
            assert!(due <= now + SLOT, "no earlier than its slot");
        }
        assert!(model.values().all(|due| *due > now), "all that is due was taken");
        let first = model.values().min();
        assert!(first.is_none_or(|first| schedule.next().unwrap() <= *first), "the keeper wakes in time");
        assert_eq!(schedule.overdue(now), 0);
    }
}

#[test]
fn a_target_takes_at_most_a_hundred_bytes_over_its_key() {
    type Key = [u64; 5];
    let entry = size_of::<Option<Entry<Key>>>() - size_of::<Key>();
    // Two words of the index at most; of the memory an eighth is unused, and may be the key's.
    let unused = size_of::<Option<Entry<Key>>>() / 8;
    assert!(entry + 2 * size_of::<u32>() + unused <= 100, "{entry} + {unused}");
}

#[test]
fn what_is_urgent_comes_first_and_nobody_waits_for_ever() {
    let mut schedule = schedule();
    let now = Instant::now();
    let target = |urgency: Urgency, number: u32| (urgency as u8, number);
    for number in 0..40 {
        for urgency in [Urgency::Routine, Urgency::Pressing] {
            schedule.set(target(urgency, number), now, Next { urgency, ..every(HOUR) });
        }
    }
    // Without end, somebody asks for something.
    let mut order = Vec::new();
    for number in 0..160 {
        schedule.set(target(Urgency::Asked, number), now, Next { urgency: Urgency::Asked, ..every(HOUR) });
        order.push(schedule.pop(now).unwrap().key);
    }
    assert_eq!(order[0].0, Urgency::Asked as u8);
    for urgency in [Urgency::Routine, Urgency::Pressing] {
        let places: Vec<usize> = (0..order.len()).filter(|place| order[*place].0 == urgency as u8).collect();
        assert!(places.windows(2).all(|two| two[1] - two[0] <= 4), "{urgency:?}: every fourth turn, {places:?}");
        let numbers: Vec<u32> = order.iter().filter(|one| one.0 == urgency as u8).map(|one| one.1).collect();
        assert!(numbers.len() >= 39 && numbers.is_sorted(), "the longest due first: {numbers:?}");
    }
    let asked = order.iter().filter(|one| one.0 == Urgency::Asked as u8).count();
    assert!(asked >= 80, "half of the turns are for those who asked: {asked}");
}

#[test]
fn who_asks_is_served_before_those_who_are_due() {
    let mut schedule = schedule();
    let now = Instant::now();
    for number in 0..10 {
        schedule.set(number, now, every(HOUR));
    }
    schedule.set(10, now + HOUR, every(HOUR));
    assert!(schedule.ask(&10, now), "it was due later");
    assert!(!schedule.ask(&9, now), "it is due already");
    assert!(!schedule.ask(&11, now), "nobody knows it");
    assert_eq!(schedule.overdue(now), 11);
    let first: Vec<i32> = (0..2).map(|_| schedule.pop(now).unwrap().key).collect();
    assert!(first.contains(&9) && first.contains(&10), "{first:?}");
    assert!(!schedule.ask(&10, now), "its look is under way");
}

/// Looks that take no time, and how many begin in each second. A key is a place in the lists.
struct World {
    schedule: Schedule<u32>,
    intervals: Vec<Duration>,
    last: Vec<Option<Instant>>,
    began: Instant,
    now: Instant,
    seconds: Vec<u32>,
    draw: Box<dyn FnMut() -> f64>,
}

impl World {
    fn new(intervals: Vec<Duration>) -> Self {
        let began = Instant::now();
        let last = vec![None; intervals.len()];
        let draw = Box::new(draws(7));
        Self { schedule: schedule(), intervals, last, began, now: began, seconds: Vec::new(), draw }
    }

    fn interval(&self, key: u32) -> Duration {
        self.intervals[key as usize]
    }

    fn begin(&mut self, keys: &[u32]) {
        let intervals: Vec<Duration> = keys.iter().map(|key| self.interval(*key)).collect();
        let mut ramp = self.schedule.ramp(intervals.iter().copied(), self.now);
        for (key, interval) in keys.iter().zip(intervals) {
            self.schedule.begin(*key, every(interval), &mut ramp, self.now);
        }
    }

    /// Goes on for a time. `found`: what the look at a target finds.
    fn run(&mut self, time: Duration, found: impl Fn(u32) -> Option<u32>) {
        let until = self.now + time;
        while let Some(next) = self.schedule.next().filter(|next| *next < until) {
            self.now = self.now.max(next);
            while let Some(turn) = self.schedule.pop(self.now) {
                let second = (self.now - self.began).as_secs() as usize;
                self.seconds.resize(self.seconds.len().max(second + 1), 0);
                self.seconds[second] += 1;
                let interval = self.interval(turn.key);
                if let Some(last) = self.last[turn.key as usize].replace(self.now) {
                    assert!(self.now - last <= interval.mul_f64(1.06), "nobody waits longer than the interval");
                }
                if let Some(new) = found(turn.key).filter(|new| self.last[*new as usize].is_none()) {
                    self.schedule.set(new, self.now, every(self.interval(new)));
                }
                self.schedule.again(&turn.key, every(interval), self.now, &mut self.draw);
            }
        }
        self.now = until;
    }

    /// Looks a second that the intervals ask for.
    fn mean(&self) -> f64 {
        self.intervals.iter().map(|interval| interval.as_secs_f64().recip()).sum()
    }

    /// The largest number in a second since then, as a part of the mean.
    fn largest_since(&self, from: Instant) -> f64 {
        let from = (from - self.began).as_secs() as usize;
        f64::from(self.seconds[from..].iter().copied().max().unwrap()) / self.mean()
    }
}

/// The bench `schedule` goes on for days.
#[test]
fn a_hundred_thousand_domains_stay_spread() {
    const DOMAINS: u32 = 100_000;
    const HOSTS: u32 = 600;
    const MOST: f64 = 1.5;
    // Intervals that are multiples of each other, and some hundred hosts that all of them share.
    let interval = |key: u32| if key < DOMAINS && key.is_multiple_of(2) { HOUR } else { HOUR / 3 };
    let mut world = World::new((0..DOMAINS + HOSTS).map(interval).collect());
    assert!(world.mean() > 50.0, "else a start is quicker than that by intent");
    world.begin(&(0..DOMAINS).collect::<Vec<_>>());
    let began = world.now;
    world.run(HOUR * 8, |key| (key < DOMAINS).then_some(DOMAINS + key % HOSTS));
    // What a look finds is looked at at once: in the first seconds the hosts, beside the domains.
    assert!(world.largest_since(began) <= 2.1, "at the start: {}", world.largest_since(began));
    let then = began + MINUTE;
    assert!(world.largest_since(then) <= MOST, "from a first start on: {}", world.largest_since(then));

    // A stop of half an hour: most of them are overdue, the others have their time.
    let last = std::mem::replace(&mut world.last, vec![None; (DOMAINS + HOSTS) as usize]);
    let due = (0..).zip(last).map(|(key, last)| (key, last.unwrap() + interval(key)));
    world.now += HOUR / 2;
    let restart = world.now;
    world.schedule = schedule();
    let (timely, mut late): (Vec<_>, Vec<_>) = due.partition(|(_, due)| *due > restart);
    late.sort_by_key(|(_, due)| *due);
    assert!(late.len() > 70_000 && timely.len() > 20_000);
    for (key, due) in timely {
        world.schedule.resume(key, due, every(interval(key)));
    }
    world.begin(&late.iter().map(|(key, _)| *key).collect::<Vec<_>>());
    world.run(HOUR * 2, |_| None);
    assert!(world.largest_since(restart) <= MOST, "after a restart: {}", world.largest_since(restart));

    // A reload with a tenth more.
    let reload = world.now;
    let new: Vec<u32> = (DOMAINS + HOSTS..).take(10_000).collect();
    world.intervals.extend(new.iter().map(|_| HOUR / 3));
    world.last.extend(new.iter().map(|_| None));
    world.begin(&new);
    world.run(HOUR * 2, |_| None);
    assert!(world.largest_since(reload) <= MOST, "after a reload: {}", world.largest_since(reload));
}

#[test]
fn an_interval_that_became_shorter_makes_no_burst() {
    let keys: Vec<u32> = (0..20_000).collect();
    let mut world = World::new(vec![HOUR * 6; keys.len()]);
    world.begin(&keys);
    world.run(HOUR * 7, |_| None);
    world.intervals.fill(MINUTE * 10);
    world.last.fill(None);
    let reload = world.now;
    for key in keys {
        let at = world.schedule.within(&key, MINUTE * 10, world.now, &mut world.draw);
        assert!(at.is_none_or(|at| at <= reload + MINUTE * 10));
    }
    assert!(world.schedule.within(&5, MINUTE * 10, world.now, &mut world.draw).is_none(), "once is enough");
    world.run(HOUR * 2, |_| None);
    assert!(world.largest_since(reload) <= 1.5, "{}", world.largest_since(reload));
}

fn address(number: u32) -> IpAddr {
    Ipv4Addr::from(0x0a00_0000 + number).into()
}

/// Looks that are under way, by when they end.
type UnderWay = BTreeMap<(Instant, u32), Doors>;

/// Those that end by now.
fn ended(under_way: &mut UnderWay, now: Instant) -> UnderWay {
    let later = under_way.split_off(&(now, u32::MAX));
    std::mem::replace(under_way, later)
}

#[test]
fn a_crowd_before_one_provider_keeps_no_neighbour_waiting() {
    const CROWD: u32 = 100_000;
    const NEIGHBOURS: u32 = 200;
    let mut schedule = schedule();
    let mut now = Instant::now();
    for number in 0..CROWD {
        let doors = Doors::of_host(&format!("mx{number}.provider.example"), address(number));
        schedule.set(number, now, Next { doors, ..every(HOUR) });
    }
    for number in CROWD..CROWD + NEIGHBOURS {
        let doors = Doors::of_host(&format!("mx.neighbour{number}.example"), address(number * 256));
        schedule.set(number, now, Next { doors, ..every(HOUR) });
    }
    let (mut crowd, mut neighbours, mut most, mut under_way) = (0, 0, 0, UnderWay::new());
    for _ in 0..200 {
        // The room for what is started is far smaller than the crowd.
        while under_way.len() < 64
            && let Some(turn) = schedule.pop(now)
        {
            under_way.insert((now + SECOND, turn.key), turn.doors);
            most = most.max(under_way.keys().filter(|(_, key)| *key < CROWD).count());
            if turn.key < CROWD {
                crowd += 1;
            } else {
                neighbours += 1;
                assert!(now.saturating_duration_since(turn.due) < SECOND * 5, "a neighbour waits");
            }
        }
        now += SECOND / 10;
        for (_, doors) in ended(&mut under_way, now) {
            schedule.end(doors, Answer::Served, now);
        }
    }
    assert_eq!(neighbours, NEIGHBOURS);
    assert_eq!(most, LIMITS.per_provider, "as many as are allowed, and no more");
    assert!(crowd >= 8 * 15, "the crowd goes in one after the other: {crowd}");
    assert_eq!(schedule.overdue(now), (CROWD - crowd) as usize);
}

/// Doors that overlap in all ways: nobody is forgotten before one, and no limit is passed.
#[test]
fn nobody_is_left_standing_at_a_door() {
    let mut schedule = schedule();
    let mut draw = draws(3);
    let mut now = Instant::now();
    let mut pick = |of: u32| (draw() * f64::from(of)) as u32;
    for number in 0..2000_u32 {
        let host = format!("mx{}.p{}.example", pick(40), pick(5));
        let doors = Doors::of_host(&host, address(pick(8) * 256 + pick(6)));
        schedule.set(number, now, Next { doors, ..every(HOUR) });
    }
    let mut under_way = UnderWay::new();
    let mut begun = 0;
    let mut gone = 0;
    loop {
        while let Some(turn) = schedule.pop(now) {
            begun += 1;
            under_way.insert((now + SECOND * (1 + pick(4)), turn.key), turn.doors);
        }
        let Some(((ends, _), doors)) = under_way.pop_first() else {
            // Slowed doors open by themselves.
            let Some(next) = schedule.next() else { break };
            assert!(next > now, "whoever could come in was let in");
            now = next;
            continue;
        };
        now = now.max(ends);
        // Some say that they are busy, and some of those who wait are taken off the list.
        let answer = [Answer::Served, Answer::NotNow, Answer::None][pick(3) as usize];
        schedule.end(doors, answer, now);
        let leaving = pick(2000);
        if under_way.keys().all(|(_, key)| *key != leaving) && schedule.keys().any(|key| *key == leaving) {
            let before = schedule.overdue(now);
            schedule.remove(&leaving);
            gone += before - schedule.overdue(now);
        }
    }
    assert_eq!(schedule.overdue(now), 0, "somebody waits, and nobody is inside");
    assert_eq!(begun + gone, 2000);
}

#[test]
fn who_says_4xx_is_asked_more_and_more_seldom_and_recovers() {
    let mut schedule = schedule();
    let mut now = Instant::now();
    let host = Doors::of_host("mx.busy.example", address(1));
    let other = Doors::of_host("mx2.busy.example", address(999));
    let elsewhere = Doors::of_host("mx.calm.example", address(5000));
    let known = |doors| Next { doors, ..every(HOUR) };
    // The gap before each look at the host, when it is due all the time.
    let mut gaps = |answers: &[Answer]| {
        let mut gaps = Vec::new();
        for answer in answers {
            schedule.set(0, now, known(host));
            let asked = now;
            let turn = loop {
                match schedule.pop(now) {
                    Some(turn) => break turn,
                    None => now = now.max(schedule.next().expect("its door opens again")),
                }
            };
            gaps.push((now - asked).as_secs());
            schedule.end(turn.doors, *answer, now);
        }
        gaps
    };
    let busy = gaps(&[Answer::NotNow; 10]);
    assert_eq!(busy[..6], [0, 15, 30, 60, 120, 240]);
    assert_eq!(busy[9], 30 * 60, "no longer than the usual interval");
    let served = gaps(&[Answer::Served; 9]);
    assert!(served[..3] == [30 * 60, 15 * 60, 450] && served[8] == 0, "{served:?}");

    // The neighbour at the same operator waits seconds where the host waits minutes; whoever is elsewhere does not wait.
    let turn = |schedule: &mut Schedule<u32>, key, doors, now| {
        schedule.set(key, now, known(doors));
        schedule.pop(now).map(|turn| turn.doors)
    };
    let entered = turn(&mut schedule, 1, other, now).unwrap();
    assert!(schedule.end(entered, Answer::NotNow, now), "it is counted");
    assert_eq!(schedule.patience(other, now), Some(15 * SECOND), "it is told");
    assert_eq!(schedule.patience(other, now + 15 * SECOND), None, "until it is asked again");
    assert_eq!(schedule.patience(elsewhere, now), None);
    assert_eq!(turn(&mut schedule, 0, host, now), None);
    assert!(turn(&mut schedule, 2, elsewhere, now).is_some());
    assert!(schedule.next().unwrap() - now <= SECOND, "the operator is asked again soon");
}

/// Twice the work that fits: each look takes a second, and there is room for half of those that are wanted.
#[test]
fn under_overload_all_intervals_are_longer_alike() {
    const ROOM: usize = 20;
    const TARGETS: u32 = 24_000;
    let mut schedule = schedule::<u32>();
    let mut draw = draws(11);
    let began = Instant::now();
    let mut now = began;
    let wished = |key: u32| if key.is_multiple_of(3) { MINUTE * 5 } else { MINUTE * 15 };
    // 27 looks a second are wanted from a third, 18 from the others; 20 fit.
    let mut ramp = schedule.ramp((0..TARGETS).map(wished), now);
    for key in 0..TARGETS {
        schedule.begin(key, every(wished(key)), &mut ramp, now);
    }
    let mut under_way = UnderWay::new();
    let mut last: HashMap<u32, Instant> = HashMap::new();
    let mut paces: HashMap<u32, Vec<f64>> = HashMap::new();
    let mut run = |schedule: &mut Schedule<u32>, until: Duration, takes: Duration, measure: bool| {
        let mut paces: HashMap<u32, Vec<f64>> = std::mem::take(&mut paces);
        while now < began + until {
            schedule.note_room(under_way.len() as f64 / ROOM as f64, now);
            while under_way.len() < ROOM
                && let Some(turn) = schedule.pop(now)
            {
                under_way.insert((now + takes, turn.key), turn.doors);
                if let Some(before) = last.insert(turn.key, now)
                    && measure
                {
                    let pace = (now - before).as_secs_f64() / wished(turn.key).as_secs_f64();
                    paces.entry(turn.key).or_default().push(pace);
                }
            }
            now += SECOND / 10;
            schedule.note_room(under_way.len() as f64 / ROOM as f64, now);
            for ((_, key), doors) in ended(&mut under_way, now) {
                schedule.end(doors, Answer::None, now);
                schedule.again(&key, every(wished(key)), now, &mut draw);
            }
        }
        paces
    };
    run(&mut schedule, HOUR * 3, SECOND, false);
    let stretch = schedule.stretch();
    assert!((1.9..3.2).contains(&stretch), "{stretch}");
    let paces = run(&mut schedule, HOUR * 6, SECOND, true);
    let all: Vec<f64> = paces.values().flatten().copied().collect();
    let common = all.iter().sum::<f64>() / all.len() as f64;
    assert_eq!(paces.len(), TARGETS as usize, "nobody is starved");
    let (least, most) = all.iter().fold((f64::MAX, 0.0_f64), |(least, most), one| (least.min(*one), most.max(*one)));
    assert!(least >= common * 0.8 && most <= common * 1.2, "{least} to {most} about {common}");

    // Looks are quick again: all have their interval again.
    run(&mut schedule, HOUR * 12, SECOND / 10, false);
    assert!(schedule.stretch() <= 1.0 + f64::EPSILON, "{}", schedule.stretch());
}

/// A process that was stopped for hours: all that fell due meanwhile begins over its interval, or fifty a second, and not at once.
#[test]
fn after_a_standstill_what_is_overdue_is_spread() {
    for (of, interval) in [(3000_u32, HOUR / 2), (300_000, HOUR / 2)] {
        let mut schedule = schedule();
        let start = Instant::now();
        let mut ramp = schedule.ramp((0..of).map(|_| interval), start);
        for key in 0..of {
            schedule.begin(key, every(interval), &mut ramp, start);
        }
        let over = start + HOUR * 5;
        schedule.ask(&7, over);
        let mut late = Vec::new();
        let spread = schedule.spread_overdue(over, |key, by, at| {
            assert!(at >= over && at <= over + interval + SECOND, "{key} waits for {:?}", at - over);
            late.push(by);
        });
        assert_eq!(spread, late.len());
        assert_eq!(spread, of as usize - 1, "all but the one that somebody waits for");
        assert!(late.iter().all(|by| *by >= HOUR * 4), "and it is told how late they are");
        assert_eq!(popped(&mut schedule, over).map(|(key, _)| key), Some(7), "who waits does not wait for it");

        let most = (f64::from(of) / interval.as_secs_f64()).max(50.0);
        let mut before = start;
        // The second look of some falls into the same interval, as after a start.
        let mut seen = std::collections::HashSet::new();
        for second in 1..=interval.as_secs() + 1 {
            let now = over + SECOND * u32::try_from(second).unwrap();
            let mut begun = 0_u32;
            while let Some(turn) = schedule.pop(now) {
                assert!(turn.due >= before, "what waited longest comes first");
                before = turn.due;
                schedule.end(turn.doors, Answer::Served, now);
                schedule.again(&turn.key, every(HOUR * 48), now, || 0.5);
                begun += 1;
                seen.insert(turn.key);
            }
            assert!(f64::from(begun) <= most * 1.5 + 2.0, "{begun} in second {second}");
        }
        assert_eq!(seen.len(), of as usize - 1);
        assert!((schedule.stretch() - 1.0).abs() < f64::EPSILON, "it is no overload");
    }
}
