//! What all ways in share: the plan of the configuration, who uses which mail host, and the bounds on memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use arc_swap::ArcSwap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::{
    attribute::{Hints, Users, hinted, named_hosts},
    filer::add,
    open::OpenedReport,
    quarantine::Quarantine,
    reading::Readers,
};
use crate::{
    config::{DomainList, ReportAuthentication, Settings},
    monitor::Snapshot,
    net::resolver::Resolver,
    protocol::tls_rpt::{FailureDetail, RefusalReason, ReportedPolicy, TlsReport},
    store::NewsCursor,
    terms::PolicyDomain,
};

/// Bytes, as they came, that are under way at once; whoever brings more waits. The largest mail has 15 MB.
const RAW_MOST: usize = 48 << 20;
/// Bytes of reports, as they were read, that wait for a key in the DNS or for the store. They can be larger than what came.
const READ_MOST: usize = 64 << 20;
/// Reports that are unpacked and read at once, at most; each needs up to 25 MB for that.
const READERS_MOST: usize = 4;
const KIB: usize = 1 << 10;

/// What the configuration says.
#[derive(Debug)]
pub(super) struct Plan {
    /// Those that this instance looks at.
    pub(super) domains: DomainList,
    /// Those of all instances, where reports about the domains of others are filed for them; else the same.
    pub(super) inventory: DomainList,
    pub(super) authentication: ReportAuthentication,
    pub(super) authserv_id: String,
    pub(super) reporters: BTreeSet<PolicyDomain>,
    pub(super) resolver: Resolver,
    /// Each of `domains` was looked at once, and that stays so.
    looked_at: AtomicBool,
}

impl Plan {
    pub(super) fn new(settings: &Settings, resolver: Resolver) -> Self {
        Self {
            domains: settings.domains.clone(),
            inventory: settings.inventory.as_ref().unwrap_or(&settings.domains).clone(),
            authentication: settings.reports.authentication(),
            authserv_id: settings.reports.authserv_id().unwrap_or_default().to_owned(),
            reporters: settings.reports.reporters(),
            resolver,
            looked_at: AtomicBool::default(),
        }
    }

    /// Whether each of the domains was looked at. Once that is so, it is not asked of each of them again.
    fn is_looked_at(&self, snapshot: &Snapshot) -> bool {
        let looked_at = self.looked_at.load(Ordering::Relaxed) || is_looked_at(&self.domains, snapshot);
        if looked_at {
            self.looked_at.store(true, Ordering::Relaxed);
        }
        looked_at
    }
}

#[derive(Debug)]
pub(super) struct Shared {
    plan: ArcSwap<Plan>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    refused: Mutex<BTreeMap<RefusalReason, u64>>,
    /// The earliest place up to which the reports of domains were read that came since the filer looked.
    came_at: Mutex<Option<NewsCursor>>,
    pub(super) readers: Readers,
    pub(super) quarantine: Option<Quarantine>,
    raw: Arc<Semaphore>,
    read: Arc<Semaphore>,
}

