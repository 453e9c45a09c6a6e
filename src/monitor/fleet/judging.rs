//! From what was seen and remembered to what the snapshot holds.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    mem::take,
    net::IpAddr,
    sync::Arc,
};

use super::{Address, Fleet, Host, host_sight};
use crate::{
    config::DomainSettings,
    facts::MxFacts,
    monitor::{
        HostState, KnownDomain, KnownHost, Snapshot, Summary,
        face::Stamp,
        opened::{HostFacts, Surroundings},
        snapshot::AtRest,
        summary::ActiveFinding,
    },
    store::{Packed, StoredDomain},
    terms::{MxHost, PolicyDomain, Timestamp, place},
    verdict::{Code, HostDane, PathContext, TlsaStatus, assess_path},
};

/// So many shelves are looked through at a time for domains that are to be judged anew: some thousand summaries, a fraction of a
/// millisecond.
const SHELVES_AT_ONCE: usize = 16;

/// So many hosts that changed are judged at a time in any case, however far behind the domains are: one or two milliseconds.
const HOSTS_AT_ONCE: usize = 32;

/// What the summaries of all domains say about one mail host.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// How many domains name it.
    domains: usize,
    /// How many of them have a policy in enforce in force.
    enforcing: usize,
    /// How many findings of each code are about it.
    findings: BTreeMap<Code, usize>,
    /// The latest lists of mail hosts that begin with it, so that domains that have the same share it.
    lists: VecDeque<Arc<[MxHost]>>,
}

/// So many lists of one provider are shared: those of its kinds of customers. Whoever has one of his own gains nothing.
const LISTS_MOST: usize = 4;

impl Fleet {
    /// Judges what changed and gives the new snapshot; nothing where nothing changed.
    pub(crate) fn refresh(&mut self, now: Timestamp) -> Option<Arc<Snapshot>> {
        self.refresh_while(now, || true)
    }

    /// The same, but domains and hosts are judged only while `go_on` says so, and some at least. What is left has its turn at the next call
    /// ([`is_behind`](Self::is_behind)); the snapshot shows it as it was.
    pub(crate) fn refresh_while(&mut self, now: Timestamp, mut go_on: impl FnMut() -> bool) -> Option<Arc<Snapshot>> {
        if !take(&mut self.changed) && !self.is_behind() {
            return None;
        }
        match self.once {
            true => self.look_once_around(),
            false => self.look_around(now),
        }
        let mut hosts = Vec::new();
        let mut judged: HashMap<PolicyDomain, Arc<KnownDomain>> = HashMap::new();
        loop {
            // Some before the domains, which are told what is new of them; then what the domains say of theirs. Of a host that is judged
            // twice the second counts.
            hosts.extend(self.judge_hosts(now, &mut || false));
            while self.waits_with_domains() {
                let mut shelves = SHELVES_AT_ONCE;
                // One that was judged a moment ago, for another reason, comes out the same.
                let next = self.next_to_judge(&mut shelves).filter(|domain| !judged.contains_key(domain));
                if let Some(known) = next.and_then(|domain| self.judge(&domain, now)) {
                    judged.insert(known.domain().clone(), known);
                }
                if !go_on() {
                    break;
                }
            }
            hosts.extend(self.judge_hosts(now, &mut go_on));
            if !self.is_behind() || !go_on() {
                break;
            }
        }
        self.domains = self.domains.with(judged.into_values(), []);
        let gone = take(&mut self.gone_hosts);
        let gone = gone.iter().filter(|host| !self.hosts.contains_key(*host)).map(MxHost::as_str);
        let hosts = self.snapshot.hosts.with(hosts, gone);
        self.snapshot = Arc::new(Snapshot {
            number: self.snapshot.number + 1,
            at: now,
            domains: self.domains.clone(),
            hosts,
            vantage: Arc::clone(&self.vantage),
            canaries: self.canaries.iter().map(|(name, canary)| (name.clone(), canary.reached)).collect(),
            intake: self.intake.clone(),
            settings: Arc::clone(&self.settings),
            once: self.once,
        });
        Some(Arc::clone(&self.snapshot))
    }

