//! What `check --save` keeps, so that a later run can fail only on what got worse.

mod compare;
mod show;

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Serialize};
use serde_json::error::Category;

pub use compare::{Changed, Comparison};
pub use show::{ComparedView, compared, section};

use crate::{
    terms::{PolicyDomain, Timestamp},
    verdict::{Assessment, Finding, Severity, State, Subject},
};

/// By this a file is known as one of ours.
const FORMAT: &str = "smtptls-exporter check";
/// The version of the document. It changes when an older program would misread it.
const VERSION: u32 = 1;

/// The judgement of a run, by domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Baseline {
    /// When it was made.
    pub saved_at: Timestamp,
    domains: BTreeMap<PolicyDomain, SavedDomain>,
}

/// Why a text is no baseline.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BaselineError {
    /// It is no JSON.
    #[error("it is no JSON ({0}): it is damaged, or was not written by check --save")]
    NotJson(String),
    /// It is JSON of something else.
    #[error("it was not written by check --save")]
    Stranger,
    /// It is of another version.
    #[error("it is of version {0}, and this program reads version {VERSION}: write it anew with check --save")]
    Version(u64),
    /// It says what it is, and does not hold what it should.
    #[error("it is damaged: {0}")]
    Damaged(String),
}

/// The judgement of one domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SavedDomain {
    domain: PolicyDomain,
    checked_at: Timestamp,
    delivery: State,
    /// It could be checked; else what is missing in it may have been there.
    seen: bool,
    /// The active ones: what was accepted counts as new once it is not accepted any more.
    findings: Vec<SavedFinding>,
}

/// A finding by what tells it from others, whatever its values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SavedFinding {
    /// Its code. A text: another version of the program may know other ones.
    pub code: String,
    /// How bad it was.
    pub severity: Severity,
    /// What it is about.
    pub subject: String,
    /// The address, where it is about one.
    pub address: Option<IpAddr>,
}

/// What tells whether a text is one of ours that this program can read. What else is in it is passed over without being kept: a
/// stranger's file may have millions of values.
#[derive(Deserialize)]
struct Head {
    format: Option<String>,
    version: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct Document {
    format: String,
    version: u32,
    saved_at: Timestamp,
    domains: Vec<SavedDomain>,
}

impl Baseline {
    /// The judgement of these domains. `earlier`: a domain that could not be checked now, or was not asked for, stays as it is there.
    pub fn new(assessments: &[Assessment], saved_at: Timestamp, earlier: Option<&Self>) -> Self {
        let saved = |assessment: &Assessment| {
            let kept = earlier.and_then(|earlier| earlier.domains.get(&assessment.domain));
            match kept.filter(|_| assessment.own_side) {
                Some(kept) => kept.clone(),
                None => SavedDomain::new(assessment),
            }
        };
        let mut domains = earlier.map(|earlier| earlier.domains.clone()).unwrap_or_default();
        domains.extend(assessments.iter().map(|assessment| (assessment.domain.clone(), saved(assessment))));
        Self { saved_at, domains }
    }

    /// The text of the file.
    ///
    /// # Errors
    /// None is known to happen; the writer of JSON says so all the same.
    pub fn text(&self) -> serde_json::Result<String> {
        super::json::to_text(&Document {
            format: FORMAT.to_owned(),
            version: VERSION,
            saved_at: self.saved_at,
            domains: self.domains.values().cloned().collect(),
        })
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// [`BaselineError`] says what it is instead.
    pub fn parse(text: &str) -> Result<Self, BaselineError> {
        let head: Head = serde_json::from_str(text).map_err(|error| match error.classify() {
            Category::Data => BaselineError::Stranger,
            Category::Syntax | Category::Eof | Category::Io => BaselineError::NotJson(error.to_string()),
        })?;
        if head.format.as_deref() != Some(FORMAT) {
            return Err(BaselineError::Stranger);
        }
        match head.version {
            Some(version) if version == u64::from(VERSION) => {}
            Some(other) => return Err(BaselineError::Version(other)),
            None => return Err(BaselineError::Damaged("its version is missing".to_owned())),
        }
        let document: Document =
            serde_json::from_str(text).map_err(|error| BaselineError::Damaged(error.to_string()))?;
        let domains = document.domains.into_iter().map(|saved| (saved.domain.clone(), saved)).collect();
        Ok(Self { saved_at: document.saved_at, domains })
    }

    /// What became of a domain since.
    pub fn compare(&self, assessment: &Assessment) -> Comparison {
        compare::compare(self.domains.get(&assessment.domain), assessment)
    }
}

impl SavedDomain {
    fn new(assessment: &Assessment) -> Self {
        let mut findings: Vec<SavedFinding> = about_the_domain(assessment).collect();
        findings.sort();
        Self {
            domain: assessment.domain.clone(),
            checked_at: assessment.checked_at.whole_seconds(),
            delivery: assessment.delivery,
            seen: !assessment.own_side,
            findings,
        }
    }
}

/// The findings that count. What this side cannot see is nothing that a domain can make better or worse.
fn about_the_domain(assessment: &Assessment) -> impl Iterator<Item = SavedFinding> {
    assessment.active().filter(|finding| finding.subject != Subject::Monitor).map(SavedFinding::of)
}

impl SavedFinding {
    fn of(finding: &Finding) -> Self {
        Self {
            code: finding.code.as_str().to_owned(),
            severity: finding.severity,
            subject: finding.subject.name().to_owned(),
            address: finding.subject.address(),
        }
    }
}

#[cfg(test)]
mod tests;