impl Shared {
    pub(super) fn new(plan: Plan, snapshots: watch::Receiver<Arc<Snapshot>>, state: Option<&Path>) -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self {
            plan: ArcSwap::from_pointee(plan),
            snapshots,
            refused: Mutex::default(),
            came_at: Mutex::default(),
            readers: Readers::new(processors.min(READERS_MOST)),
            quarantine: state.map(Quarantine::new),
            raw: Arc::new(Semaphore::new(RAW_MOST / KIB)),
            read: Arc::new(Semaphore::new(READ_MOST / KIB)),
        }
    }

    pub(super) fn plan(&self) -> Arc<Plan> {
        self.plan.load_full()
    }

    /// A new plan. Where it has new domains: what the store has of their reports was read up to this place.
    pub(super) fn set_plan(&self, plan: Plan, read_to: Option<NewsCursor>) {
        // In this order: who takes the place goes by the plan that has the domains.
        self.plan.store(Arc::new(plan));
        let mut came_at = self.came_at.lock().unwrap_or_else(PoisonError::into_inner);
        *came_at = came_at.take().into_iter().chain(read_to).min();
    }

    /// From where news may be missed of domains that came since this was asked last.
    pub(super) fn take_came_at(&self) -> Option<NewsCursor> {
        self.came_at.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Room for bytes as they came. What is larger than all room together takes it all.
    pub(super) async fn room_for_raw(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        room(&self.raw, bytes, RAW_MOST).await
    }

    /// Room for a report as it was read.
    pub(super) async fn room_for_read(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        room(&self.read, bytes, READ_MOST).await
    }

    /// Who uses the mail hosts that reports name, as far as is known now.
    pub(super) fn users<'a>(&self, plan: &Plan, reports: impl IntoIterator<Item = &'a OpenedReport>) -> Users {
        // Let go at the end: who kept it would keep a fleet in memory twice.
        let snapshot = Arc::clone(&self.snapshots.borrow());
        let reports = reports.into_iter().map(|one| (&*one.report.policies, one.hints()));
        users_of(&plan.inventory, reports, &snapshot, || plan.is_looked_at(&snapshot))
    }

    pub(super) fn count_refused(&self, reason: RefusalReason) {
        add(&mut self.refused.lock().unwrap_or_else(PoisonError::into_inner), &[(reason, 1)].into());
    }

    pub(super) fn has_refused(&self) -> bool {
        !self.refused.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    pub(super) fn take_refused(&self) -> BTreeMap<RefusalReason, u64> {
        std::mem::take(&mut *self.refused.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn give_back_refused(&self, refused: &BTreeMap<RefusalReason, u64>) {
        add(&mut self.refused.lock().unwrap_or_else(PoisonError::into_inner), refused);
    }
}

/// Who uses the mail hosts that reports name without saying which of the domains behind them is meant. The whole fleet is gone through
/// at most once, and for those hosts alone: most reports name domains.
fn users_of<'a>(
    inventory: &DomainList,
    reports: impl IntoIterator<Item = (&'a [ReportedPolicy], Hints<'a>)>,
    snapshot: &Snapshot,
    is_complete: impl FnOnce() -> bool,
) -> Users {
    let (mut users, mut wanted) = (Users::default(), BTreeSet::new());
    for (policies, hints) in reports {
        let hinted = hinted(hints).and_then(|domain| snapshot.domains.get(domain.as_str()));
        for name in named_hosts(policies, inventory) {
            match hinted.and_then(|known| Some((known, known.uses_by_name(name)?))) {
                Some((known, host)) => users.add(host, known.domain()),
                None => _ = wanted.insert(name),
            }
        }
    }
    if wanted.is_empty() {
        return users;
    }
    users.complete = is_complete();
    for known in snapshot.domains.iter() {
        for host in known.summary.iter().flat_map(|summary| summary.hosts.iter()) {
            if wanted.contains(host.as_str()) && !users.is_crowded(host) {
                users.add(host, known.domain());
            }
        }
    }
    users
}

/// Whether each configured domain was looked at since it is there. Never where there is none: an instance that stands by knows nothing
/// of the hosts of any domain.
fn is_looked_at(configured: &DomainList, snapshot: &Snapshot) -> bool {
    let seen =
        |domain: &PolicyDomain| snapshot.domains.get(domain.as_str()).is_some_and(|known| known.summary.is_some());
    !configured.is_empty() && configured.iter().map(|one| &one.domain).all(seen)
}

async fn room(room: &Arc<Semaphore>, bytes: usize, most: usize) -> Option<OwnedSemaphorePermit> {
    let kib = bytes.div_ceil(KIB).min(most / KIB).max(1);
    // It is never closed.
    Arc::clone(room).acquire_many_owned(u32::try_from(kib).unwrap_or(u32::MAX)).await.ok()
}

/// About how many bytes a report takes in memory.
pub(super) fn weight(report: &TlsReport) -> usize {
    let texts = |list: &[String]| list.iter().map(|text| text.len() + size_of::<String>()).sum::<usize>();
    let optional = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let detail = |one: &FailureDetail| {
        size_of::<FailureDetail>()
            + [&one.receiving_mx, &one.receiving_helo, &one.reason, &one.more].map(optional).iter().sum::<usize>()
    };
    let policy = |one: &ReportedPolicy| {
        size_of::<ReportedPolicy>()
            + texts(&one.mx)
            + texts(&one.policy_string)
            + one.failures.iter().map(detail).sum::<usize>()
    };
    // Twice the policies: those of the report, and those that each domain gets.
    size_of::<TlsReport>() + 2 * report.policies.iter().map(policy).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{metrics::fixture, protocol::tls_rpt::PolicyType, verdict::Assessment};

    fn domain(name: &str) -> PolicyDomain {
        PolicyDomain::parse(name).unwrap()
    }

    /// Domains of these names, all on the two hosts of a provider, and one of which nothing is known yet.
    fn snapshot(names: &[&str], unseen: &str) -> Snapshot {
        let mut snapshot = Snapshot::default();
        let shared = fixture::on_shared_hosts().assessment.unwrap();
        for name in names {
            let seen = Assessment { domain: domain(name), ..(*shared).clone() };
            snapshot.put(fixture::domain_state(name, Some(seen)));
        }
        snapshot.put(fixture::domain_state(unseen, None));
        snapshot
    }

    fn tlsa(name: &str) -> ReportedPolicy {
        ReportedPolicy { policy_type: PolicyType::Tlsa, domain: Some(name.to_owned()), ..ReportedPolicy::default() }
    }

    #[test]
    fn the_fleet_is_gone_through_for_hosts_that_are_asked_for_alone() {
        let snapshot = snapshot(&["a.test", "b.test"], "c.test");
        let inventory: DomainList = ["a.test", "b.test", "c.test"].map(domain).into_iter().collect();
        let (first, a) = ("mx1.mail.provider.example", domain("a.test"));
        let hints = Hints { report_domain: Some(&a), named_domain: None };
        let sts = ReportedPolicy { domain: Some(first.to_owned()), ..ReportedPolicy::default() };
        // What names its domain asks nobody.
        let policies = [tlsa("b.test"), sts, ReportedPolicy::default()];
        let no_one = || panic!("it is not asked whether all were looked at");
        assert_eq!(users_of(&inventory, [(&policies[..], Hints::default())], &snapshot, no_one), Users::default());
        let found = |users: &Users| -> Vec<(String, Vec<String>)> {
            let names = |of: &BTreeSet<PolicyDomain>| of.iter().map(ToString::to_string).collect();
            users.hosts.iter().map(|(host, of)| (host.to_string(), names(of))).collect()
        };
        let policies = [tlsa(first)];
        let users = users_of(&inventory, [(&policies[..], hints)], &snapshot, no_one);
        assert_eq!(found(&users), [(first.to_owned(), vec!["a.test".to_owned()])]);
        for complete in [false, true] {
            let asked = [(&policies[..], Hints::default()), (&policies[..], hints)];
            let users = users_of(&inventory, asked, &snapshot, || complete);
            assert_eq!(found(&users), [(first.to_owned(), vec!["a.test".to_owned(), "b.test".to_owned()])]);
            assert_eq!(users.complete, complete);
        }
    }

    #[test]
    fn all_are_looked_at_when_each_was() {
        let snapshot = snapshot(&["a.test", "b.test"], "c.test");
        let is_looked_at = |names: &[&str]| {
            let configured: DomainList = names.iter().copied().map(domain).collect();
            is_looked_at(&configured, &snapshot)
        };
        assert!(is_looked_at(&["a.test", "b.test"]));
        assert!(!is_looked_at(&["a.test", "c.test"]), "nothing is known of one");
        assert!(!is_looked_at(&["a.test", "d.test"]), "one is not there yet");
        assert!(!is_looked_at(&[]), "who stands by knows of no host");
    }
}
