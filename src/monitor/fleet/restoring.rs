//! What comes back from the store at a start, and when what was kept is due.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use super::{Address, Fleet, Host, Sweep, Target, opening};
use crate::{
    config::Settings,
    monitor::{
        KnownDomain,
        face::Face,
        scribe::{KeptDomain, readable},
        snapshot::AtRest,
    },
    store::{HostRow, Packed, StoredHost},
    terms::{MxHost, PolicyDomain, Timestamp},
};

/// So many domains are taken out of those that wait one by one; for more, all that wait are walked.
const FEW: usize = 1000;

/// A target with the time at which it is due; as soon as possible, where there is none.
pub(in crate::monitor) type Due = (Target, Option<Timestamp>);

/// So many restored domains at a time take the places of those of which nothing was known: the memory of the one serves the next ones, and
/// that of a whole fleet is not needed twice.
const RESTORED_TOGETHER: usize = 50_000;

/// What was kept says of a domain before it is judged.
struct Brief {
    hosts: Vec<MxHost>,
    /// When it was looked at last, and what failed then.
    seen_at: Option<Timestamp>,
    failures: (u32, u32),
}

/// What is taken over of a domain, until it is known what this side sees.
struct Restored {
    state: Packed,
    /// The mail hosts that are probed, where no face tells them.
    probed: Option<Arc<[MxHost]>>,
    face: Option<Face>,
    /// The face lay apart from the row.
    apart: bool,
}

impl Brief {
    /// Without opening the row, where there is a face. Nothing where it cannot be read.
    fn of(KeptDomain { row, face, .. }: &KeptDomain) -> Option<Self> {
        if let Some(face) = face {
            let failures = (face.summary.dns_failures, face.summary.policy_failures);
            let seen_at = Some(face.summary.checked_at);
            return Some(Self { hosts: face.hosts().to_vec(), seen_at, failures });
        }
        let kept = readable(&row.domain, row.open())?;
        Some(Self {
            hosts: kept.hosts,
            seen_at: kept.observation.as_ref().map(|seen| seen.started_at),
            failures: (kept.dns_failures, kept.policy_failures),
        })
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
        let mut due = Vec::with_capacity(domains.len());
        let mut kept: BTreeMap<MxHost, HostRow> = hosts.into_iter().map(|row| (row.host.clone(), row)).collect();
        let mut restored = Vec::with_capacity(domains.len());
        for kept_domain in domains {
            let kept_domain: KeptDomain = kept_domain.into();
            let Some(known) = self.domains.get(kept_domain.row.domain.as_str()).cloned() else { continue };
            let looked_at = !matches!(known.state, AtRest::Nothing) || known.probed.is_some();
            if looked_at || self.open.contains_key(known.domain()) {
                continue;
            }
            let Some(Brief { hosts, seen_at, failures: (dns, policy) }) = Brief::of(&kept_domain) else { continue };
            let KeptDomain { row, face, apart } = kept_domain;
            let again = opening::again(dns, policy, &known.settings, &self.settings);
            due.push((Target::Domain(known.domain().clone()), seen_at.map(|at| at + again)));
            for host in opening::only_in(&hosts, &[]) {
                self.restore_host(&host, &mut kept, &mut due);
            }
            let probed = match face {
                Some(_) => None,
                None => Some(hosts.into_iter().map(|host| self.same_name(host)).collect()),
            };
            restored.push((known, Restored { state: row.state, probed, face, apart }));
        }
        self.around = None;
        // What this side sees follows from the hosts: a face that was made with another sight has to be judged again.
        match self.once {
            true => self.look_once_around(),
            false => self.look_around(now),
        }
        if self.snapshot.number == 0 {
            // Nothing was judged with another sight.
            self.sweep = Sweep::default();
        }
        let mut settled = HashSet::new();
        let mut restored = restored.into_iter();
        while restored.len() > 0 {
            let some = restored.by_ref().take(RESTORED_TOGETHER);
            let some: Vec<_> =
                some.map(|(known, kept)| Arc::new(self.restored(&known, kept, &mut settled, now))).collect();
            self.domains = self.domains.with(some, []);
        }
        if settled.len() < FEW {
            for domain in &settled {
                self.waiting.remove(domain);
            }
        } else {
            self.waiting.retain(|domain| !settled.contains(domain));
        }
        self.sight_restored(now);
        self.changed = true;
        due
    }

    /// A restored domain. Those that are shown as they were, and need not be judged, are added to `settled`.
    fn restored(
        &mut self,
        known: &KnownDomain,
        restored: Restored,
        settled: &mut HashSet<PolicyDomain>,
        now: Timestamp,
    ) -> KnownDomain {
        let Restored { state, probed, face, apart } = restored;
        let known = KnownDomain { state: AtRest::Packed(state), probed, ..known.clone() };
        let stamp = self.stamp_of(&known.settings);
        let known = match face {
            Some(face) => {
                let summary = self.with_known_names(face.summary);
                let probed = face.probed.map(|hosts| hosts.iter().map(|host| self.same_name(host.clone())).collect());
                if face.stamp.rendering == stamp.rendering {
                    self.restand(None, Some(&summary));
                    if face.stamp.judging != stamp.judging {
                        self.waiting.insert(known.domain().clone());
                    } else if known.reports.is_none() {
                        // What is new waits to be shown; this is.
                        settled.insert(known.domain().clone());
                    }
                    KnownDomain { rendered: face.rendered, summary: Some(summary), stamp: face.stamp, probed, ..known }
                } else {
                    KnownDomain { probed: probed.or(Some(summary.hosts)), ..known }
                }
            }
            None => known,
        };
        if known.summary.is_none() {
            self.waiting.insert(known.domain().clone());
        }
        known.saved.note_written(now);
        if apart {
            // Its row is to be written again as if it had been seen by now.
            known.saved.note_seen();
        }
        known
    }

    /// A mail host that a restored domain uses, with what was kept of it the first time.
    fn restore_host(&mut self, host: &MxHost, kept: &mut BTreeMap<MxHost, HostRow>, due: &mut Vec<Due>) {
        let settings = Arc::clone(&self.settings);
        let listed = &mut self.listed;
        let known = self.hosts.entry(host.clone()).or_insert_with(|| {
            let mut known = Host::new();
            match kept.remove(host).and_then(|row| readable(host, row.open())) {
                Some(stored) => known.restore(host, stored, &settings, due),
                None => due.push((Target::Host(host.clone()), None)),
            }
            *listed += known.listed();
            known
        });
        known.users += 1;
        if !self.changed_hosts.contains(host) {
            self.changed_hosts.insert(host.clone());
        }
    }
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
