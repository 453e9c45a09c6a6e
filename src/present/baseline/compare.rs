//! What became of a domain since it was saved.

use std::collections::BTreeMap;

use super::{SavedDomain, SavedFinding, about_the_domain};
use crate::{
    terms::PolicyDomain,
    verdict::{Assessment, Severity, State},
};

/// What became of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// Whose.
    pub domain: PolicyDomain,
    /// It was saved as it could be seen. Else all that is found is new.
    pub known: bool,
    /// It was saved, and could not be checked then: what is new now may have been there, and makes nothing worse.
    pub unseen_before: bool,
    /// It could be checked now. Else nothing is known to be gone.
    pub seen: bool,
    /// Delivery now.
    pub delivery: State,
    /// Delivery then; nothing where it was not saved.
    pub delivery_before: Option<State>,
    /// What was not there.
    pub new: Vec<SavedFinding>,
    /// What was there, and got worse.
    pub more_severe: Vec<Changed>,
    /// What was there, and got better.
    pub less_severe: Vec<Changed>,
    /// What is as it was.
    pub same: Vec<SavedFinding>,
    /// What was there and is not any more. A finding that was accepted since is gone as well.
    pub gone: Vec<SavedFinding>,
}

/// A finding whose severity changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// As it is now.
    pub finding: SavedFinding,
    /// How bad it was.
    pub before: Severity,
}

impl Comparison {
    /// Whether mail fares worse. What could not be seen, then or now, is no change; a domain that takes no mail any more returns
    /// what was delivered before.
    pub fn delivery_got_worse(&self) -> bool {
        let Some(before) = self.delivery_before else { return false };
        match (before, self.delivery) {
            (State::Unknown, _) | (_, State::Unknown) | (State::NoMail, _) => false,
            (_, State::NoMail) => true,
            (before, now) => now.rank() < before.rank(),
        }
    }

    /// Whether something got worse that is at or above `least`: a finding that is new or more severe, or delivery. Nothing is where
    /// there is no `least`.
    pub fn got_worse(&self, least: Option<Severity>) -> bool {
        let Some(least) = least else { return false };
        let new = self.new.iter().filter(|_| !self.unseen_before);
        let mut found = new.chain(self.more_severe.iter().map(|changed| &changed.finding));
        self.delivery_got_worse() || found.any(|finding| finding.severity >= least)
    }

    /// How many findings were there before.
    pub fn known_findings(&self) -> usize {
        self.same.len() + self.more_severe.len() + self.less_severe.len()
    }
}

/// `saved`: the domain then.
///
/// Findings are the same where code, subject and address are. The address may be another one: pools of providers change theirs all
/// the time. So one on a host is new only where more of its addresses have it than before.
pub(super) fn compare(saved: Option<&SavedDomain>, assessment: &Assessment) -> Comparison {
    let mut comparison = Comparison {
        domain: assessment.domain.clone(),
        known: saved.is_some_and(|saved| saved.seen),
        unseen_before: saved.is_some_and(|saved| !saved.seen),
        seen: !assessment.own_side,
        delivery: assessment.delivery,
        delivery_before: saved.map(|saved| saved.delivery),
        new: Vec::new(),
        more_severe: Vec::new(),
        less_severe: Vec::new(),
        same: Vec::new(),
        gone: Vec::new(),
    };
    let mut before: Vec<SavedFinding> = saved.map(|saved| saved.findings.clone()).unwrap_or_default();
    let mut unmatched = Vec::new();
    for finding in about_the_domain(assessment) {
        let same = |known: &SavedFinding| {
            (&known.code, &known.subject, known.address) == (&finding.code, &finding.subject, finding.address)
        };
        match before.iter().position(same) {
            Some(place) => comparison.note(finding, before.remove(place).severity),
            None => unmatched.push(finding),
        }
    }
    // Those of one host that moved to another address, the worst against the worst.
    let mut moved: BTreeMap<(String, String), Vec<SavedFinding>> = BTreeMap::new();
    let (on_addresses, rest): (Vec<_>, Vec<_>) = before.into_iter().partition(|known| known.address.is_some());
    for known in on_addresses {
        moved.entry((known.code.clone(), known.subject.clone())).or_default().push(known);
    }
    moved.values_mut().for_each(|known| known.sort_by_key(|known| known.severity));
    unmatched.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    for finding in unmatched {
        let key = (finding.code.clone(), finding.subject.clone());
        match moved.get_mut(&key).filter(|_| finding.address.is_some()).and_then(Vec::pop) {
            Some(known) => comparison.note(finding, known.severity),
            None => comparison.new.push(finding),
        }
    }
    if comparison.seen {
        comparison.gone = rest.into_iter().chain(moved.into_values().flatten()).collect();
        comparison.gone.sort();
    }
    comparison
}

impl Comparison {
    fn note(&mut self, finding: SavedFinding, before: Severity) {
        match finding.severity.cmp(&before) {
            std::cmp::Ordering::Equal => self.same.push(finding),
            std::cmp::Ordering::Greater => self.more_severe.push(Changed { finding, before }),
            std::cmp::Ordering::Less => self.less_severe.push(Changed { finding, before }),
        }
    }
}
