//! Who is connected, and who has to go where places run short: first whoever never sent a request, then whoever sends none now, then
//! whoever does not read its answer; of each kind one of the peer that has most of them. But those who never asked have a part of the
//! places, down to which the others go before them: whoever comes new would else be pushed out by the next one, before its request is
//! here. A request under way is never ended for a new connection.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio_util::sync::CancellationToken;

use crate::monitor::{ConnectionGuard, DropReason, Telemetry};

/// One of so many places is for those that never sent a request. Where ten thousand clients come and go, five thousand connections begin
/// in a second: 256 of 1,024 places are 50 ms for whoever comes alone, and whoever sends a request takes a millisecond.
const OF_PLACES_FOR_NEW: usize = 4;

/// What a connection waits for, which makes it give way; the first is the first to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Waiting {
    /// For its first request.
    First,
    /// For a further one.
    Next,
    /// For its peer, which does not read the answer.
    Reader,
}

/// The connections of one server.
#[derive(Debug)]
pub(super) struct Connections {
    held: Mutex<Held>,
    most: usize,
    most_of_one: usize,
    telemetry: Telemetry,
}

/// The place of a connection, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    connections: Arc<Connections>,
    number: u64,
    displaced: CancellationToken,
    answering: AtomicBool,
    requests: AtomicU64,
    _counted: ConnectionGuard,
}

/// A request is under way; over when it is dropped.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<Place>);

/// In the order in which they have to give way: by kind, and the one that has waited longest first.
type Rank = (Waiting, u64);

#[derive(Debug, Default)]
struct Held {
    /// The next number, of a connection or of a rank.
    next: u64,
    open: HashMap<u64, Open>,
    /// Those that may be displaced.
    waiting: BTreeMap<Rank, u64>,
    /// How many of them wait for their first request.
    silent: usize,
    peers: HashMap<IpAddr, Peer>,
    /// The peers by how many of their connections wait for the same: a crowd must not push out whoever comes alone.
    crowds: BTreeSet<(Waiting, usize, IpAddr)>,
}

#[derive(Debug)]
struct Open {
    peer: IpAddr,
    rank: Option<Rank>,
    displaced: CancellationToken,
}

#[derive(Debug, Default)]
struct Peer {
    open: usize,
    /// By kind, the one that has waited longest first; no kind without one.
    waiting: BTreeMap<Waiting, BTreeSet<u64>>,
}

impl Connections {
    /// At most `most` at one time, and `most_of_one` from one address.
    pub(super) fn new(most: usize, most_of_one: usize, telemetry: Telemetry) -> Arc<Self> {
        Arc::new(Self { held: Mutex::default(), most, most_of_one, telemetry })
    }

    /// A place for a new connection, if need be that of another one which waits; nothing where all places have a request under way.
    pub(super) fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<Arc<Place>> {
        let peer = counted_as(peer);
        let mut held = self.held();
        let of_peer = held.peers.get(&peer);
        let short = match of_peer.map_or(0, |peer| peer.open) >= self.most_of_one {
            // Its own one goes: nobody else pays for a peer that has many.
            true => Some((of_peer.and_then(|peer| peer.next_to_go(self.most_of_one)), DropReason::PeerLimit)),
            false if held.open.len() >= self.most => Some((held.next_to_go(self.most), DropReason::Limit)),
            false => None,
        };
        match short {
            None => {}
            Some((Some(rank), _)) => self.displace(&mut held, rank),
            Some((None, reason)) => {
                self.telemetry.connection_dropped(reason);
                return None;
            }
        }
        let number = held.number();
        let rank = (Waiting::First, held.number());
        let displaced = CancellationToken::new();
        held.open.insert(number, Open { peer, rank: None, displaced: displaced.clone() });
        held.peers.entry(peer).or_default().open += 1;
        held.set_rank(number, Some(rank));
        drop(held);
        Some(Arc::new(Place {
            connections: Arc::clone(self),
            number,
            displaced,
            answering: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            _counted: self.telemetry.connection_opened(),
        }))
    }

