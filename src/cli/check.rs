//! `check`: one full check now, shown to people or programs.

mod saved;

use std::{collections::HashMap, future::Future, io::Write, path::Path, pin::pin, sync::Arc, time::Duration};

use tokio::sync::mpsc;

use super::{
    FAILED, OK, OWN_SIDE,
    args::{Check, Common, FailOn, Format},
    list,
    progress::Progress,
    settings::{Source, colour, of_domain, refused},
    write_all,
};
use crate::{
    config::DomainSettings,
    metrics::textfile,
    monitor::{self, Edges, Kept, Looked},
    net::now,
    present::{
        Look,
        baseline::{self, Baseline, Comparison},
        changes::{self, Changed},
        human::{self, Observations},
        json,
        nagios::{self, ServiceStatus},
    },
    store::{self, ChangesWanted, Store, StoreError, StoredDomain},
    terms::{PolicyDomain, Timestamp},
    verdict::{Assessment, Change, ChangeSubject},
};

/// What the engine calls as the probing of each domain ends.
pub type Ended = Arc<dyn Fn(&PolicyDomain) + Send + Sync>;
/// What the engine calls as each domain is judged.
pub type Judged = Arc<dyn Fn(&Assessment) + Send + Sync>;

/// Whom the engine tells what.
#[derive(Clone)]
pub struct Listeners {
    /// Of every domain whose probing ended.
    pub ended: Ended,
    /// Of every judgement.
    pub judged: Judged,
}

/// How far back the log of changes is shown: a month holds what a colleague did lately, and fits on a page.
pub const LOG_TIME: Duration = Duration::from_secs(30 * 24 * 3600);
/// … and how many changes of a domain and its mail hosts at most, the latest: what a screen holds.
pub const LOG_MOST: usize = 20;

/// What an engine found.
#[derive(Debug, Default)]
pub struct Checked {
    /// The judgement of each domain, in the order asked.
    pub assessments: Vec<Assessment>,
    /// The looks that they rest on, for the transcript.
    pub observations: Observations,
    /// What changed of those of which a state is kept; only the report for people shows it.
    pub changed: Vec<Changed>,
    /// The metrics, where they are asked for.
    pub metrics: String,
    /// What a monitor remembers took part.
    pub remembering: bool,
}

/// Checks the domains of the arguments with `engine`, writes the result, and returns the exit status.
///
/// The engine gets each domain once, in the order asked, and gives the assessments back in that order when all are done. What
/// it fails with is a text for the user about this side's set-up.
///
/// # Errors
/// Wrong usage or configuration, or that the result cannot be written, as a text for the user.
pub async fn run_with<E, F>(arguments: &Check, look: Look, out: &mut impl Write, engine: E) -> Result<u8, String>
where
    E: FnOnce(Vec<PolicyDomain>, Listeners) -> F,
    F: Future<Output = Result<Checked, String>>,
{
    let result = checked(arguments, look, out, engine).await;
    match result {
        // To Nagios, 2 is a service that is down; that nobody could look is 3.
        Err(message) if arguments.format == Format::Nagios => {
            write(out, &nagios::failure(&message))?;
            Ok(ServiceStatus::Unknown.exit())
        }
        result => result,
    }
}

