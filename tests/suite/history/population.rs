//! The model of caches against senders that are written from RFC 8461, and know nothing of the model.
//!
//! A domain lives through changes of its policy. Senders of all habits mail at random, behind resolvers that keep the TXT record for
//! up to its TTL. A monitor looks at its interval. Whenever it says "certainly", no sender may be about to refuse.

use std::{sync::Arc, time::Duration};

use proptest::prelude::*;
use smtptls_exporter::{
    protocol::mta_sts::{Announced, Ledger, Mode, MxPattern, Policy, Sighting},
    terms::{MaxAge, MxHost, PolicyId, Timestamp},
};

/// Minutes.
type Minutes = u64;

const DAY: Minutes = 24 * 60;
const MX_OLD: &str = "mx1.example.com";
const MX_NEW: &str = "mx2.example.com";

/// What the domain publishes at one moment.
#[derive(Clone, Debug, PartialEq)]
struct Published {
    id: Option<u32>,
    policy: Option<Body>,
    /// The policy host does not answer.
    outage: bool,
}

/// A policy in short: mode, `max_age` in minutes, whether it lists the new host beside the old one.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Body {
    mode: Mode,
    max_age: Minutes,
    lists_new: bool,
}

impl Body {
    /// RFC 8461 §5: in mode enforce no mail goes to a host that matches no pattern.
    fn refuses_new(self) -> bool {
        self.mode == Mode::Enforce && !self.lists_new
    }

    fn policy(self) -> Policy {
        let mx = if self.lists_new { vec![MX_OLD, MX_NEW] } else { vec![MX_OLD] };
        Policy {
            mode: self.mode,
            max_age: MaxAge(self.max_age * 60),
            mx: mx.into_iter().map(|pattern| MxPattern::parse(pattern).unwrap()).collect(),
        }
    }
}

/// One domain over time: what is published from each minute on.
#[derive(Clone, Debug)]
struct Life {
    ttl: Minutes,
    interval: Minutes,
    states: Vec<(Minutes, Published)>,
    end: Minutes,
}

impl Life {
    fn at(&self, now: Minutes) -> &Published {
        &self.states.iter().rev().find(|(from, _)| *from <= now).unwrap().1
    }
}

/// A sending MTA with a cache.
#[derive(Clone, Debug)]
struct Sender {
    /// It mails every so many minutes, beginning at the offset.
    mails: (Minutes, Minutes),
    /// It looks at the TXT record once a day although its policy is good (RFC 8461 §3.3, SHOULD), beginning at the offset.
    refreshes: Option<Minutes>,
    /// It looks at the TXT record before each mail, not only where it has to.
    eager: bool,
    /// An unchanged id starts its clock anew.
    renews: bool,
    /// What its resolver holds: the answer and until when.
    resolver: Option<(Option<u32>, Minutes)>,
    /// Policy, id, end.
    cache: Option<(Body, u32, Minutes)>,
}

impl Sender {
    /// The resolver answers from its cache as long as the TTL lasts. Negative answers are not kept: that only hastens.
    fn txt(&mut self, life: &Life, now: Minutes) -> Option<u32> {
        if let Some((answer, until)) = self.resolver
            && now < until
        {
            return answer;
        }
        let answer = life.at(now).id;
        self.resolver = answer.map(|id| (Some(id), now + life.ttl));
        answer
    }

    /// RFC 8461 §3.3, §5.1: a new id, or no policy, is a reason to fetch; what fails leaves the cached policy.
    fn look(&mut self, life: &Life, now: Minutes) {
        let Some(id) = self.txt(life, now) else { return };
        match &mut self.cache {
            Some((body, known, end)) if *known == id && now < *end => {
                if self.renews {
                    *end = now + body.max_age;
                } else if let Some(body) = fetched(life, now) {
                    self.cache = Some((body, id, now + body.max_age));
                }
            }
            _ => {
                if let Some(body) = fetched(life, now) {
                    self.cache = Some((body, id, now + body.max_age));
                }
            }
        }
    }

    fn live(&mut self, life: &Life, now: Minutes) {
        let refresh = self.refreshes.is_some_and(|offset| now % DAY == offset);
        let mails = now % self.mails.0 == self.mails.1 % self.mails.0;
        let holds = self.held(now).is_some();
        if (refresh && holds) || (mails && (self.eager || !holds)) {
            self.look(life, now);
        }
    }

    /// The policy that an attempt to deliver now applies, before any further look.
    fn held(&self, now: Minutes) -> Option<Body> {
        self.cache.filter(|(_, _, end)| now < *end).map(|(body, ..)| body)
    }
}

