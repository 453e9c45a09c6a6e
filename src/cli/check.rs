//! `check`: one full check now, shown to people or programs.

use std::{collections::HashMap, future::Future, io::Write, path::Path, sync::Arc, time::Duration};

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
    monitor::{self, Edges, Kept, Looked},
    net::now,
    present::{
        Look,
        changes::{self, Changed},
        human::{self, Observations},
        json,
    },
    store::{self, ChangesWanted, Store, StoreError, StoredDomain},
    terms::{PolicyDomain, Timestamp},
    verdict::{Assessment, Change, ChangeSubject, Severity},
};

/// What the engine calls as the probing of each domain ends.
pub type Ended = Arc<dyn Fn(&PolicyDomain) + Send + Sync>;

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
    E: FnOnce(Vec<PolicyDomain>, Ended) -> F,
    F: Future<Output = Result<Checked, String>>,
{
    let mut domains = arguments.domains.clone();
    if let Some(path) = &arguments.file {
        domains.extend(list::read(path)?);
    }
    let domains = list::distinct(domains)?;
    let progress = Progress::new("checking", domains.len(), look.unicode);
    let bar = progress.clone();
    let result = engine(domains, Arc::new(move |domain: &PolicyDomain| bar.ended(domain.as_str()))).await;
    progress.clear();
    let Checked { assessments, observations, changed } = result?;
    let text = match arguments.format {
        Format::Human => {
            let mut text = human::report(&assessments, &observations, ended_at(&assessments), look);
            text.extend(changed.iter().map(|changed| changes::section(changed, assessments.len() > 1, look)));
            text
        }
        Format::Json => json::to_text(&json::assessments(&assessments)).map_err(|error| error.to_string())?,
    };
    write_all(out, &text).map_err(|error| format!("cannot write the result: {error}"))?;
    Ok(exit_status(&assessments, arguments.fail_on))
}

/// Probes the domains and judges them, with the settings of the configuration where there is one. `quick` leaves out all that
/// needs more than one connection to an address. What a state folder that was named has of the domains counts as seen before.
pub(super) async fn probe(
    domains: Vec<PolicyDomain>,
    ended: Ended,
    common: &Common,
    quick: bool,
) -> Result<Checked, String> {
    let source = Source { file: common.config_file.clone(), domains: Vec::new() };
    let mut settings = source.load().map_err(|errors| refused(&errors, colour()))?.settings;
    settings.probe.legacy_tls &= !quick;
    let (kept, mut logs) = match &common.state_dir {
        Some(folder) => kept(folder, &domains).await.map_err(|error| error.to_string())?,
        None => Default::default(),
    };
    let edges = Edges::open(&settings).await.map_err(|error| error.to_string())?;
    let domains: Vec<DomainSettings> = domains.into_iter().map(|domain| of_domain(&settings, domain)).collect();
    let looked = monitor::check_after(kept, &settings, &edges, &domains, |domain| ended(domain)).await;
    let mut checked = Checked::default();
    for Looked { assessment, observation, before, changes } in looked {
        checked.observations.insert(assessment.domain.clone(), observation);
        if let Some(since) = before {
            let log = logs.remove(&assessment.domain).unwrap_or_default();
            checked.changed.push(Changed { domain: assessment.domain.clone(), since, now: changes, log });
        }
        checked.assessments.push(assessment);
    }
    Ok(checked)
}

/// What a monitor stored, with the log of each domain; it may be running. The file is closed before the looking begins: while it is
/// read no monitor can start.
async fn kept(folder: &Path, domains: &[PolicyDomain]) -> Result<(Kept, Logs), StoreError> {
    let Some(store) = store::read_only(folder).await? else {
        tracing::warn!(folder = %folder.display(), "nothing is stored there");
        return Ok(Default::default());
    };
    let kept = Kept::load(store.as_ref(), domains).await?;
    let mut logs = Logs::new();
    for domain in &kept.domains {
        logs.insert(domain.domain.clone(), log(store.as_ref(), domain).await?);
    }
    store.close().await;
    Ok((kept, logs))
}

/// What changed lately, the latest first.
type Logs = HashMap<PolicyDomain, Vec<Change>>;

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
    let least = match fail_on {
        FailOn::Error => Some(Severity::Error),
        FailOn::Warning => Some(Severity::Warning),
        FailOn::Never => None,
    };
    let fails = |assessment: &Assessment| least.is_some_and(|least| assessment.worst() >= Some(least));
    if assessments.iter().any(fails) {
        FAILED
    } else if assessments.iter().any(|assessment| assessment.own_side) {
        OWN_SIDE
    } else {
        OK
    }
}