    /// Whether domains or hosts wait to be judged.
    pub(crate) fn is_behind(&self) -> bool {
        !self.changed_hosts.is_empty() || self.waits_with_domains()
    }

    fn waits_with_domains(&self) -> bool {
        !self.turn.is_empty() || !self.waiting.is_empty() || self.sweep.is_under_way()
    }

    /// Whether the domain was looked at and is not judged yet.
    pub(crate) fn is_open(&self, domain: &PolicyDomain) -> bool {
        self.open.contains_key(domain)
    }

    /// Somebody waits for this domain: it is judged before the others.
    pub(crate) fn prefer(&mut self, domain: &PolicyDomain) {
        if self.open.contains_key(domain) {
            self.turn.push_front(domain.clone());
        }
    }

    /// Who was looked at comes first, then what concerns one domain, then what concerns many.
    fn next_to_judge(&mut self, shelves: &mut usize) -> Option<PolicyDomain> {
        while let Some(domain) = self.turn.pop_front() {
            // One that was preferred stands in the line twice.
            if self.open.contains_key(&domain) {
                return Some(domain);
            }
        }
        self.waiting.pop_first().or_else(|| self.sweep.next(&self.domains, shelves))
    }

    /// Judges a domain, and packs it.
    fn judge(&mut self, domain: &PolicyDomain, now: Timestamp) -> Option<Arc<KnownDomain>> {
        self.waiting.remove(domain);
        let entry = self.open.remove(domain);
        let known = Arc::clone(self.domains.get(domain.as_str())?);
        let mut kept = entry.map_or_else(|| known.unpacked(&self.settings), |entry| *entry);
        let state = {
            let around = Surroundings {
                settings: &self.settings,
                vantage: &self.vantage,
                once: self.once,
                watches: self.intake.is_some(),
                domains: &self.domains,
                hosts: &|host| self.hosts.get(host).map(Host::facts),
                now,
            };
            around.state(&known.settings, &kept, known.reports.as_ref(), known.due_at())
        };
        let mut summary = None;
        if let Some(assessment) = &state.assessment {
            let before: Vec<String> = standing_findings(&kept).cloned().collect();
            self.changes.extend(kept.history.judged(assessment, now));
            let other_delivery = known.summary.as_ref().map(|shown| shown.delivery != assessment.delivery);
            if other_delivery.is_some_and(|other| other || !standing_findings(&kept).eq(&before)) {
                self.note_domain(&known, true);
            }
            summary = Some(self.with_known_names(Summary::of_kept(assessment, &kept, now)));
        }
        self.restand(known.summary.as_ref(), summary.as_ref());
        let probed = summary.as_ref().is_none_or(|summary| *summary.hosts != *kept.hosts);
        let judged = KnownDomain {
            // One whose state cannot be read any more has mail hosts all the same, until it is looked at.
            probed: (probed && (kept.observation.is_some() || !kept.hosts.is_empty()))
                .then(|| kept.hosts.clone().into()),
            rendered: self.renderer.domain(&state, &self.vantage),
            stamp: self.stamp_of(&known.settings),
            state: self.at_rest(&known, &kept),
            summary,
            ..KnownDomain::clone(&known)
        };
        // What was written before it was judged has no face, or another one: after a start nothing would be shown, or what was.
        match (&known.summary, &judged.summary) {
            (None, Some(_)) => self.note_domain(&known, true),
            (before, now) if before != now || known.rendered != judged.rendered || known.stamp != judged.stamp => {
                judged.saved.note_seen();
            }
            _ => {}
        }
        Some(Arc::new(judged))
    }

