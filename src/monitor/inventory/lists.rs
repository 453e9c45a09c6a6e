//! What every source says now, and all of it as one list.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use super::{
    gauges::InventorySource,
    kept::KeptLists,
    urls::{Arrival, UrlWatch},
};
use crate::{
    config::{
        Diagnostic, DomainList, Settings,
        file::HttpSd,
        inventory::{FilesState, SourceList, merged},
    },
    monitor::Telemetry,
    terms::Timestamp,
};

/// What the sources of a configuration say. A copy shares the lists.
#[derive(Clone, Debug, Default)]
pub(super) struct Lists {
    /// As the configuration file says it, with its own domains alone.
    settings: Arc<Settings>,
    files: FilesState,
    urls: Vec<UrlState>,
    /// When the files were last looked at.
    looked_at: Timestamp,
    /// All together.
    domains: DomainList,
    /// What was told in the log, by source: nothing is told twice.
    told: BTreeMap<String, String>,
}

#[derive(Clone, Debug)]
struct UrlState {
    source: HttpSd,
    list: Option<Arc<SourceList>>,
    /// Why the last fetch brought nothing; `Ok` if it did, nothing before the first.
    last: Option<Result<(), String>>,
    success_at: Option<Timestamp>,
}

impl Lists {
    /// The lists of new settings: those of sources that stay, files as they are now, and what was kept of URLs.
    pub(super) fn configured(mut self, settings: Settings, kept: &KeptLists, now: Timestamp) -> Self {
        self.files = FilesState::following(&self.files, &settings.domain_files);
        // What is there now is read now: whoever reloads is done with writing.
        self.files.look(&settings.probe, now, false);
        self.looked_at = now;
        let known = std::mem::take(&mut self.urls);
        let url = |source: &HttpSd| {
            let address = |one: &HttpSd| one.url.as_ref().map(|url| url.value.0.clone());
            match known.iter().find(|known| address(&known.source) == address(source)) {
                Some(known) => UrlState { source: source.clone(), ..known.clone() },
                None => {
                    let (list, success_at) = kept.read(source, &settings.probe).unzip();
                    UrlState { source: source.clone(), list: list.map(Arc::new), last: None, success_at }
                }
            }
        };
        self.urls = settings.http_sd.iter().map(url).collect();
        self.settings = Arc::new(settings);
        self.merge();
        self
    }

    /// The settings with the domains of all sources.
    pub(super) fn settings(&self) -> Settings {
        Settings { domains: self.domains.clone(), ..Settings::clone(&self.settings) }
    }

    pub(super) const fn domains(&self) -> &DomainList {
        &self.domains
    }

    pub(super) fn urls(&self) -> impl Iterator<Item = &HttpSd> {
        self.urls.iter().map(|url| &url.source)
    }

    /// What is to be fetched, and how.
    pub(super) fn watches(&self) -> HashSet<UrlWatch> {
        self.urls().filter_map(|source| UrlWatch::new(source, &self.settings.probe)).collect()
    }

    /// Looks at the files; says whether a list is another one now.
    pub(super) fn look(&mut self, now: Timestamp) -> bool {
        self.looked_at = now;
        self.files.look(&self.settings.probe, now, true)
    }

    /// Takes in what a fetch brought; says whether a list is another one now.
    pub(super) fn take(&mut self, arrival: Arrival) -> bool {
        let Arrival { watch, at, outcome } = arrival;
        let (last, list) = match outcome {
            Ok(list) => (Ok(()), list.map(Arc::new)),
            Err(why) => (Err(why), None),
        };
        let mut changed = false;
        // A URL may be configured twice.
        for url in self.urls.iter_mut().filter(|url| watch.is_of(&url.source)) {
            if last.is_ok() {
                url.success_at = Some(at);
            }
            url.last = Some(last.clone());
            let Some(list) = &list else { continue };
            let before = url.list.as_ref().map(|list| list.domains.clone()).unwrap_or_default();
            let domains = list.domains.clone().reusing(&before);
            changed |= url.list.is_none() || !domains.is_same(&before);
            url.list = Some(Arc::new(SourceList { domains, ..SourceList::clone(list) }));
        }
        changed
    }

    /// Makes one list of all.
    pub(super) fn merge(&mut self) {
        let all: Vec<&DomainList> = std::iter::once(&self.settings.domains)
            .chain(self.files.lists().map(|list| &list.domains))
            .chain(self.urls.iter().filter_map(|url| Some(&url.list.as_ref()?.domains)))
            .collect();
        let (domains, given_before) = merged(&all);
        let given_before: usize = given_before.iter().sum();
        if given_before > 0 {
            tracing::info!(domains = given_before, "domains are given by several sources; the first of them counts");
        }
        self.domains = domains.reusing(&self.domains);
    }

    /// Tells the gauges how the sources are, and the log what is new about it.
    pub(super) fn tell(&mut self, telemetry: &Telemetry) {
        let mut sources: Vec<InventorySource> = Vec::new();
        let mut wrong: BTreeMap<String, String> = BTreeMap::new();
        for (text, files, error) in self.files.patterns() {
            let mut source = InventorySource { up: Some(error.is_none()), ..InventorySource::named(text) };
            if let Some(error) = error {
                wrong.insert(text.to_owned(), one_line(error));
            }
            for (path, file) in files {
                source.count(file.list.as_deref());
                let told = file.list.iter().flat_map(|list| &list.told).next().map(one_line);
                if let Some(error) = file.error.as_deref() {
                    source.up = Some(false);
                    wrong.insert(path.display().to_string(), one_line(error));
                } else if let Some(told) = told {
                    wrong.insert(path.display().to_string(), told);
                }
            }
            source.success_at = (source.up == Some(true)).then_some(self.looked_at);
            sources.push(source);
        }
        for url in &self.urls {
            let name = url.source.url.as_ref().map(|url| url.value.redacted()).unwrap_or_default();
            let mut source = InventorySource {
                up: url.last.as_ref().map(Result::is_ok),
                success_at: url.success_at,
                ..InventorySource::named(&name)
            };
            source.count(url.list.as_deref());
            let told = url.list.iter().flat_map(|list| &list.told).next().map(one_line);
            match &url.last {
                Some(Err(why)) => drop(wrong.insert(name, why.clone())),
                _ => wrong.extend(told.map(|told| (name, told))),
            }
            sources.push(source);
        }
        for (source, why) in &wrong {
            if self.told.get(source) != Some(why) {
                tracing::warn!(source, "a list of domains: {why}");
            }
        }
        for source in self.told.keys().filter(|source| !wrong.contains_key(*source)) {
            tracing::info!(source, "the list of domains is well again");
        }
        self.told = wrong;
        telemetry.set_inventory(sources);
    }
}

fn one_line(diagnostic: &Diagnostic) -> String {
    match diagnostic.location {
        Some(at) => format!("line {}, column {}: {}", at.line, at.column, diagnostic.message),
        None => diagnostic.message.clone(),
    }
}
