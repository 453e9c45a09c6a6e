//! What of the whole is this instance's. Pure.

use std::{collections::BTreeSet, sync::Arc};

use super::Seat;
use crate::{
    config::{DomainList, Settings},
    terms::PolicyDomain,
};

/// Who has which part of the domains, as this instance knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shards {
    /// This instance.
    pub seat: Seat,
    /// The slots whose domains it looks at: its own, those that it took over, or none while it stands by.
    pub held: BTreeSet<u32>,
    /// All instances that are there, this one among them; nothing where they share no database and know nothing of each other.
    pub instances: Vec<Peer>,
}

/// An instance, as the shared database knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its host, process and a number.
    pub name: String,
    /// The slot that is its own.
    pub index: u32,
    /// Where its pages are, where it says so.
    pub address: Option<String>,
    /// Whether it was heard of within the time of a lease.
    pub alive: bool,
    /// How many slots it holds.
    pub slots: u32,
}

impl Shards {
    /// An instance that has its own slot, whatever others do.
    pub fn alone(seat: Seat) -> Self {
        Self { seat, held: [seat.index].into(), instances: Vec::new() }
    }

    /// Whether this instance looks at a domain, where that is configured.
    pub fn takes(&self, domain: &PolicyDomain) -> bool {
        self.held.contains(&self.seat.slot_of(domain))
    }

    /// Why nothing is known here of a domain that another instance looks at; nothing where it would be this one.
    pub fn elsewhere(&self, domain: &PolicyDomain) -> Option<String> {
        if self.takes(domain) {
            return None;
        }
        let (slot, Seat { total, .. }) = (self.seat.slot_of(domain), self.seat);
        let mut said = format!(
            "{domain} belongs to shard {slot} of {total} (counted from 0), and this instance has {}",
            self.held_in_words()
        );
        let mut homes = self.instances.iter().filter(|one| one.index == slot && one.alive && one.slots > 0);
        if let Some(address) = homes.find_map(|one| one.address.as_deref()) {
            said += &format!("; that of shard {slot} is at {address}");
        }
        Some(said)
    }

    /// The shards that this instance has, for people.
    pub fn held_in_words(&self) -> String {
        let numbers: Vec<String> = self.held.iter().map(u32::to_string).collect();
        match numbers.as_slice() {
            [] => "none: it stands by".to_owned(),
            [one] => format!("shard {one}"),
            [first @ .., last] => format!("the shards {} and {last}", first.join(", ")),
        }
    }

    /// The settings of this instance: those of the whole with its own domains alone. Where a database is shared, reports about the
    /// domains of others are filed for them, and one instance alone fetches mail: that which has slot 0.
    pub(in crate::monitor) fn part(&self, whole: &Arc<Settings>) -> Arc<Settings> {
        let shared = whole.shared_state().is_some();
        if !shared && self.has_all() {
            return Arc::clone(whole);
        }
        let mut part = Settings { domains: self.domains(whole), ..Settings::clone(whole) };
        if shared {
            part.inventory = Some(whole.domains.clone());
            part.reports.imap = part.reports.imap.filter(|_| self.held.contains(&0));
        }
        Arc::new(part)
    }

    /// The domains of this instance.
    pub(in crate::monitor) fn domains(&self, whole: &Settings) -> DomainList {
        if self.has_all() {
            return whole.domains.clone();
        }
        whole.domains.iter().filter(|one| self.takes(&one.domain)).cloned().collect()
    }

    fn has_all(&self) -> bool {
        (0..self.seat.total).all(|slot| self.held.contains(&slot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> Arc<Settings> {
        let names = (0..300).map(|number| PolicyDomain::parse(&format!("d{number}.example")).unwrap()).collect();
        Arc::new(Settings::for_domains(names))
    }

    fn names(settings: &Settings) -> BTreeSet<PolicyDomain> {
        settings.domains.iter().map(|one| one.domain.clone()).collect()
    }

    #[test]
    fn every_domain_is_with_one_instance_and_with_no_other() {
        let whole = whole();
        let parts = (0..3).map(|index| Shards::alone(Seat { index, total: 3 }).part(&whole));
        let parts: Vec<_> = parts.map(|part| names(&part)).collect();
        assert!(parts.iter().all(|part| part.len() > 70), "a third each, about");
        assert_eq!(parts.iter().map(BTreeSet::len).sum::<usize>(), 300);
        assert_eq!(parts.into_iter().flatten().collect::<BTreeSet<_>>(), names(&whole));
    }

    #[test]
    fn whoever_has_all_slots_has_all_domains_and_who_has_none_has_none() {
        let whole = whole();
        let seat = Seat { index: 1, total: 2 };
        let shards = |held: &[u32]| Shards { held: held.iter().copied().collect(), ..Shards::alone(seat) };
        assert!(Arc::ptr_eq(&shards(&[0, 1]).part(&whole), &whole));
        assert_eq!(names(&shards(&[]).part(&whole)).len(), 0);
        let only = Shards::alone(Seat { index: 0, total: 1 });
        assert!(Arc::ptr_eq(&only.part(&whole), &whole));
    }

    #[test]
    fn a_domain_of_another_shard_is_told_apart_from_one_that_is_not_configured() {
        let domain = PolicyDomain::parse("example.com").unwrap();
        let [own, other] = [0, 1].map(|index| Shards::alone(Seat { index, total: 2 }));
        let (own, other) = if own.takes(&domain) { (own, other) } else { (other, own) };
        assert_eq!(own.elsewhere(&domain), None);
        let (here, there) = (other.seat.index, own.seat.index);
        let said =
            format!("example.com belongs to shard {there} of 2 (counted from 0), and this instance has shard {here}");
        assert_eq!(other.elsewhere(&domain), Some(said));
        let at = Peer {
            name: "there".to_owned(),
            index: there,
            address: Some("http://there.example/".to_owned()),
            alive: true,
            slots: 1,
        };
        let told = Shards { instances: vec![at], ..other.clone() }.elsewhere(&domain).unwrap();
        assert!(told.ends_with(&format!("; that of shard {there} is at http://there.example/")), "{told}");
        let idle = Shards { held: BTreeSet::new(), ..own };
        assert!(idle.elsewhere(&domain).unwrap().ends_with("this instance has none: it stands by"));
    }
}