    /// How the domain lies from now on.
    fn at_rest(&self, known: &KnownDomain, kept: &StoredDomain) -> AtRest {
        if kept.observation.is_none() {
            return AtRest::Nothing;
        }
        match Packed::of(kept) {
            Ok(packed) => AtRest::Packed(packed),
            Err(error) => {
                tracing::error!(domain = %known.domain(), %error, "what was seen cannot be packed; what was known before stays");
                known.state.clone()
            }
        }
    }

    /// The summary with names and lists of mail hosts as the fleet holds them already.
    pub(super) fn with_known_names(&self, summary: Summary) -> Summary {
        let mut summary = summary.with_names(|host| self.same_name(host));
        let standing = summary.hosts.first().and_then(|first| self.standing.get(first));
        let mut lists = standing.iter().flat_map(|standing| &standing.lists);
        if let Some(same) = lists.find(|list| **list == summary.hosts) {
            summary.hosts = Arc::clone(same);
        }
        summary
    }

    /// Takes what a summary said of mail hosts out of what stands there, and puts what another one says in its place.
    pub(super) fn restand(&mut self, before: Option<&Summary>, now: Option<&Summary>) {
        if before.map(said_of_hosts) == now.map(said_of_hosts) {
            return;
        }
        for (summary, adds) in [(before, false), (now, true)] {
            for host in summary.iter().flat_map(|summary| summary.hosts.iter()) {
                let standing = self.standing.entry(host.clone()).or_default();
                if let Some(summary) = summary.filter(|summary| adds && summary.hosts.first() == Some(host)) {
                    standing.note_list(&summary.hosts);
                }
                let step = |count: &mut usize| {
                    *count = if adds { count.saturating_add(1) } else { count.saturating_sub(1) };
                };
                step(&mut standing.domains);
                if summary.is_some_and(Summary::enforces) {
                    step(&mut standing.enforcing);
                }
                let about = summary.iter().flat_map(|summary| &summary.active);
                for finding in about.filter(|finding| finding.host.as_ref() == Some(host)) {
                    step(standing.findings.entry(finding.code).or_default());
                }
                standing.findings.retain(|_, count| *count > 0);
                if standing.domains == 0 {
                    self.standing.remove(host);
                }
                if !self.changed_hosts.contains(host) {
                    self.changed_hosts.insert(host.clone());
                }
            }
        }
    }

    /// Judges hosts that changed, some in any case and more while `go_on` says so. The domains of those that show something new are to
    /// be judged too.
    fn judge_hosts(&mut self, now: Timestamp, go_on: &mut impl FnMut() -> bool) -> Vec<Arc<KnownHost>> {
        let mut judged = Vec::new();
        while (judged.len() < HOSTS_AT_ONCE || go_on())
            && let Some(name) = self.changed_hosts.pop_first()
        {
            let Some(host) = self.hosts.get(&name) else { continue };
            let state = Arc::new(self.host_state(&name, host, now));
            let sight = host_sight::sight(host, &state, self.settings.probe.mx_interval, now);
            let before = host.sight;
            let rendered = self.renderer.host(&state, &self.vantage);
            judged.push(Arc::new(KnownHost { state, rendered, facts: host.facts() }));
            if before == Some(sight) {
                continue;
            }
            if let Some(host) = self.hosts.get_mut(&name) {
                host.sight = Some(sight);
                match before.is_some_and(|before| before.shown == sight.shown) {
                    true => self.sweep.testers_of(&name),
                    false => self.sweep.users_of(&name),
                }
            }
        }
        judged
    }

    /// What restored hosts show is what their domains were judged by: it is no news.
    pub(super) fn sight_restored(&mut self, now: Timestamp) {
        for name in &self.changed_hosts {
            let Some(host) = self.hosts.get(name).filter(|host| host.sight.is_none() && host.observation.is_some())
            else {
                continue;
            };
            let sight = self.sight(name, host, now);
            if let Some(host) = self.hosts.get_mut(name) {
                host.sight = Some(sight);
            }
        }
    }

    fn sight(&self, name: &MxHost, host: &Host, now: Timestamp) -> host_sight::Sight {
        host_sight::sight(host, &self.host_state(name, host, now), self.settings.probe.mx_interval, now)
    }

