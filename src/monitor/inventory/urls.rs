//! One task a URL: fetches its list again and again, and hands on what came.

use std::{fs::File, path::PathBuf, time::Duration};

use tokio::{sync::mpsc, task::spawn_blocking, time::sleep};

use super::kept::KeptLists;
use crate::{
    config::{
        DomainList, ProbeSettings, RootSource,
        file::HttpSd,
        inventory::{ListFormat, SourceList, read_list_again},
    },
    net::{FetchedList, ListError, ListFetcher, ListLogin, RootChoice, Validators, load_roots, now},
    protocol::tls::Roots,
    terms::Timestamp,
};

/// As Prometheus.
const REFRESH_INTERVAL: Duration = Duration::from_secs(60);
/// A fetch that failed is tried again after this time, if the interval is longer.
const RETRY: Duration = Duration::from_secs(30);

/// All that decides how a URL is fetched and read: where anything of it changes, another task begins.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct UrlWatch {
    url: String,
    /// The URL without what may be secret.
    name: String,
    interval: Duration,
    login: Login,
    roots: Trust,
    /// The interval of an entry is no shorter than a probe.
    probe_timeout: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Login {
    None,
    Bearer(PathBuf),
    Basic(String, PathBuf),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Trust {
    /// Only these.
    File(PathBuf),
    /// As when peers are probed.
    Probe(RootChoice, Option<PathBuf>),
}

/// What a fetch brought.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) watch: UrlWatch,
    pub(super) at: Timestamp,
    /// A list, or nothing where it is the one from before; or why there is none.
    pub(super) outcome: Result<Option<SourceList>, String>,
}

impl UrlWatch {
    pub(super) fn new(source: &HttpSd, probe: &ProbeSettings) -> Option<Self> {
        let url = source.url.as_ref()?;
        let path = |at: &crate::config::At<PathBuf>| at.value.clone();
        let login = match (&source.credentials_file, &source.username, &source.password_file) {
            (Some(token), ..) => Login::Bearer(path(token)),
            (None, Some(user), Some(password)) => Login::Basic(user.value.clone(), path(password)),
            _ => Login::None,
        };
        let choice = match probe.roots {
            RootSource::Webpki => RootChoice::Webpki,
            RootSource::System => RootChoice::System,
            RootSource::None => RootChoice::None,
        };
        Some(Self {
            url: url.value.0.clone(),
            name: url.value.redacted(),
            interval: source.refresh_interval.map_or(REFRESH_INTERVAL, |at| at.value.into()),
            login,
            roots: match &source.ca_file {
                Some(file) => Trust::File(path(file)),
                None => Trust::Probe(choice, probe.ca_file.clone()),
            },
            probe_timeout: probe.timeout,
        })
    }

    pub(super) fn is_of(&self, source: &HttpSd) -> bool {
        source.url.as_ref().is_some_and(|url| url.value.0 == self.url)
    }

    /// Fetches until it is aborted.
    pub(super) async fn run(self, kept: KeptLists, arrivals: mpsc::Sender<Arrival>) {
        let (mut known, mut before) = (Validators::default(), DomainList::default());
        loop {
            let fetched = self.fetch(&kept, &known, &before).await;
            let (at, failed) = (now(), fetched.is_err());
            let outcome = fetched.map(|new| {
                new.map(|(list, validators)| {
                    known = validators;
                    before = list.domains.clone();
                    list
                })
            });
            if arrivals.send(Arrival { watch: self.clone(), at, outcome }).await.is_err() {
                return;
            }
            sleep(if failed { self.interval.min(RETRY) } else { self.interval }).await;
        }
    }

    /// `before`: what the last fetch brought.
    async fn fetch(
        &self,
        kept: &KeptLists,
        known: &Validators,
        before: &DomainList,
    ) -> Result<Option<(SourceList, Validators)>, String> {
        let (trust, url, store) = (self.roots.clone(), self.url.clone(), kept.clone());
        // Files are read anew each time: certificates are renewed, too.
        let prepared = spawn_blocking(move || {
            let draft = store.draft(&url).map_err(|error| format!("the state folder cannot be written to: {error}"))?;
            Ok::<_, String>((trust.load()?, draft))
        });
        let (roots, draft) = prepared.await.map_err(|error| error.to_string())??;
        let login = match self.login.clone() {
            Login::None => ListLogin::None,
            Login::Bearer(token) => ListLogin::Bearer(token),
            Login::Basic(user, password) => ListLogin::Basic(user, password),
        };
        let told = |error: ListError| error.to_string();
        let fetcher = ListFetcher::new(&self.url, login, &roots, self.interval).map_err(told)?;
        let validators = match fetcher.fetch(known, &draft).await.map_err(told)? {
            FetchedList::Unchanged => return Ok(None),
            FetchedList::New(validators) => validators,
        };
        let (name, url, store) = (self.name.clone(), self.url.clone(), kept.clone());
        let probe = ProbeSettings { timeout: self.probe_timeout, ..ProbeSettings::default() };
        let before = before.clone();
        let read = spawn_blocking(move || {
            let file = File::open(&draft).map_err(|error| format!("{}: {error}", draft.display()))?;
            let list = read_list_again(&name, ListFormat::Json, file, &probe, &before).map_err(|error| match error
                .location
            {
                Some(at) => format!("line {}, column {}: {}", at.line, at.column, error.message),
                None => error.message,
            })?;
            // A list that cannot be kept is used all the same.
            if let Err(error) = store.keep(&url) {
                tracing::warn!(source = name, %error, "a list of domains cannot be kept over a restart");
            }
            Ok::<_, String>(list)
        });
        Ok(Some((read.await.map_err(|error| error.to_string())??, validators)))
    }
}

impl Trust {
    fn load(&self) -> Result<Roots, String> {
        let (choice, file) = match self {
            Self::File(file) => (RootChoice::None, Some(file)),
            Self::Probe(choice, file) => (*choice, file.as_ref()),
        };
        load_roots(choice, file.map(PathBuf::as_path)).map_err(|error| error.to_string())
    }
}
