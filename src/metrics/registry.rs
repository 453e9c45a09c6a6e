//! What a row of the table is, how its samples are taken, and the documentation that is made from the rows.

use std::fmt::Write as _;

use super::{
    domain, host, intake, own, probe,
    text::{self, Value},
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
    out: &'a mut Vec<u8>,
    family: &'static Family,
    subject: &'a [&'a str],
    level: Level,
    count: usize,
}

impl<'a> Samples<'a> {
    /// `subject` holds the values of the first labels of the family, which every sample has in common.
    pub(super) const fn new(
        out: &'a mut Vec<u8>,
        family: &'static Family,
        subject: &'a [&'a str],
        level: Level,
    ) -> Self {
        Self { out, family, subject, level, count: 0 }
    }

    /// A sample; `others` holds the values of the labels after those of the subject.
    pub(super) fn put(&mut self, others: &[&str], value: impl Into<Value>) {
        self.put_with_suffix("", others.iter().copied(), None, value.into());
    }

    /// The sample of the subject, where its value is known.
    pub(super) fn set<V: Into<Value>>(&mut self, value: Option<V>) {
        if let Some(value) = value {
            self.put(&[], value);
        }
    }

    /// A sample of a histogram: `suffix` as `_bucket`, `bound` as the label `le`.
    pub(super) fn put_with_suffix<'b>(
        &mut self,
        suffix: &str,
        others: impl Iterator<Item = &'b str> + Clone,
        bound: Option<&'b str>,
        value: Value,
    ) where
        'a: 'b,
    {
        debug_assert_eq!(
            self.subject.len() + others.clone().count(),
            self.family.labels.len(),
            "labels of {}",
            self.family.name
        );
        let subject: &[&'b str] = self.subject;
        let values = subject.iter().copied().chain(others);
        let labels = self.family.labels.iter().copied().zip(values).chain(bound.map(|bound| ("le", bound)));
        text::sample(self.out, self.family.name, suffix, labels, value);
        self.count += 1;
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
    let chapters: [(&str, Vec<&Family>); 5] = [
        ("Domain", domain::probed().map(|row| &row.family).collect()),
        ("Mail host and address", host::ROWS.iter().map(|row| &row.family).collect()),
        ("TLS-RPT reports", reported.collect()),
        ("The exporter itself", own::ROWS.iter().map(|row| &row.family).collect()),
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
- Level S (summary) is what alerts need, N (normal) is the default, F (full) is all. Each holds the ones before it.
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