    /// Ends the connection that has to give way first, where the system gives no descriptor for another one.
    pub(super) fn make_room(&self) {
        let mut held = self.held();
        if let Some(rank) = held.next_to_go(self.most) {
            self.displace(&mut held, rank);
        }
    }

    fn displace(&self, held: &mut Held, rank: Rank) {
        if let Some(number) = held.waiting.get(&rank).copied()
            && let Some(open) = held.remove(number)
        {
            open.displaced.cancel();
            self.telemetry.connection_dropped(DropReason::Displaced);
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Who has to give way first, of so many places.
    fn next_to_go(&self, places: usize) -> Option<Rank> {
        order(self.silent, places).into_iter().find_map(|kind| self.first_of(kind))
    }

    /// Of a kind, one of the peer that has most of them; the one that has waited longest, where each has one.
    fn first_of(&self, kind: Waiting) -> Option<Rank> {
        let least = (kind, 0, IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let most = (kind, usize::MAX, IpAddr::V6(Ipv6Addr::from_bits(u128::MAX)));
        match self.crowds.range(least..=most).next_back()? {
            (_, 2.., peer) => self.peers.get(peer)?.first_of(kind),
            _ => Some(*self.waiting.range((kind, 0)..=(kind, u64::MAX)).next()?.0),
        }
    }

    fn remove(&mut self, number: u64) -> Option<Open> {
        self.set_rank(number, None);
        let open = self.open.remove(&number)?;
        if let Some(peer) = self.peers.get_mut(&open.peer) {
            peer.open = peer.open.saturating_sub(1);
            if peer.open == 0 {
                self.peers.remove(&open.peer);
            }
        }
        Some(open)
    }

    fn set_rank(&mut self, number: u64, rank: Option<Rank>) {
        let Some(open) = self.open.get_mut(&number) else { return };
        let before = std::mem::replace(&mut open.rank, rank);
        if let Some(before) = before {
            self.waiting.remove(&before);
        }
        if let Some(rank) = rank {
            self.waiting.insert(rank, number);
        }
        let address = open.peer;
        if let Some((kind, number)) = before {
            self.silent -= usize::from(kind == Waiting::First);
            self.change(address, kind, |waiting| waiting.remove(&number));
        }
        if let Some((kind, number)) = rank {
            self.silent += usize::from(kind == Waiting::First);
            self.change(address, kind, |waiting| waiting.insert(number));
        }
    }

    /// Changes which connections of a peer wait for the same.
    fn change(&mut self, address: IpAddr, kind: Waiting, change: impl FnOnce(&mut BTreeSet<u64>) -> bool) {
        let Some(peer) = self.peers.get_mut(&address) else { return };
        let waiting = peer.waiting.entry(kind).or_default();
        self.crowds.remove(&(kind, waiting.len(), address));
        change(waiting);
        match waiting.len() {
            0 => drop(peer.waiting.remove(&kind)),
            many => drop(self.crowds.insert((kind, many, address))),
        }
    }
}

impl Peer {
    /// Which of its own has to give way first, where so many places are for it.
    fn next_to_go(&self, places: usize) -> Option<Rank> {
        let silent = self.waiting.get(&Waiting::First).map_or(0, BTreeSet::len);
        order(silent, places).into_iter().find_map(|kind| self.first_of(kind))
    }

    fn first_of(&self, kind: Waiting) -> Option<Rank> {
        Some((kind, *self.waiting.get(&kind)?.first()?))
    }
}

/// In which order the kinds give way, where so many of those that have places never sent a request.
fn order(silent: usize, places: usize) -> [Waiting; 3] {
    match silent > places / OF_PLACES_FOR_NEW {
        true => [Waiting::First, Waiting::Next, Waiting::Reader],
        false => [Waiting::Next, Waiting::First, Waiting::Reader],
    }
}

impl Place {
    /// Ends when another connection took the place.
    pub(super) async fn displaced(&self) {
        self.displaced.cancelled().await;
    }

    /// From now on it waits, and may be displaced.
    pub(super) fn waits(&self, what: Waiting) {
        let mut held = self.connections.held();
        let rank = (what, held.number());
        held.set_rank(self.number, Some(rank));
    }

    /// It does not wait any more.
    pub(super) fn goes_on(&self) {
        self.connections.held().set_rank(self.number, None);
    }

    /// A request came.
    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        self.goes_on();
        self.answering.store(true, Ordering::Release);
        self.requests.fetch_add(1, Ordering::AcqRel);
        UnderWay(Arc::clone(self))
    }

    /// Whether a request is under way: it came, and its answer was not made to its end.
    pub(super) fn is_answering(&self) -> bool {
        self.answering.load(Ordering::Acquire)
    }

    /// How many requests came so far.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Acquire)
    }

    /// The peer was too slow, and the connection ends for it.
    pub(super) fn was_slow(&self) {
        self.connections.telemetry.connection_dropped(DropReason::Slow);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.held().remove(self.number);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.answering.store(false, Ordering::Release);
    }
}

/// Whom a connection counts for: an IPv4 address, or the /64 of an IPv6 address, all of which one host may have.
pub(super) fn counted_as(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(ip6) => {
            let [a, b, c, d, ..] = ip6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        ip4 @ IpAddr::V4(_) => ip4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(most: usize, most_of_one: usize) -> Arc<Connections> {
        Connections::new(most, most_of_one, Telemetry::new().unwrap())
    }

    fn peer(number: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, number])
    }