fn fetched(life: &Life, now: Minutes) -> Option<Body> {
    let published = life.at(now);
    published.policy.filter(|_| !published.outage)
}

fn time(minutes: Minutes) -> Timestamp {
    Timestamp::from_unix_seconds(1_800_000_000) + Duration::from_secs(minutes * 60)
}

fn sighting(life: &Life, now: Minutes) -> Sighting {
    let published = life.at(now);
    let seconds = u32::try_from(life.ttl * 60).unwrap();
    Sighting {
        at: time(now),
        announced: published.id.map_or(Announced::Nothing, |id| Announced::Id {
            id: PolicyId::parse(&id.to_string()).unwrap(),
            ttl: seconds,
        }),
        served: fetched(life, now).map(|body| Arc::new(body.policy())).into_iter().collect(),
        everywhere: fetched(life, now).is_some(),
        gone: published.policy.is_none() && !published.outage,
        hidden: published.outage,
        http_cache: Duration::ZERO,
    }
}

/// What an operator does, in or out of order. What stands for less than an interval cannot be seen, so nothing does, except the
/// orderly moment between body and id.
#[derive(Clone, Debug)]
enum Deed {
    /// A new body, and its id so many minutes later.
    Orderly(Body, Minutes),
    /// The id first, and the body so many intervals later.
    IdFirst(Body, Minutes),
    /// A new body under the old id.
    SameId(Body),
    /// A new body under the id of the one before the last.
    OldId(Body),
    DeleteRecord,
    DeletePolicy,
    Outage(bool),
}

fn body() -> impl Strategy<Value = Body> {
    let mode = prop_oneof![4 => Just(Mode::Enforce), 1 => Just(Mode::Testing), 2 => Just(Mode::None)];
    (mode, prop_oneof![Just(DAY / 2), Just(2 * DAY), Just(5 * DAY)], any::<bool>())
        .prop_map(|(mode, max_age, lists_new)| Body { mode, max_age, lists_new })
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        4 => (body(), 0..180_u64).prop_map(|(body, later)| Deed::Orderly(body, later)),
        1 => (body(), 1..4_u64).prop_map(|(body, later)| Deed::IdFirst(body, later)),
        2 => body().prop_map(Deed::SameId),
        1 => body().prop_map(Deed::OldId),
        1 => Just(Deed::DeleteRecord),
        1 => Just(Deed::DeletePolicy),
        2 => any::<bool>().prop_map(Deed::Outage),
    ]
}

fn life() -> impl Strategy<Value = Life> {
    let pauses = prop_oneof![3 => 1..12_u64, 2 => 20..200_u64];
    let ttl = prop_oneof![Just(5), Just(60), Just(DAY)];
    (ttl, prop_oneof![Just(10), Just(60), Just(240)], proptest::collection::vec((pauses, deed()), 1..9)).prop_map(
        |(ttl, interval, deeds)| {
            let first = Body { mode: Mode::Enforce, max_age: 2 * DAY, lists_new: false };
            let mut now = Published { id: Some(1), policy: Some(first), outage: false };
            let mut states = vec![(0, now.clone())];
            let mut at = 0;
            let (mut next, mut last) = (2, 1);
            for (pause, deed) in deeds {
                // At least two looks between two deeds.
                at += (pause + 2) * interval.max(60);
                let before = now.id;
                let fresh = || Some(next);
                match deed {
                    Deed::Orderly(body, later) => {
                        now.policy = Some(body);
                        states.push((at, now.clone()));
                        at += later;
                        now.id = fresh();
                    }
                    Deed::IdFirst(body, later) => {
                        now.id = fresh();
                        states.push((at, now.clone()));
                        at += (later + 1) * interval;
                        now.policy = Some(body);
                    }
                    Deed::SameId(body) => now.policy = Some(body),
                    Deed::OldId(body) => {
                        now.policy = Some(body);
                        now.id = Some(last);
                    }
                    Deed::DeleteRecord => now.id = None,
                    Deed::DeletePolicy => now.policy = None,
                    Deed::Outage(outage) => now.outage = outage,
                }
                if now.id != before {
                    last = before.unwrap_or(last);
                }
                next += 1;
                states.push((at, now.clone()));
            }
            Life { ttl, interval, states, end: at + 9 * DAY }
        },
    )
}

