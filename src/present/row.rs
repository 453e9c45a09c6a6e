//! A domain in one line: what lists of domains show, whether for people or programs.

use schemars::JsonSchema;
use serde::Serialize;

pub use crate::verdict::DaneReach;
use crate::{
    monitor::DomainState,
    protocol::mta_sts::Mode,
    terms::{PolicyDomain, Timestamp},
    verdict::{Assessment, Finding, Severity, State},
};

/// A domain in one line.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Which.
    pub domain: &'a PolicyDomain,
    /// The configured group, empty if none.
    pub group: &'a str,
    /// What happens to its mail; nothing before the first probe.
    pub delivery: Option<State>,
    /// What the policy says that senders may hold; nothing before the first probe.
    pub mode: Option<ShownMode>,
    /// The worst finding that counts.
    pub worst: Option<&'a Finding>,
    /// How many findings count.
    pub counts: Counts,
    /// Which certificate ends first; nothing where none was seen.
    pub certificate: Option<FirstEnd<'a>>,
    /// How far DANE goes; nothing where it cannot be told.
    pub dane: Option<DaneReach>,
    /// When the look at the domain began.
    pub checked_at: Option<Timestamp>,
    /// When the next one is due.
    pub due_at: Option<Timestamp>,
}

/// How many findings of a domain count, by severity. Accepted ones do not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Counts {
    /// Errors.
    pub error: usize,
    /// Warnings.
    pub warning: usize,
    /// Notes.
    pub info: usize,
}

/// The policy of a domain in one word, as the metrics have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ShownMode {
    /// Senders do not deliver to a host that fails it.
    Enforce,
    /// They deliver, and report.
    Testing,
    /// As if there were no policy.
    None,
    /// Senders hold no policy, as far as is known here.
    Missing,
}

/// The certificate of a domain that ends first: of a mail host or of the policy host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstEnd<'a> {
    /// Whose it is.
    pub host: &'a str,
    /// The end of its validity, or that of its chain where that comes before.
    pub ends_at: Timestamp,
}

impl<'a> Row<'a> {
    /// The line of a domain.
    pub fn of(state: &'a DomainState) -> Self {
        let seen = state.assessment.as_deref();
        Self {
            domain: &state.domain,
            group: &state.group,
            delivery: seen.map(|seen| seen.delivery),
            mode: seen.map(ShownMode::of),
            worst: seen.and_then(|seen| seen.active().next()),
            counts: seen.map(Counts::of).unwrap_or_default(),
            certificate: seen.and_then(FirstEnd::of),
            dane: seen.and_then(DaneReach::of),
            checked_at: seen.map(|seen| seen.checked_at),
            due_at: state.due_at,
        }
    }
}

impl Counts {
    fn of(assessment: &Assessment) -> Self {
        let mut counts = Self::default();
        for finding in assessment.active() {
            match finding.severity {
                Severity::Error => counts.error += 1,
                Severity::Warning => counts.warning += 1,
                Severity::Info => counts.info += 1,
            }
        }
        counts
    }
}

impl ShownMode {
    /// All, in the order of lists.
    pub const ALL: [Self; 4] = [Self::Enforce, Self::Testing, Self::None, Self::Missing];

    /// The mode that senders may hold.
    pub fn of(assessment: &Assessment) -> Self {
        assessment.policy.in_force.as_ref().map(|policy| policy.mode).into()
    }

    /// The word of JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Testing => "testing",
            Self::None => "none",
            Self::Missing => "missing",
        }
    }
}

/// From the mode of the policy in force.
impl From<Option<Mode>> for ShownMode {
    fn from(mode: Option<Mode>) -> Self {
        match mode {
            Some(Mode::Enforce) => Self::Enforce,
            Some(Mode::Testing) => Self::Testing,
            Some(Mode::None) => Self::None,
            None => Self::Missing,
        }
    }
}

impl<'a> FirstEnd<'a> {
    /// Of every certificate that was seen, whether or not it verifies.
    pub fn of(assessment: &'a Assessment) -> Option<Self> {
        let policy = assessment.policy.host.as_deref().zip(assessment.policy.certificate.as_ref());
        let policy = policy.map(|(host, certificate)| (host.host.as_str(), certificate));
        let mail = assessment.mx.iter().flat_map(|mx| {
            let name = mx.host.as_ref().map_or(mx.target.as_str(), |host| host.as_str());
            mx.addresses.iter().filter_map(move |address| Some((name, address.path.certificate.as_ref()?)))
        });
        let ends = mail.chain(policy).map(|(host, certificate)| Self { host, ends_at: certificate.chain.ends() });
        ends.min_by_key(|end| end.ends_at)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        facts::PathToRoot,
        metrics::fixture,
        verdict::{CertificateAssessment, DaneWord},
    };

