//! What a store has of domains and mail hosts, as the monitor takes it.

use std::{
    collections::HashSet,
    fmt,
    num::NonZero,
    panic::resume_unwind,
    sync::Arc,
    thread::{available_parallelism, scope},
};

use futures_util::{FutureExt, StreamExt, future::join, stream};
use tokio::{sync::mpsc, task::spawn_blocking};

use super::{
    face::{self, Face},
    fleet::{Due, Fleet, Restoring},
    intake::KeptReports,
};
use crate::{
    store::{DomainRow, HostRow, PackedError, PackedFaces, Store, StoreError, StoredDomain, StoredHost},
    terms::{MxHost, PolicyDomain, Timestamp},
};

/// So many parts of what is read wait for who takes them at most: enough that neither waits for the other at each of them.
const PARTS_WAITING: usize = 4;

/// What was kept of some domains.
#[derive(Debug, Default)]
pub struct Kept {
    /// The domains.
    pub(super) domains: Vec<KeptDomain>,
    /// Their mail hosts.
    pub(super) hosts: Vec<HostRow>,
    /// What reports say of them.
    pub(super) reports: KeptReports,
    /// The store that all of it is from.
    pub(super) of: Option<Arc<dyn Store>>,
}

/// A domain that was kept.
#[derive(Debug)]
pub(super) struct KeptDomain {
    /// Without its face.
    pub(super) row: DomainRow,
    /// What lists and scrapes showed of it; nothing where there is none that can be read.
    pub(super) face: Option<Face>,
    /// What is to be known of it at once, where no face says it; nothing where the state cannot be read.
    pub(super) brief: Option<Brief>,
    /// The face lay apart: the row is of an earlier look.
    pub(super) apart: bool,
}

impl KeptDomain {
    /// The mail hosts that are probed.
    fn hosts(&self) -> &[MxHost] {
        match (&self.face, &self.brief) {
            (Some(face), _) => face.hosts(),
            (None, Some(brief)) => &brief.hosts,
            (None, None) => &[],
        }
    }
}

impl From<DomainRow> for KeptDomain {
    fn from(row: DomainRow) -> Self {
        let face = face::read(&row);
        // Whoever reads rows does it beside the keeper, who would be busy for a minute with a million after an upgrade.
        let brief = if face.is_none() { readable(&row.domain, row.open()).map(Brief::of) } else { None };
        Self { row: DomainRow { face: None, ..row }, face, brief, apart: false }
    }
}

/// What a state says of a domain before it is judged.
#[derive(Debug)]
pub(super) struct Brief {
    /// The mail hosts that are probed.
    pub(super) hosts: Vec<MxHost>,
    /// When it was looked at last.
    pub(super) seen_at: Option<Timestamp>,
    /// Looks in a row in which lookups failed, and in which the policy did.
    pub(super) failures: (u32, u32),
}

impl Brief {
    fn of(kept: StoredDomain) -> Self {
        Self {
            seen_at: kept.observation.as_ref().map(|seen| seen.started_at),
            failures: (kept.dns_failures, kept.policy_failures),
            hosts: kept.hosts,
        }
    }
}

impl Kept {
    /// Reads what was kept of these domains and of their mail hosts.
    ///
    /// # Errors
    /// [`StoreError`] where it cannot be read.
    pub async fn load(store: &dyn Store, domains: &[PolicyDomain]) -> Result<Self, StoreError> {
        let reports = KeptReports::load(store, domains).await?;
        let rows = store.domains(domains).await?;
        let opened = spawn_blocking(move || {
            let domains = opened(rows);
            let hosts = hosts_of(&domains);
            (domains, hosts)
        });
        let (domains, hosts) = opened.await.unwrap_or_else(|error| resume_unwind(error.into_panic()));
        Ok(Self { domains, hosts: store.hosts(&hosts).await?, reports, ..Self::default() })
    }

    /// The domains that can be read.
    pub fn opened_domains(&self) -> impl Iterator<Item = StoredDomain> {
        self.domains.iter().filter_map(|KeptDomain { row, .. }| readable(&row.domain, row.open()))
    }

    /// The mail hosts that can be read.
    pub fn opened_hosts(&self) -> impl Iterator<Item = StoredHost> {
        self.hosts.iter().filter_map(|row| readable(&row.host, row.open()))
    }
}