    fn is_displaced(place: &Place) -> bool {
        place.displaced.is_cancelled()
    }

    #[test]
    fn whoever_never_asked_goes_first_then_whoever_asks_nothing_then_whoever_does_not_read() {
        let connections = of(4, 4);
        let [reader, idle, new, newest] = [1, 2, 3, 4].map(|number| connections.admit(peer(number)).unwrap());
        drop(idle.begin());
        idle.waits(Waiting::Next);
        let _answer = reader.begin();
        reader.waits(Waiting::Reader);
        // One of four places is for those that never asked: the last of them stays until nobody is idle.
        let busy: Vec<_> = [&new, &idle, &newest, &reader]
            .into_iter()
            .map(|goes| {
                assert!(!is_displaced(goes));
                let place = connections.admit(peer(9)).unwrap();
                assert!(is_displaced(goes));
                (place.begin(), place)
            })
            .collect();
        assert!(connections.admit(peer(5)).is_none(), "requests under way are not ended");
        drop(busy);
        assert!(connections.admit(peer(5)).is_some());
    }

    #[test]
    fn a_peer_that_has_many_pays_for_its_own() {
        let connections = of(100, 2);
        let other = connections.admit(peer(2)).unwrap();
        let [first, second, third] = [1, 1, 1].map(|number| connections.admit(peer(number)).unwrap());
        assert!(is_displaced(&first) && !is_displaced(&second) && !is_displaced(&other));
        let _requests = [second.begin(), third.begin()];
        assert!(connections.admit(peer(1)).is_none());
        assert!(connections.admit(peer(3)).is_some());
    }

    #[test]
    fn a_crowd_does_not_push_out_whoever_comes_alone() {
        let connections = of(6, 6);
        let alone = connections.admit(peer(1)).unwrap();
        let idle = connections.admit(peer(4)).unwrap();
        drop(idle.begin());
        idle.waits(Waiting::Next);
        let mut crowd = Vec::new();
        for number in [2, 2, 3, 3].into_iter().cycle().take(100) {
            crowd.push(connections.admit(peer(number)).unwrap());
            assert!(!is_displaced(&alone) && !is_displaced(&idle));
        }
        assert_eq!(crowd.iter().filter(|place| !is_displaced(place)).count(), 4);
        // Many who each come alone: the one that has said nothing for longest.
        let many: Vec<_> = (10..20).map(|number| connections.admit(peer(number)).unwrap()).collect();
        assert!(is_displaced(&alone) && !is_displaced(&many[9]) && !is_displaced(&idle));
    }

