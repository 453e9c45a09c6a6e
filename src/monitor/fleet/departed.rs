//! Mail hosts that no domain uses any more. One that comes back, as after a change that was taken back, goes on with what was known of it:
//! what was seen over months must not be lost for an hour.

use std::{collections::BTreeMap, time::Duration};

use super::{Host, Target, Wanted};
use crate::terms::{MxHost, Timestamp};

/// So many are remembered, those that left last: some 15 MB. A name that changes with each answer must not fill the memory.
const MOST: usize = 1024;

/// So long what was seen of one stands for what would be seen now, as after a change that was taken back: no longer than between two looks.
/// Later its past alone is taken, and it is looked at before it is judged: its certificate may be another one by then.
const STANDS_FOR: Duration = Duration::from_secs(3600);

/// Those that left last.
#[derive(Debug, Default)]
pub(super) struct Departed {
    hosts: BTreeMap<MxHost, Gone>,
    /// By the order in which they left.
    order: BTreeMap<u64, MxHost>,
    next: u64,
}

#[derive(Debug)]
struct Gone {
    number: u64,
    left_at: Timestamp,
    host: Host,
}

impl Departed {
    /// The host leaves, and nothing of it is probed any more.
    pub(super) fn leave(&mut self, name: MxHost, host: Host, left_at: Timestamp) {
        if host.observation.is_none() {
            return;
        }
        if let Some(before) = self.hosts.remove(&name) {
            self.order.remove(&before.number);
        }
        if self.hosts.len() >= MOST
            && let Some((_, first)) = self.order.pop_first()
        {
            self.hosts.remove(&first);
        }
        self.order.insert(self.next, name.clone());
        self.hosts.insert(name, Gone { number: self.next, left_at, host });
        self.next += 1;
    }

    pub(super) fn hosts(&mut self) -> impl Iterator<Item = &mut Host> {
        self.hosts.values_mut().map(|gone| &mut gone.host)
    }

    /// The host comes: with what is remembered, or as a new one. It and its addresses, as far as they are known, are to be probed.
    pub(super) fn come(&mut self, name: &MxHost, now: Timestamp, wanted: &mut Wanted) -> Host {
        wanted.now.push(Target::Host(name.clone()));
        let Some(Gone { number, left_at, host }) = self.hosts.remove(name) else { return Host::new() };
        self.order.remove(&number);
        // By a clock that was set back nobody knows how long it was gone.
        if left_at > now || now.since(left_at) > STANDS_FOR {
            return Host { history: host.history, ..Host::new() };
        }
        let listed = host.addresses.iter().filter(|(_, address)| address.unlisted_since.is_none());
        wanted.now.extend(listed.map(|(address, _)| Target::Address(name.clone(), *address)));
        Host { users: 0, sight: None, ..host }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{AddressLookup, HostObservation};

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

    #[test]
    fn those_that_left_last_are_remembered() {
        let mut departed = Departed::default();
        let name = |number: usize| MxHost::parse(&format!("mx{number}.example")).unwrap();
        let looked_up = |host| HostObservation {
            host,
            addresses: AddressLookup { ip4: None, ip6: None },
            at: Timestamp::default(),
            tlsa: None,
            resolver_healthy: true,
            dnssec_healthy: true,
        };
        for number in 0..=MOST {
            let observation = Some(looked_up(name(number)).into());
            departed.leave(name(number), Host { observation, skipped: 7, ..Host::new() }, NOW);
        }
        departed.leave(name(MOST + 1), Host::new(), NOW);
        let mut wanted = Wanted::default();
        let mut comes = |number: usize| departed.come(&name(number), NOW, &mut wanted).skipped;
        assert_eq!([0, 1, MOST, MOST + 1].map(&mut comes), [0, 7, 7, 0]);
        assert_eq!(comes(1), 0, "it came already");
        assert_eq!((departed.hosts.len(), departed.order.len()), (MOST - 2, MOST - 2));
        assert_eq!(wanted.now.len(), 5);
    }
}
