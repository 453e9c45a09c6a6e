//! The text of all metrics.
//!
//! What scrapes show of a subject is rendered once for each change of it, into a block (`block.rs`) that the snapshot holds. A
//! scrape goes through the snapshot family by family and copies, through a frame of a bounded size: nothing of the size of the whole
//! is ever made, no lock is held, and a snapshot that is published meanwhile changes nothing of it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwapOption;
use hyper::body::Bytes;

use super::{
    column::{Cell, Kept, Shown},
    extent::Extent,
    frames::Frames,
    negotiation::Encoding,
    own::{self, Cache, Dropped},
    part::Part,
    registry::Subject,
    renderer::Blocks,
    shelves::Shelves,
    text::{self, Format},
};
use crate::{
    facts::Vantage,
    monitor::{DomainState, HostState, Keyed, KnownDomain, KnownHost, Rendered, Snapshot, Telemetry},
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

/// The metrics of the latest snapshot. One task updates it, any number of scrapes read it.
#[derive(Debug)]
pub struct Exposition {
    /// Of what extent blocks are, and scrapes.
    blocks: Arc<Blocks>,
    build: BuildInfo,
    /// Updates exclude each other; readers never wait for them.
    updating: Mutex<()>,
    published: ArcSwapOption<Published>,
    kept: Arc<Kept>,
    /// Series that scrapes left out.
    too_many: AtomicU64,
    unreadable: AtomicU64,
}

/// How a scrape is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The text.
    pub format: Format,
    /// The bytes.
    pub encoding: Encoding,
    /// Which of the subjects.
    pub part: Part,
}

impl Default for Wanted {
    /// Everything, as the plain text of Prometheus.
    fn default() -> Self {
        Self { format: Format::default(), encoding: Encoding::default(), part: Part::ALL }
    }
}

/// One snapshot, and what is exported of it.
#[derive(Debug)]
struct Published {
    snapshot: Arc<Snapshot>,
    domains: Shelves<KnownDomain>,
    hosts: Shelves<KnownHost>,
}

impl Shown for KnownDomain {
    fn rendered(&self) -> &Rendered {
        &self.rendered
    }
}

impl Shown for KnownHost {
    fn rendered(&self) -> &Rendered {
        &self.rendered
    }
}

impl Exposition {
    /// Metrics by the extent of these blocks, with no snapshot yet.
    pub fn new(blocks: Arc<Blocks>) -> Self {
        Self {
            blocks,
            build: BuildInfo::CURRENT,
            updating: Mutex::new(()),
            published: ArcSwapOption::empty(),
            kept: Kept::new(),
            too_many: AtomicU64::new(0),
            unreadable: AtomicU64::new(0),
        }
    }

    /// The extent in force.
    pub(super) fn extent(&self) -> Arc<Extent> {
        self.blocks.extent()
    }

    /// Shows a snapshot from now on. What scrapes asked for before is turned by family here, so that they only copy: that takes
    /// some microseconds for each subject that changed, and as much for each family of its shelf in which it did.
    pub fn update(&self, snapshot: Arc<Snapshot>) {
        let _turn = self.updating.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.published.load_full();
        let most = self.extent().most();
        // The mail hosts first: what is wrong with one of them is wrong for all of its domains.
        let hosts = Shelves::of(&snapshot.hosts, Subject::Host, most, before.as_ref().map(|before| &before.hosts));
        let left = most.saturating_sub(hosts.exported().series);
        let domains =
            Shelves::of(&snapshot.domains, Subject::Domain, left, before.as_ref().map(|before| &before.domains));
        self.published.store(Some(Arc::new(Published { snapshot, domains, hosts })));
    }

    /// Hands the bytes of a scrape to `send`, frame by frame, until it returns false: then nobody is there to read them. A frame is
    /// used again once whoever got it has dropped it.
    ///
    /// What the exporter says of itself is taken now, and reads a few files of the process.
    pub fn scrape(&self, telemetry: &Telemetry, wanted: Wanted, send: impl FnMut(Bytes) -> bool) {
        let mut frames = Frames::new(wanted.encoding, send);
        let published = self.published.load_full();
        if let Some(published) = &published {
            let extent = self.extent();
            self.families(&published.domains, &extent, wanted, &mut frames);
            self.families(&published.hosts, &extent, wanted, &mut frames);
        }
        if wanted.part.has_own() && !frames.is_over() {
            self.own(published.as_deref(), telemetry, wanted.format, &mut frames);
        }
        frames.text(|out| out.extend_from_slice(wanted.format.end()));
        frames.finish();
    }

    /// The text of a scrape in one piece: a copy, for where that is wanted.
    pub fn body(&self, telemetry: &Telemetry) -> Bytes {
        let mut text = Vec::new();
        self.scrape(telemetry, Wanted::default(), |frame| {
            text.extend_from_slice(&frame);
            true
        });
        text.into()
    }

