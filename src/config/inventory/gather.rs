//! What all forms of a list have in common: entries come in with their places, a list comes out.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use crate::{
    config::{
        diagnostic::{Diagnostic, DiagnosticSeverity, Location, Source},
        domains::{DomainList, DomainOptions, DomainSettings},
        file::DomainEntry,
        reader::{At, FromNode, Reader},
        resolve::{MAX_LABEL, Resolver},
        settings::ProbeSettings,
        yaml::{Node, shorten},
    },
    terms::PolicyDomain,
    verdict::known_codes,
};

/// So many entries of one list are read. A million is what one machine watches; several that share the domains each read the list
/// of all.
pub const MAX_LISTED: usize = 5_000_000;
/// So many of the entries that cannot be used are told with their places; all are counted.
const TOLD_MOST: usize = 5;

/// What a list says.
#[derive(Clone, Debug, Default)]
pub struct SourceList {
    /// Its domains, in its order.
    pub domains: DomainList,
    /// So many entries cannot be used.
    pub skipped: usize,
    /// So many entries name a domain that an entry before names; the first counts.
    pub repeated: usize,
    /// The first entries that cannot be used, and what is odd about the list.
    pub told: Vec<Diagnostic>,
}

/// Why a list cannot be used as a whole.
pub(super) struct Fault {
    pub(super) at: Option<Location>,
    pub(super) message: String,
}

impl Fault {
    pub(super) fn at(at: Location, message: impl Into<String>) -> Self {
        Self { at: Some(at), message: message.into() }
    }
}

/// A list on its way in.
pub(super) struct Gathering<'a> {
    name: &'a str,
    probe: &'a ProbeSettings,
    entries: Vec<DomainSettings>,
    /// The list as it was read last: it is mostly the same, and its names are taken from there.
    before: &'a DomainList,
    /// Where each entry stands in it.
    places: Vec<Option<u32>>,
    /// Where the next one stands in it, if it does as the one before.
    next: usize,
    /// Options by group: each is made once.
    groups: HashMap<String, Arc<DomainOptions>>,
    skipped: usize,
    told: Vec<Diagnostic>,
    told_labels: BTreeSet<String>,
}

impl<'a> Gathering<'a> {
    /// `before`: what the same list said when it was read last, empty where it was not.
    pub(super) fn new(name: &'a str, probe: &'a ProbeSettings, before: &'a DomainList) -> Self {
        Self {
            name,
            probe,
            entries: Vec::new(),
            before,
            places: Vec::new(),
            next: 0,
            groups: HashMap::new(),
            skipped: 0,
            told: Vec::new(),
            told_labels: BTreeSet::new(),
        }
    }

    /// How many entries there are so far: a group begins here.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// A name without anything else.
    pub(super) fn name(&mut self, text: &str, at: Location) -> Result<(), Fault> {
        // What stands in the list before is known to be a name.
        if let Some(known) = self.before.get(self.next).filter(|known| known.domain.as_str() == text) {
            return self.push(DomainSettings::new(known.domain.clone()), at);
        }
        match PolicyDomain::parse(text) {
            Ok(domain) => self.push(DomainSettings::new(domain), at),
            Err(error) => self.skip(at, error.to_string()),
        }
    }

    /// An entry as under `domains`; `text` is that of the list, where it is at hand.
    pub(super) fn entry(&mut self, node: &Node, text: &str) -> Result<(), Fault> {
        let at = Location { line: node.mark.line, column: node.mark.column };
        let mut reader = Reader::new(Source { name: self.name, text });
        let entry = DomainEntry::from_node(node, &mut reader);
        let mut resolver = Resolver { reader: &mut reader, base: "".as_ref(), codes: known_codes() };
        let settings = entry.and_then(|entry| resolver.domain(At { value: entry, mark: node.mark }, self.probe));
        let errors = reader.errors();
        let (diagnostics, _) = reader.finish();
        let Some(settings) = settings.filter(|_| errors == 0) else {
            self.skipped += 1;
            self.tell(diagnostics.into_iter().filter(|one| one.severity == DiagnosticSeverity::Error));
            return self.bounded(at);
        };
        self.tell(diagnostics.into_iter());
        self.push(settings, at)
    }

