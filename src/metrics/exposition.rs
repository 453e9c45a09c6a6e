//! The text of all metrics, rendered once for each change.
//!
//! Each domain and each mail host has a block of text, cut by family, that is kept while its state is the same `Arc`: a
//! publication renders what changed. The blocks are joined by family when the first scrape asks for them, once for each
//! publication; later scrapes share those bytes. Series of what is gone vanish with its block.

use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use hyper::body::Bytes;

use super::{
    domain, host, own,
    registry::{Family, Level, Sight},
    text,
};
use crate::{
    facts::Vantage,
    monitor::{DomainState, Keyed, KnownDomain, KnownHost, Snapshot, Telemetry},
    store::IntakeCounters,
    terms::MxHost,
};

/// Of which build the program is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuildInfo {
    /// The version.
    pub version: &'static str,
    /// The revision of the source, empty where it is not known.
    pub revision: &'static str,
    /// The version of the compiler, empty where it is not known.
    pub rust_version: &'static str,
}

impl BuildInfo {
    /// This build. `SMTPTLS_REVISION` and `SMTPTLS_RUSTVERSION` in the environment of the compiler say the rest.
    pub const CURRENT: Self = Self {
        version: env!("CARGO_PKG_VERSION"),
        revision: match option_env!("SMTPTLS_REVISION") {
            Some(revision) => revision,
            None => "",
        },
        rust_version: match option_env!("SMTPTLS_RUSTVERSION") {
            Some(version) => version,
            None => "",
        },
    };
}

/// The metrics of the latest snapshot as text. One task updates it, any number of scrapes read it.
#[derive(Debug)]
pub struct Exposition {
    level: Level,
    build: BuildInfo,
    /// Updates exclude each other; readers never wait for them.
    updating: Mutex<()>,
    published: ArcSwapOption<Published>,
}

/// The text of one scrape, in two parts that are to be sent one after the other.
#[derive(Clone, Debug)]
pub struct Page {
    /// Domains and mail hosts; shared with other scrapes.
    pub subjects: Bytes,
    /// The exporter itself.
    pub own: Bytes,
}

impl Page {
    /// Its media type.
    pub const CONTENT_TYPE: &str = text::CONTENT_TYPE;
}

/// One snapshot, rendered.
#[derive(Debug)]
struct Published {
    sight: Sight,
    domains: Vec<Arc<Block<KnownDomain>>>,
    hosts: Vec<Arc<Block<KnownHost>>>,
    vantage: Arc<Vantage>,
    canaries: Vec<(MxHost, Option<bool>)>,
    intake: Option<Arc<IntakeCounters>>,
    series: usize,
    update: Duration,
    joined: OnceLock<Joined>,
}

#[derive(Debug)]
struct Joined {
    text: Bytes,
    took: Duration,
}

/// The samples of one subject, cut by family.
#[derive(Debug)]
struct Block<S> {
    /// Of what; held, so that a state at the same address is the same state.
    state: Arc<S>,
    text: Vec<u8>,
    /// Where each family of the table ends in `text`.
    ends: Vec<usize>,
    series: usize,
}

impl Exposition {
    /// Metrics of one level, with no snapshot yet.
    pub fn new(level: Level) -> Self {
        Self { level, build: BuildInfo::CURRENT, updating: Mutex::new(()), published: ArcSwapOption::empty() }
    }

    /// The level.
    pub(super) const fn level(&self) -> Level {
        self.level
    }

    /// Renders what changed since the last update. What did not is recognised by its `Arc`.
    pub fn update(&self, snapshot: &Snapshot) {
        let _turn = self.updating.lock().unwrap_or_else(PoisonError::into_inner);
        let began = Instant::now();
        let sight = Sight::of(&snapshot.vantage);
        let before = self.published.load_full();
        // What this side sees decides about samples of every subject.
        let kept = before.as_ref().filter(|before| before.sight == sight);
        let domains = merge(kept.map_or(&[], |kept| &kept.domains), snapshot.domains.sorted().into_iter(), |known| {
            self.domain_block(known, &snapshot.open(known), sight)
        });
        let hosts = merge(kept.map_or(&[], |kept| &kept.hosts), snapshot.hosts.sorted().into_iter(), |known| {
            self.host_block(known, sight)
        });
        let series = domains.iter().map(|block| block.series).sum::<usize>()
            + hosts.iter().map(|block| block.series).sum::<usize>();
        self.published.store(Some(Arc::new(Published {
            sight,
            domains,
            hosts,
            vantage: Arc::clone(&snapshot.vantage),
            canaries: snapshot.canaries.clone(),
            intake: snapshot.intake.clone(),
            series,
            update: began.elapsed(),
            joined: OnceLock::new(),
        })));
    }

    /// The samples of domains and mail hosts alone.
    pub(super) fn subjects(&self) -> Bytes {
        let published = self.published.load_full();
        published.map_or_else(Bytes::new, |published| {
            published.joined.get_or_init(|| published.join(self.level)).text.clone()
        })
    }

    /// The text of a scrape now. The first call after an update joins the blocks; what the exporter says of itself is
    /// written at each call, and reads a few files of the process.
    pub fn page(&self, telemetry: &Telemetry) -> Page {
        let published = self.published.load_full();
        let joined = published.as_ref().map(|published| published.joined.get_or_init(|| published.join(self.level)));
        let gathered = telemetry.gather();
        let view = own::View {
            build: &self.build,
            gathered: &gathered,
            dns: telemetry.dns().unwrap_or_default(),
            seen: published.as_ref().zip(joined).map(|(published, joined)| own::Seen {
                vantage: &published.vantage,
                canaries: &published.canaries,
                render: published.update + joined.took,
                bytes: joined.text.len(),
                series: published.series,
                intake: published.intake.as_deref(),
            }),
        };
        let mut own = Vec::new();
        for row in own::rows().filter(|row| row.family.level <= self.level) {
            row.write(&view, self.level, &mut own);
        }
        let subjects = joined.map_or_else(Bytes::new, |joined| joined.text.clone());
        Page { subjects, own: own.into() }
    }

