//! The rules by theme. Each looks at the case and raises its findings.

mod certificate;
mod dane;
mod dnssec;
mod expectation;
mod history;
mod mx;
mod own_side;
mod policy;
mod record;
mod reports;
mod smtp;
mod tls;
mod tls_rpt;
mod whose;

pub(crate) use own_side::Sight;

use super::{
    Code, Finding, Fixer, HistoryAssessment, ReportsAssessment, Severity, Subject,
    case::{Case, Standing},
    table::SeverityRule,
};
use crate::{
    facts::ChainFacts,
    terms::{Problem, Reading},
};

/// What the rules raised for one domain.
#[derive(Debug, Default)]
pub(crate) struct Raised {
    findings: Vec<Finding>,
}

impl Raised {
    /// Raises a finding with the severity that its row gives in this case.
    pub(crate) fn raise(
        &mut self,
        case: &Case<'_>,
        code: Code,
        subject: Subject,
        detail: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.raise_as(case, code, severity(code, case, &subject), subject, detail, fix);
    }

    /// Raises a finding whose rule knows the severity.
    pub(crate) fn raise_as(
        &mut self,
        case: &Case<'_>,
        code: Code,
        severity: Severity,
        subject: Subject,
        detail: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.raise_with(case, code, severity, code.row().result_type, subject, detail, fix);
    }

    /// Raises a finding whose rule knows the severity and the result type.
    #[expect(clippy::too_many_arguments, reason = "a finding is made of these")]
    pub(crate) fn raise_with(
        &mut self,
        case: &Case<'_>,
        code: Code,
        severity: Severity,
        result_type: Option<&'static str>,
        subject: Subject,
        detail: impl Into<String>,
        fix: impl Into<String>,
    ) {
        let severity = case.context.severities.get(code.as_str()).copied().unwrap_or(severity);
        let mx = match &subject {
            Subject::MxAddress(host, _) => Some(host.clone()),
            Subject::Mx(name) => name.parse().ok(),
            _ => None,
        };
        let accepted = case
            .context
            .accept
            .iter()
            .find(|acceptance| acceptance.matches(code.as_str(), case.domain, mx.as_ref(), case.now))
            .map(|acceptance| acceptance.reason.clone().unwrap_or_else(|| "accepted in the configuration".to_owned()));
        let mut finding = Finding {
            fixer: Fixer::of(case, code, &subject),
            code,
            severity,
            subject,
            detail: detail.into(),
            fix: fix.into(),
            result_type,
            since: None,
            times: 0,
            accepted,
        };
        // A look without a history cannot say since when.
        let memory = case.history.domain.memory_of(&finding);
        finding.since = memory.map(|memory| memory.since).or_else(|| (!case.context.once).then_some(case.now));
        finding.times = memory.map_or_else(|| u32::from(!case.context.once), |memory| memory.times);
        self.findings.push(finding);
    }

    /// Says who can mend what was raised last, where the rule knows more than the code tells.
    pub(crate) fn mended_by(&mut self, fixer: Fixer) {
        if let Some(last) = self.findings.last_mut() {
            last.fixer = fixer;
        }
    }

    /// Worst first, then what can be done at once, then in the order of the table, then by subject.
    pub(crate) fn sorted(mut self) -> Vec<Finding> {
        self.findings.sort_by(|a, b| {
            let key = |finding: &Finding| {
                let waits = finding.code != Code::StsPolicyReadyForEnforce;
                (!finding.is_active(), std::cmp::Reverse(finding.severity), waits, finding.code)
            };
            key(a).cmp(&key(b)).then_with(|| a.subject.cmp(&b.subject))
        });
        self.findings
    }
}

/// What was worked out beside the case.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beside<'a> {
    pub(crate) sight: &'a Sight,
    pub(crate) outlook: &'a HistoryAssessment,
    pub(crate) reports: Option<&'a ReportsAssessment>,
}

/// Runs every rule. `all_down`: no path of the domain can be reached.
pub(crate) fn all(case: &Case<'_>, beside: &Beside<'_>, all_down: bool) -> Vec<Finding> {
    let Beside { sight, outlook, reports } = *beside;
    let mut raised = Raised::default();
    dnssec::rules(case, &mut raised);
    record::rules(case, &mut raised);
    policy::rules(case, outlook, &mut raised);
    history::rules(case, outlook, &mut raised);
    mx::rules(case, &mut raised, all_down);
    smtp::rules(case, &mut raised, all_down);
    tls::rules(case, &mut raised);
    certificate::rules(case, &mut raised);
    dane::rules(case, &mut raised);
    tls_rpt::rules(case, &mut raised);
    if let Some(said) = reports {
        reports::rules(case, said, &mut raised);
    }
    expectation::rules(case, &mut raised);
    own_side::rules(case, sight, &mut raised);
    raised.sorted()
}

pub(crate) use tls_rpt::unreachable_words;

/// Whether a chain is inside its warning period.
pub(crate) fn is_near_its_end(case: &Case<'_>, chain: &ChainFacts) -> bool {
    certificate::nearness(case, chain, false).is_some()
}

/// Each expectation of the configuration with whether it is met; what cannot be told is left out.
pub(crate) fn expectations(case: &Case<'_>) -> Vec<(&'static str, bool)> {
    expectation::met(case)
}

/// The worst that applies: of the policy, and of DANE on the host that it is about.
fn severity(code: Code, case: &Case<'_>, subject: &Subject) -> Severity {
    match code.row().severity {
        SeverityRule::Fixed(severity) => severity,
        SeverityRule::ByContext { enforce, dane, testing, none, unknown, dane_only } => {
            let ground = case.dane_ground(subject);
            let by_policy = match case.standing {
                Standing::Enforce => enforce,
                Standing::Testing => testing,
                Standing::None => dane_only.filter(|_| ground.ee_holds).unwrap_or(none),
                Standing::Unknown => dane_only.filter(|_| ground.ee_holds).unwrap_or(unknown),
            };
            dane.filter(|_| ground.usable).map_or(by_policy, |severity| severity.max(by_policy))
        }
        // Rules whose severity depends on more than the policy state it themselves.
        SeverityRule::Stated(_) => Severity::Warning,
    }
}

/// The problems of one reading as one text, at most three of them: the first ones are the ones to mend first.
fn problem_words<'p>(problems: impl Iterator<Item = &'p Problem>, place: impl Fn(&Problem) -> String) -> String {
    /// More would be noise: mending the first often mends the others.
    const MOST: usize = 3;
    let problems: Vec<&Problem> = problems.collect();
    let mut words: Vec<String> =
        problems.iter().take(MOST).map(|problem| format!("{}{}", place(problem), problem.message)).collect();
    if problems.len() > MOST {
        words.push(format!("and {} more", problems.len() - MOST));
    }
    words.join("; ")
}

fn with_reading(problems: &[Problem], reading: Reading) -> impl Iterator<Item = &Problem> {
    problems.iter().filter(move |problem| problem.reading == reading)
}

/// What a host that senders refuse under an enforced policy means for mail now.
fn refusal_words(case: &Case<'_>, host: &str) -> &'static str {
    match case.standing {
        Standing::Enforce => "senders that enforce the policy do not deliver to it",
        Standing::Testing => "senders report it, and would not deliver to it in mode enforce",
        Standing::None if !whose::has_dane(case, host) => "no sender has to refuse it while no policy is in force",
        Standing::None | Standing::Unknown => "senders that check it do not deliver to it",
    }
}
