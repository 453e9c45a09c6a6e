//! What a person is told of a domain, apart from how it looks: the same words in the report of `check`, on the page and wherever
//! else a domain is spoken of.

use super::{confirm::commands, sentences::sentences, timeline, words};
use crate::{
    facts::DnssecSight,
    terms::Timestamp,
    verdict::{Assessment, Code, Finding, Fixer, Severity, State, Subject},
};

/// Said where DNSSEC is not looked at.
const DNSSEC_OFF: &str = "DNSSEC and DANE: switched off (resolver.dnssec)";

/// The verdict, then what to do, most harmful first. Peers' text in it is escaped; whoever shows it makes it safe for the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Briefing {
    /// What happens to mail.
    pub state: State,
    /// The same in words: `partly deliverable`.
    pub verdict: &'static str,
    /// What happens to mail, and for whom, in one to three sentences.
    pub sentences: Vec<String>,
    /// Errors, then warnings.
    pub fix_first: Vec<Advice>,
    /// What is worth knowing and needs no hurry.
    pub also: Vec<Advice>,
    /// What the configuration accepts: shown, and counted nowhere.
    pub accepted: Vec<Accepted>,
    /// What could not be seen, and why; empty where all was.
    pub unseen: Vec<String>,
}

/// Findings of one code that have one remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// Which finding.
    pub code: Code,
    /// How bad it is here.
    pub severity: Severity,
    /// What was seen, one a subject; at least one.
    pub heads: Vec<String>,
    /// Since when, as far as it is known and the heads do not say it. Nothing for what is only worth knowing, unless told in full.
    pub since: Option<String>,
    /// What it does to mail, where the heads do not say it and no advice of the same code before it did. As
    /// [`since`](Self::since) otherwise.
    pub effect: Option<&'static str>,
    /// What to do; nothing where nothing has to be done.
    pub todo: Option<String>,
    /// A line of a zone file to copy, whole.
    pub record: Option<String>,
    /// Who can do it.
    pub fixer: Fixer,
    /// Commands that show the same to whoever wants to see it, to copy whole; of the first subject. Empty where there is none
    /// without names to fill in.
    pub confirm: Vec<String>,
}

/// A finding that the configuration accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Which finding.
    pub code: Code,
    /// What was seen.
    pub head: String,
    /// Why it is accepted.
    pub reason: String,
}

impl Briefing {
    /// What to tell of a domain. `in_full`: of what is only worth knowing as much as of the rest.
    pub fn new(assessment: &Assessment, now: Timestamp, in_full: bool) -> Self {
        let mut pressing: Vec<&Finding> =
            assessment.active().filter(|finding| finding.severity > Severity::Info).collect();
        pressing.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        let infos: Vec<&Finding> = assessment.active().filter(|finding| finding.severity == Severity::Info).collect();
        Self {
            state: assessment.delivery,
            verdict: words::state(assessment.delivery),
            sentences: sentences(assessment, now),
            fix_first: advice(assessment, now, in_full, &pressing),
            also: advice(assessment, now, in_full, &infos),
            accepted: accepted(assessment),
            unseen: unseen(assessment).into_iter().chain(not_looked_at(assessment)).collect(),
        }
    }
}

impl Advice {
    /// How long it stands and what it does to mail, in one paragraph; empty where neither is told.
    pub fn words(&self) -> String {
        let parts: Vec<&str> = self.since.as_deref().into_iter().chain(self.effect).collect();
        parts.join(" ")
    }
}

/// What this side could not see.
pub(super) fn unseen(assessment: &Assessment) -> Vec<String> {
    let paths = assessment.senders.sts.paths;
    match assessment.unseen.as_slice() {
        [] if paths.cannot_tell > 0 => {
            vec![format!("{} of {} cannot be judged from here", paths.cannot_tell, words::addresses(paths.total()))]
        }
        unseen => unseen.to_vec(),
    }
}

/// What this side was told not to look at.
pub(super) fn not_looked_at(assessment: &Assessment) -> Option<String> {
    (assessment.dnssec_sight == DnssecSight::Off).then(|| DNSSEC_OFF.to_owned())
}

/// Whether a line is one of a zone file.
pub(super) fn is_record(line: &str) -> bool {
    [". TXT \"", ". TLSA "].iter().any(|kind| line.contains(kind))
}

/// What to do, where there is anything to do, and the record to publish, which stands behind the words on a line of its own.
pub(crate) fn split_fix(fix: &str) -> (Option<&str>, Option<&str>) {
    let (todo, record) = match fix.rsplit_once('\n') {
        Some((todo, record)) if is_record(record) => (todo, Some(record)),
        _ => (fix, None),
    };
    (Some(todo).filter(|todo| *todo != "Nothing to do."), record)
}

/// The findings, those with one remedy together; the effect of a code is told once.
fn advice(assessment: &Assessment, now: Timestamp, in_full: bool, findings: &[&Finding]) -> Vec<Advice> {
    let mut told: Vec<Code> = Vec::new();
    let mut advice = Vec::new();
    for group in groups(findings) {
        let Some(&first) = group.first() else { continue };
        let Finding { code, severity, fixer, ref fix, .. } = *first;
        // What is only worth knowing is told without its effect and its age.
        let in_full = in_full || severity > Severity::Info;
        // Most details say what it does to mail here, which is more than the table can say in general.
        let told_here = first.detail.to_lowercase().contains("sender");
        let effect = (in_full && !told_here && !told.contains(&code)).then(|| code.row().effect);
        told.push(code);
        let (todo, record) = split_fix(fix);
        advice.push(Advice {
            code,
            severity,
            heads: heads(assessment, &group),
            since: timeline::since(&group, now).filter(|_| in_full),
            effect,
            todo: todo.map(str::to_owned),
            record: record.map(str::to_owned),
            fixer,
            confirm: commands(code, &assessment.domain, &first.subject),
        });
    }
    advice
}