    /// Gives the entries since `from` the labels of their group. Only `group` means something here; what begins with two
    /// underscores is Prometheus' own and is dropped as there.
    pub(super) fn label(&mut self, from: usize, labels: Vec<(String, String)>, at: Location) {
        for (label, value) in labels {
            if label == "group" {
                self.group(from, value, at);
            } else if !label.starts_with("__")
                && self.told_labels.len() < TOLD_MOST
                && !self.told_labels.contains(&label)
            {
                let message = format!("the label {:?} has no effect; only `group` has", shorten(&label));
                self.tell([Diagnostic::at(DiagnosticSeverity::Warning, self.name, at, message)].into_iter());
                self.told_labels.insert(label);
            }
        }
    }

    /// A group that is no label of a metric is left out, its domains are not.
    fn group(&mut self, from: usize, group: String, at: Location) {
        if group.is_empty() {
            return;
        }
        if group.chars().count() > MAX_LABEL || group.chars().any(char::is_control) {
            let message = format!("{:?} is no group: 1 to {MAX_LABEL} printable characters", shorten(&group));
            self.tell([Diagnostic::at(DiagnosticSeverity::Warning, self.name, at, message)].into_iter());
            return;
        }
        let make = |group: &String| DomainOptions { group: Some(group.clone()), ..DomainOptions::default() };
        let options = match self.groups.get(&group) {
            Some(options) => Arc::clone(options),
            None => {
                let options = Arc::new(make(&group));
                self.groups.insert(group, Arc::clone(&options));
                options
            }
        };
        for entry in self.entries.iter_mut().skip(from) {
            entry.options = Arc::clone(&options);
        }
    }

    /// An entry that cannot be used.
    pub(super) fn skip(&mut self, at: Location, message: impl Into<String>) -> Result<(), Fault> {
        self.skipped += 1;
        if self.told.len() < TOLD_MOST {
            self.told.push(Diagnostic::at(DiagnosticSeverity::Error, self.name, at, message));
        }
        self.bounded(at)
    }

    fn push(&mut self, settings: DomainSettings, at: Location) -> Result<(), Fault> {
        let next = self.before.get(self.next).filter(|known| known.domain == settings.domain);
        let place = match next {
            Some(_) => u32::try_from(self.next).ok(),
            None => self.before.place_of(settings.domain.as_str()),
        };
        // One that is new stands in the place of another one, or before it: the next one tells.
        self.next = place.and_then(|place| usize::try_from(place).ok()).unwrap_or(self.next) + 1;
        self.places.push(place);
        self.entries.push(settings);
        self.bounded(at)
    }

    fn tell(&mut self, what: impl Iterator<Item = Diagnostic>) {
        let room = TOLD_MOST.saturating_sub(self.told.len());
        self.told.extend(what.take(room));
    }

    fn bounded(&self, at: Location) -> Result<(), Fault> {
        match self.entries.len().saturating_add(self.skipped) > MAX_LISTED {
            true => Err(Fault::at(at, format!("the list has more than {MAX_LISTED} entries"))),
            false => Ok(()),
        }
    }

    /// The list; none where there are entries and none of them can be used, for then it is no list of domains.
    pub(super) fn finish(self) -> Result<SourceList, Fault> {
        if self.entries.is_empty() && self.skipped > 0 {
            let first = self.told.first();
            let why = first.map_or_else(String::new, |first| format!("; the first: {}", first.message));
            let message = format!("none of the {} entries can be used{why}", self.skipped);
            return Err(Fault { at: first.and_then(|first| first.location), message });
        }
        let all = self.entries.len();
        let domains = DomainList::read_again(self.entries, &self.places, self.before);
        let repeated = all - domains.len();
        Ok(SourceList { domains, skipped: self.skipped, repeated, told: self.told })
    }
}
