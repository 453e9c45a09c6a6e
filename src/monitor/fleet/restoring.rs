//! What comes back from the store at a start, and when what was kept is due.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    mem::take,
    sync::Arc,
};

use super::{Address, Fleet, Host, Sweep, Target, opening};
use crate::{
    config::Settings,
    monitor::{
        KnownDomain, Rendered,
        face::Face,
        kept::{Brief, KeptDomain, readable},
        snapshot::AtRest,
    },
    store::{HostRow, StoredHost},
    terms::{MxHost, PolicyDomain, Timestamp, place},
};

/// A target with the time at which it is due; as soon as possible, where there is none.
pub(in crate::monitor) type Due = (Target, Option<Timestamp>);

/// What comes back, in parts, until it is known what this side sees.
#[derive(Debug, Default)]
pub(in crate::monitor) struct Restoring {
    /// The domains that came back, with their places.
    domains: Vec<(u64, PolicyDomain)>,
    /// The lists of their mail hosts, as the fleet holds them, and how many domains are probed by each.
    lists: HashMap<Arc<[MxHost]>, usize>,
    /// The mail hosts that nobody used before.
    hosts: BTreeSet<MxHost>,
    /// Those that have no summary.
    unshown: HashMap<PolicyDomain, Unshown>,
    /// When the faces that lie apart were written, and the places of domains whose rows were written after that.
    faces_written_at: Option<Timestamp>,
    written_later: HashSet<u64>,
}

/// A domain that has to be judged before it can be shown.
#[derive(Debug)]
struct Unshown {
    /// When it was looked at last, and what failed then.
    seen_at: Option<Timestamp>,
    failures: (u32, u32),
    /// As of which look it was shown, in a way that cannot be read.
    shown_at: Option<Timestamp>,
}

impl Restoring {
    /// `faces_written_at`: when the faces were written that lie apart, where there are some.
    pub(in crate::monitor) fn beside(faces_written_at: Option<Timestamp>) -> Self {
        Self { faces_written_at, ..Self::default() }
    }

    /// The mail hosts of which nothing was known.
    pub(in crate::monitor) fn hosts(&self) -> impl Iterator<Item = &MxHost> {
        self.hosts.iter()
    }
}

impl Fleet {
    /// Takes over what was kept of domains and mail hosts; those that are not configured, or that were looked at by now, are passed
    /// over. Returns when each is due.
    ///
    /// What lists and scrapes show is taken as it was written, where it would be written in the same way now. Where it would be judged
    /// otherwise, or cannot be taken, the domain is judged as its turn comes.
    pub(in crate::monitor) fn restore(
        &mut self,
        domains: Vec<impl Into<KeptDomain>>,
        hosts: Vec<HostRow>,
        now: Timestamp,
    ) -> Vec<Due> {
        let mut restoring = Restoring::default();
        self.take_over(domains.into_iter().map(Into::into).collect(), &mut restoring, now);
        self.restored(restoring, hosts, now)
    }

    /// The first step: some of the domains. Mail hosts come in the last one ([`restored`](Self::restored)).
    pub(in crate::monitor) fn take_over(&mut self, kept: Vec<KeptDomain>, restoring: &mut Restoring, now: Timestamp) {
        let mut domains = take(&mut self.domains);
        let mut walk = domains.walk();
        for (place, KeptDomain { row, face, brief, apart }) in placed(kept, |kept| kept.row.domain.as_str()) {
            let nothing_known = |known: &KnownDomain| {
                let looked_at = !matches!(known.state, AtRest::Nothing) || known.probed.is_some();
                !looked_at && !self.open.contains_key(known.domain())
            };
            let Some(known) = walk.get_mut(place, row.domain.as_str(), nothing_known) else { continue };
            match (face, brief) {
                (Some(face), _) => self.put_face(known, &face, restoring),
                (None, Some(Brief { hosts, seen_at, failures })) => {
                    known.probed = Some(self.same_list(&hosts, 1, restoring));
                    let unshown = Unshown { seen_at, failures, shown_at: None };
                    restoring.unshown.insert(known.domain().clone(), unshown);
                }
                (None, None) => continue,
            }
            // What is read lies in the memory of the thread that read it, and goes back whole: copied, as all that stays.
            known.state = AtRest::Packed(row.state.clone());
            if restoring.faces_written_at.is_some_and(|faces| row.saved_at.is_some_and(|at| at > faces)) {
                restoring.written_later.insert(place);
            }
            known.saved.note_written(now);
            if apart {
                // Its row is to be written again as if it had been seen by now.
                known.saved.note_seen();
            }
            restoring.domains.push((place, known.domain().clone()));
        }
        self.domains = domains;
    }