async fn checked<E, F>(arguments: &Check, look: Look, out: &mut impl Write, engine: E) -> Result<u8, String>
where
    E: FnOnce(Vec<PolicyDomain>, Listeners) -> F,
    F: Future<Output = Result<Checked, String>>,
{
    let against = Against::read(arguments)?.map(Arc::new);
    let mut domains = arguments.domains.clone();
    if let Some(path) = &arguments.file {
        domains.extend(list::read(path)?);
    }
    let domains = list::distinct(domains)?;
    // Lines that come one by one show how far it is.
    let streamed = arguments.format == Format::Jsonl;
    let progress = Progress::new("checking", if streamed { 0 } else { domains.len() }, look.unicode);
    let bar = progress.clone();
    let (sender, mut lines) = mpsc::unbounded_channel();
    let (compared, fail_on) = (against.clone(), arguments.fail_on);
    let judged = move |assessment: &Assessment| {
        if streamed {
            // The other end is there as long as the run.
            let _ = sender.send(line(assessment, compared.as_deref(), fail_on));
        }
    };
    let listeners = Listeners { ended: Arc::new(move |domain| bar.ended(domain.as_str())), judged: Arc::new(judged) };
    let mut work = pin!(engine(domains, listeners));
    let result = loop {
        tokio::select! {
            biased;
            Some(line) = lines.recv() => write(out, &line?)?,
            result = &mut work => break result,
        }
    };
    progress.clear();
    let checked = result?;
    while let Ok(line) = lines.try_recv() {
        write(out, &line?)?;
    }
    let now = ended_at(&checked.assessments);
    let comparisons = against.as_ref().map(|against| against.compare(&checked.assessments)).unwrap_or_default();
    let text = match arguments.format {
        Format::Human => {
            let Checked { assessments, observations, changed, remembering, .. } = &checked;
            let mut text = human::report(assessments, observations, now, look);
            if look.verbose && !remembering {
                text.push_str(&human::without_memory(look));
            }
            text.extend(changed.iter().map(|changed| changes::section(changed, assessments.len() > 1, look)));
            text.extend(against.iter().map(|against| against.section(&comparisons, fail_on, now, look)));
            text
        }
        Format::Json => json_text(&checked.assessments, &comparisons, against.as_deref(), fail_on)?,
        Format::Jsonl => String::new(),
        Format::Nagios => {
            let (status, text) = nagios::output(&checked.assessments, now);
            write(out, &text)?;
            save(arguments, &checked.assessments, now, against.as_deref())?;
            return Ok(status.exit());
        }
        Format::Prometheus => checked.metrics,
    };
    write(out, &text)?;
    save(arguments, &checked.assessments, now, against.as_deref())?;
    Ok(match against {
        Some(_) => status_against(&comparisons, &checked.assessments, fail_on),
        None => exit_status(&checked.assessments, fail_on),
    })
}

fn write(out: &mut impl Write, text: &str) -> Result<(), String> {
    write_all(out, text).map_err(|error| format!("cannot write the result: {error}"))
}

/// An earlier run that this one is compared with.
#[derive(Debug)]
struct Against {
    file: String,
    baseline: Baseline,
}

impl Against {
    /// Reads the file before anything is looked at.
    fn read(arguments: &Check) -> Result<Option<Self>, String> {
        let Some(path) = &arguments.against else { return Ok(None) };
        let why = match arguments.format {
            Format::Nagios => "the exit status of nagios is that of the service, whatever was before",
            Format::Prometheus => "metrics have no place for what got worse",
            Format::Human | Format::Json | Format::Jsonl => {
                let baseline = saved::read(path)?;
                return Ok(Some(Self { file: path.display().to_string(), baseline }));
            }
        };
        Err(format!("--against does not go with this format: {why}"))
    }

    fn compare(&self, assessments: &[Assessment]) -> Vec<Comparison> {
        assessments.iter().map(|assessment| self.baseline.compare(assessment)).collect()
    }

    fn section(&self, comparisons: &[Comparison], fail_on: FailOn, now: Timestamp, look: Look) -> String {
        baseline::section(comparisons, &self.file, self.baseline.saved_at, fail_on.least(), now, look)
    }
}

fn save(
    arguments: &Check,
    assessments: &[Assessment],
    now: Timestamp,
    against: Option<&Against>,
) -> Result<(), String> {
    match &arguments.save {
        Some(path) => saved::write(path, &Baseline::new(assessments, now, against.map(|against| &against.baseline))),
        None => Ok(()),
    }
}

/// One domain as a line of JSON.
fn line(assessment: &Assessment, against: Option<&Against>, fail_on: FailOn) -> Result<String, String> {
    let text = match against {
        Some(Against { baseline, .. }) => {
            let comparison = baseline.compare(assessment);
            json::to_line(&baseline::compared(assessment, &comparison, baseline.saved_at, fail_on.least()))
        }
        None => json::to_line(&json::assessment(assessment)),
    };
    text.map_err(|error| error.to_string())
}

fn json_text(
    assessments: &[Assessment],
    comparisons: &[Comparison],
    against: Option<&Against>,
    fail_on: FailOn,
) -> Result<String, String> {
    let text = match against {
        Some(Against { baseline, .. }) => {
            let both = assessments.iter().zip(comparisons);
            let views =
                both.map(|(one, comparison)| baseline::compared(one, comparison, baseline.saved_at, fail_on.least()));
            json::to_text(&views.collect::<Vec<_>>())
        }
        None => json::to_text(&json::assessments(assessments)),
    };
    text.map_err(|error| error.to_string())
}