/// A fleet that begins (`begin`), with what a store has of its domains, and when each is due. Part by part: other threads read and open
/// some while the fleet takes over others, and a million domains never lie here twice.
///
/// # Errors
/// [`StoreError`] where it cannot be read.
pub(super) async fn taken_over(
    begin: impl FnOnce() -> Fleet,
    store: &dyn Store,
    domains: HashSet<PolicyDomain>,
    now: Timestamp,
) -> Result<(Fleet, Vec<Due>), StoreError> {
    let faces_written_at = match store.faces_apart() {
        Some(apart) => apart.faces_written_at().await?,
        None => None,
    };
    let mut restoring = Restoring::beside(faces_written_at);
    let (parts, mut inbox) = mpsc::channel::<Vec<KeptDomain>>(PARTS_WAITING);
    let part = move |rows: Vec<DomainRow>| {
        let kept = rows.into_iter().map(KeptDomain::from).collect();
        let parts = parts.clone();
        async move { parts.send(kept).await.is_ok() }.boxed()
    };
    let read = store.domains_by_parts(Arc::new(domains), Arc::new(part));
    let take = async {
        // By now the first parts are being read.
        let mut fleet = begin();
        while let Some(kept) = inbox.recv().await {
            fleet.take_over(kept, &mut restoring, now);
        }
        fleet
    };
    let (read, mut fleet) = join(read, take).await;
    read?;
    if let Some(apart) = store.faces_apart() {
        let packs = apart.faces().await?;
        let opened = packs.into_iter().map(|packed| spawn_blocking(move || faces(&packed)));
        let mut opened = stream::iter(opened).buffered(processors());
        while let Some(faces) = opened.next().await {
            fleet.show_later_looks(faces.unwrap_or_else(|error| resume_unwind(error.into_panic())), &mut restoring);
        }
    }
    let hosts: Vec<MxHost> = restoring.hosts().cloned().collect();
    let hosts = store.hosts(&hosts).await?;
    let due = fleet.restored(restoring, hosts, now);
    Ok((fleet, due))
}

/// The faces of a pack that can be read.
fn faces(packed: &PackedFaces) -> Vec<(PolicyDomain, Face)> {
    let faces = packed.open().inspect_err(|error| {
        tracing::error!(%error, "what was shown of some domains cannot be read; what was written before is shown");
    });
    let read = |(domain, bytes): (PolicyDomain, Box<[u8]>)| {
        let face = face::read_bytes(&domain, &bytes)?;
        Some((domain, face))
    };
    faces.into_iter().flatten().filter_map(read).collect()
}

/// So many faces are worth a thread of their own.
const FACES_A_THREAD: usize = 10_000;

fn processors() -> usize {
    available_parallelism().map_or(1, NonZero::get)
}