    #[test]
    fn a_domain_that_was_not_probed_has_no_more_than_its_name() {
        let state = fixture::domain_state("new.example", None);
        let row = Row::of(&state);
        assert_eq!((row.domain.as_str(), row.delivery, row.mode, row.dane), ("new.example", None, None, None));
        assert_eq!((row.counts, row.certificate, row.checked_at), (Counts::default(), None, None));
        assert!(row.worst.is_none());
    }

    #[test]
    fn the_worst_finding_and_how_many_count() {
        let mut broken = fixture::broken();
        let all = broken.findings.len();
        assert!(all > 1);
        let count = |assessment: &Assessment| {
            let counts = Row::of(&fixture::domain_state("broken.example", Some(assessment.clone()))).counts;
            counts.error + counts.warning + counts.info
        };
        let accepted = broken.findings.iter().filter(|finding| !finding.is_active()).count();
        assert_eq!(count(&broken), all - accepted);
        for finding in &mut broken.findings {
            finding.accepted = Some("provider".to_owned());
        }
        let state = fixture::domain_state("broken.example", Some(broken));
        assert_eq!((Row::of(&state).counts, Row::of(&state).worst), (Counts::default(), None), "none counts");
    }

    #[test]
    fn the_certificate_that_ends_first_by_its_chain_too() {
        let mut seen = fixture::healthy();
        let days = |days: u64| fixture::NOW + std::time::Duration::from_secs(days * 86_400);
        let certificate = |leaf, chain| CertificateAssessment {
            chain: fixture::chain("Test CA", leaf, PathToRoot::Trusted { not_after: chain }),
            chain_valid: true,
            name_match: true,
            in_dates: true,
        };
        let set = |seen: &mut Assessment, to: CertificateAssessment| {
            let path = &mut seen.mx[0].addresses[0].path;
            *path = Arc::new(crate::verdict::PathAssessment { certificate: Some(to), ..(**path).clone() });
        };
        set(&mut seen, certificate(days(50), days(40)));
        let host = seen.mx[0].host.clone().unwrap();
        assert_eq!(FirstEnd::of(&seen), Some(FirstEnd { host: host.as_str(), ends_at: days(40) }));
        set(&mut seen, certificate(days(30), days(400)));
        assert_eq!(FirstEnd::of(&seen), Some(FirstEnd { host: host.as_str(), ends_at: days(30) }));
        set(&mut seen, certificate(days(3000), days(3000)));
        seen.policy.certificate = Some(certificate(days(20), days(20)));
        let first = FirstEnd::of(&seen).map(|first| first.ends_at);
        assert_eq!(first, seen.policy.host.is_some().then(|| days(20)));
    }

    #[test]
    fn dane_over_all_addresses() {
        let mut seen = fixture::healthy();
        seen.mx.truncate(1);
        let address = seen.mx[0].addresses[0].clone();
        let mut with = |words: &[Option<DaneWord>]| {
            let of = |word: &Option<DaneWord>| {
                let mut address = address.clone();
                address.dane_word = *word;
                address
            };
            seen.mx[0].addresses = words.iter().map(of).collect();
            DaneReach::of(&seen)
        };
        use DaneWord::{EncryptOnly, Failed, Match, Mismatch, NotApplicable};
        for (words, expected) in [
            (vec![], None),
            (vec![None], None),
            (vec![Some(NotApplicable), None], Some(DaneReach::None)),
            (vec![Some(EncryptOnly)], Some(DaneReach::None)),
            (vec![Some(Match), None], Some(DaneReach::Every)),
            (vec![Some(Match), Some(NotApplicable)], Some(DaneReach::Some)),
            (vec![Some(Match), Some(Mismatch)], Some(DaneReach::Broken)),
            (vec![Some(Failed), Some(NotApplicable)], Some(DaneReach::Broken)),
        ] {
            assert_eq!(with(&words), expected, "{words:?}");
        }
    }

    #[test]
    fn the_words_are_those_of_json() {
        for mode in ShownMode::ALL {
            assert_eq!(serde_json::to_value(mode).unwrap(), mode.as_str());
        }
        for reach in DaneReach::ALL {
            assert_eq!(serde_json::to_value(reach).unwrap(), reach.as_str());
        }
    }
}
