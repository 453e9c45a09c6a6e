//! What all ways in share: the plan of the configuration, who uses which mail host, and the bounds on memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use arc_swap::ArcSwap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::{attribute::Users, filer::add, quarantine::Quarantine};
use crate::{
    config::{DomainList, ReportAuthentication, Settings},
    monitor::Snapshot,
    net::resolver::Resolver,
    protocol::tls_rpt::{FailureDetail, RefusalReason, ReportReader, ReportedPolicy, TlsReport},
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
        }
    }
}

/// Who uses which mail host, with the plan and the snapshot that say so.
type KnownUsers = (Arc<Plan>, Arc<Snapshot>, Arc<Users>);

#[derive(Debug)]
pub(super) struct Shared {
    plan: ArcSwap<Plan>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    /// The users of hosts by the plan and the snapshot of which they were taken.
    users: Mutex<Option<KnownUsers>>,
    refused: Mutex<BTreeMap<RefusalReason, u64>>,
    readers: Mutex<Vec<ReportReader>>,
    pub(super) quarantine: Option<Quarantine>,
    raw: Arc<Semaphore>,
    read: Arc<Semaphore>,
    pub(super) turns: Arc<Semaphore>,
}

impl Shared {
    pub(super) fn new(plan: Plan, snapshots: watch::Receiver<Arc<Snapshot>>, state: Option<&Path>) -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self {
            plan: ArcSwap::from_pointee(plan),
            snapshots,
            users: Mutex::default(),
            refused: Mutex::default(),
            readers: Mutex::default(),
            quarantine: state.map(Quarantine::new),
            raw: Arc::new(Semaphore::new(RAW_MOST / KIB)),
            read: Arc::new(Semaphore::new(READ_MOST / KIB)),
            turns: Arc::new(Semaphore::new(processors.min(READERS_MOST))),
        }
    }

    pub(super) fn plan(&self) -> Arc<Plan> {
        self.plan.load_full()
    }

    pub(super) fn set_plan(&self, plan: Plan) {
        self.plan.store(Arc::new(plan));
    }

    /// Room for bytes as they came. What is larger than all room together takes it all.
    pub(super) async fn room_for_raw(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        room(&self.raw, bytes, RAW_MOST).await
    }

    /// Room for a report as it was read.
    pub(super) async fn room_for_read(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        room(&self.read, bytes, READ_MOST).await
    }

    /// Does something with a reader, of which there are no more than turns.
    pub(super) fn with_reader<T>(&self, work: impl FnOnce(&mut ReportReader) -> T) -> T {
        let reader = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut reader = reader.unwrap_or_default();
        let result = work(&mut reader);
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
        result
    }

    /// Who uses which mail host, as far as is known now.
    pub(super) fn users(&self) -> Arc<Users> {
        let plan = self.plan();
        let snapshot = Arc::clone(&self.snapshots.borrow());
        let mut known = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((planned, seen, users)) = &*known
            && Arc::ptr_eq(planned, &plan)
            && Arc::ptr_eq(seen, &snapshot)
        {
            return Arc::clone(users);
        }
        let users = Arc::new(users_of(&plan.domains, &snapshot));
        *known = Some((plan, snapshot, Arc::clone(&users)));
        users
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

/// Who uses which mail host; incomplete while a configured domain was not looked at since it is there.
fn users_of(configured: &DomainList, snapshot: &Snapshot) -> Users {
    let seen =
        |domain: &PolicyDomain| snapshot.domains.get(domain.as_str()).is_some_and(|known| known.summary.is_some());
    let mut users = Users { complete: configured.iter().map(|one| &one.domain).all(seen), ..Users::default() };
    for known in snapshot.domains.iter() {
        for host in known.summary.iter().flat_map(|summary| &summary.hosts) {
            users.hosts.entry(host.clone()).or_default().insert(known.domain().clone());
        }
    }
    users
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