/// Reads the faces of rows, of many on all processors: those of a large fleet would keep one busy for seconds before anything is shown.
fn opened(mut rows: Vec<DomainRow>) -> Vec<KeptDomain> {
    let a_thread = rows.len().div_ceil(processors()).max(FACES_A_THREAD);
    let mut parts = Vec::new();
    while rows.len() > a_thread {
        parts.push(rows.split_off(rows.len() - a_thread));
    }
    let read = |part: Vec<DomainRow>| part.into_iter().map(KeptDomain::from).collect::<Vec<_>>();
    scope(|scope| {
        let others: Vec<_> = parts.into_iter().map(|part| scope.spawn(move || read(part))).collect();
        let mut domains = read(rows);
        for other in others {
            domains.append(&mut other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        domains
    })
}

/// The mail hosts of domains that were kept, each once.
fn hosts_of(domains: &[KeptDomain]) -> Vec<MxHost> {
    let known: HashSet<&MxHost> = domains.iter().flat_map(KeptDomain::hosts).collect();
    known.into_iter().cloned().collect()
}

/// What was kept, where it can be read: damage takes one subject's past and nothing else.
pub(super) fn readable<T>(name: &impl fmt::Display, opened: Result<T, PackedError>) -> Option<T> {
    opened.inspect_err(|error| tracing::error!(%name, %error, "what was kept cannot be read; it begins anew")).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tempfile::tempdir;

    use super::*;
    use crate::{
        config::{DomainSettings, parse},
        facts::DnssecSight,
        metrics::fixture,
        monitor::{KnownDomain, Summary, fleet::Target},
        store::{self, Batch, Packed},
    };

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_003_600);

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_unix_seconds(1_800_000_000 + 60 * minutes)
    }

    /// A domain as it was shown after a look at this time.
    fn looked_at(name: &str, at: Timestamp) -> DomainRow {
        let domain = PolicyDomain::parse(name).unwrap();
        let mut known = KnownDomain::new(DomainSettings::new(domain.clone()));
        known.summary = Some(Summary { checked_at: at, ..Summary::of(&fixture::healthy(), None) });
        DomainRow { domain, state: Packed::from_bytes([0]), face: face::written(&known), saved_at: None }
    }

    fn domain_of((target, _): &Due) -> Option<&PolicyDomain> {
        if let Target::Domain(domain) = target { Some(domain) } else { None }
    }

    fn packed(rows: &[DomainRow]) -> PackedFaces {
        PackedFaces::of(rows.iter().map(|row| (&row.domain, row.face.as_deref().unwrap()))).unwrap()
    }

    /// A fleet of these domains, with what a store has of them.
    async fn restored(store: &dyn Store, names: &[String]) -> (Fleet, Vec<Due>) {
        let text =
            format!("resolver: {{servers: [192.0.2.53], dnssec: off}}\ndomains: [{}, new.example]", names.join(", "));
        let settings = Arc::new(parse("test.yml", &text).unwrap().settings);
        let names = settings.domains.iter().map(|one| one.domain.clone()).collect();
        taken_over(|| Fleet::new(settings, DnssecSight::Off), store, names, NOW).await.unwrap()
    }

    /// As of which look a domain is shown.
    fn shown_at(fleet: &Fleet, name: &str) -> Option<Timestamp> {
        let known = fleet.known(&PolicyDomain::parse(name).unwrap()).unwrap();
        known.summary.as_ref().map(|summary| summary.checked_at)
    }

    #[tokio::test]
    async fn of_two_faces_the_one_of_the_later_look_is_shown() {
        let bare = DomainRow { face: None, ..looked_at("bare.example", at(0)) };
        let unreadable = bare.domain.clone();
        let rows =
            vec![looked_at("a.example", at(1)), looked_at("b.example", at(9)), looked_at("c.example", at(3)), bare];
        let names: Vec<String> = rows.iter().map(|row| row.domain.to_string()).collect();
        let apart = ["a.example", "b.example", "bare.example", "gone.example"].map(|name| looked_at(name, at(5)));
        let damaged = PackedFaces::of([(&apart[0].domain, &b"?"[..])].into_iter()).unwrap();
        let folder = tempdir().unwrap();
        let store = store::open(folder.path(), NOW).await.unwrap().store;
        store.write(Arc::new(Batch { domains: rows, ..Batch::default() }), NOW).await.unwrap();
        let packs = Arc::new(vec![damaged, packed(&apart)]);
        store.faces_apart().unwrap().write_faces(packs, true, NOW).await.unwrap();
        let expected = [("a", Some(at(5))), ("b", Some(at(9))), ("c", Some(at(3))), ("bare", None), ("new", None)];
        let shown = |fleet: &Fleet| expected.map(|(name, _)| (name, shown_at(fleet, &format!("{name}.example"))));
        let (fleet, due) = restored(store.as_ref(), &names).await;
        assert_eq!(shown(&fleet), expected);
        let seen: Vec<String> = fleet.only_seen().iter().map(|known| known.domain().to_string()).collect();
        assert_eq!(seen, ["a.example"], "its row is to be written again");
        let due: Vec<_> = due.iter().filter(|due| domain_of(due) == Some(&unreadable)).collect();
        assert!(due.is_empty(), "a state that cannot be read, without a face, begins anew");
        // What cannot be written shows the same.
        store.close().await;
        let store = store::read_only(folder.path()).await.unwrap().unwrap();
        assert_eq!(shown(&restored(store.as_ref(), &names).await.0), expected);
    }

    #[tokio::test]
    async fn of_two_faces_of_one_look_the_one_that_was_written_later_is_shown() {
        // The same look, judged again after the mail hosts were seen.
        let judged = |name: &str, failures: u32| {
            let row = looked_at(name, at(5));
            let mut known = KnownDomain::new(DomainSettings::new(row.domain.clone()));
            let summary =
                Summary { checked_at: at(5), dns_failures: failures, ..Summary::of(&fixture::healthy(), None) };
            known.summary = Some(summary);
            DomainRow { face: face::written(&known), ..row }
        };
        let names = ["before.example", "after.example"].map(ToOwned::to_owned);
        let folder = tempdir().unwrap();
        let store = store::open(folder.path(), NOW).await.unwrap().store;
        let write = |rows: Vec<DomainRow>, at: Timestamp| {
            store.write(Arc::new(Batch { domains: rows, ..Batch::default() }), at)
        };
        write(names.iter().map(|name| judged(name, 1)).collect(), NOW).await.unwrap();
        let apart = names.each_ref().map(|name| judged(name, 2));
        let second = Duration::from_secs(1);
        store.faces_apart().unwrap().write_faces(Arc::new(vec![packed(&apart)]), true, NOW + second).await.unwrap();
        write(vec![judged("after.example", 3)], NOW + 2 * second).await.unwrap();
        let (fleet, _) = restored(store.as_ref(), &names).await;
        let shown = |name: &String| {
            let known = fleet.known(&PolicyDomain::parse(name).unwrap()).unwrap();
            known.summary.as_ref().map(|summary| summary.dns_failures)
        };
        assert_eq!(names.each_ref().map(shown), [Some(2), Some(3)]);
    }

    #[tokio::test]
    async fn a_large_fleet_comes_back_in_parts_as_a_small_one_does() {
        const MANY: usize = 20_000;
        let row = looked_at("a.example", at(1));
        let name = |number: usize| PolicyDomain::parse(&format!("d{number}.example")).unwrap();
        let rows: Vec<_> = (0..MANY).map(|number| DomainRow { domain: name(number), ..row.clone() }).collect();
        let names: Vec<String> = rows.iter().skip(1).map(|row| row.domain.to_string()).collect();
        let later: Vec<_> =
            (0..MANY).step_by(2).map(|number| looked_at(&format!("d{number}.example"), at(5))).collect();
        let folder = tempdir().unwrap();
        let store = store::open(folder.path(), NOW).await.unwrap().store;
        store.write(Arc::new(Batch { domains: rows, ..Batch::default() }), NOW).await.unwrap();
        let packs = Arc::new(later.chunks(1000).map(packed).collect());
        store.faces_apart().unwrap().write_faces(packs, true, NOW).await.unwrap();
        let (mut fleet, due) = restored(store.as_ref(), &names).await;
        assert_eq!(fleet.counts()[0], MANY, "all but the one that is not configured, and one that is new");
        let shown = |at| names.iter().filter(|name| shown_at(&fleet, name) == Some(at)).count();
        assert_eq!((shown(at(1)), shown(at(5))), (MANY / 2, MANY / 2 - 1));
        let domains: HashSet<_> = due.iter().filter_map(domain_of).collect();
        assert_eq!(domains.len(), MANY - 1);
        let [first, other] = [1, 2].map(|number| fleet.known(&name(number)).unwrap().summary.clone().unwrap().hosts);
        assert!(Arc::ptr_eq(&first, &other), "one list for all");
        let snapshot = fleet.refresh_while(NOW, || false).unwrap();
        let hosts: Vec<usize> = snapshot.hosts.iter().map(|known| known.state.domains).collect();
        assert!(!hosts.is_empty() && hosts.iter().all(|users| *users == MANY - 1), "{hosts:?}");
    }

    #[test]
    fn many_rows_are_read_as_few_are() {
        let at = Timestamp::from_unix_seconds(1_800_000_000);
        let row = looked_at("a.example", at);
        let name = |number: usize| PolicyDomain::parse(&format!("d{number}.example")).unwrap();
        let rows: Vec<_> = (0..3 * FACES_A_THREAD).map(|n| DomainRow { domain: name(n), ..row.clone() }).collect();
        let domains = opened(rows);
        let mut names: Vec<_> = domains.iter().map(|kept| kept.row.domain.clone()).collect();
        names.sort();
        names.dedup();
        assert_eq!((domains.len(), names.len()), (3 * FACES_A_THREAD, 3 * FACES_A_THREAD));
        assert!(domains.iter().all(|kept| kept.face.is_some() && kept.row.face.is_none()));
        assert_eq!(hosts_of(&domains).len(), hosts_of(&domains[..1]).len());
    }
}