fn sender() -> impl Strategy<Value = Sender> {
    (5..4000_u64, 0..4000_u64, proptest::option::of(0..DAY), any::<bool>(), any::<bool>()).prop_map(
        |(every, offset, refreshes, eager, renews)| Sender {
            mails: (every, offset),
            refreshes,
            eager,
            renews,
            resolver: None,
            cache: None,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Certainly safe: no sender holds a policy that would refuse a single attempt.
    #[test]
    fn certainly_is_certain(life in life(), mut senders in proptest::collection::vec(sender(), 24)) {
        let new = MxHost::parse(MX_NEW).unwrap();
        let mut ledger = Ledger::default();
        let interval = Duration::from_secs(life.interval * 60);
        for now in 0..life.end {
            // The look comes first or last in its minute: the senders live on both sides of it.
            if now % life.interval == 0 {
                ledger.observe(&sighting(&life, now), interval);
            }
            for sender in &mut senders {
                sender.live(&life, now);
            }
            // Only where the monitor has just looked does it speak of now.
            if now % life.interval != 0 {
                continue;
            }
            let safe_for_new = ledger.admitted_certainly(&new).is_none_or(|at| at <= time(now));
            let none_enforced = ledger.cache_expiry().is_none_or(|at| at <= time(now));
            for sender in &senders {
                let held = sender.held(now);
                prop_assert!(!(safe_for_new && held.is_some_and(Body::refuses_new)), "{now}: {sender:?}");
                let enforces = held.is_some_and(|held| held.mode == Mode::Enforce);
                prop_assert!(!(none_enforced && enforces), "{now}: {sender:?}");
            }
            // Every policy that a sender holds is one that the ledger calls alive.
            for held in senders.iter().filter_map(|sender| sender.held(now)) {
                let policy = held.policy();
                prop_assert!(ledger.alive(time(now)).any(|version| version.policy.same_meaning(&policy)), "{now}: {held:?}");
            }
        }
    }

    /// Not safe: some conforming sender could. The worst one renews by the id to the last moment at which a resolver may show it;
    /// the bound exceeds it by the looks on either side and the hour for clocks, and by no more.
    #[test]
    fn not_safe_means_that_some_sender_could(
        max_age in prop_oneof![Just(DAY / 2), Just(2 * DAY), Just(9 * DAY)],
        ttl in 1..DAY,
        interval in prop_oneof![Just(10_u64), Just(60), Just(240)],
        change in 100..1000_u64,
        id_later in 0..300_u64,
    ) {
        let old = Body { mode: Mode::Enforce, max_age, lists_new: false };
        let published = |id, policy| Published { id: Some(id), policy: Some(policy), outage: false };
        let newer = Body { lists_new: true, ..old };
        let life = Life {
            ttl,
            interval,
            states: vec![(0, published(1, old)), (change, published(1, newer)), (change + id_later, published(2, newer))],
            end: change + id_later + 2 * interval,
        };
        // It fetches before the change; its resolver asks in the last minute of the old id, and it mails to the last of that.
        let mut worst = Sender { mails: (1, 0), refreshes: None, eager: true, renews: true, resolver: None, cache: None };
        worst.look(&life, change - 1);
        worst.resolver = None;
        worst.look(&life, change + id_later - 1);
        let last = change + id_later - 1 + ttl - 1;
        (change + id_later..=last).for_each(|now| worst.look(&life, now));
        let end = worst.cache.unwrap().2;
        let mut ledger = Ledger::default();
        for now in (0..life.end).step_by(usize::try_from(interval).unwrap()) {
            ledger.observe(&sighting(&life, now), Duration::from_secs(interval * 60));
        }
        let bound = ledger.admitted_certainly(&MxHost::parse(MX_NEW).unwrap()).unwrap();
        prop_assert_eq!(worst.held(end - 1), Some(old));
        prop_assert!(bound >= time(end), "the worst sender is covered");
        prop_assert!(bound <= time(end + interval + 60 + 3), "{} is more than needed", bound);
    }

    /// What is younger than a look cannot end a promise wrongly: bounds of what was seen only rise while it is served.
    #[test]
    fn bounds_only_rise_while_a_policy_is_served(life in life()) {
        let mut ledger = Ledger::default();
        let mut before: Option<Timestamp> = None;
        for now in (0..life.end).step_by(usize::try_from(life.interval).unwrap()) {
            ledger.observe(&sighting(&life, now), Duration::from_secs(life.interval * 60));
            let expiry = ledger.cache_expiry();
            let enforced = fetched(&life, now).is_some_and(|body| body.mode == Mode::Enforce) && life.at(now).id.is_some();
            prop_assert!(!enforced || expiry >= before, "{now}");
            before = expiry;
        }
    }
}