    /// A further step: faces that lay apart from the rows are shown where they are of a later look, or of the same one and were written later.
    /// A row without a face is judged, and shows what follows from it.
    pub(in crate::monitor) fn show_later_looks(&mut self, faces: Vec<(PolicyDomain, Face)>, restoring: &mut Restoring) {
        let mut domains = take(&mut self.domains);
        let mut walk = domains.walk();
        for (place, (domain, face)) in placed(faces, |(domain, _)| domain.as_str()) {
            let earlier = |known: &KnownDomain| {
                let unshown = || restoring.unshown.get(&domain).and_then(|one| one.shown_at);
                let shown_at = known.summary.as_ref().map(|summary| summary.checked_at).or_else(unshown);
                let written_later = restoring.written_later.contains(&place);
                shown_at
                    .is_some_and(|at| at < face.summary.checked_at || at == face.summary.checked_at && !written_later)
            };
            let Some(known) = walk.get_mut(place, domain.as_str(), earlier) else { continue };
            if let Some(count) = known.listed().and_then(|hosts| restoring.lists.get_mut(hosts)) {
                *count -= 1;
            }
            restoring.unshown.remove(&domain);
            self.put_face(known, &face, restoring);
            known.saved.note_seen();
        }
        self.domains = domains;
    }

    /// The last step: mail hosts, what this side sees, and who is to be judged.
    pub(in crate::monitor) fn restored(
        &mut self,
        restoring: Restoring,
        hosts: Vec<HostRow>,
        now: Timestamp,
    ) -> Vec<Due> {
        let Restoring { mut domains, lists, hosts: new, unshown, .. } = restoring;
        for (list, users) in &lists {
            for name in opening::only_in(list, &[]) {
                if let Some(host) = self.hosts.get_mut(&name) {
                    host.users += users;
                    self.changed_hosts.insert(name);
                }
            }
        }
        let mut kept: BTreeMap<MxHost, HostRow> = hosts.into_iter().map(|row| (row.host.clone(), row)).collect();
        let mut due_hosts = Vec::new();
        for name in new {
            self.restore_host(&name, kept.remove(&name), &mut due_hosts);
        }
        self.around = None;
        // What this side sees follows from the hosts: a face that was made with another sight has to be judged again.
        match self.once {
            true => self.look_once_around(),
            false => self.look_around(now),
        }
        domains.sort_unstable_by_key(|(place, _)| *place);
        let mut due = Vec::with_capacity(domains.len() + due_hosts.len());
        for (place, domain) in &domains {
            let Some(known) = self.domains.get_at(*place, domain.as_str()) else { continue };
            let (seen_at, (dns, policy)) = match (&known.summary, unshown.get(domain)) {
                (Some(shown), _) => (Some(shown.checked_at), (shown.dns_failures, shown.policy_failures)),
                (None, Some(one)) => (one.seen_at, one.failures),
                (None, None) => (None, (0, 0)),
            };
            let again = opening::again(dns, policy, &known.settings, &self.settings);
            due.push((Target::Domain(domain.clone()), seen_at.map(|at| at + again)));
        }
        due.append(&mut due_hosts);
        self.wait_restored(&domains);
        self.sight_restored(now);
        self.changed = true;
        due
    }

    /// Who is to be judged, of those that came back; and of all others, where nothing was published yet.
    fn wait_restored(&mut self, domains: &[(u64, PolicyDomain)]) {
        if self.snapshot.number > 0 {
            for (place, domain) in domains {
                let waits = self.domains.get_at(*place, domain.as_str()).is_some_and(|known| !self.is_settled(known));
                match waits {
                    true => self.waiting.insert(domain.clone()),
                    false => self.waiting.remove(domain),
                };
            }
            return;
        }
        // Nothing was judged with another sight.
        self.sweep = Sweep::default();
        let unsettled = || self.domains.iter().filter(|known| !self.is_settled(known));
        // To go through all is quicker than to set down the names of most.
        if unsettled().count() > self.domains.len() / 2 {
            self.waiting.clear();
            self.sweep.all();
        } else {
            self.waiting = unsettled().map(|known| known.domain().clone()).collect();
        }
    }