    /// The text of a scrape in one piece: a copy, for where that is wanted.
    pub fn body(&self, telemetry: &Telemetry) -> Bytes {
        let page = self.page(telemetry);
        let mut text = Vec::with_capacity(page.subjects.len() + page.own.len());
        text.extend_from_slice(&page.subjects);
        text.extend_from_slice(&page.own);
        text.into()
    }

    fn domain_block(&self, known: &Arc<KnownDomain>, state: &DomainState, sight: Sight) -> Block<KnownDomain> {
        let mut block = Block::new(known, domain::rows().count());
        for row in domain::rows() {
            if row.family.level <= self.level {
                block.series += row.write(state, sight, self.level, &mut block.text);
            }
            block.ends.push(block.text.len());
        }
        block.text.shrink_to_fit();
        block
    }

    fn host_block(&self, known: &Arc<KnownHost>, sight: Sight) -> Block<KnownHost> {
        let state = &*known.state;
        let mut block = Block::new(known, host::ROWS.len());
        let addresses: Vec<String> = state.paths.iter().map(|path| path.address.to_string()).collect();
        for row in host::ROWS {
            if row.family.level <= self.level {
                block.series += row.write(state, &addresses, sight, self.level, &mut block.text);
            }
            block.ends.push(block.text.len());
        }
        block.text.shrink_to_fit();
        block
    }
}

impl<S> Block<S> {
    fn new(state: &Arc<S>, families: usize) -> Self {
        Self { state: Arc::clone(state), text: Vec::new(), ends: Vec::with_capacity(families), series: 0 }
    }

    /// The samples of the family at `row` of the table.
    fn family(&self, row: usize) -> &[u8] {
        let start = row.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.ends.get(row).and_then(|end| self.text.get(start..*end)).unwrap_or(&[])
    }
}

/// The blocks of `states`, in their order: those of `before` where the state is the same, else new ones. Both are sorted.
fn merge<'a, S: Keyed + 'a>(
    before: &[Arc<Block<S>>],
    states: impl Iterator<Item = &'a Arc<S>>,
    render: impl Fn(&Arc<S>) -> Block<S>,
) -> Vec<Arc<Block<S>>> {
    let mut before = before.iter().peekable();
    states
        .map(|state| {
            while before.next_if(|block| block.state.key() < state.key()).is_some() {}
            match before.peek() {
                Some(block) if Arc::ptr_eq(&block.state, state) => Arc::clone(block),
                _ => Arc::new(render(state)),
            }
        })
        .collect()
}

impl Published {
    fn join(&self, level: Level) -> Joined {
        let began = Instant::now();
        let blocks: usize = self.domains.iter().map(|block| block.text.len()).sum::<usize>()
            + self.hosts.iter().map(|block| block.text.len()).sum::<usize>();
        let mut text = Vec::with_capacity(blocks + HEADERS);
        for (index, row) in domain::rows().enumerate() {
            join_family(&row.family, level, self.domains.iter().map(|block| block.family(index)), &mut text);
        }
        for (index, row) in host::ROWS.iter().enumerate() {
            join_family(&row.family, level, self.hosts.iter().map(|block| block.family(index)), &mut text);
        }
        Joined { text: text.into(), took: began.elapsed() }
    }
}

/// Bytes kept free for the lines `HELP` and `TYPE` of all families; more is no fault.
const HEADERS: usize = 32 << 10;

fn join_family<'a>(family: &Family, level: Level, blocks: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    if family.level > level {
        return;
    }
    let start = out.len();
    text::header(out, family.name, family.help, family.kind.as_str());
    let header = out.len();
    for block in blocks {
        out.extend_from_slice(block);
    }
    if out.len() == header {
        out.truncate(start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::fixture;

    fn published(exposition: &Exposition) -> Arc<Published> {
        exposition.published.load_full().unwrap()
    }

    #[test]
    fn what_did_not_change_is_not_rendered_again() {
        let exposition = Exposition::new(Level::Full);
        let mut snapshot = fixture::snapshot();
        exposition.update(&snapshot);
        let before = published(&exposition);
        let changed = fixture::domain_state("dark.example", Some(fixture::dark("dark.example")));
        snapshot.put(changed);
        exposition.update(&snapshot);
        let after = published(&exposition);
        for (one, other) in before.domains.iter().zip(&after.domains) {
            let same = one.state.key() != "dark.example";
            assert_eq!(Arc::ptr_eq(one, other), same, "{}", one.state.key());
        }
        assert!(before.hosts.iter().zip(&after.hosts).all(|(one, other)| Arc::ptr_eq(one, other)));
    }

    #[test]
    fn scrapes_of_one_snapshot_share_one_text() {
        let exposition = Exposition::new(Level::Normal);
        let telemetry = Telemetry::new().unwrap();
        exposition.update(&fixture::snapshot());
        let (one, other) = (exposition.page(&telemetry).subjects, exposition.page(&telemetry).subjects);
        assert!(!one.is_empty());
        assert_eq!(one.as_ptr(), other.as_ptr());
        assert_eq!(exposition.body(&telemetry).get(..one.len()), Some(&*one));
    }
}
