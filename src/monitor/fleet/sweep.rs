//! Going through the whole fleet, some domains at a time, for what concerns many of them: new settings, another sight of this side,
//! news of a mail host.

use std::{
    collections::{BTreeSet, VecDeque},
    mem::take,
};

use crate::{
    monitor::{KnownDomain, Roll},
    protocol::mta_sts::Mode,
    terms::{MxHost, PolicyDomain},
};

/// Which domains are to be judged anew.
#[derive(Debug, Default)]
struct Concerned {
    all: bool,
    /// Those that use one of these, …
    hosts: BTreeSet<MxHost>,
    /// … and those with a policy in testing that use one of these.
    hosts_of_testers: BTreeSet<MxHost>,
}

/// One way through the fleet at a time. What comes meanwhile has its own after it.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    round: Option<Round>,
    later: Concerned,
}

#[derive(Debug)]
struct Round {
    concerned: Concerned,
    /// The place from which shelves are still to be looked at; nothing where none is left.
    next: Option<u64>,
    /// Of the shelf that was looked at last.
    domains: VecDeque<PolicyDomain>,
}

impl Concerned {
    fn is_empty(&self) -> bool {
        !self.all && self.hosts.is_empty() && self.hosts_of_testers.is_empty()
    }

    fn concerns(&self, known: &KnownDomain) -> bool {
        let used = known.probed.as_deref().or_else(|| known.summary.as_ref().map(|summary| &*summary.hosts));
        let testing = known.summary.as_ref().is_some_and(|summary| summary.mode == Some(Mode::Testing));
        let concerns = |host| self.hosts.contains(host) || testing && self.hosts_of_testers.contains(host);
        // One without a summary was not looked at, or waits to be judged as it is.
        self.all || used.is_some_and(|hosts| hosts.iter().any(concerns))
    }
}

impl Sweep {
    /// Every domain is to be judged anew.
    pub(super) fn all(&mut self) {
        self.later.all = true;
    }

    /// The domains that use this host are to be judged anew.
    pub(super) fn users_of(&mut self, host: &MxHost) {
        self.later.hosts.insert(host.clone());
    }

    /// Of the domains that use this host those in testing are to be judged anew.
    pub(super) fn testers_of(&mut self, host: &MxHost) {
        self.later.hosts_of_testers.insert(host.clone());
    }

    /// Whether domains are left.
    pub(super) fn is_under_way(&self) -> bool {
        self.round.is_some() || !self.later.is_empty()
    }

    /// The next domain that is to be judged; looks at no more than `shelves` for it, and takes them from the number.
    pub(super) fn next(&mut self, domains: &Roll<KnownDomain>, shelves: &mut usize) -> Option<PolicyDomain> {
        loop {
            if self.round.is_none() && !self.later.is_empty() {
                self.round = Some(Round { concerned: take(&mut self.later), next: Some(0), domains: VecDeque::new() });
            }
            let round = self.round.as_mut()?;
            if let Some(domain) = round.domains.pop_front() {
                return Some(domain);
            }
            let Some(shelf) = round.next.and_then(|place| domains.shelf_at(place)) else {
                self.round = None;
                continue;
            };
            *shelves = shelves.checked_sub(1)?;
            round.next = shelf.range().end().checked_add(1);
            let concerned = shelf.entries().iter().filter(|known| round.concerned.concerns(known));
            round.domains = concerned.map(|known| known.domain().clone()).collect();
        }
    }
}