    /// Whether a domain is shown as it would be judged now. What is new in reports waits to be shown.
    fn is_settled(&self, known: &KnownDomain) -> bool {
        let judged = known.stamp.judging == self.stamp_of(&known.settings).judging;
        known.summary.is_some() && judged && known.reports.is_none()
    }

    /// Shows a restored domain as this face does, where that can be read.
    fn put_face(&mut self, known: &mut KnownDomain, face: &Face, restoring: &mut Restoring) {
        let probes_others = face.probed.is_some();
        let hosts = self.same_list(&face.summary.hosts, usize::from(!probes_others), restoring);
        let probed = face.probed.as_deref().map(|hosts| self.same_list(hosts, 1, restoring));
        if face.stamp.rendering == self.stamp.rendering {
            // A copy, as of the state.
            let mut summary = face.summary.clone();
            summary.hosts = hosts;
            for finding in &mut summary.active {
                finding.host = finding.host.take().map(|host| self.same_name(host));
            }
            self.restand(known.summary.as_ref(), Some(&summary));
            known.summary = Some(summary);
            known.rendered = face.rendered.clone();
            known.stamp = face.stamp;
            known.probed = probed;
            return;
        }
        self.restand(known.summary.as_ref(), None);
        known.summary = None;
        known.rendered = Rendered::default();
        known.probed = Some(probed.unwrap_or(hosts));
        let seen_at = Some(face.summary.checked_at);
        let failures = (face.summary.dns_failures, face.summary.policy_failures);
        restoring.unshown.insert(known.domain().clone(), Unshown { seen_at, failures, shown_at: seen_at });
    }

    /// The list of mail hosts as the fleet holds it already; one for all domains that have the same. `probed`: by how many more domains.
    fn same_list(&mut self, list: &[MxHost], probed: usize, restoring: &mut Restoring) -> Arc<[MxHost]> {
        if probed > 0 && restoring.lists.get(list).is_none_or(|users| *users == 0) {
            for host in opening::only_in(list, &[]) {
                if !self.hosts.contains_key(&host) {
                    self.hosts.insert(host.clone(), Host::new());
                    restoring.hosts.insert(host);
                }
            }
        }
        let same = match restoring.lists.get_key_value(list) {
            Some((same, _)) => Arc::clone(same),
            None => list.iter().map(|host| self.same_name(host.clone())).collect(),
        };
        *restoring.lists.entry(Arc::clone(&same)).or_default() += probed;
        same
    }

    /// A mail host of restored domains that nobody used before, with what was kept of it.
    fn restore_host(&mut self, name: &MxHost, kept: Option<HostRow>, due: &mut Vec<Due>) {
        let settings = Arc::clone(&self.settings);
        let Some(host) = self.hosts.get_mut(name) else { return };
        if host.users == 0 {
            // A later face names others.
            self.hosts.remove(name);
            self.changed_hosts.remove(name);
            return;
        }
        match kept.and_then(|row| readable(name, row.open())) {
            Some(stored) => host.restore(name, stored, &settings, due),
            None => due.push((Target::Host(name.clone()), None)),
        }
        self.listed += host.listed();
    }
}

/// In the order in which domains lie: each is found beside the one before.
fn placed<T>(all: Vec<T>, name: impl Fn(&T) -> &str) -> Vec<(u64, T)> {
    let mut placed: Vec<(u64, T)> = all.into_iter().map(|one| (place(name(&one)), one)).collect();
    placed.sort_unstable_by_key(|(place, _)| *place);
    placed
}

impl Host {
    fn restore(&mut self, name: &MxHost, stored: StoredHost, settings: &Settings, due: &mut Vec<Due>) {
        self.history = stored.history;
        self.observation = stored.observation;
        self.skipped = stored.skipped;
        let at = self.observation.as_ref().map(|seen| seen.at + self.again(settings));
        due.push((Target::Host(name.clone()), at));
        for (address, stored) in stored.addresses {
            let again =
                self.history.addresses.get(&address).map(|path| {
                    super::address_again(path.failures_in_a_row, stored.latest.as_deref(), &settings.probe)
                });
            if stored.unlisted_since.is_none() {
                let seen = stored.latest.as_ref().zip(again).map(|(latest, again)| latest.at + again);
                due.push((Target::Address(name.clone(), address), seen));
            }
            let mut known =
                Address { latest: stored.latest, unlisted_since: stored.unlisted_since, ..Address::default() };
            if settings.probe.legacy_tls {
                known.surveys.restore(stored.survey, stored.setbacks);
            }
            self.addresses.insert(address, known);
        }
    }
}