#[cfg(test)]
mod tests {
    use std::{io, sync::Mutex};

    use super::*;
    use crate::present::fixture;

    fn arguments(names: &[&str]) -> Check {
        Check {
            domains: names.iter().map(|name| fixture::domain(name)).collect(),
            file: None,
            format: Format::Human,
            fail_on: FailOn::Error,
            quick: false,
            verbose: false,
            explain: None,
        }
    }

    fn run(arguments: &Check, out: &mut impl Write) -> (Result<u8, String>, Vec<String>) {
        let asked = Mutex::new(Vec::new());
        let engine = |domains: Vec<PolicyDomain>, ended: Ended| {
            asked.lock().unwrap().extend(domains.iter().map(ToString::to_string));
            async move {
                domains.iter().for_each(|domain| ended(domain));
                if domains.iter().any(|domain| domain.as_str() == "no-engine.example") {
                    return Err("no resolver is configured".to_owned());
                }
                let assessments = domains.iter().map(|domain| fixture::backup_expired(domain.as_str())).collect();
                Ok(Checked { assessments, ..Checked::default() })
            }
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let result = runtime.block_on(run_with(arguments, Look::default(), out, engine));
        (result, asked.into_inner().unwrap())
    }

    #[test]
    fn the_first_status_that_applies() {
        let healthy = || fixture::healthy("a.example");
        let error = || fixture::blocked("b.example");
        let warning = || fixture::testing("c.example");
        let info = || fixture::unprotected("d.example");
        let own_side = || fixture::own_side("e.example");
        let accepted = || {
            let mut assessment = error();
            assessment.findings.iter_mut().for_each(|finding| finding.accepted = Some("known".into()));
            assessment
        };
        let cases: Vec<(Vec<Assessment>, [u8; 3])> = vec![
            // The statuses with --fail-on error, warning and never.
            (vec![], [0, 0, 0]),
            (vec![healthy(), info()], [0, 0, 0]),
            (vec![healthy(), error()], [1, 1, 0]),
            (vec![warning(), info()], [0, 1, 0]),
            (vec![own_side(), healthy()], [3, 3, 3]),
            (vec![own_side(), error()], [1, 1, 3]),
            (vec![own_side(), warning()], [3, 1, 3]),
            (vec![accepted()], [0, 0, 0]),
        ];
        for (assessments, statuses) in cases {
            let names: Vec<&str> = assessments.iter().map(|assessment| assessment.domain.as_str()).collect();
            let got = [FailOn::Error, FailOn::Warning, FailOn::Never].map(|fail_on| exit_status(&assessments, fail_on));
            assert_eq!(got, statuses, "{names:?}");
        }
    }

    #[test]
    fn arguments_come_before_the_list_and_each_domain_once() {
        let list = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(list.path(), "c.example\na.example\n").unwrap();
        let mut arguments = arguments(&["b.example", "a.example", "b.example"]);
        arguments.file = Some(list.path().to_owned());
        let mut out = Vec::new();
        let (status, asked) = run(&arguments, &mut out);
        assert_eq!(status, Ok(1));
        assert_eq!(asked, ["b.example", "a.example", "c.example"]);
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("3 domains: 3 partly deliverable."), "{text}");
    }

    #[test]
    fn json_keeps_the_order_asked() {
        let mut arguments = arguments(&["b.example", "a.example"]);
        arguments.format = Format::Json;
        let mut out = Vec::new();
        assert_eq!(run(&arguments, &mut out).0, Ok(1));
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value[0]["domain"], "b.example");
        assert_eq!(value[1]["domain"], "a.example");
    }

    #[test]
    fn a_bad_list_asks_nobody() {
        let list = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(list.path(), "a.example\nnot a name\n").unwrap();
        let mut arguments = arguments(&[]);
        arguments.file = Some(list.path().to_owned());
        let (result, asked) = run(&arguments, &mut Vec::new());
        assert!(result.unwrap_err().contains(":2: "));
        assert!(asked.is_empty());
    }

    #[test]
    fn what_the_engine_cannot_do_is_said() {
        let mut out = Vec::new();
        let (result, _) = run(&arguments(&["no-engine.example"]), &mut out);
        assert_eq!(result, Err("no resolver is configured".to_owned()));
        assert!(out.is_empty());
    }

    /// A pipe whose reader does this.
    struct Pipe(io::ErrorKind);

    impl Write for Pipe {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_has_gone_is_no_error() {
        assert_eq!(run(&arguments(&["a.example"]), &mut Pipe(io::ErrorKind::BrokenPipe)).0, Ok(1));
        assert!(run(&arguments(&["a.example"]), &mut Pipe(io::ErrorKind::StorageFull)).0.is_err());
    }
}
