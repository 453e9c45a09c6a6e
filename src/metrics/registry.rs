//! What a row of the table is, how its samples are taken, and the documentation that is made from the rows.

use std::{fmt::Write as _, sync::LazyLock};

use super::{
    block, domain, host, intake, inventory, own, probe,
    text::{self, Value},
    web,
    worst::Worst,
};
use crate::facts::{DnssecSight, Vantage};

/// How much is exported. Each level holds the ones before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// What alerts need.
    Summary,
    /// What dashboards need.
    #[default]
    Normal,
    /// All.
    Full,
}

/// The type of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Rises and falls.
    Gauge,
    /// Only rises.
    Counter,
    /// Counts by size.
    Histogram,
}

/// A family of metrics: what people may rely on.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// From which level on it is exported.
    pub level: Level,
    /// The names of its labels, in their order.
    pub labels: &'static [&'static str],
    /// What it means: the `HELP` line.
    pub help: &'static str,
    /// When there is no sample of it.
    pub absent: &'static str,
}

/// A family with the function that takes its samples.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<F> {
    pub(super) family: Family,
    pub(super) samples: F,
}

/// What this side could see: some facts are withheld while it sees too little.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sight {
    /// DNSSEC is validated, here or by a resolver that can be believed.
    pub(super) dnssec: bool,
    /// Port 25 is shut off here: a connection that fails says nothing about the peer.
    pub(super) smtp_blocked: bool,
}

impl Sight {
    pub(super) const fn of(vantage: &Vantage) -> Self {
        Self { dnssec: matches!(vantage.dnssec, DnssecSight::Validating), smtp_blocked: vantage.smtp_blocked }
    }
}

/// Takes the samples of one family about one subject.
#[derive(Debug)]
pub(super) struct Samples<'a> {
    sink: Sink<'a>,
    family: &'static Family,
    subject: &'a [&'a str],
    level: Level,
    count: usize,
}

/// Where samples go.
#[derive(Debug)]
pub(super) enum Sink<'a> {
    /// Into a text.
    Text(&'a mut Vec<u8>),
    /// Into the block of their subject.
    Block(&'a mut block::Writer),
    /// To those of the other addresses of a mail host, which one set is to stand for.
    Worst(&'a mut Worst),
}

impl<'a> Samples<'a> {
    /// `subject` holds the values of the first labels of the family, which every sample has in common.
    pub(super) const fn new(sink: Sink<'a>, family: &'static Family, subject: &'a [&'a str], level: Level) -> Self {
        Self { sink, family, subject, level, count: 0 }
    }

    /// A sample; `others` holds the values of the labels after those of the subject.
    pub(super) fn put(&mut self, others: &[&str], value: impl Into<Value>) {
        self.put_with_suffix("", others, None, value.into());
    }

    /// The sample of the subject, where its value is known.
    pub(super) fn set<V: Into<Value>>(&mut self, value: Option<V>) {
        if let Some(value) = value {
            self.put(&[], value);
        }
    }

    /// A sample of a histogram: `suffix` as `_bucket`, `bound` as the label `le`. The exporter itself alone has them.
    pub(super) fn put_with_suffix(&mut self, suffix: &str, others: &[&str], bound: Option<&str>, value: Value) {
        let labels = self.family.labels;
        self.count += 1;
        match &mut self.sink {
            Sink::Worst(worst) => worst.take(others, value),
            Sink::Block(block) => {
                debug_assert_eq!(self.subject.len() + others.len(), labels.len(), "labels of {}", self.family.name);
                // Its own name stands before the whole block.
                block.sample(self.subject.iter().skip(1).chain(others).copied(), value);
            }
            Sink::Text(out) => {
                debug_assert_eq!(self.subject.len() + others.len(), labels.len(), "labels of {}", self.family.name);
                let values = self.subject.iter().chain(others).copied();
                let labels = labels.iter().copied().zip(values).chain(bound.map(|bound| ("le", bound)));
                text::sample(out, self.family.name, suffix, labels, value);
            }
        }
    }

    pub(super) const fn labels(&self) -> &'static [&'static str] {
        self.family.labels
    }

    pub(super) const fn name(&self) -> &'static str {
        self.family.name
    }

    pub(super) const fn level(&self) -> Level {
        self.level
    }

    /// How many samples were taken.
    pub(super) const fn count(&self) -> usize {
        self.count
    }
}