    fn families<V: Shown>(
        &self,
        shelves: &Shelves<V>,
        extent: &Extent,
        wanted: Wanted,
        frames: &mut Frames<impl FnMut(Bytes) -> bool>,
    ) {
        let subject = shelves.subject();
        let shelves: Vec<_> = shelves
            .part(wanted.part)
            .map(|(shelf, subjects)| {
                let whole = subjects == (0..shelf.len());
                (shelf.cell(subject), subjects, whole)
            })
            .collect();
        let unreadable = shelves.iter().map(|(cell, ..)| cell.unreadable()).sum::<u64>();
        self.unreadable.fetch_add(unreadable, Ordering::Relaxed);
        for (index, family) in subject.families().iter().enumerate().filter(|(_, family)| extent.exports(family)) {
            let mut head = Vec::new();
            text::before_subject(&mut head, family.name, subject.label());
            let mut begun = false;
            for (cell, subjects, whole) in shelves.iter().filter(|(cell, subjects, _)| cell.has(index, subjects)) {
                if !begun {
                    begun = true;
                    frames.text(|out| text::header(out, wanted.format, family.name, family.help, family.kind));
                }
                frames.samples(cell, index, &head, subjects, whole.then_some(&self.kept));
                if frames.is_over() {
                    return;
                }
            }
        }
    }

    fn own(
        &self,
        published: Option<&Published>,
        telemetry: &Telemetry,
        format: Format,
        frames: &mut Frames<impl FnMut(Bytes) -> bool>,
    ) {
        let dropped = published.map_or(0, |published| published.domains.dropped() + published.hosts.dropped());
        let gathered = telemetry.gather();
        let extent = self.extent();
        let render = frames.spent();
        let view = own::View {
            build: &self.build,
            format,
            gathered: &gathered,
            dns: telemetry.dns().unwrap_or_default(),
            dropped: Dropped {
                too_many: self.too_many.fetch_add(dropped, Ordering::Relaxed) + dropped,
                unreadable: self.unreadable.load(Ordering::Relaxed),
            },
            cache: Cache {
                cells: published.map_or(0, |published| published.domains.turned() + published.hosts.turned()),
                gzip: self.kept.bytes(),
            },
            seen: published.map(|published| own::Seen {
                vantage: &published.snapshot.vantage,
                canaries: &published.snapshot.canaries,
                render,
                bytes: published.domains.exported().bytes + published.hosts.exported().bytes,
                series: published.domains.exported().series + published.hosts.exported().series,
                intake: published.snapshot.intake.as_deref(),
            }),
        };
        frames.text(|out| {
            for row in own::rows().filter(|row| extent.exports(&row.family)) {
                row.write(&view, extent.level(), out);
            }
        });
    }
}

/// A subject that is shown alone.
#[derive(Debug)]
struct Alone {
    name: String,
    rendered: Rendered,
}

impl Keyed for Alone {
    fn key(&self) -> &str {
        &self.name
    }
}

impl Shown for Alone {
    fn rendered(&self) -> &Rendered {
        &self.rendered
    }
}

impl Extent {
    /// The samples of some domains and mail hosts, by name, without what the exporter says of itself.
    pub(super) fn text<'a>(
        &self,
        domains: impl Iterator<Item = &'a DomainState>,
        hosts: impl Iterator<Item = &'a HostState>,
        vantage: &Vantage,
        out: &mut Vec<u8>,
    ) {
        let domain = |state: &DomainState| (state.domain.to_string(), self.domain(state, vantage));
        let host = |state: &HostState| (state.host.to_string(), self.host(state, vantage));
        alone(domains.map(domain).collect(), Subject::Domain, out);
        alone(hosts.map(host).collect(), Subject::Host, out);
    }
}

/// So many subjects are turned by families at a time, as those of a shelf are.
const TOGETHER: usize = 256;

fn alone(rendered: BTreeMap<String, Rendered>, subject: Subject, out: &mut Vec<u8>) {
    let all: Vec<Arc<Alone>> =
        rendered.into_iter().map(|(name, rendered)| Arc::new(Alone { name, rendered })).collect();
    let cells: Vec<(Cell, usize)> =
        all.chunks(TOGETHER).map(|some| (Cell::of(some, subject, None), some.len())).collect();
    for (index, family) in subject.families().iter().enumerate() {
        if cells.iter().any(|(cell, subjects)| cell.has(index, &(0..*subjects))) {
            text::header(out, Format::Prometheus, family.name, family.help, family.kind);
        }
        let mut head = Vec::new();
        text::before_subject(&mut head, family.name, subject.label());
        for (cell, subjects) in &cells {
            cell.write(index, &head, &(0..*subjects), out);
        }
    }
}