    /// A connection of a peer that asked once and is idle since.
    fn idle_of(connections: &Arc<Connections>, number: u8) -> Arc<Place> {
        let place = connections.admit(peer(number)).unwrap();
        drop(place.begin());
        place.waits(Waiting::Next);
        place
    }

    #[test]
    fn whoever_comes_new_is_not_pushed_out_by_the_next_where_others_are_idle() {
        let connections = of(100, 100);
        let idle: Vec<_> = (0..100).map(|number| idle_of(&connections, number)).collect();
        let new = connections.admit(peer(200)).unwrap();
        // As many as have a part of the places come after it, each alone.
        let come: Vec<_> = (201..226).map(|number| connections.admit(peer(number)).unwrap()).collect();
        assert!(!is_displaced(&new), "it had time to ask");
        assert!(idle[..26].iter().all(|place| is_displaced(place)), "those that were idle for longest");
        assert!(idle[26..].iter().all(|place| !is_displaced(place)), "and no more of them");
        let next = connections.admit(peer(226)).unwrap();
        assert!(is_displaced(&new) && !is_displaced(&come[0]) && !is_displaced(&next) && !is_displaced(&idle[26]));
        // Nor within what one peer may have: behind a proxy everybody has one address.
        let connections = of(100, 8);
        let of_one: Vec<_> = (0..8).map(|_| connections.admit(peer(1)).unwrap()).collect();
        for place in &of_one {
            drop(place.begin());
            place.waits(Waiting::Next);
        }
        let new: Vec<_> = (0..3).map(|_| connections.admit(peer(1)).unwrap()).collect();
        assert!(of_one[..3].iter().all(|place| is_displaced(place)) && !is_displaced(&of_one[3]));
        let fourth = connections.admit(peer(1)).unwrap();
        assert!(is_displaced(&new[0]) && !is_displaced(&new[1]) && !is_displaced(&fourth) && !is_displaced(&of_one[3]));
    }

    #[test]
    fn of_those_that_are_idle_one_of_the_peer_that_has_most_goes() {
        let connections = of(4, 4);
        let idle = [1, 2, 2, 3].map(|number| idle_of(&connections, number));
        let _request = connections.admit(peer(4)).unwrap().begin();
        assert!(is_displaced(&idle[1]) && [0, 2, 3].into_iter().all(|place| !is_displaced(&idle[place])));
        let _other = connections.admit(peer(5)).unwrap();
        assert!(is_displaced(&idle[0]) && [2, 3].into_iter().all(|place| !is_displaced(&idle[place])));
    }

    #[test]
    fn places_come_back_once() {
        let connections = of(2, 2);
        let first = connections.admit(peer(1)).unwrap();
        let second = connections.admit(peer(1)).unwrap();
        let third = connections.admit(peer(1)).unwrap();
        assert!(is_displaced(&first));
        // It was displaced: nothing of it is left to be given back, and what it does later means nothing.
        first.waits(Waiting::Next);
        drop(first);
        let counted = |held: MutexGuard<'_, Held>| (held.open.len(), held.waiting.len());
        assert_eq!(counted(connections.held()), (2, 2));
        drop((second, third));
        let held = connections.held();
        assert!(held.open.is_empty() && held.waiting.is_empty(), "{held:?}");
        assert!(held.peers.is_empty() && held.crowds.is_empty() && held.silent == 0, "{held:?}");
    }

    #[test]
    fn without_a_descriptor_one_goes() {
        let connections = of(10, 10);
        connections.make_room();
        let [busy, new] = [1, 2].map(|number| connections.admit(peer(number)).unwrap());
        let _request = busy.begin();
        connections.make_room();
        connections.make_room();
        assert!(is_displaced(&new) && !is_displaced(&busy));
    }

    #[test]
    fn an_ip6_network_of_one_host_is_one_peer() {
        let counted = |text: &str| counted_as(text.parse().unwrap()).to_string();
        assert_eq!(counted("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(counted("::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(counted("192.0.2.1"), "192.0.2.1");
    }
}
