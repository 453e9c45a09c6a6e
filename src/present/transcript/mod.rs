//! The transcript of a look: every step in order, when it was and how long it took, what was sent and what came back. It is made
//! from facts alone, so that it is there for a state that is kept as well as for a look just now.

mod dns;
mod policy;
mod show;
mod smtp;
mod tls;

use std::time::Duration;

use crate::{
    facts::{DnssecSight, DomainObservation, Nowhere, RuaObservation, RuaOutcome},
    terms::Timestamp,
    verdict::Assessment,
};

/// So many parts of a transcript are shown where whoever asks pays nothing for it: those of a domain with more than a dozen mail hosts
/// are a megabyte.
pub const SECTIONS_MOST: usize = 60;

/// A whole transcript. Peers' bytes in it are escaped; whoever shows it makes the rest of the text safe for the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transcript {
    /// Whose.
    pub domain: String,
    /// When the look at the domain began.
    pub at: Timestamp,
    /// The sections, in the order in which a sender needs what they tell.
    pub sections: Vec<Section>,
}

/// What belongs together: the questions about one name, the talk with one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// What it is about.
    pub title: String,
    /// The steps, in order.
    pub steps: Vec<Step>,
}

/// One step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// When it began, as far as it is known: a mail host may have been looked at before, for another domain. Nothing where the step
    /// is a comparison.
    pub at: Option<Timestamp>,
    /// How long it took, as far as it is known.
    pub took: Option<Duration>,
    /// What was done.
    pub title: String,
    /// What was sent and what came of it.
    pub lines: Vec<Line>,
}

/// A line of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Who speaks.
    pub kind: LineKind,
    /// The text, without line breaks.
    pub text: String,
}

/// Who speaks in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineKind {
    /// This side, to the peer.
    Sent,
    /// The peer.
    Received,
    /// This program, about the step.
    Note,
    /// … and it is as it should be.
    Good,
    /// … and some senders may mind.
    Warning,
    /// … and it failed.
    Bad,
}

/// The transcript of what an assessment rests on. `observation`: the look at the domain; without it the lookups of the domain are
/// missing.
pub fn transcript(observation: Option<&DomainObservation>, assessment: &Assessment) -> Transcript {
    let sight = assessment.dnssec_sight;
    let mut sections = Vec::new();
    if let Some(seen) = observation {
        sections.push(dns::of_domain(seen, sight));
    }
    let host = observation.map(|seen| &seen.policy).or(assessment.policy.host.as_deref());
    if let Some(host) = host {
        sections.push(dns::of_policy_host(host, assessment.checked_at, sight));
        sections.extend(host.fetches.iter().map(|fetch| policy::fetch(host, fetch, &assessment.policy)));
    }
    for mx in &assessment.mx {
        if let Some(seen) = &mx.lookup {
            sections.push(dns::of_mail_host(mx, seen, assessment.checked_at, sight));
        }
        sections.extend(mx.addresses.iter().map(|address| smtp::address(mx, address)));
    }
    if let Some(seen) = observation.filter(|seen| !seen.rua.is_empty()) {
        sections.push(Section {
            title: "Where reports are to go".to_owned(),
            steps: seen.rua.iter().map(destination).collect(),
        });
    }
    sections.push(own_side(observation, assessment));
    sections.retain(|section| !section.steps.is_empty());
    Transcript { domain: assessment.domain.to_string(), at: assessment.checked_at, sections }
}

impl Transcript {
    /// Leaves the first parts, as many as `most`; returns how many it took away.
    pub fn cut(&mut self, most: usize) -> usize {
        let more = self.sections.len().saturating_sub(most);
        self.sections.truncate(most);
        more
    }
}

impl Step {
    fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), ..Self::default() }
    }

    /// A step that ended at a known time.
    fn ended(title: impl Into<String>, at: Timestamp, took: Option<Duration>) -> Self {
        Self { at: Some(at - took.unwrap_or_default()), took, ..Self::new(title) }
    }

    /// Adds a line; a text of several lines is as many.
    fn say(&mut self, kind: LineKind, text: impl AsRef<str>) {
        self.lines.extend(text.as_ref().lines().map(|text| Line { kind, text: text.to_owned() }));
    }
}

fn destination(seen: &RuaObservation) -> Step {
    let mut step = Step { at: Some(seen.at), ..Step::new(seen.destination.clone()) };
    let (kind, text) = match &seen.outcome {
        RuaOutcome::HasMx => (LineKind::Good, "its domain has a mail host".to_owned()),
        RuaOutcome::HasAddress => {
            (LineKind::Good, "its domain has no MX record, and an address that takes the mail".to_owned())
        }
        RuaOutcome::Nowhere(Nowhere::NullMx) => (LineKind::Bad, "its domain takes no mail (a null MX)".to_owned()),
        RuaOutcome::Nowhere(Nowhere::Nonexistent) => (LineKind::Bad, "its domain does not exist".to_owned()),
        RuaOutcome::Nowhere(Nowhere::NoAddress) => (LineKind::Bad, "its domain has no address".to_owned()),
        RuaOutcome::Answers(status) => (LineKind::Good, format!("the endpoint answers, with status {status}")),
        RuaOutcome::DoesNotAnswer(why) => (LineKind::Bad, format!("the endpoint does not answer: {why}")),
        RuaOutcome::CouldNotLook(why) => (LineKind::Warning, format!("this side could not look: {why}")),
    };
    step.say(kind, text);
    step
}

/// What this side could see, so that nobody takes its limits for the domain's.
fn own_side(observation: Option<&DomainObservation>, assessment: &Assessment) -> Section {
    let mut steps = Vec::new();
    if let Some(seen) = observation {
        let mut step = Step::new("the resolver");
        match seen.resolver_healthy {
            true => step.say(LineKind::Good, "answers"),
            false => step.say(LineKind::Bad, "answers nothing, not even for a control name"),
        }
        steps.push(step);
    }
    let mut step = Step::new("DNSSEC");
    match (assessment.dnssec_sight, observation.map(|seen| seen.dnssec_healthy)) {
        (DnssecSight::Off, _) => step.say(LineKind::Note, "not looked at (resolver.dnssec)"),
        (DnssecSight::Blind, _) => {
            step.say(LineKind::Warning, "no signed name validates from here: nothing can be told");
        }
        (DnssecSight::Validating, Some(false)) => {
            step.say(LineKind::Warning, "the control name did not validate in that minute");
        }
        (DnssecSight::Validating, _) => step.say(LineKind::Good, "the control name, which is signed, validates"),
    }
    steps.push(step);
    if !assessment.unseen.is_empty() {
        let mut step = Step::new("not seen");
        assessment.unseen.iter().for_each(|what| step.say(LineKind::Warning, what));
        steps.push(step);
    }
    Section { title: "What this side could see".to_owned(), steps }
}

#[cfg(test)]
mod tests;