    fn host_state(&self, name: &MxHost, host: &Host, now: Timestamp) -> HostState {
        let standing = self.standing.get(name);
        let dane = HostDane::new(host.observation.as_ref(), Some(&host.history), self.once);
        let context = PathContext {
            dane: &dane,
            vantage: &self.vantage,
            once: self.once,
            mx_interval: self.settings.probe.mx_interval,
        };
        let surveys = host.surveys();
        let path = |(address, known): (&IpAddr, &Address)| {
            let history = host.history.addresses.get(address);
            Arc::new(assess_path(*address, known.latest.as_ref(), surveys.get(address), history, context, now))
        };
        HostState {
            domains: host.users,
            domains_enforcing: match dane.status {
                TlsaStatus::Usable => host.users,
                _ => standing.map_or(0, |standing| standing.enforcing),
            },
            findings: standing.map_or_else(BTreeSet::new, |standing| standing.findings.keys().copied().collect()),
            lookup: host.observation.clone(),
            paths: host.addresses.iter().map(path).collect(),
            skipped: host.skipped,
            patient_until: host.patient_until,
            dane,
            host: name.clone(),
        }
    }

    /// What a domain is judged and shown by has changed.
    pub(super) fn stamp_anew(&mut self) {
        let Self { settings, vantage, renderer, intake, .. } = self;
        let judging = (&settings.thresholds, &settings.severities, &settings.accept, &settings.own_mx);
        let probing = (settings.probe.interval, settings.probe.mx_interval, settings.probe.legacy_tls);
        let seen = [vantage.smtp_blocked, vantage.canaries_failing, vantage.resolver_failing];
        let routes = (vantage.ip4_route, vantage.ip6_route, vantage.dnssec);
        // Another version may have other rules.
        let beside = (intake.is_some(), env!("CARGO_PKG_VERSION"));
        self.stamp = Stamp {
            rendering: renderer.fingerprint(),
            judging: place(&format!("{judging:?}{probing:?}{seen:?}{routes:?}{beside:?}")),
        };
    }

    /// All that a domain is judged and shown by, beside its own state.
    pub(super) fn stamp_of(&self, settings: &DomainSettings) -> Stamp {
        let DomainSettings { options, .. } = settings;
        let plain = options.group.is_none() && options.interval.is_none() && options.expect.is_none();
        match plain && options.planned_mx.is_empty() {
            true => self.stamp,
            false => Stamp { judging: self.stamp.judging ^ place(&format!("{options:?}")), ..self.stamp },
        }
    }
}

impl Standing {
    fn note_list(&mut self, list: &Arc<[MxHost]>) {
        if self.lists.contains(list) {
            return;
        }
        if self.lists.len() >= LISTS_MOST {
            self.lists.pop_front();
        }
        self.lists.push_back(Arc::clone(list));
    }
}

impl Host {
    /// What the judgement of a domain reads of it.
    pub(super) fn facts(&self) -> HostFacts {
        let latest =
            |(address, known): (&IpAddr, &Address)| known.latest.as_ref().map(|latest| (*address, Arc::clone(latest)));
        let seen = self.observation.as_ref().map(|lookup| MxFacts {
            host: Arc::clone(lookup),
            addresses: self.addresses.iter().filter_map(latest).collect(),
            surveys: self.surveys(),
            skipped: self.skipped,
        });
        HostFacts { seen, history: Arc::clone(&self.history) }
    }
}

/// What a summary says of mail hosts.
fn said_of_hosts(summary: &Summary) -> (bool, &[MxHost], &[ActiveFinding]) {
    (summary.enforces(), &summary.hosts, &summary.active)
}

/// The findings that stand, by what is remembered.
fn standing_findings(kept: &StoredDomain) -> impl Iterator<Item = &String> {
    kept.history.findings.iter().filter(|(_, memory)| memory.gone_at.is_none()).map(|(finding, _)| finding)
}