fn accepted(assessment: &Assessment) -> Vec<Accepted> {
    let found = assessment.findings.iter().filter_map(|found| Some((found, found.accepted.as_deref()?)));
    found
        .map(|(finding, reason)| Accepted {
            code: finding.code,
            head: head(assessment, &finding.subject.to_string(), finding),
            reason: if reason.is_empty() { "no reason was given" } else { reason }.to_owned(),
        })
        .collect()
}

/// Findings of one code and one remedy, in the order of their first.
fn groups<'a>(findings: &[&'a Finding]) -> Vec<Vec<&'a Finding>> {
    let mut groups: Vec<Vec<&Finding>> = Vec::new();
    for finding in findings {
        let same = |group: &&mut Vec<&Finding>| {
            group.first().is_some_and(|first| {
                (first.code, first.severity, &first.fix) == (finding.code, finding.severity, &finding.fix)
            })
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(finding),
            None => groups.push(vec![finding]),
        }
    }
    groups
}

/// What was seen, a line a subject. The addresses of one host that say the same share a line.
fn heads(assessment: &Assessment, group: &[&Finding]) -> Vec<String> {
    let mut heads: Vec<(&str, Vec<String>, &Finding)> = Vec::new();
    for finding in group {
        let address = finding.subject.address().map(|address| format!("[{address}]"));
        let same = heads.iter_mut().find(|(name, addresses, head)| {
            *name == finding.subject.name() && head.detail == finding.detail && !addresses.is_empty()
        });
        match (same, address) {
            (Some((_, addresses, _)), Some(address)) => addresses.push(address),
            (_, address) => heads.push((finding.subject.name(), address.into_iter().collect(), finding)),
        }
    }
    let text = |(name, addresses, finding): (&str, Vec<String>, &Finding)| {
        let subject = if addresses.is_empty() { name.to_owned() } else { format!("{name} {}", addresses.join(" ")) };
        head(assessment, &subject, finding)
    };
    heads.into_iter().map(text).collect()
}

/// What the finding is about and what was seen. What the detail names already is not repeated.
fn head(assessment: &Assessment, subject: &str, finding: &Finding) -> String {
    if finding.subject == Subject::Monitor
        || subject == assessment.domain.as_str()
        || finding.detail.contains(finding.subject.name())
    {
        finding.detail.clone()
    } else {
        format!("{subject}: {}", finding.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::present::fixture;

    #[test]
    fn the_words_apart_from_how_they_look() {
        let briefing = Briefing::new(&fixture::backup_expired("example.com"), fixture::NOW, false);
        assert_eq!((briefing.state, briefing.verdict), (State::Partial, "partly deliverable"));
        let codes = |advice: &[Advice]| advice.iter().map(|advice| advice.code).collect::<Vec<_>>();
        assert_eq!(codes(&briefing.fix_first), [Code::CertificateExpired, Code::StsRecordTtlLong]);
        assert_eq!(codes(&briefing.also), [Code::StsRecordDelegated]);
        let [expired, ..] = briefing.fix_first.as_slice() else { panic!() };
        assert_eq!(expired.heads, ["mx2.example.com [192.0.2.20]: The certificate expired 3 days ago (20 Nov)."]);
        assert_eq!(expired.effect, Some(Code::CertificateExpired.row().effect));
        assert_eq!(expired.since, None, "the head says it");
        assert!(expired.todo.as_deref().is_some_and(|todo| todo.starts_with("Renew the certificate")));
        let [accepted] = briefing.accepted.as_slice() else { panic!() };
        assert_eq!((accepted.code, accepted.reason.as_str()), (Code::MxCname, "provider, ticket 12"));
        assert!(briefing.unseen.is_empty());
    }

    #[test]
    fn what_is_only_worth_knowing_is_short_unless_all_is_asked_for() {
        let effect = |in_full| {
            let briefing = Briefing::new(&fixture::backup_expired("example.com"), fixture::NOW, in_full);
            briefing.also.first().and_then(|advice| advice.effect)
        };
        assert_eq!(effect(false), None);
        assert_eq!(effect(true), Some(Code::StsRecordDelegated.row().effect));
    }

    #[test]
    fn a_record_stands_apart_from_the_words() {
        let briefing = Briefing::new(&fixture::moved("example.com"), fixture::NOW, false);
        let advice = briefing.fix_first.first().unwrap();
        assert_eq!(advice.record.as_deref(), Some("_mta-sts.example.com. TXT \"v=STSv1; id=2026\""));
        assert_eq!(advice.todo.as_deref(), Some("Leave the policy as it is, and publish a new id:"));
        assert_eq!(advice.since.as_deref(), Some("For 1 day (since 22 Nov)."));
    }

    #[test]
    fn what_was_not_seen_is_told() {
        let unseen = |assessment: &Assessment| Briefing::new(assessment, fixture::NOW, false).unseen;
        let mut assessment = fixture::own_side("example.com");
        assert_eq!(unseen(&assessment), assessment.unseen);
        assessment.dnssec_sight = DnssecSight::Off;
        assert_eq!(unseen(&assessment).last().map(String::as_str), Some(DNSSEC_OFF));
        assessment.unseen.clear();
        assessment.senders.sts.paths.cannot_tell = 1;
        assert!(unseen(&assessment).first().is_some_and(|text| text.contains("cannot be judged from here")));
    }
}
