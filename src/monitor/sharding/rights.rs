//! With what right an instance writes into a store that it shares.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Seat, tenure::Pace};
use crate::{
    store::{Batch, Fence, Holder, Instance, Lease},
    terms::PolicyDomain,
    verdict::ChangeSubject,
};

/// The leases that an instance holds now, as the one who writes has to know them.
#[derive(Clone, Debug)]
pub struct Rights {
    seat: Seat,
    holder: Holder,
    leases: BTreeMap<u32, Lease>,
    pace: Pace,
}

impl Rights {
    pub(super) const fn new(seat: Seat, holder: Holder, leases: BTreeMap<u32, Lease>, pace: Pace) -> Self {
        Self { seat, holder, leases, pace }
    }

    /// Who holds them, and what he holds.
    pub(super) fn instance(&self, address: Option<String>) -> (Instance, Vec<Lease>) {
        let Seat { index, total } = self.seat;
        let instance = Instance { holder: self.holder.clone(), home: index, total, address };
        (instance, self.leases.values().copied().collect())
    }

    /// How long the leases hold.
    pub(super) const fn pace(&self) -> Pace {
        self.pace
    }

    /// Leaves in a batch only what this instance may write, and says by which leases. What it knows of a domain that left is no better
    /// than what the new holder knows. Without any lease it writes nothing: nor does it know then what is stored of mail hosts.
    pub(in crate::monitor) fn admit(&self, batch: &mut Batch) {
        if self.leases.is_empty() {
            *batch = Batch::default();
            return;
        }
        let mut used = BTreeSet::new();
        let mut may_write = |domain: &PolicyDomain| {
            let lease = self.leases.get(&self.seat.slot_of(domain));
            used.extend(lease);
            lease.is_some()
        };
        batch.domains.retain(|row| may_write(&row.domain));
        batch.changes.retain(|change| match &change.subject {
            ChangeSubject::Domain(domain) => may_write(domain),
            // A host belongs to no slot.
            ChangeSubject::Host(_) | ChangeSubject::Address(..) => true,
        });
        let leases = used.into_iter().copied().collect();
        batch.fence = Some(Arc::new(Fence { holder: self.holder.clone(), leases }));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        terms::{MxHost, Timestamp},
        verdict::{Change, ChangeKind},
    };

    const SEAT: Seat = Seat { index: 0, total: 2 };

    fn change(subject: ChangeSubject) -> Change {
        Change { at: Timestamp::default(), subject, kind: ChangeKind::ALL[0], before: None, after: None }
    }

    /// A change of each of these domains, and one of a host, as they may be written with leases on these slots.
    fn admitted(names: &[&str], slots: &[u32]) -> (Vec<String>, Option<Vec<u32>>) {
        let domain = |name: &&str| change(ChangeSubject::Domain(PolicyDomain::parse(name).unwrap()));
        let host = change(ChangeSubject::Host(MxHost::parse("mx.example").unwrap()));
        let mut batch = Batch { changes: names.iter().map(domain).chain([host]).collect(), ..Batch::default() };
        let leases = slots.iter().map(|slot| (*slot, Lease { slot: *slot, epoch: 7 })).collect();
        Rights::new(SEAT, Holder::new("here", 1, 1), leases, Pace { lease: Duration::from_secs(30) }).admit(&mut batch);
        let named = batch.changes.iter().map(|change| match &change.subject {
            ChangeSubject::Domain(domain) => domain.to_string(),
            ChangeSubject::Host(host) | ChangeSubject::Address(host, _) => host.to_string(),
        });
        (named.collect(), batch.fence.map(|fence| fence.leases.iter().map(|lease| lease.slot).collect()))
    }

    #[test]
    fn what_is_written_says_by_which_leases_and_nothing_else_is_written() {
        let of = |slot| {
            let names = (0..100).map(|number| format!("d{number}.example"));
            names.into_iter().find(|name| SEAT.slot_of(&PolicyDomain::parse(name).unwrap()) == slot).unwrap()
        };
        let (zero, one) = (of(0), of(1));
        let names = [zero.as_str(), one.as_str()];
        let told = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(admitted(&names, &[0, 1]), (told(&[&zero, &one, "mx.example"]), Some(vec![0, 1])));
        assert_eq!(admitted(&names, &[1]), (told(&[&one, "mx.example"]), Some(vec![1])));
        assert_eq!(admitted(&[&zero], &[0, 1]), (told(&[&zero, "mx.example"]), Some(vec![0])), "only what it needs");
        assert_eq!(admitted(&names, &[]), (vec![], None), "without a lease it knows nothing of what is stored");
    }
}