/// Probes the domains and judges them, with the settings of the configuration where there is one. `--quick` leaves out all that
/// needs more than one connection to an address. What a state folder that was named has of the domains counts as seen before.
pub(super) async fn probe(
    domains: Vec<PolicyDomain>,
    listeners: Listeners,
    common: &Common,
    arguments: &Check,
) -> Result<Checked, String> {
    let source = Source { file: common.config_file.clone(), domains: Vec::new() };
    let mut settings = source.load().map_err(|errors| refused(&errors, colour()))?.with_files();
    settings.probe.legacy_tls &= !arguments.quick;
    let (kept, mut logs) = match &common.state_dir {
        Some(folder) => kept(folder, &domains).await.map_err(|error| error.to_string())?,
        None => Default::default(),
    };
    let edges = Edges::open(&settings).await.map_err(|error| error.to_string())?;
    let domains: Vec<DomainSettings> = domains.into_iter().map(|domain| of_domain(&settings, domain)).collect();
    let Listeners { ended, judged } = listeners;
    let looked = monitor::check_as_they_end(
        kept,
        &settings,
        &edges,
        &domains,
        |domain| ended(domain),
        |looked| judged(&looked.assessment),
    )
    .await;
    let mut checked = Checked { remembering: common.state_dir.is_some(), ..Checked::default() };
    if arguments.format == Format::Prometheus {
        checked.metrics = textfile(&monitor::snapshot_of(&looked, &settings, &domains), &settings.metrics);
    }
    for Looked { assessment, observation, before, changes, .. } in looked {
        if let Some(since) = before {
            let log = logs.remove(&assessment.domain).unwrap_or_default();
            checked.changed.push(Changed { domain: assessment.domain.clone(), since, now: changes, log });
        }
        checked.observations.insert(assessment.domain.clone(), observation);
        checked.assessments.push(assessment);
    }
    Ok(checked)
}

/// What a monitor stored, with the log of each domain; it may be running. The file is closed before the looking begins: while it is
/// read no monitor can start.
pub(super) async fn kept(folder: &Path, domains: &[PolicyDomain]) -> Result<(Kept, Logs), StoreError> {
    let Some(store) = store::read_only(folder).await? else {
        tracing::warn!(folder = %folder.display(), "nothing is stored there");
        return Ok(Default::default());
    };
    let kept = Kept::load(store.as_ref(), domains).await?;
    let mut logs = Logs::new();
    for domain in kept.opened_domains() {
        logs.insert(domain.domain.clone(), log(store.as_ref(), &domain).await?);
    }
    store.close().await;
    Ok((kept, logs))
}

/// What changed lately, the latest first.
pub(super) type Logs = HashMap<PolicyDomain, Vec<Change>>;

/// What changed lately of a domain and of the mail hosts that it used last.
async fn log(store: &dyn Store, stored: &StoredDomain) -> Result<Vec<Change>, StoreError> {
    let hosts = stored.hosts.iter().map(ToString::to_string);
    let wanted = ChangesWanted {
        names: hosts.chain([stored.domain.to_string()]).collect(),
        since: Some(now() - LOG_TIME),
        before: None,
        most: LOG_MOST,
    };
    let found = store.changes(&wanted).await?.into_iter().map(|stored| stored.change);
    // A mail host may have the name of another domain.
    let ours = |change: &Change| match &change.subject {
        ChangeSubject::Domain(domain) => *domain == stored.domain,
        ChangeSubject::Host(host) | ChangeSubject::Address(host, _) => stored.hosts.contains(host),
    };
    Ok(found.filter(ours).collect())
}

/// When the last look ended: what "in 9 days" counts from.
fn ended_at(assessments: &[Assessment]) -> Timestamp {
    assessments.iter().map(|assessment| assessment.checked_at + assessment.duration).max().unwrap_or_default()
}

/// The exit status, the first that applies: 1 a finding at or above the severity; 3 a domain could not be checked for a reason
/// on this side; 0. (2, wrong usage or configuration, never comes so far.)
pub fn exit_status(assessments: &[Assessment], fail_on: FailOn) -> u8 {
    let least = fail_on.least();
    let fails = |assessment: &Assessment| least.is_some_and(|least| assessment.worst() >= Some(least));
    status(assessments.iter().any(fails), assessments)
}

/// The same where only what got worse makes it 1.
fn status_against(comparisons: &[Comparison], assessments: &[Assessment], fail_on: FailOn) -> u8 {
    status(comparisons.iter().any(|comparison| comparison.got_worse(fail_on.least())), assessments)
}

fn status(failed: bool, assessments: &[Assessment]) -> u8 {
    if failed {
        FAILED
    } else if assessments.iter().any(|assessment| assessment.own_side) {
        OWN_SIDE
    } else {
        OK
    }
}

#[cfg(test)]
mod tests;