/// What samples can be about, other than the exporter itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    Domain,
    Host,
}

impl Subject {
    /// Its families, in the order of the text.
    pub(super) fn families(self) -> &'static [&'static Family] {
        static DOMAIN: LazyLock<Vec<&'static Family>> =
            LazyLock::new(|| domain::rows().map(|row| &row.family).collect());
        static HOST: LazyLock<Vec<&'static Family>> =
            LazyLock::new(|| host::ROWS.iter().map(|row| &row.family).collect());
        match self {
            Self::Domain => &DOMAIN,
            Self::Host => &HOST,
        }
    }

    /// The label that has its name.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Domain => "domain",
            Self::Host => "mx",
        }
    }
}

/// Every family of `/metrics` that this version can export: of domains, of mail hosts and their addresses, of the exporter itself.
pub fn families() -> impl Iterator<Item = &'static Family> {
    let domain = domain::rows().map(|row| &row.family);
    let host = host::ROWS.iter().map(|row| &row.family);
    let own = own::rows().map(|row| &row.family);
    domain.chain(host).chain(own)
}

/// The text of docs/metrics.md.
pub fn documentation() -> String {
    let mut page = INTRODUCTION.to_owned();
    let reported = domain::reported().map(|row| &row.family).chain(intake::ROWS.iter().map(|row| &row.family));
    let own = own::ROWS.iter().chain(web::ROWS).chain(inventory::ROWS);
    let chapters: [(&str, Vec<&Family>); 5] = [
        ("Domain", domain::probed().map(|row| &row.family).collect()),
        ("Mail host and address", host::ROWS.iter().map(|row| &row.family).collect()),
        ("TLS-RPT reports", reported.collect()),
        ("The exporter itself", own.map(|row| &row.family).collect()),
        ("Only at `/probe`, beside the families of one domain", probe::ROWS.iter().map(|row| &row.family).collect()),
    ];
    for (title, families) in chapters {
        let _ = write!(
            page,
            "\n## {title}\n\n| metric | type | labels | level | meaning | absent |\n|---|---|---|---|---|---|\n"
        );
        for family in families {
            let Family { name, kind, level, labels, help, absent } = family;
            let labels = labels.join(", ");
            let _ =
                writeln!(page, "| `{name}` | {} | {labels} | {} | {help} | {absent} |", kind.as_str(), level.letter());
        }
    }
    page
}

const INTRODUCTION: &str = "# Metrics

<!-- Made from the table in src/metrics. Change it there; `SMTPTLS_BLESS=1 cargo test --lib metrics` writes this file. -->

What `/metrics` exports. Probes run on a schedule of their own: a scrape starts none and waits for none. (`/probe`
alone looks when it is asked: [probe.md](probe.md).) Where the meaning says \"cached\", the value is that of the last scheduled probe, and `smtptls_domain_last_probe_timestamp_seconds` or
`smtptls_mx_last_probe_timestamp_seconds` says when that was.

- Facts of a domain stand on `domain`, facts of a mail host on `mx`, facts of an address on `mx` and `address`. A host that serves 500
  domains has one set of series; `smtptls_domain_mx_info` joins them.
- \"Could not look\" is not \"is not there\": what is not known is absent, and never 0. A lookup that fails leaves the last known answer.
- 0 or 1 means no or yes. A state set exports only the state that holds, with value 1.
- A series goes when its subject goes.
- Counters of reports never fall. One that is new is shown at 0 for five minutes before it first rises, so that `increase()` sees the rise.
- Level S (summary) is what alerts need, N (normal) is the default, F (full) is all. Each holds the ones before it. `metrics.level`
  picks; how many series that makes, and what else bounds them: [metrics-size.md](metrics-size.md).
- Where `metrics.addresses` has one set of samples stand for all addresses of a mail host, they have no label `address`.
";

impl Kind {
    /// The word of the `TYPE` line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Histogram => "histogram",
        }
    }
}

impl Level {
    /// S, N or F.
    pub const fn letter(self) -> char {
        match self {
            Self::Summary => 'S',
            Self::Normal => 'N',
            Self::Full => 'F',
        }
    }
}
